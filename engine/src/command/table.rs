//! CREATE, DROP and RENAME of tables and views.

use datafusion::sql::sqlparser::ast::Query;
use limnos_catalog::{
    Change, Column, CreateMode, FileFormat, RemovedFile, Snapshot, StorageDescriptor, Table, TableDefinition,
    TableKind, TableName,
};

use super::{CommandAnswer, CommandContext, alter, commit, projection, resolve_table_name, skipping};
use crate::parse::{CreateTable, CreateView, Dialect, ObjectName};
use crate::scan::freshness::freshness;
use crate::write::definition::{MANAGED, is_managed};
use crate::{Error, ErrorCode, Notice, Result, Session};

/// Where a view keeps whose SQL its text is, since the same text may mean other things in the other dialect.
pub const VIEW_DIALECT: &str = "limnos.view.dialect";

fn exists(context: &CommandContext<'_>, name: &TableName, mode: CreateMode) -> Option<Notice> {
    let skips = mode == CreateMode::IfNotExists && context.snapshot.find_table(name).is_some();
    skips.then(|| skipping(&format!("relation \"{}\" already exists", name.name), "42P07"))
}

pub(super) async fn create(
    context: &CommandContext<'_>,
    session: &mut Session,
    create: &CreateTable,
) -> Result<CommandAnswer> {
    let name = resolve_table_name(session, &create.name);
    let answer = CommandAnswer::tag("CREATE TABLE");
    let database = context.snapshot.database(&name.database)?;
    if let Some(notice) = exists(context, &name, create.mode) {
        return Ok(answer.with_notices(vec![notice]));
    }
    let written = match (&create.location, &database.location) {
        (Some(location), _) => location.clone(),
        (None, Some(location)) => format!("{}/{}/", location.trim_end_matches('/'), name.name),
        (None, None) => {
            let message = format!("table \"{name}\" needs a LOCATION");
            return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
                .with_hint("Add LOCATION '...', or give the database a location."));
        }
    };
    let location = context.stores.resolve(&written)?;
    let mut storage = StorageDescriptor {
        location: location.url,
        format: create.format,
        serde: create.serde.clone(),
        properties: create.serde_properties.clone(),
    };
    let mut definition = TableDefinition {
        kind: TableKind::External(storage.clone()),
        columns: create.columns.clone(),
        partition_keys: create.partition_keys.clone(),
        parameters: create.parameters.clone(),
        comment: create.comment.clone(),
        owner: session.user.clone(),
    };
    // Files that are there are others'.
    definition.parameters.remove(MANAGED);
    let mut partitions = Vec::new();
    if create.columns.is_empty() && create.format == FileFormat::Regex {
        let message = format!("table \"{name}\" needs a list of columns");
        return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
            .with_hint("What a pattern takes out of a line has no names of its own."));
    }
    crate::scan::format::check(&definition)?;
    if create.columns.is_empty() {
        partitions = infer(context, &mut definition, &mut storage).await?;
        definition.kind = TableKind::External(storage);
    }
    freshness(&definition)?;
    let notices = projection::check(context.stores, &name, &definition)?;
    let mut changes = vec![Change::CreateTable { name: name.clone(), definition, mode: create.mode }];
    if !partitions.is_empty() {
        changes.push(Change::AddPartitions { table: name, partitions, if_not_exists: true });
    }
    Ok(answer.with_notices(notices).with_notices(commit(context, session, changes).await?))
}

/// Reads the columns from the files. Gives the partitions that were found on the way.
async fn infer(
    context: &CommandContext<'_>,
    definition: &mut TableDefinition,
    storage: &mut StorageDescriptor,
) -> Result<Vec<limnos_catalog::Partition>> {
    let found =
        crate::crawl::crawl(context.stores, &context.snapshot, &storage.location, &definition.owner).await?.tables;
    let count = found.len();
    let mut tables = found.into_iter();
    let (Some(found), None) = (tables.next(), tables.next()) else {
        let message = format!("the columns of \"{}\" can't be told from its files", storage.location);
        return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
            .with_detail(format!("{count} tables were found there."))
            .with_hint("List the columns in the statement."));
    };
    let TableKind::External(found_storage) = found.definition.kind else {
        return Err(Error::internal("a crawl found a view"));
    };
    if found_storage.format != storage.format {
        let message = format!(
            "the files at \"{}\" are {}, not {}",
            storage.location,
            format_name(found_storage.format),
            format_name(storage.format)
        );
        return Err(Error::new(ErrorCode::InvalidTableDefinition, message));
    }
    definition.columns = found.definition.columns;
    let declared: Vec<&str> = definition.partition_keys.iter().map(|key| key.name.as_str()).collect();
    let same_keys = found.definition.partition_keys.iter().map(|key| key.name.as_str()).eq(declared.iter().copied());
    let partitions = if declared.is_empty() {
        definition.partition_keys = found.definition.partition_keys;
        found.partitions
    } else {
        definition.columns.retain(|column| !declared.contains(&column.name.as_str()));
        if same_keys { found.partitions } else { Vec::new() }
    };
    // How the files are laid out was looked at, so that counts; what the user says of the table is added.
    storage.properties = found_storage.properties;
    for (key, value) in found.definition.parameters {
        definition.parameters.entry(key).or_insert(value);
    }
    Ok(partitions)
}

/// A format as STORED AS spells it.
pub(super) fn format_name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Parquet => "PARQUET",
        FileFormat::Csv => "CSV",
        FileFormat::Regex => "TEXTFILE",
        FileFormat::Json => "JSON",
        FileFormat::Arrow => "ARROW",
        FileFormat::Orc => "ORC",
        FileFormat::Avro => "AVRO",
    }
}

pub(super) async fn create_view(
    context: &CommandContext<'_>,
    session: &mut Session,
    create: &CreateView,
) -> Result<CommandAnswer> {
    let name = resolve_table_name(session, &create.name);
    let answer = CommandAnswer::tag("CREATE VIEW");
    context.snapshot.database(&name.database)?;
    if let Some(notice) = exists(context, &name, create.mode) {
        return Ok(answer.with_notices(vec![notice]));
    }
    let mut parameters = create.parameters.clone();
    parameters.insert(VIEW_DIALECT.to_owned(), dialect_name(session).to_owned());
    let definition = TableDefinition {
        kind: TableKind::View { sql: create.sql.clone(), database: session.database.clone() },
        columns: view_columns(context, session, &create.query, &create.columns).await?,
        partition_keys: Vec::new(),
        parameters,
        comment: create.comment.clone(),
        owner: session.user.clone(),
    };
    let notices = commit(context, session, vec![Change::CreateTable { name, definition, mode: create.mode }]).await?;
    Ok(answer.with_notices(notices))
}

/// ALTER VIEW ... AS: another query under the same name, comment, owner and properties.
pub(super) async fn alter_view(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &ObjectName,
    query: &Query,
    sql: &str,
) -> Result<CommandAnswer> {
    let name = resolve_table_name(session, name);
    let columns = view_columns(context, session, query, &[]).await?;
    let (database, dialect) = (session.database.clone(), dialect_name(session));
    let notices = alter::change(context, session, &name, true, |alteration| {
        let definition = &mut alteration.definition;
        definition.kind = TableKind::View { sql: sql.to_owned(), database: database.clone() };
        let comments = std::mem::replace(&mut definition.columns, columns.clone());
        for column in &mut definition.columns {
            let before = comments.iter().find(|before| before.name == column.name);
            column.comment = before.and_then(|before| before.comment.clone());
        }
        definition.parameters.insert(VIEW_DIALECT.to_owned(), dialect.to_owned());
        Ok(())
    })
    .await?;
    Ok(CommandAnswer::tag("ALTER VIEW").with_notices(notices))
}

/// The columns of a view's query, the first of them under the names of its own list.
async fn view_columns(
    context: &CommandContext<'_>,
    session: &Session,
    query: &Query,
    names: &[(String, Option<String>)],
) -> Result<Vec<Column>> {
    let mut columns = context.planner.columns(session, query).await?;
    if names.len() > columns.len() {
        let message = "CREATE VIEW specifies more column names than columns";
        return Err(Error::new(ErrorCode::SyntaxError, message));
    }
    for (column, (name, comment)) in columns.iter_mut().zip(names) {
        column.name = name.to_lowercase();
        column.comment.clone_from(comment);
    }
    match duplicate(&columns) {
        Some(duplicate) => {
            let message = format!("column \"{duplicate}\" specified more than once");
            Err(Error::new(ErrorCode::DuplicateColumn, message))
        }
        None => Ok(columns),
    }
}

fn dialect_name(session: &Session) -> &'static str {
    match session.settings.dialect() {
        Dialect::Postgres => "postgres",
        Dialect::Athena => "athena",
    }
}

fn duplicate(columns: &[Column]) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    columns.iter().map(|column| column.name.as_str()).find(|name| !seen.insert(*name))
}

pub(super) async fn drop(
    context: &CommandContext<'_>,
    session: &mut Session,
    view: bool,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<CommandAnswer> {
    let (kind, tag) = if view { ("view", "DROP VIEW") } else { ("table", "DROP TABLE") };
    let mut notices = Vec::new();
    let mut changes = Vec::new();
    for name in names {
        let name = resolve_table_name(session, name);
        if if_exists && context.snapshot.find_table(&name).is_none() {
            notices.push(skipping(&format!("{kind} \"{}\" does not exist", name.name), "00000"));
        } else {
            let files = context.snapshot.find_table(&name).and_then(|table| own_files(&context.snapshot, table));
            changes.push(Change::DropTable { name, view, if_exists });
            changes.extend(files);
        }
    }
    if !changes.is_empty() {
        notices.extend(commit(context, session, changes).await?);
    }
    Ok(CommandAnswer::tag(tag).with_notices(notices))
}

/// What takes the files of a dropped table away, if they are its own.
pub(super) fn own_files(snapshot: &Snapshot, table: &Table) -> Option<Change> {
    let TableKind::External(storage) = &table.kind else { return None };
    if !is_managed(table) {
        return None;
    }
    let folder = RemovedFile::folder(&storage.location);
    // Somebody has made another table over the same files: they stay with it.
    let is_shared = snapshot.tables.values().any(|other| match &other.kind {
        TableKind::External(others) => {
            let others = RemovedFile::folder(&others.location).location;
            other.id != table.id && (others.starts_with(&folder.location) || folder.location.starts_with(&others))
        }
        TableKind::View { .. } | TableKind::Dataset(_) => false,
    });
    (!is_shared).then(|| Change::RemoveFiles { files: vec![folder] })
}

pub(super) async fn rename(
    context: &CommandContext<'_>,
    session: &mut Session,
    view: bool,
    name: &ObjectName,
    to: &ObjectName,
    if_exists: bool,
) -> Result<CommandAnswer> {
    let from = resolve_table_name(session, name);
    if if_exists && context.snapshot.find_table(&from).is_none() {
        let notice = skipping(&format!("relation \"{}\" does not exist", from.name), "00000");
        return Ok(CommandAnswer::tag(if view { "ALTER VIEW" } else { "ALTER TABLE" }).with_notices(vec![notice]));
    }
    // As in PostgreSQL, ALTER TABLE renames views, too.
    let is_view = matches!(context.snapshot.table(&from)?.kind, TableKind::View { .. });
    if view && !is_view {
        return Err(Error::new(ErrorCode::WrongObjectType, format!("\"{from}\" is not a view")));
    }
    let to = match &to.database {
        Some(_) => resolve_table_name(session, to),
        None => TableName::new(&from.database, &to.name),
    };
    let notices = commit(context, session, vec![Change::RenameTable { from, to }]).await?;
    Ok(CommandAnswer::tag(if is_view { "ALTER VIEW" } else { "ALTER TABLE" }).with_notices(notices))
}
