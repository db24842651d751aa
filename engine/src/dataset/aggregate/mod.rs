//! Aggregation of datasets on codes: `GROUP BY` without hashing.
//!
//! 1. [`rule::AggregateOnCodes`] finds an aggregation whose rows come straight from a dataset, and whose keys have few values together
//!    (`key`: text with a dictionary, integers and dates of a small range, Booleans, and expressions of one such column).
//! 2. `gather` chooses how each aggregate is gathered: by arrays of ours where its argument is an integer underneath (`integer`),
//!    else by DataFusion's accumulator.
//! 3. [`exec::CodeAggregateExec`] runs it: threads (`worker`) take chunks, each gathers for itself, and one merges.
//!
//! It is done unless `SET dataset_aggregation = off`; then DataFusion aggregates, with the same answer.

mod exec;
mod gather;
mod integer;
mod key;
mod rule;
mod scan;
mod worker;

pub(crate) use rule::with_aggregation_on_codes;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
