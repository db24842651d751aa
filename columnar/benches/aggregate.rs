//! Nanoseconds a row of groups on codes, beside what hashing the same keys costs.
//!
//! `cargo bench -p limnos-columnar --bench aggregate`

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use limnos_columnar::Codes;
use limnos_columnar::aggregate::{
    BLOCK_ROWS, Bounds, Count, Expression, Extreme, Groups, KeyColumn, KeySpace, Order, Rows, Sum,
};

/// What a chunk of a table has.
const ROWS: usize = 65_536;

/// Numbers that look like chance, the same each time.
fn numbers(below: u64) -> Vec<u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..ROWS)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        })
        .collect()
}

fn key<'a>(codes: Codes<'a>) -> KeyColumn<'a> {
    KeyColumn { codes, shift: 0, map: None, validity: None, null_digit: 0 }
}

/// Counts and sums a chunk, block by block, as a query does.
fn aggregate(space: &KeySpace, keys: &[KeyColumn<'_>], values: &[i64], groups: &mut Groups, sum: &mut Sum) {
    let mut ids = Vec::with_capacity(BLOCK_ROWS);
    for start in (0..ROWS).step_by(BLOCK_ROWS) {
        let rows = start..(start + BLOCK_ROWS).min(ROWS);
        space.groups_of(keys, &Rows::Range(rows.clone()), &mut ids);
        groups.add(&mut ids);
        sum.grow(groups.places());
        sum.update(&ids, &values[rows], None, 10_000_000);
    }
}

fn group_by(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("count and sum by");
    group.throughput(Throughput::Elements(ROWS as u64));
    let values: Vec<i64> = numbers(10_000_000).into_iter().map(|value| value as i64).collect();
    let few: Vec<u8> = numbers(3).into_iter().map(|code| code as u8).collect();
    let some: Vec<u8> = numbers(200).into_iter().rev().map(|code| code as u8).collect();
    let many: Vec<u16> = numbers(60_000).into_iter().map(|code| code as u16).collect();

    let cases: [(&str, Vec<u32>, Vec<KeyColumn<'_>>); 4] = [
        ("one key of 3", vec![3], vec![key(Codes::U8(&few))]),
        ("two keys, 3 x 200", vec![3, 200], vec![key(Codes::U8(&few)), key(Codes::U8(&some))]),
        ("one key of 60,000", vec![60_000], vec![key(Codes::U16(&many))]),
        ("two keys, 3 x 60,000", vec![3, 60_000], vec![key(Codes::U8(&few)), key(Codes::U16(&many))]),
    ];
    for (name, bases, keys) in cases {
        let space = KeySpace::new(bases, 1 << 20).expect("few groups");
        group.bench_function(name, |bencher| {
            let (mut groups, mut sum) = (Groups::new(space.groups()), Sum::default());
            bencher.iter(|| aggregate(&space, black_box(&keys), black_box(&values), &mut groups, &mut sum));
        });
    }

    // What a hash table of decoded strings costs, with the standard library's hasher.
    let strings: Vec<String> = (0..200).map(|value| format!("value number {value}")).collect();
    let decoded: Vec<(&str, &str)> =
        few.iter().zip(&some).map(|(a, b)| (strings[*a as usize].as_str(), strings[*b as usize].as_str())).collect();
    group.bench_function("two keys, 3 x 200, hashed strings", |bencher| {
        bencher.iter_batched(
            HashMap::<(&str, &str), (u64, i128)>::new,
            |mut table| {
                for (key, value) in decoded.iter().zip(&values) {
                    let entry = table.entry(*key).or_default();
                    entry.0 += 1;
                    entry.1 += i128::from(*value);
                }
                table
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn accumulators(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("of 6 groups");
    group.throughput(Throughput::Elements(ROWS as u64));
    let values: Vec<i64> = numbers(10_000_000).into_iter().map(|value| value as i64).collect();
    let ids: Vec<u32> = numbers(6).into_iter().map(|id| id as u32).collect();
    group.bench_function("count", |bencher| {
        let mut count = Count::default();
        count.grow(6);
        bencher.iter(|| count.update(black_box(&ids), None));
    });
    group.bench_function("sum", |bencher| {
        let mut sum = Sum::default();
        sum.grow(6);
        bencher.iter(|| sum.update(black_box(&ids), black_box(&values), None, 10_000_000));
    });
    group.bench_function("sum, all in one group", |bencher| {
        let (ids, mut sum) = (vec![0; ROWS], Sum::default());
        sum.grow(6);
        bencher.iter(|| sum.update(black_box(&ids), black_box(&values), None, 10_000_000));
    });
    group.bench_function("max", |bencher| {
        let mut max = Extreme::new(Order::Max);
        max.grow(6);
        bencher.iter(|| max.update(black_box(&ids), black_box(&values), None));
    });
    group.finish();
}

fn expressions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("price * (1 - discount)");
    group.throughput(Throughput::Elements(ROWS as u64));
    let price: Vec<i64> = numbers(10_000_000).into_iter().map(|value| value as i64).collect();
    let discount: Vec<i64> = numbers(11).into_iter().map(|value| value as i64).collect();
    let expression = Expression::Multiply(
        Box::new(Expression::Column(0)),
        Box::new(Expression::Subtract(Box::new(Expression::Constant(100)), Box::new(Expression::Column(1)))),
    );
    let bounds = [Bounds { min: 0, max: 9_999_999 }, Bounds { min: 0, max: 10 }];
    assert!(expression.bounds(&bounds).is_some());
    group.bench_function("in 64 bits", |bencher| {
        bencher.iter(|| {
            for start in (0..ROWS).step_by(BLOCK_ROWS) {
                let rows = start..start + BLOCK_ROWS;
                black_box(expression.evaluate(&[&price[rows.clone()], &discount[rows]]));
            }
        });
    });
    let wide = |values: &[i64]| -> arrow::array::Decimal128Array {
        let array: arrow::array::Decimal128Array = values.iter().map(|value| Some(i128::from(*value))).collect();
        array.with_precision_and_scale(15, 2).expect("15 digits")
    };
    let (price, discount) = (wide(&price), wide(&discount));
    let one = arrow::array::Decimal128Array::new_scalar(100);
    group.bench_function("arrow's decimals", |bencher| {
        bencher.iter(|| {
            for start in (0..ROWS).step_by(BLOCK_ROWS) {
                let (price, discount) = (price.slice(start, BLOCK_ROWS), discount.slice(start, BLOCK_ROWS));
                let rest = arrow::compute::kernels::numeric::sub(&one, &discount).expect("within 38 digits");
                black_box(arrow::compute::kernels::numeric::mul(&price, &rest).expect("within 38 digits"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, group_by, accumulators, expressions);
criterion_main!(benches);
