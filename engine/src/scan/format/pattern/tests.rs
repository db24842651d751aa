#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use arrow::util::pretty::pretty_format_batches;
use limnos_catalog::{DataType, FileFormat};

use super::*;
use crate::scan::format::tests::{scan, table};

fn strings(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column::new(*name, DataType::String)).collect()
}

/// The cells of `line` in a table of text columns, or why there is no such table.
fn split(columns: &[&str], properties: &[(&str, &str)], line: &str) -> String {
    let options = match PatternOptions::new(&table(FileFormat::Regex, strings(columns), properties)) {
        Ok(options) => options,
        Err(error) => return format!("{} {}", error.message, error.hint.unwrap_or_default()),
    };
    let wanted: Vec<usize> = (0..columns.len()).collect();
    let mut cells = Vec::new();
    let shown = match options.compile(&wanted).unwrap().split(line, &mut cells) {
        Ok(true) => cells.iter().map(|cell| cell.unwrap_or("NULL")).collect::<Vec<_>>().join("|"),
        Ok(false) => "no".to_owned(),
        Err(TooHard) => "too hard".to_owned(),
    };
    // A column alone has the cell that it has among all.
    for index in wanted {
        let mut cell = Vec::new();
        if options.compile(&[index]).unwrap().split(line, &mut cell) == Ok(true) {
            assert_eq!(cell, [cells[index]], "{line}");
        }
    }
    shown
}

#[test]
fn a_regular_expression_is_for_the_whole_line() {
    for (regex, columns, line, expected) in [
        ("(a+)(b+)", 2, "aabb", "aa|bb"),
        ("(a+)(b+)", 2, "aabbc", "no"),
        ("(a|ab)(c|bcd)?", 2, "ab", "ab|NULL"),
        ("(.*) (.*)", 2, "a b c", "a b|c"),
        ("(.*?) (.*)", 2, "a b c", "a|b c"),
        ("^(a)$", 1, "a", "a"),
        ("(?!#)(\\S+) .*", 1, "#x y", "no"),
        ("(?!#)(\\S+) .*", 1, "x y", "x"),
        ("(a)|b", 1, "b", "NULL"),
        ("(\\w)\\1", 1, "xx", "x"),
        ("(a*+)b", 1, "aab", "aa"),
        ("(a*+)ab", 1, "aab", "no"),
        ("(\\w+)é", 1, "aé", "a"),
        ("(\\w+)", 1, "é", "no"),
        ("([^ ]*)", 1, "日本", "日本"),
        ("()", 1, "", ""),
        ("(a)(b)", 1, "ab", "a"),
        (
            "a",
            1,
            "a",
            "\"input.regex\" has 0 groups, the table has 1 columns Each column is read from the group at its place; put parentheses around what it is made of.",
        ),
        ("(a", 1, "a", "invalid regular expression: unclosed group "),
        ("((a{1000}){1000}){1000}", 1, "a", "the regular expression takes more than 16 MB "),
    ] {
        let columns = &["c1", "c2", "c3"][..columns];
        assert_eq!(split(columns, &[("input.regex", regex)], line), expected, "{regex} {line}");
    }
    let case = [("input.regex", "(get)"), ("input.regex.case.insensitive", "true")];
    assert_eq!(split(&["c1"], &case, "GET"), "GET");
    assert_eq!(
        split(&["c1"], &[], ""),
        "the table has no SerDe property \"input.regex\" Add WITH SERDEPROPERTIES ('input.regex' = '...')."
    );
    let long = "a".repeat(70_000);
    assert_eq!(split(&[], &[("input.regex", &long)], ""), "property \"input.regex\" is longer than 64 KB ");
}

#[test]
fn a_grok_format_names_its_columns() {
    let apache = "203.0.113.9 - ada [10/Oct/2000:13:55:36 -0700] \"GET /a.gif HTTP/1.0\" 200 2326 \"http://x/\" \"Mozilla/4.08\"";
    let syslog = "Oct 11 22:14:15 web-1 postfix/smtpd[2311]: 8A2B3C4D5E: client=unknown";
    for (format, custom, columns, line, expected) in [
        ("%{INT:a} %{INT:b}", "", &["b", "a"][..], "1 2", "2|1"),
        ("%{INT:Port}", "", &["port"], "port 80!", "80"),
        ("^%{INT:port}$", "", &["port"], "port 80!", "no"),
        ("%{INT:n}|%{WORD:n}", "", &["n"], "abc", "abc"),
        ("%{IP:ip} %{NUMBER:ms:float} %{DATA:rest}$", "", &["ip", "ms", "rest"], "fe80::1 1.5 x", "fe80::1|1.5|x"),
        ("%{QUOTEDSTRING:q}", "", &["q"], "say \"a \\\" b\" now", "\"a \\\" b\""),
        ("%{UUID:id}", "", &["id"], "[6f9619ff-8b86-d011-b42d-00c04fc964ff]", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        (
            "%{TIMESTAMP_ISO8601:at} %{LOGLEVEL:level}",
            "",
            &["at", "level"],
            "2024-01-31T10:00:00.5Z ERROR x",
            "2024-01-31T10:00:00.5Z|ERROR",
        ),
        ("%{URI:u}", "", &["u"], "see https://a.example:8080/b/c?d=e f", "https://a.example:8080/b/c?d=e"),
        (
            "%{COMBINEDAPACHELOG}",
            "",
            &["clientip", "auth", "timestamp", "verb", "request", "response", "bytes", "agent"],
            apache,
            "203.0.113.9|ada|10/Oct/2000:13:55:36 -0700|GET|/a.gif|200|2326|\"Mozilla/4.08\"",
        ),
        (
            "%{SYSLOGBASE} %{QUEUE:queue}: %{GREEDYDATA:message}",
            "QUEUE [0-9A-F]{10}",
            &["syslogbase", "logsource", "pid", "queue", "message"],
            syslog,
            "Oct 11 22:14:15 web-1 postfix/smtpd[2311]:|web-1|2311|8A2B3C4D5E|client=unknown",
        ),
        ("(?<word>[a-z]+) %{INT:n}", "", &["word", "n"], "abc 5", "abc|5"),
        ("%{INT:port}", "", &["prt"], "", "\"input.format\" has no field for column \"prt\" Did you mean \"port\"?"),
        (
            "%{INT:port}",
            "",
            &["elephant"],
            "",
            "\"input.format\" has no field for column \"elephant\" Its fields are port.",
        ),
        ("%{INTT:port}", "", &["port"], "", "grok pattern \"INTT\" does not exist Did you mean \"INT\"?"),
    ] {
        let properties = [("input.format", format), ("input.grokCustomPatterns", custom)];
        assert_eq!(split(columns, &properties, line), expected, "{format} {line}");
    }
}

async fn read(columns: Vec<Column>, properties: &[(&str, &str)], bytes: &[u8]) -> String {
    match scan(&table(FileFormat::Regex, columns, properties), bytes.to_vec(), None).await {
        Ok(batches) => pretty_format_batches(&batches).unwrap().to_string().replace(' ', ""),
        Err(error) => format!("{} {}: {}", error.code.sqlstate(), error.message, error.detail.unwrap_or_default()),
    }
}

fn typed() -> Vec<Column> {
    vec![Column::new("n", DataType::Int), Column::new("t", DataType::String), Column::new("d", DataType::Date)]
}

#[tokio::test]
async fn what_does_not_fit_is_null_unless_the_table_says_otherwise() {
    let regex = ("input.regex", "(\\S*) (\\S*) ?(\\S*)");
    let text = "head\r\n1 a 2024-01-01\r\nx - 2024-13-01\n- -\n\nnofit";
    let header = ("skip.header.line.count", "1");
    assert_eq!(
        read(typed(), &[regex, header], text.as_bytes()).await,
        "+---+---+------------+\n|n|t|d|\n+---+---+------------+\n|1|a|2024-01-01|\n||-||\n||-||\n||||\n||||\n+---+---+------------+"
    );
    let fail = ("limnos.on_error", "fail");
    assert_eq!(
        read(typed(), &[regex, header, fail], text.as_bytes()).await,
        "22P02 invalid input syntax for type integer: \"x\": File \"/t/f\", line 3, column \"n\"."
    );
    assert_eq!(
        read(typed(), &[regex, fail], text.as_bytes()).await,
        "22000 line does not fit the table's pattern: File \"/t/f\", line 1. The line is \"head\"."
    );
    assert_eq!(
        read(typed(), &[regex, ("limnos.on_error", "drop")], b"").await,
        "22023 invalid value for property \"limnos.on_error\": \"drop\": "
    );
    // Lines are rows even where no column of them is wanted.
    let definition = table(FileFormat::Regex, typed(), &[regex, header]);
    let batches = scan(&definition, text.as_bytes().to_vec(), Some(Vec::new())).await.unwrap();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 5);
}

#[tokio::test]
async fn no_columns_and_nested_ones() {
    let regex = ("input.regex", "(.*)");
    let batches = scan(&table(FileFormat::Regex, Vec::new(), &[regex]), b"a\nb\n".to_vec(), None).await.unwrap();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 2);
    let nested = vec![Column::new("a", DataType::Array(Box::new(DataType::Int)))];
    assert_eq!(
        read(nested, &[regex], b"").await,
        "42P16 column \"a\" cannot have the type array<int>: What a pattern takes out of a line is a scalar value."
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_are_told() {
    let text = [&b"1 a 2024-01-01\n2 "[..], &[0xe9], b" 2024-01-01\n"].concat();
    let regex = ("input.regex", "(\\S*) (\\S*) (\\S*)");
    assert_eq!(
        read(typed(), &[regex], &text).await,
        "22021 invalid byte sequence for encoding \"UTF8\": 0xe9 0x20: File \"/t/f\", line 2."
    );
    assert!(read(typed(), &[regex, ("limnos.on_error", "null")], &text).await.contains("\n||||\n"));
    let utf16 = [0xff, 0xfe, b'a', 0];
    assert!(read(typed(), &[regex], &utf16).await.starts_with("22021 files in UTF-16 are not supported"));
}

/// What takes Java hours ends at once, with an error that names the line or in linear time.
#[tokio::test]
async fn a_line_that_backtracks_does_not_hang() {
    let started = Instant::now();
    let text = format!("{}!\n", "a".repeat(5000));
    let column = || strings(&["c"]);
    assert!(read(column(), &[("input.regex", "((?:a+)+)+b")], text.as_bytes()).await.contains("\n||\n"));
    let hard = ("input.regex", "(?=a)((?:a|a)+)+\\1b");
    assert_eq!(
        read(column(), &[hard], text.as_bytes()).await,
        "54000 line is too hard to match: File \"/t/f\", line 1."
    );
    assert!(read(column(), &[hard, ("limnos.on_error", "null")], text.as_bytes()).await.contains("\n||\n"));
    let long = format!("{}\n", "a".repeat(100_000));
    assert!(
        read(column(), &[("input.regex", "(?=a)(a)a*")], long.as_bytes()).await.starts_with("54000 line is too hard")
    );
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_line_of_64_megabytes_is_told() {
    let started = Instant::now();
    let regex = ("input.regex", "(a)([^ ]*) (.*)");
    let mut line = vec![b'a'; 60 << 20];
    line[100] = b' ';
    let columns = vec![Column::new("c", DataType::String)];
    assert_eq!(read(columns.clone(), &[regex], &line).await, "54000 line is too hard to match: File \"/t/f\", line 1.");
    assert!(read(columns.clone(), &[regex, ("limnos.on_error", "null")], &line).await.contains("\n||\n"));
    assert!(read(columns.clone(), &[regex], &line[..1 << 20]).await.contains("|a|"));
    line.resize(65 << 20, b'a');
    assert_eq!(read(columns, &[regex], &line).await, "54000 a line is larger than 64 MB: File \"/t/f\", line 1.");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}
