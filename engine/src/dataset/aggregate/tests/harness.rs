//! Tables in memory and two sessions over them: one that aggregates on codes, one that leaves it to DataFusion.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use limnos_columnar::{Options, Table, TableBuilder};

use super::super::rule::with_aggregation_on_codes;
use crate::dataset::provider::DatasetTable;
use crate::function::{analyzer_rules, shared_aggregates, shared_functions};

/// Batches as a table, in chunks of so many rows.
pub(super) fn table(schema: &SchemaRef, batches: impl IntoIterator<Item = RecordBatch>, chunk_rows: usize) -> Table {
    let options = Options { chunk_rows, ..Options::default() };
    let mut builder = TableBuilder::new(schema, options).unwrap();
    builder.begin_part("all".to_owned()).unwrap();
    for batch in batches {
        builder.push(&batch).unwrap();
    }
    builder.end_part().unwrap();
    builder.finish().unwrap()
}

/// The two sessions.
pub(super) struct Both {
    on_codes: SessionContext,
    plain: SessionContext,
}

impl Both {
    /// Over these tables.
    pub(super) fn new(tables: &[(&str, Table)]) -> Self {
        let session = |on_codes: bool| {
            let mut config = SessionConfig::new().with_target_partitions(2).with_batch_size(1000);
            config.options_mut().sql_parser.parse_float_as_decimal = true;
            let rules = PhysicalOptimizer::new().rules;
            let rules = if on_codes { with_aggregation_on_codes(rules) } else { rules };
            let mut builder = SessionStateBuilder::new()
                .with_config(config)
                .with_default_features()
                .with_physical_optimizer_rules(rules);
            for rule in analyzer_rules() {
                builder = builder.with_analyzer_rule(rule);
            }
            let mut state = builder.build();
            for function in shared_functions() {
                state.register_udf(Arc::new(function)).unwrap();
            }
            for function in shared_aggregates() {
                state.register_udaf(Arc::new(function)).unwrap();
            }
            let context = SessionContext::new_with_state(state);
            let public = MemorySchemaProvider::new();
            for (name, table) in tables {
                public.register_table((*name).to_owned(), Arc::new(DatasetTable::new(name, table.clone()))).unwrap();
            }
            let catalog = MemoryCatalogProvider::new();
            catalog.register_schema("public", Arc::new(public)).unwrap();
            context.register_catalog("datafusion", Arc::new(catalog));
            context
        };
        Self { on_codes: session(true), plain: session(false) }
    }

    /// How the query is run.
    pub(super) async fn plan(&self, sql: &str) -> String {
        let state = self.on_codes.state();
        let plan = state.create_logical_plan(sql).await.unwrap();
        let plan = state.create_physical_plan(&plan).await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    }

    /// Holds both answers to be the same, errors too, and says how often the query was aggregated on codes.
    pub(super) async fn same(&self, sql: &str) -> usize {
        let on_codes = answer(&self.on_codes, sql).await;
        let plain = answer(&self.plain, sql).await;
        match (on_codes, plain) {
            (Ok((names, rows)), Ok((plain_names, plain_rows))) => {
                assert_eq!(names, plain_names, "{sql}");
                assert_eq!(rows.len(), plain_rows.len(), "{sql}\n{rows:?}\n{plain_rows:?}");
                for (row, plain_row) in rows.iter().zip(&plain_rows) {
                    let same = row.iter().zip(plain_row).all(|(one, other)| is_same(one, other));
                    assert!(same, "{sql}\n{row:?}\n{plain_row:?}");
                }
            }
            (Err(error), Err(plain)) => assert_eq!(error, plain, "{sql}"),
            (one, other) => panic!("{sql}\non codes: {one:?}\nplain: {other:?}"),
        }
        self.plan(sql).await.matches("DatasetAggregate").count()
    }
}

/// Floats are summed in another order.
fn is_same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(a), Ok(b)) if one.contains('.') || one.contains('e') => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        _ => false,
    }
}

type Answer = (Vec<String>, Vec<Vec<String>>);

/// Names and types of the columns, and the rows, sorted.
async fn answer(context: &SessionContext, sql: &str) -> Result<Answer, String> {
    let state = context.state();
    let plan = state.create_logical_plan(sql).await.map_err(|error| error.strip_backtrace())?;
    let frame = context.execute_logical_plan(plan).await.map_err(|error| error.strip_backtrace())?;
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(|error| error.strip_backtrace())?;
    let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &batches {
        let formatters: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(formatters.iter().map(|formatter| formatter.value(row).to_string()).collect::<Vec<_>>());
        }
    }
    rows.sort();
    Ok((columns, rows))
}
