//! Bounds nesting and chains on the tokens, before any parser builds a tree from them.
//!
//! Parsers, planners, `Clone` and `Drop` walk trees recursively; `1+1+1+...` makes a tree as deep as it is long, and a stack
//! that overflows takes the process with it. What follows is an upper bound of the depth of any tree that the tokens can
//! become, computed in one pass without recursion.
//!
//! Each open bracket (or CASE) is a level. Within a level, operators make chains, and a chain of weaker operators holds
//! chains of stronger ones as its operands:
//!
//! ```text
//!   a OR b = 1 + 2 + 3 OR c        OR chain of 2, one operand of which holds an `=` chain of 1, which holds a `+` chain of 2
//!   depth = 2 + 1 + 2
//! ```
//!
//! Commas and clause words end all chains but those of UNION, so flat lists (50,000 items of IN) cost nothing.

use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::limits::{SQL_CHAIN_MAX, SQL_DEPTH_MAX, SQL_OPERATOR_WEIGHT, SQL_SET_WEIGHT, SUBQUERY_DEPTH_MAX};
use crate::parse::lexer::Lexeme;
use crate::{Error, ErrorCode, Result};

/// Refuses statements that would become too deep a tree.
///
/// # Errors
/// [`ErrorCode::StatementTooComplex`], with the limit in its detail.
pub fn check(lexemes: &[Lexeme]) -> Result<()> {
    let mut levels = vec![Level::new(Opener::Statement)];
    let mut previous = Previous::Start;
    let mut relations = 0_usize;
    for (index, lexeme) in lexemes.iter().enumerate() {
        let level = levels.last_mut().expect("the statement's level is never closed");
        let mut next = Previous::Operator;
        match &lexeme.token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                if lexeme.token.token == Token::LBracket && previous == Previous::Operand {
                    level.operator(Strength::Postfix, lexeme)?;
                }
                let subqueries = level.subqueries + usize::from(!level.in_from && opens_query(lexemes.get(index + 1)));
                if subqueries > SUBQUERY_DEPTH_MAX {
                    let detail = format!("It has queries in expressions more than {SUBQUERY_DEPTH_MAX} levels deep.");
                    return Err(too_complex(detail, lexeme).with_hint("Use joins, or subqueries in FROM."));
                }
                levels.push(Level { subqueries, ..Level::new(Opener::Bracket) });
                next = Previous::Start;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                // A CASE that was never ended, or was a column's name in DDL, ends here.
                while levels.len() > 1 && levels.last().is_some_and(|level| level.opener == Opener::Case) {
                    close(&mut levels);
                }
                close(&mut levels);
                next = Previous::Operand;
            }
            Token::Comma => {
                if level.in_from {
                    relations += 1;
                }
                level.end_chains();
                next = Previous::Start;
            }
            Token::Word(word @ Word { quote_style: None, .. }) => {
                let word = word.value.to_ascii_uppercase();
                match word.as_str() {
                    "CASE" => {
                        let subqueries = level.subqueries;
                        levels.push(Level { subqueries, ..Level::new(Opener::Case) });
                        next = Previous::Start;
                    }
                    "END" => {
                        if level.opener == Opener::Case {
                            close(&mut levels);
                        }
                        next = Previous::Operand;
                    }
                    "UNION" | "EXCEPT" | "INTERSECT" | "MINUS" => level.operator(Strength::Set, lexeme)?,
                    "OR" => level.operator(Strength::Or, lexeme)?,
                    "AND" => level.operator(Strength::And, lexeme)?,
                    "NOT" => level.prefix(Strength::Not, lexeme)?,
                    "IS" | "ISNULL" | "NOTNULL" | "LIKE" | "ILIKE" | "SIMILAR" | "RLIKE" | "REGEXP" | "BETWEEN"
                    | "IN" | "ANY" | "ALL" | "SOME" | "OVERLAPS" | "DIV" | "XOR" | "MEMBER" => {
                        level.operator(Strength::Comparison, lexeme)?;
                    }
                    "COLLATE" | "AT" => level.operator(Strength::Postfix, lexeme)?,
                    // Words that take an expression without a bracket between, and so may be stacked.
                    "EXISTS" | "INTERVAL" | "PRIOR" | "BINARY" | "DISTINCT" | "LATERAL" | "EXPLAIN" => {
                        level.prefix(Strength::Unary, lexeme)?;
                    }
                    "FROM" | "JOIN" => {
                        relations += 1;
                        level.end_chains();
                        level.in_from = true;
                    }
                    "SELECT" | "WHERE" | "GROUP" | "ORDER" | "HAVING" | "LIMIT" | "OFFSET" | "FETCH" | "WINDOW"
                    | "QUALIFY" | "VALUES" | "WITH" | "SET" => {
                        level.end_chains();
                        level.in_from = false;
                    }
                    "ON" | "USING" | "BY" | "WHEN" | "THEN" | "ELSE" | "AS" | "FILTER" | "OVER" => level.end_chains(),
                    _ => next = Previous::Operand,
                }
            }
            Token::Plus | Token::Minus if previous != Previous::Operand => level.prefix(Strength::Unary, lexeme)?,
            Token::Tilde | Token::ExclamationMark | Token::AtSign | Token::Sharp | Token::PGSquareRoot
                if previous != Previous::Operand =>
            {
                level.prefix(Strength::Unary, lexeme)?;
            }
            // `array<array<...` nests; a comparison between columns of these names is counted once too often at worst.
            Token::Lt if index > 0 && opens_type(&lexemes[index - 1]) => level.prefix(Strength::Type, lexeme)?,
            Token::Eq | Token::DoubleEq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => {
                level.operator(Strength::Comparison, lexeme)?;
            }
            Token::Plus | Token::Minus => level.operator(Strength::Additive, lexeme)?,
            Token::Mul | Token::Div | Token::Mod | Token::Caret | Token::DuckIntDiv => {
                level.operator(Strength::Multiplicative, lexeme)?;
            }
            Token::DoubleColon | Token::Period => level.operator(Strength::Postfix, lexeme)?,
            Token::SemiColon => next = Previous::Start,
            Token::Number(..) | Token::Placeholder(_) | Token::Word(_) => next = Previous::Operand,
            token if is_literal(token) => next = Previous::Operand,
            // Whatever other operator there is.
            _ => level.operator(Strength::Other, lexeme)?,
        }
        if relations > SQL_CHAIN_MAX {
            return Err(too_complex(format!("It reads from more than {SQL_CHAIN_MAX} tables and subqueries."), lexeme));
        }
        if levels.len() > SQL_DEPTH_MAX {
            return Err(too_complex(format!("It is nested more than {SQL_DEPTH_MAX} levels deep."), lexeme));
        }
        if levels.last().is_some_and(|level| level.depth_so_far() > SQL_CHAIN_MAX + SQL_DEPTH_MAX) {
            return Err(too_complex(
                format!("Its expressions are more than {} operators deep.", SQL_CHAIN_MAX + SQL_DEPTH_MAX),
                lexeme,
            ));
        }
        previous = next;
    }
    Ok(())
}

/// How tightly operators bind: chains of one strength hold chains of the greater ones as operands.
#[derive(Clone, Copy)]
enum Strength {
    Set,
    Or,
    And,
    Not,
    Comparison,
    Other,
    Additive,
    Multiplicative,
    Unary,
    Postfix,
    Type,
}

const STRENGTHS: usize = Strength::Type as usize + 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    Statement,
    Bracket,
    Case,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Previous {
    Start,
    Operator,
    Operand,
}

/// What is known of one open bracket.
struct Level {
    opener: Opener,
    /// Whether commas separate tables here.
    in_from: bool,
    /// Queries in expressions around this.
    subqueries: usize,
    /// `chain[k]`: operators of strength k in the chain that is open, each by its weight.
    chain: [usize; STRENGTHS],
    /// `operand[k]`: the deepest operand so far of that chain.
    operand: [usize; STRENGTHS],
}

impl Level {
    fn new(opener: Opener) -> Self {
        Self { opener, in_from: false, subqueries: 0, chain: [0; STRENGTHS], operand: [0; STRENGTHS] }
    }

    fn operator(&mut self, strength: Strength, lexeme: &Lexeme) -> Result<()> {
        let weight = match strength {
            Strength::Or | Strength::And => 1,
            Strength::Set => SQL_SET_WEIGHT,
            _ => SQL_OPERATOR_WEIGHT,
        };
        self.count(strength, weight, SQL_CHAIN_MAX, "operators", lexeme)
    }

    /// Prefixes nest even in the parser, so the limit of nesting holds for them.
    fn prefix(&mut self, strength: Strength, lexeme: &Lexeme) -> Result<()> {
        self.count(strength, 1, SQL_DEPTH_MAX, "prefix operators", lexeme)
    }

    fn count(&mut self, strength: Strength, weight: usize, max: usize, what: &str, lexeme: &Lexeme) -> Result<()> {
        let strength = strength as usize;
        self.end_above(strength);
        self.chain[strength] += weight;
        if self.chain[strength] > max {
            let max = max / weight;
            return Err(too_complex(format!("It has a chain of more than {max} {what}."), lexeme));
        }
        Ok(())
    }

    /// Ends the chains of strengths greater than `strength`: they were one operand of that one's chain.
    fn end_above(&mut self, strength: usize) {
        let depth = self.depth_above(strength);
        self.operand[strength] = self.operand[strength].max(depth);
        self.chain[strength + 1..].fill(0);
        self.operand[strength + 1..].fill(0);
    }

    fn end_chains(&mut self) {
        self.end_above(Strength::Set as usize);
    }

    fn depth_above(&self, strength: usize) -> usize {
        (strength + 1..STRENGTHS).rev().fold(0, |inner, k| self.chain[k] + self.operand[k].max(inner))
    }

    fn depth_so_far(&self) -> usize {
        let set = Strength::Set as usize;
        self.chain[set] + self.operand[set].max(self.depth_above(set))
    }
}

/// Closes the innermost level: its depth becomes an operand of the level around it.
fn close(levels: &mut Vec<Level>) {
    // A bracket too many is a syntax error, which is not for us to tell.
    if levels.len() > 1
        && let Some(closed) = levels.pop()
        && let Some(outer) = levels.last_mut()
    {
        let depth = closed.depth_so_far() + 1;
        let tightest = &mut outer.operand[STRENGTHS - 1];
        *tightest = (*tightest).max(depth);
    }
}

fn opens_query(first: Option<&Lexeme>) -> bool {
    first.is_some_and(|lexeme| ["SELECT", "WITH", "VALUES"].iter().any(|word| lexeme.is_word(word)))
}

fn opens_type(lexeme: &Lexeme) -> bool {
    ["ARRAY", "MAP", "STRUCT", "ROW", "UNIONTYPE"].iter().any(|word| lexeme.is_word(word))
}

fn is_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
    )
}

fn too_complex(detail: String, lexeme: &Lexeme) -> Error {
    Error::new(ErrorCode::StatementTooComplex, "statement is too complex").with_detail(detail).at(lexeme.position)
}
