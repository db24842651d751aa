//! Parameters on their way to PostgreSQL and cells on their way back.

use std::error::Error as StdError;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::connection::Value;
use crate::{Error, Result};

/// A parameter that travels to the connection's thread.
#[derive(Debug, Clone)]
pub(super) enum Parameter {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// What is said of a parameter's type when a statement is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Nothing: PostgreSQL finds out from where it is used.
    Unknown,
    Int,
    Text,
    Blob,
}

impl Kind {
    pub(super) fn type_(self) -> Type {
        match self {
            Self::Unknown => Type::UNKNOWN,
            Self::Int => Type::INT8,
            Self::Text => Type::TEXT,
            Self::Blob => Type::BYTEA,
        }
    }
}

impl Parameter {
    /// # Errors
    /// [`Error::Invalid`] for a text that PostgreSQL can't keep.
    pub(super) fn new(value: Value<'_>) -> Result<Self> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Int(number) => Ok(Self::Int(number)),
            Value::Text(text) if text.contains('\0') => Err(Error::Invalid {
                message: format!(
                    "text {:?} must not hold the character '\\0'",
                    text.chars().take(64).collect::<String>()
                ),
                hint: Some("A catalog in PostgreSQL cannot keep it.".to_owned()),
            }),
            Value::Text(text) => Ok(Self::Text(text.to_owned())),
            Value::Blob(bytes) => Ok(Self::Blob(bytes.to_owned())),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Unknown,
            Self::Int(_) => Kind::Int,
            Self::Text(_) => Kind::Text,
            Self::Blob(_) => Kind::Blob,
        }
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, type_: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *type_ == Type::INT4 => i32::try_from(*number)?.to_sql(type_, out),
            Self::Int(number) => number.to_sql(type_, out),
            Self::Text(text) => text.to_sql(type_, out),
            Self::Blob(bytes) => bytes.to_sql(type_, out),
        }
    }

    fn accepts(type_: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::TEXT, Type::BYTEA, Type::UNKNOWN].contains(type_)
    }

    to_sql_checked!();
}

/// The cells of a row.
pub(super) fn cells(row: &Row) -> Result<Vec<Value<'_>>> {
    (0..row.len()).map(|index| cell(row, index)).collect()
}

fn cell(row: &Row, index: usize) -> Result<Value<'_>> {
    fn get<'a, T: FromSql<'a>>(row: &'a Row, index: usize, value: impl Fn(T) -> Value<'a>) -> Result<Value<'a>> {
        let found: Option<T> = row.try_get(index).map_err(|error| Error::Store {
            message: super::failure::explain(&error),
            source: Some(Box::new(error)),
        })?;
        Ok(found.map_or(Value::Null, value))
    }
    match *row.columns()[index].type_() {
        Type::INT8 => get(row, index, Value::Int),
        Type::INT4 => get(row, index, |number: i32| Value::Int(number.into())),
        Type::BOOL => get(row, index, |yes: bool| Value::Int(yes.into())),
        Type::BYTEA => get(row, index, Value::Blob),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => get(row, index, Value::Text),
        ref other => Err(Error::Store { message: format!("a cell has the type {other}"), source: None }),
    }
}
