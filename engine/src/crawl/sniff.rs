//! What is in a file: its first bytes, and only then its name, say which format it has.

use std::sync::Arc;

use futures::TryStreamExt;
use limnos_catalog::FileFormat;
use object_store::{ObjectMeta, ObjectStore};
use serde::{Deserialize, Serialize};

use super::csv::{self, Dialect};
use crate::Result;
use crate::scan::format::input;
use crate::scan::format::json::cursor::{Cursor, Kind};
use crate::scan::format::json::records::Layout;

/// Unpacked text that the format is told from.
const HEAD_BYTES: usize = 256 << 10;

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sniffed {
    Parquet,
    Arrow,
    Json(Layout),
    Csv(Dialect),
    /// No table; the text completes "was skipped: ".
    Nothing(String),
}

impl Sniffed {
    pub(super) fn format(&self) -> Option<FileFormat> {
        match self {
            Self::Parquet => Some(FileFormat::Parquet),
            Self::Arrow => Some(FileFormat::Arrow),
            Self::Json(_) => Some(FileFormat::Json),
            Self::Csv(_) => Some(FileFormat::Csv),
            Self::Nothing(_) => None,
        }
    }
}

/// Looks into `object`.
pub(super) async fn sniff(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<Sniffed> {
    let mut chunks = input::open(store, object, name, |_| ()).await?;
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
    Ok(sniff_head(&head, is_whole, name))
}

fn sniff_head(head: &[u8], is_whole: bool, name: &str) -> Sniffed {
    let nothing = |reason: &str| Sniffed::Nothing(reason.to_owned());
    for (magic, sniffed) in [
        (&b"PAR1"[..], Sniffed::Parquet),
        (b"ARROW1", Sniffed::Arrow),
        (b"ORC", nothing("reading ORC files is not supported")),
        (b"Obj\x01", nothing("reading Avro files is not supported")),
        (b"PK\x03\x04", nothing("it is a zip archive")),
        (b"%PDF", nothing("it is a PDF document")),
        (b"\xfe\xff", nothing("files in UTF-16 are not supported")),
        (b"\xff\xfe", nothing("files in UTF-16 are not supported")),
    ] {
        if head.starts_with(magic) {
            return sniffed;
        }
    }
    if head.iter().all(u8::is_ascii_whitespace) {
        return nothing("it is empty");
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The end of the sample may lie within a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return nothing("it is neither UTF-8 text nor of a known format"),
    };
    if text.contains('\0') {
        return nothing("it is neither text nor of a known format");
    }
    if let Some(layout) = json_layout(text) {
        return Sniffed::Json(layout);
    }
    match csv::sniff_dialect(text, is_whole, name) {
        Some(dialect) => Sniffed::Csv(dialect),
        None => nothing("it is text without a table in it"),
    }
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
            assert_eq!(sniff_head(text.as_bytes(), true, "f"), expected, "{text}");
        }
        for text in [
            "",
            "\n\n",
            "Dear reader,\nthis is a letter, and it\nhas no table.\n",
            "\0\u{1}binary",
            "[INFO] started\n[INFO] ended\n",
        ] {
            assert!(matches!(sniff_head(text.as_bytes(), true, "f"), Sniffed::Nothing(_)), "{text}");
        }
    }
}
