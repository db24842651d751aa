//! Where the tests keep their catalogs: each test runs in every place, and must find the same.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use super::NowMs;
use crate::store::connection::Connection;
use crate::store::{postgres, sqlite};
use crate::{Catalog, Location};

/// A place of its own for one test, gone with it.
pub(crate) struct Place {
    location: String,
    _folder: Option<tempfile::TempDir>,
}

/// A file, and a schema in PostgreSQL where the machine has that.
pub(crate) fn places() -> Vec<Place> {
    std::iter::once(Place::file()).chain(Place::postgres()).collect()
}

impl Place {
    pub(crate) fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = format!("sqlite:{}", folder.path().join("catalog.db").display());
        Self { location, _folder: Some(folder) }
    }

    pub(crate) fn postgres() -> Option<Self> {
        Some(Self { location: limnos_test_postgres::fresh_schema()?, _folder: None })
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Whether several may have it open.
    pub(crate) fn is_shared(&self) -> bool {
        self.location.starts_with("postgres:")
    }

    pub(crate) fn open(&self) -> Arc<Catalog> {
        Catalog::open_at(&Location::parse(&self.location).unwrap()).unwrap()
    }

    pub(crate) fn open_with_clock(&self, now_ms: NowMs) -> Arc<Catalog> {
        Catalog::open_at_with_clock(&Location::parse(&self.location).unwrap(), now_ms).unwrap()
    }

    /// Changes what is in the store, past the catalog.
    pub(crate) fn edit(&self, script: &str) {
        match Location::parse(&self.location).unwrap() {
            Location::File(path) => rusqlite::Connection::open(path).unwrap().execute_batch(script).unwrap(),
            Location::Postgres(url) => postgres::connect(&url).unwrap().execute_script(script).unwrap(),
        }
    }

    /// How many rows there are in the table of partitions.
    pub(crate) fn partition_rows(&self) -> i64 {
        let mut connection: Box<dyn Connection> = match Location::parse(&self.location).unwrap() {
            Location::File(path) => sqlite::connect(&path).unwrap(),
            Location::Postgres(url) => postgres::connect(&url).unwrap(),
        };
        let mut count = 0;
        let mut on_row = |row: &[crate::store::connection::Value<'_>]| {
            count = row[0].int()?;
            Ok(())
        };
        connection.query("SELECT count(*) FROM partitions", &[], &mut on_row).unwrap();
        count
    }
}
