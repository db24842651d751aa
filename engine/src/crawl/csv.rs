//! Delimited text: which delimiter and quotes, whether there is a header, and the columns' types.

use std::sync::Arc;

use futures::TryStreamExt;
use limnos_catalog::{Column, DataType};
use object_store::{ObjectMeta, ObjectStore};
use serde::{Deserialize, Serialize};

use super::infer::TextColumn;
use super::name::column_names;
use super::{SAMPLE_BYTES, SAMPLE_ROWS, Schema, too_many_columns};
use crate::scan::format::csv::CsvSplitter;
use crate::scan::format::{input, located};
use crate::{Result, limits};

/// How a file separates its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Dialect {
    pub delimiter: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

/// What is known of a file's cells before they are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CsvChoice {
    pub dialect: Dialect,
    pub header: CsvHeader,
    /// The columns' names, instead of those of the header; beyond their end the header's count.
    pub names: Vec<String>,
}

impl From<Dialect> for CsvChoice {
    fn from(dialect: Dialect) -> Self {
        Self { dialect, header: CsvHeader::Detect, names: Vec::new() }
    }
}

/// Whether the first row names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CsvHeader {
    /// Told from the rows.
    Detect,
    Present,
    Absent,
}

pub(super) type Row = Vec<String>;

/// The dialect that makes most of `text` a table, or `None` if none does. `is_whole` says that the text ends where the
/// file ends.
pub(super) fn sniff_dialect(text: &str, is_whole: bool, name: &str) -> Option<Dialect> {
    let mut best: Option<(u64, Dialect)> = None;
    for delimiter in [b',', b'\t', b';', b'|', 1, b' '] {
        if !text.as_bytes().contains(&delimiter) {
            continue;
        }
        for (quote, escape) in [(Some(b'"'), None), (Some(b'"'), Some(b'\\')), (None, None)] {
            let dialect = Dialect { delimiter, quote, escape };
            let Some(rows) = rows(text, dialect, is_whole) else { continue };
            let Some(score) = score(&rows, dialect) else { continue };
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, dialect));
            }
            // The later pairs only help where quotes don't work out.
            break;
        }
    }
    if let Some((_, dialect)) = best {
        return Some(dialect);
    }
    // One column has no delimiter to be told by: only the file's name can say that it is a table.
    let lower = name.to_lowercase();
    let is_named = [".csv", ".tsv"].iter().any(|extension| lower.contains(extension));
    is_named.then_some(Dialect { delimiter: b',', quote: Some(b'"'), escape: None })
}

/// The rows of `text`; `None` if a quote stays open. The last row of a part is left out: it may be cut off.
pub(super) fn rows(text: &str, dialect: Dialect, is_whole: bool) -> Option<Vec<Row>> {
    let mut splitter = CsvSplitter::new(dialect.delimiter, dialect.quote, dialect.escape);
    let mut rows = Vec::new();
    let mut bytes = text.as_bytes();
    while !bytes.is_empty() {
        let (used, complete) = splitter.push(bytes).ok()?;
        if complete && !splitter.is_blank() {
            rows.push(row(&splitter));
        }
        bytes = &bytes[used..];
    }
    if is_whole && splitter.finish().ok()? && !splitter.is_blank() {
        rows.push(row(&splitter));
    }
    Some(rows)
}

fn row(splitter: &CsvSplitter) -> Row {
    (0..splitter.cell_count())
        .filter_map(|index| splitter.cell(index))
        .map(|(range, _)| String::from_utf8_lossy(&splitter.data()[range]).into_owned())
        .collect()
}

/// How much of a table the rows are: the share of rows with the usual width, then the width. `None` for prose.
fn score(rows: &[Row], dialect: Dialect) -> Option<u64> {
    let width = rows.first()?.len();
    if width < 2 {
        return None;
    }
    // A delimiter at the end of each line but the header's makes one empty cell more.
    let fits = |row: &&Row| row.len() == width || row.len() == width + 1 && row.last().is_some_and(String::is_empty);
    let same = rows.iter().filter(fits).count();
    let share = same as u64 * 1000 / rows.len() as u64;
    // A header alone is a table only if it looks like one; commas in a sentence don't.
    if rows.len() == 1 && !rows[0].iter().all(|cell| is_header_cell(cell)) {
        return None;
    }
    // Spaces are in every text: they delimit only what is as regular as a log.
    let (wanted, bonus) = if dialect.delimiter == b' ' { (1000, 0) } else { (900, 1 << 20) };
    if share < wanted || (dialect.delimiter == b' ' && (width < 4 || rows.len() < 2)) {
        return None;
    }
    Some(bonus + share * 64 + (width as u64).min(63))
}

fn is_header_cell(cell: &str) -> bool {
    let trimmed = cell.trim();
    !trimmed.is_empty()
        && trimmed.len() <= 64
        && !trimmed.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
        && trimmed.split_whitespace().count() <= 6
        && !trimmed.ends_with(['.', '!', '?'])
}

/// What was seen in one file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Its first row, which may be a header.
    first: Option<Row>,
    /// The cells of the others.
    columns: Vec<TextColumn>,
    pub rows: u64,
    /// Whether the file was left before its end.
    pub is_partial: bool,
}

/// Reads `object` as `dialect` says.
pub(super) async fn see(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    dialect: Dialect,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut splitter = CsvSplitter::new(dialect.delimiter, dialect.quote, dialect.escape);
    let mut chunks = input::open(store, object, name, |_| ()).await?;
    let mut byte_count = 0;
    while let Some(chunk) = chunks.try_next().await? {
        let mut bytes = &chunk[..];
        byte_count += bytes.len();
        while !bytes.is_empty() {
            let (used, complete) = splitter.push(bytes)?;
            bytes = &bytes[used..];
            if complete {
                seen.see(&splitter)?;
            }
        }
        if seen.rows >= SAMPLE_ROWS || byte_count >= SAMPLE_BYTES {
            seen.is_partial = true;
            return Ok(seen);
        }
    }
    if splitter.finish().map_err(|error| located(error, name, splitter.record_line(), None))? {
        seen.see(&splitter)?;
    }
    Ok(seen)
}

impl Seen {
    /// Takes a record into account: the first is kept, the others' cells are looked at.
    fn see(&mut self, splitter: &CsvSplitter) -> Result<()> {
        if splitter.is_blank() {
            return Ok(());
        }
        if splitter.cell_count() > limits::INFERRED_COLUMNS_MAX {
            return Err(too_many_columns(splitter.cell_count()));
        }
        self.rows += 1;
        match self.first {
            None => self.first = Some(row(splitter)),
            Some(_) => see_row(&row(splitter), &mut self.columns),
        }
        Ok(())
    }
}

/// The columns of all files together, which are as `choice` says.
pub(super) fn merge(choice: &CsvChoice, files: &[&Seen]) -> Schema {
    let mut columns: Vec<TextColumn> = Vec::new();
    for file in files {
        if columns.len() < file.columns.len() {
            columns.resize_with(file.columns.len(), TextColumn::default);
        }
        for (column, seen) in columns.iter_mut().zip(&file.columns) {
            column.merge(seen);
        }
    }
    let firsts: Vec<Row> = files.iter().filter_map(|file| file.first.clone()).collect();
    schema(choice, columns, &firsts)
}

fn see_row(row: &Row, columns: &mut Vec<TextColumn>) {
    if columns.len() < row.len() {
        columns.resize_with(row.len(), TextColumn::default);
    }
    for (column, cell) in columns.iter_mut().zip(row) {
        column.see(cell);
    }
}

fn schema(choice: &CsvChoice, mut columns: Vec<TextColumn>, firsts: &[Row]) -> Schema {
    let dialect = choice.dialect;
    let empty = Vec::new();
    let first = firsts.first().unwrap_or(&empty);
    let has_header = match choice.header {
        CsvHeader::Detect => is_header(first, &columns),
        CsvHeader::Present => !first.is_empty(),
        CsvHeader::Absent => false,
    };
    for other in firsts {
        if !has_header || !is_also_header(first, other) {
            see_row(other, &mut columns);
        }
    }
    // Columns that came later are at the end of newer files' headers.
    let extends = |other: &&Row| other.len() > first.len() && other[..first.len()] == first[..];
    let longest = firsts.iter().filter(extends).max_by_key(|other| other.len());
    let first = longest.filter(|_| has_header).unwrap_or(first);
    // A delimiter at the end of each line makes one cell more, which is no column.
    let is_spare = |index: usize| index + 1 == columns.len() && columns[index].infer("").data_type == DataType::String;
    let mut width = columns.len().max(first.len());
    if has_header && width == first.len() + 1 && is_spare(width - 1) && columns[width - 1].is_empty() {
        width -= 1;
    }
    columns.resize_with(width, TextColumn::default);

    let null = null_marker(&columns);
    let mut schema = Schema::default();
    let names: Vec<String> = (0..width)
        .map(|index| match choice.names.get(index) {
            Some(name) => name.clone(),
            None if has_header => first.get(index).cloned().unwrap_or_default(),
            None => String::new(),
        })
        .collect();
    for (column, (name, source_name)) in columns.iter().zip(column_names(names.iter().map(String::as_str))) {
        let inferred = column.infer(null);
        if let Some(remark) = inferred.remark {
            schema.remarks.push(format!("column \"{name}\" {remark}: string was taken"));
        }
        if let Some(format) = inferred.format {
            schema.properties.insert(format!("limnos.format.{name}"), format);
        }
        schema.columns.push(Column { source_name, ..Column::new(name, inferred.data_type) });
    }
    let delimiter = match dialect.delimiter {
        b'\t' => "\\t".to_owned(),
        1 => "\\001".to_owned(),
        other => char::from(other).to_string(),
    };
    schema.properties.insert("field.delim".to_owned(), delimiter);
    for (property, byte) in [("quoteChar", dialect.quote), ("escapeChar", dialect.escape)] {
        if let Some(byte) = byte {
            schema.properties.insert(property.to_owned(), char::from(byte).to_string());
        }
    }
    schema.properties.insert("serialization.null.format".to_owned(), null.to_owned());
    if has_header {
        schema.parameters.insert("skip.header.line.count".to_owned(), "1".to_owned());
    }
    if !null.is_empty() {
        schema.remarks.push(format!("\"{null}\" is read as NULL"));
    }
    schema
}

/// The marker that most columns need to be more than text; else the empty cell.
fn null_marker(columns: &[TextColumn]) -> &'static str {
    let mut votes: Vec<(&'static str, usize)> = Vec::new();
    for marker in columns.iter().filter_map(TextColumn::marker) {
        match votes.iter_mut().find(|(known, _)| *known == marker) {
            Some((_, count)) => *count += 1,
            None => votes.push((marker, 1)),
        }
    }
    votes.into_iter().max_by_key(|(_, count)| *count).map_or("", |(marker, _)| marker)
}

/// Whether another file's first row is a header like `first`: most of its cells are.
fn is_also_header(first: &Row, other: &Row) -> bool {
    let common = other.iter().filter(|cell| first.contains(cell)).count();
    common * 2 > other.len().min(first.len())
}

/// Whether a file's first row names the columns: it holds no value of a column that isn't text, nor a date or number.
fn is_header(first: &Row, columns: &[TextColumn]) -> bool {
    let mut is_typed = false;
    for (index, cell) in first.iter().enumerate() {
        let mut own = TextColumn::default();
        own.see(cell);
        // A year may name a column (2020, 2021, ...), but then the column holds other numbers.
        if own.infer("").data_type != DataType::String && !cell.trim().is_empty() {
            return false;
        }
        let null = columns.get(index).and_then(TextColumn::marker).unwrap_or("");
        is_typed |= columns.get(index).is_some_and(|column| column.infer(null).data_type != DataType::String);
    }
    if is_typed {
        return true;
    }
    // Only text: a header is short, complete and says nothing twice. The index column of a data frame has no name.
    let mut seen = std::collections::HashSet::new();
    first
        .iter()
        .enumerate()
        .all(|(index, cell)| (index == 0 && first.len() > 1 && cell.is_empty()) || is_header_cell(cell))
        && first.iter().all(|cell| seen.insert(cell.to_lowercase()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let Some(dialect) = sniff_dialect(text, true, "f.txt") else { return "nothing".to_owned() };
        let rows = rows(text, dialect, true).unwrap();
        let mut columns = Vec::new();
        for row in &rows[1..] {
            see_row(row, &mut columns);
        }
        let schema = schema(&dialect.into(), columns, &rows[..1]);
        let columns: Vec<_> =
            schema.columns.iter().map(|column| format!("{} {:?}", column.name, column.data_type)).collect();
        let header = if schema.parameters.is_empty() { "" } else { "header " };
        let null = &schema.properties["serialization.null.format"];
        format!("{}{header}null={null:?} {}", char::from(dialect.delimiter).escape_default(), columns.join(", "))
    }

    #[test]
    fn dialect_header_and_types() {
        for (text, expected) in [
            ("id,name\n1,a\n2,\"b, c\"\n", ",header null=\"\" id BigInt, name String"),
            ("1,a\n2,b\n", ",null=\"\" column0 BigInt, column1 String"),
            ("id\trate\n1001\t.097\n", "\\theader null=\"\" id BigInt, rate Double"),
            ("a;b\n1,5;x\n2,5;y\n", ";header null=\"\" a String, b String"),
            (",x\n0,1\n1,2\n", ",header null=\"\" column0 BigInt, x BigInt"),
            ("city,country\nParis,France\nRome,Italy\n", ",header null=\"\" city String, country String"),
            ("a,b,\n1,2,\n", ",header null=\"\" a BigInt, b BigInt, column2 String"),
            ("a,b\n1,2,\n", ",header null=\"\" a BigInt, b BigInt"),
            (
                "version account-id srcaddr start\n2 123 10.0.0.1 1418530010\n2 123 - 1418530010\n2 - - 3\n",
                " header null=\"-\" version BigInt, account-id BigInt, srcaddr String, start BigInt",
            ),
            ("a,b\n\"x\\\"y\",1\n\"z\",2\n", ",header null=\"\" a String, b BigInt"),
            (
                "Call me Ishmael. Some years ago, never mind\nhow long, precisely, having little\nor no money in my purse\n",
                "nothing",
            ),
            ("one line of text\n", "nothing"),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
    }
}
