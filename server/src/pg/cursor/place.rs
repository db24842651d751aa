//! Where a cursor stands, and the steps that FETCH and MOVE are made of. The rules are PostgreSQL's, to the letter
//! (`PortalRunSelect` and `DoPortalRunFetch` in its pquery.c): what `FETCH ABSOLUTE 3` may do depends on where the cursor is.

use limnos_engine::parse::FetchDirection;

use crate::pg::error::PgError;

/// Where a cursor stands: before the first row, on a row, or behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at_start: bool,
    pub(crate) at_end: bool,
    /// The number of the row it stands on, counted from 1; behind the end, of the last one.
    pub(crate) position: u64,
}

impl Default for Place {
    fn default() -> Self {
        Self { at_start: true, at_end: false, position: 0 }
    }
}

/// What a FETCH does, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// To before the first row.
    Rewind,
    /// Over `count` rows, `None` for all that are left; they are `told` or passed over.
    Run { forward: bool, count: Option<u64>, told: bool },
}

/// The steps of a FETCH or MOVE, and the count that its tag shows where it isn't the last step's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) count: Option<u64>,
}

impl Place {
    /// # Errors
    /// `55000` for a cursor that doesn't go back.
    pub(crate) fn rewind(&mut self, scroll: bool) -> Result<(), PgError> {
        if self.at_start && !self.at_end {
            return Ok(());
        }
        check_scroll(scroll)?;
        *self = Self::default();
        Ok(())
    }

    /// After going forward over `rows` of the `wanted` rows.
    pub(crate) fn moved_forward(&mut self, rows: u64, wanted: Option<u64>) {
        if self.at_end || wanted == Some(0) {
            return;
        }
        self.at_start &= rows == 0;
        self.at_end = wanted.is_none_or(|wanted| rows < wanted);
        self.position += rows;
    }

    /// The number (from 0) of the row that is the next one backward, if there is one.
    pub(crate) fn row_before(&self) -> Option<u64> {
        match (self.at_start, self.at_end) {
            (true, _) => None,
            (false, true) => self.position.checked_sub(1),
            (false, false) => self.position.checked_sub(2),
        }
    }

    /// After going backward over `rows` of the `wanted` rows.
    pub(crate) fn moved_backward(&mut self, rows: u64, wanted: Option<u64>) {
        if self.at_start || wanted == Some(0) {
            return;
        }
        if rows > 0 && self.at_end {
            self.at_end = false;
            self.position += 1;
        }
        if wanted.is_none_or(|wanted| rows < wanted) {
            self.at_start = true;
            self.position = 0;
        } else {
            self.position -= rows;
        }
    }
}

/// # Errors
/// `55000` for a cursor that doesn't go back.
pub(crate) fn check_scroll(scroll: bool) -> Result<(), PgError> {
    if scroll {
        return Ok(());
    }
    Err(PgError::new("55000", "cursor can only scan forward")
        .with_hint("Declare it with SCROLL option to enable backward scan."))
}

/// What `direction` means for a cursor that stands at `place`.
pub(crate) fn plan(direction: FetchDirection, place: Place, is_move: bool) -> Plan {
    let told = !is_move;
    let pass = |forward, count: u64| Step::Run { forward, count: Some(count), told: false };
    let one = |forward| Step::Run { forward, count: Some(1), told };
    let steps = |steps: Vec<Step>| Plan { steps, count: None };
    let (forward, count) = match direction {
        FetchDirection::Forward(count) => signed(true, count),
        FetchDirection::Backward(count) => signed(false, count),
        FetchDirection::Absolute(count) if count > 0 => {
            let before = count.unsigned_abs() - 1;
            // From the start where that is nearer, from here otherwise.
            if before <= place.position / 2 {
                let mut all = vec![Step::Rewind];
                all.extend((before > 0).then_some(pass(true, before)));
                all.push(one(true));
                return steps(all);
            }
            let here = place.position + u64::from(place.at_end);
            let mut all = Vec::new();
            if before < here {
                all.push(pass(false, here - before));
            } else if before > here {
                all.push(pass(true, before - here));
            }
            all.push(one(true));
            return steps(all);
        }
        FetchDirection::Absolute(0) => {
            return steps(vec![Step::Rewind, Step::Run { forward: true, count: Some(0), told }]);
        }
        FetchDirection::Absolute(count) => {
            let mut all = vec![Step::Run { forward: true, count: None, told: false }];
            all.extend((count < -1).then_some(pass(false, count.unsigned_abs() - 1)));
            all.push(one(false));
            return steps(all);
        }
        FetchDirection::Relative(0) => (true, Some(0)),
        FetchDirection::Relative(count) => {
            let (forward, before) = (count > 0, count.unsigned_abs() - 1);
            let mut all = Vec::new();
            all.extend((before > 0).then_some(pass(forward, before)));
            all.push(one(forward));
            return steps(all);
        }
    };
    let on_row = !place.at_start && !place.at_end;
    match count {
        Some(0) if is_move => Plan { steps: Vec::new(), count: Some(u64::from(on_row)) },
        // The row that it stands on once more: back before it, and forward again.
        Some(0) if on_row => steps(vec![pass(false, 1), one(true)]),
        None if is_move && !forward => {
            let rows = place.position - u64::from(place.position > 0 && !place.at_end);
            Plan { steps: vec![Step::Rewind], count: Some(rows) }
        }
        count => steps(vec![Step::Run { forward, count, told }]),
    }
}

/// A negative count goes the other way.
fn signed(forward: bool, count: Option<i64>) -> (bool, Option<u64>) {
    (forward == count.is_none_or(|count| count >= 0), count.map(i64::unsigned_abs))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::FetchDirection::{Absolute, Backward, Forward, Relative};
    use super::*;

    /// The rows (from 1) that a scrolling cursor over `total` rows tells, and its place afterwards.
    fn fetch(direction: FetchDirection, place: &mut Place, total: u64) -> Vec<u64> {
        let mut rows = Vec::new();
        for step in plan(direction, *place, false).steps {
            let Step::Run { forward, count, told } = step else {
                place.rewind(true).unwrap();
                continue;
            };
            let mut done = 0;
            while count.is_none_or(|count| done < count) {
                let row = match forward {
                    true if place.at_end || place.position + done >= total => break,
                    true => place.position + done,
                    false => match place.row_before().and_then(|row| row.checked_sub(done)) {
                        Some(row) => row,
                        None => break,
                    },
                };
                rows.extend(told.then_some(row + 1));
                done += 1;
            }
            if forward { place.moved_forward(done, count) } else { place.moved_backward(done, count) }
        }
        rows
    }

    #[test]
    fn cursors_move_as_postgresqls_do() {
        let mut place = Place::default();
        for (direction, rows) in [
            (Forward(Some(2)), vec![1, 2]),
            (Forward(Some(0)), vec![2]),
            (Relative(0), vec![2]),
            (Backward(Some(1)), vec![1]),
            (Backward(Some(1)), vec![]),
            (Relative(0), vec![]),
            (Forward(None), vec![1, 2, 3, 4, 5]),
            (Relative(0), vec![]),
            (Backward(Some(2)), vec![5, 4]),
            (Relative(1), vec![5]),
            (Relative(-3), vec![2]),
            (Absolute(4), vec![4]),
            (Absolute(9), vec![]),
            (Absolute(-1), vec![5]),
            (Absolute(-5), vec![1]),
            (Absolute(-6), vec![]),
            (Forward(Some(-1)), vec![]),
            (Absolute(3), vec![3]),
            (Backward(Some(-1)), vec![4]),
            (Absolute(0), vec![]),
            (Forward(Some(1)), vec![1]),
            (Backward(None), vec![]),
            (Absolute(-1), vec![5]),
            (Backward(None), vec![4, 3, 2, 1]),
        ] {
            assert_eq!(fetch(direction, &mut place, 5), rows, "{direction:?}");
        }
        let mut empty = Place::default();
        for direction in [Forward(None), Backward(None), Absolute(1), Absolute(-1), Relative(2), Forward(Some(1))] {
            assert!(fetch(direction, &mut empty, 0).is_empty(), "{direction:?}");
        }
    }

    #[test]
    fn a_cursor_that_only_goes_forward_says_so() {
        let mut place = Place::default();
        place.rewind(false).unwrap();
        place.moved_forward(1, Some(1));
        let error = place.rewind(false).unwrap_err();
        assert_eq!((error.sqlstate, error.message.as_str()), ("55000", "cursor can only scan forward"));
    }

    proptest! {
        #[test]
        fn no_walk_leaves_the_rows(total in 0_u64..6, walk in proptest::collection::vec((0_u8..4, -7_i64..8), 0..40)) {
            let mut place = Place::default();
            for (kind, count) in walk {
                let all = (count != 7).then_some(count);
                let direction = match kind {
                    0 => Forward(all),
                    1 => Backward(all),
                    2 => Absolute(count),
                    _ => Relative(count),
                };
                let rows = fetch(direction, &mut place, total);
                prop_assert!(rows.iter().all(|row| (1..=total).contains(row)), "{direction:?} {rows:?}");
                prop_assert!(place.position <= total);
            }
        }
    }
}
