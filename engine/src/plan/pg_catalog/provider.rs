//! [`RelationTable`]: a catalog table that has rows for each relation, made as they are read.
//!
//! Ten thousand tables of fifty columns are half a million rows in `pg_attribute`. So only what a query asks for is made:
//! the columns it names, of the relations that its filters leave (`attrelid = 100123`, `table_schema = 'sales'`), one
//! [`Portion`] after the other. Of `pg_catalog`'s tables the columns stay with the portion; the next snapshot has it, too,
//! unless something in it has changed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};

use super::SnapshotTables;
use super::analyzed::{self, TableCounts};
use super::index::{CatalogIndex, Portion, Relation};
use super::relations::SystemRelation;
use super::value::Rows;
use crate::scan::facts::KnownFiles;

/// How a table's rows are made of a relation.
#[derive(Clone, Copy)]
pub(crate) struct RelationRows {
    /// Adds the rows of one relation.
    pub(crate) push: fn(&mut Rows, &RowContext<'_>, &Relation),
    /// The columns by which relations are chosen, where the table has them.
    pub(crate) keys: RelationKeys,
    /// Whether rows depend on the relation alone, so that they may outlive the snapshot.
    pub(crate) keep: bool,
}

/// What rows are made of beside the relation.
pub(crate) struct RowContext<'a> {
    pub(crate) index: &'a CatalogIndex,
    /// What clients call the one database.
    pub(crate) catalog_name: &'a str,
    /// What ANALYZE has counted, by OID; empty where nobody asks.
    pub(super) counts: &'a HashMap<i32, TableCounts>,
}

/// The names of a table's columns that tell one relation from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelationKeys {
    pub(crate) oid: Option<&'static str>,
    pub(crate) schema: Option<&'static str>,
    pub(crate) name: Option<&'static str>,
}

/// One such table over one snapshot.
pub(crate) struct RelationTable {
    pub(crate) relation: &'static SystemRelation,
    pub(crate) tables: Arc<SnapshotTables>,
    pub(crate) catalog_name: String,
    pub(crate) rows: RelationRows,
    /// Where what ANALYZE has counted is kept.
    pub(crate) known: Option<Arc<KnownFiles>>,
}

impl fmt::Debug for RelationTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelationTable").field("name", &self.relation.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.arrow_schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Rows are made of relations that may meet them; the filter itself stays above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.relation.columns.len()).collect(),
        };
        let scan = Arc::new(RelationScan {
            schema: Arc::new(self.relation.arrow_schema.project(&columns)?),
            relation: self.relation,
            tables: Arc::clone(&self.tables),
            catalog_name: self.catalog_name.clone(),
            rows: self.rows,
            known: self.known.clone().filter(|_| self.counts_rows(&columns)),
            columns,
            chosen: Chosen::of(filters, &self.rows.keys),
        });
        let schema = Arc::clone(&scan.schema);
        // The limit holds only without filters, which are not applied here.
        let limit = limit.filter(|_| filters.is_empty());
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![scan], None, [], false, limit)?))
    }
}

impl RelationTable {
    /// Whether a query of these columns wants to know what ANALYZE has counted.
    fn counts_rows(&self, columns: &[usize]) -> bool {
        let is_count = |column: &usize| matches!(self.relation.columns[*column].name, "reltuples" | "relpages");
        self.relation.name == "pg_class" && columns.iter().any(is_count)
    }
}

/// Which relations filters leave; `None` where they say nothing.
#[derive(Debug, Default, Clone, PartialEq)]
struct Chosen {
    oids: Option<HashSet<i32>>,
    schemas: Option<HashSet<String>>,
    names: Option<HashSet<String>>,
}

impl Chosen {
    fn of(filters: &[Expr], keys: &RelationKeys) -> Self {
        let mut chosen = Self::default();
        for filter in filters {
            let Some((column, values)) = column_and_values(filter) else { continue };
            if keys.oid == Some(column) {
                let oids = values.into_iter().map(as_oid).collect::<Option<HashSet<i32>>>();
                narrow(&mut chosen.oids, oids);
            } else if keys.schema == Some(column) || keys.name == Some(column) {
                let texts = values.into_iter().map(as_text).collect::<Option<HashSet<String>>>();
                let of = if keys.schema == Some(column) { &mut chosen.schemas } else { &mut chosen.names };
                narrow(of, texts);
            }
        }
        chosen
    }

    fn is_all(&self) -> bool {
        *self == Self::default()
    }

    fn has(&self, relation: &Relation) -> bool {
        self.oids.as_ref().is_none_or(|oids| oids.contains(&relation.oid))
            && self.schemas.as_ref().is_none_or(|schemas| schemas.contains(&relation.schema))
            && self.names.as_ref().is_none_or(|names| names.contains(&relation.name))
    }
}

fn narrow<T: Eq + std::hash::Hash>(known: &mut Option<HashSet<T>>, more: Option<HashSet<T>>) {
    let Some(more) = more else { return };
    match known {
        Some(known) => known.retain(|value| more.contains(value)),
        None => *known = Some(more),
    }
}

/// `column = constant` and `column IN (constants)`.
fn column_and_values(filter: &Expr) -> Option<(&str, Vec<&ScalarValue>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, value) = match (bare(left), bare(right)) {
                (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
                    (column, value)
                }
                _ => return None,
            };
            Some((column.name.as_str(), vec![value]))
        }
        // `a = 1 OR a = 2`, which a short IN becomes.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (column, mut values) = column_and_values(left)?;
            let (other, more) = column_and_values(right)?;
            values.extend(more);
            (column == other).then_some((column, values))
        }
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = bare(&list.expr) else { return None };
            let value = |expr| match bare(expr) {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            };
            Some((column.name.as_str(), list.list.iter().map(value).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// Without the casts around it that change no value: between layouts of text, or widths of whole numbers.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if cast.field.data_type().is_string() || cast.field.data_type().is_integer() => {
            bare(&cast.expr)
        }
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

fn as_oid(value: &ScalarValue) -> Option<i32> {
    let number = match value {
        ScalarValue::Int16(number) => i64::from((*number)?),
        ScalarValue::Int32(number) => i64::from((*number)?),
        ScalarValue::Int64(number) => (*number)?,
        ScalarValue::UInt32(number) => i64::from((*number)?),
        _ => return None,
    };
    i32::try_from(number).ok()
}

fn as_text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_owned)
}

/// The rows of a [`RelationTable`] that one query reads.
struct RelationScan {
    schema: SchemaRef,
    relation: &'static SystemRelation,
    tables: Arc<SnapshotTables>,
    catalog_name: String,
    rows: RelationRows,
    known: Option<Arc<KnownFiles>>,
    columns: Vec<usize>,
    chosen: Chosen,
}

impl fmt::Debug for RelationScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelationScan").field("name", &self.relation.name).finish_non_exhaustive()
    }
}

impl RelationScan {
    /// The rows of some relations, made now.
    fn make<'a>(&self, columns: &[usize], relations: impl Iterator<Item = &'a Arc<Relation>>) -> Result<RecordBatch> {
        let relations: Vec<Arc<Relation>> = relations.cloned().collect();
        let counts = self.known.as_ref().map_or_else(HashMap::new, |known| analyzed::counts(known, &relations));
        let context = RowContext { index: &self.tables.index, catalog_name: &self.catalog_name, counts: &counts };
        let mut rows = Rows::of_columns(self.relation, |column| columns.contains(&column));
        relations.iter().for_each(|relation| (self.rows.push)(&mut rows, &context, relation));
        let made = rows.finish()?;
        // They come in the relation's order, and are wanted in the query's.
        let mut order = columns.to_vec();
        order.sort_unstable();
        order.dedup();
        let places: Vec<usize> =
            columns.iter().filter_map(|column| order.iter().position(|other| other == column)).collect();
        Ok(made.project(&places)?)
    }

    fn portion(&self, portion: &Portion) -> Result<RecordBatch> {
        if !self.chosen.is_all() || !self.rows.keep || self.known.is_some() {
            return self.make(&self.columns, portion.relations.iter().filter(|relation| self.chosen.has(relation)));
        }
        let key = |column: usize| (self.relation.name, column);
        let missing: Vec<usize> = {
            let built = portion.built.lock();
            self.columns.iter().copied().filter(|column| !built.contains_key(&key(*column))).collect()
        };
        if self.columns.is_empty() || !missing.is_empty() {
            // A query that names no column still counts the rows.
            let made = self.make(&missing, portion.relations.iter())?;
            if self.columns.is_empty() {
                return Ok(made);
            }
            let mut built = portion.built.lock();
            for (column, array) in missing.iter().zip(made.columns()) {
                built.insert(key(*column), Arc::clone(array));
            }
        }
        let built = portion.built.lock();
        let arrays: Vec<_> = self.columns.iter().filter_map(|column| built.get(&key(*column)).cloned()).collect();
        let options = RecordBatchOptions::new().with_row_count(arrays.first().map(|array| array.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

impl PartitionStream for RelationScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let scan = Self {
            schema: Arc::clone(&self.schema),
            relation: self.relation,
            tables: Arc::clone(&self.tables),
            catalog_name: self.catalog_name.clone(),
            rows: self.rows,
            known: self.known.clone(),
            columns: self.columns.clone(),
            chosen: self.chosen.clone(),
        };
        let has = |portion: &&Arc<Portion>| portion.relations.iter().any(|relation| scan.chosen.has(relation));
        let portions: Vec<Arc<Portion>> = scan.tables.index.portions.iter().filter(has).cloned().collect();
        let batches = futures::stream::iter(portions.into_iter().map(move |portion| scan.portion(&portion)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
