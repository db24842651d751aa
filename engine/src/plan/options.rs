//! [`StatementOptions`]: what differs from statement to statement, where rules and functions find it. They themselves are the
//! same for all, and made once: a plan that calls a function holds nothing of who asked.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::Result as DataFusionResult;
use datafusion::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, TaskContext};
use tokio_util::sync::CancellationToken;

use crate::function::FunctionContext;
use crate::input::InputContext;

/// See the module.
#[derive(Clone)]
pub(crate) struct StatementOptions {
    /// What texts mean that become values when the statement runs. Without a clock, which only constants see.
    pub(crate) input: InputContext,
    /// What the session's functions answer from.
    pub(crate) caller: Option<Arc<FunctionContext>>,
    /// Stops the statement.
    pub(crate) cancel: CancellationToken,
    /// Whether datasets are aggregated on their codes.
    pub(crate) dataset_aggregation: bool,
}

impl StatementOptions {
    /// Those of the statement that `config` is of, if it is one's.
    pub(crate) fn of(config: &ConfigOptions) -> Option<&Self> {
        config.extensions.get::<Self>()
    }

    /// What texts mean there, or PostgreSQL's defaults.
    pub(crate) fn input_of(config: &ConfigOptions) -> InputContext {
        Self::of(config).map_or_else(InputContext::default, |options| options.input)
    }
}

impl fmt::Debug for StatementOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatementOptions").field("input", &self.input).finish_non_exhaustive()
    }
}

impl ConfigExtension for StatementOptions {
    const PREFIX: &'static str = "limnos_statement";
}

impl ExtensionOptions for StatementOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> DataFusionResult<()> {
        datafusion::common::config_err!("{key} is set by the session alone")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// The memory and the stores of the statement that a state plans, beside its configuration.
pub(super) struct StatementRuntime(pub(super) Arc<RuntimeEnv>);

/// The memory and the stores of the statement that `state` plans: a state itself has those of no statement.
pub(crate) fn runtime(state: &dyn Session) -> Arc<RuntimeEnv> {
    let own = state.config().get_extension::<StatementRuntime>();
    own.map_or_else(|| Arc::clone(state.runtime_env()), |own| Arc::clone(&own.0))
}

/// What a plan of `state` runs in. Without the registry of functions, which a plan has resolved: copying it takes longer than
/// most statements.
pub(crate) fn task(state: &SessionState) -> Arc<TaskContext> {
    Arc::new(TaskContext::new(
        None,
        state.session_id().to_owned(),
        state.config().clone(),
        Default::default(),
        Default::default(),
        Default::default(),
        Default::default(),
        runtime(state),
    ))
}
