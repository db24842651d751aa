//! Files -> record batches: stores, listings, formats, tables.

pub mod format;
pub mod schema;
pub mod store;
