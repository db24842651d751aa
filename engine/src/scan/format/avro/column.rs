//! [`Column`]: values of one field, record by record -> an array.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, ListArray, MapArray, NullBufferBuilder, StringViewBuilder, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer};
use arrow::datatypes::DataType as ArrowType;
use arrow::error::ArrowError;
use limnos_catalog::DataType;

use super::schema::{AvroType, Unit};
use super::{Decoded, Fault};
use crate::scan::schema::arrow_type;

/// Items of the lists of one column in one batch.
const ITEMS_MAX: usize = 1 << 26;

/// The bytes of a block that were not read yet.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N)?.first_chunk().copied().ok_or_else(short)
    }

    fn long(&mut self) -> Decoded<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or_else(short)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(Fault::corrupt("a number is too long"))
    }

    fn int(&mut self) -> Decoded<i32> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| Fault::corrupt(format!("the number {number} is out of its type's range")))
    }

    fn boolean(&mut self) -> Decoded<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Fault::corrupt("a boolean is neither true nor false")),
        }
    }

    fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| Fault::corrupt("a length is negative"))?;
        self.take(length)
    }

    fn branch<'t>(&mut self, branches: &'t [AvroType]) -> Decoded<&'t AvroType> {
        let index = usize::try_from(self.long()?).ok();
        index.and_then(|index| branches.get(index)).ok_or_else(|| Fault::corrupt("a union has no such branch"))
    }

    /// How many items follow, in one of the blocks of a list or map; the last has none.
    fn items(&mut self) -> Decoded<u64> {
        let count = self.long()?;
        if count < 0 {
            // Their size, for those who skip them.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}

fn short() -> Fault {
    Fault::corrupt("a record ends too early")
}

/// Passes over a value.
pub(super) fn skip(avro: &AvroType, cursor: &mut Cursor<'_>) -> Decoded<()> {
    match avro {
        AvroType::Null => {}
        AvroType::Boolean => drop(cursor.take(1)?),
        AvroType::Int | AvroType::Long | AvroType::Enum(_) | AvroType::Date => drop(cursor.long()?),
        AvroType::TimeMillis | AvroType::TimeMicros | AvroType::Timestamp { .. } => drop(cursor.long()?),
        AvroType::Float => drop(cursor.take(4)?),
        AvroType::Double => drop(cursor.take(8)?),
        AvroType::Bytes | AvroType::Text | AvroType::Decimal { size: None, .. } => drop(cursor.bytes()?),
        AvroType::Fixed(size) | AvroType::Decimal { size: Some(size), .. } => drop(cursor.take(*size)?),
        AvroType::Uuid => drop(cursor.take(16)?),
        AvroType::Union(branches) => {
            let branch = cursor.branch(branches)?;
            skip(branch, cursor)?;
        }
        AvroType::Record(fields) => fields.iter().try_for_each(|(_, field)| skip(field, cursor))?,
        AvroType::Array(item) => items(cursor, |cursor| skip(item, cursor)).map(drop)?,
        AvroType::Map(value) => {
            let entry = |cursor: &mut Cursor<'_>| {
                cursor.bytes()?;
                skip(value, cursor)
            };
            items(cursor, entry).map(drop)?;
        }
    }
    Ok(())
}

/// Reads the items of a list or map, and tells how many there were.
fn items(cursor: &mut Cursor<'_>, mut read: impl FnMut(&mut Cursor<'_>) -> Decoded<()>) -> Decoded<usize> {
    let mut total = 0_usize;
    loop {
        let count = cursor.items()?;
        if count == 0 {
            return Ok(total);
        }
        total = usize::try_from(count).ok().and_then(|count| total.checked_add(count)).unwrap_or(usize::MAX);
        // What is NULL, or a record without fields, has no bytes: the claim is all there is.
        if total > ITEMS_MAX {
            return Err(Fault::Limit(format!("A list has more than {ITEMS_MAX} items.")));
        }
        for _ in 0..count {
            read(cursor)?;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Column {
    data_type: DataType,
    nulls: NullBufferBuilder,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean(Vec<bool>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal(Vec<i128>),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Struct(Vec<Column>),
    /// Where each list ends.
    List(Vec<i32>, Box<Column>),
    Map(Vec<i32>, Box<Column>, Box<Column>),
}

impl Column {
    /// An empty column of `data_type`, which [`AvroType::data_type`] gave.
    pub(super) fn new(data_type: DataType) -> Self {
        let boxed = |data_type: &DataType| Box::new(Self::new(data_type.clone()));
        let values = match &data_type {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::TinyInt | DataType::SmallInt | DataType::Int | DataType::Date => Values::Int(Vec::new()),
            DataType::BigInt | DataType::Time | DataType::Timestamp | DataType::TimestampTz => Values::Long(Vec::new()),
            DataType::Float => Values::Float(Vec::new()),
            DataType::Double => Values::Double(Vec::new()),
            DataType::Decimal(..) => Values::Decimal(Vec::new()),
            DataType::String | DataType::Varchar(_) | DataType::Char(_) | DataType::Json => {
                Values::Text(StringViewBuilder::new())
            }
            DataType::Binary => Values::Bytes(BinaryViewBuilder::new()),
            DataType::Struct(fields) => {
                Values::Struct(fields.iter().map(|field| Self::new(field.data_type.clone())).collect())
            }
            DataType::Array(item) => Values::List(Vec::new(), boxed(item)),
            DataType::Map(key, value) => Values::Map(Vec::new(), boxed(key), boxed(value)),
        };
        Self { data_type, nulls: NullBufferBuilder::new(0), values }
    }

    /// Reads one value, written as `avro`.
    pub(super) fn read(&mut self, avro: &AvroType, cursor: &mut Cursor<'_>) -> Decoded<()> {
        match avro {
            AvroType::Null => {
                self.push_null();
                return Ok(());
            }
            AvroType::Union(branches) => {
                let branch = cursor.branch(branches)?;
                return self.read(branch, cursor);
            }
            _ => {}
        }
        match (&mut self.values, avro) {
            (Values::Boolean(values), AvroType::Boolean) => values.push(cursor.boolean()?),
            (Values::Int(values), AvroType::Int | AvroType::Date) => values.push(cursor.int()?),
            (Values::Long(values), AvroType::Long) => values.push(cursor.long()?),
            (Values::Long(values), AvroType::TimeMillis) => values.push(i64::from(cursor.int()?) * 1000),
            (Values::Long(values), AvroType::TimeMicros) => values.push(cursor.long()?),
            (Values::Long(values), AvroType::Timestamp { unit, .. }) => {
                let value = cursor.long()?;
                values.push(match unit {
                    Unit::Millis => {
                        value.checked_mul(1000).ok_or_else(|| Fault::corrupt("a timestamp is out of range"))?
                    }
                    Unit::Micros => value,
                    Unit::Nanos => value.div_euclid(1000),
                });
            }
            (Values::Float(values), AvroType::Float) => values.push(f32::from_le_bytes(cursor.array()?)),
            (Values::Double(values), AvroType::Double) => values.push(f64::from_le_bytes(cursor.array()?)),
            (Values::Decimal(values), AvroType::Decimal { precision, size, .. }) => {
                let bytes = match size {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                values.push(decimal(bytes, *precision)?);
            }
            (Values::Text(values), AvroType::Text) => {
                values.append_value(std::str::from_utf8(cursor.bytes()?).map_err(|_| Fault::Encoding)?);
            }
            (Values::Text(values), AvroType::Enum(symbols)) => {
                let symbol = usize::try_from(cursor.long()?).ok().and_then(|index| symbols.get(index));
                values.append_value(symbol.ok_or_else(|| Fault::corrupt("an enum has no such symbol"))?);
            }
            (Values::Text(values), AvroType::Uuid) => values.append_value(uuid(cursor.array()?)),
            (Values::Bytes(values), AvroType::Bytes) => values.append_value(cursor.bytes()?),
            (Values::Bytes(values), AvroType::Fixed(size)) => values.append_value(cursor.take(*size)?),
            (Values::Struct(children), AvroType::Record(fields)) => {
                for (child, (_, field)) in children.iter_mut().zip(fields) {
                    child.read(field, cursor)?;
                }
            }
            (Values::List(ends, child), AvroType::Array(item)) => {
                let count = items(cursor, |cursor| child.read(item, cursor))?;
                push_end(ends, count)?;
            }
            (Values::Map(ends, key, value), AvroType::Map(avro)) => {
                let entry = |cursor: &mut Cursor<'_>| {
                    key.read(&AvroType::Text, cursor)?;
                    value.read(avro, cursor)
                };
                let count = items(cursor, entry)?;
                push_end(ends, count)?;
            }
            _ => return Err(Fault::corrupt("a value is of another type than its column")),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Int(values) => values.push(0),
            Values::Long(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Text(values) => values.append_null(),
            Values::Bytes(values) => values.append_null(),
            Values::Struct(children) => children.iter_mut().for_each(Self::push_null),
            Values::List(ends, _) | Values::Map(ends, _, _) => ends.push(ends.last().copied().unwrap_or(0)),
        }
    }

    /// The values that were read since the last time.
    pub(super) fn finish(&mut self) -> Decoded<ArrayRef> {
        let count = self.nulls.len();
        let nulls = self.nulls.finish();
        let wanted = arrow_type(&self.data_type);
        let is = |data_type: &DataType| self.data_type == *data_type;
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(values)), nulls)),
            Values::Int(values) if is(&DataType::Date) => {
                Arc::new(Date32Array::new(std::mem::take(values).into(), nulls))
            }
            Values::Int(values) => Arc::new(Int32Array::new(std::mem::take(values).into(), nulls)),
            Values::Long(values) => {
                let values = std::mem::take(values).into();
                match wanted {
                    ArrowType::Time64(_) => Arc::new(Time64MicrosecondArray::new(values, nulls)),
                    ArrowType::Timestamp(_, zone) => {
                        Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone_opt(zone))
                    }
                    _ => Arc::new(Int64Array::new(values, nulls)),
                }
            }
            Values::Float(values) => Arc::new(Float32Array::new(std::mem::take(values).into(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(std::mem::take(values).into(), nulls)),
            Values::Decimal(values) => {
                let values = Decimal128Array::new(std::mem::take(values).into(), nulls);
                Arc::new(values.with_data_type(wanted))
            }
            Values::Text(values) => Arc::new(values.finish()),
            Values::Bytes(values) => Arc::new(values.finish()),
            Values::Struct(children) => {
                let ArrowType::Struct(fields) = wanted else { return Err(mismatch()) };
                let children = children.iter_mut().map(Self::finish).collect::<Decoded<Vec<_>>>()?;
                Arc::new(StructArray::try_new_with_length(fields, children, nulls, count).map_err(invalid)?)
            }
            Values::List(ends, item) => {
                let ArrowType::List(field) = wanted else { return Err(mismatch()) };
                Arc::new(ListArray::try_new(field, offsets(ends), item.finish()?, nulls).map_err(invalid)?)
            }
            Values::Map(ends, key, value) => {
                let ArrowType::Map(entries, _) = wanted else { return Err(mismatch()) };
                let ArrowType::Struct(pair) = entries.data_type() else { return Err(mismatch()) };
                let columns = vec![key.finish()?, value.finish()?];
                let pairs = StructArray::try_new(pair.clone(), columns, None).map_err(invalid)?;
                Arc::new(MapArray::try_new(entries, offsets(ends), pairs, nulls, false).map_err(invalid)?)
            }
        })
    }
}

fn push_end(ends: &mut Vec<i32>, count: usize) -> Decoded<()> {
    let end = ends.last().copied().unwrap_or(0) as usize + count;
    if end > ITEMS_MAX {
        return Err(Fault::Limit(format!("The lists of one batch of rows have more than {ITEMS_MAX} items.")));
    }
    ends.push(end as i32);
    Ok(())
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let offsets: Vec<i32> = std::iter::once(0).chain(ends.drain(..)).collect();
    OffsetBuffer::new(offsets.into())
}

/// A number in two's complement, high bytes first, of any length.
fn decimal(bytes: &[u8], precision: u8) -> Decoded<i128> {
    let is_negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let fill = if is_negative { 0xff } else { 0 };
    let too_large = || Fault::corrupt("a decimal has more digits than its type");
    let cut = bytes.len().saturating_sub(16);
    let (ahead, bytes) = bytes.split_at(cut);
    // What is cut off must say nothing but the sign, which the next byte has to say, too.
    let has_sign = cut == 0 || bytes.first().is_some_and(|byte| (*byte >= 0x80) == is_negative);
    if !has_sign || ahead.iter().any(|byte| *byte != fill) {
        return Err(too_large());
    }
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    let value = i128::from_be_bytes(wide);
    if value.unsigned_abs() >= 10_u128.pow(u32::from(precision)) {
        return Err(too_large());
    }
    Ok(value)
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn invalid(error: ArrowError) -> Fault {
    Fault::corrupt(error.to_string())
}

fn mismatch() -> Fault {
    Fault::corrupt("a value is of another type than its column")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn decimals_of_any_length() {
        assert_eq!(decimal(&[], 5).unwrap(), 0);
        assert_eq!(decimal(&[0xff], 5).unwrap(), -1);
        assert_eq!(decimal(&[0x01, 0x00], 5).unwrap(), 256);
        assert_eq!(decimal(&[&[0xff; 20][..], &[0xfe]].concat(), 5).unwrap(), -2);
        assert_eq!(decimal(&[&[0; 20][..], &[0x7f]].concat(), 5).unwrap(), 127);
        // The sign of what is left says otherwise.
        decimal(&[&[0; 4][..], &[0x80], &[0; 15]].concat(), 38).unwrap_err();
        decimal(&[&[1][..], &[0; 16]].concat(), 38).unwrap_err();
        decimal(&[0x03, 0xe8], 3).unwrap_err();
    }
}
