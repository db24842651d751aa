//! Delimited text: what a table says of it ([`CsvOptions`]), bytes -> records ([`CsvSplitter`]) -> columns
//! ([`super::delimited`]).
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
//! What a row may have too few or too many of, and what becomes of one that is wrong, is in [`super::on_error`]. A single empty
//! cell more is none: a delimiter at the line's end makes it. A line without a character is skipped where the table has several columns and
//! is a row where it has one.

use limnos_catalog::TableDefinition;

use super::hive_text::HiveText;
use super::on_error::said;
use super::position::Position;
use super::{OnError, utf16_refused};
use crate::{Error, ErrorCode, Result};

/// Largest row; see [`super::json::records::RECORD_BYTES_MAX`].
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// Most cells of a row: a line of nothing but delimiters has no bytes that count, and yet takes memory.
const RECORD_CELLS_MAX: usize = 1 << 20;

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
    /// Whether columns that a row has no cells for are NULL.
    pub missing_is_null: bool,
    /// Whose rules hold.
    pub dialect: Dialect,
}

/// Whose rules hold where delimited text has several.
///
/// | | LazySimpleSerDe without `quoteChar` | OpenCSVSerde | STORED AS CSV, crawled, or with `quoteChar` |
/// |---|---|---|---|
/// | delimiter | `field.delim`, `\001` | `separatorChar`, `,` | `field.delim`, `,` |
/// | quotes | none: a quote is a character | `quoteChar`, `"`; blanks before one are dropped | `quoteChar`, `"`; only at a cell's begin |
/// | line breaks in quotes | - | belong to the cell (Hive ends the row) | belong to the cell |
/// | escape | `escape.delim`, none; what it stands before is itself | `escapeChar`, `\`; only in quotes, before a quote or itself; else it is dropped | `escapeChar`, none; only before a delimiter, quote, escape or line end; else it stays |
/// | NULL | `serialization.null.format`, `\N` | nothing, unless it is said | nothing, unless it is said (crawled: the empty cell) |
/// | empty cell | an empty string; NULL in other types; an empty array or map | an empty string; NULL in other types | the same |
/// | a lone `-` | NULL but in text | text, or wrong | text, or wrong |
/// | arrays, maps, structs | by delimiters ([`super::hive_text`]) | as JSON | as JSON |
/// | dates, timestamps | ISO | days, milliseconds since 1970, or ISO | ISO |
///
/// Alike in all: one character for each delimiter (others are refused, Hive takes the first); lines end with `\n`, `\r\n` or `\r`,
/// nothing else can be asked for; blanks around numbers, booleans and dates don't count (Hive has NULL for ` 1` as an integer);
/// booleans are PostgreSQL's (`t`, `yes`, `on`, `1`, ...), in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// Hive's own text.
    Lazy(HiveText),
    /// OpenCSVSerde's.
    OpenCsv,
    /// As PostgreSQL and others read it.
    Plain,
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
        if let Some((_, end)) = property(&["line.delim"])
            && !["\n", "\\n", "\r\n", "\\r\\n", "\r", "\\r", "10", "\\012", "\\u000A", ""].contains(&end)
        {
            return Err(Error::unsupported(format!("lines that end with \"{end}\" are not supported"))
                .with_hint("Lines end with \\n, \\r\\n or \\r, whichever a file has."));
        }
        let delimiter = character(&["field.delim", "separatorChar", "serialization.format"])?;
        let delimiter = delimiter.unwrap_or(if is_open_csv { b',' } else { 1 });
        let null = storage.properties.get("serialization.null.format").cloned();
        let null = null.or_else(|| (!is_open_csv).then(|| "\\N".to_owned()));
        let quote = default(&["quoteChar"], b'"')?;
        let escape = match default(&["escapeChar", "escape.delim"], b'\\')? {
            // A quote that is doubled is one anyway. OpenCSVSerde then goes back to its own.
            escape if escape.is_some() && escape == quote => is_open_csv.then_some(b'\\'),
            escape => escape,
        };
        let dialect = match quote {
            _ if is_open_csv => Dialect::OpenCsv,
            None => {
                HiveText::check(&definition.columns)?;
                Dialect::Lazy(HiveText::new(storage, delimiter, null.clone(), escape, character)?)
            }
            Some(_) => Dialect::Plain,
        };
        Ok(Self {
            delimiter,
            quote,
            escape,
            null,
            dialect,
            header_rows: super::header_rows(definition)?,
            serial_dates: is_open_csv,
            dash_is_null: !is_open_csv && quote.is_none(),
            comment: character(&["limnos.comment"])?,
            on_error: OnError::of(definition)?,
            missing_is_null: missing_is_null(definition)?,
        })
    }
}

/// Whether a row may end before the last column: if nothing is said of errors, as in Hive, and if the table says so, to which
/// columns were added.
fn missing_is_null(definition: &TableDefinition) -> Result<bool> {
    match said(definition, "limnos.csv.missing_fields")? {
        None => Ok(matches!(OnError::of(definition)?, None | Some(OnError::Null))),
        Some("null") => Ok(true),
        Some("error") => Ok(false),
        Some(other) => Err(Error::new(
            ErrorCode::InvalidParameterValue,
            format!("invalid value for property \"limnos.csv.missing_fields\": \"{other}\""),
        )
        .with_hint("Available values: null, error.")),
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
    /// In what is left of a line that was given up.
    Discard,
}

/// What an escape does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// It counts before what would mean something else; `\N` and `C:\new` stay as they are.
    BeforeSpecial,
    /// It hides what follows and stays, for whoever reads the cell.
    Kept,
    /// It counts in quotes, before a quote or an escape; else it is dropped.
    OpenCsv,
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
    /// Whether the cell has line breaks inside its quotes.
    cell_spans_lines: bool,
    /// Whether there is text behind the closing quote of such a cell.
    has_stray_quote: bool,
    /// Of what is read next.
    position: Position,
    /// Of the record's first byte.
    record: Position,
    /// The record as the file has it, if that is wanted.
    raw: Vec<u8>,
    keeps_raw: bool,
    escapes: Escapes,
    /// Where in the bytes at hand the record begins, and how many of them were used.
    begin: usize,
    used: usize,
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
            cell_spans_lines: false,
            has_stray_quote: false,
            position: Position::START,
            record: Position::START,
            raw: Vec::new(),
            keeps_raw: false,
            escapes: Escapes::BeforeSpecial,
            begin: 0,
            used: 0,
            after_return: false,
            at_start: true,
        }
    }

    /// The splitter of a table's text.
    pub fn of(options: &CsvOptions) -> Self {
        let mut splitter = Self::new(options.delimiter, options.quote, options.escape);
        match options.dialect {
            Dialect::Lazy(_) => splitter.escapes = Escapes::Kept,
            Dialect::OpenCsv => {
                splitter.escapes = Escapes::OpenCsv;
                if let Some(quote) = options.quote {
                    splitter.plain_stops[usize::from(quote)] = true;
                }
            }
            Dialect::Plain => {}
        }
        splitter
    }

    /// The same, keeping each record as the file has it, so that a broken one can be given up ([`Self::give_up_line`]).
    #[must_use]
    pub fn keeping_raw(mut self) -> Self {
        self.keeps_raw = true;
        self
    }

    /// Goes on in the middle of a file at `position`, which is a record's first byte.
    pub fn resume(&mut self, position: Position) {
        (self.position, self.record) = (position, position);
        self.at_start = position.offset == 0;
    }

    /// The line that is being read, from 1.
    pub fn line(&self) -> u64 {
        self.position.line_number()
    }

    /// The line on which the record began, from 1.
    pub fn record_line(&self) -> u64 {
        self.record.line_number()
    }

    /// Where the record began.
    pub fn record_position(&self) -> Position {
        self.record
    }

    /// The record as the file has it, with its end. Empty unless it is kept.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether text stands behind the closing quote of a cell that spans lines: nearly always a quote too many in the first
    /// of these lines, which took the next quote for its partner.
    pub fn has_stray_quote(&self) -> bool {
        self.has_stray_quote
    }

    /// Where the next record begins, or the next piece of this one.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many bytes of the last [`Self::push`] were used, be it that it failed.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Gives up the line on which the record began, be the record complete or not. Returns that line and what was read of the
    /// lines behind it, which is to be read again, before anything else. Where the line goes on, its rest is passed over.
    pub fn give_up_line(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut line = std::mem::take(&mut self.raw);
        let end = line
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .map(|end| if line[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 });
        let rest = match end {
            Some(end) => line.split_off(end),
            None => Vec::new(),
        };
        if end.is_some() {
            self.position = Position { line: self.record.line, offset: self.record.offset + line.len() as u64 };
            self.position.next_line();
            self.after_return = line.last() == Some(&b'\r');
        }
        self.state = if end.is_some() { State::RecordStart } else { State::Discard };
        (line, rest)
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
        (self.begin, self.used) = (0, 0);
        let pushed = self.advance(bytes);
        if self.keeps_raw {
            self.raw.extend_from_slice(&bytes[self.begin..self.used]);
        }
        self.position.offset += self.used as u64;
        pushed.map(|complete| (self.used, complete))
    }

    /// As [`Self::push`], leaving in `used` how many bytes were used.
    fn advance(&mut self, bytes: &[u8]) -> Result<bool> {
        if self.at_start && !bytes.is_empty() {
            if bytes.starts_with(&[0xfe, 0xff]) || bytes.starts_with(&[0xff, 0xfe]) {
                return Err(utf16_refused());
            }
            if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
                self.used = 3;
            }
            self.at_start = false;
        }
        while self.used < bytes.len() {
            let byte = bytes[self.used];
            match self.state {
                State::RecordStart => {
                    if byte == b'\n' && self.after_return {
                        self.after_return = false;
                        self.used += 1;
                        continue;
                    }
                    self.after_return = false;
                    self.data.clear();
                    self.cells.clear();
                    self.cell_quoted = false;
                    self.cell_spans_lines = false;
                    self.has_stray_quote = false;
                    self.raw.clear();
                    self.begin = self.used;
                    self.record = self.position.after(self.used);
                    self.state = State::CellStart;
                }
                State::CellStart => {
                    if Some(byte) == self.quote {
                        self.cell_quoted = true;
                        self.state = State::Quoted;
                        self.used += 1;
                    } else {
                        self.state = State::Plain;
                    }
                }
                State::Plain => {
                    self.used += self.take_run(&bytes[self.used..], false)?;
                    let Some(&byte) = bytes.get(self.used) else { break };
                    if !self.plain_stops[usize::from(byte)] {
                        continue;
                    }
                    self.used += 1;
                    if byte == self.delimiter {
                        self.end_cell();
                        self.state = State::CellStart;
                    } else if byte == b'\n' || byte == b'\r' {
                        self.end_cell();
                        self.position.next_line();
                        self.after_return = byte == b'\r';
                        self.state = State::RecordStart;
                        return Ok(true);
                    } else if self.escapes == Escapes::OpenCsv {
                        self.open_csv_special(byte);
                    } else {
                        self.state = State::EscapeInPlain;
                    }
                }
                State::Quoted => {
                    self.used += self.take_run(&bytes[self.used..], true)?;
                    let Some(&byte) = bytes.get(self.used) else { break };
                    if !self.quoted_stops[usize::from(byte)] {
                        continue;
                    }
                    self.used += 1;
                    if byte == b'\n' {
                        self.position.next_line();
                        self.cell_spans_lines = true;
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
                        self.used += 1;
                    } else {
                        // Text between the closing quote and the delimiter belongs to the cell, as in PostgreSQL.
                        let ends = byte == self.delimiter || byte == b'\n' || byte == b'\r';
                        self.has_stray_quote |= self.cell_spans_lines && !ends;
                        self.state = State::Plain;
                    }
                }
                State::Discard => {
                    let rest = &bytes[self.used..];
                    let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                        self.used = bytes.len();
                        self.begin = self.used;
                        break;
                    };
                    self.used += end + 1;
                    self.begin = self.used;
                    self.position.next_line();
                    self.after_return = rest[end] == b'\r';
                    self.state = State::RecordStart;
                }
                State::EscapeInQuoted if self.escapes == Escapes::OpenCsv => {
                    if Some(byte) == self.quote || Some(byte) == self.escape {
                        self.data.push(byte);
                        self.used += 1;
                    }
                    self.state = State::Quoted;
                }
                State::EscapeInPlain | State::EscapeInQuoted => {
                    let quoted = self.state == State::EscapeInQuoted;
                    let is_special = byte == self.delimiter
                        || Some(byte) == self.quote
                        || Some(byte) == self.escape
                        || byte == b'\n'
                        || byte == b'\r';
                    let stays = self.escapes == Escapes::Kept || !is_special;
                    if stays && let Some(escape) = self.escape {
                        self.data.push(escape);
                    }
                    if byte == b'\n' {
                        self.position.next_line();
                    }
                    self.data.push(byte);
                    self.used += 1;
                    self.state = if quoted { State::Quoted } else { State::Plain };
                }
            }
        }
        Ok(false)
    }

    /// Says that the file ends here; true if that completed a record.
    ///
    /// # Errors
    /// A quote that was never closed.
    pub fn finish(&mut self) -> Result<bool> {
        match self.state {
            State::RecordStart | State::Discard => Ok(false),
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
        // Bytes up to one that means something.
        let stops = if quoted { &self.quoted_stops } else { &self.plain_stops };
        let length = bytes.iter().position(|byte| stops[usize::from(*byte)]).unwrap_or(bytes.len());
        if self.cells.len() > RECORD_CELLS_MAX {
            let message = format!("a row has more than {RECORD_CELLS_MAX} fields");
            return Err(Error::new(ErrorCode::ProgramLimitExceeded, message)
                .with_hint("Check the delimiter in the table's properties."));
        }
        // As much as there is room for, so that a row that is given up is known from its beginning.
        let room = RECORD_BYTES_MAX.saturating_sub(self.data.len());
        if self.data.len() > RECORD_BYTES_MAX || (length > 0 && room == 0) {
            return Err(Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("a row is larger than {} MB", RECORD_BYTES_MAX >> 20),
            )
            .with_hint("A quote that is never closed makes one row of the rest of a file."));
        }
        let length = length.min(room);
        self.data.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    /// Outside quotes OpenCSVSerde has no escapes, and a quote begins quotes where nothing but blanks is before it.
    fn open_csv_special(&mut self, byte: u8) {
        if Some(byte) != self.quote {
            return;
        }
        let start = self.cells.last().map_or(0, |(end, _)| *end);
        if !self.cell_quoted && self.data[start..].iter().all(u8::is_ascii_whitespace) {
            self.data.truncate(start);
            self.cell_quoted = true;
            self.state = State::Quoted;
        } else {
            self.data.push(byte);
        }
    }

    fn end_cell(&mut self) {
        self.cells.push((self.data.len(), self.cell_quoted));
        self.cell_quoted = false;
        self.cell_spans_lines = false;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn split(quote: Option<u8>, escape: Option<u8>, text: &str, size: usize) -> Result<String> {
        split_with(CsvSplitter::new(b',', quote, escape), text, size)
    }

    fn split_with(mut splitter: CsvSplitter, text: &str, size: usize) -> Result<String> {
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
    fn open_csv_has_rules_of_its_own() {
        for (text, expected) in [
            ("a\\,b,C:\\new,\\N\n", "1:a|b|C:new|N"),
            ("\"a\\\"b\",\"c\\\\d\",\"e\\,f\",\"\\N\"\n", "1:<a\"b>|<c\\d>|<e,f>|<N>"),
            ("1,  \"a, b\",x \"y\"\n", "1:1|<a, b>|x \"y\""),
            ("\"a\"\"b\",\"\"\n", "1:<a\"b>|<>"),
            ("a\\\nb", "1:a 2:b"),
        ] {
            for size in [1, 2, 3, 1000] {
                let mut splitter = CsvSplitter::new(b',', Some(b'"'), Some(b'\\'));
                splitter.escapes = Escapes::OpenCsv;
                splitter.plain_stops[usize::from(b'"')] = true;
                assert_eq!(split_with(splitter, text, size).unwrap(), expected, "{text:?} by {size}");
            }
        }
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
