//! Who else has the catalog open, and which versions of it they may still be reading.
//!
//! A statement reads the partitions of the catalog version that it began with, also after others have dropped them, so a
//! dropped partition's row stays as long as any server holds a version that has it. Each server keeps a row in `servers`
//! with the oldest version that it holds, a lower bound: it is raised every [`HEARTBEAT`], and held versions only get
//! newer. A commit deletes what no server needs ([`oldest_elsewhere`]).
//!
//! A server begins with its row, written under the lock that serialises commits, before it reads anything: no commit can
//! delete what it is about to see. A server that has shown no sign of life for [`EXPIRY_SECONDS`] counts no more. If it does
//! live (it was suspended, or cut off) it registers again; what it can't find any more it says, and never answers with
//! half: [`crate::Catalog::partitions`] counts. Time is PostgreSQL's, so no server's clock matters.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Result;
use crate::store::connection::{Connection, Value};

/// How often a server says that it lives: each time is a small write in PostgreSQL, and [`EXPIRY_SECONDS`] should see many.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a silent server is waited for: longer than a restart of PostgreSQL or a network's hiccup, and not so long that
/// the rows that a dead one holds are many.
const EXPIRY_SECONDS: i64 = 60;

/// Registers a server that holds `oldest_version` and later; `None` is the version that is in the store now.
pub(crate) fn register(connection: &mut dyn Connection, oldest_version: Option<i64>) -> Result<i64> {
    connection.begin()?;
    let mut id = 0;
    let oldest_version = oldest_version.map_or(Value::Null, Value::Int);
    let registered = connection.query(
        "INSERT INTO servers (oldest_version, seen_at) \
         SELECT coalesce(?1::bigint, version), clock_timestamp() FROM meta RETURNING id",
        &[oldest_version],
        &mut |row| {
            id = row[0].int()?;
            Ok(())
        },
    );
    match registered {
        Ok(()) => connection.commit().map(|()| id),
        Err(error) => {
            connection.rollback();
            Err(error)
        }
    }
}

/// Says that server `id` lives and what it holds. `false` if it is not known any more.
pub(crate) fn heartbeat(connection: &mut dyn Connection, id: i64, oldest_version: i64) -> Result<bool> {
    // Who has been silent for long is deleted by any other server.
    connection.execute("DELETE FROM servers WHERE seen_at < clock_timestamp() - interval '1 hour'", &[])?;
    let known = connection.execute(
        "UPDATE servers SET seen_at = clock_timestamp(), oldest_version = ?2 WHERE id = ?1",
        &[Value::Int(id), Value::Int(oldest_version)],
    )?;
    Ok(known > 0)
}

/// Takes a server's row away.
pub(crate) fn deregister(connection: &mut dyn Connection, id: i64) -> Result<()> {
    connection.execute("DELETE FROM servers WHERE id = ?1", &[Value::Int(id)]).map(|_| ())
}

/// The servers that live.
pub(crate) fn living(connection: &mut dyn Connection) -> Result<BTreeSet<i64>> {
    let mut living = BTreeSet::new();
    connection.query(
        "SELECT id FROM servers WHERE seen_at > clock_timestamp() - ?1::bigint * interval '1 second'",
        &[Value::Int(EXPIRY_SECONDS)],
        &mut |row| {
            living.insert(row[0].int()?);
            Ok(())
        },
    )?;
    Ok(living)
}

/// The oldest version that a living server other than `id` may hold.
pub(crate) fn oldest_elsewhere(connection: &mut dyn Connection, id: i64) -> Result<Option<i64>> {
    let mut oldest = None;
    connection.query(
        "SELECT min(oldest_version) FROM servers \
         WHERE id <> ?1 AND seen_at > clock_timestamp() - ?2::bigint * interval '1 second'",
        &[Value::Int(id), Value::Int(EXPIRY_SECONDS)],
        &mut |row| {
            oldest = match row[0] {
                Value::Null => None,
                version => Some(version.int()?),
            };
            Ok(())
        },
    )?;
    Ok(oldest)
}
