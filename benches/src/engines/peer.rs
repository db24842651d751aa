//! [`Peer`]: another engine in a process of its own, `peers/peer.py`, spoken to in lines of JSON. And the [`Environment`]
//! that `peers/setup` makes.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::{Engine, Format, Ran, Resources, S3Access, Table};
use crate::answer::{Answer, Kind};
use crate::process::Meter;

/// Loading tables takes longer than any query may.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1800);

/// Where the peers' packages are.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The folder that was named, or the one of `LIMNOS_BENCH_VENV`, or the one in the user's cache.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        let folder = match named {
            Some(folder) => folder.to_owned(),
            None => cache_folder()?.join("venv"),
        };
        ensure!(
            folder.join("bin/python").exists(),
            "the peers are not in {}: benches/peers/setup installs them, and --peers none goes without",
            folder.display()
        );
        Ok(Self { folder })
    }

    /// Python with a script of `peers/`.
    pub(crate) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin/python"));
        command.arg(scripts().join(script));
        command
    }

    /// The same, with the other DuckDB and its extensions.
    pub(crate) fn python_of_generators(&self, script: &str) -> Command {
        let mut command = self.python(script);
        command.env("PYTHONPATH", self.folder.join("generators"));
        command
    }
}

/// What is kept between runs: data, and the peers' environment.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("HOME is not set: use --data and --venv")?).join(".cache")
        }
    };
    Ok(cache.join("limnos-benches"))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Which peer, and how.
#[derive(Debug, Clone)]
pub(crate) struct PeerOptions {
    /// `duckdb`, `chdb`, `chdb-mergetree`, `datafusion`; settings of DataFusion's behind `?`, with `&` between.
    pub(crate) spec: String,
    pub(crate) in_memory: bool,
    pub(crate) s3: Option<S3Access>,
}

/// A running peer.
pub(crate) struct Peer {
    options: PeerOptions,
    environment: Environment,
    resources: Resources,
    tables: Vec<Table>,
    version: String,
    running: Running,
}

struct Running {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Peer {
    /// Starts one that knows `tables`, and how long it took to load them.
    pub(crate) fn start(
        environment: &Environment,
        options: PeerOptions,
        resources: &Resources,
        tables: &[Table],
    ) -> Result<(Self, Duration)> {
        let (running, version) = spawn(environment, &options, resources)?;
        let mut peer = Self {
            options,
            environment: environment.clone(),
            resources: resources.clone(),
            tables: tables.to_vec(),
            version,
            running,
        };
        let loaded = peer.add_tables()?;
        Ok((peer, loaded))
    }

    fn add_tables(&mut self) -> Result<Duration> {
        if let Some(S3Access { endpoint, bucket, key, secret }) = self.options.s3.clone() {
            self.told(&json!({"do": "s3", "endpoint": endpoint, "bucket": bucket, "key": key, "secret": secret}))?;
        }
        let kind = self.options.spec.split_once('-').map_or("memory", |(_, kind)| kind);
        let memory = self.options.in_memory.then(|| kind.to_owned());
        let began = Instant::now();
        for table in self.tables.clone() {
            let format = if table.format == Format::Csv { "csv" } else { "parquet" };
            let request = json!({
                "do": "table", "name": table.name, "files": table.files, "format": format, "columns": table.columns,
                "memory": memory,
            });
            self.told(&request).with_context(|| format!("{}, table {}", self.options.spec, table.name))?;
        }
        Ok(began.elapsed())
    }

    fn told(&mut self, request: &Value) -> Result<()> {
        match self.ask(request, LOAD_TIMEOUT)?.get("error") {
            Some(error) => bail!("{}", error.as_str().unwrap_or_default()),
            None => Ok(()),
        }
    }

    /// An error is a peer that is gone, or doesn't answer in time.
    fn ask(&mut self, request: &Value, timeout: Duration) -> Result<Value> {
        writeln!(self.running.requests, "{request}").and_then(|()| self.running.requests.flush())?;
        receive(&self.running.answers, timeout)
    }
}

impl Engine for Peer {
    fn label(&self) -> &str {
        &self.options.spec
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn meter(&self) -> Meter {
        Meter { pid: self.running.child.id() }
    }

    fn query(&mut self, sql: &str, with_rows: bool) -> Result<Result<Ran, String>> {
        let request = json!({"do": "query", "sql": sql.trim(), "rows": with_rows});
        let answer = match self.ask(&request, self.resources.timeout) {
            Ok(answer) => answer,
            Err(error) => {
                // It was too slow, or its memory was: the others' queries go on, and so do this one's next.
                self.restart()?;
                return Ok(Err(format!("{error:#}")));
            }
        };
        if let Some(error) = answer.get("error") {
            return Ok(Err(error.as_str().unwrap_or_default().to_owned()));
        }
        let ms = answer["ms"].as_f64().context("a time")?;
        let row_count = answer["count"].as_u64().context("a count of rows")?;
        let answer = with_rows.then(|| read_answer(&answer)).transpose()?;
        Ok(Ok(Ran { ms, row_count, answer, io: None }))
    }

    fn restart(&mut self) -> Result<()> {
        (self.running, self.version) = spawn(&self.environment, &self.options, &self.resources)?;
        self.add_tables().map(|_| ())
    }
}

fn spawn(environment: &Environment, options: &PeerOptions, resources: &Resources) -> Result<(Running, String)> {
    // Over a network DuckDB needs an extension, which is there for the DuckDB of the generators.
    let mut command = match options.s3.is_some() && options.spec == "duckdb" {
        true => environment.python_of_generators("peer.py"),
        false => environment.python("peer.py"),
    };
    let (engine, settings) = options.spec.split_once('?').unwrap_or((options.spec.as_str(), ""));
    let engine = engine.split('-').next().unwrap_or_default();
    let (threads, memory) = (resources.threads.to_string(), resources.memory_bytes.to_string());
    let mut child = command
        .args([engine, &threads, &memory, settings])
        // For what takes its threads from the environment.
        .env("RAYON_NUM_THREADS", &threads)
        .env("TOKIO_WORKER_THREADS", &threads)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| options.spec.clone())?;
    let requests = child.stdin.take().context("its input")?;
    let output = BufReader::new(child.stdout.take().context("its output")?);
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let running = Running { child, requests, answers };
    let hello = receive(&running.answers, LOAD_TIMEOUT).with_context(|| options.spec.clone())?;
    let version = hello["version"].as_str().context("a version")?.to_owned();
    Ok((running, version))
}

fn receive(answers: &Receiver<String>, timeout: Duration) -> Result<Value> {
    let line = answers.recv_timeout(timeout).map_err(|error| match error {
        RecvTimeoutError::Timeout => anyhow!("no answer in {} s", timeout.as_secs()),
        RecvTimeoutError::Disconnected => anyhow!("the process ended"),
    })?;
    Ok(serde_json::from_str(&line)?)
}

fn read_answer(answer: &Value) -> Result<Answer> {
    let kind = |kind: &Value| match kind.as_str() {
        Some("float") => Kind::Float,
        Some("exact") => Kind::Exact,
        _ => Kind::Text,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let row = |row: &Value| Some(row.as_array()?.iter().map(text).collect());
    let array = |name: &str| answer[name].as_array().context("a list");
    Ok(Answer {
        kinds: array("kinds")?.iter().map(kind).collect(),
        rows: array("rows")?.iter().map(row).collect::<Option<_>>().context("rows")?,
    })
}
