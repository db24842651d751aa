//! [`Manifest`]: the file that says what a demo lake holds. Where it is, the lake is whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// Its name in the lake's folder.
pub const MANIFEST: &str = "demo.json";

/// What was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// TPC-H's scale factor.
    pub scale: f64,
    /// The version that made it.
    pub made_by: String,
    /// Rows of each TPC-H table.
    pub rows: BTreeMap<String, u64>,
}

impl Manifest {
    pub(super) fn new(scale: f64, rows: BTreeMap<String, u64>) -> Self {
        Self { scale, made_by: concat!("limnos ", env!("CARGO_PKG_VERSION")).to_owned(), rows }
    }

    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(MANIFEST)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let whole = dir.join(MANIFEST);
        let part = whole.with_extension("part");
        super::write_durably(&part, &serde_json::to_vec_pretty(self)?)?;
        fs::rename(part, whole)
    }
}
