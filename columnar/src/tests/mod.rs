//! Tables of all types, by chance: what goes in comes out, and predicates say what Arrow's kernels say.

mod build;
mod files;
mod predicates;
mod round_trip;
mod rows;
