//! [`LineSplitter`]: a stream of bytes -> one line after another, as Hive's TextInputFormat cuts them: a line ends at `\n`,
//! `\r\n` or a lone `\r`, or with the file.

use crate::scan::format::json::records::RECORD_BYTES_MAX;
use crate::scan::format::utf16_refused;
use crate::{Error, ErrorCode, Result};

/// Cuts a stream of bytes into lines. One line is held, up to [`RECORD_BYTES_MAX`].
#[derive(Debug, Default)]
pub(in crate::scan::format) struct LineSplitter {
    held: Vec<u8>,
    /// The number of the line in `held`, from 1.
    number: u64,
    /// `held` is complete and belongs to the caller until the next call.
    is_complete: bool,
    /// The last byte was a carriage return that ended a line: a newline behind it ends none.
    after_return: bool,
    is_started: bool,
}

impl LineSplitter {
    /// Goes on in the middle of a file, where line `number` begins.
    pub(in crate::scan::format) fn resume(&mut self, number: u64) {
        (self.number, self.is_started) = (number, true);
    }

    /// The line that was completed, without its end.
    pub(super) fn line(&self) -> &[u8] {
        &self.held
    }

    /// Its number in the file, from 1; that of the line being read before it is complete.
    pub(in crate::scan::format) fn number(&self) -> u64 {
        self.number.max(1)
    }

    /// Reads on until a line is complete (then the flag is true) or `bytes` are used up. Returns how many were used.
    ///
    /// # Errors
    /// A line that is too long, or a file in UTF-16. The error has no place.
    pub(in crate::scan::format) fn push(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        let mut start = 0;
        if !self.is_started && !bytes.is_empty() {
            self.is_started = true;
            self.number = 1;
            if bytes.starts_with(&[0xfe, 0xff]) || bytes.starts_with(&[0xff, 0xfe]) {
                return Err(utf16_refused());
            }
            if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
                start = 3;
            }
        }
        if self.after_return && bytes.first() == Some(&b'\n') {
            start = 1;
        }
        if !bytes.is_empty() {
            self.after_return = false;
        }
        self.begin_if_complete();
        let rest = &bytes[start..];
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        if self.held.len() + length > RECORD_BYTES_MAX {
            return Err(Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("a line is larger than {} MB", RECORD_BYTES_MAX >> 20),
            ));
        }
        self.held.extend_from_slice(&rest[..length]);
        match rest.get(length) {
            None => Ok((bytes.len(), false)),
            Some(byte) => {
                self.after_return = *byte == b'\r';
                self.is_complete = true;
                Ok((start + length + 1, true))
            }
        }
    }

    /// Says that the file ends here; true if that completed a line.
    pub(super) fn finish(&mut self) -> bool {
        self.begin_if_complete();
        self.is_complete = !self.held.is_empty();
        self.is_complete
    }

    fn begin_if_complete(&mut self) {
        if self.is_complete {
            self.is_complete = false;
            self.number += 1;
            self.held.clear();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_the_bytes_arrive() {
        for (text, expected) in [
            ("a\nb\n", "1:a|2:b"),
            ("a\r\nb\rc", "1:a|2:b|3:c"),
            ("\n\na\n", "1:|2:|3:a"),
            ("\r\n\r\n", "1:|2:"),
            ("", ""),
            ("\u{feff}a\n", "1:a"),
            ("ä ö\n", "1:ä ö"),
        ] {
            for size in [3, 4, 7, 1000] {
                let mut splitter = LineSplitter::default();
                let mut lines = Vec::new();
                let mut take = |splitter: &LineSplitter| {
                    lines.push(format!("{}:{}", splitter.number(), String::from_utf8_lossy(splitter.line())));
                };
                for mut chunk in text.as_bytes().chunks(size) {
                    while !chunk.is_empty() {
                        let (used, complete) = splitter.push(chunk).unwrap();
                        chunk = &chunk[used..];
                        if complete {
                            take(&splitter);
                        }
                    }
                }
                if splitter.finish() {
                    take(&splitter);
                }
                assert_eq!(lines.join("|"), expected, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_line_has_a_limit() {
        let mut splitter = LineSplitter::default();
        let chunk = vec![b'x'; 1 << 20];
        let error = (0..65).find_map(|_| splitter.push(&chunk).err()).unwrap();
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::ProgramLimitExceeded, "a line is larger than 64 MB")
        );
    }
}
