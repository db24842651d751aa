//! Files that differ from their table: for each difference what a query gets (values, or an error that names file and
//! column), and what SHOW DRIFT says. One file never fails a table: other columns are read in every case.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use limnos_tests::client::rows;
use limnos_tests::lake::{batch, write_parquet};
use limnos_tests::server::TestServer;
use tokio_postgres::Client;

/// A column of a file in a column of a table.
struct Case {
    /// The file's column is called `c`.
    file: ArrayRef,
    /// The declared type.
    table: &'static str,
    /// The values in order, `;` between them; or a SQLSTATE.
    answer: &'static str,
    /// SHOW DRIFT's `file_type resolution`, empty for no row.
    drift: &'static str,
}

fn case(
    file: impl arrow::array::Array + 'static,
    table: &'static str,
    answer: &'static str,
    drift: &'static str,
) -> Case {
    Case { file: Arc::new(file), table, answer, drift }
}

fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
}

fn structs(names: [&str; 2], x: Vec<i32>, y: Vec<&str>) -> StructArray {
    StructArray::new(
        vec![Field::new(names[0], DataType::Int32, true), Field::new(names[1], DataType::Utf8, true)].into(),
        vec![Arc::new(Int32Array::from(x)), Arc::new(StringArray::from(y))],
        None,
    )
}

fn lists() -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None])
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let big = i64::from(i32::MAX) + 1;
    let day_us = 86_400_000_000_i64;
    vec![
        // Integers.
        case(Int8Array::from(vec![Some(-128), None]), "bigint", "-128;NULL", "tinyint widened"),
        case(Int16Array::from(vec![Some(7), None]), "int", "7;NULL", "smallint widened"),
        case(Int32Array::from(vec![Some(i32::MIN), None]), "bigint", "-2147483648;NULL", "int widened"),
        case(Int32Array::from(vec![Some(5), None]), "int", "5;NULL", ""),
        case(UInt32Array::from(vec![Some(u32::MAX), None]), "bigint", "4294967295;NULL", ""),
        case(UInt64Array::from(vec![Some(5), None]), "bigint", "5;NULL", "decimal(20,0) value error"),
        case(UInt64Array::from(vec![Some(u64::MAX), None]), "bigint", "22003", "decimal(20,0) value error"),
        case(UInt64Array::from(vec![Some(u64::MAX), None]), "decimal(20,0)", "18446744073709551615;NULL", ""),
        case(Int64Array::from(vec![Some(5), None]), "int", "5;NULL", "bigint value error"),
        case(Int64Array::from(vec![Some(big), None]), "int", "22003", "bigint value error"),
        case(Int32Array::from(vec![Some(300), None]), "tinyint", "22003", "int value error"),
        case(Int32Array::from(vec![Some(5), None]), "decimal(12,2)", "5.00;NULL", "int widened"),
        case(Int64Array::from(vec![Some(123_456), None]), "decimal(5,2)", "22003", "bigint value error"),
        case(Int32Array::from(vec![Some(5), None]), "double", "5;NULL", "int widened"),
        case(Int64Array::from(vec![Some((1 << 53) + 1), None]), "double", "9.007199254740992e+15;NULL", "bigint converted"),
        case(Int32Array::from(vec![Some(5), None]), "string", "5;NULL", "int converted"),
        case(Int32Array::from(vec![Some(2), Some(0)]), "boolean", "t;f", "int converted"),
        case(Int32Array::from(vec![Some(3), None]), "date", "1970-01-04;NULL", "int value error"),
        // Floats.
        case(Float32Array::from(vec![Some(1.5), None]), "double", "1.5;NULL", "float widened"),
        case(Float64Array::from(vec![Some(0.1), None]), "float", "0.1;NULL", "double converted"),
        case(Float64Array::from(vec![Some(1e300), None]), "float", "Infinity;NULL", "double converted"),
        case(Float64Array::from(vec![Some(1.0), None]), "bigint", "1;NULL", "double value error"),
        case(Float64Array::from(vec![Some(1e300), None]), "bigint", "22003", "double value error"),
        case(Float64Array::from(vec![Some(f64::NAN), None]), "int", "22003", "double value error"),
        case(Float64Array::from(vec![Some(1.25), None]), "decimal(10,1)", "1.3;NULL", "double value error"),
        case(Float64Array::from(vec![Some(1e30), None]), "decimal(10,2)", "22003", "double value error"),
        case(Float64Array::from(vec![Some(1.5), None]), "string", "1.5;NULL", "double converted"),
        // Decimals.
        case(decimals(vec![Some(150), None], 5, 2), "decimal(10,4)", "1.5000;NULL", "decimal(5,2) widened"),
        case(decimals(vec![Some(155), None], 5, 2), "decimal(10,1)", "1.6;NULL", "decimal(5,2) converted"),
        case(decimals(vec![Some(99_999), None], 5, 2), "decimal(4,2)", "22003", "decimal(5,2) value error"),
        case(decimals(vec![Some(150), None], 5, 2), "double", "1.5;NULL", "decimal(5,2) converted"),
        case(decimals(vec![Some(200), None], 5, 2), "int", "2;NULL", "decimal(5,2) value error"),
        case(decimals(vec![Some(150), None], 5, 2), "string", "1.50;NULL", "decimal(5,2) converted"),
        // Booleans.
        case(BooleanArray::from(vec![Some(true), None]), "int", "1;NULL", "boolean converted"),
        case(BooleanArray::from(vec![Some(true), None]), "string", "true;NULL", "boolean converted"),
        case(BooleanArray::from(vec![Some(true), None]), "date", "42804", "boolean value error"),
        case(BooleanArray::from(vec![None, None]), "date", "NULL;NULL", "boolean value error"),
        // Text.
        case(StringArray::from(vec![Some("12"), None]), "int", "12;NULL", "string value error"),
        case(StringArray::from(vec![Some("twelve"), None]), "int", "22P02", "string value error"),
        case(StringArray::from(vec![Some("1.5"), None]), "double", "1.5;NULL", "string value error"),
        case(StringArray::from(vec![Some("1.5"), None]), "decimal(5,2)", "1.50;NULL", "string value error"),
        case(StringArray::from(vec![Some("2024-02-29"), None]), "date", "2024-02-29;NULL", "string value error"),
        case(StringArray::from(vec![Some("2024-02-30"), None]), "date", "22008", "string value error"),
        case(StringArray::from(vec![Some("2024-02-29 01:02:03"), None]), "timestamp", "2024-02-29 01:02:03;NULL", "string value error"),
        case(StringArray::from(vec![Some("true"), None]), "boolean", "t;NULL", "string value error"),
        case(StringArray::from(vec![Some("maybe"), None]), "boolean", "22P02", "string value error"),
        case(StringArray::from(vec![Some("ab"), None]), "binary", "\\x6162;NULL", "string converted"),
        case(BinaryArray::from(vec![Some(&b"ab"[..]), None]), "string", "ab;NULL", "binary value error"),
        case(BinaryArray::from(vec![Some(&[0xff_u8][..]), None]), "string", "22021", "binary value error"),
        case(BinaryArray::from(vec![Some(&b"12"[..]), None]), "int", "42804", "binary value error"),
        // Dates and times.
        case(Date32Array::from(vec![Some(1), None]), "timestamp", "1970-01-02 00:00:00;NULL", "date widened"),
        case(Date32Array::from(vec![Some(1), None]), "string", "1970-01-02;NULL", "date converted"),
        case(Date32Array::from(vec![Some(1), None]), "int", "1;NULL", "date value error"),
        case(TimestampMicrosecondArray::from(vec![Some(day_us + 1), None]), "date", "1970-01-02;NULL", "timestamp converted"),
        case(TimestampNanosecondArray::from(vec![Some(1_999), None]), "timestamp", "1970-01-01 00:00:00.000001;NULL", ""),
        case(TimestampMillisecondArray::from(vec![Some(1), None]), "timestamp", "1970-01-01 00:00:00.001;NULL", ""),
        case(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("+02:00"), "timestamp with time zone", "1970-01-01 00:00:00.000001+00;NULL", ""),
        case(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC"), "timestamp", "1970-01-01 00:00:00.000001;NULL", "timestamp with time zone converted"),
        case(TimestampMicrosecondArray::from(vec![Some(1), None]), "timestamp with time zone", "1970-01-01 00:00:00.000001+00;NULL", "timestamp converted"),
        case(TimestampMicrosecondArray::from(vec![Some(1), None]), "string", "1970-01-01 00:00:00.000001;NULL", "timestamp converted"),
        case(TimestampMicrosecondArray::from(vec![Some(1), None]), "boolean", "42804", "timestamp value error"),
        // Nested.
        case(structs(["x", "y"], vec![1, 2], vec!["a", "b"]), "struct<x:bigint,y:string>", "{\"x\":1,\"y\":\"a\"};{\"x\":2,\"y\":\"b\"}", "struct<x:int,y:string> widened"),
        case(structs(["X", "y"], vec![1, 2], vec!["a", "b"]), "struct<y:string,x:int,z:int>", "{\"y\":\"a\",\"x\":1,\"z\":null};{\"y\":\"b\",\"x\":2,\"z\":null}", "struct<X:int,y:string> null"),
        case(structs(["x", "w"], vec![1, 2], vec!["a", "b"]), "struct<x:int>", "{\"x\":1};{\"x\":2}", "struct<x:int,w:string> ignored"),
        case(structs(["x", "y"], vec![1, 2], vec!["1", "b"]), "struct<x:int,y:int>", "22P02", "struct<x:int,y:string> value error"),
        case(structs(["x", "y"], vec![1, 2], vec!["a", "b"]), "int", "42804", "struct<x:int,y:string> value error"),
        case(Int32Array::from(vec![Some(1), None]), "struct<x:int>", "42804", "int value error"),
        case(Int32Array::from(vec![None, None]), "struct<x:int>", "NULL;NULL", "int value error"),
        case(lists(), "array<bigint>", "{1,NULL};NULL", "array<int> widened"),
        case(lists(), "array<string>", "{1,NULL};NULL", "array<int> converted"),
        case(lists(), "int", "42804", "array<int> value error"),
        case(Int32Array::from(vec![Some(1), None]), "array<int>", "42804", "int value error"),
    ]
}

fn shown(rows: Vec<Vec<Option<String>>>, between: &str) -> String {
    let row = |row: Vec<Option<String>>| {
        row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join(" ")
    };
    rows.into_iter().map(row).collect::<Vec<_>>().join(between)
}

/// What a query gives: its rows, or the SQLSTATE of its error, which must name the file.
async fn outcome(client: &Client, sql: &str, named: &[&str]) -> Result<String, String> {
    match client.simple_query(sql).await {
        Ok(_) => Ok(shown(rows(client, sql).await.unwrap(), ";")),
        Err(error) => {
            let db = error.as_db_error().unwrap();
            let told = format!("{} {}", db.message(), db.detail().unwrap_or_default());
            for named in named {
                if !told.contains(named) {
                    return Err(format!("{} {told:?} doesn't name {named}", db.code().code()));
                }
            }
            Ok(db.code().code().to_owned())
        }
    }
}

async fn lake() -> (tempfile::TempDir, TestServer, Client) {
    let root = tempfile::tempdir().unwrap();
    let server = TestServer::start(&[root.path()]).await.unwrap();
    let client = server.client().await.unwrap();
    (root, server, client)
}

async fn create(client: &Client, folder: &Path, columns: &str, format: &str) {
    let sql = format!("CREATE EXTERNAL TABLE t ({columns}) {format} LOCATION '{}'", folder.display());
    rows(client, &format!("DROP TABLE IF EXISTS t; {sql}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_columns_of_another_type() {
    let (root, server, client) = lake().await;
    let mut wrong = Vec::new();
    let cases = cases();
    for (number, case) in cases.iter().enumerate() {
        let folder = root.path().join(format!("c{number}"));
        let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..case.file.len() as i32));
        let file = batch(vec![("id", ids), ("C", Arc::clone(&case.file))]).unwrap();
        write_parquet(&folder.join("odd.parquet"), &[file], 1).unwrap();
        create(&client, &folder, &format!("id int, c {}", case.table), "STORED AS PARQUET").await;
        let what = format!("{number}: {:?} in {}", case.file.data_type(), case.table);
        let mut check = |question: &str, answer: Result<String, String>, expected: &str| {
            if answer.as_deref() != Ok(expected) {
                wrong.push(format!("{what}: {question}\n     got {answer:?}\n  wanted {expected}"));
            }
        };
        // The others are read whatever this column holds.
        let others = format!("{} {}", case.file.len(), case.file.len() - 1);
        check("others", outcome(&client, "SELECT count(*), sum(id) FROM t", &[]).await, &others);
        let answer = outcome(&client, "SELECT c FROM t ORDER BY id", &["odd.parquet", "\"c\""]).await;
        check("values", answer, case.answer);
        let drift = rows(&client, "SHOW DRIFT t").await.unwrap();
        let drift: Vec<String> = drift
            .into_iter()
            .map(|row| format!("{} {}", row[2].clone().unwrap_or_default(), row[4].clone().unwrap_or_default()))
            .collect();
        check("drift", Ok(drift.join(";")), case.drift);
        // Statistics say nothing that reading doesn't.
        let is_value = !(case.answer.len() == 5 && case.answer.starts_with(['2', '4']) && !case.answer.contains(';'));
        // Grouped, DataFusion's `min` of nothing but Infinity is the greatest finite float.
        let is_infinite = case.answer.contains("Infinity");
        if is_value && !is_infinite && !case.table.contains('<') && case.table != "boolean" {
            let asked = outcome(&client, "SELECT min(c), max(c), count(c) FROM t", &[]).await;
            let read = "SELECT min(m), max(x), sum(n) FROM
                        (SELECT min(c) AS m, max(c) AS x, count(c) AS n FROM t GROUP BY id) s";
            let read = outcome(&client, read, &[]).await;
            check("bounds", asked, read.as_deref().unwrap_or("an answer"));
        }
    }
    server.shutdown().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Columns that are missing, more, elsewhere or spelled otherwise: SHOW DRIFT's rows and a query's.
#[tokio::test(flavor = "multi_thread")]
async fn parquet_columns_by_name() {
    let (root, server, client) = lake().await;
    let folder = root.path().join("t");
    let int = |value: i32| Arc::new(Int32Array::from(vec![value])) as ArrayRef;
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        write_parquet(&folder.join(name), &[batch(columns).unwrap()], 10).unwrap();
    };
    write("dt=1/a.parquet", vec![("id", int(1)), ("name", text("one")), ("value", int(10))]);
    write("dt=1/b.parquet", vec![("VALUE", int(20)), ("Id", int(2)), ("Name", text("two"))]);
    write("dt=1/c.parquet", vec![("id", int(3)), ("value", int(30))]);
    write("dt=2/d.parquet", vec![("id", int(4)), ("name", text("four")), ("more", int(0)), ("dt", int(99))]);
    write("dt=2/e.parquet", vec![("Name", text("not")), ("name", text("five")), ("id", int(5)), ("value", int(50))]);
    let sql = format!(
        "CREATE EXTERNAL TABLE t (id int, name string, value bigint) PARTITIONED BY (dt int)
         STORED AS PARQUET LOCATION '{}'; MSCK REPAIR TABLE t",
        folder.display()
    );
    rows(&client, &sql).await.unwrap();
    let expect = async |sql: &str, wanted: &str| {
        assert_eq!(shown(rows(&client, sql).await.unwrap(), ";"), wanted, "{sql}");
    };
    expect(
        "SELECT id, name, value, dt FROM t ORDER BY id",
        "1 one 10 1;2 two 20 1;3 NULL 30 1;4 four NULL 2;5 five 50 2",
    )
    .await;
    expect("SELECT count(name), count(value), min(value), max(value) FROM t", "4 4 10 50").await;
    expect("SELECT id FROM t WHERE name IS NULL", "3").await;
    expect("SELECT id FROM t WHERE value IS NULL", "4").await;
    expect("SELECT id FROM t WHERE value > 25 ORDER BY id", "3;5").await;
    let drift = rows(&client, "SHOW DRIFT FROM t").await.unwrap();
    let drift: Vec<String> = drift
        .into_iter()
        .map(|row| {
            let name = row[6].as_deref().and_then(|url| url.rsplit('/').next()).unwrap_or_default().to_owned();
            format!("{} {name}", shown(vec![row[..5].to_vec()], ""))
        })
        .collect();
    assert_eq!(
        drift,
        [
            "Name NULL string 1 ignored e.parquet",
            "dt NULL int 1 ignored d.parquet",
            "more NULL int 1 ignored d.parquet",
            "name string NULL 1 null c.parquet",
            "value bigint NULL 1 null d.parquet",
            "value bigint int 4 widened a.parquet",
        ]
    );
    // A file that can't be read is told, and the others are still compared.
    std::fs::write(folder.join("dt=1/broken.parquet"), b"PAR1PAR1").unwrap();
    assert_eq!(rows(&client, "SHOW DRIFT t").await.unwrap().len(), 6);
    std::fs::remove_file(folder.join("dt=1/broken.parquet")).unwrap();
    server.shutdown().await;
}

/// Text files have no types: what is written stands in whatever column the table declares.
#[tokio::test(flavor = "multi_thread")]
async fn text_values_of_another_type() {
    let (root, server, client) = lake().await;
    let csv = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','";
    let json = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'";
    // Format, file, declared type of `c`, answer.
    let cases = [
        (csv, "1,12\n2,\n", "bigint", "12;NULL"),
        (csv, "1,12.0\n", "int", "22P02"),
        (csv, "1,twelve\n", "int", "22P02"),
        (csv, "1,3000000000\n", "int", "22003"),
        (csv, "1,1.5\n", "double", "1.5"),
        (csv, "1,1.5\n", "decimal(5,2)", "1.50"),
        (csv, "1,2024-02-29\n", "date", "2024-02-29"),
        (csv, "1,2024-02-30\n", "date", "22008"),
        (csv, "1,true\n", "boolean", "t"),
        (csv, "1,maybe\n", "boolean", "22P02"),
        (csv, "1\n", "string", "NULL"),
        (json, "{\"id\":1,\"c\":12}\n{\"id\":2}\n", "bigint", "12;NULL"),
        (json, "{\"id\":1,\"C\":\"12\"}\n", "int", "12"),
        (json, "{\"c\":12,\"id\":1,\"more\":[1]}\n", "int", "12"),
        (json, "{\"id\":1,\"c\":66.0}\n", "int", "66"),
        (json, "{\"id\":1,\"c\":1.5}\n", "int", "22P02"),
        (json, "{\"id\":1,\"c\":3000000000}\n", "int", "22003"),
        (json, "{\"id\":1,\"c\":\"twelve\"}\n", "int", "22P02"),
        (json, "{\"id\":1,\"c\":true}\n", "string", "true"),
        (json, "{\"id\":1,\"c\":{\"a\":1}}\n", "string", "{\"a\":1}"),
        (json, "{\"id\":1,\"c\":{\"a\":1}}\n", "int", "22P02"),
        (json, "{\"id\":1,\"c\":[1,2]}\n", "array<bigint>", "{1,2}"),
        (json, "{\"id\":1,\"c\":5}\n", "array<int>", "22P02"),
        (json, "{\"id\":1,\"c\":{\"X\":1}}\n", "struct<x:bigint,y:int>", "{\"x\":1,\"y\":null}"),
    ];
    let mut wrong = Vec::new();
    for (number, (format, text, data_type, expected)) in cases.iter().enumerate() {
        let folder = root.path().join(format!("c{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("odd.txt"), text).unwrap();
        create(&client, &folder, &format!("id int, c {data_type}"), format).await;
        let others = outcome(&client, "SELECT count(*), min(id) FROM t", &[]).await;
        let count = text.lines().count();
        if others.as_deref() != Ok(format!("{count} 1").as_str()) {
            wrong.push(format!("{number}: {text:?} others: {others:?}"));
        }
        let answer = outcome(&client, "SELECT c FROM t ORDER BY id", &["odd.txt", "\"c\""]).await;
        if answer.as_deref() != Ok(expected) {
            wrong.push(format!("{number}: {text:?} in {data_type}: got {answer:?}, wanted {expected}"));
        }
        assert!(rows(&client, "SHOW DRIFT t").await.unwrap().is_empty());
        // Counted once, known after; counting meets no value.
        rows(&client, "ANALYZE t").await.unwrap();
        assert_eq!(outcome(&client, "SELECT count(*) FROM t", &[]).await, Ok(count.to_string()), "{text:?}");
    }
    // A line of more fields than the table has columns is none of its rows: told by file and line, as COPY does.
    let folder = root.path().join("longer");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("odd.txt"), "1,a,more\n").unwrap();
    create(&client, &folder, "id int, c string", csv).await;
    limnos_tests::client::fails(&client, "SELECT c FROM t", "22000", "odd.txt").await.unwrap();
    server.shutdown().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
