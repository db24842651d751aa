//! A value as a terminal shows it: its lines, their widths, and no control characters, which could do anything there.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

/// How many columns of a terminal a text takes.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { UnicodeWidthStr::width(text) }
}

/// One line of a value.
pub(super) type Line<'a> = (Cow<'a, str>, usize);

/// The lines of a value with their widths; at least one.
pub(super) fn lines(value: &str) -> Vec<Line<'_>> {
    value.split('\n').map(line).collect()
}

/// Tabs become blanks up to the next eighth column, other control characters what psql shows: `\r`, `\x1B`.
fn line(text: &str) -> Line<'_> {
    if !text.chars().any(char::is_control) {
        return (Cow::Borrowed(text), width(text));
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\t' => {
                let blanks = 8 - width(&out) % 8;
                out.extend(std::iter::repeat_n(' ', blanks));
            }
            '\r' => out.push_str("\\r"),
            control if control.is_control() => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\x{:02X}", u32::from(control));
            }
            character => out.push(character),
        }
    }
    let width = width(&out);
    (Cow::Owned(out), width)
}

/// The width of the widest line.
pub(super) fn widest(value: &str) -> usize {
    if value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return value.len();
    }
    lines(value).iter().map(|(_, width)| *width).max().unwrap_or(0)
}

/// Adds `count` times `what`.
pub(super) fn repeat(out: &mut String, what: &str, count: usize) {
    for _ in 0..count {
        out.push_str(what);
    }
}

/// Adds blanks.
pub(super) fn blanks(out: &mut String, count: usize) {
    repeat(out, " ", count);
}
