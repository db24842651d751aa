//! Objects in the store, by kind: crawlers and classifiers now, whatever else has a name and a definition later.

use std::sync::Arc;

use super::connection::{Connection, Value};
use super::damaged;
use super::write::Transaction;
use crate::Result;
use crate::object::{Definition, Object, Objects};

/// All objects of one kind.
pub(crate) fn load<D: Definition>(connection: &mut dyn Connection) -> Result<Objects<D>> {
    let store = connection.name().to_owned();
    let mut objects = Objects::new();
    connection.query(
        "SELECT id, name, version, created_at_ms, updated_at_ms, definition FROM objects WHERE kind = ?1",
        &[Value::Text(D::KIND)],
        &mut |row| {
            let name = row[1].text()?.to_owned();
            let definition = D::decode(row[5].text()?)
                .map_err(|error| damaged(&store, &format!("{} \"{name}\": {error}", D::KIND)))?;
            let object = Object {
                id: row[0].int()?,
                name: name.clone(),
                version: row[2].int()?,
                created_at_ms: row[3].int()?,
                updated_at_ms: row[4].int()?,
                definition,
            };
            objects.insert(name, Arc::new(object));
            Ok(())
        },
    )?;
    Ok(objects)
}

impl Transaction<'_> {
    pub(crate) fn put_object<D: Definition>(&mut self, object: &Object<D>) -> Result<()> {
        let definition = object.definition.encode()?;
        self.connection().execute(
            "INSERT INTO objects (id, kind, name, version, created_at_ms, updated_at_ms, definition) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, \
             updated_at_ms = excluded.updated_at_ms, definition = excluded.definition",
            &[
                Value::Int(object.id),
                Value::Text(D::KIND),
                Value::Text(&object.name),
                Value::Int(object.version),
                Value::Int(object.created_at_ms),
                Value::Int(object.updated_at_ms),
                Value::Text(&definition),
            ],
        )?;
        Ok(())
    }

    pub(crate) fn delete_object(&mut self, id: i64) -> Result<()> {
        self.connection().execute("DELETE FROM objects WHERE id = ?1", &[Value::Int(id)])?;
        Ok(())
    }
}
