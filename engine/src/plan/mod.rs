//! A query becomes a DataFusion plan: names resolved in one catalog snapshot, PostgreSQL's catalogs answered.

pub mod information_schema;
pub mod pg_catalog;
