//! Datasets: rows of a table or a query that this server keeps in its memory.
//!
//! ```text
//! REFRESH ── refresh (one at a time for each dataset; a run in the history) ── ingest ── limnos_columnar::Table, complete
//!                                                                                │         │
//!           files listed, compared with the parts that are there by exact version┘         ├─ disk: written down, checksummed
//!                                                                                          └─ kept: swapped in
//! SELECT ── plan::lake ── kept::Datasets::open ── Loaded, pinned for the statement ── scan
//! ```
//! - What a dataset is, the catalog says; which rows it has, each server for itself. Servers on one catalog each keep their own
//!   copy, and each refreshes it; REFRESH as a statement is told to the others, which follow.
//! - Readers hold a [`kept::Loaded`], which never changes. A refresh makes another, and puts it in the place of the old one in
//!   one step; one that fails leaves the old.
//! - A [`kept::Loaded`] names what it was made of by a mark of the definition: rows of another definition are never read.
//! - The memory is a budget of its own ([`budget`]), apart from that of queries.

pub(crate) mod budget;
pub(crate) mod disk;
pub(crate) mod ingest;
pub(crate) mod kept;
pub(crate) mod pinned;
#[allow(dead_code, reason = "what computes on codes asks for the rest")]
pub(crate) mod predicate;
pub(crate) mod provider;
pub(crate) mod refresh;
#[allow(dead_code, reason = "what computes on codes asks for the rest")]
pub(crate) mod source;
mod sources;
pub(crate) mod statement;
#[allow(dead_code, reason = "what computes on codes asks for the rest")]
pub(crate) mod statistics;
#[allow(dead_code, reason = "what computes on codes asks for the rest")]
mod stream;
pub(crate) mod tables;

pub use kept::{Datasets, DueDataset};
