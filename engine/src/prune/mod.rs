//! A predicate -> the partitions and row groups it can't exclude, and why the rest was not dropped.
//!
//! Nothing here does I/O: partitions come from the catalog or follow from a table's properties, row groups come from
//! footers that were read.

mod index_cache;
mod nan;
mod partition;
pub mod projection;
mod row_group;
mod source;
mod stripe;

pub(crate) use index_cache::PartitionIndexes;
pub(crate) use nan::decidable;
pub(crate) use partition::MAX_IN_LIST;
pub(crate) use partition::matching;
pub use partition::{PartitionIndex, is_partition_only};
pub(crate) use row_group::{prune_files, prune_row_groups};
pub use source::{KeptPartitions, Partitions};
pub(crate) use stripe::StripePruner;
