//! TPC-H's query 1 on codes, on one thread: what a million rows cost, all but the plan.
//!
//! `cargo bench -p limnos-columnar --bench pricing`

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limnos_columnar::aggregate::{BLOCK_ROWS, Bounds, Expression, Groups, KeyColumn, KeySpace, Rows, Sum};
use limnos_columnar::{Comparison, Filter, Options, Predicate, Selection, Table, TableBuilder};
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::{LineItemArrow, RecordBatchIterator};

const SCALE: f64 = 0.17;

fn lineitem() -> Table {
    let batches = LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1));
    let mut builder = TableBuilder::new(batches.schema(), Options::default()).expect("a schema");
    builder.begin_part("all".to_owned()).expect("no part is open");
    for batch in batches {
        builder.push(&batch).expect("rows of the schema");
    }
    builder.end_part().expect("a part is open");
    builder.finish().expect("a table")
}

fn column(at: usize) -> Box<Expression> {
    Box::new(Expression::Column(at))
}

fn query_1(table: &Table, filter: &Filter, columns: &[usize], keys: &[usize], sums: &[Expression]) -> Vec<i128> {
    let bases = keys.iter().map(|key| table.dictionary(*key).expect("few values").len() as u32).collect();
    let space = KeySpace::new(bases, 1 << 20).expect("few groups");
    let bounds: Vec<Bounds> = columns
        .iter()
        .map(|column| table.statistics(*column).integers.expect("integers"))
        .map(|(min, max)| Bounds { min: min as i64, max: max as i64 })
        .collect();
    let reach: Vec<u64> = sums.iter().map(|sum| sum.bounds(&bounds).expect("64 bits").magnitude()).collect();
    let mut groups = Groups::new(space.groups());
    let mut gathered = vec![Sum::default(); sums.len()];
    let (mut ids, mut slots) = (Vec::new(), vec![Vec::new(); columns.len()]);
    for chunk in table.chunks() {
        let selection = filter.select(chunk).expect("codes");
        for start in (0..selection.len()).step_by(BLOCK_ROWS) {
            let range = start..(start + BLOCK_ROWS).min(selection.len());
            let rows = match &selection {
                Selection::All(_) => Rows::Range(range.clone()),
                Selection::Rows(rows) => Rows::Picked(&rows[range.clone()]),
            };
            let coded = |column: usize| chunk.column(column).coded().expect("codes");
            let keys: Vec<KeyColumn<'_>> = keys
                .iter()
                .map(|key| KeyColumn { codes: coded(*key).codes, shift: 0, map: None, validity: None, null_digit: 0 })
                .collect();
            space.groups_of(&keys, &rows, &mut ids);
            groups.add(&mut ids);
            for (column, values) in columns.iter().zip(&mut slots) {
                rows.integers(coded(*column).codes, coded(*column).base as i64, values);
            }
            let slices: Vec<&[i64]> = slots.iter().map(Vec::as_slice).collect();
            for ((sum, gathered), reach) in sums.iter().zip(&mut gathered).zip(&reach) {
                gathered.grow(groups.places());
                match sum {
                    Expression::Column(at) => gathered.update(&ids, slices[*at], None, *reach),
                    sum => gathered.update(&ids, &sum.evaluate(&slices).into_values(ids.len()), None, *reach),
                }
            }
        }
    }
    groups.seen().iter().flat_map(|place| gathered.iter().map(|sum| sum.get(*place as usize))).collect()
}

fn pricing(criterion: &mut Criterion) {
    let table = lineitem();
    let place = |name: &str| table.schema().index_of(name).expect("a column of lineitem");
    let columns = ["l_quantity", "l_extendedprice", "l_discount", "l_tax"].map(place);
    let keys = ["l_returnflag", "l_linestatus"].map(place);
    let day = Arc::new(arrow::array::Date32Array::from(vec![10_471]));
    let predicate = Predicate::Compare { column: place("l_shipdate"), comparison: Comparison::LessOrEqual, value: day };
    let filter = Filter::new(&table, &predicate).expect("a date");
    let one_less = Expression::Subtract(Box::new(Expression::Constant(100)), column(2));
    let one_more = Expression::Add(Box::new(Expression::Constant(100)), column(3));
    let discounted = Expression::Multiply(column(1), Box::new(one_less));
    let charge = Expression::Multiply(Box::new(discounted.clone()), Box::new(one_more));
    let sums = [Expression::Column(0), Expression::Column(1), Expression::Column(2), discounted, charge];

    let mut group = criterion.benchmark_group("TPC-H");
    group.throughput(Throughput::Elements(table.rows()));
    group.bench_function("query 1", |bencher| {
        bencher.iter(|| black_box(query_1(&table, &filter, &columns, &keys, &sums)));
    });
    group.finish();
}

criterion_group!(benches, pricing);
criterion_main!(benches);
