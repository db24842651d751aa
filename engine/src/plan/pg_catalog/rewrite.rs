//! Rewrites what PostgreSQL's clients write into what DataFusion plans. A parsed query comes in and goes out changed in
//! place; its meaning on tables of ours never changes.
//!
//! Bottom up, in one walk:
//! 1. expressions: `OPERATOR(pg_catalog.~)`, `COLLATE`, `pg_catalog.`-qualified functions and types, `::regclass` and its kin
//!    (they become PostgreSQL's own input and output functions, `regclassin` and `regclassout`), `current_user` and other
//!    words that are calls, sets returned in a select list;
//! 2. relations: unqualified `pg_class` is `pg_catalog.pg_class`; functions in FROM get the column name PostgreSQL gives them;
//! 3. selects: `tableoid`, `ARRAY(SELECT ...)` and correlated subqueries ([`super::correlated`]), and names that DataFusion
//!    would find twice ([`super::output_name`]); joins with USING
//!    ([`super::join_using`]) or with the arrays of a table ([`super::lateral_unnest`]).
//! 4. everywhere: the types of constants ([`super::literal`]), and functions and operators of another name
//!    ([`super::spelling`]).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr,
    Subscript, TableAlias, TableAliasColumnDef, TableFactor, TableFunctionArgs, Value, VisitMut, VisitorMut,
    visit_expressions, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::output_name::{OutputNames, make_unique_items, name_derived, output_names};
use super::relations::{RELATIONS, relation};
use super::{correlated, from_functions, join_using, json_calls, lateral_unnest, literal, spelling};

/// Rewrites a whole query and says what PostgreSQL would call the columns of its answer.
pub fn rewrite_query(query: &mut Query) -> OutputNames {
    let names = output_names(query);
    let mut rewriter = Rewriter { catalog: mentions_catalog(query) };
    let _ = query.visit(&mut rewriter);
    show_top_level(&mut query.body);
    names
}

struct Rewriter {
    /// The query reads PostgreSQL's catalogs, whose columns carry type labels that casts must drop.
    catalog: bool,
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        from_functions::rewrite_query(query);
        lateral_unnest::rewrite_query(query);
        join_using::rewrite_query(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        literal::type_values(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        from_functions::rewrite_select(select);
        json_calls::expand_rows(select);
        lateral_unnest::rewrite_select(select);
        join_using::rewrite_select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        json_calls::respell(expr);
        literal::spell_interval(expr);
        literal::read_float(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        rewrite_expr(expr, self.catalog);
        spelling::respell(expr);
        literal::type_operands(expr);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        qualify_relation(name);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        rewrite_table_factor(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        correlated::rewrite_select(select);
        expand_sets(select);
        spelling::count_existing(select);
        literal::type_items(&mut select.projection);
        make_unique_items(&mut select.projection);
        ControlFlow::Continue(())
    }
}

/// Whether any relation of the query is one of PostgreSQL's.
fn mentions_catalog(query: &Query) -> bool {
    visit_relations(query, |name| {
        let parts = parts(name);
        let system = match parts.as_slice() {
            [.., schema, _] => matches!(schema.as_str(), "pg_catalog" | "information_schema"),
            [name] => relation("pg_catalog", name).is_some(),
            [] => false,
        };
        if system { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

/// A name's parts, folded as PostgreSQL folds them.
pub(in crate::plan) fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(ObjectNamePart::as_ident).map(folded).collect()
}

/// An identifier as it is looked up.
pub(in crate::plan) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The AST of a call.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: argument_list(args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect()),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn argument_list(args: Vec<FunctionArg>) -> FunctionArguments {
    FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() })
}

/// The name of a call without a schema, lower case.
pub(super) fn call_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(function) => parts(&function.name).pop(),
        Expr::Nested(inner) => call_name(inner),
        _ => None,
    }
}

/// `CAST(expr AS data_type)`.
pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

fn rewrite_expr(expr: &mut Expr, catalog: bool) {
    match expr {
        Expr::Collate { expr: inner, .. } => *expr = take(inner),
        Expr::CompoundFieldAccess { root, access_chain } => bracket_fields(root, access_chain),
        Expr::BinaryOp { left, op, right } => {
            if let BinaryOperator::PGCustomBinaryOperator(path) = op
                && let [.., symbol] = path.as_slice()
                && let Some(plain) = operator(symbol)
            {
                *op = plain;
            }
            if catalog && matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq) {
                let array_on_left = is_array_column(left) && is_array_text(right);
                let array_on_right = is_array_column(right) && is_array_text(left);
                if array_on_left {
                    **left = call("array_out", vec![take(left)]);
                } else if array_on_right {
                    **right = call("array_out", vec![take(right)]);
                }
                // `indisprimary = 't'`: PostgreSQL reads the text as the boolean that the other side is.
                if is_boolean_column(left)
                    && let Some(value) = boolean_text(right)
                {
                    **right = Expr::value(Value::Boolean(value));
                } else if is_boolean_column(right)
                    && let Some(value) = boolean_text(left)
                {
                    **left = Expr::value(Value::Boolean(value));
                }
            }
        }
        Expr::Function(function) => {
            rewrite_function(function);
            if let Some(new) = true_type(function) {
                *expr = new;
            }
        }
        Expr::Identifier(ident)
            if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("localtimestamp") =>
        {
            let zone = call("current_setting", vec![Expr::value(Value::SingleQuotedString("TimeZone".to_owned()))]);
            *expr = call("timezone", vec![zone, call("now", Vec::new())]);
        }
        Expr::Identifier(ident) if ident.quote_style.is_none() && is_bare_call(&ident.value) => {
            *expr = call(&ident.value.to_lowercase(), Vec::new());
        }
        // `CASE attnotnull WHEN 't' THEN ...`
        Expr::Case { operand: Some(operand), conditions, .. } if catalog && is_boolean_column(operand) => {
            for when in conditions {
                if let Some(value) = boolean_text(&when.condition) {
                    when.condition = Expr::value(Value::Boolean(value));
                }
            }
        }
        Expr::Cast { expr: inner, data_type, kind: CastKind::Cast | CastKind::DoubleColon, .. } => {
            if let Some(new) = rewrite_cast(inner, data_type, catalog) {
                *expr = new;
            }
        }
        _ => {}
    }
}

/// `(value).field` and `a.b[1].c`: DataFusion takes names behind a dot only where all before are names, else brackets.
fn bracket_fields(root: &Expr, access_chain: &mut [AccessExpr]) {
    let names = match root {
        Expr::Identifier(_) => {
            access_chain.iter().take_while(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_)))).count()
        }
        _ => 0,
    };
    for access in &mut access_chain[names..] {
        if let AccessExpr::Dot(Expr::Identifier(field)) = access {
            let index = Expr::value(Value::SingleQuotedString(folded(field)));
            *access = AccessExpr::Subscript(Subscript::Index { index });
        }
    }
}

fn operator(symbol: &str) -> Option<BinaryOperator> {
    Some(match symbol {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// `'{0}'`: an array written as text.
fn is_array_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(&value.value, Value::SingleQuotedString(text) if text.starts_with('{') && text.ends_with('}')))
}

/// A column that only PostgreSQL's catalogs have, and that is an array there.
fn is_array_column(expr: &Expr) -> bool {
    is_catalog_column(expr, |type_name| type_name.starts_with('_') || type_name.ends_with("vector"))
}

/// A column that only PostgreSQL's catalogs have, and that is a boolean there.
fn is_boolean_column(expr: &Expr) -> bool {
    is_catalog_column(expr, |type_name| type_name == "bool")
}

fn boolean_text(expr: &Expr) -> Option<bool> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    match text.as_str() {
        "t" | "true" => Some(true),
        "f" | "false" => Some(false),
        _ => None,
    }
}

fn is_catalog_column(expr: &Expr, is_wanted: impl Fn(&str) -> bool) -> bool {
    let name = match expr {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded).unwrap_or_default(),
        _ => return false,
    };
    name.len() > 3
        && RELATIONS.iter().any(|relation| {
            relation.schema == "pg_catalog"
                && relation.columns.iter().any(|column| column.name == name && is_wanted(column.type_name))
        })
}

fn is_bare_call(word: &str) -> bool {
    ["current_user", "session_user", "current_role", "current_catalog", "current_schema"]
        .iter()
        .any(|call| word.eq_ignore_ascii_case(call))
}

fn rewrite_function(function: &mut Function) {
    if function.name.0.len() == 2
        && parts(&function.name)
            .first()
            .is_some_and(|schema| matches!(schema.as_str(), "pg_catalog" | "information_schema"))
    {
        function.name.0.remove(0);
    }
    if function.args == FunctionArguments::None
        && let [name] = parts(&function.name).as_slice()
        && (is_bare_call(name) || name == "user")
    {
        function.args = argument_list(Vec::new());
    }
}

/// `_pg_truetypid(a.*, t.*)` looks through domains to the type below. There are no domains on columns here.
fn true_type(function: &Function) -> Option<Expr> {
    let column = match parts(&function.name).pop()?.as_str() {
        "_pg_truetypid" => "atttypid",
        "_pg_truetypmod" => "atttypmod",
        _ => return None,
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(attribute)) = list.args.first()? else { return None };
    let alias = attribute.0.last()?.as_ident()?.clone();
    Some(Expr::CompoundIdentifier(vec![alias, Ident::new(column)]))
}

fn rewrite_cast(inner: &mut Box<Expr>, data_type: &mut DataType, catalog: bool) -> Option<Expr> {
    if let DataType::Custom(name, _) = data_type
        && let [schema, domain] = parts(name).as_slice()
        && schema == "information_schema"
    {
        *data_type = if domain == "cardinal_number" { DataType::Int(None) } else { DataType::Text };
        return None;
    }
    let name = type_name(data_type)?;
    let kind = reg_kind(&name);
    if let Some(kind) = kind {
        // Casting an OID type to another keeps the number; `'x'::regclass::regclass` too.
        return Some(call(&format!("{kind}in"), vec![take(inner)]));
    }
    let inner_kind = reg_call(inner);
    match name.as_str() {
        "oid" | "regoper" | "regoperator" | "regcollation" | "regconfig" | "regdictionary" => {
            Some(call("oidin", vec![take(inner)]))
        }
        "regtype[]" => Some(call("limnos_regtypes", vec![take(inner)])),
        "text[]" if holds_types(inner) => Some(call("limnos_regtypes_out", vec![take(inner)])),
        "text" | "varchar" | "name" | "\"char\"" if inner_kind.is_some() => {
            let shown = call(&format!("{}out", inner_kind.unwrap_or_default()), vec![take(inner)]);
            Some(if name == "varchar" { call("limnos_varchar", vec![shown]) } else { shown })
        }
        "text" if catalog => Some(call("textin", vec![take(inner)])),
        "varchar" if catalog => Some(call("limnos_varchar", vec![take(inner)])),
        "name" if catalog => Some(call("limnos_name", vec![take(inner)])),
        "\"char\"" if catalog => Some(call("limnos_char", vec![take(inner)])),
        "aclitem" | "pg_node_tree" | "cstring" => {
            *data_type = DataType::Text;
            None
        }
        "xid" | "cid" => {
            *data_type = DataType::Int(None);
            None
        }
        "int2vector" => {
            *data_type = parse_type("int2[]")?;
            None
        }
        "oidvector" => {
            *data_type = parse_type("int4[]")?;
            None
        }
        "oid[]" => Some(call("limnos_oids", vec![take(inner)])),
        "varchar[]" if catalog => Some(call("limnos_varchars", vec![take(inner)])),
        other => {
            // `pg_catalog.int4` is a name to the parser; the bare name is a type.
            if is_qualified(data_type) {
                *data_type = parse_type(other)?;
            }
            None
        }
    }
}

/// Whether an expression is an array of types, or chosen from some.
fn holds_types(expr: &Expr) -> bool {
    visit_expressions(expr, |expr| match call_name(expr).as_deref() {
        Some("limnos_regtypes") => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

fn reg_kind(name: &str) -> Option<&'static str> {
    ["regclass", "regtype", "regnamespace", "regrole", "regproc", "regprocedure"].into_iter().find(|kind| *kind == name)
}

/// The kind of OID that a call gives: `regclassin(x)`, `to_regclass(x)`.
fn reg_call(expr: &Expr) -> Option<&'static str> {
    let name = call_name(expr)?;
    reg_kind(name.strip_suffix("in").or_else(|| name.strip_prefix("to_"))?)
}

fn is_qualified(data_type: &DataType) -> bool {
    match data_type {
        DataType::Custom(name, _) => name.0.len() == 2,
        DataType::Array(element) => element_type(element).is_some_and(is_qualified),
        _ => false,
    }
}

fn element_type(element: &ArrayElemTypeDef) -> Option<&DataType> {
    match element {
        ArrayElemTypeDef::SquareBracket(inner, _)
        | ArrayElemTypeDef::AngleBracket(inner)
        | ArrayElemTypeDef::Parenthesis(inner) => Some(inner),
        ArrayElemTypeDef::None => None,
    }
}

/// The name of a type without `pg_catalog`, folded; `"char"` keeps its quotes.
pub(in crate::plan) fn folded_type_name(data_type: &DataType) -> Option<String> {
    type_name(data_type)
}

/// The type's name without `pg_catalog`; `None` for types that need no rewriting and have no plain name.
fn type_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Regclass => Some("regclass".to_owned()),
        DataType::Text => Some("text".to_owned()),
        DataType::Varchar(None) => Some("varchar".to_owned()),
        DataType::Custom(name, modifiers) => {
            let idents: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
            let last = match idents.as_slice() {
                [last] => last,
                [schema, last] if folded(schema) == "pg_catalog" => last,
                _ => return None,
            };
            let bare =
                if last.quote_style.is_some() && last.value == "char" { "\"char\"".to_owned() } else { folded(last) };
            Some(if modifiers.is_empty() { bare } else { format!("{bare}({})", modifiers.join(",")) })
        }
        DataType::Array(element) => Some(format!("{}[]", type_name(element_type(element)?)?)),
        _ => None,
    }
}

fn parse_type(name: &str) -> Option<DataType> {
    Parser::new(&PostgreSqlDialect {}).try_with_sql(name).ok()?.parse_data_type().ok()
}

/// `pg_class` alone means `pg_catalog.pg_class`, which PostgreSQL searches first.
fn qualify_relation(name: &mut ObjectName) {
    if let [only] = parts(name).as_slice()
        && relation("pg_catalog", only).is_some()
    {
        name.0.insert(0, ObjectNamePart::Identifier(Ident::new("pg_catalog")));
    }
}

/// Functions in FROM: without their schema, and with PostgreSQL's column name, which is the alias or the function's name.
fn rewrite_table_factor(factor: &mut TableFactor) {
    if let TableFactor::Derived { subquery, .. } = factor {
        name_derived(&mut subquery.body);
    }
    let plain = |ident: Ident| TableAliasColumnDef { name: ident, data_type: None };
    match factor {
        TableFactor::Table { name, args: Some(_), alias, .. } | TableFactor::Function { name, alias, .. } => {
            if parts(name).first().is_some_and(|schema| schema == "pg_catalog") && name.0.len() == 2 {
                name.0.remove(0);
            }
            let function = parts(name).pop().unwrap_or_default();
            // These return one column each; others name their own.
            if function == "pg_get_keywords" && alias.is_none() {
                *alias = Some(TableAlias { explicit: true, name: Ident::new(function), columns: Vec::new(), at: None });
                return;
            }
            if !matches!(function.as_str(), "generate_series" | "range" | "unnest" | "generate_subscripts") {
                return;
            }
            let alias = alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::new(function.clone()),
                columns: Vec::new(),
                at: None,
            });
            if alias.columns.is_empty() {
                alias.columns.push(plain(alias.name.clone()));
            }
            if function == "generate_series" && is_small_series(factor) {
                from_functions::narrow_series(factor);
            } else {
                unnest_series(factor);
            }
        }
        TableFactor::UNNEST { alias, array_exprs, .. } if array_exprs.len() == 1 => {
            let alias = alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::new("unnest"),
                columns: Vec::new(),
                at: None,
            });
            if alias.columns.is_empty() {
                alias.columns.push(plain(alias.name.clone()));
            }
        }
        _ => {}
    }
}

/// Whether a series has small whole numbers for its bounds.
fn is_small_series(factor: &TableFactor) -> bool {
    let (TableFactor::Table { args: Some(TableFunctionArgs { args, .. }), .. } | TableFactor::Function { args, .. }) =
        factor
    else {
        return false;
    };
    args.iter()
        .all(|arg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if literal::is_small_integer(expr)))
}

/// DataFusion's table function takes constants only; a series up to something computed is an array, unnested.
fn unnest_series(factor: &mut TableFactor) {
    let (TableFactor::Table { name, args: Some(TableFunctionArgs { args, .. }), alias, .. }
    | TableFactor::Function { name, args, alias, .. }) = factor
    else {
        return;
    };
    let constant = args.iter().all(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => is_constant(expr),
        _ => true,
    });
    let function = parts(name).pop().unwrap_or_default();
    if constant && function != "generate_subscripts" || function == "unnest" {
        return;
    }
    let mut series = call(&function, Vec::new());
    if let Expr::Function(function) = &mut series {
        function.args = argument_list(std::mem::take(args));
    }
    *factor = TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs: vec![series],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
}

fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::Interval(_) | Expr::TypedString(_) => true,
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) | Expr::Cast { expr, .. } => is_constant(expr),
        _ => false,
    }
}

/// A set-returning function in a select list gives a row for each element.
fn expand_sets(select: &mut Select) {
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        if matches!(call_name(expr).as_deref(), Some("generate_series" | "generate_subscripts")) {
            let inner = take(expr);
            *expr = call("unnest", vec![inner]);
        }
    }
}

/// In the answer itself `oid::regclass` is shown as a name.
fn show_top_level(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
                show(expr);
            }
        }
        SetExpr::Query(query) => show_top_level(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            show_top_level(left);
            show_top_level(right);
        }
        _ => {}
    }
}

fn show(expr: &mut Expr) {
    match expr {
        Expr::Function(_) => {
            if let Some(kind) = reg_call(expr) {
                let inner = take(expr);
                *expr = call(&format!("limnos_show_{kind}"), vec![inner]);
            }
        }
        Expr::Nested(inner) => show(inner),
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter_mut().for_each(|when| show(&mut when.result));
            if let Some(other) = else_result {
                show(other);
            }
        }
        Expr::Subquery(query) => show_top_level(&mut query.body),
        _ => {}
    }
}
