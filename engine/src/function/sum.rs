//! `sum` with PostgreSQL's result types: `sum(bigint)` is `numeric` and never wraps; `sum(smallint)` and `sum(integer)` are
//! `bigint`. All other types are summed as DataFusion sums them.
//!
//! `avg` stays DataFusion's: `double precision` for integers, where PostgreSQL has `numeric`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

/// What bigints are added up in: 2^63 * 2^63 rows fit.
const WIDE: DataType = DataType::Decimal128(38, 0);

pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(Sum { inner: sum_udaf(), signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

/// The type that integers are added up in; `None` for all that the inner function adds up as it comes.
fn widened(argument: &DataType) -> Option<DataType> {
    match argument {
        DataType::Int32 => Some(DataType::Int64),
        DataType::Int64 | DataType::UInt64 => Some(WIDE),
        _ => None,
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arg_types else {
            return plan_err!("function sum takes one argument, {} were given", arg_types.len());
        };
        Ok(vec![match argument {
            DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
            DataType::Null | DataType::UInt32 => DataType::Int64,
            DataType::Float16 | DataType::Float32 => DataType::Float64,
            DataType::Dictionary(_, value) => return self.coerce_types(&[value.as_ref().clone()]),
            DataType::Int32 | DataType::Int64 | DataType::UInt64 | DataType::Float64 => argument.clone(),
            other if other.is_decimal() => other.clone(),
            DataType::Interval(_) | DataType::Duration(_) => argument.clone(),
            other => return plan_err!("function sum({other}) does not exist"),
        }])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        widened(&arg_types[0]).map_or_else(|| self.inner.return_type(arg_types), Ok)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let wide = widened(args.expr_fields[0].data_type());
        Ok(widen(self.inner.accumulator(args)?, wide))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let wide = widened(args.expr_fields[0].data_type());
        Ok(widen(self.inner.create_sliding_accumulator(args)?, wide))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let wide = widened(args.expr_fields[0].data_type());
        let inner = self.inner.create_groups_accumulator(args)?;
        Ok(match wide {
            Some(to) => Box::new(Widened { inner, to }),
            None => inner,
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn widen(inner: Box<dyn Accumulator>, wide: Option<DataType>) -> Box<dyn Accumulator> {
    match wide {
        Some(to) => Box::new(Widened { inner, to }),
        None => inner,
    }
}

/// Casts what comes in to the type it is added up in.
struct Widened<A: ?Sized> {
    inner: Box<A>,
    to: DataType,
}

impl<A: ?Sized + std::fmt::Debug> std::fmt::Debug for Widened<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Widened").field("inner", &&*self.inner).field("to", &self.to).finish()
    }
}

impl<A: ?Sized> Widened<A> {
    fn cast(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        values.iter().map(|array| Ok(cast(array, &self.to)?)).collect()
    }
}

impl Accumulator for Widened<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.cast(values)?;
        self.inner.update_batch(&values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.cast(values)?;
        self.inner.retract_batch(&values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

impl GroupsAccumulator for Widened<dyn GroupsAccumulator> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = self.cast(values)?;
        self.inner.update_batch(&values, group_indices, opt_filter, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.inner.merge_batch(values, group_indices, total_num_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.cast(values)?, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
