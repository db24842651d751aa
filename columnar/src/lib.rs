//! What hot data looks like in memory: immutable, encoded, with a zone map. Knows Arrow, and no query engine.
//!
//! The life of a dataset's rows, module by module:
//! 1. [`TableBuilder`] takes record batches, a [`Part`] at a time (what one source file gave), cuts them into chunks of
//!    [`CHUNK_ROWS`] and encodes each column of each chunk as narrow as its values allow.
//! 2. A [`Column`] is one column of one [`Chunk`]: integers as offsets from a base ([`Codes`]), strings as codes of the table's
//!    sorted [`Dictionary`], all else as the Arrow array that it was; beside it a [`Zone`] (NULLs, least, greatest, sum).
//! 3. [`Table`] is one version: chunks, dictionaries, exact [`ColumnStatistics`]. Versions share what they have in common.
//! 4. [`Predicate`] says which rows are wanted; [`Filter`] is one made ready for one table: constants are codes by then. It says
//!    of a chunk all, none, or which rows ([`Selection`]), comparing codes where they lie.
//! 5. [`Chunk::read`] makes Arrow arrays of the rows that were selected, of the columns that are asked for.
//! 6. [`aggregate`] groups rows by their codes.
//! 7. [`Table::save`] and [`Table::load`] keep a table in a folder, checksummed, a file a part.

pub mod aggregate;
mod build;
mod codes;
mod column;
mod dictionary;
mod error;
mod file;
mod filter;
mod intern;
mod native;
mod predicate;
mod statistics;
mod table;
mod zone;

#[cfg(test)]
mod tests;

pub use build::{Options, SortKey, TableBuilder};
pub use codes::{Codes, Packed};
pub use column::{Coded, Column};
pub use dictionary::Dictionary;
pub use error::{Error, Result};
pub use filter::{Filter, Selection, Verdict};
pub use native::stored_type;
pub use predicate::{Comparison, Evaluate, Predicate};
pub use statistics::ColumnStatistics;
pub use table::{Chunk, Part, PartInfo, Table};
pub use zone::{Bound, Zone};

/// Rows of a chunk. Small enough that a zone map skips what a query does not ask for and that a column of it stays in the second
/// level cache, large enough that what is done once a chunk costs nothing a row.
pub const CHUNK_ROWS: usize = 65_536;
