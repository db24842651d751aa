//! Days and microseconds since 1970 -> calendar fields, over the whole range of the integers, without allocating.

/// Microseconds of a day.
pub(crate) const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary formats start.
pub(crate) const POSTGRES_EPOCH_DAYS: i32 = 10_957;

/// A date in the proleptic Gregorian calendar; year 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: u8,
    pub(crate) day: u8,
}

impl Date {
    /// The date `days` after 1970-01-01. Counts eras of 400 years from 0000-03-01, so that the leap day is a year's last.
    pub(crate) fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u8;
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use chrono::Datelike;

    use super::*;

    #[test]
    fn agrees_with_chrono() {
        let epoch = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-2_000_000..2_000_000).step_by(97).chain(-800_000..-799_000).chain(10_900..11_100) {
            let expected = epoch + chrono::TimeDelta::days(days);
            let date = Date::from_days(days);
            assert_eq!(
                (date.year, u32::from(date.month), u32::from(date.day)),
                (i64::from(expected.year()), expected.month(), expected.day())
            );
        }
    }
}
