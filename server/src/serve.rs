//! The server's life: [`start`] opens the catalog, the engine and the listeners; [`RunningServer::shutdown`] closes them
//! again, in the order that loses nobody's answer:
//!
//! ```text
//! signal -> /healthz says 503, PostgreSQL takes no connections -> running queries end, up to the deadline
//!        -> what still runs is cancelled (57P01) -> HTTP ends -> the process ends
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use limnos_catalog::{Catalog, Location};
use limnos_engine::clock::{Clock, SystemClock};
use limnos_engine::scan::store::{BlockCacheOptions, ProfileOptions, StoreOptions};
use limnos_engine::{Engine, EngineConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::{AuthMethod, Rules, Users};
use crate::config::{Auth, Config, process_environment};
use crate::deliver::{Deliverer, DeliveryOptions};
use crate::http::metrics::{Metrics, Sample};
use crate::http::{self, HttpOptions};
use crate::limits;
use crate::pg::{self, PgOptions};
use crate::query::QueryService;
use crate::schedule::crawls::Crawlers;
use crate::schedule::execute::ThroughTheDoor;
use crate::schedule::statements::{self, Statements};
use crate::schedule::watch::{self, Watch};
use crate::schedule::{self, Scheduler};
use crate::tls::{Tls, TlsError, TlsOptions};

/// The role of those who come without a login: HTTP and the command line.
pub const DEFAULT_USER: &str = "limnos";

/// The spill folder in the data directory. The engine empties it at start.
const SPILL_FOLDER: &str = "spill";

/// The folder of the block cache in the data directory.
const BLOCKS_FOLDER: &str = "blocks";

/// The rows of datasets, in the data directory.
const DATASETS_FOLDER: &str = "datasets";

/// The file in the data directory of the secret that the salts of unknown users are made from.
const MOCK_SECRET_FILE: &str = "mock_authentication_secret";

/// How long connections may take to close once no query runs.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// What a server is started with.
#[derive(Clone)]
pub struct ServeOptions {
    /// Where the spill folder is, and the catalog unless it is elsewhere.
    pub data_dir: PathBuf,
    /// Where the catalog is.
    pub catalog: Location,
    /// The engine's own.
    pub engine: EngineConfig,
    /// Where PostgreSQL clients connect; port 0 takes a free one.
    pub pg: SocketAddr,
    /// Where HTTP clients connect; port 0 takes a free one.
    pub http: SocketAddr,
    /// `current_database()`.
    pub catalog_name: String,
    /// How PostgreSQL clients prove who they are.
    pub auth: AuthMethod,
    /// Who may connect from where; `None` is everyone from everywhere by [`Self::auth`].
    pub rules: Option<Rules>,
    /// Who may log in.
    pub users: Users,
    /// `None` is no TLS.
    pub tls: Option<TlsOptions>,
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
    /// How long a shutdown waits for running queries.
    pub shutdown_deadline: Duration,
    /// Who can be told of reports, and how.
    pub delivery: DeliveryOptions,
    /// The time of everything: `now()`, history, schedules, projected partitions.
    pub clock: Arc<dyn Clock>,
}

/// Why a server didn't start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The catalog's file can't be opened.
    #[error(transparent)]
    Catalog(#[from] limnos_catalog::Error),
    /// A root or the spill folder can't be opened.
    #[error(transparent)]
    Engine(#[from] limnos_engine::Error),
    /// The port is taken, or not ours to take.
    #[error("could not listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// The data directory.
    #[error("data directory \"{path}\" cannot be used: {source}")]
    DataDir { path: PathBuf, source: std::io::Error },
    /// Another server has it.
    #[error("data directory \"{0}\" is in use by another limnos")]
    Busy(PathBuf),
    /// A user's password or verifier.
    #[error("{0}")]
    Users(String),
    /// A certificate, its key, an authority.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ServeError {
    /// What to do, a full sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint().map(str::to_owned),
            Self::Engine(error) => error.hint.clone(),
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("Is another server running? Choose other ports with --pg and --http.".to_owned())
            }
            Self::Tls(error) => error.hint.clone(),
            Self::Users(message) if message.contains("there is no user") => Some(
                "Name users in the table [users] of the configuration file or in --users-file, or make one with \
                 limnos user create --password."
                    .to_owned(),
            ),
            Self::Busy(_) => Some("Stop it, or choose another --data-dir.".to_owned()),
            _ => None,
        }
    }
}

impl ServeOptions {
    /// The options that `config` asks for.
    ///
    /// # Errors
    /// A password that is empty or a verifier that isn't one.
    pub fn from_config(config: &Config) -> Result<Self, ServeError> {
        let secrets = config.users.iter().map(|(name, secret)| (name.as_str(), secret.as_str()));
        Ok(Self {
            engine: engine_config(config),
            data_dir: config.data_dir.clone(),
            catalog: config.catalog.clone(),
            pg: config.pg,
            http: config.http,
            catalog_name: config.catalog_name.clone(),
            auth: match config.auth {
                Auth::Trust => AuthMethod::Trust,
                Auth::ScramSha256 => AuthMethod::ScramSha256,
            },
            rules: Some(config.rules.clone()),
            users: Users::from_secrets(secrets).map_err(ServeError::Users)?,
            tls: config.tls.clone(),
            max_connections: config.max_connections,
            superuser_reserved_connections: config.superuser_reserved_connections,
            authentication_timeout: config.authentication_timeout,
            idle_session_timeout: config.idle_session_timeout,
            idle_in_transaction_session_timeout: config.idle_in_transaction_session_timeout,
            statement_timeout: config.statement_timeout,
            schedule_history: config.schedule_history,
            schedule_poll_interval: config.schedule_poll_interval,
            shutdown_deadline: config.shutdown_deadline,
            delivery: config.delivery.clone(),
            clock: Arc::new(SystemClock),
        })
    }

    /// A small server on free ports of loopback that trusts everyone.
    pub fn for_tests(data_dir: impl Into<PathBuf>, roots: Vec<String>) -> Self {
        let data_dir = data_dir.into();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            engine: EngineConfig {
                stores: StoreOptions { roots, ..StoreOptions::default() },
                // Tests share a process, whose size is what the watchdog of each of their servers looks at.
                memory_limit_bytes: 1 << 30,
                spill_dir: data_dir.join(SPILL_FOLDER),
                spill_limit_bytes: 1 << 30,
                threads: 2,
                footer_cache_bytes: 16 << 20,
                partition_cache_bytes: 256 << 20,
                result_cache_bytes: 24 << 20,
                warehouse: Some(data_dir.join("warehouse").to_string_lossy().into_owned()),
                scan_limit_bytes: None,
                listing_cache_bytes: 16 << 20,
                dataset_memory_bytes: 256 << 20,
                dataset_dir: Some(data_dir.join(DATASETS_FOLDER)),
            },
            catalog: Location::File(data_dir.join("catalog.sqlite")),
            data_dir,
            pg: loopback,
            http: loopback,
            catalog_name: "lake".to_owned(),
            auth: AuthMethod::Trust,
            rules: None,
            users: Users::default(),
            tls: None,
            max_connections: 100,
            superuser_reserved_connections: 0,
            authentication_timeout: limits::AUTHENTICATION_TIMEOUT,
            idle_session_timeout: None,
            idle_in_transaction_session_timeout: None,
            statement_timeout: None,
            schedule_history: statements::HISTORY,
            schedule_poll_interval: watch::POLL_INTERVAL,
            shutdown_deadline: Duration::from_secs(5),
            delivery: DeliveryOptions::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// The engine's part of a configuration.
pub fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        stores: StoreOptions {
            roots: config.roots.iter().map(|root| absolute(root)).collect(),
            s3: config.s3.clone(),
            own_roots: config.own_roots.clone(),
            profile: aws_profile(),
            block_cache: Some(BlockCacheOptions {
                folder: config.data_dir.join(BLOCKS_FOLDER),
                disk_bytes: config.block_cache.map(|size| size.0),
                memory_bytes: config.block_cache_memory.0,
            }),
        },
        memory_limit_bytes: config.memory_limit.0,
        spill_dir: config.data_dir.join(SPILL_FOLDER),
        spill_limit_bytes: config.spill_limit.0,
        threads: config.threads,
        footer_cache_bytes: config.footer_cache.0,
        partition_cache_bytes: config.partition_cache.0,
        result_cache_bytes: config.result_cache.0,
        warehouse: Some(absolute(&config.warehouse)),
        scan_limit_bytes: config.scan_limit.map(|limit| limit.0),
        listing_cache_bytes: config.listing_cache.0,
        dataset_memory_bytes: config.dataset_memory.0,
        dataset_dir: Some(config.data_dir.join(DATASETS_FOLDER)),
    }
}

/// Where AWS's own tools keep keys, and which are meant.
fn aws_profile() -> ProfileOptions {
    let file = |variable: &str, name: &str| {
        let at_home = || Some(PathBuf::from(process_environment("HOME")?).join(".aws").join(name));
        process_environment(variable).map(PathBuf::from).or_else(at_home)
    };
    ProfileOptions {
        name: process_environment("AWS_PROFILE").and_then(|name| name.into_string().ok()),
        credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        config_file: file("AWS_CONFIG_FILE", "config"),
    }
}

/// A local root as it is from anywhere; the catalog keeps locations longer than we keep our current directory.
fn absolute(root: &str) -> String {
    if root.contains("://") {
        return root.to_owned();
    }
    std::path::absolute(root).map_or_else(|_| root.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// The secret that unknown users' salts are made from, made at the first start: like real salts they outlive a restart.
fn mock_secret(data_dir: &std::path::Path) -> std::io::Result<[u8; 32]> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = data_dir.join(MOCK_SECRET_FILE);
    if let Ok(secret) = std::fs::read(&path)
        && let Ok(secret) = secret.try_into()
    {
        return Ok(secret);
    }
    let secret = crate::auth::random();
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&secret)?;
    Ok(secret)
}

/// A data directory that is ours alone, with its catalog and engine.
pub struct OpenLake {
    /// The one door.
    pub service: Arc<QueryService>,
    catalog: Arc<Catalog>,
    /// Held while we live: two processes on one spill folder would empty it under each other.
    _lock: std::fs::File,
}

/// Opens a data directory: the catalog there or elsewhere, the engine, the one door. `limnos query --data-dir` ends here, a
/// server goes on.
///
/// # Errors
/// Another process has it; the catalog is damaged or out of reach; a root can't be opened.
pub fn open(
    data_dir: &std::path::Path,
    catalog: &Location,
    engine: EngineConfig,
    clock: Arc<dyn Clock>,
) -> Result<OpenLake, ServeError> {
    let unusable = |source| ServeError::DataDir { path: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(unusable)?;
    let lock = std::fs::File::create(data_dir.join("lock")).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(ServeError::Busy(data_dir.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let catalog = Catalog::open_at(catalog)?;
    let engine = Engine::new(Arc::clone(&catalog), engine, clock)?;
    Ok(OpenLake { service: QueryService::new(engine), catalog, _lock: lock })
}

/// A server that takes connections.
pub struct RunningServer {
    /// Where PostgreSQL clients connect.
    pub pg_address: SocketAddr,
    /// Where HTTP clients connect.
    pub http_address: SocketAddr,
    /// The one door, for those in the same process.
    pub service: Arc<QueryService>,
    lake: OpenLake,
    /// Cancelled when PostgreSQL connections are no longer taken.
    accepting: CancellationToken,
    /// Cancelled when PostgreSQL connections that are still busy end.
    terminating: CancellationToken,
    /// Cancelled when HTTP ends.
    serving: CancellationToken,
    draining: Arc<AtomicBool>,
    shutdown_deadline: Duration,
    tls: Option<Arc<Tls>>,
    pg_task: JoinHandle<()>,
    http_task: JoinHandle<()>,
    schedule_task: JoinHandle<()>,
    deliver_task: JoinHandle<()>,
    statements_task: JoinHandle<()>,
    watch_task: JoinHandle<()>,
}

/// Opens everything and takes connections; the caller's runtime carries their I/O, the engine brings threads of its own
/// for queries.
///
/// # Errors
/// As [`open`]; a port that is taken.
pub async fn start(options: ServeOptions) -> Result<RunningServer, ServeError> {
    // First of all: what is meant to be encrypted must never be served in clear.
    let tls = options.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let rules = Arc::new(options.rules.clone().unwrap_or_else(|| Rules::everyone(options.auth)));
    // Before the catalog: a second start with the same ports fails at once, having touched nothing.
    let pg_listener = listen(options.pg).await?;
    let http_listener = listen(options.http).await?;
    let clock = Arc::clone(&options.clock);
    let (data_dir, location, engine) = (options.data_dir.clone(), options.catalog.clone(), options.engine.clone());
    // PostgreSQL may let one wait.
    let lake = tokio::task::spawn_blocking(move || open(&data_dir, &location, engine, clock));
    let lake = lake.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    // Those of the configuration, or roles of the catalog.
    let has_password = |role: &Arc<limnos_catalog::Role>| role.can_login && role.verifier.is_some();
    if rules.need_passwords() && options.users.is_empty() && !lake.catalog.snapshot().roles.values().any(has_password) {
        return Err(ServeError::Users("auth is scram-sha-256, but there is no user with a password".to_owned()));
    }
    let unusable = |source| ServeError::DataDir { path: options.data_dir.clone(), source };
    let mock_secret = mock_secret(&options.data_dir).map_err(unusable)?;
    let users = options.users.clone().with_mock_secret(mock_secret);
    let users = users.with_roles(Arc::clone(&lake.catalog), Arc::clone(&options.clock));
    let service = Arc::clone(&lake.service);
    service.set_statement_timeout(options.statement_timeout);
    service.accounts().set_configured(options.users.names().map(str::to_owned));
    let accepting = CancellationToken::new();
    let serving = CancellationToken::new();
    let draining = Arc::new(AtomicBool::new(false));

    let sampled = Arc::clone(&service);
    let connections_open = Arc::new(AtomicUsize::new(0));
    let (open, connections_max) = (Arc::clone(&connections_open), options.max_connections as u64);
    let http_options = HttpOptions {
        catalog_name: options.catalog_name.clone(),
        user: DEFAULT_USER.to_owned(),
        query_enabled: options.http.ip().is_loopback()
            && rules.trusts_this_machine(DEFAULT_USER, &options.catalog_name),
        metrics: Arc::new(Metrics::new(move || Sample {
            connections: open.load(Ordering::Relaxed) as u64,
            connections_max,
            ..sampled.sample()
        })),
        draining: Arc::clone(&draining),
    };
    let terminating = CancellationToken::new();
    let pg_options = PgOptions {
        catalog_name: options.catalog_name.clone(),
        rules,
        users: Arc::new(users),
        tls: tls.clone(),
        connections_max: options.max_connections,
        connections_reserved: options.superuser_reserved_connections,
        connections_open,
        authentication_timeout: options.authentication_timeout,
        idle_session_timeout: options.idle_session_timeout,
        idle_in_transaction_session_timeout: options.idle_in_transaction_session_timeout,
        ..PgOptions::new(terminating.clone())
    };
    let (pg_address, http_address) = (address_of(&pg_listener, options.pg), address_of(&http_listener, options.http));
    let pg_serving = pg::serve(pg_listener, Arc::clone(&service), pg_options, accepting.clone());
    let pg_task = tokio::spawn(pg_serving);
    let http_serving = http::serve(http_listener, Arc::clone(&service), http_options, serving.clone());
    let http_task = tokio::spawn(async move {
        if let Err(error) = http_serving.await {
            tracing::error!(%error, "http listener failed");
        }
    });
    let crawlers = Crawlers::new(Arc::clone(&lake.catalog), Arc::clone(&service), options.catalog_name.clone());
    let scheduler = Scheduler::new(Arc::clone(&options.clock), Arc::new(crawlers));
    let refreshing = schedule::datasets::run(
        Arc::clone(&lake.catalog),
        Arc::clone(&service),
        options.catalog_name.clone(),
        accepting.clone(),
    );
    let crawling = schedule::run(scheduler, accepting.clone());
    let schedule_task = tokio::spawn(async move {
        tokio::join!(crawling, refreshing);
    });
    let deliverer = Deliverer::new(Arc::clone(service.engine()), options.delivery.clone());
    let deliver_task = tokio::spawn(deliverer.run(accepting.clone()));
    let (catalog, clock) = (Arc::clone(&lake.catalog), Arc::clone(&options.clock));
    let door = ThroughTheDoor::new(Arc::clone(&service), options.catalog_name.clone());
    let schedules = Statements::new(Arc::clone(&catalog), Arc::clone(&clock), Arc::new(door), options.schedule_history);
    let statements_task = tokio::spawn(statements::run(schedules, accepting.clone()));
    let (poll, history) = (options.schedule_poll_interval, options.schedule_history);
    let watch = Watch::new(catalog, Arc::clone(&service), clock, poll, history);
    let watch_task = tokio::spawn(watch::run(watch, accepting.clone()));
    let (data_dir, catalog) = (options.data_dir.display(), &options.catalog);
    tracing::info!(%pg_address, %http_address, %data_dir, %catalog, "server started");
    let shutdown_deadline = options.shutdown_deadline;
    Ok(RunningServer {
        pg_address,
        http_address,
        service,
        lake,
        accepting,
        terminating,
        serving,
        draining,
        shutdown_deadline,
        tls,
        pg_task,
        http_task,
        schedule_task,
        deliver_task,
        statements_task,
        watch_task,
    })
}

impl RunningServer {
    /// Stops taking connections, waits for running queries up to the deadline, cancels the rest, closes.
    pub async fn shutdown(self) {
        let deadline = self.shutdown_deadline;
        self.stop(deadline).await;
    }

    /// Serves until SIGTERM or SIGINT, then shuts down; a second signal cancels what still runs at once. SIGHUP reads the
    /// TLS files again.
    ///
    /// # Errors
    /// When signals can't be listened to.
    pub async fn serve_until_signalled(self) -> std::io::Result<()> {
        let mut signals = Signals::new()?;
        let signal = loop {
            match signals.next().await {
                SIGHUP => {
                    if let Some(tls) = &self.tls {
                        tls.reload();
                    }
                }
                signal => break signal,
            }
        };
        let deadline_s = self.shutdown_deadline.as_secs();
        tracing::info!(signal, deadline_s, "shutdown began, running queries may end");
        let hurry = Arc::clone(&self.service);
        let stopping = self.shutdown();
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                () = &mut stopping => break,
                signal = signals.next() => {
                    if signal == SIGHUP {
                        continue;
                    }
                    tracing::warn!(signal, "second signal, running queries are cancelled");
                    hurry.drain(Duration::ZERO).await;
                }
            }
        }
        tracing::info!("server stopped");
        Ok(())
    }

    async fn stop(self, deadline: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        self.accepting.cancel();
        self.service.drain(deadline).await;
        self.terminating.cancel();
        self.serving.cancel();
        let tasks = [
            self.pg_task,
            self.http_task,
            self.schedule_task,
            self.statements_task,
            self.watch_task,
            self.deliver_task,
        ];
        for mut task in tasks {
            if tokio::time::timeout(CLOSE_DEADLINE, &mut task).await.is_err() {
                // A client that doesn't read its answer can't hold the process.
                task.abort();
            }
        }
        self.service.close().await;
        drop(self.lake);
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// The address with the port that the system chose for 0.
fn address_of(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

/// The name of the signal that doesn't end us.
const SIGHUP: &str = "SIGHUP";

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one's name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => SIGHUP,
        }
    }
}
