//! A key of GROUP BY as a digit: its column's codes, or what an expression makes of the column's values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use limnos_columnar::Table;

use super::integer::{integers_of, is_coded};

/// The most values of a column for which an expression of it is evaluated while a query is planned: a millisecond or few.
const EXPRESSION_VALUES_MAX: usize = 1 << 16;

/// One key: where its codes are, and what its digits stand for.
#[derive(Debug)]
pub(super) struct Key {
    /// The table's column.
    pub(super) column: usize,
    /// What the column's digit 0 is, where it is of integers.
    pub(super) first: i128,
    /// The key's digit for each digit of the column; `None` where they are the same.
    pub(super) map: Option<Vec<u32>>,
    /// NULL's digit, if the column has NULLs.
    pub(super) null_digit: Option<u32>,
    /// How many digits there are.
    pub(super) base: u32,
    values: Values,
}

/// What digits stand for.
#[derive(Debug)]
enum Values {
    /// The integer so much above the first; NULL beyond the last.
    Integers { first: i128, count: u32, data_type: DataType },
    /// The element of this array.
    Array(ArrayRef),
}

impl Key {
    /// `expr`, which reads the columns of a scan that are these of the table's. `None` where it isn't of one column with few
    /// values, or has more than `limit` values itself.
    pub(super) fn new(expr: &Arc<dyn PhysicalExpr>, table: &Table, columns: &[usize], limit: usize) -> Option<Self> {
        let used = collect_columns(expr);
        let mut used = used.iter();
        let (Some(source), None) = (used.next(), used.next()) else { return None };
        let column = *columns.get(source.index())?;
        let statistics = table.statistics(column);
        let has_nulls = statistics.null_count > 0;
        let data_type = table.schema().field(column).data_type();

        let (first, count, values) = match (table.dictionary(column), statistics.integers) {
            (Some(dictionary), _) => (0, dictionary.len(), Values::Array(Arc::clone(dictionary.values()))),
            (None, Some(_)) if *data_type == DataType::Boolean => {
                (0, 2, Values::Array(Arc::new(BooleanArray::from(vec![false, true]))))
            }
            (None, Some((min, max))) if is_coded(table, column) => {
                let count = usize::try_from(max - min + 1).ok().filter(|count| *count <= limit)?;
                let data_type = data_type.clone();
                (min, count, Values::Integers { first: min, count: count as u32, data_type })
            }
            _ => return None,
        };
        if count + usize::from(has_nulls) > limit {
            return None;
        }
        let count = count as u32;
        let plain = Self {
            column,
            first,
            map: None,
            null_digit: has_nulls.then_some(count),
            base: count + u32::from(has_nulls),
            values,
        };
        match expr.downcast_ref::<Column>() {
            Some(_) => Some(plain),
            None => plain.computed(expr, data_type, count),
        }
    }

    /// An expression of this column: evaluated for each of its values, and for NULL.
    fn computed(self, expr: &Arc<dyn PhysicalExpr>, data_type: &DataType, count: u32) -> Option<Self> {
        if self.base as usize > EXPRESSION_VALUES_MAX || is_volatile(expr) {
            return None;
        }
        let domain = self.values(0..self.base).ok()?;
        let schema = Arc::new(Schema::new(vec![Field::new("value", data_type.clone(), true)]));
        let batch = RecordBatch::try_new(schema, vec![domain]).ok()?;
        let expr = Arc::clone(expr)
            .transform(|expr| {
                Ok(match expr.downcast_ref::<Column>() {
                    Some(_) => Transformed::yes(Arc::new(Column::new("value", 0)) as Arc<dyn PhysicalExpr>),
                    None => Transformed::no(expr),
                })
            })
            .ok()?
            .data;
        // A value that is an error may be one that no row of the query has: whoever evaluates the rows decides.
        let results = expr.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows())).ok()?;
        // Floats that differ are equal, and floats that are equal differ (-0.0, NaN): not by their bits.
        if results.data_type().is_floating() || results.data_type().is_nested() {
            return None;
        }
        let rows = RowConverter::new(vec![SortField::new(results.data_type().clone())])
            .and_then(|converter| converter.convert_columns(&[Arc::clone(&results)]))
            .ok()?;
        let mut digits = HashMap::new();
        let mut firsts: Vec<u32> = Vec::new();
        let mut map = Vec::with_capacity(rows.num_rows());
        for (row, value) in rows.iter().enumerate() {
            map.push(*digits.entry(value).or_insert_with(|| {
                firsts.push(row as u32);
                firsts.len() as u32 - 1
            }));
        }
        let values = take(&results, &UInt32Array::from(firsts), None).ok()?;
        let null_digit = self.null_digit.map(|digit| map[digit as usize]);
        map.truncate(count as usize);
        Some(Self { map: Some(map), null_digit, base: values.len() as u32, values: Values::Array(values), ..self })
    }

    /// What digits stand for.
    pub(super) fn values(&self, digits: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        match &self.values {
            Values::Integers { first, count, data_type } => {
                let digits: Vec<u32> = digits.collect();
                let valid = NullBuffer::from_iter(digits.iter().map(|digit| digit < count));
                integers_of(digits.iter().map(|digit| first + i128::from(*digit)), Some(valid), data_type)
            }
            Values::Array(values) => {
                let with_null = self.map.is_none() && self.null_digit.is_some();
                let digits = UInt32Array::from_iter_values(digits);
                Ok(match with_null {
                    true => {
                        let null = new_null_array(values.data_type(), 1);
                        take(&concat(&[values.as_ref(), null.as_ref()])?, &digits, None)?
                    }
                    false => take(values, &digits, None)?,
                })
            }
        }
    }
}
