//! [`PostgresUrl`]: `postgres://user:password@host:port/database?schema=...` -> how to connect, and a name without the
//! password.
//!
//! Hosts, ports, `connect_timeout` and so on are libpq's and go to the driver as they are. What the driver doesn't know is
//! taken out first:
//!
//! | parameter | |
//! |---|---|
//! | `schema` | where the catalog's tables are; `limnos` unless said otherwise |
//! | `sslmode` | `disable`, `prefer` (as libpq's default), `require`, `verify-ca`, `verify-full` |
//! | `sslrootcert` | a PEM file of the authorities to trust, or `system` |
//! | `passfile` | a file of passwords, in libpq's format |

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::passfile;
use crate::{Error, Result};

/// The schema that has the catalog's tables, unless the URL names another.
const DEFAULT_SCHEMA: &str = "limnos";

/// The most bytes of a PostgreSQL name; it would cut off a longer one.
const SCHEMA_BYTES_MAX: usize = 63;

/// How long a host may take to answer, where the URL doesn't say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that is gone without a word is noticed after 15 + 3 * 5 seconds, and data that nobody takes after 30.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a name may show as it is; the rest is escaped.
const IN_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// How much the server's certificate has to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: TLS keeps out those who only listen.
    Anyone,
    /// That an authority has signed it.
    Authority,
    /// That, and the host's name.
    AuthorityAndName,
}

/// Where a catalog in PostgreSQL is and how to get there. Shows no password, whoever prints it.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(crate) schema: String,
    pub(super) trust: Trust,
    /// `None` is the system's authorities.
    pub(super) root_cert: Option<PathBuf>,
    passfile: Option<PathBuf>,
    name: String,
}

impl PostgresUrl {
    /// Whether `text` is meant to be one.
    pub(crate) fn is_one(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what is wrong and doesn't quote the URL, since a password may be in it.
    pub fn parse(text: &str) -> Result<Self> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut schema, mut ssl_mode, mut root_cert, mut passfile) = (None, None, None, None);
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = || {
                let decoded = percent_decode_str(value).decode_utf8();
                decoded.map(String::from).map_err(|_| invalid(format!("parameter \"{key}\" is not UTF-8")))
            };
            match key {
                "schema" => schema = Some(value()?),
                "sslmode" => ssl_mode = Some(value()?),
                "sslrootcert" => root_cert = Some(PathBuf::from(value()?)),
                "passfile" => passfile = Some(PathBuf::from(value()?)),
                _ => rest.push(pair),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = url.parse().map_err(|error| invalid(super::failure::explain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid("it names no host".to_owned()));
        }
        let is_system = root_cert.as_ref().is_some_and(|path| path.as_os_str() == "system");
        let (mode, trust) = match ssl_mode.as_deref() {
            // As libpq: whoever names authorities wants them asked.
            None | Some("prefer") => (SslMode::Prefer, Trust::Anyone),
            Some("disable") => (SslMode::Disable, Trust::Anyone),
            Some("require") if root_cert.is_none() => (SslMode::Require, Trust::Anyone),
            Some("require" | "verify-ca") if !is_system => (SslMode::Require, Trust::Authority),
            Some("require" | "verify-ca" | "verify-full") => (SslMode::Require, Trust::AuthorityAndName),
            Some(other) => {
                let known = "disable, prefer, require, verify-ca and verify-full";
                return Err(invalid(format!("sslmode \"{other}\" is not one of {known}")));
            }
        };
        config.ssl_mode(mode);
        let schema = schema.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
        if schema.is_empty() || schema.len() > SCHEMA_BYTES_MAX || schema.contains('\0') || schema.starts_with("pg_") {
            return Err(invalid(format!("schema \"{}\" is no name for one", schema.escape_debug())));
        }
        set_defaults(&mut config);
        let name = name(&config, &schema);
        Ok(Self { config, schema, trust, root_cert: root_cert.filter(|_| !is_system), passfile, name })
    }

    /// Whether the URL itself has a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Looks for the password elsewhere if the URL has none, as libpq does: `password` (the value of `PGPASSWORD`), then
    /// the URL's `passfile`, else `default_passfile` if it is there.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file that the URL names can't be read, or others can read a file of passwords.
    pub fn find_password(&mut self, password: Option<&str>, default_passfile: Option<PathBuf>) -> Result<()> {
        if self.has_password() {
            return Ok(());
        }
        if let Some(password) = password {
            self.config.password(password);
            return Ok(());
        }
        let (path, is_required) = match (&self.passfile, default_passfile) {
            (Some(path), _) => (path.clone(), true),
            (None, Some(path)) => (path, false),
            (None, None) => return Ok(()),
        };
        if let Some(password) = passfile::find(&path, is_required, &self.config)? {
            self.config.password(password);
        }
        Ok(())
    }

    /// How long connecting may take, all hosts together.
    pub(super) fn connect_timeout(&self) -> Duration {
        let host_count = self.config.get_hosts().len().max(self.config.get_hostaddrs().len()).max(1);
        let each = self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        each * u32::try_from(host_count).unwrap_or(1)
    }

    /// The URL without its password, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.name).finish()
    }
}

fn set_defaults(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(KEEPALIVES_IDLE).keepalives_interval(KEEPALIVES_INTERVAL);
        config.keepalives_retries(KEEPALIVES_RETRIES);
    }
    if config.get_application_name().is_none() {
        config.application_name("limnos");
    }
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        // Of several hosts, the one that takes writes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

/// `postgres://user@host:port/database?schema=name`, with what is the default left out.
fn name(config: &Config, schema: &str) -> String {
    let escape = |text: &str| utf8_percent_encode(text, IN_NAME).to_string();
    let ports = config.get_ports();
    let host = |(index, host): (usize, String)| match ports.get(index).or_else(|| ports.first()) {
        None | Some(5432) => host,
        Some(port) => format!("{host}:{port}"),
    };
    let hosts: Vec<String> = if config.get_hosts().is_empty() {
        config.get_hostaddrs().iter().map(ToString::to_string).collect()
    } else {
        config.get_hosts().iter().map(|host| escape(&host_text(host))).collect()
    };
    let hosts = hosts.into_iter().enumerate().map(host).collect::<Vec<_>>().join(",");
    let user = config.get_user().map(|user| format!("{}@", escape(user))).unwrap_or_default();
    let database = config.get_dbname().map(|name| format!("/{}", escape(name))).unwrap_or_default();
    let schema = if schema == DEFAULT_SCHEMA { String::new() } else { format!("?schema={}", escape(schema)) };
    format!("postgres://{user}{hosts}{database}{schema}")
}

pub(super) fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.to_string_lossy().into_owned(),
    }
}

fn invalid(reason: String) -> Error {
    Error::Invalid {
        message: format!("the URL of the catalog is not valid: {reason}"),
        hint: Some("Write it as postgres://USER@HOST:PORT/DATABASE?schema=NAME&sslmode=verify-full.".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn takes_urls_apart() {
        let url = PostgresUrl::parse(
            "postgresql://ann:s%40cret@db.example.org:5433/cat%20alog?schema=Lake&sslmode=verify-full&connect_timeout=9",
        )
        .unwrap();
        assert_eq!(url.config.get_password(), Some("s@cret".as_bytes()));
        assert_eq!(url.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!((url.schema.as_str(), url.trust), ("Lake", Trust::AuthorityAndName));
        assert_eq!(url.name(), "postgres://ann@db.example.org:5433/cat%20alog?schema=Lake");
        assert!(!format!("{url:?}").contains("cret"), "{url:?}");

        let socket = PostgresUrl::parse("postgres://ann@%2Frun%2Fpg/lake?password=s3cret").unwrap();
        assert_eq!(socket.name(), "postgres://ann@%2Frun%2Fpg/lake");
        assert!(socket.has_password() && !format!("{socket:?}").contains("s3cret"));
        assert_eq!(PostgresUrl::parse("postgres://a,b:7/x").unwrap().name(), "postgres://a,b:7/x");
    }

    #[test]
    fn trusts_as_libpq_does() {
        let cases = [
            ("", SslMode::Prefer, Trust::Anyone),
            ("sslmode=prefer", SslMode::Prefer, Trust::Anyone),
            ("sslmode=disable", SslMode::Disable, Trust::Anyone),
            ("sslmode=require", SslMode::Require, Trust::Anyone),
            ("sslmode=require&sslrootcert=/ca.pem", SslMode::Require, Trust::Authority),
            ("sslmode=verify-ca", SslMode::Require, Trust::Authority),
            ("sslmode=require&sslrootcert=system", SslMode::Require, Trust::AuthorityAndName),
            ("sslmode=verify-full", SslMode::Require, Trust::AuthorityAndName),
        ];
        for (query, mode, trust) in cases {
            let url = PostgresUrl::parse(&format!("postgres://h/d?{query}")).unwrap();
            assert_eq!((url.config.get_ssl_mode(), url.trust), (mode, trust), "{query}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_never_the_password() {
        let cases = [
            ("postgres://ann:hunter2@h:port/d", "invalid connection string: invalid value for option `port`"),
            ("postgres://ann:hunter2@/d", "it names no host"),
            ("postgres://ann:hunter2@h/d?nonsense=1", "unknown option `nonsense`"),
            ("postgres://ann:hunter2@h/d?sslmode=maybe", "sslmode \"maybe\" is not one of"),
            ("postgres://ann:hunter2@h/d?schema=pg_x", "schema \"pg_x\" is no name for one"),
            ("postgres://ann:hunter2@h/d?schema=", "schema \"\" is no name for one"),
            ("postgres://ann:hunter2@h/d?schema=%ff", "parameter \"schema\" is not UTF-8"),
        ];
        for (text, wanted) in cases {
            let error = PostgresUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
