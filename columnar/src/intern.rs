//! Finds out which values a column of text has, and gives each a number, in the order in which they come.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray, GenericByteViewArray};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};

use crate::codes::Packed;
use crate::dictionary::Dictionary;
use crate::{Error, Result};

/// Most values of a dictionary. Beyond, looking up what a code means misses the caches, and predicates on the dictionary cost
/// what they cost on rows.
const VALUES_MAX: usize = 1 << 20;

/// So many values are always few: below, how often each comes isn't asked.
const VALUES_FEW: usize = 4096;

/// Text that a view holds whole: its bits are the value.
const INLINE_BYTES: usize = 12;

/// A value. Short ones are told apart without following a pointer.
#[derive(Clone, Debug)]
enum Value {
    Short(u128),
    Long(Arc<[u8]>),
}

/// The values that a column had so far.
#[derive(Debug)]
pub(crate) struct Interner {
    data_type: DataType,
    short: HashMap<u128, u32, RandomState>,
    long: HashMap<Arc<[u8]>, u32, RandomState>,
    values: Vec<Value>,
    long_bytes: usize,
    /// The dictionary that the first values are of.
    previous: Option<Arc<Dictionary>>,
}

/// How the numbers of an [`Interner`] become codes of a [`Dictionary`].
pub(crate) struct Sorted {
    pub(crate) dictionary: Arc<Dictionary>,
    /// The code of each number; `None` of those whose value no row has. `None`: they are equal.
    pub(crate) codes: Option<Vec<u32>>,
}

impl Interner {
    pub(crate) fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            short: HashMap::default(),
            long: HashMap::default(),
            values: Vec::new(),
            long_bytes: 0,
            previous: None,
        }
    }

    /// One whose first numbers are the codes of `previous`.
    pub(crate) fn of(previous: Arc<Dictionary>) -> Result<Self> {
        let mut interner = Self::new(previous.values().data_type().clone());
        interner.intern(previous.values())?;
        interner.previous = Some(previous);
        Ok(interner)
    }

    /// How many values.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether these are too many values for `rows` rows to be worth a dictionary.
    pub(crate) fn is_too_many(&self, rows: u64) -> bool {
        let values = self.values.len();
        values > VALUES_MAX || (values > VALUES_FEW && values as u64 > rows / 4)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Value>()
            + self.short.capacity() * 33
            + self.long.capacity() * 25
            + self.long_bytes
    }

    /// The number of each row's value, 0 for NULLs.
    pub(crate) fn intern(&mut self, array: &ArrayRef) -> Result<Packed> {
        let numbers = match array.data_type() {
            DataType::Utf8View => self.intern_views::<StringViewType>(array.as_string_view(), str::as_bytes),
            DataType::BinaryView => self.intern_views::<BinaryViewType>(array.as_binary_view(), |value| value),
            _ => return Err(Error::Misuse("dictionaries are of text and binary")),
        };
        let max = numbers.iter().copied().max().unwrap_or(0);
        Ok(Packed::pack(numbers.into_iter().map(u64::from), u64::from(max)))
    }

    fn intern_views<T: ByteViewType>(
        &mut self,
        array: &GenericByteViewArray<T>,
        bytes: impl Fn(&T::Native) -> &[u8],
    ) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(array.len());
        // Most columns repeat what they just said.
        let mut last: Option<(u128, u32)> = None;
        for (row, &view) in array.views().iter().enumerate() {
            if array.is_null(row) {
                numbers.push(0);
                continue;
            }
            if let Some((seen, number)) = last
                && seen == view
            {
                numbers.push(number);
                continue;
            }
            let next = self.values.len() as u32;
            let number = if view as u32 as usize <= INLINE_BYTES {
                *self.short.entry(view).or_insert_with(|| {
                    self.values.push(Value::Short(view));
                    next
                })
            } else {
                let value = bytes(array.value(row));
                match self.long.get(value) {
                    Some(&number) => number,
                    None => {
                        let value: Arc<[u8]> = value.into();
                        self.long_bytes += value.len() + 16;
                        self.values.push(Value::Long(Arc::clone(&value)));
                        self.long.insert(value, next);
                        next
                    }
                }
            };
            // A view of long text is the same value within this array only, which is all that `last` lives for.
            last = Some((view, number));
            numbers.push(number);
        }
        numbers
    }

    /// Sorts the values that are `used` (by number), and says what becomes of each number.
    pub(crate) fn sort(self, used: &[bool]) -> Result<Sorted> {
        let previous = self.previous.as_ref();
        if let Some(previous) = previous
            && previous.len() == self.values.len()
            && used.iter().all(|&used| used)
        {
            return Ok(Sorted { dictionary: Arc::clone(previous), codes: None });
        }
        let inline: Vec<[u8; 16]> = self
            .values
            .iter()
            .map(|value| match value {
                Value::Short(view) => view.to_le_bytes(),
                Value::Long(_) => [0; 16],
            })
            .collect();
        let bytes = |number: u32| match &self.values[number as usize] {
            Value::Short(view) => &inline[number as usize][4..4 + *view as u32 as usize],
            Value::Long(bytes) => bytes,
        };
        let mut order: Vec<u32> = (0..self.values.len() as u32).filter(|&number| used[number as usize]).collect();
        order.sort_unstable_by(|&this, &other| bytes(this).cmp(bytes(other)));
        let mut codes = vec![0; self.values.len()];
        for (code, &number) in order.iter().enumerate() {
            codes[number as usize] = code as u32;
        }
        // What a value was called in files it is called for ever; new ones get names that none had.
        let mut next_id = previous.map_or(0, |previous| previous.next_id());
        let ids = match previous {
            None => {
                next_id = order.len() as u32;
                None
            }
            Some(previous) => {
                let new = (self.values.len() - previous.len()) as u32;
                let first_new = next_id;
                next_id = next_id
                    .checked_add(new)
                    .ok_or_else(|| Error::Limit("a dictionary was changed too often".into()))?;
                Some(
                    order
                        .iter()
                        .map(|&number| match (number as usize).checked_sub(previous.len()) {
                            None => previous.id(number as usize),
                            Some(place) => first_new + place as u32,
                        })
                        .collect(),
                )
            }
        };
        let values = Dictionary::array(&self.data_type, order.iter().map(|&number| bytes(number)))?;
        Ok(Sorted { dictionary: Arc::new(Dictionary::new(values, ids, next_id)), codes: Some(codes) })
    }

    /// The values by number, for rows that are no longer to be codes.
    pub(crate) fn values(&self) -> Result<ArrayRef> {
        let inline: Vec<[u8; 16]> = self
            .values
            .iter()
            .map(|value| match value {
                Value::Short(view) => view.to_le_bytes(),
                Value::Long(_) => [0; 16],
            })
            .collect();
        let values = self.values.iter().zip(&inline).map(|(value, inline)| match value {
            Value::Short(view) => &inline[4..4 + *view as u32 as usize],
            Value::Long(bytes) => bytes,
        });
        Dictionary::array(&self.data_type, values)
    }
}
