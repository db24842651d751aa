//! `kill -9` at any moment loses nothing that was acknowledged and leaves nothing half done.
//!
//! The test starts its own binary again as a child, which runs only [`commits_until_it_is_killed`]: it commits in a loop and
//! prints a number after each commit that has returned. The parent kills it and reads the catalog.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use super::places::{Place, places};
use super::tests::{create_table, partition, partitioned_table};
use crate::{Catalog, Change, Location, TableName};

/// Tells the child where the catalog is, and that it is the child.
const CHILD_PATH: &str = "LIMNOS_CATALOG_CRASH_TEST_PATH";

const KILLS: u32 = 6;

#[test]
fn survives_being_killed() {
    for place in places() {
        let mut acknowledged = None;
        for kill in 0..KILLS {
            let mut child = start_child(&place);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let first = lines.by_ref().map_while(Result::ok).find_map(|line| number(&line)).unwrap();
            // Some milliseconds of commits, and other moments in each round.
            std::thread::sleep(Duration::from_micros(u64::from(kill * 15_000 + noise() % 40_000)));
            child.kill().unwrap();
            child.wait().unwrap();
            // What it had printed is still in the pipe. A last line that was cut off is no acknowledgement.
            let last = lines.map_while(Result::ok).filter_map(|line| number(&line)).last().unwrap_or(first);
            assert!(acknowledged.is_none_or(|before| last > before), "the child went on");
            acknowledged = Some(last);
            check(&place, last);
        }
    }
}

#[test]
fn survives_being_killed_while_the_file_is_made() {
    for kill in 0..KILLS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let mut child = start_child_at(&format!("sqlite:{}", path.display()));
        // From the moment that the child has begun to make files.
        while std::fs::read_dir(folder.path()).unwrap().next().is_none() {
            std::thread::sleep(Duration::from_micros(50));
        }
        std::thread::sleep(Duration::from_micros(u64::from(kill * 1_000 + noise() % 1_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let catalog = Catalog::open(&path).unwrap();
        assert_eq!(catalog.snapshot().database("default").unwrap().id, 1);
        catalog.commit(vec![create_table("default.after", partitioned_table(&[]))]).unwrap();
    }
}

#[test]
fn survives_being_killed_while_the_schema_is_made() {
    for kill in 0..KILLS {
        let Some(place) = Place::postgres() else { return };
        let mut child = start_child(&place);
        // Starting takes some ten milliseconds, connecting and making the schema as many.
        std::thread::sleep(Duration::from_micros(u64::from(10_000 + kill * 8_000 + noise() % 8_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let catalog = place.open();
        assert_eq!(catalog.snapshot().database("default").unwrap().id, 1);
        catalog.commit(vec![create_table("default.after", partitioned_table(&[]))]).unwrap();
    }
}

/// This very program again, running only [`commits_until_it_is_killed`] on the catalog at `place`.
fn start_child(place: &Place) -> Child {
    start_child_at(place.location())
}

fn start_child_at(location: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "catalog::crash_tests::commits_until_it_is_killed", "--nocapture"])
        .env(CHILD_PATH, location)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Another number each time, so that many runs try many moments.
#[allow(clippy::disallowed_methods, reason = "a test that kills at random moments")]
pub(super) fn noise() -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_micros()
}

/// The child's part; nothing in an ordinary run.
#[test]
fn commits_until_it_is_killed() {
    let Some(location) = std::env::var_os(CHILD_PATH) else { return };
    let catalog = Catalog::open_at(&Location::parse(location.to_str().unwrap()).unwrap()).unwrap();
    if catalog.snapshot().tables.is_empty() {
        catalog.commit(vec![create_table("default.log", partitioned_table(&["n", "half"]))]).unwrap();
    }
    let done =
        catalog.snapshot().tables.keys().filter_map(|name| name.name.strip_prefix("a")?.parse::<u64>().ok()).max();
    let start = done.map_or(0, |done| done + 1);
    for n in start.. {
        let halves = ["x", "y"].map(|half| partition(&[&n.to_string(), half]));
        let mut changes = vec![
            create_table(&format!("default.a{n}"), partitioned_table(&["k"])),
            Change::AddPartitions {
                table: TableName::new("default", "log"),
                partitions: halves.to_vec(),
                if_not_exists: false,
            },
            create_table(&format!("default.b{n}"), partitioned_table(&["k"])),
        ];
        // Every other number's partitions go again, so that drops and purges are cut off, too.
        if let Some(odd) = n.checked_sub(5).filter(|n| n % 2 == 1) {
            changes.push(Change::DropPartitions {
                table: TableName::new("default", "log"),
                values: ["x", "y"].map(|half| partition(&[&odd.to_string(), half]).values).to_vec(),
                if_exists: false,
            });
        }
        catalog.commit(changes).unwrap();
        writeln!(std::io::stdout().lock(), "committed {n};").unwrap();
    }
}

fn number(line: &str) -> Option<u64> {
    // The test harness may have begun a line of its own.
    line.split("committed ").nth(1)?.strip_suffix(';')?.parse().ok()
}

/// Everything up to `acknowledged` is there, and nothing is there by halves.
fn check(place: &Place, acknowledged: u64) {
    let catalog = place.open();
    let snapshot = catalog.snapshot();
    let has = |letter: char, n: u64| snapshot.find_table(&TableName::new("default", &format!("{letter}{n}"))).is_some();
    let count = (0..).take_while(|n| has('a', *n)).count() as u64;
    assert!(count > acknowledged, "{acknowledged} was acknowledged, {count} are there");
    // One more may have been committed and not yet printed.
    assert!(count <= acknowledged + 2, "{acknowledged} was acknowledged, {count} are there");
    assert!((0..count).all(|n| has('b', n)));
    assert_eq!(snapshot.tables.len() as u64, 2 * count + 1);
    let log = snapshot.table(&TableName::new("default", "log")).unwrap();
    let list = catalog.partitions(&snapshot, log).unwrap();
    let mut found: Vec<(u64, &str)> = (0..list.len())
        .map(|i| (list.values[0][i].as_deref().unwrap().parse().unwrap(), list.values[1][i].as_deref().unwrap()))
        .collect();
    found.sort_unstable();
    let is_kept = |n: &u64| n.is_multiple_of(2) || n + 5 >= count;
    let wanted: Vec<(u64, &str)> = (0..count).filter(is_kept).flat_map(|n| [(n, "x"), (n, "y")]).collect();
    assert_eq!(found, wanted);
}
