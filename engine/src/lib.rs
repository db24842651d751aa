//! HOW A QUERY RUNS. The only crate that names DataFusion.
//!
//! The life of a statement, module by module in the order it meets them:
//! 1. [`session`]: who asks, in which database, with which settings.
//! 2. [`parse`]: SQL text, bounded in size and nesting, becomes [`parse::Statement`]s: ours (DDL, SHOW, SET, ...) or a query.
//! 3. [`plan`]: names are resolved in one catalog snapshot; a query becomes a DataFusion plan. No object store is touched.
//! 4. [`prune`]: the predicate is evaluated over the catalog's partitions, once, vectorised.
//! 5. [`scan`]: what survives is listed, pruned by file statistics, and read.
//! 6. [`execute`]: the plan runs on the CPU runtime, in its own memory pool, and yields record batches and statistics.
//! 7. [`command`]: our own statements are carried out against the catalog.
//! 8. [`encode`]: batches become CSV, JSON, Parquet or a text table.
//!
//! What transaction blocks do is in `transaction` and [`session::Block`]. [`mod@write`] makes files. [`cache`] names what is kept between queries, `result_cache` keeps answers. [`crawl`] looks at files
//! and says what tables they are. [`function`] holds SQL functions DataFusion lacks.

pub mod cache;
pub mod clock;
pub mod command;
pub mod crawl;
#[allow(dead_code, reason = "who fills datasets comes with CREATE DATASET")]
pub(crate) mod dataset;
pub mod encode;
pub mod engine;
pub mod error;
pub mod execute;
pub mod function;
pub mod input;
pub mod limits;
pub mod parse;
pub mod plan;
pub mod prune;
pub(crate) mod result_cache;
pub mod scan;
pub mod schedule;
pub mod session;
mod transaction;
pub mod write;

pub use engine::{CommandTag, Engine, EngineConfig, Outcome, Prepared};
pub use error::{Error, ErrorCode, Notice, Result};
pub use session::Session;
