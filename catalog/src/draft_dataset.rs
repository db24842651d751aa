//! Changes to datasets that no other table has, into the next snapshot and the open transaction alike.

use std::sync::Arc;

use crate::draft::Draft;
use crate::ingestion::INGESTIONS;
use crate::store::run;
use crate::{Error, Result, Table, TableDefinition, TableKind, TableName};

impl Draft<'_> {
    pub(crate) fn drop_dataset(&mut self, name: &TableName, if_exists: bool) -> Result<()> {
        let Some(table) = self.snapshot.find_table(name).cloned() else {
            return if if_exists { Ok(()) } else { Err(self.snapshot.table_not_found(name, "dataset")) };
        };
        if table.kind.dataset().is_none() {
            let is = table.kind.noun();
            let hint = Some(format!("Use DROP {} to remove a {is}.", is.to_uppercase()));
            return Err(Error::WrongKind { name: table.name.to_string(), expected: "dataset", hint });
        }
        self.remove(&table)
    }

    pub(crate) fn refresh_dataset(&mut self, id: i64, is_populated: bool, tells_others: bool) -> Result<()> {
        let Some(table) = self.snapshot.tables.values().find(|table| table.id == id).cloned() else {
            return Err(Error::NotFound { kind: "dataset", name: id.to_string(), hint: None });
        };
        let TableKind::Dataset(dataset) = &table.kind else {
            let name = table.name.to_string();
            return Err(Error::WrongKind { name, expected: "dataset", hint: None });
        };
        let mut changed = Table { data_version: table.data_version, ..(*table).clone() };
        if dataset.is_populated != is_populated {
            let mut dataset = dataset.clone();
            dataset.is_populated = is_populated;
            let kind = TableKind::Dataset(dataset);
            changed.definition = Arc::new(TableDefinition { kind, ..(*table.definition).clone() });
            changed.version += 1;
        } else if !tells_others {
            return Ok(());
        }
        if tells_others {
            changed.data_version = self.stamp();
        }
        self.put(changed)
    }

    /// Forgets the history of a table that is gone, if it was a dataset.
    pub(crate) fn forget_ingestions(&mut self, table: &Table) -> Result<()> {
        match table.kind {
            TableKind::Dataset(_) => run::delete(self.transaction.connection(), INGESTIONS, &table.id.to_string()),
            TableKind::External(_) | TableKind::View { .. } => Ok(()),
        }
    }
}
