//! Reads a table from a folder. Whatever the bytes are, the end is a table or an error that names the file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::root_as_schema;

use super::bytes::{Reader, Wrong};
use super::frame::FrameReader;
use super::value::{Ids, read_array, read_column};
use super::{MANIFEST, MANIFEST_MAGIC, PART_MAGIC, part_name};
use crate::build::SortKey;
use crate::dictionary::Dictionary;
use crate::native::stored_type;
use crate::table::{Chunk, Contents, Part, Table};
use crate::{Error, Result};

/// Longest table of ids: so many times as many as there are values, and some.
const IDS_PER_VALUE: usize = 16;
const IDS_FEW: usize = 1 << 20;

impl Table {
    /// Reads the table that was saved into `folder`. `None`: there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the file that is torn, changed, missing or of another version.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let manifest = folder.join(MANIFEST);
        // Checksums leave nothing by accident for Arrow to stumble over; this is for what was made to look right.
        catch_unwind(AssertUnwindSafe(|| load(folder, &manifest)))
            .unwrap_or_else(|_| Err(Error::corrupt(&manifest, "what it says can't be")))
    }
}

struct PartEntry {
    id: u128,
    key: String,
    rows: u64,
    chunks: u64,
    size: u64,
}

struct Head {
    chunk_rows: usize,
    order_by: Vec<SortKey>,
    parts: Vec<PartEntry>,
}

fn load(folder: &Path, manifest: &Path) -> Result<Option<Table>> {
    let Some(mut file) = FrameReader::open(manifest, *MANIFEST_MAGIC)? else {
        return Ok(None);
    };
    let schema = read_schema(&file.frame()?).map_err(|reason| file.corrupt(reason))?;
    let head = read_head(&file.frame()?, schema.fields().len()).map_err(|reason| file.corrupt(reason))?;
    let mut dictionaries = Vec::new();
    for field in schema.fields() {
        dictionaries.push(read_dictionary(&file.frame()?, field.data_type()).map_err(|reason| file.corrupt(reason))?);
    }
    file.end()?;
    let parts = head
        .parts
        .into_iter()
        .map(|entry| load_part(folder, entry, &schema, &dictionaries, head.chunk_rows).map(Arc::new))
        .collect::<Result<Vec<_>>>()?;
    let dictionaries = dictionaries.into_iter().map(|ids| ids.map(|ids| ids.dictionary)).collect();
    let contents = Contents { schema, parts, dictionaries, order_by: head.order_by, chunk_rows: head.chunk_rows };
    Table::new(contents).map(Some).map_err(|error| Error::corrupt(manifest, error.to_string()))
}

fn read_schema(bytes: &[u8]) -> Result<SchemaRef, Wrong> {
    let schema = root_as_schema(bytes).map_err(|error| format!("the schema can't be read: {error}"))?;
    let schema = fb_to_schema(schema);
    match schema.fields().iter().find(|field| stored_type(field.data_type()) != *field.data_type()) {
        None => Ok(Arc::new(schema)),
        Some(field) => {
            Err(format!("column \"{}\" has type {}, which tables don't keep", field.name(), field.data_type()))
        }
    }
}

fn read_head(bytes: &[u8], columns: usize) -> Result<Head, Wrong> {
    let mut reader = Reader(bytes);
    let chunk_rows = usize::try_from(reader.u64()?).ok().filter(|&rows| rows > 0 && rows <= u32::MAX as usize);
    let chunk_rows = chunk_rows.ok_or("chunks have no possible size")?;
    let mut order_by = Vec::new();
    for _ in 0..reader.count()? {
        let column = usize::try_from(reader.u64()?)
            .ok()
            .filter(|&column| column < columns)
            .ok_or("the order is by no column")?;
        let flags = reader.u8()?;
        order_by.push(SortKey { column, descending: flags & 1 != 0, nulls_first: flags & 2 != 0 });
    }
    let mut parts = Vec::new();
    for _ in 0..reader.count()? {
        let id = reader.u128()?;
        let key = reader.string()?.to_owned();
        parts.push(PartEntry { id, key, rows: reader.u64()?, chunks: reader.u64()?, size: reader.u64()? });
    }
    reader.end()?;
    Ok(Head { chunk_rows, order_by, parts })
}

fn read_dictionary(bytes: &[u8], data_type: &DataType) -> Result<Option<Ids>, Wrong> {
    let mut reader = Reader(bytes);
    if reader.u8()? == 0 {
        reader.end()?;
        return Ok(None);
    }
    if !matches!(data_type, DataType::Utf8View | DataType::BinaryView) {
        return Err(format!("a column of type {data_type} has a dictionary"));
    }
    let next_id = reader.u32()?;
    let has_ids = reader.u8()? != 0;
    let ids = if has_ids {
        let count = reader.count()?;
        Some((0..count).map(|_| reader.u32()).collect::<Result<Vec<_>, _>>()?)
    } else {
        None
    };
    let values = read_array(&mut reader, data_type)?;
    reader.end()?;
    let dictionary = Dictionary::new(values, ids, next_id);
    if dictionary.values().null_count() > 0
        || (1..dictionary.len()).any(|code| dictionary.value(code - 1) >= dictionary.value(code))
    {
        return Err("a dictionary is not sorted".to_owned());
    }
    if dictionary.ids().is_some_and(|ids| ids.len() != dictionary.len()) {
        return Err("a dictionary has more or fewer ids than values".to_owned());
    }
    let codes = match dictionary.ids() {
        None => None,
        Some(ids) => {
            let above = ids.iter().max().map_or(0, |&max| max as usize + 1);
            if above > IDS_FEW + ids.len() * IDS_PER_VALUE {
                return Err("a dictionary's ids are too far apart".to_owned());
            }
            let mut codes = vec![u32::MAX; above];
            for (code, &id) in ids.iter().enumerate() {
                codes[id as usize] = code as u32;
            }
            Some(codes)
        }
    };
    Ok(Some(Ids { dictionary: Arc::new(dictionary), codes }))
}

fn load_part(
    folder: &Path,
    entry: PartEntry,
    schema: &SchemaRef,
    dictionaries: &[Option<Ids>],
    chunk_rows: usize,
) -> Result<Part> {
    let path = folder.join(part_name(entry.id));
    let Some(mut file) = FrameReader::open(&path, *PART_MAGIC)? else {
        return Err(Error::corrupt(&path, "it is missing"));
    };
    if file.size() != entry.size {
        return Err(file.corrupt(format!("it has {} bytes, not {}", file.size(), entry.size)));
    }
    let mut chunks = Vec::new();
    let mut rows = 0u64;
    for _ in 0..entry.chunks {
        let frame = file.frame()?;
        let count = <[u8; 8]>::try_from(frame.as_slice())
            .map_err(|_| file.corrupt("a chunk doesn't say how many rows it has"))?;
        let count = usize::try_from(u64::from_le_bytes(count)).ok().filter(|&rows| rows > 0 && rows <= chunk_rows);
        let count = count.ok_or_else(|| file.corrupt("a chunk has too many rows, or none"))?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (field, ids) in schema.fields().iter().zip(dictionaries) {
            let frame = file.frame()?;
            let mut reader = Reader(&frame);
            let column = read_column(&mut reader, count, field.data_type(), ids.as_ref())
                .and_then(|column| reader.end().map(|()| column))
                .map_err(|reason| file.corrupt(reason))?;
            columns.push(column);
        }
        rows += count as u64;
        chunks.push(Arc::new(Chunk { rows: count, columns }));
    }
    file.end()?;
    if rows != entry.rows {
        return Err(file.corrupt(format!("it has {rows} rows, not {}", entry.rows)));
    }
    Ok(Part { key: entry.key, id: entry.id, rows, chunks })
}
