//! What psql sends for its meta-commands, run against a small lake: every statement plans and runs, columns have
//! PostgreSQL's names, and rows are what psql would show.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType as Arrow, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use limnos_catalog::{
    Column, DataType, Database, FileFormat, Snapshot, StorageDescriptor, Table, TableDefinition, TableKind, TableName,
};

use tokio_util::sync::CancellationToken;

use super::output_name::apply;
use super::rewrite::rewrite_query;
use super::*;
use crate::function::{FunctionContext, analyzer_rules, register_all, table_functions};
use crate::input::InputContext;
use crate::plan::information_schema::InformationSchema;
use crate::plan::options::StatementOptions;

fn table(
    id: i64,
    name: &str,
    kind: TableKind,
    columns: &[(&str, DataType, Option<&str>)],
    comment: Option<&str>,
) -> Table {
    let columns = columns.iter().map(|(name, data_type, comment)| {
        let mut column = Column::new(*name, data_type.clone());
        column.comment = comment.map(str::to_owned);
        column
    });
    Table {
        id,
        name: TableName { database: "default".to_owned(), name: name.to_owned() },
        version: 1,
        partitions_version: 1,
        partition_count: 0,
        data_version: 0,
        created_at_ms: 0,
        updated_at_ms: 0,
        definition: Arc::new(TableDefinition {
            kind,
            columns: columns.collect(),
            partition_keys: Vec::new(),
            parameters: BTreeMap::new(),
            comment: comment.map(str::to_owned),
            owner: "limnos".to_owned(),
        }),
    }
}

fn snapshot() -> Arc<Snapshot> {
    let files = || {
        TableKind::External(StorageDescriptor {
            location: "file:///lake/".to_owned(),
            format: FileFormat::Parquet,
            serde: None,
            properties: BTreeMap::new(),
        })
    };
    let tables = [
        table(
            1,
            "orders",
            files(),
            &[
                ("o_orderkey", DataType::BigInt, None),
                ("o_totalprice", DataType::Decimal(15, 2), None),
                ("o_orderdate", DataType::Date, None),
            ],
            None,
        ),
        table(
            2,
            "lineitem",
            files(),
            &[
                ("l_orderkey", DataType::BigInt, None),
                ("l_extendedprice", DataType::Decimal(15, 2), None),
                ("l_shipdate", DataType::Date, Some("date shipped")),
                ("l_shipmode", DataType::String, None),
                ("l_comment", DataType::Varchar(200), None),
            ],
            Some("TPC-H-like line items"),
        ),
        table(
            3,
            "v_orders_daily",
            TableKind::View {
                sql: "SELECT o_orderdate, count(*) AS n FROM orders GROUP BY o_orderdate".to_owned(),
                database: "default".to_owned(),
            },
            &[("o_orderdate", DataType::Date, None), ("n", DataType::BigInt, None)],
            None,
        ),
    ];
    let database = |id, name: &str| {
        (
            name.to_owned(),
            Arc::new(Database {
                id,
                name: name.to_owned(),
                comment: None,
                location: None,
                parameters: BTreeMap::new(),
            }),
        )
    };
    Arc::new(Snapshot {
        version: 1,
        databases: BTreeMap::from([database(1, "default"), database(2, "sales")]),
        tables: tables.into_iter().map(|table| (table.name.clone(), Arc::new(table))).collect(),
        ..Snapshot::default()
    })
}

pub(crate) struct Lake {
    state: SessionState,
}

impl Lake {
    pub(crate) fn open() -> Self {
        let snapshot = snapshot();
        let mut session = SessionInfo::new("limnos", "lake", "default");
        session.settings.set("TimeZone", &["Europe/Berlin".to_owned()]).unwrap();
        session.settings.set("search_path", &["public".to_owned()]).unwrap();
        let session = Arc::new(session);
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema("lake", "public")
            .with_create_default_catalog_and_schema(false);
        config.options_mut().extensions.insert(StatementOptions {
            input: InputContext::default(),
            caller: Some(FunctionContext::new(&snapshot, &session, None)),
            cancel: CancellationToken::new(),
            dataset_aggregation: true,
        });
        let mut builder = SessionStateBuilder::new().with_config(config).with_default_features();
        for rule in analyzer_rules() {
            builder = builder.with_analyzer_rule(rule);
        }
        let mut state = builder.build();
        register_all(&mut state).unwrap();
        let context = SessionContext::new_with_state(state);
        for (name, function) in table_functions().unwrap() {
            context.register_udtf(name, function);
        }
        let public = MemorySchemaProvider::new();
        for table in snapshot.tables.values() {
            let fields = table.columns.iter().map(|column| {
                let data_type = match column.data_type {
                    DataType::BigInt => Arrow::Int64,
                    DataType::Decimal(p, s) => Arrow::Decimal128(p, s as i8),
                    DataType::Date => Arrow::Date32,
                    _ => Arrow::Utf8,
                };
                Field::new(&column.name, data_type, true)
            });
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            public.register_table(table.name.name.clone(), Arc::new(EmptyTable::new(schema))).unwrap();
        }
        let lake = MemoryCatalogProvider::new();
        lake.register_schema("public", Arc::new(public)).unwrap();
        lake.register_schema("pg_catalog", Arc::new(PgCatalogSchema::new(&snapshot, Arc::clone(&session)))).unwrap();
        lake.register_schema("information_schema", Arc::new(InformationSchema::new(&snapshot, &session))).unwrap();
        context.register_catalog("lake", Arc::new(lake));
        Self { state: context.state() }
    }

    pub(crate) async fn try_query(&self, sql: &str) -> Result<(Vec<String>, Vec<RecordBatch>), String> {
        let Statement::Query(mut query) =
            Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|e| e.to_string())?.remove(0)
        else {
            return Err("not a query".to_owned());
        };
        let names = rewrite_query(&mut query);
        let rewritten = query.to_string();
        let explain =
            |error: datafusion::error::DataFusionError| format!("{}\n   {rewritten}", error.strip_backtrace());
        let statement = DataFusionStatement::Statement(Box::new(Statement::Query(query)));
        let plan = self.state.statement_to_plan(statement).await.map_err(explain)?;
        let columns: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let columns = apply(&names, &columns);
        let batches = SessionContext::new_with_state(self.state.clone())
            .execute_logical_plan(plan)
            .await
            .map_err(explain)?
            .collect()
            .await
            .map_err(explain)?;
        Ok((columns, batches))
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let (_, batches) = self.try_query(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = Vec::new();
        for batch in &batches {
            let columns: Vec<_> =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            rows.extend(
                (0..batch.num_rows()).map(|i| columns.iter().map(|column| column.value(i).to_string()).collect()),
            );
        }
        rows
    }

    pub(crate) async fn value(&self, sql: &str) -> String {
        self.rows(sql).await.concat().join("|")
    }
}

/// psql's own statements, one block a command: `-- command`, `-- columns: a, b`, then the statement.
const PSQL: &str = include_str!("../../../../sql/clients/psql15.sql");

#[tokio::test(flavor = "multi_thread")]
async fn psql_meta_commands_run_and_have_postgresql_columns() {
    let lake = Lake::open();
    let mut failures = Vec::new();
    let mut count = 0;
    for block in PSQL.split("\n\n").filter(|block| block.contains("-- columns: ")) {
        count += 1;
        let (head, sql) = block.split_once("-- columns: ").unwrap();
        let (columns, sql) = sql.split_once('\n').unwrap();
        let columns: Vec<&str> = columns.split(", ").collect();
        match lake.try_query(sql).await {
            Ok((found, _)) if found == columns => {}
            Ok((found, _)) => failures.push(format!("{head}: {found:?} instead of {columns:?}")),
            Err(error) => failures.push(format!("{head}: {error}")),
        }
    }
    assert!(count > 60, "only {count} statements were found");
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn describing_a_table_gives_what_psql_shows() {
    let lake = Lake::open();
    let oid = lake.value("SELECT 'public.lineitem'::pg_catalog.regclass::pg_catalog.oid").await;
    assert_eq!(oid, "100002");
    assert_eq!(lake.value(&format!("select c.oid::regclass from pg_class c where c.oid = '{oid}'")).await, "lineitem");
    let rows = lake
        .rows(&format!(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT c.collname FROM pg_catalog.pg_collation c, \
             pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation, \
             pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = '{oid}' AND a.attnum > 0 \
             AND NOT a.attisdropped ORDER BY a.attnum"
        ))
        .await;
    let wanted = [
        ["l_orderkey", "bigint", "NULL", "NULL"],
        ["l_extendedprice", "numeric(15,2)", "NULL", "NULL"],
        ["l_shipdate", "date", "NULL", "date shipped"],
        ["l_shipmode", "text", "NULL", "NULL"],
        ["l_comment", "character varying(200)", "NULL", "NULL"],
    ];
    assert_eq!(rows, wanted);
    assert_eq!(
        lake.value("select pg_get_viewdef('v_orders_daily'::regclass, true)").await,
        "SELECT o_orderdate, count(*) AS n FROM orders GROUP BY o_orderdate;"
    );
    assert_eq!(lake.value(&format!("select obj_description({oid}, 'pg_class')")).await, "TPC-H-like line items");
}

#[tokio::test(flavor = "multi_thread")]
async fn correlated_subqueries_become_joins_that_match_rows() {
    let lake = Lake::open();
    // The subquery is one that a LEFT JOIN has to take the place of: unequal, unaggregated, correlated.
    let rows = lake
        .rows("select n.nspname, (select c.relname from pg_class c where c.relnamespace = n.oid and c.relname = 'orders' and c.oid <> n.oid) \
               from pg_namespace n where n.nspname in ('public', 'sales') order by 1")
        .await;
    assert_eq!(rows, [["public", "orders"], ["sales", "NULL"]]);
    // Over a relation without rows an aggregate still has one, and what stands beside it is computed.
    assert_eq!(
        lake.value("select count(*), (select count(*) from pg_namespace where nspname = 'sales') from pg_policy").await,
        "0|1"
    );
    assert_eq!(
        lake.value("select (select max(polname) from pg_policy), (select polname from pg_policy)").await,
        "NULL|NULL"
    );
    let rows = lake
        .rows("select n.nspname, array(select c.relname from pg_class c where c.relnamespace = n.oid order by 1) from pg_namespace n \
               where n.nspname in ('public', 'sales') order by 1")
        .await;
    assert_eq!(rows, [["public", "[lineitem, orders, v_orders_daily]"], ["sales", "[]"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_functions_answer() {
    let lake = Lake::open();
    for (sql, wanted) in [
        (
            "select current_user, session_user, user, current_database(), current_catalog, current_schema, current_schema()",
            "limnos|limnos|limnos|lake|lake|public|public",
        ),
        ("select current_schemas(true)", "[pg_catalog, public]"),
        ("select current_setting('timezone'), current_setting('nothing', true)", "Europe/Berlin|NULL"),
        (
            "select has_table_privilege('lineitem', 'SELECT'), has_table_privilege('limnos', 'public.orders', 'insert')",
            "true|true",
        ),
        (
            "select 'lineitem'::regclass, 'int4'::regtype, 'integer'::regtype::text, 'pg_catalog'::regnamespace::text",
            "lineitem|integer|integer|pg_catalog",
        ),
        ("select to_regclass('nothing'), to_regclass('orders')::text", "NULL|orders"),
        ("select pg_typeof(1::int), pg_typeof('a'::text), pg_typeof(1.5::numeric(3,1))", "integer|text|numeric"),
        ("select quote_ident('Order'), quote_literal('it''s'), format('%s %I', 'a', 'B')", "\"Order\"|'it''s'|a \"B\""),
        ("select array_to_string(array['a', null, 'b'], ',', '-')", "a,-,b"),
        (
            "select to_char(timestamp '2024-03-05 15:04:09', 'DD Mon YYYY HH24:MI'), to_char(1234.5, 'FM9,999.00')",
            "05 Mon|1,234.50",
        ),
        ("select 1 as a, 1, 1, null, null", "1|1|1|NULL|NULL"),
        ("select arrow_typeof(x) from (select 1 as x) t", "Int32"),
        (
            "select exists(select 1 from pg_constraint k where k.conrelid = c.oid and 1 = any(k.conkey)) from pg_class c where c.relname = 'orders'",
            "false",
        ),
        ("select indexrelid from pg_index where indisprimary = 't'", ""),
        (
            "select r.r from (select s.r from generate_series(1, array_upper(current_schemas(false), 1)) as s(r)) as r",
            "1",
        ),
        ("select (information_schema._pg_expandarray(i.indkey)).n from pg_index i", ""),
        ("select c.xmin, c.tableoid from pg_class c where c.relname = 'orders'", "1|1259"),
        ("select generate_subscripts(array['a', 'b'], 1)", "1|2"),
        ("select generate_series(1, 3)", "1|2|3"),
        ("select s from generate_series(1, 2) s", "1|2"),
        ("select count from (select count(*) from pg_namespace where nspname = 'public') x", "1"),
        ("select count(*) from information_schema.tables where table_schema = 'public'", "3"),
        (
            "select column_name, data_type from information_schema.columns where table_name = 'orders' and ordinal_position = 2",
            "o_totalprice|numeric",
        ),
    ] {
        let wanted = wanted.replace("05 Mon", "05 Mar 2024 15:04");
        assert_eq!(lake.value(sql).await, wanted, "{sql}");
    }
    for (sql, wanted) in [
        ("select 'nothing'::regclass", "relation \"nothing\" does not exist"),
        ("select current_setting('nothing')", "unrecognized configuration parameter \"nothing\""),
        ("select has_table_privilege('orders', 'fly')", "unrecognized privilege type: \"fly\""),
    ] {
        let error = lake.try_query(sql).await.unwrap_err();
        assert!(error.contains(wanted), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_catalog_relation_can_be_read() {
    let lake = Lake::open();
    for relation in RELATIONS.iter() {
        let sql = format!("select * from {}.{}", relation.schema, relation.name);
        let (columns, _) = lake.try_query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let wanted: Vec<&str> = relation.columns.iter().map(|column| column.name).collect();
        assert_eq!(columns, wanted, "{sql}");
    }
}

/// The rows of psql's listings; `-- columns: ` blocks are found by a piece of their text.
#[tokio::test(flavor = "multi_thread")]
async fn listings_show_what_there_is() {
    let lake = Lake::open();
    let statement = |number: &str| {
        let block = PSQL.split("\n\n").find(|block| block.contains(&format!("-- {number}\n"))).unwrap();
        block.split_once("-- columns: ").unwrap().1.split_once('\n').unwrap().1
    };
    for (command, number, wanted) in [
        ("\\l", "0002", "lake|limnos|UTF8|C|C.UTF-8|NULL|libc|"),
        ("\\d", "0004", "public|lineitem|table|limnos|public|orders|table|limnos|public|v_orders_daily|view|limnos"),
        ("\\dt line*", "0008", "public|lineitem|table|limnos"),
        ("\\d lineitem", "0011", "100002|public|lineitem"),
        ("\\d lineitem", "0014", ""),
        ("\\dv", "0031", "public|v_orders_daily|view|limnos"),
        ("\\dn", "0032", "public|limnos|sales|limnos"),
        ("\\du", "0035", "limnos|t|t|t|t|t|-1|NULL|[]|f|t"),
        ("\\df", "0036", ""),
    ] {
        let shown = lake.value(statement(number)).await.replace("true", "t").replace("false", "f");
        assert_eq!(shown.trim_end_matches("NULL"), wanted.trim_end_matches("NULL"), "{command}");
    }
    let upper = lake.rows(statement("0039")).await;
    assert!(upper.contains(&["pg_catalog", "upper", "text", "text", "func"].map(str::to_owned).to_vec()), "{upper:?}");
}

/// Functions, too, must be the ones of the registry that the state asks.
#[test]
fn functions_are_registered_under_their_names() {
    let lake = Lake::open();
    for name in ["format_type", "regclassin", "pg_sleep", "to_char", "repeat", "generate_series"] {
        assert!(lake.state.udf(name).is_ok(), "{name}");
    }
    assert!(lake.state.udaf("sum").is_ok());
}
