//! The frozen form of what is kept of a [`crate::Write`] beside its columns; see [`crate::record`].

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteRecord {
    target: String,
    locations: Vec<String>,
}

/// Target and locations as JSON text.
pub(crate) fn encode(target: &str, locations: &[String]) -> Result<String> {
    let record = WriteRecord { target: target.to_owned(), locations: locations.to_vec() };
    serde_json::to_string(&record)
        .map_err(|error| Error::Invalid { message: format!("write cannot be stored: {error}"), hint: None })
}

/// What [`encode`] wrote.
pub(crate) fn decode(text: &str) -> Result<(String, Vec<String>)> {
    let record: WriteRecord = serde_json::from_str(text)
        .map_err(|error| Error::Invalid { message: format!("write cannot be read: {error}"), hint: None })?;
    Ok((record.target, record.locations))
}
