//! Functions whose result's size is an argument (`repeat`, `lpad`, `range`, ...) refuse absurd ones with `54000`, before they
//! allocate: one `repeat('x', 10000000000)` would otherwise take the server with it, for no memory pool sees what a
//! function builds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::optimizer::AnalyzerRule;

use super::row_function::failure;
use crate::{Error, ErrorCode};

/// Most bytes or array elements that one call may make for one batch of rows. A batch has 8192 rows: 8 KiB a row.
const RESULT_SIZE_MAX: u128 = 64 << 20;

/// Most bytes that one value may become by [`Growth::RegexpReplace`]. How often a pattern is found isn't known beforehand, so
/// this refuses only what no text that people have comes near.
const REGEXP_RESULT_MAX: u128 = 1 << 30;

/// Most centroids of a t-digest; past a few thousand they only cost.
const CENTROIDS_MAX: u64 = 10_000;

/// How a function's result grows with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// `repeat(text, n)`: n times the text.
    Repeat,
    /// `lpad(text, n, ...)`: n characters.
    Pad,
    /// `array_resize(array, n)`: n elements.
    Elements,
    /// `array_repeat(element, n)`: n times the element, which may be an array of arrays.
    Copies,
    /// `replace(text, from, to)`: `to` for each `from`.
    Replace,
    /// `regexp_replace(text, pattern, to, flags)`: at most one `to` before each byte and behind the last.
    RegexpReplace,
    /// `range(stop)`, `generate_series(start, stop, step)`.
    Series,
}

const BOUNDED: [(&str, Growth); 13] = [
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("array_repeat", Growth::Copies),
    ("list_repeat", Growth::Copies),
    ("array_resize", Growth::Elements),
    ("list_resize", Growth::Elements),
    ("range", Growth::Series),
    ("generate_series", Growth::Series),
    ("gen_series", Growth::Series),
    ("space", Growth::Pad),
    ("replace", Growth::Replace),
    ("regexp_replace", Growth::RegexpReplace),
];

/// Those of the registry's functions that need bounds, with them.
pub(super) fn bounded_functions(registry: &dyn FunctionRegistry) -> Vec<ScalarUDF> {
    let mut functions: Vec<ScalarUDF> = Vec::new();
    for (name, growth) in BOUNDED {
        // Aliases resolve to the same function, which carries its aliases along.
        if let Ok(inner) = registry.udf(name)
            && inner.inner().downcast_ref::<Bounded>().is_none()
            && !functions.iter().any(|function| function.name() == inner.name())
        {
            functions.push(ScalarUDF::from(Bounded { inner, growth }));
        }
    }
    functions
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let count = if constant { 1 } else { args.number_rows };
        let integers = |i: usize| -> Result<Option<ArrayRef>> {
            let Some(argument) = args.args.get(i) else { return Ok(None) };
            // Dates and timestamps have steps of intervals, and no series of them is longer than time.
            if !argument.data_type().is_integer() {
                return Ok(None);
            }
            Ok(Some(cast(&argument.to_array(count)?, &DataType::Int64)?))
        };
        let at = |array: &Option<ArrayRef>, i: usize| -> Option<i64> {
            let array = array.as_ref()?.as_primitive::<Int64Type>();
            array.is_valid(i).then(|| array.value(i))
        };
        if matches!(self.growth, Growth::Replace | Growth::RegexpReplace) {
            return self.check_replace(args, count);
        }
        let mut total: u128 = 0;
        let (first, second, third) = (integers(0)?, integers(1)?, integers(2)?);
        let text = match self.growth {
            Growth::Repeat => Some(cast(&args.args[0].to_array(count)?, &DataType::Utf8)?),
            _ => None,
        };
        let element_bytes = match self.growth {
            Growth::Copies => {
                let bytes = args.args[0].to_array(count)?.to_data().get_slice_memory_size()?;
                (bytes / count.max(1)).max(1) as u128
            }
            _ => 1,
        };
        for i in 0..count {
            let positive = |n: Option<i64>| n.map_or(0, |n| u128::try_from(n).unwrap_or(0));
            total += match self.growth {
                Growth::Repeat => {
                    let length = text.as_ref().map_or(0, |text| text.as_string::<i32>().value_length(i));
                    positive(at(&second, i)) * u128::try_from(length).unwrap_or(0)
                }
                Growth::Pad => positive(at(&second, i).or_else(|| at(&first, i).filter(|_| args.args.len() == 1))),
                Growth::Elements => positive(at(&second, i)),
                // See above.
                Growth::Replace | Growth::RegexpReplace => 0,
                Growth::Copies => positive(at(&second, i)).saturating_mul(element_bytes),
                Growth::Series => {
                    let (start, stop) = match args.args.len() {
                        1 => (0, at(&first, i).unwrap_or(0)),
                        _ => (at(&first, i).unwrap_or(0), at(&second, i).unwrap_or(0)),
                    };
                    let step = if args.args.len() > 2 { at(&third, i).unwrap_or(1) } else { 1 };
                    match step {
                        0 => 0,
                        step => {
                            let span = if step > 0 {
                                i128::from(stop) - i128::from(start)
                            } else {
                                i128::from(start) - i128::from(stop)
                            };
                            u128::try_from(span).unwrap_or(0) / u128::from(step.unsigned_abs())
                        }
                    }
                }
            };
            if total > RESULT_SIZE_MAX {
                return Err(too_large(self.inner.name()));
            }
        }
        Ok(())
    }
}

impl Bounded {
    fn check_replace(&self, args: &ScalarFunctionArgs, count: usize) -> Result<()> {
        let texts = |i: usize| -> Result<ArrayRef> {
            let argument = args.args.get(i).ok_or_else(|| too_large(self.inner.name()))?;
            Ok(cast(&argument.to_array(count)?, &DataType::Utf8)?)
        };
        if args.args.len() < 3 {
            return Ok(());
        }
        let (text, from, to) = (texts(0)?, texts(1)?, texts(2)?);
        let (text, from, to) = (text.as_string::<i32>(), from.as_string::<i32>(), to.as_string::<i32>());
        let rows = || {
            (0..count)
                .filter(|&i| text.is_valid(i) && from.is_valid(i) && to.is_valid(i))
                .map(|i| (text.value(i), from.value(i), to.value(i)))
        };
        let is_too_large = if self.growth == Growth::RegexpReplace {
            rows().any(|(text, _, to)| (text.len() as u128 + 1) * to.len() as u128 > REGEXP_RESULT_MAX)
        } else {
            // Most replacements can't grow much, and need no counting.
            let most =
                |(text, from, to): (&str, &str, &str)| (text.len() / from.len().max(1) + 1) as u128 * to.len() as u128;
            let exact = |(text, from, to): (&str, &str, &str)| text.matches(from).count() as u128 * to.len() as u128;
            rows().map(most).sum::<u128>() > RESULT_SIZE_MAX && rows().map(exact).sum::<u128>() > RESULT_SIZE_MAX
        };
        if is_too_large { Err(too_large(self.inner.name())) } else { Ok(()) }
    }
}

fn too_large(function: &str) -> DataFusionError {
    failure(
        Error::new(ErrorCode::ProgramLimitExceeded, "requested length too large")
            .with_detail(format!("{function} would make more than {} MiB at once.", RESULT_SIZE_MAX >> 20)),
    )
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}

/// Refuses constant arguments of aggregates that size what they keep.
#[derive(Debug)]
pub(super) struct BoundConstantArguments;

impl AnalyzerRule for BoundConstantArguments {
    fn name(&self) -> &str {
        "bound_constant_arguments"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|plan| {
            plan.apply_expressions(|expr| {
                expr.apply(|expr| {
                    check_aggregate(expr)?;
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }
}

fn check_aggregate(expr: &Expr) -> Result<()> {
    let Expr::AggregateFunction(aggregate) = expr else { return Ok(()) };
    let at = match aggregate.func.name() {
        "approx_percentile_cont" => 2,
        "approx_percentile_cont_with_weight" => 3,
        _ => return Ok(()),
    };
    let Some(mut argument) = aggregate.params.args.get(at) else { return Ok(()) };
    while let Expr::Cast(cast) = argument {
        argument = &cast.expr;
    }
    let Expr::Literal(value, _) = argument else { return Ok(()) };
    let centroids = match value.cast_to(&DataType::UInt64) {
        Ok(ScalarValue::UInt64(Some(centroids))) => centroids,
        _ => return Ok(()),
    };
    if centroids > CENTROIDS_MAX {
        return Err(failure(
            Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("{} takes at most {CENTROIDS_MAX} centroids", aggregate.func.name()),
            )
            .with_hint("The default of 100 is exact to about one percent."),
        ));
    }
    Ok(())
}
