//! The engines that a suite asks, each in a process of its own: [`Limnos`], a real server over the PostgreSQL protocol, and
//! [`Peer`], another engine behind `peers/peer.py`.

mod limnos;
mod peer;

use std::time::Duration;

use anyhow::Result;

pub(crate) use limnos::{Limnos, LimnosOptions, connect, describe};
pub(crate) use peer::{Environment, Peer, PeerOptions, cache_folder};

use crate::answer::Answer;
use crate::process::Meter;

/// A table as all engines are told of it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// A glob.
    pub(crate) files: String,
    pub(crate) format: Format,
    /// Names and types, for formats that have none: bigint, int, double, decimal(p,s), date, timestamp, string.
    pub(crate) columns: Vec<(String, String)>,
}

/// What a table's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    /// With a header, quoted where it must be.
    Csv,
}

/// Where objects are, for suites over a network.
#[derive(Debug, Clone)]
pub(crate) struct S3Access {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// What all engines are given alike.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    pub(crate) threads: usize,
    pub(crate) memory_bytes: u64,
    /// After so long a query has failed.
    pub(crate) timeout: Duration,
}

/// One query, once.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ms: f64,
    pub(crate) row_count: u64,
    /// Where it was asked for.
    pub(crate) answer: Option<Answer>,
    /// Requests to stores and bytes read; known of ours only.
    pub(crate) io: Option<(u64, u64)>,
}

/// Who answers queries.
pub(crate) trait Engine {
    /// As in the tables of results.
    fn label(&self) -> &str;

    /// With its version.
    fn version(&self) -> &str;

    /// Its process, now.
    fn meter(&self) -> Meter;

    /// Runs a query. The inner error is the engine's no; the outer one, that there is no engine any more.
    fn query(&mut self, sql: &str, with_rows: bool) -> Result<Result<Ran, String>>;

    /// A new process that knows the same tables.
    fn restart(&mut self) -> Result<()>;
}
