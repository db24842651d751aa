//! Settings: flags, `LIMNOS_*` variables and a TOML file -> one checked [`Config`].
//!
//! Each setting is defined once, in [`Layer`]. A flag wins over the environment, that over the file, that over the
//! default. What can't work is refused here, before anything is opened: [`Config::check`].

mod access;
mod layer;
mod machine;
mod provenance;
mod size;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use limnos_catalog::Location;

use crate::auth::Rules;
use crate::auth::hba::Method;
use crate::deliver::DeliveryOptions;
use crate::limits;
use crate::schedule::{statements, watch};
use crate::tls::TlsOptions;

pub use access::{HbaLayer, IdentLayer, TlsLayer};
pub use layer::{Auth, Layer, LogFormat, RootLayer, S3Layer};
pub use provenance::{Provenance, check_file};
pub use size::{ByteSize, Span};

/// The catalog's file in the data directory.
pub(crate) const CATALOG_FILE: &str = "catalog.sqlite";

/// The part of the memory limit that Parquet footers may take, and the most of it, unless said otherwise.
const FOOTER_CACHE_SHARE: u64 = 16;
const FOOTER_CACHE_MAX: u64 = 1 << 30;

/// Bytes of typed partition values, unless said otherwise: some millions of partitions.
const PARTITION_CACHE: ByteSize = ByteSize(256 << 20);

/// Bytes of remote objects kept in memory, unless said otherwise: few, for the operating system keeps files in memory too.
const BLOCK_CACHE_MEMORY: ByteSize = ByteSize(64 << 20);

/// Least disk for the block cache: some regions of it.
const BLOCK_CACHE_MIN: ByteSize = ByteSize(64 << 20);

/// Bytes of lists of files kept between queries, unless said otherwise: some 300,000 files.
const LISTING_CACHE: ByteSize = ByteSize(64 << 20);

/// Files that queries, the catalog and caches may need beside the connections.
const OPEN_FILES_KEPT: usize = 256;

/// Least memory that a server can answer anything with.
const MEMORY_LIMIT_MIN: u64 = 64 << 20;

/// The part of the machine's memory that datasets may take, unless said otherwise: with the 60 % that queries may hold it
/// leaves a fifth to the rest.
const DATASET_MEMORY_SHARE: u64 = 5;

/// The part of the memory limit that results may take unless it is said otherwise.
const RESULT_CACHE_SHARE: u64 = 20;

/// The settings that the environment may carry beside those with a flag.
const SECRET_VARIABLES: [&str; 2] = ["s3_secret_access_key", "s3_session_token"];

/// Settings, complete.
#[derive(Clone)]
pub struct Config {
    /// Folder of all that must survive a restart, the catalog's file too unless [`Self::catalog`] says otherwise.
    pub data_dir: PathBuf,
    /// Where the catalog is kept.
    pub catalog: Location,
    /// Locations that SQL may reach.
    pub roots: Vec<String>,
    /// Where tables without a location have their files.
    pub warehouse: String,
    /// More of them, remote ones with options of their own.
    pub own_roots: Vec<(String, BTreeMap<String, String>)>,
    /// PostgreSQL's listen address.
    pub pg: SocketAddr,
    /// HTTP's listen address.
    pub http: SocketAddr,
    /// What all queries together may hold.
    pub memory_limit: ByteSize,
    /// What all datasets together may take, beside that.
    pub dataset_memory: ByteSize,
    /// Threads that work on queries.
    pub threads: usize,
    /// Most bytes of spill files.
    pub spill_limit: ByteSize,
    /// Most bytes of Parquet footers kept between queries.
    pub footer_cache: ByteSize,
    /// Most bytes of typed partition values kept between queries.
    pub partition_cache: ByteSize,
    /// Most bytes of results that are kept.
    pub result_cache: ByteSize,
    /// Most bytes of remote objects kept on disk; `None` follows from what is free.
    pub block_cache: Option<ByteSize>,
    /// Most bytes of them kept in memory.
    pub block_cache_memory: ByteSize,
    /// Most bytes that a query may read; `None` is no limit.
    pub scan_limit: Option<ByteSize>,
    /// Most bytes of lists of files kept between queries.
    pub listing_cache: ByteSize,
    /// The PostgreSQL database's name.
    pub catalog_name: String,
    /// Most PostgreSQL connections.
    pub max_connections: usize,
    /// How many of them are kept for superusers.
    pub superuser_reserved_connections: usize,
    /// How long a client may take to log in.
    pub authentication_timeout: Duration,
    /// `None` is never.
    pub idle_session_timeout: Option<Duration>,
    /// `None` is never.
    pub idle_in_transaction_session_timeout: Option<Duration>,
    /// `None` is never.
    pub statement_timeout: Option<Duration>,
    /// Runs that are kept of each schedule.
    pub schedule_history: usize,
    /// How often tables that schedules watch are listed.
    pub schedule_poll_interval: Duration,
    /// How long running queries may go on after a shutdown began.
    pub shutdown_deadline: Duration,
    /// How clients prove who they are.
    pub auth: Auth,
    /// Names and passwords or verifiers.
    pub users: BTreeMap<String, String>,
    /// Who may connect from where, and how they prove who they are.
    pub rules: Rules,
    /// `None` is no TLS.
    pub tls: Option<TlsOptions>,
    /// Who can be told of reports, and how.
    pub delivery: DeliveryOptions,
    /// Object store options by name.
    pub s3: BTreeMap<String, String>,
    /// `tracing` filter.
    pub log_level: String,
    /// How log lines are written.
    pub log_format: LogFormat,
}

impl fmt::Debug for Config {
    /// An allow-list: passwords and keys are not on it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("catalog", &self.catalog)
            .field("roots", &self.roots)
            .field("warehouse", &self.warehouse)
            .field("pg", &self.pg)
            .field("http", &self.http)
            .field("memory_limit", &self.memory_limit)
            .field("threads", &self.threads)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// A setting that can't be; the process ends with exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// Lower case, no full stop.
    pub message: String,
    /// What to do, a full sentence.
    pub hint: Option<String>,
}

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Where settings come from, besides the defaults.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct Sources {
    /// TOML file of settings; each is named as its flag, with _ for -
    #[arg(long, value_name = "FILE", help_heading = "Settings (each also as LIMNOS_NAME, or in the file)")]
    pub config: Option<PathBuf>,

    /// The flags.
    #[command(flatten, next_help_heading = "Settings (each also as LIMNOS_NAME, or in the file)")]
    pub flags: Layer,
}

impl Sources {
    /// Puts the layers over each other. `environment` is asked for `LIMNOS_*` names; the file is `--config` or
    /// `LIMNOS_CONFIG`.
    ///
    /// # Errors
    /// A file that can't be read, an unknown key, a value that doesn't parse.
    pub fn layers(self, environment: impl Fn(&str) -> Option<OsString>) -> Result<Layer, ConfigError> {
        if let Some(Ok(Location::Postgres(url))) = self.flags.catalog.as_deref().map(Location::parse)
            && url.has_password()
        {
            return Err(ConfigError::new("a password in --catalog is seen by everyone on this machine").with_hint(
                "Put the URL in the file or in LIMNOS_CATALOG, or the password in PGPASSWORD or ~/.pgpass.",
            ));
        }
        let file = match self.config.or_else(|| environment("LIMNOS_CONFIG").map(PathBuf::from)) {
            Some(path) => read_file(&path)?,
            None => Layer::default(),
        };
        Ok(self.flags.over(environment_layer(environment)?).over(file))
    }

    /// The settings of a server, checked.
    ///
    /// # Errors
    /// As [`Self::layers`] and [`Config::check`].
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let config = Config::from_layer(self.layers(process_environment)?)?;
        config.check()?;
        Ok(config)
    }
}

/// The process's environment. The one place that reads it.
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

impl Config {
    /// Fills in the defaults.
    ///
    /// # Errors
    /// No data directory; a users file that can't be read.
    pub fn from_layer(layer: Layer) -> Result<Self, ConfigError> {
        let data_dir = layer.data_dir.ok_or_else(|| {
            ConfigError::new("no data directory is given")
                .with_hint("Use --data-dir DIR, or try `limnos demo`, which brings its own.")
        })?;
        let mut users = match &layer.users_file {
            Some(path) => read_users(path)?,
            None => BTreeMap::new(),
        };
        users.extend(layer.users.unwrap_or_default());
        let catalog = match &layer.catalog {
            Some(text) => catalog_location(text)?,
            None => Location::File(data_dir.join(CATALOG_FILE)),
        };
        let machine_memory = machine::memory_bytes();
        let memory_limit = layer.memory_limit.unwrap_or(ByteSize(machine_memory / 10 * 6));
        let footer_cache = ByteSize((memory_limit.0 / FOOTER_CACHE_SHARE).min(FOOTER_CACHE_MAX));
        let auth = layer.auth.unwrap_or(Auth::Trust);
        let tls_required = layer.tls.required == Some(true);
        let tls = layer.tls.into_options()?;
        let delivery =
            DeliveryOptions::of(layer.smtp, layer.webhooks, process_environment).map_err(ConfigError::new)?;
        let rules = access::rules(auth, layer.hba, layer.ident, tls.as_ref(), tls_required)?;
        let never_at_zero = |span: Option<Span>| span.map(|span| span.0).filter(|span| !span.is_zero());
        let warehouse = layer.warehouse.unwrap_or_else(|| data_dir.join("warehouse").to_string_lossy().into_owned());
        Ok(Self {
            data_dir,
            catalog,
            roots: layer.root.unwrap_or_default(),
            warehouse,
            own_roots: layer.roots.unwrap_or_default().into_iter().map(RootLayer::into_options).collect(),
            pg: layer.pg.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5439)),
            http: layer.http.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8439)),
            memory_limit,
            dataset_memory: layer.dataset_memory.unwrap_or(ByteSize(machine_memory / DATASET_MEMORY_SHARE)),
            threads: layer.threads.unwrap_or_else(machine::core_count),
            spill_limit: layer.spill_limit.unwrap_or(ByteSize(100 << 30)),
            footer_cache: layer.footer_cache_bytes.unwrap_or(footer_cache),
            partition_cache: layer.partition_cache_bytes.unwrap_or(PARTITION_CACHE),
            result_cache: layer.result_cache_bytes.unwrap_or(ByteSize(memory_limit.0 / RESULT_CACHE_SHARE)),
            block_cache: layer.block_cache_bytes,
            block_cache_memory: layer.block_cache_memory_bytes.unwrap_or(BLOCK_CACHE_MEMORY),
            scan_limit: layer.scan_limit.filter(|limit| limit.0 > 0),
            listing_cache: layer.listing_cache_bytes.unwrap_or(LISTING_CACHE),
            catalog_name: layer.catalog_name.unwrap_or_else(|| "lake".to_owned()),
            max_connections: layer.max_connections.unwrap_or_else(default_connections),
            superuser_reserved_connections: layer
                .superuser_reserved_connections
                .unwrap_or(limits::CONNECTIONS_RESERVED),
            authentication_timeout: layer.authentication_timeout.map_or(limits::AUTHENTICATION_TIMEOUT, |span| span.0),
            idle_session_timeout: never_at_zero(layer.idle_session_timeout),
            idle_in_transaction_session_timeout: never_at_zero(layer.idle_in_transaction_session_timeout),
            statement_timeout: layer.statement_timeout.map(|span| span.0).filter(|timeout| !timeout.is_zero()),
            // Fewer than ten would forget a run while people still look at it; a second is how often is looked at all.
            schedule_history: layer.schedule_history.unwrap_or(statements::HISTORY).max(10),
            schedule_poll_interval: layer
                .schedule_poll_interval
                .map_or(watch::POLL_INTERVAL, |span| span.0)
                .max(Duration::from_secs(1)),
            shutdown_deadline: layer.shutdown_deadline.map_or(Duration::from_secs(30), |span| span.0),
            auth,
            users,
            rules,
            tls,
            delivery,
            s3: layer.s3.into_options(),
            log_level: layer.log_level.unwrap_or_else(|| "info".to_owned()),
            log_format: layer.log_format.unwrap_or(LogFormat::Text),
        })
    }

    /// What may go wrong later, to be logged.
    pub fn warnings(&self) -> Vec<String> {
        check_open_files(self.max_connections).into_iter().collect()
    }

    /// Refuses what can't work or must not be.
    ///
    /// # Errors
    /// An open door without a lock, an absurd limit, a folder that isn't there or can't be written.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_listeners()?;
        self.check_limits()?;
        for root in self.roots.iter().chain(self.own_roots.iter().map(|(url, _)| url)) {
            check_root(root)?;
        }
        check_writable(&self.data_dir)
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        let trusts_others = |rule: &crate::auth::hba::Rule| rule.method == Method::Trust && rule.reaches_others();
        let open = self.rules.iter().any(trusts_others) && !self.pg.ip().is_loopback();
        if open && self.auth != Auth::Trust {
            return Err(ConfigError::new(format!(
                "--pg {} is open to the network, and a rule of [[hba]] trusts other machines: anyone could log in as anyone",
                self.pg
            ))
            .with_hint("Trust only the addresses loopback and samehost, and ask others for scram-sha-256 or cert."));
        }
        if open {
            return Err(ConfigError::new(format!(
                "--pg {} is open to the network, and auth is trust: anyone could log in as anyone",
                self.pg
            ))
            .with_hint("Set auth to scram-sha-256 and name users in [users], or listen on 127.0.0.1."));
        }
        // With passwords HTTP serves only /healthz and /metrics, which may be seen from outside.
        if self.auth == Auth::Trust && self.rules.iter().any(trusts_others) && !self.http.ip().is_loopback() {
            return Err(ConfigError::new(format!(
                "--http {} is open to the network, and auth is trust: anyone could query",
                self.http
            ))
            .with_hint("Set auth to scram-sha-256, which closes /query over HTTP, or listen on 127.0.0.1."));
        }
        if self.pg == self.http && self.pg.port() != 0 {
            return Err(ConfigError::new(format!("--pg and --http are the same address, {}", self.pg)));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), ConfigError> {
        let machine_memory = machine::memory_bytes();
        if self.memory_limit.0 < MEMORY_LIMIT_MIN {
            return Err(ConfigError::new(format!("memory limit {} is too small", self.memory_limit))
                .with_hint(format!("Give queries {} at least.", ByteSize(MEMORY_LIMIT_MIN))));
        }
        if self.memory_limit.0 > machine_memory {
            return Err(ConfigError::new(format!(
                "memory limit {} is more than the {} that this machine has",
                self.memory_limit,
                ByteSize(machine_memory)
            ))
            .with_hint("Leave it out to use 60 % of the machine's memory."));
        }
        if self.dataset_memory.0 > machine_memory {
            return Err(ConfigError::new(format!(
                "dataset_memory {} is more than the {} that this machine has",
                self.dataset_memory,
                ByteSize(machine_memory)
            ))
            .with_hint("Leave it out to use 20 % of the machine's memory."));
        }
        if self.result_cache > self.memory_limit {
            return Err(ConfigError::new(format!(
                "result_cache_bytes {} is more than the memory limit {}",
                self.result_cache, self.memory_limit
            ))
            .with_hint("Leave it out to use 5 % of the memory limit."));
        }
        if self.block_cache.is_some_and(|size| size.0 > 0 && size.0 < BLOCK_CACHE_MIN.0) {
            return Err(ConfigError::new("block_cache_bytes is too small")
                .with_hint(format!("Give it {BLOCK_CACHE_MIN} at least, or 0 to read objects without a cache.")));
        }
        if !(1..=1024).contains(&self.threads) {
            return Err(ConfigError::new(format!("threads must be between 1 and 1024, not {}", self.threads)));
        }
        if self.superuser_reserved_connections >= self.max_connections {
            return Err(ConfigError::new(format!(
                "superuser_reserved_connections ({}) must be less than max_connections ({})",
                self.superuser_reserved_connections, self.max_connections
            )));
        }
        if !(limits::AUTHENTICATION_TIMEOUT_MIN..=limits::AUTHENTICATION_TIMEOUT_MAX)
            .contains(&self.authentication_timeout)
        {
            return Err(ConfigError::new("authentication_timeout must be between 1s and 60s"));
        }
        if !(1..=100_000).contains(&self.max_connections) {
            return Err(ConfigError::new(format!(
                "max_connections must be between 1 and 100000, not {}",
                self.max_connections
            )));
        }
        if self.catalog_name.is_empty() || self.catalog_name.len() > 63 {
            return Err(ConfigError::new(format!("catalog name \"{}\" is not valid", self.catalog_name))
                .with_hint("PostgreSQL names have 1 to 63 bytes."));
        }
        Ok(())
    }
}

/// Says so where connections could use up the files that the process may open.
fn check_open_files(connections: usize) -> Option<String> {
    let files = machine::open_files_max().filter(|files| connections.saturating_add(OPEN_FILES_KEPT) > *files)?;
    Some(format!(
        "max_connections is {connections}, but the process may open only {files} files; raise its limit (ulimit -n, LimitNOFILE=)"
    ))
}

/// As many as there may be by default, but no more than leave files to queries.
fn default_connections() -> usize {
    machine::open_files_max().map_or(limits::CONNECTIONS_MAX, |files| limits::CONNECTIONS_MAX.min(files / 2)).max(8)
}

/// Where `text` says, with the password that it may leave to the environment, as libpq does.
fn catalog_location(text: &str) -> Result<Location, ConfigError> {
    let refuse = |error: limnos_catalog::Error| ConfigError {
        message: error.to_string(),
        hint: error.hint().map(str::to_owned),
    };
    let mut location = Location::parse(text).map_err(refuse)?;
    if let Location::Postgres(url) = &mut location {
        let password = process_environment("PGPASSWORD").and_then(|password| password.into_string().ok());
        let passfile = process_environment("PGPASSFILE").map(PathBuf::from);
        let home = || Some(PathBuf::from(process_environment("HOME")?).join(".pgpass"));
        url.find_password(password.as_deref(), passfile.or_else(home)).map_err(refuse)?;
    }
    Ok(location)
}

/// Local roots must be folders; remote ones are checked when they are opened.
fn check_root(root: &str) -> Result<(), ConfigError> {
    let path = match root.split_once("://") {
        None => root,
        Some(("file", path)) => path,
        Some(("s3" | "az" | "abfs" | "abfss" | "gs", rest)) if !rest.is_empty() && !rest.starts_with('/') => {
            return Ok(());
        }
        Some(("s3" | "az" | "abfs" | "abfss" | "gs", _)) => {
            return Err(ConfigError::new(format!("root \"{root}\" names no bucket"))
                .with_hint("Write it as s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX."));
        }
        Some((scheme, _)) => {
            return Err(ConfigError::new(format!("root \"{root}\" has an unknown scheme \"{scheme}\"")).with_hint(
                "Roots are local folders, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX.",
            ));
        }
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(ConfigError::new(format!("root \"{root}\" is not a folder"))),
        Err(error) => Err(ConfigError::new(format!("root \"{root}\" cannot be opened: {error}"))),
    }
}

/// Makes the data directory and proves that it can be written.
fn check_writable(data_dir: &Path) -> Result<(), ConfigError> {
    let probe = data_dir.join(format!(".writable-{}", std::process::id()));
    fs::create_dir_all(data_dir).and_then(|()| fs::write(&probe, b"")).and_then(|()| fs::remove_file(&probe)).map_err(
        |error| ConfigError::new(format!("data directory \"{}\" cannot be written: {error}", data_dir.display())),
    )
}

fn read_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        ConfigError::new(format!("configuration file \"{}\" cannot be read: {error}", path.display()))
    })?;
    parse_file(&text).map_err(|error| ConfigError {
        message: format!("configuration file \"{}\": {}", path.display(), error.message),
        ..error
    })
}

fn parse_file(text: &str) -> Result<Layer, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error| toml_error(text, &error))?;
    let mut keys: Vec<_> = setting_names().into_iter().chain(SECRET_VARIABLES.map(str::to_owned)).collect();
    for folded in ["s3", "tls"] {
        let prefix = format!("{folded}_");
        let (inner, outer): (Vec<_>, Vec<_>) = keys.into_iter().partition(|name| name.starts_with(&prefix));
        keys = outer;
        if let Some(toml::Value::Table(found)) = table.get(folded) {
            let inner: Vec<_> = inner.iter().map(|name| name[prefix.len()..].to_owned()).collect();
            refuse_unknown(found.keys(), &inner, &format!("{folded}."))?;
        }
    }
    keys.extend(["users", "s3", "tls", "hba", "ident", "roots"].map(str::to_owned));
    refuse_unknown(table.keys(), &keys, "")?;
    toml::from_str(text).map_err(|error| toml_error(text, &error))
}

/// Says where, without quoting the line as toml's own text does: it may hold a password.
fn toml_error(text: &str, error: &toml::de::Error) -> ConfigError {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => ConfigError::new(format!("line {}: {}", before.matches('\n').count() + 1, error.message())),
        None => ConfigError::new(error.message()),
    }
}

fn refuse_unknown<'a>(
    found: impl Iterator<Item = &'a String>,
    known: &[String],
    prefix: &str,
) -> Result<(), ConfigError> {
    for key in found {
        if known.contains(key) {
            continue;
        }
        let error = ConfigError::new(format!("unknown key \"{prefix}{key}\""));
        let spelled = key.replace('-', "_");
        let near = known
            .iter()
            .map(|name| (strsim::jaro_winkler(name, &spelled), name))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .filter(|(likeness, _)| *likeness > 0.8);
        return Err(match near {
            Some((_, name)) => error.with_hint(format!("Did you mean \"{prefix}{name}\"?")),
            None => error.with_hint(format!("Known keys are {}.", known.join(", "))),
        });
    }
    Ok(())
}

fn read_users(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let refuse = |error: &dyn fmt::Display| {
        ConfigError::new(format!("users file \"{}\" cannot be read: {error}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| refuse(&error))?;
    // toml's own message would quote the line, and with it a password.
    toml::from_str(&text).map_err(|_| {
        refuse(&"it is not a list of names and passwords").with_hint("Write one user a line: name = \"password\".")
    })
}

/// The names of all settings that have a flag, from clap's own list.
fn setting_names() -> Vec<String> {
    Layer::augment_args(Command::new("limnos"))
        .get_arguments()
        .filter(|argument| argument.get_long().is_some())
        .map(|argument| argument.get_id().to_string())
        .collect()
}

/// Reads `LIMNOS_<NAME>` of every setting through the parser of its flag.
fn environment_layer(environment: impl Fn(&str) -> Option<OsString>) -> Result<Layer, ConfigError> {
    let variable = |name: &str| format!("LIMNOS_{}", name.to_ascii_uppercase());
    let mut layer = Layer::default();
    for name in setting_names() {
        let Some(value) = environment(&variable(&name)) else {
            continue;
        };
        let mut flag = OsString::from(format!("--{}=", name.replace('_', "-")));
        flag.push(value);
        let parsed = Layer::augment_args(Command::new("limnos").no_binary_name(true))
            .try_get_matches_from([flag])
            .and_then(|matches| Layer::from_arg_matches(&matches))
            .map_err(|error| {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
                ConfigError::new(format!("environment variable {}: {first}", variable(&name)))
            })?;
        layer = layer.over(parsed);
    }
    let secret = |name: &str| environment(&variable(name)).and_then(|value| value.into_string().ok());
    layer.s3.secret_access_key = secret(SECRET_VARIABLES[0]);
    layer.s3.session_token = secret(SECRET_VARIABLES[1]);
    Ok(layer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        sources: Sources,
    }

    fn layer(flags: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Layer, ConfigError> {
        let flags = Flags::try_parse_from(std::iter::once(&"limnos").chain(flags)).unwrap().sources.flags;
        let environment = environment_layer(|name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })?;
        Ok(flags.over(environment).over(parse_file(file)?))
    }

    fn config(flags: &[&str]) -> Config {
        let mut all = vec!["--data-dir", "/nowhere"];
        all.extend(flags);
        Config::from_layer(layer(&all, &[], "").unwrap()).unwrap()
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_defaults() {
        let file = "pg = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\nthreads = 3\nmemory_limit = \"1GiB\"";
        let environment = [("LIMNOS_PG", "127.0.0.1:11"), ("LIMNOS_THREADS", "5"), ("LIMNOS_ROOT", "/a,/b")];
        let layer = layer(&["--data-dir", "/d", "--pg", "127.0.0.1:21"], &environment, file).unwrap();
        let config = Config::from_layer(layer).unwrap();
        assert_eq!(config.pg.port(), 21);
        assert_eq!(config.threads, 5);
        assert_eq!(config.http.port(), 2);
        assert_eq!(config.memory_limit, ByteSize(1 << 30));
        assert_eq!(config.roots, ["/a", "/b"]);
        assert_eq!(config.catalog_name, "lake");
        assert_eq!(config.statement_timeout, None);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_near_one() {
        let cases = [
            ("memory-limit = \"1GiB\"", "unknown key \"memory-limit\"", "Did you mean \"memory_limit\"?"),
            ("thread = 1", "unknown key \"thread\"", "Did you mean \"threads\"?"),
            ("[s3]\nendpont = \"x\"", "unknown key \"s3.endpont\"", "Did you mean \"s3.endpoint\"?"),
        ];
        for (file, message, hint) in cases {
            let error = parse_file(file).unwrap_err();
            assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, Some(hint)));
        }
        let error = parse_file("threads = 1\npg = \"nowhere\"").unwrap_err();
        assert!(error.message.starts_with("line 2: "), "{error}");
        let error = parse_file("zzz = 1").unwrap_err();
        assert!(error.hint.unwrap().starts_with("Known keys are data_dir, "));
    }

    #[test]
    fn every_setting_can_be_given_in_the_file() {
        let file = "data_dir = \"/d\"\ncatalog = \"postgres://ann:hunter2@h/d\"\nroot = [\"/a\"]\nwarehouse = \"/w\"\npg = \"127.0.0.1:1\"\nhttp = \"[::1]:2\"\nmemory_limit = 1073741824\ndataset_memory = \"2MiB\"\n\
            threads = 1\nspill_limit = \"1GB\"\nresult_cache_bytes = \"1MiB\"\nscan_limit = \"1TB\"\ncatalog_name = \"c\"\nmax_connections = 7\nsuperuser_reserved_connections = 2\n\
            authentication_timeout = \"20s\"\nidle_session_timeout = \"8h\"\nidle_in_transaction_session_timeout = 0\nstatement_timeout = \"5min\"\n\
            footer_cache_bytes = \"1MiB\"\npartition_cache_bytes = \"2MiB\"\nlisting_cache_bytes = \"3MiB\"\n\
            block_cache_bytes = 0\nblock_cache_memory_bytes = \"4MiB\"\n\
            shutdown_deadline = \"1s\"\nschedule_history = 9\nschedule_poll_interval = \"7s\"\nauth = \"scram-sha-256\"\nlog_level = \"debug\"\nlog_format = \"json\"\n\
            [users]\nann = \"secret\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"\nmin_version = \"1.3\"\n\
            required = true\n[s3]\nendpoint = \"http://e\"\nregion = \"r\"\naccess_key_id = \"i\"\n\
            secret_access_key = \"k\"\nsession_token = \"t\"\nprofile = \"p\"\nallow_http = true\nvirtual_hosted_style_request = false\n\
            skip_signature = false";
        let table: toml::Table = file.parse().unwrap();
        let config = Config::from_layer(parse_file(file).unwrap()).unwrap();
        assert_eq!(config.statement_timeout, Some(Duration::from_secs(300)));
        assert_eq!(config.s3.len(), 9);
        // Nothing is left out here but the path of a second file.
        for name in setting_names().into_iter().filter(|name| !name.starts_with("s3_") && name != "users_file") {
            let is_there = match name.strip_prefix("tls_") {
                Some(inner) => table["tls"].get(inner).is_some(),
                None => table.contains_key(&name),
            };
            assert!(is_there, "{name}");
        }
        assert_eq!((config.max_connections, config.superuser_reserved_connections), (7, 2));
        assert_eq!(config.authentication_timeout, Duration::from_secs(20));
        assert_eq!(config.idle_session_timeout, Some(Duration::from_secs(8 * 3600)));
        assert_eq!(config.idle_in_transaction_session_timeout, None);
        assert!(config.tls.as_ref().is_some_and(|tls| tls.min_version == crate::tls::TlsVersion::Tls13));
        let shown = format!("{config:?} {:?}", parse_file(file).unwrap().s3);
        assert!(!shown.contains("secret") && !shown.contains("\"k\""), "{shown}");
        assert!(shown.contains("postgres://ann@h/d") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_catalog_is_a_file_unless_said_otherwise() {
        assert!(matches!(config(&[]).catalog, Location::File(path) if path == Path::new("/nowhere/catalog.sqlite")));
        assert!(
            matches!(config(&["--catalog", "sqlite:/c.db"]).catalog, Location::File(path) if path == Path::new("/c.db"))
        );
        let layer = layer(&["--data-dir", "/d"], &[("LIMNOS_CATALOG", "postgres://ann:hunter2@h/d")], "").unwrap();
        let shown = format!("{layer:?} {:?}", Config::from_layer(layer.clone()).unwrap());
        assert!(shown.contains("postgres://ann@h/d") && !shown.contains("hunter2"), "{shown}");
        for text in ["postgres://ann:hunter2@h:x/d", "mysql://ann:hunter2@h/d"] {
            let layer = Layer { catalog: Some(text.to_owned()), ..layer.clone() };
            let error = Config::from_layer(layer).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error}");
        }
        let mut sources = Flags::try_parse_from(["limnos", "--catalog", "postgres://ann:hunter2@h/d"]).unwrap().sources;
        let error = sources.clone().layers(|_| None).unwrap_err();
        assert!(error.message.contains("seen by everyone") && !format!("{error:?}").contains("hunter2"), "{error:?}");
        sources.flags.catalog = Some("postgres://ann@h/d".to_owned());
        sources.layers(|_| None).unwrap();
    }

    #[test]
    fn bad_values_in_the_environment_name_their_variable() {
        let error = layer(&[], &[("LIMNOS_MEMORY_LIMIT", "lots")], "").unwrap_err();
        assert!(error.message.starts_with("environment variable LIMNOS_MEMORY_LIMIT: "), "{error}");
        assert!(error.message.contains("lots"), "{error}");
        let secrets = layer(&[], &[("LIMNOS_S3_SECRET_ACCESS_KEY", "k")], "").unwrap();
        assert_eq!(secrets.s3.secret_access_key.as_deref(), Some("k"));
    }

    #[test]
    fn open_doors_and_absurd_limits_are_refused() {
        let cases: [(&[&str], &str); 7] = [
            (&["--pg", "0.0.0.0:5439"], "anyone could log in as anyone"),
            (&["--http", "0.0.0.0:8439"], "anyone could query"),
            (&["--pg", "127.0.0.1:9", "--http", "127.0.0.1:9"], "the same address"),
            (&["--memory-limit", "1MiB"], "too small"),
            (&["--memory-limit", "9999TiB"], "more than the"),
            (&["--threads", "0"], "between 1 and 1024"),
            (&["--root", "/no/such/folder"], "root \"/no/such/folder\" cannot be opened"),
        ];
        for (flags, message) in cases {
            let error = config(flags).check().unwrap_err();
            assert!(error.message.contains(message), "{flags:?}: {error}");
        }
        assert!(config(&["--root", "ftp://x/"]).check().unwrap_err().message.contains("unknown scheme \"ftp\""));
    }

    #[test]
    fn roots_may_have_options_of_their_own() {
        let file = "[[roots]]\nurl = \"s3://other/\"\nendpoint = \"http://minio:9000\"\nallow_http = true\n\
                    secret_access_key = \"CANARY\"\n[[roots]]\nurl = \"gs://x/\"\n";
        let layer = layer(&["--data-dir", "/d"], &[], file).unwrap();
        let config = Config::from_layer(layer.clone()).unwrap();
        let (url, options) = &config.own_roots[0];
        assert_eq!(
            (url.as_str(), options["endpoint"].as_str(), options["allow_http"].as_str()),
            ("s3://other/", "http://minio:9000", "true")
        );
        assert_eq!(config.own_roots[1], ("gs://x/".to_owned(), BTreeMap::new()));
        assert!(!format!("{layer:?} {config:?}").contains("CANARY"));
        let error = self::layer(&[], &[], "[[roots]]\nendpoint = \"CANARY\"\n").unwrap_err();
        assert!(error.message.contains("url") && !error.message.contains("CANARY"), "{error}");
    }

    #[test]
    fn a_network_address_is_fine_with_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&["--pg", "0.0.0.0:5439", "--auth", "scram-sha-256"]);
        config.users.insert("ann".to_owned(), "secret".to_owned());
        config.data_dir = folder.path().join("new/data");
        config.check().unwrap();
        assert!(config.data_dir.is_dir());
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        config.data_dir = file;
        assert!(config.check().unwrap_err().message.contains("cannot be written"));
    }
}
