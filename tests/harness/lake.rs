//! Small lakes to query, made in a folder: the Parquet tables of the SQL tests, tables of thousands of partitions, files
//! that are not what they say.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempDir;

/// Writes one Parquet file, with page statistics and snappy, `row_group_rows` rows to a row group.
pub fn write_parquet(path: &Path, batches: &[RecordBatch], row_group_rows: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(path.parent().expect("a file in a folder"))?;
    std::fs::write(path, parquet_bytes(batches, row_group_rows)?)?;
    Ok(())
}

/// The bytes of a Parquet file.
pub fn parquet_bytes(batches: &[RecordBatch], row_group_rows: usize) -> anyhow::Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_statistics_enabled(EnabledStatistics::Page)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.close()?;
    Ok(bytes)
}

/// A batch of named columns, all nullable.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> anyhow::Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
}

/// Rows `from..to`: `id`, `name` (`row 7`) and `value` (`id / 2`).
pub fn plain_rows(from: i64, to: i64) -> anyhow::Result<RecordBatch> {
    let ids = Int64Array::from_iter_values(from..to);
    let names = StringArray::from_iter_values((from..to).map(|id| format!("row {id}")));
    let values = Float64Array::from_iter_values((from..to).map(|id| id as f64 / 2.0));
    batch(vec![("id", Arc::new(ids)), ("name", Arc::new(names)), ("value", Arc::new(values))])
}

/// The lake behind `$LAKE` in SQL tests:
/// ```text
/// types/types.parquet           three rows of every type, the last all NULL
/// events/dt=2024-01-NN/…        ten days, two files a day, 100 rows a file; id runs through, day is a text key
/// drift/{old,new}.parquet       a column that got wider (int, bigint), one that came, one that went, another order
/// empty_rows/none.parquet       a file of no rows
/// wide/data.parquet             10,000 rows in row groups of 1,000, sorted by id
/// ```
pub fn slt_lake() -> anyhow::Result<TempDir> {
    let lake = tempfile::tempdir()?;
    let root = lake.path();
    write_parquet(&root.join("types/types.parquet"), &[types()?], 1000)?;
    for day in 1..=10_i64 {
        for file in 0..2_i64 {
            let first = (day - 1) * 200 + file * 100;
            let path = root.join(format!("events/dt=2024-01-{day:02}/part-{file}.parquet"));
            write_parquet(&path, &[plain_rows(first, first + 100)?], 1000)?;
            // Results over files that are this new are not kept: they might change once more and look the same.
            let written = std::fs::File::options().write(true).open(&path)?;
            written.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600))?;
        }
    }
    let old = batch(vec![
        ("id", Arc::new(Int32Array::from(vec![1, 2]))),
        ("gone", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("name", Arc::new(StringArray::from(vec!["one", "two"]))),
    ])?;
    let new = batch(vec![
        ("name", Arc::new(StringArray::from(vec!["three", "big"]))),
        ("id", Arc::new(Int64Array::from(vec![3, 3_000_000_000]))),
        ("added", Arc::new(Float64Array::from(vec![1.5, 2.5]))),
    ])?;
    write_parquet(&root.join("drift/old.parquet"), &[old], 1000)?;
    write_parquet(&root.join("drift/new.parquet"), &[new], 1000)?;
    write_parquet(&root.join("empty_rows/none.parquet"), &[plain_rows(0, 0)?], 1000)?;
    write_parquet(&root.join("wide/data.parquet"), &[plain_rows(0, 10_000)?], 1000)?;
    Ok(lake)
}

/// Three rows of every type; the last is all NULL.
fn types() -> anyhow::Result<RecordBatch> {
    let decimals = Decimal128Array::from(vec![Some(12_345), Some(-1), None]).with_precision_and_scale(10, 2)?;
    let moments = vec![Some(1_709_210_096_123_456), Some(-1), None];
    let list =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None, Some(3)]), Some(vec![]), None]);
    let fields = vec![
        (
            Arc::new(Field::new("a", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![Some(7), None, None])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("b", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("x"), Some("y\"z"), None])) as ArrayRef,
        ),
    ];
    let structs = StructArray::from(fields);
    let structs =
        StructArray::new(structs.fields().clone(), structs.columns().to_vec(), Some(vec![true, true, false].into()));
    batch(vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(127), Some(-128), None]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(32_767), Some(-32_768), None]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(i32::MAX), Some(i32::MIN), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MIN), None]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(u32::MAX), Some(0), None]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.1), Some(-1.5), None]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None]))),
        ("dec", Arc::new(decimals)),
        ("text", Arc::new(StringArray::from(vec![Some("Ünï ☃"), Some(""), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255, 10][..]), Some(&[][..]), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), None]))),
        ("moment", Arc::new(TimestampMicrosecondArray::from(moments.clone()))),
        ("instant", Arc::new(TimestampMicrosecondArray::from(moments).with_timezone("UTC"))),
        ("list", Arc::new(list)),
        ("pair", Arc::new(structs)),
    ])
}

/// A table of `count` partitions `day=00000/` and so on, one file of three rows in each (`id` 0 to 2).
pub fn many_partitions(table: &Path, count: usize) -> anyhow::Result<()> {
    let bytes = parquet_bytes(&[plain_rows(0, 3)?], 1000)?;
    for day in 0..count {
        let folder = table.join(format!("day={day:05}"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("data.parquet"), &bytes)?;
    }
    Ok(())
}

/// Files that say they are Parquet and are not, by what is wrong with each.
pub fn corrupt_parquet() -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let good = parquet_bytes(&[plain_rows(0, 1000)?], 100)?;
    let length = good.len();
    let mut huge_footer = good.clone();
    huge_footer[length - 8..length - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut longer_footer = good.clone();
    longer_footer[length - 8..length - 4].copy_from_slice(&u32::try_from(length).expect("a small file").to_le_bytes());
    let mut zero_footer = good.clone();
    zero_footer[length - 8..length - 4].copy_from_slice(&0_u32.to_le_bytes());
    let mut scrambled_footer = good.clone();
    for byte in &mut scrambled_footer[length - 200..length - 8] {
        *byte ^= 0xa5;
    }
    let mut zeroed_pages = good.clone();
    for byte in &mut zeroed_pages[4..400] {
        *byte = 0;
    }
    Ok(vec![
        ("magic_only", b"PAR1PAR1".to_vec()),
        ("magic_once", b"PAR1".to_vec()),
        ("three_bytes", b"PAR".to_vec()),
        ("text", b"id,name\n1,one\n2,two\n".to_vec()),
        ("huge_footer", huge_footer),
        ("longer_footer", longer_footer),
        ("zero_footer", zero_footer),
        ("scrambled_footer", scrambled_footer),
        ("zeroed_pages", zeroed_pages),
        ("truncated", good[..length / 2].to_vec()),
        ("no_tail", good[..length - 4].to_vec()),
    ])
}
