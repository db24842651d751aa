//! [`LimnosDialect`]: what sqlparser is told of our SQL. PostgreSQL's forms, and Trino's wherever the two don't conflict.
//!
//! sqlparser asks a dialect two kinds of questions: methods, which are answered here, and "are you PostgreSQL or Generic",
//! which is answered by `Dialect::dialect`: in the `athena` dialect we pass for Generic, which knows `MAP(k, v)` types, and
//! in the `postgres` dialect for PostgreSQL, which knows `^` and `#` as operators and `AS MATERIALIZED`.
//!
//! | form | postgres | athena |
//! |---|---|---|
//! | `x -> y` | JSON operator | lambda |
//! | `?` | operator | parameter |
//! | all else | both | both |

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{self as sqlparser_dialect, GenericDialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::parse::Dialect;

/// sqlparser's view of our SQL, for one parse.
#[derive(Debug)]
pub struct LimnosDialect {
    dialect: Dialect,
    /// How many more expressions may be begun. sqlparser tries a word first as a special form and then as a function, so
    /// that a syntax error inside `cast(cast(cast(...` costs 2^n attempts; this ends it.
    budget: Cell<u64>,
}

impl LimnosDialect {
    /// A dialect for lexing, or for parsing something small.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, budget: Cell::new(u64::MAX) }
    }

    /// A dialect for parsing `token_count` tokens.
    pub fn for_tokens(dialect: Dialect, token_count: usize) -> Self {
        // Texts that parse begin each expression at most a few times.
        Self { dialect, budget: Cell::new(100_000 + 50 * token_count as u64) }
    }
}

/// Words of PostgreSQL and Trino that are reserved in both and begin no expression.
const RESERVED: &[Keyword] = &[
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ORDER,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::ON,
    Keyword::USING,
    Keyword::JOIN,
    Keyword::AND,
    Keyword::OR,
    Keyword::AS,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::INTO,
    Keyword::IN,
];

/// Answers of one boolean method each.
macro_rules! yes {
    ($($method:ident),* $(,)?) => { $(fn $method(&self) -> bool { true })* };
}

impl sqlparser_dialect::Dialect for LimnosDialect {
    fn dialect(&self) -> TypeId {
        match self.dialect {
            Dialect::Postgres => TypeId::of::<PostgreSqlDialect>(),
            Dialect::Athena => TypeId::of::<GenericDialect>(),
        }
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        matches!(character, '"' | '`')
    }

    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_' || !character.is_ascii()
    }

    fn is_identifier_part(&self, character: char) -> bool {
        self.is_identifier_start(character) || character.is_ascii_digit() || character == '$'
    }

    fn is_custom_operator_part(&self, character: char) -> bool {
        // A lambda's arrow may be followed by a sign (`x -> -x`); PostgreSQL's operators are its own business.
        self.dialect == Dialect::Postgres
            && matches!(
                character,
                '+' | '-' | '*' | '/' | '<' | '>' | '=' | '~' | '!' | '@' | '#' | '%' | '^' | '&' | '|' | '?'
            )
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        PostgreSqlDialect {}.is_reserved_for_identifier(keyword)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        PostgreSqlDialect {}.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        PostgreSqlDialect {}.prec_value(precedence)
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        // sqlparser would take these for names of columns, and then report an error far behind the real one.
        let next = parser.peek_token_ref();
        if let Token::Word(Word { quote_style: None, keyword, .. }) = &next.token
            && RESERVED.contains(keyword)
        {
            return Some(parser.expected_ref("an expression", next));
        }
        match self.budget.get().checked_sub(1) {
            Some(budget) => {
                self.budget.set(budget);
                None
            }
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        // sqlparser would take all that follows, AND and OR included, for the right side.
        let right_side = |parser: &mut Parser<'_>| parser.parse_subexpr(self.prec_value(Precedence::Is)).map(Box::new);
        if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            return Some(right_side(parser).map(|right| Expr::IsDistinctFrom(Box::new(expr.clone()), right)));
        }
        if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
            return Some(right_side(parser).map(|right| Expr::IsNotDistinctFrom(Box::new(expr.clone()), right)));
        }
        // sqlparser takes COLLATE only right after an operand, not after a cast: `x::text COLLATE "C"`.
        parser.parse_keyword(Keyword::COLLATE).then(|| {
            let collation = parser.parse_object_name(false)?;
            Ok(Expr::Collate { expr: Box::new(expr.clone()), collation })
        })
    }

    fn supports_lambda_functions(&self) -> bool {
        self.dialect == Dialect::Athena
    }

    fn supports_geometric_types(&self) -> bool {
        // With them `?` is an operator, without them a parameter.
        self.dialect == Dialect::Postgres
    }

    yes! {
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_within_after_array_aggregation,
        supports_group_by_expr,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
        supports_left_associative_joins_without_parens,
        supports_parens_around_table_factor,
        supports_bitwise_shift_operators,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_notnull_operator,
        supports_interval_options,
        supports_comma_separated_trim,
        supports_named_fn_args_with_rarrow_operator,
        supports_named_fn_args_with_assignment_operator,
        supports_empty_projections,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_try_convert,
        supports_xml_expressions,
    }
}

/// The lexical rules of Hive's DDL: backslash escapes, backticks for identifiers, `"..."` left to the parser.
#[derive(Debug)]
pub struct HiveLexical;

impl sqlparser_dialect::Dialect for HiveLexical {
    fn is_delimited_identifier_start(&self, character: char) -> bool {
        character == '`'
    }

    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_' || !character.is_ascii()
    }

    fn is_identifier_part(&self, character: char) -> bool {
        self.is_identifier_start(character) || character.is_ascii_digit() || character == '$'
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        false
    }
}
