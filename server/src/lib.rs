//! WHO ASKS, AND HOW THEY ARE ANSWERED.
//!
//! The life of a request: a connection ([`pg`] or [`http`]) is authenticated ([`auth`]: an [`auth::Identity`]), its
//! statement goes through the one door ([`query::QueryService`]) to the engine, and the answer is encoded back.

pub mod auth;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod limits;
pub mod pg;
pub mod query;
pub mod serve;
pub mod telemetry;
