//! [`KeptPlans`]: the plans of queries, for whoever asks the same again before anything has changed that a plan is made from.
//!
//! ```text
//! text, types of parameters, who asks, settings ── key ─┐
//! snapshots of tables and of rights, accounts ──────────┴─ find ── KeptPlan ── attach ── a plan over this run's tables
//! ```
//! What is kept holds no snapshot: old ones would never go. A scan is kept as its table's name ([`KeptTable`]) and looked up in
//! the snapshot of the statement, which is the one that it was planned in, or the plan is made again. What a statement may see is
//! asked when it is planned, so the rights that it was planned with are part of what must not have changed.
//!
//! A plan is kept unoptimised, with its parameters; optimised only where it calls nothing but immutable functions, so that
//! `now()` is another moment each time. A plan that is constant then is kept with its row ([`KeptPlan::constant`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, Volatility};
use limnos_catalog::{Snapshot, TableName};
use parking_lot::Mutex;

use super::lake::PlanContext;
use crate::cache::{CacheUsage, NamedCache};
use crate::engine::Shared;
use crate::error::to_datafusion;
use crate::limits::{KEPT_CONSTANT_BYTES_MAX, KEPT_PLANS_BYTES_MAX, KEPT_TEXT_BYTES_MAX};
use crate::result_cache::{Asker, size_of_plan};
use crate::scan::hidden::HiddenColumns;
use crate::scan::table::CatalogTable;
use crate::{Error, Result, Session};

/// What makes two statements the same, as long as nothing else changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PlanKey {
    sql: String,
    parameter_types: Vec<Option<DataType>>,
    asker: Asker,
    is_process: bool,
    catalog_name: String,
    database: String,
}

impl PlanKey {
    /// Of the query `sql` in `session`; `None` for one that is not kept, however often it is asked.
    pub(crate) fn of(session: &Session, sql: &str, parameter_types: Vec<Option<DataType>>) -> Option<Self> {
        (sql.len() <= KEPT_TEXT_BYTES_MAX).then(|| Self {
            sql: sql.to_owned(),
            parameter_types,
            asker: Asker::of(&session.user, &session.login.session_user, &session.settings),
            is_process: session.is_process(),
            catalog_name: session.catalog_name.clone(),
            database: session.database.clone(),
        })
    }

    /// The same with all types known.
    pub(crate) fn with_types(&self, types: &[DataType]) -> Self {
        Self { parameter_types: types.iter().cloned().map(Some).collect(), ..self.clone() }
    }

    fn bytes(&self) -> usize {
        self.sql.len() + 512
    }
}

/// What a plan is made from beside its key.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    snapshot: Weak<Snapshot>,
    rights: Weak<Snapshot>,
    accounts: u64,
}

impl Circumstances {
    /// Those of a statement that `session` begins now.
    pub(crate) fn of(shared: &Shared, session: &Session) -> Self {
        let rights = session.rights_snapshot(&shared.catalog);
        Self {
            snapshot: Arc::downgrade(session.pinned.as_ref().unwrap_or(&rights)),
            rights: Arc::downgrade(&rights),
            accounts: shared.accounts.version(),
        }
    }

    /// Those of the statement that `context` plans: what was looked up for it is what counts.
    pub(crate) fn planned_in(context: &PlanContext, accounts: u64) -> Self {
        let (snapshot, rights) = (Arc::downgrade(&context.snapshot), Arc::downgrade(context.rights.snapshot()));
        Self { snapshot, rights, accounts }
    }
}

impl PartialEq for Circumstances {
    /// A weak pointer keeps the address taken, so that another snapshot is never at the same.
    fn eq(&self, other: &Self) -> bool {
        self.snapshot.ptr_eq(&other.snapshot) && self.rights.ptr_eq(&other.rights) && self.accounts == other.accounts
    }
}

/// A plan that may be used again.
#[derive(Debug)]
pub(crate) struct KeptPlan {
    circumstances: Circumstances,
    plan: LogicalPlan,
    /// The names of the answer's columns.
    pub(crate) column_names: Vec<String>,
    /// What Describe says of it, where it was asked.
    pub(crate) described: Option<(Vec<DataType>, SchemaRef)>,
    /// Whether it calls immutable functions alone, and has no parameters.
    is_immutable: bool,
    optimized: OnceLock<LogicalPlan>,
    constant: OnceLock<(SchemaRef, Vec<RecordBatch>)>,
    bytes: usize,
}

impl KeptPlan {
    /// Of `plan`, which was planned in `context` and not optimised; `None` where it can't be used again.
    ///
    /// # Errors
    /// A plan that can't be walked.
    pub(crate) fn new(
        context: (Circumstances, bool),
        plan: &LogicalPlan,
        column_names: Vec<String>,
        described: Option<(Vec<DataType>, SchemaRef)>,
    ) -> Result<Option<Self>> {
        let (circumstances, sees_clock) = context;
        if sees_clock {
            return Ok(None);
        }
        let Some(plan) = detach(plan.clone())? else { return Ok(None) };
        let (is_immutable, bytes) = (is_immutable(&plan)?, size_of_plan(&plan)?);
        Ok(Some(Self {
            circumstances,
            plan,
            column_names,
            described,
            is_immutable,
            optimized: OnceLock::new(),
            constant: OnceLock::new(),
            bytes,
        }))
    }

    /// Whether it holds in `now`.
    pub(crate) fn holds_in(&self, now: &Circumstances) -> bool {
        self.circumstances == *now
    }

    /// The plan over the tables of `context`, and whether it is optimised already.
    ///
    /// # Errors
    /// A table that can't be opened.
    pub(crate) fn attach(&self, context: &PlanContext) -> Result<(LogicalPlan, bool)> {
        match self.optimized.get() {
            Some(plan) => Ok((attach(plan.clone(), context)?, true)),
            None => Ok((attach(self.plan.clone(), context)?, false)),
        }
    }

    /// Remembers what its optimised plan is, if that is the same each time.
    ///
    /// # Errors
    /// A plan that can't be walked.
    pub(crate) fn keep_optimized(&self, plan: &LogicalPlan) -> Result<()> {
        if self.is_immutable
            && self.optimized.get().is_none()
            && let Some(plan) = detach(plan.clone())?
        {
            let _another_was_faster = self.optimized.set(plan);
        }
        Ok(())
    }

    /// Whether `plan`, its optimised one, is one row of constants.
    pub(crate) fn is_constant(&self, plan: &LogicalPlan) -> bool {
        self.is_immutable && is_row_of_literals(plan)
    }

    /// Remembers the answer of a constant plan, if it is small.
    pub(crate) fn keep_constant(&self, schema: &SchemaRef, batches: &[RecordBatch]) {
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        if bytes <= KEPT_CONSTANT_BYTES_MAX {
            let _another_was_faster = self.constant.set((Arc::clone(schema), batches.to_vec()));
        }
    }

    /// The answer of a constant plan.
    pub(crate) fn constant(&self) -> Option<(&SchemaRef, &[RecordBatch])> {
        self.constant.get().map(|(schema, batches)| (schema, batches.as_slice()))
    }
}

/// A table of the catalog, as a kept plan names it.
#[derive(Debug)]
struct KeptTable {
    name: TableName,
    hidden: HiddenColumns,
    schema: SchemaRef,
}

impl TableSource for KeptTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// `plan` with names in place of tables; `None` if it reads something that is not a table of the catalog.
fn detach(plan: LogicalPlan) -> Result<Option<LogicalPlan>> {
    let mut is_kept = true;
    let detached = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let provider = source_as_provider(&scan.source).ok();
        let table = provider
            .as_ref()
            .and_then(|provider| (provider.as_ref() as &dyn std::any::Any).downcast_ref::<CatalogTable>()?.as_named());
        let Some((name, hidden)) = table else {
            is_kept = false;
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        scan.source = Arc::new(KeptTable { name, hidden, schema: scan.source.schema() });
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(is_kept.then_some(detached.data))
}

/// A kept plan over the tables that `context` has under its names.
fn attach(plan: LogicalPlan, context: &PlanContext) -> Result<LogicalPlan> {
    let attached = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(kept) = (scan.source.as_ref() as &dyn std::any::Any).downcast_ref::<KeptTable>() else {
            return Err(to_datafusion(Error::internal("a kept plan has a table of its own")));
        };
        let provider = open(kept, context).map_err(to_datafusion)?;
        scan.source = provider_as_source(Arc::new(provider));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(attached.data)
}

fn open(kept: &KeptTable, context: &PlanContext) -> Result<CatalogTable> {
    let snapshot = Arc::clone(&context.snapshot);
    let table = Arc::clone(snapshot.table(&kept.name)?);
    let partitions = context.shared.partitions(&snapshot, &table, context.now)?;
    let (scan, run) = (Arc::clone(&context.shared.scan), Arc::clone(&context.run));
    CatalogTable::new(snapshot, table, partitions, scan, run)?.with_hidden(kept.hidden.clone())
}

fn is_immutable(plan: &LogicalPlan) -> Result<bool> {
    let mut is_immutable = true;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                is_immutable &= match expr {
                    Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
                    Expr::HigherOrderFunction(_) | Expr::ScalarVariable(..) | Expr::Placeholder(_) => false,
                    Expr::AggregateFunction(call) => call.func.signature().volatility == Volatility::Immutable,
                    Expr::WindowFunction(call) => match &call.fun {
                        WindowFunctionDefinition::AggregateUDF(f) => f.signature().volatility == Volatility::Immutable,
                        WindowFunctionDefinition::WindowUDF(f) => f.signature().volatility == Volatility::Immutable,
                    },
                    _ => true,
                };
                Ok(if is_immutable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        })
    })?;
    Ok(is_immutable)
}

fn is_row_of_literals(plan: &LogicalPlan) -> bool {
    let is_literal = |expr: &Expr| matches!(expr.clone().unalias_nested().data, Expr::Literal(..));
    match plan {
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(is_literal) && is_row_of_literals(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_row_of_literals(&alias.input),
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}

/// See the module. All sessions share it.
#[derive(Debug, Default)]
pub(crate) struct KeptPlans {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Arc<PlanKey>, (Arc<KeptPlan>, u64)>,
    /// The keys by their last use, oldest first.
    order: BTreeMap<u64, Arc<PlanKey>>,
    uses: u64,
    bytes: usize,
    hits: u64,
    misses: u64,
}

impl Inner {
    fn remove(&mut self, key: &PlanKey) -> Option<Arc<KeptPlan>> {
        let (key, (plan, used)) = self.entries.remove_entry(key)?;
        self.order.remove(&used);
        self.bytes -= plan.bytes + key.bytes();
        Some(plan)
    }
}

impl KeptPlans {
    /// The plan of the query `key`, if it holds in `now`.
    pub(crate) fn find(&self, key: &PlanKey, now: &Circumstances) -> Option<Arc<KeptPlan>> {
        let mut inner = self.inner.lock();
        inner.uses += 1;
        let uses = inner.uses;
        let Inner { entries, order, hits, misses, .. } = &mut *inner;
        match entries.get_mut(key) {
            Some((plan, used)) if plan.circumstances == *now => {
                if let Some(own) = order.remove(used) {
                    order.insert(uses, own);
                }
                *used = uses;
                *hits += 1;
                Some(Arc::clone(plan))
            }
            _ => {
                *misses += 1;
                None
            }
        }
    }

    /// Keeps `plan` for the query `key`, in place of what was kept for it.
    pub(crate) fn keep(&self, key: PlanKey, plan: &Arc<KeptPlan>) {
        let key = Arc::new(key);
        let bytes = plan.bytes + key.bytes();
        // A few that are very large would drive out all others.
        if bytes > KEPT_PLANS_BYTES_MAX / 16 {
            return;
        }
        let mut dropped = Vec::new();
        let mut inner = self.inner.lock();
        dropped.extend(inner.remove(&key));
        while inner.bytes + bytes > KEPT_PLANS_BYTES_MAX
            && let Some(oldest) = inner.order.values().next().cloned()
        {
            dropped.extend(inner.remove(&oldest));
        }
        inner.uses += 1;
        let uses = inner.uses;
        inner.bytes += bytes;
        inner.order.insert(uses, Arc::clone(&key));
        inner.entries.insert(key, (Arc::clone(plan), uses));
        drop(inner);
    }
}

impl NamedCache for KeptPlans {
    fn name(&self) -> &'static str {
        "plans"
    }

    fn usage(&self) -> CacheUsage {
        let inner = self.inner.lock();
        CacheUsage {
            entries: inner.entries.len() as u64,
            bytes: inner.bytes as u64,
            limit_bytes: KEPT_PLANS_BYTES_MAX as u64,
            hits: inner.hits,
            misses: inner.misses,
        }
    }

    fn clear(&self) {
        let mut inner = self.inner.lock();
        let (hits, misses, uses) = (inner.hits, inner.misses, inner.uses);
        let dropped = std::mem::replace(&mut *inner, Inner { hits, misses, uses, ..Inner::default() });
        drop(inner);
        drop(dropped);
    }
}
