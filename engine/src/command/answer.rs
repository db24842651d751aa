//! The rows of answers: text columns, and counts for CRAWL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::{Error, Result};

// The headings are Athena's.
pub(super) const SHOW_DATABASES: &[&str] = &["database_name"];
pub(super) const SHOW_TABLES: &[&str] = &["tab_name"];
pub(super) const SHOW_COLUMNS: &[&str] = &["field"];
pub(super) const SHOW_PARTITIONS: &[&str] = &["partition"];
pub(super) const SHOW_CREATE: &[&str] = &["createtab_stmt"];
pub(super) const SHOW_PROPERTIES: &[&str] = &["prpt_name", "prpt_value"];
pub(super) const SHOW_PROPERTY: &[&str] = &["prpt_value"];
pub(super) const DESCRIBE: &[&str] = &["col_name", "data_type", "comment"];
pub(super) const SHOW_CRAWLERS: &[&str] =
    &["crawler_name", "database_name", "targets", "schedule", "state", "last_crawl", "message"];
pub(super) const SHOW_DATASETS: &[&str] =
    &["dataset_name", "source", "refresh", "state", "rows", "memory", "version", "refreshed_at"];
pub(super) const SHOW_CLASSIFIERS: &[&str] = &["classifier_name", "type", "definition"];
pub(super) const SHOW_ALL: &[&str] = &["name", "setting", "description"];

/// A schema of text columns.
pub(super) fn text_schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// Rows of text under `names`.
pub(super) fn text_rows(names: &[&str], rows: &[Vec<String>]) -> Result<RecordBatch> {
    let columns = (0..names.len())
        .map(|column| Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row[column].as_str()))) as ArrayRef)
        .collect();
    RecordBatch::try_new(text_schema(names), columns).map_err(|error| Error::internal(error.to_string()))
}

/// What CRAWL answers with.
pub(super) fn crawl_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("table_name"),
        text("format"),
        count("columns"),
        count("partitions"),
        count("files"),
        count("bytes"),
        text("remarks"),
    ]))
}

/// One table that a crawl registered.
pub(super) struct Crawled {
    pub(super) table_name: String,
    pub(super) format: &'static str,
    /// Columns, partitions, files, bytes.
    pub(super) counts: [u64; 4],
    pub(super) remarks: String,
}

/// The rows of CRAWL.
pub(super) fn crawl_rows(rows: &[Crawled]) -> Result<RecordBatch> {
    let text = |of: fn(&Crawled) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let count = |index: usize| {
        let counts = rows.iter().map(|row| i64::try_from(row.counts[index]).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
    };
    let columns = vec![
        text(|row| &row.table_name),
        text(|row| row.format),
        count(0),
        count(1),
        count(2),
        count(3),
        text(|row| &row.remarks),
    ];
    RecordBatch::try_new(crawl_schema(), columns).map_err(|error| Error::internal(error.to_string()))
}

/// What RUN CRAWLER answers with.
pub(super) fn crawled_table_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        text("table_name"),
        text("action"),
        count("files"),
        count("bytes"),
        count("partitions_added"),
        count("partitions_dropped"),
        text("remarks"),
    ]))
}

/// One table that a crawler looked at.
#[derive(Debug)]
pub(super) struct CrawledTable {
    pub(super) table_name: String,
    pub(super) action: &'static str,
    /// Files, bytes, partitions added, partitions dropped.
    pub(super) counts: [u64; 4],
    pub(super) remarks: String,
}

/// The rows of RUN CRAWLER.
pub(super) fn crawled_table_rows(rows: &[CrawledTable]) -> Result<RecordBatch> {
    let text = |of: fn(&CrawledTable) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let count = |index: usize| {
        let counts = rows.iter().map(|row| i64::try_from(row.counts[index]).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
    };
    let columns = vec![
        text(|row| &row.table_name),
        text(|row| row.action),
        count(0),
        count(1),
        count(2),
        count(3),
        text(|row| &row.remarks),
    ];
    RecordBatch::try_new(crawled_table_schema(), columns).map_err(|error| Error::internal(error.to_string()))
}
