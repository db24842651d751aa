//! The PostgreSQL endpoint: protocol 3.0 and 3.2 on `pgwire`'s messages, with framing and a message loop of our own.
//!
//! The life of a connection:
//! 1. [`serve`] accepts a socket; the handshake ([`startup`]) has a deadline, small buffers, and executes nothing.
//! 2. [`wire`] cuts the byte stream into messages, [`frontend`] decodes them.
//! 3. [`connection`] answers them: simple queries itself, the extended protocol in [`extended`] with its [`store`] of
//!    prepared statements and portals ([`parameter`] decodes what is bound), under a [`transaction`] block.
//!    SQL cursors are portals, too ([`cursor`]).
//! 4. [`run`] executes through the [`QueryService`] and streams; [`types`] says which PostgreSQL types the columns are,
//!    [`encode`] writes the rows.
//! 5. [`cancel`] lets another connection stop the statement; [`error`] says what went wrong.

mod activity;
mod cancel;
mod connection;
mod cursor;
pub mod encode;
mod error;
mod extended;
mod frontend;
mod parameter;
mod restore;
mod run;
mod startup;
mod statement;
mod store;
mod transaction;
pub mod types;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use limnos_engine::session::{Backend, BackendsHandle};
use pgwire::messages::startup::{BackendKeyData, ParameterStatus, SecretKey};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::Activity;
use self::cancel::CancelKeys;
use self::connection::Connection;
use self::error::PgError;
use self::wire::{Stop, Wire};
use crate::auth::{self, AuthMethod, Users};
use crate::limits;
use crate::query::{CancelSlot, QueryService};

/// How the endpoint behaves.
#[derive(Debug, Clone)]
pub struct PgOptions {
    /// How clients prove who they are.
    pub auth: AuthMethod,
    /// Who may log in, for [`AuthMethod::ScramSha256`].
    pub users: Arc<Users>,
    /// What clients call the one database.
    pub catalog_name: String,
    /// Authenticated connections at a time; the next is refused with `53300`.
    pub connections_max: usize,
    /// How many there are, for whoever shows it.
    pub connections_open: Arc<AtomicUsize>,
    /// From connecting to being authenticated. Brought within
    /// [`limits::AUTHENTICATION_TIMEOUT_MIN`] and [`limits::AUTHENTICATION_TIMEOUT_MAX`].
    pub authentication_timeout: Duration,
    /// Cancelled at the drain deadline, some time after `serve`'s own `shutdown`: connections that are still busy end.
    pub terminate: CancellationToken,
}

impl PgOptions {
    /// Defaults: SCRAM, nobody may log in, `lake`.
    pub fn new(terminate: CancellationToken) -> Self {
        Self {
            auth: AuthMethod::default(),
            users: Arc::default(),
            catalog_name: "lake".to_owned(),
            connections_max: limits::CONNECTIONS_MAX,
            connections_open: Arc::default(),
            authentication_timeout: limits::AUTHENTICATION_TIMEOUT,
            terminate,
        }
    }
}

/// What the connections of one listener share.
pub(crate) struct Server {
    service: Arc<QueryService>,
    options: PgOptions,
    keys: Arc<CancelKeys>,
    shutdown: CancellationToken,
    sockets: AtomicUsize,
}

/// One of a counted number, given back when dropped.
struct Permit<'a>(&'a AtomicUsize);

impl<'a> Permit<'a> {
    fn take(counter: &'a AtomicUsize, max: usize) -> Option<Self> {
        let permit = Self(counter);
        // Dropped at once, and so given back, when it is one too many.
        (counter.fetch_add(1, Ordering::AcqRel) < max).then_some(permit)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves clients until `shutdown` is cancelled and the last connection has ended. Idle connections end at once, busy ones
/// after their statement, or when `options.terminate` is cancelled.
pub async fn serve(listener: TcpListener, service: Arc<QueryService>, options: PgOptions, shutdown: CancellationToken) {
    let server = Arc::new(Server { service, options, keys: Arc::default(), shutdown, sockets: AtomicUsize::new(0) });
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let server = Arc::clone(&server);
                tasks.spawn(async move { accept(server, socket, peer).await });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others have to end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn accept(server: Arc<Server>, socket: TcpStream, peer: SocketAddr) {
    let sockets_max = server.options.connections_max.saturating_add(limits::HANDSHAKES_MAX);
    let Some(_permit) = Permit::take(&server.sockets, sockets_max) else { return };
    if let Err(error) = prepare_socket(&socket) {
        tracing::debug!(%error, "socket options not set");
    }
    let terminate = server.options.terminate.child_token();
    let wire = Wire::new(Box::new(socket), terminate.clone());
    client(Arc::clone(&server), wire, terminate, Some(peer)).await;
}

/// Small answers leave at once, and a peer whose machine is gone is noticed.
fn prepare_socket(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_IDLE)
        .with_interval(limits::KEEPALIVE_INTERVAL)
        .with_retries(limits::KEEPALIVE_RETRIES);
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// One client from its first byte to its last.
async fn client(server: Arc<Server>, mut wire: Wire, terminate: CancellationToken, peer: Option<SocketAddr>) {
    let options = &server.options;
    let timeout =
        options.authentication_timeout.clamp(limits::AUTHENTICATION_TIMEOUT_MIN, limits::AUTHENTICATION_TIMEOUT_MAX);
    let handshake = async {
        let Some(startup) = startup::open(&mut wire, &server).await? else { return Ok(None) };
        let identity = startup::authenticate(&mut wire, &startup, options).await?;
        Ok(Some((startup, identity)))
    };
    let handshake = tokio::select! {
        biased;
        () = server.shutdown.cancelled() => Err(PgError::new("57P03", "the database system is shutting down").into()),
        handshake = tokio::time::timeout(timeout, handshake) => {
            handshake.unwrap_or_else(|_| Err(PgError::new("08P01", "authentication timed out").into()))
        }
    };
    let (startup, identity) = match handshake {
        Ok(Some(authenticated)) => authenticated,
        Ok(None) | Err(Stop::Gone) => return wire.close(None).await,
        Err(Stop::Fatal(error)) => return wire.close(Some(&error)).await,
    };
    // Counted only now: strangers can't use up the connections of those with a password.
    let Some(_permit) = Permit::take(&options.connections_open, options.connections_max) else {
        let error = PgError::new("53300", "sorry, too many clients already").fatal();
        return wire.close(Some(&error)).await;
    };
    let mut session = match startup::session(&startup, identity, options) {
        Ok(session) => session,
        Err(error) => return wire.close(Some(&error.fatal())).await,
    };
    let slot = CancelSlot::default();
    // Protocol 3.2 has room for a key that can't be guessed; 3.0 has four bytes.
    let secret = if startup.minor >= 2 {
        Bytes::copy_from_slice(&auth::random::<32>())
    } else {
        Bytes::copy_from_slice(&auth::random::<4>())
    };
    let key = server.keys.register(secret, slot.clone());
    session.backend_pid = key.pid;
    session.client_address = peer;
    session.started_at_us = server.service.clock().now().timestamp_micros();
    session.backends = BackendsHandle(Some(Arc::clone(&server.keys) as _));
    let backend = Backend {
        pid: key.pid,
        user: session.user.clone(),
        application_name: session.settings.application_name().to_owned(),
        client_address: peer,
        started_at_us: session.started_at_us,
        state: "idle",
        state_since_us: session.started_at_us,
        query: None,
    };
    let clock = Arc::clone(server.service.clock());
    let activity = Arc::new(Activity::new(backend, slot.clone(), terminate, clock));
    server.keys.show(key.pid, &activity);
    let statuses = startup::parameter_statuses(&session);
    for (name, value) in &statuses {
        wire.send(&ParameterStatus::new((*name).to_owned(), value.clone()));
    }
    wire.send(&BackendKeyData::new(key.pid, SecretKey::Bytes(key.secret.clone())));
    tracing::debug!(user = session.user, pid = key.pid, peer = ?peer, "client connected");
    let reported = statuses.into_iter().collect();
    Connection::new(wire, Arc::clone(&server), session, slot, activity, reported).run().await;
}
