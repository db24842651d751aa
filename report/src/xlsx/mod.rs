//! [`Workbook`]: batches -> an XLSX file, one sheet for each query, row by row: what was written waits on disk, not in memory.
//!
//! | value | cell |
//! |---|---|
//! | integers and decimals of up to 15 digits, binary numbers | a number, in groups of thousands |
//! | those of more digits, NaN, infinities | text: Excel would change them |
//! | dates and timestamps from 1900-03-01 to 9999-12-31 | Excel's serial number with a format; others text |
//! | instants | the same, in the document's zone: Excel knows none |
//! | booleans | TRUE, FALSE |
//! | NULL | nothing |
//! | all else | text, never a formula, whatever it begins with |
//!
//! More rows, columns or characters than Excel holds are an error that says so: a sheet that lacks some would be believed.

mod chart;
mod name;

use std::io::Write;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use chrono::{NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use rust_xlsxwriter::{DocProperties, Format, FormatAlign, Worksheet};
use unicode_width::UnicodeWidthStr;

use self::name::SheetNames;
use crate::cell::{Cell, Column};
use crate::document::{is_label, is_number};
use crate::{Chart, Error, Result, Section};

/// Excel's, the header among them.
pub const SHEET_ROWS_MAX: u32 = 1_048_576;
/// Excel's.
pub const SHEET_COLUMNS_MAX: usize = 16_384;
/// Excel's, in UTF-16 units.
const TEXT_MAX: usize = 32_767;

/// Digits that a binary number keeps.
const DIGITS_MAX: usize = 15;

/// Columns are as wide as their widest value, within these bounds, in characters.
const WIDTHS: (usize, usize) = (8, 60);

/// A workbook in the making.
pub struct Workbook {
    inner: rust_xlsxwriter::Workbook,
    zone: Tz,
    names: SheetNames,
    formats: Formats,
    sheet: Option<Sheet>,
}

impl std::fmt::Debug for Workbook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workbook").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The sheet that rows go into now.
struct Sheet {
    index: usize,
    query: String,
    schema: SchemaRef,
    /// Rows below the header.
    row_count: u32,
    widths: Vec<usize>,
    formats: Vec<Format>,
}

struct Formats {
    header: Format,
    header_right: Format,
    general: Format,
    grouped: Format,
    date: Format,
    timestamp: Format,
    right: Format,
}

impl Workbook {
    /// An empty one. Rows wait in files in `temp_dir`, or where the system has such.
    ///
    /// # Errors
    /// A folder that isn't there.
    pub fn new(title: &str, zone: Tz, temp_dir: Option<PathBuf>) -> Result<Self> {
        let mut inner = rust_xlsxwriter::Workbook::new();
        if let Some(temp_dir) = temp_dir {
            inner.set_tempdir(temp_dir)?;
        }
        let clean: String = title.chars().filter(|character| !character.is_control()).take(200).collect();
        inner.set_properties(&DocProperties::new().set_title(clean).set_author("Limnos"));
        let header = Format::new().set_bold().set_background_color(0x00E9_EDF3);
        let formats = Formats {
            header_right: header.clone().set_align(FormatAlign::Right),
            header,
            general: Format::new(),
            grouped: Format::new().set_num_format("#,##0"),
            date: Format::new().set_num_format("yyyy-mm-dd"),
            timestamp: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            right: Format::new().set_align(FormatAlign::Right),
        };
        Ok(Self { inner, zone, names: SheetNames::default(), formats, sheet: None })
    }

    /// Begins the sheet of a query. The one before has been ended with [`Self::end_sheet`].
    ///
    /// # Errors
    /// More columns than Excel holds.
    pub fn begin_sheet(&mut self, query: &str, schema: &SchemaRef) -> Result<()> {
        let fields = schema.fields();
        if fields.len() > SHEET_COLUMNS_MAX {
            let max = SHEET_COLUMNS_MAX as u64;
            return Err(Error::TooLarge { what: "columns", max, section: query.to_owned() });
        }
        let sheet_name = self.names.take(query);
        let index = self.inner.worksheets().len();
        let worksheet = self.inner.add_worksheet_with_constant_memory()?;
        worksheet.set_name(sheet_name)?;
        worksheet.set_freeze_panes(1, 0)?;
        let mut widths = Vec::with_capacity(fields.len());
        for (column, field) in (0_u16..).zip(fields) {
            let name = without_controls(field.name());
            check_length(&name, 0, field.name(), query)?;
            // The autofilter's button lies over the end of the name.
            widths.push(name.width() + 3);
            let format = if is_number(field.data_type()) { &self.formats.header_right } else { &self.formats.header };
            worksheet.write_string_with_format(0, column, name, format)?;
        }
        let formats = fields.iter().map(|field| self.number_format(field.name(), field.data_type())).collect();
        let (query, schema) = (query.to_owned(), SchemaRef::clone(schema));
        self.sheet = Some(Sheet { index, query, schema, row_count: 0, widths, formats });
        Ok(())
    }

    /// How the numbers of a column look.
    fn number_format(&self, name: &str, data_type: &DataType) -> Format {
        match data_type {
            DataType::Dictionary(_, value) => self.number_format(name, value),
            _ if is_label(name) => Format::new().set_num_format("0"),
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale)
                if *scale > 0 =>
            {
                Format::new().set_num_format(format!("#,##0.{}", "0".repeat(usize::from(scale.unsigned_abs()).min(15))))
            }
            float if float.is_floating() => self.formats.general.clone(),
            _ => self.formats.grouped.clone(),
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// More rows or longer texts than Excel holds; a full disk.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let sheet = self.sheet.as_mut().expect("a sheet is begun before it is written to");
        let worksheet = self.inner.worksheet_from_index(sheet.index)?;
        let columns = Column::all(batch, self.zone)?;
        for row in 0..batch.num_rows() {
            let place = sheet.row_count + 1;
            if place >= SHEET_ROWS_MAX {
                let (max, section) = (u64::from(SHEET_ROWS_MAX) - 1, sheet.query.clone());
                return Err(Error::TooLarge { what: "rows below the header", max, section });
            }
            for (index, column) in (0_u16..).zip(&columns) {
                let cell = column.cell(row)?;
                sheet.write_cell(worksheet, &self.formats, place, index, cell)?;
            }
            sheet.row_count = place;
        }
        Ok(())
    }

    /// Ends the sheet: widths, the filter, the charts. `section` has the first rows, which charts with series are made of.
    ///
    /// # Errors
    /// Charts of columns that aren't there.
    pub fn end_sheet(&mut self, section: &Section) -> Result<()> {
        let sheet = self.sheet.take().expect("a sheet is begun before it is ended");
        let charts: Vec<Chart> = section.charts();
        let data = chart::data_sheets(&charts, section, self.zone)?;
        let mut data_names = Vec::new();
        for table in &data {
            let name = self.names.take(&format!("{} data", sheet.query));
            let worksheet = self.inner.add_worksheet();
            worksheet.set_name(&name)?;
            table.write(worksheet, &self.formats.header, &self.formats.date, &self.formats.timestamp)?;
            data_names.push(name);
        }
        let worksheet = self.inner.worksheet_from_index(sheet.index)?;
        let column_count = u16::try_from(sheet.widths.len()).unwrap_or(u16::MAX);
        for (column, width) in (0_u16..).zip(&sheet.widths) {
            worksheet.set_column_width(column, (*width).clamp(WIDTHS.0, WIDTHS.1) as f64 + 2.0)?;
        }
        if column_count > 0 {
            worksheet.autofilter(0, 0, sheet.row_count, column_count - 1)?;
        }
        let place = chart::Place { column: column_count + 1, row_count: sheet.row_count };
        chart::insert(worksheet, &charts, section, &data, &data_names, &place)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When `output` refuses.
    pub fn finish(mut self, output: impl Write + Send) -> Result<()> {
        if self.inner.worksheets().is_empty() {
            self.inner.add_worksheet();
        }
        self.inner.save_to_writer(output)?;
        Ok(())
    }
}

impl Sheet {
    fn write_cell(
        &mut self,
        worksheet: &mut Worksheet,
        formats: &Formats,
        row: u32,
        column: u16,
        cell: Cell,
    ) -> Result<()> {
        let index = usize::from(column);
        let width = match cell {
            Cell::Null => return Ok(()),
            Cell::Boolean(value) => {
                worksheet.write_boolean(row, column, value)?;
                5
            }
            Cell::Number { text, value } if value.is_finite() && fits(&text) => {
                worksheet.write_number_with_format(row, column, value, &self.formats[index])?;
                text.len() + text.len() / 3
            }
            Cell::Number { text, .. } => {
                let width = text.len();
                worksheet.write_string_with_format(row, column, text, &formats.right)?;
                width
            }
            Cell::Date(date) => match serial(date.into()) {
                Some(serial) => {
                    worksheet.write_number_with_format(row, column, serial, &formats.date)?;
                    10
                }
                None => return self.write_text(worksheet, row, column, Cell::Date(date).text()),
            },
            Cell::Timestamp(moment) => match serial(moment) {
                Some(serial) => {
                    worksheet.write_number_with_format(row, column, serial, &formats.timestamp)?;
                    19
                }
                None => return self.write_text(worksheet, row, column, Cell::Timestamp(moment).text()),
            },
            Cell::Text(text) => return self.write_text(worksheet, row, column, text),
        };
        self.widths[index] = self.widths[index].max(width);
        Ok(())
    }

    /// A cell of text: what begins with `=` is no formula.
    fn write_text(&mut self, worksheet: &mut Worksheet, row: u32, column: u16, text: String) -> Result<()> {
        let index = usize::from(column);
        let text = without_controls(&text);
        check_length(&text, u64::from(row), self.schema.field(index).name(), &self.query)?;
        let width = text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
        self.widths[index] = self.widths[index].max(width);
        worksheet.write_string(row, column, text)?;
        Ok(())
    }
}

/// XML has no control characters.
fn without_controls(text: &str) -> String {
    let is_bad = |character: char| matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    if text.chars().any(is_bad) {
        text.chars().map(|character| if is_bad(character) { '\u{fffd}' } else { character }).collect()
    } else {
        text.to_owned()
    }
}

fn check_length(text: &str, row: u64, column: &str, section: &str) -> Result<()> {
    // UTF-8 is never shorter than UTF-16, in units.
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    let length = text.encode_utf16().count();
    if length <= TEXT_MAX {
        return Ok(());
    }
    Err(Error::LongText { row, column: column.to_owned(), section: section.to_owned(), length })
}

/// Whether Excel's binary numbers keep all digits of `text`.
fn fits(text: &str) -> bool {
    let digits = text.split(['e', 'E']).next().unwrap_or(text);
    let significant: String = digits.chars().filter(char::is_ascii_digit).collect();
    if digits.len() != text.len() {
        // Binary already.
        return true;
    }
    let trimmed = significant.trim_start_matches('0');
    let trimmed = if text.contains('.') { trimmed.trim_end_matches('0') } else { trimmed };
    trimmed.len() <= DIGITS_MAX || trimmed.trim_end_matches('0').len() <= DIGITS_MAX || is_binary(text)
}

/// Whether a fraction is as long as only binary numbers have it: 0.1 + 0.2 is 0.30000000000000004 in Excel, too.
fn is_binary(text: &str) -> bool {
    let value: f64 = text.parse().unwrap_or(f64::NAN);
    text.contains('.') && value.to_string() == text
}

/// Excel's number of a moment: days since the 30th of December 1899. It takes 1900 for a leap year, so what is before March
/// of that year has none here; nor has what is after 9999.
fn serial(moment: NaiveDateTime) -> Option<f64> {
    let (first, last) = (NaiveDate::from_ymd_opt(1900, 3, 1)?, NaiveDate::from_ymd_opt(9999, 12, 31)?);
    if !(first..=last).contains(&moment.date()) {
        return None;
    }
    let epoch = NaiveDate::from_ymd_opt(1899, 12, 30)?;
    let days = moment.date().signed_duration_since(epoch).num_days() as f64;
    let time = moment.time().signed_duration_since(chrono::NaiveTime::MIN);
    Some(days + time.num_milliseconds() as f64 / 86_400_000.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
