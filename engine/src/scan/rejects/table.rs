//! `system.rejects`: the lines that tables with `limnos.on_error` = `quarantine` have left out.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use limnos_catalog::{Catalog, KeptReject, Privilege, Table};

use super::RejectLog;
use crate::plan::authorize::Rights;
use crate::plan::system::SystemTable;
use crate::{Error, Result};

/// A row for each line that is kept.
pub(crate) struct RejectTable {
    /// Where they are kept.
    pub(crate) catalog: Arc<Catalog>,
    /// Who writes them down.
    pub(crate) log: Arc<RejectLog>,
}

impl SystemTable for RejectTable {
    fn name(&self) -> &'static str {
        "rejects"
    }

    fn comment(&self) -> &'static str {
        "Lines that tables with limnos.on_error = quarantine have left out, at most a thousand of a file."
    }

    fn schema(&self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let count = |name: &str| Field::new(name, DataType::Int64, true);
        Arc::new(Schema::new(vec![
            text("table_name"),
            text("file"),
            count("line"),
            count("byte_offset"),
            text("column_name"),
            text("sqlstate"),
            text("reason"),
            text("raw"),
            text("file_version"),
            Field::new("seen_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        ]))
    }

    fn rows(&self) -> Result<RecordBatch> {
        self.rows_of(&|_| true)
    }

    /// Lines of files are rows that a table hasn't: for those who may read it.
    fn rows_for(&self, rights: &Rights) -> Result<RecordBatch> {
        self.rows_of(&|table| {
            rights.check_database(&table.name.database, Privilege::Usage).is_ok()
                && rights.check_table(table, Privilege::Select).is_ok()
        })
    }
}

impl RejectTable {
    fn rows_of(&self, is_shown: &dyn Fn(&Table) -> bool) -> Result<RecordBatch> {
        self.log.flush();
        let snapshot = self.catalog.snapshot();
        let tables: HashMap<i64, _> = snapshot.tables.values().map(|table| (table.id, table)).collect();
        // What a dropped table left behind, or one that was changed meanwhile, is nobody's.
        let kept: Vec<(String, KeptReject)> = (self.catalog.rejects()?.into_iter())
            .filter_map(|kept| {
                let table = tables.get(&kept.reject.table_id)?;
                (table.version == kept.reject.table_version && is_shown(table)).then(|| (table.name.to_string(), kept))
            })
            .collect();
        let texts = |get: fn(&KeptReject) -> Option<&str>| -> ArrayRef {
            Arc::new(kept.iter().map(|(_, kept)| get(kept)).collect::<StringArray>())
        };
        let counts = |get: fn(&KeptReject) -> Option<u64>| -> ArrayRef {
            let counts = kept.iter().map(|(_, kept)| get(kept).map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
            Arc::new(counts.collect::<Int64Array>())
        };
        let seen = kept.iter().map(|(_, kept)| Some(kept.seen_at_ms.saturating_mul(1000)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(kept.iter().map(|(name, _)| Some(name.as_str())).collect::<StringArray>()),
            texts(|kept| Some(&kept.reject.file.location)),
            counts(|kept| kept.reject.line),
            counts(|kept| Some(kept.reject.offset)),
            texts(|kept| kept.reject.column.as_deref()),
            texts(|kept| Some(&kept.reject.sqlstate)),
            texts(|kept| Some(&kept.reject.reason)),
            texts(|kept| Some(&kept.reject.raw)),
            texts(|kept| Some(&kept.reject.file.version)),
            Arc::new(seen.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        ];
        RecordBatch::try_new(self.schema(), columns).map_err(|error| Error::internal(error.to_string()))
    }
}
