//! [`CustomClassifier`]: a kind of file that a user describes, and which is looked for before all others.

use std::collections::BTreeMap;

use limnos_catalog::{Column, DataType, FileFormat, StorageDescriptor, TableDefinition, TableKind};

use super::csv::{self, CsvChoice, CsvHeader, Dialect};
use super::log::{FITTING_PERCENT_MIN, LINES_MAX, are_fitting};
use super::sniff::{Head, Known, Sniffed};
use crate::scan::format::json::path::JsonPath;
use crate::scan::format::json::records::{Layout, RecordSplitter};
use crate::scan::format::pattern::{PatternOptions, grok_fields};
use crate::{Error, ErrorCode, Result, limits};

/// A classifier of a user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomClassifier {
    /// Lines that a grok pattern takes apart; its fields are the columns.
    Grok {
        /// What the kind is called, in the table's `classification`.
        classification: String,
        pattern: String,
        /// Patterns of its own, `NAME pattern` a line.
        custom_patterns: String,
    },
    /// Delimited text. It claims a file whose rows have as many cells as the first, or as there are `columns`.
    Csv {
        /// An ASCII character.
        delimiter: char,
        /// An ASCII character.
        quote: Option<char>,
        header: CsvHeader,
        /// The columns' names, instead of the header's; may be empty.
        columns: Vec<String>,
        /// Whether a file of one column is claimed, too: any text is one.
        allow_single_column: bool,
    },
    /// JSON whose records are at a path, as `$.Records[*]`.
    Json { path: String },
}

impl CustomClassifier {
    /// Whether it can be: its pattern is one, its characters are ASCII, its path leads somewhere.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Grok { classification, pattern, custom_patterns } => {
                grok_table(classification, pattern, custom_patterns).map(drop)
            }
            Self::Csv { delimiter, quote, columns, .. } => {
                for (what, character) in [("delimiter", Some(*delimiter)), ("quote", *quote)] {
                    if let Some(character) = character.filter(|c| !c.is_ascii() || matches!(c, '\n' | '\r')) {
                        let message = format!("invalid {what} of a classifier: \"{}\"", character.escape_debug());
                        return Err(Error::new(ErrorCode::InvalidParameterValue, message)
                            .with_hint("It must be one ASCII character that ends no line."));
                    }
                }
                if *quote == Some(*delimiter) {
                    let message = "delimiter and quote of a classifier must differ";
                    return Err(Error::new(ErrorCode::InvalidParameterValue, message));
                }
                if columns.len() > limits::INFERRED_COLUMNS_MAX {
                    return Err(super::too_many_columns(columns.len()));
                }
                Ok(())
            }
            Self::Json { path } => path.parse::<JsonPath>().map(drop),
        }
    }

    /// What the file is, if it is of this kind.
    pub(super) fn verdict(&self, head: &Head<'_>) -> Result<Option<Sniffed>> {
        match self {
            Self::Grok { classification, pattern, custom_patterns } => {
                let lines = head.lines();
                if lines.is_empty() {
                    return Ok(None);
                }
                let (known, options) = grok_table(classification, pattern, custom_patterns)?;
                let mut compiled = options.compile(&[])?;
                let fits = are_fitting(&lines, |line| compiled.split(line, &mut Vec::new()) == Ok(true));
                Ok(fits.then(|| Sniffed::Known(Box::new(known))))
            }
            Self::Csv { delimiter, quote, header, columns, allow_single_column } => {
                let byte = |character: char| u8::try_from(character).unwrap_or(b',');
                let dialect = Dialect { delimiter: byte(*delimiter), quote: quote.map(byte), escape: None };
                let Some(rows) = head.text.and_then(|text| csv::rows(text, dialect, head.is_whole)) else {
                    return Ok(None);
                };
                let width = match columns.len() {
                    0 => rows.first().map_or(0, Vec::len),
                    width => width,
                };
                let looked_at = rows.iter().take(LINES_MAX);
                let same = looked_at.clone().filter(|row| row.len() == width).count();
                let fits = width > usize::from(!allow_single_column)
                    && same * 100 >= looked_at.count() * FITTING_PERCENT_MIN
                    && same > 0;
                let choice = CsvChoice { dialect, header: *header, names: columns.clone() };
                Ok(fits.then_some(Sniffed::Csv(choice)))
            }
            Self::Json { path } => {
                let Some(text) = head.text else { return Ok(None) };
                let layout = Layout::Path(path.parse()?);
                // One object at the path's end is enough; the file's kind shows in its first.
                let mut splitter = RecordSplitter::new(layout.clone());
                let found = match splitter.push(text.as_bytes()) {
                    Ok((_, true)) => splitter.record().starts_with(b"{"),
                    _ => false,
                };
                Ok(found.then_some(Sniffed::Json(layout)))
            }
        }
    }
}

/// The table of a grok classifier's files, and its pattern.
fn grok_table(classification: &str, pattern: &str, custom_patterns: &str) -> Result<(Known, PatternOptions)> {
    let fields = grok_fields(pattern, custom_patterns)?;
    if fields.is_empty() {
        let message = format!("grok pattern of classifier \"{classification}\" names no fields");
        return Err(Error::new(ErrorCode::InvalidParameterValue, message)
            .with_hint("Write %{PATTERN:name} for what is to be a column."));
    }
    let column = |field: &crate::scan::format::pattern::grok::Field| {
        let data_type = match field.data_type.as_deref().map(str::to_lowercase).as_deref() {
            Some("byte") => DataType::TinyInt,
            Some("short") => DataType::SmallInt,
            Some("int" | "integer") => DataType::Int,
            Some("long") => DataType::BigInt,
            Some("float") => DataType::Float,
            Some("double") => DataType::Double,
            Some("boolean") => DataType::Boolean,
            _ => DataType::String,
        };
        Column::new(field.name.to_lowercase(), data_type)
    };
    let mut properties = BTreeMap::from([("input.format".to_owned(), pattern.to_owned())]);
    if !custom_patterns.is_empty() {
        properties.insert("input.grokCustomPatterns".to_owned(), custom_patterns.to_owned());
    }
    let known = Known {
        classification: classification.to_owned(),
        format: FileFormat::Regex,
        serde: Some("com.amazonaws.glue.serde.GrokSerDe".to_owned()),
        columns: fields.iter().map(column).collect(),
        properties,
        parameters: BTreeMap::new(),
    };
    let options = PatternOptions::new(&TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: String::new(),
            format: known.format,
            serde: known.serde.clone(),
            properties: known.properties.clone(),
        }),
        columns: known.columns.clone(),
        partition_keys: Vec::new(),
        parameters: BTreeMap::new(),
        comment: None,
        owner: String::new(),
    })?;
    Ok((known, options))
}
