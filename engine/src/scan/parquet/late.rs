//! [`LateRule`]: whether a scan reads the columns of its filter first, and of the others only what the rows that pass need.
//!
//! It saves most of a wide table's work where few rows pass, and costs where most do: each file is then read in two turns, over
//! a network in two round trips, and rows are put together from pieces. So it is chosen for each scan, by what is known when the
//! query is planned:
//!
//! 1. The filter can't fail and says the same of a row wherever it is asked: comparisons of columns with constants, IN, LIKE,
//!    IS NULL, and AND, OR, NOT of them. A cast or a function may fail on a row that another condition excludes.
//! 2. It doesn't change while the query runs (as those of joins and of ORDER BY ... LIMIT do): row groups that are excluded
//!    late and rows that are selected early don't go together well (DataFusion's issues 24352, 24109 and 20267 were of wrong rows).
//! 3. The files have the filter's columns in the table's types: else each value is cast, which may fail.
//! 4. The other columns take at least [`OTHER_BYTES_MIN`] times the bytes of the filter's, by the sizes of the columns where
//!    they are known, else by their types.
//! 5. At most [`ROWS_SHARE_MAX`] of the rows are expected to pass, by least and greatest values, counts of NULLs and of distinct
//!    values. Where that isn't known (LIKE, no statistics) they aren't expected to.
//! 6. Over a network the other columns of a file are [`REMOTE_BYTES_MIN`] or more: less isn't worth the round trip.
//!
//! Whatever is chosen, the filter stays above the scan as well: an answer never depends on the choice.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterTracking, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};

use crate::session::settings::LateMaterialization;

/// See the module. Less, and decoding in two turns takes more than it saves.
const OTHER_BYTES_MIN: f64 = 4.0;

/// Rows that pass are mostly scattered: of a page with any of them all is unpacked.
const ROWS_SHARE_MAX: f64 = 0.05;

/// What a link brings in the time of some round trips.
const REMOTE_BYTES_MIN: f64 = (4 << 20) as f64;

/// Bytes of a value of text or of a list, where nobody counted them.
const UNKNOWN_WIDTH: usize = 32;

/// What is known of a scan when it is planned.
#[derive(Debug, Clone)]
pub(crate) struct LateRule {
    /// What the session says.
    pub(crate) choice: LateMaterialization,
    /// Of all files together, the partition keys last.
    pub(crate) statistics: Arc<Statistics>,
    /// By column of the files, whether all have it in the table's type.
    pub(crate) same_type: Arc<[bool]>,
    pub(crate) is_remote: bool,
    pub(crate) files: usize,
}

/// What was chosen, and why. Shown by EXPLAIN.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Late {
    Chosen { rows_share: f64, other_bytes: f64 },
    Forced,
    NotChosen(NotLate),
}

/// Why not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NotLate {
    SwitchedOff,
    FilterMayFail,
    FilterChanges,
    TypesDiffer(String),
    NothingElseRead,
    OthersAreSmall { other_bytes: f64 },
    RowsUnknown,
    ManyRows { rows_share: f64 },
    SmallFilesFarAway,
}

impl Late {
    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::NotChosen(_))
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why_not = match self {
            Self::Chosen { rows_share, other_bytes } => {
                return write!(
                    f,
                    "on ({:.2}% of rows expected, other columns are {other_bytes:.0} times the filter's)",
                    rows_share * 100.0
                );
            }
            Self::Forced => return f.write_str("on (late_materialization)"),
            Self::NotChosen(why_not) => why_not,
        };
        f.write_str("off (")?;
        match why_not {
            NotLate::SwitchedOff => f.write_str("late_materialization")?,
            NotLate::FilterMayFail => f.write_str("the filter may fail")?,
            NotLate::FilterChanges => f.write_str("the filter changes while the query runs")?,
            NotLate::TypesDiffer(column) => write!(f, "files may have column \"{column}\" in another type")?,
            NotLate::NothingElseRead => f.write_str("no column but the filter's is read")?,
            NotLate::OthersAreSmall { other_bytes } => {
                write!(f, "other columns are {other_bytes:.1} times the filter's")?;
            }
            NotLate::RowsUnknown => f.write_str("how many rows pass is not known")?,
            NotLate::ManyRows { rows_share } => write!(f, "{:.0}% of rows expected", rows_share * 100.0)?,
            NotLate::SmallFilesFarAway => f.write_str("a round trip more costs more than it saves")?,
        }
        f.write_str(")")
    }
}

impl LateRule {
    /// What to do with a scan of `projection` under `filter`; its columns are those of `schema`, keys last.
    pub(crate) fn decide(
        &self,
        filter: &Arc<dyn PhysicalExpr>,
        projection: Option<&ProjectionExprs>,
        schema: &Schema,
    ) -> Late {
        self.choose(filter, projection, schema).unwrap_or_else(Late::NotChosen)
    }

    fn choose(
        &self,
        filter: &Arc<dyn PhysicalExpr>,
        projection: Option<&ProjectionExprs>,
        schema: &Schema,
    ) -> Result<Late, NotLate> {
        match self.choice {
            LateMaterialization::Off => return Err(NotLate::SwitchedOff),
            // Never with what is known to give wrong rows.
            _ if !matches!(DynamicFilterTracking::classify(filter), DynamicFilterTracking::Static) => {
                return Err(NotLate::FilterChanges);
            }
            // A filter that fails says so in other words, and on other rows.
            _ if !cannot_fail(filter) => return Err(NotLate::FilterMayFail),
            LateMaterialization::On => return Ok(Late::Forced),
            LateMaterialization::Auto => {}
        }
        let file_columns = self.same_type.len();
        let mut is_filter = vec![false; file_columns];
        for column in collect_columns(filter) {
            let Some(own) = is_filter.get_mut(column.index()) else { continue };
            *own = true;
            if !self.same_type[column.index()] {
                return Err(NotLate::TypesDiffer(column.name().to_owned()));
            }
        }
        let read = projection.map_or_else(|| (0..file_columns).collect(), ProjectionExprs::column_indices);
        let (mut filter_bytes, mut other_bytes) = (0.0, 0.0);
        for (column, is_filter) in is_filter.iter().enumerate() {
            let bytes = || self.column_bytes(column, schema);
            match is_filter {
                true => filter_bytes += bytes(),
                false if read.contains(&column) => other_bytes += bytes(),
                false => {}
            }
        }
        if other_bytes == 0.0 {
            return Err(NotLate::NothingElseRead);
        }
        let times = other_bytes / f64::max(filter_bytes, 1.0);
        if times < OTHER_BYTES_MIN {
            return Err(NotLate::OthersAreSmall { other_bytes: times });
        }
        let rows_share = self.rows_share(filter).ok_or(NotLate::RowsUnknown)?;
        if rows_share > ROWS_SHARE_MAX {
            return Err(NotLate::ManyRows { rows_share });
        }
        if self.is_remote && other_bytes / (self.files.max(1) as f64) < REMOTE_BYTES_MIN {
            return Err(NotLate::SmallFilesFarAway);
        }
        Ok(Late::Chosen { rows_share, other_bytes: times })
    }

    /// About how many bytes a column has in all files; where rows aren't counted, in one row.
    fn column_bytes(&self, column: usize, schema: &Schema) -> f64 {
        let rows = self.statistics.num_rows.get_value().copied().unwrap_or(1);
        match self.statistics.column_statistics.get(column).map(|statistics| statistics.byte_size) {
            Some(Precision::Exact(bytes) | Precision::Inexact(bytes)) => bytes as f64,
            _ => {
                let data_type = schema.field(column).data_type();
                (data_type.primitive_width().unwrap_or(match data_type {
                    DataType::Boolean => 1,
                    _ => UNKNOWN_WIDTH,
                }) * rows) as f64
            }
        }
    }

    /// The share of rows that pass, from 0 to 1, if it is known.
    fn rows_share(&self, filter: &Arc<dyn PhysicalExpr>) -> Option<f64> {
        // One condition that is known bounds them all. The ends of a range are not two conditions, but one.
        let mut ranges: HashMap<usize, (f64, f64)> = HashMap::new();
        let mut others = Vec::new();
        for condition in split_conjunction(filter) {
            match self.range_end(condition) {
                Some((column, End::Upper(share))) => {
                    let (_, upper) = ranges.entry(column).or_insert((0.0, 1.0));
                    *upper = upper.min(share);
                }
                Some((column, End::Lower(share))) => {
                    let (lower, _) = ranges.entry(column).or_insert((0.0, 1.0));
                    *lower = lower.max(share);
                }
                None => others.extend(self.condition_share(condition)),
            }
        }
        let ranges = ranges.into_values().map(|(lower, upper)| f64::max(upper - lower, 0.0));
        others.into_iter().chain(ranges).reduce(|all, one| all * one)
    }

    /// Where in a column's values a condition cuts them.
    fn range_end(&self, condition: &Arc<dyn PhysicalExpr>) -> Option<(usize, End)> {
        let binary = condition.downcast_ref::<BinaryExpr>()?;
        let place = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().map(Column::index);
        let (column, op, value) = match (place(binary.left()), place(binary.right())) {
            (Some(column), None) => (column, *binary.op(), literal(binary.right())?),
            (None, Some(column)) => (column, binary.op().swap()?, literal(binary.left())?),
            _ => return None,
        };
        let share = || self.share_below(self.statistics.column_statistics.get(column)?, value);
        match op {
            Operator::Lt | Operator::LtEq => Some((column, End::Upper(share()?))),
            Operator::Gt | Operator::GtEq => Some((column, End::Lower(share()?))),
            _ => None,
        }
    }

    fn condition_share(&self, condition: &Arc<dyn PhysicalExpr>) -> Option<f64> {
        if let Some(not) = condition.downcast_ref::<NotExpr>() {
            // Of conditions together only the most is known that may pass.
            let is_one = not.arg().downcast_ref::<BinaryExpr>().is_none_or(|inner| !inner.op().is_logic_operator());
            return self.condition_share(not.arg()).filter(|_| is_one).map(|share| 1.0 - share);
        }
        if let Some(is_null) = condition.downcast_ref::<IsNullExpr>() {
            return self.null_share(self.column(is_null.arg())?);
        }
        if let Some(is_not_null) = condition.downcast_ref::<IsNotNullExpr>() {
            return self.null_share(self.column(is_not_null.arg())?).map(|share| 1.0 - share);
        }
        if let Some(list) = condition.downcast_ref::<InListExpr>() {
            let one = self.equal_share(self.column(list.expr())?, None)?;
            let share = (one * list.list().len() as f64).min(1.0);
            return Some(if list.negated() { 1.0 - share } else { share });
        }
        let binary = condition.downcast_ref::<BinaryExpr>()?;
        match binary.op() {
            Operator::And => return self.rows_share(condition),
            Operator::Or => {
                let (left, right) = (self.rows_share(binary.left())?, self.rows_share(binary.right())?);
                return Some((left + right).min(1.0));
            }
            _ => {}
        }
        let (column, op, value) = match (self.column(binary.left()), self.column(binary.right())) {
            (Some(column), None) => (column, *binary.op(), literal(binary.right())?),
            (None, Some(column)) => (column, binary.op().swap()?, literal(binary.left())?),
            _ => return None,
        };
        match op {
            Operator::Eq => self.equal_share(column, Some(value)),
            Operator::NotEq => self.equal_share(column, Some(value)).map(|share| 1.0 - share),
            Operator::Lt | Operator::LtEq => self.share_below(column, value),
            Operator::Gt | Operator::GtEq => self.share_below(column, value).map(|share| 1.0 - share),
            _ => None,
        }
    }

    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<&ColumnStatistics> {
        self.statistics.column_statistics.get(expr.downcast_ref::<Column>()?.index())
    }

    fn null_share(&self, column: &ColumnStatistics) -> Option<f64> {
        let rows = *self.statistics.num_rows.get_value()? as f64;
        Some((*column.null_count.get_value()? as f64 / f64::max(rows, 1.0)).min(1.0))
    }

    /// The share of rows with one value.
    fn equal_share(&self, column: &ColumnStatistics, value: Option<&ScalarValue>) -> Option<f64> {
        if let (Some(value), Some((least, greatest))) = (value.and_then(number), bounds(column))
            && (value < least || value > greatest)
        {
            return Some(0.0);
        }
        if let Some(distinct) = column.distinct_count.get_value() {
            return Some(1.0 / f64::max(*distinct as f64, 1.0));
        }
        // There may be as many values as there is room for between the bounds, or two.
        None
    }

    /// The share of rows below a value, if values are spread evenly.
    fn share_below(&self, column: &ColumnStatistics, value: &ScalarValue) -> Option<f64> {
        let (least, greatest) = bounds(column)?;
        let value = number(value)?;
        if greatest <= least {
            return Some(if value < least { 0.0 } else { 1.0 });
        }
        Some(((value - least) / (greatest - least)).clamp(0.0, 1.0))
    }
}

/// The share of a column's values that lie below an end of a range.
enum End {
    Lower(f64),
    Upper(f64),
}

/// Whether a condition has a value for every row, whatever is in it.
fn cannot_fail(condition: &Arc<dyn PhysicalExpr>) -> bool {
    let is_simple = match condition.downcast_ref::<BinaryExpr>() {
        Some(binary) => matches!(
            binary.op(),
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom
                | Operator::And
                | Operator::Or
        ),
        None => {
            let condition = condition.as_ref();
            condition.is::<Column>()
                || condition.is::<Literal>()
                || condition.is::<InListExpr>()
                || condition.is::<LikeExpr>()
                || condition.is::<IsNullExpr>()
                || condition.is::<IsNotNullExpr>()
                || condition.is::<NotExpr>()
        }
    };
    is_simple && condition.children().into_iter().all(cannot_fail)
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

fn bounds(column: &ColumnStatistics) -> Option<(f64, f64)> {
    Some((number(column.min_value.get_value()?)?, number(column.max_value.get_value()?)?))
}

/// A value's place on a line.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Date32(days) => days.map(f64::from),
        ScalarValue::TimestampSecond(at, _)
        | ScalarValue::TimestampMillisecond(at, _)
        | ScalarValue::TimestampMicrosecond(at, _)
        | ScalarValue::TimestampNanosecond(at, _) => at.map(|at| at as f64),
        value if value.data_type().is_numeric() => match value.cast_to(&DataType::Float64).ok()? {
            ScalarValue::Float64(number) => number.filter(|number| number.is_finite()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{Expr, cast, col, lit};
    use datafusion::prelude::SessionContext;

    use super::*;

    /// A million rows: `id` from 0 to 999,999, `kind` of a hundred values, `note` of text, a tenth of it NULL.
    fn table() -> (Schema, LateRule) {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("kind", DataType::Utf8, true),
            Field::new("note", DataType::Utf8, true),
            Field::new("day", DataType::Utf8, true),
        ]);
        let column =
            |bytes| ColumnStatistics { byte_size: Precision::Inexact(bytes), ..ColumnStatistics::new_unknown() };
        let value = |value| Precision::Exact(ScalarValue::Int64(Some(value)));
        let statistics = Statistics {
            num_rows: Precision::Exact(1_000_000),
            total_byte_size: Precision::Absent,
            column_statistics: vec![
                ColumnStatistics { min_value: value(0), max_value: value(999_999), ..column(8 << 20) },
                ColumnStatistics { distinct_count: Precision::Inexact(100), ..column(2 << 20) },
                ColumnStatistics { null_count: Precision::Exact(100_000), ..column(100 << 20) },
                ColumnStatistics::new_unknown(),
            ],
        };
        let rule = LateRule {
            choice: LateMaterialization::Auto,
            statistics: Arc::new(statistics),
            same_type: Arc::new([true, true, true]),
            is_remote: false,
            files: 10,
        };
        (schema, rule)
    }

    fn decide(rule: &LateRule, schema: &Schema, filter: Expr, columns: &[usize]) -> String {
        let df_schema = DFSchema::try_from(schema.clone()).unwrap();
        let filter = SessionContext::new().create_physical_expr(filter, &df_schema).unwrap();
        let projection = ProjectionExprs::from_indices(columns, schema);
        rule.decide(&filter, Some(&projection), schema).to_string()
    }

    #[test]
    fn the_rule_says_what_and_why() {
        let (schema, rule) = table();
        let all: &[usize] = &[0, 1, 2];
        for (filter, columns, said) in [
            (col("id").lt(lit(1000_i64)), all, "on (0.10% of rows expected, other columns are 13 times the filter's)"),
            (col("id").lt(lit(1000_i64)), &[0, 1], "off (other columns are 0.2 times the filter's)"),
            (col("id").lt(lit(1000_i64)), &[0], "off (no column but the filter's is read)"),
            (col("id").gt(lit(1000_i64)), all, "off (100% of rows expected)"),
            (col("id").eq(lit(-1_i64)), all, "on (0.00% of rows expected, other columns are 13 times the filter's)"),
            (col("id").eq(lit(7_i64)), all, "off (how many rows pass is not known)"),
            (col("kind").eq(lit("a")), all, "on (1.00% of rows expected, other columns are 54 times the filter's)"),
            (
                col("kind").in_list(vec![lit("a"), lit("b")], false),
                all,
                "on (2.00% of rows expected, other columns are 54 times the filter's)",
            ),
            (col("kind").in_list(vec![lit("a")], true), all, "off (99% of rows expected)"),
            (col("kind").like(lit("a%")), all, "off (how many rows pass is not known)"),
            (
                col("kind").like(lit("a%")).and(col("id").lt(lit(10_000_i64))),
                all,
                "on (1.00% of rows expected, other columns are 10 times the filter's)",
            ),
            (col("kind").eq(lit("a")).or(col("id").lt(lit(200_000_i64))), all, "off (21% of rows expected)"),
            (
                col("id").gt_eq(lit(500_000_i64)).and(col("id").lt(lit(510_000_i64))),
                all,
                "on (1.00% of rows expected, other columns are 13 times the filter's)",
            ),
            (col("note").is_null(), all, "off (other columns are 0.1 times the filter's)"),
            (cast(col("kind"), DataType::Int64).eq(lit(1_i64)), all, "off (the filter may fail)"),
            ((lit(1_i64) / col("id")).eq(lit(1_i64)), all, "off (the filter may fail)"),
        ] {
            assert_eq!(decide(&rule, &schema, filter.clone(), columns), said, "{filter}");
        }
    }

    #[test]
    fn what_is_set_what_differs_and_what_is_far_away_count() {
        let (schema, rule) = table();
        let few = || col("kind").eq(lit("a"));
        let differs = LateRule { same_type: Arc::new([true, false, true]), ..rule.clone() };
        let said = decide(&differs, &schema, few(), &[0, 1, 2]);
        assert_eq!(said, "off (files may have column \"kind\" in another type)");
        let far = LateRule { is_remote: true, files: 1000, ..rule.clone() };
        assert_eq!(decide(&far, &schema, few(), &[0, 1, 2]), "off (a round trip more costs more than it saves)");
        let far = LateRule { is_remote: true, ..rule.clone() };
        assert!(decide(&far, &schema, few(), &[0, 1, 2]).starts_with("on"));
        let off = LateRule { choice: LateMaterialization::Off, ..rule.clone() };
        assert_eq!(decide(&off, &schema, few(), &[0, 1, 2]), "off (late_materialization)");
        let on = LateRule { choice: LateMaterialization::On, ..differs };
        assert_eq!(decide(&on, &schema, col("kind").like(lit("%")), &[1]), "on (late_materialization)");
        let may_fail = cast(col("kind"), DataType::Int64).eq(lit(1_i64));
        assert_eq!(decide(&on, &schema, may_fail, &[1]), "off (the filter may fail)");
    }
}
