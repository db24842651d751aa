//! A suite's section of `RESULTS.md`, between two comments that name it, so that a run replaces its own alone.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::summary::{self, Summary};
use super::{Setting, megabytes, read_or_empty, shown};
use crate::concurrency::Load;
use crate::suite::{Outcome, Results};

/// What a suite's run found.
pub(super) fn section(title: &str, name: &str, results: &Results, summary: &Summary, setting: &Setting) -> String {
    let mut text = format!("## {title}\n\n{}\n\n", setting.sentence());
    if let Some(ratio) = summary.ratio {
        let _it_is_a_string = write!(text, "Limnos by the best peer of each query, geometric mean: **{ratio:.2}**. ");
        let worst: Vec<String> =
            summary.worst.iter().take(5).map(|(query, ratio)| format!("{query} {ratio:.1}")).collect();
        let _it_is_a_string = writeln!(text, "Furthest behind: {}.\n", worst.join(", "));
    }
    let _it_is_a_string = writeln!(
        text,
        "| engine | geometric mean ms | total s | CPU s | peak MB | load s | without times |\n|---|--:|--:|--:|--:|--:|--:|"
    );
    let number = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    for (participant, total) in results.participants.iter().zip(&summary.totals) {
        let _it_is_a_string = writeln!(
            text,
            "| {} ({}) | {:.1} | {:.2} | {} | {} | {} | {} |",
            participant.label,
            participant.version,
            total.mean_ms,
            total.total_ms / 1e3,
            number(total.cpu_seconds, 2),
            number(total.peak_bytes.map(megabytes), 0),
            number(participant.load.map(|load| load.as_secs_f64()), 1),
            total.without
        );
    }
    let count = summary.common;
    let _it_is_a_string = writeln!(text, "\nMeans, totals and CPU over the {count} queries that all have times of.");
    if let (Some(requests), Some(bytes)) = (summary.requests, summary.bytes) {
        let _it_is_a_string =
            writeln!(text, "Limnos: {requests} requests, {:.1} MB, each query once.", megabytes(bytes));
    }
    let _it_is_a_string = writeln!(text, "\n![{title}](results/{name}.svg)\n");
    text.push_str(&queries(results));
    text
}

fn queries(results: &Results) -> String {
    let labels: Vec<&str> = results.participants.iter().map(|participant| participant.label.as_str()).collect();
    let mut text =
        format!("| ms | {} | ratio | requests | MB |\n|---|{}\n", labels.join(" | "), "--:|".repeat(labels.len() + 3));
    let mut remarks = Vec::new();
    for measured in &results.measured {
        let times: Vec<String> = measured.outcomes.iter().map(shown).collect();
        let ratio =
            summary::ratio(&results.participants, measured).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let ours = measured.outcomes.first().and_then(|outcome| outcome.as_ref().ok());
        let requests = ours.and_then(|figures| figures.requests).map_or("-".to_owned(), |count| count.to_string());
        let bytes = ours.and_then(|figures| figures.bytes);
        let bytes = bytes.map_or("-".to_owned(), |bytes| format!("{:.1}", megabytes(bytes)));
        let _it_is_a_string =
            writeln!(text, "| {} | {} | {ratio} | {requests} | {bytes} |", measured.query, times.join(" | "));
        for (label, outcome) in labels.iter().zip(&measured.outcomes) {
            if let Some(remark) = remark(outcome) {
                remarks.push(format!("- {} {label}: {remark}", measured.query));
            }
        }
    }
    if !remarks.is_empty() {
        let _it_is_a_string = write!(text, "\n{}\n", remarks.join("\n"));
    }
    text
}

fn remark(outcome: &Outcome) -> Option<String> {
    match outcome {
        Ok(figures) => figures.remark.clone(),
        // Its first line: engines go on with plans and advice.
        Err(error) => Some(error.lines().next().unwrap_or_default().chars().take(160).collect()),
    }
}

/// A table of what so many clients got.
pub(super) fn loads(loads: &[Load]) -> String {
    let mut text = "| clients | queries/s | p50 ms | p99 ms | longest ms | errors | CPU s | peak MB |\n".to_owned();
    text.push_str("|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for load in loads {
        let _it_is_a_string = writeln!(
            text,
            "| {} | {:.2} | {:.0} | {:.0} | {:.0} | {} | {:.1} | {:.0} |",
            load.clients,
            load.queries_per_second(),
            load.p50_ms,
            load.p99_ms,
            load.max_ms,
            load.errors.len(),
            load.cpu_seconds,
            megabytes(load.peak_bytes)
        );
    }
    text
}

/// Puts a suite's section in the place of its last one, or at the end.
pub(super) fn replace(path: &Path, name: &str, section: &str) -> Result<()> {
    let text = replaced(&read_or_empty(path)?, name, section);
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn replaced(text: &str, name: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let section = format!("{begin}\n{}\n{end}", section.trim_end());
    match (text.find(&begin), text.find(&end)) {
        (Some(from), Some(to)) if from < to => format!("{}{section}{}", &text[..from], &text[to + end.len()..]),
        _ => format!("{}\n\n{section}\n", text.trim_end()).trim_start().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let one = replaced("# Results\n", "a", "first\n");
        let two = replaced(&one, "b", "second");
        let three = replaced(&two, "a", "third");
        assert_eq!(
            three,
            "# Results\n\n<!-- a -->\nthird\n<!-- end of a -->\n\n<!-- b -->\nsecond\n<!-- end of b -->\n"
        );
    }
}
