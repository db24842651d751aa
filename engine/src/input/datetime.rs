//! Dates and times (PostgreSQL's `DecodeDateTime`, `DecodeTimeOnly` and what they call): each field in turn says which parts of
//! a moment it gives, and none may be given twice.

use std::ops::{BitOr, BitOrAssign};

use super::token::{Field, Kind, split};
use super::word::{self, Meaning};
use super::{InputContext, trim};
use crate::session::Zone;
use crate::session::settings::DateOrder;
use crate::{Error, ErrorCode, Result};

const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
/// 4714-11-24 BC, where PostgreSQL's calendar begins, in days since 1970.
const DAYS_MIN: i64 = -2_440_588;
/// 5874897-12-31.
const DAYS_MAX: i64 = 2_145_042_905;
/// The furthest that a zone is from Greenwich.
const OFFSET_HOURS_MAX: i64 = 15;

/// The parts of a moment that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Parts(u16);

impl Parts {
    const YEAR: Self = Self(1);
    const MONTH: Self = Self(2);
    const DAY: Self = Self(4);
    const TIME: Self = Self(8);
    const ZONE: Self = Self(16);
    const DAY_OF_YEAR: Self = Self(32);
    const SUMMER: Self = Self(64);
    const ERA: Self = Self(128);
    const HALF_DAY: Self = Self(256);
    const WEEKDAY: Self = Self(512);
    const DATE: Self = Self(7);
    const ALL: Self = Self(8 | 7 | 16);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Parts {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Why a text is no moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Format,
    Overflow,
    /// A day or month that another order might allow.
    DayOrMonth,
    Displacement,
    UnknownZone(String),
    /// Something that PostgreSQL reads and we don't.
    Unsupported(&'static str),
}

impl Fault {
    pub(super) fn into_error(self, type_name: &str, text: &str) -> Error {
        let out_of_range = || {
            let message = format!("date/time field value out of range: \"{text}\"");
            Error::new(ErrorCode::DatetimeFieldOverflow, message)
        };
        match self {
            Self::Format => {
                let message = format!("invalid input syntax for type {type_name}: \"{text}\"");
                Error::new(ErrorCode::InvalidDatetimeFormat, message)
            }
            Self::Overflow => out_of_range(),
            Self::DayOrMonth => out_of_range().with_hint("Perhaps you need a different \"datestyle\" setting."),
            Self::Displacement => {
                let message = format!("time zone displacement out of range: \"{text}\"");
                Error::new(ErrorCode::InvalidTimeZoneDisplacement, message)
            }
            Self::UnknownZone(name) => {
                Error::new(ErrorCode::InvalidParameterValue, format!("time zone \"{name}\" not recognized"))
            }
            Self::Unsupported(what) => Error::unsupported(format!("{what} in a date or time is not supported")),
        }
    }
}

type Decoded<T> = std::result::Result<T, Fault>;

/// A moment being read.
struct Moment<'a> {
    context: &'a InputContext,
    known: Parts,
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    /// Since midnight.
    microseconds: i64,
    /// Hours as written, for `PM`.
    hour: i64,
    /// Seconds east.
    offset: Option<i32>,
    zone: Option<Zone>,
    two_digit_year: bool,
    text_month: bool,
    bc: bool,
    half: Option<bool>,
    special: Option<Meaning>,
    summer: bool,
}

/// What was read.
enum Read {
    /// Days since 1970, microseconds of the day, seconds east where the text says so.
    Moment {
        days: i64,
        microseconds: i64,
        offset: Option<i32>,
        zone: Option<Zone>,
    },
    Instant(i64),
    Infinity,
    MinusInfinity,
}

/// `'2024-1-5'::date`, in days since 1970; the ends of `i32` are the infinities.
///
/// # Errors
/// `22007`, `22008`, `22009`, in PostgreSQL's words.
pub fn date(text: &str, context: &InputContext) -> Result<i32> {
    let days = match read(text, context, false).map_err(|fault| fault.into_error("date", text))? {
        Read::Moment { days, .. } => days,
        Read::Instant(instant) => instant.div_euclid(DAY),
        Read::Infinity => return Ok(i32::MAX),
        Read::MinusInfinity => return Ok(i32::MIN),
    };
    match i32::try_from(days) {
        Ok(value) if (DAYS_MIN..=DAYS_MAX).contains(&days) => Ok(value),
        _ => Err(Error::new(ErrorCode::DatetimeFieldOverflow, format!("date out of range: \"{text}\""))),
    }
}

/// A timestamp without zone, in microseconds since 1970; a zone in the text is passed over.
///
/// # Errors
/// As [`date`].
pub fn timestamp(text: &str, context: &InputContext) -> Result<i64> {
    match read(text, context, false).map_err(|fault| fault.into_error("timestamp", text))? {
        Read::Moment { days, microseconds, .. } => in_range(days, microseconds, 0, text),
        Read::Instant(instant) => Ok(instant),
        Read::Infinity => Ok(i64::MAX),
        Read::MinusInfinity => Ok(i64::MIN),
    }
}

/// An instant, in microseconds since 1970 UTC.
///
/// # Errors
/// As [`date`].
pub fn timestamp_with_zone(text: &str, context: &InputContext) -> Result<i64> {
    let read = read(text, context, true).map_err(|fault| fault.into_error("timestamp with time zone", text))?;
    match read {
        Read::Moment { days, microseconds, offset, zone } => {
            let local = days.saturating_mul(DAY).saturating_add(microseconds);
            let offset = offset.unwrap_or_else(|| zone.unwrap_or(context.zone).offset_of_local(local));
            in_range(days, microseconds, offset, text)
        }
        Read::Instant(instant) => Ok(instant),
        Read::Infinity => Ok(i64::MAX),
        Read::MinusInfinity => Ok(i64::MIN),
    }
}

fn in_range(days: i64, microseconds: i64, offset: i32, text: &str) -> Result<i64> {
    let value = days
        .checked_mul(DAY)
        .and_then(|value| value.checked_add(microseconds))
        .and_then(|value| value.checked_sub(i64::from(offset) * SECOND));
    // Counted from 1970 the last 29 years before PostgreSQL's end (294276) have no number; the greatest is infinity.
    value
        .filter(|value| (DAYS_MIN * DAY..i64::MAX).contains(value))
        .ok_or_else(|| Error::new(ErrorCode::DatetimeFieldOverflow, format!("timestamp out of range: \"{text}\"")))
}

/// A time of day, in microseconds since midnight.
///
/// # Errors
/// As [`date`].
pub fn time(text: &str, context: &InputContext) -> Result<i64> {
    let moment = time_only(text, context).map_err(|fault| fault.into_error("time", text))?;
    Ok(moment.microseconds)
}

/// A time of day, and how many seconds east of UTC its clock is.
///
/// # Errors
/// As [`date`].
pub fn time_with_zone(text: &str, context: &InputContext) -> Result<(i64, i32)> {
    let moment = time_only(text, context).map_err(|fault| fault.into_error("time with time zone", text))?;
    // Where the date isn't known, today's decides about summer time.
    let today = context.now.unwrap_or(0);
    let offset = moment.offset.unwrap_or_else(|| moment.zone.unwrap_or(context.zone).offset(today));
    Ok((moment.microseconds, offset))
}

fn read(text: &str, context: &InputContext, with_zone: bool) -> Decoded<Read> {
    let fields = split(trim(text)).filter(|fields| !fields.is_empty()).ok_or(Fault::Format)?;
    let mut moment = Moment::new(context);
    let mut iso_time = false;
    for (index, field) in fields.iter().enumerate() {
        let given = moment.field(field, &mut iso_time, &fields[index + 1..])?;
        if moment.known.meets(given) {
            return Err(Fault::Format);
        }
        moment.known |= given;
    }
    match moment.special {
        Some(Meaning::Infinity) => return Ok(Read::Infinity),
        Some(Meaning::MinusInfinity) => return Ok(Read::MinusInfinity),
        Some(Meaning::Epoch) => return Ok(Read::Instant(0)),
        Some(Meaning::Now) => {
            let now = context.now.ok_or(Fault::Unsupported("\"now\" as a value that is not a constant"))?;
            // A timestamp without zone is what the clock shows here.
            let shift = if with_zone { 0 } else { i64::from(context.zone.offset(now)) * SECOND };
            return Ok(Read::Instant(now + shift));
        }
        _ => {}
    }
    moment.validate()?;
    if !moment.known.has(Parts::DATE) {
        return Err(Fault::Format);
    }
    let days = days_from_date(moment.year, moment.month, moment.day).ok_or(Fault::Overflow)?;
    Ok(Read::Moment { days, microseconds: moment.microseconds, offset: moment.offset, zone: moment.zone })
}

fn time_only<'a>(text: &str, context: &'a InputContext) -> Decoded<Moment<'a>> {
    let fields = split(trim(text)).filter(|fields| !fields.is_empty()).ok_or(Fault::Format)?;
    let mut moment = Moment::new(context);
    let mut iso_time = false;
    for (index, field) in fields.iter().enumerate() {
        // A date is let in at the front, or it would be taken for digits run together.
        let last = fields.last().map(|field| field.kind);
        let second = fields.get(1).map(|field| field.kind);
        let begins_with_date = index == 0
            && fields.len() >= 2
            && (last == Some(Kind::Date) || (field.kind == Kind::Date && second == Some(Kind::Time)));
        let known = moment.known;
        let given = match field.kind {
            Kind::Date if begins_with_date => moment.date(&field.text)?,
            Kind::Date if !field.text.starts_with(|c: char| c.is_ascii_digit()) => {
                moment.named_zone(&field.text)?;
                Parts::ZONE
            }
            Kind::Date => {
                // Digits can only be those of a time.
                moment.known |= Parts::DATE;
                let given = moment.time_with_displacement(&field.text);
                moment.known = known;
                given?
            }
            Kind::Number if !iso_time => {
                moment.known |= Parts::DATE;
                let given = match field.text.find('.') {
                    Some(_) if begins_with_date => {
                        moment.known = known;
                        moment.date(&field.text)
                    }
                    Some(point) if point > 2 => moment.run_together(&field.text),
                    Some(_) => Err(Fault::Format),
                    None if field.text.len() > 4 => moment.run_together(&field.text),
                    None => moment.number(&field.text),
                };
                moment.known = known;
                given?
            }
            _ => moment.field(field, &mut iso_time, &fields[index + 1..])?,
        };
        if moment.known.meets(given) {
            return Err(Fault::Format);
        }
        moment.known |= given;
    }
    match moment.special {
        Some(Meaning::Now) => {
            let now = context.now.ok_or(Fault::Unsupported("\"now\" as a value that is not a constant"))?;
            let offset = context.zone.offset(now);
            moment.microseconds = (now + i64::from(offset) * SECOND).rem_euclid(DAY);
            moment.offset = Some(offset);
            return Ok(moment);
        }
        Some(_) => return Err(Fault::Format),
        None => {}
    }
    moment.validate()?;
    if moment.known.has(Parts::TIME) { Ok(moment) } else { Err(Fault::Format) }
}

impl<'a> Moment<'a> {
    fn new(context: &'a InputContext) -> Self {
        Self {
            context,
            known: Parts::default(),
            year: 0,
            month: 0,
            day: 0,
            day_of_year: 0,
            microseconds: 0,
            hour: 0,
            offset: None,
            zone: None,
            two_digit_year: false,
            text_month: false,
            bc: false,
            half: None,
            special: None,
            summer: false,
        }
    }

    /// What a field gives. `iso_time` says that a `t` stood before it.
    fn field(&mut self, field: &Field, iso_time: &mut bool, rest: &[Field]) -> Decoded<Parts> {
        let after_t = std::mem::take(iso_time);
        match field.kind {
            Kind::Date if after_t || self.known.has(Parts::MONTH | Parts::DAY) => {
                if field.text.starts_with(|c: char| c.is_ascii_digit()) || after_t {
                    if self.known.has(Parts::TIME) {
                        return Err(Fault::Format);
                    }
                    self.time_with_displacement(&field.text)
                } else {
                    self.named_zone(&field.text)?;
                    Ok(Parts::ZONE)
                }
            }
            Kind::Date => self.date(&field.text),
            Kind::Time => {
                self.clock(&field.text)?;
                Ok(Parts::TIME)
            }
            Kind::Signed => {
                self.offset = Some(displacement(&field.text)?);
                Ok(Parts::ZONE)
            }
            Kind::Number if after_t => match self.run_together(&field.text)? {
                Parts::TIME => Ok(Parts::TIME),
                _ => Err(Fault::Format),
            },
            Kind::Number => match field.text.find('.') {
                Some(_) if !self.known.has(Parts::DATE) => self.date(&field.text),
                Some(point) if point > 2 => self.run_together(&field.text),
                None if field.text.len() >= 6 && !self.known.has(Parts::DATE | Parts::TIME) => {
                    self.run_together(&field.text)
                }
                _ => self.number(&field.text),
            },
            Kind::Word | Kind::Special => self.word(&field.text, iso_time, rest),
        }
    }

    fn word(&mut self, text: &str, iso_time: &mut bool, rest: &[Field]) -> Decoded<Parts> {
        let meaning = word::of_zone(text).or_else(|| word::of_date(text));
        Ok(match meaning {
            None => {
                self.named_zone(text).map_err(|_| Fault::Format)?;
                Parts::ZONE
            }
            Some(Meaning::Nothing) => Parts::default(),
            Some(Meaning::Month(month)) => {
                let mut given = Parts::MONTH;
                // A number that was taken for the month was the day.
                if self.known.has(Parts::MONTH)
                    && !self.text_month
                    && !self.known.has(Parts::DAY)
                    && (1..=31).contains(&self.month)
                {
                    self.day = self.month;
                    given = Parts::DAY;
                }
                self.text_month = true;
                self.month = i64::from(month);
                given
            }
            Some(Meaning::Weekday) => Parts::WEEKDAY,
            Some(Meaning::Ad) => Parts::ERA,
            Some(Meaning::Bc) => {
                self.bc = true;
                Parts::ERA
            }
            Some(Meaning::Am) => {
                self.half = Some(false);
                Parts::HALF_DAY
            }
            Some(Meaning::Pm) => {
                self.half = Some(true);
                Parts::HALF_DAY
            }
            Some(Meaning::IsoTime) => {
                let follows = rest.first().map(|field| field.kind);
                if !self.known.has(Parts::DATE) && !follows.is_some_and(|kind| kind == Kind::Time) {
                    return Err(Fault::Format);
                }
                if !matches!(follows, Some(Kind::Number | Kind::Time | Kind::Date)) {
                    return Err(Fault::Format);
                }
                *iso_time = true;
                Parts::default()
            }
            Some(Meaning::SummerTime) => {
                self.summer = true;
                self.offset = self.offset.map(|offset| offset + 3600);
                Parts::SUMMER
            }
            Some(special @ (Meaning::Now | Meaning::Infinity | Meaning::MinusInfinity | Meaning::Epoch)) => {
                self.special = Some(special);
                Parts::ALL
            }
            Some(day @ (Meaning::Today | Meaning::Tomorrow | Meaning::Yesterday)) => {
                let now = self
                    .context
                    .now
                    .ok_or(Fault::Unsupported("\"today\" and the like as values that are not constants"))?;
                let here = now + i64::from(self.context.zone.offset(now)) * SECOND;
                let days = here.div_euclid(DAY)
                    + match day {
                        Meaning::Tomorrow => 1,
                        Meaning::Yesterday => -1,
                        _ => 0,
                    };
                (self.year, self.month, self.day) = date_from_days(days);
                Parts::DATE
            }
            Some(Meaning::AllBalls) => {
                self.microseconds = 0;
                self.offset = Some(0);
                Parts::TIME | Parts::ZONE
            }
            Some(Meaning::Offset(seconds)) => {
                self.offset = Some(seconds);
                Parts::ZONE
            }
            Some(Meaning::Zone(name)) => {
                self.zone = Some(Zone::of_setting(name));
                Parts::ZONE
            }
            Some(Meaning::Unsupported) => return Err(Fault::Format),
        })
    }

    fn named_zone(&mut self, name: &str) -> Decoded<()> {
        let (zone, _) = Zone::parse(name).map_err(|_| Fault::UnknownZone(name.to_owned()))?;
        self.zone = Some(zone);
        Ok(())
    }

    /// `DecodeDate`: words first, for they can only be the month.
    fn date(&mut self, text: &str) -> Decoded<Parts> {
        let mut pieces: Vec<&str> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let first = rest.chars().next().ok_or(Fault::Format)?;
            let end = rest.find(|c: char| c.is_ascii_digit() != first.is_ascii_digit() || !c.is_ascii_alphanumeric());
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            pieces.push(piece);
            // One mark between pieces is stepped over, and more must follow it only if there is more than that.
            let mut after = after.chars();
            match after.clone().next() {
                Some(mark) if !mark.is_ascii_alphanumeric() => {
                    after.next();
                }
                _ => {}
            }
            rest = after.as_str();
        }
        let before = self.known;
        let mut given = Parts::default();
        let mut numbers = Vec::new();
        let mut text_month = false;
        for piece in pieces {
            if !piece.starts_with(|c: char| c.is_ascii_alphabetic()) {
                numbers.push(piece);
                continue;
            }
            match word::of_date(piece) {
                Some(Meaning::Nothing) => {}
                Some(Meaning::Month(month)) if !(before | given).meets(Parts::MONTH) => {
                    self.month = i64::from(month);
                    text_month = true;
                    given |= Parts::MONTH;
                }
                _ => return Err(Fault::Format),
            }
        }
        let outer = std::mem::replace(&mut self.text_month, text_month);
        for number in numbers {
            self.known = before | given;
            let part = self.number(number);
            self.known = before;
            let part = part?;
            if (before | given).meets(part) {
                return Err(Fault::Format);
            }
            given |= part;
        }
        self.text_month |= outer;
        // Nothing but a zone may stand before a date with separators.
        let all = Parts((before | given).0 & !(Parts::DAY_OF_YEAR | Parts::ZONE).0);
        if all == Parts::DATE { Ok(given) } else { Err(Fault::Format) }
    }

    /// `DecodeNumber`: what the parts that are known leave for a number to be.
    fn number(&mut self, text: &str) -> Decoded<Parts> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        if end == 0 {
            return Err(Fault::Format);
        }
        let value: i64 = text[..end].parse::<i32>().map_err(|_| Fault::Overflow)?.into();
        if end < text.len() {
            if !text[end..].starts_with('.') {
                return Err(Fault::Format);
            }
            if end > 2 {
                let before = self.known;
                self.known |= Parts::DATE;
                let given = self.run_together(text);
                self.known = before;
                return given;
            }
            return Err(Fault::Format);
        }
        let length = text.len();
        let date = Parts(self.known.0 & Parts::DATE.0);
        if length == 3 && date == Parts::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(Parts::DAY_OF_YEAR | Parts::MONTH | Parts::DAY);
        }
        let order = self.context.order;
        let year_first = length >= 3 || order == DateOrder::Ymd;
        let part = match (date.has(Parts::YEAR), date.has(Parts::MONTH), date.has(Parts::DAY)) {
            (false, false, false) if year_first => Parts::YEAR,
            (false, false, false) if order == DateOrder::Dmy => Parts::DAY,
            (false, false, false) | (true, false, false) | (false, false, true) => Parts::MONTH,
            (false, true, false) if self.text_month && year_first => Parts::YEAR,
            (true, true, false) if self.text_month && length >= 3 && self.two_digit_year => {
                // The first number was the day after all.
                self.day = self.year;
                self.year = value;
                self.two_digit_year = false;
                return Ok(Parts::DAY);
            }
            (false, true, false) | (true, true, false) => Parts::DAY,
            (false, true, true) => Parts::YEAR,
            (true, true, true) => return self.run_together(text),
            (true, false, true) => return Err(Fault::Format),
        };
        match part {
            Parts::YEAR => {
                self.year = value;
                self.two_digit_year = length <= 2;
            }
            Parts::MONTH => self.month = value,
            _ => self.day = value,
        }
        Ok(part)
    }

    /// `DecodeNumberField`: `20240105`, `040506.789`, `0405`.
    fn run_together(&mut self, text: &str) -> Decoded<Parts> {
        let (digits, fraction) = match text.split_once('.') {
            Some((digits, fraction)) => (digits, Some(fraction)),
            None => (text, None),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        let two = |at: usize| digits[at..at + 2].parse::<i64>().map_err(|_| Fault::Format);
        let length = digits.len();
        let microseconds = match fraction {
            Some(fraction) => fraction_microseconds(fraction).ok_or(Fault::Format)?,
            None => {
                if !self.known.has(Parts::DATE) && length >= 6 {
                    self.day = two(length - 2)?;
                    self.month = two(length - 4)?;
                    self.year = digits[..length - 4].parse::<i32>().map_err(|_| Fault::Overflow)?.into();
                    self.two_digit_year = length - 4 == 2;
                    return Ok(Parts::DATE);
                }
                0
            }
        };
        if self.known.has(Parts::TIME) {
            return Err(Fault::Format);
        }
        let seconds = match length {
            6 => two(4)?,
            4 => 0,
            _ => return Err(Fault::Format),
        };
        self.set_clock(two(0)?, two(2)?, seconds, microseconds)?;
        Ok(Parts::TIME)
    }

    /// A time and the zone at its end: `040506-08`.
    fn time_with_displacement(&mut self, text: &str) -> Decoded<Parts> {
        let at = text.find('-').ok_or(Fault::Format)?;
        self.offset = Some(displacement(&text[at..])?);
        Ok(self.run_together(&text[..at])? | Parts::ZONE)
    }

    fn clock(&mut self, text: &str) -> Decoded<()> {
        let (hour, minute, second, microseconds) = clock(text)?;
        self.set_clock(hour, minute, second, microseconds)
    }

    fn set_clock(&mut self, hour: i64, minute: i64, second: i64, microseconds: i64) -> Decoded<()> {
        let total = ((hour * 60 + minute) * 60 + second) * SECOND + microseconds;
        if minute > 59 || second > 60 || total > DAY {
            return Err(Fault::Overflow);
        }
        self.hour = hour;
        self.microseconds = total;
        Ok(())
    }

    /// `ValidateDate`, and what AM and PM do.
    fn validate(&mut self) -> Decoded<()> {
        if self.known.has(Parts::YEAR) {
            if self.bc {
                if self.year <= 0 {
                    return Err(Fault::Overflow);
                }
                self.year = 1 - self.year;
            } else if self.two_digit_year {
                self.year += if self.year < 70 { 2000 } else { 1900 };
            } else if self.year <= 0 && !self.known.has(Parts::DAY_OF_YEAR) && self.special.is_none() {
                return Err(Fault::Overflow);
            }
        }
        if self.known.has(Parts::DAY_OF_YEAR) {
            let first = days_from_date(self.year, 1, 1).ok_or(Fault::Overflow)?;
            (self.year, self.month, self.day) = date_from_days(first + self.day_of_year - 1);
        }
        let month_is_wrong = self.known.has(Parts::MONTH) && !(1..=12).contains(&self.month);
        if month_is_wrong || self.known.has(Parts::DAY) && !(1..=31).contains(&self.day) {
            return Err(Fault::DayOrMonth);
        }
        if self.known.has(Parts::DATE) && self.day > days_of_month(self.year, self.month) {
            return Err(Fault::Overflow);
        }
        if let Some(afternoon) = self.half {
            if self.hour > 12 {
                return Err(Fault::Overflow);
            }
            let hours = match (afternoon, self.hour) {
                (false, 12) => -12,
                (true, hour) if hour != 12 => 12,
                _ => 0,
            };
            self.microseconds += hours * 3600 * SECOND;
        }
        Ok(())
    }
}

/// `DecodeTime`: hours, minutes, seconds, microseconds.
pub(super) fn clock(text: &str) -> Decoded<(i64, i64, i64, i64)> {
    let number = |text: &str| -> Decoded<i64> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        text.parse::<i32>().map(i64::from).map_err(|_| Fault::Overflow)
    };
    let (main, fraction) = match text.split_once('.') {
        Some((main, fraction)) => (main, Some(fraction_microseconds(fraction).ok_or(Fault::Format)?)),
        None => (text, None),
    };
    let parts: Vec<&str> = main.split(':').collect();
    let (hour, minute, second) = match (parts.as_slice(), fraction) {
        // With a fraction and one colon it is minutes and seconds.
        ([minute, second], Some(_)) => (0, number(minute)?, number(second)?),
        ([hour, minute], None) => (number(hour)?, number(minute)?, 0),
        ([hour, minute, second], _) => (number(hour)?, number(minute)?, number(second)?),
        _ => return Err(Fault::Format),
    };
    if minute > 59 || second > 60 {
        return Err(Fault::Overflow);
    }
    Ok((hour, minute, second, fraction.unwrap_or(0)))
}

/// `.789` as microseconds, rounded to even as C's `rint` does.
pub(super) fn fraction_microseconds(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    let fraction: f64 = format!("0.{digits}").parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "a million at most")]
    Some((fraction * 1e6).round_ties_even() as i64)
}

/// `+05:30`, `-0800`, `+2`: seconds east.
fn displacement(text: &str) -> Decoded<i32> {
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => return Err(Fault::Format),
    };
    let mut parts = rest.split(':');
    let hours = parts.next().unwrap_or_default();
    let number = |text: &str| -> Decoded<i64> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Fault::Format);
        }
        text.parse::<i32>().map(i64::from).map_err(|_| Fault::Displacement)
    };
    let mut hour = number(hours)?;
    let mut minute = 0;
    let mut second = 0;
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) if rest.len() > 2 => (hour, minute) = (hour / 100, hour % 100),
        (None, ..) => {}
        (Some(minutes), None, _) => minute = number(minutes)?,
        (Some(minutes), Some(seconds), None) => (minute, second) = (number(minutes)?, number(seconds)?),
        _ => return Err(Fault::Format),
    }
    if hour > OFFSET_HOURS_MAX || minute > 59 || second > 59 {
        return Err(Fault::Displacement);
    }
    #[allow(clippy::cast_possible_truncation, reason = "16 hours at most")]
    Ok((sign * (hour * 3600 + minute * 60 + second)) as i32)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, year 0 being 1 BC; counted in eras of 400 years from March.
fn days_from_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(-10_000..=6_000_000).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
