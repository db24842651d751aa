//! A line -> its fields, by the rules of PostgreSQL's `CopyReadAttributesText` and `CopyReadAttributesCSV`.

use limnos_engine::{Error, ErrorCode, Result};

use super::super::options::{CopyOptions, Layout};
use crate::pg::parameter::utf8;

/// The fields of one line: what needs no decoding stays where it is, the rest is put together in one buffer.
#[derive(Debug, Default)]
pub(super) struct Fields {
    decoded: Vec<u8>,
    found: Vec<Field>,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    /// The null string, unquoted.
    Null,
    /// A part of the line.
    Plain(usize, usize),
    /// A part of what was decoded.
    Decoded(usize, usize),
}

impl Fields {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// A field's text, `None` for NULL.
    ///
    /// # Errors
    /// `22021` for escapes that make no text.
    pub(super) fn get<'a>(&'a self, line: &'a str, index: usize) -> Result<Option<&'a str>> {
        match self.found[index] {
            Field::Null => Ok(None),
            Field::Plain(start, end) => Ok(Some(&line[start..end])),
            Field::Decoded(start, end) => utf8(&self.decoded[start..end]).map(Some),
        }
    }

    /// Takes a line apart.
    ///
    /// # Errors
    /// A quote that isn't closed.
    pub(super) fn read(&mut self, line: &str, options: &CopyOptions) -> Result<()> {
        self.decoded.clear();
        self.found.clear();
        match options.layout {
            Layout::Csv { quote, escape } => self.read_csv(line.as_bytes(), options, quote, escape),
            _ => {
                self.read_text(line.as_bytes(), options);
                Ok(())
            }
        }
    }

    fn read_text(&mut self, line: &[u8], options: &CopyOptions) {
        let delimiter = options.delimiter;
        let mut at = 0;
        loop {
            let start = at;
            let stop = line[at..].iter().position(|byte| *byte == delimiter || *byte == b'\\');
            at = stop.map_or(line.len(), |stop| at + stop);
            let mut field = Field::Plain(start, at);
            if line.get(at) == Some(&b'\\') {
                let decoded = self.decoded.len();
                self.decoded.extend_from_slice(&line[start..at]);
                at = self.decode(line, at, delimiter);
                field = Field::Decoded(decoded, self.decoded.len());
            }
            // It is compared as it came, before escapes are looked at.
            if line[start..at] == *options.null.as_bytes() {
                field = Field::Null;
            }
            self.found.push(field);
            if at >= line.len() {
                return;
            }
            at += 1;
            if at == line.len() {
                // A delimiter at the end has an empty field behind it.
                self.found.push(if options.null.is_empty() { Field::Null } else { Field::Plain(at, at) });
                return;
            }
        }
    }

    /// Decodes a field from its first backslash on; gives where it ends.
    fn decode(&mut self, line: &[u8], mut at: usize, delimiter: u8) -> usize {
        while let Some(&byte) = line.get(at) {
            if byte == delimiter {
                break;
            }
            at += 1;
            if byte != b'\\' {
                self.decoded.push(byte);
                continue;
            }
            // A backslash at the end of a line is nothing.
            let Some(&escaped) = line.get(at) else { break };
            at += 1;
            let octal = |byte: Option<&u8>| byte.filter(|byte| (b'0'..=b'7').contains(byte)).map(|byte| byte - b'0');
            let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).map(|digit| digit as u8);
            let byte = match escaped {
                b'0'..=b'7' => {
                    let mut value = escaped - b'0';
                    for _ in 0..2 {
                        let Some(digit) = octal(line.get(at)) else { break };
                        value = value.wrapping_shl(3) | digit;
                        at += 1;
                    }
                    value
                }
                b'x' => match hex(line.get(at)) {
                    None => b'x',
                    Some(first) => {
                        at += 1;
                        match hex(line.get(at)) {
                            None => first,
                            Some(second) => {
                                at += 1;
                                first << 4 | second
                            }
                        }
                    }
                },
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                other => other,
            };
            self.decoded.push(byte);
        }
        at
    }

    fn read_csv(&mut self, line: &[u8], options: &CopyOptions, quote: u8, escape: u8) -> Result<()> {
        let delimiter = options.delimiter;
        let mut at = 0;
        loop {
            let start = at;
            let stop = line[at..].iter().position(|byte| *byte == delimiter || *byte == quote);
            at = stop.map_or(line.len(), |stop| at + stop);
            let mut field = Field::Plain(start, at);
            if line.get(at).is_some_and(|byte| *byte == quote) {
                let decoded = self.decoded.len();
                self.decoded.extend_from_slice(&line[start..at]);
                at = self.unquote(line, at, delimiter, quote, escape)?;
                field = Field::Decoded(decoded, self.decoded.len());
            } else if line[start..at] == *options.null.as_bytes() {
                field = Field::Null;
            }
            self.found.push(field);
            if at >= line.len() {
                return Ok(());
            }
            at += 1;
        }
    }

    /// Decodes a field from its first quote on; gives where it ends.
    fn unquote(&mut self, line: &[u8], mut at: usize, delimiter: u8, quote: u8, escape: u8) -> Result<usize> {
        let mut in_quote = false;
        loop {
            let Some(&byte) = line.get(at) else {
                return match in_quote {
                    true => Err(Error::new(ErrorCode::BadCopyFileFormat, "unterminated CSV quoted field")),
                    false => Ok(at),
                };
            };
            if !in_quote && byte == delimiter {
                return Ok(at);
            }
            at += 1;
            let escaped = line.get(at).copied().filter(|next| *next == escape || *next == quote);
            match escaped.filter(|_| in_quote && byte == escape) {
                Some(next) => {
                    self.decoded.push(next);
                    at += 1;
                }
                None if byte == quote => in_quote = !in_quote,
                None => self.decoded.push(byte),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use limnos_engine::parse::CopyOption;

    use super::super::super::options::Direction;
    use super::*;

    fn fields(options: &[(&str, &str)], line: &str) -> String {
        let option = |(name, value): &(&str, &str)| CopyOption {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            list: None,
            position: 1,
        };
        let options: Vec<CopyOption> = options.iter().map(option).collect();
        let options = CopyOptions::read(&options, Direction::In).unwrap();
        let mut fields = Fields::default();
        if let Err(error) = fields.read(line, &options) {
            return error.message;
        }
        let shown = |index| match fields.get(line, index) {
            Ok(Some(text)) => format!("{text:?}"),
            Ok(None) => "NULL".to_owned(),
            Err(error) => error.message,
        };
        (0..fields.len()).map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn fields_are_read_as_postgresql_does() {
        let text = |line| fields(&[], line);
        assert_eq!(text("a\tb"), "\"a\" \"b\"");
        assert_eq!(text(""), "\"\"");
        assert_eq!(text("\t"), "\"\" \"\"");
        assert_eq!(text("\\N\t\\\\N\tx\\N"), "NULL \"\\\\N\" \"xN\"");
        assert_eq!(text("\\b\\f\\n\\r\\t\\v\\q\\\t"), "\"\\u{8}\\u{c}\\n\\r\\t\\u{b}q\\t\"");
        assert_eq!(text("\\101\\x41\\x4g\\xg\\18"), "\"AA\\u{4}gxg\\u{1}8\"");
        assert_eq!(text("a\\"), "\"a\"");
        assert_eq!(text("\\303\\244 \\xff"), "invalid byte sequence for encoding \"UTF8\": 0xff");
        assert_eq!(text("\\0"), "invalid byte sequence for encoding \"UTF8\": 0x00");
        assert_eq!(fields(&[("null", ""), ("delimiter", "|")], "a||"), "\"a\" NULL NULL");
        let csv = |line| fields(&[("format", "csv")], line);
        assert_eq!(csv("a,\"b,\"\"c\",,\"\""), "\"a\" \"b,\\\"c\" NULL \"\"");
        assert_eq!(csv(""), "NULL");
        assert_eq!(csv("x\"y,\"z\"w,"), "unterminated CSV quoted field");
        assert_eq!(csv("x\"y\"z\" \",a b"), "\"xyz \" \"a b\"");
        let escaped = [("format", "csv"), ("escape", "\\"), ("null", "nil")];
        assert_eq!(fields(&escaped, "\"a\\\"\\\\\\n\",\"nil\",nil,\\"), "\"a\\\"\\\\\\\\n\" \"nil\" NULL \"\\\\\"");
    }
}
