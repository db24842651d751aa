//! [`InProcess`]: the endpoint for clients in this process, over memory instead of a socket. `limnos shell` on a folder speaks
//! to it as it does to a server, so all that the endpoint can do is there without a port that others could reach.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use super::cancel::CancelKeys;
use super::login::Ends;
use super::slots::{Handshakes, Slots};
use super::wire::Wire;
use super::{PgOptions, Server, establish};
use crate::auth::{AuthMethod, Rules};
use crate::query::QueryService;

/// Bytes on their way in each direction: a reader that stops holds up its query, as over a socket.
const BUFFER_BYTES: usize = 256 << 10;

/// See the module. Dropping it ends its sessions.
pub struct InProcess {
    server: Arc<Server>,
    /// Sessions are told apart by their address, which has a number instead of a port.
    count: AtomicU16,
}

impl InProcess {
    /// An endpoint over `service`, whose clients are believed: they are this process.
    pub fn new(service: Arc<QueryService>, catalog_name: &str) -> Self {
        let shutdown = CancellationToken::new();
        let options = PgOptions {
            rules: Arc::new(Rules::everyone(AuthMethod::Trust)),
            catalog_name: catalog_name.to_owned(),
            ..PgOptions::new(shutdown.clone())
        };
        let slots = Slots::new(options.connections_max, 0, Arc::clone(&options.connections_open));
        let server = Server {
            service,
            options,
            keys: Arc::<CancelKeys>::default(),
            shutdown,
            sockets: AtomicUsize::new(0),
            slots,
            handshakes: Handshakes::default(),
        };
        Self { server: Arc::new(server), count: AtomicU16::new(1) }
    }

    /// A new connection, and the address that the server knows it by. To be called inside the runtime that carries it.
    pub fn connect(&self) -> (DuplexStream, SocketAddr) {
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, self.count.fetch_add(1, Ordering::Relaxed)));
        let ends = Ends { client, server: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let server = Arc::clone(&self.server);
        let terminate = server.options.terminate.child_token();
        let wire = Wire::new(Box::new(theirs), terminate.clone());
        tokio::spawn(async move {
            if let Some((connection, _held)) = Box::pin(establish(server, wire, terminate, ends)).await {
                Box::pin(connection.run()).await;
            }
        });
        (ours, client)
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.server.shutdown.cancel();
    }
}
