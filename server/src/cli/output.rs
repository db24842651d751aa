//! [`Output`]: where answers go: standard output, or a file that appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Failure;

/// A sink of bytes.
pub(super) enum Output {
    Stdout(BufWriter<Stdout>),
    File(AtomicFile),
    /// For a command that reads the answer itself.
    Memory(Arc<Mutex<Vec<u8>>>),
}

/// A file that is written under another name beside it and renamed when complete. Dropped before that, it leaves nothing.
pub(super) struct AtomicFile {
    path: PathBuf,
    part: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Stdout(BufWriter::with_capacity(64 << 10, io::stdout())));
        };
        AtomicFile::create(path)
            .map(Self::File)
            .map_err(|error| Failure::new(format!("could not write \"{}\": {error}", path.display()), None))
    }

    /// One that keeps what is written, and where.
    pub(super) fn memory() -> (Self, Arc<Mutex<Vec<u8>>>) {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        (Self::Memory(Arc::clone(&bytes)), bytes)
    }

    /// Makes what was written last: flushed, or for a file synced and renamed.
    pub(super) fn commit(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(mut writer) => writer.flush().map_err(|error| write_failure(&error)),
            Self::Memory(_) => Ok(()),
            Self::File(file) => {
                let path = file.path.clone();
                file.commit()
                    .map_err(|error| Failure::new(format!("could not write \"{}\": {error}", path.display()), None))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(writer) => writer.write(bytes),
            Self::File(file) => file.writer.as_mut().expect("commit is last").write(bytes),
            Self::Memory(memory) => memory.lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(writer) => writer.flush(),
            Self::File(file) => file.writer.as_mut().expect("commit is last").flush(),
            Self::Memory(_) => Ok(()),
        }
    }
}

impl AtomicFile {
    fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other("it is not a file name"))?;
        if path.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        let part = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let writer = Some(BufWriter::with_capacity(256 << 10, File::create(&part)?));
        Ok(Self { path: path.to_owned(), part, writer })
    }

    fn commit(mut self) -> io::Result<()> {
        let writer = self.writer.take().expect("commit is called once");
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        // The rename lasts only once the folder is on disk, too.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit it is gone already.
        let _ = fs::remove_file(&self.part);
    }
}

/// `limnos query ... | head` ends without a word, as other tools do.
pub(super) fn write_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::Silent(ExitCode::SUCCESS)
    } else {
        Failure::new(format!("could not write the result: {error}"), None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();

        let mut dropped = AtomicFile::create(&path).unwrap();
        dropped.writer.as_mut().unwrap().write_all(b"half").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(dropped);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");

        let mut committed = AtomicFile::create(&path).unwrap();
        committed.writer.as_mut().unwrap().write_all(b"new").unwrap();
        committed.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(AtomicFile::create(folder.path()).is_err());
    }
}
