//! What is in the store, and how a store that an older version of Limnos wrote becomes one of today.
//!
//! ```text
//! meta            one row: the catalog's version, the next free id
//! databases       tables          table_versions   what each table was, newest included
//! partitions      one row for each partition and each span of catalog versions it was in
//! objects         whatever else has a name and a definition (crawlers, classifiers, roles), by kind
//! grants          who may do what with a database or a table
//! runs            the history of what runs by itself (crawls), by kind
//! schedule_runs   schedule_states  each scheduled time that was claimed, and what schedules remember
//! files           what is known of each data file: its own columns, rows, statistics
//! sniffed_files   what crawls have seen in files that they looked into
//! writes          writes of files that go on, or were given up and not yet cleaned up
//! removed_files   files that tables have no more: seen by older snapshots, then deleted
//! bookmarks       bookmark_files   what jobs have processed
//! rejects         lines of text files that are no rows of their tables
//! ```
//! Partitions are kept in versions: a row is in the catalog versions `added_version <= v < dropped_version`, so that a
//! statement which began before a commit still finds the partitions it planned with. They outlive their table for the same
//! reason, hence no foreign key from them.

use super::connection::Connection;
use crate::Result;

/// The version of the tables that the last of [`MIGRATIONS`] leaves.
pub(crate) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// `MIGRATIONS[n]` makes schema version `n + 1` of version `n`; 0 is an empty store. What is here is on users' disks: it may
/// never change, only be added to. Written for SQLite; PostgreSQL's driver puts its own words for the types.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        version INTEGER NOT NULL,
        next_id INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE databases (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        comment TEXT,
        location TEXT
    ) STRICT;
    CREATE TABLE tables (
        id INTEGER PRIMARY KEY,
        database_id INTEGER NOT NULL REFERENCES databases (id),
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        partitions_version INTEGER NOT NULL,
        partition_count INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL,
        definition TEXT NOT NULL,
        UNIQUE (database_id, name)
    ) STRICT;
    -- The values are a partition_key. The table is its own index: by table, then by values.
    CREATE TABLE partitions (
        table_id INTEGER NOT NULL,
        \"values\" BLOB NOT NULL,
        added_version INTEGER NOT NULL,
        dropped_version INTEGER,
        location TEXT,
        PRIMARY KEY (table_id, \"values\", added_version)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX dropped_partitions ON partitions (dropped_version) WHERE dropped_version IS NOT NULL;
    INSERT INTO meta (id, version, next_id) VALUES (1, 1, 2);
    INSERT INTO databases (id, name) VALUES (1, 'default');
    ",
    "
    ALTER TABLE databases ADD COLUMN parameters TEXT;
    -- The catalog version that last changed the row: what another server must read again.
    ALTER TABLE tables ADD COLUMN catalog_version INTEGER NOT NULL DEFAULT 0;
    -- A partition that is written otherwise than its table: how (a record).
    ALTER TABLE partitions ADD COLUMN storage TEXT;
    CREATE TABLE table_versions (
        table_id INTEGER NOT NULL,
        version INTEGER NOT NULL,
        changed_at_ms INTEGER NOT NULL,
        definition TEXT NOT NULL,
        PRIMARY KEY (table_id, version)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO table_versions (table_id, version, changed_at_ms, definition)
        SELECT id, version, updated_at_ms, definition FROM tables;
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL,
        definition TEXT NOT NULL,
        UNIQUE (kind, name)
    ) STRICT;
    CREATE TABLE runs (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        started_at_ms INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX runs_by_time ON runs (kind, started_at_ms);
    -- A file's URL, and the version of it that the facts are of (size, time of change, ETag).
    CREATE TABLE files (
        location TEXT NOT NULL PRIMARY KEY,
        version TEXT NOT NULL,
        recorded_at_ms INTEGER NOT NULL,
        facts BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sniffed_files (
        location TEXT NOT NULL PRIMARY KEY,
        version TEXT NOT NULL,
        recorded_at_ms INTEGER NOT NULL,
        facts TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
    "
    -- In the names of files that this catalog writes.
    ALTER TABLE meta ADD COLUMN catalog_id INTEGER;
    -- The catalog version that last changed writes or removed_files.
    ALTER TABLE meta ADD COLUMN writes_version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tables ADD COLUMN data_version INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE writes (
        id INTEGER PRIMARY KEY,
        server_id INTEGER NOT NULL,
        begun_at_ms INTEGER NOT NULL,
        aborted_at_ms INTEGER,
        cleaned_at_ms INTEGER,
        is_lost INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE removed_files (
        location TEXT NOT NULL,
        version TEXT NOT NULL,
        removed_version INTEGER NOT NULL,
        removed_at_ms INTEGER NOT NULL,
        deleted_at_ms INTEGER,
        PRIMARY KEY (location, version)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bookmarks (
        name TEXT NOT NULL PRIMARY KEY,
        source TEXT NOT NULL,
        source_id INTEGER NOT NULL,
        version INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bookmark_files (
        bookmark TEXT NOT NULL,
        location TEXT NOT NULL,
        version TEXT NOT NULL,
        PRIMARY KEY (bookmark, location)
    ) STRICT, WITHOUT ROWID;
    -- Of which table, and which version of it; of which file, and which version of that (as in files); where in it.
    CREATE TABLE rejects (
        table_id INTEGER NOT NULL,
        location TEXT NOT NULL,
        version TEXT NOT NULL,
        byte_offset INTEGER NOT NULL,
        table_version INTEGER NOT NULL,
        line INTEGER,
        column_name TEXT,
        sqlstate TEXT NOT NULL,
        reason TEXT NOT NULL,
        raw TEXT NOT NULL,
        seen_at_ms INTEGER NOT NULL,
        PRIMARY KEY (table_id, location, version, byte_offset)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rejects_by_time ON rejects (seen_at_ms);
    ",
    "
    -- Rights on the object of this id, 0 being all of it. With a version of its own, so that older servers, which would let
    -- anyone in, refuse the store.
    CREATE TABLE grants (
        object_id INTEGER PRIMARY KEY,
        catalog_version INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    ",
    "
    -- Tables may be datasets from here on, which older servers don't know. Their histories are looked up by name.
    CREATE INDEX runs_by_name ON runs (kind, name, started_at_ms);
    ",
    "
    -- A scheduled time is claimed by its row, before anything runs. With a version of its own, so that older servers, which would
    -- run none of it, refuse the store.
    CREATE TABLE schedule_runs (
        id TEXT NOT NULL PRIMARY KEY,
        schedule_id INTEGER NOT NULL,
        cause TEXT NOT NULL,
        scheduled_at_ms INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        state TEXT NOT NULL,
        queued_at_ms INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL,
        server_id INTEGER NOT NULL,
        cancel_requested INTEGER NOT NULL,
        started_at_ms INTEGER,
        finished_at_ms INTEGER,
        record TEXT NOT NULL,
        UNIQUE (schedule_id, cause, scheduled_at_ms, attempt)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX open_schedule_runs ON schedule_runs (state);
    CREATE TABLE schedule_states (
        schedule_id INTEGER PRIMARY KEY,
        due_at_ms INTEGER,
        success_at_ms INTEGER,
        failures INTEGER NOT NULL,
        started_at_ms INTEGER,
        files_version TEXT
    ) STRICT;
    ",
];

/// Brings the tables of a store from `version` (0: there are none) to [`SCHEMA_VERSION`]. The caller has begun a
/// transaction and writes the new version down in it.
pub(super) fn migrate(connection: &mut dyn Connection, version: i64) -> Result<()> {
    let done = usize::try_from(version).unwrap_or(0);
    MIGRATIONS.iter().skip(done).try_for_each(|migration| connection.execute_script(migration))
}
