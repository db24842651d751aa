//! ALTER TABLE ... ADD, DROP and PARTITION (..), and what values a key takes.

use std::collections::BTreeSet;

use arrow::array::{Array, BooleanArray, Scalar, StringArray};
use arrow::compute::kernels::cmp;
use arrow::compute::{CastOptions, cast_with_options};
use limnos_catalog::partition::hive_path;
use limnos_catalog::{
    Change, Column, DataType, Partition, PartitionList, PartitionStorage, StorageDescriptor, Table, TableDefinition,
    TableKind,
};

use super::{CommandAnswer, CommandContext, commit, find_partitioned, projection};
use crate::parse::statement::{Comparison, PartitionAction, PartitionCondition, TableAction};
use crate::parse::{ObjectName, PartitionSpec, ddl};
use crate::scan::schema::arrow_type;
use crate::{Error, ErrorCode, Result, Session};

pub(super) async fn add(
    context: &CommandContext<'_>,
    session: &mut Session,
    table: &ObjectName,
    specs: &[PartitionSpec],
    if_not_exists: bool,
) -> Result<CommandAnswer> {
    let (table, storage) = find_partitioned(context, session, table)?;
    let mut partitions = Vec::with_capacity(specs.len());
    for spec in specs {
        let values = values(table, spec)?;
        let location = match &spec.location {
            Some(location) => {
                let url = context.stores.resolve(&as_folder(location))?.url;
                // The place it has anyway need not be kept.
                (url != folder_url(&storage.location, &standard_path(table, &values))).then_some(url)
            }
            None => None,
        };
        partitions.push(Partition { values, location, storage: None });
    }
    let change = Change::AddPartitions { table: table.name.clone(), partitions, if_not_exists };
    let mut notices: Vec<_> = projection::notice(table).into_iter().collect();
    notices.extend(commit(context, session, vec![change]).await?);
    Ok(CommandAnswer::tag("ALTER TABLE").with_notices(notices))
}

pub(super) async fn drop(
    context: &CommandContext<'_>,
    session: &mut Session,
    table: &ObjectName,
    all_conditions: &[Vec<PartitionCondition>],
    if_exists: bool,
) -> Result<CommandAnswer> {
    let (table, _) = find_partitioned(context, session, table)?;
    let exact: Option<Vec<_>> = all_conditions.iter().map(|conditions| exact_values(table, conditions)).collect();
    let values = match exact {
        Some(values) => values,
        None => meeting(context, table, all_conditions, if_exists)?,
    };
    let change = Change::DropPartitions { table: table.name.clone(), values, if_exists };
    let mut notices: Vec<_> = projection::notice(table).into_iter().collect();
    notices.extend(commit(context, session, vec![change]).await?);
    Ok(CommandAnswer::tag("ALTER TABLE").with_notices(notices))
}

/// The values of the one partition that conditions name, where its spelling can be no other: each key is text and equals
/// something. So that partitions dropped one by one don't each load the table's whole list.
fn exact_values(table: &Table, conditions: &[PartitionCondition]) -> Option<Vec<Option<String>>> {
    let is_one = conditions.len() == table.partition_keys.len()
        && conditions.iter().all(|condition| condition.comparison == Comparison::Equal)
        && table.partition_keys.iter().all(|key| key.data_type == DataType::String);
    let value = |key: &Column| {
        let mut of_key = conditions.iter().filter(|condition| condition.key == key.name);
        of_key.next().map(|condition| condition.value.clone())
    };
    is_one.then(|| table.partition_keys.iter().map(value).collect())?
}

/// The values of the partitions that meet one of `all_conditions`.
fn meeting(
    context: &CommandContext<'_>,
    table: &Table,
    all_conditions: &[Vec<PartitionCondition>],
    if_exists: bool,
) -> Result<Vec<Vec<Option<String>>>> {
    let list = context.catalog.partitions(&context.snapshot, table)?;
    let mut rows = BTreeSet::new();
    for conditions in all_conditions {
        let found = find(table, &list, conditions)?;
        if found.is_empty() && !if_exists {
            let message = format!("no partition of \"{}\" meets ({})", table.name, spell(conditions));
            return Err(Error::new(ErrorCode::UndefinedObject, message)
                .with_hint("DROP IF EXISTS PARTITION passes over what is not there."));
        }
        rows.extend(found);
    }
    Ok(rows.into_iter().map(|row| values_of(&list, row)).collect())
}

/// ALTER TABLE ... PARTITION (..) SET LOCATION | RENAME TO PARTITION (..)
pub(super) async fn alter(
    context: &CommandContext<'_>,
    session: &mut Session,
    table: &ObjectName,
    spec: &PartitionSpec,
    action: &PartitionAction,
) -> Result<CommandAnswer> {
    let (table, storage) = find_partitioned(context, session, table)?;
    let before = one(context, table, spec)?;
    let mut after = before.clone();
    match action {
        PartitionAction::SetLocation(location) => {
            after.location = Some(context.stores.resolve(&as_folder(location))?.url);
        }
        PartitionAction::RenameTo(spec) => after.values = values(table, spec)?,
        PartitionAction::Storage(action) => {
            after.storage = Some(stored_as(storage, before.storage.as_ref(), action)?);
            check_storage(table, after.storage.as_ref())?;
        }
    }
    // The files stay where they are; only a place that follows from the values need not be kept.
    let standard = folder_url(&storage.location, &standard_path(table, &after.values));
    after.location.take_if(|location| *location == standard);
    // What the table says anyway need not be kept.
    after.storage.take_if(|own| *own == as_table(storage));
    if after.values == before.values
        && after.storage == before.storage
        && before.location.as_deref() == Some(standard.as_str())
        && after.location.is_none()
    {
        return Ok(CommandAnswer::tag("ALTER TABLE"));
    }
    let name = &table.name;
    let changes = vec![
        Change::DropPartitions { table: name.clone(), values: vec![before.values], if_exists: false },
        Change::AddPartitions { table: name.clone(), partitions: vec![after], if_not_exists: false },
    ];
    let notices = commit(context, session, changes).await?;
    Ok(CommandAnswer::tag("ALTER TABLE").with_notices(notices))
}

fn as_table(storage: &StorageDescriptor) -> PartitionStorage {
    let StorageDescriptor { format, serde, properties, .. } = storage.clone();
    PartitionStorage { format, serde, properties, columns: None }
}

/// How a partition's files are written after `action`.
fn stored_as(
    table: &StorageDescriptor,
    own: Option<&PartitionStorage>,
    action: &TableAction,
) -> Result<PartitionStorage> {
    let mut own = own.cloned().unwrap_or_else(|| as_table(table));
    let resolved = match action {
        TableAction::SetFormat(stored) => ddl::resolve_format(stored.clone())?,
        TableAction::SetSerde { class, properties } => ddl::resolve_serde(class, properties.clone())?,
        TableAction::SetSerdeProperties(properties) => {
            own.properties.extend(properties.clone());
            return Ok(own);
        }
        TableAction::UnsetSerdeProperties(names) => {
            names.iter().for_each(|name| std::mem::drop(own.properties.remove(name)));
            return Ok(own);
        }
        _ => {
            return Err(Error::unsupported("columns of one partition alone are not supported")
                .with_hint("Files that name their columns are read by name: give the columns to the table."));
        }
    };
    let ddl::Storage { format, serde, properties } = resolved;
    Ok(PartitionStorage { format, serde, properties, columns: None })
}

/// Refuses what no table of these columns could be read by.
fn check_storage(table: &Table, own: Option<&PartitionStorage>) -> Result<()> {
    let (TableKind::External(storage), Some(own)) = (&table.kind, own) else { return Ok(()) };
    let PartitionStorage { format, serde, properties, .. } = own.clone();
    let kind = TableKind::External(StorageDescriptor { location: storage.location.clone(), format, serde, properties });
    crate::scan::format::check(&TableDefinition { kind, ..(*table.definition).clone() })
}

/// The one partition that a spec names, with its location spelt out.
pub(super) fn one(context: &CommandContext<'_>, table: &Table, spec: &PartitionSpec) -> Result<Partition> {
    values(table, spec)?;
    let list = context.catalog.partitions(&context.snapshot, table)?;
    let conditions = conditions(spec);
    let rows = find(table, &list, &conditions)?;
    let &[row] = rows.as_slice() else {
        let message = format!("partition ({}) of \"{}\" does not exist", spell(&conditions), table.name);
        let several = format!("{} partitions of \"{}\" are ({})", rows.len(), table.name, spell(&conditions));
        return Err(if rows.is_empty() {
            Error::new(ErrorCode::UndefinedObject, message).with_hint("SHOW PARTITIONS lists them.")
        } else {
            Error::new(ErrorCode::InvalidColumnReference, several)
                .with_detail("Their folders spell the same value differently.")
        });
    };
    let values = values_of(&list, row);
    let location = match (&list.locations[row], &table.kind) {
        (Some(location), _) => Some(location.to_string()),
        (None, TableKind::External(storage)) => Some(folder_url(&storage.location, &standard_path(table, &values))),
        (None, TableKind::View { .. } | TableKind::Dataset(_)) => None,
    };
    Ok(Partition { values, location, storage: list.storages.get(&row).map(|storage| (**storage).clone()) })
}

fn values_of(list: &PartitionList, row: usize) -> Vec<Option<String>> {
    list.values.iter().map(|key| key[row].as_deref().map(str::to_owned)).collect()
}

/// A spec as conditions: each key equals its value.
pub(super) fn conditions(spec: &PartitionSpec) -> Vec<PartitionCondition> {
    let equal = |(key, value): &(String, Option<String>)| PartitionCondition {
        key: key.clone(),
        comparison: Comparison::Equal,
        value: value.clone(),
    };
    spec.values.iter().map(equal).collect()
}

/// The partitions that meet all `conditions`, compared as the keys' types compare: `month = 1` finds the folder `month=01`.
pub(super) fn find(table: &Table, list: &PartitionList, conditions: &[PartitionCondition]) -> Result<Vec<usize>> {
    let mut kept = BooleanArray::from(vec![true; list.len()]);
    for condition in conditions {
        let position = table.partition_keys.iter().position(|key| key.name == condition.key);
        let Some(position) = position else {
            return Err(wrong_key(table, format!("\"{}\" is not a partition key", condition.key)));
        };
        let met = meets(&table.partition_keys[position], &list.values[position], condition)?;
        kept = arrow::compute::and_kleene(&kept, &met).map_err(|error| Error::internal(error.to_string()))?;
    }
    Ok((0..kept.len()).filter(|row| kept.is_valid(*row) && kept.value(*row)).collect())
}

/// Which of a key's values meet a condition.
fn meets(key: &Column, values: &[Option<Box<str>>], condition: &PartitionCondition) -> Result<BooleanArray> {
    let is_null = |null: bool| BooleanArray::from_iter(values.iter().map(|value| Some(value.is_none() == null)));
    let Some(wanted) = &condition.value else {
        return Ok(is_null(condition.comparison == Comparison::Equal));
    };
    check_value(key, wanted)?;
    let typed = |texts: StringArray| {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        cast_with_options(&texts, &arrow_type(&key.data_type), &options)
    };
    let met = typed(StringArray::from_iter(values.iter().map(Option::as_deref))).and_then(|values| {
        let wanted = Scalar::new(typed(StringArray::from(vec![wanted.as_str()]))?);
        match condition.comparison {
            Comparison::Equal => cmp::eq(&values, &wanted),
            Comparison::NotEqual => cmp::neq(&values, &wanted),
            Comparison::Less => cmp::lt(&values, &wanted),
            Comparison::LessOrEqual => cmp::lt_eq(&values, &wanted),
            Comparison::Greater => cmp::gt(&values, &wanted),
            Comparison::GreaterOrEqual => cmp::gt_eq(&values, &wanted),
        }
    });
    met.map_err(|error| Error::internal(format!("partition key \"{}\": {error}", key.name)))
}

/// `dt < '2020-01-01', country = 'US'`
fn spell(conditions: &[PartitionCondition]) -> String {
    let one = |condition: &PartitionCondition| {
        let comparison = match condition.comparison {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        };
        match &condition.value {
            Some(value) => format!("{} {comparison} '{value}'", condition.key),
            None => format!("{} {comparison} NULL", condition.key),
        }
    };
    conditions.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn wrong_key(table: &Table, message: String) -> Error {
    let keys: Vec<&str> = table.partition_keys.iter().map(|key| key.name.as_str()).collect();
    Error::new(ErrorCode::InvalidColumnReference, message).with_detail(format!(
        "The partition keys of \"{}\" are {}.",
        table.name,
        keys.join(", ")
    ))
}

fn as_folder(location: &str) -> String {
    if location.ends_with('/') { location.to_owned() } else { format!("{location}/") }
}

/// The path of a partition under the table's location, as Hive writes it.
pub(super) fn standard_path(table: &Table, values: &[Option<String>]) -> String {
    hive_path(table.partition_keys.iter().map(|key| key.name.as_str()).zip(values.iter().map(Option::as_deref)))
}

/// A folder under a table's location.
pub(super) fn folder_url(location: &str, path: &str) -> String {
    format!("{}/{path}", location.trim_end_matches('/'))
}

/// The values of a spec in the keys' order. It must name exactly the keys.
fn values(table: &Table, spec: &PartitionSpec) -> Result<Vec<Option<String>>> {
    let invalid = |message: String| wrong_key(table, message);
    for (index, (name, _)) in spec.values.iter().enumerate() {
        if !table.partition_keys.iter().any(|key| key.name == *name) {
            return Err(invalid(format!("\"{name}\" is not a partition key")));
        }
        if spec.values[..index].iter().any(|(other, _)| other == name) {
            return Err(invalid(format!("partition key \"{name}\" specified more than once")));
        }
    }
    let value_of = |key: &Column| {
        let given = spec.values.iter().find(|(name, _)| *name == key.name);
        let (_, value) = given.ok_or_else(|| invalid(format!("no value for partition key \"{}\"", key.name)))?;
        if let Some(text) = value {
            check_value(key, text)?;
        }
        Ok(value.clone())
    };
    table.partition_keys.iter().map(value_of).collect()
}

/// Refuses a text that is no value of the key's type. The text itself stays as it is: `01` names the folder `month=01`.
pub(super) fn check_value(key: &Column, text: &str) -> Result<()> {
    let integer = |min: i64, max: i64| text.parse::<i64>().is_ok_and(|value| (min..=max).contains(&value));
    let is_valid = match key.data_type {
        DataType::Boolean => crate::session::settings::boolean(text).is_some(),
        DataType::TinyInt => integer(i8::MIN.into(), i8::MAX.into()),
        DataType::SmallInt => integer(i16::MIN.into(), i16::MAX.into()),
        DataType::Int => integer(i32::MIN.into(), i32::MAX.into()),
        DataType::BigInt => integer(i64::MIN, i64::MAX),
        DataType::Float | DataType::Double => text.parse::<f64>().is_ok(),
        DataType::Decimal(_, _) => {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            !(whole.is_empty() && fraction.is_empty())
                && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
        }
        DataType::Date => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        DataType::Timestamp | DataType::TimestampTz => {
            text.get(..10).is_some_and(|day| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok())
        }
        _ => true,
    };
    if is_valid {
        return Ok(());
    }
    let message = format!("invalid value for partition key \"{}\" of type {}: \"{text}\"", key.name, key.data_type);
    Err(Error::new(ErrorCode::InvalidTextRepresentation, message))
}
