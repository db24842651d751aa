//! [`Layer`]: every setting once. Its doc comments are the help text, its field names the keys of the TOML file and,
//! in upper case after `LIMNOS_`, the names in the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::access::{HbaLayer, IdentLayer, TlsLayer};
use super::size::{ByteSize, Span};
use crate::deliver::options::{SmtpLayer, WebhookLayer};

/// Settings as one source gives them: the file, the environment or the flags. What it doesn't say is `None`.
#[derive(Clone, Default, Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[group(skip)]
pub struct Layer {
    /// Folder of the catalog and of all that must survive a restart
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Where the catalog is kept: sqlite:PATH, or postgres://USER@HOST/DATABASE for several servers on one catalog
    /// [default: a file in the data directory]
    #[arg(long, value_name = "URL")]
    pub catalog: Option<String>,

    /// A location that SQL may read and write: a folder, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX;
    /// repeat it for more. All else is refused
    #[arg(long = "root", value_name = "PATH|URL", value_delimiter = ',')]
    pub root: Option<Vec<String>>,

    /// Where tables that are made without a location have their files, a folder or s3://BUCKET/PREFIX; it is a root, too
    /// [default: the folder warehouse in the data directory]
    #[arg(long, value_name = "PATH|URL")]
    pub warehouse: Option<String>,

    /// Where to listen for PostgreSQL clients [default: 127.0.0.1:5439]
    #[arg(long, value_name = "ADDRESS")]
    pub pg: Option<SocketAddr>,

    /// Where to listen for HTTP: /query, /metrics, /healthz [default: 127.0.0.1:8439]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,

    /// Memory that all queries together may hold, such as 4GiB [default: 60 % of the machine's]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,

    /// Memory that all datasets together may take, beside what queries hold [default: 20 % of the machine's]
    #[arg(long, value_name = "SIZE")]
    pub dataset_memory: Option<ByteSize>,

    /// Threads that work on queries [default: one per core]
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<usize>,

    /// Most bytes that queries may spill to disk [default: 100GiB]
    #[arg(long, value_name = "SIZE")]
    pub spill_limit: Option<ByteSize>,

    /// Most bytes of Parquet footers kept between queries [default: a 16th of the memory limit, 1GiB at most]
    #[arg(long, value_name = "SIZE")]
    pub footer_cache_bytes: Option<ByteSize>,

    /// Most bytes of partition values kept between queries [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub partition_cache_bytes: Option<ByteSize>,
    /// Bytes of the memory limit that results may take which equal queries are answered from; 0 keeps none [default: 5 %]
    #[arg(long, value_name = "SIZE")]
    pub result_cache_bytes: Option<ByteSize>,

    /// Most bytes of remote objects kept on disk in the data directory; 0 keeps none
    /// [default: a tenth of the free disk, 8GiB at most]
    #[arg(long, value_name = "SIZE")]
    pub block_cache_bytes: Option<ByteSize>,

    /// Most bytes of remote objects kept in memory [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub block_cache_memory_bytes: Option<ByteSize>,
    /// Most bytes that a query may read from files, such as 10GB; sessions may ask for less. 0 is no limit [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub scan_limit: Option<ByteSize>,

    /// Most bytes of lists of files kept between queries [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub listing_cache_bytes: Option<ByteSize>,

    /// What PostgreSQL clients call the database [default: lake]
    #[arg(long, value_name = "NAME")]
    pub catalog_name: Option<String>,

    /// Most PostgreSQL connections at a time [default: 5000, or half of the files that the process may open]
    #[arg(long, value_name = "COUNT")]
    pub max_connections: Option<usize>,

    /// How many of them are kept for superusers [default: 3]
    #[arg(long, value_name = "COUNT")]
    pub superuser_reserved_connections: Option<usize>,

    /// How long a PostgreSQL client may take to log in, 1s to 60s [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub authentication_timeout: Option<Span>,

    /// End PostgreSQL sessions that ask for nothing for longer, such as 8h; 0 is never [default: 0]
    #[arg(long, value_name = "DURATION")]
    pub idle_session_timeout: Option<Span>,

    /// The same for sessions in a transaction; 0 is never [default: 0]
    #[arg(long, value_name = "DURATION")]
    pub idle_in_transaction_session_timeout: Option<Span>,

    /// Cancel statements that run longer, such as 5min; 0 is never [default: 0]
    #[arg(long, value_name = "DURATION")]
    pub statement_timeout: Option<Span>,

    /// How many runs of each schedule system.schedule_runs keeps [default: 1000]
    #[arg(long, value_name = "COUNT")]
    pub schedule_history: Option<usize>,

    /// How often tables that schedules watch are listed; local folders are watched beside it [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub schedule_poll_interval: Option<Span>,

    /// How long a shutdown waits for running queries before it cancels them [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub shutdown_deadline: Option<Span>,

    /// How PostgreSQL clients prove who they are [default: trust]
    #[arg(long, value_enum)]
    pub auth: Option<Auth>,

    /// TOML file of users: NAME = "password, or a SCRAM-SHA-256 verifier as PostgreSQL stores it"
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,

    /// What to log: a level, or a filter such as limnos_engine=debug,info [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,

    /// How log lines are written [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,

    /// Remote locations with options of their own, in the file only: `[[roots]]`.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub roots: Option<Vec<RootLayer>>,

    /// Users and their passwords, in the file only: a flag would show them to everyone on the machine.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub users: Option<BTreeMap<String, String>>,

    /// Who may connect from where and how, in the file only: `[[hba]]`.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub hba: Option<Vec<HbaLayer>>,

    /// Which names in client certificates are which roles, in the file only: `[[ident]]`.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub ident: Option<Vec<IdentLayer>>,

    /// A server that takes e-mail, in the file only: `[smtp]`.
    #[arg(skip)]
    pub smtp: Option<SmtpLayer>,

    /// Who is told of reports, in the file only: `[webhooks.NAME]`.
    #[arg(skip)]
    #[serde(skip_serializing)]
    pub webhooks: Option<BTreeMap<String, WebhookLayer>>,

    /// Encryption of PostgreSQL connections.
    #[command(flatten)]
    pub tls: TlsLayer,

    /// How to reach object stores.
    #[command(flatten)]
    pub s3: S3Layer,
}

/// The table `[s3]` of the file. What is not given is taken from the usual AWS_* variables.
#[derive(Clone, Default, Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[group(skip)]
pub struct S3Layer {
    /// URL of an S3-compatible server, such as http://minio:9000
    #[arg(id = "s3_endpoint", long = "s3-endpoint", value_name = "URL")]
    pub endpoint: Option<String>,

    /// Region of the buckets
    #[arg(id = "s3_region", long = "s3-region", value_name = "REGION")]
    pub region: Option<String>,

    /// Key id; its secret comes from the file or the environment
    #[arg(id = "s3_access_key_id", long = "s3-access-key-id", value_name = "ID")]
    pub access_key_id: Option<String>,

    /// Secret key. Never a flag.
    #[arg(skip)]
    pub secret_access_key: Option<String>,

    /// Session token. Never a flag.
    #[arg(skip)]
    pub session_token: Option<String>,

    /// Profile in ~/.aws/credentials whose keys to use
    #[arg(id = "s3_profile", long = "s3-profile", value_name = "NAME")]
    pub profile: Option<String>,

    /// Speak http:// to the endpoint
    #[arg(id = "s3_allow_http", long = "s3-allow-http", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub allow_http: Option<bool>,

    /// Name the bucket in the host, not in the path
    #[arg(id = "s3_virtual_hosted_style_request", long = "s3-virtual-hosted-style-request", value_name = "BOOL",
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub virtual_hosted_style_request: Option<bool>,

    /// Send requests unsigned, for public buckets
    #[arg(id = "s3_skip_signature", long = "s3-skip-signature", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub skip_signature: Option<bool>,
}

/// A table `[[roots]]` of the file: a remote location, and the options of its store, named as the provider's environment
/// variables without their prefix. No `Debug`: they hold secrets.
#[derive(Clone, Deserialize)]
pub struct RootLayer {
    /// Where it is.
    pub url: String,
    #[serde(flatten)]
    options: BTreeMap<String, OptionValue>,
}

/// What TOML makes of an option.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OptionValue {
    Text(String),
    Truth(bool),
    Number(i64),
}

impl RootLayer {
    /// The URL and the options, as the engine's stores know them.
    pub fn into_options(self) -> (String, BTreeMap<String, String>) {
        let text = |value| match value {
            OptionValue::Text(text) => text,
            OptionValue::Truth(truth) => truth.to_string(),
            OptionValue::Number(number) => number.to_string(),
        };
        (self.url, self.options.into_iter().map(|(name, value)| (name, text(value))).collect())
    }
}

/// How PostgreSQL clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Whoever reaches the port is who they say; on loopback only
    Trust,
    /// By password, never sent in clear
    #[value(name = "scram-sha-256")]
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for machines
    Json,
}

impl Layer {
    /// This layer where it says something, `under` where it doesn't. Both are taken apart by name, so that a setting
    /// which is added and not merged doesn't compile.
    #[must_use]
    pub fn over(self, under: Self) -> Self {
        let Self {
            data_dir,
            catalog,
            root,
            warehouse,
            pg,
            http,
            memory_limit,
            dataset_memory,
            threads,
            spill_limit,
            footer_cache_bytes,
            partition_cache_bytes,
            result_cache_bytes,
            listing_cache_bytes,
            block_cache_bytes,
            block_cache_memory_bytes,
            scan_limit,
            catalog_name,
            max_connections,
            superuser_reserved_connections,
            authentication_timeout,
            idle_session_timeout,
            idle_in_transaction_session_timeout,
            statement_timeout,
            schedule_history,
            schedule_poll_interval,
            shutdown_deadline,
            auth,
            users_file,
            log_level,
            log_format,
            roots,
            users,
            hba,
            ident,
            smtp,
            webhooks,
            tls,
            s3,
        } = self;
        Self {
            data_dir: data_dir.or(under.data_dir),
            catalog: catalog.or(under.catalog),
            root: root.or(under.root),
            warehouse: warehouse.or(under.warehouse),
            pg: pg.or(under.pg),
            http: http.or(under.http),
            memory_limit: memory_limit.or(under.memory_limit),
            dataset_memory: dataset_memory.or(under.dataset_memory),
            threads: threads.or(under.threads),
            spill_limit: spill_limit.or(under.spill_limit),
            footer_cache_bytes: footer_cache_bytes.or(under.footer_cache_bytes),
            partition_cache_bytes: partition_cache_bytes.or(under.partition_cache_bytes),
            result_cache_bytes: result_cache_bytes.or(under.result_cache_bytes),
            listing_cache_bytes: listing_cache_bytes.or(under.listing_cache_bytes),
            block_cache_bytes: block_cache_bytes.or(under.block_cache_bytes),
            block_cache_memory_bytes: block_cache_memory_bytes.or(under.block_cache_memory_bytes),
            scan_limit: scan_limit.or(under.scan_limit),
            catalog_name: catalog_name.or(under.catalog_name),
            max_connections: max_connections.or(under.max_connections),
            superuser_reserved_connections: superuser_reserved_connections.or(under.superuser_reserved_connections),
            authentication_timeout: authentication_timeout.or(under.authentication_timeout),
            idle_session_timeout: idle_session_timeout.or(under.idle_session_timeout),
            idle_in_transaction_session_timeout: idle_in_transaction_session_timeout
                .or(under.idle_in_transaction_session_timeout),
            statement_timeout: statement_timeout.or(under.statement_timeout),
            schedule_history: schedule_history.or(under.schedule_history),
            schedule_poll_interval: schedule_poll_interval.or(under.schedule_poll_interval),
            shutdown_deadline: shutdown_deadline.or(under.shutdown_deadline),
            auth: auth.or(under.auth),
            users_file: users_file.or(under.users_file),
            log_level: log_level.or(under.log_level),
            log_format: log_format.or(under.log_format),
            roots: roots.or(under.roots),
            users: users.or(under.users),
            hba: hba.or(under.hba),
            ident: ident.or(under.ident),
            smtp: smtp.or(under.smtp),
            webhooks: webhooks.or(under.webhooks),
            tls: tls.over(under.tls),
            s3: s3.over(under.s3),
        }
    }
}

impl S3Layer {
    fn over(self, under: Self) -> Self {
        let Self {
            endpoint,
            region,
            access_key_id,
            secret_access_key,
            session_token,
            profile,
            allow_http,
            virtual_hosted_style_request,
            skip_signature,
        } = self;
        Self {
            endpoint: endpoint.or(under.endpoint),
            region: region.or(under.region),
            access_key_id: access_key_id.or(under.access_key_id),
            secret_access_key: secret_access_key.or(under.secret_access_key),
            session_token: session_token.or(under.session_token),
            profile: profile.or(under.profile),
            allow_http: allow_http.or(under.allow_http),
            virtual_hosted_style_request: virtual_hosted_style_request.or(under.virtual_hosted_style_request),
            skip_signature: skip_signature.or(under.skip_signature),
        }
    }

    /// The settings by the names that the engine's stores know.
    pub fn into_options(self) -> BTreeMap<String, String> {
        [
            ("endpoint", self.endpoint),
            ("region", self.region),
            ("access_key_id", self.access_key_id),
            ("secret_access_key", self.secret_access_key),
            ("session_token", self.session_token),
            ("profile", self.profile),
            ("allow_http", self.allow_http.map(|yes| yes.to_string())),
            ("virtual_hosted_style_request", self.virtual_hosted_style_request.map(|yes| yes.to_string())),
            ("skip_signature", self.skip_signature.map(|yes| yes.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

impl std::fmt::Debug for Layer {
    /// An allow-list, as that of [`S3Layer`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer")
            .field("data_dir", &self.data_dir)
            .field("root", &self.root)
            .field("pg", &self.pg)
            .field("http", &self.http)
            .field("s3", &self.s3)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for S3Layer {
    /// An allow-list: secrets stay out of logs even when someone prints a whole configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Layer")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
