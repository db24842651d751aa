//! What "all columns" means in a query that names hidden ones: all but those.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::{Marked, mark_of, unmarked};
use crate::plan::pg_catalog::output_name::HIDDEN;
use crate::plan::pg_catalog::rewrite::{folded, parts};

/// Tells the marked tables which columns they have (`used`, by number), the others that they have none, and the wildcards.
pub(super) fn settle(query: &mut Query, used: &[u8]) {
    let _: ControlFlow<()> = query.visit(&mut Settle { used });
}

struct Settle<'a> {
    used: &'a [u8],
}

impl VisitorMut for Settle<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let Some(ObjectNamePart::Identifier(last)) = relation.0.last_mut() else { return ControlFlow::Continue(()) };
        let Some((_, number)) = last.value.split_once(HIDDEN) else { return ControlFlow::Continue(()) };
        match number.parse::<usize>().ok().and_then(|number| self.used.get(number)) {
            Some(0) | None => *last = unmarked(last),
            Some(kinds) => last.value.push_str(&format!(".{kinds}")),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut tables = Vec::new();
        for table in &select.from {
            collect(table, &mut tables);
        }
        if tables.is_empty() {
            return ControlFlow::Continue(());
        }
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => {
                    exclude(options, tables.iter().flat_map(|(_, columns)| columns).cloned().collect());
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let called = parts(name);
                    let own = tables.iter().filter(|(name, _)| is_called(name, &called));
                    exclude(options, own.flat_map(|(_, columns)| columns).cloned().collect());
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

/// The tables of a FROM that have hidden columns: what each is called, and the columns.
fn collect(table: &TableWithJoins, tables: &mut Vec<(Vec<String>, Vec<ObjectName>)>) {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let Some(marked) = mark_of(name) else { continue };
                let mut called = parts(name);
                match (alias, called.last_mut()) {
                    (Some(alias), _) => called = vec![folded(&alias.name)],
                    (None, Some(last)) => *last = marked.name.to_owned(),
                    (None, None) => {}
                }
                tables.push((called, columns(&marked)));
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => collect(table_with_joins, tables),
            _ => {}
        }
    }
}

/// Whether a table that is called `name` may be called `used`, too: without its schema, or with it.
pub(super) fn is_called(name: &[String], used: &[String]) -> bool {
    !name.is_empty() && name.iter().rev().zip(used.iter().rev()).all(|(a, b)| a == b)
}

fn columns(marked: &Marked<'_>) -> Vec<ObjectName> {
    marked.columns_named().map(|(_, name)| ObjectName::from(vec![Ident::with_quote('"', name)])).collect()
}

/// Adds `names` to what a wildcard leaves out.
pub(in crate::plan) fn exclude(options: &mut WildcardAdditionalOptions, names: Vec<ObjectName>) {
    if names.is_empty() {
        return;
    }
    let mut all = match options.opt_exclude.take() {
        Some(ExcludeSelectItem::Multiple(names)) => names,
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        None => Vec::new(),
    };
    all.extend(names);
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(all));
}

/// Whether a wildcard was written plainly: nothing but hidden columns is left out.
pub(in crate::plan) fn is_hidden_only(options: &WildcardAdditionalOptions) -> bool {
    let is_hidden = |name: &ObjectName| {
        name.0.last().and_then(ObjectNamePart::as_ident).is_some_and(|name| name.value.contains(HIDDEN))
    };
    let excludes_hidden = match &options.opt_exclude {
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().all(is_hidden),
        Some(ExcludeSelectItem::Single(name)) => is_hidden(name),
        None => true,
    };
    let rest = WildcardAdditionalOptions { opt_exclude: None, ..options.clone() };
    excludes_hidden && rest == WildcardAdditionalOptions::default()
}

/// The hidden columns that a wildcard over `factor` alone leaves out.
pub(in crate::plan) fn excluded_of(factor: &TableFactor) -> Vec<ObjectName> {
    match factor {
        TableFactor::Table { name, args: None, .. } => mark_of(name).map(|marked| columns(&marked)).unwrap_or_default(),
        // A table that was wrapped with the elements of its arrays hands on all it has.
        TableFactor::Derived { subquery, .. } => match subquery.body.as_ref() {
            SetExpr::Select(select) => match (select.projection.first(), select.from.as_slice()) {
                (Some(SelectItem::QualifiedWildcard(_, options)), [from])
                    if *options == WildcardAdditionalOptions::default() && from.joins.is_empty() =>
                {
                    excluded_of(&from.relation)
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
