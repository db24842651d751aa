//! Codes of one or several keys -> one number per row: the place of its group.

use std::ops::Range;

use arrow::buffer::NullBuffer;

use crate::codes::Codes;

/// Which rows of a chunk are meant.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// All of a range.
    Range(Range<usize>),
    /// These, in ascending order.
    Picked(&'a [u32]),
}

impl Rows<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(range) => range.len(),
            Rows::Picked(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integers that are `base` plus the code of each row, in `values`, whose former contents are lost. Those that are NULL come to
    /// anything.
    pub fn integers(&self, codes: Codes<'_>, base: i64, values: &mut Vec<i64>) {
        values.clear();
        match codes {
            Codes::Zero(_) => values.resize(self.len(), base),
            Codes::U8(codes) => self.extend(values, codes, |code| base.wrapping_add(code.into())),
            Codes::U16(codes) => self.extend(values, codes, |code| base.wrapping_add(code.into())),
            Codes::U32(codes) => self.extend(values, codes, |code| base.wrapping_add(code.into())),
            // Modulo 2^64: from the least integer to the greatest is more than a signed offset can be.
            Codes::U64(codes) => self.extend(values, codes, |code| base.wrapping_add(code as i64)),
        }
    }

    fn extend<C: Copy>(&self, values: &mut Vec<i64>, codes: &[C], value: impl Fn(C) -> i64) {
        match self {
            Rows::Range(range) => values.extend(codes[range.clone()].iter().map(|code| value(*code))),
            Rows::Picked(rows) => values.extend(rows.iter().map(|row| value(codes[*row as usize]))),
        }
    }
}

/// One key in one chunk: what its codes are, and what each stands for among the values of the key.
///
/// The digit of a row is `map[code]` where there is a map (the key is an expression of the column, evaluated once for each of the
/// column's values), else `code + shift` (a chunk's frame of reference is not the table's).
#[derive(Debug, Clone, Copy)]
pub struct KeyColumn<'a> {
    /// A code for each row of the chunk.
    pub codes: Codes<'a>,
    /// What is added to a code before it is looked up or taken as a digit.
    pub shift: u32,
    /// What a column's value becomes.
    pub map: Option<&'a [u32]>,
    /// Which rows are not NULL; `None` where all are not.
    pub validity: Option<&'a NullBuffer>,
    /// NULL's digit.
    pub null_digit: u32,
}

/// How many values each key has, NULL among them where it may be: the base of each digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpace {
    bases: Vec<u32>,
    groups: usize,
}

impl KeySpace {
    /// The space of keys with so many values each; `None` where there are more groups than `limit`, or a key has no value.
    pub fn new(bases: Vec<u32>, limit: usize) -> Option<Self> {
        let mut groups = 1_usize;
        for base in &bases {
            groups = groups.checked_mul(*base as usize).filter(|groups| (1..=limit).contains(groups))?;
        }
        u32::try_from(groups).ok()?;
        Some(Self { bases, groups })
    }

    /// How many groups there can be.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The digit of a key in a group's number.
    pub fn digit(&self, key: usize, group: u32) -> u32 {
        let below: u32 = self.bases[key + 1..].iter().product();
        group / below % self.bases[key]
    }

    /// The group of each of `rows`, in `ids`, whose former contents are lost.
    ///
    /// # Panics
    /// Where there are fewer or more keys than bases, or a code is none of its key's.
    pub fn groups_of(&self, keys: &[KeyColumn<'_>], rows: &Rows<'_>, ids: &mut Vec<u32>) {
        assert_eq!(keys.len(), self.bases.len(), "a base for each key");
        ids.clear();
        ids.resize(rows.len(), 0);
        for (key, base) in keys.iter().zip(&self.bases) {
            match key.codes {
                Codes::Zero(_) => append_same(key, *base, rows, ids),
                Codes::U8(codes) => append(key, *base, codes, rows, ids),
                Codes::U16(codes) => append(key, *base, codes, rows, ids),
                Codes::U32(codes) => append(key, *base, codes, rows, ids),
                // A space of 2^32 groups and more is none.
                Codes::U64(_) => unreachable!("codes of keys are below the most groups there can be"),
            }
        }
    }
}

/// Appends a digit to each id.
fn append<C: Copy + Into<u32>>(key: &KeyColumn<'_>, base: u32, codes: &[C], rows: &Rows<'_>, ids: &mut [u32]) {
    let shift = key.shift;
    match (key.map, key.validity) {
        (None, None) => each(codes, rows, ids, |id, code, _| *id = *id * base + code + shift),
        (Some(map), None) => each(codes, rows, ids, |id, code, _| *id = *id * base + map[(code + shift) as usize]),
        (map, Some(validity)) => each(codes, rows, ids, |id, code, row| {
            let digit = match map {
                _ if validity.is_null(row) => key.null_digit,
                Some(map) => map[(code + shift) as usize],
                None => code + shift,
            };
            *id = *id * base + digit;
        }),
    }
}

/// Appends the digit of code 0 to each id.
fn append_same(key: &KeyColumn<'_>, base: u32, rows: &Rows<'_>, ids: &mut [u32]) {
    // Where all rows are NULL there may be nothing to look up.
    let same = key.map.map_or(key.shift, |map| map.get(key.shift as usize).copied().unwrap_or(0));
    let append = |id: &mut u32, row: usize| {
        let is_null = key.validity.is_some_and(|validity| validity.is_null(row));
        *id = *id * base + if is_null { key.null_digit } else { same };
    };
    match rows {
        Rows::Range(range) => ids.iter_mut().zip(range.clone()).for_each(|(id, row)| append(id, row)),
        Rows::Picked(rows) => ids.iter_mut().zip(*rows).for_each(|(id, row)| append(id, *row as usize)),
    }
}

/// One loop for each of the forms, so that the compiler sees each without a branch in it.
fn each<C: Copy + Into<u32>>(codes: &[C], rows: &Rows<'_>, ids: &mut [u32], act: impl Fn(&mut u32, u32, usize)) {
    match rows {
        Rows::Range(range) => {
            let codes = &codes[range.clone()];
            for (at, (id, code)) in ids.iter_mut().zip(codes).enumerate() {
                act(id, (*code).into(), range.start + at);
            }
        }
        Rows::Picked(rows) => {
            for (id, row) in ids.iter_mut().zip(*rows) {
                act(id, codes[*row as usize].into(), *row as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(codes: Codes<'_>) -> KeyColumn<'_> {
        KeyColumn { codes, shift: 0, map: None, validity: None, null_digit: 0 }
    }

    #[test]
    fn codes_are_digits_of_a_number_that_is_taken_apart_again() {
        let space = KeySpace::new(vec![3, 5, 2], 100).expect("30 groups");
        assert_eq!(space.groups(), 30);
        let (first, second, third) = ([0_u8, 2, 1, 2], [4_u16, 0, 3, 4], [1_u32, 0, 1, 1]);
        let keys = [plain(Codes::U8(&first)), plain(Codes::U16(&second)), plain(Codes::U32(&third))];
        let mut ids = vec![7; 9];
        space.groups_of(&keys, &Rows::Range(0..4), &mut ids);
        assert_eq!(ids, [9, 20, 17, 29]);
        for (row, id) in ids.iter().enumerate() {
            assert_eq!(space.digit(0, *id), u32::from(first[row]));
            assert_eq!(space.digit(1, *id), u32::from(second[row]));
            assert_eq!(space.digit(2, *id), third[row]);
        }
        space.groups_of(&keys, &Rows::Picked(&[1, 3]), &mut ids);
        assert_eq!(ids, [20, 29]);
        space.groups_of(&keys, &Rows::Range(2..3), &mut ids);
        assert_eq!(ids, [17]);
    }

    #[test]
    fn null_is_a_value_of_its_own_and_maps_are_followed() {
        let space = KeySpace::new(vec![3], 100).expect("3 groups");
        let codes = [0_u8, 1, 2, 0];
        let validity = NullBuffer::from(vec![true, true, true, false]);
        let key = KeyColumn {
            codes: Codes::U8(&codes),
            shift: 1,
            map: Some(&[9, 0, 1, 0]),
            validity: Some(&validity),
            null_digit: 2,
        };
        let mut ids = Vec::new();
        space.groups_of(&[key], &Rows::Range(0..4), &mut ids);
        assert_eq!(ids, [0, 1, 0, 2]);
        space.groups_of(&[key], &Rows::Picked(&[2, 3]), &mut ids);
        assert_eq!(ids, [0, 2]);
        let zeros = KeyColumn { codes: Codes::Zero(4), ..key };
        space.groups_of(&[zeros], &Rows::Range(1..4), &mut ids);
        assert_eq!(ids, [0, 0, 2]);
        space.groups_of(&[zeros], &Rows::Picked(&[0, 3]), &mut ids);
        assert_eq!(ids, [0, 2]);
    }

    #[test]
    fn integers_are_offsets_from_a_base() {
        let rows = Rows::Picked(&[0, 2]);
        let (mut values, bytes, words) = (vec![1; 9], [0_u8, 9, 255], [0, 9, u64::MAX]);
        rows.integers(Codes::U8(&bytes), -5, &mut values);
        assert_eq!(values, [-5, 250]);
        rows.integers(Codes::U64(&words), i64::MIN, &mut values);
        assert_eq!(values, [i64::MIN, i64::MAX]);
        Rows::Range(1..3).integers(Codes::Zero(3), 7, &mut values);
        assert_eq!(values, [7, 7]);
    }

    #[test]
    fn without_keys_there_is_one_group_and_too_many_are_refused() {
        let space = KeySpace::new(Vec::new(), 1).expect("one group");
        let mut ids = Vec::new();
        space.groups_of(&[], &Rows::Range(5..8), &mut ids);
        assert_eq!(ids, [0, 0, 0]);
        assert_eq!(KeySpace::new(vec![1000, 1001], 1_000_000), None);
        assert_eq!(KeySpace::new(vec![u32::MAX, u32::MAX, u32::MAX, u32::MAX], usize::MAX), None);
        assert_eq!(KeySpace::new(vec![3, 0], 100), None);
    }
}
