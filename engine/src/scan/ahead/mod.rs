//! [`Ahead`]: the first bytes of the files that a scan comes to next, fetched before it asks for them.
//!
//! DataFusion's scan has one request under way per partition, so over a network a table of many files costs a round trip
//! after the other while the cores wait. Here the next files' first requests are made early: a small file whole, of a large
//! Parquet file its end, if its footer isn't known, and its first row group. The answer waits in memory until the scan makes that request.
//!
//! ```text
//! files, in the order in which the scan's partitions take them
//!   finished | taken, being read | begun: under way, or waiting in memory | not begun
//!                                  at most READS_AHEAD_MAX and the budget
//! ```
//!
//! - What is begun is charged to the query ([`AheadBudget`], and its memory pool) until the scan asks for it, or is done with
//!   the file, or ends. Where there is no room nothing is begun, and the scan asks for itself, as it does for what failed to be
//!   begun for any other reason: the answers are the same.
//! - The window grows with what was read: [`WINDOW_START`] files, and two more for each that was taken. A scan that is given up
//!   early has fetched little that it didn't need, a cancelled one drops what is under way.
//! - A LIMIT that the scan itself counts (there are no filters then): a file is begun only if the files before it are known to
//!   have fewer rows than the LIMIT. Where that isn't known nothing is.
//! - While a dynamic filter may still change (`ORDER BY ... LIMIT`) no more files are begun than were read to their end, and what
//!   the filter excludes by now is not begun.
//! - Requests are the same as without: conditional on the version that was planned, counted by the scan's metered store, which
//!   lies below. Nothing is asked for twice.
//!
//! Local files are not read ahead: the operating system does.

mod budget;
mod source;
mod store;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use object_store::path::Path;
use object_store::{Attributes, GetRange, GetResult, GetResultPayload, ObjectMeta, ObjectStore};
use parking_lot::Mutex;

pub(crate) use budget::{AheadBudget, Room, Taken};
pub(crate) use source::AheadSource;
pub(crate) use store::AheadStore;

use super::parquet::{Filtered, FirstRowGroup, FirstRowGroups, SMALL_FILE_BYTES, first_range};
use super::store::range_of_version;
use crate::execute::AbortOnDrop;

/// Files of one scan that are begun at the same time. A store answers each in tens of milliseconds: a thousand files a second.
pub(crate) const READS_AHEAD_MAX: usize = 32;

/// How many are begun when the first file is taken.
const WINDOW_START: usize = 4;

/// Files of text up to this size are fetched whole; in a larger one the round trip is little of the time.
const WHOLE_TEXT_BYTES_MAX: u64 = 4 << 20;

/// The same for formats of which a query reads parts.
const WHOLE_FILE_BYTES_MAX: u64 = 256 << 10;

/// What is known of a scan when it runs, which each of its partitions says.
#[derive(Debug, Clone, Default)]
struct Known {
    follows: Follows,
    /// The columns that are read of each file, where none is nested, with their places in the table.
    columns: Option<Arc<[(usize, FieldRef)]>>,
}

/// What a scan's files are asked for first.
#[derive(Debug)]
pub(crate) enum Opening {
    /// All of the file, from its first byte to its last.
    Text,
    /// Parts of it, in any order.
    Parts,
    /// As `scan::parquet` reads.
    Parquet(FirstRowGroups),
}

impl Opening {
    fn first_range(&self, meta: &ObjectMeta) -> Option<Range<u64>> {
        let whole = |bytes_max: u64| (1..=bytes_max).contains(&meta.size).then_some(0..meta.size);
        match self {
            Self::Text => whole(WHOLE_TEXT_BYTES_MAX),
            Self::Parts => whole(WHOLE_FILE_BYTES_MAX),
            Self::Parquet(parquet) => first_range(meta.size).filter(|_| !parquet.is_opened(meta)),
        }
    }
}

/// See the module. One for each scan of a plan.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Counts the requests.
    store: Arc<dyn ObjectStore>,
    opening: Opening,
    room: Arc<Room>,
    known: Mutex<Known>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files not begun, in order.
    waiting: VecDeque<PartitionedFile>,
    begun: HashMap<Path, Begun>,
    /// Of large Parquet files the first row group.
    row_groups: HashMap<Path, FirstRowGroup>,
    /// How often each file is still to be opened: parts of large ones are opened by themselves.
    opens_left: HashMap<Path, usize>,
    /// Partitions of the plan that were started: one that starts again runs the plan anew.
    started: HashSet<usize>,
    /// Those that run.
    running: usize,
    taken: usize,
    finished: usize,
}

/// A request made ahead.
#[derive(Debug)]
struct Begun {
    range: Range<u64>,
    e_tag: Option<String>,
    answer: Arc<tokio::sync::Mutex<Answer>>,
    /// Given back when this is dropped.
    _taken: Taken,
}

#[derive(Debug)]
enum Answer {
    UnderWay(AbortOnDrop<object_store::Result<Fetched>>),
    Here(Fetched),
    /// It was an error, and told.
    Failed,
}

#[derive(Debug, Clone)]
struct Fetched {
    meta: ObjectMeta,
    range: Range<u64>,
    attributes: Attributes,
    bytes: bytes::Bytes,
}

/// What is known, when a scan runs, of the row groups that it will read inside a file.
#[derive(Debug, Clone, Default)]
pub(crate) enum Follows {
    /// One after the other.
    All,
    /// Those that a filter doesn't exclude, in their order.
    Filtered(Arc<Filtered>),
    /// Nothing: it may stop early, take them in another order, or read what a filter needs before the rest.
    #[default]
    Unknown,
}

/// Why the next file may not be begun yet.
pub(crate) enum Gate<'a> {
    /// It may.
    Open,
    /// A filter may still change. Says whether it excludes a file by now.
    Changing(&'a dyn Fn(&PartitionedFile) -> bool),
    /// A filter that isn't the planned one any more, and will not change again.
    Settled(&'a dyn Fn(&PartitionedFile) -> bool),
}

impl Ahead {
    /// For a scan whose requests go to `store`.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, opening: Opening, room: Arc<Room>) -> Arc<Self> {
        Arc::new(Self { store, opening, room, known: Mutex::default(), state: Mutex::default() })
    }

    /// What the scan's memory for bytes ahead is charged to.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Which row groups the scan comes to.
    pub(crate) fn follows(&self) -> Follows {
        self.known.lock().follows.clone()
    }

    /// A partition of the scan starts; `files` are those of all partitions, in the order in which they take them.
    fn start(&self, partition: usize, files: impl FnOnce() -> Vec<PartitionedFile>) {
        let mut state = self.state.lock();
        if state.started.is_empty() || !state.started.insert(partition) {
            let running = state.running;
            *state = State { running, ..State::default() };
            state.started.insert(partition);
            for file in files() {
                let opens = state.opens_left.entry(file.object_meta.location.clone()).or_default();
                *opens += 1;
                if *opens == 1 {
                    state.waiting.push_back(file);
                }
            }
        }
        state.running += 1;
    }

    /// A partition ends, whether it read all of its files or not. With the last one everything that is begun goes.
    fn end(&self, last: Option<&Path>) {
        let mut state = self.state.lock();
        if let Some(path) = last {
            state.finish(path);
        }
        state.running -= 1;
        if state.running == 0 {
            state.begun.clear();
            state.row_groups.clear();
        }
    }

    /// A partition takes its next file, and is done with the one before.
    fn take(&self, path: &Path, before: Option<&Path>, gate: &Gate<'_>) {
        let mut state = self.state.lock();
        if let Some(before) = before {
            state.finish(before);
        }
        state.taken += 1;
        if let Some(opens) = state.opens_left.get_mut(path) {
            *opens = opens.saturating_sub(1);
        }
        self.begin(&mut state, gate);
    }

    /// Begins files while there is room.
    fn begin(&self, state: &mut State, gate: &Gate<'_>) {
        let window = match gate {
            Gate::Open | Gate::Settled(_) => WINDOW_START + 2 * state.taken,
            Gate::Changing(_) => state.finished,
        };
        let known = self.known.lock().clone();
        while state.begun.len() + state.row_groups.len() < window.min(READS_AHEAD_MAX) {
            let Some(file) = state.waiting.front() else { return };
            let meta = &file.object_meta;
            let is_taken = state.opens_left.get(&meta.location).is_none_or(|opens| *opens == 0);
            let is_excluded = match gate {
                Gate::Open => false,
                Gate::Changing(excludes) | Gate::Settled(excludes) => excludes(file),
            };
            if is_taken || is_excluded {
                state.waiting.pop_front();
                continue;
            }
            if let Opening::Parquet(parquet) = &self.opening
                && let Some(columns) = known.columns.clone().filter(|_| meta.size > SMALL_FILE_BYTES)
            {
                if self.room.left() == 0 {
                    return;
                }
                let first = parquet.begin(&self.store, file, columns, known.follows.clone(), &self.room);
                state.row_groups.insert(meta.location.clone(), first);
            } else if let Some(range) = self.opening.first_range(meta) {
                let Some(taken) = self.room.take(range.end - range.start) else { return };
                let fetch = fetch(Arc::clone(&self.store), meta.clone(), range.clone());
                let answer = Answer::UnderWay(AbortOnDrop(tokio::spawn(fetch)));
                let answer = Arc::new(tokio::sync::Mutex::new(answer));
                let begun = Begun { range, e_tag: meta.e_tag.clone(), answer, _taken: taken };
                state.begun.insert(meta.location.clone(), begun);
            }
            state.waiting.pop_front();
        }
    }

    /// The first row group of a part of a file, if it was begun.
    pub(crate) fn first_row_group(&self, path: &Path, part: Option<&FileRange>) -> Option<FirstRowGroup> {
        let mut state = self.state.lock();
        let is_meant = state.row_groups.get(path).is_some_and(|first| first.part.as_ref() == part);
        if is_meant { state.row_groups.remove(path) } else { None }
    }

    /// The answer to a request, if it was made ahead.
    async fn answer(&self, path: &Path, range: Option<&GetRange>, e_tag: Option<&str>) -> Option<Served> {
        let (begun, range) = {
            let mut state = self.state.lock();
            let begun = state.begun.get(path).filter(|begun| begun.e_tag.as_deref() == e_tag)?;
            let range = match range {
                Some(GetRange::Bounded(range)) => range.clone(),
                // All of it: what is begun at the first byte is.
                None if begun.range.start == 0 => begun.range.clone(),
                _ => return None,
            };
            if range.start < begun.range.start || range.end > begun.range.end || range.is_empty() {
                return None;
            }
            if range == begun.range {
                // From now on the bytes are the reader's.
                let begun = state.begun.remove(path)?;
                (begun.answer, range)
            } else {
                (Arc::clone(&begun.answer), range)
            }
        };
        let mut answer = begun.lock().await;
        if let Answer::UnderWay(task) = &mut *answer {
            let fetched = (&mut task.0).await.unwrap_or_else(|error| Err(error.into()));
            match fetched {
                Ok(fetched) => *answer = Answer::Here(fetched),
                Err(error) => {
                    *answer = Answer::Failed;
                    return Some(Err(error));
                }
            }
        }
        let Answer::Here(fetched) = &*answer else { return None };
        // A store that doesn't know of ranges says what it sent instead.
        let at = |offset: u64| usize::try_from(offset.checked_sub(fetched.range.start)?).ok();
        let (from, to) = (at(range.start)?, at(range.end)?);
        if to > fetched.bytes.len() {
            return None;
        }
        let body = fetched.bytes.slice(from..to);
        let payload = GetResultPayload::Stream(Box::pin(futures::stream::once(async move { Ok(body) })));
        Some(Ok(GetResult { payload, meta: fetched.meta.clone(), range, attributes: fetched.attributes.clone() }))
    }
}

type Served = object_store::Result<GetResult>;

impl State {
    /// Nothing more is asked of a file, unless it is opened again.
    fn finish(&mut self, path: &Path) {
        self.finished += 1;
        if self.opens_left.get(path).is_none_or(|opens| *opens == 0) {
            self.begun.remove(path);
            self.row_groups.remove(path);
        }
    }
}

async fn fetch(store: Arc<dyn ObjectStore>, meta: ObjectMeta, range: Range<u64>) -> object_store::Result<Fetched> {
    let result = store.get_opts(&meta.location, range_of_version(range, meta.e_tag.clone())).await?;
    let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
    Ok(Fetched { meta, range, attributes, bytes: result.bytes().await? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
