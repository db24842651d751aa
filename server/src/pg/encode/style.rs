//! What settings change about a value's text: `DateStyle`, `IntervalStyle`, `bytea_output`, `extra_float_digits`, `TimeZone`
//! (PostgreSQL's `EncodeDateTime`, `EncodeInterval`, `byteaout`, `float8out`).

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use limnos_engine::session::settings::{ByteaOutput, DateOrder, DateStyle, IntervalStyle};
use limnos_engine::session::{Settings, Zone};

use super::calendar::{DAY_MICROSECONDS, Date};
use super::cells::Interval;
use super::text;

/// How a session wants values to be shown. Taken once per result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) zone: Zone,
    pub(crate) dates: DateStyle,
    pub(crate) order: DateOrder,
    pub(crate) intervals: IntervalStyle,
    pub(crate) bytea: ByteaOutput,
    pub(crate) float_digits: i32,
}

impl Default for Style {
    fn default() -> Self {
        Self::of(&Settings::default())
    }
}

impl Style {
    /// As the settings have it.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            zone: settings.zone(),
            dates: settings.date_style(),
            order: settings.date_order(),
            intervals: settings.interval_style(),
            bytea: settings.bytea_output(),
            float_digits: settings.extra_float_digits(),
        }
    }
}

/// Above 0 the shortest digits that read back the same, else as many as `%g` gives with 15 and `extra_float_digits`.
#[inline]
pub(crate) fn float8(value: f64, style: &Style, out: &mut BytesMut) {
    if style.float_digits > 0 { text::float8(value, out) } else { rounded(value, 15 + style.float_digits, out) }
}

/// As [`float8`], from 6 digits.
#[inline]
pub(crate) fn float4(value: f32, style: &Style, out: &mut BytesMut) {
    if style.float_digits > 0 {
        text::float4(value, out)
    } else {
        rounded(f64::from(value), 6 + style.float_digits, out)
    }
}

/// C's `%.*g`.
fn rounded(value: f64, digits: i32, out: &mut BytesMut) {
    if text::special_float(value, out) {
        return;
    }
    let digits = digits.max(1);
    let mut exponential = String::new();
    // Writing to a String can't fail.
    let _ = write!(exponential, "{:.*e}", (digits - 1) as usize, value);
    text::float(&exponential, false, digits, out);
}

pub(crate) fn bytea(value: &[u8], style: &Style, out: &mut BytesMut) {
    if style.bytea == ByteaOutput::Hex {
        return text::bytea(value, out);
    }
    for byte in value {
        match byte {
            b'\\' => out.put_slice(b"\\\\"),
            0x20..=0x7e => out.put_u8(*byte),
            _ => out.put_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
        }
    }
}

#[inline]
pub(crate) fn date(days: i32, style: &Style, out: &mut BytesMut) {
    if style.dates == DateStyle::Iso || matches!(days, i32::MAX | i32::MIN) {
        return text::date(days, out);
    }
    let date = Date::from_days(i64::from(days));
    match style.dates {
        DateStyle::Postgres => numbers(date, style.order == DateOrder::Dmy, b'-', out),
        _ => slashed(date, style, out),
    }
    text::before_christ(date, out);
}

/// `01/07/2024` or `01.07.2024`. An order of year, month and day has no place in these styles and counts as month first.
fn slashed(date: Date, style: &Style, out: &mut BytesMut) {
    match style.dates {
        DateStyle::German => numbers(date, true, b'.', out),
        _ => numbers(date, style.order == DateOrder::Dmy, b'/', out),
    }
}

fn numbers(date: Date, day_first: bool, separator: u8, out: &mut BytesMut) {
    let (first, second) = if day_first { (date.day, date.month) } else { (date.month, date.day) };
    text::two_digits(u32::from(first), out);
    out.put_u8(separator);
    text::two_digits(u32::from(second), out);
    out.put_u8(separator);
    text::year(date, out);
}

#[inline]
pub(crate) fn timestamp(microseconds: i64, style: &Style, out: &mut BytesMut) {
    if style.dates == DateStyle::Iso {
        return text::timestamp(microseconds, b' ', out);
    }
    if !text::infinite(microseconds, out) {
        moment(microseconds, style, None, out);
    }
}

#[inline]
pub(crate) fn timestamp_tz(microseconds: i64, style: &Style, out: &mut BytesMut) {
    if style.dates == DateStyle::Iso {
        return text::timestamp_tz(microseconds, style.zone, b' ', out);
    }
    if text::infinite(microseconds, out) {
        return;
    }
    let offset = style.zone.offset(microseconds);
    // At the very ends of the range there is no room for the offset.
    let local = microseconds.saturating_add(i64::from(offset) * 1_000_000);
    let name = style.zone.abbreviation(microseconds);
    moment(local, style, Some(name.as_str()), out);
}

/// A local time in a style other than ISO. `zone` is its zone's abbreviation.
fn moment(local: i64, style: &Style, zone: Option<&str>, out: &mut BytesMut) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = local.div_euclid(DAY_MICROSECONDS);
    let date = Date::from_days(days);
    let clock = local.rem_euclid(DAY_MICROSECONDS);
    if style.dates == DateStyle::Postgres {
        // 1970 began on a Thursday.
        out.put_slice(DAYS[days.rem_euclid(7) as usize].as_bytes());
        out.put_u8(b' ');
        let month = MONTHS[usize::from(date.month.clamp(1, 12)) - 1];
        if style.order == DateOrder::Dmy {
            text::two_digits(u32::from(date.day), out);
            out.put_u8(b' ');
            out.put_slice(month.as_bytes());
        } else {
            out.put_slice(month.as_bytes());
            out.put_u8(b' ');
            text::two_digits(u32::from(date.day), out);
        }
        out.put_u8(b' ');
        text::time(clock, out);
        out.put_u8(b' ');
        text::year(date, out);
    } else {
        slashed(date, style, out);
        out.put_u8(b' ');
        text::time(clock, out);
    }
    if let Some(zone) = zone {
        out.put_u8(b' ');
        out.put_slice(zone.as_bytes());
    }
    text::before_christ(date, out);
}

#[inline]
pub(crate) fn interval(value: Interval, style: &Style, out: &mut BytesMut) {
    match style.intervals {
        IntervalStyle::Postgres => text::interval(value, out),
        IntervalStyle::PostgresVerbose => verbose(&Fields::of(value), out),
        IntervalStyle::SqlStandard => sql_standard(Fields::of(value), out),
        IntervalStyle::Iso8601 => iso_8601(&Fields::of(value), out),
    }
}

/// An interval in PostgreSQL's units.
struct Fields {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    microseconds: i64,
}

impl Fields {
    fn of(value: Interval) -> Self {
        let seconds = value.microseconds / 1_000_000;
        Self {
            years: i64::from(value.months / 12),
            months: i64::from(value.months % 12),
            days: i64::from(value.days),
            hours: seconds / 3600,
            minutes: seconds / 60 % 60,
            seconds: seconds % 60,
            microseconds: value.microseconds % 1_000_000,
        }
    }

    fn all(&self) -> [i64; 7] {
        [self.years, self.months, self.days, self.hours, self.minutes, self.seconds, self.microseconds]
    }

    fn has_time(&self) -> bool {
        self.all()[3..].iter().any(|field| *field != 0)
    }
}

fn clock(fields: &Fields, out: &mut BytesMut) {
    text::integer(fields.hours.abs(), out);
    out.put_u8(b':');
    text::two_digits(fields.minutes.unsigned_abs() as u32, out);
    out.put_u8(b':');
    text::two_digits(fields.seconds.unsigned_abs() as u32, out);
    text::fraction(fields.microseconds.abs(), out);
}

fn sql_standard(fields: Fields, out: &mut BytesMut) {
    let all = fields.all();
    let negative = all.iter().any(|field| *field < 0);
    let positive = all.iter().any(|field| *field > 0);
    let has_months = fields.years != 0 || fields.months != 0;
    let has_days = all[2..].iter().any(|field| *field != 0);
    let standard = !(negative && positive || has_months && has_days);
    let sign = |negative: bool| if negative { b'-' } else { b'+' };
    if !negative && !positive {
        out.put_u8(b'0');
    } else if !standard {
        // The standard has no such values: every part shows its sign.
        out.put_u8(sign(fields.years < 0 || fields.months < 0));
        text::integer(fields.years.abs(), out);
        out.put_u8(b'-');
        text::integer(fields.months.abs(), out);
        out.put_u8(b' ');
        out.put_u8(sign(fields.days < 0));
        text::integer(fields.days.abs(), out);
        out.put_u8(b' ');
        out.put_u8(sign(all[3..].iter().any(|field| *field < 0)));
        clock(&fields, out);
    } else {
        if negative {
            out.put_u8(b'-');
        }
        if has_months {
            text::integer(fields.years.abs(), out);
            out.put_u8(b'-');
            text::integer(fields.months.abs(), out);
        } else {
            if fields.days != 0 {
                text::integer(fields.days.abs(), out);
                out.put_u8(b' ');
            }
            clock(&fields, out);
        }
    }
}

/// Seconds without leading zeros.
fn seconds(fields: &Fields, out: &mut BytesMut) {
    text::integer(fields.seconds.abs(), out);
    text::fraction(fields.microseconds.abs(), out);
}

fn iso_8601(fields: &Fields, out: &mut BytesMut) {
    if fields.all().iter().all(|field| *field == 0) {
        out.put_slice(b"PT0S");
        return;
    }
    let part = |value: i64, unit: u8, out: &mut BytesMut| {
        if value != 0 {
            text::integer(value, out);
            out.put_u8(unit);
        }
    };
    out.put_u8(b'P');
    part(fields.years, b'Y', out);
    part(fields.months, b'M', out);
    part(fields.days, b'D', out);
    if fields.has_time() {
        out.put_u8(b'T');
    }
    part(fields.hours, b'H', out);
    part(fields.minutes, b'M', out);
    if fields.seconds != 0 || fields.microseconds != 0 {
        if fields.seconds < 0 || fields.microseconds < 0 {
            out.put_u8(b'-');
        }
        seconds(fields, out);
        out.put_u8(b'S');
    }
}

/// `@ 1 year 2 mons ago`: the first part's sign is that of all, and others show where they differ.
fn verbose(fields: &Fields, out: &mut BytesMut) {
    out.put_u8(b'@');
    let mut ago = None;
    let parts = [
        (fields.years, "year"),
        (fields.months, "mon"),
        (fields.days, "day"),
        (fields.hours, "hour"),
        (fields.minutes, "min"),
    ];
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        let value = if *ago.get_or_insert(value < 0) { -value } else { value };
        out.put_u8(b' ');
        text::integer(value, out);
        out.put_u8(b' ');
        out.put_slice(unit.as_bytes());
        if value != 1 {
            out.put_u8(b's');
        }
    }
    if fields.seconds != 0 || fields.microseconds != 0 {
        let negative = fields.seconds < 0 || fields.microseconds < 0;
        out.put_u8(b' ');
        if *ago.get_or_insert(negative) != negative {
            out.put_u8(b'-');
        }
        seconds(fields, out);
        out.put_slice(if fields.seconds.abs() != 1 || fields.microseconds != 0 { b" secs" } else { b" sec" });
    }
    match ago {
        None => out.put_slice(b" 0"),
        Some(true) => out.put_slice(b" ago"),
        Some(false) => {}
    }
}
