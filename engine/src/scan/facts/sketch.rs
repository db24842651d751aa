//! [`Sketch`]: about how many distinct values there are, of one file or of many (HyperLogLog, 1,024 registers: an error of
//! 3 % in the mean).
//!
//! Kept with each file's facts and merged over the files that a table has now, so that a file that comes or goes takes its
//! values along. The bytes lie in catalogs, so neither they nor the hash may change: another sketch is another first byte.

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

/// The first byte of a kept sketch: registers as they are.
const DENSE: u8 = 1;

/// Or the few that aren't zero: two bytes of place, one of value.
const SPARSE: u8 = 2;

const REGISTER_BITS: u32 = 10;
const REGISTER_COUNT: usize = 1 << REGISTER_BITS;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    registers: Box<[u8; REGISTER_COUNT]>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { registers: Box::new([0; REGISTER_COUNT]) }
    }
}

impl Sketch {
    /// Adds the values of `values` that aren't NULL. Values of nested types aren't looked at; returns false for them.
    pub(crate) fn add(&mut self, values: &ArrayRef) -> bool {
        if values.data_type().is_nested() {
            return false;
        }
        if values.data_type().is_integer()
            && let Ok(numbers) = cast(values, &DataType::Int64)
        {
            for number in numbers.as_primitive::<Int64Type>().iter().flatten() {
                self.add_hash(hash(&number.to_le_bytes()));
            }
            return true;
        }
        match cast(values, &DataType::Utf8View) {
            Ok(texts) => {
                for text in texts.as_string_view().iter().flatten() {
                    self.add_hash(hash(text.as_bytes()));
                }
                true
            }
            // Bytes that are no text.
            Err(_) => match cast(values, &DataType::BinaryView) {
                Ok(bytes) => {
                    for bytes in bytes.as_binary_view().iter().flatten() {
                        self.add_hash(hash(bytes));
                    }
                    true
                }
                Err(_) => false,
            },
        }
    }

    fn add_hash(&mut self, hash: u64) {
        let register = (hash >> (64 - REGISTER_BITS)) as usize;
        let rank = ((hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1))).leading_zeros() as u8 + 1;
        self.registers[register] = self.registers[register].max(rank);
    }

    /// Adds what another has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (own, other) in self.registers.iter_mut().zip(other.registers.iter()) {
            *own = (*own).max(*other);
        }
    }

    /// About how many distinct values were added.
    pub(crate) fn count(&self) -> u64 {
        let count = REGISTER_COUNT as f64;
        let sum: f64 = self.registers.iter().map(|rank| (-f64::from(*rank)).exp2()).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let zeros = self.registers.iter().filter(|rank| **rank == 0).count();
        // Few values leave registers empty, and those tell more.
        let estimate =
            if estimate <= 2.5 * count && zeros > 0 { count * (count / zeros as f64).ln() } else { estimate };
        estimate.round() as u64
    }

    /// What is kept.
    pub(crate) fn to_bytes(&self) -> Box<[u8]> {
        let filled: Vec<usize> = (0..REGISTER_COUNT).filter(|place| self.registers[*place] > 0).collect();
        if filled.len() * 3 >= REGISTER_COUNT {
            return std::iter::once(DENSE).chain(self.registers.iter().copied()).collect();
        }
        let mut bytes = vec![SPARSE];
        for place in filled {
            bytes.extend_from_slice(&(place as u16).to_le_bytes());
            bytes.push(self.registers[place]);
        }
        bytes.into()
    }

    /// What [`Self::to_bytes`] wrote; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (form, rest) = bytes.split_first()?;
        let mut sketch = Self::default();
        match *form {
            DENSE => *sketch.registers = rest.try_into().ok()?,
            SPARSE => {
                for chunk in rest.chunks(3) {
                    let [low, high, rank] = *chunk else { return None };
                    *sketch.registers.get_mut(usize::from(u16::from_le_bytes([low, high])))? = rank;
                }
            }
            _ => return None,
        }
        sketch.registers.iter().all(|rank| *rank <= 64).then_some(sketch)
    }
}

/// FNV-1a, its bits then mixed well (the end of MurmurHash3).
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn counts_are_near() {
        for count in [0_i64, 1, 10, 100, 1_000, 10_000, 100_000] {
            let (mut whole, mut half) = (Sketch::default(), Sketch::default());
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).chain(0..count)));
            assert!(whole.add(&numbers));
            assert!(half.add(&(Arc::new(Int64Array::from_iter_values(0..count / 2)) as ArrayRef)));
            let error = (whole.count() as f64 - count as f64).abs() / (count as f64).max(1.0);
            assert!(error < 0.08, "{} for {count}", whole.count());
            half.merge(&whole);
            assert_eq!(half.count(), whole.count(), "a part adds nothing");
            assert_eq!(Sketch::from_bytes(&whole.to_bytes()).unwrap().count(), whole.count());
        }
    }

    /// Sketches lie in catalogs: what made them may not change.
    #[test]
    fn the_hash_stays() {
        let mut sketch = Sketch::default();
        assert!(sketch.add(&(Arc::new(StringArray::from(vec![Some("a"), None, Some("b")])) as ArrayRef)));
        assert_eq!(sketch.to_bytes().len(), 7);
        assert_eq!(hash(b"limnos"), 0x777b_e7dd_e77d_c209);
        assert!(Sketch::from_bytes(&[SPARSE, 0]).is_none() && Sketch::from_bytes(&[DENSE, 0]).is_none());
        assert!(Sketch::from_bytes(&[]).is_none());
    }
}
