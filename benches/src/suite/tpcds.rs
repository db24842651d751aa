//! `tpcds`: the benchmark's 99 queries. Data and queries come from DuckDB's extension, when the suite is first run: the
//! queries are the benchmark's own, so they are not kept with the source.

use anyhow::{Result, ensure};

use super::{Query, Suite, data, tpch};
use crate::engines::Environment;

/// The suite, its data made.
pub(crate) fn suite(options: &tpch::Options) -> Result<Suite> {
    let common = &options.common;
    let folder = data::folder(&common.data_folder()?, &format!("tpcds-{}", options.scale), |folder| {
        let environment = Environment::find(common.venv.as_deref())?;
        let mut command = environment.python_of_generators("generate.py");
        let status = command.arg(options.scale.to_string()).arg(folder).status()?;
        ensure!(status.success(), "TPC-DS could not be made");
        Ok(())
    })?;
    let kind = if options.memory { " in memory" } else { "" };
    let tables = folder.join("tables");
    Ok(Suite {
        name: if options.memory { "tpcds-memory" } else { "tpcds" }.to_owned(),
        title: format!("TPC-DS {}{kind}", options.scale),
        tables: data::parquet_tables(&tables)?,
        folder: tables.display().to_string(),
        queries: Query::of_folder(&folder.join("queries"))?,
        in_memory: options.memory,
        s3: None,
    })
}
