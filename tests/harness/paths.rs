//! Where the repository keeps what tests read.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate is a folder of the repository")
}

/// `sql/`.
pub fn sql() -> PathBuf {
    repository().join("sql")
}

/// The files that SQL tests read, `sql/slt/data`.
pub fn slt_data() -> PathBuf {
    sql().join("slt").join("data")
}
