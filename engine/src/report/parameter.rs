//! Values of parameters: given, of the default, or of the run itself; bound as text that a cast reads, never part of a query.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures::StreamExt;
use limnos_catalog::{Report, ReportValue, RunState};

use crate::execute::QueryContext;
use crate::parse::report::BUILT_IN;
use crate::{Engine, Error, ErrorCode, Result, Session};

/// The values of one run, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// As their types write them; NULL is `None`.
    pub(super) by_name: HashMap<String, Option<String>>,
    /// Those that users gave names and types, in the order in which they were declared.
    pub(super) own: Vec<(String, Option<String>)>,
}

/// The zone that a report's definition names.
pub(crate) fn zone_of(name: &str) -> Tz {
    name.parse().unwrap_or(Tz::UTC)
}

/// The declared names and types of a report's parameters, and those that every report has.
pub(super) fn declared(report: &Report) -> Vec<(String, String)> {
    let built_in = BUILT_IN.iter().map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned()));
    let own = report.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.data_type.clone()));
    built_in.chain(own).collect()
}

impl Values {
    /// The values of a run. Those given are read as their types, and come back as these write them.
    ///
    /// # Errors
    /// Values that are missing, unknown, or not of their types.
    pub(super) async fn of(
        engine: &Arc<Engine>,
        session: &mut Session,
        report: &Report,
        arguments: &[(String, ReportValue)],
        scheduled_at: DateTime<Utc>,
        context: &QueryContext,
    ) -> Result<Self> {
        let mut given: HashMap<&str, &ReportValue> = HashMap::new();
        for (name, value) in arguments {
            if !report.parameters.iter().any(|parameter| parameter.name == *name) {
                let known: Vec<&str> = report.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                let known =
                    if known.is_empty() { "It has none.".to_owned() } else { format!("It has {}.", known.join(", ")) };
                let message = format!("report \"{}\" has no parameter \"{name}\"", report.name);
                return Err(Error::new(ErrorCode::UndefinedParameter, message).with_hint(known));
            }
            if given.insert(name, value).is_some() {
                return Err(Error::syntax(format!("parameter \"{name}\" specified more than once")));
            }
        }
        let mut names = Vec::new();
        let mut types = Vec::new();
        let mut texts = Vec::new();
        for parameter in &report.parameters {
            let value = given.get(parameter.name.as_str()).copied().or(parameter.default.as_ref());
            let Some(ReportValue(text)) = value else {
                let message = format!("parameter \"{}\" of report \"{}\" has no value", parameter.name, report.name);
                return Err(Error::new(ErrorCode::UndefinedParameter, message)
                    .with_hint(format!("Give it one: RUN REPORT {} ({} => ...).", report.name, parameter.name)));
            };
            names.push(parameter.name.clone());
            types.push(parameter.data_type.clone());
            texts.push(text.clone());
        }
        let own = read(engine, session, &types, &texts, context).await?;
        let own: Vec<(String, Option<String>)> = names.into_iter().zip(own).collect();
        let mut by_name: HashMap<String, Option<String>> = own.iter().cloned().collect();
        let zone = zone_of(&report.time_zone);
        let instant = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
        by_name.insert("scheduled_time".to_owned(), Some(instant(scheduled_at)));
        let date = scheduled_at.with_timezone(&zone).format("%Y-%m-%d").to_string();
        by_name.insert("scheduled_date".to_owned(), Some(date));
        let runs = engine.catalog().report_runs()?;
        let last = (runs.iter())
            .filter(|run| run.report == report.name && run.state == RunState::Succeeded)
            .filter_map(|run| DateTime::from_timestamp_millis(run.scheduled_at_ms))
            .filter(|at| *at < scheduled_at)
            .max();
        by_name.insert("last_success".to_owned(), last.map(instant));
        by_name.insert("report".to_owned(), Some(report.name.clone()));
        Ok(Self { by_name, own })
    }

    /// The arrays for the placeholders of these names.
    pub(super) fn arrays(&self, names: &[String]) -> Vec<ArrayRef> {
        let array = |name: &String| {
            let value = self.by_name.get(name).cloned().flatten();
            Arc::new(StringArray::from(vec![value])) as ArrayRef
        };
        names.iter().map(array).collect()
    }
}

/// Reads texts as types do, by a query that is nothing but casts, and tells how the types write them.
async fn read(
    engine: &Arc<Engine>,
    session: &mut Session,
    types: &[String],
    texts: &[Option<String>],
    context: &QueryContext,
) -> Result<Vec<Option<String>>> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let casts: Vec<String> = (1..)
        .zip(types)
        .map(|(number, data_type)| format!("CAST(CAST(${number} AS {data_type}) AS varchar)"))
        .collect();
    let names: Vec<ArrayRef> =
        texts.iter().map(|text| Arc::new(StringArray::from(vec![text.clone()])) as ArrayRef).collect();
    let sql = format!("SELECT {}", casts.join(", "));
    let mut outcome = query(engine, session, &sql, &names, context).await?;
    let mut values = vec![None; types.len()];
    while let Some(batch) = outcome.stream.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        for (column, value) in batch.columns().iter().zip(&mut values) {
            let column = arrow::compute::cast(column, &DataType::Utf8)
                .map_err(|error| Error::internal(format!("a parameter is no text: {error}")))?;
            let column = column.as_string::<i32>();
            *value = (!arrow::array::Array::is_null(column, 0)).then(|| column.value(0).to_owned());
        }
    }
    Ok(values)
}

/// Runs one query with texts for its placeholders.
pub(super) async fn query(
    engine: &Arc<Engine>,
    session: &mut Session,
    sql: &str,
    parameters: &[ArrayRef],
    context: &QueryContext,
) -> Result<crate::Outcome> {
    // Places in this text are none in what the user wrote.
    let unplaced = |error: Error| Error { position: None, ..error };
    let parsed = engine.parse(sql, session.settings.dialect()).await.map_err(unplaced)?;
    let Ok([parsed]) = <[_; 1]>::try_from(parsed) else {
        return Err(Error::syntax("a report's query must be one query"));
    };
    if !matches!(parsed.statement, crate::parse::Statement::Query(_)) {
        return Err(Error::syntax("a report's query must be a query, such as SELECT"));
    }
    let types = vec![Some(DataType::Utf8); parameters.len()];
    let prepared = engine.prepare(session, Arc::new(parsed), &types).await.map_err(unplaced)?;
    engine.execute(session, &prepared, parameters, context.clone()).await.map_err(unplaced)
}
