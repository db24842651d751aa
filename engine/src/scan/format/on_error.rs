//! What becomes of rows that are wrong: what a table says of it ([`RowPolicy`]), and what a decoder says of one ([`BadRow`]).
//!
//! What is wrong, by format. `limnos.on_error` = `fail` ends the query with an error that names the first such row; `skip`
//! and `quarantine` leave exactly the same rows out, whatever columns a query asks for, so that `count(*)` is what
//! `SELECT *` gives; `null` makes NULLs of what can be one.
//!
//! | wrong | delimited text | JSON | patterns | `null` reads |
//! |---|---|---|---|---|
//! | a value that isn't of its column's type | yes | yes | yes | NULL |
//! | too many fields | yes, but for one empty at the end | - | - | what is spare is left out |
//! | too few fields | yes; not if nothing is said, nor with `limnos.csv.missing_fields` = `null` | - | - | NULLs |
//! | text behind the closing quote of a cell that spans lines | yes | - | - | a part of the cell |
//! | a quote that is never closed | yes: the line where it opens | - | - | an error |
//! | a line that the pattern doesn't fit, or is too hard for it | - | - | yes | a row of NULLs |
//! | malformed JSON, or no object | - | yes | - | a row of NULLs |
//! | bytes that are no UTF-8 | yes | yes | yes | NULL (the cell); a row of NULLs |
//! | a row of more than 64 MB | yes | yes, among lines | yes | an error |
//!
//! An error in any case: a file that can't be read or unpacked, UTF-16, and JSON whose outer array or document is broken, for
//! nothing tells then where the next record begins.

use limnos_catalog::{StorageDescriptor, TableDefinition};

use super::position::Position;
use crate::{Error, ErrorCode, Result};

/// What becomes of a text that isn't a value of its column's type, and of a line that isn't what the table says
/// (`limnos.on_error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The query ends with an error that names file, line and column.
    Fail,
    /// It is NULL, as in Hive and Athena.
    Null,
    /// Its row is left out, and counted.
    Skip,
    /// The same, and it is kept in `system.rejects`.
    Quarantine,
}

impl OnError {
    /// What the table says, if it says something.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] for what is none of these.
    pub fn of(definition: &TableDefinition) -> Result<Option<Self>> {
        match said(definition, "limnos.on_error")? {
            None => Ok(None),
            Some("fail") => Ok(Some(Self::Fail)),
            Some("null") => Ok(Some(Self::Null)),
            Some("skip") => Ok(Some(Self::Skip)),
            Some("quarantine") => Ok(Some(Self::Quarantine)),
            Some(other) => Err(invalid("limnos.on_error", other, "Available values: fail, null, skip, quarantine.")),
        }
    }

    /// Whether rows that are wrong are left out.
    pub fn drops(self) -> bool {
        matches!(self, Self::Skip | Self::Quarantine)
    }
}

/// Everything that a table says of wrong rows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowPolicy {
    /// What becomes of them; formats differ in what they do if nothing is said.
    pub on_error: Option<OnError>,
    /// How many a scan may leave out (`limnos.on_error.max_rejects`).
    pub max_rejects: Option<u64>,
    /// Which share of a file's rows may be left out (`limnos.on_error.max_reject_rate`).
    pub max_reject_rate: Option<f64>,
}

impl RowPolicy {
    /// Reads the properties, of the SerDe or else of the table.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameterValue`] for a value that can't be.
    pub fn of(definition: &TableDefinition) -> Result<Self> {
        let max_rejects =
            match said(definition, "limnos.on_error.max_rejects")? {
                None => None,
                Some(text) => Some(text.trim().parse().map_err(|_| {
                    invalid("limnos.on_error.max_rejects", text, "It is a count of rows, such as 100.")
                })?),
            };
        let max_reject_rate = match said(definition, "limnos.on_error.max_reject_rate")? {
            None => None,
            Some(text) => {
                let rate = text.trim().parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
                let hint = "It is a share of a file's rows between 0 and 1, such as 0.01.";
                Some(rate.ok_or_else(|| invalid("limnos.on_error.max_reject_rate", text, hint))?)
            }
        };
        Ok(Self { on_error: OnError::of(definition)?, max_rejects, max_reject_rate })
    }

    /// Whether rows that are wrong are left out.
    pub fn drops(&self) -> bool {
        self.on_error.is_some_and(OnError::drops)
    }

    /// Whether a scan may fail for what it has counted, and not for a row by itself.
    pub fn has_maximum(&self) -> bool {
        self.drops() && (self.max_rejects.is_some() || self.max_reject_rate.is_some())
    }
}

/// A property of the SerDe, which is nearer to the files, or else of the table.
pub(super) fn said<'a>(definition: &'a TableDefinition, name: &str) -> Result<Option<&'a str>> {
    let storage: &StorageDescriptor = super::storage(definition)?;
    Ok(storage.properties.get(name).or_else(|| definition.parameters.get(name)).map(String::as_str))
}

fn invalid(name: &str, value: &str, hint: &str) -> Error {
    Error::new(ErrorCode::InvalidParameterValue, format!("invalid value for property \"{name}\": \"{value}\""))
        .with_hint(hint)
}

/// Why a row is wrong, and where.
#[derive(Debug)]
pub struct BadRow {
    /// What is wrong, without its place.
    pub error: Box<Error>,
    /// The column whose value it is.
    pub column: Option<String>,
    /// Where in the file.
    pub position: Position,
    /// Whether the columns have a slot for the row already.
    pub has_slot: bool,
}

impl BadRow {
    /// A row that was found wrong before its values were looked at.
    pub fn new(error: Error, position: Position) -> Self {
        Self { error: Box::new(error), column: None, position, has_slot: false }
    }

    /// The error with its place.
    pub fn located(self, file: &str) -> Error {
        super::located(*self.error, file, self.position, self.column.as_deref())
    }
}
