//! DataFusion's conditions on rows as predicates on encoded columns.
//!
//! What compares a column with constants is compared as codes. All else is asked of DataFusion's own expression, about arrays:
//! once for each value of a dictionary where it depends on one column that has one, about the rows that are left where not.
//! So every condition can be said, and none means another thing than it does in a filter above the scan.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::collect_columns;
use limnos_columnar::{Comparison, Evaluate, Predicate, stored_type};

/// `conditions` on rows of `schema`, all of them.
pub(crate) fn predicate(conditions: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Result<Predicate> {
    Ok(Predicate::And(conditions.iter().map(|condition| one(condition, schema)).collect::<Result<_>>()?))
}

fn one(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Predicate> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && *binary.op() == Operator::And
    {
        // What is wanted is what makes all true: here each may be looked at by itself, in any order.
        return Ok(Predicate::And(vec![one(binary.left(), schema)?, one(binary.right(), schema)?]));
    }
    match on_codes(expr, schema)? {
        Some(predicate) => Ok(predicate),
        None => on_arrays(expr, schema),
    }
}

/// Whether a condition on codes must fail where the expression does is no question: none of these can fail. `None`: it isn't one.
fn on_codes(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Option<Predicate>> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::And | Operator::Or => {
                let (Some(left), Some(right)) = (on_codes(binary.left(), schema)?, on_codes(binary.right(), schema)?)
                else {
                    return Ok(None);
                };
                let terms = vec![left, right];
                Ok(Some(if *binary.op() == Operator::And { Predicate::And(terms) } else { Predicate::Or(terms) }))
            }
            op => compare(binary, *op, schema),
        };
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return Ok(on_codes(not.arg(), schema)?.map(|term| Predicate::Not(Box::new(term))));
    }
    if let Some(is_null) = expr.downcast_ref::<IsNullExpr>() {
        return Ok(column_of(is_null.arg()).map(|column| Predicate::IsNull { column }));
    }
    if let Some(is_not_null) = expr.downcast_ref::<IsNotNullExpr>() {
        return Ok(column_of(is_not_null.arg()).map(|column| Predicate::Not(Box::new(Predicate::IsNull { column }))));
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        return in_list(list, schema);
    }
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        // A pattern can fail (a trailing escape), but then it does for every value.
        return match (column_of(like.expr()), like.pattern().downcast_ref::<Literal>()) {
            (Some(_), Some(_)) => on_arrays(expr, schema).map(Some),
            _ => Ok(None),
        };
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Ok(match literal.value() {
            ScalarValue::Boolean(value) => Some(Predicate::Constant(*value)),
            _ => None,
        });
    }
    if let Some(column) = column_of(expr)
        && schema.field(column).data_type() == &DataType::Boolean
    {
        let value = Arc::new(BooleanArray::from(vec![true]));
        return Ok(Some(Predicate::Compare { column, comparison: Comparison::Equal, value }));
    }
    Ok(None)
}

fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// Whether Arrow's order of a type's values, which is that of codes and zones, is SQL's: not that of floats (0.0 = -0.0).
fn has_one_order(data_type: &DataType) -> bool {
    !data_type.is_floating() && !data_type.is_nested() && !data_type.is_null()
}

fn compare(binary: &BinaryExpr, op: Operator, schema: &SchemaRef) -> Result<Option<Predicate>> {
    let (column, literal, op) = match (column_of(binary.left()), column_of(binary.right())) {
        (Some(column), None) => (column, binary.right(), Some(op)),
        (None, Some(column)) => (column, binary.left(), op.swap()),
        _ => return Ok(None),
    };
    let comparison = match op {
        Some(Operator::Eq) => Comparison::Equal,
        Some(Operator::NotEq) => Comparison::NotEqual,
        Some(Operator::Lt) => Comparison::Less,
        Some(Operator::LtEq) => Comparison::LessOrEqual,
        Some(Operator::Gt) => Comparison::Greater,
        Some(Operator::GtEq) => Comparison::GreaterOrEqual,
        _ => return Ok(None),
    };
    let Some(literal) = literal.downcast_ref::<Literal>() else { return Ok(None) };
    let data_type = schema.field(column).data_type();
    if !has_one_order(data_type) || stored_type(&literal.value().data_type()) != *data_type {
        return Ok(None);
    }
    Ok(Some(Predicate::Compare { column, comparison, value: literal.value().to_array()? }))
}

fn in_list(list: &InListExpr, schema: &SchemaRef) -> Result<Option<Predicate>> {
    let Some(column) = column_of(list.expr()) else { return Ok(None) };
    let data_type = schema.field(column).data_type();
    let values: Option<Vec<ScalarValue>> = list
        .list()
        .iter()
        .map(|item| item.downcast_ref::<Literal>().map(|literal| literal.value().clone()))
        .map(|value| value.filter(|value| stored_type(&value.data_type()) == *data_type))
        .collect();
    let Some(values) = values.filter(|_| has_one_order(data_type)) else { return Ok(None) };
    // What nothing is one of, and constants of several types, are DataFusion's to decide.
    let Some(values) =
        Some(values).filter(|values| !values.is_empty()).and_then(|values| ScalarValue::iter_to_array(values).ok())
    else {
        return Ok(None);
    };
    let is_in = Predicate::In { column, values };
    Ok(Some(if list.negated() { Predicate::Not(Box::new(is_in)) } else { is_in }))
}

/// Whatever the expression says of arrays.
fn on_arrays(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Predicate> {
    let columns: Vec<usize> =
        collect_columns(expr).iter().map(Column::index).collect::<BTreeSet<_>>().into_iter().collect();
    // A value of a dictionary is asked about beside NULL, whatever the column may have.
    let fields: Vec<Field> = columns.iter().map(|&column| schema.field(column).clone().with_nullable(true)).collect();
    let asked = Arc::new(Schema::new(fields));
    let expr = renumbered(expr, |column| columns.binary_search(&column).ok())?;
    if columns.is_empty() {
        let answer = ask(&expr, &asked, &[], 1)?;
        return Ok(Predicate::Constant(answer.is_valid(0).then(|| answer.value(0))));
    }
    let evaluate: Evaluate = Arc::new(move |arrays: &[ArrayRef]| {
        let rows = arrays.first().map_or(0, |array| array.len());
        ask(&expr, &asked, arrays, rows).map_err(|error| ArrowError::ExternalError(Box::new(error)))
    });
    Ok(match columns.as_slice() {
        [column] => Predicate::OnValues { column: *column, evaluate },
        _ => Predicate::OnRows { columns, evaluate },
    })
}

fn ask(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, arrays: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays.to_vec(), &options)?;
    let answer = expr.evaluate(&batch)?.into_array(rows)?;
    match answer.as_boolean_opt() {
        Some(answer) => Ok(answer.clone()),
        None => Err(DataFusionError::Internal(format!("a condition is of type {}", answer.data_type()))),
    }
}

/// The expression with other places for its columns.
///
/// # Errors
/// If a column has none.
pub(crate) fn renumbered(
    expr: &Arc<dyn PhysicalExpr>,
    place: impl Fn(usize) -> Option<usize>,
) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expr)
        .transform_down(|expr| match expr.downcast_ref::<Column>() {
            None => Ok(Transformed::no(expr)),
            Some(column) => match place(column.index()) {
                Some(index) => {
                    Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>))
                }
                None => {
                    Err(DataFusionError::Internal(format!("column \"{}\" is not one of the scan's", column.name())))
                }
            },
        })
        .data()
}

/// An error of the rows, as the query has it.
pub(crate) fn rows_error(error: limnos_columnar::Error) -> DataFusionError {
    match error {
        limnos_columnar::Error::Arrow(ArrowError::ExternalError(inner)) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => *inner,
            Err(inner) => DataFusionError::External(inner),
        },
        limnos_columnar::Error::Arrow(error) => error.into(),
        other => DataFusionError::External(Box::new(other)),
    }
}
