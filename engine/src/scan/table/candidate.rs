//! [`Candidate`]: a file on its way through planning, from what the catalog knows of it over its footer to whether it may hold
//! a row.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::Expr;
use futures::stream::{self, StreamExt, TryStreamExt};
use limnos_catalog::{FileFacts, FileFormat, FileVersion};
use object_store::ObjectStore;
use parquet::file::metadata::ParquetMetaData;

use super::{CatalogTable, PLAN_FOOTERS_MAX};
use crate::prune::{prune_files, prune_row_groups};
use crate::scan::facts::statistics::place_of_field;
use crate::scan::facts::{file_version, read_as};
use crate::scan::format::on_error::RowPolicy;
use crate::scan::format::orc::Tail;
use crate::scan::listing::File;
use crate::scan::parquet::{FOOTER_CONCURRENCY, FileKey, Footer, SMALL_FILE_BYTES, SmallFiles};
use crate::scan::report::ScanReport;
use crate::{Error, Result};

/// What a plan wants of its files.
#[derive(Debug)]
pub(super) struct Reading {
    /// Rows are filtered by what they hold: the plan can't be answered by what is known of files.
    pub(super) is_filtered: bool,
    /// Columns inside the files are asked for.
    pub(super) needs_rows: bool,
    /// Each request crosses a network.
    pub(super) is_remote: bool,
}

/// A file on its way through planning.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) file: File,
    pub(super) facts: Option<Arc<FileFacts>>,
    pub(super) footer: Option<Arc<ParquetMetaData>>,
    pub(super) tail: Option<Arc<Tail>>,
}

impl CatalogTable {
    /// Asks the catalog what it knows of `files`.
    pub(super) fn look_up(&self, store_url: &str, files: Vec<File>) -> Vec<Candidate> {
        let versions: Vec<FileVersion> = files.iter().map(|file| file_version(store_url, &file.meta)).collect();
        let read_as = read_as(&self.table.definition, &self.storage);
        // Where a scan may fail for what it has counted, it has to count.
        let may_fail = RowPolicy::of(&self.table.definition).is_ok_and(|policy| policy.has_maximum());
        let facts = match may_fail {
            true => vec![None; files.len()],
            false => self.context.known.get(&versions, read_as.as_deref()),
        };
        let candidate = |(file, facts): (File, Option<Arc<FileFacts>>)| {
            let facts = facts.filter(|facts| self.are_by_name(facts));
            Candidate { file, facts, footer: None, tail: None }
        };
        files.into_iter().zip(facts).map(candidate).collect()
    }

    /// Fills in the footers of `files`: where rows are filtered those of all files, since they will be read; else only of
    /// files of which nothing is known. Where there are many to read, only the cached ones are taken.
    ///
    /// A small remote file whose rows will be read costs one request, now or then: once there is no room to keep its bytes
    /// till then, it is left for then.
    pub(super) async fn add_footers(
        &self,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        files: &mut [Candidate],
        small_files: &Arc<SmallFiles>,
        reading: &Reading,
    ) -> Result<()> {
        let keys: Vec<FileKey> = files.iter().map(|candidate| FileKey::new(store_url, &candidate.file.meta)).collect();
        let is_cached: Vec<bool> = keys.iter().map(|key| self.context.footers.contains(key)).collect();
        let is_needed = |candidate: &Candidate| reading.is_filtered || candidate.facts.is_none();
        let uncached = files.iter().zip(&is_cached).filter(|(candidate, cached)| !**cached && is_needed(candidate));
        let read_all = uncached.count() <= PLAN_FOOTERS_MAX;
        let mut bytes_left = small_files.bytes_left();
        let mut has_room = |size: u64| {
            if !reading.needs_rows || !reading.is_remote || size > SMALL_FILE_BYTES {
                return true;
            }
            let left = bytes_left.checked_sub(size);
            bytes_left = left.unwrap_or(bytes_left);
            left.is_some()
        };
        let reads: Vec<_> = (files.iter().zip(keys).zip(is_cached).enumerate())
            .filter(|(_, ((candidate, _), cached))| {
                *cached || (read_all && is_needed(candidate) && has_room(candidate.file.meta.size))
            })
            .map(|(index, ((candidate, key), _))| {
                let (meta, store, footers) =
                    (candidate.file.meta.clone(), Arc::clone(store), Arc::clone(&self.context.footers));
                let small_files = Arc::clone(small_files);
                async move { Ok::<_, Error>((index, footers.get(&key, &store, &meta, &small_files).await?)) }
            })
            .collect();
        let footers: Vec<(usize, Footer)> = stream::iter(reads).buffered(FOOTER_CONCURRENCY).try_collect().await?;
        for (index, footer) in footers {
            let candidate = &mut files[index];
            candidate.facts = candidate.facts.take().or(footer.facts);
            candidate.footer = Some(footer.metadata);
        }
        Ok(())
    }

    /// Whether `facts` tell of this table's columns. Those of an ORC file of which none has a column's name are found by place.
    fn are_by_name(&self, facts: &FileFacts) -> bool {
        let fields = self.file_schema.fields();
        self.storage.format != FileFormat::Orc
            || fields.is_empty()
            || fields.iter().any(|field| place_of_field(&facts.columns, field).is_some())
    }

    /// Fills in the tails of ORC `files`, as [`Self::add_footers`] does for Parquet.
    pub(super) async fn add_tails(
        &self,
        store: &Arc<dyn ObjectStore>,
        store_url: &Arc<str>,
        files: &mut [Candidate],
        for_rows: bool,
    ) -> Result<()> {
        let tails = &self.context.tails;
        let keys: Vec<FileKey> = files.iter().map(|candidate| FileKey::new(store_url, &candidate.file.meta)).collect();
        let is_cached: Vec<bool> = keys.iter().map(|key| tails.contains(key)).collect();
        let is_needed = |candidate: &Candidate| for_rows || candidate.facts.is_none();
        let uncached = files.iter().zip(&is_cached).filter(|(candidate, cached)| !**cached && is_needed(candidate));
        let read_all = uncached.count() <= PLAN_FOOTERS_MAX;
        let reads: Vec<_> = (files.iter().zip(keys).zip(is_cached).enumerate())
            .filter(|(_, ((candidate, _), cached))| *cached || (read_all && is_needed(candidate)))
            .map(|(index, ((candidate, key), _))| {
                let (meta, store, tails) = (candidate.file.meta.clone(), Arc::clone(store), Arc::clone(tails));
                async move { Ok::<_, Error>((index, tails.get(&key, &store, &meta).await?)) }
            })
            .collect();
        let read: Vec<_> = stream::iter(reads).buffered(FOOTER_CONCURRENCY).try_collect().await?;
        for (index, (tail, facts)) in read {
            let candidate = &mut files[index];
            candidate.facts = candidate.facts.take().or(facts).filter(|facts| self.are_by_name(facts));
            candidate.tail = Some(tail);
        }
        Ok(())
    }

    /// Drops the files that are known to hold no row that `filters` let pass.
    pub(super) fn prune_known(
        &self,
        state: &dyn Session,
        files: &mut Vec<Candidate>,
        filters: &[Expr],
    ) -> DataFusionResult<()> {
        files.retain(|candidate| candidate.facts.as_ref().is_none_or(|facts| facts.row_count > 0));
        if filters.is_empty() || files.iter().all(|candidate| candidate.facts.is_none()) {
            return Ok(());
        }
        let facts: Vec<_> = files.iter().map(|candidate| candidate.facts.clone()).collect();
        let keep = prune_files(state, &facts, &self.file_schema, &self.schema, filters)?;
        retain(files, &keep);
        Ok(())
    }

    /// Drops the files whose footers exclude all their row groups, and counts.
    pub(super) fn prune_row_groups(
        &self,
        state: &dyn Session,
        files: &mut Vec<Candidate>,
        filters: &[Expr],
        report: &mut ScanReport,
    ) -> DataFusionResult<()> {
        let footers: Vec<Arc<ParquetMetaData>> = files.iter().filter_map(|file| file.footer.clone()).collect();
        let surviving = prune_row_groups(state, &footers, &self.file_schema, &self.schema, filters)?;
        let mut surviving = surviving.into_iter();
        let mut keep = Vec::with_capacity(files.len());
        for candidate in files.iter() {
            match (&candidate.footer, &candidate.facts) {
                (Some(footer), _) => {
                    let row_groups = surviving.next().unwrap_or(footer.num_row_groups());
                    report.row_groups_total += footer.num_row_groups() as u64;
                    report.row_groups_kept += row_groups as u64;
                    keep.push(row_groups > 0);
                }
                (None, Some(facts)) => {
                    report.row_groups_total += facts.row_group_count;
                    report.row_groups_kept += facts.row_group_count;
                    keep.push(true);
                }
                (None, None) => {
                    report.files_unread += 1;
                    keep.push(true);
                }
            }
        }
        retain(files, &keep);
        Ok(())
    }

    /// Drops the ORC files whose tails exclude all their stripes, and counts stripes as row groups.
    pub(super) fn prune_stripes(
        &self,
        state: &dyn Session,
        files: &mut Vec<Candidate>,
        filters: &[Expr],
        report: &mut ScanReport,
    ) -> DataFusionResult<()> {
        let tails = files.iter().filter_map(|candidate| candidate.tail.as_ref());
        let stripes: Vec<_> = tails.flat_map(|tail| tail.stripe_facts(&self.file_schema)).collect();
        let mut kept = prune_files(state, &stripes, &self.file_schema, &self.schema, filters)?.into_iter();
        let mut keep = Vec::with_capacity(files.len());
        for candidate in files.iter() {
            let (total, left) = match (&candidate.tail, &candidate.facts) {
                (Some(tail), _) => {
                    let total = tail.stripe_facts(&self.file_schema).count();
                    (total as u64, kept.by_ref().take(total).filter(|kept| *kept).count() as u64)
                }
                (None, Some(facts)) => (facts.row_group_count, facts.row_group_count),
                (None, None) => {
                    report.files_unread += 1;
                    (0, 0)
                }
            };
            report.row_groups_total += total;
            report.row_groups_kept += left;
            // Of a file without stripes it is known by its facts that it has no rows.
            keep.push(left > 0 || total == 0);
        }
        retain(files, &keep);
        Ok(())
    }
}

fn retain(files: &mut Vec<Candidate>, keep: &[bool]) {
    let mut index = 0..;
    files.retain(|_| index.next().and_then(|index: usize| keep.get(index)).copied().unwrap_or(true));
}
