//! Text -> [`Lexeme`]s: sqlparser's tokens with exact places in the text, split into statements at semicolons.
//!
//! Two sets of lexical rules hold. Queries and most statements follow PostgreSQL (a backslash in `'...'` is a backslash).
//! Hive's DDL follows Hive (`'\''`, `"\t"` and `'\001'` are escapes, `"..."` may be a string), or else the texts that
//! Athena's own documentation prints would not lex.

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use crate::parse::Dialect;
use crate::parse::dialect::{HiveLexical, LimnosDialect};
use crate::{Error, Result};

/// A token that is not white space or a comment.
#[derive(Debug, Clone)]
pub struct Lexeme {
    /// The token, and sqlparser's own idea of its place, by which its errors are traced back.
    pub token: TokenWithSpan,
    /// Byte offset of its first byte in the whole text.
    pub start: usize,
    /// Byte offset after its last byte.
    pub end: usize,
    /// 1-based character position of its first character, as PostgreSQL reports positions.
    pub position: usize,
}

impl Lexeme {
    /// Whether it is the identifier `name`, quoted or not, in any case.
    pub fn is_name(&self, name: &str) -> bool {
        matches!(&self.token.token, Token::Word(Word { value, .. }) if value.to_lowercase() == name.to_lowercase())
    }

    /// The upper-cased text of an unquoted word.
    pub fn word(&self) -> Option<String> {
        match &self.token.token {
            Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_uppercase()),
            _ => None,
        }
    }

    /// Whether this is the unquoted word `word`, given in upper case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.token.token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
    }
}

/// One statement's tokens.
#[derive(Debug, Clone)]
pub struct Part {
    pub lexemes: Vec<Lexeme>,
    /// The semicolon that ended it, if one did.
    pub semicolon: Option<Lexeme>,
    /// Whether Hive's lexical rules hold, so that strings are still escaped.
    pub hive: bool,
    /// Whether constants stand where the text has names of parameters.
    pub has_parameters: bool,
}

impl Part {
    /// The statement's own text: from its first token to its last.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        match (self.lexemes.first(), self.lexemes.last()) {
            (Some(first), Some(last)) => &sql[first.start..last.end],
            _ => "",
        }
    }
}

/// Splits a text into its non-empty statements.
///
/// # Errors
/// Unterminated strings, identifiers and comments.
pub fn split(sql: &str, dialect: Dialect) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut offset = Offset { byte: 0, character: 0 };
    'again: loop {
        let lexed = lex(sql, offset, &Rules::Sql(dialect));
        let mut lexemes = lexed.lexemes.into_iter().peekable();
        loop {
            let mut part = Part { lexemes: Vec::new(), semicolon: None, hive: false, has_parameters: false };
            for lexeme in lexemes.by_ref() {
                if lexeme.token.token == Token::SemiColon {
                    part.semicolon = Some(lexeme);
                    break;
                }
                part.lexemes.push(lexeme);
            }
            let at_end = part.semicolon.is_none();
            if let Some(first) = part.lexemes.first()
                && is_hive(&part.lexemes)
            {
                // Under Hive's rules the statement may end elsewhere, and a text that fails under PostgreSQL's may do.
                let start = Offset { byte: first.start, character: first.position - 1 };
                let end = hive_end(sql, start.byte);
                let hive = lex(&sql[..end], start, &Rules::Hive);
                if let Some(error) = hive.error {
                    return Err(error);
                }
                let ordinary_end = part.semicolon.as_ref().map_or(sql.len(), |semicolon| semicolon.start);
                let same_end = end == ordinary_end && (!at_end || lexed.error.is_none());
                part.lexemes = hive.lexemes;
                part.hive = true;
                if !same_end {
                    part.semicolon = None;
                    parts.push(part);
                    if end == sql.len() {
                        break 'again;
                    }
                    let character = start.character + sql[start.byte..=end].chars().count();
                    offset = Offset { byte: end + 1, character };
                    continue 'again;
                }
            } else if at_end && let Some(error) = lexed.error {
                return Err(error);
            }
            if !part.lexemes.is_empty() {
                parts.push(part);
            }
            if at_end {
                break 'again;
            }
        }
    }
    Ok(parts)
}

/// Whether a statement is one that Hive's lexical rules hold for.
fn is_hive(lexemes: &[Lexeme]) -> bool {
    let words: Vec<String> = lexemes.iter().take(5).map(|lexeme| lexeme.word().unwrap_or_default()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        ["CREATE", "OR", "REPLACE", rest @ ..] | ["CREATE", rest @ ..] => rest,
        ["ALTER", "TABLE" | "DATABASE" | "SCHEMA", ..] => return true,
        _ => return false,
    };
    match words {
        ["TABLE", ..] => !crate::parse::ddl::has_query(lexemes),
        _ => matches!(words, ["EXTERNAL" | "DATABASE" | "SCHEMA", ..]),
    }
}

/// Where a statement in Hive's words ends: its semicolon, or the end of the text.
fn hive_end(sql: &str, start: usize) -> usize {
    let bytes = sql.as_bytes();
    let mut index = start;
    while index < bytes.len() {
        match bytes[index] {
            b';' => return index,
            quote @ (b'\'' | b'"' | b'`') => {
                index += 1;
                while index < bytes.len() && bytes[index] != quote {
                    index += if bytes[index] == b'\\' && quote != b'`' { 2 } else { 1 };
                }
            }
            b'-' if bytes.get(index + 1) == Some(&b'-') => {
                while index < bytes.len() && bytes[index] != b'\n' {
                    index += 1;
                }
            }
            b'/' if bytes.get(index + 1) == Some(&b'*') => {
                index = sql[index..].find("*/").map_or(bytes.len(), |length| index + length + 1);
            }
            _ => {}
        }
        index += 1;
    }
    bytes.len()
}

/// Reads what Hive's string escapes mean (`BaseSemanticAnalyzer.unescapeSQLString`): `\n`, `\t`, `\001`, `\u00e9`, ...
pub fn unescape_hive(raw: &str, quote: char) -> String {
    let characters: Vec<char> = raw.chars().collect();
    let mut text = String::with_capacity(raw.len());
    let mut index = 0;
    while index < characters.len() {
        let character = characters[index];
        let next = characters.get(index + 1).copied();
        // A doubled quote is how SQL writes one.
        if character == quote && next == Some(quote) {
            text.push(quote);
            index += 2;
            continue;
        }
        let Some(escaped) = next.filter(|_| character == '\\') else {
            text.push(character);
            index += 1;
            continue;
        };
        let digits = |radix: u32, from: usize, count: usize| {
            let digits: String = characters.get(from..from + count)?.iter().collect();
            u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32)
        };
        if escaped == 'u'
            && let Some(character) = digits(16, index + 2, 4)
        {
            text.push(character);
            index += 6;
            continue;
        }
        if matches!(escaped, '0'..='3')
            && let Some(character) = digits(8, index + 1, 3)
        {
            text.push(character);
            index += 4;
            continue;
        }
        match escaped {
            '0' => text.push('\0'),
            'b' => text.push('\u{8}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'Z' => text.push('\u{1a}'),
            // Hive keeps the backslash of the first two, for LIKE patterns. `\N` is no escape of its own, and whoever writes
            // it (`NULL DEFINED AS '\N'`) means what stands for NULL in the files.
            '%' | '_' | 'N' => {
                text.push('\\');
                text.push(escaped);
            }
            other => text.push(other),
        }
        index += 2;
    }
    text
}

#[derive(Clone, Copy)]
struct Offset {
    byte: usize,
    character: usize,
}

enum Rules {
    Sql(Dialect),
    Hive,
}

struct Lexed {
    lexemes: Vec<Lexeme>,
    /// What stopped it early.
    error: Option<Error>,
}

/// Lexes `sql` from `offset` to its end or to the first thing that is no token.
fn lex(sql: &str, offset: Offset, rules: &Rules) -> Lexed {
    let text = &sql[offset.byte..];
    let mut tokens = Vec::new();
    let result = match rules {
        Rules::Sql(dialect) => {
            Tokenizer::new(&LimnosDialect::new(*dialect), text).tokenize_with_location_into_buf(&mut tokens)
        }
        // Octal escapes are not sqlparser's business; `unescape_hive` does all of them later.
        Rules::Hive => {
            Tokenizer::new(&HiveLexical, text).with_unescape(false).tokenize_with_location_into_buf(&mut tokens)
        }
    };
    let mut places = Places::new(text, offset);
    let mut lexemes: Vec<Lexeme> = Vec::with_capacity(tokens.len());
    let mut newline_since = false;
    for token in tokens {
        if let Token::Whitespace(space) = &token.token {
            newline_since |= match space {
                Whitespace::Newline | Whitespace::SingleLineComment { .. } => true,
                Whitespace::Space | Whitespace::Tab | Whitespace::MultiLineComment(_) => false,
            };
            continue;
        }
        let start = places.at(token.span.start);
        let end = places.at(token.span.end);
        // Two string constants with a line break between them are one (PostgreSQL, 4.1.2.1).
        if let (true, Some(last), Token::SingleQuotedString(more)) = (newline_since, lexemes.last_mut(), &token.token)
            && let Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) = &mut last.token.token
        {
            text.push_str(more);
            last.end = end.byte;
        } else if let Some(signs) = trailing_signs(&token.token) {
            split_operator(token, signs, start, &mut lexemes);
        } else {
            lexemes.push(Lexeme { token, start: start.byte, end: end.byte, position: start.character + 1 });
        }
        newline_since = false;
    }
    let error = result.err().map(|error| {
        let start = Places::new(text, offset).at(error.location);
        let message = match error.message.as_str() {
            message if message.contains("dollar-quoted") || message.contains("dollar-quoted string") => {
                "unterminated dollar-quoted string".to_owned()
            }
            message if message.contains("Unterminated") && message.contains("string") => {
                "unterminated quoted string".to_owned()
            }
            message if message.contains("close delimiter") => "unterminated quoted identifier".to_owned(),
            message if message.contains("comment") => "unterminated /* comment".to_owned(),
            message => {
                let mut message = message.trim_end_matches('.').to_owned();
                if let Some(first) = message.get_mut(0..1) {
                    first.make_ascii_lowercase();
                }
                message
            }
        };
        let rest: String = sql[start.byte..].chars().take(40).take_while(|character| *character != '\n').collect();
        let message = if rest.is_empty() {
            format!("{message} at end of input")
        } else {
            format!("{message} at or near \"{rest}\"")
        };
        Error::syntax(message).at(start.character + 1)
    });
    Lexed { lexemes, error }
}

/// How many signs at the end of an operator are not part of it. PostgreSQL (4.1.3): an operator of several characters
/// can't end in `+` or `-` unless it has one of `~ ! @ # % ^ & | \` ?`; so `1>-1` is `1 > -1`.
fn trailing_signs(token: &Token) -> Option<usize> {
    let Token::CustomBinaryOperator(operator) = token else { return None };
    if operator.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
        return None;
    }
    let signs = operator.len() - operator.trim_end_matches(['+', '-']).len();
    // The first character is the operator's, whatever it is.
    let signs = signs.min(operator.len() - 1);
    (signs > 0).then_some(signs)
}

fn split_operator(token: TokenWithSpan, signs: usize, start: Offset, lexemes: &mut Vec<Lexeme>) {
    let text = token.token.to_string();
    let (operator, signs) = text.split_at(text.len() - signs);
    let location = token.span.start;
    let mut push = |token: Token, at: usize, length: usize| {
        let column = |at: usize| Location::new(location.line, location.column + at as u64);
        lexemes.push(Lexeme {
            token: TokenWithSpan::new(token, column(at).span_to(column(at + length))),
            start: start.byte + at,
            end: start.byte + at + length,
            position: start.character + at + 1,
        });
    };
    // Read alone, it is the operator that sqlparser knows by that name, if there is one.
    let dialect = LimnosDialect::new(Dialect::Athena);
    let known = Tokenizer::new(&dialect, operator).tokenize().ok().filter(|tokens| tokens.len() == 1);
    let known = known.and_then(|mut tokens| tokens.pop());
    push(known.unwrap_or_else(|| Token::CustomBinaryOperator(operator.to_owned())), 0, operator.len());
    for (index, sign) in signs.chars().enumerate() {
        push(if sign == '-' { Token::Minus } else { Token::Plus }, operator.len() + index, 1);
    }
}

/// Turns sqlparser's lines and columns into offsets. Asked in ascending order, it walks the text once.
struct Places<'a> {
    rest: std::str::Chars<'a>,
    line: u64,
    column: u64,
    offset: Offset,
}

impl<'a> Places<'a> {
    fn new(text: &'a str, offset: Offset) -> Self {
        Self { rest: text.chars(), line: 1, column: 1, offset }
    }

    fn at(&mut self, location: Location) -> Offset {
        while (self.line, self.column) < (location.line, location.column) {
            let Some(character) = self.rest.next() else { break };
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
            self.offset.byte += character.len_utf8();
            self.offset.character += 1;
        }
        self.offset
    }
}
