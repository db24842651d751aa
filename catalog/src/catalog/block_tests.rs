//! Transaction blocks: what they see, what others see, and what their commit does. On both stores.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use super::places::places;
use super::tests::{
    add, alter, create_database, create_table, describe, drop_partitions, drop_table, name, partition,
    partitioned_table, partitions, rename, view,
};
use crate::{Catalog, Change, CreateMode, Error, FileVersion, RemovedFile, Snapshot, WriteName, WriteTarget};

/// A block as a session holds it.
struct Block {
    catalog: Arc<Catalog>,
    base: Arc<Snapshot>,
    snapshot: Arc<Snapshot>,
    changes: Vec<Change>,
}

impl Block {
    fn begin(catalog: &Arc<Catalog>) -> Self {
        let base = catalog.snapshot();
        Self { catalog: Arc::clone(catalog), snapshot: Arc::clone(&base), base, changes: Vec::new() }
    }

    fn make(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        self.snapshot = self.catalog.draft(&self.snapshot, changes.clone())?;
        self.changes.extend(changes);
        Ok(())
    }

    fn commit(self) -> Result<Arc<Snapshot>, Error> {
        self.catalog.commit_block(&self.base, self.changes)
    }

    fn partitions(&self, table: &str) -> String {
        partitions(&self.catalog, &self.snapshot, table)
    }

    fn target(&self, table: &str, removed: &[FileVersion]) -> WriteTarget {
        let table = self.snapshot.table(&name(table)).unwrap();
        WriteTarget {
            name: table.name.clone(),
            id: table.id,
            version: table.version,
            data_version: (!removed.is_empty()).then_some(table.data_version),
            removed: removed.iter().cloned().map(RemovedFile::from).collect(),
        }
    }
}

fn file_of(snapshot: &Snapshot, write: i64) -> FileVersion {
    let name = WriteName { catalog_id: snapshot.writes.catalog_id, write }.file_name("0.parquet");
    FileVersion { location: format!("file:///lake/t/{name}"), version: "1".to_owned() }
}

fn sees(snapshot: &Snapshot, write: i64) -> bool {
    let file = file_of(snapshot, write);
    snapshot.is_visible(file.location.rsplit('/').next().unwrap(), || file.clone())
}

#[test]
fn a_block_sees_its_changes_and_nobody_else_does() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![create_table("default.a", partitioned_table(&["k"])), add("default.a", &[&["1"], &["2"]])])
            .unwrap();
        let before = describe(&catalog);
        let mut block = Block::begin(&catalog);
        block.make(vec![create_database("d", CreateMode::Create)]).unwrap();
        block.make(vec![create_table("d.b", partitioned_table(&["k"]))]).unwrap();
        block.make(vec![add("d.b", &[&["x"]]), add("default.a", &[&["3"]])]).unwrap();
        block.make(vec![drop_partitions("default.a", &[&["1"]])]).unwrap();
        block.make(vec![rename("default.a", "d.c"), create_table("default.a", view("select 1"))]).unwrap();
        assert_eq!(block.partitions("d.b"), "x");
        assert_eq!(block.partitions("d.c"), "2 3");
        assert_eq!(describe(&catalog), before, "nobody else sees any of it");
        assert_eq!(catalog.snapshot().version, block.base.version, "and nothing is written");
        // What is refused changes nothing.
        let refused = block.make(vec![create_table("d.z", view("select 2")), create_table("d.c", view("select 2"))]);
        assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
        assert!(block.snapshot.find_table(&name("d.z")).is_none());
        let refused = block.make(vec![add("d.b", &[&["x"]])]);
        assert!(matches!(refused, Err(Error::AlreadyExists { kind: "partition", .. })), "{refused:?}");

        let after = block.commit().unwrap();
        assert_eq!(partitions(&catalog, &after, "d.b"), "x");
        assert_eq!(partitions(&catalog, &after, "d.c"), "2 3");
        assert_eq!(after.version, catalog.snapshot().version);
        let described = describe(&catalog);
        drop((after, catalog));
        assert_eq!(describe(&place.open()), described, "all of it is in the store");
    }
}

#[test]
fn definitions_change_more_than_once() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        let mut block = Block::begin(&catalog);
        for comment in ["one", "two"] {
            let table = Arc::clone(block.snapshot.table(&name("default.t")).unwrap());
            let mut definition = (*table.definition).clone();
            definition.comment = Some(comment.to_owned());
            let base_version = Some(table.version);
            block.make(vec![Change::AlterTable { name: table.name.clone(), definition, base_version }]).unwrap();
            let expected = block.snapshot.table(&name("default.t")).unwrap().partitions_version;
            let table = name("default.t");
            block.make(vec![Change::ExpectPartitions { table, partitions_version: expected }]).unwrap();
            block.make(vec![add("default.t", &[&[comment]])]).unwrap();
        }
        // Made from a list of partitions that somebody else has changed since.
        let mut late = Block::begin(&catalog);
        late.make(vec![add("default.t", &[&["late"]])]).unwrap();
        let partitions_version = late.snapshot.table(&name("default.t")).unwrap().partitions_version;
        late.make(vec![Change::ExpectPartitions { table: name("default.t"), partitions_version }]).unwrap();

        let after = block.commit().unwrap();
        assert!(matches!(late.commit(), Err(Error::Conflict { .. })));
        let table = after.table(&name("default.t")).unwrap();
        assert_eq!((table.version, table.comment.as_deref()), (3, Some("two")), "versions are those of the catalog");
        assert!(table.partitions_version > 0 && table.id < 1000);
        assert_eq!(partitions(&catalog, &after, "default.t"), "one two");
    }
}

#[test]
fn who_comes_second_is_told() {
    for place in places() {
        let catalog = place.open();
        let table = || partitioned_table(&["k"]);
        catalog.commit(vec![create_table("default.t", table()), create_table("default.u", table())]).unwrap();
        let mut commented = table();
        commented.comment = Some("theirs".to_owned());
        let theirs = || alter(name("default.t"), commented.clone());
        type Make = Box<dyn Fn() -> Vec<Change>>;
        let drop_t: Make = Box::new(|| vec![drop_table("default.t", false)]);
        let cases: Vec<(&str, Make, Vec<Change>, &str)> = vec![
            ("drop what was altered", drop_t, vec![theirs()], "conflict"),
            (
                "rename what was altered",
                Box::new(|| vec![rename("default.t", "default.x")]),
                vec![theirs()],
                "conflict",
            ),
            (
                "add to what was dropped",
                Box::new(|| vec![add("default.t", &[&["1"]])]),
                vec![drop_table("default.t", false)],
                "missing",
            ),
            (
                "make what is there",
                Box::new(move || vec![create_table("default.n", view("select 1"))]),
                vec![create_table("default.n", table())],
                "exists",
            ),
            (
                "drop what was made anew",
                Box::new(|| vec![drop_table("default.u", false)]),
                vec![drop_table("default.u", false), create_table("default.u", table())],
                "conflict",
            ),
        ];
        for (what, mine, theirs, expected) in cases {
            let mut block = Block::begin(&catalog);
            block.make(vec![create_table("default.mine", view("select 1"))]).unwrap();
            block.make(mine()).unwrap();
            catalog.commit(theirs).unwrap();
            let before = describe(&catalog);
            let error = block.commit().unwrap_err();
            let is_expected = match expected {
                "conflict" => matches!(error, Error::Conflict { .. }),
                "missing" => matches!(error, Error::NotFound { .. }),
                _ => matches!(error, Error::AlreadyExists { .. }),
            };
            assert!(is_expected, "{what}: {error:?}");
            assert_eq!(describe(&catalog), before, "{what}: nothing of the block is there");
            if catalog.snapshot().find_table(&name("default.t")).is_none() {
                catalog.commit(vec![create_table("default.t", table())]).unwrap();
            }
        }
        // What doesn't meet goes side by side.
        let mut block = Block::begin(&catalog);
        block.make(vec![add("default.t", &[&["mine"]])]).unwrap();
        catalog.commit(vec![add("default.t", &[&["theirs"]]), drop_table("default.u", false)]).unwrap();
        let after = block.commit().unwrap();
        assert_eq!(partitions(&catalog, &after, "default.t"), "mine theirs");
    }
}

#[test]
fn databases_go_whole_or_not() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create_database("d", CreateMode::Create)]).unwrap();
        let mut block = Block::begin(&catalog);
        block.make(vec![Change::DropDatabase { name: "d".to_owned(), if_exists: false, cascade: true }]).unwrap();
        catalog.commit(vec![create_table("d.t", view("select 1"))]).unwrap();
        assert!(matches!(block.commit(), Err(Error::Conflict { .. })), "it has a table that the block has not seen");
        assert!(catalog.snapshot().find_table(&name("d.t")).is_some());
    }
}

#[test]
fn files_are_seen_with_the_block() {
    for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        let mut block = Block::begin(&catalog);
        let begin = || catalog.begin_write("default.t", vec!["file:///lake/t/".to_owned()]).unwrap().0;
        let (one, two, three) = (begin(), begin(), begin());
        let end = |write, target| Change::CommitWrite { write, target: Some(target), bookmark: None };
        assert!(!sees(&block.snapshot, one));
        let target = block.target("default.t", &[]);
        let placed = Change::PlacePartitions { table: name("default.t"), partitions: vec![partition(&["1"])] };
        block.make(vec![placed, end(one, target)]).unwrap();
        assert!(sees(&block.snapshot, one) && !sees(&block.snapshot, two));
        // Overwritten by the block itself.
        let removed = [file_of(&block.snapshot, one)];
        let target = block.target("default.t", &removed);
        block.make(vec![end(two, target)]).unwrap();
        assert!(!sees(&block.snapshot, one) && sees(&block.snapshot, two));
        let saved = Arc::clone(&block.snapshot);
        // And once more.
        let removed = [file_of(&block.snapshot, two)];
        let target = block.target("default.t", &removed);
        block.make(vec![end(three, target)]).unwrap();
        assert!(sees(&saved, two) && !sees(&saved, three), "a savepoint's snapshot stays as it is");
        assert!(!sees(&catalog.snapshot(), one) && !sees(&catalog.snapshot(), three), "nobody else sees them");
        assert!(catalog.dead_writes().unwrap().is_empty(), "a block that is open is alive");
        let after = block.commit().unwrap();
        assert!(!sees(&after, one) && !sees(&after, two) && sees(&after, three));
        assert!(after.table(&name("default.t")).unwrap().data_version > 0);
        drop(saved);

        // A write that was given up meanwhile takes the block with it.
        let mut block = Block::begin(&catalog);
        let write = begin();
        let target = block.target("default.t", &[]);
        block.make(vec![add("default.t", &[&["9"]]), end(write, target)]).unwrap();
        catalog.commit(vec![Change::AbortWrite { write, is_lost: true }]).unwrap();
        assert!(matches!(block.commit(), Err(Error::WriteEnded { .. })));
        assert_eq!(partitions(&catalog, &catalog.snapshot(), "default.t"), "1");

        // Rows that somebody else has replaced can't be replaced again.
        let mut block = Block::begin(&catalog);
        let (mine, theirs) = (begin(), begin());
        let removed = [file_of(&block.snapshot, three)];
        let target = block.target("default.t", &removed);
        block.make(vec![end(mine, target.clone())]).unwrap();
        catalog.commit(vec![end(theirs, target)]).unwrap();
        assert!(matches!(block.commit(), Err(Error::Conflict { .. })));
    }
}

#[test]
fn what_a_block_sees_is_kept_for_it() {
    for place in places() {
        let catalog = place.open();
        catalog
            .commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])])
            .unwrap();
        let block = Block::begin(&catalog);
        catalog.commit(vec![drop_partitions("default.t", &[&["1"]])]).unwrap();
        catalog.commit(vec![create_table("default.v", view("select 1"))]).unwrap();
        catalog.forget_partition_lists();
        assert_eq!(block.partitions("default.t"), "1", "the dropped partition is still there for the block");
        // Its own snapshot holds the base as well.
        let own = catalog.draft(&block.base, vec![create_table("default.w", view("select 1"))]).unwrap();
        drop(block);
        catalog.commit(vec![drop_table("default.v", true)]).unwrap();
        catalog.forget_partition_lists();
        assert_eq!(partitions(&catalog, &own, "default.t"), "1");
        drop(own);
        catalog.commit(vec![create_table("default.v", view("select 1"))]).unwrap();
        assert_eq!(place.partition_rows(), 0, "gone when nobody sees it");
    }
}

#[test]
fn two_servers_are_as_one() {
    for place in places().into_iter().filter(super::places::Place::is_shared) {
        let (one, other) = (place.open(), place.open());
        one.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        let mut mine = loop {
            let block = Block::begin(&other);
            if block.base.find_table(&name("default.t")).is_some() {
                break block;
            }
            std::thread::yield_now();
        };
        mine.make(vec![drop_table("default.t", false), create_table("default.t", view("select 1"))]).unwrap();
        let mut theirs = Block::begin(&one);
        theirs.make(vec![rename("default.t", "default.u")]).unwrap();
        theirs.commit().unwrap();
        let error = mine.commit().unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        assert!(other.snapshot().find_table(&name("default.u")).is_some());
    }
}
