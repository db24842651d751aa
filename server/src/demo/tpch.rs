//! TPC-H's rows, from the `tpchgen` crates, into the lake's files. Tables are made on two threads, batch by batch.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use limnos_engine::encode::Format;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RecordBatchIterator, RegionArrow,
    SupplierArrow,
};

use super::Progress;
use super::partition::{self, PartitionedWriter};

/// Least rows of one CSV file, and most files: gzip can't be split, so files are what a reader parallelises over.
const CSV_FILE_ROWS_MIN: i64 = 25_000;
const CSV_FILES_MAX: i64 = 64;

type RowCounts = Vec<(&'static str, u64)>;

/// Makes all tables under `folder` and says how many rows each has.
pub(super) fn make(folder: &Path, scale: f64, progress: &Progress) -> io::Result<BTreeMap<String, u64>> {
    // The specification's base sizes; lineitem has four lines an order on average.
    let orders = OrderGenerator::calculate_row_count(scale, 1, 1) as u64;
    progress.rows_total.store(orders * 6 + (1_160_000.0 * scale) as u64 + 30, Ordering::Relaxed);
    // lineitem is two thirds of the work, the rest is the other third.
    let (lineitem, rest) = thread::scope(|scope| {
        let lineitem = scope.spawn(|| make_lineitem(folder, scale, progress));
        let rest = make_rest(folder, scale, progress);
        (lineitem.join(), rest)
    });
    let lineitem = lineitem.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok([lineitem].into_iter().chain(rest?).map(|(name, rows)| (name.to_owned(), rows)).collect())
}

fn make_lineitem(folder: &Path, scale: f64, progress: &Progress) -> io::Result<(&'static str, u64)> {
    let rows = LineItemArrow::new(LineItemGenerator::new(scale, 1, 1));
    Ok(("lineitem", write_partitioned(&folder.join("lineitem"), "l_shipdate", rows, progress)?))
}

fn make_rest(folder: &Path, scale: f64, progress: &Progress) -> io::Result<RowCounts> {
    let write = |name, rows: &mut dyn RecordBatchIterator| -> io::Result<(&'static str, u64)> {
        Ok((name, write_single(folder, name, rows, progress)?))
    };
    let orders = OrderArrow::new(OrderGenerator::new(scale, 1, 1));
    Ok(vec![
        ("orders", write_partitioned(&folder.join("orders"), "o_orderdate", orders, progress)?),
        ("orders_csv", write_csv(&folder.join("orders_csv"), scale, progress)?),
        write("customer", &mut CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)))?,
        write("nation", &mut NationArrow::new(NationGenerator::new(scale, 1, 1)))?,
        write("part", &mut PartArrow::new(PartGenerator::new(scale, 1, 1)))?,
        write("partsupp", &mut PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)))?,
        write("region", &mut RegionArrow::new(RegionGenerator::new(scale, 1, 1)))?,
        write("supplier", &mut SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)))?,
    ])
}

fn write_partitioned(
    folder: &Path,
    date_column: &str,
    rows: impl RecordBatchIterator,
    progress: &Progress,
) -> io::Result<u64> {
    let mut writer = PartitionedWriter::new(folder.to_owned(), rows.schema().clone(), date_column);
    let mut row_count = 0;
    for batch in rows {
        writer.write(&batch)?;
        row_count += batch.num_rows() as u64;
        progress.add(batch.num_rows());
    }
    writer.finish()?;
    Ok(row_count)
}

fn write_single(folder: &Path, name: &str, rows: &mut dyn RecordBatchIterator, progress: &Progress) -> io::Result<u64> {
    let mut writer = partition::create(&folder.join(name).join("part-0.parquet"), &rows.schema().clone())?;
    let mut row_count = 0;
    for batch in rows {
        writer.write(&batch).map_err(io::Error::other)?;
        row_count += batch.num_rows() as u64;
        progress.add(batch.num_rows());
    }
    partition::close(writer)?;
    Ok(row_count)
}

fn write_csv(folder: &Path, scale: f64, progress: &Progress) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let total = OrderGenerator::calculate_row_count(scale, 1, 1);
    let file_count = (total / CSV_FILE_ROWS_MIN).clamp(1, CSV_FILES_MAX) as i32;
    let mut row_count = 0;
    for file in 0..file_count {
        let rows = OrderArrow::new(OrderGenerator::new(scale, file + 1, file_count));
        let path = folder.join(format!("orders-{file:04}.csv.gz"));
        let mut output = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::fast());
        let mut writer = Format::Csv.writer(rows.schema()).map_err(io::Error::other)?;
        for batch in rows {
            writer.write(&batch, &mut output).map_err(io::Error::other)?;
            row_count += batch.num_rows() as u64;
            progress.add(batch.num_rows());
        }
        writer.finish(&mut output).map_err(io::Error::other)?;
        output.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    }
    Ok(row_count)
}
