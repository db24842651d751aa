//! The statements that make rows: CREATE, REFRESH, and ALTER of an option that the rows depend on.

use std::sync::Arc;

use limnos_catalog::{
    Change, Column, CreateMode, DatasetSource, IngestionTrigger, Privilege, Table, TableDefinition, TableKind,
    TableName,
};

use super::kept::mark_of;
use super::refresh::{self, Refreshed, Request};
use crate::command::dataset::{apply, defaults, set_options, tag};
use crate::command::{VIEW_DIALECT, resolve_table_name};
use crate::engine::{Engine, output_schema};
use crate::execute::{QueryContext, QueryRun};
use crate::parse::dataset::{CreateDataset, CreateSource, DatasetAction, DatasetStatement};
use crate::parse::{Dialect, ObjectName};
use crate::plan::query::plan_query;
use crate::scan::schema::catalog_field_type;
use crate::{CommandTag, Error, ErrorCode, Notice, Result, Session};

/// What a statement about a dataset's rows answers.
pub(crate) struct Answer {
    pub(crate) tag: CommandTag,
    pub(crate) notices: Vec<Notice>,
    /// Has notices for the end: what was left out.
    pub(crate) run: Arc<QueryRun>,
}

/// Whether `statement` makes rows, so that it is for here; the others are commands.
pub(crate) fn makes_rows(engine: &Engine, session: &Session, statement: &DatasetStatement) -> bool {
    match statement {
        DatasetStatement::Create(_) | DatasetStatement::Refresh { .. } => true,
        DatasetStatement::Alter {
            name, action: action @ (DatasetAction::Set(_) | DatasetAction::Reset(_)), ..
        } => {
            let snapshot = engine.catalog().snapshot();
            let Some(table) = snapshot.find_table(&resolve_table_name(session, name)) else { return false };
            let mut definition = (*table.definition).clone();
            apply(&mut definition, action, 0).is_ok() && mark_of(&definition) != mark_of(&table.definition)
        }
        DatasetStatement::Alter { .. }
        | DatasetStatement::Drop { .. }
        | DatasetStatement::Show { .. }
        | DatasetStatement::ShowCreate { .. } => false,
    }
}

/// Carries it out.
///
/// # Errors
/// Those of the source and of the catalog; what was there stays.
pub(crate) async fn execute(
    engine: &Arc<Engine>,
    session: &Session,
    statement: &DatasetStatement,
    context: QueryContext,
) -> Result<Answer> {
    let run = QueryRun::limited(context, engine.scan_limit(session));
    let mut notices = Vec::new();
    let tag = match statement {
        DatasetStatement::Create(create) => Box::pin(self::create(engine, session, create, &run, &mut notices)).await?,
        DatasetStatement::Refresh { name, full, with_data, spelling } => {
            let name = resolve_table_name(session, name);
            if *with_data {
                let trigger = session.ingestion.unwrap_or(match session.due_at_ms {
                    Some(_) => IngestionTrigger::Schedule,
                    None => IngestionTrigger::Statement,
                });
                let request = Request { session: session.clone(), run: Arc::clone(&run), trigger, full: *full };
                let refreshed = Box::pin(refresh::refresh(Arc::clone(engine), request, name.clone())).await?;
                if *spelling == limnos_catalog::DatasetSpelling::Dataset {
                    notices.push(told(&name, &refreshed));
                }
            } else {
                Box::pin(refresh::empty(engine, &name)).await?;
            }
            tag("REFRESH", *spelling)
        }
        DatasetStatement::Alter { name, action, spelling, .. } => {
            Box::pin(alter(engine, session, name, action, &run)).await?;
            tag("ALTER", *spelling)
        }
        other => return Err(Error::internal(format!("makes no rows: {other:?}"))),
    };
    notices.extend(run.notices());
    Ok(Answer { tag: CommandTag::Plain(tag), notices, run })
}

/// What a refresh did, in a sentence.
fn told(name: &TableName, refreshed: &Refreshed) -> Notice {
    let counts = &refreshed.counts;
    if !refreshed.is_changed {
        return Notice::notice(format!("dataset \"{name}\" is up to date at version {}", refreshed.version));
    }
    let files = match counts.files_added + counts.files_changed + counts.files_removed + counts.files_unchanged {
        0 => String::new(),
        _ => format!(
            ", files added {}, changed {}, removed {}, unchanged {}",
            counts.files_added, counts.files_changed, counts.files_removed, counts.files_unchanged
        ),
    };
    Notice::notice(format!(
        "dataset \"{name}\" has {} rows at version {} (read {}{files})",
        refreshed.rows, refreshed.version, counts.rows_read
    ))
}

async fn create(
    engine: &Arc<Engine>,
    session: &Session,
    create: &CreateDataset,
    run: &Arc<QueryRun>,
    notices: &mut Vec<Notice>,
) -> Result<String> {
    let (name, spelling) = (resolve_table_name(session, &create.name), create.spelling);
    let snapshot = engine.catalog().snapshot();
    snapshot.database(&name.database)?;
    let existing = snapshot.find_table(&name).cloned();
    match (&existing, create.mode) {
        (None, _) => {}
        (Some(_), CreateMode::IfNotExists) => {
            let message = format!("relation \"{}\" already exists, skipping", name.name);
            notices.push(Notice { severity: "NOTICE", sqlstate: "42P07", message });
            return Ok(tag("CREATE", spelling));
        }
        (Some(taken), CreateMode::OrReplace) if taken.kind.dataset().is_some() => {}
        (Some(taken), CreateMode::OrReplace) => {
            let (message, is) = (format!("\"{}\" is not a {}", name, spelling.noun()), taken.kind.noun());
            return Err(Error::new(ErrorCode::WrongObjectType, message)
                .with_hint(format!("Drop the {is} first, or choose another name.")));
        }
        (Some(taken), CreateMode::Create) => {
            let message = format!("{} \"{}\" already exists", taken.kind.noun(), name.name);
            return Err(Error::new(ErrorCode::DuplicateTable, message));
        }
    }
    let definition = definition(engine, session, create, run).await?;
    let with_data = create.with_data;
    let change = Change::CreateTable { name: name.clone(), definition: definition.clone(), mode: create.mode };
    if !with_data {
        let catalog = Arc::clone(engine.catalog());
        let committed = tokio::task::spawn_blocking(move || catalog.commit(vec![change])).await;
        committed.map_err(|error| Error::internal(format!("commit stopped: {error}")))??;
        return Ok(tag("CREATE", spelling));
    }
    let request =
        Request { session: session.clone(), run: Arc::clone(run), trigger: IngestionTrigger::Create, full: false };
    let refreshed =
        Box::pin(refresh::define(Arc::clone(engine), request, name.clone(), definition, existing, change)).await?;
    Ok(match spelling {
        // As PostgreSQL answers.
        limnos_catalog::DatasetSpelling::MaterializedView => format!("SELECT {}", refreshed.rows),
        limnos_catalog::DatasetSpelling::Dataset => {
            notices.push(told(&name, &refreshed));
            tag("CREATE", spelling)
        }
    })
}

async fn definition(
    engine: &Arc<Engine>,
    session: &Session,
    create: &CreateDataset,
    run: &Arc<QueryRun>,
) -> Result<TableDefinition> {
    let now_ms = engine.clock().now().timestamp_millis();
    let (source, mut columns) = match &create.source {
        CreateSource::Table(name) => table_source(engine, session, name)?,
        CreateSource::Query { query, sql } => {
            let context = engine.plan_context(session, Arc::clone(run));
            let (query, cancel) = (query.clone(), run.cancel.clone());
            let plan = async move {
                let planned = plan_query(context, &query).await?;
                let schema = output_schema(&planned)?;
                let column = |field: &Arc<arrow::datatypes::Field>| {
                    Ok(Column::new(field.name().to_lowercase(), catalog_field_type(field)?))
                };
                schema.fields().iter().map(column).collect::<Result<Vec<_>>>()
            };
            let columns = engine.cpu.plan(&cancel, Box::pin(plan)).await?;
            (DatasetSource::Query { sql: sql.clone(), database: session.database.clone() }, columns)
        }
    };
    if create.columns.len() > columns.len() {
        return Err(Error::syntax("too many column names were specified"));
    }
    let is_table = matches!(source, DatasetSource::Table(_));
    for (column, name) in columns.iter_mut().zip(&create.columns) {
        let own = std::mem::replace(&mut column.name, name.to_lowercase());
        if is_table && own != column.name {
            column.source_name = Some(own);
        }
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(column.name.as_str())) {
        let message = format!("column \"{}\" specified more than once", twice.name);
        return Err(Error::new(ErrorCode::DuplicateColumn, message)
            .with_hint("Give each column of the query a name of its own with AS."));
    }
    let mut dataset = defaults(source, create.spelling, now_ms);
    set_options(&mut dataset, &create.options, now_ms)?;
    dataset.is_populated = create.with_data;
    let dialect = match session.settings.dialect() {
        Dialect::Postgres => "postgres",
        Dialect::Athena => "athena",
    };
    let definition = TableDefinition {
        kind: TableKind::Dataset(Box::new(dataset)),
        columns,
        partition_keys: Vec::new(),
        parameters: std::collections::BTreeMap::from([(VIEW_DIALECT.to_owned(), dialect.to_owned())]),
        comment: create.comment.clone(),
        owner: session.user.clone(),
    };
    definition.validate()?;
    Ok(definition)
}

/// The source of `AS TABLE t`, and its columns.
fn table_source(engine: &Engine, session: &Session, name: &ObjectName) -> Result<(DatasetSource, Vec<Column>)> {
    let name = resolve_table_name(session, name);
    let rights = engine.rights(session);
    rights.check_database(&name.database, Privilege::Usage)?;
    let snapshot = engine.catalog().snapshot();
    let table = snapshot.table(&name)?;
    rights.check_table(table, Privilege::Select)?;
    let column = |column: &Column| Column {
        comment: column.comment.clone(),
        ..Column::new(&column.name, column.data_type.clone())
    };
    let columns = table.columns.iter().chain(&table.partition_keys).map(column).collect();
    Ok((DatasetSource::Table(table.name.clone()), columns))
}

/// ALTER of an option that the rows depend on: they are made anew first.
async fn alter(
    engine: &Arc<Engine>,
    session: &Session,
    name: &ObjectName,
    action: &DatasetAction,
    run: &Arc<QueryRun>,
) -> Result<()> {
    let table: Arc<Table> = refresh::dataset(engine.catalog(), &resolve_table_name(session, name))?;
    let mut definition = (*table.definition).clone();
    apply(&mut definition, action, engine.clock().now().timestamp_millis())?;
    definition.validate()?;
    let change = Change::AlterTable {
        name: table.name.clone(),
        definition: definition.clone(),
        base_version: Some(table.version),
    };
    if table.kind.dataset().is_some_and(|dataset| !dataset.is_populated) {
        let catalog = Arc::clone(engine.catalog());
        let committed = tokio::task::spawn_blocking(move || catalog.commit(vec![change])).await;
        committed.map_err(|error| Error::internal(format!("commit stopped: {error}")))??;
        return Ok(());
    }
    let request =
        Request { session: session.clone(), run: Arc::clone(run), trigger: IngestionTrigger::Statement, full: false };
    let name = table.name.clone();
    Box::pin(refresh::define(Arc::clone(engine), request, name, definition, Some(table), change)).await.map(|_| ())
}
