//! The catalog's memory of rejected lines: a bounded table in the store. Beside the snapshot, and no version of it.

use super::Catalog;
use crate::store::rejects;
use crate::{FileVersion, KeptReject, Reject, Result};

/// Lines that the store keeps, at most some 1.5 kB each: what a person could look through, and no burden to who backs the
/// catalog up.
const ROW_COUNT_MAX: u64 = 50_000;

/// What goes when that is passed: the oldest tenth, so that it isn't passed again at once.
const EVICTED_SHARE: u64 = 10;

impl Catalog {
    /// Writes rejected lines down, each once; those of other versions of the same files go. Where the limit is passed, those
    /// that were seen first go. What was rejected for a table goes with the table, and when its definition changes.
    ///
    /// # Errors
    /// [`crate::Error::Store`]; then none of them is kept.
    pub fn put_rejects(&self, rejects: &[Reject]) -> Result<()> {
        self.put_rejects_within(rejects, ROW_COUNT_MAX)
    }

    fn put_rejects_within(&self, rejects: &[Reject], row_count_max: u64) -> Result<()> {
        let now_ms = (self.now_ms)();
        self.write(|connection| {
            rejects::put(connection, rejects, now_ms)?;
            let count = rejects::count(connection)?;
            if count > row_count_max {
                rejects::forget_oldest(connection, count - row_count_max + row_count_max / EVICTED_SHARE)?;
            }
            Ok(())
        })
    }

    /// Forgets what was rejected of versions of `files` other than these. Each is a file that was read for a table.
    ///
    /// # Errors
    /// [`crate::Error::Store`].
    pub fn forget_rejects_of_other_versions(&self, files: &[(i64, FileVersion)]) -> Result<()> {
        let files: Vec<(i64, &FileVersion)> = files.iter().map(|(table_id, file)| (*table_id, file)).collect();
        self.write(|connection| rejects::forget_other_versions(connection, &files))
    }

    /// The rejected lines that are kept, by table, file and place.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn rejects(&self) -> Result<Vec<KeptReject>> {
        self.read(rejects::load)
    }

    /// The files of which rejected lines are kept, each with the id of the table that it was read for.
    ///
    /// # Errors
    /// [`crate::Error::Store`] if they can't be read.
    pub fn files_with_rejects(&self) -> Result<Vec<(i64, String)>> {
        self.read(rejects::files)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::TableName;
    use crate::catalog::places::places;
    use crate::catalog::tests::{alter, create_table, drop_table, partitioned_table, rename};

    fn reject(table_id: i64, file: &str, version: &str, offset: u64) -> Reject {
        Reject {
            table_id,
            table_version: 1,
            file: FileVersion { location: format!("s3://b/{file}"), version: version.to_owned() },
            offset,
            line: (offset > 0).then_some(offset / 10 + 1),
            column: offset.is_multiple_of(20).then(|| "größe".to_owned()),
            sqlstate: "22P02".to_owned(),
            reason: "invalid input syntax for type integer: \"x\"".to_owned(),
            raw: "x,'y'\u{fffd}".to_owned(),
        }
    }

    fn places_of(catalog: &Catalog) -> Vec<(i64, String, String, u64)> {
        let kept = catalog.rejects().unwrap().into_iter().map(|kept| kept.reject);
        kept.map(|reject| (reject.table_id, reject.file.location, reject.file.version, reject.offset)).collect()
    }

    #[test]
    fn a_line_is_kept_once_and_goes_with_its_file_and_its_table() {
        for place in places() {
            let now = Arc::new(AtomicI64::new(5));
            let clock = Arc::clone(&now);
            let catalog = place.open_with_clock(Box::new(move || clock.load(Ordering::SeqCst)));
            let made = ["default.a", "default.b"].map(|name| create_table(name, partitioned_table(&[])));
            catalog.commit(made.to_vec()).unwrap();
            let snapshot = catalog.snapshot();
            let id = |name: &str| snapshot.table(&TableName::new("default", name)).unwrap().id;
            let (a, b) = (id("a"), id("b"));
            let version = snapshot.version;
            let first =
                [reject(a, "f", "1", 10), reject(a, "f", "1", 20), reject(a, "g", "1", 0), reject(b, "f", "1", 10)];
            catalog.put_rejects(&first).unwrap();
            now.store(9, Ordering::SeqCst);
            catalog.put_rejects(&first).unwrap();
            assert_eq!(catalog.snapshot().version, version, "no commit");
            drop(catalog);
            let catalog = place.open();
            let kept = catalog.rejects().unwrap();
            assert_eq!(kept.iter().map(|kept| &kept.reject).collect::<Vec<_>>(), first.iter().collect::<Vec<_>>());
            assert!(kept.iter().all(|kept| kept.seen_at_ms == 5), "told twice, kept as first seen");
            let mut files = catalog.files_with_rejects().unwrap();
            files.sort();
            assert_eq!(files, [(a, "s3://b/f".to_owned()), (a, "s3://b/g".to_owned()), (b, "s3://b/f".to_owned())]);
            // A new version of a file, of one table; then one that has no bad line.
            catalog.put_rejects(&[reject(a, "f", "2", 30)]).unwrap();
            catalog
                .forget_rejects_of_other_versions(&[(
                    a,
                    FileVersion { location: "s3://b/g".into(), version: "2".into() },
                )])
                .unwrap();
            assert_eq!(
                places_of(&catalog),
                [(a, "s3://b/f".into(), "2".into(), 30), (b, "s3://b/f".into(), "1".into(), 10)]
            );
            // No table, or no longer that one.
            catalog.put_rejects(&[reject(a + 1000, "f", "1", 10)]).unwrap();
            let mut later = reject(b, "h", "1", 10);
            later.table_version = 7;
            catalog.put_rejects(&[later]).unwrap();
            assert_eq!(places_of(&catalog).len(), 2);
            catalog.commit(vec![drop_table("default.a", false), rename("default.b", "default.c")]).unwrap();
            assert_eq!(places_of(&catalog), [(b, "s3://b/f".into(), "1".into(), 10)]);
            // Another definition: what was wrong may be right.
            let mut definition = partitioned_table(&[]);
            definition.comment = Some("changed".to_owned());
            catalog.commit(vec![alter(TableName::new("default", "c"), definition)]).unwrap();
            assert_eq!(places_of(&catalog), []);
        }
    }

    #[test]
    fn the_oldest_go_first() {
        for place in places() {
            let now = Arc::new(AtomicI64::new(0));
            let clock = Arc::clone(&now);
            let catalog = place.open_with_clock(Box::new(move || clock.load(Ordering::SeqCst)));
            catalog.commit(vec![create_table("default.a", partitioned_table(&[]))]).unwrap();
            let id = catalog.snapshot().table(&TableName::new("default", "a")).unwrap().id;
            for offset in 0..25 {
                now.store(i64::try_from(offset).unwrap(), Ordering::SeqCst);
                catalog.put_rejects_within(&[reject(id, "f", "1", offset)], 20).unwrap();
            }
            let left: Vec<u64> = places_of(&catalog).into_iter().map(|place| place.3).collect();
            assert_eq!(left, (6..25).collect::<Vec<_>>());
        }
    }
}
