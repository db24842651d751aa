//! [`Metrics`]: what the server counts -> Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

/// Figures at one moment. Whoever owns a figure fills it in; see [`Metrics::new`].
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// PostgreSQL connections that are open.
    pub connections: u64,
    /// Most connections that may be.
    pub connections_max: u64,
    /// Executions waiting for a permit.
    pub queries_queued: u64,
    /// Executions that run.
    pub queries_running: u64,
    /// Executions that ended well since the start.
    pub queries_succeeded: u64,
    /// Executions that ended with an error.
    pub queries_failed: u64,
    /// Executions that were cancelled.
    pub queries_cancelled: u64,
    /// Bytes read from stores.
    pub scanned_bytes: u64,
    /// Requests to stores.
    pub store_requests: u64,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// What queries hold at the moment.
    pub memory_used_bytes: u64,
    /// What they may hold.
    pub memory_limit_bytes: u64,
    /// Footers that were in the cache.
    pub footer_cache_hits: u64,
    /// Footers that were not.
    pub footer_cache_misses: u64,
}

/// The server's metrics.
pub struct Metrics {
    started: Instant,
    sample: Box<dyn Fn() -> Sample + Send + Sync>,
}

impl Metrics {
    /// Metrics that ask `sample` on each scrape.
    pub fn new(sample: impl Fn() -> Sample + Send + Sync + 'static) -> Self {
        Self { started: Instant::now(), sample: Box::new(sample) }
    }

    /// The text of one scrape.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "# HELP limnos_build_info The version that runs.\n# TYPE limnos_build_info gauge\nlimnos_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        );
        let uptime = self.started.elapsed().as_secs_f64();
        metric(&mut out, "uptime_seconds", "gauge", "Time since the start.", &[("", uptime)]);
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of the whole process.";
            metric(&mut out, "process_resident_bytes", "gauge", help, &[("", bytes as f64)]);
        }
        render_sample(&(self.sample)(), &mut out);
        out
    }
}

fn render_sample(sample: &Sample, out: &mut String) {
    let count = |value: u64| value as f64;
    metric(out, "connections", "gauge", "Open PostgreSQL connections.", &[("", count(sample.connections))]);
    metric(out, "connections_max", "gauge", "Most that may be open.", &[("", count(sample.connections_max))]);
    metric(
        out,
        "queries",
        "gauge",
        "Query executions that have not ended, by state.",
        &[("{state=\"queued\"}", count(sample.queries_queued)), ("{state=\"running\"}", count(sample.queries_running))],
    );
    metric(
        out,
        "queries_total",
        "counter",
        "Query executions that have ended, by state.",
        &[
            ("{state=\"succeeded\"}", count(sample.queries_succeeded)),
            ("{state=\"failed\"}", count(sample.queries_failed)),
            ("{state=\"cancelled\"}", count(sample.queries_cancelled)),
        ],
    );
    metric(out, "scanned_bytes_total", "counter", "Bytes read from stores.", &[("", count(sample.scanned_bytes))]);
    metric(out, "store_requests_total", "counter", "Requests to stores.", &[("", count(sample.store_requests))]);
    metric(out, "spilled_bytes_total", "counter", "Bytes spilled to disk.", &[("", count(sample.spilled_bytes))]);
    metric(out, "memory_used_bytes", "gauge", "What queries hold.", &[("", count(sample.memory_used_bytes))]);
    metric(out, "memory_limit_bytes", "gauge", "What queries may hold.", &[("", count(sample.memory_limit_bytes))]);
    metric(
        out,
        "footer_cache_total",
        "counter",
        "Lookups of Parquet footers, by outcome.",
        &[
            ("{outcome=\"hit\"}", count(sample.footer_cache_hits)),
            ("{outcome=\"miss\"}", count(sample.footer_cache_misses)),
        ],
    );
}

fn metric(out: &mut String, name: &str, kind: &str, help: &str, values: &[(&str, f64)]) {
    // Writing to a String can't fail.
    let _ = write!(out, "# HELP limnos_{name} {help}\n# TYPE limnos_{name} {kind}\n");
    for (labels, value) in values {
        let _ = writeln!(out, "limnos_{name}{labels} {value}");
    }
}

/// The process's resident memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: u64 = status.lines().find(|line| line.starts_with("VmRSS:"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_declared_and_well_formed() {
        let metrics = Metrics::new(|| Sample { scanned_bytes: 12_345_678_901, queries_failed: 2, ..Sample::default() });
        let text = metrics.render();
        assert!(text.contains("\nlimnos_scanned_bytes_total 12345678901\n"), "{text}");
        assert!(text.contains("\nlimnos_queries_total{state=\"failed\"} 2\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = name.split('{').next().unwrap_or_default();
            assert!(text.contains(&format!("# TYPE {name} ")) && text.contains(&format!("# HELP {name} ")), "{line}");
        }
    }
}
