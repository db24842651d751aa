//! SHOW REPORTS and SHOW CREATE REPORT.

use std::fmt::Write as _;

use limnos_catalog::{Report, ReportValue};

use super::files_text;
use crate::Result;
use crate::command::answer::text_rows;
use crate::command::{CommandAnswer, CommandContext, pattern};
use crate::parse::NamePattern;

pub(super) const SHOW_REPORTS: &[&str] =
    &["report_name", "title", "parameters", "files", "deliveries", "owner", "last_run", "message"];

pub(super) fn reports(context: &CommandContext<'_>, pattern: Option<&NamePattern>) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let runs = context.catalog.report_runs()?;
    let mut rows = Vec::new();
    for report in context.snapshot.reports.values().filter(|report| matches(&report.name)) {
        // The newest come first.
        let last = runs.iter().find(|run| run.report == report.name);
        let parameters: Vec<String> = report.parameters.iter().map(parameter).collect();
        let email = report.email.iter().flat_map(|email| email.to.iter().cloned());
        let deliveries: Vec<String> =
            email.chain(report.webhooks.iter().map(|name| format!("webhook {name}"))).collect();
        rows.push(vec![
            report.name.clone(),
            report.title.clone().unwrap_or_default(),
            parameters.join(", "),
            files_text(report),
            deliveries.join(", "),
            report.owner.clone(),
            last.map_or_else(String::new, |run| run.state.name().to_owned()),
            last.and_then(|run| run.message.clone()).unwrap_or_default(),
        ]);
    }
    Ok(CommandAnswer::rows(text_rows(SHOW_REPORTS, &rows)?, "SHOW"))
}

fn parameter(parameter: &limnos_catalog::ReportParameter) -> String {
    let default = match &parameter.default {
        None => String::new(),
        Some(ReportValue(None)) => " DEFAULT NULL".to_owned(),
        Some(ReportValue(Some(text))) => format!(" DEFAULT {}", string(text)),
    };
    format!("{} {}{default}", identifier(&parameter.name), parameter.data_type)
}

/// The statement that makes `report`.
pub(super) fn create_text(report: &Report) -> String {
    let mut text = format!("CREATE REPORT {}", identifier(&report.name));
    // Writing to a String can't fail.
    let mut push = |line: String| {
        let _ = write!(text, "\n{line}");
    };
    if !report.parameters.is_empty() {
        let parameters: Vec<String> = report.parameters.iter().map(parameter).collect();
        push(format!("PARAMETERS ({})", parameters.join(", ")));
    }
    if let Some(title) = &report.title {
        push(format!("TITLE {}", string(title)));
    }
    if let Some(comment) = &report.comment {
        push(format!("COMMENT {}", string(comment)));
    }
    push(format!("TIME ZONE {}", string(&report.time_zone)));
    let outputs: Vec<String> = (report.outputs.iter())
        .map(|output| {
            let compression = output
                .compression
                .as_ref()
                .map_or_else(String::new, |name| format!(" COMPRESSION {}", identifier(name)));
            format!("{} FORMAT {}{compression}", string(&output.location), output.format)
        })
        .collect();
    push(format!("TO {}", outputs.join(",\n   ")));
    match &report.charts {
        None => {}
        Some(charts) if charts.is_empty() => push("NO CHARTS".to_owned()),
        Some(charts) => {
            for chart in charts {
                let columns: Vec<String> = chart.columns.iter().map(|column| identifier(column)).collect();
                let on = chart.query.as_ref().map_or_else(String::new, |query| format!(" ON {}", identifier(query)));
                let title = chart.title.as_ref().map_or_else(String::new, |title| format!(" TITLE {}", string(title)));
                push(format!("CHART {} ({}){on}{title}", chart.kind, columns.join(", ")));
            }
        }
    }
    if let Some(email) = &report.email {
        let to: Vec<String> = email.to.iter().map(|address| string(address)).collect();
        let subject =
            email.subject.as_ref().map_or_else(String::new, |subject| format!(" SUBJECT {}", string(subject)));
        let body = if email.html_body { " BODY HTML" } else { "" };
        let attach = if email.attach { "" } else { " WITHOUT ATTACHMENTS" };
        push(format!("EMAIL TO {}{subject}{body}{attach}", to.join(", ")));
    }
    if !report.webhooks.is_empty() {
        let names: Vec<String> = report.webhooks.iter().map(|name| string(name)).collect();
        push(format!("WEBHOOK {}", names.join(", ")));
    }
    match report.queries.as_slice() {
        [only] if only.name == report.name => push(format!("AS {}", only.sql)),
        queries => {
            let queries: Vec<String> =
                queries.iter().map(|query| format!("  {} AS (\n{}\n)", identifier(&query.name), query.sql)).collect();
            push(format!("AS (\n{}\n)", queries.join(",\n")));
        }
    }
    text
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
