//! [`FileLock`]: one process at a time. A second one that opens the same catalog is told who has it.
//!
//! SQLite alone would let both write in turn, and each would serve its own stale snapshot. The lock is the operating
//! system's, so it ends with the process however that ends; the file itself stays and means nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result};

/// How long, and how often, to wait for a holder that is about to go: a server that is stopping, or a child that was forked
/// and holds what its parent had open until it runs its own program.
const WAIT: Duration = Duration::from_millis(20);
const WAITS_MAX: u32 = 25;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock that belongs to the catalog at `path`.
    pub(super) fn acquire(path: &Path) -> Result<Self> {
        let unusable = |reason: String| Error::Unusable { path: path.display().to_string(), reason };
        let lock_path = lock_path(path);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(
                |error| unusable(format!("lock file \"{}\" cannot be opened: {error}", lock_path.display())),
            )?;
        let mut waits = 0;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if waits < WAITS_MAX => std::thread::sleep(WAIT),
                other => break other,
            }
            waits += 1;
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(unusable(format!(
                    "another limnos process{holder} uses it; connect to that one, or stop it first"
                )));
            }
            Err(TryLockError::Error(error)) => {
                return Err(unusable(format!("lock file \"{}\" cannot be locked: {error}", lock_path.display())));
            }
        }
        // Only for the message above; a lock without a name in it is as good.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// `catalog.db` is locked by `catalog.db.lock`.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// ` (process 123)`, if the file says so.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!(" (process {id})"),
        _ => String::new(),
    }
}
