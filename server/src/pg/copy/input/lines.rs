//! [`Lines`]: bytes of a text or CSV COPY, in pieces of any size -> its lines, by the rules of PostgreSQL's
//! `CopyReadLineText`: the first line's end decides what ends the others, quotes hide line ends in CSV, and `\.` is the end.

use bytes::{Buf, BytesMut};
use limnos_engine::{Error, ErrorCode, Result};

use super::super::options::Layout;
use crate::limits::COPY_LINE_BYTES_MAX;

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    Both,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line of this many bytes, at the start of the buffer; [`Lines::skip`] takes it away.
    Line(usize),
    /// More bytes are needed.
    More,
    /// Nothing.
    End,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// Where to go on looking.
    at: usize,
    /// Bytes of the line's end, behind the line that was given last.
    line_end_bytes: usize,
    quote: Option<u8>,
    /// `None` if it is the quote.
    escape: Option<u8>,
    special: [bool; 256],
    line_end: LineEnd,
    in_quote: bool,
    after_escape: bool,
    /// No more bytes come.
    is_ended: bool,
    /// The end was told by `\.`: what follows is let go.
    is_marked: bool,
    /// The number of the line that was given last, as PostgreSQL counts: line ends inside quotes count, too.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn new(layout: Layout) -> Self {
        let mut special = [false; 256];
        b"\r\n\\".iter().for_each(|byte| special[usize::from(*byte)] = true);
        let (mut quote, mut escape) = (None, None);
        if let Layout::Csv { quote: q, escape: e } = layout {
            quote = Some(q);
            escape = Some(e).filter(|escape| *escape != q);
            special[usize::from(q)] = true;
            special[usize::from(e)] = true;
        }
        Self {
            buffer: BytesMut::new(),
            at: 0,
            line_end_bytes: 0,
            quote,
            escape,
            special,
            line_end: LineEnd::Unknown,
            in_quote: false,
            after_escape: false,
            is_ended: false,
            is_marked: false,
            number: 0,
        }
    }

    /// Adds what the client has sent.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.is_marked {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The client has sent all.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }

    /// The line that [`Next::Line`] spoke of.
    pub(super) fn line(&self, length: usize) -> &[u8] {
        &self.buffer[..length]
    }

    /// Takes the line and its end away.
    pub(super) fn skip(&mut self, length: usize) {
        self.buffer.advance(length + self.line_end_bytes);
        self.at = 0;
    }

    /// The number of the line that is being looked for.
    pub(super) fn next_number(&self) -> u64 {
        self.number + u64::from(self.at == 0)
    }

    /// Looks for the next line.
    ///
    /// # Errors
    /// Line ends of another kind than the first, a marker of the end that isn't one, a line that is too long.
    pub(super) fn next(&mut self) -> Result<Next> {
        if self.is_marked {
            return Ok(Next::End);
        }
        if self.at == 0 {
            self.number += 1;
            (self.in_quote, self.after_escape) = (false, false);
        }
        let found = self.find();
        if self.at > COPY_LINE_BYTES_MAX {
            return Err(Error::new(ErrorCode::ProgramLimitExceeded, "line of COPY is too long")
                .with_detail(format!("A line may have {COPY_LINE_BYTES_MAX} bytes.")));
        }
        match found? {
            Next::More if self.at == 0 => {
                // It is not begun: it will be counted when it is.
                self.number -= 1;
                Ok(Next::More)
            }
            next => Ok(next),
        }
    }

    fn find(&mut self) -> Result<Next> {
        let is_csv = self.quote.is_some();
        loop {
            let Some(skipped) = self.buffer[self.at..].iter().position(|byte| self.special[usize::from(*byte)]) else {
                if self.at < self.buffer.len() {
                    self.after_escape = false;
                    self.at = self.buffer.len();
                }
                return Ok(self.rest());
            };
            if skipped > 0 {
                self.after_escape = false;
                self.at += skipped;
            }
            let byte = self.buffer[self.at];
            let ahead = |count: usize| self.buffer.get(self.at + count).copied();
            // A return may be followed by a newline, a backslash by a point and a line end: it is decided when they are here.
            if matches!(byte, b'\r' | b'\\') && self.at + 3 >= self.buffer.len() && !self.is_ended {
                return Ok(Next::More);
            }
            if is_csv {
                if self.in_quote && Some(byte) == self.escape {
                    self.after_escape = !self.after_escape;
                }
                if Some(byte) == self.quote && !self.after_escape {
                    self.in_quote = !self.in_quote;
                }
                if Some(byte) != self.escape {
                    self.after_escape = false;
                }
                let counted = if self.line_end == LineEnd::Newline { b'\n' } else { b'\r' };
                self.number += u64::from(self.in_quote && byte == counted);
            }
            match byte {
                b'\r' if !self.in_quote => {
                    match self.line_end {
                        LineEnd::Unknown | LineEnd::Both if ahead(1) == Some(b'\n') => self.line_end = LineEnd::Both,
                        LineEnd::Unknown | LineEnd::Return => self.line_end = LineEnd::Return,
                        LineEnd::Both | LineEnd::Newline => return Err(self.stray(byte)),
                    }
                    self.line_end_bytes = 1 + usize::from(self.line_end == LineEnd::Both);
                    return Ok(Next::Line(self.at));
                }
                b'\n' if !self.in_quote => {
                    if matches!(self.line_end, LineEnd::Return | LineEnd::Both) {
                        return Err(self.stray(byte));
                    }
                    self.line_end = LineEnd::Newline;
                    self.line_end_bytes = 1;
                    return Ok(Next::Line(self.at));
                }
                b'\\' if !is_csv && ahead(1) == Some(b'.') => {
                    self.check_marker()?;
                    return Ok(self.marked());
                }
                // In CSV it is data unless it stands alone.
                b'\\' if is_csv && self.at == 0 && ahead(1) == Some(b'.') && self.check_marker().is_ok() => {
                    return Ok(self.marked());
                }
                // Whatever follows a backslash is data.
                b'\\' if !is_csv => self.at = (self.at + 2).min(self.buffer.len()),
                _ => self.at += 1,
            }
        }
    }

    /// Whether the marker that stands here is followed by an end of line as the others are.
    fn check_marker(&self) -> Result<()> {
        let bad = |message: &str| Err(Error::new(ErrorCode::BadCopyFileFormat, message));
        let mut behind = self.at + 2;
        if self.line_end == LineEnd::Both {
            match self.buffer.get(behind) {
                Some(b'\n') => return bad("end-of-copy marker does not match previous newline style"),
                Some(b'\r') => behind += 1,
                _ => return bad("end-of-copy marker corrupt"),
            }
        }
        match (self.buffer.get(behind), self.line_end) {
            (Some(b'\n'), LineEnd::Newline | LineEnd::Both | LineEnd::Unknown) => Ok(()),
            (Some(b'\r'), LineEnd::Return | LineEnd::Unknown) => Ok(()),
            (Some(b'\r' | b'\n'), _) => bad("end-of-copy marker does not match previous newline style"),
            _ => bad("end-of-copy marker corrupt"),
        }
    }

    /// The end: what stands before the marker in its line is the last line.
    fn marked(&mut self) -> Next {
        self.is_marked = true;
        self.line_end_bytes = 0;
        let length = self.at;
        self.buffer.truncate(length);
        if length > 0 { Next::Line(length) } else { Next::End }
    }

    /// Nothing special is left in the buffer.
    fn rest(&mut self) -> Next {
        if !self.is_ended {
            return Next::More;
        }
        self.is_marked = true;
        self.line_end_bytes = 0;
        if self.buffer.is_empty() { Next::End } else { Next::Line(self.buffer.len()) }
    }

    fn stray(&self, byte: u8) -> Error {
        let (what, text, name) =
            if byte == b'\r' { ("carriage return", "\\r", "carriage return") } else { ("newline", "\\n", "newline") };
        let bad = |message| Error::new(ErrorCode::BadCopyFileFormat, message);
        if self.quote.is_some() {
            bad(format!("unquoted {what} found in data"))
                .with_hint(format!("Use quoted CSV field to represent {name}."))
        } else {
            bad(format!("literal {what} found in data")).with_hint(format!("Use \"{text}\" to represent {name}."))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const CSV: Layout = Layout::Csv { quote: b'"', escape: b'"' };

    /// The lines with their numbers, and the error that ends them.
    fn lines(layout: Layout, text: &str, piece: usize) -> String {
        let mut lines = Lines::new(layout);
        let mut pieces = text.as_bytes().chunks(piece);
        let mut out = String::new();
        loop {
            match lines.next() {
                Ok(Next::Line(length)) => {
                    out.push_str(&format!("{}:{:?} ", lines.number, String::from_utf8_lossy(lines.line(length))));
                    lines.skip(length);
                }
                Ok(Next::More) => match pieces.next() {
                    Some(bytes) => lines.push(bytes),
                    None => lines.end(),
                },
                Ok(Next::End) => return out,
                Err(error) => return format!("{out}{}", error.message),
            }
        }
    }

    #[test]
    fn lines_are_cut_as_postgresql_does() {
        for (layout, text, expected) in [
            (Layout::Text, "a\nb\n", "1:\"a\" 2:\"b\" "),
            (Layout::Text, "a\nb", "1:\"a\" 2:\"b\" "),
            (Layout::Text, "a\n\nb\n", "1:\"a\" 2:\"\" 3:\"b\" "),
            (Layout::Text, "a\r\nb\r\n", "1:\"a\" 2:\"b\" "),
            (Layout::Text, "a\rb\r", "1:\"a\" 2:\"b\" "),
            (Layout::Text, "a\nb\rc\n", "1:\"a\" literal carriage return found in data"),
            (Layout::Text, "a\rb\nc\n", "1:\"a\" literal newline found in data"),
            (Layout::Text, "a\r\nb\nc\n", "1:\"a\" literal newline found in data"),
            (Layout::Text, "a\\\nb\nc\n", "1:\"a\\\\\\nb\" 2:\"c\" "),
            (Layout::Text, "a\n\\.\nb\n", "1:\"a\" "),
            (Layout::Text, "a\nb\\.\nb\n", "1:\"a\" 2:\"b\" "),
            (Layout::Text, "a\n\\.", "1:\"a\" end-of-copy marker corrupt"),
            (Layout::Text, "a\n\\.x\n", "1:\"a\" end-of-copy marker corrupt"),
            (Layout::Text, "a\r\n\\.\n", "1:\"a\" end-of-copy marker does not match previous newline style"),
            (Layout::Text, "a\n\\.\r\n", "1:\"a\" end-of-copy marker does not match previous newline style"),
            (Layout::Text, "", ""),
            (Layout::Text, "a\\", "1:\"a\\\\\" "),
            (CSV, "a,\"b\nc\"\nd\n", "1:\"a,\\\"b\\nc\\\"\" 2:\"d\" "),
            (CSV, "x\na,\"b\nc\"\nd\n", "1:\"x\" 3:\"a,\\\"b\\nc\\\"\" 4:\"d\" "),
            (CSV, "a\n\"x\"\"\n\"\nb", "1:\"a\" 3:\"\\\"x\\\"\\\"\\n\\\"\" 4:\"b\" "),
            (CSV, "a\n\\.\nb\n", "1:\"a\" "),
            (CSV, "a\nb\\.\nc\n", "1:\"a\" 2:\"b\\\\.\" 3:\"c\" "),
            (CSV, "a\n\\.x\nc\n", "1:\"a\" 2:\"\\\\.x\" 3:\"c\" "),
            (CSV, "a\nb\r", "1:\"a\" unquoted carriage return found in data"),
        ] {
            for piece in [1, 2, 3, 1000] {
                assert_eq!(lines(layout, text, piece), expected, "{text:?} in pieces of {piece}");
            }
        }
        let escaped = Layout::Csv { quote: b'"', escape: b'\\' };
        assert_eq!(lines(escaped, "\"a\\\"\n\"\nb\n", 1), "1:\"\\\"a\\\\\\\"\\n\\\"\" 2:\"b\" ");
    }
}
