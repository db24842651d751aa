//! The frozen form of [`FileFacts`] on disk: bytes, because a lake has millions of files.
//!
//! ```text
//! format 1:  1  row_count  row_group_count  text?(read_as)  column_count  column*
//! column:    text(name)  text(type, empty for none)  flags  null_count?  bound?  bound?  byte_size?  bytes(sketch)?
//! flags:     1 null_count  2 min  4 max  8 byte_size  16 sketch  32 min is exact  64 max is exact
//! bound:     kind  value     kinds: 0 false, 1 true, 2 int (zigzag), 3 decimal (16 bytes), 4 float (8 bytes), 5 text, 6 bytes
//! ```
//! Numbers are LEB128; text and bytes have their length in front. A record of another format, or one that is cut off, reads
//! as nothing known: its file is looked at again.

use super::{Bound, ColumnFacts, FactValue, FileFacts};

/// The newest form, which is the one that is written.
const FORMAT: u8 = 1;

/// Columns of a record that is believed; a table has fewer.
const COLUMN_COUNT_MAX: u64 = 100_000;

const NULL_COUNT: u8 = 1;
const MIN: u8 = 2;
const MAX: u8 = 4;
const BYTE_SIZE: u8 = 8;
const SKETCH: u8 = 16;
const MIN_IS_EXACT: u8 = 32;
const MAX_IS_EXACT: u8 = 64;

/// The bytes that are kept.
pub fn encode(facts: &FileFacts) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_number(&mut out, facts.row_count);
    put_number(&mut out, facts.row_group_count);
    match &facts.read_as {
        Some(text) => {
            out.push(1);
            put_bytes(&mut out, text.as_bytes());
        }
        None => out.push(0),
    }
    put_number(&mut out, facts.columns.len() as u64);
    for column in &facts.columns {
        put_column(&mut out, column);
    }
    out
}

/// What [`encode`] wrote; `None` for bytes that are no such record.
pub fn decode(bytes: &[u8]) -> Option<FileFacts> {
    let mut input = Input(bytes);
    if input.byte()? != FORMAT {
        return None;
    }
    let (row_count, row_group_count) = (input.number()?, input.number()?);
    let read_as = match input.byte()? {
        0 => None,
        1 => Some(input.text()?.into()),
        _ => return None,
    };
    let column_count = input.number().filter(|count| *count <= COLUMN_COUNT_MAX)?;
    let columns = (0..column_count).map(|_| column(&mut input)).collect::<Option<Vec<_>>>()?;
    input.0.is_empty().then_some(FileFacts { row_count, row_group_count, read_as, columns })
}

fn put_column(out: &mut Vec<u8>, column: &ColumnFacts) {
    put_bytes(out, column.name.as_bytes());
    let data_type = column.data_type.as_ref().map(ToString::to_string).unwrap_or_default();
    put_bytes(out, data_type.as_bytes());
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let is_exact = |bound: &Option<Bound>| bound.as_ref().is_some_and(|bound| bound.is_exact);
    out.push(
        flag(column.null_count.is_some(), NULL_COUNT)
            | flag(column.min.is_some(), MIN)
            | flag(column.max.is_some(), MAX)
            | flag(column.byte_size.is_some(), BYTE_SIZE)
            | flag(column.sketch.is_some(), SKETCH)
            | flag(is_exact(&column.min), MIN_IS_EXACT)
            | flag(is_exact(&column.max), MAX_IS_EXACT),
    );
    if let Some(count) = column.null_count {
        put_number(out, count);
    }
    for bound in [&column.min, &column.max].into_iter().flatten() {
        put_value(out, &bound.value);
    }
    if let Some(size) = column.byte_size {
        put_number(out, size);
    }
    if let Some(sketch) = &column.sketch {
        put_bytes(out, sketch);
    }
}

fn column(input: &mut Input<'_>) -> Option<ColumnFacts> {
    let name = input.text()?.into();
    let data_type = match input.text()? {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    let flags = input.byte()?;
    let has = |flag: u8| flags & flag != 0;
    let null_count = if has(NULL_COUNT) { Some(input.number()?) } else { None };
    let min = if has(MIN) { Some(Bound { value: input.value()?, is_exact: has(MIN_IS_EXACT) }) } else { None };
    let max = if has(MAX) { Some(Bound { value: input.value()?, is_exact: has(MAX_IS_EXACT) }) } else { None };
    let byte_size = if has(BYTE_SIZE) { Some(input.number()?) } else { None };
    let sketch = if has(SKETCH) { Some(input.bytes()?.into()) } else { None };
    Some(ColumnFacts { name, data_type, null_count, min, max, byte_size, sketch })
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &FactValue) {
    match value {
        FactValue::Boolean(value) => out.push(u8::from(*value)),
        FactValue::Int(value) => {
            out.push(2);
            put_number(out, ((value << 1) ^ (value >> 63)) as u64);
        }
        FactValue::Decimal(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_le_bytes());
        }
        FactValue::Float(value) => {
            out.push(4);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        FactValue::Text(value) => {
            out.push(5);
            put_bytes(out, value.as_bytes());
        }
        FactValue::Bytes(value) => {
            out.push(6);
            put_bytes(out, value);
        }
    }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn value(&mut self) -> Option<FactValue> {
        Some(match self.byte()? {
            0 => FactValue::Boolean(false),
            1 => FactValue::Boolean(true),
            2 => {
                let number = self.number()?;
                FactValue::Int((number >> 1) as i64 ^ -((number & 1) as i64))
            }
            3 => FactValue::Decimal(i128::from_le_bytes(self.take(16)?.try_into().ok()?)),
            4 => FactValue::Float(f64::from_bits(u64::from_le_bytes(self.take(8)?.try_into().ok()?))),
            5 => FactValue::Text(self.text()?.into()),
            6 => FactValue::Bytes(self.bytes()?.into()),
            _ => return None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::DataType;

    fn any_bound() -> impl Strategy<Value = Option<Bound>> {
        let value = prop_oneof![
            any::<bool>().prop_map(FactValue::Boolean),
            any::<i64>().prop_map(FactValue::Int),
            any::<i128>().prop_map(FactValue::Decimal),
            (-1e300..1e300_f64).prop_map(FactValue::Float),
            any::<String>().prop_map(|text| FactValue::Text(text.into())),
            any::<Vec<u8>>().prop_map(|bytes| FactValue::Bytes(bytes.into())),
        ];
        prop::option::of((value, any::<bool>()).prop_map(|(value, is_exact)| Bound { value, is_exact }))
    }

    fn any_column() -> impl Strategy<Value = ColumnFacts> {
        let types = [None, Some(DataType::Int), Some(DataType::Decimal(12, 2)), Some(DataType::TimestampTz)];
        let counts = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<Vec<u8>>>());
        (any::<String>(), prop::sample::select(types.to_vec()), any_bound(), any_bound(), counts).prop_map(
            |(name, data_type, min, max, (null_count, byte_size, sketch))| ColumnFacts {
                name: name.into(),
                data_type,
                null_count,
                min,
                max,
                byte_size,
                sketch: sketch.map(Into::into),
            },
        )
    }

    fn any_facts() -> impl Strategy<Value = FileFacts> {
        let columns = prop::collection::vec(any_column(), 0..5);
        (any::<u64>(), any::<u64>(), any::<Option<String>>(), columns).prop_map(
            |(row_count, row_group_count, read_as, columns)| FileFacts {
                row_count,
                row_group_count,
                read_as: read_as.map(Into::into),
                columns,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(facts in any_facts()) {
            let bytes = encode(&facts);
            prop_assert_eq!(decode(&bytes), Some(facts));
            // Cut off anywhere, it is nothing.
            for length in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..length]), None);
            }
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
            bytes.insert(0, FORMAT);
            let _ = decode(&bytes);
        }
    }

    /// Written by format 1. These bytes may never change: they lie on users' disks.
    #[test]
    fn reads_what_format_1_wrote() {
        let facts = FileFacts {
            row_count: 300,
            row_group_count: 2,
            read_as: None,
            columns: vec![ColumnFacts {
                name: "id".into(),
                data_type: Some(DataType::BigInt),
                null_count: Some(1),
                min: Some(Bound { value: FactValue::Int(-3), is_exact: true }),
                max: Some(Bound { value: FactValue::Int(70), is_exact: false }),
                byte_size: Some(16),
                sketch: None,
            }],
        };
        let bytes = b"\x01\xac\x02\x02\x00\x01\x02id\x06bigint\x2f\x01\x02\x05\x02\x8c\x01\x10";
        assert_eq!(encode(&facts), bytes);
        assert_eq!(decode(bytes).unwrap(), facts);
    }
}
