//! Crawlers: made, changed, shown and dropped. [`mod@run`] runs one.

mod classifier;
mod history;
mod live;
mod memory;
mod merge;
mod plan;
mod run;
mod show;

use limnos_catalog::crawler::{CrawlerSchedule, OnDelete, OnSchemaChange, Recrawl};
use limnos_catalog::{Change, CrawlerDefinition, CreateMode};

pub(super) use self::classifier::{create as create_classifier, drop as drop_classifier};
pub use self::history::{CrawlChanges, CrawlHistory};
pub use self::live::Crawls;
pub(super) use self::run::run;
pub(super) use self::show::{classifiers, crawlers, create_classifier_text, create_crawler_text};

use super::{CommandAnswer, CommandContext, commit, resolve_database_name, skipping};
use crate::crawl::Exclude;
use crate::parse::CrawlerClauses;
use crate::schedule::Timetable;
use crate::{Error, ErrorCode, Result, Session};

pub(super) async fn create(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    clauses: &CrawlerClauses,
    mode: CreateMode,
) -> Result<CommandAnswer> {
    let answer = CommandAnswer::tag("CREATE CRAWLER");
    if mode == CreateMode::IfNotExists && context.snapshot.crawler(name).is_ok() {
        let notice = skipping(&format!("crawler \"{name}\" already exists"), "42710");
        return Ok(answer.with_notices(vec![notice]));
    }
    if mode == CreateMode::OrReplace {
        context.crawls.check_idle(name)?;
    }
    let empty = CrawlerDefinition {
        targets: Vec::new(),
        database: String::new(),
        schedule: None,
        exclude: Vec::new(),
        table_prefix: String::new(),
        on_schema_change: OnSchemaChange::Update,
        on_delete: OnDelete::Deprecate,
        recrawl: Recrawl::All,
        classifiers: Vec::new(),
        comment: None,
        owner: session.user.clone(),
    };
    let definition = apply(context, session, empty, clauses)?;
    let change = Change::CreateCrawler { name: name.to_owned(), definition, mode };
    let notices = commit(context, session, vec![change]).await?;
    Ok(answer.with_notices(notices))
}

pub(super) async fn alter(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    clauses: &CrawlerClauses,
) -> Result<CommandAnswer> {
    let crawler = context.snapshot.crawler(name)?;
    context.crawls.check_idle(name)?;
    let definition = apply(context, session, crawler.definition.clone(), clauses)?;
    change(context, session, name, definition, crawler.version).await
}

/// PAUSE and RESUME. Times that were due while it was paused are passed over.
pub(super) async fn pause(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    pause: bool,
) -> Result<CommandAnswer> {
    let crawler = context.snapshot.crawler(name)?;
    let mut definition = crawler.definition.clone();
    let Some(schedule) = &mut definition.schedule else {
        let message = format!("crawler \"{}\" has no schedule", crawler.name);
        return Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
            .with_hint("Give it one with ALTER CRAWLER ... SET SCHEDULE CRON '...'."));
    };
    if schedule.is_paused && !pause {
        schedule.since_ms = context.clock.now().timestamp_millis();
    }
    schedule.is_paused = pause;
    change(context, session, name, definition, crawler.version).await
}

async fn change(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    definition: CrawlerDefinition,
    base_version: i64,
) -> Result<CommandAnswer> {
    let change = Change::AlterCrawler { name: name.to_owned(), definition, base_version: Some(base_version) };
    let notices = commit(context, session, vec![change]).await?;
    Ok(CommandAnswer::tag("ALTER CRAWLER").with_notices(notices))
}

pub(super) async fn rename(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    to: &str,
) -> Result<CommandAnswer> {
    context.snapshot.crawler(name)?;
    context.crawls.check_idle(name)?;
    let change = Change::RenameCrawler { from: name.to_owned(), to: to.to_owned() };
    let notices = commit(context, session, vec![change]).await?;
    Ok(CommandAnswer::tag("ALTER CRAWLER").with_notices(notices))
}

pub(super) async fn drop(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    if_exists: bool,
) -> Result<CommandAnswer> {
    let answer = CommandAnswer::tag("DROP CRAWLER");
    if if_exists && context.snapshot.crawler(name).is_err() {
        return Ok(answer.with_notices(vec![skipping(&format!("crawler \"{name}\" does not exist"), "00000")]));
    }
    context.crawls.check_idle(name)?;
    let change = Change::DropCrawler { name: name.to_owned(), if_exists };
    let notices = commit(context, session, vec![change]).await?;
    Ok(answer.with_notices(notices))
}

/// `definition` with what `clauses` say, checked.
fn apply(
    context: &CommandContext<'_>,
    session: &Session,
    mut definition: CrawlerDefinition,
    clauses: &CrawlerClauses,
) -> Result<CrawlerDefinition> {
    if let Some(targets) = &clauses.targets {
        let resolved = targets.iter().map(|target| Ok(context.stores.resolve(target)?.url));
        definition.targets = resolved.collect::<Result<_>>()?;
    }
    if let Some(database) = &clauses.database {
        definition.database = resolve_database_name(session, database);
    }
    if let Some(schedule) = &clauses.schedule {
        definition.schedule = match schedule {
            None => None,
            Some(schedule) => {
                Timetable::new(schedule)?;
                let since_ms = context.clock.now().timestamp_millis();
                Some(CrawlerSchedule { schedule: schedule.clone(), since_ms, is_paused: false })
            }
        };
    }
    if let Some(exclude) = &clauses.exclude {
        Exclude::new(exclude)?;
        definition.exclude.clone_from(exclude);
    }
    if let Some(prefix) = &clauses.table_prefix {
        definition.table_prefix = prefix.to_lowercase();
    }
    if let Some(classifiers) = &clauses.classifiers {
        for name in classifiers {
            context.snapshot.classifier(name)?;
        }
        definition.classifiers.clone_from(classifiers);
    }
    if let Some(comment) = &clauses.comment {
        definition.comment = Some(comment.clone()).filter(|comment| !comment.is_empty());
    }
    if let Some(recrawl) = clauses.recrawl {
        definition.recrawl = recrawl;
        if recrawl == Recrawl::New {
            definition.on_schema_change = OnSchemaChange::Ignore;
            definition.on_delete = OnDelete::Ignore;
        }
    }
    definition.on_schema_change = clauses.on_schema_change.unwrap_or(definition.on_schema_change);
    definition.on_delete = clauses.on_delete.unwrap_or(definition.on_delete);
    let is_adding_only =
        definition.on_schema_change == OnSchemaChange::Ignore && definition.on_delete == OnDelete::Ignore;
    if definition.recrawl == Recrawl::New && !is_adding_only {
        let message = "RECRAWL NEW looks at new folders only: it needs ON SCHEMA CHANGE IGNORE and ON DELETE IGNORE";
        return Err(Error::new(ErrorCode::InvalidParameterValue, message)
            .with_hint("Leave both out, or use RECRAWL ALL, which reads no file again that has not changed."));
    }
    Ok(definition)
}
