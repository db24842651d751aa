//! A table in a folder, in its own encoded form.
//!
//! ```text
//! <folder>/
//!   manifest                 schema, order, dictionaries, the parts' keys, files and sizes; written last, so it decides
//!   part-<32 hex digits>     the chunks of one part, column by column; never changed once it has this name
//!   *.new                    being written; left behind by a process that died, removed by the next save
//! ```
//! Every file begins with eight bytes that say what it is and of which version. What follows are frames: length, CRC-32 of the
//! place and the content, content. A frame's length is checked against what is left of the file before memory is taken for it.
//! Codes of dictionaries are written as the values' ids, which stay when codes move: so a part is written once. All numbers are
//! little-endian.

mod bytes;
mod frame;
mod load;
mod save;
mod value;

/// The manifest's name.
const MANIFEST: &str = "manifest";

/// What a manifest begins with: its kind and the version of the form.
const MANIFEST_MAGIC: &[u8; 8] = b"LIMDATA1";

/// What a part begins with.
const PART_MAGIC: &[u8; 8] = b"LIMPART1";

/// What a file is called while it is written.
const UNFINISHED: &str = ".new";

const PART_PREFIX: &str = "part-";

fn part_name(id: u128) -> String {
    format!("{PART_PREFIX}{id:032x}")
}

// Buffers are written as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"));
