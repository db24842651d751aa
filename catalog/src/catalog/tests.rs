//! Everything that can be asked of a catalog, through its public door.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use proptest::prelude::*;

use super::places::{Place, places};
use crate::store::write::TABLE_VERSIONS_MAX;
use crate::{
    Catalog, Change, Column, CreateMode, DataType, Error, FileFormat, Partition, PartitionStorage, Snapshot,
    StorageDescriptor, TableDefinition, TableKind, TableName,
};

pub(crate) fn partitioned_table(partition_keys: &[&str]) -> TableDefinition {
    TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: "file:///lake/t/".to_owned(),
            format: FileFormat::Parquet,
            serde: None,
            properties: BTreeMap::new(),
        }),
        columns: vec![Column::new("id", DataType::BigInt)],
        partition_keys: partition_keys.iter().map(|key| Column::new(*key, DataType::String)).collect(),
        parameters: BTreeMap::new(),
        comment: None,
        owner: "limnos".to_owned(),
    }
}

pub(crate) fn view(sql: &str) -> TableDefinition {
    let kind = TableKind::View { sql: sql.to_owned(), database: "default".to_owned() };
    TableDefinition { kind, ..partitioned_table(&[]) }
}

pub(crate) fn name(full_name: &str) -> TableName {
    let (database, name) = full_name.split_once('.').unwrap();
    TableName::new(database, name)
}

pub(crate) fn create_table(full_name: &str, definition: TableDefinition) -> Change {
    create(full_name, definition, CreateMode::Create)
}

fn create(full_name: &str, definition: TableDefinition, mode: CreateMode) -> Change {
    Change::CreateTable { name: name(full_name), definition, mode }
}

pub(crate) fn create_database(name: &str, mode: CreateMode) -> Change {
    let parameters = BTreeMap::new();
    Change::CreateDatabase { name: name.to_owned(), comment: None, location: None, parameters, mode }
}

fn drop_database(name: &str, cascade: bool) -> Change {
    Change::DropDatabase { name: name.to_owned(), if_exists: false, cascade }
}

pub(crate) fn drop_table(full_name: &str, view: bool) -> Change {
    Change::DropTable { name: name(full_name), view, if_exists: false }
}

pub(crate) fn alter(name: TableName, definition: TableDefinition) -> Change {
    Change::AlterTable { name, definition, base_version: None }
}

pub(crate) fn rename(from: &str, to: &str) -> Change {
    Change::RenameTable { from: name(from), to: name(to) }
}

pub(crate) fn partition(values: &[&str]) -> Partition {
    Partition { values: values.iter().map(|value| Some((*value).to_owned())).collect(), location: None, storage: None }
}

pub(crate) fn add(full_name: &str, values: &[&[&str]]) -> Change {
    let partitions = values.iter().map(|values| partition(values)).collect();
    Change::AddPartitions { table: name(full_name), partitions, if_not_exists: false }
}

pub(crate) fn drop_partitions(full_name: &str, values: &[&[&str]]) -> Change {
    let values = values.iter().map(|values| partition(values).values).collect();
    Change::DropPartitions { table: name(full_name), values, if_exists: false }
}

/// The partitions of a table as `a/b a/c`.
pub(crate) fn partitions(catalog: &Catalog, snapshot: &Snapshot, full_name: &str) -> String {
    let table = snapshot.table(&name(full_name)).unwrap();
    let list = catalog.partitions(snapshot, table).unwrap();
    assert_eq!(list.len() as u64, table.partition_count);
    assert_eq!(list.values.len(), table.partition_keys.len());
    let one = |index: usize| {
        let values: Vec<&str> = list.values.iter().map(|column| column[index].as_deref().unwrap_or("NULL")).collect();
        values.join("/")
    };
    (0..list.len()).map(one).collect::<Vec<_>>().join(" ")
}

/// Everything there is, but for times.
pub(crate) fn describe(catalog: &Catalog) -> String {
    let snapshot = catalog.snapshot();
    let mut text = format!("version {}\n", snapshot.version);
    for database in snapshot.databases.values() {
        text.push_str(&format!("{database:?}\n"));
    }
    for table in snapshot.tables.values() {
        let partitions = partitions(catalog, &snapshot, &table.name.to_string());
        let (name, id, version) = (&table.name, table.id, table.version);
        let partitions_version = table.partitions_version;
        text.push_str(&format!("{name} {id} {version} {partitions_version} {:?} {partitions}\n", table.definition));
        text.push_str(&format!("{:?}\n", catalog.partitions(&snapshot, table).unwrap().storages));
    }
    text
}

fn open(path: &Path) -> Arc<Catalog> {
    Catalog::open(path).unwrap()
}

/// In memory and in all places alike; the places first, so that they outlive their catalogs.
fn everywhere() -> (Vec<Place>, Vec<Arc<Catalog>>) {
    let places = places();
    let catalogs = places.iter().map(Place::open).chain([Catalog::open_in_memory().unwrap()]).collect();
    (places, catalogs)
}

#[test]
fn begins_with_the_default_database() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let snapshot = catalog.snapshot();
        assert_eq!(snapshot.databases.keys().collect::<Vec<_>>(), ["default"]);
        assert_eq!(snapshot.database("default").unwrap().id, 1);
        assert!(snapshot.tables.is_empty());
    }
}

#[test]
fn everything_is_there_after_a_restart() {
    for place in places() {
        let catalog = place.open();
        let storage = PartitionStorage {
            format: FileFormat::Csv,
            serde: Some("x.Y".to_owned()),
            properties: BTreeMap::from([("field.delim".to_owned(), "|".to_owned())]),
            columns: Some(vec![Column::new("id", DataType::String)]),
        };
        let with_location =
            Partition { location: Some("s3://b/x/".to_owned()), storage: Some(storage), ..partition(&["2024", "02"]) };
        catalog
            .commit(vec![
                Change::CreateDatabase {
                    name: "Sales".to_owned(),
                    comment: Some("c".to_owned()),
                    location: Some("s3://b/".to_owned()),
                    parameters: BTreeMap::from([("creator".to_owned(), "Jane D.".to_owned())]),
                    mode: CreateMode::Create,
                },
                create_table("sales.orders", partitioned_table(&["year", "month"])),
                create_table("sales.v", view("select 1")),
                add("sales.orders", &[&["2024", "01"]]),
                Change::AddPartitions {
                    table: name("sales.orders"),
                    partitions: vec![with_location],
                    if_not_exists: false,
                },
            ])
            .unwrap();
        catalog
            .commit(vec![create_table("default.a", partitioned_table(&[])), drop_table("default.a", false)])
            .unwrap();
        let before = describe(&catalog);
        drop(catalog);
        let catalog = place.open();
        assert_eq!(describe(&catalog), before);
        let snapshot = catalog.snapshot();
        let list = catalog.partitions(&snapshot, snapshot.table(&name("sales.orders")).unwrap()).unwrap();
        assert_eq!(list.locations, [None, Some(Box::from("s3://b/x/"))]);
        // Ids go on where they were, also past those of what was dropped.
        let snapshot = catalog.commit(vec![create_table("default.b", partitioned_table(&[]))]).unwrap();
        assert_eq!(snapshot.table(&name("default.b")).unwrap().id, 6);
    }
}

#[test]
fn refuses_and_says_why() {
    let setup = || {
        vec![
            create_database("sales", CreateMode::Create),
            create_table("sales.orders", partitioned_table(&["year", "month"])),
            create_table("sales.flat", partitioned_table(&[])),
            create_table("sales.v", view("select 1")),
            add("sales.orders", &[&["2024", "1:2"]]),
        ]
    };
    let values = |values: &[&str]| partition(values).values;
    #[rustfmt::skip]
    let cases: Vec<(Change, &str, Option<&str>)> = vec![
        (create_database("SALES", CreateMode::Create), "database \"sales\" already exists", None),
        (create_database("pg_catalog", CreateMode::IfNotExists), "unacceptable schema name \"pg_catalog\"", Some("The name is reserved for the server's own tables.")),
        (create_database("a/b", CreateMode::Create), "database name \"a/b\" must not hold the character '/'", None),
        (drop_database("salse", false), "database \"salse\" does not exist", Some("Did you mean \"sales\"?")),
        (drop_database("sales", false), "cannot drop database \"sales\" because it is not empty", None),
        (drop_database("Default", true), "cannot drop database \"default\" because it is required by the system", Some("Drop its tables one by one.")),
        (create_table("salse.x", view("")), "database \"salse\" does not exist", Some("Did you mean \"sales\"?")),
        (create_table("sales.ORDERS", view("")), "table \"sales.orders\" already exists", None),
        (create_table("sales.v", partitioned_table(&[])), "view \"sales.v\" already exists", None),
        (create_table("sales.", view("")), "a table name must not be empty", None),
        (create_table("sales.x", partitioned_table(&["a", "A"])), "column \"A\" specified more than once", Some("A partition key is a column of its own: leave it out of the column list.")),
        (create("sales.orders", view(""), CreateMode::OrReplace), "\"sales.orders\" is not a view", Some("Drop the table first, or choose another name.")),
        (create("sales.v", partitioned_table(&[]), CreateMode::OrReplace), "\"sales.v\" is not a table", Some("Drop the view first, or choose another name.")),
        (alter(name("sales.ordrs"), partitioned_table(&[])), "table \"sales.ordrs\" does not exist", Some("Did you mean \"sales.orders\"?")),
        (alter(name("sales.orders"), view("")), "\"sales.orders\" is not a view", Some("Drop the table first, or choose another name.")),
        (drop_table("sales.v", false), "\"sales.v\" is not a table", Some("Use DROP VIEW to remove a view.")),
        (drop_table("sales.orders", true), "\"sales.orders\" is not a view", Some("Use DROP TABLE to remove a table.")),
        (Change::DropTable { name: name("sales.v"), view: false, if_exists: true }, "\"sales.v\" is not a table", Some("Use DROP VIEW to remove a view.")),
        (drop_table("default.orders", false), "table \"default.orders\" does not exist", Some("Did you mean \"sales.orders\"?")),
        (drop_table("sales.nothing", true), "view \"sales.nothing\" does not exist", None),
        (rename("sales.orders", "sales.flat"), "table \"sales.flat\" already exists", None),
        (rename("sales.orders", "sales.orders"), "table \"sales.orders\" already exists", None),
        (rename("sales.orders", "nowhere.orders"), "database \"nowhere\" does not exist", None),
        (rename("sales.orders", "sales.a/b"), "table name \"a/b\" must not hold the character '/'", None),
        (rename("sales.zzzzzz", "sales.y"), "table \"sales.zzzzzz\" does not exist", None),
        (add("sales.orders", &[&["2024", "1:2"]]), "partition \"sales.orders/year=2024/month=1%3A2\" already exists", None),
        (add("sales.orders", &[&["2025", "1"], &["2025", "1"]]), "partition \"sales.orders/year=2025/month=1\" already exists", None),
        (add("sales.orders", &[&["2025"]]), "partition has 1 value, but table \"sales.orders\" has 2 partition keys", Some("Give one value for each of (year, month), in this order.")),
        (add("sales.flat", &[&["2025"]]), "table \"sales.flat\" is not partitioned", Some("Partition keys are declared with PARTITIONED BY.")),
        (add("sales.v", &[&["2025"]]), "\"sales.v\" is not a table", Some("A view has no partitions of its own.")),
        (drop_partitions("sales.orders", &[&["2024", "2"]]), "partition \"sales.orders/year=2024/month=2\" does not exist", None),
        (drop_partitions("sales.orders", &[&["2024", "1:2"], &["2024", "1:2"]]), "partition \"sales.orders/year=2024/month=1%3A2\" does not exist", None),
        (Change::DropPartitions { table: name("sales.orders"), values: vec![values(&[])], if_exists: true }, "partition has 0 values, but table \"sales.orders\" has 2 partition keys", Some("Give one value for each of (year, month), in this order.")),
    ];
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        catalog.commit(setup()).unwrap();
        let before = describe(&catalog);
        for (change, message, hint) in &cases {
            // The changes before the refused one must go with it.
            let first = [
                create_table("default.first", partitioned_table(&["k"])),
                add("default.first", &[&["1"]]),
                drop_partitions("sales.orders", &[]),
                create_database("other", CreateMode::Create),
            ];
            let error = catalog.commit(first.into_iter().chain([change.clone()]).collect()).unwrap_err();
            assert_eq!(error.to_string(), *message);
            assert_eq!(error.hint(), *hint, "{message}");
            assert_eq!(describe(&catalog), before, "{message}");
        }
        // And an id that was taken by a commit that failed is still free.
        let snapshot = catalog.commit(vec![create_database("next", CreateMode::Create)]).unwrap();
        assert_eq!(snapshot.database("next").unwrap().id, 6);
    }
}

#[test]
fn what_comes_to_nothing_makes_no_version() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let before = catalog
            .commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])])
            .unwrap();
        let nothing = vec![
            create_database("default", CreateMode::IfNotExists),
            create("default.t", partitioned_table(&["other"]), CreateMode::IfNotExists),
            create("default.t", view("taken by a table"), CreateMode::IfNotExists),
            Change::DropDatabase { name: "x".to_owned(), if_exists: true, cascade: true },
            Change::DropTable { name: name("default.x"), view: true, if_exists: true },
            Change::AddPartitions {
                table: name("default.t"),
                partitions: vec![partition(&["1"])],
                if_not_exists: true,
            },
            Change::DropPartitions {
                table: name("default.t"),
                values: vec![partition(&["2"]).values],
                if_exists: true,
            },
            add("default.t", &[]),
        ];
        let after = catalog.commit(nothing).unwrap();
        assert!(Arc::ptr_eq(&before, &after));
        assert!(Arc::ptr_eq(&catalog.commit(Vec::new()).unwrap(), &catalog.snapshot()));
    }
}

#[test]
fn replacing_keeps_the_id_and_counts_the_version() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let first = catalog
            .commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])])
            .unwrap();
        let first = Arc::clone(first.table(&name("default.t")).unwrap());
        assert_eq!((first.version, first.partition_count, first.partitions_version), (1, 1, 2));

        let mut definition = partitioned_table(&["K"]);
        definition.comment = Some("new".to_owned());
        definition.partition_keys[0].data_type = DataType::Int;
        let snapshot = catalog.commit(vec![create("default.T", definition, CreateMode::OrReplace)]).unwrap();
        let second = snapshot.table(&name("default.t")).unwrap();
        assert_eq!((second.id, second.version, second.partitions_version), (first.id, 2, 2));
        assert_eq!((second.comment.as_deref(), second.partition_keys[0].name.as_str()), (Some("new"), "k"));
        assert_eq!(partitions(&catalog, &snapshot, "default.t"), "1");

        let other_keys = alter(name("default.t"), partitioned_table(&["k", "j"]));
        let snapshot = catalog.commit(vec![other_keys.clone(), add("default.t", &[&["1", "2"]])]).unwrap();
        let third = snapshot.table(&name("default.t")).unwrap();
        assert_eq!((third.id, third.version, third.partitions_version), (first.id, 3, 4));
        assert_eq!(partitions(&catalog, &snapshot, "default.t"), "1/2");

        let Change::AlterTable { definition: mut elsewhere, .. } = other_keys else { panic!("an ALTER TABLE") };
        let TableKind::External(storage) = &mut elsewhere.kind else { panic!("a table") };
        storage.location = "file:///lake/u/".to_owned();
        let snapshot = catalog.commit(vec![create("default.t", elsewhere, CreateMode::OrReplace)]).unwrap();
        assert_eq!(partitions(&catalog, &snapshot, "default.t"), "", "those of another folder are others");
    }
}

#[test]
fn versions_of_a_table_are_kept() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let with_comment = |comment: i64| {
            let definition = partitioned_table(&["k"]);
            TableDefinition { comment: Some(comment.to_string()), ..definition }
        };
        let versions = || {
            let snapshot = catalog.snapshot();
            let versions = catalog.table_versions(snapshot.table(&name("default.t")).unwrap()).unwrap();
            versions.iter().map(|version| (version.version, version.definition.comment.clone())).collect::<Vec<_>>()
        };
        catalog.commit(vec![create_table("default.t", with_comment(1))]).unwrap();
        catalog.commit(vec![add("default.t", &[&["x"]])]).unwrap();
        assert_eq!(versions(), [(1, Some("1".to_owned()))], "partitions make no version");
        // Two in one commit are two versions.
        catalog
            .commit(vec![alter(name("default.t"), with_comment(2)), alter(name("default.t"), with_comment(3))])
            .unwrap();
        let wanted = [1, 2, 3].map(|n: i64| (n, Some(n.to_string())));
        assert_eq!(versions(), wanted);
        let moved = catalog.commit(vec![rename("default.t", "default.u"), rename("default.u", "default.t")]);
        assert_eq!(moved.map(|_| versions()).unwrap(), wanted, "a name is no part of a definition");

        for n in 4..=TABLE_VERSIONS_MAX + 2 {
            catalog.commit(vec![alter(name("default.t"), with_comment(n))]).unwrap();
        }
        let kept = versions();
        assert_eq!((kept.len() as i64, kept[0].0), (TABLE_VERSIONS_MAX, 3));

        let table = Arc::clone(catalog.snapshot().table(&name("default.t")).unwrap());
        catalog.commit(vec![drop_table("default.t", false)]).unwrap();
        assert_eq!(catalog.table_versions(&table).unwrap(), [], "they go with the table");
    }
}

#[test]
fn no_change_is_lost_to_another_made_from_the_same_version() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        let change = |comment: &str, base_version| Change::AlterTable {
            name: name("default.t"),
            definition: TableDefinition { comment: Some(comment.to_owned()), ..partitioned_table(&["k"]) },
            base_version,
        };
        catalog.commit(vec![change("first", Some(1))]).unwrap();
        let error = catalog.commit(vec![change("second", Some(1))]).unwrap_err();
        assert_eq!(error.to_string(), "table \"default.t\" was changed by another statement");
        assert_eq!(error.hint(), Some("Run the statement again."));
        assert_eq!(catalog.snapshot().table(&name("default.t")).unwrap().comment.as_deref(), Some("first"));
        catalog.commit(vec![change("third", Some(2)), change("fourth", None)]).unwrap();

        // Nor one that was made from a list of partitions.
        let expect = |partitions_version| Change::ExpectPartitions { table: name("default.t"), partitions_version };
        let before = catalog.snapshot().table(&name("default.t")).unwrap().partitions_version;
        let version = catalog.snapshot().version;
        catalog.commit(vec![expect(before)]).unwrap();
        assert_eq!(catalog.snapshot().version, version, "to expect is no change");
        catalog.commit(vec![expect(before), add("default.t", &[&["1"]])]).unwrap();
        let error = catalog.commit(vec![expect(before), add("default.t", &[&["2"]])]).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert_eq!(partitions(&catalog, &catalog.snapshot(), "default.t"), "1");
    }
}

#[test]
fn renames_within_and_across_databases() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let changes = vec![
            create_database("sales", CreateMode::Create),
            create_table("default.t", partitioned_table(&["k"])),
            add("default.t", &[&["1"]]),
        ];
        let before = catalog.commit(changes).unwrap();
        let snapshot = catalog.commit(vec![rename("default.t", "sales.u")]).unwrap();
        assert_eq!(partitions(&catalog, &snapshot, "sales.u"), "1");
        assert!(snapshot.find_table(&name("default.t")).is_none());
        let id = |snapshot: &Snapshot, full_name: &str| snapshot.table(&name(full_name)).unwrap().id;
        assert_eq!(id(&snapshot, "sales.u"), id(&before, "default.t"));
        // The old name is free at once, and names may be swapped in one commit.
        let changes = vec![
            create_table("default.t", partitioned_table(&[])),
            rename("default.t", "sales.tmp"),
            rename("sales.u", "default.t"),
            rename("sales.tmp", "sales.u"),
        ];
        let snapshot = catalog.commit(changes).unwrap();
        assert_eq!(partitions(&catalog, &snapshot, "default.t"), "1");
        assert_eq!(snapshot.tables.len(), 2);
    }
}

#[test]
fn drops_a_database_with_all_that_is_in_it() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let changes = vec![
            create_database("sales", CreateMode::Create),
            create_table("sales.t", partitioned_table(&["k"])),
            add("sales.t", &[&["1"], &["2"]]),
            create_table("sales.v", view("select 1")),
        ];
        let before = catalog.commit(changes).unwrap();
        let Error::NotEmpty { table_count, .. } = catalog.commit(vec![drop_database("sales", false)]).unwrap_err()
        else {
            panic!("not empty")
        };
        assert_eq!(table_count, 2);
        let after = catalog.commit(vec![drop_database("sales", true)]).unwrap();
        assert_eq!((after.tables.len(), after.databases.len()), (0, 1));
        // Who began before still finds the partitions.
        assert_eq!(partitions(&catalog, &before, "sales.t"), "1 2");
    }
}

#[test]
fn each_snapshot_has_its_own_partitions() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let null = Partition { values: vec![None], location: None, storage: None };
        let steps = [
            (create_table("default.t", partitioned_table(&["k"])), ""),
            (add("default.t", &[&["10"], &["9"], &["01"], &[""]]), " 01 10 9"),
            (drop_partitions("default.t", &[&["10"], &["01"]]), " 9"),
            (add("default.t", &[&["10"], &["__HIVE_DEFAULT_PARTITION__"]]), " 10 9 NULL"),
            (
                Change::AddPartitions { table: name("default.t"), partitions: vec![null], if_not_exists: true },
                " 10 9 NULL",
            ),
            (drop_partitions("default.t", &[&["10"]]), " 9 NULL"),
            (add("default.t", &[&["10"]]), " 10 9 NULL"),
            (alter(name("default.t"), partitioned_table(&["j"])), ""),
        ];
        let held: Vec<(Arc<Snapshot>, &str)> =
            steps.into_iter().map(|(change, wanted)| (catalog.commit(vec![change]).unwrap(), wanted)).collect();
        catalog.commit(vec![drop_table("default.t", false)]).unwrap();
        // From the newest to the oldest, so that nothing is right because it was cached in order.
        for (snapshot, wanted) in held.iter().rev() {
            assert_eq!(partitions(&catalog, snapshot, "default.t"), *wanted, "version {}", snapshot.version);
        }
    }
}

#[test]
fn adds_and_drops_the_same_partition_in_one_commit() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let changes = vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"], &["2"]])];
        let before = catalog.commit(changes).unwrap();
        let changes = vec![
            drop_partitions("default.t", &[&["1"]]),
            add("default.t", &[&["1"], &["3"]]),
            drop_partitions("default.t", &[&["1"], &["3"]]),
            add("default.t", &[&["1"]]),
        ];
        let after = catalog.commit(changes).unwrap();
        assert_eq!(partitions(&catalog, &after, "default.t"), "1 2");
        assert_eq!(partitions(&catalog, &before, "default.t"), "1 2");
    }
}

#[test]
fn keeps_dropped_partitions_only_while_they_are_needed() {
    for place in places() {
        let catalog = place.open();
        let rows = || place.partition_rows();
        let changes = vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"], &["2"]])];
        let held = catalog.commit(changes).unwrap();
        let copy = (*held).clone();
        catalog.commit(vec![drop_partitions("default.t", &[&["1"]])]).unwrap();
        catalog.commit(vec![create_database("a", CreateMode::Create)]).unwrap();
        assert_eq!(rows(), 2, "held");
        drop(held);
        catalog.commit(vec![create_database("b", CreateMode::Create)]).unwrap();
        assert_eq!(rows(), 1, "purged by a commit");
        // A copy of the snapshot is not what holds them. It is told so, never given half.
        let error = catalog.partitions(&copy, copy.table(&name("default.t")).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "partitions of table \"default.t\" as of catalog version 2 are no longer kept");

        let held = catalog.snapshot();
        catalog.commit(vec![drop_table("default.t", false)]).unwrap();
        assert_eq!(rows(), 1, "held");
        assert_eq!(partitions(&catalog, &held, "default.t"), "2");
        drop(catalog);
        let catalog = place.open();
        // Another server may hold them, so in PostgreSQL the next commit looks.
        if place.is_shared() {
            assert_eq!(rows(), 1, "kept when opened");
            drop(held);
            catalog.commit(vec![create_database("c", CreateMode::Create)]).unwrap();
        }
        assert_eq!(rows(), 0, "purged when opened");
    }
}

#[test]
fn partition_lists_are_shared() {
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        let changes = vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])];
        let first = catalog.commit(changes).unwrap();
        let second = catalog.commit(vec![create_database("a", CreateMode::Create)]).unwrap();
        let list =
            |snapshot: &Snapshot| catalog.partitions(snapshot, snapshot.table(&name("default.t")).unwrap()).unwrap();
        assert!(Arc::ptr_eq(&list(&first), &list(&second)));
        let third = catalog.commit(vec![add("default.t", &[&["2"]])]).unwrap();
        assert_eq!((list(&third).len(), list(&first).len()), (2, 1));
    }
}

#[test]
fn a_hundred_thousand_partitions() {
    for place in places() {
        let all: Vec<Partition> = (0..100_000)
            .map(|i| Partition {
                values: vec![Some(format!("{:04}", i / 100)), Some(format!("{:02}", i % 100))],
                location: (i % 1000 == 0).then(|| format!("s3://b/{i}/")),
                storage: None,
            })
            .collect();
        let catalog = place.open();
        let change = Change::AddPartitions { table: name("default.t"), partitions: all.clone(), if_not_exists: false };
        let snapshot =
            catalog.commit(vec![create_table("default.t", partitioned_table(&["a", "b"])), change.clone()]).unwrap();
        let check = |catalog: &Catalog, snapshot: &Snapshot| {
            let list = catalog.partitions(snapshot, snapshot.table(&name("default.t")).unwrap()).unwrap();
            assert_eq!(list.len(), all.len());
            for (i, partition) in all.iter().enumerate() {
                let values: Vec<Option<&str>> = list.values.iter().map(|column| column[i].as_deref()).collect();
                assert_eq!(values, partition.values.iter().map(Option::as_deref).collect::<Vec<_>>());
                assert_eq!(list.locations[i].as_deref(), partition.location.as_deref());
            }
        };
        check(&catalog, &snapshot);
        drop(catalog);
        let catalog = place.open();
        check(&catalog, &catalog.snapshot());
        let before = catalog.snapshot();
        let values: Vec<Vec<Option<String>>> = all.iter().skip(1).map(|partition| partition.values.clone()).collect();
        let after = catalog
            .commit(vec![Change::DropPartitions { table: name("default.t"), values, if_exists: false }])
            .unwrap();
        assert_eq!(partitions(&catalog, &after, "default.t"), "0000/00");
        check(&catalog, &before);
    }
}

#[test]
fn tells_the_time_by_the_clock_it_was_given() {
    for place in places() {
        let now_ms = Arc::new(AtomicI64::new(1000));
        let clock = Arc::clone(&now_ms);
        let catalog = place.open_with_clock(Box::new(move || clock.load(Ordering::Relaxed)));
        let times = |snapshot: Arc<Snapshot>| {
            let table = snapshot.table(&name("default.t")).unwrap();
            (table.created_at_ms, table.updated_at_ms)
        };
        let snapshot = catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        assert_eq!(times(snapshot), (1000, 1000));
        now_ms.store(2000, Ordering::Relaxed);
        assert_eq!(times(catalog.commit(vec![add("default.t", &[&["1"]])]).unwrap()), (1000, 2000));
    }
}

#[test]
fn readers_see_whole_commits_while_others_write() {
    const WRITERS: usize = 3;
    const COMMITS: usize = 30;
    let (_places, catalogs) = everywhere();
    for catalog in catalogs {
        catalog.commit(vec![create_table("default.log", partitioned_table(&["writer", "n"]))]).unwrap();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut version = 0;
                        while !is_done.load(Ordering::Relaxed) {
                            let snapshot = catalog.snapshot();
                            assert!(snapshot.version >= version);
                            version = snapshot.version;
                            // Every commit makes a table and two partitions.
                            let list = partitions(&catalog, &snapshot, "default.log");
                            assert_eq!(list.split_whitespace().count(), 2 * (snapshot.tables.len() - 1));
                        }
                    })
                })
                .collect();
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let catalog = &catalog;
                    scope.spawn(move || {
                        for n in 0..COMMITS {
                            let table = format!("default.t{writer}_{n}");
                            let (writer, a, b) = (writer.to_string(), format!("{n}a"), format!("{n}b"));
                            let changes = vec![
                                create_table(&table, partitioned_table(&[])),
                                add("default.log", &[&[&writer, &a], &[&writer, &b]]),
                            ];
                            let snapshot = catalog.commit(changes).unwrap();
                            assert!(snapshot.find_table(&name(&table)).is_some());
                        }
                    })
                })
                .collect();
            let outcomes: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            is_done.store(true, Ordering::Relaxed);
            assert!(outcomes.iter().all(Result::is_ok) && readers.into_iter().all(|reader| reader.join().is_ok()));
        });
        let snapshot = catalog.snapshot();
        assert_eq!(snapshot.tables.len(), WRITERS * COMMITS + 1);
        assert_eq!(snapshot.version, 2 + (WRITERS * COMMITS) as i64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Random adds and drops against a plain map, each snapshot checked again at the end and after a restart.
    #[test]
    fn partitions_are_what_a_plain_map_says(
        commits in prop::collection::vec(prop::collection::vec((any::<bool>(), 0..8_u8), 1..6), 1..12)
    ) {
        for place in places() {
        let catalog = place.open();
        catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
        let mut model = std::collections::BTreeSet::new();
        let mut held = Vec::new();
        for commit in &commits {
            let changes = commit.iter().map(|&(is_add, k)| {
                let partition = partition(&[&k.to_string()]);
                if is_add {
                    model.insert(k);
                    Change::AddPartitions { table: name("default.t"), partitions: vec![partition], if_not_exists: true }
                } else {
                    model.remove(&k);
                    Change::DropPartitions { table: name("default.t"), values: vec![partition.values], if_exists: true }
                }
            });
            let snapshot = catalog.commit(changes.collect()).unwrap();
            let wanted = model.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
            held.push((snapshot, wanted));
        }
        for (snapshot, wanted) in &held {
            prop_assert_eq!(&partitions(&catalog, snapshot, "default.t"), wanted);
        }
        drop(catalog);
        let catalog = place.open();
        prop_assert_eq!(&partitions(&catalog, &catalog.snapshot(), "default.t"), &held[held.len() - 1].1);
        }
    }
}

/// What [`Catalog::open`] says of a file, with the path left out.
fn refusal(path: &Path) -> String {
    let error = Catalog::open(path).unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    let start = format!("catalog \"{}\" cannot be opened: ", path.display());
    text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn edit(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn refuses_files_that_it_cannot_keep() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let not_ours = "it is not a Limnos catalog; choose another data directory or move the file away";

    std::fs::write(&path, "These are my notes. ".repeat(100)).unwrap();
    assert_eq!(refusal(&path), not_ours);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "These are my notes. ".repeat(100));

    std::fs::remove_file(&path).unwrap();
    edit(&path, "CREATE TABLE somebody_elses (a); PRAGMA user_version = 1;");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(refusal(&path), not_ours);
    assert!(std::fs::read(&path).unwrap() == bytes, "left as it was");

    std::fs::remove_file(&path).unwrap();
    drop(open(&path));
    edit(&path, "DELETE FROM meta;");
    assert!(refusal(&path).starts_with("the file is damaged (no version in it); restore it from a backup"));

    edit(&path, "PRAGMA user_version = 7000;");
    let newer = "it was written by a newer version of Limnos (schema version 7000, this one knows";
    assert!(refusal(&path).starts_with(newer), "{}", refusal(&path));

    let nowhere = folder.path().join("no/such/folder/catalog.db");
    assert!(refusal(&nowhere).contains("lock file"));
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    drop(open(&folder.path().join("empty.db")));
}

/// What Limnos 0.1 wrote. The text may never change: such files lie on users' disks.
const SCHEMA_1: &str = "
    CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, next_id INTEGER NOT NULL) STRICT;
    CREATE TABLE databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, comment TEXT, location TEXT) STRICT;
    CREATE TABLE tables (id INTEGER PRIMARY KEY, database_id INTEGER NOT NULL REFERENCES databases (id), name TEXT NOT NULL,
        version INTEGER NOT NULL, partitions_version INTEGER NOT NULL, partition_count INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL, definition TEXT NOT NULL,
        UNIQUE (database_id, name)) STRICT;
    CREATE TABLE partitions (table_id INTEGER NOT NULL, \"values\" BLOB NOT NULL, added_version INTEGER NOT NULL,
        dropped_version INTEGER, location TEXT, PRIMARY KEY (table_id, \"values\", added_version)) STRICT, WITHOUT ROWID;
    CREATE INDEX dropped_partitions ON partitions (dropped_version) WHERE dropped_version IS NOT NULL;
    INSERT INTO meta (id, version, next_id) VALUES (1, 3, 3);
    INSERT INTO databases (id, name, comment) VALUES (1, 'default', 'ours');
    INSERT INTO tables VALUES (2, 1, 't', 4, 3, 1, 10, 20,
        '{\"format\":1,\"kind\":{\"external\":{\"location\":\"file:///lake/t/\",\"format\":\"parquet\"}},\"columns\":[{\"name\":\"id\",\"type\":\"bigint\"}],\"partition_keys\":[{\"name\":\"k\",\"type\":\"string\"}],\"owner\":\"limnos\"}');
    INSERT INTO partitions (table_id, \"values\", added_version) VALUES (2, x'01610000', 3);
    PRAGMA application_id = 1282240115;
    PRAGMA user_version = 1;
";

#[test]
fn opens_what_an_older_version_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    edit(&path, SCHEMA_1);
    let catalog = open(&path);
    let snapshot = catalog.snapshot();
    let table = snapshot.table(&name("default.t")).unwrap();
    assert_eq!(*table.definition, partitioned_table(&["k"]));
    assert_eq!((snapshot.version, table.version, table.created_at_ms), (3, 4, 10));
    assert_eq!(partitions(&catalog, &snapshot, "default.t"), "a");
    let versions = catalog.table_versions(table).unwrap();
    assert_eq!((versions.len(), versions[0].version, versions[0].changed_at_ms), (1, 4, 20));
    catalog.commit(vec![add("default.t", &[&["b"]]), alter(name("default.t"), partitioned_table(&["k"]))]).unwrap();
    let before = describe(&catalog);
    drop(catalog);
    assert_eq!(describe(&open(&path)), before, "and stays so");
}

#[test]
fn refuses_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = open(&path);
    let many: Vec<Partition> = (0..5000).map(|i| partition(&[&format!("{i:0100}")])).collect();
    let add = Change::AddPartitions { table: name("default.t"), partitions: many, if_not_exists: false };
    catalog.commit(vec![create_table("default.t", partitioned_table(&["k"])), add]).unwrap();
    drop(catalog);
    let sound = std::fs::read(&path).unwrap();

    // The pages after the first, one by one over the whole file: always told, never a panic, never opened as if whole.
    let pages = sound.len() / 4096;
    for page in (1..pages).step_by(pages / 12) {
        let mut bytes = sound.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let reason = refusal(&path);
        assert!(reason.starts_with("the file is damaged ("), "page {page}: {reason}");
    }
    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    assert!(refusal(&path).starts_with("the file is damaged ("));

    std::fs::write(&path, &sound).unwrap();
    edit(&path, "UPDATE tables SET definition = replace(definition, 'bigint', 'bigfoot')");
    let reason = refusal(&path);
    assert!(
        reason.starts_with("the file is damaged (table \"default.t\": type \"bigfoot\" does not exist"),
        "{reason}"
    );

    std::fs::write(&path, &sound).unwrap();
    assert_eq!(open(&path).snapshot().tables.len(), 1);
}

#[test]
fn two_cannot_have_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = open(&path);
    let process = std::process::id();
    assert_eq!(
        refusal(&path),
        format!("another limnos process (process {process}) uses it; connect to that one, or stop it first")
    );
    drop(catalog);
    open(&path);
}

#[test]
fn is_shared_between_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Catalog>();
    is_send_and_sync::<Snapshot>();
}
