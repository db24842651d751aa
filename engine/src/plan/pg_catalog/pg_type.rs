//! Which PostgreSQL type a column of ours has, and what `format_type` calls it.

use std::collections::HashMap;
use std::sync::LazyLock;

use limnos_catalog::DataType;

use super::statics::static_table;
use super::value::values_of;

/// A column's PostgreSQL type: `pg_attribute.atttypid` and `atttypmod`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) oid: i32,
    pub(crate) modifier: i32,
    /// `attndims`.
    pub(crate) dimensions: i32,
}

/// What `pg_attribute` repeats from `pg_type`.
#[derive(Debug, Clone)]
pub(crate) struct TypeInfo {
    pub(crate) oid: i32,
    pub(crate) name: String,
    pub(crate) length: i32,
    pub(crate) by_value: bool,
    pub(crate) alignment: String,
    pub(crate) storage: String,
    pub(crate) collation: i32,
    pub(crate) element: i32,
    pub(crate) array: i32,
    pub(crate) category: String,
    pub(crate) namespace: i32,
}

static TYPES: LazyLock<HashMap<i32, TypeInfo>> = LazyLock::new(|| read_types().unwrap_or_default());

static OIDS_BY_NAME: LazyLock<HashMap<&'static str, i32>> =
    LazyLock::new(|| TYPES.values().map(|info| (info.name.as_str(), info.oid)).collect());

fn read_types() -> Option<HashMap<i32, TypeInfo>> {
    let table = static_table("pg_type").ok()??;
    let column = |name: &str| values_of(table.column_by_name(name)?).ok();
    let ints = |name: &str| Some(column(name)?.iter().map(|v| v.as_int().unwrap_or(0) as i32).collect::<Vec<_>>());
    let texts =
        |name: &str| Some(column(name)?.iter().map(|v| v.as_text().unwrap_or("").to_owned()).collect::<Vec<_>>());
    let (oids, names, lengths, by_value) = (ints("oid")?, texts("typname")?, ints("typlen")?, column("typbyval")?);
    let (alignments, storages, collations) = (texts("typalign")?, texts("typstorage")?, ints("typcollation")?);
    let (elements, arrays, categories, namespaces) =
        (ints("typelem")?, ints("typarray")?, texts("typcategory")?, ints("typnamespace")?);
    let info = |i: usize| TypeInfo {
        oid: oids[i],
        name: names[i].clone(),
        length: lengths[i],
        by_value: by_value[i].as_bool().unwrap_or(false),
        alignment: alignments[i].clone(),
        storage: storages[i].clone(),
        collation: collations[i],
        element: elements[i],
        array: arrays[i],
        category: categories[i].clone(),
        namespace: namespaces[i],
    };
    Some((0..oids.len()).map(|i| (oids[i], info(i))).collect())
}

/// The type with that OID.
pub(crate) fn type_info(oid: i32) -> Option<&'static TypeInfo> {
    TYPES.get(&oid)
}

/// The OID of the type whose `typname` that is.
pub(crate) fn oid_of_typname(name: &str) -> Option<i32> {
    OIDS_BY_NAME.get(name).copied()
}

/// The OID of a type as SQL spells it: `int4`, `integer`, `double precision`, `pg_catalog.text`, `text[]`,
/// `character varying(10)`.
pub(crate) fn oid_of_sql_name(name: &str) -> Option<i32> {
    let name = name.trim();
    if let Some(element) = name.strip_suffix("[]") {
        return type_info(oid_of_sql_name(element)?).map(|info| info.array).filter(|&oid| oid != 0);
    }
    let bare = name.strip_prefix("pg_catalog.").unwrap_or(name);
    if let Some(quoted) = bare.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return oid_of_typname(quoted);
    }
    let lower = bare.to_lowercase();
    let (base, rest) = match lower.split_once('(') {
        Some((base, rest)) => (base.trim_end(), rest.split_once(')').map_or("", |(_, rest)| rest)),
        None => (lower.as_str(), ""),
    };
    let spelled = format!("{base}{rest}");
    oid_of_typname(match spelled.as_str() {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" | "float" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        "bit varying" => "varbit",
        other => other,
    })
}

/// The PostgreSQL type of a column. Maps and structs are shown as JSON, as the endpoint sends them.
pub(crate) fn column_type(data_type: &DataType) -> ColumnType {
    let plain = |oid| ColumnType { oid, modifier: -1, dimensions: 0 };
    match data_type {
        DataType::Boolean => plain(16),
        DataType::TinyInt | DataType::SmallInt => plain(21),
        DataType::Int => plain(23),
        DataType::BigInt => plain(20),
        DataType::Float => plain(700),
        DataType::Double => plain(701),
        // make_numeric_typmod: precision in the high half, scale in the low, plus the header's four bytes.
        DataType::Decimal(precision, scale) => {
            ColumnType { modifier: ((i32::from(*precision) << 16) | i32::from(*scale)) + 4, ..plain(1700) }
        }
        DataType::String => plain(25),
        DataType::Varchar(length) => ColumnType { modifier: length_modifier(*length), ..plain(1043) },
        DataType::Char(length) => ColumnType { modifier: length_modifier(*length), ..plain(1042) },
        DataType::Binary => plain(17),
        DataType::Date => plain(1082),
        DataType::Time => plain(1083),
        DataType::Timestamp => plain(1114),
        DataType::TimestampTz => plain(1184),
        DataType::Json | DataType::Map(..) | DataType::Struct(_) => plain(114),
        DataType::Array(element) => {
            let element = column_type(element);
            let oid = match type_info(element.oid) {
                // PostgreSQL's arrays of arrays have the type of the innermost element's array.
                Some(info) if element.dimensions == 0 => info.array,
                _ => element.oid,
            };
            ColumnType { oid, modifier: element.modifier, dimensions: element.dimensions + 1 }
        }
    }
}

fn length_modifier(length: u32) -> i32 {
    i32::try_from(length).map_or(-1, |length| length.saturating_add(4))
}

/// The PostgreSQL type that the endpoint sends for an Arrow type, for tables that have no declared types.
pub(crate) fn arrow_column_type(data_type: &arrow::datatypes::DataType) -> ColumnType {
    use arrow::datatypes::DataType as Arrow;
    let plain = |oid| ColumnType { oid, modifier: -1, dimensions: 0 };
    match data_type {
        Arrow::Boolean => plain(16),
        Arrow::Int8 | Arrow::Int16 | Arrow::UInt8 => plain(21),
        Arrow::Int32 | Arrow::UInt16 => plain(23),
        Arrow::Int64 | Arrow::UInt32 => plain(20),
        Arrow::Float16 | Arrow::Float32 => plain(700),
        Arrow::Float64 => plain(701),
        Arrow::UInt64 | Arrow::Decimal32(..) | Arrow::Decimal64(..) | Arrow::Decimal128(..) | Arrow::Decimal256(..) => {
            plain(1700)
        }
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => plain(17),
        Arrow::Date32 | Arrow::Date64 => plain(1082),
        Arrow::Time32(_) | Arrow::Time64(_) => plain(1083),
        Arrow::Timestamp(_, None) => plain(1114),
        Arrow::Timestamp(_, Some(_)) => plain(1184),
        Arrow::Interval(_) | Arrow::Duration(_) => plain(1186),
        Arrow::Struct(_) | Arrow::Map(..) => plain(114),
        Arrow::List(field) | Arrow::LargeList(field) | Arrow::FixedSizeList(field, _) => {
            let element = arrow_column_type(field.data_type());
            let oid = type_info(element.oid).map_or(0, |info| info.array);
            ColumnType {
                oid: if oid == 0 { element.oid } else { oid },
                modifier: -1,
                dimensions: element.dimensions + 1,
            }
        }
        Arrow::Dictionary(_, value) => arrow_column_type(value),
        _ => plain(25),
    }
}

/// `format_type`: the type as SQL spells it, with its modifier where there is one.
pub(crate) fn format_type(oid: i32, modifier: Option<i32>) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let Some(info) = type_info(oid) else { return "???".to_owned() };
    if info.category == "A" && info.name.starts_with('_') && info.element != 0 {
        return format!("{}[]", format_type(info.element, modifier));
    }
    let length = modifier.filter(|&m| m >= 4).map(|m| m - 4);
    let precision = modifier.filter(|&m| m >= 0);
    let with =
        |name: &str, value: Option<i32>| value.map_or_else(|| name.to_owned(), |value| format!("{name}({value})"));
    match info.name.as_str() {
        "bool" => "boolean".to_owned(),
        "int2" => "smallint".to_owned(),
        "int4" => "integer".to_owned(),
        "int8" => "bigint".to_owned(),
        "float4" => "real".to_owned(),
        "float8" => "double precision".to_owned(),
        "numeric" => {
            length.map_or_else(|| "numeric".to_owned(), |m| format!("numeric({},{})", (m >> 16) & 0xffff, m & 0x7ff))
        }
        "varchar" => with("character varying", length),
        // Without a length, `bpchar` says "any length"; `character` would mean one.
        "bpchar" => match (length, modifier) {
            (Some(length), _) => format!("character({length})"),
            (None, Some(_)) => "bpchar".to_owned(),
            (None, None) => "character".to_owned(),
        },
        "bit" => with("bit", precision),
        "varbit" => with("bit varying", precision),
        "time" => format!("{} without time zone", with("time", precision)),
        "timetz" => format!("{} with time zone", with("time", precision)),
        "timestamp" => format!("{} without time zone", with("timestamp", precision)),
        "timestamptz" => format!("{} with time zone", with("timestamp", precision)),
        "char" => "\"char\"".to_owned(),
        "any" => "\"any\"".to_owned(),
        // What isn't in pg_catalog isn't seen without its schema.
        name if info.namespace != 11 => format!("information_schema.{name}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_as_postgresql_spells_them() {
        let cases = [
            (DataType::Boolean, "boolean"),
            (DataType::TinyInt, "smallint"),
            (DataType::Int, "integer"),
            (DataType::BigInt, "bigint"),
            (DataType::Float, "real"),
            (DataType::Double, "double precision"),
            (DataType::Decimal(15, 2), "numeric(15,2)"),
            (DataType::Decimal(38, 0), "numeric(38,0)"),
            (DataType::String, "text"),
            (DataType::Varchar(200), "character varying(200)"),
            (DataType::Char(1), "character(1)"),
            (DataType::Timestamp, "timestamp without time zone"),
            (DataType::TimestampTz, "timestamp with time zone"),
            (DataType::Array(Box::new(DataType::Int)), "integer[]"),
            (DataType::Array(Box::new(DataType::Array(Box::new(DataType::String)))), "text[]"),
            (DataType::Map(Box::new(DataType::String), Box::new(DataType::Int)), "json"),
        ];
        for (data_type, spelled) in cases {
            let column = column_type(&data_type);
            assert_eq!(format_type(column.oid, Some(column.modifier)), spelled, "{data_type:?}");
        }
        assert_eq!(format_type(18, None), "\"char\"");
        assert_eq!(format_type(0, None), "-");
        assert_eq!(format_type(1_234_567, None), "???");
        assert_eq!(column_type(&DataType::Decimal(15, 2)).modifier, 983_046);
    }

    #[test]
    fn names_of_types_are_read_in_every_spelling() {
        for (name, oid) in [
            ("int4", 23),
            ("integer", 23),
            ("pg_catalog.int8", 20),
            ("double precision", 701),
            ("character varying(10)", 1043),
            ("timestamp(3) with time zone", 1184),
            ("text[]", 1009),
            ("\"char\"", 18),
            ("char", 1042),
        ] {
            assert_eq!(oid_of_sql_name(name), Some(oid), "{name}");
        }
        assert_eq!(oid_of_sql_name("nothing"), None);
    }
}
