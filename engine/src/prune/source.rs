//! [`Partitions`]: where a table's partitions come from, and the one question that a scan asks: which does a predicate keep?

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use limnos_catalog::PartitionStorage;

use super::partition::PartitionIndex;
use super::projection::Projection;
use crate::Notice;

/// The partitions of a table, for one statement.
#[derive(Debug, Clone)]
pub enum Partitions {
    /// Those in the catalog.
    Catalog(Arc<PartitionIndex>),
    /// Those that follow from the table's properties at the moment of the statement.
    Projected(Arc<Projection>, DateTime<Utc>),
}

/// What a predicate left.
#[derive(Debug)]
pub struct KeptPartitions {
    /// Partitions with their values and locations.
    pub index: Arc<PartitionIndex>,
    /// Those of `index` that are kept, ascending.
    pub kept: Vec<usize>,
    /// How many there are without a predicate.
    pub total: u64,
    /// Whether they were projected: each has a location of its own then, and may not be there.
    pub is_projected: bool,
    /// What a client should be told.
    pub notices: Vec<Notice>,
}

impl KeptPartitions {
    /// The same, apart by how their files are written: `None` is as the table says. There is always one.
    pub(crate) fn by_storage(&self) -> Vec<(Option<&PartitionStorage>, Self)> {
        let mut groups: Vec<(Option<&PartitionStorage>, Vec<usize>)> = vec![(None, Vec::new())];
        for &partition in &self.kept {
            let storage = self.index.list.storages.get(&partition).map(Arc::as_ref);
            match groups.iter_mut().find(|(other, _)| *other == storage) {
                Some((_, kept)) => kept.push(partition),
                None => groups.push((storage, vec![partition])),
            }
        }
        if groups.len() > 1 {
            groups.retain(|(_, kept)| !kept.is_empty());
        }
        let group = |kept| Self {
            index: Arc::clone(&self.index),
            kept,
            total: self.total,
            is_projected: self.is_projected,
            notices: Vec::new(),
        };
        groups.into_iter().map(|(storage, kept)| (storage, group(kept))).collect()
    }
}

impl Partitions {
    /// The partitions that `filters` (a conjunction over the table's columns) don't exclude. Does no I/O.
    ///
    /// # Errors
    /// A predicate that can't be evaluated; for a projection also too many partitions, or no value for an injected key.
    pub fn prune(&self, state: &dyn Session, table_schema: &SchemaRef, filters: &[Expr]) -> Result<KeptPartitions> {
        match self {
            Self::Catalog(index) => Ok(KeptPartitions {
                index: Arc::clone(index),
                kept: index.prune(state, table_schema, filters)?,
                total: index.len() as u64,
                is_projected: false,
                notices: Vec::new(),
            }),
            Self::Projected(projection, now) => projection.prune(*now, state, table_schema, filters),
        }
    }
}
