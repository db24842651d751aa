//! [`PostgresConnection`]: the caller's end of a connection; the other is [`super::driver`]'s thread.

use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::driver::{Purpose, Request, Session};
use super::tls::Tls;
use super::url::PostgresUrl;
use super::value::{Parameter, cells};
use super::{Wake, sql};
use crate::store::connection::{Connection, OnRow, Value};
use crate::{Error, Result};

/// Batches of rows that wait for the caller, beside the one that it reads.
const ROW_BATCHES_WAITING: usize = 2;

/// A connection to PostgreSQL.
pub(super) struct PostgresConnection {
    name: String,
    requests: UnboundedSender<Request>,
}

impl PostgresConnection {
    /// Connects. `wake` is told when any server commits.
    pub(super) fn open(url: &PostgresUrl, wake: Option<Sender<Wake>>) -> Result<Self> {
        let session = Session::new(url.clone(), Tls::new(url)?, wake);
        let (requests, received) = unbounded_channel();
        let name = url.name().to_owned();
        let failed = |error: std::io::Error| Error::Store {
            message: format!("a connection's thread could not be started: {error}"),
            source: Some(Box::new(error)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        std::thread::Builder::new()
            .name("limnos-catalog-pg".to_owned())
            .spawn(move || runtime.block_on(session.serve(received)))
            .map_err(failed)?;
        let connection = Self { name, requests };
        connection.ask(|reply| Request::Connect { reply })?;
        Ok(connection)
    }

    pub(super) fn begin_upgrade(&mut self) -> Result<()> {
        self.ask(|reply| Request::Begin { purpose: Purpose::Upgrade, reply })
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<Result<T>>) -> Request) -> Result<T> {
        let (reply, answer) = sync_channel(1);
        self.send(request(reply))?;
        received(&answer)?
    }

    fn send(&self, request: Request) -> Result<()> {
        self.requests.send(request).map_err(|_| thread_is_gone())
    }
}

fn received<T>(answers: &Receiver<T>) -> Result<T> {
    answers.recv().map_err(|_| thread_is_gone())
}

/// It has panicked: nothing else ends it while we hold our end.
fn thread_is_gone() -> Error {
    Error::Store { message: "a connection's thread has ended".to_owned(), source: None }
}

fn parameters(values: &[Value<'_>]) -> Result<Vec<Parameter>> {
    values.iter().map(|value| Parameter::new(*value)).collect()
}

impl Connection for PostgresConnection {
    fn name(&self) -> &str {
        &self.name
    }

    fn begin(&mut self) -> Result<()> {
        self.ask(|reply| Request::Begin { purpose: Purpose::Change, reply })
    }

    fn begin_reading(&mut self) -> Result<()> {
        self.ask(|reply| Request::Begin { purpose: Purpose::Read, reply })
    }

    fn commit(&mut self) -> Result<()> {
        self.ask(|reply| Request::Commit { reply })
    }

    fn rollback(&mut self) {
        // Where it fails, the transaction ends with its connection.
        let _ = self.ask(|reply| Request::Rollback { reply });
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let parameters = parameters(values)?;
        self.ask(|reply| Request::Execute { sql, parameters, reply })
    }

    fn execute_each(&mut self, sql: &'static str, rows: &[Vec<Value<'_>>]) -> Result<Vec<u64>> {
        let rows = rows.iter().map(|row| parameters(row)).collect::<Result<_>>()?;
        self.ask(|reply| Request::ExecuteEach { sql, rows, reply })
    }

    fn query(&mut self, sql: &'static str, values: &[Value<'_>], on_row: &mut OnRow<'_>) -> Result<()> {
        let parameters = parameters(values)?;
        let (rows, batches) = sync_channel(ROW_BATCHES_WAITING);
        self.send(Request::Query { sql, parameters, rows })?;
        loop {
            let batch = received(&batches)??;
            if batch.is_empty() {
                return Ok(());
            }
            for row in &batch {
                on_row(&cells(row)?)?;
            }
        }
    }

    fn execute_script(&mut self, script: &str) -> Result<()> {
        let sql = sql::script(script);
        self.ask(|reply| Request::Script { sql, reply })
    }
}
