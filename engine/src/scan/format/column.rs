//! [`ColumnBuilder`]: JSON values -> one column, however nested. CSV uses it too, for its scalar cells and for nested
//! columns, whose cells hold JSON.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, ListArray, MapArray, StringViewBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Fields};
use limnos_catalog::DataType;

use super::datetime::DateTimeFormat;
use super::json::cursor::{Cursor, Kind, SyntaxError};
use super::json::options::KeyRules;
use super::scalar::{ScalarBuilder, invalid_syntax};
use crate::scan::schema::{arrow_field, arrow_type};
use crate::{Error, ErrorCode};

/// Why a JSON value didn't become a column's value.
#[derive(Debug)]
pub enum ValueError {
    /// It isn't JSON.
    Syntax(SyntaxError),
    /// It isn't of the column's type. The path leads to the value inside the column, outermost name last.
    Value { error: Box<Error>, path: Vec<String>, offset: usize },
}

/// What becomes of a JSON value that isn't of its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnValue {
    /// It is an error.
    Fail,
    /// It is NULL.
    Null,
}

impl From<SyntaxError> for ValueError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl ValueError {
    fn within(mut self, name: &str) -> Self {
        if let Self::Value { path, .. } = &mut self {
            path.push(name.to_owned());
        }
        self
    }
}

/// Collects the values of one column.
#[derive(Debug)]
pub enum ColumnBuilder {
    Scalar(ScalarBuilder),
    /// JSON text, kept as the file spells it.
    Json(StringViewBuilder),
    Array {
        item: Box<ColumnBuilder>,
        field: FieldRef,
        offsets: Vec<i32>,
        validity: Vec<bool>,
    },
    Map {
        key: Box<ColumnBuilder>,
        value: Box<ColumnBuilder>,
        entries: FieldRef,
        offsets: Vec<i32>,
        validity: Vec<bool>,
    },
    Struct {
        members: Members,
        fields: Fields,
        validity: Vec<bool>,
    },
}

impl ColumnBuilder {
    /// A builder for `data_type`; `format` is for dates and timestamps.
    pub fn new(data_type: &DataType, format: Option<&DateTimeFormat>) -> Self {
        Self::with_keys(data_type, format, &KeyRules::default())
    }

    /// As [`Self::new`]; `rules` say which key is which field of a struct.
    pub fn with_keys(data_type: &DataType, format: Option<&DateTimeFormat>, rules: &KeyRules) -> Self {
        match data_type {
            DataType::Json => Self::Json(StringViewBuilder::new()),
            DataType::Array(item) => Self::Array {
                item: Box::new(Self::with_keys(item, format, rules)),
                field: Arc::new(arrow_field(Field::LIST_FIELD_DEFAULT_NAME, item)),
                offsets: vec![0],
                validity: Vec::new(),
            },
            DataType::Map(key, value) => {
                let ArrowType::Map(entries, _) = arrow_type(data_type) else {
                    unreachable!("a map is a map in Arrow");
                };
                Self::Map {
                    key: Box::new(Self::with_keys(key, format, rules)),
                    value: Box::new(Self::with_keys(value, format, rules)),
                    entries,
                    offsets: vec![0],
                    validity: Vec::new(),
                }
            }
            DataType::Struct(struct_fields) => Self::Struct {
                members: Members::new(struct_fields.iter().map(|field| {
                    let mut keys: Vec<String> =
                        rules.mapping.get(&field.name.to_lowercase()).cloned().into_iter().collect();
                    keys.push(field.name.clone());
                    (keys, Self::with_keys(&field.data_type, format, rules))
                }))
                .with_rules(rules),
                fields: struct_fields
                    .iter()
                    .map(|field| Arc::new(arrow_field(&field.name, &field.data_type)))
                    .collect(),
                validity: Vec::new(),
            },
            scalar => Self::Scalar(
                ScalarBuilder::new(scalar, format.cloned()).expect("all nested types have a branch of their own"),
            ),
        }
    }

    /// Appends a NULL.
    pub fn append_null(&mut self) {
        match self {
            Self::Scalar(values) => values.append_null(),
            Self::Json(values) => values.append_null(),
            Self::Array { offsets, validity, .. } | Self::Map { offsets, validity, .. } => {
                offsets.push(*offsets.last().expect("offsets begin with 0"));
                validity.push(false);
            }
            Self::Struct { members, validity, .. } => {
                members.append_nulls();
                validity.push(false);
            }
        }
    }

    /// How many values there are.
    pub fn value_count(&self) -> usize {
        match self {
            Self::Scalar(values) => values.value_count(),
            Self::Json(values) => values.len(),
            Self::Array { validity, .. } | Self::Map { validity, .. } | Self::Struct { validity, .. } => validity.len(),
        }
    }

    /// Reads the next JSON value into the column. What isn't of the column's type is an error, or where `on_value` says so a
    /// NULL, and what is around it stays. After an error the column has one value more all the same, of no meaning: what is
    /// read together stays together.
    ///
    /// # Errors
    /// Malformed JSON, and a value of another kind than the column's. A string column takes any value: text as it is,
    /// all else as JSON text.
    pub fn append_json(&mut self, cursor: &mut Cursor<'_>, on_value: OnValue) -> Result<(), ValueError> {
        let (before, start) = (self.value_count(), cursor.clone());
        let Err(error) = self.try_append_json(cursor, on_value) else { return Ok(()) };
        if self.value_count() == before {
            self.close();
        }
        match error {
            ValueError::Value { .. } if on_value == OnValue::Null => {
                *cursor = start;
                cursor.raw_value()?;
                Ok(())
            }
            error => Err(error),
        }
    }

    fn try_append_json(&mut self, cursor: &mut Cursor<'_>, on_value: OnValue) -> Result<(), ValueError> {
        let kind = cursor.kind()?;
        if kind == Kind::Null {
            cursor.null()?;
            self.append_null();
            return Ok(());
        }
        match self {
            Self::Scalar(values) => append_scalar(values, kind, cursor),
            Self::Json(values) => {
                values.append_value(cursor.raw_value()?);
                Ok(())
            }
            Self::Array { item, offsets, validity, .. } => {
                expect_kind(kind, Kind::Array, "array", cursor)?;
                cursor.begin_array()?;
                let mut count = 0;
                while cursor.next_item(count == 0)? {
                    item.append_json(cursor, on_value).map_err(|error| error.within(&format!("[{}]", count + 1)))?;
                    count += 1;
                }
                push_offset(offsets, count, cursor)?;
                validity.push(true);
                Ok(())
            }
            Self::Map { key, value, offsets, validity, .. } => {
                expect_kind(kind, Kind::Object, "map", cursor)?;
                cursor.begin_object()?;
                let mut count = 0;
                while let Some(name) = cursor.next_key(count == 0)? {
                    match key.as_mut() {
                        Self::Scalar(keys) => keys.append_text(&name).map_err(|error| at(cursor, error))?,
                        _ => return Err(at(cursor, Error::unsupported("keys of a map must be scalars"))),
                    }
                    value.append_json(cursor, on_value).map_err(|error| error.within(&name))?;
                    count += 1;
                }
                push_offset(offsets, count, cursor)?;
                validity.push(true);
                Ok(())
            }
            Self::Struct { members, validity, .. } => {
                expect_kind(kind, Kind::Object, "struct", cursor)?;
                let appended = members.append_object(cursor, on_value);
                // The members have their values, be it that there was an error.
                validity.push(appended.is_ok());
                appended
            }
        }
    }

    /// Makes one value, a NULL, of what an error has left behind of one.
    fn close(&mut self) {
        match self {
            Self::Array { item, offsets, validity, .. } => {
                offsets.push(i32::try_from(item.value_count()).unwrap_or(i32::MAX));
                validity.push(false);
            }
            Self::Map { value, offsets, validity, .. } => {
                offsets.push(i32::try_from(value.value_count()).unwrap_or(i32::MAX));
                validity.push(false);
            }
            Self::Scalar(_) | Self::Json(_) | Self::Struct { .. } => self.append_null(),
        }
    }

    /// Appends the value that a text cell holds: scalars as text, nested columns and JSON as JSON. After an error the column
    /// has a NULL more.
    ///
    /// # Errors
    /// 22P02 and its kin.
    pub fn append_text(&mut self, text: &str) -> Result<(), Error> {
        if let Self::Scalar(values) = self {
            return values.append_text(text).inspect_err(|_| values.append_null());
        }
        // A value with something behind it is none; it is to be known before it is in the column.
        let mut check = Cursor::new(text);
        let checked = check.raw_value().and_then(|_| check.end());
        let result = match checked {
            Ok(()) => self.append_json(&mut Cursor::new(text), OnValue::Fail),
            Err(error) => {
                self.append_null();
                Err(ValueError::Syntax(error))
            }
        };
        result.map_err(|error| match error {
            ValueError::Value { error, .. } => *error,
            ValueError::Syntax(error) => {
                invalid_syntax(text, "json").with_hint(format!("The cell is not valid JSON: {}.", error.reason))
            }
        })
    }

    /// Whether `cell` has nothing, and isn't text.
    pub fn is_blank(&self, cell: &str) -> bool {
        !self.is_text() && cell.trim().is_empty()
    }

    /// Whether its values have parts.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array { .. } | Self::Map { .. } | Self::Struct { .. })
    }

    /// Whether an empty cell is an empty value and not a NULL.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Scalar(values) if values.is_text())
    }

    /// The collected column; the builder starts over.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Scalar(values) => values.finish(),
            Self::Json(values) => Arc::new(values.finish()),
            Self::Array { item, field, offsets, validity } => Arc::new(ListArray::new(
                Arc::clone(field),
                take_offsets(offsets),
                item.finish(),
                Some(NullBuffer::from(std::mem::take(validity))),
            )),
            Self::Map { key, value, entries, offsets, validity } => {
                let ArrowType::Struct(fields) = entries.data_type() else {
                    unreachable!("a map's entries are structs");
                };
                let structs = StructArray::new(fields.clone(), vec![key.finish(), value.finish()], None);
                Arc::new(MapArray::new(
                    Arc::clone(entries),
                    take_offsets(offsets),
                    structs,
                    Some(NullBuffer::from(std::mem::take(validity))),
                    false,
                ))
            }
            Self::Struct { members, fields, validity } => {
                let length = validity.len();
                let nulls = Some(NullBuffer::from(std::mem::take(validity)));
                if fields.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(length, nulls));
                }
                Arc::new(StructArray::new(fields.clone(), members.finish(), nulls))
            }
        }
    }
}

/// The columns of an object: a JSON record, or a struct inside one.
#[derive(Debug)]
pub struct Members {
    columns: Vec<ColumnBuilder>,
    /// The name in error paths.
    names: Vec<String>,
    exact: HashMap<String, usize>,
    lower: HashMap<String, usize>,
    /// In which object, counted from 1, a column last got a value.
    filled: Vec<u64>,
    objects: u64,
    case_sensitive: bool,
    dots_are_underscores: bool,
    /// Where the key at each position went last time: objects of one file mostly have their keys in one order.
    guesses: Vec<(String, Option<usize>)>,
}

impl Members {
    /// Columns with the keys each is looked for under, best first: exactly, and without regard to case when no key
    /// fits exactly. The last key is the one that errors use.
    pub fn new(columns: impl IntoIterator<Item = (Vec<String>, ColumnBuilder)>) -> Self {
        let mut members = Self {
            columns: Vec::new(),
            names: Vec::new(),
            exact: HashMap::new(),
            lower: HashMap::new(),
            filled: Vec::new(),
            objects: 0,
            case_sensitive: false,
            dots_are_underscores: false,
            guesses: Vec::new(),
        };
        let columns: Vec<_> = columns.into_iter().collect();
        // A column's own source name goes before another's case-insensitive match, so all exact keys come first.
        for (index, (keys, _)) in columns.iter().enumerate() {
            for key in keys.iter().take(1) {
                members.exact.insert(key.clone(), index);
            }
        }
        for (index, (keys, column)) in columns.into_iter().enumerate() {
            for key in &keys {
                members.exact.entry(key.clone()).or_insert(index);
                members.lower.entry(key.to_lowercase()).or_insert(index);
            }
            members.names.push(keys.last().cloned().unwrap_or_default());
            members.columns.push(column);
            members.filled.push(0);
        }
        members
    }

    /// The same, with other rules for keys than that their case doesn't matter where no key fits exactly.
    #[must_use]
    pub fn with_rules(mut self, rules: &KeyRules) -> Self {
        self.case_sensitive = rules.case_sensitive;
        self.dots_are_underscores = rules.dots_are_underscores;
        self
    }

    /// Reads the next value, an object, into the columns. A column without a key gets a NULL; of two keys that fit one
    /// column the first is taken. After an error each column has one value more all the same.
    ///
    /// # Errors
    /// As [`ColumnBuilder::append_json`].
    pub fn append_object(&mut self, cursor: &mut Cursor<'_>, on_value: OnValue) -> Result<(), ValueError> {
        self.objects += 1;
        let appended = self.append_members(cursor, on_value);
        for (column, filled) in self.columns.iter_mut().zip(&mut self.filled) {
            if *filled != self.objects {
                column.append_null();
            }
        }
        appended
    }

    fn append_members(&mut self, cursor: &mut Cursor<'_>, on_value: OnValue) -> Result<(), ValueError> {
        cursor.begin_object()?;
        let mut position = 0;
        while let Some(key) = cursor.next_key(position == 0)? {
            let target = self.target(position, &key);
            match target {
                Some(index) if self.filled[index] != self.objects => {
                    self.filled[index] = self.objects;
                    let appended = self.columns[index].append_json(cursor, on_value);
                    appended.map_err(|error| error.within(&self.names[index]))?;
                }
                _ => {
                    cursor.raw_value()?;
                }
            }
            position += 1;
        }
        Ok(())
    }

    /// The columns, in order.
    pub fn columns_mut(&mut self) -> &mut [ColumnBuilder] {
        &mut self.columns
    }

    fn target(&mut self, position: usize, key: &str) -> Option<usize> {
        if let Some((guess, target)) = self.guesses.get(position)
            && guess == key
        {
            return *target;
        }
        let mut target = self.look_up(key);
        if target.is_none() && self.dots_are_underscores && key.contains('.') {
            target = self.look_up(&key.replace('.', "_"));
        }
        // Bounded: an object with more keys than a table may have columns is looked up key by key.
        if position < crate::limits::INFERRED_COLUMNS_MAX {
            let guess = (key.to_owned(), target);
            let known = self.guesses.len();
            if position < known {
                self.guesses[position] = guess;
            } else if position == known {
                self.guesses.push(guess);
            }
        }
        target
    }

    fn look_up(&self, key: &str) -> Option<usize> {
        let exact = self.exact.get(key).copied();
        exact.or_else(|| if self.case_sensitive { None } else { self.lower.get(&key.to_lowercase()).copied() })
    }

    /// Appends a NULL to each.
    pub fn append_nulls(&mut self) {
        for column in &mut self.columns {
            column.append_null();
        }
    }

    /// The collected columns; the builders start over.
    pub fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }
}

fn append_scalar(values: &mut ScalarBuilder, kind: Kind, cursor: &mut Cursor<'_>) -> Result<(), ValueError> {
    match kind {
        Kind::String => {
            let text = cursor.string()?;
            // What stands for "nothing" in a form field is nothing in a number.
            if text.is_empty() && !values.is_text() {
                values.append_null();
                return Ok(());
            }
            values.append_text(&text).map_err(|error| at(cursor, error))
        }
        Kind::Number => {
            let text = cursor.number()?;
            values.append_text(text).or_else(|error| {
                // 66.0 and 1e3 are integers to JSON.
                match text.parse::<f64>() {
                    Ok(number) if number.fract() == 0.0 && number.abs() < 9e15 && text.contains(['.', 'e', 'E']) => {
                        values.append_text(&format!("{number:.0}")).map_err(|_| at(cursor, error))
                    }
                    _ => Err(at(cursor, error)),
                }
            })
        }
        Kind::Boolean => {
            let text = if cursor.boolean()? { "true" } else { "false" };
            values.append_text(text).map_err(|error| at(cursor, error))
        }
        Kind::Object | Kind::Array | Kind::Null => {
            let text = cursor.raw_value()?;
            match values {
                ScalarBuilder::String(values) => {
                    values.append_value(text);
                    Ok(())
                }
                _ => Err(at(
                    cursor,
                    Error::new(
                        ErrorCode::InvalidTextRepresentation,
                        format!(
                            "a JSON {} can't be read as a scalar value",
                            if kind == Kind::Array { "array" } else { "object" }
                        ),
                    ),
                )),
            }
        }
    }
}

fn expect_kind(kind: Kind, wanted: Kind, type_name: &str, cursor: &mut Cursor<'_>) -> Result<(), ValueError> {
    if kind == wanted {
        return Ok(());
    }
    let text = cursor.raw_value()?;
    Err(at(cursor, invalid_syntax(text, type_name)))
}

fn at(cursor: &Cursor<'_>, error: Error) -> ValueError {
    ValueError::Value { error: Box::new(error), path: Vec::new(), offset: cursor.offset() }
}

fn push_offset(offsets: &mut Vec<i32>, count: i32, cursor: &Cursor<'_>) -> Result<(), ValueError> {
    let last = *offsets.last().expect("offsets begin with 0");
    let next = last
        .checked_add(count)
        .ok_or_else(|| at(cursor, Error::new(ErrorCode::ProgramLimitExceeded, "too many array items in one batch")))?;
    offsets.push(next);
    Ok(())
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into())
}
