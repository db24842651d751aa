//! psql's patterns -> conditions of SQL: `*` is any text, `?` any character, quotes keep case, a dot parts the schema off.

use crate::variable::literal;

/// A pattern's parts as regular expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    schema: Option<String>,
    name: Option<String>,
}

impl Pattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// A pattern of more than two parts names another database.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut part, mut is_quoted) = (Vec::new(), String::new(), false);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if is_quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    part.push('"');
                }
                '"' => is_quoted = !is_quoted,
                '.' if !is_quoted => parts.push(std::mem::take(&mut part)),
                '*' if !is_quoted => part.push_str(".*"),
                '?' if !is_quoted => part.push('.'),
                '$' => part.push_str("\\$"),
                // In quotes every character is itself.
                special if is_quoted && "|*+?()[]{}.^\\".contains(special) => {
                    part.push('\\');
                    part.push(special);
                }
                character if is_quoted => part.push(character),
                character => part.extend(character.to_lowercase()),
            }
        }
        parts.push(part);
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() {
            return Err(format!("cross-database references are not implemented: {text}"));
        }
        // In the dialect of PostgreSQL the first database is shown as `public`, and either name finds it.
        let expression = |part: String| (!part.is_empty() && part != ".*").then(|| format!("^({part})$"));
        Ok(Self { schema: schema.and_then(expression), name: expression(name) })
    }

    /// Conditions on the columns of a schema's and of a name; what is visible without a schema where none is named.
    pub(crate) fn conditions(&self, schema: &str, name: &str, visible: Option<&str>) -> String {
        let matches = |column: &str, expression: &str| {
            format!(
                "\n  AND {column} OPERATOR(pg_catalog.~) {} COLLATE pg_catalog.default",
                literal(expression).trim_start()
            )
        };
        let mut sql = String::new();
        if let Some(expression) = &self.name {
            sql += &matches(name, expression);
        }
        match (&self.schema, visible) {
            (Some(expression), _) => sql += &matches(schema, expression),
            (None, Some(visible)) => sql += &format!("\n  AND {visible}"),
            (None, None) => {}
        }
        sql
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_psqls() {
        let parse = |text: &str| {
            let pattern = Pattern::parse(text).unwrap();
            (pattern.schema, pattern.name)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse("Line*"), (None, some("^(line.*)$")));
        assert_eq!(parse("s.t?"), (some("^(s)$"), some("^(t.)$")));
        assert_eq!(parse("\"A.b\"\"c\".*"), (some("^(A\\.b\"c)$"), None));
        assert_eq!(parse("a$"), (None, some("^(a\\$)$")));
        assert!(Pattern::parse("a.b.c").is_err());
    }
}
