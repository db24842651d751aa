//! The history: a file that only its owner reads, of a bounded size, without statements that may hold passwords.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use reedline::{FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, Result, SearchQuery};

use crate::statement;

/// Entries that are kept, oldest out.
const ENTRIES_MAX: usize = 5000;

/// Longer ones are not kept: with [`ENTRIES_MAX`] they bound the file.
const ENTRY_BYTES_MAX: usize = 16 << 10;

/// The history in `file`; one in memory where there is none, or it can't be used.
pub(super) fn open(file: Option<&Path>) -> Box<dyn History> {
    let in_file = file.and_then(|file| {
        own(file).ok()?;
        FileBackedHistory::with_file(ENTRIES_MAX, file.to_owned()).ok()
    });
    let inner = in_file.or_else(|| FileBackedHistory::new(ENTRIES_MAX).ok()).unwrap_or_default();
    Box::new(Discreet(inner))
}

/// Makes the file, for its owner alone.
fn own(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let opened = options.mode(0o600).open(file)?;
        opened.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    #[cfg(not(unix))]
    options.open(file)?;
    Ok(())
}

/// A history that doesn't keep everything.
struct Discreet(FileBackedHistory);

fn is_kept(text: &str) -> bool {
    text.len() <= ENTRY_BYTES_MAX && !statement::tells_secrets(text)
}

impl History for Discreet {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if is_kept(&item.command_line) { self.0.save(item) } else { Ok(item) }
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(&mut self, id: HistoryItemId, updater: &dyn Fn(HistoryItem) -> HistoryItem) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_and_tells_no_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/history");
        {
            let mut history = open(Some(&file));
            for text in ["select 1;", "ALTER ROLE ann PASSWORD 'x';", "select 2;"] {
                history.save(HistoryItem::from_command_line(text)).unwrap();
            }
            history.sync().unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "select 1;\nselect 2;\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
