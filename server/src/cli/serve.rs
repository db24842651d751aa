//! `limnos serve`: a server until a signal stops it.

use super::{CommandResult, Failure, runtime, start_logs};
use crate::config::Sources;
use crate::serve::{self, ServeOptions};

#[derive(clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    sources: Sources,
}

impl Serve {
    pub(super) fn run(self) -> CommandResult {
        let config = self.sources.resolve()?;
        start_logs(&config)?;
        if config.roots.is_empty() && config.own_roots.is_empty() {
            tracing::warn!("no --root is given, so no table can be read");
        }
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        runtime()?.block_on(async {
            let server = serve::start(ServeOptions::from_config(&config)?).await?;
            server.serve_until_signalled().await.map_err(|error| Failure::new(error, None))
        })
    }
}
