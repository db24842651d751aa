//! [`Variables`]: `\set`, and `:name`, `:'name'`, `:"name"` in SQL.

use std::collections::BTreeMap;

use crate::lex::{self, Kind};

/// The variables of a shell.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

impl Variables {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Sets one.
    ///
    /// # Errors
    /// A name with characters that no variable has.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name.is_empty() || !name.chars().all(|character| character.is_alphanumeric() || character == '_') {
            return Err(format!("invalid variable name: \"{name}\""));
        }
        self.values.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Forgets one.
    pub fn unset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Whether a switch is on: `on`, `true`, `1`, `yes`.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| ["on", "true", "1", "yes"].contains(&value.to_ascii_lowercase().as_str()))
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `sql` with values in the places of variables. Names that aren't set, and what stands in quotes, stay as they are.
    pub fn interpolate(&self, sql: &str) -> String {
        if self.values.is_empty() || !sql.contains(':') {
            return sql.to_owned();
        }
        let mut out = String::with_capacity(sql.len());
        for token in lex::tokens(sql) {
            let text = token.text(sql);
            match (token.kind == Kind::Variable).then(|| self.substitute(text)).flatten() {
                Some(value) => out.push_str(&value),
                None => out.push_str(text),
            }
        }
        out
    }

    /// The value that stands for `:name`, quoted as it asks.
    pub fn substitute(&self, reference: &str) -> Option<String> {
        let name = reference.strip_prefix(':')?;
        if let Some(name) = name.strip_prefix('\'') {
            return Some(literal(self.get(name.strip_suffix('\'')?)?));
        }
        if let Some(name) = name.strip_prefix('"') {
            return Some(identifier(self.get(name.strip_suffix('"')?)?));
        }
        self.get(name).map(str::to_owned)
    }
}

/// A text as SQL has it; with a backslash in it in the form that says what backslashes mean, as libpq does.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A name as SQL has it.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_outside_of_quotes() {
        let mut variables = Variables::default();
        variables.set("t", "my table").unwrap();
        variables.set("n", "3").unwrap();
        variables.set("s", "it's \\").unwrap();
        assert!(variables.set("a-b", "").is_err());
        assert_eq!(
            variables.interpolate("select ':n', :n, :'s', x::int, :unknown from :\"t\" -- :n"),
            "select ':n', 3,  E'it''s \\\\', x::int, :unknown from \"my table\" -- :n"
        );
    }
}
