//! [`Output`]: where answers go: the terminal, a pager, a file, a program.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::process::{Child, Command, Stdio};

use crate::table::Pager;

/// Lines that a terminal has when it doesn't say.
const LINES_DEFAULT: usize = 24;

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

/// The size of the terminal that standard output is, if it is one.
pub fn screen() -> Option<Size> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (columns, lines) = crossterm::terminal::size().unwrap_or((80, 24));
    // Some terminals say 0.
    let or = |size: u16, otherwise| if size == 0 { otherwise } else { usize::from(size) };
    Some(Size { columns: or(columns, 80), lines: or(lines, LINES_DEFAULT) })
}

/// Where answers go.
pub enum Output {
    /// Standard output.
    Screen,
    /// A file.
    File(BufWriter<File>),
    /// A program's standard input.
    Program(Program),
}

/// A program that reads what is written.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts `command` with the system's shell.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(command: &str) -> io::Result<Self> {
        let child = system(command).stdin(Stdio::piped()).spawn()?;
        Ok(Self { child })
    }

    /// Waits for its end, having told it that nothing more comes.
    pub fn end(&mut self) {
        drop(self.child.stdin.take());
        // What became of it is on the screen.
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

impl Write for Program {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.child.stdin {
            Some(stdin) => stdin.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.child.stdin.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// A command for the system's shell.
pub fn system(command: &str) -> Command {
    #[cfg(windows)]
    let (shell, flag) = ("cmd", "/C");
    #[cfg(not(windows))]
    let (shell, flag) = ("/bin/sh", "-c");
    let mut system = Command::new(shell);
    system.arg(flag).arg(command);
    system
}

impl Output {
    /// A file, or with `|` before it a program; nothing is the screen.
    ///
    /// # Errors
    /// The file can't be made, the program not started.
    pub fn open(target: Option<&str>) -> Result<Self, String> {
        let Some(target) = target.filter(|target| !target.is_empty()) else { return Ok(Self::Screen) };
        match target.strip_prefix('|') {
            Some(command) => Program::start(command).map(Self::Program).map_err(|error| format!("{command}: {error}")),
            None => File::create(target)
                .map(|file| Self::File(BufWriter::new(file)))
                .map_err(|error| format!("{target}: {error}")),
        }
    }

    /// Whether it is a terminal.
    pub fn screen(&self) -> Option<Size> {
        matches!(self, Self::Screen).then(screen).flatten()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Screen => io::stdout().write(bytes),
            Self::File(file) => file.write(bytes),
            Self::Program(program) => program.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Screen => io::stdout().flush(),
            Self::File(file) => file.flush(),
            Self::Program(program) => program.flush(),
        }
    }
}

/// Whether `text`, all that there is unless more comes, is to be shown in a pager.
pub fn needs_pager(pager: Pager, screen: Option<Size>, text: &str, more_comes: bool) -> bool {
    let Some(screen) = screen else { return false };
    match pager {
        Pager::Off => false,
        Pager::Always => true,
        Pager::On => more_comes || text.lines().count() >= screen.lines,
    }
}
