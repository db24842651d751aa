//! What is exported is imported again, from any place to any other, and a file that isn't whole changes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::places::{Place, places};
use crate::catalog::tests::{add, alter, create_table, describe, drop_table, name, partition, partitioned_table, view};
use crate::transfer::Counts;
use crate::{Catalog, Change, Column, CreateMode, DataType, FileFormat, Partition, PartitionStorage, TableDefinition};

fn export(catalog: &Catalog) -> String {
    let mut text = Vec::new();
    catalog.export(&mut text, &mut |_| {}).unwrap();
    String::from_utf8(text).unwrap()
}

fn import(catalog: &Catalog, text: &str, replace: bool) -> crate::Result<Counts> {
    catalog.import(&mut text.as_bytes(), replace, &mut |_| {})
}

/// Some of everything.
fn fill(place: &Place) -> Arc<Catalog> {
    let catalog = place.open();
    let storage = PartitionStorage {
        format: FileFormat::Csv,
        serde: Some("x.Y".to_owned()),
        properties: BTreeMap::from([("field.delim".to_owned(), "|\n".to_owned())]),
        columns: Some(vec![Column::new("id", DataType::String)]),
    };
    let odd = Partition {
        values: vec![None, Some("a\0b\u{1f980}\"".to_owned())],
        location: Some("s3://b/x y/".to_owned()),
        storage: Some(storage),
    };
    let commented =
        |comment: &str| TableDefinition { comment: Some(comment.to_owned()), ..partitioned_table(&["y", "m"]) };
    catalog
        .commit(vec![
            Change::CreateDatabase {
                name: "sales".to_owned(),
                comment: Some("it's\n\"ours\"".to_owned()),
                location: Some("s3://b/".to_owned()),
                parameters: BTreeMap::from([("creator".to_owned(), "Jane D.".to_owned())]),
                mode: CreateMode::Create,
            },
            create_table("sales.orders", commented("first")),
            create_table("sales.gone", view("select 2")),
            create_table("default.v", view("select 'a\nb'")),
        ])
        .unwrap();
    catalog
        .commit(vec![
            add("sales.orders", &[&["2024", "01"], &["2024", "02"], &["2023", "12"]]),
            Change::AddPartitions { table: name("sales.orders"), partitions: vec![odd], if_not_exists: false },
            alter(name("sales.orders"), commented("second")),
            drop_table("sales.gone", true),
        ])
        .unwrap();
    place.edit(
        "INSERT INTO objects (id, kind, name, version, created_at_ms, updated_at_ms, definition) \
         VALUES (9, 'classifier', 'nightly', 3, 5, 6, '{ \"format\":1,\"json\":{\"path\":\"$\"}}')",
    );
    catalog
}

/// Without what is counted anew: the catalog's version, and the one that last changed the partitions.
fn comparable(catalog: &Catalog) -> String {
    let lines = describe(catalog);
    let lines = lines.lines().skip(1).map(|line| match line.split(' ').collect::<Vec<_>>().as_mut_slice() {
        [name, _id, _version, partitions_version, ..] if name.contains('.') => {
            line.replacen(&format!(" {partitions_version} TableDefinition"), " TableDefinition", 1)
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_exported_is_imported_again() {
    let source = Place::file();
    let catalog = fill(&source);
    let (text, wanted) = (export(&catalog), comparable(&catalog));
    let first: Vec<&str> = text.lines().take(4).collect();
    assert_eq!(
        first[..3],
        [
            r#"{"limnos_catalog":1,"next_id":6}"#,
            r#"{"database":{"id":1,"name":"default"}}"#,
            r#"{"database":{"id":2,"name":"sales","comment":"it's\n\"ours\"","location":"s3://b/","parameters":{"creator":"Jane D."}}}"#
        ]
    );
    assert!(first[3].starts_with(r#"{"table":{"id":5,"database":"default","name":"v","version":1,"#), "{}", first[3]);
    assert!(text.contains("\n{\"partition\":{\"values\":[\"2024\",\"01\"]}}\n"), "{text}");
    assert!(
        text.ends_with(
            "{\"object\":{\"id\":9,\"kind\":\"classifier\",\"name\":\"nightly\",\"version\":3,\"created_at_ms\":5,\
             \"updated_at_ms\":6,\"definition\":{ \"format\":1,\"json\":{\"path\":\"$\"}}}}\n\
             {\"end\":{\"databases\":2,\"tables\":2,\"partitions\":4,\"objects\":1}}\n"
        ),
        "{text}"
    );
    drop(catalog);

    // File to PostgreSQL to file; and file to file where there is no PostgreSQL.
    let mut text = text;
    for place in Place::postgres().into_iter().chain([Place::file()]) {
        let catalog = place.open();
        let counts = import(&catalog, &text, false).unwrap();
        assert_eq!(counts, Counts { databases: 2, tables: 2, partitions: 4, objects: 1 });
        assert_eq!(comparable(&catalog), wanted);
        let table = Arc::clone(catalog.snapshot().table(&name("sales.orders")).unwrap());
        let versions = catalog.table_versions(&table).unwrap();
        assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [1, 2]);
        let again = export(&catalog);
        assert_eq!(again, text);
        drop(catalog);
        let catalog = place.open();
        assert_eq!(comparable(&catalog), wanted, "after a restart");
        // Ids go on where they were.
        let snapshot = catalog.commit(vec![create_table("default.next", view("select 3"))]).unwrap();
        assert_eq!(snapshot.table(&name("default.next")).unwrap().id, 6);
        text = again;
    }
}

#[test]
fn replaces_only_when_told_to() {
    for place in places() {
        let text = export(&fill(&Place::file()));
        let catalog = place.open();
        let held = catalog
            .commit(vec![create_table("default.old", partitioned_table(&["k"])), add("default.old", &[&["1"], &["2"]])])
            .unwrap();
        let before = describe(&catalog);
        let error = import(&catalog, &text, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the catalog is not empty (databases beside \"default\": 0, tables and views: 1, other objects: 0)"
        );
        assert_eq!(error.hint(), Some("Use --replace to put the file's catalog in its place."));
        assert_eq!(describe(&catalog), before);

        let other = place.is_shared().then(|| place.open());
        import(&catalog, &text, true).unwrap();
        assert_eq!(export(&catalog), text);
        // Who began before goes on with what was there.
        let old = held.table(&name("default.old")).unwrap();
        assert_eq!(catalog.partitions(&held, old).unwrap().len(), 2);
        if let Some(other) = other {
            let version = catalog.snapshot().version;
            while other.snapshot().version != version {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            assert_eq!(describe(&other), describe(&catalog), "another server has it whole");
        }
        // Once more onto itself.
        import(&catalog, &text, true).unwrap();
        assert_eq!(export(&catalog), text);
    }
}

#[test]
fn a_file_that_is_not_whole_changes_nothing() {
    let text = export(&fill(&Place::file()));
    let lines: Vec<&str> = text.lines().collect();
    let without = |index: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, line)| *line);
        kept.collect::<Vec<_>>().join("\n")
    };
    let partition = lines.iter().position(|line| line.starts_with("{\"partition\"")).unwrap();
    let database = lines.iter().position(|line| line.contains("\"sales\"")).unwrap();
    let last = lines.len() - 1;
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    #[rustfmt::skip]
    let cases = [
        (String::new(), "line 1: this is not an export of a Limnos catalog"),
        ("CREATE TABLE".to_owned(), "line 1: this is not an export of a Limnos catalog"),
        (changed("\"limnos_catalog\":1", "\"limnos_catalog\":9"), "line 1: the file has format 9, this version of Limnos reads 1"),
        (without(last), "the file is cut off: its last line is missing"),
        (text[..text.len() / 2].to_owned(), "EOF while parsing"),
        (without(partition), "lines are missing: of databases 2, tables and views 2, partitions 4, other objects 1 there are databases 2, tables and views 2, partitions 3, other objects 1"),
        (without(database), "database \"sales\" does not exist"),
        (format!("{text}\n"), "there is more after the end"),
        (changed("\"id\":5", "\"id\":1"), "id 1 is taken or not valid"),
        (changed("\"id\":5", "\"id\":500"), "id 500 is taken or not valid"),
        (changed("\"name\":\"v\"", "\"name\":\"V\""), "is not in lower case"),
        (changed("\"name\":\"v\"", "\"name\":\"a/b\""), "must not hold the character '/'"),
        (changed("\"bigint\"", "\"bigfoot\""), "type \"bigfoot\" does not exist"),
        (changed("[\"2024\",\"01\"]", "[\"2024\"]"), "partition has 1 value, but table \"sales.orders\" has 2 partition keys"),
        (changed("[\"2024\",\"01\"]", "[\"2024\",\"02\"]"), "partition \"sales.orders/y=2024/m=02\" already exists"),
        (changed("{\"partition\"", "{\"nonsense\""), "unknown variant `nonsense`"),
        (changed("\"kind\":\"classifier\"", "\"more\":1"), "unknown field `more`"),
        (changed("\"path\"", "\"pfad\""), "classifier cannot be read"),
    ];
    for place in places() {
        let catalog = place.open();
        let before = describe(&catalog);
        for (text, wanted) in &cases {
            for replace in [false, true] {
                let error = import(&catalog, text, replace).unwrap_err().to_string();
                assert!(error.contains(wanted) && error.starts_with("line "), "{wanted}: {error}");
                assert_eq!(describe(&catalog), before, "{wanted}");
            }
        }
        import(&catalog, &text, false).unwrap();
    }
}

#[test]
fn partitions_are_streamed() {
    const COUNT: u64 = 20_000;
    for place in places() {
        let catalog = place.open();
        let all = (0..COUNT).map(|n| partition(&[&format!("{n:05}")])).collect();
        let add = Change::AddPartitions { table: name("default.t"), partitions: all, if_not_exists: false };
        catalog.commit(vec![create_table("default.t", partitioned_table(&["k"])), add]).unwrap();
        let mut told = Vec::new();
        let mut text = Vec::new();
        catalog.export(&mut text, &mut |counts| told.push(counts.partitions)).unwrap();
        assert!(told.len() > 3 && told.is_sorted() && told.last() == Some(&COUNT), "{told:?}");
        let copy_place = Place::file();
        let copy = copy_place.open();
        copy.import(&mut text.as_slice(), false, &mut |_| {}).unwrap();
        assert_eq!(export(&copy).as_bytes(), text);
        // A reader who leaves in the middle is told so, and the catalog goes on.
        let mut full = FullDisk(1000);
        let error = catalog.export(&mut full, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "the export could not be written: no space");
        assert_eq!(export(&catalog).as_bytes(), text);
    }
}

struct FullDisk(usize);

impl std::io::Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| std::io::Error::other("no space"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
