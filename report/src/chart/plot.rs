//! [`Plot`]: the points of one chart, taken from a section's rows.

use std::collections::HashMap;

use chrono_tz::Tz;

use crate::cell::{Cell, Column};
use crate::document::{ROWS_CHARTED_MAX, column_index, is_moment, is_number};
use crate::{Chart, ChartKind, Result, Section};

/// The most series of a chart: there are as many colours, and more lines than that are a tangle.
pub(crate) const SERIES_MAX: usize = 8;

/// The most bars, or names along an axis.
const CATEGORIES_MAX: usize = 60;

/// The most slices of a pie; the rest are one.
const SLICES_MAX: usize = 8;

/// What lies along the horizontal axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum XAxis {
    /// Names, one place each.
    Names(Vec<String>),
    /// Seconds since 1970.
    Time,
    /// Numbers.
    Number,
}

/// Points of one colour, by `x`. The `x` of names is their place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// A gap where there is no number.
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub(crate) x: XAxis,
    pub(crate) series: Vec<Series>,
    /// What was left out.
    pub(crate) notes: Vec<String>,
}

/// Series in the making.
struct Gathered {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    points: Vec<Vec<(f64, Option<f64>)>>,
    left_out: u64,
}

impl Gathered {
    fn series(&mut self, name: String) -> Option<usize> {
        if let Some(index) = self.by_name.get(&name) {
            return Some(*index);
        }
        if self.names.len() == SERIES_MAX {
            return None;
        }
        self.names.push(name.clone());
        self.points.push(Vec::new());
        self.by_name.insert(name, self.names.len() - 1);
        Some(self.names.len() - 1)
    }
}

impl Plot {
    /// The points of `chart` in `section`.
    ///
    /// # Errors
    /// Columns that aren't there, or hold no numbers.
    pub(crate) fn of(chart: &Chart, section: &Section, zone: Tz) -> Result<Self> {
        chart.check(&section.name, &section.schema)?;
        let index = |name: &String| column_index(name, &section.name, &section.schema);
        let x_index = chart.x.as_ref().map(index).transpose()?;
        let series_index = chart.series.as_ref().map(index).transpose()?;
        let y_indexes = chart.y.iter().map(index).collect::<Result<Vec<_>>>()?;
        let x_type = x_index.map(|index| section.schema.field(index).data_type());
        let as_names = matches!(chart.kind, ChartKind::Bar | ChartKind::Pie);
        let axis = match x_type {
            Some(x_type) if !as_names && is_moment(x_type) => XAxis::Time,
            Some(x_type) if !as_names && is_number(x_type) => XAxis::Number,
            _ => XAxis::Names(Vec::new()),
        };
        let mut names: Vec<String> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut notes = Vec::new();
        let mut gathered = Gathered { names: Vec::new(), by_name: HashMap::new(), points: Vec::new(), left_out: 0 };
        if series_index.is_none() {
            for name in &chart.y {
                gathered.series(name.clone());
            }
        }
        let (mut seen, mut unplaced) = (0_usize, 0_u64);
        'rows: for batch in &section.batches {
            let columns = Column::all(batch, zone)?;
            for row in 0..batch.num_rows() {
                if seen == ROWS_CHARTED_MAX {
                    break 'rows;
                }
                seen += 1;
                let cell = x_index.map_or(Ok(Cell::Null), |index| columns[index].cell(row))?;
                let x = match &axis {
                    XAxis::Time => cell.seconds(),
                    XAxis::Number => cell.number(),
                    XAxis::Names(_) => {
                        let text = cell.text();
                        let place = places.get(&text).copied().or_else(|| {
                            // Slices that are too many are put together later; bars that are, are not shown.
                            let has_room = names.len() < CATEGORIES_MAX || chart.kind == ChartKind::Pie;
                            has_room.then(|| {
                                names.push(text.clone());
                                places.insert(text, names.len() - 1);
                                names.len() - 1
                            })
                        });
                        place.map(|place| place as f64)
                    }
                };
                let Some(x) = x else {
                    unplaced += 1;
                    continue;
                };
                for (number, y_index) in y_indexes.iter().enumerate() {
                    let y = columns[*y_index].cell(row)?.number();
                    let place = match series_index {
                        Some(index) => gathered.series(columns[index].cell(row)?.text()),
                        None => Some(number).filter(|number| *number < SERIES_MAX),
                    };
                    match place {
                        Some(place) => gathered.points[place].push((x, y)),
                        None => gathered.left_out += 1,
                    }
                }
            }
        }
        if section.row_count > seen as u64 {
            notes.push(format!("made of the first {seen} of {} rows", section.row_count));
        }
        if unplaced > 0 {
            notes.push(format!("{unplaced} rows are not shown: there is no place for them on the axis"));
        }
        if gathered.left_out > 0 {
            notes.push(format!("only the first {SERIES_MAX} series are shown"));
        }
        let series = gathered.names.into_iter().zip(gathered.points);
        let series = series.map(|(name, points)| Series { name, points: tidy(points, &axis, as_names) }).collect();
        let x = if matches!(axis, XAxis::Names(_)) { XAxis::Names(names) } else { axis };
        Ok(Self { x, series, notes })
    }

    /// The largest slices of the first series, and all others as one: `(name, value)`, the largest first.
    pub(crate) fn slices(&self) -> Vec<(String, f64)> {
        let XAxis::Names(names) = &self.x else { return Vec::new() };
        let Some(series) = self.series.first() else { return Vec::new() };
        let mut slices: Vec<(String, f64)> = (series.points.iter())
            .filter_map(|(x, y)| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
                let name = names.get(*x as usize)?;
                y.filter(|y| *y > 0.0).map(|y| (name.clone(), y))
            })
            .collect();
        slices.sort_by(|a, b| b.1.total_cmp(&a.1));
        if slices.len() > SLICES_MAX {
            let rest = slices.split_off(SLICES_MAX - 1);
            let sum = rest.iter().map(|slice| slice.1).sum();
            slices.push((format!("{} others", rest.len()), sum));
        }
        slices
    }

    /// All numbers.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.series.iter().flat_map(|series| series.points.iter().filter_map(|point| point.1))
    }
}

/// Bars of one name are one, their sum; along a line points go from left to right.
fn tidy(mut points: Vec<(f64, Option<f64>)>, axis: &XAxis, sums: bool) -> Vec<(f64, Option<f64>)> {
    if sums {
        let mut summed: Vec<(f64, Option<f64>)> = Vec::new();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (x, y) in points {
            match summed.last_mut() {
                Some(last) if last.0.total_cmp(&x).is_eq() => {
                    last.1 = match (last.1, y) {
                        (Some(a), Some(b)) => Some(a + b),
                        (a, b) => a.or(b),
                    };
                }
                _ => summed.push((x, y)),
            }
        }
        return summed;
    }
    if !matches!(axis, XAxis::Names(_)) {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    points
}
