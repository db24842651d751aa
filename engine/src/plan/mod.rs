//! A query becomes a DataFusion plan: names resolved in one catalog snapshot, PostgreSQL's catalogs answered.
//!
//! 1. [`lake`]: the snapshot as DataFusion's catalogs, schemas and tables, made per query and thrown away with it.
//! 2. [`query`]: a parsed query -> a logical plan and the names PostgreSQL gives its columns.
//!    [`field_name`]: the fields inside its struct columns, found without regard to case.
//!    [`operator`]: intervals times numbers. [`single_row`]: scalar subqueries that give one row or fail.
//!    [`constant`]: constants of a named type, read as PostgreSQL reads them. [`type_name`]: its types that Arrow has not.
//!    [`authorize`]: who may do what.
//!    [`hidden`]: columns that are there where they are named. [`document`]: Excel and XML in FROM.
//! 3. [`explain`]: a plan -> the text of EXPLAIN; [`cost`]: what it will read.
//! 4. [`kept`]: plans, for whoever asks the same again. [`options`]: what differs from statement to statement.
//! 5. [`pg_catalog`], [`information_schema`], [`system`]: schemas that are not in the catalog.

pub mod authorize;
pub(crate) mod constant;
mod cost;
mod document;
mod expansion;
pub(crate) mod explain;
pub(crate) mod field_name;
pub(crate) mod hidden;
pub mod information_schema;
pub(crate) mod kept;
pub(crate) mod lake;
pub(crate) mod operator;
pub(crate) mod options;
pub mod pg_catalog;
pub(crate) mod query;
pub(crate) mod single_row;
mod size;
pub(crate) mod stop;
pub mod system;
pub(crate) mod type_name;
