//! The table `hits`: page views as a web analytics service has them, with ClickBench's 105 columns, made up here. Always the
//! same rows for a count: a row's values follow from its number.
//!
//! What matters to an engine is like the real table's: few sites have most views, few users come often and most once, most
//! columns are nearly always zero or empty, search phrases are there in one of eight views, URLs are long and begin alike, rows
//! lie by site. Names are the real ones in lower case, so that no engine needs quotes; times and dates are of those types.

mod columns;

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, Date32Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use columns::{COLUMNS, Shape, Source, Special};

/// Rows of a file, sites in order.
pub(crate) const FILE_ROWS: u64 = 1_000_000;

/// Rows of a batch.
const BATCH_ROWS: u64 = 16_384;

/// 1 July 2013, and how many days there are.
const FIRST_DAY: i32 = 15_887;
const DAYS: u64 = 31;

/// The table's columns.
pub(crate) fn schema() -> SchemaRef {
    let field = |(name, shape): &(&str, Shape)| {
        let data_type = match shape {
            Shape::Small(_) => DataType::Int16,
            Shape::Int(_) => DataType::Int32,
            Shape::Big(_) => DataType::Int64,
            Shape::Text(_) => DataType::Utf8,
            Shape::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            Shape::Day => DataType::Date32,
        };
        Field::new(*name, data_type, false)
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// The batches of file `file` of a table of `total` rows.
pub(crate) fn batches(total: u64, file: u64) -> impl Iterator<Item = Result<RecordBatch>> {
    let first = file * FILE_ROWS;
    let rows = total.saturating_sub(first).min(FILE_ROWS);
    let views =
        move |from: u64| (from..(from + BATCH_ROWS).min(rows)).map(move |row| View::new(first + row, row, rows, total));
    let schema = schema();
    (0..rows).step_by(BATCH_ROWS as usize).map(move |from| {
        let views: Vec<View> = views(from).collect();
        let arrays = COLUMNS.iter().enumerate().map(|(index, (_, shape))| array(shape, index as u64, &views)).collect();
        Ok(RecordBatch::try_new(Arc::clone(&schema), arrays)?)
    })
}

/// What a view's columns follow from.
struct View {
    row: u64,
    /// Sites by how often they are seen, 0 first.
    site: u64,
    /// Users likewise.
    user: u64,
    /// Pages of the site likewise.
    page: u64,
    /// Search phrases, where the view came from one.
    phrase: Option<u64>,
    day: i32,
    second: i64,
}

impl View {
    fn new(row: u64, row_of_file: u64, rows: u64, total: u64) -> Self {
        let random = |what: u64| mix(row.wrapping_mul(131).wrapping_add(what).wrapping_add(0x5eed_0000));
        // Sites lie in order within a file: the part of the file says which.
        let site = skewed((row_of_file as f64 + 0.5) / rows as f64, 6_000, 1.0);
        let user = skewed(unit(random(1)), (total / 4).max(1_000), 0.6);
        let page = skewed(unit(random(2)), 40_000, 0.9);
        let phrase = random(3).is_multiple_of(8).then(|| skewed(unit(random(4)), (total / 20).max(500), 0.8));
        let day = FIRST_DAY + (random(5) % DAYS) as i32;
        // Most are awake by day: the mean of two.
        let second = ((random(6) % 86_400 + random(7) % 86_400) / 2) as i64;
        Self { row, site, user, page, phrase, day, second }
    }

    fn special(&self, special: Special) -> u64 {
        match special {
            Special::Watch => mix(self.row) >> 2,
            Special::Site => mix(self.site ^ 0xc0de) % 200_000,
            Special::User => mix(self.user ^ 0x0u64.wrapping_sub(7)) >> 1,
            Special::Region => skewed(unit(mix(self.user ^ 0x4e61)), 5_000, 0.9),
            Special::Address => mix(self.user ^ 0xadd4) >> 33,
            Special::UrlHash => mix(self.site << 20 | self.page) >> 1,
            Special::RefererHash => mix(self.referer()) >> 1,
        }
    }

    /// One of four comes from another page of the site, others from elsewhere.
    fn referer(&self) -> u64 {
        match mix(self.row ^ 0x4efe) % 4 {
            0 => self.site << 20 | (self.page / 3),
            1 => 0,
            other => skewed(unit(mix(self.row ^ other)), 100_000, 0.8) | 1 << 40,
        }
    }
}

fn array(shape: &Shape, column: u64, views: &[View]) -> ArrayRef {
    let number = |source: &Source, view: &View| source_value(source, column, view);
    match shape {
        Shape::Small(source) => {
            Arc::new(Int16Array::from_iter_values(views.iter().map(|view| (number(source, view) & 0x7fff) as i16)))
        }
        Shape::Int(source) => {
            Arc::new(Int32Array::from_iter_values(views.iter().map(|view| (number(source, view) & 0x7fff_ffff) as i32)))
        }
        Shape::Big(source) => Arc::new(Int64Array::from_iter_values(
            views.iter().map(|view| (number(source, view) >> 1 << 1) as i64 >> 1),
        )),
        Shape::Day => Arc::new(Date32Array::from_iter_values(views.iter().map(|view| view.day))),
        Shape::Time(shift) => Arc::new(TimestampMicrosecondArray::from_iter_values(views.iter().map(|view| {
            let seconds = i64::from(view.day) * 86_400 + view.second + i64::from(*shift);
            seconds * 1_000_000
        }))),
        Shape::Text(text) => {
            let mut builder = StringBuilder::with_capacity(views.len(), views.len() * 16);
            let mut value = String::new();
            for view in views {
                value.clear();
                text.push(column, view, &mut value);
                builder.append_value(&value);
            }
            Arc::new(builder.finish())
        }
    }
}

fn source_value(source: &Source, column: u64, view: &View) -> u64 {
    let random = || mix(view.row.wrapping_mul(257).wrapping_add(column));
    match *source {
        Source::Same(value) => value,
        Source::Of(count) => random() % count,
        Source::Skewed(count, exponent) => skewed(unit(random()), count, exponent),
        Source::Seldom(one_of, count) => {
            let random = random();
            if random.is_multiple_of(one_of) { 1 + (random >> 20) % count } else { 0 }
        }
        // A user's machine is the same in all his views.
        Source::OfUser(count, exponent) => skewed(unit(mix(view.user ^ column << 32)), count, exponent),
        Source::Special(special) => view.special(special),
    }
}

/// Sebastiano Vigna's splitmix64: every bit of the number changes half of the result's.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// At least 0, below 1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which of `count` things by Zipf's law: the k-th is seen as often as 1 / k to the `exponent`. The inverse of the continuous
/// law's distribution, which is near enough and takes no table.
fn skewed(unit: f64, count: u64, exponent: f64) -> u64 {
    let n = count as f64;
    let rank = if (exponent - 1.0).abs() < 1e-9 {
        n.powf(unit)
    } else {
        let power = 1.0 - exponent;
        ((n.powf(power) - 1.0) * unit + 1.0).powf(1.0 / power)
    };
    (rank as u64).clamp(1, count) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn rows_follow_from_their_number_and_few_sites_have_most() -> Result<()> {
        let rows = batches(20_000, 0).collect::<Result<Vec<_>>>()?;
        let again = batches(20_000, 0).collect::<Result<Vec<_>>>()?;
        assert_eq!(rows, again);
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
        assert_eq!(schema().fields().len(), 105);
        let mut sites: HashMap<i32, usize> = HashMap::new();
        for batch in &rows {
            for site in batch.column(schema().index_of("counterid")?).as_primitive::<Int32Type>().values() {
                *sites.entry(*site).or_default() += 1;
            }
        }
        let mut counts: Vec<usize> = sites.into_values().collect();
        counts.sort_unstable_by(|left, right| right.cmp(left));
        assert!(counts.len() > 500 && counts.iter().take(20).sum::<usize>() > 5_000, "{}", counts.len());
        Ok(())
    }

    #[test]
    fn ranks_are_within_bounds() {
        for exponent in [0.6, 1.0, 1.3] {
            assert_eq!(skewed(0.0, 10, exponent), 0);
            assert!(skewed(0.999_999_999, 10, exponent) < 10);
            assert!(skewed(0.5, 1_000_000, exponent) < 500_000);
        }
    }
}
