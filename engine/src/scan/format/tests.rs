#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::datasource::physical_plan::FileScanConfigBuilder;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use limnos_catalog::StructField;
use object_store::chunked::ChunkedStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::*;
use crate::scan::schema;

pub(crate) fn table(format: FileFormat, columns: Vec<Column>, properties: &[(&str, &str)]) -> TableDefinition {
    let (parameters, properties): (BTreeMap<_, _>, BTreeMap<_, _>) = properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .partition(|(name, _)| name == "skip.header.line.count");
    TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: "file:///t/".to_owned(),
            format,
            serde: None,
            properties,
        }),
        columns,
        partition_keys: Vec::new(),
        parameters,
        comment: None,
        owner: "limnos".to_owned(),
    }
}

/// Runs a scan of one file through DataFusion; `projection` are places in columns + partition keys.
pub(crate) async fn scan(
    definition: &TableDefinition,
    bytes: Vec<u8>,
    projection: Option<Vec<usize>>,
) -> Result<Vec<RecordBatch>> {
    let tally = ScanTally::detached(RowPolicy::of(definition)?);
    scan_counted(definition, bytes, usize::MAX, projection, &tally).await
}

/// As [`scan`], of bytes that come in chunks of `chunk_bytes`, counting.
pub(super) async fn scan_counted(
    definition: &TableDefinition,
    bytes: Vec<u8>,
    chunk_bytes: usize,
    projection: Option<Vec<usize>>,
    tally: &Arc<ScanTally>,
) -> Result<Vec<RecordBatch>> {
    let store: Arc<dyn ObjectStore> = match chunk_bytes {
        usize::MAX => Arc::new(InMemory::new()),
        _ => Arc::new(ChunkedStore::new(Arc::new(InMemory::new()), chunk_bytes)),
    };
    let (file_schema, keys) = schema::table_schema(definition);
    let table_schema = TableSchema::builder(file_schema).with_table_partition_cols(keys).build();
    let source = counted_text_source(definition, table_schema, Arc::clone(tally))?;
    scan_from(store, source, definition, bytes, projection).await
}

/// The same with a source of another kind.
pub(super) async fn scan_source(
    source: Arc<dyn FileSource>,
    definition: &TableDefinition,
    bytes: Vec<u8>,
    projection: Option<Vec<usize>>,
) -> Result<Vec<RecordBatch>> {
    scan_from(Arc::new(InMemory::new()), source, definition, bytes, projection).await
}

async fn scan_from(
    store: Arc<dyn ObjectStore>,
    source: Arc<dyn FileSource>,
    definition: &TableDefinition,
    bytes: Vec<u8>,
    projection: Option<Vec<usize>>,
) -> Result<Vec<RecordBatch>> {
    let path = Path::from("t/f");
    store.put(&path, PutPayload::from(bytes)).await.unwrap();
    let object = store.head(&path).await.unwrap();
    let url = ObjectStoreUrl::parse("mem://x").unwrap();
    let runtime = Arc::new(RuntimeEnvBuilder::new().build().unwrap());
    runtime.register_object_store(url.as_ref(), store);
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new().with_batch_size(3), runtime);
    let key_count = definition.partition_keys.len();
    let mut file = PartitionedFile::from(object);
    file.partition_values = vec![ScalarValue::Utf8View(Some("key".into())); key_count];
    let config =
        FileScanConfigBuilder::new(url, source).with_file(file).with_projection_indices(projection).unwrap().build();
    let result = collect(DataSourceExec::from_data_source(config), ctx.task_ctx()).await;
    result.map_err(|error| match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<Error>().expect("our error").clone(),
        other => panic!("not our error: {other}"),
    })
}

async fn check(definition: &TableDefinition, text: &str, expected: &str) {
    let actual = match scan(definition, text.as_bytes().to_vec(), None).await {
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string(),
        Err(error) => describe(&error),
    };
    assert_eq!(actual.trim(), expected.trim(), "\n{actual}\n");
}

fn describe(error: &Error) -> String {
    format!("{} {}: {}", error.code.sqlstate(), error.message, error.detail.clone().unwrap_or_default())
}

fn id_name_day() -> Vec<Column> {
    vec![Column::new("id", DataType::Int), Column::new("name", DataType::String), Column::new("day", DataType::Date)]
}

#[tokio::test]
async fn csv_cells_become_values_and_nulls() {
    let crawled = table(
        FileFormat::Csv,
        id_name_day(),
        &[
            ("field.delim", ","),
            ("quoteChar", "\""),
            ("serialization.null.format", ""),
            ("skip.header.line.count", "1"),
        ],
    );
    let text = "id,name,day\r\n1,\"a\nb\",2024-01-01\r\n2,,\r\n\r\n3,\"\"\r\n 4 ,x,2024-02-29,\r\n";
    check(
        &crawled,
        text,
        "
+----+------+------------+
| id | name | day        |
+----+------+------------+
| 1  | a    | 2024-01-01 |
|    | b    |            |
| 2  |      |            |
| 3  |      |            |
| 4  | x    | 2024-02-29 |
+----+------+------------+",
    )
    .await;
    let batches = scan(&crawled, text.as_bytes().to_vec(), Some(vec![1])).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.column(0).null_count()).sum::<usize>(), 1, "only the unquoted one");
    let count: usize =
        scan(&crawled, text.as_bytes().to_vec(), Some(vec![])).await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, 4);
}

#[tokio::test]
async fn hive_text_follows_its_own_rules() {
    let hive = table(FileFormat::Csv, id_name_day(), &[]);
    check(
        &hive,
        "1\u{1}\"q\u{1}2024-01-01\n\\N\u{1}\\N\u{1}\\N\n3\u{1}\n",
        "
+----+------+------------+
| id | name | day        |
+----+------+------------+
| 1  | \"q   | 2024-01-01 |
|    |      |            |
| 3  |      |            |
+----+------+------------+",
    )
    .await;
}

#[tokio::test]
async fn csv_errors_name_file_line_and_column() {
    let csv = |properties: &[(&str, &str)]| {
        let mut all = vec![("field.delim", ","), ("quoteChar", "\"")];
        all.extend_from_slice(properties);
        table(FileFormat::Csv, id_name_day(), &all)
    };
    for (definition, text, expected) in [
        (
            csv(&[]),
            "1,a,\n2,\"x\ny\",\nabc,c,\n",
            "22P02 invalid input syntax for type integer: \"abc\": File \"/t/f\", line 4, column \"id\".",
        ),
        (
            csv(&[]),
            "1,a,2024-02-30\n",
            "22008 date/time field value out of range: \"2024-02-30\" for type date: File \"/t/f\", line 1, column \"day\".",
        ),
        (
            csv(&[("limnos.format.day", "%d.%m.%Y")]),
            "1,a,2024-02-30\n",
            "22007 invalid input syntax for type date: \"2024-02-30\": File \"/t/f\", line 1, column \"day\".",
        ),
        (
            csv(&[]),
            "1,a,,\n2,b,,x\n",
            "22000 extra data after last expected column: File \"/t/f\", line 2. The row has 4 fields, the table 3 columns.",
        ),
        (csv(&[]), "1,a,\n2,\"b,\n3,c,\n", "22000 unterminated quoted field: File \"/t/f\", line 2."),
    ] {
        check(&definition, text, expected).await;
    }
    let error = scan(&csv(&[]), b"1,a,\n2,\xff\xfe,\n".to_vec(), None).await.unwrap_err();
    assert_eq!(
        describe(&error),
        "22021 invalid byte sequence for encoding \"UTF8\": 0xff 0xfe: File \"/t/f\", line 2."
    );
    let error = scan(&csv(&[]), b"\xff\xfe1\0".to_vec(), None).await.unwrap_err();
    assert_eq!(error.message, "files in UTF-16 are not supported");
}

#[tokio::test]
async fn partition_keys_and_column_order_come_out_right() {
    let mut definition = table(FileFormat::Csv, id_name_day(), &[("field.delim", ";")]);
    definition.partition_keys = vec![Column::new("k", DataType::String)];
    let batches = scan(&definition, b"1;a;\n2;b;\n".to_vec(), Some(vec![3, 1, 0])).await.unwrap();
    assert_eq!(
        pretty_format_batches(&batches).unwrap().to_string(),
        "+-----+------+----+\n| k   | name | id |\n+-----+------+----+\n| key | a    | 1  |\n| key | b    | 2  |\n+-----+------+----+"
    );
}

#[tokio::test]
async fn json_values_of_all_kinds() {
    let mut title = Column::new("title", DataType::String);
    title.source_name = Some("The Title".to_owned());
    let point = DataType::Struct(vec![
        StructField { name: "X".to_owned(), data_type: DataType::Double },
        StructField { name: "tags".to_owned(), data_type: DataType::Array(Box::new(DataType::String)) },
    ]);
    let columns = vec![
        title,
        Column::new("n", DataType::BigInt),
        Column::new("point", point),
        Column::new("raw", DataType::Json),
        Column::new("m", DataType::Map(Box::new(DataType::String), Box::new(DataType::Int))),
    ];
    let rows = r#"{"The Title": 300, "N": 9007199254740993, "point": {"x": 1, "tags": ["a", null, 2]}, "raw": {"b" : [1]}, "m": {"k": 1, "l": null}}
{"The Title": "a\n", "n": 2.0, "other": [{}], "point": null, "raw": "s"}
{"The Title": {"a":1}, "n": null, "point": {}, "m": {}}"#;
    let expected = r#"
+-----------+------------------+--------------------------+------------+--------------+
| title     | n                | point                    | raw        | m            |
+-----------+------------------+--------------------------+------------+--------------+
| 300       | 9007199254740993 | {X: 1.0, tags: [a, , 2]} | {"b" : [1]} | {k: 1, l: }  |
| a         | 2                |                          | "s"        |              |
|           |                  |                          |            |              |
| {"a":1}   |                  | {X: , tags: }            |            | {}           |
+-----------+------------------+--------------------------+------------+--------------+"#;
    let squeeze = |text: &str| {
        text.lines()
            .filter(|l| l.starts_with('|'))
            .map(|l| l.split_whitespace().collect::<String>())
            .collect::<Vec<_>>()
    };
    for (layout, text) in [
        ("lines", rows.to_owned()),
        ("array", format!("[{}]", rows.replace("}\n{", "},\n{"))),
        ("document", format!("{{\"type\": \"x\", \"rows\": [{}], \"z\": 1}}", rows.replace("}\n{", "},\n{"))),
    ] {
        let mut properties = vec![("limnos.json.layout", layout)];
        if layout == "document" {
            properties.push(("limnos.json.path", "rows"));
        }
        let definition = table(FileFormat::Json, columns.clone(), &properties);
        let batches = scan(&definition, text.into_bytes(), None).await.unwrap();
        let actual = pretty_format_batches(&batches).unwrap().to_string();
        assert_eq!(squeeze(&actual), squeeze(expected), "{layout}\n{actual}");
    }
}

#[tokio::test]
async fn json_errors_name_file_line_and_path() {
    let columns = vec![
        Column::new("id", DataType::Int),
        Column::new(
            "a",
            DataType::Array(Box::new(DataType::Struct(vec![StructField {
                name: "b".into(),
                data_type: DataType::Int,
            }]))),
        ),
    ];
    let definition = table(FileFormat::Json, columns, &[]);
    for (text, expected) in [
        (
            "{\"id\":1}\n{\"id\":\"x\"}",
            "22P02 invalid input syntax for type integer: \"x\": File \"/t/f\", line 2, column \"id\". It is record 2 of the file.",
        ),
        (
            "{\"id\":1}\n{\"a\":[{\"b\":1},\n{\"b\":true}]}",
            "22P02 invalid input syntax for type integer: \"true\": File \"/t/f\", line 3, column \"a[2].b\". It is record 2 of the file.",
        ),
        (
            "{\"id\":1}\n{\"id\":01}",
            "22000 malformed JSON: a malformed number: File \"/t/f\", line 2. It is record 2 of the file.",
        ),
        (
            "{\"id\":1}\n{\"id\":[1]}",
            "22P02 a JSON array can't be read as a scalar value: File \"/t/f\", line 2, column \"id\". It is record 2 of the file.",
        ),
        (
            "{\"id\":1}\n{\"id\":2",
            "22000 malformed JSON: the file ends in the middle of a record: File \"/t/f\", line 2.",
        ),
        (
            "{\"id\":1}\n12\n",
            "22000 malformed JSON: an object was expected: File \"/t/f\", line 2. It is record 2 of the file.",
        ),
    ] {
        check(&definition, text, expected).await;
    }
}

#[tokio::test]
async fn json_keys_follow_the_properties() {
    let read = async |properties: &[(&str, &str)], text: &str| {
        let inner = StructField { name: "ts".to_owned(), data_type: DataType::Int };
        let columns = vec![
            Column::new("a_b", DataType::Int),
            Column::new("s", DataType::Struct(vec![inner])),
            Column::new("name", DataType::String),
        ];
        let definition = table(FileFormat::Json, columns, properties);
        if let Err(error) = super::check(&definition) {
            return error.message;
        }
        match scan(&definition, text.as_bytes().to_vec(), None).await {
            Ok(batches) => {
                let text = pretty_format_batches(&batches).unwrap().to_string();
                let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
                rows.map(|row| row.split_whitespace().collect::<String>()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => describe(&error),
        }
    };
    let text = "{\"a.b\":1,\"S\":{\"@t\":2},\"Name\":\"x\"}";
    assert_eq!(read(&[], text).await, "||{ts:}|x|");
    assert_eq!(read(&[("dots.in.keys", "TRUE")], text).await, "|1|{ts:}|x|");
    assert_eq!(read(&[("ConvertDotsInJsonKeysToUnderscores", "true")], text).await, "|1|{ts:}|x|");
    assert_eq!(read(&[("mapping.ts", "@t")], text).await, "||{ts:2}|x|");
    assert_eq!(read(&[("case.insensitive", "false"), ("dots.in.keys", "true")], text).await, "|1|||");
    assert_eq!(
        read(&[("case.insensitive", "no")], text).await,
        "invalid value for property \"case.insensitive\": \"no\""
    );
    // What is malformed, and what is no value.
    let broken = "{\"a_b\":1}\nwhat is this\n{\"a_b\":\"x\",\"name\":\"y\"}\n";
    assert!(read(&[], broken).await.starts_with("22000 malformed JSON"));
    let ignore = ("ignore.malformed.json", "true");
    assert!(read(&[ignore], broken).await.starts_with("22P02 invalid input syntax for type integer: \"x\""));
    assert_eq!(read(&[ignore, ("use.null.for.invalid.data", "true")], broken).await, "|1||| |||| |||y|");
    assert!(read(&[ignore, ("limnos.on_error", "fail")], broken).await.starts_with("22000 malformed JSON"));
    assert_eq!(read(&[ignore, ("limnos.on_error", "skip")], broken).await, "|1|||");
    // Arrays, one after the other.
    assert_eq!(read(&[], "[{\"a_b\":1},{\"a_b\":2}]\n[{\"a_b\":3}]\n[]").await, "|1||| |2||| |3|||");
    assert!(
        read(&[("strip.outer.array", "false")], "[{}]")
            .await
            .starts_with("22000 malformed JSON: an object was expected")
    );
    // The first of two keys counts; what no number holds is told.
    assert_eq!(read(&[], "{\"a_b\":1,\"a_b\":\"x\",\"name\":1e400}").await, "|1||1e400|");
    for (number, expected) in [
        ("2147483648", "22003 value \"2147483648\" is out of range for type integer"),
        ("1e99", "22P02 invalid input syntax for type integer: \"1e99\""),
        ("1.5", "22P02 invalid input syntax for type integer: \"1.5\""),
    ] {
        let told = read(&[], &format!("{{\"a_b\":{number}}}")).await;
        assert!(told.starts_with(expected), "{told}");
    }
}

fn arrow_file() -> Vec<u8> {
    use arrow::array::{Float32Array, Int16Array, StringArray, UInt16Array};
    let batch = RecordBatch::try_from_iter([
        ("Delay", Arc::new(Int16Array::from(vec![Some(1), None, Some(-3)])) as arrow::array::ArrayRef),
        ("distance", Arc::new(UInt16Array::from(vec![1, 2, 65535]))),
        ("time", Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5]))),
        ("city", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
    ])
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

fn arrow_table() -> TableDefinition {
    let columns = vec![
        Column::new("city", DataType::String),
        Column::new("missing", DataType::Int),
        Column::new("delay", DataType::SmallInt),
        Column::new("distance", DataType::Int),
    ];
    table(FileFormat::Arrow, columns, &[])
}

#[tokio::test]
async fn arrow_files_are_read_by_name_and_cast() {
    let batches = scan(&arrow_table(), arrow_file(), None).await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    assert!(text.contains("| c    |         | -3    | 65535    |"), "{text}");
    let count: usize =
        scan(&arrow_table(), arrow_file(), Some(vec![])).await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, 6);
}

#[tokio::test]
async fn hostile_arrow_files_are_errors() {
    let good = arrow_file();
    for bytes in
        [b"ARROW1ARROW1".to_vec(), b"ARROW1\0\0\xff\xff\xff\x7fARROW1".to_vec(), good[..good.len() - 1].to_vec()]
    {
        let error = scan(&arrow_table(), bytes, None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DataCorrupted);
    }
    // Every byte of the file flipped in turn: an answer or an error of ours, never a panic.
    for index in 0..good.len() {
        let mut bytes = good.clone();
        bytes[index] ^= 0xff;
        let _ = scan(&arrow_table(), bytes, None).await;
    }
}
