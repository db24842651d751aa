//! What a run changes: (the catalog as it is, what was found) -> changes, and what is told of them.
//!
//! Nothing here asks the object store, so that after a conflict with another statement it is done again at no cost.
//! A crawler knows its tables by the parameter [`CRAWLER_PARAMETER`] and by their location: a renamed one stays its own, and
//! one that somebody made anew by hand is nobody's but theirs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use limnos_catalog::crawler::{CRAWLER_PARAMETER, DEPRECATED_PARAMETER, OnDelete, OnSchemaChange, Recrawl};
use limnos_catalog::name::validate_table_name;
use limnos_catalog::{
    Catalog, Change, CrawlChange, CrawlCounts, Crawler, CreateMode, Partition, PartitionList, Snapshot, Table,
    TableKind, TableName,
};

use super::merge::merge;
use crate::Result;
use crate::command::answer::CrawledTable;
use crate::command::partition::{check_value, folder_url, standard_path};
use crate::crawl::name::unique;
use crate::crawl::{FoundTable, Skipped};

/// The most things told of one run, and the most bytes of each text.
const CHANGES_MAX: usize = 500;
const TEXT_BYTES_MAX: usize = 500;

/// What the targets of a crawler hold.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) tables: Vec<FoundTable>,
    pub(super) skipped: Vec<Skipped>,
    /// The URLs of all files, sorted.
    pub(super) files: Vec<String>,
    /// The targets' URLs.
    pub(super) targets: Vec<String>,
    /// Those without any file.
    pub(super) empty_targets: Vec<String>,
}

/// What is to be done and told.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// Of tables and partitions only.
    pub(super) counts: CrawlCounts,
    pub(super) told: Vec<CrawlChange>,
    pub(super) told_cut: u64,
    pub(super) rows: Vec<CrawledTable>,
}

impl Findings {
    /// Whether a file is at or below `location`.
    fn has_files(&self, location: &str) -> bool {
        let first = self.files.partition_point(|file| file.as_str() < location);
        self.files.get(first).is_some_and(|file| match location.ends_with('/') {
            true => file.starts_with(location),
            false => file == location,
        }) || !location.ends_with('/') && self.has_files(&format!("{location}/"))
    }

    fn covers(&self, location: &str) -> bool {
        self.targets.iter().any(|target| covers(target, location))
    }
}

/// Whether `location` is the target or lies in it.
pub(super) fn covers(target: &str, location: &str) -> bool {
    let folder = target.trim_end_matches('/');
    location == target || location.strip_prefix(folder).is_some_and(|below| below.starts_with('/'))
}

/// The tables of `crawler`, by location.
pub(super) fn own_tables(snapshot: &Snapshot, crawler: &str) -> BTreeMap<String, Arc<Table>> {
    let is_own = |table: &&Arc<Table>| table.parameters.get(CRAWLER_PARAMETER).is_some_and(|name| name == crawler);
    let mut tables = BTreeMap::new();
    for table in snapshot.tables.values().filter(is_own) {
        if let TableKind::External(storage) = &table.kind {
            tables.insert(storage.location.clone(), Arc::clone(table));
        }
    }
    tables
}

/// The URL of partition `row`.
pub(super) fn partition_url(table: &Table, location: &str, list: &PartitionList, row: usize) -> String {
    match &list.locations[row] {
        Some(url) => url.to_string(),
        None => folder_url(location, &standard_path(table, &values(list, row))),
    }
}

fn values(list: &PartitionList, row: usize) -> Vec<Option<String>> {
    list.values.iter().map(|key| key[row].as_deref().map(str::to_owned)).collect()
}

/// What `crawler` does about `findings`, now that the catalog is `snapshot`.
pub(super) fn plan(
    catalog: &Catalog,
    snapshot: &Snapshot,
    crawler: &Crawler,
    findings: &Findings,
    now: &str,
) -> Result<Plan> {
    let mut planner = Planner {
        catalog,
        snapshot,
        crawler,
        findings,
        own: own_tables(snapshot, &crawler.name),
        plan: Plan::default(),
        taken: HashSet::new(),
    };
    if !findings.tables.is_empty() && snapshot.find_database(&crawler.database).is_none() {
        planner.plan.changes.push(Change::CreateDatabase {
            name: crawler.database.clone(),
            comment: None,
            location: None,
            parameters: BTreeMap::new(),
            mode: CreateMode::IfNotExists,
        });
    }
    planner.vanished(now);
    let mut seen = HashSet::new();
    for found in &findings.tables {
        let TableKind::External(storage) = &found.definition.kind else { continue };
        // Targets may lie inside each other.
        if seen.insert(storage.location.as_str()) {
            match planner.own.get(&storage.location).cloned() {
                Some(table) => planner.known(&table, &storage.location, found)?,
                None => planner.new_table(found),
            }
        }
    }
    for target in &findings.empty_targets {
        planner.plan.tell(target, "NOTE", Some("it has no files".to_owned()));
    }
    for skipped in &findings.skipped {
        planner.plan.counts.refused += 1;
        planner.plan.tell(&skipped.location, "SKIPPED", Some(skipped.reason.clone()));
    }
    let mut plan = planner.plan;
    plan.rows.sort_by(|left, right| left.table_name.cmp(&right.table_name));
    Ok(plan)
}

struct Planner<'a> {
    catalog: &'a Catalog,
    snapshot: &'a Snapshot,
    crawler: &'a Crawler,
    findings: &'a Findings,
    own: BTreeMap<String, Arc<Table>>,
    plan: Plan,
    /// Names of the crawler's own tables in its database, present and to come.
    taken: HashSet<String>,
}

impl Planner<'_> {
    /// Tables whose files are gone.
    fn vanished(&mut self, now: &str) {
        let own: Vec<(String, Arc<Table>)> =
            self.own.iter().map(|(location, table)| (location.clone(), Arc::clone(table))).collect();
        for (location, table) in own {
            let is_gone = self.crawler.recrawl == Recrawl::All
                && self.findings.covers(&location)
                && !self.findings.has_files(&location);
            match self.crawler.on_delete {
                OnDelete::Drop if is_gone => {
                    self.own.remove(&location);
                    // Dropping alone would not notice that somebody has just changed it.
                    self.plan.changes.push(alter(&table, (*table.definition).clone()));
                    let (name, if_exists) = (table.name.clone(), false);
                    self.plan.changes.push(Change::DropTable { name, view: false, if_exists });
                    self.plan.counts.tables_dropped += 1;
                    self.plan.counts.partitions_dropped += table.partition_count;
                    self.plan.tell_table(&table.name, "DROPPED", [0; 4], vec!["its files are gone".to_owned()], &[]);
                    continue;
                }
                OnDelete::Deprecate if is_gone && !table.parameters.contains_key(DEPRECATED_PARAMETER) => {
                    let mut definition = (*table.definition).clone();
                    definition.parameters.insert(DEPRECATED_PARAMETER.to_owned(), now.to_owned());
                    self.plan.changes.push(alter(&table, definition));
                    self.plan.counts.tables_deprecated += 1;
                    let reasons = vec!["its files are gone".to_owned()];
                    self.plan.tell_table(&table.name, "DEPRECATED", [0; 4], reasons, &[]);
                }
                _ if is_gone => self.plan.counts.tables_unchanged += 1,
                _ => {}
            }
            if table.name.database == self.crawler.database {
                self.taken.insert(table.name.name.clone());
            }
        }
    }

    /// A table that the crawler has not made yet.
    fn new_table(&mut self, found: &FoundTable) {
        let mut wanted = format!("{}{}", self.crawler.table_prefix, found.name);
        if !self.taken.contains(&wanted) {
            self.taken.insert(wanted.clone());
        } else {
            wanted = unique(wanted, &mut self.taken);
        }
        let name = TableName::new(&self.crawler.database, &wanted);
        let mut definition = found.definition.clone();
        definition.parameters.insert(CRAWLER_PARAMETER.to_owned(), self.crawler.name.clone());
        // The crawler's own of the name were taken into account.
        let is_dropped =
            |change: &Change| matches!(change, Change::DropTable { name: dropped, .. } if *dropped == name);
        if let Some(existing) = self.snapshot.find_table(&name).filter(|_| !self.plan.changes.iter().any(is_dropped)) {
            let other = existing.parameters.get(CRAWLER_PARAMETER);
            let reason = match other {
                Some(other) => format!("a {} of that name was made by crawler \"{other}\"", existing.kind.noun()),
                None => format!("a {} of that name was not made by this crawler", existing.kind.noun()),
            };
            return self.plan.refuse(&name, reason);
        }
        if let Err(error) = validate_table_name(&name.name).and_then(|()| definition.validate()) {
            return self.plan.refuse(&name, error.to_string());
        }
        let counts = counts(found);
        self.plan.counts.tables_created += 1;
        self.plan.counts.partitions_added += found.partitions.len() as u64;
        self.plan.changes.push(Change::CreateTable { name: name.clone(), definition, mode: CreateMode::Create });
        if !found.partitions.is_empty() {
            let partitions = found.partitions.clone();
            self.plan.changes.push(Change::AddPartitions { table: name.clone(), partitions, if_not_exists: true });
        }
        self.plan.tell_table(&name, "CREATED", counts, Vec::new(), &found.remarks);
    }

    /// A table that the crawler has made.
    fn known(&mut self, table: &Arc<Table>, location: &str, found: &FoundTable) -> Result<()> {
        let policy = match self.crawler.recrawl {
            Recrawl::All => self.crawler.on_schema_change,
            Recrawl::New => OnSchemaChange::Ignore,
        };
        let merged = match merge(table, &found.definition, policy) {
            Ok(merged) => merged,
            Err(reason) => {
                self.plan.refuse(&table.name, reason);
                return Ok(());
            }
        };
        if let Err(error) = merged.definition.validate() {
            self.plan.refuse(&table.name, error.to_string());
            return Ok(());
        }
        let mut reasons = merged.reasons;
        let names = |keys: &[limnos_catalog::Column]| keys.iter().map(|key| key.name.clone()).collect::<Vec<_>>();
        let has_same_keys = names(&table.partition_keys) == names(&merged.definition.partition_keys);
        let has_found_keys = names(&found.definition.partition_keys) == names(&merged.definition.partition_keys);
        let is_changed = merged.definition != *table.definition;
        let (mut added, mut dropped) = (Vec::new(), Vec::new());
        if !has_found_keys {
            // The policy keeps the table's keys, and what was found has others: no partition fits.
            reasons.push("folders name other partition keys: its partitions are left as they are".to_owned());
            self.plan.counts.refused += 1;
        } else if !merged.definition.partition_keys.is_empty() {
            let list = self.catalog.partitions(self.snapshot, table)?;
            let known: HashMap<Vec<Option<String>>, usize> = match has_same_keys {
                true => (0..list.len()).map(|row| (values(&list, row), row)).collect(),
                false => HashMap::new(),
            };
            let wanted: HashSet<&[Option<String>]> =
                found.partitions.iter().map(|partition| partition.values.as_slice()).collect();
            for partition in &found.partitions {
                if let Some(row) = known.get(&partition.values) {
                    // One that was moved (another spelling of its folder) is found where it is now.
                    let old = partition_url(table, location, &list, *row);
                    let standard = || folder_url(location, &standard_path(table, &partition.values));
                    if partition.location.clone().unwrap_or_else(standard) == old || self.findings.has_files(&old) {
                        continue;
                    }
                    dropped.push(partition.values.clone());
                }
                match check_partition(&merged.definition.partition_keys, partition) {
                    Ok(()) => added.push(partition.clone()),
                    Err(error) => {
                        self.plan.counts.refused += 1;
                        reasons.push(error.to_string());
                    }
                }
            }
            let may_drop = self.crawler.on_delete == OnDelete::Drop && self.crawler.recrawl == Recrawl::All;
            if may_drop && has_same_keys {
                for row in 0..list.len() {
                    let row_values = values(&list, row);
                    let url = partition_url(table, location, &list, row);
                    // A partition elsewhere was added by hand.
                    let is_inside = url.starts_with(location);
                    if is_inside && !wanted.contains(row_values.as_slice()) && !self.findings.has_files(&url) {
                        dropped.push(row_values);
                    }
                }
            }
        }
        if is_changed {
            self.plan.changes.push(alter(table, merged.definition));
        }
        for (count, what) in [(added.len(), "added"), (dropped.len(), "dropped")] {
            if count > 0 {
                reasons.push(format!("{count} partitions {what}"));
            }
        }
        let counts = [counts(found)[0], counts(found)[1], added.len() as u64, dropped.len() as u64];
        self.plan.counts.partitions_added += added.len() as u64;
        self.plan.counts.partitions_dropped += dropped.len() as u64;
        let is_unchanged = !is_changed && added.is_empty() && dropped.is_empty();
        if !dropped.is_empty() {
            let change = Change::DropPartitions { table: table.name.clone(), values: dropped, if_exists: true };
            self.plan.changes.push(change);
        }
        if !added.is_empty() {
            let change = Change::AddPartitions { table: table.name.clone(), partitions: added, if_not_exists: true };
            self.plan.changes.push(change);
        }
        if is_unchanged {
            self.plan.counts.tables_unchanged += 1;
        } else {
            self.plan.counts.tables_updated += 1;
        }
        let action = if is_unchanged { "UNCHANGED" } else { "UPDATED" };
        self.plan.tell_table(&table.name, action, counts, reasons, &found.remarks);
        Ok(())
    }
}

impl Plan {
    fn refuse(&mut self, name: &TableName, reason: String) {
        self.counts.refused += 1;
        self.tell_table(name, "REFUSED", [0; 4], vec![reason], &[]);
    }

    /// `counts`: files, bytes, partitions added, partitions dropped.
    fn tell_table(
        &mut self,
        name: &TableName,
        action: &'static str,
        counts: [u64; 4],
        reasons: Vec<String>,
        remarks: &[String],
    ) {
        let all: Vec<&str> = reasons.iter().chain(remarks).map(String::as_str).collect();
        let text = all.join("; ");
        self.rows.push(CrawledTable { table_name: name.name.clone(), action, counts, remarks: text.clone() });
        if action != "UNCHANGED" || !reasons.is_empty() {
            self.tell(&name.to_string(), action, Some(text).filter(|text| !text.is_empty()));
        }
    }

    pub(super) fn tell(&mut self, object: &str, action: &str, reason: Option<String>) {
        if self.told.len() >= CHANGES_MAX {
            self.told_cut += 1;
            return;
        }
        let (object, reason) = (cut(object), reason.map(|reason| cut(&reason)));
        self.told.push(CrawlChange { object, action: action.to_owned(), reason });
    }
}

/// The text, as far as it may be kept.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

fn counts(found: &FoundTable) -> [u64; 4] {
    [found.file_count, found.bytes, found.partitions.len() as u64, 0]
}

fn check_partition(keys: &[limnos_catalog::Column], partition: &Partition) -> Result<()> {
    let pairs = keys.iter().zip(&partition.values);
    pairs.filter_map(|(key, value)| Some((key, value.as_deref()?))).try_for_each(|(key, value)| check_value(key, value))
}

fn alter(table: &Table, definition: limnos_catalog::TableDefinition) -> Change {
    Change::AlterTable { name: table.name.clone(), definition, base_version: Some(table.version) }
}
