//! CREATE, ALTER, PAUSE, RESUME, RUN, CANCEL, SHOW and DROP of schedules.

use datafusion::sql::sqlparser::tokenizer::Token;
use limnos_catalog::schedule::{CatchUp, Overlap};
use limnos_catalog::{CreateMode, Schedule};

use crate::parse::cursor::Cursor;
use crate::parse::parameter::Parameters;
use crate::parse::role::RoleStatement;
use crate::parse::schedule::{RetryClause, ScheduleClauses, ScheduleStatement, ScheduledStatements, WhenClause};
use crate::parse::{Dialect, ParsedStatement, Statement, lexer};
use crate::{Error, Result};

/// The statement about schedules that a cursor stands before, if it is one.
pub(crate) fn schedule(cursor: &mut Cursor<'_>) -> Result<Option<Statement>> {
    let statement = if cursor.take_words("CREATE SCHEDULE") {
        create(cursor, false)?
    } else if cursor.take_words("CREATE OR REPLACE SCHEDULE") {
        create(cursor, true)?
    } else if cursor.take_words("ALTER SCHEDULE") {
        alter(cursor)?
    } else if cursor.take_words("DROP SCHEDULE") {
        let if_exists = cursor.if_exists();
        ScheduleStatement::Drop { name: cursor.identifier()?, if_exists }
    } else if let Some(word) = cursor.take_one_of(&["PAUSE SCHEDULE", "RESUME SCHEDULE"]) {
        ScheduleStatement::Pause { name: cursor.identifier()?, pause: word == "PAUSE SCHEDULE" }
    } else if cursor.take_words("RUN SCHEDULE") {
        ScheduleStatement::Run { name: cursor.identifier()? }
    } else if cursor.take_words("CANCEL SCHEDULE RUN") {
        ScheduleStatement::Cancel { run_id: cursor.string()? }
    } else if cursor.take_words("SHOW SCHEDULES") {
        ScheduleStatement::ShowAll { pattern: super::show::pattern(cursor)? }
    } else if cursor.take_words("SHOW CREATE SCHEDULE") {
        ScheduleStatement::ShowCreate { name: cursor.identifier()? }
    } else {
        return Ok(None);
    };
    Ok(Some(Statement::Schedule(Box::new(statement))))
}

/// `[IF NOT EXISTS] name clause ... AS statement`; clauses come in any order, when it runs must, AS is the last.
fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<ScheduleStatement> {
    let mode: CreateMode = super::create_mode(cursor, or_replace)?;
    let name = cursor.identifier()?;
    let clauses = clauses(cursor)?;
    let needs = |what: &str| cursor.unexpected().with_detail(format!("CREATE SCHEDULE needs {what}."));
    if clauses.when.is_none() {
        return Err(needs("one of CRON, EVERY and ON CHANGE OF"));
    }
    if clauses.statements.is_none() {
        return Err(needs("AS and a statement"));
    }
    Ok(ScheduleStatement::Create { name, clauses: Box::new(clauses), mode })
}

/// `name RENAME TO .. | OWNER TO .. | PAUSE | RESUME | [SET] clause ...`
fn alter(cursor: &mut Cursor<'_>) -> Result<ScheduleStatement> {
    let name = cursor.identifier()?;
    if cursor.take_words("RENAME TO") {
        return Ok(ScheduleStatement::Rename { name, to: cursor.identifier()? });
    }
    if cursor.take_words("OWNER TO") {
        return Ok(ScheduleStatement::OwnerTo { name, owner: cursor.identifier_as_written()? });
    }
    if let Some(word) = cursor.take_one_of(&["PAUSE", "RESUME"]) {
        return Ok(ScheduleStatement::Pause { name, pause: word == "PAUSE" });
    }
    cursor.take_words("SET");
    if cursor.at_end() {
        return Err(cursor.unexpected());
    }
    Ok(ScheduleStatement::Alter { name, clauses: Box::new(clauses(cursor)?) })
}

fn clauses(cursor: &mut Cursor<'_>) -> Result<ScheduleClauses> {
    let mut clauses = ScheduleClauses::default();
    while !cursor.at_end() {
        let place = cursor.clone();
        let is_first = if cursor.take_words("CRON") {
            let cron = cursor.string()?;
            let time_zone = if cursor.take_words("TIME ZONE") { cursor.string()? } else { "UTC".to_owned() };
            set(&mut clauses.when, WhenClause::Cron(Schedule { cron, time_zone }))
        } else if cursor.take_words("EVERY") {
            set(&mut clauses.when, WhenClause::Every(cursor.string()?))
        } else if cursor.take_words("ON CHANGE OF") {
            cursor.take_words("TABLE");
            let table = cursor.object_name()?;
            let minimum_interval = if cursor.take_words("MINIMUM INTERVAL") { Some(cursor.string()?) } else { None };
            set(&mut clauses.when, WhenClause::OnChange { table, minimum_interval })
        } else if cursor.take_words("START") {
            set(&mut clauses.start, string_or_none(cursor)?)
        } else if cursor.take_words("END") {
            set(&mut clauses.end, string_or_none(cursor)?)
        } else if cursor.take_words("RETRY") {
            set(&mut clauses.retry, retry(cursor)?)
        } else if cursor.take_words("TIMEOUT") {
            set(&mut clauses.timeout, string_or_none(cursor)?)
        } else if cursor.take_words("CATCH UP") {
            let word = cursor.take_one_of(&["NONE", "LAST", "ALL"]).and_then(CatchUp::parse);
            set(&mut clauses.catch_up, word.ok_or_else(|| cursor.unexpected())?)
        } else if cursor.take_words("OVERLAP") {
            let word = cursor.take_one_of(&["SKIP", "QUEUE", "REPLACE"]).and_then(Overlap::parse);
            set(&mut clauses.overlap, word.ok_or_else(|| cursor.unexpected())?)
        } else if cursor.take_words("SUSPEND AFTER") {
            set(&mut clauses.suspend_after, number(cursor)?)
        } else if cursor.take_words("SUSPEND NEVER") {
            set(&mut clauses.suspend_after, 0)
        } else if cursor.take_words("COMMENT") {
            set(&mut clauses.comment, cursor.string()?)
        } else if cursor.peek_words("WORKGROUP") || cursor.peek_words("NOTIFY") {
            let word = cursor.peek_word().unwrap_or_default();
            return Err(Error::unsupported(format!("{word} of a schedule is not supported yet")).at(position(&place)));
        } else if cursor.take_words("AS") {
            set(&mut clauses.statements, statements(cursor)?)
        } else {
            return Err(cursor.unexpected());
        };
        if !is_first {
            return Err(Error::syntax("conflicting or redundant clauses").at(position(&place)));
        }
    }
    Ok(clauses)
}

fn position(cursor: &Cursor<'_>) -> usize {
    cursor.peek().map_or(1, |lexeme| lexeme.position)
}

/// Sets what isn't set; false if it is.
fn set<T>(clause: &mut Option<T>, value: T) -> bool {
    clause.replace(value).is_none()
}

fn string_or_none(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.take_words("NONE") { Ok(None) } else { cursor.string().map(Some) }
}

fn number(cursor: &mut Cursor<'_>) -> Result<u32> {
    match cursor.peek().map(|lexeme| &lexeme.token.token) {
        Some(Token::Number(digits, _)) => {
            let number = digits.parse().map_err(|_| cursor.unexpected())?;
            cursor.advance();
            Ok(number)
        }
        _ => Err(cursor.unexpected()),
    }
}

fn retry(cursor: &mut Cursor<'_>) -> Result<RetryClause> {
    let mut retry = RetryClause { count: number(cursor)?, backoff: None, factor: None, backoff_max: None };
    // TIMES, for those who read it aloud.
    cursor.take_words("TIMES");
    if cursor.take_words("BACKOFF") {
        retry.backoff = Some(cursor.string()?);
        if cursor.take_words("FACTOR") {
            retry.factor = Some(number(cursor)?);
        }
        if cursor.take_words("MAX") {
            retry.backoff_max = Some(cursor.string()?);
        }
    }
    Ok(retry)
}

/// One statement as it is, or several in `$$...$$` or `'...'`.
fn statements(cursor: &mut Cursor<'_>) -> Result<ScheduledStatements> {
    let Some(first) = cursor.peek() else { return Err(cursor.unexpected()) };
    // Characters before the text, where they can be told: in '...' a doubled quote is one character of it.
    let (text, before) = match (&first.token.token, cursor.peek_string()) {
        (Token::DollarQuotedString(quoted), Some(text)) => {
            let tag = quoted.tag.as_ref().map_or(0, |tag| tag.chars().count());
            cursor.advance();
            (text, Some(first.position + tag + 1))
        }
        (_, Some(text)) => {
            cursor.advance();
            let before = if text.contains(['\'', '\\']) { None } else { Some(first.position) };
            (text, before)
        }
        (_, None) => {
            let text = cursor.rest_text().to_owned();
            cursor.finish();
            (text, Some(first.position - 1))
        }
    };
    let parsed = parse_statements(&text, cursor.dialect).map_err(|error| Error {
        position: Some(match (before, error.position) {
            (Some(before), Some(position)) => before + position,
            _ => first.position,
        }),
        ..error
    })?;
    Ok(ScheduledStatements { text, parsed })
}

/// Parses what a schedule is to run, with some values for its parameters, and refuses what can't run in one.
///
/// # Errors
/// Syntax errors with positions in `sql`; `0A000` for statements that belong to a connection.
pub(crate) fn parse_statements(sql: &str, dialect: Dialect) -> Result<Vec<ParsedStatement>> {
    // Before they are parsed: statements in statements in statements would be as deep as the text is long.
    for part in lexer::split(sql, dialect)? {
        let words: Vec<String> = part.lexemes.iter().take(4).map(|lexeme| lexeme.word().unwrap_or_default()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let name = match words.as_slice() {
            ["CREATE", "SCHEDULE", ..] | ["CREATE", "OR", "REPLACE", "SCHEDULE"] => "CREATE SCHEDULE",
            ["ALTER", "SCHEDULE", ..] => "ALTER SCHEDULE",
            ["PREPARE", ..] => "PREPARE",
            _ => continue,
        };
        let place = part.lexemes.first().map_or(1, |first| first.position);
        return Err(refused(name).at(place));
    }
    let parsed = crate::parse::parse_with(sql, dialect, &Parameters::sample_of_schedule())?;
    for statement in &parsed {
        if let Some(name) = refused_name(&statement.statement) {
            return Err(refused(name).at(statement.offset + 1));
        }
    }
    match parsed.as_slice() {
        [ParsedStatement { statement: Statement::Empty, .. }] => {
            Err(Error::syntax("a schedule needs a statement").at(1))
        }
        _ => Ok(parsed),
    }
}

fn refused(name: &str) -> Error {
    Error::unsupported(format!("{name} cannot run in a schedule"))
}

/// The name of a statement that can't run in a schedule.
fn refused_name(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        // Each statement commits by itself: a block that waits for a COMMIT would be lost with its run.
        Statement::Begin(_) | Statement::SetTransaction { .. } => "BEGIN",
        Statement::Commit => "COMMIT",
        Statement::Rollback | Statement::RollbackTo { .. } => "ROLLBACK",
        Statement::Savepoint { .. } | Statement::Release { .. } => "SAVEPOINT",
        // There is no client.
        Statement::CopyIn(_) => "COPY FROM STDIN",
        Statement::CopyOut(_) => "COPY TO STDOUT",
        Statement::Declare(_) | Statement::Fetch(_) | Statement::CloseCursor { .. } => "a cursor",
        Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate { .. } => "PREPARE",
        Statement::Discard { .. } => "DISCARD",
        Statement::Kill { .. } => "KILL",
        // It runs as its owner, to its end.
        Statement::Role(role) => match role.as_ref() {
            RoleStatement::SetRole { .. } => "SET ROLE",
            RoleStatement::SetSession { .. } => "SET SESSION AUTHORIZATION",
            _ => return None,
        },
        Statement::Schedule(schedule) => match schedule.as_ref() {
            // Two that run each other would never end.
            ScheduleStatement::Run { .. } => "RUN SCHEDULE",
            _ => return None,
        },
        _ => return None,
    })
}
