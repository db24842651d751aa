//! An XML document -> rows of text: each element of one name is a row, what is in it are its columns.
//!
//! ```text
//! <orders><order id="7"><item>tea</item><at zone="UTC"><day>1</day></at></order></orders>      row => 'order'
//!          id = 7        item = tea      at_zone = UTC  at_day = 1
//! ```
//! An element that stands more than once in a row makes its column an array, in JSON. Text beside elements is the column of the
//! element that holds both; of the row itself it is `value`. Nothing outside the document is ever looked for: a document type is
//! refused, so there are no entities but XML's own five.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::rows::TextRows;
use crate::limits::INFERRED_COLUMNS_MAX;
use crate::{Error, ErrorCode, Result};

/// Deepest nesting of elements. Nothing here recurses; what is nested deeper is no table.
const DEPTH_MAX: usize = 64;

/// Most attributes of one element: each is compared with the others.
const ATTRIBUTES_MAX: usize = 1000;

/// The rows of `text`: its elements called `row`, or else all children of its root.
///
/// # Errors
/// What is no XML, or more than is read here. The error names no file.
pub(super) fn rows(text: &str, row: Option<&str>) -> Result<TextRows> {
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut walk = Walk { row, ..Walk::default() };
    loop {
        let event =
            reader.read_event().map_err(|error| malformed(&error.to_string(), text, reader.error_position()))?;
        let at = reader.buffer_position();
        match event {
            Event::Start(element) => walk.start(&element).map_err(|error| placed(error, text, at))?,
            Event::Empty(element) => {
                walk.start(&element).map_err(|error| placed(error, text, at))?;
                walk.end();
            }
            Event::End(_) => walk.end(),
            Event::Text(part) => walk.text(&part.xml_content(XmlVersion::Implicit1_0)),
            Event::CData(part) => walk.text(&part.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref() {
                    Ok(Some(character)) => character.to_string(),
                    Ok(None) => match quick_xml::escape::resolve_predefined_entity(&reference) {
                        Some(text) => text.to_owned(),
                        None => {
                            let reason = format!("entity \"{}\" is not one of XML's own", &*reference);
                            return Err(malformed(&reason, text, at));
                        }
                    },
                    Err(error) => return Err(malformed(&error.to_string(), text, at)),
                };
                walk.text(&character);
            }
            Event::DocType(_) => {
                let error = Error::unsupported("XML with a document type is not supported")
                    .with_hint("Remove the DOCTYPE declaration: entities and external files are never read.");
                return Err(placed(error, text, at));
            }
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().and_then(std::result::Result::ok);
                let is_utf8 = |name: &str| name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii");
                if let Some(name) = encoding.filter(|name| !is_utf8(name)) {
                    return Err(Error::unsupported(format!("XML in encoding \"{name}\" is not supported"))
                        .with_hint("Convert the file to UTF-8."));
                }
            }
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if let Some(open) = walk.open.last() {
        return Err(malformed(&format!("element \"{}\" is not closed", open.name), text, text.len() as u64));
    }
    if !walk.saw_root {
        return Err(malformed("there is no element", text, 0));
    }
    Ok(walk.finish())
}

/// An element that is open.
#[derive(Default)]
struct Open {
    name: String,
    text: String,
    /// Whether an element is in it, or an attribute: then blanks around them are no value.
    has_parts: bool,
}

#[derive(Default)]
struct Walk<'a> {
    row: Option<&'a str>,
    open: Vec<Open>,
    saw_root: bool,
    /// How many elements are open around the row that is being read.
    row_depth: Option<usize>,
    columns: Vec<String>,
    places: HashMap<String, usize>,
    /// Of each column, whether a row has it more than once.
    is_array: Vec<bool>,
    rows: Vec<Vec<(usize, String)>>,
}

impl Walk<'_> {
    fn start(&mut self, element: &BytesStart<'_>) -> Result<()> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Error::new(ErrorCode::ProgramLimitExceeded, "XML is nested too deep")
                .with_detail(format!("Elements may be nested {DEPTH_MAX} levels deep.")));
        }
        if self.open.is_empty() && self.saw_root {
            return Err(Error::new(ErrorCode::DataException, "malformed XML: there is a second root element"));
        }
        self.saw_root = true;
        let name = element.local_name().into_inner().to_owned();
        if let Some(outer) = self.open.last_mut() {
            outer.has_parts = true;
        }
        let is_row = self.row_depth.is_none()
            && match self.row {
                Some(row) => name == row || element.name().into_inner() == row,
                None => self.open.len() == 1,
            };
        if is_row {
            self.row_depth = Some(self.open.len());
            self.rows.push(Vec::new());
        }
        self.open.push(Open { name, ..Open::default() });
        if self.row_depth.is_none() {
            return Ok(());
        }
        for (count, attribute) in element.attributes().enumerate() {
            let wrong = |reason: String| Error::new(ErrorCode::DataException, format!("malformed XML: {reason}"));
            if count >= ATTRIBUTES_MAX {
                return Err(Error::new(ErrorCode::ProgramLimitExceeded, "an XML element has too many attributes")
                    .with_detail(format!("It may have {ATTRIBUTES_MAX}.")));
            }
            let attribute = attribute.map_err(|error| wrong(error.to_string()))?;
            let name = attribute.key.into_inner();
            // Declarations of namespaces are no data.
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| wrong(error.to_string()))?;
            let name = attribute.key.local_name().into_inner();
            let column = self.path(Some(name));
            self.add(column, value.into_owned())?;
            if let Some(open) = self.open.last_mut() {
                open.has_parts = true;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if self.row_depth.is_some()
            && let Some(open) = self.open.last_mut()
        {
            open.text.push_str(text);
        }
    }

    fn end(&mut self) {
        let Some(open) = self.open.last() else { return };
        if let Some(depth) = self.row_depth {
            let is_row = self.open.len() == depth + 1;
            let is_blank = open.text.trim().is_empty();
            let column = if is_row { "value".to_owned() } else { self.path(None) };
            // An empty element is an empty text; the blanks between elements are nothing.
            if !(is_blank && (is_row || open.has_parts)) {
                let text = if open.has_parts { open.text.trim().to_owned() } else { open.text.clone() };
                // Too many columns are told with the next element, or at the end.
                let _ = self.add(column, text);
            }
            if is_row {
                self.row_depth = None;
            }
        }
        self.open.pop();
    }

    /// The column of the innermost element, or of an attribute of it: the names from the row on.
    fn path(&self, attribute: Option<&str>) -> String {
        let from = self.row_depth.map_or(0, |depth| depth + 1);
        let names = self.open.iter().skip(from).map(|open| open.name.as_str()).chain(attribute);
        names.collect::<Vec<_>>().join("_")
    }

    fn add(&mut self, column: String, value: String) -> Result<()> {
        let place = match self.places.get(&column) {
            Some(place) => *place,
            None if self.columns.len() >= INFERRED_COLUMNS_MAX => {
                return Err(Error::new(ErrorCode::ProgramLimitExceeded, "XML has too many columns")
                    .with_detail(format!("Rows may have {INFERRED_COLUMNS_MAX} columns together."))
                    .with_hint("Name the elements that are rows: row => 'name'."));
            }
            None => {
                self.columns.push(column.clone());
                self.is_array.push(false);
                self.places.insert(column, self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        if let Some(row) = self.rows.last_mut() {
            self.is_array[place] |= row.iter().any(|(other, _)| *other == place);
            row.push((place, value));
        }
        Ok(())
    }

    fn finish(self) -> TextRows {
        let Self { columns, is_array, rows, .. } = self;
        let rows = rows
            .into_iter()
            .map(|row| {
                let mut arrays: Vec<(usize, Vec<String>)> = Vec::new();
                let mut cells = Vec::with_capacity(row.len());
                for (place, value) in row {
                    if !is_array[place] {
                        cells.push((place, value));
                        continue;
                    }
                    match arrays.iter_mut().find(|(other, _)| *other == place) {
                        Some((_, values)) => values.push(value),
                        None => arrays.push((place, vec![value])),
                    }
                }
                let text = |values: &[String]| serde_json::Value::from(values.to_vec()).to_string();
                cells.extend(arrays.iter().map(|(place, values)| (*place, text(values))));
                cells
            })
            .collect();
        TextRows { columns, is_json: is_array, rows }
    }
}

fn malformed(reason: &str, text: &str, offset: u64) -> Error {
    placed(Error::new(ErrorCode::DataException, format!("malformed XML: {reason}")), text, offset)
}

/// Says on which line of the file it is.
fn placed(mut error: Error, text: &str, offset: u64) -> Error {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let line = text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1;
    let place = format!("It is on line {line}.");
    error.detail = Some(match error.detail {
        Some(detail) => format!("{detail} {place}"),
        None => place,
    });
    error
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shown(text: &str, row: Option<&str>) -> String {
        match rows(text, row) {
            Ok(rows) => {
                let cells = |row: &Vec<(usize, String)>| {
                    let mut row = row.clone();
                    row.sort();
                    row.iter().map(|(at, value)| format!("{}={value}", rows.columns[*at])).collect::<Vec<_>>().join(",")
                };
                rows.rows.iter().map(cells).collect::<Vec<_>>().join(" | ")
            }
            Err(error) => format!("{}: {} {}", error.code.sqlstate(), error.message, error.detail.unwrap_or_default()),
        }
    }

    #[test]
    fn elements_become_rows() {
        for (text, row, expected) in [
            ("<r><o id='1'><a>x</a></o><o><a/></o></r>", None, "id=1,a=x | a="),
            ("<?xml version='1.0' encoding='UTF-8'?>\n<r>\n <g><o>\n<a>1</a>\n</o></g><o/></r>", Some("o"), "a=1 | "),
            ("<r><o><at z='U'><d>1</d></at>t &amp; &#65;</o></r>", None, "at_z=U,at_d=1,value=t & A"),
            ("<r><o><t>a</t><t>b</t></o><o><t>\"</t></o></r>", None, "t=[\"a\",\"b\"] | t=[\"\\\"\"]"),
            ("<r><o><![CDATA[<x>&amp;]]></o></r>", None, "value=<x>&amp;"),
            ("<n:r xmlns:n='u'><n:o n:k='1'/></n:r>", Some("n:o"), "k=1"),
            ("<o>1</o>", Some("o"), "value=1"),
            ("<r/>", None, ""),
        ] {
            assert_eq!(shown(text, row), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_table_is_told() {
        let deep = format!("{}{}", "<a>".repeat(DEPTH_MAX + 1), "</a>".repeat(DEPTH_MAX + 1));
        for (text, expected) in [
            ("<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>", "0A000: XML with a document type is not supported"),
            ("<r><o>&a;</o></r>", "22000: malformed XML: entity \"a\" is not one of XML's own"),
            ("<r><o></r>", "22000: malformed XML"),
            ("<r><o>", "22000: malformed XML"),
            ("", "22000: malformed XML: there is no element"),
            ("<r/><r/>", "22000: malformed XML: there is a second root element"),
            ("<?xml version='1.0' encoding='latin-1'?><r/>", "0A000: XML in encoding \"latin-1\" is not supported"),
            (deep.as_str(), "54000: XML is nested too deep"),
        ] {
            let found = shown(text, None);
            assert!(found.starts_with(expected), "{text}: {found}");
        }
    }
}
