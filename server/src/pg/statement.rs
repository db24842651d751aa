//! Statements that the connection itself carries out, because they are about its own prepared statements: PREPARE,
//! DEALLOCATE, and DISCARD's part of it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use limnos_engine::Prepared;
use limnos_engine::parse::{ParsedStatement, Statement};

use super::connection::{Connection, Failure};
use super::parameter;
use super::store::StoredStatement;
use super::types::{PgType, Scalar};

/// Carries out the statement and gives its tag; `None` when it is the engine's to execute.
pub(crate) async fn carry_out(
    connection: &mut Connection,
    parsed: &ParsedStatement,
) -> Result<Option<String>, Failure> {
    match &parsed.statement {
        Statement::Prepare { name, parameter_types, statement } => {
            let declared: Vec<u32> =
                parameter_types.iter().map(|data_type| declared_oid(&data_type.to_string())).collect();
            let stored = prepare(connection, name, Arc::new((**statement).clone()), &declared).await?;
            connection.store.insert_statement(name.clone(), stored);
            Ok(Some("PREPARE".to_owned()))
        }
        Statement::Deallocate { name: Some(name) } => {
            connection.store.statement(name)?;
            connection.store.remove_statement(name);
            Ok(Some("DEALLOCATE".to_owned()))
        }
        Statement::Deallocate { name: None } => {
            connection.store.clear_statements();
            Ok(Some("DEALLOCATE ALL".to_owned()))
        }
        Statement::CloseCursor { name: Some(name) } => {
            connection.store.close_cursor(name)?;
            Ok(Some("CLOSE CURSOR".to_owned()))
        }
        Statement::CloseCursor { name: None } => {
            connection.store.close_all_portals();
            Ok(Some("CLOSE CURSOR ALL".to_owned()))
        }
        Statement::Discard { what } if what.eq_ignore_ascii_case("all") => {
            if !connection.transaction.is_idle() {
                let message = "DISCARD ALL cannot run inside a transaction block";
                return Err(super::error::PgError::new("25001", message).into());
            }
            connection.store.clear_statements();
            connection.store.close_all_portals();
            // The settings are the engine's.
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Prepares a statement to be stored under `name`, for the protocol's Parse and for SQL's PREPARE.
pub(crate) async fn prepare(
    connection: &mut Connection,
    name: &str,
    statement: Arc<ParsedStatement>,
    declared: &[u32],
) -> Result<StoredStatement, Failure> {
    connection.transaction.check(&statement.statement)?;
    connection.store.check_statement(name, &statement.sql)?;
    let own = matches!(
        statement.statement,
        Statement::Empty
            | Statement::Prepare { .. }
            | Statement::Execute { .. }
            | Statement::Deallocate { .. }
            | Statement::Fetch(_)
            | Statement::CloseCursor { .. }
    ) || super::copy::is_copy(&statement.statement);
    let prepared = if own {
        Prepared { statement: Arc::clone(&statement), parameter_types: Vec::new(), schema: None }
    } else {
        let types: Vec<Option<DataType>> = declared.iter().map(|oid| parameter::declared_type(*oid)).collect();
        match &statement.statement {
            // Its parameters are its query's.
            Statement::Declare(declare) => {
                let query = connection.prepare(Arc::new((*declare.query).clone()), &types).await?;
                Prepared { statement: Arc::clone(&statement), schema: None, ..query }
            }
            _ => connection.prepare(Arc::clone(&statement), &types).await?,
        }
    };
    let schema = match &statement.statement {
        Statement::Execute { name, .. } => connection.store.statement(name)?.schema.clone(),
        // As in PostgreSQL, a cursor that isn't there is no error before it is read.
        Statement::Fetch(fetch) if !fetch.is_move => {
            connection.store.portal(&fetch.name).ok().and_then(|portal| portal.statement.schema.clone())
        }
        _ => prepared.schema.clone(),
    };
    let oid = |(index, data_type): (usize, &DataType)| match declared.get(index) {
        Some(oid) if *oid != 0 && *oid != Scalar::Unknown.oid() => *oid,
        _ => PgType::of_data_type(data_type).oid(),
    };
    let parameter_oids = prepared.parameter_types.iter().enumerate().map(oid).collect();
    Ok(StoredStatement { prepared, parameter_oids, schema })
}

/// The OID of a type named in PREPARE's list; 0 (to be inferred) for those PostgreSQL doesn't have.
fn declared_oid(name: &str) -> u32 {
    let base = name.split('(').next().unwrap_or_default().trim().to_ascii_lowercase();
    let scalar = match base.as_str() {
        "boolean" => Scalar::Bool,
        "tinyint" | "smallint" => Scalar::Int2,
        "int" | "integer" => Scalar::Int4,
        "bigint" => Scalar::Int8,
        "float" | "real" => Scalar::Float4,
        "double" => Scalar::Float8,
        "decimal" => Scalar::Numeric,
        "string" | "varchar" | "char" => Scalar::Text,
        "binary" => Scalar::Bytea,
        "date" => Scalar::Date,
        "time" => Scalar::Time,
        "timestamp" => Scalar::Timestamp,
        "timestamp with time zone" | "timestamptz" => Scalar::TimestampTz,
        "json" => Scalar::Json,
        _ => return 0,
    };
    scalar.oid()
}
