//! The interactive shell: what people type, and what they see.
//!
//! The life of a line:
//! 1. [`editor`] reads it (history, completion, highlighting), until [`lex`] says that a statement has ended.
//! 2. [`statement`] cuts it into statements and backslash commands; [`variable`] puts `:name` in.
//! 3. [`command`] does what a backslash command says; a statement goes to the [`backend`], which knows where.
//! 4. [`answer`] takes rows as they come, [`table`] lays them out, [`output`] shows them: on the terminal, in a pager, in a
//!    file. [`bar`] tells how far it is while nothing is to be seen, [`chart`] draws the last answer.
//!
//! [`shell`] holds all of it together. Nothing here knows how SQL is run: [`backend::Backend`] is the only way out.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what talks to people")]

pub mod answer;
pub mod backend;
pub mod bar;
pub mod chart;
pub mod command;
pub mod editor;
pub mod lex;
pub mod output;
pub mod shell;
pub mod statement;
pub mod table;
pub mod variable;

pub use backend::{Backend, Cancel, Column, Notice, Place, Progress, Receiver, RunError, Side, SqlError, Transaction};
pub use shell::{Ending, Options, Shell};
