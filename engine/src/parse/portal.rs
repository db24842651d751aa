//! SQL cursors: DECLARE, FETCH, MOVE and CLOSE, in PostgreSQL's grammar
//! (<https://www.postgresql.org/docs/15/sql-declare.html>, <https://www.postgresql.org/docs/15/sql-fetch.html>).

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::cursor::Cursor;
use crate::parse::lexer::Lexeme;
use crate::parse::{ParsedStatement, Statement, query};
use crate::{Error, ErrorCode, Result};

/// `DECLARE name [options] CURSOR [WITH HOLD] FOR query`.
#[derive(Debug, Clone)]
pub struct DeclareCursor {
    /// The cursor's name.
    pub name: String,
    /// Rows are fetched in the binary format.
    pub binary: bool,
    /// `SCROLL`, `NO SCROLL`, or neither.
    pub scroll: Option<bool>,
    /// The cursor outlives its transaction.
    pub hold: bool,
    /// The query, with its place in the text.
    pub query: Box<ParsedStatement>,
}

/// FETCH or MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchCursor {
    /// The cursor's name.
    pub name: String,
    /// Where to.
    pub direction: FetchDirection,
    /// MOVE: the cursor moves, no rows are told.
    pub is_move: bool,
}

/// Which rows FETCH is about. NEXT, PRIOR, FIRST and LAST are short for some of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchDirection {
    /// The next rows, `None` for all; backward if negative.
    Forward(Option<i64>),
    /// The rows before, `None` for all; forward if negative.
    Backward(Option<i64>),
    /// The n-th row, from the end if negative; 0 is before the first.
    Absolute(i64),
    /// The n-th row from here.
    Relative(i64),
}

/// After DECLARE.
pub(crate) fn declare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.identifier_as_written()?;
    let (mut binary, mut scroll, mut insensitive, mut asensitive) = (false, None, false, false);
    loop {
        let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
        let both = |what: &str| {
            Err(Error::new(ErrorCode::InvalidCursorDefinition, format!("cannot specify both {what}")).at(position))
        };
        if cursor.take_words("BINARY") {
            binary = true;
        } else if cursor.take_words("NO SCROLL") {
            if scroll == Some(true) {
                return both("SCROLL and NO SCROLL");
            }
            scroll = Some(false);
        } else if cursor.take_words("SCROLL") {
            if scroll == Some(false) {
                return both("SCROLL and NO SCROLL");
            }
            scroll = Some(true);
        } else if cursor.take_words("INSENSITIVE") {
            if asensitive {
                return both("INSENSITIVE and ASENSITIVE");
            }
            insensitive = true;
        } else if cursor.take_words("ASENSITIVE") {
            if insensitive {
                return both("INSENSITIVE and ASENSITIVE");
            }
            asensitive = true;
        } else {
            break;
        }
    }
    cursor.expect_words("CURSOR")?;
    let hold = cursor.take_words("WITH HOLD");
    if !hold {
        cursor.take_words("WITHOUT HOLD");
    }
    cursor.expect_words("FOR")?;
    let (sql, offset) = (cursor.rest_text().to_owned(), cursor.peek().map_or(0, |first| first.position - 1));
    match cursor.peek_word().as_deref() {
        Some("SELECT" | "WITH" | "VALUES" | "TABLE") => {}
        None if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) => {}
        _ => return Err(cursor.unexpected()),
    }
    let query = Box::new(ParsedStatement { statement: query::statement(cursor)?, sql, offset });
    Ok(Statement::Declare(Box::new(DeclareCursor { name, binary, scroll, hold, query })))
}

/// After FETCH or MOVE.
pub(crate) fn fetch(cursor: &mut Cursor<'_>, is_move: bool) -> Result<Statement> {
    use FetchDirection::{Absolute, Backward, Forward, Relative};
    // `FETCH next` is about a cursor of that name: the words are no reserved ones.
    let names_a_cursor = cursor.peek_nth(1).is_none();
    let direction = if names_a_cursor {
        Forward(Some(1))
    } else if let Some(word) = cursor.take_one_of(&["NEXT", "PRIOR", "FIRST", "LAST", "ALL"]) {
        match word {
            "NEXT" => Forward(Some(1)),
            "PRIOR" => Backward(Some(1)),
            "FIRST" => Absolute(1),
            "LAST" => Absolute(-1),
            _ => Forward(None),
        }
    } else if cursor.take_words("ABSOLUTE") {
        Absolute(count(cursor)?)
    } else if cursor.take_words("RELATIVE") {
        Relative(count(cursor)?)
    } else if let Some(word) = cursor.take_one_of(&["FORWARD", "BACKWARD"]) {
        let count = if cursor.take_words("ALL") {
            None
        } else if cursor.peek().is_some_and(begins_number) {
            Some(count(cursor)?)
        } else {
            Some(1)
        };
        if word == "FORWARD" { Forward(count) } else { Backward(count) }
    } else if cursor.peek().is_some_and(begins_number) {
        Forward(Some(count(cursor)?))
    } else {
        Forward(Some(1))
    };
    // Reserved words, so no cursor's name unless they are quoted.
    if !cursor.take_words("FROM") {
        cursor.take_words("IN");
    }
    let name = cursor.identifier_as_written()?;
    Ok(Statement::Fetch(FetchCursor { name, direction, is_move }))
}

/// After CLOSE.
pub(crate) fn close(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = if cursor.take_words("ALL") { None } else { Some(cursor.identifier_as_written()?) };
    Ok(Statement::CloseCursor { name })
}

fn begins_number(lexeme: &Lexeme) -> bool {
    matches!(lexeme.token.token, Token::Number(..) | Token::Minus | Token::Plus)
}

/// A count of rows: an integer of four bytes, as PostgreSQL's grammar has it.
fn count(cursor: &mut Cursor<'_>) -> Result<i64> {
    let negative = cursor.take_token(&Token::Minus);
    if !negative {
        cursor.take_token(&Token::Plus);
    }
    let number = match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(digits, false)) => digits.parse::<i32>().ok(),
        _ => None,
    };
    let Some(number) = number else { return Err(cursor.unexpected()) };
    cursor.advance();
    Ok(if negative { -i64::from(number) } else { i64::from(number) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::FetchDirection::{Absolute, Backward, Forward, Relative};
    use super::*;
    use crate::parse::{Dialect, parse};

    fn statement(sql: &str) -> Result<Statement> {
        Ok(parse(sql, Dialect::Postgres)?.remove(0).statement)
    }

    #[test]
    fn every_direction_is_understood() {
        for (sql, direction, name) in [
            ("FETCH c", Forward(Some(1)), "c"),
            ("FETCH FROM c", Forward(Some(1)), "c"),
            ("FETCH IN c", Forward(Some(1)), "c"),
            ("FETCH next", Forward(Some(1)), "next"),
            ("FETCH NEXT c", Forward(Some(1)), "c"),
            ("FETCH NEXT FROM next", Forward(Some(1)), "next"),
            ("FETCH PRIOR FROM \"My c\"", Backward(Some(1)), "My c"),
            ("FETCH FIRST IN c", Absolute(1), "c"),
            ("FETCH LAST c", Absolute(-1), "c"),
            ("FETCH ABSOLUTE -3 FROM c", Absolute(-3), "c"),
            ("FETCH ABSOLUTE +3 c", Absolute(3), "c"),
            ("FETCH RELATIVE 0 c", Relative(0), "c"),
            ("FETCH 10 FROM c", Forward(Some(10)), "c"),
            ("FETCH -10 c", Forward(Some(-10)), "c"),
            ("FETCH ALL c", Forward(None), "c"),
            ("FETCH FORWARD c", Forward(Some(1)), "c"),
            ("FETCH FORWARD 5 IN c", Forward(Some(5)), "c"),
            ("FETCH FORWARD ALL FROM c", Forward(None), "c"),
            ("FETCH BACKWARD FROM c", Backward(Some(1)), "c"),
            ("FETCH BACKWARD -2 FROM c", Backward(Some(-2)), "c"),
            ("FETCH BACKWARD ALL c", Backward(None), "c"),
        ] {
            let expected = FetchCursor { name: name.to_owned(), direction, is_move: false };
            match statement(sql).unwrap() {
                Statement::Fetch(fetch) => assert_eq!(fetch, expected, "{sql}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
        for sql in ["FETCH", "FETCH ABSOLUTE c", "FETCH 99999999999 c", "FETCH 1.5 c", "FETCH ALL FROM", "MOVE c d"] {
            assert_eq!(statement(sql).unwrap_err().code, ErrorCode::SyntaxError, "{sql}");
        }
    }

    #[test]
    fn options_of_declare_may_come_in_any_order() {
        let Statement::Declare(declare) =
            statement("DECLARE c NO SCROLL BINARY INSENSITIVE CURSOR WITH HOLD FOR SELECT $1::int").unwrap()
        else {
            panic!("not a DECLARE")
        };
        assert_eq!(
            (declare.name.as_str(), declare.binary, declare.scroll, declare.hold),
            ("c", true, Some(false), true)
        );
        assert_eq!((declare.query.sql.as_str(), declare.query.offset), ("SELECT $1::int", 60));
        for sql in [
            "DECLARE c CURSOR SELECT 1",
            "DECLARE c CURSOR FOR INSERT INTO t VALUES (1)",
            "DECLARE c SCROLL FOR SELECT 1",
            "DECLARE c CURSOR WITH FOR SELECT 1",
        ] {
            assert_eq!(statement(sql).unwrap_err().code, ErrorCode::SyntaxError, "{sql}");
        }
        for sql in
            ["DECLARE c SCROLL NO SCROLL CURSOR FOR SELECT 1", "DECLARE c ASENSITIVE INSENSITIVE CURSOR FOR SELECT 1"]
        {
            assert_eq!(statement(sql).unwrap_err().code.sqlstate(), "42P11", "{sql}");
        }
    }
}
