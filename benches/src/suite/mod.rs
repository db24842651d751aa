//! A suite: tables, queries, and the run that asks all engines for them in turn.
//!
//! ```text
//! for each query:  every engine once, for its rows       -> answers compared; who is alone with his has no times
//!                  every engine in turn, `repeat` times  -> medians, processor seconds, peak memory, requests, bytes
//! ```

pub(crate) mod clickbench;
pub(crate) mod csv;
pub(crate) mod dashboard;
pub(crate) mod data;
pub(crate) mod s3;
pub(crate) mod tpcds;
pub(crate) mod tpch;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Handle;

use crate::answer::{Answer, Compared, Verdict};
use crate::arguments::Common;
use crate::engines::{Engine, Environment, Limnos, LimnosOptions, Peer, PeerOptions, Resources, S3Access, Table};
use crate::process::limnos_binary;

/// A query of a suite.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) sql: String,
}

impl Query {
    /// The `.sql` files of a folder, in the order of their names.
    pub(crate) fn of_folder(folder: &Path) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
        paths.sort();
        let query = |path: &std::path::PathBuf| -> Result<Self> {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Self { name, sql: without_comments(&std::fs::read_to_string(path)?) })
        };
        paths.iter().map(query).collect()
    }

    /// What of answers to it can be compared.
    fn compared(&self) -> Compared {
        let text = self.sql.to_ascii_lowercase();
        let is_outside = |at: usize| {
            let before = &text[..at];
            before.matches('(').count() == before.matches(')').count()
        };
        let has_outside = |words: &str| text.rfind(words).is_some_and(is_outside);
        match (has_outside("order by"), has_outside("limit")) {
            (true, _) => Compared::Ordered,
            (false, true) => Compared::Count,
            (false, false) => Compared::Unordered,
        }
    }
}

/// Lines that are comments say nothing to an engine, and would stand in its history.
fn without_comments(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    lines.join("\n").trim().trim_end_matches(';').to_owned()
}

/// What is asked, of what.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    /// As on the command line.
    pub(crate) name: String,
    /// With its size, for people.
    pub(crate) title: String,
    /// A folder or bucket with one folder a table.
    pub(crate) folder: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) queries: Vec<Query>,
    /// Loaded before it is asked for: datasets, and the peers' own tables.
    pub(crate) in_memory: bool,
    pub(crate) s3: Option<S3Access>,
}

/// One engine's figures of one query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Of the first run, which was for the rows.
    pub(crate) first_ms: f64,
    /// In the order of the runs.
    pub(crate) ms: Vec<f64>,
    /// Of one run.
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) peak_bytes: Option<u64>,
    pub(crate) requests: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) row_count: u64,
    /// Not an error, but to be known.
    pub(crate) remark: Option<String>,
}

impl Figures {
    /// The median of the runs.
    pub(crate) fn median_ms(&self) -> f64 {
        let mut sorted = self.ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(self.first_ms)
    }
}

/// What came of a query on an engine: figures, or why there are none.
pub(crate) type Outcome = std::result::Result<Figures, String>;

/// A query and what came of it on each engine, in the engines' order.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) query: String,
    pub(crate) outcomes: Vec<Outcome>,
}

/// An engine of a run.
#[derive(Debug, Clone)]
pub(crate) struct Participant {
    pub(crate) label: String,
    pub(crate) version: String,
    /// How long its tables took into its memory.
    pub(crate) load: Option<Duration>,
    /// Its process when the tables were there.
    pub(crate) loaded_bytes: Option<u64>,
}

/// All of a run.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    pub(crate) participants: Vec<Participant>,
    pub(crate) measured: Vec<Measured>,
}

/// Runs a suite. `requests` says how many requests of each kind a server of objects has seen since it was asked last.
pub(crate) fn run(runtime: &Handle, suite: &Suite, common: &Common, counts: Option<&Counts<'_>>) -> Result<Results> {
    let resources = common.resources()?;
    let (mut engines, participants) = start(runtime, suite, common, &resources)?;
    let queries: Vec<&Query> = suite.queries.iter().filter(|query| common.wants(&query.name)).collect();
    ensure!(!queries.is_empty(), "no query of {} has one of these names: {}", suite.name, common.only.join(", "));
    let mut measured = Vec::with_capacity(queries.len());
    for query in queries {
        let outcomes = measure(&mut engines, query, suite, common, counts)?;
        let line = Measured { query: query.name.clone(), outcomes };
        crate::report::print_progress(&participants, &line);
        measured.push(line);
    }
    Ok(Results { participants, measured })
}

/// Asks a server of objects what it has answered since it was asked last.
pub(crate) type Counts<'a> = dyn Fn() -> (u64, u64) + 'a;

type Engines = Vec<Box<dyn Engine>>;

fn start(
    runtime: &Handle,
    suite: &Suite,
    common: &Common,
    resources: &Resources,
) -> Result<(Engines, Vec<Participant>)> {
    let mut engines: Engines = Vec::new();
    let mut participants = Vec::new();
    let mut add = |engine: Box<dyn Engine>, load: Duration| {
        participants.push(Participant {
            label: engine.label().to_owned(),
            version: engine.version().to_owned(),
            load: suite.in_memory.then_some(load),
            loaded_bytes: engine.meter().peak_bytes(),
        });
        engines.push(engine);
    };
    let ours = [("limnos", Some(limnos_binary(common.limnos.as_deref())?)), ("baseline", common.baseline.clone())];
    for (label, binary) in ours {
        let Some(binary) = binary else { continue };
        let options = LimnosOptions {
            label: label.to_owned(),
            binary,
            root: suite.folder.clone(),
            s3: suite.s3.clone(),
            settings: common.set.clone(),
        };
        let mut limnos = Limnos::start(runtime, options, resources)?;
        let load = limnos.add_tables(&suite.folder, &suite.tables, suite.in_memory)?;
        add(Box::new(limnos), load);
    }
    if common.peers().next().is_some() {
        let environment = Environment::find(common.venv.as_deref())?;
        for spec in common.peers() {
            let options = PeerOptions { spec: spec.clone(), in_memory: suite.in_memory, s3: suite.s3.clone() };
            let (peer, load) = Peer::start(&environment, options, resources, &suite.tables)?;
            add(Box::new(peer), load);
        }
    }
    Ok((engines, participants))
}

fn measure(
    engines: &mut Engines,
    query: &Query,
    suite: &Suite,
    common: &Common,
    counts: Option<&Counts<'_>>,
) -> Result<Vec<Outcome>> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(engines.len());
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(engines.len());
    for engine in engines.iter_mut() {
        engine.meter().forget_peak();
        let ran = engine.query(&query.sql, true)?;
        answers.push(ran.as_ref().ok().and_then(|ran| ran.answer.clone()));
        outcomes.push(ran.map(|ran| Figures { first_ms: ran.ms, row_count: ran.row_count, ..Figures::default() }));
    }
    judge(&mut outcomes, &answers, query.compared());
    let mut cpu: Vec<f64> = vec![0.0; engines.len()];
    for _ in 0..common.repeat {
        for (index, (engine, outcome)) in engines.iter_mut().zip(&mut outcomes).enumerate() {
            let Ok(figures) = outcome else { continue };
            if common.cold {
                engine.restart()?;
                forget_files(&suite.tables)?;
            }
            engine.meter().forget_peak();
            let before = engine.meter().cpu_seconds();
            if let Some(counts) = counts {
                counts();
            }
            match engine.query(&query.sql, false)? {
                Ok(ran) => {
                    let meter = engine.meter();
                    let io = counts.map(|counts| counts()).or(ran.io);
                    cpu[index] += meter.cpu_seconds().unwrap_or(0.0) - before.unwrap_or(0.0);
                    figures.ms.push(ran.ms);
                    figures.peak_bytes = figures.peak_bytes.max(meter.peak_bytes());
                    figures.cpu_seconds = before.map(|_| cpu[index] / figures.ms.len() as f64);
                    (figures.requests, figures.bytes) = (io.map(|io| io.0), io.map(|io| io.1));
                }
                Err(error) => *outcome = Err(error),
            }
        }
    }
    Ok(outcomes)
}

/// Leaves times to those whose answer most give; where as many say one thing as another, to those who say what the first does.
fn judge(outcomes: &mut [Outcome], answers: &[Option<Answer>], compared: Compared) {
    let verdict = |left: usize, right: usize| match (&answers[left], &answers[right]) {
        (Some(left), Some(right)) => Some(left.compare(right, compared)),
        _ => None,
    };
    let agrees = |verdict: &Option<Verdict>| matches!(verdict, Some(Verdict::Same | Verdict::OtherOrder));
    let answered: Vec<usize> = (0..answers.len()).filter(|index| answers[*index].is_some()).collect();
    let followers = |leader: usize| answered.iter().filter(|other| agrees(&verdict(leader, **other))).count();
    // `max_by_key` takes the last of equals.
    let Some(leader) = answered.iter().rev().copied().max_by_key(|index| followers(*index)) else { return };
    let is_undecided = answered.len() > 1 && followers(leader) == 1;
    for index in answered {
        let said = verdict(leader, index);
        match (said, &mut outcomes[index]) {
            (Some(Verdict::Different(difference)), outcome) => *outcome = Err(format!("another answer: {difference}")),
            (Some(Verdict::OtherOrder), Ok(figures)) => figures.remark = Some("other order".to_owned()),
            (_, Ok(figures)) if is_undecided => figures.remark = Some("nobody agrees".to_owned()),
            _ => {}
        }
    }
}

/// Tells the system to drop what it keeps of the tables' files.
fn forget_files(tables: &[Table]) -> Result<()> {
    for table in tables {
        let Some(folder) = Path::new(&table.files).parent() else { continue };
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let input = format!("if={}", entry?.path().display());
            // posix_fadvise(POSIX_FADV_DONTNEED) of the whole file, by coreutils.
            let status =
                Command::new("dd").args([&input, "iflag=nocache", "count=0"]).stderr(Stdio::null()).status()?;
            ensure!(status.success(), "{input} cannot be dropped from the system's cache");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Kind;

    fn query(sql: &str) -> Query {
        Query { name: String::new(), sql: sql.to_owned() }
    }

    #[test]
    fn what_is_compared_follows_from_the_text() {
        assert_eq!(query("SELECT a FROM t ORDER BY a LIMIT 3").compared(), Compared::Ordered);
        assert_eq!(query("SELECT a FROM t LIMIT 3").compared(), Compared::Count);
        assert_eq!(query("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)").compared(), Compared::Unordered);
        assert_eq!(query("SELECT sum(a) OVER (ORDER BY a) FROM t").compared(), Compared::Unordered);
    }

    #[test]
    fn who_is_alone_with_an_answer_has_no_times() {
        let answer = |value: &str| Some(Answer { kinds: vec![Kind::Exact], rows: vec![vec![Some(value.to_owned())]] });
        let judged = |answers: &[Option<Answer>]| {
            let mut outcomes: Vec<Outcome> = answers.iter().map(|_| Ok(Figures::default())).collect();
            judge(&mut outcomes, answers, Compared::Ordered);
            outcomes.iter().map(|outcome| outcome.is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(judged(&[answer("1"), answer("2"), answer("2")]), [false, true, true]);
        assert_eq!(judged(&[answer("2"), answer("2"), answer("1")]), [true, true, false]);
        assert_eq!(judged(&[answer("1"), answer("2")]), [true, false]);
        assert_eq!(judged(&[answer("1"), None]), [true, true]);
    }
}
