//! `clickbench`: 43 queries in the manner of ClickBench's (`sql/clickbench`) on a table of its columns, made up by
//! [`crate::hits`]. Ties are broken by further columns of the ORDER BY, so that answers can be compared.

use std::path::{Path, PathBuf};

use anyhow::Result;
use limnos_tests::paths;

use super::data::{self, ParquetFile};
use super::{Query, Suite};
use crate::arguments::Common;
use crate::hits;

/// Options of the suite.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Rows of the table; ClickBench's has 100 million
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) rows: u64,
    /// On datasets, against the peers' tables in memory
    #[arg(long)]
    pub(crate) memory: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The suite, its data made.
pub(crate) fn suite(options: &Options) -> Result<Suite> {
    let folder = parquet(&options.common.data_folder()?, options.rows)?;
    let kind = if options.memory { " in memory" } else { "" };
    Ok(Suite {
        name: if options.memory { "clickbench-memory" } else { "clickbench" }.to_owned(),
        title: format!("ClickBench's queries on {} made-up rows{kind}", options.rows),
        tables: data::parquet_tables(&folder)?,
        folder: folder.display().to_string(),
        queries: Query::of_folder(&paths::sql().join("clickbench"))?,
        in_memory: options.memory,
        s3: None,
    })
}

/// The folder of the table.
pub(crate) fn parquet(data_folder: &Path, rows: u64) -> Result<PathBuf> {
    data::folder(data_folder, &format!("hits-{rows}"), |folder| {
        for number in 0..rows.div_ceil(hits::FILE_ROWS) {
            let mut file = ParquetFile::create(folder, "hits", number as usize, &hits::schema())?;
            for batch in hits::batches(rows, number) {
                file.write(&batch?)?;
            }
            file.finish()?;
        }
        Ok(())
    })
}
