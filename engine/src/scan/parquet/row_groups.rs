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
//! - The scan has a filter that doesn't change any more: the next one that it leaves whole ([`super::access`]). After one of
//!   which the page index excludes a part, or a bloom filter may exclude all, nothing is certain.
//! - The scan has no LIMIT, reads no column before others, and has no order by which row groups are taken ([`Follows::Unknown`]).
//!
//! The first one is begun with the request before it, then as many as were read already, up to [`ROW_GROUPS_AHEAD_MAX`] of each
//! open file, charged to the query; where there is no room none is. Should the scan ask for something else all the same, what
//! was fetched is dropped, and the file is not guessed about again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use bytes::Bytes;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::access::{Access, only_value};
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
    /// The file, or the part of it that is read.
    file: PartitionedFile,
    /// What the filter leaves of it, once that is known.
    access: Option<Arc<[Access]>>,
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
}

/// The first row group of a part of a file, on its way.
#[derive(Debug)]
pub(crate) struct FirstRowGroup {
    pub(crate) part: Option<FileRange>,
    begun: AbortOnDrop<Option<BegunFile>>,
}

/// What was found out for it.
#[derive(Debug)]
struct BegunFile {
    first: Begun,
    access: Option<Arc<[Access]>>,
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
        columns: Arc<[(usize, FieldRef)]>,
        follows: Follows,
        room: &Arc<Room>,
    ) -> FirstRowGroup {
        let (store, meta, part) = (Arc::clone(store), file.object_meta.clone(), file.range.clone());
        let (footers, small_files) = (Arc::clone(&self.footers), Arc::clone(&self.small_files));
        let key = FileKey::new(&self.store_url, &meta);
        let url = format!("{}/{}", self.store_url, meta.location);
        let mut ahead = RowGroupsAhead::new(file.clone(), Arc::clone(room));
        let begin = async move {
            let metadata = footers.get(&key, &store, &meta, &small_files).await.ok()?.metadata;
            // The scan puts in the value of a column that has but one, and doesn't read it.
            let statistics = ahead.file.statistics.as_deref();
            let read = columns.iter().filter(|(index, field)| {
                statistics.is_none_or(|known| only_value(known, *index, field.data_type()).is_none())
            });
            let columns = read.map(|(_, field)| chunk_of(&metadata, field.name())).collect::<Option<Vec<_>>>()?;
            let columns: Vec<usize> = columns.into_iter().flatten().collect();
            if !ahead.is_certain(&follows, &metadata) {
                return None;
            }
            let first = ahead.following(None, &metadata)?;
            ahead.push(first, &columns, &metadata, Link::new(true), fetching(&store, &meta, &url));
            Some(BegunFile { first: ahead.begun.pop_front()?, access: ahead.access })
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
    /// For a reader of `file`.
    pub(super) fn new(file: PartitionedFile, room: Arc<Room>) -> Self {
        Self { file, access: None, room, begun: VecDeque::new(), current: 0, answered: 0, is_given_up: false }
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
        metadata: &Arc<ParquetMetaData>,
        follows: &Follows,
        link: Link,
        fetch: impl Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Clone + Send + 'static,
    ) {
        if self.is_given_up || !self.is_certain(follows, metadata) {
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
            let Some(next) = self.following(Some(last), metadata) else { return };
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
        if let Some(mut first) = ahead.first_row_group(path, self.file.range.as_ref())
            && let Ok(Some(begun)) = (&mut first.begun.0).await
        {
            self.access = begun.access;
            self.begun.push_back(begun.first);
        }
    }

    /// Whether it is known which row groups are read.
    fn is_certain(&mut self, follows: &Follows, metadata: &Arc<ParquetMetaData>) -> bool {
        match follows {
            Follows::Unknown => false,
            Follows::All => true,
            Follows::Filtered(filtered) => {
                if self.access.is_none() {
                    self.access = filtered.access(&self.file, metadata);
                }
                self.access.is_some()
            }
        }
    }

    /// The row group that is read after one, or first, if that is certain.
    fn following(&self, row_group: Option<usize>, metadata: &ParquetMetaData) -> Option<usize> {
        let access = |index: usize| match &self.access {
            None => Access::Whole,
            Some(access) => access.get(index).copied().unwrap_or(Access::Open),
        };
        let from = row_group.map_or(0, |row_group| row_group + 1);
        let is_read = |index: &usize| access(*index) != Access::Skipped && self.is_in_part(metadata.row_group(*index));
        let next = (from..metadata.num_row_groups()).find(is_read)?;
        // One without rows may be passed over.
        (access(next) == Access::Whole && metadata.row_group(next).num_rows() > 0).then_some(next)
    }

    /// As DataFusion deals row groups to the partitions that share a file.
    fn is_in_part(&self, group: &RowGroupMetaData) -> bool {
        let Some(part) = &self.file.range else { return true };
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
