//! Bookmarks and the files that they know, in the store.

use super::connection::{Connection, Value};
use super::write::Transaction;
use crate::{Bookmark, FileVersion, Result};

/// Files that go to the store between two looks at its answers.
const FILE_BATCH: usize = 4096;

/// All bookmarks, by name.
pub(crate) fn load(connection: &mut dyn Connection) -> Result<Vec<Bookmark>> {
    let mut bookmarks = Vec::new();
    connection.query(
        "SELECT name, source, source_id, version, created_at_ms, updated_at_ms, \
         (SELECT count(*) FROM bookmark_files WHERE bookmark = bookmarks.name) FROM bookmarks ORDER BY name",
        &[],
        &mut |row| {
            bookmarks.push(Bookmark {
                name: row[0].text()?.to_owned(),
                source: row[1].text()?.to_owned(),
                source_id: row[2].int()?,
                version: row[3].int()?,
                created_at_ms: row[4].int()?,
                updated_at_ms: row[5].int()?,
                file_count: row[6].int()?.unsigned_abs(),
            });
            Ok(())
        },
    )?;
    Ok(bookmarks)
}

/// The bookmark called `name` (lower case), but for the count of its files.
pub(crate) fn find(connection: &mut dyn Connection, name: &str) -> Result<Option<Bookmark>> {
    let mut found = None;
    connection.query(
        "SELECT source, source_id, version, created_at_ms, updated_at_ms FROM bookmarks WHERE name = ?1",
        &[Value::Text(name)],
        &mut |row| {
            found = Some(Bookmark {
                name: name.to_owned(),
                source: row[0].text()?.to_owned(),
                source_id: row[1].int()?,
                version: row[2].int()?,
                created_at_ms: row[3].int()?,
                updated_at_ms: row[4].int()?,
                file_count: 0,
            });
            Ok(())
        },
    )?;
    Ok(found)
}

/// Tells of each file that a bookmark knows.
pub(crate) fn each_file(
    connection: &mut dyn Connection,
    name: &str,
    on_file: &mut dyn FnMut(FileVersion),
) -> Result<()> {
    connection.query(
        "SELECT location, version FROM bookmark_files WHERE bookmark = ?1",
        &[Value::Text(name)],
        &mut |row| {
            on_file(FileVersion { location: row[0].text()?.to_owned(), version: row[1].text()?.to_owned() });
            Ok(())
        },
    )
}

impl Transaction<'_> {
    pub(crate) fn put_bookmark(&mut self, bookmark: &Bookmark, files: &[FileVersion]) -> Result<()> {
        self.connection().execute(
            "INSERT INTO bookmarks (name, source, source_id, version, created_at_ms, updated_at_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO UPDATE SET source = excluded.source, \
             version = excluded.version, updated_at_ms = excluded.updated_at_ms",
            &[
                Value::Text(&bookmark.name),
                Value::Text(&bookmark.source),
                Value::Int(bookmark.source_id),
                Value::Int(bookmark.version),
                Value::Int(bookmark.created_at_ms),
                Value::Int(bookmark.updated_at_ms),
            ],
        )?;
        for batch in files.chunks(FILE_BATCH) {
            let rows: Vec<Vec<Value<'_>>> = batch
                .iter()
                .map(|file| vec![Value::Text(&bookmark.name), Value::Text(&file.location), Value::Text(&file.version)])
                .collect();
            self.connection().execute_each(
                "INSERT INTO bookmark_files (bookmark, location, version) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (bookmark, location) DO UPDATE SET version = excluded.version",
                &rows,
            )?;
        }
        Ok(())
    }

    /// Forgets a bookmark; false if it wasn't there.
    pub(crate) fn delete_bookmark(&mut self, name: &str) -> Result<bool> {
        self.connection().execute("DELETE FROM bookmark_files WHERE bookmark = ?1", &[Value::Text(name)])?;
        Ok(self.connection().execute("DELETE FROM bookmarks WHERE name = ?1", &[Value::Text(name)])? > 0)
    }

    /// Forgets all bookmarks.
    pub(crate) fn delete_bookmarks(&mut self) -> Result<()> {
        self.connection().execute("DELETE FROM bookmark_files", &[])?;
        self.connection().execute("DELETE FROM bookmarks", &[]).map(|_| ())
    }
}
