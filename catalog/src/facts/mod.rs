//! [`FileFacts`]: what is known of one exact version of a data file, so that nobody has to open it to know it again.
//!
//! Whoever reads a file's footer writes its facts down ([`crate::Catalog::put_file_facts`]); whoever plans a query asks for
//! them by URL and version. A file that is replaced has another version and so no facts: old ones are never served for it.
//! They are no part of a snapshot: losing them costs time, never an answer.

mod record;

use crate::DataType;

pub use record::{decode, encode};

/// One exact version of one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileVersion {
    /// Its URL.
    pub location: String,
    /// Size, time of change and ETag, as whoever lists files writes them.
    pub version: String,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileFacts {
    /// Rows in it: exact.
    pub row_count: u64,
    /// Row groups, or what the format has instead; 0 where it has none.
    pub row_group_count: u64,
    /// For files that don't say themselves what they hold (CSV, JSON): a mark of the table definition that the rows were
    /// counted with. Under another one (a header line more, another quote) the facts say nothing.
    pub read_as: Option<Box<str>>,
    /// The file's own columns, in order. Of a file with [`FileFacts::read_as`] the table's columns that were looked at.
    pub columns: Vec<ColumnFacts>,
}

/// What is known of one column of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnFacts {
    /// As the file spells it.
    pub name: Box<str>,
    /// The type that holds its values; `None` for a type that no table can have.
    pub data_type: Option<DataType>,
    /// How many of the rows are NULL.
    pub null_count: Option<u64>,
    /// The least value, in `data_type`. Not told where all are NULL, or where the file doesn't say.
    pub min: Option<Bound>,
    /// The greatest.
    pub max: Option<Bound>,
    /// About how many bytes the values take in memory.
    pub byte_size: Option<u64>,
    /// A sketch of the distinct values, which whoever makes it can merge with those of other files.
    pub sketch: Option<Box<[u8]>>,
}

/// A limit of a column's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// No value lies beyond it.
    pub value: FactValue,
    /// Whether a row has this very value. A truncated text is a bound and no value.
    pub is_exact: bool,
}

/// A plain value, to be read with its column's type.
#[derive(Debug, Clone, PartialEq)]
pub enum FactValue {
    /// `boolean`.
    Boolean(bool),
    /// Whole numbers; days for `date`, microseconds for times and timestamps.
    Int(i64),
    /// `decimal`, without its point.
    Decimal(i128),
    /// `float` and `double`.
    Float(f64),
    /// All kinds of text.
    Text(Box<str>),
    /// `binary`.
    Bytes(Box<[u8]>),
}

impl FileFacts {
    /// Bytes held in memory, about.
    pub fn memory_size(&self) -> usize {
        let columns = self.columns.iter().map(|column| {
            let bound = |bound: &Option<Bound>| match bound.as_ref().map(|bound| &bound.value) {
                Some(FactValue::Text(text)) => text.len(),
                Some(FactValue::Bytes(bytes)) => bytes.len(),
                _ => 0,
            };
            size_of::<ColumnFacts>()
                + column.name.len()
                + bound(&column.min)
                + bound(&column.max)
                + column.sketch.as_ref().map_or(0, |sketch| sketch.len())
        });
        size_of::<Self>() + columns.sum::<usize>()
    }
}
