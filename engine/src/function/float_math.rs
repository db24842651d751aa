//! Floating point as PostgreSQL has it: dividing by zero is `22012` instead of infinity, a logarithm of nothing is an error
//! instead of `-Infinity` or `NaN`, and `round` of a float goes to the even neighbour.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::row_function::failure;
use crate::{Error, ErrorCode};

/// The function that stands for `/` between two `double precision`.
pub(super) fn division() -> ScalarUDF {
    ScalarUDF::from(Division { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Division {
    signature: Signature,
}

impl ScalarUDFImpl for Division {
    fn name(&self) -> &str {
        "float_divide"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return exec_err!("float_divide takes two arguments") };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let (left, right) =
            (cast(&left.to_array(rows)?, &DataType::Float64)?, cast(&right.to_array(rows)?, &DataType::Float64)?);
        let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
        let quotients: Float64Array = arrow::compute::try_binary(left, right, |dividend: f64, divisor: f64| {
            // As in PostgreSQL, NaN divided by zero is NaN.
            if divisor == 0.0 && !dividend.is_nan() {
                return Err(arrow::error::ArrowError::DivideByZero);
            }
            Ok(dividend / divisor)
        })?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&quotients, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(quotients))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Care {
    Logarithm,
    Round,
}

const CAREFUL: [(&str, Care); 5] = [
    ("ln", Care::Logarithm),
    ("log", Care::Logarithm),
    ("log2", Care::Logarithm),
    ("log10", Care::Logarithm),
    ("round", Care::Round),
];

/// Those of the registry's functions that need care, with it.
pub(super) fn careful_functions(registry: &dyn FunctionRegistry) -> Vec<ScalarUDF> {
    CAREFUL
        .into_iter()
        .filter_map(|(name, care)| {
            let inner = registry.udf(name).ok()?;
            let wrapped = inner.inner().downcast_ref::<Careful>().is_some();
            (!wrapped).then(|| ScalarUDF::from(Careful { inner, care }))
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Careful {
    inner: Arc<ScalarUDF>,
    care: Care,
}

impl ScalarUDFImpl for Careful {
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
        match self.care {
            // DataFusion turns `log(1)` into zero and `log(a, power(a, b))` into `b`; neither can fail.
            Care::Logarithm => self.inner.simplify(args, info),
            Care::Round => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.care {
            Care::Logarithm => {
                for argument in &args.args {
                    let array = argument.to_array(1)?;
                    if array.data_type().is_numeric() {
                        check_logarithm(&array)?;
                    }
                }
                self.inner.invoke_with_args(args)
            }
            Care::Round => match args.args.as_slice() {
                [number] if number.data_type().is_floating() => round(number),
                _ => self.inner.invoke_with_args(args),
            },
        }
    }
}

fn check_logarithm(array: &ArrayRef) -> Result<()> {
    let numbers = cast(array, &DataType::Float64)?;
    for number in numbers.as_primitive::<Float64Type>().iter().flatten() {
        if number == 0.0 {
            return Err(failure(Error::new(ErrorCode::InvalidArgumentForLogarithm, "cannot take logarithm of zero")));
        }
        if number < 0.0 {
            let message = "cannot take logarithm of a negative number";
            return Err(failure(Error::new(ErrorCode::InvalidArgumentForLogarithm, message)));
        }
    }
    Ok(())
}

fn round(number: &ColumnarValue) -> Result<ColumnarValue> {
    let array = number.to_array(1)?;
    let rounded: ArrayRef = match array.data_type() {
        DataType::Float32 => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even))
        }
        _ => {
            let wide = cast(&array, &DataType::Float64)?;
            Arc::new(wide.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even))
        }
    };
    let rounded = cast(&rounded, array.data_type())?;
    Ok(match number {
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&rounded, 0)?),
        ColumnarValue::Array(_) => ColumnarValue::Array(rounded),
    })
}
