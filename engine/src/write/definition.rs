//! CREATE TABLE AS: the query's columns and Athena's WITH (...) -> a table's definition.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use limnos_catalog::{Column, CreateMode, StorageDescriptor, TableDefinition, TableKind, TableName};

use super::order::{self, SORTED_BY};
use super::plan::{PlannedWrite, WriteKind, as_columns, resolve_name};
use crate::engine::output_schema;
use crate::error::nearest;
use crate::parse::ddl::{Stored, resolve_format};
use crate::parse::{CreateTableAs, TableProperty};
use crate::plan::lake::PlanContext;
use crate::plan::query::{PlannedQuery, plan_query};
use crate::scan::schema::catalog_field_type;
use crate::{Error, ErrorCode, Result};

/// Marks a table whose files are its own, in a folder that was made for it: they go when it is dropped.
pub(crate) const MANAGED: &str = "limnos.managed";

/// Whether a table's files go with it.
pub(crate) fn is_managed(definition: &TableDefinition) -> bool {
    definition.parameters.get(MANAGED).is_some_and(|value| value == "true")
}

/// The properties of WITH (...), for messages.
const PROPERTIES: [&str; 16] = [
    "format",
    "external_location",
    "location",
    "partitioned_by",
    "sorted_by",
    "bucketed_by",
    "bucket_count",
    "write_compression",
    "parquet_compression",
    "orc_compression",
    "compression",
    "compression_level",
    "field_delimiter",
    "target_file_size",
    "table_type",
    "is_external",
];

/// Where a table says at which size its files are ended.
pub(crate) const TARGET_FILE_SIZE: &str = "limnos.target_file_size";

/// A table that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewTable {
    pub(crate) name: TableName,
    pub(crate) definition: TableDefinition,
    pub(crate) mode: CreateMode,
    pub(crate) with_data: bool,
}

/// Plans CREATE TABLE AS.
pub(super) async fn plan_create(context: PlanContext, create: &CreateTableAs) -> Result<PlannedWrite> {
    let Some(query) = &create.query else { return Err(Error::internal("a table without a query")) };
    let planned = plan_query(context.clone(), query).await?;
    let schema = output_schema(&planned)?;
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(Column::new(field.name().to_lowercase(), catalog_field_type(field)?));
    }
    if create.names.len() > columns.len() {
        return Err(Error::syntax("too many column names were specified"));
    }
    for (column, name) in columns.iter_mut().zip(&create.names) {
        column.name = name.to_lowercase();
    }
    let mut seen = HashSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(column.name.as_str())) {
        let message = format!("column \"{}\" specified more than once", twice.name);
        return Err(Error::new(ErrorCode::DuplicateColumn, message)
            .with_hint("Give each column of the query a name of its own with AS."));
    }
    let new = new_table(&context, create, columns)?;
    let PlannedQuery { plan, state, .. } = planned;
    let all: Vec<&Column> = new.definition.columns.iter().chain(&new.definition.partition_keys).collect();
    let plan = order::sorted(as_columns(plan, &all)?, &new.definition)?;
    Ok(PlannedWrite { plan, state, target: WriteKind::New(Box::new(new)) })
}

/// The table that a statement says, with `columns`, those of its keys among them.
pub(crate) fn new_table(context: &PlanContext, create: &CreateTableAs, mut columns: Vec<Column>) -> Result<NewTable> {
    let table = &create.table;
    let name = resolve_name(context, &table.name);
    let said = Properties::read(&create.properties)?;
    let mut storage = StorageDescriptor {
        location: String::new(),
        format: table.format,
        serde: table.serde.clone(),
        properties: table.serde_properties.clone(),
    };
    if let Some(format) = &said.format {
        if !storage.properties.is_empty() || storage.serde.is_some() {
            return Err(Error::syntax("the format is said twice, in WITH and in STORED AS or ROW FORMAT"));
        }
        let resolved = resolve_format(Stored::Format(format.to_uppercase()))?;
        (storage.format, storage.serde, storage.properties) = (resolved.format, resolved.serde, resolved.properties);
    }
    if let Some(delimiter) = &said.field_delimiter {
        storage.properties.insert("field.delim".to_owned(), delimiter.clone());
    }
    let mut parameters: BTreeMap<String, String> = table.parameters.clone();
    parameters.extend(said.parameters);
    parameters.remove(MANAGED);
    let mut partition_keys = table.partition_keys.clone();
    if create.query.is_some() {
        let declared = partition_keys.iter().map(|key| key.name.clone()).collect();
        let keys = if said.partitioned_by.is_empty() { declared } else { said.partitioned_by };
        partition_keys = take_keys(&mut columns, &keys)?;
    }
    let (location, is_managed) = match said.location.or_else(|| table.location.clone()) {
        Some(location) => (context.shared.scan.stores.resolve(&as_folder(&location))?.url, false),
        None => (default_location(context, &name)?, true),
    };
    storage.location = location;
    if is_managed {
        parameters.insert(MANAGED.to_owned(), "true".to_owned());
    }
    let definition = TableDefinition {
        kind: TableKind::External(storage),
        columns,
        partition_keys,
        parameters,
        comment: table.comment.clone(),
        owner: context.session.user.clone(),
    };
    definition.validate()?;
    order::check(&definition)?;
    crate::scan::format::check(&definition)?;
    let with_data = create.with_data && create.query.is_some();
    Ok(NewTable { name, definition, mode: table.mode, with_data })
}

fn as_folder(location: &str) -> String {
    format!("{}/", location.trim_end_matches('/'))
}

/// Takes the keys off the end of `columns`.
fn take_keys(columns: &mut Vec<Column>, keys: &[String]) -> Result<Vec<Column>> {
    for key in keys {
        if !columns.iter().any(|column| column.name == *key) {
            let message = format!("partition key \"{key}\" is not a column of the query");
            let mut error = Error::new(ErrorCode::UndefinedColumn, message);
            if let Some(near) = nearest(key, columns.iter().map(|column| column.name.as_str())) {
                error = error.with_hint(format!("Did you mean \"{near}\"?"));
            }
            return Err(error);
        }
    }
    if keys.len() == columns.len() && !keys.is_empty() {
        return Err(Error::new(ErrorCode::InvalidTableDefinition, "a table cannot have partition keys only")
            .with_hint("Select at least one column more, before the keys."));
    }
    let start = columns.len().saturating_sub(keys.len());
    if !columns[start..].iter().map(|column| &column.name).eq(keys) {
        let message =
            "partition keys must be the last columns in the table and in the same order as the table properties";
        return Err(Error::new(ErrorCode::InvalidTableDefinition, format!("{message}: [{}]", keys.join(", ")))
            .with_hint("Select them last, in this order."));
    }
    Ok(columns.split_off(start))
}

/// A folder of its own for a new table: in its database's location, or in the warehouse.
fn default_location(context: &PlanContext, name: &TableName) -> Result<String> {
    let database = context.snapshot.database(&name.database)?;
    let base = match (&database.location, &context.shared.warehouse) {
        (Some(location), _) => location.trim_end_matches('/').to_owned(),
        (None, Some(warehouse)) => format!("{}/{}", warehouse.trim_end_matches('/'), name.database),
        (None, None) => {
            let message = format!("table \"{name}\" needs a location");
            return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
                .with_hint("Name one with external_location or LOCATION, or start with --warehouse."));
        }
    };
    let salt = RandomState::new().hash_one(&name.name) >> 32;
    // As a path: what a name may hold and a location not is replaced.
    let plain: String = name
        .name
        .chars()
        .map(|character| if character.is_alphanumeric() || "_-".contains(character) { character } else { '_' })
        .take(64)
        .collect();
    Ok(context.shared.scan.stores.resolve(&format!("{base}/{plain}-{salt:08x}/"))?.url)
}

/// What WITH (...) says.
#[derive(Default)]
struct Properties {
    format: Option<String>,
    location: Option<String>,
    partitioned_by: Vec<String>,
    field_delimiter: Option<String>,
    parameters: BTreeMap<String, String>,
}

impl Properties {
    fn read(written: &[(String, TableProperty)]) -> Result<Self> {
        let mut read = Self::default();
        let mut seen = HashSet::new();
        for (name, property) in written {
            let invalid = |message: String| Error::new(ErrorCode::InvalidParameterValue, message).at(property.position);
            if !seen.insert(name) {
                return Err(
                    Error::syntax(format!("table property \"{name}\" specified more than once")).at(property.position)
                );
            }
            let is_list = matches!(name.as_str(), "partitioned_by" | "bucketed_by" | "sorted_by" | "partitioning");
            if is_list != property.is_list && PROPERTIES.contains(&name.as_str()) {
                let wanted = if is_list { "an ARRAY['...']" } else { "a single value" };
                return Err(invalid(format!("table property \"{name}\" must be {wanted}")));
            }
            let value = property.values.first().cloned().unwrap_or_default();
            match name.as_str() {
                "format" => read.format = Some(value),
                "external_location" | "location" => read.location = Some(value),
                "partitioned_by" => {
                    read.partitioned_by = property.values.iter().map(|key| key.to_lowercase()).collect()
                }
                "sorted_by" => {
                    read.parameters.insert(SORTED_BY.to_owned(), property.values.join(", "));
                }
                "field_delimiter" => read.field_delimiter = Some(value),
                "write_compression" | "parquet_compression" | "orc_compression" | "compression" => {
                    read.parameters.insert("write.compression".to_owned(), value);
                }
                "compression_level" => {
                    read.parameters.insert("compression_level".to_owned(), value);
                }
                "target_file_size" => {
                    read.parameters.insert(TARGET_FILE_SIZE.to_owned(), value);
                }
                "table_type" if value.eq_ignore_ascii_case("hive") => {}
                "table_type" => {
                    let message = format!("table type \"{value}\" is not supported");
                    return Err(Error::unsupported(message).at(property.position));
                }
                // Athena's word for where the files are; here the location says it.
                "is_external" => {}
                "bucketed_by" | "bucket_count" => {
                    return Err(Error::unsupported(format!("table property \"{name}\" is not supported"))
                        .with_hint(
                            "Use sorted_by with the column: statistics of files and row groups skip what isn't wanted.",
                        )
                        .at(property.position));
                }
                other => {
                    let error = invalid(format!("table property \"{other}\" does not exist"));
                    return Err(match nearest(other, PROPERTIES.into_iter()) {
                        Some(near) => error.with_hint(format!("Did you mean \"{near}\"?")),
                        None => error.with_hint(format!("Properties are {}.", PROPERTIES.join(", "))),
                    });
                }
            }
        }
        Ok(read)
    }
}
