//! [`PartitionIndex`]: a table's partitions as columns, and the question which of them a predicate keeps.
//!
//! One physical expression is evaluated over all partitions at once, whatever it says of the keys: equality, ranges, IN,
//! OR, functions. Cost: one pass over the key columns it names; 1 million partitions take some milliseconds.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use limnos_catalog::PartitionList;

use crate::{Error, ErrorCode, Result};

/// The partitions of one table at one version, typed.
#[derive(Debug)]
pub struct PartitionIndex {
    /// The keys' fields, in order.
    pub keys: Vec<FieldRef>,
    /// One array per key; NULL for `__HIVE_DEFAULT_PARTITION__`.
    pub values: Vec<ArrayRef>,
    /// The catalog's own list, with the values' spelling and the locations.
    pub list: Arc<PartitionList>,
}

impl PartitionIndex {
    /// Types the values of `list`. `01` is the int 1; text stays as it is.
    ///
    /// # Errors
    /// A value that its key's type can't hold.
    pub fn new(table: &str, keys: Vec<FieldRef>, list: Arc<PartitionList>) -> Result<Self> {
        let values = keys
            .iter()
            .zip(&list.values)
            .map(|(key, values)| typed_values(table, key, values))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { keys, values, list })
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.values.first().map_or(self.list.len(), |values| values.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, for the cache's bound.
    pub fn memory_size(&self) -> usize {
        self.values.iter().map(|values| values.get_array_memory_size()).sum::<usize>() + self.len() * 32
    }

    /// The key values of partition `index`.
    pub fn row(&self, index: usize) -> DataFusionResult<Vec<ScalarValue>> {
        self.values.iter().map(|values| ScalarValue::try_from_array(values, index)).collect()
    }

    /// The partitions that `filters` (a conjunction over the table's columns) don't exclude, ascending.
    ///
    /// Filters that name partition keys alone decide exactly (NULL excludes). What mixes keys with other columns
    /// (`(dt = 1 AND x > 5) OR dt = 2`) excludes what it can.
    pub fn prune(
        &self,
        state: &dyn datafusion::catalog::Session,
        table_schema: &SchemaRef,
        filters: &[Expr],
    ) -> DataFusionResult<Vec<usize>> {
        let names: HashSet<&str> = self.keys.iter().map(|key| key.name().as_str()).collect();
        let (exact, mixed): (Vec<&Expr>, Vec<&Expr>) =
            filters.iter().partition(|filter| is_partition_only(filter, &names));
        let keep = match exact.is_empty() {
            true => None,
            false => Some(matching(state, &self.keys, &self.values, self.len(), &exact)?),
        };
        let mixed = mixed.into_iter().filter(|filter| names_any(filter, &names)).cloned();
        let mut bounds_keep = None;
        if let Some(filter) = conjunction(mixed) {
            let expr = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(table_schema))?)?;
            let predicate = PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(table_schema))
                .with_max_in_list_size(MAX_IN_LIST)
                .build(expr);
            // What can't be turned into a pruning predicate excludes nothing.
            if let Some(predicate) = predicate {
                bounds_keep = Some(predicate.prune(self)?);
            }
        }
        Ok((0..self.len())
            .filter(|&index| keep.as_ref().is_none_or(|keep| keep.is_valid(index) && keep.value(index)))
            .filter(|&index| bounds_keep.as_ref().is_none_or(|keep| keep[index]))
            .collect())
    }
}

/// Evaluates `filters`, which name `keys` alone, over `count` rows of key values.
pub(crate) fn matching(
    state: &dyn datafusion::catalog::Session,
    keys: &[FieldRef],
    values: &[ArrayRef],
    count: usize,
    filters: &[&Expr],
) -> DataFusionResult<BooleanArray> {
    let Some(filter) = conjunction(filters.iter().map(|&filter| filter.clone())) else {
        return Ok(BooleanArray::from(vec![true; count]));
    };
    let schema = Arc::new(Schema::new(keys.to_vec()));
    let expr = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
    let batch = RecordBatch::try_new(schema, values.to_vec())?;
    Ok(expr.evaluate(&batch)?.into_array(count)?.as_boolean().clone())
}

/// Longest IN list that prunes; a longer one is evaluated row by row only.
pub(crate) const MAX_IN_LIST: usize = 256;

/// Each partition is a container whose keys have one value.
impl PruningStatistics for PartitionIndex {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        let position = self.keys.iter().position(|key| key.name() == &column.name)?;
        Some(Arc::clone(&self.values[position]))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.min_values(column)
    }

    fn num_containers(&self) -> usize {
        self.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        // In units of rows: a partition whose key is NULL has one NULL in each of its (one) rows.
        let values = self.min_values(column)?;
        let counts: UInt64Array = (0..values.len()).map(|index| Some(u64::from(values.is_null(index)))).collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from(vec![1; self.len()])))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Whether `expr` can be decided from the partition keys `names` alone: no other column, no subquery, nothing volatile.
pub fn is_partition_only(expr: &Expr, names: &HashSet<&str>) -> bool {
    let mut only = true;
    let mut any = false;
    let walked = expr.apply(|expr| {
        match expr {
            Expr::Column(column) => {
                any = true;
                only &= names.contains(column.name.as_str());
            }
            Expr::ScalarFunction(call) => only &= call.func.signature().volatility == Volatility::Immutable,
            Expr::ScalarSubquery(_)
            | Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Placeholder(_)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::ScalarVariable(..)
            | Expr::Unnest(_) => only = false,
            _ => {}
        }
        Ok(if only { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && only && any
}

fn names_any(expr: &Expr, names: &HashSet<&str>) -> bool {
    expr.column_refs().iter().any(|column| names.contains(column.name.as_str()))
}

/// The values of a key as its type.
///
/// # Errors
/// A value that the type can't hold.
pub(super) fn typed_values(table: &str, key: &FieldRef, values: &[Option<Box<str>>]) -> Result<ArrayRef> {
    let text: StringArray = values.iter().map(Option::as_deref).collect();
    let bad = |index: usize| {
        let value = values[index].as_deref().unwrap_or_default();
        Error::new(
            ErrorCode::InvalidTextRepresentation,
            format!(
                "partition value \"{value}\" of \"{}\" in table \"{table}\" is not a valid {}",
                key.name(),
                key.data_type()
            ),
        )
        .with_hint("Drop that partition, or declare the partition key as string.")
    };
    let typed: ArrayRef = match key.data_type() {
        // Arrow's own cast refuses nothing here, but is slow to say which value failed.
        DataType::Int32 | DataType::Int64 => {
            let mut numbers = Vec::with_capacity(values.len());
            for (index, value) in values.iter().enumerate() {
                numbers.push(match value {
                    Some(value) => Some(value.parse::<i64>().map_err(|_| bad(index))?),
                    None => None,
                });
            }
            if key.data_type() == &DataType::Int64 {
                Arc::new(Int64Array::from(numbers))
            } else {
                let narrowed: Vec<Option<i32>> = numbers
                    .iter()
                    .enumerate()
                    .map(|(index, number)| {
                        number.map(|number| i32::try_from(number).map_err(|_| bad(index))).transpose()
                    })
                    .collect::<Result<_>>()?;
                Arc::new(Int32Array::from(narrowed))
            }
        }
        other => {
            let options = CastOptions { safe: true, ..CastOptions::default() };
            let typed = cast_with_options(&text, other, &options)
                .map_err(|error| Error::new(ErrorCode::DatatypeMismatch, error.to_string()))?;
            if let Some(index) = (0..typed.len()).find(|&index| typed.is_null(index) && text.is_valid(index)) {
                return Err(bad(index));
            }
            typed
        }
    };
    Ok(typed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{col, lit};
    use datafusion::prelude::SessionContext;

    use super::*;

    type Row = (Option<&'static str>, Option<&'static str>, Option<&'static str>);

    fn index() -> PartitionIndex {
        let keys: Vec<FieldRef> = vec![
            Arc::new(Field::new("year", DataType::Int32, true)),
            Arc::new(Field::new("month", DataType::Int32, true)),
            Arc::new(Field::new("zone", DataType::Utf8View, true)),
        ];
        let rows = [
            (Some("2023"), Some("12"), Some("eu")),
            (Some("2024"), Some("01"), Some("eu")),
            (Some("2024"), Some("02"), Some("us:1")),
            (Some("2024"), None, Some("us:1")),
            (None, Some("01"), None),
        ];
        let column = |get: fn(&Row) -> Option<&'static str>| {
            rows.iter().map(|row| get(row).map(Box::from)).collect::<Vec<Option<Box<str>>>>()
        };
        let list = PartitionList {
            values: vec![column(|row| row.0), column(|row| row.1), column(|row| row.2)],
            locations: vec![None; rows.len()],
            ..PartitionList::default()
        };
        PartitionIndex::new("t", keys, Arc::new(list)).unwrap()
    }

    #[test]
    fn predicates_keep_what_they_must() {
        let index = index();
        let mut fields: Vec<FieldRef> = vec![Arc::new(Field::new("x", DataType::Int64, true))];
        fields.extend(index.keys.iter().cloned());
        let schema = Arc::new(Schema::new(fields));
        let state = SessionContext::new().state();
        let cases: Vec<(Vec<Expr>, Vec<usize>)> = vec![
            (vec![], vec![0, 1, 2, 3, 4]),
            (vec![col("month").eq(lit(1))], vec![1, 4]),
            (vec![col("year").eq(lit(2024)), col("month").eq(lit(1))], vec![1]),
            (vec![col("year").between(lit(2024), lit(2030))], vec![1, 2, 3]),
            (vec![col("month").in_list(vec![lit(2), lit(12)], false)], vec![0, 2]),
            (vec![col("month").is_null()], vec![3]),
            (vec![col("zone").is_not_null()], vec![0, 1, 2, 3]),
            (vec![col("zone").eq(lit("us:1"))], vec![2, 3]),
            (vec![col("year").eq(lit(2023)).or(col("month").eq(lit(2)))], vec![0, 2]),
            (vec![(col("year") * lit(100) + col("month")).gt(lit(202_401))], vec![2]),
            // Mixed with another column: excludes by the keys what it can.
            (vec![col("year").eq(lit(2023)).and(col("x").gt(lit(5))).or(col("month").eq(lit(2)))], vec![0, 2]),
            (vec![col("x").gt(lit(5))], vec![0, 1, 2, 3, 4]),
        ];
        for (filters, expected) in cases {
            assert_eq!(index.prune(&state, &schema, &filters).unwrap(), expected, "{filters:?}");
        }
    }

    #[test]
    fn a_value_that_is_no_int_is_told() {
        let list =
            PartitionList { values: vec![vec![Some("abc".into())]], locations: vec![None], ..PartitionList::default() };
        let key = Arc::new(Field::new("day", DataType::Int32, true));
        let error = PartitionIndex::new("sales.orders", vec![key], Arc::new(list)).unwrap_err();
        assert_eq!(error.message, "partition value \"abc\" of \"day\" in table \"sales.orders\" is not a valid Int32");
    }
}
