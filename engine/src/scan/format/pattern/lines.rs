//! [`LineSplitter`]: a stream of bytes -> one line after another, as Hive's TextInputFormat cuts them: a line ends at `\n`,
//! `\r\n` or a lone `\r`, or with the file.

use crate::scan::format::json::records::RECORD_BYTES_MAX;
use crate::scan::format::position::Position;
use crate::scan::format::utf16_refused;
use crate::{Error, ErrorCode, Result};

/// Cuts a stream of bytes into lines. One line is held, up to [`RECORD_BYTES_MAX`].
#[derive(Debug)]
pub(in crate::scan::format) struct LineSplitter {
    held: Vec<u8>,
    /// Where the line in `held` begins.
    line: Position,
    /// Of what is read next.
    position: Position,
    /// `held` is complete and belongs to the caller until the next call.
    is_complete: bool,
    /// The last byte was a carriage return that ended a line: a newline behind it ends none.
    after_return: bool,
    is_started: bool,
    /// The line was given up: its rest is passed over.
    discards: bool,
}

impl Default for LineSplitter {
    fn default() -> Self {
        Self::starting_at(Position::START)
    }
}

impl LineSplitter {
    /// Starts at the first byte of a line.
    pub(in crate::scan::format) fn starting_at(position: Position) -> Self {
        Self {
            held: Vec::new(),
            line: position,
            position,
            is_complete: false,
            after_return: false,
            is_started: position.offset > 0,
            discards: false,
        }
    }

    /// The line that was completed, without its end.
    pub(super) fn line(&self) -> &[u8] {
        &self.held
    }

    /// Where it begins; that of the line being read before it is complete.
    pub(super) fn line_position(&self) -> Position {
        self.line
    }

    /// Gives up the line that is being read, and returns what was read of it.
    pub(super) fn give_up_line(&mut self) -> Vec<u8> {
        self.discards = true;
        std::mem::take(&mut self.held)
    }

    /// Its number in the file, from 1; that of the line being read before it is complete.
    pub(in crate::scan::format) fn number(&self) -> u64 {
        self.line.line_number()
    }

    /// Reads on until a line is complete (then the flag is true) or `bytes` are used up. Returns how many were used.
    ///
    /// # Errors
    /// A line that is too long, or a file in UTF-16. The error has no place, and nothing was used.
    pub(in crate::scan::format) fn push(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        let mut start = 0;
        if !self.is_started && !bytes.is_empty() {
            self.is_started = true;
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
        if self.held.is_empty() && !self.discards {
            self.line = self.position.after(start);
        }
        let rest = &bytes[start..];
        let mut end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let mut length = end.unwrap_or(rest.len());
        if !self.discards {
            // As much as there is room for, so that a line that is given up is known from its beginning.
            let room = RECORD_BYTES_MAX.saturating_sub(self.held.len());
            if length > 0 && room == 0 {
                return Err(Error::new(
                    ErrorCode::ProgramLimitExceeded,
                    format!("a line is larger than {} MB", RECORD_BYTES_MAX >> 20),
                ));
            }
            if length > room {
                (length, end) = (room, None);
            }
            self.held.extend_from_slice(&rest[..length]);
        }
        let used = start + length + usize::from(end.is_some());
        self.position = self.position.after(used);
        if end.is_none() {
            return Ok((used, false));
        }
        self.position.next_line();
        self.after_return = rest[length] == b'\r';
        self.is_complete = true;
        Ok((used, !std::mem::take(&mut self.discards)))
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
                    lines.push(format!(
                        "{}:{}",
                        splitter.line_position().line_number(),
                        String::from_utf8_lossy(splitter.line())
                    ));
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
