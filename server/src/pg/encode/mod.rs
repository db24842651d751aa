//! Record batches -> DataRow messages, written straight into the connection's output buffer: no row, no cell is
//! allocated. [`cells`] takes Arrow apart, [`text`], [`binary`] and [`json`] write values.

pub(crate) mod binary;
pub(crate) mod calendar;
pub(crate) mod cells;
pub(crate) mod json;
pub(crate) mod style;
pub(crate) mod text;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use bytes::{BufMut, BytesMut};
use limnos_engine::{Error, ErrorCode, Session};

use self::cells::{Cells, OutOfRange, Value};
pub(crate) use self::style::Style;
use crate::pg::types::{PgType, Scalar, Shape};

/// The PostgreSQL types that the columns of `schema` are described with.
pub fn column_types(schema: &Schema) -> Vec<postgres_types::Type> {
    let known = |oid| postgres_types::Type::from_oid(oid).unwrap_or(postgres_types::Type::TEXT);
    schema.fields().iter().map(|field| known(PgType::of(field).oid())).collect()
}

/// A batch as a client of the text format reads it, `None` for NULL. For callers without a wire, whose answers must not
/// differ from those of one; the wire itself never holds rows like this.
///
/// # Errors
/// When a value is outside its PostgreSQL type.
pub fn text_rows(batch: &RecordBatch, session: &Session) -> Result<Vec<Vec<Option<String>>>, Error> {
    let encoder = RowEncoder::new(batch.schema_ref(), |_| Format::Text, Style::of(&session.settings));
    let rows = encoder.rows(batch)?;
    let mut out = BytesMut::new();
    let mut cell = |column: &Column, cells: &Cells, row| -> Result<Option<String>, Error> {
        let Some(value) = cells.value(row)? else { return Ok(None) };
        out.clear();
        column.write(value, &encoder.style, &mut out)?;
        Ok(Some(String::from_utf8_lossy(&out).into_owned()))
    };
    let mut row =
        |row| encoder.columns.iter().zip(&rows.cells).map(|(column, cells)| cell(column, cells, row)).collect();
    (0..rows.count).map(&mut row).collect()
}

/// A batch as DataRow messages, all columns in text or all in binary. For measuring; connections write into their own buffer.
///
/// # Errors
/// When a value is outside its PostgreSQL type.
pub fn data_rows(batch: &RecordBatch, session: &Session, is_binary: bool) -> Result<BytesMut, Error> {
    let format = if is_binary { Format::Binary } else { Format::Text };
    let encoder = RowEncoder::new(batch.schema_ref(), |_| format, Style::of(&session.settings));
    let mut rows = encoder.rows(batch)?;
    let mut out = BytesMut::new();
    while !rows.is_done() {
        encoder.write(&mut rows, &mut out, u64::MAX, usize::MAX)?;
    }
    Ok(out)
}

/// How one value is represented on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    #[default]
    Text,
    Binary,
}

impl Format {
    /// The protocol's code.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
        }
    }
}

/// What a column's values are written with, chosen once per result.
#[derive(Debug, Clone, Copy)]
struct Column {
    shape: Shape,
    format: Format,
    /// `char(n)` is filled with blanks to its length, which its values don't carry.
    width: usize,
}

/// Writes the rows of one result.
#[derive(Debug)]
pub(crate) struct RowEncoder {
    columns: Vec<Column>,
    style: Style,
}

/// A batch taken apart, to be written row by row.
#[derive(Debug)]
pub(crate) struct Rows {
    cells: Vec<Cells>,
    next: usize,
    count: usize,
}

impl Rows {
    /// How many rows are written.
    pub(crate) fn written(&self) -> usize {
        self.next
    }

    /// Whether all rows are written.
    pub(crate) fn is_done(&self) -> bool {
        self.next == self.count
    }

    /// Takes the next row, for [`RowEncoder::cell`].
    pub(crate) fn take(&mut self) -> Option<usize> {
        let row = Some(self.next).filter(|row| *row < self.count)?;
        self.next += 1;
        Some(row)
    }
}

impl RowEncoder {
    /// An encoder for results of `schema`; `format` gives each column's format.
    pub(crate) fn new(schema: &Schema, format: impl Fn(usize) -> Format, style: Style) -> Self {
        let column = |(index, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| {
            let pg_type = PgType::of(field);
            let width = match pg_type.shape {
                Shape::Scalar(Scalar::Bpchar) => usize::try_from(pg_type.modifier - 4).unwrap_or(0),
                _ => 0,
            };
            Column { shape: pg_type.shape, format: format(index), width }
        };
        Self { columns: schema.fields().iter().enumerate().map(column).collect(), style }
    }

    /// Takes a batch apart.
    ///
    /// # Errors
    /// When the batch is not of the encoder's schema.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<Rows, Error> {
        if batch.num_columns() != self.columns.len() {
            let counts = format!("{} columns promised, {} received", self.columns.len(), batch.num_columns());
            return Err(Error::internal(counts));
        }
        let cells = batch.columns().iter().map(Cells::new).collect::<Result<_, _>>();
        let cells = cells.map_err(|error| Error::internal(error.to_string()))?;
        Ok(Rows { cells, next: 0, count: batch.num_rows() })
    }

    /// Writes rows until `out` holds `bytes_max` or `rows_max` are written; gives how many were.
    ///
    /// # Errors
    /// When a value is outside its PostgreSQL type; the row is not written.
    pub(crate) fn write(
        &self,
        rows: &mut Rows,
        out: &mut BytesMut,
        rows_max: u64,
        bytes_max: usize,
    ) -> Result<u64, Error> {
        let mut written = 0;
        while rows.next < rows.count && written < rows_max && out.len() < bytes_max {
            let start = out.len();
            if let Err(error) = self.row(&rows.cells, rows.next, out) {
                out.truncate(start);
                return Err(error.into());
            }
            if out.len() - start > i32::MAX as usize {
                out.truncate(start);
                return Err(Error::new(ErrorCode::ProgramLimitExceeded, "row is larger than 2 GB"));
            }
            patch_length(out, start + 1);
            // Unlike a field's, a message's length counts itself.
            let length = i32::from_be_bytes([out[start + 1], out[start + 2], out[start + 3], out[start + 4]]) + 4;
            out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
            rows.next += 1;
            written += 1;
        }
        Ok(written)
    }

    /// Writes one value, without its length; false for NULL, which is nothing.
    ///
    /// # Errors
    /// When the value is outside its PostgreSQL type.
    #[inline]
    pub(crate) fn cell(&self, rows: &Rows, column: usize, row: usize, out: &mut BytesMut) -> Result<bool, OutOfRange> {
        let Some(value) = rows.cells[column].value(row)? else { return Ok(false) };
        self.columns[column].write(value, &self.style, out)?;
        Ok(true)
    }

    fn row(&self, cells: &[Cells], row: usize, out: &mut BytesMut) -> Result<(), OutOfRange> {
        out.put_u8(b'D');
        out.put_i32(0);
        out.put_i16(self.columns.len() as i16);
        for (column, cells) in self.columns.iter().zip(cells) {
            let Some(value) = cells.value(row)? else {
                out.put_i32(-1);
                continue;
            };
            let length_at = out.len();
            out.put_i32(0);
            column.write(value, &self.style, out)?;
            patch_length(out, length_at);
        }
        Ok(())
    }
}

impl Column {
    #[inline]
    fn write(self, value: Value<'_>, style: &Style, out: &mut BytesMut) -> Result<(), OutOfRange> {
        match (self.format, self.shape, value) {
            (Format::Text, Shape::Scalar(Scalar::Uuid), Value::Bytes(bytes)) => {
                text::uuid(bytes, out);
                Ok(())
            }
            (_, Shape::Scalar(Scalar::Bpchar), Value::Text(value)) => {
                out.put_slice(value.as_bytes());
                if self.width > 0 {
                    out.put_bytes(b' ', self.width.saturating_sub(value.chars().count()));
                }
                Ok(())
            }
            // An OID kept in an int4 column may have become negative.
            (
                Format::Text,
                Shape::Scalar(Scalar::Oid | Scalar::Xid | Scalar::RegProc | Scalar::RegClass | Scalar::RegType),
                Value::Int(value @ i64::MIN..0),
            ) => {
                text::integer(i64::from(value as i32 as u32), out);
                Ok(())
            }
            (Format::Text, Shape::Scalar(_), value) => text::write(value, style, out),
            (Format::Binary, Shape::Scalar(scalar), value) => binary::write(value, scalar, style, out),
            (Format::Text, Shape::Array(_), Value::List(cells, start, end)) => {
                text::array(cells, start, end, style, out)
            }
            (Format::Text, Shape::Vector(_), Value::List(cells, start, end)) => {
                text::vector(cells, start, end, style, out)
            }
            (Format::Binary, Shape::Array(scalar), Value::List(cells, start, end)) => {
                binary::array((cells, start, end), scalar, 1, style, out)
            }
            (Format::Binary, Shape::Vector(scalar), Value::List(cells, start, end)) => {
                binary::array((cells, start, end), scalar, 0, style, out)
            }
            (_, Shape::Json | Shape::Array(_) | Shape::Vector(_), value) => json::write(value, style, out),
        }
    }
}

/// Writes the count of bytes after the four at `at` into them.
fn patch_length(out: &mut BytesMut, at: usize) {
    let length = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
