//! A predicate -> the partitions and row groups it can't exclude, and why the rest was not dropped.
//!
//! Nothing here does I/O: partitions come from the catalog, row groups from footers that were read.

mod nan;
mod partition;
mod row_group;

pub(crate) use nan::decidable;
pub use partition::{PartitionIndex, is_partition_only};
pub(crate) use row_group::{prune_files, prune_row_groups};
