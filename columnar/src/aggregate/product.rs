//! Sums, differences and products of columns, in 64 bits where they are known to fit.
//!
//! `sum(l_extendedprice * (1 - l_discount))` is arithmetic of decimals, which Arrow does in 128 bits and checks row by row. The
//! bounds of the columns say beforehand what the bounds of each step are ([`Expression::bounds`]); where all fit 64 bits,
//! nothing can overflow, and nothing has to be checked.
//!
//! Decimals are their digits: whoever makes an [`Expression`] multiplies by powers of ten where scales differ.

/// The least and greatest value that something can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: i64,
    /// The greatest.
    pub max: i64,
}

impl Bounds {
    /// How far from zero a value can be.
    pub fn magnitude(&self) -> u64 {
        self.min.unsigned_abs().max(self.max.unsigned_abs())
    }

    fn of(values: &[i128]) -> Option<Self> {
        let min = i64::try_from(*values.iter().min()?).ok()?;
        let max = i64::try_from(*values.iter().max()?).ok()?;
        Some(Self { min, max })
    }
}

/// An integer for each row, made of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// The values of the column with this place among those that are given.
    Column(usize),
    /// The same for each row.
    Constant(i64),
    /// The sum of two.
    Add(Box<Expression>, Box<Expression>),
    /// The first without the second.
    Subtract(Box<Expression>, Box<Expression>),
    /// The product of two.
    Multiply(Box<Expression>, Box<Expression>),
}

/// What an expression came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand<'a> {
    /// The same for each row.
    Constant(i64),
    /// A column as it is.
    Borrowed(&'a [i64]),
    /// Computed.
    Owned(Vec<i64>),
}

impl Operand<'_> {
    /// The value of each of so many rows.
    pub fn into_values(self, rows: usize) -> Vec<i64> {
        match self {
            Operand::Constant(value) => vec![value; rows],
            Operand::Borrowed(values) => values.to_vec(),
            Operand::Owned(values) => values,
        }
    }
}

impl Expression {
    /// What its values are between, where its columns' values are between `columns`; `None` where it, or a step on the way, might
    /// leave 64 bits.
    pub fn bounds(&self, columns: &[Bounds]) -> Option<Bounds> {
        let wide = |side: &Expression| {
            let Bounds { min, max } = side.bounds(columns)?;
            Some([i128::from(min), i128::from(max)])
        };
        match self {
            Expression::Column(column) => columns.get(*column).copied(),
            Expression::Constant(value) => Some(Bounds { min: *value, max: *value }),
            Expression::Add(left, right) => {
                let ([a, b], [c, d]) = (wide(left)?, wide(right)?);
                Bounds::of(&[a + c, b + d])
            }
            Expression::Subtract(left, right) => {
                let ([a, b], [c, d]) = (wide(left)?, wide(right)?);
                Bounds::of(&[a - d, b - c])
            }
            Expression::Multiply(left, right) => {
                let ([a, b], [c, d]) = (wide(left)?, wide(right)?);
                Bounds::of(&[a * c, a * d, b * c, b * d])
            }
        }
    }

    /// Its values. Right where [`bounds`](Self::bounds) gave some for what the columns hold; rows that hold anything else (those
    /// that are NULL) come to anything.
    pub fn evaluate<'a>(&self, columns: &[&'a [i64]]) -> Operand<'a> {
        match self {
            Expression::Column(column) => Operand::Borrowed(columns[*column]),
            Expression::Constant(value) => Operand::Constant(*value),
            Expression::Add(left, right) => apply(left.evaluate(columns), right.evaluate(columns), i64::wrapping_add),
            Expression::Subtract(left, right) => {
                apply(left.evaluate(columns), right.evaluate(columns), i64::wrapping_sub)
            }
            Expression::Multiply(left, right) => {
                apply(left.evaluate(columns), right.evaluate(columns), i64::wrapping_mul)
            }
        }
    }
}

/// One step for all rows, in place where a side is ours.
fn apply<'a>(left: Operand<'a>, right: Operand<'a>, step: impl Fn(i64, i64) -> i64) -> Operand<'a> {
    use Operand::{Borrowed, Constant, Owned};
    match (left, right) {
        (Constant(left), Constant(right)) => Constant(step(left, right)),
        (Constant(left), Borrowed(right)) => Owned(right.iter().map(|right| step(left, *right)).collect()),
        (Borrowed(left), Constant(right)) => Owned(left.iter().map(|left| step(*left, right)).collect()),
        (Borrowed(left), Borrowed(right)) => Owned(left.iter().zip(right).map(|(a, b)| step(*a, *b)).collect()),
        (Constant(left), Owned(mut right)) => {
            right.iter_mut().for_each(|right| *right = step(left, *right));
            Owned(right)
        }
        (Owned(mut left), Constant(right)) => {
            left.iter_mut().for_each(|left| *left = step(*left, right));
            Owned(left)
        }
        (Borrowed(left), Owned(mut right)) => {
            right.iter_mut().zip(left).for_each(|(right, left)| *right = step(*left, *right));
            Owned(right)
        }
        (Owned(mut left), Borrowed(right)) => {
            left.iter_mut().zip(right).for_each(|(left, right)| *left = step(*left, *right));
            Owned(left)
        }
        (Owned(mut left), Owned(right)) => {
            left.iter_mut().zip(&right).for_each(|(left, right)| *left = step(*left, *right));
            Owned(left)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(at: usize) -> Box<Expression> {
        Box::new(Expression::Column(at))
    }

    fn constant(value: i64) -> Box<Expression> {
        Box::new(Expression::Constant(value))
    }

    #[test]
    fn a_discounted_price_is_what_it_is_by_hand() {
        let charge = Expression::Multiply(
            Box::new(Expression::Multiply(column(0), Box::new(Expression::Subtract(constant(100), column(1))))),
            Box::new(Expression::Add(constant(100), column(2))),
        );
        let (price, discount, tax) = ([90_000_i64, 10_494_950, -5], [0_i64, 10, 4], [8_i64, 0, 2]);
        let found = charge.evaluate(&[&price, &discount, &tax]).into_values(3);
        assert_eq!(found, [90_000 * 100 * 108, 10_494_950 * 90 * 100, -5 * 96 * 102]);
        let bounds = [Bounds { min: -5, max: 10_494_950 }, Bounds { min: 0, max: 10 }, Bounds { min: 0, max: 8 }];
        let max = 10_494_950 * 100 * 108;
        assert_eq!(charge.bounds(&bounds), Some(Bounds { min: -5 * 100 * 108, max }));
    }

    #[test]
    fn what_might_leave_64_bits_on_the_way_has_no_bounds() {
        let wide = [Bounds { min: i64::MIN, max: i64::MAX }];
        assert_eq!(Expression::Subtract(constant(0), column(0)).bounds(&wide), None);
        assert_eq!(Expression::Add(column(0), constant(0)).bounds(&wide), Some(wide[0]));
        // Zero in the end, but not in between.
        let square = Box::new(Expression::Multiply(column(0), column(0)));
        assert_eq!(Expression::Multiply(square, constant(0)).bounds(&wide), None);
        assert_eq!(Expression::Column(1).bounds(&wide), None);
        assert_eq!(wide[0].magnitude(), 1 << 63);
    }

    fn expression() -> impl Strategy<Value = Expression> {
        let leaf = prop_oneof![
            (0..3_usize).prop_map(Expression::Column),
            any::<i64>().prop_map(Expression::Constant),
            (-200..200_i64).prop_map(Expression::Constant),
        ];
        leaf.prop_recursive(4, 16, 2, |inner| {
            (0..3, inner.clone(), inner).prop_map(|(kind, left, right)| {
                let (left, right) = (Box::new(left), Box::new(right));
                match kind {
                    0 => Expression::Add(left, right),
                    1 => Expression::Subtract(left, right),
                    _ => Expression::Multiply(left, right),
                }
            })
        })
    }

    fn exact(expression: &Expression, row: &[i64; 3]) -> i128 {
        match expression {
            Expression::Column(column) => i128::from(row[*column]),
            Expression::Constant(value) => i128::from(*value),
            Expression::Add(left, right) => exact(left, row) + exact(right, row),
            Expression::Subtract(left, right) => exact(left, row) - exact(right, row),
            Expression::Multiply(left, right) => exact(left, row) * exact(right, row),
        }
    }

    proptest! {
        #[test]
        fn values_are_exact_and_within_their_bounds(
            expression in expression(),
            rows in prop::collection::vec([-1_000_000_000..1_000_000_000_i64, -300..300_i64, 0..3_i64], 1..20),
        ) {
            let columns: Vec<Vec<i64>> = (0..3).map(|at| rows.iter().map(|row| row[at]).collect()).collect();
            let bounds: Vec<Bounds> = columns
                .iter()
                .map(|values| Bounds {
                    min: *values.iter().min().expect("a row"),
                    max: *values.iter().max().expect("a row"),
                })
                .collect();
            if let Some(bounds) = expression.bounds(&bounds) {
                let slices: Vec<&[i64]> = columns.iter().map(Vec::as_slice).collect();
                let found = expression.evaluate(&slices).into_values(rows.len());
                for (row, found) in rows.iter().zip(found) {
                    prop_assert_eq!(i128::from(found), exact(&expression, row));
                    prop_assert!(bounds.min <= found && found <= bounds.max);
                }
            }
        }
    }
}
