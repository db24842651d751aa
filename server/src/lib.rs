//! WHO ASKS, AND HOW THEY ARE ANSWERED.
//!
//! The life of a request: a connection ([`pg`] or [`http`]) is authenticated ([`auth`]: an [`auth::Identity`]), its
//! statement goes through the one door ([`query::QueryService`]) to the engine, and the answer is encoded back.
//!
//! The life of the process: [`cli`] reads its [`config`], [`serve`] opens the catalog and the listeners and closes them
//! again. [`schedule`] starts what runs by itself, [`deliver`] tells of reports. [`script`] runs a text of several statements for those who have no
//! protocol of their own; [`demo`] makes a lake.

pub mod auth;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod demo;
pub mod http;
pub mod limits;
pub mod pg;
pub mod query;
pub mod schedule;
pub mod script;
pub mod serve;
pub mod telemetry;
pub mod tls;
