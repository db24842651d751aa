//! Where a name stands in a statement: the planner says which column or table doesn't exist, and no longer knows where.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::lexer;
use super::{Dialect, ParsedStatement};
use crate::{Error, ErrorCode};

/// `error` with the position of the name it quotes, where it has none and the name stands in `statement`.
pub(crate) fn locate(error: Error, statement: &ParsedStatement, dialect: Dialect) -> Error {
    if error.position.is_none() && is_about_a_constant(&error) {
        return locate_constant(error, statement, dialect);
    }
    let named = matches!(
        error.code,
        ErrorCode::UndefinedColumn
            | ErrorCode::UndefinedTable
            | ErrorCode::AmbiguousColumn
            | ErrorCode::InvalidSchemaName
    );
    if !named || error.position.is_some() {
        return error;
    }
    let Some(name) = error.message.split('"').nth(1) else {
        return error;
    };
    // `table.column` as a whole begins at its first part.
    let first = name.split('.').next().unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    let Ok(parts) = lexer::split(&statement.sql, dialect) else {
        return error;
    };
    let words: Vec<_> = parts.iter().flat_map(|part| &part.lexemes).collect();
    let is = |index: usize, name: &str| words.get(index).is_some_and(|lexeme| lexeme.is_name(name));
    let qualified = (0..words.len()).find(|&index| is(index, first) && is(index + 2, last));
    let found = qualified.filter(|_| first != last).or_else(|| (0..words.len()).find(|&index| is(index, last)));
    match found {
        Some(index) => {
            let position = statement.offset + words[index].position;
            error.at(position)
        }
        None => error,
    }
}

/// Errors that quote the constant that is wrong, or are about the only constant there is.
fn is_about_a_constant(error: &Error) -> bool {
    matches!(
        error.code,
        ErrorCode::InvalidTextRepresentation
            | ErrorCode::InvalidDatetimeFormat
            | ErrorCode::DatetimeFieldOverflow
            | ErrorCode::IntervalFieldOverflow
            | ErrorCode::InvalidTimeZoneDisplacement
    ) || (error.code == ErrorCode::NumericValueOutOfRange && error.message.contains("out of range for type"))
}

/// The place of the constant whose text the message quotes last.
fn locate_constant(error: Error, statement: &ParsedStatement, dialect: Dialect) -> Error {
    let Some((_, quoted)) = error.message.strip_suffix('"').and_then(|message| message.split_once('"')) else {
        return match error.message.split('"').nth(1).map(str::to_owned) {
            // `value "40000" is out of range for type smallint`
            Some(text) => at_constant(error, &text, statement, dialect),
            None => error,
        };
    };
    let quoted = quoted.to_owned();
    at_constant(error, &quoted, statement, dialect)
}

fn at_constant(error: Error, text: &str, statement: &ParsedStatement, dialect: Dialect) -> Error {
    let Ok(parts) = lexer::split(&statement.sql, dialect) else {
        return error;
    };
    let found = parts.iter().flat_map(|part| &part.lexemes).find(|lexeme| match &lexeme.token.token {
        Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => value == text,
        Token::DollarQuotedString(value) => value.value == text,
        _ => false,
    });
    match found.map(|lexeme| statement.offset + lexeme.position) {
        Some(position) => error.at(position),
        None => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::parse::parse;

    #[test]
    fn names_are_found() {
        for (sql, name, position) in [
            ("SELECT nope FROM t", "nope", Some(8)),
            ("SELECT 1; SELECT 'nope', NOPE FROM t", "nope", Some(26)),
            ("SELECT a.nope, nope FROM t a", "a.nope", Some(8)),
            ("SELECT \"no pe\" FROM t", "no pe", Some(8)),
            ("SELECT * FROM t", "other", None),
        ] {
            let statement = parse(sql, Dialect::Postgres).unwrap().pop().unwrap();
            let error = Error::new(ErrorCode::UndefinedColumn, format!("column \"{name}\" does not exist"));
            assert_eq!(locate(error, &statement, Dialect::Postgres).position, position, "{sql}");
        }
    }
}
