#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use datafusion::datasource::table_schema::TableSchema;
use limnos_catalog::{Column, DataType, FileFormat, TableDefinition};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use orc_rust::compression::CompressionType;
use orc_rust::{ArrowReaderBuilder, ArrowWriterBuilder, TimestampPrecision};

use super::{OrcSource, OrcTails};
use crate::scan::format::tests::{scan_source, table};
use crate::scan::schema;
use crate::{ErrorCode, Result};

/// Numbers without an order, the same in each run.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// Columns of all types that `orc_rust` writes, in shapes that take all of its encodings.
pub(in crate::scan) fn sample(rows: usize) -> RecordBatch {
    let some = |index: usize, seed: u64| random(seed + index as u64).nth(3).unwrap();
    let optional = |index: usize| !index.is_multiple_of(7);
    let long = |of: &dyn Fn(usize) -> i64| -> ArrayRef {
        Arc::new((0..rows).map(|index| optional(index).then(|| of(index))).collect::<Int64Array>())
    };
    let outlier = |index: usize| if index.is_multiple_of(61) { 1 << 40 } else { (some(index, 2) % 100) as i64 };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("constant", long(&|_| 7)),
        ("falling", long(&|index| 1000 - 3 * index as i64)),
        ("growing", long(&|index| (index * index) as i64)),
        ("small", long(&|index| (some(index, 1) % 50) as i64 - 25)),
        ("outliers", long(&outlier)),
        ("wide", long(&|index| some(index, 3) as i64)),
        ("whole", Arc::new((0..rows).map(|index| some(index, 4) as i32).collect::<Int32Array>())),
        ("short", Arc::new((0..rows).map(|index| Some(some(index, 5) as i16)).collect::<Int16Array>())),
        ("tiny", Arc::new((0..rows).map(|index| optional(index).then_some((index / 5) as i8)).collect::<Int8Array>())),
        ("flag", Arc::new((0..rows).map(|index| optional(index).then_some(index % 3 == 0)).collect::<BooleanArray>())),
        ("half", Arc::new((0..rows).map(|index| Some(index as f32 / 2.0)).collect::<Float32Array>())),
        (
            "real",
            Arc::new((0..rows).map(|index| optional(index).then(|| index as f64 / 7.0)).collect::<Float64Array>()),
        ),
        (
            "text",
            Arc::new(
                (0..rows)
                    .map(|index| optional(index).then(|| format!("{}-ü", "ab".repeat(index % 9))))
                    .collect::<StringArray>(),
            ),
        ),
        ("blob", Arc::new((0..rows).map(|index| Some(vec![index as u8; index % 20])).collect::<BinaryArray>())),
        (
            "day",
            Arc::new((0..rows).map(|index| optional(index).then_some(index as i32 - 5000)).collect::<Date32Array>()),
        ),
        (
            "moment",
            Arc::new(
                (0..rows)
                    .map(|index| optional(index).then(|| index as i64 * 1_234_567_890_123))
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
        ),
        ("nothing", Arc::new(Int64Array::new_null(rows))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

pub(in crate::scan) fn file(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut builder = ArrowWriterBuilder::new(&mut bytes, batch.schema());
    if let Some(compression) = compression {
        builder = builder.with_compression(compression).with_compression_block_size(1024);
    }
    let mut writer = builder.try_build().unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn definition_of(batch: &RecordBatch) -> TableDefinition {
    let schema = batch.schema();
    let column = |field: &Arc<Field>| Column::new(field.name().as_str(), schema::catalog_field_type(field).unwrap());
    let columns = schema.fields().iter().map(column);
    table(FileFormat::Orc, columns.collect(), &[])
}

async fn scan(
    definition: &TableDefinition,
    bytes: Vec<u8>,
    projection: Option<Vec<usize>>,
) -> Result<Vec<RecordBatch>> {
    let (file_schema, keys) = schema::table_schema(definition);
    let table_schema = TableSchema::builder(file_schema).with_table_partition_cols(keys).build();
    let source = Arc::new(OrcSource::new(table_schema, Arc::new(OrcTails::new(None)), "mem://x".into()));
    scan_source(source, definition, bytes, projection).await
}

fn shown(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

/// What is read is what was written, and what `orc_rust` reads.
#[tokio::test]
async fn all_types_in_all_encodings_and_compressions() {
    let batch = sample(2500);
    for compression in [
        None,
        Some(CompressionType::Zlib),
        Some(CompressionType::Snappy),
        Some(CompressionType::Lz4),
        Some(CompressionType::Zstd),
    ] {
        let bytes = file(&batch, compression);
        let read = scan(&definition_of(&batch), bytes.clone(), None).await.unwrap();
        let read = concat_batches(&read[0].schema(), &read).unwrap();
        let other = ArrowReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
        let other = other.with_timestamp_precision(TimestampPrecision::Microsecond).with_batch_size(5000).build();
        let other: Vec<RecordBatch> = other.map(Result::unwrap).collect();
        for (index, (ours, written)) in read.columns().iter().zip(batch.columns()).enumerate() {
            let name = batch.schema().field(index).name().clone();
            let written = arrow::compute::cast(written, ours.data_type()).unwrap();
            assert_eq!(ours.to_data(), written.to_data(), "{name} {compression:?}");
        }
        let theirs = concat_batches(&other[0].schema(), &other).unwrap();
        assert_eq!(shown(&[read]), shown(&[theirs]), "{compression:?}");
    }
}

#[tokio::test]
async fn columns_are_found_by_name_and_cast() {
    let bytes = file(&sample(10), None);
    let columns = vec![
        Column::new("SMALL", DataType::Double),
        Column::new("missing", DataType::Int),
        Column::new("constant", DataType::String),
    ];
    let definition = table(FileFormat::Orc, columns, &[]);
    let read = scan(&definition, bytes.clone(), None).await.unwrap();
    assert!(shown(&read).contains("|         | 7        |"), "{}", shown(&read));
    let counted: usize =
        scan(&definition, bytes.clone(), Some(vec![])).await.unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(counted, 10);
    let definition = table(FileFormat::Orc, vec![Column::new("text", DataType::Int)], &[]);
    let error = scan(&definition, bytes, None).await.unwrap_err();
    assert!(error.detail.unwrap().contains("File \"mem://x/t/f\""), "{}", error.message);
}

/// Columns called by their places take the table's names.
#[tokio::test]
async fn columns_without_names_are_found_by_place() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["one", "two"]));
    let batch = RecordBatch::try_from_iter([("_col0", ids), ("_col1", names)]).unwrap();
    let bytes = file(&batch, None);
    let columns = vec![Column::new("id", DataType::Int), Column::new("name", DataType::String)];
    let read = scan(&table(FileFormat::Orc, columns, &[]), bytes.clone(), None).await.unwrap();
    assert!(shown(&read).contains("| 2  | two  |"), "{}", shown(&read));
    let columns = vec![Column::new("_col1", DataType::String), Column::new("other", DataType::String)];
    let read = scan(&table(FileFormat::Orc, columns, &[]), bytes, None).await.unwrap();
    assert!(shown(&read).contains("| two   |       |"), "{}", shown(&read));
    // So do columns of which the table knows none by name, as Athena reads all ORC files.
    let (ids, names) = (Arc::clone(batch.column(0)), Arc::clone(batch.column(1)));
    let batch = RecordBatch::try_from_iter([("key", ids), ("text", names)]).unwrap();
    let bytes = file(&batch, None);
    let columns = vec![Column::new("id", DataType::Int), Column::new("name", DataType::String)];
    let read = scan(&table(FileFormat::Orc, columns, &[]), bytes, None).await.unwrap();
    assert!(shown(&read).contains("| 2  | two  |"), "{}", shown(&read));
}

/// Tails that lie: none may panic, overflow the stack or ask for memory that isn't there.
#[tokio::test]
async fn tails_that_lie_are_told() {
    let message = |fields: &[(u8, &[u8])]| -> Vec<u8> {
        fields.iter().flat_map(|(key, value)| [&[*key, value.len() as u8][..], value].concat()).collect()
    };
    let file = |footer: &[u8], footer_length: &[u8]| -> Vec<u8> {
        let postscript = [&[0x08][..], footer_length, &[0x28, 0, 0x82, 0xf4, 0x03, 3], b"ORC"].concat();
        [b"ORC", footer, &postscript[..], &[postscript.len() as u8]].concat()
    };
    // A list whose items are the list: kind 10, subtypes [1].
    let endless = message(&[(0x22, &[0x08, 12, 0x12, 1, 1, 0x1a, 1, b'a']), (0x22, &[0x08, 10, 0x12, 1, 1])]);
    let cases = [
        b"ORC".to_vec(),
        b"ORCORCORCORC".to_vec(),
        file(b"", &[0]),
        file(b"", &[0x7f]),
        file(b"", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        file(&endless, &[endless.len() as u8]),
        // A stripe of 2^60 rows that lies nowhere.
        file(&message(&[(0x1a, &[0x08, 0xff, 0x7f, 0x10, 0xff, 0x7f])]), &[8]),
    ];
    let definition = table(FileFormat::Orc, vec![Column::new("a", DataType::Int)], &[]);
    for case in cases {
        let error = scan(&definition, case.clone(), None).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::DataCorrupted, "{case:?}: {error:?}");
        assert!(error.message.contains("mem://x/t/f"), "{error:?}");
    }
}

#[tokio::test]
async fn statistics_tell_of_stripes() {
    let batch = sample(100);
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let path = Path::from("f.orc");
    store.put(&path, file(&batch, None).into()).await.unwrap();
    let object = store.head(&path).await.unwrap();
    let key = crate::scan::parquet::FileKey::new(&"mem://".into(), &object);
    let tails = OrcTails::new(None);
    let (tail, facts) = tails.get(&key, &store, &object).await.unwrap();
    let facts = facts.unwrap();
    assert_eq!((facts.row_count, facts.row_group_count, tail.stripes.len()), (100, 1, 1));
    assert!(tails.contains(&key));
}
