//! A [`Predicate`] made ready for one table: constants are integers and codes, what was asked of a dictionary's values is a table
//! of answers. Then a chunk costs a look at its zones, and where that doesn't settle it, comparisons of codes where they lie.
//!
//! Conditions are true, false or unknown; a chunk's [`Possible`] is the set of what its rows can get, and what isn't in the
//! set needn't be looked for.

use std::cmp::Ordering;
use std::collections::HashSet;

use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;

use crate::codes::{Packed, pack_bits};
use crate::column::Encoding;
use crate::dictionary::Dictionary;
use crate::native::{Native, integer_at, stored_type, widened};
use crate::predicate::{Comparison, Evaluate, Predicate};
use crate::table::{Chunk, Table};
use crate::zone::{Bound, Zone};
use crate::{Error, Result};

/// The rows of a chunk that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of so many.
    All(usize),
    /// These, in order.
    Rows(Vec<u32>),
}

impl Selection {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Whether it is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of_bits(bits: &BooleanBuffer) -> Self {
        match bits.count_set_bits() {
            count if count == bits.len() => Self::All(count),
            count => {
                let mut rows = Vec::with_capacity(count);
                rows.extend(bits.set_indices_u32());
                Self::Rows(rows)
            }
        }
    }
}

/// What a chunk's zones say of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No row is wanted.
    None,
    /// Every row is.
    All,
    /// The rows must be looked at.
    Some,
}

/// A predicate ready for the chunks of one table.
#[derive(Clone, Debug)]
pub struct Filter {
    node: Node,
}

#[derive(Clone)]
enum Node {
    Constant(Option<bool>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    IsNull(usize),
    /// Integers or codes from `low` to `high`, both included.
    Range {
        column: usize,
        low: i128,
        high: i128,
    },
    /// Integers among these, which are sorted.
    Set {
        column: usize,
        values: Vec<i128>,
    },
    /// What each code of a dictionary gets, and NULL.
    Answers {
        column: usize,
        answers: Answers,
    },
    /// An array against a constant.
    Compare {
        column: usize,
        comparison: Comparison,
        value: Scalar<ArrayRef>,
        bound: Option<Bound>,
    },
    /// Arrays of the rows are asked about.
    Rows {
        columns: Vec<usize>,
        evaluate: Evaluate,
    },
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value:?}"),
            Self::And(nodes) => f.debug_tuple("And").field(nodes).finish(),
            Self::Or(nodes) => f.debug_tuple("Or").field(nodes).finish(),
            Self::Not(node) => f.debug_tuple("Not").field(node).finish(),
            Self::IsNull(column) => write!(f, "IsNull({column})"),
            Self::Range { column, low, high } => write!(f, "{column} in {low}..={high}"),
            Self::Set { column, values } => write!(f, "{column} in {} values", values.len()),
            Self::Answers { column, .. } => write!(f, "answers({column})"),
            Self::Compare { column, comparison, .. } => write!(f, "{column} {comparison:?}"),
            Self::Rows { columns, .. } => write!(f, "f({columns:?})"),
        }
    }
}

#[derive(Clone)]
struct Answers {
    yes: Vec<bool>,
    known: Vec<bool>,
    null: Option<bool>,
    /// How many codes below each are true; how many are false.
    yes_below: Vec<u32>,
    no_below: Vec<u32>,
}

/// What rows can get: bits of `TRUE`, `FALSE`, `UNKNOWN`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Possible(u8);

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const UNKNOWN: u8 = 4;

impl Possible {
    fn of(answer: Option<bool>) -> Self {
        Self(match answer {
            Some(true) => TRUE,
            Some(false) => FALSE,
            None => UNKNOWN,
        })
    }

    fn new(yes: bool, no: bool, unknown: bool) -> Self {
        Self((u8::from(yes) * TRUE) | (u8::from(no) * FALSE) | (u8::from(unknown) * UNKNOWN))
    }

    fn not(self) -> Self {
        Self::new(self.0 & FALSE != 0, self.0 & TRUE != 0, self.0 & UNKNOWN != 0)
    }

    /// False if one can be; true only if both can; unknown if one can be and the other needn't be false.
    fn and(self, other: Self) -> Self {
        let (this, other) = (self.0, other.0);
        let unknown = (this & UNKNOWN != 0 && other & (TRUE | UNKNOWN) != 0)
            || (other & UNKNOWN != 0 && this & (TRUE | UNKNOWN) != 0);
        Self::new(this & other & TRUE != 0, (this | other) & FALSE != 0, unknown)
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// What each row got.
struct Answer {
    yes: BooleanBuffer,
    /// `None`: nothing is unknown. `yes` isn't set where it is.
    known: Option<BooleanBuffer>,
}

impl Answer {
    fn constant(answer: Option<bool>, rows: usize) -> Self {
        match answer {
            Some(true) => Self { yes: BooleanBuffer::new_set(rows), known: None },
            Some(false) => Self { yes: BooleanBuffer::new_unset(rows), known: None },
            None => Self { yes: BooleanBuffer::new_unset(rows), known: Some(BooleanBuffer::new_unset(rows)) },
        }
    }

    fn of_array(array: &BooleanArray) -> Self {
        match array.nulls() {
            None => Self { yes: array.values().clone(), known: None },
            Some(nulls) => Self { yes: array.values() & nulls.inner(), known: Some(nulls.inner().clone()) },
        }
    }

    /// What is unknown where `nulls` says NULL.
    fn masked(yes: BooleanBuffer, nulls: Option<&BooleanBuffer>) -> Self {
        match nulls {
            None => Self { yes, known: None },
            Some(known) => Self { yes: &yes & known, known: Some(known.clone()) },
        }
    }

    fn no(&self) -> BooleanBuffer {
        match &self.known {
            None => !&self.yes,
            Some(known) => known & &!&self.yes,
        }
    }

    fn not(self) -> Self {
        Self { yes: self.no(), known: self.known }
    }

    fn and(self, other: &Self) -> Self {
        let yes = &self.yes & &other.yes;
        let known = (self.known.is_some() || other.known.is_some()).then(|| &yes | &(&self.no() | &other.no()));
        Self { yes, known }
    }

    fn or(self, other: &Self) -> Self {
        let yes = &self.yes | &other.yes;
        let known = (self.known.is_some() || other.known.is_some()).then(|| &yes | &(&self.no() & &other.no()));
        Self { yes, known }
    }

    /// Those of some rows.
    fn gather(&self, rows: &[u32]) -> Self {
        let bits = |bits: &BooleanBuffer| pack_bits(rows, |row| bits.value(row as usize));
        Self { yes: bits(&self.yes), known: self.known.as_ref().map(bits) }
    }
}

impl Filter {
    /// Makes a predicate ready for the chunks of `table`.
    ///
    /// # Errors
    /// If a column isn't there, or a constant has another type than its column.
    pub fn new(table: &Table, predicate: &Predicate) -> Result<Self> {
        Ok(Self { node: prepare(table, predicate)? })
    }

    /// What the zones of a chunk say.
    #[must_use]
    pub fn verdict(&self, chunk: &Chunk) -> Verdict {
        match possible(&self.node, chunk) {
            _ if chunk.rows() == 0 => Verdict::None,
            Possible(set) if set & TRUE == 0 => Verdict::None,
            Possible(TRUE) => Verdict::All,
            _ => Verdict::Some,
        }
    }

    /// Which rows of a chunk are wanted.
    ///
    /// # Errors
    /// Those of what is asked about rows.
    pub fn select(&self, chunk: &Chunk) -> Result<Selection> {
        match self.verdict(chunk) {
            Verdict::None => return Ok(Selection::Rows(Vec::new())),
            Verdict::All => return Ok(Selection::All(chunk.rows())),
            Verdict::Some => {}
        }
        self.refine(chunk, Selection::All(chunk.rows()))
    }

    /// Whether rows have to be decoded for it.
    #[must_use]
    pub fn decodes(&self) -> bool {
        self.node.is_costly()
    }

    /// Which of the rows of a chunk that are selected already are wanted. Doesn't look at zones first.
    ///
    /// # Errors
    /// Those of what is asked about rows.
    pub fn refine(&self, chunk: &Chunk, selection: Selection) -> Result<Selection> {
        let nodes = match &self.node {
            Node::And(nodes) => nodes.as_slice(),
            node => std::slice::from_ref(node),
        };
        // Codes first: they cost next to nothing, and what costs more is asked only about the rows that they leave.
        let (costly, cheap): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(|node| node.is_costly());
        let mut yes: Option<BooleanBuffer> = None;
        for node in cheap {
            if possible(node, chunk) == Possible(TRUE) {
                continue;
            }
            let answer = evaluate(node, chunk, None)?.yes;
            let both = match yes {
                None => answer,
                Some(yes) => &yes & &answer,
            };
            if both.count_set_bits() == 0 {
                return Ok(Selection::Rows(Vec::new()));
            }
            yes = Some(both);
        }
        let mut selection = match (yes, selection) {
            (None, selection) => selection,
            (Some(yes), Selection::All(_)) => Selection::of_bits(&yes),
            (Some(yes), Selection::Rows(rows)) => {
                Selection::Rows(rows.into_iter().filter(|&row| yes.value(row as usize)).collect())
            }
        };
        for node in costly {
            if possible(node, chunk) == Possible(TRUE) {
                continue;
            }
            if selection.is_empty() {
                break;
            }
            selection = match selection {
                Selection::All(_) => Selection::of_bits(&evaluate(node, chunk, None)?.yes),
                Selection::Rows(rows) => {
                    let yes = evaluate(node, chunk, Some(&rows))?.yes;
                    Selection::Rows(yes.set_indices().map(|place| rows[place]).collect())
                }
            };
        }
        Ok(selection)
    }
}

impl Node {
    /// Whether rows have to be decoded for it.
    fn is_costly(&self) -> bool {
        match self {
            Self::Compare { .. } | Self::Rows { .. } => true,
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().any(Self::is_costly),
            Self::Not(node) => node.is_costly(),
            Self::Constant(_) | Self::IsNull(_) | Self::Range { .. } | Self::Set { .. } | Self::Answers { .. } => false,
        }
    }
}

fn prepare(table: &Table, predicate: &Predicate) -> Result<Node> {
    Ok(match predicate {
        Predicate::Constant(value) => Node::Constant(*value),
        Predicate::And(terms) => {
            let mut nodes = Vec::with_capacity(terms.len());
            for term in terms {
                match prepare(table, term)? {
                    Node::And(inner) => nodes.extend(inner),
                    node => nodes.push(node),
                }
            }
            Node::And(nodes)
        }
        Predicate::Or(terms) => Node::Or(terms.iter().map(|term| prepare(table, term)).collect::<Result<_>>()?),
        Predicate::Not(term) => Node::Not(Box::new(prepare(table, term)?)),
        Predicate::IsNull { column } => {
            column_type(table, *column)?;
            Node::IsNull(*column)
        }
        Predicate::Compare { column, comparison, value } => prepare_compare(table, *column, *comparison, value)?,
        Predicate::In { column, values } => prepare_in(table, *column, values)?,
        Predicate::OnValues { column, evaluate } => {
            column_type(table, *column)?;
            match table.dictionary(*column).map(|dictionary| answers(dictionary, evaluate)) {
                Some(Some(answers)) => answers_node(*column, answers),
                // What fails for a value of the dictionary may never be asked about a row that has it.
                Some(None) | None => Node::Rows { columns: vec![*column], evaluate: evaluate.clone() },
            }
        }
        Predicate::OnRows { columns, evaluate } => {
            columns.iter().try_for_each(|&column| column_type(table, column).map(|_| ()))?;
            Node::Rows { columns: columns.clone(), evaluate: evaluate.clone() }
        }
    })
}

fn column_type(table: &Table, column: usize) -> Result<&DataType> {
    let field = table
        .schema()
        .fields()
        .get(column)
        .ok_or(Error::Misuse("a predicate names a column that the table doesn't have"))?;
    Ok(field.data_type())
}

/// Constants as the column's type keeps them.
fn stored_constants(table: &Table, column: usize, values: &ArrayRef) -> Result<ArrayRef> {
    let wants = column_type(table, column)?;
    match values.data_type() {
        has if has == wants => Ok(ArrayRef::clone(values)),
        has if stored_type(has) == *wants => Ok(cast(values, wants)?),
        has => Err(Error::Mismatch(format!("a constant of type {has} is compared with a column of type {wants}"))),
    }
}

fn prepare_compare(table: &Table, column: usize, comparison: Comparison, value: &ArrayRef) -> Result<Node> {
    let value = stored_constants(table, column, value)?;
    if value.len() != 1 {
        return Err(Error::Misuse("a constant is an array of one value"));
    }
    if value.is_null(0) || value.data_type().is_null() {
        return Ok(Node::Constant(None));
    }
    if let Some(dictionary) = table.dictionary(column) {
        let place = dictionary.find(&bytes_at(&value, 0)?);
        let (low, high) = match place {
            Ok(code) => (code as i128, code as i128),
            // Between two codes: nothing is equal, all up to the one before is less.
            Err(code) => (code as i128, code as i128 - 1),
        };
        return Ok(range(column, comparison, low, high));
    }
    if let Some(integer) = Native::of(value.data_type()).map(|_| integer_at(&value, 0)).transpose()?.flatten() {
        return Ok(range(column, comparison, integer, integer));
    }
    if value.data_type().is_nested() {
        return Err(Error::Misuse("nested values aren't compared with constants"));
    }
    let bound = Zone::of_array(&value).min;
    Ok(Node::Compare { column, comparison, value: Scalar::new(value), bound })
}

/// A comparison with what lies from `low` to `high` (nowhere, if high is less: then between high and low).
fn range(column: usize, comparison: Comparison, low: i128, high: i128) -> Node {
    let up_to = |high| Node::Range { column, low: i128::MIN, high };
    let from = |low| Node::Range { column, low, high: i128::MAX };
    let nothing = Node::Range { column, low: 0, high: -1 };
    match comparison {
        Comparison::Equal => Node::Range { column, low, high },
        Comparison::NotEqual => Node::Not(Box::new(Node::Range { column, low, high })),
        Comparison::Less => low.checked_sub(1).map_or(nothing, up_to),
        Comparison::LessOrEqual => up_to(high),
        Comparison::Greater => high.checked_add(1).map_or(nothing, from),
        Comparison::GreaterOrEqual => from(low),
    }
}

fn prepare_in(table: &Table, column: usize, values: &ArrayRef) -> Result<Node> {
    let values = stored_constants(table, column, values)?;
    let has_null = values.logical_null_count() > 0;
    // A row that has none of the others might have the NULL one's.
    let with_null = |node: Node| if has_null { Node::Or(vec![node, Node::Constant(None)]) } else { node };
    let valid = (0..values.len()).filter(|&row| values.is_valid(row) && !values.data_type().is_null());
    if let Some(dictionary) = table.dictionary(column) {
        let mut yes = vec![false; dictionary.len()];
        for row in valid {
            if let Ok(code) = dictionary.find(&bytes_at(&values, row)?) {
                yes[code] = true;
            }
        }
        let known = vec![true; yes.len()];
        return Ok(with_null(answers_node(column, Answers::new(yes, known, None))));
    }
    if Native::of(values.data_type()).is_some() {
        let mut integers =
            valid.filter_map(|row| integer_at(&values, row).transpose()).collect::<Result<Vec<i128>>>()?;
        integers.sort_unstable();
        integers.dedup();
        return Ok(with_null(match integers.as_slice() {
            [first, .., last] if (last.checked_sub(*first)) == Some(integers.len() as i128 - 1) => {
                Node::Range { column, low: *first, high: *last }
            }
            [one] => Node::Range { column, low: *one, high: *one },
            _ => Node::Set { column, values: integers },
        }));
    }
    let nodes = valid
        .map(|row| prepare_compare(table, column, Comparison::Equal, &values.slice(row, 1)))
        .collect::<Result<Vec<_>>>()?;
    // With nothing in the list even NULL is none of it, unless a list of SQL's: it is never empty.
    Ok(with_null(Node::Or(nodes)))
}

fn bytes_at(array: &ArrayRef, row: usize) -> Result<Vec<u8>> {
    match array.data_type() {
        DataType::Utf8View => Ok(array.as_string_view().value(row).as_bytes().to_vec()),
        DataType::BinaryView => Ok(array.as_binary_view().value(row).to_vec()),
        _ => Err(Error::Misuse("dictionaries are of text and binary")),
    }
}

/// Asks about each value of a dictionary, and about NULL.
fn answers(dictionary: &Dictionary, evaluate: &Evaluate) -> Option<Answers> {
    let null = arrow::array::new_null_array(dictionary.values().data_type(), 1);
    let values = concat(&[dictionary.values().as_ref(), null.as_ref()]).ok()?;
    let array = evaluate(&[values]).ok().filter(|array| array.len() == dictionary.len() + 1)?;
    let answer = |row: usize| array.is_valid(row).then(|| array.value(row));
    let yes = (0..dictionary.len()).map(|code| answer(code) == Some(true)).collect();
    let known = (0..dictionary.len()).map(|code| answer(code).is_some()).collect();
    Some(Answers::new(yes, known, answer(dictionary.len())))
}

impl Answers {
    fn new(yes: Vec<bool>, known: Vec<bool>, null: Option<bool>) -> Self {
        let below = |counts: &dyn Fn(usize) -> bool| {
            let mut below = Vec::with_capacity(yes.len() + 1);
            let mut count = 0;
            for code in 0..yes.len() {
                below.push(count);
                count += u32::from(counts(code));
            }
            below.push(count);
            below
        };
        let yes_below = below(&|code| yes[code]);
        let no_below = below(&|code| known[code] && !yes[code]);
        Self { yes, known, null, yes_below, no_below }
    }
}

/// Answers as a range of codes, where they are one: ranges are compared many at a time.
fn answers_node(column: usize, answers: Answers) -> Node {
    let all_known = answers.known.iter().all(|&known| known);
    if all_known && answers.null.is_none() {
        let first = answers.yes.iter().position(|&yes| yes);
        let last = answers.yes.iter().rposition(|&yes| yes);
        match (first, last) {
            (Some(first), Some(last)) if answers.yes[first..=last].iter().all(|&yes| yes) => {
                return Node::Range { column, low: first as i128, high: last as i128 };
            }
            (None, None) => return Node::Range { column, low: 0, high: -1 },
            _ => {}
        }
    }
    Node::Answers { column, answers }
}

/// What the rows of a chunk can get, by its zones.
fn possible(node: &Node, chunk: &Chunk) -> Possible {
    match node {
        Node::Constant(answer) => Possible::of(*answer),
        Node::And(nodes) => nodes.iter().fold(Possible(TRUE), |all, node| all.and(possible(node, chunk))),
        Node::Or(nodes) => nodes.iter().fold(Possible(FALSE), |any, node| any.or(possible(node, chunk))),
        Node::Not(node) => possible(node, chunk).not(),
        Node::IsNull(column) => {
            let zone = &chunk.columns[*column].zone;
            Possible::new(zone.null_count > 0, !zone.is_all_null(), false)
        }
        Node::Range { column, low, high } => {
            let zone = &chunk.columns[*column].zone;
            by_integers(zone, |min, max| {
                let inside = min.max(*low) <= max.min(*high);
                (inside, !(inside && *low <= min && max <= *high))
            })
        }
        Node::Set { column, values } => by_integers(&chunk.columns[*column].zone, |min, max| {
            let from = values.partition_point(|&value| value < min);
            let inside = values.get(from).is_some_and(|&value| value <= max);
            (inside, !(inside && min == max))
        }),
        Node::Answers { column, answers } => {
            let zone = &chunk.columns[*column].zone;
            let null = if zone.null_count > 0 { Possible::of(answers.null).0 } else { 0 };
            let Some((min, max)) = zone.integer_bounds().map(|(min, max)| (min as usize, max as usize)) else {
                return if zone.is_all_null() { Possible(null) } else { Possible(TRUE | FALSE | UNKNOWN) };
            };
            let yes = answers.yes_below[max + 1] - answers.yes_below[min];
            let no = answers.no_below[max + 1] - answers.no_below[min];
            let unknown = (yes + no) as usize <= max - min;
            Possible(Possible::new(yes > 0, no > 0, unknown).0 | null)
        }
        Node::Compare { column, comparison, bound, .. } => {
            by_bound(&chunk.columns[*column].zone, *comparison, bound.as_ref())
        }
        Node::Rows { .. } => Possible(TRUE | FALSE | UNKNOWN),
    }
}

fn by_integers(zone: &Zone, can_be: impl Fn(i128, i128) -> (bool, bool)) -> Possible {
    let has_nulls = zone.null_count > 0;
    if zone.is_all_null() {
        return Possible::new(false, false, has_nulls);
    }
    let (yes, no) = zone.integer_bounds().map_or((true, true), |(min, max)| can_be(min, max));
    Possible::new(yes, no, has_nulls)
}

fn by_bound(zone: &Zone, comparison: Comparison, bound: Option<&Bound>) -> Possible {
    let has_nulls = zone.null_count > 0;
    if zone.is_all_null() {
        return Possible::new(false, false, has_nulls);
    }
    let to_bound = |end: Option<&Bound>| end?.compare(bound?);
    let (Some(min), Some(max)) = (to_bound(zone.min.as_ref()), to_bound(zone.max.as_ref())) else {
        return Possible::new(true, true, has_nulls);
    };
    let all_equal = min == Ordering::Equal && max == Ordering::Equal;
    let some_equal = min.is_le() && max.is_ge();
    let (yes, no) = match comparison {
        Comparison::Equal => (some_equal, !all_equal),
        Comparison::NotEqual => (!all_equal, some_equal),
        Comparison::Less => (min.is_lt(), max.is_ge()),
        Comparison::LessOrEqual => (min.is_le(), max.is_gt()),
        Comparison::Greater => (max.is_gt(), min.is_le()),
        Comparison::GreaterOrEqual => (max.is_ge(), min.is_lt()),
    };
    Possible::new(yes, no, has_nulls)
}

/// What each row of a chunk gets, or each of `rows`.
fn evaluate(node: &Node, chunk: &Chunk, rows: Option<&[u32]>) -> Result<Answer> {
    let count = rows.map_or(chunk.rows, <[u32]>::len);
    Ok(match node {
        Node::Constant(answer) => Answer::constant(*answer, count),
        Node::And(nodes) => {
            let mut all = Answer::constant(Some(true), count);
            for node in nodes {
                all = all.and(&evaluate(node, chunk, rows)?);
            }
            all
        }
        Node::Or(nodes) => {
            let mut any = Answer::constant(Some(false), count);
            for node in nodes {
                any = any.or(&evaluate(node, chunk, rows)?);
            }
            any
        }
        Node::Not(node) => evaluate(node, chunk, rows)?.not(),
        Node::Compare { column, comparison, value, .. } => {
            let column = &chunk.columns[*column];
            let array = rows.map_or_else(|| column.all(), |rows| column.rows(rows))?;
            let (array, value): (&dyn Datum, &dyn Datum) = (&array, value);
            Answer::of_array(&match comparison {
                Comparison::Equal => cmp::eq(array, value)?,
                Comparison::NotEqual => cmp::neq(array, value)?,
                Comparison::Less => cmp::lt(array, value)?,
                Comparison::LessOrEqual => cmp::lt_eq(array, value)?,
                Comparison::Greater => cmp::gt(array, value)?,
                Comparison::GreaterOrEqual => cmp::gt_eq(array, value)?,
            })
        }
        Node::Rows { columns, evaluate } => {
            let arrays = columns
                .iter()
                .map(|&column| {
                    rows.map_or_else(|| chunk.columns[column].all(), |rows| chunk.columns[column].rows(rows))
                })
                .collect::<Result<Vec<_>>>()?;
            let array = evaluate(&arrays)?;
            if array.len() != count {
                return Err(Error::Misuse("a predicate answers each row once"));
            }
            Answer::of_array(&array)
        }
        Node::IsNull(_) | Node::Range { .. } | Node::Set { .. } | Node::Answers { .. } => {
            let answer = on_codes(node, chunk)?;
            match rows {
                None => answer,
                Some(rows) => answer.gather(rows),
            }
        }
    })
}

/// What each row of a chunk gets of a condition on codes.
fn on_codes(node: &Node, chunk: &Chunk) -> Result<Answer> {
    let (Node::IsNull(column) | Node::Range { column, .. } | Node::Set { column, .. } | Node::Answers { column, .. }) =
        node
    else {
        return Err(Error::Misuse("not a condition on codes"));
    };
    let encoded = &chunk.columns[*column];
    let nulls = encoded.nulls();
    let known = nulls.as_ref().map(|nulls| nulls.inner());
    let answer = match (node, &encoded.encoding) {
        (Node::IsNull(_), _) => {
            let yes = known.map_or_else(|| BooleanBuffer::new_unset(encoded.len()), |known| !known);
            return Ok(Answer { yes, known: None });
        }
        (Node::Range { low, high, .. }, Encoding::Integers { base, offsets, .. }) => {
            within(offsets, *base, *low, *high)
        }
        (Node::Range { low, high, .. }, Encoding::Dictionary { codes, .. }) => within(codes, 0, *low, *high),
        (Node::Range { low, high, .. }, Encoding::Array(array)) => {
            pack_bits(&widened(array)?, |value| *low <= value && value <= *high)
        }
        (Node::Set { values, .. }, Encoding::Integers { base, offsets, .. }) => among(offsets, *base, values),
        (Node::Set { values, .. }, Encoding::Array(array)) => {
            pack_bits(&widened(array)?, |value| values.binary_search(&value).is_ok())
        }
        (Node::Answers { answers, .. }, Encoding::Dictionary { codes, .. }) => {
            let of = |answers: &[bool]| codes.matching(|code| answers.get(code as usize).copied().unwrap_or(false));
            let (mut yes, mut valued) = (of(&answers.yes), answers.known.contains(&false).then(|| of(&answers.known)));
            if let Some(known) = known {
                let is_null = !known;
                yes = &yes & known;
                valued = Some(valued.map_or_else(|| known.clone(), |valued| &valued & known));
                if let Some(null) = answers.null {
                    valued = valued.map(|valued| &valued | &is_null);
                    yes = if null { &yes | &is_null } else { yes };
                }
            }
            return Ok(match valued {
                None => Answer { yes, known: None },
                Some(valued) => Answer { yes: &yes & &valued, known: Some(valued) },
            });
        }
        _ => return Err(Error::Misuse("a condition on codes meets a column that has none")),
    };
    Ok(Answer::masked(answer, known))
}

/// Which of `base + codes` are from `low` to `high`.
fn within(codes: &Packed, base: i128, low: i128, high: i128) -> BooleanBuffer {
    let nothing = || BooleanBuffer::new_unset(codes.len());
    if low > high || high < base {
        return nothing();
    }
    // Bounds beyond what a code can say are as good as the last that one can. All are at least the base.
    let offset = |value: i128| u64::try_from(value.saturating_sub(base).max(0)).ok();
    match (offset(low), offset(high)) {
        (None, _) => nothing(),
        (Some(low), high) => codes.within(low, high.unwrap_or(u64::MAX)),
    }
}

/// Which of `base + codes` are among `values`, which are sorted.
fn among(codes: &Packed, base: i128, values: &[i128]) -> BooleanBuffer {
    let from = values.partition_point(|&value| value < base);
    let offsets: Vec<u64> =
        values[from..].iter().map_while(|value| u64::try_from(value.checked_sub(base)?).ok()).collect();
    match codes {
        Packed::U8(_) | Packed::U16(_) => {
            let mut wanted = vec![false; if matches!(codes, Packed::U8(_)) { 1 << 8 } else { 1 << 16 }];
            for offset in offsets {
                if let Some(wanted) = wanted.get_mut(offset as usize) {
                    *wanted = true;
                }
            }
            codes.matching(|code| wanted[code as usize])
        }
        _ if offsets.len() <= 8 => {
            codes.matching(|code| offsets.iter().fold(false, |any, &offset| any | (code == offset)))
        }
        _ => {
            let wanted: HashSet<u64, RandomState> = offsets.into_iter().collect();
            codes.matching(|code| wanted.contains(&code))
        }
    }
}
