//! Arithmetic and sizes within bounds, run through whole queries.

#![allow(clippy::unwrap_used, reason = "tests")]

use crate::plan::pg_catalog::tests::Lake;

#[tokio::test(flavor = "multi_thread")]
async fn integers_do_not_wrap() {
    let lake = Lake::open();
    for (sql, wanted) in [
        ("select 9223372036854775807 + 1", "bigint out of range"),
        ("select -9223372036854775807 - 2", "bigint out of range"),
        ("select x * x from (values (4611686018427387904)) t(x)", "bigint out of range"),
        ("select x + x from (values (2147483647::int)) t(x)", "integer out of range"),
        ("select 1/0", "Divide by zero"),
        ("select x / 0 from (values (1)) t(x)", "Divide by zero"),
    ] {
        let error = lake.try_query(sql).await.expect_err(sql);
        assert!(error.to_lowercase().contains(&wanted.to_lowercase()), "{sql}: {error}");
    }
    for (sql, wanted) in [
        ("select sum(x) from (values (9223372036854775807), (9223372036854775807)) t(x)", "18446744073709551614"),
        ("select sum(x), arrow_typeof(sum(x)) from (values (1::int), (2::int)) t(x)", "3|Int64"),
        ("select arrow_typeof(sum(x)) from (values (1::bigint)) t(x)", "Decimal128(38, 0)"),
        (
            "select g, sum(x) from (values (1, 9223372036854775807), (1, 1), (2, 5)) t(g, x) group by g order by g",
            "1|9223372036854775808|2|5",
        ),
        ("select sum(x) over (order by x rows 1 preceding) from (values (1), (2), (3)) t(x) order by 1", "1|3|5"),
        ("select sum(distinct x) from (values (1), (1), (3)) t(x)", "4"),
        ("select x + 1, x - 1, x * 2, x + 1 from (values (5)) t(x)", "6|4|10|6"),
        (
            "select x + 1 as y, count(*) from (values (5), (5)) t(x) group by x + 1 having x + 1 > 2 order by x + 1",
            "6|2",
        ),
        ("select 1.5 * 2", "3.0"),
    ] {
        assert_eq!(lake.value(sql).await, wanted, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_bounded() {
    let lake = Lake::open();
    for sql in [
        "select repeat('x', 10000000000)",
        "select length(repeat(v, 1000000000)) from (values ('abc')) t(v)",
        "select lpad('x', 2000000000)",
        "select rpad('x', 2000000000, 'y')",
        "select array_repeat(1, 1000000000)",
        "select array_repeat(array_repeat(array_repeat(1, 1000), 1000), 1000)",
        "select length(replace(repeat('a', 10000000), 'a', repeat('b', 10000)))",
        "select length(regexp_replace(repeat('a', 10000000), 'a', repeat('b', 10000), 'g'))",
        "select generate_series(1, 100000000000)",
        "select range(1, 100000000000, 2)",
    ] {
        let error = lake.try_query(sql).await.expect_err(sql);
        assert!(error.contains("requested length too large"), "{sql}: {error}");
    }
    let error = lake
        .try_query("select approx_percentile_cont(0.5, 1000000) within group (order by x) from (values (1.0)) t(x)")
        .await;
    assert!(error.unwrap_err().contains("centroids"));
    // Many short texts, a long one in which little is replaced, and one that only shrinks.
    let replaced =
        "select length(replace(repeat('a', 30000000), 'b', 'ccc')), length(replace(repeat('ab', 2000000), 'ab', ''))";
    assert_eq!(lake.value(replaced).await, "30000000|0");
    assert_eq!(
        lake.value("select regexp_replace('a1b2', '[0-9]', 'x', 'g'), replace('aba', 'a', 'cc')").await,
        "axbx|ccbcc"
    );
    assert_eq!(lake.value("select repeat('ab', 2), lpad('x', 3), array_repeat(1, 2)").await, "abab|  x|[1, 1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_sleep_waits_and_can_be_dropped() {
    let lake = Lake::open();
    let started = tokio::time::Instant::now();
    lake.value("select pg_sleep(0.05)").await;
    assert!(started.elapsed().as_millis() >= 50);
    let stopped = tokio::time::timeout(std::time::Duration::from_millis(50), lake.value("select pg_sleep(1000)")).await;
    assert!(stopped.is_err());
}
