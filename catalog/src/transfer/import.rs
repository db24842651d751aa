//! [`Catalog::import`].

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{BufRead, Read};
use std::sync::Arc;

use super::{
    Counts, DatabaseLine, FORMAT, FormatLine, GrantsLine, HeaderLine, Line, ObjectLine, OnProgress, PartitionLine,
    TableLine, VersionLine,
};
use crate::draft;
use crate::name::{DEFAULT_DATABASE, validate_database_name, validate_table_name};
use crate::object::Definition as _;
use crate::store::write::Transaction;
use crate::{
    Catalog, ClassifierDefinition, CrawlerDefinition, Database, Error, Partition, ReportDefinition, Result,
    RoleDefinition, Snapshot, Table, TableName, record, role_record,
};

/// The longest line that is read: a table of twenty thousand columns, each with a comment, is a few megabytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// How many partitions go to the store at a time.
const PARTITION_BATCH: usize = 4096;

impl Catalog {
    /// Reads what [`Catalog::export`] wrote into an empty catalog, all of it or nothing. With `replace` the catalog needn't
    /// be empty, and what was there is gone; statements that run keep what they began with.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the number of the line that is wrong, or if there is something in the catalog;
    /// [`Error::Transfer`] if `input` can't be read.
    pub fn import(&self, input: &mut dyn BufRead, replace: bool, on_progress: &mut OnProgress<'_>) -> Result<Counts> {
        let mut lines = Lines { input, number: 0, line: Vec::new() };
        // Refused before anything is locked.
        let header = header(&mut lines)?;
        self.write_whole(|base, transaction| {
            if replace {
                transaction.delete_everything()?;
            } else {
                refuse_unless_empty(base, transaction)?;
            }
            let mut import = Import {
                transaction,
                on_progress,
                counts: Counts::default(),
                next_id: header.next_id,
                ids: HashSet::new(),
                databases: BTreeMap::new(),
                names: BTreeSet::new(),
                table: None,
                batch: Vec::new(),
            };
            loop {
                let Some(line) = lines.next()? else {
                    return Err(lines.wrong("the file is cut off: its last line is missing"));
                };
                match import.line(line) {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => return Err(lines.at(error)),
                }
            }
            if lines.next()?.is_some() {
                return Err(lines.wrong("there is more after the end"));
            }
            (import.on_progress)(&import.counts);
            Ok((import.counts, header.next_id))
        })
    }
}

fn header(lines: &mut Lines<'_>) -> Result<HeaderLine> {
    const NOT_ONE: &str = "this is not an export of a Limnos catalog";
    let Some(line) = lines.next()? else { return Err(lines.wrong(NOT_ONE)) };
    let format = serde_json::from_slice::<FormatLine>(line).map(|line| line.limnos_catalog);
    let header = serde_json::from_slice::<HeaderLine>(line);
    match (format, header) {
        (Err(_), _) => Err(lines.wrong(NOT_ONE)),
        (Ok(FORMAT), Ok(header)) => Ok(header),
        (Ok(FORMAT), Err(error)) => Err(lines.wrong(&error.to_string())),
        (Ok(other), _) => {
            Err(lines.wrong(&format!("the file has format {other}, this version of Limnos reads {FORMAT}")))
        }
    }
}

fn refuse_unless_empty(base: &Snapshot, transaction: &mut Transaction<'_>) -> Result<()> {
    let object_count = transaction.count_objects()?;
    if base.tables.is_empty() && base.databases.len() == 1 && object_count == 0 {
        return Ok(());
    }
    Err(Error::Invalid {
        message: format!(
            "the catalog is not empty (databases beside \"{DEFAULT_DATABASE}\": {}, tables and views: {}, other objects: \
             {object_count})",
            base.databases.len().saturating_sub(1),
            base.tables.len()
        ),
        hint: Some("Use --replace to put the file's catalog in its place.".to_owned()),
    })
}

/// The lines of the file, counted.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        let read = (&mut *self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        read.map_err(|source| Error::Transfer { message: "the import could not be read".to_owned(), source })?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if self.line.len() as u64 == LINE_BYTES_MAX {
            return Err(self.wrong("the line is too long"));
        }
        Ok(Some(&self.line))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Invalid { message: format!("line {}: {what}", self.number.max(1)), hint: None }
    }

    /// The error with the line's number, unless the store is to blame.
    fn at(&self, error: Error) -> Error {
        match error {
            Error::Unreachable { .. } | Error::Store { .. } | Error::Unusable { .. } => error,
            other => {
                let hint = other.hint().map(str::to_owned);
                Error::Invalid { message: format!("line {}: {other}", self.number), hint }
            }
        }
    }
}

/// A table whose partitions are being read.
struct OpenTable {
    database_id: i64,
    table: Table,
}

struct Import<'a, 't, 'p> {
    transaction: &'a mut Transaction<'t>,
    on_progress: &'a mut OnProgress<'p>,
    counts: Counts,
    next_id: i64,
    ids: HashSet<i64>,
    databases: BTreeMap<String, i64>,
    names: BTreeSet<TableName>,
    table: Option<OpenTable>,
    /// Of that table.
    batch: Vec<Partition>,
}

impl Import<'_, '_, '_> {
    /// Takes one line in; `true` if it is the last.
    fn line(&mut self, line: &[u8]) -> Result<bool> {
        match serde_json::from_slice(line).map_err(|error| invalid(error.to_string()))? {
            Line::Database(line) => self.database(line)?,
            Line::Table(line) => self.begin_table(line)?,
            Line::Version(line) => self.version(&line)?,
            Line::Partition(line) => self.partition(line)?,
            Line::Object(line) => self.object(&line)?,
            Line::Grants(line) => self.grants(&line)?,
            Line::End(wanted) => {
                self.end_table()?;
                if wanted != self.counts {
                    return Err(invalid(format!("lines are missing: of {wanted} there are {}", self.counts)));
                }
                if !self.databases.contains_key(DEFAULT_DATABASE) {
                    return Err(invalid(format!("database \"{DEFAULT_DATABASE}\" is missing")));
                }
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn database(&mut self, line: DatabaseLine) -> Result<()> {
        self.end_table()?;
        validate_database_name(&line.name)?;
        self.take_id(line.id)?;
        let is_default = line.name == DEFAULT_DATABASE;
        if is_default != (line.id == 1) || line.name != line.name.to_lowercase() {
            return Err(invalid(format!("database \"{}\" cannot have the id {} or be written so", line.name, line.id)));
        }
        let DatabaseLine { id, name, comment, location, parameters } = line;
        if self.databases.insert(name.clone(), id).is_some() {
            return Err(Error::AlreadyExists { kind: "database", name });
        }
        self.counts.databases += 1;
        self.transaction.put_database(&Database { id, name, comment, location, parameters })
    }

    fn begin_table(&mut self, line: TableLine) -> Result<()> {
        self.end_table()?;
        let name = TableName::new(&line.database, &line.name);
        validate_table_name(&name.name)?;
        self.take_id(line.id)?;
        let Some(&database_id) = self.databases.get(&name.database) else {
            return Err(Error::NotFound { kind: "database", name: name.database, hint: None });
        };
        if name.database != line.database || name.name != line.name {
            return Err(invalid(format!("table name \"{}.{}\" is not in lower case", line.database, line.name)));
        }
        if line.version < 1 {
            return Err(invalid(format!("version {} of table \"{name}\" is not valid", line.version)));
        }
        let definition = draft::checked(record::decode(line.definition.get())?)?;
        if !self.names.insert(name.clone()) {
            return Err(Error::AlreadyExists { kind: definition.kind.noun(), name: name.to_string() });
        }
        let table = Table {
            id: line.id,
            name,
            version: line.version,
            partitions_version: self.transaction.version(),
            partition_count: 0,
            data_version: 0,
            created_at_ms: line.created_at_ms,
            updated_at_ms: line.updated_at_ms,
            definition: Arc::new(definition),
        };
        self.table = Some(OpenTable { database_id, table });
        Ok(())
    }

    fn version(&mut self, line: &VersionLine) -> Result<()> {
        let table = self.open_table()?;
        if line.version < 1 || line.version > table.version {
            return Err(invalid(format!("version {} of table \"{}\" is not valid", line.version, table.name)));
        }
        let (id, definition) = (table.id, record::decode(line.definition.get())?);
        self.transaction.put_table_version(id, line.version, line.changed_at_ms, &definition)
    }

    fn partition(&mut self, line: PartitionLine) -> Result<()> {
        let storage = line.storage.map(|storage| record::decode_partition_storage(storage.get())).transpose()?;
        let table = self.open_table()?;
        let mut partition = Partition { values: line.values, location: line.location, storage };
        if table.partition_keys.is_empty() {
            return Err(invalid(format!("table \"{}\" is not partitioned", table.name)));
        }
        draft::check_values(table, &partition.values)?;
        draft::normalise(&mut partition.values);
        self.batch.push(partition);
        if self.batch.len() == PARTITION_BATCH { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> Result<()> {
        let Some(OpenTable { table, .. }) = &mut self.table else { return Ok(()) };
        let batch = std::mem::take(&mut self.batch);
        let added = self.transaction.add_partitions(table.id, &batch, |partition| {
            Err(Error::AlreadyExists { kind: "partition", name: draft::partition_name(table, &partition.values) })
        })?;
        table.partition_count += added;
        self.counts.partitions += added;
        (self.on_progress)(&self.counts);
        Ok(())
    }

    /// Writes the table whose partitions are all there.
    fn end_table(&mut self) -> Result<()> {
        self.write_batch()?;
        let Some(OpenTable { database_id, table }) = self.table.take() else { return Ok(()) };
        self.counts.tables += 1;
        self.transaction.put_table(database_id, &table)
    }

    fn object(&mut self, line: &ObjectLine) -> Result<()> {
        self.end_table()?;
        // Their ids are their own; the store refuses one that is there twice.
        if line.id < 1 {
            return Err(invalid(format!("id {} is not valid", line.id)));
        }
        self.counts.objects += 1;
        let ObjectLine { id, kind, name, version, created_at_ms, updated_at_ms, definition } = line;
        match kind.as_str() {
            CrawlerDefinition::KIND => CrawlerDefinition::decode(definition.get()).and_then(|read| read.validate())?,
            ClassifierDefinition::KIND => {
                ClassifierDefinition::decode(definition.get()).and_then(|read| read.validate())?
            }
            ReportDefinition::KIND => ReportDefinition::decode(definition.get()).and_then(|read| read.validate())?,
            RoleDefinition::KIND => RoleDefinition::decode(definition.get()).and_then(|read| read.validate())?,
            other => return Err(invalid(format!("this version of Limnos knows no \"{other}\""))),
        }
        self.transaction.put_object_text(*id, kind, name, *version, (*created_at_ms, *updated_at_ms), definition.get())
    }

    fn grants(&mut self, line: &GrantsLine) -> Result<()> {
        self.end_table()?;
        if line.object != crate::role::LAKE_ID && !self.ids.contains(&line.object) {
            return Err(invalid(format!("there is no database or table with the id {}", line.object)));
        }
        let acl = role_record::decode_acl(line.record.get())?;
        self.transaction.put_acl(line.object, &acl)
    }

    fn open_table(&self) -> Result<&Table> {
        let table = self.table.as_ref().map(|open| &open.table);
        table.ok_or_else(|| invalid("there is no table above that it could belong to".to_owned()))
    }

    fn take_id(&mut self, id: i64) -> Result<()> {
        if id < 1 || id >= self.next_id || !self.ids.insert(id) {
            return Err(invalid(format!("id {id} is taken or not valid")));
        }
        Ok(())
    }
}

fn invalid(message: String) -> Error {
    Error::Invalid { message, hint: None }
}
