//! What is written down of datasets, so that a restart needs no source.
//!
//! ```text
//! <data_dir>/datasets/<id>/<what the rows are made of>/   a folder for each definition that rows were made of
//!     meta.json                                           which version, of when, of what
//!     ...                                                 the table, as limnos_columnar::Table::save lays it out
//! ```
//! Both are replaced in one step each, the table first. A process that dies between the two leaves the new rows under the old
//! version's number: right in all that decides what may be read, since that is in the folder's name.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kept::Loaded;
use crate::{Error, ErrorCode, Result};

/// The form of `meta.json`.
const FORMAT: u32 = 1;

const META: &str = "meta.json";

/// What is said of a version beside its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    format: u32,
    pub(crate) version: u64,
    pub(crate) mark: String,
    pub(crate) source_mark: String,
    pub(crate) refreshed_at_ms: i64,
    pub(crate) data_version: i64,
}

fn failed(folder: &Path, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::IoError, format!("dataset in \"{}\": {error}", folder.display()))
}

/// The folder of rows that were made of something.
fn own_folder(folder: &Path, mark: &str, source_mark: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (mark, source_mark).hash(&mut hasher);
    folder.join(format!("{:016x}", hasher.finish()))
}

/// Writes a version down; it is durable then. Versions of other definitions stay, until [`forget_others`].
pub(crate) fn save(folder: &Path, loaded: &Loaded) -> Result<u64> {
    let own = own_folder(folder, &loaded.mark, &loaded.source_mark);
    fs::create_dir_all(&own).map_err(|error| failed(&own, error))?;
    let bytes = loaded.table.save(&own).map_err(|error| failed(&own, error))?;
    save_meta(folder, loaded)?;
    Ok(bytes)
}

/// Writes down what is said of a version whose rows are there.
pub(crate) fn save_meta(folder: &Path, loaded: &Loaded) -> Result<()> {
    let own = own_folder(folder, &loaded.mark, &loaded.source_mark);
    let meta = Meta {
        format: FORMAT,
        version: loaded.version,
        mark: loaded.mark.clone(),
        source_mark: loaded.source_mark.clone(),
        refreshed_at_ms: loaded.refreshed_at_ms,
        data_version: loaded.data_version.load(std::sync::atomic::Ordering::Relaxed),
    };
    let text = serde_json::to_vec(&meta).map_err(|error| failed(&own, error))?;
    replace(&own, META, &text).map_err(|error| failed(&own, error))?;
    sync(folder).and_then(|()| folder.parent().map_or(Ok(()), sync)).map_err(|error| failed(folder, error))
}

/// Writes a file beside its place, and puts it there: it is the old one or the new.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!(".{name}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(name))?;
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Deletes what was written down of other definitions than `loaded`'s.
pub(crate) fn forget_others(folder: &Path, loaded: &Loaded) {
    let own = own_folder(folder, &loaded.mark, &loaded.source_mark);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path() != own {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The newest version that was made of `mark`; `None` if there is none.
///
/// # Errors
/// One that is torn or damaged, or can't be read.
pub(crate) fn load(folder: &Path, mark: &str) -> Result<Option<(Meta, limnos_columnar::Table)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| failed(folder, error))?,
    };
    let mut found: Option<(Meta, PathBuf)> = None;
    for entry in entries {
        let own = entry.map_err(|error| failed(folder, error))?.path();
        let text = match fs::read(own.join(META)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| failed(&own, error))?,
        };
        let meta: Meta = serde_json::from_slice(&text).map_err(|error| failed(&own, error))?;
        let is_newer = found.as_ref().is_none_or(|(before, _)| before.version < meta.version);
        if meta.format == FORMAT && meta.mark == mark && is_newer {
            found = Some((meta, own));
        }
    }
    let Some((meta, own)) = found else { return Ok(None) };
    match limnos_columnar::Table::load(&own).map_err(|error| failed(&own, error))? {
        Some(table) => Ok(Some((meta, table))),
        None => Err(failed(&own, "its rows are missing")),
    }
}
