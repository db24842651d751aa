//! SET, SHOW, transactions, prepared statements.

use super::check_all;
use crate::parse::{Dialect, Statement, parse};

#[test]
fn settings() {
    let set =
        |name: &str, values: &str, local: bool| format!("Set {{ name: {name:?}, values: {values}, local: {local} }}");
    let cases = [
        ("SET x = 1", set("x", "Some([\"1\"])", false)),
        ("SET x TO 'a b'", set("x", "Some([\"a b\"])", false)),
        ("set session search_path to 'public'", set("search_path", "Some([\"public\"])", false)),
        ("SET search_path = \"Foo\", bar, 'baz'", set("search_path", "Some([\"Foo\", \"bar\", \"baz\"])", false)),
        ("SET LOCAL statement_timeout = '5s'", set("statement_timeout", "Some([\"5s\"])", true)),
        ("SET DateStyle = ISO, MDY", set("DateStyle", "Some([\"iso\", \"mdy\"])", false)),
        ("SET extra_float_digits = -3", set("extra_float_digits", "Some([\"-3\"])", false)),
        ("SET a.b = on", set("a.b", "Some([\"on\"])", false)),
        ("SET x = DEFAULT", set("x", "None", false)),
        ("SET TIME ZONE 'Europe/Berlin'", set("timezone", "Some([\"Europe/Berlin\"])", false)),
        ("SET TIME ZONE -7", set("timezone", "Some([\"-7\"])", false)),
        ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", set("timezone", "Some([\"INTERVAL '-08:00'\"])", false)),
        ("SET LOCAL TIME ZONE LOCAL", set("timezone", "None", true)),
        ("SET NAMES 'utf8'", set("client_encoding", "Some([\"utf8\"])", false)),
        ("set client_encoding to 'LATIN1'", set("client_encoding", "Some([\"LATIN1\"])", false)),
        ("SET SCHEMA 'sales'", set("search_path", "Some([\"sales\"])", false)),
        ("SET datafusion.execution.batch_size = 1", set("datafusion.execution.batch_size", "Some([\"1\"])", false)),
        ("SET ROLE NONE", "Role(SetRole { role: None, local: false })".to_owned()),
        ("SET SESSION AUTHORIZATION DEFAULT", "Role(SetSession { role: None, local: false })".to_owned()),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            "SetTransaction { modes: TransactionModes { isolation: Some(\"read uncommitted\"), read_only: None }, session: true }"
                .to_owned(),
        ),
        (
            "SET TRANSACTION READ ONLY",
            "SetTransaction { modes: TransactionModes { isolation: None, read_only: Some(true) }, session: false }".to_owned(),
        ),
        ("RESET ALL", "Reset { name: None }".to_owned()),
        ("RESET x", "Reset { name: Some(\"x\") }".to_owned()),
        ("RESET TIME ZONE", "Reset { name: Some(\"timezone\") }".to_owned()),
        ("SHOW ALL", "Show { name: None }".to_owned()),
        ("show search_path", "Show { name: Some(\"search_path\") }".to_owned()),
        ("SHOW TIME ZONE", "Show { name: Some(\"timezone\") }".to_owned()),
        ("SHOW TRANSACTION ISOLATION LEVEL", "Show { name: Some(\"transaction_isolation\") }".to_owned()),
        ("SHOW a.b", "Show { name: Some(\"a.b\") }".to_owned()),
        ("DISCARD ALL", "Discard { what: \"ALL\" }".to_owned()),
        ("DISCARD TEMPORARY", "Discard { what: \"TEMP\" }".to_owned()),
        ("USE sales", "Use { database: \"sales\" }".to_owned()),
        ("USE awsdatacatalog.sales", "Use { database: \"sales\" }".to_owned()),
        ("CHECKPOINT", "NoOp { tag: \"CHECKPOINT\" }".to_owned()),
        ("LISTEN a", "NoOp { tag: \"LISTEN\" }".to_owned()),
        ("UNLISTEN *", "NoOp { tag: \"UNLISTEN\" }".to_owned()),
        ("LOCK TABLE a, b IN ACCESS SHARE MODE NOWAIT", "NoOp { tag: \"LOCK TABLE\" }".to_owned()),
        ("alter system drop cache Footers", "DropCache { name: Some(\"footers\") }".to_owned()),
        ("ALTER SYSTEM DROP CACHE ALL", "DropCache { name: None }".to_owned()),
        ("KILL 'q1'", "Kill { query_id: \"q1\" }".to_owned()),
        ("KILL QUERY 'q1'", "Kill { query_id: \"q1\" }".to_owned()),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check_all(Dialect::Postgres, &cases);
}

#[test]
fn transactions() {
    let begin = |isolation: &str, read_only: &str| {
        format!("Begin(TransactionModes {{ isolation: {isolation}, read_only: {read_only} }})")
    };
    let plain = begin("None", "None");
    let cases = [
        ("BEGIN", plain.clone()),
        ("begin work", plain.clone()),
        ("BEGIN TRANSACTION", plain.clone()),
        ("START TRANSACTION", plain),
        ("BEGIN READ ONLY", begin("None", "Some(true)")),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;", begin("Some(\"serializable\")", "Some(true)")),
        (
            "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE, NOT DEFERRABLE",
            begin("Some(\"repeatable read\")", "Some(false)"),
        ),
        ("BEGIN READ ONLY,", "42601: syntax error at end of input @17".to_owned()),
        ("COMMIT", "Commit".to_owned()),
        ("END TRANSACTION", "Commit".to_owned()),
        ("COMMIT AND NO CHAIN", "Commit".to_owned()),
        ("COMMIT AND CHAIN", "0A000: AND CHAIN is not supported".to_owned()),
        ("ROLLBACK", "Rollback".to_owned()),
        ("ABORT WORK", "Rollback".to_owned()),
        ("SAVEPOINT a", "Savepoint { name: \"a\" }".to_owned()),
        ("SAVEPOINT \"A b\"", "Savepoint { name: \"A b\" }".to_owned()),
        ("RELEASE SAVEPOINT a", "Release { name: \"a\" }".to_owned()),
        ("RELEASE a", "Release { name: \"a\" }".to_owned()),
        ("ROLLBACK TO SAVEPOINT a", "RollbackTo { name: \"a\" }".to_owned()),
        ("ROLLBACK WORK TO a", "RollbackTo { name: \"a\" }".to_owned()),
        ("BEGIN; SELECT 1; COMMIT", format!("{}; SELECT 1; Commit", begin("None", "None"))),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check_all(Dialect::Postgres, &cases);
}

#[test]
fn prepared_statements() {
    check_all(
        Dialect::Postgres,
        &[
            ("PREPARE p AS SELECT $1", "PREPARE p [] SELECT $1 [SELECT $1]"),
            (
                "PREPARE p (int, varchar(3)) AS SELECT $1, $2 ;",
                "PREPARE p [Int, Varchar(3)] SELECT $1, $2 [SELECT $1, $2]",
            ),
            ("PREPARE p AS PREPARE q AS SELECT 1", "42601: syntax error at or near \"PREPARE\" @14"),
            ("PREPARE p AS UPDATE t SET a = 1", "0A000: UPDATE is not supported yet"),
            ("EXECUTE p", "Execute { name: \"p\", arguments: [] }"),
            (
                "EXECUTE p (1, 'a,b', DATE '2020-01-01', f(1, 2))",
                "Execute { name: \"p\", arguments: [\"1\", \"'a,b'\", \"DATE '2020-01-01'\", \"f(1, 2)\"] }",
            ),
            ("EXECUTE p ()", "42601: syntax error at or near \")\" @12"),
            ("DEALLOCATE p", "Deallocate { name: Some(\"p\") }"),
            ("DEALLOCATE PREPARE p", "Deallocate { name: Some(\"p\") }"),
            ("DEALLOCATE prepare", "Deallocate { name: Some(\"prepare\") }"),
            ("DEALLOCATE ALL", "Deallocate { name: None }"),
        ],
    );
    check_all(
        Dialect::Athena,
        &[
            (
                "PREPARE p FROM SELECT id FROM t WHERE id > ? AND x = ?",
                "PREPARE p [] SELECT id FROM t WHERE id > $1 AND x = $2 [SELECT id FROM t WHERE id > ? AND x = ?]",
            ),
            ("EXECUTE p USING 1, 'a'", "Execute { name: \"p\", arguments: [\"1\", \"'a'\"] }"),
        ],
    );
}

#[test]
fn texts_are_split_where_they_must_be() {
    let texts =
        |sql: &str| parse(sql, Dialect::Postgres).unwrap().into_iter().map(|parsed| parsed.sql).collect::<Vec<_>>();
    assert_eq!(
        texts("  select 1 ; -- one; two\n select 'a;b' /* ; */ , \"c;d\" ;; "),
        ["select 1", "select 'a;b' /* ; */ , \"c;d\""]
    );
    assert_eq!(texts("select $$a;b$$; select E'a\\';b'"), ["select $$a;b$$", "select E'a\\';b'"]);
    assert_eq!(texts("select 'ä;ö'; select 'ü'"), ["select 'ä;ö'", "select 'ü'"]);
    // Under Hive's rules `\'` does not end the string, so this semicolon is inside it.
    assert_eq!(
        texts(
            "select 1; create external table t (a int) location 's3://b/' tblproperties ('x'='\\';'); select 'ä\\'; select 2"
        ),
        [
            "select 1",
            "create external table t (a int) location 's3://b/' tblproperties ('x'='\\';')",
            "select 'ä\\'",
            "select 2"
        ]
    );
    for empty in ["", "  ", ";", " ; ;; ", "-- nothing", "/* nothing */;"] {
        assert!(
            matches!(parse(empty, Dialect::Postgres).unwrap().as_slice(), [parsed] if matches!(parsed.statement, Statement::Empty)),
            "{empty:?}"
        );
    }
}
