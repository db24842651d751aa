//! Booleans, bytes and UUIDs.

use super::{invalid, is_space, trim};
use crate::{Error, ErrorCode, Result};

/// Any unambiguous beginning of `true`, `false`, `yes`, `no`; `on`, `off`, `1`, `0`.
///
/// # Errors
/// `22P02`.
pub fn boolean(text: &str) -> Result<bool> {
    crate::session::settings::boolean(trim(text)).ok_or_else(|| invalid("boolean", text))
}

/// <https://www.postgresql.org/docs/15/datatype-binary.html>: `\x` and hexadecimal digits, else the bytes with `\\` and
/// `\ooo` as escapes.
///
/// # Errors
/// `22023` for wrong digits, `22P02` for wrong escapes.
pub fn bytes(text: &str) -> Result<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return hex(digits);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        match bytes.get(at + 1..) {
            Some([b'\\', ..]) => {
                out.push(b'\\');
                at += 2;
            }
            Some([first @ b'0'..=b'3', second @ b'0'..=b'7', third @ b'0'..=b'7', ..]) => {
                out.push((first - b'0') << 6 | (second - b'0') << 3 | (third - b'0'));
                at += 4;
            }
            _ => {
                let message = "invalid input syntax for type bytea";
                return Err(Error::new(ErrorCode::InvalidTextRepresentation, message));
            }
        }
    }
    Ok(out)
}

/// Pairs of digits; spaces may stand between pairs.
fn hex(text: &str) -> Result<Vec<u8>> {
    let wrong = |message: String| Error::new(ErrorCode::InvalidParameterValue, message);
    let digit = |character: char| {
        character.to_digit(16).ok_or_else(|| wrong(format!("invalid hexadecimal digit: \"{character}\"")))
    };
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut characters = text.chars();
    while let Some(first) = characters.next() {
        if is_space(first) {
            continue;
        }
        let high = digit(first)?;
        let second = characters.next();
        let second = second.ok_or_else(|| wrong("invalid hexadecimal data: odd number of digits".to_owned()))?;
        out.push((high << 4 | digit(second)?) as u8);
    }
    Ok(out)
}

/// 32 hexadecimal digits, a hyphen after any group of four, braces around them or not.
///
/// # Errors
/// `22P02`.
pub fn uuid(text: &str) -> Result<[u8; 16]> {
    read_uuid(text).ok_or_else(|| invalid("uuid", text))
}

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut out = [0; 16];
    let mut rest = inner.as_bytes();
    for (index, byte) in out.iter_mut().enumerate() {
        let [high, low, after @ ..] = rest else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        rest = after;
        if index % 2 == 1 && index < 15 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
    }
    rest.is_empty().then_some(out)
}
