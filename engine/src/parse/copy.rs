//! COPY to and from clients: `COPY ... TO STDOUT`, `COPY table FROM STDIN`, in the grammar of PostgreSQL 15 and in those of
//! 7.3 and 9.0, which it still takes.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::parse::cursor::Cursor;
use crate::parse::export::{self, bracketed_query, check_options, option, select};
use crate::parse::maintain::rows;
use crate::parse::{CopyIn, CopyOption, CopyOut, Statement, unsupported};
use crate::{Error, Result};

/// `COPY [BINARY] { table [(columns)] | (query) } { TO STDOUT | FROM STDIN } [[USING] DELIMITERS '|'] [[WITH] options]
/// [WHERE condition]`. STDIN and STDOUT mean the same, as in PostgreSQL; what names a file is another statement.
pub(super) fn copy(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if export::writes_a_file(cursor) {
        return export::copy(cursor);
    }
    let whole = cursor.clone();
    cursor.expect_words("COPY")?;
    let mut old = Vec::new();
    if cursor.peek_words("BINARY") && !cursor.peek_words("BINARY TO") && !cursor.peek_words("BINARY FROM") {
        old.push(old_option("format", Some("binary"), cursor));
        cursor.advance();
    }
    if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        let query = bracketed_query(cursor)?;
        cursor.expect_words("TO")?;
        stream(cursor, &whole)?;
        let options = options(cursor, old)?;
        refuse_where(cursor)?;
        return Ok(Statement::CopyOut(Box::new(CopyOut { table: None, query, options })));
    }
    let table = cursor.object_name()?;
    let columns = if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        cursor.parenthesized(|cursor| {
            let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
            Ok((cursor.identifier()?, position))
        })?
    } else {
        Vec::new()
    };
    if cursor.take_words("TO") {
        stream(cursor, &whole)?;
        let options = options(cursor, old)?;
        refuse_where(cursor)?;
        let names: Vec<String> = columns.into_iter().map(|(name, _)| name).collect();
        let query = select(&table, &names, cursor.dialect)?;
        return Ok(Statement::CopyOut(Box::new(CopyOut { table: Some(table), query, options })));
    }
    cursor.expect_words("FROM")?;
    stream(cursor, &whole)?;
    let options = options(cursor, old)?;
    let query = rows(cursor, table.clone(), None)?.query;
    Ok(Statement::CopyIn(Box::new(CopyIn { table, columns, options, query })))
}

/// `STDIN`, `STDOUT`; a file that is read and a program are known and not built.
fn stream(cursor: &mut Cursor<'_>, whole: &Cursor<'_>) -> Result<()> {
    if cursor.take_one_of(&["STDIN", "STDOUT"]).is_some() {
        return Ok(());
    }
    if cursor.peek_string().is_some() || cursor.peek_words("PROGRAM") {
        return Err(unsupported::error(whole));
    }
    Err(cursor.unexpected())
}

fn refuse_where(cursor: &Cursor<'_>) -> Result<()> {
    match cursor.peek().filter(|lexeme| lexeme.is_word("WHERE")) {
        Some(lexeme) => Err(Error::syntax("WHERE clause not allowed with COPY TO").at(lexeme.position)),
        None => Ok(()),
    }
}

fn old_option(name: &str, value: Option<&str>, cursor: &Cursor<'_>) -> CopyOption {
    let position = cursor.peek().map_or(1, |lexeme| lexeme.position);
    CopyOption { name: name.to_owned(), value: value.map(str::to_owned), list: None, position }
}

/// The options, `options` and those that follow.
fn options(cursor: &mut Cursor<'_>, mut options: Vec<CopyOption>) -> Result<Vec<CopyOption>> {
    if cursor.peek_words("USING DELIMITERS") || cursor.peek_words("DELIMITERS") {
        let mut found = old_option("delimiter", None, cursor);
        cursor.take_words("USING");
        cursor.advance();
        found.value = Some(cursor.string()?);
        options.push(found);
    }
    cursor.take_words("WITH");
    if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        options.extend(cursor.parenthesized(option)?);
    } else {
        while let Some(found) = old(cursor)? {
            options.push(found);
        }
    }
    check_options(&options)?;
    Ok(options)
}

/// One option in the words of PostgreSQL before 9.0.
fn old(cursor: &mut Cursor<'_>) -> Result<Option<CopyOption>> {
    const WORDS: &[&str] = &[
        "BINARY",
        "CSV",
        "FREEZE",
        "HEADER",
        "DELIMITER",
        "NULL",
        "QUOTE",
        "ESCAPE",
        "ENCODING",
        "FORCE QUOTE",
        "FORCE NOT NULL",
        "FORCE NULL",
    ];
    let mut found = old_option("", None, cursor);
    let Some(word) = cursor.take_one_of(WORDS) else { return Ok(None) };
    found.name = word.to_lowercase().replace(' ', "_");
    match word {
        "BINARY" | "CSV" => {
            found.name = "format".to_owned();
            found.value = Some(word.to_lowercase());
        }
        "HEADER" | "FREEZE" => {}
        "FORCE QUOTE" if cursor.take_token(&Token::Mul) => found.value = Some("*".to_owned()),
        "FORCE QUOTE" | "FORCE NOT NULL" | "FORCE NULL" => {
            found.list = Some(cursor.comma_separated(Cursor::identifier)?);
        }
        _ => {
            cursor.take_words("AS");
            found.value = Some(cursor.string()?);
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::parse::{Dialect, parse};

    fn one(sql: &str) -> Statement {
        parse(sql, Dialect::Postgres).unwrap_or_else(|error| panic!("{sql}: {error}")).pop().unwrap().statement
    }

    fn shown(options: &[CopyOption]) -> String {
        let one = |option: &CopyOption| {
            let list = option.list.as_ref().map(|list| format!("({})", list.join(" ")));
            format!("{}={}", option.name, option.value.clone().or(list).unwrap_or_default())
        };
        options.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_spellings_give_the_same_options() {
        for (sql, options) in [
            ("COPY t TO STDOUT", ""),
            ("COPY t TO STDIN WITH (FORMAT csv, HEADER, DELIMITER ';')", "format=csv header= delimiter=;"),
            (
                "COPY (SELECT 1) TO STDOUT WITH CSV HEADER DELIMITER AS ';' NULL ''",
                "format=csv header= delimiter=; null=",
            ),
            ("COPY BINARY t TO STDOUT", "format=binary"),
            ("COPY t TO STDOUT BINARY", "format=binary"),
            ("COPY t (a, \"b\") TO STDOUT USING DELIMITERS '|' WITH NULL AS 'x'", "delimiter=| null=x"),
            ("COPY t TO STDOUT CSV FORCE QUOTE a, b QUOTE ''''", "format=csv force_quote=(a b) quote='"),
            ("COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE (a, b))", "format=csv force_quote=(a b)"),
            ("COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE *)", "format=csv force_quote=*"),
            ("COPY t TO STDOUT CSV FORCE QUOTE *", "format=csv force_quote=*"),
        ] {
            let Statement::CopyOut(copy) = one(sql) else { panic!("{sql}") };
            assert_eq!(shown(&copy.options), options, "{sql}");
        }
        for (sql, options, condition) in [
            ("COPY t FROM STDIN", "", false),
            (
                "COPY t FROM STDOUT CSV FORCE NOT NULL a FORCE NULL b",
                "format=csv force_not_null=(a) force_null=(b)",
                false,
            ),
            (
                "COPY d.t (a, b) FROM STDIN (FORMAT csv, ON_ERROR ignore) WHERE a > 1",
                "format=csv on_error=ignore",
                true,
            ),
            ("COPY t FROM STDIN WITH CSV WHERE b = 'x' AND a IN (1, 2)", "format=csv", true),
        ] {
            let Statement::CopyIn(copy) = one(sql) else { panic!("{sql}") };
            assert_eq!(
                (shown(&copy.options).as_str(), copy.query.to_string().contains("WHERE")),
                (options, condition),
                "{sql}"
            );
        }
    }

    #[test]
    fn what_is_not_copy() {
        for (sql, message) in [
            ("COPY t TO STDOUT WHERE a > 1", "42601: WHERE clause not allowed with COPY TO"),
            ("COPY (SELECT 1) FROM STDIN", "42601: syntax error at or near \"FROM\""),
            ("COPY t FROM '/etc/passwd'", "0A000: COPY is not supported yet"),
            ("COPY t TO PROGRAM 'cat'", "0A000: COPY is not supported yet"),
            ("COPY t FROM PROGRAM 'cat'", "0A000: COPY is not supported yet"),
            ("COPY t TO STDOUT CSV CSV", "42601: conflicting or redundant options"),
            ("COPY t TO nowhere", "42601: syntax error at or near \"nowhere\""),
            ("COPY t", "42601: syntax error at end of input"),
            ("COPY t FROM STDIN WHERE", "42601: syntax error at end of input"),
        ] {
            let error = parse(sql, Dialect::Postgres).map(|_| ()).unwrap_err();
            assert_eq!(format!("{}: {}", error.code.sqlstate(), error.message), message, "{sql}");
        }
    }
}
