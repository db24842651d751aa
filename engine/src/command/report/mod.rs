//! Reports: made, changed, shown and dropped. [`crate::report`] runs one.

mod history;
mod show;

use std::collections::HashMap;

use limnos_catalog::{Change, CreateMode, DataType, Report, ReportDefinition};
use limnos_report::ChartKind;

pub use self::history::{ReportHistory, Reports};

use super::{CommandAnswer, CommandContext, commit, show as show_statement, skipping};
use crate::parse::report::{BUILT_IN, ReportClauses, ReportStatement, with_placeholders};
use crate::parse::{Dialect, Statement};
use crate::report::{Format, Template, check_layout, zone_of};
use crate::{Error, ErrorCode, Result, Session};

pub(super) async fn run(
    context: &CommandContext<'_>,
    session: &mut Session,
    statement: &ReportStatement,
) -> Result<CommandAnswer> {
    match statement {
        ReportStatement::Create { name, clauses, mode } => create(context, session, name, clauses, *mode).await,
        ReportStatement::Alter { name, clauses } => {
            let report = context.snapshot.report(name)?;
            let base_version = Some(report.version);
            let definition = Box::new(apply(context, session, name, report.definition.clone(), clauses).await?);
            let change = Change::AlterReport { name: name.clone(), definition, base_version };
            let notices = commit(context, session, vec![change]).await?;
            Ok(CommandAnswer::tag("ALTER REPORT").with_notices(notices))
        }
        ReportStatement::Rename { name, to } => {
            let change = Change::RenameReport { from: name.clone(), to: to.clone() };
            let notices = commit(context, session, vec![change]).await?;
            Ok(CommandAnswer::tag("ALTER REPORT").with_notices(notices))
        }
        ReportStatement::Drop { name, if_exists } => {
            let answer = CommandAnswer::tag("DROP REPORT");
            if *if_exists && context.snapshot.report(name).is_err() {
                return Ok(answer.with_notices(vec![skipping(&format!("report \"{name}\" does not exist"), "00000")]));
            }
            let change = Change::DropReport { name: name.clone(), if_exists: *if_exists };
            let notices = commit(context, session, vec![change]).await?;
            Ok(answer.with_notices(notices))
        }
        ReportStatement::Show { pattern } => show::reports(context, pattern.as_ref()),
        ReportStatement::ShowCreate { name } => {
            show_statement::statement(show::create_text(context.snapshot.report(name)?))
        }
        ReportStatement::Run { .. } => Err(Error::internal("a report is run by the engine")),
    }
}

/// The columns of the answer, for those that have some.
pub(super) fn schema(statement: &ReportStatement) -> Option<arrow::datatypes::SchemaRef> {
    match statement {
        ReportStatement::Run { .. } => Some(crate::report::ran_schema()),
        ReportStatement::Show { .. } => Some(super::answer::text_schema(show::SHOW_REPORTS)),
        ReportStatement::ShowCreate { .. } => Some(super::answer::text_schema(super::answer::SHOW_CREATE)),
        _ => None,
    }
}

async fn create(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    clauses: &ReportClauses,
    mode: CreateMode,
) -> Result<CommandAnswer> {
    let answer = CommandAnswer::tag("CREATE REPORT");
    if mode == CreateMode::IfNotExists && context.snapshot.report(name).is_ok() {
        let notice = skipping(&format!("report \"{name}\" already exists"), "42710");
        return Ok(answer.with_notices(vec![notice]));
    }
    let zone = session.settings.show("timezone")?;
    let empty = ReportDefinition {
        title: None,
        comment: None,
        parameters: Vec::new(),
        queries: Vec::new(),
        charts: None,
        outputs: Vec::new(),
        email: None,
        webhooks: Vec::new(),
        // A zone without a name (`+09`) has no place in a definition that lives on.
        time_zone: if zone.parse::<chrono_tz::Tz>().is_ok() { zone } else { "UTC".to_owned() },
        database: session.database.clone(),
        dialect: session.settings.show("dialect")?,
        owner: session.user.clone(),
    };
    let definition = Box::new(apply(context, session, name, empty, clauses).await?);
    let change = Change::CreateReport { name: name.to_owned(), definition, mode };
    let notices = commit(context, session, vec![change]).await?;
    Ok(answer.with_notices(notices))
}

/// `definition` with what `clauses` say, checked: what can be known to fail when it runs is refused now.
async fn apply(
    context: &CommandContext<'_>,
    session: &Session,
    name: &str,
    mut definition: ReportDefinition,
    clauses: &ReportClauses,
) -> Result<ReportDefinition> {
    let old = definition.queries.first().map(|query| query.name.clone());
    if let Some(parameters) = &clauses.parameters {
        definition.parameters.clone_from(parameters);
    }
    if let Some(title) = &clauses.title {
        definition.title = Some(title.clone()).filter(|title| !title.is_empty());
    }
    if let Some(comment) = &clauses.comment {
        definition.comment = Some(comment.clone()).filter(|comment| !comment.is_empty());
    }
    if let Some(zone) = &clauses.time_zone {
        if zone.parse::<chrono_tz::Tz>().is_err() {
            return Err(Error::new(ErrorCode::InvalidParameterValue, format!("time zone \"{zone}\" not recognized"))
                .with_hint("Use a name of the IANA database, such as Europe/Berlin."));
        }
        definition.time_zone.clone_from(zone);
    }
    if let Some(outputs) = &clauses.outputs {
        definition.outputs.clone_from(outputs);
        for output in &mut definition.outputs {
            Format::of(&output.format, &output.location)?.name().clone_into(&mut output.format);
        }
    }
    if clauses.auto_charts {
        definition.charts = None;
    }
    if let Some(charts) = &clauses.charts {
        definition.charts = Some(charts.clone());
    }
    if let Some(email) = &clauses.email {
        definition.email.clone_from(email);
    }
    if let Some(webhooks) = &clauses.webhooks {
        definition.webhooks.clone_from(webhooks);
    }
    if let Some(queries) = &clauses.queries {
        definition.queries.clone_from(queries);
        // An only query keeps its name, which charts may use.
        if let (Some(old), [only]) = (old, definition.queries.as_mut_slice())
            && only.name == name.to_lowercase()
        {
            only.name = old;
        }
    }
    check_outputs(context, &definition, name)?;
    check_email(&definition, name)?;
    check_queries(context, session, &definition).await?;
    Ok(definition)
}

/// Names that may stand in locations and subjects.
fn known<'a>(definition: &'a ReportDefinition, more: &[&'a str]) -> Vec<&'a str> {
    let own = definition.parameters.iter().map(|parameter| parameter.name.as_str());
    own.chain(more.iter().copied()).collect()
}

fn check_outputs(context: &CommandContext<'_>, definition: &ReportDefinition, name: &str) -> Result<()> {
    let known = known(definition, &["report", "query"]);
    // Any value that can be part of a name is as good as another to see where the file would be.
    let values: HashMap<String, Option<String>> = known
        .iter()
        .map(|known| ((*known).to_owned(), Some(if *known == "report" { name } else { "x" }.to_owned())))
        .collect();
    let fill = crate::report::Fill {
        scheduled_at: context.clock.now(),
        zone: zone_of(&definition.time_zone),
        values: &values,
    };
    for output in &definition.outputs {
        let template = Template::parse(&output.location, &known)?;
        template.check_location()?;
        let location = context.stores.resolve(&template.fill(&fill, true)?)?;
        if location.is_folder {
            let message = format!("location \"{}\" is a folder, not a file", output.location);
            return Err(Error::new(ErrorCode::InvalidParameterValue, message));
        }
        check_layout(output, template.has("query"), definition.queries.len())?;
    }
    Ok(())
}

/// Addresses are ones, and nothing that a mail's head could be changed with.
fn check_email(definition: &ReportDefinition, name: &str) -> Result<()> {
    let Some(email) = &definition.email else { return Ok(()) };
    for address in &email.to {
        let is_plain = |text: &str| {
            !text.is_empty() && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "<>,;\"()".contains(c))
        };
        let is_address =
            address.split_once('@').is_some_and(|(user, host)| is_plain(user) && is_plain(host) && !host.contains('@'));
        if !is_address {
            let message = format!("\"{}\" is not an address of e-mail", address.escape_debug());
            return Err(Error::new(ErrorCode::InvalidParameterValue, message));
        }
    }
    if let Some(subject) = &email.subject {
        if subject.chars().any(char::is_control) {
            return Err(Error::new(ErrorCode::InvalidParameterValue, "a subject is one line"));
        }
        Template::parse(subject, &known(definition, &["report"]))?;
    }
    if email.html_body && !definition.outputs.iter().any(|output| output.format == "html") {
        let message = format!("report \"{name}\" has no html output, which would be the body of the mail");
        return Err(
            Error::new(ErrorCode::InvalidParameterValue, message).with_hint("Add one to TO, or leave BODY HTML out.")
        );
    }
    Ok(())
}

/// The queries are queries of what there is, and have the columns that charts are of.
async fn check_queries(context: &CommandContext<'_>, session: &Session, definition: &ReportDefinition) -> Result<()> {
    let mut parameters: Vec<(String, String)> =
        BUILT_IN.iter().map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned())).collect();
    let own = definition.parameters.iter();
    parameters.extend(own.map(|parameter| (parameter.name.clone(), parameter.data_type.clone())));
    let dialect = if definition.dialect == "athena" { Dialect::Athena } else { Dialect::Postgres };
    let mut session = session.clone();
    session.database.clone_from(&definition.database);
    session.settings.set("dialect", std::slice::from_ref(&definition.dialect))?;
    let charts = definition.charts.iter().flatten();
    for chart in charts.clone() {
        if let Some(query) = &chart.query
            && !definition.queries.iter().any(|known| known.name == *query)
        {
            let names: Vec<&str> = definition.queries.iter().map(|query| query.name.as_str()).collect();
            let message = format!("query \"{query}\" of a chart does not exist");
            return Err(
                Error::new(ErrorCode::UndefinedObject, message).with_hint(format!("There are {}.", names.join(", ")))
            );
        }
    }
    for (number, named) in definition.queries.iter().enumerate() {
        let unplaced = |error: Error| {
            let detail = || (definition.queries.len() > 1).then(|| format!("In query \"{}\".", named.name));
            let detail = error.detail.clone().or_else(detail);
            Error { position: None, detail, ..error }
        };
        let (sql, _) = with_placeholders(&named.sql, dialect, &parameters)?;
        let parsed = crate::parse::parse(&sql, dialect).map_err(unplaced)?.pop().map(|parsed| parsed.statement);
        let Some(Statement::Query(query)) = parsed else {
            return Err(Error::syntax("a report's query must be a query, such as SELECT"));
        };
        let columns = context.planner.columns(&session, &query).await.map_err(unplaced)?;
        let charts =
            charts.clone().filter(|chart| chart.query.as_deref().map_or(number == 0, |query| query == named.name));
        for chart in charts {
            let chart = crate::report::chart_of(chart);
            let is_y = chart.y.iter().map(|name| (name, true));
            for (wanted, is_y) in chart.x.iter().chain(&chart.series).map(|name| (name, false)).chain(is_y) {
                let found = columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted));
                let Some(column) = found else {
                    let names: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
                    let message = format!("column \"{wanted}\" of a chart does not exist in query \"{}\"", named.name);
                    return Err(Error::new(ErrorCode::UndefinedColumn, message)
                        .with_hint(format!("Its columns are {}.", names.join(", "))));
                };
                if is_y && !is_number(&column.data_type) {
                    let message = format!("column \"{wanted}\" of query \"{}\" cannot be charted", named.name);
                    return Err(Error::new(ErrorCode::DatatypeMismatch, message).with_detail(format!(
                        "CHART {} needs numbers; it is of type {}.",
                        ChartKind::name(chart.kind),
                        column.data_type
                    )));
                }
            }
        }
    }
    Ok(())
}

fn is_number(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::TinyInt
            | DataType::SmallInt
            | DataType::Int
            | DataType::BigInt
            | DataType::Float
            | DataType::Double
            | DataType::Decimal(..)
    )
}

/// A report's files, for people.
fn files_text(report: &Report) -> String {
    report.outputs.iter().map(|output| output.location.as_str()).collect::<Vec<_>>().join(", ")
}
