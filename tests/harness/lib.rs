//! What the end-to-end tests are made of: a real server, a real S3 server over HTTP, lakes to query, and the runner of
//! the SQL tests. Nothing here is a test; those are in `e2e/` and `sql/slt/`.
#![allow(clippy::missing_errors_doc, reason = "every error here ends a test")]
#![allow(clippy::disallowed_methods, reason = "tests are steered by the environment, not by a configuration")]
#![allow(clippy::type_complexity, reason = "tests")]

pub mod client;
pub mod csv_answers;
pub mod lake;
pub mod messages;
pub mod paths;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod server;
pub mod slt;
pub mod tls;
