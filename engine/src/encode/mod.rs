//! Record batches -> bytes: CSV, JSON, Parquet and tables for people. In: the batches of an answer. Out: what
//! `limnos query` and the HTTP endpoint send.
//!
//! Values of the text formats are written as PostgreSQL writes them ([`text`]), so that an answer reads the same in psql
//! and in a file. A writer holds no sink: it is given one with each batch, so the caller may be a file, a socket or a
//! buffer that is emptied after each call.

mod csv;
pub(crate) mod json;
mod markdown;
pub(crate) mod parquet;
mod table;
pub mod text;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::{Error, ErrorCode, Result};

/// A format of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Aligned columns and a row count, as psql prints.
    Table,
    /// RFC 4180 with a header.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet, zstd.
    Parquet,
    /// A table in GitHub's Markdown.
    Markdown,
}

impl Format {
    /// All of them, in the order that help texts show.
    pub const ALL: [Self; 6] = [Self::Table, Self::Csv, Self::Json, Self::Ndjson, Self::Parquet, Self::Markdown];

    /// The name as written in `--format` and `?format=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Markdown => "markdown",
        }
    }

    /// The media type that HTTP announces.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Markdown => "text/markdown; charset=utf-8",
        }
    }

    /// Whether a terminal would show noise.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Parquet)
    }

    /// The format that a file name's extension asks for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "parquet" => Self::Parquet,
            "md" => Self::Markdown,
            "txt" => Self::Table,
            _ => return None,
        })
    }

    /// A writer of answers with this `schema`.
    ///
    /// # Errors
    /// A type that the format can't hold.
    pub fn writer(self, schema: &SchemaRef) -> Result<Box<dyn BatchWriter>> {
        Ok(match self {
            Self::Table => Box::new(table::TableWriter::new(schema)),
            Self::Csv => Box::new(csv::CsvWriter::new(schema)),
            Self::Json => Box::new(json::JsonWriter::new(schema, json::Layout::Array)),
            Self::Ndjson => Box::new(json::JsonWriter::new(schema, json::Layout::Lines)),
            Self::Parquet => Box::new(parquet::ParquetWriter::new(schema)?),
            Self::Markdown => Box::new(markdown::MarkdownWriter::new(schema)),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::new(ErrorCode::InvalidParameterValue, format!("format \"{text}\" is not known"))
                .with_hint(format!("Use one of {names}."))
        })
    }
}

/// Writes one answer, batch by batch.
pub trait BatchWriter: Send {
    /// Writes `batch`, or keeps it until later.
    ///
    /// # Errors
    /// When `output` refuses.
    fn write(&mut self, batch: &RecordBatch, output: &mut dyn Write) -> Result<()>;

    /// Writes what is left: a footer, a closing bracket, the header of an empty answer. Called once, last.
    ///
    /// # Errors
    /// When `output` refuses.
    fn finish(&mut self, output: &mut dyn Write) -> Result<()>;
}

/// Whether people expect values of this type at the right of a column.
fn is_right_aligned(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_right_aligned(value),
        other => other.is_numeric(),
    }
}

/// An error of the sink, in our words.
fn output_error(error: &io::Error) -> Error {
    let code = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        io::ErrorKind::PermissionDenied => ErrorCode::InsufficientPrivilege,
        _ => ErrorCode::IoError,
    };
    Error::new(code, format!("could not write the result: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn batch() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(-300)]))),
            ("note", Arc::new(StringArray::from(vec![Some("plain"), Some(""), Some("a \"b\", c|d\ne")]))),
            ("x", Arc::new(Float64Array::from(vec![1.5, f64::NAN, 1e20]))),
            (
                "price",
                Arc::new(
                    Decimal128Array::from(vec![Some(12_345_678_901_234_567_890_123), None, Some(-5)])
                        .with_precision_and_scale(38, 2)
                        .unwrap(),
                ),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    fn encode(format: Format, batches: &[RecordBatch], schema: &SchemaRef) -> Vec<u8> {
        let mut writer = format.writer(schema).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            writer.write(batch, &mut bytes).unwrap();
        }
        writer.finish(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn text_formats_write_each_value_exactly() {
        let cases = [
            (
                Format::Csv,
                "id,note,x,price\n1,plain,1.5,123456789012345678901.23\n,\"\",NaN,\n-300,\"a \"\"b\"\", c|d\ne\",1e+20,-0.05\n",
            ),
            (
                Format::Json,
                "[\n{\"id\":1,\"note\":\"plain\",\"x\":1.5,\"price\":123456789012345678901.23},\n{\"id\":null,\"note\":\"\",\"x\":null,\"price\":null},\n{\"id\":-300,\"note\":\"a \\\"b\\\", c|d\\ne\",\"x\":1e+20,\"price\":-0.05}\n]\n",
            ),
            (
                Format::Ndjson,
                "{\"id\":1,\"note\":\"plain\",\"x\":1.5,\"price\":123456789012345678901.23}\n{\"id\":null,\"note\":\"\",\"x\":null,\"price\":null}\n{\"id\":-300,\"note\":\"a \\\"b\\\", c|d\\ne\",\"x\":1e+20,\"price\":-0.05}\n",
            ),
            (
                Format::Markdown,
                "| id | note | x | price |\n| ---: | --- | ---: | ---: |\n| 1 | plain | 1.5 | 123456789012345678901.23 |\n|  |  | NaN |  |\n| -300 | a \"b\", c\\|d<br>e | 1e+20 | -0.05 |\n",
            ),
            (
                Format::Table,
                "  id  |    note    |   x   |          price           \n\
                 ------+------------+-------+--------------------------\n\
                 \u{20}   1 | plain      |   1.5 | 123456789012345678901.23\n\
                 \u{20}     |            |   NaN |                         \n\
                 \u{20}-300 | a \"b\", c|d+| 1e+20 |                    -0.05\n\
                 \u{20}     | e          |       | \n\
                 (3 rows)\n\n",
            ),
        ];
        let batch = batch();
        for (format, expected) in cases {
            let text = String::from_utf8(encode(format, std::slice::from_ref(&batch), &batch.schema())).unwrap();
            assert_eq!(text, expected, "{format}");
        }
    }

    #[test]
    fn an_empty_answer_still_has_its_columns() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
        let cases = [
            (Format::Csv, "a\n"),
            (Format::Json, "[]\n"),
            (Format::Ndjson, ""),
            (Format::Markdown, "| a |\n| ---: |\n"),
            (Format::Table, " a \n---\n(0 rows)\n\n"),
        ];
        for (format, expected) in cases {
            assert_eq!(String::from_utf8(encode(format, &[], &schema)).unwrap(), expected, "{format}");
        }
    }

    #[test]
    fn parquet_reads_back_equal() {
        let batch = batch();
        let bytes = bytes::Bytes::from(encode(Format::Parquet, &[batch.clone(), batch.clone()], &batch.schema()));
        let reader =
            ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let read: Vec<_> = reader.map(Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 6);
        assert_eq!(read[0].column(3).slice(0, 3).to_data(), batch.column(3).to_data());
    }

    #[test]
    fn unknown_formats_are_refused_with_the_list() {
        let error = "xml".parse::<Format>().unwrap_err();
        assert_eq!(error.message, "format \"xml\" is not known");
        assert_eq!(error.hint.as_deref(), Some("Use one of table, csv, json, ndjson, parquet, markdown."));
    }
}
