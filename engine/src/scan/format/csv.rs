//! Delimited text: what a table says of it ([`CsvOptions`]), bytes -> records ([`CsvSplitter`]) -> columns ([`CsvDecoder`]).
//!
//! Whether a newline ends a row depends on the quotes before it, so a file is never split at bytes but at rows
//! ([`super::split`]): a quoted newline can't break a row, and line numbers in errors are true.
//!
//! Which cells are NULL:
//! - an empty cell (or one of blanks) of a column that isn't text;
//! - a lone hyphen in a column that isn't text, in tables of LazySimpleSerDe;
//! - a cell without quotes that is exactly `serialization.null.format`. LazySimpleSerDe's default is `\N`, OpenCSVSerDe
//!   has none. Crawled tables set it to the empty string, as `COPY ... CSV` and DuckDB read: `a,,c` has a NULL and
//!   `a,"",c` an empty string. Declared without it, an empty text cell is an empty string, as in Hive and Athena.
//!
//! A row with too few cells ends in NULLs, as in Hive. One with too many is an error, but for a single empty one, which
//! a delimiter at the line's end makes. A line without a character is skipped where the table has several columns and
//! is a row where it has one.
//!
//! `limnos.on_error` = `null` reads as Hive does: spare cells are left out, and a scalar that isn't one is NULL.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use limnos_catalog::TableDefinition;

use super::column::ColumnBuilder;
use super::split::RowStart;
use super::{Decode, OnError, WantedColumn, invalid_utf8, located, utf16_refused};
use crate::{Error, ErrorCode, Result};

/// Largest row; see [`super::json::records::RECORD_BYTES_MAX`].
const RECORD_BYTES_MAX: usize = 64 << 20;

/// How a table's text is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    pub delimiter: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    /// The cell that is NULL.
    pub null: Option<String>,
    /// Rows at the top of each file that aren't data.
    pub header_rows: u64,
    /// Whether dates and timestamps may be the numbers of OpenCSVSerDe.
    pub serial_dates: bool,
    /// Whether a lone hyphen is NULL in a column that isn't text: AWS's logs, which Hive's LazySimpleSerDe is declared for,
    /// write it for "nothing".
    pub dash_is_null: bool,
    /// What begins a line that isn't data, wherever it stands: the `#` of W3C's extended log format.
    pub comment: Option<u8>,
    /// What becomes of a row with too many cells or a cell that isn't of its column's type; errors if nothing is said.
    pub on_error: Option<OnError>,
}

impl CsvOptions {
    /// Reads `field.delim` / `separatorChar`, `quoteChar`, `escapeChar` / `escape.delim`, `serialization.null.format`,
    /// `skip.header.line.count`, `limnos.comment`, `limnos.on_error`. LazySimpleSerDe (the default) splits at `\001` and knows no quotes unless `quoteChar`
    /// says so; OpenCSVSerDe splits at commas, with `"` and `\`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] for a property that isn't one ASCII character, or a count that is none.
    pub fn new(definition: &TableDefinition) -> Result<Self> {
        let storage = super::storage(definition)?;
        let property = |names: &[&'static str]| {
            names.iter().find_map(|name| storage.properties.get(*name).map(|value| (*name, value.as_str())))
        };
        let character = |names: &[&'static str]| match property(names) {
            Some((_, "")) => Ok(None),
            Some((name, value)) => single_byte(name, value).map(Some),
            None => Ok(None),
        };
        let is_open_csv = storage.serde.as_deref().is_some_and(|serde| serde.to_lowercase().contains("opencsv"));
        let default = |names: &[&'static str], byte: u8| match property(names) {
            None if is_open_csv => Ok(Some(byte)),
            _ => character(names),
        };
        let delimiter = character(&["field.delim", "separatorChar", "serialization.format"])?;
        let null = storage.properties.get("serialization.null.format").cloned();
        let quote = default(&["quoteChar"], b'"')?;
        Ok(Self {
            delimiter: delimiter.unwrap_or(if is_open_csv { b',' } else { 1 }),
            quote,
            escape: default(&["escapeChar", "escape.delim"], b'\\')?,
            null: null.or_else(|| (!is_open_csv).then(|| "\\N".to_owned())),
            header_rows: super::header_rows(definition)?,
            serial_dates: is_open_csv,
            dash_is_null: !is_open_csv && quote.is_none(),
            comment: character(&["limnos.comment"])?,
            on_error: OnError::of(storage)?,
        })
    }
}

/// One ASCII character, written as itself, as `\t` and the like, as `\001` (octal), `\u0001`, or as Hive's number of a
/// byte ("1").
fn single_byte(name: &str, value: &str) -> Result<u8> {
    let invalid = || {
        Error::new(ErrorCode::InvalidParameterValue, format!("invalid value for property \"{name}\": \"{value}\""))
            .with_hint("It must be one ASCII character.")
    };
    let byte = match value.as_bytes() {
        [byte] if !byte.is_ascii_digit() => *byte,
        b"\\t" => b'\t',
        b"\\n" => b'\n',
        b"\\r" => b'\r',
        b"\\\\" => b'\\',
        b"\\'" => b'\'',
        b"\\\"" => b'"',
        [b'\\', b'u', hex @ ..] if hex.len() == 4 => {
            let code = u32::from_str_radix(&value[2..], 16).map_err(|_| invalid())?;
            u8::try_from(code).map_err(|_| invalid())?
        }
        [b'\\', octal @ ..] if (1..=3).contains(&octal.len()) => {
            u8::from_str_radix(&value[1..], 8).map_err(|_| invalid())?
        }
        _ => value.parse().map_err(|_| invalid())?,
    };
    // Beyond ASCII a byte is a part of a character, or Latin-1; cells could then not be told from text.
    if byte.is_ascii() { Ok(byte) } else { Err(invalid()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a record's first character.
    RecordStart,
    /// Before a cell's first character.
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote inside quotes: a second one, or the cell's end.
    QuoteInQuoted,
    EscapeInPlain,
    EscapeInQuoted,
}

/// Cuts a stream of bytes into records and their cells.
#[derive(Debug)]
pub struct CsvSplitter {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    /// Bytes that end a run of ordinary ones, outside quotes and inside.
    plain_stops: [bool; 256],
    quoted_stops: [bool; 256],
    state: State,
    /// All cells of the record, unescaped, without delimiters.
    data: Vec<u8>,
    /// Where each cell ends in `data`, and whether it had quotes.
    cells: Vec<(usize, bool)>,
    cell_quoted: bool,
    line: u64,
    record_line: u64,
    /// The last byte was a carriage return that ended a record: a newline behind it ends none.
    after_return: bool,
    at_start: bool,
}

impl CsvSplitter {
    /// Starts at a file's first byte.
    pub fn new(delimiter: u8, quote: Option<u8>, escape: Option<u8>) -> Self {
        let mut plain_stops = [false; 256];
        let mut quoted_stops = [false; 256];
        for byte in [delimiter, b'\n', b'\r'] {
            plain_stops[usize::from(byte)] = true;
        }
        quoted_stops[usize::from(b'\n')] = true;
        if let Some(quote) = quote {
            quoted_stops[usize::from(quote)] = true;
        }
        if let Some(escape) = escape {
            plain_stops[usize::from(escape)] = true;
            quoted_stops[usize::from(escape)] = true;
        }
        Self {
            delimiter,
            quote,
            escape,
            plain_stops,
            quoted_stops,
            state: State::RecordStart,
            data: Vec::new(),
            cells: Vec::new(),
            cell_quoted: false,
            line: 1,
            record_line: 1,
            after_return: false,
            at_start: true,
        }
    }

    /// Goes on in the middle of a file, where a record begins on `line`.
    pub fn resume(&mut self, line: u64) {
        (self.line, self.record_line, self.at_start) = (line, line, false);
    }

    /// The line that is being read, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The line on which the record began, from 1.
    pub fn record_line(&self) -> u64 {
        self.record_line
    }

    /// How many cells the record has.
    pub fn cell_count(&self) -> usize {
        self.cells.len()
    }

    /// All cells' bytes, one behind the other.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Where cell `index` lies in [`Self::data`], and whether it had quotes.
    pub fn cell(&self, index: usize) -> Option<(std::ops::Range<usize>, bool)> {
        let (end, quoted) = *self.cells.get(index)?;
        let start = if index == 0 { 0 } else { self.cells[index - 1].0 };
        Some((start..end, quoted))
    }

    /// Whether the record is a line without a character.
    pub fn is_blank(&self) -> bool {
        self.data.is_empty() && matches!(self.cells[..], [(0, false)])
    }

    /// Reads on until a record is complete (then the flag is true) or `bytes` are used up. Returns how many were used.
    ///
    /// # Errors
    /// A record that is too large, or a file in UTF-16. The error has no place; the record began on
    /// [`Self::record_line`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        let mut index = 0;
        if self.at_start && !bytes.is_empty() {
            if bytes.starts_with(&[0xfe, 0xff]) || bytes.starts_with(&[0xff, 0xfe]) {
                return Err(utf16_refused());
            }
            if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
                index = 3;
            }
            self.at_start = false;
        }
        while index < bytes.len() {
            let byte = bytes[index];
            match self.state {
                State::RecordStart => {
                    if byte == b'\n' && self.after_return {
                        self.after_return = false;
                        index += 1;
                        continue;
                    }
                    self.after_return = false;
                    self.data.clear();
                    self.cells.clear();
                    self.cell_quoted = false;
                    self.record_line = self.line;
                    self.state = State::CellStart;
                }
                State::CellStart => {
                    if Some(byte) == self.quote {
                        self.cell_quoted = true;
                        self.state = State::Quoted;
                        index += 1;
                    } else {
                        self.state = State::Plain;
                    }
                }
                State::Plain => {
                    index += self.take_run(&bytes[index..], false)?;
                    let Some(&byte) = bytes.get(index) else { break };
                    index += 1;
                    if byte == self.delimiter {
                        self.end_cell();
                        self.state = State::CellStart;
                    } else if byte == b'\n' || byte == b'\r' {
                        self.end_cell();
                        self.line += 1;
                        self.after_return = byte == b'\r';
                        self.state = State::RecordStart;
                        return Ok((index, true));
                    } else {
                        self.state = State::EscapeInPlain;
                    }
                }
                State::Quoted => {
                    index += self.take_run(&bytes[index..], true)?;
                    let Some(&byte) = bytes.get(index) else { break };
                    index += 1;
                    if byte == b'\n' {
                        self.line += 1;
                        self.data.push(byte);
                    } else if Some(byte) == self.quote {
                        self.state = State::QuoteInQuoted;
                    } else {
                        self.state = State::EscapeInQuoted;
                    }
                }
                State::QuoteInQuoted => {
                    if Some(byte) == self.quote {
                        self.data.push(byte);
                        self.state = State::Quoted;
                        index += 1;
                    } else {
                        // Text between the closing quote and the delimiter belongs to the cell, as in PostgreSQL.
                        self.state = State::Plain;
                    }
                }
                State::EscapeInPlain | State::EscapeInQuoted => {
                    let quoted = self.state == State::EscapeInQuoted;
                    // An escape is one only before what would mean something else; `\N` and `C:\new` stay as they are.
                    let escapes = byte == self.delimiter
                        || Some(byte) == self.quote
                        || Some(byte) == self.escape
                        || byte == b'\n'
                        || byte == b'\r';
                    if !escapes && let Some(escape) = self.escape {
                        self.data.push(escape);
                    }
                    if byte == b'\n' {
                        self.line += 1;
                    }
                    self.data.push(byte);
                    index += 1;
                    self.state = if quoted { State::Quoted } else { State::Plain };
                }
            }
        }
        Ok((index, false))
    }

    /// Says that the file ends here; true if that completed a record.
    ///
    /// # Errors
    /// A quote that was never closed.
    pub fn finish(&mut self) -> Result<bool> {
        match self.state {
            State::RecordStart => Ok(false),
            State::Quoted | State::EscapeInQuoted => {
                Err(Error::new(ErrorCode::DataException, "unterminated quoted field").with_hint(
                    "A quote that opens here is never closed: the file is cut off, or a quote needs doubling.",
                ))
            }
            state => {
                if state == State::EscapeInPlain
                    && let Some(escape) = self.escape
                {
                    self.data.push(escape);
                }
                self.end_cell();
                self.state = State::RecordStart;
                Ok(true)
            }
        }
    }

    fn take_run(&mut self, bytes: &[u8], quoted: bool) -> Result<usize> {
        let stops = if quoted { &self.quoted_stops } else { &self.plain_stops };
        let length = bytes.iter().position(|byte| stops[usize::from(*byte)]).unwrap_or(bytes.len());
        if self.data.len() + length > RECORD_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("a row is larger than {} MB", RECORD_BYTES_MAX >> 20),
            )
            .with_hint("A quote that is never closed makes one row of the rest of a file."));
        }
        self.data.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn end_cell(&mut self) {
        self.cells.push((self.data.len(), self.cell_quoted));
        self.cell_quoted = false;
    }
}

/// Decodes one file.
#[derive(Debug)]
pub struct CsvDecoder {
    file: String,
    splitter: CsvSplitter,
    null: Option<String>,
    header_rows: u64,
    dash_is_null: bool,
    comment: Option<u8>,
    is_lenient: bool,
    /// The wanted columns: name, place in the file, values.
    columns: Vec<(String, usize, ColumnBuilder)>,
    /// How many columns the table has.
    width: usize,
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    rows_max: usize,
}

impl CsvDecoder {
    /// A decoder for `columns` of a table with `width` columns in its files; batches have `schema` and up to
    /// `rows_max` rows.
    pub fn new(
        file: &str,
        options: &CsvOptions,
        columns: &[WantedColumn],
        width: usize,
        schema: SchemaRef,
        rows_max: usize,
    ) -> Self {
        Self {
            file: file.to_owned(),
            splitter: CsvSplitter::new(options.delimiter, options.quote, options.escape),
            null: options.null.clone(),
            header_rows: options.header_rows,
            dash_is_null: options.dash_is_null,
            comment: options.comment,
            is_lenient: options.on_error == Some(OnError::Null),
            columns: columns
                .iter()
                .map(|wanted| (wanted.column.name.clone(), wanted.index, wanted.builder()))
                .collect(),
            width,
            schema,
            rows: 0,
            bytes: 0,
            rows_max,
        }
    }

    fn decode_record(&mut self) -> Result<()> {
        let is_comment = self.comment.is_some()
            && self.splitter.data().first().copied() == self.comment
            && self.splitter.cell(0).is_some_and(|(_, quoted)| !quoted);
        if is_comment {
            return Ok(());
        }
        if self.header_rows > 0 {
            self.header_rows -= 1;
            return Ok(());
        }
        let splitter = &self.splitter;
        if splitter.is_blank() && self.width > 1 {
            return Ok(());
        }
        let line = splitter.record_line();
        let count = splitter.cell_count();
        let has_spare_delimiter =
            count == self.width + 1 && splitter.cell(self.width).is_some_and(|(at, _)| at.is_empty());
        if count > self.width && !has_spare_delimiter && !self.is_lenient {
            let error = Error::new(ErrorCode::DataException, "extra data after last expected column");
            let mut error = located(error, &self.file, line, None);
            if let Some(detail) = &mut error.detail {
                detail.push_str(&format!(" The row has {count} fields, the table {} columns.", self.width));
            }
            return Err(error.with_hint("Check the delimiter and the quote character in the table's properties."));
        }
        let text = std::str::from_utf8(splitter.data())
            .map_err(|error| invalid_utf8(&self.file, line, &splitter.data()[error.valid_up_to()..]))?;
        for (name, index, values) in &mut self.columns {
            // Cells begin and end at ASCII delimiters, so always between characters.
            let cell = splitter.cell(*index).map(|(range, quoted)| (&text[range], quoted));
            match cell {
                None => values.append_null(),
                Some((cell, false)) if self.null.as_deref() == Some(cell) => values.append_null(),
                Some((cell, _)) if !values.is_text() && cell.trim().is_empty() => values.append_null(),
                Some(("-", _)) if self.dash_is_null && !values.is_text() => values.append_null(),
                Some((cell, _)) => match values.append_text(cell) {
                    Ok(()) => {}
                    // Of a nested column, a part may be there already.
                    Err(_) if self.is_lenient && values.is_scalar() => values.append_null(),
                    Err(error) => return Err(located(error, &self.file, line, Some(name))),
                },
            }
        }
        self.rows += 1;
        self.bytes += text.len();
        Ok(())
    }
}

impl Decode for CsvDecoder {
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
                .map_err(|error| located(error, &self.file, self.splitter.record_line(), None))?;
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
        let columns = self.columns.iter_mut().map(|(_, _, values)| values.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn split(quote: Option<u8>, escape: Option<u8>, text: &str, size: usize) -> Result<String> {
        let mut splitter = CsvSplitter::new(b',', quote, escape);
        let mut rows = Vec::new();
        let mut take = |splitter: &CsvSplitter| {
            let cells: Vec<String> = (0..splitter.cell_count())
                .map(|index| {
                    let (range, quoted) = splitter.cell(index).unwrap();
                    let text = String::from_utf8(splitter.data()[range].to_vec()).unwrap();
                    if quoted { format!("<{text}>") } else { text }
                })
                .collect();
            rows.push(format!("{}:{}", splitter.record_line(), cells.join("|")));
        };
        for mut chunk in text.as_bytes().chunks(size) {
            while !chunk.is_empty() {
                let (used, complete) = splitter.push(chunk)?;
                if complete {
                    take(&splitter);
                }
                chunk = &chunk[used..];
            }
        }
        if splitter.finish()? {
            take(&splitter);
        }
        Ok(rows.join(" "))
    }

    #[test]
    fn records_and_cells() {
        let quote = Some(b'"');
        let escape = Some(b'\\');
        for (quote, escape, text, expected) in [
            (quote, None, "a,b\nc,d\n", "1:a|b 2:c|d"),
            (quote, None, "a,b\r\nc,d", "1:a|b 2:c|d"),
            (quote, None, "a,b\rc,d\r", "1:a|b 2:c|d"),
            (quote, None, "a,\"x\ny\"\nb,\"p,\"\"q\"\"\"\n", "1:a|<x\ny> 3:b|<p,\"q\">"),
            (quote, None, "\"\",,\n", "1:<>||"),
            (quote, None, "a\"b,\"c\"d\n", "1:a\"b|<cd>"),
            (quote, None, "a\n\nb\n", "1:a 2: 3:b"),
            (quote, None, "", ""),
            (quote, None, "a,", "1:a|"),
            (quote, escape, "a\\,b,\"c\\\"d\",\\N,e\\\\\n", "1:a,b|<c\"d>|\\N|e\\"),
            (quote, escape, "a\\\nb\nc", "1:a\nb 3:c"),
            (None, None, "\"a,b\"\n", "1:\"a|b\""),
            (None, escape, "x\\", "1:x\\"),
        ] {
            for size in [1, 2, 3, 1000] {
                assert_eq!(split(quote, escape, text, size).unwrap(), expected, "{text:?} by {size}");
            }
        }
        assert_eq!(split(quote, None, "\u{feff}a,b", 100).unwrap(), "1:a|b");
        assert_eq!(split(quote, None, "a\nb,\"c\nd", 1).unwrap_err().message, "unterminated quoted field");
    }

    #[test]
    fn characters_in_properties() {
        for (text, expected) in
            [(",", b','), ("\\t", b'\t'), ("\t", b'\t'), ("\\001", 1), ("\\u0001", 1), ("1", 1), ("|", b'|')]
        {
            assert_eq!(single_byte("field.delim", text).unwrap(), expected, "{text}");
        }
        for text in ["||", "ä", "200"] {
            assert!(single_byte("field.delim", text).is_err(), "{text}");
        }
    }
}
