//! TLS by rustls with ring. In: files of a certificate, its key and perhaps an authority of clients' certificates. Out: what
//! a handshake needs, as the files are now.
//!
//! [`load`] reads and checks, [`certificate`] tells what is in a certificate. What doesn't work stops the start; later it
//! leaves what worked in place, and an error in the log.

mod certificate;
mod load;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use limnos_engine::session::Encryption;
use parking_lot::{Mutex, RwLock};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};

pub use certificate::{end_point, names};
pub use load::TlsError;

/// The one protocol that is spoken inside, by its name of ALPN
/// (<https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL>).
pub const ALPN: &[u8] = b"postgresql";

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// 1.2, PostgreSQL's default, too.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

/// What TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// PEM file of the authorities that sign clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// What the files held when they were read.
pub struct Loaded {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The certificate's hash that clients bind their login to (RFC 5929); `None` where it has none (Ed25519).
    pub end_point: Option<Arc<[u8]>>,
    /// The certificate's end, seconds since 1970.
    not_after: Option<i64>,
}

/// A file's identity at a time; another one means that it has changed.
type Stamp = Option<(SystemTime, u64)>;

/// TLS with its files watched: each handshake looks whether they have changed.
pub struct Tls {
    options: TlsOptions,
    current: RwLock<Arc<Loaded>>,
    /// The files that were read last, whether or not they could be used.
    tried: Mutex<Vec<Stamp>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file is missing or isn't what it should be; the key is another certificate's, or readable by others.
    pub fn open(options: TlsOptions) -> Result<Self, TlsError> {
        let stamps = options.stamps();
        let loaded = load::load(&options)?;
        warn_of_expiry(&options, &loaded);
        Ok(Self { options, current: RwLock::new(Arc::new(loaded)), tried: Mutex::new(stamps) })
    }

    /// What a new connection gets. Three calls of `stat` a handshake, which itself computes for a hundred times as long.
    pub fn current(&self) -> Arc<Loaded> {
        let stamps = self.options.stamps();
        if *self.tried.lock() != stamps {
            self.reload();
        }
        Arc::clone(&self.current.read())
    }

    /// Reads the files again. Connections that are open keep what they have.
    pub fn reload(&self) {
        // Before the files: if they change in between they are read again.
        *self.tried.lock() = self.options.stamps();
        match load::load(&self.options) {
            Ok(loaded) => {
                warn_of_expiry(&self.options, &loaded);
                *self.current.write() = Arc::new(loaded);
                tracing::info!(certificate = %self.options.certificate.display(), "TLS certificate loaded");
            }
            Err(error) => {
                tracing::error!(%error, hint = error.hint, "new TLS files can't be used, the old ones stay in place");
            }
        }
    }
}

impl TlsOptions {
    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(stamp).collect()
    }
}

/// A certificate that has expired is served: clients that check it refuse, those that don't are still better off.
fn warn_of_expiry(options: &TlsOptions, loaded: &Loaded) {
    let now = rustls::pki_types::UnixTime::now().as_secs();
    let (Some(not_after), Ok(now)) = (loaded.not_after, i64::try_from(now)) else { return };
    let certificate = options.certificate.display();
    let days = (not_after - now).div_euclid(86_400);
    if not_after <= now {
        tracing::warn!(%certificate, "the TLS certificate has expired");
    } else if days < 14 {
        tracing::warn!(%certificate, days, "the TLS certificate expires soon");
    }
}

/// What was agreed on, as `pg_stat_ssl` shows it.
pub fn encryption(connection: &ServerConnection) -> Encryption {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "unknown",
    };
    let (cipher, bits) = connection.negotiated_cipher_suite().map_or(("unknown", 0), |suite| cipher(suite.suite()));
    let client = connection.peer_certificates().and_then(|chain| chain.first()).and_then(certificate::identity);
    Encryption { version, cipher, bits, client }
}

/// The certificate that the client has shown, and that its authority has signed.
pub fn client_certificate(connection: &ServerConnection) -> Option<&CertificateDer<'static>> {
    connection.peer_certificates().and_then(|chain| chain.first())
}

/// OpenSSL's name, which is what PostgreSQL shows, and the key's bits.
fn cipher(suite: CipherSuite) -> (&'static str, i32) {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => ("TLS_AES_256_GCM_SHA384", 256),
        CipherSuite::TLS13_AES_128_GCM_SHA256 => ("TLS_AES_128_GCM_SHA256", 128),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => ("TLS_CHACHA20_POLY1305_SHA256", 256),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => ("ECDHE-ECDSA-AES256-GCM-SHA384", 256),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => ("ECDHE-ECDSA-AES128-GCM-SHA256", 128),
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => ("ECDHE-ECDSA-CHACHA20-POLY1305", 256),
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => ("ECDHE-RSA-AES256-GCM-SHA384", 256),
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => ("ECDHE-RSA-AES128-GCM-SHA256", 128),
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => ("ECDHE-RSA-CHACHA20-POLY1305", 256),
        _ => ("unknown", 0),
    }
}
