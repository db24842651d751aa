//! What goes in comes out.

use proptest::prelude::*;

use super::rows::*;
use crate::{Selection, Table};

#[test]
fn all_types_come_out_as_they_went_in() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let schema = schema();
        let parts: Vec<Vec<_>> = (0..numbers.below(4))
            .map(|_| {
                let batches = numbers.below(4);
                (0..batches)
                    .map(|_| {
                        let rows = [0, 1, 7, 64, 300][numbers.below(5) as usize];
                        batch(&schema, rows, &mut numbers)
                    })
                    .collect()
            })
            .collect();
        let table = table(&schema, &parts, 1 + numbers.below(200) as usize, &[]);
        let expected = expected(&table, &parts);
        assert_equal(&all(&table), &expected);
        assert_eq!(table.rows(), expected.num_rows() as u64);
        assert_eq!(table.schema().metadata(), schema.metadata());
        check_ranges_and_rows(&table, &mut numbers);
    }
}

fn check_ranges_and_rows(table: &Table, numbers: &mut Numbers) {
    for chunk in table.chunks() {
        let from = numbers.below(chunk.rows() as u64) as usize;
        let to = from + numbers.below((chunk.rows() - from) as u64 + 1) as usize;
        let rows: Vec<u32> = (0..chunk.rows() as u32).filter(|_| numbers.below(3) == 0).collect();
        let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
        let whole = table.batch(chunk, &columns, &Selection::All(chunk.rows())).expect("rows");
        for column in columns {
            let range = chunk.column(column).range(from..to).expect("a range");
            assert_eq!(range.to_data(), whole.column(column).slice(from, to - from).to_data());
            let taken =
                arrow::compute::take(whole.column(column), &arrow::array::UInt32Array::from(rows.clone()), None);
            assert_eq!(chunk.column(column).rows(&rows).expect("rows").to_data(), taken.expect("rows").to_data());
        }
    }
}

#[test]
fn nothing_comes_out_of_nothing() {
    let schema = schema();
    let empty = table(&schema, &[], 100, &[]);
    assert_eq!((empty.rows(), empty.chunks().len(), empty.parts().count()), (0, 0, 0));
    let empty = table(&schema, &[vec![batch(&schema, 0, &mut Numbers(1))]], 100, &[]);
    assert_eq!((empty.rows(), empty.chunks().len(), empty.parts().count()), (0, 0, 1));
    assert_eq!(empty.statistics(3).distinct, Some(0));
}

#[test]
fn rows_without_columns_are_counted() {
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::empty());
    let table = table(&schema, &[vec![batch(&schema, 250, &mut Numbers(1))]], 100, &[]);
    assert_eq!((table.rows(), table.chunks().len()), (250, 3));
    assert_eq!(all(&table).num_rows(), 250);
}

proptest! {
    #[test]
    fn bits_are_packed_in_order(values in proptest::collection::vec(any::<u8>(), 0..300), low: u8, high: u8) {
        let packed = crate::codes::Packed::U8(values.clone().into());
        let bits = packed.within(u64::from(low), u64::from(high));
        let expected: Vec<bool> = values.iter().map(|value| (low..=high).contains(value)).collect();
        prop_assert_eq!(bits.iter().collect::<Vec<_>>(), expected);
    }
}
