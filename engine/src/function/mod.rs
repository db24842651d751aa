//! SQL functions that DataFusion lacks, or means differently than PostgreSQL does.
//!
//! All are made once. Those that answer from the catalog or the session (`current_user`, `format_type`, `pg_get_viewdef`, ...)
//! find their [`FunctionContext`] in the statement's options. [`shared_functions`] replace DataFusion's of the same name.
//! [`analyzer_rules`] keep arithmetic and sizes within bounds.

mod backend;
mod bounds;
mod catalog;
mod constant_scale;
mod conversion;
mod float_math;
mod from_char;
mod identifier;
mod interval;
mod json;
mod numeric_division;
mod overflow;
mod privilege;
mod quiet;
mod row_function;
mod session;
mod sleep;
mod sum;
mod text;
mod timezone;
mod to_char;

pub(crate) use interval::{divide as interval_divide, multiply as interval_multiply};
pub(crate) use numeric_division::{divides as numeric_divides, function as numeric_divide};
pub(crate) use row_function::failure;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use datafusion::catalog::TableFunctionImpl;
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use limnos_catalog::Snapshot;

use crate::plan::authorize::Rights;
use crate::plan::options::StatementOptions;
use crate::plan::pg_catalog::{CatalogIndex, SessionInfo, SnapshotTables};
use crate::plan::single_row::SingleRow;

/// What session functions answer from.
pub(crate) struct FunctionContext {
    pub(crate) session: Arc<SessionInfo>,
    /// What whoever asks may do; `None` where nobody can be asked.
    pub(crate) rights: Option<Arc<Rights>>,
    snapshot: Arc<Snapshot>,
    tables: OnceLock<Arc<SnapshotTables>>,
}

impl FunctionContext {
    /// For a session over `snapshot`.
    pub(crate) fn new(snapshot: &Arc<Snapshot>, session: &Arc<SessionInfo>, rights: Option<Arc<Rights>>) -> Arc<Self> {
        let (snapshot, session) = (Arc::clone(snapshot), Arc::clone(session));
        Arc::new(Self { session, rights, snapshot, tables: OnceLock::new() })
    }

    /// That of the statement whose configuration `config` is.
    fn of(config: &ConfigOptions) -> crate::Result<Arc<Self>> {
        let caller = StatementOptions::of(config).and_then(|options| options.caller.clone());
        caller.ok_or_else(|| crate::Error::internal("a function of the session was called outside of one"))
    }

    /// Every object there is. Made when the first function asks: most statements call none, and a catalog of ten thousand
    /// tables takes its time.
    pub(crate) fn index(&self) -> &CatalogIndex {
        &self.tables.get_or_init(|| SnapshotTables::of(&self.snapshot, &self.session)).index
    }
}

impl fmt::Debug for FunctionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionContext").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Whether the function `name` answers from the session or the catalog.
pub(crate) fn is_of_session(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<String>> =
        LazyLock::new(|| session_functions().iter().map(|function| function.name().to_owned()).collect());
    NAMES.contains(name)
}

/// The functions that answer from the session or the catalog. What they answer from they find in the statement's options.
fn session_functions() -> Vec<ScalarUDF> {
    let mut functions = Vec::new();
    functions.extend(backend::functions());
    functions.extend(quiet::functions());
    functions.extend(catalog::functions());
    functions.extend(identifier::functions());
    functions.extend(privilege::functions());
    functions.extend(session::functions());
    functions.into_iter().map(row_function::RowFunction::into_udf).collect()
}

/// Functions that are the same in every session and replace DataFusion's of the same name. They are made once: two plans that
/// call one of them are equal.
pub fn shared_functions() -> Vec<ScalarUDF> {
    static FUNCTIONS: OnceLock<Vec<ScalarUDF>> = OnceLock::new();
    FUNCTIONS.get_or_init(make_shared_functions).clone()
}

fn make_shared_functions() -> Vec<ScalarUDF> {
    let mut functions: Vec<ScalarUDF> =
        text::functions().into_iter().map(row_function::RowFunction::into_udf).collect();
    functions.extend(from_char::functions());
    functions.extend(json::functions());
    functions.push(to_char::function());
    functions.push(text::pg_typeof());
    functions.push(sleep::function());
    functions.push(timezone::function());
    functions
}

/// Aggregates that replace DataFusion's of the same name.
pub fn shared_aggregates() -> Vec<AggregateUDF> {
    vec![sum::function()]
}

/// Table functions that DataFusion lacks.
///
/// # Errors
/// When the built-in catalog data can't be read.
pub fn table_functions() -> Result<Vec<(&'static str, Arc<dyn TableFunctionImpl>)>> {
    let tables = datafusion_pg_catalog::pg_catalog::PgCatalogStaticTables::try_new()?;
    Ok(vec![("pg_get_keywords", tables.pg_get_keywords)])
}

/// Rules to run after DataFusion's own analyzer rules, types being settled.
pub fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![
        Arc::new(bounds::BoundConstantArguments),
        Arc::new(constant_scale::ConstantScale),
        Arc::new(overflow::ExactArithmetic::default()),
        Arc::new(SingleRow::default()),
    ]
}

/// Registers all of it in `registry`, which must hold DataFusion's functions already: some of ours wrap them.
///
/// # Errors
/// When the registry refuses.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in bounds::bounded_functions(registry) {
        registry.register_udf(Arc::new(function))?;
    }
    for function in float_math::careful_functions(registry) {
        registry.register_udf(Arc::new(function))?;
    }
    for function in shared_functions().into_iter().chain(session_functions()) {
        registry.register_udf(Arc::new(function))?;
    }
    for function in shared_aggregates() {
        registry.register_udaf(Arc::new(function))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
