//! EXPLAIN (COST): what a query will read of each table, before it reads a row.

use serde_json::{Value, json};

use crate::scan::estimate::ScanEstimate;

/// The sums over all scans.
struct Total {
    requests: u64,
    bytes: u64,
    at_most: bool,
}

fn total(estimates: &[ScanEstimate]) -> Total {
    Total {
        requests: estimates.iter().map(|scan| scan.list_requests + scan.reads.requests).sum(),
        bytes: estimates.iter().map(|scan| scan.reads.bytes).sum(),
        at_most: estimates.iter().any(|scan| scan.reads.at_most.is_some()),
    }
}

fn at_most(is_bound: bool) -> &'static str {
    if is_bound { "at most " } else { "" }
}

/// As lines.
pub(super) fn lines(estimates: &[ScanEstimate]) -> Vec<String> {
    let mut lines = Vec::new();
    for scan in estimates {
        let ScanEstimate { report, reads, .. } = scan;
        lines.push(format!("Scan of {}", report.table));
        if report.partitions_total > 0 {
            let projected = if report.partitions_are_projected { " (projected)" } else { "" };
            lines.push(format!("  Partitions: {} of {}{projected}", report.partitions_kept, report.partitions_total));
        }
        lines.push(format!("  Files: {} of {}", reads.files, report.files_total));
        if !scan.is_whole_files {
            lines.push(format!("  Row groups: {} of {}", reads.row_groups, reads.row_groups_total));
        }
        let bound = at_most(reads.at_most.is_some());
        lines.push(format!(
            "  Requests: {bound}{}, {} of them for lists",
            reads.requests + scan.list_requests,
            scan.list_requests
        ));
        let reason = reads.at_most.map(|reason| format!(" ({reason})")).unwrap_or_default();
        lines.push(format!("  Bytes: {bound}{}{reason}", reads.bytes));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let Total { requests, bytes, at_most: is_bound } = total(estimates);
    lines.push(format!("Cost: {}{requests} requests, {bytes} bytes", at_most(is_bound)));
    lines
}

/// As JSON.
pub(super) fn json(estimates: &[ScanEstimate]) -> Value {
    let scans: Vec<Value> = estimates
        .iter()
        .map(|ScanEstimate { report, reads, is_whole_files, list_requests }| {
            let mut scan = json!({
                "Table": report.table,
                "Files": reads.files,
                "Files Total": report.files_total,
                "List Requests": list_requests,
                "Requests": reads.requests + list_requests,
                "Bytes": reads.bytes,
                "Exact": reads.at_most.is_none(),
            });
            if report.partitions_total > 0 {
                scan["Partitions"] = json!(report.partitions_kept);
                scan["Partitions Total"] = json!(report.partitions_total);
            }
            if !is_whole_files {
                scan["Row Groups"] = json!(reads.row_groups);
                scan["Row Groups Total"] = json!(reads.row_groups_total);
            }
            if let Some(reason) = reads.at_most {
                scan["At Most"] = json!(reason);
            }
            scan
        })
        .collect();
    let Total { requests, bytes, at_most } = total(estimates);
    json!({ "Scans": scans, "Requests": requests, "Bytes": bytes, "Exact": !at_most })
}
