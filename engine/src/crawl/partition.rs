//! Partition keys and partitions: the folders that files lie in -> what the catalog keeps of them.

use std::collections::{BTreeMap, HashSet};

use limnos_catalog::partition::hive_path;
use limnos_catalog::{Column, DataType, Partition};

use super::group::{FoundFile, key_names};
use super::infer::TextColumn;
use super::name::unique;

/// The partition keys that the files' folders spell, and the partitions.
pub(super) fn partitions(location: &str, files: &[&FoundFile]) -> (Vec<Column>, Vec<Partition>) {
    let levels = &files[0].partition;
    if levels.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let names = key_names(levels);
    let is_named = levels.iter().all(|level| level.key.is_some());
    let mut found: BTreeMap<Vec<Option<String>>, String> = BTreeMap::new();
    for file in files {
        let values = file.partition.iter().map(|level| level.value.clone()).collect();
        found.entry(values).or_insert_with(|| file.partition_path.clone());
    }
    let keys = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let values = found.keys().filter_map(|values| values[index].as_deref());
            Column::new(name.as_str(), key_type(values))
        })
        .collect();
    let partitions = found
        .into_iter()
        .map(|(values, path)| {
            let standard = hive_path(names.iter().map(String::as_str).zip(values.iter().map(Option::as_deref)));
            // Other escapes and spellings of the key, and folders without one are kept as a location of their own.
            let is_standard = is_named && standard.strip_suffix('/') == Some(path.as_str());
            Partition { values, location: (!is_standard).then(|| format!("{location}{path}/")), storage: None }
        })
        .collect();
    (keys, partitions)
}

/// Whole numbers may be zero-padded (`month=01`); a date is one in ISO form.
fn key_type<'a>(values: impl Iterator<Item = &'a str> + Clone) -> DataType {
    let mut column = TextColumn::default();
    let mut is_integer = true;
    let mut is_small = true;
    let mut count = 0;
    for value in values {
        column.see(value);
        count += 1;
        let digits = value.strip_prefix('-').unwrap_or(value);
        is_integer &=
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<i64>().is_ok();
        is_small &= value.parse::<i32>().is_ok();
    }
    let inferred = column.infer("");
    match (is_integer && count > 0, is_small) {
        (true, true) => DataType::Int,
        (true, false) => DataType::BigInt,
        _ if inferred.data_type == DataType::Date && inferred.format.is_none() => DataType::Date,
        _ => DataType::String,
    }
}

/// Columns of delimited text and of patterns are found by their place, so one that bears a key's name must stay; the key then takes another name.
pub(super) fn rename_keys(keys: Vec<Column>, columns: &[Column]) -> Vec<Column> {
    let mut taken: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    keys.into_iter().map(|key| Column { name: unique(key.name, &mut taken), ..key }).collect()
}
