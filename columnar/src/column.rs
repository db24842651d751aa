//! One column of one chunk: how it is encoded, and how rows of it are read.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array, make_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;

use crate::codes::{Codes, Packed};
use crate::dictionary::Dictionary;
use crate::native::{Integer, Native, fixed_bytes, integers, retype, with_native};
use crate::zone::{Bound, Zone};
use crate::{Error, Result};

/// How the values lie in memory.
#[derive(Clone, Debug)]
pub(crate) enum Encoding {
    /// Integers, or what is one underneath: each is `base` plus its offset.
    Integers { data_type: DataType, base: i128, offsets: Packed },
    /// Codes of the table's dictionary.
    Dictionary { dictionary: Arc<Dictionary>, codes: Packed },
    /// As it came. Its NULLs are in the array.
    Array(ArrayRef),
}

/// One column of one chunk. A clone shares its memory.
#[derive(Clone, Debug)]
pub struct Column {
    pub(crate) encoding: Encoding,
    /// `None`: no NULLs. Of arrays: always `None`, they have their own.
    pub(crate) nulls: Option<NullBuffer>,
    pub(crate) zone: Zone,
    pub(crate) plain_bytes: u64,
}

/// A column whose values are codes: row `r` is `base + codes[r]`. That is the integer under the type, or the place in the
/// dictionary. Codes of NULL rows mean nothing, but are codes: a dictionary has a value there, a base plus it does not overflow.
#[derive(Clone, Copy, Debug)]
pub struct Coded<'a> {
    /// What is added to each code. Of a dictionary: 0.
    pub base: i128,
    /// The codes.
    pub codes: Codes<'a>,
    /// Which rows are NULL. `None`: none is.
    pub nulls: Option<&'a NullBuffer>,
    /// What the codes are places in. `None`: they are integers.
    pub dictionary: Option<&'a Arc<Dictionary>>,
}

impl Column {
    /// Encodes integers and arrays. Text that is to have a dictionary isn't encoded here.
    pub(crate) fn encode(array: &ArrayRef) -> Result<Self> {
        let plain_bytes = plain_bytes(array);
        if let Some(native) = Native::of(array.data_type()) {
            let plain = retype(array, &native.plain())?;
            let encoded = with_native!(native, T => {
                let values = plain.as_any().downcast_ref::<PrimitiveArray<T>>().ok_or(Error::Misuse("not the integers of its type"))?;
                encode_integers::<T>(values, array.data_type())
            });
            if let Some((encoding, zone)) = encoded {
                let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).map(compact_nulls);
                return Ok(Self { encoding, nulls, zone, plain_bytes });
            }
            let array = compact(array)?;
            let mut zone = Zone::unknown(array.len(), array.null_count());
            let bounds = wide_bounds(&array);
            zone.min = bounds.map(|(min, _)| Bound::Integer(min));
            zone.max = bounds.map(|(_, max)| Bound::Integer(max));
            zone.sum = wide_sum(&array);
            return Ok(Self { encoding: Encoding::Array(array), nulls: None, zone, plain_bytes });
        }
        let array = compact(array)?;
        let zone = Zone::of_array(&array);
        Ok(Self { encoding: Encoding::Array(array), nulls: None, zone, plain_bytes })
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.encoding {
            Encoding::Integers { offsets: packed, .. } | Encoding::Dictionary { codes: packed, .. } => packed.len(),
            Encoding::Array(array) => array.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of its values.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The type that it is read as.
    #[must_use]
    pub fn data_type(&self) -> &DataType {
        match &self.encoding {
            Encoding::Integers { data_type, .. } => data_type,
            Encoding::Dictionary { dictionary, .. } => dictionary.values().data_type(),
            Encoding::Array(array) => array.data_type(),
        }
    }

    /// Its codes. `None`: it has none, and is an array ([`Column::array`]).
    #[must_use]
    pub fn coded(&self) -> Option<Coded<'_>> {
        let nulls = self.nulls.as_ref();
        match &self.encoding {
            Encoding::Integers { base, offsets, .. } => {
                Some(Coded { base: *base, codes: offsets.codes(), nulls, dictionary: None })
            }
            Encoding::Dictionary { dictionary, codes } => {
                Some(Coded { base: 0, codes: codes.codes(), nulls, dictionary: Some(dictionary) })
            }
            Encoding::Array(_) => None,
        }
    }

    /// Its Arrow array, if it is kept as one (floats, Booleans, long decimals, nested types, text of many values).
    #[must_use]
    pub fn array(&self) -> Option<&ArrayRef> {
        match &self.encoding {
            Encoding::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Which rows are NULL. `None`: none is.
    #[must_use]
    pub fn nulls(&self) -> Option<NullBuffer> {
        match &self.encoding {
            Encoding::Array(array) => array.logical_nulls().filter(|nulls| nulls.null_count() > 0),
            _ => self.nulls.clone(),
        }
    }

    /// How it is encoded, in a word or two.
    #[must_use]
    pub fn encoding_name(&self) -> &'static str {
        const INTEGERS: [&str; 9] = ["constant", "u8", "u16", "", "u32", "", "", "", "u64"];
        const DICTIONARY: [&str; 9] =
            ["dictionary", "dictionary u8", "dictionary u16", "", "dictionary u32", "", "", "", "dictionary u64"];
        match &self.encoding {
            Encoding::Integers { offsets, .. } => INTEGERS[offsets.width()],
            Encoding::Dictionary { codes, .. } => DICTIONARY[codes.width()],
            Encoding::Array(_) => "plain",
        }
    }

    /// Heap bytes, without the dictionary's.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let values = match &self.encoding {
            Encoding::Integers { offsets: packed, .. } | Encoding::Dictionary { codes: packed, .. } => {
                packed.memory_bytes()
            }
            Encoding::Array(array) => array.get_buffer_memory_size(),
        };
        values + self.nulls.as_ref().map_or(0, |nulls| nulls.buffer().capacity())
    }

    /// Rows of a range, which must be within the column. Arrays are not copied.
    pub fn range(&self, range: Range<usize>) -> Result<ArrayRef> {
        let nulls = || {
            self.nulls
                .as_ref()
                .map(|nulls| nulls.slice(range.start, range.len()))
                .filter(|nulls| nulls.null_count() > 0)
        };
        match &self.encoding {
            Encoding::Array(array) => Ok(array.slice(range.start, range.len())),
            Encoding::Integers { data_type, base, offsets } => {
                let native = Native::of(data_type).ok_or(Error::Misuse("not a type of integers"))?;
                with_native!(native, T => {
                    let base = <T as Integer>::narrow(*base);
                    integers::<T>(offsets.range(range.clone(), |offset| <T as Integer>::offset(base, offset)), nulls(), data_type)
                })
            }
            Encoding::Dictionary { dictionary, codes } => look_up(dictionary, codes.slice(range.clone()), nulls()),
        }
    }

    /// Chosen rows, each of which must be within the column.
    pub fn rows(&self, rows: &[u32]) -> Result<ArrayRef> {
        let nulls = || {
            let nulls = self.nulls.as_ref()?;
            let chosen =
                NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |place| nulls.is_valid(rows[place] as usize)));
            (chosen.null_count() > 0).then_some(chosen)
        };
        match &self.encoding {
            Encoding::Array(array) => Ok(take(array, &UInt32Array::from(rows.to_vec()), None)?),
            Encoding::Integers { data_type, base, offsets } => {
                let native = Native::of(data_type).ok_or(Error::Misuse("not a type of integers"))?;
                with_native!(native, T => {
                    let base = <T as Integer>::narrow(*base);
                    integers::<T>(offsets.gather(rows, |offset| <T as Integer>::offset(base, offset)), nulls(), data_type)
                })
            }
            Encoding::Dictionary { dictionary, codes } => {
                let chosen = codes.gather(rows, |code| code as u32);
                look_up(dictionary, Packed::U32(chosen.into()), nulls())
            }
        }
    }

    /// All rows.
    pub fn all(&self) -> Result<ArrayRef> {
        self.range(0..self.len())
    }
}

/// The values of codes.
fn look_up(dictionary: &Dictionary, codes: Packed, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    if dictionary.is_empty() {
        // Nothing but NULLs.
        return Ok(arrow::array::new_null_array(dictionary.values().data_type(), codes.len()));
    }
    let codes: ArrayRef = match codes {
        Packed::Zero(rows) => Arc::new(UInt32Array::try_new(vec![0; rows].into(), nulls)?),
        Packed::U8(codes) => Arc::new(UInt8Array::try_new(codes, nulls)?),
        Packed::U16(codes) => Arc::new(UInt16Array::try_new(codes, nulls)?),
        Packed::U32(codes) => Arc::new(UInt32Array::try_new(codes, nulls)?),
        Packed::U64(codes) => Arc::new(UInt64Array::try_new(codes, nulls)?),
    };
    Ok(take(dictionary.values(), &codes, None)?)
}

/// Offsets from the least. `None`: least and greatest are more than 64 bits apart.
fn encode_integers<T: Integer>(values: &PrimitiveArray<T>, data_type: &DataType) -> Option<(Encoding, Zone)> {
    let rows = values.len();
    let null_count = values.null_count();
    let nulls = values.nulls().filter(|_| null_count > 0);
    let all = || values.values().iter().copied();
    let valid = |nulls: &NullBuffer| nulls.valid_indices().map(|row| values.value(row)).collect::<Vec<_>>();
    let (bounds, sum) = match nulls {
        None => bounds_and_sum::<T>(values.values()),
        Some(nulls) => bounds_and_sum::<T>(&valid(nulls)),
    };
    let (min, max) = bounds.unwrap_or_default();
    let span = u64::try_from(T::widen(max).checked_sub(T::widen(min))?).ok()?;
    let offsets = match nulls {
        None => Packed::pack(all().map(|value| T::distance(value, min)), span),
        // What lies under a NULL may be anything.
        Some(nulls) => Packed::pack(
            all()
                .zip(nulls.iter())
                .map(|(value, is_valid)| if is_valid { T::distance(value, min) } else { 0 })
                .collect::<Vec<_>>()
                .into_iter(),
            span,
        ),
    };
    let bounds = bounds.map(|(min, max)| (T::widen(min), T::widen(max)));
    let min = T::widen(min);
    let zone = Zone::integers(rows, null_count, bounds, sum);
    Some((Encoding::Integers { data_type: data_type.clone(), base: min, offsets }, zone))
}

/// Least and greatest.
type Bounds<N> = Option<(N, N)>;

/// Least, greatest and sum, each in a loop of its own, of which compilers make vector code.
fn bounds_and_sum<T: Integer>(values: &[T::Native]) -> (Bounds<T::Native>, Option<i128>) {
    let bounds = values.iter().copied().min().zip(values.iter().copied().max());
    let is_narrow = size_of::<T::Native>() <= 8;
    let sum = match is_narrow {
        // 2^32 values of 64 bits fit.
        true => Some(values.iter().map(|&value| T::widen(value)).sum()),
        false => values.iter().try_fold(0i128, |sum, &value| sum.checked_add(T::widen(value))),
    };
    (bounds, sum)
}

/// Bounds of decimals that are too far apart for offsets.
fn wide_bounds(array: &ArrayRef) -> Option<(i128, i128)> {
    let values = array.as_primitive_opt::<arrow::datatypes::Decimal128Type>()?;
    values.iter().flatten().fold(None, |bounds, value| {
        Some(bounds.map_or((value, value), |(min, max): (i128, i128)| (min.min(value), max.max(value))))
    })
}

fn wide_sum(array: &ArrayRef) -> Option<i128> {
    let values = array.as_primitive_opt::<arrow::datatypes::Decimal128Type>()?;
    values.iter().flatten().try_fold(0i128, |sum, value| sum.checked_add(value))
}

fn compact_nulls(nulls: &NullBuffer) -> NullBuffer {
    NullBuffer::new(BooleanBuffer::collect_bool(nulls.len(), |row| nulls.is_valid(row)))
}

/// The same values in memory of their own: a slice would keep alive all that it was cut from.
pub(crate) fn compact(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::Null => Arc::clone(array),
        _ => {
            let data = array.to_data();
            let mut copy = arrow::array::MutableArrayData::new(vec![&data], false, data.len());
            copy.try_extend(0, 0, data.len())?;
            make_array(copy.freeze())
        }
    })
}

/// What the rows take as an Arrow array of their own.
fn plain_bytes(array: &ArrayRef) -> u64 {
    let validity = if array.null_count() > 0 { array.len().div_ceil(8) } else { 0 };
    let values = match array.data_type() {
        DataType::Boolean => array.len().div_ceil(8),
        DataType::Utf8View => view_bytes(array.as_string_view().views()),
        DataType::BinaryView => view_bytes(array.as_binary_view().views()),
        data_type => match fixed_bytes(data_type) {
            Some(bytes) => bytes * array.len(),
            None => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
        },
    };
    (values + validity) as u64
}

fn view_bytes(views: &[u128]) -> usize {
    views.iter().map(|&view| 16 + Some(view as u32 as usize).filter(|&bytes| bytes > 12).unwrap_or(0)).sum()
}

impl Packed {
    /// A range of them, which shares their memory.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::Zero(_) => Self::Zero(range.len()),
            Self::U8(values) => Self::U8(values.slice(range.start, range.len())),
            Self::U16(values) => Self::U16(values.slice(range.start, range.len())),
            Self::U32(values) => Self::U32(values.slice(range.start, range.len())),
            Self::U64(values) => Self::U64(values.slice(range.start, range.len())),
        }
    }
}

/// A dictionary column encoded with plain bytes counted.
pub(crate) fn dictionary_column(array: &ArrayRef, dictionary: Arc<Dictionary>, codes: Packed) -> Column {
    Column {
        nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).map(compact_nulls),
        zone: Zone::unknown(array.len(), array.null_count()),
        plain_bytes: plain_bytes(array),
        encoding: Encoding::Dictionary { dictionary, codes },
    }
}
