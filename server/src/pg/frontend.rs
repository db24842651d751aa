//! Client messages: one message's bytes -> [`Frontend`]. Every read is checked and the message must be used up, so that
//! no client can make the server see other messages than it was sent.

use bytes::{Buf, Bytes};

use super::encode::Format;
use super::error::PgError;
use super::parameter::utf8;

/// What is meant by Describe and Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Statement,
    Portal,
}

/// A message of an authenticated client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frontend {
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target, String),
    Execute {
        portal: String,
        max_rows: i32,
    },
    Close(Target, String),
    Sync,
    Flush,
    Terminate,
    FunctionCall,
    /// CopyData, CopyDone, CopyFail.
    Copy,
}

/// Bind's fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Vec<Format>,
    pub(crate) parameters: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<Format>,
}

/// Whether an error in this message is followed by skipping to Sync.
pub(crate) fn is_extended(kind: u8) -> bool {
    matches!(kind, b'P' | b'B' | b'D' | b'E' | b'C' | b'H')
}

/// Whether clients send messages of this type at all. Anything else means that the two sides have lost each other.
pub(crate) fn is_known(kind: u8) -> bool {
    matches!(kind, b'Q' | b'S' | b'X' | b'F' | b'd' | b'c' | b'f' | b'p') || is_extended(kind)
}

/// Decodes the body of a message.
///
/// # Errors
/// `08P01` for a malformed message, `22021` for text that is not UTF-8.
pub(crate) fn decode(kind: u8, body: Bytes) -> Result<Frontend, PgError> {
    let mut reader = Reader::new(body);
    let message = match kind {
        b'Q' => Frontend::Query(reader.string()?),
        b'P' => {
            let (name, sql) = (reader.string()?, reader.string()?);
            let types = (0..reader.count()?).map(|_| reader.u32()).collect::<Result<_, _>>()?;
            Frontend::Parse { name, sql, types }
        }
        b'B' => Frontend::Bind(reader.bind()?),
        b'D' => Frontend::Describe(reader.target()?, reader.string()?),
        b'C' => Frontend::Close(reader.target()?, reader.string()?),
        b'E' => Frontend::Execute { portal: reader.string()?, max_rows: reader.i32()? },
        b'S' => Frontend::Sync,
        b'H' => Frontend::Flush,
        b'X' => Frontend::Terminate,
        // Their bodies are of no interest.
        b'F' => return Ok(Frontend::FunctionCall),
        b'd' | b'c' | b'f' => return Ok(Frontend::Copy),
        _ => return Err(PgError::protocol(format!("invalid frontend message type {kind}")).fatal()),
    };
    reader.finish()?;
    Ok(message)
}

/// Reads fields of one message.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(crate) fn i32(&mut self) -> Result<i32, PgError> {
        self.bytes.try_get_i32().map_err(|_| short())
    }

    fn u32(&mut self) -> Result<u32, PgError> {
        self.bytes.try_get_u32().map_err(|_| short())
    }

    /// A count of fields: an int16 that PostgreSQL takes as unsigned.
    fn count(&mut self) -> Result<u16, PgError> {
        self.bytes.try_get_u16().map_err(|_| short())
    }

    /// Bytes up to a NUL, which must be inside the message.
    pub(crate) fn string(&mut self) -> Result<String, PgError> {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| PgError::protocol("invalid string in message"))?;
        let text = self.bytes.split_to(end);
        self.bytes.advance(1);
        Ok(utf8(&text)?.to_owned())
    }

    pub(crate) fn bytes(&mut self, length: i32) -> Result<Bytes, PgError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len()).ok_or_else(short)?;
        Ok(self.bytes.split_to(length))
    }

    pub(crate) fn rest(&mut self) -> Bytes {
        self.bytes.split_to(self.bytes.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// # Errors
    /// When something is left.
    pub(crate) fn finish(self) -> Result<(), PgError> {
        if self.is_empty() { Ok(()) } else { Err(PgError::protocol("invalid message format")) }
    }

    fn target(&mut self) -> Result<Target, PgError> {
        match self.bytes.try_get_u8().map_err(|_| short())? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(PgError::protocol(format!("invalid DESCRIBE or CLOSE message subtype {other}"))),
        }
    }

    fn formats(&mut self) -> Result<Vec<Format>, PgError> {
        let format = |reader: &mut Self| match reader.count()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            code => Err(PgError::new("22023", format!("unsupported format code: {}", code as i16))),
        };
        (0..self.count()?).map(|_| format(self)).collect()
    }

    fn bind(&mut self) -> Result<Bind, PgError> {
        let portal = self.string()?;
        let statement = self.string()?;
        let formats = self.formats()?;
        let count = self.count()?;
        let mut parameters = Vec::new();
        for _ in 0..count {
            parameters.push(match self.i32()? {
                -1 => None,
                length => Some(self.bytes(length)?),
            });
        }
        let result_formats = self.formats()?;
        Ok(Bind { portal, statement, formats, parameters, result_formats })
    }
}

fn short() -> PgError {
    PgError::protocol("insufficient data left in message")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(kind in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(kind, Bytes::from(body));
        }

        /// Random bytes rarely look like a Bind; mutated ones do.
        #[test]
        fn a_damaged_bind_never_panics(at in 0_usize..40, byte in any::<u8>(), cut in 0_usize..40) {
            let mut body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x03abc\0\x01\0\x01".to_vec();
            let at = at % body.len();
            body[at] = byte;
            body.truncate(body.len() - cut.min(body.len()));
            let _ = decode(b'B', Bytes::from(body));
        }
    }

    #[test]
    fn decodes_bind() {
        let body = Bytes::from_static(b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x03abc\0\x01\0\x00");
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            formats: vec![Format::Binary],
            parameters: vec![None, Some(Bytes::from_static(b"abc"))],
            result_formats: vec![Format::Text],
        };
        assert_eq!(decode(b'B', body).unwrap(), Frontend::Bind(expected));
    }

    #[test]
    fn malformed_messages_say_how() {
        let cases: &[(u8, &[u8], &str)] = &[
            (b'Q', b"select 1", "08P01"),
            (b'Q', b"select 1\0x", "08P01"),
            (b'Q', b"select '\xff'\0", "22021"),
            (b'S', b"x", "08P01"),
            (b'D', b"Qx\0", "08P01"),
            (b'E', b"p\0\0\0", "08P01"),
            (b'P', b"\0select 1\0\xff\xff", "08P01"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x7fx", "08P01"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "08P01"),
            (b'B', b"\0\0\0\x01\0\x07\0\0\0\0", "22023"),
            (b'!', b"", "08P01"),
        ];
        for (kind, body, sqlstate) in cases {
            let error = decode(*kind, Bytes::from_static(body)).unwrap_err();
            assert_eq!(error.sqlstate, *sqlstate, "{:?} {body:?}", char::from(*kind));
        }
    }
}
