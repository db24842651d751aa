//! A pass over a query's tree that puts our meaning into words DataFusion's planner knows.
//!
//! - Names: the catalog's names are lower case, and so are the columns that scans give. A quoted name with upper-case
//!   letters is lower-cased (`"IMDB Rating"` finds the column `imdb rating`), unless the statement itself defines it as an
//!   alias or the name of a WITH query: those keep their spelling, so a client sees the heading it asked for.
//! - `FETCH FIRST n ROWS ONLY` becomes LIMIT.
//! - `FROM 'path'` becomes the table `"file"."path"` (see [`FILE_TABLE_DATABASE`]).
//! - What DataFusion would ignore silently is refused: `FOR UPDATE`, `SELECT INTO`, data changes inside WITH.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Cte, DataType, Expr, Fetch, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Join,
    JoinConstraint, JoinOperator, LimitClause, NamedWindowDefinition, NamedWindowExpr, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableAlias,
    TableFactor, TableWithJoins, UnaryOperator, Value, Visit, VisitMut, Visitor, VisitorMut, WindowSpec, WindowType,
};

use super::subquery::SubqueryForms;
use crate::parse::FILE_TABLE_DATABASE;
use crate::{Error, Result};

/// Rewrites a query in place.
///
/// # Errors
/// `0A000` for what can't be carried out, `42601` for clauses that contradict each other.
pub fn rewrite(query: &mut Query) -> Result<()> {
    let mut defined = Defined::default();
    let _: ControlFlow<()> = Visit::visit(query, &mut defined);
    match VisitMut::visit(query, &mut Rewriter { defined: defined.names, subqueries: SubqueryForms::default() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

/// The quoted names with upper-case letters that a statement defines.
#[derive(Default)]
struct Defined {
    names: HashSet<String>,
}

impl Defined {
    fn add(&mut self, ident: &Ident) {
        if ident.quote_style.is_some() && ident.value.chars().any(char::is_uppercase) {
            self.names.insert(ident.value.clone());
        }
    }

    fn add_alias(&mut self, alias: &TableAlias) {
        self.add(&alias.name);
        for column in &alias.columns {
            self.add(&column.name);
        }
    }
}

impl Visitor for Defined {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            for Cte { alias, .. } in &with.cte_tables {
                self.add_alias(alias);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.add(alias);
            }
        }
        for window in &select.named_window {
            self.add(&window.0);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let Some(alias) = factor_alias(factor) {
            self.add_alias(alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Lambda(lambda) = expr {
            for parameter in &lambda.params {
                self.add(&parameter.name);
            }
        }
        if let Expr::Named { name, .. } = expr {
            self.add(name);
        }
        ControlFlow::Continue(())
    }
}

fn factor_alias(factor: &TableFactor) -> Option<&TableAlias> {
    match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::JsonTable { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::Pivot { alias, .. }
        | TableFactor::Unpivot { alias, .. } => alias.as_ref(),
        _ => None,
    }
}

struct Rewriter {
    defined: HashSet<String>,
    subqueries: SubqueryForms,
}

impl Rewriter {
    fn ident(&self, ident: &mut Ident) {
        if ident.quote_style.is_some()
            && ident.value.chars().any(char::is_uppercase)
            && !self.defined.contains(&ident.value)
        {
            ident.value = ident.value.to_lowercase();
        }
    }

    fn object_name(&self, name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                self.ident(ident);
            }
        }
    }

    fn joins(&self, joins: &mut [Join]) {
        for join in joins {
            let (JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::Semi(constraint)
            | JoinOperator::LeftSemi(constraint)
            | JoinOperator::RightSemi(constraint)
            | JoinOperator::Anti(constraint)
            | JoinOperator::LeftAnti(constraint)
            | JoinOperator::RightAnti(constraint)) = &mut join.join_operator
            else {
                continue;
            };
            if let JoinConstraint::Using(names) = constraint {
                names.iter_mut().for_each(|name| self.object_name(name));
            }
        }
    }

    fn arguments(&self, arguments: &mut FunctionArguments) {
        let FunctionArguments::List(list) = arguments else { return };
        for argument in &mut list.args {
            let (FunctionArg::Unnamed(value)
            | FunctionArg::Named { arg: value, .. }
            | FunctionArg::ExprNamed { arg: value, .. }) = argument;
            if let FunctionArgExpr::QualifiedWildcard(name) = value {
                self.object_name(name);
            }
        }
    }
}

type Step = ControlFlow<Box<Error>>;

fn refuse(error: Error) -> Step {
    ControlFlow::Break(Box::new(error))
}

impl VisitorMut for Rewriter {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> Step {
        if let Some(lock) = query.locks.first() {
            return refuse(
                Error::unsupported(format!("FOR {} is not supported", lock.lock_type))
                    .with_hint("Queries read one unchanging snapshot; no rows need to be locked."),
            );
        }
        let changes = match query.body.as_ref() {
            SetExpr::Insert(_) => Some("INSERT"),
            SetExpr::Update(_) => Some("UPDATE"),
            SetExpr::Delete(_) => Some("DELETE"),
            SetExpr::Merge(_) => Some("MERGE"),
            _ => None,
        };
        if let Some(name) = changes {
            return refuse(Error::unsupported(format!("{name} is not supported yet")));
        }
        if let Err(error) = refuse_multisets(&query.body) {
            return refuse(error);
        }
        if let Err(error) = self.subqueries.order_by(query) {
            return refuse(error);
        }
        match query.fetch.take() {
            Some(fetch) => fetch_to_limit(query, fetch),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Step {
        if select.into.is_some() {
            return refuse(Error::unsupported("SELECT INTO is not supported yet"));
        }
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                self.object_name(name);
            }
        }
        for TableWithJoins { joins, .. } in &mut select.from {
            self.joins(joins);
        }
        if let Err(error) = refuse_same_names(&select.from) {
            return refuse(error);
        }
        if let Err(error) = self.subqueries.select(select) {
            return refuse(error);
        }
        extend_windows(select);
        for window in &mut select.named_window {
            if let NamedWindowExpr::NamedWindow(name) = &mut window.1 {
                self.ident(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Step {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.joins(&mut table_with_joins.joins);
        }
        if let TableFactor::Table { name, args: None, .. } = factor
            && let [ObjectNamePart::Identifier(Ident { value, quote_style: None, .. })] = name.0.as_slice()
            && ["where", "group", "order", "having", "limit"].contains(&value.to_lowercase().as_str())
        {
            return refuse(Error::syntax(format!("syntax error at or near \"{value}\"")));
        }
        if let TableFactor::Table { name, args: None, .. } = factor
            && let [ObjectNamePart::Identifier(Ident { value, quote_style: Some('\''), span })] = name.0.as_slice()
        {
            let span = *span;
            let quoted = |value: &str| {
                let ident = Ident { value: value.to_owned(), quote_style: Some('"'), span };
                ObjectNamePart::Identifier(ident)
            };
            *name = ObjectName(vec![quoted(FILE_TABLE_DATABASE), quoted(value)]);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> Step {
        // A path keeps its spelling.
        let is_file = matches!(
            name.0.as_slice(),
            [ObjectNamePart::Identifier(Ident { value, quote_style: Some(_), .. }), _] if value == FILE_TABLE_DATABASE
        );
        if !is_file {
            self.object_name(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Step {
        match expr {
            Expr::Identifier(ident) => self.ident(ident),
            Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(|ident| self.ident(ident)),
            Expr::QualifiedWildcard(name, _) => self.object_name(name),
            Expr::UnaryOp { op: UnaryOperator::Minus, .. } => negate_before_power(expr),
            Expr::Cast { data_type, .. } => to_microseconds(data_type),
            Expr::TypedString(typed) => to_microseconds(&mut typed.data_type),
            Expr::SimilarTo { .. } => return similar_to(expr),
            Expr::Function(function) => {
                self.object_name(&mut function.name);
                self.arguments(&mut function.args);
                if let Some(WindowType::NamedWindow(name)) = &mut function.over {
                    self.ident(name);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// PostgreSQL's timestamps count microseconds. DataFusion's count nanoseconds when no precision is given, and end in 2262.
fn to_microseconds(data_type: &mut DataType) {
    if let DataType::Timestamp(precision @ (None | Some(9)), _) | DataType::Datetime(precision @ (None | Some(9))) =
        data_type
    {
        *precision = Some(6);
    }
}

/// DataFusion takes `INTERSECT ALL` and `EXCEPT ALL` for semi and anti joins, which count duplicates wrongly.
fn refuse_multisets(body: &SetExpr) -> Result<()> {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return Ok(()) };
    if matches!(op, SetOperator::Intersect | SetOperator::Except) && matches!(set_quantifier, SetQuantifier::All) {
        return Err(Error::unsupported(format!("{op} ALL is not supported yet"))
            .with_hint(format!("{op} without ALL gives each row once.")));
    }
    refuse_multisets(left)?;
    refuse_multisets(right)
}

/// `OVER (w ROWS ...)` partitions and sorts as the window `w` does. DataFusion would take the frame alone.
fn extend_windows(select: &mut Select) {
    struct Extend {
        windows: Vec<NamedWindowDefinition>,
        depth: usize,
    }

    impl VisitorMut for Extend {
        type Break = ();

        fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && self.depth == 0
                && let Some(WindowType::WindowSpec(spec)) = &mut function.over
            {
                extend_window(spec, &self.windows);
            }
            ControlFlow::Continue(())
        }
    }

    if select.named_window.is_empty() {
        return;
    }
    // A window may itself extend one before it.
    let mut windows: Vec<NamedWindowDefinition> = Vec::new();
    for window in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
            extend_window(spec, &windows);
        }
        windows.push(window.clone());
    }
    let _: ControlFlow<()> = VisitMut::visit(select, &mut Extend { windows, depth: 0 });
}

/// Puts what the named window says into `spec`. A name that isn't known stays, for the planner to complain of.
fn extend_window(spec: &mut WindowSpec, windows: &[NamedWindowDefinition]) {
    let Some(name) = &spec.window_name else { return };
    let base = windows.iter().find(|window| window.0.value.eq_ignore_ascii_case(&name.value));
    if let Some(NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(base))) = base {
        if spec.partition_by.is_empty() {
            spec.partition_by.clone_from(&base.partition_by);
        }
        if spec.order_by.is_empty() {
            spec.order_by.clone_from(&base.order_by);
        }
        if spec.window_frame.is_none() {
            spec.window_frame.clone_from(&base.window_frame);
        }
        spec.window_name = None;
    }
}

/// Refuses two tables of one name, which DataFusion finds out by their columns only.
fn refuse_same_names(from: &[TableWithJoins]) -> Result<()> {
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let factors = from
        .iter()
        .flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)));
    let folded =
        |ident: &Ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
    for factor in factors {
        let (name, full_name) = match (factor, factor_alias(factor)) {
            (_, Some(alias)) => (folded(&alias.name), String::new()),
            (TableFactor::Table { name, args: None, .. }, None) => {
                let Some(last) = name.0.last().and_then(ObjectNamePart::as_ident) else { continue };
                // Tables of one name in two schemas are told apart by the schema.
                (folded(last), if name.0.len() > 1 { name.to_string().to_lowercase() } else { String::new() })
            }
            _ => continue,
        };
        if !seen.insert((name.clone(), full_name)) {
            let message = format!("table name \"{name}\" specified more than once");
            return Err(Error::new(crate::ErrorCode::DuplicateAlias, message));
        }
    }
    Ok(())
}

/// In PostgreSQL a sign binds tighter than a power: `-2 ^ 2` is 4.
fn negate_before_power(expr: &mut Expr) {
    let Expr::UnaryOp { op: UnaryOperator::Minus, expr: power } = expr else { return };
    if !matches!(power.as_ref(), Expr::BinaryOp { op: BinaryOperator::PGExp, .. }) {
        return;
    }
    let mut base = power.as_mut();
    while let Expr::BinaryOp { left, op: BinaryOperator::PGExp, .. } = base {
        base = left.as_mut();
    }
    let inner = std::mem::replace(base, Expr::value(Value::Null));
    *base = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(inner) };
    let power = std::mem::replace(power.as_mut(), Expr::value(Value::Null));
    *expr = power;
}

/// `x SIMILAR TO 'pattern'` is a match with the regular expression that says the same. DataFusion would take the pattern for
/// one already.
fn similar_to(expr: &mut Expr) -> Step {
    let Expr::SimilarTo { negated, expr: text, pattern, escape_char } = expr else { return ControlFlow::Continue(()) };
    let literal = match pattern.as_ref() {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    };
    let (Some(literal), None) = (literal, escape_char) else {
        return refuse(Error::unsupported("SIMILAR TO is supported with a constant pattern and without ESCAPE only"));
    };
    let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    *expr = Expr::BinaryOp {
        left: text.clone(),
        op,
        right: Box::new(Expr::value(Value::SingleQuotedString(similar_to_regex(&literal)))),
    };
    ControlFlow::Continue(())
}

/// SQL's pattern as a regular expression (PostgreSQL's `similar_to_escape`): `%` and `_` are `.*` and `.`, the whole text must
/// match, `.`, `^` and `$` mean themselves.
fn similar_to_regex(pattern: &str) -> String {
    let mut regex = String::from("^(?s:");
    let (mut escaped, mut bracket) = (false, false);
    for character in pattern.chars() {
        match character {
            _ if escaped => {
                if !character.is_alphanumeric() {
                    regex.push('\\');
                }
                regex.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if bracket => {
                bracket = character != ']';
                regex.push(character);
            }
            '[' => {
                bracket = true;
                regex.push('[');
            }
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '(' => regex.push_str("(?:"),
            '.' | '^' | '$' => {
                regex.push('\\');
                regex.push(character);
            }
            _ => regex.push(character),
        }
    }
    regex.push_str(")$");
    regex
}

/// `FETCH FIRST n ROWS ONLY` -> `LIMIT n`.
fn fetch_to_limit(query: &mut Query, fetch: Fetch) -> Step {
    if fetch.with_ties {
        return refuse(Error::unsupported("FETCH FIRST ... WITH TIES is not supported yet"));
    }
    if fetch.percent {
        return refuse(Error::unsupported("FETCH FIRST ... PERCENT is not supported"));
    }
    let quantity = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
    match &mut query.limit_clause {
        None => {
            query.limit_clause =
                Some(LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: Vec::new() });
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(quantity),
        Some(_) => return refuse(Error::syntax("multiple LIMIT clauses not allowed")),
    }
    ControlFlow::Continue(())
}
