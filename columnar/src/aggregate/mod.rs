//! Groups on codes: `GROUP BY` without hashing.
//!
//! Keys whose values are few come as codes. The codes of a row's keys are the digits of one number ([`KeySpace`]), which is the
//! place of its group in a dense array ([`Groups`]); accumulators ([`Count`], [`Sum`], [`Extreme`], [`Distinct`]) are arrays
//! over those places. Each thread has its own, and what they gathered is merged at the end. Values of keys are looked up
//! once per group, when all rows have been seen.
//!
//! Nothing here knows chunks: codes and values come as slices, so the loops are plain and the compiler can vectorise them.

mod accumulate;
mod distinct;
mod group;
mod key;
mod product;

pub use accumulate::{Count, Extreme, Order, Sum};
pub use distinct::Distinct;
pub use group::Groups;
pub use key::{KeyColumn, KeySpace, Rows};
pub use product::{Bounds, Expression, Operand};

/// The most groups that arrays are made for. At 16 bytes a group and accumulator this is 16 MiB for each, which is what a hash
/// table of as many groups would take, too; beyond it most places would be empty.
pub const GROUPS_MAX: usize = 1 << 20;

/// Rows worked on at a time: ids, values and intermediate products of so many stay in the first two levels of cache.
pub const BLOCK_ROWS: usize = 4096;
