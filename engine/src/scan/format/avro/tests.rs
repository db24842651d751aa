#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;
use limnos_catalog::{Column, DataType, FileFormat, TableDefinition};

use crate::ErrorCode;
use crate::scan::format::tests::{scan, table};

fn shown(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

pub(in crate::scan) fn sample(rows: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
    let names: ArrayRef =
        Arc::new((0..rows).map(|index| (index % 3 != 0).then(|| format!("name {index}"))).collect::<StringArray>());
    let counts: ArrayRef = Arc::new((0..rows).map(|index| Some(index as i32 * -7)).collect::<Int32Array>());
    RecordBatch::try_from_iter_with_nullable([("Id", ids, false), ("name", names, true), ("count", counts, true)])
        .unwrap()
}

pub(in crate::scan) fn file(batch: &RecordBatch, codec: Option<CompressionCodec>) -> Vec<u8> {
    let builder = WriterBuilder::new(batch.schema().as_ref().clone()).with_compression(codec);
    let mut writer = builder.build::<_, AvroOcfFormat>(Vec::new()).unwrap();
    writer.write(batch).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner()
}

fn definition() -> TableDefinition {
    let columns = vec![
        Column::new("name", DataType::String),
        Column::new("missing", DataType::Date),
        Column::new("id", DataType::Int),
    ];
    table(FileFormat::Avro, columns, &[])
}

#[tokio::test]
async fn files_of_every_codec_are_read_by_name_and_cast() {
    for codec in [
        None,
        Some(CompressionCodec::Deflate),
        Some(CompressionCodec::Snappy),
        Some(CompressionCodec::ZStandard),
        Some(CompressionCodec::Bzip2),
        Some(CompressionCodec::Xz),
    ] {
        let bytes = file(&sample(5), codec);
        let batches = scan(&definition(), bytes.clone(), None).await.unwrap();
        let text = shown(&batches);
        assert!(text.contains("| name 4 |         | 4  |") && text.contains("|        |         | 3  |"), "{text}");
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10, "{codec:?}");
        let counted = scan(&definition(), bytes, Some(vec![])).await.unwrap();
        assert_eq!(counted.iter().map(RecordBatch::num_rows).sum::<usize>(), 10, "{codec:?}");
    }
}

/// A file by hand: `schema`, and one block of `records` in `bytes`.
fn by_hand(schema: &str, records: i64, bytes: &[u8]) -> Vec<u8> {
    fn long(number: i64) -> Vec<u8> {
        let mut number = ((number << 1) ^ (number >> 63)) as u64;
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }
    let mark = [7_u8; 16];
    let text = |text: &str| [long(text.len() as i64), text.as_bytes().to_vec()].concat();
    [
        b"Obj\x01".to_vec(),
        long(1),
        text("avro.schema"),
        text(schema),
        long(0),
        mark.to_vec(),
        long(records),
        long(bytes.len() as i64),
        bytes.to_vec(),
        mark.to_vec(),
    ]
    .concat()
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

#[tokio::test]
async fn every_type_is_read() {
    let schema = record(
        r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["red","blue"]}},
           {"name":"u","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
           {"name":"m","type":{"type":"map","values":"int"}},
           {"name":"a","type":["null",{"type":"array","items":["string","null"]}]},
           {"name":"r","type":{"type":"record","name":"S","fields":[{"name":"X","type":"boolean"}]}},
           {"name":"t","type":{"type":"long","logicalType":"local-timestamp-millis"}},
           {"name":"z","type":{"type":"long","logicalType":"timestamp-micros"}},
           {"name":"w","type":{"type":"int","logicalType":"time-millis"}},
           {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},
           {"name":"x","type":["int","string"]}"#,
    );
    let uuid: Vec<u8> = (0..16).collect();
    let bytes = [
        &[2][..],
        &uuid,
        // One entry in a block that says how large it is, and the end.
        &[1, 6, 2, b'k', 10, 0],
        &[2, 4, 0, 2, b'a', 2, 0],
        &[1],
        &[0x80, 0x40],
        &[2],
        &[2],
        &[4, 0xff, 0x00],
        &[2, 2, b'!'],
    ]
    .concat();
    let columns = [
        ("e", "string"),
        ("u", "string"),
        ("m", "map<string,bigint>"),
        ("a", "array<string>"),
        ("r", "struct<x:boolean>"),
        ("t", "timestamp"),
        ("z", "timestamp with time zone"),
        ("w", "time"),
        ("d", "decimal(6,2)"),
    ];
    let mut columns: Vec<Column> =
        columns.iter().map(|(name, data_type)| Column::new(*name, data_type.parse().unwrap())).collect();
    let definition = table(FileFormat::Avro, columns.clone(), &[]);
    let text = shown(&scan(&definition, by_hand(&schema, 1, &bytes), None).await.unwrap());
    for value in [
        "| blue |",
        "| 00010203-0405-0607-0809-0a0b0c0d0e0f |",
        "| {k: 5} |",
        "| [a, ] |",
        "| {x: true} |",
        "| 1970-01-01T00:00:04.096 |",
        "| 1970-01-01T00:00:00.000001Z |",
        "| 00:00:00.001 |",
        "| -2.56 |",
    ] {
        assert!(text.contains(value), "{value}\n{text}");
    }
    columns.push(Column::new("x", DataType::String));
    let error = scan(&table(FileFormat::Avro, columns, &[]), by_hand(&schema, 1, &bytes), None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::FeatureNotSupported);
    assert_eq!(error.message, "column \"x\" of file \"/t/f\" has a type that is not supported");
}

/// Files that lie: each an error that names the file, none a shorter table, a panic or an endless loop.
#[tokio::test]
async fn files_that_lie_are_told() {
    let id = record(r#"{"name":"id","type":"int"}"#);
    let nulls = record(r#"{"name":"id","type":{"type":"array","items":"null"}}"#);
    let good = by_hand(&id, 2, &[2, 4]);
    let mut other_mark = good.clone();
    *other_mark.last_mut().unwrap() = 8;
    let table = table(FileFormat::Avro, vec![Column::new("id", DataType::Int)], &[]);
    assert_eq!(shown(&scan(&table, good.clone(), None).await.unwrap()).lines().count(), 6);
    for (bytes, code) in [
        (b"Obj\x01".to_vec(), ErrorCode::DataCorrupted),
        (b"Obj\x02........".to_vec(), ErrorCode::DataCorrupted),
        (good[..good.len() - 1].to_vec(), ErrorCode::DataCorrupted),
        (good[..good.len() - 17].to_vec(), ErrorCode::DataCorrupted),
        (other_mark, ErrorCode::DataCorrupted),
        // Fewer records than bytes, and more.
        (by_hand(&id, 1, &[2, 4]), ErrorCode::DataCorrupted),
        (by_hand(&id, 3, &[2, 4]), ErrorCode::DataCorrupted),
        (by_hand(&id, i64::MAX, &[2, 4]), ErrorCode::DataCorrupted),
        (by_hand(&id, 0, &[2, 4]), ErrorCode::DataCorrupted),
        (by_hand(&id, -1, &[2, 4]), ErrorCode::DataCorrupted),
        // A list of 2^62 NULLs.
        (by_hand(&nulls, 1, &[254, 255, 255, 255, 255, 255, 255, 255, 127, 0]), ErrorCode::ProgramLimitExceeded),
        (by_hand("[", 1, &[2]), ErrorCode::DataCorrupted),
        (by_hand("\"int\"", 1, &[2]), ErrorCode::FeatureNotSupported),
    ] {
        let error = scan(&table, bytes.clone(), None).await.unwrap_err();
        assert_eq!(error.code, code, "{bytes:?} {error:?}");
        assert!(error.message.contains("\"/t/f\""), "{error:?}");
    }
    // Records without a byte are as many as the block says.
    let empty = by_hand(&record(r#"{"name":"id","type":"null"}"#), 4, &[]);
    assert_eq!(scan(&table, empty, None).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
}
