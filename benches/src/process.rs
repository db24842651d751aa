//! Processes that are measured from outside: how much memory one took at most, how much processor time, and a Limnos server
//! of its own. Figures come from `/proc`, so elsewhere than on Linux there are none.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// `sysconf(_SC_CLK_TCK)` of all Linux systems there are.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a server may take until it listens. A lake of many files takes none of it.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// What `/proc` says of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    pub(crate) pid: u32,
}

impl Meter {
    /// The most resident memory since it began, or since that was forgotten.
    pub(crate) fn peak_bytes(self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// See proc(5), `clear_refs`. Where it can't be the figure is of the whole run.
    pub(crate) fn forget_peak(self) {
        let _it_may_be_closed = std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Processor seconds of all its threads, in user and system mode.
    pub(crate) fn cpu_seconds(self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name of the program is in parentheses, and may have any character.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
    }
}

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct ServerOptions {
    pub(crate) binary: PathBuf,
    /// Flags of `limnos serve` besides addresses, data directory and authentication.
    pub(crate) flags: Vec<String>,
    /// Variables, for what no flag may say.
    pub(crate) environment: Vec<(String, String)>,
}

/// A `limnos serve` with a data directory of its own. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    /// Where PostgreSQL clients connect.
    pub(crate) address: String,
    options: ServerOptions,
    data: tempfile::TempDir,
}

impl Server {
    /// Starts one and waits until it listens.
    pub(crate) fn start(options: ServerOptions) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let (child, address) = spawn(&options, data.path())?;
        Ok(Self { child, address, options, data })
    }

    /// Ends it and starts it on the same data.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.stop();
        (self.child, self.address) = spawn(&self.options, self.data.path())?;
        Ok(())
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter { pid: self.child.id() }
    }

    fn stop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(options: &ServerOptions, data: &Path) -> Result<(Child, String)> {
    let (address, http) = (free_address()?, free_address()?);
    let log = std::fs::File::create(data.join("server.log"))?;
    let mut child = Command::new(&options.binary)
        .args(["serve", "--pg", &address, "--http", &http, "--auth", "trust", "--data-dir"])
        .arg(data)
        .args(&options.flags)
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .stdout(log.try_clone()?)
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| options.binary.display().to_string())?;
    let deadline = Instant::now() + START_DEADLINE;
    while TcpStream::connect(&address).is_err() {
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            let _killed = child.kill();
            let log = std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
            anyhow::bail!("limnos does not start: {log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((child, address))
}

/// The `limnos` that is measured: the one that was named, or the one beside this program.
pub(crate) fn limnos_binary(named: Option<&Path>) -> Result<PathBuf> {
    let binary = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("limnos"),
    };
    ensure!(binary.exists(), "{} is not there: cargo build --release --workspace makes it", binary.display());
    Ok(binary)
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
