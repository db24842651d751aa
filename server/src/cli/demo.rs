//! `limnos demo`: makes the demo lake if it isn't there, catalogs it, says how to use it, serves it.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use limnos_engine::Session;

use super::{CommandResult, Failure, report, runtime, start_logs};
use crate::config::{Config, Layer, Sources, process_environment};
use crate::demo::{self, DemoError, Progress};
use crate::query::CancelSlot;
use crate::script;
use crate::serve::{self, DEFAULT_USER, RunningServer, ServeOptions};

/// Written to the data directory once the tables are in the catalog, so that what a user drops stays dropped.
const CATALOGED: &str = "demo-cataloged";

#[derive(clap::Args)]
pub(super) struct Demo {
    /// Folder of the lake and of everything else the demo keeps
    #[arg(long, value_name = "DIR", default_value = "lake")]
    dir: PathBuf,

    /// TPC-H's scale factor: 1 is six million rows of lineitem [default: 0.1, or that of the lake that is there]
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f64>,

    /// Make the lake and stop
    #[arg(long)]
    make_only: bool,

    #[command(flatten)]
    sources: Sources,
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        let code = if matches!(error, DemoError::Io { .. }) { ExitCode::FAILURE } else { ExitCode::from(2) };
        Self::Told { code, message: error.to_string(), hint: error.hint() }
    }
}

impl Demo {
    pub(super) fn run(self) -> CommandResult {
        if self.make_only {
            return make(&self.dir, self.scale);
        }
        let layer = self.sources.layers(process_environment)?;
        // Refused before minutes are spent on a lake that could not be served.
        let mut config = demo_config(&self.dir, layer)?;
        start_logs(&config)?;
        config.check()?;
        if demo::find(&self.dir, self.scale)?.is_none() {
            make_in_child(&self.dir, self.scale)?;
        }
        config.roots.splice(0..0, demo::roots(&self.dir));
        config.check()?;
        runtime()?.block_on(async {
            let server = serve::start(ServeOptions::from_config(&config)?).await?;
            catalog(&server, &config, &self.dir).await?;
            welcome(&server, &config);
            server.serve_until_signalled().await.map_err(|error| Failure::new(error, None))
        })
    }
}

/// `serve`'s settings with the demo's own defaults; logs are for warnings, the screen is for the welcome.
fn demo_config(dir: &Path, layer: Layer) -> Result<Config, Failure> {
    let defaults = Layer { data_dir: Some(dir.join("data")), log_level: Some("warn".to_owned()), ..Layer::default() };
    Ok(Config::from_layer(layer.over(defaults))?)
}

/// Runs ourselves with `--make-only`: TPC-H's generator keeps 300 MB of text until its process ends, which would count
/// against a server for as long as it lives.
fn make_in_child(dir: &Path, scale: Option<f64>) -> CommandResult {
    let program = std::env::current_exe().context("could not find the limnos program")?;
    let mut command = process::Command::new(program);
    command.arg("demo").arg("--make-only").arg("--dir").arg(dir);
    if let Some(scale) = scale {
        command.arg("--scale").arg(scale.to_string());
    }
    let status = command.status().context("could not start the generator")?;
    match status.code() {
        Some(0) => Ok(()),
        // It said why on the same screen.
        Some(code) => Err(Failure::Silent(ExitCode::from(u8::try_from(code).unwrap_or(1)))),
        None => Err(Failure::new(format!("the generator was stopped: {status}"), None)),
    }
}

fn make(dir: &Path, scale: Option<f64>) -> CommandResult {
    let started = Instant::now();
    let progress = Progress::default();
    let made = thread::scope(|scope| {
        let making = scope.spawn(|| demo::make(dir, scale, &progress));
        let bar = progress_bar();
        while !making.is_finished() {
            bar.set_length(progress.rows_total.load(Ordering::Relaxed));
            bar.set_position(progress.rows_done.load(Ordering::Relaxed));
            thread::sleep(Duration::from_millis(50));
        }
        bar.finish_and_clear();
        making.join()
    });
    let manifest = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let rows: u64 = manifest.rows.values().sum();
    eprintln!("Demo lake in {}: {rows} rows at scale {} ({:.1?})", dir.display(), manifest.scale, started.elapsed());
    Ok(())
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("Making the demo lake {wide_bar} {human_pos}/{human_len} rows, {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Runs the lake's DDL, once per data directory.
async fn catalog(server: &RunningServer, config: &Config, dir: &Path) -> CommandResult {
    let marker = config.data_dir.join(CATALOGED);
    if marker.exists() {
        return Ok(());
    }
    let sql = demo::tables_sql(dir).with_context(|| format!("could not read folder \"{}\"", dir.display()))?;
    let mut session = Session::new(DEFAULT_USER, &config.catalog_name).of_process();
    let mut sink = script::Discard::default();
    script::run(&server.service, &mut session, &sql, &CancelSlot::default(), &mut sink)
        .await
        .map_err(|failed| report::failure(&failed))?;
    fs::write(&marker, "").with_context(|| format!("could not write \"{}\"", marker.display()))?;
    Ok(())
}

fn welcome(server: &RunningServer, config: &Config) {
    let (host, port) = (server.pg_address.ip(), server.pg_address.port());
    println!("The demo lake is served. Connect with\n");
    println!("  psql -h {host} -p {port} -U {DEFAULT_USER} {}\n", config.catalog_name);
    println!("and try \\d, \\d+ lineitem, or\n");
    for (about, sql) in demo::QUERIES {
        println!("  -- {about}\n  {sql}\n");
    }
    println!("Metrics are at http://{}/metrics. Press Ctrl-C to stop.", server.http_address);
}
