//! Hive's, Athena's and PostgreSQL's DDL.

use std::collections::BTreeMap;

use limnos_catalog::{CreateMode, FileFormat};

use super::check_all;
use crate::parse::{CreateTable, Dialect, Statement, parse};

fn create_table(sql: &str) -> CreateTable {
    match parse(sql, Dialect::Athena).unwrap().remove(0).statement {
        Statement::CreateTable(create) => create,
        other => panic!("{other:?}"),
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn databases() {
    let create = |name: &str, comment: &str, location: &str, mode: &str| {
        format!(
            "CreateDatabase {{ name: {name:?}, comment: {comment}, location: {location}, parameters: {{}}, mode: {mode} }}"
        )
    };
    let drop = |if_exists: bool, cascade: bool| {
        format!("DropDatabase {{ name: \"d\", if_exists: {if_exists}, cascade: {cascade} }}")
    };
    let cases = [
        ("CREATE DATABASE Sales", create("sales", "None", "None", "Create")),
        ("CREATE SCHEMA IF NOT EXISTS \"Sales\"", create("sales", "None", "None", "IfNotExists")),
        (
            "CREATE DATABASE IF NOT EXISTS d COMMENT 'it''s' LOCATION 's3://b/d/' WITH DBPROPERTIES ('creator'='Jane D.', 'Dept.'='x')",
            create("d", "Some(\"it's\")", "Some(\"s3://b/d/\")", "IfNotExists")
                .replace("{}", "{\"Dept.\": \"x\", \"creator\": \"Jane D.\"}"),
        ),
        ("CREATE SCHEMA awsdatacatalog.d", create("d", "None", "None", "Create")),
        ("CREATE SCHEMA a.b.c", "42601: syntax error at or near \"a\" @15".to_owned()),
        ("CREATE SCHEMA AUTHORIZATION x", "0A000: CREATE SCHEMA AUTHORIZATION is not supported yet".to_owned()),
        ("DROP DATABASE d", drop(false, false)),
        ("DROP SCHEMA IF EXISTS d CASCADE", drop(true, true)),
        ("DROP SCHEMA d RESTRICT", drop(false, false)),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check_all(Dialect::Postgres, &cases);
}

#[test]
fn a_table_with_every_clause() {
    let create = create_table(
        "CREATE EXTERNAL TABLE IF NOT EXISTS `Web.Logs` (
            `date` DATE COMMENT 'the day', -- a comment
            Status int,
            amount decimal(10, 2),
            tags array<string>,
            props map<string,array<int>>,
            who struct<name:string,address:struct<street:string,n:int>>,
            comment string
        )
        COMMENT 'web logs'
        PARTITIONED BY (year int, month string COMMENT 'two digits')
        CLUSTERED BY (status) SORTED BY (status DESC) INTO 4 BUCKETS
        ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' COLLECTION ITEMS TERMINATED BY '\\002'
            MAP KEYS TERMINATED BY '\\u0003' LINES TERMINATED BY '\\n' NULL DEFINED AS '\\\\N'
        STORED AS TEXTFILE
        LOCATION 's3://bucket/logs/'
        TBLPROPERTIES (\"skip.header.line.count\"=\"1\", 'it\\'s'='a\"b')",
    );
    assert_eq!((create.name.database.as_deref(), create.name.name.as_str()), (Some("web"), "logs"));
    assert_eq!(create.mode, CreateMode::IfNotExists);
    let columns: Vec<String> =
        create.columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    assert_eq!(
        columns,
        [
            "date date",
            "status int",
            "amount decimal(10,2)",
            "tags array<string>",
            "props map<string,array<int>>",
            "who struct<name:string,address:struct<street:string,n:int>>",
            "comment string",
        ]
    );
    assert_eq!(create.columns[0].comment.as_deref(), Some("the day"));
    let keys: Vec<String> =
        create.partition_keys.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    assert_eq!(keys, ["year int", "month string"]);
    assert_eq!(create.comment.as_deref(), Some("web logs"));
    assert_eq!(create.location.as_deref(), Some("s3://bucket/logs/"));
    assert_eq!((create.format, create.serde), (FileFormat::Csv, None));
    assert_eq!(
        create.serde_properties,
        map(&[
            ("field.delim", "\t"),
            ("escape.delim", "\\"),
            ("collection.delim", "\u{2}"),
            ("mapkey.delim", "\u{3}"),
            ("line.delim", "\n"),
            ("serialization.null.format", "\\N"),
        ])
    );
    assert_eq!(create.parameters, map(&[("skip.header.line.count", "1"), ("it's", "a\"b")]));
}

#[test]
fn storage_decides_the_format() {
    let lazy = map(&[("field.delim", "\u{1}")]);
    let cloudtrail = map(&[("limnos.json.layout", "document"), ("limnos.json.path", "Records")]);
    let open = |separator: &str| {
        let mut properties = map(&[("quoteChar", "\""), ("escapeChar", "\\"), ("field.delim", separator)]);
        if separator != "," {
            properties.insert("separatorChar".to_owned(), separator.to_owned());
        }
        properties
    };
    for (clauses, format, properties) in [
        ("", FileFormat::Csv, lazy.clone()),
        ("STORED AS TEXTFILE", FileFormat::Csv, lazy.clone()),
        ("STORED AS CSV", FileFormat::Csv, map(&[("field.delim", ","), ("quoteChar", "\"")])),
        ("STORED AS PARQUET", FileFormat::Parquet, map(&[])),
        ("STORED AS json", FileFormat::Json, map(&[])),
        ("STORED AS JSONFILE", FileFormat::Json, map(&[])),
        ("STORED AS ARROW", FileFormat::Arrow, map(&[])),
        ("STORED AS ORC", FileFormat::Orc, map(&[])),
        ("STORED AS AVRO", FileFormat::Avro, map(&[])),
        ("ROW FORMAT DELIMITED FIELDS TERMINATED BY ','", FileFormat::Csv, map(&[("field.delim", ",")])),
        ("ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe'", FileFormat::Csv, lazy),
        ("ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'", FileFormat::Csv, open(",")),
        (
            "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar' = '|', \"quoteChar\" = \"\\\"\") STORED AS TEXTFILE",
            FileFormat::Csv,
            open("|"),
        ),
        ("ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'", FileFormat::Json, map(&[])),
        (
            "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe' WITH SERDEPROPERTIES ('a'='b')",
            FileFormat::Json,
            map(&[("a", "b")]),
        ),
        (
            "ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' \
             STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat' \
             OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat'",
            FileFormat::Parquet,
            map(&[]),
        ),
        (
            "ROW FORMAT SERDE 'org.apache.hadoop.hive.contrib.serde2.RegexSerDe' WITH SERDEPROPERTIES ('input.regex' = '(\\\\S+)')",
            FileFormat::Regex,
            map(&[("input.regex", "(\\S+)")]),
        ),
        (
            "ROW FORMAT SERDE 'com.amazonaws.glue.serde.GrokSerDe' WITH SERDEPROPERTIES ('input.format' = '%{INT:a}') \
             STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat' \
             OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'",
            FileFormat::Regex,
            map(&[("input.format", "%{INT:a}")]),
        ),
        ("ROW FORMAT SERDE 'com.amazon.emr.hive.serde.CloudTrailSerde'", FileFormat::Json, cloudtrail.clone()),
        (
            "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe' \
             STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat' \
             OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'",
            FileFormat::Json,
            cloudtrail,
        ),
        ("ROW FORMAT SERDE 'org.apache.hadoop.hive.ql.io.orc.OrcSerde'", FileFormat::Orc, map(&[])),
        ("ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.avro.AvroSerDe'", FileFormat::Avro, map(&[])),
        (
            "STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat' OUTPUTFORMAT 'x' ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'",
            FileFormat::Json,
            map(&[]),
        ),
    ] {
        let create = create_table(&format!("CREATE EXTERNAL TABLE t (a int) {clauses} LOCATION 's3://b/t/'"));
        assert_eq!((create.format, &create.serde_properties), (format, &properties), "{clauses}");
    }
}

#[test]
fn other_forms_of_tables() {
    let create = create_table("CREATE OR REPLACE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/lake/t'");
    assert_eq!((create.mode, create.columns.len()), (CreateMode::OrReplace, 0));

    let create = create_table(
        "CREATE EXTERNAL TABLE cat.db.t (a int, year int, b string) STORED AS PARQUET PARTITIONED BY (year, day) LOCATION 'x'",
    );
    assert_eq!(create.name.database.as_deref(), Some("db"));
    let names = |columns: &[limnos_catalog::Column]| {
        columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect::<Vec<_>>()
    };
    assert_eq!(names(&create.columns), ["a int", "b string"]);
    assert_eq!(names(&create.partition_keys), ["year int", "day string"]);

    let create = create_table(
        "CREATE EXTERNAL TABLE t (ts string, \"IMDB Rating\" double precision, z timestamp with time zone) \
         ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('mapping.ts' = '@timestamp')",
    );
    assert_eq!(create.columns[0].source_name.as_deref(), Some("@timestamp"));
    assert_eq!(names(&create.columns[1..]), ["imdb rating double", "z timestamp with time zone"]);

    let create = create_table("CREATE EXTERNAL TABLE t (a int) STORED AS CSV WITH HEADER ROW LOCATION 'x'");
    assert_eq!(create.parameters, map(&[("skip.header.line.count", "1")]));
}

#[test]
fn wrong_tables() {
    check_all(
        Dialect::Postgres,
        &[
            ("CREATE EXTERNAL TABLE t (a int, A int) LOCATION 'x'", "42701: column \"a\" specified more than once"),
            (
                "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (a int) LOCATION 'x'",
                "42701: column \"a\" specified more than once",
            ),
            ("CREATE EXTERNAL TABLE t (a int) STORED AS LANCE", "0A000: file format \"lance\" is not supported"),
            (
                "CREATE EXTERNAL TABLE t (a int) ROW FORMAT SERDE 'com.amazon.ionhiveserde.IonHiveSerDe'",
                "0A000: SerDe \"com.amazon.ionhiveserde.IonHiveSerDe\" is not supported",
            ),
            (
                "CREATE EXTERNAL TABLE t (a int) STORED AS INPUTFORMAT 'com.x.IonInputFormat' OUTPUTFORMAT 'y'",
                "0A000: input format \"com.x.IonInputFormat\" is not supported",
            ),
            (
                "CREATE EXTERNAL TABLE t (a int) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS PARQUET",
                "42601: ROW FORMAT DELIMITED is for text files only",
            ),
            ("CREATE OR REPLACE EXTERNAL TABLE IF NOT EXISTS t (a int)", "42601: syntax error at or near \"IF\" @34"),
            ("CREATE EXTERNAL TABLE t (a int NOT NULL)", "42601: syntax error at or near \"NOT\" @32"),
            (
                "CREATE EXTERNAL TABLE t (a array<int)",
                "42704: expected \">\" but found \")\", at character 10 of type \"array<int)\" @28",
            ),
            ("CREATE EXTERNAL TABLE t (a int) OPTIONS ('x' 'y')", "42601: syntax error at or near \"OPTIONS\" @33"),
            (
                "CREATE EXTERNAL TABLE a.b.c.d (a int)",
                "42601: improper qualified name (too many dotted names): a.b.c.d @23",
            ),
            ("CREATE EXTERNAL TABLE \"\" (a int)", "42601: zero-length delimited identifier @23"),
        ],
    );
    let error = parse("CREATE EXTERNAL TABLE t (a int, b foo)", Dialect::Postgres).unwrap_err();
    assert_eq!((error.code.sqlstate(), error.position), ("42704", Some(35)), "{error}");
}

#[test]
fn views() {
    check_all(
        Dialect::Postgres,
        &[
            (
                "CREATE VIEW v AS SELECT 1 ;",
                "VIEW ObjectName { database: None, name: \"v\" } Create [] None \"SELECT 1\"",
            ),
            (
                "CREATE OR REPLACE VIEW d.v (a, \"B\" COMMENT 'x') COMMENT 'y' AS WITH q AS (SELECT 1, 2) SELECT * FROM q",
                "VIEW ObjectName { database: Some(\"d\"), name: \"v\" } OrReplace [(\"a\", None), (\"B\", Some(\"x\"))] Some(\"y\") \"WITH q AS (SELECT 1, 2) SELECT * FROM q\"",
            ),
            (
                "CREATE VIEW IF NOT EXISTS v AS TABLE t",
                "VIEW ObjectName { database: None, name: \"v\" } IfNotExists [] None \"TABLE t\"",
            ),
            ("CREATE VIEW v AS", "42601: syntax error at end of input @17"),
            ("CREATE VIEW v AS INSERT INTO t VALUES (1)", "42601: syntax error at or near \"INSERT\" @18"),
        ],
    );
}

#[test]
fn drops_and_alterations() {
    let name = |name: &str| format!("ObjectName {{ database: None, name: {name:?} }}");
    let cases = [
        ("DROP TABLE a, b", format!("Drop {{ view: false, names: [{}, {}], if_exists: false }}", name("a"), name("b"))),
        ("DROP TABLE IF EXISTS a CASCADE", format!("Drop {{ view: false, names: [{}], if_exists: true }}", name("a"))),
        ("DROP VIEW a RESTRICT", format!("Drop {{ view: true, names: [{}], if_exists: false }}", name("a"))),
        (
            "DROP TABLE d.a",
            "Drop { view: false, names: [ObjectName { database: Some(\"d\"), name: \"a\" }], if_exists: false }".to_owned(),
        ),
        ("ALTER TABLE a RENAME TO b", format!("RenameTable {{ view: false, name: {}, to: {}, if_exists: false }}", name("a"), name("b"))),
        (
            "ALTER TABLE d.a RENAME TO b",
            "RenameTable { view: false, name: ObjectName { database: Some(\"d\"), name: \"a\" }, to: ObjectName { database: Some(\"d\"), name: \"b\" }, if_exists: false }".to_owned(),
        ),
        (
            "ALTER TABLE a ADD PARTITION (dt = '2020-01-01', n = 1) LOCATION 's3://x/' PARTITION (dt = DATE '2020-01-02', n = -2)",
            format!(
                "AddPartitions {{ table: {}, partitions: [PartitionSpec {{ values: [(\"dt\", Some(\"2020-01-01\")), (\"n\", Some(\"1\"))], location: Some(\"s3://x/\") }}, PartitionSpec {{ values: [(\"dt\", Some(\"2020-01-02\")), (\"n\", Some(\"-2\"))], location: None }}], if_not_exists: false }}",
                name("a")
            ),
        ),
        (
            "ALTER TABLE a ADD IF NOT EXISTS PARTITION (dt = NULL, b = TRUE)",
            format!(
                "AddPartitions {{ table: {}, partitions: [PartitionSpec {{ values: [(\"dt\", None), (\"b\", Some(\"true\"))], location: None }}], if_not_exists: true }}",
                name("a")
            ),
        ),
        (
            "ALTER TABLE a DROP IF EXISTS PARTITION (dt = 'x'), PARTITION (dt = 'y')",
            format!(
                "DropPartitions {{ table: {}, partitions: [[PartitionCondition {{ key: \"dt\", comparison: Equal, value: Some(\"x\") }}], [PartitionCondition {{ key: \"dt\", comparison: Equal, value: Some(\"y\") }}]], if_exists: true }}",
                name("a")
            ),
        ),
        ("ALTER TABLE a DROP PARTITION (dt < NULL)", "42601: syntax error at or near \"NULL\" @36".to_owned()),
        ("ALTER TABLE a ADD PARTITION (dt < 'x')", "0A000: only \"=\" is supported in PARTITION (...)".to_owned()),
        ("MSCK REPAIR TABLE a", format!("RepairTable {{ table: {}, add: true, drop: false }}", name("a"))),
        ("MSCK REPAIR TABLE a DROP PARTITIONS", format!("RepairTable {{ table: {}, add: false, drop: true }}", name("a"))),
        ("msck repair table a sync partitions", format!("RepairTable {{ table: {}, add: true, drop: true }}", name("a"))),
        (
            "ANALYZE TABLE a PARTITION (dt = 'x', hour) COMPUTE STATISTICS FOR COLUMNS b, c",
            format!(
                "Analyze(Analyze {{ table: {}, partition: [(\"dt\", Some(Some(\"x\"))), (\"hour\", None)], columns: Named([\"b\", \"c\"]) }})",
                name("a")
            ),
        ),
        (
            "ANALYZE TABLE a COMPUTE STATISTICS FOR ALL COLUMNS",
            format!("Analyze(Analyze {{ table: {}, partition: [], columns: All }})", name("a")),
        ),
        (
            "analyze verbose a (b)",
            format!("Analyze(Analyze {{ table: {}, partition: [], columns: Named([\"b\"]) }})", name("a")),
        ),
        ("ANALYZE verbose", format!("Analyze(Analyze {{ table: {}, partition: [], columns: None }})", name("verbose"))),
        ("SHOW STATS FOR a", format!("ShowStats {{ table: {} }}", name("a"))),
        ("SHOW STATS a", format!("ShowStats {{ table: {} }}", name("a"))),
        ("SHOW DRIFT IN a", format!("ShowDrift {{ table: {} }}", name("a"))),
        ("CRAWL 's3://b/x/'", "Crawl { location: \"s3://b/x/\", database: None }".to_owned()),
        ("CRAWL '/x' INTO DATABASE d", "Crawl { location: \"/x\", database: Some(\"d\") }".to_owned()),
        ("CRAWL '/x' INTO d", "Crawl { location: \"/x\", database: Some(\"d\") }".to_owned()),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check_all(Dialect::Postgres, &cases);
}

#[test]
fn shows() {
    let table = "ObjectName { database: None, name: \"t\" }";
    let in_d = "ObjectName { database: Some(\"d\"), name: \"t\" }";
    let cases = [
        ("SHOW DATABASES", "ShowDatabases { pattern: None }".to_owned()),
        ("SHOW SCHEMAS LIKE 'a%'", "ShowDatabases { pattern: Some(Like(\"a%\")) }".to_owned()),
        ("SHOW TABLES", "ShowTables { database: None, pattern: None, views_only: false }".to_owned()),
        (
            "SHOW TABLES IN d 'a*|b*'",
            "ShowTables { database: Some(\"d\"), pattern: Some(Hive(\"a*|b*\")), views_only: false }".to_owned(),
        ),
        (
            "SHOW TABLES FROM d LIKE 'x'",
            "ShowTables { database: Some(\"d\"), pattern: Some(Like(\"x\")), views_only: false }".to_owned(),
        ),
        ("SHOW VIEWS IN d", "ShowTables { database: Some(\"d\"), pattern: None, views_only: true }".to_owned()),
        ("SHOW COLUMNS IN t", format!("ShowColumns {{ table: {table} }}")),
        ("SHOW COLUMNS FROM t IN d", format!("ShowColumns {{ table: {in_d} }}")),
        ("SHOW COLUMNS FROM d.t", format!("ShowColumns {{ table: {in_d} }}")),
        ("SHOW PARTITIONS d.t", format!("ShowPartitions {{ table: {in_d}, partition: None }}")),
        ("SHOW CREATE TABLE t", format!("ShowCreate {{ table: {table} }}")),
        ("SHOW CREATE VIEW t", format!("ShowCreate {{ table: {table} }}")),
        ("SHOW TBLPROPERTIES t", format!("ShowTableProperties {{ table: {table}, property: None }}")),
        ("DESCRIBE t", format!("Describe {{ table: {table}, extended: false, partition: None, column: None }}")),
        ("DESC FORMATTED d.t", format!("Describe {{ table: {in_d}, extended: true, partition: None, column: None }}")),
        ("DESCRIBE EXTENDED `d.t`", format!("Describe {{ table: {in_d}, extended: true, partition: None, column: None }}")),
        ("DESCRIBE TABLE t", format!("Describe {{ table: {table}, extended: false, partition: None, column: None }}")),
        (
            "DESCRIBE extended",
            "Describe { table: ObjectName { database: None, name: \"extended\" }, extended: false, partition: None, column: None }".to_owned(),
        ),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check_all(Dialect::Postgres, &cases);
}
