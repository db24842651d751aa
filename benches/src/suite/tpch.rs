//! `tpch`: the benchmark's 22 queries (`sql/tpch`), over Parquet files of its generator, or in memory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use limnos_tests::paths;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RecordBatchIterator, RegionArrow,
    SupplierArrow,
};

use super::data::{self, ParquetFile};
use super::{Query, Suite};
use crate::arguments::Common;

/// Options of the suite.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// 1 is a gigabyte of raw data
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
    let folder = parquet(&options.common.data_folder()?, options.scale)?;
    let kind = if options.memory { " in memory" } else { "" };
    Ok(Suite {
        name: if options.memory { "tpch-memory" } else { "tpch" }.to_owned(),
        title: format!("TPC-H {}{kind}", options.scale),
        tables: data::parquet_tables(&folder)?,
        folder: folder.display().to_string(),
        queries: Query::of_folder(&paths::sql().join("tpch"))?,
        in_memory: options.memory,
        s3: None,
    })
}

/// The folder of the tables as Parquet.
pub(crate) fn parquet(data_folder: &Path, scale: f64) -> Result<PathBuf> {
    data::folder(data_folder, &format!("tpch-{scale}"), |folder| {
        each_table(scale, &mut |name, rows| {
            let mut file = ParquetFile::create(folder, name, 0, rows.schema())?;
            for batch in rows {
                file.write(&batch)?;
            }
            file.finish()
        })
    })
}

/// Hands all tables over, rows as they are made.
pub(crate) fn each_table(
    scale: f64,
    each: &mut dyn FnMut(&str, &mut dyn RecordBatchIterator) -> Result<()>,
) -> Result<()> {
    each("region", &mut RegionArrow::new(RegionGenerator::new(scale, 1, 1)))?;
    each("nation", &mut NationArrow::new(NationGenerator::new(scale, 1, 1)))?;
    each("supplier", &mut SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)))?;
    each("customer", &mut CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)))?;
    each("part", &mut PartArrow::new(PartGenerator::new(scale, 1, 1)))?;
    each("partsupp", &mut PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)))?;
    each("orders", &mut OrderArrow::new(OrderGenerator::new(scale, 1, 1)))?;
    each("lineitem", &mut LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)))
}
