//! [`PatternDecoder`]: a file's bytes -> record batches of the wanted columns.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::lines::LineSplitter;
use super::{LinePattern, PatternOptions};
use crate::scan::format::column::ColumnBuilder;
use crate::scan::format::scalar::shorten;
use crate::scan::format::split::RowStart;
use crate::scan::format::{Decode, OnError, WantedColumn, invalid_utf8, located};
use crate::{Error, ErrorCode, Result};

/// Decodes one file.
#[derive(Debug)]
pub struct PatternDecoder {
    file: String,
    splitter: LineSplitter,
    header_rows: u64,
    on_error: Option<OnError>,
    /// `None` where only the lines are counted.
    pattern: Option<LinePattern>,
    columns: Vec<(String, ColumnBuilder)>,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    rows_max: usize,
}

impl PatternDecoder {
    /// A decoder for `columns`, whose batches have `schema` and up to `rows_max` rows.
    ///
    /// # Errors
    /// As [`PatternOptions::compile`].
    pub fn new(
        file: &str,
        options: &PatternOptions,
        columns: &[WantedColumn],
        schema: SchemaRef,
        rows_max: usize,
    ) -> Result<Self> {
        let wanted: Vec<usize> = columns.iter().map(|wanted| wanted.index).collect();
        // Without a wanted column a line counts whether it fits or not, unless it must.
        let needs_pattern = !wanted.is_empty() || options.on_error == Some(OnError::Fail);
        Ok(Self {
            file: file.to_owned(),
            splitter: LineSplitter::default(),
            header_rows: options.header_rows,
            on_error: options.on_error,
            pattern: if needs_pattern { Some(options.compile(&wanted)?) } else { None },
            columns: columns.iter().map(|wanted| (wanted.column.name.clone(), wanted.builder())).collect(),
            schema,
            rows: 0,
            bytes: 0,
            rows_max,
        })
    }

    /// True if the line was beyond the pattern's bounds and is a row of NULLs: time was spent, and the batch should go on its
    /// way, so that the query can be stopped between two of them.
    fn decode_line(&mut self) -> Result<bool> {
        if self.header_rows > 0 {
            self.header_rows -= 1;
            return Ok(false);
        }
        self.rows += 1;
        let Some(pattern) = &mut self.pattern else { return Ok(false) };
        let line = self.splitter.line();
        let number = self.splitter.number();
        self.bytes += line.len();
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(_) if self.on_error == Some(OnError::Null) => {
                self.columns.iter_mut().for_each(|(_, values)| values.append_null());
                return Ok(false);
            }
            Err(error) => return Err(invalid_utf8(&self.file, number, &line[error.valid_up_to()..])),
        };
        let mut cells = Vec::with_capacity(self.columns.len());
        match pattern.split(text, &mut cells) {
            Ok(true) => {}
            Ok(false) if self.on_error == Some(OnError::Fail) => {
                let error = Error::new(ErrorCode::DataException, "line does not fit the table's pattern")
                    .with_detail(format!("The line is \"{}\".", shorten(text)));
                return Err(located(error, &self.file, number, None));
            }
            Ok(false) => {
                self.columns.iter_mut().for_each(|(_, values)| values.append_null());
                return Ok(false);
            }
            Err(_) if self.on_error == Some(OnError::Null) => {
                self.columns.iter_mut().for_each(|(_, values)| values.append_null());
                return Ok(true);
            }
            Err(_) => {
                let error = Error::new(ErrorCode::ProgramLimitExceeded, "line is too hard to match").with_hint(
                    "It is longer than 1 MB, or 64 KB with look-around, back references or possessive repetitions, or \
                     backtracks too often. Set \"limnos.on_error\" = 'null' to read such lines as NULLs.",
                );
                return Err(located(error, &self.file, number, None));
            }
        }
        for ((name, values), cell) in self.columns.iter_mut().zip(cells) {
            match cell {
                None => values.append_null(),
                // What logs write for "nothing" is no value of any type but text.
                Some("" | "-") if !values.is_text() => values.append_null(),
                Some(cell) => {
                    if let Err(error) = values.append_text(cell) {
                        if self.on_error == Some(OnError::Fail) {
                            return Err(located(error, &self.file, number, Some(name)));
                        }
                        values.append_null();
                    }
                }
            }
        }
        Ok(false)
    }
}

impl Decode for PatternDecoder {
    fn resume(&mut self, start: &RowStart) {
        self.splitter.resume(start.line);
        self.header_rows = 0;
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while used < bytes.len() && !self.is_full(self.rows_max) {
            let (count, complete) = self
                .splitter
                .push(&bytes[used..])
                .map_err(|error| located(error, &self.file, self.splitter.number(), None))?;
            used += count;
            if complete && self.decode_line()? {
                break;
            }
        }
        Ok(used)
    }

    fn finish(&mut self) -> Result<()> {
        if self.splitter.finish() {
            self.decode_line()?;
        }
        Ok(())
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(|(_, values)| values.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
    }
}
