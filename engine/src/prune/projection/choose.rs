//! A projection and a predicate -> the partitions to read. What one key's own conditions exclude is never combined with the
//! other keys' values.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::{filter, take};
use arrow::datatypes::{FieldRef, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::catalog::Session;
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::Expr;
use limnos_catalog::PartitionList;

use super::narrow::{MISSING_MAX, Narrowing, named_values};
use super::property::is_path;
use super::sequence::{Kind, Sequence, spell_literal};
use super::{KeyProjection, Projection};
use crate::error::to_datafusion;
use crate::prune::partition::{PartitionIndex, is_partition_only, matching};
use crate::prune::source::KeptPartitions;
use crate::{Error, ErrorCode, Notice};

/// Most values of one key that its conditions are evaluated over, and most combinations of values that the whole predicate
/// is: both take under a second.
pub(super) const COMBINATIONS_MAX: u64 = 1_000_000;

/// Most projected partitions that one scan reads. Each is a listing, at tens of a second for a thousand in S3.
pub(super) const PARTITIONS_MAX: u64 = 100_000;

/// Values named one by one in a notice.
const NAMED_MAX: usize = 3;

/// What is left of one key's values.
struct Chosen {
    texts: Vec<Box<str>>,
    typed: ArrayRef,
}

impl Projection {
    /// The partitions that `filters` don't exclude at `now`.
    pub(crate) fn prune(
        &self,
        now: DateTime<Utc>,
        state: &dyn Session,
        table_schema: &SchemaRef,
        filters: &[Expr],
    ) -> DataFusionResult<KeptPartitions> {
        let mut chosen = Vec::with_capacity(self.keys.len());
        let mut total: u64 = 1;
        let mut notices = Vec::new();
        for (field, key) in self.fields.iter().zip(&self.keys) {
            let sequence = match key.sequence(&self.table, field, now.naive_utc()) {
                Some(sequence) => sequence,
                None => self.injected(field, filters, &mut notices).map_err(to_datafusion)?,
            };
            total = total.saturating_mul(u64::try_from(sequence.count()).unwrap_or(u64::MAX));
            let is_injected = matches!(key, KeyProjection::Injected);
            chosen.push(self.choose(state, field, &sequence, is_injected, filters, &mut notices)?);
        }
        let combinations = self.combine(&chosen).map_err(to_datafusion)?;
        let kept = combinations.prune(state, table_schema, filters)?;
        if kept.len() as u64 > PARTITIONS_MAX {
            return Err(to_datafusion(self.too_many(&chosen, kept.len() as u64, PARTITIONS_MAX)));
        }
        let index = self.partitions(&chosen, &combinations, &kept)?;
        Ok(KeptPartitions {
            kept: (0..index.len()).collect(),
            index: Arc::new(index),
            total,
            is_projected: true,
            notices,
        })
    }

    /// The values that a query names for an injected key.
    fn injected(&self, field: &FieldRef, filters: &[Expr], notices: &mut Vec<Notice>) -> crate::Result<Sequence> {
        let (table, name) = (&self.table, field.name());
        let literals = named_values(name, filters).ok_or_else(|| {
            let message = format!("partition key \"{name}\" of table \"{table}\" needs a value in the WHERE clause");
            Error::new(ErrorCode::InvalidStatement, message)
                .with_detail("Its projection has the type injected: its values are those that a query names.")
                .with_hint(format!("Add a condition with constants: {name} = '...' or {name} IN ('...', '...')."))
        })?;
        let mut values = Vec::with_capacity(literals.len());
        // Read once, however often and in however many forms it is named.
        let mut seen = HashSet::with_capacity(literals.len());
        for literal in literals {
            let Some(value) = spell_literal(&literal)? else { continue };
            // In a location, `..` would leave the folder, and an empty part would be the folder above.
            if self.template.is_some() && !is_path(&value) {
                let message = format!("table \"{table}\" has no partition for \"{name}\" = \"{value}\"");
                notices.push(Notice::warning(format!("{message}: no folder is named so")));
                continue;
            }
            if seen.insert(value.clone()) {
                values.push(value);
            }
        }
        Ok(Sequence::new(&self.table, field, Kind::List(values.into())))
    }

    /// The values of one key that its own conditions keep.
    fn choose(
        &self,
        state: &dyn Session,
        field: &FieldRef,
        sequence: &Sequence,
        is_injected: bool,
        filters: &[Expr],
        notices: &mut Vec<Notice>,
    ) -> DataFusionResult<Chosen> {
        let name = field.name();
        let mut narrowing = Narrowing::new(name, sequence, COMBINATIONS_MAX.into());
        let indexes = narrowing.narrow(filters);
        let missing = std::mem::take(&mut narrowing.missing);
        let count = indexes.iter().map(|range| range.end - range.start).sum::<u128>();
        if count > u128::from(COMBINATIONS_MAX) {
            let message = format!("too many projected partitions of table \"{}\"", self.table);
            let error = Error::new(ErrorCode::ProgramLimitExceeded, message)
                .with_detail(format!(
                    "Partition key \"{name}\" has {count} values under the query's conditions, of at most \
                     {COMBINATIONS_MAX}."
                ))
                .with_hint(format!("Compare \"{name}\" with constants in the WHERE clause."));
            return Err(to_datafusion(error));
        }
        let (mut texts, mut typed) = sequence.values(indexes.into_iter().flatten()).map_err(to_datafusion)?;
        let names = HashSet::from([name.as_str()]);
        let own: Vec<&Expr> = filters.iter().filter(|filter| is_partition_only(filter, &names)).collect();
        if !own.is_empty() && !texts.is_empty() {
            let keep = matching(state, std::slice::from_ref(field), std::slice::from_ref(&typed), texts.len(), &own)?;
            typed = filter(&typed, &keep)?;
            let mut keep = keep.iter();
            texts.retain(|_| keep.next().flatten().unwrap_or(false));
        }
        if !is_injected {
            notices.extend(self.out_of_range(name, sequence, &missing, texts.is_empty()));
        }
        Ok(Chosen { texts, typed })
    }

    /// What to say of conditions that no projected value meets: without a word, no rows would be taken for no data.
    fn out_of_range(
        &self,
        name: &str,
        sequence: &Sequence,
        missing: &[ScalarValue],
        none_left: bool,
    ) -> Option<Notice> {
        let table = &self.table;
        if sequence.count() == 0 {
            let message =
                format!("table \"{table}\" has no partitions now: the projected range of \"{name}\" is empty");
            return Some(Notice::warning(message));
        }
        let projected = sequence.describe();
        if !missing.is_empty() {
            let spelled = missing.iter().filter_map(|value| spell_literal(value).ok().flatten());
            let named: Vec<String> = spelled.take(NAMED_MAX).map(|value| format!("\"{value}\"")).collect();
            let more = match missing.len().saturating_sub(NAMED_MAX) {
                0 => String::new(),
                _ if missing.len() == MISSING_MAX => " and many more".to_owned(),
                more => format!(" and {more} more"),
            };
            let message = format!("table \"{table}\" has no partition for \"{name}\" = {}{more}", named.join(", "));
            return Some(Notice::warning(format!("{message}: \"{name}\" is projected as {projected}")));
        }
        none_left.then(|| {
            let message = format!("table \"{table}\" has no partition that meets the condition on \"{name}\"");
            Notice::warning(format!("{message}: \"{name}\" is projected as {projected}"))
        })
    }

    /// All combinations of what is left, typed; the first key's values change slowest.
    fn combine(&self, chosen: &[Chosen]) -> crate::Result<PartitionIndex> {
        let count = chosen.iter().fold(1_u64, |count, key| count.saturating_mul(key.texts.len() as u64));
        if count > COMBINATIONS_MAX {
            return Err(self.too_many(chosen, count, COMBINATIONS_MAX));
        }
        let mut repeat = u32::try_from(count).unwrap_or(u32::MAX);
        let mut values = Vec::with_capacity(chosen.len());
        for key in chosen {
            let own = u32::try_from(key.texts.len()).unwrap_or(u32::MAX).max(1);
            repeat /= own;
            let numbers: UInt32Array =
                (0..u32::try_from(count).unwrap_or(0)).map(|row| row / repeat.max(1) % own).collect();
            values.push(take(&key.typed, &numbers, None).map_err(|error| Error::internal(error.to_string()))?);
        }
        Ok(PartitionIndex { keys: self.fields.clone(), values, list: Arc::default() })
    }

    fn too_many(&self, chosen: &[Chosen], count: u64, most: u64) -> Error {
        let keys: Vec<String> = self
            .fields
            .iter()
            .zip(chosen)
            .map(|(field, key)| format!("{} of \"{}\"", key.texts.len(), field.name()))
            .collect();
        let longest = self.fields.iter().zip(chosen).max_by_key(|(_, key)| key.texts.len());
        let longest = longest.map_or("", |(field, _)| field.name());
        Error::new(
            ErrorCode::ProgramLimitExceeded,
            format!("too many projected partitions of table \"{}\"", self.table),
        )
        .with_detail(format!(
            "The query's conditions leave {count} partitions, of at most {most}; of the keys' values: {}.",
            keys.join(", ")
        ))
        .with_hint(format!("Add a condition on \"{longest}\" to the WHERE clause."))
    }

    /// The combinations `kept`, spelled and located.
    fn partitions(
        &self,
        chosen: &[Chosen],
        combinations: &PartitionIndex,
        kept: &[usize],
    ) -> DataFusionResult<PartitionIndex> {
        let mut list = PartitionList::default();
        let mut repeat = combinations.len();
        for key in chosen {
            let own = key.texts.len().max(1);
            repeat /= own;
            list.values.push(kept.iter().map(|row| Some(key.texts[row / repeat.max(1) % own].clone())).collect());
        }
        for row in 0..kept.len() {
            let values: Vec<&str> =
                list.values.iter().map(|values| values[row].as_deref().unwrap_or_default()).collect();
            list.locations.push(Some(self.location(&values).into()));
        }
        let mask: BooleanArray = {
            let mut keep = vec![false; combinations.len()];
            kept.iter().for_each(|row| keep[*row] = true);
            keep.into()
        };
        let values = combinations
            .values
            .iter()
            .map(|values| Ok(filter(values, &mask)?))
            .collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        Ok(PartitionIndex { keys: self.fields.clone(), values, list: Arc::new(list) })
    }
}
