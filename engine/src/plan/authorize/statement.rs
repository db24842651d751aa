//! What each statement needs, decided before it runs. The match has no arm for the rest: a new statement doesn't compile
//! until somebody has said who may use it.

use limnos_catalog::{CreateMode, Privilege, Table};

use super::{Rights, must_own};
use crate::command::{resolve_database_name, resolve_table_name};
use crate::parse::dataset::{DatasetAction, DatasetStatement};
use crate::parse::report::ReportStatement;
use crate::parse::schedule::{ScheduleClauses, ScheduleStatement, WhenClause};
use crate::parse::statement::{AlterDatabase, CommentTarget, PartitionAction, TableAction};
use crate::parse::{ObjectName, Statement};
use crate::{Error, ErrorCode, Result, Session};

/// Refuses `statement` unless the session's role may use it.
///
/// # Errors
/// 42501; and 42P01 and the like for names that aren't there, which tell nothing of what may not be known.
pub(crate) fn check(rights: &Rights, session: &Session, statement: &Statement) -> Result<()> {
    if rights.is_superuser() {
        return Ok(());
    }
    let asker = Asker { rights, session };
    match statement {
        // Of the session alone.
        Statement::Empty
        | Statement::Use { .. }
        | Statement::Set { .. }
        | Statement::SetTransaction { .. }
        | Statement::Reset { .. }
        | Statement::Show { .. }
        | Statement::Begin(_)
        | Statement::Commit
        | Statement::Rollback
        | Statement::Savepoint { .. }
        | Statement::Release { .. }
        | Statement::RollbackTo { .. }
        | Statement::Discard { .. }
        | Statement::NoOp { .. }
        // What they prepare is checked when it runs.
        | Statement::Prepare { .. }
        | Statement::Execute { .. }
        | Statement::Deallocate { .. }
        | Statement::Declare(_)
        | Statement::Fetch(_)
        | Statement::CloseCursor { .. }
        // Databases are names; what is in them is another matter.
        | Statement::ShowDatabases { .. }
        // They list only what may be seen: their snapshot holds no more.
        | Statement::ShowCrawlers { .. }
        | Statement::ShowClassifiers { .. }
        | Statement::ShowCreateClassifier { .. } => Ok(()),
        // The door asks whose query it is; roles and rights ask for themselves.
        Statement::Kill { .. } | Statement::Role(_) => Ok(()),
        // Each table is asked for when it is looked up.
        Statement::Query(_) | Statement::CopyOut(_) => Ok(()),
        Statement::Explain(explain) => explain.write.as_ref().map_or(Ok(()), |write| check(rights, session, write)),
        Statement::CreateDatabase { name, location, mode, .. } => {
            if *mode == CreateMode::OrReplace
                && let Some(database) = rights.snapshot().find_database(&asker.database_name(name))
            {
                rights.check_owns_database(database)?;
            }
            rights.check_creates_databases()?;
            asker.location(location.as_deref())
        }
        Statement::DropDatabase { name, .. } => asker.owned_database(name),
        Statement::AlterDatabase { name, action } => {
            asker.owned_database(name)?;
            match action {
                AlterDatabase::SetParameters(_) => Ok(()),
                AlterDatabase::SetLocation(_) => rights.check_places_files(),
                AlterDatabase::RenameTo(_) => rights.check_creates_databases(),
            }
        }
        Statement::CreateTable(create) => {
            asker.creates(&create.name, create.mode)?;
            asker.parameters(create.parameters.keys())?;
            asker.location(create.location.as_deref())
        }
        Statement::CreateTableAs(create) => {
            asker.creates(&create.table.name, create.table.mode)?;
            asker.parameters(create.table.parameters.keys().chain(create.properties.iter().map(|(name, _)| name)))?;
            let property = create.properties.iter().find(|(name, _)| name.ends_with("location"));
            let property = property.and_then(|(_, value)| value.values.first());
            asker.location(create.table.location.as_deref().or(property.map(String::as_str)))
        }
        Statement::CreateView(create) => asker.creates(&create.name, create.mode),
        Statement::Dataset(dataset) => match dataset.as_ref() {
            DatasetStatement::Create(create) => asker.creates(&create.name, create.mode),
            DatasetStatement::Refresh { name, .. } => asker.owned(name, false),
            DatasetStatement::Alter { name, if_exists, action, .. } => {
                asker.owned(name, *if_exists)?;
                match action {
                    DatasetAction::RenameTo(to) => {
                        let to = resolve_table_name(session, to);
                        rights.check_database(&to.database, Privilege::Create)
                    }
                    DatasetAction::OwnerTo(owner) => asker.action(name, &TableAction::OwnerTo(owner.clone())),
                    DatasetAction::Set(_) | DatasetAction::Reset(_) => Ok(()),
                }
            }
            DatasetStatement::Drop { names, if_exists, .. } => {
                names.iter().try_for_each(|name| asker.droppable(name, *if_exists))
            }
            // It lists only what may be seen: its snapshot holds no more.
            DatasetStatement::Show { .. } => Ok(()),
            DatasetStatement::ShowCreate { name } => asker.seen(name),
        },
        Statement::Insert(insert) => {
            let table = asker.table(&insert.table)?;
            rights.check_table(&table, Privilege::Insert)?;
            if insert.overwrite {
                rights.check_table(&table, Privilege::Delete)?;
            }
            Ok(())
        }
        Statement::CopyIn(copy) => rights.check_table(&*asker.table(&copy.table)?, Privilege::Insert),
        Statement::Delete(rows) => rights.check_table(&*asker.table(&rows.table)?, Privilege::Delete),
        Statement::Truncate(rows) => rights.check_table(&*asker.table(&rows.table)?, Privilege::Truncate),
        Statement::Optimize(rows) => rights.check_owns(&*asker.table(&rows.table)?),
        Statement::Unload(_) => rights.check_writes_files("UNLOAD to files"),
        Statement::Copy(_) => rights.check_writes_files("COPY to a file").map_err(|error| {
            let hint = "Anyone can COPY to stdout or from stdin. psql's \\copy command also works for anyone.";
            error.with_hint(hint)
        }),
        Statement::Drop { names, if_exists, .. } => names.iter().try_for_each(|name| asker.droppable(name, *if_exists)),
        Statement::RenameTable { name, to, if_exists, .. } => {
            asker.owned(name, *if_exists)?;
            let to = resolve_table_name(session, to);
            rights.check_database(&to.database, Privilege::Create)
        }
        Statement::AlterTable { name, if_exists, actions, .. } => {
            asker.owned(name, *if_exists)?;
            actions.iter().try_for_each(|action| asker.action(name, action))
        }
        Statement::AlterView { name, .. } => asker.owned(name, false),
        Statement::AlterPartition { table, action, .. } => {
            asker.owned(table, false)?;
            match action {
                PartitionAction::SetLocation(_) => rights.check_places_files(),
                PartitionAction::RenameTo(_) => Ok(()),
                PartitionAction::Storage(action) => asker.action(table, action),
            }
        }
        Statement::AddPartitions { table, partitions, .. } => {
            asker.owned(table, false)?;
            let location = partitions.iter().find_map(|partition| partition.location.as_deref());
            asker.location(location)
        }
        Statement::DropPartitions { table, .. } | Statement::RepairTable { table, .. } => asker.owned(table, false),
        Statement::Analyze(analyze) => asker.owned(&analyze.table, false),
        Statement::Comment { target, .. } => match target {
            CommentTarget::Database(name) => asker.owned_database(name),
            CommentTarget::Table { name, .. } | CommentTarget::Column { table: name, .. } => asker.owned(name, false),
        },
        // What a table is may be known by whoever may do anything with it; what is in it, by who may read it.
        Statement::ShowVersions { table }
        | Statement::ShowColumns { table }
        | Statement::ShowCreate { table }
        | Statement::ShowTableProperties { table, .. }
        | Statement::Describe { table, partition: None, .. } => asker.seen(table),
        Statement::ShowPartitions { table, .. }
        | Statement::ShowStats { table }
        | Statement::ShowDrift { table }
        | Statement::Describe { table, partition: Some(_), .. } => {
            rights.check_table(&*asker.table(table)?, Privilege::Select)
        }
        Statement::ShowTables { database, .. } => {
            let name = database.as_ref().map_or_else(|| session.database.clone(), |name| asker.database_name(name));
            rights.check_database(&name, Privilege::Usage)
        }
        Statement::Crawl { database, .. } => asker.crawls(database.as_deref()),
        Statement::CreateCrawler { name, clauses, .. } => {
            if rights.snapshot().crawlers.contains_key(&name.to_lowercase()) {
                asker.owned_crawler(name)?;
            }
            asker.crawls(clauses.database.as_deref())
        }
        Statement::AlterCrawler { name, clauses } => {
            asker.owned_crawler(name)?;
            asker.crawls(clauses.database.as_deref())
        }
        Statement::RunCrawler { name } => {
            asker.owned_crawler(name)?;
            let database = rights.snapshot().crawler(name)?.database.clone();
            asker.crawls(Some(&database))
        }
        Statement::RenameCrawler { name, .. }
        | Statement::PauseCrawler { name, .. }
        | Statement::DropCrawler { name, .. }
        | Statement::ShowCreateCrawler { name } => asker.owned_crawler(name),
        Statement::Report(report) => match report.as_ref() {
            ReportStatement::Create { name, .. } => {
                if rights.snapshot().reports.contains_key(&name.to_lowercase()) {
                    asker.owned_report(name)?;
                }
                rights.check_writes_files("write files by a report")
            }
            ReportStatement::Alter { name, .. } => {
                asker.owned_report(name)?;
                rights.check_writes_files("write files by a report")
            }
            ReportStatement::Drop { name, if_exists: true } if !rights.snapshot().reports.contains_key(&name.to_lowercase()) => Ok(()),
            ReportStatement::Rename { name, .. }
            | ReportStatement::Drop { name, .. }
            | ReportStatement::Run { name, .. }
            | ReportStatement::ShowCreate { name } => asker.owned_report(name),
            // It lists only what may be seen.
            ReportStatement::Show { .. } => Ok(()),
        },
        Statement::CreateClassifier { .. } | Statement::DropClassifier { .. } => rights.check_lake(Privilege::Create),
        Statement::ShowBookmarks => match rights.reads_statistics() {
            true => Ok(()),
            false => Err(Error::new(ErrorCode::InsufficientPrivilege, "permission denied to show bookmarks")),
        },
        Statement::ResetBookmark { .. } => rights.check_superuser("reset bookmarks"),
        Statement::Schedule(statement) => asker.schedule(statement),
        Statement::DropCache { .. } => rights.check_superuser("drop caches"),
    }
}

/// Who asks, and how names are looked up.
struct Asker<'a> {
    rights: &'a Rights,
    session: &'a Session,
}

impl Asker<'_> {
    fn database_name(&self, name: &str) -> String {
        resolve_database_name(self.session, name)
    }

    fn table(&self, name: &ObjectName) -> Result<std::sync::Arc<Table>> {
        self.rights.table(&resolve_table_name(self.session, name))
    }

    /// The table must be one's own; with `if_exists` it may be absent.
    fn owned(&self, name: &ObjectName, if_exists: bool) -> Result<()> {
        let name = resolve_table_name(self.session, name);
        match self.rights.find_table(&name)? {
            Some(table) => self.rights.check_owns(&table),
            None if if_exists => Ok(()),
            None => self.rights.table(&name).map(|_| ()),
        }
    }

    /// As [`Asker::owned`]; who owns the schema may drop what is in it, too.
    fn droppable(&self, name: &ObjectName, if_exists: bool) -> Result<()> {
        let owned = self.owned(name, if_exists);
        let name = resolve_table_name(self.session, name);
        match self.rights.snapshot().find_database(&name.database) {
            Some(database) if self.rights.owns_database(database) => {
                if self.rights.snapshot().find_table(&name).is_some() { Ok(()) } else { owned }
            }
            _ => owned,
        }
    }

    fn seen(&self, name: &ObjectName) -> Result<()> {
        let table = self.table(name)?;
        match self.rights.sees(&table) {
            true => Ok(()),
            false => Err(super::denied_for(table.kind.noun(), &table.name.name)),
        }
    }

    fn owned_database(&self, name: &str) -> Result<()> {
        match self.rights.snapshot().find_database(&self.database_name(name)) {
            Some(database) => self.rights.check_owns_database(database),
            // The statement says that there is none.
            None => Ok(()),
        }
    }

    /// A table or view may be made; one that is to be replaced must be one's own.
    fn creates(&self, name: &ObjectName, mode: CreateMode) -> Result<()> {
        let name = resolve_table_name(self.session, name);
        self.rights.check_database(&name.database, Privilege::Create)?;
        match self.rights.snapshot().find_table(&name) {
            Some(existing) if mode == CreateMode::OrReplace => self.rights.check_owns(existing),
            _ => Ok(()),
        }
    }

    fn location(&self, location: Option<&str>) -> Result<()> {
        if location.is_some() { self.rights.check_places_files() } else { Ok(()) }
    }

    /// Some properties say where files are.
    fn parameters<'a>(&self, mut names: impl Iterator<Item = &'a String>) -> Result<()> {
        match names.any(|name| name.eq_ignore_ascii_case("storage.location.template")) {
            true => self.rights.check_places_files(),
            false => Ok(()),
        }
    }

    fn action(&self, name: &ObjectName, action: &TableAction) -> Result<()> {
        match action {
            TableAction::SetLocation(_) => self.rights.check_places_files(),
            TableAction::SetParameters(parameters) => self.parameters(parameters.keys()),
            TableAction::RestoreVersion(_) => self.rights.check_places_files(),
            TableAction::OwnerTo(owner) => {
                let owner = self.session.role_named(owner);
                if !self.rights.is_member_of(owner) {
                    let message = format!("must be member of role \"{owner}\"");
                    return Err(Error::new(ErrorCode::InsufficientPrivilege, message));
                }
                // As in PostgreSQL: nobody gets a table where he couldn't make one.
                let database = resolve_table_name(self.session, name).database;
                self.rights.of_role(owner).check_database(&database, Privilege::Create)
            }
            TableAction::AddColumns { .. }
            | TableAction::ReplaceColumns(_)
            | TableAction::ChangeColumn { .. }
            | TableAction::RenameColumn { .. }
            | TableAction::ColumnType { .. }
            | TableAction::DropColumn { .. }
            | TableAction::UnsetParameters { .. }
            | TableAction::SetFormat(_)
            | TableAction::SetSerde { .. }
            | TableAction::SetSerdeProperties(_)
            | TableAction::UnsetSerdeProperties(_) => Ok(()),
        }
    }

    /// A crawl reads files wherever it is told to, and makes and changes tables of the database.
    fn crawls(&self, database: Option<&str>) -> Result<()> {
        self.rights.check_places_files()?;
        let name = database.map_or_else(|| self.session.database.clone(), |name| self.database_name(name));
        match self.rights.snapshot().find_database(&name) {
            Some(database) => self.rights.check_owns_database(database),
            None => self.rights.check_creates_databases(),
        }
    }

    fn owned_report(&self, name: &str) -> Result<()> {
        let Some(report) = self.rights.snapshot().reports.get(&name.to_lowercase()) else {
            return self.rights.visible().report(name).map(|_| ()).map_err(Error::from);
        };
        match self.rights.has_role(self.rights.owner(&report.owner)) {
            true => Ok(()),
            false => Err(must_own("report", &report.name)),
        }
    }

    fn schedule(&self, statement: &ScheduleStatement) -> Result<()> {
        match statement {
            ScheduleStatement::Create { name, clauses, .. } => {
                if self.rights.snapshot().schedules.contains_key(&name.to_lowercase()) {
                    self.owned_schedule(name)?;
                }
                // Whoever makes one has the server work for good.
                self.rights.check_lake(Privilege::Create)?;
                self.scheduled(clauses)
            }
            ScheduleStatement::Alter { name, clauses } => {
                self.owned_schedule(name)?;
                self.scheduled(clauses)
            }
            ScheduleStatement::OwnerTo { name, owner } => {
                self.owned_schedule(name)?;
                let owner = self.session.role_named(owner);
                match self.rights.is_member_of(owner) {
                    true => self.rights.of_role(owner).check_lake(Privilege::Create),
                    false => {
                        let message = format!("must be member of role \"{owner}\"");
                        Err(Error::new(ErrorCode::InsufficientPrivilege, message))
                    }
                }
            }
            ScheduleStatement::Rename { name, .. }
            | ScheduleStatement::Pause { name, .. }
            | ScheduleStatement::Run { name }
            | ScheduleStatement::ShowCreate { name } => self.owned_schedule(name),
            ScheduleStatement::Drop { name, if_exists } => {
                match *if_exists && !self.rights.snapshot().schedules.contains_key(&name.to_lowercase()) {
                    true => Ok(()),
                    false => self.owned_schedule(name),
                }
            }
            // It asks whose run it is; the list holds no more than may be seen.
            ScheduleStatement::Cancel { .. } | ScheduleStatement::ShowAll { .. } => Ok(()),
        }
    }

    /// What a schedule will do must be allowed now, as far as it can be known; it is asked again when it runs.
    fn scheduled(&self, clauses: &ScheduleClauses) -> Result<()> {
        if let Some(WhenClause::OnChange { table, .. }) = &clauses.when {
            self.rights.check_table(&*self.table(table)?, Privilege::Select)?;
        }
        for (number, statement) in clauses.statements.iter().flat_map(|statements| &statements.parsed).enumerate() {
            match check(self.rights, self.session, &statement.statement) {
                // Statements before it may make what it is about.
                Err(error) if number == 0 || error.code == ErrorCode::InsufficientPrivilege => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn owned_schedule(&self, name: &str) -> Result<()> {
        let Some(schedule) = self.rights.snapshot().schedules.get(&name.to_lowercase()) else {
            return self.rights.visible().schedule(name).map(|_| ()).map_err(Error::from);
        };
        match self.rights.has_role(self.rights.owner(&schedule.owner)) {
            true => Ok(()),
            false => Err(must_own("schedule", &schedule.name)),
        }
    }

    fn owned_crawler(&self, name: &str) -> Result<()> {
        let Some(crawler) = self.rights.snapshot().crawlers.get(&name.to_lowercase()) else {
            return self.rights.visible().crawler(name).map(|_| ()).map_err(Error::from);
        };
        match self.rights.has_role(self.rights.owner(&crawler.owner)) {
            true => Ok(()),
            false => Err(must_own("crawler", &crawler.name)),
        }
    }
}

impl Rights {
    /// Whether SET ROLE to `role` is allowed.
    pub(crate) fn is_member_of(&self, role: &str) -> bool {
        self.is_superuser() || self.snapshot().roles_of(self.user(), false).contains(role)
    }
}
