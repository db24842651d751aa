//! What PostgreSQL reads into constants: a whole number that fits is an `integer`, where DataFusion has `bigint`; an interval
//! may be written `1 day 02:03:04` or `'2-3' YEAR TO MONTH`.
//!
//! Numbers are typed where it shows: select lists, VALUES, arithmetic, and what CASE, arrays, aggregates and `coalesce` and
//! its kin give. Elsewhere (comparisons, LIMIT, other functions' arguments) DataFusion makes the types meet.

use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, DataType, DateTimeField, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    SelectItem, SetExpr, UnaryOperator, Value,
};

use super::rewrite::{call_name, cast};

/// Types the constants in a select list. One without an alias gets PostgreSQL's name for it, before the cast that stands for
/// its type can give another.
pub(super) fn type_items(items: &mut [SelectItem]) {
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expr) if is_small_integer(expr) => {
                let mut expr = expr.clone();
                type_integer(&mut expr);
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', "?column?") };
            }
            SelectItem::ExprWithAlias { expr, .. } => type_integer(expr),
            _ => {}
        }
    }
}

/// Types the constants of VALUES.
pub(super) fn type_values(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => values.rows.iter_mut().flat_map(|row| row.content.iter_mut()).for_each(type_integer),
        SetExpr::SetOperation { left, right, .. } => {
            type_values(left);
            type_values(right);
        }
        _ => {}
    }
}

/// Types the constants that `expr` combines.
pub(super) fn type_operands(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { left, op, right } if is_arithmetic(op) => {
            type_integer(left);
            type_integer(right);
        }
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter_mut().for_each(|when| type_integer(&mut when.result));
            if let Some(other) = else_result {
                type_integer(other);
            }
        }
        Expr::Array(Array { elem, .. }) => elem.iter_mut().for_each(type_integer),
        Expr::Function(_) => {
            let name = call_name(expr).unwrap_or_default();
            let typed = [
                "coalesce",
                "nullif",
                "greatest",
                "least",
                "sum",
                "min",
                "max",
                "avg",
                "array_agg",
                "pg_typeof",
                "abs",
            ];
            if let Expr::Function(function) = expr
                && typed.contains(&name.as_str())
                && let FunctionArguments::List(list) = &mut function.args
            {
                for argument in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument {
                        type_integer(argument);
                    }
                }
            }
        }
        _ => {}
    }
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseOr
            | BinaryOperator::PGBitwiseXor
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
    )
}

/// A constant that fits four bytes, with or without a sign.
pub(super) fn is_small_integer(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(&value.value, Value::Number(digits, _) if digits.parse::<i32>().is_ok()),
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Plus | UnaryOperator::Minus, expr: inner } => {
            is_small_integer(inner)
        }
        _ => false,
    }
}

fn type_integer(expr: &mut Expr) {
    if !is_small_integer(expr) {
        return;
    }
    match expr {
        // A sign that says nothing would only give the column another name.
        Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => {
            type_integer(inner);
            *expr = std::mem::replace(inner, Expr::value(Value::Null));
        }
        Expr::Nested(inner) => type_integer(inner),
        constant => {
            let inner = std::mem::replace(constant, Expr::value(Value::Null));
            *constant = cast(inner, DataType::Int(None));
        }
    }
}

/// `1e-300::double precision` needs no detour through a decimal, which holds 38 digits.
pub(super) fn read_float(expr: &mut Expr) {
    let Expr::Cast { expr: inner, data_type, .. } = expr else { return };
    let float = matches!(
        data_type,
        DataType::Double(_)
            | DataType::DoublePrecision
            | DataType::Real
            | DataType::Float(_)
            | DataType::Float4
            | DataType::Float8
    );
    if let Expr::Value(value) = inner.as_mut()
        && float
        && let Value::Number(digits, _) = &value.value
        && digits.contains(['e', 'E'])
    {
        value.value = Value::SingleQuotedString(digits.clone());
    }
}

/// Spells an interval so that DataFusion reads it.
pub(super) fn spell_interval(expr: &mut Expr) {
    let Expr::Interval(interval) = expr else { return };
    let Expr::Value(value) = interval.value.as_mut() else { return };
    let Value::SingleQuotedString(text) = &mut value.value else { return };
    if let (Some(DateTimeField::Year), Some(DateTimeField::Month)) = (&interval.leading_field, &interval.last_field)
        && let Some((years, months)) = text.trim_start_matches('-').split_once('-')
        && years.parse::<i32>().is_ok()
        && months.parse::<i32>().is_ok()
    {
        let sign = if text.starts_with('-') { "-" } else { "" };
        *text = format!("{sign}{years} years {sign}{months} months");
        interval.leading_field = None;
        interval.last_field = None;
    } else if interval.leading_field.is_none()
        && let Some(spelled) = spelled_interval(text)
    {
        *text = spelled;
    }
}

/// `1 day -02:03:04.5` -> `1 day -2 hours -3 minutes -04.5 seconds`; `None` if there is neither a time nor a plus in it.
fn spelled_interval(text: &str) -> Option<String> {
    if !text.contains([':', '+']) {
        return None;
    }
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let Some((hours, rest)) = word.split_once(':') else {
            words.push(word.strip_prefix('+').unwrap_or(word).to_owned());
            continue;
        };
        let sign = if hours.starts_with('-') { "-" } else { "" };
        let hours: u32 = hours.trim_start_matches(['-', '+']).parse().ok()?;
        let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
        let minutes: u32 = minutes.parse().ok()?;
        if seconds.is_empty() || !seconds.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return None;
        }
        words.push(format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"));
    }
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_intervals_are_spelled_out() {
        for (text, expected) in [
            ("1 day", None),
            ("1 day 02:03:04.5", Some("1 day 2 hours 3 minutes 04.5 seconds")),
            ("-02:03", Some("-2 hours -3 minutes -0 seconds")),
            ("-1 mons +2 days +00:00:01", Some("-1 mons 2 days 0 hours 0 minutes 01 seconds")),
            ("1:2:x", None),
        ] {
            assert_eq!(spelled_interval(text).as_deref(), expected, "{text}");
        }
    }
}
