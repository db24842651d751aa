//! What all suites that compare engines are run with.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::engines::{Resources, cache_folder};

/// Options of every suite.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Common {
    /// Threads that each engine works with
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Memory that each engine may take, such as 2GiB
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    pub(crate) memory_limit: String,
    /// Measured runs of each query, of which the median counts
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) repeat: u16,
    /// Only these queries, by name, such as q01,q06
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Who is asked beside Limnos: duckdb, chdb, datafusion, or none; settings of an engine's behind ?, as in
    /// 'datafusion?datafusion.execution.batch_size=16384'
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "duckdb,chdb,datafusion")]
    pub(crate) peers: Vec<String>,
    /// Each run in a new process, with the files out of the system's cache
    #[arg(long)]
    pub(crate) cold: bool,
    /// Seconds after which a query has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
    /// The server's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    pub(crate) limnos: Option<PathBuf>,
    /// Another build of it, measured in the same run
    #[arg(long, value_name = "PATH")]
    pub(crate) baseline: Option<PathBuf>,
    /// A session setting of Limnos, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// The peers' environment [default: LIMNOS_BENCH_VENV, or in the user's cache]
    #[arg(long, value_name = "DIR", env = "LIMNOS_BENCH_VENV")]
    pub(crate) venv: Option<PathBuf>,
    /// Where data is made, and found again [default: LIMNOS_BENCH_DATA, or in the user's cache]
    #[arg(long, value_name = "DIR", env = "LIMNOS_BENCH_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Where the figures and the chart go [default: the folder results beside the data]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write the suite's section of benches/RESULTS.md, and its figures and chart to benches/results/
    #[arg(long)]
    pub(crate) write: bool,
}

impl Common {
    /// What each engine gets.
    pub(crate) fn resources(&self) -> Result<Resources> {
        let memory_bytes = parse_size(&self.memory_limit)?;
        Ok(Resources { threads: self.threads, memory_bytes, timeout: Duration::from_secs(self.timeout) })
    }

    /// Where data is.
    pub(crate) fn data_folder(&self) -> Result<PathBuf> {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => cache_folder()?.join("data"),
        };
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder.canonicalize()?)
    }

    /// Whether a query of this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(name))
    }

    /// The peers that are asked for.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &String> {
        self.peers.iter().filter(|peer| !peer.is_empty() && *peer != "none")
    }
}

fn parse_size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let number: f64 = digits.trim().parse().context("a size is a number and a unit, such as 2GiB")?;
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "mb" => 1e6,
        "gb" => 1e9,
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        other => anyhow::bail!("\"{other}\" is not a unit: B, MB, MiB, GB or GiB"),
    };
    Ok((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("2GiB").ok(), Some(2 << 30));
        assert_eq!(parse_size("1.5 GB").ok(), Some(1_500_000_000));
        assert_eq!(parse_size("4096").ok(), Some(4096));
        assert!(parse_size("2 lots").is_err());
    }
}
