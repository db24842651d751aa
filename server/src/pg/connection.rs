//! [`Connection`]: an authenticated client's messages, one after the other, until it leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use limnos_engine::Session;
use limnos_engine::parse::Statement;
use limnos_engine::session::settings::REPORTED;
use pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;

use super::Server;
use super::activity::Activity;
use super::copy;
use super::error::PgError;
use super::frontend::{self, Frontend};
use super::restore::RestorePoints;
use super::run::{End, row_description};
use super::store::Store;
use super::transaction::Transaction;
use super::wire::{Frame, Stop, Wire};
use crate::query::{CancelSlot, QueryService};

/// One authenticated client.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    pub(crate) service: Arc<QueryService>,
    pub(crate) session: Session,
    pub(crate) slot: CancelSlot,
    pub(crate) store: Store,
    pub(crate) transaction: Transaction,
    pub(crate) restore_points: RestorePoints,
    pub(crate) activity: Arc<Activity>,
    server: Arc<Server>,
    /// What the client was last told about each reported setting.
    reported: HashMap<&'static str, String>,
    /// In a text of several statements, which are one transaction.
    pub(crate) implicit_block: bool,
    /// After an error in the extended protocol everything up to Sync is dropped.
    skipping: bool,
    /// Whether the client was told so and hasn't asked for anything since: what idle timeouts are about.
    is_idle: bool,
}

/// Why a message was not answered as asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client is told, and goes on.
    Error(Box<PgError>),
    /// The connection ends.
    Stop(Stop),
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        if error.fatal { Self::Stop(error.into()) } else { Self::Error(Box::new(error)) }
    }
}

impl From<limnos_engine::Error> for Failure {
    fn from(error: limnos_engine::Error) -> Self {
        PgError::from(error).into()
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Connection {
    pub(crate) fn new(
        wire: Wire,
        server: Arc<Server>,
        session: Session,
        slot: CancelSlot,
        activity: Arc<Activity>,
        reported: HashMap<&'static str, String>,
    ) -> Self {
        Self {
            wire,
            service: Arc::clone(&server.service),
            session,
            slot,
            store: Store::default(),
            transaction: Transaction::default(),
            restore_points: RestorePoints::default(),
            activity,
            server,
            reported,
            implicit_block: false,
            skipping: false,
            is_idle: false,
        }
    }

    /// Serves the client until it leaves or the server has to end; says goodbye where there is something to say.
    pub(crate) async fn run(mut self) {
        let stop = match self.ready().await {
            Ok(()) => self.serve().await,
            Err(stop) => stop,
        };
        // Queries of suspended portals end before the socket is closed.
        self.store.close_all_portals();
        match stop {
            Stop::Gone => self.wire.close(None).await,
            Stop::Fatal(error) => self.wire.close(Some(&error)).await,
        }
    }

    async fn serve(&mut self) -> Stop {
        let (server, activity) = (Arc::clone(&self.server), Arc::clone(&self.activity));
        loop {
            // Boxed while it is there: most sessions have no such timeout.
            let idle = self.idle_timeout().map(|(after, error)| (Box::pin(tokio::time::sleep(after)), error));
            let timed_out = async {
                match idle {
                    Some((sleep, error)) => {
                        sleep.await;
                        error
                    }
                    None => std::future::pending().await,
                }
            };
            let begun = tokio::select! {
                biased;
                () = server.shutdown.cancelled() => return PgError::shutdown().into(),
                () = activity.terminate.cancelled() => return PgError::shutdown().into(),
                begun = self.wire.wait() => begun,
                error = timed_out => return error.into(),
            };
            if let Err(stop) = begun {
                return stop;
            }
            self.is_idle = false;
            // Boxed as well: what a statement needs is not kept for as long as the session waits for the next.
            let answered = Box::pin(async {
                let frame = tokio::select! {
                    biased;
                    () = server.shutdown.cancelled() => return Err(PgError::shutdown().into()),
                    () = activity.terminate.cancelled() => return Err(PgError::shutdown().into()),
                    frame = self.wire.read() => frame?,
                };
                self.message(frame).await
            });
            let answered = answered.await;
            if let Err(stop) = answered {
                return stop;
            }
        }
    }

    /// How long the session may go on being idle, and what it is told then.
    fn idle_timeout(&self) -> Option<(Duration, PgError)> {
        let (settings, options) = (&self.session.settings, &self.server.options);
        if !self.is_idle {
            return None;
        }
        if self.transaction.is_idle() {
            let after = settings.idle_session_timeout().or(options.idle_session_timeout)?;
            Some((after, PgError::new("57P05", "terminating connection due to idle-session timeout")))
        } else {
            let own = settings.idle_in_transaction_session_timeout();
            let after = own.or(options.idle_in_transaction_session_timeout)?;
            Some((after, PgError::new("25P03", "terminating connection due to idle-in-transaction timeout")))
        }
    }

    async fn message(&mut self, frame: Frame) -> Result<(), Stop> {
        let kind = frame.kind;
        if self.skipping && !matches!(kind, b'S' | b'X') {
            return Ok(());
        }
        let answered = match frontend::decode(kind, frame.body) {
            Ok(message) => self.answer(message).await,
            Err(error) => Err(error.into()),
        };
        // What is suspended is not what a cancel means.
        self.slot.rest();
        self.implicit_block = false;
        self.store.rest();
        match answered {
            Ok(()) => Ok(()),
            Err(Failure::Stop(stop)) => Err(stop),
            Err(Failure::Error(error)) => {
                self.transaction.failed();
                self.abandon_implicit();
                self.restore_points.restore(&mut self.session);
                match self.transaction.is_failed() {
                    true => self.store.fail_portals(self.transaction.depth()),
                    false => self.end_of_transaction(),
                }
                self.wire.send(&error.response());
                if frontend::is_extended(kind) {
                    self.skipping = true;
                    // A client that waits with Flush instead of Sync must see the error.
                    return self.wire.flush().await;
                }
                self.ready().await
            }
        }
    }

    async fn answer(&mut self, message: Frontend) -> Result<(), Failure> {
        match message {
            Frontend::Query(sql) => {
                self.activity.begin(&sql);
                self.simple_query(&sql).await?;
                self.end_of_batch();
                self.ready().await?;
            }
            Frontend::Parse { name, sql, types } => self.parse(name, &sql, &types).await?,
            Frontend::Bind(bind) => self.bind(bind)?,
            Frontend::Describe(target, name) => self.describe(target, &name)?,
            Frontend::Execute { portal, max_rows } => self.execute(portal, max_rows).await?,
            Frontend::Close(target, name) => self.close(target, &name),
            Frontend::Sync => {
                self.skipping = false;
                self.commit_implicit().await?;
                self.end_of_batch();
                self.ready().await?;
            }
            Frontend::Flush => self.wire.flush().await?,
            Frontend::Terminate => return Err(Stop::Gone.into()),
            Frontend::FunctionCall => {
                return Err(PgError::new("0A000", "the function call protocol is not supported")
                    .with_hint("Use SELECT to call the function.")
                    .into());
            }
            // What a client sends on after a COPY that failed; PostgreSQL drops it, too.
            Frontend::Copy => {}
        }
        Ok(())
    }

    /// One text of several statements is one implicit transaction: the first error ends it all.
    async fn simple_query(&mut self, sql: &str) -> Result<(), Failure> {
        // As in PostgreSQL, a simple query destroys the unnamed statement and portal.
        self.store.remove_statement("");
        self.store.remove_portal("");
        let Self { wire, service, session, slot, .. } = self;
        let parsed = wire.while_connected(Box::pin(slot.guard(service.parse(session, sql)))).await?;
        let mut statements = parsed?;
        statements.retain(|parsed| !matches!(parsed.statement, Statement::Empty));
        if statements.is_empty() {
            self.wire.send(&EmptyQueryResponse::new());
            return Ok(());
        }
        let count = statements.len();
        self.implicit_block = count > 1;
        for (index, parsed) in statements.into_iter().enumerate() {
            self.transaction.check(&parsed.statement)?;
            if self.implicit_block && self.transaction.is_idle() {
                self.restore_points.begin(&self.session);
                self.session.settings.begin_implicit();
                self.service.begin_implicit(&mut self.session);
            }
            let parsed = Arc::new(parsed);
            if copy::is_copy(&parsed.statement) {
                self.copy(&parsed).await?;
                if index + 1 == count {
                    self.commit_implicit().await?;
                }
                continue;
            }
            let prepared = match &parsed.statement {
                Statement::Prepare { .. }
                | Statement::Execute { .. }
                | Statement::Deallocate { .. }
                | Statement::Declare(_)
                | Statement::Fetch(_)
                | Statement::CloseCursor { .. } => {
                    limnos_engine::Prepared { statement: parsed, parameter_types: Vec::new(), schema: None }
                }
                // Planned once, when it is executed: there is nothing to be told before.
                Statement::Query(_) if !may_have_parameters(&parsed.sql) => {
                    limnos_engine::Prepared { statement: parsed, parameter_types: Vec::new(), schema: None }
                }
                _ => self.prepare(parsed, &[]).await?,
            };
            if !prepared.parameter_types.is_empty() {
                return Err(PgError::new("42P02", "there is no parameter $1")
                    .with_hint("Parameters need the extended query protocol, or PREPARE and EXECUTE.")
                    .into());
            }
            let formats = self.simple_formats(&prepared.statement.statement);
            let mut running = self.start(&prepared, &[], formats).await?;
            if let Some(schema) = &running.schema {
                self.wire.send(&row_description(schema, Some(formats)));
            }
            match self.stream(&mut running, 0).await? {
                End::Done(rows) => {
                    // Before the last statement is said to be done.
                    if index + 1 == count {
                        self.commit_implicit().await?;
                    }
                    self.complete(running, rows);
                }
                End::Suspended => unreachable!("only a row limit suspends"),
            }
        }
        if self.implicit_block && self.transaction.is_idle() {
            self.hold_cursors().await?;
        }
        Ok(())
    }

    /// The implicit transaction of a simple query or of the messages up to Sync ends.
    fn end_of_batch(&mut self) {
        if self.transaction.is_idle() {
            if self.session.settings.is_in_transaction() {
                let database = self.restore_points.database().map(str::to_owned);
                let path = self.session.settings.search_path();
                self.session.settings.commit();
                // SET LOCAL search_path ends here, in a text of several statements.
                if let Some(database) = database.filter(|_| path != self.session.settings.search_path()) {
                    self.session.database = database;
                }
            }
            self.end_of_transaction();
        }
    }

    /// A transaction is over, a block or an implicit one.
    pub(crate) fn end_of_transaction(&mut self) {
        self.store.clear_portals();
        self.restore_points.clear();
    }

    /// Tells the client that it may go on, and what has changed meanwhile.
    async fn ready(&mut self) -> Result<(), Stop> {
        // First: whoever has read that nothing runs cancels nothing.
        self.slot.rest();
        self.report_settings();
        let state = match self.transaction.status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::Transaction => "idle in transaction",
            TransactionStatus::Error => "idle in transaction (aborted)",
        };
        self.activity.rest(state, self.session.settings.application_name());
        self.wire.send(&ReadyForQuery::new(self.transaction.status()));
        self.wire.flush().await?;
        self.is_idle = true;
        Ok(())
    }

    /// Tells the client about reported settings that a statement has changed.
    fn report_settings(&mut self) {
        for name in REPORTED {
            let Ok(value) = self.session.settings.show(name) else { continue };
            if self.reported.get(name) != Some(&value) {
                self.wire.send(&ParameterStatus::new((*name).to_owned(), value.clone()));
                self.reported.insert(name, value);
            }
        }
    }
}

/// Whether a text may have a `$1`. Only those are planned before they are executed, to find out.
fn may_have_parameters(sql: &str) -> bool {
    sql.as_bytes().windows(2).any(|pair| pair[0] == b'$' && pair[1].is_ascii_digit())
}
