//! TPC-H's lineitem: bytes a row, and nanoseconds a row of encoding, filtering, decoding, saving and loading.
#![expect(clippy::print_stderr, reason = "sizes aren't times: criterion has no place for them")]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, RecordBatch, StringViewArray};
use arrow::error::ArrowError;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use limnos_columnar::{Comparison, Filter, Options, Predicate, Selection, SortKey, Table, TableBuilder};
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::{LineItemArrow, RecordBatchIterator};

/// 600,000 rows: larger than the caches once decoded, quick to make.
const SCALE: f64 = 0.1;

fn build(batches: &[RecordBatch], order_by: Vec<SortKey>) -> Table {
    let mut builder =
        TableBuilder::new(&batches[0].schema(), Options { order_by, ..Options::default() }).expect("a builder");
    builder.begin_part("lineitem".to_owned()).expect("no part is open");
    for batch in batches {
        builder.push(batch).expect("rows");
    }
    builder.end_part().expect("a part is open");
    builder.finish().expect("a table")
}

fn compare(table: &Table, column: &str, comparison: Comparison, value: ArrayRef) -> Predicate {
    Predicate::Compare { column: table.schema().index_of(column).expect("a column"), comparison, value }
}

fn decimal(value: i128) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(15, 2).expect("15 digits"))
}

/// TPC-H Q6.
fn q6(table: &Table) -> Predicate {
    let day = |day: i32| Arc::new(Date32Array::from(vec![day])) as ArrayRef;
    Predicate::And(vec![
        compare(table, "l_shipdate", Comparison::GreaterOrEqual, day(8766)),
        compare(table, "l_shipdate", Comparison::Less, day(9131)),
        compare(table, "l_discount", Comparison::GreaterOrEqual, decimal(5)),
        compare(table, "l_discount", Comparison::LessOrEqual, decimal(7)),
        compare(table, "l_quantity", Comparison::Less, decimal(2400)),
    ])
}

fn text_in(table: &Table) -> Predicate {
    let column = table.schema().index_of("l_shipmode").expect("a column");
    Predicate::In { column, values: Arc::new(StringViewArray::from(vec!["MAIL", "SHIP"])) }
}

fn text_of_many_values(table: &Table) -> Predicate {
    let column = table.schema().index_of("l_comment").expect("a column");
    let evaluate = |arrays: &[ArrayRef]| -> Result<BooleanArray, ArrowError> {
        let texts = arrays[0].as_any().downcast_ref::<StringViewArray>().expect("text");
        Ok(texts.iter().map(|text| text.map(|text| text.contains("special"))).collect())
    };
    Predicate::OnValues { column, evaluate: Arc::new(evaluate) }
}

fn selected(table: &Table, filter: &Filter) -> usize {
    table.chunks().iter().map(|chunk| filter.select(chunk).expect("an answer").len()).sum()
}

fn decoded(table: &Table, columns: &[usize], select: impl Fn(usize) -> Selection) -> usize {
    let mut values = 0;
    for (place, chunk) in table.chunks().iter().enumerate() {
        let selection = select(place);
        for from in (0..selection.len()).step_by(8192) {
            let range = from..(from + 8192).min(selection.len());
            for &column in columns {
                values += black_box(chunk.read(column, &selection, range.clone()).expect("rows")).len();
            }
        }
    }
    values
}

fn lineitem(criterion: &mut Criterion) {
    let batches: Vec<RecordBatch> =
        LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1)).with_batch_size(8192).collect();
    assert!(!LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1)).schema().fields().is_empty());
    let table = build(&batches, Vec::new());
    let rows = table.rows();
    let per_row = |bytes: f64| bytes / rows as f64;
    eprintln!(
        "{rows} rows: {:.1} bytes a row, {:.1} plain",
        per_row(table.memory_bytes() as f64),
        per_row(table.plain_bytes() as f64)
    );
    for (place, field) in table.schema().fields().iter().enumerate() {
        let bytes: usize = table.chunks().iter().map(|chunk| chunk.column(place).memory_bytes()).sum();
        let dictionary = table.dictionary(place).map_or(0, |dictionary| dictionary.len());
        let name = table.chunks()[0].column(place).encoding_name();
        eprintln!(
            "  {:16} {:6.2} bytes a row, {name}, {dictionary} values in a dictionary",
            field.name(),
            per_row(bytes as f64)
        );
    }

    let mut group = criterion.benchmark_group("lineitem");
    group.sample_size(10).throughput(Throughput::Elements(rows));
    group.bench_function("encode", |bencher| bencher.iter(|| build(&batches, Vec::new())));
    let by_shipdate = vec![SortKey { column: 10, descending: false, nulls_first: false }];
    group.bench_function("encode, sorted", |bencher| bencher.iter(|| build(&batches, by_shipdate.clone())));
    let sorted = build(&batches, by_shipdate);
    for (name, predicate) in
        [("Q6", q6 as fn(&Table) -> Predicate), ("IN on codes", text_in), ("substring of text", text_of_many_values)]
    {
        let filter = Filter::new(&table, &predicate(&table)).expect("a filter");
        eprintln!("{name}: {} of {rows} rows", selected(&table, &filter));
        group.bench_function(format!("filter {name}"), |bencher| bencher.iter(|| selected(&table, &filter)));
    }
    let filter = Filter::new(&sorted, &q6(&sorted)).expect("a filter");
    group.bench_function("filter Q6, sorted", |bencher| bencher.iter(|| selected(&sorted, &filter)));

    let whole = |place: usize| Selection::All(table.chunks()[place].rows());
    for column in ["l_orderkey", "l_extendedprice", "l_shipdate", "l_shipmode", "l_comment"] {
        let place = [table.schema().index_of(column).expect("a column")];
        group.bench_function(format!("decode {column}"), |bencher| bencher.iter(|| decoded(&table, &place, whole)));
    }
    let q6 = Filter::new(&table, &q6(&table)).expect("a filter");
    let selections: Vec<Selection> = table.chunks().iter().map(|chunk| q6.select(chunk).expect("an answer")).collect();
    group.bench_function("decode two columns of Q6's rows", |bencher| {
        bencher.iter(|| decoded(&table, &[5, 6], |place| selections[place].clone()));
    });

    let folder = tempfile::tempdir().expect("a folder");
    group.bench_function("save", |bencher| {
        bencher.iter(|| {
            std::fs::remove_dir_all(folder.path()).expect("removed");
            table.save(folder.path()).expect("saved")
        });
    });
    group.bench_function("load", |bencher| {
        bencher.iter(|| Table::load(folder.path()).expect("readable").expect("there"))
    });
    group.finish();
}

criterion_group!(benches, lineitem);
criterion_main!(benches);
