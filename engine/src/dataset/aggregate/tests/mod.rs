//! Every answer must be the same with aggregation on codes and without.

mod dashboard;
mod harness;
mod random;
mod tpch;
