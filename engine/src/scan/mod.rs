//! Files -> record batches: stores, listings, formats, tables.

pub mod format;
pub mod listing;
pub mod parquet;
pub mod report;
pub mod schema;
pub mod store;
pub mod table;
