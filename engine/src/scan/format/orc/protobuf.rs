//! As much of protobuf as ORC's metadata needs: a message, field by field, over borrowed bytes.

use super::{Decoded, Fault};

/// What a field has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Number(u64),
    /// A text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes, which nobody asks for.
    Fixed,
}

/// The fields of a message, in the order in which they were written.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: u64) -> Decoded<&'a [u8]> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.rest.len()).ok_or_else(invalid)?;
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Decoded<(u64, Value<'a>)> {
        let key = varint(&mut self.rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(invalid()),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Decoded<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> Decoded<u64> {
        if let Self::Number(number) = self { Ok(number) } else { Err(invalid()) }
    }

    /// A number written as `sint64`.
    pub(super) fn signed(self) -> Decoded<i64> {
        self.number().map(zigzag)
    }

    pub(super) fn bytes(self) -> Decoded<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(invalid()) }
    }

    pub(super) fn fields(self) -> Decoded<Fields<'a>> {
        self.bytes().map(Fields::new)
    }

    pub(super) fn text(self) -> Decoded<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| invalid())
    }

    /// Adds the numbers of a repeated field, packed or not.
    pub(super) fn numbers(self, into: &mut Vec<u64>) -> Decoded<()> {
        match self {
            Self::Number(number) => into.push(number),
            Self::Bytes(mut packed) => {
                while !packed.is_empty() {
                    into.push(varint(&mut packed)?);
                }
            }
            Self::Fixed => return Err(invalid()),
        }
        Ok(())
    }
}

pub(super) fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn varint(bytes: &mut &[u8]) -> Decoded<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(invalid)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(invalid())
}

fn invalid() -> Fault {
    Fault::corrupt("its metadata is invalid")
}
