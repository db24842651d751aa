//! [`Connection`]: an authenticated client's messages, one after the other, until it leaves.

use std::collections::HashMap;
use std::sync::Arc;

use limnos_engine::Session;
use limnos_engine::parse::Statement;
use limnos_engine::session::settings::REPORTED;
use pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery};
use pgwire::messages::startup::ParameterStatus;

use super::Server;
use super::error::PgError;
use super::frontend::{self, Frontend};
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
    server: Arc<Server>,
    /// What the client was last told about each reported setting.
    reported: HashMap<&'static str, String>,
    /// After an error in the extended protocol everything up to Sync is dropped.
    skipping: bool,
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
        reported: HashMap<&'static str, String>,
    ) -> Self {
        Self {
            wire,
            service: Arc::clone(&server.service),
            session,
            slot,
            store: Store::default(),
            transaction: Transaction::default(),
            server,
            reported,
            skipping: false,
        }
    }

    /// Serves the client until it leaves or the server has to end; says goodbye where there is something to say.
    pub(crate) async fn run(mut self) {
        let stop = match self.ready().await {
            Ok(()) => self.serve().await,
            Err(stop) => stop,
        };
        // Queries of suspended portals end before the socket is closed.
        self.store.clear_portals();
        match stop {
            Stop::Gone => self.wire.close(None).await,
            Stop::Fatal(error) => self.wire.close(Some(&error)).await,
        }
    }

    async fn serve(&mut self) -> Stop {
        let server = Arc::clone(&self.server);
        loop {
            let frame = tokio::select! {
                biased;
                () = server.shutdown.cancelled() => return PgError::shutdown().into(),
                frame = self.wire.read() => frame,
            };
            let answered = match frame {
                Ok(frame) => self.message(frame).await,
                Err(stop) => Err(stop),
            };
            if let Err(stop) = answered {
                return stop;
            }
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
        match answered {
            Ok(()) => Ok(()),
            Err(Failure::Stop(stop)) => Err(stop),
            Err(Failure::Error(error)) => {
                self.transaction.failed();
                self.store.clear_portals();
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
        for parsed in statements {
            self.transaction.check(&parsed.statement)?;
            let parsed = Arc::new(parsed);
            let prepared = match &parsed.statement {
                Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate { .. } => {
                    limnos_engine::Prepared { statement: parsed, parameter_types: Vec::new(), schema: None }
                }
                _ => self.prepare(parsed, &[]).await?,
            };
            if !prepared.parameter_types.is_empty() {
                return Err(PgError::new("42P02", "there is no parameter $1")
                    .with_hint("Parameters need the extended query protocol, or PREPARE and EXECUTE.")
                    .into());
            }
            let mut running = self.start(&prepared, &[], &[]).await?;
            if let Some(schema) = &running.schema {
                self.wire.send(&row_description(schema, Some(&[])));
            }
            match self.stream(&mut running, 0).await? {
                End::Done(rows) => self.complete(running, rows),
                End::Suspended => unreachable!("only a row limit suspends"),
            }
        }
        Ok(())
    }

    /// The implicit transaction of a simple query or of the messages up to Sync ends.
    fn end_of_batch(&mut self) {
        if self.transaction.is_idle() {
            self.store.clear_portals();
        }
    }

    /// Tells the client that it may go on.
    async fn ready(&mut self) -> Result<(), Stop> {
        self.wire.send(&ReadyForQuery::new(self.transaction.status()));
        self.wire.flush().await
    }

    /// Tells the client about reported settings that a statement has changed.
    pub(crate) fn report_settings(&mut self) {
        // Who is logged in never changes, and the settings don't know it.
        for name in REPORTED.iter().filter(|name| **name != "session_authorization") {
            let Ok(value) = self.session.settings.show(name) else { continue };
            if self.reported.get(name) != Some(&value) {
                self.wire.send(&ParameterStatus::new((*name).to_owned(), value.clone()));
                self.reported.insert(name, value);
            }
        }
    }
}
