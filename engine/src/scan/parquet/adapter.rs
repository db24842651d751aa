//! [`CaseInsensitiveAdapterFactory`]: reads a file whose columns are spelled, ordered or typed otherwise than the table's.
//!
//! The catalog's names are lower case, as Hive's and Glue's; files keep their writers' spelling. Columns are found by
//! name without regard to case; one that the file lacks is NULL; one of another type is cast. Structs, and what holds them,
//! are matched field by field by [`super::nested`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{DefaultPhysicalExprAdapter, PhysicalExprAdapter, PhysicalExprAdapterFactory};

use super::nested::{NestedCast, needs_cast};
use crate::scan::schema::SOURCE_NAME_METADATA;

/// See the module.
#[derive(Debug)]
pub struct CaseInsensitiveAdapterFactory;

impl PhysicalExprAdapterFactory for CaseInsensitiveAdapterFactory {
    fn create(&self, table_schema: SchemaRef, file_schema: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let nested = nested_casts(&table_schema, &file_schema);
        let renamed = rename_to_table(&table_schema, &file_schema, &nested);
        Ok(Arc::new(CaseInsensitiveAdapter {
            inner: DefaultPhysicalExprAdapter::new(table_schema, renamed),
            file_schema,
            nested,
        }))
    }
}

/// The columns whose values [`NestedCast`] makes the table's, by position in the file.
fn nested_casts(table_schema: &Schema, file_schema: &Schema) -> HashMap<usize, FieldRef> {
    let positions = file_positions(table_schema, file_schema);
    table_schema
        .fields()
        .iter()
        .zip(positions)
        .filter_map(|(field, position)| Some((position?, field)))
        .filter(|(position, field)| needs_cast(file_schema.field(*position).data_type(), field.data_type()))
        .map(|(position, field)| (position, Arc::clone(field)))
        .collect()
}

/// The file's schema under the table's names, and with the table's types for what `nested` casts. An exact match wins over
/// one that differs in case.
fn rename_to_table(table_schema: &Schema, file_schema: &Schema, nested: &HashMap<usize, FieldRef>) -> SchemaRef {
    let positions = file_positions(table_schema, file_schema);
    let mut fields: Vec<Arc<Field>> = file_schema.fields().iter().cloned().collect();
    // A file column that is nobody's must not be found under a name that another was given: after `RENAME a TO b`, the file
    // may have a `b` as well.
    let owned: HashSet<usize> = positions.iter().flatten().copied().collect();
    for (position, field) in fields.iter_mut().enumerate() {
        if !owned.contains(&position) && table_schema.index_of(field.name()).is_ok() {
            *field = Arc::new(field.as_ref().clone().with_name(format!("{}\0{position}", field.name())));
        }
    }
    for (table_field, position) in table_schema.fields().iter().zip(positions) {
        if let Some(position) = position
            && fields[position].name() != table_field.name()
        {
            fields[position] = Arc::new(fields[position].as_ref().clone().with_name(table_field.name()));
        }
    }
    for (position, field) in nested {
        fields[*position] = Arc::clone(field);
    }
    Arc::new(Schema::new_with_metadata(fields, file_schema.metadata().clone()))
}

/// Where each column of the table is in the file: under the name that it has in the files, where it was renamed, else under
/// its own.
pub(crate) fn file_positions(table_schema: &Schema, file_schema: &Schema) -> Vec<Option<usize>> {
    let mut by_name: HashMap<String, usize> = HashMap::with_capacity(file_schema.fields().len());
    for (position, field) in file_schema.fields().iter().enumerate() {
        by_name.entry(field.name().to_lowercase()).or_insert(position);
    }
    let find = |name: &str| file_schema.index_of(name).ok().or_else(|| by_name.get(&name.to_lowercase()).copied());
    let place = |field: &FieldRef| {
        let source_name = field.metadata().get(SOURCE_NAME_METADATA);
        source_name.and_then(|source_name| find(source_name)).or_else(|| find(field.name()))
    };
    table_schema.fields().iter().map(place).collect()
}

#[derive(Debug)]
struct CaseInsensitiveAdapter {
    inner: DefaultPhysicalExprAdapter,
    file_schema: SchemaRef,
    nested: HashMap<usize, FieldRef>,
}

impl PhysicalExprAdapter for CaseInsensitiveAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        // The inner adapter speaks the table's names; what runs next looks columns up by the file's.
        self.inner
            .rewrite(expr)?
            .transform_down(|expr| {
                let Some(column) = expr.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expr));
                };
                let Some(field) = self.file_schema.fields().get(column.index()) else {
                    return Ok(Transformed::no(expr));
                };
                if let Some(target) = self.nested.get(&column.index()) {
                    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), column.index()));
                    let cast: Arc<dyn PhysicalExpr> = Arc::new(NestedCast::new(column, Arc::clone(target)));
                    // Not into its own column, which would be cast again.
                    return Ok(Transformed::new(cast, true, TreeNodeRecursion::Jump));
                }
                if field.name() != column.name() {
                    let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), column.index()));
                    return Ok(Transformed::yes(column));
                }
                Ok(Transformed::no(expr))
            })
            .data()
    }
}
