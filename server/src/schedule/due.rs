//! Which times of a schedule are claimed now, by its policy for times that passed while no server looked.

use chrono::{DateTime, TimeDelta, Utc};
use limnos_catalog::schedule::CatchUp;
use limnos_engine::occurrence::Occurrences;

/// A time that is found no later than this is on time: a busy machine looks a little late, and so does one that has just started.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// The most missed times of one schedule that run after each other; of more, the latest.
pub(super) const CATCH_UP_MAX: usize = 100;

/// A time to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DueTime {
    pub(super) at: DateTime<Utc>,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It runs now, or what the policy for overlaps makes of it.
    OnTime,
    /// It runs, and stands for those that were missed before it.
    ForMissed,
    /// It was missed, and runs in any case.
    CaughtUp,
    /// It was missed with all before it, and is passed over.
    Passed,
}

/// The times after `after` up to `now` that are to be claimed, in order. The last of them settles all.
pub(super) fn due_times(
    occurrences: &Occurrences,
    catch_up: CatchUp,
    after: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<DueTime> {
    let max = if catch_up == CatchUp::All { CATCH_UP_MAX } else { 2 };
    let times = occurrences.between(after, now, max);
    let Some((&last, earlier)) = times.split_last() else { return Vec::new() };
    let is_on_time = now - last <= ON_TIME;
    let due = |at: DateTime<Utc>, what: What| DueTime { at, what };
    match (catch_up, is_on_time) {
        (CatchUp::None, false) => vec![due(last, What::Passed)],
        (CatchUp::None, true) => {
            let passed = earlier.last().map(|at| due(*at, What::Passed));
            passed.into_iter().chain([due(last, What::OnTime)]).collect()
        }
        (CatchUp::Last, true) if earlier.is_empty() => vec![due(last, What::OnTime)],
        (CatchUp::Last, _) => vec![due(last, What::ForMissed)],
        (CatchUp::All, _) => {
            let caught_up = earlier.iter().map(|at| due(*at, What::CaughtUp));
            let what = if is_on_time && earlier.is_empty() { What::OnTime } else { What::CaughtUp };
            caught_up.chain([due(last, what)]).collect()
        }
    }
}
