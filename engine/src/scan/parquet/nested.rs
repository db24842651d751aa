//! [`NestedCast`]: a struct, list or map of a file as the table declares it.
//!
//! Hive's and Glue's declarations are lower case also inside structs, and files keep their writers' spelling. Fields are
//! found by name without regard to case, at every depth, through lists and maps; one that the file lacks is NULL; leaves of
//! another type are cast. DataFusion's own cast takes exact names, refuses structs that share none, and looks into maps by
//! position.
//!
//! Columns whose values may have no counterpart in the table's type ([`crate::scan::drift`]) come through here, too: their
//! errors name the column, and where no value has one, NULL is still NULL.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, ListArray, MapArray, RecordBatch, StructArray, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

use super::source::COLUMN_DETAIL;
use crate::error::to_datafusion;
use crate::scan::drift::{Resolution, resolve};
use crate::scan::schema::catalog_type;
use crate::{Error, ErrorCode};

/// Whether a file's column must go through [`NestedCast`]: a struct is in it and it isn't the table's already, or its
/// values may not be the table's.
pub(super) fn needs_cast(file_type: &DataType, table_type: &DataType) -> bool {
    // Not by `equals_datatype`, to which fields of other names are the same.
    (has_struct(table_type) && has_struct(file_type) && file_type != table_type)
        || is_timestamp_to_text(file_type, table_type)
        || may_fail(file_type, table_type)
}

/// Arrow writes a `T` between day and time; SQL doesn't.
fn is_timestamp_to_text(file_type: &DataType, table_type: &DataType) -> bool {
    matches!(file_type, DataType::Timestamp(..)) && table_type == &DataType::Utf8View
}

fn may_fail(file_type: &DataType, table_type: &DataType) -> bool {
    let (Ok(file), Ok(table)) = (catalog_type(file_type), catalog_type(table_type)) else { return false };
    resolve(&file, &table).is_some_and(|(resolution, _)| resolution == Resolution::ValueError)
}

/// Whether there is a cast at all. Arrow's would make a list of a value.
fn is_castable(file_type: &DataType, table_type: &DataType) -> bool {
    let is_dictionary = matches!(file_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..));
    let is_nested = |data_type: &DataType| data_type.is_nested() && !is_dictionary;
    match (is_nested(file_type), is_nested(table_type)) {
        (false, false) => can_cast_types(file_type, table_type),
        (true, true) => {
            std::mem::discriminant(file_type) == std::mem::discriminant(table_type)
                || (matches!(table_type, DataType::List(_))
                    && !matches!(file_type, DataType::Struct(_) | DataType::Map(..)))
        }
        _ => false,
    }
}

/// The values of a column as the table's, or an error that names the column.
fn convert_column(array: &ArrayRef, target: &Field) -> Result<ArrayRef> {
    if is_castable(array.data_type(), target.data_type()) {
        return convert(array, target.data_type()).map_err(|error| told(error, array.data_type(), target));
    }
    if array.logical_null_count() == array.len() {
        return Ok(new_null_array(target.data_type(), array.len()));
    }
    let message = format!("column \"{}\" cannot be read as {}", target.name(), shown(target.data_type()));
    Err(to_datafusion(Error::new(ErrorCode::DatatypeMismatch, message).with_detail(place(array.data_type(), target))))
}

fn shown(data_type: &DataType) -> String {
    catalog_type(data_type).map_or_else(|_| data_type.to_string(), |data_type| data_type.to_string())
}

fn place(file_type: &DataType, target: &Field) -> String {
    format!(
        "{COLUMN_DETAIL}\"{}\" is {} in the file and {} in the table.",
        target.name(),
        shown(file_type),
        shown(target.data_type())
    )
}

/// `error`, which a cast has met, in words about the column.
fn told(error: DataFusionError, file_type: &DataType, target: &Field) -> DataFusionError {
    let mut own = Error::from(error);
    let wanted = shown(target.data_type());
    if own.message.contains("non UTF-8") || own.message.contains("invalid utf-8") {
        own.code = ErrorCode::CharacterNotInRepertoire;
        own.message = "invalid byte sequence for encoding \"UTF8\"".to_owned();
    } else if own.code == ErrorCode::NumericValueOutOfRange {
        // `can't cast value 300 to type Int8`, `123.00 is too large to store in a Decimal128 ...`
        let text = own.message.to_lowercase();
        let value = match text.split_once("cast value ") {
            Some((_, rest)) => rest.split(' ').next(),
            None => own.message.split_once(" is too ").map(|(value, _)| value),
        };
        own.message = match value {
            Some(value) => format!("value \"{value}\" is out of range for type {wanted}"),
            None => format!("value out of range for type {wanted}"),
        };
    }
    own.detail = Some(place(file_type, target));
    own.hint.get_or_insert_with(|| "SHOW DRIFT lists the files that differ from their table.".to_owned());
    to_datafusion(own)
}

fn has_struct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => has_struct(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.iter().any(|field| has_struct(field.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// See the module.
#[derive(Debug, Clone, Eq)]
pub(super) struct NestedCast {
    input: Arc<dyn PhysicalExpr>,
    target: FieldRef,
}

impl NestedCast {
    /// `input` as a value of `target`'s type.
    pub(super) fn new(input: Arc<dyn PhysicalExpr>, target: FieldRef) -> Self {
        Self { input, target }
    }
}

// Written out: derives don't look through `Arc<dyn PhysicalExpr>`.
impl PartialEq for NestedCast {
    fn eq(&self, other: &Self) -> bool {
        self.input.eq(&other.input) && self.target == other.target
    }
}

impl Hash for NestedCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.target.hash(state);
    }
}

impl fmt::Display for NestedCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.input)
    }
}

impl PhysicalExpr for NestedCast {
    fn data_type(&self, _input_schema: &Schema) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn nullable(&self, _input_schema: &Schema) -> Result<bool> {
        Ok(self.target.is_nullable())
    }

    fn return_field(&self, _input_schema: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.target))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(convert_column(&array, &self.target)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, target: Arc::clone(&self.target) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.input.fmt_sql(f)
    }
}

fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    if is_timestamp_to_text(array.data_type(), target) {
        return Ok(timestamp_text(array)?);
    }
    if !has_struct(target) {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        return Ok(cast_with_options(array, target, &options)?);
    }
    match (array.data_type(), target) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let source = array.as_struct();
            let columns = fields
                .iter()
                .map(|field| match position(source.fields(), field.name()) {
                    Some(position) => convert(source.column(position), field.data_type()),
                    None => Ok(new_null_array(field.data_type(), source.len())),
                })
                .collect::<Result<Vec<_>>>()?;
            // With its length: a struct may have no field at all.
            let made =
                StructArray::try_new_with_length(fields.clone(), columns, source.nulls().cloned(), source.len())?;
            Ok(Arc::new(made))
        }
        (DataType::List(_), DataType::List(item)) => {
            let source = array.as_list::<i32>();
            let values = convert(source.values(), item.data_type())?;
            let made = ListArray::try_new(Arc::clone(item), source.offsets().clone(), values, source.nulls().cloned())?;
            Ok(Arc::new(made))
        }
        (
            DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item),
            DataType::List(_),
        ) => convert(&cast_with_options(array, &DataType::List(Arc::clone(item)), &CastOptions::default())?, target),
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let source = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else {
                return Ok(cast_with_options(array, target, &CastOptions::default())?);
            };
            // By position: writers call the two as they like (`key`, `keys`).
            let keys = convert(source.keys(), pair[0].data_type())?;
            let values = convert(source.values(), pair[1].data_type())?;
            let columns = StructArray::try_new(pair.clone(), vec![keys, values], source.entries().nulls().cloned())?;
            let made = MapArray::try_new(
                Arc::clone(entries),
                source.offsets().clone(),
                columns,
                source.nulls().cloned(),
                *sorted,
            )?;
            Ok(Arc::new(made))
        }
        _ => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            Ok(cast_with_options(array, target, &options)?)
        }
    }
}

fn timestamp_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let zone = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, zone.then(|| "UTC".into()));
    let format = FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f+00"));
    let options = CastOptions { safe: false, format_options: format };
    cast_with_options(&cast_with_options(array, &utc, &options)?, &DataType::Utf8View, &options)
}

/// The exact spelling wins over another case.
fn position(fields: &[Arc<Field>], name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    fields
        .iter()
        .position(|field| field.name() == name)
        .or_else(|| fields.iter().position(|field| field.name().to_lowercase() == lower))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::array::{Int32Array, Int64Array, StringArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::util::display::array_value_to_string;

    use super::*;

    /// `{X: 1, Name: a}`, `{X: 2, Name: b}`.
    fn structs() -> ArrayRef {
        let fields = vec![Field::new("X", DataType::Int32, false), Field::new("Name", DataType::Utf8, true)];
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["a", "b"]))];
        Arc::new(StructArray::new(fields.into(), columns, None))
    }

    fn declared() -> DataType {
        let fields = [("name", DataType::Utf8View), ("x", DataType::Int64), ("gone", DataType::Boolean)];
        DataType::Struct(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec().into())
    }

    fn first(array: &ArrayRef) -> String {
        array_value_to_string(array, 0).unwrap()
    }

    #[test]
    fn fields_are_found_by_name_at_every_depth() {
        let wanted = "{name: a, x: 1, gone: }";
        assert_eq!(first(&convert(&structs(), &declared()).unwrap()), wanted);

        let item = Arc::new(Field::new("element", structs().data_type().clone(), true));
        let list: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([2]), structs(), None));
        let target = DataType::List(Arc::new(Field::new("item", declared(), true)));
        assert!(needs_cast(list.data_type(), &target));
        assert_eq!(first(&convert(&list, &target).unwrap()), format!("[{wanted}, {{name: b, x: 2, gone: }}]"));

        let map_type = |value: &DataType, key_name: &str, key: DataType| {
            let pair = vec![Field::new(key_name, key, false), Field::new("value", value.clone(), true)];
            Arc::new(Field::new("entries", DataType::Struct(pair.into()), false))
        };
        let field = map_type(structs().data_type(), "key", DataType::Int64);
        let DataType::Struct(pair) = field.data_type() else { unreachable!() };
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        let entries = StructArray::new(pair.clone(), vec![keys, structs()], None);
        let map: ArrayRef =
            Arc::new(MapArray::new(Arc::clone(&field), OffsetBuffer::from_lengths([1, 1]), entries, None, false));
        let target = DataType::Map(map_type(&declared(), "keys", DataType::Int64), false);
        assert_eq!(first(&convert(&map, &target).unwrap()), format!("{{7: {wanted}}}"));
    }

    #[test]
    fn a_leaf_that_does_not_fit_is_an_error() {
        let target = DataType::Struct(vec![Field::new("name", DataType::Int32, true)].into());
        assert!(convert(&structs(), &target).unwrap_err().to_string().contains("Cannot cast string 'a'"));
    }
}
