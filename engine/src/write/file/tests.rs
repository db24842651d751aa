//! Written, then read by the readers of tables: equal, or refused.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "tests")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema};
use limnos_catalog::{Column, DataType, FileFormat, TableDefinition, TableKind};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use super::*;
use crate::scan::format::column::ColumnBuilder;
use crate::scan::format::tests::{scan, table};
use crate::scan::schema::{arrow_schema, catalog_field_type};

/// Texts that mean something to one format or another.
const HARD_TEXTS: &str = r##"[null, "", " ", "\\N", "NULL", "a,b", "a\tb", "a\u0001b", "\"", "\"q\"", "a\"b", "\\", "\\\\,", "\\\"",
    "a\nb", "\r", "\r\n", "-", "#x", "\\.", " a ", "é\u4e2d\ud83d\ude00", "\ufeffx", "'", "x", "{}", "[1,2]", "\u0000\u001f\u007f"]"##;

/// The values of a column of each type, as JSON.
fn types() -> Vec<(&'static str, &'static str)> {
    vec![
        ("boolean", "[true, false, null]"),
        ("tinyint", "[-128, 127, null, 0]"),
        ("smallint", "[-32768, 32767, null]"),
        ("int", "[-2147483648, 2147483647, null, 5]"),
        ("bigint", "[-9223372036854775808, 9223372036854775807, null, 0]"),
        ("float", r#"[0.1, "-0", "NaN", "Infinity", "-Infinity", 3.4028235e38, 1e-45, 16777217, null]"#),
        (
            "double",
            r#"[0.1, "-0", "NaN", "Infinity", "-Infinity", 1.7976931348623157e308, 5e-324, 9007199254740993, null]"#,
        ),
        ("decimal(38,10)", "[12345678901234567890.1234567891, -0.0000000001, 0, null]"),
        ("decimal(5,2)", "[999.99, -1.5, null]"),
        ("string", HARD_TEXTS),
        ("binary", r#"["", "AP8=", "\\x0a0d2c22", null]"#),
        ("date", r#"["1970-01-01", "0001-01-01", "9999-12-31", "1582-10-10", null]"#),
        (
            "timestamp",
            r#"["1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.5", null]"#,
        ),
        (
            "timestamp with time zone",
            r#"["1970-01-01 00:00:00+00", "1969-12-31 23:59:59.999999Z", "2024-02-29 12:00:00+02:00", null]"#,
        ),
        ("time", r#"["00:00:00", "23:59:59.999999", "12:30", null]"#),
        ("json", r#"[{"a": [1, "x\ny"]}, "text", 1.50, [], true, null]"#),
        ("array<int>", "[[1, null, 3], [], null]"),
        ("array<string>", r#"[["a,b", "", null, "\"", "\\"], [], null]"#),
        ("map<string,double>", r#"[{"a b": 1, "": null, "c\"": "NaN"}, {}, null]"#),
        (
            "struct<a:int,b:array<struct<c:string,d:date>>>",
            r#"[{"a": 1, "b": [{"c": "x\ny", "d": "2024-01-01"}, null]}, {"a": null, "b": null}, null]"#,
        ),
    ]
}

/// A column of `data_type` with the values of a JSON array, repeated to `rows`.
fn column(data_type: &DataType, values: &str, rows: usize) -> ArrayRef {
    let values: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(values).unwrap();
    let mut builder = ColumnBuilder::new(data_type, None);
    for row in 0..rows {
        let text = values[row % values.len()].get();
        if text == "null" {
            builder.append_null();
        } else {
            let mut cursor = crate::scan::format::json::cursor::Cursor::new(text);
            builder.append_json(&mut cursor, crate::scan::format::column::OnValue::Fail).unwrap();
        }
    }
    builder.finish()
}

/// A batch with a column `id` and one of each type that `wanted` takes.
fn batch(wanted: impl Fn(&DataType) -> bool, rows: usize) -> (Vec<Column>, RecordBatch) {
    let mut columns = vec![Column::new("id", DataType::BigInt)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(arrow::array::Int64Array::from_iter_values(0..rows as i64))];
    for (index, (name, values)) in types().into_iter().enumerate() {
        let data_type: DataType = name.parse().unwrap();
        if wanted(&data_type) {
            arrays.push(column(&data_type, values, rows));
            columns.push(Column::new(format!("c{index}"), data_type));
        }
    }
    let batch = RecordBatch::try_new(arrow_schema(&columns), arrays).unwrap();
    (columns, batch)
}

async fn write(batches: &[RecordBatch], options: &FileOptions) -> Result<(WrittenFile, Vec<u8>)> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = Path::from(format!("t/f.{}", options.extension()));
    let mut writer = FileWriter::create(Arc::clone(&store), path.clone(), batches[0].schema(), options)?;
    for batch in batches {
        writer.write(batch).await?;
    }
    let written = writer.finish().await?;
    let bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    assert_eq!(written.meta, store.head(&path).await.unwrap());
    assert_eq!(written.row_count, batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
    Ok((written, bytes))
}

fn assert_equal(read: &[RecordBatch], written: &RecordBatch, what: &str) {
    let rows: usize = read.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, written.num_rows(), "{what}");
    let read = concat_batches(&read[0].schema(), read).unwrap();
    for (index, field) in written.schema().fields().iter().enumerate() {
        let column = cast(read.column(index), field.data_type()).unwrap();
        for row in 0..written.num_rows() {
            let (left, right) = (column.slice(row, 1), written.column(index).slice(row, 1));
            assert_eq!(&left, &right, "{what}: column {} row {row}", field.name());
        }
    }
}

fn definition(
    format: FileFormat,
    columns: &[Column],
    properties: &[(&str, &str)],
    serde: Option<&str>,
) -> TableDefinition {
    let mut definition = table(format, columns.to_vec(), properties);
    if let TableKind::External(storage) = &mut definition.kind {
        storage.serde = serde.map(str::to_owned);
    }
    definition
}

#[tokio::test]
async fn text_and_arrow_read_back_equal() {
    let cases: [(FileFormat, &[(&str, &str)], Option<&str>); 11] = [
        (FileFormat::Json, &[], None),
        (FileFormat::Json, &[("limnos.json.layout", "array")], None),
        (FileFormat::Json, &[("limnos.timestamp_format", "%d.%m.%Y %H:%M:%S%.6f")], None),
        (FileFormat::Arrow, &[], None),
        (FileFormat::Csv, &[("field.delim", ","), ("quoteChar", "\""), ("skip.header.line.count", "1")], None),
        (FileFormat::Csv, &[("field.delim", ","), ("quoteChar", "\""), ("serialization.null.format", "")], None),
        (FileFormat::Csv, &[("field.delim", "\\t"), ("quoteChar", "'"), ("escapeChar", "\\\\")], None),
        (FileFormat::Csv, &[("escape.delim", "\\")], None),
        (FileFormat::Csv, &[("escape.delim", "^"), ("field.delim", ","), ("collection.delim", "|")], None),
        (FileFormat::Csv, &[("serialization.null.format", "NULL")], Some("org.apache.hadoop.hive.serde2.OpenCSVSerde")),
        (FileFormat::Csv, &[("quoteChar", "\""), ("limnos.comment", "#"), ("skip.header.line.count", "3")], None),
    ];
    let (columns, rows) = batch(|_| true, 90);
    for (format, properties, serde) in cases {
        let definition = definition(format, &columns, properties, serde);
        let options = FileOptions::for_table(&definition).unwrap();
        let (_, bytes) = write(&[rows.slice(0, 50), rows.slice(50, 40)], &options).await.unwrap();
        let read = scan(&definition, bytes, None).await.unwrap();
        assert_equal(&read, &rows, &format!("{format:?} {properties:?}"));
    }
}

#[tokio::test]
async fn every_compression_of_text_is_unpacked_again() {
    let (columns, rows) = batch(|_| true, 1000);
    for format in [FileFormat::Json, FileFormat::Csv] {
        for (compression, level) in
            [("none", ""), ("gzip", ""), ("gzip", "9"), ("zlib", "1"), ("zstd", "19"), ("bzip2", "1"), ("xz", "0")]
        {
            let properties = [("compression", compression), ("quoteChar", "\"")];
            let mut definition = definition(format, &columns, &properties, None);
            if !level.is_empty() {
                definition.parameters.insert("compression_level".into(), level.into());
            }
            let options = FileOptions::for_table(&definition).unwrap();
            let (_, bytes) = write(std::slice::from_ref(&rows), &options).await.unwrap();
            let read = scan(&definition, bytes, None).await.unwrap();
            assert_equal(&read, &rows, &format!("{format:?} {compression} {level}"));
        }
    }
    // What readers learn elsewhere is checked with the programs' own decoders.
    use std::io::Read as _;
    let plain = definition(FileFormat::Json, &columns, &[], None);
    let (_, plain) = write(std::slice::from_ref(&rows), &FileOptions::for_table(&plain).unwrap()).await.unwrap();
    for compression in ["lz4", "snappy"] {
        let definition = definition(FileFormat::Json, &columns, &[("compression", compression)], None);
        let (_, bytes) =
            write(std::slice::from_ref(&rows), &FileOptions::for_table(&definition).unwrap()).await.unwrap();
        let mut unpacked = Vec::new();
        match compression {
            "lz4" => lz4_flex::frame::FrameDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap(),
            _ => snap::read::FrameDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap(),
        };
        assert!(unpacked == plain, "{compression}");
    }
}

#[tokio::test]
async fn parquet_reads_back_equal_and_tells_its_facts() {
    let (columns, rows) = batch(|_| true, 1000);
    for compression in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"] {
        let mut options = FileOptions::new(FileKind::Parquet, Some(compression), None).unwrap();
        options.row_group_bytes = 16 << 10;
        let (written, bytes) = write(&[rows.slice(0, 400), rows.slice(400, 600)], &options).await.unwrap();
        let builder =
            ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
        let builder = builder.unwrap();
        assert!(builder.metadata().num_row_groups() > 1);
        assert!(builder.metadata().file_metadata().created_by().unwrap().starts_with("limnos "));
        let facts = crate::scan::facts::facts_of(builder.metadata()).unwrap();
        assert_eq!(written.facts.as_ref(), Some(&facts));
        assert_eq!(facts.row_count, 1000);
        assert!(facts.columns[0].min.is_some());
        for (column, fact) in columns.iter().zip(&facts.columns) {
            if !matches!(column.data_type, DataType::Json) {
                assert_eq!(fact.data_type.as_ref(), Some(&column.data_type), "{}", column.name);
            }
        }
        let read: Vec<RecordBatch> = builder.build().unwrap().map(std::result::Result::unwrap).collect();
        assert_equal(&read, &rows, compression);
    }
}

#[tokio::test]
async fn avro_reads_back_equal() {
    let (_, rows) = batch(|_| true, 9000);
    for compression in ["none", "snappy", "gzip", "zstd", "bzip2", "xz"] {
        let options = FileOptions::new(FileKind::Avro, Some(compression), None).unwrap();
        let (_, bytes) = write(std::slice::from_ref(&rows), &options).await.unwrap();
        let reader = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(bytes)).unwrap();
        let read: Vec<RecordBatch> = reader.map(std::result::Result::unwrap).collect();
        assert_equal(&read, &rows, compression);
    }
}

#[tokio::test]
async fn orc_reads_back_equal_and_refuses_what_its_writer_lacks() {
    let is_written =
        |data_type: &DataType| !data_type.is_nested() && !matches!(data_type, DataType::Decimal(..) | DataType::Time);
    let (columns, rows) = batch(is_written, 9000);
    // ORC keeps seconds and their fraction apart and has no -0 seconds: its writer refuses what would read as later.
    let ends = |value: &str| {
        let mut arrays = rows.columns().to_vec();
        for (index, column) in columns.iter().enumerate() {
            if matches!(column.data_type, DataType::Timestamp | DataType::TimestampTz) {
                arrays[index] =
                    self::column(&column.data_type, &format!("[\"2024-02-29 12:00:00.5\", \"{value}\", null]"), 9000);
            }
        }
        RecordBatch::try_new(rows.schema(), arrays).unwrap()
    };
    let options = FileOptions::new(FileKind::Orc, None, None).unwrap();
    let error = write(&[ends("1969-12-31 23:59:59.999999")], &options).await.unwrap_err();
    assert_eq!(error.message, "the rows cannot be written as ORC");
    let rows = ends("1969-12-31 23:59:58.5");
    for compression in ["none", "zlib", "snappy", "zstd", "lz4"] {
        let mut options = FileOptions::new(FileKind::Orc, Some(compression), None).unwrap();
        options.row_group_bytes = 64 << 10;
        let (_, bytes) = write(&[rows.slice(0, 5), rows.slice(5, 8995)], &options).await.unwrap();
        let reader = orc_rust::ArrowReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        let options =
            orc_rust::ArrowSchemaOptions::new().with_timestamp_precision(orc_rust::TimestampPrecision::Microsecond);
        let schema =
            reader.file_metadata().root_data_type().create_arrow_schema_with_options(&Default::default(), options);
        let read: Vec<RecordBatch> =
            reader.with_schema(Arc::new(schema)).build().map(std::result::Result::unwrap).collect();
        assert_equal(&read, &rows, compression);
    }
    for (name, _) in types() {
        let data_type: DataType = name.parse().unwrap();
        let schema = arrow_schema(&[Column::new("c", data_type.clone())]);
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let options = FileOptions::new(FileKind::Orc, None, None).unwrap();
        let created = FileWriter::create(store, Path::from("f"), schema, &options);
        match created {
            Ok(_) => assert!(is_written(&data_type), "{data_type}"),
            Err(error) => {
                assert!(!is_written(&data_type), "{data_type}");
                assert_eq!(error.code.sqlstate(), "0A000");
                assert_eq!(error.message, format!("column \"c\" of type {data_type} cannot be written to ORC files"));
            }
        }
    }
}

#[tokio::test]
async fn types_of_queries_become_types_of_tables() {
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX]))),
        (
            "d",
            cast(
                &(Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
                &arrow::datatypes::DataType::Dictionary(
                    Box::new(arrow::datatypes::DataType::Int32),
                    Box::new(arrow::datatypes::DataType::Utf8),
                ),
            )
            .unwrap(),
        ),
        ("t", Arc::new(arrow::array::TimestampNanosecondArray::from(vec![1_500_000_000_123_456_789]))),
        ("n", Arc::new(arrow::array::NullArray::new(1))),
        ("i", Arc::new(arrow::array::IntervalYearMonthArray::from(vec![14]))),
    ];
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let columns: Vec<Column> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| Column::new(field.name(), catalog_field_type(field).unwrap()))
        .collect();
    let definition = definition(FileFormat::Json, &columns, &[], None);
    let (_, bytes) = write(&[batch], &FileOptions::for_table(&definition).unwrap()).await.unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "{\"u\":18446744073709551615,\"d\":\"x\",\"t\":\"2017-07-14 02:40:00.123456\",\"n\":null,\"i\":\"1 year 2 mons\"}\n"
    );
}

#[tokio::test]
async fn what_cannot_be_said_is_refused() {
    let text = |value: Option<&str>| {
        RecordBatch::try_new(
            arrow_schema(&[Column::new("a", DataType::String), Column::new("b", DataType::Int)]),
            vec![
                Arc::new(arrow::array::StringViewArray::from(vec![value])) as ArrayRef,
                Arc::new(arrow::array::Int32Array::from(vec![Some(1)])),
            ],
        )
        .unwrap()
    };
    let columns = [Column::new("a", DataType::String), Column::new("b", DataType::Int)];
    let open_csv = Some("OpenCSVSerde");
    let cases: [(&[(&str, &str)], Option<&str>, Option<&str>, Option<&str>); 10] = [
        (&[], None, Some("a\u{1}b"), Some("It holds the delimiter or a line break")),
        (&[], None, Some("a\nb"), Some("It holds the delimiter or a line break")),
        (&[], None, Some("\\N"), Some("It is the text that stands for NULL")),
        (&[], None, None, None),
        (&[("escape.delim", "\\\\")], None, Some("a\u{1}\n\\b"), None),
        (&[("escape.delim", "\\\\")], None, Some("\\N"), None),
        (&[("escape.delim", "^")], None, Some("\\N"), None),
        (&[], open_csv, None, Some("It is NULL")),
        (&[], open_csv, Some("\\N\"\\"), None),
        (&[("limnos.comment", "#")], None, Some("#"), Some("It begins as a comment does")),
    ];
    for (properties, serde, value, refused) in cases {
        let definition = definition(FileFormat::Csv, &columns, properties, serde);
        let batch = text(value);
        let written = write(std::slice::from_ref(&batch), &FileOptions::for_table(&definition).unwrap()).await;
        match (written, refused) {
            (Ok((_, bytes)), None) => {
                assert_equal(&scan(&definition, bytes, None).await.unwrap(), &batch, &format!("{value:?}"));
            }
            (Err(error), Some(reason)) => {
                assert_eq!(error.message, "a value of column \"a\" cannot be written to delimited text files");
                assert!(error.detail.unwrap().starts_with(reason), "{value:?}");
            }
            (Ok(_), Some(_)) => panic!("{properties:?} {value:?} was written"),
            (Err(error), None) => panic!("{properties:?} {value:?}: {error} {:?}", error.detail),
        }
    }
    // A first cell that looks like the head of a packed file: zlib's, then bzip2's.
    for value in ["x", "BZh91"] {
        let definition = definition(FileFormat::Csv, &columns, &[], None);
        let batch = text(Some(value));
        let (_, bytes) =
            write(std::slice::from_ref(&batch), &FileOptions::for_table(&definition).unwrap()).await.unwrap();
        assert_equal(&scan(&definition, bytes, None).await.unwrap(), &batch, value);
    }
    for (kind, name, level, code) in [
        (FileKind::Parquet, "bzip2", None, "0A000"),
        (FileKind::Parquet, "nope", None, "22023"),
        (FileKind::Parquet, "zstd", Some(23), "22023"),
        (FileKind::Parquet, "snappy", Some(1), "22023"),
        (FileKind::Orc, "zstd", Some(3), "0A000"),
    ] {
        assert_eq!(FileOptions::new(kind, Some(name), level).unwrap_err().code.sqlstate(), code, "{name}");
    }
    let twice = Arc::new(Schema::new(vec![
        Field::new("a", arrow::datatypes::DataType::Int32, true),
        Field::new("a", arrow::datatypes::DataType::Int32, true),
    ]));
    let options = FileOptions::new(FileKind::Parquet, None, None).unwrap();
    let error = FileWriter::create(Arc::new(InMemory::new()), Path::from("f"), twice, &options).unwrap_err();
    assert_eq!(error.code.sqlstate(), "42701");
}

/// As `COPY ... TO` of PostgreSQL 15 writes them.
#[tokio::test]
async fn text_with_backslashes_is_postgresqls() {
    let csv = crate::scan::format::csv::CsvOptions {
        delimiter: b'|',
        quote: None,
        escape: None,
        null: Some("\\N".to_owned()),
        header_rows: 1,
        serial_dates: false,
        dash_is_null: false,
        comment: None,
        on_error: None,
        missing_is_null: false,
        dialect: crate::scan::format::csv::Dialect::Plain,
    };
    let text = TextOptions { csv, hex: true, backslash: true, formats: Vec::new() };
    let options = FileOptions::new(FileKind::Text(text), None, None).unwrap();
    let values = vec![Some("a|b\\c\nd\te"), Some("\\N"), Some(""), None];
    let batch = RecordBatch::try_new(
        arrow_schema(&[Column::new("x", DataType::String), Column::new("y", DataType::Binary)]),
        vec![
            Arc::new(arrow::array::StringViewArray::from(values)) as ArrayRef,
            Arc::new(arrow::array::BinaryViewArray::from(vec![Some(&[0_u8, 255][..]), None, None, None])),
        ],
    )
    .unwrap();
    let (_, bytes) = write(&[batch], &options).await.unwrap();
    let wanted = "x|y\na\\|b\\\\c\\nd\\te|\\\\x00ff\n\\\\N|\\N\n|\\N\n\\N|\\N\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
}

#[tokio::test]
async fn large_files_go_in_parts_in_bounded_memory_and_leave_nothing_when_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let stores = crate::scan::store::Stores::new(&crate::scan::store::StoreOptions {
        roots: vec![root.to_str().unwrap().to_owned()],
        ..Default::default()
    })
    .unwrap();
    let location = stores.resolve(root.join("t/f.json").to_str().unwrap()).unwrap();
    let text = "x".repeat(1 << 20);
    let batch = RecordBatch::try_new(
        arrow_schema(&[Column::new("a", DataType::String)]),
        vec![Arc::new(arrow::array::StringViewArray::from(vec![text.as_str(); 4])) as ArrayRef],
    )
    .unwrap();
    let definition = definition(FileFormat::Json, &[Column::new("a", DataType::String)], &[], None);
    let options = FileOptions::for_table(&definition).unwrap();
    let names = || -> Vec<String> {
        std::fs::read_dir(root.join("t")).map_or_else(
            |_| Vec::new(),
            |entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect(),
        )
    };
    for finish in [true, false] {
        let mut writer =
            FileWriter::create(Arc::clone(&location.store), location.path.clone(), batch.schema(), &options).unwrap();
        for _ in 0..20 {
            writer.write(&batch).await.unwrap();
            assert!(writer.memory_size() < 64 << 20, "{}", writer.memory_size());
        }
        assert!(writer.bytes_written() > 80 << 20);
        if finish {
            assert!(names().iter().all(|name| name.starts_with(".f.json.") && name.ends_with(".part")));
            let written = writer.finish().await.unwrap();
            let listed = crate::scan::listing::list_location(location.store.as_ref(), &location).await.unwrap();
            assert_eq!(listed[0].meta, written.meta);
            assert_eq!(names(), ["f.json"]);
            std::fs::remove_file(root.join("t/f.json")).unwrap();
        } else {
            writer.abort().await;
            assert!(names().is_empty(), "{:?}", names());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a table's characters are, a text reads back as itself or is refused.
    #[test]
    fn any_text_in_any_layout(
        texts in prop::collection::vec(prop::option::of(r##"[a\\N"',|#\t\n\r\x01 -]{0,6}"##), 1..20),
        delimiter in prop::sample::select(vec![",", "|", "\\t", "\\001", "a"]),
        quote in prop::sample::select(vec!["", "\"", "'"]),
        escape in prop::sample::select(vec!["", "\\\\", "'", "\""]),
        null in prop::sample::select(vec!["\\N", "", "NULL", "a"]),
        comment in prop::sample::select(vec!["", "#"]),
        columns in 1..3_usize,
    ) {
        let columns: Vec<Column> = (0..columns).map(|index| Column::new(format!("c{index}"), DataType::String)).collect();
        let array: ArrayRef = Arc::new(arrow::array::StringViewArray::from(
            texts.iter().map(Option::as_deref).collect::<Vec<_>>(),
        ));
        let batch = RecordBatch::try_new(arrow_schema(&columns), vec![array; columns.len()]).unwrap();
        let mut properties = vec![("field.delim", delimiter), ("quoteChar", quote), ("escapeChar", escape)];
        properties.push(("serialization.null.format", null));
        if !comment.is_empty() {
            properties.push(("limnos.comment", comment));
        }
        let definition = definition(FileFormat::Csv, &columns, &properties, None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let options = FileOptions::for_table(&definition).unwrap();
            // Row by row, so that one refused row doesn't hide the others.
            for row in 0..batch.num_rows() {
                let row = batch.slice(row, 1);
                if let Ok((_, bytes)) = write(std::slice::from_ref(&row), &options).await {
                    let read = scan(&definition, bytes, None).await.unwrap();
                    assert!(!read.is_empty(), "no row of {row:?}");
                    assert_equal(&read, &row, &format!("{properties:?}"));
                }
            }
        });
    }
}
