//! Unsigned integers of the least width: offsets from a base, or places in a dictionary.

use std::ops::Range;

use arrow::buffer::{BooleanBuffer, MutableBuffer, ScalarBuffer};

/// Codes as they are kept, shared between versions.
#[derive(Clone, Debug)]
pub enum Packed {
    /// As many zeros.
    Zero(usize),
    /// Each below 2^8.
    U8(ScalarBuffer<u8>),
    /// Each below 2^16.
    U16(ScalarBuffer<u16>),
    /// Each below 2^32.
    U32(ScalarBuffer<u32>),
    /// All others.
    U64(ScalarBuffer<u64>),
}

/// Codes to be read. What each means is said by the column: see [`crate::Coded`].
#[derive(Clone, Copy, Debug)]
pub enum Codes<'a> {
    /// As many zeros.
    Zero(usize),
    /// Each below 2^8.
    U8(&'a [u8]),
    /// Each below 2^16.
    U16(&'a [u16]),
    /// Each below 2^32.
    U32(&'a [u32]),
    /// All others.
    U64(&'a [u64]),
}

/// Does `$body` with `$values` being a slice of what is packed, or `$zero` with the count of zeros.
macro_rules! with_packed {
    ($packed:expr, $values:ident => $body:expr, $rows:ident => $zero:expr) => {
        match $packed {
            $crate::codes::Packed::Zero($rows) => $zero,
            $crate::codes::Packed::U8($values) => $body,
            $crate::codes::Packed::U16($values) => $body,
            $crate::codes::Packed::U32($values) => $body,
            $crate::codes::Packed::U64($values) => $body,
        }
    };
}
pub(crate) use with_packed;

/// An unsigned integer of one of the widths.
pub(crate) trait Code: Copy + Ord + Send + Sync + 'static {
    /// Its value.
    fn wide(self) -> u64;
    /// The value in this width, the lowest bits where it doesn't fit.
    fn of(value: u64) -> Self;
}

macro_rules! code {
    ($($unsigned:ty),*) => {$(
        impl Code for $unsigned {
            #[inline]
            fn wide(self) -> u64 {
                u64::from(self)
            }
            #[inline]
            fn of(value: u64) -> Self {
                value as Self
            }
        }
    )*};
}
code!(u8, u16, u32, u64);

impl Packed {
    /// Packs codes of which none is above `max`.
    pub(crate) fn pack(codes: impl ExactSizeIterator<Item = u64>, max: u64) -> Self {
        if max == 0 {
            Self::Zero(codes.len())
        } else if max <= u64::from(u8::MAX) {
            Self::U8(codes.map(|code| code as u8).collect::<Vec<_>>().into())
        } else if max <= u64::from(u16::MAX) {
            Self::U16(codes.map(|code| code as u16).collect::<Vec<_>>().into())
        } else if max <= u64::from(u32::MAX) {
            Self::U32(codes.map(|code| code as u32).collect::<Vec<_>>().into())
        } else {
            Self::U64(codes.collect::<Vec<_>>().into())
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        with_packed!(self, values => values.len(), rows => *rows)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code of row `row`, which must be below [`Packed::len`].
    #[must_use]
    pub fn get(&self, row: usize) -> u64 {
        with_packed!(self, values => values[row].wide(), _rows => 0)
    }

    /// To be read as slices.
    #[must_use]
    pub fn codes(&self) -> Codes<'_> {
        match self {
            Self::Zero(rows) => Codes::Zero(*rows),
            Self::U8(values) => Codes::U8(values),
            Self::U16(values) => Codes::U16(values),
            Self::U32(values) => Codes::U32(values),
            Self::U64(values) => Codes::U64(values),
        }
    }

    /// Bytes a code takes.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Zero(_) => 0,
            Self::U8(_) => 1,
            Self::U16(_) => 2,
            Self::U32(_) => 4,
            Self::U64(_) => 8,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        with_packed!(self, values => values.inner().capacity(), _rows => 0)
    }

    /// Each code turned by `turn`, packed again. None that `turn` gives may be above `max`.
    pub(crate) fn map(&self, max: u64, turn: impl Fn(u64) -> u64) -> Self {
        with_packed!(self,
            values => Self::pack(values.iter().map(|code| turn(code.wide())), max),
            rows => Self::pack(std::iter::repeat_n(turn(0), *rows), max))
    }

    /// Gives each code of `rows` to `each`.
    pub(crate) fn for_each(&self, mut each: impl FnMut(u64)) {
        with_packed!(self,
            values => values.iter().for_each(|code| each(code.wide())),
            rows => (0..*rows).for_each(|_| each(0)));
    }

    /// What `value` makes of each code of a range of rows.
    #[inline]
    pub(crate) fn range<V: Copy>(&self, range: Range<usize>, value: impl Fn(u64) -> V) -> Vec<V> {
        with_packed!(self,
            values => values[range].iter().map(|code| value(code.wide())).collect(),
            _rows => vec![value(0); range.len()])
    }

    /// What `value` makes of the code of each of `rows`.
    #[inline]
    pub(crate) fn gather<V: Copy>(&self, rows: &[u32], value: impl Fn(u64) -> V) -> Vec<V> {
        with_packed!(self,
            values => rows.iter().map(|&row| value(values[row as usize].wide())).collect(),
            _rows => vec![value(0); rows.len()])
    }

    /// Which codes are from `low` to `high`, both included.
    pub(crate) fn within(&self, low: u64, high: u64) -> BooleanBuffer {
        fn compare<C: Code>(values: &[C], low: u64, high: u64, max: u64) -> BooleanBuffer {
            if low > max || low > high {
                return BooleanBuffer::new_unset(values.len());
            }
            let (low, high) = (C::of(low), C::of(high.min(max)));
            match (low.wide() == 0, low == high) {
                (_, true) => pack_bits(values, |code| code == low),
                (true, _) => pack_bits(values, |code| code <= high),
                _ => pack_bits(values, |code| (code >= low) & (code <= high)),
            }
        }
        match self {
            Self::Zero(rows) if low == 0 => BooleanBuffer::new_set(*rows),
            Self::Zero(rows) => BooleanBuffer::new_unset(*rows),
            Self::U8(values) => compare(values, low, high, u64::from(u8::MAX)),
            Self::U16(values) => compare(values, low, high, u64::from(u16::MAX)),
            Self::U32(values) => compare(values, low, high, u64::from(u32::MAX)),
            Self::U64(values) => compare(values, low, high, u64::MAX),
        }
    }

    /// Of which codes `wanted` holds.
    pub(crate) fn matching(&self, wanted: impl Fn(u64) -> bool) -> BooleanBuffer {
        with_packed!(self,
        values => pack_bits(values, |code| wanted(code.wide())),
        rows => match wanted(0) {
            true => BooleanBuffer::new_set(*rows),
            false => BooleanBuffer::new_unset(*rows),
        })
    }
}

/// A bit for each value. Answers are written as bytes first, eight at a time become one: compilers make vector code of both
/// loops, which they don't of one that shifts bits together.
pub(crate) fn pack_bits<C: Copy>(values: &[C], wanted: impl Fn(C) -> bool) -> BooleanBuffer {
    let mut bits = MutableBuffer::with_capacity(values.len().div_ceil(8));
    let mut blocks = values.chunks_exact(64);
    for block in &mut blocks {
        let mut answers = [0u8; 64];
        for (answer, &value) in answers.iter_mut().zip(block) {
            *answer = u8::from(wanted(value));
        }
        let mut word = 0u64;
        for (place, eight) in answers.as_chunks::<8>().0.iter().enumerate() {
            // The product's top byte has the lowest bit of each of the eight bytes, the first one's lowest.
            let byte = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            word |= byte << (8 * place);
        }
        bits.push(word.to_le());
    }
    let rest = blocks.remainder();
    if !rest.is_empty() {
        let word =
            rest.iter().enumerate().fold(0u64, |word, (place, &value)| word | (u64::from(wanted(value)) << place));
        bits.extend_from_slice(&word.to_le_bytes()[..rest.len().div_ceil(8)]);
    }
    BooleanBuffer::new(bits.into(), 0, values.len())
}
