//! What an error takes back of a session: settings, and the database that they name. PostgreSQL takes SET back with the
//! transaction or savepoint that fails, at once, also with the implicit transaction of messages outside a block.

use limnos_engine::Session;
use limnos_engine::session::Settings;

/// The session as it was when the transaction began, and at each of its savepoints.
#[derive(Debug, Default)]
pub(crate) struct RestorePoints(Vec<(Settings, String)>);

impl RestorePoints {
    /// A statement begins: if it is its transaction's first, this is where an error goes back to.
    pub(crate) fn begin(&mut self, session: &Session) {
        if self.0.is_empty() {
            self.savepoint(session);
        }
    }

    /// After SAVEPOINT.
    pub(crate) fn savepoint(&mut self, session: &Session) {
        self.0.push((session.settings.clone(), session.database.clone()));
    }

    /// After RELEASE, or before ROLLBACK TO takes effect: `savepoints` are left.
    pub(crate) fn keep(&mut self, savepoints: usize) {
        self.0.truncate(savepoints + 1);
    }

    /// After an error, or ROLLBACK TO: as it was at the last savepoint, or else when the transaction began.
    pub(crate) fn restore(&self, session: &mut Session) {
        if let Some((settings, database)) = self.0.last() {
            session.settings.clone_from(settings);
            session.database.clone_from(database);
        }
    }

    /// The database when the transaction began.
    pub(crate) fn database(&self) -> Option<&str> {
        self.0.first().map(|(_, database)| database.as_str())
    }

    /// The transaction has ended.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
