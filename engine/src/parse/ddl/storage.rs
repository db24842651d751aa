//! ROW FORMAT and STORED AS -> a [`FileFormat`] and reader properties.
//!
//! A SerDe's class decides the format before STORED AS does, as in Hive. Properties are made explicit here, under the names
//! that the readers know (`field.delim`, `quoteChar`, `escapeChar`, ...), so that a reader needs no table of SerDes:
//!
//! | said | format | properties, unless given |
//! |---|---|---|
//! | nothing, TEXTFILE, DELIMITED, LazySimpleSerDe | Csv | `field.delim` = `\u{1}`, Hive's default |
//! | STORED AS CSV | Csv | `field.delim` = `,`, `quoteChar` = `"` |
//! | OpenCSVSerde | Csv | `field.delim` = `separatorChar` or `,`, `quoteChar` = `"`, `escapeChar` = `\` |
//! | JsonSerDe (Hive's and OpenX's), STORED AS JSON | Json | |
//! | CloudTrailSerde, CloudTrailInputFormat | Json | `limnos.json.layout` = `document`, `limnos.json.path` = `Records` |
//! | RegexSerDe (Hive's two), GrokSerDe | Regex | |

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::FileFormat;

use crate::parse::cursor::Cursor;
use crate::{Error, Result};

/// What ROW FORMAT says.
pub(super) struct RowFormat {
    pub(super) serde: Option<String>,
    pub(super) delimited: bool,
    pub(super) properties: BTreeMap<String, String>,
}

impl RowFormat {
    /// After ROW FORMAT.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self> {
        if cursor.take_words("SERDE") {
            let serde = Some(cursor.string()?);
            let properties =
                if cursor.take_words("WITH SERDEPROPERTIES") { super::properties(cursor)? } else { BTreeMap::new() };
            return Ok(Self { serde, delimited: false, properties });
        }
        cursor.expect_words("DELIMITED")?;
        let mut properties = BTreeMap::new();
        loop {
            let name = if cursor.take_words("FIELDS TERMINATED BY") {
                "field.delim"
            } else if cursor.take_words("ESCAPED BY") {
                "escape.delim"
            } else if cursor.take_words("COLLECTION ITEMS TERMINATED BY") {
                "collection.delim"
            } else if cursor.take_words("MAP KEYS TERMINATED BY") {
                "mapkey.delim"
            } else if cursor.take_words("LINES TERMINATED BY") {
                "line.delim"
            } else if cursor.take_words("NULL DEFINED AS") {
                "serialization.null.format"
            } else {
                return Ok(Self { serde: None, delimited: true, properties });
            };
            properties.insert(name.to_owned(), cursor.string()?);
        }
    }
}

/// What STORED AS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A format's name, upper case.
    Format(String),
    /// The class of an INPUTFORMAT.
    Input(String),
}

impl Stored {
    /// After STORED AS.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self> {
        if cursor.take_words("INPUTFORMAT") {
            let input = cursor.string()?;
            cursor.expect_words("OUTPUTFORMAT")?;
            cursor.string()?;
            return Ok(Self::Input(input));
        }
        match cursor.peek().map(|lexeme| &lexeme.token.token) {
            Some(Token::Word(word)) => {
                cursor.advance();
                Ok(Self::Format(word.value.to_uppercase()))
            }
            _ => Err(cursor.unexpected()),
        }
    }
}

/// What both say together.
pub(crate) struct Storage {
    pub(crate) format: FileFormat,
    pub(crate) serde: Option<String>,
    pub(crate) properties: BTreeMap<String, String>,
}

/// What SET FILEFORMAT makes of a table's storage.
pub(crate) fn resolve_format(stored: Stored) -> Result<Storage> {
    resolve(None, Some(stored))
}

/// What SET SERDE makes of a table's storage.
pub(crate) fn resolve_serde(class: &str, properties: BTreeMap<String, String>) -> Result<Storage> {
    resolve(Some(RowFormat { serde: Some(class.to_owned()), delimited: false, properties }), None)
}

/// Decides the format.
pub(super) fn resolve(row_format: Option<RowFormat>, stored: Option<Stored>) -> Result<Storage> {
    let (serde, delimited, mut properties) = match row_format {
        Some(row_format) => (row_format.serde, row_format.delimited, row_format.properties),
        None => (None, false, BTreeMap::new()),
    };
    let stored_reader = stored.as_ref().map(stored_reader).transpose()?;
    let reader = match &serde {
        // The SerDe says how a record is read, and the input format where in the file it lies.
        Some(class) => match (serde_reader(class)?, stored_reader) {
            (Reader::Other(FileFormat::Json), Some(Reader::CloudTrail)) => Reader::CloudTrail,
            (reader, _) => reader,
        },
        None => match stored_reader {
            Some(reader) if !delimited || reader.format() == FileFormat::Csv => {
                // DELIMITED says how a text file is laid out, also when it is called CSV.
                reader
            }
            Some(_) => {
                return Err(Error::syntax("ROW FORMAT DELIMITED is for text files only"));
            }
            None => Reader::Delimited,
        },
    };
    let mut default = |name: &str, value: &str| {
        properties.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    match reader {
        Reader::Delimited => default("field.delim", "\u{1}"),
        Reader::Csv => {
            default("field.delim", ",");
            default("quoteChar", "\"");
        }
        Reader::OpenCsv => {
            default("quoteChar", "\"");
            default("escapeChar", "\\");
            let separator = properties.get("separatorChar").cloned().unwrap_or_else(|| ",".to_owned());
            properties.entry("field.delim".to_owned()).or_insert(separator);
        }
        Reader::CloudTrail => {
            default("limnos.json.layout", "document");
            default("limnos.json.path", "Records");
        }
        Reader::Other(_) => {}
    }
    Ok(Storage { format: reader.format(), serde, properties })
}

/// How a file is read.
#[derive(Clone, Copy)]
enum Reader {
    /// Hive's LazySimpleSerDe.
    Delimited,
    Csv,
    OpenCsv,
    /// A document with the records in an array.
    CloudTrail,
    Other(FileFormat),
}

impl Reader {
    fn format(self) -> FileFormat {
        match self {
            Self::Delimited | Self::Csv | Self::OpenCsv => FileFormat::Csv,
            Self::CloudTrail => FileFormat::Json,
            Self::Other(format) => format,
        }
    }
}

fn stored_reader(stored: &Stored) -> Result<Reader> {
    match stored {
        Stored::Format(name) => Ok(match name.as_str() {
            "PARQUET" => Reader::Other(FileFormat::Parquet),
            "TEXTFILE" => Reader::Delimited,
            "CSV" => Reader::Csv,
            "JSON" | "JSONFILE" | "NDJSON" => Reader::Other(FileFormat::Json),
            "ARROW" => Reader::Other(FileFormat::Arrow),
            "ORC" => Reader::Other(FileFormat::Orc),
            "AVRO" => Reader::Other(FileFormat::Avro),
            _ => {
                return Err(Error::unsupported(format!("file format \"{}\" is not supported", name.to_lowercase()))
                    .with_hint("Formats are PARQUET, TEXTFILE, CSV, JSON, ARROW, ORC and AVRO."));
            }
        }),
        Stored::Input(class) => {
            let name = class.rsplit('.').next().unwrap_or(class);
            Ok(match name {
                "TextInputFormat" => Reader::Delimited,
                "CloudTrailInputFormat" => Reader::CloudTrail,
                "MapredParquetInputFormat" | "DeprecatedParquetInputFormat" => Reader::Other(FileFormat::Parquet),
                "OrcInputFormat" => Reader::Other(FileFormat::Orc),
                "AvroContainerInputFormat" => Reader::Other(FileFormat::Avro),
                _ => return Err(Error::unsupported(format!("input format \"{class}\" is not supported"))),
            })
        }
    }
}

fn serde_reader(class: &str) -> Result<Reader> {
    let lower = class.to_lowercase();
    let name = lower.rsplit('.').next().unwrap_or(&lower);
    Ok(match name {
        "lazysimpleserde" => Reader::Delimited,
        "opencsvserde" | "csvserde" => Reader::OpenCsv,
        "jsonserde" => Reader::Other(FileFormat::Json),
        "cloudtrailserde" => Reader::CloudTrail,
        "regexserde" | "grokserde" => Reader::Other(FileFormat::Regex),
        "parquethiveserde" => Reader::Other(FileFormat::Parquet),
        "orcserde" => Reader::Other(FileFormat::Orc),
        "avroserde" => Reader::Other(FileFormat::Avro),
        _ => {
            return Err(Error::unsupported(format!("SerDe \"{class}\" is not supported")).with_hint(
                "Supported are LazySimpleSerDe, OpenCSVSerde, RegexSerDe, GrokSerDe, JsonSerDe (Hive's and OpenX's), \
                 CloudTrailSerde, ParquetHiveSerDe, OrcSerde and AvroSerDe.",
            ));
        }
    })
}
