//! A statement runs: the engine's batches become DataRow messages, with back-pressure and never more than one batch held.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use limnos_engine::execute::KeptRows;
use limnos_engine::input::InputContext;
use limnos_engine::parse::{ParsedStatement, Statement};
use limnos_engine::{CommandTag, Notice, Prepared};
use pgwire::messages::data::{FieldDescription, RowDescription};
use pgwire::messages::response::CommandComplete;

use super::connection::{Connection, Failure};
use super::cursor::Fetching;
use super::encode::{Format, RowEncoder, Rows, Style};
use super::error::{PgError, notice_response};
use super::types::{PgType, object_name_oid};
use super::wire::Wire;
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
    /// The batch being written, and taken apart.
    current: Option<RecordBatch>,
    rows: Option<Rows>,
    /// For FETCH, where the batches come from.
    pub(crate) fetch: Option<Box<Fetching>>,
    /// For FETCH in portions, its rows and how many of them were sent.
    pub(crate) gathered: Option<(KeptRows, u64)>,
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

impl Running {
    pub(crate) fn with_fetch(mut self, fetching: Fetching) -> Self {
        self.fetch = Some(Box::new(fetching));
        self
    }

    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// At most `max` of the rows that were not sent yet, for whoever encodes them itself; `None` at the end.
    pub(crate) async fn pull(&mut self, wire: &mut Wire, max: u64) -> Result<Option<RecordBatch>, Failure> {
        loop {
            if let Some(batch) = self.unread(max) {
                return Ok(Some(batch));
            }
            let Some(result) = &mut self.result else { return Ok(None) };
            match wire.while_connected(result.next()).await? {
                None => return Ok(None),
                Some(Err(error)) => return Err(PgError::from_engine(error, Some(&result.query_id)).into()),
                Some(Ok(batch)) => self.current = Some(batch),
            }
        }
    }

    fn unread(&mut self, max: u64) -> Option<RecordBatch> {
        let batch = self.current.take()?;
        let read = self.rows.take().map_or(0, |rows| rows.written());
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(batch.num_rows() - read);
        if read + count < batch.num_rows() {
            self.current = Some(batch.slice(read + count, batch.num_rows() - read - count));
        }
        self.rows_sent += count as u64;
        (count > 0).then(|| batch.slice(read, count))
    }

    /// Its query has ended, or is wanted no more; what is to be told then comes back.
    pub(crate) fn finish(&mut self) -> Vec<Notice> {
        let Some(result) = self.result.take() else { return Vec::new() };
        let notices = result.closing_notices();
        result.finish(self.rows_sent);
        notices
    }
}

impl Connection {
    /// A suspended statement goes on.
    pub(crate) fn resume(&mut self, running: &mut Running) {
        if let Some(result) = &mut running.result {
            self.service.resume(&self.session, result, &self.slot);
        }
    }

    /// Starts a statement. `formats` are those that Bind asked for.
    pub(crate) async fn start(
        &mut self,
        prepared: &Prepared,
        parameters: &[ArrayRef],
        formats: &[Format],
    ) -> Result<Running, Failure> {
        self.transaction.check(&prepared.statement.statement)?;
        self.restore_points.begin(&self.session);
        if let Some(tag) = statement::carry_out(self, &prepared.statement).await? {
            return self.running(Arc::clone(&prepared.statement), None, CommandTag::Plain(tag), formats);
        }
        let statement = Arc::clone(&prepared.statement);
        match &prepared.statement.statement {
            Statement::Declare(declare) => {
                let notices = self.declare(declare, &prepared.parameter_types, parameters).await?;
                let tag = CommandTag::Plain("DECLARE CURSOR".to_owned());
                let mut running = self.running(statement, None, tag, formats)?;
                running.notices = notices;
                return Ok(running);
            }
            Statement::Fetch(fetch) => return self.fetch(Arc::clone(&statement), fetch, formats).await,
            Statement::Commit if !self.transaction.is_failed() => self.hold_or_roll_back().await?,
            _ => {}
        }
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
        if executed.is_err() && matches!(statement.statement, Statement::Commit) {
            self.session.abandon_block();
            self.transaction.ended();
        }
        let result = executed?;
        let tag = result.tag.clone();
        self.running(statement, Some(result), tag, formats)
    }

    /// COMMIT keeps the rows of WITH HOLD cursors; where it can't, the block is rolled back.
    async fn hold_or_roll_back(&mut self) -> Result<(), Failure> {
        let Err(failure) = self.hold_cursors().await else { return Ok(()) };
        let rollback = ParsedStatement { statement: Statement::Rollback, sql: "ROLLBACK".to_owned(), offset: 0 };
        let rollback = Prepared { statement: Arc::new(rollback), parameter_types: Vec::new(), schema: None };
        let Self { wire, service, session, slot, .. } = self;
        let result = wire.while_connected(Box::pin(service.execute(session, &rollback, &[], slot))).await??;
        result.finish(0);
        self.transaction.succeeded(&Statement::Rollback);
        Err(failure)
    }

    pub(crate) fn running(
        &self,
        statement: Arc<ParsedStatement>,
        mut result: Option<QueryResult>,
        tag: CommandTag,
        formats: &[Format],
    ) -> Result<Running, Failure> {
        let schema = result.as_ref().and_then(|result| result.schema.clone());
        let notices = result.as_mut().map(|result| std::mem::take(&mut result.notices)).unwrap_or_default();
        Ok(Running { result, notices, ..self.running_rows(statement, schema, tag, formats)? })
    }

    /// A statement that answers with columns of `schema`, from wherever they will come.
    pub(crate) fn running_rows(
        &self,
        statement: Arc<ParsedStatement>,
        schema: Option<SchemaRef>,
        tag: CommandTag,
        formats: &[Format],
    ) -> Result<Running, Failure> {
        let columns = schema.as_ref().map_or(0, |schema| schema.fields().len());
        check_columns(columns)?;
        check_formats(formats, columns)?;
        let style = Style::of(&self.session.settings);
        let encoder = match &schema {
            Some(schema) => RowEncoder::new(schema, |column| super::store::Portal::format(formats, column), style),
            None => RowEncoder::new(&arrow::datatypes::Schema::empty(), |_| Format::Text, style),
        };
        Ok(Running {
            result: None,
            tag,
            schema,
            notices: Vec::new(),
            encoder,
            current: None,
            rows: None,
            fetch: None,
            gathered: None,
            rows_sent: 0,
            statement,
        })
    }

    /// Tells the client, unless it has said that it doesn't want to hear such things.
    pub(crate) fn tell(&mut self, notice: &Notice) {
        if self.session.settings.shows_notice(notice.severity) {
            self.wire.send(&notice_response(notice));
        }
    }

    /// Sends notices, then rows, until the end or `max_rows` (0: all of them).
    pub(crate) async fn stream(&mut self, running: &mut Running, max_rows: u64) -> Result<End, Failure> {
        for notice in std::mem::take(&mut running.notices) {
            self.tell(&notice);
        }
        let mut sent = 0;
        loop {
            while let Some(rows) = &mut running.rows {
                let room = if max_rows == 0 { u64::MAX } else { max_rows - sent };
                let written = running.encoder.write(rows, &mut self.wire.output, room, FLUSH_BYTES);
                let query_id = running.result.as_ref().map(|result| result.query_id.as_str());
                sent += written.map_err(|error| PgError::from_engine(error, query_id))?;
                if rows.is_done() {
                    (running.rows, running.current) = (None, None);
                }
                if self.wire.output.len() >= FLUSH_BYTES {
                    self.flush_rows(running.result.as_mut()).await?;
                }
                if max_rows != 0 && sent == max_rows {
                    running.rows_sent += sent;
                    return Ok(End::Suspended);
                }
            }
            if running.current.is_none() {
                running.current = self.next_batch(running).await?;
            }
            let Some(batch) = &running.current else { break };
            if running.schema.is_none() {
                // A statement without columns has nothing to send.
                running.current = None;
                continue;
            }
            let query_id = running.result.as_ref().map(|result| result.query_id.as_str());
            let rows = running.encoder.rows(batch).map_err(|error| PgError::from_engine(error, query_id))?;
            running.rows = Some(rows);
        }
        running.rows_sent += sent;
        Ok(End::Done(sent))
    }

    /// Sends what has gathered. A client that doesn't read holds up its query, but neither a cancel nor a timeout.
    async fn flush_rows(&mut self, result: Option<&mut QueryResult>) -> Result<(), Failure> {
        let Some(result) = result else { return Ok(self.wire.flush_watching().await?) };
        let query_id = result.query_id.clone();
        tokio::select! {
            biased;
            flushed = self.wire.flush_watching() => Ok(flushed?),
            error = result.stopped() => {
                self.wire.hurry();
                Err(PgError::from_engine(error, Some(&query_id)).into())
            }
        }
    }

    /// The next batch of a statement, from wherever it comes.
    async fn next_batch(&mut self, running: &mut Running) -> Result<Option<RecordBatch>, Failure> {
        if let Some(fetching) = &mut running.fetch {
            return self.fetched(fetching).await;
        }
        if let Some((rows, sent)) = &mut running.gathered {
            if *sent == rows.rows() {
                return Ok(None);
            }
            let batch = self.wire.while_connected(rows.after(*sent, u64::MAX)).await??;
            *sent += batch.num_rows() as u64;
            return Ok(Some(batch));
        }
        let Some(result) = &mut running.result else { return Ok(None) };
        match self.wire.while_connected(result.next()).await? {
            None => Ok(None),
            Some(Err(error)) => Err(PgError::from_engine(error, Some(&result.query_id)).into()),
            Some(Ok(batch)) => Ok(Some(batch)),
        }
    }

    /// After [`End::Done`]: CommandComplete, the transaction's state, and settings that have changed.
    pub(crate) fn complete(&mut self, mut running: Running, rows: u64) {
        let tag = match &running.tag {
            // Its rows aren't counted, and START TRANSACTION is a tag of its own.
            CommandTag::Rows("SHOW") => "SHOW".to_owned(),
            CommandTag::Plain(_) if is_start_transaction(&running.statement) => "START TRANSACTION".to_owned(),
            CommandTag::Rows(word) => format!("{word} {rows}"),
            CommandTag::Plain(tag) => tag.clone(),
        };
        for notice in running.finish() {
            self.tell(&notice);
        }
        if let Some(fetching) = running.fetch {
            self.end_fetch(*fetching);
        }
        let ended = self.transaction.succeeded(&running.statement.statement);
        match &running.statement.statement {
            _ if ended => self.end_of_transaction(),
            Statement::Savepoint { .. } => self.restore_points.savepoint(&self.session),
            Statement::RollbackTo { .. } => {
                self.store.roll_back_portals(self.transaction.depth());
                self.restore_points.keep(self.transaction.depth());
                self.restore_points.restore(&mut self.session);
            }
            Statement::Release { .. } => {
                self.store.release_portals(self.transaction.depth());
                self.restore_points.keep(self.transaction.depth());
            }
            _ => {}
        }
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
        let context = InputContext::of(&self.session, Some(self.service.now_us()));
        for (argument, data_type) in arguments.iter().zip(&stored.prepared.parameter_types) {
            let value = self.evaluate(argument).await?;
            let oid = stored.parameter_oids[parameters.len()];
            parameters.push(parameter::assign(&value, oid, data_type, &context)?);
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

fn is_start_transaction(statement: &ParsedStatement) -> bool {
    let begins = |sql: &str| sql.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("start"));
    matches!(statement.statement, Statement::Begin(_)) && begins(&statement.sql)
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

pub(crate) fn check_columns(count: usize) -> Result<(), PgError> {
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
