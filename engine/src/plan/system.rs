//! Schema `system`: tables about the server itself, filled by whoever knows (`system.queries` by the one door).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use parking_lot::RwLock;

use super::authorize::{Rights, denied_for};
use super::pg_catalog::SystemTable as SystemTableInfo;
use crate::Result;
use crate::error::to_datafusion;

/// The name of the schema.
pub const SYSTEM_SCHEMA: &str = "system";

/// A table whose rows are made when it is read.
pub trait SystemTable: Send + Sync + 'static {
    /// Lower case.
    fn name(&self) -> &'static str;

    /// One sentence for `\d+`.
    fn comment(&self) -> &'static str;

    /// Its columns.
    fn schema(&self) -> SchemaRef;

    /// Its rows now.
    ///
    /// # Errors
    /// When they can't be made.
    fn rows(&self) -> Result<RecordBatch>;

    /// Those of its rows that a role may see. Unless a table knows better, what the server does is for those who watch it.
    ///
    /// # Errors
    /// 42501; and as [`SystemTable::rows`].
    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        match rights.reads_statistics() {
            true => self.rows(),
            false => Err(denied_for("table", self.name())),
        }
    }
}

/// The tables of schema `system`.
#[derive(Default)]
pub struct SystemTables {
    tables: RwLock<BTreeMap<&'static str, Arc<dyn SystemTable>>>,
    /// What the catalogs show of them, made when one is added.
    described: RwLock<Arc<[SystemTableInfo]>>,
}

impl fmt::Debug for SystemTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.read().keys()).finish()
    }
}

impl SystemTables {
    /// Adds a table, or replaces the one of the same name.
    pub fn register(&self, table: Arc<dyn SystemTable>) {
        let mut tables = self.tables.write();
        tables.insert(table.name(), table);
        let described = tables.values().map(|table| SystemTableInfo {
            schema: SYSTEM_SCHEMA.to_owned(),
            name: table.name().to_owned(),
            columns: table.schema(),
            comment: Some(table.comment().to_owned()),
        });
        *self.described.write() = described.collect();
    }

    /// What the catalogs show of all tables, by name.
    pub(crate) fn described(&self) -> Arc<[SystemTableInfo]> {
        Arc::clone(&self.described.read())
    }
}

/// The schema as DataFusion sees it.
#[derive(Debug)]
pub(crate) struct SystemSchema(pub(crate) Arc<SystemTables>, pub(crate) Arc<Rights>);

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.tables.read().keys().map(|&name| name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.0.tables.read().get(name).cloned() else {
            return Ok(None);
        };
        let batch = table.rows_for(&self.1).map_err(to_datafusion)?;
        Ok(Some(Arc::new(MemTable::try_new(table.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.tables.read().contains_key(name)
    }
}
