//! The catalog's statements in PostgreSQL's words.
//!
//! `?1` becomes `$1`. In definitions of tables `INTEGER` becomes `BIGINT`, `BLOB` `BYTEA`, `TEXT` is given the order of
//! bytes that SQLite has, and `STRICT` and `WITHOUT ROWID` go. What is quoted or in a comment stays.

/// A statement with parameters.
pub(super) fn statement(sql: &str) -> String {
    translate(sql, |word| word.to_owned())
}

/// Definitions of tables.
pub(super) fn script(sql: &str) -> String {
    let script = translate(sql, |word| match word {
        "INTEGER" => "BIGINT".to_owned(),
        "BLOB" => "BYTEA".to_owned(),
        "TEXT" => "TEXT COLLATE \"C\"".to_owned(),
        other => other.to_owned(),
    });
    // As they are written after a table's last parenthesis.
    script.replace(") STRICT, WITHOUT ROWID", ")").replace(") WITHOUT ROWID", ")").replace(") STRICT", ")")
}

fn translate(sql: &str, word: impl Fn(&str) -> String) -> String {
    let mut translated = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '?' => {
                translated.push('$');
                rest = &rest[1..];
                continue;
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' => {
                let end = rest.find(|other: char| !other.is_ascii_alphanumeric() && other != '_');
                let (name, tail) = rest.split_at(end.unwrap_or(rest.len()));
                translated.push_str(&word(name));
                rest = tail;
                continue;
            }
            other => other.len_utf8(),
        };
        translated.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    translated
}

/// A name in double quotes.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes; `standard_conforming_strings` is on.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translates() {
        assert_eq!(
            statement("SELECT '?1', \"?2\", ?1 -- ?3\n, ?12 WHERE INTEGER"),
            "SELECT '?1', \"?2\", $1 -- ?3\n, $12 WHERE INTEGER"
        );
        assert_eq!(
            script(
                "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB, c TEXT, d_TEXT TEXT NOT NULL) STRICT, WITHOUT ROWID;"
            ),
            "CREATE TABLE t (a BIGINT PRIMARY KEY, b BYTEA, c TEXT COLLATE \"C\", d_TEXT TEXT COLLATE \"C\" NOT NULL);"
        );
        assert_eq!(script("-- a TEXT\nX 'TEXT' (a) STRICT;"), "-- a TEXT\nX 'TEXT' (a);");
        assert_eq!((identifier("a\"b"), literal("it's")), ("\"a\"\"b\"".to_owned(), "'it''s'".to_owned()));
        // A quote that doesn't end is PostgreSQL's to refuse.
        assert_eq!(statement("'?1"), "'?1");
    }
}
