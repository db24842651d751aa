//! Data that suites make once and find again: a folder that is there is whole.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::engines::{Format, Table};

/// Rows of a row group: what engines make by default.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// The folder `name` under `data`; `make` fills it if it isn't there.
pub(crate) fn folder(data: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = data.join(name);
    if folder.exists() {
        return Ok(folder);
    }
    eprint_line(&format!("making {}", folder.display()));
    let making = data.join(format!(".making-{name}-{}", std::process::id()));
    let _an_earlier_run = fs::remove_dir_all(&making);
    fs::create_dir_all(&making).with_context(|| making.display().to_string())?;
    if let Err(error) = make(&making) {
        let _what_there_is = fs::remove_dir_all(&making);
        return Err(error);
    }
    fs::rename(&making, &folder)?;
    Ok(folder)
}

#[allow(clippy::print_stderr, reason = "progress, beside the table that is printed")]
fn eprint_line(text: &str) {
    eprintln!("{text}");
}

/// A Parquet file that batches are written to.
pub(crate) struct ParquetFile(ArrowWriter<BufWriter<File>>);

impl ParquetFile {
    /// `folder/table/part-NUMBER.parquet`.
    pub(crate) fn create(folder: &Path, table: &str, number: usize, schema: &SchemaRef) -> Result<Self> {
        fs::create_dir_all(folder.join(table))?;
        let file = File::create(folder.join(table).join(format!("part-{number}.parquet")))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        Ok(Self(ArrowWriter::try_new(BufWriter::new(file), Arc::clone(schema), Some(properties))?))
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.0.write(batch)?)
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.0.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        Ok(())
    }
}

/// The tables of a folder that has one folder a table, of Parquet files.
pub(crate) fn parquet_tables(folder: &Path) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let files = entry.path().join("*.parquet").display().to_string();
            tables.push(Table { name, files, format: Format::Parquet, columns: Vec::new() });
        }
    }
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(tables)
}
