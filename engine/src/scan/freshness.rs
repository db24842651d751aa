//! The table property `limnos.freshness`: how old the list of a table's files may be.

use std::time::Duration;

use limnos_catalog::TableDefinition;

use super::store::Freshness;
use crate::{Error, ErrorCode, Result};

/// The property.
pub(crate) const FRESHNESS: &str = "limnos.freshness";

/// What `definition` says; `live` unless it says anything.
///
/// # Errors
/// [`ErrorCode::InvalidParameterValue`] for what is neither `live` nor a duration.
pub(crate) fn freshness(definition: &TableDefinition) -> Result<Freshness> {
    let Some(text) = definition.parameters.get(FRESHNESS) else { return Ok(Freshness::Live) };
    parse(text).ok_or_else(|| {
        let message = format!("invalid value for property \"{FRESHNESS}\": \"{text}\"");
        Error::new(ErrorCode::InvalidParameterValue, message)
            .with_hint("It is 'live', or how old a list of files may be: '30 seconds', '5 minutes', '1 hour'.")
    })
}

fn parse(text: &str) -> Option<Freshness> {
    let text = text.trim().to_lowercase();
    if text == "live" {
        return Some(Freshness::Live);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let unit_seconds: u64 = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => 1,
        "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86400,
        _ => return None,
    };
    let seconds = count.parse::<u64>().ok()?.checked_mul(unit_seconds)?;
    Some(Freshness::Within(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let within = |seconds| Some(Freshness::Within(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("live", Some(Freshness::Live)),
            (" LIVE ", Some(Freshness::Live)),
            ("5 minutes", within(300)),
            ("1 hour", within(3600)),
            ("30s", within(30)),
            ("0 s", within(0)),
            ("2d", within(172_800)),
            ("5", None),
            ("", None),
            ("minutes", None),
            ("-1 hour", None),
            ("1.5 hours", None),
            ("99999999999999999999 s", None),
            ("18446744073709551615 days", None),
            ("5 fortnights", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
