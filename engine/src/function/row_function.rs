//! [`RowFunction`]: a SQL function written for one row. Catalog and session functions run over hundreds of rows, not
//! millions, so what they gain in clarity costs nothing; functions for data are written over arrays.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::FunctionContext;
use crate::plan::pg_catalog::{PG_TYPE_METADATA, Value, array_of, arrow_field, values_of};
use crate::{Error, ErrorCode};

type PureBody = dyn Fn(&[Value]) -> Result<Value> + Send + Sync;
type AskingBody = dyn Fn(&FunctionContext, &[Value]) -> Result<Value> + Send + Sync;

/// What a function does with the arguments of a row.
#[derive(Clone)]
enum Body {
    /// Looks at them alone.
    Pure(Arc<PureBody>),
    /// Asks who calls, too.
    Asking(Arc<AskingBody>),
}

impl Body {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pure(own), Self::Pure(other)) => Arc::ptr_eq(own, other),
            (Self::Asking(own), Self::Asking(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }
}

/// A function of one row.
pub(crate) struct RowFunction {
    name: &'static str,
    /// One letter an argument: `i` integer, `t` text, `b` boolean, `a` as it comes, `x` text or an array; after `?` they may be left out; `*`
    /// at the end is any number more, as they come.
    arguments: &'static str,
    signature: Signature,
    returns: Field,
    /// NULL in, NULL out.
    strict: bool,
    body: Body,
}

impl RowFunction {
    /// A function that gives NULL when any argument is NULL. `returns` is a PostgreSQL type name.
    pub(crate) fn strict(
        name: &'static str,
        arguments: &'static str,
        returns: &str,
        body: impl Fn(&[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::build(name, arguments, returns, true, Volatility::Stable, Body::Pure(Arc::new(body)))
    }

    /// A function that sees NULL arguments.
    pub(crate) fn lenient(
        name: &'static str,
        arguments: &'static str,
        returns: &str,
        body: impl Fn(&[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::build(name, arguments, returns, false, Volatility::Stable, Body::Pure(Arc::new(body)))
    }

    /// As [`RowFunction::strict`], for one that answers from the session or the catalog.
    pub(crate) fn asking(
        name: &'static str,
        arguments: &'static str,
        returns: &str,
        body: impl Fn(&FunctionContext, &[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::build(name, arguments, returns, true, Volatility::Stable, Body::Asking(Arc::new(body)))
    }

    /// As [`RowFunction::asking`], and sees NULL arguments.
    pub(crate) fn lenient_asking(
        name: &'static str,
        arguments: &'static str,
        returns: &str,
        body: impl Fn(&FunctionContext, &[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::build(name, arguments, returns, false, Volatility::Stable, Body::Asking(Arc::new(body)))
    }

    /// As [`RowFunction::asking`], for one that does something each time it is called: never planned away.
    pub(crate) fn volatile_asking(
        name: &'static str,
        arguments: &'static str,
        returns: &str,
        body: impl Fn(&FunctionContext, &[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        Self::build(name, arguments, returns, true, Volatility::Volatile, Body::Asking(Arc::new(body)))
    }

    fn build(
        name: &'static str,
        arguments: &'static str,
        returns: &str,
        strict: bool,
        volatility: Volatility,
        body: Body,
    ) -> Self {
        let (required, optional) = arguments.split_once('?').unwrap_or((arguments.trim_end_matches('*'), ""));
        let signature = if arguments.ends_with('*') {
            TypeSignature::VariadicAny
        } else {
            let counts = required.len()..=required.len() + optional.len();
            TypeSignature::OneOf(
                counts.map(|n| if n == 0 { TypeSignature::Nullary } else { TypeSignature::Any(n) }).collect(),
            )
        };
        let signature = Signature::new(signature, volatility);
        // `text:regclass` is text that is labelled as another type.
        let returns = match returns.strip_prefix("text:") {
            Some(label) => {
                let metadata = HashMap::from([(PG_TYPE_METADATA.to_owned(), label.to_owned())]);
                Field::new(name, DataType::Utf8, true).with_metadata(metadata)
            }
            None => arrow_field(name, returns),
        };
        Self { name, arguments, signature, returns, strict, body }
    }

    fn kind(&self, i: usize) -> char {
        self.arguments.chars().filter(|kind| !matches!(kind, '?' | '*')).nth(i).unwrap_or('a')
    }

    fn argument(&self, i: usize, array: &ArrayRef) -> Result<Vec<Value>> {
        let target = match self.kind(i) {
            'i' => DataType::Int64,
            't' => DataType::Utf8,
            'x' if !matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_)) => DataType::Utf8,
            'b' => DataType::Boolean,
            _ => return values_of(array),
        };
        let options = CastOptions { safe: false, format_options: FormatOptions::default() };
        let array = cast_with_options(array, &target, &options).map_err(|_| {
            let what = if target == DataType::Boolean { "boolean" } else { "integer" };
            let text =
                values_of(array).ok().and_then(|values| values.first().and_then(Value::as_text).map(str::to_owned));
            failure(Error::new(
                ErrorCode::InvalidTextRepresentation,
                format!("invalid input syntax for type {what}: \"{}\"", text.unwrap_or_default()),
            ))
        })?;
        values_of(&array)
    }

    /// As DataFusion takes it.
    pub(crate) fn into_udf(self) -> ScalarUDF {
        ScalarUDF::from(self)
    }
}

/// An error of ours on its way through DataFusion.
pub(crate) fn failure(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl fmt::Debug for RowFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Two functions are one if they have the same body. Who calls is not part of it: see [`super::is_of_session`].
impl PartialEq for RowFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.body.is(&other.body)
    }
}

impl Eq for RowFunction {}

impl Hash for RowFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for RowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.returns.clone()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        // Nothing varies by row, so one row says it all.
        let count = if constant { 1 } else { args.number_rows };
        let mut columns = Vec::with_capacity(args.args.len());
        for (i, argument) in args.args.iter().enumerate() {
            columns.push(self.argument(i, &argument.to_array(count)?)?);
        }
        let caller = match self.body {
            Body::Asking(_) => Some(FunctionContext::of(&args.config_options).map_err(failure)?),
            Body::Pure(_) => None,
        };
        let call = |row: &[Value]| match (&self.body, &caller) {
            (Body::Pure(body), _) => body(row),
            (Body::Asking(body), Some(caller)) => body(caller, row),
            (Body::Asking(_), None) => Err(failure(Error::internal("nobody calls"))),
        };
        let mut results = Vec::with_capacity(count);
        let mut row = Vec::with_capacity(columns.len());
        for i in 0..count {
            row.clear();
            row.extend(columns.iter().map(|column| column[i].clone()));
            let null = self.strict && row.contains(&Value::Null);
            results.push(if null { Value::Null } else { call(&row)? });
        }
        let array = array_of(self.returns.data_type(), &results)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
