//! Text as it may stand in HTML. Values come from the lake, so they may be anything.

use std::borrow::Cow;

use unicode_width::UnicodeWidthChar;

/// `text` for an element or a quoted attribute. Control characters, which HTML doesn't have, become their pictures (`␀`), and
/// so do the marks that turn the direction of what follows, so that no value can pass for another one.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_special) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            // The pictures of control characters are in their order.
            '\0'..='\x1f' => out.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}')),
            '\x7f' => out.push('\u{2421}'),
            other if is_special(other) => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

fn is_special(character: char) -> bool {
    matches!(
        character,
        '&' | '<' | '>' | '"' | '\'' | '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{9f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// `text`, or its beginning and `…` where it is wider than `width` columns.
pub(crate) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    let mut used = 0_usize;
    let mut end = 0;
    for (at, character) in text.char_indices() {
        let wide = character.width().unwrap_or(0);
        if used + wide > width {
            return Cow::Owned(format!("{}…", &text[..end]));
        }
        used += wide;
        // Room for the mark.
        if used < width {
            end = at + character.len_utf8();
        }
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_place() {
        let cases = [
            ("plain ü 数", "plain ü 数"),
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("a\" onload=\"x & y", "a&quot; onload=&quot;x &amp; y"),
            ("a\0b\x1bc\x7f\r\nd\te", "a\u{2400}b\u{241b}c\u{2421}\u{240d}\nd\te"),
            ("gpj.\u{202e}exe", "gpj.\u{fffd}exe"),
        ];
        for (text, expected) in cases {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_by_their_width() {
        let cases = [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("数数数", 4, "数…"), ("", 0, "")];
        for (text, width, expected) in cases {
            assert_eq!(cut(text, width), expected);
        }
    }
}
