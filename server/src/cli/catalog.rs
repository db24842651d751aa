//! `limnos catalog export` and `limnos catalog import`: the whole catalog as a file, and back.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use limnos_catalog::transfer::Counts;
use limnos_catalog::{Catalog, Location};

use super::output::{Output, write_failure};
use super::{CommandResult, Failure, start_logs};
use crate::config::{Config, Layer, Sources, process_environment};
use crate::serve::ServeError;

/// How often the screen says how far it is.
const TICK: Duration = Duration::from_millis(100);

#[derive(clap::Subcommand)]
pub(super) enum CatalogCommand {
    /// Write the catalog to a file: databases, tables with their versions, partitions, crawlers
    ///
    /// The file has one JSON object a line and can be read, compared and kept under version control. It is the catalog as it
    /// is at one moment. A catalog in PostgreSQL may be in use meanwhile; one in a data directory may not. Histories of runs
    /// and what is known of single data files are not in it.
    Export(Export),
    /// Read the catalog from a file that `limnos catalog export` wrote: all of it, or nothing
    ///
    /// The catalog must be empty, unless --replace is given. Servers on a catalog in PostgreSQL see the new one at once.
    Import(Import),
}

#[derive(clap::Args)]
pub(super) struct Export {
    /// The file; - is standard output. It appears whole or not at all
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    sources: Sources,
}

#[derive(clap::Args)]
pub(super) struct Import {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Put the file's catalog in the place of the one that is there
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    sources: Sources,
}

impl CatalogCommand {
    pub(super) fn run(self) -> CommandResult {
        match self {
            Self::Export(command) => command.run(),
            Self::Import(command) => command.run(),
        }
    }
}

impl Export {
    fn run(self) -> CommandResult {
        let location = location(self.sources)?;
        if let Location::File(path) = &location
            && !path.exists()
        {
            // Opening would make one.
            return Err(Failure::new(format!("there is no catalog \"{}\"", path.display()), None));
        }
        let catalog = open(&location)?;
        let mut output = Output::open(named(&self.file))?;
        let mut screen = Screen::new("exported");
        let counts = catalog.export(&mut output, &mut |counts| screen.show(counts)).map_err(|error| match error {
            // As for answers: a reader who has gone away is no failure to talk about.
            limnos_catalog::Error::Transfer { source, .. } => write_failure(&source),
            other => failure(other),
        })?;
        output.commit()?;
        screen.end(&counts);
        Ok(())
    }
}

impl Import {
    fn run(self) -> CommandResult {
        let location = location(self.sources)?;
        let shown = self.file.display();
        let mut input: Box<dyn io::BufRead> = match named(&self.file) {
            Some(path) => {
                let file = File::open(path).with_context(|| format!("could not read \"{shown}\""))?;
                Box::new(BufReader::with_capacity(256 << 10, file))
            }
            None => Box::new(BufReader::with_capacity(256 << 10, io::stdin())),
        };
        if let Location::File(path) = &location
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder).with_context(|| format!("could not make \"{}\"", folder.display()))?;
        }
        let catalog = open(&location)?;
        let mut screen = Screen::new("imported");
        let counts = catalog.import(&mut input, self.replace, &mut |counts| screen.show(counts)).map_err(failure)?;
        screen.end(&counts);
        Ok(())
    }
}

fn named(file: &Path) -> Option<&Path> {
    (file.as_os_str() != "-").then_some(file)
}

/// Where the catalog is. A server's whole configuration may be given; no more of it is looked at.
fn location(sources: Sources) -> Result<Location, Failure> {
    let layer = sources.layers(process_environment)?;
    if layer.data_dir.is_none() && layer.catalog.is_none() {
        let hint = "Use --data-dir DIR or --catalog URL.".to_owned();
        return Err(Failure::Told { code: 2.into(), message: "no catalog is given".to_owned(), hint: Some(hint) });
    }
    // Not used by a catalog that is elsewhere.
    let defaults = Layer { data_dir: Some(PathBuf::new()), log_level: Some("warn".to_owned()), ..Layer::default() };
    let config = Config::from_layer(layer.over(defaults))?;
    start_logs(&config)?;
    Ok(config.catalog)
}

fn open(location: &Location) -> Result<std::sync::Arc<Catalog>, Failure> {
    Ok(Catalog::open_at(location).map_err(ServeError::from)?)
}

fn failure(error: limnos_catalog::Error) -> Failure {
    ServeError::from(error).into()
}

/// What a terminal shows while it takes long, and at the end. Nothing where nobody looks.
struct Screen {
    verb: &'static str,
    bar: Option<ProgressBar>,
    shown_at: Instant,
}

impl Screen {
    fn new(verb: &'static str) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg}").ok();
        let bar =
            style.filter(|_| io::stderr().is_terminal()).map(|style| ProgressBar::new_spinner().with_style(style));
        Self { verb, bar, shown_at: Instant::now() }
    }

    fn show(&mut self, counts: &Counts) {
        let Some(bar) = &self.bar else { return };
        if self.shown_at.elapsed() >= TICK {
            bar.set_message(format!("{} tables, {} partitions", counts.tables, counts.partitions));
            bar.tick();
            self.shown_at = Instant::now();
        }
    }

    fn end(self, counts: &Counts) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {counts}", self.verb);
    }
}
