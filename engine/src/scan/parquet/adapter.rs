//! [`CaseInsensitiveAdapterFactory`]: reads a file whose columns are spelled, ordered or typed otherwise than the table's.
//!
//! The catalog's names are lower case, as Hive's and Glue's; files keep their writers' spelling. Columns are found by
//! name without regard to case; one that the file lacks is NULL; one of another type is cast. Nested fields are matched
//! by DataFusion's own adapter.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory};

/// See the module.
#[derive(Debug)]
pub struct CaseInsensitiveAdapterFactory;

impl PhysicalExprAdapterFactory for CaseInsensitiveAdapterFactory {
    fn create(&self, table_schema: SchemaRef, file_schema: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let renamed = rename_to_table(&table_schema, &file_schema);
        Ok(Arc::new(CaseInsensitiveAdapter {
            inner: DefaultPhysicalExprAdapter::new(table_schema, renamed),
            file_schema,
        }))
    }
}

/// The file's schema under the table's names. An exact match wins over one that differs in case.
fn rename_to_table(table_schema: &Schema, file_schema: &Schema) -> SchemaRef {
    let positions = file_positions(table_schema, file_schema);
    let mut fields: Vec<Arc<Field>> = file_schema.fields().iter().cloned().collect();
    for (table_field, position) in table_schema.fields().iter().zip(positions) {
        if let Some(position) = position
            && fields[position].name() != table_field.name()
        {
            fields[position] = Arc::new(fields[position].as_ref().clone().with_name(table_field.name()));
        }
    }
    Arc::new(Schema::new_with_metadata(fields, file_schema.metadata().clone()))
}

/// Where each column of the table is in the file.
pub(super) fn file_positions(table_schema: &Schema, file_schema: &Schema) -> Vec<Option<usize>> {
    let mut by_name: HashMap<String, usize> = HashMap::with_capacity(file_schema.fields().len());
    for (position, field) in file_schema.fields().iter().enumerate() {
        by_name.entry(field.name().to_lowercase()).or_insert(position);
    }
    table_schema
        .fields()
        .iter()
        .map(|field| {
            file_schema.index_of(field.name()).ok().or_else(|| by_name.get(&field.name().to_lowercase()).copied())
        })
        .collect()
}

#[derive(Debug)]
struct CaseInsensitiveAdapter {
    inner: DefaultPhysicalExprAdapter,
    file_schema: SchemaRef,
}

impl PhysicalExprAdapter for CaseInsensitiveAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // The inner adapter speaks the table's names; what runs next looks columns up by the file's.
        self.inner
            .rewrite(expr)?
            .transform(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                match self.file_schema.fields().get(column.index()) {
                    Some(field) if field.name() != column.name() => {
                        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), column.index()));
                        Ok(Transformed::yes(column))
                    }
                    _ => Ok(Transformed::no(expr)),
                }
            })
            .data()
    }
}
