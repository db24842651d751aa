//! JSON records: many values -> the type of each key.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use limnos_catalog::{Column, DataType, StructField};
use object_store::{ObjectMeta, ObjectStore};
use serde::{Deserialize, Serialize};

use super::infer::{Inferred, TextColumn};
use super::name::column_names;
use super::{SAMPLE_BYTES, SAMPLE_ROWS, Schema, too_many_columns};
use crate::scan::format::json::cursor::{Cursor, Kind, SyntaxError};
use crate::scan::format::json::records::{Layout, RecordSplitter, malformed};
use crate::scan::format::{input, located};
use crate::{Error, ErrorCode, Result, limits};

/// Keys of one object beyond which they are data rather than names, if all values are alike.
const MAP_KEYS_MIN: usize = 64;

/// What was seen in one place.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Shape {
    booleans: u64,
    integers: u64,
    /// Integers beyond 64 bits, and all other numbers.
    doubles: u64,
    strings: u64,
    text: TextColumn,
    arrays: u64,
    item: Option<Box<Shape>>,
    objects: u64,
    keys: Vec<(String, Shape)>,
    /// Where in `keys` each is; not kept with what is remembered.
    #[serde(skip)]
    places: HashMap<String, usize>,
}

/// Why a record was not taken in.
enum Trouble {
    Syntax(SyntaxError),
    TooWide(usize),
    TooDeep,
}

impl From<SyntaxError> for Trouble {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl Shape {
    fn see(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Trouble> {
        if depth > limits::INFERRED_DEPTH_MAX {
            return Err(Trouble::TooDeep);
        }
        match cursor.kind()? {
            Kind::Null => cursor.null()?,
            Kind::Boolean => {
                cursor.boolean()?;
                self.booleans += 1;
            }
            Kind::Number => {
                if cursor.number()?.parse::<i64>().is_ok() {
                    self.integers += 1;
                } else {
                    self.doubles += 1;
                }
            }
            Kind::String => {
                self.text.see(&cursor.string()?);
                self.strings += 1;
            }
            Kind::Array => {
                self.arrays += 1;
                cursor.begin_array()?;
                let mut first = true;
                while cursor.next_item(first)? {
                    first = false;
                    self.item.get_or_insert_default().see(cursor, depth + 1)?;
                }
            }
            Kind::Object => {
                self.objects += 1;
                cursor.begin_object()?;
                let mut first = true;
                while let Some(key) = cursor.next_key(first)? {
                    first = false;
                    let place = match self.places.get(key.as_ref()) {
                        Some(place) => *place,
                        None => {
                            if self.keys.len() >= limits::INFERRED_COLUMNS_MAX {
                                return Err(Trouble::TooWide(self.keys.len() + 1));
                            }
                            self.places.insert(key.clone().into_owned(), self.keys.len());
                            self.keys.push((key.into_owned(), Self::default()));
                            self.keys.len() - 1
                        }
                    };
                    self.keys[place].1.see(cursor, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in what was seen elsewhere, as if its values had come here.
    fn merge(&mut self, other: &Self) -> Result<()> {
        self.booleans += other.booleans;
        self.integers += other.integers;
        self.doubles += other.doubles;
        self.strings += other.strings;
        self.text.merge(&other.text);
        self.arrays += other.arrays;
        self.objects += other.objects;
        if let Some(item) = &other.item {
            self.item.get_or_insert_default().merge(item)?;
        }
        for (key, shape) in &other.keys {
            let place = match self.places.get(key) {
                Some(place) => *place,
                None if self.keys.len() >= limits::INFERRED_COLUMNS_MAX => {
                    return Err(too_many_columns(self.keys.len() + 1));
                }
                None => {
                    self.places.insert(key.clone(), self.keys.len());
                    self.keys.push((key.clone(), Self::default()));
                    self.keys.len() - 1
                }
            };
            self.keys[place].1.merge(shape)?;
        }
        Ok(())
    }

    /// The type that holds everything seen here. Only a column of its own can have a date format.
    fn infer(&self, is_column: bool) -> Inferred {
        let plain = |data_type| Inferred { data_type, format: None, remark: None };
        let numbers = self.integers + self.doubles;
        let scalars = self.booleans + numbers + self.strings;
        match (self.objects, self.arrays, scalars) {
            (0, 0, 0) => plain(DataType::String),
            (_, 0, 0) => plain(self.object_type()),
            (0, _, 0) => {
                let item = self.item.as_ref().map_or(DataType::String, |item| item.infer(false).data_type);
                plain(DataType::Array(Box::new(item)))
            }
            (0, 0, _) => match (self.booleans, numbers, self.strings) {
                (_, 0, 0) => plain(DataType::Boolean),
                (0, _, 0) if self.doubles == 0 => plain(DataType::BigInt),
                (0, _, 0) => plain(DataType::Double),
                (0, 0, _) => {
                    let inferred = self.text.infer_json();
                    if inferred.format.is_some() && !is_column { plain(DataType::String) } else { inferred }
                }
                _ => {
                    Inferred { remark: Some("has texts and numbers or booleans".to_owned()), ..plain(DataType::String) }
                }
            },
            _ => {
                Inferred { remark: Some("has objects or arrays and other values".to_owned()), ..plain(DataType::Json) }
            }
        }
    }

    fn object_type(&self) -> DataType {
        let fields: Vec<StructField> = self
            .keys
            .iter()
            .map(|(name, shape)| StructField { name: name.clone(), data_type: shape.infer(false).data_type })
            .collect();
        match fields.first() {
            // Neither Hive nor PostgreSQL has a struct without fields.
            None => DataType::Json,
            Some(first)
                if fields.len() >= MAP_KEYS_MIN && fields.iter().all(|field| field.data_type == first.data_type) =>
            {
                DataType::Map(Box::new(DataType::String), Box::new(first.data_type.clone()))
            }
            Some(_) => DataType::Struct(fields),
        }
    }
}

/// What was seen in one file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    shape: Shape,
    pub rows: u64,
    /// Whether the file was left before its end.
    pub is_partial: bool,
}

/// Reads `object`, whose records lie as `layout` says.
pub(super) async fn see(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    layout: &Layout,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut splitter = RecordSplitter::new(layout.clone());
    let mut chunks = input::open(store, object, name, |_| ()).await?;
    let mut byte_count = 0;
    while let Some(chunk) = chunks.try_next().await? {
        let mut bytes = &chunk[..];
        byte_count += bytes.len();
        while !bytes.is_empty() {
            let (used, complete) = splitter.push(bytes).map_err(|error| located(error, name, splitter.line(), None))?;
            bytes = &bytes[used..];
            if complete {
                see_record(&mut seen.shape, &splitter, name)?;
                seen.rows += 1;
            }
        }
        if seen.rows >= SAMPLE_ROWS || byte_count >= SAMPLE_BYTES {
            seen.is_partial = true;
            return Ok(seen);
        }
    }
    if splitter.finish().map_err(|error| located(error, name, splitter.record_line(), None))? {
        see_record(&mut seen.shape, &splitter, name)?;
        seen.rows += 1;
    }
    Ok(seen)
}

/// The columns of all files together.
pub(super) fn merge(layout: &Layout, files: &[&Seen]) -> Result<Schema> {
    let mut shape = Shape::default();
    for file in files {
        shape.merge(&file.shape)?;
    }
    Ok(schema(&shape, layout))
}

fn see_record(shape: &mut Shape, splitter: &RecordSplitter, name: &str) -> Result<()> {
    let line = splitter.record_line();
    let record = String::from_utf8_lossy(splitter.record());
    let mut cursor = Cursor::new(&record);
    let result = cursor.kind().map_err(Trouble::from).and_then(|kind| match kind {
        Kind::Object => shape.see(&mut cursor, 0),
        _ => Err(Trouble::Syntax(cursor.error("an object was expected"))),
    });
    result.map_err(|trouble| match trouble {
        Trouble::Syntax(error) => located(malformed(&error.reason), name, line, None),
        Trouble::TooWide(count) => located(too_many_columns(count), name, line, None),
        Trouble::TooDeep => located(
            Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("JSON is nested deeper than {} levels", limits::INFERRED_DEPTH_MAX),
            )
            .with_hint("Declare the table with CREATE EXTERNAL TABLE and give the nested key the type json."),
            name,
            line,
            None,
        ),
    })
}

fn schema(shape: &Shape, layout: &Layout) -> Schema {
    let mut schema = Schema::default();
    let names = column_names(shape.keys.iter().map(|(name, _)| name.as_str()));
    for ((_, shape), (name, source_name)) in shape.keys.iter().zip(names) {
        let inferred = shape.infer(true);
        if let Some(remark) = inferred.remark {
            schema.remarks.push(format!("column \"{name}\" {remark}: {} was taken", inferred.data_type));
        }
        if let Some(format) = inferred.format {
            schema.properties.insert(format!("limnos.format.{name}"), format);
        }
        schema.columns.push(Column { source_name, ..Column::new(name, inferred.data_type) });
    }
    let layout_name = match layout {
        Layout::Lines | Layout::Detect => "lines",
        Layout::Array => "array",
        Layout::Document(key) => {
            if let Some(key) = key {
                schema.properties.insert("limnos.json.path".to_owned(), key.clone());
            }
            "document"
        }
        Layout::Path(path) => {
            schema.properties.insert("limnos.json.path".to_owned(), path.to_string());
            "document"
        }
    };
    schema.properties.insert("limnos.json.layout".to_owned(), layout_name.to_owned());
    schema
}
