//! Stored answers, `sql/tpch/answers/**.csv`: read, and compared with what a server says.

use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::client::TextRows;

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Byte by byte.
    Text,
    /// As an exact decimal number.
    Number,
    /// Within one millionth, relative above one and absolute below.
    Approximate,
}

/// The answer of one query.
#[derive(Debug)]
pub struct Answers {
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<String>>,
}

impl Answers {
    /// Reads a file: comment lines that say which engine answered, a header of `name:kind`, rows.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let header = lines.next().context("an answer file without a header")?;
        let columns = split(header)
            .into_iter()
            .map(|column| {
                let (name, kind) = column.split_once(':').context("a column is name:kind")?;
                let kind = match kind {
                    "text" => Kind::Text,
                    "number" => Kind::Number,
                    "approximate" => Kind::Approximate,
                    _ => bail!("unknown kind {kind:?}"),
                };
                Ok((name.to_owned(), kind))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { columns, rows: lines.map(split).collect() })
    }

    /// The first difference, as an error.
    pub fn compare(&self, actual: &TextRows) -> anyhow::Result<()> {
        ensure!(actual.len() == self.rows.len(), "{} rows, expected {}", actual.len(), self.rows.len());
        for (number, (actual, expected)) in actual.iter().zip(&self.rows).enumerate() {
            ensure!(actual.len() == self.columns.len(), "{} columns, expected {}", actual.len(), self.columns.len());
            for ((name, kind), (actual, expected)) in self.columns.iter().zip(actual.iter().zip(expected)) {
                let actual = actual.as_deref().unwrap_or("NULL");
                let equal = match kind {
                    Kind::Text => actual == expected,
                    Kind::Number => trimmed(actual) == trimmed(expected),
                    Kind::Approximate => near(actual, expected),
                };
                ensure!(equal, "row {}, column {name}: {actual}, expected {expected}", number + 1);
            }
        }
        Ok(())
    }
}

/// One line of CSV. Line breaks in values don't occur in these files.
fn split(line: &str) -> Vec<String> {
    let (mut values, mut value, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                value.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            _ => value.push(character),
        }
    }
    values.push(value);
    values
}

/// A decimal number without the zeros that say nothing.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

fn near(actual: &str, expected: &str) -> bool {
    match (actual.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(actual), Ok(expected)) => (actual - expected).abs() <= 1e-6 * expected.abs().max(1.0),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_split_and_numbers_compare() {
        assert_eq!(split(r#"a,"b ""c"", d",,5"#), ["a", r#"b "c", d"#, "", "5"]);
        assert_eq!(trimmed("1.500"), trimmed("1.5"));
        assert_ne!(trimmed("1.500"), trimmed("1.501"));
        assert_eq!(trimmed("100"), "100");
        assert!(near("25.537587", "25.537587116854997"));
        assert!(!near("25.5377", "25.537587116854997"));
        assert!(!near("NULL", "1"));
    }

    #[test]
    fn all_stored_answers_read_and_equal_themselves() {
        for number in 1..=22 {
            let path = crate::paths::sql().join(format!("tpch/answers/sf0.1/q{number:02}.csv"));
            let answers = Answers::read(&path).unwrap();
            assert!(!answers.rows.is_empty(), "{number}");
            let rows: TextRows = answers.rows.iter().map(|row| row.iter().cloned().map(Some).collect()).collect();
            answers.compare(&rows).unwrap();
            let mut wrong = rows;
            wrong[0][0] = Some("wrong".to_owned());
            assert!(answers.compare(&wrong).is_err(), "{number}");
        }
    }
}
