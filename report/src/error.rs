//! What keeps a document from being written.

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chart names a column that its query doesn't have.
    #[error("column \"{column}\" of a chart does not exist in query \"{section}\"")]
    NoSuchColumn {
        /// As the chart has it.
        column: String,
        /// The query.
        section: String,
        /// The columns that there are.
        columns: String,
    },
    /// A chart shows numbers, and the column has none.
    #[error("column \"{column}\" of query \"{section}\" cannot be charted: it holds no numbers")]
    NotNumeric {
        /// The column.
        column: String,
        /// The query.
        section: String,
    },
    /// More than Excel holds.
    #[error("an XLSX sheet holds at most {max} {what}, query \"{section}\" has more")]
    TooLarge {
        /// `rows` or `columns`.
        what: &'static str,
        /// How many it may be.
        max: u64,
        /// The query.
        section: String,
    },
    /// A value that Excel can't hold.
    #[error(
        "an XLSX cell holds at most 32767 characters, row {row} of column \"{column}\" of query \"{section}\" has {length}"
    )]
    LongText {
        /// From 1.
        row: u64,
        /// The column.
        column: String,
        /// The query.
        section: String,
        /// Its length, in UTF-16 units, as Excel counts.
        length: usize,
    },
    /// What the writer of workbooks says.
    #[error("the workbook cannot be written: {0}")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
    /// A value that arrow can't show.
    #[error("a value cannot be shown: {0}")]
    Value(#[from] arrow::error::ArrowError),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchColumn { columns, .. } => Some(format!("Its columns are {columns}.")),
            Self::TooLarge { .. } => Some("Use csv or parquet, or have the query return less.".to_owned()),
            Self::LongText { .. } => Some("Use csv or parquet, or shorten it with left(...).".to_owned()),
            Self::NotNumeric { .. } | Self::Workbook(_) | Self::Value(_) => None,
        }
    }
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;
