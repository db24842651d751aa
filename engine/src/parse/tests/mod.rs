//! Tests of the parser as data: what a text means, or the error it gives.

use crate::parse::{Dialect, ExplainFormat, Statement, parse};

mod alter;
mod ddl;
mod errors;
mod limits;
mod queries;
mod role;
mod session;

/// The statements of a text, shown shortly; or its error.
fn show(sql: &str, dialect: Dialect) -> String {
    match parse(sql, dialect) {
        Ok(statements) => {
            let shown: Vec<String> = statements.iter().map(|parsed| show_statement(&parsed.statement)).collect();
            shown.join("; ")
        }
        Err(error) => {
            let mut text = format!("{}: {}", error.code.sqlstate(), error.message);
            if let Some(position) = error.position {
                text.push_str(&format!(" @{position}"));
            }
            text
        }
    }
}

fn show_statement(statement: &Statement) -> String {
    match statement {
        Statement::Query(query) => query.to_string(),
        Statement::Explain(explain) => {
            let analyze = if explain.analyze { "ANALYZE " } else { "" };
            let verbose = if explain.verbose { "VERBOSE " } else { "" };
            let cost = if explain.cost { "COST " } else { "" };
            let format = if explain.format == ExplainFormat::Json { "JSON " } else { "" };
            format!("EXPLAIN {analyze}{verbose}{cost}{format}{}", explain.query)
        }
        Statement::CreateView(view) => {
            format!("VIEW {:?} {:?} {:?} {:?} {:?}", view.name, view.mode, view.columns, view.comment, view.sql)
        }
        Statement::Prepare { name, parameter_types, statement } => {
            format!("PREPARE {name} {parameter_types:?} {} [{}]", show_statement(&statement.statement), statement.sql)
        }
        other => format!("{other:?}"),
    }
}

/// Checks a table of `(sql, expected)` and tells all that differ at once.
fn check_all(dialect: Dialect, cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(sql, expected)| {
            let got = show(sql, dialect);
            (got != *expected).then(|| format!("{sql}\n  expected {expected}\n  got      {got}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
