//! [`Settings`]: what SET may set. An allow-list: a name that is not in [`definitions`] can't be set, apart from two-part
//! names of extensions (`myapp.user_id`), which PostgreSQL lets everyone make up, too.
//!
//! One table defines every setting; SET, SHOW ALL, `pg_settings` and the documentation are all rendered from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use super::zone::Zone;
use crate::parse::{Dialect, TransactionModes};
use crate::{Error, ErrorCode, Result};

mod harmless;
mod value;

pub(crate) use value::{boolean, bytes, in_unit};

/// Names whose changes are told to the client unasked (PostgreSQL's ParameterStatus), in the order sent at start-up.
pub const REPORTED: &[&str] = &[
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "default_transaction_read_only",
    "in_hot_standby",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
];

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `on` or `off`, in all of PostgreSQL's spellings.
    Boolean,
    /// A whole number within bounds.
    Integer { min: i64, max: i64 },
    /// A length of time in milliseconds; units as `5s` and `2min` are understood.
    Milliseconds,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// A list of names.
    NameList,
    /// An IANA name, `UTC`, or an offset.
    TimeZone,
    /// `ISO, MDY`.
    DateStyle,
    /// `UTF8` alone.
    Encoding,
    /// `on` alone: the lexer knows no other strings.
    OnlyOn,
    /// A count of bytes, with a unit (`10GB`, `512MiB`) or without.
    Bytes,
    /// Memory as PostgreSQL has it: in kB, or with one of its units.
    Memory,
    /// A number, not necessarily whole.
    Real { min: f64, max: f64 },
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// As PostgreSQL spells it.
    pub name: &'static str,
    pub default: &'static str,
    pub kind: Kind,
    /// Shown, but not to be set.
    pub read_only: bool,
    /// A sentence for SHOW ALL.
    pub description: &'static str,
}

const fn setting(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, read_only: false, description }
}

const fn fixed(name: &'static str, default: &'static str, description: &'static str) -> Definition {
    Definition { name, default, kind: Kind::Text, read_only: true, description }
}

const ISOLATION: Kind = Kind::Choice(&["serializable", "repeatable read", "read committed", "read uncommitted"]);
const SERVER_VERSION: &str = concat!("15.0 (Limnos ", env!("CARGO_PKG_VERSION"), ")");

/// Every setting there is, by name.
pub const fn definitions() -> &'static [Definition] {
    DEFINITIONS
}

const DEFINITIONS: &[Definition] = &[
    setting("application_name", "", Kind::Text, "Sets the application name to be reported in statistics and logs."),
    setting("bytea_output", "hex", Kind::Choice(&["hex", "escape"]), "Sets the output format for bytea."),
    setting(
        "client_encoding",
        "UTF8",
        Kind::Encoding,
        "Sets the client's character set encoding; only UTF8 is supported.",
    ),
    setting(
        "client_min_messages",
        "notice",
        Kind::Choice(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]),
        "Sets the message levels that are sent to the client.",
    ),
    setting(
        "dataset_aggregation",
        "on",
        Kind::Boolean,
        "Aggregates datasets on their codes where keys have few values.",
    ),
    setting("DateStyle", "ISO, MDY", Kind::DateStyle, "Sets the display format for date and time values."),
    setting(
        "default_transaction_isolation",
        "read committed",
        ISOLATION,
        "Sets the transaction isolation level of each new transaction.",
    ),
    setting(
        "default_transaction_read_only",
        "off",
        Kind::Boolean,
        "Sets the default read-only status of new transactions.",
    ),
    setting(
        "dialect",
        "postgres",
        Kind::Choice(&["postgres", "athena"]),
        "Decides what SQL means where PostgreSQL and Athena differ.",
    ),
    setting(
        "extra_float_digits",
        "1",
        Kind::Integer { min: -15, max: 3 },
        "Sets the number of digits displayed for floating-point values.",
    ),
    setting(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Milliseconds,
        "Sets the maximum allowed idle time between queries, when in a transaction.",
    ),
    setting(
        "idle_session_timeout",
        "0",
        Kind::Milliseconds,
        "Sets the maximum allowed idle time between queries, when not in a transaction.",
    ),
    fixed("in_hot_standby", "off", "Shows whether hot standby is currently active."),
    fixed("integer_datetimes", "on", "Shows whether datetimes are integer based."),
    setting(
        "IntervalStyle",
        "postgres",
        Kind::Choice(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "Sets the display format for interval values.",
    ),
    fixed("is_superuser", "off", "Shows whether the current user is a superuser."),
    setting("jit", "off", Kind::Boolean, "Accepted for clients that switch it off; there is no JIT compiler."),
    setting(
        "late_materialization",
        "auto",
        Kind::Choice(&["auto", "on", "off"]),
        "Decides whether a scan reads the columns of its filter first and others only for the rows that pass.",
    ),
    fixed("lc_collate", "C", "Shows the collation order locale."),
    fixed("lc_ctype", "C.UTF-8", "Shows the character classification and case conversion locale."),
    setting("lock_timeout", "0", Kind::Milliseconds, "Accepted for clients that set it; nothing waits for a lock."),
    fixed("max_identifier_length", "255", "Shows the maximum identifier length."),
    fixed("max_index_keys", "32", "Shows the maximum number of index keys."),
    setting("result_cache", "on", Kind::Boolean, "Answers queries from the results of equal ones over the same files."),
    setting(
        "read_ahead",
        "on",
        Kind::Boolean,
        "Fetches the next files of a scan over a network before it asks for them.",
    ),
    setting("row_security", "on", Kind::Boolean, "Accepted for clients that set it; row filters always hold."),
    setting(
        "scan_limit",
        "0",
        Kind::Bytes,
        "Sets the most bytes that a query may read; 0 is as many as the server allows.",
    ),
    setting(
        "search_path",
        "\"$user\", public",
        Kind::NameList,
        "Sets the schema search order for names that are not schema-qualified.",
    ),
    fixed("server_encoding", "UTF8", "Shows the server (database) character set encoding."),
    fixed("server_version", SERVER_VERSION, "Shows the server version."),
    fixed("server_version_num", "150000", "Shows the server version as an integer."),
    fixed("role", "none", "Sets the current role."),
    fixed("session_authorization", "", "Shows the session user name."),
    setting("standard_conforming_strings", "on", Kind::OnlyOn, "Causes '...' strings to treat backslashes literally."),
    setting("statement_timeout", "0", Kind::Milliseconds, "Sets the maximum allowed duration of any statement."),
    setting(
        "synchronize_seqscans",
        "on",
        Kind::Boolean,
        "Accepted for pg_dump, which switches it off; scans are never synchronized.",
    ),
    setting("TimeZone", "UTC", Kind::TimeZone, "Sets the time zone for displaying and interpreting time stamps."),
    fixed(
        "transaction_deferrable",
        "off",
        "Shows whether a read-only serializable transaction waits for a safe snapshot.",
    ),
    setting("transaction_isolation", "read committed", ISOLATION, "Sets the current transaction's isolation level."),
    setting("transaction_read_only", "off", Kind::Boolean, "Sets the current transaction's read-only status."),
];

/// How dates are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateStyle {
    Iso,
    Sql,
    Postgres,
    German,
}

/// The order of day, month and year in input, and in output but for ISO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DateOrder {
    Mdy,
    Dmy,
    Ymd,
}

/// Whether a scan reads the columns of its filter first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateMaterialization {
    /// Where it is expected to pay.
    Auto,
    /// Wherever it can be done.
    On,
    Off,
}

/// How `bytea` is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteaOutput {
    Hex,
    Escape,
}

/// How intervals are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalStyle {
    Postgres,
    PostgresVerbose,
    SqlStandard,
    Iso8601,
}

/// The settings of one session. Only what differs from the defaults is kept, so a clone is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Values by canonical name.
    values: BTreeMap<String, String>,
    /// What RESET goes back to: the client's start-up parameters.
    session_defaults: BTreeMap<String, String>,
    /// The values that the server knows and nobody may set (`session_authorization`).
    facts: BTreeMap<String, String>,
    /// The state of the open transaction block.
    transaction: Option<Transaction>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Transaction {
    /// The values at BEGIN: what ROLLBACK restores.
    at_begin: BTreeMap<String, String>,
    /// What is in force after COMMIT: like `values`, without what SET LOCAL did.
    after_commit: BTreeMap<String, String>,
}

impl Settings {
    /// See [`REPORTED`].
    pub const REPORTED: &'static [&'static str] = REPORTED;

    /// Sets a value for the session; inside a transaction block ROLLBACK takes it back. Returns the canonical name.
    ///
    /// # Errors
    /// Unknown names (`42704`), values that can't be (`22023`), and settings that can't be changed (`55P02`).
    pub fn set(&mut self, name: &str, values: &[String]) -> Result<String> {
        let (name, value) = self.check(name, values)?;
        if let Some(transaction) = self.transaction.as_mut().filter(|_| !is_of_transaction(&name)) {
            transaction.after_commit.insert(name.clone(), value.clone());
        }
        self.values.insert(name.clone(), value);
        Ok(name)
    }

    /// Sets a value until the transaction block ends. Outside of one it does nothing but check (the caller warns).
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_local(&mut self, name: &str, values: &[String]) -> Result<String> {
        let (name, value) = self.check(name, values)?;
        if self.transaction.is_some() {
            self.values.insert(name.clone(), value);
        }
        Ok(name)
    }

    /// Sets a value as the client's start-up message does: it becomes what RESET goes back to.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub fn set_startup(&mut self, name: &str, value: &str) -> Result<String> {
        let name = self.set(name, &[value.to_owned()])?;
        if let Some(value) = self.values.get(&name) {
            self.session_defaults.insert(name.clone(), value.clone());
        }
        Ok(name)
    }

    /// States a read-only value that only the server knows (`session_authorization`, `is_superuser`).
    ///
    /// # Panics
    /// When the name is not that of a read-only setting.
    pub fn set_fact(&mut self, name: &str, value: impl Into<String>) {
        let definition = definition(name).filter(|definition| definition.read_only);
        let name = definition.expect("facts are about read-only settings").name;
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Goes back to the session's default.
    ///
    /// # Errors
    /// Unknown names and settings that can't be changed.
    pub fn reset(&mut self, name: &str) -> Result<String> {
        let name = canonical(name)?;
        if definition(&name).is_some_and(|definition| definition.read_only) {
            return Err(cannot_be_changed(&name));
        }
        let default = self.session_defaults.get(&name).cloned();
        let maps = [Some(&mut self.values), self.transaction.as_mut().map(|transaction| &mut transaction.after_commit)];
        for map in maps.into_iter().flatten() {
            match &default {
                Some(value) => map.insert(name.clone(), value.clone()),
                None => map.remove(&name),
            };
        }
        Ok(name)
    }

    /// Goes back to all of the session's defaults.
    pub fn reset_all(&mut self) {
        // As in PostgreSQL, the running transaction's own characteristics stay.
        self.values.retain(|name, _| is_of_transaction(name));
        self.values.extend(self.session_defaults.clone());
        if let Some(transaction) = &mut self.transaction {
            transaction.after_commit = self.session_defaults.clone();
        }
    }

    /// A setting's value as text.
    ///
    /// # Errors
    /// Unknown names, with near names as a hint.
    pub fn show(&self, name: &str) -> Result<String> {
        let name = canonical(name)?;
        match (self.get(&name), definition(&name)) {
            (Some(value), _) => Ok(value.to_owned()),
            (None, Some(definition)) => Ok(self.default_of(definition).to_owned()),
            (None, None) => Err(unrecognized(&name)),
        }
    }

    /// The canonical spelling of a name, which heads the column of SHOW.
    pub fn canonical_name(name: &str) -> String {
        definition(name).map_or_else(|| name.to_lowercase(), |definition| definition.name.to_owned())
    }

    /// The values in force that differ from their defaults, and what the server says of the session: two sessions where these
    /// are equal read a statement alike.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_default = |name: &str, value: &str| definition(name).is_some_and(|known| known.default == value);
        let all = self.values.iter().chain(&self.facts).map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, value)| !is_default(name, value))
    }

    /// Every setting: name, value, description.
    pub fn all(&self) -> Vec<(String, String, &'static str)> {
        let mut all: Vec<_> = all_definitions()
            .map(|definition| {
                let value = self.get(definition.name).unwrap_or_else(|| self.default_of(definition));
                (definition.name.to_owned(), value.to_owned(), definition.description)
            })
            .collect();
        let custom = self.values.iter().filter(|(name, _)| name.contains('.'));
        all.extend(custom.map(|(name, value)| (name.clone(), value.clone(), "")));
        all.sort_by_key(|(name, _, _)| name.to_lowercase());
        all
    }

    /// BEGIN: what changes from here on can be taken back.
    pub fn begin_transaction(&mut self, modes: &TransactionModes) {
        self.begin_implicit();
        self.set_transaction(modes);
    }

    /// The transaction that a text of several statements is. A BEGIN in it makes a block of all of it.
    pub fn begin_implicit(&mut self) {
        let before = &self.values;
        self.transaction.get_or_insert_with(|| Transaction { at_begin: before.clone(), after_commit: before.clone() });
    }

    /// Whether SET LOCAL has something that ends it.
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// SET TRANSACTION: the characteristics of the open block.
    pub fn set_transaction(&mut self, modes: &TransactionModes) {
        if let Some(isolation) = modes.isolation {
            self.values.insert("transaction_isolation".to_owned(), isolation.to_owned());
        }
        if let Some(read_only) = modes.read_only {
            self.values.insert("transaction_read_only".to_owned(), on_off(read_only));
        }
    }

    /// SET SESSION CHARACTERISTICS: those of the blocks to come.
    pub fn set_characteristics(&mut self, modes: &TransactionModes) {
        let maps = [Some(&mut self.values), self.transaction.as_mut().map(|transaction| &mut transaction.after_commit)];
        for map in maps.into_iter().flatten() {
            if let Some(isolation) = modes.isolation {
                map.insert("default_transaction_isolation".to_owned(), isolation.to_owned());
            }
            if let Some(read_only) = modes.read_only {
                map.insert("default_transaction_read_only".to_owned(), on_off(read_only));
            }
        }
    }

    /// COMMIT: what SET LOCAL set goes, all else stays.
    pub fn commit(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.values = transaction.after_commit;
        }
    }

    /// ROLLBACK: everything is as it was at BEGIN.
    pub fn rollback(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.values = transaction.at_begin;
        }
    }

    /// Most time a statement may take; `None` is without end.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.duration("statement_timeout")
    }

    /// Most time a session may be idle outside a transaction block; `None` is without end.
    pub fn idle_session_timeout(&self) -> Option<Duration> {
        self.duration("idle_session_timeout")
    }

    /// Most time a session may be idle inside a transaction block.
    pub fn idle_in_transaction_session_timeout(&self) -> Option<Duration> {
        self.duration("idle_in_transaction_session_timeout")
    }

    /// Whether results of equal queries are used and kept.
    pub fn result_cache(&self) -> bool {
        self.value("result_cache") == "on"
    }

    /// Most bytes that a query may read; `None` is as many as the server allows.
    pub fn scan_limit_bytes(&self) -> Option<u64> {
        bytes(self.value("scan_limit")).filter(|bytes| *bytes > 0)
    }

    /// The zone that instants are shown in, and that texts without one are read in.
    pub fn zone(&self) -> Zone {
        Zone::of_setting(self.value("TimeZone"))
    }

    /// How dates and timestamps are shown.
    pub fn date_style(&self) -> DateStyle {
        match self.value("DateStyle").split(", ").next() {
            Some("SQL") => DateStyle::Sql,
            Some("Postgres") => DateStyle::Postgres,
            Some("German") => DateStyle::German,
            _ => DateStyle::Iso,
        }
    }

    /// Whose SQL is spoken.
    pub fn dialect(&self) -> Dialect {
        if self.value("dialect") == "athena" { Dialect::Athena } else { Dialect::Postgres }
    }

    /// Whether scans read the columns of their filters first.
    pub fn late_materialization(&self) -> LateMaterialization {
        match self.value("late_materialization") {
            "on" => LateMaterialization::On,
            "off" => LateMaterialization::Off,
            _ => LateMaterialization::Auto,
        }
    }

    /// Whether datasets are aggregated on their codes.
    pub fn dataset_aggregation(&self) -> bool {
        self.value("dataset_aggregation") == "on"
    }

    /// Whether scans fetch ahead.
    pub fn read_ahead(&self) -> bool {
        self.value("read_ahead") == "on"
    }

    /// The names of the search path, unquoted.
    pub fn search_path(&self) -> Vec<String> {
        value::split_names(self.value("search_path")).unwrap_or_default()
    }

    /// How many digits floating-point values are shown with.
    pub fn extra_float_digits(&self) -> i32 {
        self.value("extra_float_digits").parse().unwrap_or(1)
    }

    /// The order of day, month and year in input.
    pub fn date_order(&self) -> DateOrder {
        match self.value("DateStyle").rsplit(", ").next() {
            Some("DMY") => DateOrder::Dmy,
            Some("YMD") => DateOrder::Ymd,
            _ => DateOrder::Mdy,
        }
    }

    /// How `bytea` is shown.
    pub fn bytea_output(&self) -> ByteaOutput {
        if self.value("bytea_output") == "escape" { ByteaOutput::Escape } else { ByteaOutput::Hex }
    }

    /// How intervals are shown.
    pub fn interval_style(&self) -> IntervalStyle {
        match self.value("IntervalStyle") {
            "postgres_verbose" => IntervalStyle::PostgresVerbose,
            "sql_standard" => IntervalStyle::SqlStandard,
            "iso_8601" => IntervalStyle::Iso8601,
            _ => IntervalStyle::Postgres,
        }
    }

    /// What the client calls itself.
    pub fn application_name(&self) -> &str {
        self.value("application_name")
    }

    /// Whether a notice of `severity` (`NOTICE`, `WARNING`, `INFO`) is sent to the client.
    pub fn shows_notice(&self, severity: &str) -> bool {
        match self.value("client_min_messages") {
            // INFO is always sent.
            "error" => severity == "INFO",
            "warning" => severity != "NOTICE",
            _ => true,
        }
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        let milliseconds = value::milliseconds(self.value(name))?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    /// The value of a setting in the table.
    fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| definition(name).map_or("", |definition| self.default_of(definition)))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).or_else(|| self.facts.get(name)).map(String::as_str)
    }

    /// The canonical name, and the value in the spelling that SHOW gives.
    fn check(&self, name: &str, values: &[String]) -> Result<(String, String)> {
        let name = canonical(name)?;
        let Some(definition) = definition(&name) else { return Ok((name, values.join(", "))) };
        if definition.read_only {
            return Err(cannot_be_changed(&name));
        }
        let value = value::check(definition, values, self.value(&name))?;
        Ok((name, value))
    }

    /// The transaction's characteristics default to the session's.
    fn default_of(&self, definition: &Definition) -> &str {
        match definition.name {
            "transaction_isolation" => self.value("default_transaction_isolation"),
            "transaction_read_only" => self.value("default_transaction_read_only"),
            _ => definition.default,
        }
    }
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn is_of_transaction(name: &str) -> bool {
    matches!(name, "transaction_isolation" | "transaction_read_only")
}

/// Those that do something here, then those that are taken because clients set them.
fn all_definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter().chain(harmless::DEFINITIONS)
}

/// The setting of this name, however it is spelled.
pub(crate) fn definition(name: &str) -> Option<&'static Definition> {
    static BY_NAME: LazyLock<HashMap<String, &'static Definition>> = LazyLock::new(|| {
        let mut by_name = HashMap::new();
        for definition in all_definitions() {
            by_name.insert(definition.name.to_owned(), definition);
            by_name.entry(definition.name.to_ascii_lowercase()).or_insert(definition);
        }
        by_name
    });
    let known = || BY_NAME.get(&name.to_ascii_lowercase());
    BY_NAME.get(name).or_else(known).copied()
}

fn canonical(name: &str) -> Result<String> {
    if let Some(definition) = definition(name) {
        return Ok(definition.name.to_owned());
    }
    let lower = name.to_lowercase();
    let is_custom = lower.split('.').count() >= 2 && lower.split('.').all(|part| !part.is_empty());
    // What configures DataFusion is not the user's to set.
    if is_custom && !lower.starts_with("datafusion.") { Ok(lower) } else { Err(unrecognized(&lower)) }
}

fn cannot_be_changed(name: &str) -> Error {
    Error::new(ErrorCode::CantChangeRuntimeParam, format!("parameter \"{name}\" cannot be changed"))
}

fn unrecognized(name: &str) -> Error {
    let error = Error::new(ErrorCode::UndefinedParameter, format!("unrecognized configuration parameter \"{name}\""));
    let near = all_definitions()
        .map(|definition| (value::distance(&definition.name.to_lowercase(), name), definition.name))
        .min()
        .filter(|(distance, _)| *distance <= 1 + name.len() / 5);
    match near {
        Some((_, near)) => error.with_hint(format!("Did you mean \"{near}\"?")),
        None => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn set(settings: &mut Settings, name: &str, values: &[&str]) -> Result<String> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        settings.set(name, &values)
    }

    #[test]
    fn values_are_checked_and_shown_in_one_spelling() {
        for (name, given, shown) in [
            ("application_name", &["psql"][..], "psql"),
            ("APPLICATION_NAME", &["x"], "x"),
            ("datestyle", &["ISO", "DMY"], "ISO, DMY"),
            ("DateStyle", &["iso, ymd"], "ISO, YMD"),
            ("DateStyle", &["european"], "ISO, DMY"),
            ("DateStyle", &["ISO"], "ISO, MDY"),
            ("timezone", &["europe/berlin"], "Europe/Berlin"),
            ("TimeZone", &["utc"], "UTC"),
            ("DateStyle", &["german"], "German, DMY"),
            ("DateStyle", &["german", "mdy"], "German, MDY"),
            ("DateStyle", &["SQL", "YMD"], "SQL, YMD"),
            ("DateStyle", &["postgresql"], "Postgres, MDY"),
            ("TimeZone", &["+09"], "<+09>-09"),
            ("TimeZone", &["-7"], "<-07>+07"),
            ("TimeZone", &["5.5"], "<+05:30>-05:30"),
            ("TimeZone", &["+05:45"], "+05:45"),
            ("TimeZone", &["INTERVAL '-08:00'"], "<-08>+08"),
            ("extra_float_digits", &["3"], "3"),
            ("statement_timeout", &["5s"], "5s"),
            ("statement_timeout", &["2min"], "2min"),
            ("statement_timeout", &["1500"], "1500ms"),
            ("statement_timeout", &["60000"], "1min"),
            ("statement_timeout", &["0"], "0"),
            ("statement_timeout", &[" 1.5 h "], "90min"),
            ("client_encoding", &["utf-8"], "UTF8"),
            ("client_encoding", &["unicode"], "UTF8"),
            ("bytea_output", &["ESCAPE"], "escape"),
            ("scan_limit", &["10GB"], "10GB"),
            ("scan_limit", &["2048"], "2KiB"),
            ("scan_limit", &["1.5 gib"], "1536MiB"),
            ("scan_limit", &["1000kB"], "1MB"),
            ("scan_limit", &["0"], "0"),
            ("work_mem", &["64MB"], "64MB"),
            ("work_mem", &["2048"], "2MB"),
            ("work_mem", &["1 GB"], "1GB"),
            ("random_page_cost", &["1.1"], "1.1"),
            ("enable_seqscan", &["0"], "off"),
            ("xmloption", &["DOCUMENT"], "document"),
            ("jit", &["false"], "off"),
            ("jit", &["of"], "off"),
            ("row_security", &["1"], "on"),
            ("search_path", &["a", "B c", "public"], "a, \"B c\", public"),
            ("search_path", &["\"$user\", public"], "\"$user\", public"),
            ("search_path", &[""], "\"\""),
            ("standard_conforming_strings", &["on"], "on"),
            ("default_transaction_isolation", &["Serializable"], "serializable"),
            ("dialect", &["ATHENA"], "athena"),
            ("my.Setting", &["1", "2"], "1, 2"),
        ] {
            let mut settings = Settings::default();
            set(&mut settings, name, given).unwrap_or_else(|error| panic!("{name} {given:?}: {error}"));
            assert_eq!(settings.show(name).unwrap(), shown, "{name} {given:?}");
        }
    }

    #[test]
    fn wrong_values_are_refused_in_postgresqls_words() {
        for (name, given, code, message) in [
            ("sarch_path", "x", "42704", "unrecognized configuration parameter \"sarch_path\""),
            (
                "datafusion.execution.batch_size",
                "1",
                "42704",
                "unrecognized configuration parameter \"datafusion.execution.batch_size\"",
            ),
            ("DataFusion.x", "1", "42704", "unrecognized configuration parameter \"datafusion.x\""),
            ("server_version", "16", "55P02", "parameter \"server_version\" cannot be changed"),
            ("timezone", "Mars/Olympus", "22023", "invalid value for parameter \"TimeZone\": \"Mars/Olympus\""),
            ("timezone", "168", "22023", "invalid value for parameter \"TimeZone\": \"168\""),
            ("timezone", "AAA4BBB,M3.2.0,M11.1.0", "0A000", "time zone \"AAA4BBB,M3.2.0,M11.1.0\" is not supported"),
            ("datestyle", "iso, sql", "22023", "invalid value for parameter \"DateStyle\": \"iso, sql\""),
            ("datestyle", "foo", "22023", "invalid value for parameter \"DateStyle\": \"foo\""),
            ("client_encoding", "latin1", "0A000", "client encoding \"latin1\" is not supported"),
            ("client_encoding", "klingon", "22023", "invalid value for parameter \"client_encoding\": \"klingon\""),
            (
                "extra_float_digits",
                "4",
                "22023",
                "4 is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)",
            ),
            ("extra_float_digits", "x", "22023", "invalid value for parameter \"extra_float_digits\": \"x\""),
            (
                "statement_timeout",
                "5 parsecs",
                "22023",
                "invalid value for parameter \"statement_timeout\": \"5 parsecs\"",
            ),
            (
                "statement_timeout",
                "-1",
                "22023",
                "-1 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)",
            ),
            ("standard_conforming_strings", "off", "0A000", "standard_conforming_strings = off is not supported"),
            (
                "work_mem",
                "1kB",
                "22023",
                "1 kB is outside the valid range for parameter \"work_mem\" (64 .. 2147483647)",
            ),
            ("work_mem", "lots", "22023", "invalid value for parameter \"work_mem\": \"lots\""),
            ("array_nulls", "off", "0A000", "array_nulls = off is not supported"),
            ("scan_limit", "lots", "22023", "invalid value for parameter \"scan_limit\": \"lots\""),
            ("scan_limit", "-1", "22023", "invalid value for parameter \"scan_limit\": \"-1\""),
            ("scan_limit", "10 parsecs", "22023", "invalid value for parameter \"scan_limit\": \"10 parsecs\""),
            ("scan_limit", "99999999TB", "22023", "invalid value for parameter \"scan_limit\": \"99999999TB\""),
            ("jit", "maybe", "22023", "parameter \"jit\" requires a Boolean value"),
            ("bytea_output", "base64", "22023", "invalid value for parameter \"bytea_output\": \"base64\""),
        ] {
            let error = set(&mut Settings::default(), name, &[given]).unwrap_err();
            assert_eq!((error.code.sqlstate(), error.message.as_str()), (code, message), "{name} = {given}");
        }
        let error = Settings::default().show("sarch_path").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("Did you mean \"search_path\"?"));
        assert!(Settings::default().show("a.b").is_err());
        let error = set(&mut Settings::default(), "jit", &["on", "off"]).unwrap_err();
        assert_eq!(error.message, "SET jit takes only one argument");
    }

    #[test]
    fn every_default_is_valid() {
        let may_be_set = |definition: &&Definition| !definition.read_only && definition.kind != Kind::NameList;
        for definition in all_definitions().filter(may_be_set) {
            let mut settings = Settings::default();
            let before = settings.show(definition.name).unwrap();
            set(&mut settings, definition.name, &[definition.default]).unwrap();
            assert_eq!(settings.show(definition.name).unwrap(), before, "{}", definition.name);
        }
        for name in REPORTED {
            assert_eq!(Settings::canonical_name(name), *name);
            assert!(Settings::default().show(name).is_ok(), "{name}");
        }
        assert_eq!(Settings::default().all().len(), all_definitions().count());
    }

    #[test]
    fn transactions_take_back_what_they_must() {
        let mut settings = Settings::default();
        set(&mut settings, "application_name", &["before"]).unwrap();
        settings.begin_transaction(&TransactionModes { isolation: Some("serializable"), read_only: Some(true) });
        set(&mut settings, "application_name", &["inside"]).unwrap();
        settings.set_local("statement_timeout", &["5s".to_owned()]).unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(5)));
        assert_eq!(settings.show("transaction_isolation").unwrap(), "serializable");
        let mut committed = settings.clone();
        committed.commit();
        assert_eq!((committed.application_name(), committed.statement_timeout()), ("inside", None));
        assert_eq!(committed.show("transaction_isolation").unwrap(), "read committed");
        settings.rollback();
        assert_eq!((settings.application_name(), settings.statement_timeout()), ("before", None));
        assert_eq!(settings.show("transaction_read_only").unwrap(), "off");

        settings.set_local("application_name", &["nowhere".to_owned()]).unwrap();
        assert_eq!(settings.application_name(), "before");
        settings.set_characteristics(&TransactionModes { isolation: Some("repeatable read"), read_only: None });
        assert_eq!(settings.show("transaction_isolation").unwrap(), "repeatable read");
    }

    #[test]
    fn reset_goes_back_to_what_the_client_said_at_start() {
        let mut settings = Settings::default();
        settings.set_startup("application_name", "psql").unwrap();
        settings.set_fact("session_authorization", "ada");
        set(&mut settings, "application_name", &["other"]).unwrap();
        set(&mut settings, "search_path", &["a"]).unwrap();
        settings.reset("application_name").unwrap();
        assert_eq!(settings.application_name(), "psql");
        settings.reset_all();
        assert_eq!(
            (settings.application_name(), settings.search_path()),
            ("psql", vec!["$user".to_owned(), "public".to_owned()])
        );
        assert_eq!(settings.show("session_authorization").unwrap(), "ada");
        assert!(settings.reset("server_version").is_err());
    }
}
