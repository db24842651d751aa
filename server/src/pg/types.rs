//! Arrow types -> PostgreSQL types: what RowDescription says about a column, and which form its values take on the wire.

use arrow::datatypes::{DataType, Field};

/// A field's metadata key that overrides the type PostgreSQL clients see: `oid`, `name`, `char`, `json`, `regclass`, ...,
/// any of the names in [`Scalar::from_name`], and on lists also `int2vector` and `oidvector` or an element's name followed
/// by `[]`. The tables of `pg_catalog` need it, since Arrow has no such types; a name that the column's values can't be
/// written as is ignored.
pub use limnos_engine::scan::schema::PG_TYPE_METADATA;
use limnos_engine::scan::schema::type_modifier;

/// PostgreSQL's types that have no parts. Each knows its numbers in `pg_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Bpchar,
    Name,
    Char,
    Unknown,
    Json,
    Jsonb,
    NodeTree,
    AclItem,
    Oid,
    Xid,
    RegProc,
    RegClass,
    RegType,
    Bytea,
    Uuid,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    /// What functions give that give nothing.
    Void,
}

/// Name, OID, OID of its array, `typlen`.
type Row = (Scalar, &'static str, u32, u32, i16);

/// From PostgreSQL 15's `pg_type.dat`.
const SCALARS: &[Row] = &[
    (Scalar::Bool, "bool", 16, 1000, 1),
    (Scalar::Int2, "int2", 21, 1005, 2),
    (Scalar::Int4, "int4", 23, 1007, 4),
    (Scalar::Int8, "int8", 20, 1016, 8),
    (Scalar::Float4, "float4", 700, 1021, 4),
    (Scalar::Float8, "float8", 701, 1022, 8),
    (Scalar::Numeric, "numeric", 1700, 1231, -1),
    (Scalar::Text, "text", 25, 1009, -1),
    (Scalar::Varchar, "varchar", 1043, 1015, -1),
    (Scalar::Bpchar, "bpchar", 1042, 1014, -1),
    (Scalar::Name, "name", 19, 1003, 64),
    (Scalar::Char, "char", 18, 1002, 1),
    (Scalar::Unknown, "unknown", 705, 1009, -2),
    (Scalar::Json, "json", 114, 199, -1),
    (Scalar::Jsonb, "jsonb", 3802, 3807, -1),
    (Scalar::NodeTree, "pg_node_tree", 194, 1009, -1),
    (Scalar::AclItem, "aclitem", 1033, 1034, 12),
    (Scalar::Oid, "oid", 26, 1028, 4),
    (Scalar::Xid, "xid", 28, 1011, 4),
    (Scalar::RegProc, "regproc", 24, 1008, 4),
    (Scalar::RegClass, "regclass", 2205, 2210, 4),
    (Scalar::RegType, "regtype", 2206, 2211, 4),
    (Scalar::Bytea, "bytea", 17, 1001, -1),
    (Scalar::Uuid, "uuid", 2950, 2951, 16),
    (Scalar::Date, "date", 1082, 1182, 4),
    (Scalar::Time, "time", 1083, 1183, 8),
    (Scalar::TimeTz, "timetz", 1266, 1270, 12),
    (Scalar::Timestamp, "timestamp", 1114, 1115, 8),
    (Scalar::TimestampTz, "timestamptz", 1184, 1185, 8),
    (Scalar::Interval, "interval", 1186, 1187, 16),
    (Scalar::Void, "void", 2278, 1009, 4),
];

/// What kind of bytes a scalar's binary form is, and so which Arrow values can be written as it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Number,
    String,
    Other,
}

impl Scalar {
    fn row(self) -> &'static Row {
        SCALARS.iter().find(|row| row.0 == self).expect("every scalar has its row")
    }

    /// The type called `name` in `pg_type`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "character varying" => Some(Self::Varchar),
            "regproc" | "regprocedure" => Some(Self::RegProc),
            _ => SCALARS.iter().find(|row| row.1 == name).map(|row| row.0),
        }
    }

    /// Its name in `pg_type`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its OID.
    pub fn oid(self) -> u32 {
        self.row().2
    }

    /// The OID of arrays of it.
    pub fn array_oid(self) -> u32 {
        self.row().3
    }

    /// The type with this OID.
    pub fn from_oid(oid: u32) -> Option<Self> {
        SCALARS.iter().find(|row| row.2 == oid).map(|row| row.0)
    }

    /// The element type of the array type with this OID.
    pub fn from_array_oid(oid: u32) -> Option<Self> {
        SCALARS.iter().find(|row| row.3 == oid).map(|row| row.0)
    }

    fn family(self) -> Family {
        match self {
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid | Self::Xid => Family::Number,
            Self::RegProc | Self::RegClass | Self::RegType => Family::Number,
            Self::Text | Self::Varchar | Self::Bpchar | Self::Name | Self::Char => Family::String,
            Self::Unknown | Self::Json | Self::Jsonb | Self::NodeTree | Self::AclItem | Self::Void => Family::String,
            _ => Family::Other,
        }
    }

    /// What Arrow's type is shown as; `None` for types with parts.
    fn from_arrow(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::Int2,
            DataType::UInt16 | DataType::Int32 => Self::Int4,
            DataType::UInt32 | DataType::Int64 => Self::Int8,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Numeric,
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytea
            }
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Dictionary(_, values) => return Self::from_arrow(values),
            DataType::RunEndEncoded(_, values) => return Self::from_arrow(values.data_type()),
            _ => return None,
        })
    }

    /// `self` if values of `data_type` can be written as it.
    fn fitting(self, data_type: &DataType) -> Option<Self> {
        let own = Self::from_arrow(data_type)?;
        let fits = match own.family() {
            // Narrower would overflow; `oid` and its kin are what the catalog's int4 and int8 columns mean.
            Family::Number => {
                self.family() == Family::Number && self != Self::Int2 && (self != Self::Int4 || own != Self::Int8)
            }
            // A UUID and a time with zone are kept as their text.
            Family::String => self.family() == Family::String || matches!(self, Self::Uuid | Self::TimeTz),
            Family::Other if self == Self::Uuid => *data_type == DataType::FixedSizeBinary(16),
            Family::Other => self == own,
        };
        fits.then_some(self)
    }
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Scalar(Scalar),
    /// A one-dimensional array.
    Array(Scalar),
    /// `int2vector`, `oidvector`: arrays that count from 0 and read `1 2 3`.
    Vector(Scalar),
    /// What PostgreSQL has no type for (structs, maps, nested lists), as JSON text.
    Json,
}

/// The PostgreSQL type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgType {
    /// How its values are written.
    pub shape: Shape,
    /// RowDescription's type modifier; -1 for none.
    pub modifier: i32,
}

impl PgType {
    /// The type of a column.
    pub fn of(field: &Field) -> Self {
        let given = field.metadata().get(PG_TYPE_METADATA).map(String::as_str);
        let modifier = match type_modifier(field) {
            -1 => modifier(field.data_type()),
            labelled => labelled,
        };
        Self { shape: shape(field.data_type(), given), modifier }
    }

    /// The type of values of `data_type`.
    pub fn of_data_type(data_type: &DataType) -> Self {
        Self { shape: shape(data_type, None), modifier: modifier(data_type) }
    }

    /// Its OID.
    pub fn oid(self) -> u32 {
        match self.shape {
            Shape::Scalar(scalar) => scalar.oid(),
            Shape::Array(element) => element.array_oid(),
            Shape::Vector(Scalar::Int2) => 22,
            Shape::Vector(_) => 30,
            Shape::Json => Scalar::Json.oid(),
        }
    }

    /// Its `typlen`.
    pub fn size(self) -> i16 {
        match self.shape {
            Shape::Scalar(scalar) => scalar.row().4,
            Shape::Array(_) | Shape::Vector(_) | Shape::Json => -1,
        }
    }
}

/// The OID of a type whose text is an object's name: in binary it is a number, so such a column is told as `text` unless it
/// is sent as text.
pub(crate) fn object_name_oid(field: &Field) -> Option<u32> {
    if field.data_type() != &DataType::Utf8 {
        return None;
    }
    match field.metadata().get(PG_TYPE_METADATA)?.as_str() {
        "regproc" => Some(24),
        "regprocedure" => Some(2202),
        "regclass" => Some(2205),
        "regtype" => Some(2206),
        "regnamespace" => Some(4089),
        "regrole" => Some(4096),
        _ => None,
    }
}

fn shape(data_type: &DataType, given: Option<&str>) -> Shape {
    if let Some(own) = Scalar::from_arrow(data_type) {
        let wanted = given.and_then(Scalar::from_name).and_then(|wanted| wanted.fitting(data_type));
        return Shape::Scalar(wanted.unwrap_or(own));
    }
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => {
            let Some(own) = Scalar::from_arrow(field.data_type()) else { return Shape::Json };
            match given {
                Some("int2vector") if own == Scalar::Int2 => return Shape::Vector(Scalar::Int2),
                Some("oidvector") if own.family() == Family::Number => return Shape::Vector(Scalar::Oid),
                _ => {}
            }
            let given = given.map(|name| name.strip_suffix("[]").or(name.strip_prefix('_')).unwrap_or(name));
            let given = given.or(field.metadata().get(PG_TYPE_METADATA).map(String::as_str));
            let wanted = given.and_then(Scalar::from_name).and_then(|wanted| wanted.fitting(field.data_type()));
            Shape::Array(wanted.unwrap_or(own))
        }
        DataType::Dictionary(_, values) => shape(values, given),
        DataType::RunEndEncoded(_, values) => shape(values.data_type(), given),
        DataType::Union(..) => Shape::Scalar(Scalar::Text),
        _ => Shape::Json,
    }
}

/// PostgreSQL packs a numeric's precision and scale as `numerictypmodin` does: `((precision << 16) | scale) + VARHDRSZ`.
fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4,
        DataType::Dictionary(_, values) => modifier(values),
        DataType::RunEndEncoded(_, values) => modifier(values.data_type()),
        DataType::List(field) | DataType::LargeList(field) => modifier(field.data_type()),
        _ => -1,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn every_arrow_type_has_its_oid() {
        let list = |element: DataType| DataType::List(Arc::new(Field::new("item", element, true)));
        let cases = [
            (DataType::Null, 25, -1),
            (DataType::Boolean, 16, -1),
            (DataType::UInt8, 21, -1),
            (DataType::UInt32, 20, -1),
            (DataType::UInt64, 1700, -1),
            (DataType::Decimal128(15, 2), 1700, ((15 << 16) | 2) + 4),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), 1114, -1),
            (DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), 1184, -1),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), 25, -1),
            (list(DataType::Utf8), 1009, -1),
            (list(DataType::Decimal128(5, 1)), 1231, ((5 << 16) | 1) + 4),
            (list(list(DataType::Int32)), 114, -1),
            (DataType::Struct(Vec::<Field>::new().into()), 114, -1),
        ];
        for (data_type, oid, modifier) in cases {
            let pg_type = PgType::of_data_type(&data_type);
            assert_eq!((pg_type.oid(), pg_type.modifier), (oid, modifier), "{data_type}");
        }
    }

    #[test]
    fn metadata_overrides_where_values_fit() {
        let list = |element: DataType| DataType::List(Arc::new(Field::new("item", element, true)));
        let cases = [
            (DataType::Int64, "oid", 26),
            (DataType::Int32, "oid", 26),
            (DataType::Utf8, "name", 19),
            (DataType::Utf8, "char", 18),
            (DataType::Utf8, "regclass", 25),
            (DataType::Int64, "regclass", 2205),
            (DataType::Utf8, "no such type", 25),
            (DataType::Int64, "text", 20),
            (list(DataType::Utf8), "aclitem[]", 1034),
            (list(DataType::Int16), "int2vector", 22),
            (list(DataType::Int64), "oidvector", 30),
            (list(DataType::Int64), "_oid", 1028),
        ];
        for (data_type, name, oid) in cases {
            let field = Field::new("c", data_type.clone(), true)
                .with_metadata([(PG_TYPE_METADATA.to_owned(), name.to_owned())].into());
            assert_eq!(PgType::of(&field).oid(), oid, "{data_type} as {name}");
        }
    }
}
