//! RUN CRAWLER: look at the targets, decide, commit.
//!
//! ```text
//! begun (a run is noted) ── crawl each target ── plan ── one commit: tables, partitions, the run's end
//!                                                  ^──────┘ somebody changed a table meanwhile: again, with what is now
//! ```
//! Until the commit the catalog is as it was; whatever ends the run before, ends it without a trace but its history.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use limnos_catalog::crawler::Recrawl;
use limnos_catalog::{Catalog, Change, CrawlRun, Crawler, RunState, Snapshot, TableKind};
use object_store::ObjectStore;

use super::classifier::custom_classifier;
use super::live::Live;
use super::memory::CatalogMemory;
use super::plan::{Findings, Plan, covers, cut, own_tables, partition_url, plan};
use crate::command::answer::crawled_table_rows;
use crate::command::{CommandAnswer, CommandContext};
use crate::crawl::{CrawlOptions, CustomClassifier, Exclude, Known, crawl_at, nothing_there};
use crate::scan::format::display_prefix;
use crate::scan::store::MeteredStore;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// How often a run decides anew because somebody else has changed a table in the meantime.
const ATTEMPTS_MAX: usize = 10;

/// Most files of all targets together: their names are held until the commit.
const FILES_MAX: usize = 2_000_000;

/// Skipped files told one by one.
const SKIPPED_SHOWN_MAX: usize = 20;

pub(in crate::command) async fn run(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
) -> Result<CommandAnswer> {
    // Of now, also inside a block: what a crawl does can't be pinned.
    let crawler = Arc::clone(context.catalog.snapshot().crawler(name)?);
    let query_id = &context.query.query_id;
    // One run for each time that is due, whichever server notices first.
    let run_id = match session.due_at_ms {
        Some(due_at_ms) => format!("{}-{due_at_ms}", crawler.id),
        None => query_id.clone(),
    };
    let running = context.crawls.begin(&crawler.name, &run_id, query_id)?;
    let record = CrawlRun {
        id: run_id,
        crawler: crawler.name.clone(),
        state: RunState::Running,
        query_id: query_id.clone(),
        user: session.user.clone(),
        due_at_ms: session.due_at_ms,
        started_at_ms: context.clock.now().timestamp_millis(),
        finished_at_ms: None,
        counts: limnos_catalog::CrawlCounts::default(),
        message: None,
        changes: Vec::new(),
        changes_cut: 0,
    };
    if !context.catalog.begin_crawl_run(&record)? {
        let message = format!("this run of crawler \"{}\" has been begun before", crawler.name);
        return Err(Error::new(ErrorCode::ObjectInUse, message));
    }
    tracing::info!(crawler = %crawler.name, crawl_id = %record.id, %query_id, "crawl began");
    let mut ending = Ending {
        catalog: Arc::clone(context.catalog),
        clock: Arc::clone(context.clock),
        live: Arc::clone(&running.live),
        record: Some(record),
    };
    let outcome = match crawl(context, &crawler, &running.live).await {
        Ok(findings) => commit(context, &crawler, &findings, &mut ending).map(|plan| (plan, findings)),
        Err(error) => Err(error),
    };
    let (plan, findings) = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            let state = if error.code == ErrorCode::QueryCanceled { RunState::Cancelled } else { RunState::Failed };
            ending.end(state, Some(error.message.clone()));
            return Err(error);
        }
    };
    let mut notices: Vec<Notice> =
        findings.empty_targets.iter().map(|url| Notice::warning(format!("location \"{url}\" has no files"))).collect();
    notices.extend(findings.skipped.iter().take(SKIPPED_SHOWN_MAX).map(|skipped| Notice::warning(skipped.to_string())));
    if let Some(more) = findings.skipped.len().checked_sub(SKIPPED_SHOWN_MAX).filter(|more| *more > 0) {
        notices.push(Notice::warning(format!("{more} more files were skipped")));
    }
    Ok(CommandAnswer::rows(crawled_table_rows(&plan.rows)?, "RUN CRAWLER").with_notices(notices))
}

/// The crawler's classifiers, as the crawl takes them.
fn classifiers(snapshot: &Snapshot, crawler: &Crawler) -> Result<Vec<CustomClassifier>> {
    crawler.classifiers.iter().map(|name| Ok(custom_classifier(&snapshot.classifier(name)?.definition))).collect()
}

/// Notes how a run ends; one that is dropped (cancelled, timed out, its client gone) was cancelled.
struct Ending {
    catalog: Arc<Catalog>,
    clock: Arc<dyn crate::clock::Clock>,
    live: Arc<Live>,
    record: Option<CrawlRun>,
}

impl Ending {
    fn end(&mut self, state: RunState, message: Option<String>) {
        let Some(mut record) = self.record.take() else { return };
        record.state = state;
        record.finished_at_ms = Some(self.clock.now().timestamp_millis());
        record.counts = self.live.counts();
        record.message = message.map(|message| cut(&message));
        tracing::info!(
            crawler = %record.crawler, crawl_id = %record.id, query_id = %record.query_id, state = state.name(),
            message = record.message.as_deref(), "crawl ended"
        );
        if let Err(error) = self.catalog.end_crawl_run(&record) {
            tracing::warn!(%error, crawl_id = %record.id, "the end of a crawl could not be noted");
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(RunState::Cancelled, Some("canceled before it ended".to_owned()));
    }
}

/// Looks at all targets.
async fn crawl(context: &CommandContext<'_>, crawler: &Crawler, live: &Live) -> Result<Findings> {
    let exclude = Exclude::new(&crawler.exclude)?;
    let snapshot = context.catalog.snapshot();
    let classifiers = classifiers(&snapshot, crawler)?;
    let own = own_tables(&snapshot, &crawler.name);
    let known = match crawler.recrawl {
        Recrawl::All => None,
        Recrawl::New => {
            let mut known = Known::default();
            for (location, table) in &own {
                if table.partition_keys.is_empty() {
                    known.tables.insert(location.clone());
                    continue;
                }
                known.partitioned.insert(location.clone());
                let list = context.catalog.partitions(&snapshot, table)?;
                known.partitions.extend((0..list.len()).map(|row| partition_url(table, location, &list, row)));
            }
            Some(known)
        }
    };
    let mut findings = Findings::default();
    for target in &crawler.targets {
        let location = context.stores.resolve(target)?;
        let store: Arc<dyn ObjectStore> = Arc::new(MeteredStore::new(
            Arc::clone(&location.store),
            Arc::clone(&live.store),
            Arc::clone(&context.query.stats),
        ));
        let folder = format!("{}{}", display_prefix(&location.url), location.path);
        let memory = Arc::new(CatalogMemory::load(context.catalog, &folder)?);
        let options = CrawlOptions {
            owner: crawler.owner.clone(),
            exclude: exclude.clone(),
            memory: Arc::clone(&memory) as Arc<dyn crate::crawl::FileMemory>,
            classifiers: classifiers.clone(),
            known: known.clone(),
            joins_at_root: true,
            snapshot: Some(Arc::clone(&snapshot)),
        };
        let crawled = crawl_at(&store, &location.path, &location.url, &options).await?;
        if crawled.files.is_empty() && own.keys().any(|own| covers(&location.url, own)) {
            // A mount that is away or a bucket that was emptied by mistake must not take all tables with it.
            return Err(nothing_there(&location.url)
                .with_hint("Nothing was changed. Drop the tables if the files are meant to be gone."));
        }
        if crawled.files.is_empty() {
            findings.empty_targets.push(location.url.clone());
        }
        let present: HashSet<&str> =
            crawled.files.iter().map(|file| file.strip_prefix("file://").unwrap_or(file)).collect();
        memory.finish(&folder, &present)?;
        live.files_listed.fetch_add(crawled.files.len() as u64, Ordering::Relaxed);
        live.files_read.fetch_add(crawled.files_read, Ordering::Relaxed);
        tracing::info!(
            crawler = %crawler.name, target = %location.url, files_listed = crawled.files.len(),
            files_read = crawled.files_read, tables = crawled.tables.len(), "crawl of a target ended"
        );
        if findings.files.len() + crawled.files.len() > FILES_MAX {
            let message = format!("the targets of crawler \"{}\" have more than {FILES_MAX} files", crawler.name);
            return Err(Error::new(ErrorCode::ProgramLimitExceeded, message)
                .with_hint("Make several crawlers of it, each with some of the targets."));
        }
        findings.tables.extend(crawled.tables);
        findings.skipped.extend(crawled.skipped);
        findings.files.extend(crawled.files);
        findings.targets.push(location.url);
    }
    findings.files.sort_unstable();
    let location = |found: &crate::crawl::FoundTable| match &found.definition.kind {
        TableKind::External(storage) => storage.location.clone(),
        TableKind::View { .. } | TableKind::Dataset(_) => String::new(),
    };
    // The same names for the same files, in whichever order the targets are written.
    findings.tables.sort_by_cached_key(location);
    Ok(findings)
}

/// Decides and commits, again while others change the same tables.
fn commit(context: &CommandContext<'_>, crawler: &Crawler, findings: &Findings, ending: &mut Ending) -> Result<Plan> {
    let Some(begun) = ending.record.clone() else { return Err(Error::internal("a crawl ended before its commit")) };
    let mut attempt = 1;
    loop {
        let snapshot = context.catalog.snapshot();
        let now = context.clock.now();
        let mut plan = plan(context.catalog, &snapshot, crawler, findings, &now.to_rfc3339())?;
        let seen = ending.live.counts();
        plan.counts.files_listed = seen.files_listed;
        plan.counts.files_read = seen.files_read;
        plan.counts.bytes_read = seen.bytes_read;
        plan.counts.requests = seen.requests;
        let ended = CrawlRun {
            state: RunState::Succeeded,
            finished_at_ms: Some(now.timestamp_millis()),
            counts: plan.counts,
            changes: std::mem::take(&mut plan.told),
            changes_cut: plan.told_cut,
            ..begun.clone()
        };
        let mut changes = std::mem::take(&mut plan.changes);
        changes.push(Change::EndCrawlRun { run: Box::new(ended.clone()) });
        match context.catalog.commit(changes) {
            Ok(_) => {
                ending.record = None;
                let counts = &ended.counts;
                tracing::info!(
                    crawler = %ended.crawler, crawl_id = %ended.id, query_id = %ended.query_id,
                    state = ended.state.name(), files_listed = counts.files_listed, files_read = counts.files_read,
                    created = counts.tables_created, updated = counts.tables_updated, dropped = counts.tables_dropped,
                    partitions_added = counts.partitions_added, refused = counts.refused, "crawl ended"
                );
                return Ok(plan);
            }
            Err(
                error @ (limnos_catalog::Error::Conflict { .. }
                | limnos_catalog::Error::AlreadyExists { .. }
                | limnos_catalog::Error::NotFound { .. }),
            ) => {
                if attempt == ATTEMPTS_MAX {
                    return Err(error.into());
                }
                attempt += 1;
                tracing::debug!(crawler = %crawler.name, %error, attempt, "crawl decides anew");
            }
            Err(error) => return Err(error.into()),
        }
    }
}
