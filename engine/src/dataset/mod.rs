//! Datasets: rows of a table or a query that this server keeps in its memory.

pub(crate) mod aggregate;
pub(crate) mod predicate;
pub(crate) mod provider;
pub(crate) mod source;
pub(crate) mod statistics;
mod stream;
