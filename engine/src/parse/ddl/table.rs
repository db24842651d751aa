//! CREATE EXTERNAL TABLE, and what its clauses say to other statements that make tables.

use std::collections::BTreeMap;
use std::str::FromStr;

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::{Column, CreateMode, DataType};

use super::storage::{RowFormat, Stored};
use crate::parse::cursor::Cursor;
use crate::parse::{CreateTable, ObjectName, Statement};
use crate::{Error, ErrorCode, Result};

/// After CREATE [OR REPLACE] EXTERNAL TABLE. The clauses come in any order, each once.
pub(super) fn create_external(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let mode = super::create_mode(cursor, or_replace)?;
    let name = cursor.object_name()?;
    let mut columns = Vec::new();
    if cursor.peek().is_some_and(|lexeme| lexeme.token.token == Token::LParen) {
        columns = typed_columns(cursor)?;
    }
    let mut clauses = Clauses::default();
    while clauses.take(cursor)? {}
    cursor.expect_end()?;
    Ok(Statement::CreateTable(assemble(name, mode, columns, clauses)?))
}

/// What columns and clauses say together.
pub(super) fn assemble(
    name: ObjectName,
    mode: CreateMode,
    mut columns: Vec<Column>,
    clauses: Clauses,
) -> Result<CreateTable> {
    let mut partition_keys = Vec::new();
    for Declared { mut column, typed } in clauses.partition_keys.unwrap_or_default() {
        // `PARTITIONED BY (year)`: the type is in the list of columns, or it is text.
        if !typed && let Some(index) = columns.iter().position(|other: &Column| other.name == column.name) {
            column = columns.remove(index);
        }
        partition_keys.push(column);
    }
    let mut seen = std::collections::BTreeSet::new();
    for column in columns.iter().chain(&partition_keys) {
        if !seen.insert(column.name.clone()) {
            let message = format!("column \"{}\" specified more than once", column.name);
            let hint = "A partition key is not listed among the columns.";
            let is_key = partition_keys.iter().any(|key| key.name == column.name);
            let error = Error::new(ErrorCode::DuplicateColumn, message);
            return Err(if is_key { error.with_hint(hint) } else { error });
        }
    }
    let mut storage = super::storage::resolve(clauses.row_format, clauses.stored)?;
    for column in &mut columns {
        // OpenX's SerDe reads a column from a key of another name: 'mapping.ts' = '@timestamp'.
        if let Some(key) = storage.properties.remove(&format!("mapping.{}", column.name)) {
            column.source_name = Some(key);
        }
    }
    let mut parameters = clauses.parameters.unwrap_or_default();
    if clauses.header_row {
        parameters.entry("skip.header.line.count".to_owned()).or_insert_with(|| "1".to_owned());
    }
    Ok(CreateTable {
        name,
        mode,
        columns,
        partition_keys,
        comment: clauses.comment,
        location: clauses.location,
        format: storage.format,
        serde: storage.serde,
        serde_properties: storage.properties,
        parameters,
    })
}

/// The clauses after the list of columns.
#[derive(Default)]
pub(super) struct Clauses {
    comment: Option<String>,
    partition_keys: Option<Vec<Declared>>,
    row_format: Option<RowFormat>,
    stored: Option<Stored>,
    location: Option<String>,
    parameters: Option<BTreeMap<String, String>>,
    header_row: bool,
    clustered: bool,
}

impl Clauses {
    /// Whether they say how files are written.
    pub(super) fn is_stored(&self) -> bool {
        self.row_format.is_some() || self.stored.is_some()
    }

    /// Whether a partition key has a type.
    pub(super) fn keys_are_typed(&self) -> bool {
        self.partition_keys.iter().flatten().any(|key| key.typed)
    }

    /// Reads the escapes in the characters that delimit.
    pub(super) fn unescape(&mut self, unescape: impl Fn(&str) -> String) {
        for text in self.row_format.iter_mut().flat_map(|row_format| row_format.properties.values_mut()) {
            *text = unescape(text);
        }
    }

    /// Takes one clause; false when none comes next.
    pub(super) fn take(&mut self, cursor: &mut Cursor<'_>) -> Result<bool> {
        let place = cursor.clone();
        let is_again = if cursor.take_words("COMMENT") {
            self.comment.replace(cursor.string()?).is_some()
        } else if cursor.take_words("PARTITIONED BY") {
            self.partition_keys.replace(cursor.parenthesized(column)?).is_some()
        } else if cursor.take_words("CLUSTERED BY") {
            // Buckets speed up nothing that zone maps and statistics don't; the clause is read and let go.
            cursor.parenthesized(Cursor::identifier)?;
            if cursor.take_words("SORTED BY") {
                cursor.parenthesized(|cursor| {
                    cursor.identifier()?;
                    cursor.take_one_of(&["ASC", "DESC"]);
                    Ok(())
                })?;
            }
            cursor.expect_words("INTO")?;
            number(cursor)?;
            cursor.expect_words("BUCKETS")?;
            std::mem::replace(&mut self.clustered, true)
        } else if cursor.take_words("ROW FORMAT") {
            self.row_format.replace(RowFormat::parse(cursor)?).is_some()
        } else if cursor.take_words("STORED AS") {
            self.stored.replace(Stored::parse(cursor)?).is_some()
        } else if cursor.take_words("WITH SERDEPROPERTIES") {
            // Hive wants these right after ROW FORMAT SERDE; people write them after STORED AS, too.
            let properties = super::properties(cursor)?;
            match &mut self.row_format {
                Some(row_format) => row_format.properties.extend(properties),
                None => self.row_format = Some(RowFormat { serde: None, delimited: false, properties }),
            }
            false
        } else if cursor.take_words("WITH HEADER ROW") {
            std::mem::replace(&mut self.header_row, true)
        } else if cursor.take_words("LOCATION") {
            self.location.replace(cursor.string()?).is_some()
        } else if cursor.take_words("TBLPROPERTIES") {
            self.parameters.replace(super::properties(cursor)?).is_some()
        } else {
            return Ok(false);
        };
        if is_again { Err(place.unexpected()) } else { Ok(true) }
    }
}

/// A whole number.
pub(super) fn number(cursor: &mut Cursor<'_>) -> Result<i64> {
    if let Some(Token::Number(text, _)) = cursor.peek().map(|lexeme| &lexeme.token.token)
        && let Ok(number) = text.parse()
    {
        cursor.advance();
        return Ok(number);
    }
    Err(cursor.unexpected())
}

/// `(name type [COMMENT '..'], ...)`
pub(super) fn typed_columns(cursor: &mut Cursor<'_>) -> Result<Vec<Column>> {
    cursor.parenthesized(typed_column)
}

/// `name type [COMMENT '..']`
pub(super) fn typed_column(cursor: &mut Cursor<'_>) -> Result<Column> {
    let Declared { column, typed } = column(cursor)?;
    if typed { Ok(column) } else { Err(Error::syntax(format!("column \"{}\" has no type", column.name))) }
}

/// A column, or a partition key, which may have no type.
struct Declared {
    column: Column,
    typed: bool,
}

/// `name [type] [COMMENT '..']`
fn column(cursor: &mut Cursor<'_>) -> Result<Declared> {
    let name = cursor.identifier()?;
    let ends = |cursor: &Cursor<'_>| {
        cursor.peek().is_none_or(|lexeme| matches!(lexeme.token.token, Token::Comma | Token::RParen))
    };
    let typed = !ends(cursor) && !is_comment(cursor);
    let data_type = if typed { data_type(cursor)? } else { DataType::String };
    let mut column = Column::new(name, data_type);
    if is_comment(cursor) {
        cursor.advance();
        column.comment = Some(cursor.string()?);
    }
    Ok(Declared { column, typed })
}

fn is_comment(cursor: &Cursor<'_>) -> bool {
    cursor.peek_words("COMMENT") && {
        let mut after = cursor.clone();
        after.advance();
        after.peek_string().is_some()
    }
}

/// A type, by its own text, up to what can't belong to it.
pub(crate) fn data_type(cursor: &mut Cursor<'_>) -> Result<DataType> {
    let Some(first) = cursor.peek() else { return Err(cursor.unexpected()) };
    let mut end = first.start;
    // `>>` closes two angle brackets; brackets of all kinds hold commas and colons.
    let mut depth = 0_i64;
    while let Some(lexeme) = cursor.peek() {
        match &lexeme.token.token {
            Token::Lt | Token::LParen | Token::LBracket => depth += 1,
            Token::Gt | Token::RBracket => depth -= 1,
            Token::ShiftRight => depth -= 2,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 0 => break,
            Token::Word(_) if depth == 0 && end > first.start && ends_type(cursor) => break,
            Token::Word(_) | Token::Number(..) | Token::Comma | Token::Colon => {}
            Token::CustomBinaryOperator(operator) if operator.chars().all(|character| character == '>') => {
                depth -= i64::try_from(operator.len()).unwrap_or(i64::MAX);
            }
            _ => return Err(cursor.unexpected()),
        }
        if depth < 0 {
            return Err(cursor.unexpected());
        }
        end = lexeme.end;
        cursor.advance();
    }
    if depth > 0 || end == first.start {
        return Err(cursor.unexpected());
    }
    let text = &cursor.sql[first.start..end];
    DataType::from_str(text).map_err(|error| {
        let mut new = Error::new(ErrorCode::UndefinedObject, error.to_string()).at(first.position);
        new.hint = error.hint().map(str::to_owned);
        new
    })
}

/// Whether the next word begins what comes after a type.
fn ends_type(cursor: &Cursor<'_>) -> bool {
    // `CHANGE a b int AFTER c`, `ADD COLUMN a int CASCADE`.
    const COLUMN_WORDS: [&str; 14] = [
        "NOT",
        "NULL",
        "DEFAULT",
        "PRIMARY",
        "UNIQUE",
        "REFERENCES",
        "CHECK",
        "CONSTRAINT",
        "COLLATE",
        "AS",
        "FIRST",
        "AFTER",
        "CASCADE",
        "RESTRICT",
    ];
    // A forgotten `)`: the error is at the clause, and not in the type.
    const TABLE_WORDS: [&str; 6] = ["PARTITIONED", "CLUSTERED", "ROW", "STORED", "LOCATION", "TBLPROPERTIES"];
    is_comment(cursor) || COLUMN_WORDS.iter().chain(&TABLE_WORDS).any(|word| cursor.peek_words(word))
}
