//! [`TypeNames`]: types that PostgreSQL has and Arrow has not. Their values are text, labelled with the type's name
//! ([`crate::scan::schema::PG_TYPE_METADATA`]), which a cast's target carries and a column keeps on its way to the client.

use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{DataType, TimezoneInfo};

use super::constant::length;
use super::pg_catalog::folded_type_name;
use crate::scan::schema::label;

/// The longest `varchar(n)`, as in PostgreSQL.
const LENGTH_MAX: u32 = 10_485_760;

/// See the module.
#[derive(Debug)]
pub(crate) struct TypeNames;

impl TypePlanner for TypeNames {
    fn plan_type_field(&self, sql_type: &DataType) -> Result<Option<FieldRef>> {
        let (name, length) = match sql_type {
            DataType::Varchar(characters)
            | DataType::CharacterVarying(characters)
            | DataType::CharVarying(characters)
            | DataType::Nvarchar(characters) => ("varchar", length(characters.as_ref())),
            DataType::Char(characters) | DataType::Character(characters) => {
                // Without a length it is one character.
                ("bpchar", length(characters.as_ref()).or(Some(1)))
            }
            DataType::Uuid => ("uuid", None),
            DataType::JSON => ("json", None),
            DataType::JSONB => ("jsonb", None),
            DataType::Time(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => ("timetz", None),
            DataType::Custom(..) => match folded_type_name(sql_type).as_deref() {
                Some("name") => ("name", None),
                Some("\"char\"") => ("char", None),
                Some("bpchar") => ("bpchar", None),
                _ => return Ok(None),
            },
            // A label ends here: the field has a name, so the cast doesn't take over what it casts from.
            DataType::Text => return Ok(Some(Arc::new(Field::new("text", ArrowType::Utf8View, true)))),
            _ => return Ok(None),
        };
        if let Some(length) = length.filter(|length| !(1..=LENGTH_MAX).contains(length)) {
            let shown = if name == "bpchar" { "char" } else { name };
            let message = if length == 0 {
                format!("length for type {shown} must be at least 1")
            } else {
                format!("length for type {shown} cannot exceed {LENGTH_MAX}")
            };
            let error = crate::Error::new(crate::ErrorCode::InvalidParameterValue, message);
            return Err(datafusion::error::DataFusionError::External(Box::new(error)));
        }
        Ok(Some(Arc::new(label(Field::new(name, ArrowType::Utf8View, true), name, length))))
    }
}
