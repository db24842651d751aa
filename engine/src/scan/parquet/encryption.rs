//! Whether a footer in plain text says that the file's columns are encrypted: a field that the decoder passes over.
//!
//! Thrift's compact protocol, as far as it takes to walk over it:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// The field `encryption_algorithm` of a file's metadata.
const ENCRYPTION_ALGORITHM: i64 = 8;

/// Structs in structs: a footer has four levels.
const DEPTH_MAX: usize = 32;

const STRUCT: u8 = 12;

/// What isn't valid is for the decoder to tell.
pub(super) fn has_encrypted_columns(footer: &[u8]) -> bool {
    let mut walk = Walk { rest: footer };
    let mut field = 0;
    while let Some((id, kind)) = walk.field(field) {
        if id == ENCRYPTION_ALGORITHM {
            return kind == STRUCT;
        }
        if walk.value(kind, 0).is_none() {
            return false;
        }
        field = id;
    }
    false
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    /// The next field's number and type; `None` at the struct's end.
    fn field(&mut self, before: i64) -> Option<(i64, u8)> {
        let header = self.byte()?;
        if header == 0 {
            return None;
        }
        let id = match header >> 4 {
            0 => {
                let number = self.varint()?;
                (number >> 1) as i64 ^ -((number & 1) as i64)
            }
            delta => before + i64::from(delta),
        };
        Some((id, header & 0x0f))
    }

    /// Passes over a value.
    fn value(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            // A boolean of a field is in its type.
            1 | 2 => Some(()),
            3 => self.skip(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                for _ in 0..count {
                    self.element(header & 0x0f, depth)?;
                }
                Some(())
            }
            11 => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                for _ in 0..count {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 0x0f, depth)?;
                }
                Some(())
            }
            STRUCT => {
                let mut field = 0;
                loop {
                    if *self.rest.first()? == 0 {
                        return self.skip(1);
                    }
                    let (id, kind) = self.field(field)?;
                    self.value(kind, depth + 1)?;
                    field = id;
                }
            }
            _ => None,
        }
    }

    /// In a list, a boolean is a byte.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, 1 | 2) { self.skip(1) } else { self.value(kind, depth + 1) }
    }
}
