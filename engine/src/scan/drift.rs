//! What a query gets where a file's type is another than its table's: the same rules for the scan, which follows them, and
//! for SHOW DRIFT, which tells them.
//!
//! No difference fails a table: a query that doesn't ask for the column never notices. One that does gets the value as the
//! table declares it wherever there is one, and an error that names file and column at a value that has none.

use arrow::compute::can_cast_types;
use limnos_catalog::DataType;

use super::schema::arrow_type;

/// What happens to the values of a column that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// Every value of the file is one of the table.
    Widened,
    /// Every value becomes one of the table, not always the same one.
    Converted,
    /// The file has none.
    Null,
    /// The table has none.
    Ignored,
    /// A value that the table's type can't hold is an error when it is read.
    ValueError,
}

impl Resolution {
    /// As SHOW DRIFT says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Widened => "widened",
            Self::Converted => "converted",
            Self::Null => "null",
            Self::Ignored => "ignored",
            Self::ValueError => "value error",
        }
    }
}

/// The digits that an integer type may need before the point.
fn integer_digits(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::TinyInt => 3,
        DataType::SmallInt => 5,
        DataType::Int => 10,
        DataType::BigInt => 19,
        _ => return None,
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::String | DataType::Varchar(_) | DataType::Char(_) | DataType::Json)
}

/// What happens where `file` stands in a column declared `table`; `None` where they are the same to a query.
pub(crate) fn resolve(file: &DataType, table: &DataType) -> Option<(Resolution, String)> {
    use DataType as T;
    if file == table || (is_text(file) && is_text(table)) {
        return None;
    }
    if file.is_nested() || table.is_nested() {
        return nested(file, table);
    }
    let widened = |detail: &str| Some((Resolution::Widened, detail.to_owned()));
    let converted = |detail: &str| Some((Resolution::Converted, detail.to_owned()));
    let error = |detail: String| Some((Resolution::ValueError, detail));
    if let (Some(from), Some(to)) = (integer_digits(file), integer_digits(table)) {
        return match from < to {
            true => widened("Every value fits."),
            false => error(format!("A value beyond the range of {table} is an error.")),
        };
    }
    match (file, table) {
        (from, T::Decimal(precision, scale)) if let Some(digits) = integer_digits(from) => {
            match precision.saturating_sub(*scale) >= digits {
                true => widened("Every value fits."),
                false => {
                    error(format!("A value of more than {} digits is an error.", precision.saturating_sub(*scale)))
                }
            }
        }
        (T::TinyInt | T::SmallInt, T::Float)
        | (T::TinyInt | T::SmallInt | T::Int, T::Double)
        | (T::Float, T::Double) => widened("Every value fits."),
        (from, T::Float | T::Double) if integer_digits(from).is_some() => {
            converted("A large value is rounded to the nearest one that the type holds.")
        }
        (T::Double, T::Float) => converted("Values are rounded; one beyond the range becomes Infinity."),
        (T::Decimal(from, from_scale), T::Decimal(to, to_scale)) => {
            let fits = from - from_scale <= to - to_scale;
            match (fits, from_scale <= to_scale) {
                (true, true) => widened("Every value fits."),
                (true, false) => converted("Values are rounded to the table's scale."),
                (false, _) => {
                    error(format!("A value of more than {} digits before the point is an error.", to - to_scale))
                }
            }
        }
        (T::Decimal(..), T::Float | T::Double) => {
            converted("Values are rounded to the nearest one that the type holds.")
        }
        (T::Float | T::Double, T::Decimal(..)) => {
            error(format!("Values are rounded; one beyond the range of {table} is an error."))
        }
        (T::Date, T::Timestamp) => widened("A day is its midnight."),
        (T::Timestamp | T::TimestampTz, T::Date) => converted("The time of day is cut off."),
        (T::Timestamp, T::TimestampTz) => converted("Times are taken for UTC."),
        (T::TimestampTz, T::Timestamp) => converted("Times are those of UTC."),
        (from, to) if is_text(to) && from != &T::Binary => converted("Values become their text."),
        (from, to) if is_text(from) && to == &T::Binary => converted("Text becomes its bytes."),
        (from, to) if is_text(from) => error(format!("Text that is not a valid {to} is an error.")),
        (T::Binary, to) if is_text(to) => error("Bytes that are not UTF-8 are an error.".to_owned()),
        (from, T::Boolean) if integer_digits(from).is_some() || matches!(from, T::Float | T::Double) => {
            converted("0 is false, everything else is true.")
        }
        (T::Boolean, to) if integer_digits(to).is_some() || matches!(to, T::Float | T::Double) => {
            converted("false is 0, true is 1.")
        }
        (from, to) if can_cast_types(&arrow_type(from), &arrow_type(to)) => {
            error(format!("A value that is not a valid {to} is an error."))
        }
        (from, to) => error(format!("No {from} is a {to}: every value is an error, NULL stays NULL.")),
    }
}

/// Lists, maps and structs: by what is inside.
fn nested(file: &DataType, table: &DataType) -> Option<(Resolution, String)> {
    use DataType as T;
    let mut found: Vec<(Resolution, String)> = Vec::new();
    match (file, table) {
        (T::Array(from), T::Array(to)) => found.extend(resolve(from, to)),
        (T::Map(from_key, from), T::Map(to_key, to)) => {
            found.extend(resolve(from_key, to_key));
            found.extend(resolve(from, to));
        }
        (T::Struct(from), T::Struct(to)) => {
            for field in to {
                let name = field.name.to_lowercase();
                let own = from.iter().find(|own| own.name == field.name);
                match own.or_else(|| from.iter().find(|own| own.name.to_lowercase() == name)) {
                    None => found.push((Resolution::Null, format!("Field \"{}\" is NULL.", field.name))),
                    Some(own) => found.extend(
                        resolve(&own.data_type, &field.data_type)
                            .map(|(resolution, detail)| (resolution, format!("Field \"{}\": {detail}", field.name))),
                    ),
                }
            }
            for own in from {
                if !to.iter().any(|field| field.name.to_lowercase() == own.name.to_lowercase()) {
                    found.push((Resolution::Ignored, format!("Field \"{}\" is not read.", own.name)));
                }
            }
        }
        _ => {
            return Some((
                Resolution::ValueError,
                format!("No {file} is a {table}: every value is an error, NULL stays NULL."),
            ));
        }
    }
    // The worst of what is inside is told of the whole.
    let rank = |resolution: Resolution| match resolution {
        Resolution::Widened => 0,
        Resolution::Ignored => 1,
        Resolution::Null => 2,
        Resolution::Converted => 3,
        Resolution::ValueError => 4,
    };
    let worst = found.iter().map(|(resolution, _)| *resolution).max_by_key(|resolution| rank(*resolution))?;
    let details: Vec<String> = found.into_iter().map(|(_, detail)| detail).collect();
    Some((worst, details.join(" ")))
}
