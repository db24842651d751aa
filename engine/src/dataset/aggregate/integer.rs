//! Arguments of aggregates that are integers underneath, computed in 64 bits.
//!
//! What DataFusion would compute is the same wherever [`IntegerArgument::new`] gives something: it follows the scales of decimals
//! that the expression's types say, and refuses what might leave 64 bits, or the range of an integer type, at any step.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalUnit, Schema};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use limnos_columnar::Table;
use limnos_columnar::aggregate::{Bounds, Expression};

/// An argument, and the columns it is made of.
#[derive(Debug, Clone)]
pub(super) struct IntegerArgument {
    /// The place of a column in it is the place in the `slots` of all.
    pub(super) expression: Expression,
    pub(super) bounds: Bounds,
    pub(super) data_type: DataType,
    /// The slots of the columns that it reads.
    pub(super) used: Vec<usize>,
}

impl IntegerArgument {
    /// `expr`, which reads the columns of a scan that are `columns` of the table's. Each column that it needs gets a place in `slots`.
    pub(super) fn new(
        expr: &Arc<dyn PhysicalExpr>,
        schema: &Schema,
        table: &Table,
        columns: &[usize],
        slots: &mut Vec<usize>,
    ) -> Option<Self> {
        let mut reader = Reader { schema, table, columns, slots: slots.clone(), used: Vec::new() };
        let expression = reader.read(expr)?;
        let data_type = expr.data_type(schema).ok()?;
        let bounds = expression.bounds(&reader.bounds())?;
        let used = reader.used;
        *slots = reader.slots;
        Some(Self { expression, bounds, data_type, used })
    }

    /// The argument's slot, if it is a column as it is.
    pub(super) fn column(&self) -> Option<usize> {
        match self.expression {
            Expression::Column(slot) => Some(slot),
            _ => None,
        }
    }
}

struct Reader<'a> {
    schema: &'a Schema,
    table: &'a Table,
    columns: &'a [usize],
    slots: Vec<usize>,
    used: Vec<usize>,
}

impl Reader<'_> {
    fn bounds(&self) -> Vec<Bounds> {
        self.slots.iter().map(|column| column_bounds(self.table, *column).unwrap_or(NOTHING)).collect()
    }

    fn read(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Option<Expression> {
        let data_type = expr.data_type(self.schema).ok()?;
        let expression = self.step(expr, &data_type)?;
        let bounds = expression.bounds(&self.bounds())?;
        fits(bounds, &data_type).then_some(expression)
    }

    fn step(&mut self, expr: &Arc<dyn PhysicalExpr>, data_type: &DataType) -> Option<Expression> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            let column = *self.columns.get(column.index())?;
            // Codes of a dictionary are integers, but not the column's values.
            if self.table.dictionary(column).is_some() {
                return None;
            }
            column_bounds(self.table, column)?;
            return Some(Expression::Column(self.slot(column)));
        }
        if let Some(literal) = expr.downcast_ref::<Literal>() {
            return constant(literal.value()).map(Expression::Constant);
        }
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            // Integers are added by functions of ours, which are checked; these are decimals.
            return data_type
                .is_decimal()
                .then(|| self.binary(*binary.op(), binary.left(), binary.right(), data_type))?;
        }
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
            && let [left, right] = call.args()
        {
            let operator = match call.fun().name() {
                "checked_add" => Operator::Plus,
                "checked_subtract" => Operator::Minus,
                "checked_multiply" => Operator::Multiply,
                _ => return None,
            };
            return self.binary(operator, left, right, data_type);
        }
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            let inner = self.read(cast.expr())?;
            let from = scale(&cast.expr().data_type(self.schema).ok()?)?;
            return rescaled(inner, from, scale(data_type)?);
        }
        None
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &Arc<dyn PhysicalExpr>,
        right: &Arc<dyn PhysicalExpr>,
        data_type: &DataType,
    ) -> Option<Expression> {
        let (left_scale, right_scale) =
            (scale(&left.data_type(self.schema).ok()?)?, scale(&right.data_type(self.schema).ok()?)?);
        let to = scale(data_type)?;
        let (left, right) = (self.read(left)?, self.read(right)?);
        Some(match operator {
            Operator::Multiply if to == left_scale + right_scale => {
                Expression::Multiply(Box::new(left), Box::new(right))
            }
            Operator::Plus => {
                Expression::Add(Box::new(rescaled(left, left_scale, to)?), Box::new(rescaled(right, right_scale, to)?))
            }
            Operator::Minus => Expression::Subtract(
                Box::new(rescaled(left, left_scale, to)?),
                Box::new(rescaled(right, right_scale, to)?),
            ),
            _ => return None,
        })
    }

    fn slot(&mut self, column: usize) -> usize {
        let slot = slot_of(&mut self.slots, column);
        if !self.used.contains(&slot) {
            self.used.push(slot);
        }
        slot
    }
}

/// The place of a column, which is made if it has none.
pub(super) fn slot_of(slots: &mut Vec<usize>, column: usize) -> usize {
    slots.iter().position(|slot| *slot == column).unwrap_or_else(|| {
        slots.push(column);
        slots.len() - 1
    })
}

/// Of a column without values: all rows are NULL.
const NOTHING: Bounds = Bounds { min: 0, max: 0 };

/// What a column's integers are between; `None` where it isn't kept as codes of integers that fit 64 bits.
fn column_bounds(table: &Table, column: usize) -> Option<Bounds> {
    is_coded(table, column).then_some(())?;
    let Some((min, max)) = table.statistics(column).integers else { return Some(NOTHING) };
    Some(Bounds { min: i64::try_from(min).ok()?, max: i64::try_from(max).ok()? })
}

/// Whether all chunks have codes for a column.
pub(super) fn is_coded(table: &Table, column: usize) -> bool {
    table.chunks().iter().all(|chunk| chunk.column(column).coded().is_some())
}

/// How many digits of a number are behind the point; `None` for what isn't a number that is an integer underneath.
fn scale(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Decimal128(_, scale) => u32::try_from(*scale).ok(),
        data_type if data_type.is_signed_integer() => Some(0),
        _ => None,
    }
}

/// With more digits behind the point. Fewer would be rounded.
fn rescaled(expression: Expression, from: u32, to: u32) -> Option<Expression> {
    let factor = 10_i64.checked_pow(to.checked_sub(from)?)?;
    Some(match factor {
        1 => expression,
        _ => Expression::Multiply(Box::new(expression), Box::new(Expression::Constant(factor))),
    })
}

fn constant(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::Decimal128(value, _, _) => value.and_then(|value| i64::try_from(value).ok()),
        _ => None,
    }
}

/// Whether all integers between bounds are values of a type.
fn fits(bounds: Bounds, data_type: &DataType) -> bool {
    let within = |min: i64, max: i64| min <= bounds.min && bounds.max <= max;
    match data_type {
        DataType::Int8 => within(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => within(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => within(i32::MIN.into(), i32::MAX.into()),
        DataType::Decimal128(precision, _) => {
            10_u64.checked_pow((*precision).into()).is_none_or(|limit| bounds.magnitude() < limit)
        }
        _ => true,
    }
}

/// An array of integers under a type; `None` among the values is NULL.
pub(super) fn integers_of(
    values: impl Iterator<Item = i128>,
    valid: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let narrow = |value: i128| value as i64;
    let plain: ArrayRef = match data_type {
        DataType::Decimal128(precision, scale) => {
            let values: Vec<i128> = values.collect();
            return Ok(Arc::new(
                Decimal128Array::try_new(values.into(), valid)?.with_precision_and_scale(*precision, *scale)?,
            ));
        }
        DataType::Date32
        | DataType::Time32(_)
        | DataType::Interval(IntervalUnit::YearMonth)
        | DataType::Decimal32(..) => {
            let values: Vec<i32> = values.map(|value| value as i32).collect();
            Arc::new(Int32Array::try_new(values.into(), valid)?)
        }
        DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Decimal64(..)
        | DataType::Int64 => Arc::new(Int64Array::try_new(values.map(narrow).collect::<Vec<_>>().into(), valid)?),
        DataType::UInt64 => {
            let values: Vec<u64> = values.map(|value| value as u64).collect();
            return Ok(Arc::new(arrow::array::UInt64Array::try_new(values.into(), valid)?));
        }
        data_type if data_type.is_integer() => {
            let wide = Int64Array::try_new(values.map(narrow).collect::<Vec<_>>().into(), valid)?;
            return Ok(cast(&wide, data_type)?);
        }
        data_type => return exec_err!("{data_type} is no type of integers"),
    };
    Ok(make_array(plain.to_data().into_builder().data_type(data_type.clone()).build()?))
}

/// Whether [`integers_of`] makes arrays of a type.
pub(super) fn is_integer_underneath(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Decimal128(..)
                | DataType::Decimal64(..)
                | DataType::Decimal32(..)
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Duration(_)
                | DataType::Interval(IntervalUnit::YearMonth)
        )
}

/// The booleans of a filter, false where it is NULL.
pub(super) fn passing(filter: &ArrayRef) -> arrow::buffer::BooleanBuffer {
    let filter = filter.as_boolean();
    match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    }
}
