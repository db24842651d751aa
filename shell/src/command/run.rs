//! Commands about the statement: `\g`, `\gx`, `\gset`, `\watch`, `\e`, `\i`, `\p`, `\w`, `\s`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Done, Refusal};
use crate::output::{self, Output};
use crate::shell::{INCLUDES_MAX, Shell};
use crate::statement;
use crate::table::value;

impl Shell {
    /// The statement that has begun, or else the last one.
    fn current(&mut self) -> Result<String, Refusal> {
        let begun = std::mem::take(&mut *self.pending.lock());
        let sql = if statement::is_blank(&begun) { self.last_statement.clone() } else { begun };
        if statement::is_blank(&sql) {
            return Err("there is no statement to run".into());
        }
        sql.clone_into(&mut self.last_statement);
        Ok(sql)
    }

    pub(super) fn go(&mut self, target: Option<&str>, is_expanded: bool, input: &mut (dyn BufRead + Send)) -> Done {
        let sql = self.current()?;
        let mut manner = self.manner();
        if is_expanded {
            manner.settings = self.expanded_settings();
        }
        let output = target.map(|target| Output::open(Some(target))).transpose()?;
        if self.execute(&sql, manner, output, input) { Ok(()) } else { Err(Refusal::Told) }
    }

    /// `\gset`: the columns of the one row become variables.
    pub(super) fn go_and_set(&mut self, prefix: &str) -> Done {
        let sql = self.current()?;
        let sql = self.variables.interpolate(&sql);
        let (columns, rows) = self.ask(sql.trim_start()).ok_or(Refusal::Told)?;
        let row_count: usize = rows.iter().map(|rows| rows.num_rows()).sum();
        match row_count {
            0 => return Err("no rows returned for \\gset".into()),
            1 => {}
            _ => return Err("more than one row returned for \\gset".into()),
        }
        let Some(row) = rows.iter().find(|rows| rows.num_rows() > 0) else { return Ok(()) };
        for (index, column) in columns.iter().enumerate() {
            self.variables.set(&format!("{prefix}{}", column.name), value(row, index, 0, ""))?;
        }
        Ok(())
    }

    /// Runs it again and again, until Ctrl-C or an error.
    pub(super) fn watch(&mut self, seconds: Option<&str>, input: &mut (dyn BufRead + Send)) -> Done {
        let seconds = match seconds {
            None => 2.0,
            Some(text) => text
                .parse::<f64>()
                .ok()
                .filter(|seconds| (0.0..=1e6).contains(seconds))
                .ok_or_else(|| format!("\\watch: incorrect interval value \"{text}\""))?,
        };
        let sql = self.current()?;
        loop {
            let mut manner = self.manner();
            manner.title = Some(format!("{} (every {seconds}s)\n", (self.options.clock)()));
            // A pager would stop the clock.
            manner.settings.pager = crate::table::Pager::Off;
            if !self.execute(&sql, manner, None, input) {
                return Err(Refusal::Told);
            }
            let interrupts = std::sync::Arc::clone(&self.interrupts);
            let busy = interrupts.busy();
            let was_pressed = self.runtime.block_on(async {
                tokio::select! {
                    () = interrupts.pressed() => true,
                    () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => false,
                }
            });
            drop(busy);
            if was_pressed || self.ending.is_some() {
                println!();
                return Ok(());
            }
        }
    }

    pub(super) fn print_buffer(&mut self) {
        let begun = self.pending.lock().clone();
        let text = if statement::is_blank(&begun) { &self.last_statement } else { &begun };
        match statement::is_blank(text) {
            true => println!("Query buffer is empty."),
            false => println!("{}", text.trim_end()),
        }
    }

    pub(super) fn write_buffer(&mut self, file: Option<&str>) -> Done {
        let file = file.ok_or("\\w: missing required argument")?;
        let begun = self.pending.lock().clone();
        let text = if statement::is_blank(&begun) { format!("{};\n", self.last_statement) } else { begun };
        Ok(fs::write(file, text).map_err(|error| format!("{file}: {error}"))?)
    }

    pub(super) fn show_history(&mut self, file: Option<&str>) -> Done {
        let text: String = self.history.iter().map(|line| format!("{line}\n")).collect();
        match file {
            None => self.page(&text),
            Some(file) => fs::write(file, text).map_err(|error| format!("{file}: {error}"))?,
        }
        Ok(())
    }

    /// Edits the statement, or a file, and takes in what came of it.
    pub(super) fn edit(&mut self, file: Option<&str>, input: &mut (dyn BufRead + Send)) -> Done {
        let begun = std::mem::take(&mut *self.pending.lock());
        let text = if statement::is_blank(&begun) { self.last_statement.clone() } else { begun };
        let path = match file {
            Some(file) => PathBuf::from(file),
            None => draft(&text)?,
        };
        let quoted = path.display().to_string().replace('\'', "'\\''");
        let edited = output::system(&format!("{} '{quoted}'", self.options.editor)).status();
        let read = fs::read_to_string(&path);
        if file.is_none() {
            let _ = fs::remove_file(&path);
        }
        match edited {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("\\e: the editor ended with {status}").into()),
            Err(error) => {
                return Err(format!("\\e: could not start editor \"{}\": {error}", self.options.editor).into());
            }
        }
        let read = read.map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", read.trim_end());
        self.feed(&read, input);
        Ok(())
    }

    /// `\i`, `\ir`
    pub(super) fn include(&mut self, file: Option<&str>, is_relative: bool) -> Done {
        let file = file.ok_or("\\i: missing required argument")?;
        if self.files.len() >= INCLUDES_MAX {
            return Err(format!("{file}: files include each other, more than {INCLUDES_MAX} deep").into());
        }
        let folder = self.files.last().and_then(|file| file.parent()).filter(|_| is_relative);
        let path = folder.unwrap_or(Path::new("")).join(file);
        let opened = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let begun = std::mem::take(&mut *self.pending.lock());
        self.files.push(path.clone());
        let ran = self.run_lines(&mut BufReader::new(opened));
        self.files.pop();
        *self.pending.lock() = begun;
        ran.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(())
    }
}

/// A file that nobody else reads, to be edited.
fn draft(text: &str) -> Result<PathBuf, String> {
    let folder = std::env::temp_dir();
    let failed = |error: std::io::Error| format!("\\e: could not make a file in \"{}\": {error}", folder.display());
    // Another shell may have one of that name.
    for attempt in 0..100 {
        let path = folder.join(format!("limnos-edit-{}-{attempt}.sql", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path).map_err(failed),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(format!("\\e: could not make a file in \"{}\"", folder.display()))
}
