//! Error texts and positions, as PostgreSQL gives them.

use super::check_all;
use crate::parse::{Dialect, parse};

#[test]
fn syntax_errors_say_where() {
    check_all(
        Dialect::Postgres,
        &[
            ("SELEC 1", "42601: syntax error at or near \"SELEC\" @1"),
            ("SELECT * FORM t", "42601: syntax error at or near \"FORM\" @10"),
            ("SELECT", "42601: syntax error at end of input @7"),
            ("SELECT 1 +", "42601: syntax error at end of input @11"),
            ("SELECT (1", "42601: syntax error at end of input @10"),
            ("SELECT 1)", "42601: syntax error at or near \")\" @9"),
            ("SELECT (1;2)", "42601: syntax error at or near \";\" @10"),
            ("SELECT 1; SELECT WHERE FROM t", "42601: syntax error at or near \"WHERE\" @18"),
            ("SELECT 1 FROM t WHERE", "42601: syntax error at end of input @22"),
            ("SELECT 'äöü', FROM t", "42601: syntax error at or near \"FROM\" @15"),
            ("SELECT\n  a,\n  b c d\nFROM t", "42601: syntax error at or near \"d\" @19"),
            ("SELECT 'abc", "42601: unterminated quoted string at or near \"'abc\" @8"),
            ("SELECT \"abc", "42601: unterminated quoted identifier at or near \"\"abc\" @8"),
            ("SELECT /* abc", "42601: unterminated /* comment at end of input @14"),
            ("SELECT $$abc", "42601: unterminated dollar-quoted string at end of input @13"),
            ("SELECT 1 FROM t GROUP", "42601: syntax error at or near \"GROUP\" @17"),
            ("SELECT count(* FROM t", "42601: syntax error at or near \"FROM\" @16"),
            ("FROM t", "42601: syntax error at or near \"FROM\" @1"),
            ("CREATE", "42601: syntax error at end of input @7"),
            ("CREATE FOO bar", "42601: syntax error at or near \"FOO\" @8"),
            ("CREATE EXTERNAL TABLE t (a int", "42601: syntax error at end of input @31"),
            ("CREATE EXTERNAL TABLE t (a)", "42601: column \"a\" has no type"),
            ("CREATE EXTERNAL TABLE t (a int) LOCATION", "42601: syntax error at end of input @41"),
            (
                "CREATE EXTERNAL TABLE t (a int) LOCATION 'x' LOCATION 'y'",
                "42601: syntax error at or near \"LOCATION\" @46",
            ),
            ("DROP TABLE", "42601: syntax error at end of input @11"),
            ("DROP TABLE a b", "42601: syntax error at or near \"b\" @14"),
            ("SHOW", "42601: syntax error at end of input @5"),
            ("SET x", "42601: syntax error at end of input @6"),
            ("BEGIN FOO", "42601: syntax error at or near \"FOO\" @7"),
            ("123", "42601: syntax error at or near \"123\" @1"),
            ("EXPLAIN (FOO) SELECT 1", "42601: unrecognized EXPLAIN option \"foo\" @10"),
            ("EXPLAIN (ANALYZE maybe) SELECT 1", "42601: analyze requires a Boolean value @10"),
            ("EXPLAIN (FORMAT YAML) SELECT 1", "0A000: EXPLAIN format \"yaml\" is not supported @10"),
            ("EXPLAIN (COST perhaps) SELECT 1", "42601: cost requires a Boolean value @10"),
            ("EXPLAIN (FORMAT foo) SELECT 1", "22023: unrecognized value for EXPLAIN option \"format\": \"foo\" @10"),
            ("EXPLAIN CREATE VIEW v AS SELECT 1", "0A000: EXPLAIN CREATE VIEW is not supported"),
            (
                "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
                "0A000: EXPLAIN ANALYZE of a statement that writes is not supported",
            ),
            ("INSERT INTO t DEFAULT VALUES", "0A000: INSERT ... DEFAULT VALUES is not supported"),
            ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "0A000: INSERT ... ON CONFLICT is not supported @26"),
            ("INSERT INTO t", "42601: syntax error at end of input @14"),
            (
                "CREATE TABLE t (a int) AS SELECT 1",
                "42601: a table that is made of a query cannot have a list of typed columns @24",
            ),
            ("CREATE TABLE t WITH (format = 'X'", "42601: syntax error at end of input @34"),
            ("SELECT 1 LIMIT 1 FETCH FIRST 2 ROWS ONLY", "42601: multiple LIMIT clauses not allowed"),
            ("SELECT a\u{0}b", "42601: invalid character in the statement: zero byte @9"),
        ],
    );
}

#[test]
fn statements_that_are_not_built_are_named() {
    let cases = [
        ("UPDATE t SET a = 1", "UPDATE"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "MERGE"),
        ("COPY t FROM '/etc/passwd'", "COPY"),
        ("CREATE TEMP TABLE t (a int)", "CREATE TEMPORARY TABLE"),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX"),
        ("CREATE FUNCTION f() RETURNS int AS 'x' LANGUAGE sql", "CREATE FUNCTION"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int AS 'x' LANGUAGE sql", "CREATE FUNCTION"),
        ("CREATE EXTENSION pg_trgm", "CREATE EXTENSION"),
        ("DROP INDEX i", "DROP INDEX"),
        ("DROP FUNCTION f()", "DROP FUNCTION"),
        ("VACUUM", "VACUUM"),
        ("DO $$ BEGIN END $$", "DO"),
        ("CALL p()", "CALL"),
        ("SHOW FUNCTIONS", "SHOW FUNCTIONS"),
        ("SELECT 1 INTO t", "SELECT INTO"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT"),
        ("SELECT a FROM t FETCH FIRST 2 ROWS WITH TIES", "FETCH FIRST ... WITH TIES"),
    ];
    for (sql, name) in cases {
        let error = parse(sql, Dialect::Postgres).map(|_| ()).unwrap_err();
        let message = format!("{name} is not supported yet");
        assert_eq!((error.code.sqlstate(), error.message.as_str()), ("0A000", message.as_str()), "{sql}");
    }
}
