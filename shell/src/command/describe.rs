//! `\d` and its kin: the questions to `pg_catalog` that psql asks, so that they are answered wherever it is.

use super::pattern::Pattern;

/// A list to be shown.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) title: &'static str,
    pub(crate) sql: String,
}

const KINDS: &str = "CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' \
                     WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' \
                     WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END";

/// Schemas that lists leave out.
fn not_system(column: &str) -> String {
    format!(
        "\n      AND {column} <> 'pg_catalog'\n      AND {column} !~ '^pg_toast'\n      AND {column} <> 'information_schema'"
    )
}

fn parsed(pattern: Option<&str>) -> Result<Option<Pattern>, String> {
    pattern.map(Pattern::parse).transpose()
}

/// `\dt`, `\dv`, `\dm`, `\ds`, `\di`, and `\d` alone: relations of some kinds.
pub(crate) fn relations(
    letters: &str,
    pattern: Option<&str>,
    is_verbose: bool,
    with_system: bool,
) -> Result<Listing, String> {
    let mut kinds = Vec::new();
    for letter in letters.chars() {
        match letter {
            't' => kinds.extend(["'r'", "'p'", "'f'"]),
            'v' => kinds.push("'v'"),
            'm' => kinds.push("'m'"),
            's' => kinds.push("'S'"),
            'i' => kinds.extend(["'i'", "'I'"]),
            _ => {}
        }
    }
    if kinds.is_empty() {
        kinds.extend(["'r'", "'p'", "'v'", "'m'", "'S'", "'f'"]);
    }
    let pattern = parsed(pattern)?;
    let mut columns = format!(
        "n.nspname as \"Schema\",\n  c.relname as \"Name\",\n  {KINDS} as \"Type\",\n  \
         pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\""
    );
    if is_verbose {
        columns += ",\n  pg_catalog.pg_size_pretty(pg_catalog.pg_table_size(c.oid)) as \"Size\",\n  \
                    pg_catalog.obj_description(c.oid, 'pg_class') as \"Description\"";
    }
    let mut sql = format!(
        "SELECT {columns}\nFROM pg_catalog.pg_class c\n     \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace\nWHERE c.relkind IN ({},'')",
        kinds.join(",")
    );
    if !with_system && pattern.is_none() {
        sql += &not_system("n.nspname");
    }
    let visible = "pg_catalog.pg_table_is_visible(c.oid)";
    match &pattern {
        Some(pattern) => sql += &pattern.conditions("n.nspname", "c.relname", Some(visible)),
        None => sql += &format!("\n  AND {visible}"),
    }
    sql += "\nORDER BY 1,2;";
    Ok(Listing { title: "List of relations", sql })
}

/// `\dn`
pub(crate) fn schemas(pattern: Option<&str>, is_verbose: bool, with_system: bool) -> Result<Listing, String> {
    let more = if is_verbose {
        ",\n  pg_catalog.array_to_string(n.nspacl, E'\\n') AS \"Access privileges\",\n  \
         pg_catalog.obj_description(n.oid, 'pg_namespace') AS \"Description\""
    } else {
        ""
    };
    let mut sql = format!(
        "SELECT n.nspname AS \"Name\",\n  pg_catalog.pg_get_userbyid(n.nspowner) AS \"Owner\"{more}\n\
         FROM pg_catalog.pg_namespace n\nWHERE true"
    );
    match parsed(pattern)? {
        Some(pattern) => sql += &pattern.conditions("n.nspname", "n.nspname", None),
        None if !with_system => sql += "\n  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
        None => {}
    }
    Ok(Listing { title: "List of schemas", sql: sql + "\nORDER BY 1;" })
}

/// `\l`
pub(crate) fn databases(pattern: Option<&str>, is_verbose: bool) -> Result<Listing, String> {
    let more =
        if is_verbose { ",\n       pg_catalog.shobj_description(d.oid, 'pg_database') as \"Description\"" } else { "" };
    let mut sql = format!(
        "SELECT d.datname as \"Name\",\n       pg_catalog.pg_get_userbyid(d.datdba) as \"Owner\",\n       \
         pg_catalog.pg_encoding_to_char(d.encoding) as \"Encoding\",\n       d.datcollate as \"Collate\",\n       \
         d.datctype as \"Ctype\",\n       \
         pg_catalog.array_to_string(d.datacl, E'\\n') AS \"Access privileges\"{more}\n\
         FROM pg_catalog.pg_database d\nWHERE true"
    );
    if let Some(pattern) = parsed(pattern)? {
        sql += &pattern.conditions("d.datname", "d.datname", None);
    }
    Ok(Listing { title: "List of databases", sql: sql + "\nORDER BY 1;" })
}

/// `\du`
pub(crate) fn roles(pattern: Option<&str>, is_verbose: bool, with_system: bool) -> Result<Listing, String> {
    let more = if is_verbose { ",\n  pg_catalog.shobj_description(r.oid, 'pg_authid') AS \"Description\"" } else { "" };
    let attribute = |condition: &str, text: &str| format!("CASE WHEN {condition} THEN '{text}' END");
    let attributes = [
        attribute("r.rolsuper", "Superuser"),
        attribute("r.rolcreaterole", "Create role"),
        attribute("r.rolcreatedb", "Create DB"),
        attribute("NOT r.rolcanlogin", "Cannot login"),
    ];
    let mut sql = format!(
        "SELECT r.rolname AS \"Role name\",\n  pg_catalog.concat_ws(', ', {}) AS \"Attributes\",\n  \
         ARRAY(SELECT b.rolname\n        FROM pg_catalog.pg_auth_members m\n        \
         JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)\n        WHERE m.member = r.oid) AS \"Member of\"{more}\n\
         FROM pg_catalog.pg_roles r\nWHERE true",
        attributes.join(", ")
    );
    match parsed(pattern)? {
        Some(pattern) => sql += &pattern.conditions("r.rolname", "r.rolname", None),
        None if !with_system => sql += "\n  AND r.rolname !~ '^pg_'",
        None => {}
    }
    Ok(Listing { title: "List of roles", sql: sql + "\nORDER BY 1;" })
}

/// `\df`
pub(crate) fn functions(pattern: Option<&str>, is_verbose: bool, with_system: bool) -> Result<Listing, String> {
    let more = if is_verbose {
        ",\n CASE\n  WHEN p.provolatile = 'i' THEN 'immutable'\n  WHEN p.provolatile = 's' THEN 'stable'\n  \
         WHEN p.provolatile = 'v' THEN 'volatile'\n END as \"Volatility\",\n \
         pg_catalog.obj_description(p.oid, 'pg_proc') as \"Description\""
    } else {
        ""
    };
    let mut sql = format!(
        "SELECT n.nspname as \"Schema\",\n  p.proname as \"Name\",\n  \
         pg_catalog.pg_get_function_result(p.oid) as \"Result data type\",\n  \
         pg_catalog.pg_get_function_arguments(p.oid) as \"Argument data types\",\n \
         CASE p.prokind\n  WHEN 'a' THEN 'agg'\n  WHEN 'w' THEN 'window'\n  WHEN 'p' THEN 'proc'\n  ELSE 'func'\n \
         END as \"Type\"{more}\nFROM pg_catalog.pg_proc p\n     \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace\nWHERE true"
    );
    match parsed(pattern)? {
        Some(pattern) => {
            sql += &pattern.conditions("n.nspname", "p.proname", Some("pg_catalog.pg_function_is_visible(p.oid)"));
        }
        None if !with_system => {
            sql += "\n  AND pg_catalog.pg_function_is_visible(p.oid)";
            sql += &not_system("n.nspname");
        }
        None => {}
    }
    Ok(Listing { title: "List of functions", sql: sql + "\nORDER BY 1, 2, 4;" })
}

/// The relations that a pattern names: oid, schema, name, kind.
pub(crate) fn named(pattern: &str) -> Result<String, String> {
    let pattern = Pattern::parse(pattern)?;
    let conditions = pattern.conditions("n.nspname", "c.relname", Some("pg_catalog.pg_table_is_visible(c.oid)"));
    Ok(format!(
        "SELECT c.oid,\n  n.nspname,\n  c.relname,\n  c.relkind\nFROM pg_catalog.pg_class c\n     \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace\nWHERE true{conditions}\nORDER BY 2, 3;"
    ))
}

/// The columns of a relation; with more of them what is known of how they are stored.
pub(crate) fn columns(oid: &str, is_verbose: bool) -> String {
    let more = if is_verbose { ",\n  a.attstorage,\n  pg_catalog.col_description(a.attrelid, a.attnum)" } else { "" };
    format!(
        "SELECT a.attname,\n  pg_catalog.format_type(a.atttypid, a.atttypmod),\n  \
         (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true)\n   FROM pg_catalog.pg_attrdef d\n   \
         WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),\n  a.attnotnull,\n  \
         (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t\n   \
         WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation{more}\n\
         FROM pg_catalog.pg_attribute a\nWHERE a.attrelid = '{oid}' AND a.attnum > 0 AND NOT a.attisdropped\n\
         ORDER BY a.attnum;"
    )
}

/// A view's query.
pub(crate) fn view_definition(oid: &str) -> String {
    format!("SELECT pg_catalog.pg_get_viewdef('{oid}'::pg_catalog.oid, true);")
}

/// What `\d` calls a kind of relation.
pub(crate) fn kind_name(kind: &str) -> &'static str {
    match kind {
        "v" => "View",
        "m" => "Materialized view",
        "p" => "Partitioned table",
        "f" => "Foreign table",
        "i" | "I" => "Index",
        "S" => "Sequence",
        "c" => "Composite type",
        _ => "Table",
    }
}

/// What `\d+` calls a kind of storage.
pub(crate) fn storage_name(storage: &str) -> &'static str {
    match storage {
        "p" => "plain",
        "m" => "main",
        "x" => "extended",
        "e" => "external",
        _ => "",
    }
}
