//! Where the catalog is kept: SQLite.
