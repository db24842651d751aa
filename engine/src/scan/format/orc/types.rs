//! The types of a file's columns: a list in its footer -> a tree, and what the catalog calls them.

use limnos_catalog::{DataType, StructField};

use super::protobuf::Value;
use super::{Decoded, Fault};

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// Columns of one file, of which a table may want a few. A crawl takes fewer.
const COLUMNS_MAX: usize = 1 << 16;

/// What kind a type is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    /// Also of a bounded length.
    Text,
    /// Of one length, filled up with blanks.
    Char,
    Binary,
    /// Wall clock time.
    Timestamp,
    /// A moment.
    Instant,
    Date,
    Decimal {
        precision: u8,
        scale: u8,
    },
    List,
    Map,
    Struct,
    Union,
}

/// A column, or a part of one.
#[derive(Debug, Clone)]
pub(super) struct ColumnType {
    /// Its number, by which streams and statistics are found.
    pub(super) id: usize,
    pub(super) kind: Kind,
    /// A list's items, a map's keys and values, a struct's fields, a union's variants; names are those of fields.
    pub(super) children: Vec<(String, ColumnType)>,
}

impl ColumnType {
    /// The catalog's type for its values.
    pub(super) fn data_type(&self) -> Decoded<DataType> {
        let child = |index: usize| Ok::<_, Fault>(Box::new(self.children[index].1.data_type()?));
        Ok(match self.kind {
            Kind::Boolean => DataType::Boolean,
            Kind::Byte => DataType::TinyInt,
            Kind::Short => DataType::SmallInt,
            Kind::Int => DataType::Int,
            Kind::Long => DataType::BigInt,
            Kind::Float => DataType::Float,
            Kind::Double => DataType::Double,
            Kind::Text | Kind::Char => DataType::String,
            Kind::Binary => DataType::Binary,
            Kind::Timestamp => DataType::Timestamp,
            Kind::Instant => DataType::TimestampTz,
            Kind::Date => DataType::Date,
            Kind::Decimal { precision, scale } => DataType::Decimal(precision, scale),
            Kind::List => DataType::Array(child(0)?),
            Kind::Map => DataType::Map(child(0)?, child(1)?),
            Kind::Struct => {
                let field = |(name, child): &(String, Self)| {
                    Ok::<_, Fault>(StructField { name: name.clone(), data_type: child.data_type()? })
                };
                DataType::Struct(self.children.iter().map(field).collect::<Decoded<_>>()?)
            }
            Kind::Union => return Err(Fault::Unsupported("Unions are not supported.".to_owned())),
        })
    }

    /// The numbers of this column and all its parts.
    pub(super) fn ids(&self, into: &mut Vec<usize>) {
        into.push(self.id);
        self.children.iter().for_each(|(_, child)| child.ids(into));
    }
}

/// A type as the footer lists it.
#[derive(Debug, Default)]
struct Listed<'a> {
    kind: u64,
    children: Vec<u64>,
    names: Vec<&'a str>,
    precision: u64,
    scale: u64,
}

/// The columns of a file: the fields of its first type.
pub(super) fn columns(types: &[Value<'_>]) -> Decoded<Vec<(String, ColumnType)>> {
    let types = types.iter().map(|listed| parse(*listed)).collect::<Decoded<Vec<Listed<'_>>>>()?;
    let mut taken = vec![false; types.len()];
    let root = build(&types, 0, 0, &mut taken)?;
    if root.kind != Kind::Struct {
        return Err(Fault::Unsupported("Its rows are not structs.".to_owned()));
    }
    if root.children.len() > COLUMNS_MAX {
        return Err(Fault::Limit(format!("It has {} columns.", root.children.len())));
    }
    Ok(root.children)
}

fn parse(listed: Value<'_>) -> Decoded<Listed<'_>> {
    let mut found = Listed::default();
    for field in listed.fields()? {
        match field? {
            (1, value) => found.kind = value.number()?,
            (2, value) => value.numbers(&mut found.children)?,
            (3, value) => found.names.push(value.text()?),
            (5, value) => found.precision = value.number()?,
            (6, value) => found.scale = value.number()?,
            _ => {}
        }
    }
    Ok(found)
}

/// The type number `id`. Each may be part of one other, which ends what contains itself.
fn build(types: &[Listed<'_>], id: usize, depth: usize, taken: &mut [bool]) -> Decoded<ColumnType> {
    let invalid = || Fault::corrupt("its types are invalid");
    let listed = types.get(id).ok_or_else(invalid)?;
    if depth > DEPTH_MAX {
        return Err(Fault::Limit(format!("Its types are nested deeper than {DEPTH_MAX} levels.")));
    }
    if std::mem::replace(&mut taken[id], true) {
        return Err(invalid());
    }
    let kind = match listed.kind {
        0 => Kind::Boolean,
        1 => Kind::Byte,
        2 => Kind::Short,
        3 => Kind::Int,
        4 => Kind::Long,
        5 => Kind::Float,
        6 => Kind::Double,
        7 | 16 => Kind::Text,
        17 => Kind::Char,
        8 => Kind::Binary,
        9 => Kind::Timestamp,
        10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Struct,
        13 => Kind::Union,
        14 => decimal(listed.precision, listed.scale)?,
        15 => Kind::Date,
        18 => Kind::Instant,
        other => return Err(Fault::Unsupported(format!("It has a column of the unknown type {other}."))),
    };
    let count = listed.children.len();
    let is_valid = match kind {
        Kind::List => count == 1,
        Kind::Map => count == 2,
        Kind::Struct => count == listed.names.len(),
        Kind::Union => true,
        _ => count == 0,
    };
    if !is_valid {
        return Err(invalid());
    }
    let children = listed.children.iter().enumerate().map(|(index, child)| {
        let name = listed.names.get(index).copied().unwrap_or_default().to_owned();
        let child = usize::try_from(*child).map_err(|_| invalid())?;
        Ok((name, build(types, child, depth + 1, taken)?))
    });
    Ok(ColumnType { id, kind, children: children.collect::<Decoded<_>>()? })
}

fn decimal(precision: u64, scale: u64) -> Decoded<Kind> {
    // Before Hive 0.12 decimals had no precision, and are read with the one that Hive gives them.
    let (precision, scale) = if precision == 0 { (38, 18) } else { (precision, scale) };
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Ok(Kind::Decimal { precision, scale }),
        _ => Err(Fault::corrupt("a decimal has a precision that can't be")),
    }
}
