//! Files that say which schedules there are:
//!
//! ```toml
//! [schedules.daily_sales]                  # the schedule's name
//! cron = "0 8 * * MON-FRI"                 # one of cron, every, on_change_of
//! time_zone = "Asia/Seoul"                 # of cron
//! sql = "INSERT INTO daily SELECT * FROM raw WHERE day = {{scheduled_date}}"    # or sql_file = "daily.sql", beside this file
//! retry = 3
//! backoff = "1 minute"
//! ```
//! and `minimum_interval` (of `on_change_of`), `start`, `end`, `timeout`, `catch_up`, `overlap`, `suspend_after`, `comment`, as the flags of
//! `limnos schedule create`. Keys that are not known are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::statement::{qualified, string};
use super::{Policy, create_text};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schedules: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    cron: Option<String>,
    time_zone: Option<String>,
    every: Option<String>,
    on_change_of: Option<String>,
    minimum_interval: Option<String>,
    sql: Option<String>,
    sql_file: Option<PathBuf>,
    start: Option<String>,
    end: Option<String>,
    retry: Option<u32>,
    backoff: Option<String>,
    timeout: Option<String>,
    catch_up: Option<String>,
    overlap: Option<String>,
    suspend_after: Option<u32>,
    comment: Option<String>,
}

/// The statement that makes each schedule of a file, `CREATE OR REPLACE`, by name.
///
/// # Errors
/// Why the file can't be taken, for people.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("could not read \"{shown}\": {error}"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let read_sql = |name: &Path| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| format!("could not read \"{}\": {error}", path.display()))
    };
    parse(&text, &read_sql).map_err(|error| format!("{shown}: {error}"))
}

fn parse(text: &str, read_sql: &dyn Fn(&Path) -> Result<String, String>) -> Result<BTreeMap<String, String>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let mut statements = BTreeMap::new();
    for (name, entry) in file.schedules {
        let statement = statement(&name, entry, read_sql).map_err(|error| format!("schedule \"{name}\": {error}"))?;
        if statements.insert(name.to_lowercase(), statement).is_some() {
            return Err(format!("schedule \"{}\" is there twice", name.to_lowercase()));
        }
    }
    Ok(statements)
}

fn statement(name: &str, entry: Entry, read_sql: &dyn Fn(&Path) -> Result<String, String>) -> Result<String, String> {
    if entry.time_zone.is_some() && entry.cron.is_none() {
        return Err("time_zone goes with cron".to_owned());
    }
    if entry.minimum_interval.is_some() && entry.on_change_of.is_none() {
        return Err("minimum_interval goes with on_change_of".to_owned());
    }
    if entry.backoff.is_some() && entry.retry.is_none() {
        return Err("backoff goes with retry".to_owned());
    }
    let when = match (&entry.cron, &entry.every, &entry.on_change_of) {
        (Some(cron), None, None) => {
            format!("CRON {} TIME ZONE {}", string(cron), string(entry.time_zone.as_deref().unwrap_or("UTC")))
        }
        (None, Some(every), None) => format!("EVERY {}", string(every)),
        (None, None, Some(table)) => {
            let least = entry.minimum_interval.as_ref();
            let least = least.map_or_else(String::new, |text| format!(" MINIMUM INTERVAL {}", string(text)));
            format!("ON CHANGE OF {}{least}", qualified(table))
        }
        _ => return Err("exactly one of cron, every and on_change_of is needed".to_owned()),
    };
    let sql = match (entry.sql, entry.sql_file) {
        (Some(sql), None) => sql,
        (None, Some(path)) => read_sql(&path)?,
        _ => return Err("exactly one of sql and sql_file is needed".to_owned()),
    };
    for (key, word, words) in [
        ("catch_up", &entry.catch_up, ["none", "last", "all"]),
        ("overlap", &entry.overlap, ["skip", "queue", "replace"]),
    ] {
        if let Some(word) = word
            && !words.contains(&word.to_lowercase().as_str())
        {
            return Err(format!("{key} is \"{word}\"; it can be {}", words.join(", ")));
        }
    }
    let policy = Policy {
        start: entry.start,
        end: entry.end,
        retry: entry.retry,
        backoff: entry.backoff,
        timeout: entry.timeout,
        catch_up: entry.catch_up,
        overlap: entry.overlap,
        suspend_after: entry.suspend_after,
        comment: entry.comment,
    };
    Ok(create_text("CREATE OR REPLACE SCHEDULE", name, &when, &policy, &sql))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        parse(text, &|path| if path == Path::new("a.sql") { Ok("SELECT 1\n".to_owned()) } else { Err("no".to_owned()) })
    }

    #[test]
    fn files_become_statements() {
        let text = "[schedules.Daily]\ncron = \"0 8 * * *\"\ntime_zone = \"Asia/Seoul\"\nsql_file = \"a.sql\"\nretry = 2\n\
                    [schedules.ingest]\non_change_of = \"raw.events\"\nsql = \"SELECT 'x'\"\noverlap = \"queue\"\n";
        let statements = read(text).unwrap();
        assert_eq!(
            statements["daily"],
            "CREATE OR REPLACE SCHEDULE \"Daily\" CRON '0 8 * * *' TIME ZONE 'Asia/Seoul' RETRY 2 AS 'SELECT 1'"
        );
        assert_eq!(
            statements["ingest"],
            "CREATE OR REPLACE SCHEDULE \"ingest\" ON CHANGE OF \"raw\".\"events\" OVERLAP QUEUE AS 'SELECT ''x'''"
        );
        for statement in statements.values() {
            limnos_engine::parse::parse(statement, limnos_engine::parse::Dialect::Postgres).unwrap();
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (text, wanted) in [
            ("[schedules.a]\ncrom = \"x\"\nsql = \"SELECT 1\"", "unknown field `crom`"),
            ("[schedule.a]\ncron = \"x\"", "unknown field `schedule`"),
            ("[schedules.a]\nsql = \"SELECT 1\"", "exactly one of cron, every and on_change_of is needed"),
            ("[schedules.a]\nevery = \"1 h\"\ncron = \"x\"\nsql = \"SELECT 1\"", "exactly one of cron"),
            ("[schedules.a]\nevery = \"1 h\"", "exactly one of sql and sql_file"),
            ("[schedules.a]\nevery = \"1 h\"\nsql_file = \"b.sql\"", "schedule \"a\": no"),
            ("[schedules.a]\nevery = \"1 h\"\ntime_zone = \"UTC\"\nsql = \"SELECT 1\"", "time_zone goes with cron"),
            ("[schedules.a]\nevery = \"1 h\"\noverlap = \"no\"\nsql = \"SELECT 1\"", "it can be skip, queue, replace"),
            (
                "[schedules.a]\nevery = \"1 h\"\nsql = \"SELECT 1\"\n[schedules.A]\nevery = \"1 h\"\nsql = \"SELECT 1\"",
                "twice",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
