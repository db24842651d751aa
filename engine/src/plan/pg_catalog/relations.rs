//! What PostgreSQL 15's own relations look like: names, OIDs, columns and their types, in order.
//!
//! `relations.txt` has one relation a line: `schema.name oid kind column:type! column:type ...`, where `!` is NOT NULL.
//! They are what `pg_attribute` of a fresh PostgreSQL 15 says, so that `SELECT *` and RowDescription have its shape.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::PG_TYPE_METADATA;

/// A column of a system relation.
#[derive(Debug)]
pub(crate) struct SystemColumn {
    pub(crate) name: &'static str,
    /// PostgreSQL's `typname`: `oid`, `_text`, ...
    pub(crate) type_name: &'static str,
    pub(crate) not_null: bool,
}

/// A table or view of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(crate) struct SystemRelation {
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    pub(crate) oid: i32,
    /// `r` or `v`.
    pub(crate) kind: &'static str,
    pub(crate) columns: Vec<SystemColumn>,
    /// The columns as Arrow fields. The hidden `tableoid` is a constant that the rewrite puts in.
    pub(crate) arrow_schema: SchemaRef,
}

/// All of them, by schema and name.
pub(crate) static RELATIONS: LazyLock<Vec<SystemRelation>> =
    LazyLock::new(|| include_str!("relations.txt").lines().map(parse_line).collect());

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), usize>> =
    LazyLock::new(|| RELATIONS.iter().enumerate().map(|(i, relation)| ((relation.schema, relation.name), i)).collect());

/// The relation called `schema.name`.
pub(crate) fn relation(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    BY_NAME.get(&(schema, name)).map(|&i| &RELATIONS[i])
}

fn parse_line(line: &'static str) -> SystemRelation {
    let mut words = line.split(' ');
    let mut next = || words.next().expect("relations.txt has name, oid and kind on each line");
    let (schema, name) = next().split_once('.').expect("relations.txt names are qualified");
    let oid = next().parse().expect("relations.txt oids are numbers");
    let kind = next();
    let columns: Vec<SystemColumn> = words
        .map(|word| {
            let (name, type_name) = word.split_once(':').expect("relations.txt columns have types");
            let not_null = type_name.ends_with('!');
            SystemColumn { name, type_name: type_name.trim_end_matches('!'), not_null }
        })
        .collect();
    let fields: Vec<Field> = columns.iter().map(|column| arrow_field(column.name, column.type_name)).collect();
    SystemRelation { schema, name, oid, kind, columns, arrow_schema: Arc::new(Schema::new(fields)) }
}

/// The field that carries a PostgreSQL type through DataFusion. All are nullable: outer joins make them so anyway, and a
/// plan whose nullability never changes is one that every optimizer rule accepts.
pub(crate) fn arrow_field(name: &str, type_name: &str) -> Field {
    let field = Field::new(name, arrow_type(type_name), true);
    let shown = match type_name {
        // The Arrow type alone says these.
        "bool" | "int2" | "int4" | "int8" | "float4" | "float8" | "text" | "timestamptz" | "bytea" | "numeric" => {
            return field;
        }
        array if array.starts_with('_') => format!("{}[]", &array[1..]),
        other => other.to_owned(),
    };
    field.with_metadata(HashMap::from([(PG_TYPE_METADATA.to_owned(), shown)]))
}

/// OIDs are signed 32-bit integers here: all that exist are below 2^31, and comparisons with integer and text literals
/// then need no rules of their own.
pub(crate) fn arrow_type(type_name: &str) -> DataType {
    let list = |element| DataType::List(Arc::new(Field::new_list_field(element, true)));
    match type_name {
        "bool" => DataType::Boolean,
        "int2" => DataType::Int16,
        "int4" | "oid" | "xid" | "cid" | "regproc" | "regprocedure" | "regclass" | "regtype" | "regnamespace"
        | "regrole" => DataType::Int32,
        "int8" => DataType::Int64,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "numeric" => DataType::Decimal128(38, 0),
        "bytea" => DataType::Binary,
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "int2vector" => list(DataType::Int16),
        "oidvector" => list(DataType::Int32),
        array if array.starts_with('_') => list(arrow_type(&array[1..])),
        // name, text, "char", aclitem, inet, interval, pg_lsn, pg_node_tree and other types that are only ever shown.
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn pg_class_has_the_columns_of_postgresql_15() {
        let pg_class = relation("pg_catalog", "pg_class").unwrap();
        assert_eq!(pg_class.oid, 1259);
        assert_eq!(pg_class.columns.len(), 33);
        assert_eq!(pg_class.columns[0].name, "oid");
        assert_eq!(pg_class.columns[16].name, "relkind");
        assert_eq!(pg_class.arrow_schema.field_with_name("relkind").unwrap().metadata()[PG_TYPE_METADATA], "char");
        assert_eq!(pg_class.arrow_schema.field_with_name("relacl").unwrap().metadata()[PG_TYPE_METADATA], "aclitem[]");
    }

    #[test]
    fn every_relation_is_found_by_its_name_and_has_its_own_oid() {
        let mut oids = std::collections::HashSet::new();
        for each in RELATIONS.iter() {
            assert!(std::ptr::eq(relation(each.schema, each.name).unwrap(), each));
            assert!(oids.insert(each.oid), "{}", each.name);
        }
    }
}
