//! SQL cursors. A cursor is a portal, in the one namespace with those of Bind: DECLARE makes one, FETCH and MOVE read any,
//! CLOSE takes any away; Execute and Describe take a declared one's name.
//!
//! ```text
//!                          ┌─ NO SCROLL (the default): batches pass by, none is kept
//! query ── Running ── pull ┤
//!                          └─ SCROLL: what was read is kept (KeptRows) and read again
//! COMMIT ── hold: what is left of a WITH HOLD cursor is read, kept, and outlives the query
//! ```

pub(crate) mod place;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use limnos_engine::execute::KeptRows;
use limnos_engine::parse::{DeclareCursor, FetchCursor, ParsedStatement, Statement};
use limnos_engine::{CommandTag, Notice, Prepared};
use pgwire::messages::extendedquery::PortalSuspended;

use self::place::{Place, Step, check_scroll};
use super::connection::{Connection, Failure};
use super::encode::Format;
use super::error::PgError;
use super::run::{End, Running};
use super::store::{Portal, PortalState, StoredStatement};
use crate::query::CancelWatch;

/// What makes a portal a cursor.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Made by DECLARE.
    pub(crate) is_declared: bool,
    pub(crate) scroll: bool,
    pub(crate) binary: bool,
    pub(crate) hold: bool,
    /// Its transaction is over, and its rows are kept.
    pub(crate) is_held: bool,
    pub(crate) place: Place,
    kept: Option<Kept>,
}

/// The rows of a cursor that are kept: from the first on, or from where it stood when it was held.
#[derive(Debug)]
struct Kept {
    rows: KeptRows,
    /// The number of the first of them.
    first: u64,
}

impl Kept {
    fn new(rows: KeptRows, first: u64) -> Self {
        Self { rows, first }
    }

    fn end(&self) -> u64 {
        self.first + self.rows.rows()
    }
}

/// A FETCH that goes on. It has its cursor, which is put back when it is over.
pub(crate) struct Fetching {
    name: String,
    portal: Portal,
    steps: VecDeque<Step>,
    /// Rows of the step that is being done.
    done: u64,
    /// Rows of the step done last.
    last: u64,
    cancel: CancelWatch,
}

impl Connection {
    /// DECLARE: starts the query. `parameters` are of `types`, those that the DECLARE was prepared with.
    pub(crate) async fn declare(
        &mut self,
        declare: &DeclareCursor,
        types: &[DataType],
        parameters: &[ArrayRef],
    ) -> Result<Vec<Notice>, Failure> {
        let types: Vec<Option<DataType>> = types.iter().cloned().map(Some).collect();
        let query = self.prepare(Arc::new((*declare.query).clone()), &types).await?;
        if query.parameter_types.len() > parameters.len() {
            let number = parameters.len() + 1;
            return Err(PgError::new("42P02", format!("there is no parameter ${number}")).into());
        }
        let is_outside = self.transaction.is_idle() && !self.implicit_block;
        if is_outside && !declare.hold {
            return Err(PgError::new("25P01", "DECLARE CURSOR can only be used in transaction blocks").into());
        }
        self.store.check_portal(&declare.name)?;
        let mut running = self.run_query(&query, parameters).await?;
        let notices = running.take_notices();
        let kept = declare.scroll == Some(true);
        let cursor = Cursor {
            is_declared: true,
            scroll: kept,
            binary: declare.binary,
            hold: declare.hold,
            is_held: false,
            place: Place::default(),
            kept: kept.then(|| Kept::new(self.service.keep_rows(), 0)),
        };
        let schema = running.schema.clone();
        let statement = Arc::new(StoredStatement { prepared: query, parameter_oids: Vec::new(), schema });
        let mut portal = Portal::new(statement, Vec::new(), Vec::new(), self.transaction.depth());
        portal.state = PortalState::Running(Box::new(running));
        portal.cursor = cursor;
        if is_outside {
            // The transaction is this statement.
            self.hold(&mut portal).await?;
        }
        self.store.insert_portal(declare.name.clone(), portal)?;
        Ok(notices)
    }

    /// FETCH and MOVE. A MOVE is over when this returns, a FETCH's rows are still to be streamed.
    pub(crate) async fn fetch(
        &mut self,
        statement: Arc<ParsedStatement>,
        fetch: &FetchCursor,
        formats: &[Format],
    ) -> Result<Running, Failure> {
        let mut portal = self.store.take_cursor(&fetch.name)?;
        if portal.statement.schema.is_none() {
            self.store.return_portal(fetch.name.clone(), portal);
            let message = format!("cursor \"{}\" is not of a query", fetch.name);
            return Err(PgError::new("55000", message).into());
        }
        if matches!(portal.state, PortalState::Ready) {
            let (prepared, parameters) = (portal.statement.prepared.clone(), portal.parameters.clone());
            portal.state = PortalState::Running(Box::new(self.run_query(&prepared, &parameters).await?));
        }
        let plan = place::plan(fetch.direction, portal.cursor.place, fetch.is_move);
        let needs_scroll = |step: &Step| match step {
            Step::Rewind => portal.cursor.place != Place::default(),
            Step::Run { forward, .. } => !forward,
        };
        if plan.steps.iter().any(needs_scroll) {
            check_scroll(portal.cursor.scroll)?;
        }
        let mut fetching = self.fetching(fetch.name.clone(), portal, plan.steps);
        if !fetch.is_move {
            let schema = fetching.portal.statement.schema.clone();
            let running = self.running_rows(statement, schema, CommandTag::Rows("FETCH"), formats)?;
            return Ok(running.with_fetch(fetching));
        }
        while self.fetched(&mut fetching).await?.is_some() {}
        let tag = format!("MOVE {}", plan.count.unwrap_or(fetching.last));
        self.end_fetch(fetching);
        self.running_rows(statement, None, CommandTag::Plain(tag), &[])
    }

    fn fetching(&mut self, name: String, mut portal: Portal, steps: Vec<Step>) -> Fetching {
        if let PortalState::Running(running) = &mut portal.state {
            self.resume(running);
        }
        Fetching { name, portal, steps: steps.into(), done: 0, last: 0, cancel: self.slot.watch() }
    }

    /// Puts the cursor of a FETCH back.
    pub(crate) fn end_fetch(&mut self, fetching: Fetching) {
        self.store.return_portal(fetching.name, fetching.portal);
    }

    /// The next rows of a FETCH that are to be told, `None` at its end.
    pub(crate) async fn fetched(&mut self, fetching: &mut Fetching) -> Result<Option<RecordBatch>, Failure> {
        while let Some(step) = fetching.steps.front().copied() {
            fetching.cancel.check()?;
            let Step::Run { forward, count, told } = step else {
                let scroll = fetching.portal.cursor.scroll;
                fetching.portal.cursor.place.rewind(scroll)?;
                fetching.steps.pop_front();
                continue;
            };
            let wanted = count.map_or(u64::MAX, |count| count - fetching.done);
            let batch = match (wanted, forward) {
                (0, _) => None,
                (wanted, true) => self.next_rows(&mut fetching.portal, fetching.done, wanted).await?,
                (wanted, false) => self.rows_before(&mut fetching.portal, fetching.done, wanted).await?,
            };
            if let Some(batch) = batch {
                fetching.done += batch.num_rows() as u64;
                if told {
                    return Ok(Some(batch));
                }
                continue;
            }
            fetching.last = std::mem::take(&mut fetching.done);
            let place = &mut fetching.portal.cursor.place;
            match forward {
                true => place.moved_forward(fetching.last, count),
                false => {
                    check_scroll(fetching.portal.cursor.scroll)?;
                    place.moved_backward(fetching.last, count);
                }
            }
            fetching.steps.pop_front();
        }
        Ok(None)
    }

    /// At most `max` rows that follow the `done` rows behind the cursor's place.
    async fn next_rows(&mut self, portal: &mut Portal, done: u64, max: u64) -> Result<Option<RecordBatch>, Failure> {
        if portal.cursor.place.at_end {
            return Ok(None);
        }
        let row = portal.cursor.place.position + done;
        let kept = portal.cursor.kept.as_mut().filter(|kept| row < kept.end());
        if let Some(kept) = kept {
            return Ok(Some(self.wire.while_connected(kept.rows.after(row - kept.first, max)).await??));
        }
        let keeps = portal.cursor.kept.is_some();
        let pulled = self.pull(portal, if keeps { u64::MAX } else { max }).await?;
        if let (Some(batch), Some(kept)) = (&pulled, &mut portal.cursor.kept) {
            self.wire.while_connected(kept.rows.push(batch)).await??;
        }
        let count = usize::try_from(max).unwrap_or(usize::MAX);
        Ok(pulled.map(|batch| batch.slice(0, batch.num_rows().min(count))))
    }

    /// At most `max` rows before the `done` rows that the cursor has gone back over.
    async fn rows_before(&mut self, portal: &mut Portal, done: u64, max: u64) -> Result<Option<RecordBatch>, Failure> {
        check_scroll(portal.cursor.scroll)?;
        let row = portal.cursor.place.row_before().and_then(|row| row.checked_sub(done));
        let (Some(row), Some(kept)) = (row, &mut portal.cursor.kept) else { return Ok(None) };
        Ok(Some(self.wire.while_connected(kept.rows.before(row, max)).await??))
    }

    /// At most `max` rows from a cursor's query; at its end the query is finished.
    async fn pull(&mut self, portal: &mut Portal, max: u64) -> Result<Option<RecordBatch>, Failure> {
        let PortalState::Running(running) = &mut portal.state else { return Ok(None) };
        let pulled = running.pull(&mut self.wire, max).await?;
        if pulled.is_none() {
            for notice in running.finish() {
                self.tell(&notice);
            }
            portal.state = PortalState::Done;
        }
        Ok(pulled)
    }

    /// Reads all that is left of a WITH HOLD cursor, so that it outlives its transaction.
    async fn hold(&mut self, portal: &mut Portal) -> Result<(), Failure> {
        if let PortalState::Running(running) = &mut portal.state {
            self.resume(running);
        }
        let place = portal.cursor.place;
        let mut kept = match portal.cursor.kept.take() {
            Some(kept) => kept,
            None => Kept::new(self.service.keep_rows(), place.position),
        };
        while let Some(batch) = self.pull(portal, u64::MAX).await? {
            self.wire.while_connected(kept.rows.push(&batch)).await??;
        }
        portal.cursor.kept = Some(kept);
        portal.cursor.is_held = true;
        Ok(())
    }

    /// Before COMMIT: WITH HOLD cursors of the block get all their rows.
    pub(crate) async fn hold_cursors(&mut self) -> Result<(), Failure> {
        for name in self.store.cursors_to_hold() {
            let mut portal = self.store.take_portal(&name)?;
            self.hold(&mut portal).await?;
            self.store.return_portal(name, portal);
        }
        Ok(())
    }

    /// Execute of a declared cursor's portal: rows in text, forward from where it stands.
    pub(crate) async fn execute_cursor(&mut self, name: String, portal: Portal, max_rows: u64) -> Result<(), Failure> {
        self.transaction.check(&portal.statement.prepared.statement.statement)?;
        let count = (max_rows > 0).then_some(max_rows);
        let statement = Arc::clone(&portal.statement.prepared.statement);
        let schema = portal.statement.schema.clone();
        let steps = vec![Step::Run { forward: true, count, told: true }];
        let fetching = self.fetching(name, portal, steps);
        let running = self.running_rows(statement, schema, CommandTag::Rows("SELECT"), &[])?;
        let mut running = running.with_fetch(fetching);
        let End::Done(rows) = self.stream(&mut running, 0).await? else {
            unreachable!("only a row limit suspends");
        };
        if running.fetch.as_ref().is_some_and(|fetching| !fetching.portal.cursor.place.at_end) {
            if let Some(fetching) = running.fetch.take() {
                self.end_fetch(*fetching);
            }
            self.wire.send(&PortalSuspended::new());
        } else {
            self.complete(running, rows);
        }
        Ok(())
    }

    /// All rows of a FETCH at once, which then come in portions (Execute with a row limit): the cursor is free meanwhile, as
    /// in PostgreSQL.
    pub(crate) async fn gather(&mut self, running: &mut Running) -> Result<(), Failure> {
        let Some(mut fetching) = running.fetch.take() else { return Ok(()) };
        let mut rows = self.service.keep_rows();
        while let Some(batch) = self.fetched(&mut fetching).await? {
            self.wire.while_connected(rows.push(&batch)).await??;
        }
        self.end_fetch(*fetching);
        running.gathered = Some((rows, 0));
        Ok(())
    }

    /// The format of a simple FETCH's rows: binary cursors give binary ones.
    pub(crate) fn simple_formats(&self, statement: &Statement) -> &'static [Format] {
        match statement {
            Statement::Fetch(FetchCursor { name, .. }) => {
                let is_binary = self.store.portal(name).is_ok_and(|portal| portal.cursor.binary);
                if is_binary { &[Format::Binary] } else { &[] }
            }
            _ => &[],
        }
    }

    async fn run_query(&mut self, prepared: &Prepared, parameters: &[ArrayRef]) -> Result<Running, Failure> {
        let Self { wire, service, session, slot, .. } = self;
        let executed = wire.while_connected(Box::pin(service.execute(session, prepared, parameters, slot))).await?;
        let result = executed?;
        let tag = result.tag.clone();
        self.running(Arc::clone(&prepared.statement), Some(result), tag, &[])
    }
}
