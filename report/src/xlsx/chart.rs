//! Excel's own charts, beside the table that they are of. Charts whose rows are parted into series need those side by side,
//! which a table of rows doesn't have them: such a chart has a sheet with its data.

use chrono_tz::Tz;
use rust_xlsxwriter::{ChartType, Format, Worksheet};

use super::serial;
use crate::chart::{Plot, XAxis};
use crate::document::{column_index, is_moment};
use crate::{Chart, ChartKind, Result, Section};

/// The most points of a series that all versions of Excel draw.
const POINTS_MAX: u32 = 32_000;

/// Rows of a sheet that a chart lies over.
const CHART_ROWS: u32 = 18;

/// Where charts go: right of the table, one below the other.
pub(super) struct Place {
    pub(super) column: u16,
    pub(super) row_count: u32,
}

/// The points of one chart as a table: what lies along the axis, then a column for each series.
pub(super) struct DataTable {
    /// Which chart.
    chart: usize,
    head: Vec<String>,
    axis: Vec<Label>,
    columns: Vec<Vec<Option<f64>>>,
    is_time: bool,
}

enum Label {
    Text(String),
    Number(f64),
}

/// The tables of those charts that need one.
pub(super) fn data_sheets(charts: &[Chart], section: &Section, zone: Tz) -> Result<Vec<DataTable>> {
    let mut tables = Vec::new();
    for (number, chart) in charts.iter().enumerate() {
        chart.check(&section.name, &section.schema)?;
        if chart.series.is_some() && chart.kind != ChartKind::Number {
            tables.push(DataTable::new(number, chart, &Plot::of(chart, section, zone)?));
        }
    }
    Ok(tables)
}

impl DataTable {
    fn new(chart: usize, of: &Chart, plot: &Plot) -> Self {
        let mut places: Vec<f64> =
            plot.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)).collect();
        places.sort_by(f64::total_cmp);
        places.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let columns = (plot.series.iter())
            .map(|series| {
                let find = |place: &f64| {
                    let found = series.points.iter().find(|point| point.0.total_cmp(place).is_eq());
                    found.and_then(|point| point.1)
                };
                places.iter().map(find).collect()
            })
            .collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list, a moment")]
        let axis = (places.iter())
            .map(|place| match &plot.x {
                XAxis::Names(names) => Label::Text(names.get(*place as usize).cloned().unwrap_or_default()),
                XAxis::Number => Label::Number(*place),
                XAxis::Time => {
                    let moment = chrono::DateTime::from_timestamp_millis((place * 1e3) as i64).unwrap_or_default();
                    let moment = moment.naive_utc();
                    serial(moment).map_or_else(|| Label::Text(moment.to_string()), Label::Number)
                }
            })
            .collect();
        let head = std::iter::once(of.x.clone().unwrap_or_default());
        let head = head.chain(plot.series.iter().map(|series| series.name.clone())).collect();
        Self { chart, head, axis, columns, is_time: plot.x == XAxis::Time }
    }

    pub(super) fn write(
        &self,
        worksheet: &mut Worksheet,
        header: &Format,
        date: &Format,
        timestamp: &Format,
    ) -> Result<()> {
        for (column, name) in (0_u16..).zip(&self.head) {
            let name: String = super::without_controls(name).chars().take(200).collect();
            worksheet.write_string_with_format(0, column, name, header)?;
            worksheet.set_column_width(column, 20)?;
        }
        let days = |label: &Label| matches!(label, Label::Number(number) if number.fract() == 0.0);
        let moment = if self.axis.iter().all(days) { date } else { timestamp };
        for (row, label) in (1_u32..).zip(&self.axis) {
            match label {
                Label::Number(number) if self.is_time => {
                    worksheet.write_number_with_format(row, 0, *number, moment)?;
                }
                Label::Number(number) => {
                    worksheet.write_number(row, 0, *number)?;
                }
                Label::Text(text) => {
                    let text: String = super::without_controls(text).chars().take(1_000).collect();
                    worksheet.write_string(row, 0, text)?;
                }
            }
        }
        for (column, values) in (1_u16..).zip(&self.columns) {
            for (row, value) in (1_u32..).zip(values) {
                if let Some(value) = value {
                    worksheet.write_number(row, column, *value)?;
                }
            }
        }
        Ok(())
    }
}

/// Puts the charts on the sheet. A big number is in the table already.
pub(super) fn insert(
    worksheet: &mut Worksheet,
    charts: &[Chart],
    section: &Section,
    data: &[DataTable],
    data_names: &[String],
    place: &Place,
) -> Result<()> {
    let mut row = 1;
    let own_name = worksheet.name();
    for (number, chart) in charts.iter().enumerate() {
        let chart_type = match chart.kind {
            ChartKind::Number => continue,
            ChartKind::Line => ChartType::Line,
            ChartKind::Area => ChartType::Area,
            ChartKind::Bar => ChartType::Column,
            ChartKind::Scatter => ChartType::Scatter,
            ChartKind::Pie => ChartType::Pie,
        };
        let index = |name: &String| -> Result<u16> {
            let index = column_index(name, &section.name, &section.schema)?;
            // Sheets have no more columns.
            Ok(u16::try_from(index).unwrap_or(u16::MAX))
        };
        let mut drawn = rust_xlsxwriter::Chart::new(chart_type);
        let table = data.iter().position(|table| table.chart == number);
        let mut is_time = false;
        if let Some(at) = table {
            let (table, name) = (&data[at], data_names[at].as_str());
            let last = u32::try_from(table.axis.len()).unwrap_or(POINTS_MAX).min(POINTS_MAX);
            if last == 0 {
                continue;
            }
            is_time = table.is_time;
            for column in (1_u16..).take(table.columns.len()) {
                let series = drawn.add_series();
                series.set_categories((name, 1, 0, last, 0)).set_values((name, 1, column, last, column));
                series.set_name((name, 0, column));
            }
        } else {
            let last = place.row_count.min(POINTS_MAX);
            if last == 0 {
                continue;
            }
            for y in &chart.y {
                let y_column = index(y)?;
                let series = drawn.add_series();
                series.set_values((own_name.as_str(), 1, y_column, last, y_column));
                series.set_name((own_name.as_str(), 0, y_column));
                if let Some(x) = &chart.x {
                    let x_column = index(x)?;
                    is_time |= is_moment(section.schema.field(usize::from(x_column)).data_type());
                    series.set_categories((own_name.as_str(), 1, x_column, last, x_column));
                }
            }
        }
        let title: String = super::without_controls(&chart.title()).chars().take(200).collect();
        drawn.title().set_name(literal(title).as_str());
        if chart.kind != ChartKind::Pie {
            if let Some(x) = &chart.x {
                drawn.x_axis().set_name(literal(super::without_controls(x)).as_str());
            }
            if is_time {
                drawn.x_axis().set_num_format("yyyy-mm-dd");
                if matches!(chart.kind, ChartKind::Line | ChartKind::Area) {
                    drawn.x_axis().set_date_axis(true);
                }
            }
            if table.is_none() && chart.y.len() == 1 {
                drawn.legend().set_hidden();
            }
        }
        drawn.set_width(720).set_height(340);
        worksheet.insert_chart(row, place.column, &drawn)?;
        row += CHART_ROWS;
    }
    Ok(())
}

/// A name that isn't taken for a place on a sheet (`=Sheet1!A1`).
fn literal(text: String) -> String {
    if text.starts_with('=') || text.contains('!') { format!(" {text} ") } else { text }
}
