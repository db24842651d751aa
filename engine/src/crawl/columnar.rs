//! Parquet and Arrow files: their footers say what their columns are; several files' are merged by name.
//!
//! A Parquet footer is checked for its magic and length before the reader sees it: eight hostile bytes would panic it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use limnos_catalog::{Column, DataType, FileFormat, StructField};
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaDataReader;

use super::name::column_names;
use super::{Schema, too_many_columns};
use crate::scan::format::arrow_ipc::{guarded, read_footer};
use crate::scan::format::input::{corrupted, read_range};
use crate::scan::schema::catalog_field_type;
use crate::{Result, limits};

/// The footer's length and the magic at the end.
const TAIL_BYTES: u64 = 8;

/// Read from a file's end in the hope that it holds the whole footer.
const GUESS_BYTES: u64 = 64 << 10;

/// Largest footer that is read to learn a schema.
const FOOTER_BYTES_MAX: u64 = 256 << 20;

/// The columns of all `files`.
pub(super) async fn infer(
    store: &Arc<dyn ObjectStore>,
    files: &[(&ObjectMeta, String)],
    format: FileFormat,
) -> Result<Schema> {
    let mut merged: Vec<(String, DataType)> = Vec::new();
    let mut schema = Schema::default();
    for (object, name) in files {
        let file_schema = match format {
            FileFormat::Parquet => parquet_schema(store, object, name).await?,
            _ => read_footer(store, object, name).await?.schema,
        };
        if file_schema.fields().len() > limits::INFERRED_COLUMNS_MAX {
            return Err(too_many_columns(file_schema.fields().len()));
        }
        for field in file_schema.fields() {
            let data_type = match catalog_field_type(field) {
                Ok(data_type) => data_type,
                Err(error) => {
                    schema.remarks.push(format!("column \"{}\" is left out: {error}", field.name()));
                    continue;
                }
            };
            match merged.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(field.name())) {
                None => merged.push((field.name().clone(), data_type)),
                Some((_, known)) if *known == data_type => (),
                Some((_, known)) => {
                    let wider = widen(known, &data_type);
                    schema.remarks.push(format!(
                        "column \"{}\" is {known} in some files and {data_type} in others: {wider} was taken",
                        field.name()
                    ));
                    *known = wider;
                }
            }
        }
    }
    schema.remarks.dedup();
    let names = column_names(merged.iter().map(|(name, _)| name.as_str()));
    schema.columns = merged
        .iter()
        .zip(names)
        .map(|((source, data_type), (name, _))| {
            // Upper case alone is bridged when columns are matched.
            let source_name = (!name.eq_ignore_ascii_case(source)).then(|| source.clone());
            Column { source_name, ..Column::new(name, data_type.clone()) }
        })
        .collect();
    Ok(schema)
}

/// The narrowest type that holds the values of both.
fn widen(left: &DataType, right: &DataType) -> DataType {
    use DataType as T;
    let rank = |data_type: &T| match data_type {
        T::TinyInt => Some(0),
        T::SmallInt => Some(1),
        T::Int => Some(2),
        T::BigInt => Some(3),
        T::Float => Some(4),
        T::Double => Some(5),
        _ => None,
    };
    match (left, right) {
        _ if left == right => left.clone(),
        (T::Decimal(p1, s1), T::Decimal(p2, s2)) => {
            let scale = *s1.max(s2);
            T::Decimal((p1 - s1).max(p2 - s2).saturating_add(scale).min(38), scale)
        }
        (T::Decimal(..), other) | (other, T::Decimal(..)) if rank(other).is_some() => T::Double,
        (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => T::Timestamp,
        (T::Date | T::Timestamp, T::TimestampTz) | (T::TimestampTz, T::Date | T::Timestamp) => T::TimestampTz,
        (T::Array(left), T::Array(right)) => T::Array(Box::new(widen(left, right))),
        (T::Struct(left), T::Struct(right)) => {
            let mut fields: Vec<StructField> = left.clone();
            for field in right {
                match fields.iter_mut().find(|known| known.name == field.name) {
                    Some(known) => known.data_type = widen(&known.data_type, &field.data_type),
                    None => fields.push(field.clone()),
                }
            }
            T::Struct(fields)
        }
        _ => match (rank(left), rank(right)) {
            // A 32-bit float can't hold every 32-bit integer.
            (Some(a), Some(b)) if a.max(b) == 4 && a.min(b) >= 2 => T::Double,
            (Some(a), Some(b)) => {
                if a > b {
                    left.clone()
                } else {
                    right.clone()
                }
            }
            _ => T::String,
        },
    }
}

async fn parquet_schema(store: &Arc<dyn ObjectStore>, object: &ObjectMeta, name: &str) -> Result<SchemaRef> {
    let size = object.size;
    if size < 4 + TAIL_BYTES {
        return Err(corrupted(name, "it is too short for a Parquet file"));
    }
    let mut tail_start = size.saturating_sub(GUESS_BYTES);
    let mut tail = read_range(store, object, name, tail_start..size).await?;
    let end = tail.len() - TAIL_BYTES as usize;
    match &tail[end + 4..] {
        b"PAR1" => (),
        b"PARE" => return Err(corrupted(name, "its footer is encrypted")),
        _ => {
            return Err(corrupted(name, "the magic number at the end of a Parquet file is missing")
                .with_hint("It may be cut off."));
        }
    }
    let length = u64::from(u32::from_le_bytes([tail[end], tail[end + 1], tail[end + 2], tail[end + 3]]));
    if length == 0 || length > size - TAIL_BYTES - 4 || length > FOOTER_BYTES_MAX {
        return Err(corrupted(name, "the length of its footer can't be true"));
    }
    let start = size - TAIL_BYTES - length;
    if start < tail_start {
        tail = read_range(store, object, name, start..size).await?;
        tail_start = start;
    }
    let footer = tail.slice((start - tail_start) as usize..tail.len() - TAIL_BYTES as usize);
    guarded(name, || {
        let invalid =
            |error: parquet::errors::ParquetError| corrupted(name, &format!("its footer is invalid ({error})"));
        let metadata = ParquetMetaDataReader::decode_metadata(&footer).map_err(invalid)?;
        let file = metadata.file_metadata();
        parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata()).map(Arc::new).map_err(invalid)
    })
}
