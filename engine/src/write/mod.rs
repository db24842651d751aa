//! Rows -> tables: CREATE TABLE AS, INSERT INTO, INSERT OVERWRITE.
//!
//! The life of a write:
//! 1. [`plan`]: the statement's query, with [`assign`]ed types, gives rows of the table's columns, keys last
//!    ([`definition`] says what table CREATE TABLE AS makes).
//! 2. [`open`]: the catalog is told that a write begins. From here on its files are known as half-written.
//! 3. [`rows`]: batches go into files, in the [`folder`]s of their partitions, through [`mod@file`].
//! 4. [`run`]: one commit makes the table, its partitions and all files visible, and those that they replace not.
//! 5. [`sweep`]: files that nobody sees any more are deleted, and those of writes whose process died.
//!
//! [`copy_in`] writes rows that a client sends, by the same way from 2 on.
//! `remove` (DELETE, TRUNCATE) and `optimize` work on the partitions that a condition has [`chosen`]; `unload` and
//! [`copy`](mod@copy) write files of no table.

mod assign;
mod chosen;
mod copy;
pub mod copy_in;
pub(crate) mod definition;
mod execute;
pub mod file;
pub(crate) mod folder;
pub(crate) mod open;
pub(crate) mod optimize;
mod order;
pub(crate) mod plan;
mod remove;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod sweep;
mod unload;

pub(crate) use copy::{copy, file_options as copy_options};
pub(crate) use execute::{execute, physical_plan};
pub(crate) use optimize::optimize;
pub(crate) use plan::plan_write;
pub(crate) use remove::remove;
pub(crate) use unload::unload;
