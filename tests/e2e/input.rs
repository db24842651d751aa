//! Texts of every type, read and shown by a real PostgreSQL and by us: the same value in text and in binary, of the same type,
//! or the same error. Where we differ on purpose or don't know better yet, [`KNOWN`] says so exactly.

use std::error::Error;

use limnos_test_postgres::PostgresServer;
use limnos_tests::client;
use limnos_tests::server::TestServer;
use tokio_postgres::Client;
use tokio_postgres::types::{FromSql, Type};

/// Types, and texts to be read as each of them.
#[rustfmt::skip]
const LITERALS: &[(&[&str], &[&str])] = &[
    (&["bool"], &["t", "true", " yes ", "on", "1", "of", "off", "n", "fal", "0", "o", "", "maybe", "truely", "2"]),
    (&["int2", "int4", "int8"], &[
        "0", " 12 ", "-7", "+5", "32767", "32768", "-32768", "-32769", "2147483648", "9223372036854775807", "9223372036854775808",
        "12x", "", " ", "1.5", "1e3", "1_000", "0x1F", "0b1", "--1", "NULL", "\t3\n",
    ]),
    (&["float4", "float8"], &[
        "0", "-0", "1.5", " 1e3 ", "1e400", "1e-400", "1e40", "1e-50", "inf", "-Infinity", "NaN", "nan", ".5", "5.", "", "abc", "1e", "1.2.3",
        "0.1", "123456789.123456789", "1e15", "1e16", "1e-5",
    ]),
    (&["numeric", "numeric(5,2)"], &[
        "0", "1", "1.50", "-1.005", "1e3", "1.5e-3", " 42 ", ".5", "5.", "", ".", "abc", "1e", "99999", "999.994", "999.996", "1e-10",
        "123456789012345678901234567890123456789012345678901234567890", "0.00000000000000000000000000000000000000000000001",
    ]),
    (&["text", "varchar", "varchar(3)", "name"], &["", "abc", "abcdef", "Ünï☃x", "  x  "]),
    (&["char(4)", "char"], &["", "ab", "abcdef", "ab  "]),
    (&["bytea"], &["", "\\x", "\\x00ff", "\\x00FF 01", "\\xzz", "\\x0", "abc", "a\\\\b", "\\001\\377", "\\9", "\\400"]),
    (&["uuid"], &[
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
        "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "", "x", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ]),
    (&["json", "jsonb"], &[
        "{}", "[1, 2.50, 1e3]", " {\"b\":1,\"a\":[true,null]} ", "\"x\\u00e9\"", "{\"a\":1,\"a\":2}", "{\"bb\":1,\"a\":2}", "-0", "1.0",
        "{", "[1,]", "01", "nul", "", "{\"a\" 1}", "1 2", "\"\\ud800\"",
    ]),
    (&["date"], &[
        "2024-1-5", "20240105", "Jan 5, 2024", "5 Jan 2024", "5-Jan-2024", "2024.005", "01/02/2024", "13/02/2024", "2024-13-01", "2024-02-30",
        "infinity", "-infinity", "epoch", "0044-03-15 BC", "44-03-15", "99-01-02", "2024-01-05 10:20", "Fri Jan 05 2024", "", "foo", "2024-01",
        "0000-01-01", "5874897-12-31", "5874898-01-01", "4714-11-24 BC", "4714-11-23 BC", "2024-01-05 BC", "2024 Jan 5", "24:00", "2024/01/05",
        "1.2.2024", "2024-01-05T10:20:30Z", "January 8, 1999", "1999-Jan-08", "Jan-08-1999", "08-Jan-99", "990108", "1999.008", "2024-366",
    ]),
    (&["time"], &[
        "10:20", "10:20:30", "10:20:30.123456789", "10:20 PM", "12:00 AM", "13:00 PM", "24:00:00", "24:00:01", "25:00", "10:60", "102030", "1020",
        "10", "", "x", "10:20:30+02", "2024-01-05 10:20", "allballs", "04:05:06.789-8", "040506-08", "23:59:60",
    ]),
    (&["timetz"], &["10:20:30+02", "10:20:30.5-0330", "10:20 PST", "24:00:00+00", "10:20:30+16", "x", "04:05-8"]),
    (&["timestamp", "timestamptz"], &[
        "2024-01-05 10:20", "2024-01-05T10:20:30.123456789", "2024-01-05 10:20:30Z", "2024-01-05 10:20:30+05:30", "2024-01-05 10:20:30-0800",
        "2024-01-05 10:20:30 PST", "2024-01-05 10:20:30 America/New_York", "2024-07-05 10:20:30 europe/berlin", "2024-01-05 10:20 Mars/Olympus",
        "2024-01-05 25:00", "2024-01-05 24:00", "2024-01-05 10:20 PM", "2024-01-05 13:20 PM", "infinity", "-infinity", "epoch", "2024-01-05",
        "20240105T102030", "20240105 102030.5", "Fri Jan 05 10:20:30 2024", "Fri Jan 05 10:20:30 2024 CET", "0044-03-15 12:00:00 BC",
        "4714-11-24 00:00:00 BC", "4714-11-23 00:00:00 BC", "294277-01-01", "100000-01-01 00:00", "2024-01-05 10:20+16", "2024-01-05 10:20 EDT",
        "foo", "", "10:20", "2024-01-05 10:20:30 foo", "2024-03-10 02:30 America/New_York", "2024-11-03 01:30 America/New_York",
        "2024-01-05 10:20:30.9999999", "12:00 2024-01-05", "2024-01-05 10:20:30 +2", "99-1-2 3:4:5",
    ]),
    (&["interval"], &[
        "1 day 02:03", "1 year 2 months", "P1Y2M3DT4H5M6.7S", "P0001-02-03T04:05:06", "P1W", "PT0.5S", "P", "1-2", "-1-2", "1-12", "@ 1 hour ago",
        "1.5 days", "1.5 months", "1.5 years", "0.1 week", "1", "-1:2:3.5", "1:2", "1 -1:00", "-1 day +02:03", "1 mil", "2 weeks", "1h 5m", ".5 s",
        "100:00:00", "1 day 1 day", "foo", "", "9999999999 years", "1 quarter", "1 us", "1 ms", "2 decades 3 centuries", "-1 day -2 hours", "1 day ago ago",
        "3 days 4 hours 5 mins 6 secs", "-1 year 1 mon", "1 month -1 day 1 sec", "-0.5 sec",
    ]),
    (&["int4[]"], &["{}", "{1,2}", "{1,NULL,3}", " { 1 , 2 } ", "{1,2", "{1,,2}", "{x}", "1,2"]),
    (&["text[]"], &["{a,\"b c\",NULL,\"\",\"null\"}", "{\"a\\\"b\",a\\,b}", "{a b}", "{\"a}", "{a\"b\"}"]),
    (&["date[]"], &["{2024-01-05,infinity}", "{foo}"]),
    (&["oid"], &["16", "4294967295", "-1", "x", "4294967296"]),
];

/// What a session sets before it asks.
const SESSIONS: &[&[&str]] = &[
    &[],
    &[
        "SET TimeZone = 'Europe/Berlin'",
        "SET DateStyle = 'SQL, DMY'",
        "SET IntervalStyle = 'sql_standard'",
        "SET bytea_output = 'escape'",
    ],
    &[
        "SET TIME ZONE -3.5",
        "SET DateStyle = 'Postgres, MDY'",
        "SET IntervalStyle = 'postgres_verbose'",
        "SET extra_float_digits = 0",
    ],
    &[
        "SET TimeZone = 'America/New_York'",
        "SET DateStyle = 'German'",
        "SET IntervalStyle = 'iso_8601'",
        "SET extra_float_digits = -3",
    ],
    &["SET DateStyle = 'ISO, YMD'", "SET extra_float_digits = 3"],
];

/// Type and text, and why we differ.
const KNOWN: &[(&str, &str, &str)] = &[(
    "timestamptz",
    "294277-01-01",
    "microseconds are counted from 1970, so the last 29 years of PostgreSQL's have no number",
)];

#[derive(Debug)]
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(bytes.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// What a server says to `sql`: text, type and binary form, or the error.
async fn answer(client: &Client, sql: &str) -> String {
    let text = match client::value(client, sql).await {
        Ok(text) => text.unwrap_or_else(|| "NULL".to_owned()),
        Err(_) => {
            let Err(error) = client.simple_query(sql).await else { return "an error only once".to_owned() };
            let Some(error) = error.as_db_error() else { return format!("{error}") };
            return format!("{} {}", error.code().code(), error.message());
        }
    };
    match client.query_one(sql, &[]).await {
        Ok(row) => {
            let raw = row
                .get::<_, Option<Raw>>(0)
                .map(|raw| raw.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            format!("{text} ({} {})", row.columns()[0].type_(), raw.unwrap_or_else(|| "NULL".to_owned()))
        }
        Err(error) => format!("{text}, in binary {:#}", client::describe(error)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_mean_what_they_mean_to_postgresql() {
    let Some(postgres) = PostgresServer::start() else { return };
    let server = TestServer::start(&[]).await.unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for session in SESSIONS {
        let theirs = client::connect(&postgres.url().parse().unwrap()).await.unwrap();
        let ours = server.client().await.unwrap();
        for client in [&theirs, &ours] {
            client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
            for statement in *session {
                client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
            }
        }
        for (types, texts) in LITERALS {
            for (r#type, text) in types.iter().flat_map(|r#type| texts.iter().map(move |text| (r#type, text))) {
                if KNOWN.iter().any(|(known, of, _)| known == r#type && of == text) {
                    continue;
                }
                let sql = format!("SELECT '{}'::{type}", text.replace('\'', "''"));
                let (expected, found) = (answer(&theirs, &sql).await, answer(&ours, &sql).await);
                count += 1;
                if expected != found {
                    wrong.push(format!("{session:?} {sql}\n  PostgreSQL: {expected}\n  Limnos:     {found}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ\n{}", wrong.len(), wrong.join("\n"));
    server.shutdown().await;
}
