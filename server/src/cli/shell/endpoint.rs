//! [`Endpoint`]: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...` -> where a server is, and how to get in. Passwords
//! come from where libpq looks: the URL, `PGPASSWORD`, a file of passwords.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// The port of a server whose URL names none.
const PORT: u16 = 5439;

/// Where a server is.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) options: Option<String>,
    /// `None` where TLS is not wanted.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) is_tls_required: bool,
}

impl Endpoint {
    /// Takes a URL apart; `environment` is asked for libpq's variables.
    ///
    /// # Errors
    /// What is wrong with it. It isn't quoted: a password may be in it.
    pub(crate) fn parse(url: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut passfile, mut rest) = (None, None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "sslmode" => mode = Some(value.to_owned()),
                "sslrootcert" => roots = Some(value.replace("%2F", "/")),
                "passfile" => passfile = Some(PathBuf::from(value.replace("%2F", "/"))),
                _ => rest.push(pair),
            }
        }
        let rest = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let config: Config = rest.parse().map_err(|error| format!("the server's URL is not valid: {error}"))?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) if !host.is_empty() => host.clone(),
            None if config.get_hostaddrs().is_empty() => return Err("the server's URL names no host".to_owned()),
            None => config.get_hostaddrs()[0].to_string(),
            Some(_) => return Err("sockets in the file system are not supported".to_owned()),
        };
        // A URL that names none is read as if it named PostgreSQL's.
        let is_port_named = names_port(base) || rest.contains("port=");
        let port = config.get_ports().last().copied().filter(|_| is_port_named).unwrap_or(PORT);
        let text = |name: &str| environment(name).filter(|value| !value.is_empty());
        let user = config.get_user().map(str::to_owned).or_else(|| text("PGUSER"));
        let database = config.get_dbname().map(str::to_owned).or_else(|| text("PGDATABASE"));
        let mode = mode.or_else(|| text("PGSSLMODE")).unwrap_or_else(|| "prefer".to_owned());
        let roots = roots.or_else(|| text("PGSSLROOTCERT"));
        let (is_tls_required, verifies) = match (mode.as_str(), &roots) {
            ("disable", _) => (false, None),
            ("allow" | "prefer", _) => (false, Some(false)),
            // As libpq: whoever names authorities wants them asked.
            ("require", None) => (true, Some(false)),
            ("require" | "verify-ca" | "verify-full", _) => (true, Some(true)),
            (other, _) => {
                return Err(format!(
                    "sslmode \"{other}\" is not one of disable, prefer, require, verify-ca, verify-full"
                ));
            }
        };
        let tls = verifies.map(|verifies| tls(verifies, roots.as_deref())).transpose()?;
        let of_url = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
        let mut password = of_url.or_else(|| text("PGPASSWORD"));
        if password.is_none() {
            let home = || text("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
            let is_named = passfile.is_some();
            let file = passfile.or_else(|| text("PGPASSFILE").map(PathBuf::from)).or_else(home);
            let wanted = [
                host.clone(),
                port.to_string(),
                database.clone().or_else(|| user.clone()).unwrap_or_default(),
                user.clone().unwrap_or_else(|| crate::serve::DEFAULT_USER.to_owned()),
            ];
            password = file.map(|file| password_in(&file, is_named, &wanted)).transpose()?.flatten();
        }
        let options = config.get_options().map(str::to_owned);
        Ok(Self { host, port, user, password, database, options, tls, is_tls_required })
    }
}

/// Whether `postgres://USER@HOST:PORT/DATABASE` has the port.
fn names_port(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The password that a file in libpq's format has for a host, port, database and user.
fn password_in(path: &Path, is_named: bool, wanted: &[String; 4]) -> Result<Option<String>, String> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(_) if !is_named => return Ok(None),
        Err(error) => return Err(format!("password file \"{}\" cannot be read: {error}", path.display())),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
            return Err(format!(
                "password file \"{}\" may be read by others; make it yours alone with chmod 600",
                path.display()
            ));
        }
    }
    let fits = |line: &&str| {
        let fields = fields(line);
        fields.len() == 5 && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted)
    };
    let found = text.lines().filter(|line| !line.starts_with('#')).find(fits);
    Ok(found.and_then(|line| fields(line).pop()))
}

/// `host:port:database:user:password`, where a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut characters) = (vec![String::new()], line.chars());
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            '\\' => fields[last].extend(characters.next()),
            ':' if last < 4 => fields.push(String::new()),
            character => fields[last].push(character),
        }
    }
    fields
}

/// What TLS needs: with `verifies` the certificate has to be signed by an authority and to name the host.
fn tls(verifies: bool, roots: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if !verifies {
        let anyone = Arc::new(Anyone(provider));
        return Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()));
    }
    let mut store = RootCertStore::empty();
    match roots.filter(|path| *path != "system") {
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let refuse = |error: &dyn std::fmt::Display| format!("sslrootcert \"{path}\" cannot be used: {error}");
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(&error))? {
                store.add(certificate.map_err(|error| refuse(&error))?).map_err(|error| refuse(&error))?;
            }
        }
    }
    if store.is_empty() {
        return Err("there are no certificates of authorities; name a file with sslrootcert=".to_owned());
    }
    Ok(Arc::new(builder.with_root_certificates(store).with_no_client_auth()))
}

/// Checks that the server has its certificate's key, and nothing about who it is: TLS keeps out those who only listen.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let none = |_: &str| None;
        let endpoint = Endpoint::parse("postgres://ann:pw@db:6000/lake?sslmode=disable", none).unwrap();
        assert_eq!((endpoint.host.as_str(), endpoint.port), ("db", 6000));
        assert_eq!((endpoint.user.as_deref(), endpoint.password.as_deref()), (Some("ann"), Some("pw")));
        assert!(endpoint.tls.is_none() && !endpoint.is_tls_required);
        let endpoint = Endpoint::parse("postgres://db", |name| (name == "PGPASSWORD").then(|| "x".to_owned())).unwrap();
        assert_eq!((endpoint.port, endpoint.password.as_deref(), endpoint.is_tls_required), (PORT, Some("x"), false));
        assert!(Endpoint::parse("postgres://db?sslmode=no", none).is_err());
        assert!(Endpoint::parse("postgres:///lake", none).is_err());
    }

    #[test]
    fn passwords_are_found_in_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# a comment\nother:*:*:*:no\ndb:5439:*:ann:p\\:w\n").unwrap();
        let wanted = |host: &str| [host.to_owned(), "5439".to_owned(), "lake".to_owned(), "ann".to_owned()];
        assert_eq!(password_in(file.path(), true, &wanted("db")).unwrap().as_deref(), Some("p:w"));
        assert_eq!(password_in(file.path(), true, &wanted("else")).unwrap(), None);
        assert!(password_in(Path::new("/nosuch"), true, &wanted("db")).is_err());
    }
}
