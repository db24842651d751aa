//! Every type that we return, in text and in binary, in both directions, byte by byte as PostgreSQL sends it.
//!
//! The table was printed by PostgreSQL 15: `SELECT $1::text::TYPE` with text and with binary results.

use std::error::Error;

use bytes::BytesMut;
use limnos_tests::client;
use limnos_tests::server::TestServer;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Type, text form, binary form in hex.
#[rustfmt::skip]
const VALUES: &[(&str, &str, &str)] = &[
    ("bool", "t", "01"),
    ("bool", "f", "00"),
    ("int2", "32767", "7fff"),
    ("int2", "-32768", "8000"),
    ("int4", "2147483647", "7fffffff"),
    ("int4", "-2147483648", "80000000"),
    ("int4", "0", "00000000"),
    ("int8", "9223372036854775807", "7fffffffffffffff"),
    ("int8", "-9223372036854775808", "8000000000000000"),
    ("float4", "1.5", "3fc00000"),
    ("float4", "-0.1", "bdcccccd"),
    ("float4", "NaN", "7fc00000"),
    ("float4", "1e+20", "60ad78ec"),
    ("float8", "0.1", "3fb999999999999a"),
    ("float8", "-1.5e-300", "81b01297d23ab683"),
    ("float8", "Infinity", "7ff0000000000000"),
    ("float8", "-Infinity", "fff0000000000000"),
    ("float8", "NaN", "7ff8000000000000"),
    ("float8", "123456789.125", "419d6f3454800000"),
    ("float8", "1e+16", "4341c37937e08000"),
    ("numeric", "0", "0000000000000000"),
    ("numeric", "1", "00010000000000000001"),
    ("numeric", "-1", "00010000400000000001"),
    ("numeric", "0.1", "0001ffff0000000103e8"),
    ("numeric", "1.50", "000200000000000200011388"),
    ("numeric", "10000", "00010001000000000001"),
    ("numeric", "12345678.9012", "000300010000000404d2162e2334"),
    ("numeric", "-0.00001234", "0001fffe4000000804d2"),
    ("numeric", "99999999999999999999.9999999999", "000800040000000a270f270f270f270f270f270f270f26ac"),
    ("numeric", "100000000", "00010002000000000001"),
    ("text", "", ""),
    ("text", "plain", "706c61696e"),
    ("text", "Ünï ☃ 𝄞", "c39c6ec3af20e2988320f09d849e"),
    ("varchar", "line\nbreak", "6c696e650a627265616b"),
    ("date", "2000-01-01", "00000000"),
    ("date", "1970-01-01", "ffffd533"),
    ("date", "2024-02-29", "00002279"),
    ("date", "0001-01-01", "fff4dbf9"),
    ("date", "9999-12-31", "002c95d3"),
    ("date", "1999-12-31", "ffffffff"),
    ("timestamp", "2000-01-01 00:00:00", "0000000000000000"),
    ("timestamp", "2024-02-29 12:34:56.789012", "0002b58341728614"),
    ("timestamp", "1969-12-31 23:59:59.999999", "fffca2fec4c81fff"),
    ("timestamp", "0001-01-01 00:00:00", "ff1fe2ffc59c6000"),
    ("timestamp", "9999-12-31 23:59:59.999999", "0380e70b913b7fff"),
    ("timestamptz", "2024-02-29 12:34:56.5+00", "0002b583416e1d20"),
    ("timestamptz", "1900-01-01 00:00:00+00", "fff4c9ee7c0b8000"),
    ("time", "00:00:00", "0000000000000000"),
    ("time", "23:59:59.999999", "000000141dd75fff"),
    ("time", "12:00:00.5", "0000000a0ef35120"),
    ("interval", "1 day", "00000000000000000000000100000000"),
    ("interval", "1 year 2 mons 3 days 04:05:06", "000000036c8bc080000000030000000e"),
    ("interval", "-1 mons +2 days -00:00:01.5", "ffffffffffe91ca000000002ffffffff"),
    ("interval", "00:00:00", "00000000000000000000000000000000"),
    ("bytea", "\\x", ""),
    ("bytea", "\\x00ff0a", "00ff0a"),
    ("int4[]", "{1,2,3}", "0000000100000000000000170000000300000001000000040000000100000004000000020000000400000003"),
    ("int8[]", "{1,NULL,3}", "0000000100000001000000140000000300000001000000080000000000000001ffffffff000000080000000000000003"),
    ("int4[]", "{}", "000000000000000000000017"),
    ("text[]", "{a,\"b c\",NULL,\"d\\\"e\",\"\"}", "0000000100000001000000190000000500000001000000016100000003622063ffffffff0000000364226500000000"),
    ("float8[]", "{1.5,-2}", "0000000100000000000002bd0000000200000001000000083ff800000000000000000008c000000000000000"),
    ("bool[]", "{t,f}", "000000010000000000000010000000020000000100000001010000000100"),
    ("date[]", "{2024-02-29}", "00000001000000000000043a00000001000000010000000400002279"),
];

/// A value's bytes, whatever its type.
#[derive(Debug, PartialEq, Eq)]
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(bytes.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_sent_as_postgresql_sends_them() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    let mut wrong = Vec::new();
    for (r#type, text, hex) in VALUES {
        // The numeric's scale is written out, as the type of a column would have it.
        let declared = match *r#type {
            "numeric" => format!("numeric(38, {})", text.split_once('.').map_or(0, |(_, fraction)| fraction.len())),
            other => other.to_owned(),
        };
        let sql = format!("SELECT CAST('{}' AS {declared})", text.replace('\'', "''"));
        match client::value(&client, &sql).await {
            Ok(found) if found.as_deref() == Some(*text) => {}
            Ok(found) => wrong.push(format!("{sql}: text {found:?}")),
            Err(error) => wrong.push(format!("{error:#}")),
        }
        match client.query_one(&sql, &[]).await {
            Ok(row) => {
                let found: Raw = row.get(0);
                if found.0 != from_hex(hex) {
                    wrong.push(format!("{sql}: binary {}, PostgreSQL {hex}", to_hex(&found.0)));
                }
                let expected = r#type.strip_suffix("[]").map_or((*r#type).to_owned(), |element| format!("_{element}"));
                if row.columns()[0].type_().name() != expected {
                    wrong.push(format!("{sql}: type {}", row.columns()[0].type_()));
                }
            }
            Err(error) => wrong.push(format!("{sql}: binary: {:#}", client::describe(error))),
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_come_in_as_they_go_out() {
    let server = TestServer::start(&[]).await.unwrap();
    let client = server.client().await.unwrap();
    let mut wrong = Vec::new();
    for (r#type, text, hex) in VALUES {
        let declared = match *r#type {
            "numeric" => format!("numeric(38, {})", text.split_once('.').map_or(0, |(_, fraction)| fraction.len())),
            other => other.to_owned(),
        };
        let sql = format!("SELECT CAST($1 AS {declared})");
        match client.query_one(&sql, &[&Raw(from_hex(hex))]).await {
            Ok(row) => {
                let found: Raw = row.get(0);
                if found.0 != from_hex(hex) {
                    wrong.push(format!("{sql} with {text}: {}, sent {hex}", to_hex(&found.0)));
                }
            }
            Err(error) => wrong.push(format!("{sql} with {text}: {:#}", client::describe(error))),
        }
        match client.query_one(&sql, &[&None::<&str>]).await {
            Ok(row) if row.get::<_, Option<Raw>>(0).is_none() => {}
            Ok(_) => wrong.push(format!("{sql} with NULL: not NULL")),
            // tokio-postgres refuses a text for another type before it sends anything.
            Err(error) if error.as_db_error().is_none() => {}
            Err(error) => wrong.push(format!("{sql} with NULL: {:#}", client::describe(error))),
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    server.shutdown().await;
}
