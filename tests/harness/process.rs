//! [`ServerProcess`]: a server in a process of its own, to be killed.
//!
//! The end-to-end binary starts itself again and runs only its test `child_server`, which serves when the environment
//! says so (see [`serve_if_child`]) and is over at once otherwise. So no path to a built `limnos` has to be guessed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use limnos_server::serve::{ServeOptions, start};
use limnos_server::tls::{TlsOptions, TlsVersion};
use tokio_postgres::Client;

use crate::client;

const DATA_DIR: &str = "LIMNOS_TEST_CHILD_DATA_DIR";
const ROOT: &str = "LIMNOS_TEST_CHILD_ROOT";
const MEMORY_LIMIT: &str = "LIMNOS_TEST_CHILD_MEMORY_LIMIT";
const TLS: &str = "LIMNOS_TEST_CHILD_TLS";
const READY: &str = "limnos-test-child-ready";

/// A running child. Dropping it kills it.
pub struct ServerProcess {
    child: Child,
    pg_address: SocketAddr,
    http_address: SocketAddr,
    panics: Arc<AtomicUsize>,
}

impl ServerProcess {
    /// Starts a server on `data_dir` over one root and waits until it listens.
    pub fn start(data_dir: &Path, root: &Path, memory_limit_bytes: Option<u64>) -> anyhow::Result<Self> {
        Self::start_child(data_dir, root, memory_limit_bytes, None)
    }

    /// Starts one with TLS.
    pub fn start_with_tls(data_dir: &Path, root: &Path, tls: &TlsOptions) -> anyhow::Result<Self> {
        Self::start_child(data_dir, root, None, Some(tls))
    }

    fn start_child(
        data_dir: &Path,
        root: &Path,
        memory_limit_bytes: Option<u64>,
        tls: Option<&TlsOptions>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", "child_server", "--nocapture"])
            .env(DATA_DIR, data_dir)
            .env(ROOT, root)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(tls) = tls {
            command.env(TLS, std::env::join_paths([&tls.certificate, &tls.key])?);
        }
        if let Some(bytes) = memory_limit_bytes {
            command.env(MEMORY_LIMIT, bytes.to_string());
        }
        let mut child = command.spawn()?;
        let panics = Arc::new(AtomicUsize::new(0));
        let errors = BufReader::new(child.stderr.take().context("stderr is piped")?);
        let counted = Arc::clone(&panics);
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                counted.fetch_add(usize::from(line.contains("panicked at")), Ordering::Relaxed);
                #[allow(clippy::print_stderr, reason = "what the child says is what a failing test shows")]
                {
                    eprintln!("{line}");
                }
            }
        });
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut started = None;
        let mut lines = output.lines();
        for line in lines.by_ref() {
            // The test harness writes the test's name on the same line first.
            let line = line?;
            if let Some((_, addresses)) = line.split_once(READY) {
                let mut addresses = addresses.split_whitespace();
                let mut next = || addresses.next().context("two addresses")?.parse().context("an address");
                started = Some((next()?, next()?));
                break;
            }
        }
        // Its pipe must stay read, or its next line would block it.
        std::thread::spawn(move || lines.for_each(drop));
        let (pg_address, http_address) = started.context("the server process ended before it listened")?;
        Ok(Self { child, pg_address, http_address, panics })
    }

    /// Where PostgreSQL clients connect.
    pub fn pg_address(&self) -> SocketAddr {
        self.pg_address
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// A client logged in as the first user.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client::connect(&client::config(self.pg_address)).await.map_err(client::describe)
    }

    /// How often code of the server panicked, which ends a query at most and is a defect all the same.
    pub fn panics(&self) -> usize {
        self.panics.load(Ordering::Relaxed)
    }

    /// Resident memory now, in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory it ever had, in bytes.
    pub fn peak_resident_bytes(&self) -> anyhow::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(field)).context("a field of /proc/PID/status")?;
        let kibibytes: u64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
        Ok(kibibytes * 1024)
    }

    /// `kill -9`: no destructor, no flush, nothing runs after it.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, as a service manager sends, and the exit status.
    pub fn terminate(mut self) -> anyhow::Result<std::process::ExitStatus> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill -TERM failed");
        Ok(self.child.wait()?)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may be dead already.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The child's side: serves until it is stopped, if this process was started to; otherwise returns at once.
pub async fn serve_if_child() -> anyhow::Result<()> {
    let Some(data_dir) = std::env::var_os(DATA_DIR).map(PathBuf::from) else {
        return Ok(());
    };
    let root = std::env::var(ROOT).context("a root")?;
    let mut options = ServeOptions::for_tests(&data_dir, vec![root]);
    // Some tests are about very many.
    options.max_connections = 10_000;
    if let Ok(bytes) = std::env::var(MEMORY_LIMIT) {
        options.engine.memory_limit_bytes = bytes.parse()?;
    }
    if let Some(files) = std::env::var_os(TLS) {
        let mut files = std::env::split_paths(&files);
        let mut next = || files.next().context("two files");
        let (certificate, key) = (next()?, next()?);
        options.tls = Some(TlsOptions { certificate, key, client_ca: None, min_version: TlsVersion::Tls12 });
    }
    let running = start(options).await?;
    {
        use std::io::Write;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{READY} {} {}", running.pg_address, running.http_address)?;
        output.flush()?;
    }
    running.serve_until_signalled().await?;
    Ok(())
}
