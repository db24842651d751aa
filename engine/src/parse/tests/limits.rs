//! No text may overflow a stack: parsed, cloned, printed and dropped on a thread with the worker's stack.

use crate::limits::{
    SQL_BYTES_MAX, SQL_CHAIN_MAX, SQL_DEPTH_MAX, SQL_OPERATOR_WEIGHT, SQL_SET_WEIGHT, SUBQUERY_DEPTH_MAX,
    WORKER_STACK_BYTES,
};
use crate::parse::{Dialect, parse};

/// Parses on a thread like the engine's and returns the SQLSTATE and detail, or `ok`.
fn outcome(sql: String) -> String {
    let work = move || match parse(&sql, Dialect::Postgres) {
        Ok(statements) => {
            let copy = statements.clone();
            drop(statements);
            drop(copy);
            "ok".to_owned()
        }
        Err(error) => format!("{} {}", error.code.sqlstate(), error.detail.unwrap_or(error.message)),
    };
    std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn(work).unwrap().join().unwrap()
}

#[test]
fn deep_and_long_statements_are_refused() {
    let chain =
        |prefix: &str, item: &str, glue: &str, count: usize| format!("{prefix}{}", vec![item; count].join(glue));
    let nest = |open: &str, close: &str, count: usize| format!("SELECT {}1{}", open.repeat(count), close.repeat(count));
    let cases = [
        ("plus", chain("SELECT ", "1", "+", 10_000)),
        ("minus and times", chain("SELECT ", "1", " - 2 * ", 10_000)),
        ("or", chain("SELECT 1 FROM t WHERE ", "c = 0", " OR ", 20_000)),
        ("and", chain("SELECT 1 FROM t WHERE ", "c = 0", " AND ", 20_000)),
        ("concat", chain("SELECT ", "'a'", " || ", 10_000)),
        ("union", chain("", "SELECT 1", " UNION ALL ", 5_000)),
        ("except", chain("", "SELECT 1", " EXCEPT ", 5_000)),
        ("union of brackets", chain("", "(SELECT 1)", " UNION ALL ", 5_000)),
        ("brackets", nest("(", ")", 10_000)),
        ("open brackets", format!("SELECT {}", "(".repeat(10_000))),
        ("arrays", nest("ARRAY[", "]", 10_000)),
        ("calls", nest("abs(", ")", 10_000)),
        ("subqueries", nest("(SELECT ", ")", 10_000)),
        ("from subqueries", format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(5_000), ") a".repeat(5_000))),
        ("not", format!("SELECT {} true", "NOT ".repeat(10_000))),
        ("minus minus", format!("SELECT {}1", "- ".repeat(10_000))),
        ("minus bracket", nest("-(", ")", 10_000)),
        ("case", nest("CASE WHEN true THEN ", " END", 10_000)),
        ("case operand", nest("CASE ", " WHEN 1 THEN 1 END", 10_000)),
        ("path", chain("SELECT ", "a", ".", 10_000)),
        ("casts", format!("SELECT 1{}", "::int".repeat(10_000))),
        ("subscripts", format!("SELECT a{}", "[1]".repeat(10_000))),
        ("is null", format!("SELECT a{}", " IS NULL".repeat(10_000))),
        ("collate", format!("SELECT a{}", " COLLATE \"C\"".repeat(10_000))),
        ("at time zone", format!("SELECT a{}", " AT TIME ZONE 'UTC'".repeat(10_000))),
        ("equals", chain("SELECT ", "a", " = ", 10_000)),
        ("other operator", chain("SELECT ", "a", " @@@ ", 10_000)),
        ("joins", chain("SELECT 1 FROM ", "a", " CROSS JOIN ", 10_000)),
        ("comma joins", chain("SELECT 1 FROM ", "a", ", ", 10_000)),
        ("with queries", format!("WITH {} SELECT 1", chain("", "a AS (SELECT * FROM b)", ", ", 5_000))),
        ("types", format!("SELECT CAST(NULL AS {}int{})", "array<".repeat(5_000), ">".repeat(5_000))),
        ("interval", format!("SELECT {} '1'", "INTERVAL ".repeat(10_000))),
        ("exists", format!("SELECT {} (SELECT 1)", "EXISTS ".repeat(10_000))),
        ("chain in the first operand", {
            // Each bracket alone is within the limits; together they are as deep as they are long.
            (0..400).fold("1".to_owned(), |inner, _| format!("({inner}{})", "+1".repeat(100)))
        }),
        ("in DDL", format!("CREATE EXTERNAL TABLE t (a {}int{})", "struct<a:".repeat(5_000), ">".repeat(5_000))),
        ("in a view", format!("CREATE VIEW v AS {}", chain("SELECT ", "1", "+", 10_000))),
        ("in a prepared statement", format!("PREPARE p AS {}", chain("SELECT ", "1", "+", 10_000))),
        ("explain", format!("{}SELECT 1", "EXPLAIN ".repeat(10_000))),
        ("closing brackets", format!("SELECT 1{}", ")".repeat(10_000))),
    ];
    for (name, sql) in cases {
        let sql = if name == "chain in the first operand" { format!("SELECT {sql}") } else { sql };
        assert!(sql.len() <= SQL_BYTES_MAX, "{name} is refused for its size");
        let outcome = outcome(sql);
        let expected = match name {
            "closing brackets" => "42601",
            _ => "54001 It",
        };
        assert!(outcome.starts_with(expected), "{name}: {outcome}");
    }
}

#[test]
fn flat_statements_are_not() {
    let list = |item: &str, count: usize| vec![item; count].join(", ");
    let cases = [
        ("in list", format!("SELECT 1 FROM t WHERE c IN ({})", list("12345678", 50_000))),
        ("in list of strings", format!("SELECT 1 FROM t WHERE c IN ({})", list("'abc'", 50_000))),
        ("negative numbers", format!("SELECT 1 FROM t WHERE c IN ({})", list("-1", 50_000))),
        ("values", format!("VALUES {}", list("(1, 'ab')", 50_000))),
        ("bare values", format!("VALUES {}", list("1", 50_000))),
        ("sums", format!("SELECT {}", list("a + b * c", 20_000))),
        ("array", format!("SELECT ARRAY[{}]", list("1", 50_000))),
        ("cases", format!("SELECT {}", list("CASE WHEN a = 1 AND b = 2 OR c THEN 1 ELSE -1 END", 5_000))),
        ("when", format!("SELECT CASE a {} END", "WHEN 1 THEN 2 ".repeat(20_000))),
        ("arguments", format!("SELECT concat({})", list("'a'", 20_000))),
    ];
    for (name, sql) in cases {
        assert!(sql.len() <= SQL_BYTES_MAX, "{name}: {}", sql.len());
        assert_eq!(outcome(sql), "ok", "{name}");
    }
}

#[test]
fn the_limits_themselves_are_allowed() {
    let joined = |item: &str, glue: &str, count: usize| vec![item; count].join(glue);
    let operators = SQL_CHAIN_MAX / SQL_OPERATOR_WEIGHT;
    // One level is the statement's own.
    let nested = |count: usize| format!("SELECT {}1{}", "(".repeat(count), ")".repeat(count));
    for (name, sql) in [
        ("chain", format!("SELECT {}", joined("1", "+", operators + 1))),
        ("or", format!("SELECT 1 FROM t WHERE {}", joined("c = 0", " OR ", SQL_CHAIN_MAX + 1))),
        ("union", joined("SELECT 1", " UNION ALL ", SQL_CHAIN_MAX / SQL_SET_WEIGHT + 1)),
        ("depth", nested(SQL_DEPTH_MAX - 1)),
        ("not", format!("SELECT {} true", "NOT ".repeat(SQL_DEPTH_MAX))),
        ("case", {
            let depth = SQL_DEPTH_MAX - 1;
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(depth), " END".repeat(depth))
        }),
        ("subqueries", {
            let depth = SUBQUERY_DEPTH_MAX;
            format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth))
        }),
        ("from", {
            let depth = SQL_DEPTH_MAX - 1;
            format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(depth), ") a".repeat(depth))
        }),
    ] {
        assert_eq!(outcome(sql), "ok", "{name}");
    }
    assert!(
        outcome(format!("SELECT {}", joined("1", "+", operators + 2)))
            .starts_with("54001 It has a chain of more than 500")
    );
    assert!(outcome(nested(SQL_DEPTH_MAX)).starts_with("54001 It is nested"));
}

#[test]
fn long_texts_are_refused_before_they_are_read() {
    let text = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    assert!(outcome(text).starts_with("54001 The text has 1048585 bytes; at most 1048576 are allowed."));
}

/// A syntax error inside words that are tried as special forms and as functions takes 2^n attempts without a budget.
#[test]
fn errors_in_nested_special_forms_end_soon() {
    for word in ["cast", "trim", "substring", "position", "extract", "overlay", "floor", "convert"] {
        let sql = format!("SELECT {}a b c d{}", format!("{word}(").repeat(200), ")".repeat(200));
        let start = std::time::Instant::now();
        let outcome = outcome(sql);
        assert!(outcome.starts_with("54001") || outcome.starts_with("42601"), "{word}: {outcome}");
        assert!(start.elapsed().as_secs() < 20, "{word} took {:?}", start.elapsed());
    }
}
