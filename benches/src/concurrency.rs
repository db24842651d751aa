//! `concurrency`: the dashboard's queries from many clients at once, each asking one after the other for some seconds, and
//! the same from two. Queries a second, medians and 99th percentiles of what a client waited, errors. Many clients must not
//! make it slower than two, and how long one waits is the queue's length.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use tokio::runtime::Handle;

use crate::engines::{Limnos, LimnosOptions, connect, describe};
use crate::process::limnos_binary;
use crate::suite::dashboard;

/// Options of the suite.
#[derive(Debug, Clone, clap::Args)]
// The suite that it holds has a group of this name.
#[group(skip)]
pub(crate) struct Options {
    /// How many ask at once
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: usize,
    /// For how long
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
    #[command(flatten)]
    pub(crate) dashboard: dashboard::Options,
}

/// What came of so many clients.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) queries: usize,
    pub(crate) errors: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_bytes: u64,
}

impl Load {
    pub(crate) fn queries_per_second(&self) -> f64 {
        self.queries as f64 / self.seconds
    }

    /// For the file of figures.
    pub(crate) fn json(&self) -> serde_json::Value {
        json!({
            "clients": self.clients, "queries": self.queries, "errors": self.errors.len(),
            "queries_per_second": self.queries_per_second(), "p50_ms": self.p50_ms, "p99_ms": self.p99_ms,
            "max_ms": self.max_ms, "cpu_seconds": self.cpu_seconds, "peak_bytes": self.peak_bytes,
        })
    }
}

/// Measures two clients, many, and two again: the machine may have become slower meanwhile.
pub(crate) fn run(runtime: &Handle, options: &Options) -> Result<Vec<Load>> {
    let common = &options.dashboard.common;
    let suite = dashboard::suite(&options.dashboard)?;
    let limnos = LimnosOptions {
        label: "limnos".to_owned(),
        binary: limnos_binary(common.limnos.as_deref())?,
        root: suite.folder.clone(),
        s3: None,
        settings: common.set.clone(),
    };
    let mut limnos = Limnos::start(runtime, limnos, &common.resources()?)?;
    limnos.add_tables(&suite.folder, &suite.tables, suite.in_memory)?;
    let queries: Vec<String> =
        suite.queries.iter().filter(|query| common.wants(&query.name)).map(|query| query.sql.clone()).collect();
    for query in &queries {
        limnos.rows(query)?;
    }
    let duration = Duration::from_secs(options.seconds);
    [2, options.clients, 2].iter().map(|clients| load(runtime, &limnos, *clients, duration, &queries)).collect()
}

fn load(runtime: &Handle, limnos: &Limnos, clients: usize, duration: Duration, queries: &[String]) -> Result<Load> {
    use crate::engines::Engine as _;

    let meter = limnos.meter();
    meter.forget_peak();
    let cpu_before = meter.cpu_seconds().unwrap_or(0.0);
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|number| runtime.spawn(client(limnos.address().to_owned(), queries.to_vec(), number, began + duration)))
        .collect();
    let (mut waited, mut errors) = (Vec::new(), Vec::new());
    for task in tasks {
        match runtime.block_on(task)? {
            Ok((its_waits, its_errors)) => {
                waited.extend(its_waits);
                errors.extend(its_errors);
            }
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    waited.sort_by(f64::total_cmp);
    let at =
        |part: f64| waited.get(((waited.len() as f64 * part) as usize).min(waited.len().saturating_sub(1))).copied();
    Ok(Load {
        clients,
        queries: waited.len(),
        errors,
        seconds,
        p50_ms: at(0.5).unwrap_or(0.0),
        p99_ms: at(0.99).unwrap_or(0.0),
        max_ms: at(1.0).unwrap_or(0.0),
        cpu_seconds: meter.cpu_seconds().unwrap_or(0.0) - cpu_before,
        peak_bytes: meter.peak_bytes().unwrap_or(0),
    })
}

/// One client's waits and errors. Each begins with another query.
async fn client(
    address: String,
    queries: Vec<String>,
    number: usize,
    until: Instant,
) -> Result<(Vec<f64>, Vec<String>)> {
    let client = connect(&address).await?;
    let (mut waited, mut errors) = (Vec::new(), Vec::new());
    for query in queries.iter().cycle().skip(number % queries.len().max(1)) {
        if Instant::now() >= until {
            break;
        }
        let began = Instant::now();
        match client.simple_query(query).await {
            Ok(_) => waited.push(began.elapsed().as_secs_f64() * 1e3),
            Err(error) => {
                errors.push(describe(&error));
                if client.is_closed() {
                    break;
                }
            }
        }
    }
    Ok((waited, errors))
}

/// Whether a folder of results was asked for somewhere else.
pub(crate) fn out(options: &Options) -> Option<&Path> {
    options.dashboard.common.out.as_deref()
}
