//! Frames: length, checksum, content. And files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::UNFINISHED;
use crate::{Error, Result};

/// Of a frame's head.
const HEAD_BYTES: u64 = 12;

/// A file that gets its name when it is whole.
pub(super) struct FrameWriter {
    path: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
    frames: u64,
    bytes: u64,
}

fn checksum(place: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

impl FrameWriter {
    pub(super) fn create(path: &Path, magic: [u8; 8]) -> Result<Self> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let file = File::create(&unfinished).map_err(Error::io(&unfinished))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&magic).map_err(Error::io(&unfinished))?;
        Ok(Self { path: path.to_owned(), unfinished, file, frames: 0, bytes: 8 })
    }

    pub(super) fn frame(&mut self, content: &[u8]) -> Result<()> {
        let mut write = |bytes: &[u8]| self.file.write_all(bytes).map_err(Error::io(&self.unfinished));
        write(&(content.len() as u64).to_le_bytes())?;
        write(&checksum(self.frames, content).to_le_bytes())?;
        write(content)?;
        self.frames += 1;
        self.bytes += HEAD_BYTES + content.len() as u64;
        Ok(())
    }

    /// Makes the file durable, then gives it its name. The folder has to be synced for the name to be durable.
    pub(super) fn finish(self) -> Result<u64> {
        let file = self.file.into_inner().map_err(|error| Error::io(&self.unfinished)(error.into_error()))?;
        file.sync_all().map_err(Error::io(&self.unfinished))?;
        drop(file);
        fs::rename(&self.unfinished, &self.path).map_err(Error::io(&self.path))?;
        Ok(self.bytes)
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
}

/// Reads a file's frames, one after the other.
pub(super) struct FrameReader {
    path: PathBuf,
    file: BufReader<File>,
    size: u64,
    left: u64,
    frames: u64,
}

impl FrameReader {
    /// `None`: there is no such file.
    pub(super) fn open(path: &Path, magic: [u8; 8]) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let metadata = file.metadata().map_err(Error::io(path))?;
        if !metadata.is_file() {
            return Err(Error::corrupt(path, "it is not a file"));
        }
        let (size, file) = (metadata.len(), BufReader::with_capacity(1 << 18, file));
        let mut reader = Self { path: path.to_owned(), file, size, left: size, frames: 0 };
        let found: [u8; 8] = reader.array()?;
        if found != magic {
            let what = if found[..7] == magic[..7] {
                "it is of another version"
            } else {
                "it begins as no file of a dataset does"
            };
            return Err(Error::corrupt(path, what));
        }
        Ok(Some(reader))
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn corrupt(&self, reason: impl Into<String>) -> Error {
        Error::corrupt(&self.path, reason)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.left < N as u64 {
            return Err(self.corrupt("it ends in the middle"));
        }
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(Error::io(&self.path))?;
        self.left -= N as u64;
        Ok(bytes)
    }

    /// The next frame's content.
    pub(super) fn frame(&mut self) -> Result<Vec<u8>> {
        let length = u64::from_le_bytes(self.array()?);
        let expected = u32::from_le_bytes(self.array()?);
        if length > self.left {
            return Err(self.corrupt("it ends in the middle"));
        }
        let length = usize::try_from(length).map_err(|_| self.corrupt("a frame is longer than memory"))?;
        let mut content = vec![0; length];
        self.file.read_exact(&mut content).map_err(Error::io(&self.path))?;
        self.left -= length as u64;
        if checksum(self.frames, &content) != expected {
            return Err(self.corrupt(format!("the checksum of frame {} is wrong", self.frames)));
        }
        self.frames += 1;
        Ok(content)
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.left == 0 { Ok(()) } else { Err(self.corrupt(format!("{} bytes follow its end", self.left))) }
    }
}
