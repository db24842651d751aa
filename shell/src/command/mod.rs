//! Backslash commands, as psql's. Each gets the rest of its line; [`arguments`] takes it apart, [`help`] lists them all.

mod arguments;
mod copy;
mod describe;
mod help;
mod list;
mod pattern;
mod run;

use std::io::{self, BufRead, Write as _};

pub use help::COMMANDS;

use crate::chart;
use crate::output::{self, Output, Size};
use crate::shell::{Ending, Shell};
use crate::table::{Format, Settings};

/// What a picture is drawn for where there is no terminal.
const NO_SCREEN: Size = Size { columns: 80, lines: 24 };

/// Why a command was not done.
pub(crate) enum Refusal {
    /// This is wrong with it.
    Because(String),
    /// It is told already.
    Told,
}

impl<T: Into<String>> From<T> for Refusal {
    fn from(text: T) -> Self {
        Self::Because(text.into())
    }
}

pub(crate) type Done = Result<(), Refusal>;

/// Commands whose argument is all that follows.
const WHOLE_LINE: [&str; 4] = ["copy", "!", "h", "help"];

impl Shell {
    /// Does what a line of commands says, which begins with a backslash.
    pub(crate) fn commands(&mut self, line: &str, input: &mut (dyn BufRead + Send)) {
        let mut line = line.trim_end_matches('\r').to_owned();
        while !line.is_empty() && self.ending.is_none() {
            let Some(rest) = line.strip_prefix('\\') else {
                // What follows `\\` is SQL again.
                let sql = std::mem::take(&mut line);
                return self.feed(&sql, input);
            };
            let end = rest.find(|character: char| character.is_whitespace() || character == '\\');
            // `\!ls`, `\?`: these need no blank behind them.
            let end = if rest.starts_with(['!', '?']) { Some(1) } else { end };
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            let (arguments, next) = if WHOLE_LINE.contains(&name) || takes_program(name, after) {
                (vec![after.trim().to_owned()], "")
            } else {
                arguments::split(after, &self.variables)
            };
            let arguments: Vec<&str> =
                arguments.iter().map(String::as_str).filter(|text| name != "h" || !text.is_empty()).collect();
            let done = self.command(name, &arguments, input);
            let next = next.to_owned();
            if let Err(refusal) = done {
                if let Refusal::Because(text) = refusal {
                    self.complain(&text);
                    self.failed(false);
                }
                return;
            }
            line = next;
        }
    }

    fn command(&mut self, name: &str, arguments: &[&str], input: &mut (dyn BufRead + Send)) -> Done {
        let first = arguments.first().copied();
        match name {
            "q" | "quit" => self.ending = Some(Ending::Well),
            "?" => self.page(&help::commands()),
            "h" | "help" => {
                let text = help::statement(first.unwrap_or_default())?;
                self.page(&text);
            }
            "c" | "connect" => self.connect(arguments)?,
            "conninfo" => println!("{}", self.connection_info()),
            "timing" => {
                self.has_timing = switch("timing", first, self.has_timing)?;
                self.say(if self.has_timing { "Timing is on." } else { "Timing is off." });
            }
            "x" => self.pset("expanded", first)?,
            "a" => {
                let is_aligned = self.settings.format == Format::Aligned;
                self.pset("format", Some(if is_aligned { "unaligned" } else { "aligned" }))?;
            }
            "t" => self.pset("tuples_only", first)?,
            "f" => self.pset("fieldsep", first)?,
            "C" => self.pset("title", first)?,
            "pset" => match first {
                None => self.page(&self.settings.describe()),
                Some(name) => self.pset(name, arguments.get(1).copied())?,
            },
            "set" => self.set_variable(arguments)?,
            "unset" => match first {
                Some(name) => self.variables.unset(name),
                None => return Err("\\unset: missing required argument".into()),
            },
            "prompt" => self.prompt(arguments, input)?,
            "echo" => echo(&mut io::stdout(), arguments)?,
            "qecho" => echo(&mut self.output, arguments)?,
            "warn" => echo(&mut io::stderr(), arguments)?,
            "encoding" => println!("UTF8"),
            "cd" => self.change_folder(first)?,
            "!" => self.system(first.unwrap_or_default())?,
            "o" | "out" => self.output = Output::open(first)?,
            "g" => self.go(first, false, input)?,
            "gx" => self.go(first, true, input)?,
            "gset" => self.go_and_set(first.unwrap_or_default())?,
            "watch" => self.watch(first, input)?,
            "p" | "print" => self.print_buffer(),
            "r" | "reset" => {
                self.pending.lock().clear();
                self.say("Query buffer reset (cleared).");
            }
            "e" | "edit" => self.edit(first, input)?,
            "w" | "write" => self.write_buffer(first)?,
            "s" => self.show_history(first)?,
            "i" | "include" => self.include(first, false)?,
            "ir" | "include_relative" => self.include(first, true)?,
            "copy" => self.copy(first.unwrap_or_default(), input)?,
            "chart" => self.draw(first)?,
            "sv" => self.show_view(first)?,
            _ => return self.describe(name, first),
        }
        Ok(())
    }

    /// `\d...` and `\l...`; anything else is unknown.
    fn describe(&mut self, name: &str, pattern: Option<&str>) -> Done {
        let letters = name.trim_end_matches(['+', 'S']);
        let (is_verbose, with_system) = (name.contains('+'), name[letters.len()..].contains('S'));
        let listing = match letters {
            "d" => match pattern {
                Some(pattern) => return self.describe_relations(pattern, is_verbose),
                None => describe::relations("", None, is_verbose, with_system)?,
            },
            "dn" => describe::schemas(pattern, is_verbose, with_system)?,
            "du" | "dg" => describe::roles(pattern, is_verbose, with_system)?,
            "df" => describe::functions(pattern, is_verbose, with_system)?,
            "l" | "list" => describe::databases(pattern, is_verbose)?,
            letters
                if letters.len() > 1
                    && letters.starts_with('d')
                    && letters[1..].chars().all(|l| "tvmsiE".contains(l)) =>
            {
                describe::relations(&letters[1..], pattern, is_verbose, with_system)?
            }
            _ => return Err(unknown(name).into()),
        };
        self.list(&listing, pattern)
    }

    /// Says what was set; a script is not told.
    pub(crate) fn say(&self, text: &str) {
        if self.options.is_interactive && !self.variables.is_on("QUIET") {
            println!("{text}");
        }
    }

    fn pset(&mut self, name: &str, value: Option<&str>) -> Done {
        let text = self.settings.set(name, value)?;
        self.say(&text);
        Ok(())
    }

    fn set_variable(&mut self, arguments: &[&str]) -> Done {
        match arguments {
            [] => {
                let lines: String = self.variables.all().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
                self.page(&lines);
            }
            // As psql: several values are put together.
            [name, values @ ..] => self.variables.set(name, &values.concat())?,
        }
        Ok(())
    }

    /// `\prompt 'text' name`
    fn prompt(&mut self, arguments: &[&str], input: &mut (dyn BufRead + Send)) -> Done {
        let (text, name) = match arguments {
            [name] => ("", *name),
            [text, name] => (*text, *name),
            _ => return Err("\\prompt: missing required argument".into()),
        };
        print!("{text}");
        io::stdout().flush().map_err(|error| error.to_string())?;
        let mut line = String::new();
        input.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(self.variables.set(name, line.trim_end_matches(['\n', '\r']))?)
    }

    fn connection_info(&self) -> String {
        let place = self.backend.place();
        let mut text = format!(
            "You are connected to database \"{}\" as user \"{}\" {}.",
            place.database, place.user, place.location
        );
        if let Some(encryption) = place.encryption {
            text.push_str(&format!("\nSSL connection ({encryption})"));
        }
        text
    }

    fn connect(&mut self, arguments: &[&str]) -> Done {
        let given = |at: usize| arguments.get(at).copied().filter(|text| *text != "-" && !text.is_empty());
        let connected = self.runtime.block_on(self.backend.connect(given(0), given(1)));
        connected.map_err(|error| format!("{error}\nPrevious connection kept"))?;
        self.pending.lock().clear();
        self.refresh_names();
        let place = self.backend.place();
        self.say(&format!("You are now connected to database \"{}\" as user \"{}\".", place.database, place.user));
        Ok(())
    }

    fn change_folder(&mut self, folder: Option<&str>) -> Done {
        let folder = folder.ok_or("\\cd: missing required argument")?;
        Ok(std::env::set_current_dir(folder)
            .map_err(|error| format!("\\cd: could not change directory to \"{folder}\": {error}"))?)
    }

    fn system(&mut self, command: &str) -> Done {
        let command = if command.is_empty() { "exec ${SHELL:-/bin/sh}" } else { command };
        let status = output::system(command).status().map_err(|error| format!("\\!: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("\\!: {status}").into()) }
    }

    fn draw(&mut self, kind: Option<&str>) -> Done {
        let kind = match kind {
            None => None,
            Some(name) => Some(
                chart::Kind::find(name)
                    .ok_or_else(|| format!("\\chart: there is no \"{name}\"; there are line, bar and scatter"))?,
            ),
        };
        let answer = self.kept.as_ref().ok_or("\\chart: there is no answer to draw yet")?;
        let picture = chart::draw(answer, kind, self.output.screen().unwrap_or(NO_SCREEN))?;
        self.page(&picture);
        Ok(())
    }

    /// Settings for one answer.
    pub(crate) fn expanded_settings(&self) -> Settings {
        Settings { expanded: crate::table::Expanded::On, ..self.settings.clone() }
    }
}

/// `\o |less`, `\g |wc -l`
fn takes_program(name: &str, after: &str) -> bool {
    ["o", "out", "g", "gx"].contains(&name) && after.trim_start().starts_with('|')
}

fn unknown(name: &str) -> String {
    let near = help::near(name.trim_end_matches(['+', 'S']));
    let hint = near.map_or_else(String::new, |near| format!(" Did you mean \\{near}?"));
    format!("invalid command \\{name}\nTry \\? for help.{hint}")
}

fn switch(name: &str, value: Option<&str>, was: bool) -> Result<bool, Refusal> {
    match value {
        None => Ok(!was),
        Some("on" | "true" | "yes" | "1") => Ok(true),
        Some("off" | "false" | "no" | "0") => Ok(false),
        Some(other) => Err(format!("unrecognized value \"{other}\" for \"\\{name}\": Boolean expected").into()),
    }
}

/// Words with blanks between them; `-n` leaves the line open.
fn echo(to: &mut impl io::Write, arguments: &[&str]) -> Done {
    let (arguments, end) = match arguments {
        ["-n", rest @ ..] => (rest, ""),
        all => (all, "\n"),
    };
    let written = write!(to, "{}{end}", arguments.join(" ")).and_then(|()| to.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string().into()),
        _ => Ok(()),
    }
}
