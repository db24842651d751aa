//! What dashboards ask, of a table with everything in it that can go wrong.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use limnos_columnar::Table;

use super::harness::{Both, table};

pub(super) const ROWS: usize = 3000;

/// Numbers that look like chance, the same each time.
pub(super) fn chance(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    }
}

/// Three thousand clicks: keys with and without NULLs, a column of nothing but NULLs, one value, numbers at the ends of their types.
pub(super) fn clicks() -> Table {
    let mut next = chance(42);
    let rows = || 0..ROWS;
    let mut some = |share: u64| rows().map(|_| next(100) >= share).collect::<Vec<_>>();
    let (country_there, day_there, price_there) = (some(10), some(5), some(20));
    let mut next = chance(7);
    let countries = ["de", "fr", "us", "", "jp", "a country with quite a long name"];
    let mut column = |there: Option<&[bool]>, below: u64| -> Vec<Option<u64>> {
        rows()
            .map(|_| next(below))
            .enumerate()
            .map(|(row, n)| there.is_none_or(|there| there[row]).then_some(n))
            .collect()
    };
    let country = column(Some(&country_there), 6);
    let device = column(None, 3);
    let day = column(Some(&day_there), 800);
    let price = column(Some(&price_there), 100_000);
    let discount = column(None, 11);
    let hour = column(None, 24);
    let is_new = column(Some(&day_there), 2);
    let huge = column(None, 3);
    let score = column(Some(&price_there), 1000);
    let user = column(None, 500);
    let at = column(Some(&day_there), 1_000_000_000);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("country", Arc::new(country.iter().map(|n| n.map(|n| countries[n as usize])).collect::<StringArray>())),
        (
            "device",
            Arc::new(
                device.iter().map(|n| n.map(|n| ["phone", "desktop", "tablet"][n as usize])).collect::<StringArray>(),
            ),
        ),
        ("day", Arc::new(day.iter().map(|n| n.map(|n| 19_000 + n as i32)).collect::<Date32Array>())),
        (
            "price",
            Arc::new(
                price
                    .iter()
                    .map(|n| n.map(|n| i128::from(n) - 500))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
        ),
        (
            "discount",
            Arc::new(
                discount
                    .iter()
                    .map(|n| n.map(i128::from))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(4, 2)
                    .unwrap(),
            ),
        ),
        ("hour", Arc::new(hour.iter().map(|n| n.map(|n| n as i16 - 12)).collect::<Int16Array>())),
        ("is_new", Arc::new(is_new.iter().map(|n| n.map(|n| n == 1)).collect::<BooleanArray>())),
        ("huge", Arc::new(huge.iter().map(|n| n.map(|n| i64::MAX - n as i64)).collect::<Int64Array>())),
        ("wide", Arc::new(huge.iter().map(|n| n.map(|n| [i64::MIN, 0, i64::MAX][n as usize])).collect::<Int64Array>())),
        ("score", Arc::new(score.iter().map(|n| n.map(|n| n as f64 / 8.0)).collect::<Float64Array>())),
        ("user_id", Arc::new(user.iter().map(|n| n.map(|n| n as i32 * 3)).collect::<Int32Array>())),
        (
            "at",
            Arc::new(
                at.iter().map(|n| n.map(|n| 1_700_000_000_000_000 + n as i64)).collect::<TimestampMicrosecondArray>(),
            ),
        ),
        ("nothing", Arc::new(Int32Array::from(vec![None; ROWS]))),
        ("no_text", Arc::new(StringArray::from(vec![None::<&str>; ROWS]))),
        ("one", Arc::new(Int32Array::from(vec![1; ROWS]))),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let schema: SchemaRef = batch.schema();
    table(&schema, [batch], 700)
}

#[tokio::test]
async fn dashboards_have_the_same_answers_on_codes() {
    let both = Both::new(&[("clicks", clicks())]);
    for (sql, expected) in [
        // Keys.
        ("SELECT country, count(*) FROM clicks GROUP BY country", 1),
        ("SELECT country, device, count(*), sum(price), avg(price) FROM clicks GROUP BY country, device", 1),
        ("SELECT device, hour, is_new, count(price), min(day), max(day) FROM clicks GROUP BY 1, 2, 3", 1),
        ("SELECT day, sum(user_id) FROM clicks GROUP BY day", 1),
        ("SELECT user_id, min(price), max(discount) FROM clicks GROUP BY user_id", 1),
        ("SELECT is_new, count(*) FROM clicks GROUP BY is_new", 1),
        ("SELECT one, country, count(*) FROM clicks GROUP BY one, country", 1),
        ("SELECT no_text, count(*), count(no_text), min(no_text) FROM clicks GROUP BY no_text", 1),
        ("SELECT country, count(nothing), sum(nothing), min(nothing), avg(nothing) FROM clicks GROUP BY country", 1),
        ("SELECT DISTINCT country, device FROM clicks", 1),
        ("SELECT country FROM clicks GROUP BY country", 1),
        // Keys that aren't few.
        ("SELECT wide, count(*) FROM clicks GROUP BY wide", 0),
        ("SELECT at, count(*) FROM clicks GROUP BY at", 0),
        ("SELECT score, count(*) FROM clicks GROUP BY score", 0),
        ("SELECT day, user_id, hour, device, count(*) FROM clicks GROUP BY 1, 2, 3, 4", 0),
        ("SELECT GROUPING(country), country, count(*) FROM clicks GROUP BY ROLLUP(country)", 0),
        // Keys that are made of a column.
        ("SELECT extract(year FROM day), count(*), sum(price) FROM clicks GROUP BY 1", 1),
        ("SELECT date_trunc('month', day), device, count(*) FROM clicks GROUP BY 1, 2", 1),
        (
            "SELECT CASE WHEN country IN ('de', 'fr') THEN 'eu' WHEN country IS NULL THEN 'none' END, count(*) FROM clicks GROUP BY 1",
            1,
        ),
        ("SELECT CASE WHEN hour < 0 THEN 'am' ELSE 'pm' END, avg(score) FROM clicks GROUP BY 1", 1),
        ("SELECT substring(country, 1, 1), count(*) FROM clicks GROUP BY 1", 1),
        ("SELECT country IS NULL, is_new IS NOT TRUE, count(*) FROM clicks GROUP BY 1, 2", 1),
        ("SELECT coalesce(country, device), count(*) FROM clicks GROUP BY 1", 0),
        ("SELECT 24 / (hour + 12), count(*) FROM clicks GROUP BY 1", 0),
        ("SELECT 24 / (hour + 13), count(*) FROM clicks GROUP BY 1", 1),
        ("SELECT hour * 1.5, count(*) FROM clicks GROUP BY 1", 1),
        ("SELECT CAST(hour AS double), count(*) FROM clicks GROUP BY 1", 0),
        // Aggregates.
        (
            "SELECT device, sum(price * (1 - discount)), sum(price * (1 - discount) * (1 + discount)) FROM clicks GROUP BY device",
            1,
        ),
        (
            "SELECT device, avg(price * discount), min(price - discount), max(price + discount) FROM clicks GROUP BY device",
            1,
        ),
        ("SELECT device, sum(huge), avg(huge), min(huge), max(huge) FROM clicks GROUP BY device", 1),
        ("SELECT device, sum(wide), min(wide), max(wide), count(wide) FROM clicks GROUP BY device", 1),
        ("SELECT device, sum(score), avg(score), min(score), max(score) FROM clicks GROUP BY device", 1),
        ("SELECT device, sum(hour), avg(hour), min(hour), max(hour), avg(user_id) FROM clicks GROUP BY device", 1),
        ("SELECT device, min(country), max(country), min(at), max(at) FROM clicks GROUP BY device", 1),
        ("SELECT device, bool_and(is_new), bool_or(is_new), stddev(score) FROM clicks GROUP BY device", 1),
        (
            "SELECT device, sum(CASE WHEN country = 'de' THEN price ELSE 0 END), sum(hour + user_id * 2) FROM clicks GROUP BY device",
            1,
        ),
        ("SELECT country, count(DISTINCT device), count(DISTINCT user_id), count(*) FROM clicks GROUP BY country", 1),
        ("SELECT device, count(DISTINCT country), count(DISTINCT hour), sum(price) FROM clicks GROUP BY device", 1),
        ("SELECT country, count(DISTINCT device) FROM clicks GROUP BY country", 1),
        ("SELECT country, count(DISTINCT day), count(DISTINCT price), sum(one) FROM clicks GROUP BY country", 1),
        ("SELECT country, array_agg(hour ORDER BY hour) FROM clicks GROUP BY country", 0),
        ("SELECT country, first_value(price ORDER BY at, price) FROM clicks GROUP BY country", 0),
        // FILTER.
        (
            "SELECT country, count(*) FILTER (WHERE hour > 0), sum(price) FILTER (WHERE is_new), sum(price) FROM clicks GROUP BY country",
            1,
        ),
        (
            "SELECT country, avg(price) FILTER (WHERE hour > 90), min(day) FILTER (WHERE device = 'phone'), sum(score) FILTER (WHERE is_new), count(DISTINCT device) FILTER (WHERE hour > 9) FROM clicks GROUP BY country",
            1,
        ),
        ("SELECT count(*) FILTER (WHERE is_new), max(country) FILTER (WHERE is_new) FROM clicks", 1),
        // Without keys.
        (
            "SELECT count(*), count(price), sum(price), avg(price), min(country), max(score), count(DISTINCT country) FROM clicks",
            1,
        ),
        (
            "SELECT sum(price * discount) FROM clicks WHERE day >= date '2022-06-01' AND discount BETWEEN 0.02 AND 0.04",
            1,
        ),
        ("SELECT sum(wide), sum(huge), avg(huge) FROM clicks WHERE hour = 3", 1),
        // Filters, and groups that they leave nothing of.
        ("SELECT country, count(*), sum(price) FROM clicks WHERE device = 'phone' AND hour > 5 GROUP BY country", 1),
        ("SELECT country, count(*), sum(price) FROM clicks WHERE country IS NULL GROUP BY country", 1),
        ("SELECT country, count(*), sum(price), sum(score) FROM clicks WHERE hour > 90 GROUP BY country", 1),
        (
            "SELECT count(*), sum(price), avg(score), min(country), max(day), bool_and(is_new), count(DISTINCT hour) FROM clicks WHERE hour > 90",
            1,
        ),
        ("SELECT country, sum(price) FROM clicks WHERE price IS NULL GROUP BY country", 1),
        // What stays above.
        (
            "SELECT country, sum(price) AS total FROM clicks GROUP BY country HAVING count(*) > 400 ORDER BY total DESC LIMIT 3",
            1,
        ),
        (
            "SELECT user_id, count(*) AS n FROM clicks WHERE is_new GROUP BY user_id ORDER BY n DESC, user_id LIMIT 10",
            1,
        ),
        ("SELECT country, sum(price) / count(*), round(avg(price), 1) FROM clicks GROUP BY country", 1),
        ("SELECT avg(n) FROM (SELECT day, count(*) AS n FROM clicks GROUP BY day) AS days", 1),
        (
            "SELECT c.country, n, m FROM (SELECT country, count(*) n FROM clicks GROUP BY country) c JOIN (SELECT country, max(price) m FROM clicks GROUP BY country) d ON c.country = d.country",
            2,
        ),
        (
            "SELECT country, count(*) FROM (SELECT country, device FROM clicks WHERE hour < 0) AS x WHERE device <> 'phone' GROUP BY country",
            1,
        ),
        ("SELECT k, sum(v) FROM (SELECT upper(country) AS k, price * 2 AS v FROM clicks) AS x GROUP BY k", 1),
        ("SELECT country FROM clicks GROUP BY country LIMIT 2 OFFSET 1", 0),
        // Errors, in the aggregate and in a key of rows that there are.
        ("SELECT device, sum(huge + huge) FROM clicks GROUP BY device", 1),
        ("SELECT device, sum(one / (hour + 12)) FROM clicks GROUP BY device", 1),
        ("SELECT 24 / (hour + 12), count(*) FROM clicks WHERE hour > -12 GROUP BY 1", 0),
    ] {
        if sql.contains("LIMIT 2 OFFSET") {
            // Any two are right.
            continue;
        }
        assert_eq!(both.same(sql).await, expected, "{sql}\n{}", both.plan(sql).await);
    }
}

#[tokio::test]
async fn an_empty_table_and_one_of_one_row_are_tables_too() {
    let all = clicks();
    let batch = all.batches().next().unwrap().unwrap();
    for rows in [0, 1] {
        let few = table(&batch.schema(), [batch.slice(0, rows)], 700);
        let both = Both::new(&[("clicks", few)]);
        for sql in [
            "SELECT country, count(*), sum(price) FROM clicks GROUP BY country",
            "SELECT count(*), sum(price), avg(hour), min(country), max(score) FROM clicks",
            "SELECT extract(year FROM day), is_new, count(DISTINCT country) FROM clicks GROUP BY 1, 2",
            "SELECT nothing, no_text, count(*) FROM clicks GROUP BY 1, 2",
        ] {
            both.same(sql).await;
        }
    }
}

#[tokio::test]
async fn explain_names_keys_and_groups() {
    let both = Both::new(&[("clicks", clicks())]);
    let plan = both.plan("SELECT device, extract(year FROM day) AS year, count(*) FROM clicks GROUP BY 1, 2").await;
    assert!(plan.contains("DatasetAggregate: keys=[device, "), "{plan}");
    assert!(plan.contains("groups<=12"), "{plan}");
}
