//! Files -> [`Loaded`], or an error that names the file and says what to do.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::{ALPN, Loaded, TlsOptions, TlsVersion, certificate};

/// Why TLS can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsError {
    message: String,
    pub(crate) hint: Option<String>,
}

impl TlsError {
    fn new(what: &str, path: &Path, reason: impl std::fmt::Display) -> Self {
        Self { message: format!("TLS {what} file \"{}\" {reason}", path.display()), hint: None }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub(super) fn load(options: &TlsOptions) -> Result<Loaded, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates("certificate", &options.certificate)?;
    let key = private_key(&options.key)?;
    let end_point = certificate::end_point(&chain[0]);
    let not_after = certificate::not_after(&chain[0]);
    let versions = match options.min_version {
        TlsVersion::Tls12 => BOTH,
        TlsVersion::Tls13 => NEWEST,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::new("certificate", &options.certificate, format!("cannot be used: {error}")))?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(client_verifier(path, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let certificate = options.certificate.display();
            TlsError::new("key", &options.key, format!("is not the key of the certificate \"{certificate}\""))
                .with_hint("Use the key that the certificate was made with; the server's own certificate comes first in its file.")
        }
        error => TlsError::new("key", &options.key, format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // As PostgreSQL: no connection goes on from an earlier one, so none skips the client's certificate, and nothing is
    // kept for those that are closed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if end_point.is_none() {
        tracing::info!(
            certificate = %options.certificate.display(),
            "the TLS certificate's signature has no hash of its own, so SCRAM-SHA-256-PLUS is not offered"
        );
    }
    Ok(Loaded { config: Arc::new(config), end_point, not_after })
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| {
        let refused = TlsError::new(what, path, format!("cannot be read: {error}"));
        match error.kind() {
            ErrorKind::PermissionDenied => refused.with_hint("Give it to the user that runs the server."),
            _ => refused,
        }
    })
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(what, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| TlsError::new(what, path, format!("is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(TlsError::new(what, path, "holds no certificate")
            .with_hint("It is to be PEM: -----BEGIN CERTIFICATE-----."));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let metadata =
        fs::metadata(path).map_err(|error| TlsError::new("key", path, format!("cannot be read: {error}")))?;
    // PostgreSQL's rule: the server's user alone, or root's with the server's group (for keys that a system hands out).
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(TlsError::new("key", path, "has group or world access").with_hint(
            "It must have permissions u=rw (0600) or less if owned by the server's user, or u=rw,g=r (0640) or less if owned by root.",
        ));
    }
    let text = read("key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let refused = TlsError::new("key", path, "holds no private key");
        if text.windows(9).any(|part| part == b"ENCRYPTED") {
            TlsError::new("key", path, "is encrypted")
                .with_hint("Nobody can be asked for its passphrase: write it without one, and guard the file.")
        } else {
            refused.with_hint("It is to be PEM: -----BEGIN PRIVATE KEY-----.")
        }
    })
}

fn client_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("client_ca", path)? {
        let refuse =
            |error| TlsError::new("client_ca", path, format!("holds a certificate that cannot be used: {error}"));
        roots.add(authority).map_err(refuse)?;
    }
    // Who shows none is let on to the rules, which may ask for one.
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::new("client_ca", path, format!("cannot be used: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::super::Tls;
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let files = Self { folder: tempfile::tempdir().unwrap() };
            files.make("localhost");
            files
        }

        fn make(&self, name: &str) {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
            self.write("cert.pem", &certificate.pem(), 0o644);
            self.write("key.pem", &key.serialize_pem(), 0o600);
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            fs::write(self.path(name), text).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn options(&self) -> TlsOptions {
            TlsOptions {
                certificate: self.path("cert.pem"),
                key: self.path("key.pem"),
                client_ca: None,
                min_version: TlsVersion::Tls12,
            }
        }
    }

    fn refused(options: &TlsOptions, message: &str) {
        let error = load(options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(message), "expected {message:?}, got {error:?}");
    }

    #[test]
    fn what_is_broken_is_named() {
        let files = Files::new();
        let good = files.options();
        assert!(load(&good).is_ok_and(|loaded| loaded.end_point.is_some_and(|hash| hash.len() == 32)));
        refused(&TlsOptions { certificate: files.path("nosuch"), ..good.clone() }, "nosuch\" cannot be read");
        refused(&TlsOptions { key: files.path("nosuch"), ..good.clone() }, "key file");
        refused(&TlsOptions { client_ca: Some(files.path("nosuch")), ..good.clone() }, "client_ca file");
        files.write("garbage", "nothing", 0o600);
        refused(&TlsOptions { certificate: files.path("garbage"), ..good.clone() }, "holds no certificate");
        refused(&TlsOptions { key: files.path("garbage"), ..good.clone() }, "holds no private key");
        files.write(
            "locked",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            0o600,
        );
        refused(&TlsOptions { key: files.path("locked"), ..good.clone() }, "is encrypted");
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        files.write("other", &other, 0o600);
        refused(&TlsOptions { key: files.path("other"), ..good.clone() }, "is not the key of the certificate");
        files.write("open", &other, 0o604);
        refused(&TlsOptions { key: files.path("open"), ..good }, "has group or world access");
    }

    #[test]
    fn changed_files_are_taken_and_broken_ones_are_not() {
        let files = Files::new();
        let tls = Tls::open(files.options()).unwrap();
        let first = tls.current();
        assert!(Arc::ptr_eq(&first, &tls.current()));
        files.make("a-longer-name.example");
        let second = tls.current();
        assert!(!Arc::ptr_eq(&first, &second) && first.end_point != second.end_point);
        // Half of a new pair, as a tool that writes one file after the other leaves it for a moment.
        files.write("key.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem(), 0o600);
        let during = tls.current();
        assert!(Arc::ptr_eq(&second, &during));
        files.write("cert.pem", "", 0o644);
        assert!(Arc::ptr_eq(&second, &tls.current()));
        files.make("third.example");
        tls.reload();
        assert_ne!(second.end_point, tls.current().end_point);
    }
}
