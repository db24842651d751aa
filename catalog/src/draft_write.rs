//! Changes about writes, removed files and bookmarks, into the next snapshot and the open transaction alike.

use std::sync::Arc;

use crate::block::is_expected;
use crate::draft::Draft;
use crate::name::validate_name;
use crate::store::bookmark;
use crate::write::{RemovedFile, SETTLE_MS, Write, WriteTarget, Writes, removed_key};
use crate::{Bookmark, BookmarkUpdate, Error, Result, Table, TableKind};

impl Draft<'_> {
    pub(crate) fn begin_write(&mut self, target: String, locations: Vec<String>) -> Result<()> {
        self.refuse_private("a write begins")?;
        let id = self.snapshot.version;
        if self.snapshot.writes.open.contains_key(&id) {
            let message = "a commit can begin one write".to_owned();
            return Err(Error::Invalid { message, hint: None });
        }
        let (server_id, begun_at_ms) = (self.server_id, self.now_ms);
        self.put_write(Write { id, server_id, begun_at_ms, target, locations, aborted_at_ms: None, is_lost: false })
    }

    pub(crate) fn widen_write(&mut self, id: i64, locations: Vec<String>) -> Result<()> {
        let mut write = self.going_write(id)?;
        write.locations.extend(locations);
        self.put_write(write)
    }

    pub(crate) fn commit_write(
        &mut self,
        id: i64,
        target: Option<WriteTarget>,
        bookmark: Option<BookmarkUpdate>,
    ) -> Result<()> {
        if !self.is_private() {
            self.going_write(id)?;
        }
        if let Some(target) = target {
            self.check_target(&target)?;
            self.remove_table_files(&target)?;
        }
        if let Some(bookmark) = bookmark {
            self.refuse_private("a bookmark moves on")?;
            self.update_bookmark(bookmark)?;
        }
        if let Some(private) = &mut self.snapshot.private {
            Arc::make_mut(private).writes.insert(id);
            self.is_changed = true;
            return Ok(());
        }
        self.transaction.delete_write(id)?;
        self.writes()?.open.remove(&id);
        Ok(())
    }

    pub(crate) fn abort_write(&mut self, id: i64, is_lost: bool) -> Result<()> {
        let mut write = self.going_write(id)?;
        write.aborted_at_ms = Some(self.now_ms);
        write.is_lost = is_lost;
        self.put_write(write)
    }

    pub(crate) fn remove_files(&mut self, files: &[RemovedFile]) -> Result<()> {
        // Somebody has made another table over the folder of a dropped one: the files stay with it.
        let files: Vec<RemovedFile> = files.iter().filter(|file| !self.is_used_folder(file)).cloned().collect();
        if files.is_empty() {
            return Ok(());
        }
        let now_ms = self.now_ms;
        self.transaction.put_removed_files(&files, now_ms)?;
        let writes = self.writes()?;
        Arc::make_mut(&mut writes.removed).extend(files.iter().map(|file| removed_key(&file.location, &file.version)));
        Ok(())
    }

    pub(crate) fn reset_bookmark(&mut self, name: &str, if_exists: bool) -> Result<()> {
        self.refuse_private("a bookmark is reset")?;
        let lower = name.to_lowercase();
        let is_there = self.transaction.delete_bookmark(&lower)?;
        if !is_there && !if_exists {
            return Err(Error::NotFound { kind: "bookmark", name: lower, hint: None });
        }
        self.is_changed |= is_there;
        Ok(())
    }

    /// Forgets what has settled; part of a commit that is made anyway.
    pub(crate) fn forget_settled(&mut self) -> Result<()> {
        let is_settling = |write: &Arc<Write>| write.aborted_at_ms.is_some() && !write.is_lost;
        let writes = &self.snapshot.writes;
        if writes.removed.is_empty() && !writes.open.values().any(is_settling) {
            return Ok(());
        }
        let settled_ms = self.now_ms - SETTLE_MS;
        let (ids, has_files) = self.transaction.forget_settled(settled_ms)?;
        if ids.is_empty() && !has_files {
            return Ok(());
        }
        let writes = self.writes()?;
        // Read anew: which files they were is in the store alone.
        writes.version = -1;
        let base = Arc::clone(&self.snapshot.writes);
        self.snapshot.writes = crate::store::writes::load(self.transaction.connection(), Some(&base))?;
        Ok(())
    }

    /// The write of this id, if it goes on.
    fn going_write(&self, id: i64) -> Result<Write> {
        match self.snapshot.writes.open.get(&id) {
            Some(write) if write.aborted_at_ms.is_none() => Ok((**write).clone()),
            _ => Err(Error::WriteEnded { id }),
        }
    }

    fn check_target(&self, target: &WriteTarget) -> Result<()> {
        let table = self.snapshot.table(&target.name)?;
        let is_same = is_expected(target.id, table.id) && is_expected(target.version, table.version);
        if is_same && target.data_version.is_none_or(|version| is_expected(version, table.data_version)) {
            return Ok(());
        }
        Err(Error::Conflict { kind: "table", name: table.name.to_string() })
    }

    fn remove_table_files(&mut self, target: &WriteTarget) -> Result<()> {
        if target.removed.is_empty() {
            return Ok(());
        }
        self.remove_files(&target.removed)?;
        let table = Arc::clone(self.snapshot.table(&target.name)?);
        self.put(Table { data_version: self.stamp(), ..(*table).clone() })
    }

    /// Whether it is a folder in which a table of now has its files.
    fn is_used_folder(&self, file: &RemovedFile) -> bool {
        file.is_folder()
            && self.snapshot.tables.values().any(|table| match &table.kind {
                TableKind::External(storage) => {
                    let own = RemovedFile::folder(&storage.location).location;
                    own.starts_with(&file.location) || file.location.starts_with(&own)
                }
                TableKind::View { .. } | TableKind::Dataset(_) => false,
            })
    }

    /// What the store alone knows can't be tried in private.
    fn refuse_private(&self, what: &str) -> Result<()> {
        if !self.is_private() {
            return Ok(());
        }
        Err(Error::Invalid { message: format!("{what} outside of transaction blocks only"), hint: None })
    }

    fn update_bookmark(&mut self, update: BookmarkUpdate) -> Result<()> {
        let name = update.name.to_lowercase();
        let source = Arc::clone(self.snapshot.table(&update.source)?);
        let known = bookmark::find(self.transaction.connection(), &name)?;
        if known.as_ref().map(|known| known.version) != update.base_version {
            return Err(Error::Conflict { kind: "bookmark", name });
        }
        if let Some(known) = &known
            && known.source_id != source.id
        {
            return Err(Error::Invalid {
                message: format!("bookmark \"{name}\" is of table \"{}\", not of \"{}\"", known.source, source.name),
                hint: Some("Use another name, or RESET BOOKMARK to begin anew.".to_owned()),
            });
        }
        if known.is_none() {
            validate_name("bookmark", &name)?;
        }
        let bookmark = Bookmark {
            name,
            source: source.name.to_string(),
            source_id: source.id,
            version: known.as_ref().map_or(1, |known| known.version + 1),
            file_count: 0,
            created_at_ms: known.as_ref().map_or(self.now_ms, |known| known.created_at_ms),
            updated_at_ms: self.now_ms,
        };
        self.transaction.put_bookmark(&bookmark, &update.files)?;
        self.is_changed = true;
        Ok(())
    }

    fn put_write(&mut self, write: Write) -> Result<()> {
        self.transaction.put_write(&write)?;
        self.writes()?.open.insert(write.id, Arc::new(write));
        Ok(())
    }

    /// What the next snapshot knows of files, to change it.
    fn writes(&mut self) -> Result<&mut Writes> {
        self.is_changed = true;
        self.transaction.set_writes_version()?;
        let version = self.snapshot.version;
        let writes = Arc::make_mut(&mut self.snapshot.writes);
        writes.version = version;
        Ok(writes)
    }
}
