//! [`Completer`]: what may stand where the cursor is: keywords, tables, columns of the statement's tables, functions,
//! settings, files inside quotes, backslash commands.

use std::path::Path;
use std::sync::Arc;

use reedline::{CompletionResult, Span, Suggestion};

use super::Pending;
use super::names::{KEYWORDS, Names, is_keyword};
use crate::command::COMMANDS;
use crate::lex::{self, Kind, Token};
use crate::table::Format;

/// More than that is no help.
const SUGGESTIONS_MAX: usize = 200;

/// See the module.
pub(super) struct Completer {
    names: Arc<Names>,
    pending: Pending,
}

impl Completer {
    pub(super) fn new(names: Arc<Names>, pending: Pending) -> Self {
        Self { names, pending }
    }
}

/// What may be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    text: String,
    about: &'static str,
    /// Whether more will follow without a blank: a folder, a schema.
    goes_on: bool,
}

fn candidate(text: impl Into<String>, about: &'static str) -> Candidate {
    Candidate { text: text.into(), about, goes_on: false }
}

impl reedline::Completer for Completer {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let mut pos = pos.min(line.len());
        while !line.is_char_boundary(pos) {
            pos -= 1;
        }
        let (start, candidates) = self.candidates(line, pos);
        let suggestions: Vec<Suggestion> = candidates
            .into_iter()
            .take(SUGGESTIONS_MAX)
            .map(|candidate| Suggestion {
                value: candidate.text,
                span: Span::new(start, pos),
                append_whitespace: !candidate.goes_on,
                ..Suggestion::default()
            })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}

impl Completer {
    /// Where the word begins, and what it may become.
    fn candidates(&self, line: &str, pos: usize) -> (usize, Vec<Candidate>) {
        let before = &line[..pos];
        let tokens = lex::tokens(before);
        let last = tokens.last();
        if let Some(command) = last.filter(|token| token.kind == Kind::Command) {
            return self.of_command(command.start, &before[command.start..]);
        }
        if let Some(text) = last.filter(|token| token.kind == Kind::Text && !token.is_closed) {
            let start = text.start + 1;
            return files(start, &before[start..]);
        }
        if last.is_some_and(|token| !token.is_closed || token.kind == Kind::Comment) {
            return (pos, Vec::new());
        }
        // The word that is being typed, with the names and points before it: `schema.table.col`.
        let mut first = tokens.len();
        while first > 0
            && (matches!(tokens[first - 1].kind, Kind::Word | Kind::Name) || tokens[first - 1].text(before) == ".")
        {
            let joins =
                first == tokens.len() || (tokens[first - 1].text(before) == ".") != (tokens[first].text(before) == ".");
            if !joins {
                break;
            }
            first -= 1;
        }
        let chain: Vec<String> = split_chain(before, &tokens[first..]);
        // As it was typed: keywords are offered in its case.
        let typed = tokens[first..].last().map(|token| token.text(before)).filter(|text| *text != ".");
        let word = typed.unwrap_or_default().trim_matches('"').to_owned();
        let start = match tokens[first..].last() {
            Some(token) if token.text(before) != "." => token.start,
            _ => pos,
        };
        let previous = words_before(before, &tokens[..first]);
        let pending = self.pending.lock().clone();
        let statement = statement_around(&pending, line, pos);
        let mut found = match chain.len() {
            0 | 1 => self.unqualified(&previous, &word, &statement),
            _ => self.qualified(&chain[..chain.len() - 1], &statement),
        };
        found.retain(|candidate| begins_with(&candidate.text, &word));
        found.dedup_by(|a, b| a.text == b.text);
        (start, found)
    }

    fn unqualified(&self, previous: &[String], word: &str, statement: &str) -> Vec<Candidate> {
        let last = previous.last().map(String::as_str).unwrap_or_default();
        let wants_table =
            ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "ANALYZE", "VIEW", "OPTIMIZE", "DRIFT"]
                .contains(&last)
                || (last == "," && within_from(previous));
        if wants_table {
            let mut found = self.tables();
            if last == "FROM" || last == "JOIN" || last == "INTO" {
                found.extend(["LATERAL", "TABLE"].iter().map(|keyword| candidate(cased(keyword, word), "keyword")));
            }
            return found;
        }
        if ["SET", "RESET"].contains(&last) && previous.len() == 1 {
            return self.names.settings().into_iter().map(|name| candidate(name, "setting")).collect();
        }
        if last == "SHOW" {
            let mut found = keywords(word);
            found.extend(self.names.settings().into_iter().map(|name| candidate(name, "setting")));
            return found;
        }
        let mut found = Vec::new();
        if !previous.is_empty() {
            for table in tables_of(statement) {
                let columns = self.names.columns(table.schema.as_deref(), &table.name);
                found.extend(columns.iter().map(|name| candidate(quoted(name), "column")));
                if let Some(alias) = table.alias {
                    found.push(Candidate { goes_on: true, ..candidate(alias, "alias") });
                }
            }
        }
        found.extend(keywords(word));
        // Nobody looks for one of hundreds without a letter.
        if !previous.is_empty() && !word.is_empty() {
            let functions = self.names.functions();
            found.extend(
                functions.iter().map(|name| Candidate { goes_on: true, ..candidate(format!("{name}("), "function") }),
            );
            found.extend(self.tables());
        }
        found
    }

    /// `schema.`, `table.`, `alias.`
    fn qualified(&self, path: &[String], statement: &str) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let qualifier = path.last().cloned().unwrap_or_default();
        let known = tables_of(statement);
        let is_named =
            |table: &&TableName| table.alias.as_ref().unwrap_or(&table.name).eq_ignore_ascii_case(&qualifier);
        if let Some(table) = known.iter().find(is_named) {
            let columns = self.names.columns(table.schema.as_deref(), &table.name);
            found.extend(columns.iter().map(|name| candidate(quoted(name), "column")));
        }
        let tables = self.names.tables();
        let of_schema = tables.iter().filter(|(schema, _)| schema.eq_ignore_ascii_case(&qualifier));
        found.extend(of_schema.map(|(_, name)| candidate(quoted(name), "table")));
        found
    }

    fn tables(&self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for (schema, name) in self.names.tables() {
            if schema == "public" || schema == "default" {
                found.push(candidate(quoted(&name), "table"));
            }
        }
        let schemas = self.names.schemas().into_iter();
        found.extend(
            schemas.map(|name| Candidate { goes_on: true, ..candidate(format!("{}.", quoted(&name)), "schema") }),
        );
        found
    }

    /// A backslash command, or its arguments.
    fn of_command(&self, start: usize, text: &str) -> (usize, Vec<Candidate>) {
        let Some(blank) = text.find(char::is_whitespace) else {
            let found = COMMANDS.iter().filter(|(name, ..)| !name.is_empty());
            let mut found: Vec<Candidate> =
                found.map(|(name, _, about)| candidate(format!("\\{name}"), about)).collect();
            found.retain(|candidate| candidate.text.starts_with(text));
            return (start, found);
        };
        let (name, arguments) = (&text[1..blank], &text[blank..]);
        let word_start = arguments.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let word = arguments[word_start..].trim_start_matches('\'');
        let at = start + text.len() - word.len();
        let is_first = arguments[..word_start].trim().is_empty();
        let listed = |words: &[&str]| words.iter().map(|word| candidate(*word, "")).collect::<Vec<_>>();
        let mut found = match name {
            "i" | "ir" | "o" | "g" | "gx" | "w" | "cd" | "e" => return files(at, word),
            "copy" if arguments[word_start..].starts_with('\'') => return files(at, word),
            "pset" if is_first => listed(&crate::table::NAMES),
            "pset" if arguments.trim_start().starts_with("format") => {
                Format::ALL.iter().map(|(name, _)| candidate(*name, "")).collect()
            }
            "x" => listed(&["on", "off", "auto"]),
            "timing" | "t" => listed(&["on", "off"]),
            "chart" => listed(&["line", "bar", "scatter"]),
            "h" => keywords(word),
            name if name.starts_with('d') || name == "sv" || name == "copy" => match word.split_once('.') {
                Some((schema, name)) => {
                    let found = self.qualified(&[schema.to_owned()], "");
                    let found = found.into_iter().filter(|candidate| begins_with(&candidate.text, name));
                    return (at + schema.len() + 1, found.collect());
                }
                None => self.tables(),
            },
            _ => Vec::new(),
        };
        found.retain(|candidate| begins_with(&candidate.text, word));
        (at, found)
    }
}

/// Whether `text` continues `word`, in any case.
fn begins_with(text: &str, word: &str) -> bool {
    let word = word.trim_start_matches('"');
    let text = text.trim_start_matches('"');
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) && text.len() > word.len()
}

/// The names of a chain such as `a.b.`: its last part may be empty.
fn split_chain(text: &str, tokens: &[Token]) -> Vec<String> {
    let mut parts = Vec::new();
    for token in tokens {
        let part = token.text(text);
        if part == "." {
            if parts.is_empty() {
                parts.push(String::new());
            }
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut().filter(|last: &&mut String| last.is_empty()) {
            *last = unquoted(part);
        } else {
            parts.push(unquoted(part));
        }
    }
    parts
}

/// The words of the statement before the cursor, upper case; `,` and `(` count as words.
fn words_before(text: &str, tokens: &[Token]) -> Vec<String> {
    let from = tokens.iter().rposition(|token| token.kind == Kind::Semicolon).map_or(0, |at| at + 1);
    tokens[from..]
        .iter()
        .filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment))
        .map(|token| token.text(text).to_ascii_uppercase())
        .collect()
}

/// Whether a comma separates tables: the last clause that began is FROM.
fn within_from(previous: &[String]) -> bool {
    let clauses = ["FROM", "WHERE", "GROUP", "ORDER", "HAVING", "SELECT", "ON", "USING", "SET", "VALUES", "LIMIT", "("];
    previous.iter().rev().find(|word| clauses.contains(&word.as_str())).is_some_and(|word| word == "FROM")
}

/// The statement that the cursor is in, also behind it.
fn statement_around(pending: &str, line: &str, pos: usize) -> String {
    let tokens = lex::tokens(line);
    let ends = |token: &&Token| token.kind == Kind::Semicolon;
    let start = tokens.iter().filter(ends).map(|token| token.end).filter(|end| *end <= pos).max();
    let end = tokens.iter().filter(ends).map(|token| token.start).find(|start| *start >= pos).unwrap_or(line.len());
    match start {
        Some(start) => line[start..end.max(start)].to_owned(),
        None => format!("{pending}{}", &line[..end]),
    }
}

/// A table that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TableName {
    schema: Option<String>,
    name: String,
    alias: Option<String>,
}

/// The tables that a statement reads or writes, as far as can be told without a parser.
fn tables_of(statement: &str) -> Vec<TableName> {
    let tokens: Vec<Token> =
        lex::tokens(statement).into_iter().filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment)).collect();
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text(statement));
    let is_name = |at: usize| {
        tokens.get(at).is_some_and(|token| match token.kind {
            Kind::Name => true,
            Kind::Word => !is_keyword(token.text(statement)),
            _ => false,
        })
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let word = text(at).to_ascii_uppercase();
        at += 1;
        if !["FROM", "JOIN", "INTO", "UPDATE", "TABLE"].contains(&word.as_str()) {
            continue;
        }
        while is_name(at) {
            let mut parts = vec![unquoted(text(at))];
            at += 1;
            while text(at) == "." && is_name(at + 1) {
                parts.push(unquoted(text(at + 1)));
                at += 2;
            }
            if text(at) == "." {
                // It is still being typed: the name of a schema so far.
                break;
            }
            if text(at).eq_ignore_ascii_case("as") {
                at += 1;
            }
            let alias = is_name(at).then(|| unquoted(text(at)));
            at += usize::from(alias.is_some());
            let name = parts.pop().unwrap_or_default();
            found.push(TableName { schema: parts.pop(), name, alias });
            if text(at) != "," {
                break;
            }
            at += 1;
        }
    }
    found
}

/// Keywords in the case in which the word was begun.
fn keywords(word: &str) -> Vec<Candidate> {
    KEYWORDS.iter().map(|keyword| candidate(cased(keyword, word), "keyword")).collect()
}

fn cased(keyword: &str, word: &str) -> String {
    let is_lower = word.chars().next().is_some_and(char::is_lowercase);
    if is_lower { keyword.to_ascii_lowercase() } else { keyword.to_owned() }
}

/// A name as SQL needs it: quoted where it must be.
fn quoted(name: &str) -> String {
    let is_plain =
        name.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
            && !name.starts_with(|character: char| character.is_ascii_digit())
            && !["select", "from", "where", "table", "order", "group", "user", "end", "limit"].contains(&name);
    if is_plain { name.to_owned() } else { crate::variable::identifier(name) }
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"') {
        Some(name) => name.strip_suffix('"').unwrap_or(name).replace("\"\"", "\""),
        None => name.to_ascii_lowercase(),
    }
}

/// Files and folders that continue a path.
fn files(start: usize, path: &str) -> (usize, Vec<Candidate>) {
    let name_at = path.rfind('/').map_or(0, |at| at + 1);
    let (folder, name) = path.split_at(name_at);
    let listed = std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let Ok(listed) = listed else { return (start, Vec::new()) };
    let mut found: Vec<Candidate> = listed
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let is_hidden = file.starts_with('.') && !name.starts_with('.');
            let is_folder = entry.path().is_dir();
            (file.starts_with(name) && !is_hidden).then(|| Candidate {
                text: format!("{file}{}", if is_folder { "/" } else { "" }),
                about: "file",
                // The quote comes next, not a blank.
                goes_on: true,
            })
        })
        .take(SUGGESTIONS_MAX)
        .collect();
    found.sort_by(|a, b| a.text.cmp(&b.text));
    (start + name_at, found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::*;
    use crate::backend::{Progress, Side};

    struct Fixed;

    #[async_trait]
    impl Side for Fixed {
        async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
            let list = |names: &[&str]| names.iter().map(|name| vec![Some((*name).to_owned())]).collect();
            Ok(if sql.contains("pg_attribute") && sql.contains("'orders'") {
                list(&["o_orderkey", "o_totalprice"])
            } else if sql.contains("pg_attribute") {
                list(&["n_name", "Odd name"])
            } else if sql.contains("pg_class") {
                let pair = |schema: &str, name: &str| vec![Some(schema.to_owned()), Some(name.to_owned())];
                vec![pair("public", "nation"), pair("public", "orders"), pair("sales", "trips")]
            } else if sql.contains("pg_proc") {
                list(&["abs", "avg"])
            } else if sql.contains("pg_settings") {
                list(&["statement_timeout", "time_zone"])
            } else {
                list(&["public", "sales"])
            })
        }

        async fn progress(&self) -> Option<Progress> {
            None
        }
    }

    /// What completes `line` at its `|`.
    fn complete(completer: &Completer, line: &str) -> Vec<String> {
        let pos = line.find('|').unwrap();
        let (_, found) = completer.candidates(&line.replace('|', ""), pos);
        found.into_iter().map(|candidate| candidate.text).collect()
    }

    #[test]
    fn what_may_stand_at_the_cursor_is_offered() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
        let names = Names::new(Arc::new(Fixed), runtime.handle().clone());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while names.settings().is_empty() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let completer = Completer::new(names, Arc::new(Mutex::new(String::new())));
        let cases: [(&str, &[&str]); 11] = [
            ("sel|", &["select"]),
            ("SEL|", &["SELECT"]),
            ("select * from n|", &["nation"]),
            ("select * from sales.|", &["trips"]),
            ("select o_| from orders", &["o_orderkey", "o_totalprice"]),
            ("select x.| from nation as x, orders", &["n_name", "\"Odd name\""]),
            ("select av| from nation", &["avro", "avg("]),
            ("set ti|", &["time_zone"]),
            ("\\ti|", &["\\timing"]),
            ("\\d na|", &["nation"]),
            ("\\pset fo|", &["footer", "format"]),
        ];
        for (line, expected) in cases {
            assert_eq!(complete(&completer, line), expected, "{line}");
        }
        assert_eq!(
            complete(&completer, "select '|"),
            files(0, "").1.into_iter().map(|file| file.text).collect::<Vec<_>>()
        );
        assert!(complete(&completer, "-- sel|").is_empty());
        assert!(complete(&completer, "select $$ sel|").is_empty());
    }

    #[test]
    fn tables_are_found_without_a_parser() {
        let names = |sql: &str| {
            let found = tables_of(sql);
            found.into_iter().map(|table| (table.schema, table.name, table.alias)).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            names("select from A.b x, c join \"D\" as d on true where e"),
            [(some("a"), "b".to_owned(), some("x")), (None, "c".to_owned(), None), (None, "D".to_owned(), some("d"))]
        );
        assert_eq!(names("insert into t select * from (select 1)"), [(None, "t".to_owned(), None)]);
    }
}
