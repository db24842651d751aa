//! `ALTER SYSTEM DROP CACHE`, and `system.caches`: what is kept between queries, as a table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::CommandAnswer;
use crate::cache::{CacheUsage, Caches};
use crate::error::translate::nearest;
use crate::plan::system::SystemTable;
use crate::{Error, ErrorCode, Result};

/// Empties the cache called `name`; without a name all of them.
pub(super) fn drop_cache(caches: &Caches, name: Option<&str>) -> Result<CommandAnswer> {
    match name {
        Some(name) => caches.find(name).ok_or_else(|| unknown(caches, name))?.clear(),
        None => caches.all().iter().for_each(|cache| cache.clear()),
    }
    Ok(CommandAnswer::tag("ALTER SYSTEM"))
}

fn unknown(caches: &Caches, name: &str) -> Error {
    let names: Vec<&str> = caches.all().iter().map(|cache| cache.name()).collect();
    let error = Error::new(ErrorCode::UndefinedObject, format!("cache \"{name}\" does not exist"));
    match nearest(&name.to_lowercase(), names.iter().copied()) {
        Some(near) => error.with_hint(format!("Did you mean \"{near}\"?")),
        None => error.with_hint(format!("The caches are {}; ALL means each of them.", names.join(", "))),
    }
}

/// `system.caches`.
pub(crate) struct CacheTable(pub(crate) Arc<Caches>);

/// A column of numbers and where it comes from.
type Number = (&'static str, fn(&CacheUsage) -> u64);

const NUMBERS: [Number; 5] = [
    ("entries", |usage| usage.entries),
    ("bytes", |usage| usage.bytes),
    ("limit_bytes", |usage| usage.limit_bytes),
    ("hits", |usage| usage.hits),
    ("misses", |usage| usage.misses),
];

impl SystemTable for CacheTable {
    fn name(&self) -> &'static str {
        "caches"
    }

    fn comment(&self) -> &'static str {
        "What is kept between queries, how much of it, and how often it helped since the server started."
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("name", DataType::Utf8, true)];
        fields.extend(NUMBERS.iter().map(|(name, _)| Field::new(*name, DataType::Int64, true)));
        Arc::new(Schema::new(fields))
    }

    fn rows(&self) -> Result<RecordBatch> {
        let rows: Vec<(&str, CacheUsage)> = self.0.all().iter().map(|cache| (cache.name(), cache.usage())).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)))];
        for (_, number) in NUMBERS {
            let numbers = rows.iter().map(|row| i64::try_from(number(&row.1)).unwrap_or(i64::MAX));
            columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
        }
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::internal(error.to_string()))
    }
}
