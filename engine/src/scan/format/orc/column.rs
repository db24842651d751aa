//! [`Column`]: the streams of one column of a stripe -> arrays, as many rows at a time as are asked for.
//!
//! A stream has no place for what is NULL, and a part of a struct or list none for what isn't there. Vectors grow by what was
//! decoded and not by what a file claims.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryViewArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringViewArray,
    StructArray, TimestampMicrosecondArray, make_view,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as ArrowType, FieldRef, Fields};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, Offset, TimeZone};

use super::rle::{BitRle, ByteRle, IntRle};
use super::stream::ByteStream;
use super::stripe::{Purpose, Streams, Zone};
use super::types::{ColumnType, Kind};
use super::{Decoded, Fault};
use crate::scan::schema::arrow_type;

/// Bytes of the texts of one column in one batch, or of a dictionary.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// Dictionaries up to this size are shared by all batches of a stripe.
const KEPT_DICTIONARY_BYTES: usize = 64 << 10;

/// Items of the lists of one column in one batch.
const ITEMS_MAX: usize = 1 << 26;

/// Values that a vector has room for before the first is there.
const CAPACITY: usize = 8192;

/// The beginning of 2015, from which timestamps are counted.
const EPOCH_SECONDS: i64 = 1_420_070_400;

/// See the module.
#[derive(Debug)]
pub(super) struct Column {
    present: Option<BitRle>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Boolean(BitRle),
    Byte(ByteRle),
    Short(IntRle),
    Int(IntRle),
    Long(IntRle),
    Date(IntRle),
    Float(ByteStream),
    Double(ByteStream),
    Decimal {
        digits: ByteStream,
        scales: IntRle,
        precision: u8,
        scale: u8,
    },
    Timestamp {
        seconds: IntRle,
        nanoseconds: IntRle,
        clock: Clock,
        is_instant: bool,
    },
    Bytes {
        lengths: IntRle,
        bytes: ByteStream,
        is_text: bool,
    },
    /// Where each text ends in `texts`.
    Dictionary {
        indexes: IntRle,
        texts: Buffer,
        ends: Vec<u32>,
    },
    Struct {
        fields: Fields,
        children: Vec<Column>,
    },
    List {
        lengths: IntRle,
        field: FieldRef,
        item: Box<Column>,
    },
    Map {
        lengths: IntRle,
        entries: FieldRef,
        key: Box<Column>,
        value: Box<Column>,
    },
}

impl Column {
    /// The column that `streams` have of `column`.
    pub(super) fn new(column: &ColumnType, streams: &mut Streams) -> Decoded<Self> {
        let id = column.id;
        let present = streams.has(id, Purpose::Present).then(|| BitRle::new(streams.stream(id, Purpose::Present)));
        let encoding = streams.encoding(id)?;
        let mut numbers = |purpose, is_signed| IntRle::new(streams.stream(id, purpose), encoding.is_newer, is_signed);
        let values = match column.kind {
            Kind::Boolean => Values::Boolean(BitRle::new(streams.stream(id, Purpose::Data))),
            Kind::Byte => Values::Byte(ByteRle::new(streams.stream(id, Purpose::Data))),
            Kind::Short => Values::Short(numbers(Purpose::Data, true)),
            Kind::Int => Values::Int(numbers(Purpose::Data, true)),
            Kind::Long => Values::Long(numbers(Purpose::Data, true)),
            Kind::Date => Values::Date(numbers(Purpose::Data, true)),
            Kind::Float => Values::Float(streams.stream(id, Purpose::Data)),
            Kind::Double => Values::Double(streams.stream(id, Purpose::Data)),
            Kind::Decimal { precision, scale } => {
                let scales = numbers(Purpose::Secondary, true);
                Values::Decimal { digits: streams.stream(id, Purpose::Data), scales, precision, scale }
            }
            Kind::Timestamp | Kind::Instant => {
                let is_instant = column.kind == Kind::Instant;
                let (seconds, nanoseconds) = (numbers(Purpose::Data, true), numbers(Purpose::Secondary, false));
                let clock = Clock::new(streams.zone.filter(|_| !is_instant))?;
                Values::Timestamp { seconds, nanoseconds, clock, is_instant }
            }
            Kind::Text | Kind::Char if encoding.has_dictionary => {
                let (indexes, lengths) = (numbers(Purpose::Data, false), numbers(Purpose::Length, false));
                let texts = streams.stream(id, Purpose::Dictionary).rest(TEXT_BYTES_MAX)?;
                dictionary(indexes, lengths, texts, encoding.dictionary_size)?
            }
            Kind::Text | Kind::Char | Kind::Binary => {
                let lengths = numbers(Purpose::Length, false);
                let bytes = streams.stream(id, Purpose::Data);
                Values::Bytes { lengths, bytes, is_text: column.kind != Kind::Binary }
            }
            Kind::Struct => {
                let ArrowType::Struct(fields) = arrow_type(&column.data_type()?) else { return Err(mismatch()) };
                let children = column.children.iter().map(|(_, child)| Self::new(child, streams));
                Values::Struct { fields, children: children.collect::<Decoded<_>>()? }
            }
            Kind::List => {
                let ArrowType::List(field) = arrow_type(&column.data_type()?) else { return Err(mismatch()) };
                let lengths = numbers(Purpose::Length, false);
                let item = Box::new(Self::new(&column.children[0].1, streams)?);
                Values::List { lengths, field, item }
            }
            Kind::Map => {
                let ArrowType::Map(entries, _) = arrow_type(&column.data_type()?) else { return Err(mismatch()) };
                let lengths = numbers(Purpose::Length, false);
                let key = Box::new(Self::new(&column.children[0].1, streams)?);
                let value = Box::new(Self::new(&column.children[1].1, streams)?);
                Values::Map { lengths, entries, key, value }
            }
            Kind::Union => return Err(Fault::Unsupported("Unions are not supported.".to_owned())),
        };
        Ok(Self { present, values })
    }

    /// The next `count` values. Where `parents` are NULL there is none.
    pub(super) fn read(&mut self, count: usize, parents: Option<&NullBuffer>) -> Decoded<ArrayRef> {
        let nulls = self.nulls(count, parents)?;
        let places = nulls.as_ref();
        Ok(match &mut self.values {
            Values::Boolean(bits) => {
                let values: BooleanBuffer = gather(count, places, || bits.bit())?.into();
                Arc::new(BooleanArray::new(values, nulls))
            }
            Values::Byte(bytes) => {
                let values = gather(count, places, || Ok(bytes.byte()? as i8))?;
                Arc::new(Int8Array::new(values.into(), nulls))
            }
            Values::Short(numbers) => {
                let values = gather(count, places, || narrow(numbers.number()?))?;
                Arc::new(Int16Array::new(values.into(), nulls))
            }
            Values::Int(numbers) => {
                let values = gather(count, places, || narrow(numbers.number()?))?;
                Arc::new(Int32Array::new(values.into(), nulls))
            }
            Values::Date(numbers) => {
                let values = gather(count, places, || narrow(numbers.number()?))?;
                Arc::new(Date32Array::new(values.into(), nulls))
            }
            Values::Long(numbers) => {
                let values = gather(count, places, || numbers.number())?;
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Values::Float(stream) => {
                let values = gather(count, places, || {
                    let mut bytes = [0; 4];
                    stream.exact(&mut bytes)?;
                    Ok(f32::from_le_bytes(bytes))
                })?;
                Arc::new(Float32Array::new(values.into(), nulls))
            }
            Values::Double(stream) => {
                let values = gather(count, places, || {
                    let mut bytes = [0; 8];
                    stream.exact(&mut bytes)?;
                    Ok(f64::from_le_bytes(bytes))
                })?;
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Values::Decimal { digits, scales, precision, scale } => {
                let limit = 10_i128.pow(u32::from(*precision));
                let values = gather(count, places, || {
                    let value = rescale(digits.wide_varint()?, scales.number()?, *scale);
                    let value = value.filter(|value| value.unsigned_abs() < limit.unsigned_abs());
                    value.ok_or_else(|| Fault::corrupt("a decimal has more digits than its type"))
                })?;
                let values = Decimal128Array::new(values.into(), nulls);
                Arc::new(values.with_precision_and_scale(*precision, *scale as i8).map_err(invalid)?)
            }
            Values::Timestamp { seconds, nanoseconds, clock, is_instant } => {
                let values = gather(count, places, || clock.micros(seconds.number()?, nanoseconds.number()?))?;
                let values = TimestampMicrosecondArray::new(values.into(), nulls);
                if *is_instant { Arc::new(values.with_timezone("UTC")) } else { Arc::new(values) }
            }
            Values::Bytes { lengths, bytes, is_text } => {
                let mut all = Vec::new();
                let ends = gather(count, places, || {
                    let length = narrow::<u32>(lengths.number()?)? as usize;
                    if all.len() + length > TEXT_BYTES_MAX {
                        return Err(Fault::Limit("The texts of one batch of rows have more than 1 GB.".to_owned()));
                    }
                    bytes.append(length, &mut all)?;
                    Ok((all.len() as u32, length as u32))
                })?;
                let views = ends.into_iter().map(|(end, length)| (end - length, end)).collect();
                byte_views(views, all.into(), nulls, *is_text)?
            }
            Values::Dictionary { indexes, texts, ends } => {
                let views = gather(count, places, || {
                    let index = usize::try_from(indexes.number()?).unwrap_or(usize::MAX);
                    let end = *ends.get(index).ok_or_else(|| Fault::corrupt("a text is not in its dictionary"))?;
                    Ok((index.checked_sub(1).map_or(0, |before| ends[before]), end))
                })?;
                let values = byte_views(views, texts.clone(), nulls, true)?;
                // Whoever holds a few rows shall not hold, and pay for, the dictionary.
                if texts.len() > KEPT_DICTIONARY_BYTES { Arc::new(values.as_string_view().gc()) } else { values }
            }
            Values::Struct { fields, children } => {
                let children = children.iter_mut().map(|child| child.read(count, places)).collect::<Decoded<_>>()?;
                let made = StructArray::try_new_with_length(fields.clone(), children, nulls, count);
                Arc::new(made.map_err(invalid)?)
            }
            Values::List { lengths, field, item } => {
                let (offsets, total) = offsets(count, places, lengths)?;
                let items = item.read(total, None)?;
                Arc::new(ListArray::try_new(Arc::clone(field), offsets, items, nulls).map_err(invalid)?)
            }
            Values::Map { lengths, entries, key, value } => {
                let (offsets, total) = offsets(count, places, lengths)?;
                let (keys, values) = (key.read(total, None)?, value.read(total, None)?);
                if keys.null_count() > 0 {
                    return Err(Fault::Unsupported("A map has a key that is NULL.".to_owned()));
                }
                let ArrowType::Struct(pair) = entries.data_type() else { return Err(mismatch()) };
                let made = StructArray::try_new_with_length(pair.clone(), vec![keys, values], None, total);
                let entries: FieldRef = Arc::clone(entries);
                Arc::new(MapArray::try_new(entries, offsets, made.map_err(invalid)?, nulls, false).map_err(invalid)?)
            }
        })
    }

    fn nulls(&mut self, count: usize, parents: Option<&NullBuffer>) -> Decoded<Option<NullBuffer>> {
        let Some(present) = &mut self.present else { return Ok(parents.cloned()) };
        let mut valid = BooleanBufferBuilder::new(count);
        for index in 0..count {
            valid.append(parents.is_none_or(|parents| parents.is_valid(index)) && present.bit()?);
        }
        Ok(Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0))
    }
}

/// `count` values, of which `next` gives those that are not NULL.
fn gather<T: Copy + Default>(
    count: usize,
    nulls: Option<&NullBuffer>,
    mut next: impl FnMut() -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let mut values = Vec::with_capacity(count.min(CAPACITY));
    for index in 0..count {
        let is_valid = nulls.is_none_or(|nulls| nulls.is_valid(index));
        values.push(if is_valid { next()? } else { T::default() });
    }
    Ok(values)
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Decoded<T> {
    T::try_from(number).map_err(|_| Fault::corrupt(format!("the number {number} is out of its type's range")))
}

fn invalid(error: ArrowError) -> Fault {
    Fault::corrupt(error.to_string())
}

fn mismatch() -> Fault {
    Fault::corrupt("its types are invalid")
}

/// Each value has a scale of its own.
fn rescale(value: i128, from: i64, to: u8) -> Option<i128> {
    let power = |exponent: i64| 10_i128.checked_pow(u32::try_from(exponent).ok()?);
    let more = i64::from(to).checked_sub(from)?;
    if more >= 0 { value.checked_mul(power(more)?) } else { Some(value / power(more.checked_neg()?)?) }
}

/// Where lists begin, and how many items they have together.
fn offsets(count: usize, nulls: Option<&NullBuffer>, lengths: &mut IntRle) -> Decoded<(OffsetBuffer<i32>, usize)> {
    let mut total = 0_usize;
    let mut offsets = vec![0];
    let ends = gather(count, nulls, || {
        total = total.saturating_add(narrow::<u32>(lengths.number()?)? as usize);
        if total > ITEMS_MAX {
            return Err(Fault::Limit(format!("The lists of one batch of rows have more than {ITEMS_MAX} items.")));
        }
        Ok(total as i32)
    })?;
    // A list that is NULL has no end of its own.
    offsets.extend(ends.into_iter().scan(0, |last, end| {
        *last = end.max(*last);
        Some(*last)
    }));
    Ok((OffsetBuffer::new(offsets.into()), total))
}

/// The texts of a dictionary, and what refers to them.
fn dictionary(indexes: IntRle, mut lengths: IntRle, texts: Vec<u8>, size: u64) -> Decoded<Values> {
    let mut ends = Vec::new();
    let mut end = 0_u32;
    for _ in 0..size {
        let length = narrow::<u32>(lengths.number()?)?;
        end = end
            .checked_add(length)
            .filter(|end| *end as usize <= texts.len())
            .ok_or_else(|| Fault::corrupt("a dictionary is shorter than its texts"))?;
        ends.push(end);
    }
    Ok(Values::Dictionary { indexes, texts: texts.into(), ends })
}

/// Texts or byte strings that lie in `bytes` from place to place.
fn byte_views(places: Vec<(u32, u32)>, bytes: Buffer, nulls: Option<NullBuffer>, is_text: bool) -> Decoded<ArrayRef> {
    let view = |(start, end): (u32, u32)| make_view(&bytes[start as usize..end as usize], 0, start);
    let views: ScalarBuffer<u128> = places.into_iter().map(view).collect();
    if is_text {
        let made = StringViewArray::try_new(views, vec![bytes.clone()], nulls).map_err(|_| Fault::Encoding)?;
        return Ok(Arc::new(made));
    }
    Ok(Arc::new(BinaryViewArray::try_new(views, vec![bytes.clone()], nulls).map_err(invalid)?))
}

/// What timestamps are counted from, and where their wall clock was.
#[derive(Debug)]
struct Clock {
    /// Seconds since 1970.
    start: i64,
    zone: Option<Zone>,
}

impl Clock {
    fn new(zone: Option<Zone>) -> Decoded<Self> {
        let start = match zone {
            None => EPOCH_SECONDS,
            Some(Zone::Offset(east)) => EPOCH_SECONDS - i64::from(east),
            Some(Zone::Named(zone)) => {
                let midnight = NaiveDate::from_ymd_opt(2015, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0));
                let midnight = midnight.and_then(|midnight| zone.from_local_datetime(&midnight).earliest());
                midnight.ok_or_else(|| Fault::corrupt("its writer's time zone has no year 2015"))?.timestamp()
            }
        };
        Ok(Self { start, zone })
    }

    /// Microseconds since 1970: of the wall clock where it stood in a zone.
    fn micros(&self, seconds: i64, nanoseconds: i64) -> Decoded<i64> {
        let out_of_range = || Fault::corrupt("a timestamp is out of range");
        // The lowest three bits say how many zeros were cut off, less one.
        let zeros = (nanoseconds & 7) as u32;
        // Arrow's writer has them negative before 1970, as its reader takes them.
        let nanoseconds = nanoseconds >> 3;
        let factor = if zeros == 0 { 1 } else { 10_i64.pow(zeros + 1) };
        let nanoseconds =
            nanoseconds.checked_mul(factor).filter(|nanoseconds| nanoseconds.unsigned_abs() < 1_000_000_000);
        let nanoseconds = nanoseconds.ok_or_else(out_of_range)?;
        let mut seconds = self.start.checked_add(seconds).ok_or_else(out_of_range)?;
        // Writers round towards 1970, if there is more than a millisecond to round.
        if seconds < 0 && nanoseconds > 999_999 {
            seconds -= 1;
        }
        let east = match self.zone {
            None => 0,
            Some(Zone::Offset(east)) => east,
            Some(Zone::Named(zone)) => {
                let moment = DateTime::from_timestamp(seconds, 0).ok_or_else(out_of_range)?;
                zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc()
            }
        };
        let micros = seconds.checked_add(i64::from(east)).and_then(|seconds| seconds.checked_mul(1_000_000));
        micros.and_then(|micros| micros.checked_add(nanoseconds.div_euclid(1000))).ok_or_else(out_of_range)
    }
}
