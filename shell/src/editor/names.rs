//! [`Names`]: what completion can offer, asked for beside the session and kept until something changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::backend::Side;
use crate::variable::literal;

/// How long a key may wait for names. Later ones are there the next time.
const PATIENCE: Duration = Duration::from_millis(400);

/// Tables whose columns are kept.
const TABLES_MAX: usize = 500;

/// What is known.
#[derive(Debug, Default)]
struct Known {
    /// Schemas and names of relations.
    tables: Vec<(String, String)>,
    schemas: Vec<String>,
    functions: Vec<String>,
    settings: Vec<String>,
    columns: HashMap<String, Vec<String>>,
}

/// See the module.
pub struct Names {
    side: Arc<dyn Side>,
    runtime: Handle,
    known: Arc<Mutex<Known>>,
}

const TABLES: &str = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r','p','v','m','f') AND n.nspname NOT IN ('pg_catalog','information_schema') \
    ORDER BY 1, 2 LIMIT 20000";
const SCHEMAS: &str = "SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1 LIMIT 20000";
const FUNCTIONS: &str = "SELECT DISTINCT proname FROM pg_catalog.pg_proc ORDER BY 1 LIMIT 20000";
const SETTINGS: &str = "SELECT name FROM pg_catalog.pg_settings ORDER BY 1 LIMIT 20000";

impl Names {
    /// Names that `side` knows.
    pub fn new(side: Arc<dyn Side>, runtime: Handle) -> Arc<Self> {
        let names = Arc::new(Self { side, runtime, known: Arc::default() });
        names.refresh();
        names
    }

    /// Asks again: something was made, changed or dropped.
    pub fn refresh(&self) {
        let (side, known) = (Arc::clone(&self.side), Arc::clone(&self.known));
        self.runtime.spawn(async move {
            let first = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
                rows.into_iter().filter_map(|mut row| row.first_mut().and_then(Option::take)).collect()
            };
            known.lock().columns.clear();
            if let Ok(rows) = side.rows(TABLES).await {
                let pairs = rows.into_iter().filter_map(|row| {
                    let mut row = row.into_iter();
                    Some((row.next()??, row.next()??))
                });
                known.lock().tables = pairs.collect();
            }
            if let Ok(rows) = side.rows(SCHEMAS).await {
                known.lock().schemas = first(rows);
            }
            // These never change.
            if known.lock().functions.is_empty()
                && let Ok(rows) = side.rows(FUNCTIONS).await
            {
                known.lock().functions = first(rows);
            }
            if known.lock().settings.is_empty()
                && let Ok(rows) = side.rows(SETTINGS).await
            {
                known.lock().settings = first(rows);
            }
        });
    }

    /// Schemas and names of tables and views.
    pub(super) fn tables(&self) -> Vec<(String, String)> {
        self.known.lock().tables.clone()
    }

    /// Schemas.
    pub(super) fn schemas(&self) -> Vec<String> {
        self.known.lock().schemas.clone()
    }

    /// Functions.
    pub(super) fn functions(&self) -> Vec<String> {
        self.known.lock().functions.clone()
    }

    /// Settings.
    pub(super) fn settings(&self) -> Vec<String> {
        self.known.lock().settings.clone()
    }

    /// The columns of a table, asked for when they are first needed.
    pub(super) fn columns(&self, schema: Option<&str>, table: &str) -> Vec<String> {
        let key = format!("{}.{table}", schema.unwrap_or_default());
        if let Some(columns) = self.known.lock().columns.get(&key) {
            return columns.clone();
        }
        let of_schema = match schema {
            Some(schema) => format!("AND n.nspname = {}", literal(schema)),
            None => "AND pg_catalog.pg_table_is_visible(c.oid)".to_owned(),
        };
        let sql = format!(
            "SELECT a.attname FROM pg_catalog.pg_attribute a \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = {} {of_schema} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            literal(table)
        );
        let asked = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.side.rows(&sql)).await });
        let Ok(Ok(rows)) = asked else { return Vec::new() };
        let columns: Vec<String> = rows.into_iter().flatten().flatten().collect();
        let mut known = self.known.lock();
        if known.columns.len() >= TABLES_MAX {
            known.columns.clear();
        }
        known.columns.insert(key, columns.clone());
        columns
    }
}

/// Words that begin or join statements, for completion and colours.
pub(super) const KEYWORDS: [&str; 151] = [
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "AVRO",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CATALOG",
    "COLUMN",
    "COLUMNS",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CRAWL",
    "CRAWLER",
    "CRAWLERS",
    "CREATE",
    "CROSS",
    "CSV",
    "CURRENT",
    "DATABASE",
    "DATABASES",
    "DATASET",
    "DATE",
    "DEFAULT",
    "DELETE",
    "DELIMITED",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DRIFT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "EXTRACT",
    "FALSE",
    "FETCH",
    "FIELDS",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FOR",
    "FORMAT",
    "FROM",
    "FULL",
    "FUNCTIONS",
    "GRANT",
    "GROUP",
    "GROUPING",
    "HAVING",
    "HEADER",
    "IF",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "JSON",
    "KILL",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MATERIALIZED",
    "MSCK",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIMIZE",
    "OR",
    "ORC",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "PARQUET",
    "PARTITION",
    "PARTITIONED",
    "PARTITIONS",
    "PASSWORD",
    "PAUSE",
    "PRECEDING",
    "QUERY",
    "RANGE",
    "REFRESH",
    "RENAME",
    "REPAIR",
    "REPLACE",
    "REPORT",
    "RESET",
    "RESUME",
    "REVOKE",
    "RIGHT",
    "ROLE",
    "ROLLBACK",
    "ROW",
    "ROWS",
    "RUN",
    "SCHEDULE",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHOW",
    "STATS",
    "STORED",
    "TABLE",
    "TABLES",
    "TABLESAMPLE",
    "TBLPROPERTIES",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRUNCATE",
    "UNBOUNDED",
    "UNION",
    "UNLOAD",
    "UNNEST",
    "UPDATE",
    "USER",
    "USING",
    "VACUUM",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "ZONE",
];

/// Whether a word is one of them.
pub(super) fn is_keyword(word: &str) -> bool {
    // The longest has 13 letters.
    word.len() <= 13 && KEYWORDS.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("select") && is_keyword("TBLPROPERTIES") && !is_keyword("lineitem"));
    }
}
