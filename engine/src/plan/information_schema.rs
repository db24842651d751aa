//! The SQL standard's `information_schema`, in PostgreSQL 15's shape. `columns` ends with the two columns that Athena
//! adds: `extra_info` (`partition key`) and `comment`.
//!
//! In comes what [`super::pg_catalog`] knows of a snapshot; views that would describe constraints, triggers and other
//! things that we don't have are there and empty.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::Result;
use limnos_catalog::{AclKind, Privilege, Snapshot};

use super::authorize::Rights;
use super::pg_catalog::{
    CatalogIndex, PROCEDURES, RELATIONS, Relation, RelationKeys, RelationRows, RelationTable, RowContext, Rows,
    SessionInfo, SnapshotTables, format_type, relation, type_info, view_definition,
};

/// The schema `information_schema` as one session sees it.
pub struct InformationSchema {
    tables: Arc<SnapshotTables>,
    catalog_name: String,
    user: String,
    /// What whoever asks may do; `None` where nobody can be asked.
    rights: Option<Arc<Rights>>,
}

impl fmt::Debug for InformationSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InformationSchema").field("catalog_name", &self.catalog_name).finish_non_exhaustive()
    }
}

impl InformationSchema {
    /// The views over `snapshot`.
    pub fn new(snapshot: &Arc<Snapshot>, session: &SessionInfo) -> Self {
        Self {
            tables: SnapshotTables::of(snapshot, session),
            catalog_name: session.catalog_name.clone(),
            user: session.user.clone(),
            rights: None,
        }
    }

    /// For a role with `rights`.
    pub(crate) fn seen_with(self, rights: &Arc<Rights>) -> Self {
        Self { rights: Some(Arc::clone(rights)), ..self }
    }

    fn rows(&self, name: &str, mut rows: Rows) -> Result<RecordBatch> {
        let index = &self.tables.index;
        let catalog = self.catalog_name.as_str();
        match name {
            "information_schema_catalog_name" => rows.push([("catalog_name", catalog.into())]),
            "schemata" => schemata(&mut rows, index, catalog),
            "routines" => routines(&mut rows, catalog),
            "character_sets" => rows.push([
                ("character_set_name", "UTF8".into()),
                ("character_repertoire", "UCS".into()),
                ("form_of_use", "UTF8".into()),
                ("default_collate_catalog", catalog.into()),
                ("default_collate_schema", "pg_catalog".into()),
                ("default_collate_name", "C".into()),
            ]),
            "enabled_roles" => self.enabled_roles(&mut rows),
            "applicable_roles" => self.applicable_roles(&mut rows),
            "table_privileges" => self.table_privileges(&mut rows, true),
            "role_table_grants" => self.table_privileges(&mut rows, false),
            _ => {}
        }
        rows.finish()
    }

    /// What was granted on tables to or by the roles whose rights one has, and to everyone if `with_public`.
    fn table_privileges(&self, rows: &mut Rows, with_public: bool) {
        let Some(rights) = &self.rights else { return };
        let enabled = rights.snapshot().roles_of(&self.user, true);
        for relation in &self.tables.index.relations {
            let Some(table) = relation.table() else { continue };
            for item in rights.items(table.id, AclKind::Table, rights.owner(&table.owner)) {
                let is_own = rights.is_superuser()
                    || enabled.contains(&item.grantor)
                    || item.grantee.as_ref().is_some_and(|grantee| enabled.contains(grantee));
                let is_shown =
                    is_own && (with_public || item.grantee.is_some()) || with_public && item.grantee.is_none();
                if !is_shown {
                    continue;
                }
                for privilege in item.privileges.iter() {
                    let yes_no = |yes: bool| if yes { "YES" } else { "NO" };
                    let is_owner = item.grantee.as_deref() == Some(rights.owner(&table.owner));
                    rows.push([
                        ("grantor", item.grantor.as_str().into()),
                        ("grantee", item.grantee.as_deref().unwrap_or("PUBLIC").into()),
                        ("table_catalog", self.catalog_name.as_str().into()),
                        ("table_schema", relation.schema.as_str().into()),
                        ("table_name", relation.name.as_str().into()),
                        ("privilege_type", privilege.word().into()),
                        ("is_grantable", yes_no(is_owner || item.grantable.has(privilege)).into()),
                        ("with_hierarchy", yes_no(privilege == Privilege::Select).into()),
                    ]);
                }
            }
        }
    }

    /// The roles whose rights one has.
    fn enabled_roles(&self, rows: &mut Rows) {
        let Some(rights) = &self.rights else { return rows.push([("role_name", self.user.as_str().into())]) };
        for role in rights.snapshot().roles_of(&self.user, true) {
            rows.push([("role_name", role.as_str().into())]);
        }
    }

    /// The roles that one is in, and whether one may let others in.
    fn applicable_roles(&self, rows: &mut Rows) {
        let Some(rights) = &self.rights else { return };
        let snapshot = rights.snapshot();
        for member in snapshot.roles_of(&self.user, false) {
            let Some(role) = snapshot.roles.get(&member) else { continue };
            for (group, membership) in &role.member_of {
                rows.push([
                    ("grantee", member.as_str().into()),
                    ("role_name", group.as_str().into()),
                    ("is_grantable", if membership.admin { "YES" } else { "NO" }.into()),
                ]);
            }
        }
    }
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        RELATIONS.iter().filter(|each| each.schema == "information_schema").map(|each| each.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(relation) = relation("information_schema", name) else { return Ok(None) };
        if let Some(push) = relation_rows(relation.name) {
            let keys = RelationKeys { oid: None, schema: Some("table_schema"), name: Some("table_name") };
            return Ok(Some(Arc::new(RelationTable {
                relation,
                tables: Arc::clone(&self.tables),
                catalog_name: self.catalog_name.clone(),
                rows: RelationRows { push, keys, keep: false },
                known: None,
            })));
        }
        let batch = self.rows(relation.name, Rows::new(relation))?;
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        relation("information_schema", name).is_some()
    }
}

fn schemata(rows: &mut Rows, index: &CatalogIndex, catalog: &str) {
    let owner = index.roles.first().map(|role| role.name.clone());
    for namespace in &index.namespaces {
        rows.push([
            ("catalog_name", catalog.into()),
            ("schema_name", namespace.name.as_str().into()),
            ("schema_owner", owner.clone().into()),
        ]);
    }
}

/// How the rows of a view are made that has some for each relation; `None` for all other views.
fn relation_rows(name: &str) -> Option<fn(&mut Rows, &RowContext<'_>, &Relation)> {
    match name {
        "tables" => Some(tables),
        "columns" => Some(columns),
        "views" => Some(views),
        _ => None,
    }
}

fn tables(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    // The SQL standard, and so PostgreSQL, knows no materialized views.
    if relation.kind == "m" {
        return;
    }
    let catalog = context.catalog_name;
    rows.push([
        ("table_catalog", catalog.into()),
        ("table_schema", relation.schema.as_str().into()),
        ("table_name", relation.name.as_str().into()),
        ("table_type", if relation.kind == "v" { "VIEW" } else { "BASE TABLE" }.into()),
        ("is_insertable_into", "NO".into()),
        ("is_typed", "NO".into()),
    ]);
}

fn columns(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    let catalog = context.catalog_name;
    let wants_facts = rows.wants(&TypeFacts::COLUMNS);
    if relation.kind == "m" {
        return;
    }
    if !rows.count_only(relation.attributes.len()) {
        for (attribute, number) in relation.attributes.iter().zip(1_i32..) {
            let column_type = attribute.column_type;
            let facts =
                if wants_facts { TypeFacts::of(column_type.oid, column_type.modifier) } else { TypeFacts::default() };
            rows.push([
                ("table_catalog", catalog.into()),
                ("table_schema", relation.schema.as_str().into()),
                ("table_name", relation.name.as_str().into()),
                ("column_name", attribute.name.as_str().into()),
                ("ordinal_position", number.into()),
                ("is_nullable", if attribute.not_null { "NO" } else { "YES" }.into()),
                ("data_type", facts.data_type.into()),
                ("character_maximum_length", facts.character_length.into()),
                ("character_octet_length", facts.octet_length.into()),
                ("numeric_precision", facts.numeric_precision.into()),
                ("numeric_precision_radix", facts.numeric_radix.into()),
                ("numeric_scale", facts.numeric_scale.into()),
                ("datetime_precision", facts.datetime_precision.into()),
                ("udt_catalog", catalog.into()),
                ("udt_schema", "pg_catalog".into()),
                ("udt_name", type_info(column_type.oid).map(|info| info.name.clone()).into()),
                ("dtd_identifier", number.to_string().into()),
                ("is_self_referencing", "NO".into()),
                ("is_identity", "NO".into()),
                ("identity_cycle", "NO".into()),
                ("is_generated", "NEVER".into()),
                ("is_updatable", "NO".into()),
                ("extra_info", attribute.partition_key.then_some("partition key").into()),
                ("comment", attribute.comment.clone().into()),
            ]);
        }
    }
}

fn views(rows: &mut Rows, context: &RowContext<'_>, relation: &Relation) {
    let catalog = context.catalog_name;
    if relation.kind == "v" {
        rows.push([
            ("table_catalog", catalog.into()),
            ("table_schema", relation.schema.as_str().into()),
            ("table_name", relation.name.as_str().into()),
            ("view_definition", relation.view_sql.as_deref().map(view_definition).into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}

fn routines(rows: &mut Rows, catalog: &str) {
    let mut procedures: Vec<_> =
        PROCEDURES.values().filter(|procedure| matches!(procedure.kind.as_str(), "f" | "p")).collect();
    procedures.sort_by_key(|procedure| procedure.oid);
    for procedure in procedures {
        let facts = TypeFacts::of(procedure.return_type, -1);
        rows.push([
            ("specific_catalog", catalog.into()),
            ("specific_schema", "pg_catalog".into()),
            ("specific_name", format!("{}_{}", procedure.name, procedure.oid).into()),
            ("routine_catalog", catalog.into()),
            ("routine_schema", "pg_catalog".into()),
            ("routine_name", procedure.name.as_str().into()),
            ("routine_type", if procedure.kind == "p" { "PROCEDURE" } else { "FUNCTION" }.into()),
            ("data_type", facts.data_type.into()),
            ("type_udt_catalog", catalog.into()),
            ("type_udt_schema", "pg_catalog".into()),
            ("type_udt_name", type_info(procedure.return_type).map(|info| info.name.clone()).into()),
            ("external_language", "INTERNAL".into()),
        ]);
    }
}

/// The standard's facts about a type.
#[derive(Debug, Default)]
struct TypeFacts {
    data_type: String,
    character_length: Option<i32>,
    octet_length: Option<i32>,
    numeric_precision: Option<i32>,
    numeric_radix: Option<i32>,
    numeric_scale: Option<i32>,
    datetime_precision: Option<i32>,
}

impl TypeFacts {
    /// What `columns` tells of them.
    const COLUMNS: [&str; 7] = [
        "data_type",
        "character_maximum_length",
        "character_octet_length",
        "numeric_precision",
        "numeric_precision_radix",
        "numeric_scale",
        "datetime_precision",
    ];

    fn of(oid: i32, modifier: i32) -> Self {
        let Some(info) = type_info(oid) else {
            return Self { data_type: "USER-DEFINED".to_owned(), ..Self::default() };
        };
        if info.category == "A" {
            return Self { data_type: "ARRAY".to_owned(), ..Self::default() };
        }
        let length = (modifier >= 4).then_some(modifier - 4);
        let mut facts = Self { data_type: format_type(oid, None), ..Self::default() };
        let mut numeric = |precision: Option<i32>, radix: i32, scale: Option<i32>| {
            (facts.numeric_precision, facts.numeric_radix, facts.numeric_scale) = (precision, Some(radix), scale);
        };
        match info.name.as_str() {
            "int2" => numeric(Some(16), 2, Some(0)),
            "int4" => numeric(Some(32), 2, Some(0)),
            "int8" => numeric(Some(64), 2, Some(0)),
            "float4" => numeric(Some(24), 2, None),
            "float8" => numeric(Some(53), 2, None),
            "numeric" => numeric(length.map(|m| (m >> 16) & 0xffff), 10, length.map(|m| m & 0x7ff)),
            "varchar" | "bpchar" => {
                facts.character_length = length;
                // 1 GiB is what a value without a limit may take.
                facts.octet_length = Some(length.map_or(1 << 30, |length| length.saturating_mul(4)));
            }
            "text" => facts.octet_length = Some(1 << 30),
            "date" => facts.datetime_precision = Some(0),
            "time" | "timetz" | "timestamp" | "timestamptz" => facts.datetime_precision = Some(6),
            _ => {}
        }
        facts
    }
}
