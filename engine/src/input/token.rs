//! A date, time or interval -> its fields (PostgreSQL's `ParseDateTime`): what each looks like, not yet what it means.

/// What a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Digits, perhaps with a point.
    Number,
    /// Letters.
    Word,
    /// Numbers and words with `-`, `/` or `.` between them; also a zone's name.
    Date,
    /// Digits with colons.
    Time,
    /// A sign and digits.
    Signed,
    /// A sign and letters.
    Special,
}

/// A field, its letters in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// PostgreSQL's `MAXDATEFIELDS`.
const FIELDS_MAX: usize = 25;

/// Longer texts are no moments (PostgreSQL's `MAXDATELEN` and what an interval may need).
const LENGTH_MAX: usize = 256;

/// `None` when it can't be split, or has too many fields.
pub(super) fn split(text: &str) -> Option<Vec<Field>> {
    if text.len() > LENGTH_MAX || !text.is_ascii() {
        return None;
    }
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let mut fields = Vec::new();
    let mut next = 0;
    while next < bytes.len() {
        let byte = at(next);
        if is_space(byte) {
            next += 1;
            continue;
        }
        let start = next;
        let mut sign = "";
        let while_in = |from: usize, accepts: &dyn Fn(u8) -> bool| {
            let mut end = from;
            while end < bytes.len() && accepts(at(end)) {
                end += 1;
            }
            end
        };
        let digit = |byte: u8| byte.is_ascii_digit();
        let mut from = start;
        let kind = if byte.is_ascii_digit() {
            next = while_in(start, &digit);
            match at(next) {
                b':' => {
                    next = while_in(next, &|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
                    Kind::Time
                }
                delimiter @ (b'-' | b'/' | b'.') => {
                    next += 1;
                    if at(next).is_ascii_digit() {
                        next = while_in(next, &digit);
                        if at(next) == delimiter && next < bytes.len() {
                            next = while_in(next, &|byte| byte.is_ascii_digit() || byte == delimiter);
                            Kind::Date
                        } else if delimiter == b'.' {
                            Kind::Number
                        } else {
                            Kind::Date
                        }
                    } else {
                        let more = while_in(next, &|byte| byte.is_ascii_alphanumeric() || byte == delimiter);
                        let is_plain = delimiter == b'.' && more == next;
                        next = more;
                        // `12.`: a number with a point and nothing behind it.
                        if is_plain { Kind::Number } else { Kind::Date }
                    }
                }
                _ => Kind::Number,
            }
        } else if byte == b'.' {
            next = while_in(start + 1, &digit);
            Kind::Number
        } else if byte.is_ascii_alphabetic() {
            next = while_in(start, &|byte| byte.is_ascii_alphabetic());
            let follows = at(next);
            let is_date = match follows {
                b'-' | b'/' | b'.' => true,
                b'+' | b'0'..=b'9' => super::word::of_date(&text[start..next].to_ascii_lowercase()).is_none(),
                _ => false,
            };
            if is_date {
                next = while_in(next, &|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
                });
                Kind::Date
            } else {
                Kind::Word
            }
        } else if matches!(byte, b'+' | b'-') {
            sign = if byte == b'-' { "-" } else { "+" };
            from = while_in(start + 1, &is_space);
            if at(from).is_ascii_digit() {
                next = while_in(from, &|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-'));
                Kind::Signed
            } else if at(from).is_ascii_alphabetic() {
                next = while_in(from, &|byte| byte.is_ascii_alphabetic());
                Kind::Special
            } else {
                return None;
            }
        } else if byte.is_ascii_punctuation() {
            // Other marks only part what stands around them.
            next += 1;
            continue;
        } else {
            return None;
        };
        if fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push(Field { kind, text: format!("{sign}{}", text[from..next].to_ascii_lowercase()) });
    }
    Some(fields)
}
