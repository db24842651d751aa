//! `\?` and `\h`: what there is. [`COMMANDS`] is also what completion and near names know.

use std::fmt::Write as _;

/// Commands: name, arguments, what they do. An empty name begins a group.
pub const COMMANDS: [(&str, &str, &str); 52] = [
    ("", "", "General"),
    ("q", "", "leave the shell"),
    ("?", "", "show this text"),
    ("h", "[NAME]", "show the form of an SQL statement, * all of them"),
    ("c", "[DATABASE [USER]]", "connect anew"),
    ("conninfo", "", "show where the session is"),
    ("timing", "[on|off]", "show how long statements take"),
    ("watch", "[SECONDS]", "run the statement again and again, until Ctrl-C"),
    ("!", "[COMMAND]", "run a command of the system"),
    ("cd", "[FOLDER]", "change the current folder"),
    ("", "", "Statement"),
    ("g", "[FILE|'|COMMAND']", "run the statement, its answer to a file or a program"),
    ("gx", "[FILE]", "as \\g, with a line for each value"),
    ("gset", "[PREFIX]", "run the statement and keep its one row in variables"),
    ("p", "", "show the statement that has begun"),
    ("r", "", "forget the statement that has begun"),
    ("e", "[FILE]", "edit the statement, or a file, in $EDITOR"),
    ("w", "FILE", "write the statement to a file"),
    ("s", "[FILE]", "show the history, or write it to a file"),
    ("", "", "Input and output"),
    ("i", "FILE", "run a file"),
    ("ir", "FILE", "the same, FILE as seen from the file that says so"),
    ("o", "[FILE|'|COMMAND']", "write answers to a file or a program; without one, to the screen again"),
    ("echo", "[TEXT]", "write a text to standard output"),
    ("qecho", "[TEXT]", "write a text to where answers go"),
    ("warn", "[TEXT]", "write a text to standard error"),
    ("copy", "TABLE|(QUERY) from|to 'FILE' [OPTIONS]", "COPY between the server and a file here"),
    ("", "", "What there is (+ says more, S with the system's; PATTERN: * any text, ? any character)"),
    ("d", "[PATTERN]", "tables and views; with a name, its columns"),
    ("dt", "[PATTERN]", "tables"),
    ("dv", "[PATTERN]", "views"),
    ("dm", "[PATTERN]", "materialized views: datasets"),
    ("di", "[PATTERN]", "indexes"),
    ("ds", "[PATTERN]", "sequences"),
    ("dn", "[PATTERN]", "schemas"),
    ("du", "[PATTERN]", "roles"),
    ("df", "[PATTERN]", "functions"),
    ("l", "[PATTERN]", "databases"),
    ("sv", "VIEW", "a view's definition"),
    ("", "", "How answers look"),
    ("x", "[on|off|auto]", "a line for each value"),
    (
        "pset",
        "[NAME [VALUE]]",
        "border, expanded, fieldsep, footer, format, linestyle, null, pager, title, tuples_only",
    ),
    ("a", "", "aligned or not"),
    ("t", "[on|off]", "rows only"),
    ("f", "[TEXT]", "what stands between values that are not aligned"),
    ("C", "[TEXT]", "a title for answers"),
    ("chart", "[line|bar|scatter]", "draw the last answer"),
    ("", "", "Variables"),
    ("set", "[NAME [VALUE]]", "set a variable; used as :NAME, :'NAME', :\"NAME\""),
    ("unset", "NAME", "forget a variable"),
    ("prompt", "[TEXT] NAME", "ask for a variable's value"),
    ("encoding", "", "show the encoding, which is UTF8"),
];

/// The text of `\?`.
pub(crate) fn commands() -> String {
    let mut out = String::new();
    for (name, arguments, about) in COMMANDS {
        // Writing to a String can't fail.
        let _ = match name {
            "" => writeln!(out, "{}{about}", if out.is_empty() { "" } else { "\n" }),
            name => writeln!(out, "  {:<44} {about}", format!("\\{name} {arguments}")),
        };
    }
    out
}

/// Statements and their forms.
const STATEMENTS: [(&str, &str); 24] = [
    (
        "ALTER TABLE",
        "ALTER TABLE name { ADD COLUMNS (column type, ...) | RENAME TO name | SET TBLPROPERTIES (...) | ADD PARTITION (...) | DROP PARTITION (...) }",
    ),
    ("ANALYZE", "ANALYZE [ table ]"),
    ("BEGIN", "BEGIN; ... COMMIT | ROLLBACK"),
    ("COPY", "COPY { table | (query) } { TO | FROM } { 'file' | STDIN | STDOUT } [ (FORMAT csv, HEADER, ...) ]"),
    ("CRAWL", "CRAWL 'location' [ INTO DATABASE name ]"),
    (
        "CREATE CRAWLER",
        "CREATE [ OR REPLACE ] CRAWLER name TARGETS ('location', ...) DATABASE name [ SCHEDULE CRON '0 2 * * *' [ TIME ZONE 'zone' ] ]",
    ),
    (
        "CREATE EXTERNAL TABLE",
        "CREATE EXTERNAL TABLE name (column type, ...) [ PARTITIONED BY (column type, ...) ] STORED AS format LOCATION 'location'",
    ),
    ("CREATE SCHEMA", "CREATE SCHEMA [ IF NOT EXISTS ] name"),
    (
        "CREATE TABLE AS",
        "CREATE TABLE name [ WITH (format = 'PARQUET', partitioned_by = ARRAY['column'], ...) ] AS query",
    ),
    ("CREATE VIEW", "CREATE [ OR REPLACE ] VIEW name AS query"),
    ("DELETE", "DELETE FROM table WHERE condition on partition keys"),
    ("DROP", "DROP { TABLE | VIEW | SCHEMA | CRAWLER | ROLE } [ IF EXISTS ] name"),
    ("EXPLAIN", "EXPLAIN [ ANALYZE | (COST) | (FORMAT JSON) ] statement"),
    ("GRANT", "GRANT { SELECT | INSERT | ... | ALL } ON { TABLE | SCHEMA } name TO role"),
    ("INSERT", "INSERT { INTO | OVERWRITE } table [ PARTITION (key = value) ] { VALUES (...) | query }"),
    ("KILL", "KILL QUERY 'query_id'"),
    ("MSCK", "MSCK REPAIR TABLE name"),
    ("OPTIMIZE", "OPTIMIZE table"),
    (
        "SELECT",
        "SELECT expressions FROM { table | 'file' } [ WHERE ... ] [ GROUP BY ... ] [ HAVING ... ] [ ORDER BY ... ] [ LIMIT n ]",
    ),
    ("SET", "SET name = value; SHOW name; SHOW ALL"),
    (
        "SHOW",
        "SHOW { TABLES | DATABASES | PARTITIONS table | COLUMNS IN table | CREATE TABLE name | STATS FOR table | DRIFT table | CRAWLERS }",
    ),
    ("TRUNCATE", "TRUNCATE TABLE name"),
    ("UNLOAD", "UNLOAD (query) TO 'location' WITH (format = 'PARQUET', ...)"),
    ("VALUES", "VALUES (1, 'a'), (2, 'b')"),
];

/// The text of `\h`.
pub(crate) fn statement(name: &str) -> Result<String, String> {
    let name = name.trim().trim_end_matches(';').to_uppercase();
    if name.is_empty() {
        let names: Vec<&str> = STATEMENTS.iter().map(|(name, _)| *name).collect();
        return Ok(format!("Statements: {}.\n\\h NAME shows the form of one.\n", names.join(", ")));
    }
    let found: Vec<String> = STATEMENTS
        .iter()
        .filter(|(known, _)| name == "*" || known.starts_with(&name) || name.starts_with(known))
        .map(|(known, form)| format!("Statement: {known}\n  {form}\n"))
        .collect();
    if found.is_empty() { Err(format!("no help is there for \"{name}\"; try \\h")) } else { Ok(found.join("\n")) }
}

/// What was probably meant by a name that isn't known.
pub(crate) fn near(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let names = COMMANDS.iter().map(|(name, ..)| *name).filter(|name| name.len() > 1 || lower.len() <= 2);
    let closest = names.filter(|known| !known.is_empty()).min_by_key(|known| distance(known, &lower))?;
    (distance(closest, &lower) <= 2 && distance(closest, &lower) < lower.len().max(2)).then_some(closest)
}

/// Levenshtein's: how many characters are to be changed, put in or taken out.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[at + 1];
            row[at + 1] = change.min(row[at] + 1).min(row[at + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        assert_eq!(near("tming"), Some("timing"));
        assert_eq!(near("wtach"), Some("watch"));
        assert_eq!(near("conifo"), Some("conninfo"));
        assert_eq!(near("qqqqqq"), None);
    }

    #[test]
    fn help_is_there() {
        assert!(commands().contains("\\chart [line|bar|scatter]"));
        assert!(statement("create").is_ok_and(|text| text.contains("CREATE VIEW")));
        assert!(statement("nosuch").is_err());
    }
}
