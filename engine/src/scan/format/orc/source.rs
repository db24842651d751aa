//! [`OrcSource`]: the scan of ORC files. A stripe is left out when its statistics exclude what is asked for, judged again
//! before each stripe where a join or a top-N has learnt more.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use datafusion::physical_plan::{DisplayFormatType, apply_expression_roots};
use futures::stream::{self, StreamExt, TryStreamExt};
use limnos_catalog::FileFacts;
use limnos_catalog::facts::ColumnFacts;
use object_store::{ObjectMeta, ObjectStore};

use super::column::Column;
use super::stripe::fetch;
use super::tail::{OrcTails, StripeInfo, Tail};
use super::{Decoded, Fault};
use crate::Result;
use crate::prune::{StripePruner, decidable};
use crate::scan::format::adapted::AdaptedColumns;
use crate::scan::format::arrow_ipc::guarded;
use crate::scan::format::{BATCH_BYTES_MAX, BATCH_ROWS, NullableOpener, external};
use crate::scan::parquet::FileKey;

/// Reads the files of an ORC table.
#[derive(Debug, Clone)]
pub struct OrcSource {
    tails: Arc<OrcTails>,
    /// `s3://bucket` or `file://`.
    store_url: Arc<str>,
    table_schema: TableSchema,
    projection: SplitProjection,
    /// What rows must be, to be asked of statistics alone: the plan above filters.
    predicate: Option<Arc<dyn PhysicalExpr>>,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl OrcSource {
    /// A source over files of the store at `store_url`; `table_schema` as for [`crate::scan::format::text_source`].
    pub fn new(table_schema: TableSchema, tails: Arc<OrcTails>, store_url: Arc<str>) -> Self {
        Self {
            tails,
            store_url,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            predicate: None,
            batch_rows: BATCH_ROWS,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl FileSource for OrcSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        partition: usize,
    ) -> DataFusionResult<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let opener: Arc<dyn FileOpener> = Arc::new(OrcOpener {
            store: object_store,
            tails: Arc::clone(&self.tails),
            store_url: Arc::clone(&self.store_url),
            wanted: Arc::new(file_schema.project(&self.projection.file_indices)?),
            table_schema: self.table_schema.clone(),
            predicate: self.predicate.clone(),
            batch_rows: self.batch_rows,
            scanned_bytes: MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition),
            stripes: MetricBuilder::new(&self.metrics).counter("stripes", partition),
            stripes_pruned: MetricBuilder::new(&self.metrics).counter("stripes_pruned", partition),
            decode_time: MetricBuilder::new(&self.metrics).subset_time("time_elapsed_decoding", partition),
        });
        let opener = ProjectionOpener::try_new(self.projection.clone(), opener, file_schema)?;
        Ok(Arc::new(NullableOpener { inner: opener }))
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_rows: batch_size.max(1), ..self.clone() })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.predicate.clone()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> DataFusionResult<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let count = filters.len();
        let decidable = decidable(&filters, self.table_schema.table_schema());
        let safe = filters.into_iter().zip(decidable).filter(|(_, decidable)| *decidable).map(|(filter, _)| filter);
        let all: Vec<_> = self.predicate.iter().flat_map(split_conjunction).cloned().chain(safe).collect();
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; count]);
        if all.is_empty() {
            return Ok(answer);
        }
        let source: Arc<dyn FileSource> = Arc::new(Self { predicate: Some(conjunction(all)), ..self.clone() });
        Ok(answer.with_updated_node(source))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "orc"
    }

    fn fmt_extra(&self, _display: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.predicate {
            Some(predicate) => write!(f, ", predicate={predicate}"),
            None => Ok(()),
        }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        let predicate = apply_expression_roots(self.predicate.iter(), &mut *f)?;
        match predicate {
            TreeNodeRecursion::Stop => Ok(TreeNodeRecursion::Stop),
            _ => apply_expression_roots(self.projection.source.iter(), f),
        }
    }
}

/// Opens the files of one scan, one partition of its plan.
struct OrcOpener {
    store: Arc<dyn ObjectStore>,
    tails: Arc<OrcTails>,
    store_url: Arc<str>,
    wanted: SchemaRef,
    table_schema: TableSchema,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    batch_rows: usize,
    scanned_bytes: Count,
    stripes: Count,
    stripes_pruned: Count,
    decode_time: Time,
}

impl FileOpener for OrcOpener {
    fn open(&self, file: PartitionedFile) -> DataFusionResult<FileOpenFuture> {
        let object = file.object_meta;
        let name: Arc<str> = Arc::from(format!("{}/{}", self.store_url, object.location));
        let key = FileKey::new(&self.store_url, &object);
        let tails = Arc::clone(&self.tails);
        let range = file.range.map(|range| range.start.max(0) as u64..range.end.max(0) as u64);
        let (wanted, table_schema) = (Arc::clone(&self.wanted), self.table_schema.clone());
        let predicate = self.predicate.clone();
        let mut reader = Reader {
            store: Arc::clone(&self.store),
            object,
            name: Arc::clone(&name),
            pruner: None,
            stripes: Vec::new(),
            next: 0,
            current: None,
            batch_rows: self.batch_rows,
            scanned_bytes: self.scanned_bytes.clone(),
            stripes_read: self.stripes.clone(),
            stripes_pruned: self.stripes_pruned.clone(),
            decode_time: self.decode_time.clone(),
        };
        Ok(Box::pin(async move {
            let (tail, _) = tails.get(&key, &reader.store, &reader.object).await.map_err(external)?;
            let file = FileSchema::new(&tail, table_schema.file_schema());
            let columns = Arc::new(AdaptedColumns::new(&wanted, &file.schema, &name).map_err(external)?);
            reader.stripes = stripes_in(&tail, range.as_ref());
            reader.pruner = predicate.map(|predicate| {
                StripePruner::new(predicate, Arc::clone(table_schema.table_schema()), file.schema_of_table.clone())
            });
            let state = (reader, Scanned { tail, file, columns });
            let batches = stream::try_unfold(state, |(mut reader, scanned)| async move {
                let batch = reader.next_batch(&scanned).await?;
                Ok::<_, crate::Error>(batch.map(|batch| (batch, (reader, scanned))))
            });
            Ok(batches.map_err(external).boxed())
        }))
    }
}

/// The stripes that begin in `range` of a file: of pieces of one file, each stripe is in one.
fn stripes_in(tail: &Tail, range: Option<&Range<u64>>) -> Vec<usize> {
    let is_in = |stripe: &StripeInfo| range.is_none_or(|range| range.contains(&stripe.offset));
    tail.stripes.iter().enumerate().filter(|(_, stripe)| is_in(stripe)).map(|(index, _)| index).collect()
}

/// A file's columns under the names by which this table finds them.
struct FileSchema {
    schema: SchemaRef,
    /// The table's columns inside files.
    schema_of_table: SchemaRef,
    /// Of a file whose columns have places only: the names that they take on.
    names: Option<Vec<String>>,
}

impl FileSchema {
    fn new(tail: &Tail, table: &SchemaRef) -> Self {
        if !tail.is_by_place(table) {
            return Self { schema: Arc::clone(&tail.schema), schema_of_table: Arc::clone(table), names: None };
        }
        let named = |(index, field): (usize, &Arc<Field>)| match table.fields().get(index) {
            Some(column) => field.as_ref().clone().with_name(column.name()),
            None => field.as_ref().clone(),
        };
        let fields: Vec<Field> = tail.schema.fields().iter().enumerate().map(named).collect();
        let names = Some(fields.iter().map(|field| field.name().clone()).collect());
        Self { schema: Arc::new(Schema::new(fields)), schema_of_table: Arc::clone(table), names }
    }

    /// What is known of a stripe, under the same names.
    fn facts(&self, stripe: &StripeInfo) -> Option<Arc<FileFacts>> {
        let facts = stripe.facts.as_ref()?;
        let Some(names) = &self.names else { return Some(Arc::clone(facts)) };
        let mut facts = FileFacts::clone(facts);
        for (column, name) in facts.columns.iter_mut().zip(names) {
            column.name = name.as_str().into();
        }
        Some(Arc::new(facts))
    }
}

impl Tail {
    /// The file's columns under the names by which a table with the columns `table` finds them.
    pub(crate) fn columns_of(&self, table: &SchemaRef) -> Vec<ColumnFacts> {
        let names = FileSchema::new(self, table).schema;
        let columns = names.fields().iter().zip(&self.columns).map(|(field, (_, column))| ColumnFacts {
            name: field.name().as_str().into(),
            data_type: column.data_type().ok(),
            ..ColumnFacts::default()
        });
        columns.collect()
    }
}

/// What is read of a file.
struct Scanned {
    tail: Arc<Tail>,
    file: FileSchema,
    columns: Arc<AdaptedColumns>,
}

/// Reads the stripes of a file one after the other.
struct Reader {
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    name: Arc<str>,
    pruner: Option<StripePruner>,
    /// Which are to be read, and how far that is.
    stripes: Vec<usize>,
    next: usize,
    current: Option<OpenStripe>,
    batch_rows: usize,
    scanned_bytes: Count,
    stripes_read: Count,
    stripes_pruned: Count,
    decode_time: Time,
}

/// A stripe that is being decoded.
struct OpenStripe {
    columns: Vec<Column>,
    schema: SchemaRef,
    rows_left: u64,
    batch_rows: usize,
}

impl Reader {
    async fn next_batch(&mut self, scanned: &Scanned) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(stripe) = self.current.as_mut().filter(|stripe| stripe.rows_left > 0) {
                let timer = self.decode_time.timer();
                let name = &self.name;
                let batch = guarded(name, || stripe.next_batch().map_err(|fault| fault.error(name)))?;
                let batch = scanned.columns.batch(&batch);
                drop(timer);
                return batch.map(Some);
            }
            let Some(&index) = self.stripes.get(self.next) else { return Ok(None) };
            self.next += 1;
            let stripe = &scanned.tail.stripes[index];
            if let Some(pruner) = &mut self.pruner
                && !pruner.keeps(scanned.file.facts(stripe))
            {
                self.stripes_pruned.add(1);
                continue;
            }
            self.current = Some(self.open(scanned, stripe).await?);
        }
    }

    async fn open(&self, Scanned { tail, file, columns }: &Scanned, stripe: &StripeInfo) -> Result<OpenStripe> {
        let schema =
            Arc::new(file.schema.project(&columns.places).map_err(|error| crate::Error::internal(error.to_string()))?);
        let mut opened =
            OpenStripe { columns: Vec::new(), schema, rows_left: stripe.row_count, batch_rows: self.batch_rows };
        if columns.places.is_empty() || stripe.row_count == 0 {
            // How many rows there are the tail has told.
            return Ok(opened);
        }
        self.stripes_read.add(1);
        let wanted: Vec<_> = columns.places.iter().map(|place| &tail.columns[*place].1).collect();
        let mut ids = Vec::new();
        wanted.iter().for_each(|column| column.ids(&mut ids));
        ids.sort_unstable();
        let scanned_bytes = self.scanned_bytes.clone();
        let count = move |bytes| scanned_bytes.add(bytes);
        let mut streams = fetch(&self.store, &self.object, &self.name, tail, stripe, &ids, &count).await?;
        let name = &self.name;
        opened.columns = guarded(name, || {
            let columns = wanted.into_iter().map(|column| Column::new(column, &mut streams));
            columns.collect::<Decoded<Vec<_>>>().map_err(|fault| fault.error(name))
        })?;
        // Rows with long texts come in smaller batches.
        if let Some(facts) = &stripe.facts {
            let bytes: u64 = columns
                .places
                .iter()
                .filter_map(|place| facts.columns.get(*place)?.byte_size)
                .fold(0, u64::saturating_add);
            let rows = (BATCH_BYTES_MAX as u64).saturating_mul(stripe.row_count) / bytes.max(1);
            opened.batch_rows = usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, self.batch_rows);
        }
        Ok(opened)
    }
}

impl OpenStripe {
    fn next_batch(&mut self) -> Decoded<RecordBatch> {
        let rows = usize::try_from(self.rows_left).unwrap_or(usize::MAX).min(self.batch_rows);
        let columns = self.columns.iter_mut().map(|column| column.read(rows, None)).collect::<Decoded<Vec<_>>>()?;
        self.rows_left -= rows as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Fault::corrupt(error.to_string()))
    }
}
