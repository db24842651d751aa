//! [`PartitionedWriter`]: rows in any order -> one Parquet file per month, in bounded memory. Also the one place that
//! says how the lake's Parquet files are written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Date32Type, SchemaRef};
use chrono::{Datelike, NaiveDate, TimeDelta};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// Rows that are gathered for a partition before its writer sees them: encoders are slow on slivers.
const GATHERED_ROWS: usize = 8 * 1024;

/// What all open writers of a table may hold; beyond it the largest ends its row group early.
const OPEN_BYTES_MAX: usize = 256 << 20;

/// Columns whose values lie scattered, so that statistics prune nothing and a bloom filter does.
const BLOOM_FILTER_COLUMNS: [&str; 2] = ["o_custkey", "l_partkey"];

type ParquetFile = ArrowWriter<BufWriter<File>>;

/// Year and month.
type Month = (i32, u32);

/// Opens one Parquet file of the lake.
pub(super) fn create(path: &Path, schema: &SchemaRef) -> io::Result<ParquetFile> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by(concat!("limnos ", env!("CARGO_PKG_VERSION")).to_owned());
    for column in BLOOM_FILTER_COLUMNS.iter().filter(|column| schema.column_with_name(column).is_some()) {
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(*column), true);
    }
    // Plain Parquet, as every other tool writes it: no Arrow schema inside.
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(BufWriter::new(File::create(path)?), Arc::clone(schema), options)
        .map_err(io::Error::other)
}

/// Ends a file and waits until the disk has it.
pub(super) fn close(writer: ParquetFile) -> io::Result<()> {
    let buffer = writer.into_inner().map_err(io::Error::other)?;
    buffer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// One file per month of a date column, at `year=1995/month=01/part-0.parquet`.
pub(super) struct PartitionedWriter {
    folder: PathBuf,
    schema: SchemaRef,
    date_column: usize,
    partitions: BTreeMap<Month, Partition>,
}

struct Partition {
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    writer: ParquetFile,
}

impl PartitionedWriter {
    pub(super) fn new(folder: PathBuf, schema: SchemaRef, date_column: &str) -> Self {
        let date_column = schema.index_of(date_column).expect("the table has its date column");
        Self { folder, schema, date_column, partitions: BTreeMap::new() }
    }

    /// Sorts the rows of `batch` to their months.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let mut rows_by_month: BTreeMap<Month, Vec<u32>> = BTreeMap::new();
        for (row, days) in batch.column(self.date_column).as_primitive::<Date32Type>().values().iter().enumerate() {
            let row = u32::try_from(row).expect("batches are small");
            rows_by_month.entry(month_of(*days)).or_default().push(row);
        }
        for (month, rows) in rows_by_month {
            let rows = take_record_batch(batch, &UInt32Array::from(rows)).map_err(io::Error::other)?;
            self.partition(month)?.gather(rows)?;
        }
        self.bound_memory()
    }

    /// Ends all files.
    pub(super) fn finish(self) -> io::Result<()> {
        for mut partition in self.partitions.into_values() {
            partition.encode()?;
            close(partition.writer)?;
        }
        Ok(())
    }

    fn partition(&mut self, month: Month) -> io::Result<&mut Partition> {
        Ok(match self.partitions.entry(month) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let (year, month) = month;
                let path = self.folder.join(format!("year={year}/month={month:02}/part-0.parquet"));
                let writer = create(&path, &self.schema)?;
                entry.insert(Partition { gathered: Vec::new(), gathered_rows: 0, writer })
            }
        })
    }

    fn bound_memory(&mut self) -> io::Result<()> {
        let open_bytes: usize = self.partitions.values().map(|partition| partition.writer.memory_size()).sum();
        if open_bytes <= OPEN_BYTES_MAX {
            return Ok(());
        }
        let largest = self.partitions.values_mut().max_by_key(|partition| partition.writer.memory_size());
        largest.map_or(Ok(()), |partition| partition.writer.flush().map_err(io::Error::other))
    }
}

impl Partition {
    fn gather(&mut self, rows: RecordBatch) -> io::Result<()> {
        self.gathered_rows += rows.num_rows();
        self.gathered.push(rows);
        if self.gathered_rows < GATHERED_ROWS { Ok(()) } else { self.encode() }
    }

    fn encode(&mut self) -> io::Result<()> {
        let Some(first) = self.gathered.first() else {
            return Ok(());
        };
        let rows = concat_batches(&first.schema(), &self.gathered).map_err(io::Error::other)?;
        self.gathered.clear();
        self.gathered_rows = 0;
        self.writer.write(&rows).map_err(io::Error::other)
    }
}

fn month_of(days: i32) -> Month {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("1970 began");
    let date = epoch + TimeDelta::days(i64::from(days));
    (date.year(), date.month())
}
