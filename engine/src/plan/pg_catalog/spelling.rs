//! PostgreSQL's spellings of what DataFusion has under another name or in another form: `ceiling`, `mod`, `every`, `~x`,
//! `x ^@ y`, `LIKE ... ESCAPE`, `x::varchar(3)`.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CharacterLength, DataType, DateTimeField, ExactNumberInfo, Expr, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, ObjectName, UnaryOperator, Value, ValueWithSpan,
};

use super::rewrite::{call, call_name, cast};

/// PostgreSQL's name and DataFusion's.
const NAMES: [(&str, &str); 4] =
    [("ceiling", "ceil"), ("sign", "signum"), ("every", "bool_and"), ("variance", "var_samp")];

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
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("timezone", vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]);
        }
        Expr::Extract { field: DateTimeField::Second | DateTimeField::Seconds, expr: moment, .. } => {
            *expr = seconds(moment, DataType::Decimal(ExactNumberInfo::PrecisionAndScale(20, 6)));
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            respell_pattern(pattern, escape_char);
        }
        Expr::Cast {
            expr: inner,
            data_type:
                data_type @ (DataType::Varchar(Some(CharacterLength::IntegerLength { .. }))
                | DataType::CharacterVarying(Some(CharacterLength::IntegerLength { .. }))
                | DataType::Char(Some(CharacterLength::IntegerLength { .. }))
                | DataType::Character(Some(CharacterLength::IntegerLength { .. }))),
            ..
        } => {
            let (DataType::Varchar(Some(length))
            | DataType::CharacterVarying(Some(length))
            | DataType::Char(Some(length))
            | DataType::Character(Some(length))) = &*data_type
            else {
                return;
            };
            let CharacterLength::IntegerLength { length, .. } = length else { return };
            let length = Expr::value(Value::Number(length.to_string(), false));
            let text = cast(std::mem::replace(inner.as_mut(), Expr::value(Value::Null)), DataType::Text);
            **inner = call("left", vec![text, length]);
            *data_type = DataType::Varchar(None);
        }
        _ => {}
    }
}

fn respell_call(expr: &mut Expr) {
    let Some(name) = call_name(expr) else { return };
    let Expr::Function(function) = &mut *expr else { return };
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

/// DataFusion knows the backslash only. A pattern that isn't constant stays, and so does DataFusion's error.
fn respell_pattern(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) {
    let Some(Value::SingleQuotedString(character)) = escape.as_ref().map(|escape| &escape.value) else { return };
    let mut characters = character.chars();
    let (escape_char, None) = (characters.next(), characters.next()) else { return };
    let Expr::Value(value) = pattern else { return };
    let Value::SingleQuotedString(text) = &mut value.value else { return };
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
