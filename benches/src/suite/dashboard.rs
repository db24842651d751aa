//! `dashboard`: what the tiles of a dashboard ask (`sql/dashboard`): filters, groups and top rows of page views, and the shapes
//! of TPC-H's queries 1, 6, 12 and 14. On Parquet, or on datasets against the peers' tables in memory.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use limnos_tests::paths;

use super::{Query, Suite, clickbench, data, tpch};
use crate::arguments::Common;

/// The tables of TPC-H that are asked for.
const TABLES: [&str; 3] = ["lineitem", "orders", "part"];

/// Options of the suite.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Page views
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u64,
    /// TPC-H's scale
    #[arg(long, default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// On datasets, against the peers' tables in memory
    #[arg(long)]
    pub(crate) memory: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The suite, its data made.
pub(crate) fn suite(options: &Options) -> Result<Suite> {
    let folder = parquet(options)?;
    let kind = if options.memory { " in memory" } else { "" };
    Ok(Suite {
        name: if options.memory { "dashboard-memory" } else { "dashboard" }.to_owned(),
        title: format!("Dashboard on {} page views and TPC-H {}{kind}", options.rows, options.scale),
        tables: data::parquet_tables(&folder)?,
        folder: folder.display().to_string(),
        queries: Query::of_folder(&paths::sql().join("dashboard"))?,
        in_memory: options.memory,
        s3: None,
    })
}

/// Both suites' files in one folder: links, so they take no room.
fn parquet(options: &Options) -> Result<PathBuf> {
    let data_folder = options.common.data_folder()?;
    let views = clickbench::parquet(&data_folder, options.rows)?.join("hits");
    let orders = tpch::parquet(&data_folder, options.scale)?;
    let name = format!("dashboard-{}-{}", options.rows, options.scale);
    data::folder(&data_folder, &name, |folder| {
        let sources = TABLES.iter().map(|table| (*table, orders.join(table))).chain([("hits", views)]);
        for (table, source) in sources {
            fs::create_dir_all(folder.join(table))?;
            for entry in fs::read_dir(source)? {
                let entry = entry?;
                fs::hard_link(entry.path(), folder.join(table).join(entry.file_name()))?;
            }
        }
        Ok(())
    })
}
