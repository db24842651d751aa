//! The limits that hold for every connection, with the reason for each.

use std::time::Duration;

/// Longest message before authentication. A stranger can make the server hold this much, no more; a startup packet with
/// every setting a driver sends takes under 2 KiB.
pub const PRE_AUTH_BYTES_MAX: usize = 64 << 10;

/// Longest startup packet; PostgreSQL's limit.
pub const STARTUP_BYTES_MAX: usize = 10_000;

/// A message that was begun has to grow by this much in this time: a slow line does, a peer that holds a connection with a
/// byte now and then doesn't.
pub const MESSAGE_PACE_BYTES: usize = 4 << 10;
/// See [`MESSAGE_PACE_BYTES`].
pub const MESSAGE_PACE_TIME: Duration = Duration::from_secs(60);

/// How long a client that doesn't read may keep its connection after its query was cancelled for that.
pub const WRITE_STALL_AFTER_CANCEL: Duration = Duration::from_secs(30);

/// Longest message of an authenticated client: bounds what one session's Bind may hold. SQL text has its own, smaller
/// limit in the engine.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Output is handed to the socket when this much has gathered: large enough that a system call costs nothing per row,
/// small enough that fifty sessions hold next to nothing.
pub const FLUSH_BYTES: usize = 64 << 10;

/// What is read ahead of a running statement while the socket is watched for the client's going away. More than a
/// pipelining driver sends ahead in practice; beyond it reading stops, and the client waits.
pub const READ_AHEAD_BYTES_MAX: usize = 1 << 20;

/// How long a client may take from connecting to being authenticated, by default.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of the configured authentication timeout: shorter ones fail over slow networks, longer ones let idle sockets
/// pile up.
pub const AUTHENTICATION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// See [`AUTHENTICATION_TIMEOUT_MIN`].
pub const AUTHENTICATION_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Authenticated connections, by default: idle ones cost some KiB each, and heavy plans are admitted elsewhere.
pub const CONNECTIONS_MAX: usize = 5_000;

/// Connections kept for superusers, by default; PostgreSQL's.
pub const CONNECTIONS_RESERVED: usize = 3;

/// Sockets that may be in their handshake beside the authenticated ones. Beyond it new sockets are closed unread, so that
/// strangers can't use up the file descriptors.
pub const HANDSHAKES_MAX: usize = 1024;

/// Of them, those of one address: some hundred clients of one machine may come at once, one stranger can't keep all out.
pub const HANDSHAKES_OF_ADDRESS_MAX: usize = 640;

/// Prepared statements of one session. Drivers cache some hundreds.
pub const STATEMENTS_MAX: usize = 4096;

/// Bytes of SQL text of all prepared statements of one session.
pub const STATEMENT_BYTES_MAX: usize = 32 << 20;

/// Portals of one session. Each may hold a running query.
pub const PORTALS_MAX: usize = 64;

/// Bytes of bound parameters of all portals of one session.
pub const PORTAL_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// Most settings in a startup packet.
pub const STARTUP_SETTINGS_MAX: usize = 256;

/// Longest line of COPY FROM STDIN, and longest row of its binary form: it is held in whole. As long as a row of a text file
/// may be.
pub const COPY_LINE_BYTES_MAX: usize = 64 << 20;

/// Bytes of COPY FROM STDIN that are read and not yet taken apart: enough for the socket and the parser to go on side by side.
/// A message that is longer goes alone.
pub const COPY_AHEAD_BYTES: usize = 1 << 20;

/// Longest error text sent to a client. libpq takes more, but an error that long is data, not a message.
pub const ERROR_TEXT_BYTES_MAX: usize = 8 << 10;

/// A silent connection is probed after this long, and given up after some failed probes: a client whose machine is gone
/// is noticed within two minutes.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Failed probes until the connection is given up.
pub const KEEPALIVE_RETRIES: u32 = 4;

/// SCRAM rounds for passwords given in plain text; what PostgreSQL takes.
pub const SCRAM_ITERATIONS: u32 = 4096;

/// RowDescription and DataRow count columns in an int16; PostgreSQL's own limit for a result is 1664.
pub const RESULT_COLUMNS_MAX: usize = i16::MAX as usize;

const _: () = assert!(STARTUP_BYTES_MAX <= PRE_AUTH_BYTES_MAX && PRE_AUTH_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(STATEMENT_BYTES_MAX <= MESSAGE_BYTES_MAX);
const _: () = assert!(HANDSHAKES_OF_ADDRESS_MAX < HANDSHAKES_MAX);
const _: () = assert!(SCRAM_ITERATIONS >= 4096, "RFC 7677 asks for at least 4096 rounds");
