//! Runs a text of statements one after the other through the one door, for callers without a protocol of their own: the
//! command line, HTTP and the demo. In: SQL. Out: answers, handed to a [`Sink`] as they come.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use limnos_engine::parse::{ParsedStatement, Statement};
use limnos_engine::{CommandTag, Error, Notice, Result, Session};

use crate::query::{CancelSlot, QueryService};

/// Takes answers. An error from it stops the script and cancels the running query.
#[async_trait]
pub trait Sink: Send {
    /// A statement begins to answer; `schema` is `None` when only a tag will come.
    async fn begin(&mut self, query_id: &str, schema: Option<&SchemaRef>, notices: &[Notice]) -> Result<()>;

    /// Rows of it.
    async fn batch(&mut self, batch: RecordBatch) -> Result<()>;

    /// What is told behind the rows, before [`Self::end`]. Who has told all that can be told by then lets it go: it is in
    /// `system.queries`, too.
    async fn closing(&mut self, _notices: &[Notice]) -> Result<()> {
        Ok(())
    }

    /// It has ended well; `rows` were answered.
    async fn end(&mut self, tag: &CommandTag, rows: u64) -> Result<()>;
}

/// Why a script stopped, and in which text the error's position counts.
#[derive(Debug)]
pub struct ScriptError {
    /// What went wrong.
    pub error: Error,
    /// The statement, or the whole text when it didn't parse.
    pub sql: String,
}

/// Runs all statements of `sql`; the first error stops it, what ran before stays done.
///
/// # Errors
/// The first statement's that fails, or the sink's.
pub async fn run(
    service: &Arc<QueryService>,
    session: &mut Session,
    sql: &str,
    slot: &CancelSlot,
    sink: &mut dyn Sink,
) -> Result<(), ScriptError> {
    let failed = |sql: &str| {
        let sql = sql.to_owned();
        move |error| ScriptError { error, sql }
    };
    for statement in service.parse(session, sql).await.map_err(failed(sql))? {
        if matches!(statement.statement, Statement::Empty) {
            continue;
        }
        let text = statement.sql.clone();
        run_one(service, session, statement, slot, sink).await.map_err(failed(&text))?;
    }
    Ok(())
}

async fn run_one(
    service: &Arc<QueryService>,
    session: &mut Session,
    statement: ParsedStatement,
    slot: &CancelSlot,
    sink: &mut dyn Sink,
) -> Result<()> {
    let prepared = service.prepare(session, Arc::new(statement), &[]).await?;
    if let Some(parameter) = (!prepared.parameter_types.is_empty()).then_some(prepared.parameter_types.len()) {
        return Err(Error::new(
            limnos_engine::ErrorCode::UndefinedObject,
            format!("there is no parameter ${parameter}"),
        )
        .with_hint("Parameters need a PostgreSQL client; write the value into the statement here."));
    }
    let mut result = service.execute(session, &prepared, &[], slot).await?;
    sink.begin(&result.query_id, result.schema.as_ref(), &result.notices).await?;
    let mut rows = 0;
    while let Some(batch) = result.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        sink.batch(batch).await?;
    }
    let tag = result.tag.clone();
    let notices = result.closing_notices();
    result.finish(rows);
    sink.closing(&notices).await?;
    sink.end(&tag, rows).await
}

/// A sink for those who want no rows, only to know that all went well.
#[derive(Debug, Default)]
pub struct Discard {
    /// Everything that was noticed.
    pub notices: Vec<Notice>,
}

#[async_trait]
impl Sink for Discard {
    async fn begin(&mut self, _query_id: &str, _schema: Option<&SchemaRef>, notices: &[Notice]) -> Result<()> {
        self.notices.extend_from_slice(notices);
        Ok(())
    }

    async fn batch(&mut self, _batch: RecordBatch) -> Result<()> {
        Ok(())
    }

    async fn closing(&mut self, notices: &[Notice]) -> Result<()> {
        self.notices.extend_from_slice(notices);
        Ok(())
    }

    async fn end(&mut self, _tag: &CommandTag, _rows: u64) -> Result<()> {
        Ok(())
    }
}

/// The tag as PostgreSQL writes it: `SELECT 3`, `CREATE TABLE`.
pub fn tag_text(tag: &CommandTag, rows: u64) -> String {
    match tag {
        CommandTag::Rows(word) => format!("{word} {rows}"),
        CommandTag::Plain(text) => text.clone(),
    }
}
