//! SHOW of what is in the catalog.

use limnos_catalog::TableKind;
use limnos_catalog::partition::hive_path;

use super::answer::{self, text_rows};
use super::{CommandAnswer, CommandContext, create_statement, find, find_partitioned, pattern, resolve_database_name};
use crate::parse::{Dialect, NamePattern, ObjectName};
use crate::{Result, Session};

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

pub(super) fn partitions(context: &CommandContext<'_>, session: &Session, table: &ObjectName) -> Result<CommandAnswer> {
    let (table, _) = find_partitioned(context, session, table)?;
    let list = context.catalog.partitions(&context.snapshot, table)?;
    let path = |row: usize| {
        let values = list.values.iter().map(|key| key[row].as_deref());
        let path = hive_path(table.partition_keys.iter().map(|key| key.name.as_str()).zip(values));
        path.trim_end_matches('/').to_owned()
    };
    let mut paths: Vec<String> = (0..list.len()).map(path).collect();
    paths.sort();
    one_column(answer::SHOW_PARTITIONS, paths.into_iter())
}

pub(super) fn create(context: &CommandContext<'_>, session: &Session, table: &ObjectName) -> Result<CommandAnswer> {
    one_column(answer::SHOW_CREATE, std::iter::once(create_statement(find(context, session, table)?)))
}

/// The answer of SHOW CREATE.
pub(super) fn statement(text: String) -> Result<CommandAnswer> {
    one_column(answer::SHOW_CREATE, std::iter::once(text))
}

pub(super) fn properties(context: &CommandContext<'_>, session: &Session, table: &ObjectName) -> Result<CommandAnswer> {
    let table = find(context, session, table)?;
    let rows: Vec<Vec<String>> =
        table.parameters.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    Ok(CommandAnswer::rows(text_rows(answer::SHOW_PROPERTIES, &rows)?, "SHOW"))
}
