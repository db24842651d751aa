//! What is saved is loaded, and what was changed on the way is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::rows::*;
use crate::{Error, Options, Table, TableBuilder};

fn next(previous: &Table, key: &str, batch: Option<&arrow::array::RecordBatch>) -> Table {
    let options = Options { chunk_rows: 64, ..Options::default() };
    let mut builder = TableBuilder::next_version(previous, options).expect("a builder");
    match batch {
        None => assert!(builder.remove_part(key)),
        Some(batch) => {
            builder.begin_part(key.to_owned()).expect("no part is open");
            builder.push(batch).expect("rows");
            builder.end_part().expect("a part is open");
        }
    }
    builder.finish().expect("a table")
}

fn assert_same(left: &Table, right: &Table) {
    assert_equal(&all(left), &all(right));
    assert_eq!(
        left.parts().map(|part| (part.key.to_owned(), part.rows)).collect::<Vec<_>>(),
        right.parts().map(|part| (part.key.to_owned(), part.rows)).collect::<Vec<_>>()
    );
    assert_eq!(left.plain_bytes(), right.plain_bytes());
    for (left, right) in left.chunks().iter().zip(right.chunks()) {
        for (left, right) in left.columns().iter().zip(right.columns()) {
            // Codes may have been narrower than the dictionary asks for.
            let name = |column: &crate::Column| column.encoding_name().split(' ').next().unwrap_or_default().to_owned();
            assert_eq!(name(left), name(right));
            assert_eq!(format!("{:?}", left.zone()), format!("{:?}", right.zone()));
        }
    }
}

#[test]
fn versions_are_loaded_as_they_were_saved_and_parts_are_written_once() {
    for seed in 200..215 {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Table::load(folder.path()).expect("an empty folder").is_none());
        let mut numbers = Numbers(seed);
        let schema = schema();
        let parts: Vec<Vec<_>> =
            (0..3).map(|_| vec![batch(&schema, numbers.below(150) as usize, &mut numbers)]).collect();
        let mut table = table(&schema, &parts, 64, &[]);
        table.save(folder.path()).expect("saved");
        let again = table.save(folder.path()).expect("saved");
        let manifest = fs::metadata(folder.path().join("manifest")).expect("there").len();
        assert_eq!(again, manifest, "nothing but the manifest is written again");
        for round in 0..4 {
            let loaded = Table::load(folder.path()).expect("readable").expect("there");
            assert_same(&table, &loaded);
            // Now from what was loaded, now from what is in memory: both are the same version.
            let previous = if numbers.below(2) == 0 { &loaded } else { &table };
            let key = format!("part {}", numbers.below(5));
            let has = previous.parts().any(|part| part.key == key);
            let rows = batch(&schema, 1 + numbers.below(90) as usize, &mut numbers);
            table = next(previous, &key, if has && round % 2 == 0 { None } else { Some(&rows) });
            table.save(folder.path()).expect("saved");
            let files = fs::read_dir(folder.path()).expect("a folder").count();
            assert_eq!(files, table.parts().count() + 1, "what is gone is removed");
        }
        assert_same(&table, &Table::load(folder.path()).expect("readable").expect("there"));
    }
}

/// A small table with something of everything: each byte of it is one more load.
fn small(folder: &Path) -> Table {
    let mut numbers = Numbers(7);
    let all = schema();
    let wanted = [
        DataType::Int64,
        DataType::Utf8View,
        DataType::Decimal128(38, 0),
        DataType::Float64,
        DataType::Boolean,
        DataType::List(Arc::new(Field::new("item", DataType::Int64, true))),
    ];
    let fields = all.fields().iter().filter(|field| wanted.contains(field.data_type()));
    let schema = Arc::new(Schema::new(fields.map(Arc::clone).collect::<Vec<_>>()));
    assert_eq!(schema.fields().len(), wanted.len());
    let first = table(&schema, &[vec![batch(&schema, 5, &mut numbers)]], 64, &[]);
    first.save(folder).expect("saved");
    let second = next(&first, "another", Some(&batch(&schema, 3, &mut numbers)));
    second.save(folder).expect("saved");
    second
}

#[test]
fn every_flipped_byte_and_every_cut_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = small(folder.path());
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("a file").path();
        let whole = fs::read(&path).expect("a file");
        let mut wrong = 0;
        let mut check = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            match Table::load(folder.path()) {
                Ok(Some(loaded)) => assert_equal(&all(&loaded), &all(&table)),
                Ok(None) => panic!("a table was there"),
                Err(Error::Corrupt { file, reason }) => {
                    assert!(!reason.is_empty() && file.starts_with(folder.path()));
                    wrong += 1;
                }
                Err(other) => panic!("{other}"),
            }
        };
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            check(&bytes);
        }
        for length in 0..whole.len() {
            check(&whole[..length]);
        }
        let mut longer = whole.clone();
        longer.push(0);
        check(&longer);
        assert_eq!(wrong, 2 * whole.len() + 1, "each is found");
        fs::write(&path, &whole).expect("written");
    }
    assert_same(&table, &Table::load(folder.path()).expect("whole again").expect("there"));
}

#[test]
fn what_was_made_to_look_right_is_refused_or_read_but_never_panics() {
    let folder = tempfile::tempdir().expect("a folder");
    small(folder.path());
    let mut numbers = Numbers(9);
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let path = entry.expect("a file").path();
        let whole = fs::read(&path).expect("a file");
        for _ in 0..400 {
            // A byte of a frame's content is changed, and its checksum is made right.
            let mut bytes = whole.clone();
            let (mut at, mut place) = (8, 0u64);
            while at + 12 <= bytes.len() {
                let length = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight")) as usize;
                if length > 0 && (numbers.below(6) == 0 || at + 12 + length == bytes.len()) {
                    let changed = at + 12 + numbers.below(length as u64) as usize;
                    bytes[changed] = numbers.next() as u8;
                    let mut hasher = crc32fast::Hasher::new();
                    hasher.update(&place.to_le_bytes());
                    hasher.update(&bytes[at + 12..at + 12 + length]);
                    let checksum = hasher.finalize();
                    bytes[at + 8..at + 12].copy_from_slice(&checksum.to_le_bytes());
                    break;
                }
                at += 12 + length;
                place += 1;
            }
            fs::write(&path, &bytes).expect("written");
            if let Ok(Some(table)) = Table::load(folder.path()) {
                for batch in table.batches() {
                    let _ = batch;
                }
            }
        }
        fs::write(&path, &whole).expect("written");
    }
}

#[test]
fn a_missing_part_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    small(folder.path());
    let part = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .find(|path| !path.ends_with("manifest"))
        .expect("a part");
    fs::remove_file(&part).expect("removed");
    assert!(matches!(Table::load(folder.path()), Err(Error::Corrupt { file, .. }) if file == part));
}
