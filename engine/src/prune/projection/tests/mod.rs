//! Properties in, partitions out.

mod properties;
mod pruning;
mod same_as_catalog;

use std::collections::BTreeMap;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::SessionContext;
use limnos_catalog::{Column, DataType, FileFormat, StorageDescriptor, TableKind};

use super::*;
use crate::Error;
use crate::prune::KeptPartitions;
use crate::scan::schema::table_schema;

const NOW: &str = "2024-03-15T10:20:30Z";

fn name() -> TableName {
    TableName::new("default", "t")
}

/// A table with the partition keys `keys` (`day string`) and the properties `properties` (`day.type=date`).
fn table(keys: &[&str], properties: &[&str]) -> TableDefinition {
    let key = |key: &&str| {
        let (name, data_type) = key.split_once(' ').unwrap();
        Column::new(name, data_type.parse().unwrap())
    };
    let mut parameters = BTreeMap::from([("projection.enabled".to_owned(), "true".to_owned())]);
    parameters.extend(properties.iter().map(|property| {
        let (name, value) = property.split_once('=').unwrap();
        let lower = name.to_lowercase();
        let whole = lower.starts_with("storage.") || lower.starts_with("projection.");
        (if whole { name.to_owned() } else { format!("projection.{name}") }, value.to_owned())
    }));
    TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: "s3://b/t/".to_owned(),
            format: FileFormat::Parquet,
            serde: None,
            properties: BTreeMap::new(),
        }),
        columns: vec![Column::new("x", DataType::BigInt)],
        partition_keys: keys.iter().map(key).collect(),
        parameters,
        comment: None,
        owner: "limnos".to_owned(),
    }
}

fn schema(definition: &TableDefinition) -> SchemaRef {
    let (columns, keys) = table_schema(definition);
    let mut fields: Vec<FieldRef> = columns.fields().iter().cloned().collect();
    fields.extend(keys);
    Arc::new(Schema::new(fields))
}

fn prune_at(definition: &TableDefinition, filters: &[Expr], now: &str) -> Result<KeptPartitions> {
    let projection = Projection::of(&name(), definition)?.unwrap();
    let now: DateTime<Utc> = now.parse().unwrap();
    let state = SessionContext::new().state();
    projection.prune(now, &state, &schema(definition), filters).map_err(Error::from)
}

/// The folders that are kept, below the table's location.
fn folders(kept: &KeptPartitions) -> Vec<String> {
    kept.kept
        .iter()
        .map(|row| {
            let location = kept.index.list.locations[*row].as_deref().unwrap();
            location.strip_prefix("s3://b/t/").unwrap_or(location).to_owned()
        })
        .collect()
}

fn messages(kept: &KeptPartitions) -> Vec<String> {
    kept.notices.iter().map(|notice| format!("{} {}", notice.sqlstate, notice.message)).collect()
}

fn text(value: &str) -> Expr {
    lit(ScalarValue::Utf8View(Some(value.to_owned())))
}

/// Log files as most are declared.
fn logs() -> TableDefinition {
    table(
        &["region string", "day string", "hour int"],
        &[
            "region.type=enum",
            "region.values=eu,us",
            "day.type=date",
            "day.format=yyyy/MM/dd",
            "day.range=2020/01/01,NOW",
            "hour.type=integer",
            "hour.range=0,23",
            "hour.digits=2",
            "storage.location.template=s3://b/t/${region}/${day}/${hour}/",
        ],
    )
}
