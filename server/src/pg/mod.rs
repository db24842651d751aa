//! The PostgreSQL endpoint: protocol 3.0 and 3.2 on `pgwire`'s messages, with framing and a message loop of our own.
//!
//! The life of a connection:
//! 1. [`serve`] accepts a socket; the handshake ([`startup`], [`login`]) has a deadline, small buffers, and executes
//!    nothing. [`slots`] are limited.
//! 2. [`wire`] cuts the byte stream into messages, [`frontend`] decodes them.
//! 3. [`connection`] answers them: simple queries itself, the extended protocol in [`extended`] with its [`store`] of
//!    prepared statements and portals ([`parameter`] decodes what is bound), under a [`transaction`] block.
//!    SQL cursors are portals, too ([`cursor`]).
//! 4. [`run`] executes through the [`QueryService`] and streams; [`types`] says which PostgreSQL types the columns are,
//!    [`encode`] writes the rows.
//!    [`copy`] streams rows in the formats of COPY, both ways.
//! 5. [`cancel`] lets another connection stop the statement; [`error`] says what went wrong.

mod activity;
mod cancel;
mod connection;
mod copy;
mod cursor;
pub mod encode;
mod error;
mod extended;
mod frontend;
pub mod in_process;
mod login;
mod parameter;
mod restore;
mod run;
mod slots;
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
use self::login::Ends;
use self::slots::{Handshakes, Slots};
use self::wire::{Stop, Wire};
use crate::auth::{self, AuthMethod, Rules, Throttle, Users};
use crate::limits;
use crate::query::{CancelSlot, QueryService};
use crate::tls::Tls;

/// How the endpoint behaves.
#[derive(Debug, Clone)]
pub struct PgOptions {
    /// Who may connect from where, and how they prove who they are.
    pub rules: Arc<Rules>,
    /// Who may log in by password.
    pub users: Arc<Users>,
    /// Failed logins.
    pub throttle: Arc<Throttle>,
    /// `None` is no TLS.
    pub tls: Option<Arc<Tls>>,
    /// What clients call the one database.
    pub catalog_name: String,
    /// Authenticated connections at a time; the next is refused with `53300`.
    pub connections_max: usize,
    /// How many of them are kept for superusers.
    pub connections_reserved: usize,
    /// How many there are, for whoever shows it.
    pub connections_open: Arc<AtomicUsize>,
    /// From connecting to being authenticated. Brought within
    /// [`limits::AUTHENTICATION_TIMEOUT_MIN`] and [`limits::AUTHENTICATION_TIMEOUT_MAX`].
    pub authentication_timeout: Duration,
    /// For sessions that set none; `None` is never.
    pub idle_session_timeout: Option<Duration>,
    /// Likewise, in a transaction block.
    pub idle_in_transaction_session_timeout: Option<Duration>,
    /// Cancelled at the drain deadline, some time after `serve`'s own `shutdown`: connections that are still busy end.
    pub terminate: CancellationToken,
}

impl PgOptions {
    /// Defaults: SCRAM, nobody may log in, `lake`.
    pub fn new(terminate: CancellationToken) -> Self {
        Self {
            rules: Arc::new(Rules::everyone(AuthMethod::default())),
            users: Arc::default(),
            throttle: Arc::default(),
            tls: None,
            catalog_name: "lake".to_owned(),
            connections_max: limits::CONNECTIONS_MAX,
            connections_reserved: 0,
            connections_open: Arc::default(),
            authentication_timeout: limits::AUTHENTICATION_TIMEOUT,
            idle_session_timeout: None,
            idle_in_transaction_session_timeout: None,
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
    slots: Arc<Slots>,
    handshakes: Handshakes,
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
    let slots =
        Slots::new(options.connections_max, options.connections_reserved, Arc::clone(&options.connections_open));
    let server = Arc::new(Server {
        service,
        options,
        keys: Arc::default(),
        shutdown,
        sockets: AtomicUsize::new(0),
        slots,
        handshakes: Handshakes::default(),
    });
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
    let Some(handshake) = server.handshakes.take(peer.ip()) else {
        tracing::warn!(address = %peer.ip(), "too many connections that have not logged in");
        return;
    };
    // Gone already, if it has no address any more.
    let Ok(local) = socket.local_addr() else { return };
    let terminate = server.options.terminate.child_token();
    let wire = Wire::new(Box::new(socket), terminate.clone());
    let ends = Ends { client: peer, server: local };
    // Each phase in a box of its own: what a handshake needs is not kept for an idle session.
    let established = Box::pin(establish(Arc::clone(&server), wire, terminate, ends)).await;
    drop(handshake);
    if let Some((connection, _held)) = established {
        Box::pin(connection.run()).await;
    }
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

/// What a session holds until its end: its slot, and the key that cancels its statements.
type Held = (slots::Slot, cancel::CancelKey);

/// One client from its first byte to being logged in; `None` if it never is.
async fn establish(
    server: Arc<Server>,
    mut wire: Wire,
    terminate: CancellationToken,
    ends: Ends,
) -> Option<(Connection, Held)> {
    let options = &server.options;
    let timeout =
        options.authentication_timeout.clamp(limits::AUTHENTICATION_TIMEOUT_MIN, limits::AUTHENTICATION_TIMEOUT_MAX);
    let handshake = async {
        let Some(startup) = startup::open(&mut wire, &server).await? else { return Ok(None) };
        let identity = login::authenticate(&mut wire, &startup, ends, options).await?;
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
        Ok(None) | Err(Stop::Gone) => {
            wire.close(None).await;
            return None;
        }
        Err(Stop::Fatal(error)) => {
            wire.close(Some(&error)).await;
            return None;
        }
    };
    // Counted only now: strangers can't use up the connections of those with a password.
    let admitted = server.slots.take(&identity).and_then(|held| {
        options.users.admit(&identity.user).map_err(|refusal| {
            tracing::info!(user = identity.user, reason = refusal.message, "login refused");
            PgError::new(refusal.sqlstate, refusal.message)
        })?;
        let mut session = startup::session(&startup, identity, options)?;
        if !server.service.rights(&session).may_connect() {
            let message = format!("permission denied for database \"{}\"", options.catalog_name);
            return Err(PgError::new("42501", message).with_detail("User does not have CONNECT privilege."));
        }
        let settings = options.users.settings(&session.login.user);
        startup::role_settings(&mut session, &startup, settings);
        server.service.tell_identity(&mut session);
        Ok((session, held))
    });
    let (mut session, held) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            wire.close(Some(&error.fatal())).await;
            return None;
        }
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
    session.client_address = Some(ends.client);
    session.started_at_us = server.service.clock().now().timestamp_micros();
    session.backends = BackendsHandle(Some(Arc::clone(&server.keys) as _));
    let backend = Backend {
        pid: key.pid,
        user: session.user.clone(),
        application_name: session.settings.application_name().to_owned(),
        client_address: session.client_address,
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
    tracing::debug!(user = session.user, pid = key.pid, peer = %ends.client, "client connected");
    let reported = statuses.into_iter().collect();
    Some((Connection::new(wire, Arc::clone(&server), session, slot, activity, reported), (held, key)))
}
