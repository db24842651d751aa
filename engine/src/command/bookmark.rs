//! SHOW BOOKMARKS, RESET BOOKMARK and `system.bookmarks`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use limnos_catalog::{Bookmark, Catalog, Change};

use super::{CommandAnswer, CommandContext, commit};
use crate::plan::system::SystemTable;
use crate::{Error, Result, Session};

/// A row for each bookmark.
pub struct Bookmarks {
    /// Where they are kept.
    pub catalog: Arc<Catalog>,
}

impl SystemTable for Bookmarks {
    fn name(&self) -> &'static str {
        "bookmarks"
    }

    fn comment(&self) -> &'static str {
        "Jobs that read only new files: which table, how many files they have processed, and when they last did"
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn rows(&self) -> Result<RecordBatch> {
        rows(&self.catalog)
    }
}

/// The columns of SHOW BOOKMARKS.
pub(super) fn schema() -> SchemaRef {
    let instant = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    Arc::new(Schema::new(vec![
        Field::new("bookmark_name", DataType::Utf8, true),
        Field::new("source_table", DataType::Utf8, true),
        Field::new("files", DataType::Int64, true),
        Field::new("runs", DataType::Int64, true),
        instant("created_at"),
        instant("updated_at"),
    ]))
}

fn rows(catalog: &Catalog) -> Result<RecordBatch> {
    let bookmarks = catalog.bookmarks()?;
    let texts = |text: fn(&Bookmark) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(bookmarks.iter().map(text)))
    };
    let counts = |count: fn(&Bookmark) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(bookmarks.iter().map(count)))
    };
    let instants = |millis: fn(&Bookmark) -> i64| -> ArrayRef {
        let micros = bookmarks.iter().map(|bookmark| millis(bookmark).saturating_mul(1000));
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let columns = vec![
        texts(|bookmark| &bookmark.name),
        texts(|bookmark| &bookmark.source),
        counts(|bookmark| i64::try_from(bookmark.file_count).unwrap_or(i64::MAX)),
        counts(|bookmark| bookmark.version),
        instants(|bookmark| bookmark.created_at_ms),
        instants(|bookmark| bookmark.updated_at_ms),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| Error::internal(error.to_string()))
}

pub(super) fn show(context: &CommandContext<'_>) -> Result<CommandAnswer> {
    Ok(CommandAnswer::rows(rows(context.catalog)?, "SHOW"))
}

pub(super) async fn reset(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    if_exists: bool,
) -> Result<CommandAnswer> {
    let change = Change::ResetBookmark { name: name.to_owned(), if_exists };
    let notices = commit(context, session, vec![change]).await?;
    Ok(CommandAnswer::tag("RESET BOOKMARK").with_notices(notices))
}
