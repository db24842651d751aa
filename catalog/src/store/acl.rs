//! Rights in the store: a record for each object that has any.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connection::{Connection, Value};
use super::damaged;
use super::write::Transaction;
use crate::{Acl, Result, Snapshot, role_record};

/// The rights on all objects. What `base` has unchanged is taken from it.
pub(crate) fn load(connection: &mut dyn Connection, base: Option<&Snapshot>) -> Result<BTreeMap<i64, Arc<Acl>>> {
    let store = connection.name().to_owned();
    let known_version = base.map_or(-1, |base| base.version);
    let mut acls = BTreeMap::new();
    connection.query(
        "SELECT object_id, CASE WHEN catalog_version > ?1 THEN record END FROM grants",
        &[Value::Int(known_version)],
        &mut |row| {
            let id = row[0].int()?;
            let broken = |reason: &str| damaged(&store, &format!("rights on object {id}: {reason}"));
            let acl = match (row[1].optional_text()?, base.and_then(|base| base.acls.get(&id))) {
                (Some(text), _) => Arc::new(role_record::decode_acl(text).map_err(|error| broken(&error.to_string()))?),
                (None, Some(acl)) => Arc::clone(acl),
                (None, None) => return Err(broken("no record")),
            };
            acls.insert(id, acl);
            Ok(())
        },
    )?;
    Ok(acls)
}

impl Transaction<'_> {
    pub(crate) fn put_acl(&mut self, id: i64, acl: &Acl) -> Result<()> {
        let record = role_record::encode_acl(acl)?;
        let version = self.version();
        self.connection().execute(
            "INSERT INTO grants (object_id, catalog_version, record) VALUES (?1, ?2, ?3) \
             ON CONFLICT (object_id) DO UPDATE SET catalog_version = excluded.catalog_version, record = excluded.record",
            &[Value::Int(id), Value::Int(version), Value::Text(&record)],
        )?;
        Ok(())
    }

    pub(crate) fn delete_acl(&mut self, id: i64) -> Result<()> {
        self.connection().execute("DELETE FROM grants WHERE object_id = ?1", &[Value::Int(id)])?;
        Ok(())
    }
}
