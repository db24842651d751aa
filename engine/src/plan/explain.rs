//! EXPLAIN: the plan, and for each table what was pruned and what reading it costs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use serde_json::{Value, json};

use super::cost;
use super::hidden::without_marks;
use crate::Result;
use crate::execute::{QueryRun, ResultCacheUse};
use crate::parse::ExplainFormat;
use crate::scan::estimate::ScanEstimate;

/// Longest line shown: plans name all their files.
const LINE_CHARS_MAX: usize = 2000;

/// What ANALYZE measured.
pub(crate) struct Measured {
    pub(crate) planning: Duration,
    pub(crate) execution: Duration,
    pub(crate) rows: u64,
}

/// All there is to tell of a query.
pub(crate) struct Explained<'a> {
    pub(crate) plan: &'a Arc<dyn ExecutionPlan>,
    pub(crate) run: &'a QueryRun,
    pub(crate) verbose: bool,
    pub(crate) format: ExplainFormat,
    /// With metrics when the plan was run.
    pub(crate) measured: Option<Measured>,
    /// What its scans will read, if that was asked.
    pub(crate) cost: Option<Vec<ScanEstimate>>,
    /// What the result cache did, or would do; `None` where there is no answer to keep.
    pub(crate) result_cache: Option<String>,
    /// What a statement that writes does with the rows.
    pub(crate) headline: Option<String>,
}

/// The one column of the answer, named as PostgreSQL names it.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

impl Explained<'_> {
    /// The answer: a row a line, or one row of JSON.
    pub(crate) fn batch(&self) -> Result<RecordBatch> {
        let rows = match self.format {
            ExplainFormat::Text => self.lines(),
            ExplainFormat::Json => {
                let text = serde_json::to_string_pretty(&self.json());
                vec![text.map_err(|error| crate::Error::internal(error.to_string()))?]
            }
        };
        let column: ArrayRef = Arc::new(StringArray::from(rows));
        RecordBatch::try_new(schema(), vec![column]).map_err(|error| crate::Error::internal(error.to_string()))
    }

    /// The cost alone is asked for: the plan says nothing of it.
    fn is_cost_alone(&self) -> bool {
        self.cost.is_some() && self.measured.is_none()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.headline.iter().cloned().collect();
        if !self.is_cost_alone() {
            // A plan that wasn't run has no metrics.
            let ran = self.measured.is_some() && self.run.stats.result_cache() != Some(ResultCacheUse::Hit);
            let text = match ran {
                true => DisplayableExecutionPlan::with_metrics(self.plan.as_ref()).indent(self.verbose).to_string(),
                false => displayable(self.plan.as_ref()).indent(self.verbose).to_string(),
            };
            lines.extend(text.lines().map(shorten));
            for report in self.run.reports() {
                lines.push(String::new());
                lines.extend(report.lines());
            }
            let datasets = self.run.datasets();
            if !datasets.is_empty() {
                lines.push(String::new());
                lines.extend(datasets);
            }
            if self.cost.is_some() || self.result_cache.is_some() {
                lines.push(String::new());
            }
        }
        if let Some(cost) = &self.cost {
            lines.extend(cost::lines(cost));
        }
        lines.extend(self.result_cache.iter().map(|said| format!("Result cache: {said}")));
        if let Some(measured) = &self.measured {
            let stats = &self.run.stats;
            lines.push(format!("Rows: {}", measured.rows));
            lines.push(format!(
                "Bytes read: {}, from cache: {}, requests: {}",
                stats.bytes_scanned.load(Ordering::Relaxed),
                stats.bytes_cached.load(Ordering::Relaxed),
                stats.requests.load(Ordering::Relaxed)
            ));
            lines.push(format!("Peak memory: {} bytes", stats.peak_memory_bytes.load(Ordering::Relaxed)));
            lines.push(format!("Planning Time: {:.3} ms", milliseconds(measured.planning)));
            lines.push(format!("Execution Time: {:.3} ms", milliseconds(measured.execution)));
        }
        lines
    }

    /// As PostgreSQL's: a list of one object whose `Plan` is a tree of nodes.
    fn json(&self) -> Value {
        let mut answer = json!({});
        if let Some(headline) = &self.headline {
            answer["Statement"] = json!(headline);
        }
        if !self.is_cost_alone() {
            answer["Plan"] = node(self.plan);
            let datasets = self.run.datasets();
            if !datasets.is_empty() {
                answer["Datasets"] = json!(datasets);
            }
            answer["Scans"] = self.run.reports().iter().map(|report| report.json()).collect();
        }
        if let Some(cost) = &self.cost {
            answer["Cost"] = cost::json(cost);
        }
        if let Some(said) = &self.result_cache {
            answer["Result Cache"] = json!(said);
        }
        if let Some(measured) = &self.measured {
            let stats = &self.run.stats;
            answer["Rows"] = json!(measured.rows);
            answer["Bytes Read"] = json!(stats.bytes_scanned.load(Ordering::Relaxed));
            answer["Bytes From Cache"] = json!(stats.bytes_cached.load(Ordering::Relaxed));
            answer["Requests"] = json!(stats.requests.load(Ordering::Relaxed));
            answer["Peak Memory Bytes"] = json!(stats.peak_memory_bytes.load(Ordering::Relaxed));
            answer["Planning Time"] = json!(milliseconds(measured.planning));
            answer["Execution Time"] = json!(milliseconds(measured.execution));
        }
        json!([answer])
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn node(plan: &Arc<dyn ExecutionPlan>) -> Value {
    let shown = displayable(plan.as_ref()).one_line().to_string();
    let mut node = json!({ "Node Type": plan.name(), "Details": shorten(shown.trim_end()) });
    let children: Vec<Value> = plan.children().into_iter().map(self::node).collect();
    if !children.is_empty() {
        node["Plans"] = Value::Array(children);
    }
    node
}

fn shorten(line: &str) -> String {
    let line = &without_marks(line);
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_string(),
    }
}
