//! [`Replay`]: bytes that were taken for a part of a broken row, to be read once more from the next line on.

/// Bytes that may be read again, beyond those of one row: a bound for files that are made to be read for ever. A file of which
/// every row is broken in this way is read about twice.
const SHARE_MAX: u64 = 8;

/// See the module. What was put in last is read first: it lies before what is left of the others.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pieces: Vec<(Vec<u8>, usize)>,
    total: u64,
}

impl Replay {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Puts bytes before all others. False if too many were already, for a reader that is `offset` bytes into its file.
    pub(super) fn push(&mut self, bytes: Vec<u8>, offset: u64) -> bool {
        self.total += bytes.len() as u64;
        if self.total > SHARE_MAX * offset + super::json::records::RECORD_BYTES_MAX as u64 {
            return false;
        }
        if !bytes.is_empty() {
            self.pieces.push((bytes, 0));
        }
        true
    }

    /// The next piece and from where in it to read. What isn't read is to be given back.
    pub(super) fn pop(&mut self) -> Option<(Vec<u8>, usize)> {
        self.pieces.pop()
    }

    /// How many pieces there are: where [`Self::give_back`] puts what was popped when there were so many.
    pub(super) fn depth(&self) -> usize {
        self.pieces.len()
    }

    /// Gives a piece back that was read up to `at`; `depth` is what [`Self::depth`] was after it was popped.
    pub(super) fn give_back(&mut self, piece: Vec<u8>, at: usize, depth: usize) {
        if at < piece.len() {
            self.pieces.insert(depth, (piece, at));
        }
    }
}
