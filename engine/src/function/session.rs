//! Functions that say who asks, where, and under which settings.

use std::net::SocketAddr;

use super::FunctionContext;
use super::row_function::{RowFunction, failure};
use crate::plan::pg_catalog::{SessionInfo, Value};
use crate::{Error, ErrorCode};

pub(super) fn functions() -> Vec<RowFunction> {
    let constant = |name: &'static str, returns: &str, value: Value| {
        RowFunction::strict(name, "", returns, move |_| Ok(value.clone()))
    };
    let said = |name: &'static str, returns: &str, say: fn(&SessionInfo) -> Value| {
        RowFunction::asking(name, "", returns, move |caller, _| Ok(say(&caller.session)))
    };
    vec![
        said("current_database", "name", |session| session.catalog_name.as_str().into()),
        said("current_catalog", "name", |session| session.catalog_name.as_str().into()),
        said("current_schema", "name", |session| session.current_schema().into()),
        said("current_user", "name", |session| session.user.as_str().into()),
        said("session_user", "name", |session| session.session_user.as_str().into()),
        said("user", "name", |session| session.user.as_str().into()),
        said("current_role", "name", |session| session.user.as_str().into()),
        said("version", "text", |session| session.version.as_str().into()),
        said("pg_backend_pid", "int4", |session| session.backend_pid.into()),
        constant("pg_is_in_recovery", "bool", false.into()),
        constant("pg_is_wal_replay_paused", "bool", false.into()),
        said("pg_postmaster_start_time", "timestamptz", |session| Value::Timestamp(session.server_started_at_us)),
        said("pg_conf_load_time", "timestamptz", |session| Value::Timestamp(session.server_started_at_us)),
        said("inet_client_addr", "inet", |session| address(session.client_address)),
        said("inet_client_port", "int4", |session| port(session.client_address)),
        said("inet_server_addr", "inet", |session| address(session.server_address)),
        said("inet_server_port", "int4", |session| port(session.server_address)),
        constant("pg_my_temp_schema", "oid", 0.into()),
        // Reads need no transaction ids; one that never changes says that nothing was written.
        constant("txid_current", "int8", 1_i64.into()),
        constant("txid_current_if_assigned", "int8", Value::Null),
        constant("pg_current_xact_id_if_assigned", "int8", Value::Null),
        // There are no advisory locks to hold, so releasing them all is done already.
        constant("pg_advisory_unlock_all", "text:void", "".into()),
        constant("getdatabaseencoding", "name", "UTF8".into()),
        constant("pg_client_encoding", "name", "UTF8".into()),
        RowFunction::asking("current_schemas", "b", "_name", |caller, args| {
            Ok(search_path(caller.session.current_schema(), args[0] == Value::Bool(true)).into())
        }),
        RowFunction::lenient_asking("current_setting", "t?b", "text", |caller, args| {
            let Some(name) = args[0].as_text() else { return Ok(Value::Null) };
            let missing_ok = args.get(1).and_then(Value::as_bool).unwrap_or(false);
            match setting(caller, name) {
                Some(value) => Ok(value.into()),
                None if missing_ok => Ok(Value::Null),
                None => Err(failure(unknown_setting(name))),
            }
        }),
        // A function can't change the session it was planned in: it answers with what would be set, and only accepts
        // values that are set already. The statement `SELECT set_config(...)` itself is SET in other words.
        RowFunction::lenient_asking("set_config", "ttb", "text", |caller, args| {
            let (Some(name), value) = (args[0].as_text(), args[1].as_text()) else { return Ok(Value::Null) };
            let Some(current) = setting(caller, name) else { return Err(failure(unknown_setting(name))) };
            let value = value.unwrap_or_default();
            if value == current {
                return Ok(value.into());
            }
            Err(failure(
                Error::unsupported(format!("set_config can't change \"{name}\" inside a query"))
                    .with_hint(format!("Use SET {name} = '{}'.", value.replace('\'', "''"))),
            ))
        }),
    ]
}

fn address(address: Option<SocketAddr>) -> Value {
    Value::from(address.map(|address| address.ip().to_string()))
}

fn port(address: Option<SocketAddr>) -> Value {
    Value::from(address.map(|address| i32::from(address.port())))
}

fn search_path(current: &str, implicit: bool) -> Vec<String> {
    let implicit = if implicit { vec!["pg_catalog".to_owned()] } else { Vec::new() };
    implicit.into_iter().chain(std::iter::once(current.to_owned())).collect()
}

fn setting(context: &FunctionContext, name: &str) -> Option<String> {
    let preset = || PRESETS.iter().find(|(preset, _)| preset.eq_ignore_ascii_case(name));
    let known = context.session.settings.show(name).ok();
    known.or_else(|| preset().map(|(_, value)| (*value).to_owned()))
}

/// What clients ask for that is no setting here: what PostgreSQL was built with, and where tables would be.
const PRESETS: [(&str, &str); 10] = [
    ("block_size", "8192"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("lc_collate", "C"),
    ("lc_ctype", "C.UTF-8"),
    ("max_function_args", "100"),
    ("max_index_keys", "32"),
    ("password_encryption", "scram-sha-256"),
    ("segment_size", "131072"),
    ("temp_tablespaces", ""),
];

fn unknown_setting(name: &str) -> Error {
    Error::new(ErrorCode::UndefinedParameter, format!("unrecognized configuration parameter \"{name}\""))
        .with_hint("SHOW ALL lists the parameters there are.")
}
