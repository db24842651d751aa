//! Files -> record batches: stores, listings, formats, tables.

pub(crate) mod drift;
pub mod facts;
pub mod format;
pub(crate) mod freshness;
mod known_rows;
pub mod listing;
pub mod parquet;
pub mod report;
pub mod schema;
pub mod store;
pub mod survey;
pub mod table;
