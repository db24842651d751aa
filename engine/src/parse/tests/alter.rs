//! ALTER TABLE in the words of three dialects.

use super::*;
use crate::parse::statement::{ColumnPlace, TableAction};

/// The actions of an ALTER TABLE, or its error.
fn actions(sql: &str) -> Result<Vec<TableAction>, String> {
    match parse(sql, Dialect::Postgres) {
        Ok(mut statements) => match statements.remove(0).statement {
            Statement::AlterTable { actions, .. } => Ok(actions),
            other => panic!("{sql}: {other:?}"),
        },
        Err(error) => Err(format!("{}: {}", error.code.sqlstate(), error.message)),
    }
}

/// An action in one line: what of it matters.
fn show(action: &TableAction) -> String {
    let columns = |columns: &[limnos_catalog::Column]| {
        let one = |column: &limnos_catalog::Column| match &column.comment {
            Some(comment) => format!("{} {} '{comment}'", column.name, column.data_type),
            None => format!("{} {}", column.name, column.data_type),
        };
        columns.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    match action {
        TableAction::AddColumns { columns: added, if_not_exists } => format!("add {} {if_not_exists}", columns(added)),
        TableAction::ReplaceColumns(replaced) => format!("replace {}", columns(replaced)),
        TableAction::ChangeColumn { name, column, place } => {
            let place = match place {
                None => String::new(),
                Some(ColumnPlace::First) => " first".to_owned(),
                Some(ColumnPlace::After(after)) => format!(" after {after}"),
            };
            format!("change {name} to {}{place}", columns(std::slice::from_ref(column)))
        }
        TableAction::RenameColumn { name, to } => format!("rename {name} to {to}"),
        TableAction::ColumnType { name, data_type } => format!("type {name} {data_type}"),
        TableAction::DropColumn { name, if_exists } => format!("drop {name} {if_exists}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn actions_on_tables() {
    let cases = [
        // Hive and Athena.
        ("ADD COLUMNS (a int COMMENT 'x', `B` array<string>)", "add a int 'x', b array<string> false"),
        ("ADD COLUMNS (a int) CASCADE", "add a int false"),
        (
            "REPLACE COLUMNS (a int, b struct<c:int,d:map<string,int>>)",
            "replace a int, b struct<c:int,d:map<string,int>>",
        ),
        ("CHANGE a b int", "change a to b int"),
        ("CHANGE COLUMN a b decimal(10,2) COMMENT 'c' AFTER d RESTRICT", "change a to b decimal(10,2) 'c' after d"),
        ("CHANGE COLUMN a a string FIRST", "change a to a string first"),
        ("SET TBLPROPERTIES ('a'='b', 'c'='d')", "SetParameters({\"a\": \"b\", \"c\": \"d\"})"),
        ("UNSET TBLPROPERTIES ('a', 'b')", "UnsetParameters { names: [\"a\", \"b\"], if_exists: false }"),
        ("UNSET TBLPROPERTIES IF EXISTS ('a')", "UnsetParameters { names: [\"a\"], if_exists: true }"),
        ("SET LOCATION 's3://b/p/'", "SetLocation(\"s3://b/p/\")"),
        ("SET FILEFORMAT PARQUET", "SetFormat(Format(\"PARQUET\"))"),
        ("SET SERDE 'a.B' WITH SERDEPROPERTIES ('x'='y')", "SetSerde { class: \"a.B\", properties: {\"x\": \"y\"} }"),
        ("SET SERDEPROPERTIES ('field.delim'='\\t')", "SetSerdeProperties({\"field.delim\": \"\\t\"})"),
        ("UNSET SERDEPROPERTIES ('x')", "UnsetSerdeProperties([\"x\"])"),
        // PostgreSQL.
        ("ADD a int", "add a int false"),
        ("ADD COLUMN IF NOT EXISTS a timestamp with time zone", "add a timestamp with time zone true"),
        ("DROP COLUMN a", "drop a false"),
        ("DROP COLUMN IF EXISTS \"A\" CASCADE", "drop a true"),
        ("RENAME COLUMN a TO b", "rename a to b"),
        ("RENAME a TO b", "rename a to b"),
        ("ALTER COLUMN a TYPE bigint", "type a bigint"),
        ("ALTER a SET DATA TYPE double precision", "type a double"),
        ("OWNER TO \"Jane\"", "OwnerTo(\"Jane\")"),
        ("ADD a int, DROP b, RENAME c TO d", "add a int false; drop b false; rename c to d"),
        // Ours.
        ("RESTORE VERSION 3", "RestoreVersion(3)"),
        // Errors.
        ("ADD CONSTRAINT c CHECK (a > 0)", "0A000: ALTER TABLE ... ADD CONSTRAINT is not supported"),
        ("ADD PRIMARY KEY (a)", "0A000: ALTER TABLE ... ADD PRIMARY is not supported"),
        ("ALTER COLUMN a SET NOT NULL", "0A000: ALTER TABLE ... SET NOT is not supported"),
        ("ADD COLUMN a", "42601: column \"a\" has no type"),
        ("ADD COLUMNS ()", "42601: syntax error at or near \")\""),
        ("CHANGE a", "42601: syntax error at end of input"),
        ("RESTORE VERSION x", "42601: syntax error at or near \"x\""),
        ("SET TBLPROPERTIES ('a')", "42601: syntax error at or near \")\""),
        ("FLY", "42601: syntax error at or near \"FLY\""),
        ("ADD a nosuch", "42704: type \"nosuch\" does not exist, at character 1 of type \"nosuch\""),
    ];
    for (words, wanted) in cases {
        let got = match actions(&format!("ALTER TABLE t {words}")) {
            Ok(actions) => actions.iter().map(show).collect::<Vec<_>>().join("; "),
            Err(error) => error,
        };
        assert_eq!(got, wanted, "{words}");
    }
}

#[test]
fn other_alterations() {
    let table = "ObjectName { database: None, name: \"t\" }";
    let spec = |values: &str| format!("PartitionSpec {{ values: [{values}], location: None }}");
    let cases = [
        (
            "ALTER TABLE t SET SCHEMA d",
            format!(
                "RenameTable {{ view: false, name: {table}, to: ObjectName {{ database: Some(\"d\"), name: \"t\" }}, if_exists: false }}"
            ),
        ),
        (
            "ALTER VIEW IF EXISTS t RENAME TO t",
            format!("RenameTable {{ view: true, name: {table}, to: {table}, if_exists: true }}"),
        ),
        ("ALTER VIEW t DROP a", "42601: syntax error at or near \"DROP\" @14".to_owned()),
        (
            "ALTER TABLE t PARTITION (k = 1) RENAME TO PARTITION (k = 2)",
            format!(
                "AlterPartition {{ table: {table}, partition: {}, action: RenameTo({}) }}",
                spec("(\"k\", Some(\"1\"))"),
                spec("(\"k\", Some(\"2\"))")
            ),
        ),
        (
            "ALTER TABLE t PARTITION (k = 1) SET LOCATION 'x'",
            format!(
                "AlterPartition {{ table: {table}, partition: {}, action: SetLocation(\"x\") }}",
                spec("(\"k\", Some(\"1\"))")
            ),
        ),
        (
            "ALTER TABLE t DROP PARTITION (k >= 1, d <> NULL)",
            format!(
                "DropPartitions {{ table: {table}, partitions: [[PartitionCondition {{ key: \"k\", comparison: GreaterOrEqual, value: Some(\"1\") }}, PartitionCondition {{ key: \"d\", comparison: NotEqual, value: None }}]], if_exists: false }}"
            ),
        ),
        (
            "ALTER DATABASE d SET DBPROPERTIES ('a'='b')",
            "AlterDatabase { name: \"d\", action: SetParameters({\"a\": \"b\"}) }".to_owned(),
        ),
        ("ALTER SCHEMA d RENAME TO \"E\"", "AlterDatabase { name: \"d\", action: RenameTo(\"e\") }".to_owned()),
        ("ALTER SCHEMA d OWNER TO x", "Role(DatabaseOwner { database: \"d\", to: Named(\"x\") })".to_owned()),
        (
            "COMMENT ON TABLE t IS 'it''s'",
            format!("Comment {{ target: Table {{ view: false, name: {table} }}, text: Some(\"it's\") }}"),
        ),
        ("COMMENT ON VIEW t IS ''", format!("Comment {{ target: Table {{ view: true, name: {table} }}, text: None }}")),
        (
            "COMMENT ON COLUMN t.a IS NULL",
            format!("Comment {{ target: Column {{ table: {table}, column: \"a\" }}, text: None }}"),
        ),
        ("COMMENT ON COLUMN a IS 'x'", "42601: column name must be qualified @19".to_owned()),
        ("COMMENT ON SCHEMA d IS 'x'", "Comment { target: Database(\"d\"), text: Some(\"x\") }".to_owned()),
        ("COMMENT ON INDEX i IS 'x'", "0A000: COMMENT ON INDEX is not supported".to_owned()),
        ("SHOW VERSIONS OF t", format!("ShowVersions {{ table: {table} }}")),
        ("SHOW VERSIONS t", format!("ShowVersions {{ table: {table} }}")),
        ("SHOW TBLPROPERTIES t ('a.b')", format!("ShowTableProperties {{ table: {table}, property: Some(\"a.b\") }}")),
    ];
    let cases: Vec<(&str, &str)> = cases.iter().map(|(sql, expected)| (*sql, expected.as_str())).collect();
    check_all(Dialect::Postgres, &cases);
}
