//! [`Tuples`]: bytes of a binary COPY, in pieces of any size -> its rows
//! (<https://www.postgresql.org/docs/15/sql-copy.html>, "Binary Format").

use bytes::{Buf, Bytes, BytesMut};
use limnos_engine::{Error, ErrorCode, Result};

use super::super::out::BINARY_HEADER;
use crate::limits::COPY_LINE_BYTES_MAX;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A row: its fields are in the vector that was passed in.
    Row,
    /// More bytes are needed.
    More,
    /// Nothing.
    End,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    buffer: BytesMut,
    is_begun: bool,
    is_ended: bool,
    has_trailer: bool,
    /// Bytes of the header's extension that are still to be skipped.
    skip: usize,
    /// The number of the row that was given last, or is being read.
    pub(super) number: u64,
}

impl Tuples {
    /// Adds what the client has sent.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The client has sent all.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }

    /// Reads a row of `expected` fields.
    ///
    /// # Errors
    /// `22P04` for what is no binary COPY.
    pub(super) fn next(&mut self, expected: usize, fields: &mut Vec<Option<Bytes>>) -> Result<Next> {
        if !self.is_begun && !self.begin()? {
            return Ok(Next::More);
        }
        if self.skip > 0 {
            let skipped = self.skip.min(self.buffer.len());
            self.buffer.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 {
                return if self.is_ended {
                    Err(bad("invalid COPY file header (wrong length)"))
                } else {
                    Ok(Next::More)
                };
            }
        }
        if self.has_trailer {
            if !self.buffer.is_empty() {
                return Err(bad("received copy data after EOF marker"));
            }
            return Ok(if self.is_ended { Next::End } else { Next::More });
        }
        let Some(count) = field::<2>(&self.buffer, 0).map(i16::from_be_bytes) else {
            return match self.is_ended {
                // Older servers and clients end without a trailer.
                true if self.buffer.is_empty() => Ok(Next::End),
                true => Err(bad("unexpected EOF in COPY data")),
                false => Ok(Next::More),
            };
        };
        if count == -1 {
            self.buffer.advance(2);
            self.has_trailer = true;
            return self.next(expected, fields);
        }
        self.number += 1;
        if usize::try_from(count) != Ok(expected) {
            return Err(bad(format!("row field count is {count}, expected {expected}")));
        }
        // First where each field is: a row that isn't here in whole is looked at again.
        let mut at = 2;
        for _ in 0..expected {
            let Some(length) = field::<4>(&self.buffer, at).map(i32::from_be_bytes) else { return self.part() };
            at += 4;
            if length < -1 {
                return Err(bad("invalid field size"));
            }
            at += usize::try_from(length).unwrap_or(0);
            if at > COPY_LINE_BYTES_MAX {
                return Err(Error::new(ErrorCode::ProgramLimitExceeded, "row of COPY is too long")
                    .with_detail(format!("A row may have {COPY_LINE_BYTES_MAX} bytes.")));
            }
            if at > self.buffer.len() {
                return self.part();
            }
        }
        let mut row = self.buffer.split_to(at).freeze();
        row.advance(2);
        fields.clear();
        for _ in 0..expected {
            let length = usize::try_from(row.get_i32()).ok();
            fields.push(length.map(|length| row.split_to(length)));
        }
        Ok(Next::Row)
    }

    /// A row of which a part is here.
    fn part(&mut self) -> Result<Next> {
        if self.is_ended {
            return Err(bad("unexpected EOF in COPY data"));
        }
        self.number -= 1;
        Ok(Next::More)
    }

    /// Reads what a binary COPY begins with; false if it isn't here yet.
    fn begin(&mut self) -> Result<bool> {
        const SIGNATURE: &[u8] = BINARY_HEADER.split_at(11).0;
        let here = self.buffer.len().min(SIGNATURE.len());
        if self.buffer[..here] != SIGNATURE[..here] || (self.is_ended && here < SIGNATURE.len()) {
            return Err(bad("COPY file signature not recognized"));
        }
        let (flags, extension) = (field::<4>(&self.buffer, 11), field::<4>(&self.buffer, 15));
        let (Some(flags), Some(extension)) = (flags.map(u32::from_be_bytes), extension.map(i32::from_be_bytes)) else {
            return match (self.is_ended, flags) {
                (false, _) => Ok(false),
                (true, None) => Err(bad("invalid COPY file header (missing flags)")),
                (true, Some(_)) => Err(bad("invalid COPY file header (missing length)")),
            };
        };
        if flags & (1 << 16) != 0 {
            return Err(bad("invalid COPY file header (WITH OIDS)"));
        }
        if flags >> 16 != 0 {
            return Err(bad("unrecognized critical flags in COPY file header"));
        }
        self.skip = usize::try_from(extension).map_err(|_| bad("invalid COPY file header (missing length)"))?;
        self.buffer.advance(BINARY_HEADER.len());
        self.is_begun = true;
        Ok(true)
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::BadCopyFileFormat, message)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> String {
        let mut tuples = Tuples::default();
        let mut pieces = bytes.chunks(piece);
        let (mut out, mut fields) = (String::new(), Vec::new());
        loop {
            match tuples.next(2, &mut fields) {
                Ok(Next::Row) => {
                    let field = |field: &Option<Bytes>| field.as_ref().map_or(-1, |bytes| bytes.len() as i64);
                    let lengths: Vec<i64> = fields.iter().map(field).collect();
                    out.push_str(&format!("{}:{lengths:?} ", tuples.number));
                }
                Ok(Next::More) => match pieces.next() {
                    Some(bytes) => tuples.push(bytes),
                    None => tuples.end(),
                },
                Ok(Next::End) => return out,
                Err(error) => return format!("{out}{}", error.message),
            }
        }
    }

    #[test]
    fn rows_are_read_from_pieces() {
        let header = BINARY_HEADER;
        let row = b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff".as_slice();
        for (parts, expected) in [
            (vec![header, row, row, b"\xff\xff"], "1:[3, -1] 2:[3, -1] "),
            (vec![header, row], "1:[3, -1] "),
            (vec![header, b"\xff\xff", b"x"], "received copy data after EOF marker"),
            (vec![header, &row[..7]], "unexpected EOF in COPY data"),
            (vec![header, b"\0\x03"], "row field count is 3, expected 2"),
            (vec![header, b"\0\x02\xff\xff\xff\xfe"], "invalid field size"),
            (vec![header, b"\0\x02\x7f\xff\xff\xff"], "row of COPY is too long"),
            (vec![b"PGCOPY\n"], "COPY file signature not recognized"),
            (vec![b"1\t2\n1\t2\n"], "COPY file signature not recognized"),
            (vec![&header[..13]], "invalid COPY file header (missing flags)"),
            (vec![&header[..11], b"\0\x01\0\0\0\0\0\0"], "invalid COPY file header (WITH OIDS)"),
            (vec![&header[..15], b"\0\0\0\x02xy", row], "1:[3, -1] "),
            (vec![], "COPY file signature not recognized"),
        ] {
            let bytes = parts.concat();
            for piece in [1, 5, 1000] {
                assert_eq!(read(&bytes, piece), expected, "{bytes:?} in pieces of {piece}");
            }
        }
    }
}
