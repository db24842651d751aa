//! [`Value`]: one cell of a catalog table, and the arrays made of them. Catalogs are small; clarity wins over columns here.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Float32Builder, Float64Builder, Int16Builder, Int32Builder,
    Int64Builder, ListArray, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Result, exec_err};

use super::relations::SystemRelation;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Microseconds since 1970, UTC.
    Timestamp(i64),
    List(Vec<Value>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl Value {
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

/// An array of `data_type` with those cells.
pub(crate) fn array_of(data_type: &DataType, values: &[Value]) -> Result<ArrayRef> {
    macro_rules! build {
        ($builder:expr, $variant:ident, $convert:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Value::$variant(value) => builder.append_value($convert(value)),
                    Value::Null => builder.append_null(),
                    other => return exec_err!("a catalog cell holds {other:?} where {data_type} is wanted"),
                }
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    match data_type {
        DataType::Boolean => build!(BooleanBuilder::new(), Bool, |v: &bool| *v),
        DataType::Int16 => build!(Int16Builder::new(), Int, |v: &i64| *v as i16),
        DataType::Int32 => build!(Int32Builder::new(), Int, |v: &i64| *v as i32),
        DataType::Int64 => build!(Int64Builder::new(), Int, |v: &i64| *v),
        DataType::Float32 => build!(Float32Builder::new(), Float, |v: &f64| *v as f32),
        DataType::Float64 => build!(Float64Builder::new(), Float, |v: &f64| *v),
        DataType::Utf8 => build!(StringBuilder::new(), Text, |v: &String| v.clone()),
        DataType::Binary => build!(BinaryBuilder::new(), Text, |v: &String| v.clone().into_bytes()),
        DataType::Decimal128(..) => Ok(cast(&array_of(&DataType::Int64, values)?, data_type)?),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            build!(TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone()), Timestamp, |v: &i64| *v)
        }
        DataType::List(element) => {
            let mut lengths = Vec::with_capacity(values.len());
            let mut valid = Vec::with_capacity(values.len());
            let mut flat = Vec::new();
            for value in values {
                match value {
                    Value::List(items) => {
                        lengths.push(items.len());
                        valid.push(true);
                        flat.extend(items.iter().cloned());
                    }
                    Value::Null => {
                        lengths.push(0);
                        valid.push(false);
                    }
                    other => return exec_err!("a catalog cell holds {other:?} where {data_type} is wanted"),
                }
            }
            let items = array_of(element.data_type(), &flat)?;
            let nulls = NullBuffer::from(valid);
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(element),
                OffsetBuffer::from_lengths(lengths),
                items,
                Some(nulls),
            )?))
        }
        other => exec_err!("catalog tables have no columns of type {other}"),
    }
}

/// The cells of an array.
pub(crate) fn values_of(array: &dyn Array) -> Result<Vec<Value>> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
    fn each<T>(array: &dyn Array, get: impl Fn(usize) -> T) -> Vec<Value>
    where
        T: Into<Value>,
    {
        (0..array.len()).map(|i| if array.is_null(i) { Value::Null } else { get(i).into() }).collect()
    }
    Ok(match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => each(array, |i| array.as_boolean().value(i)),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let mut values = Vec::with_capacity(lists.len());
            for i in 0..lists.len() {
                values.push(if lists.is_null(i) { Value::Null } else { Value::List(values_of(&lists.value(i))?) });
            }
            values
        }
        DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) | DataType::LargeListView(_) => {
            let element = Field::new_list_field(list_element(array.data_type()), true);
            values_of(&cast(array, &DataType::List(Arc::new(element)))?)?
        }
        data_type if data_type.is_integer() => {
            let array = cast(array, &DataType::Int64)?;
            each(&array, |i| array.as_primitive::<Int64Type>().value(i))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let array = cast(array, &DataType::Float64)?;
            let array = array.as_primitive::<Float64Type>();
            (0..array.len())
                .map(|i| if array.is_null(i) { Value::Null } else { Value::Float(array.value(i)) })
                .collect()
        }
        DataType::Timestamp(_, zone) => {
            let array = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            let array = array.as_primitive::<TimestampMicrosecondType>();
            (0..array.len())
                .map(|i| if array.is_null(i) { Value::Null } else { Value::Timestamp(array.value(i)) })
                .collect()
        }
        _ => {
            let array = cast(array, &DataType::Utf8)?;
            each(&array, |i| array.as_string::<i32>().value(i))
        }
    })
}

fn list_element(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f)
        | DataType::LargeListView(f) => f.data_type().clone(),
        other => other.clone(),
    }
}

/// Collects rows of one system relation, of all its columns or of some. A row says what differs from the column's default:
/// false, 0, the empty string for NOT NULL columns, NULL for the others.
#[derive(Debug)]
pub(crate) struct Rows {
    relation: &'static SystemRelation,
    /// By column; `None` for those that nobody asked for.
    columns: Vec<Option<Cells>>,
    row_count: usize,
    /// Where each cell of the last row went, by its name's address: rows of one table come from one place.
    places: Vec<(usize, usize)>,
}

/// The cells of one column. Those of the last rows that had the default are not there.
#[derive(Debug)]
struct Cells {
    default: Value,
    values: Vec<Value>,
}

impl Rows {
    /// Collects all columns.
    pub(crate) fn new(relation: &'static SystemRelation) -> Self {
        Self::of_columns(relation, |_| true)
    }

    /// Collects the columns that are `wanted`, by position.
    pub(crate) fn of_columns(relation: &'static SystemRelation, wanted: impl Fn(usize) -> bool) -> Self {
        let cells = |(i, column): (usize, &super::relations::SystemColumn)| {
            wanted(i).then(|| Cells { default: default_of(column.type_name, column.not_null), values: Vec::new() })
        };
        let columns = relation.columns.iter().enumerate().map(cells).collect();
        Self { relation, columns, row_count: 0, places: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When a cell names a column that the relation hasn't: a typo of ours, which any test that builds the table shows.
    pub(crate) fn push<const N: usize>(&mut self, cells: [(&'static str, Value); N]) {
        let before = self.row_count;
        self.row_count += 1;
        for (index, (name, value)) in cells.into_iter().enumerate() {
            let place = match self.places.get(index) {
                Some((address, place))
                    if *address == name.as_ptr() as usize && self.relation.columns[*place].name == name =>
                {
                    *place
                }
                _ => {
                    let place = self.relation.columns.iter().position(|column| column.name == name);
                    let place = place.unwrap_or_else(|| panic!("{} has no column {name}", self.relation.name));
                    self.places.truncate(index);
                    self.places.push((name.as_ptr() as usize, place));
                    place
                }
            };
            let Some(cells) = &mut self.columns[place] else { continue };
            if value != cells.default {
                cells.values.resize(before, cells.default.clone());
                cells.values.push(value);
            }
        }
    }

    /// Whether one of these columns is wanted: for what takes time to find out.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        let wanted = self.relation.columns.iter().zip(&self.columns).filter(|(_, cells)| cells.is_some());
        wanted.into_iter().any(|(column, _)| names.contains(&column.name))
    }

    /// Adds rows at once if no column is wanted and they are only counted; tells whether it has.
    pub(crate) fn count_only(&mut self, row_count: usize) -> bool {
        let counts = self.columns.iter().all(Option::is_none);
        self.row_count += if counts { row_count } else { 0 };
        counts
    }

    /// The wanted columns, in the relation's order.
    pub(crate) fn finish(self) -> Result<RecordBatch> {
        let wanted: Vec<usize> = (0..self.columns.len()).filter(|place| self.columns[*place].is_some()).collect();
        let schema = Arc::new(self.relation.arrow_schema.project(&wanted)?);
        let schema = if wanted.len() == self.columns.len() { Arc::clone(&self.relation.arrow_schema) } else { schema };
        let mut arrays = Vec::with_capacity(wanted.len());
        for (field, cells) in schema.fields().iter().zip(self.columns.into_iter().flatten()) {
            let Cells { default, mut values } = cells;
            if values.is_empty() && default == Value::Null {
                arrays.push(new_null_array(field.data_type(), self.row_count));
            } else {
                values.resize(self.row_count, default);
                arrays.push(array_of(field.data_type(), &values)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.row_count));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }
}

pub(crate) fn default_of(type_name: &str, not_null: bool) -> Value {
    if !not_null {
        return Value::Null;
    }
    match super::relations::arrow_type(type_name) {
        DataType::Boolean => Value::Bool(false),
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) => Value::Int(0),
        DataType::Float32 | DataType::Float64 => Value::Float(0.0),
        DataType::List(_) => Value::List(Vec::new()),
        DataType::Timestamp(..) => Value::Null,
        _ => Value::Text(String::new()),
    }
}
