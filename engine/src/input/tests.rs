//! What PostgreSQL 15 reads, as it prints it, with its errors. Compared with a real server in `tests/e2e/input.rs`.

use super::*;
use crate::session::settings::DateOrder;

/// 2024-07-03 12:00 UTC.
const NOW: i64 = 1_720_008_000_000_000;

fn context() -> InputContext {
    InputContext { now: Some(NOW), ..InputContext::default() }
}

fn days(text: &str) -> i32 {
    date(text, &context()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn dates_in_every_spelling() {
    let expected = days("2024-01-05");
    assert_eq!(expected, 19_727);
    for text in [
        "2024-1-5",
        "20240105",
        "Jan 5, 2024",
        "5 Jan 2024",
        "5-Jan-2024",
        "January 5 2024",
        "2024.005",
        "01/05/2024",
        "1-5-2024",
        "2024-01-05 10:20",
        " 2024-01-05 ",
        "Fri Jan 5 2024",
        "2024-Jan-05",
        "1/5/24",
        "Jan-5-2024",
    ] {
        assert_eq!(days(text), expected, "{text}");
    }
    let german = InputContext { order: DateOrder::Dmy, ..context() };
    assert_eq!(date("05/01/2024", &german).unwrap(), expected);
    assert_eq!(date("5.1.2024", &german).unwrap(), expected);
    assert_eq!(days("infinity"), i32::MAX);
    assert_eq!(days("-infinity"), i32::MIN);
    assert_eq!(days("epoch"), 0);
    assert_eq!(days("tomorrow"), days("today") + 1);
    assert_eq!(days("0001-01-01 BC"), -719_528);
    assert_eq!(days("5874897-12-31"), 2_145_042_905);
    for (text, code) in [
        ("2024-13-01", "22008"),
        ("2024-02-30", "22008"),
        ("5874898-01-01", "22008"),
        ("4715-01-01 BC", "22008"),
        ("foo", "22007"),
        ("", "22007"),
        ("2024-01", "22007"),
        ("2024-01-05 foo", "22007"),
        ("0000-01-01", "22008"),
        ("10:20", "22007"),
        ("2024-01-05 2024-01-05", "22007"),
    ] {
        assert_eq!(date(text, &context()).unwrap_err().code.sqlstate(), code, "{text}");
    }
}

#[test]
fn moments_and_their_zones() {
    let new_york = InputContext { zone: Zone::of_setting("America/New_York"), ..context() };
    let expected = 1_704_450_030_500_000;
    for text in [
        "2024-01-05 10:20:30.5",
        "2024-01-05T10:20:30.5",
        "2024-01-05 10:20:30.5+05",
        "20240105T102030.5",
        "Fri Jan 05 10:20:30.5 2024 CET",
        "2024-01-05 10:20:30.5 AM",
        "20240105 102030.5",
    ] {
        assert_eq!(timestamp(text, &context()).unwrap(), expected, "{text}");
    }
    for (text, seconds) in [
        ("2024-01-05 10:20:30.5", 18_000),
        ("2024-01-05 10:20:30.5Z", 0),
        ("2024-01-05 10:20:30.5 +05:30", -19_800),
        ("2024-01-05 10:20:30.5-0800", 28_800),
        ("2024-01-05 10:20:30.5 PST", 28_800),
        ("2024-01-05 10:20:30.5 America/Los_Angeles", 28_800),
        ("2024-01-05 10:20:30.5 europe/berlin", -3_600),
    ] {
        let instant = timestamp_with_zone(text, &new_york).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(instant, expected + seconds * 1_000_000, "{text}");
    }
    assert_eq!(timestamp_with_zone("now", &new_york).unwrap(), NOW);
    assert_eq!(timestamp("2024-01-05 24:00", &context()).unwrap() % 86_400_000_000, 0);
    assert_eq!(time("10:20 PM", &context()).unwrap(), 80_400_000_000);
    assert_eq!(time("24:00:00", &context()).unwrap(), 86_400_000_000);
    assert_eq!(time("102030", &context()).unwrap(), 37_230_000_000);
    assert_eq!(time("2024-01-05 10:20", &context()).unwrap(), 37_200_000_000);
    assert_eq!(time_with_zone("10:20+02", &context()).unwrap(), (37_200_000_000, 7_200));
    for (text, code) in [
        ("2024-01-05 25:00", "22008"),
        ("2024-01-05 10:60", "22008"),
        ("2024-01-05 13:00 PM", "22008"),
        ("2024-01-05 10:20+16", "22009"),
        ("2024-01-05 10:20 Mars/Olympus", "22023"),
        ("294277-01-01", "22008"),
        ("bar", "22007"),
    ] {
        assert_eq!(timestamp_with_zone(text, &context()).unwrap_err().code.sqlstate(), code, "{text}");
    }
    assert!(timestamp("now", &InputContext::default()).is_err());
}

#[test]
fn intervals_in_every_spelling() {
    let read = |text: &str| interval(text, IntervalStyle::Postgres).unwrap_or_else(|error| panic!("{text}: {error}"));
    let second = 1_000_000;
    for (text, months, days, microseconds) in [
        ("1 day 02:03", 0, 1, 7_380 * second),
        ("1 year 2 months", 14, 0, 0),
        ("P1Y2M3DT4H5M6.7S", 14, 3, 14_706_700_000),
        ("P0001-02-03T04:05:06", 14, 3, 14_706 * second),
        ("1-2", 14, 0, 0),
        ("-1-2", -14, 0, 0),
        ("@ 1 hour ago", 0, 0, -3_600 * second),
        ("1.5 days", 0, 1, 43_200 * second),
        ("1", 0, 0, second),
        ("-1:2:3.5", 0, 0, -3_723_500_000),
        ("1 -1:00", 0, 1, -3_600 * second),
        ("-1 day +02:03", 0, -1, 7_380 * second),
        ("1 mil", 12_000, 0, 0),
        ("1.5 months", 1, 15, 0),
        ("2 weeks", 0, 14, 0),
        ("1h 5m", 0, 0, 3_900 * second),
        (".5 s", 0, 0, 500_000),
    ] {
        assert_eq!(read(text), Interval { months, days, microseconds }, "{text}");
    }
    let standard = interval("-1 1:00:00", IntervalStyle::SqlStandard).unwrap();
    assert_eq!(standard, Interval { months: 0, days: -1, microseconds: -3_600 * second });
    for (text, code) in [
        ("foo", "22007"),
        ("", "22007"),
        ("1 quarter", "22007"),
        ("P", "22007"),
        ("1 day 1 day", "22007"),
        ("9999999999 years", "22015"),
    ] {
        assert_eq!(interval(text, IntervalStyle::Postgres).unwrap_err().code.sqlstate(), code, "{text}");
    }
}

#[test]
fn numbers_are_what_fits() {
    assert_eq!(integer(" 12 ", "integer", -100, 100).unwrap(), 12);
    for (text, code) in
        [("12x", "22P02"), ("", "22P02"), ("1_0", "22P02"), ("0x1", "22P02"), ("101", "22003"), ("1.5", "22P02")]
    {
        assert_eq!(integer(text, "integer", -100, 100).unwrap_err().code.sqlstate(), code, "{text}");
    }
    assert_eq!(float8("-inf").unwrap(), f64::NEG_INFINITY);
    assert_eq!(float8("1e400").unwrap_err().message, "\"1e400\" is out of range for type double precision");
    assert_eq!(float8("1e-400").unwrap_err().code.sqlstate(), "22003");
    assert_eq!(float8("0e-400").unwrap(), 0.0);
    assert!(float8("x").is_err());
    let shown = |text: &str| decimal(text).map(|decimal| (decimal.value.to_string(), decimal.scale));
    assert_eq!(shown("1e3").unwrap(), ("1000".to_owned(), 0));
    assert_eq!(shown(" -1.50 ").unwrap(), ("-150".to_owned(), 2));
    assert_eq!(shown("1.5e-2").unwrap(), ("15".to_owned(), 3));
    assert_eq!(shown(&"9".repeat(76)).unwrap(), ("9".repeat(76), 0));
    assert!(shown(&"9".repeat(77)).is_err());
    assert_eq!(decimal("NaN").unwrap_err().code.sqlstate(), "0A000");
    for wrong in ["", ".", "1e", "1.2.3", "--1", "1 2"] {
        assert_eq!(decimal(wrong).unwrap_err().code.sqlstate(), "22P02", "{wrong}");
    }
}

#[test]
fn bytes_uuids_and_json() {
    assert_eq!(bytes("\\x00fF 01").unwrap(), [0, 255, 1]);
    assert_eq!(bytes("a\\\\b\\001").unwrap(), b"a\\b\x01");
    assert_eq!(bytes("\\xzz").unwrap_err().message, "invalid hexadecimal digit: \"z\"");
    assert_eq!(bytes("\\x0").unwrap_err().message, "invalid hexadecimal data: odd number of digits");
    assert!(bytes("\\9").is_err());
    let expected = uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").unwrap();
    assert_eq!(uuid("{A0EEBC999C0B4EF8BB6D6BB9BD380A11}").unwrap(), expected);
    assert_eq!(uuid("a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11").unwrap(), expected);
    for wrong in ["", "x", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] {
        assert!(uuid(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        canonical_json(" {\"bb\":[1,2.50,1e3],\"a\":\"x\\u00e9\", \"a\":null} ").unwrap(),
        "{\"a\": null, \"bb\": [1, 2.50, 1000]}"
    );
    for wrong in ["", "{", "{\"a\":", "[1,]", "01", "nul", "\"a", "1 2", "{\"a\" 1}"] {
        assert_eq!(check_json(wrong).unwrap_err().code.sqlstate(), "22P02", "{wrong}");
    }
    // Half a pair is text to json, which keeps it as it is, and none to jsonb.
    assert!(check_json("\"\\ud800\"").is_ok());
    assert!(canonical_json("\"\\ud800\"").is_err());
    assert_eq!(check_json(&"[".repeat(100_000)).unwrap_err().code.sqlstate(), "54001");
}

proptest::proptest! {
    /// Whatever a client sends is read or refused.
    #[test]
    fn nothing_panics(text in "\\PC*") {
        read_all(&text);
    }

    #[test]
    fn nothing_like_a_moment_panics(text in "[-+0-9:./ TtZzPpYyMmDdHhSsAaBbCc]{0,30}") {
        read_all(&text);
    }
}

fn read_all(text: &str) {
    let context = context();
    let _ = date(text, &context);
    let _ = timestamp(text, &context);
    let _ = timestamp_with_zone(text, &context);
    let _ = time(text, &context);
    let _ = time_with_zone(text, &context);
    let _ = interval(text, IntervalStyle::SqlStandard);
    let _ = decimal(text);
    let _ = float8(text);
    let _ = bytes(text);
    let _ = uuid(text);
    let _ = canonical_json(text);
}
