//! The values of a column of few different ones, sorted, each once. A code is a value's place.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, StringViewBuilder};
use arrow::datatypes::DataType;

use crate::{Error, Result};

/// Sorted values, none twice, none NULL. Codes compare as values do. All chunks of a table share one for each column that has one.
#[derive(Debug)]
pub struct Dictionary {
    values: ArrayRef,
    /// What each value is called in files, which are not written again when a new value moves the codes of others. `None`:
    /// each by its code.
    ids: Option<Vec<u32>>,
    /// Above all ids that were ever given to a value.
    next_id: u32,
}

impl Dictionary {
    /// Of values that are sorted and each there once.
    pub(crate) fn new(values: ArrayRef, ids: Option<Vec<u32>>, next_id: u32) -> Self {
        Self { values, ids, next_id }
    }

    /// Makes the array of values of a dictionary.
    pub(crate) fn array<'a>(data_type: &DataType, values: impl Iterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        match data_type {
            DataType::Utf8View => {
                let mut builder = StringViewBuilder::new();
                for value in values {
                    builder
                        .append_value(std::str::from_utf8(value).map_err(|_| Error::Misuse("text that is not UTF-8"))?);
                }
                Ok(Arc::new(builder.finish()))
            }
            DataType::BinaryView => {
                let mut builder = BinaryViewBuilder::new();
                for value in values {
                    builder.append_value(value);
                }
                Ok(Arc::new(builder.finish()))
            }
            _ => Err(Error::Misuse("dictionaries are of text and binary")),
        }
    }

    /// The values: a `StringViewArray` or a `BinaryViewArray`.
    #[must_use]
    pub fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The bytes of a value, whose code must be below [`Dictionary::len`].
    #[must_use]
    pub fn value(&self, code: usize) -> &[u8] {
        match self.values.data_type() {
            DataType::Utf8View => self.values.as_string_view().value(code).as_bytes(),
            _ => self.values.as_binary_view().value(code),
        }
    }

    /// The code of a value; or the code that it would have, which is how many values are less.
    pub fn find(&self, value: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.value(middle).cmp(value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// What the value of a code is called in files.
    pub(crate) fn id(&self, code: usize) -> u32 {
        self.ids.as_ref().map_or(code as u32, |ids| ids[code])
    }

    pub(crate) fn ids(&self) -> Option<&[u32]> {
        self.ids.as_deref()
    }

    pub(crate) fn next_id(&self) -> u32 {
        self.next_id
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.values.get_array_memory_size() + self.ids.as_ref().map_or(0, |ids| ids.capacity() * size_of::<u32>())
    }
}
