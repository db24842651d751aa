//! EXPLAIN: the plan, and for each table what was pruned and what reading it costs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};

use super::hidden::without_marks;
use crate::Result;
use crate::execute::{QueryRun, ResultCacheUse};

/// Longest line shown: plans name all their files.
const LINE_CHARS_MAX: usize = 2000;

/// What ANALYZE measured.
pub(crate) struct Measured {
    pub(crate) planning: Duration,
    pub(crate) execution: Duration,
    pub(crate) rows: u64,
}

/// The one column of the answer, named as PostgreSQL names it.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

/// The lines of EXPLAIN, with metrics when the plan was run. `result_cache` is what the cache did, or would do.
pub(crate) fn explain(
    plan: &Arc<dyn ExecutionPlan>,
    run: &QueryRun,
    verbose: bool,
    measured: Option<&Measured>,
    result_cache: &str,
) -> Result<RecordBatch> {
    let text = match measured {
        Some(_) if run.stats.result_cache() != Some(ResultCacheUse::Hit) => {
            DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(verbose).to_string()
        }
        _ => displayable(plan.as_ref()).indent(verbose).to_string(),
    };
    let mut lines: Vec<String> = text.lines().map(shorten).collect();
    for report in run.reports() {
        lines.push(String::new());
        lines.extend(report.lines());
    }
    lines.push(String::new());
    lines.push(format!("Result cache: {result_cache}"));
    if let Some(measured) = measured {
        let stats = &run.stats;
        lines.push(format!("Rows: {}", measured.rows));
        lines.push(format!(
            "Bytes read: {}, from cache: {}, requests: {}",
            stats.bytes_scanned.load(Ordering::Relaxed),
            stats.bytes_cached.load(Ordering::Relaxed),
            stats.requests.load(Ordering::Relaxed)
        ));
        lines.push(format!("Peak memory: {} bytes", stats.peak_memory_bytes.load(Ordering::Relaxed)));
        lines.push(format!("Planning Time: {:.3} ms", measured.planning.as_secs_f64() * 1e3));
        lines.push(format!("Execution Time: {:.3} ms", measured.execution.as_secs_f64() * 1e3));
    }
    let column: ArrayRef = Arc::new(StringArray::from(lines));
    RecordBatch::try_new(schema(), vec![column]).map_err(|error| crate::Error::internal(error.to_string()))
}

/// The lines of EXPLAIN of a statement that writes: what it does, and the plan of its rows.
pub(crate) fn explain_write(
    headline: &str,
    plan: &Arc<dyn ExecutionPlan>,
    run: &QueryRun,
    verbose: bool,
) -> Result<RecordBatch> {
    let lines = explain(plan, run, verbose, None)?;
    let headline: ArrayRef = Arc::new(StringArray::from(vec![headline]));
    let headline = RecordBatch::try_new(schema(), vec![headline]);
    headline
        .and_then(|headline| arrow::compute::concat_batches(&schema(), [&headline, &lines]))
        .map_err(|error| crate::Error::internal(error.to_string()))
}

fn shorten(line: &str) -> String {
    let line = &without_marks(line);
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_string(),
    }
}
