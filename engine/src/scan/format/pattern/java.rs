//! Java's regular expressions in the words of Rust's: `input.regex` -> [`Translated`].
//!
//! The two are close enough that a pattern mostly compiles as it is, and far enough apart that it may then mean something
//! else: `a*+` is possessive in Java and a doubled repetition in Rust, `\w` is ASCII in Java, `\<` a letter there and the
//! begin of a word here, `\h` white space there and a hexadecimal digit here. So every token is read and written again,
//! and what has no counterpart is refused.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

use crate::{Error, ErrorCode, Result};

/// A pattern that Rust's engines read as Java reads the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) pattern: String,
    /// The capturing groups in order, with their names.
    pub(super) groups: Vec<Option<String>>,
    /// Where each of them opens in `pattern`.
    openings: Vec<Range<usize>>,
    /// Whether it has what only backtracking can match: look-around, back references, atomic groups, possessive repetitions.
    pub(super) backtracks: bool,
}

impl Translated {
    /// The pattern with only those groups capturing that `columns` have, and their numbers then. What isn't captured costs
    /// nothing. A pattern with back references must keep its groups.
    pub(super) fn keep_groups(&self, columns: Vec<Vec<usize>>) -> (String, Vec<Vec<usize>>) {
        let kept: BTreeSet<usize> = columns.iter().flatten().copied().collect();
        let mut pattern = String::with_capacity(self.pattern.len());
        let mut end = 0;
        for (index, opening) in self.openings.iter().enumerate() {
            pattern.push_str(&self.pattern[end..opening.start]);
            pattern.push_str(if kept.contains(&(index + 1)) { "(" } else { "(?:" });
            end = opening.end;
        }
        pattern.push_str(&self.pattern[end..]);
        let renumber = |group: usize| kept.range(..=group).count();
        let columns = columns.into_iter().map(|groups| groups.into_iter().map(renumber).collect()).collect();
        (pattern, columns)
    }
}

/// Reads `pattern` in Java's syntax. With `posix`, `[:alpha:]` in a class is POSIX's, as grok patterns write.
///
/// # Errors
/// 2201B for what isn't a pattern in Java, or has no counterpart.
pub(super) fn translate(pattern: &str, posix: bool) -> Result<Translated> {
    let characters: Vec<char> = pattern.chars().collect();
    let mut reader = Reader {
        characters: &characters,
        position: 0,
        posix,
        out: String::with_capacity(pattern.len() * 2),
        groups: Vec::new(),
        openings: Vec::new(),
        backtracks: false,
        depth: 0,
    };
    reader.pattern()?;
    let Reader { out, groups, openings, backtracks, .. } = reader;
    Ok(Translated { pattern: out, groups, openings, backtracks })
}

/// Deepest nesting of groups and classes: the engines' own parsers call themselves once a level.
const DEPTH_MAX: usize = 100;

const DIGIT: &str = "0-9";
const WORD: &str = "a-zA-Z0-9_";
const SPACE: &str = r" \t\n\x0B\x0C\r";
const HORIZONTAL: &str = r" \t\x{A0}\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}";
const VERTICAL: &str = r"\n\x0B\x0C\r\x{85}\x{2028}\x{2029}";

struct Reader<'a> {
    characters: &'a [char],
    position: usize,
    posix: bool,
    out: String,
    groups: Vec<Option<String>>,
    openings: Vec<Range<usize>>,
    backtracks: bool,
    depth: usize,
}

impl Reader<'_> {
    fn pattern(&mut self) -> Result<()> {
        // Whether something stands here that a repetition can follow.
        let mut has_atom = false;
        while let Some(character) = self.next() {
            match character {
                '\\' => has_atom = self.escape()?,
                '[' => {
                    self.class()?;
                    has_atom = true;
                }
                '(' => has_atom = self.open_group()?,
                ')' => {
                    self.depth =
                        self.depth.checked_sub(1).ok_or_else(|| self.error("unmatched closing parenthesis"))?;
                    self.out.push(')');
                    has_atom = true;
                }
                '*' | '+' | '?' => {
                    if !has_atom {
                        return Err(self.error(&format!("dangling meta character \"{character}\"")));
                    }
                    self.out.push(character);
                    self.repetition_kind();
                    has_atom = false;
                }
                '{' => match self.counted() {
                    Some(counts) if has_atom => {
                        self.out.push_str(&counts);
                        self.repetition_kind();
                        has_atom = false;
                    }
                    // Java refuses a lone brace; the engines behind grok take it as it is, and nothing else could be meant.
                    _ => {
                        self.out.push_str("\\{");
                        has_atom = true;
                    }
                },
                '^' | '$' | '|' => {
                    self.out.push(character);
                    has_atom = false;
                }
                '.' => {
                    self.out.push('.');
                    has_atom = true;
                }
                other => {
                    self.literal(other);
                    has_atom = true;
                }
            }
        }
        if self.depth > 0 { Err(self.error("unclosed group")) } else { Ok(()) }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += 1;
        Some(character)
    }

    fn take(&mut self, text: &str) -> bool {
        let wanted = text.chars();
        let fits = wanted.clone().enumerate().all(|(index, c)| self.characters.get(self.position + index) == Some(&c));
        if fits {
            self.position += wanted.count();
        }
        fits
    }

    /// The text up to `end`, which is taken too.
    fn until(&mut self, end: char) -> Option<String> {
        let length = self.characters[self.position..].iter().position(|c| *c == end)?;
        let text = self.characters[self.position..self.position + length].iter().collect();
        self.position += length + 1;
        Some(text)
    }

    fn literal(&mut self, character: char) {
        push_literal(&mut self.out, character);
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.error("nested too deeply")) } else { Ok(()) }
    }

    /// Behind `(`. False where a repetition can't follow (flags for the rest).
    fn open_group(&mut self) -> Result<bool> {
        if !self.take("?") {
            self.groups.push(None);
            self.openings.push(self.out.len()..self.out.len() + 1);
            self.out.push('(');
            return self.enter().map(|()| false);
        }
        for (opening, backtracks) in [(":", false), ("=", true), ("!", true), (">", true), ("<=", true), ("<!", true)] {
            if self.take(opening) {
                self.backtracks |= backtracks;
                self.out.push_str("(?");
                self.out.push_str(opening);
                return self.enter().map(|()| false);
            }
        }
        if self.take("<") || self.take("P<") {
            let name = self.until('>').ok_or_else(|| self.error("a group's name has no end"))?;
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                return Err(self.error(&format!("\"{name}\" can't be a group's name")));
            }
            let start = self.out.len();
            let _ = write!(self.out, "(?P<{name}>");
            self.openings.push(start..self.out.len());
            self.groups.push(Some(name));
            return self.enter().map(|()| false);
        }
        self.flags()
    }

    /// Behind `(?` with flags.
    fn flags(&mut self) -> Result<bool> {
        let mut kept = String::new();
        loop {
            match self.next() {
                Some(flag @ ('i' | 'm' | 's' | '-')) => kept.push(flag),
                // Case beyond ASCII, and which line ends count: a line has none.
                Some('u' | 'd') => {}
                Some(end @ (':' | ')')) => {
                    let kept = kept.trim_end_matches('-');
                    if end == ')' {
                        if !kept.is_empty() {
                            let _ = write!(self.out, "(?{kept})");
                        }
                        return Ok(false);
                    }
                    let _ = write!(self.out, "(?{kept}:");
                    return self.enter().map(|()| false);
                }
                Some(other) => return Err(self.error(&format!("the flag \"{other}\" is not supported"))),
                None => return Err(self.error("unclosed group")),
            }
        }
    }

    /// Behind a repetition: `?` makes it reluctant, `+` possessive.
    fn repetition_kind(&mut self) {
        if self.take("?") {
            self.out.push('?');
        } else if self.take("+") {
            self.out.push('+');
            self.backtracks = true;
        }
    }

    /// `{n}`, `{n,}` or `{n,m}`, behind the brace.
    fn counted(&mut self) -> Option<String> {
        let start = self.position;
        let counts = self.until('}').filter(|text| {
            let is_count = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
            match text.split_once(',') {
                None => is_count(text),
                Some((from, to)) => is_count(from) && (to.is_empty() || is_count(to)),
            }
        });
        if counts.is_none() {
            self.position = start;
        }
        counts.map(|counts| format!("{{{counts}}}"))
    }

    /// Behind a backslash, outside a class. True where a repetition can follow.
    fn escape(&mut self) -> Result<bool> {
        let character = self.next().ok_or_else(|| self.error("a backslash at the end"))?;
        if let Some((set, negated)) = predefined(character) {
            let _ = write!(self.out, "[{}{set}]", if negated { "^" } else { "" });
            return Ok(true);
        }
        match character {
            'b' | 'B' => {
                self.out.push('\\');
                self.out.push(character);
                return Ok(false);
            }
            // The text is one line without its end, and is matched from its beginning.
            'A' | 'G' => self.out.push_str("\\A"),
            'z' | 'Z' => self.out.push_str("\\z"),
            'R' => self.out.push_str(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])"),
            'Q' => {
                while !self.take("\\E") {
                    match self.next() {
                        Some(quoted) => self.literal(quoted),
                        None => break,
                    }
                }
            }
            'E' => {}
            'k' => {
                if !self.take("<") {
                    return Err(self.error("\\k needs a group's name"));
                }
                let name = self.until('>').ok_or_else(|| self.error("a group's name has no end"))?;
                if !self.groups.contains(&Some(name.clone())) {
                    return Err(self.error(&format!("there is no group \"{name}\"")));
                }
                let _ = write!(self.out, "(?:\\k<{name}>)");
                self.backtracks = true;
            }
            '1'..='9' => {
                // More digits belong to the number as long as there is such a group.
                let mut number = digit(character);
                while let Some(next) = self.peek().filter(char::is_ascii_digit) {
                    let longer = number * 10 + digit(next);
                    if longer > self.groups.len() {
                        break;
                    }
                    number = longer;
                    self.position += 1;
                }
                if number > self.groups.len() {
                    return Err(self.error(&format!("there is no group {number}")));
                }
                let _ = write!(self.out, "(?:\\{number})");
                self.backtracks = true;
            }
            'p' | 'P' => {
                let property = self.property(character == 'P')?;
                self.out.push_str(&property);
            }
            other => {
                let literal = self.escaped_character(other)?;
                self.literal(literal);
            }
        }
        Ok(true)
    }

    /// The character that `\` and `character` are.
    fn escaped_character(&mut self, character: char) -> Result<char> {
        let code = match character {
            't' => return Ok('\t'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            'f' => return Ok('\u{c}'),
            'a' => return Ok('\u{7}'),
            'e' => return Ok('\u{1b}'),
            'x' if self.take("{") => {
                let digits = self.until('}').unwrap_or_default();
                u32::from_str_radix(&digits, 16).ok()
            }
            'x' => self.number(2, 2, 16),
            'u' => self.number(4, 4, 16),
            '0' => self.number(1, 3, 8).filter(|code| *code <= 0o377),
            'c' => self.next().filter(char::is_ascii).map(|control| u32::from(control) ^ 64),
            other if other.is_ascii_alphanumeric() => {
                return Err(self.error(&format!("\"\\{other}\" is not supported")));
            }
            other => return Ok(other),
        };
        code.and_then(char::from_u32)
            .ok_or_else(|| self.error(&format!("\"\\{character}\" needs a character's number")))
    }

    fn number(&mut self, digits_min: usize, digits_max: usize, radix: u32) -> Option<u32> {
        let mut value = 0;
        for count in 0..digits_max {
            match self.peek().and_then(|c| c.to_digit(radix)) {
                Some(digit) => value = value * radix + digit,
                None if count >= digits_min => break,
                None => return None,
            }
            self.position += 1;
        }
        Some(value)
    }

    /// Behind `\p` or `\P`.
    fn property(&mut self, negated: bool) -> Result<String> {
        let name = if self.take("{") {
            self.until('}').ok_or_else(|| self.error("a property has no end"))?
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        let posix = ["Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank", "Cntrl"];
        let caret = if negated { "^" } else { "" };
        Ok(match name.as_str() {
            "Space" => format!("[{caret}{SPACE}]"),
            "XDigit" => format!("[{caret}0-9a-fA-F]"),
            "javaLowerCase" => format!("[{caret}\\p{{Lowercase}}]"),
            "javaUpperCase" => format!("[{caret}\\p{{Uppercase}}]"),
            "javaWhitespace" => format!("[{caret}\\p{{White_Space}}]"),
            name if posix.contains(&name) => format!("[{caret}[:{}:]]", name.to_lowercase()),
            name if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_=- ".contains(c)) => {
                // `IsLatin` and `IsAlphabetic` are Unicode's `Latin` and `Alphabetic`.
                format!("[{caret}\\p{{{}}}]", name.strip_prefix("Is").unwrap_or(name))
            }
            name => return Err(self.error(&format!("the property \"{name}\" is not supported"))),
        })
    }

    /// Behind `[`.
    fn class(&mut self) -> Result<()> {
        self.enter()?;
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut is_empty = true;
        loop {
            if self.take("&&") {
                self.out.push_str("&&");
                continue;
            }
            if self.posix && self.take("[:") {
                let name = self.until(':').filter(|_| self.take("]")).ok_or_else(|| self.error("unclosed class"))?;
                let _ = write!(self.out, "[:{name}:]");
                is_empty = false;
                continue;
            }
            match self.next().ok_or_else(|| self.error("unclosed character class"))? {
                ']' if !is_empty => break,
                '[' => self.class()?,
                first => {
                    if let Some(first) = self.class_character(first)? {
                        self.class_range(first)?;
                    }
                }
            }
            is_empty = false;
        }
        self.depth -= 1;
        self.out.push(']');
        Ok(())
    }

    /// One character of a class; `None` where it was a set, which is written already.
    fn class_character(&mut self, character: char) -> Result<Option<char>> {
        if character != '\\' {
            return Ok(Some(character));
        }
        let escaped = self.next().ok_or_else(|| self.error("a backslash at the end"))?;
        if let Some((set, negated)) = predefined(escaped) {
            if negated {
                let _ = write!(self.out, "[^{set}]");
            } else {
                self.out.push_str(set);
            }
            return Ok(None);
        }
        match escaped {
            'p' | 'P' => {
                let property = self.property(escaped == 'P')?;
                self.out.push_str(&property);
                Ok(None)
            }
            other => self.escaped_character(other).map(Some),
        }
    }

    /// `first` alone, or the range that it begins.
    fn class_range(&mut self, first: char) -> Result<()> {
        self.literal(first);
        let ends = self.characters.get(self.position + 1).copied();
        if self.peek() != Some('-') || matches!(ends, None | Some(']' | '[')) {
            return Ok(());
        }
        self.position += 1;
        let character = self.next().ok_or_else(|| self.error("unclosed character class"))?;
        if character == '\\' && self.peek().is_some_and(|c| predefined(c).is_some() || matches!(c, 'p' | 'P')) {
            // `[a-\d]`: a hyphen and a set.
            self.literal('-');
            return self.class_character(character).map(|_| ());
        }
        let last = self.class_character(character)?.unwrap_or(first);
        if last < first {
            return Err(self.error("a range of characters runs backwards"));
        }
        self.out.push('-');
        self.literal(last);
        Ok(())
    }

    fn error(&self, reason: &str) -> Error {
        Error::new(ErrorCode::InvalidRegularExpression, format!("invalid regular expression: {reason}"))
            .with_detail(format!("It is at character {} of the pattern.", self.position.max(1)))
    }
}

/// A set with a letter of its own, and whether the letter stands for all else.
fn predefined(character: char) -> Option<(&'static str, bool)> {
    let set = match character.to_ascii_lowercase() {
        'd' => DIGIT,
        'w' => WORD,
        's' => SPACE,
        'h' => HORIZONTAL,
        'v' => VERTICAL,
        _ => return None,
    };
    Some((set, character.is_ascii_uppercase()))
}

fn digit(character: char) -> usize {
    character.to_digit(10).unwrap_or_default() as usize
}

/// Writes a character that stands for itself, inside a class or not.
fn push_literal(out: &mut String, character: char) {
    if character.is_ascii_control() {
        let _ = write!(out, "\\x{:02X}", u32::from(character));
    } else {
        // Letters, digits and `_` must not be escaped; `<` and `>` would be the ends of a word.
        if character.is_ascii_punctuation()
            && !matches!(character, '_' | '<' | '>' | '"' | '\'' | '/' | ',' | ';' | ':')
        {
            out.push('\\');
        }
        out.push(character);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(pattern: &str) -> String {
        match translate(pattern, false) {
            Ok(translated) => {
                fancy_regex::Regex::new(&translated.pattern).unwrap();
                if !translated.backtracks {
                    regex::Regex::new(&translated.pattern).unwrap();
                }
                let mark = if translated.backtracks { " !" } else { "" };
                format!("{} {}{mark}", translated.pattern, translated.groups.len())
            }
            Err(error) => error.message,
        }
    }

    #[test]
    fn tokens_are_written_again() {
        for (pattern, expected) in [
            (r"([^ ]*) (.*?)", "([^ ]*) (.*?) 2"),
            (r#"\"([^\"]*)\""#, r#""([^"]*)" 1"#),
            (r"\d+\W", r"[0-9]+[^a-zA-Z0-9_] 0"),
            (r"[\d-_]", r"[0-9\-_] 0"),
            (r"[A-Z0-9-_]+", r"[A-Z0-9\-_]+ 0"),
            (r"[^\s]", r"[^ \t\n\x0B\x0C\r] 0"),
            (r"[\S,]", r"[[^ \t\n\x0B\x0C\r],] 0"),
            (r"[a&&[^b]]", "[a&&[^b]] 0"),
            (r"[+--]", r"[\+-\-] 0"),
            (r"[]a]", r"[\]a] 0"),
            (r"a*+b", "a*+b 0 !"),
            (r"a{2,3}+", "a{2,3}+ 0 !"),
            (r"(?!#)(a)\1", r"(?!\#)(a)(?:\1) 1 !"),
            (r"(a)\12", r"(a)(?:\1)2 1 !"),
            (r"(?<x>a)\k<x>", r"(?P<x>a)(?:\k<x>) 1 !"),
            (r"(?iu)a(?s:b)", "(?i)a(?s:b) 0"),
            (r"\Q.*\E+", r"\.\*+ 0"),
            (r"\<\>\é", "<>é 0"),
            (r"\x41\u0042\0103\cA\e", r"ABC\x01\x1B 0"),
            (r"\p{Alpha}\P{IsLatin}[\p{Lower}x]", r"[[:alpha:]][^\p{Latin}][[[:lower:]]x] 0"),
            (r"a{b", r"a\{b 0"),
            (r"\Ga\Z", r"\Aa\z 0"),
            ("*a", "invalid regular expression: dangling meta character \"*\""),
            ("(a", "invalid regular expression: unclosed group"),
            ("a)", "invalid regular expression: unmatched closing parenthesis"),
            ("[a", "invalid regular expression: unclosed character class"),
            ("[z-a]", "invalid regular expression: a range of characters runs backwards"),
            (r"(a)\2", "invalid regular expression: there is no group 2"),
            (r"\y", "invalid regular expression: \"\\y\" is not supported"),
            ("(?x)a", "invalid regular expression: the flag \"x\" is not supported"),
            ("a\\", "invalid regular expression: a backslash at the end"),
            (&"(".repeat(200), "invalid regular expression: nested too deeply"),
        ] {
            assert_eq!(check(pattern), expected, "{pattern}");
        }
        assert_eq!(translate("[[:alpha:]_]", true).unwrap().pattern, "[[:alpha:]_]");
    }
}
