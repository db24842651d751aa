//! PostgreSQL's spellings of what DataFusion has under another name or in another form: `ceiling`, `mod`, `every`, `~x`,
//! `x ^@ y`, `LIKE ... ESCAPE`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, DateTimeField, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, GroupByExpr, Ident, LimitClause, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor,
    UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::rewrite::{call, call_name, cast};

/// PostgreSQL's name and DataFusion's.
const NAMES: [(&str, &str); 6] = [
    ("ceiling", "ceil"),
    ("sign", "signum"),
    ("every", "bool_and"),
    ("variance", "var_samp"),
    // A statement's clock is read once.
    ("clock_timestamp", "now"),
    ("gen_random_uuid", "uuid"),
];

/// Puts DataFusion's spelling in the place of PostgreSQL's.
pub(super) fn respell(expr: &mut Expr) {
    match expr {
        Expr::Function(_) => respell_call(expr),
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: inner } => {
            let inner = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(inner),
                op: BinaryOperator::PGBitwiseXor,
                right: Box::new(cast(Expr::value(Value::Number("-1".to_owned(), false)), DataType::Int(None))),
            }));
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGStartsWith, right } => {
            *expr = call("starts_with", vec![left.as_ref().clone(), right.as_ref().clone()]);
        }
        // `substring(text from 'pattern')`
        Expr::Substring { expr: text, substring_from: Some(pattern), substring_for: None, .. } if matches!(pattern.as_ref(), Expr::Value(value) if matches!(&value.value, Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_))) =>
        {
            *expr = call("limnos_substring", vec![text.as_ref().clone(), pattern.as_ref().clone()]);
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("timezone", vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]);
        }
        Expr::Extract { field: DateTimeField::Second | DateTimeField::Seconds, expr: moment, .. } => {
            *expr = seconds(moment, DataType::Decimal(ExactNumberInfo::PrecisionAndScale(20, 6)));
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            respell_pattern(pattern, escape_char);
        }
        _ => {}
    }
}

/// `EXISTS (query)` in a select list, which DataFusion knows in conditions only: the query's rows are counted.
pub(super) fn count_existing(select: &mut Select) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr @ Expr::Exists { negated: false, .. }) = item {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new("exists") };
        }
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let _ = expr.visit(&mut CountExisting { depth: 0 });
    }
}

struct CountExisting {
    depth: usize,
}

impl VisitorMut for CountExisting {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Exists { subquery, negated } = expr
        {
            let op = if *negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
            let mut counted = subquery.clone();
            count_rows(&mut counted);
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(Expr::Subquery(counted)),
                op,
                right: Box::new(Expr::value(Value::Number("0".to_owned(), false))),
            }));
        }
        ControlFlow::Continue(())
    }
}

/// A query for how many rows `query` has. What may name columns of the query around it stays on one level with it, for only
/// there DataFusion finds them.
fn count_rows(query: &mut Query) {
    let plain = query.with.is_none()
        && query.fetch.is_none()
        && match &query.limit_clause {
            None => true,
            Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, limit_by }) => {
                limit_by.is_empty() && matches!(&limit.value, Value::Number(count, _) if count != "0")
            }
            Some(_) => false,
        };
    let mut counting = Parser::new(&PostgreSqlDialect {})
        .try_with_sql("SELECT count(*) FROM rows_of AS found")
        .and_then(|mut parser| parser.parse_query())
        .expect("the words are ours and parse");
    let SetExpr::Select(count) = counting.body.as_mut() else { return };
    if let SetExpr::Select(select) = query.body.as_mut()
        && plain
        && select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty())
        // An aggregate gives a row even where there is none.
        && select.projection.iter().all(|item| visit_expressions(item, |expr| match expr {
            Expr::Function(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }).is_continue())
    {
        select.projection = std::mem::take(&mut count.projection);
        query.order_by = None;
        query.limit_clause = None;
        return;
    }
    if let Some(TableFactor::Table { alias, .. }) = count.from.first().map(|table| table.relation.clone())
        && let Some(table) = count.from.first_mut()
    {
        let subquery = Box::new(query.clone());
        table.relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    }
    *query = *counting;
}

fn respell_call(expr: &mut Expr) {
    let Some(name) = call_name(expr) else { return };
    let Expr::Function(function) = &mut *expr else { return };
    if name == "gen_random_uuid" {
        function.name = ObjectName::from(vec![Ident::new("uuid")]);
        *expr = cast(expr.clone(), DataType::Uuid);
        return;
    }
    if let Some((_, known)) = NAMES.iter().find(|(postgres, _)| *postgres == name) {
        function.name = ObjectName::from(vec![Ident::new(*known)]);
        return;
    }
    let FunctionArguments::List(list) = &function.args else { return };
    let mut arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument.clone()),
        _ => None,
    });
    match name.as_str() {
        "date_part" => {
            if let (Some(Some(Expr::Value(part))), Some(Some(moment)), None) =
                (arguments.next(), arguments.next(), arguments.next())
                && matches!(&part.value, Value::SingleQuotedString(part) if matches!(part.to_lowercase().as_str(), "second" | "seconds"))
            {
                *expr = seconds(&moment, DataType::DoublePrecision);
            }
        }
        "div" => {
            if let (Some(Some(left)), Some(Some(right)), None) = (arguments.next(), arguments.next(), arguments.next())
            {
                let numeric =
                    |expr| Box::new(cast(Expr::Nested(Box::new(expr)), DataType::Numeric(ExactNumberInfo::None)));
                let quotient =
                    Expr::BinaryOp { left: numeric(left), op: BinaryOperator::Divide, right: numeric(right) };
                *expr = call("trunc", vec![quotient]);
            }
        }
        "mod" => {
            if let (Some(Some(left)), Some(Some(right)), None) = (arguments.next(), arguments.next(), arguments.next())
            {
                let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
                let modulo = Expr::BinaryOp { left: nested(left), op: BinaryOperator::Modulo, right: nested(right) };
                *expr = Expr::Nested(Box::new(modulo));
            }
        }
        "num_nulls" | "num_nonnulls" => {
            let wanted = name == "num_nulls";
            let Some(arguments) = arguments.collect::<Option<Vec<_>>>() else { return };
            let number = |digit: &str| cast(Expr::value(Value::Number(digit.to_owned(), false)), DataType::Int(None));
            let counted = arguments.into_iter().map(|argument| {
                let argument = Box::new(Expr::Nested(Box::new(argument)));
                let condition = if wanted { Expr::IsNull(argument) } else { Expr::IsNotNull(argument) };
                Expr::Case {
                    case_token: AttachedToken::empty(),
                    end_token: AttachedToken::empty(),
                    operand: None,
                    conditions: vec![CaseWhen { condition, result: number("1") }],
                    else_result: Some(Box::new(number("0"))),
                }
            });
            let sum = counted.reduce(|left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::Plus,
                right: Box::new(right),
            });
            if let Some(sum) = sum {
                *expr = Expr::Nested(Box::new(sum));
            }
        }
        _ => {}
    }
}

/// Seconds with their fraction, which DataFusion drops.
fn seconds(moment: &Expr, data_type: DataType) -> Expr {
    let part = Expr::value(Value::SingleQuotedString("microsecond".to_owned()));
    let microseconds = cast(call("date_part", vec![part, moment.clone()]), data_type.clone());
    let million = cast(Expr::value(Value::Number("1000000".to_owned(), false)), data_type.clone());
    let quotient =
        Expr::BinaryOp { left: Box::new(microseconds), op: BinaryOperator::Divide, right: Box::new(million) };
    cast(Expr::Nested(Box::new(quotient)), data_type)
}

/// DataFusion knows the backslash only. A pattern that isn't constant is respelled as it comes.
fn respell_pattern(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) {
    let Some(Value::SingleQuotedString(character)) = escape.as_ref().map(|escape| &escape.value) else { return };
    let mut characters = character.chars();
    let (escape_char, None) = (characters.next(), characters.next()) else { return };
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = pattern else {
        let character = Expr::value(Value::SingleQuotedString(character.clone()));
        let inner = std::mem::replace(pattern, Expr::value(Value::Null));
        *pattern = call("like_escape", vec![inner, character]);
        *escape = None;
        return;
    };
    let mut respelled = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if Some(c) == escape_char {
            let Some(literal) = rest.next() else { return };
            if matches!(literal, '%' | '_' | '\\') {
                respelled.push('\\');
            }
            respelled.push(literal);
        } else {
            if c == '\\' {
                respelled.push('\\');
            }
            respelled.push(c);
        }
    }
    *text = respelled;
    *escape = None;
}
