//! Traces each hidden column that a query names to the table it is of, by the text alone and the catalog's snapshot.
//!
//! Names are found as SQL finds them: in the select's own tables, then in those around it. A column that a subquery, a WITH
//! query, a view or a table itself calls `"$path"` is a column like any other, and shown by `*`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
    TableWithJoins, VisitMut, VisitorMut, visit_expressions,
};
use limnos_catalog::{TableKind, TableName};

use super::wildcard::{is_called, settle};
use super::{column_name, without_marks};
use crate::parse::FILE_TABLE_DATABASE;
use crate::plan::document::is_document;
use crate::plan::lake::{PlanContext, catalog_database};
use crate::plan::pg_catalog::output_name::HIDDEN;
use crate::plan::pg_catalog::relation;
use crate::plan::pg_catalog::rewrite::{folded, parts};
use crate::scan::hidden::HiddenKind;
use crate::scan::table::no_partition_column;
use crate::{Error, ErrorCode, Result};

/// A set of [`HiddenKind`]s.
type Kinds = u8;

/// Marks the tables that hidden columns are asked of, and the columns.
///
/// # Errors
/// A name that may mean several tables' column; `"$partition"` where no table is partitioned.
pub(crate) fn resolve(query: &mut Query, context: &PlanContext) -> Result<()> {
    if !names_any(query) {
        return Ok(());
    }
    let mut resolver = Resolver { context, used: Vec::new(), scopes: Vec::new(), queries: Vec::new(), error: None };
    let _: ControlFlow<()> = query.visit(&mut resolver);
    if let Some(error) = resolver.error {
        return Err(error);
    }
    settle(query, &resolver.used);
    Ok(())
}

fn names_any(query: &Query) -> bool {
    let found = visit_expressions(query, |expr| match expr {
        Expr::Identifier(name) if HiddenKind::of(&name.value).is_some() => ControlFlow::Break(()),
        Expr::CompoundIdentifier(names) if names.last().is_some_and(|name| HiddenKind::of(&name.value).is_some()) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// What a name in FROM stands for.
#[derive(Debug, Clone, Default)]
struct Factor {
    /// What it is called.
    name: Vec<String>,
    /// Columns that are called as hidden ones are, and are none.
    ordinary: Kinds,
    hidden: Kinds,
    /// Which naming of a table this is, for those that can have hidden columns.
    number: usize,
    /// A table without keys, which lacks `"$partition"`.
    unpartitioned: bool,
}

/// A select's tables.
#[derive(Debug, Default)]
struct Scope {
    factors: Vec<Factor>,
}

/// A query whose parts are being visited.
#[derive(Debug)]
struct OpenQuery {
    /// Its WITH queries: where each is in memory, what it is called, and which ordinary columns it has.
    ctes: Vec<(*const Query, String, Kinds)>,
    /// How many of them can be seen: all in the query itself, those before it in a WITH query.
    visible: usize,
    /// Its select, if it is one: whose tables ORDER BY sees, too.
    select: Option<*const Select>,
    /// What that select calls its columns, once it was visited.
    outputs: Kinds,
    in_order_by: bool,
}

struct Resolver<'a> {
    context: &'a PlanContext,
    /// By a table's number, what is asked of it.
    used: Vec<Kinds>,
    scopes: Vec<Scope>,
    queries: Vec<OpenQuery>,
    error: Option<Error>,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let select = match query.body.as_ref() {
            SetExpr::Select(select) => Some(std::ptr::from_ref(select.as_ref())),
            _ => None,
        };
        let open = OpenQuery { ctes: Vec::new(), visible: 0, select, outputs: 0, in_order_by: false };
        self.queries.push(open);
        let is_recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let outputs = match cte.alias.columns.as_slice() {
                [] => self.outputs(&cte.query),
                columns => kinds_of(columns.iter().map(|column| folded(&column.name))),
            };
            let at = std::ptr::from_ref(cte.query.as_ref());
            self.define(at, folded(&cte.alias.name), outputs);
        }
        if let Some(open) = self.queries.last_mut()
            && !is_recursive
        {
            open.visible = 0;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(closed) = self.queries.pop()
            && closed.in_order_by
        {
            self.scopes.pop();
        }
        if let Some(outer) = self.queries.last_mut() {
            let at = std::ptr::from_ref(query);
            if let Some(place) = outer.ctes.iter().position(|(cte, ..)| *cte == at) {
                outer.visible = outer.visible.max(place + 1);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut scope = Scope::default();
        for table in &mut select.from {
            self.open(table, &mut scope);
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            // A column that was renamed is still called what it was.
            let name = match item {
                SelectItem::UnnamedExpr(Expr::Identifier(name)) => name.value.clone(),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => {
                    names.last().map(|name| name.value.clone()).unwrap_or_default()
                }
                _ => continue,
            };
            if let (SelectItem::UnnamedExpr(expr), Some((shown, _))) = (&*item, name.split_once(HIDDEN)) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', shown) };
            }
        }
        let outputs = kinds_of(select.projection.iter().filter_map(item_name));
        let at = std::ptr::from_ref(&*select);
        match self.queries.last_mut() {
            Some(open) if open.select == Some(at) => {
                open.outputs = outputs;
                open.in_order_by = true;
            }
            _ => drop(self.scopes.pop()),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let found = match expr {
            Expr::Identifier(name) => HiddenKind::of(&name.value).map(|kind| (kind, Vec::new(), name)),
            Expr::CompoundIdentifier(names) => match names.split_last_mut() {
                Some((last, qualifier)) => {
                    HiddenKind::of(&last.value).map(|kind| (kind, qualifier.iter().map(folded).collect(), last))
                }
                None => None,
            },
            _ => None,
        };
        let Some((kind, qualifier, name)) = found else { return ControlFlow::Continue(()) };
        match self.find(kind, &qualifier) {
            Ok(Some(number)) => {
                self.used[number] |= kind.bit();
                name.value = column_name(kind, number);
                name.quote_style = Some('"');
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl Resolver<'_> {
    fn define(&mut self, at: *const Query, name: String, outputs: Kinds) {
        if let Some(open) = self.queries.last_mut() {
            open.ctes.push((at, name, outputs));
            open.visible = open.ctes.len();
        }
    }

    /// The number of the table that has the hidden column; `None` where the name means something else, or nothing.
    fn find(&self, kind: HiddenKind, qualifier: &[String]) -> Result<Option<usize>> {
        // In ORDER BY, an output column comes first.
        if qualifier.is_empty()
            && self.queries.last().is_some_and(|open| open.in_order_by && open.outputs & kind.bit() != 0)
        {
            return Ok(None);
        }
        let mut unpartitioned = None;
        for scope in self.scopes.iter().rev() {
            let called =
                scope.factors.iter().filter(|factor| qualifier.is_empty() || is_called(&factor.name, qualifier));
            let having: Vec<&Factor> =
                called.clone().filter(|factor| (factor.ordinary | factor.hidden) & kind.bit() != 0).collect();
            match having.as_slice() {
                [] if kind == HiddenKind::Partition => {
                    unpartitioned = unpartitioned.or_else(|| called.clone().find(|factor| factor.unpartitioned));
                }
                [] => {}
                [one] => return Ok((one.hidden & kind.bit() != 0).then_some(one.number)),
                // What is ambiguous among ordinary columns, DataFusion says.
                several if several.iter().all(|factor| factor.hidden & kind.bit() == 0) => return Ok(None),
                _ => {
                    let message = format!("column reference \"{}\" is ambiguous", kind.name());
                    return Err(Error::new(ErrorCode::AmbiguousColumn, message));
                }
            }
            // A qualifier that names a table here doesn't name one further out.
            if !qualifier.is_empty() && called.clone().next().is_some() {
                break;
            }
        }
        match unpartitioned.and_then(|factor| factor.name.last()) {
            Some(name) => Err(no_partition_column(&without_marks(name))),
            None => Ok(None),
        }
    }

    /// Takes a select's tables in, and numbers those that can have hidden columns.
    fn open(&mut self, table: &mut TableWithJoins, scope: &mut Scope) {
        let TableWithJoins { relation, joins } = table;
        for factor in std::iter::once(relation).chain(joins.iter_mut().map(|join| &mut join.relation)) {
            if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
                self.open(table_with_joins, scope);
                continue;
            }
            let mut found = self.look(factor);
            if found.hidden != 0
                && let TableFactor::Table { name, .. } = factor
                && let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut()
            {
                found.number = self.used.len();
                self.used.push(0);
                last.value = format!("{}{HIDDEN}{}", folded(last), found.number);
                last.quote_style = Some('"');
            }
            scope.factors.push(found);
        }
    }

    /// What a table, a subquery or whatever else stands in FROM has.
    fn look(&mut self, factor: &TableFactor) -> Factor {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let full = parts(name);
                let mut found = self.table(&full);
                if let Some(alias) = alias {
                    found.name = vec![folded(&alias.name)];
                    if !alias.columns.is_empty() {
                        // All columns have new names then, and what has none can't be seen.
                        found.hidden = 0;
                        found.ordinary = kinds_of(alias.columns.iter().map(|column| folded(&column.name)));
                    }
                } else {
                    found.name = full;
                }
                found
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let ordinary = match alias {
                    Some(alias) if !alias.columns.is_empty() => {
                        kinds_of(alias.columns.iter().map(|column| folded(&column.name)))
                    }
                    _ => self.outputs(subquery),
                };
                let name = alias.iter().map(|alias| folded(&alias.name)).collect();
                Factor { name, ordinary, ..Factor::default() }
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let inner = std::iter::once(&table_with_joins.relation)
                    .chain(table_with_joins.joins.iter().map(|join| &join.relation));
                let ordinary = inner.fold(0, |kinds, factor| kinds | self.look(factor).ordinary);
                let name = alias.iter().map(|alias| folded(&alias.name)).collect();
                Factor { name, ordinary, ..Factor::default() }
            }
            _ => Factor { name: vec![String::new()], ..Factor::default() },
        }
    }

    fn table(&self, name: &[String]) -> Factor {
        let all = HiddenKind::ALL.iter().fold(0, |kinds, kind| kinds | kind.bit());
        let own = &self.context.session.catalog_name;
        let (database, table) = match name {
            [table] => {
                let cte = |open: &OpenQuery| {
                    open.ctes[..open.visible].iter().rev().find(|(_, name, _)| name == table).map(|(.., kinds)| *kinds)
                };
                if let Some(ordinary) = self.queries.iter().rev().find_map(cte) {
                    return Factor { ordinary, ..Factor::default() };
                }
                if relation("pg_catalog", table).is_some() {
                    return Factor::default();
                }
                (catalog_database(&self.context.database), table)
            }
            [database, table] => (catalog_database(database), table),
            [catalog, database, table] if catalog == own || catalog.eq_ignore_ascii_case("awsdatacatalog") => {
                (catalog_database(database), table)
            }
            _ => return Factor::default(),
        };
        if database == FILE_TABLE_DATABASE {
            // Rows of a document are made of more than one place of it.
            let hidden = if is_document(table) { 0 } else { all };
            return Factor { hidden, ..Factor::default() };
        }
        let Some(table) = self.context.snapshot.tables.get(&TableName::new(database, table)) else {
            return Factor::default();
        };
        let ordinary = kinds_of(table.columns.iter().chain(&table.partition_keys).map(|column| column.name.clone()));
        if !matches!(table.kind, TableKind::External(_)) {
            return Factor { ordinary, ..Factor::default() };
        }
        let unpartitioned = table.partition_keys.is_empty();
        let lacking = if unpartitioned { HiddenKind::Partition.bit() } else { 0 };
        Factor { ordinary, hidden: all & !ordinary & !lacking, unpartitioned, ..Factor::default() }
    }

    /// The ordinary columns that `query` gives out under the names of hidden ones.
    fn outputs(&mut self, query: &Query) -> Kinds {
        self.queries.push(OpenQuery { ctes: Vec::new(), visible: 0, select: None, outputs: 0, in_order_by: false });
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let outputs = match cte.alias.columns.as_slice() {
                [] => self.outputs(&cte.query),
                columns => kinds_of(columns.iter().map(|column| folded(&column.name))),
            };
            self.define(std::ptr::null(), folded(&cte.alias.name), outputs);
        }
        let outputs = self.body_outputs(&query.body);
        self.queries.pop();
        outputs
    }

    fn body_outputs(&mut self, body: &SetExpr) -> Kinds {
        match body {
            SetExpr::Select(select) => {
                let mut kinds = kinds_of(select.projection.iter().filter_map(item_name));
                let wildcard = |item: &SelectItem| match item {
                    SelectItem::Wildcard(_) => Some(Vec::new()),
                    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                        Some(parts(name))
                    }
                    _ => None,
                };
                for qualifier in select.projection.iter().filter_map(wildcard).collect::<Vec<_>>() {
                    for table in &select.from {
                        kinds |= self.shown(table, &qualifier);
                    }
                }
                kinds
            }
            SetExpr::Query(query) => self.outputs(query),
            SetExpr::SetOperation { left, .. } => self.body_outputs(left),
            _ => 0,
        }
    }

    /// What `*`, or with a qualifier `t.*`, shows of `table`.
    fn shown(&mut self, table: &TableWithJoins, qualifier: &[String]) -> Kinds {
        let mut kinds = 0;
        for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
            kinds |= match factor {
                TableFactor::NestedJoin { table_with_joins, alias: None } => self.shown(table_with_joins, qualifier),
                factor => {
                    let found = self.look(factor);
                    let is_meant = qualifier.is_empty() || is_called(&found.name, qualifier);
                    if is_meant { found.ordinary } else { 0 }
                }
            };
        }
        kinds
    }
}

fn kinds_of(names: impl Iterator<Item = String>) -> Kinds {
    names.filter_map(|name| HiddenKind::of(&name)).fold(0, |kinds, kind| kinds | kind.bit())
}

/// What a select item is called, where that may be the name of a hidden column.
fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(folded(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(folded),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}
