//! Partition projection: partitions that follow from a table's properties instead of being catalogued, as in Athena
//! (<https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html>).
//!
//! ```text
//! TBLPROPERTIES ─ property ─ Projection ─ at a moment ─ Sequence per key ─ narrow (constants) ─ evaluate (one key's filters)
//!               ─ product of what is left ─ the whole predicate, vectorised ─ the partitions kept, with their locations
//! ```
//! [`moment`] and [`pattern`] are dates, [`template`] is where folders lie. Nothing here does I/O, and nothing is kept from
//! one statement to the next: NOW moves.

mod choose;
mod moment;
mod narrow;
mod pattern;
mod property;
mod sequence;
mod template;

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use limnos_catalog::partition::hive_path;
use limnos_catalog::{TableDefinition, TableName};

use crate::{Notice, Result};
use moment::{RangeEnd, Unit};
use pattern::Pattern;
use template::Template;

/// What a table's properties say of its partitions.
#[derive(Debug, Clone)]
pub struct Projection {
    table: Arc<str>,
    fields: Vec<FieldRef>,
    keys: Vec<KeyProjection>,
    template: Option<Template>,
    /// The table's own location.
    location: String,
}

/// What one key's values are.
#[derive(Debug, Clone)]
enum KeyProjection {
    Enum(Arc<[Box<str>]>),
    Integer {
        first: i64,
        last: i64,
        step: i64,
        digits: usize,
    },
    Date {
        from: RangeEnd,
        to: RangeEnd,
        interval: i64,
        unit: Unit,
        pattern: Arc<Pattern>,
    },
    /// Those that a query names.
    Injected,
}

/// Checks the projection properties of a table that is to be made or changed. What has no effect is told in notices.
///
/// # Errors
/// [`crate::ErrorCode::InvalidTableDefinition`], which names table, property and value, with a hint.
pub fn validate(name: &TableName, definition: &TableDefinition) -> Result<Vec<Notice>> {
    Ok(property::read(name, definition)?.notices)
}

impl Projection {
    /// The projection of a table; `None` where its partitions are those in the catalog.
    ///
    /// # Errors
    /// As [`validate`].
    pub fn of(name: &TableName, definition: &TableDefinition) -> Result<Option<Self>> {
        Ok(property::read(name, definition)?.projection)
    }

    /// The table's own location.
    pub fn table_location(&self) -> &str {
        &self.location
    }

    /// Where the partition of these key values lies: a folder's location, by the template or as Hive names it under the
    /// table's location. Values are in the keys' order, spelled as the folder spells them.
    pub fn location(&self, values: &[&str]) -> String {
        match &self.template {
            Some(template) => template.fill(values),
            None => {
                let keys = self.fields.iter().map(|field| field.name().as_str());
                let path = hive_path(keys.zip(values.iter().map(|value| Some(*value))));
                format!("{}/{path}", self.location.trim_end_matches('/'))
            }
        }
    }

    /// The template's location for some values, to be checked against the roots; `None` without a template.
    pub fn sample_location(&self) -> Option<String> {
        self.template.as_ref()?;
        let now = property::sample_moments().next()?;
        let sample = |(key, field): (&KeyProjection, &FieldRef)| match key {
            KeyProjection::Date { pattern, .. } => pattern.spell(now),
            key => {
                let ends = key.sequence(&self.table, field, now).and_then(|values| values.ends());
                ends.map_or_else(|| "value".to_owned(), |(first, _)| first.into())
            }
        };
        let values: Vec<String> = self.keys.iter().zip(&self.fields).map(sample).collect();
        Some(self.location(&values.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
