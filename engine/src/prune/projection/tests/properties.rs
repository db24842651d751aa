//! What properties are accepted and mean, what is refused and how, what is told.

use proptest::prelude::*;

use super::*;
use crate::ErrorCode;

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

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
