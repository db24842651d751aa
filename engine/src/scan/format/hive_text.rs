//! [`HiveText`]: what a cell of a LazySimpleSerDe table means: arrays, maps and structs by Hive's delimiters, one for each level
//! of nesting, and its escapes.
//!
//! | level | delimiter | property |
//! |---|---|---|
//! | columns | `\001` | `field.delim` |
//! | items of an array, entries of a map, fields of a struct | `\002` | `collection.delim` (also Hive's `colelction.delim`) |
//! | a map's key and its value; what is nested in the above | `\003` | `mapkey.delim` |
//! | each level more | `\004` to `\010` | |
//!
//! A map uses two levels: one between its entries, the next one between key and value. An empty cell is an empty array or map;
//! what is exactly `serialization.null.format` is NULL at any level. Of two entries of one key the first counts; a struct's
//! fields that are missing are NULL, and spare ones are left out, as in Hive.

use std::borrow::Cow;
use std::collections::HashSet;

use limnos_catalog::{Column, DataType, StorageDescriptor};

use super::column::{ColumnBuilder, OnValue};
use crate::{Error, ErrorCode, Result};

/// Delimiters that Hive has, that of the columns included.
const LEVELS: usize = 8;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiveText {
    /// By level; the columns' comes first.
    separators: [u8; LEVELS],
    /// The text that is NULL.
    null: Option<String>,
    escape: Option<u8>,
    /// Whether an escaped `n` and `r` are line ends (`serialization.escape.crlf`).
    escapes_line_ends: bool,
}

impl HiveText {
    /// What `storage` says, of which the columns' delimiter, the NULL and the escape are known. `character` reads a property.
    pub(super) fn new(
        storage: &StorageDescriptor,
        delimiter: u8,
        null: Option<String>,
        escape: Option<u8>,
        character: impl Fn(&[&'static str]) -> Result<Option<u8>>,
    ) -> Result<Self> {
        let mut separators = [1, 2, 3, 4, 5, 6, 7, 8];
        separators[0] = delimiter;
        if let Some(byte) = character(&["collection.delim", "colelction.delim"])? {
            separators[1] = byte;
        }
        if let Some(byte) = character(&["mapkey.delim"])? {
            separators[2] = byte;
        }
        let crlf = storage.properties.get("serialization.escape.crlf");
        let escapes_line_ends = crlf.is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        Ok(Self { separators, null, escape, escapes_line_ends })
    }

    /// The delimiters by level; the columns' comes first.
    pub(crate) fn separators(&self) -> &[u8] {
        &self.separators
    }

    /// The text that is NULL.
    pub(crate) fn null(&self) -> Option<&str> {
        self.null.as_deref()
    }

    /// What stands before a character that is itself.
    pub(crate) fn escape(&self) -> Option<u8> {
        self.escape
    }

    /// Whether there are delimiters enough for `columns`.
    pub(super) fn check(columns: &[Column]) -> Result<()> {
        let too_deep = columns.iter().find(|column| levels(&column.data_type) >= LEVELS);
        let Some(column) = too_deep else { return Ok(()) };
        let message = format!("column \"{}\" is nested too deeply for delimited text", column.name);
        Err(Error::new(ErrorCode::InvalidTableDefinition, message).with_detail(format!(
            "Hive's text has {LEVELS} delimiters; the columns take one, each array and struct one more, each map two."
        )))
    }

    /// Reads a cell into a column. After an error the column has a NULL more, or a value of no meaning.
    ///
    /// # Errors
    /// A value that isn't of its type, unless that is to be NULL.
    pub(super) fn append(&self, values: &mut ColumnBuilder, cell: &str, on_value: OnValue) -> Result<()> {
        self.append_at(values, cell, 1, on_value)
    }

    fn append_at(&self, values: &mut ColumnBuilder, text: &str, level: usize, on_value: OnValue) -> Result<()> {
        if self.null.as_deref() == Some(text) {
            values.append_null();
            return Ok(());
        }
        let read = match values {
            ColumnBuilder::Scalar(_) | ColumnBuilder::Json(_) => {
                let text = self.unescaped(text);
                if !values.is_text() && text.trim().is_empty() {
                    values.append_null();
                    return Ok(());
                }
                values.append_text(&text)
            }
            ColumnBuilder::Array { item, offsets, validity, .. } => {
                let mut read = Ok(());
                for part in self.parts(text, level) {
                    read = read.and(self.append_at(item, part, level + 1, on_value));
                }
                offsets.push(i32::try_from(item.value_count()).unwrap_or(i32::MAX));
                validity.push(read.is_ok());
                read
            }
            ColumnBuilder::Map { key, value, offsets, validity, .. } => {
                let mut read = Ok(());
                let mut known = HashSet::new();
                for entry in self.parts(text, level) {
                    let mut sides = self.split(entry, self.separators[level + 1]);
                    let name = sides.next().unwrap_or_default();
                    if self.null.as_deref() == Some(name) || !known.insert(name) {
                        continue;
                    }
                    let ColumnBuilder::Scalar(keys) = key.as_mut() else {
                        read = Err(Error::unsupported("keys of a map must be scalars"));
                        break;
                    };
                    read = read.and(keys.append_text(&self.unescaped(name)));
                    if read.is_err() {
                        break;
                    }
                    // What stands behind the key, whole: the delimiter may be there again.
                    match entry.get(name.len() + 1..) {
                        Some(text) => read = self.append_at(value, text, level + 2, on_value),
                        None => value.append_null(),
                    }
                    if read.is_err() {
                        break;
                    }
                }
                offsets.push(i32::try_from(value.value_count()).unwrap_or(i32::MAX));
                validity.push(read.is_ok());
                read
            }
            ColumnBuilder::Struct { members, validity, .. } => {
                let mut read = Ok(());
                let mut parts = self.split(text, self.separators[level]);
                for member in members.columns_mut() {
                    match parts.next() {
                        Some(part) => read = read.and(self.append_at(member, part, level + 1, on_value)),
                        None => member.append_null(),
                    }
                }
                validity.push(read.is_ok());
                read
            }
        };
        if on_value == OnValue::Null { Ok(()) } else { read }
    }

    /// The items of an array or the entries of a map: none in an empty text.
    fn parts<'t>(&self, text: &'t str, level: usize) -> impl Iterator<Item = &'t str> + use<'t> {
        (!text.is_empty()).then(|| self.split(text, self.separators[level])).into_iter().flatten()
    }

    /// Cuts `text` at each `separator` that isn't escaped.
    fn split<'t>(&self, text: &'t str, separator: u8) -> impl Iterator<Item = &'t str> + use<'t> {
        let escape = self.escape;
        let mut rest = Some(text);
        std::iter::from_fn(move || {
            let text = rest?;
            let bytes = text.as_bytes();
            let mut at = 0;
            while at < bytes.len() && bytes[at] != separator {
                at += if Some(bytes[at]) == escape { 2 } else { 1 };
            }
            if at < bytes.len() {
                rest = Some(&text[at + 1..]);
                return Some(&text[..at]);
            }
            rest = None;
            Some(text)
        })
    }

    /// `text` without its escapes: what an escape stands before is itself.
    pub(super) fn unescaped<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(escape) = self.escape.map(char::from).filter(|escape| text.contains(*escape)) else {
            return Cow::Borrowed(text);
        };
        let mut plain = String::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != escape {
                plain.push(character);
                continue;
            }
            match characters.next() {
                Some('n') if self.escapes_line_ends => plain.push('\n'),
                Some('r') if self.escapes_line_ends => plain.push('\r'),
                Some(next) => plain.push(next),
                // The last one escapes nothing.
                None => plain.push(escape),
            }
        }
        Cow::Owned(plain)
    }
}

/// The delimiters that a value of the type takes.
fn levels(data_type: &DataType) -> usize {
    match data_type {
        DataType::Array(item) => 1 + levels(item),
        DataType::Map(_, value) => 2 + levels(value),
        DataType::Struct(fields) => 1 + fields.iter().map(|field| levels(&field.data_type)).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::util::display::array_value_to_string;
    use limnos_catalog::FileFormat;

    use super::*;
    use crate::scan::format::tests::{scan, table};

    /// What the cells of one column are in the rows of `text`; `|` is the columns' delimiter and the others `2`, `3` and so on.
    async fn read(data_type: &str, properties: &[(&str, &str)], text: &str) -> String {
        let mut all = vec![("field.delim", "|")];
        all.extend_from_slice(properties);
        let columns = vec![Column::new("c", data_type.parse().unwrap()), Column::new("d", DataType::String)];
        let definition = table(FileFormat::Csv, columns, &all);
        if let Err(error) = crate::scan::format::check(&definition) {
            return error.message;
        }
        let bytes = text.bytes().map(|byte| if (b'2'..b'9').contains(&byte) { byte - b'0' } else { byte }).collect();
        match scan(&definition, bytes, Some(vec![0])).await {
            Ok(batches) => {
                let cells = batches.iter().flat_map(|batch| {
                    (0..batch.num_rows()).map(|row| match batch.column(0).is_null(row) {
                        true => "NULL".to_owned(),
                        false => array_value_to_string(batch.column(0), row).unwrap(),
                    })
                });
                cells.collect::<Vec<_>>().join(" / ")
            }
            Err(error) => format!("{} {}", error.message, error.detail.unwrap_or_default()),
        }
    }

    #[tokio::test]
    async fn what_is_nested_has_a_delimiter_for_each_level() {
        for (data_type, text, expected) in [
            ("array<string>", "a2b|\n\\N|\n|\na2\\N2|\na", "[a, b] / NULL / [] / [a, , ] / [a]"),
            ("array<int>", "121|\n12\\N|\n12|", "[1, 1] / [1, ] / [1, ]"),
            ("array<array<int>>", "1312131|\n21", "[[1, 1], [1, 1]] / [[], [1]]"),
            ("map<string,int>", "a312b31|\n|\na|\na3\\N|\na312a30", "{a: 1, b: 1} / {} / {a: } / {a: } / {a: 1}"),
            ("map<string,array<int>>", "a31412b3|", "{a: [1, 1], b: []}"),
            ("map<string,map<string,int>>", "a3x512b3|", "{a: {x: 1}, b: {}}"),
            ("struct<a:int,b:string>", "12x|\n1|\n12x2y|\n\\N", "{a: 1, b: x} / {a: 1, b: } / {a: 1, b: x} / NULL"),
            ("struct<a:array<struct<b:int,c:string>>,d:int>", "14x314y21|", "{a: [{b: 1, c: x}, {b: 1, c: y}], d: 1}"),
            (
                "array<array<array<array<array<array<array<string>>>>>>>",
                "a8b7c6d5e4f3g2h",
                "[[[[[[[a, b], [c]], [[d]]], [[[e]]]], [[[[f]]]]], [[[[[g]]]]]], [[[[[[h]]]]]]]",
            ),
            (
                "array<array<array<array<array<array<array<array<int>>>>>>>>",
                "",
                "column \"c\" is nested too deeply for delimited text",
            ),
            ("map<int,map<int,map<int,map<int,int>>>>", "", "column \"c\" is nested too deeply for delimited text"),
            ("array<int>", "12x|", "invalid input syntax for type integer: \"x\" File \"/t/f\", line 1, column \"c\"."),
            (
                "map<int,int>",
                "x31",
                "invalid input syntax for type integer: \"x\" File \"/t/f\", line 1, column \"c\".",
            ),
        ] {
            assert_eq!(read(data_type, &[], text).await, expected, "{data_type} {text}");
        }
        let null = [("limnos.on_error", "null")];
        assert_eq!(read("array<int>", &null, "12x21|").await, "[1, , 1]");
        assert_eq!(read("map<int,int>", &null, "x31|\n13x").await, "NULL / {1: }");
        let skip = [("limnos.on_error", "skip"), ("limnos.csv.missing_fields", "null")];
        assert_eq!(read("map<int,int>", &skip, "x31|\n1311\n131210|\n13x").await, "{1: 11} / {1: 1, 10: }");
        let own = [("collection.delim", ";"), ("mapkey.delim", "=")];
        assert_eq!(read("map<string,int>", &own, "a=1;b=\\N|").await, "{a: 1, b: }");
        assert_eq!(read("array<string>", &[("colelction.delim", ",")], "a,b|").await, "[a, b]");
    }

    #[tokio::test]
    async fn escapes_hide_delimiters_of_every_level() {
        let escape = [("escape.delim", "\\")];
        assert_eq!(
            read("string", &escape, "a\\|b|\n\\N|\n\\\\N|\nC:\\new|\nx\\").await,
            "a|b / NULL / \\N / C:new / x\\"
        );
        assert_eq!(read("array<string>", &escape, "a\\2b2c\\|d2\\N|").await, "[a\u{2}b, c|d, ]");
        assert_eq!(read("map<string,string>", &escape, "a\\3b3c3d|").await, "{a\u{3}b: c\u{3}d}");
        assert_eq!(
            read("string", &[("escape.delim", "\\"), ("serialization.escape.crlf", "true")], "a\\nb\\\\n|").await,
            "a\nb\\n"
        );
        // Nothing is escaped where nothing is said.
        assert_eq!(read("string", &[], "a\\|b").await, "a\\");
    }
}
