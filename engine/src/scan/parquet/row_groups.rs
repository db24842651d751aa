//! [`RowGroupsAhead`]: the columns of a file's next row group, fetched while those of the one before are decoded.
//!
//! A reader is asked for byte ranges, not for row groups, and pruning goes on inside DataFusion's scan. So that no byte is read
//! that pruning excludes, the next row group is fetched only where it is certain that the scan comes to it:
//!
//! - Of a file that isn't open yet: the columns that the plan reads, where each is one chunk, but for those that are known to
//!   have one value in the file.
//! - Of one that is: the ranges just asked for are whole column chunks of one row group: the same columns of the next one are meant. (Where
//!   the page index selected pages, or filters are evaluated before other columns are read, they are not.)
//! - The scan has no filter: the next row group of the file, or of the part of it that this partition reads, follows.
//! - The scan has a filter that doesn't change: the next one that planning kept, which asked the same statistics, unless that one
//!   has a page index or bloom filters, which may still exclude it.
//! - The scan has no LIMIT, no filter that still changes, and no order by which row groups are taken ([`Follows::Unknown`]).
//!
//! The first one is begun with the request before it, then as many as were read already, up to [`ROW_GROUPS_AHEAD_MAX`] of each
//! open file, charged to the query; where there is no room none is. Should the scan ask for something else all the same, what
//! was fetched is dropped, and the file is not guessed about again.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::footer::{FileKey, Footers, SMALL_FILE_BYTES, fetching};
use super::requests::{Link, Pieces, requests};
use super::small_files::SmallFiles;
use crate::Result;
use crate::execute::AbortOnDrop;
use crate::scan::ahead::{Ahead, Follows, Room, Taken};

/// Row groups of one open file that are fetched ahead: more only help where they are small.
const ROW_GROUPS_AHEAD_MAX: usize = 4;

/// Beyond the first, row groups are fetched ahead up to so many bytes of each open file.
const BYTES_AHEAD_MAX: u64 = 16 << 20;

/// See the module. One for each reader of a large remote file.
#[derive(Debug)]
pub(super) struct RowGroupsAhead {
    /// The part of the file that is read.
    part: Option<FileRange>,
    /// Which row groups planning kept, where it read the footer.
    kept: Option<Arc<[bool]>>,
    room: Arc<Room>,
    begun: VecDeque<Begun>,
    /// The row group that was asked for last.
    current: usize,
    answered: usize,
    /// A guess was wrong, or what is asked for are not whole column chunks.
    is_given_up: bool,
}

/// What it takes to fetch the first row groups of a scan's large files before the scan opens them.
#[derive(Debug)]
pub(crate) struct FirstRowGroups {
    pub(crate) footers: Arc<Footers>,
    pub(crate) store_url: Arc<str>,
    pub(crate) small_files: Arc<SmallFiles>,
    /// Which row groups planning kept.
    pub(crate) kept: Arc<HashMap<Path, Arc<[bool]>>>,
}

/// The first row group of a part of a file, on its way.
#[derive(Debug)]
pub(crate) struct FirstRowGroup {
    pub(crate) part: Option<FileRange>,
    begun: AbortOnDrop<Option<Begun>>,
}

impl FirstRowGroups {
    /// Whether what a file is asked for first is at hand.
    pub(crate) fn is_opened(&self, meta: &ObjectMeta) -> bool {
        if meta.size <= SMALL_FILE_BYTES {
            return self.small_files.contains(&meta.location);
        }
        self.footers.contains(&FileKey::new(&self.store_url, meta))
    }

    /// Reads a file's footer, if it isn't known, and then begins its first row group. What goes wrong is told when the scan
    /// opens the file.
    pub(crate) fn begin(
        &self,
        store: &Arc<dyn ObjectStore>,
        file: &PartitionedFile,
        columns: Arc<[(usize, String)]>,
        follows: Follows,
        room: &Arc<Room>,
    ) -> FirstRowGroup {
        let (store, meta, part) = (Arc::clone(store), file.object_meta.clone(), file.range.clone());
        let (footers, small_files) = (Arc::clone(&self.footers), Arc::clone(&self.small_files));
        let key = FileKey::new(&self.store_url, &meta);
        let url = format!("{}/{}", self.store_url, meta.location);
        let statistics = file.statistics.clone();
        let mut ahead = RowGroupsAhead::new(part.clone(), self.kept.get(&meta.location).cloned(), Arc::clone(room));
        let begin = async move {
            let metadata = footers.get(&key, &store, &meta, &small_files).await.ok()?.metadata;
            // The scan puts in the value of a column that has but one, and doesn't read it.
            let read = columns.iter().filter(|(index, _)| !is_constant(statistics.as_deref(), *index));
            let columns = read.map(|(_, name)| chunk_of(&metadata, name)).collect::<Option<Vec<_>>>()?;
            let columns: Vec<usize> = columns.into_iter().flatten().collect();
            let first = ahead.following(None, &metadata, follows)?;
            ahead.push(first, &columns, &metadata, Link::new(true), fetching(&store, &meta, &url));
            ahead.begun.pop_front()
        };
        FirstRowGroup { part, begun: AbortOnDrop(tokio::spawn(begin)) }
    }
}

/// A row group that is fetched ahead.
#[derive(Debug)]
struct Begun {
    row_group: usize,
    ranges: Vec<Range<u64>>,
    pieces: AbortOnDrop<Result<Pieces>>,
    taken: Taken,
}

impl RowGroupsAhead {
    /// For a reader of `part` of a file, of which planning kept row groups.
    pub(super) fn new(part: Option<FileRange>, kept: Option<Arc<[bool]>>, room: Arc<Room>) -> Self {
        Self { part, kept, room, begun: VecDeque::new(), current: 0, answered: 0, is_given_up: false }
    }

    /// What was fetched ahead of `ranges`, which are asked for now.
    pub(super) fn take(&mut self, ranges: &[Range<u64>]) -> Option<AbortOnDrop<Result<Pieces>>> {
        let begun = self.begun.pop_front()?;
        if !ranges.iter().all(|range| begun.ranges.contains(range)) {
            self.is_given_up = true;
            self.begun.clear();
            return None;
        }
        self.answered += 1;
        Some(begun.pieces)
    }

    /// Begins to fetch what follows `ranges`, which are asked for now.
    pub(super) fn begin(
        &mut self,
        ranges: &[Range<u64>],
        metadata: &ParquetMetaData,
        follows: Follows,
        link: Link,
        fetch: impl Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Clone + Send + 'static,
    ) {
        if self.is_given_up {
            return;
        }
        let Some((current, columns)) = chunks(ranges, metadata, self.current) else {
            self.is_given_up = true;
            self.begun.clear();
            return;
        };
        self.current = current;
        let mut last = self.begun.back().map_or(current, |begun| begun.row_group);
        while self.begun.len() < ROW_GROUPS_AHEAD_MAX.min(self.answered + 1) {
            let Some(next) = self.following(Some(last), metadata, follows) else { return };
            if !self.push(next, &columns, metadata, link, fetch.clone()) {
                return;
            }
            last = next;
        }
    }

    /// Begins to fetch `columns` of a row group; false where there is no room.
    fn push(
        &mut self,
        row_group: usize,
        columns: &[usize],
        metadata: &ParquetMetaData,
        link: Link,
        fetch: impl Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Send + 'static,
    ) -> bool {
        let group = metadata.row_group(row_group);
        let ranges: Vec<_> = columns.iter().map(|column| chunk(group, *column)).collect();
        // What a file claims may be anything; for too much there is no room.
        let bytes = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.end - range.start));
        let ahead: u64 = self.begun.iter().map(|begun| begun.taken.bytes()).sum();
        if !self.begun.is_empty() && ahead.saturating_add(bytes) > BYTES_AHEAD_MAX {
            return false;
        }
        let Some(taken) = self.room.take(bytes) else { return false };
        let pieces = AbortOnDrop(tokio::spawn(Pieces::fetch(requests(&ranges, link), fetch)));
        self.begun.push_back(Begun { row_group, ranges, pieces, taken });
        true
    }

    /// Takes over what was begun of the file before it was opened.
    pub(super) async fn take_over(&mut self, ahead: &Ahead, path: &Path) {
        if let Some(mut first) = ahead.first_row_group(path, self.part.as_ref())
            && let Ok(Some(begun)) = (&mut first.begun.0).await
        {
            self.begun.push_back(begun);
        }
    }

    /// The row group that is read after one, or first, if that is certain.
    fn following(&self, row_group: Option<usize>, metadata: &ParquetMetaData, follows: Follows) -> Option<usize> {
        let is_kept = |index: usize| match follows {
            Follows::Unknown => None,
            Follows::All => Some(true),
            Follows::Kept => self.kept.as_ref()?.get(index).copied(),
        };
        let mut next = row_group.map_or(0, |row_group| row_group + 1);
        while next < metadata.num_row_groups() && (!is_kept(next)? || !self.is_in_part(metadata.row_group(next))) {
            next += 1;
        }
        let group = metadata.row_groups().get(next)?;
        let may_be_excluded = group
            .columns()
            .iter()
            .any(|column| column.column_index_offset().is_some() || column.bloom_filter_offset().is_some());
        // One without rows may be passed over.
        (group.num_rows() > 0 && (follows == Follows::All || !may_be_excluded)).then_some(next)
    }

    /// As DataFusion deals row groups to the partitions that share a file.
    fn is_in_part(&self, group: &RowGroupMetaData) -> bool {
        let Some(part) = &self.part else { return true };
        let first = group.columns().first();
        first.is_some_and(|column| {
            part.contains(column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset()))
        })
    }
}

/// The row group of which `ranges` are column chunks, looked for from row group `from` on, and the columns.
fn chunks(ranges: &[Range<u64>], metadata: &ParquetMetaData, from: usize) -> Option<(usize, Vec<usize>)> {
    let first = ranges.first()?;
    let column_of = |group: &RowGroupMetaData, range: &Range<u64>| {
        (0..group.num_columns()).find(|column| chunk(group, *column) == *range)
    };
    let count = metadata.num_row_groups();
    let mut row_groups = (from..count).chain(0..from.min(count));
    let row_group = row_groups.find(|index| column_of(metadata.row_group(*index), first).is_some())?;
    let group = metadata.row_group(row_group);
    Some((row_group, ranges.iter().map(|range| column_of(group, range)).collect::<Option<_>>()?))
}

/// The column chunk that holds the column `name` of a table, an empty one where the file has none; `None` where that is not
/// one chunk, or not certain.
fn chunk_of(metadata: &ParquetMetaData, name: &str) -> Option<Option<usize>> {
    let columns = metadata.file_metadata().schema_descr().columns().iter().enumerate();
    let is_named = |path: &[String]| path.first().is_some_and(|root| root.to_lowercase() == name.to_lowercase());
    let mut named = columns.filter(|(_, column)| is_named(column.path().parts()));
    let Some((index, column)) = named.next() else { return Some(None) };
    (column.path().parts().len() == 1 && named.next().is_none()).then_some(Some(index))
}

/// Whether all rows of a file have one value in a column, as DataFusion's scan finds it.
fn is_constant(statistics: Option<&Statistics>, column: usize) -> bool {
    let Some((all, own)) = statistics.and_then(|all| Some((all, all.column_statistics.get(column)?))) else {
        return false;
    };
    let has_one_value = match (&own.min_value, &own.max_value, &own.null_count) {
        (Precision::Exact(min), Precision::Exact(max), Precision::Exact(0)) => min == max && !min.is_null(),
        _ => false,
    };
    let is_null = match (&all.num_rows, &own.null_count) {
        (Precision::Exact(rows), Precision::Exact(nulls)) => rows == nulls,
        _ => false,
    };
    has_one_value || is_null
}

/// The bytes of a column chunk; what a file claims of it is checked when they are fetched.
fn chunk(group: &RowGroupMetaData, column: usize) -> Range<u64> {
    let column = group.column(column);
    let start = match column.dictionary_page_offset() {
        Some(dictionary) => dictionary,
        None => column.data_page_offset(),
    };
    let start = u64::try_from(start).unwrap_or(u64::MAX);
    start..start.saturating_add(u64::try_from(column.compressed_size()).unwrap_or(0))
}
