//! [`CsvDecoder`]: the records of delimited text -> record batches of the wanted columns.
//!
//! Where wrong rows are left out, a quote that is never closed costs the line on which it opens and no other: the lines behind
//! it, which were read as a part of its cell, are read once more.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::column::{ColumnBuilder, OnValue};
use super::csv::{CsvOptions, CsvSplitter, Dialect};
use super::hive_text::HiveText;
use super::on_error::{BadRow, OnError, RowPolicy};
use super::replay::Replay;
use super::slots::Slots;
use super::split::RowStart;
use super::{Decode, WantedColumn, invalid_utf8, located};
use crate::scan::rejects::FileTally;
use crate::{Error, ErrorCode, Result};

/// Decodes one file.
#[derive(Debug)]
pub struct CsvDecoder {
    file: String,
    splitter: CsvSplitter,
    null: Option<String>,
    /// How cells are read in tables of LazySimpleSerDe.
    hive: Option<HiveText>,
    header_rows: u64,
    dash_is_null: bool,
    comment: Option<u8>,
    on_error: Option<OnError>,
    missing_is_null: bool,
    columns: Vec<CellColumn>,
    /// How many columns the table has.
    width: usize,
    slots: Slots,
    rows_max: usize,
    tally: FileTally,
    replay: Replay,
}

/// A column that is read: its name, its place in the file, its values.
#[derive(Debug)]
struct CellColumn {
    name: String,
    index: usize,
    values: ColumnBuilder,
}

impl CsvDecoder {
    /// A decoder for `columns` of a table with `width` columns in its files; batches have `schema` and up to
    /// `rows_max` rows. Columns behind those of `schema` are looked at and not handed over.
    pub fn new(
        file: &str,
        options: &CsvOptions,
        columns: &[WantedColumn],
        width: usize,
        schema: SchemaRef,
        rows_max: usize,
    ) -> Self {
        let splitter = CsvSplitter::of(options);
        let hive = match &options.dialect {
            Dialect::Lazy(hive) => Some(hive.clone()),
            Dialect::OpenCsv | Dialect::Plain => None,
        };
        let drops = options.on_error.is_some_and(OnError::drops);
        let policy = RowPolicy { on_error: options.on_error, ..RowPolicy::default() };
        Self {
            file: file.to_owned(),
            splitter: if drops { splitter.keeping_raw() } else { splitter },
            null: options.null.clone(),
            hive,
            header_rows: options.header_rows,
            dash_is_null: options.dash_is_null,
            comment: options.comment,
            on_error: options.on_error,
            missing_is_null: options.missing_is_null,
            columns: columns
                .iter()
                .map(|wanted| CellColumn {
                    name: wanted.column.name.clone(),
                    index: wanted.index,
                    values: wanted.builder(),
                })
                .collect(),
            width,
            slots: Slots::new(schema),
            rows_max,
            tally: FileTally::detached(file, policy),
            replay: Replay::default(),
        }
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

    /// Takes bytes up to the end of a record.
    fn step(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.splitter.push(bytes) {
            Ok((count, complete)) => {
                if complete {
                    self.end_record()?;
                }
                Ok(count)
            }
            Err(error) if self.drops() && error.code == ErrorCode::ProgramLimitExceeded => {
                let used = self.splitter.used();
                self.give_up(error)?;
                Ok(used)
            }
            Err(error) => Err(located(error, &self.file, self.splitter.record_position(), None)),
        }
    }

    /// Reads again what is to be read again, until a batch is full.
    fn drain(&mut self) -> Result<()> {
        while !self.is_full(self.rows_max)
            && let Some((piece, at)) = self.replay.pop()
        {
            let depth = self.replay.depth();
            let used = at + self.step(&piece[at..])?;
            self.replay.give_back(piece, used, depth);
        }
        Ok(())
    }

    fn end_record(&mut self) -> Result<()> {
        let is_comment = self.comment.is_some()
            && self.splitter.data().first().copied() == self.comment
            && self.splitter.cell(0).is_some_and(|(_, quoted)| !quoted);
        let is_header = !is_comment && self.header_rows > 0;
        if is_header {
            self.header_rows -= 1;
        }
        if is_comment || is_header || (self.splitter.is_blank() && self.width > 1) {
            self.tally.ignored();
            return Ok(());
        }
        let bytes = self.splitter.data().len();
        match self.read_record() {
            Ok(()) => {
                self.slots.keep(bytes);
                self.tally.row();
                Ok(())
            }
            Err(bad) if !self.drops() => Err(bad.located(&self.file)),
            Err(bad) => {
                self.slots.leave_out(bytes, bad.has_slot);
                if self.splitter.has_stray_quote() {
                    return self.give_up(*bad.error);
                }
                let position = self.splitter.record_position();
                self.tally.reject(&bad.error, bad.column.as_deref(), position, self.splitter.raw())
            }
        }
    }

    /// Leaves out the line on which the record began, and has the lines behind it read again.
    fn give_up(&mut self, error: Error) -> Result<()> {
        let position = self.splitter.record_position();
        let offset = self.splitter.position().offset;
        let (line, rest) = self.splitter.give_up_line();
        if self.comment.is_some() && line.first().copied() == self.comment {
            self.tally.ignored();
        } else if self.header_rows > 0 {
            self.header_rows -= 1;
            self.tally.ignored();
        } else {
            self.tally.reject(&error, None, position, &line)?;
        }
        if self.replay.push(rest, offset) { Ok(()) } else { Err(located(error, &self.file, position, None)) }
    }

    /// What is wrong with the record before its values are looked at.
    fn check_record(&self) -> Result<(), Error> {
        let splitter = &self.splitter;
        let count = splitter.cell_count();
        if splitter.has_stray_quote() {
            let message = "unexpected text behind a closing quote";
            return Err(Error::new(ErrorCode::DataException, message)
                .with_detail("The cell has line breaks.")
                .with_hint("A quote on its first line is one too many, or lacks its partner there."));
        }
        let has_spare_delimiter =
            count == self.width + 1 && splitter.cell(self.width).is_some_and(|(at, _)| at.is_empty());
        let told = || format!("The row has {count} fields, the table {} columns.", self.width);
        if count > self.width && !has_spare_delimiter {
            return Err(Error::new(ErrorCode::DataException, "extra data after last expected column")
                .with_detail(told())
                .with_hint("Check the delimiter and the quote character in the table's properties."));
        }
        if count < self.width && !self.missing_is_null {
            let hint = "Where columns were added to the table later, set \"limnos.csv.missing_fields\" = 'null'.";
            return Err(Error::new(ErrorCode::DataException, "missing data for columns at the end of the row")
                .with_detail(told())
                .with_hint(hint));
        }
        Ok(())
    }

    fn read_record(&mut self) -> Result<(), BadRow> {
        let is_lenient = self.on_error == Some(OnError::Null);
        let position = self.splitter.record_position();
        if !is_lenient {
            self.check_record().map_err(|error| BadRow::new(error, position))?;
        }
        let splitter = &self.splitter;
        let data = splitter.data();
        let text = match std::str::from_utf8(data) {
            Ok(text) => Some(text),
            Err(_) if is_lenient => None,
            Err(error) => return Err(BadRow::new(invalid_utf8(&data[error.valid_up_to()..]), position)),
        };
        let on_value = if is_lenient { OnValue::Null } else { OnValue::Fail };
        let mut bad = None;
        for CellColumn { name, index, values } in &mut self.columns {
            let cell = match splitter.cell(*index) {
                _ if bad.is_some() => None,
                // Cells begin and end at ASCII delimiters, so always between characters.
                Some((range, quoted)) => match text {
                    Some(text) => Some((&text[range], quoted)),
                    None => std::str::from_utf8(&data[range]).ok().map(|cell| (cell, quoted)),
                },
                None => None,
            };
            match cell {
                None => values.append_null(),
                Some((cell, false)) if self.null.as_deref() == Some(cell) => values.append_null(),
                Some((cell, _)) if values.is_blank(cell) && !(self.hive.is_some() && values.is_nested()) => {
                    values.append_null();
                }
                Some(("-", _)) if self.dash_is_null && !values.is_text() && !values.is_nested() => values.append_null(),
                Some((cell, _)) => match append(values, cell, self.hive.as_ref(), on_value) {
                    // What can't be read leaves a NULL.
                    Err(error) if !is_lenient => {
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
}

/// Reads a cell into a column. What can't be read leaves a NULL, or something in its place.
fn append(values: &mut ColumnBuilder, cell: &str, hive: Option<&HiveText>, on_value: OnValue) -> Result<()> {
    match hive {
        Some(hive) => hive.append(values, cell, on_value),
        None => values.append_text(cell),
    }
}

impl Decode for CsvDecoder {
    fn resume(&mut self, start: &RowStart) {
        self.splitter.resume(start.position());
        self.header_rows = 0;
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        self.drain()?;
        while used < bytes.len() && !self.is_full(self.rows_max) {
            used += self.step(&bytes[used..])?;
            self.drain()?;
        }
        Ok(used)
    }

    fn finish(&mut self) -> Result<()> {
        loop {
            self.drain()?;
            if !self.replay.is_empty() {
                return Ok(());
            }
            match self.splitter.finish() {
                Ok(true) => self.end_record()?,
                Ok(false) => return self.tally.finish(),
                Err(error) if self.drops() => self.give_up(error)?,
                Err(error) => return Err(located(error, &self.file, self.splitter.record_position(), None)),
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.replay.is_empty()
    }

    fn rows(&self) -> usize {
        self.slots.filled()
    }

    fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    fn take(&mut self) -> Result<RecordBatch> {
        self.tally.flush();
        self.slots.take(self.columns.iter_mut().map(|column| column.values.finish()).collect())
    }
}
