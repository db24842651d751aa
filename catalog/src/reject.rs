//! [`Reject`]: a line of a text file that is no row of its table, as it is remembered.

use crate::FileVersion;

/// A line that a table's definition refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The table that was read.
    pub table_id: i64,
    /// What the table was: under another definition the same line may be a row.
    pub table_version: i64,
    /// The file, and which version of it.
    pub file: FileVersion,
    /// Where the line begins in the unpacked file, in bytes. With the table and the file's version this tells lines apart.
    pub offset: u64,
    /// Its number, from 1, where it is known.
    pub line: Option<u64>,
    /// The column whose value is wrong, if it is one column's.
    pub column: Option<String>,
    /// What kind of error it is.
    pub sqlstate: String,
    /// What is wrong.
    pub reason: String,
    /// The line, or its beginning.
    pub raw: String,
}

/// A [`Reject`] that is kept, and when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReject {
    /// What was seen.
    pub reject: Reject,
    /// Milliseconds since 1970, UTC.
    pub seen_at_ms: i64,
}
