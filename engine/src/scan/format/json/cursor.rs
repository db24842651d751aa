//! [`Cursor`]: one JSON text, read from left to right without building a tree.

use std::borrow::Cow;

/// Deepest nesting that is read; the functions here and above them call themselves once per level.
const DEPTH_MAX: usize = 256;

/// What is wrong with the JSON, and where (a byte offset into the text).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub offset: usize,
    pub reason: String,
}

type Result<T> = std::result::Result<T, SyntaxError>;

/// The kind of the value that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

/// A position in a JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, position: 0, depth: 0 }
    }

    /// The byte offset of what comes next.
    pub fn offset(&self) -> usize {
        self.position
    }

    /// The kind of the next value, whose first byte decides it.
    pub fn kind(&mut self) -> Result<Kind> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Boolean),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.error("a value was expected")),
            None => Err(self.error("it ends in the middle of a value")),
        }
    }

    /// Steps into an object; its members follow with [`Self::next_key`].
    pub fn begin_object(&mut self) -> Result<()> {
        self.begin(b'{')
    }

    /// The next member's key, or `None` behind the last member. `first` is true for the first call on an object.
    pub fn next_key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if self.end_or_comma(b'}', first)? {
            return Ok(None);
        }
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.error("a key in quotes was expected"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.error("\":\" was expected behind a key"));
        }
        self.position += 1;
        Ok(Some(key))
    }

    /// Steps into an array; its items follow with [`Self::next_item`].
    pub fn begin_array(&mut self) -> Result<()> {
        self.begin(b'[')
    }

    /// Whether there is another item, which then comes next.
    pub fn next_item(&mut self, first: bool) -> Result<bool> {
        Ok(!self.end_or_comma(b']', first)?)
    }

    /// Reads a string and resolves its escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.skip_space();
        self.position += 1;
        let start = self.position;
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.position) {
            match byte {
                b'"' => {
                    let text = &self.text[start..self.position];
                    self.position += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.escaped_string(start).map(Cow::Owned),
                0..=0x1f if *byte != b'\t' => return Err(self.error("a control character in a string must be escaped")),
                _ => self.position += 1,
            }
        }
        Err(self.error("it ends in the middle of a string"))
    }

    fn escaped_string(&mut self, start: usize) -> Result<String> {
        let mut value = self.text[start..self.position].to_owned();
        loop {
            let rest = &self.text[self.position..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || (c < ' ' && c != '\t')).unwrap_or(rest.len());
            value.push_str(&rest[..plain]);
            self.position += plain;
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(value);
                }
                Some(b'\\') => {
                    self.position += 1;
                    value.push(self.escape()?);
                }
                Some(_) => return Err(self.error("a control character in a string must be escaped")),
                None => return Err(self.error("it ends in the middle of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(byte) = self.peek() else { return Err(self.error("it ends in the middle of a string")) };
        self.position += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.error("an unknown escape in a string")),
        })
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.text[self.position..].starts_with("\\u") {
                return Err(self.error("a lone surrogate in a string"));
            }
            self.position += 2;
            let second = self.hex()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.error("a lone surrogate in a string"));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.error("a lone surrogate in a string"))
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.position..self.position + 4);
        let value = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("four hexadecimal digits were expected"))?;
        self.position += 4;
        Ok(value)
    }

    /// Reads a number and returns its text.
    pub fn number(&mut self) -> Result<&'a str> {
        self.skip_space();
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.digits()?;
        }
        if let Some(byte) = self.peek()
            && (byte.is_ascii_alphanumeric() || byte == b'.')
        {
            return Err(self.error("a malformed number"));
        }
        Ok(&self.text[start..self.position])
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.position;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.position += 1;
        }
        if self.position == start { Err(self.error("a malformed number")) } else { Ok(()) }
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool> {
        self.skip_space();
        if self.peek() == Some(b't') { self.word("true").map(|()| true) } else { self.word("false").map(|()| false) }
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Result<()> {
        self.skip_space();
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.text[self.position..].starts_with(word) {
            return Err(self.error("an unknown word"));
        }
        self.position += word.len();
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.error("an unknown word"));
        }
        Ok(())
    }

    /// Reads any value, checks it, and returns its text.
    pub fn raw_value(&mut self) -> Result<&'a str> {
        self.skip_space();
        let start = self.position;
        match self.kind()? {
            Kind::Object => {
                self.begin_object()?;
                let mut first = true;
                while self.next_key(first)?.is_some() {
                    self.raw_value()?;
                    first = false;
                }
            }
            Kind::Array => {
                self.begin_array()?;
                let mut first = true;
                while self.next_item(first)? {
                    self.raw_value()?;
                    first = false;
                }
            }
            Kind::String => {
                self.string()?;
            }
            Kind::Number => {
                self.number()?;
            }
            Kind::Boolean => {
                self.boolean()?;
            }
            Kind::Null => self.null()?,
        }
        Ok(&self.text[start..self.position])
    }

    /// Checks that nothing but white space is left.
    pub fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.position < self.text.len() { Err(self.error("there is text behind the value")) } else { Ok(()) }
    }

    /// An error at the current position.
    pub fn error(&self, reason: &str) -> SyntaxError {
        SyntaxError { offset: self.position, reason: reason.to_owned() }
    }

    fn begin(&mut self, open: u8) -> Result<()> {
        self.skip_space();
        if self.peek() != Some(open) {
            return Err(self.error(if open == b'{' { "an object was expected" } else { "an array was expected" }));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("it is nested too deeply"));
        }
        self.position += 1;
        Ok(())
    }

    /// Behind the closing bracket (true) or, past the comma, before the next member or item (false).
    fn end_or_comma(&mut self, close: u8, first: bool) -> Result<bool> {
        self.skip_space();
        match self.peek() {
            Some(byte) if byte == close => {
                self.position += 1;
                self.depth -= 1;
                Ok(true)
            }
            Some(b',') if !first => {
                self.position += 1;
                self.skip_space();
                if self.peek() == Some(close) {
                    return Err(self.error("a comma before a closing bracket"));
                }
                Ok(false)
            }
            Some(_) if first => Ok(false),
            Some(_) => Err(self.error("a comma or a closing bracket was expected")),
            None => Err(self.error("it ends in the middle of a value")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(text: &str) -> std::result::Result<(), String> {
        let mut cursor = Cursor::new(text);
        cursor.raw_value().and_then(|_| cursor.end()).map_err(|error| error.reason)
    }

    #[test]
    fn agrees_with_serde_json_on_what_json_is() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        for text in [
            "{}",
            "[]",
            "[1,2]",
            "{\"a\":1}",
            " {\"a\" : [ {\"b\":null} ] } ",
            "-0.5e+3",
            "0",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "tru",
            "true",
            "truex",
            "nul",
            "\"a\\u00e9\\n\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\x\"",
            "\"a\nb\"",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1 2]",
            "",
            "[",
            "{\"a\":[1}",
            "1 2",
            "\"abc",
            "{a:1}",
            "'a'",
            &deep,
        ] {
            assert_eq!(
                check(text).is_ok(),
                serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "{text}: {:?}",
                check(text)
            );
        }
        assert_eq!(check(&("[".repeat(1000) + &"]".repeat(1000))), Err("it is nested too deeply".to_owned()));
    }

    #[test]
    fn escapes() {
        for (text, expected) in
            [(r#""a\"\\\/\b\f\n\r\té""#, "a\"\\/\u{8}\u{c}\n\r\té"), (r#""😀 ü""#, "😀 ü"), ("\"\"", "")]
        {
            assert_eq!(Cursor::new(text).string().unwrap(), expected);
        }
    }
}
