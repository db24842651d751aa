//! [`Catalog::export`].

use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Counts, DatabaseLine, FORMAT, GrantsLine, HeaderLine, Line, ObjectLine, OnProgress, PROGRESS_STEP, PartitionLine,
    TableLine, VersionLine,
};
use crate::store::connection::Connection;
use crate::store::read;
use crate::{Catalog, Error, Result, Table, record, role_record};

impl Catalog {
    /// Writes everything in the catalog, as it is at one moment, as lines of JSON; see [`crate::transfer`]. No more than one
    /// partition is held in memory at a time.
    ///
    /// # Errors
    /// [`Error::Transfer`] if `output` takes no more; [`Error::Store`] and the like if the catalog can't be read.
    pub fn export(&self, output: &mut dyn Write, on_progress: &mut OnProgress<'_>) -> Result<Counts> {
        self.read(|connection| {
            connection.begin_reading()?;
            let exported = Export { output, on_progress, counts: Counts::default() }.run(connection);
            connection.rollback();
            exported
        })
    }
}

struct Export<'a, 'p> {
    output: &'a mut dyn Write,
    on_progress: &'a mut OnProgress<'p>,
    counts: Counts,
}

impl Export<'_, '_> {
    fn run(mut self, connection: &mut dyn Connection) -> Result<Counts> {
        let snapshot = read::load(connection, None)?;
        let (_, next_id) = read::load_version(connection)?;
        self.write(&HeaderLine { limnos_catalog: FORMAT, next_id })?;
        for database in snapshot.databases.values() {
            self.write(&Line::Database(DatabaseLine {
                id: database.id,
                name: database.name.clone(),
                comment: database.comment.clone(),
                location: database.location.clone(),
                parameters: database.parameters.clone(),
            }))?;
            self.counts.databases += 1;
        }
        for table in snapshot.tables.values() {
            self.table(connection, table)?;
        }
        self.objects(connection)?;
        for (&object, acl) in &snapshot.acls {
            self.write(&Line::Grants(GrantsLine { object, record: raw(role_record::encode_acl(acl)?)? }))?;
        }
        self.write(&Line::End(self.counts))?;
        self.output.flush().map_err(write_failed)?;
        (self.on_progress)(&self.counts);
        Ok(self.counts)
    }

    fn table(&mut self, connection: &mut dyn Connection, table: &Table) -> Result<()> {
        self.write(&Line::Table(TableLine {
            id: table.id,
            database: table.name.database.clone(),
            name: table.name.name.clone(),
            version: table.version,
            created_at_ms: table.created_at_ms,
            updated_at_ms: table.updated_at_ms,
            definition: raw(record::encode(&table.definition)?)?,
        }))?;
        for version in read::load_table_versions(connection, table.id)? {
            self.write(&Line::Version(VersionLine {
                version: version.version,
                changed_at_ms: version.changed_at_ms,
                definition: raw(record::encode(&version.definition)?)?,
            }))?;
        }
        self.counts.tables += 1;
        if table.partition_count == 0 {
            return Ok(());
        }
        read::each_partition(connection, table, &mut |partition| {
            let storage = partition.storage.as_ref().map(record::encode_partition_storage).transpose()?;
            self.write(&Line::Partition(PartitionLine {
                values: partition.values,
                location: partition.location,
                storage: storage.map(raw).transpose()?,
            }))?;
            self.counts.partitions += 1;
            if self.counts.partitions.is_multiple_of(PROGRESS_STEP) {
                (self.on_progress)(&self.counts);
            }
            Ok(())
        })
    }

    fn objects(&mut self, connection: &mut dyn Connection) -> Result<()> {
        connection.query(
            "SELECT id, kind, name, version, created_at_ms, updated_at_ms, definition FROM objects ORDER BY kind, name",
            &[],
            &mut |row| {
                self.write(&Line::Object(ObjectLine {
                    id: row[0].int()?,
                    kind: row[1].text()?.to_owned(),
                    name: row[2].text()?.to_owned(),
                    version: row[3].int()?,
                    created_at_ms: row[4].int()?,
                    updated_at_ms: row[5].int()?,
                    definition: raw(row[6].text()?.to_owned())?,
                }))?;
                self.counts.objects += 1;
                Ok(())
            },
        )
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *self.output, line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.output.write_all(b"\n"))
            .map_err(write_failed)
    }
}

/// A record as it is, but on one line.
fn raw(text: String) -> Result<Box<RawValue>> {
    let one_line = if text.contains('\n') {
        serde_json::from_str::<serde_json::Value>(&text).map(|value| value.to_string())
    } else {
        Ok(text)
    };
    one_line.and_then(RawValue::from_string).map_err(|error| Error::Store {
        message: format!("a definition in the catalog is not JSON: {error}"),
        source: Some(Box::new(error)),
    })
}

fn write_failed(source: std::io::Error) -> Error {
    Error::Transfer { message: "the export could not be written".to_owned(), source }
}
