//! [`Limnos`]: a server of its own, asked over the PostgreSQL protocol. Tables are found by CRAWL, or declared where their
//! files have no types; in memory they are datasets of the same names.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tokio::runtime::Handle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Engine, Format, Ran, Resources, S3Access, Table};
use crate::answer::{Answer, Kind};
use crate::process::{Meter, Server, ServerOptions};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How one is started, besides what all engines get.
#[derive(Debug, Clone)]
pub(crate) struct LimnosOptions {
    pub(crate) label: String,
    pub(crate) binary: PathBuf,
    /// Folders or buckets that it may read.
    pub(crate) root: String,
    pub(crate) s3: Option<S3Access>,
    /// `name=value` of session settings.
    pub(crate) settings: Vec<String>,
}

/// A running server and a session in it.
pub(crate) struct Limnos {
    label: String,
    version: String,
    runtime: Handle,
    server: Server,
    client: Client,
    settings: Vec<String>,
    timeout: Duration,
}

impl Limnos {
    /// Starts a server without tables.
    pub(crate) fn start(runtime: &Handle, options: LimnosOptions, resources: &Resources) -> Result<Self> {
        let mut flags = vec![
            format!("--root={}", options.root),
            format!("--threads={}", resources.threads),
            format!("--memory-limit={}", resources.memory_bytes),
            // An answer that is kept would be measured without the query; and the same for blocks of files.
            "--result-cache-bytes=0".to_owned(),
            "--block-cache-bytes=0".to_owned(),
        ];
        if let Some(s3) = &options.s3 {
            flags.extend([
                format!("--s3-endpoint={}", s3.endpoint),
                "--s3-region=us-east-1".to_owned(),
                format!("--s3-access-key-id={}", s3.key),
                "--s3-allow-http=true".to_owned(),
            ]);
        }
        let secret =
            options.s3.iter().map(|s3| ("LIMNOS_S3_SECRET_ACCESS_KEY".to_owned(), s3.secret.clone())).collect();
        let server = Server::start(ServerOptions { binary: options.binary, flags, environment: secret })?;
        let client = runtime.block_on(connect(&server.address))?;
        let mut limnos = Self {
            label: options.label,
            version: String::new(),
            runtime: runtime.clone(),
            server,
            client,
            settings: options.settings,
            timeout: resources.timeout,
        };
        limnos.prepare_session()?;
        let version = limnos.rows("SELECT version()")?;
        limnos.version = version.into_iter().flatten().flatten().next().unwrap_or_default();
        Ok(limnos)
    }

    /// Makes `tables` known; `folder` has one folder a table. In memory they are datasets, and their files' tables are in
    /// the database `files`.
    pub(crate) fn add_tables(&mut self, folder: &str, tables: &[Table], in_memory: bool) -> Result<Duration> {
        let database = if in_memory { "files" } else { "default" };
        if in_memory {
            self.rows("CREATE DATABASE files")?;
        }
        match tables.first().map(|table| table.format) {
            Some(Format::Csv) => {
                for table in tables {
                    self.rows(&declaration(database, table))?;
                }
            }
            _ => {
                self.rows(&format!("CRAWL '{folder}' INTO DATABASE \"{database}\""))?;
            }
        }
        let began = Instant::now();
        if in_memory {
            for Table { name, .. } in tables {
                self.rows(&format!("CREATE DATASET {name} AS TABLE files.{name}"))
                    .with_context(|| format!("dataset {name}"))?;
            }
        }
        Ok(began.elapsed())
    }

    /// Rows of a statement, outside of all measuring.
    pub(crate) fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let messages =
            self.runtime.block_on(self.client.simple_query(sql)).map_err(|error| anyhow!(describe(&error)))?;
        Ok(rows_of(&messages))
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    fn prepare_session(&self) -> Result<()> {
        self.rows(&format!("SET statement_timeout = {}", self.timeout.as_millis()))?;
        for setting in &self.settings {
            let (name, value) = setting.split_once('=').context("a setting is NAME=VALUE")?;
            self.rows(&format!("SET {name} = {value}"))?;
        }
        Ok(())
    }

    /// What the last query asked of stores.
    fn last_io(&self, sql: &str) -> Option<(u64, u64)> {
        let asked = "SELECT sql, requests, bytes_scanned FROM system.queries ORDER BY queued_at DESC LIMIT 4";
        let rows = self.rows(asked).ok()?;
        let row =
            rows.iter().find(|row| row.first().and_then(Option::as_deref).is_some_and(|text| text == sql.trim()))?;
        let number = |column: usize| row.get(column)?.as_deref()?.parse().ok();
        Some((number(1)?, number(2)?))
    }

    fn kinds(&self, sql: &str) -> Vec<Kind> {
        let Ok(statement) = self.runtime.block_on(self.client.prepare(sql)) else { return Vec::new() };
        let kind = |of: &Type| match *of {
            Type::FLOAT4 | Type::FLOAT8 => Kind::Float,
            Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC => Kind::Exact,
            _ => Kind::Text,
        };
        statement.columns().iter().map(|column| kind(column.type_())).collect()
    }
}

impl Engine for Limnos {
    fn label(&self) -> &str {
        &self.label
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn meter(&self) -> Meter {
        self.server.meter()
    }

    fn query(&mut self, sql: &str, with_rows: bool) -> Result<Result<Ran, String>> {
        // One statement and nothing behind it, so that it stands in `system.queries` as it is here.
        let sql = sql.trim().trim_end_matches(';');
        let began = Instant::now();
        let asked = self.runtime.block_on(self.client.simple_query(sql));
        let ms = began.elapsed().as_secs_f64() * 1e3;
        let messages = match asked {
            Ok(messages) => messages,
            Err(error) if error.as_db_error().is_some() => return Ok(Err(describe(&error))),
            Err(error) => {
                self.restart()?;
                return Ok(Err(describe(&error)));
            }
        };
        let rows = rows_of(&messages);
        let row_count = rows.len() as u64;
        let answer = with_rows.then(|| Answer { kinds: self.kinds(sql), rows });
        Ok(Ok(Ran { ms, row_count, answer, io: self.last_io(sql) }))
    }

    fn restart(&mut self) -> Result<()> {
        self.server.restart()?;
        self.client = self.runtime.block_on(connect(&self.server.address))?;
        self.prepare_session()
    }
}

/// A session of the first user.
pub(crate) async fn connect(address: &str) -> Result<Client> {
    let (host, port) = address.split_once(':').context("an address")?;
    let mut config = tokio_postgres::Config::new();
    config.host(host).port(port.parse()?).user("limnos").dbname("lake").application_name("limnos-benches");
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match config.connect(NoTls).await {
            Ok((client, connection)) => {
                // How it ends is seen by the client's calls.
                tokio::spawn(async move { drop(connection.await) });
                return Ok(client);
            }
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn declaration(database: &str, table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    let folder = Path::new(&table.files).parent().unwrap_or(Path::new("/")).display();
    format!(
        "CREATE EXTERNAL TABLE \"{database}\".{} ({}) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' \
         WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '\"') STORED AS TEXTFILE LOCATION '{folder}/' \
         TBLPROPERTIES ('skip.header.line.count' = '1')",
        table.name,
        columns.join(", ")
    )
}

fn rows_of(messages: &[SimpleQueryMessage]) -> Vec<Vec<Option<String>>> {
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// An error with all the server said.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => {
            format!("{}: {} {}", database.code().code(), database.message(), database.detail().unwrap_or_default())
        }
        None => format!("{error:?}"),
    }
}
