//! SHOW of what is in the catalog.

use limnos_catalog::TableKind;
use limnos_catalog::partition::hive_path;

use super::answer::{self, text_rows};
use super::{
    CommandAnswer, CommandContext, create_statement, find, find_partitioned, partition, pattern, projection,
    resolve_database_name,
};
use crate::parse::{Dialect, NamePattern, ObjectName, PartitionSpec};
use crate::{Error, ErrorCode, Result, Session};

fn one_column(names: &[&str], rows: impl Iterator<Item = String>) -> Result<CommandAnswer> {
    let rows: Vec<Vec<String>> = rows.map(|value| vec![value]).collect();
    Ok(CommandAnswer::rows(text_rows(names, &rows)?, "SHOW"))
}

pub(super) fn databases(
    context: &CommandContext<'_>,
    session: &Session,
    pattern: Option<&NamePattern>,
) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let shown = |name: &String| match session.settings.dialect() {
        Dialect::Postgres if name == "default" => "public".to_owned(),
        _ => name.clone(),
    };
    let mut names: Vec<String> = context.snapshot.databases.keys().map(shown).filter(|name| matches(name)).collect();
    names.sort();
    one_column(answer::SHOW_DATABASES, names.into_iter())
}

pub(super) fn tables(
    context: &CommandContext<'_>,
    session: &Session,
    database: Option<&str>,
    pattern: Option<&NamePattern>,
    views_only: bool,
) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let database = database.map_or_else(|| session.database.clone(), |name| resolve_database_name(session, name));
    context.snapshot.database(&database)?;
    let tables = context.snapshot.tables_in(&database);
    let tables = tables.filter(|table| !views_only || matches!(table.kind, TableKind::View { .. }));
    one_column(answer::SHOW_TABLES, tables.map(|table| table.name.name.clone()).filter(|name| matches(name)))
}

pub(super) fn columns(context: &CommandContext<'_>, session: &Session, table: &ObjectName) -> Result<CommandAnswer> {
    let table = find(context, session, table)?;
    let columns = table.columns.iter().chain(&table.partition_keys);
    one_column(answer::SHOW_COLUMNS, columns.map(|column| column.name.clone()))
}

pub(super) fn partitions(
    context: &CommandContext<'_>,
    session: &Session,
    table: &ObjectName,
    spec: Option<&PartitionSpec>,
) -> Result<CommandAnswer> {
    let (table, _) = find_partitioned(context, session, table)?;
    let list = context.catalog.partitions(&context.snapshot, table)?;
    let rows = match spec {
        Some(spec) => partition::find(table, &list, &partition::conditions(spec))?,
        None => (0..list.len()).collect(),
    };
    let path = |row: usize| {
        let values = list.values.iter().map(|key| key[row].as_deref());
        let path = hive_path(table.partition_keys.iter().map(|key| key.name.as_str()).zip(values));
        path.trim_end_matches('/').to_owned()
    };
    let mut paths: Vec<String> = rows.into_iter().map(path).collect();
    paths.sort();
    // As in Athena: what a projection makes is not listed.
    Ok(one_column(answer::SHOW_PARTITIONS, paths.into_iter())?
        .with_notices(projection::notice(table).into_iter().collect()))
}

pub(super) fn create(context: &CommandContext<'_>, session: &Session, table: &ObjectName) -> Result<CommandAnswer> {
    one_column(answer::SHOW_CREATE, std::iter::once(create_statement(find(context, session, table)?)))
}

/// The answer of SHOW CREATE.
pub(super) fn statement(text: String) -> Result<CommandAnswer> {
    one_column(answer::SHOW_CREATE, std::iter::once(text))
}

pub(super) fn properties(
    context: &CommandContext<'_>,
    session: &Session,
    table: &ObjectName,
    property: Option<&str>,
) -> Result<CommandAnswer> {
    let table = find(context, session, table)?;
    if let Some(property) = property {
        let value = table.parameters.get(property).ok_or_else(|| {
            let message = format!("property \"{property}\" of \"{}\" does not exist", table.name);
            Error::new(ErrorCode::UndefinedObject, message)
        })?;
        return one_column(answer::SHOW_PROPERTY, std::iter::once(value.clone()));
    }
    let rows: Vec<Vec<String>> =
        table.parameters.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    Ok(CommandAnswer::rows(text_rows(answer::SHOW_PROPERTIES, &rows)?, "SHOW"))
}
