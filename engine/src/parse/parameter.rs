//! `{{name}}` in statements that run by themselves: [`Parameters`] are bound to them as typed constants, token by token.
//!
//! ```text
//! WHERE day = {{scheduled_date}}   ->   WHERE day = CAST('2026-03-01' AS DATE)
//! ```
//! A value becomes one token of the parser, never a part of the text, so whatever is in it stays a value. In string constants, quoted
//! names and comments `{{name}}` is what it says. Names are matched without regard to case.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::parse::lexer::{Lexeme, Part};
use crate::{Error, ErrorCode, Result};

/// A typed constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The type's name, a word a token.
    type_words: &'static [&'static str],
    /// As the type's input function reads it; `None` is NULL.
    text: Option<String>,
}

impl Parameter {
    /// `timestamp with time zone`.
    pub fn instant(instant: Option<DateTime<Utc>>) -> Self {
        let text = instant.map(|instant| instant.format("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string());
        Self { type_words: &["TIMESTAMP", "WITH", "TIME", "ZONE"], text }
    }

    /// `date`.
    pub fn date(date: Option<NaiveDate>) -> Self {
        Self { type_words: &["DATE"], text: date.map(|date| date.format("%Y-%m-%d").to_string()) }
    }

    /// A value of one of the types that a user may name, by the text that its input function reads.
    ///
    /// # Errors
    /// `0A000` for other types.
    pub fn typed(type_name: &str, text: Option<String>) -> Result<Self> {
        let type_words: &[&str] = match type_name.to_lowercase().as_str() {
            "text" | "varchar" | "string" => &["VARCHAR"],
            "int" | "integer" => &["INTEGER"],
            "bigint" => &["BIGINT"],
            "double" | "double precision" => &["DOUBLE", "PRECISION"],
            "boolean" | "bool" => &["BOOLEAN"],
            "date" => &["DATE"],
            "timestamp" => &["TIMESTAMP"],
            "timestamptz" | "timestamp with time zone" => &["TIMESTAMP", "WITH", "TIME", "ZONE"],
            _ => {
                return Err(Error::unsupported(format!("a parameter cannot be of type \"{type_name}\"")).with_hint(
                    "Use text, integer, bigint, double precision, boolean, date, timestamp or timestamptz.",
                ));
            }
        };
        Ok(Self { type_words, text })
    }

    fn tokens(&self) -> Vec<Token> {
        let value = match &self.text {
            Some(text) => Token::SingleQuotedString(text.clone()),
            None => Token::make_keyword("NULL"),
        };
        let mut tokens = vec![Token::make_keyword("CAST"), Token::LParen, value, Token::make_keyword("AS")];
        tokens.extend(self.type_words.iter().map(|word| Token::make_keyword(word)));
        tokens.push(Token::RParen);
        tokens
    }
}

/// Values by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, Parameter>);

impl Parameters {
    /// Gives `name` a value.
    pub fn set(&mut self, name: &str, parameter: Parameter) {
        self.0.insert(name.to_lowercase(), parameter);
    }

    /// Those of every schedule: `scheduled_time`, `scheduled_date` (in `zone`, a name of the IANA database; UTC for any other) and
    /// `last_success`, NULL before the first.
    pub fn of_schedule(scheduled_at: DateTime<Utc>, zone: &str, last_success: Option<DateTime<Utc>>) -> Self {
        let zone: chrono_tz::Tz = zone.parse().unwrap_or(chrono_tz::UTC);
        let mut parameters = Self::default();
        parameters.set("scheduled_time", Parameter::instant(Some(scheduled_at)));
        parameters.set("scheduled_date", Parameter::date(Some(scheduled_at.with_timezone(&zone).date_naive())));
        parameters.set("last_success", Parameter::instant(last_success));
        parameters
    }

    /// Some value for each of them, to see whether statements can be parsed.
    pub fn sample_of_schedule() -> Self {
        Self::of_schedule(DateTime::UNIX_EPOCH, "UTC", Some(DateTime::UNIX_EPOCH))
    }

    /// Puts constants in the place of names in `part`.
    ///
    /// # Errors
    /// `42704` for a name that isn't one of them; `0A000` where Hive's lexical rules hold.
    pub(crate) fn bind(&self, part: &mut Part) -> Result<()> {
        let mut index = 0;
        while index < part.lexemes.len() {
            let Some(name) = name_at(&part.lexemes[index..]) else {
                index += 1;
                continue;
            };
            let position = part.lexemes[index].position;
            if part.hive {
                return Err(Error::unsupported("parameters are not supported in this statement").at(position));
            }
            let Some(parameter) = self.0.get(&name.to_lowercase()) else {
                let names: Vec<String> = self.0.keys().map(|name| format!("{{{{{name}}}}}")).collect();
                return Err(Error::new(ErrorCode::UndefinedObject, format!("parameter \"{name}\" does not exist"))
                    .with_hint(format!("There are {}.", names.join(", ")))
                    .at(position));
            };
            let (start, end) = (part.lexemes[index].start, part.lexemes[index + LEXEMES - 1].end);
            let span = part.lexemes[index].token.span;
            let bound = parameter.tokens().into_iter().map(|token| Lexeme {
                token: TokenWithSpan::new(token, span),
                start,
                end,
                position,
            });
            let bound: Vec<Lexeme> = bound.collect();
            let count = bound.len();
            part.lexemes.splice(index..index + LEXEMES, bound);
            part.has_parameters = true;
            index += count;
        }
        Ok(())
    }
}

/// `{ { name } }`.
const LEXEMES: usize = 5;

/// The name in `{{name}}`, if that comes next.
fn name_at(lexemes: &[Lexeme]) -> Option<&str> {
    let [open, second, name, close, last, ..] = lexemes else { return None };
    let is_open = open.token.token == Token::LBrace && second.token.token == Token::LBrace && open.end == second.start;
    let is_closed = close.token.token == Token::RBrace && last.token.token == Token::RBrace && close.end == last.start;
    match &name.token.token {
        Token::Word(Word { value, quote_style: None, .. }) if is_open && is_closed => Some(value),
        _ => None,
    }
}

/// The text of bound lexemes, to be parsed again: constants as SQL writes them, all else as it was.
pub(crate) fn rendered(sql: &str, lexemes: &[Lexeme]) -> String {
    let mut text = String::new();
    let mut previous: Option<&Lexeme> = None;
    for (index, lexeme) in lexemes.iter().enumerate() {
        let same = |other: Option<&Lexeme>| other.is_some_and(|other| other.start == lexeme.start);
        let is_bound = same(previous) || same(lexemes.get(index + 1));
        if let Some(previous) = previous {
            text.push_str(if same(Some(previous)) { " " } else { &sql[previous.end..lexeme.start] });
        }
        match &lexeme.token.token {
            Token::SingleQuotedString(value) if is_bound => {
                text.push('\'');
                text.push_str(&value.replace('\'', "''"));
                text.push('\'');
            }
            token if is_bound => text.push_str(&token.to_string()),
            _ => text.push_str(&sql[lexeme.start..lexeme.end]),
        }
        previous = Some(lexeme);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::parse::{Dialect, Statement, parse_with};

    fn parameters() -> Parameters {
        let at = DateTime::parse_from_rfc3339("2026-03-01T23:30:00Z").unwrap().with_timezone(&Utc);
        let mut parameters = Parameters::of_schedule(at, "Asia/Seoul", None);
        parameters.set("Name", Parameter::typed("text", Some("it's '; DROP TABLE t; --\\".to_owned())).unwrap());
        parameters
    }

    fn bound(sql: &str) -> String {
        match parse_with(sql, Dialect::Postgres, &parameters()).unwrap().remove(0).statement {
            Statement::Query(query) => query.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn names_become_constants() {
        assert_eq!(
            bound("SELECT {{scheduled_time}}, {{ Scheduled_Date }}, {{last_success}}"),
            "SELECT CAST('2026-03-01 23:30:00.000000+00:00' AS TIMESTAMP(6) WITH TIME ZONE), CAST('2026-03-02' AS DATE), \
             CAST(NULL AS TIMESTAMP(6) WITH TIME ZONE)"
        );
    }

    #[test]
    fn a_value_stays_a_value() {
        let text = bound("SELECT {{name}}");
        assert!(text.contains("CAST('it''s ''; DROP TABLE t; --\\' AS VARCHAR)"), "{text}");
        let statements = parse_with("SELECT {{name}}", Dialect::Postgres, &parameters()).unwrap();
        assert_eq!((statements.len(), statements[0].sql.as_str()), (1, "SELECT {{name}}"));
        // Also where a part of the text is parsed again.
        let deleted = bound("DELETE FROM t WHERE a = {{name}} AND d = {{scheduled_date}}");
        assert!(deleted.contains("it's '; DROP TABLE t; --\\\\"), "{deleted}");
    }

    #[test]
    fn text_stays_text() {
        let sql = "SELECT '{{scheduled_time}}', $${{no}}$$ /* {{no}} */ -- {{no}}";
        assert!(bound(sql).contains("'{{scheduled_time}}'"));
        assert_eq!(bound("SELECT 1 AS \"{{no}}\""), "SELECT 1 AS \"{{no}}\"");
    }

    #[test]
    fn what_is_no_parameter_is_refused_where_it_stands() {
        let refused = |sql: &str| parse_with(sql, Dialect::Postgres, &parameters()).unwrap_err();
        let error = refused("SELECT 1, {{nope}}");
        assert_eq!((error.message.as_str(), error.position), ("parameter \"nope\" does not exist", Some(11)));
        assert_eq!(refused("SELECT { {name}}").code, ErrorCode::SyntaxError);
        assert_eq!(refused("CREATE VIEW v AS SELECT {{name}} AS a").code, ErrorCode::FeatureNotSupported);
        // Without parameters it is what it always was.
        assert_eq!(crate::parse::parse("SELECT {{name}}", Dialect::Postgres).unwrap_err().code, ErrorCode::SyntaxError);
        assert_eq!(Parameter::typed("point", None).unwrap_err().code, ErrorCode::FeatureNotSupported);
    }
}
