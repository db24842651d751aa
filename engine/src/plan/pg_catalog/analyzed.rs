//! `pg_class.reltuples` and `relpages`: what the last ANALYZE of a whole table has counted. Planners of tools look there; it
//! is an estimate in PostgreSQL, too, and files have changed since.

use std::collections::HashMap;
use std::sync::Arc;

use limnos_catalog::{FileFacts, FileVersion};

use super::index::Relation;
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

/// What ANALYZE has counted of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableCounts {
    pub(super) row_count: u64,
    pub(super) page_count: u64,
}

/// The counts of those of `relations` that were analyzed, by OID.
pub(super) fn counts(known: &KnownFiles, relations: &[Arc<Relation>]) -> HashMap<i32, TableCounts> {
    let tables: Vec<(i32, FileVersion)> =
        relations.iter().filter_map(|relation| Some((relation.oid, key(relation.source.as_ref()?.id)))).collect();
    let keys: Vec<FileVersion> = tables.iter().map(|(_, key)| key.clone()).collect();
    let found = tables.into_iter().zip(known.get(&keys, None));
    let count = |facts: &FileFacts| TableCounts { row_count: facts.row_count, page_count: facts.row_group_count };
    found.filter_map(|((oid, _), facts)| Some((oid, count(facts?.as_ref())))).collect()
}
