//! Totals and means. Engines are compared over the queries that all of them have times of; ratios to the best peer, over
//! those that Limnos and a peer have.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::megabytes;
use crate::suite::{Figures, Measured, Participant, Results};

/// Ours, and builds of ours that are measured beside it.
const OURS: [&str; 2] = ["limnos", "baseline"];

/// Ours by the best peer's of a query, where both are.
pub(super) fn ratio(participants: &[Participant], measured: &Measured) -> Option<f64> {
    let figures = |wanted: &dyn Fn(&str) -> bool| {
        let outcomes = participants.iter().zip(&measured.outcomes).filter(|(one, _)| wanted(&one.label));
        outcomes.filter_map(|(_, outcome)| Some(outcome.as_ref().ok()?.median_ms())).min_by(f64::total_cmp)
    };
    Some(figures(&|label| label == OURS[0])? / figures(&|label| !OURS.contains(&label))?)
}

/// One engine over the queries that all have.
pub(super) struct Total {
    pub(super) total_ms: f64,
    pub(super) mean_ms: f64,
    /// Of all queries that it has times of.
    pub(super) peak_bytes: Option<u64>,
    pub(super) cpu_seconds: Option<f64>,
    /// Without times.
    pub(super) without: usize,
}

/// A run in a few numbers.
pub(super) struct Summary {
    /// In the engines' order.
    pub(super) totals: Vec<Total>,
    /// Queries that all engines have times of.
    pub(super) common: usize,
    pub(super) ratio: Option<f64>,
    /// The queries furthest behind.
    pub(super) worst: Vec<(String, f64)>,
    pub(super) to_baseline: Option<f64>,
    pub(super) requests: Option<u64>,
    pub(super) bytes: Option<u64>,
}

impl Summary {
    pub(super) fn of(results: &Results) -> Self {
        let common: Vec<&Measured> =
            results.measured.iter().filter(|measured| measured.outcomes.iter().all(Result::is_ok)).collect();
        let total = |index: usize| {
            let all = || results.measured.iter().filter_map(|measured| measured.outcomes[index].as_ref().ok());
            let times: Vec<f64> =
                common.iter().filter_map(|one| one.outcomes[index].as_ref().ok()).map(Figures::median_ms).collect();
            let cpu: Option<f64> = common.iter().map(|one| one.outcomes[index].as_ref().ok()?.cpu_seconds).sum();
            Total {
                total_ms: times.iter().sum(),
                mean_ms: geometric_mean(&times).unwrap_or(0.0),
                peak_bytes: all().filter_map(|figures| figures.peak_bytes).max(),
                cpu_seconds: cpu,
                without: results.measured.len() - all().count(),
            }
        };
        let mut ratios: Vec<(String, f64)> = results
            .measured
            .iter()
            .filter_map(|measured| Some((measured.query.clone(), ratio(&results.participants, measured)?)))
            .collect();
        let values: Vec<f64> = ratios.iter().map(|(_, ratio)| *ratio).collect();
        ratios.sort_by(|left, right| right.1.total_cmp(&left.1));
        ratios.truncate(10);
        let ours = || results.measured.iter().filter_map(|measured| measured.outcomes.first()?.as_ref().ok());
        Self {
            totals: (0..results.participants.len()).map(total).collect(),
            common: common.len(),
            ratio: geometric_mean(&values),
            worst: ratios,
            to_baseline: to_baseline(results),
            requests: ours().map(|figures| figures.requests).sum(),
            bytes: ours().map(|figures| figures.bytes).sum(),
        }
    }

    /// For a terminal.
    pub(super) fn text(&self, results: &Results) -> String {
        let mut text = format!("over the {} queries that all have:\n", self.common);
        for (participant, total) in results.participants.iter().zip(&self.totals) {
            let _it_is_a_string = writeln!(
                text,
                "{:>16}  geometric mean {:>8.1} ms  total {:>7.2} s  cpu {:>7} s  peak {:>6} MB  without times {}  {}",
                participant.label,
                total.mean_ms,
                total.total_ms / 1e3,
                total.cpu_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2}")),
                total.peak_bytes.map_or("-".to_owned(), |bytes| format!("{:.0}", megabytes(bytes))),
                total.without,
                participant.version,
            );
        }
        if let Some(ratio) = self.ratio {
            let _it_is_a_string = writeln!(text, "limnos by the best peer, geometric mean: {ratio:.2}");
        }
        if let Some(ratio) = self.to_baseline {
            let _it_is_a_string = writeln!(text, "limnos by the baseline, geometric mean: {ratio:.3}");
        }
        if let (Some(requests), Some(bytes)) = (self.requests, self.bytes) {
            let _it_is_a_string = writeln!(text, "limnos: {requests} requests, {:.1} MB", megabytes(bytes));
        }
        text
    }

    pub(super) fn json(&self, results: &Results) -> Value {
        let engine = |(participant, total): (&Participant, &Total)| {
            json!({
                "engine": participant.label, "mean_ms": total.mean_ms, "total_ms": total.total_ms,
                "cpu_seconds": total.cpu_seconds, "peak_bytes": total.peak_bytes, "without_times": total.without,
            })
        };
        let engines: Vec<Value> = results.participants.iter().zip(&self.totals).map(engine).collect();
        json!({
            "queries_of_all": self.common, "ratio_to_best_peer": self.ratio, "ratio_to_baseline": self.to_baseline,
            "requests": self.requests, "bytes": self.bytes, "engines": engines,
        })
    }
}

fn to_baseline(results: &Results) -> Option<f64> {
    let index = results.participants.iter().position(|participant| participant.label == OURS[1])?;
    let ratios: Vec<f64> = results
        .measured
        .iter()
        .filter_map(|one| {
            let (ours, baseline) = (one.outcomes.first()?.as_ref().ok()?, one.outcomes[index].as_ref().ok()?);
            Some(ours.median_ms() / baseline.median_ms())
        })
        .collect();
    geometric_mean(&ratios)
}

fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|value| value.max(1e-9).ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_geometric_and_ratios_to_the_best_peer() {
        assert_eq!(geometric_mean(&[]), None);
        assert!((geometric_mean(&[1.0, 4.0]).unwrap_or(0.0) - 2.0).abs() < 1e-9);
        let participant = |label: &str| Participant {
            label: label.to_owned(),
            version: String::new(),
            load: None,
            loaded_bytes: None,
        };
        let participants: Vec<Participant> = ["limnos", "baseline", "a", "b"].map(participant).to_vec();
        let figures = |ms: f64| Ok(Figures { ms: vec![ms], ..Figures::default() });
        let outcomes = vec![figures(3.0), figures(1.0), figures(2.0), Err("no".to_owned())];
        let measured = Measured { query: "q".to_owned(), outcomes };
        assert!((ratio(&participants, &measured).unwrap_or(0.0) - 1.5).abs() < 1e-9);
        let summary = Summary::of(&Results { participants, measured: vec![measured] });
        assert_eq!((summary.common, summary.totals[3].without), (0, 1));
        assert!((summary.to_baseline.unwrap_or(0.0) - 3.0).abs() < 1e-9);
    }
}
