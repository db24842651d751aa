//! Queries put together by chance.

use super::dashboard::{chance, clicks};
use super::harness::Both;

const KEYS: [&str; 10] = [
    "country",
    "device",
    "day",
    "hour",
    "is_new",
    "user_id",
    "extract(month FROM day)",
    "CASE WHEN hour > 3 THEN device END",
    "hour % 5",
    "nothing",
];

const AGGREGATES: [&str; 16] = [
    "count(*)",
    "count(country)",
    "count(nothing)",
    "sum(price)",
    "sum(price * (1 - discount))",
    "avg(price)",
    "avg(hour)",
    "min(day)",
    "max(country)",
    "min(huge)",
    "sum(wide)",
    "sum(score)",
    "max(at)",
    "count(DISTINCT hour)",
    "sum(user_id) FILTER (WHERE is_new)",
    "count(*) FILTER (WHERE country <> 'de')",
];

const FILTERS: [&str; 8] = [
    "true",
    "hour > 4",
    "country = 'de'",
    "country IS NOT NULL AND hour < 10",
    "is_new",
    "price > 900 OR price IS NULL",
    "day BETWEEN date '2022-02-01' AND date '2022-02-10'",
    "hour > 90",
];

#[tokio::test]
async fn queries_by_chance_have_the_same_answers() {
    let both = Both::new(&[("clicks", clicks())]);
    let seed = 20_261_124;
    let mut next = chance(seed);
    let mut on_codes = 0;
    for at in 0..150 {
        let mut pick = |from: &[&str], most: u64| -> Vec<String> {
            let count = next(most + 1);
            let mut picked: Vec<String> = Vec::new();
            for _ in 0..count {
                let one = from[next(from.len() as u64) as usize].to_owned();
                if !picked.contains(&one) {
                    picked.push(one);
                }
            }
            picked
        };
        let keys = pick(&KEYS, 3);
        let mut wanted = pick(&AGGREGATES, 4);
        if keys.is_empty() && wanted.is_empty() {
            wanted.push("count(*)".to_owned());
        }
        let filter = FILTERS[next(FILTERS.len() as u64) as usize];
        let columns: Vec<String> = keys.iter().chain(&wanted).cloned().collect();
        let group_by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
        let sql = format!("SELECT {} FROM clicks WHERE {filter}{group_by}", columns.join(", "));
        on_codes += usize::from(both.same(&sql).await > 0);
        assert!(at < 150, "seed {seed}");
    }
    assert!(on_codes > 90, "{on_codes} of 150");
}
