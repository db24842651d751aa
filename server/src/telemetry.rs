//! Logs: `tracing` events -> lines on standard error. In: a filter and a format.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::LogFormat;

/// What the libraries below us say matters only when it's a warning.
const QUIET: &str =
    "hyper=warn,h2=warn,reqwest=warn,rustls=warn,object_store=warn,datafusion=warn,sqlparser=warn,tower=warn";

/// Sends logs to standard error from here on. A second call does nothing, which lets tests start many servers.
///
/// # Errors
/// A filter that can't be read.
pub fn start(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    // The user's own directives come last and win.
    let filter = EnvFilter::builder().parse(format!("{QUIET},{filter}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that someone subscribed before us; theirs stays.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
