//! [`DataType`]: a column's type in Hive's words, with the few that PostgreSQL adds.

use std::fmt;
use std::str::FromStr;

/// A column type. `Display` writes it as Hive DDL does (`array<struct<id:bigint>>`), [`FromStr`] reads that and the
/// synonyms of PostgreSQL and Athena (`integer`, `text`, `double precision`, `timestamp with time zone`, ...).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// Precision 1 to 38 and scale.
    Decimal(u8, u8),
    String,
    /// At most n characters.
    Varchar(u32),
    /// Exactly n characters, padded.
    Char(u32),
    Binary,
    Date,
    /// Time of day, microseconds.
    Time,
    /// Date and time without zone, microseconds.
    Timestamp,
    /// An instant, microseconds, shown in the session's zone.
    TimestampTz,
    /// JSON text.
    Json,
    Array(Box<DataType>),
    Map(Box<DataType>, Box<DataType>),
    Struct(Vec<StructField>),
}

/// A field of a [`DataType::Struct`]. Its name keeps its spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    pub name: String,
    pub data_type: DataType,
}

impl fmt::Display for DataType {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for DataType {
    type Err = crate::Error;

    fn from_str(_text: &str) -> Result<Self, Self::Err> {
        todo!()
    }
}
