//! [`TextColumn`]: many texts -> the narrowest type that reads all of them.
//!
//! Every candidate starts as possible and is struck out by the first value it can't read; what is left at the end is the
//! answer. Integers are always `bigint`: the next file may hold a larger one. Digits with leading zeros (zip codes,
//! account numbers) are text.

use std::collections::BTreeMap;

use limnos_catalog::DataType;
use serde::{Deserialize, Serialize};

use crate::scan::format::datetime::{DateTimeFormat, IsoKind, iso_kind};

/// Cells that are often written for "no value".
const NULL_MARKERS: [&str; 9] = ["NULL", "null", "\\N", "NA", "N/A", "n/a", "-", "?", "None"];

/// The longest text that may be a date.
const DATE_TEXT_MAX: usize = 48;

/// What a column turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inferred {
    pub data_type: DataType,
    /// The strftime pattern where the default reader can't read it.
    pub format: Option<String>,
    pub remark: Option<String>,
}

/// What was seen of one column.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "TextColumnFacts", into = "TextColumnFacts")]
pub(super) struct TextColumn {
    /// Values that are neither empty nor a marker.
    values: u64,
    markers: BTreeMap<&'static str, u64>,
    boolean: bool,
    integer: bool,
    wide_integer: bool,
    digits_max: usize,
    double: bool,
    numbers: u64,
    iso: bool,
    iso_date: bool,
    iso_local: bool,
    iso_zoned: bool,
    /// Patterns that read all values so far; found with the first value.
    formats: Option<Formats>,
}

/// Patterns, and the first of the texts that they read.
#[derive(Debug, Clone)]
struct Formats {
    first: String,
    candidates: Vec<Candidate>,
}

impl Formats {
    fn new(text: &str) -> Self {
        let candidates = if looks_like_a_date(text) { candidates(text) } else { Vec::new() };
        Self { first: text.to_owned(), candidates }
    }

    /// chrono takes no space where a pattern has one, so two of them can read the same texts alike; the first is kept.
    fn distinct(&self) -> Vec<&Candidate> {
        let mut seen = Vec::new();
        let mut distinct = Vec::new();
        for candidate in &self.candidates {
            let value = match candidate.kind {
                IsoKind::Date => candidate.format.date(&self.first).map(|days| i64::from(days) * 86_400_000_000),
                _ => candidate.format.timestamp(&self.first),
            };
            let key = (value.ok(), candidate.kind != IsoKind::Date, day_first(candidate.format.pattern()));
            if !seen.contains(&key) {
                seen.push(key);
                distinct.push(candidate);
            }
        }
        distinct
    }
}

/// [`TextColumn`] as it is remembered between crawls.
#[derive(Serialize, Deserialize)]
struct TextColumnFacts {
    values: u64,
    markers: Vec<(String, u64)>,
    /// boolean, integer, wide integer, double; iso, with dates, with local and with zoned times.
    flags: [bool; 8],
    digits_max: usize,
    numbers: u64,
    formats: Option<(String, Vec<(String, u8)>)>,
}

impl From<TextColumn> for TextColumnFacts {
    fn from(column: TextColumn) -> Self {
        let formats = column.formats.map(|formats| {
            let kind = |kind| match kind {
                IsoKind::Date => 0,
                IsoKind::Local => 1,
                IsoKind::Zoned => 2,
            };
            let pairs = formats.candidates.iter();
            (formats.first.clone(), pairs.map(|c| (c.format.pattern().to_owned(), kind(c.kind))).collect())
        });
        Self {
            values: column.values,
            markers: column.markers.into_iter().map(|(marker, count)| (marker.to_owned(), count)).collect(),
            flags: [
                column.boolean,
                column.integer,
                column.wide_integer,
                column.double,
                column.iso,
                column.iso_date,
                column.iso_local,
                column.iso_zoned,
            ],
            digits_max: column.digits_max,
            numbers: column.numbers,
            formats,
        }
    }
}

impl From<TextColumnFacts> for TextColumn {
    fn from(facts: TextColumnFacts) -> Self {
        let [boolean, integer, wide_integer, double, iso, iso_date, iso_local, iso_zoned] = facts.flags;
        let known = |(text, count): (String, u64)| {
            NULL_MARKERS.iter().find(|marker| **marker == text).map(|marker| (*marker, count))
        };
        let formats = facts.formats.map(|(first, pairs)| {
            let candidate = |(pattern, kind): (String, u8)| {
                let kind = match kind {
                    0 => IsoKind::Date,
                    1 => IsoKind::Local,
                    _ => IsoKind::Zoned,
                };
                DateTimeFormat::new(&pattern).ok().map(|format| Candidate { format, kind })
            };
            Formats { first, candidates: pairs.into_iter().filter_map(candidate).collect() }
        });
        Self {
            values: facts.values,
            markers: facts.markers.into_iter().filter_map(known).collect(),
            boolean,
            integer,
            wide_integer,
            digits_max: facts.digits_max,
            double,
            numbers: facts.numbers,
            iso,
            iso_date,
            iso_local,
            iso_zoned,
            formats,
        }
    }
}

#[derive(Debug, Clone)]
struct Candidate {
    format: DateTimeFormat,
    kind: IsoKind,
}

impl Default for TextColumn {
    fn default() -> Self {
        Self {
            values: 0,
            markers: BTreeMap::new(),
            boolean: true,
            integer: true,
            wide_integer: true,
            digits_max: 0,
            double: true,
            numbers: 0,
            iso: true,
            iso_date: false,
            iso_local: false,
            iso_zoned: false,
            formats: None,
        }
    }
}

impl TextColumn {
    /// Looks at a value.
    pub(super) fn see(&mut self, text: &str) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return;
        }
        if let Some(marker) = NULL_MARKERS.iter().find(|marker| **marker == trimmed) {
            *self.markers.entry(marker).or_default() += 1;
            return;
        }
        self.values += 1;
        self.boolean &= trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false");
        if self.double {
            match number(trimmed) {
                Some(Number::Integer(digits)) => {
                    self.numbers += 1;
                    self.digits_max = self.digits_max.max(digits);
                    self.integer &= trimmed.parse::<i64>().is_ok();
                }
                Some(Number::Double) => {
                    self.numbers += 1;
                    self.integer = false;
                    self.wide_integer = false;
                }
                // NaN and infinity are doubles among other doubles, and words alone.
                Some(Number::Special) => {
                    self.integer = false;
                    self.wide_integer = false;
                }
                None => {
                    self.double = false;
                    self.integer = false;
                    self.wide_integer = false;
                }
            }
        }
        if self.iso {
            match iso_kind(trimmed) {
                Some(IsoKind::Date) => self.iso_date = true,
                Some(IsoKind::Local) => self.iso_local = true,
                Some(IsoKind::Zoned) => self.iso_zoned = true,
                None => self.iso = false,
            }
        }
        match &mut self.formats {
            None => self.formats = Some(Formats::new(trimmed)),
            Some(formats) => formats.candidates.retain(|candidate| candidate.reads(trimmed)),
        }
    }

    /// Takes in what was seen elsewhere, as if its values had come here.
    pub(super) fn merge(&mut self, other: &Self) {
        self.values += other.values;
        for (marker, count) in &other.markers {
            *self.markers.entry(marker).or_default() += count;
        }
        self.boolean &= other.boolean;
        self.integer &= other.integer;
        self.wide_integer &= other.wide_integer;
        self.double &= other.double;
        self.digits_max = self.digits_max.max(other.digits_max);
        self.numbers += other.numbers;
        self.iso &= other.iso;
        self.iso_date |= other.iso_date;
        self.iso_local |= other.iso_local;
        self.iso_zoned |= other.iso_zoned;
        match (&mut self.formats, &other.formats) {
            (_, None) => {}
            (None, Some(_)) => self.formats.clone_from(&other.formats),
            (Some(formats), Some(others)) => formats.candidates.retain(|candidate| {
                let is_same = |other: &Candidate| {
                    other.kind == candidate.kind && other.format.pattern() == candidate.format.pattern()
                };
                others.candidates.iter().any(is_same)
            }),
        }
    }

    /// Whether nothing but empty cells was seen.
    pub(super) fn is_empty(&self) -> bool {
        self.values == 0 && self.markers.is_empty()
    }

    /// The marker that stands for NULL if the column is to be more than text.
    pub(super) fn marker(&self) -> Option<&'static str> {
        let mut markers = self.markers.keys();
        match (markers.next(), markers.next()) {
            (Some(marker), None) if self.typed().data_type != DataType::String => Some(marker),
            _ => None,
        }
    }

    /// The column's type in a table where `null` is the cell that is NULL.
    pub(super) fn infer(&self, null: &str) -> Inferred {
        if self.markers.keys().any(|marker| *marker != null) {
            return text(None);
        }
        self.typed()
    }

    /// As [`Self::infer`] for texts in JSON: dates and times only, since who wants numbers there writes numbers.
    pub(super) fn infer_json(&self) -> Inferred {
        if !self.markers.is_empty() || self.values == 0 || self.double || self.boolean {
            text(None)
        } else {
            self.typed()
        }
    }

    fn typed(&self) -> Inferred {
        let plain = |data_type| Inferred { data_type, format: None, remark: None };
        if self.values == 0 {
            return text(None);
        }
        if self.boolean {
            return plain(DataType::Boolean);
        }
        if self.integer && self.numbers > 0 {
            return plain(DataType::BigInt);
        }
        if self.wide_integer && self.numbers > 0 && self.digits_max <= 38 {
            return plain(DataType::Decimal(38, 0));
        }
        if self.double && self.numbers > 0 && !self.wide_integer {
            return plain(DataType::Double);
        }
        if self.iso {
            return match (self.iso_date, self.iso_local, self.iso_zoned) {
                (_, false, true) => plain(DataType::TimestampTz),
                (_, _, true) => text(Some("has times with and without a zone".to_owned())),
                (true, false, false) => plain(DataType::Date),
                _ => plain(DataType::Timestamp),
            };
        }
        let formats = self.formats.as_ref().map(Formats::distinct).unwrap_or_default();
        match formats.as_slice() {
            [only] => Inferred {
                data_type: match only.kind {
                    IsoKind::Date => DataType::Date,
                    IsoKind::Local => DataType::Timestamp,
                    IsoKind::Zoned => DataType::TimestampTz,
                },
                format: Some(only.format.pattern().to_owned()),
                remark: None,
            },
            [first, second, ..] => text(Some(format!(
                "has dates that read as \"{}\" and as \"{}\"",
                first.format.pattern(),
                second.format.pattern()
            ))),
            [] => text(None),
        }
    }
}

fn text(remark: Option<String>) -> Inferred {
    Inferred { data_type: DataType::String, format: None, remark }
}

enum Number {
    Integer(usize),
    Double,
    Special,
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let bytes = unsigned.as_bytes();
    match bytes {
        [b'0', next, ..] if next.is_ascii_digit() => return None,
        [b'0'..=b'9' | b'.', ..] => (),
        _ => {
            let special = ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
            return special.then_some(Number::Special);
        }
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return Some(Number::Integer(bytes.len()));
    }
    unsigned.parse::<f64>().is_ok_and(f64::is_finite).then_some(Number::Double)
}

fn looks_like_a_date(text: &str) -> bool {
    text.len() <= DATE_TEXT_MAX && text.len() >= 6 && text.bytes().any(|byte| byte.is_ascii_digit())
}

impl Candidate {
    fn reads(&self, text: &str) -> bool {
        match self.kind {
            IsoKind::Date => self.format.date(text).is_ok(),
            _ => self.format.timestamp(text).is_ok(),
        }
    }
}

/// The patterns that read `text`. Day and month first are both tried: if a whole sample can't tell them apart, it is
/// better to keep text than to swap them.
fn candidates(text: &str) -> Vec<Candidate> {
    const DATES: [&str; 14] = [
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%d.%m.%Y",
        "%m-%d-%Y",
        "%d-%m-%Y",
        "%B %d %Y",
        "%B %d, %Y",
        "%d %B %Y",
        "%d-%B-%Y",
        "%d/%B/%Y",
        "%a, %d %B %Y",
        "%Y-%m-%d",
    ];
    const SHORT_DATES: [&str; 4] = ["%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%B-%y"];
    const TIMES: [&str; 4] = ["%H:%M", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p"];
    let mut found: Vec<Candidate> = Vec::new();
    let mut consider = |pattern: &str, kind| {
        if let Ok(format) = DateTimeFormat::new(pattern) {
            let candidate = Candidate { format, kind };
            if candidate.reads(text) {
                found.push(candidate);
            }
        }
    };
    // chrono reads a two-digit year as the year 24 by `%Y`, so the digits decide which patterns are tried.
    let has_long_year = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() == 4);
    let dates: &[&str] = if has_long_year { &DATES } else { &SHORT_DATES };
    for date in dates {
        consider(date, IsoKind::Date);
        for time in TIMES {
            for separator in [" ", "T", ":"] {
                // `10/Oct/2000:13:55:36 -0700` of web servers' logs.
                if separator != ":" || date.contains("/%B/") {
                    consider(&format!("{date}{separator}{time}"), IsoKind::Local);
                    // A space in a pattern also reads no space.
                    consider(&format!("{date}{separator}{time} %z"), IsoKind::Zoned);
                }
            }
        }
    }
    found
}

fn day_first(pattern: &str) -> bool {
    matches!((pattern.find("%d"), pattern.find("%m")), (Some(day), Some(month)) if day < month)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(values: &[&str]) -> String {
        let mut column = TextColumn::default();
        for value in values {
            column.see(value);
        }
        let null = column.marker().unwrap_or("");
        let inferred = column.infer(null);
        let format = inferred.format.map(|format| format!(" {format}")).unwrap_or_default();
        let null = if null.is_empty() { String::new() } else { format!(" null={null}") };
        format!("{:?}{format}{null}", inferred.data_type)
    }

    /// Two files' columns, each remembered and recalled, say together what one file with all values says.
    #[test]
    fn what_was_seen_in_parts_adds_up() {
        let samples = [
            "true",
            "1",
            "12345678901234567890",
            "1.5",
            "x",
            "NA",
            "-",
            "",
            "2024-01-01",
            "2024-01-01 10:00:00Z",
            "1/2/2000",
            "31/12/2000",
            "1/31/2000",
            "Jan 1 2000",
            "2001/01/01 00:47",
        ];
        let recalled = |values: &[&str]| -> TextColumn {
            let mut column = TextColumn::default();
            values.iter().for_each(|value| column.see(value));
            serde_json::from_str(&serde_json::to_string(&column).unwrap()).unwrap()
        };
        for left in samples {
            for middle in samples {
                for right in samples {
                    let mut whole = TextColumn::default();
                    [left, middle, right].iter().for_each(|value| whole.see(value));
                    let mut merged = recalled(&[left]);
                    merged.merge(&recalled(&[middle, right]));
                    let null = whole.marker().unwrap_or("");
                    assert_eq!(merged.marker(), whole.marker(), "{left} {middle} {right}");
                    assert_eq!(merged.infer(null), whole.infer(null), "{left} {middle} {right}");
                }
            }
        }
    }

    #[test]
    fn the_narrowest_type_that_reads_everything() {
        for (values, expected) in [
            (&["true", "False", ""][..], "Boolean"),
            (&["1", "0", "-5"], "BigInt"),
            (&["007", "12"], "String"),
            (&["12345678901234567890", "1"], "Decimal(38, 0)"),
            (&["1", "1.5", "1e3", ".097"], "Double"),
            (&["1.5", "NaN"], "Double"),
            (&["NaN", "Inf"], "String"),
            (&["1", "x"], "String"),
            (&["", ""], "String"),
            (&["1", "NA"], "BigInt null=NA"),
            (&["1", "NA", "-"], "String"),
            (&["New York", "NA"], "String"),
            (&["2024-01-01", "2024-12-31"], "Date"),
            (&["2024-01-01", "2024-12-31 10:00"], "Timestamp"),
            (&["2024-01-01T00:00:00Z", "2024-12-31 10:00+02"], "TimestampTz"),
            (&["2024-01-01T00:00:00Z", "2024-12-31 10:00"], "String"),
            (&["2024-01-01", "2024-02-30"], "String"),
            (&["2001/01/01 00:47", "2001/12/31 23:59"], "Timestamp %Y/%m/%d %H:%M"),
            (&["2015/01/01 01:00:00"], "Timestamp %Y/%m/%d %H:%M:%S%.f"),
            (&["Jan 1 2000", "Aug 07 1998"], "Date %B %d %Y"),
            (&["1/2/2000", "12/31/2000"], "Date %m/%d/%Y"),
            (&["1/2/2000", "31/12/2000"], "Date %d/%m/%Y"),
            (&["1/2/2000", "3/4/2000"], "String"),
            (&["01.02.2000"], "Date %d.%m.%Y"),
            (&["1/31/99", "12/31/24"], "Date %m/%d/%y"),
            (&["10/Oct/2000:13:55:36 -0700"], "TimestampTz %d/%B/%Y:%H:%M:%S%.f %z"),
            (&["12/31/1999 11:59 PM"], "Timestamp %m/%d/%Y %I:%M %p"),
            (&["10.0.0.1", "10.0.0.2"], "String"),
            (&["6f9619ff-8b86-d011-b42d-00c04fc964ff"], "String"),
            (&["+4930123456"], "String"),
        ] {
            assert_eq!(check(values), expected, "{values:?}");
        }
    }
}
