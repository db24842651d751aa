//! Rows that are wrong, in every format: each line of a broken file is a row or a reject, whatever is asked of it and however
//! its bytes arrive.
#![allow(clippy::unwrap_used, reason = "tests")]

use arrow::util::display::array_value_to_string;
use limnos_catalog::{Column, DataType, FileFormat, TableDefinition};
use proptest::prelude::*;

use super::on_error::RowPolicy;
use super::tests::{scan_counted, table};
use crate::Error;
use crate::scan::rejects::ScanTally;

/// What came of reading a file.
#[derive(Debug, PartialEq)]
struct Read {
    /// Each as its cells, or why there are none.
    rows: Result<Vec<String>, String>,
    counts: (u64, u64, u64),
    /// Offset, line, text and reason.
    rejects: Vec<(u64, Option<u64>, Vec<u8>, String)>,
}

async fn read(definition: &TableDefinition, bytes: &[u8], chunk_bytes: usize, projection: Option<Vec<usize>>) -> Read {
    let tally = ScanTally::detached(RowPolicy::of(definition).unwrap());
    let rows = scan_counted(definition, bytes.to_vec(), chunk_bytes, projection, &tally).await.map(|batches| {
        let row = |batch: &arrow::array::RecordBatch, row: usize| {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            cells.collect::<Vec<_>>().join("|")
        };
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|index| row(batch, index))).collect()
    });
    let all = tally.all.lock();
    let rejects = all.iter().map(|(at, raw, reason)| (at.offset, at.line, raw.clone(), reason.clone())).collect();
    let describe =
        |error: Error| format!("{} {}: {}", error.code.sqlstate(), error.message, error.detail.unwrap_or_default());
    Read { rows: rows.map_err(describe), counts: (tally.rows(), tally.rejects(), tally.ignored()), rejects }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("id", DataType::Int),
        Column::new("name", DataType::String),
        Column::new("tags", DataType::Array(Box::new(DataType::Int))),
        Column::new("day", DataType::Date),
    ]
}

/// The three formats with the same columns (a pattern has no nested ones).
fn formats(on_error: &str) -> [TableDefinition; 3] {
    let on_error = ("limnos.on_error", on_error);
    let flat = columns().into_iter().filter(|column| !column.data_type.is_nested()).collect();
    [
        table(FileFormat::Csv, columns(), &[("field.delim", ","), ("quoteChar", "\""), on_error]),
        table(FileFormat::Json, columns(), &[on_error]),
        table(FileFormat::Regex, flat, &[("input.regex", "(\\S*) (\\S*) (\\S*)"), on_error]),
    ]
}

/// A line of each format, and whether it is a row.
const LINES: [&[(&[u8], bool)]; 3] = [
    &[
        (b"1,a,\"[1,2]\",2024-01-01", true),
        (b"2,,,", true),
        (b"-1,\"b \"\"c\"\"\",[],\"\"", true),
        (b"3,\"x,y\",[null],2024-02-29,", true),
        (b"x,a,[1],2024-01-01", false),
        (b"99999999999,a,[1],2024-01-01", false),
        (b"4,a,[1,2024-01-01", false),
        (b"5,a,\"[1,\"\"x\"\"]\",2024-01-01", false),
        (b"6,a,\"[1,{}]\",2024-01-01", false),
        (b"7,a,[1],2024-02-30", false),
        (b"8,a,[1],2024-01-01,spare", false),
        (b"9,a", false),
        (b"10,\xff,[1],2024-01-01", false),
    ],
    &[
        (b"{\"id\":1,\"name\":\"a\",\"tags\":[1,2],\"day\":\"2024-01-01\"}", true),
        (b"{}", true),
        (b"{\"id\":null,\"other\":[{}],\"name\":{\"x\":1}}", true),
        (b"{\"id\":\"x\"}", false),
        (b"{\"id\":99999999999}", false),
        (b"{\"name\":\"a\",\"tags\":[1,\"x\",3]}", false),
        (b"{\"tags\":{\"a\":1}}", false),
        (b"{\"tags\":[1,2", false),
        (b"{\"name\":\"a", false),
        (b"{\"id\":01}", false),
        (b"{\"id\":1,}", false),
        (b"{\"day\":\"2024-02-30\"}", false),
        (b"{\"name\":\"\\ud800\"}", false),
        (b"{\"name\":\"\xff\"}", false),
        (b"some words of text", false),
        (b"[1,2]", false),
        (b"12", false),
    ],
    &[
        (b"1 a 2024-01-01", true),
        (b"- - -", true),
        (b"x a 2024-01-01", false),
        (b"1 a 2024-02-30", false),
        (b"nofit", false),
        (b"1 \xff 2024-01-01", false),
    ],
];

/// Hundreds of files of good and bad lines: rows + rejects = lines, the right ones, whatever columns are asked for.
#[test]
fn each_line_is_a_row_or_a_reject() {
    let runtime = runtime();
    let mut seed = 7_u64;
    let mut next = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % bound
    };
    let modes = ["skip", "fail", "null"].map(|on_error| {
        let [csv, _, pattern] = formats(on_error);
        let properties = [("limnos.on_error", on_error), ("limnos.json.layout", "lines")];
        [csv, table(FileFormat::Json, columns(), &properties), pattern]
    });
    for round in 0..120 {
        for (format, lines) in LINES.iter().enumerate() {
            let end: &[u8] = [&b"\n"[..], b"\r\n"][next(2)];
            let chosen: Vec<(&[u8], bool)> = (0..next(40)).map(|_| lines[next(lines.len())]).collect();
            let mut bytes: Vec<u8> = chosen.iter().flat_map(|(line, _)| [line, end].concat()).collect();
            if next(2) == 0 && !chosen.is_empty() {
                bytes.truncate(bytes.len() - end.len());
            }
            let good = chosen.iter().filter(|(_, good)| *good).count() as u64;
            let bad: Vec<&[u8]> = chosen.iter().filter(|(_, good)| !good).map(|(line, _)| *line).collect();
            let told = format!("round {round}, format {format}: {}", String::from_utf8_lossy(&bytes));
            let definition = &modes[0][format];
            let all = runtime.block_on(read(definition, &bytes, usize::MAX, None));
            assert_eq!(all.counts, (good, bad.len() as u64, 0), "{told}\n{all:?}");
            assert_eq!(all.rows.as_ref().unwrap().len() as u64, good, "{told}");
            let raw: Vec<&[u8]> = all.rejects.iter().map(|reject| reject.2.trim_ascii_end()).collect();
            assert_eq!(raw, bad, "{told}");
            let mut line = 0;
            for (offset, number, raw, _) in &all.rejects {
                assert!(bytes[usize::try_from(*offset).unwrap()..].starts_with(raw), "{told}");
                assert!(number.unwrap() > line, "{told}");
                line = number.unwrap();
            }
            for projection in [vec![], vec![1], vec![2, 0]] {
                let some = runtime.block_on(read(definition, &bytes, 1 + next(50), Some(projection.clone())));
                assert_eq!((&some.counts, &some.rejects), (&all.counts, &all.rejects), "{projection:?} {told}");
                assert_eq!(some.rows.unwrap().len() as u64, good, "{projection:?} {told}");
            }
            let failing = runtime.block_on(read(&modes[1][format], &bytes, usize::MAX, None));
            assert_eq!(failing.rows.is_err(), !bad.is_empty(), "{told}\n{failing:?}");
            if bad.is_empty() {
                assert_eq!(failing.rows, all.rows);
            }
            let lenient = runtime.block_on(read(&modes[2][format], &bytes, 1 + next(50), None));
            assert_eq!(lenient.rows.map(|rows| rows.len()), Ok(chosen.len()), "{told}");
        }
    }
}

#[test]
fn a_quote_that_never_closes_costs_its_line() {
    let csv = |on_error: &str| formats(on_error)[0].clone();
    let runtime = runtime();
    for (text, rows, rejects) in [
        // To the end of the file.
        ("1,a,,\n2,\"b,,\n3,c,,\n4,d,,\n", vec!["1|a||", "3|c||", "4|d||"], vec![(2, "2,\"b,,")]),
        ("1,a,,\n2,\"b,,", vec!["1|a||"], vec![(2, "2,\"b,,")]),
        // To the next quote, which is another cell's first.
        ("1,\"a,,\n2,b,,\n3,\"c\",,\n4,d,,\n", vec!["2|b||", "3|c||", "4|d||"], vec![(1, "1,\"a,,")]),
        // Line breaks in cells are what they are.
        ("1,\"a\nb\",,\nx,\"c\nd\",,\n2,,,\n", vec!["1|a\nb||", "2|||"], vec![(3, "x,\"c\nd\",,")]),
        ("\"\n\"\n\"\n", vec![], vec![(1, "\"\n\""), (3, "\"")]),
    ] {
        for size in [1, 2, 3, 5, 1000] {
            let read = runtime.block_on(read(&csv("skip"), text.as_bytes(), size, None));
            assert_eq!(read.rows, Ok(rows.iter().map(|row| (*row).to_owned()).collect()), "{text:?} by {size}");
            let told: Vec<(u64, String)> = read
                .rejects
                .iter()
                .map(|(_, line, raw, _)| (line.unwrap(), String::from_utf8_lossy(raw).trim_end().to_owned()))
                .collect();
            let expected: Vec<(u64, String)> = rejects.iter().map(|(line, raw)| (*line, (*raw).to_owned())).collect();
            assert_eq!(told, expected, "{text:?} by {size}");
        }
        for on_error in ["fail", "null"] {
            let read = runtime.block_on(read(&csv(on_error), text.as_bytes(), 1000, None));
            assert!(read.rows.is_err() || on_error == "null", "{text:?} {on_error} {read:?}");
        }
    }
    let message = |text: &str| runtime.block_on(read(&csv("fail"), text.as_bytes(), 7, None)).rows.unwrap_err();
    assert_eq!(message("1,a,,\n2,\"b,,\n"), "22000 unterminated quoted field: File \"/t/f\", line 2.");
    assert_eq!(
        message("1,\"a,,\n2,b,,\n3,\"c\",,\n"),
        "22000 unexpected text behind a closing quote: File \"/t/f\", line 1. The cell has line breaks."
    );
    assert_eq!(
        message("1,a\n"),
        "22000 missing data for columns at the end of the row: File \"/t/f\", line 1. The row has 2 fields, the table 4 columns."
    );
}

#[test]
fn a_brace_that_never_closes_costs_its_line() {
    let json = formats("skip")[1].clone();
    let runtime = runtime();
    for (text, rows, lines) in [
        ("{\"id\":1\n{\"id\":2}\n{\"id\":3}\n", vec!["2|||", "3|||"], vec![1]),
        ("{\"id\":1}\n{\"name\":\"a\n{\"id\":2}\n", vec!["1|||", "2|||"], vec![2]),
        ("{\"id\":\n1}\n{\"id\":2", vec!["1|||"], vec![3]),
        // One over several lines is one.
        ("{\n  \"id\": 1,\n  \"name\":\n}\n{\n  \"id\": 2\n}\n", vec!["2|||"], vec![1]),
        ("{\n  \"id\": \"x\"\n}\n{\n  \"id\": 2\n}\n", vec!["2|||"], vec![1]),
        ("{{{\n{{{\n{{{", vec![], vec![1, 2, 3]),
        ("}\n]\n,\n{}", vec!["|||"], vec![1, 2, 3]),
        ("{}x\n{}{}", vec!["|||", "|||", "|||"], vec![1]),
    ] {
        for size in [1, 2, 3, 5, 1000] {
            let read = runtime.block_on(read(&json, text.as_bytes(), size, None));
            assert_eq!(read.rows, Ok(rows.iter().map(|row| (*row).to_owned()).collect()), "{text:?} by {size}");
            let told: Vec<u64> = read.rejects.iter().map(|reject| reject.1.unwrap()).collect();
            assert_eq!(told, lines, "{text:?} by {size}");
        }
    }
    // An array whose items are wrong goes on; one that is broken itself doesn't.
    let read_all = |text: &str| runtime.block_on(read(&json, text.as_bytes(), 3, None));
    let array = read_all("[{\"id\":1},\n{\"id\":01},5,\n{\"id\":2}]");
    assert_eq!((array.rows.unwrap(), array.counts), (vec!["1|||".to_owned(), "2|||".to_owned()], (2, 2, 0)));
    for text in ["[{\"id\":1},\n{\"id\":2", "[{\"id\":1} {\"id\":2}]", "[{\"id\":1}"] {
        assert!(read_all(text).rows.unwrap_err().starts_with("22000 malformed JSON"), "{text}");
    }
}

#[test]
fn what_is_null_is_null_where_it_is() {
    let runtime = runtime();
    let [csv, json, _] = formats("null");
    let rows =
        |definition: &TableDefinition, bytes: &[u8]| runtime.block_on(read(definition, bytes, 5, None)).rows.unwrap();
    assert_eq!(
        rows(&csv, b"x,a,\"[1,\"\"y\"\"]\",2024-13-01,spare\n1\n2,\xff,[1,3\n"),
        ["|a||", "1|||", "2||3|"].map(|row| row.replace("2||3|", "2|||"))
    );
    assert_eq!(
        rows(&json, b"{\"id\":\"x\",\"name\":\"a\",\"tags\":[1,\"y\",3]}\nnothing at all\n{\"id\":1\n{\"tags\":{},\"id\":2}\n{\"name\":\"\xff\"}"),
        ["|a|[1, , 3]|", "|||", "|||", "2|||", "|||"]
    );
}

#[test]
fn rows_beyond_all_bounds_are_left_out() {
    let runtime = runtime();
    let [csv, json, pattern] = formats("skip");
    let long = vec![b'x'; 65 << 20];
    for (definition, begin, end, good) in [
        (&csv, &b"1,"[..], &b",,\n"[..], &b"2,b,,\n"[..]),
        (&csv, b"1,\"", b",,\n", b"2,b,,\n"),
        (&csv, b"1,\"a\n2,c,,\n", b"\n", b"2,b,,\n"),
        (&json, b"{\"name\":\"", b"\"}\n", b"{\"id\":2}\n"),
        (&json, b"", b"\n", b"{\"id\":2}\n"),
        (&pattern, b"1 ", b" 2024-01-01\n", b"2 b 2024-01-01\n"),
    ] {
        let bytes = [good, begin, &long, end, good].concat();
        let read = runtime.block_on(read(definition, &bytes, 1 << 20, Some(vec![0])));
        let begin = String::from_utf8_lossy(begin);
        assert!(read.rows.as_ref().is_ok_and(|rows| rows.len() >= 2), "{begin}: {:?}", read.rows);
        assert_eq!(read.counts.0 + read.counts.1, 3 + begin.matches('\n').count() as u64, "{begin}");
        assert_eq!(read.rejects[0].0, good.len() as u64, "{begin}");
    }
    let commas = vec![b','; 3 << 20];
    let read = runtime.block_on(read(&csv, &[&commas[..], b"\n2,b,,\n"].concat(), 1 << 18, None));
    assert_eq!(read.rows.unwrap(), ["2|b||"]);
}

#[test]
fn too_many_are_an_error() {
    let with = |properties: &[(&str, &str)]| {
        let mut all = vec![("field.delim", ","), ("limnos.on_error", "skip")];
        all.extend_from_slice(properties);
        table(FileFormat::Csv, vec![Column::new("a", DataType::Int)], &all)
    };
    let runtime = runtime();
    let outcome = |properties: &[(&str, &str)]| {
        runtime.block_on(read(&with(properties), b"1\nx\n2\ny\n3\nz\n4\n5\n", 1000, None)).rows
    };
    assert_eq!(outcome(&[("limnos.on_error.max_rejects", "3")]).unwrap().len(), 5);
    assert_eq!(
        outcome(&[("limnos.on_error.max_rejects", "1")]).unwrap_err(),
        "22000 more than 1 rejected row in table \"\": The first: file \"/t/f\", line 2, column \"a\": invalid input syntax for type \
         integer: \"x\"; file \"/t/f\", line 4, column \"a\": invalid input syntax for type integer: \"y\"."
    );
    assert_eq!(outcome(&[("limnos.on_error.max_reject_rate", "0.375")]).unwrap().len(), 5);
    assert!(
        outcome(&[("limnos.on_error.max_reject_rate", "0.37")])
            .unwrap_err()
            .starts_with("22000 3 of 8 rows of file \"/t/f\" were rejected, more than a share of 0.37: The first: ")
    );
    for (name, value) in [("limnos.on_error.max_rejects", "-1"), ("limnos.on_error.max_reject_rate", "1.5")] {
        let error = super::check(&with(&[(name, value)])).unwrap_err();
        assert_eq!(error.message, format!("invalid value for property \"{name}\": \"{value}\""));
    }
}

fn text(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(alphabet), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the bytes: no panic, one answer however they arrive and whatever is asked, each byte in one reject at most.
    #[test]
    fn any_bytes_are_read_in_one_way(
        csv in text(&["a", "1", ",", ",", "\"", "\n", "\r", "\r\n", "[1]", "2024-01-01", "1,a,[],\n", "é"]),
        json in text(&["{", "}", "[", "]", "\"", ":", ",", "\n", "1", " ", "\\", "{\"id\":1}\n", "\"id\":", "\"tags\":[", "é", "x"]),
        pattern in text(&["1", " ", "a", "\n", "\r", "2024-01-01", "1 a 2024-01-01\n", "é"]),
        size in 1_usize..9,
    ) {
        let runtime = runtime();
        for on_error in ["skip", "null", "fail"] {
            for (definition, text) in formats(on_error).iter().zip([&csv, &json, &pattern]) {
                let whole = runtime.block_on(read(definition, text.as_bytes(), usize::MAX, None));
                let pieces = runtime.block_on(read(definition, text.as_bytes(), size, None));
                prop_assert_eq!(&whole.rows, &pieces.rows, "{:?}", text);
                if whole.rows.is_ok() {
                    prop_assert_eq!(&whole, &pieces, "{:?}", text);
                    prop_assert_eq!(whole.rows.as_ref().unwrap().len() as u64, whole.counts.0);
                }
                if on_error != "skip" {
                    continue;
                }
                let none = runtime.block_on(read(definition, text.as_bytes(), size, Some(Vec::new())));
                prop_assert_eq!((none.counts, &none.rejects), (pieces.counts, &pieces.rejects), "{:?}", text);
                let mut end = 0;
                for (offset, _, raw, _) in &whole.rejects {
                    let offset = usize::try_from(*offset).unwrap();
                    prop_assert!(offset >= end, "{:?} {:?}", text, whole.rejects);
                    prop_assert!(text.as_bytes()[offset..].starts_with(raw), "{:?} {:?}", text, whole.rejects);
                    end = offset + raw.len();
                }
            }
        }
    }
}
