//! Functions that say who asks, where, and under which settings.

use std::sync::Arc;

use super::FunctionContext;
use super::row_function::{RowFunction, failure};
use crate::plan::pg_catalog::Value;
use crate::{Error, ErrorCode};

pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<RowFunction> {
    let session = &context.session;
    let constant = |name: &'static str, returns: &str, value: Value| {
        RowFunction::strict(name, "", returns, move |_| Ok(value.clone()))
    };
    let user = || Value::from(session.user.as_str());
    let address = |address: Option<std::net::SocketAddr>| Value::from(address.map(|address| address.ip().to_string()));
    let port = |address: Option<std::net::SocketAddr>| Value::from(address.map(|address| i32::from(address.port())));
    let (with_implicit, without) =
        (search_path(session.current_schema(), true), search_path(session.current_schema(), false));
    let settings = context.clone();
    let set_settings = context.clone();
    vec![
        constant("current_database", "name", session.catalog_name.as_str().into()),
        constant("current_catalog", "name", session.catalog_name.as_str().into()),
        constant("current_schema", "name", session.current_schema().into()),
        constant("current_user", "name", user()),
        constant("session_user", "name", session.session_user.as_str().into()),
        constant("user", "name", user()),
        constant("current_role", "name", user()),
        constant("version", "text", session.version.as_str().into()),
        constant("pg_backend_pid", "int4", session.backend_pid.into()),
        constant("pg_is_in_recovery", "bool", false.into()),
        constant("pg_is_wal_replay_paused", "bool", false.into()),
        constant("pg_postmaster_start_time", "timestamptz", Value::Timestamp(session.server_started_at_us)),
        constant("pg_conf_load_time", "timestamptz", Value::Timestamp(session.server_started_at_us)),
        constant("inet_client_addr", "inet", address(session.client_address)),
        constant("inet_client_port", "int4", port(session.client_address)),
        constant("inet_server_addr", "inet", address(session.server_address)),
        constant("inet_server_port", "int4", port(session.server_address)),
        constant("pg_my_temp_schema", "oid", 0.into()),
        // Reads need no transaction ids; one that never changes says that nothing was written.
        constant("txid_current", "int8", 1_i64.into()),
        constant("txid_current_if_assigned", "int8", Value::Null),
        constant("pg_current_xact_id_if_assigned", "int8", Value::Null),
        // There are no advisory locks to hold, so releasing them all is done already.
        constant("pg_advisory_unlock_all", "text:void", "".into()),
        constant("getdatabaseencoding", "name", "UTF8".into()),
        constant("pg_client_encoding", "name", "UTF8".into()),
        RowFunction::strict("current_schemas", "b", "_name", move |args| {
            Ok(if args[0] == Value::Bool(true) { with_implicit.clone() } else { without.clone() }.into())
        }),
        RowFunction::lenient("current_setting", "t?b", "text", move |args| {
            let Some(name) = args[0].as_text() else { return Ok(Value::Null) };
            let missing_ok = args.get(1).and_then(Value::as_bool).unwrap_or(false);
            match setting(&settings, name) {
                Some(value) => Ok(value.into()),
                None if missing_ok => Ok(Value::Null),
                None => Err(failure(unknown_setting(name))),
            }
        }),
        // A function can't change the session it was planned in: it answers with what would be set, and only accepts
        // values that are set already. The statement `SELECT set_config(...)` itself is SET in other words.
        RowFunction::lenient("set_config", "ttb", "text", move |args| {
            let (Some(name), value) = (args[0].as_text(), args[1].as_text()) else { return Ok(Value::Null) };
            let Some(current) = setting(&set_settings, name) else { return Err(failure(unknown_setting(name))) };
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

fn search_path(current: &str, implicit: bool) -> Vec<String> {
    let implicit = if implicit { vec!["pg_catalog".to_owned()] } else { Vec::new() };
    implicit.into_iter().chain(std::iter::once(current.to_owned())).collect()
}

fn setting(context: &FunctionContext, name: &str) -> Option<String> {
    let known = context.session.settings.iter().find(|setting| setting.name.eq_ignore_ascii_case(name));
    let preset = || PRESETS.iter().find(|(preset, _)| preset.eq_ignore_ascii_case(name));
    known.map(|setting| setting.value.clone()).or_else(|| preset().map(|(_, value)| (*value).to_owned()))
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
