//! Datasets as the catalog has them: options, SHOW, ALTER and DROP. What makes rows is in [`crate::dataset`].

use std::fmt::Write;
use std::sync::Arc;

use limnos_catalog::{
    Change, Column, DatasetDefinition, DatasetSource, DatasetSpelling, Refresh, Schedule, Table, TableDefinition,
    TableKind, TableName,
};

use super::answer::{SHOW_DATASETS, text_rows};
use super::table::VIEW_DIALECT;
use super::{CommandAnswer, CommandContext, commit, newest, pattern, resolve_table_name, show, skipping};
use crate::dataset::budget::bytes_text;
use crate::error::nearest;
use crate::input::interval;
use crate::parse::dataset::{DatasetAction, DatasetOption, DatasetStatement, OptionValue};
use crate::parse::ddl::redundant_option;
use crate::parse::{NamePattern, ObjectName};
use crate::schedule::Timetable;
use crate::session::settings::{IntervalStyle, bytes};
use crate::{Error, ErrorCode, Result, Session};

/// The options of WITH (...), in the order in which they are shown.
const OPTIONS: [&str; 6] = ["refresh", "time_zone", "mode", "order_by", "memory_limit", "on_error"];

/// How often a statement that lost the race is tried again before it is told so.
const ATTEMPTS_MAX: usize = 20;

pub(super) async fn run(
    context: &CommandContext<'_>,
    session: &mut Session,
    statement: &DatasetStatement,
) -> Result<CommandAnswer> {
    match statement {
        DatasetStatement::Alter { name, if_exists, action, spelling } => {
            alter(context, session, name, *if_exists, action, *spelling).await
        }
        DatasetStatement::Drop { names, if_exists, spelling } => {
            drop(context, session, names, *if_exists, *spelling).await
        }
        DatasetStatement::Show { pattern } => datasets(context, session, pattern.as_ref()),
        DatasetStatement::ShowCreate { name } => {
            let table = Arc::clone(context.snapshot.table(&resolve_table_name(session, name))?);
            crate::dataset::refresh::dataset(context.catalog, &table.name)?;
            show::statement(super::create_statement(&table))
        }
        DatasetStatement::Create(_) | DatasetStatement::Refresh { .. } => {
            Err(Error::internal(format!("not a command: {statement:?}")))
        }
    }
}

/// `CREATE DATASET`, `DROP MATERIALIZED VIEW` and the like.
pub(crate) fn tag(verb: &str, spelling: DatasetSpelling) -> String {
    format!("{verb} {}", spelling.noun().to_uppercase())
}

async fn alter(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &ObjectName,
    if_exists: bool,
    action: &DatasetAction,
    spelling: DatasetSpelling,
) -> Result<CommandAnswer> {
    let name = resolve_table_name(session, name);
    let answer = CommandAnswer { tag: crate::CommandTag::Plain(tag("ALTER", spelling)), ..CommandAnswer::tag("") };
    if if_exists && newest(context, session).find_table(&name).is_none() {
        let notice = skipping(&format!("relation \"{}\" does not exist", name.name), "00000");
        return Ok(answer.with_notices(vec![notice]));
    }
    let notices = match action {
        DatasetAction::RenameTo(to) => {
            check_is_dataset(newest(context, session).table(&name)?)?;
            let to = match &to.database {
                Some(_) => resolve_table_name(session, to),
                None => TableName::new(&name.database, &to.name),
            };
            commit(context, session, vec![Change::RenameTable { from: name, to }]).await?
        }
        DatasetAction::OwnerTo(owner) => {
            let owner = session.role_named(owner).to_owned();
            change(context, session, &name, |_, definition| {
                definition.owner.clone_from(&owner);
                Ok(())
            })
            .await?
        }
        DatasetAction::Set(_) | DatasetAction::Reset(_) => {
            let now_ms = context.clock.now().timestamp_millis();
            change(context, session, &name, |_, definition| {
                let mark = crate::dataset::kept::mark_of(definition);
                apply(definition, action, now_ms)?;
                match crate::dataset::kept::mark_of(definition) == mark {
                    true => Ok(()),
                    false => Err(Error::internal("an option that changes the rows")),
                }
            })
            .await?
        }
    };
    Ok(answer.with_notices(notices))
}

/// Sets or resets options of a dataset's definition.
pub(crate) fn apply(definition: &mut TableDefinition, action: &DatasetAction, now_ms: i64) -> Result<()> {
    let TableKind::Dataset(dataset) = &mut definition.kind else { return Err(Error::internal("not a dataset")) };
    match action {
        DatasetAction::Set(options) => set_options(dataset, options, now_ms),
        DatasetAction::Reset(names) => names.iter().try_for_each(|(name, position)| {
            let default = defaults(dataset.source.clone(), dataset.spelling, now_ms);
            match name.as_str() {
                "refresh" | "time_zone" => (dataset.refresh, dataset.since_ms) = (default.refresh, now_ms),
                "mode" => dataset.is_full = default.is_full,
                "order_by" => dataset.order_by = default.order_by,
                "memory_limit" => dataset.memory_limit_bytes = default.memory_limit_bytes,
                "on_error" => dataset.on_error = default.on_error,
                other => return Err(unknown(other, *position)),
            }
            Ok(())
        }),
        DatasetAction::RenameTo(_) | DatasetAction::OwnerTo(_) => Err(Error::internal("not an option")),
    }
}

/// A dataset of `source` of which nothing is said.
pub(crate) fn defaults(source: DatasetSource, spelling: DatasetSpelling, now_ms: i64) -> DatasetDefinition {
    DatasetDefinition {
        source,
        refresh: Refresh::Manual,
        since_ms: now_ms,
        is_full: false,
        order_by: Vec::new(),
        memory_limit_bytes: None,
        on_error: None,
        is_populated: true,
        spelling,
    }
}

/// Puts options into a definition.
pub(crate) fn set_options(dataset: &mut DatasetDefinition, options: &[DatasetOption], now_ms: i64) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let mut time_zone = None;
    for DatasetOption { name, value, position } in options {
        if !seen.insert(name.as_str()) {
            return Err(redundant_option(*position));
        }
        let invalid = |hint: &str| {
            let message = format!("invalid value for option \"{name}\": \"{}\"", shown(value));
            Error::new(ErrorCode::InvalidParameterValue, message).with_hint(hint).at(*position)
        };
        let text = match value {
            OptionValue::Text(text) => Some(text.trim()),
            OptionValue::List(_) | OptionValue::Cron(..) => None,
        };
        match (name.as_str(), text) {
            ("refresh", _) => {
                dataset.refresh = refresh(value).map_err(|error| match error {
                    Some(error) => error.at(*position),
                    None => invalid(
                        "It is manual, on_change, an interval such as '15 minutes', or cron '0 6 * * *' time_zone 'Europe/Berlin'.",
                    ),
                })?;
                dataset.since_ms = now_ms;
            }
            ("time_zone", Some(text)) => time_zone = Some((text.to_owned(), *position)),
            ("mode", Some("incremental")) => dataset.is_full = false,
            ("mode", Some("full")) => dataset.is_full = true,
            ("mode", _) => return Err(invalid("Available values: incremental, full.")),
            ("order_by", _) => {
                let names: Vec<&str> = match value {
                    OptionValue::List(names) => names.iter().map(|name| name.trim()).collect(),
                    OptionValue::Text(text) => text.split(',').map(str::trim).collect(),
                    OptionValue::Cron(..) => return Err(invalid("It is a list of columns.")),
                };
                dataset.order_by = names.into_iter().filter(|name| !name.is_empty()).map(str::to_lowercase).collect();
            }
            ("memory_limit", Some(text)) => {
                let limit =
                    bytes(text).ok_or_else(|| invalid("It is a size such as '2GB'; 0 is no limit of its own."))?;
                dataset.memory_limit_bytes = Some(limit).filter(|limit| *limit > 0);
            }
            ("on_error", Some(word @ ("fail" | "null" | "skip" | "quarantine"))) => {
                if matches!(dataset.source, DatasetSource::Query { .. }) {
                    return Err(Error::unsupported("on_error needs a dataset over a table")
                        .with_hint("Set limit of wrong rows on the tables of the query with limnos.on_error.")
                        .at(*position));
                }
                dataset.on_error = Some(word.to_owned());
            }
            ("on_error", _) => return Err(invalid("Available values: fail, null, skip, quarantine.")),
            ("time_zone" | "memory_limit", None) => return Err(invalid("It is one text.")),
            (other, _) => return Err(unknown(other, *position)),
        }
    }
    if let Some((time_zone, position)) = time_zone {
        let Refresh::Cron(schedule) = &mut dataset.refresh else {
            return Err(Error::syntax("time_zone needs a refresh by cron").at(position));
        };
        schedule.time_zone = time_zone;
        Timetable::new(schedule).map_err(|error| error.at(position))?;
    }
    Ok(())
}

fn shown(value: &OptionValue) -> String {
    match value {
        OptionValue::Text(text) => text.clone(),
        OptionValue::List(items) => items.join(", "),
        OptionValue::Cron(cron, _) => cron.clone(),
    }
}

/// Reads `refresh`; no error of its own is none that says more than that it is wrong.
fn refresh(value: &OptionValue) -> Result<Refresh, Option<Error>> {
    let cron = |cron: &str, time_zone: Option<&str>| {
        let schedule = Schedule { cron: cron.to_owned(), time_zone: time_zone.unwrap_or("UTC").to_owned() };
        Timetable::new(&schedule).map_err(Some)?;
        Ok(Refresh::Cron(schedule))
    };
    let text = match value {
        OptionValue::Cron(text, time_zone) => return cron(text, time_zone.as_deref()),
        OptionValue::List(_) => return Err(None),
        OptionValue::Text(text) => text.trim(),
    };
    match text.to_lowercase().as_str() {
        "manual" => return Ok(Refresh::Manual),
        "on_change" => return Ok(Refresh::OnChange),
        _ => {}
    }
    if text.split_whitespace().count() == 5 && text.contains('*') || text.starts_with('@') {
        return cron(text, None);
    }
    let read = interval(text, IntervalStyle::Postgres).map_err(|_| None)?;
    let micros = (i64::from(read.months).checked_mul(30).and_then(|days| days.checked_add(i64::from(read.days))))
        .and_then(|days| days.checked_mul(86_400_000_000))
        .and_then(|micros| micros.checked_add(read.microseconds));
    let seconds = micros.and_then(|micros| u64::try_from(micros / 1_000_000).ok()).filter(|seconds| *seconds > 0);
    seconds.map(Refresh::Every).ok_or(None)
}

fn unknown(name: &str, position: usize) -> Error {
    let error = Error::new(ErrorCode::InvalidParameterValue, format!("unrecognized parameter \"{name}\"")).at(position);
    match nearest(name, OPTIONS.into_iter()) {
        Some(near) => error.with_hint(format!("Did you mean \"{near}\"?")),
        None => error.with_hint(format!("Options are {}.", OPTIONS.join(", "))),
    }
}

fn check_is_dataset(table: &Table) -> Result<()> {
    match table.kind.dataset() {
        Some(_) => Ok(()),
        None => {
            let message = format!("\"{}\" is not a materialized view", table.name.name);
            Err(Error::new(ErrorCode::WrongObjectType, message).with_hint(format!(
                "Use ALTER {} for a {}.",
                table.kind.noun().to_uppercase(),
                table.kind.noun()
            )))
        }
    }
}

/// Gives the dataset `name` the definition that `alter` makes of its newest one.
pub(super) async fn change(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &TableName,
    alter: impl Fn(&Table, &mut TableDefinition) -> Result<()>,
) -> Result<Vec<crate::Notice>> {
    let mut attempt = 1;
    loop {
        let table = Arc::clone(newest(context, session).table(name)?);
        check_is_dataset(&table)?;
        let mut definition = (*table.definition).clone();
        alter(&table, &mut definition)?;
        if definition == *table.definition {
            return Ok(Vec::new());
        }
        let change = Change::AlterTable { name: table.name.clone(), definition, base_version: Some(table.version) };
        match commit(context, session, vec![change]).await {
            Err(error) if error.code == ErrorCode::SerializationFailure && attempt < ATTEMPTS_MAX => attempt += 1,
            other => return other,
        }
    }
}

pub(super) fn no_column(table: &TableName, column: &str) -> Error {
    let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
    Error::new(ErrorCode::UndefinedColumn, message)
}

async fn drop(
    context: &CommandContext<'_>,
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    spelling: DatasetSpelling,
) -> Result<CommandAnswer> {
    let mut notices = Vec::new();
    let mut changes = Vec::new();
    for name in names {
        let name = resolve_table_name(session, name);
        match context.snapshot.find_table(&name) {
            None if if_exists => {
                let message = format!("{} \"{}\" does not exist", spelling.noun(), name.name);
                notices.push(skipping(&message, "00000"));
            }
            _ => changes.push(Change::DropDataset { name, if_exists }),
        }
    }
    if !changes.is_empty() {
        notices.extend(commit(context, session, changes).await?);
        // In a block they are there until its end.
        if session.block.is_none() {
            context.datasets.tidy(context.catalog);
        }
    }
    let answer = CommandAnswer { tag: crate::CommandTag::Plain(tag("DROP", spelling)), ..CommandAnswer::tag("") };
    Ok(answer.with_notices(notices))
}

fn datasets(context: &CommandContext<'_>, session: &Session, pattern: Option<&NamePattern>) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let mut rows = Vec::new();
    for table in context.snapshot.tables.values().filter(|table| matches(&table.name.name)) {
        let Some(dataset) = table.kind.dataset() else { continue };
        let told = crate::dataset::tables::Told::of(context.datasets, table, dataset);
        let name = match table.name.database == session.database {
            true => table.name.name.clone(),
            false => table.name.to_string(),
        };
        let loaded = told.loaded.as_deref();
        rows.push(vec![
            name,
            source_text(dataset),
            refresh_text(&dataset.refresh),
            told.state.to_owned(),
            loaded.map_or_else(String::new, |loaded| loaded.table.rows().to_string()),
            loaded.map_or_else(String::new, |loaded| bytes_text(loaded.table.memory_bytes() as u64)),
            loaded.map_or_else(String::new, |loaded| loaded.version.to_string()),
            told.refreshed_at().map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S+00").to_string()),
        ]);
    }
    Ok(CommandAnswer::rows(text_rows(SHOW_DATASETS, &rows)?, "SHOW"))
}

/// The query that a dataset's rows are, for people and `pg_get_viewdef`.
pub(crate) fn source_text(dataset: &DatasetDefinition) -> String {
    match &dataset.source {
        DatasetSource::Query { sql, .. } => sql.clone(),
        DatasetSource::Table(name) => format!("TABLE {}", shown_name(name)),
    }
}

/// A name as the `postgres` dialect has it.
fn shown_name(name: &TableName) -> String {
    let database = if name.database == "default" { "public" } else { name.database.as_str() };
    format!("{}.{}", identifier(database), identifier(&name.name))
}

pub(crate) fn refresh_text(refresh: &Refresh) -> String {
    match refresh {
        Refresh::Manual => "manual".to_owned(),
        Refresh::OnChange => "on_change".to_owned(),
        Refresh::Every(seconds) => match seconds {
            seconds if seconds % 86_400 == 0 => plural(seconds / 86_400, "day"),
            seconds if seconds % 3600 == 0 => plural(seconds / 3600, "hour"),
            seconds if seconds % 60 == 0 => plural(seconds / 60, "minute"),
            seconds => plural(*seconds, "second"),
        },
        Refresh::Cron(schedule) => format!("{} {}", schedule.cron, schedule.time_zone),
    }
}

fn plural(count: u64, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// The options that are not as they would be unsaid, as WITH (...) has them.
pub(crate) fn options(dataset: &DatasetDefinition) -> Vec<(&'static str, String)> {
    let mut options = Vec::new();
    match &dataset.refresh {
        Refresh::Manual => {}
        Refresh::Cron(schedule) => {
            options.push((
                "refresh",
                format!("cron {} time zone {}", string(&schedule.cron), string(&schedule.time_zone)),
            ));
        }
        other => options.push(("refresh", string(&refresh_text(other)))),
    }
    if dataset.is_full {
        options.push(("mode", string("full")));
    }
    if !dataset.order_by.is_empty() {
        let names: Vec<String> = dataset.order_by.iter().map(|name| identifier(name)).collect();
        options.push(("order_by", format!("({})", names.join(", "))));
    }
    if let Some(limit) = dataset.memory_limit_bytes {
        options.push(("memory_limit", string(&limit.to_string())));
    }
    if let Some(on_error) = &dataset.on_error {
        options.push(("on_error", string(on_error)));
    }
    options
}

/// The statement that makes a dataset again.
pub(super) fn create_text(table: &Table, dataset: &DatasetDefinition) -> String {
    let mut text = format!("CREATE {} {}", dataset.spelling.noun().to_uppercase(), shown_name(&table.name));
    let columns: Vec<String> = table.columns.iter().map(|column: &Column| identifier(&column.name)).collect();
    // Writing to a String can't fail.
    let _ = write!(text, " ({})", columns.join(", "));
    if let Some(comment) = &table.comment {
        let _ = write!(text, "\nCOMMENT {}", string(comment));
    }
    let options = options(dataset);
    if !options.is_empty() {
        let pairs: Vec<String> = options.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let _ = write!(text, "\nWITH ({})", pairs.join(", "));
    }
    let _ = write!(text, "\nAS {}", source_text(dataset));
    if !dataset.is_populated {
        text += "\nWITH NO DATA";
    }
    debug_assert!(!text.contains(VIEW_DIALECT));
    text
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
