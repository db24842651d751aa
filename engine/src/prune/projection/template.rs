//! [`Template`]: `storage.location.template`, a location in which `${key}` stands for a partition key's value.

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The key's position.
    Key(usize),
}

/// Why a text is no template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadTemplate {
    /// `${` without `}`.
    Unclosed,
    /// A placeholder that names no partition key.
    Unknown(String),
    /// A key without a placeholder.
    Missing(usize),
    /// It begins with no scheme and no `/`.
    Relative,
    /// There is a placeholder before the path begins.
    StoreVaries,
}

impl Template {
    /// Reads a template over `keys`, whose names are in lower case.
    pub(super) fn parse(text: &str, keys: &[&str]) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        let is_absolute = rest.starts_with('/') || rest.contains(":/");
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or(BadTemplate::Unclosed)?;
            let key = keys.iter().position(|key| *key == name.trim().to_lowercase());
            let key = key.ok_or_else(|| BadTemplate::Unknown(name.trim().to_owned()))?;
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            parts.push(Part::Key(key));
            rest = after;
        }
        // What is there is a folder, also where its slash was left out.
        parts.push(Part::Literal(if rest.ends_with('/') { rest.to_owned() } else { format!("{rest}/") }));
        if let Some(missing) = (0..keys.len()).find(|key| !parts.contains(&Part::Key(*key))) {
            return Err(BadTemplate::Missing(missing));
        }
        if !is_absolute {
            return Err(BadTemplate::Relative);
        }
        let store_end = match &parts[0] {
            Part::Literal(first) if first.starts_with('/') || first.to_lowercase().starts_with("file:/") => true,
            // `s3://bucket/`: the path begins after the third slash.
            Part::Literal(first) => first.matches('/').count() >= 3,
            Part::Key(_) => false,
        };
        if store_end { Ok(Self { parts }) } else { Err(BadTemplate::StoreVaries) }
    }

    /// The location for `values`, one a key.
    pub(super) fn fill(&self, values: &[&str]) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.as_str(),
                Part::Key(key) => values.get(*key).copied().unwrap_or_default(),
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_values() {
        for (text, filled) in [
            ("s3://b/t/${a}/x/${b}/", "s3://b/t/1/x/2/"),
            ("s3://b/t/b=${b}/${A}", "s3://b/t/b=2/1/"),
            ("/lake/${a}${b}/${ a }.d/", "/lake/12/1.d/"),
            ("file:///lake/$${a}/$b/${b}", "file:///lake/$1/$b/2/"),
        ] {
            assert_eq!(Template::parse(text, &["a", "b"]).unwrap().fill(&["1", "2"]), filled, "{text}");
        }
    }

    #[test]
    fn bad_templates_are_told() {
        for (text, reason) in [
            ("s3://b/t/${a}/", BadTemplate::Missing(1)),
            ("", BadTemplate::Missing(0)),
            ("s3://b/t/${a}/${c}/${b}", BadTemplate::Unknown("c".to_owned())),
            ("s3://b/t/${a}/${b", BadTemplate::Unclosed),
            ("s3://${a}/${b}/", BadTemplate::StoreVaries),
            ("s3://logs-${a}/${b}/", BadTemplate::StoreVaries),
            ("lake/${a}/${b}/", BadTemplate::Relative),
        ] {
            assert_eq!(Template::parse(text, &["a", "b"]).unwrap_err(), reason, "{text}");
        }
    }
}
