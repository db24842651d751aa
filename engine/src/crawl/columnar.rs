//! Parquet, ORC, Avro and Arrow files: they say what their columns are; several files' are merged by name.
//!
//! A Parquet footer is checked for its magic and length before the reader sees it: eight hostile bytes would panic it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use limnos_catalog::{Column, DataType, FileFormat, StructField};
use object_store::{ObjectMeta, ObjectStore};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaDataReader;
use serde::{Deserialize, Serialize};

use super::name::column_names;
use super::{Schema, too_many_columns};
use crate::scan::format::arrow_ipc::{guarded, read_footer};
use crate::scan::format::input::{corrupted, read_range};
use crate::scan::format::{avro, orc};
use crate::scan::schema::catalog_field_type;
use crate::{Result, limits};

/// The footer's length and the magic at the end.
const TAIL_BYTES: u64 = 8;

/// Read from a file's end in the hope that it holds the whole footer.
const GUESS_BYTES: u64 = 64 << 10;

/// Largest footer that is read to learn a schema.
const FOOTER_BYTES_MAX: u64 = 256 << 20;

/// What was seen in one file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    columns: Vec<(String, TypeText)>,
    remarks: Vec<String>,
}

/// A type, remembered as the text that it is displayed as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct TypeText(DataType);

impl TryFrom<String> for TypeText {
    type Error = limnos_catalog::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<TypeText> for String {
    fn from(text: TypeText) -> Self {
        text.0.to_string()
    }
}

/// Reads the footer of `object`.
pub(super) async fn see(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    format: FileFormat,
) -> Result<Seen> {
    let file_schema = match format {
        FileFormat::Parquet => parquet_schema(store, object, name).await?,
        FileFormat::Orc => orc::read_schema(store, object, name).await?,
        FileFormat::Avro => avro::read_schema(store, object, name).await?,
        _ => read_footer(store, object, name).await?.schema,
    };
    if file_schema.fields().len() > limits::INFERRED_COLUMNS_MAX {
        return Err(too_many_columns(file_schema.fields().len()));
    }
    let mut seen = Seen::default();
    for field in file_schema.fields() {
        match catalog_field_type(field) {
            Ok(data_type) => seen.columns.push((field.name().clone(), TypeText(data_type))),
            Err(error) => seen.remarks.push(format!("column \"{}\" is left out: {error}", field.name())),
        }
    }
    Ok(seen)
}

/// The columns of all files together.
pub(super) fn merge(files: &[&Seen]) -> Result<Schema> {
    let mut merged: Vec<(String, DataType)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut schema = Schema::default();
    for file in files {
        schema.remarks.extend(file.remarks.iter().cloned());
        for (name, TypeText(data_type)) in &file.columns {
            let Some(place) = places.get(&name.to_ascii_lowercase()) else {
                places.insert(name.to_ascii_lowercase(), merged.len());
                merged.push((name.clone(), data_type.clone()));
                continue;
            };
            let known = &mut merged[*place].1;
            if known != data_type {
                let wider = widen(known, data_type);
                schema.remarks.push(format!(
                    "column \"{name}\" is {known} in some files and {data_type} in others: {wider} was taken"
                ));
                *known = wider;
            }
        }
    }
    if merged.len() > limits::INFERRED_COLUMNS_MAX {
        return Err(too_many_columns(merged.len()));
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
pub(crate) fn widen(left: &DataType, right: &DataType) -> DataType {
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
