//! CREATE, ALTER, RUN, SHOW and DROP of reports, and parameters in the text of a query.
//!
//! ```text
//! CREATE [OR REPLACE] REPORT [IF NOT EXISTS] name
//!   [PARAMETERS (name type [DEFAULT constant], ...)] [TITLE '..'] [COMMENT '..'] [TIME ZONE '..']
//!   TO 'location' [FORMAT word] [COMPRESSION word] [, ...]
//!   [CHART kind (column, ...) [ON query] [TITLE '..']] ... | [NO CHARTS]
//!   [EMAIL TO 'address' [, ...] [SUBJECT '..'] [BODY TEXT | HTML] [WITHOUT ATTACHMENTS]]
//!   [WEBHOOK name [, ...]]
//!   AS query | AS (name AS (query), ...)
//! ```
//! The clauses before AS come in any order. The query is last, so that nothing has to tell where it ends.

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::{
    CreateMode, DataType, ReportChart, ReportEmail, ReportOutput, ReportParameter, ReportQuery, ReportValue,
};

use super::cursor::Cursor;
use super::lexer::{self, Lexeme};
use super::statement::NamePattern;
use super::{Dialect, Statement, ddl};
use crate::{Error, ErrorCode, Result};

/// A statement about reports.
#[derive(Debug, Clone)]
pub enum ReportStatement {
    Create {
        name: String,
        clauses: Box<ReportClauses>,
        mode: CreateMode,
    },
    /// ALTER REPORT r SET clause ...
    Alter {
        name: String,
        clauses: Box<ReportClauses>,
    },
    Rename {
        name: String,
        to: String,
    },
    Drop {
        name: String,
        if_exists: bool,
    },
    Run {
        name: String,
        arguments: Vec<(String, ReportValue)>,
        at: Option<String>,
    },
    Show {
        pattern: Option<NamePattern>,
    },
    ShowCreate {
        name: String,
    },
}

/// What is said of a report; `None` where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportClauses {
    pub parameters: Option<Vec<ReportParameter>>,
    pub title: Option<String>,
    pub comment: Option<String>,
    pub time_zone: Option<String>,
    /// Without a format where the name of the file has to tell it.
    pub outputs: Option<Vec<ReportOutput>>,
    pub charts: Option<Vec<ReportChart>>,
    /// `Some(None)` is NO EMAIL.
    pub email: Option<Option<ReportEmail>>,
    pub webhooks: Option<Vec<String>>,
    pub queries: Option<Vec<ReportQuery>>,
    /// AUTO CHARTS: as their columns suggest.
    pub auto_charts: bool,
}

/// After CREATE [OR REPLACE] REPORT.
pub(in crate::parse) fn create(cursor: &mut Cursor<'_>, mode: CreateMode) -> Result<Statement> {
    let name = cursor.identifier()?;
    let clauses = clauses(cursor, &name)?;
    for (clause, is_there) in [("TO", clauses.outputs.is_some()), ("AS", clauses.queries.is_some())] {
        if !is_there {
            return Err(cursor.unexpected().with_detail(format!("CREATE REPORT needs {clause}.")));
        }
    }
    Ok(Statement::Report(Box::new(ReportStatement::Create { name, clauses: Box::new(clauses), mode })))
}

/// After ALTER REPORT.
pub(in crate::parse) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.identifier()?;
    if cursor.take_words("RENAME TO") {
        let to = cursor.identifier()?;
        return Ok(Statement::Report(Box::new(ReportStatement::Rename { name, to })));
    }
    cursor.expect_words("SET")?;
    if cursor.at_end() {
        return Err(cursor.unexpected());
    }
    let clauses = Box::new(clauses(cursor, &name)?);
    Ok(Statement::Report(Box::new(ReportStatement::Alter { name, clauses })))
}

/// After RUN REPORT: `name [(parameter => constant, ...)] [AT 'time']`.
pub(in crate::parse) fn run(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.identifier()?;
    let arguments = if is_open(cursor) {
        cursor.parenthesized(|cursor| {
            let name = cursor.identifier()?;
            if !cursor.take_token(&Token::RArrow) && !cursor.take_token(&Token::Assignment) {
                cursor.expect_token(&Token::Eq)?;
            }
            Ok((name, ReportValue(ddl::constant(cursor)?)))
        })?
    } else {
        Vec::new()
    };
    let at =
        if cursor.take_words("AT") { Some(ddl::constant(cursor)?.ok_or_else(|| cursor.unexpected())?) } else { None };
    Ok(Statement::Report(Box::new(ReportStatement::Run { name, arguments, at })))
}

fn is_open(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen)
}

/// The clauses up to the end; each once at most, but CHART.
fn clauses(cursor: &mut Cursor<'_>, report: &str) -> Result<ReportClauses> {
    let mut clauses = ReportClauses::default();
    while !cursor.at_end() {
        let place = cursor.clone();
        let is_first = if cursor.take_words("PARAMETERS") {
            set(&mut clauses.parameters, parameters(cursor)?)
        } else if cursor.take_words("TITLE") {
            set(&mut clauses.title, cursor.string()?)
        } else if cursor.take_words("COMMENT") {
            set(&mut clauses.comment, cursor.string()?)
        } else if cursor.take_words("TIME ZONE") {
            set(&mut clauses.time_zone, cursor.string()?)
        } else if cursor.take_words("TO") {
            set(&mut clauses.outputs, cursor.comma_separated(output)?)
        } else if cursor.take_words("NO CHARTS") {
            set(&mut clauses.charts, Vec::new())
        } else if cursor.take_words("AUTO CHARTS") {
            let is_first = clauses.charts.is_none() && !clauses.auto_charts;
            clauses.auto_charts = true;
            is_first
        } else if cursor.take_words("CHART") {
            let charts = clauses.charts.get_or_insert_default();
            charts.push(chart(cursor)?);
            !clauses.auto_charts
        } else if cursor.take_words("NO EMAIL") {
            set(&mut clauses.email, None)
        } else if cursor.take_words("EMAIL TO") {
            set(&mut clauses.email, Some(email(cursor)?))
        } else if cursor.take_words("NO WEBHOOK") {
            set(&mut clauses.webhooks, Vec::new())
        } else if cursor.take_words("WEBHOOK") {
            set(&mut clauses.webhooks, cursor.comma_separated(name_or_string)?)
        } else if cursor.take_words("AS") {
            clauses.queries = Some(queries(cursor, report)?);
            return Ok(clauses);
        } else {
            return Err(cursor.unexpected());
        };
        if !is_first {
            return Err(Error::syntax("conflicting or redundant clauses").at(place.peek().map_or(1, |l| l.position)));
        }
    }
    Ok(clauses)
}

fn set<T>(clause: &mut Option<T>, value: T) -> bool {
    clause.replace(value).is_none()
}

fn name_or_string(cursor: &mut Cursor<'_>) -> Result<String> {
    if cursor.peek_string().is_some() { cursor.string() } else { cursor.identifier() }
}

fn parameters(cursor: &mut Cursor<'_>) -> Result<Vec<ReportParameter>> {
    cursor.parenthesized(|cursor| {
        let place = cursor.peek().map_or(1, |lexeme| lexeme.position);
        let name = cursor.identifier()?;
        if BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
            let message = format!("parameter name \"{name}\" is reserved");
            return Err(Error::new(ErrorCode::ReservedName, message).at(place));
        }
        let type_place = cursor.peek().map_or(1, |lexeme| lexeme.position);
        let data_type = parameter_type(cursor, type_place)?;
        let default = if cursor.take_words("DEFAULT") { Some(ReportValue(ddl::constant(cursor)?)) } else { None };
        Ok(ReportParameter { name, data_type, default })
    })
}

/// The type's name in casts. It is read up to DEFAULT, which is no part of any type.
fn parameter_type(cursor: &mut Cursor<'_>, place: usize) -> Result<String> {
    let refused = |what: &str| Error::unsupported(format!("a parameter cannot be of type {what}")).at(place);
    let first = cursor.clone();
    // `varchar` and `numeric` without a length, which Hive's types don't have.
    for (word, name) in [("VARCHAR", "varchar"), ("TEXT", "text"), ("NUMERIC", "numeric"), ("DECIMAL", "numeric")] {
        let followed = cursor.peek_nth(1).is_some_and(|lexeme| lexeme.token.token == Token::LParen);
        if cursor.peek_words(word) && !followed {
            cursor.advance();
            return Ok(name.to_owned());
        }
    }
    for (words, name) in
        [("DOUBLE PRECISION", "double precision"), ("CHARACTER VARYING", "varchar"), ("BOOLEAN", "boolean")]
    {
        if cursor.take_words(words) {
            return Ok(name.to_owned());
        }
    }
    *cursor = first;
    Ok(match ddl::data_type(cursor)? {
        DataType::Boolean => "boolean".to_owned(),
        DataType::TinyInt | DataType::SmallInt => "smallint".to_owned(),
        DataType::Int => "integer".to_owned(),
        DataType::BigInt => "bigint".to_owned(),
        DataType::Float => "real".to_owned(),
        DataType::Double => "double precision".to_owned(),
        DataType::Decimal(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::String => "varchar".to_owned(),
        DataType::Varchar(length) => format!("varchar({length})"),
        DataType::Char(length) => format!("char({length})"),
        DataType::Date => "date".to_owned(),
        DataType::Time => "time".to_owned(),
        DataType::Timestamp => "timestamp".to_owned(),
        DataType::TimestampTz => "timestamp with time zone".to_owned(),
        other @ (DataType::Binary | DataType::Json | DataType::Array(_) | DataType::Map(..) | DataType::Struct(_)) => {
            return Err(refused(&other.to_string()));
        }
    })
}

fn output(cursor: &mut Cursor<'_>) -> Result<ReportOutput> {
    let location = cursor.string()?;
    let (mut format, mut compression) = (None, None);
    loop {
        let place = cursor.clone();
        let is_first = if cursor.take_words("FORMAT") {
            set(&mut format, name_or_string(cursor)?.to_lowercase())
        } else if cursor.take_words("COMPRESSION") {
            set(&mut compression, name_or_string(cursor)?.to_lowercase())
        } else {
            break;
        };
        if !is_first {
            return Err(place.unexpected());
        }
    }
    Ok(ReportOutput { location, format: format.unwrap_or_default(), compression })
}

fn chart(cursor: &mut Cursor<'_>) -> Result<ReportChart> {
    let place = cursor.clone();
    let kind = match cursor.take_one_of(&["LINE", "AREA", "BAR", "SCATTER", "PIE", "NUMBER", "BIG NUMBER"]) {
        Some("BIG NUMBER") => "NUMBER",
        Some(kind) => kind,
        None => {
            return Err(place.unexpected().with_detail("Charts are LINE, AREA, BAR, SCATTER, PIE and NUMBER."));
        }
    };
    let columns = cursor.parenthesized(Cursor::identifier_as_written)?;
    let expected = if kind == "NUMBER" { 1..=1 } else { 2..=3 };
    if !expected.contains(&columns.len()) {
        let wants = if kind == "NUMBER" { "(column)" } else { "(x, y) or (x, y, series)" };
        return Err(Error::syntax(format!("CHART {kind} takes {wants}")).at(place.peek().map_or(1, |l| l.position)));
    }
    let query = if cursor.take_words("ON") { Some(cursor.identifier()?) } else { None };
    let title = if cursor.take_words("TITLE") { Some(cursor.string()?) } else { None };
    Ok(ReportChart { kind: kind.to_owned(), query, columns, title })
}

fn email(cursor: &mut Cursor<'_>) -> Result<ReportEmail> {
    let to = cursor.comma_separated(Cursor::string)?;
    let mut email = ReportEmail { to, subject: None, html_body: false, attach: true };
    loop {
        if cursor.take_words("SUBJECT") {
            email.subject = Some(cursor.string()?);
        } else if cursor.take_words("BODY") {
            match cursor.take_one_of(&["HTML", "TEXT"]) {
                Some(kind) => email.html_body = kind == "HTML",
                None => return Err(cursor.unexpected()),
            }
        } else if cursor.take_words("WITHOUT ATTACHMENTS") {
            email.attach = false;
        } else {
            return Ok(email);
        }
    }
}

/// What follows AS, to the end.
fn queries(cursor: &mut Cursor<'_>, report: &str) -> Result<Vec<ReportQuery>> {
    let is_word = |count: usize, word: &str| cursor.peek_nth(count).is_some_and(|lexeme| lexeme.is_word(word));
    let is_list = is_open(cursor)
        && is_word(2, "AS")
        && cursor.peek_nth(3).is_some_and(|lexeme| lexeme.token.token == Token::LParen);
    if !is_list || is_word(1, "WITH") {
        let sql = cursor.rest_text().to_owned();
        if sql.is_empty() {
            return Err(cursor.unexpected());
        }
        cursor.finish();
        return Ok(vec![ReportQuery { name: report.to_lowercase(), sql }]);
    }
    cursor.parenthesized(|cursor| {
        let name = cursor.identifier()?;
        cursor.expect_words("AS")?;
        if !is_open(cursor) {
            return Err(cursor.unexpected());
        }
        let open = cursor.peek().map_or(0, |lexeme| lexeme.end);
        cursor.skip_tree();
        let sql = match cursor.previous() {
            Some(close) if close.token.token == Token::RParen => cursor.sql[open..close.start].trim().to_owned(),
            _ => return Err(cursor.unexpected()),
        };
        Ok(ReportQuery { name, sql })
    })
}

/// What every query has without being given it, and of which type.
pub(crate) const BUILT_IN: [(&str, &str); 4] = [
    ("scheduled_time", "timestamp with time zone"),
    ("scheduled_date", "date"),
    ("last_success", "timestamp with time zone"),
    ("report", "text"),
];

/// A query's text with `CAST($1 AS type)` where it had `{{name}}`, and the names of `$1`, `$2`, ... in their order. Values
/// never become part of the text.
///
/// # Errors
/// 42704 for a name that is no parameter.
pub(crate) fn with_placeholders(
    sql: &str,
    dialect: Dialect,
    parameters: &[(String, String)],
) -> Result<(String, Vec<String>)> {
    let parts = lexer::split(sql, dialect)?;
    let [part] = parts.as_slice() else {
        return Err(Error::syntax("a report's query must be one query"));
    };
    let mut names: Vec<String> = Vec::new();
    let mut text = String::with_capacity(sql.len() + 64);
    let mut copied = 0;
    let lexemes = &part.lexemes;
    let mut index = 0;
    while index < lexemes.len() {
        let is = |count: usize, token: &Token| {
            lexemes.get(index + count).is_some_and(|lexeme: &Lexeme| lexeme.token.token == *token)
        };
        if let Token::Placeholder(name) = &lexemes[index].token.token {
            let message = format!("there is no parameter {name}");
            return Err(Error::new(ErrorCode::UndefinedParameter, message)
                .with_hint("Parameters of a report are declared with PARAMETERS and written {{name}}."));
        }
        if !(is(0, &Token::LBrace) && is(1, &Token::LBrace)) {
            index += 1;
            continue;
        }
        let word = lexemes.get(index + 2).and_then(|lexeme| match &lexeme.token.token {
            Token::Word(word) => Some(word.value.to_lowercase()),
            _ => None,
        });
        let Some(name) = word.filter(|_| is(3, &Token::RBrace) && is(4, &Token::RBrace)) else {
            return Err(Error::syntax("a parameter is written {{name}}"));
        };
        let Some((_, data_type)) = parameters.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = parameters.iter().map(|(known, _)| known.as_str()).collect();
            let message = format!("parameter \"{name}\" does not exist");
            return Err(Error::new(ErrorCode::UndefinedParameter, message)
                .with_hint(format!("There are {}.", known.join(", "))));
        };
        let number = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
        text.push_str(&sql[copied..lexemes[index].start]);
        text.push_str(&format!("CAST(${} AS {data_type})", number + 1));
        copied = lexemes[index + 4].end;
        index += 5;
    }
    text.push_str(&sql[copied..]);
    Ok((text, names))
}
