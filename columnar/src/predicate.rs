//! Which rows are wanted.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::error::ArrowError;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Says of each of some values whether it is wanted. Of arrays of one length, one answer a row. Must be a function of the row's
/// values alone: it is asked about values of a dictionary that rows have or don't have, in any order.
pub type Evaluate = Arc<dyn Fn(&[ArrayRef]) -> Result<BooleanArray, ArrowError> + Send + Sync>;

/// A condition on the rows of a table, true, false or unknown as SQL has it; rows of which it is true are wanted. Values compare
/// as Arrow's kernels compare them: floats in total order.
#[derive(Clone)]
pub enum Predicate {
    /// The same for all rows. `None`: unknown.
    Constant(Option<bool>),
    /// All of these.
    And(Vec<Predicate>),
    /// Any of these.
    Or(Vec<Predicate>),
    /// Not this.
    Not(Box<Predicate>),
    /// A column against a constant.
    Compare {
        /// The column's place.
        column: usize,
        /// How.
        comparison: Comparison,
        /// An array of one value, of the column's type. NULL: unknown for every row.
        value: ArrayRef,
    },
    /// A column is one of a list.
    In {
        /// The column's place.
        column: usize,
        /// Values of the column's type. With a NULL among them, a row that has none of the others is unknown.
        values: ArrayRef,
    },
    /// A column is NULL.
    IsNull {
        /// The column's place.
        column: usize,
    },
    /// Anything that depends on one column. Of a column with a dictionary it is asked once for each value, not for each row.
    OnValues {
        /// The column's place.
        column: usize,
        /// Gets an array of the column's type.
        evaluate: Evaluate,
    },
    /// Anything.
    OnRows {
        /// The columns' places.
        columns: Vec<usize>,
        /// Gets an array for each column.
        evaluate: Evaluate,
    },
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value:?}"),
            Self::And(terms) => f.debug_tuple("And").field(terms).finish(),
            Self::Or(terms) => f.debug_tuple("Or").field(terms).finish(),
            Self::Not(term) => f.debug_tuple("Not").field(term).finish(),
            Self::Compare { column, comparison, value } => write!(f, "{column} {comparison:?} {value:?}"),
            Self::In { column, values } => write!(f, "{column} in {} values", values.len()),
            Self::IsNull { column } => write!(f, "{column} is null"),
            Self::OnValues { column, .. } => write!(f, "f({column})"),
            Self::OnRows { columns, .. } => write!(f, "f({columns:?})"),
        }
    }
}
