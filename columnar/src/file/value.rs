//! Columns, zones and Arrow arrays to bytes and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::bytes::{Reader, Writer, Wrong};
use crate::Result;
use crate::codes::{Packed, with_packed};
use crate::column::{Column, Encoding, compact};
use crate::dictionary::Dictionary;
use crate::zone::{Bound, Zone};

const INTEGERS: u8 = 0;
const DICTIONARY: u8 = 1;
const ARRAY: u8 = 2;

/// What a dictionary's ids mean by now.
pub(super) struct Ids {
    pub(super) dictionary: Arc<Dictionary>,
    /// The code of each id, `u32::MAX` of those that no value has. `None`: they are the same.
    pub(super) codes: Option<Vec<u32>>,
}

pub(super) fn write_column(writer: &mut Writer, column: &Column) -> Result<()> {
    write_zone(writer, &column.zone);
    writer.u64(column.plain_bytes);
    match &column.encoding {
        Encoding::Integers { base, offsets, .. } => {
            writer.u8(INTEGERS);
            write_nulls(writer, column.nulls.as_ref());
            writer.i128(*base);
            write_packed(writer, offsets);
        }
        Encoding::Dictionary { dictionary, codes } => {
            writer.u8(DICTIONARY);
            write_nulls(writer, column.nulls.as_ref());
            match dictionary.ids() {
                None => write_packed(writer, codes),
                Some(_) if dictionary.is_empty() => write_packed(writer, codes),
                Some(ids) => {
                    let max = ids.iter().copied().max().unwrap_or(0);
                    write_packed(writer, &codes.map(u64::from(max), |code| u64::from(dictionary.id(code as usize))));
                }
            }
        }
        Encoding::Array(array) => {
            writer.u8(ARRAY);
            write_array(writer, array)?;
        }
    }
    Ok(())
}

pub(super) fn read_column(
    reader: &mut Reader<'_>,
    rows: usize,
    data_type: &DataType,
    ids: Option<&Ids>,
) -> Result<Column, Wrong> {
    let zone = read_zone(reader)?;
    if zone.rows != rows || zone.null_count > rows {
        return Err(format!("a column has {} rows in a chunk of {rows}", zone.rows));
    }
    let plain_bytes = reader.u64()?;
    let kind = reader.u8()?;
    let nulls = if kind == ARRAY { None } else { read_nulls(reader, rows)? };
    if kind != ARRAY && nulls.as_ref().map_or(0, NullBuffer::null_count) != zone.null_count {
        return Err("a column has another count of NULLs than it says".to_owned());
    }
    match (kind, ids) {
        (INTEGERS, None) if crate::native::Native::of(data_type).is_some() => {
            let base = reader.i128()?;
            let offsets = read_packed(reader, rows)?;
            Ok(Column {
                encoding: Encoding::Integers { data_type: data_type.clone(), base, offsets },
                nulls,
                zone,
                plain_bytes,
            })
        }
        (DICTIONARY, Some(ids)) => {
            let mut codes = read_packed(reader, rows)?;
            let has_values = zone.null_count < rows;
            let values = ids.dictionary.len();
            // What lies under NULLs needn't be a value's, if there are no values.
            if values == 0 {
                if has_values {
                    return Err("a column has values that its dictionary hasn't".to_owned());
                }
                codes = Packed::Zero(rows);
            } else {
                let mut unknown = false;
                let code_of = |id: u64| match &ids.codes {
                    None => Some(id).filter(|&code| code < values as u64),
                    Some(codes) => {
                        codes.get(id as usize).filter(|&&code| code != u32::MAX).map(|&code| u64::from(code))
                    }
                };
                match &nulls {
                    None => codes.for_each(|id| unknown |= code_of(id).is_none()),
                    Some(nulls) => nulls.valid_indices().for_each(|row| unknown |= code_of(codes.get(row)).is_none()),
                }
                if unknown {
                    return Err("a column has values that its dictionary hasn't".to_owned());
                }
                if ids.codes.is_some() || nulls.is_some() {
                    codes = codes.map(values as u64 - 1, |id| code_of(id).unwrap_or(0));
                }
            }
            let encoding = Encoding::Dictionary { dictionary: Arc::clone(&ids.dictionary), codes };
            let mut column = Column { encoding, nulls, zone, plain_bytes };
            crate::build::recode(&mut column, &ids.dictionary, None);
            Ok(column)
        }
        (ARRAY, None) => {
            let array = read_array(reader, data_type)?;
            if array.len() != rows || array.logical_null_count() != zone.null_count {
                return Err("a column has another count of rows or NULLs than it says".to_owned());
            }
            Ok(Column { encoding: Encoding::Array(array), nulls: None, zone, plain_bytes })
        }
        _ => Err(format!("a column of type {data_type} is encoded as {kind}, which can't be")),
    }
}

fn write_zone(writer: &mut Writer, zone: &Zone) {
    writer.u64(zone.rows as u64);
    writer.u64(zone.null_count as u64);
    for bound in [&zone.min, &zone.max] {
        match bound {
            None => writer.u8(0),
            Some(Bound::Integer(value)) => {
                writer.u8(1);
                writer.i128(*value);
            }
            Some(Bound::Float(value)) => {
                writer.u8(2);
                writer.u64(value.to_bits());
            }
            Some(Bound::Bytes(bytes)) => {
                writer.u8(3);
                writer.bytes(bytes);
            }
        }
    }
    writer.u8(u8::from(zone.sum.is_some()));
    writer.i128(zone.sum.unwrap_or(0));
}

fn read_zone(reader: &mut Reader<'_>) -> Result<Zone, Wrong> {
    let rows = reader.u64()?.try_into().map_err(|_| "too many rows".to_owned())?;
    let null_count = reader.u64()?.try_into().map_err(|_| "too many rows".to_owned())?;
    let mut bound = || {
        Ok::<_, Wrong>(match reader.u8()? {
            0 => None,
            1 => Some(Bound::Integer(reader.i128()?)),
            2 => Some(Bound::Float(f64::from_bits(reader.u64()?))),
            3 => Some(Bound::Bytes(reader.bytes()?.into())),
            other => return Err(format!("a bound of kind {other}")),
        })
    };
    let (min, max) = (bound()?, bound()?);
    let has_sum = reader.u8()? != 0;
    let sum = reader.i128()?;
    Ok(Zone { rows, null_count, min, max, sum: has_sum.then_some(sum) })
}

/// Bits, from the first of a byte on.
fn write_bits(writer: &mut Writer, bits: &BooleanBuffer) {
    writer.u64(bits.len() as u64);
    writer.bytes(bits.sliced().as_slice());
}

fn read_bits(reader: &mut Reader<'_>) -> Result<BooleanBuffer, Wrong> {
    let count = usize::try_from(reader.u64()?).map_err(|_| "too many bits".to_owned())?;
    let bytes = reader.bytes()?;
    if bytes.len() < count.div_ceil(8) {
        return Err(format!("{count} bits in {} bytes", bytes.len()));
    }
    Ok(BooleanBuffer::new(Buffer::from(bytes), 0, count))
}

fn write_nulls(writer: &mut Writer, nulls: Option<&NullBuffer>) {
    writer.u8(u8::from(nulls.is_some()));
    if let Some(nulls) = nulls {
        write_bits(writer, nulls.inner());
    }
}

fn read_nulls(reader: &mut Reader<'_>, rows: usize) -> Result<Option<NullBuffer>, Wrong> {
    if reader.u8()? == 0 {
        return Ok(None);
    }
    let bits = read_bits(reader)?;
    if bits.len() != rows {
        return Err(format!("{} rows have NULLs, of {rows}", bits.len()));
    }
    Ok(Some(NullBuffer::new(bits)))
}

fn write_packed(writer: &mut Writer, packed: &Packed) {
    writer.u8(packed.width() as u8);
    with_packed!(packed, values => writer.bytes(values.inner().as_slice()), _rows => ());
}

fn read_packed(reader: &mut Reader<'_>, rows: usize) -> Result<Packed, Wrong> {
    let width = usize::from(reader.u8()?);
    if width == 0 {
        return Ok(Packed::Zero(rows));
    }
    let bytes = reader.bytes()?;
    if rows.checked_mul(width) != Some(bytes.len()) {
        return Err(format!("{rows} codes of {width} bytes in {} bytes", bytes.len()));
    }
    let buffer = Buffer::from(bytes);
    Ok(match width {
        1 => Packed::U8(ScalarBuffer::new(buffer, 0, rows)),
        2 => Packed::U16(ScalarBuffer::new(buffer, 0, rows)),
        4 => Packed::U32(ScalarBuffer::new(buffer, 0, rows)),
        8 => Packed::U64(ScalarBuffer::new(buffer, 0, rows)),
        other => return Err(format!("codes of {other} bytes")),
    })
}

/// An array's buffers, and those of what is in it. Its type is the schema's.
pub(super) fn write_array(writer: &mut Writer, array: &ArrayRef) -> Result<()> {
    write_data(writer, &array.to_data())
}

fn write_data(writer: &mut Writer, data: &ArrayData) -> Result<()> {
    let copied;
    let data = if data.offset() == 0 {
        data
    } else {
        copied = compact(&make_array(data.clone()))?.to_data();
        &copied
    };
    writer.u64(data.len() as u64);
    write_nulls(writer, data.nulls());
    writer.u64(data.buffers().len() as u64);
    for buffer in data.buffers() {
        writer.bytes(buffer.as_slice());
    }
    for child in data.child_data() {
        write_data(writer, child)?;
    }
    Ok(())
}

pub(super) fn read_array(reader: &mut Reader<'_>, data_type: &DataType) -> Result<ArrayRef, Wrong> {
    Ok(make_array(read_data(reader, data_type)?))
}

fn read_data(reader: &mut Reader<'_>, data_type: &DataType) -> Result<ArrayData, Wrong> {
    let length = usize::try_from(reader.u64()?)
        .ok()
        .filter(|&length| length <= i32::MAX as usize)
        .ok_or("an array is too long")?;
    let nulls = read_nulls(reader, length)?;
    let buffers = reader.count()?;
    let buffers = (0..buffers).map(|_| reader.bytes().map(Buffer::from)).collect::<Result<Vec<_>, _>>()?;
    let children =
        inner_types(data_type).into_iter().map(|inner| read_data(reader, inner)).collect::<Result<Vec<_>, _>>()?;
    ArrayData::builder(data_type.clone())
        .len(length)
        .nulls(nulls)
        .buffers(buffers)
        .child_data(children)
        .align_buffers(true)
        .build()
        .map_err(|error| error.to_string())
}

/// The types of the arrays that an array of `data_type` is made of.
fn inner_types(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => vec![field.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, field)| field.data_type()).collect(),
        DataType::Dictionary(_, values) => vec![values],
        DataType::RunEndEncoded(ends, values) => vec![ends.data_type(), values.data_type()],
        _ => Vec::new(),
    }
}
