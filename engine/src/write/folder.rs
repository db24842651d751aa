//! [`Folders`]: key values of rows -> the folder that their partition has, and how the catalog is told of it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::row::{RowConverter, SortField};
use chrono::{DateTime, Utc};
use datafusion::common::{Column, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, lit};
use limnos_catalog::partition::{HIVE_DEFAULT_PARTITION, hive_path};
use limnos_catalog::{DataType, Table, TableDefinition};
use object_store::path::Path;

use super::rows::RowTarget;
use crate::encode::text::write_text;
use crate::prune::projection::Projection;
use crate::prune::{PartitionIndex, Partitions};
use crate::scan::store::{Location, Stores};
use crate::{Error, ErrorCode, Result};

/// Where one partition's files go.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// As in [`limnos_catalog::Partition::values`].
    pub(crate) values: Vec<Option<String>>,
    /// Its path in the table's store.
    pub(crate) path: Path,
    /// Its location, as the catalog has it, where that is not the table's and Hive's path.
    pub(crate) own: Option<String>,
}

/// See the module.
pub(crate) enum Folders {
    /// No keys: all rows are in one folder.
    One,
    /// Folders as Hive names them; partitions that are there already keep theirs.
    Hive(Known),
    /// Folders as the table's properties say.
    Projected(Box<Projected>),
}

/// Partitions that are there, as far as their place isn't told by their values.
pub(crate) struct Known {
    index: Option<Arc<PartitionIndex>>,
    /// By the key values, in `converter`'s rows.
    numbers: HashMap<Box<[u8]>, usize>,
}

pub(crate) struct Projected {
    projection: Arc<Projection>,
    now: DateTime<Utc>,
    state: SessionState,
    schema: SchemaRef,
}

/// Key values as bytes that are equal where the values are.
pub(crate) fn converter(keys: &[FieldRef]) -> Result<RowConverter> {
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    RowConverter::new(fields).map_err(|error| Error::internal(error.to_string()))
}

impl Folders {
    /// The folders of a table that isn't there yet.
    pub(crate) fn of_new(definition: &TableDefinition) -> Self {
        if definition.partition_keys.is_empty() {
            return Self::One;
        }
        Self::Hive(Known { index: None, numbers: HashMap::new() })
    }

    /// The folders of a table. `schema` has its columns and keys.
    pub(crate) fn of(
        table: &Table,
        keys: &[FieldRef],
        partitions: Partitions,
        state: &SessionState,
        schema: &SchemaRef,
    ) -> Result<Self> {
        if keys.is_empty() {
            return Ok(Self::One);
        }
        let index = match partitions {
            Partitions::Catalog(index) => index,
            Partitions::Projected(projection, now) => {
                let (state, schema) = (state.clone(), Arc::clone(schema));
                return Ok(Self::Projected(Box::new(Projected { projection, now, state, schema })));
            }
        };
        // `month=1` and `month=01` are one number, but two texts.
        let is_told_by_values = table.partition_keys.iter().all(|key| key.data_type == DataType::String)
            && index.list.storages.is_empty()
            && index.list.locations.iter().all(Option::is_none);
        let mut numbers = HashMap::new();
        if !is_told_by_values {
            let rows =
                converter(keys)?.convert_columns(&index.values).map_err(|error| Error::internal(error.to_string()))?;
            numbers.extend(rows.iter().enumerate().map(|(number, row)| (row.as_ref().into(), number)));
        }
        Ok(Self::Hive(Known { index: Some(index), numbers }))
    }

    /// The folder of row `row` of the key columns `keys`; `bytes` are that row's.
    pub(crate) fn folder(&self, target: &RowTarget, keys: &[ArrayRef], row: usize, bytes: &[u8]) -> Result<Folder> {
        let RowTarget { table, location, stores, keys: fields, .. } = target;
        match self {
            Self::One => Ok(Folder { values: Vec::new(), path: location.path.clone(), own: None }),
            Self::Hive(known) => {
                let Some(number) = known.numbers.get(bytes) else {
                    let values = keys.iter().map(|key| key_text(key, row)).collect();
                    return hive_folder(location, fields, values);
                };
                let Some(index) = &known.index else { return Err(Error::internal("a partition of no table")) };
                let list = &index.list;
                let values: Vec<Option<String>> =
                    list.values.iter().map(|values| values[*number].as_deref().map(str::to_owned)).collect();
                if list.storages.contains_key(number) {
                    let name = hive_folder(location, fields, values)?.path;
                    let message =
                        format!("partition \"{}\" of table \"{table}\" cannot be written", tail(location, &name));
                    return Err(Error::unsupported(message)
                        .with_detail("Its files are written otherwise than its table's.")
                        .with_hint(
                            "Give it the table's own format with ALTER TABLE ... PARTITION (...) SET FILEFORMAT.",
                        ));
                }
                match list.locations[*number].as_deref() {
                    None => hive_folder(location, fields, values),
                    Some(own) => own_folder(table, location, stores, values, own),
                }
            }
            Self::Projected(projected) => projected.folder(target, keys, row),
        }
    }
}

impl Projected {
    fn folder(&self, target: &RowTarget, keys: &[ArrayRef], row: usize) -> Result<Folder> {
        let RowTarget { table, location, stores, keys: fields, .. } = target;
        let mut filters: Vec<Expr> = Vec::with_capacity(fields.len());
        for (field, key) in fields.iter().zip(keys) {
            let value = ScalarValue::try_from_array(key, row)?;
            if value.is_null() {
                return Err(outside(table, field.name(), "NULL"));
            }
            filters.push(Expr::Column(Column::from_name(field.name())).eq(lit(value)));
        }
        let kept = self.projection.prune(self.now, &self.state, &self.schema, &filters).map_err(Error::from)?;
        let Some(number) = kept.kept.first() else {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            let values: Vec<String> = keys.iter().map(|key| key_text(key, row).unwrap_or_default()).collect();
            return Err(outside(table, &names.join("\", \""), &values.join(", ")));
        };
        let list = &kept.index.list;
        let values: Vec<Option<String>> =
            list.values.iter().map(|values| values[*number].as_deref().map(str::to_owned)).collect();
        match list.locations[*number].as_deref() {
            None => hive_folder(location, fields, values),
            Some(own) => own_folder(table, location, stores, values, own),
        }
    }
}

fn outside(table: &str, keys: &str, values: &str) -> Error {
    let message = format!("partition key \"{keys}\" of table \"{table}\" cannot have the value {values}");
    Error::new(ErrorCode::InvalidParameterValue, message)
        .with_detail("The partitions of the table are projected from its properties, and no query would find the row.")
        .with_hint("Widen the projection with ALTER TABLE ... SET TBLPROPERTIES, or leave the row out.")
}

/// A value as a folder spells it.
fn key_text(key: &ArrayRef, row: usize) -> Option<String> {
    use arrow::array::Array;
    if key.is_null(row) {
        return None;
    }
    let mut text = String::new();
    write_text(key, row, &mut text);
    (text != HIVE_DEFAULT_PARTITION).then_some(text)
}

fn hive_folder(location: &Location, fields: &[FieldRef], values: Vec<Option<String>>) -> Result<Folder> {
    let keys = fields.iter().map(|field| field.name().as_str());
    let relative = hive_path(keys.zip(values.iter().map(Option::as_deref)));
    let path = Path::parse(format!("{}/{}", location.path, relative.trim_end_matches('/'))).map_err(|error| {
        let message = format!("a partition cannot be named \"{}\"", relative.trim_end_matches('/'));
        Error::new(ErrorCode::InvalidParameterValue, message).with_detail(format!("{error}."))
    })?;
    Ok(Folder { values, path, own: None })
}

fn own_folder(
    table: &str,
    location: &Location,
    stores: &Stores,
    values: Vec<Option<String>>,
    own: &str,
) -> Result<Folder> {
    let place = stores.resolve(own)?;
    if place.store_url != location.store_url {
        return Err(Error::unsupported(format!(
            "partition location \"{}\" of table \"{table}\" is in another store than the table",
            place.url
        )));
    }
    Ok(Folder { values, path: place.path, own: Some(own.to_owned()) })
}

fn tail<'a>(location: &Location, path: &'a Path) -> &'a str {
    path.as_ref().strip_prefix(location.path.as_ref()).unwrap_or(path.as_ref()).trim_start_matches('/')
}
