//! `count(DISTINCT x)` of a column with few values: a bit for each group and value.

use arrow::buffer::NullBuffer;

/// Which values each group has.
#[derive(Debug, Clone)]
pub struct Distinct {
    words_each: usize,
    bits: Vec<u64>,
}

impl Distinct {
    /// Of no group yet, for a column with codes below `values`.
    pub fn new(values: usize) -> Self {
        Self { words_each: values.div_ceil(64).max(1), bits: Vec::new() }
    }

    /// Bytes that so many groups of so many values take.
    pub fn bytes(groups: usize, values: usize) -> usize {
        groups.saturating_mul(values.div_ceil(64).max(1)).saturating_mul(size_of::<u64>())
    }

    /// Makes room for so many places.
    pub fn grow(&mut self, places: usize) {
        self.bits.resize(places * self.words_each, 0);
    }

    /// Marks the codes of rows that are not NULL.
    pub fn update(&mut self, ids: &[u32], codes: &[u32], validity: Option<&NullBuffer>) {
        assert_eq!(ids.len(), codes.len(), "a code for each row");
        for (row, (id, code)) in ids.iter().zip(codes).enumerate() {
            let word = *id as usize * self.words_each + *code as usize / 64;
            let valid = validity.is_none_or(|validity| validity.is_valid(row));
            self.bits[word] |= u64::from(valid) << (code % 64);
        }
    }

    /// Adds another thread's marks, whose places are these of ours.
    pub fn merge(&mut self, other: &Distinct, places: &[u32]) {
        for (words, id) in other.bits.chunks_exact(self.words_each).zip(places) {
            let ours = &mut self.bits[*id as usize * self.words_each..][..self.words_each];
            for (ours, word) in ours.iter_mut().zip(words) {
                *ours |= word;
            }
        }
    }

    /// How many values a place's group has.
    pub fn get(&self, place: usize) -> u64 {
        let words = &self.bits[place * self.words_each..][..self.words_each];
        words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Bytes that are held.
    pub fn size(&self) -> usize {
        self.bits.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_once_in_each_group_and_null_never() {
        let (mut one, mut two) = (Distinct::new(130), Distinct::new(130));
        one.grow(2);
        two.grow(1);
        let validity = NullBuffer::from(vec![true, true, true, false]);
        one.update(&[0, 0, 1, 1], &[129, 129, 64, 3], Some(&validity));
        two.update(&[0, 0, 0], &[64, 0, 65], None);
        one.merge(&two, &[1]);
        assert_eq!((one.get(0), one.get(1)), (1, 3));
        assert_eq!(Distinct::bytes(2, 130), 48);
    }
}
