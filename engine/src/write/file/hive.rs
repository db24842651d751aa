//! [`NestedText`]: arrays, maps and structs of Hive's text, by a delimiter for each level, as
//! [`crate::scan::format::hive_text`] reads them.
//!
//! What would read back as something else is refused: an item with a delimiter of its own or an outer level where there is no
//! escape, an array of one empty text (an empty array), and what as a whole is the text of NULL.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;

use super::delimited::{BREAKS, IS_NULL_TEXT, NO_NULL};
use super::value::{Refusal, Spelling};
use crate::scan::format::hive_text::HiveText;

const IS_EMPTY_ARRAY: Refusal = "Its only item is empty, and an empty text is an empty array.";

/// See the module.
pub(super) struct NestedText<'a> {
    pub(super) hive: &'a HiveText,
    pub(super) spelling: &'a Spelling,
}

impl NestedText<'_> {
    /// Appends the value of a column.
    pub(super) fn push(&self, array: &dyn Array, row: usize, out: &mut String) -> Result<(), Refusal> {
        self.push_at(array, row, 1, out)
    }

    /// Appends a value that stands between the delimiters above `level`.
    fn push_at(&self, array: &dyn Array, row: usize, level: usize, out: &mut String) -> Result<(), Refusal> {
        if array.is_null(row) {
            out.push_str(self.hive.null().ok_or(NO_NULL)?);
            return Ok(());
        }
        let start = out.len();
        match array.data_type() {
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                for item in 0..items.len() {
                    if item > 0 {
                        out.push(self.separator(level));
                    }
                    self.push_at(items.as_ref(), item, level + 1, out)?;
                }
                if items.len() == 1 && out.len() == start {
                    return Err(IS_EMPTY_ARRAY);
                }
            }
            DataType::Struct(_) => {
                for (index, member) in array.as_struct().columns().iter().enumerate() {
                    if index > 0 {
                        out.push(self.separator(level));
                    }
                    self.push_at(member.as_ref(), row, level + 1, out)?;
                }
            }
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                for entry in 0..entries.len() {
                    if entry > 0 {
                        out.push(self.separator(level));
                    }
                    self.push_at(entries.column(0).as_ref(), entry, level + 2, out)?;
                    out.push(self.separator(level + 1));
                    self.push_at(entries.column(1).as_ref(), entry, level + 2, out)?;
                }
            }
            _ => self.push_scalar(array, row, level, out)?,
        }
        // Readers look for NULL before they take a text apart.
        if self.hive.null() == Some(&out[start..]) { Err(IS_NULL_TEXT) } else { Ok(()) }
    }

    fn push_scalar(&self, array: &dyn Array, row: usize, level: usize, out: &mut String) -> Result<(), Refusal> {
        let mut text = String::new();
        match array.data_type() {
            DataType::Utf8View => text.push_str(array.as_string_view().value(row)),
            _ => self.spelling.write_scalar(array, row, &mut text)?,
        }
        let outer = &self.hive.separators()[..level];
        let escape = self.hive.escape();
        let is_special = |byte: u8| outer.contains(&byte) || byte == b'\n' || byte == b'\r' || Some(byte) == escape;
        // Readers look for NULL before they resolve escapes.
        let is_null_text = self.hive.null() == Some(&text) && escape.is_some();
        for (index, character) in text.char_indices() {
            if u8::try_from(character).is_ok_and(is_special) || is_null_text && index == 0 {
                out.push(char::from(escape.ok_or(BREAKS)?));
            }
            out.push(character);
        }
        if text.is_empty() && self.hive.null() == Some("") { Err(IS_NULL_TEXT) } else { Ok(()) }
    }

    fn separator(&self, level: usize) -> char {
        char::from(self.hive.separators()[level])
    }
}
