//! COPY table FROM STDIN: rows that a client sends -> a table, by the way that INSERT's rows go.
//!
//! The server reads the client's format; what comes in here are batches of [`CopyTarget::schema`]. They are the source of a
//! plan that fills in the columns which the client doesn't send, keeps the rows that WHERE names, and has them written as one
//! write: all of them are seen when their last one is there, none before, and none if the stream ends with an error.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::sql::sqlparser::ast::SetExpr;
use futures::StreamExt;
use futures::stream::BoxStream;
use limnos_catalog::{Column, FileVersion, Reject, StorageDescriptor, Table};
use parking_lot::Mutex;

use super::execute::physical_plan;
use super::plan::{InsertTarget, PlannedWrite, WriteKind, target_columns, writable};
use super::run::{ReadyWrite, Written};
use crate::cache::NamedCache;
use crate::engine::Engine;
use crate::execute::{QueryContext, QueryRun, run_plan};
use crate::parse::{CopyIn, Insert, ParsedStatement, Statement};
use crate::plan::authorize;
use crate::plan::lake::PlanContext;
use crate::plan::query::{plan_query, session_state};
use crate::scan::format::on_error::RowPolicy;
use crate::scan::schema::{arrow_schema, arrow_type};
use crate::session::Conduct;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// Most rejected rows of one COPY that are kept, as of one file.
pub const REJECTS_KEPT_MAX: usize = 1000;

/// The table that rows are for, as the statement found it.
#[derive(Debug, Clone)]
pub struct CopyTarget {
    /// The table.
    pub table: Arc<Table>,
    storage: StorageDescriptor,
    /// The columns that the client sends, in its order.
    pub columns: Vec<Column>,
    /// Of the batches.
    pub schema: SchemaRef,
    /// What the table says of rows that are wrong.
    pub policy: RowPolicy,
}

/// A row that was left out.
#[derive(Debug, Clone)]
pub struct CopyReject {
    /// Its line, from 1.
    pub line: u64,
    /// The column whose value is wrong, if it is one column's.
    pub column: Option<String>,
    /// What is wrong.
    pub error: Error,
    /// The line, or its beginning.
    pub raw: String,
}

/// What a COPY did.
#[derive(Debug)]
pub struct Copied {
    /// Rows that were written.
    pub row_count: u64,
    /// To be told.
    pub notices: Vec<Notice>,
}

impl Engine {
    /// Finds the table and the columns of a COPY FROM STDIN, before its rows are asked for.
    ///
    /// # Errors
    /// Names that don't exist, tables that can't be written, conditions that can't be.
    pub async fn copy_target(self: &Arc<Self>, session: &Session, statement: &ParsedStatement) -> Result<CopyTarget> {
        let Statement::CopyIn(copy) = &statement.statement else { return Err(not_a_copy()) };
        Conduct::of(&statement.statement).check(session)?;
        authorize::statement::check(&self.rights(session), session, &statement.statement)?;
        let detached = QueryContext::detached("copy");
        let cancel = detached.cancel.clone();
        // Who drops this future has no use for the plan.
        let _abandoned = cancel.clone().drop_guard();
        let context = self.plan_context(session, QueryRun::new(detached));
        let copy = copy.clone();
        let found = self.cpu.plan(&cancel, async move {
            let target = target(&context, &copy)?;
            // A condition that can't be is told before the client has sent its rows.
            condition(context, &copy).await?;
            Ok(target)
        });
        found.await.map_err(|error| crate::parse::locate::locate(error, statement, session.settings.dialect()))
    }

    /// Writes `rows` into the table of a COPY FROM STDIN. Dropping the future stops it, and nothing of it is seen.
    ///
    /// # Errors
    /// Those of `rows`, and those of INSERT. Nothing is written then.
    pub async fn copy_in(
        self: &Arc<Self>,
        session: &mut Session,
        statement: &ParsedStatement,
        target: CopyTarget,
        rows: BoxStream<'static, Result<arrow::array::RecordBatch>>,
        context: QueryContext,
    ) -> Result<Copied> {
        let Statement::CopyIn(copy) = &statement.statement else { return Err(not_a_copy()) };
        let run = QueryRun::limited(context, self.scan_limit(session));
        let plan_context = self.plan_context(session, Arc::clone(&run));
        let source = Sent { schema: Arc::clone(&target.schema), rows: Mutex::new(Some(rows)) };
        let work = plan(plan_context, copy.clone(), target, source);
        let (mut ready, physical) = self.cpu.plan(&run.cancel, Box::pin(work)).await?;
        ready.block.clone_from(&session.pinned);
        let batches = run_plan(&self.cpu, &run, physical, Arc::clone(&ready.task));
        // Who drops this future stops the write, which then takes back what it has written.
        let written = self.cpu.run(Box::pin(ready.run(batches))).await;
        // What was written is seen by the next statement, whatever listings a table lets be kept.
        self.shared.scan.listings.clear();
        let Written { row_count, pending, .. } = written?;
        if let Some((changes, write)) = pending {
            session.change(self.catalog(), changes, Some(write)).await?;
        }
        Ok(Copied { row_count, notices: run.notices() })
    }

    /// Keeps rows that a COPY has left out, for `system.rejects`. Its query's id stands for the file.
    pub fn keep_copy_rejects(&self, target: &CopyTarget, query_id: &str, rejects: &[CopyReject]) {
        let file = FileVersion { location: format!("stdin:{query_id}"), version: String::new() };
        for reject in rejects.iter().take(REJECTS_KEPT_MAX) {
            self.shared.scan.rejects.tell(Reject {
                table_id: target.table.id,
                table_version: target.table.version,
                file: file.clone(),
                offset: reject.line,
                line: Some(reject.line),
                column: reject.column.clone(),
                sqlstate: reject.error.code.sqlstate().to_owned(),
                reason: reject.error.message.clone(),
                raw: reject.raw.clone(),
            });
        }
    }
}

fn not_a_copy() -> Error {
    Error::internal("not a COPY FROM STDIN")
}

fn target(context: &PlanContext, copy: &CopyIn) -> Result<CopyTarget> {
    let (table, storage) = writable(context, &copy.table).map_err(|error| match error.code {
        ErrorCode::ObjectNotInPrerequisiteState => {
            Error::new(ErrorCode::WrongObjectType, format!("cannot copy to view \"{}\"", copy.table.name))
                .with_hint("Copy to the table that it reads.")
        }
        _ => error,
    })?;
    let insert = Insert {
        table: copy.table.clone(),
        columns: copy.columns.clone(),
        overwrite: false,
        partition: Vec::new(),
        properties: Vec::new(),
        query: copy.query.clone(),
    };
    let columns: Vec<Column> = target_columns(&table, &insert)?.into_iter().cloned().collect();
    let (schema, policy) = (arrow_schema(&columns), RowPolicy::of(&table)?);
    Ok(CopyTarget { table, storage, columns, schema, policy })
}

async fn plan(
    context: PlanContext,
    copy: Box<CopyIn>,
    target: CopyTarget,
    source: Sent,
) -> Result<(ReadyWrite, Arc<dyn ExecutionPlan>)> {
    let CopyTarget { table, storage, columns, schema, .. } = target;
    let (predicate, mut state) = condition(context.clone(), &copy).await?;
    // The rows' order is the client's, and stays so.
    state.config_mut().options_mut().execution.target_partitions = 1;
    let provider = StreamingTable::try_new(schema, vec![Arc::new(source)])?;
    let plan = LogicalPlanBuilder::scan("stdin", provider_as_source(Arc::new(provider)), None)?;
    let sources = plan.schema().columns();
    let expr = |column: &Column| {
        let sent = columns.iter().position(|sent| sent.name == column.name);
        let expr = match sent {
            Some(index) => Expr::Column(sources[index].clone()),
            None => cast(lit(ScalarValue::Null), arrow_type(&column.data_type)),
        };
        expr.alias(&column.name)
    };
    let exprs: Vec<Expr> = table.columns.iter().chain(&table.partition_keys).map(expr).collect();
    let mut plan = plan.project(exprs)?;
    for predicate in predicate {
        plan = plan.filter(predicate)?;
    }
    let plan = super::order::sorted(plan.build()?, &table)?;
    let partitions = context.shared.partitions(&context.snapshot, &table, context.now)?;
    let insert = InsertTarget { table, storage, overwrite: false, partition: None, bookmark: None };
    let planned = PlannedWrite { plan, state, target: WriteKind::Insert(Box::new(insert)) };
    let physical = Box::pin(physical_plan(&planned, &[], &context.run)).await?;
    let (shared, run, snapshot) =
        (Arc::clone(&context.shared), Arc::clone(&context.run), Arc::clone(&context.snapshot));
    let ready = Box::pin(ReadyWrite::new(shared, run, planned, &physical, Some(partitions), &snapshot)).await?;
    Ok((ready, physical))
}

/// What WHERE says of the table's columns, and the state that it was planned in.
async fn condition(context: PlanContext, copy: &CopyIn) -> Result<(Vec<Expr>, SessionState)> {
    let has_condition = matches!(copy.query.body.as_ref(),
        SetExpr::Select(select) if select.selection.is_some());
    if !has_condition {
        return Ok((Vec::new(), session_state(context)?));
    }
    let planned = plan_query(context, &copy.query).await.map_err(|mut error| {
        if error.code == ErrorCode::GroupingError && error.message.ends_with(" in WHERE") {
            error.message = error.message.replace(" in WHERE", " in COPY FROM WHERE conditions");
        }
        error
    })?;
    let mut predicates = Vec::new();
    let mut other = None;
    planned.plan.apply(|node| {
        match node {
            LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::TableScan(_) => {}
            LogicalPlan::Filter(filter) => predicates.push(unnormalize_col(filter.predicate.clone())),
            LogicalPlan::Aggregate(_) => other = Some("aggregate functions are"),
            LogicalPlan::Window(_) => other = Some("window functions are"),
            _ => other = other.or(Some("other clauses are")),
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some(what) = other {
        let message = format!("{what} not allowed in COPY FROM WHERE conditions");
        return Err(Error::new(ErrorCode::GroupingError, message));
    }
    let is_query = |expr: &Expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)));
    if predicates.iter().any(|predicate| predicate.exists(is_query).unwrap_or(true)) {
        return Err(Error::unsupported("cannot use subquery in COPY FROM WHERE condition"));
    }
    Ok((predicates, planned.state))
}

/// The client's rows as the source of a plan, which takes them once.
struct Sent {
    schema: SchemaRef,
    rows: Mutex<Option<BoxStream<'static, Result<arrow::array::RecordBatch>>>>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sent")
    }
}

impl PartitionStream for Sent {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().take().unwrap_or_else(|| futures::stream::empty().boxed());
        let rows = rows.map(|batch| batch.map_err(crate::error::to_datafusion));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
