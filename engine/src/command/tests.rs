//! Commands as a user sees them: SQL in, tag, rows and notices out, over a catalog in memory and a folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::sql::sqlparser::ast::Query;
use limnos_catalog::{Catalog, Column, DataType, Table, TableName};

use super::{CommandContext, Crawls, TableOpener, ViewPlanner, create_statement, run, schema};
use crate::cache::Caches;
use crate::clock::{Clock, SystemClock};
use crate::dataset::Datasets;
use crate::execute::QueryContext;
use crate::parse::{Dialect, Statement, parse};
use crate::scan::store::{StoreOptions, Stores};
use crate::scan::survey::OpenTable;
use crate::{CommandTag, Error, Result, Session};

/// Says that every view has the columns `a int, b string`.
struct TwoColumns;

#[async_trait]
impl ViewPlanner for TwoColumns {
    async fn columns(&self, _session: &Session, _query: &Query) -> Result<Vec<Column>> {
        Ok(vec![Column::new("a", DataType::Int), Column::new("b", DataType::String)])
    }
}

/// Opens no table: what looks into files is tested over the wire.
struct Closed;

impl TableOpener for Closed {
    fn open(&self, _session: &Session, table: &Arc<Table>) -> Result<OpenTable> {
        Err(Error::unsupported(format!("\"{}\" is not opened here", table.name)))
    }
}
/// Each statement has an id of its own.
static QUERIES: AtomicU64 = AtomicU64::new(0);

struct Lake {
    catalog: Arc<Catalog>,
    stores: Arc<Stores>,
    session: Session,
    clock: Arc<dyn Clock>,
    crawls: Arc<Crawls>,
    folder: tempfile::TempDir,
}

impl Lake {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let roots = vec![folder.path().to_str().unwrap().to_owned()];
        let stores = Arc::new(Stores::new(&StoreOptions { roots, ..StoreOptions::default() }).unwrap());
        let catalog = Catalog::open_in_memory().unwrap();
        Self {
            catalog,
            stores,
            session: Session::new("ada", "lake"),
            clock: Arc::new(SystemClock),
            crawls: Arc::default(),
            folder,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn make_file(&self, below: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "1\n").unwrap();
    }

    /// Runs a text, `$L` in which is the folder, and shows the answer of its last statement.
    async fn sql(&mut self, sql: &str) -> String {
        let sql = sql.replace("$L", self.folder.path().to_str().unwrap());
        let mut shown = String::new();
        let statements = match parse(&sql, self.session.settings.dialect()) {
            Ok(statements) => statements,
            Err(error) => return format!("{}: {}", error.code.sqlstate(), error.message),
        };
        for parsed in statements {
            let snapshot = self.session.pinned.clone().unwrap_or_else(|| self.catalog.snapshot());
            let context = CommandContext {
                catalog: &self.catalog,
                snapshot,
                stores: &self.stores,
                planner: &TwoColumns,
                opener: &Closed,
                clock: &self.clock,
                crawls: &self.crawls,
                datasets: &Datasets::new(None, 1 << 20, Arc::clone(&self.clock)),
                accounts: &Arc::default(),
                caches: &Caches::default(),
                scan_limit_bytes: None,
                query: &QueryContext::detached(&format!("test-{}", QUERIES.fetch_add(1, Ordering::Relaxed))),
            };
            shown = match run(&context, &mut self.session, &parsed.statement).await {
                Err(error) => format!("{}: {}", error.code.sqlstate(), error.message),
                Ok(answer) => {
                    let told = schema(&parsed.statement);
                    let got = answer.batch.as_ref().map(arrow::array::RecordBatch::schema);
                    assert_eq!(told, got, "{sql}: Describe and Execute differ");
                    let mut lines: Vec<String> = answer
                        .notices
                        .iter()
                        .map(|notice| format!("{}: {}", notice.severity, notice.message))
                        .collect();
                    if let Some(batch) = &answer.batch {
                        let options = FormatOptions::default();
                        for row in 0..batch.num_rows() {
                            let cells: Vec<String> = batch
                                .columns()
                                .iter()
                                .map(|column| ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string())
                                .collect();
                            lines.push(cells.join("|").trim_end_matches('|').to_owned());
                        }
                    }
                    if let CommandTag::Plain(tag) = answer.tag {
                        lines.push(tag);
                    }
                    lines.join("\n").replace(self.folder.path().to_str().unwrap(), "$L")
                }
            };
        }
        shown
    }

    /// Runs `(sql, expected)` in order.
    async fn script(&mut self, steps: &[(&str, &str)]) {
        for (sql, expected) in steps {
            let got = self.sql(sql).await;
            assert_eq!(got, *expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn databases_and_tables() {
    Lake::new()
        .script(&[
            ("CREATE DATABASE sales COMMENT 'x'", "CREATE SCHEMA"),
            ("CREATE SCHEMA sales", "42P06: database \"sales\" already exists"),
            ("CREATE SCHEMA IF NOT EXISTS sales", "NOTICE: schema \"sales\" already exists, skipping\nCREATE SCHEMA"),
            ("SHOW DATABASES", "public\nsales"),
            ("SHOW SCHEMAS LIKE 's%'", "sales"),
            ("CREATE EXTERNAL TABLE sales.o (a int, b string) STORED AS PARQUET LOCATION '$L/o/'", "CREATE TABLE"),
            (
                "CREATE EXTERNAL TABLE IF NOT EXISTS sales.o (a int) STORED AS PARQUET LOCATION '$L/o/'",
                "NOTICE: relation \"o\" already exists, skipping\nCREATE TABLE",
            ),
            ("CREATE EXTERNAL TABLE sales.o (a int) LOCATION '$L/o/'", "42P07: table \"sales.o\" already exists"),
            ("CREATE OR REPLACE EXTERNAL TABLE sales.o (a int, c date COMMENT 'day') LOCATION '$L/o/'", "CREATE TABLE"),
            ("DESCRIBE sales.o", "a|int\nc|date|day"),
            ("SHOW COLUMNS IN o IN sales", "a\nc"),
            ("CREATE EXTERNAL TABLE nowhere.o (a int) LOCATION '$L/o/'", "3F000: database \"nowhere\" does not exist"),
            ("CREATE EXTERNAL TABLE p (a int)", "42P16: table \"default.p\" needs a LOCATION"),
            ("CREATE EXTERNAL TABLE public.p (a int) LOCATION '$L/p'", "CREATE TABLE"),
            ("CREATE VIEW v AS SELECT 1, 2", "CREATE VIEW"),
            ("SHOW TABLES", "p\nv"),
            ("SHOW TABLES IN public 'p*'", "p"),
            ("SHOW VIEWS", "v"),
            ("DESCRIBE v", "a|int\nb|string"),
            ("CREATE OR REPLACE VIEW v (x, \"Y\") AS SELECT 1, 2", "CREATE VIEW"),
            ("SHOW CREATE VIEW v", "CREATE VIEW \"default\".\"v\" (\"x\", \"y\") AS\nSELECT 1, 2"),
            ("CREATE VIEW w (x, y, z) AS SELECT 1, 2", "42601: CREATE VIEW specifies more column names than columns"),
            ("CREATE VIEW w (b) AS SELECT 1, 2", "42701: column \"b\" specified more than once"),
            ("DROP TABLE v", "42809: \"default.v\" is not a table"),
            ("ALTER TABLE p RENAME TO q", "ALTER TABLE"),
            ("DROP TABLE q, nothing", "42P01: table \"default.nothing\" does not exist"),
            ("SHOW TABLES", "q\nv"),
            ("DROP TABLE IF EXISTS q, nothing", "NOTICE: table \"nothing\" does not exist, skipping\nDROP TABLE"),
            ("DROP VIEW v", "DROP VIEW"),
            ("DROP DATABASE sales", "2BP01: cannot drop database \"sales\" because it is not empty"),
            ("USE sales; DROP DATABASE sales CASCADE; SHOW TABLES", ""),
            ("DROP DATABASE IF EXISTS sales", "NOTICE: schema \"sales\" does not exist, skipping\nDROP SCHEMA"),
            ("SHOW TABLES IN sales", "3F000: database \"sales\" does not exist"),
        ])
        .await;
}

#[tokio::test]
async fn locations_outside_the_roots_are_refused() {
    let mut lake = Lake::new();
    for sql in [
        "CREATE EXTERNAL TABLE t (a int) LOCATION '/etc/'",
        "CREATE EXTERNAL TABLE t (a int) LOCATION '$L/../'",
        "CREATE DATABASE d LOCATION 'file:///etc/'",
        "CREATE EXTERNAL TABLE p (a int) PARTITIONED BY (k int) LOCATION '$L/p/'; ALTER TABLE p ADD PARTITION (k=1) LOCATION '/etc/'",
    ] {
        let answer = lake.sql(sql).await;
        assert!(answer.starts_with("42501"), "{sql}: {answer}");
    }
}

#[tokio::test]
async fn partitions() {
    Lake::new()
        .script(&[
            (
                "CREATE EXTERNAL TABLE p (a int) PARTITIONED BY (year int, dt date) STORED AS PARQUET LOCATION '$L/p/'",
                "CREATE TABLE",
            ),
            ("ALTER TABLE p ADD PARTITION (dt = '2024-01-01', year = 2024) PARTITION (year = 2024, dt = '2024-01-02')", "ALTER TABLE"),
            ("SHOW PARTITIONS p", "year=2024/dt=2024-01-01\nyear=2024/dt=2024-01-02"),
            ("ALTER TABLE p ADD IF NOT EXISTS PARTITION (year = 2024, dt = '2024-01-01')", "ALTER TABLE"),
            ("ALTER TABLE p ADD PARTITION (year = 2024)", "42P10: no value for partition key \"dt\""),
            ("ALTER TABLE p ADD PARTITION (year = 2024, dt = '2024-01-01', x = 1)", "42P10: \"x\" is not a partition key"),
            ("ALTER TABLE p ADD PARTITION (year = 1, year = 2, dt = '2024-01-01')", "42P10: partition key \"year\" specified more than once"),
            ("ALTER TABLE p ADD PARTITION (year = 'MMXX', dt = '2024-01-01')", "22P02: invalid value for partition key \"year\" of type int: \"MMXX\""),
            ("ALTER TABLE p ADD PARTITION (year = 2024, dt = '2024-13-01')", "22P02: invalid value for partition key \"dt\" of type date: \"2024-13-01\""),
            ("ALTER TABLE p DROP PARTITION (year = 2024, dt = '2024-01-01')", "ALTER TABLE"),
            ("SHOW PARTITIONS p", "year=2024/dt=2024-01-02"),
            ("ALTER TABLE p ADD PARTITION (year = NULL, dt = NULL)", "ALTER TABLE"),
            ("SHOW PARTITIONS p", "year=2024/dt=2024-01-02\nyear=__HIVE_DEFAULT_PARTITION__/dt=__HIVE_DEFAULT_PARTITION__"),
            ("DESCRIBE p", "a|int\nyear|int\ndt|date\n\n# Partition Information\n# col_name|data_type|comment\n\nyear|int\ndt|date"),
            ("CREATE EXTERNAL TABLE flat (a int) LOCATION '$L/f/'; SHOW PARTITIONS flat", "42809: table \"default.flat\" is not partitioned"),
            ("CREATE VIEW v AS SELECT 1, 2; SHOW PARTITIONS v", "42809: \"default.v\" is a view, not a table"),
        ])
        .await;
}

#[tokio::test]
async fn projected_tables_say_so() {
    let unused = "WARNING: partitions of table \"default.p\" are projected from its properties; queries do not use those in the \
                  catalog\n";
    let told = |answer: &str| format!("{unused}{answer}");
    let create = |properties: &str| {
        let (table, location) =
            ("CREATE OR REPLACE EXTERNAL TABLE p (a int) PARTITIONED BY (k int) STORED AS PARQUET", "$L/p/");
        format!("{table} LOCATION '{location}' TBLPROPERTIES ('projection.enabled' = 'true', {properties})")
    };
    let k = "'projection.k.type' = 'integer', 'projection.k.range' = '1,3'";
    Lake::new()
        .script(&[
            (&create(k), "CREATE TABLE"),
            ("ALTER TABLE p ADD PARTITION (k = 7)", &told("ALTER TABLE")),
            ("SHOW PARTITIONS p", &told("k=7")),
            ("ALTER TABLE p DROP PARTITION (k = 7)", &told("ALTER TABLE")),
            ("MSCK REPAIR TABLE p", &told("MSCK REPAIR TABLE")),
            (
                &create(&format!("{k}, 'projection.k.values' = 'a'")),
                "WARNING: property \"projection.k.values\" of table \"default.p\" has no effect on a partition key of type \
                 integer\nCREATE TABLE",
            ),
            (
                &create("'projection.k.type' = 'integer', 'projection.k.range' = '3,1'"),
                "42P16: invalid value for property \"projection.k.range\" of table \"default.p\": \"3,1\"",
            ),
            (
                &create(&format!("{k}, 'storage.location.template' = '/elsewhere/${{k}}/'")),
                "42501: location \"/elsewhere/1/\" is outside the configured roots",
            ),
            (&create(&format!("{k}, 'storage.location.template' = '$L/p/${{k}}'")), "CREATE TABLE"),
        ])
        .await;
    let mut lake = Lake::new();
    lake.sql(&create(k)).await;
    let described = lake.sql("DESCRIBE EXTENDED p").await;
    assert!(described.contains("Partitions:|projected\n"), "{described}");
}

#[tokio::test]
async fn repair_finds_folders() {
    let mut lake = Lake::new();
    for file in [
        "t/year=2023/month=01/a",
        "t/Year=2024/month=02/a",
        "t/year=2024/month=__HIVE_DEFAULT_PARTITION__/a",
        "t/year=abc/month=01/a",
        "t/year=2024/other/a",
        "t/_temporary/year=1/a",
        "t/stray",
    ] {
        lake.make_file(file);
    }
    let create = "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (year int, month string) LOCATION '$L/t/'";
    assert_eq!(lake.sql(create).await, "CREATE TABLE");
    let answer = lake.sql("MSCK REPAIR TABLE t").await;
    for part in [
        "WARNING: folder \"year=2024/other/\" is not named month=...",
        "WARNING: folder \"year=abc/\": invalid value for partition key \"year\" of type int: \"abc\"",
        "NOTICE: added 3 partitions to \"default.t\"",
        "MSCK REPAIR TABLE",
    ] {
        assert!(answer.contains(part), "{part}\n{answer}");
    }
    assert_eq!(
        lake.sql("SHOW PARTITIONS t").await,
        "year=2023/month=01\nyear=2024/month=02\nyear=2024/month=__HIVE_DEFAULT_PARTITION__"
    );
    let snapshot = lake.catalog.snapshot();
    let table = snapshot.table(&TableName::new("default", "t")).unwrap();
    let list = lake.catalog.partitions(&snapshot, table).unwrap();
    let odd: Vec<&str> = list.locations.iter().flatten().map(AsRef::as_ref).collect();
    assert!(matches!(odd.as_slice(), [url] if url.ends_with("/t/Year=2024/month=02/")), "{odd:?}");

    std::fs::remove_dir_all(lake.path("t/year=2023")).unwrap();
    let answer = lake.sql("MSCK REPAIR TABLE t").await;
    assert!(answer.contains("1 partitions of \"default.t\" have no folder; SYNC PARTITIONS drops them"), "{answer}");
    let answer = lake.sql("MSCK REPAIR TABLE t SYNC PARTITIONS").await;
    assert!(answer.contains("NOTICE: dropped 1 partitions from \"default.t\""), "{answer}");
    assert_eq!(lake.sql("SHOW PARTITIONS t").await, "year=2024/month=02\nyear=2024/month=__HIVE_DEFAULT_PARTITION__");
}

#[tokio::test]
async fn show_create_makes_the_same_table_again() {
    for definition in [
        "(a int) LOCATION '$L/t/'",
        "(a int COMMENT 'it\\'s\\n\\\\', \"IMDB Rating\" double, \"a.b\" struct<x:int,y:array<map<string,decimal(10,2)>>>) \
         COMMENT 'c' PARTITIONED BY (k string COMMENT 'd', n int) STORED AS PARQUET LOCATION '$L/t' TBLPROPERTIES ('x'='y;\\u0001')",
        "(a int) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' NULL DEFINED AS '\\\\N' LOCATION '$L/t/'",
        "(a string) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('quoteChar'='\\'') LOCATION '$L/t/'",
        "(a string) STORED AS CSV LOCATION '$L/t/' TBLPROPERTIES ('skip.header.line.count'='1')",
        "(a string) STORED AS JSON LOCATION '$L/t/'",
        "(a string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('mapping.a'='@A') LOCATION '$L/t/'",
        "(a string, b int) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe' \
         WITH SERDEPROPERTIES ('input.regex' = '([^ ]*) \"(\\\\d+)\"\\t\\'$') LOCATION '$L/t/'",
        "(a string) ROW FORMAT SERDE 'com.amazonaws.glue.serde.GrokSerDe' WITH SERDEPROPERTIES \
         ('input.format' = '%{X:a}', 'input.grokCustomPatterns' = 'X x+\\nY y+') STORED AS TEXTFILE LOCATION '$L/t/'",
        "(a string) ROW FORMAT SERDE 'com.amazon.emr.hive.serde.CloudTrailSerde' \
         STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat' OUTPUTFORMAT 'x' LOCATION '$L/t/'",
        "(a string) STORED AS ARROW LOCATION '$L/t/'",
        "(a string) STORED AS ORC LOCATION '$L/t/'",
    ] {
        let mut lake = Lake::new();
        assert_eq!(lake.sql(&format!("CREATE EXTERNAL TABLE t {definition}")).await, "CREATE TABLE", "{definition}");
        let name = TableName::new("default", "t");
        let before = lake.catalog.snapshot().table(&name).unwrap().clone();
        let text = create_statement(&before);
        assert_eq!(lake.sql("DROP TABLE t").await, "DROP TABLE");
        assert_eq!(lake.sql(&text).await, "CREATE TABLE", "{text}");
        let after = lake.catalog.snapshot().table(&name).unwrap().clone();
        let mut expected = (*before.definition).clone();
        // A SerDe that was implied is named afterwards.
        if let (limnos_catalog::TableKind::External(expected), limnos_catalog::TableKind::External(after)) =
            (&mut expected.kind, &after.kind)
        {
            expected.serde = expected.serde.take().or_else(|| after.serde.clone());
        }
        assert_eq!(*after.definition, expected, "{text}");
    }
}

#[tokio::test]
async fn patterns_are_checked_before_they_are_stored() {
    let mut lake = Lake::new();
    for (definition, expected) in [
        (
            "(a int, b int) ROW FORMAT SERDE 'x.RegexSerDe' WITH SERDEPROPERTIES ('input.regex' = '(a)b')",
            "42P16: \"input.regex\" has 1 group, the table has 2 columns",
        ),
        (
            "(a int) ROW FORMAT SERDE 'x.RegexSerDe' WITH SERDEPROPERTIES ('input.regex' = '(a')",
            "2201B: invalid regular expression: unclosed group",
        ),
        ("(a int) ROW FORMAT SERDE 'x.RegexSerDe'", "42P16: the table has no SerDe property \"input.regex\""),
        (
            "(a array<int>) ROW FORMAT SERDE 'x.RegexSerDe' WITH SERDEPROPERTIES ('input.regex' = '(a)')",
            "42P16: column \"a\" cannot have the type array<int>",
        ),
        (
            "(a int) ROW FORMAT SERDE 'x.GrokSerDe' WITH SERDEPROPERTIES ('input.format' = '%{NUMER:a}')",
            "42704: grok pattern \"NUMER\" does not exist",
        ),
        (
            "(a int) ROW FORMAT SERDE 'x.GrokSerDe' WITH SERDEPROPERTIES ('input.format' = '%{INT:b}')",
            "42P16: \"input.format\" has no field for column \"a\"",
        ),
        (
            "ROW FORMAT SERDE 'x.RegexSerDe' WITH SERDEPROPERTIES ('input.regex' = '(a)')",
            "42P16: table \"default.t\" needs a list of columns",
        ),
        (
            "(a int) STORED AS PARQUET WITH SERDEPROPERTIES ('limnos.on_error' = 'null')",
            "0A000: property \"limnos.on_error\" is for text formats only",
        ),
        (
            "(a int) WITH SERDEPROPERTIES ('limnos.on_error' = 'x')",
            "22023: invalid value for property \"limnos.on_error\": \"x\"",
        ),
    ] {
        assert_eq!(lake.sql(&format!("CREATE EXTERNAL TABLE t {definition} LOCATION '$L/t/'")).await, expected);
    }
    assert_eq!(lake.sql("SHOW TABLES").await, "");
}

#[tokio::test]
async fn settings_and_transactions() {
    Lake::new()
        .script(&[
            ("SHOW search_path", "\"$user\", public"),
            ("CREATE SCHEMA a; SET search_path = nowhere, a, public; SHOW search_path", "nowhere, a, public"),
            ("CREATE EXTERNAL TABLE t (x int) LOCATION '$L/t/'; SHOW TABLES IN a", "t"),
            ("RESET search_path; SHOW TABLES", ""),
            ("USE a; SHOW TABLES", "t"),
            ("USE nowhere", "3F000: database \"nowhere\" does not exist"),
            ("USE public; SHOW search_path", "public"),
            ("SET sarch_path = a", "42704: unrecognized configuration parameter \"sarch_path\""),
            (
                "SET datafusion.execution.batch_size = 1",
                "42704: unrecognized configuration parameter \"datafusion.execution.batch_size\"",
            ),
            ("SET LOCAL statement_timeout = '5s'", "WARNING: SET LOCAL can only be used in transaction blocks\nSET"),
            ("COMMIT", "WARNING: there is no transaction in progress\nCOMMIT"),
            ("ROLLBACK", "WARNING: there is no transaction in progress\nROLLBACK"),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE; SHOW TRANSACTION ISOLATION LEVEL", "serializable"),
            ("BEGIN", "WARNING: there is already a transaction in progress\nBEGIN"),
            ("SET search_path = a; SHOW TABLES", "t"),
            ("CREATE SCHEMA b", "CREATE SCHEMA"),
            ("SHOW DATABASES LIKE 'b'", "b"),
            ("ROLLBACK; SHOW TABLES", ""),
            ("SHOW DATABASES LIKE 'b'", ""),
            ("SHOW transaction_isolation", "read committed"),
            ("SET TRANSACTION READ ONLY", "WARNING: SET TRANSACTION can only be used in transaction blocks\nSET"),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SHOW transaction_read_only", "on"),
            ("SET application_name = 'x'; DISCARD ALL; SHOW application_name", ""),
            ("LISTEN x", "LISTEN"),
        ])
        .await;
}

#[tokio::test]
async fn a_pinned_snapshot_holds() {
    let mut lake = Lake::new();
    lake.sql("BEGIN").await;
    let create = limnos_catalog::Change::CreateDatabase {
        name: "later".to_owned(),
        comment: None,
        location: None,
        parameters: std::collections::BTreeMap::new(),
        mode: limnos_catalog::CreateMode::Create,
    };
    lake.catalog.commit(vec![create]).unwrap();
    assert_eq!(lake.sql("SHOW DATABASES").await, "public");
    assert_eq!(lake.sql("COMMIT; SHOW DATABASES").await, "later\npublic");
    assert_eq!(lake.sql("SET dialect = athena; SHOW DATABASES").await, "default\nlater");
}

#[test]
fn statements_without_rows_have_no_schema() {
    for (sql, expected) in [("BEGIN", false), ("SHOW ALL", true), ("SHOW datestyle", true), ("CRAWL '/x'", true)] {
        let statement: Statement = parse(sql, Dialect::Postgres).unwrap().remove(0).statement;
        assert_eq!(schema(&statement).is_some(), expected, "{sql}");
    }
    let statement = parse("SHOW datestyle", Dialect::Postgres).unwrap().remove(0).statement;
    assert_eq!(schema(&statement).unwrap().field(0).name(), "DateStyle");
}

#[tokio::test]
async fn show_create_makes_the_same_crawler_again() {
    let mut lake = Lake::new();
    lake.script(&[
        ("CREATE CLASSIFIER \"C c\" CSV (DELIMITER ';', QUOTE '''', COLUMNS (a, \"b c\"))", "CREATE CLASSIFIER"),
        ("CREATE CLASSIFIER g GROK '%{A:a} ''x'' \\d' CUSTOM PATTERNS 'A \\w' CLASSIFICATION 'y'", "CREATE CLASSIFIER"),
        ("CREATE CLASSIFIER j JSON '$[*]'", "CREATE CLASSIFIER"),
    ])
    .await;
    for clauses in [
        "TARGETS ('$L/a/') DATABASE d",
        "COMMENT 'it''s' CLASSIFIERS (g, \"C c\") RECRAWL NEW TABLE PREFIX 'p_' EXCLUDE ('**.tmp', 'a''b') \
         SCHEDULE CRON '@daily' TIME ZONE 'Asia/Kolkata' DATABASE public TARGETS ('$L/a/', '$L/b')",
        "TARGETS ('$L/a/') DATABASE d ON DELETE DROP ON SCHEMA CHANGE ADD RECRAWL ALL SCHEDULE CRON '*/5 * * * *'",
    ] {
        assert_eq!(lake.sql(&format!("CREATE CRAWLER \"x y\" {clauses}")).await, "CREATE CRAWLER", "{clauses}");
        let before = lake.catalog.snapshot().crawler("x y").unwrap().definition.clone();
        let text = lake.sql("SHOW CREATE CRAWLER \"x y\"").await;
        assert_eq!(lake.sql("DROP CRAWLER \"x y\"").await, "DROP CRAWLER");
        assert_eq!(lake.sql(&text).await, "CREATE CRAWLER", "{text}");
        let mut after = lake.catalog.snapshot().crawler("x y").unwrap().definition.clone();
        if let (Some(before), Some(after)) = (&before.schedule, &mut after.schedule) {
            after.since_ms = before.since_ms;
        }
        assert_eq!(after, before, "{text}");
        lake.sql("DROP CRAWLER \"x y\"").await;
    }
    let definitions = |lake: &Lake| {
        let snapshot = lake.catalog.snapshot();
        snapshot.classifiers.values().map(|classifier| classifier.definition.clone()).collect::<Vec<_>>()
    };
    for name in ["\"C c\"", "g", "j"] {
        let before = definitions(&lake);
        let text = lake.sql(&format!("SHOW CREATE CLASSIFIER {name}")).await;
        assert_eq!(lake.sql(&format!("DROP CLASSIFIER {name}")).await, "DROP CLASSIFIER");
        assert_eq!(lake.sql(&text).await, "CREATE CLASSIFIER", "{text}");
        assert_eq!(definitions(&lake), before, "{text}");
    }
}

#[tokio::test]
async fn a_crawler_shows_files_to_its_classifiers_first() {
    let mut lake = Lake::new();
    std::fs::create_dir_all(lake.path("a")).unwrap();
    std::fs::write(lake.path("a/jobs.log"), "j-1 0.5 done\nj-2 1.5 failed\n").unwrap();
    lake.script(&[
        ("CREATE CLASSIFIER g GROK '%{NOPE:x}' CLASSIFICATION 'jobs'", "42704: grok pattern \"NOPE\" does not exist"),
        ("CREATE CLASSIFIER j JSON 'rows'", "22023: invalid JSON path: \"rows\""),
        ("CREATE CLASSIFIER j JSON '$[*]'", "CREATE CLASSIFIER"),
        (
            "CREATE CLASSIFIER g GROK '^%{JOB:job} %{NUMBER:took:double} %{WORD:state}$' \
             CUSTOM PATTERNS 'JOB j-[0-9]+' CLASSIFICATION 'jobs'",
            "CREATE CLASSIFIER",
        ),
        ("CREATE CRAWLER c TARGETS ('$L/a/') DATABASE d CLASSIFIERS (j, g)", "CREATE CRAWLER"),
    ])
    .await;
    let answer = lake.sql("RUN CRAWLER c").await;
    assert!(answer.contains("recognized as jobs"), "{answer}");
    assert_eq!(lake.sql("DESCRIBE d.a").await, "job|string\ntook|double\nstate|string");
    // Without them it is what our own make of it.
    assert_eq!(lake.sql("ALTER CRAWLER c SET CLASSIFIERS ()").await, "ALTER CRAWLER");
    assert_eq!(lake.sql("DROP TABLE d.a").await, "DROP TABLE");
    let answer = lake.sql("RUN CRAWLER c").await;
    assert!(answer.contains("it is text without a table in it"), "{answer}");
    assert_eq!(lake.sql("DROP CLASSIFIER g").await, "DROP CLASSIFIER");
}

#[tokio::test]
async fn crawlers_are_shown_with_their_state() {
    Lake::new()
        .script(&[
            ("CREATE CRAWLER c TARGETS ('$L/a/') DATABASE d", "CREATE CRAWLER"),
            ("RUN CRAWLER c", "WARNING: location \"file://$L/a/\" has no files"),
            ("SHOW CRAWLERS", "c|d|file://$L/a/||READY|SUCCEEDED"),
            ("ALTER CRAWLER c SET SCHEDULE CRON '0 2 * * *'", "ALTER CRAWLER"),
            ("ALTER CRAWLER c PAUSE", "ALTER CRAWLER"),
            ("SHOW CRAWLERS LIKE 'c%'", "c|d|file://$L/a/|0 2 * * * UTC|PAUSED|SUCCEEDED"),
            ("SHOW CRAWLERS LIKE 'x%'", ""),
        ])
        .await;
}

/// Somebody changes the table all the while that a crawler does: neither loses what the other did.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_beside_a_crawl_is_not_lost() {
    use limnos_catalog::{Change, Error};
    const CHANGES: u32 = 3000;
    let mut lake = Lake::new();
    lake.make_file("t/a.csv");
    std::fs::write(lake.path("t/a.csv"), "c0\n1\n").unwrap();
    lake.script(&[("CREATE CRAWLER c TARGETS ('$L/t/') DATABASE d", "CREATE CRAWLER")]).await;
    assert!(lake.sql("RUN CRAWLER c").await.contains("t|CREATED"));
    let catalog = Arc::clone(&lake.catalog);
    let other = std::thread::spawn(move || {
        for number in 0..CHANGES {
            loop {
                let name = TableName::new("d", "t");
                let table = catalog.snapshot().table(&name).unwrap().clone();
                let mut definition = (*table.definition).clone();
                definition.parameters.insert("mine".to_owned(), number.to_string());
                let change = Change::AlterTable { name, definition, base_version: Some(table.version) };
                match catalog.commit(vec![change]) {
                    Ok(_) => break,
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    let mut columns = 1;
    while !other.is_finished() && columns < 60 {
        columns += 1;
        let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
        let values: Vec<&str> = (0..columns).map(|_| "1").collect();
        std::fs::write(lake.path("t/a.csv"), format!("{}\n{}\n", names.join(","), values.join(","))).unwrap();
        let answer = lake.sql("RUN CRAWLER c").await;
        // Who has changed it ten times in a row is told so, and nothing is half done.
        assert!(answer.contains("t|UPDATED") || answer.starts_with("40001"), "{answer}");
    }
    other.join().unwrap();
    lake.sql("RUN CRAWLER c").await;
    let table = lake.catalog.snapshot().table(&TableName::new("d", "t")).unwrap().clone();
    assert_eq!(table.parameters.get("mine"), Some(&(CHANGES - 1).to_string()));
    assert_eq!(table.columns.len(), columns);
}

#[tokio::test]
async fn only_new_folders_are_looked_at_and_moved_partitions_are_found() {
    let mut lake = Lake::new();
    let write = |lake: &Lake, below: &str, text: &str| {
        lake.make_file(below);
        std::fs::write(lake.path(below), text).unwrap();
    };
    write(&lake, "l/p/k=1/a.csv", "a,b\n1,2\n");
    write(&lake, "l/flat/a.csv", "x,y,z\n1,2,3\n");
    lake.script(&[
        ("CREATE CRAWLER n TARGETS ('$L/l/') DATABASE n RECRAWL NEW", "CREATE CRAWLER"),
        ("CREATE CRAWLER a TARGETS ('$L/l/') DATABASE a", "CREATE CRAWLER"),
        ("RUN CRAWLER n", "flat|CREATED|1|12|0|0\np|CREATED|1|8|1|0"),
        ("RUN CRAWLER a", "flat|CREATED|1|12|0|0\np|CREATED|1|8|1|0"),
        ("RUN CRAWLER n", ""),
    ])
    .await;
    write(&lake, "l/flat/b.csv", "other\nthing\n");
    write(&lake, "l/p/k=1/b.csv", "no table\n");
    write(&lake, "l/p/k=2/a.csv", "a,b,c\n1,2,3\n");
    lake.script(&[
        ("RUN CRAWLER n", "p|UPDATED|1|12|1|0|1 partitions added"),
        ("SHOW PARTITIONS n.p", "k=1\nk=2"),
        ("SHOW COLUMNS IN n.p", "a\nb\nk"),
        ("RUN CRAWLER n", ""),
    ])
    .await;
    // The same partition in a folder of another spelling.
    std::fs::rename(lake.path("l/p/k=1"), lake.path("l/p/K=1")).unwrap();
    let answer = lake.sql("RUN CRAWLER a").await;
    assert!(answer.contains("p|UPDATED"), "{answer}");
    let snapshot = lake.catalog.snapshot();
    let table = snapshot.table(&TableName::new("a", "p")).unwrap();
    let list = lake.catalog.partitions(&snapshot, table).unwrap();
    let moved: Vec<&str> = list.locations.iter().flatten().map(AsRef::as_ref).collect();
    assert!(list.len() == 2 && matches!(moved.as_slice(), [url] if url.ends_with("/l/p/K=1/")), "{list:?}");
}
