//! Parquet: footers, cached and checked before they are decoded; the reader; schema drift; statistics.

mod adapter;
mod encryption;
mod footer;
mod nested;
mod reader;
mod source;
mod statistics;

pub use adapter::CaseInsensitiveAdapterFactory;
pub(crate) use adapter::file_positions;
pub use footer::{FileKey, Footer, Footers};
pub(crate) use reader::FOOTER_CONCURRENCY;
pub use reader::{FootersAhead, ReaderFactory, SmallFiles};
pub use source::NamedFileSource;
pub(crate) use source::named;
pub(crate) use statistics::RowGroupStatistics;

#[cfg(test)]
mod tests;
