//! [`Position`]: where in a file a reader stands.

use std::fmt;

/// A place in an unpacked file. Who begins in the middle may not know how many lines lie before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: Option<u64>,
    /// The bytes before it.
    pub offset: u64,
}

impl Position {
    /// A file's first byte.
    pub const START: Self = Self { line: Some(1), offset: 0 };

    /// The place `bytes` further on.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        Self { offset: self.offset + bytes as u64, ..self }
    }

    /// The place behind `bytes`, in which lines end at newlines.
    #[must_use]
    pub fn behind(self, bytes: &[u8]) -> Self {
        let newlines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Self { line: self.line.map(|line| line + newlines), offset: self.offset + bytes.len() as u64 }
    }

    /// Goes on to the next line.
    pub fn next_line(&mut self) {
        if let Some(line) = &mut self.line {
            *line += 1;
        }
    }

    /// The line's number, 0 where it isn't known.
    pub fn line_number(self) -> u64 {
        self.line.unwrap_or(0)
    }
}

/// A place of which only the line matters.
impl From<u64> for Position {
    fn from(line: u64) -> Self {
        Self { line: Some(line), offset: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}"),
            None => write!(f, "byte {}", self.offset),
        }
    }
}
