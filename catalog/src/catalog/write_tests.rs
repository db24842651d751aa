//! Writes of files: what snapshots see while they go on, what becomes of those that die, removed files, bookmarks. On both
//! stores. The last test kills writers at any moment.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::crash_tests::noise;
use super::places::{Place, places};
use super::tests::{add, create_table, drop_table, name, partition, partitioned_table, partitions};
use crate::write::{REMOVAL_GRACE_MS, SETTLE_MS};
use crate::{
    BookmarkUpdate, Catalog, Change, Error, FileVersion, Location, Partition, RemovedFile, Snapshot, WriteName,
    WriteTarget,
};

fn begin(catalog: &Catalog) -> (i64, Arc<Snapshot>) {
    catalog.begin_write("default.t", vec!["file:///lake/t/".to_owned()]).unwrap()
}

fn commit(write: i64) -> Change {
    Change::CommitWrite { write, target: None, bookmark: None }
}

fn file(location: &str, version: &str) -> FileVersion {
    FileVersion { location: location.to_owned(), version: version.to_owned() }
}

fn target(snapshot: &Snapshot, removed: &[FileVersion]) -> WriteTarget {
    let table = snapshot.table(&name("default.t")).unwrap();
    WriteTarget {
        name: table.name.clone(),
        id: table.id,
        version: table.version,
        data_version: (!removed.is_empty()).then_some(table.data_version),
        removed: removed.iter().cloned().map(RemovedFile::from).collect(),
    }
}

/// Whether a snapshot sees the files of a write.
fn sees(snapshot: &Snapshot, write: i64) -> bool {
    let name = WriteName { catalog_id: snapshot.writes.catalog_id, write }.file_name("0.parquet");
    snapshot.is_visible(&name, || file(&format!("file:///lake/t/{name}"), "1"))
}

#[test]
fn files_appear_with_the_commit() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        let before = catalog.snapshot();
        let (one, during) = begin(&catalog);
        let (other, _) = begin(&catalog);
        assert!(one > before.version && other > one);
        assert!(!sees(&before, one) && !sees(&during, one) && !sees(&during, other));
        catalog
            .commit(vec![Change::WidenWrite { write: one, locations: vec!["file:///elsewhere/".to_owned()] }])
            .unwrap();
        assert_eq!(catalog.snapshot().writes.open[&one].locations, ["file:///lake/t/", "file:///elsewhere/"]);

        let target = target(&during, &[]);
        let end = Change::CommitWrite { write: one, target: Some(target), bookmark: None };
        let after = catalog.commit(vec![add("default.t", &[&["1"]]), end.clone()]).unwrap();
        assert!(sees(&after, one) && !sees(&after, other), "the other goes on");
        assert!(!sees(&before, one) && !sees(&during, one), "statements keep what they began with");
        assert_eq!(partitions(&catalog, &after, "default.t"), "1");
        // Once only.
        assert!(matches!(catalog.commit(vec![end]), Err(Error::WriteEnded { .. })));
        let aborted = catalog.commit(vec![Change::AbortWrite { write: other, is_lost: false }]).unwrap();
        assert!(!sees(&aborted, other));
        assert!(matches!(catalog.commit(vec![commit(other)]), Err(Error::WriteEnded { .. })));
        let catalog_id = aborted.writes.catalog_id;
        drop(catalog);
        let catalog = place.open();
        let again = catalog.snapshot();
        assert_eq!(again.writes.catalog_id, catalog_id);
        assert!(sees(&again, one) && !sees(&again, other));
    }
}

#[test]
fn a_commit_makes_tables_with_their_files() {
    for place in places() {
        let catalog = place.open();
        let (write, _) = begin(&catalog);
        // All or none: the partition has too many values.
        let table = || create_table("default.t", partitioned_table(&["k"]));
        catalog.commit(vec![table(), add("default.t", &[&["1", "2"]]), commit(write)]).unwrap_err();
        let snapshot = catalog.snapshot();
        assert!(snapshot.find_table(&name("default.t")).is_none() && !sees(&snapshot, write));
        let snapshot = catalog.commit(vec![table(), add("default.t", &[&["1"]]), commit(write)]).unwrap();
        assert!(sees(&snapshot, write));
        // A table that isn't what the write was made for.
        let (write, begun) = begin(&catalog);
        let end = Change::CommitWrite { write, target: Some(target(&begun, &[])), bookmark: None };
        catalog.commit(vec![drop_table("default.t", false), table()]).unwrap();
        assert!(matches!(catalog.commit(vec![end]), Err(Error::Conflict { .. })));
    }
}

#[test]
fn rows_are_put_where_their_partition_is() {
    for place in places() {
        let catalog = place.open();
        let elsewhere = Partition { location: Some("file:///elsewhere/".to_owned()), ..partition(&["2"]) };
        catalog
            .commit(vec![
                create_table("default.t", partitioned_table(&["k"])),
                add("default.t", &[&["1"]]),
                Change::AddPartitions {
                    table: name("default.t"),
                    partitions: vec![elsewhere.clone()],
                    if_not_exists: false,
                },
            ])
            .unwrap();
        let put = |partitions: &[Partition]| {
            let (write, _) = begin(&catalog);
            let partitions = partitions.to_vec();
            catalog.commit(vec![Change::PlacePartitions { table: name("default.t"), partitions }, commit(write)])
        };
        put(&[partition(&["1"]), elsewhere.clone(), partition(&["3"])]).unwrap();
        assert_eq!(partitions(&catalog, &catalog.snapshot(), "default.t"), "1 2 3");
        // Somebody has put the partition elsewhere meanwhile, or back.
        assert!(matches!(put(&[partition(&["2"])]), Err(Error::Conflict { .. })));
        let moved = Partition { values: partition(&["1"]).values, ..elsewhere };
        assert!(matches!(put(&[partition(&["4"]), moved]), Err(Error::Conflict { .. })));
        assert_eq!(partitions(&catalog, &catalog.snapshot(), "default.t"), "1 2 3", "all or none");
    }
}

#[test]
fn removed_files_are_kept_for_those_who_see_them() {
    for place in places() {
        let now_ms = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&now_ms);
        let catalog = place.open_with_clock(Box::new(move || clock.load(Ordering::Relaxed)));
        catalog.commit(vec![create_table("default.t", partitioned_table(&[]))]).unwrap();
        let old = [file("file:///lake/t/a", "1"), file("file:///lake/t/b", "1")];
        let (write, begun) = begin(&catalog);
        let (slower, _) = begin(&catalog);
        let change = |write, snapshot: &Snapshot| Change::CommitWrite {
            write,
            target: Some(target(snapshot, &old)),
            bookmark: None,
        };
        let after = catalog.commit(vec![change(write, &begun)]).unwrap();
        assert_eq!(after.table(&name("default.t")).unwrap().data_version, after.version);
        let is_seen = |snapshot: &Snapshot, file: &FileVersion| snapshot.is_visible("a", || file.clone());
        assert!(is_seen(&begun, &old[0]) && !is_seen(&after, &old[0]) && !is_seen(&after, &old[1]));
        assert!(is_seen(&after, &file("file:///lake/t/a", "2")), "put again by somebody");
        // Who was slower has seen rows that are gone.
        assert!(matches!(catalog.commit(vec![change(slower, &begun)]), Err(Error::Conflict { .. })));
        catalog.commit(vec![Change::AbortWrite { write: slower, is_lost: false }]).unwrap();

        assert_eq!(catalog.files_to_delete(10).unwrap(), [], "somebody has a snapshot that sees them");
        drop(begun);
        assert_eq!(catalog.files_to_delete(1).unwrap().len(), 1);
        let gone = catalog.files_to_delete(10).unwrap();
        assert_eq!(gone, old.clone().map(RemovedFile::from));
        catalog.files_are_deleted(&gone).unwrap();
        catalog.write_is_clean(slower).unwrap();
        assert_eq!(catalog.files_to_delete(10).unwrap(), []);
        // A listing from before the deletion may still come: records stay a while, across a restart, too.
        let kept = catalog.commit(vec![create_table("default.u", partitioned_table(&[]))]).unwrap();
        assert!(!is_seen(&kept, &old[0]) && !sees(&kept, slower));
        now_ms.fetch_add(SETTLE_MS + 1, Ordering::Relaxed);
        let settled = catalog.commit(vec![drop_table("default.u", false)]).unwrap();
        assert!(is_seen(&settled, &old[0]) && settled.writes.open.is_empty());

        // Folders, and a snapshot that is held for too long.
        let held = catalog.snapshot();
        let folder = RemovedFile::folder("file:///lake/t");
        catalog
            .commit(vec![drop_table("default.t", false), Change::RemoveFiles { files: vec![folder.clone()] }])
            .unwrap();
        assert_eq!(catalog.files_to_delete(10).unwrap(), []);
        now_ms.fetch_add(REMOVAL_GRACE_MS + 1, Ordering::Relaxed);
        assert_eq!(catalog.files_to_delete(10).unwrap(), [folder]);
        drop(held);
    }
}

#[test]
fn writes_of_the_dead_are_found() {
    for place in places() {
        let catalog = place.open();
        let (live, _) = begin(&catalog);
        let (left, _) = begin(&catalog);
        assert_eq!(catalog.dead_writes().unwrap(), [0; 0]);
        catalog.leave_write(left);
        assert_eq!(catalog.dead_writes().unwrap(), [left]);
        let swept = catalog.commit(vec![Change::AbortWrite { write: left, is_lost: true }]).unwrap();
        assert_eq!(catalog.dead_writes().unwrap(), [0; 0]);
        let to_clean: Vec<i64> = catalog.writes_to_clean().unwrap().iter().map(|write| write.id).collect();
        assert_eq!(to_clean, [left]);
        catalog.write_is_clean(left).unwrap();
        assert_eq!(catalog.writes_to_clean().unwrap(), []);
        assert!(!sees(&swept, left));
        if place.is_shared() {
            let other = place.open();
            assert_eq!(other.dead_writes().unwrap(), [0; 0], "it lives");
            place.edit("UPDATE servers SET seen_at = seen_at - interval '2 minutes'");
            assert_eq!(other.dead_writes().unwrap(), [live]);
        }
        drop(catalog);
        let catalog = place.open();
        assert_eq!(catalog.dead_writes().unwrap(), [live], "its process is gone");
    }
}

#[test]
fn other_servers_see_what_goes_on() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (place.open(), place.open());
    assert_eq!(one.snapshot().writes.catalog_id, other.snapshot().writes.catalog_id);
    let (write, begun) = begin(&one);
    let wait = |version: i64| {
        let mut tries = 0;
        while other.snapshot().version < version {
            std::thread::sleep(Duration::from_millis(5));
            tries += 1;
            assert!(tries < 4000);
        }
        other.snapshot()
    };
    let lagging = wait(begun.version);
    assert!(!sees(&lagging, write));
    let removed = [file("file:///lake/x", "1")].map(RemovedFile::from).to_vec();
    let after = one.commit(vec![commit(write), Change::RemoveFiles { files: removed }]).unwrap();
    let seen = wait(after.version);
    assert!(sees(&seen, write) && seen.is_removed(&file("file:///lake/x", "1")));
    drop((begun, after));
    // The other server holds a snapshot that sees the file, and says so with its next sign of life.
    place.edit(&format!("UPDATE servers SET oldest_version = {}", lagging.version));
    assert_eq!(one.files_to_delete(10).unwrap(), []);
}

#[test]
fn bookmarks_are_moved_by_one_run_at_a_time() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![
                create_table("default.src", partitioned_table(&[])),
                create_table("default.t", partitioned_table(&[])),
            ])
            .unwrap();
        let run = |source: &str, base_version, files: &[(&str, &str)]| {
            let (write, _) = begin(&catalog);
            let files = files.iter().map(|(location, version)| file(location, version)).collect();
            let bookmark = BookmarkUpdate { name: "Nightly".to_owned(), source: name(source), base_version, files };
            catalog.commit(vec![Change::CommitWrite { write, target: None, bookmark: Some(bookmark) }]).map(|_| ())
        };
        assert_eq!(catalog.bookmark_files("nightly").unwrap(), None);
        run("default.src", None, &[("a", "1"), ("b", "1")]).unwrap();
        assert!(matches!(run("default.src", None, &[("c", "1")]), Err(Error::Conflict { .. })));
        run("default.src", Some(1), &[("a", "2"), ("c", "1")]).unwrap();
        assert!(matches!(run("default.src", Some(1), &[]), Err(Error::Conflict { .. })));
        assert!(matches!(run("default.t", Some(2), &[]), Err(Error::Invalid { .. })));
        let (bookmark, files) = catalog.bookmark_files("NIGHTLY").unwrap().unwrap();
        let files: BTreeSet<(String, String)> = files.into_iter().collect();
        let wanted = [("a", "2"), ("b", "1"), ("c", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(files, BTreeSet::from(wanted));
        assert_eq!((bookmark.name.as_str(), bookmark.source.as_str(), bookmark.version), ("nightly", "default.src", 2));
        assert_eq!(catalog.bookmarks().unwrap(), [bookmark]);
        let reset = |if_exists| catalog.commit(vec![Change::ResetBookmark { name: "nightLy".to_owned(), if_exists }]);
        reset(false).unwrap();
        assert!(matches!(reset(false), Err(Error::NotFound { .. })));
        reset(true).unwrap();
        assert_eq!(catalog.bookmarks().unwrap(), []);
    }
}

/// Tells the child where the catalog is, and that it is the child; and where its files are.
const CHILD_PATH: &str = "LIMNOS_WRITE_CRASH_TEST_PATH";
const CHILD_FOLDER: &str = "LIMNOS_WRITE_CRASH_TEST_FOLDER";

/// Files of each write.
const FILES: usize = 3;

#[test]
fn rows_are_old_or_new_whenever_the_writer_is_killed() {
    for place in places() {
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged = 0;
        for kill in 0..6 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "catalog::write_tests::writes_until_it_is_killed", "--nocapture"])
                .env(CHILD_PATH, place.location())
                .env(CHILD_FOLDER, folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            lines.by_ref().map_while(Result::ok).find(|line| line.contains("committed")).unwrap();
            std::thread::sleep(Duration::from_micros(u64::from(kill * 5_000 + noise() % 30_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            let number = |line: String| line.split("committed ").nth(1)?.strip_suffix(';')?.parse::<i64>().ok();
            let last = lines.map_while(Result::ok).filter_map(number).last();
            acknowledged = last.unwrap_or(acknowledged);
            check(&place, folder.path(), acknowledged);
        }
    }
}

/// The child's part; nothing in an ordinary run. Each write replaces the files of the one before it.
#[test]
fn writes_until_it_is_killed() {
    let Some(location) = std::env::var_os(CHILD_PATH) else { return };
    let folder = std::path::PathBuf::from(std::env::var_os(CHILD_FOLDER).unwrap());
    let catalog = Catalog::open_at(&Location::parse(location.to_str().unwrap()).unwrap()).unwrap();
    if catalog.snapshot().tables.is_empty() {
        catalog.commit(vec![create_table("default.t", partitioned_table(&[]))]).unwrap();
    }
    loop {
        let (write, snapshot) = begin(&catalog);
        let old = visible(&snapshot, &folder);
        let name = WriteName { catalog_id: snapshot.writes.catalog_id, write };
        for number in 0..FILES {
            std::fs::write(folder.join(name.file_name(&format!("{number}.csv"))), "x").unwrap();
        }
        let target = target(&snapshot, &old);
        catalog.commit(vec![Change::CommitWrite { write, target: Some(target), bookmark: None }]).unwrap();
        catalog.leave_write(write);
        writeln!(std::io::stdout().lock(), "committed {write};").unwrap();
    }
}

fn visible(snapshot: &Snapshot, folder: &Path) -> Vec<FileVersion> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let file = |name: &str| file(&format!("file:///lake/t/{name}"), "1");
    names.filter(|name| snapshot.is_visible(name, || file(name))).map(|name| file(&name)).collect()
}

/// The table has the files of exactly one write, the last one that was committed; what else is there is known as garbage.
fn check(place: &Place, folder: &Path, acknowledged: i64) {
    let catalog = place.open();
    let snapshot = catalog.snapshot();
    let files = visible(&snapshot, folder);
    assert_eq!(files.len(), FILES, "{files:?}");
    let names = files.iter().map(|file| WriteName::parse(file.location.rsplit('/').next().unwrap()).unwrap().write);
    let writes: BTreeSet<i64> = names.collect();
    assert_eq!(writes.len(), 1);
    let write = *writes.first().unwrap();
    assert!(write >= acknowledged, "{acknowledged} was acknowledged, {write} is seen");
    if place.is_shared() {
        place.edit("UPDATE servers SET seen_at = seen_at - interval '2 minutes'");
    }
    for dead in catalog.dead_writes().unwrap() {
        catalog.commit(vec![Change::AbortWrite { write: dead, is_lost: true }]).unwrap();
    }
    drop(snapshot);
    let snapshot = catalog.snapshot();
    for write in catalog.writes_to_clean().unwrap() {
        let prefix = WriteName { catalog_id: snapshot.writes.catalog_id, write: write.id }.to_string();
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with(&prefix) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        catalog.write_is_clean(write.id).unwrap();
    }
    let gone = catalog.files_to_delete(usize::MAX).unwrap();
    for file in &gone {
        let _ = std::fs::remove_file(folder.join(file.location.rsplit('/').next().unwrap()));
    }
    catalog.files_are_deleted(&gone).unwrap();
    assert_eq!(visible(&snapshot, folder).len(), FILES);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), FILES, "nothing is left behind");
}
