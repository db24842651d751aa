//! [`AdaptedColumns`]: the columns of a file with a schema of its own, as the table declares them.
//!
//! The rules are those of Parquet files, for it is their adapter that writes the expressions: by name without regard to case,
//! NULL where the file has none, cast where it has another type, struct by struct.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;

use crate::scan::parquet::{CaseInsensitiveAdapterFactory, file_positions, named};
use crate::scan::schema::catalog_type;
use crate::{Error, Result};

/// See the module.
#[derive(Debug)]
pub(super) struct AdaptedColumns {
    /// Which of the file's columns are read, ascending.
    pub(super) places: Vec<usize>,
    /// The table's columns, over a batch of those.
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    name: Arc<str>,
}

impl AdaptedColumns {
    /// The columns of `wanted`, of a file called `name` that has the columns of `file`.
    ///
    /// # Errors
    /// A wanted column of a type that isn't supported.
    pub(super) fn new(wanted: &SchemaRef, file: &SchemaRef, name: &str) -> Result<Self> {
        for (field, place) in wanted.fields().iter().zip(file_positions(wanted, file)) {
            if let Some(place) = place
                && catalog_type(file.field(place).data_type()).is_err()
            {
                let message =
                    format!("column \"{}\" of file \"{name}\" has a type that is not supported", field.name());
                return Err(Error::unsupported(message)
                    .with_detail("Unions of several types are not supported.")
                    .with_hint("Leave the column out of the query."));
            }
        }
        Self::adapt(wanted, file, name).map_err(|error| Error::from(named(error, name)))
    }

    fn adapt(wanted: &SchemaRef, file: &SchemaRef, name: &str) -> DataFusionResult<Self> {
        let adapter = CaseInsensitiveAdapterFactory.create(Arc::clone(wanted), Arc::clone(file))?;
        let exprs = wanted.fields().iter().enumerate().map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            adapter.rewrite(column)
        });
        let exprs = exprs.collect::<DataFusionResult<Vec<_>>>()?;
        let mut places: Vec<usize> = exprs.iter().flat_map(collect_columns).map(|column| column.index()).collect();
        places.sort_unstable();
        places.dedup();
        let move_columns = |expr: Arc<dyn PhysicalExpr>| {
            expr.transform_up(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
                let Ok(place) = places.binary_search(&column.index()) else { return Ok(Transformed::no(expr)) };
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), place)) as _))
            })
            .data()
        };
        let exprs = exprs.into_iter().map(move_columns).collect::<DataFusionResult<Vec<_>>>()?;
        // A file may have no NULL where the table may have one.
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let schema = Arc::new(Schema::new(wanted.fields().iter().map(nullable).collect::<Vec<_>>()));
        Ok(Self { places, exprs, schema, name: Arc::from(name) })
    }

    /// A batch of the file's columns at `places` as one of the table's.
    ///
    /// # Errors
    /// A value that the table's type can't hold, naming file and column.
    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let columns = self.exprs.iter().map(evaluate).collect::<DataFusionResult<Vec<_>>>();
        let columns = columns.map_err(|error| Error::from(named(error, &self.name)))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::internal(error.to_string()))
    }
}
