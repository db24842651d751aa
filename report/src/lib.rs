//! Results of queries as documents that people open: a page of HTML with charts, a workbook of XLSX, Markdown.
//!
//! ```text
//! batches ── Section (the first rows, and how many there were) ── Document ── html | markdown
//! batches ── Workbook, row by row ────────────────────────────────────────── xlsx
//! ```
//! 1. [`document`]: what a report holds, and which charts it shows.
//! 2. [`cell`]: arrow's values as what all three show.
//! 3. [`chart`]: rows -> points -> axes and shapes.
//! 4. [`html`], [`markdown`], [`xlsx`]: the documents.
//!
//! Values are whatever the lake holds, so every one is escaped where it is written. Nothing here reads a clock, a file or a
//! network, and what comes out asks for none either: a page opens offline.

#![warn(missing_docs)]

pub mod cell;
pub mod chart;
pub mod document;
pub mod error;
pub mod html;
pub mod markdown;
pub mod xlsx;

pub use document::{Chart, ChartKind, Charts, Document, Section};
pub use error::{Error, Result};
pub use xlsx::Workbook;
