//! Which conditions may be decided from the bounds of floats. Files leave NaN out of their bounds, and to SQL it is the
//! greatest value (or, with its sign set, the least to the kernels): `x > 5` holds for a NaN in a file whose greatest `x` is
//! said to be 3.
//!
//! Equality with a number is safe, and so is a range that is closed on both sides: no NaN is in it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal,
};
use datafusion::physical_expr::utils::collect_columns;

/// For each of `conditions`, which hold together, whether bounds of the columns in `schema` may decide it.
pub(crate) fn decidable(conditions: &[Arc<dyn PhysicalExpr>], schema: &Schema) -> Vec<bool> {
    let is_float = |name: &str| {
        let data_type = schema.field_with_name(name).map(|field| field.data_type().clone());
        // A column that isn't there may be one.
        data_type.map_or(true, |data_type| has_float(&data_type))
    };
    let uses: Vec<Use> = conditions
        .iter()
        .map(|condition| {
            let floats = collect_columns(condition).iter().any(|column| is_float(column.name()));
            if floats { use_of(condition) } else { Use::Safe }
        })
        .collect();
    let is_bounded = |column: &str, below: bool| {
        uses.iter()
            .any(|other| matches!(other, Use::Range { column: own, is_upper } if own == column && *is_upper == below))
    };
    uses.iter()
        .map(|own| match own {
            Use::Safe => true,
            Use::Unsafe => false,
            Use::Range { column, is_upper } => is_bounded(column, !is_upper),
        })
        .collect()
}

fn has_float(data_type: &DataType) -> bool {
    data_type.is_floating() || data_type.is_nested()
}

/// How a condition uses a column of floats.
enum Use {
    Safe,
    Unsafe,
    /// One end of a range.
    Range {
        column: String,
        is_upper: bool,
    },
}

fn use_of(condition: &Arc<dyn PhysicalExpr>) -> Use {
    if let Some(condition) = condition.downcast_ref::<IsNullExpr>() {
        return if column_name(condition.arg()).is_some() { Use::Safe } else { Use::Unsafe };
    }
    if let Some(condition) = condition.downcast_ref::<IsNotNullExpr>() {
        return if column_name(condition.arg()).is_some() { Use::Safe } else { Use::Unsafe };
    }
    if let Some(condition) = condition.downcast_ref::<InListExpr>() {
        let numbers = condition.list().iter().all(is_number);
        let is_safe = !condition.negated() && numbers && column_name(condition.expr()).is_some();
        return if is_safe { Use::Safe } else { Use::Unsafe };
    }
    let Some(condition) = condition.downcast_ref::<BinaryExpr>() else { return Use::Unsafe };
    let (column, op) = match (column_name(condition.left()), column_name(condition.right())) {
        (Some(column), None) if is_number(condition.right()) => (column, Some(*condition.op())),
        (None, Some(column)) if is_number(condition.left()) => (column, condition.op().swap()),
        _ => return Use::Unsafe,
    };
    match op {
        Some(Operator::Eq) => Use::Safe,
        Some(Operator::Lt | Operator::LtEq) => Use::Range { column, is_upper: true },
        Some(Operator::Gt | Operator::GtEq) => Use::Range { column, is_upper: false },
        _ => Use::Unsafe,
    }
}

fn column_name(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    match expr.downcast_ref::<CastExpr>() {
        Some(cast) => column_name(cast.expr()),
        None => expr.downcast_ref::<Column>().map(|column| column.name().to_owned()),
    }
}

/// A constant that isn't NaN.
fn is_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| match literal.value() {
        ScalarValue::Float32(Some(value)) => !value.is_nan(),
        ScalarValue::Float64(Some(value)) => !value.is_nan(),
        ScalarValue::Float16(Some(value)) => !value.is_nan(),
        value => !value.is_null(),
    })
}
