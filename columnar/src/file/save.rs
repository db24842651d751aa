//! Writes a table into a folder: parts that aren't there yet, then the manifest, which makes it the folder's table.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use arrow::ipc::convert::IpcSchemaEncoder;

use super::bytes::Writer;
use super::frame::{FrameWriter, sync_folder};
use super::value::{write_array, write_column};
use super::{MANIFEST, MANIFEST_MAGIC, PART_MAGIC, PART_PREFIX, UNFINISHED, part_name};
use crate::table::{Part, Table};
use crate::{Error, Result};

impl Table {
    /// Writes the table into `folder`, which is made if it isn't there, and says how many bytes were written. Parts that are there
    /// already are not written again, and those that the table doesn't have are removed once it has taken the place of the one
    /// before. A process that dies on the way leaves the one before, whole. One at a time may save into a folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, folder: &Path) -> Result<u64> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut written = 0;
        let mut sizes = Vec::with_capacity(self.version.parts.len());
        for part in &self.version.parts {
            let path = folder.join(part_name(part.id));
            let size = match fs::metadata(&path) {
                // It has its name, so it is whole.
                Ok(metadata) => metadata.len(),
                Err(_) => {
                    let size = write_part(&path, part)?;
                    written += size;
                    size
                }
            };
            sizes.push(size);
        }
        sync_folder(folder)?;
        written += self.write_manifest(&folder.join(MANIFEST), &sizes)?;
        sync_folder(folder)?;
        remove_others(folder, &self.version.parts.iter().map(|part| part_name(part.id)).collect())?;
        Ok(written)
    }

    fn write_manifest(&self, path: &Path, sizes: &[u64]) -> Result<u64> {
        let version = &self.version;
        let mut file = FrameWriter::create(path, *MANIFEST_MAGIC)?;
        file.frame(IpcSchemaEncoder::new().schema_to_fb(&version.schema).finished_data())?;

        let mut head = Writer::default();
        head.u64(version.chunk_rows as u64);
        head.u64(version.order_by.len() as u64);
        for key in &version.order_by {
            head.u64(key.column as u64);
            head.u8(u8::from(key.descending) | (u8::from(key.nulls_first) << 1));
        }
        head.u64(version.parts.len() as u64);
        for (part, &size) in version.parts.iter().zip(sizes) {
            head.0.extend_from_slice(&part.id.to_le_bytes());
            head.bytes(part.key.as_bytes());
            head.u64(part.rows);
            head.u64(part.chunks.len() as u64);
            head.u64(size);
        }
        file.frame(&head.0)?;

        for dictionary in &version.dictionaries {
            let mut frame = Writer::default();
            frame.u8(u8::from(dictionary.is_some()));
            if let Some(dictionary) = dictionary {
                frame.u32(dictionary.next_id());
                frame.u8(u8::from(dictionary.ids().is_some()));
                if let Some(ids) = dictionary.ids() {
                    frame.u64(ids.len() as u64);
                    ids.iter().for_each(|&id| frame.u32(id));
                }
                write_array(&mut frame, dictionary.values())?;
            }
            file.frame(&frame.0)?;
        }
        file.finish()
    }
}

fn write_part(path: &Path, part: &Part) -> Result<u64> {
    let mut file = FrameWriter::create(path, *PART_MAGIC)?;
    for chunk in &part.chunks {
        file.frame(&(chunk.rows as u64).to_le_bytes())?;
        for column in &chunk.columns {
            let mut frame = Writer::default();
            write_column(&mut frame, column)?;
            file.frame(&frame.0)?;
        }
    }
    file.finish()
}

/// Removes what no table in the folder is made of any more. What can't be removed now is by a later save.
fn remove_others(folder: &Path, names: &HashSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = name.starts_with(PART_PREFIX) || name.ends_with(UNFINISHED);
        if is_ours && !names.contains(name) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
