//! Catalog types <-> Arrow types: what a declared column is while a query runs, and what a file's own column is declared as.
//!
//! All columns are nullable: files come and go, and a column that one of them lacks reads as NULL.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use limnos_catalog::{Column, DataType, StructField, TableDefinition};

use crate::{Error, ErrorCode, Result};

/// Field metadata that tells the wire encoders a PostgreSQL type which Arrow has no type for.
pub const PG_TYPE_METADATA: &str = "pg_type";

/// Field metadata beside [`PG_TYPE_METADATA`]: the type's modifier, as `pg_attribute.atttypmod` has it (`varchar(10)` is 14).
pub const PG_MODIFIER_METADATA: &str = "pg_typmod";

/// Field metadata that tells a column's name inside the files ([`Column::source_name`]), where it has another one there.
pub const SOURCE_NAME_METADATA: &str = "limnos.source_name";

/// The Arrow type that values of `data_type` have while a query runs.
pub fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Boolean => ArrowType::Boolean,
        DataType::TinyInt => ArrowType::Int8,
        DataType::SmallInt => ArrowType::Int16,
        DataType::Int => ArrowType::Int32,
        DataType::BigInt => ArrowType::Int64,
        DataType::Float => ArrowType::Float32,
        DataType::Double => ArrowType::Float64,
        DataType::Decimal(precision, scale) => ArrowType::Decimal128(*precision, *scale as i8),
        DataType::String | DataType::Varchar(_) | DataType::Char(_) | DataType::Json => ArrowType::Utf8View,
        DataType::Binary => ArrowType::BinaryView,
        DataType::Date => ArrowType::Date32,
        DataType::Time => ArrowType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        DataType::TimestampTz => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Array(item) => ArrowType::List(Arc::new(arrow_field(Field::LIST_FIELD_DEFAULT_NAME, item))),
        DataType::Map(key, value) => {
            let key = Field::new("keys", arrow_type(key), false);
            let entries = ArrowType::Struct(vec![Arc::new(key), Arc::new(arrow_field("values", value))].into());
            ArrowType::Map(Arc::new(Field::new("entries", entries, false)), false)
        }
        DataType::Struct(fields) => {
            ArrowType::Struct(fields.iter().map(|field| Arc::new(arrow_field(&field.name, &field.data_type))).collect())
        }
    }
}

/// A nullable Arrow field; what Arrow has no type for is marked in its metadata.
pub fn arrow_field(name: &str, data_type: &DataType) -> Field {
    let field = Field::new(name, arrow_type(data_type), true);
    match data_type {
        DataType::Json => label(field, "json", None),
        DataType::Varchar(length) => label(field, "varchar", Some(*length)),
        DataType::Char(length) => label(field, "bpchar", Some(*length)),
        _ => field,
    }
}

/// `field`, told to be of a type that Arrow has no type for; `length` is that of `varchar(n)` and `char(n)`.
pub(crate) fn label(field: Field, name: &str, length: Option<u32>) -> Field {
    let mut metadata = HashMap::from([(PG_TYPE_METADATA.to_owned(), name.to_owned())]);
    // VARHDRSZ, as everywhere in PostgreSQL.
    if let Some(modifier) = length.and_then(|length| i32::try_from(length).ok()?.checked_add(4)) {
        metadata.insert(PG_MODIFIER_METADATA.to_owned(), modifier.to_string());
    }
    field.with_metadata(metadata)
}

/// The modifier that a field is labelled with; -1 for none.
pub fn type_modifier(field: &Field) -> i32 {
    field.metadata().get(PG_MODIFIER_METADATA).and_then(|text| text.parse().ok()).unwrap_or(-1)
}

/// The length of a field that is labelled `varchar(n)` or `char(n)`.
pub(crate) fn text_length(field: &Field) -> Option<usize> {
    usize::try_from(type_modifier(field).checked_sub(4)?).ok()
}

/// The Arrow schema of `columns`, in order.
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| {
        let mut field = arrow_field(&column.name, &column.data_type);
        if let Some(source_name) = &column.source_name {
            field.metadata_mut().insert(SOURCE_NAME_METADATA.to_owned(), source_name.clone());
        }
        field
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The schema of the columns inside a table's files, and its partition keys as fields: what a
/// [`datafusion::datasource::table_schema::TableSchema`] is made of.
pub fn table_schema(definition: &TableDefinition) -> (SchemaRef, Vec<FieldRef>) {
    let keys = definition.partition_keys.iter().map(|key| Arc::new(arrow_field(&key.name, &key.data_type))).collect();
    (arrow_schema(&definition.columns), keys)
}

/// The catalog type that holds every value of a file's Arrow type.
///
/// Unsigned integers take the next wider signed type, `uint64` takes `decimal(20,0)`. Dictionaries and run-end encodings
/// are their values. Decimals of more than 38 digits become 38 digits wide and a value that doesn't fit is an error when
/// it is read. Intervals become their text, durations their count of units.
///
/// # Errors
/// [`ErrorCode::FeatureNotSupported`] for a union.
pub fn catalog_type(arrow: &ArrowType) -> Result<DataType> {
    Ok(match arrow {
        ArrowType::Null | ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View | ArrowType::Interval(_) => {
            DataType::String
        }
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::Int8 => DataType::TinyInt,
        ArrowType::Int16 | ArrowType::UInt8 => DataType::SmallInt,
        ArrowType::Int32 | ArrowType::UInt16 => DataType::Int,
        ArrowType::Int64 | ArrowType::UInt32 | ArrowType::Duration(_) => DataType::BigInt,
        ArrowType::UInt64 => DataType::Decimal(20, 0),
        ArrowType::Float16 | ArrowType::Float32 => DataType::Float,
        ArrowType::Float64 => DataType::Double,
        ArrowType::Decimal32(precision, scale)
        | ArrowType::Decimal64(precision, scale)
        | ArrowType::Decimal128(precision, scale)
        | ArrowType::Decimal256(precision, scale) => decimal_type(*precision, *scale),
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView | ArrowType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(_, None) => DataType::Timestamp,
        ArrowType::Timestamp(_, Some(_)) => DataType::TimestampTz,
        ArrowType::List(item)
        | ArrowType::LargeList(item)
        | ArrowType::ListView(item)
        | ArrowType::LargeListView(item)
        | ArrowType::FixedSizeList(item, _) => DataType::Array(Box::new(catalog_field_type(item)?)),
        ArrowType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| Ok(StructField { name: field.name().clone(), data_type: catalog_field_type(field)? }))
                .collect::<Result<_>>()?,
        ),
        ArrowType::Map(entries, _) => match entries.data_type() {
            ArrowType::Struct(fields) if fields.len() == 2 => {
                DataType::Map(Box::new(catalog_field_type(&fields[0])?), Box::new(catalog_field_type(&fields[1])?))
            }
            other => return Err(unsupported(other)),
        },
        ArrowType::Dictionary(_, value) => catalog_type(value)?,
        ArrowType::RunEndEncoded(_, values) => catalog_field_type(values)?,
        ArrowType::Union(..) => return Err(unsupported(arrow)),
    })
}

/// Like [`catalog_type`], knowing the fields that [`arrow_field`] or Arrow's extension names mark as JSON.
///
/// # Errors
/// As [`catalog_type`].
pub fn catalog_field_type(field: &Field) -> Result<DataType> {
    let metadata = field.metadata();
    let label = metadata.get(PG_TYPE_METADATA).map(String::as_str);
    let is_json = matches!(label, Some("json" | "jsonb"))
        || metadata.get("ARROW:extension:name").is_some_and(|name| name == "arrow.json");
    let length = text_length(field).and_then(|length| u32::try_from(length).ok());
    Ok(match (catalog_type(field.data_type())?, label, length) {
        (DataType::String, ..) if is_json => DataType::Json,
        (DataType::String, Some("varchar"), Some(length)) => DataType::Varchar(length),
        (DataType::String, Some("bpchar"), Some(length)) => DataType::Char(length),
        (data_type, ..) => data_type,
    })
}

fn decimal_type(precision: u8, scale: i8) -> DataType {
    // A negative scale means trailing zeros before the point; Hive has no such type, so they become digits.
    let integer_digits = i16::from(precision) - i16::from(scale);
    let scale = scale.clamp(0, 38) as u8;
    DataType::Decimal((integer_digits + i16::from(scale)).clamp(1, 38) as u8, scale)
}

fn unsupported(arrow: &ArrowType) -> Error {
    Error::new(ErrorCode::FeatureNotSupported, format!("type {arrow} is not supported"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn declared_types_survive_the_way_to_arrow_and_back() {
        let nested = DataType::Struct(vec![
            StructField { name: "Id".into(), data_type: DataType::BigInt },
            StructField { name: "tags".into(), data_type: DataType::Array(Box::new(DataType::Json)) },
            StructField {
                name: "m".into(),
                data_type: DataType::Map(Box::new(DataType::String), Box::new(DataType::Double)),
            },
        ]);
        for data_type in [
            DataType::Boolean,
            DataType::TinyInt,
            DataType::SmallInt,
            DataType::Int,
            DataType::BigInt,
            DataType::Float,
            DataType::Double,
            DataType::Decimal(12, 2),
            DataType::String,
            DataType::Binary,
            DataType::Date,
            DataType::Time,
            DataType::Timestamp,
            DataType::TimestampTz,
            DataType::Json,
            nested,
        ] {
            let field = arrow_field("c", &data_type);
            assert!(field.is_nullable());
            assert_eq!(catalog_field_type(&field).unwrap(), data_type);
        }
    }

    #[test]
    fn foreign_types_widen() {
        for (arrow, expected) in [
            (ArrowType::UInt8, DataType::SmallInt),
            (ArrowType::UInt16, DataType::Int),
            (ArrowType::UInt32, DataType::BigInt),
            (ArrowType::UInt64, DataType::Decimal(20, 0)),
            (ArrowType::Decimal256(50, 10), DataType::Decimal(38, 10)),
            (ArrowType::Decimal128(5, -2), DataType::Decimal(7, 0)),
            (ArrowType::Dictionary(Box::new(ArrowType::Int8), Box::new(ArrowType::Utf8)), DataType::String),
            (ArrowType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())), DataType::TimestampTz),
            (ArrowType::FixedSizeBinary(16), DataType::Binary),
            (ArrowType::Null, DataType::String),
        ] {
            assert_eq!(catalog_type(&arrow).unwrap(), expected, "{arrow}");
        }
    }
}
