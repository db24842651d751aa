//! Parquet: footers, cached and checked before they are decoded; the reader; what it will read; schema drift; statistics.

mod adapter;
mod dry_run;
mod footer;
mod nested;
mod reader;
mod source;
mod statistics;

pub use adapter::CaseInsensitiveAdapterFactory;
pub(crate) use dry_run::Reads;
pub use footer::{FileKey, Footer, Footers};
pub(crate) use reader::FOOTER_CONCURRENCY;
pub use reader::{FootersAhead, ReaderFactory, SmallFiles};
pub use source::NamedFileSource;
pub(crate) use statistics::RowGroupStatistics;
