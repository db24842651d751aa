//! Names of sheets, as Excel takes them: 31 characters at most, none of `[]:*?/\`, no quote at an end, each once whatever its
//! case, and not `History`, which is Excel's own.

use std::collections::HashSet;

const LENGTH_MAX: usize = 31;

/// The names that are taken.
#[derive(Debug, Default)]
pub(super) struct SheetNames(HashSet<String>);

impl SheetNames {
    /// A name like `wanted` that is free.
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let clean: String = wanted
            .chars()
            .map(|character| match character {
                '[' => '(',
                ']' => ')',
                ':' | '*' | '?' | '/' | '\\' => '_',
                control if control.is_control() => '_',
                other => other,
            })
            .collect();
        let clean = clean.trim().trim_matches('\'');
        let clean = if clean.is_empty() { "Sheet" } else { clean };
        for number in 1.. {
            let suffix = if number == 1 { String::new() } else { format!(" ({number})") };
            let name = format!("{}{suffix}", first_units(clean, LENGTH_MAX - suffix.len()).trim_end_matches('\''));
            let key = name.to_lowercase();
            if key != "history" && self.0.insert(key) {
                return name;
            }
        }
        unreachable!("there are more numbers than sheets")
    }
}

/// The beginning of `text` of at most `max` UTF-16 units.
fn first_units(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        used += character.len_utf16();
        if used > max {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_that_excel_takes() {
        let mut names = SheetNames::default();
        let cases = [
            ("sales", "sales"),
            ("Sales", "Sales (2)"),
            ("a/b:c[1]?", "a_b_c(1)_"),
            ("'quoted'", "quoted"),
            ("  ", "Sheet"),
            ("history", "history (2)"),
            ("this name is far too long for a sheet", "this name is far too long for a"),
            ("this name is far too long for a sheet!", "this name is far too long f (2)"),
            ("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀", "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀"),
        ];
        for (wanted, expected) in cases {
            assert_eq!(names.take(wanted), expected);
        }
    }
}
