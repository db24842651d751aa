//! JSON files: bytes -> records ([`records`]) -> values ([`cursor`]) -> columns ([`decode`]).

pub mod cursor;
pub mod decode;
pub mod options;
pub mod path;
pub mod records;

use limnos_catalog::StorageDescriptor;

use self::records::Layout;
use crate::{Error, ErrorCode, Result};

/// Reads `limnos.json.layout` and `limnos.json.path` (a key, or a [`path::JsonPath`]). Without them an array is told from lines by each file's first
/// character.
///
/// # Errors
/// [`ErrorCode::InvalidParameterValue`] for a layout that doesn't exist.
pub fn layout(storage: &StorageDescriptor) -> Result<Layout> {
    let path = storage.properties.get("limnos.json.path").cloned();
    // `$.Records[*]` is a path, `Records` the key of the document's array.
    if let Some(path) = path.as_deref().filter(|path| path.starts_with('$')) {
        return Ok(Layout::Path(path.parse()?));
    }
    match storage.properties.get("limnos.json.layout").map(String::as_str) {
        None if path.is_some() => Ok(Layout::Document(path)),
        None => Ok(Layout::Detect),
        Some("lines") => Ok(Layout::Lines),
        Some("array") => Ok(Layout::Array),
        Some("document") => Ok(Layout::Document(path)),
        Some(other) => Err(Error::new(
            ErrorCode::InvalidParameterValue,
            format!("invalid value for property \"limnos.json.layout\": \"{other}\""),
        )
        .with_hint("Available layouts: lines, array, document.")),
    }
}
