//! JSON: `json` keeps its text as it came, `jsonb` is written anew: keys by length and bytes, the last of equal ones, one space
//! behind `:` and `,`, numbers with all their digits.

use std::fmt::Write as _;

use crate::{Error, ErrorCode, Result};

/// Deeper values are refused: they are read recursively, on threads with small stacks, too.
const DEPTH_MAX: usize = 250;

/// A JSON value. Numbers keep their digits.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Whether `text` is JSON.
///
/// # Errors
/// `22P02`, with what is wrong as detail.
pub fn check(text: &str) -> Result<()> {
    parse(text, false).map(|_| ())
}

/// `text` as `jsonb` shows it.
///
/// # Errors
/// As [`check`].
pub fn canonical(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    parse(text, true)?.write(&mut out)?;
    Ok(out)
}

fn parse(text: &str, decoded: bool) -> Result<Json> {
    let mut reader = Reader { text, at: 0, decoded };
    let value = reader.value(0)?;
    reader.skip_spaces();
    if reader.at < text.len() {
        let detail = format!("Expected end of input, but found \"{}\".", reader.token());
        return Err(reader.fault(detail));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Whether escapes must stand for characters; `json` keeps them unread.
    decoded: bool,
}

impl<'a> Reader<'a> {
    fn fault(&self, detail: impl Into<String>) -> Error {
        Error::new(ErrorCode::InvalidTextRepresentation, "invalid input syntax for type json")
            .with_detail(detail.into())
    }

    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What stands here, for a message.
    fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || !c.is_ascii())).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        &rest[..word.max(first)]
    }

    fn unexpected(&self, expected: &str) -> Error {
        if self.at >= self.text.len() {
            return self.fault("The input string ended unexpectedly.");
        }
        self.fault(format!("Expected {expected}, but found \"{}\".", self.token()))
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > DEPTH_MAX {
            return Err(Error::new(ErrorCode::StatementTooComplex, "JSON value is nested too deep")
                .with_detail(format!("At most {DEPTH_MAX} levels are read.")));
        }
        self.skip_spaces();
        match self.peek() {
            None => Err(self.fault("The input string ended unexpectedly.")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                let token = self.token();
                let value = match token {
                    "null" => Json::Null,
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    "}" | "]" | "," | ":" => return Err(self.unexpected("JSON value")),
                    _ => return Err(self.fault(format!("Token \"{token}\" is invalid."))),
                };
                self.at += token.len();
                Ok(value)
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_spaces();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::List(items));
                }
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut members: Vec<(String, Json)> = Vec::new();
        self.skip_spaces();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_spaces();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(if members.is_empty() { "string or \"}\"" } else { "string" }));
            }
            let key = self.string()?;
            self.skip_spaces();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            members.push((key, self.value(depth + 1)?));
            self.skip_spaces();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
        }
    }

    fn number(&mut self) -> Result<Json> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')))
            .unwrap_or(rest.len());
        let token = &rest[..end];
        let unsigned = token.strip_prefix('-').unwrap_or(token);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
            None => (unsigned, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let valid = is_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(is_digits)
            && exponent.is_none_or(is_digits);
        if !valid {
            return Err(self.fault(format!("Token \"{token}\" is invalid.")));
        }
        self.at += end;
        Ok(Json::Number(token.to_owned()))
    }

    fn string(&mut self) -> Result<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(character) = rest.chars().next() else {
                let detail = format!("Token \"{}\" is invalid.", &self.text[start..]);
                return Err(self.fault(detail));
            };
            self.at += character.len_utf8();
            match character {
                '"' => return Ok(out),
                '\\' => out.push(self.escape()?),
                character if u32::from(character) < 32 => {
                    let detail = format!("Character with value 0x{:02x} must be escaped.", u32::from(character));
                    return Err(self.fault(detail));
                }
                character => out.push(character),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(character) = self.text[self.at..].chars().next() else {
            return Err(self.fault("The input string ended unexpectedly."));
        };
        self.at += character.len_utf8();
        Ok(match character {
            '"' | '\\' | '/' => character,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.code_unit()?;
                if !self.decoded {
                    return Ok(char::REPLACEMENT_CHARACTER);
                }
                if !(0xd800..0xe000).contains(&first) {
                    return char::from_u32(first).ok_or_else(|| self.fault("Unicode escape is invalid."));
                }
                if first >= 0xdc00 {
                    return Err(self.fault("Unicode low surrogate must follow a high surrogate."));
                }
                let follows = self.text[self.at..].starts_with("\\u");
                let second = if follows {
                    self.at += 2;
                    self.code_unit()?
                } else {
                    0
                };
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(self.fault("Unicode low surrogate must follow a high surrogate."));
                }
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).ok_or_else(|| self.fault("Unicode escape is invalid."));
            }
            other => return Err(self.fault(format!("Escape sequence \"\\{other}\" is invalid."))),
        })
    }

    fn code_unit(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(unit) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return Err(self.fault("\"\\u\" must be followed by four hexadecimal digits."));
        };
        self.at += 4;
        Ok(unit)
    }
}

impl Json {
    fn write(&self, out: &mut String) -> Result<()> {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => number(digits, out)?,
            Self::Text(text) => string(text, out)?,
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    item.write(out)?;
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut sorted: Vec<(usize, &(String, Self))> = members.iter().enumerate().collect();
                sorted.sort_by(|(a_at, (a, _)), (b_at, (b, _))| {
                    (a.len(), a.as_bytes(), a_at).cmp(&(b.len(), b.as_bytes(), b_at))
                });
                out.push('{');
                let mut first = true;
                for (index, (_, (key, value))) in sorted.iter().enumerate() {
                    if sorted.get(index + 1).is_some_and(|(_, (next, _))| next == key) {
                        continue;
                    }
                    if !first {
                        out.push_str(", ");
                    }
                    first = false;
                    string(key, out)?;
                    out.push_str(": ");
                    value.write(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// As `numeric` shows it: `1e3` is 1000, `-0` is 0. What has more digits than we hold stays as it was written.
fn number(text: &str, out: &mut String) -> Result<()> {
    let Some(exponent) = text.find(['e', 'E']) else {
        let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
        out.push_str(if is_zero { text.trim_start_matches('-') } else { text });
        return Ok(());
    };
    match super::decimal(text) {
        Ok(decimal) => {
            let digits = decimal.value.to_string();
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
            let scale = usize::from(decimal.scale);
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            let point = if scale > 0 { "." } else { "" };
            let _ = write!(out, "{sign}{whole}{point}{fraction}");
            Ok(())
        }
        Err(_) => Err(Error::new(ErrorCode::NumericValueOutOfRange, "value overflows numeric format")
            .with_detail(format!("The number has the exponent {}.", &text[exponent + 1..]))),
    }
}

fn string(text: &str, out: &mut String) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::new(ErrorCode::UntranslatableCharacter, "unsupported Unicode escape sequence")
            .with_detail("\\u0000 cannot be converted to text."));
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 32 => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    Ok(())
}
