//! Parts come, go and are replaced; order holds; statistics are exact.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;

use super::rows::*;
use crate::{Options, SortKey, Table, TableBuilder};

fn texts(values: &[&str]) -> RecordBatch {
    let schema =
        Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]));
    let numbers: Int64Array = (0..values.len() as i64).collect();
    RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(values.to_vec())), Arc::new(numbers)])
        .expect("two columns")
}

fn options(chunk_rows: usize) -> Options {
    Options { chunk_rows, ..Options::default() }
}

fn add(builder: &mut TableBuilder, key: &str, values: &[&str]) {
    builder.begin_part(key.to_owned()).expect("no part is open");
    builder.push(&texts(values)).expect("rows");
    builder.end_part().expect("a part is open");
}

fn column_of_texts(table: &Table) -> Vec<String> {
    let all = all(table);
    all.column(0).as_string_view().iter().map(|value| value.expect("no NULL").to_owned()).collect()
}

#[test]
fn versions_share_what_they_have_in_common() {
    let mut builder = TableBuilder::new(&texts(&[]).schema(), options(2)).expect("a builder");
    add(&mut builder, "a", &["m", "k", "m"]);
    add(&mut builder, "b", &["z", "k"]);
    let first = builder.finish().expect("a table");
    assert_eq!(first.dictionary(0).expect("few values").len(), 3);

    let mut builder = TableBuilder::next_version(&first, options(2)).expect("a builder");
    add(&mut builder, "c", &["z", "m"]);
    let second = builder.finish().expect("a table");
    assert_eq!(column_of_texts(&second), ["m", "k", "m", "z", "k", "z", "m"]);
    assert!(Arc::ptr_eq(&first.chunks()[0], &second.chunks()[0]));
    assert!(Arc::ptr_eq(first.dictionary(0).expect("one"), second.dictionary(0).expect("one")));

    let mut builder = TableBuilder::next_version(&second, options(2)).expect("a builder");
    add(&mut builder, "b", &["a", "long text that stands for itself", "k"]);
    assert!(builder.remove_part("c"));
    assert!(!builder.remove_part("c"));
    let third = builder.finish().expect("a table");
    assert_eq!(column_of_texts(&third), ["m", "k", "m", "a", "long text that stands for itself", "k"]);
    let dictionary = third.dictionary(0).expect("few values");
    let values: Vec<&[u8]> = (0..dictionary.len()).map(|code| dictionary.value(code)).collect();
    assert_eq!(values, [b"a".as_slice(), b"k", b"long text that stands for itself", b"m"]);
    assert_eq!(third.statistics(0).distinct, Some(4));
    // The old versions are what they were.
    assert_eq!(column_of_texts(&first), ["m", "k", "m", "z", "k"]);
    assert_eq!(column_of_texts(&second), ["m", "k", "m", "z", "k", "z", "m"]);
}

#[test]
fn a_part_that_is_abandoned_leaves_nothing() {
    let mut builder = TableBuilder::new(&texts(&[]).schema(), options(2)).expect("a builder");
    add(&mut builder, "a", &["m", "k"]);
    builder.begin_part("a".to_owned()).expect("no part is open");
    builder.push(&texts(&["x", "y", "z"])).expect("rows");
    builder.abandon_part();
    let table = builder.finish().expect("a table");
    assert_eq!(column_of_texts(&table), ["m", "k"]);
    assert_eq!(table.statistics(0).distinct, Some(2));
}

#[test]
fn the_builder_says_what_is_out_of_turn() {
    let mut builder = TableBuilder::new(&texts(&[]).schema(), options(2)).expect("a builder");
    assert!(builder.push(&texts(&["x"])).is_err());
    assert!(builder.end_part().is_err());
    builder.begin_part("a".to_owned()).expect("no part is open");
    assert!(builder.begin_part("b".to_owned()).is_err());
    let other = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).expect("a batch");
    assert!(builder.push(&other).is_err());
    assert!(builder.finish().is_err());
}

#[test]
fn text_of_many_values_loses_its_dictionary() {
    let long: Vec<String> = (0..6000).map(|n| format!("a value that no other row has: {n}")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let mut builder = TableBuilder::new(&texts(&[]).schema(), options(2000)).expect("a builder");
    add(&mut builder, "few", &["x", "y"]);
    let first = builder.finish().expect("a table");
    assert!(first.dictionary(0).is_some());
    let mut builder = TableBuilder::next_version(&first, options(2000)).expect("a builder");
    add(&mut builder, "many", &long);
    let second = builder.finish().expect("a table");
    assert!(second.dictionary(0).is_none());
    let texts = column_of_texts(&second);
    assert_eq!((texts.len(), texts[0].as_str(), texts[6001].as_str()), (6002, "x", long[5999]));
    let mut builder = TableBuilder::next_version(&second, options(2000)).expect("a builder");
    builder.remove_part("many");
    assert_eq!(column_of_texts(&builder.finish().expect("a table")), ["x", "y"]);
}

#[test]
fn rows_are_sorted_within_parts_and_parts_follow_each_other() {
    let by_text = [SortKey { column: 0, descending: false, nulls_first: false }];
    let parts = vec![vec![texts(&["k", "j"]), texts(&["m", "i"])], vec![texts(&["c", "a", "b"])]];
    let ordered = table(&texts(&[]).schema(), &parts, 2, &by_text);
    assert_eq!(column_of_texts(&ordered), ["a", "b", "c", "i", "j", "k", "m"]);
    assert!(ordered.is_ordered());
    let parts = vec![vec![texts(&["k", "j"])], vec![texts(&["c", "z"])]];
    let overlapping = table(&texts(&[]).schema(), &parts, 2, &by_text);
    assert_eq!(column_of_texts(&overlapping), ["c", "z", "j", "k"]);
    assert!(!overlapping.is_ordered());
}

#[test]
fn many_batches_are_sorted_as_one() {
    for seed in 300..310 {
        let mut numbers = Numbers(seed);
        let schema = schema();
        let parts = vec![(0..9).map(|_| batch(&schema, numbers.below(80) as usize, &mut numbers)).collect::<Vec<_>>()];
        let plain = expected(&table(&schema, &parts, 64, &[]), &parts);
        for (column, descending, nulls_first) in
            [(0, false, false), (3, true, true), (24, false, true), (28, true, false)]
        {
            let sorted = table(&schema, &parts, 64, &[SortKey { column, descending, nulls_first }]);
            assert!(sorted.is_ordered());
            let options = arrow::compute::SortOptions { descending, nulls_first };
            let keys = [
                arrow::compute::SortColumn { values: Arc::clone(plain.column(column)), options: Some(options) },
                arrow::compute::SortColumn {
                    values: Arc::new((0..plain.num_rows() as u32).collect::<UInt32Array>()),
                    options: None,
                },
            ];
            let order = arrow::compute::lexsort_to_indices(&keys, None).expect("an order");
            assert_equal(&all(&sorted), &arrow::compute::take_record_batch(&plain, &order).expect("rows"));
        }
    }
}

#[test]
fn statistics_are_what_the_rows_say() {
    for seed in 100..140 {
        let mut numbers = Numbers(seed);
        let schema = schema();
        let parts: Vec<Vec<_>> =
            (0..3).map(|_| vec![batch(&schema, 1 + numbers.below(150) as usize, &mut numbers)]).collect();
        let table = table(&schema, &parts, 64, &[]);
        let all = all(&table);
        for (column, array) in all.columns().iter().enumerate() {
            let statistics = table.statistics(column);
            assert_eq!(statistics.null_count, array.logical_null_count() as u64);
            if array.data_type().is_nested() || array.data_type().is_null() {
                continue;
            }
            let sorted =
                arrow::compute::sort(array, Some(arrow::compute::SortOptions { descending: false, nulls_first: true }));
            let Ok(sorted) = sorted else { continue };
            let values = sorted.slice(array.null_count(), array.len() - array.null_count());
            if let Some(min) = &statistics.min {
                assert_eq!(min.to_data(), values.slice(0, 1).to_data(), "column {column} of seed {seed}");
                let max = statistics.max.as_ref().expect("both or none");
                assert_eq!(max.to_data(), values.slice(values.len() - 1, 1).to_data());
            }
            if let Some(distinct) = statistics.distinct {
                let counted: BTreeSet<String> = (0..values.len())
                    .map(|row| arrow::util::display::array_value_to_string(&values, row).expect("a text"))
                    .collect();
                assert_eq!(distinct, counted.len() as u64, "column {column} of seed {seed}");
            }
            if let Some(sum) = statistics.sum {
                let all = crate::native::widened(&values).expect("integers");
                // In another order a sum on the way may be too large, which comes out even.
                assert_eq!(sum, all.iter().fold(0, |sum: i128, value| sum.wrapping_add(*value)));
            }
        }
    }
}
