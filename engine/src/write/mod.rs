//! Record batches -> files in stores.

pub mod file;
