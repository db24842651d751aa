//! Division of decimals as PostgreSQL has it: `1 / 3.0` is 0.33333333333333333333, rounded half away from zero.
//!
//! PostgreSQL gives a quotient at least 16 significant digits, at a scale that depends on the values (`select_div_scale` in
//! its numeric.c). Arrow's types have one scale per column, and DataFusion's own division adds four digits to the
//! dividend's, which turns a share of 1/3 into 0.3333. Ours has [`SCALE`] digits behind the point: those that PostgreSQL
//! shows for quotients below one.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array, Decimal128Builder};
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, i256};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::row_function::failure;
use crate::{Error, ErrorCode};

/// Digits behind the point of a quotient.
const SCALE: i8 = 20;

/// The function that stands for `/` between decimals.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::from(NumericDivision { signature: Signature::any(2, Volatility::Immutable) })
}

/// Whether `/` between these types, as a query has them, is ours.
pub(crate) fn divides(left: &DataType, right: &DataType) -> bool {
    let is_number = |data_type: &DataType| data_type.is_integer() || matches!(data_type, DataType::Decimal128(..));
    let is_decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    is_number(left) && is_number(right) && (is_decimal(left) || is_decimal(right))
}

/// Whether `/` between these types, once they were made one, is ours.
pub(super) fn applies(left: &DataType, right: &DataType) -> bool {
    matches!((left, right), (DataType::Decimal128(..), DataType::Decimal128(..)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumericDivision {
    signature: Signature,
}

impl ScalarUDFImpl for NumericDivision {
    fn name(&self) -> &str {
        "numeric_divide"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, SCALE))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return exec_err!("numeric_divide takes two arguments") };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
        let quotients = divide(&decimal(&left)?, &decimal(&right)?).map_err(failure)?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&quotients, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(quotients))
        })
    }
}

fn decimal(array: &dyn Array) -> Result<Decimal128Array> {
    if let Some(decimals) = array.as_primitive_opt::<Decimal128Type>() {
        return Ok(decimals.clone());
    }
    // Integers; NULL literals come untyped.
    Ok(cast(array, &DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))?.as_primitive::<Decimal128Type>().clone())
}

fn divide(left: &Decimal128Array, right: &Decimal128Array) -> Result<Decimal128Array, Error> {
    // left / 10^a divided by right / 10^b, times 10^SCALE: the power of ten goes to whichever side makes it positive.
    let shift = i32::from(SCALE) + i32::from(right.scale()) - i32::from(left.scale());
    let (up, down) = (power_of_ten(shift.max(0)), power_of_ten((-shift).max(0)));
    let narrow_up = up.to_i128();
    let mut quotients = Decimal128Builder::with_capacity(left.len())
        .with_precision_and_scale(DECIMAL128_MAX_PRECISION, SCALE)
        .map_err(|error| Error::internal(error.to_string()))?;
    for (dividend, divisor) in left.iter().zip(right.iter()) {
        let (Some(dividend), Some(divisor)) = (dividend, divisor) else {
            quotients.append_null();
            continue;
        };
        if divisor == 0 {
            return Err(Error::new(ErrorCode::DivisionByZero, "division by zero"));
        }
        // Most dividends fit 128 bits even when scaled, which the processor divides; 256 bits are divided in software.
        let narrow = narrow_up.and_then(|up| dividend.checked_mul(up)).filter(|_| shift >= 0);
        let quotient = match narrow {
            Some(scaled) => Some(round_half_away(scaled, divisor)),
            None => wide(i256::from_i128(dividend), i256::from_i128(divisor), up, down),
        };
        match quotient.filter(|quotient| quotient.unsigned_abs() < 10_u128.pow(38)) {
            Some(quotient) => quotients.append_value(quotient),
            None => {
                return Err(Error::new(ErrorCode::NumericValueOutOfRange, "numeric field overflow").with_detail(
                    format!("A quotient has {SCALE} digits behind the point and at most {} before it.", 38 - SCALE),
                ));
            }
        }
    }
    Ok(quotients.finish())
}

fn round_half_away(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    // |rest| >= |divisor| - |rest| says twice the rest reaches the divisor, without doubling it.
    if rest != 0 && rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        if (dividend < 0) == (divisor < 0) { quotient + 1 } else { quotient - 1 }
    } else {
        quotient
    }
}

fn wide(dividend: i256, divisor: i256, up: i256, down: i256) -> Option<i128> {
    let (dividend, divisor) = (dividend.checked_mul(up)?, divisor.checked_mul(down)?);
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let positive = |value: i256| if value.is_negative() { value.wrapping_neg() } else { value };
    let one = i256::from_i128(1);
    let rounded = if rest != i256::ZERO && positive(rest) >= positive(divisor).checked_sub(positive(rest))? {
        if dividend.is_negative() == divisor.is_negative() {
            quotient.checked_add(one)?
        } else {
            quotient.checked_sub(one)?
        }
    } else {
        quotient
    };
    rounded.to_i128()
}

fn power_of_ten(exponent: i32) -> i256 {
    (0..exponent).fold(i256::from_i128(1), |power, _| power.wrapping_mul(i256::from_i128(10)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn number(text: &str, scale: i8) -> Decimal128Array {
        let array = arrow::array::StringArray::from(vec![text]);
        cast(&array, &DataType::Decimal128(38, scale)).unwrap().as_primitive::<Decimal128Type>().clone()
    }

    /// PostgreSQL 15's answers, at twenty digits.
    #[test]
    fn quotients_are_postgres() {
        for (left, left_scale, right, right_scale, expected) in [
            ("1", 0, "3.0", 1, "0.33333333333333333333"),
            ("2", 0, "3", 0, "0.66666666666666666667"),
            ("-2", 0, "3", 0, "-0.66666666666666666667"),
            ("1.00", 2, "8", 0, "0.12500000000000000000"),
            ("0", 0, "7", 0, "0.00000000000000000000"),
            ("99999999999999999.99", 2, "1", 0, "99999999999999999.99000000000000000000"),
            ("0.00000000000000000000000000005", 29, "1000000000", 0, "0.00000000000000000000"),
            ("0.5", 38 - 1, "100000000000000000000", 0, "0.00000000000000000001"),
        ] {
            let quotient = divide(&number(left, left_scale), &number(right, right_scale)).unwrap();
            assert_eq!(quotient.value_as_string(0), expected, "{left} / {right}");
        }
    }

    #[test]
    fn zero_and_overflow_are_told() {
        let code = |left: &str, right: &str| divide(&number(left, 0), &number(right, 2)).unwrap_err().code;
        assert_eq!(code("1", "0"), ErrorCode::DivisionByZero);
        assert_eq!(code("10000000000000000000", "0.01"), ErrorCode::NumericValueOutOfRange);
    }
}
