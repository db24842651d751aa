//! `pg_class.reltuples` and `relpages`: what the last ANALYZE of a whole table has counted. Planners of tools look there; it
//! is an estimate in PostgreSQL, too, and files have changed since.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray as _, Float32Array, Int32Array, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type};
use datafusion::common::Result;
use limnos_catalog::{FileFacts, FileVersion, Snapshot};

use super::index::relation_oid;
use crate::scan::facts::KnownFiles;

/// Bytes of a page of PostgreSQL's.
const PAGE_BYTES: u64 = 8192;

/// Under what the counts of a table are kept, among those of files: no file's URL begins so.
fn key(table_id: i64) -> FileVersion {
    FileVersion { location: format!("table:{table_id}"), version: String::new() }
}

/// Keeps what ANALYZE has counted of a table.
pub(crate) fn keep(known: &KnownFiles, table_id: i64, row_count: u64, bytes: u64) -> crate::Result<()> {
    let row_group_count = bytes.div_ceil(PAGE_BYTES);
    let facts = FileFacts { row_count, row_group_count, read_as: None, columns: Vec::new() };
    known.put(&[(key(table_id), Arc::new(facts))])
}

/// `pg_class` with the counts of the tables that were analyzed.
pub(super) fn fill(pg_class: RecordBatch, snapshot: &Snapshot, known: &KnownFiles) -> Result<RecordBatch> {
    let ids: Vec<i64> = snapshot.tables.values().map(|table| table.id).collect();
    let keys: Vec<FileVersion> = ids.iter().map(|id| key(*id)).collect();
    let counts = ids.into_iter().zip(known.get(&keys, None));
    let counts: HashMap<i32, Arc<FileFacts>> =
        counts.filter_map(|(id, facts)| Some((relation_oid(id), facts?))).collect();
    let schema = pg_class.schema();
    let place = |name: &str| schema.index_of(name);
    if counts.is_empty() {
        return Ok(pg_class);
    }
    let (oid, tuples, pages) = (place("oid")?, place("reltuples")?, place("relpages")?);
    let oids = pg_class.column(oid).as_primitive::<Int32Type>().clone();
    let old_tuples = pg_class.column(tuples).as_primitive::<Float32Type>().clone();
    let old_pages = pg_class.column(pages).as_primitive::<Int32Type>().clone();
    let found = |row: usize| counts.get(&oids.value(row));
    let new_tuples: Float32Array = (0..oids.len())
        .map(|row| Some(found(row).map_or(old_tuples.value(row), |facts| facts.row_count as f32)))
        .collect();
    let new_pages: Int32Array = (0..oids.len())
        .map(|row| {
            let page_count = |facts: &Arc<FileFacts>| i32::try_from(facts.row_group_count).unwrap_or(i32::MAX);
            Some(found(row).map_or(old_pages.value(row), page_count))
        })
        .collect();
    let mut columns = pg_class.columns().to_vec();
    columns[tuples] = Arc::new(new_tuples);
    columns[pages] = Arc::new(new_pages);
    Ok(RecordBatch::try_new(schema, columns)?)
}
