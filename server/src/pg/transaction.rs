//! A connection's transaction block, as ReadyForQuery's status byte tells it. What a block reads and changes is the engine's
//! affair. Several statements that come together are a transaction, too ([`Connection::join`]), which this byte doesn't tell.
//!
//! ```text
//!   Idle --BEGIN--> Open --error--> Failed
//!    ^               |  <--ROLLBACK TO--|
//!    +---COMMIT, ROLLBACK---------------+
//! ```

use limnos_engine::parse::Statement;
use pgwire::messages::response::TransactionStatus;

use limnos_engine::session::Conduct;

use super::connection::{Connection, Failure};
use super::error::PgError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Idle,
    Open,
    Failed,
}

/// The block and its savepoints.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    state: State,
    savepoints: Vec<String>,
}

impl Transaction {
    pub(crate) fn status(&self) -> TransactionStatus {
        match self.state {
            State::Idle => TransactionStatus::Idle,
            State::Open => TransactionStatus::Transaction,
            State::Failed => TransactionStatus::Error,
        }
    }

    /// Outside a block portals live until Sync, inside until its end.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// How many savepoints there are.
    pub(crate) fn depth(&self) -> usize {
        self.savepoints.len()
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Whether `statement` may run now.
    ///
    /// # Errors
    /// `25P02` in a failed block, `25P01` and `3B001` for savepoints that can't be.
    pub(crate) fn check(&self, statement: &Statement) -> Result<(), PgError> {
        let leaves = matches!(statement, Statement::Commit | Statement::Rollback | Statement::RollbackTo { .. });
        if !leaves && !matches!(statement, Statement::Empty) {
            self.check_not_failed()?;
        }
        let (word, name) = match statement {
            Statement::Savepoint { .. } => ("SAVEPOINT", None),
            Statement::Release { name } => ("RELEASE SAVEPOINT", Some(name)),
            Statement::RollbackTo { name } => ("ROLLBACK TO SAVEPOINT", Some(name)),
            _ => return Ok(()),
        };
        if self.is_idle() {
            return Err(PgError::new("25P01", format!("{word} can only be used in transaction blocks")));
        }
        match name {
            Some(name) if !self.savepoints.contains(name) => {
                Err(PgError::new("3B001", format!("savepoint \"{name}\" does not exist")))
            }
            _ => Ok(()),
        }
    }

    /// Whether something with columns may be described, or a statement other than the block's end bound.
    ///
    /// # Errors
    /// `25P02` in a failed block.
    pub(crate) fn check_not_failed(&self) -> Result<(), PgError> {
        if self.is_failed() {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(PgError::new("25P02", message));
        }
        Ok(())
    }

    /// After `statement` succeeded. Gives whether a block ended.
    pub(crate) fn succeeded(&mut self, statement: &Statement) -> bool {
        match statement {
            Statement::Begin(_) if self.is_idle() => self.state = State::Open,
            Statement::Commit | Statement::Rollback => {
                self.state = State::Idle;
                self.savepoints.clear();
                return true;
            }
            Statement::Savepoint { name } => self.savepoints.push(name.clone()),
            Statement::Release { name } => self.forget_from(name, 0),
            Statement::RollbackTo { name } => {
                self.forget_from(name, 1);
                self.state = State::Open;
            }
            _ => {}
        }
        false
    }

    /// Drops the youngest savepoint of this name (`keep` 0, or all but it with 1) and those after it.
    fn forget_from(&mut self, name: &str, keep: usize) {
        if let Some(index) = self.savepoints.iter().rposition(|savepoint| savepoint == name) {
            self.savepoints.truncate(index + keep);
        }
    }

    /// After a COMMIT that failed: there is no block any more.
    pub(crate) fn ended(&mut self) {
        *self = Self::default();
    }

    /// After an error.
    pub(crate) fn failed(&mut self) {
        if self.state == State::Open {
            self.state = State::Failed;
        }
    }
}

impl Connection {
    /// Before a statement of the extended protocol: what it changes is committed at Sync, with all that comes until then. Where
    /// Sync is next, it commits by itself, which can try again where somebody else was faster.
    pub(crate) fn join(&mut self, statement: &Statement) {
        let changes = match statement {
            Statement::Execute { name, .. } => {
                (self.store.statement(name)).is_ok_and(|stored| is_change(&stored.prepared.statement.statement))
            }
            statement => is_change(statement),
        };
        if changes && !self.wire.is_sync_next() {
            self.service.begin_implicit(&mut self.session);
        }
    }

    /// Commits the transaction that several statements make by coming together.
    pub(crate) async fn commit_implicit(&mut self) -> Result<(), Failure> {
        let Self { wire, service, session, .. } = self;
        wire.while_connected(Box::pin(service.commit_implicit(session))).await??;
        Ok(())
    }

    /// Takes that transaction back.
    pub(crate) fn abandon_implicit(&mut self) {
        if self.session.is_in_implicit_block() {
            self.session.abandon_block();
        }
    }
}

fn is_change(statement: &Statement) -> bool {
    matches!(Conduct::of(statement), Conduct::Changes(_))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn savepoint(name: &str) -> Statement {
        Statement::Savepoint { name: name.to_owned() }
    }

    #[test]
    fn a_failed_block_takes_only_its_end() {
        let mut transaction = Transaction::default();
        transaction.failed();
        assert!(transaction.is_idle(), "an error outside a block leaves nothing behind");
        transaction.succeeded(&Statement::Begin(Default::default()));
        transaction.succeeded(&savepoint("a"));
        transaction.failed();
        assert_eq!(transaction.check(&savepoint("b")).unwrap_err().sqlstate, "25P02");
        let back = |name: &str| Statement::RollbackTo { name: name.to_owned() };
        assert_eq!(transaction.check(&back("b")).unwrap_err().sqlstate, "3B001");
        assert!(transaction.check(&back("a")).is_ok());
        transaction.succeeded(&back("a"));
        assert_eq!(transaction.status(), TransactionStatus::Transaction);
        transaction.failed();
        assert!(transaction.check(&Statement::Commit).is_ok());
        assert!(transaction.succeeded(&Statement::Commit));
        assert_eq!(transaction.check(&savepoint("a")).unwrap_err().sqlstate, "25P01");
    }
}
