//! `limnos-benches SUITE`: the paths that Limnos owns, measured, and the same queries on other engines. See `README.md`.
//!
//! ```text
//! partitions, introspection, latency      the engine in this process
//! transfer                                a server, and PostgreSQL
//! tpch, tpcds, clickbench, dashboard,     a server and the peers (`engines`), in turn, answers compared (`suite`),
//! csv, s3                                 figures, chart, RESULTS.md (`report`)
//! concurrency                             a server and many clients
//! ```
#![allow(clippy::print_stdout, reason = "a program that prints a table")]
#![allow(clippy::disallowed_methods, reason = "arguments of a measuring program")]

mod answer;
mod arguments;
mod concurrency;
mod engines;
mod hits;
mod in_process;
mod introspection;
mod latency;
mod partitions;
mod process;
mod report;
mod suite;
mod transfer;

use anyhow::Result;
use clap::Parser;
use tokio::runtime::Runtime;

use suite::{Suite, clickbench, csv, dashboard, s3, tpcds, tpch};

#[derive(Parser)]
#[command(name = "limnos-benches", about = "Measures Limnos, and the same queries on other engines")]
struct Arguments {
    #[command(subcommand)]
    suite: Suites,
}

#[derive(clap::Subcommand)]
enum Suites {
    /// Tables of many partitions: adding them, opening the catalog, planning a query that names one
    Partitions {
        /// A PostgreSQL for the catalog [default: an SQLite file]
        #[arg(long, value_name = "URL")]
        catalog: Option<String>,
        /// How many partitions
        #[arg(default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
        counts: Vec<usize>,
    },
    /// What tools ask of information_schema and pg_catalog
    Introspection {
        /// How many tables
        #[arg(default_values_t = [100, 1_000, 10_000])]
        counts: Vec<usize>,
    },
    /// Scans over an S3 that is slow to answer, with and without reading ahead
    Latency {
        /// Milliseconds that each answer takes longer
        #[arg(long, default_value_t = 30)]
        ms: u64,
    },
    /// Rows out of Limnos and PostgreSQL, to a client that reads and discards
    Transfer(transfer::Options),
    /// TPC-H's 22 queries
    Tpch(tpch::Options),
    /// TPC-DS's 99 queries
    Tpcds(tpch::Options),
    /// ClickBench's 43 queries, on a made-up table
    Clickbench(clickbench::Options),
    /// What the tiles of a dashboard ask
    Dashboard(dashboard::Options),
    /// TPC-H from CSV
    Csv(tpch::Options),
    /// TPC-H over an S3 that is slow to answer
    S3(s3::Options),
    /// A dashboard's queries from many clients at once
    Concurrency(concurrency::Options),
}

fn main() -> Result<()> {
    let runtime = Runtime::new()?;
    let compare = |suite: Suite, common: &arguments::Common| {
        println!("{}", suite.title);
        let results = suite::run(runtime.handle(), &suite, common, None)?;
        report::finish(&suite, &results, common)
    };
    match Arguments::parse().suite {
        Suites::Partitions { catalog, counts } => runtime.block_on(partitions::partitions(&counts, catalog.as_deref())),
        Suites::Introspection { counts } => runtime.block_on(introspection::introspection(&counts)),
        Suites::Latency { ms } => runtime.block_on(latency::latency(ms)),
        Suites::Transfer(options) => transfer::transfer(&options),
        Suites::Tpch(options) => compare(tpch::suite(&options)?, &options.common),
        Suites::Tpcds(options) => compare(tpcds::suite(&options)?, &options.common),
        Suites::Clickbench(options) => compare(clickbench::suite(&options)?, &options.common),
        Suites::Dashboard(options) => compare(dashboard::suite(&options)?, &options.common),
        Suites::Csv(options) => compare(csv::suite(&options)?, &options.common),
        Suites::S3(options) => {
            let (suite, results) = s3::run(runtime.handle(), &options)?;
            report::finish(&suite, &results, &options.common)
        }
        Suites::Concurrency(options) => {
            let loads = concurrency::run(runtime.handle(), &options)?;
            report::finish_load(&loads, &options)
        }
    }
}
