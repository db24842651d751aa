//! What is known of a dataset's columns, in DataFusion's words. `count`, `min` and `max` without a filter are answered from it.

use arrow::datatypes::DataType;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::error::Result;
use limnos_columnar::Table;

/// Of some columns of a table, all exact. Bounds of floats aren't told: SQL's order of NaN and -0.0 is not Arrow's.
pub(crate) fn exact_statistics(table: &Table, columns: &[usize]) -> Result<Statistics> {
    let rows = usize::try_from(table.rows()).unwrap_or(usize::MAX);
    let mut told = Vec::with_capacity(columns.len());
    for &column in columns {
        let field = table.schema().field(column);
        let known = table.statistics(column);
        let bound = |bound: &Option<arrow::array::ArrayRef>| {
            let scalar = match bound {
                Some(value) if !field.data_type().is_floating() => ScalarValue::try_from_array(value, 0)?,
                _ => return Ok(Precision::Absent),
            };
            Ok::<_, datafusion::error::DataFusionError>(Precision::Exact(scalar))
        };
        let sum = match (known.sum.and_then(|sum| i64::try_from(sum).ok()), field.data_type()) {
            (Some(sum), DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => {
                Precision::Exact(ScalarValue::Int64(Some(sum)))
            }
            _ => Precision::Absent,
        };
        told.push(ColumnStatistics {
            null_count: Precision::Exact(usize::try_from(known.null_count).unwrap_or(usize::MAX)),
            min_value: bound(&known.min)?,
            max_value: bound(&known.max)?,
            sum_value: sum,
            distinct_count: known.distinct.map_or(Precision::Absent, |count| Precision::Exact(count as usize)),
            byte_size: match field.data_type().primitive_width() {
                Some(width) => Precision::Exact(width.saturating_mul(rows)),
                None => Precision::Absent,
            },
        });
    }
    let width = table.schema().fields().len().max(1);
    let bytes = table.plain_bytes() / width as u64 * columns.len() as u64;
    Ok(Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
        column_statistics: told,
    })
}
