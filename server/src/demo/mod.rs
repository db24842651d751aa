//! The demo lake: TPC-H as Parquet and gzip CSV, and sample logs, made on this machine. In: a folder and a scale. Out:
//!
//! ```text
//! DIR/
//!   demo.json                                  what was made; written last, so where it is the lake is whole
//!   tpch/lineitem/year=1995/month=01/part-0.parquet
//!   tpch/orders/year=1995/month=01/part-0.parquet
//!   tpch/{customer,nation,part,partsupp,region,supplier}/part-0.parquet
//!   tpch/orders_csv/orders-0000.csv.gz         the rows of orders once more
//!   logs/{vpc_flow_logs,app_events,...}/       sql/demo/ of the source
//!   data/                                      the server's data directory
//! ```
//!
//! All of it is made in `DIR/.making-PID` and moved into place when whole; a run that is killed leaves that folder,
//! which the next run finishes moving, or removes.

mod manifest;
mod partition;
mod tpch;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use manifest::{MANIFEST, Manifest};

/// The DDL that catalogs the lake, with `${lake}` where the folder goes.
const TABLES_SQL: &str = include_str!("../../../sql/demo/tables.sql");

/// `sql/demo/`'s logs: relative paths and contents.
const LOGS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/demo_logs.rs"));

/// The folders that a lake consists of, in the order in which they are moved into place.
const FOLDERS: [&str; 2] = ["tpch", "logs"];

/// Bounds of `--scale`: TPC-H's arithmetic on keys breaks below, and above nobody calls it a demo.
const SCALES: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// What a lake is made of when nobody says: about 600,000 rows of `lineitem`.
pub const DEFAULT_SCALE: f64 = 0.1;

/// Queries that show what the lake is for; each runs on any scale.
pub const QUERIES: [(&str, &str); 3] = [
    (
        "Revenue and discounts by return flag (TPC-H query 1)",
        "SELECT l_returnflag, l_linestatus, count(*) AS lines, sum(l_extendedprice * (1 - l_discount)) AS revenue\n  \
         FROM lineitem WHERE l_shipdate <= DATE '1998-09-02' GROUP BY 1, 2 ORDER BY 1, 2;",
    ),
    (
        "One year of orders: 12 of 80 partitions are read, as EXPLAIN ANALYZE shows",
        "SELECT month, count(*) AS orders, sum(o_totalprice) AS total\n  FROM orders WHERE year = 1995 GROUP BY month ORDER BY month;",
    ),
    (
        "What the firewall did, straight from VPC flow logs",
        "SELECT action, count(*) AS flows FROM vpc_flow_logs GROUP BY action ORDER BY flows DESC;",
    ),
];

/// How far a lake is; read by whoever draws a bar.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows to make, about.
    pub rows_total: AtomicU64,
    /// Rows made.
    pub rows_done: AtomicU64,
}

impl Progress {
    fn add(&self, rows: usize) {
        self.rows_done.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// Why there is no lake.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// TPC-H can't be made at this scale.
    #[error("scale {0} is not between {min} and {max}", min = SCALES.start(), max = SCALES.end())]
    Scale(f64),
    /// There is a lake, and another was asked for.
    #[error("the lake in \"{dir}\" was made at scale {made}, not {asked}")]
    OtherScale { dir: PathBuf, made: f64, asked: f64 },
    /// Something that isn't ours is in the way.
    #[error("\"{0}\" is in the way, and not of a demo lake")]
    InTheWay(PathBuf),
    /// Another process works there.
    #[error("another process is making the lake in \"{0}\"")]
    Busy(PathBuf),
    /// The disk said no.
    #[error("could not write the demo lake in \"{dir}\": {source}")]
    Io { dir: PathBuf, source: io::Error },
}

impl DemoError {
    /// What to do, a full sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::OtherScale { made, .. } => {
                Some(format!("Use --scale {made} to open it, or --dir to make another lake elsewhere."))
            }
            Self::InTheWay(path) => Some(format!("Choose another --dir, or move \"{}\" away.", path.display())),
            Self::Busy(_) => Some("Wait for it, or choose another --dir.".to_owned()),
            Self::Scale(_) => Some(format!("The default is {DEFAULT_SCALE}; 1 is about a gigabyte of raw data.")),
            Self::Io { .. } => None,
        }
    }
}

/// The lake in `dir`, if a whole one is there and its scale is as asked (`None`: any).
///
/// # Errors
/// One of another scale; a manifest that can't be read.
pub fn find(dir: &Path, scale: Option<f64>) -> Result<Option<Manifest>, DemoError> {
    let manifest = Manifest::read(dir).map_err(|source| DemoError::Io { dir: dir.to_owned(), source })?;
    match (&manifest, scale) {
        (Some(manifest), Some(asked)) if (manifest.scale - asked).abs() > f64::EPSILON => {
            Err(DemoError::OtherScale { dir: dir.to_owned(), made: manifest.scale, asked })
        }
        _ => Ok(manifest),
    }
}

/// Makes the lake in `dir`, or finds it there. Works on several threads and blocks until done.
///
/// # Errors
/// As [`find`]; a folder in the way; a full disk.
pub fn make(dir: &Path, scale: Option<f64>, progress: &Progress) -> Result<Manifest, DemoError> {
    if let Some(manifest) = find(dir, scale)? {
        return Ok(manifest);
    }
    let asked = scale.unwrap_or(DEFAULT_SCALE);
    if !SCALES.contains(&asked) {
        return Err(DemoError::Scale(asked));
    }
    let io_error = |source| DemoError::Io { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(io_error)?;
    // Held to the end: who has it may remove folders that a killed run left.
    let lock = fs::File::create(dir.join(".lock")).map_err(io_error)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(DemoError::Busy(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => return Err(io_error(source)),
    }
    // The other process may have finished between our look and our lock.
    if let Some(manifest) = finish_interrupted(dir).map_err(io_error).and_then(|()| find(dir, scale))? {
        return Ok(manifest);
    }
    if let Some(path) = FOLDERS.iter().map(|folder| dir.join(folder)).find(|path| path.exists()) {
        return Err(DemoError::InTheWay(path));
    }
    let making = dir.join(format!("{MAKING_PREFIX}{}", std::process::id()));
    let made = make_in(&making, asked, progress).and_then(|manifest| publish(&making, dir).map(|()| manifest));
    made.map_err(|source| {
        // Best effort: what stays is removed by the next run.
        let _ = fs::remove_dir_all(&making);
        io_error(source)
    })
}

/// The statements that catalog the lake in `dir`.
///
/// # Errors
/// When the folder's real path can't be found out.
pub fn tables_sql(dir: &Path) -> io::Result<String> {
    let lake = fs::canonicalize(dir)?;
    Ok(TABLES_SQL.replace("${lake}", &lake.to_string_lossy().replace('\'', "''")))
}

/// Where the lake's files are: the roots that its server needs.
pub fn roots(dir: &Path) -> Vec<String> {
    FOLDERS.iter().map(|folder| dir.join(folder).to_string_lossy().into_owned()).collect()
}

const MAKING_PREFIX: &str = ".making-";

fn make_in(making: &Path, scale: f64, progress: &Progress) -> io::Result<Manifest> {
    fs::create_dir_all(making)?;
    let rows = tpch::make(&making.join("tpch"), scale, progress)?;
    for (name, bytes) in LOGS {
        let path = making.join("logs").join(name);
        fs::create_dir_all(path.parent().expect("it has a folder"))?;
        write_durably(&path, bytes)?;
    }
    fs::create_dir_all(making.join("logs"))?;
    let manifest = Manifest::new(scale, rows);
    manifest.write(making)?;
    Ok(manifest)
}

/// Moves a whole lake into place, the manifest last. Can be done again after it was interrupted anywhere.
fn publish(making: &Path, dir: &Path) -> io::Result<()> {
    for name in FOLDERS.into_iter().chain([MANIFEST]) {
        let from = making.join(name);
        if from.exists() {
            fs::rename(from, dir.join(name))?;
        }
    }
    fs::File::open(dir)?.sync_all()?;
    fs::remove_dir_all(making)
}

/// Completes a move that was interrupted and removes what was not whole.
fn finish_interrupted(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(MAKING_PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.path().join(MANIFEST).exists() {
            publish(&entry.path(), dir)?;
        } else {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a small file and waits until the disk has it.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_lake_is_made_once_and_found_after() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("lake");
        assert!(find(&dir, None).unwrap().is_none());
        let progress = Progress::default();
        let made = make(&dir, Some(0.001), &progress).unwrap();
        assert_eq!(made.rows["orders"], 1500);
        assert_eq!(made.rows["orders_csv"], 1500);
        assert_eq!(made.rows["nation"], 25);
        assert_eq!(progress.rows_done.into_inner(), made.rows.values().sum::<u64>());
        assert!(dir.join("tpch/lineitem/year=1995/month=01/part-0.parquet").is_file());
        assert!(dir.join("tpch/orders_csv/orders-0000.csv.gz").is_file());
        let left = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(left.into_iter().all(|name| !name.starts_with(MAKING_PREFIX)));

        // Found at its own scale or any, refused at another, and nothing is made again.
        let again = Progress::default();
        assert_eq!(make(&dir, None, &again).unwrap(), made);
        assert_eq!(make(&dir, Some(0.001), &again).unwrap(), made);
        assert_eq!(again.rows_done.into_inner(), 0);
        let error = make(&dir, Some(0.5), &Progress::default()).unwrap_err();
        assert!(error.to_string().ends_with("was made at scale 0.001, not 0.5"), "{error}");
        assert!(error.hint().unwrap().starts_with("Use --scale 0.001 to open it"));
    }

    #[test]
    fn an_interrupted_run_is_finished_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        // Killed while making: no manifest.
        fs::create_dir_all(dir.join(".making-1/tpch")).unwrap();
        // Killed while moving: tpch is in place already, logs and manifest are not.
        fs::create_dir_all(dir.join("tpch")).unwrap();
        fs::create_dir_all(dir.join(".making-2/logs")).unwrap();
        let manifest = Manifest::new(0.25, Default::default());
        manifest.write(&dir.join(".making-2")).unwrap();

        assert!(find(dir, None).unwrap().is_none());
        assert_eq!(make(dir, None, &Progress::default()).unwrap(), manifest);
        assert!(dir.join("logs").is_dir() && !dir.join(".making-1").exists() && !dir.join(".making-2").exists());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("logs/mine")).unwrap();
        let error = make(folder.path(), None, &Progress::default()).unwrap_err();
        assert!(matches!(error, DemoError::InTheWay(_)), "{error}");
        assert!(folder.path().join("logs/mine").is_dir());
        assert!(matches!(make(folder.path(), Some(0.0), &Progress::default()), Err(DemoError::Scale(_))));
    }

    #[test]
    fn the_folder_is_quoted_in_the_ddl() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("it's");
        fs::create_dir(&dir).unwrap();
        let sql = tables_sql(&dir).unwrap();
        assert!(sql.contains("/it''s/tpch/lineitem/'") && !sql.contains("${lake}"));
    }
}
