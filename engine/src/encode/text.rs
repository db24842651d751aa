//! One value -> the text that PostgreSQL shows for it (`extra_float_digits = 1`, `DateStyle = ISO`,
//! `IntervalStyle = postgres`, `bytea_output = hex`). Maps, which PostgreSQL lacks, are shown as JSON.

use std::fmt::Write as _;

use arrow::array::timezone::Tz;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::temporal_conversions::MICROSECONDS;
use chrono::{DateTime, Datelike, NaiveDate, Offset, TimeDelta, TimeZone, Timelike};

use super::json;

const MICROS_PER_DAY: i64 = 86_400 * MICROSECONDS;

/// Appends the text of `array[row]` to `out`; nothing for NULL, which the caller tells apart with [`Array::is_null`].
pub fn write_text(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        return;
    }
    macro_rules! integer {
        ($type:ty) => {{
            // Writing to a String can't fail.
            let _ = write!(out, "{}", array.as_primitive::<$type>().value(row));
        }};
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "t" } else { "f" }),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float16 => float_text(&f32::from(array.as_primitive::<Float16Type>().value(row)), 6, out),
        DataType::Float32 => float_text(&array.as_primitive::<Float32Type>().value(row), 6, out),
        DataType::Float64 => float_text(&array.as_primitive::<Float64Type>().value(row), 15, out),
        DataType::Decimal32(_, scale) => {
            decimal_text(&array.as_primitive::<Decimal32Type>().value(row).to_string(), *scale, out);
        }
        DataType::Decimal64(_, scale) => {
            decimal_text(&array.as_primitive::<Decimal64Type>().value(row).to_string(), *scale, out);
        }
        DataType::Decimal128(_, scale) => {
            decimal_text(&array.as_primitive::<Decimal128Type>().value(row).to_string(), *scale, out);
        }
        DataType::Decimal256(_, scale) => {
            decimal_text(&array.as_primitive::<Decimal256Type>().value(row).to_string(), *scale, out);
        }
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
        DataType::Binary => hex_text(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => hex_text(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => hex_text(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => hex_text(array.as_fixed_size_binary().value(row), out),
        DataType::Date32 => {
            date_text(i64::from(array.as_primitive::<Date32Type>().value(row)) * MICROS_PER_DAY, out);
        }
        DataType::Date64 => date_text(array.as_primitive::<Date64Type>().value(row).saturating_mul(1000), out),
        DataType::Time32(_) | DataType::Time64(_) => time_text(micros_of(array, row), out),
        DataType::Timestamp(_, zone) => timestamp_text(micros_of(array, row), zone.as_deref(), ' ', out),
        // What timestamps differ by; PostgreSQL shows it in days and time.
        DataType::Duration(_) => {
            let micros = micros_of(array, row);
            interval_text(0, i32::try_from(micros / MICROS_PER_DAY).unwrap_or(0), micros % MICROS_PER_DAY, out);
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            interval_text(array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0, out);
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            interval_text(0, value.days, i64::from(value.milliseconds) * 1000, out);
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            interval_text(value.months, value.days, value.nanoseconds / 1000, out);
        }
        DataType::List(_) => array_text(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => array_text(&array.as_list::<i64>().value(row), out),
        DataType::FixedSizeList(_, _) => array_text(&array.as_fixed_size_list().value(row), out),
        DataType::ListView(_) => array_text(&array.as_list_view::<i32>().value(row), out),
        DataType::LargeListView(_) => array_text(&array.as_list_view::<i64>().value(row), out),
        DataType::Struct(_) => record_text(array.as_struct().columns(), row, out),
        DataType::Map(_, _) => json::write_json(array, row, out),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            // A dictionary's values may hold NULLs of their own; the key is valid, so the index is in range.
            let key = dictionary.normalized_keys_value(row);
            write_text(dictionary.values().as_ref(), key, out);
        }
        _ => {
            // Unions and run-end encodings: no table of ours has them, a query can't make them; arrow's own text will do.
            if let Ok(text) = arrow::util::display::array_value_to_string(array, row) {
                out.push_str(&text);
            }
        }
    }
}

/// `10:20:30.5+02`: a time of day, and seconds east of UTC.
pub(crate) fn time_with_zone(microseconds: i64, offset: i32) -> String {
    let mut text = String::new();
    time_text(microseconds, &mut text);
    let seconds = offset.unsigned_abs();
    let _ = write!(text, "{}{:02}", if offset < 0 { '-' } else { '+' }, seconds / 3600);
    if !seconds.is_multiple_of(3600) {
        let _ = write!(text, ":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        let _ = write!(text, ":{:02}", seconds % 60);
    }
    text
}

/// One key of a dictionary without normalising them all.
trait DictionaryKey {
    fn normalized_keys_value(&self, row: usize) -> usize;
}

impl DictionaryKey for dyn arrow::array::AnyDictionaryArray + '_ {
    fn normalized_keys_value(&self, row: usize) -> usize {
        let keys = self.keys();
        macro_rules! key {
            ($type:ty) => {
                usize::try_from(keys.as_primitive::<$type>().value(row)).unwrap_or(0)
            };
        }
        match keys.data_type() {
            DataType::Int8 => key!(Int8Type),
            DataType::Int16 => key!(Int16Type),
            DataType::Int32 => key!(Int32Type),
            DataType::Int64 => key!(Int64Type),
            DataType::UInt8 => key!(UInt8Type),
            DataType::UInt16 => key!(UInt16Type),
            DataType::UInt32 => key!(UInt32Type),
            _ => key!(UInt64Type),
        }
    }
}

/// The dictionary's values and the index of `row` in them.
pub(super) fn dictionary_entry(array: &dyn Array, row: usize) -> (arrow::array::ArrayRef, usize) {
    let dictionary = array.as_any_dictionary();
    (dictionary.values().clone(), dictionary.normalized_keys_value(row))
}

/// A time, timestamp or duration in microseconds; PostgreSQL knows nothing finer.
pub(super) fn micros_of(array: &dyn Array, row: usize) -> i64 {
    use arrow::datatypes as types;
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            i64::from(array.as_primitive::<types::Time32SecondType>().value(row)) * 1_000_000
        }
        DataType::Time32(_) => i64::from(array.as_primitive::<types::Time32MillisecondType>().value(row)) * 1000,
        DataType::Time64(TimeUnit::Nanosecond) => {
            array.as_primitive::<types::Time64NanosecondType>().value(row).div_euclid(1000)
        }
        DataType::Time64(_) => array.as_primitive::<types::Time64MicrosecondType>().value(row),
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<types::TimestampSecondType>().value(row).saturating_mul(1_000_000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<types::TimestampMillisecondType>().value(row).saturating_mul(1000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<types::TimestampMicrosecondType>().value(row)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<types::TimestampNanosecondType>().value(row).div_euclid(1000)
        }
        DataType::Duration(TimeUnit::Second) => {
            array.as_primitive::<types::DurationSecondType>().value(row).saturating_mul(1_000_000)
        }
        DataType::Duration(TimeUnit::Millisecond) => {
            array.as_primitive::<types::DurationMillisecondType>().value(row).saturating_mul(1000)
        }
        DataType::Duration(TimeUnit::Microsecond) => array.as_primitive::<types::DurationMicrosecondType>().value(row),
        DataType::Duration(TimeUnit::Nanosecond) => {
            array.as_primitive::<types::DurationNanosecondType>().value(row).div_euclid(1000)
        }
        other => unreachable!("{other} is not a time"),
    }
}

/// PostgreSQL's `float8out`/`float4out`: the shortest digits that read back equal, in scientific form outside
/// 1e-4 ..= 1e`digits`.
pub(super) fn float_text<F: std::fmt::LowerExp + Into<f64> + Copy>(value: &F, digits: i32, out: &mut String) {
    let wide: f64 = (*value).into();
    if wide.is_nan() {
        return out.push_str("NaN");
    }
    if wide.is_infinite() {
        return out.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    if exponent < -4 || exponent >= digits {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
        return;
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let figures: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.push_str(sign);
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
        out.push_str(&figures);
        return;
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    if figures.len() <= whole {
        out.push_str(&figures);
        out.extend(std::iter::repeat_n('0', whole - figures.len()));
    } else {
        let _ = write!(out, "{}.{}", &figures[..whole], &figures[whole..]);
    }
}

/// Puts the point into an unscaled decimal.
fn decimal_text(unscaled: &str, scale: i8, out: &mut String) {
    let (sign, figures) = unscaled.strip_prefix('-').map_or(("", unscaled), |rest| ("-", rest));
    out.push_str(sign);
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.push_str(figures);
        if figures != "0" {
            out.extend(std::iter::repeat_n('0', places));
        }
    } else if figures.len() > places {
        let (whole, fraction) = figures.split_at(figures.len() - places);
        let _ = write!(out, "{whole}.{fraction}");
    } else {
        let _ = write!(out, "0.{figures:0>places$}");
    }
}

pub(crate) fn hex_text(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

fn epoch() -> NaiveDate {
    NaiveDate::from_ymd_opt(1970, 1, 1).expect("1970 began")
}

fn push_date(date: NaiveDate, out: &mut String) {
    // PostgreSQL counts no year zero: astronomical year 0 is 1 BC.
    let year = if date.year() > 0 { date.year() } else { 1 - date.year() };
    let _ = write!(out, "{year:04}-{:02}-{:02}", date.month(), date.day());
}

fn push_time(time: chrono::NaiveTime, out: &mut String) {
    let _ = write!(out, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    push_fraction(i64::from(time.nanosecond() / 1000), out);
}

fn push_fraction(micros: i64, out: &mut String) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

fn date_text(micros: i64, out: &mut String) {
    match epoch().checked_add_signed(TimeDelta::days(micros.div_euclid(MICROS_PER_DAY))) {
        Some(date) => {
            push_date(date, out);
            if date.year() <= 0 {
                out.push_str(" BC");
            }
        }
        None => out.push_str(if micros > 0 { "infinity" } else { "-infinity" }),
    }
}

fn time_text(micros: i64, out: &mut String) {
    let seconds = micros / MICROSECONDS;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_fraction(micros % MICROSECONDS, out);
}

/// `separator` is a space in PostgreSQL's text and `T` in JSON.
pub(super) fn timestamp_text(micros: i64, zone: Option<&str>, separator: char, out: &mut String) {
    let Some(instant) = DateTime::from_timestamp_micros(micros) else {
        // Beyond what the calendar can say; PostgreSQL's own bounds end long before.
        return out.push_str(if micros > 0 { "infinity" } else { "-infinity" });
    };
    let zone: Option<Tz> = zone.map(|name| name.parse().unwrap_or_else(|_| "UTC".parse().expect("UTC is a zone")));
    let offset_seconds = zone.map(|zone| zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc());
    let local = instant.naive_utc() + TimeDelta::seconds(i64::from(offset_seconds.unwrap_or(0)));
    push_date(local.date(), out);
    out.push(separator);
    push_time(local.time(), out);
    if let Some(offset) = offset_seconds {
        let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
        let _ = write!(out, "{sign}{:02}", offset / 3600);
        // JSON's readers want RFC 3339, which always has minutes.
        if offset % 3600 != 0 || separator == 'T' {
            let _ = write!(out, ":{:02}", offset / 60 % 60);
        }
        if offset % 60 != 0 {
            let _ = write!(out, ":{:02}", offset % 60);
        }
    }
    if local.year() <= 0 {
        out.push_str(" BC");
    }
}

fn interval_text(months: i32, days: i32, micros: i64, out: &mut String) {
    let start = out.len();
    let mut part = |count: i64, one: &str, many: &str| {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let word = if count == 1 { one } else { many };
            let _ = write!(out, "{space}{count} {word}");
        }
    };
    part(i64::from(months / 12), "year", "years");
    part(i64::from(months % 12), "mon", "mons");
    part(i64::from(days), "day", "days");
    if micros != 0 || out.len() == start {
        let sign = match (micros < 0, months < 0 || days < 0) {
            (true, _) => "-",
            // After a negative part PostgreSQL says that the time isn't negative too.
            (false, true) => "+",
            (false, false) => "",
        };
        let space = if out.len() > start { " " } else { "" };
        let micros = micros.unsigned_abs();
        let seconds = micros / 1_000_000;
        let _ = write!(out, "{space}{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        push_fraction(i64::try_from(micros % 1_000_000).expect("under a million"), out);
    }
}

/// PostgreSQL's array text (<https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO>).
fn array_text(values: &dyn Array, out: &mut String) {
    out.push('{');
    for row in 0..values.len() {
        if row > 0 {
            out.push(',');
        }
        if values.is_null(row) {
            out.push_str("NULL");
            continue;
        }
        let mut element = String::new();
        write_text(values, row, &mut element);
        let is_array = values.data_type().is_list();
        let needs_quotes = !is_array
            && (element.is_empty()
                || element.eq_ignore_ascii_case("null")
                || element.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace()));
        if needs_quotes {
            out.push('"');
            for c in element.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        } else {
            out.push_str(&element);
        }
    }
    out.push('}');
}

/// PostgreSQL's record text (<https://www.postgresql.org/docs/15/rowtypes.html#ROWTYPES-IO-SYNTAX>).
fn record_text(columns: &[arrow::array::ArrayRef], row: usize, out: &mut String) {
    out.push('(');
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if column.is_null(row) {
            continue;
        }
        let mut field = String::new();
        write_text(column, row, &mut field);
        let needs_quotes = field.is_empty()
            || field.contains(|c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace());
        if needs_quotes {
            let _ = write!(out, "\"{}\"", field.replace('\\', "\\\\").replace('"', "\"\""));
        } else {
            out.push_str(&field);
        }
    }
    out.push(')');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::*;

    use super::*;

    fn text(array: &dyn Array) -> String {
        let mut out = String::new();
        write_text(array, 0, &mut out);
        out
    }

    #[test]
    fn floats_are_written_as_postgresql_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1234.5, "-1234.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(&Float64Array::from(vec![value])), expected);
        }
        assert_eq!(text(&Float32Array::from(vec![0.1_f32])), "0.1");
        assert_eq!(text(&Float32Array::from(vec![1e6_f32])), "1e+06");
    }

    #[test]
    fn other_types_are_written_as_postgresql_writes_them() {
        let micros = 1_704_164_645_120_000;
        let cases: Vec<(ArrayRef, &str)> = vec![
            (Arc::new(BooleanArray::from(vec![true])), "t"),
            (Arc::new(Date32Array::from(vec![19724])), "2024-01-02"),
            (Arc::new(Date32Array::from(vec![-719_163])), "0001-12-31 BC"),
            (Arc::new(TimestampMicrosecondArray::from(vec![micros])), "2024-01-02 03:04:05.12"),
            (Arc::new(TimestampSecondArray::from(vec![-1])), "1969-12-31 23:59:59"),
            (
                Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("Asia/Kolkata")),
                "2024-01-02 08:34:05.12+05:30",
            ),
            (
                Arc::new(TimestampNanosecondArray::from(vec![1_000]).with_timezone("UTC")),
                "1970-01-01 00:00:00.000001+00",
            ),
            (Arc::new(Time64MicrosecondArray::from(vec![3_661_000_001])), "01:01:01.000001"),
            (Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])), "\\x00ff"),
            (Arc::new(Decimal256Array::from(vec![i256::from(-7)]).with_precision_and_scale(50, 3).unwrap()), "-0.007"),
            (Arc::new(Decimal128Array::from(vec![12]).with_precision_and_scale(5, -2).unwrap()), "1200"),
            (
                Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, -3, 4_500_000_000)])),
                "1 year 2 mons -3 days +00:00:04.5",
            ),
            (Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, 0, 0)])), "00:00:00"),
            (Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None])])), "{1,NULL}"),
            (
                Arc::new(StructArray::from(vec![
                    (
                        Arc::new(Field::new("a", DataType::Utf8, true)),
                        Arc::new(StringArray::from(vec!["x y"])) as ArrayRef,
                    ),
                    (Arc::new(Field::new("b", DataType::Int32, true)), Arc::new(Int32Array::from(vec![None]))),
                ])),
                "(\"x y\",)",
            ),
            (Arc::new(vec!["a", "b"].into_iter().collect::<DictionaryArray<Int8Type>>().slice(1, 1)), "b"),
        ];
        for (array, expected) in cases {
            assert_eq!(text(&array), expected, "{}", array.data_type());
        }
        let mut builder = ListBuilder::new(StringBuilder::new());
        for value in ["", "null", "a\"b\\", "plain"] {
            builder.values().append_value(value);
        }
        builder.append(true);
        assert_eq!(text(&builder.finish()), r#"{"","null","a\"b\\",plain}"#);
    }
}
