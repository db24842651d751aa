//! The types of a file's records: the JSON in its header -> [`AvroType`]s, with what they are called resolved.
//!
//! A logical type that doesn't fit what it is written on is none, as the specification has it.

use std::collections::HashMap;
use std::sync::Arc;

use limnos_catalog::{DataType, StructField};
use serde_json::{Map, Value};

use super::{Decoded, Fault};

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// Types in one schema, those that are named in several places counted in each.
const TYPES_MAX: usize = 100_000;

/// How a value is written, and what it means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AvroType {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Arc<[String]>),
    Array(Box<AvroType>),
    Map(Box<AvroType>),
    Record(Vec<(String, AvroType)>),
    Union(Vec<AvroType>),
    Date,
    /// As `int`.
    TimeMillis,
    TimeMicros,
    Timestamp {
        unit: Unit,
        /// A moment, else what a clock on the wall shows.
        is_utc: bool,
    },
    Decimal {
        precision: u8,
        scale: u8,
        /// Of how many bytes it is, if it is `fixed`.
        size: Option<usize>,
    },
    /// Sixteen bytes; as text it is just a text.
    Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl AvroType {
    /// The catalog's type for its values; `None` for a union of several types.
    pub(super) fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Null | Self::Text | Self::Enum(_) | Self::Uuid => DataType::String,
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int,
            Self::Long => DataType::BigInt,
            Self::Float => DataType::Float,
            Self::Double => DataType::Double,
            Self::Bytes | Self::Fixed(_) => DataType::Binary,
            Self::Array(item) => DataType::Array(Box::new(item.data_type()?)),
            Self::Map(value) => DataType::Map(Box::new(DataType::String), Box::new(value.data_type()?)),
            Self::Record(fields) => {
                let field = |(name, avro): &(String, Self)| {
                    Some(StructField { name: name.clone(), data_type: avro.data_type()? })
                };
                DataType::Struct(fields.iter().map(field).collect::<Option<_>>()?)
            }
            Self::Union(branches) => {
                let mut values = branches.iter().filter(|branch| **branch != Self::Null);
                match (values.next(), values.next()) {
                    (None, _) => DataType::String,
                    (Some(value), None) => value.data_type()?,
                    (Some(_), Some(_)) => return None,
                }
            }
            Self::Date => DataType::Date,
            Self::TimeMillis | Self::TimeMicros => DataType::Time,
            Self::Timestamp { is_utc: true, .. } => DataType::TimestampTz,
            Self::Timestamp { is_utc: false, .. } => DataType::Timestamp,
            Self::Decimal { precision, scale, .. } => DataType::Decimal(*precision, *scale),
        })
    }
}

/// The fields of the records that `json` declares.
pub(super) fn fields(json: &[u8]) -> Decoded<Vec<(String, AvroType)>> {
    let json: Value =
        serde_json::from_slice(json).map_err(|error| Fault::corrupt(format!("its schema is no JSON ({error})")))?;
    let mut names = Names::default();
    match names.parse(&json, "", 0)? {
        AvroType::Record(fields) => Ok(fields),
        _ => Err(Fault::Unsupported("Its rows are not records.".to_owned())),
    }
}

/// What was named so far.
#[derive(Debug, Default)]
struct Names {
    /// `None`: it is being read, so that a reference to it is to itself.
    known: HashMap<String, Option<AvroType>>,
    count: usize,
}

fn invalid() -> Fault {
    Fault::corrupt("its schema is invalid")
}

impl Names {
    fn parse(&mut self, json: &Value, namespace: &str, depth: usize) -> Decoded<AvroType> {
        self.count += 1;
        if depth > DEPTH_MAX || self.count > TYPES_MAX {
            return Err(Fault::Limit("Its types are too many, or nested too deep.".to_owned()));
        }
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.parse(branch, namespace, depth + 1));
                Ok(AvroType::Union(branches.collect::<Decoded<_>>()?))
            }
            Value::Object(object) => self.declared(object, namespace, depth),
            _ => Err(invalid()),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Decoded<AvroType> {
        Ok(match name {
            "null" => AvroType::Null,
            "boolean" => AvroType::Boolean,
            "int" => AvroType::Int,
            "long" => AvroType::Long,
            "float" => AvroType::Float,
            "double" => AvroType::Double,
            "bytes" => AvroType::Bytes,
            "string" => AvroType::Text,
            _ => match self.known.get(&full_name(name, namespace)).or_else(|| self.known.get(name)) {
                Some(Some(known)) => {
                    let known = known.clone();
                    self.count += size(&known);
                    known
                }
                Some(None) => {
                    return Err(Fault::Unsupported(format!("Its type \"{name}\" contains itself.")));
                }
                None => return Err(Fault::corrupt(format!("its schema has no type \"{name}\""))),
            },
        })
    }

    fn declared(&mut self, object: &Map<String, Value>, namespace: &str, depth: usize) -> Decoded<AvroType> {
        let kind = object.get("type").ok_or_else(invalid)?;
        let Value::String(kind) = kind else {
            // `{"type": {"type": ...}}` says no more than what is inside.
            return self.parse(kind, namespace, depth + 1);
        };
        match kind.as_str() {
            "array" => {
                let item = self.parse(object.get("items").ok_or_else(invalid)?, namespace, depth + 1)?;
                Ok(AvroType::Array(Box::new(item)))
            }
            "map" => {
                let value = self.parse(object.get("values").ok_or_else(invalid)?, namespace, depth + 1)?;
                Ok(AvroType::Map(Box::new(value)))
            }
            "record" | "error" | "enum" | "fixed" => {
                let name = object.get("name").and_then(Value::as_str).ok_or_else(invalid)?;
                let own = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
                let name = full_name(name, own);
                let namespace = name.rsplit_once('.').map(|(namespace, _)| namespace.to_owned()).unwrap_or_default();
                self.known.insert(name.clone(), None);
                let made = match kind.as_str() {
                    "enum" => {
                        let symbols = object.get("symbols").and_then(Value::as_array).ok_or_else(invalid)?;
                        let symbols = symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned));
                        AvroType::Enum(symbols.collect::<Option<_>>().ok_or_else(invalid)?)
                    }
                    "fixed" => {
                        let size = object.get("size").and_then(Value::as_u64).and_then(|size| size.try_into().ok());
                        logical(object, AvroType::Fixed(size.ok_or_else(invalid)?))
                    }
                    _ => {
                        let fields = object.get("fields").and_then(Value::as_array).ok_or_else(invalid)?;
                        let fields = fields.iter().map(|field| {
                            let name = field.get("name").and_then(Value::as_str).ok_or_else(invalid)?;
                            let json = field.get("type").ok_or_else(invalid)?;
                            Ok((name.to_owned(), self.parse(json, &namespace, depth + 1)?))
                        });
                        AvroType::Record(fields.collect::<Decoded<_>>()?)
                    }
                };
                self.known.insert(name, Some(made.clone()));
                Ok(made)
            }
            name => Ok(logical(object, self.named(name, namespace)?)),
        }
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn size(avro: &AvroType) -> usize {
    1 + match avro {
        AvroType::Array(inner) | AvroType::Map(inner) => size(inner),
        AvroType::Record(fields) => fields.iter().map(|(_, field)| size(field)).sum(),
        AvroType::Union(branches) => branches.iter().map(size).sum(),
        _ => 0,
    }
}

/// `plain`, or what `object` says that it means.
fn logical(object: &Map<String, Value>, plain: AvroType) -> AvroType {
    let Some(logical) = object.get("logicalType").and_then(Value::as_str) else { return plain };
    let timestamp = |unit, is_utc| AvroType::Timestamp { unit, is_utc };
    match (logical, &plain) {
        ("date", AvroType::Int) => AvroType::Date,
        ("time-millis", AvroType::Int) => AvroType::TimeMillis,
        ("time-micros", AvroType::Long) => AvroType::TimeMicros,
        ("timestamp-millis", AvroType::Long) => timestamp(Unit::Millis, true),
        ("timestamp-micros", AvroType::Long) => timestamp(Unit::Micros, true),
        ("timestamp-nanos", AvroType::Long) => timestamp(Unit::Nanos, true),
        ("local-timestamp-millis", AvroType::Long) => timestamp(Unit::Millis, false),
        ("local-timestamp-micros", AvroType::Long) => timestamp(Unit::Micros, false),
        ("local-timestamp-nanos", AvroType::Long) => timestamp(Unit::Nanos, false),
        ("uuid", AvroType::Fixed(16)) => AvroType::Uuid,
        ("decimal", AvroType::Bytes | AvroType::Fixed(_)) => {
            let number = |key: &str| object.get(key).and_then(Value::as_u64);
            let (precision, scale) = (number("precision").unwrap_or(0), number("scale").unwrap_or(0));
            if precision == 0 || scale > precision || scale > 38 {
                return plain;
            }
            let size = if let AvroType::Fixed(size) = plain { Some(size) } else { None };
            // Of more digits than 38 it is one of 38, and a value that doesn't fit is an error.
            AvroType::Decimal { precision: precision.min(38) as u8, scale: scale as u8, size }
        }
        _ => plain,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn types(fields_json: &str) -> Decoded<Vec<AvroType>> {
        let json = format!(r#"{{"type":"record","name":"a.b.R","fields":[{fields_json}]}}"#);
        Ok(fields(json.as_bytes())?.into_iter().map(|(_, avro)| avro).collect())
    }

    #[test]
    fn names_are_resolved_and_logical_types_that_do_not_fit_are_none() {
        let found = types(
            r#"{"name":"x","type":{"type":"fixed","name":"F","size":4}},
               {"name":"y","type":["null","F"]}, {"name":"z","type":"a.b.F"},
               {"name":"d","type":{"type":"int","logicalType":"date"}},
               {"name":"e","type":{"type":"string","logicalType":"date"}},
               {"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}},
               {"name":"n","type":{"type":"bytes","logicalType":"decimal","precision":2,"scale":5}}"#,
        );
        let expected = [
            AvroType::Fixed(4),
            AvroType::Union(vec![AvroType::Null, AvroType::Fixed(4)]),
            AvroType::Fixed(4),
            AvroType::Date,
            AvroType::Text,
            AvroType::Decimal { precision: 5, scale: 2, size: None },
            AvroType::Bytes,
        ];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn what_contains_itself_or_grows_without_end_is_refused() {
        let error = types(r#"{"name":"next","type":["null","R"]}"#).unwrap_err();
        assert!(matches!(error, Fault::Unsupported(_)), "{error:?}");
        // Each record holds the one before it twice.
        let mut all = vec![r#"{"name":"f0","type":{"type":"record","name":"R0","fields":[]}}"#.to_owned()];
        for level in 1..40 {
            let below = level - 1;
            all.push(format!(
                r#"{{"name":"f{level}","type":{{"type":"record","name":"R{level}","fields":[
                   {{"name":"l","type":"R{below}"}},{{"name":"r","type":"R{below}"}}]}}}}"#
            ));
        }
        let error = types(&all.join(",")).unwrap_err();
        assert!(matches!(error, Fault::Limit(_)), "{error:?}");
        for json in [
            "",
            "{}",
            "7",
            r#"{"type":"record"}"#,
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"Y"}]}"#,
        ] {
            assert!(matches!(fields(json.as_bytes()).unwrap_err(), Fault::Corrupt(_)), "{json}");
        }
    }
}
