//! [`DelimitedEncoder`]: CSV, TSV and Hive's text, cell by cell as [`crate::scan::format::csv`] reads them.
//!
//! What may not stand as it is gets quotes where the table has a quote character, else an escape where it has one; where
//! neither helps the value is refused. Hive's text of NULL, `\N`, is what a cell of text can't be without quotes.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use limnos_catalog::FileFacts;

use super::hive::NestedText;
use super::value::{Refusal, Spelling, is_json, refuse};
use super::{Encode, TextOptions};
use crate::scan::format::csv::{CsvOptions, CsvSplitter, Dialect, RECORD_BYTES_MAX};
use crate::{Error, ErrorCode, Result};

pub(super) const BREAKS: Refusal =
    "It holds the delimiter or a line break, and the table has neither a quote nor an escape character.";
pub(super) const IS_NULL_TEXT: Refusal = "It is the text that stands for NULL, and the table has no quote character.";
const IS_COMMENT: Refusal = "It begins as a comment does, and the table has no quote character.";
const IS_MARK: Refusal = "It begins the file with a byte order mark, and the table has no quote character.";
pub(super) const NO_NULL: Refusal = "It is NULL, and the table has no text that stands for NULL in a text column.";

/// See the module.
pub(super) struct DelimitedEncoder {
    schema: SchemaRef,
    options: CsvOptions,
    backslash: bool,
    spellings: Vec<Spelling>,
    /// Columns whose cells are text as they are, the empty one too.
    is_text: Vec<bool>,
    /// The header, until it is written.
    header: Option<String>,
    is_first_record: bool,
    record: String,
    cell: String,
}

impl DelimitedEncoder {
    pub(super) fn new(schema: &SchemaRef, text: &TextOptions) -> Result<Self> {
        let options = text.csv.clone();
        if let Some(null) = &options.null {
            check_null_text(null, &options)?;
        }
        let spellings = (0..schema.fields().len())
            .map(|index| Spelling { format: text.formats.get(index).cloned().flatten(), hex: text.hex })
            .collect();
        let is_text = schema
            .fields()
            .iter()
            .map(|field| matches!(field.data_type(), DataType::Utf8View | DataType::BinaryView) && !is_json(field))
            .collect();
        let mut encoder = Self {
            schema: SchemaRef::clone(schema),
            options,
            backslash: text.backslash,
            spellings,
            is_text,
            header: None,
            is_first_record: true,
            record: String::new(),
            cell: String::new(),
        };
        encoder.header = encoder.header_text()?;
        Ok(encoder)
    }

    /// The names, and empty lines as many as readers skip besides.
    fn header_text(&self) -> Result<Option<String>> {
        if self.options.header_rows == 0 {
            return Ok(None);
        }
        let mut header = String::new();
        for (index, field) in self.schema.fields().iter().enumerate() {
            if index > 0 {
                header.push(char::from(self.options.delimiter));
            }
            self.push_cell(field.name(), index == 0, index == 0, &mut header)
                .map_err(|refusal| refuse(field.name(), "delimited text", refusal))?;
        }
        for _ in 0..self.options.header_rows {
            header.push('\n');
        }
        Ok(Some(header))
    }

    fn write_header(&mut self, out: &mut Vec<u8>) {
        if let Some(header) = self.header.take() {
            out.extend_from_slice(header.as_bytes());
            self.is_first_record = false;
        }
    }

    /// Appends `cell`, which isn't NULL, so that it reads back as itself.
    fn push_cell(&self, cell: &str, is_first: bool, begins_file: bool, out: &mut String) -> Result<(), Refusal> {
        let CsvOptions { delimiter, quote, escape, null, comment, .. } = &self.options;
        if self.backslash {
            push_backslashed(cell, *delimiter, out);
            return Ok(());
        }
        let is_special = |byte: u8| byte == *delimiter || byte == b'\n' || byte == b'\r' || Some(byte) == *escape;
        let first = cell.as_bytes().first().copied();
        let has_special = cell.bytes().any(is_special);
        let is_null_text = null.as_deref() == Some(cell);
        let is_comment = is_first && comment.is_some() && first == *comment;
        let is_mark = begins_file && cell.starts_with('\u{feff}');
        let is_quote = quote.is_some() && first == *quote;
        if let Some(quote) = quote {
            // Readers of other programs trim blanks, and old ones end at `\.`.
            let is_fragile = cell == "\\." || cell.starts_with([' ', '\t']) || cell.ends_with([' ', '\t']);
            if !(has_special || is_null_text || is_comment || is_mark || is_quote || is_fragile) {
                out.push_str(cell);
                return Ok(());
            }
            out.push(char::from(*quote));
            for c in cell.chars() {
                if c == char::from(*quote) || escape.is_some_and(|escape| c == char::from(escape)) {
                    out.push(char::from(escape.unwrap_or(*quote)));
                }
                out.push(c);
            }
            out.push(char::from(*quote));
            return Ok(());
        }
        // Readers compare what is left when escapes are resolved; of Hive's text, what is there before.
        let escapes_null =
            is_null_text && !cell.is_empty() && matches!(self.options.dialect, Dialect::Lazy(_)) && escape.is_some();
        if is_null_text && !escapes_null {
            return Err(IS_NULL_TEXT);
        }
        if is_comment {
            return Err(IS_COMMENT);
        }
        if is_mark {
            return Err(IS_MARK);
        }
        if !has_special && !escapes_null {
            out.push_str(cell);
            return Ok(());
        }
        let Some(escape) = escape else { return Err(BREAKS) };
        for (index, c) in cell.char_indices() {
            if u8::try_from(c).is_ok_and(is_special) || escapes_null && index == 0 {
                out.push(char::from(*escape));
            }
            out.push(c);
        }
        Ok(())
    }

    /// Appends the text of a nested value, which has its delimiters and escapes.
    fn push_nested(&self, text: &str, is_first: bool, out: &mut String) -> Result<(), Refusal> {
        let first = text.as_bytes().first().copied();
        if is_first && first.is_some() && first == self.options.comment {
            return Err(IS_COMMENT);
        }
        if is_first && self.is_first_record && text.starts_with('\u{feff}') {
            return Err(IS_MARK);
        }
        out.push_str(text);
        Ok(())
    }

    fn push_null(&self, index: usize, is_first: bool, out: &mut String) -> Result<(), Refusal> {
        match &self.options.null {
            Some(null) => {
                let is_comment =
                    is_first && !null.is_empty() && null.as_bytes().first().copied() == self.options.comment;
                if is_comment && self.is_text[index] {
                    return Err(IS_COMMENT);
                }
                if !is_comment {
                    out.push_str(null);
                }
                Ok(())
            }
            None if self.is_text[index] => Err(NO_NULL),
            None => Ok(()),
        }
    }

    fn write_record(&mut self, batch: &RecordBatch, row: usize) -> Result<()> {
        let mut record = std::mem::take(&mut self.record);
        let mut cell = std::mem::take(&mut self.cell);
        record.clear();
        for (index, (column, field)) in batch.columns().iter().zip(self.schema.fields()).enumerate() {
            if index > 0 {
                record.push(char::from(self.options.delimiter));
            }
            let is_nested = matches!(column.data_type(), DataType::List(_) | DataType::Struct(_) | DataType::Map(_, _));
            let written = if column.is_null(row) {
                self.push_null(index, index == 0, &mut record)
            } else if let (true, Dialect::Lazy(hive)) = (is_nested, &self.options.dialect) {
                cell.clear();
                let nested = NestedText { hive, spelling: &self.spellings[index] };
                nested
                    .push(column.as_ref(), row, &mut cell)
                    .and_then(|()| self.push_nested(&cell, index == 0, &mut record))
            } else {
                cell.clear();
                let spelled = match column.data_type() {
                    DataType::Utf8View => {
                        cell.push_str(column.as_string_view().value(row));
                        Ok(())
                    }
                    DataType::List(_) | DataType::Struct(_) | DataType::Map(_, _) => {
                        self.spellings[index].write_json(column.as_ref(), field, row, &mut cell)
                    }
                    _ => self.spellings[index].write_scalar(column.as_ref(), row, &mut cell),
                };
                let begins_file = index == 0 && self.is_first_record;
                spelled.and_then(|()| self.push_cell(&cell, index == 0, begins_file, &mut record))
            };
            written.map_err(|refusal| {
                refuse(field.name(), "delimited text", refusal)
                    .with_hint("Say 'quoteChar' or 'serialization.null.format' in the table's SerDe properties, or store it as Parquet.")
            })?;
        }
        if record.len() > RECORD_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("a row is larger than {} MB", RECORD_BYTES_MAX >> 20),
            ));
        }
        record.push('\n');
        self.is_first_record = false;
        self.record = record;
        self.cell = cell;
        Ok(())
    }
}

impl Encode for DelimitedEncoder {
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.write_header(out);
        for row in 0..batch.num_rows() {
            self.write_record(batch, row)?;
            out.extend_from_slice(self.record.as_bytes());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>> {
        self.write_header(out);
        Ok(None)
    }

    fn memory_size(&self) -> usize {
        self.record.capacity() + self.cell.capacity()
    }

    fn pending_bytes(&self) -> usize {
        0
    }
}

/// Appends `cell` as PostgreSQL's COPY writes text.
fn push_backslashed(cell: &str, delimiter: u8, out: &mut String) {
    for c in cell.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c == char::from(delimiter) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
}

/// Refuses a text of NULL that doesn't read as one cell without quotes.
fn check_null_text(null: &str, options: &CsvOptions) -> Result<()> {
    let mut splitter = CsvSplitter::new(options.delimiter, options.quote, options.escape);
    // What stands before it keeps a byte order mark from being taken for one.
    let line = format!("x{}{null}\n", char::from(options.delimiter));
    let is_cell = splitter.push(line.as_bytes()).is_ok_and(|(used, complete)| {
        let cell = splitter.cell(1).map(|(range, quoted)| (&splitter.data()[range], quoted));
        used == line.len() && complete && splitter.cell_count() == 2 && cell == Some((null.as_bytes(), false))
    });
    if is_cell {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidParameterValue,
        format!("\"{null}\" cannot stand for NULL in files with these delimiters and quotes"),
    )
    .with_hint("Say another 'serialization.null.format'."))
}
