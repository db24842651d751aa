//! [`JsonDecoder`]: a file's bytes -> record batches of the wanted columns.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::cursor::{Cursor, SyntaxError};
use super::records::{Layout, RecordSplitter, malformed};
use crate::scan::format::column::{Members, ValueError};
use crate::scan::format::split::RowStart;
use crate::scan::format::{Decode, WantedColumn, invalid_utf8, located};
use crate::{Error, ErrorCode, Result};

/// Decodes one file.
#[derive(Debug)]
pub struct JsonDecoder {
    file: String,
    splitter: RecordSplitter,
    members: Members,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    rows_max: usize,
}

impl JsonDecoder {
    /// A decoder for `columns`, whose batches have `schema` and up to `rows_max` rows.
    pub fn new(file: &str, layout: Layout, columns: &[WantedColumn], schema: SchemaRef, rows_max: usize) -> Self {
        let members = Members::new(columns.iter().map(|wanted| {
            let mut keys: Vec<String> = wanted.column.source_name.iter().cloned().collect();
            keys.push(wanted.column.name.clone());
            (keys, wanted.builder())
        }));
        Self {
            file: file.to_owned(),
            splitter: RecordSplitter::new(layout),
            members,
            schema,
            rows: 0,
            bytes: 0,
            rows_max,
        }
    }

    fn decode_record(&mut self) -> Result<()> {
        let record = self.splitter.record();
        let text = std::str::from_utf8(record).map_err(|error| {
            invalid_utf8(&self.file, self.line_at(error.valid_up_to()), &record[error.valid_up_to()..])
        })?;
        let mut cursor = Cursor::new(text);
        let result = self.members.append_object(&mut cursor).and_then(|()| Ok(cursor.end()?));
        result.map_err(|error| self.describe(error))?;
        self.rows += 1;
        self.bytes += record.len();
        Ok(())
    }

    fn line_at(&self, offset: usize) -> u64 {
        let record = self.splitter.record();
        let newlines = record[..offset.min(record.len())].iter().filter(|byte| **byte == b'\n').count();
        self.splitter.record_line() + newlines as u64
    }

    fn describe(&self, error: ValueError) -> Error {
        let (error, offset, column) = match error {
            ValueError::Syntax(SyntaxError { offset, reason }) => (malformed(&reason), offset, None),
            ValueError::Value { error, mut path, offset } => {
                path.reverse();
                (*error, offset, Some(path.join(".").replace(".[", "[")))
            }
        };
        let mut error = located(error, &self.file, self.line_at(offset), column.as_deref());
        // A file of one line tells nothing by its line: say which record it is as well.
        if let Some(detail) = &mut error.detail {
            detail.push_str(&format!(" It is record {} of the file.", self.splitter.record_number()));
        }
        error
    }
}

impl Decode for JsonDecoder {
    fn resume(&mut self, start: &RowStart) {
        self.splitter.resume(start.line, start.rows);
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while used < bytes.len() && !self.is_full(self.rows_max) {
            let (count, complete) = self
                .splitter
                .push(&bytes[used..])
                .map_err(|error| located(error, &self.file, self.splitter.line(), None))?;
            used += count;
            if complete {
                self.decode_record()?;
            }
        }
        Ok(used)
    }

    fn finish(&mut self) -> Result<()> {
        let complete =
            self.splitter.finish().map_err(|error| located(error, &self.file, self.splitter.record_line(), None))?;
        if complete { self.decode_record() } else { Ok(()) }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = self.members.finish();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
    }
}
