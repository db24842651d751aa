//! Parquet: footers, cached and checked before they are decoded; the reader; schema drift; statistics.

mod access;
mod adapter;
mod footer;
mod late;
mod nested;
mod reader;
pub(crate) mod requests;
mod row_groups;
mod small_files;
mod source;
mod statistics;

pub(crate) use access::Filtered;
pub use adapter::CaseInsensitiveAdapterFactory;
pub use footer::{FileKey, Footer, Footers};
pub(crate) use footer::{SMALL_FILE_BYTES, first_range};
pub(crate) use late::LateRule;
pub(crate) use reader::FOOTER_CONCURRENCY;
pub use reader::{FootersAhead, ReaderFactory};
pub(crate) use row_groups::{FirstRowGroup, FirstRowGroups};
pub use small_files::SmallFiles;
pub use source::NamedFileSource;
pub(crate) use statistics::RowGroupStatistics;
