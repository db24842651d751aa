//! [`Answer`]: the batches of a planned query, from the cache or from a run.

use std::sync::Arc;

use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::stream::{self, StreamExt};

use super::{Asker, Ended, Found, Reason, ResultCache, ResultKey, StoredResult, record};
use crate::Result;
use crate::engine::Engine;
use crate::execute::{BatchStream, QueryRun, QueryStats, ResultCacheUse, run_plan};

/// Whether a query's answer is looked up and kept.
pub(crate) enum Decision {
    /// Under this key.
    Keyed(Arc<ResultKey>),
    /// Not, for the session or the server says so.
    Off,
    /// Not, for it may be another one the next time.
    NotCacheable(Reason),
}

impl Decision {
    /// For a query whose optimised plan is `plan`. Lists its files.
    ///
    /// # Errors
    /// A plan that can't be walked, files that can't be listed.
    pub(crate) async fn new(state: &SessionState, plan: &LogicalPlan, asker: Asker) -> Result<Self> {
        Ok(match ResultKey::new(state, plan, asker).await? {
            Ok(key) => Self::Keyed(Arc::new(key)),
            Err(reason) => Self::NotCacheable(reason),
        })
    }

    /// The answer, if `cache` has it.
    pub(crate) fn known(&self, cache: &ResultCache) -> Option<Arc<StoredResult>> {
        match self {
            Self::Keyed(key) => cache.get(key),
            Self::Off | Self::NotCacheable(_) => None,
        }
    }

    /// Whether `cache` has the answer.
    pub(crate) fn is_known(&self, cache: &ResultCache) -> bool {
        matches!(self, Self::Keyed(key) if cache.contains(key))
    }

    /// What `cache` would do now, for EXPLAIN.
    pub(crate) fn describe(&self, cache: &ResultCache) -> String {
        match self {
            Self::Keyed(_) if self.is_known(cache) => ResultCacheUse::Hit.name().to_owned(),
            Self::Keyed(_) => ResultCacheUse::Miss.name().to_owned(),
            Self::Off => ResultCacheUse::Off.name().to_owned(),
            Self::NotCacheable(reason) => format!("{} ({reason})", ResultCacheUse::NotCacheable.name()),
        }
    }
}

/// A planned query.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) run: Arc<QueryRun>,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) task: Arc<TaskContext>,
}

impl Answer {
    /// Its batches.
    pub(crate) fn batches(self, decision: Decision) -> BatchStream {
        match decision {
            Decision::Keyed(key) => self.find(key),
            Decision::Off => self.run(ResultCacheUse::Off),
            Decision::NotCacheable(_) => self.run(ResultCacheUse::NotCacheable),
        }
    }

    fn find(self, key: Arc<ResultKey>) -> BatchStream {
        let cache = Arc::clone(&self.engine.shared.results);
        match cache.find(&key) {
            Found::Hit(result) => replay(&result, &self.run),
            Found::Lead(lead) => {
                let (engine, schema, stats) =
                    (Arc::clone(&self.engine), self.plan.schema(), Arc::clone(&self.run.stats));
                record(&engine.cpu, lead, schema, self.run(ResultCacheUse::Miss), &stats)
            }
            // Waits where its rows are read and not where it is planned, which only so many do at a time.
            Found::Follow(follow) => stream::once(async move {
                match follow.ended().await {
                    Ended::Kept(result) => {
                        cache.count_shared();
                        replay(&result, &self.run)
                    }
                    Ended::NotKept => self.run(ResultCacheUse::Miss),
                    Ended::Abandoned => self.find(key),
                }
            })
            .flatten()
            .boxed(),
        }
    }

    fn run(self, used: ResultCacheUse) -> BatchStream {
        self.run.stats.set_result_cache(used);
        run_plan(&self.engine.cpu, &self.run, self.plan, self.task)
    }
}

/// The batches of a kept answer, for `run`.
pub(crate) fn replay(result: &Arc<StoredResult>, run: &QueryRun) -> BatchStream {
    run.stats.set_result_cache(ResultCacheUse::Hit);
    let state = (Arc::clone(result), 0, Arc::clone(&run.stats));
    stream::unfold(state, |(result, next, stats)| async move {
        let batch = result.batches.get(next).cloned()?;
        QueryStats::add(&stats.rows_produced, batch.num_rows() as u64);
        Some((Ok(batch), (result, next + 1, stats)))
    })
    .boxed()
}
