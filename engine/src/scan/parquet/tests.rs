#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::ErrorCode;
use crate::scan::broken::Lake;

fn file(compression: Compression) -> Vec<u8> {
    let ids: ArrayRef = Arc::new((0..1000).map(Some).collect::<Int64Array>());
    let names: ArrayRef = Arc::new((0..1000).map(|id| Some(format!("name {}", id % 10))).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_is_read_but_lzo() {
    let mut lake = Lake::new();
    let path = lake.folder.path().join("f.parquet");
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        // As Hadoop frames it, which the format has given up.
        Compression::LZ4,
    ] {
        std::fs::write(&path, file(compression)).unwrap();
        let read =
            lake.sql("SELECT count(*), max(id) - min(id), count(DISTINCT name) FROM '$L/f.parquet'").await.unwrap();
        let shown = pretty_format_batches(&read).unwrap().to_string();
        assert!(shown.lines().nth(3).unwrap().replace(' ', "").contains("|1000|999|10|"), "{compression:?}\n{shown}");
    }
    // The codec in the columns' metadata, field 4 with a number of values behind it: from zstd to LZO.
    let mut bytes = file(Compression::ZSTD(ZstdLevel::default()));
    let places: Vec<usize> =
        (0..bytes.len() - 3).filter(|place| bytes[*place..*place + 3] == [0x15, 0x0c, 0x16]).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| bytes[place + 1] = 0x06);
    std::fs::write(&path, bytes).unwrap();
    let error = lake.sql("SELECT sum(id) FROM '$L/f.parquet'").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::FeatureNotSupported, "{error:?}");
    assert!(format!("{error:?}").contains("f.parquet") && format!("{error:?}").contains("LZO"), "{error:?}");
}

/// Lists as the first writers wrote them, a repeated field without a word that it is a list.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_fields_without_annotation_are_lists() {
    let message = "message m {
        required int32 id;
        optional group phones { repeated group phone { required int64 number; optional binary kind (UTF8); } }
        repeated int32 bare;
    }";
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(parse_message_type(message).unwrap()), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[1, 2, 3], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[10, 20], Some(&[0, 1, 2, 2]), Some(&[0, 0, 0, 1])).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let home = [ByteArray::from("home")];
    column.typed::<ByteArrayType>().write_batch(&home, Some(&[0, 1, 3, 2]), Some(&[0, 0, 0, 1])).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[5, 6, 7], Some(&[0, 1, 1, 1]), Some(&[0, 0, 0, 1])).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let mut lake = Lake::new();
    std::fs::write(lake.folder.path().join("f.parquet"), bytes).unwrap();
    let read = lake.sql("SELECT * FROM '$L/f.parquet' ORDER BY id").await.unwrap();
    let shown = pretty_format_batches(&read).unwrap().to_string();
    let rows: Vec<&str> = shown.lines().skip(3).take(3).collect();
    assert!(rows[0].starts_with("| 1 ") && rows[0].ends_with("| []     |"), "{shown}");
    assert!(rows[1].contains("{phone: []}") && rows[1].contains("[5]"), "{shown}");
    assert!(
        rows[2].contains("{number: 10, kind: home}, {number: 20, kind: }") && rows[2].contains("[6, 7]"),
        "{shown}"
    );
    let read = lake.sql("SELECT count(*), sum(cardinality(bare)) FROM '$L/f.parquet'").await.unwrap();
    let shown = pretty_format_batches(&read).unwrap().to_string();
    assert!(shown.lines().nth(3).unwrap().replace(' ', "").contains("|3|3|"), "{shown}");
}
