//! Files -> record batches: stores, listings, formats, tables.

pub(crate) mod ahead;
pub(crate) mod bookmark;
#[cfg(test)]
mod broken;
pub(crate) mod drift;
pub(crate) mod estimate;
pub mod facts;
pub(crate) mod files_version;
pub mod format;
pub(crate) mod freshness;
pub(crate) mod hidden;
mod known_rows;
pub(crate) mod limit;
pub mod listing;
pub mod parquet;
pub mod rejects;
pub mod report;
pub mod schema;
pub(crate) mod settings;
pub mod store;
pub mod survey;
pub mod table;
