//! [`Conduct`]: what a statement may do in a transaction block, and in a read-only one. One place for every statement.

use limnos_catalog::DatasetSpelling;

use super::Session;
use crate::parse::Statement;
use crate::parse::dataset::{DatasetAction, DatasetStatement};
use crate::parse::report::ReportStatement;
use crate::parse::role::RoleStatement;
use crate::parse::schedule::ScheduleStatement;
use crate::{Error, ErrorCode, Result};

/// See the module. The words are PostgreSQL's names of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Changes nothing that others see. Exports are here, as COPY TO is in PostgreSQL: the files that they write are nobody's
    /// table, and stay whatever becomes of the block. So are statistics, which no answer depends on.
    Reads,
    /// Changes the catalog or a table's rows, in a block as part of it.
    Changes(&'static str),
    /// Changes what can't be part of a block: it works in several commits, or goes on in the background.
    Alone(&'static str),
    /// Is refused in a block, and changes nothing that a read-only transaction keeps.
    Outside(&'static str),
}

impl Conduct {
    /// That of `statement`.
    pub fn of(statement: &Statement) -> Self {
        match statement {
            Statement::CreateDatabase { .. } => Self::Changes("CREATE SCHEMA"),
            Statement::DropDatabase { .. } => Self::Changes("DROP SCHEMA"),
            Statement::AlterDatabase { .. } => Self::Changes("ALTER SCHEMA"),
            Statement::CreateTable(_) => Self::Changes("CREATE TABLE"),
            Statement::CreateTableAs(create) if create.query.is_some() => Self::Changes("CREATE TABLE AS"),
            Statement::CreateTableAs(_) => Self::Changes("CREATE TABLE"),
            // What a job has processed is known to the store alone.
            Statement::Insert(insert) if !insert.properties.is_empty() => Self::Alone("INSERT with a bookmark"),
            Statement::Insert(_) => Self::Changes("INSERT"),
            Statement::Delete(_) => Self::Changes("DELETE"),
            Statement::Truncate(_) => Self::Changes("TRUNCATE TABLE"),
            Statement::CreateView(_) => Self::Changes("CREATE VIEW"),
            Statement::Drop { view: true, .. } => Self::Changes("DROP VIEW"),
            Statement::Drop { view: false, .. } => Self::Changes("DROP TABLE"),
            Statement::RenameTable { view: true, .. }
            | Statement::AlterTable { view: true, .. }
            | Statement::AlterView { .. } => Self::Changes("ALTER VIEW"),
            Statement::RenameTable { view: false, .. }
            | Statement::AlterTable { view: false, .. }
            | Statement::AlterPartition { .. }
            | Statement::AddPartitions { .. }
            | Statement::DropPartitions { .. } => Self::Changes("ALTER TABLE"),
            Statement::Comment { .. } => Self::Changes("COMMENT"),
            Statement::RepairTable { .. } => Self::Changes("MSCK REPAIR TABLE"),
            Statement::Crawl { .. } => Self::Changes("CRAWL"),
            Statement::CreateCrawler { .. } => Self::Changes("CREATE CRAWLER"),
            Statement::AlterCrawler { .. } | Statement::RenameCrawler { .. } | Statement::PauseCrawler { .. } => {
                Self::Changes("ALTER CRAWLER")
            }
            Statement::DropCrawler { .. } => Self::Changes("DROP CRAWLER"),
            Statement::CreateClassifier { .. } => Self::Changes("CREATE CLASSIFIER"),
            Statement::DropClassifier { .. } => Self::Changes("DROP CLASSIFIER"),
            Statement::Report(report) => match report.as_ref() {
                ReportStatement::Create { .. } => Self::Changes("CREATE REPORT"),
                ReportStatement::Alter { .. } | ReportStatement::Rename { .. } => Self::Changes("ALTER REPORT"),
                ReportStatement::Drop { .. } => Self::Changes("DROP REPORT"),
                ReportStatement::Run { .. } => Self::Alone("RUN REPORT"),
                ReportStatement::Show { .. } | ReportStatement::ShowCreate { .. } => Self::Reads,
            },
            Statement::NoOp { tag: tag @ "CREATE INDEX" } => Self::Changes(tag),
            Statement::CopyIn(_) => Self::Changes("COPY FROM"),
            Statement::Dataset(dataset) => match dataset.as_ref() {
                DatasetStatement::Create(create) => match create.spelling {
                    DatasetSpelling::Dataset => Self::Alone("CREATE DATASET"),
                    DatasetSpelling::MaterializedView => Self::Alone("CREATE MATERIALIZED VIEW"),
                },
                DatasetStatement::Refresh { spelling: DatasetSpelling::Dataset, .. } => Self::Alone("REFRESH DATASET"),
                DatasetStatement::Refresh { .. } => Self::Alone("REFRESH MATERIALIZED VIEW"),
                // Some options make the rows anew.
                DatasetStatement::Alter { action: DatasetAction::Set(_) | DatasetAction::Reset(_), .. } => {
                    Self::Alone("ALTER DATASET")
                }
                DatasetStatement::Alter { spelling: DatasetSpelling::Dataset, .. } => Self::Changes("ALTER DATASET"),
                DatasetStatement::Alter { .. } => Self::Changes("ALTER MATERIALIZED VIEW"),
                DatasetStatement::Drop { spelling: DatasetSpelling::Dataset, .. } => Self::Changes("DROP DATASET"),
                DatasetStatement::Drop { .. } => Self::Changes("DROP MATERIALIZED VIEW"),
                DatasetStatement::Show { .. } | DatasetStatement::ShowCreate { .. } => Self::Reads,
            },
            Statement::Role(role) => match role.as_ref() {
                RoleStatement::SetRole { .. } | RoleStatement::SetSession { .. } => Self::Reads,
                RoleStatement::Create { .. } => Self::Changes("CREATE ROLE"),
                RoleStatement::Drop { .. } => Self::Changes("DROP ROLE"),
                RoleStatement::Grant { .. } | RoleStatement::Membership { revoke: false, .. } => Self::Changes("GRANT"),
                RoleStatement::Membership { revoke: true, .. } => Self::Changes("REVOKE"),
                RoleStatement::Comment { .. } => Self::Changes("COMMENT"),
                _ => Self::Changes("ALTER ROLE"),
            },
            Statement::Schedule(schedule) => match schedule.as_ref() {
                ScheduleStatement::Create { .. } => Self::Changes("CREATE SCHEDULE"),
                ScheduleStatement::Alter { .. }
                | ScheduleStatement::Rename { .. }
                | ScheduleStatement::OwnerTo { .. } => Self::Changes("ALTER SCHEDULE"),
                ScheduleStatement::Pause { pause: true, .. } => Self::Changes("PAUSE SCHEDULE"),
                ScheduleStatement::Pause { pause: false, .. } => Self::Changes("RESUME SCHEDULE"),
                ScheduleStatement::Drop { .. } => Self::Changes("DROP SCHEDULE"),
                ScheduleStatement::Run { .. } => Self::Alone("RUN SCHEDULE"),
                ScheduleStatement::Cancel { .. } => Self::Outside("CANCEL SCHEDULE RUN"),
                ScheduleStatement::ShowAll { .. } | ScheduleStatement::ShowCreate { .. } => Self::Reads,
            },
            Statement::Optimize(_) => Self::Alone("OPTIMIZE"),
            Statement::RunCrawler { .. } => Self::Alone("RUN CRAWLER"),
            Statement::ResetBookmark { .. } => Self::Alone("RESET BOOKMARK"),
            Statement::DropCache { .. } => Self::Outside("ALTER SYSTEM"),
            Statement::Discard { what } if what == "ALL" => Self::Outside("DISCARD ALL"),
            Statement::Empty
            | Statement::Query(_)
            | Statement::Explain(_)
            | Statement::Unload(_)
            | Statement::Copy(_)
            | Statement::CopyOut(_)
            | Statement::Declare(_)
            | Statement::Fetch(_)
            | Statement::CloseCursor { .. }
            | Statement::Analyze(_)
            | Statement::ShowStats { .. }
            | Statement::ShowDrift { .. }
            | Statement::ShowVersions { .. }
            | Statement::ShowBookmarks
            | Statement::ShowCrawlers { .. }
            | Statement::ShowCreateCrawler { .. }
            | Statement::ShowClassifiers { .. }
            | Statement::ShowCreateClassifier { .. }
            | Statement::ShowDatabases { .. }
            | Statement::ShowTables { .. }
            | Statement::ShowColumns { .. }
            | Statement::ShowPartitions { .. }
            | Statement::ShowCreate { .. }
            | Statement::ShowTableProperties { .. }
            | Statement::Describe { .. }
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
            | Statement::Prepare { .. }
            | Statement::Execute { .. }
            | Statement::Deallocate { .. }
            | Statement::Kill { .. }
            | Statement::NoOp { .. } => Self::Reads,
        }
    }

    /// Whether a session may do so now.
    ///
    /// # Errors
    /// `25001` in a block, `25006` in a read-only transaction.
    pub(crate) fn check(self, session: &Session) -> Result<()> {
        let (word, changes, in_block) = match self {
            Self::Reads => return Ok(()),
            Self::Changes(word) => (word, true, true),
            Self::Alone(word) => (word, true, false),
            Self::Outside(word) => (word, false, false),
        };
        if changes && session.settings.show("transaction_read_only").is_ok_and(|value| value == "on") {
            let message = format!("cannot execute {word} in a read-only transaction");
            return Err(Error::new(ErrorCode::ReadOnlyTransaction, message));
        }
        if !in_block && session.block.is_some() {
            let message = format!("{word} cannot run inside a transaction block");
            return Err(Error::new(ErrorCode::ActiveTransaction, message));
        }
        Ok(())
    }
}
