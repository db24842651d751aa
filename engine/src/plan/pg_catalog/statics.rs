//! The catalog tables whose rows don't depend on ours: types, functions, operators, casts, collations and the like.
//!
//! The rows come with `datafusion-pg-catalog`, exported from a newer PostgreSQL; here they get the columns of
//! PostgreSQL 15, in order, typed as [`super::relations`] says. Built on first use, once per process.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion_pg_catalog::pg_catalog::PgCatalogStaticTables;

use super::relations::{SystemRelation, relation};
use super::value::{Value, array_of, default_of, values_of};

macro_rules! exports {
    ($source:expr, $($name:ident),+ $(,)?) => {
        [$((stringify!($name), concat_batches(&$source.$name.schema(), $source.$name.data()))),+]
    };
}

/// The tables by name.
static TABLES: LazyLock<Result<HashMap<&'static str, RecordBatch>, String>> =
    LazyLock::new(|| build().map_err(|error| error.to_string()));

/// The rows of a table that is the same in every catalog; `None` if it isn't one.
pub(crate) fn static_table(name: &str) -> Result<Option<RecordBatch>> {
    let tables =
        TABLES.as_ref().map_err(|error| exec_datafusion_err!("the built-in catalog tables are damaged: {error}"))?;
    Ok(tables.get(name).cloned())
}

fn build() -> Result<HashMap<&'static str, RecordBatch>> {
    let source = PgCatalogStaticTables::try_new()?;
    let exports = exports!(
        source,
        pg_aggregate,
        pg_am,
        pg_amop,
        pg_amproc,
        pg_cast,
        pg_collation,
        pg_conversion,
        pg_language,
        pg_opclass,
        pg_operator,
        pg_opfamily,
        pg_proc,
        pg_range,
        pg_ts_config,
        pg_ts_dict,
        pg_ts_parser,
        pg_ts_template,
        pg_type,
        pg_description,
    );
    let mut tables = HashMap::new();
    let mut procedures = HashMap::new();
    for (name, export) in &exports {
        if *name == "pg_proc" {
            procedures = procedure_oids(export.as_ref().map_err(|error| exec_datafusion_err!("{error}"))?)?;
        }
    }
    for (name, export) in exports {
        let relation = relation("pg_catalog", name).expect("relations.txt has every exported table");
        tables.insert(name, adapt(relation, &export?, &procedures)?);
    }
    Ok(tables)
}

/// `regproc` columns are exported as names; the first function of a name is the one that support functions mean.
fn procedure_oids(export: &RecordBatch) -> Result<HashMap<String, i64>> {
    let column = |name: &str| export.column_by_name(name).ok_or_else(|| exec_datafusion_err!("pg_proc has no {name}"));
    let oids = values_of(column("oid")?)?;
    let names = values_of(column("proname")?)?;
    let mut map = HashMap::with_capacity(names.len());
    for (name, oid) in names.into_iter().zip(oids) {
        if let (Value::Text(name), Some(oid)) = (name, oid.as_int()) {
            map.entry(name).or_insert(oid);
        }
    }
    Ok(map)
}

fn adapt(relation: &SystemRelation, export: &RecordBatch, procedures: &HashMap<String, i64>) -> Result<RecordBatch> {
    let count = export.num_rows();
    let mut arrays = Vec::with_capacity(relation.columns.len());
    for (column, field) in relation.columns.iter().zip(relation.arrow_schema.fields()) {
        let source = export.column_by_name(column.name).or_else(|| match column.name {
            // Renamed after 15.
            "colliculocale" => export.column_by_name("colllocale"),
            _ => None,
        });
        let array: ArrayRef = match source {
            Some(source) if column.type_name == "regproc" && !source.data_type().is_integer() => {
                let values = values_of(source)?.into_iter().map(|name| match name {
                    Value::Text(name) => {
                        Value::Int(name.parse().ok().or_else(|| procedures.get(&name).copied()).unwrap_or(0))
                    }
                    _ => Value::Int(0),
                });
                array_of(&DataType::Int32, &values.collect::<Vec<_>>())?
            }
            Some(source) => convert(source, field.data_type())?,
            None => match default_of(column.type_name, column.not_null) {
                Value::Null => new_null_array(field.data_type(), count),
                value => array_of(field.data_type(), &vec![value; count])?,
            },
        };
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(relation.arrow_schema.clone(), arrays)?)
}

fn convert(source: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    match (source.data_type(), target) {
        (from, to) if from == to => Ok(ArrayRef::clone(source)),
        // Vectors and arrays were exported as text: `1 2`, `{1,2}` or `['a', 'b']`.
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, DataType::List(element)) => {
            let values = values_of(source)?.into_iter().map(|value| match value {
                Value::Text(text) => Value::List(
                    text.split([' ', ',', '{', '}', '[', ']'])
                        .map(|item| item.trim_matches(['\'', '"']))
                        .filter(|item| !item.is_empty())
                        .map(|item| match element.data_type() {
                            DataType::Utf8 => Value::from(item),
                            _ => item.parse::<i64>().ok().into(),
                        })
                        .collect(),
                ),
                _ => Value::Null,
            });
            array_of(target, &values.collect::<Vec<_>>())
        }
        _ => Ok(cast(source, target)?),
    }
}

/// A function as `\df` and `pg_get_functiondef` show it.
#[derive(Debug)]
pub(crate) struct Procedure {
    pub(crate) oid: i32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) returns_set: bool,
    pub(crate) return_type: i32,
    pub(crate) language: i32,
    pub(crate) source: String,
    /// Mode (`i`, `o`, `b`, `v`, `t`), name (may be empty) and type.
    pub(crate) arguments: Vec<(char, String, i32)>,
}

/// The functions by OID.
pub(crate) static PROCEDURES: LazyLock<HashMap<i32, Procedure>> = LazyLock::new(|| {
    static_table("pg_proc").ok().flatten().and_then(|table| procedures(&table).ok()).unwrap_or_default()
});

fn procedures(table: &RecordBatch) -> Result<HashMap<i32, Procedure>> {
    let column = |name: &str| {
        let array = table.column_by_name(name).ok_or_else(|| exec_datafusion_err!("pg_proc has no {name}"))?;
        values_of(array)
    };
    let ints = |value: &Value| match value {
        Value::List(items) => items.iter().filter_map(Value::as_int).map(|i| i as i32).collect(),
        _ => Vec::new(),
    };
    let texts = |value: &Value| match value {
        Value::List(items) => items.iter().map(|item| item.as_text().unwrap_or_default().to_owned()).collect(),
        _ => Vec::<String>::new(),
    };
    let (oids, names, kinds, sets, returns) =
        (column("oid")?, column("proname")?, column("prokind")?, column("proretset")?, column("prorettype")?);
    let (types, all_types, modes, argument_names) =
        (column("proargtypes")?, column("proallargtypes")?, column("proargmodes")?, column("proargnames")?);
    let (languages, sources, variadics) = (column("prolang")?, column("prosrc")?, column("provariadic")?);
    let mut map = HashMap::with_capacity(oids.len());
    for i in 0..oids.len() {
        let input: Vec<i32> = ints(&types[i]);
        let all: Vec<i32> = ints(&all_types[i]);
        let modes: Vec<String> = texts(&modes[i]);
        let names_of_arguments = texts(&argument_names[i]);
        let argument_types = if all.is_empty() { input } else { all };
        let last = argument_types.len().saturating_sub(1);
        let variadic = variadics[i].as_int().unwrap_or(0) != 0;
        let arguments = argument_types.iter().enumerate().map(|(k, &type_oid)| {
            let mode = modes.get(k).and_then(|mode| mode.chars().next());
            let mode = mode.unwrap_or(if variadic && k == last { 'v' } else { 'i' });
            (mode, names_of_arguments.get(k).cloned().unwrap_or_default(), type_oid)
        });
        let oid = oids[i].as_int().unwrap_or(0) as i32;
        let procedure = Procedure {
            oid,
            name: names[i].as_text().unwrap_or_default().to_owned(),
            kind: kinds[i].as_text().unwrap_or("f").to_owned(),
            returns_set: sets[i].as_bool().unwrap_or(false),
            return_type: returns[i].as_int().unwrap_or(0) as i32,
            language: languages[i].as_int().unwrap_or(0) as i32,
            source: sources[i].as_text().unwrap_or_default().to_owned(),
            arguments: arguments.collect(),
        };
        map.insert(oid, procedure);
    }
    Ok(map)
}

/// OIDs of functions by name.
pub(crate) static PROCEDURES_BY_NAME: LazyLock<HashMap<&'static str, Vec<i32>>> = LazyLock::new(|| {
    let mut map: HashMap<&'static str, Vec<i32>> = HashMap::new();
    for procedure in PROCEDURES.values() {
        map.entry(&procedure.name).or_default().push(procedure.oid);
    }
    map.values_mut().for_each(|oids| oids.sort_unstable());
    map
});

/// Comments on built-in objects: (class, object, column) -> text.
pub(crate) static DESCRIPTIONS: LazyLock<HashMap<(i32, i32, i32), String>> = LazyLock::new(|| {
    static_table("pg_description").ok().flatten().map(|table| descriptions(&table)).unwrap_or_default()
});

fn descriptions(table: &RecordBatch) -> HashMap<(i32, i32, i32), String> {
    let int = |i: usize| table.column(i).as_primitive::<Int32Type>();
    let (objects, classes, columns) = (int(0), int(1), int(2));
    let texts = table.column(3).as_string::<i32>();
    (0..table.num_rows())
        .filter(|&i| texts.is_valid(i))
        .map(|i| ((classes.value(i), objects.value(i), columns.value(i)), texts.value(i).to_owned()))
        .collect()
}
