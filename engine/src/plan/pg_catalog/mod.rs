//! What makes PostgreSQL clients believe that they talk to PostgreSQL 15: the schema `pg_catalog`, its functions, and the
//! rewriting of what its clients write into what DataFusion plans.
//!
//! In comes a catalog [`Snapshot`] and a [`SessionInfo`]; out go
//! - [`PgCatalogSchema`], the tables, to be registered as schema `pg_catalog` ([`relations`] their shape, [`statics`] and
//!   [`tables`] their rows, [`index`] the OIDs);
//! - [`rewrite::rewrite_query`], applied to a parsed query before it is planned;
//! - [`output_name`], the names PostgreSQL gives the columns of an answer.
//!
//! The functions are in [`crate::function`].

pub(crate) mod analyzed;
mod correlated;
mod from_functions;
mod index;
mod join_using;
mod json_calls;
pub(crate) mod label;
mod lateral_unnest;
mod literal;
pub mod output_name;
mod pg_type;
mod provider;
mod recursive;
mod relations;
pub mod rewrite;
mod role;
mod session_info;
mod spelling;
mod statics;
mod tables;
mod value;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, LazyLock, Weak};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result;
use limnos_catalog::Snapshot;
use parking_lot::Mutex;

use super::authorize::{Rights, denied_for};
use crate::error::to_datafusion;
use crate::scan::facts::KnownFiles;

pub(crate) use index::CatalogIndex;
pub(crate) use index::Relation;
pub(crate) use pg_type::{arrow_column_type, format_type, oid_of_sql_name, oid_of_typname, type_info};
pub(crate) use provider::{RelationKeys, RelationRows, RelationTable, RowContext};
pub(crate) use relations::{RELATIONS, SystemRelation, arrow_field, relation};
pub(in crate::plan) use rewrite::folded_type_name;
pub use session_info::{RoleInfo, SessionInfo, SystemTable, shown_schema};
pub(crate) use statics::{PROCEDURES, PROCEDURES_BY_NAME};
pub(crate) use tables::{comment_of, view_definition};
pub(crate) use value::{Rows, Value, array_of, values_of};

/// The metadata key of an Arrow field that says which PostgreSQL type the column has where the Arrow type alone doesn't:
/// `oid`, `name`, `char`, `regclass`, `int2vector`, `aclitem[]`, ...
pub use crate::scan::schema::PG_TYPE_METADATA;

/// How many snapshots' catalogs are kept built. Readers hold at most a few: the newest, and what open transactions pin.
const SNAPSHOT_TABLES_MAX: usize = 8;

/// The catalogs of one snapshot, each table built when it is first read.
pub(crate) struct SnapshotTables {
    pub(crate) index: CatalogIndex,
    built: Mutex<HashMap<&'static str, RecordBatch>>,
}

struct Cached {
    snapshot: Weak<Snapshot>,
    roles: Arc<[RoleInfo]>,
    user: String,
    system_tables: Arc<[SystemTable]>,
    tables: Arc<SnapshotTables>,
}

static CACHE: LazyLock<Mutex<VecDeque<Cached>>> = LazyLock::new(|| Mutex::new(VecDeque::new()));

impl SnapshotTables {
    /// The catalogs of `snapshot`, built once for all sessions that see the same roles and system tables.
    pub(crate) fn of(snapshot: &Arc<Snapshot>, session: &SessionInfo) -> Arc<Self> {
        // The user matters only where it isn't one of the roles.
        let known = session.roles.iter().any(|role| role.name == session.user);
        let user = if known { "" } else { session.user.as_str() };
        let mut cache = CACHE.lock();
        let found = cache.iter().find(|cached| {
            std::ptr::eq(cached.snapshot.as_ptr(), Arc::as_ptr(snapshot))
                && cached.roles == session.roles
                && cached.user == user
                && cached.system_tables == session.system_tables
        });
        if let Some(found) = found {
            return Arc::clone(&found.tables);
        }
        // The newest that was made for the same roles: most of what it has is the same.
        let previous = cache.iter().rev().find(|cached| {
            cached.roles == session.roles && cached.user == user && cached.system_tables == session.system_tables
        });
        let previous = previous.map(|cached| Arc::clone(&cached.tables));
        let index = CatalogIndex::new(snapshot, session, previous.as_ref().map(|tables| &tables.index));
        let tables = Arc::new(Self { index, built: Mutex::default() });
        cache.push_back(Cached {
            snapshot: Arc::downgrade(snapshot),
            roles: Arc::clone(&session.roles),
            user: user.to_owned(),
            system_tables: Arc::clone(&session.system_tables),
            tables: Arc::clone(&tables),
        });
        // Those of snapshots that are gone were kept for the next to take from.
        let newest = cache.len() - 1;
        let mut index = 0;
        cache.retain(|cached| {
            index += 1;
            index > newest || cached.snapshot.strong_count() > 0
        });
        if cache.len() > SNAPSHOT_TABLES_MAX {
            cache.pop_front();
        }
        tables
    }

    fn table(&self, relation: &'static SystemRelation) -> Result<RecordBatch> {
        if let Some(batch) = self.built.lock().get(relation.name) {
            return Ok(batch.clone());
        }
        let batch = tables::snapshot_table(relation, &self.index)?;
        self.built.lock().insert(relation.name, batch.clone());
        Ok(batch)
    }
}

/// The schema `pg_catalog` as one session sees it.
pub struct PgCatalogSchema {
    tables: Arc<SnapshotTables>,
    session: Arc<SessionInfo>,
    /// Where what ANALYZE has counted is kept.
    known: Option<Arc<KnownFiles>>,
    /// Whether it may be read who has a password.
    shows_secrets: bool,
}

impl fmt::Debug for PgCatalogSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgCatalogSchema").field("user", &self.session.user).finish_non_exhaustive()
    }
}

impl PgCatalogSchema {
    /// The catalogs of `snapshot`. Cheap: tables are built when they are read, and kept with the snapshot.
    pub fn new(snapshot: &Arc<Snapshot>, session: Arc<SessionInfo>) -> Self {
        Self { tables: SnapshotTables::of(snapshot, &session), session, known: None, shows_secrets: true }
    }

    /// As `rights` let it be seen.
    pub(crate) fn seen_with(self, rights: &Rights) -> Self {
        Self { shows_secrets: rights.is_superuser(), ..self }
    }

    /// With the row counts that ANALYZE has left in `known`.
    pub(crate) fn with_known(self, known: &Arc<KnownFiles>) -> Self {
        Self { known: Some(Arc::clone(known)), ..self }
    }
}

#[async_trait]
impl SchemaProvider for PgCatalogSchema {
    fn table_names(&self) -> Vec<String> {
        RELATIONS.iter().filter(|each| each.schema == "pg_catalog").map(|each| each.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = relation("pg_catalog", name) else { return Ok(None) };
        if !self.shows_secrets && matches!(name, "pg_authid" | "pg_shadow") {
            let kind = if relation.kind == "v" { "view" } else { "table" };
            return Err(to_datafusion(denied_for(kind, name)));
        }
        if let Some(rows) = tables::relation_rows(relation.name) {
            let tables = Arc::clone(&self.tables);
            let catalog_name = self.session.catalog_name.clone();
            let known = self.known.clone();
            return Ok(Some(Arc::new(RelationTable { relation, tables, catalog_name, rows, known })));
        }
        let batch = match tables::session_table(relation, &self.tables.index, &self.session) {
            Some(batch) => batch?,
            None => self.tables.table(relation)?,
        };
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        relation("pg_catalog", name).is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests;
