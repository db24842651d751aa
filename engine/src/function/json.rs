//! JSON made of values: `to_json`, `row_to_json`, `json_build_object`, `json_agg` and their `jsonb` forms, spaced as PostgreSQL
//! spaces them. A value that is JSON already (its column is labelled so) stands in the result as it is.
//!
//! The aggregates are arrays first: [`crate::plan::pg_catalog::rewrite`] writes `json_agg(x)` as `limnos_json_list(array_agg(x))`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::row_function::failure;
use crate::encode::json::{write_json, write_string};
use crate::encode::text::write_text;
use crate::plan::pg_catalog::PG_TYPE_METADATA;
use crate::{Error, ErrorCode};

/// What a function makes of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// The first argument.
    Value,
    /// An array of all arguments.
    Array,
    /// Keys and values in turn, spaced as `json_build_object` does.
    Object,
    /// Keys and values in turn, spaced as `row_to_json` does.
    Row,
    /// The items of the first argument, an array.
    List,
    /// The same of texts that are JSON.
    RawList,
    /// Keys and values, each an array.
    Pairs,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    name: &'static str,
    form: Form,
    binary: bool,
    signature: Signature,
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let function = |name, form, binary| {
        let signature = match form {
            Form::Value => Signature::one_of(vec![TypeSignature::Any(1), TypeSignature::Any(2)], Volatility::Stable),
            Form::Array | Form::Object | Form::Row => {
                Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable)
            }
            Form::List | Form::RawList => Signature::any(1, Volatility::Stable),
            Form::Pairs => Signature::any(2, Volatility::Stable),
        };
        ScalarUDF::from(JsonFunction { name, form, binary, signature })
    };
    vec![
        function("to_json", Form::Value, false),
        function("to_jsonb", Form::Value, true),
        function("row_to_json", Form::Value, false),
        function("array_to_json", Form::Value, false),
        function("json_build_array", Form::Array, false),
        function("jsonb_build_array", Form::Array, true),
        function("json_build_object", Form::Object, false),
        function("jsonb_build_object", Form::Object, true),
        function("limnos_json_row", Form::Row, false),
        function("limnos_jsonb_row", Form::Row, true),
        function("limnos_json_list", Form::List, false),
        function("limnos_jsonb_list", Form::List, true),
        function("limnos_json_raw_list", Form::RawList, false),
        function("limnos_jsonb_raw_list", Form::RawList, true),
        function("limnos_json_pairs", Form::Pairs, false),
        function("limnos_jsonb_pairs", Form::Pairs, true),
    ]
}

/// Whether values of this field are JSON text.
fn is_json(field: &Field) -> bool {
    field.metadata().get(PG_TYPE_METADATA).is_some_and(|label| matches!(label.as_str(), "json" | "jsonb"))
}

fn write_value(array: &dyn Array, row: usize, raw: bool, out: &mut String) {
    if raw
        && array.is_valid(row)
        && let Some(text) = array.as_string_opt::<i32>()
    {
        return out.push_str(text.value(row));
    }
    write_json(array, row, out);
}

/// Writes the pairs of an object. `jsonb` has each key once, the last, in the order of their lengths.
fn write_pairs(mut pairs: Vec<(String, String)>, binary: bool, spacing: (&str, &str), out: &mut String) {
    if binary {
        let mut last: HashMap<String, String> = HashMap::with_capacity(pairs.len());
        last.extend(pairs);
        pairs = last.into_iter().collect();
        pairs.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    }
    let (between, colon) = if binary { (", ", ": ") } else { spacing };
    out.push('{');
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            out.push_str(between);
        }
        write_string(&key, out);
        out.push_str(colon);
        out.push_str(&value);
    }
    out.push('}');
}

impl JsonFunction {
    /// The result of one row; `None` for NULL.
    fn row(&self, arrays: &[ArrayRef], raw: &[bool], row: usize) -> Result<Option<String>> {
        let mut out = String::new();
        match self.form {
            Form::Value => {
                if arrays[0].is_null(row) {
                    return Ok(None);
                }
                write_value(arrays[0].as_ref(), row, raw[0], &mut out);
            }
            Form::Array => {
                out.push('[');
                for (index, array) in arrays.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_value(array.as_ref(), row, raw[index], &mut out);
                }
                out.push(']');
            }
            Form::Object | Form::Row => {
                let mut pairs = Vec::with_capacity(arrays.len() / 2);
                for (index, pair) in arrays.chunks(2).enumerate() {
                    let [key, value] = pair else {
                        let message = "argument list must have even number of elements";
                        let error = Error::new(ErrorCode::InvalidParameterValue, message)
                            .with_hint("The arguments must consist of alternating keys and values.");
                        return Err(failure(error));
                    };
                    let mut text = String::new();
                    write_value(value.as_ref(), row, raw[2 * index + 1], &mut text);
                    pairs.push((key_text(key, row, 2 * index + 1)?, text));
                }
                let spacing = if self.form == Form::Row { (",", ":") } else { (", ", " : ") };
                write_pairs(pairs, self.binary, spacing, &mut out);
            }
            Form::List | Form::RawList => {
                if arrays[0].is_null(row) {
                    return Ok(None);
                }
                let items = arrays[0].as_list::<i32>().value(row);
                out.push('[');
                for index in 0..items.len() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_value(items.as_ref(), index, self.form == Form::RawList, &mut out);
                }
                out.push(']');
            }
            Form::Pairs => {
                if arrays[0].is_null(row) || arrays[1].is_null(row) {
                    return Ok(None);
                }
                let (keys, values) = (arrays[0].as_list::<i32>().value(row), arrays[1].as_list::<i32>().value(row));
                let mut pairs = Vec::with_capacity(keys.len());
                for index in 0..keys.len().min(values.len()) {
                    let mut text = String::new();
                    write_value(values.as_ref(), index, false, &mut text);
                    pairs.push((key_text(&keys, index, 1)?, text));
                }
                if self.binary {
                    write_pairs(pairs, true, ("", ""), &mut out);
                } else {
                    write_pairs(pairs, false, (", ", " : "), &mut out);
                    out = format!("{{ {} }}", &out[1..out.len() - 1]);
                }
            }
        }
        Ok(Some(out))
    }
}

fn key_text(keys: &ArrayRef, row: usize, argument: usize) -> Result<String> {
    if keys.is_null(row) {
        let message = format!("argument {argument} cannot be null");
        let error = Error::new(ErrorCode::InvalidParameterValue, message);
        return Err(failure(error.with_hint("Object keys should be text.")));
    }
    let mut text = String::new();
    write_text(keys.as_ref(), row, &mut text);
    Ok(text)
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let label = if self.binary { "jsonb" } else { "json" };
        let metadata = HashMap::from([(PG_TYPE_METADATA.to_owned(), label.to_owned())]);
        Ok(Arc::new(Field::new(self.name, DataType::Utf8, true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let count = if constant { 1 } else { args.number_rows };
        let mut arrays = Vec::with_capacity(args.args.len());
        for argument in &args.args {
            let array = argument.to_array(count)?;
            arrays.push(match array.data_type() {
                DataType::Utf8View | DataType::LargeUtf8 => cast(&array, &DataType::Utf8)?,
                DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                    cast(&array, &DataType::List(Arc::clone(item)))?
                }
                _ => array,
            });
        }
        let raw: Vec<bool> = args.arg_fields.iter().map(|field| is_json(field)).collect();
        let rows = (0..count).map(|row| self.row(&arrays, &raw, row)).collect::<Result<Vec<_>>>()?;
        let array: ArrayRef = Arc::new(StringArray::from(rows));
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_spaced_and_ordered_as_postgresql_does() {
        let pairs = || {
            vec![("bb".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned()), ("a".to_owned(), "3".to_owned())]
        };
        let shown = |binary, spacing| {
            let mut out = String::new();
            write_pairs(pairs(), binary, spacing, &mut out);
            out
        };
        assert_eq!(shown(false, (",", ":")), r#"{"bb":1,"a":2,"a":3}"#);
        assert_eq!(shown(false, (", ", " : ")), r#"{"bb" : 1, "a" : 2, "a" : 3}"#);
        assert_eq!(shown(true, ("", "")), r#"{"a": 3, "bb": 1}"#);
    }
}
