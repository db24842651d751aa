//! ORC files: tail -> stripes that can't be excluded -> streams of the wanted columns -> batches.
//!
//! ```text
//! "ORC" | stripe: indexes, streams, footer | stripe ... | metadata: statistics of stripes | footer | postscript | length
//! ```
//! [`tail`] reads the end of a file once per version ([`OrcTails`]) and tells its facts; [`source`] leaves out stripes by their
//! statistics, [`stripe`] fetches what a stripe has of the wanted columns, [`column`] makes arrays of it through [`rle`] and
//! [`stream`], batch by batch.
//!
//! A file says how many values, bytes and columns it has, and may lie. The decoders of `orc_rust` believe it: a list's length
//! ends the process (it allocates first), a type that contains itself overflows the stack, a block may unpack to anything, and
//! what is cut off panics. So we decode ourselves: nothing is allocated for what was not read yet, and `orc_rust` unpacks
//! LZO ([`super::block`]) and is what tests compare with.

mod column;
mod protobuf;
mod rle;
mod source;
mod statistics;
mod stream;
mod stripe;
mod tail;
mod types;

pub use source::OrcSource;
pub use tail::{OrcTails, Tail, read_schema};

use super::fault::{Decoded, Fault};

/// A stream has fewer values than its stripe has rows.
fn short() -> Fault {
    Fault::corrupt("a stream of a column ends too early")
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(in crate::scan) use tests::{file as sample_file, sample};
