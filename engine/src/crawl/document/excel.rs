//! A sheet of an Excel workbook (`.xlsx`, `.xlsm`) -> rows of text.
//!
//! Cells come one after another and are never laid out as a rectangle, which one cell in the last corner would make of 17
//! billion. A workbook is a zip archive: what its parts unpack to is measured before anything of them is read ([`check`]), since
//! what they say of themselves may be a lie.

use std::collections::BTreeMap;
use std::io::Cursor;

use async_compression::tokio::bufread::GzipDecoder;
use calamine::{DataRef, ExcelDateTime, Reader, Xlsx};
use tokio::io::AsyncReadExt;

use super::DocumentCall;
use super::rows::TextRows;
use crate::limits::INFERRED_COLUMNS_MAX;
use crate::{Error, ErrorCode, Result};

/// Most bytes that all parts of a workbook unpack to.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// Most parts: a workbook has some for each sheet.
const PARTS_MAX: usize = 10_000;

/// Sheets that are named when the one that was asked for isn't there.
const SHEETS_SHOWN: usize = 10;

/// Looks whether `bytes` are an archive that may be opened.
///
/// # Errors
/// No archive, one that is not as writers of workbooks make them, or one that unpacks to too much.
pub(super) async fn check(bytes: &[u8]) -> Result<()> {
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(Error::new(ErrorCode::DataException, "the file is not an Excel workbook")
            .with_hint("Workbooks of other formats (.xls, .xlsb, .ods) are not read; save it as .xlsx."));
    }
    let odd = || Error::new(ErrorCode::DataCorrupted, "the workbook is not a valid archive");
    // The directory has to lie right before the end: in an archive with two of them, another reader might take the other one.
    let end = bytes.len().checked_sub(22).filter(|end| bytes[*end..].starts_with(b"PK\x05\x06")).ok_or_else(odd)?;
    let [count, size, start] = [word(bytes, end + 10), long(bytes, end + 12), long(bytes, end + 16)];
    if start.checked_add(size) != Some(end) || count > PARTS_MAX {
        return Err(odd());
    }
    let (mut at, mut total) = (start, 0);
    for _ in 0..count {
        let entry = bytes.get(at..at + 46).filter(|entry| entry.starts_with(b"PK\x01\x02")).ok_or_else(odd)?;
        let (packed, local) = (long(entry, 20), long(entry, 42));
        let header = bytes.get(local..local + 30).filter(|header| header.starts_with(b"PK\x03\x04")).ok_or_else(odd)?;
        let data = local + 30 + word(header, 26) + word(header, 28);
        let data = bytes.get(data..).and_then(|data| data.get(..packed)).ok_or_else(odd)?;
        match word(entry, 10) {
            0 => total += data.len(),
            8 => {
                // What is deflated is what gzip holds between a header and a trailer.
                let trailer = [&entry[16..20], &entry[24..28]].concat();
                let stream = (&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..]).chain(data).chain(&trailer[..]);
                let mut unpacked = GzipDecoder::new(stream);
                let mut buffer = vec![0; 64 << 10];
                loop {
                    match unpacked.read(&mut buffer).await {
                        Ok(0) => break,
                        Ok(length) => total += length,
                        Err(_) => return Err(odd()),
                    }
                    if total > UNPACKED_BYTES_MAX {
                        return Err(too_much());
                    }
                }
            }
            _ => return Err(odd()),
        }
        if total > UNPACKED_BYTES_MAX {
            return Err(too_much());
        }
        at += 46 + word(entry, 28) + word(entry, 30) + word(entry, 32);
    }
    Ok(())
}

fn too_much() -> Error {
    Error::new(ErrorCode::ProgramLimitExceeded, "the workbook unpacks to too much")
        .with_detail(format!("Its parts may have {} MB.", UNPACKED_BYTES_MAX >> 20))
        .with_hint("Convert it to CSV, JSON or Parquet.")
}

/// Two bytes of a zip archive as a number. The caller has checked that they are there.
fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// Four of them.
fn long(bytes: &[u8], at: usize) -> usize {
    word(bytes, at) | word(bytes, at + 2) << 16
}

/// The rows that `call` asks for of a workbook that was checked.
///
/// # Errors
/// A sheet or a range that isn't there, and what can't be made sense of.
pub(super) fn rows(bytes: Vec<u8>, call: &DocumentCall) -> Result<TextRows> {
    let broken = |error: calamine::XlsxError| {
        Error::new(ErrorCode::DataCorrupted, "the workbook cannot be read").with_detail(format!("{error}."))
    };
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(broken)?;
    let sheets = workbook.sheet_names();
    let sheet = match &call.sheet {
        None => sheets.first(),
        Some(wanted) => sheets.iter().find(|name| *name == wanted),
    };
    let Some(sheet) = sheet else {
        let shown: Vec<String> = sheets.iter().take(SHEETS_SHOWN).map(|name| format!("\"{name}\"")).collect();
        let name = call.sheet.clone().unwrap_or_default();
        return Err(Error::new(ErrorCode::UndefinedObject, format!("sheet \"{name}\" does not exist"))
            .with_hint(format!("The workbook's sheets: {}.", shown.join(", "))));
    };
    let area = call.range.as_deref().map(Area::parse).transpose()?;
    let mut reader = workbook.worksheet_cells_reader(sheet).map_err(broken)?;
    let mut rows: BTreeMap<u32, BTreeMap<u32, String>> = BTreeMap::new();
    while let Some(cell) = reader.next_cell().map_err(broken)? {
        let (row, column) = cell.get_position();
        if area.as_ref().is_some_and(|area| !area.has(row, column)) {
            continue;
        }
        if let Some(text) = text_of(cell.get_value()) {
            rows.entry(row).or_default().insert(column, text);
        }
    }
    let used = |columns: fn(&BTreeMap<u32, String>) -> Option<u32>| rows.values().filter_map(columns);
    let first = used(|row| row.keys().next().copied()).min();
    let last = used(|row| row.keys().next_back().copied()).max();
    let (first, last) = match (&area, first.zip(last)) {
        (Some(area), _) => (area.columns.0, area.columns.1),
        (None, Some(bounds)) => bounds,
        (None, None) => return Ok(TextRows::default()),
    };
    let width = (last - first) as usize + 1;
    if width > INFERRED_COLUMNS_MAX {
        return Err(Error::new(ErrorCode::ProgramLimitExceeded, "the sheet has too many columns")
            .with_detail(format!("It has {width}; {INFERRED_COLUMNS_MAX} may be read."))
            .with_hint("Name the cells: range => 'A1:Z1000'."));
    }
    let mut rows = rows.into_values();
    let mut columns = vec![String::new(); width];
    if call.header.unwrap_or(true) {
        for (column, name) in rows.next().unwrap_or_default() {
            columns[(column - first) as usize] = name;
        }
    }
    let rows = rows.map(|row| row.into_iter().map(|(column, text)| ((column - first) as usize, text)).collect());
    Ok(TextRows { columns, is_json: vec![false; width], rows: rows.collect() })
}

/// A cell as text that means the same; `None` for one that holds nothing, or an error such as `#N/A`.
fn text_of(value: &DataRef<'_>) -> Option<String> {
    match value {
        DataRef::Int(number) => Some(number.to_string()),
        // Excel has no integers: 15 digits of a double are exact.
        DataRef::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Some(format!("{number:.0}")),
        DataRef::Float(number) => Some(number.to_string()),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Some(text.clone()),
        DataRef::SharedString(text) => Some((*text).to_owned()),
        DataRef::Bool(value) => Some(value.to_string()),
        DataRef::DateTime(moment) => Some(moment_text(moment)),
        DataRef::Error(_) | DataRef::Empty => None,
    }
}

fn moment_text(moment: &ExcelDateTime) -> String {
    let days = moment.as_f64();
    if moment.is_duration() {
        let seconds = (days * 86_400.0).round();
        let (sign, seconds) = (if seconds < 0.0 { "-" } else { "" }, seconds.abs() as u64);
        return format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    let fraction = if milli > 0 { format!(".{milli:03}") } else { String::new() };
    let (date, time) =
        (format!("{year:04}-{month:02}-{day:02}"), format!("{hour:02}:{minute:02}:{second:02}{fraction}"));
    // A number below one is a time of no day.
    if (0.0..1.0).contains(&days) {
        time
    } else if days.fract() == 0.0 {
        date
    } else {
        format!("{date} {time}")
    }
}

/// Cells from a corner to the opposite one, both included.
#[derive(Debug, PartialEq, Eq)]
struct Area {
    rows: (u32, u32),
    columns: (u32, u32),
}

impl Area {
    /// Reads `B2:D100`, with `$` or without.
    fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorCode::InvalidParameterValue, format!("invalid value for parameter \"range\": \"{text}\""))
                .with_hint("Write the first cell and the last one: 'A1:D10'.")
        };
        let (from, to) = text.split_once(':').ok_or_else(wrong)?;
        let (from, to) = (corner(from).ok_or_else(wrong)?, corner(to).ok_or_else(wrong)?);
        let between = |a: u32, b: u32| (a.min(b), a.max(b));
        Ok(Self { rows: between(from.0, to.0), columns: between(from.1, to.1) })
    }

    fn has(&self, row: u32, column: u32) -> bool {
        (self.rows.0..=self.rows.1).contains(&row) && (self.columns.0..=self.columns.1).contains(&column)
    }
}

/// Row and column of `B2`, from 0.
fn corner(text: &str) -> Option<(u32, u32)> {
    let text = text.trim().replace('$', "").to_ascii_uppercase();
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let (letters, digits) = text.split_at(letters);
    // Sheets end at XFD1048576.
    let row: u32 = digits.parse().ok().filter(|row| (1..=1_048_576).contains(row))?;
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let column = letters.bytes().fold(0, |column, letter| column * 26 + u32::from(letter - b'A') + 1);
    (column <= 16_384).then_some((row - 1, column - 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn areas_are_read() {
        assert_eq!(Area::parse("B2:d100").unwrap(), Area { rows: (1, 99), columns: (1, 3) });
        assert_eq!(Area::parse("$AA$3:A1").unwrap(), Area { rows: (0, 2), columns: (0, 26) });
        for text in ["", "A1", "A0:B1", "1A:B2", "A1:XFE2", "A1:B1048577", "A1:B2:C3", "ä1:B2"] {
            assert!(Area::parse(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_workbook_is_refused() {
        for bytes in [&b""[..], b"id,name\n", b"PK\x03\x04", b"PK\x03\x04 and twenty-two more bytes, PK\x05\x06"] {
            assert!(check(bytes).await.is_err());
        }
        let mut lying = b"PK\x03\x04".to_vec();
        lying.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\xff\xff\xff\xff\x04\0\0\0\0\0");
        assert!(check(&lying).await.is_err());
    }
}
