//! A session's prepared statements and portals, within limits.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use limnos_engine::Prepared;

use super::cursor::Cursor;
use super::encode::Format;
use super::error::PgError;
use super::run::Running;
use crate::limits;

/// A prepared statement, of the protocol or of SQL's PREPARE: one namespace, as in PostgreSQL.
#[derive(Debug)]
pub(crate) struct StoredStatement {
    pub(crate) prepared: Prepared,
    /// What the client is told, and sends its parameters as.
    pub(crate) parameter_oids: Vec<u32>,
    /// The columns it answers with; SQL's EXECUTE has those of what it executes.
    pub(crate) schema: Option<SchemaRef>,
}

/// Where a portal stands.
pub(crate) enum PortalState {
    Ready,
    Running(Box<Running>),
    Done,
    /// Its transaction failed: there until it is rolled back.
    Failed,
}

/// A statement with its parameters bound.
pub(crate) struct Portal {
    pub(crate) statement: Arc<StoredStatement>,
    pub(crate) parameters: Vec<ArrayRef>,
    pub(crate) formats: Vec<Format>,
    pub(crate) state: PortalState,
    pub(crate) cursor: Cursor,
    /// The savepoints there were when it was made: ROLLBACK TO an older one takes it away.
    depth: usize,
}

impl Portal {
    pub(crate) fn new(
        statement: Arc<StoredStatement>,
        parameters: Vec<ArrayRef>,
        formats: Vec<Format>,
        depth: usize,
    ) -> Self {
        Self { statement, parameters, formats, state: PortalState::Ready, cursor: Cursor::default(), depth }
    }

    /// It is closed, which is no failure of its query.
    fn close(self) {
        if let PortalState::Running(mut running) = self.state {
            running.finish();
        }
    }

    /// A column's format: one for each, one for all, or none for text.
    pub(crate) fn format(formats: &[Format], column: usize) -> Format {
        match formats {
            [] => Format::Text,
            [all] => *all,
            each => each.get(column).copied().unwrap_or_default(),
        }
    }

    fn bytes(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.get_array_memory_size()).sum()
    }
}

/// The statements and portals by name; `""` is the unnamed one.
#[derive(Default)]
pub(crate) struct Store {
    statements: HashMap<String, Arc<StoredStatement>>,
    portals: HashMap<String, Portal>,
    /// The portal that is being executed, and taken out for it: its name is not free.
    executed: Option<String>,
}

impl Store {
    /// # Errors
    /// `26000`.
    pub(crate) fn statement(&self, name: &str) -> Result<Arc<StoredStatement>, PgError> {
        self.statements.get(name).cloned().ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            PgError::new("26000", message)
        })
    }

    /// Before a statement is prepared for nothing.
    ///
    /// # Errors
    /// `42P05` for a name that is taken; `53400`.
    pub(crate) fn check_statement(&self, name: &str, sql: &str) -> Result<(), PgError> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(PgError::new("42P05", format!("prepared statement \"{name}\" already exists")));
        }
        let held = |statement: &Arc<StoredStatement>| statement.prepared.statement.sql.len();
        let bytes: usize = self.statements.values().map(held).sum();
        if self.statements.len() >= limits::STATEMENTS_MAX || bytes + sql.len() > limits::STATEMENT_BYTES_MAX {
            return Err(PgError::new("53400", "too many prepared statements in this session")
                .with_hint("Close statements that are no longer used, or use DEALLOCATE."));
        }
        Ok(())
    }

    pub(crate) fn insert_statement(&mut self, name: String, statement: StoredStatement) {
        self.statements.insert(name, Arc::new(statement));
    }

    /// Whether there was one.
    pub(crate) fn remove_statement(&mut self, name: &str) -> bool {
        self.statements.remove(name).is_some()
    }

    pub(crate) fn clear_statements(&mut self) {
        self.statements.clear();
    }

    /// # Errors
    /// `34000`.
    pub(crate) fn portal(&self, name: &str) -> Result<&Portal, PgError> {
        self.portals.get(name).ok_or_else(|| no_portal(name))
    }

    /// Takes a portal out, to be run and put back.
    ///
    /// # Errors
    /// `34000`.
    pub(crate) fn take_portal(&mut self, name: &str) -> Result<Portal, PgError> {
        let portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        self.executed = Some(name.to_owned());
        Ok(portal)
    }

    /// Puts a portal back that was taken.
    pub(crate) fn return_portal(&mut self, name: String, portal: Portal) {
        if self.executed.as_ref() == Some(&name) {
            self.executed = None;
        }
        self.portals.insert(name, portal);
    }

    /// Takes a portal out for FETCH, which calls it a cursor.
    ///
    /// # Errors
    /// `34000`.
    pub(crate) fn take_cursor(&mut self, name: &str) -> Result<Portal, PgError> {
        self.portals.remove(name).ok_or_else(|| no_cursor(name))
    }

    /// CLOSE.
    ///
    /// # Errors
    /// `34000`.
    pub(crate) fn close_cursor(&mut self, name: &str) -> Result<(), PgError> {
        self.take_cursor(name).map(Portal::close)
    }

    /// The WITH HOLD cursors whose rows are not kept yet.
    pub(crate) fn cursors_to_hold(&self) -> Vec<String> {
        let to_hold = |portal: &Portal| portal.cursor.hold && !portal.cursor.is_held;
        let mut names: Vec<String> =
            self.portals.iter().filter(|(_, portal)| to_hold(portal)).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Whatever was executed is over.
    pub(crate) fn rest(&mut self) {
        self.executed = None;
    }

    /// Before a query is started for nothing.
    ///
    /// # Errors
    /// `42P03` for a name that is taken.
    pub(crate) fn check_portal(&self, name: &str) -> Result<(), PgError> {
        if !name.is_empty() && (self.portals.contains_key(name) || self.executed.as_deref() == Some(name)) {
            return Err(PgError::new("42P03", format!("cursor \"{name}\" already exists")));
        }
        Ok(())
    }

    /// # Errors
    /// `42P03` for a name that is taken, `53400`.
    pub(crate) fn insert_portal(&mut self, name: String, portal: Portal) -> Result<(), PgError> {
        self.check_portal(&name)?;
        if name.is_empty() {
            self.remove_portal("");
        }
        let bytes: usize = self.portals.values().map(Portal::bytes).sum();
        if self.portals.len() >= limits::PORTALS_MAX || bytes + portal.bytes() > limits::PORTAL_BYTES_MAX {
            return Err(PgError::new("53400", "too many open portals in this session")
                .with_hint("Close portals that are no longer used, or end the transaction."));
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    /// Closing what isn't there is no error.
    pub(crate) fn remove_portal(&mut self, name: &str) {
        if let Some(portal) = self.portals.remove(name) {
            portal.close();
        }
    }

    /// At the end of a transaction: all but the cursors that are held.
    pub(crate) fn clear_portals(&mut self) {
        for (_, portal) in self.portals.extract_if(|_, portal| !portal.cursor.is_held) {
            portal.close();
        }
    }

    /// CLOSE ALL, DISCARD ALL, and the end of the session.
    pub(crate) fn close_all_portals(&mut self) {
        self.portals.drain().for_each(|(_, portal)| portal.close());
    }

    /// After an error in a block with `depth` savepoints: portals made since the last of them can't be run any more.
    pub(crate) fn fail_portals(&mut self, depth: usize) {
        let failed = |portal: &&mut Portal| !portal.cursor.is_held && portal.depth >= depth;
        self.portals.values_mut().filter(failed).for_each(|portal| portal.state = PortalState::Failed);
    }

    /// After ROLLBACK TO with `depth` savepoints left: older portals stay, and cursors that are held.
    pub(crate) fn roll_back_portals(&mut self, depth: usize) {
        self.portals.retain(|_, portal| portal.cursor.is_held || portal.depth < depth);
    }

    /// After RELEASE, with `depth` savepoints left.
    pub(crate) fn release_portals(&mut self, depth: usize) {
        self.portals.values_mut().for_each(|portal| portal.depth = portal.depth.min(depth));
    }
}

fn no_cursor(name: &str) -> PgError {
    PgError::new("34000", format!("cursor \"{name}\" does not exist"))
}

fn no_portal(name: &str) -> PgError {
    PgError::new("34000", format!("portal \"{name}\" does not exist"))
}
