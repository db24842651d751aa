//! `s3`: TPC-H over S3 on the loopback address, every answer of which takes some milliseconds longer, as over a network. Each
//! query's requests and bytes are counted where they arrive, so plans that are bound by requests show.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use limnos_tests::paths;
use limnos_tests::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use tokio::runtime::Handle;

use super::{Query, Results, Suite, data, tpch};
use crate::arguments::Common;
use crate::engines::S3Access;

const BUCKET: &str = "lake";

/// Options of the suite.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// TPC-H's scale
    #[arg(long, default_value_t = 0.1)]
    pub(crate) scale: f64,
    /// Milliseconds that each answer takes longer
    #[arg(long, value_name = "MS", default_value_t = 30)]
    pub(crate) latency: u64,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Runs it; the server's figures take the place of what Limnos itself says.
pub(crate) fn run(runtime: &Handle, options: &Options) -> Result<(Suite, Results)> {
    let folder = tpch::parquet(&options.common.data_folder()?, options.scale)?;
    let server = Arc::new(runtime.block_on(S3Server::start(BUCKET))?);
    let mut tables = data::parquet_tables(&folder)?;
    for table in &mut tables {
        let there = server.root().join(BUCKET).join(&table.name);
        fs::create_dir_all(&there)?;
        for entry in fs::read_dir(folder.join(&table.name))? {
            let entry = entry?;
            fs::copy(entry.path(), there.join(entry.file_name()))?;
        }
        table.files = format!("s3://{BUCKET}/{}/*.parquet", table.name);
    }
    let suite = Suite {
        name: "s3".to_owned(),
        title: format!("TPC-H {} over S3, {} ms an answer", options.scale, options.latency),
        folder: format!("s3://{BUCKET}/"),
        tables,
        queries: Query::of_folder(&paths::sql().join("tpch"))?,
        in_memory: false,
        s3: Some(S3Access {
            endpoint: server.endpoint().to_owned(),
            bucket: BUCKET.to_owned(),
            key: ACCESS_KEY.to_owned(),
            secret: SECRET_KEY.to_owned(),
        }),
    };
    server.faults.latency_ms.store(options.latency, Ordering::SeqCst);
    let counts = || {
        let seen = server.counts();
        server.reset_counts();
        (seen.total() as u64, seen.body_bytes)
    };
    let results = super::run(runtime, &suite, &options.common, Some(&counts))?;
    Ok((suite, results))
}
