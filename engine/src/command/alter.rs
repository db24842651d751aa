//! ALTER TABLE and ALTER VIEW: a table's definition becomes another one, and the old one is kept as a version.
//!
//! All actions of a statement are done to one definition and committed together. The change names the version it was made
//! from; when somebody else was faster, it is made anew from what is there now, so that neither is lost.

use std::sync::Arc;

use limnos_catalog::{
    Catalog, Change, Column, DataType, FileFormat, Partition, Snapshot, StorageDescriptor, Table, TableDefinition,
    TableKind, TableName,
};

use super::partition::{check_value, folder_url, standard_path};
use super::{CommandAnswer, CommandContext, commit, newest, projection, resolve_table_name, skipping};
use crate::error::translate::nearest;
use crate::parse::statement::{ColumnPlace, TableAction};
use crate::parse::{ObjectName, ddl};
use crate::scan::freshness::freshness;
use crate::scan::store::Stores;
use crate::write::definition::MANAGED;
use crate::{Error, ErrorCode, Notice, Result, Session};

/// How often a statement that lost the race is tried again before it is told so.
const ATTEMPTS_MAX: usize = 20;

pub(super) async fn alter(
    context: &CommandContext<'_>,
    session: &mut Session,
    view: bool,
    name: &ObjectName,
    if_exists: bool,
    actions: &[TableAction],
) -> Result<CommandAnswer> {
    let name = resolve_table_name(session, name);
    let answer = CommandAnswer::tag(if view { "ALTER VIEW" } else { "ALTER TABLE" });
    if if_exists && newest(context, session).find_table(&name).is_none() {
        let notice = skipping(&format!("relation \"{}\" does not exist", name.name), "00000");
        return Ok(answer.with_notices(vec![notice]));
    }
    let notices = change(context, session, &name, view, |alteration| {
        actions.iter().try_for_each(|action| alteration.apply(action))
    })
    .await?;
    Ok(answer.with_notices(notices))
}

/// Gives the table or view `name` the definition that `alter` makes of its newest one.
pub(super) async fn change(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &TableName,
    view: bool,
    alter: impl Fn(&mut Alteration<'_>) -> Result<()>,
) -> Result<Vec<Notice>> {
    for _ in 1..ATTEMPTS_MAX {
        match attempt(context, session, name, view, &alter).await {
            Err(error) if error.code == ErrorCode::SerializationFailure => {}
            other => return other,
        }
    }
    attempt(context, session, name, view, &alter).await
}

async fn attempt(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &TableName,
    view: bool,
    alter: &impl Fn(&mut Alteration<'_>) -> Result<()>,
) -> Result<Vec<Notice>> {
    let snapshot = newest(context, session);
    let table = Arc::clone(snapshot.table(name)?);
    if view != matches!(table.kind, TableKind::View { .. }) {
        let (is, expected) = (table.kind.noun(), if view { "view" } else { "table" });
        let message = format!("\"{}\" is not a {expected}", table.name);
        return Err(Error::new(ErrorCode::WrongObjectType, message)
            .with_hint(format!("Use ALTER {} for a {is}.", is.to_uppercase())));
    }
    let mut alteration = Alteration {
        catalog: context.catalog,
        snapshot: &snapshot,
        stores: context.stores,
        definition: (*table.definition).clone(),
        table: &table,
        partitions_stay: false,
        notices: Vec::new(),
    };
    alter(&mut alteration)?;
    let Alteration { definition, partitions_stay, mut notices, .. } = alteration;
    let mut changes = Vec::new();
    if definition != *table.definition {
        crate::scan::format::check(&definition)?;
        freshness(&definition)?;
        notices.extend(projection::check(context.stores, &table.name, &definition)?);
        let base_version = Some(table.version);
        changes.push(Change::AlterTable { name: table.name.clone(), definition, base_version });
    }
    if partitions_stay {
        let partitions_version = table.partitions_version;
        changes.insert(0, Change::ExpectPartitions { table: table.name.clone(), partitions_version });
        let list = context.catalog.partitions(&snapshot, &table)?;
        changes.extend(keep_places(&table, &list));
    }
    if !changes.is_empty() {
        notices.extend(commit(context, session, changes).await?);
    }
    Ok(notices)
}

/// Writes down where the partitions are that were where the table's location put them: they don't move with it.
fn keep_places(table: &Table, list: &limnos_catalog::PartitionList) -> Vec<Change> {
    let TableKind::External(storage) = &table.kind else { return Vec::new() };
    let moved: Vec<Partition> = (0..list.len())
        .filter(|row| list.locations[*row].is_none())
        .map(|row| {
            let values: Vec<Option<String>> =
                list.values.iter().map(|key| key[row].as_deref().map(str::to_owned)).collect();
            let location = Some(folder_url(&storage.location, &standard_path(table, &values)));
            Partition { values, location, storage: list.storages.get(&row).map(|storage| (**storage).clone()) }
        })
        .collect();
    if moved.is_empty() {
        return Vec::new();
    }
    let values = moved.iter().map(|partition| partition.values.clone()).collect();
    vec![
        Change::DropPartitions { table: table.name.clone(), values, if_exists: true },
        Change::AddPartitions { table: table.name.clone(), partitions: moved, if_not_exists: true },
    ]
}

/// A definition while it is being changed.
pub(super) struct Alteration<'a> {
    catalog: &'a Arc<Catalog>,
    snapshot: &'a Arc<Snapshot>,
    stores: &'a Arc<Stores>,
    /// What it was.
    pub(super) table: &'a Table,
    /// What it is to be.
    pub(super) definition: TableDefinition,
    /// Whether the table goes elsewhere and its partitions don't.
    partitions_stay: bool,
    notices: Vec<Notice>,
}

impl Alteration<'_> {
    fn apply(&mut self, action: &TableAction) -> Result<()> {
        match action {
            TableAction::AddColumns { columns, if_not_exists } => {
                columns.iter().try_for_each(|column| self.add_column(column, *if_not_exists))
            }
            TableAction::ReplaceColumns(columns) => self.replace_columns(columns),
            TableAction::ChangeColumn { name, column, place } => self.change_column(name, column, place.as_ref()),
            TableAction::RenameColumn { name, to } => self.rename_column(name, to),
            TableAction::ColumnType { name, data_type } => self.set_type(name, data_type),
            TableAction::DropColumn { name, if_exists } => self.drop_column(name, *if_exists),
            TableAction::SetParameters(parameters) if parameters.contains_key(MANAGED) => {
                let message = format!("property \"{MANAGED}\" cannot be set");
                Err(Error::new(ErrorCode::CantChangeRuntimeParam, message)
                    .with_detail("It marks tables whose folder was made for them, and whose files go with them."))
            }
            TableAction::SetParameters(parameters) => {
                self.definition.parameters.extend(parameters.clone());
                Ok(())
            }
            TableAction::UnsetParameters { names, if_exists } => self.unset_parameters(names, *if_exists),
            TableAction::SetLocation(location) => self.set_location(location),
            TableAction::SetFormat(stored) => {
                let storage = ddl::resolve_format(stored.clone())?;
                self.set_storage(storage)
            }
            TableAction::SetSerde { class, properties } => {
                let storage = ddl::resolve_serde(class, properties.clone())?;
                self.set_storage(storage)
            }
            TableAction::SetSerdeProperties(properties) => {
                for (name, value) in properties {
                    self.set_serde_property(name, value)?;
                }
                Ok(())
            }
            TableAction::UnsetSerdeProperties(names) => {
                names.iter().try_for_each(|name| self.unset_serde_property(name))
            }
            TableAction::OwnerTo(owner) => {
                // Who it may be was decided before.
                owner.clone_into(&mut self.definition.owner);
                Ok(())
            }
            TableAction::RestoreVersion(version) => self.restore(*version),
        }
    }

    fn storage(&mut self) -> Result<&mut StorageDescriptor> {
        match &mut self.definition.kind {
            TableKind::External(storage) => Ok(storage),
            TableKind::View { .. } | TableKind::Dataset(_) => Err(Error::internal("it has no storage")),
        }
    }

    /// `column "a" of relation "t" does not exist`, with near names.
    pub(super) fn no_column(&self, name: &str) -> Error {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", self.table.name);
        let columns = self.definition.columns.iter().chain(&self.definition.partition_keys);
        let near = nearest(name, columns.map(|column| column.name.as_str()));
        let error = Error::new(ErrorCode::UndefinedColumn, message);
        match near {
            Some(near) => error.with_hint(format!("Did you mean \"{near}\"?")),
            None => error,
        }
    }

    fn position(&self, name: &str) -> Result<usize> {
        let position = self.definition.columns.iter().position(|column| column.name == name);
        position.ok_or_else(|| self.no_column(name))
    }

    fn is_key(&self, name: &str) -> bool {
        self.definition.partition_keys.iter().any(|key| key.name == name)
    }

    /// Refuses a name that another column has, here or, under a name of its own, inside the files.
    fn check_free(&self, name: &str, position: Option<usize>) -> Result<()> {
        let others = self.definition.columns.iter().enumerate().filter(|(index, _)| Some(*index) != position);
        for (_, other) in others {
            if other.source_name.as_deref().is_some_and(|source_name| source_name.eq_ignore_ascii_case(name)) {
                let message =
                    format!("\"{name}\" is what the files of \"{}\" call column \"{}\"", self.table.name, other.name);
                return Err(Error::new(ErrorCode::DuplicateColumn, message)
                    .with_hint("Two columns would read the same values. Choose another name."));
            }
        }
        let is_taken = self.is_key(name)
            || self
                .definition
                .columns
                .iter()
                .enumerate()
                .any(|(index, other)| other.name == name && Some(index) != position);
        if is_taken {
            let message = format!("column \"{name}\" of relation \"{}\" already exists", self.table.name);
            return Err(Error::new(ErrorCode::DuplicateColumn, message));
        }
        Ok(())
    }

    fn add_column(&mut self, column: &Column, if_not_exists: bool) -> Result<()> {
        let name = &column.name;
        if if_not_exists && (self.is_key(name) || self.definition.columns.iter().any(|other| other.name == *name)) {
            let message = format!("column \"{name}\" of relation \"{}\" already exists", self.table.name);
            self.notices.push(skipping(&message, "42701"));
            return Ok(());
        }
        self.check_free(name, None)?;
        self.definition.columns.push(column.clone());
        Ok(())
    }

    fn replace_columns(&mut self, columns: &[Column]) -> Result<()> {
        let old = std::mem::take(&mut self.definition.columns);
        for column in columns {
            let mut column = column.clone();
            // One that stays is still found in the files.
            let before = old.iter().find(|before| before.name == column.name);
            column.source_name = before.and_then(|before| before.source_name.clone());
            self.check_free(&column.name, None)?;
            self.definition.columns.push(column);
        }
        Ok(())
    }

    fn change_column(&mut self, name: &str, column: &Column, place: Option<&ColumnPlace>) -> Result<()> {
        if self.is_key(name) {
            if column.name != *name || place.is_some() {
                return Err(key_error(name, "renamed or moved"));
            }
            self.set_type(name, &column.data_type)?;
            if let Some(key) = self.definition.partition_keys.iter_mut().find(|key| key.name == *name)
                && column.comment.is_some()
            {
                key.comment.clone_from(&column.comment);
            }
            return Ok(());
        }
        self.rename_column(name, &column.name)?;
        let position = self.position(&column.name)?;
        let mut changed = self.definition.columns.remove(position);
        changed.data_type = column.data_type.clone();
        // As in Hive, a CHANGE that says nothing of the comment leaves it.
        if column.comment.is_some() {
            changed.comment.clone_from(&column.comment);
        }
        let position = match place {
            None => position,
            Some(ColumnPlace::First) => 0,
            Some(ColumnPlace::After(after)) => self.position(after)? + 1,
        };
        self.definition.columns.insert(position, changed);
        Ok(())
    }

    /// Renames a column; where files are read by name, its values are still found under the old one.
    fn rename_column(&mut self, name: &str, to: &str) -> Result<()> {
        if self.is_key(name) {
            return if name == to { Ok(()) } else { Err(key_error(name, "renamed")) };
        }
        let position = self.position(name)?;
        if name == to {
            return Ok(());
        }
        self.check_free(to, Some(position))?;
        let by_name = match &self.definition.kind {
            TableKind::External(storage) => is_read_by_name(storage.format),
            TableKind::View { .. } | TableKind::Dataset(_) => false,
        };
        let column = &mut self.definition.columns[position];
        if by_name {
            let source_name = column.source_name.take().unwrap_or_else(|| name.to_owned());
            column.source_name = (source_name != to).then_some(source_name);
        }
        to.clone_into(&mut column.name);
        Ok(())
    }

    fn set_type(&mut self, name: &str, data_type: &DataType) -> Result<()> {
        if let Some(key) = self.definition.partition_keys.iter().position(|key| key.name == *name) {
            let typed = Column { data_type: data_type.clone(), ..self.definition.partition_keys[key].clone() };
            let list = self.catalog.partitions(self.snapshot, self.table)?;
            for value in list.values.get(key).into_iter().flatten().flatten() {
                check_value(&typed, value).map_err(|error| {
                    error.with_detail(format!("A partition of \"{}\" has this value.", self.table.name))
                })?;
            }
            self.definition.partition_keys[key] = typed;
            return Ok(());
        }
        let position = self.position(name)?;
        self.definition.columns[position].data_type = data_type.clone();
        Ok(())
    }

    fn drop_column(&mut self, name: &str, if_exists: bool) -> Result<()> {
        if self.is_key(name) {
            return Err(key_error(name, "dropped"));
        }
        let position = match self.position(name) {
            Err(_) if if_exists => {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", self.table.name);
                self.notices.push(skipping(&message, "00000"));
                return Ok(());
            }
            position => position?,
        };
        let last = self.definition.columns.len() - 1;
        if last == 0 {
            let message = format!("cannot drop the only column \"{name}\" of table \"{}\"", self.table.name);
            return Err(Error::new(ErrorCode::InvalidTableDefinition, message));
        }
        let by_name = is_read_by_name(self.storage()?.format);
        if !by_name && position < last {
            let message =
                format!("cannot drop column \"{name}\" of \"{}\": its files have no column names", self.table.name);
            return Err(Error::new(ErrorCode::InvalidTableDefinition, message)
                .with_detail("Columns are read in their order, so the ones behind it would show other values.")
                .with_hint("Leave it out of a view, or list the columns anew with REPLACE COLUMNS."));
        }
        self.definition.columns.remove(position);
        Ok(())
    }

    fn unset_parameters(&mut self, names: &[String], if_exists: bool) -> Result<()> {
        for name in names {
            if self.definition.parameters.remove(name).is_none() && !if_exists {
                let message = format!("property \"{name}\" of \"{}\" does not exist", self.table.name);
                return Err(Error::new(ErrorCode::UndefinedObject, message)
                    .with_hint("UNSET TBLPROPERTIES IF EXISTS passes over those that are not there."));
            }
        }
        Ok(())
    }

    fn set_location(&mut self, location: &str) -> Result<()> {
        let url = self.stores.resolve(location)?.url;
        let storage = self.storage()?;
        if storage.location != url {
            storage.location = url;
            // The folder that was made for it is no more the table's, and another one's files are not for it to delete.
            self.definition.parameters.remove(MANAGED);
            self.partitions_stay = self.table.partition_count > 0;
        }
        Ok(())
    }

    fn set_storage(&mut self, resolved: ddl::Storage) -> Result<()> {
        let storage = self.storage()?;
        storage.format = resolved.format;
        storage.serde = resolved.serde;
        storage.properties.clear();
        for (name, value) in resolved.properties {
            self.set_serde_property(&name, &value)?;
        }
        Ok(())
    }

    fn set_serde_property(&mut self, name: &str, value: &str) -> Result<()> {
        // OpenX's SerDe reads a column from a key of another name.
        if let Some(column) = name.strip_prefix("mapping.")
            && let Ok(position) = self.position(&column.to_lowercase())
        {
            self.definition.columns[position].source_name = Some(value.to_owned());
            return Ok(());
        }
        let storage = self.storage()?;
        storage.properties.insert(name.to_owned(), value.to_owned());
        // OpenCSVSerde's own word for what the readers call field.delim.
        if name == "separatorChar" {
            storage.properties.insert("field.delim".to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn unset_serde_property(&mut self, name: &str) -> Result<()> {
        if let Some(column) = name.strip_prefix("mapping.")
            && let Ok(position) = self.position(&column.to_lowercase())
        {
            self.definition.columns[position].source_name = None;
            return Ok(());
        }
        self.storage()?.properties.remove(name);
        Ok(())
    }

    fn restore(&mut self, version: i64) -> Result<()> {
        let versions = self.catalog.table_versions(self.table)?;
        let Some(found) = versions.iter().find(|kept| kept.version == version) else {
            let message = format!("version {version} of table \"{}\" does not exist", self.table.name);
            let kept: Vec<i64> = versions.iter().map(|kept| kept.version).collect();
            let (first, last) = (kept.first().copied().unwrap_or(0), kept.last().copied().unwrap_or(0));
            return Err(Error::new(ErrorCode::UndefinedObject, message)
                .with_detail(format!("Versions {first} to {last} are kept."))
                .with_hint("SHOW VERSIONS lists them."));
        };
        let (is, was) = (&self.definition.partition_keys, &found.definition.partition_keys);
        let same_keys = is.iter().map(|key| &key.name).eq(was.iter().map(|key| &key.name));
        if !same_keys && self.table.partition_count > 0 {
            let message = format!("version {version} of table \"{}\" has other partition keys", self.table.name);
            return Err(Error::new(ErrorCode::ObjectNotInPrerequisiteState, message)
                .with_detail(format!("Its {} partitions would be dropped.", self.table.partition_count))
                .with_hint("Drop the partitions first; MSCK REPAIR TABLE finds them again."));
        }
        // Whose it is has nothing to do with what it is.
        let owner = self.definition.owner.clone();
        self.definition = TableDefinition { owner, ..found.definition.clone() };
        if let (TableKind::External(old), TableKind::External(new)) = (&self.table.kind, &self.definition.kind) {
            self.partitions_stay = old.location != new.location && self.table.partition_count > 0;
        }
        Ok(())
    }
}

/// Whether files of a format name their columns, so that the order of the table's doesn't matter.
fn is_read_by_name(format: FileFormat) -> bool {
    match format {
        FileFormat::Parquet | FileFormat::Json | FileFormat::Arrow | FileFormat::Orc | FileFormat::Avro => true,
        FileFormat::Csv | FileFormat::Regex => false,
    }
}

fn key_error(name: &str, what: &str) -> Error {
    Error::new(ErrorCode::InvalidTableDefinition, format!("partition key \"{name}\" cannot be {what}"))
        .with_hint("Partition keys are part of the folders' names. Create the table anew with other keys.")
}
