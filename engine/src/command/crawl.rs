//! CRAWL: what a crawl finds becomes tables, all in one commit.

use std::collections::BTreeMap;

use limnos_catalog::{Change, CreateMode, TableKind, TableName};

use super::answer::{Crawled, crawl_rows};
use super::table::format_name;
use super::{CommandAnswer, CommandContext, commit, resolve_database_name};
use crate::{Error, ErrorCode, Notice, Result, Session};

/// Marks tables that a crawl made, which the next crawl may replace. What people declared stays theirs.
const CRAWLED: &str = "limnos.crawled";

/// Skipped files told one by one.
const SKIPPED_SHOWN_MAX: usize = 20;

pub(super) async fn crawl(
    context: &CommandContext<'_>,
    session: &mut Session,
    location: &str,
    database: Option<&str>,
) -> Result<CommandAnswer> {
    let database = database.map_or_else(|| session.database.clone(), |name| resolve_database_name(session, name));
    let crawled = crate::crawl::crawl(context.stores, &context.snapshot, location, &session.user).await?;
    let found = crawled.tables;
    if found.is_empty() {
        let message = format!("no tables were found at \"{location}\"");
        return Err(Error::new(ErrorCode::UndefinedFile, message)
            .with_hint("A crawl looks for Parquet, CSV, JSON and Arrow files, and for logs."));
    }
    let mut changes = vec![Change::CreateDatabase {
        name: database.clone(),
        comment: None,
        location: None,
        parameters: BTreeMap::new(),
        mode: CreateMode::IfNotExists,
    }];
    let mut rows = Vec::new();
    for found in found {
        let name = TableName::new(&database, &found.name);
        let TableKind::External(storage) = &found.definition.kind else {
            return Err(Error::internal("a crawl found a view"));
        };
        let mut remarks = found.remarks;
        let format = format_name(storage.format);
        let columns = found.definition.columns.len() + found.definition.partition_keys.len();
        let counts = [columns as u64, found.partitions.len() as u64, found.file_count, found.bytes];
        let declared = context.snapshot.find_table(&name).is_some_and(|table| !table.parameters.contains_key(CRAWLED));
        if declared {
            remarks.insert(0, "left as it is: the table was not made by CRAWL".to_owned());
        } else {
            let mut definition = found.definition;
            definition.parameters.insert(CRAWLED.to_owned(), "true".to_owned());
            // Partitions of a replaced table stay when its keys do; those whose folders went must go, too.
            let gone = gone(context, &name, &found.partitions)?;
            changes.push(Change::CreateTable { name: name.clone(), definition, mode: CreateMode::OrReplace });
            if !gone.is_empty() {
                changes.push(Change::DropPartitions { table: name.clone(), values: gone, if_exists: true });
            }
            if !found.partitions.is_empty() {
                let partitions = found.partitions;
                changes.push(Change::AddPartitions { table: name.clone(), partitions, if_not_exists: true });
            }
        }
        rows.push(Crawled { table_name: name.name, format, counts, remarks: remarks.join("; ") });
    }
    let mut notices = commit(context, session, changes).await?;
    notices.extend(crawled.skipped.iter().take(SKIPPED_SHOWN_MAX).map(|skipped| Notice::warning(skipped.to_string())));
    if let Some(more) = crawled.skipped.len().checked_sub(SKIPPED_SHOWN_MAX).filter(|more| *more > 0) {
        notices.push(Notice::warning(format!("{more} more files were skipped")));
    }
    Ok(CommandAnswer::rows(crawl_rows(&rows)?, "CRAWL").with_notices(notices))
}

/// The partitions of an earlier crawl that were not found again, as long as the number of keys is the same.
fn gone(
    context: &CommandContext<'_>,
    name: &TableName,
    found: &[limnos_catalog::Partition],
) -> Result<Vec<Vec<Option<String>>>> {
    let Some(table) = context.snapshot.find_table(name).filter(|table| table.partition_count > 0) else {
        return Ok(Vec::new());
    };
    let Some(first) = found.first().filter(|first| first.values.len() == table.partition_keys.len()) else {
        return Ok(Vec::new());
    };
    debug_assert_eq!(first.values.len(), table.partition_keys.len());
    let found: std::collections::HashSet<&[Option<String>]> =
        found.iter().map(|partition| partition.values.as_slice()).collect();
    let known = context.catalog.partitions(&context.snapshot, table)?;
    let known = (0..known.len()).map(|row| {
        known.values.iter().map(|key| key[row].as_deref().map(str::to_owned)).collect::<Vec<Option<String>>>()
    });
    Ok(known.filter(|values| !found.contains(values.as_slice())).collect())
}
