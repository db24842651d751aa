//! Changes to objects that are no tables, into the next snapshot and the open transaction alike.

use std::sync::Arc;

use crate::crawl_run::{CRAWL_RUNS, Run};
use crate::crawler::CRAWLER_PARAMETER;
use crate::draft::Draft;
use crate::name::validate_name;
use crate::object::{Definition, Object};
use crate::report_run::REPORT_RUNS;
use crate::store::{run, schedule_run};
use crate::{
    CrawlerDefinition, CreateMode, Error, ReportDefinition, Result, ScheduleDefinition, Table, TableDefinition,
};

/// The most objects of one kind: each snapshot holds all of them.
const OBJECT_COUNT_MAX: usize = 10_000;

impl Draft<'_> {
    pub(crate) fn create_object<D: Definition>(&mut self, name: &str, definition: D, mode: CreateMode) -> Result<()> {
        let name = name.to_lowercase();
        let existing = D::objects(&self.snapshot).get(&name).cloned();
        match (existing, mode) {
            (Some(_), CreateMode::Create) => Err(Error::AlreadyExists { kind: D::KIND, name }),
            (Some(_), CreateMode::IfNotExists) => Ok(()),
            (Some(existing), CreateMode::OrReplace) => {
                self.put_object(Object { version: existing.version + 1, definition, ..(*existing).clone() })
            }
            (None, _) => {
                validate_name(D::KIND, &name)?;
                if D::objects(&self.snapshot).len() >= OBJECT_COUNT_MAX {
                    let message = format!("there are {OBJECT_COUNT_MAX} {}s, which is the most there may be", D::KIND);
                    return Err(Error::Invalid { message, hint: Some("Drop some first.".to_owned()) });
                }
                let (id, now_ms) = (self.take_id(), self.now_ms);
                let (created_at_ms, updated_at_ms) = (now_ms, now_ms);
                self.put_object(Object { id, name, version: 1, created_at_ms, updated_at_ms, definition })
            }
        }
    }

    pub(crate) fn alter_object<D: Definition>(
        &mut self,
        name: &str,
        definition: D,
        base_version: Option<i64>,
    ) -> Result<()> {
        let existing = Arc::clone(self.snapshot.object::<D>(name)?);
        if base_version.is_some_and(|base_version| base_version != existing.version) {
            return Err(Error::Conflict { kind: D::KIND, name: existing.name.clone() });
        }
        self.put_object(Object { version: existing.version + 1, definition, ..(*existing).clone() })
    }

    /// Drops an object; true if it was there.
    pub(crate) fn drop_object<D: Definition>(&mut self, name: &str, if_exists: bool) -> Result<bool> {
        let (id, name) = match self.snapshot.object::<D>(name) {
            Ok(object) => (object.id, object.name.clone()),
            Err(_) if if_exists => return Ok(false),
            Err(error) => return Err(error),
        };
        self.transaction.delete_object(id)?;
        D::objects_mut(&mut self.snapshot).remove(&name);
        self.is_changed = true;
        Ok(true)
    }

    pub(crate) fn drop_crawler(&mut self, name: &str, if_exists: bool) -> Result<()> {
        if self.drop_object::<CrawlerDefinition>(name, if_exists)? {
            run::delete(self.transaction.connection(), CRAWL_RUNS, &name.to_lowercase())?;
        }
        Ok(())
    }

    pub(crate) fn drop_classifier(&mut self, name: &str, if_exists: bool) -> Result<()> {
        let lower = name.to_lowercase();
        let user = self.snapshot.crawlers.values().find(|crawler| crawler.classifiers.contains(&lower));
        if let Some(crawler) = user {
            return Err(Error::InUse { kind: "classifier", name: lower, by: format!("crawler \"{}\"", crawler.name) });
        }
        self.drop_object::<crate::ClassifierDefinition>(name, if_exists).map(|_| ())
    }

    /// Gives a crawler another name. Its tables and its history go with it.
    pub(crate) fn rename_crawler(&mut self, from: &str, to: &str) -> Result<()> {
        let crawler = Arc::clone(self.snapshot.object::<CrawlerDefinition>(from)?);
        let to = to.to_lowercase();
        validate_name(CrawlerDefinition::KIND, &to)?;
        if self.snapshot.crawlers.contains_key(&to) {
            return Err(Error::AlreadyExists { kind: CrawlerDefinition::KIND, name: to });
        }
        let is_its = |table: &&Arc<Table>| table.parameters.get(CRAWLER_PARAMETER) == Some(&crawler.name);
        let tables: Vec<Arc<Table>> = self.snapshot.tables.values().filter(is_its).cloned().collect();
        for table in tables {
            let mut definition: TableDefinition = (*table.definition).clone();
            definition.parameters.insert(CRAWLER_PARAMETER.to_owned(), to.clone());
            self.alter_table(&table.name, definition, None)?;
        }
        run::rename(self.transaction.connection(), CRAWL_RUNS, &crawler.name, &to)?;
        self.snapshot.crawlers.remove(&crawler.name);
        self.put_object(Object { name: to, ..(*crawler).clone() })
    }

    pub(crate) fn drop_report(&mut self, name: &str, if_exists: bool) -> Result<()> {
        if self.drop_object::<ReportDefinition>(name, if_exists)? {
            run::delete(self.transaction.connection(), REPORT_RUNS, &name.to_lowercase())?;
        }
        Ok(())
    }

    pub(crate) fn rename_schedule(&mut self, from: &str, to: &str) -> Result<()> {
        let schedule = Arc::clone(self.snapshot.object::<ScheduleDefinition>(from)?);
        let to = to.to_lowercase();
        validate_name(ScheduleDefinition::KIND, &to)?;
        if self.snapshot.schedules.contains_key(&to) {
            return Err(Error::AlreadyExists { kind: ScheduleDefinition::KIND, name: to });
        }
        self.snapshot.schedules.remove(&schedule.name);
        self.put_object(Object { name: to, version: schedule.version + 1, ..(*schedule).clone() })
    }

    pub(crate) fn drop_schedule(&mut self, name: &str, if_exists: bool) -> Result<()> {
        let id = self.snapshot.schedule(name).map(|schedule| schedule.id);
        if self.drop_object::<ScheduleDefinition>(name, if_exists)?
            && let Ok(id) = id
        {
            schedule_run::delete(self.transaction.connection(), id)?;
        }
        Ok(())
    }

    /// Gives a report another name. Its history goes with it.
    pub(crate) fn rename_report(&mut self, from: &str, to: &str) -> Result<()> {
        let report = Arc::clone(self.snapshot.object::<ReportDefinition>(from)?);
        let to = to.to_lowercase();
        validate_name(ReportDefinition::KIND, &to)?;
        if self.snapshot.reports.contains_key(&to) {
            return Err(Error::AlreadyExists { kind: ReportDefinition::KIND, name: to });
        }
        run::rename(self.transaction.connection(), REPORT_RUNS, &report.name, &to)?;
        self.snapshot.reports.remove(&report.name);
        self.put_object(Object { name: to, ..(*report).clone() })
    }

    pub(crate) fn replace_run(&mut self, kind: &str, run: &Run) -> Result<()> {
        run::replace(self.transaction.connection(), kind, run)?;
        self.is_changed = true;
        Ok(())
    }

    pub(crate) fn put_object<D: Definition>(&mut self, object: Object<D>) -> Result<()> {
        object.definition.validate()?;
        let object = Object { updated_at_ms: self.now_ms, ..object };
        self.transaction.put_object(&object)?;
        D::objects_mut(&mut self.snapshot).insert(object.name.clone(), Arc::new(object));
        self.is_changed = true;
        Ok(())
    }
}
