//! What hot data looks like in memory: immutable, encoded, with a zone map.

pub mod aggregate;
