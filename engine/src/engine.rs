//! [`Engine`]: the facade that the server calls. Prepares and executes one statement at a time.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use futures::stream::BoxStream;
use limnos_catalog::Catalog;

use crate::clock::Clock;
use crate::execute::{QueryContext, QueryStats};
use crate::parse::ParsedStatement;
use crate::scan::store::StoreOptions;
use crate::{Notice, Result, Session};

/// What an engine needs to know once.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The roots that SQL may read or write, and how to reach object stores.
    pub stores: StoreOptions,
    /// What all queries together may hold, in bytes.
    pub memory_limit_bytes: u64,
    /// Where queries spill. Emptied at start.
    pub spill_dir: PathBuf,
    /// Most bytes of spill files.
    pub spill_limit_bytes: u64,
    /// Threads of the CPU runtime, and partitions of a plan.
    pub threads: usize,
    /// Bytes for Parquet footers and indexes.
    pub footer_cache_bytes: u64,
}

/// Runs statements over one catalog.
#[derive(Debug)]
pub struct Engine {}

/// A statement with its names resolved and types known.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What was parsed.
    pub statement: Arc<ParsedStatement>,
    /// The types of `$1`, `$2`, ...
    pub parameter_types: Vec<DataType>,
    /// The columns of the answer; `None` for a statement that answers with a tag only.
    pub schema: Option<SchemaRef>,
}

/// The last word of an answer (PostgreSQL's CommandComplete).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandTag {
    /// `SELECT n`: the word, to which the server adds the count of rows sent.
    Rows(&'static str),
    /// `CREATE TABLE` and the like.
    Plain(String),
}

/// A running statement. Dropping the stream stops it.
pub struct Outcome {
    /// The columns of the batches; `None` when there are none.
    pub schema: Option<SchemaRef>,
    /// The rows; polled from any runtime, produced on the CPU runtime.
    pub stream: BoxStream<'static, Result<RecordBatch>>,
    /// What to say at the end.
    pub tag: CommandTag,
    /// Told before the rows.
    pub notices: Vec<Notice>,
    /// Counts while it runs and after.
    pub stats: Arc<QueryStats>,
}

impl Engine {
    /// An engine over `catalog`.
    ///
    /// # Errors
    /// When a root can't be opened or the spill directory can't be made.
    pub fn new(_catalog: Arc<Catalog>, _config: EngineConfig, _clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        todo!()
    }

    /// The catalog this engine reads.
    pub fn catalog(&self) -> &Arc<Catalog> {
        todo!()
    }

    /// Resolves names and types. `parameter_types` are those the client declared; `None` is to be inferred.
    ///
    /// # Errors
    /// Undefined names, type errors, unsupported statements.
    pub async fn prepare(
        self: &Arc<Self>,
        _session: &Session,
        _statement: Arc<ParsedStatement>,
        _parameter_types: &[Option<DataType>],
    ) -> Result<Prepared> {
        todo!()
    }

    /// Runs a prepared statement. `parameters` are arrays of length 1 of the prepared types. Statements such as SET and
    /// USE change `session`.
    ///
    /// # Errors
    /// Everything that can go wrong before the first row; later errors come through the stream.
    pub async fn execute(
        self: &Arc<Self>,
        _session: &mut Session,
        _prepared: &Prepared,
        _parameters: &[ArrayRef],
        _context: QueryContext,
    ) -> Result<Outcome> {
        todo!()
    }
}
