//! ANALYZE: what a table's files say of themselves is read and kept, and, if asked for, their rows' distinct values.

use limnos_catalog::FileFormat;

use super::partition::check_value;
use super::{CommandAnswer, CommandContext, find_external};
use crate::parse::statement::{Analyze, AnalyzedColumns};
use crate::plan::pg_catalog::analyzed;
use crate::scan::survey::SurveyedFile;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// Files told one by one.
const NAMED_MAX: usize = 10;

pub(super) async fn analyze(
    context: &CommandContext<'_>,
    session: &Session,
    analyze: &Analyze,
) -> Result<CommandAnswer> {
    let (table, storage) = find_external(context, session, &analyze.table)?;
    let columns = match &analyze.columns {
        AnalyzedColumns::None => Vec::new(),
        AnalyzedColumns::All => (0..table.columns.len()).collect(),
        AnalyzedColumns::Named(names) => {
            let mut places = Vec::with_capacity(names.len());
            for name in names {
                match table.columns.iter().position(|column| column.name == *name) {
                    Some(place) if places.contains(&place) => {}
                    Some(place) => places.push(place),
                    // What values a key has is known without reading.
                    None if table.partition_keys.iter().any(|key| key.name == *name) => {}
                    None => {
                        let message = format!("column \"{name}\" of table \"{}\" does not exist", table.name);
                        return Err(Error::new(ErrorCode::UndefinedColumn, message));
                    }
                }
            }
            places
        }
    };
    let mut wanted = Vec::with_capacity(analyze.partition.len());
    for (name, value) in &analyze.partition {
        let Some(place) = table.partition_keys.iter().position(|key| key.name == *name) else {
            let message = format!("\"{name}\" is not a partition key of table \"{}\"", table.name);
            return Err(Error::new(ErrorCode::InvalidColumnReference, message));
        };
        if let Some(Some(text)) = value {
            check_value(&table.partition_keys[place], text)?;
        }
        if let Some(value) = value {
            wanted.push((place, value.as_deref()));
        }
    }
    let opened = context.opener.open(session, table)?;
    let values = &opened.partitions.index.list.values;
    let is_wanted = |partition: usize| wanted.iter().all(|(key, value)| values[*key][partition].as_deref() == *value);
    let mut files = opened.files(is_wanted).await?;
    opened.read_footers(&mut files).await?;
    if !matches!(storage.format, FileFormat::Parquet | FileFormat::Orc) || !columns.is_empty() {
        opened.read_rows(&mut files, &columns).await?;
    }
    let rows: u64 = files.iter().filter_map(|file| file.facts.as_ref()).map(|facts| facts.row_count).sum();
    let read = files.iter().filter(|file| file.error.is_none()).count();
    if wanted.is_empty() && read == files.len() {
        let bytes = files.iter().map(|file| file.file.meta.size).sum();
        analyzed::keep(&opened.table.context.known, table.id, rows, bytes)?;
    }
    let mut notices = vec![Notice::notice(format!("analyzed {read} files of \"{}\", {rows} rows", table.name))];
    let rejects = context.query.stats.rejects.load(std::sync::atomic::Ordering::Relaxed);
    if rejects > 0 {
        notices.push(Notice::warning(format!("{rejects} rows of table \"{}\" were left out as wrong", table.name)));
    }
    notices.extend(unreadable(&files));
    Ok(CommandAnswer::tag("ANALYZE").with_notices(notices))
}

/// Tells of the files that couldn't be read.
pub(super) fn unreadable(files: &[SurveyedFile]) -> Vec<Notice> {
    let failed: Vec<_> = files.iter().filter_map(|file| Some((&file.version.location, file.error.as_ref()?))).collect();
    let mut notices: Vec<Notice> = failed
        .iter()
        .take(NAMED_MAX)
        .map(|(url, error)| {
            let told = error.to_string();
            let told = if told.contains(url.as_str()) { told } else { format!("file \"{url}\": {told}") };
            Notice::warning(format!("left out: {told}"))
        })
        .collect();
    if failed.len() > NAMED_MAX {
        notices.push(Notice::warning(format!("{} more files were left out", failed.len() - NAMED_MAX)));
    }
    notices
}
