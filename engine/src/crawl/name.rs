//! Names: what a file, folder or header is called -> what the table or column is called.

use std::collections::HashSet;

/// A lower-case table name of letters, digits and `_` from a file's or folder's name.
pub(super) fn table_name(text: &str) -> String {
    let mut name: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    while name.contains("__") {
        name = name.replace("__", "_");
    }
    let name = name.trim_matches('_');
    match name.chars().next() {
        None => "table_1".to_owned(),
        // A name that begins with a digit would have to be quoted in every query.
        Some(first) if first.is_numeric() => format!("t_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// A file's name without its extensions: `orders.csv.gz` is `orders`.
pub(super) fn stem(file_name: &str) -> &str {
    let mut stem = file_name;
    while let Some((before, extension)) = stem.rsplit_once('.') {
        if before.is_empty() || extension.len() > 8 || !extension.chars().all(|c| c.is_ascii_alphanumeric()) {
            break;
        }
        // `2024.01` is a name, `csv`, `gz` and `parquet` are extensions.
        if extension.chars().all(|c| c.is_ascii_digit()) {
            break;
        }
        stem = before;
    }
    stem
}

/// What is left of a stem without the parts that number a series: `part-00001-<uuid>` is `part-#`.
pub(super) fn series(file_name: &str) -> String {
    let extension = &file_name[stem(file_name).len()..];
    let mut pattern = String::new();
    for word in stem(file_name).split_inclusive(|c: char| !c.is_alphanumeric()) {
        let text = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let is_code = text.len() >= 4
            && text.chars().all(|c| c.is_ascii_hexdigit())
            && text.contains(|c: char| c.is_ascii_digit());
        for c in word.chars() {
            let c = if is_code && c.is_alphanumeric() || c.is_numeric() { '#' } else { c.to_ascii_lowercase() };
            if c != '#' || !pattern.ends_with('#') {
                pattern.push(c);
            }
        }
    }
    while pattern.contains("#-#") {
        pattern = pattern.replace("#-#", "#");
    }
    pattern + extension
}

/// Makes `name` different from all in `taken` by a number, and takes it.
pub(crate) fn unique(name: String, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}_{number}");
        number += 1;
    }
    candidate
}

/// Column names from a file's own: lower case, unique, `columnN` where there is none; and the file's spelling where it
/// differs.
pub(super) fn column_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(String, Option<String>)> {
    let mut taken = HashSet::new();
    names
        .into_iter()
        .enumerate()
        .map(|(index, source)| {
            let trimmed = source.trim();
            let wanted = if trimmed.is_empty() { format!("column{index}") } else { trimmed.to_lowercase() };
            let name = unique(wanted, &mut taken);
            let source_name = (name != source).then(|| source.to_owned());
            (name, source_name)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_from_files() {
        for (file, expected) in [
            ("flights-20k.json", "flights_20k"),
            ("Orders.CSV.gz", "orders"),
            ("2024.01", "t_2024_01"),
            ("a b  c.parquet", "a_b_c"),
            ("__.csv", "table_1"),
            ("Größe.tsv", "größe"),
        ] {
            assert_eq!(table_name(stem(file)), expected, "{file}");
        }
        for (left, right, same) in [
            ("part-000.parquet", "part-001.parquet", true),
            (
                "part-0-1c2b3d4e-55aa-4bcd-9eff-000000000001.csv",
                "part-1-9c2b3d4e-55aa-4bcd-9eff-000000000002.csv",
                true,
            ),
            ("2024-01-01.csv", "2024-01-02.csv", true),
            ("orders.csv", "customers.csv", false),
            ("a1.csv", "a1.json", false),
        ] {
            assert_eq!(series(left) == series(right), same, "{left} {right}");
        }
    }

    #[test]
    fn columns() {
        let names = column_names(["", "A", "a", "IMDB Rating", "a_2", "x"]);
        let shown: Vec<_> =
            names.iter().map(|(name, source)| format!("{name}<{}", source.as_deref().unwrap_or("-"))).collect();
        assert_eq!(shown, ["column0<", "a<A", "a_2<a", "imdb rating<IMDB Rating", "a_2_2<a_2", "x<-"]);
    }
}
