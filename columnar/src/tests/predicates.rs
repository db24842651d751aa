//! Predicates on codes say what Arrow's kernels say of plain arrays, three-valued.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::kernels::cmp;
use arrow::compute::{and_kleene, is_null, not, or_kleene};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::rows::*;
use crate::{Comparison, Evaluate, Filter, Predicate, Selection, Verdict};

const COMPARISONS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

fn compare(array: &ArrayRef, comparison: Comparison, value: &ArrayRef) -> BooleanArray {
    let value = Scalar::new(Arc::clone(value));
    match comparison {
        Comparison::Equal => cmp::eq(array, &value),
        Comparison::NotEqual => cmp::neq(array, &value),
        Comparison::Less => cmp::lt(array, &value),
        Comparison::LessOrEqual => cmp::lt_eq(array, &value),
        Comparison::Greater => cmp::gt(array, &value),
        Comparison::GreaterOrEqual => cmp::gt_eq(array, &value),
    }
    .expect("comparable")
}

/// A predicate by chance, and what Arrow says of it.
fn predicate(all: &RecordBatch, numbers: &mut Numbers, depth: usize) -> (Predicate, BooleanArray) {
    let columns: Vec<usize> =
        (0..all.num_columns()).filter(|&column| !all.column(column).data_type().is_nested()).collect();
    let column = columns[numbers.below(columns.len() as u64) as usize];
    let array = all.column(column);
    let constant = |numbers: &mut Numbers| match numbers.below(3) {
        0 => super::rows::column(array.data_type(), 1, numbers),
        _ => array.slice(numbers.below(array.len() as u64) as usize, 1),
    };
    let is_comparable = !array.data_type().is_null();
    match numbers.below(if depth == 0 { 5 } else { 8 }) {
        0 | 1 if is_comparable => {
            let value = constant(numbers);
            let comparison = COMPARISONS[numbers.below(6) as usize];
            (Predicate::Compare { column, comparison, value: Arc::clone(&value) }, compare(array, comparison, &value))
        }
        2 if is_comparable => {
            let values: Vec<ArrayRef> = (0..1 + numbers.below(12)).map(|_| constant(numbers)).collect();
            let mut expected = compare(array, Comparison::Equal, &values[0]);
            for value in &values[1..] {
                expected = or_kleene(&expected, &compare(array, Comparison::Equal, value)).expect("of one length");
            }
            let values =
                arrow::compute::concat(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>()).expect("of one type");
            (Predicate::In { column, values }, expected)
        }
        3 if is_comparable => {
            let (value, comparison) = (constant(numbers), COMPARISONS[numbers.below(6) as usize]);
            let nulls_are = [None, Some(true), Some(false)][numbers.below(3) as usize];
            let evaluate: Evaluate = Arc::new(move |arrays: &[ArrayRef]| -> Result<BooleanArray, ArrowError> {
                let answer = compare(&arrays[0], comparison, &value);
                Ok(answer
                    .iter()
                    .zip(0..arrays[0].len())
                    .map(|(answer, row)| if arrays[0].is_null(row) { nulls_are } else { answer })
                    .collect())
            });
            let expected = evaluate(&[Arc::clone(array)]).expect("comparable");
            match numbers.below(2) {
                0 => (Predicate::OnValues { column, evaluate }, expected),
                _ => (Predicate::OnRows { columns: vec![column], evaluate }, expected),
            }
        }
        5 => {
            let (term, expected) = predicate(all, numbers, depth - 1);
            (Predicate::Not(Box::new(term)), not(&expected).expect("a Boolean"))
        }
        kind @ (6 | 7) => {
            let terms: Vec<_> = (0..1 + numbers.below(3)).map(|_| predicate(all, numbers, depth - 1)).collect();
            let mut expected = terms[0].1.clone();
            for (_, answer) in &terms[1..] {
                expected = if kind == 6 { and_kleene(&expected, answer) } else { or_kleene(&expected, answer) }
                    .expect("of one length");
            }
            let terms = terms.into_iter().map(|(term, _)| term).collect();
            (if kind == 6 { Predicate::And(terms) } else { Predicate::Or(terms) }, expected)
        }
        _ => (Predicate::IsNull { column }, is_null(array).expect("any array")),
    }
}

#[test]
fn predicates_select_the_rows_that_kernels_select() {
    let mut verdicts = [0; 3];
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let schema = schema();
        let parts: Vec<Vec<_>> =
            (0..3).map(|_| vec![batch(&schema, 1 + numbers.below(300) as usize, &mut numbers)]).collect();
        let table = table(&schema, &parts, 100, &[]);
        let all = all(&table);
        for round in 0..60 {
            let (predicate, expected) = predicate(&all, &mut numbers, round % 3);
            let filter = Filter::new(&table, &predicate).expect("a predicate on the table");
            let mut first = 0;
            for chunk in table.chunks() {
                let wanted: Vec<u32> = (0..chunk.rows())
                    .filter(|row| expected.is_valid(first + row) && expected.value(first + row))
                    .map(|row| row as u32)
                    .collect();
                let selected = filter.select(chunk).expect("an answer");
                let rows = match &selected {
                    Selection::All(rows) => (0..*rows as u32).collect(),
                    Selection::Rows(rows) => rows.clone(),
                };
                assert_eq!(rows, wanted, "{predicate:?} in seed {seed}, round {round}");
                match filter.verdict(chunk) {
                    Verdict::None => verdicts[0] += usize::from(wanted.is_empty()),
                    Verdict::All => verdicts[1] += usize::from(wanted.len() == chunk.rows()),
                    Verdict::Some => verdicts[2] += 1,
                }
                first += chunk.rows();
            }
        }
    }
    assert!(verdicts.iter().all(|&count| count > 500), "zones decide often, and not always: {verdicts:?}");
}

#[test]
fn what_fails_on_a_value_that_no_row_asks_about_does_not_fail() {
    let values: ArrayRef = Arc::new(StringViewArray::from(vec!["1", "x", "2"]));
    let kinds: ArrayRef = Arc::new(StringViewArray::from(vec!["n", "t", "n"]));
    let batch = RecordBatch::try_from_iter([("kind", kinds), ("value", values)]).expect("two columns");
    let table = table(&batch.schema(), &[vec![batch]], 10, &[]);
    let number: Evaluate = Arc::new(|arrays: &[ArrayRef]| {
        let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
        let numbers = arrow::compute::cast_with_options(&arrays[0], &DataType::Int64, &options)?;
        cmp::gt(&numbers, &Int64Array::new_scalar(1))
    });
    let kind =
        Predicate::Compare { column: 0, comparison: Comparison::Equal, value: Arc::new(StringArray::from(vec!["n"])) };
    let both = Predicate::And(vec![Predicate::OnValues { column: 1, evaluate: Arc::clone(&number) }, kind]);
    let select =
        |predicate: &Predicate| Filter::new(&table, predicate).expect("a predicate").select(&table.chunks()[0]);
    assert_eq!(select(&both).expect("only numbers are asked about"), Selection::Rows(vec![2]));
    assert!(select(&Predicate::OnValues { column: 1, evaluate: number }).is_err());
}

#[test]
fn constants_of_other_types_are_refused() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).expect("a column");
    let table = table(&batch.schema(), &[vec![batch]], 10, &[]);
    let value = Arc::new(Int64Array::from(vec![1]));
    assert!(Filter::new(&table, &Predicate::Compare { column: 0, comparison: Comparison::Equal, value }).is_err());
    assert!(Filter::new(&table, &Predicate::IsNull { column: 7 }).is_err());
}
