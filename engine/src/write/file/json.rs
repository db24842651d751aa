//! [`JsonEncoder`]: one object a line, or one array of objects.

use std::io::Write as _;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use limnos_catalog::FileFacts;

use super::value::{Spelling, refuse};
use super::{Encode, JsonFile, JsonLayout};
use crate::encode::json::write_string;
use crate::scan::format::json::records::RECORD_BYTES_MAX;
use crate::{Error, ErrorCode, Result};

/// See the module.
pub(super) struct JsonEncoder {
    layout: JsonLayout,
    schema: SchemaRef,
    /// `"name":` of each column.
    keys: Vec<String>,
    spellings: Vec<Spelling>,
    is_first: bool,
    record: String,
}

impl JsonEncoder {
    pub(super) fn new(schema: &SchemaRef, file: &JsonFile) -> Result<Self> {
        let keys = schema
            .fields()
            .iter()
            .map(|field| {
                let mut key = String::new();
                write_string(field.name(), &mut key);
                key.push(':');
                key
            })
            .collect();
        let spellings = (0..schema.fields().len())
            .map(|index| Spelling { format: file.formats.get(index).cloned().flatten(), hex: false })
            .collect();
        Ok(Self {
            layout: file.layout,
            schema: SchemaRef::clone(schema),
            keys,
            spellings,
            is_first: true,
            record: String::new(),
        })
    }
}

impl Encode for JsonEncoder {
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.num_rows() {
            self.record.clear();
            let opening = match (self.layout, self.is_first) {
                (JsonLayout::Lines, _) => "{",
                (JsonLayout::Array, true) => "[\n{",
                (JsonLayout::Array, false) => ",\n{",
            };
            self.is_first = false;
            self.record.push_str(opening);
            for (index, (column, field)) in batch.columns().iter().zip(self.schema.fields()).enumerate() {
                if index > 0 {
                    self.record.push(',');
                }
                self.record.push_str(&self.keys[index]);
                self.spellings[index]
                    .write_json(column.as_ref(), field, row, &mut self.record)
                    .map_err(|refusal| refuse(field.name(), "JSON", refusal))?;
            }
            self.record.push('}');
            if self.record.len() > RECORD_BYTES_MAX {
                return Err(Error::new(
                    ErrorCode::ProgramLimitExceeded,
                    format!("a row is larger than {} MB", RECORD_BYTES_MAX >> 20),
                ));
            }
            if self.layout == JsonLayout::Lines {
                self.record.push('\n');
            }
            out.extend_from_slice(self.record.as_bytes());
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<FileFacts>> {
        let end: &[u8] = match (self.layout, self.is_first) {
            (JsonLayout::Lines, _) => b"",
            (JsonLayout::Array, true) => b"[]\n",
            (JsonLayout::Array, false) => b"\n]\n",
        };
        out.write_all(end).map_err(|error| Error::internal(error.to_string()))?;
        Ok(None)
    }

    fn memory_size(&self) -> usize {
        self.record.capacity()
    }

    fn pending_bytes(&self) -> usize {
        0
    }
}
