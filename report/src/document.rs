//! [`Document`]: what a report holds.

use std::fmt;
use std::str::FromStr;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{Error, Result};

/// The most rows that a page shows of one query; it says how many there are. A browser lays out a table of so many at once.
pub const ROWS_SHOWN_MAX: usize = 1_000;

/// The most rows of one query that charts are made of, and so the most that a [`Section`] is worth holding.
pub const ROWS_CHARTED_MAX: usize = 10_000;

/// A report that was run.
#[derive(Debug, Clone)]
pub struct Document {
    /// The report's name.
    pub name: String,
    /// Its title, for people.
    pub title: String,
    /// What is said of it.
    pub description: Option<String>,
    /// When its queries ran.
    pub generated_at: DateTime<Utc>,
    /// The time that it is of.
    pub scheduled_at: DateTime<Utc>,
    /// The zone that instants are shown in.
    pub time_zone: Tz,
    /// Names and values.
    pub parameters: Vec<(String, String)>,
    /// One for each query.
    pub sections: Vec<Section>,
}

/// The answer of one query.
#[derive(Debug, Clone)]
pub struct Section {
    /// The query's name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its first rows: [`ROWS_CHARTED_MAX`] at least, if there are as many.
    pub batches: Vec<RecordBatch>,
    /// How many rows there are in all.
    pub row_count: u64,
    /// What it is shown as, beside a table.
    pub charts: Charts,
}

/// Which charts a section has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charts {
    /// What its columns' types suggest.
    Auto,
    /// These, or none.
    Chosen(Vec<Chart>),
}

/// A chart of a query's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// How it looks.
    pub kind: ChartKind,
    /// The column along the horizontal axis, or of a pie's slices; a number has none.
    pub x: Option<String>,
    /// The columns of numbers.
    pub y: Vec<String>,
    /// The column whose values part the rows into series.
    pub series: Option<String>,
    /// For people; made of the columns' names where it isn't said.
    pub title: Option<String>,
}

/// How a chart looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ChartKind {
    Line,
    Area,
    Bar,
    Scatter,
    Pie,
    /// The first row's number, in large type.
    Number,
}

impl ChartKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Line, Self::Area, Self::Bar, Self::Scatter, Self::Pie, Self::Number];

    /// As SQL has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "LINE",
            Self::Area => "AREA",
            Self::Bar => "BAR",
            Self::Scatter => "SCATTER",
            Self::Pie => "PIE",
            Self::Number => "NUMBER",
        }
    }
}

impl fmt::Display for ChartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ChartKind {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text)).ok_or(())
    }
}

impl Chart {
    /// Its title, or one made of its columns' names.
    pub fn title(&self) -> String {
        if let Some(title) = &self.title {
            return title.clone();
        }
        let y = self.y.join(", ");
        match (&self.x, &self.series) {
            (Some(x), Some(series)) => format!("{y} by {x} and {series}"),
            (Some(x), None) => format!("{y} by {x}"),
            (None, _) => y,
        }
    }

    /// Whether `section` has the columns that it is of.
    ///
    /// # Errors
    /// [`Error::NoSuchColumn`], [`Error::NotNumeric`].
    pub fn check(&self, section: &str, schema: &SchemaRef) -> Result<()> {
        for column in self.x.iter().chain(&self.series) {
            column_index(column, section, schema)?;
        }
        for column in &self.y {
            let index = column_index(column, section, schema)?;
            if !is_number(schema.field(index).data_type()) {
                return Err(Error::NotNumeric { column: column.clone(), section: section.to_owned() });
            }
        }
        Ok(())
    }
}

/// Which column `name` is: of that very name, or else in another case.
pub(crate) fn column_index(name: &str, section: &str, schema: &SchemaRef) -> Result<usize> {
    let fields = schema.fields();
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| field.name().to_lowercase() == name.to_lowercase())).ok_or_else(
        || {
            let columns: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.name())).collect();
            Error::NoSuchColumn { column: name.to_owned(), section: section.to_owned(), columns: columns.join(", ") }
        },
    )
}

/// Whether values of this type are numbers.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number(value),
        other => other.is_numeric(),
    }
}

/// Whether values of this type are moments.
pub(crate) fn is_moment(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_moment(value),
        other => matches!(other, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)),
    }
}

/// Whether the numbers of a column name things rather than count them: years, ids, codes. They are neither grouped by
/// thousands nor charted unasked.
pub(crate) fn is_label(name: &str) -> bool {
    let lower = name.to_lowercase();
    let words = ["id", "key", "year", "no", "nr", "zip", "code", "number"];
    lower.rsplit(['_', ' ', '-']).next().is_some_and(|last| words.contains(&last))
}

impl Section {
    /// The charts that it shows.
    pub fn charts(&self) -> Vec<Chart> {
        match &self.charts {
            Charts::Chosen(charts) => charts.clone(),
            Charts::Auto => suggest(&self.schema, self.row_count),
        }
    }
}

/// Numbers of one row are shown large; over time there are lines; a few rows that begin with a text are bars.
fn suggest(schema: &SchemaRef, row_count: u64) -> Vec<Chart> {
    let chart = |kind, x: Option<&str>, y: Vec<String>, series: Option<&str>| Chart {
        kind,
        x: x.map(str::to_owned),
        y,
        series: series.map(str::to_owned),
        title: None,
    };
    let fields = schema.fields();
    let measures: Vec<String> = (fields.iter())
        .filter(|field| is_number(field.data_type()) && !is_label(field.name()))
        .map(|field| field.name().clone())
        .collect();
    if row_count == 0 || measures.is_empty() {
        return Vec::new();
    }
    if row_count == 1 {
        return measures.into_iter().take(6).map(|name| chart(ChartKind::Number, None, vec![name], None)).collect();
    }
    let text = |field: &&std::sync::Arc<arrow::datatypes::Field>| {
        !is_number(field.data_type()) && !is_moment(field.data_type()) && !field.data_type().is_nested()
    };
    if let Some(time) = fields.iter().find(|field| is_moment(field.data_type())) {
        return match fields.iter().find(text) {
            Some(series) => {
                let first = measures.into_iter().take(1).collect();
                vec![chart(ChartKind::Line, Some(time.name()), first, Some(series.name()))]
            }
            None => {
                vec![chart(ChartKind::Line, Some(time.name()), measures.into_iter().take(4).collect(), None)]
            }
        };
    }
    match fields.first() {
        Some(first) if row_count <= 40 && (text(&first) || is_label(first.name())) => {
            vec![chart(ChartKind::Bar, Some(first.name()), measures.into_iter().take(1).collect(), None)]
        }
        _ => Vec::new(),
    }
}
