//! [`CatalogIndex`]: every object that PostgreSQL clients can name, with its OID, ready to be looked up both ways.
//!
//! OIDs are derived from the catalog's ids, which are never reused, so they are the same in every session and after
//! every restart, and the ranges never meet:
//!
//! ```text
//! 10             the bootstrap role (role id 0)          1 - 13_999       PostgreSQL's own objects
//! 2200           public, our database `default` (id 1)   14_000 + n       schemas and tables of ours outside the catalog
//! 16_384         the one PostgreSQL database             16_384 + 2*id    our other databases (namespaces), below 100_000
//! 100_000 + id   tables and views                        2_000_000_000 + id   other roles
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::ArrayRef;
use limnos_catalog::role::LAKE_ID;
use limnos_catalog::{Snapshot, Table, TableKind};
use parking_lot::Mutex;

use super::pg_type::{ColumnType, arrow_column_type, column_type, oid_of_typname};
use super::relations::RELATIONS;
use super::role::{self, DefaultAcl};
use super::session_info::{RoleInfo, SessionInfo, SystemTable, shown_schema};

/// `pg_catalog`.
pub(crate) const PG_CATALOG_OID: i32 = 11;
/// `information_schema`.
pub(crate) const INFORMATION_SCHEMA_OID: i32 = 13_207;
const PUBLIC_OID: i32 = 2200;
/// The one PostgreSQL database there is.
pub(crate) const DATABASE_OID: i32 = 16_384;
/// The bootstrap role.
pub(crate) const BOOTSTRAP_ROLE_OID: i32 = 10;

/// A schema.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    pub(crate) oid: i32,
    pub(crate) name: String,
    pub(crate) comment: Option<String>,
    pub(crate) owner: i32,
    /// What was granted on it.
    pub(crate) acl: Option<Vec<String>>,
    /// Our database that it is.
    pub(crate) database: Option<i64>,
}

impl Namespace {
    /// One that is no database of ours.
    fn of_server(oid: i32, name: &str, comment: Option<&str>) -> Self {
        let (name, comment) = (name.to_owned(), comment.map(str::to_owned));
        Self { oid, name, comment, owner: BOOTSTRAP_ROLE_OID, acl: None, database: None }
    }
}

/// A role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) oid: i32,
    pub(crate) name: String,
    pub(crate) superuser: bool,
    pub(crate) login: bool,
    pub(crate) info: RoleInfo,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    pub(crate) not_null: bool,
    pub(crate) comment: Option<String>,
    /// A partition key, which Athena's `information_schema` marks in `extra_info`.
    pub(crate) partition_key: bool,
}

/// A table or view.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) oid: i32,
    pub(crate) namespace: i32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// `r` for tables, partitioned ones too: `p` would make clients look for child tables, which Hive partitions are
    /// not. `v` for views.
    pub(crate) kind: &'static str,
    pub(crate) owner: i32,
    pub(crate) comment: Option<String>,
    pub(crate) attributes: Vec<Attribute>,
    /// What was granted on it.
    pub(crate) acl: Option<Vec<String>>,
    /// A view's query.
    pub(crate) view_sql: Option<String>,
    /// One of PostgreSQL's own or ours, not a user's.
    pub(crate) system: bool,
    /// What it was made of, if it is a user's: as long as that is the same, so is this.
    pub(super) source: Option<Arc<Table>>,
}

/// Every object of one snapshot.
#[derive(Debug)]
pub(crate) struct CatalogIndex {
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) roles: Vec<Role>,
    /// What was granted on all of it.
    pub(crate) lake_acl: Option<Vec<String>>,
    /// Whose it is.
    pub(crate) lake_owner: i32,
    /// What ALTER DEFAULT PRIVILEGES has said.
    pub(crate) defaults: Vec<DefaultAcl>,
    /// By schema and name.
    pub(crate) relations: Vec<Arc<Relation>>,
    /// The same in portions, by OID. A portion outlives the snapshot it was made for as long as nothing in it changes, and
    /// with it the rows that were made of it.
    pub(crate) portions: Vec<Arc<Portion>>,
    by_oid: HashMap<i32, usize>,
    by_name: HashMap<String, HashMap<String, usize>>,
}

impl Relation {
    /// The table or view that it is, if it is a user's.
    pub(crate) fn table(&self) -> Option<&Arc<Table>> {
        self.source.as_ref()
    }
}

impl CatalogIndex {
    /// Indexes a snapshot. Of `session` only the roles and the system tables matter. `previous` is an index of another
    /// snapshot for the same roles and system tables, whose relations are taken where nothing has changed.
    pub(crate) fn new(snapshot: &Snapshot, session: &SessionInfo, previous: Option<&Self>) -> Self {
        let roles = roles(&session.roles, &session.user);
        let mut namespaces = vec![
            Namespace::of_server(PG_CATALOG_OID, "pg_catalog", Some("system catalog schema")),
            Namespace::of_server(INFORMATION_SCHEMA_OID, "information_schema", None),
        ];
        let owner_oid =
            |name: &str| roles.iter().find(|role| role.name == name).map_or(BOOTSTRAP_ROLE_OID, |role| role.oid);
        for database in snapshot.databases.values() {
            namespaces.push(Namespace {
                oid: namespace_oid(database.id, &database.name),
                name: shown_schema(&database.name).to_owned(),
                comment: database.comment.clone(),
                owner: role::database_owner(snapshot, database.id).map_or(BOOTSTRAP_ROLE_OID, owner_oid),
                acl: role::acl(snapshot, database.id),
                database: Some(database.id),
            });
        }
        let mut own: Vec<Relation> = system_relations().collect();
        own_relations(&session.system_tables, &mut namespaces, &mut own);
        let mut relations: Vec<Arc<Relation>> = match previous {
            Some(previous) => previous.relations.iter().take(own.len()).cloned().collect(),
            None => own.into_iter().map(Arc::new).collect(),
        };
        let oids: HashMap<String, i32> = namespaces.iter().map(|n| (n.name.clone(), n.oid)).collect();
        for table in snapshot.tables.values() {
            let schema = shown_schema(&table.name.database);
            let before = previous.and_then(|previous| previous.shared_relation(relation_oid(table.id)));
            if let Some(before) = before
                && before.source.as_ref().is_some_and(|source| Arc::ptr_eq(source, table))
                && before.acl == role::acl(snapshot, table.id)
            {
                relations.push(Arc::clone(before));
                continue;
            }
            let attributes = table.columns.iter().map(|column| (column, false));
            let attributes = attributes.chain(table.partition_keys.iter().map(|column| (column, true)));
            relations.push(Arc::new(Relation {
                oid: relation_oid(table.id),
                namespace: oids.get(schema).copied().unwrap_or(0),
                schema: schema.to_owned(),
                name: table.name.name.clone(),
                kind: match &table.kind {
                    TableKind::View { .. } => "v",
                    TableKind::External(_) => "r",
                    TableKind::Dataset(_) => "m",
                },
                owner: owner_oid(&table.owner),
                acl: role::acl(snapshot, table.id),
                comment: table.comment.clone(),
                attributes: attributes
                    .map(|(column, partition_key)| Attribute {
                        name: column.name.clone(),
                        column_type: column_type(&column.data_type),
                        // Files may hold NULL anywhere.
                        not_null: false,
                        comment: column.comment.clone(),
                        partition_key,
                    })
                    .collect(),
                view_sql: match &table.kind {
                    TableKind::View { sql, .. } => Some(sql.clone()),
                    TableKind::Dataset(dataset) => Some(crate::command::dataset::source_text(dataset)),
                    TableKind::External(_) => None,
                },
                system: false,
                source: Some(Arc::clone(table)),
            }));
        }
        namespaces.sort_by_key(|namespace| namespace.oid);
        let by_oid = relations.iter().enumerate().map(|(i, relation)| (relation.oid, i)).collect();
        let mut by_name: HashMap<String, HashMap<String, usize>> = HashMap::new();
        for (i, relation) in relations.iter().enumerate() {
            by_name.entry(relation.schema.clone()).or_default().insert(relation.name.clone(), i);
        }
        let portions = portions(&relations, previous);
        let lake_owner = role::database_owner(snapshot, LAKE_ID).map_or(BOOTSTRAP_ROLE_OID, owner_oid);
        let (lake_acl, defaults) = (role::acl(snapshot, LAKE_ID), role::defaults(snapshot));
        Self { namespaces, roles, lake_acl, lake_owner, defaults, relations, portions, by_oid, by_name }
    }

    fn shared_relation(&self, oid: i32) -> Option<&Arc<Relation>> {
        self.by_oid.get(&oid).map(|&i| &self.relations[i])
    }

    /// The relation with that OID.
    pub(crate) fn relation(&self, oid: i32) -> Option<&Relation> {
        self.shared_relation(oid).map(Arc::as_ref)
    }

    /// The relation called `schema.name`.
    pub(crate) fn relation_named(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.by_name.get(schema)?.get(name).map(|&i| self.relations[i].as_ref())
    }

    /// The relation that an unqualified name means: `pg_catalog` is searched before the current schema.
    pub(crate) fn visible_relation(&self, current_schema: &str, name: &str) -> Option<&Relation> {
        self.relation_named("pg_catalog", name).or_else(|| self.relation_named(current_schema, name))
    }

    /// Whether a relation is found by its name alone (`pg_table_is_visible`).
    pub(crate) fn is_visible(&self, current_schema: &str, oid: i32) -> Option<bool> {
        let relation = self.relation(oid)?;
        Some(self.visible_relation(current_schema, &relation.name).is_some_and(|found| found.oid == oid))
    }

    /// The schema called `name`; `default` is `public`.
    pub(crate) fn namespace_named(&self, name: &str) -> Option<&Namespace> {
        let name = shown_schema(name);
        self.namespaces.iter().find(|namespace| namespace.name == name)
    }

    /// The OID of the schema that our database of this id is.
    pub(crate) fn namespace_of_database(&self, id: i64) -> Option<i32> {
        self.namespaces.iter().find(|namespace| namespace.database == Some(id)).map(|namespace| namespace.oid)
    }

    /// The schema with that OID.
    pub(crate) fn namespace(&self, oid: i32) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.oid == oid)
    }

    /// The role with that OID.
    pub(crate) fn role(&self, oid: i32) -> Option<&Role> {
        self.roles.iter().find(|role| role.oid == oid)
    }

    /// The role of that name.
    pub(crate) fn role_named(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }
}

/// How many OIDs have their relations in one portion: about what one batch of rows is made of.
const PORTION_OIDS: i32 = 64;

/// Some of the relations, and the columns of catalog tables that were made of them.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(crate) relations: Vec<Arc<Relation>>,
    /// By table and position of the column.
    pub(crate) built: Mutex<HashMap<(&'static str, usize), ArrayRef>>,
}

fn portions(relations: &[Arc<Relation>], previous: Option<&CatalogIndex>) -> Vec<Arc<Portion>> {
    let mut by_oid: BTreeMap<i32, Vec<Arc<Relation>>> = BTreeMap::new();
    for relation in relations {
        by_oid.entry(relation.oid / PORTION_OIDS).or_default().push(Arc::clone(relation));
    }
    let number = |portion: &Portion| portion.relations.first().map_or(0, |first| first.oid / PORTION_OIDS);
    let known: HashMap<i32, &Arc<Portion>> =
        previous.iter().flat_map(|previous| &previous.portions).map(|portion| (number(portion), portion)).collect();
    by_oid
        .into_iter()
        .map(|(number, relations)| match known.get(&number) {
            Some(portion)
                if portion.relations.len() == relations.len()
                    && portion.relations.iter().zip(&relations).all(|(a, b)| Arc::ptr_eq(a, b)) =>
            {
                Arc::clone(portion)
            }
            _ => Arc::new(Portion { relations, built: Mutex::default() }),
        })
        .collect()
}

/// The OID of a table or view of ours.
pub(crate) fn relation_oid(table_id: i64) -> i32 {
    i32::try_from(100_000 + table_id).unwrap_or(i32::MAX)
}

fn namespace_oid(database_id: i64, name: &str) -> i32 {
    if name == "default" {
        PUBLIC_OID
    } else {
        i32::try_from(i64::from(DATABASE_OID) + 2 * database_id).unwrap_or(i32::MAX)
    }
}

fn roles(known: &[RoleInfo], user: &str) -> Vec<Role> {
    let oid =
        |id: i64| if id == 0 { BOOTSTRAP_ROLE_OID } else { i32::try_from(2_000_000_000 + id).unwrap_or(i32::MAX) };
    let mut roles: Vec<Role> = known
        .iter()
        .map(|role| Role {
            oid: oid(role.id),
            name: role.name.clone(),
            superuser: role.superuser,
            login: role.login,
            info: role.clone(),
        })
        .collect();
    if !roles.iter().any(|role| role.name == user) {
        let free = if roles.iter().any(|role| role.oid == BOOTSTRAP_ROLE_OID) { i32::MAX } else { BOOTSTRAP_ROLE_OID };
        // The server has made sure that there is everybody; what is alone with its catalog is a superuser.
        let superuser = known.is_empty();
        let info = if superuser { RoleInfo::superuser(0, user) } else { RoleInfo::new(0, user) };
        roles.push(Role { oid: free, name: user.to_owned(), superuser, login: true, info });
    }
    roles.extend(role::predefined());
    roles
}

fn system_relations() -> impl Iterator<Item = Relation> {
    RELATIONS.iter().map(|relation| Relation {
        oid: relation.oid,
        namespace: if relation.schema == "pg_catalog" { PG_CATALOG_OID } else { INFORMATION_SCHEMA_OID },
        schema: relation.schema.to_owned(),
        name: relation.name.to_owned(),
        kind: relation.kind,
        owner: BOOTSTRAP_ROLE_OID,
        comment: None,
        acl: None,
        attributes: relation
            .columns
            .iter()
            .map(|column| Attribute {
                name: column.name.to_owned(),
                column_type: ColumnType {
                    oid: oid_of_typname(column.type_name).unwrap_or(25),
                    modifier: -1,
                    dimensions: i32::from(column.type_name.starts_with('_')),
                },
                not_null: column.not_null,
                comment: None,
                partition_key: false,
            })
            .collect(),
        view_sql: None,
        system: true,
        source: None,
    })
}

fn own_relations(tables: &[SystemTable], namespaces: &mut Vec<Namespace>, relations: &mut Vec<Relation>) {
    // By name, so that a table's OID doesn't depend on the order in which the tables are registered.
    let mut by_schema: BTreeMap<&str, Vec<&SystemTable>> = BTreeMap::new();
    for table in tables {
        by_schema.entry(&table.schema).or_default().push(table);
    }
    let mut next = 14_000;
    for (schema, mut tables) in by_schema {
        let namespace = match namespaces.iter().find(|namespace| namespace.name == schema) {
            Some(namespace) => namespace.oid,
            None => {
                namespaces.push(Namespace::of_server(next, schema, None));
                next += 1;
                next - 1
            }
        };
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        for table in tables {
            relations.push(Relation {
                oid: next,
                namespace,
                schema: schema.to_owned(),
                name: table.name.clone(),
                kind: "r",
                owner: BOOTSTRAP_ROLE_OID,
                comment: table.comment.clone(),
                acl: None,
                attributes: table
                    .columns
                    .fields()
                    .iter()
                    .map(|field| Attribute {
                        name: field.name().clone(),
                        column_type: arrow_column_type(field.data_type()),
                        not_null: !field.is_nullable(),
                        comment: None,
                        partition_key: false,
                    })
                    .collect(),
                view_sql: None,
                system: true,
                source: None,
            });
            next += 1;
        }
    }
}
