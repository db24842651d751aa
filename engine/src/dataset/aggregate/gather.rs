//! How each aggregate is gathered, and what was gathered by one thread.
//!
//! Counts, sums and bounds of integers have arrays of ours ([`limnos_columnar::aggregate`]); all others have DataFusion's
//! `GroupsAccumulator`, which takes the same places of groups. At the end ours are handed to DataFusion's accumulator as the state
//! that a partial aggregate would have given it, so that one piece of code says what a sum or an average is: its type, its
//! digits, its errors.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt32Array, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use limnos_columnar::aggregate::{Count, Distinct, Extreme, Groups, Order, Sum};
use limnos_columnar::{Dictionary, Table};

use super::integer::{IntegerArgument, integers_of, is_integer_underneath, slot_of};

/// Most bytes of the bits of one `count(DISTINCT x)`; beyond it a hash table of what occurs is smaller.
const DISTINCT_BYTES_MAX: usize = 16 << 20;

/// Integers up to here are floats of 64 bits, and so are their sums, in whatever order they are made.
const EXACT_FLOAT_MAX: u128 = 1 << 53;

/// An aggregate, ready to be gathered by any number of threads.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) expr: Arc<AggregateFunctionExpr>,
    /// The place of its FILTER among the computed columns.
    pub(super) filter: Option<usize>,
    pub(super) way: Way,
}

/// What is gathered.
#[derive(Debug)]
pub(super) enum Way {
    /// `count(*)`.
    Rows,
    /// `count(x)` of the column in a slot.
    Count { slot: usize },
    /// The sum, and for `avg` how many there were.
    Sum { argument: IntegerArgument, is_average: bool },
    /// The least or greatest integer.
    Extreme { order: Order, argument: IntegerArgument },
    /// The least or greatest text of a column with a dictionary, by its code.
    ExtremeText { order: Order, slot: usize, dictionary: Arc<Dictionary> },
    /// `count(DISTINCT x)` of a column with few values; codes are `first` less than what the slot has.
    Distinct { slot: usize, first: i64, values: usize },
    /// By DataFusion's accumulator, of these computed columns.
    Generic { arguments: Vec<usize> },
}

/// What the rows of a scan are, while its aggregates are made ready.
pub(super) struct Preparing<'a> {
    pub(super) table: &'a Table,
    /// The table's columns that the scan has.
    pub(super) columns: &'a [usize],
    /// Of the scan.
    pub(super) schema: &'a Schema,
    /// The table's columns that are wanted as integers.
    pub(super) slots: Vec<usize>,
    /// What DataFusion has to compute for each row, of the scan's columns.
    pub(super) computed: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) groups: usize,
}

impl Preparing<'_> {
    /// Makes an aggregate ready, whose arguments and filter read the scan's columns. `None` where it can't be gathered here.
    pub(super) fn gathering(
        &mut self,
        expr: &Arc<AggregateFunctionExpr>,
        arguments: &[Arc<dyn PhysicalExpr>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Option<Gathering> {
        if !expr.order_bys().is_empty() || expr.order_sensitivity() != AggregateOrderSensitivity::Insensitive {
            return None;
        }
        let way = match self.quick(expr, arguments) {
            Some(way) => way,
            None if expr.groups_accumulator_supported() => {
                Way::Generic { arguments: arguments.iter().map(|argument| self.compute(argument)).collect() }
            }
            None => return None,
        };
        let filter = filter.map(|filter| self.compute(filter));
        Some(Gathering { expr: Arc::clone(expr), filter, way })
    }

    fn compute(&mut self, expr: &Arc<dyn PhysicalExpr>) -> usize {
        self.computed.iter().position(|known| known == expr).unwrap_or_else(|| {
            self.computed.push(Arc::clone(expr));
            self.computed.len() - 1
        })
    }

    fn quick(&mut self, expr: &AggregateFunctionExpr, arguments: &[Arc<dyn PhysicalExpr>]) -> Option<Way> {
        let [argument] = arguments else { return None };
        if expr.is_distinct() {
            // The least of different values is the least of all.
            match expr.fun().name() {
                "count" => return self.distinct(argument),
                "min" | "max" => {}
                _ => return None,
            }
        }
        match expr.fun().name() {
            "count" => match argument.downcast_ref::<Literal>() {
                Some(literal) => (!literal.value().is_null()).then_some(Way::Rows),
                None => {
                    let column = self.column(argument)?;
                    Some(Way::Count { slot: slot_of(&mut self.slots, column) })
                }
            },
            "sum" => {
                let argument = self.integers(argument)?;
                matches!(argument.data_type, DataType::Int32 | DataType::Int64 | DataType::Decimal128(..))
                    .then_some(Way::Sum { argument, is_average: false })
            }
            "avg" => {
                // Integers are averaged as floats, whose sum is exact for as long as no digit is lost.
                if let Some(to_float) = argument.downcast_ref::<CastExpr>()
                    && argument.data_type(self.schema).ok()? == DataType::Float64
                {
                    let argument = self.integers(to_float.expr())?;
                    let most = u128::from(argument.bounds.magnitude()) * u128::from(self.table.rows());
                    return (argument.data_type.is_integer() && most < EXACT_FLOAT_MAX)
                        .then_some(Way::Sum { argument, is_average: true });
                }
                let argument = self.integers(argument)?;
                matches!(argument.data_type, DataType::Decimal128(..))
                    .then_some(Way::Sum { argument, is_average: true })
            }
            name @ ("min" | "max") => {
                let order = if name == "min" { Order::Min } else { Order::Max };
                if let Some(column) = self.column(argument)
                    && let Some(dictionary) = self.table.dictionary(column)
                {
                    let slot = slot_of(&mut self.slots, column);
                    return Some(Way::ExtremeText { order, slot, dictionary: Arc::clone(dictionary) });
                }
                let argument = self.integers(argument)?;
                is_integer_underneath(&argument.data_type).then_some(Way::Extreme { order, argument })
            }
            _ => None,
        }
    }

    fn integers(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Option<IntegerArgument> {
        IntegerArgument::new(expr, self.schema, self.table, self.columns, &mut self.slots)
    }

    /// The table's column that `expr` is, if codes are kept for it that fit 64 bits.
    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
        let column = *self.columns.get(expr.downcast_ref::<Column>()?.index())?;
        let fits = |(min, max): (i128, i128)| i64::try_from(min).is_ok() && i64::try_from(max).is_ok();
        let coded = super::integer::is_coded(self.table, column);
        (coded && self.table.statistics(column).integers.is_none_or(fits)).then_some(column)
    }

    fn distinct(&mut self, argument: &Arc<dyn PhysicalExpr>) -> Option<Way> {
        let column = self.column(argument)?;
        let (min, max) = self.table.statistics(column).integers?;
        let values = usize::try_from(max - min + 1).ok()?;
        if Distinct::bytes(self.groups, values) > DISTINCT_BYTES_MAX {
            return None;
        }
        Some(Way::Distinct { slot: slot_of(&mut self.slots, column), first: i64::try_from(min).ok()?, values })
    }
}

/// What one thread has gathered of one aggregate.
pub(super) enum Gathered {
    /// Nothing but the groups' rows.
    Rows,
    Count(Count),
    /// With a count where a group may have no value, or fewer than rows.
    Sum(Sum, Option<Count>),
    Extreme(Extreme, Option<Count>),
    Distinct(Distinct),
    Generic(Box<dyn GroupsAccumulator>),
}

/// A block of rows, as accumulators want it.
pub(super) struct Block<'a> {
    /// The place of each row's group.
    pub(super) ids: &'a [u32],
    pub(super) places: usize,
    /// The integers of each slot, and which are not NULL.
    pub(super) slots: &'a [(Vec<i64>, Option<NullBuffer>)],
    pub(super) computed: &'a [ArrayRef],
}

impl Block<'_> {
    fn filter(&self, gathering: &Gathering) -> Option<NullBuffer> {
        gathering.filter.map(|filter| NullBuffer::new(super::integer::passing(&self.computed[filter])))
    }

    fn integers(&self, argument: &IntegerArgument) -> (Vec<i64>, Option<NullBuffer>) {
        let columns: Vec<&[i64]> = self.slots.iter().map(|(values, _)| values.as_slice()).collect();
        let nulls = argument
            .used
            .iter()
            .fold(None, |nulls, slot| NullBuffer::union(nulls.as_ref(), self.slots[*slot].1.as_ref()));
        (argument.expression.evaluate(&columns).into_values(self.ids.len()), nulls)
    }
}

impl Gathered {
    /// Nothing yet.
    pub(super) fn new(gathering: &Gathering, table: &Table, slots: &[usize]) -> Result<Self> {
        let nullable = |used: &[usize]| {
            let has_nulls = used.iter().any(|slot| table.statistics(slots[*slot]).null_count > 0);
            (has_nulls || gathering.filter.is_some()).then(Count::default)
        };
        Ok(match &gathering.way {
            Way::Rows if gathering.filter.is_none() => Self::Rows,
            Way::Rows | Way::Count { .. } => Self::Count(Count::default()),
            Way::Sum { argument, .. } => Self::Sum(Sum::default(), nullable(&argument.used)),
            Way::Extreme { order, argument } => Self::Extreme(Extreme::new(*order), nullable(&argument.used)),
            Way::ExtremeText { order, slot, .. } => Self::Extreme(Extreme::new(*order), nullable(&[*slot])),
            Way::Distinct { values, .. } => Self::Distinct(Distinct::new(*values)),
            Way::Generic { .. } => Self::Generic(gathering.expr.create_groups_accumulator()?),
        })
    }

    /// Adds a block of rows.
    pub(super) fn add(&mut self, gathering: &Gathering, block: &Block<'_>) -> Result<()> {
        let filter = block.filter(gathering);
        let both = |nulls: Option<&NullBuffer>| NullBuffer::union(filter.as_ref(), nulls);
        let count_values = |count: &mut Option<Count>, valid: Option<&NullBuffer>| {
            if let Some(count) = count {
                count.grow(block.places);
                count.update(block.ids, valid);
            }
        };
        match (self, &gathering.way) {
            (Self::Rows, _) => {}
            (Self::Count(count), way) => {
                let nulls = match way {
                    Way::Count { slot } => block.slots[*slot].1.as_ref(),
                    _ => None,
                };
                count.grow(block.places);
                count.update(block.ids, both(nulls).as_ref());
            }
            (Self::Sum(sum, count), Way::Sum { argument, .. }) => {
                let bound = argument.bounds.magnitude();
                sum.grow(block.places);
                if let (Some(slot), None) = (argument.column(), &filter) {
                    let (values, nulls) = &block.slots[slot];
                    sum.update(block.ids, values, nulls.as_ref(), bound);
                    count_values(count, nulls.as_ref());
                    return Ok(());
                }
                let (values, nulls) = block.integers(argument);
                let valid = both(nulls.as_ref());
                sum.update(block.ids, &values, valid.as_ref(), bound);
                count_values(count, valid.as_ref());
            }
            (Self::Extreme(extreme, count), Way::Extreme { argument, .. }) => {
                let (values, nulls) = block.integers(argument);
                let valid = both(nulls.as_ref());
                extreme.grow(block.places);
                extreme.update(block.ids, &values, valid.as_ref());
                count_values(count, valid.as_ref());
            }
            (Self::Extreme(extreme, count), Way::ExtremeText { slot, .. }) => {
                let (values, nulls) = &block.slots[*slot];
                let valid = both(nulls.as_ref());
                extreme.grow(block.places);
                extreme.update(block.ids, values, valid.as_ref());
                count_values(count, valid.as_ref());
            }
            (Self::Distinct(distinct), Way::Distinct { slot, first, .. }) => {
                let (values, nulls) = &block.slots[*slot];
                let valid = both(nulls.as_ref());
                // What lies under a NULL may be anything below the first.
                let codes: Vec<u32> = values.iter().map(|value| value.wrapping_sub(*first).max(0) as u32).collect();
                let codes = within(codes, valid.as_ref());
                distinct.grow(block.places);
                distinct.update(block.ids, &codes, valid.as_ref());
            }
            (Self::Generic(accumulator), Way::Generic { arguments }) => {
                let arguments: Vec<ArrayRef> = arguments.iter().map(|at| Arc::clone(&block.computed[*at])).collect();
                let ids: Vec<usize> = block.ids.iter().map(|id| *id as usize).collect();
                let filter = filter.map(|filter| BooleanArray::new(filter.into_inner(), None));
                accumulator.update_batch(&arguments, &ids, filter.as_ref(), block.places)?;
            }
            _ => return internal_err!("an aggregate was gathered in two ways"),
        }
        Ok(())
    }

    /// Adds what another thread gathered, whose places are `places` of ours, which are `count` in all.
    pub(super) fn merge(&mut self, other: Self, places: &[u32], place_count: usize) -> Result<()> {
        let counts = |ours: &mut Option<Count>, theirs: Option<Count>| {
            if let (Some(ours), Some(mut theirs)) = (ours.as_mut(), theirs) {
                ours.grow(place_count);
                theirs.grow(places.len());
                ours.merge(&theirs, places);
            }
        };
        match (self, other) {
            (Self::Rows, Self::Rows) => {}
            (Self::Count(ours), Self::Count(theirs)) => counts_only(ours, theirs, places, place_count),
            (Self::Sum(ours, our_count), Self::Sum(mut theirs, their_count)) => {
                ours.grow(place_count);
                theirs.grow(places.len());
                ours.merge(&theirs, places);
                counts(our_count, their_count);
            }
            (Self::Extreme(ours, our_count), Self::Extreme(mut theirs, their_count)) => {
                ours.grow(place_count);
                theirs.grow(places.len());
                ours.merge(&theirs, places);
                counts(our_count, their_count);
            }
            (Self::Distinct(ours), Self::Distinct(mut theirs)) => {
                ours.grow(place_count);
                theirs.grow(places.len());
                ours.merge(&theirs, places);
            }
            (Self::Generic(ours), Self::Generic(mut theirs)) => {
                let ids: Vec<usize> = places.iter().map(|place| *place as usize).collect();
                ours.merge_batch(&theirs.state(EmitTo::All)?, &ids, place_count)?;
            }
            _ => return internal_err!("an aggregate was gathered in two ways"),
        }
        Ok(())
    }

    /// The aggregate's value of each of the groups that have these places.
    pub(super) fn finish(mut self, gathering: &Gathering, groups: &Groups, seen: &[u32]) -> Result<ArrayRef> {
        let each = || seen.iter().map(|place| *place as usize);
        let values_of = |count: Option<&Count>| -> Vec<u64> {
            each().map(|place| count.map_or_else(|| groups.rows(place), |count| count.get(place))).collect()
        };
        let some = |counts: &[u64]| Some(NullBuffer::from_iter(counts.iter().map(|count| *count > 0)));
        if let Self::Generic(accumulator) = &mut self {
            let all = accumulator.evaluate(EmitTo::All)?;
            return Ok(take(&all, &UInt32Array::from(seen.to_vec()), None)?);
        }
        if let Self::Distinct(distinct) = &self {
            return Ok(Arc::new(Int64Array::from_iter_values(each().map(|place| distinct.get(place) as i64))));
        }
        let types: Vec<DataType> =
            gathering.expr.state_fields()?.iter().map(|field| field.data_type().clone()).collect();
        let state: Vec<ArrayRef> = match (&self, &gathering.way, types.as_slice()) {
            (Self::Rows, ..) => vec![Arc::new(Int64Array::from_iter_values(each().map(|p| groups.rows(p) as i64)))],
            (Self::Count(count), ..) => {
                vec![Arc::new(Int64Array::from_iter_values(each().map(|place| count.get(place) as i64)))]
            }
            (Self::Sum(sum, count), Way::Sum { is_average: false, .. }, [to]) => {
                vec![integers_of(each().map(|place| sum.get(place)), some(&values_of(count.as_ref())), to)?]
            }
            (Self::Sum(sum, count), Way::Sum { is_average: true, .. }, [_, to]) => {
                let counts = values_of(count.as_ref());
                let valid = some(&counts);
                let sums = match to {
                    DataType::Float64 => {
                        let wide = each().map(|place| sum.get(place));
                        cast(&integers_of(wide, valid.clone(), &DataType::Int64)?, &DataType::Float64)?
                    }
                    to => integers_of(each().map(|place| sum.get(place)), valid.clone(), to)?,
                };
                // A group of nothing but NULL has no count either: one of 0 would be divided by.
                vec![Arc::new(UInt64Array::new(counts.into(), valid)), sums]
            }
            (Self::Extreme(extreme, count), Way::Extreme { .. }, [to]) => {
                let valid = some(&values_of(count.as_ref()));
                vec![integers_of(each().map(|place| extreme.get(place).into()), valid, to)?]
            }
            (Self::Extreme(extreme, count), Way::ExtremeText { dictionary, .. }, [_]) => {
                let counts = values_of(count.as_ref());
                let codes: UInt32Array =
                    each().zip(counts).map(|(place, count)| (count > 0).then(|| extreme.get(place) as u32)).collect();
                vec![take(dictionary.values(), &codes, None)?]
            }
            _ => return internal_err!("an aggregate's state has other columns than were gathered"),
        };
        let mut accumulator = gathering.expr.create_groups_accumulator()?;
        accumulator.merge_batch(&state, &(0..seen.len()).collect::<Vec<_>>(), seen.len())?;
        accumulator.evaluate(EmitTo::All)
    }

    /// Bytes that are held.
    pub(super) fn size(&self) -> usize {
        let count = |count: &Option<Count>| count.as_ref().map_or(0, Count::size);
        match self {
            Self::Rows => 0,
            Self::Count(count) => count.size(),
            Self::Sum(sum, counts) => sum.size() + count(counts),
            Self::Extreme(extreme, counts) => extreme.size() + count(counts),
            Self::Distinct(distinct) => distinct.size(),
            Self::Generic(accumulator) => accumulator.size(),
        }
    }
}

fn counts_only(ours: &mut Count, mut theirs: Count, places: &[u32], place_count: usize) {
    ours.grow(place_count);
    theirs.grow(places.len());
    ours.merge(&theirs, places);
}

/// Codes with 0 in the place of those that are NULL.
fn within(mut codes: Vec<u32>, valid: Option<&NullBuffer>) -> Vec<u32> {
    if let Some(valid) = valid {
        for (row, code) in codes.iter_mut().enumerate() {
            if valid.is_null(row) {
                *code = 0;
            }
        }
    }
    codes
}
