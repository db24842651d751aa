//! [`PatternDecoder`]: a file's bytes -> record batches of the wanted columns.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::lines::LineSplitter;
use super::{LinePattern, PatternOptions};
use crate::scan::format::column::ColumnBuilder;
use crate::scan::format::on_error::{BadRow, OnError, RowPolicy};
use crate::scan::format::scalar::shorten;
use crate::scan::format::slots::Slots;
use crate::scan::format::split::RowStart;
use crate::scan::format::{Decode, WantedColumn, invalid_utf8, located};
use crate::scan::rejects::FileTally;
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
    slots: Slots,
    rows_max: usize,
    tally: FileTally,
}

impl PatternDecoder {
    /// A decoder for `columns`, whose batches have `schema` and up to `rows_max` rows. Columns behind those of `schema` are
    /// looked at and not handed over.
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
        let needs_pattern = !wanted.is_empty() || options.on_error.is_some_and(|on_error| on_error != OnError::Null);
        let policy = RowPolicy { on_error: options.on_error, ..RowPolicy::default() };
        Ok(Self {
            file: file.to_owned(),
            splitter: LineSplitter::default(),
            header_rows: options.header_rows,
            on_error: options.on_error,
            pattern: if needs_pattern { Some(options.compile(&wanted)?) } else { None },
            columns: columns.iter().map(|wanted| (wanted.column.name.clone(), wanted.builder())).collect(),
            slots: Slots::new(schema),
            rows_max,
            tally: FileTally::detached(file, policy),
        })
    }

    /// The same, counting for a scan.
    #[must_use]
    pub fn with_tally(mut self, tally: FileTally) -> Self {
        self.tally = tally;
        self
    }

    fn drops(&self) -> bool {
        self.on_error.is_some_and(OnError::drops)
    }

    /// True if the line was beyond the pattern's bounds and isn't an error: time was spent, and the batch should go on its
    /// way, so that the query can be stopped between two of them.
    fn end_line(&mut self) -> Result<bool> {
        if self.header_rows > 0 {
            self.header_rows -= 1;
            self.tally.ignored();
            return Ok(false);
        }
        let bytes = self.splitter.line().len();
        let read = self.read_line();
        let Err(bad) = read else {
            self.slots.keep(bytes);
            self.tally.row();
            return Ok(false);
        };
        let was_hard = bad.error.code == ErrorCode::ProgramLimitExceeded;
        if self.drops() {
            self.slots.leave_out(bytes, bad.has_slot);
            self.tally.reject(&bad.error, bad.column.as_deref(), bad.position, self.splitter.line())?;
            return Ok(was_hard);
        }
        let is_null = match self.on_error {
            Some(OnError::Null) => true,
            // What Hive reads as NULLs: not what can't be told.
            None => bad.error.code == ErrorCode::DataException,
            _ => false,
        };
        if !is_null {
            return Err(bad.located(&self.file));
        }
        self.columns.iter_mut().for_each(|(_, values)| values.append_null());
        self.slots.keep(bytes);
        self.tally.row();
        Ok(was_hard)
    }

    fn read_line(&mut self) -> Result<(), BadRow> {
        let Some(pattern) = &mut self.pattern else { return Ok(()) };
        let line = self.splitter.line();
        let position = self.splitter.line_position();
        let refused = |error| Err(BadRow::new(error, position));
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => return refused(invalid_utf8(&line[error.valid_up_to()..])),
        };
        let mut cells = Vec::with_capacity(self.columns.len());
        match pattern.split(text, &mut cells) {
            Ok(true) => {}
            Ok(false) => {
                let error = Error::new(ErrorCode::DataException, "line does not fit the table's pattern");
                return refused(error.with_detail(format!("The line is \"{}\".", shorten(text))));
            }
            Err(_) => {
                let error = Error::new(ErrorCode::ProgramLimitExceeded, "line is too hard to match").with_hint(
                    "It is longer than 1 MB, or 64 KB with look-around, back references or possessive repetitions, or \
                     backtracks too often. Set \"limnos.on_error\" = 'null' to read such lines as NULLs.",
                );
                return refused(error);
            }
        }
        let values_are_null = matches!(self.on_error, None | Some(OnError::Null));
        let mut bad = None;
        for ((name, values), cell) in self.columns.iter_mut().zip(cells) {
            match cell {
                _ if bad.is_some() => values.append_null(),
                None => values.append_null(),
                // What logs write for "nothing" is no value of any type but text.
                Some("" | "-") if !values.is_text() => values.append_null(),
                Some(cell) => match values.append_text(cell) {
                    // What can't be read leaves a NULL.
                    Err(error) if !values_are_null => {
                        bad = Some(BadRow {
                            error: Box::new(error),
                            column: Some(name.clone()),
                            position,
                            has_slot: true,
                        });
                    }
                    _ => {}
                },
            }
        }
        bad.map_or(Ok(()), Err)
    }

    /// Leaves out a line that is too long.
    fn give_up(&mut self, error: &Error) -> Result<()> {
        let position = self.splitter.line_position();
        let line = self.splitter.give_up_line();
        self.tally.reject(error, None, position, &line)
    }
}

impl Decode for PatternDecoder {
    fn resume(&mut self, start: &RowStart) {
        self.splitter = LineSplitter::starting_at(start.position());
        self.header_rows = 0;
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while used < bytes.len() && !self.is_full(self.rows_max) {
            match self.splitter.push(&bytes[used..]) {
                Ok((count, complete)) => {
                    used += count;
                    if complete && self.end_line()? {
                        break;
                    }
                }
                Err(error) if self.drops() && error.code == ErrorCode::ProgramLimitExceeded => self.give_up(&error)?,
                Err(error) => return Err(located(error, &self.file, self.splitter.line_position(), None)),
            }
        }
        Ok(used)
    }

    fn finish(&mut self) -> Result<()> {
        if self.splitter.finish() {
            self.end_line()?;
        }
        self.tally.finish()
    }

    fn rows(&self) -> usize {
        self.slots.filled()
    }

    fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    fn take(&mut self) -> Result<RecordBatch> {
        self.tally.flush();
        self.slots.take(self.columns.iter_mut().map(|(_, values)| values.finish()).collect())
    }
}
