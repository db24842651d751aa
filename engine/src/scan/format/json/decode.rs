//! [`JsonDecoder`]: a file's bytes -> record batches of the wanted columns.
//!
//! Where broken records are left out or become NULLs, one that is never closed costs its own line: those behind it, which were
//! read as a part of it, are read once more.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cursor::{Cursor, Kind, SyntaxError};
use super::options::JsonOptions;
use super::records::{RecordSplitter, malformed};
use crate::scan::format::column::{ColumnBuilder, Members, OnValue, ValueError};
use crate::scan::format::on_error::{BadRow, OnError, RowPolicy};
use crate::scan::format::replay::Replay;
use crate::scan::format::slots::Slots;
use crate::scan::format::split::RowStart;
use crate::scan::format::{Decode, WantedColumn, invalid_utf8, located};
use crate::scan::rejects::FileTally;
use crate::{Error, ErrorCode, Result};

/// Decodes one file.
#[derive(Debug)]
pub struct JsonDecoder {
    file: String,
    splitter: RecordSplitter,
    members: Members,
    slots: Slots,
    rows_max: usize,
    on_error: Option<OnError>,
    /// Whether what isn't an object is a row of NULLs, and what isn't of its type a NULL.
    malformed_is_null: bool,
    invalid_is_null: bool,
    tally: FileTally,
    replay: Replay,
}

impl JsonDecoder {
    /// A decoder for `columns`, whose batches have `schema` and up to `rows_max` rows. Columns behind those of `schema` are
    /// looked at and not handed over.
    pub fn new(
        file: &str,
        options: impl Into<JsonOptions>,
        columns: &[WantedColumn],
        schema: SchemaRef,
        rows_max: usize,
    ) -> Self {
        let JsonOptions { layout, keys: rules, malformed_is_null, invalid_is_null } = options.into();
        let columns = columns.iter().map(|wanted| {
            let mut keys: Vec<String> = wanted.column.source_name.iter().cloned().collect();
            keys.push(wanted.column.name.clone());
            (keys, ColumnBuilder::with_keys(&wanted.column.data_type, wanted.format.as_ref(), &rules))
        });
        let members = Members::new(columns).with_rules(&rules);
        Self {
            file: file.to_owned(),
            splitter: RecordSplitter::new(layout),
            members,
            slots: Slots::new(schema),
            rows_max,
            on_error: None,
            malformed_is_null,
            invalid_is_null,
            tally: FileTally::detached(file, RowPolicy::default()),
            replay: Replay::default(),
        }
    }

    /// The same, counting for a scan and doing with what is wrong as its policy says.
    #[must_use]
    pub fn with_tally(mut self, tally: FileTally) -> Self {
        self.on_error = tally.policy().on_error;
        if let Some(on_error) = self.on_error {
            self.malformed_is_null = on_error == OnError::Null;
            self.invalid_is_null = on_error == OnError::Null;
        }
        if self.drops() || self.malformed_is_null {
            self.splitter = self.splitter.recovering();
        }
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
            Err(error) if error.code == ErrorCode::ProgramLimitExceeded && self.splitter.can_give_up() => {
                let used = self.splitter.used();
                self.give_up(error)?;
                Ok(used)
            }
            Err(error) => Err(located(error, &self.file, self.splitter.position(), None)),
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
        let bytes = self.splitter.record().len();
        let Err(bad) = self.read_record() else {
            self.slots.keep(bytes);
            self.tally.row();
            return Ok(());
        };
        let is_malformed = bad.column.is_none();
        if !(self.drops() || is_malformed && self.malformed_is_null) {
            return Err(self.located(bad));
        }
        self.slots.leave_out(bytes, bad.has_slot);
        if is_malformed && self.splitter.can_give_up() {
            return self.give_up(*bad.error);
        }
        let position = self.splitter.record_position();
        if self.drops() {
            return self.tally.reject(&bad.error, bad.column.as_deref(), position, self.splitter.record());
        }
        self.nulls();
        Ok(())
    }

    /// A row of NULLs for what isn't one.
    fn nulls(&mut self) {
        self.members.append_nulls();
        self.slots.keep(1);
        self.tally.row();
    }

    /// Leaves the line out on which the record began, or makes NULLs of it, and has the lines behind it read again.
    fn give_up(&mut self, error: Error) -> Result<()> {
        let position = self.splitter.record_position();
        let offset = self.splitter.position().offset;
        let (line, rest) = self.splitter.give_up_line();
        if self.drops() {
            self.tally.reject(&error, None, position, &line)?;
        } else {
            self.nulls();
        }
        if self.replay.push(rest, offset) { Ok(()) } else { Err(located(error, &self.file, position, None)) }
    }

    fn read_record(&mut self) -> Result<(), BadRow> {
        let record = self.splitter.record();
        let text = match std::str::from_utf8(record) {
            Ok(text) => text,
            Err(error) => {
                let (before, wrong) = record.split_at(error.valid_up_to());
                return Err(BadRow::new(invalid_utf8(wrong), self.splitter.record_position().behind(before)));
            }
        };
        if self.malformed_is_null {
            // What is in the columns can't be taken out again.
            check(text).map_err(|error| self.bad_row(ValueError::Syntax(error), false))?;
        }
        let on_value = if self.invalid_is_null { OnValue::Null } else { OnValue::Fail };
        let mut cursor = Cursor::new(text);
        let read = self.members.append_object(&mut cursor, on_value).and_then(|()| Ok(cursor.end()?));
        read.map_err(|error| self.bad_row(error, true))
    }

    fn bad_row(&self, error: ValueError, has_slot: bool) -> BadRow {
        let (error, offset, column) = match error {
            ValueError::Syntax(SyntaxError { offset, reason }) => (Box::new(malformed(&reason)), offset, None),
            ValueError::Value { error, mut path, offset } => {
                path.reverse();
                (error, offset, Some(path.join(".").replace(".[", "[")))
            }
        };
        let record = self.splitter.record();
        let position = self.splitter.record_position().behind(&record[..offset.min(record.len())]);
        BadRow { error, column, position, has_slot }
    }

    fn located(&self, bad: BadRow) -> Error {
        let mut error = bad.located(&self.file);
        // A file of one line tells nothing by its line: say which record it is as well.
        if let Some(detail) = &mut error.detail {
            detail.push_str(&format!(" It is record {} of the file.", self.splitter.record_number()));
        }
        error
    }
}

/// Whether `text` is an object and nothing else.
fn check(text: &str) -> Result<(), SyntaxError> {
    let mut cursor = Cursor::new(text);
    if cursor.kind()? != Kind::Object {
        return Err(cursor.error("an object was expected"));
    }
    cursor.raw_value()?;
    cursor.end()
}

impl Decode for JsonDecoder {
    fn resume(&mut self, start: &RowStart) {
        self.splitter.resume(start.position(), start.rows);
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
                Err(_) if self.splitter.can_give_up() => {
                    self.give_up(malformed("it ends in the middle of a value"))?;
                }
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
        self.slots.take(self.members.finish())
    }
}
