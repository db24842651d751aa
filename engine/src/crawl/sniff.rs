//! What is in a file: its first bytes, and only then its name, say which kind it is of. Each [`Classifier`] knows one kind;
//! they are asked in a fixed order, a user's own first.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use limnos_catalog::{Column, FileFormat};
use object_store::{ObjectMeta, ObjectStore};
use serde::{Deserialize, Serialize};

use super::csv::{self, CsvChoice};
use super::custom::CustomClassifier;
use super::log::{self, LINES_MAX};
use crate::scan::format::input;
use crate::scan::format::json::cursor::{Cursor, Kind};
use crate::scan::format::json::records::Layout;
use crate::{Error, ErrorCode, Result};

/// Unpacked text that the format is told from.
const HEAD_BYTES: usize = 256 << 10;

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sniffed {
    Parquet,
    Orc,
    Avro,
    Arrow,
    Json(Layout),
    Csv(CsvChoice),
    /// A file whose columns are known with its kind.
    Known(Box<Known>),
    /// No table; the text completes "was skipped: ".
    Nothing(String),
}

/// A table whose columns its kind says: a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "KnownRecord", into = "KnownRecord")]
pub(super) struct Known {
    /// What the kind is called, for the table's `classification`.
    pub classification: String,
    pub format: FileFormat,
    pub serde: Option<String>,
    pub columns: Vec<Column>,
    pub properties: BTreeMap<String, String>,
    pub parameters: BTreeMap<String, String>,
}

/// [`Known`] as it is remembered.
#[derive(Serialize, Deserialize)]
struct KnownRecord {
    classification: String,
    format: String,
    serde: Option<String>,
    /// Names and types.
    columns: Vec<(String, String)>,
    properties: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

/// The formats that kinds of files are known in.
const KNOWN_FORMATS: [(FileFormat, &str); 3] =
    [(FileFormat::Csv, "csv"), (FileFormat::Json, "json"), (FileFormat::Regex, "regex")];

impl From<Known> for KnownRecord {
    fn from(known: Known) -> Self {
        let format = KNOWN_FORMATS.iter().find(|(format, _)| *format == known.format);
        Self {
            classification: known.classification,
            format: format.map_or("", |(_, name)| *name).to_owned(),
            serde: known.serde,
            columns: known.columns.into_iter().map(|column| (column.name, column.data_type.to_string())).collect(),
            properties: known.properties,
            parameters: known.parameters,
        }
    }
}

impl TryFrom<KnownRecord> for Known {
    type Error = String;

    fn try_from(record: KnownRecord) -> Result<Self, String> {
        let format = KNOWN_FORMATS.iter().find(|(_, name)| *name == record.format);
        let column = |(name, data_type): (String, String)| {
            let data_type = data_type.parse().map_err(|error: limnos_catalog::Error| error.to_string())?;
            Ok::<_, String>(Column::new(name, data_type))
        };
        Ok(Self {
            classification: record.classification,
            format: format.ok_or_else(|| format!("no files are known in the format \"{}\"", record.format))?.0,
            serde: record.serde,
            columns: record.columns.into_iter().map(column).collect::<Result<_, _>>()?,
            properties: record.properties,
            parameters: record.parameters,
        })
    }
}

impl Sniffed {
    pub(super) fn format(&self) -> Option<FileFormat> {
        match self {
            Self::Parquet => Some(FileFormat::Parquet),
            Self::Orc => Some(FileFormat::Orc),
            Self::Avro => Some(FileFormat::Avro),
            Self::Arrow => Some(FileFormat::Arrow),
            Self::Json(_) => Some(FileFormat::Json),
            Self::Csv(_) => Some(FileFormat::Csv),
            Self::Known(known) => Some(known.format),
            Self::Nothing(_) => None,
        }
    }
}

/// The beginning of a file, unpacked.
pub(super) struct Head<'a> {
    pub bytes: &'a [u8],
    /// The same as text, without a byte order mark; `None` if it isn't text.
    pub text: Option<&'a str>,
    /// Whether the file ends with it.
    pub is_whole: bool,
    /// What the file is called.
    pub name: &'a str,
}

impl<'a> Head<'a> {
    fn new(bytes: &'a [u8], is_whole: bool, name: &'a str) -> Self {
        let unmarked = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match std::str::from_utf8(unmarked) {
            Ok(text) => Some(text),
            // The end of the sample may lie within a character.
            Err(error) if error.error_len().is_none() => std::str::from_utf8(&unmarked[..error.valid_up_to()]).ok(),
            Err(_) => None,
        };
        Self { bytes, text: text.filter(|text| !text.contains('\0')), is_whole, name }
    }

    /// Its lines that have a character, up to [`LINES_MAX`]. A last line that the sample may have cut off is left out.
    pub(super) fn lines(&self) -> Vec<&'a str> {
        let text = self.text.unwrap_or_default();
        let complete = if self.is_whole { text.len() } else { text.rfind('\n').map_or(0, |end| end + 1) };
        text[..complete].lines().filter(|line| !line.is_empty()).take(LINES_MAX).collect()
    }
}

/// Tells files of one kind from all others.
struct Classifier {
    /// The kind; what is declined is asked of the next one.
    name: &'static str,
    verdict: fn(&Head<'_>) -> Option<Sniffed>,
}

/// The classifiers in the order in which they are asked. Logs come before delimited text, since the cells of every log are
/// delimited by spaces, and CloudTrail's documents before other JSON.
const BUILT_IN: [Classifier; 13] = [
    Classifier { name: "parquet", verdict: |head| head.bytes.starts_with(b"PAR1").then_some(Sniffed::Parquet) },
    Classifier { name: "orc", verdict: orc },
    Classifier { name: "avro", verdict: |head| head.bytes.starts_with(b"Obj\x01").then_some(Sniffed::Avro) },
    Classifier { name: "arrow", verdict: |head| head.bytes.starts_with(b"ARROW1").then_some(Sniffed::Arrow) },
    Classifier { name: "binary", verdict: no_text },
    Classifier { name: "cloudtrail", verdict: |head| known(log::cloudtrail(head)) },
    Classifier { name: "json", verdict: |head| json_layout(head.text?).map(Sniffed::Json) },
    Classifier { name: "xml", verdict: xml },
    Classifier { name: "w3c_extended_log", verdict: |head| known(log::w3c_log(head)) },
    Classifier { name: "vpc_flow_log", verdict: |head| known(log::vpc_flow_log(head)) },
    Classifier { name: "line_log", verdict: |head| known(log::line_log(head)) },
    Classifier {
        name: "delimited",
        verdict: |head| {
            csv::sniff_dialect(head.text?, head.is_whole, head.name).map(|found| Sniffed::Csv(found.into()))
        },
    },
    Classifier { name: "prose", verdict: |_| Some(nothing("it is text without a table in it")) },
];

/// Looks into `object`; `custom` classifiers are asked before ours.
pub(super) async fn sniff(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    custom: &[CustomClassifier],
) -> Result<Sniffed> {
    let mut chunks = match input::open(store, object, name, |_| ()).await {
        Err(error) if error.code == ErrorCode::FeatureNotSupported => return Ok(nothing(&packed(name, &error))),
        opened => opened?,
    };
    let mut head = Vec::new();
    let mut is_whole = false;
    while head.len() < HEAD_BYTES {
        match chunks.try_next().await? {
            Some(chunk) => head.extend_from_slice(&chunk),
            None => {
                is_whole = true;
                break;
            }
        }
    }
    sniff_head(&head, is_whole, name, custom)
}

fn sniff_head(head: &[u8], is_whole: bool, name: &str, custom: &[CustomClassifier]) -> Result<Sniffed> {
    let head = Head::new(head, is_whole, name);
    for classifier in custom {
        if let Some(sniffed) = classifier.verdict(&head)? {
            return Ok(sniffed);
        }
    }
    for classifier in &BUILT_IN {
        if let Some(sniffed) = (classifier.verdict)(&head) {
            tracing::debug!(classifier = classifier.name, file = name, "classified");
            return Ok(sniffed);
        }
    }
    Err(Error::internal("the last classifier claims every file"))
}

fn nothing(reason: &str) -> Sniffed {
    Sniffed::Nothing(reason.to_owned())
}

fn known(known: Option<Known>) -> Option<Sniffed> {
    known.map(|known| Sniffed::Known(Box::new(known)))
}

/// Why a file that is packed in a way that isn't read is skipped.
fn packed(name: &str, error: &Error) -> String {
    let name = name.to_lowercase();
    if [".xlsx", ".xlsm", ".xlsb", ".ods"].iter().any(|ending| name.ends_with(ending)) {
        return "it is a workbook, which read_excel reads as .xlsx".to_owned();
    }
    if error.message.contains("packed with zip,") { "it is a zip archive".to_owned() } else { error.message.clone() }
}

/// A text may begin with `ORC`, too, and has no control characters.
fn orc(head: &Head<'_>) -> Option<Sniffed> {
    let is_text =
        head.text.is_some_and(|text| !text.contains(|c: char| c.is_ascii_control() && !c.is_ascii_whitespace()));
    (head.bytes.starts_with(b"ORC") && !is_text).then_some(Sniffed::Orc)
}

/// What isn't text, and what is an empty one.
fn no_text(head: &Head<'_>) -> Option<Sniffed> {
    for (magic, reason) in [
        (&b"PK\x03\x04"[..], "it is a zip archive"),
        (b"%PDF", "it is a PDF document"),
        (b"\xfe\xff", "files in UTF-16 are not supported"),
        (b"\xff\xfe", "files in UTF-16 are not supported"),
    ] {
        if head.bytes.starts_with(magic) {
            return Some(nothing(reason));
        }
    }
    if head.bytes.iter().all(u8::is_ascii_whitespace) {
        return Some(nothing("it is empty"));
    }
    match head.text {
        Some(_) => None,
        None if std::str::from_utf8(head.bytes).is_ok() => Some(nothing("it is neither text nor of a known format")),
        None => Some(nothing("it is neither UTF-8 text nor of a known format")),
    }
}

/// XML (and HTML): elements are no lines. Logs that begin with `<` go on with a digit.
fn xml(head: &Head<'_>) -> Option<Sniffed> {
    let text = head.text?.trim_start();
    let is_element =
        text.strip_prefix('<')?.starts_with(|first: char| first.is_ascii_alphabetic()) && text.contains("</");
    (text.starts_with("<?xml") || text.starts_with("<!DOCTYPE") || is_element)
        .then(|| nothing("it is XML, which read_xml reads"))
}

/// How records lie in `text`, if it begins like JSON.
fn json_layout(text: &str) -> Option<Layout> {
    let trimmed = text.trim_start();
    let mut cursor = Cursor::new(trimmed);
    match trimmed.as_bytes().first()? {
        b'[' => {
            cursor.begin_array().ok()?;
            // `[INFO] text` is no array of records.
            match cursor.next_item(true) {
                Ok(false) => Some(Layout::Array),
                Ok(true) => matches!(cursor.kind(), Ok(Kind::Object)).then_some(Layout::Array),
                Err(_) => None,
            }
        }
        b'{' => {
            let first = match cursor.raw_value() {
                Ok(_) => Some(cursor.offset()),
                // Longer than the sample: one document.
                Err(error) if error.offset >= trimmed.len() => None,
                Err(_) => return None,
            };
            let followed = first.is_some_and(|end| !trimmed[end..].trim().is_empty());
            if followed {
                return trimmed[first.unwrap_or_default()..].trim_start().starts_with('{').then_some(Layout::Lines);
            }
            // One object: a document around an array of objects, or a single record.
            match records_key(trimmed) {
                Some(key) => Some(Layout::Document(Some(key))),
                None if first.is_some_and(|end| !trimmed[..end].contains('\n')) => Some(Layout::Lines),
                None => Some(Layout::Document(None)),
            }
        }
        _ => None,
    }
}

/// The key of the array of objects that a document is about: the only one there is, or one of the usual names.
fn records_key(text: &str) -> Option<String> {
    const USUAL: [&str; 7] = ["features", "Records", "records", "data", "items", "results", "rows"];
    let mut arrays = Vec::new();
    let mut others = 0;
    let mut cursor = Cursor::new(text);
    cursor.begin_object().ok()?;
    let mut first = true;
    // Where the sample ends, what was seen so far counts.
    while let Ok(Some(key)) = cursor.next_key(first) {
        first = false;
        let mut item = cursor.clone();
        let is_records = item.kind() == Ok(Kind::Array)
            && item.begin_array().is_ok()
            && item.next_item(true) == Ok(true)
            && item.kind() == Ok(Kind::Object);
        if is_records {
            arrays.push(key.into_owned());
        } else {
            others += 1;
        }
        if cursor.raw_value().is_err() {
            break;
        }
    }
    if let Some(usual) = USUAL.iter().find(|usual| arrays.iter().any(|key| key == *usual)) {
        return Some((*usual).to_owned());
    }
    // An order with its lines is one record; a lone array in an object is a list.
    if arrays.len() == 1 && others == 0 { arrays.pop() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let document = |key: &str| Sniffed::Json(Layout::Document(Some(key.to_owned())));
        for (text, expected) in [
            ("PAR1....", Sniffed::Parquet),
            ("ORC\u{8}\u{1}..", Sniffed::Orc),
            ("Obj\u{1}..", Sniffed::Avro),
            ("ARROW1..", Sniffed::Arrow),
            ("{\"a\":1}\n{\"a\":2}\n", Sniffed::Json(Layout::Lines)),
            ("{\"a\":1}\n", Sniffed::Json(Layout::Lines)),
            ("{\n\"a\":1}\n", Sniffed::Json(Layout::Document(None))),
            (" [\r\n {\"a\":1},", Sniffed::Json(Layout::Array)),
            ("{\"type\":\"FeatureCollection\",\"features\":[{\"a\":1},{\"a\":", document("features")),
            ("{\"Records\":[{\"a\":1}]}", document("Records")),
            ("{\"things\":[{\"a\":1}]}", document("things")),
            ("{\"id\":1,\"lines\":[{\"a\":1}]}", Sniffed::Json(Layout::Lines)),
        ] {
            assert_eq!(sniff_head(text.as_bytes(), true, "f", &[]).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "\n\n",
            "Dear reader,\nthis is a letter, and it\nhas no table.\n",
            "\0\u{1}binary",
            "[INFO] started\n[INFO] ended\n",
        ] {
            assert!(matches!(sniff_head(text.as_bytes(), true, "f", &[]).unwrap(), Sniffed::Nothing(_)), "{text}");
        }
    }
}
