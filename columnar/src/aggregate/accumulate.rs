//! Arrays over groups: counts, sums, least and greatest values.
//!
//! All take the groups' places ([`Groups::add`](super::Groups::add)) of a block of rows and a value for each; `grow` comes first
//! where there are new places.

use arrow::buffer::NullBuffer;

use super::group::LANES;

/// How many values of each group are not NULL.
#[derive(Debug, Clone, Default)]
pub struct Count {
    lanes: Vec<u64>,
}

impl Count {
    /// Makes room for so many places.
    pub fn grow(&mut self, places: usize) {
        self.lanes.resize(places * LANES, 0);
    }

    /// Counts the values that are not NULL.
    pub fn update(&mut self, ids: &[u32], validity: Option<&NullBuffer>) {
        match validity {
            None => {
                for (row, id) in ids.iter().enumerate() {
                    self.lanes[*id as usize * LANES + row % LANES] += 1;
                }
            }
            Some(validity) => {
                for (row, id) in ids.iter().enumerate() {
                    self.lanes[*id as usize * LANES + row % LANES] += u64::from(validity.is_valid(row));
                }
            }
        }
    }

    /// Adds another thread's counts, whose places are these of ours.
    pub fn merge(&mut self, other: &Count, places: &[u32]) {
        for (place, id) in places.iter().enumerate() {
            self.lanes[*id as usize * LANES] += other.get(place);
        }
    }

    /// The count of a place.
    pub fn get(&self, place: usize) -> u64 {
        self.lanes[place * LANES..(place + 1) * LANES].iter().sum()
    }

    /// Bytes that are held.
    pub fn size(&self) -> usize {
        self.lanes.capacity() * size_of::<u64>()
    }
}

/// Sums of integers, and of decimals by their digits: exact, for values of 64 bits.
///
/// Sums are of 64 bits for as long as the bound of what was added says that none can have left them, and then are moved to
/// 128 bits. 2^64 rows of any value fit those.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    narrow: Vec<i64>,
    wide: Vec<i128>,
    /// No sum in `narrow` is farther from zero.
    reached: u64,
}

impl Sum {
    /// Makes room for so many places.
    pub fn grow(&mut self, places: usize) {
        self.narrow.resize(places * LANES, 0);
        self.wide.resize(places, 0);
    }

    /// Adds values, none of which is farther from zero than `bound`; those that are NULL are left out.
    pub fn update(&mut self, ids: &[u32], values: &[i64], validity: Option<&NullBuffer>, bound: u64) {
        assert_eq!(ids.len(), values.len(), "a value for each row");
        let most = u128::from(bound) * values.len() as u128;
        if most > i64::MAX as u128 {
            self.update_wide(ids, values, validity);
            return;
        }
        let most = most as u64;
        if self.reached > i64::MAX as u64 - most {
            self.widen();
        }
        self.reached += most;
        match validity {
            Some(validity) => {
                for (row, (id, value)) in ids.iter().zip(values).enumerate() {
                    if validity.is_valid(row) {
                        self.narrow[*id as usize * LANES] += value;
                    }
                }
            }
            None if self.wide.len() == 1 => self.narrow[0] += values.iter().sum::<i64>(),
            None => {
                for (row, (id, value)) in ids.iter().zip(values).enumerate() {
                    self.narrow[*id as usize * LANES + row % LANES] += value;
                }
            }
        }
    }

    fn update_wide(&mut self, ids: &[u32], values: &[i64], validity: Option<&NullBuffer>) {
        for (row, (id, value)) in ids.iter().zip(values).enumerate() {
            if validity.is_none_or(|validity| validity.is_valid(row)) {
                self.wide[*id as usize] += i128::from(*value);
            }
        }
    }

    fn widen(&mut self) {
        for (wide, narrow) in self.wide.iter_mut().zip(self.narrow.chunks_exact_mut(LANES)) {
            *wide += narrow.iter().map(|sum| i128::from(*sum)).sum::<i128>();
            narrow.fill(0);
        }
        self.reached = 0;
    }

    /// Adds another thread's sums, whose places are these of ours.
    pub fn merge(&mut self, other: &Sum, places: &[u32]) {
        for (place, id) in places.iter().enumerate() {
            self.wide[*id as usize] += other.get(place);
        }
    }

    /// The sum of a place; 0 where nothing was added.
    pub fn get(&self, place: usize) -> i128 {
        let narrow = &self.narrow[place * LANES..(place + 1) * LANES];
        self.wide[place] + narrow.iter().map(|sum| i128::from(*sum)).sum::<i128>()
    }

    /// Bytes that are held.
    pub fn size(&self) -> usize {
        self.narrow.capacity() * size_of::<i64>() + self.wide.capacity() * size_of::<i128>()
    }
}

/// Which value of a group is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// The least or greatest value of each group: integers, dates, digits of decimals, and codes of a sorted dictionary, whose
/// order is that of their values.
#[derive(Debug, Clone)]
pub struct Extreme {
    order: Order,
    values: Vec<i64>,
}

impl Extreme {
    /// Of no group yet.
    pub fn new(order: Order) -> Self {
        Self { order, values: Vec::new() }
    }

    /// Makes room for so many places.
    pub fn grow(&mut self, places: usize) {
        let worst = match self.order {
            Order::Min => i64::MAX,
            Order::Max => i64::MIN,
        };
        self.values.resize(places, worst);
    }

    /// Takes the better of what is there and values that are not NULL.
    pub fn update(&mut self, ids: &[u32], values: &[i64], validity: Option<&NullBuffer>) {
        assert_eq!(ids.len(), values.len(), "a value for each row");
        match self.order {
            Order::Min => better(&mut self.values, ids, values, validity, i64::min),
            Order::Max => better(&mut self.values, ids, values, validity, i64::max),
        }
    }

    /// Takes the better of ours and another thread's, whose places are these of ours.
    pub fn merge(&mut self, other: &Extreme, places: &[u32]) {
        match self.order {
            Order::Min => better(&mut self.values, places, &other.values, None, i64::min),
            Order::Max => better(&mut self.values, places, &other.values, None, i64::max),
        }
    }

    /// The value of a place, which means something only where one was given: count those that are not NULL.
    pub fn get(&self, place: usize) -> i64 {
        self.values[place]
    }

    /// Bytes that are held.
    pub fn size(&self) -> usize {
        self.values.capacity() * size_of::<i64>()
    }
}

fn better(
    best: &mut [i64],
    ids: &[u32],
    values: &[i64],
    validity: Option<&NullBuffer>,
    choose: impl Fn(i64, i64) -> i64,
) {
    match (validity, best) {
        (None, [one]) => *one = values.iter().fold(*one, |best, value| choose(best, *value)),
        (None, best) => {
            for (id, value) in ids.iter().zip(values) {
                let best = &mut best[*id as usize];
                *best = choose(*best, *value);
            }
        }
        (Some(validity), best) => {
            for (row, (id, value)) in ids.iter().zip(values).enumerate() {
                if validity.is_valid(row) {
                    let best = &mut best[*id as usize];
                    *best = choose(*best, *value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_leave_64_bits_when_they_must_and_are_exact() {
        let mut sum = Sum::default();
        sum.grow(2);
        let ids = [0, 1, 0, 0, 0];
        let values = [i64::MAX, i64::MIN, i64::MAX, 1, 2];
        sum.update(&ids, &values, None, i64::MIN.unsigned_abs());
        // Just inside 64 bits, again and again: the bound makes it move on.
        for _ in 0..10 {
            sum.update(&[0], &[i64::MAX], None, i64::MAX as u64);
            sum.update(&[1], &[-7], None, 7);
        }
        let mut other = Sum::default();
        other.grow(1);
        other.update(&[0], &[5], None, 5);
        sum.merge(&other, &[1]);
        assert_eq!(sum.get(0), 12 * i128::from(i64::MAX) + 3);
        assert_eq!(sum.get(1), i128::from(i64::MIN) - 70 + 5);
    }

    #[test]
    fn null_takes_part_in_nothing() {
        let ids = [0, 1, 1, 0, 2];
        let validity = NullBuffer::from(vec![true, false, true, true, false]);
        let (mut count, mut sum) = (Count::default(), Sum::default());
        let (mut min, mut max) = (Extreme::new(Order::Min), Extreme::new(Order::Max));
        count.grow(3);
        sum.grow(3);
        min.grow(3);
        max.grow(3);
        let values = [4, 900, -3, 6, -900];
        count.update(&ids, Some(&validity));
        sum.update(&ids, &values, Some(&validity), 900);
        min.update(&ids, &values, Some(&validity));
        max.update(&ids, &values, Some(&validity));
        let all = |place| (count.get(place), sum.get(place));
        assert_eq!([all(0), all(1), all(2)], [(2, 10), (1, -3), (0, 0)]);
        assert_eq!((min.get(0), min.get(1), max.get(0), max.get(1)), (4, -3, 6, -3));
    }

    #[test]
    fn what_threads_found_is_merged_by_group() {
        let (mut one, mut two) = (Extreme::new(Order::Max), Extreme::new(Order::Max));
        one.grow(2);
        two.grow(2);
        one.update(&[0, 1], &[5, -9], None);
        two.update(&[0, 1], &[7, 4], None);
        one.merge(&two, &[1, 0]);
        assert_eq!((one.get(0), one.get(1)), (5, 7));

        let (mut one, mut two) = (Count::default(), Count::default());
        one.grow(1);
        two.grow(1);
        one.update(&[0; 9], None);
        two.update(&[0; 3], None);
        one.merge(&two, &[0]);
        assert_eq!(one.get(0), 12);
    }
}
