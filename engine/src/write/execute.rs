//! A statement that writes, from its text to its tag.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::physical_plan::ExecutionPlan;
use limnos_catalog::{Change, CreateMode, TableKind};

use super::definition::{self, NewTable};
use super::plan::{PlannedWrite, WriteKind, plan_write, resolve_name};
use super::run::{ReadyWrite, Written};
use crate::execute::{CpuRuntime, QueryRun, run_plan, stoppable};
use crate::parse::{CreateTableAs, ParsedStatement, Statement};
use crate::plan::lake::PlanContext;
use crate::plan::query::bind;
use crate::{CommandTag, Error, ErrorCode, Notice, Result, Session};

/// What is left to do after planning.
enum Planned {
    /// Nothing but to tell that the table is there.
    Exists(Notice),
    /// A table without rows.
    Empty(Box<NewTable>),
    /// Rows.
    Rows(Box<ReadyWrite>, Arc<dyn ExecutionPlan>),
}

/// Carries out INSERT and CREATE TABLE.
///
/// # Errors
/// Whatever keeps the rows from being written; then nothing is.
pub(crate) async fn execute(
    cpu: &CpuRuntime,
    context: PlanContext,
    session: &mut Session,
    statement: Arc<ParsedStatement>,
    parameters: Vec<ArrayRef>,
) -> Result<(CommandTag, Vec<Notice>)> {
    let is_insert = matches!(statement.statement, Statement::Insert(_));
    let word = match &statement.statement {
        Statement::Insert(_) => "INSERT",
        Statement::CreateTableAs(create) if create.query.is_some() => "CREATE TABLE AS",
        _ => "CREATE TABLE",
    };
    let (shared, run) = (Arc::clone(&context.shared), Arc::clone(&context.run));
    let planned = cpu.plan(&run.cancel, Box::pin(plan(context, Arc::clone(&statement), parameters))).await?;
    let tag = match planned {
        Planned::Exists(notice) => return Ok((CommandTag::Plain(word.to_owned()), vec![notice])),
        Planned::Empty(new) => {
            let change = Change::CreateTable { name: new.name, definition: new.definition, mode: new.mode };
            session.change(&shared.catalog, vec![change], None).await?;
            word.to_owned()
        }
        Planned::Rows(mut ready, physical) => {
            ready.block.clone_from(&session.pinned);
            let Written { row_count, pending, is_skipped } = write(cpu, &run, *ready, physical).await?;
            if let Some((changes, write)) = pending {
                session.change(&shared.catalog, changes, Some(write)).await?;
            }
            if is_skipped {
                return Ok((CommandTag::Plain(word.to_owned()), vec![exists(&statement)]));
            }
            if is_insert { format!("INSERT 0 {row_count}") } else { format!("SELECT {row_count}") }
        }
    };
    let mut notices = run.notices();
    if let Statement::CreateTableAs(create) = &statement.statement
        && create.is_constrained
    {
        let message = format!("constraints of table \"{}\" are not enforced", create.table.name.name);
        notices.push(Notice::notice(message));
    }
    Ok((CommandTag::Plain(tag), notices))
}

/// Runs the plan and writes its rows, on the CPU runtime: encoding computes.
async fn write(
    cpu: &CpuRuntime,
    run: &Arc<QueryRun>,
    ready: ReadyWrite,
    physical: Arc<dyn ExecutionPlan>,
) -> Result<Written> {
    let task = Arc::clone(&ready.task);
    let batches = run_plan(cpu, run, physical, task);
    // Who drops this future stops the write, which then takes back what it has written.
    cpu.run(Box::pin(ready.run(batches))).await
}

async fn plan(context: PlanContext, statement: Arc<ParsedStatement>, parameters: Vec<ArrayRef>) -> Result<Planned> {
    if let Statement::CreateTableAs(create) = &statement.statement {
        let name = resolve_name(&context, &create.table.name);
        context.snapshot.database(&name.database)?;
        match (context.snapshot.find_table(&name), create.table.mode) {
            (Some(_), CreateMode::IfNotExists) => return Ok(Planned::Exists(exists(&statement))),
            (Some(taken), _) => {
                let message = format!("{} \"{}\" already exists", taken.kind.noun(), taken.name);
                return Err(Error::new(ErrorCode::DuplicateTable, message));
            }
            (None, _) => {}
        }
        if create.query.is_none() {
            return Ok(Planned::Empty(Box::new(empty_table(&context, create)?)));
        }
    }
    let planned = Box::pin(plan_write(context.clone(), &statement.statement)).await?;
    if let WriteKind::New(new) = &planned.target
        && !new.with_data
    {
        return Ok(Planned::Empty(new.clone()));
    }
    let physical = Box::pin(physical_plan(&planned, &parameters, &context.run)).await?;
    if let Some(limit) = context.run.scan_limit() {
        limit.check(&physical, &context.run).await?;
    }
    let partitions = match &planned.target {
        WriteKind::Insert(insert) => Some(context.shared.partitions(&context.snapshot, &insert.table, context.now)?),
        WriteKind::New(_) => None,
    };
    let (shared, run, snapshot) =
        (Arc::clone(&context.shared), Arc::clone(&context.run), Arc::clone(&context.snapshot));
    let ready = Box::pin(ReadyWrite::new(shared, run, planned, &physical, partitions, &snapshot)).await?;
    Ok(Planned::Rows(Box::new(ready), physical))
}

/// The plan of a write's rows.
///
/// # Errors
/// Those of the optimizer and the planner.
pub(crate) async fn physical_plan(
    planned: &PlannedWrite,
    parameters: &[ArrayRef],
    run: &Arc<QueryRun>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let state = &planned.state;
    let plan = bind(planned.plan.clone(), parameters)?;
    let plan = state.optimize(&plan)?;
    let physical = state.query_planner().create_physical_plan(&plan, state).await?;
    Ok(stoppable(physical, &run.cancel)?)
}

/// The table of a CREATE TABLE without a query.
fn empty_table(context: &PlanContext, create: &CreateTableAs) -> Result<NewTable> {
    let new = definition::new_table(context, create, create.table.columns.clone())?;
    debug_assert!(matches!(new.definition.kind, TableKind::External(_)), "a table has files");
    Ok(new)
}

fn exists(statement: &ParsedStatement) -> Notice {
    let name = match &statement.statement {
        Statement::CreateTableAs(create) => create.table.name.name.as_str(),
        _ => "",
    };
    Notice { severity: "NOTICE", sqlstate: "42P07", message: format!("relation \"{name}\" already exists, skipping") }
}
