//! A connection's thread: takes [`Request`]s over a channel, speaks to PostgreSQL, answers over channels.
//!
//! The catalog's callers are synchronous and often on threads of somebody else's tokio runtime, where nothing may wait for a
//! future. So each connection has a thread of its own with a runtime of its own, and callers wait on plain channels.
//!
//! A connection that is lost is made again for the next request:
//!
//! | lost | |
//! |---|---|
//! | between two requests, in a query, in a `BEGIN` | made again, asked again |
//! | in a transaction | the transaction has failed, and the caller is told that nothing was changed |
//! | in a `COMMIT` | made again, and PostgreSQL is asked what became of the transaction |

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};

use super::failure::{Failed, LOCK_TIMEOUT, Outcome, answered, failed};
use super::tls::Tls;
use super::url::PostgresUrl;
use super::value::{Kind, Parameter};
use super::{CHANNEL, Wake, sql};
use crate::store::schema::SCHEMA_VERSION;
use crate::{Error, Result};

/// How often a connection is tried before the caller is told, and the pauses between: 0.1, 0.3, 0.9 and 2.7 seconds. A
/// PostgreSQL that is restarted is back within them, and a statement doesn't hang where it isn't.
const CONNECT_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a request that can be asked twice is.
const ASK_ATTEMPTS: u32 = 3;

/// How long one statement may take, reading a million partitions included.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// A transaction that does nothing for so long is undone by PostgreSQL, since all other servers wait behind it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long closing a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Statements on their way at a time.
const PIPELINED: usize = 1024;

/// Rows that go to the caller at a time.
const ROW_BATCH: usize = 512;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To change the catalog, alone.
    Change,
    /// To read one state of it.
    Read,
    /// To make or upgrade its tables, alone.
    Upgrade,
}

pub(super) type Reply<T> = SyncSender<Result<T>>;

/// What a caller asks for.
pub(super) enum Request {
    Connect {
        reply: Reply<()>,
    },
    Begin {
        purpose: Purpose,
        reply: Reply<()>,
    },
    Commit {
        reply: Reply<()>,
    },
    Rollback {
        reply: Reply<()>,
    },
    Execute {
        sql: &'static str,
        parameters: Vec<Parameter>,
        reply: Reply<u64>,
    },
    ExecuteEach {
        sql: &'static str,
        rows: Vec<Vec<Parameter>>,
        reply: Reply<Vec<u64>>,
    },
    /// Answered by batches of rows and, at the end, an empty one.
    Query {
        sql: &'static str,
        parameters: Vec<Parameter>,
        rows: SyncSender<Result<Vec<Row>>>,
    },
    Script {
        sql: String,
        reply: Reply<()>,
    },
}

/// Where the transaction stands.
enum Transaction {
    None,
    /// With PostgreSQL's number for it, if it is to change anything.
    Open(Option<i64>),
    /// The connection was lost in it.
    Lost,
}

/// The connection as its thread has it.
pub(super) struct Session {
    url: PostgresUrl,
    tls: Tls,
    /// Told when another server has committed.
    wake: Option<Sender<Wake>>,
    client: Option<Client>,
    /// Drives the connection.
    link: Option<JoinHandle<()>>,
    statements: HashMap<(&'static str, Vec<Kind>), Statement>,
    transaction: Transaction,
}

impl Session {
    pub(super) fn new(url: PostgresUrl, tls: Tls, wake: Option<Sender<Wake>>) -> Self {
        Self { url, tls, wake, client: None, link: None, statements: HashMap::new(), transaction: Transaction::None }
    }

    /// Answers requests until nobody can make any more.
    pub(super) async fn serve(mut self, mut requests: UnboundedReceiver<Request>) {
        while let Some(request) = requests.recv().await {
            // A caller who is gone needs no answer.
            let _ = match request {
                Request::Connect { reply } => {
                    reply.send(self.connect(1).await.map_err(|failed| self.tell(failed))).ok()
                }
                Request::Begin { purpose, reply } => reply.send(self.begin(purpose).await).ok(),
                Request::Commit { reply } => reply.send(self.commit().await).ok(),
                Request::Rollback { reply } => {
                    self.rollback().await;
                    reply.send(Ok(())).ok()
                }
                Request::Execute { sql, parameters, reply } => reply.send(self.execute(sql, parameters).await).ok(),
                Request::ExecuteEach { sql, rows, reply } => reply.send(self.execute_each(sql, rows).await).ok(),
                Request::Query { sql, parameters, rows } => {
                    let end = self.query(sql, parameters, &rows).await;
                    rows.send(end.map(|()| Vec::new())).ok()
                }
                Request::Script { sql, reply } => reply.send(self.script(&sql).await).ok(),
            };
        }
        // Says good-bye, or PostgreSQL's log would speak of a client that has broken off.
        self.client = None;
        if let Some(link) = self.link {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, link).await;
        }
    }

    /// Sees to it that there is a connection.
    async fn connect(&mut self, attempts: u32) -> Outcome<()> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(());
        }
        self.client = None;
        self.statements.clear();
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.connect_once().await {
                Err(Failed::Lost(_)) if attempt < attempts => tokio::time::sleep(pause).await,
                outcome => return outcome,
            }
            pause *= 3;
        }
        Ok(())
    }

    async fn connect_once(&mut self) -> Outcome<()> {
        // The driver's own timeout ends with the TCP connection: one that is taken and then says nothing would hang.
        let timeout = self.url.connect_timeout();
        let connected = tokio::time::timeout(timeout, self.url.config.connect(self.tls.clone())).await;
        let (client, mut connection) = connected
            .map_err(|_| Failed::Lost(format!("no connection within {} seconds", timeout.as_secs())))?
            .map_err(failed)?;
        let (wake, schema) = (self.wake.clone(), self.url.schema.clone());
        self.link = Some(tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let (AsyncMessage::Notification(notification), Some(wake)) = (message, &wake)
                    && notification.channel() == CHANNEL
                    && notification.payload() == schema
                {
                    // Nobody listens once the catalog is closed.
                    let _ = wake.send(Wake::Changed);
                }
            }
        }));
        answered(client.batch_execute(&self.settings())).await?;
        self.client = Some(client);
        Ok(())
    }

    /// What every connection begins with.
    fn settings(&self) -> String {
        let ms = |duration: Duration| duration.as_millis();
        let mut settings = format!(
            "SET search_path = {}, pg_catalog, pg_temp; SET standard_conforming_strings = on; \
             SET client_min_messages = warning; SET statement_timeout = {}; SET lock_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}; SET tcp_keepalives_idle = 15; \
             SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            sql::identifier(&self.url.schema),
            ms(STATEMENT_TIMEOUT),
            ms(LOCK_TIMEOUT),
            ms(IDLE_TIMEOUT),
        );
        if self.wake.is_some() {
            settings.push_str("; LISTEN ");
            settings.push_str(CHANNEL);
        }
        settings
    }

    fn client(&self) -> Outcome<&Client> {
        self.client.as_ref().ok_or_else(|| Failed::Lost("there is no connection".to_owned()))
    }

    async fn begin(&mut self, purpose: Purpose) -> Result<()> {
        self.transaction = Transaction::None;
        for attempt in 1.. {
            self.connect(CONNECT_ATTEMPTS).await.map_err(|failed| self.tell(failed))?;
            match self.begin_once(purpose).await {
                Ok(number) => {
                    self.transaction = Transaction::Open(number);
                    break;
                }
                Err(Failed::Lost(_)) if attempt < ASK_ATTEMPTS => self.client = None,
                Err(failed) => {
                    self.undo().await;
                    return Err(self.tell(failed));
                }
            }
        }
        Ok(())
    }

    async fn begin_once(&mut self, purpose: Purpose) -> Outcome<Option<i64>> {
        let begin = match purpose {
            // The one row of meta is the lock that serialises all servers.
            Purpose::Change => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
                 SELECT schema_version, txid_current() FROM store, meta FOR UPDATE OF meta"
                .to_owned(),
            // Nobody waits behind it, so it may wait for whoever reads what is exported.
            Purpose::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
                              SET LOCAL idle_in_transaction_session_timeout = 0; SELECT schema_version FROM store"
                .to_owned(),
            // Two servers that start at once: the second finds all done.
            Purpose::Upgrade => format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({}, hashtext({}))",
                super::LOCK_CLASS,
                sql::literal(&self.url.schema)
            ),
        };
        let messages = answered(self.client()?.simple_query(&begin)).await?;
        if purpose == Purpose::Upgrade {
            return Ok(None);
        }
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let number = |index: usize| row.and_then(|row| row.try_get(index).ok().flatten()?.parse::<i64>().ok());
        match number(0) {
            Some(SCHEMA_VERSION) => Ok(number(1)),
            Some(other) if other > SCHEMA_VERSION => Err(Failed::Refused(crate::store::newer(self.url.name(), other))),
            _ => Err(Failed::Refused(super::damaged(self.url.name(), "no version in it"))),
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let number = match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::Open(number) => number,
            Transaction::Lost => return Err(self.nothing_changed("the connection was lost")),
            Transaction::None => return Ok(()),
        };
        // Heard by the others when, and only if, it is committed.
        let commit = format!("NOTIFY {CHANNEL}, {}; COMMIT", sql::literal(&self.url.schema));
        let committed = match self.client() {
            Ok(client) => answered(client.batch_execute(&commit)).await,
            Err(failed) => Err(failed),
        };
        match (committed, number) {
            (Ok(()), _) => Ok(()),
            (Err(Failed::Refused(error)), _) => {
                self.undo().await;
                Err(error)
            }
            (Err(Failed::Lost(reason)), Some(number)) => self.find_outcome(number, &reason).await,
            (Err(failed), None) => Err(self.tell(failed)),
        }
    }

    /// Asks a new connection what became of a transaction whose `COMMIT` was not answered.
    async fn find_outcome(&mut self, number: i64, reason: &str) -> Result<()> {
        self.client = None;
        let mut pause = FIRST_PAUSE;
        // The old session may still be about to notice that we are gone.
        for _ in 0..CONNECT_ATTEMPTS {
            let status = self.status(number).await;
            match status.as_deref() {
                Ok("committed") => return Ok(()),
                Ok("aborted") => return Err(self.nothing_changed(reason)),
                Ok("in progress") => tokio::time::sleep(pause).await,
                _ => break,
            }
            pause *= 3;
        }
        Err(Error::Unreachable {
            name: self.url.name().to_owned(),
            reason: format!("{reason}, and it is not known whether the change was made"),
            hint: Some("See whether it was before you run the statement again.".to_owned()),
        })
    }

    async fn status(&mut self, number: i64) -> Outcome<String> {
        self.connect(CONNECT_ATTEMPTS).await?;
        let ask = format!("SELECT txid_status({number})");
        let messages = answered(self.client()?.simple_query(&ask)).await?;
        let status = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(status.unwrap_or("unknown").to_owned())
    }

    async fn rollback(&mut self) {
        if matches!(std::mem::replace(&mut self.transaction, Transaction::None), Transaction::Open(_)) {
            self.undo().await;
        }
    }

    /// Ends a transaction, if there is one. Where it can't be said, the connection goes, and with it the transaction.
    async fn undo(&mut self) {
        let undone = match self.client() {
            Ok(client) => answered(client.batch_execute("ROLLBACK")).await,
            Err(failed) => Err(failed),
        };
        if undone.is_err() {
            self.client = None;
        }
    }

    async fn execute(&mut self, sql: &'static str, parameters: Vec<Parameter>) -> Result<u64> {
        let changed = self.execute_each(sql, vec![parameters]).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }

    async fn execute_each(&mut self, sql: &'static str, rows: Vec<Vec<Parameter>>) -> Result<Vec<u64>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let outcome = match self.ready().await {
            Ok(()) => self.try_execute_each(sql, &rows).await,
            Err(failed) => Err(failed),
        };
        self.settle(outcome)
    }

    async fn try_execute_each(&mut self, sql: &'static str, rows: &[Vec<Parameter>]) -> Outcome<Vec<u64>> {
        let statement = self.prepare(sql, rows).await?;
        let client = self.client()?;
        // Each is sent when it is first looked at, and the answers come in order.
        stream::iter(rows)
            .map(|row| answered(client.execute_raw(&statement, row)))
            .buffered(PIPELINED)
            .try_collect()
            .await
    }

    async fn query(
        &mut self,
        sql: &'static str,
        parameters: Vec<Parameter>,
        rows: &SyncSender<Result<Vec<Row>>>,
    ) -> Result<()> {
        let parameters = [parameters];
        let is_alone = matches!(self.transaction, Transaction::None);
        let mut outcome = self.ready().await;
        for attempt in 1..=ASK_ATTEMPTS {
            if outcome.is_err() {
                break;
            }
            let mut sent_count = 0;
            outcome = self.try_query(sql, &parameters, rows, &mut sent_count).await;
            let is_lost = matches!(outcome, Err(Failed::Lost(_)));
            if !is_lost || !is_alone || sent_count > 0 || attempt == ASK_ATTEMPTS {
                break;
            }
            self.client = None;
            outcome = self.ready().await;
        }
        self.settle(outcome)
    }

    async fn try_query(
        &mut self,
        sql: &'static str,
        parameters: &[Vec<Parameter>; 1],
        rows: &SyncSender<Result<Vec<Row>>>,
        sent_count: &mut usize,
    ) -> Outcome<()> {
        let statement = self.prepare(sql, parameters).await?;
        let client = self.client()?;
        let mut found = Box::pin(answered(client.query_raw(&statement, &parameters[0])).await?);
        let mut batch = Vec::new();
        while let Some(row) = answered(found.try_next()).await? {
            batch.push(row);
            if batch.len() == ROW_BATCH {
                *sent_count += batch.len();
                // Waits for the caller: this thread has nobody else to serve, and PostgreSQL waits behind it.
                if rows.send(Ok(std::mem::take(&mut batch))).is_err() {
                    return Ok(());
                }
            }
        }
        if !batch.is_empty() {
            *sent_count += batch.len();
            let _ = rows.send(Ok(batch));
        }
        Ok(())
    }

    async fn script(&mut self, script: &str) -> Result<()> {
        let outcome = match self.ready().await {
            Ok(()) => match self.client() {
                Ok(client) => answered(client.batch_execute(script)).await,
                Err(failed) => Err(failed),
            },
            Err(failed) => Err(failed),
        };
        self.settle(outcome)
    }

    /// Whether a statement can be sent: in a transaction only as long as its connection lasts.
    async fn ready(&mut self) -> Outcome<()> {
        match self.transaction {
            Transaction::None => self.connect(CONNECT_ATTEMPTS).await,
            Transaction::Open(_) => Ok(()),
            Transaction::Lost => Err(Failed::Lost("the connection was lost".to_owned())),
        }
    }

    /// Prepares a statement once for each combination of its parameters' kinds.
    async fn prepare(&mut self, text: &'static str, rows: &[Vec<Parameter>]) -> Outcome<Statement> {
        let count = rows.first().map_or(0, Vec::len);
        // A NULL in one row says nothing of the type; the other rows may.
        let kind = |index: usize| {
            let kinds = rows.iter().filter_map(|row| row.get(index)).map(Parameter::kind);
            kinds.into_iter().find(|kind| *kind != Kind::Unknown).unwrap_or(Kind::Unknown)
        };
        let key = (text, (0..count).map(kind).collect::<Vec<_>>());
        if let Some(statement) = self.statements.get(&key) {
            return Ok(statement.clone());
        }
        let types: Vec<_> = key.1.iter().map(|kind| kind.type_()).collect();
        let statement = answered(self.client()?.prepare_typed(&sql::statement(text), &types)).await?;
        self.statements.insert(key, statement.clone());
        Ok(statement)
    }

    /// Notes what a failure means for the connection and the transaction, and words it.
    fn settle<T>(&mut self, outcome: Outcome<T>) -> Result<T> {
        outcome.map_err(|failed| match failed {
            Failed::Refused(error) => error,
            Failed::Lost(reason) => {
                self.client = None;
                match self.transaction {
                    Transaction::None => self.tell(Failed::Lost(reason)),
                    Transaction::Open(_) | Transaction::Lost => {
                        self.transaction = Transaction::Lost;
                        self.nothing_changed(&reason)
                    }
                }
            }
        })
    }

    fn tell(&self, failed: Failed) -> Error {
        match failed {
            Failed::Refused(error) => error,
            Failed::Lost(reason) => Error::Unreachable {
                name: self.url.name().to_owned(),
                reason,
                hint: Some("Run the statement again once PostgreSQL is there.".to_owned()),
            },
        }
    }

    fn nothing_changed(&self, reason: &str) -> Error {
        Error::Unreachable {
            name: self.url.name().to_owned(),
            reason: format!("{reason}; nothing was changed"),
            hint: Some("Run the statement again.".to_owned()),
        }
    }
}
