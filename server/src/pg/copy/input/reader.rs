//! [`Reader`]: the client's bytes -> record batches, with PostgreSQL's errors and their context, and what becomes of rows that
//! are wrong.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use limnos_engine::input::InputContext;
use limnos_engine::scan::format::on_error::OnError as TablePolicy;
use limnos_engine::write::copy_in::{CopyReject, CopyTarget, REJECTS_KEPT_MAX};
use limnos_engine::{Error, ErrorCode, Notice, Result};
use parking_lot::Mutex;

use super::super::options::{CopyOptions, Header, Layout, OnError, Verbosity};
use super::column::ColumnReader;
use super::fields::Fields;
use super::lines::{Lines, Next};
use super::tuples::{self, Tuples};
use crate::pg::parameter::utf8;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Bytes that a batch is ended at, whatever its rows.
const BATCH_BYTES: usize = 4 << 20;

/// Characters of a value or a line that a context shows, as PostgreSQL's `MAX_COPY_DATA_DISPLAY`.
const SHOWN_BYTES: usize = 100;

/// Bytes of a line that is left out that are kept.
const RAW_BYTES: usize = 1024;

/// Notices of single rows that are told. Each is kept until the end.
const ROW_NOTICES_MAX: usize = 1000;

/// What is told beside the rows.
#[derive(Debug, Default)]
pub(in crate::pg::copy) struct Told {
    /// Where the error was.
    pub(in crate::pg::copy) context: Option<String>,
    /// Rows that were left out, those of them that are kept, and notices of them.
    pub(in crate::pg::copy) skipped: u64,
    pub(in crate::pg::copy) rejects: Vec<CopyReject>,
    pub(in crate::pg::copy) notices: Vec<Notice>,
}

/// What becomes of rows that are wrong.
#[derive(Debug, Clone, Copy)]
struct Policy {
    on_error: TablePolicy,
    /// Whether rows of too few or too many fields are as wrong as those with a wrong value. COPY's own ON_ERROR is about
    /// values alone.
    counts_too: bool,
    limit: Option<u64>,
    rate: Option<f64>,
}

enum Input {
    Lines(Box<Lines>),
    Tuples(Tuples),
}

/// See the module.
pub(in crate::pg::copy) struct Reader {
    input: Input,
    options: CopyOptions,
    policy: Policy,
    table: String,
    schema: SchemaRef,
    columns: Vec<ColumnReader>,
    force_not_null: Vec<bool>,
    force_null: Vec<bool>,
    fields: Fields,
    tuple: Vec<Option<Bytes>>,
    /// Whether the header is still to come.
    awaits_header: bool,
    /// Rows in the columns, which of them are left out, and their bytes.
    rows: usize,
    dropped: Vec<usize>,
    bytes: usize,
    rows_good: u64,
    told: Arc<Mutex<Told>>,
}

/// Why a row is wrong.
struct Bad {
    error: Box<Error>,
    /// The column whose value it is.
    column: Option<usize>,
    value: Option<String>,
}

impl From<Error> for Bad {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), column: None, value: None }
    }
}

impl Reader {
    /// # Errors
    /// Options that name columns which aren't there, types that can't be read.
    pub(in crate::pg::copy) fn new(
        target: &CopyTarget,
        options: CopyOptions,
        context: &InputContext,
        told: Arc<Mutex<Told>>,
    ) -> Result<Self> {
        let names: Vec<String> = target.columns.iter().map(|column| column.name.clone()).collect();
        let all = target.table.columns.iter().chain(&target.table.partition_keys);
        let all: Vec<String> = all.map(|column| column.name.clone()).collect();
        let table = target.table.name.name.clone();
        let force_not_null = options.force_not_null.flags(&names, &all, "FORCE_NOT_NULL", Some(&table))?;
        let force_null = options.force_null.flags(&names, &all, "FORCE_NULL", Some(&table))?;
        let columns = target.columns.iter().zip(target.schema.fields());
        let columns =
            columns.map(|(column, field)| ColumnReader::new(column, field, context)).collect::<Result<_>>()?;
        let input = match options.layout {
            Layout::Binary => Input::Tuples(Tuples::default()),
            layout => Input::Lines(Box::new(Lines::new(layout))),
        };
        Ok(Self {
            input,
            policy: policy(target, &options),
            awaits_header: options.header != Header::None,
            options,
            table,
            schema: Arc::clone(&target.schema),
            columns,
            force_not_null,
            force_null,
            fields: Fields::default(),
            tuple: Vec::new(),
            rows: 0,
            dropped: Vec::new(),
            bytes: 0,
            rows_good: 0,
            told,
        })
    }

    /// Adds what the client has sent.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match &mut self.input {
            Input::Lines(lines) => lines.push(bytes),
            Input::Tuples(tuples) => tuples.push(bytes),
        }
    }

    /// The client has sent all.
    pub(super) fn end(&mut self) {
        match &mut self.input {
            Input::Lines(lines) => lines.end(),
            Input::Tuples(tuples) => tuples.end(),
        }
    }

    /// The next batch; `None` if more bytes are needed, or, behind the end, none is left.
    ///
    /// # Errors
    /// What is wrong with the client's rows. Where is then told beside it.
    pub(super) fn next(&mut self, is_ended: bool) -> Result<Option<RecordBatch>> {
        let mut is_done = false;
        while self.rows < BATCH_ROWS && self.bytes < BATCH_BYTES {
            let read = match &mut self.input {
                Input::Lines(_) => self.read_line(),
                Input::Tuples(_) => self.read_tuple(),
            };
            match read {
                Ok(true) => {}
                Ok(false) => {
                    is_done = true;
                    break;
                }
                Err(bad) => {
                    // Before the first row there is no place.
                    if self.line_number() > 0 {
                        let context = self.context(&bad);
                        self.told.lock().context.get_or_insert(context);
                    }
                    return Err(*bad.error);
                }
            }
        }
        if is_done && is_ended {
            self.check_rate()?;
        }
        // A batch that isn't full waits for more, unless there is none.
        if self.rows == 0 || (is_done && !is_ended) {
            return Ok(None);
        }
        self.batch().map(Some)
    }

    /// Where the client stopped sending, for an error that isn't its rows': the line that would come next, or the one of which
    /// a part is here.
    pub(super) fn stopped_at(&self) -> String {
        let number = match &self.input {
            Input::Lines(lines) => lines.next_number(),
            Input::Tuples(tuples) => tuples.number + 1,
        };
        format!("COPY {}, line {number}", self.table)
    }

    fn line_number(&self) -> u64 {
        match &self.input {
            Input::Lines(lines) => lines.number,
            Input::Tuples(tuples) => tuples.number,
        }
    }

    /// False if there is no whole line.
    fn read_line(&mut self) -> Result<bool, Bad> {
        let Input::Lines(lines) = &mut self.input else { return Ok(false) };
        let length = match lines.next()? {
            Next::Line(length) => length,
            Next::More | Next::End => return Ok(false),
        };
        let number = lines.number;
        let line = match utf8(lines.line(length)) {
            Ok(line) => line,
            Err(error) if self.policy.counts_too && !self.awaits_header => {
                let raw = shown(&String::from_utf8_lossy(lines.line(length)));
                lines.skip(length);
                return self.reject(Bad::from(error), number, raw, false);
            }
            Err(error) => return Err(error.into()),
        };
        if self.awaits_header {
            self.awaits_header = false;
            if self.options.header == Header::Match {
                check_header(line, &mut self.fields, &self.options, &self.columns).map_err(|error| Bad {
                    error: Box::new(error),
                    column: None,
                    value: Some(shown(line)),
                })?;
            }
            lines.skip(length);
            return Ok(true);
        }
        let mut row = Row {
            options: &self.options,
            policy: &self.policy,
            columns: &mut self.columns,
            fields: &mut self.fields,
            force_not_null: &self.force_not_null,
            force_null: &self.force_null,
            has_values: false,
        };
        let read = row.read(line);
        let has_values = row.has_values;
        let bad = match read {
            Ok(()) => None,
            Err(mut bad) => {
                if bad.column.is_none() {
                    bad.value = Some(shown(line));
                }
                let raw = shown_at(line, RAW_BYTES);
                Some((bad, raw))
            }
        };
        lines.skip(length);
        self.bytes += length;
        match bad {
            None => {
                self.rows += 1;
                self.rows_good += 1;
                Ok(true)
            }
            Some((bad, raw)) => self.reject(bad, number, raw, has_values),
        }
    }

    /// A row is wrong: it is left out, if it may be.
    fn reject(&mut self, bad: Bad, line: u64, raw: String, has_values: bool) -> Result<bool, Bad> {
        let may_be = self.policy.on_error.drops() && (bad.column.is_some() || self.policy.counts_too);
        if !may_be {
            return Err(bad);
        }
        if has_values {
            self.dropped.push(self.rows);
            self.rows += 1;
        }
        let column = bad.column.map(|column| self.columns[column].name.clone());
        let mut told = self.told.lock();
        told.skipped += 1;
        if self.options.verbosity == Verbosity::Verbose && told.notices.len() < ROW_NOTICES_MAX {
            let of = column.as_ref().map(|column| format!(" for column {column}")).unwrap_or_default();
            let value = bad.value.as_deref().map_or(": null input".to_owned(), |value| format!(": \"{value}\""));
            told.notices.push(Notice::notice(format!(
                "skipping row due to data type incompatibility at line {line}{of}{value}"
            )));
        }
        if self.policy.limit.is_some_and(|limit| told.skipped > limit) {
            let limit = self.policy.limit.unwrap_or_default();
            let message = format!("skipped more than {limit} rows due to data type incompatibility");
            drop(told);
            return Err(Bad { error: Box::new(Error::new(ErrorCode::InvalidTextRepresentation, message)), ..bad });
        }
        if self.policy.on_error == TablePolicy::Quarantine && told.rejects.len() < REJECTS_KEPT_MAX {
            told.rejects.push(CopyReject { line, column, error: *bad.error, raw });
        }
        Ok(true)
    }

    fn check_rate(&self) -> Result<()> {
        let rejected = self.told.lock().skipped;
        let all = self.rows_good + rejected;
        match self.policy.rate {
            Some(rate) if rejected > 0 && rejected as f64 > rate * all as f64 => Err(Error::new(
                ErrorCode::DataException,
                format!("{rejected} of {all} rows were rejected, more than a share of {rate}"),
            )
            .with_hint("Correct the rows, or raise the table's property \"limnos.on_error.max_reject_rate\".")),
            _ => Ok(()),
        }
    }

    /// False if there is no whole row.
    fn read_tuple(&mut self) -> Result<bool, Bad> {
        let Input::Tuples(tuples) = &mut self.input else { return Ok(false) };
        match tuples.next(self.columns.len(), &mut self.tuple)? {
            tuples::Next::Row => {}
            tuples::Next::More | tuples::Next::End => return Ok(false),
        }
        for (index, (column, value)) in self.columns.iter_mut().zip(&self.tuple).enumerate() {
            match value {
                None => column.null(),
                Some(value) => {
                    self.bytes += value.len();
                    column.binary(value).map_err(|error| Bad {
                        error: Box::new(error),
                        column: Some(index),
                        value: None,
                    })?;
                }
            }
        }
        self.rows += 1;
        self.rows_good += 1;
        Ok(true)
    }

    fn batch(&mut self) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(ColumnReader::finish).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::internal(error.to_string()))?;
        let mut dropped = std::mem::take(&mut self.dropped).into_iter().peekable();
        let has_dropped = dropped.peek().is_some();
        let kept: Vec<bool> = (0..self.rows).map(|row| dropped.next_if_eq(&row).is_none()).collect();
        (self.rows, self.bytes) = (0, 0);
        if !has_dropped {
            return Ok(batch);
        }
        filter_record_batch(&batch, &BooleanArray::from(kept)).map_err(|error| Error::internal(error.to_string()))
    }

    /// The context of an error, as `CopyFromErrorCallback` words it.
    fn context(&self, bad: &Bad) -> String {
        let place = format!("COPY {}, line {}", self.table, self.line_number());
        let column = bad.column.map(|column| format!(", column {}", self.columns[column].name));
        let is_binary = matches!(self.input, Input::Tuples(_));
        match (column, &bad.value) {
            (Some(column), Some(value)) => format!("{place}{column}: \"{value}\""),
            (Some(column), None) if is_binary => format!("{place}{column}"),
            (Some(column), None) => format!("{place}{column}: null input"),
            (None, Some(line)) => format!("{place}: \"{line}\""),
            (None, None) => place,
        }
    }
}

/// What one line is read with.
struct Row<'a> {
    options: &'a CopyOptions,
    policy: &'a Policy,
    columns: &'a mut [ColumnReader],
    fields: &'a mut Fields,
    force_not_null: &'a [bool],
    force_null: &'a [bool],
    /// Whether each column has a value of this row, were it NULL.
    has_values: bool,
}

impl Row<'_> {
    fn read(&mut self, line: &str) -> Result<(), Bad> {
        self.fields.read(line, self.options)?;
        let is_null_policy = self.policy.on_error == TablePolicy::Null;
        if self.fields.len() > self.columns.len() && !is_null_policy {
            return Err(Error::new(ErrorCode::BadCopyFileFormat, "extra data after last expected column").into());
        }
        let mut first = None;
        for index in 0..self.columns.len() {
            if first.is_some() {
                self.columns[index].null();
                continue;
            }
            let read = if index < self.fields.len() || is_null_policy {
                self.value(line, index)
            } else {
                // The values before it are read first, as in PostgreSQL.
                let message = format!("missing data for column \"{}\"", self.columns[index].name);
                Err(Error::new(ErrorCode::BadCopyFileFormat, message).into())
            };
            if let Err(bad) = read {
                self.columns[index].null();
                if !is_null_policy {
                    first = Some(bad);
                }
            }
        }
        self.has_values = true;
        first.map_or(Ok(()), Err)
    }

    fn value(&mut self, line: &str, index: usize) -> Result<(), Bad> {
        let Self { options, columns, fields, force_not_null, force_null, .. } = self;
        let text = if index < fields.len() { fields.get(line, index)? } else { None };
        let text = match text {
            None if force_not_null[index] => Some(options.null.as_str()),
            Some(text) if force_null[index] && text == options.null => None,
            text => text,
        };
        let Some(text) = text else {
            columns[index].null();
            return Ok(());
        };
        columns[index].text(text).map_err(|error| Bad {
            error: Box::new(error),
            column: Some(index),
            value: Some(shown(text)),
        })
    }
}

/// What becomes of wrong rows: COPY's own word, or else the table's.
fn policy(target: &CopyTarget, options: &CopyOptions) -> Policy {
    let stop = Policy { on_error: TablePolicy::Fail, counts_too: false, limit: None, rate: None };
    match options.on_error {
        _ if options.layout == Layout::Binary => stop,
        Some(OnError::Stop) => stop,
        Some(OnError::Ignore) => {
            let keeps = target.policy.on_error == Some(TablePolicy::Quarantine);
            let on_error = if keeps { TablePolicy::Quarantine } else { TablePolicy::Skip };
            Policy { on_error, counts_too: false, limit: options.reject_limit, rate: None }
        }
        None => Policy {
            on_error: target.policy.on_error.unwrap_or(TablePolicy::Fail),
            counts_too: target.policy.drops(),
            limit: target.policy.max_rejects,
            rate: target.policy.max_reject_rate,
        },
    }
}

/// Whether the first line has the columns' names, in their order.
fn check_header(line: &str, fields: &mut Fields, options: &CopyOptions, columns: &[ColumnReader]) -> Result<()> {
    let bad = |message: String| Err(Error::new(ErrorCode::BadCopyFileFormat, message));
    fields.read(line, options)?;
    if fields.len() != columns.len() {
        let message = "wrong number of fields in header line: got";
        return bad(format!("{message} {}, expected {}", fields.len(), columns.len()));
    }
    for (index, column) in columns.iter().enumerate() {
        let (number, name) = (index + 1, &column.name);
        match fields.get(line, index)? {
            Some(text) if text == name => {}
            Some(text) => {
                let message = format!("column name mismatch in header line field {number}: got \"{text}\"");
                return bad(format!("{message}, expected \"{name}\""));
            }
            None => {
                let message = format!("column name mismatch in header line field {number}: got null value");
                return bad(format!("{message} (\"{}\"), expected \"{name}\"", options.null));
            }
        }
    }
    Ok(())
}

/// A text as a context shows it: whole, or its beginning.
fn shown(text: &str) -> String {
    shown_at(text, SHOWN_BYTES)
}

fn shown_at(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(bytes)])
}
