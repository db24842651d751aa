//! The catalog's facts of data files: a bounded cache in memory before a bounded table in the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;

use super::Catalog;
use crate::Result;
use crate::facts::{self, FileFacts, FileVersion};
use crate::store::files;

/// Bytes of facts held in memory: about 100,000 files of ten columns, which is what a busy server's queries touch.
const CACHE_BYTES_MAX: u64 = 128 << 20;

/// Files that the store keeps facts of. At a kilobyte each that is the next limit.
const ROW_COUNT_MAX: u64 = 1_000_000;

/// Bytes of facts in the store: the catalog is one file that people back up, and facts can be had again.
const BYTES_MAX: u64 = 1 << 30;

/// One file's record. A file of 100,000 columns isn't worth the place of thousands of others.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// What goes when a limit is passed: the oldest tenth, so that it isn't passed again at once.
const EVICTED_SHARE: u64 = 10;

/// The version of a file that was last asked for or told, and its facts; `None`: the store has none.
type Known = (Box<str>, Option<Arc<FileFacts>>);

/// See the module.
#[derive(Debug)]
pub(super) struct FactsCache {
    cache: Cache<String, Known>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for FactsCache {
    fn default() -> Self {
        let weigh = |location: &String, (version, facts): &Known| {
            let facts = facts.as_ref().map_or(0, |facts| facts.memory_size());
            u32::try_from(location.len() + version.len() + facts + 64).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(CACHE_BYTES_MAX).weigher(weigh).build();
        Self { cache, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }
}

impl FactsCache {
    /// `None`: it isn't known here whether there are any.
    fn get(&self, file: &FileVersion) -> Option<Option<Arc<FileFacts>>> {
        let (version, facts) = self.cache.get(file.location.as_str())?;
        (*version == *file.version).then_some(facts)
    }

    fn put(&self, file: &FileVersion, facts: Option<Arc<FileFacts>>) {
        self.cache.insert(file.location.clone(), (file.version.as_str().into(), facts));
    }
}

/// What the facts in memory take, and how often they were there.
#[derive(Debug, Clone, Copy)]
pub struct FactsMemory {
    /// Files of which it is known what there is to know.
    pub file_count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes.
    pub limit_bytes: u64,
    /// How often a file's facts were in memory.
    pub hits: u64,
    /// How often the store was asked.
    pub misses: u64,
}

/// What the store holds, as far as this process knows; another server may have added to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactsUsage {
    row_count: u64,
    bytes: u64,
}

impl Catalog {
    /// The facts of each of `files`, where there are some of exactly that version.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn file_facts(&self, files: &[FileVersion]) -> Result<Vec<Option<Arc<FileFacts>>>> {
        let mut found: Vec<Option<Arc<FileFacts>>> = vec![None; files.len()];
        let mut missing = Vec::new();
        for (index, file) in files.iter().enumerate() {
            match self.facts_cache.get(file) {
                Some(facts) => found[index] = facts,
                None => missing.push(index),
            }
        }
        self.facts_cache.hits.fetch_add((files.len() - missing.len()) as u64, Ordering::Relaxed);
        self.facts_cache.misses.fetch_add(missing.len() as u64, Ordering::Relaxed);
        if missing.is_empty() {
            return Ok(found);
        }
        let wanted: Vec<&FileVersion> = missing.iter().map(|index| &files[*index]).collect();
        let mut loaded = self.read(|connection| files::load(connection, &wanted))?;
        for index in missing {
            let facts = loaded.remove(&files[index].location).map(Arc::new);
            self.facts_cache.put(&files[index], facts.clone());
            found[index] = facts;
        }
        Ok(found)
    }

    /// What the facts in memory take.
    pub fn facts_memory(&self) -> FactsMemory {
        let FactsCache { cache, hits, misses } = &self.facts_cache;
        cache.run_pending_tasks();
        FactsMemory {
            file_count: cache.entry_count(),
            bytes: cache.weighted_size(),
            limit_bytes: CACHE_BYTES_MAX,
            hits: hits.load(Ordering::Relaxed),
            misses: misses.load(Ordering::Relaxed),
        }
    }

    /// Forgets the facts in memory. Those that the store has are read again when asked for.
    pub fn forget_facts_in_memory(&self) {
        self.facts_cache.cache.invalidate_all();
    }

    /// The facts that are in memory, without asking the store.
    pub fn noted_file_facts(&self, file: &FileVersion) -> Option<Arc<FileFacts>> {
        self.facts_cache.get(file).flatten()
    }

    /// Makes facts known to this process at once; [`Catalog::put_file_facts`] makes them last.
    pub fn note_file_facts(&self, file: &FileVersion, facts: &Arc<FileFacts>) {
        self.facts_cache.put(file, Some(Arc::clone(facts)));
    }

    /// Writes facts down, in place of those of other versions of the same files. No commit: the catalog's version stays.
    /// Where a limit is passed, the facts that were written down first go.
    ///
    /// # Errors
    /// [`crate::Error::Store`]; then none of them is kept.
    pub fn put_file_facts(&self, facts: &[(FileVersion, Arc<FileFacts>)]) -> Result<()> {
        let records: Vec<(FileVersion, Vec<u8>)> = facts
            .iter()
            .map(|(file, facts)| (file.clone(), facts::encode(facts)))
            .filter(|(_, record)| record.len() <= RECORD_BYTES_MAX)
            .collect();
        let added_bytes: u64 = records.iter().map(|(_, record)| record.len() as u64).sum();
        let mut writer = self.writer.lock();
        files::put(writer.connection.as_mut(), &records, (self.now_ms)())?;
        for (file, facts) in facts {
            self.facts_cache.put(file, Some(Arc::clone(facts)));
        }
        // What was replaced is counted twice until the next look at the store: on the safe side.
        let usage = match writer.facts_usage {
            Some(usage) => FactsUsage {
                row_count: usage.row_count + records.len() as u64,
                bytes: usage.bytes.saturating_add(added_bytes),
            },
            None => counted(&mut writer)?,
        };
        writer.facts_usage = Some(usage);
        if usage.row_count > ROW_COUNT_MAX || usage.bytes > BYTES_MAX {
            let usage = counted(&mut writer)?;
            writer.facts_usage = Some(usage);
            if usage.row_count > ROW_COUNT_MAX || usage.bytes > BYTES_MAX {
                files::forget_oldest(writer.connection.as_mut(), usage.row_count / EVICTED_SHARE + 1)?;
                writer.facts_usage = Some(counted(&mut writer)?);
            }
        }
        Ok(())
    }

    /// Forgets what is known of the files whose URL begins with `prefix`; returns how many there were in the store.
    ///
    /// # Errors
    /// [`crate::Error::Store`].
    pub fn forget_file_facts(&self, prefix: &str) -> Result<u64> {
        let mut writer = self.writer.lock();
        let count = files::forget(writer.connection.as_mut(), prefix)?;
        writer.facts_usage = None;
        let gone: Vec<String> = self
            .facts_cache
            .cache
            .iter()
            .filter(|(location, _)| location.starts_with(prefix))
            .map(|(location, _)| location.as_ref().clone())
            .collect();
        for location in gone {
            self.facts_cache.cache.invalidate(&location);
        }
        Ok(count)
    }

    /// How many files the store has facts of, and their bytes.
    ///
    /// # Errors
    /// [`crate::Error::Store`].
    pub fn file_facts_usage(&self) -> Result<(u64, u64)> {
        self.read(files::usage)
    }
}

fn counted(writer: &mut super::Writer) -> Result<FactsUsage> {
    let (row_count, bytes) = files::usage(writer.connection.as_mut())?;
    Ok(FactsUsage { row_count, bytes })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::facts::ColumnFacts;

    fn file(name: &str, version: &str) -> FileVersion {
        FileVersion { location: format!("s3://b/{name}"), version: version.to_owned() }
    }

    fn rows(row_count: u64) -> Arc<FileFacts> {
        Arc::new(FileFacts { row_count, row_group_count: 1, read_as: None, columns: vec![ColumnFacts::default()] })
    }

    fn counts(catalog: &Catalog, files: &[FileVersion]) -> Vec<Option<u64>> {
        catalog.file_facts(files).unwrap().iter().map(|facts| facts.as_ref().map(|facts| facts.row_count)).collect()
    }

    #[test]
    fn facts_are_of_one_version_and_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let catalog = Catalog::open(&path).unwrap();
        let version = catalog.snapshot().version;
        let many: Vec<_> = (0..300).map(|number| (file(&format!("t/{number}"), "1"), rows(number))).collect();
        catalog.put_file_facts(&many).unwrap();
        assert_eq!(catalog.snapshot().version, version, "no commit");
        drop(catalog);
        let catalog = Catalog::open(&path).unwrap();
        let asked: Vec<FileVersion> = (0..301).map(|number| file(&format!("t/{number}"), "1")).collect();
        let expected: Vec<Option<u64>> = (0..301).map(|number| (number < 300).then_some(number)).collect();
        // From the store, then from memory.
        assert_eq!(counts(&catalog, &asked), expected);
        assert_eq!(counts(&catalog, &asked), expected);
        assert_eq!(counts(&catalog, &[file("t/7", "2"), file("u/7", "1")]), [None, None]);
        catalog.put_file_facts(&[(file("t/7", "2"), rows(70))]).unwrap();
        assert_eq!(counts(&catalog, &[file("t/7", "2"), file("t/7", "1")]), [Some(70), None]);
        // What was asked for in vain is found once it is there.
        catalog.put_file_facts(&[(file("u/7", "1"), rows(8))]).unwrap();
        assert_eq!(counts(&catalog, &[file("u/7", "1")]), [Some(8)]);
    }

    #[test]
    fn prefixes_are_forgotten() {
        let catalog = Catalog::open_in_memory().unwrap();
        let all = [file("t_1/a", "1"), file("t_1/b", "1"), file("tx1/a", "1")];
        catalog.put_file_facts(&all.clone().map(|file| (file, rows(1)))).unwrap();
        assert_eq!(catalog.forget_file_facts("s3://b/t_1/").unwrap(), 2);
        assert_eq!(counts(&catalog, &all), [None, None, Some(1)]);
        assert_eq!(catalog.file_facts_usage().unwrap().0, 1);
    }

    #[test]
    fn the_oldest_go_first() {
        use std::sync::atomic::{AtomicI64, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let catalog =
            Catalog::open_with_clock(&folder.path().join("c.db"), Box::new(move || clock.load(Ordering::SeqCst)))
                .unwrap();
        for number in 0..20 {
            now.store(number, Ordering::SeqCst);
            catalog.put_file_facts(&[(file(&number.to_string(), "1"), rows(1))]).unwrap();
        }
        let mut writer = catalog.writer.lock();
        assert_eq!(files::forget_oldest(writer.connection.as_mut(), 5).unwrap(), 5);
        assert_eq!(counted(&mut writer).unwrap().row_count, 15);
        let left = files::load(writer.connection.as_mut(), &[&file("4", "1"), &file("5", "1")]).unwrap();
        assert_eq!(left.keys().collect::<Vec<_>>(), ["s3://b/5"]);
    }
}
