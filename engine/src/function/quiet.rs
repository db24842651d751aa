//! Functions of PostgreSQL's backends that monitoring and clean-up statements call: locks, notifications, snapshots, the
//! write-ahead log, counters of tables. Nothing here holds such locks, writes such a log or counts such rows, and the answers
//! say so: they are those of a quiet PostgreSQL.

use super::row_function::RowFunction;
use crate::plan::pg_catalog::Value;

pub(super) fn functions() -> Vec<RowFunction> {
    let mut functions = advisory_locks();
    functions.extend(transactions());
    functions.extend(counters());
    functions.extend(files());
    functions
}

/// Sessions share nothing that an advisory lock could guard: writes are commits of the catalog, which conflict by themselves.
/// So every lock can be had, and given back.
fn advisory_locks() -> Vec<RowFunction> {
    let lock = |name: &'static str| RowFunction::strict(name, "i?i", "text:void", |_| Ok("".into()));
    let attempt = |name: &'static str| RowFunction::strict(name, "i?i", "bool", |_| Ok(true.into()));
    let release = |name: &'static str| RowFunction::strict(name, "i?i", "bool", |_| Ok(true.into()));
    vec![
        lock("pg_advisory_lock"),
        lock("pg_advisory_lock_shared"),
        lock("pg_advisory_xact_lock"),
        lock("pg_advisory_xact_lock_shared"),
        attempt("pg_try_advisory_lock"),
        attempt("pg_try_advisory_lock_shared"),
        attempt("pg_try_advisory_xact_lock"),
        attempt("pg_try_advisory_xact_lock_shared"),
        release("pg_advisory_unlock"),
        release("pg_advisory_unlock_shared"),
    ]
}

fn transactions() -> Vec<RowFunction> {
    let constant = |name: &'static str, returns: &str, value: Value| {
        RowFunction::strict(name, "", returns, move |_| Ok(value.clone()))
    };
    vec![
        constant("pg_current_xact_id", "int8", 1_i64.into()),
        constant("txid_current_snapshot", "text", "1:1:".into()),
        constant("pg_current_snapshot", "text", "1:1:".into()),
        RowFunction::strict("txid_snapshot_xmin", "a", "int8", |_| Ok(1_i64.into())),
        RowFunction::strict("txid_snapshot_xmax", "a", "int8", |_| Ok(1_i64.into())),
        RowFunction::strict("txid_status", "i", "text", |_| Ok("committed".into())),
        RowFunction::strict("pg_xact_commit_timestamp", "i", "timestamptz", |_| Ok(Value::Null)),
        // Rows of the catalogs carry the one transaction that there is.
        RowFunction::strict("mxid_age", "i", "int4", |_| Ok(0.into())),
        RowFunction::strict("pg_blocking_pids", "i", "_int4", |_| Ok(Value::List(Vec::new()))),
        RowFunction::strict("pg_safe_snapshot_blocking_pids", "i", "_int4", |_| Ok(Value::List(Vec::new()))),
        constant("pg_notification_queue_usage", "float8", Value::Float(0.0)),
        constant("pg_current_logfile", "text", Value::Null),
        constant("pg_trigger_depth", "int4", 0.into()),
        // Whoever sets it as a transaction's snapshot gets the newest: there is no older one to share.
        constant("pg_export_snapshot", "text", "00000001-00000001-1".into()),
        constant("pg_jit_available", "bool", false.into()),
        constant("pg_current_wal_lsn", "pg_lsn", "0/0".into()),
        constant("pg_current_wal_insert_lsn", "pg_lsn", "0/0".into()),
        constant("pg_current_wal_flush_lsn", "pg_lsn", "0/0".into()),
        constant("pg_last_xact_replay_timestamp", "timestamptz", Value::Null),
        RowFunction::strict("pg_wal_lsn_diff", "tt", "numeric", |_| Ok(0.into())),
        RowFunction::strict("pg_walfile_name", "t", "text", |_| Ok(Value::Null)),
    ]
}

/// The counters behind `pg_stat_*`, by relation or database. Nothing is counted.
fn counters() -> Vec<RowFunction> {
    let counter = |name: &'static str| RowFunction::strict(name, "i", "int8", |_| Ok(0_i64.into()));
    let moment = |name: &'static str| RowFunction::strict(name, "i", "timestamptz", |_| Ok(Value::Null));
    let mut functions: Vec<RowFunction> = [
        "pg_stat_get_tuples_returned",
        "pg_stat_get_tuples_fetched",
        "pg_stat_get_tuples_inserted",
        "pg_stat_get_tuples_updated",
        "pg_stat_get_tuples_deleted",
        "pg_stat_get_tuples_hot_updated",
        "pg_stat_get_live_tuples",
        "pg_stat_get_dead_tuples",
        "pg_stat_get_mod_since_analyze",
        "pg_stat_get_ins_since_vacuum",
        "pg_stat_get_blocks_fetched",
        "pg_stat_get_blocks_hit",
        "pg_stat_get_vacuum_count",
        "pg_stat_get_autovacuum_count",
        "pg_stat_get_analyze_count",
        "pg_stat_get_autoanalyze_count",
        "pg_stat_get_db_xact_commit",
        "pg_stat_get_db_xact_rollback",
        "pg_stat_get_db_blocks_fetched",
        "pg_stat_get_db_blocks_hit",
        "pg_stat_get_db_tuples_returned",
        "pg_stat_get_db_tuples_fetched",
        "pg_stat_get_db_tuples_inserted",
        "pg_stat_get_db_tuples_updated",
        "pg_stat_get_db_tuples_deleted",
        "pg_stat_get_db_temp_files",
        "pg_stat_get_db_temp_bytes",
        "pg_stat_get_db_deadlocks",
    ]
    .into_iter()
    .map(counter)
    .collect();
    functions.extend(
        [
            "pg_stat_get_last_vacuum_time",
            "pg_stat_get_last_autovacuum_time",
            "pg_stat_get_last_analyze_time",
            "pg_stat_get_last_autoanalyze_time",
            "pg_stat_get_db_stat_reset_time",
        ]
        .into_iter()
        .map(moment),
    );
    functions.push(RowFunction::strict("pg_stat_get_db_numbackends", "i", "int4", |_| Ok(0.into())));
    functions
}

/// Tables have no file of their own that PostgreSQL would name.
fn files() -> Vec<RowFunction> {
    vec![
        RowFunction::strict("pg_relation_filepath", "a", "text", |_| Ok(Value::Null)),
        RowFunction::strict("pg_tablespace_databases", "i", "oid", |_| Ok(16_384.into())),
        RowFunction::strict("pg_collation_actual_version", "i", "text", |_| Ok(Value::Null)),
        RowFunction::strict("pg_extension_config_dump", "at", "text:void", |_| Ok("".into())),
        RowFunction::lenient("acldefault", "ai", "_aclitem", |_| Ok(Value::Null)),
    ]
}
