//! A statement runs: the engine's batches become DataRow messages, with back-pressure and never more than one batch held.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use limnos_engine::parse::{ParsedStatement, Statement};
use limnos_engine::{CommandTag, Notice, Prepared};
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::CommandComplete;

use super::connection::{Connection, Failure};
use super::encode::{Format, RowEncoder, Rows, Zone};
use super::error::{PgError, notice_response};
use super::types::{PgType, object_name_oid};
use super::{parameter, statement};
use crate::limits::{FLUSH_BYTES, RESULT_COLUMNS_MAX};
use crate::query::QueryResult;

/// A statement that has been started. Dropping it cancels its query.
pub(crate) struct Running {
    /// `None` for a statement that the connection itself carried out.
    result: Option<QueryResult>,
    tag: CommandTag,
    pub(crate) schema: Option<SchemaRef>,
    notices: Vec<Notice>,
    encoder: RowEncoder,
    /// The batch being written.
    rows: Option<Rows>,
    rows_sent: u64,
    /// What ran, for the transaction's state afterwards.
    statement: Arc<ParsedStatement>,
}

/// Why streaming stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this many rows in this run.
    Done(u64),
    /// `max_rows` are sent.
    Suspended,
}

impl Connection {
    /// Starts a statement. `formats` are those that Bind asked for.
    pub(crate) async fn start(
        &mut self,
        prepared: &Prepared,
        parameters: &[ArrayRef],
        formats: &[Format],
    ) -> Result<Running, Failure> {
        self.transaction.check(&prepared.statement.statement)?;
        if let Some(tag) = statement::carry_out(self, &prepared.statement).await? {
            return self.running(Arc::clone(&prepared.statement), None, CommandTag::Plain(tag), formats);
        }
        let statement = Arc::clone(&prepared.statement);
        // COMMIT of a failed block is its ROLLBACK, and says so in its tag.
        let replaced = match &prepared.statement.statement {
            Statement::Commit if self.transaction.is_failed() => {
                let rollback =
                    ParsedStatement { statement: Statement::Rollback, sql: prepared.statement.sql.clone(), offset: 0 };
                Some((self.prepare(Arc::new(rollback), &[]).await?, Vec::new()))
            }
            Statement::Execute { name, arguments } => Some(self.execute_target(name, arguments).await?),
            _ => None,
        };
        let (prepared, parameters) = match &replaced {
            Some((prepared, parameters)) => (prepared, parameters.as_slice()),
            None => (prepared, parameters),
        };
        let Self { wire, service, session, slot, .. } = self;
        let executed = wire.while_connected(Box::pin(service.execute(session, prepared, parameters, slot))).await?;
        let result = executed?;
        let tag = result.tag.clone();
        self.running(statement, Some(result), tag, formats)
    }

    fn running(
        &self,
        statement: Arc<ParsedStatement>,
        mut result: Option<QueryResult>,
        tag: CommandTag,
        formats: &[Format],
    ) -> Result<Running, Failure> {
        let schema = result.as_ref().and_then(|result| result.schema.clone());
        let notices = result.as_mut().map(|result| std::mem::take(&mut result.notices)).unwrap_or_default();
        let columns = schema.as_ref().map_or(0, |schema| schema.fields().len());
        check_columns(columns)?;
        check_formats(formats, columns)?;
        let zone = Zone::of(&self.session);
        let encoder = match &schema {
            Some(schema) => RowEncoder::new(schema, |column| super::store::Portal::format(formats, column), zone),
            None => RowEncoder::new(&arrow::datatypes::Schema::empty(), |_| Format::Text, zone),
        };
        Ok(Running { result, tag, schema, notices, encoder, rows: None, rows_sent: 0, statement })
    }

    /// Sends notices, then rows, until the end or `max_rows` (0: all of them).
    pub(crate) async fn stream(&mut self, running: &mut Running, max_rows: u64) -> Result<End, Failure> {
        for notice in std::mem::take(&mut running.notices) {
            self.wire.send(&notice_response(&notice));
        }
        let mut sent = 0;
        loop {
            while let Some(rows) = &mut running.rows {
                let room = if max_rows == 0 { u64::MAX } else { max_rows - sent };
                let written = running.encoder.write(rows, &mut self.wire.output, room, FLUSH_BYTES);
                let query_id = running.result.as_ref().map(|result| result.query_id.as_str());
                sent += written.map_err(|error| PgError::from_engine(error, query_id))?;
                if rows.is_done() {
                    running.rows = None;
                }
                if self.wire.output.len() >= FLUSH_BYTES {
                    self.wire.flush_watching().await?;
                }
                if max_rows != 0 && sent == max_rows {
                    running.rows_sent += sent;
                    return Ok(End::Suspended);
                }
            }
            let Some(result) = &mut running.result else { break };
            match self.wire.while_connected(result.next()).await? {
                None => break,
                Some(Err(error)) => return Err(PgError::from_engine(error, Some(&result.query_id)).into()),
                Some(Ok(batch)) if running.schema.is_some() => {
                    let rows = running.encoder.rows(&batch);
                    running.rows = Some(rows.map_err(|error| PgError::from_engine(error, Some(&result.query_id)))?);
                }
                // A statement without columns has nothing to send.
                Some(Ok(_)) => {}
            }
        }
        running.rows_sent += sent;
        Ok(End::Done(sent))
    }

    /// After [`End::Done`]: CommandComplete, the transaction's state, and settings that have changed.
    pub(crate) fn complete(&mut self, running: Running, rows: u64) {
        let tag = match running.tag {
            CommandTag::Rows(word) => format!("{word} {rows}"),
            CommandTag::Plain(tag) => tag,
        };
        if let Some(result) = running.result {
            for notice in result.closing_notices() {
                self.wire.send(&notice_response(&notice));
            }
            result.finish(running.rows_sent);
        }
        let ended = self.transaction.succeeded(&running.statement.statement);
        if ended {
            self.store.clear_portals();
        }
        self.report_settings();
        self.wire.send(&CommandComplete::new(tag));
    }

    /// Resolves a statement's names and types.
    pub(crate) async fn prepare(
        &mut self,
        statement: Arc<ParsedStatement>,
        types: &[Option<arrow::datatypes::DataType>],
    ) -> Result<Prepared, Failure> {
        let Self { wire, service, session, slot, .. } = self;
        let work = slot.guard(service.prepare(session, statement, types));
        let prepared = wire.while_connected(Box::pin(work)).await?;
        Ok(prepared?)
    }

    /// What SQL's EXECUTE runs, with its arguments evaluated.
    async fn execute_target(&mut self, name: &str, arguments: &[String]) -> Result<(Prepared, Vec<ArrayRef>), Failure> {
        let stored = self.store.statement(name)?;
        let expected = stored.prepared.parameter_types.len();
        if arguments.len() != expected {
            let error = PgError::new("42601", format!("wrong number of parameters for prepared statement \"{name}\""))
                .with_detail(format!("Expected {expected} parameters but got {}.", arguments.len()));
            return Err(error.into());
        }
        self.transaction.check(&stored.prepared.statement.statement)?;
        let mut parameters = Vec::with_capacity(arguments.len());
        for (argument, data_type) in arguments.iter().zip(&stored.prepared.parameter_types) {
            let value = self.evaluate(argument).await?;
            parameters.push(parameter::convert(&value, data_type)?);
        }
        Ok((stored.prepared.clone(), parameters))
    }

    /// The value of a constant expression, as an array of one row: the engine is asked, as for any query.
    async fn evaluate(&mut self, expression: &str) -> Result<ArrayRef, Failure> {
        let Self { wire, service, session, slot, .. } = self;
        let evaluated = wire
            .while_connected(Box::pin(async {
                let sql = format!("SELECT {expression}");
                let parsed = slot.guard(service.parse(session, &sql)).await?;
                let [statement] = <[ParsedStatement; 1]>::try_from(parsed)
                    .map_err(|_| limnos_engine::Error::syntax("an argument of EXECUTE must be one expression"))?;
                let prepared = Box::pin(slot.guard(service.prepare(session, Arc::new(statement), &[]))).await?;
                let mut result = service.execute(session, &prepared, &[], slot).await?;
                let mut value = None;
                while let Some(batch) = result.next().await {
                    let batch = batch?;
                    if batch.num_rows() > 0 && batch.num_columns() == 1 {
                        value = Some(batch.column(0).slice(0, 1));
                    }
                }
                result.finish(1);
                value.ok_or_else(|| limnos_engine::Error::syntax("an argument of EXECUTE must be one expression"))
            }))
            .await?;
        Ok(evaluated?)
    }
}

/// RowDescription. `formats` are those that values will be sent in; `None` where that isn't known yet.
pub(crate) fn row_description(schema: &SchemaRef, formats: Option<&[Format]>) -> RowDescription {
    let field = |(index, field): (usize, &arrow::datatypes::FieldRef)| {
        let pg_type = PgType::of(field);
        // A NUL would end the name, and the rest would be read as numbers.
        let name = field.name().replace('\0', "\u{fffd}");
        let format = formats.map(|formats| super::store::Portal::format(formats, index));
        let object_name = object_name_oid(field).filter(|_| format == Some(Format::Text));
        let (oid, size) = object_name.map_or((pg_type.oid(), pg_type.size()), |oid| (oid, 4));
        FieldDescription::new(name, 0, 0, oid, size, pg_type.modifier, format.unwrap_or_default().code())
    };
    RowDescription::new(schema.fields().iter().enumerate().map(field).collect())
}

fn check_columns(count: usize) -> Result<(), PgError> {
    if count <= RESULT_COLUMNS_MAX {
        return Ok(());
    }
    let message = format!("result has {count} columns, at most {RESULT_COLUMNS_MAX} can be sent");
    Err(PgError::new("54011", message).with_hint("Select fewer columns."))
}

/// Bind's result formats: none, one for all, or one for each.
pub(crate) fn check_formats(formats: &[Format], columns: usize) -> Result<(), PgError> {
    if formats.len() <= 1 || formats.len() == columns {
        return Ok(());
    }
    let message = format!("bind message has {} result formats but query has {columns} columns", formats.len());
    Err(PgError::protocol(message))
}
