//! Files -> record batches: stores, listings, formats, tables.

pub(crate) mod bookmark;
pub(crate) mod drift;
pub mod facts;
pub mod format;
mod known_rows;
pub mod listing;
pub mod parquet;
pub mod report;
pub mod schema;
pub mod store;
pub mod survey;
pub mod table;
