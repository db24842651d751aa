//! Parquet: footers, cached and checked before they are decoded; the reader; what it will read; schema drift; statistics.

mod access;
mod adapter;
mod dry_run;
mod encryption;
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
pub(crate) use adapter::file_positions;
pub(crate) use dry_run::Reads;
pub use footer::{FileKey, Footer, Footers};
pub(crate) use footer::{SMALL_FILE_BYTES, first_range};
pub(crate) use late::LateRule;
pub(crate) use reader::FOOTER_CONCURRENCY;
pub use reader::{FootersAhead, ReaderFactory};
pub(crate) use row_groups::{FirstRowGroup, FirstRowGroups};
pub use small_files::SmallFiles;
pub use source::NamedFileSource;
pub(crate) use source::named;
pub(crate) use statistics::RowGroupStatistics;

#[cfg(test)]
mod tests;
