//! What a run found: printed as it goes, then figures as JSON, a chart, and the suite's section of `RESULTS.md`.

mod chart;
mod markdown;
mod summary;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::arguments::Common;
use crate::concurrency::{self, Load};
use crate::engines::Environment;
use crate::suite::{Figures, Measured, Outcome, Participant, Results, Suite};
use summary::Summary;

/// One line of the table, as soon as it is known.
pub(crate) fn print_progress(participants: &[Participant], measured: &Measured) {
    let cells: Vec<String> = participants
        .iter()
        .zip(&measured.outcomes)
        .map(|(participant, outcome)| format!("{} {}", participant.label, shown(outcome)))
        .collect();
    let ratio = summary::ratio(participants, measured).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    let ours = measured.outcomes.first().and_then(|outcome| outcome.as_ref().ok());
    let io = ours.and_then(|figures| Some((figures.requests?, figures.bytes?)));
    let io = io.map_or(String::new(), |(requests, bytes)| format!("  {requests} requests {:.1} MB", megabytes(bytes)));
    println!("{:<5} {}  ratio {ratio}{io}", measured.query, cells.join("  "));
    for (participant, outcome) in participants.iter().zip(&measured.outcomes) {
        if let Err(error) = outcome {
            println!("      {}: {}", participant.label, error.lines().next().unwrap_or_default());
        }
    }
}

/// A time as in tables, or what is the matter.
fn shown(outcome: &Outcome) -> String {
    match outcome {
        Ok(Figures { remark: Some(remark), .. }) if remark == "nobody agrees" => format!("{} ?", time(outcome)),
        Ok(_) => time(outcome),
        Err(error) if error.starts_with("another answer") => "differs".to_owned(),
        Err(_) => "fails".to_owned(),
    }
}

fn time(outcome: &Outcome) -> String {
    match outcome.as_ref().map(Figures::median_ms) {
        Ok(ms) if ms < 10.0 => format!("{ms:.2}"),
        Ok(ms) if ms < 100.0 => format!("{ms:.1}"),
        Ok(ms) => format!("{ms:.0}"),
        Err(_) => "-".to_owned(),
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Prints the summary and writes all files.
pub(crate) fn finish(suite: &Suite, results: &Results, common: &Common) -> Result<()> {
    let summary = Summary::of(results);
    println!("\n{}", summary.text(results));
    let setting = Setting::now(common);
    let figures = figures(suite, results, &setting, &summary);
    let name = if common.cold { format!("{}-cold", suite.name) } else { suite.name.clone() };
    let title = if common.cold { format!("{}, cold", suite.title) } else { suite.title.clone() };
    let out = out_folder(common.out.as_deref(), common)?;
    write_files(&out, &name, &figures, &chart::draw(&title, results), common)?;
    println!("figures and chart: {}/{name}.json, .svg, .png", out.display());
    if common.write {
        let section = markdown::section(&title, &name, results, &summary, &setting);
        write_files(&source().join("results"), &name, &figures, &chart::draw(&title, results), common)?;
        markdown::replace(&source().join("RESULTS.md"), &name, &section)?;
    }
    Ok(())
}

/// The same of a run of many clients.
pub(crate) fn finish_load(loads: &[Load], options: &concurrency::Options) -> Result<()> {
    let common = &options.dashboard.common;
    let setting = Setting::now(common);
    let table = markdown::loads(loads);
    println!("{table}");
    for error in loads.iter().flat_map(|load| &load.errors).take(5) {
        println!("error: {error}");
    }
    let figures = json!({
        "suite": "concurrency", "setting": setting.json(), "loads": loads.iter().map(Load::json).collect::<Vec<_>>(),
    });
    let out = out_folder(concurrency::out(options), common)?;
    std::fs::write(out.join("concurrency.json"), serde_json::to_string_pretty(&figures)?)?;
    if common.write {
        std::fs::write(source().join("results/concurrency.json"), serde_json::to_string_pretty(&figures)?)?;
        let title = "Many clients of a dashboard";
        let section = format!("## {title}\n\n{}\n\n{table}", setting.sentence());
        markdown::replace(&source().join("RESULTS.md"), "concurrency", &section)?;
    }
    Ok(())
}

/// The folder of this program's source.
fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn out_folder(named: Option<&Path>, common: &Common) -> Result<PathBuf> {
    let folder = match named {
        Some(folder) => folder.to_owned(),
        None => common.data_folder()?.with_file_name("results"),
    };
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn write_files(folder: &Path, name: &str, figures: &Value, svg: &str, common: &Common) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = |extension: &str| folder.join(format!("{name}.{extension}"));
    std::fs::write(path("json"), serde_json::to_string_pretty(figures)? + "\n")?;
    std::fs::write(path("svg"), svg)?;
    // The program that makes pixels of it is with the peers.
    if let Ok(environment) = Environment::find(common.venv.as_deref()) {
        let status = environment.python("draw.py").arg(path("svg")).arg(path("png")).status()?;
        ensure!(status.success(), "{} could not be drawn", path("svg").display());
    }
    Ok(())
}

/// On what, and how, a run was made.
struct Setting {
    commit: String,
    machine: String,
    day: String,
    run: String,
}

impl Setting {
    fn now(common: &Common) -> Self {
        let said = |program: &str, arguments: &[&str]| -> Option<String> {
            let output = Command::new(program).args(arguments).current_dir(source()).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let mut settings = vec![
            format!("{} threads and {} of memory each", common.threads, common.memory_limit),
            if common.cold { "each run cold".to_owned() } else { "hot".to_owned() },
            format!("medians of {} after a first run", common.repeat),
        ];
        settings.extend(common.set.iter().map(|set| format!("SET {set}")));
        Self {
            commit: said("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|| "unknown".to_owned()),
            machine: machine().unwrap_or_else(|| "unknown".to_owned()),
            day: said("date", &["+%Y-%m-%d"]).unwrap_or_default(),
            run: settings.join(", "),
        }
    }

    fn json(&self) -> Value {
        json!({"commit": self.commit, "machine": self.machine, "day": self.day, "run": self.run})
    }

    fn sentence(&self) -> String {
        format!("{}, commit {}, {}: {}.", self.day, self.commit, self.machine, self.run)
    }
}

fn machine() -> Option<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = cpus.lines().find(|line| line.starts_with("model name"))?.split_once(':')?.1.trim().to_owned();
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes: f64 = memory.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{model}, {count} cores, {:.0} GiB", kibibytes / f64::from(1 << 20)))
}

fn figures(suite: &Suite, results: &Results, setting: &Setting, summary: &Summary) -> Value {
    let outcome = |participant: &Participant, outcome: &Outcome| match outcome {
        Ok(figures) => json!({
            "engine": participant.label, "median_ms": figures.median_ms(), "first_ms": figures.first_ms, "ms": figures.ms,
            "cpu_seconds": figures.cpu_seconds, "peak_bytes": figures.peak_bytes, "requests": figures.requests,
            "bytes": figures.bytes, "rows": figures.row_count, "remark": figures.remark,
        }),
        Err(error) => json!({"engine": participant.label, "error": error}),
    };
    let query = |measured: &Measured| {
        let outcomes: Vec<Value> =
            results.participants.iter().zip(&measured.outcomes).map(|(one, of)| outcome(one, of)).collect();
        json!({"query": measured.query, "ratio": summary::ratio(&results.participants, measured), "engines": outcomes})
    };
    let engine = |participant: &Participant| {
        json!({
            "engine": participant.label, "version": participant.version,
            "load_seconds": participant.load.map(|load| load.as_secs_f64()), "loaded_bytes": participant.loaded_bytes,
        })
    };
    json!({
        "suite": suite.name, "title": suite.title, "setting": setting.json(), "summary": summary.json(results),
        "engines": results.participants.iter().map(engine).collect::<Vec<_>>(),
        "queries": results.measured.iter().map(query).collect::<Vec<_>>(),
    })
}

/// For those who read a file that isn't there yet.
fn read_or_empty(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}
