//! [`Template`]: the name of a file, with places for the time and for parameters: `/out/{scheduled_time:%Y/%m/%d}/{region}.csv`.

use std::collections::HashMap;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::{Error, ErrorCode, Result};

/// The most bytes of a parameter's value in a name.
const VALUE_BYTES_MAX: usize = 200;

/// Names that are moments, and may have a pattern.
const MOMENTS: [&str; 2] = ["scheduled_time", "scheduled_date"];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Moment(String),
    Value(String),
}

/// What a template's places are filled with.
pub(crate) struct Fill<'a> {
    pub(crate) scheduled_at: DateTime<Utc>,
    pub(crate) zone: Tz,
    /// `report`, `query`, and parameters; NULL is `None`.
    pub(crate) values: &'a HashMap<String, Option<String>>,
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidParameterValue, message)
}

impl Template {
    /// Reads `text`. `known` are the names that may stand in it, beside those of moments.
    ///
    /// # Errors
    /// 22023 for what is no template.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if rest[open..].starts_with('}') {
                return Err(invalid(format!("\"{text}\" has a closing brace without an opening one")));
            }
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inside = &rest[open + 1..];
            let close = inside
                .find('}')
                .ok_or_else(|| invalid(format!("\"{text}\" has an opening brace without a closing one")))?;
            parts.push(place(&inside[..close], known)?);
            rest = &inside[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Whether a value is asked for.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(known) if known == name))
    }

    /// The store must not be a value's choice: what comes before the first place names it and a folder in it.
    ///
    /// # Errors
    /// 22023.
    pub(crate) fn check_location(&self) -> Result<()> {
        let first = match self.parts.first() {
            Some(Part::Text(text)) => text.as_str(),
            _ => "",
        };
        let path = first.split_once("://").map_or(first, |(_, rest)| rest);
        if path.contains('/') {
            return Ok(());
        }
        Err(invalid(format!(
            "location \"{}\" must begin with a root and a folder, before the first {{...}}",
            self.text
        )))
    }

    /// The name. With `is_location` values are parts of a file's name: they hold no `/`, and no part of a path is `..`.
    ///
    /// # Errors
    /// 22023 for values that can't be part of a name.
    pub(crate) fn fill(&self, fill: &Fill<'_>, is_location: bool) -> Result<String> {
        let moment = fill.scheduled_at.with_timezone(&fill.zone);
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Moment(pattern) => out.push_str(&moment.format(pattern).to_string()),
                Part::Value(name) => {
                    let value = fill.values.get(name).cloned().flatten();
                    let Some(value) = value else {
                        return Err(invalid(format!("parameter \"{name}\" is NULL and cannot be part of a name")));
                    };
                    if is_location {
                        check_value(name, &value)?;
                    }
                    out.push_str(&value);
                }
            }
        }
        if is_location && out.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(invalid(format!("location \"{out}\" has a part \".\" or \"..\"")));
        }
        Ok(out)
    }
}

/// What stands between braces: a name, or a moment's name, a colon and a pattern.
fn place(inside: &str, known: &[&str]) -> Result<Part> {
    let (name, pattern) = inside.split_once(':').map_or((inside, None), |(name, pattern)| (name, Some(pattern)));
    let name = name.trim().to_lowercase();
    if MOMENTS.contains(&name.as_str()) {
        let pattern = pattern.unwrap_or(if name == "scheduled_date" { "%Y-%m-%d" } else { "%Y-%m-%dT%H-%M-%S" });
        if pattern.is_empty() || StrftimeItems::new(pattern).any(|item| item == Item::Error) {
            return Err(invalid(format!("\"{pattern}\" is not a pattern of time"))
                .with_hint("Patterns are those of strftime: %Y, %m, %d, %H, %M."));
        }
        return Ok(Part::Moment(pattern.to_owned()));
    }
    if !known.contains(&name.as_str()) {
        return Err(Error::new(ErrorCode::UndefinedParameter, format!("parameter \"{name}\" does not exist"))
            .with_hint(format!("There are {}, {}.", MOMENTS.join(", "), known.join(", "))));
    }
    match pattern {
        Some(_) => Err(invalid(format!("\"{name}\" has no pattern; only moments have"))),
        None => Ok(Part::Value(name)),
    }
}

fn check_value(name: &str, value: &str) -> Result<()> {
    let refused =
        |why: &str| Err(invalid(format!("value of parameter \"{name}\" cannot be part of a file's name: {why}")));
    if value.is_empty() {
        return refused("it is empty");
    }
    if value.len() > VALUE_BYTES_MAX {
        return refused("it is too long");
    }
    // A URL would give `%2f`, `?` and `#` a meaning, a listing `*`.
    if let Some(character) = value.chars().find(|c| c.is_control() || "/\\%?#*\"<>|".contains(*c)) {
        return refused(&format!("it holds {character:?}"));
    }
    if value.starts_with('.') {
        return refused("it begins with a dot");
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn filled(text: &str, region: Option<&str>) -> Result<String> {
        let template = Template::parse(text, &["report", "region"])?;
        template.check_location()?;
        let values = HashMap::from([
            ("report".to_owned(), Some("sales".to_owned())),
            ("region".to_owned(), region.map(str::to_owned)),
        ]);
        let scheduled_at = Utc.with_ymd_and_hms(2025, 12, 31, 23, 30, 5).unwrap();
        template.fill(&Fill { scheduled_at, zone: chrono_tz::Asia::Seoul, values: &values }, true)
    }

    #[test]
    fn places_are_filled_in_the_reports_zone() {
        let cases = [
            ("s3://b/{scheduled_time:%Y/%m/%d}/{report}-{region}.csv", "s3://b/2026/01/01/sales-EU.csv"),
            ("/out/{scheduled_date}.csv", "/out/2026-01-01.csv"),
            ("/out/{ SCHEDULED_TIME }.csv", "/out/2026-01-01T08-30-05.csv"),
            ("/out/plain.csv", "/out/plain.csv"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text, Some("EU")).unwrap(), expected);
        }
    }

    #[test]
    fn no_value_leads_elsewhere() {
        for value in ["..", "../x", "a/b", "a\\b", "", ".hidden", "%2e%2e%2f", "a\0", "a\nb", "x?y", "*"] {
            let error = filled("/out/{region}/x.csv", Some(value)).unwrap_err();
            assert!(error.message.contains("cannot be part of a file's name"), "{value:?}: {error}");
        }
        for text in ["{region}/x.csv", "s3://{region}/x.csv", "/out/../x.csv", "/out/{scheduled_time:..}/x"] {
            assert!(filled(text, Some("EU")).is_err(), "{text}");
        }
        assert_eq!(
            filled("/o/{region}", None).unwrap_err().message,
            "parameter \"region\" is NULL and cannot be part of a name"
        );
        assert_eq!(filled("/o/Å ü 数-{region}", Some("ü 数")).unwrap(), "/o/Å ü 数-ü 数");
    }

    #[test]
    fn templates_are_checked() {
        for text in
            ["/o/{", "/o/}", "/o/{nobody}", "/o/{region:%Y}", "/o/{scheduled_time:}", "/o/{scheduled_time:%!}", "/o/{}"]
        {
            assert!(filled(text, Some("EU")).is_err(), "{text}");
        }
    }
}
