//! ALTER TABLE ... ADD and DROP PARTITION, and what values a key takes.

use limnos_catalog::partition::hive_path;
use limnos_catalog::{Change, Column, DataType, Partition, Table};

use super::{CommandAnswer, CommandContext, commit, find_partitioned, projection};
use crate::parse::{ObjectName, PartitionSpec};
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
        partitions.push(Partition { values, location });
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
    specs: &[PartitionSpec],
    if_exists: bool,
) -> Result<CommandAnswer> {
    let (table, _) = find_partitioned(context, session, table)?;
    let values = specs.iter().map(|spec| values(table, spec)).collect::<Result<Vec<_>>>()?;
    let change = Change::DropPartitions { table: table.name.clone(), values, if_exists };
    let mut notices: Vec<_> = projection::notice(table).into_iter().collect();
    notices.extend(commit(context, session, vec![change]).await?);
    Ok(CommandAnswer::tag("ALTER TABLE").with_notices(notices))
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
    let invalid = |message: String| {
        let keys: Vec<&str> = table.partition_keys.iter().map(|key| key.name.as_str()).collect();
        Error::new(ErrorCode::InvalidColumnReference, message).with_detail(format!(
            "The partition keys of \"{}\" are {}.",
            table.name,
            keys.join(", ")
        ))
    };
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
