//! [`Pattern`]: a date format as Java writes it (`yyyy/MM/dd`, `yyyy-MM-dd'T'HH`), of which the folders' names are spelled.
//!
//! Letters are those of java.time.format.DateTimeFormatter that stand for numbers of UTC's calendar. Names of months, weeks,
//! eras and zones are refused: no folder is known to be spelled so, and they differ by locale.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::moment::Unit;

/// A parsed format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A number: which, and in how many digits at least.
    Field(Unit, usize),
    Literal(String),
}

/// From the coarsest to the finest.
const FIELDS: [Unit; 7] =
    [Unit::Years, Unit::Months, Unit::Days, Unit::Hours, Unit::Minutes, Unit::Seconds, Unit::Milliseconds];

impl Pattern {
    /// Reads a format.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\'' => quoted(&mut characters, &mut literal)?,
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while characters.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Field(field(letter, count)?, count));
                }
                '[' | ']' | '{' | '}' | '#' => {
                    return Err(format!("The character {character} is reserved; put it in single quotes."));
                }
                other => literal.push(other),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let pattern = Self { parts };
        let present = |unit: &Unit| pattern.fields().any(|(field, _)| field == *unit);
        let known = FIELDS.iter().take_while(|unit| present(unit)).count();
        if known == 0 {
            return Err("It has no year (yyyy).".to_owned());
        }
        match FIELDS[known..].iter().find(|unit| present(unit)) {
            Some(finer) => {
                let (finer, missing) = (finer.name().to_lowercase(), FIELDS[known].name().to_lowercase());
                Err(format!("It has {finer} but no {missing}."))
            }
            None => Ok(pattern),
        }
    }

    fn fields(&self) -> impl Iterator<Item = (Unit, usize)> + '_ {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(unit, width) => Some((*unit, *width)),
            Part::Literal(_) => None,
        })
    }

    /// The finest unit in it: what one spelled date is long.
    pub(super) fn finest(&self) -> Unit {
        self.fields().map(|(unit, _)| unit).min().unwrap_or(Unit::Years)
    }

    /// Whether spelled dates sort as text as they do in time: coarse before fine, each with all its zeros.
    pub(super) fn is_sorted(&self) -> bool {
        let mut known = 0;
        self.fields().all(|(unit, width)| {
            let full = match unit {
                Unit::Years => width == 4,
                Unit::Milliseconds => width == 3,
                _ => width == 2,
            };
            let position = FIELDS.iter().position(|field| *field == unit).unwrap_or(usize::MAX);
            let follows = position <= known;
            known = known.max(position.saturating_add(1));
            full && follows
        })
    }

    /// Whether a spelled date is nothing but digits.
    pub(super) fn is_numeric(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Field(..) => true,
            Part::Literal(text) => text.bytes().all(|byte| byte.is_ascii_digit()),
        })
    }

    /// Spells `moment`.
    pub(super) fn spell(&self, moment: NaiveDateTime) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field(unit, width) => {
                    let number = match unit {
                        Unit::Years => moment.year().unsigned_abs(),
                        Unit::Months => moment.month(),
                        Unit::Hours => moment.hour(),
                        Unit::Minutes => moment.minute(),
                        Unit::Seconds => moment.second(),
                        // A fraction: as many of its digits as there are letters.
                        Unit::Milliseconds => {
                            moment.nanosecond() % 1_000_000_000
                                / 10_u32.pow(9 - u32::try_from(*width).unwrap_or(3).min(3))
                        }
                        Unit::Days | Unit::Weeks => moment.day(),
                    };
                    // Writing to a String can't fail.
                    let _ = write!(text, "{number:0width$}");
                }
            }
        }
        text
    }

    /// The moment that `text` spells exactly, so that spelling it again gives the same text.
    pub(super) fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut rest = text;
        // Year, month, day, hour, minute, second, milliseconds.
        let mut numbers: [u32; 7] = [1, 1, 1, 0, 0, 0, 0];
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Part::Field(unit, width) => {
                    let most = match unit {
                        Unit::Years => 4,
                        Unit::Milliseconds => *width,
                        _ => 2,
                    };
                    let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                    if length < *width {
                        return None;
                    }
                    let number: u32 = rest[..length].parse().ok()?;
                    let position = FIELDS.iter().position(|field| field == unit)?;
                    numbers[position] = match unit {
                        Unit::Milliseconds => number * 10_u32.pow(3 - u32::try_from(*width).ok()?.min(3)),
                        _ => number,
                    };
                    rest = &rest[length..];
                }
            }
        }
        let [year, month, day, hour, minute, second, milliseconds] = numbers;
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok().filter(|year| *year >= 1)?, month, day)?;
        let moment = date.and_hms_milli_opt(hour, minute, second, milliseconds)?;
        (rest.is_empty() && self.spell(moment) == text).then_some(moment)
    }
}

/// What follows an opening quote, up to the closing one; `''` is a quote.
fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, literal: &mut String) -> Result<(), String> {
    if characters.next_if_eq(&'\'').is_some() {
        literal.push('\'');
        return Ok(());
    }
    while let Some(character) = characters.next() {
        if character != '\'' {
            literal.push(character);
        } else if characters.next_if_eq(&'\'').is_some() {
            literal.push('\'');
        } else {
            return Ok(());
        }
    }
    Err("A single quote is not closed.".to_owned())
}

fn field(letter: char, count: usize) -> Result<Unit, String> {
    let letters: String = std::iter::repeat_n(letter, count.min(12)).collect();
    let (unit, widths): (Unit, &[usize]) = match letter {
        'y' | 'u' => (Unit::Years, &[1, 4]),
        'M' => (Unit::Months, &[1, 2]),
        'd' => (Unit::Days, &[1, 2]),
        'H' => (Unit::Hours, &[1, 2]),
        'm' => (Unit::Minutes, &[1, 2]),
        's' => (Unit::Seconds, &[1, 2]),
        'S' => (Unit::Milliseconds, &[1, 2, 3]),
        _ => return Err(format!("The letters {letters} are not supported.")),
    };
    if widths.contains(&count) { Ok(unit) } else { Err(format!("The letters {letters} are not supported.")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn dates_are_spelled_and_read_back() {
        let moment = NaiveDate::from_ymd_opt(2024, 3, 5).unwrap().and_hms_milli_opt(7, 8, 9, 45).unwrap();
        let cases = [
            ("yyyy", "2024", Unit::Years, true),
            ("yyyyMM", "202403", Unit::Months, true),
            ("yyyy-MM", "2024-03", Unit::Months, true),
            ("yyyy/MM/dd", "2024/03/05", Unit::Days, true),
            ("uuuu-MM-dd", "2024-03-05", Unit::Days, true),
            ("dd-MM-yyyy", "05-03-2024", Unit::Days, false),
            ("yyyy/M/d", "2024/3/5", Unit::Days, false),
            ("yyyy/MM/dd/HH", "2024/03/05/07", Unit::Hours, true),
            ("yyyy-MM-dd'T'HH:mm:ss", "2024-03-05T07:08:09", Unit::Seconds, true),
            ("dd-MM-yyyy-HH-mm-ss", "05-03-2024-07-08-09", Unit::Seconds, false),
            ("yyyyMMddHHmmssSSS", "20240305070809045", Unit::Milliseconds, true),
            ("yyyy-MM-dd H:m:s.S", "2024-03-05 7:8:9.0", Unit::Milliseconds, false),
            ("'year='yyyy'/month='MM", "year=2024/month=03", Unit::Months, true),
            ("yyyy'o''clock'", "2024o'clock", Unit::Years, true),
            ("yyyy''", "2024'", Unit::Years, true),
            // The date in two forms, as some writers make their folders.
            ("yyyy/MM/yyyy-MM-dd", "2024/03/2024-03-05", Unit::Days, true),
            ("yyyy Ü MM", "2024 Ü 03", Unit::Months, true),
        ];
        for (format, spelled, finest, sorted) in cases {
            let pattern = Pattern::parse(format).unwrap();
            assert_eq!(pattern.spell(moment), spelled, "{format}");
            let read = pattern.read(spelled).unwrap();
            assert_eq!(pattern.spell(read), spelled, "{format}");
            let precise = if format.ends_with(".S") { Unit::Seconds } else { finest };
            assert_eq!(Some(read), precise.truncate(moment), "{format}");
            assert_eq!((pattern.finest(), pattern.is_sorted()), (finest, sorted), "{format}");
        }
    }

    #[test]
    fn texts_of_other_spelling_are_no_dates() {
        for (format, text) in [
            ("yyyy-MM-dd", "2024-3-05"),
            ("yyyy-MM-dd", "2024-02-30"),
            ("yyyy-MM-dd", "2024-13-01"),
            ("yyyy-MM-dd", "2024-01-01 "),
            ("yyyy-MM-dd", "2024-01"),
            ("yyyy-MM-dd", "0000-01-01"),
            ("yyyy-MM-dd", ""),
            ("yyyy-MM-dd", "Ü024-01-01"),
            ("yyyy/M/d", "2024/03/5"),
            ("yyyy/MM/yyyy-MM", "2024/03/2024-04"),
            ("HH yyyy MM dd", "24 2024 01 01"),
        ] {
            assert_eq!(Pattern::parse(format).unwrap().read(text), None, "{format} {text}");
        }
    }

    #[test]
    fn bad_formats_are_told() {
        for (format, reason) in [
            ("", "It has no year (yyyy)."),
            ("MM/dd", "It has no year (yyyy)."),
            ("yyyy-dd", "It has days but no months."),
            ("yyyy-MM-dd mm", "It has minutes but no hours."),
            ("yy-MM-dd", "The letters yy are not supported."),
            ("YYYY-MM-DD", "The letters YYYY are not supported."),
            ("yyyy-MMM", "The letters MMM are not supported."),
            ("yyyy-MM-dd hh", "The letters hh are not supported."),
            ("yyyy-MM-ddTHH", "The letters T are not supported."),
            ("yyyy'T", "A single quote is not closed."),
            ("yyyy[-MM]", "The character [ is reserved; put it in single quotes."),
        ] {
            assert_eq!(Pattern::parse(format).unwrap_err(), reason, "{format}");
        }
    }
}
