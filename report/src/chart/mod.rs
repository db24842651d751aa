//! Charts: rows -> [`Plot`] (points) -> [`scale`] (axes) -> [`svg`] (shapes).

pub(crate) mod plot;
mod scale;
pub(crate) mod svg;

pub(crate) use plot::{Plot, XAxis};
