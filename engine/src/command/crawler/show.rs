//! SHOW CRAWLERS and CLASSIFIERS, and the statements that make them again.

use std::fmt::Write;

use limnos_catalog::crawler::{CsvHeader, OnDelete, OnSchemaChange, Recrawl};
use limnos_catalog::{Classifier, ClassifierDefinition, Crawler, Objects};

use crate::command::answer::{SHOW_CLASSIFIERS, SHOW_CRAWLERS, text_rows};
use crate::command::{CommandAnswer, CommandContext, pattern};
use crate::parse::NamePattern;
use crate::{Result, Session};

pub(in crate::command) fn crawlers(
    context: &CommandContext<'_>,
    session: &Session,
    pattern: Option<&NamePattern>,
) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let runs = context.catalog.crawl_runs()?;
    let mut rows = Vec::new();
    for crawler in context.snapshot.crawlers.values().filter(|crawler| matches(&crawler.name)) {
        // The newest come first.
        let last = runs.iter().find(|run| run.crawler == crawler.name);
        let schedule = crawler.schedule.as_ref();
        let state = match schedule {
            _ if context.crawls.is_running(&crawler.name) => "RUNNING",
            Some(schedule) if schedule.is_paused => "PAUSED",
            Some(_) => "SCHEDULED",
            None => "READY",
        };
        rows.push(vec![
            crawler.name.clone(),
            shown_database(session, &crawler.database),
            crawler.targets.join(", "),
            schedule.map_or_else(String::new, |s| format!("{} {}", s.schedule.cron, s.schedule.time_zone)),
            state.to_owned(),
            last.map_or_else(String::new, |run| run.state.name().to_owned()),
            last.and_then(|run| run.message.clone()).unwrap_or_default(),
        ]);
    }
    Ok(CommandAnswer::rows(text_rows(SHOW_CRAWLERS, &rows)?, "SHOW"))
}

fn shown_database(session: &Session, name: &str) -> String {
    match session.settings.dialect() {
        crate::parse::Dialect::Postgres if name == "default" => "public".to_owned(),
        _ => name.to_owned(),
    }
}

pub(in crate::command) fn classifiers(
    context: &CommandContext<'_>,
    pattern: Option<&NamePattern>,
) -> Result<CommandAnswer> {
    let matches = pattern::matcher(pattern)?;
    let all: &Objects<ClassifierDefinition> = &context.snapshot.classifiers;
    let row = |classifier: &Classifier| {
        let (kind, what) = match &classifier.definition {
            ClassifierDefinition::Grok { pattern, classification, .. } => {
                ("GROK", format!("{classification}: {pattern}"))
            }
            ClassifierDefinition::Csv { .. } => ("CSV", csv_options(&classifier.definition)),
            ClassifierDefinition::Json { path } => ("JSON", path.clone()),
        };
        vec![classifier.name.clone(), kind.to_owned(), what]
    };
    let rows: Vec<Vec<String>> =
        all.values().filter(|classifier| matches(&classifier.name)).map(|classifier| row(classifier)).collect();
    Ok(CommandAnswer::rows(text_rows(SHOW_CLASSIFIERS, &rows)?, "SHOW"))
}

/// The statement that makes `crawler`.
pub(in crate::command) fn create_crawler_text(crawler: &Crawler) -> String {
    let mut text = format!("CREATE CRAWLER {}", identifier(&crawler.name));
    // Writing to a String can't fail.
    let mut push = |line: String| {
        let _ = write!(text, "\n{line}");
    };
    push(format!("TARGETS ({})", strings(&crawler.targets)));
    push(format!("DATABASE {}", identifier(&crawler.database)));
    if let Some(schedule) = &crawler.schedule {
        let (cron, zone) = (string(&schedule.schedule.cron), string(&schedule.schedule.time_zone));
        push(format!("SCHEDULE CRON {cron} TIME ZONE {zone}"));
    }
    if !crawler.exclude.is_empty() {
        push(format!("EXCLUDE ({})", strings(&crawler.exclude)));
    }
    if !crawler.table_prefix.is_empty() {
        push(format!("TABLE PREFIX {}", string(&crawler.table_prefix)));
    }
    push(format!(
        "ON SCHEMA CHANGE {}",
        match crawler.on_schema_change {
            OnSchemaChange::Update => "UPDATE",
            OnSchemaChange::Add => "ADD",
            OnSchemaChange::Ignore => "IGNORE",
        }
    ));
    push(format!(
        "ON DELETE {}",
        match crawler.on_delete {
            OnDelete::Drop => "DROP",
            OnDelete::Deprecate => "DEPRECATE",
            OnDelete::Ignore => "IGNORE",
        }
    ));
    push(format!(
        "RECRAWL {}",
        match crawler.recrawl {
            Recrawl::All => "ALL",
            Recrawl::New => "NEW",
        }
    ));
    if !crawler.classifiers.is_empty() {
        let names: Vec<String> = crawler.classifiers.iter().map(|name| identifier(name)).collect();
        push(format!("CLASSIFIERS ({})", names.join(", ")));
    }
    if let Some(comment) = &crawler.comment {
        push(format!("COMMENT {}", string(comment)));
    }
    text
}

/// The statement that makes `classifier`.
pub(in crate::command) fn create_classifier_text(classifier: &Classifier) -> String {
    let name = identifier(&classifier.name);
    match &classifier.definition {
        ClassifierDefinition::Grok { pattern, custom_patterns, classification } => {
            let custom = custom_patterns
                .as_ref()
                .map_or_else(String::new, |patterns| format!("\nCUSTOM PATTERNS {}", string(patterns)));
            let (pattern, classification) = (string(pattern), string(classification));
            format!("CREATE CLASSIFIER {name} GROK {pattern}{custom}\nCLASSIFICATION {classification}")
        }
        ClassifierDefinition::Csv { .. } => {
            format!("CREATE CLASSIFIER {name} CSV ({})", csv_options(&classifier.definition))
        }
        ClassifierDefinition::Json { path } => format!("CREATE CLASSIFIER {name} JSON {}", string(path)),
    }
}

fn csv_options(definition: &ClassifierDefinition) -> String {
    let ClassifierDefinition::Csv { delimiter, quote, header, columns } = definition else { return String::new() };
    let mut options = Vec::new();
    options.extend(delimiter.as_ref().map(|text| format!("DELIMITER {}", string(text))));
    options.extend(quote.as_ref().map(|text| format!("QUOTE {}", string(text))));
    let header = match header {
        CsvHeader::Present => "present",
        CsvHeader::Absent => "absent",
        CsvHeader::Unknown => "unknown",
    };
    options.push(format!("HEADER {header}"));
    if !columns.is_empty() {
        let columns: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
        options.push(format!("COLUMNS ({})", columns.join(", ")));
    }
    options.join(", ")
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn strings(texts: &[String]) -> String {
    texts.iter().map(|text| string(text)).collect::<Vec<_>>().join(", ")
}
