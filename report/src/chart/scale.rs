//! [`Scale`]: a range of values, round places on it, and what is written there.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, TimeDelta};

use crate::cell::{compact, trimmed};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where lines and labels are, and the labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Where `value` is, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        // By halves: the span of all doubles is more than one holds.
        let span = self.high / 2.0 - self.low / 2.0;
        if span > 0.0 { (value / 2.0 - self.low / 2.0) / span } else { 0.5 }
    }

    /// A scale of numbers that begins and ends at a round one. With `zero` it reaches to nought, which bars and areas stand on.
    pub(super) fn numbers(values: impl Iterator<Item = f64>, zero: bool, count: usize) -> Self {
        let (mut low, mut high) = range(values);
        if zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if low >= high {
            let pad = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
            (low, high) = if zero { (low, high.max(low + pad)) } else { (low - pad, high + pad) };
        }
        // A span beyond what a double holds would be infinite.
        let step = round_step((high / 2.0 - low / 2.0) / count as f64 * 2.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let mut ticks = Vec::new();
        let mut number = first;
        while number <= last && ticks.len() < 40 {
            let value = number * step;
            if value.is_finite() {
                ticks.push((value, tick_label(value, step)));
            }
            number += 1.0;
        }
        let (low, high) = (first * step, last * step);
        Self { low: low.max(f64::MIN), high: high.min(f64::MAX), ticks }
    }

    /// A scale of moments, in seconds since 1970, that begins at the first and ends at the last.
    pub(super) fn moments(values: impl Iterator<Item = f64>, count: usize) -> Self {
        let (mut low, mut high) = range(values);
        if low >= high {
            (low, high) = (low - 43_200.0, high + 43_200.0);
        }
        let ticks = time_ticks(low, high, count);
        Self { low, high, ticks }
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
fn round_step(raw: f64) -> f64 {
    if !raw.is_finite() || raw <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw * 0.999_999).unwrap_or(10.0);
    factor * power
}

/// A label with no more digits than the step between labels needs.
fn tick_label(value: f64, step: f64) -> String {
    if value.abs() < step * 1e-9 {
        return "0".to_owned();
    }
    if step >= 1.0 || value.abs() >= 1e4 {
        return compact(value);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
    let digits = (-step.log10()).ceil().clamp(0.0, 12.0) as usize;
    trimmed(value, digits)
}

/// A step of time.
#[derive(Clone, Copy)]
enum Step {
    Seconds(i64),
    Days(u64),
    Months(u32),
}

impl Step {
    fn seconds(self) -> f64 {
        match self {
            Self::Seconds(seconds) => seconds as f64,
            Self::Days(days) => days as f64 * 86_400.0,
            Self::Months(months) => f64::from(months) * 30.44 * 86_400.0,
        }
    }

    /// The last round moment up to `moment`.
    fn floor(self, moment: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Seconds(seconds) => {
                let at = moment.and_utc().timestamp();
                DateTime::from_timestamp(at - at.rem_euclid(seconds), 0).map(|at| at.naive_utc())
            }
            Self::Days(days) => {
                let from_monday = i64::from(moment.date().num_days_from_ce()) - 1;
                let back = if days == 1 { 0 } else { from_monday.rem_euclid(i64::try_from(days).ok()?) };
                moment.date().checked_sub_days(Days::new(u64::try_from(back).ok()?))?.and_hms_opt(0, 0, 0)
            }
            Self::Months(months) => {
                let total = moment.year() * 12 + moment.month0().cast_signed();
                let total = total - total.rem_euclid(months.cast_signed());
                let month = u32::try_from(total.rem_euclid(12)).ok()? + 1;
                NaiveDate::from_ymd_opt(total.div_euclid(12), month, 1)?.and_hms_opt(0, 0, 0)
            }
        }
    }

    fn next(self, moment: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Seconds(seconds) => moment.checked_add_signed(TimeDelta::try_seconds(seconds)?),
            Self::Days(days) => moment.checked_add_days(Days::new(days)),
            Self::Months(months) => moment.checked_add_months(Months::new(months)),
        }
    }
}

const STEPS: [Step; 27] = [
    Step::Seconds(1),
    Step::Seconds(5),
    Step::Seconds(15),
    Step::Seconds(30),
    Step::Seconds(60),
    Step::Seconds(300),
    Step::Seconds(900),
    Step::Seconds(1800),
    Step::Seconds(3600),
    Step::Seconds(3 * 3600),
    Step::Seconds(6 * 3600),
    Step::Seconds(12 * 3600),
    Step::Days(1),
    Step::Days(2),
    Step::Days(7),
    Step::Days(14),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Months(12),
    Step::Months(24),
    Step::Months(60),
    Step::Months(120),
    Step::Months(240),
    Step::Months(600),
    Step::Months(1200),
];

fn time_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let wanted = (high - low) / count as f64;
    let step = STEPS.into_iter().find(|step| step.seconds() >= wanted).unwrap_or(Step::Months(12_000));
    #[allow(clippy::cast_possible_truncation, reason = "out of range saturates, and then is no moment")]
    let start = DateTime::from_timestamp(low.floor() as i64, 0).map(|at| at.naive_utc());
    let Some(mut moment) = start.and_then(|start| step.floor(start)) else { return Vec::new() };
    let mut ticks = Vec::new();
    while ticks.len() < 40 {
        let at = moment.and_utc().timestamp() as f64;
        if at > high {
            break;
        }
        if at >= low {
            ticks.push((at, moment_label(moment, step, ticks.is_empty())));
        }
        let Some(next) = step.next(moment) else { break };
        moment = next;
    }
    ticks
}

/// What is written at a moment: the year, the month or the day where one begins, at the first tick in any case.
fn moment_label(moment: NaiveDateTime, step: Step, is_first: bool) -> String {
    let is_midnight = moment.time() == chrono::NaiveTime::MIN;
    let format = match step {
        Step::Months(months) if months >= 12 => "%Y",
        Step::Months(_) if is_first || moment.month() == 1 => "%b %Y",
        Step::Months(_) => "%b",
        Step::Days(_) if is_first => "%-d %b %Y",
        Step::Days(_) => "%-d %b",
        Step::Seconds(_) if is_first || is_midnight => "%-d %b %H:%M",
        Step::Seconds(seconds) if seconds < 60 => "%H:%M:%S",
        Step::Seconds(_) => "%H:%M",
    };
    moment.format(format).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn numbers_are_round() {
        let cases: [(&[f64], bool, &str); 7] = [
            (&[0.0, 97.0], true, "0 20 40 60 80 100"),
            (&[12.0, 12.0], true, "0 5 10 15"),
            (&[-3.0, 8.0], true, "-5 0 5 10"),
            (&[0.013, 0.021], false, "0.012 0.014 0.016 0.018 0.02 0.022"),
            (&[1_250_000.0, 4_800_000.0], true, "0 1M 2M 3M 4M 5M"),
            (&[], true, "0 0.2 0.4 0.6 0.8 1"),
            (&[0.0, 0.0], true, "0 0.2 0.4 0.6 0.8 1"),
        ];
        for (values, zero, expected) in cases {
            let scale = Scale::numbers(values.iter().copied(), zero, 5);
            assert_eq!(labels(&scale).join(" "), expected, "{values:?}");
        }
        let huge = Scale::numbers([f64::MIN, f64::MAX].into_iter(), true, 5);
        assert!(huge.low.is_finite() && huge.ticks.len() < 41, "{huge:?}");
    }

    #[test]
    fn moments_are_round() {
        let at =
            |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp() as f64;
        let cases = [
            ("2026-01-01 00:00", "2026-01-08 00:00", "1 Jan 2026|3 Jan|5 Jan|7 Jan"),
            ("2025-11-03 00:00", "2026-05-20 00:00", "Jan 2026|Mar|May"),
            ("2026-03-01 22:10", "2026-03-02 03:00", "1 Mar 23:00|2 Mar 00:00|01:00|02:00|03:00"),
            ("2019-06-01 00:00", "2026-01-01 00:00", "2020|2022|2024|2026"),
        ];
        for (low, high, expected) in cases {
            let scale = Scale::moments([at(low), at(high)].into_iter(), 5);
            assert_eq!(labels(&scale).join("|"), expected, "{low}");
        }
        assert!(Scale::moments([-1e18, 1e18].into_iter(), 5).ticks.is_empty());
    }
}
