//! [`Cursor`]: a place in one statement's tokens, with the small questions that recursive-descent parsers ask.

use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::parse::lexer::{Lexeme, Part, unescape_hive};
use crate::parse::{Dialect, ObjectName};
use crate::{Error, Result};

/// A place in the tokens of one statement.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    /// The whole text, of which the statement is a part.
    pub sql: &'a str,
    pub dialect: Dialect,
    part: &'a Part,
    index: usize,
}

impl<'a> Cursor<'a> {
    /// Before the first token of `part`.
    pub fn new(sql: &'a str, part: &'a Part, dialect: Dialect) -> Self {
        Self { sql, dialect, part, index: 0 }
    }

    /// The tokens from here to the end.
    pub fn rest(&self) -> &'a [Lexeme] {
        &self.part.lexemes[self.index..]
    }

    /// The text from here to the end.
    pub fn rest_text(&self) -> &'a str {
        match (self.peek(), self.part.lexemes.last()) {
            (Some(first), Some(last)) => &self.sql[first.start..last.end],
            _ => "",
        }
    }

    /// [`Self::rest_text`] to be parsed again: with the constants that stand for parameters.
    pub fn rest_bound(&self) -> std::borrow::Cow<'a, str> {
        match self.part.has_parameters {
            true => crate::parse::parameter::rendered(self.sql, self.rest()).into(),
            false => self.rest_text().into(),
        }
    }

    /// Whether constants stand where the text has names of parameters.
    pub fn has_parameters(&self) -> bool {
        self.part.has_parameters
    }

    /// Refuses parameters in what is kept as a text.
    ///
    /// # Errors
    /// `0A000`.
    pub fn refuse_parameters(&self) -> Result<()> {
        match self.part.has_parameters {
            true => Err(Error::unsupported("parameters are not supported in this statement")
                .at(self.peek().map_or(1, |lexeme| lexeme.position))),
            false => Ok(()),
        }
    }

    /// Whether Hive's lexical rules hold here.
    pub fn is_hive(&self) -> bool {
        self.part.hive
    }

    /// The next token.
    pub fn peek(&self) -> Option<&'a Lexeme> {
        self.part.lexemes.get(self.index)
    }

    /// The token after `count` more.
    pub fn peek_nth(&self, count: usize) -> Option<&'a Lexeme> {
        self.part.lexemes.get(self.index + count)
    }

    /// The token last taken.
    pub fn previous(&self) -> Option<&'a Lexeme> {
        self.index.checked_sub(1).and_then(|index| self.part.lexemes.get(index))
    }

    /// The next token's upper-cased text when it is an unquoted word.
    pub fn peek_word(&self) -> Option<String> {
        self.peek().and_then(Lexeme::word)
    }

    /// Steps over one token.
    pub fn advance(&mut self) -> Option<&'a Lexeme> {
        let lexeme = self.peek();
        self.index += usize::from(lexeme.is_some());
        lexeme
    }

    /// Steps over all that is left.
    pub fn finish(&mut self) {
        self.index = self.part.lexemes.len();
    }

    /// Whether nothing is left.
    pub fn at_end(&self) -> bool {
        self.index >= self.part.lexemes.len()
    }

    /// Whether the next tokens are these words (upper case, separated by spaces).
    pub fn peek_words(&self, words: &str) -> bool {
        words
            .split(' ')
            .enumerate()
            .all(|(count, word)| self.peek_nth(count).is_some_and(|lexeme| lexeme.is_word(word)))
    }

    /// Takes the words if they come next.
    pub fn take_words(&mut self, words: &str) -> bool {
        let found = self.peek_words(words);
        if found {
            self.index += words.split(' ').count();
        }
        found
    }

    /// Takes one of several words.
    pub fn take_one_of(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().find(|word| self.take_words(word)).copied()
    }

    /// Takes the words or fails.
    ///
    /// # Errors
    /// A syntax error at the first that is another.
    pub fn expect_words(&mut self, words: &str) -> Result<()> {
        for word in words.split(' ') {
            if !self.take_words(word) {
                return Err(self.unexpected());
            }
        }
        Ok(())
    }

    /// Takes a token if it comes next.
    pub fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|lexeme| lexeme.token.token == *token);
        self.index += usize::from(found);
        found
    }

    /// Takes a token or fails.
    ///
    /// # Errors
    /// A syntax error.
    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Fails unless nothing is left.
    ///
    /// # Errors
    /// A syntax error at what is left.
    pub fn expect_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A syntax error at the next token.
    pub fn unexpected(&self) -> Error {
        self.unexpected_at(self.index)
    }

    /// A syntax error at the token last taken.
    pub fn unexpected_previous(&self) -> Error {
        self.unexpected_at(self.index.saturating_sub(1))
    }

    /// A syntax error at the `count`-th token from here.
    pub fn unexpected_nth(&self, count: usize) -> Error {
        self.unexpected_at(self.index + count)
    }

    fn unexpected_at(&self, index: usize) -> Error {
        match self.part.lexemes.get(index).or(self.part.semicolon.as_ref()) {
            Some(lexeme) => {
                let text = &self.sql[lexeme.start..lexeme.end];
                Error::syntax(format!("syntax error at or near \"{text}\"")).at(lexeme.position)
            }
            None => Error::syntax("syntax error at end of input").at(self.sql.chars().count() + 1),
        }
    }

    /// An identifier: unquoted ones are lower-cased, and so are quoted ones, as the catalog's names are.
    ///
    /// # Errors
    /// A syntax error when the next token is none.
    pub fn identifier(&mut self) -> Result<String> {
        Ok(self.identifier_as_written()?.to_lowercase())
    }

    /// An identifier whose quoted form keeps its spelling (statement and savepoint names).
    ///
    /// # Errors
    /// A syntax error when the next token is none.
    pub fn identifier_as_written(&mut self) -> Result<String> {
        let name = match self.peek().map(|lexeme| &lexeme.token.token) {
            Some(Token::Word(Word { value, quote_style: None, .. })) => value.to_lowercase(),
            Some(Token::Word(Word { value, .. })) => value.clone(),
            Some(Token::DoubleQuotedString(raw)) if self.part.hive => unescape_hive(raw, '"'),
            _ => return Err(self.unexpected()),
        };
        if name.is_empty() {
            return Err(Error::syntax("zero-length delimited identifier").at(self.peek().map_or(1, |l| l.position)));
        }
        self.index += 1;
        Ok(name)
    }

    /// `name`, `database.name`, `catalog.database.name` (the catalog is ours, whatever it is called), and Hive's
    /// `` `database.name` `` in one pair of backticks.
    ///
    /// # Errors
    /// A syntax error when the next token is no name.
    pub fn object_name(&mut self) -> Result<ObjectName> {
        let start = self.index;
        let mut parts = Vec::new();
        loop {
            let backtick = matches!(
                self.peek().map(|lexeme| &lexeme.token.token),
                Some(Token::Word(Word { quote_style: Some('`'), .. }))
            );
            let part = self.identifier()?;
            if backtick {
                parts.extend(part.split('.').map(str::to_owned));
            } else {
                parts.push(part);
            }
            if !self.take_token(&Token::Period) {
                break;
            }
        }
        if parts.len() > 3 || parts.iter().any(String::is_empty) {
            let written = parts.join(".");
            let error = Error::syntax(format!("improper qualified name (too many dotted names): {written}"));
            return Err(error.at(self.part.lexemes[start].position));
        }
        let name = parts.pop().expect("the loop pushes at least one part");
        Ok(ObjectName { database: parts.pop(), name })
    }

    /// Takes a name of three parts, if one comes next.
    pub fn take_three_parts(&mut self) -> bool {
        let start = self.index;
        let found = self.identifier().is_ok()
            && self.take_token(&Token::Period)
            && self.identifier().is_ok()
            && self.take_token(&Token::Period)
            && self.identifier().is_ok();
        if !found {
            self.index = start;
        }
        found
    }

    /// A string constant: `'...'`, and `"..."` where Hive's lexical rules hold.
    ///
    /// # Errors
    /// A syntax error when the next token is none.
    pub fn string(&mut self) -> Result<String> {
        match self.peek_string() {
            Some(text) => {
                self.index += 1;
                Ok(text)
            }
            None => Err(self.unexpected()),
        }
    }

    /// The next token's text when it is a string constant.
    pub fn peek_string(&self) -> Option<String> {
        let hive = self.part.hive;
        match &self.peek()?.token.token {
            Token::SingleQuotedString(raw) if hive => Some(unescape_hive(raw, '\'')),
            Token::DoubleQuotedString(raw) if hive => Some(unescape_hive(raw, '"')),
            Token::SingleQuotedString(text)
            | Token::EscapedStringLiteral(text)
            | Token::UnicodeStringLiteral(text)
            | Token::NationalStringLiteral(text) => Some(text.clone()),
            Token::DollarQuotedString(text) => Some(text.value.clone()),
            _ => None,
        }
    }

    /// `( item, item, ... )`, at least one.
    ///
    /// # Errors
    /// Those of `item`, and syntax errors.
    pub fn parenthesized<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.comma_separated(&mut item)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    /// `item, item, ...`, at least one.
    ///
    /// # Errors
    /// Those of `item`.
    pub fn comma_separated<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Takes `IF NOT EXISTS`.
    pub fn if_not_exists(&mut self) -> bool {
        self.take_words("IF NOT EXISTS")
    }

    /// Takes `IF EXISTS`.
    pub fn if_exists(&mut self) -> bool {
        self.take_words("IF EXISTS")
    }

    /// Steps over one balanced token tree (a token, or a bracket to its partner). False at the end.
    pub fn skip_tree(&mut self) -> bool {
        let mut depth = 0_usize;
        while let Some(lexeme) = self.advance() {
            match lexeme.token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return true;
            }
        }
        false
    }
}
