//! SHOW STATS: what is known of a table's columns, in Trino's columns. It lists files and reads none: what isn't known is
//! NULL until somebody has read them (ANALYZE does).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};

use super::{CommandAnswer, CommandContext, find_external};
use crate::parse::ObjectName;
use crate::scan::facts::statistics::{Total, count, distinct_count, file_statistics, key_statistics};
use crate::{Error, Notice, Result, Session};

/// The columns of the answer (<https://trino.io/docs/current/sql/show-stats.html>).
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    Arc::new(Schema::new(vec![
        text("column_name"),
        number("data_size"),
        number("distinct_values_count"),
        number("nulls_fraction"),
        number("row_count"),
        text("low_value"),
        text("high_value"),
    ]))
}

pub(super) async fn show_stats(
    context: &CommandContext<'_>,
    session: &Session,
    table: &ObjectName,
) -> Result<CommandAnswer> {
    let (table, _) = find_external(context, session, table)?;
    let opened = context.opener.open(session, table)?;
    let files = opened.files(|_| true).await?;
    let (file_schema, keys) = (&opened.table.file_schema, &opened.table.keys);
    let column_count = file_schema.fields().len() + keys.len();
    let all = vec![true; file_schema.fields().len()];
    let mut total = Some(Total::new(column_count));
    let mut key_values: Vec<BTreeSet<String>> = vec![BTreeSet::new(); keys.len()];
    let mut unknown_count = 0;
    for file in &files {
        let Some(facts) = &file.facts else {
            unknown_count += 1;
            total = None;
            continue;
        };
        if facts.row_count == 0 {
            continue;
        }
        let values = match file.file.partition {
            Some(partition) => opened.partitions.index.row(partition)?,
            None => Vec::new(),
        };
        let mut statistics = file_statistics(facts, file_schema, &all);
        if facts.read_as.is_some() {
            for (column, own) in statistics.column_statistics.iter_mut().zip(file_schema.fields()) {
                let counted = facts.columns.iter().find(|column| *column.name == **own.name());
                if let Some(nulls) = counted.and_then(|column| column.null_count) {
                    column.null_count = Precision::Exact(count(nulls));
                }
            }
        }
        let row_count = count(facts.row_count);
        for (value, seen) in values.iter().zip(&mut key_values) {
            statistics.column_statistics.push(key_statistics(value, Precision::Exact(row_count)));
            if !value.is_null() {
                seen.insert(value.to_string());
            }
        }
        if let Some(total) = &mut total {
            total.add(&statistics, row_count);
        }
    }
    let known = || files.iter().filter_map(|file| file.facts.as_deref()).filter(|facts| facts.row_count > 0);
    let statistics = match total {
        Some(total) => total.finish(|index| match file_schema.fields().get(index) {
            Some(field) => distinct_count(known(), field),
            None => key_values.get(index - file_schema.fields().len()).map(|seen| seen.len() as u64),
        }),
        None => Statistics::default(),
    };
    let names: Vec<&str> =
        table.columns.iter().chain(&table.partition_keys).map(|column| column.name.as_str()).collect();
    let answer = CommandAnswer::rows(rows(&names, &statistics)?, "SHOW");
    if unknown_count == 0 {
        return Ok(answer);
    }
    let message = format!("{unknown_count} of {} files were never read; ANALYZE reads them", files.len());
    Ok(answer.with_notices(vec![Notice::notice(message)]))
}

fn rows(names: &[&str], statistics: &Statistics) -> Result<RecordBatch> {
    let number = |value: &Precision<usize>| value.get_value().map(|value| *value as f64);
    let row_count = number(&statistics.num_rows);
    let text = |value: &Precision<ScalarValue>| {
        let text = value.get_value()?.cast_to(&DataType::Utf8).ok()?;
        text.try_as_str().flatten().map(str::to_owned)
    };
    let column = |index: usize| statistics.column_statistics.get(index);
    let count = names.len();
    // The last row is the table's.
    let numbers = |of: &dyn Fn(usize) -> Option<f64>, last: Option<f64>| {
        Arc::new((0..count).map(of).chain([last]).collect::<Float64Array>()) as _
    };
    let texts =
        |of: &dyn Fn(usize) -> Option<String>| Arc::new((0..count).map(of).chain([None]).collect::<StringArray>()) as _;
    let nulls_fraction = |index: usize| {
        let nulls = number(&column(index)?.null_count)?;
        match row_count? {
            0.0 => Some(0.0),
            rows => Some(nulls / rows),
        }
    };
    let columns = vec![
        texts(&|index| Some(names[index].to_owned())),
        numbers(&|index| number(&column(index)?.byte_size), None),
        numbers(&|index| number(&column(index)?.distinct_count), None),
        numbers(&nulls_fraction, None),
        numbers(&|_| None, row_count),
        texts(&|index| text(&column(index)?.min_value)),
        texts(&|index| text(&column(index)?.max_value)),
    ];
    RecordBatch::try_new(schema(), columns).map_err(|error| Error::internal(error.to_string()))
}
