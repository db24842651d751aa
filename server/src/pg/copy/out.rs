//! [`CopyEncoder`]: record batches -> CopyData messages, byte for byte what PostgreSQL 15 sends for equal rows.
//!
//! A value is written once, straight into the connection's output buffer, and then looked at in place: text that needs no
//! escape (numbers never do) stays as it is, and what needs one is moved behind itself through one buffer that all rows
//! share. So a row costs no allocation, and the whole costs one look at each byte of text.
//!
//! Each row is a message of its own, as in PostgreSQL; drivers that read row by row (psycopg, pgJDBC) count on it.

use bytes::{BufMut, BytesMut};
use limnos_engine::{Error, ErrorCode, Result};

use super::options::{CopyOptions, Header, Layout};
use crate::pg::encode::{RowEncoder, Rows};
use crate::pg::types::{PgType, Scalar, Shape};

/// What a binary COPY begins with: its signature, no flags, no extension.
pub(super) const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// See the module.
pub(super) struct CopyEncoder {
    rows: RowEncoder,
    layout: Layout,
    delimiter: u8,
    null: Vec<u8>,
    columns: Vec<Column>,
    /// Bytes that text can't have as they are.
    special: [bool; 256],
    /// A binary header that goes with the first row.
    is_begun: bool,
    scratch: Vec<u8>,
}

/// What is done to a column's values.
struct Column {
    /// Whether its text may hold a special byte.
    is_looked_at: bool,
    force_quote: bool,
}

impl CopyEncoder {
    /// `rows` writes the values of `schema` in the layout's format; `force_quote` has a flag for each column.
    pub(super) fn new(
        rows: RowEncoder,
        schema: &arrow::datatypes::Schema,
        options: &CopyOptions,
        force_quote: &[bool],
    ) -> Self {
        let mut special = [false; 256];
        special[usize::from(options.delimiter)] = true;
        let others: &[u8] = match options.layout {
            Layout::Text => b"\\\x08\x0c\n\r\t\x0b",
            Layout::Csv { .. } => b"\n\r",
            Layout::Binary => b"",
        };
        others.iter().for_each(|byte| special[usize::from(*byte)] = true);
        if let Layout::Csv { quote, .. } = options.layout {
            special[usize::from(quote)] = true;
        }
        // What numbers and the like are made of. With another delimiter, they are looked at as text is.
        let is_plain = (0..=255_u8)
            .filter(|byte| byte.is_ascii_alphanumeric() || b"+-. :".contains(byte))
            .all(|byte| !special[usize::from(byte)])
            && (options.null.is_empty() || options.layout == Layout::Text);
        let columns = schema.fields().iter().zip(force_quote).map(|(field, force_quote)| Column {
            is_looked_at: !is_plain || !is_plain_type(PgType::of(field).shape),
            force_quote: *force_quote,
        });
        Self {
            rows,
            layout: options.layout,
            delimiter: options.delimiter,
            null: options.null.clone().into_bytes(),
            columns: columns.collect(),
            special,
            is_begun: false,
            scratch: Vec::new(),
        }
    }

    /// The line of the columns' names.
    pub(super) fn header(&mut self, header: Header, names: &[String], out: &mut BytesMut) {
        if header == Header::None {
            return;
        }
        let start = begin(out);
        let is_one = names.len() == 1;
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.put_u8(self.delimiter);
            }
            let from = out.len();
            out.put_slice(name.as_bytes());
            self.finish_text(from, false, is_one, out);
        }
        out.put_u8(b'\n');
        end(out, start);
    }

    /// Takes a batch apart.
    ///
    /// # Errors
    /// When the batch is not of the encoder's schema.
    pub(super) fn rows(&self, batch: &arrow::array::RecordBatch) -> Result<Rows> {
        self.rows.rows(batch)
    }

    /// Writes rows until `out` holds `bytes_max` or none is left; gives how many were.
    ///
    /// # Errors
    /// When a value is outside its PostgreSQL type; the row is not written.
    pub(super) fn write(&mut self, rows: &mut Rows, out: &mut BytesMut, bytes_max: usize) -> Result<u64> {
        let mut written = 0;
        while out.len() < bytes_max
            && let Some(row) = rows.take()
        {
            let start = begin(out);
            let row = match self.layout {
                Layout::Binary => self.binary_row(rows, row, out),
                _ => self.text_row(rows, row, out),
            };
            if let Err(error) = row {
                out.truncate(start - 1);
                return Err(error);
            }
            if out.len() - start > i32::MAX as usize {
                out.truncate(start - 1);
                return Err(Error::new(ErrorCode::ProgramLimitExceeded, "row is larger than 2 GB"));
            }
            end(out, start);
            written += 1;
        }
        Ok(written)
    }

    /// What comes behind the last row.
    pub(super) fn trailer(&mut self, out: &mut BytesMut) {
        if self.layout == Layout::Binary {
            let start = begin(out);
            self.begin_binary(out);
            out.put_i16(-1);
            end(out, start);
        }
    }

    fn begin_binary(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.is_begun, true) {
            out.put_slice(BINARY_HEADER);
        }
    }

    fn binary_row(&mut self, rows: &Rows, row: usize, out: &mut BytesMut) -> Result<()> {
        self.begin_binary(out);
        out.put_i16(self.columns.len() as i16);
        for column in 0..self.columns.len() {
            let length_at = out.len();
            out.put_i32(-1);
            if self.rows.cell(rows, column, row, out)? {
                let length = (out.len() - length_at - 4) as i32;
                out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }

    fn text_row(&mut self, rows: &Rows, row: usize, out: &mut BytesMut) -> Result<()> {
        let is_one = self.columns.len() == 1;
        for column in 0..self.columns.len() {
            if column > 0 {
                out.put_u8(self.delimiter);
            }
            let from = out.len();
            if !self.rows.cell(rows, column, row, out)? {
                out.put_slice(&self.null);
                continue;
            }
            let Column { is_looked_at, force_quote } = self.columns[column];
            if is_looked_at || force_quote {
                self.finish_text(from, force_quote, is_one, out);
            }
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Escapes or quotes the value that stands at the end of `out`.
    fn finish_text(&mut self, from: usize, force_quote: bool, is_one: bool, out: &mut BytesMut) {
        let value = &out[from..];
        let special = value.iter().position(|byte| self.special[usize::from(*byte)]);
        let Layout::Csv { quote, escape } = self.layout else {
            if let Some(first) = special {
                self.escape(from + first, out);
            }
            return;
        };
        // A value that reads like NULL or like the end of the data isn't one when it is quoted.
        let is_quoted = force_quote || special.is_some() || value == self.null || (is_one && value == b"\\.");
        if !is_quoted {
            return;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(value);
        out.truncate(from);
        out.put_u8(quote);
        for byte in &self.scratch {
            if *byte == quote || *byte == escape {
                out.put_u8(escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(quote);
    }

    /// Escapes what stands behind `from`, which is the first byte that needs it.
    fn escape(&mut self, from: usize, out: &mut BytesMut) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&out[from..]);
        out.truncate(from);
        let mut rest = self.scratch.as_slice();
        while let Some(next) = rest.iter().position(|byte| self.special[usize::from(*byte)]) {
            out.put_slice(&rest[..next]);
            let byte = rest[next];
            let letter = match byte {
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                // The delimiter and the backslash.
                other => other,
            };
            out.put_slice(&[b'\\', letter]);
            rest = &rest[next + 1..];
        }
        out.put_slice(rest);
    }
}

/// Begins a CopyData message; gives where its length stands.
fn begin(out: &mut BytesMut) -> usize {
    out.put_u8(b'd');
    out.put_i32(0);
    out.len() - 4
}

fn end(out: &mut BytesMut, start: usize) {
    let length = (out.len() - start) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Whether values are written with letters, digits and `+-. :` only.
fn is_plain_type(shape: Shape) -> bool {
    use Scalar::{
        Bool, Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Oid, Time, Timestamp, TimestampTz, Uuid, Xid,
    };
    matches!(
        shape,
        Shape::Scalar(
            Bool | Int2
                | Int4
                | Int8
                | Float4
                | Float8
                | Numeric
                | Oid
                | Xid
                | Uuid
                | Date
                | Time
                | Timestamp
                | TimestampTz
                | Interval
        )
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray};
    use limnos_engine::parse::CopyOption;

    use super::super::options::Direction;
    use super::*;
    use crate::pg::encode::{Format, Style};

    fn copied(options: &[(&str, Option<&str>)], columns: Vec<(&str, ArrayRef)>) -> Vec<Vec<u8>> {
        let options: Vec<CopyOption> = options
            .iter()
            .map(|(name, value)| CopyOption {
                name: (*name).to_owned(),
                value: value.map(str::to_owned),
                list: None,
                position: 1,
            })
            .collect();
        let options = CopyOptions::read(&options, Direction::Out).unwrap();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = batch.schema();
        let format = if options.layout == Layout::Binary { Format::Binary } else { Format::Text };
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let force = options.force_quote.flags(&names, &names, "FORCE_QUOTE", None).unwrap();
        let rows = RowEncoder::new(&schema, |_| format, Style::default());
        let mut encoder = CopyEncoder::new(rows, &schema, &options, &force);
        let mut out = BytesMut::new();
        encoder.header(options.header, &names, &mut out);
        let mut rows = encoder.rows(&batch).unwrap();
        encoder.write(&mut rows, &mut out, usize::MAX).unwrap();
        encoder.trailer(&mut out);
        let mut messages = Vec::new();
        let mut bytes = out.as_ref();
        while let [b'd', a, b, c, d, rest @ ..] = bytes {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
            messages.push(rest[..length].to_vec());
            bytes = &rest[length..];
        }
        assert!(bytes.is_empty());
        messages
    }

    fn text(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn text_is_escaped_as_postgresql_does() {
        let values = [Some("a\tb\\c\n\r\x08\x0c\x0b\x01é"), None, Some(""), Some("\\N"), Some("\\.")];
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(-1), None, Some(2), Some(3), Some(4)]));
        let rows = copied(&[], vec![("a", text(&values)), ("n", numbers)]);
        let expected = ["a\\tb\\\\c\\n\\r\\b\\f\\v\x01é\t-1\n", "\\N\t\\N\n", "\t2\n", "\\\\N\t3\n", "\\\\.\t4\n"];
        assert_eq!(rows, expected.map(|row| row.as_bytes().to_vec()));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..]]));
        assert_eq!(copied(&[], vec![("b", bytes)]), [b"\\\\x01ff\n".to_vec()]);
        // A delimiter that numbers are made of.
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![-1]));
        let minus = copied(&[("delimiter", Some("-"))], vec![("a", Arc::clone(&numbers)), ("b", numbers)]);
        assert_eq!(minus, [b"\\-1-\\-1\n".to_vec()]);
    }

    #[test]
    fn csv_quotes_what_reads_as_something_else() {
        let csv = ("format", Some("csv"));
        let values = [Some("a"), None, Some(""), Some("a,b"), Some("a\"b"), Some("\n"), Some("\\."), Some(" x ")];
        let rows = copied(&[csv, ("header", None)], vec![("a,b", text(&values))]);
        let expected =
            ["\"a,b\"\n", "a\n", "\n", "\"\"\n", "\"a,b\"\n", "\"a\"\"b\"\n", "\"\n\"\n", "\"\\.\"\n", " x \n"];
        assert_eq!(rows, expected.map(|row| row.as_bytes().to_vec()));
        let two = copied(&[csv], vec![("a", text(&[Some("\\.")])), ("b", text(&[None]))]);
        assert_eq!(two, [b"\\.,\n".to_vec()]);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
        let options =
            [csv, ("null", Some("7")), ("force_quote", Some("*")), ("quote", Some("'")), ("escape", Some("\\"))];
        let rows = copied(&options, vec![("a", numbers), ("b", text(&[Some("it's\\"), None]))]);
        assert_eq!(rows, [b"'7','it\\'s\\\\'\n".to_vec(), b"7,7\n".to_vec()]);
    }

    #[test]
    fn binary_begins_with_the_first_row() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let rows = copied(&[("format", Some("binary"))], vec![("a", numbers)]);
        let first = [BINARY_HEADER, b"\0\x01\0\0\0\x04\0\0\0\x01"].concat();
        assert_eq!(rows, [first, b"\0\x01\xff\xff\xff\xff".to_vec(), b"\xff\xff".to_vec()]);
        let none: ArrayRef = Arc::new(Int32Array::from(Vec::<i32>::new()));
        assert_eq!(copied(&[("format", Some("binary"))], vec![("a", none)]), [[BINARY_HEADER, b"\xff\xff"].concat()]);
    }
}
