//! [`FileOptions`]: the format of a file that is written, and how it is compressed; from a table's definition or from
//! words of a statement.

use limnos_catalog::{FileFormat, TableDefinition, TableKind};

use crate::scan::format::column_formats;
use crate::scan::format::csv::CsvOptions;
use crate::scan::format::datetime::DateTimeFormat;
use crate::scan::format::json::layout;
use crate::scan::format::json::records::Layout;
use crate::{Error, ErrorCode, Result};

/// Lines that stand above the data at most; a table may say more, and each file would get them.
const HEADER_ROWS_MAX: u64 = 100;

/// Where tables say how their files are compressed, in the words of Athena, Hive and Spark. The first that is there
/// counts.
const COMPRESSION_PROPERTIES: [&str; 8] = [
    "write.compression",
    "write_compression",
    "parquet.compression",
    "parquet_compression",
    "orc.compress",
    "orc_compression",
    "avro.output.codec",
    "compression",
];

/// How a file is compressed: inside its format, or around it where the format is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Snappy,
    Gzip,
    Zlib,
    Zstd,
    Lz4,
    Brotli,
    Bzip2,
    Xz,
}

impl Compression {
    const ALL: [(&'static str, Self); 13] = [
        ("none", Self::None),
        ("uncompressed", Self::None),
        ("snappy", Self::Snappy),
        ("gzip", Self::Gzip),
        ("gz", Self::Gzip),
        ("zlib", Self::Zlib),
        ("deflate", Self::Zlib),
        ("zstd", Self::Zstd),
        ("lz4", Self::Lz4),
        ("brotli", Self::Brotli),
        ("bzip2", Self::Bzip2),
        ("bz2", Self::Bzip2),
        ("xz", Self::Xz),
    ];

    /// The name that statements use.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, compression)| *compression == self).map_or("none", |(name, _)| name)
    }

    /// What text files compressed so end in.
    fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Snappy => ".sz",
            Self::Gzip => ".gz",
            Self::Zlib => ".deflate",
            Self::Zstd => ".zst",
            Self::Lz4 => ".lz4",
            Self::Brotli => ".br",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
        }
    }

    /// The levels there are; `None` where there is no choice.
    fn levels(self) -> Option<std::ops::RangeInclusive<i32>> {
        match self {
            Self::Gzip | Self::Zlib => Some(0..=9),
            Self::Bzip2 => Some(1..=9),
            Self::Xz => Some(0..=9),
            Self::Zstd => Some(1..=22),
            Self::Brotli => Some(0..=11),
            Self::None | Self::Snappy | Self::Lz4 => None,
        }
    }
}

/// How JSON records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonLayout {
    /// One object a line.
    Lines,
    /// One array of objects.
    Array,
}

/// How delimited text is laid out: as its reader takes it, and what is left to a writer.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// What the reader goes by.
    pub csv: CsvOptions,
    /// Whether binary values are PostgreSQL's `\x` and hexadecimal digits, and not Hive's base64.
    pub hex: bool,
    /// Whether escapes are those of PostgreSQL's COPY (`\\n`, `\\t`), whose readers tell NULL before they resolve them.
    pub backslash: bool,
    /// The pattern of each column's dates, where it has one.
    pub formats: Vec<Option<DateTimeFormat>>,
}

/// A format of files.
#[derive(Debug, Clone)]
pub enum FileKind {
    Parquet,
    Orc,
    Avro,
    Arrow,
    Json(JsonFile),
    Text(TextOptions),
}

/// How JSON is laid out.
#[derive(Debug, Clone)]
pub struct JsonFile {
    /// How records follow each other.
    pub layout: JsonLayout,
    /// The pattern of each column's dates, where it has one.
    pub formats: Vec<Option<DateTimeFormat>>,
}

impl FileKind {
    /// The name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Orc => "ORC",
            Self::Avro => "Avro",
            Self::Arrow => "Arrow",
            Self::Json(_) => "JSON",
            Self::Text(_) => "delimited text",
        }
    }

    /// Whether compression goes around the file, and not inside it.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Text(_))
    }

    fn default_compression(&self) -> Compression {
        match self {
            Self::Parquet | Self::Avro => Compression::Snappy,
            Self::Orc => Compression::Zlib,
            Self::Arrow | Self::Json(_) | Self::Text(_) => Compression::None,
        }
    }

    fn takes(&self, compression: Compression) -> bool {
        use Compression::{Brotli, Bzip2, Gzip, Lz4, None, Snappy, Xz, Zlib, Zstd};
        match self {
            Self::Parquet => matches!(compression, None | Snappy | Gzip | Zstd | Lz4 | Brotli),
            Self::Orc => matches!(compression, None | Snappy | Zlib | Zstd | Lz4),
            Self::Avro => matches!(compression, None | Snappy | Zlib | Zstd | Bzip2 | Xz),
            Self::Arrow => matches!(compression, None | Lz4 | Zstd),
            Self::Json(_) | Self::Text(_) => {
                matches!(compression, None | Snappy | Gzip | Zlib | Zstd | Lz4 | Bzip2 | Xz)
            }
        }
    }

    /// Whether a level of compression can be chosen. The crates that write ORC, Avro and Arrow have one each.
    fn takes_level(&self) -> bool {
        matches!(self, Self::Parquet | Self::Json(_) | Self::Text(_))
    }
}

/// What a file is written as.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Its format.
    pub kind: FileKind,
    /// Its compression, which the format has.
    pub compression: Compression,
    /// The level, which the compression has; `None` for the default.
    pub level: Option<i32>,
    /// Rows are kept until they make so many bytes: a row group, or a stripe.
    pub row_group_bytes: usize,
}

/// Enough rows for each column to compress well and few enough that some writers at once fit into memory.
pub(super) const ROW_GROUP_BYTES: usize = 128 << 20;

impl FileOptions {
    /// Files of `kind`, compressed with what `compression` names, or as is usual for the format.
    ///
    /// # Errors
    /// 22023 for a compression or a level that doesn't exist; 0A000 for one that the format doesn't have.
    pub fn new(kind: FileKind, compression: Option<&str>, level: Option<i32>) -> Result<Self> {
        let compression = match compression {
            None => kind.default_compression(),
            Some(name) => parse_compression(name, &kind)?,
        };
        if let Some(level) = level {
            match compression.levels() {
                Some(levels) if !kind.takes_level() => {
                    return Err(Error::unsupported(format!(
                        "a compression level is not supported for {} files",
                        kind.name()
                    ))
                    .with_detail(format!(
                        "{} has levels {} to {}, of which the default is taken.",
                        compression.name(),
                        levels.start(),
                        levels.end()
                    )));
                }
                Some(levels) if levels.contains(&level) => {}
                Some(levels) => {
                    return Err(Error::new(
                        ErrorCode::InvalidParameterValue,
                        format!("compression level {level} is out of range"),
                    )
                    .with_hint(format!(
                        "{} has levels {} to {}.",
                        compression.name(),
                        levels.start(),
                        levels.end()
                    )));
                }
                None => {
                    return Err(Error::new(
                        ErrorCode::InvalidParameterValue,
                        format!("compression \"{}\" has no levels", compression.name()),
                    ));
                }
            }
        }
        Ok(Self { kind, compression, level, row_group_bytes: ROW_GROUP_BYTES })
    }

    /// Files as the table `definition` says that its files are.
    ///
    /// # Errors
    /// A view; a format that is only read; a layout that isn't written; properties that can't be.
    pub fn for_table(definition: &TableDefinition) -> Result<Self> {
        let TableKind::External(storage) = &definition.kind else {
            return Err(Error::internal("a view has no files"));
        };
        let kind = match storage.format {
            FileFormat::Parquet => FileKind::Parquet,
            FileFormat::Orc => FileKind::Orc,
            FileFormat::Avro => FileKind::Avro,
            FileFormat::Arrow => FileKind::Arrow,
            FileFormat::Json => {
                let layout = match layout(storage)? {
                    Layout::Lines | Layout::Detect => JsonLayout::Lines,
                    Layout::Array => JsonLayout::Array,
                    Layout::Document(_) | Layout::Path(_) => {
                        return Err(Error::unsupported("writing JSON documents is not supported").with_hint(
                            "Tables of JSON lines and arrays can be written (property \"limnos.json.layout\").",
                        ));
                    }
                };
                FileKind::Json(JsonFile { layout, formats: column_formats(definition)? })
            }
            FileFormat::Csv => {
                let csv = CsvOptions::new(definition)?;
                if csv.header_rows > HEADER_ROWS_MAX {
                    return Err(Error::unsupported(format!(
                        "writing files with more than {HEADER_ROWS_MAX} header lines is not supported"
                    )));
                }
                FileKind::Text(TextOptions { csv, hex: false, backslash: false, formats: column_formats(definition)? })
            }
            FileFormat::Regex => {
                return Err(Error::unsupported("writing files whose lines a pattern takes apart is not supported")
                    .with_hint("Create another table for the rows, in Parquet or delimited text."));
            }
            #[allow(unreachable_patterns, reason = "formats that are only read")]
            _ => return Err(Error::unsupported("writing files of the table's format is not supported")),
        };
        let property = |name: &str| definition.parameters.get(name).or_else(|| storage.properties.get(name));
        let compression = COMPRESSION_PROPERTIES.iter().find_map(|name| property(name)).map(String::as_str);
        let level = match property("compression_level").or_else(|| property("write.compression.level")) {
            None => None,
            Some(text) => Some(text.trim().parse().map_err(|_| {
                Error::new(
                    ErrorCode::InvalidParameterValue,
                    format!("invalid value for property \"compression_level\": \"{text}\""),
                )
            })?),
        };
        Self::new(kind, compression, level)
    }

    /// What the names of such files end in, without the dot: `parquet`, `csv.gz`.
    pub fn extension(&self) -> String {
        let base = match &self.kind {
            FileKind::Parquet => "parquet",
            FileKind::Orc => "orc",
            FileKind::Avro => "avro",
            FileKind::Arrow => "arrow",
            FileKind::Json(_) => "json",
            FileKind::Text(text) if text.csv.delimiter == b'\t' => "tsv",
            FileKind::Text(text) if text.csv.delimiter == b',' => "csv",
            FileKind::Text(_) => "txt",
        };
        let packed = if self.kind.is_text() { self.compression.extension() } else { "" };
        format!("{base}{packed}")
    }
}

fn parse_compression(name: &str, kind: &FileKind) -> Result<Compression> {
    let lower = name.trim().to_lowercase();
    let available = || {
        let mut names: Vec<&str> = Vec::new();
        for (_, compression) in Compression::ALL {
            if kind.takes(compression) && !names.contains(&compression.name()) {
                names.push(compression.name());
            }
        }
        format!("{} files can have: {}.", kind.name(), names.join(", "))
    };
    let found = Compression::ALL.iter().find(|(known, _)| *known == lower).map(|(_, compression)| *compression);
    match (found, kind) {
        // What Hive and Athena call by the name of the program is this inside ORC and Avro.
        (Some(Compression::Gzip), FileKind::Orc | FileKind::Avro) => Ok(Compression::Zlib),
        (Some(compression), _) if kind.takes(compression) => Ok(compression),
        (Some(_), _) => {
            Err(Error::unsupported(format!("compression \"{name}\" is not supported for {} files", kind.name()))
                .with_hint(available()))
        }
        (None, _) => Err(Error::new(ErrorCode::InvalidParameterValue, format!("compression \"{name}\" is not known"))
            .with_hint(available())),
    }
}
