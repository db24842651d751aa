//! The catalog in a PostgreSQL database, where several servers share it.
//!
//! ```text
//! schema "limnos"
//!   meta, databases, tables, ...   as in every store                                   (store::schema)
//!   store                          one row: that it is ours, and the version of the tables
//!   servers                        one row for each server that has it open            (servers)
//! ```
//! Three connections a server: one that changes, one that reads partitions beside it, one that listens for what others
//! have committed and reads that ([`crate::catalog`]). They are direct ones, or through a pooler that keeps sessions:
//! `LISTEN` and prepared statements don't outlive a transaction otherwise.
//!
//! In reading order: [`url`] (where), [`tls`], [`driver`] (a connection's thread), [`failure`], [`connection`] (the caller's end),
//! [`sql`] and [`value`] (what is translated), [`servers`] (who else is there).

mod connection;
mod driver;
mod failure;
mod passfile;
pub(crate) mod servers;
mod sql;
mod tls;
pub mod url;
mod value;

use std::sync::mpsc::channel;

use super::connection::{Connection, Value};
use super::schema::{self, SCHEMA_VERSION};
use super::{OpenStore, Shared, unusable};
use crate::{Error, Result};
use connection::PostgresConnection;
use url::PostgresUrl;

/// Where commits are told: one channel for all catalogs in a database, each by its schema.
const CHANNEL: &str = "limnos_catalog";

/// The first half of our advisory locks: "Lmns".
const LOCK_CLASS: i32 = 0x4c6d_6e73;

/// What `store` says in a catalog of ours.
const APPLICATION: &str = "limnos catalog";

/// What only a shared store has. Made anew where it is missing, so it may be added to.
const OWN_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS store (
        application TEXT NOT NULL,
        schema_version INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS servers (
        id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        oldest_version INTEGER NOT NULL,
        seen_at TIMESTAMPTZ NOT NULL
    );
";

/// What wakes the one who keeps up with other servers.
pub(crate) enum Wake {
    /// Somebody has committed.
    Changed,
    /// The catalog is being closed.
    Stop,
}

/// Opens the catalog in `url`'s schema, making it if it isn't there.
pub(crate) fn open(url: &PostgresUrl) -> Result<OpenStore> {
    // Told as what it is: a catalog that can't be opened.
    let explained = |error: Error| match error {
        Error::Store { message, .. } => unusable(url.name(), message),
        Error::Unreachable { reason, .. } => unusable(url.name(), format!("it is out of reach ({reason})")),
        other => other,
    };
    let mut writer = PostgresConnection::open(url, None).map_err(explained)?;
    prepare(&mut writer, url).map_err(explained)?;
    let server_id = servers::register(&mut writer, None).map_err(explained)?;
    let reader = PostgresConnection::open(url, None).map_err(explained)?;
    let (wake, wakes) = channel();
    let listener = PostgresConnection::open(url, Some(wake.clone())).map_err(explained)?;
    let shared = Shared { listener: Box::new(listener), server_id, wake, wakes };
    Ok(OpenStore { writer: Box::new(writer), reader: Some(Box::new(reader)), lock: None, shared: Some(shared) })
}

/// A connection past the catalog.
#[cfg(test)]
pub(crate) fn connect(url: &PostgresUrl) -> Result<Box<dyn Connection>> {
    Ok(Box::new(PostgresConnection::open(url, None)?))
}

/// Makes the tables, or brings them up to date, or refuses what isn't ours. One server at a time: the others find it done.
fn prepare(connection: &mut PostgresConnection, url: &PostgresUrl) -> Result<()> {
    connection.begin_upgrade()?;
    let prepared = prepare_alone(connection, url);
    match prepared {
        Ok(()) => connection.commit(),
        Err(error) => {
            connection.rollback();
            Err(error)
        }
    }
}

fn prepare_alone(connection: &mut PostgresConnection, url: &PostgresUrl) -> Result<()> {
    let refuse = |reason: String| unusable(url.name(), reason);
    let encoding = one_text(connection, "SELECT current_setting('server_encoding')", &[])?;
    if encoding.as_deref() != Some("UTF8") {
        let encoding = encoding.unwrap_or_default();
        return Err(refuse(format!("the database has the encoding {encoding}; make one with UTF8")));
    }
    let schema = [Value::Text(&url.schema)];
    let has = |connection: &mut PostgresConnection, sql| Ok::<_, Error>(one_text(connection, sql, &schema)?.is_some());
    if !has(connection, "SELECT nspname::text FROM pg_namespace WHERE nspname = ?1")? {
        let create = format!("CREATE SCHEMA {}", sql::identifier(&url.schema));
        connection.execute_script(&create).map_err(|error| {
            let hint = "let its owner run it, with AUTHORIZATION for the user of the catalog";
            refuse(format!("{create} was refused ({error}); {hint}"))
        })?;
    }
    let is_marked = has(
        connection,
        "SELECT relname::text FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE nspname = ?1 AND relname = 'store' AND relkind = 'r'",
    )?;
    let version = if is_marked {
        marked_version(connection, url)?
    } else {
        let other = one_text(
            connection,
            "SELECT min(relname::text) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
             WHERE nspname = ?1",
            &schema,
        )?;
        if let Some(other) = other {
            return Err(refuse(format!(
                "schema \"{}\" is not a Limnos catalog (it has \"{other}\"); {NAME_ANOTHER}",
                url.schema
            )));
        }
        0
    };
    if version > SCHEMA_VERSION {
        return Err(super::newer(url.name(), version));
    }
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    let upgraded = connection
        .execute_script(OWN_TABLES)
        .and_then(|()| schema::migrate(connection, version))
        .and_then(|()| connection.execute("DELETE FROM store", &[]))
        .and_then(|_| {
            let row = [Value::Text(APPLICATION), Value::Int(SCHEMA_VERSION)];
            connection.execute("INSERT INTO store (application, schema_version) VALUES (?1, ?2)", &row)
        });
    upgraded.map(|_| ()).map_err(|error| {
        refuse(format!("it cannot be brought to schema version {SCHEMA_VERSION} ({error}); it is as it was"))
    })
}

const NAME_ANOTHER: &str = "name another schema with ?schema=";

/// The version that the row of `store` says.
fn marked_version(connection: &mut PostgresConnection, url: &PostgresUrl) -> Result<i64> {
    let mut marks = Vec::new();
    let read = connection.query("SELECT application, schema_version FROM store", &[], &mut |row| {
        marks.push((row[0].text()?.to_owned(), row[1].int()?));
        Ok(())
    });
    match (read, marks.as_slice()) {
        (Ok(()), [(application, version)]) if application == APPLICATION && *version > 0 => Ok(*version),
        (Ok(()), [(application, _)]) if application == APPLICATION => {
            Err(damaged(url.name(), "no schema version in it"))
        }
        (Err(error @ Error::Unreachable { .. }), _) => Err(error),
        // A table `store` of somebody else's.
        _ => {
            let schema = &url.schema;
            let reason =
                format!("schema \"{schema}\" is not a Limnos catalog (its table \"store\" is another); {NAME_ANOTHER}");
            Err(unusable(url.name(), reason))
        }
    }
}

fn one_text(connection: &mut dyn Connection, sql: &'static str, parameters: &[Value<'_>]) -> Result<Option<String>> {
    let mut found = None;
    connection.query(sql, parameters, &mut |row| {
        found = row[0].optional_text()?.map(str::to_owned);
        Ok(())
    })?;
    Ok(found)
}

fn damaged(store: &str, finding: &str) -> Error {
    unusable(store, format!("the catalog is damaged ({finding}); restore the schema from a backup"))
}
