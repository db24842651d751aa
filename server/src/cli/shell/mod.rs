//! `limnos shell`: SQL at a terminal, on a folder in this process or on a server. The shell itself is [`limnos_shell`]; here
//! is where its SQL goes.

mod endpoint;
mod session;
mod wire;

use std::io::{self, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use limnos_shell::table::{Format, Settings};
use limnos_shell::{Ending, Options, Shell};

use self::endpoint::Endpoint;
pub(super) use self::session::{Collected, Session};
pub(super) use self::wire::{ConnectError, Connection, Target, Way};
use super::target::Local;
use super::{CommandResult, Failure, code, runtime, terminal};
use crate::config::{Sources, process_environment};
use crate::pg::in_process::InProcess;
use crate::serve::DEFAULT_USER;

#[derive(clap::Args)]
pub(super) struct ShellCommand {
    /// A data directory, or a folder of files to query
    #[arg(value_name = "DIR", conflicts_with = "server")]
    dir: Option<PathBuf>,

    /// Connect to this server, such as postgres://USER@HOST:5439/lake. The password comes from PGPASSWORD, ~/.pgpass or
    /// the terminal
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Run this and leave; repeated for several
    #[arg(long, short, value_name = "SQL|\\COMMAND")]
    command: Vec<String>,

    /// Run this file and leave
    #[arg(long, short, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,

    /// How answers are written: table, unaligned, csv, json, ndjson, markdown
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = parse_format)]
    format: Format,

    /// Where unqualified names are looked up first
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// Set a variable, as \set does; repeated for several
    #[arg(long = "set", short = 'v', value_name = "NAME=VALUE")]
    variables: Vec<String>,

    #[command(flatten)]
    sources: Sources,
}

fn parse_format(text: &str) -> Result<Format, String> {
    Format::find(&text.to_lowercase()).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
        format!("the formats are table, {}", names.join(", "))
    })
}

impl ShellCommand {
    pub(super) fn run(mut self) -> CommandResult {
        let runtime = runtime()?;
        let settings: Vec<(String, String)> =
            self.database.iter().map(|name| ("search_path".to_owned(), quoted(name))).collect();
        // Held until the shell has ended, and dropped before the runtime.
        let mut local = None;
        let target = match &self.server {
            Some(server) => server_target(server, settings)?,
            None => {
                let _entered = runtime.enter();
                let (lake, target) = self.here(settings)?;
                local = Some(lake);
                target
            }
        };
        let session = runtime.block_on(connect(target))?;
        let mut shell = Shell::new(Box::new(session), runtime.handle().clone(), self.options());
        for pair in &self.variables {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            shell.set(name, value).map_err(|error| Failure::usage(error, None))?;
        }
        let ending = self.talk(&mut shell);
        drop(shell);
        drop(local);
        match ending? {
            Ending::Well => Ok(()),
            Ending::Failed => Err(Failure::Silent(ExitCode::FAILURE)),
            Ending::Lost => Err(Failure::Silent(ExitCode::from(code::CANNOT_CONNECT))),
            Ending::Interrupted => Err(Failure::Silent(ExitCode::from(code::INTERRUPTED))),
        }
    }

    /// An endpoint in this process: on the data directory, or on nothing but files.
    fn here(&mut self, mut settings: Vec<(String, String)>) -> Result<(Local, Target), Failure> {
        let mut sources = std::mem::take(&mut self.sources);
        let mut folder = None;
        if let Some(dir) = self.dir.take() {
            if dir.join("data").join(crate::config::CATALOG_FILE).exists() && sources.flags.data_dir.is_none() {
                // What `limnos demo` makes: the lake, and the catalog beside it.
                sources.flags.data_dir = Some(dir.join("data"));
                folder = Some(dir);
            } else if dir.join(crate::config::CATALOG_FILE).exists() && sources.flags.data_dir.is_none() {
                sources.flags.data_dir = Some(dir);
            } else if dir.is_dir() {
                folder = Some(dir);
            } else {
                let hint = "Name a folder that is there, or make a data directory with limnos serve or limnos demo.";
                return Err(Failure::usage(format!("there is no folder \"{}\"", dir.display()), Some(hint.to_owned())));
            }
        }
        let roots: Vec<String> =
            folder.iter().map(|folder| super::crawl::absolute(&folder.to_string_lossy())).collect();
        let catalog_name = sources.clone().layers(process_environment)?.catalog_name;
        let local = Local::open(sources, None, &roots)?;
        let catalog_name = catalog_name.unwrap_or_else(|| "lake".to_owned());
        settings.push(("application_name".to_owned(), "limnos shell".to_owned()));
        let target = Target {
            way: Way::Here(Arc::new(InProcess::new(Arc::clone(&local.service), &catalog_name))),
            user: DEFAULT_USER.to_owned(),
            password: None,
            database: catalog_name,
            settings,
        };
        Ok((local, target))
    }

    fn options(&self) -> Options {
        let is_interactive =
            self.command.is_empty() && self.file.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal();
        let text = |name: &str| process_environment(name).and_then(|value| value.into_string().ok());
        let state = text("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.or_else(|| Some(PathBuf::from(text("HOME")?).join(".local/state")));
        Options {
            is_interactive,
            has_bar: io::stdout().is_terminal() && io::stderr().is_terminal(),
            has_colors: terminal::has_colors(&io::stderr()),
            pager: text("PAGER").unwrap_or_else(|| "less -S".to_owned()),
            editor: text("VISUAL").or_else(|| text("EDITOR")).unwrap_or_else(|| "vi".to_owned()),
            history: is_interactive.then(|| state.map(|folder| folder.join("limnos/history"))).flatten(),
            clock: now,
            settings: Settings { format: self.format, ..Settings::default() },
            tells_tags: matches!(self.format, Format::Aligned | Format::Unaligned),
        }
    }

    fn talk(&self, shell: &mut Shell) -> Result<Ending, Failure> {
        let unreadable =
            |name: String, error: io::Error| Failure::new(format!("could not read \"{name}\": {error}"), None);
        if !self.command.is_empty() {
            for text in &self.command {
                match shell.run_text(text) {
                    Ending::Well => {}
                    ending => return Ok(ending),
                }
            }
            return Ok(Ending::Well);
        }
        match &self.file {
            Some(path) if path.as_os_str() != "-" => {
                let name = path.display().to_string();
                let file = std::fs::File::open(path).map_err(|error| unreadable(name.clone(), error))?;
                shell.run_lines(&mut BufReader::new(file)).map_err(|error| unreadable(name, error))
            }
            None if io::stdin().is_terminal() && io::stdout().is_terminal() => {
                println!("limnos {}. Type \\? for help, \\q to leave.\n", env!("CARGO_PKG_VERSION"));
                shell.interact().map_err(|error| unreadable("the terminal".to_owned(), error))
            }
            _ => shell
                .run_lines(&mut BufReader::new(io::stdin()))
                .map_err(|error| unreadable("standard input".to_owned(), error)),
        }
    }
}

/// The time, for the heads of `\watch`.
#[allow(clippy::disallowed_methods, reason = "for people at a terminal; nothing is decided by it")]
fn now() -> String {
    chrono::Local::now().format("%a %b %e %H:%M:%S %Y").to_string()
}

/// Logs in; a password that is asked for comes from the terminal.
pub(super) async fn connect(mut target: Target) -> Result<Session, Failure> {
    let opened = match Session::open(target.clone()).await {
        Err(ConnectError::NeedsPassword) if io::stdin().is_terminal() => {
            let user = target.user.clone();
            let asked = tokio::task::spawn_blocking(move || ask_password(&user)).await;
            target.password = Some(
                asked
                    .map_err(|error| Failure::new(error, None))?
                    .map_err(|error| Failure::cannot_connect(error, None))?,
            );
            Session::open(target).await
        }
        opened => opened,
    };
    opened.map_err(|error| {
        let hint = match &error {
            ConnectError::NeedsPassword => Some("Set PGPASSWORD, or write a line into ~/.pgpass.".to_owned()),
            ConnectError::Unreachable(_) => Some("Start a server with `limnos serve` or `limnos demo`.".to_owned()),
            ConnectError::Refused(error) => error.hint.clone(),
        };
        Failure::cannot_connect(error, hint)
    })
}

/// What a server's URL says, with what the environment adds.
pub(super) fn server_target(url: &str, settings: Vec<(String, String)>) -> Result<Target, Failure> {
    let hint = || Some("Write it as postgres://USER@HOST:5439/lake.".to_owned());
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Failure::usage(format!("server \"{url}\" is not a PostgreSQL URL"), hint()));
    }
    let text = |name: &str| process_environment(name).and_then(|value| value.into_string().ok());
    let endpoint = Endpoint::parse(url, text).map_err(|error| Failure::usage(error, hint()))?;
    let user = endpoint.user.clone().unwrap_or_else(|| DEFAULT_USER.to_owned());
    let database = endpoint.database.clone().unwrap_or_else(|| user.clone());
    let mut settings = settings;
    settings.push(("application_name".to_owned(), "limnos shell".to_owned()));
    settings.extend(endpoint.options.clone().map(|options| ("options".to_owned(), options)));
    let password = endpoint.password.clone();
    Ok(Target { way: Way::There(Box::new(endpoint)), user, password, database, settings })
}

/// Asks at the terminal, which shows nothing of it.
fn ask_password(user: &str) -> Result<String, String> {
    let _quiet = terminal::Quiet::start().ok_or("the terminal cannot be kept from showing the password")?;
    let mut error = io::stderr();
    let _ = write!(error, "Password for user {user}: ").and_then(|()| error.flush());
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    let _ = writeln!(error);
    read.map_err(|error| error.to_string())?;
    // Control-C, which is a character as long as nothing is echoed.
    if line.contains('\x03') { Err("cancelled".to_owned()) } else { Ok(line.trim_end_matches(['\n', '\r']).to_owned()) }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
