//! A projection keeps what a catalogue of all its partitions would keep.

use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::col;
use limnos_catalog::PartitionList;
use proptest::prelude::*;

use super::*;
use crate::prune::PartitionIndex;
use crate::prune::partition::matching;

/// A predicate over the keys `e string` (enum), `n string` (integers without leading zeros), `d date` and `i int`.
fn any_filter() -> impl Strategy<Value = Expr> {
    let day = |number: i32| lit(ScalarValue::Date32(Some(19_700 + number)));
    let operand = prop_oneof![
        prop::sample::select(vec!["a", "b", "c", "zz", "B"]).prop_map(|value| (col("e"), text(value))),
        (-1_i32..14).prop_map(|value| (col("n"), text(&value.to_string()))),
        prop::sample::select(vec!["01", "x", ""]).prop_map(|value| (col("n"), text(value))),
        (-2_i32..12).prop_map(move |number| (col("d"), day(number))),
        (-3_i32..9).prop_map(|value| (col("i"), lit(value))),
        (-3_i64..9).prop_map(|value| (col("i"), lit(value))),
        (-3_i64..9).prop_map(|value| (col("x"), lit(value))),
        Just((col("i"), lit(ScalarValue::Int32(None)))),
    ];
    let leaf = (operand, 0..9).prop_map(|((key, value), operator)| match operator {
        0 => key.eq(value),
        1 => value.eq(key),
        2 => key.not_eq(value),
        3 => key.lt(value),
        4 => key.lt_eq(value),
        5 => value.lt(key),
        6 => key.gt_eq(value),
        7 => key.clone().in_list(vec![value, Expr::Literal(ScalarValue::Null, None)], false),
        _ => key.is_null(),
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|all| all.into_iter().reduce(Expr::and).unwrap()),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|all| all.into_iter().reduce(Expr::or).unwrap()),
            inner.prop_map(|expr| Expr::Not(Box::new(expr))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// What is projected and narrowed is what a catalogue of all of it keeps.
    #[test]
    fn a_projection_prunes_as_a_catalog_does(filters in prop::collection::vec(any_filter(), 0..4)) {
        let definition = table(
            &["e string", "n string", "d date", "i int"],
            &[
                "e.type=enum", "e.values=b,a,c",
                "n.type=integer", "n.range=0,12", "n.interval=3",
                "d.type=date", "d.format=dd.MM.yyyy", "d.range=09.12.2023,18.12.2023", "d.interval=2",
                "i.type=integer", "i.range=-2,6", "i.digits=2", "i.interval=2",
            ],
        );
        let all = prune_at(&definition, &[], NOW).unwrap();
        let catalog = PartitionIndex {
            keys: all.index.keys.clone(),
            values: all.index.values.clone(),
            list: Arc::new(PartitionList {
                values: all.index.list.values.clone(),
                locations: all.index.list.locations.clone(),
 ..PartitionList::default() }),
        };
        let state = SessionContext::new().state();
        let expected = catalog.prune(&state, &schema(&definition), &filters).unwrap();
        let location = |row: usize| catalog.list.locations[row].as_deref().unwrap();
        let expected: Vec<&str> = expected.into_iter().map(location).collect();
        let kept = prune_at(&definition, &filters, NOW).unwrap();
        let found: Vec<&str> = kept.kept.iter().map(|row| kept.index.list.locations[*row].as_deref().unwrap()).collect();
        if filters.iter().all(|filter| filter.column_refs().iter().all(|column| column.name != "x")) {
            prop_assert_eq!(&found, &expected);
        }
        // With a column of the files in it, less may be kept than a catalog keeps; never less than rows may be in.
        prop_assert!(found.iter().all(|location| expected.contains(location)));
        let all_filters: Vec<&Expr> = filters.iter().collect();
        let mut keys = catalog.keys.clone();
        keys.push(Arc::new(Field::new("x", DataType::Int64, true)));
        for x in (-3..9).map(Some).chain([None]) {
            let mut values = catalog.values.clone();
            values.push(Arc::new(Int64Array::from(vec![x; catalog.len()])));
            let rows = matching(&state, &keys, &values, catalog.len(), &all_filters).unwrap();
            for row in (0..rows.len()).filter(|row| rows.is_valid(*row) && rows.value(*row)) {
                prop_assert!(found.contains(&location(row)), "{} with x = {:?}", location(row), x);
            }
        }
        for (values, all) in kept.index.values.iter().zip(&kept.index.list.values) {
            prop_assert_eq!(values.len(), all.len());
        }
    }
}
