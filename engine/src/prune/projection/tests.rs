//! Properties in, partitions out: what is accepted, what is refused and how, what a predicate keeps, and that it is what a
//! catalogue of all projected partitions would keep.

use std::collections::BTreeMap;

use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::SessionContext;
use limnos_catalog::{Column, FileFormat, PartitionList, StorageDescriptor, TableKind};
use proptest::prelude::*;

use super::*;
use crate::prune::partition::matching;
use crate::prune::{KeptPartitions, PartitionIndex};
use crate::scan::schema::table_schema;
use crate::{Error, ErrorCode};

const NOW: &str = "2024-03-15T10:20:30Z";

fn name() -> TableName {
    TableName::new("default", "t")
}

/// A table with the partition keys `keys` (`day string`) and the properties `properties` (`day.type=date`).
fn table(keys: &[&str], properties: &[&str]) -> TableDefinition {
    let key = |key: &&str| {
        let (name, data_type) = key.split_once(' ').unwrap();
        Column::new(name, data_type.parse().unwrap())
    };
    let mut parameters = BTreeMap::from([("projection.enabled".to_owned(), "true".to_owned())]);
    parameters.extend(properties.iter().map(|property| {
        let (name, value) = property.split_once('=').unwrap();
        let lower = name.to_lowercase();
        let whole = lower.starts_with("storage.") || lower.starts_with("projection.");
        (if whole { name.to_owned() } else { format!("projection.{name}") }, value.to_owned())
    }));
    TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: "s3://b/t/".to_owned(),
            format: FileFormat::Parquet,
            serde: None,
            properties: BTreeMap::new(),
        }),
        columns: vec![Column::new("x", limnos_catalog::DataType::BigInt)],
        partition_keys: keys.iter().map(key).collect(),
        parameters,
        comment: None,
        owner: "limnos".to_owned(),
    }
}

fn schema(definition: &TableDefinition) -> SchemaRef {
    let (columns, keys) = table_schema(definition);
    let mut fields: Vec<FieldRef> = columns.fields().iter().cloned().collect();
    fields.extend(keys);
    Arc::new(Schema::new(fields))
}

fn prune_at(definition: &TableDefinition, filters: &[Expr], now: &str) -> Result<KeptPartitions> {
    let projection = Projection::of(&name(), definition)?.unwrap();
    let now: DateTime<Utc> = now.parse().unwrap();
    let state = SessionContext::new().state();
    projection.prune(now, &state, &schema(definition), filters).map_err(Error::from)
}

/// The folders that are kept, below the table's location.
fn folders(kept: &KeptPartitions) -> Vec<String> {
    kept.kept
        .iter()
        .map(|row| {
            let location = kept.index.list.locations[*row].as_deref().unwrap();
            location.strip_prefix("s3://b/t/").unwrap_or(location).to_owned()
        })
        .collect()
}

fn messages(kept: &KeptPartitions) -> Vec<String> {
    kept.notices.iter().map(|notice| format!("{} {}", notice.sqlstate, notice.message)).collect()
}

fn text(value: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(value.to_owned())))
}

#[test]
fn values_follow_from_the_properties() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("k string", &["k.type=enum", "k.values=eu,us east,1"], &["k=eu/", "k=us east/", "k=1/"]),
        ("k int", &["k.type= ENUM ", "k.values=3,01"], &["k=3/", "k=01/"]),
        ("k int", &["k.type=integer", "k.range=1,3"], &["k=1/", "k=2/", "k=3/"]),
        (
            "k string",
            &["k.type=Integer", "k.range= 8 , 0012 ", "k.interval=2", "k.digits=3"],
            &["k=008/", "k=010/", "k=012/"],
        ),
        ("k bigint", &["k.type=integer", "k.range=-1,1"], &["k=-1/", "k=0/", "k=1/"]),
        ("k string", &["k.type=integer", "k.range=-1,0", "k.digits=3"], &["k=-01/", "k=000/"]),
        ("k tinyint", &["k.type=integer", "k.range=126,127"], &["k=126/", "k=127/"]),
        ("k decimal(5,2)", &["k.type=integer", "k.range=1,2"], &["k=1/", "k=2/"]),
        (
            "k bigint",
            &["k.type=integer", "k.range=9223372036854775806,9223372036854775807"],
            &["k=9223372036854775806/", "k=9223372036854775807/"],
        ),
        (
            "k string",
            &["k.type=date", "k.format=yyyy-MM-dd", "k.range=2024-02-28,2024-03-01"],
            &["k=2024-02-28/", "k=2024-02-29/", "k=2024-03-01/"],
        ),
        (
            "k string",
            &["k.type=date", "k.format=yyyy/MM/dd", "k.range=NOW-1DAYS,NOW", "storage.location.template=s3://b/t/${k}"],
            &["2024/03/14/", "2024/03/15/"],
        ),
        (
            "k int",
            &["k.type=date", "k.format=yyyyMM", "k.range=202312,NOW-1MONTH"],
            &["k=202312/", "k=202401/", "k=202402/"],
        ),
        ("k int", &["k.type=date", "k.format=yyyy", "k.range=NOW-2YEARS,NOW"], &["k=2022/", "k=2023/", "k=2024/"]),
        (
            "k date",
            &["k.type=date", "k.format=yyyyMMdd", "k.range=20240101,20240131", "k.interval=2", "k.interval.unit=weeks"],
            &["k=20240101/", "k=20240115/", "k=20240129/"],
        ),
        (
            "k timestamp",
            &[
                "k.type=date",
                "k.format=yyyy-MM-dd-HH",
                "k.range=NOW-90MINUTES,NOW+1HOUR",
                "k.interval=1",
                "k.interval.unit=HOURS",
            ],
            &["k=2024-03-15-08/", "k=2024-03-15-09/", "k=2024-03-15-10/", "k=2024-03-15-11/"],
        ),
        (
            "k string",
            &[
                "k.type=date",
                "k.format=yyyy/MM/dd/HH/mm",
                "k.range=2024/01/01/00/00,2024/01/01/00/30",
                "k.interval=15",
                "k.interval.unit=minutes",
            ],
            &["k=2024%2F01%2F01%2F00%2F00/", "k=2024%2F01%2F01%2F00%2F15/", "k=2024%2F01%2F01%2F00%2F30/"],
        ),
        // A range from the last day of a month: the last day where there is none.
        (
            "k string",
            &["k.type=date", "k.format=yyyy-MM-dd", "k.range=2024-01-31,2024-03-31", "k.interval.unit=MONTHS"],
            &["k=2024-01-31/", "k=2024-02-29/", "k=2024-03-31/"],
        ),
        // Steps finer than the format don't make a folder twice, and leave none out.
        (
            "k string",
            &["k.type=date", "k.format=yyyy-MM", "k.range=2024-01,2024-03", "k.interval=1", "k.interval.unit=DAYS"],
            &["k=2024-01/", "k=2024-02/", "k=2024-03/"],
        ),
        (
            "k string",
            &["k.type=date", "k.format=yyyy-MM", "k.range=2024-01,2024-03", "k.interval=30", "k.interval.unit=DAYS"],
            &["k=2024-01/", "k=2024-03/"],
        ),
        // Not in order yet.
        ("k string", &["k.type=date", "k.format=yyyy", "k.range=2030,NOW"], &[]),
        ("K string", &["PROJECTION.K.TYPE=enum", "Projection.k.Values=a"], &["k=a/"]),
        ("a.b string", &["a.b.type=enum", "a.b.values=x"], &["a.b=x/"]),
    ];
    for (key, properties, expected) in cases {
        let key = key.to_lowercase();
        let definition = table(&[&key], properties);
        let kept = prune_at(&definition, &[], NOW).unwrap_or_else(|error| panic!("{properties:?}: {error:?}"));
        assert_eq!(folders(&kept), *expected, "{properties:?}");
    }
}

#[test]
fn bad_properties_are_refused_when_the_table_is_made() {
    let day = ["day.type=date", "day.format=yyyy-MM-dd", "day.range=NOW-1YEAR,NOW"];
    // Key, properties, the property named, its value, the reason.
    let cases: &[(&str, &[&str], &str, &str)] = &[
        (
            "k string",
            &[],
            "table \"default.t\" has no property \"projection.k.type\"",
            "these partition keys have no projection: k.",
        ),
        (
            "k string",
            &["k.type=list"],
            "\"projection.k.type\" of table \"default.t\": \"list\"",
            "no type of projection",
        ),
        (
            "k string",
            &["projection.enabled=yes"],
            "\"projection.enabled\" of table \"default.t\": \"yes\"",
            "It is a switch.",
        ),
        ("k string", &["k.type=enum"], "has no property \"projection.k.values\"", "type enum, which needs it"),
        ("k string", &["k.type=enum", "k.values="], "\"projection.k.values\"", "It lists no value."),
        (
            "k string",
            &["k.type=enum", "k.values=a,,b"],
            "\"projection.k.values\" of table \"default.t\": \"a,,b\"",
            "One of its values is empty.",
        ),
        ("k string", &["k.type=enum", "k.values=a,b,a"], "\"projection.k.values\"", "\"a\" is listed more than once"),
        (
            "k int",
            &["k.type=enum", "k.values=1,two"],
            "\"projection.k.values\"",
            "\"two\" is no value of partition key \"k\" of type int.",
        ),
        (
            "k date",
            &["k.type=enum", "k.values=2024-01-01,2024-1-x"],
            "\"projection.k.values\"",
            "\"2024-1-x\" is no value",
        ),
        (
            "k string",
            &["k.type=enum", "k.values=a,..", "storage.location.template=s3://b/${k}/"],
            "\"projection.k.values\"",
            "No folder is named \"..\".",
        ),
        ("k string", &["k.type=integer"], "has no property \"projection.k.range\"", "type integer"),
        (
            "k string",
            &["k.type=integer", "k.range=1"],
            "\"projection.k.range\" of table \"default.t\": \"1\"",
            "not two integers",
        ),
        ("k string", &["k.type=integer", "k.range=1,2,3"], "\"projection.k.range\"", "not two integers"),
        ("k string", &["k.type=integer", "k.range=1-3"], "\"projection.k.range\"", "not two integers"),
        (
            "k string",
            &["k.type=integer", "k.range=0,9223372036854775808"],
            "\"projection.k.range\"",
            "not two integers",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=3,1"],
            "\"projection.k.range\" of table \"default.t\": \"3,1\"",
            "ends before it begins",
        ),
        (
            "k tinyint",
            &["k.type=integer", "k.range=0,128"],
            "\"projection.k.range\"",
            "\"128\" is no value of partition key \"k\" of type tinyint.",
        ),
        (
            "k date",
            &["k.type=integer", "k.range=0,1"],
            "\"projection.k.type\"",
            "Partition key \"k\" has the type date.",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=0,1", "k.interval=0"],
            "\"projection.k.interval\"",
            "not a positive integer",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=0,1", "k.interval=1.5"],
            "\"projection.k.interval\"",
            "not a positive integer",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=0,100", "k.digits=2"],
            "\"projection.k.digits\" of table \"default.t\": \"2\"",
            "The range 0 to 100 needs 3 digits.",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=0,100", "k.digits=0"],
            "\"projection.k.digits\"",
            "not a number of digits",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=0,100", "k.digits=9999999999"],
            "\"projection.k.digits\"",
            "not a number of digits",
        ),
        (
            "k string",
            &["k.type=integer", "k.range=0,100", "k.digit=3"],
            "\"projection.k.digit\", which does not exist",
            "\"projection.k.digits\"?",
        ),
        ("k string", &["k.type=integer", "k.range=0,100", "K.range=0,1"], "has the property", "case does not count"),
        ("k string", &["k.type=date", "k.range=2024,NOW"], "has no property \"projection.k.format\"", "type date"),
        ("k string", &["k.type=date", "k.format=yyyy"], "has no property \"projection.k.range\"", "type date"),
        (
            "k string",
            &["k.type=date", "k.range=2024,NOW", "k.format=YYYY"],
            "\"projection.k.format\" of table \"default.t\": \"YYYY\"",
            "YYYY are not supported",
        ),
        ("k string", &["k.type=date", "k.range=01,12", "k.format=MM"], "\"projection.k.format\"", "no year"),
        (
            "k string",
            &["k.type=date", "k.range=2024-01-01", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "not two dates",
        ),
        (
            "k string",
            &["k.type=date", "k.range=2024-01-01,2024/02/01", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "\"2024/02/01\" is neither a date in the format yyyy-MM-dd",
        ),
        (
            "k string",
            &["k.type=date", "k.range=2024-02-30,NOW", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "\"2024-02-30\" is neither",
        ),
        (
            "k string",
            &["k.type=date", "k.range=NOW-3FORTNIGHTS,NOW", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "\"NOW-3FORTNIGHTS\" is neither",
        ),
        (
            "k string",
            &["k.type=date", "k.range=NOW-9999YEARS,NOW", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "\"NOW-9999YEARS\" is neither",
        ),
        (
            "k string",
            &["k.type=date", "k.range=2024-02-01,2024-01-01", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "ends before it begins",
        ),
        (
            "k string",
            &["k.type=date", "k.range=NOW,NOW-1YEAR", "k.format=yyyy-MM-dd"],
            "\"projection.k.range\"",
            "ends before it begins",
        ),
        (
            "k string",
            &["k.type=date", "k.range=2024,NOW", "k.format=yyyy", "k.interval.unit=FORTNIGHTS"],
            "\"projection.k.interval.unit\" of table \"default.t\": \"FORTNIGHTS\"",
            "no unit",
        ),
        (
            "k string",
            &["k.type=date", "k.range=2024,NOW", "k.format=yyyy", "k.interval=-1"],
            "\"projection.k.interval\"",
            "not a positive",
        ),
        (
            "k string",
            &["k.type=date", "k.range=NOW-1DAY,NOW", "k.format=yyyyMMddHH"],
            "has no property \"projection.k.interval.unit\"",
            "finer than a day",
        ),
        (
            "k string",
            &["k.type=date", "k.range=NOW-1DAY,NOW", "k.format=yyyyMMddHH", "k.interval.unit=HOURS"],
            "has no property \"projection.k.interval\"",
            "finer than a day",
        ),
        (
            "k int",
            &["k.type=date", "k.range=NOW-1DAY,NOW", "k.format=yyyy-MM-dd"],
            "\"projection.k.format\"",
            "no numbers in order",
        ),
        (
            "k int",
            &["k.type=date", "k.range=NOW-1DAY,NOW", "k.format=ddMMyyyy"],
            "\"projection.k.format\"",
            "no numbers in order",
        ),
        (
            "k smallint",
            &["k.type=date", "k.range=NOW-1DAY,NOW", "k.format=yyyyMMdd"],
            "\"projection.k.range\"",
            "is no value of partition key \"k\" of type smallint",
        ),
        (
            "k boolean",
            &["k.type=date", "k.range=NOW-1DAY,NOW", "k.format=yyyy"],
            "\"projection.k.type\"",
            "has the type boolean",
        ),
        (
            "day string",
            &[day[0], day[1], day[2], "storage.location.template=s3://b/x/"],
            "\"storage.location.template\" of table \"default.t\": \"s3://b/x/\"",
            "It has no ${day}.",
        ),
        (
            "day string",
            &[day[0], day[1], day[2], "storage.location.template=s3://b/${day}/${dya}"],
            "\"storage.location.template\"",
            "no partition key \"dya\"",
        ),
        (
            "day string",
            &[day[0], day[1], day[2], "storage.location.template=s3://${day}/"],
            "\"storage.location.template\"",
            "bucket",
        ),
        (
            "day string",
            &[day[0], day[1], day[2], "storage.location.template=s3://b/${day"],
            "\"storage.location.template\"",
            "without \"}\"",
        ),
        (
            "day string",
            &[day[0], day[1], day[2], "storage.location.template=lake/${day}"],
            "\"storage.location.template\"",
            "no location",
        ),
    ];
    for (key, properties, message, detail) in cases {
        let error = validate(&name(), &table(&[key], properties)).expect_err(&format!("{properties:?}"));
        assert_eq!(error.code, ErrorCode::InvalidTableDefinition);
        assert!(error.message.contains(message), "{properties:?}\n{}", error.message);
        assert!(error.message.contains("\"default.t\""), "{}", error.message);
        let told = format!("{} {}", error.detail.clone().unwrap_or_default(), error.hint.clone().unwrap_or_default());
        assert!(told.contains(detail), "{properties:?}\n{told}");
        let hint = error.hint.unwrap_or_default();
        assert!(hint.len() > 10, "{properties:?} has no hint: {hint:?}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let told = |keys: &[&str], properties: &[&str]| -> Vec<String> {
        let notices = validate(&name(), &table(keys, properties)).unwrap();
        notices.into_iter().map(|notice| notice.message).collect()
    };
    let base = ["k.type=injected"];
    assert!(told(&["k string"], &base).is_empty());
    assert_eq!(
        told(&["k string"], &["k.type=injected", "other.type=enum"]),
        ["property \"projection.other.type\" of table \"default.t\" names no partition key and has no effect"]
    );
    assert_eq!(
        told(&["k string"], &["k.type=injected", "k.range=1,2"]),
        ["property \"projection.k.range\" of table \"default.t\" has no effect on a partition key of type injected"]
    );
    assert_eq!(told(&[], &[]), ["table \"default.t\" has no partition keys: \"projection.enabled\" has no effect"]);
    // Switched off, nothing is looked at, as in Athena.
    assert!(told(&["k string"], &["projection.enabled=False", "k.type=nonsense"]).is_empty());
    let mut forgotten = table(&["k string"], &["k.type=enum"]);
    forgotten.parameters.remove("projection.enabled");
    let notices = validate(&name(), &forgotten).unwrap();
    assert!(notices[0].message.ends_with("\"projection.enabled\" is not set to true"), "{notices:?}");
    assert!(Projection::of(&name(), &forgotten).unwrap().is_none());
}

fn logs() -> TableDefinition {
    table(
        &["region string", "day string", "hour int"],
        &[
            "region.type=enum",
            "region.values=eu,us",
            "day.type=date",
            "day.format=yyyy/MM/dd",
            "day.range=2020/01/01,NOW",
            "hour.type=integer",
            "hour.range=0,23",
            "hour.digits=2",
            "storage.location.template=s3://b/t/${region}/${day}/${hour}/",
        ],
    )
}

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

#[test]
fn locations_are_told_for_key_values() {
    let projection = Projection::of(&name(), &logs()).unwrap().unwrap();
    assert_eq!(projection.location(&["eu", "2024/03/01", "05"]), "s3://b/t/eu/2024/03/01/05/");
    assert_eq!(projection.sample_location().unwrap(), "s3://b/t/eu/2024/01/31/00/");
    let hive = table(&["k string"], &["k.type=enum", "k.values=a:b"]);
    let projection = Projection::of(&name(), &hive).unwrap().unwrap();
    assert_eq!(projection.location(&["a:b"]), "s3://b/t/k=a%3Ab/");
    assert_eq!(projection.sample_location(), None);
}

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
            }),
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

    #[test]
    fn no_property_panics(
        kind in "enum|integer|date|injected|\\PC{0,6}",
        range in "[-+0-9NOWDAYS, ]{0,24}|\\PC{0,20}",
        format in "[yMdHmsS'/ -]{0,16}|\\PC{0,10}",
        interval in "[0-9]{0,20}",
        template in "[${}k:/s3a-z]{0,20}",
    ) {
        for key in ["k string", "k int", "k date"] {
            let properties = [
                format!("k.type={kind}"), format!("k.range={range}"), format!("k.values={range}"),
                format!("k.format={format}"), format!("k.interval={interval}"), format!("storage.location.template={template}"),
            ];
            let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
            let definition = table(&[key], &properties);
            if validate(&name(), &definition).is_ok() && kind != "injected" {
                // Accepted: then it can be read, or has too many.
                if let Err(error) = prune_at(&definition, &[], NOW) {
                    prop_assert_eq!(error.code, ErrorCode::ProgramLimitExceeded);
                }
            }
        }
    }
}
