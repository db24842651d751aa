//! COPY to and from the client.
//!
//! ```text
//! COPY .. TO STDOUT    QueryService::execute ── batches ── out::CopyEncoder ── CopyData, one for each row
//! COPY t FROM STDIN    CopyData ── input::Feed (bounded) ── input::Reader ── batches ── QueryService::copy_in
//! ```
//! [`options`] says how. Both ways nothing is gathered: the rows of a query wait for a client that reads slowly, and a client
//! that sends fast waits for the rows to be written.

mod input;
mod options;
mod out;

use std::sync::Arc;

use limnos_engine::Notice;
use limnos_engine::parse::{CopyOut, ParsedStatement, Statement};
use pgwire::messages::copy::{CopyDone, CopyOutResponse};
use pgwire::messages::response::CommandComplete;

use self::options::{CopyOptions, Direction, Layout};
use self::out::CopyEncoder;
use super::connection::{Connection, Failure};
use super::encode::{Format, RowEncoder, Style};
use super::error::{PgError, notice_response};
use super::run::check_columns;
use crate::limits::FLUSH_BYTES;

/// Whether a statement is carried out here, and not by the engine alone.
pub(crate) fn is_copy(statement: &Statement) -> bool {
    matches!(statement, Statement::CopyOut(_) | Statement::CopyIn(_))
}

impl Layout {
    fn format(self) -> Format {
        if self == Self::Binary { Format::Binary } else { Format::Text }
    }
}

impl Connection {
    /// Carries out a COPY, up to its CommandComplete.
    pub(crate) async fn copy(&mut self, parsed: &Arc<ParsedStatement>) -> Result<(), Failure> {
        self.transaction.check(&parsed.statement)?;
        match &parsed.statement {
            Statement::CopyOut(copy) => self.copy_out(parsed, copy).await,
            Statement::CopyIn(copy) => self.copy_in(parsed, copy).await,
            _ => Err(limnos_engine::Error::internal("not a COPY").into()),
        }
    }

    async fn copy_out(&mut self, parsed: &Arc<ParsedStatement>, copy: &CopyOut) -> Result<(), Failure> {
        let options = CopyOptions::read(&copy.options, Direction::Out)?;
        let statement = Statement::Query(copy.query.clone());
        let query = ParsedStatement { statement, sql: parsed.sql.clone(), offset: parsed.offset };
        let prepared = self.prepare(Arc::new(query), &[]).await.map_err(|failure| of_relation(failure, copy))?;
        if !prepared.parameter_types.is_empty() {
            return Err(PgError::new("42P02", "there is no parameter $1").into());
        }
        let Self { wire, service, session, slot, .. } = self;
        let executed = wire.while_connected(Box::pin(service.execute(session, &prepared, &[], slot))).await?;
        let mut result = executed?;
        let query_id = result.query_id.clone();
        let failed = |error| PgError::from_engine(error, Some(&query_id));
        let schema = result.schema.clone().ok_or_else(|| failed(limnos_engine::Error::internal("no columns")))?;
        check_columns(schema.fields().len())?;
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let table = copy.table.as_ref().map(|table| table.name.as_str());
        let force_quote = options.force_quote.flags(&names, &names, "FORCE_QUOTE", table)?;
        let format = options.layout.format();
        let rows = RowEncoder::new(&schema, |_| format, Style::of(&session.settings));
        let mut encoder = CopyEncoder::new(rows, &schema, &options, &force_quote);
        for notice in std::mem::take(&mut result.notices) {
            if session.settings.shows_notice(notice.severity) {
                wire.send(&notice_response(&notice));
            }
        }
        wire.send(&copy_out_response(format, names.len()));
        encoder.header(options.header, &names, &mut wire.output);
        let mut count = 0;
        while let Some(batch) = wire.while_connected(result.next()).await? {
            let mut rows = encoder.rows(&batch.map_err(failed)?).map_err(failed)?;
            loop {
                count += encoder.write(&mut rows, &mut wire.output, FLUSH_BYTES).map_err(failed)?;
                if wire.output.len() >= FLUSH_BYTES {
                    wire.flush_watching().await?;
                }
                if rows.is_done() {
                    break;
                }
            }
        }
        encoder.trailer(&mut wire.output);
        wire.send(&CopyDone::new());
        let notices = result.closing_notices();
        result.finish(count);
        self.copied(parsed, format!("COPY {count}"), &notices);
        Ok(())
    }

    /// The last messages of a COPY that went well.
    fn copied(&mut self, parsed: &ParsedStatement, tag: String, notices: &[Notice]) {
        for notice in notices {
            self.tell(notice);
        }
        self.transaction.succeeded(&parsed.statement);
        self.wire.send(&CommandComplete::new(tag));
    }
}

/// Of a table's columns PostgreSQL says whose they aren't.
fn of_relation(failure: Failure, copy: &CopyOut) -> Failure {
    match (failure, &copy.table) {
        (Failure::Error(mut error), Some(table)) if error.sqlstate == "42703" => {
            let of = format!(" of relation \"{}\" does not exist", table.name);
            if !error.message.contains(" of relation ") {
                error.message = error.message.replace(" does not exist", &of);
            }
            Failure::Error(error)
        }
        (failure, _) => failure,
    }
}

fn copy_out_response(format: Format, columns: usize) -> CopyOutResponse {
    let code = format.code();
    CopyOutResponse::new(code as i8, columns as i16, vec![code; columns])
}
