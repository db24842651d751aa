//! The groups that one thread has seen, and how many rows each has.

/// Up to so many groups have their place in every array, seen or not: 64 Ki places of 16 bytes are a mebibyte, and no row pays
/// for a look-up. Beyond it only groups that occur get a place.
const DIRECT_MAX: usize = 1 << 16;

/// A place that no group has yet.
const NONE: u32 = u32::MAX;

/// Adjacent rows of one group would wait for each other's sum to be stored; with a sum for every fourth row they don't.
pub(super) const LANES: usize = 4;

/// The groups of a [`KeySpace`](super::KeySpace) that have rows.
#[derive(Debug, Clone)]
pub struct Groups {
    /// Where each number of the space has its place; `None` where it is its own place.
    places: Option<Vec<u32>>,
    /// Which number has each place, where `places` is.
    members: Vec<u32>,
    /// Rows of each place, in lanes.
    rows: Vec<u64>,
}

impl Groups {
    /// No group of a space of so many.
    pub fn new(space: usize) -> Self {
        Self::with_direct_max(space, DIRECT_MAX)
    }

    fn with_direct_max(space: usize, direct_max: usize) -> Self {
        match space <= direct_max {
            true => Self { places: None, members: Vec::new(), rows: vec![0; space * LANES] },
            false => Self { places: Some(vec![NONE; space]), members: Vec::new(), rows: Vec::new() },
        }
    }

    /// Counts rows whose groups are `ids`, and makes their places of them.
    pub fn add(&mut self, ids: &mut [u32]) {
        if let Some(places) = &mut self.places {
            for id in ids.iter_mut() {
                let place = &mut places[*id as usize];
                if *place == NONE {
                    *place = self.members.len() as u32;
                    self.members.push(*id);
                }
                *id = *place;
            }
            self.rows.resize(self.members.len() * LANES, 0);
        }
        if let [_, _, _, _] = self.rows[..] {
            // One group: nothing to look at.
            self.rows[0] += ids.len() as u64;
            return;
        }
        for (row, id) in ids.iter().enumerate() {
            self.rows[*id as usize * LANES + row % LANES] += 1;
        }
    }

    /// How many places there are: accumulators have so many.
    pub fn places(&self) -> usize {
        self.rows.len() / LANES
    }

    /// The number of the group that has a place.
    pub fn number(&self, place: usize) -> u32 {
        match self.places {
            Some(_) => self.members[place],
            None => place as u32,
        }
    }

    /// How many rows a place's group has; 0 where it did not occur.
    pub fn rows(&self, place: usize) -> u64 {
        self.rows[place * LANES..(place + 1) * LANES].iter().sum()
    }

    /// The places whose groups have rows.
    pub fn seen(&self) -> Vec<u32> {
        (0..self.places()).filter(|place| self.rows(*place) > 0).map(|place| place as u32).collect()
    }

    /// Takes over another thread's groups, and says which of ours each of its places is.
    pub fn merge(&mut self, other: &Groups) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..other.places()).map(|place| other.number(place)).collect();
        if let Some(places) = &mut self.places {
            for id in &mut ids {
                let place = &mut places[*id as usize];
                if *place == NONE {
                    *place = self.members.len() as u32;
                    self.members.push(*id);
                }
                *id = *place;
            }
            self.rows.resize(self.members.len() * LANES, 0);
        }
        for (place, id) in ids.iter().enumerate() {
            self.rows[*id as usize * LANES] += other.rows(place);
        }
        ids
    }

    /// Bytes that are held.
    pub fn size(&self) -> usize {
        let places = self.places.as_ref().map_or(0, Vec::capacity);
        (places + self.members.capacity()) * size_of::<u32>() + self.rows.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(direct_max: usize) {
        let mut one = Groups::with_direct_max(10, direct_max);
        let mut two = Groups::with_direct_max(10, direct_max);
        one.add(&mut [3, 3, 7, 3, 3, 3]);
        two.add(&mut [9, 7]);
        let mapping = two.seen().iter().map(|place| two.number(*place as usize)).collect::<Vec<_>>();
        assert_eq!(mapping.len(), 2);
        let ids = one.merge(&two);
        assert_eq!(ids.len(), two.places());
        let mut found: Vec<_> =
            one.seen().iter().map(|place| (one.number(*place as usize), one.rows(*place as usize))).collect();
        found.sort_unstable();
        assert_eq!(found, [(3, 5), (7, 2), (9, 1)]);
        for (place, id) in ids.iter().enumerate().filter(|(place, _)| two.rows(*place) > 0) {
            assert_eq!(one.number(*id as usize), two.number(place));
        }
    }

    #[test]
    fn groups_are_the_same_with_a_place_for_all_and_for_those_that_occur() {
        check(10);
        check(9);
    }

    #[test]
    fn one_group_counts_rows() {
        let mut groups = Groups::new(1);
        groups.add(&mut [0; 1000]);
        groups.add(&mut []);
        assert_eq!((groups.places(), groups.rows(0), groups.seen()), (1, 1000, vec![0]));
        assert!(Groups::new(1).seen().is_empty());
    }
}
