//! [`Bookmark`]: how far a job has come. It knows by name which files of a table were processed, so that the next run reads
//! only the others; what a run has processed is written down in the commit that makes its rows visible.

use crate::{FileVersion, TableName};

/// A bookmark, but for its files ([`crate::Catalog::bookmark_files`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bookmark {
    /// As it was first written; matched without regard to case.
    pub name: String,
    /// The table whose files it knows, as it was called then.
    pub source: String,
    /// That table's id.
    pub source_id: i64,
    /// Counts its changes, from 1.
    pub version: i64,
    /// Files that are known as processed.
    pub file_count: u64,
    /// Milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// Milliseconds since 1970, UTC: when it last learnt of files.
    pub updated_at_ms: i64,
}

/// What a run has processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookmarkUpdate {
    /// The bookmark, made where it isn't there.
    pub name: String,
    /// The table that was read.
    pub source: TableName,
    /// The version that the run began with, `None` if there was no such bookmark. Another one means that another run was
    /// faster, and that files would be processed twice: a conflict.
    pub base_version: Option<i64>,
    /// The files that were read.
    pub files: Vec<FileVersion>,
}
