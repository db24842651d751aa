//! End-to-end tests: a real server, real clients, S3 over HTTP. What SQL can say is in `sql/slt/` instead, and [`slt`] runs
//! it. Every error is asserted by its SQLSTATE and by the object it must name.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "tests are steered by the environment, not by a configuration")]

mod ahead;
mod block_cache;
mod columnar;
mod concurrency;
mod conformance;
mod connections;
mod copy;
mod cost;
mod counts;
mod crawlers;
mod datasets;
mod drift;
mod durability;
mod errors;
mod facts;
mod fuzz;
mod hostile;
mod input;
mod late;
mod maintenance;
mod memory;
mod monitoring;
mod partitions;
mod paths;
mod plans;
mod projection;
mod protocol;
mod pruning;
mod recorded;
mod rejects;
mod reports;
mod results;
mod roles;
mod s3_faults;
mod s3_proxy;
mod schedules;
mod shared_catalog;
mod slt;
mod staleness;
mod stores;
mod tls;
mod tpch;
mod transactions;
mod types;
mod writes;

/// Not a test: what [`limnos_tests::process::ServerProcess`] runs in a process of its own. Over at once otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn child_server() {
    limnos_tests::process::serve_if_child().await.unwrap();
}
