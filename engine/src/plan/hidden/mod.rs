//! Hidden columns in queries: `"$path"` and its kin are found wherever a table of files is, and shown where they are named only.
//!
//! DataFusion has no hidden columns, so a table has them only where the query names one, and what stands for "all columns" is
//! told to leave them out. Before anything else is rewritten:
//!
//! 1. [`resolve`]: each `"$path"` is traced to the table that it is of, through aliases, subqueries and WITH queries. The column
//!    becomes `"$path<0x1f>3"` and the table `"orders<0x1f>3.1"`: 3 is the naming of the table in the query, 1 the columns it
//!    shall have. No other column is called so; joins with NATURAL and USING can't see it.
//! 2. [`wildcard`]: `*` and `t.*` leave out what the tables got.
//! 3. [`planner`]: the marked table is scanned under its own name.
//!
//! What follows 0x1f is never shown ([`without_marks`]).

mod planner;
mod resolve;
mod wildcard;

use std::borrow::Cow;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

pub(crate) use planner::HiddenTables;
pub(crate) use resolve::resolve;
pub(super) use wildcard::{exclude, excluded_of, is_hidden_only};

use super::pg_catalog::output_name::HIDDEN;
use crate::scan::hidden::{HiddenColumns, HiddenKind};

/// A table's name with what was added to it.
pub(super) struct Marked<'a> {
    /// The name that the catalog knows.
    pub(super) name: &'a str,
    number: usize,
    kinds: u8,
}

impl<'a> Marked<'a> {
    /// The parts of a marked name; `None` for any other.
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let (name, mark) = name.split_once(HIDDEN)?;
        let (number, kinds) = mark.split_once('.')?;
        Some(Self { name, number: number.parse().ok()?, kinds: kinds.parse().ok()? })
    }

    fn columns_named(&self) -> impl Iterator<Item = (HiddenKind, String)> {
        let (number, kinds) = (self.number, self.kinds);
        let wanted = HiddenKind::ALL.into_iter().filter(move |kind| kinds & kind.bit() != 0);
        wanted.map(move |kind| (kind, column_name(kind, number)))
    }

    /// The columns that the table shall have.
    pub(super) fn columns(&self) -> HiddenColumns {
        HiddenColumns::new(self.columns_named())
    }
}

/// The name of a hidden column of the table that is number `number` in a query.
fn column_name(kind: HiddenKind, number: usize) -> String {
    format!("{}{HIDDEN}{number}", kind.name())
}

/// A name as it was written: without its mark.
pub(super) fn unmarked(ident: &Ident) -> Ident {
    match ident.value.split_once(HIDDEN) {
        Some((name, _)) => Ident { value: name.to_owned(), ..ident.clone() },
        None => ident.clone(),
    }
}

/// The mark of a table's last name.
fn mark_of(name: &ObjectName) -> Option<Marked<'_>> {
    Marked::of(&name.0.last()?.as_ident()?.value)
}

/// A text for people.
pub(crate) fn without_marks(text: &str) -> Cow<'_, str> {
    if !text.contains(HIDDEN) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(HIDDEN);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = |text: &str| text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let part = &part[digits(part)..];
        // A table's mark has two numbers.
        let second = part.strip_prefix('.').map_or(0, digits);
        shown.push_str(if second > 0 { &part[1 + second..] } else { part });
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests;
