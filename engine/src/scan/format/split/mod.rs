//! One large text file read by several readers at once: where each of them begins.
//!
//! Whether a newline ends a row depends on all that stands before it (quotes, escapes, brackets), so no reader can tell from the
//! middle of a file where a row begins. So the file is walked through once from its start, by the very splitter that its reader
//! uses and without making values of what it finds, and the first row at or behind each target begins a [`Piece`]. Walking is
//! several times faster than reading and goes on while the pieces that are known are read; whoever needs the next beginning
//! walks on to it. The readers' line numbers are true, and a quoted newline breaks no row, by construction.
//!
//! ```text
//! file      ├──────────────┬──────────────┬──────────────┤     targets: every so many bytes
//! rows      ├────┼───┼──────┼─┼────┼───────┼──┼─────┼─────┤
//! pieces    ├───────────────┤├────────────┤├─────────────┤     each from the first row behind its target
//! ```
//! It costs a second reading of the bytes. Those of a local file are in memory by then; from another store they would be paid for
//! twice, so only local files are split. A file that turns out to be packed, or one array of JSON, is read by its first piece.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::physical_plan::Statistics;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use limnos_catalog::{FileFormat, TableDefinition};
use object_store::{ObjectMeta, ObjectStore};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::Reader;
use super::csv::CsvSplitter;
use super::input::{self, Chunks, Compression, MAGIC_BYTES};
use super::json::options::JsonOptions;
use super::json::records::{Layout, RecordSplitter, malformed};
use super::on_error::{OnError, RowPolicy};
use super::pattern::lines::LineSplitter;
use super::position::Position;
use crate::{Error, Result};

/// Smallest piece: below, opening another reader costs more than it brings.
const PIECE_BYTES_MIN: u64 = 16 << 20;

/// Pieces for each reader, so that the first of all readers begin early and the last end together.
const PIECES_PER_READER: u64 = 4;

/// Most pieces of a file. Each holds its place in a plan.
const PIECES_MAX: u64 = 1024;

/// Names of files that are packed as a rule: splitting them is of no use, whatever is in them.
const PACKED: [&str; 9] = [".gz", ".bz2", ".zst", ".xz", ".lz4", ".snappy", ".zlib", ".deflate", ".zip"];

/// Where a row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowStart {
    /// In bytes from the file's start.
    pub offset: u64,
    /// Its line, from 1.
    pub line: u64,
    /// How many rows stand before it.
    pub rows: u64,
}

impl RowStart {
    /// Where it is.
    pub fn position(&self) -> Position {
        Position { line: Some(self.line), offset: self.offset }
    }
}

/// A part of a file, from the row at its own target to the row at the next one's.
#[derive(Debug, Clone)]
pub struct Piece {
    file: Arc<SplitFile>,
    index: usize,
}

/// What the pieces of a file share.
#[derive(Debug)]
struct SplitFile {
    /// Where pieces would begin if bytes were rows, without the first, which begins at 0.
    targets: Vec<u64>,
    walk: Mutex<Walk>,
}

/// How far the file was walked through.
#[derive(Default)]
struct Walk {
    /// Of the first targets, where their pieces begin.
    starts: Vec<RowStart>,
    open: Option<OpenWalk>,
    is_started: bool,
    failed: Option<Error>,
}

struct OpenWalk {
    chunks: Chunks,
    chunk: Bytes,
    offset: u64,
    rows: u64,
    finder: RowFinder,
    /// A row ended in a carriage return; whether a newline belongs to it is told by the next byte.
    after_return: bool,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("starts", &self.starts).finish_non_exhaustive()
    }
}

/// Cuts those of `files` that are large into pieces for about `readers` readers.
pub fn split(files: Vec<PartitionedFile>, definition: &TableDefinition, readers: usize) -> Vec<PartitionedFile> {
    if readers < 2 || !can_split(definition) {
        return files;
    }
    let total: u64 = files.iter().map(|file| file.object_meta.size).sum();
    let piece_bytes = (total / (readers as u64 * PIECES_PER_READER)).max(PIECE_BYTES_MIN);
    let mut pieces = Vec::with_capacity(files.len());
    for file in files {
        let size = file.object_meta.size;
        let count = (size / piece_bytes).min(PIECES_MAX);
        let path = file.object_meta.location.as_ref();
        if count < 2 || PACKED.iter().any(|ending| path.ends_with(ending)) {
            pieces.push(file);
            continue;
        }
        pieces.extend(split_at(&file, (1..count).map(|index| size / count * index).collect()));
    }
    pieces
}

/// The pieces of `file` that begin at the first rows behind `targets`, which ascend.
pub(super) fn split_at(file: &PartitionedFile, targets: Vec<u64>) -> Vec<PartitionedFile> {
    let size = file.object_meta.size;
    let begins: Vec<u64> = std::iter::once(0).chain(targets.iter().copied()).collect();
    let shared = Arc::new(SplitFile { targets, walk: Mutex::default() });
    let ends = begins.iter().skip(1).copied().chain([size]);
    (begins.iter().zip(ends).enumerate())
        .map(|(index, (begin, end))| {
            let mut piece = file.clone();
            let place = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
            piece.range = Some(FileRange { start: place(*begin), end: place(end) });
            // What is known of the whole file isn't so of each piece.
            piece.statistics = piece.statistics.map(|statistics| Arc::new(without_counts(&statistics)));
            piece.extensions.insert(Piece { file: Arc::clone(&shared), index });
            piece
        })
        .collect()
}

/// No statistics, of as many columns.
fn without_counts(statistics: &Statistics) -> Statistics {
    Statistics {
        column_statistics: vec![Default::default(); statistics.column_statistics.len()],
        ..Statistics::default()
    }
}

/// Whether rows of such a table lie one after another. Where comments may stand among the lines that are skipped at the top,
/// their count doesn't say where data begins.
fn can_split(definition: &TableDefinition) -> bool {
    let Ok(storage) = super::storage(definition) else { return false };
    // Where a broken row is left out, what is read again decides where the next one begins; and the share of a file's rows
    // that may be left out is of the whole file.
    let recovers = |policy: RowPolicy| match policy.on_error {
        Some(OnError::Null) => storage.format == FileFormat::Json,
        on_error => on_error.is_some_and(OnError::drops),
    };
    if RowPolicy::of(definition).map_or(true, recovers) {
        return false;
    }
    match storage.format {
        FileFormat::Csv => super::csv::CsvOptions::new(definition)
            .is_ok_and(|options| options.comment.is_none() || options.header_rows == 0),
        FileFormat::Json => JsonOptions::new(storage).is_ok_and(|options| {
            !options.malformed_is_null && matches!(options.layout, Layout::Lines | Layout::Detect)
        }),
        FileFormat::Regex => true,
        _ => false,
    }
}

/// Finds where rows end, without a look at what is in them.
pub(super) enum RowFinder {
    Csv { splitter: Box<CsvSplitter>, header_rows: u64 },
    Json(Box<RecordSplitter>),
    Lines { splitter: LineSplitter, header_rows: u64 },
}

impl RowFinder {
    /// For what `reader` reads; `None` if its files are never split.
    pub(super) fn new(reader: &Reader) -> Option<Self> {
        match reader {
            Reader::Csv(options) => Some(Self::Csv {
                splitter: Box::new(CsvSplitter::new(options.delimiter, options.quote, options.escape)),
                header_rows: options.header_rows,
            }),
            Reader::Json(options) => Some(Self::Json(Box::new(RecordSplitter::new(options.layout.clone())))),
            Reader::Pattern(options) => {
                Some(Self::Lines { splitter: LineSplitter::default(), header_rows: options.header_rows })
            }
            Reader::Avro | Reader::Arrow => None,
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        match self {
            Self::Csv { splitter, .. } => splitter.push(bytes),
            Self::Json(splitter) => {
                let (used, is_complete) = splitter.push(bytes)?;
                // At a bracket or a comma that belongs to nothing a reader stops; who only walks would stand there for ever.
                if is_complete && splitter.record().is_empty() {
                    return Err(malformed("a value was expected"));
                }
                Ok((used, is_complete))
            }
            Self::Lines { splitter, .. } => splitter.push(bytes),
        }
    }

    /// Rows that have to lie before the first piece that isn't the file's first.
    fn header_rows(&self) -> u64 {
        match self {
            Self::Csv { header_rows, .. } | Self::Lines { header_rows, .. } => *header_rows,
            Self::Json(_) => 0,
        }
    }

    /// The line that begins behind a row that was completed.
    fn next_line(&self) -> u64 {
        match self {
            Self::Csv { splitter, .. } => splitter.line(),
            Self::Json(splitter) => splitter.line(),
            Self::Lines { splitter, .. } => splitter.number() + 1,
        }
    }

    fn is_one_document(&self) -> bool {
        matches!(self, Self::Json(splitter) if splitter.is_one_document())
    }

    /// Whether the carriage return before a newline ends the row.
    fn ends_at_return(&self) -> bool {
        !matches!(self, Self::Json(_))
    }
}

impl Piece {
    /// The piece's bytes, and where it begins if that isn't the file's start; `None` if no row begins in it.
    pub(super) async fn open(
        self,
        store: &Arc<dyn ObjectStore>,
        object: &ObjectMeta,
        name: &str,
        finder: impl Fn() -> Option<RowFinder> + Send + Sync + 'static,
        count: impl Fn(usize) + Send + 'static,
    ) -> Result<Option<(Chunks, Option<RowStart>)>> {
        let source = Arc::new(Source {
            store: Arc::clone(store),
            object: object.clone(),
            name: name.to_owned(),
            finder: Box::new(finder),
        });
        let start = match self.index {
            0 => None,
            index => match self.file.start(index, &source).await? {
                Some(start) => Some(start),
                None => return Ok(None),
            },
        };
        let from = start.map_or(0, |start| start.offset);
        let raw =
            input::fetch_from(store, object, name, from).await?.inspect_ok(move |chunk| count(chunk.len())).boxed();
        let limited = match self.file.targets.get(self.index) {
            Some(target) => until(raw, from, *target, self.clone(), source),
            None => raw,
        };
        let chunks = match start {
            None => input::decompress(limited, name).await?,
            Some(_) => limited,
        };
        Ok(Some((chunks, start)))
    }
}

/// What walking through a file needs.
struct Source {
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
    name: String,
    finder: Box<dyn Fn() -> Option<RowFinder> + Send + Sync>,
}

/// `raw`, which begins at `offset`, up to where the piece behind `piece` begins.
fn until(raw: Chunks, offset: u64, target: u64, piece: Piece, source: Arc<Source>) -> Chunks {
    struct State {
        raw: Chunks,
        offset: u64,
        /// Not known before the target is reached.
        end: Option<u64>,
        piece: Piece,
        source: Arc<Source>,
    }
    let state = State { raw, offset, end: None, piece, source };
    stream::try_unfold(state, move |mut state| async move {
        if state.end.is_none() && state.offset >= target {
            let next = state.piece.file.start(state.piece.index + 1, &state.source).await?;
            state.end = Some(next.map_or(u64::MAX, |next| next.offset));
        }
        if state.end.is_some_and(|end| state.offset >= end) {
            return Ok(None);
        }
        let Some(mut chunk) = state.raw.try_next().await? else { return Ok(None) };
        let behind = state.offset + chunk.len() as u64;
        if state.end.is_none() && behind > target {
            let next = state.piece.file.start(state.piece.index + 1, &state.source).await?;
            state.end = Some(next.map_or(u64::MAX, |next| next.offset));
        }
        if let Some(end) = state.end
            && behind > end
        {
            chunk.truncate(usize::try_from(end.saturating_sub(state.offset)).unwrap_or(usize::MAX));
        }
        state.offset = behind;
        Ok(Some((chunk, state)))
    })
    .boxed()
}

impl SplitFile {
    /// Where piece `index` (not the first) begins; `None` if no row begins at or behind its target.
    ///
    /// It is found by a task of its own: who waits here may be a file that is opened ahead, which nobody polls while another
    /// one's rows are not taken, and the walk that it began is what other readers wait for.
    async fn start(self: &Arc<Self>, index: usize, source: &Arc<Source>) -> Result<Option<RowStart>> {
        let (file, source) = (Arc::clone(self), Arc::clone(source));
        let walk = tokio::spawn(async move {
            let mut walk = file.walk.lock().await;
            walk.go_to(index, &file.targets, &source).await?;
            Ok(walk.starts.get(index - 1).copied().filter(|start| start.offset < source.object.size))
        });
        let found = AbortOnDropHandle::new(walk).await;
        found.map_err(|error| Error::internal(format!("the search for a row ended: {error}")))?
    }
}

impl Walk {
    /// Walks on until the beginning of piece `index` is known, or the file's end. May be dropped at any await and called again.
    async fn go_to(&mut self, index: usize, targets: &[u64], source: &Source) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if !self.is_started {
            let chunks = input::fetch_from(&source.store, &source.object, &source.name, 0).await?;
            self.open = (source.finder)().map(|finder| OpenWalk {
                chunks,
                chunk: Bytes::new(),
                offset: 0,
                rows: 0,
                finder,
                after_return: false,
            });
            self.is_started = true;
        }
        while self.starts.len() < index {
            let Some(open) = &mut self.open else { return Ok(()) };
            if open.chunk.is_empty() {
                match open.chunks.try_next().await {
                    Ok(Some(chunk)) => {
                        let is_packed = |chunk: &Bytes| {
                            chunk.len() < MAGIC_BYTES || Compression::detect(chunk) != Compression::None
                        };
                        if open.offset == 0 && is_packed(&chunk) {
                            self.open = None;
                            continue;
                        }
                        open.chunk = chunk;
                    }
                    Ok(None) => self.open = None,
                    Err(error) => self.failed = Some(error),
                }
                if let Some(error) = &self.failed {
                    return Err(error.clone());
                }
                continue;
            }
            // What is wrong with the file, the reader of the last piece finds again, and says where.
            if open.step(targets, &mut self.starts).is_err() || open.finder.is_one_document() {
                self.open = None;
            }
        }
        Ok(())
    }
}

impl OpenWalk {
    /// Goes to the end of a row, or of the chunk.
    fn step(&mut self, targets: &[u64], starts: &mut Vec<RowStart>) -> Result<()> {
        if self.after_return {
            self.after_return = false;
            let newline = u64::from(self.chunk.first() == Some(&b'\n'));
            self.settle(self.offset + newline, targets, starts);
        }
        let (used, is_complete) = self.finder.push(&self.chunk)?;
        let last = used.checked_sub(1).and_then(|last| self.chunk.get(last)).copied();
        self.chunk.advance(used);
        self.offset += used as u64;
        if is_complete {
            self.rows += 1;
            if last == Some(b'\r') && self.finder.ends_at_return() {
                self.after_return = true;
            } else {
                self.settle(self.offset, targets, starts);
            }
        }
        Ok(())
    }

    /// A row may begin at `offset`: takes it for the targets that it is the first one behind.
    fn settle(&self, offset: u64, targets: &[u64], starts: &mut Vec<RowStart>) {
        // Of one document, a row in the middle is no beginning: what is around it says what it is.
        if self.rows < self.finder.header_rows() || self.finder.is_one_document() {
            return;
        }
        while targets.get(starts.len()).is_some_and(|target| *target <= offset) {
            starts.push(RowStart { offset, line: self.finder.next_line(), rows: self.rows });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
