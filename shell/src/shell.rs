//! [`Shell`]: the session at the keyboard, or the one that runs a script.
//!
//! ```text
//! interact  ── editor ──┐
//! run_lines ── file ────┼─ feed: cut into statements and commands ─┬─ execute ── backend ── answer
//! run_text  ── -c ──────┘                                          └─ command
//! ```
//! A keyboard's session goes on after errors; a script ends at the first, unless `\set ON_ERROR_STOP off` came before it.

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::answer::{Answer, Kept, Manner};
use crate::backend::{Backend, Column, Notice, Progress, Receiver, RunError, Side, SqlError};
use crate::bar::{self, Bar};
use crate::editor::{Editor, Line, Names, Pending, Prompt};
use crate::output::Output;
use crate::statement::{self, Piece};
use crate::table::{self, Settings};
use crate::variable::Variables;

/// Rows of a question about the catalog; more are left out.
const COLLECTED_ROWS_MAX: usize = 100_000;

/// Files that include each other, deep.
pub(crate) const INCLUDES_MAX: usize = 16;

/// A script's statement that goes on for longer than this is looked at again only where a line may end it.
const LONG_STATEMENT_BYTES: usize = 64 << 10;

/// How often progress is asked for.
const POLL: Duration = Duration::from_millis(250);

/// How the shell looks and what it uses.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether somebody sits at a terminal.
    pub is_interactive: bool,
    /// Whether there is a progress bar.
    pub has_bar: bool,
    /// Whether there are colours.
    pub has_colors: bool,
    /// The program for long answers.
    pub pager: String,
    /// The program that edits.
    pub editor: String,
    /// Where the history is kept.
    pub history: Option<PathBuf>,
    /// What time it is, for people.
    pub clock: fn() -> String,
    /// `\pset`, as it begins.
    pub settings: Settings,
    /// Whether the tags of statements are told.
    pub tells_tags: bool,
}

/// How a shell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All that was asked is done.
    Well,
    /// A statement failed.
    Failed,
    /// The connection is gone.
    Lost,
    /// Ctrl-C.
    Interrupted,
}

/// Ctrl-C, for whoever is interested at the moment.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    is_busy: AtomicBool,
    pressed: Notify,
}

impl Interrupts {
    /// Listens from now on. While nothing runs, Ctrl-C ends a script; at a keyboard it does nothing.
    fn listen(runtime: &Handle, is_interactive: bool) -> Arc<Self> {
        let interrupts = Arc::new(Self::default());
        let shared = Arc::clone(&interrupts);
        runtime.spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if shared.is_busy.load(Ordering::Acquire) {
                    shared.pressed.notify_one();
                } else if !is_interactive {
                    #[allow(clippy::exit, reason = "as a program without a handler ends; nothing is left to be done")]
                    std::process::exit(130);
                }
            }
        });
        interrupts
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn pressed(&self) {
        self.pressed.notified().await;
    }

    /// Until the guard is dropped, [`Self::pressed`] is told.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.is_busy.store(true, Ordering::Release);
        Busy(Arc::clone(self))
    }
}

/// See [`Interrupts::busy`].
pub(crate) struct Busy(Arc<Interrupts>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Release);
    }
}

/// See the module.
pub struct Shell {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) runtime: Handle,
    pub(crate) options: Options,
    pub(crate) settings: Settings,
    pub(crate) variables: Variables,
    /// SQL that has begun.
    pub(crate) pending: Pending,
    /// The last statement, for `\g` and `\watch` alone.
    pub(crate) last_statement: String,
    pub(crate) output: Output,
    pub(crate) has_timing: bool,
    pub(crate) kept: Option<Kept>,
    pub(crate) interrupts: Arc<Interrupts>,
    pub(crate) history: Vec<String>,
    /// Files that are being run.
    pub(crate) files: Vec<PathBuf>,
    /// Set when the shell is to end.
    pub(crate) ending: Option<Ending>,
    has_failed: bool,
    names: Option<Arc<Names>>,
}

impl Shell {
    /// A shell over `backend`, whose runtime is `runtime`. Not to be called, nor anything of it, inside that runtime.
    pub fn new(backend: Box<dyn Backend>, runtime: Handle, options: Options) -> Self {
        let interrupts = Interrupts::listen(&runtime, options.is_interactive);
        let mut variables = Variables::default();
        let stop = if options.is_interactive { "off" } else { "on" };
        let _known = variables.set("ON_ERROR_STOP", stop);
        Self {
            settings: options.settings.clone(),
            backend,
            runtime,
            options,
            variables,
            pending: Arc::default(),
            last_statement: String::new(),
            output: Output::Screen,
            has_timing: false,
            kept: None,
            interrupts,
            history: Vec::new(),
            files: Vec::new(),
            ending: None,
            has_failed: false,
            names: None,
        }
    }

    /// Sets a variable, as `\set` does.
    ///
    /// # Errors
    /// A name that no variable has.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.variables.set(name, value)
    }

    /// Talks until Ctrl-D or `\q`.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn interact(&mut self) -> io::Result<Ending> {
        let names = Names::new(self.backend.side(), self.runtime.clone());
        self.names = Some(Arc::clone(&names));
        let (history, prompt) =
            (self.options.history.as_deref(), Prompt::new(&self.backend.place(), statement::Waiting::Nothing));
        let mut editor = Editor::new(names, &self.pending, history, &prompt, self.options.has_colors);
        self.history = editor.history();
        while self.ending.is_none() {
            let waiting = statement::cut(&self.pending.lock()).1;
            match editor.read(&Prompt::new(&self.backend.place(), waiting))? {
                Line::End => {
                    println!("\\q");
                    break;
                }
                Line::Cancelled => self.pending.lock().clear(),
                Line::Text(text) => self.typed(&text),
            }
        }
        Ok(self.ending.unwrap_or(Ending::Well))
    }

    fn typed(&mut self, text: &str) {
        if !text.trim().is_empty() && !statement::tells_secrets(text) {
            self.history.push(text.to_owned());
        }
        if self.pending.lock().is_empty() {
            match text.trim() {
                "quit" | "exit" => return self.ending = Some(Ending::Well),
                "help" => return println!("Type \\? for commands, \\h for statements, \\q to leave."),
                _ => {}
            }
        }
        self.feed(&format!("{text}\n"), &mut BufReader::new(io::stdin()));
    }

    /// Runs a text.
    pub fn run_text(&mut self, text: &str) -> Ending {
        self.feed(text, &mut BufReader::new(io::stdin()));
        self.run_rest(&mut BufReader::new(io::stdin()));
        self.outcome()
    }

    /// Runs a script line by line, so that what it says comes as soon as it can.
    ///
    /// # Errors
    /// It can't be read.
    pub fn run_lines(&mut self, input: &mut (dyn BufRead + Send)) -> io::Result<Ending> {
        let mut line = String::new();
        while self.ending.is_none() {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                break;
            }
            let text = line.strip_prefix('\u{feff}').unwrap_or(&line).to_owned();
            let is_long = self.pending.lock().len() > LONG_STATEMENT_BYTES;
            if is_long && !text.contains([';', '\\']) {
                self.pending.lock().push_str(&text);
            } else {
                self.feed(&text, input);
            }
        }
        self.run_rest(input);
        Ok(self.outcome())
    }

    /// At the end of a script a statement needs no semicolon.
    fn run_rest(&mut self, input: &mut (dyn BufRead + Send)) {
        let rest = std::mem::take(&mut *self.pending.lock());
        if self.ending.is_none() && !statement::is_blank(&rest) {
            self.statement(&rest, input);
        }
    }

    fn outcome(&self) -> Ending {
        self.ending.unwrap_or(if self.has_failed { Ending::Failed } else { Ending::Well })
    }

    /// Takes text in: runs what is complete of it, keeps the rest.
    pub(crate) fn feed(&mut self, text: &str, input: &mut (dyn BufRead + Send)) {
        let all = std::mem::take(&mut *self.pending.lock()) + text;
        let (pieces, _) = statement::cut(&all);
        for piece in pieces {
            if self.ending.is_some() {
                return;
            }
            match piece {
                Piece::Sql(sql) => self.pending.lock().push_str(sql),
                Piece::End => {
                    let sql = std::mem::take(&mut *self.pending.lock());
                    if !statement::is_blank(&sql) {
                        self.statement(&sql, input);
                    }
                }
                Piece::Command(command) => self.commands(command, input),
            }
        }
        let mut pending = self.pending.lock();
        if statement::is_blank(&pending) {
            pending.clear();
        }
    }

    /// Runs one statement with answers as they are wanted now.
    pub(crate) fn statement(&mut self, sql: &str, input: &mut (dyn BufRead + Send)) -> bool {
        let manner = self.manner();
        sql.clone_into(&mut self.last_statement);
        self.execute(sql, manner, None, input)
    }

    /// How answers are wanted now.
    pub(crate) fn manner(&self) -> Manner {
        Manner {
            settings: self.settings.clone(),
            title: None,
            pager: self.options.pager.clone(),
            tells_tags: self.options.tells_tags && !self.variables.is_on("QUIET"),
            has_colors: self.options.has_colors,
        }
    }

    /// Runs one statement and shows its answer in `output`, or where answers go.
    pub(crate) fn execute(
        &mut self,
        sql: &str,
        manner: Manner,
        mut output: Option<Output>,
        input: &mut (dyn BufRead + Send),
    ) -> bool {
        let sql = self.variables.interpolate(sql);
        let sql = sql.trim_start();
        let is_quiet = !self.options.has_bar || output.is_some();
        let bar = Arc::new(if is_quiet { Bar::none() } else { Bar::new(self.options.has_colors) });
        let started = Instant::now();
        let (is_elsewhere, tells_tags) = (output.is_some(), manner.tells_tags);
        let output = output.as_mut().unwrap_or(&mut self.output);
        let mut answer = Answer::new(output, input, manner, Arc::clone(&bar));
        let run = Run { backend: self.backend.as_mut(), interrupts: &self.interrupts, bar: &bar, started };
        let (outcome, was_interrupted) = self.runtime.block_on(Box::pin(run.run(sql, &mut answer)));
        answer.finish();
        let (kept, copied) = (answer.kept.take(), answer.copied.take());
        drop(answer);
        if let Some(tag) = copied
            && is_elsewhere
            && tells_tags
        {
            println!("{tag}");
        }
        let elapsed = started.elapsed();
        if outcome.is_ok() && kept.is_some() {
            self.kept = kept;
        }
        let is_well = self.told(outcome, sql, was_interrupted);
        if self.has_timing {
            println!("{}", timing(elapsed));
        }
        if changes_names(sql)
            && let Some(names) = &self.names
        {
            names.refresh();
        }
        is_well
    }

    /// Tells what went wrong, and what follows from it.
    fn told(&mut self, outcome: Result<(), RunError>, sql: &str, was_interrupted: bool) -> bool {
        match outcome {
            Ok(()) => return true,
            // The reader has seen enough.
            Err(RunError::Receiver(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                if !self.options.is_interactive {
                    self.ending = Some(Ending::Well);
                }
                return true;
            }
            Err(RunError::Receiver(error)) => self.complain(&format!("could not write the answer: {error}")),
            Err(RunError::Sql(error)) => self.print_error(&error, sql),
            Err(RunError::Lost(why)) => {
                self.complain(&why);
                self.reconnect();
            }
        }
        self.failed(was_interrupted);
        false
    }

    /// A session that has ended is begun again where somebody is there to see it.
    fn reconnect(&mut self) {
        if !self.options.is_interactive {
            self.ending = Some(Ending::Lost);
            return;
        }
        eprint!("The connection to the server was lost. Attempting reset: ");
        let connected = self.runtime.block_on(self.backend.connect(None, None));
        match connected {
            Ok(()) => eprintln!("Succeeded."),
            Err(error) => {
                eprintln!("Failed.\n{error}");
                self.ending = Some(Ending::Lost);
            }
        }
    }

    /// Something failed: a script ends.
    pub(crate) fn failed(&mut self, was_interrupted: bool) {
        self.has_failed = true;
        if was_interrupted && !self.options.is_interactive {
            self.ending = Some(Ending::Interrupted);
        } else if self.variables.is_on("ON_ERROR_STOP") && self.ending.is_none() && !self.options.is_interactive {
            self.ending = Some(Ending::Failed);
        }
    }

    /// Says what is wrong with what the shell itself was asked.
    pub(crate) fn complain(&self, text: &str) {
        eprintln!("{text}");
    }

    fn print_error(&self, error: &SqlError, sql: &str) {
        let severity = if error.severity.is_empty() { "ERROR" } else { &error.severity };
        let severity = match self.options.has_colors {
            true => nu_ansi_term::Color::Red.bold().paint(format!("{severity}:")).to_string(),
            false => format!("{severity}:"),
        };
        let mut text = format!("{severity}  {}\n", error.message);
        if let Some((number, line, column)) = error.position.and_then(|position| locate(sql, position)) {
            let head = format!("LINE {number}: ");
            let caret = head.chars().count() + column;
            text.push_str(&format!("{head}{line}\n{:caret$}^\n", ""));
        }
        for (label, more) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
            if let Some(more) = more {
                text.push_str(&format!("{label}:  {more}\n"));
            }
        }
        if self.variables.get("VERBOSITY") == Some("verbose") && !error.sqlstate.is_empty() {
            text.push_str(&format!("SQLSTATE:  {}\n", error.sqlstate));
        }
        eprint!("{text}");
    }

    /// Asks the session itself, for `\d` and the like: all rows, as text.
    pub(crate) fn ask(&mut self, sql: &str) -> Option<(Vec<Column>, Vec<RecordBatch>)> {
        let mut collected = Collected::default();
        let bar = Bar::none();
        let run =
            Run { backend: self.backend.as_mut(), interrupts: &self.interrupts, bar: &bar, started: Instant::now() };
        let (outcome, was_interrupted) = self.runtime.block_on(Box::pin(run.run(sql, &mut collected)));
        self.told(outcome, sql, was_interrupted).then_some((collected.columns, collected.rows))
    }

    /// Shows rows that the shell made, with lines below them.
    pub(crate) fn show(&mut self, title: &str, columns: &[Column], rows: &[RecordBatch], below: Option<&[String]>) {
        let mut settings = self.settings.clone();
        settings.footer &= below.is_none();
        let screen = self.output.screen();
        let answer =
            table::Answer { columns, sample: rows, title: Some(title), screen_width: screen.map(|size| size.columns) };
        let mut table = table::make(&settings, &answer);
        let mut text = String::new();
        table.begin(&mut text);
        for rows in rows {
            table.rows(rows, &mut text);
        }
        table.end(&mut text);
        if let Some(below) = below.filter(|below| !below.is_empty()) {
            text.truncate(text.trim_end_matches('\n').len() + 1);
            text.push_str(&below.join("\n"));
            text.push_str("\n\n");
        }
        self.page(&text);
    }

    /// Shows a text, in a pager if it is long.
    pub(crate) fn page(&mut self, text: &str) {
        let written = match crate::output::needs_pager(self.settings.pager, self.output.screen(), text, false) {
            true => match crate::output::Program::start(&self.options.pager) {
                Ok(mut pager) => pager.write_all(text.as_bytes()),
                Err(_) => self.output.write_all(text.as_bytes()),
            },
            false => self.output.write_all(text.as_bytes()),
        };
        if let Err(error) = written.and_then(|()| self.output.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.complain(&format!("could not write the answer: {error}"));
        }
    }

    /// The names for completion, asked again.
    pub(crate) fn refresh_names(&mut self) {
        if let Some(names) = &self.names {
            names.refresh();
        }
    }
}

/// One statement on its way.
struct Run<'a> {
    backend: &'a mut dyn Backend,
    interrupts: &'a Arc<Interrupts>,
    bar: &'a Bar,
    started: Instant,
}

impl Run<'_> {
    /// Runs it. Ctrl-C cancels it; the bar says how far it is. Also says whether Ctrl-C was pressed.
    async fn run(self, sql: &str, receiver: &mut dyn Receiver) -> (Result<(), RunError>, bool) {
        let Self { backend, interrupts, bar, started } = self;
        let _busy = interrupts.busy();
        let canceller = backend.canceller();
        let progress: Arc<Mutex<Option<Progress>>> = Arc::default();
        let polling = bar.is_wanted().then(|| tokio::spawn(poll(backend.side(), Arc::clone(&progress))));
        let mut tick = tokio::time::interval(bar::TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut was_interrupted = false;
        let running = backend.run(sql, receiver);
        tokio::pin!(running);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut running => break outcome,
                () = interrupts.pressed() => {
                    was_interrupted = true;
                    if bar.is_wanted() {
                        bar.hide();
                    }
                    canceller.cancel().await;
                }
                _ = tick.tick() => {
                    if bar.is_wanted() && started.elapsed() >= bar::SHOWN_AFTER {
                        let known = *progress.lock();
                        bar.draw(known.as_ref(), started.elapsed());
                    }
                }
            }
        };
        if let Some(polling) = polling {
            polling.abort();
        }
        (outcome, was_interrupted)
    }
}

/// Asks again and again how far it is.
async fn poll(side: Arc<dyn Side>, progress: Arc<Mutex<Option<Progress>>>) {
    tokio::time::sleep(bar::SHOWN_AFTER.saturating_sub(POLL)).await;
    loop {
        if let Some(known) = side.progress().await {
            *progress.lock() = Some(known);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Keeps an answer.
#[derive(Default)]
struct Collected {
    columns: Vec<Column>,
    rows: Vec<RecordBatch>,
    row_count: usize,
}

impl Receiver for Collected {
    fn columns(&mut self, columns: &[Column]) -> io::Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch) -> io::Result<()> {
        if self.row_count < COLLECTED_ROWS_MAX {
            self.row_count += rows.num_rows();
            self.rows.push(rows.clone());
        }
        Ok(())
    }

    fn done(&mut self, _tag: &str) -> io::Result<()> {
        Ok(())
    }

    fn notice(&mut self, _notice: &Notice) {}

    fn copy_out(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn copy_in(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// Whether a statement may make, change or drop what completion knows.
fn changes_names(sql: &str) -> bool {
    let first = sql.trim_start().split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default();
    let words =
        ["create", "drop", "alter", "crawl", "run", "msck", "refresh", "commit", "end", "rollback", "use", "set"];
    words.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// `Time: 12.345 ms`, and from a second on `Time: 1234.567 ms (00:01.235)`, as psql has it.
fn timing(elapsed: Duration) -> String {
    let milliseconds = elapsed.as_secs_f64() * 1000.0;
    let seconds = elapsed.as_secs_f64();
    if seconds < 1.0 {
        return format!("Time: {milliseconds:.3} ms");
    }
    let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
    if minutes < 60.0 {
        return format!("Time: {milliseconds:.3} ms ({minutes:02}:{rest:06.3})");
    }
    format!("Time: {milliseconds:.3} ms ({:02}:{:02}:{rest:06.3})", (minutes / 60.0).floor(), minutes % 60.0)
}

/// The line number (from 1), the line (tabs as blanks) and the column (from 0) of a position.
fn locate(sql: &str, position: usize) -> Option<(usize, String, usize)> {
    let mut left = position.checked_sub(1)?;
    for (index, line) in sql.split('\n').enumerate() {
        let length = line.chars().count();
        if left <= length {
            let shown: String = line.trim_end_matches('\r').replace('\t', " ");
            let width = table::width(&shown.chars().take(left).collect::<String>());
            return Some((index + 1, shown, width));
        }
        left -= length + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_psqls() {
        assert_eq!(timing(Duration::from_micros(12_345)), "Time: 12.345 ms");
        assert_eq!(timing(Duration::from_millis(61_234)), "Time: 61234.000 ms (01:01.234)");
    }

    #[test]
    fn statements_that_change_names_are_known() {
        assert!(changes_names("  create table t as select 1") && changes_names("DROP VIEW v"));
        assert!(!changes_names("select 1"));
    }
}
