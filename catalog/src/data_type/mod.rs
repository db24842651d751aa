//! [`DataType`]: a column's type in Hive's words, with the few that PostgreSQL adds.
//!
//! Text comes in through [`FromStr`] (in `parse`) and goes out through `Display`; what goes out always comes in again
//! as the same type, which is how types are kept on disk.

mod parse;

use std::fmt;
use std::str::FromStr;

/// The greatest precision of a decimal.
pub const DECIMAL_PRECISION_MAX: u8 = 38;

/// How deep types may nest: what reads, prints or drops a type recurses that far, so it must stay small beside a stack.
pub const TYPE_DEPTH_MAX: usize = 64;

/// The greatest n of `varchar(n)` and `char(n)`: PostgreSQL's limit, which is above Hive's.
pub const CHARACTER_LENGTH_MAX: u32 = 10_485_760;

/// A column type. `Display` writes it as Hive DDL does (`array<struct<id:bigint>>`), [`FromStr`] reads that and the
/// synonyms of PostgreSQL and Athena (`integer`, `text`, `double precision`, `timestamp with time zone`, ...).
///
/// Where the dialects disagree on a bare word, Hive wins, because table definitions are Hive DDL: `float` has 32 bits,
/// `decimal` is `decimal(10,0)`. Hive has no `numeric` without a precision of its own, and PostgreSQL's holds fractions, so
/// that one is `decimal(38,9)`: cutting off the fractions would be worse than a wide type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// True or false.
    Boolean,
    /// 8-bit signed integer.
    TinyInt,
    /// 16-bit signed integer.
    SmallInt,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    BigInt,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// Precision 1 to 38 and scale.
    Decimal(u8, u8),
    /// Text of any length.
    String,
    /// At most n characters.
    Varchar(u32),
    /// Exactly n characters, padded.
    Char(u32),
    /// Bytes.
    Binary,
    /// A day, without zone.
    Date,
    /// Time of day, microseconds.
    Time,
    /// Date and time without zone, microseconds.
    Timestamp,
    /// An instant, microseconds, shown in the session's zone.
    TimestampTz,
    /// JSON text.
    Json,
    /// A list of values of one type.
    Array(Box<DataType>),
    /// Keys and values.
    Map(Box<DataType>, Box<DataType>),
    /// Named fields, in order.
    Struct(Vec<StructField>),
}

/// A field of a [`DataType::Struct`]. Its name keeps its spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    /// May hold any character.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
}

impl StructField {
    /// A field called `name`.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type }
    }
}

impl DataType {
    /// Whether it is an array, a map or a struct.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Map(..) | Self::Struct(_))
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Varchar(length) => write!(f, "varchar({length})"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamp with time zone"),
            Self::Json => f.write_str("json"),
            Self::Array(element) => write!(f, "array<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{}", FieldName(&field.name), field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

/// Writes a field's name so that it reads back: in backticks unless it is a plain word.
struct FieldName<'a>(&'a str);

impl fmt::Display for FieldName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain && !self.0.is_empty() { f.write_str(self.0) } else { write!(f, "`{}`", self.0.replace('`', "``")) }
    }
}

impl FromStr for DataType {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::parse(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_type() -> impl Strategy<Value = DataType> {
        let leaf = prop_oneof![
            prop::sample::select(vec![
                DataType::Boolean,
                DataType::TinyInt,
                DataType::SmallInt,
                DataType::Int,
                DataType::BigInt,
                DataType::Float,
                DataType::Double,
                DataType::String,
                DataType::Binary,
                DataType::Date,
                DataType::Time,
                DataType::Timestamp,
                DataType::TimestampTz,
                DataType::Json,
            ]),
            (1..=DECIMAL_PRECISION_MAX)
                .prop_flat_map(|precision| (Just(precision), 0..=precision))
                .prop_map(|(precision, scale)| DataType::Decimal(precision, scale)),
            (1..=CHARACTER_LENGTH_MAX).prop_map(DataType::Varchar),
            (1..=CHARACTER_LENGTH_MAX).prop_map(DataType::Char),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                inner.clone().prop_map(|element| DataType::Array(Box::new(element))),
                (inner.clone(), inner.clone()).prop_map(|(key, value)| DataType::Map(Box::new(key), Box::new(value))),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|fields| {
                    DataType::Struct(
                        fields.into_iter().map(|(name, data_type)| StructField { name, data_type }).collect(),
                    )
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(data_type in any_type()) {
            let text = data_type.to_string();
            prop_assert_eq!(text.parse::<DataType>().map_err(|error| error.to_string()), Ok(data_type.clone()));
            // Struct names keep their case, so only types without them may be shouted.
            if !text.contains("struct") {
                prop_assert_eq!(text.to_uppercase().parse::<DataType>().map_err(|error| error.to_string()), Ok(data_type));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[a-z<>(),:`\"\\[\\] 0-9]{0,60}|(array<|map\\(|struct<a:|row\\(\"){0,100}int") {
            if let Ok(data_type) = text.parse::<DataType>() {
                prop_assert_eq!(data_type.to_string().parse::<DataType>().map_err(|error| error.to_string()), Ok(data_type));
            }
        }
    }

    #[test]
    fn displays_as_hive_ddl() {
        let data_type = DataType::Array(Box::new(DataType::Struct(vec![
            StructField::new("id", DataType::BigInt),
            StructField::new("full name", DataType::Varchar(10)),
            StructField::new("tick`s", DataType::Decimal(15, 2)),
            StructField::new("", DataType::TimestampTz),
        ])));
        assert_eq!(
            data_type.to_string(),
            "array<struct<id:bigint,`full name`:varchar(10),`tick``s`:decimal(15,2),``:timestamp with time zone>>"
        );
        assert_eq!(DataType::Map(Box::new(DataType::String), Box::new(DataType::Int)).to_string(), "map<string,int>");
    }
}
