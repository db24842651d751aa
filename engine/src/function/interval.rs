//! Arithmetic of intervals that DataFusion lacks: how long one is (to compare two), and an interval times or divided by a
//! number.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, IntervalMonthDayNanoArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::row_function::failure;
use crate::{Error, ErrorCode};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;

/// `interval_length(interval)`: nanoseconds, a month being 30 days and a day 24 hours. By that PostgreSQL compares intervals.
pub(super) fn length() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function(Operation::Length, 1));
    Arc::clone(&FUNCTION)
}

/// `interval_multiply(interval, double precision)`.
pub(crate) fn multiply() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function(Operation::Multiply, 2));
    Arc::clone(&FUNCTION)
}

/// `interval_divide(interval, double precision)`.
pub(crate) fn divide() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function(Operation::Divide, 2));
    Arc::clone(&FUNCTION)
}

fn function(operation: Operation, arguments: usize) -> Arc<ScalarUDF> {
    let signature = Signature::any(arguments, Volatility::Immutable);
    Arc::new(ScalarUDF::from(IntervalFunction { operation, signature }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Length,
    Multiply,
    Divide,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalFunction {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for IntervalFunction {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Length => "interval_length",
            Operation::Multiply => "interval_multiply",
            Operation::Divide => "interval_divide",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.operation {
            Operation::Length => DataType::Decimal128(38, 0),
            Operation::Multiply | Operation::Divide => INTERVAL,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = match (self.operation, arrays.as_slice()) {
            (Operation::Length, [intervals]) => lengths(intervals)?,
            (Operation::Multiply, [intervals, factors]) => scaled(intervals, factors, Ok)?,
            (Operation::Divide, [intervals, factors]) => scaled(intervals, factors, |divisor| {
                if divisor == 0.0 {
                    return Err(failure(Error::new(ErrorCode::DivisionByZero, "division by zero")));
                }
                Ok(1.0 / divisor)
            })?,
            _ => return exec_err!("wrong number of arguments for {}", self.name()),
        };
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

fn lengths(intervals: &ArrayRef) -> Result<ArrayRef> {
    let intervals = cast(intervals, &INTERVAL)?;
    let lengths: Decimal128Array = intervals
        .as_primitive::<IntervalMonthDayNanoType>()
        .iter()
        .map(|interval| {
            interval.map(|IntervalMonthDayNano { months, days, nanoseconds }| {
                (i128::from(months) * DAYS_PER_MONTH + i128::from(days)) * NANOS_PER_DAY + i128::from(nanoseconds)
            })
        })
        .collect();
    Ok(Arc::new(lengths.with_precision_and_scale(38, 0)?))
}

/// Fractions of months become days, and fractions of days time, as in PostgreSQL's `interval_mul`.
fn scaled(intervals: &ArrayRef, factors: &ArrayRef, factor_of: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let (intervals, factors) = (cast(intervals, &INTERVAL)?, cast(factors, &DataType::Float64)?);
    let mut result = IntervalMonthDayNanoArray::builder(intervals.len());
    let rows = intervals.as_primitive::<IntervalMonthDayNanoType>().iter().zip(factors.as_primitive::<Float64Type>());
    for (interval, factor) in rows {
        match (interval, factor) {
            (Some(interval), Some(factor)) => result.append_value(scale(interval, factor_of(factor)?)?),
            _ => result.append_null(),
        }
    }
    Ok(Arc::new(result.finish()))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "checked, and PostgreSQL does the same"
)]
fn scale(interval: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    // Quotients such as 3 * (1 / 3) must come out whole.
    let tidy = |value: f64| (value * 1e6).round() / 1e6;
    let months = tidy(f64::from(interval.months) * factor);
    let days = tidy(f64::from(interval.days) * factor);
    let spilled_days = tidy((months - months.trunc()) * DAYS_PER_MONTH as f64);
    let whole_days = days.trunc() + spilled_days.trunc();
    let rest_days = (days - days.trunc()) + (spilled_days - spilled_days.trunc());
    let micros = (interval.nanoseconds as f64 / 1000.0 * factor + rest_days * 86_400e6).round();
    let fits = |value: f64, limit: f64| value.is_finite() && value.abs() < limit;
    if !fits(months, 2e9) || !fits(whole_days, 2e9) || !fits(micros, 9e15) {
        return Err(failure(Error::new(ErrorCode::DatetimeFieldOverflow, "interval out of range")));
    }
    Ok(IntervalMonthDayNano::new(months.trunc() as i32, whole_days as i32, micros as i64 * 1000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_scaled_as_in_postgresql() {
        let interval = IntervalMonthDayNano::new;
        let hour = 3_600_000_000_000;
        for (value, factor, expected) in [
            (interval(0, 1, 0), 3.0, interval(0, 3, 0)),
            (interval(0, 10, 0), 0.25, interval(0, 2, 12 * hour)),
            (interval(1, 0, 0), 0.5, interval(0, 15, 0)),
            (interval(3, 0, 0), 1.0 / 3.0, interval(1, 0, 0)),
            (interval(0, 0, hour), -1.5, interval(0, 0, -hour * 3 / 2)),
        ] {
            assert_eq!(scale(value, factor).unwrap(), expected, "{value:?} * {factor}");
        }
        assert!(scale(interval(1, 0, 0), 1e300).is_err());
        assert!(scale(interval(1, 0, 0), f64::NAN).is_err());
    }
}
