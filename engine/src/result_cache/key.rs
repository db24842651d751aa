//! [`ResultKey`]: what makes two queries the same: their optimised plans, who asks, under which settings, and exactly which
//! versions of which tables and files they read. Or the reason why a query's result is not kept.
//!
//! Plans are compared by DataFusion's own equality, which looks past white space, comments and the case of keywords. Three
//! things it does not look at are here beside it: which tables the scans' names mean (it compares names alone), which files
//! those have now, and the types of literals (two time stamps of different zones are equal to it).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::builder::LogicalTableSource;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::dataset::pinned::PinnedDataset;
use crate::error::to_datafusion;
use crate::scan::files_version::FilesVersion;
use crate::scan::table::CatalogTable;
use crate::session::Settings;
use crate::{Error, Result};

/// Settings that no answer depends on. All others are part of the key.
const INDIFFERENT_SETTINGS: &[&str] = &[
    "application_name",
    "client_encoding",
    "client_min_messages",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "idle_in_transaction_session_timeout",
    "jit",
    "lock_timeout",
    "result_cache",
    "row_security",
    "scan_limit",
    // Names are resolved: the tables that they mean are in the key.
    "search_path",
    "statement_timeout",
    "synchronize_seqscans",
    "transaction_isolation",
    "transaction_read_only",
];

/// Tables whose files are listed at the same time.
const LISTED_AT_ONCE: usize = 16;

/// What a node, an expression or a field of a plan takes in memory, roughly.
const NODE_BYTES: usize = 512;
const EXPRESSION_BYTES: usize = 128;
const FIELD_BYTES: usize = 128;

/// Who asks, and under which settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asker {
    user: String,
    session_user: String,
    /// Those that are not at their defaults.
    settings: Vec<(String, String)>,
}

impl Asker {
    /// A role, who logged in, and what is set.
    pub(crate) fn of(user: &str, session_user: &str, settings: &Settings) -> Self {
        let matters = |name: &str| !INDIFFERENT_SETTINGS.contains(&name);
        let settings = settings.in_force().filter(|(name, _)| matters(name));
        Self {
            user: user.to_owned(),
            session_user: session_user.to_owned(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ResultKey {
    hash: u64,
    /// Its scans' sources are replaced: they hold what ends with a query.
    plan: LogicalPlan,
    /// The rest of what the plan says, in its order.
    details: Details,
    asker: Asker,
    /// The files of every scan, in the plan's order: one list for each way in which they are written.
    scans: Vec<Vec<FilesVersion>>,
    bytes: usize,
}

/// What the equality of plans leaves out.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Details {
    tables: Vec<TableVersion>,
    literal_types: Vec<DataType>,
}

/// A table as it was defined when it was read.
#[derive(Debug, PartialEq, Eq, Hash)]
enum TableVersion {
    /// One of the catalog's: its id, and the versions of its definition and its partitions.
    Catalog(i64, i64, i64),
    /// A version of a dataset: its id, and the version's stamp.
    Dataset(i64, u64),
    /// A path used as a table: what was inferred of its files.
    Path(String),
}

/// Why a query's result is not kept; words that follow "not cacheable".
pub(crate) type Reason = String;

impl ResultKey {
    /// The key of a query whose optimised plan is `plan`; or why it has none. Lists the files that the plan's scans read; the
    /// lists are kept for the scans to be planned over.
    ///
    /// # Errors
    /// A plan that can't be walked, files that can't be listed.
    pub(crate) async fn new(state: &SessionState, plan: &LogicalPlan, asker: Asker) -> Result<Result<Self, Reason>> {
        if let Some(reason) = look_at(plan)? {
            return Ok(Err(reason));
        }
        let mut details = Details::default();
        let mut scanned = Vec::new();
        let plan = detach(plan.clone(), &mut details, &mut scanned)?;
        if details.tables.is_empty() {
            return Ok(Err("it reads no table".to_owned()));
        }
        let lists = scanned.iter().map(|scan| async move { scan.table.list_ahead(state, &scan.filters).await });
        let lists: Vec<_> = stream::iter(lists.collect::<Vec<_>>()).buffered(LISTED_AT_ONCE).try_collect().await?;
        let mut scans = Vec::with_capacity(lists.len());
        for (scan, versions) in scanned.iter().zip(lists) {
            if versions.iter().any(|(_, is_unsettled)| *is_unsettled) {
                return Ok(Err(format!("a file of table \"{}\" was written just now", scan.table.table().name)));
            }
            scans.push(versions.into_iter().map(|(version, _)| version).collect());
        }
        let bytes = NODE_BYTES + size_of_plan(&plan)?;
        let mut hasher = DefaultHasher::new();
        (&plan, &details, &asker, &scans).hash(&mut hasher);
        Ok(Ok(Self { hash: hasher.finish(), plan, details, asker, scans, bytes }))
    }

    /// The key of a query that differs from others by `number` alone.
    #[cfg(test)]
    pub(super) fn numbered(number: u64) -> Arc<Self> {
        let plan = LogicalPlan::EmptyRelation(datafusion::logical_expr::EmptyRelation {
            produce_one_row: true,
            schema: Arc::new(datafusion::common::DFSchema::empty()),
        });
        let asker = Asker { user: "ann".to_owned(), session_user: "ann".to_owned(), settings: Vec::new() };
        let scans = vec![vec![FilesVersion::of(&number)]];
        Arc::new(Self { hash: number, plan, details: Details::default(), asker, scans, bytes: 0 })
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl PartialEq for ResultKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.scans == other.scans
            && self.asker == other.asker
            && self.details == other.details
            && self.plan == other.plan
    }
}

impl Eq for ResultKey {}

impl Hash for ResultKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// What in `plan` may answer otherwise the next time, over the same files.
fn look_at(plan: &LogicalPlan) -> Result<Option<Reason>> {
    let mut reason = None;
    plan.apply_with_subqueries(|node| {
        reason = reason.take().or_else(|| reason_of_node(node));
        if reason.is_none() {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    reason = reason.take().or_else(|| reason_of_expression(expr));
                    Ok(if reason.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
                })
            })?;
        }
        Ok(if reason.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(reason)
}

fn reason_of_node(node: &LogicalPlan) -> Option<Reason> {
    match node {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok();
            let is_known =
                |provider: &dyn std::any::Any| provider.is::<CatalogTable>() || provider.is::<PinnedDataset>();
            if provider.is_some_and(|provider| is_known(provider.as_ref() as &dyn std::any::Any)) {
                return None;
            }
            Some(format!("\"{}\" is not a table of files", scan.table_name))
        }
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => None,
        other => Some(format!("its plan has a step of another kind: {}", other.display())),
    }
}

fn reason_of_expression(expr: &Expr) -> Option<Reason> {
    match expr {
        Expr::ScalarFunction(call) => {
            let from_session = || call.args.is_empty() || crate::function::is_of_session(call.func.name());
            match call.func.signature().volatility {
                Volatility::Volatile => Some(format!("function \"{}\" is volatile", call.func.name())),
                // What the planner could put a value in place of is that value here.
                Volatility::Stable if from_session() => {
                    Some(format!("function \"{}\" answers from the session", call.func.name()))
                }
                _ => None,
            }
        }
        Expr::AggregateFunction(call) if call.func.signature().volatility == Volatility::Volatile => {
            Some(format!("function \"{}\" is volatile", call.func.name()))
        }
        Expr::ScalarVariable(..) => Some("it reads a session variable".to_owned()),
        Expr::Placeholder(_) => Some("a parameter has no value".to_owned()),
        _ => None,
    }
}

/// A scan of a plan: whose files it reads, as far as these filters let it.
struct Scan {
    table: CatalogTable,
    filters: Vec<Expr>,
}

/// `plan` without what its scans hold, which is put into `scanned`; what equality leaves out is put into `details`.
fn detach(plan: LogicalPlan, details: &mut Details, scanned: &mut Vec<Scan>) -> Result<LogicalPlan> {
    let detached = plan.transform_down_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Literal(value, _) = expr {
                    details.literal_types.push(value.data_type());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let provider = source_as_provider(&scan.source)?;
        if let Some(dataset) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<PinnedDataset>() {
            details.tables.push(TableVersion::Dataset(dataset.id, dataset.loaded.stamp));
            scan.source = Arc::new(LogicalTableSource::new(dataset.schema()));
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        let Some(table) = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<CatalogTable>() else {
            return Err(to_datafusion(Error::internal("a scan of something that is no table of files")));
        };
        details.tables.push(version_of(table).map_err(to_datafusion)?);
        // As the planner hands them to the table.
        scanned.push(Scan { table: table.clone(), filters: unnormalize_cols(scan.filters.iter().cloned()) });
        scan.source = Arc::new(LogicalTableSource::new(table.schema()));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(detached.data)
}

fn version_of(table: &CatalogTable) -> Result<TableVersion> {
    let table = table.table();
    Ok(match table.id {
        0 => TableVersion::Path(limnos_catalog::record::encode(&table.definition)?),
        id => TableVersion::Catalog(id, table.version, table.partitions_version),
    })
}

/// Bytes that a plan takes, roughly.
///
/// # Errors
/// A plan that can't be walked.
pub(crate) fn size_of_plan(plan: &LogicalPlan) -> Result<usize> {
    let mut bytes = 0;
    plan.apply_with_subqueries(|node| {
        bytes += NODE_BYTES + node.schema().fields().len() * FIELD_BYTES;
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                bytes += match expr {
                    Expr::Literal(value, _) => EXPRESSION_BYTES + value.size(),
                    _ => EXPRESSION_BYTES,
                };
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(bytes)
}
