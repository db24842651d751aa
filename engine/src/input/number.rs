//! Numbers (`pg_strtoint32_safe`, `float8in_internal`, `numeric_in`, `oidin`).

use arrow::datatypes::i256;

use super::{invalid, is_space, trim};
use crate::{Error, ErrorCode, Result};

fn out_of_range(type_name: &str, text: &str) -> Error {
    let message = format!("value \"{text}\" is out of range for type {type_name}");
    Error::new(ErrorCode::NumericValueOutOfRange, message)
}

/// `' 12 '`: digits with a sign, spaces around them. `min` and `max` are the type's.
///
/// # Errors
/// `22P02`, or `22003` for one that doesn't fit.
pub fn integer(text: &str, type_name: &str, min: i64, max: i64) -> Result<i64> {
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(type_name, text));
    }
    let value = trimmed.parse::<i64>().ok().filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| out_of_range(type_name, text))
}

/// `oid`: unsigned 32 bits; a negative one is taken for its bits, as C's `strtoul` has it.
///
/// # Errors
/// As [`integer`].
pub fn oid(text: &str) -> Result<u32> {
    let value = integer(text, "oid", i64::from(i32::MIN), i64::from(u32::MAX))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bits are what is meant")]
    Ok(value as u32)
}

/// `float8`: what is too large or too small is out of range, not infinity or zero.
///
/// # Errors
/// `22P02` and `22003`.
pub fn float8(text: &str) -> Result<f64> {
    let plain = plain_float(text, "double precision")?;
    let value: f64 = plain.parse().map_err(|_| invalid("double precision", text))?;
    check_float(value.is_infinite(), value == 0.0, plain, text, "double precision")?;
    Ok(value)
}

/// `float4`, likewise.
///
/// # Errors
/// As [`float8`].
pub fn float4(text: &str) -> Result<f32> {
    let plain = plain_float(text, "real")?;
    let value: f32 = plain.parse().map_err(|_| invalid("real", text))?;
    check_float(value.is_infinite(), value == 0.0, plain, text, "real")?;
    Ok(value)
}

/// Rust reads the same spellings as C, but for hexadecimal ones, and PostgreSQL nothing that is empty.
fn plain_float<'a>(text: &'a str, type_name: &str) -> Result<&'a str> {
    let trimmed = trim(text);
    if trimmed.is_empty() { Err(invalid(type_name, text)) } else { Ok(trimmed) }
}

fn check_float(infinite: bool, zero: bool, plain: &str, text: &str, type_name: &str) -> Result<()> {
    let mantissa = plain.split(['e', 'E']).next().unwrap_or_default();
    let overflows = infinite && mantissa.contains(|c: char| c.is_ascii_digit());
    let underflows = zero && mantissa.contains(|c: char| matches!(c, '1'..='9'));
    if !overflows && !underflows {
        return Ok(());
    }
    // Leading spaces are not repeated, trailing ones are not part of the number either.
    let shown = trim(text);
    Err(Error::new(ErrorCode::NumericValueOutOfRange, format!("\"{shown}\" is out of range for type {type_name}")))
}

/// A numeric as written: `digits` are unscaled, `scale` of them stand after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    pub value: i256,
    pub scale: u8,
    /// Significant digits, at least 1.
    pub precision: u8,
}

/// The most digits that we hold: Arrow's `Decimal256`.
pub(super) const DIGITS_MAX: usize = 76;

/// `numeric` without a declared scale: all digits as they are written.
///
/// # Errors
/// `22P02`; `22003` for more than 76 digits; `0A000` for NaN and the infinities, which PostgreSQL has and we have not.
pub fn decimal(text: &str) -> Result<Decimal> {
    let wrong = || invalid("numeric", text);
    let trimmed = text.trim_matches(is_space);
    let unsigned = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    if unsigned.eq_ignore_ascii_case("nan") && unsigned.len() == trimmed.len() {
        return Err(unheld("NaN"));
    }
    if ["inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Err(unheld("infinity"));
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong());
            }
            // PostgreSQL's own limit is of this kind, too.
            let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() < i32::MAX / 2);
            (mantissa, exponent.ok_or_else(wrong)?)
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return Err(wrong());
    }
    let too_large = || {
        Error::new(ErrorCode::NumericValueOutOfRange, "value overflows numeric format")
            .with_detail(format!("At most {DIGITS_MAX} digits are held."))
    };
    let digits = format!("{whole}{fraction}");
    let mut digits = digits.trim_start_matches('0').to_owned();
    let fraction = i64::try_from(fraction.len()).map_err(|_| too_large())?;
    let mut scale = fraction - i64::from(exponent);
    if digits.is_empty() {
        scale = scale.clamp(0, DIGITS_MAX as i64);
    }
    if scale < 0 {
        if !digits.is_empty() {
            let zeros = usize::try_from(-scale).ok().filter(|zeros| digits.len() + zeros <= DIGITS_MAX);
            digits.extend(std::iter::repeat_n('0', zeros.ok_or_else(too_large)?));
        }
        scale = 0;
    }
    let scale = usize::try_from(scale).ok().filter(|scale| *scale <= DIGITS_MAX).ok_or_else(too_large)?;
    if digits.len() > DIGITS_MAX {
        return Err(too_large());
    }
    let precision = digits.len().max(scale).max(1);
    let signed = if trimmed.starts_with('-') { format!("-{digits}") } else { digits };
    let value = if signed.trim_start_matches('-').is_empty() {
        i256::ZERO
    } else {
        i256::from_string(&signed).ok_or_else(too_large)?
    };
    Ok(Decimal { value, scale: scale as u8, precision: precision as u8 })
}

fn unheld(what: &str) -> Error {
    Error::unsupported(format!("numeric {what} is not supported")).with_hint("Use double precision, which has it.")
}
