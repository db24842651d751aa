//! What a predicate keeps, what is told, and what is refused.

use datafusion::logical_expr::col;

use super::*;

#[test]
fn predicates_keep_what_they_must() {
    let both = || col("region").eq(text("eu")).and(col("day").eq(text("2024/03/01")));
    let cases: Vec<(Vec<Expr>, Vec<&str>)> = vec![
        (vec![both(), col("hour").eq(lit(3_i32))], vec!["eu/2024/03/01/03/"]),
        (vec![both(), lit(3_i32).eq(col("hour"))], vec!["eu/2024/03/01/03/"]),
        // Another type than the key's: not looked up, and evaluated all the same.
        (vec![both(), col("hour").eq(lit(3_i64))], vec!["eu/2024/03/01/03/"]),
        (vec![both(), col("hour").gt(lit(21_i32))], vec!["eu/2024/03/01/22/", "eu/2024/03/01/23/"]),
        (vec![both(), lit(1_i32).gt_eq(col("hour"))], vec!["eu/2024/03/01/00/", "eu/2024/03/01/01/"]),
        (vec![both(), col("hour").between(lit(4_i32), lit(5_i32))], vec!["eu/2024/03/01/04/", "eu/2024/03/01/05/"]),
        (vec![both(), col("hour").in_list(vec![lit(7_i32), lit(30_i32)], false)], vec!["eu/2024/03/01/07/"]),
        (vec![both(), (col("hour") % lit(12_i32)).eq(lit(5_i32))], vec!["eu/2024/03/01/05/", "eu/2024/03/01/17/"]),
        (vec![both(), col("hour").is_null()], vec![]),
        (vec![both(), col("hour").eq(lit(3_i32)).or(col("x").gt(lit(5_i64)))], vec!["*"]),
        (
            vec![both(), col("hour").eq(lit(3_i32)).and(col("x").gt(lit(5_i64))).or(col("hour").eq(lit(4_i32)))],
            vec!["eu/2024/03/01/03/", "eu/2024/03/01/04/"],
        ),
        (
            vec![
                col("hour").eq(lit(0_i32)),
                (col("region").eq(text("eu")).and(col("day").eq(text("2024/03/01"))))
                    .or(col("region").eq(text("us")).and(col("day").eq(text("2024/03/02")))),
            ],
            vec!["eu/2024/03/01/00/", "us/2024/03/02/00/"],
        ),
        // As text, 2024/3/1 is another.
        (vec![col("region").eq(text("eu")), col("day").eq(text("2024/3/1"))], vec![]),
        (vec![col("region").eq(text("EU"))], vec![]),
        (
            vec![col("region").eq(text("us")), col("hour").eq(lit(9_i32)), col("day").like(text("2023/12/3%"))],
            vec!["us/2023/12/30/09/", "us/2023/12/31/09/"],
        ),
        (
            vec![col("region").not_eq(text("us")), col("hour").eq(lit(9_i32)), col("day").gt(text("2024/03/13"))],
            vec!["eu/2024/03/14/09/", "eu/2024/03/15/09/"],
        ),
    ];
    for (filters, expected) in cases {
        let kept = prune_at(&logs(), &filters, NOW).unwrap();
        if expected == ["*"] {
            assert_eq!(kept.kept.len(), 24, "{filters:?}");
        } else {
            assert_eq!(folders(&kept), expected, "{filters:?}");
        }
        assert_eq!(kept.total, 2 * 1536 * 24);
    }
}

/// A date is what its folder spells, in whatever steps.
#[test]
fn dates_have_the_precision_of_their_format() {
    let range = "k.range=2024-01,2024-04";
    for (interval, unit, days) in [("1", "MONTHS", [0, 31, 60, 91]), ("10", "DAYS", [0, 31, 60, 91])] {
        let (interval, unit) = (format!("k.interval={interval}"), format!("k.interval.unit={unit}"));
        let definition = table(&["k date"], &["k.type=date", "k.format=yyyy-MM", range, &interval, &unit]);
        for day in days {
            let day = ScalarValue::Date32(Some(19_723 + day));
            assert_eq!(prune_at(&definition, &[col("k").eq(lit(day.clone()))], NOW).unwrap().kept.len(), 1, "{day}");
        }
        let second = lit(ScalarValue::Date32(Some(19_724)));
        assert_eq!(prune_at(&definition, &[col("k").eq(second)], NOW).unwrap().kept.len(), 0);
    }
    let steps = ["k.type=date", "k.format=yyyy-MM", range, "k.interval=32", "k.interval.unit=DAYS"];
    let kept = prune_at(&table(&["k date"], &steps), &[], NOW).unwrap();
    assert_eq!(folders(&kept), ["k=2024-01/", "k=2024-02/", "k=2024-03/"]);
    let march = [col("k").eq(lit(ScalarValue::Date32(Some(19_783))))];
    assert_eq!(prune_at(&table(&["k date"], &steps), &march, NOW).unwrap().kept.len(), 1);
}

/// NOW is the statement's: what is kept moves with it.
#[test]
fn now_moves() {
    let latest = |now: &str| {
        let filters = [col("region").eq(text("eu")), col("hour").eq(lit(0_i32)), col("day").gt_eq(text("2024/02/29"))];
        let kept = prune_at(&logs(), &filters, now).unwrap();
        (kept.kept.len(), folders(&kept).pop().unwrap_or_default(), kept.notices.len())
    };
    assert_eq!(latest("2024-02-28T23:59:59Z"), (0, String::new(), 1));
    assert_eq!(latest("2024-02-29T00:00:00Z"), (1, "eu/2024/02/29/00/".to_owned(), 0));
    assert_eq!(latest("2024-03-01T12:00:00Z"), (2, "eu/2024/03/01/00/".to_owned(), 0));
}

#[test]
fn what_no_projected_value_meets_is_told() {
    let hour = |filters: Vec<Expr>| {
        let mut all = vec![col("hour").eq(lit(1_i32))];
        all.extend(filters);
        all
    };
    let regions = "\"region\" is projected as \"eu\", \"us\"";
    let days = "\"day\" is projected as \"2020/01/01\" to \"2024/03/15\"";
    let t = "01000 table \"default.t\" has no partition";
    let cases: Vec<(Vec<Expr>, Vec<String>)> = vec![
        (hour(vec![]), vec![]),
        (hour(vec![col("day").gt(text("1999/01/01"))]), vec![]),
        (hour(vec![col("day").eq(text("1999/01/01"))]), vec![format!("{t} for \"day\" = \"1999/01/01\": {days}")]),
        (
            hour(vec![col("day").lt(text("1999/01/01"))]),
            vec![format!("{t} that meets the condition on \"day\": {days}")],
        ),
        (hour(vec![col("day").like(text("1999%"))]), vec![format!("{t} that meets the condition on \"day\": {days}")]),
        (hour(vec![col("region").eq(text("asia"))]), vec![format!("{t} for \"region\" = \"asia\": {regions}")]),
        (
            hour(vec![col("region").in_list(["a", "b", "c", "d", "eu"].map(text).to_vec(), false)]),
            vec![format!("{t} for \"region\" = \"a\", \"b\", \"c\" and 1 more: {regions}")],
        ),
        (
            vec![col("hour").eq(lit(24_i32))],
            vec![format!("{t} for \"hour\" = \"24\": \"hour\" is projected as \"00\" to \"23\"")],
        ),
        // A negation excludes what isn't there: nothing to tell.
        (hour(vec![col("region").not_eq(text("asia"))]), vec![]),
    ];
    for (filters, expected) in cases {
        let kept = prune_at(&logs(), &filters, NOW).unwrap();
        assert_eq!(messages(&kept), expected, "{filters:?}");
    }
    let future = table(&["k string"], &["k.type=date", "k.format=yyyy", "k.range=2030,NOW"]);
    let kept = prune_at(&future, &[col("k").eq(text("2030"))], NOW).unwrap();
    assert_eq!(
        messages(&kept),
        ["01000 table \"default.t\" has no partitions now: the projected range of \"k\" is empty"]
    );
}

/// Ranges that nobody could enumerate are searched, and what can't be narrowed is refused with a way out.
#[test]
fn huge_ranges_are_searched_not_enumerated() {
    let huge = table(
        &["id bigint", "tick string", "at timestamp"],
        &[
            "id.type=integer",
            "id.range=-9223372036854775808,9223372036854775807",
            "tick.type=integer",
            "tick.range=0,9999999999",
            "at.type=date",
            "at.format=yyyy-MM-dd-HH-mm-ss",
            "at.range=NOW-1000YEARS,NOW+1000YEARS",
            "at.interval=1",
            "at.interval.unit=SECONDS",
        ],
    );
    let at = |text: &str| {
        let moment: DateTime<Utc> = text.parse().unwrap();
        lit(ScalarValue::TimestampMicrosecond(Some(moment.timestamp_micros()), None))
    };
    let filters = |id: Expr, tick: Expr| {
        vec![id, tick, col("at").gt_eq(at("2024-01-01T00:00:00Z")).and(col("at").lt(at("2024-01-01T00:00:02Z")))]
    };
    let kept = prune_at(
        &huge,
        &filters(col("id").eq(lit(-7_i64)).or(col("id").eq(lit(i64::MAX))), col("tick").eq(text("77"))),
        NOW,
    )
    .unwrap();
    assert_eq!(kept.total, u64::MAX);
    assert_eq!(
        folders(&kept),
        [
            "id=-7/tick=77/at=2024-01-01-00-00-00/",
            "id=-7/tick=77/at=2024-01-01-00-00-01/",
            "id=9223372036854775807/tick=77/at=2024-01-01-00-00-00/",
            "id=9223372036854775807/tick=77/at=2024-01-01-00-00-01/",
        ]
    );
    let error = prune_at(&huge, &filters(col("id").gt(lit(0_i64)), col("tick").eq(text("77"))), NOW).unwrap_err();
    assert_eq!(error.code.sqlstate(), "54000");
    assert!(error.detail.unwrap().contains("\"id\" has 9223372036854775807 values"));
    assert_eq!(error.hint.unwrap(), "Compare \"id\" with constants in the WHERE clause.");
    let error = prune_at(&huge, &filters(col("id").eq(lit(0_i64)), col("tick").gt(text("77"))), NOW).unwrap_err();
    assert!(error.detail.unwrap().contains("\"tick\" has 10000000000 values"));

    let wide = table(&["a int", "b int"], &["a.type=integer", "a.range=1,2000", "b.type=integer", "b.range=1,3000"]);
    let error = prune_at(&wide, &[], NOW).unwrap_err();
    assert_eq!(error.message, "too many projected partitions of table \"default.t\"");
    assert_eq!(
        error.detail.unwrap(),
        "The query's conditions leave 6000000 partitions, of at most 1000000; of the keys' values: 2000 of \"a\", 3000 of \
         \"b\"."
    );
    assert_eq!(error.hint.unwrap(), "Add a condition on \"b\" to the WHERE clause.");
    let error = prune_at(&wide, &[col("b").lt_eq(lit(300_i32))], NOW).unwrap_err();
    assert!(error.detail.unwrap().starts_with("The query's conditions leave 600000 partitions, of at most 100000;"));
    // What the whole predicate leaves counts, not what one key's conditions do.
    let diagonal = [col("b").lt_eq(lit(400_i32)), col("a").eq(col("b"))];
    assert_eq!(prune_at(&wide, &diagonal, NOW).unwrap().kept.len(), 400);
}

/// Long lists are looked up in huge ranges, and what no value equals is told in a few words.
#[test]
fn long_lists_are_looked_up() {
    let wide = table(&["k bigint"], &["k.type=integer", "k.range=0,9223372036854775807", "k.interval=2"]);
    let ids = |step: i64, odd: i64| (0..50_000).map(|id| lit(id * step + odd)).collect::<Vec<_>>();
    let kept = prune_at(&wide, &[col("k").in_list(ids(1_000_002, 0), false)], NOW).unwrap();
    assert_eq!((kept.kept.len(), messages(&kept)), (50_000, vec![]));
    let kept = prune_at(&wide, &[col("k").in_list(ids(1_000_002, 1), false)], NOW).unwrap();
    assert_eq!(kept.kept.len(), 0);
    assert_eq!(
        messages(&kept),
        [
            "01000 table \"default.t\" has no partition for \"k\" = \"1\", \"1000003\", \"2000005\" and many more: \"k\" is \
          projected as \"0\" to \"9223372036854775806\""
        ]
    );
}

#[test]
fn injected_keys_need_constants() {
    let injected = table(
        &["id string", "n int"],
        &["id.type=injected", "n.type=injected", "storage.location.template=s3://b/t/${id}/${n}/"],
    );
    let n = || col("n").eq(lit(5_i32));
    for filters in [
        vec![],
        vec![n()],
        vec![n(), col("id").gt(text("a"))],
        vec![n(), col("id").eq(text("a")).or(col("x").eq(lit(1_i64)))],
        vec![n(), col("id").not_eq(text("a"))],
        vec![n(), col("id").in_list(vec![text("a")], true)],
    ] {
        let error = prune_at(&injected, &filters, NOW).unwrap_err();
        assert_eq!(
            error.message, "partition key \"id\" of table \"default.t\" needs a value in the WHERE clause",
            "{filters:?}"
        );
        assert!(error.detail.is_some() && error.hint.unwrap().contains("id IN ("));
    }
    let cases: Vec<(Expr, Vec<&str>)> = vec![
        (col("id").eq(text("a")), vec!["a/5/"]),
        (text("a").eq(col("id")), vec!["a/5/"]),
        (col("id").in_list(vec![text("b"), text("a"), text("b")], false), vec!["b/5/", "a/5/"]),
        (col("id").eq(text("a")).or(col("id").eq(text("b"))), vec!["a/5/", "b/5/"]),
        (col("id").eq(text("a")).and(col("id").eq(text("b"))), vec![]),
        (col("id").in_list(vec![text("b"), text("a")], false).and(col("id").gt(text("a"))), vec!["b/5/"]),
        (col("id").eq(text("with space/and slash")), vec!["with space/and slash/5/"]),
    ];
    for (filter, expected) in cases {
        let kept = prune_at(&injected, &[filter.clone(), n()], NOW).unwrap();
        assert_eq!(
            (folders(&kept), messages(&kept)),
            (expected.iter().map(|&s| s.to_owned()).collect(), vec![]),
            "{filter}"
        );
    }
    // What would lead out of the folder, or to the one above it, is no partition.
    for value in ["", "..", "a/../../b", "%2E%2e/x", "/a", "a/", ".", "a//b", "a\0"] {
        let kept = prune_at(&injected, &[col("id").eq(text(value)), n()], NOW).unwrap();
        assert_eq!(folders(&kept).len(), 0, "{value:?}");
        assert!(messages(&kept)[0].ends_with("no folder is named so"), "{:?}", kept.notices);
    }
    // As Hive names folders, they are escaped.
    let hive = table(&["id string"], &["id.type=injected"]);
    let kept = prune_at(&hive, &[col("id").eq(text("a/../b"))], NOW).unwrap();
    assert_eq!(folders(&kept), ["id=a%2F..%2Fb/"]);
}
