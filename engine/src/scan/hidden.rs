//! Hidden columns: `"$path"`, `"$file_size"`, `"$file_modified_time"`, `"$partition"`, as Trino's and Athena's tables have them.
//!
//! They are constants of a file, as partition keys are, and go the same way: behind the keys in a table's schema, and with each
//! file as values. Only a table that a query names one of has any ([`crate::plan`] says which), and only those.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Field, FieldRef};
use datafusion::catalog::Session;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, Operator, col, lit};
use limnos_catalog::DataType;
use limnos_catalog::partition::{hive_path, parse_hive_segment};

use super::listing::File;
use super::schema::arrow_field;
use super::store::Location;
use crate::prune::{KeptPartitions, PartitionIndex, is_partition_only, matching};

/// Longest list of partitions' names that is taken apart into conditions on the keys.
const NAMES_MAX: usize = 256;

/// What a hidden column says of its row's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HiddenKind {
    /// Where it is, as Athena shows it: `s3://bucket/key`, and `file:///lake/x.csv` for a local one. Spelled as the store
    /// spells it, so that it names the file wherever a location may stand.
    Path,
    /// Its size as it lies there, in bytes.
    FileSize,
    /// When it was last written, as the store says.
    FileModifiedTime,
    /// Its partition as Hive names the folder: `dt=2024-01-01/country=KR`. As in Trino, only tables with keys have it.
    Partition,
}

impl HiddenKind {
    /// All of them; a set of them is a mask of their places here.
    pub(crate) const ALL: [Self; 4] = [Self::Path, Self::FileSize, Self::FileModifiedTime, Self::Partition];

    /// The kind of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What a query calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Path => "$path",
            Self::FileSize => "$file_size",
            Self::FileModifiedTime => "$file_modified_time",
            Self::Partition => "$partition",
        }
    }

    /// Its bit in a mask.
    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Path | Self::Partition => DataType::String,
            Self::FileSize => DataType::BigInt,
            Self::FileModifiedTime => DataType::TimestampTz,
        }
    }
}

/// The hidden columns that one naming of a table has.
#[derive(Debug, Clone, Default)]
pub(crate) struct HiddenColumns {
    kinds: Vec<HiddenKind>,
    /// Their fields, under names that no other column of the query has.
    pub(crate) fields: Vec<FieldRef>,
}

impl HiddenColumns {
    /// Columns with these names.
    pub(crate) fn new(columns: impl IntoIterator<Item = (HiddenKind, String)>) -> Self {
        let (kinds, fields) = columns
            .into_iter()
            .map(|(kind, name)| {
                let field: Field = arrow_field(&name, &kind.data_type());
                (kind, Arc::new(field))
            })
            .unzip();
        Self { kinds, fields }
    }

    /// Whether `kind` is one of them.
    pub(crate) fn has(&self, kind: HiddenKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Their values in the rows of `file`.
    pub(crate) fn values(&self, file: &File, location: &Location, partitions: &PartitionIndex) -> Vec<ScalarValue> {
        let value = |kind: &HiddenKind| match kind {
            HiddenKind::Path => ScalarValue::Utf8View(Some(location.url_of(&file.meta.location))),
            HiddenKind::FileSize => ScalarValue::Int64(Some(i64::try_from(file.meta.size).unwrap_or(i64::MAX))),
            HiddenKind::FileModifiedTime => {
                let moment = file.meta.last_modified.timestamp_micros();
                ScalarValue::TimestampMicrosecond(Some(moment), Some("UTC".into()))
            }
            HiddenKind::Partition => {
                ScalarValue::Utf8View(file.partition.map(|partition| partition_name(partitions, partition)))
            }
        };
        self.kinds.iter().map(value).collect()
    }

    /// Conditions on the keys that follow from those on `"$partition"`: projected partitions are too many to look at each.
    pub(crate) fn implied(&self, keys: &[FieldRef], filters: &[Expr]) -> Vec<Expr> {
        let Some(name) = self.name_of(HiddenKind::Partition) else { return Vec::new() };
        filters.iter().filter_map(|filter| implied(name, keys, filter)).collect()
    }

    /// Drops the partitions that `filters` exclude by keys and `"$partition"` alone.
    pub(crate) fn keep_partitions(
        &self,
        state: &dyn Session,
        partitions: &mut KeptPartitions,
        filters: &[Expr],
    ) -> Result<()> {
        let Some(name) = self.name_of(HiddenKind::Partition) else { return Ok(()) };
        let index = Arc::clone(&partitions.index);
        let fields = with_keys(&index.keys, self.fields.iter().filter(|field| field.name() == name));
        let Some(exact) = deciding(&fields, name_set(&[name]), filters) else { return Ok(()) };
        let mut values = keys_of(&index, partitions.kept.iter().map(|&partition| Some(partition)))?;
        let names = partitions.kept.iter().map(|&partition| partition_name(&index, partition));
        values.push(Arc::new(StringViewArray::from_iter_values(names)));
        let keep = matching(state, &fields, &values, partitions.kept.len(), &exact)?;
        let mut at = keep.iter();
        partitions.kept.retain(|_| at.next().flatten() == Some(true));
        Ok(())
    }

    /// Drops the files that `filters` exclude by hidden columns and keys alone.
    pub(crate) fn keep_files(
        &self,
        state: &dyn Session,
        files: &mut Vec<File>,
        location: &Location,
        partitions: &PartitionIndex,
        filters: &[Expr],
    ) -> Result<()> {
        let fields = with_keys(&partitions.keys, self.fields.iter());
        let own: HashSet<&str> = self.fields.iter().map(|field| field.name().as_str()).collect();
        let Some(exact) = deciding(&fields, own, filters) else { return Ok(()) };
        if files.is_empty() {
            return Ok(());
        }
        let mut values = keys_of(partitions, files.iter().map(|file| file.partition))?;
        let rows: Vec<Vec<ScalarValue>> = files.iter().map(|file| self.values(file, location, partitions)).collect();
        for column in 0..self.kinds.len() {
            values.push(ScalarValue::iter_to_array(rows.iter().map(|row| row[column].clone()))?);
        }
        let keep = matching(state, &fields, &values, files.len(), &exact)?;
        let mut at = keep.iter();
        files.retain(|_| at.next().flatten() == Some(true));
        Ok(())
    }

    fn name_of(&self, kind: HiddenKind) -> Option<&str> {
        let at = self.kinds.iter().position(|other| *other == kind)?;
        Some(self.fields[at].name())
    }
}

fn name_set<'a>(names: &[&'a str]) -> HashSet<&'a str> {
    names.iter().copied().collect()
}

/// The filters that `fields` alone decide, if one of them names one of `own`: what names keys alone has been decided.
fn deciding<'a>(fields: &[FieldRef], own: HashSet<&str>, filters: &'a [Expr]) -> Option<Vec<&'a Expr>> {
    let all: HashSet<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let names_own = |filter: &Expr| filter.column_refs().iter().any(|column| own.contains(column.name.as_str()));
    let exact: Vec<&Expr> =
        filters.iter().filter(|filter| is_partition_only(filter, &all) && names_own(filter)).collect();
    (!exact.is_empty()).then_some(exact)
}

fn with_keys<'a>(keys: &'a [FieldRef], hidden: impl Iterator<Item = &'a FieldRef>) -> Vec<FieldRef> {
    keys.iter().chain(hidden).cloned().collect()
}

/// The keys' values of `partitions`, one after the other.
fn keys_of(index: &PartitionIndex, partitions: impl Iterator<Item = Option<usize>>) -> Result<Vec<ArrayRef>> {
    let places: UInt64Array = partitions.map(|partition| partition.map(|place| place as u64)).collect();
    index.values.iter().map(|values| Ok(take(values, &places, None)?)).collect()
}

/// A partition as Hive names its folder.
fn partition_name(index: &PartitionIndex, partition: usize) -> String {
    let values = index.keys.iter().zip(&index.list.values);
    let mut path = hive_path(values.map(|(key, values)| (key.name().as_str(), values[partition].as_deref())));
    path.truncate(path.trim_end_matches('/').len());
    path
}

/// What `filter`, if it compares the column `name` with constants, says of the keys.
fn implied(name: &str, keys: &[FieldRef], filter: &Expr) -> Option<Expr> {
    let is_name = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == name);
    match filter {
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
            let literal = match (is_name(&binary.left), is_name(&binary.right)) {
                (true, false) => &binary.right,
                (false, true) => &binary.left,
                _ => return None,
            };
            named(keys, literal)
        }
        Expr::InList(InList { expr, list, negated: false }) if is_name(expr) && list.len() <= NAMES_MAX => {
            disjunction(list.iter().map(|literal| named(keys, literal)).collect::<Option<Vec<_>>>()?)
        }
        _ => None,
    }
}

/// The keys' values in a partition's name.
fn named(keys: &[FieldRef], literal: &Expr) -> Option<Expr> {
    let Expr::Literal(literal, _) = literal else { return None };
    let text = literal.try_as_str()??;
    let levels = text.split('/').map(parse_hive_segment).collect::<Option<Vec<_>>>()?;
    if levels.len() != keys.len() {
        return None;
    }
    let conditions = keys.iter().zip(levels).map(|(key, (name, value))| {
        if !name.eq_ignore_ascii_case(key.name()) {
            return None;
        }
        let column = col(Column::new_unqualified(key.name()));
        match value {
            Some(value) => Some(column.eq(lit(ScalarValue::try_from_string(value, key.data_type()).ok()?))),
            None => Some(column.is_null()),
        }
    });
    conjunction(conditions.collect::<Option<Vec<_>>>()?)
}
