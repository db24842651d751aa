//! The extended query protocol: Parse, Bind, Describe, Execute, Close.

use std::sync::Arc;

use limnos_engine::input::InputContext;
use limnos_engine::parse::{ParsedStatement, Statement};
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use super::connection::{Connection, Failure};
use super::copy;
use super::encode::Format;
use super::error::PgError;
use super::frontend::{Bind, Target};
use super::parameter;
use super::run::{End, check_formats, row_description};
use super::statement;
use super::store::{Portal, PortalState};
use super::types::PgType;

impl Connection {
    pub(crate) async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Failure> {
        if name.is_empty() {
            // Gone even if the new text turns out to be wrong.
            self.store.remove_statement("");
        }
        self.activity.begin(sql);
        let Self { wire, service, session, slot, .. } = self;
        let parsed = wire.while_connected(Box::pin(slot.guard(service.parse(session, sql)))).await?;
        let mut statements: Vec<ParsedStatement> = parsed?;
        statements.retain(|parsed| !matches!(parsed.statement, Statement::Empty));
        if statements.len() > 1 {
            return Err(PgError::new("42601", "cannot insert multiple commands into a prepared statement").into());
        }
        let parsed = statements.pop();
        let parsed =
            parsed.unwrap_or_else(|| ParsedStatement { statement: Statement::Empty, sql: String::new(), offset: 0 });
        let stored = statement::prepare(self, &name, parsed.into(), types).await?;
        self.store.insert_statement(name, stored);
        self.wire.send(&ParseComplete::new());
        Ok(())
    }

    pub(crate) fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let statement = self.store.statement(&bind.statement)?;
        self.transaction.check(&statement.prepared.statement.statement)?;
        if matches!(statement.prepared.statement.statement, Statement::Empty) {
            self.transaction.check_not_failed()?;
        }
        let types = &statement.prepared.parameter_types;
        if bind.formats.len() > 1 && bind.formats.len() != bind.parameters.len() {
            let (formats, parameters) = (bind.formats.len(), bind.parameters.len());
            let message = format!("bind message has {formats} parameter formats but {parameters} parameters");
            return Err(PgError::protocol(message).into());
        }
        if bind.parameters.len() != types.len() {
            let message = format!(
                "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                bind.parameters.len(),
                bind.statement,
                types.len()
            );
            return Err(PgError::protocol(message).into());
        }
        let columns = statement.schema.as_ref().map_or(0, |schema| schema.fields().len());
        check_formats(&bind.result_formats, columns)?;
        let context = InputContext::of(&self.session, Some(self.service.now_us()));
        let mut parameters = Vec::with_capacity(types.len());
        for (index, value) in bind.parameters.iter().enumerate() {
            let format = Portal::format(&bind.formats, index);
            let (oid, data_type) = (statement.parameter_oids[index], &types[index]);
            let decoded = parameter::decode(value.as_ref(), format, oid, data_type, &context);
            parameters.push(decoded.map_err(|mut error| {
                let context = format!("This is parameter ${}.", index + 1);
                error.detail = Some(error.detail.map_or(context.clone(), |detail| format!("{detail} {context}")));
                error
            })?);
        }
        let portal = Portal::new(statement, parameters, bind.result_formats, self.transaction.depth());
        self.store.insert_portal(bind.portal, portal)?;
        self.wire.send(&BindComplete::new());
        Ok(())
    }

    pub(crate) fn describe(&mut self, target: Target, name: &str) -> Result<(), Failure> {
        let (statement, formats): (_, Option<&[Format]>) = match target {
            Target::Statement => {
                let statement = self.store.statement(name)?;
                if statement.schema.is_some() {
                    self.transaction.check_not_failed()?;
                }
                self.wire.send(&ParameterDescription::new(statement.parameter_oids.clone()));
                (statement, None)
            }
            Target::Portal => {
                let portal = self.store.portal(name)?;
                if portal.statement.schema.is_some() {
                    self.transaction.check_not_failed()?;
                }
                (portal.statement.clone(), Some(&portal.formats))
            }
        };
        let description = statement.schema.as_ref().map(|schema| row_description(schema, formats));
        match description {
            Some(description) => self.wire.send(&description),
            None => self.wire.send(&NoData::new()),
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, name: String, max_rows: i32) -> Result<(), Failure> {
        let mut portal = self.store.take_portal(&name)?;
        if matches!(portal.statement.prepared.statement.statement, Statement::Empty) {
            self.wire.send(&EmptyQueryResponse::new());
            self.store.return_portal(name, portal);
            return Ok(());
        }
        self.activity.begin(&portal.statement.prepared.statement.sql);
        // Negative means all rows, as 0 does.
        let max_rows = u64::try_from(max_rows).unwrap_or(0);
        if portal.cursor.is_declared {
            return self.execute_cursor(name, portal, max_rows).await;
        }
        if matches!(portal.state, PortalState::Failed) {
            self.transaction.check_not_failed()?;
        }
        let state = std::mem::replace(&mut portal.state, PortalState::Done);
        let statement = Arc::clone(&portal.statement.prepared.statement);
        if matches!(state, PortalState::Ready) && copy::is_copy(&statement.statement) {
            self.store.return_portal(name, portal);
            self.join(&statement.statement);
            return self.copy(&statement).await;
        }
        let mut running = match state {
            PortalState::Ready => {
                self.join(&portal.statement.prepared.statement.statement);
                let mut running = self.start(&portal.statement.prepared, &portal.parameters, &portal.formats).await?;
                check_same_columns(&portal, running.schema.as_ref())?;
                if max_rows > 0 {
                    self.gather(&mut running).await?;
                }
                Box::new(running)
            }
            PortalState::Running(mut running) => {
                self.transaction.check(&portal.statement.prepared.statement.statement)?;
                self.resume(&mut running);
                running
            }
            PortalState::Done if portal.statement.schema.is_some() => {
                // A portal at its end has no more rows, which is no error.
                self.wire.send(&CommandComplete::new("SELECT 0".to_owned()));
                self.store.return_portal(name, portal);
                return Ok(());
            }
            PortalState::Done | PortalState::Failed => {
                return Err(PgError::new("55000", format!("portal \"{name}\" cannot be run")).into());
            }
        };
        let wanted = (max_rows > 0).then_some(max_rows);
        match self.stream(&mut running, max_rows).await? {
            End::Suspended => {
                portal.cursor.place.moved_forward(max_rows, wanted);
                portal.state = PortalState::Running(running);
                self.wire.send(&PortalSuspended::new());
                self.store.return_portal(name, portal);
            }
            End::Done(rows) => {
                portal.cursor.place.moved_forward(rows, wanted);
                // Returned first: the end of a block takes it with the others.
                self.store.return_portal(name, portal);
                self.complete(*running, rows);
            }
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => {
                self.store.remove_statement(name);
            }
            Target::Portal => self.store.remove_portal(name),
        }
        self.wire.send(&CloseComplete::new());
    }
}

/// The client decodes rows by the description it has; if a table changed since, other columns must not reach it.
fn check_same_columns(portal: &Portal, actual: Option<&arrow::datatypes::SchemaRef>) -> Result<(), PgError> {
    let described = portal.statement.schema.as_ref();
    let oids = |schema: Option<&arrow::datatypes::SchemaRef>| -> Option<Vec<u32>> {
        schema.map(|schema| schema.fields().iter().map(|field| PgType::of(field).oid()).collect())
    };
    if oids(described) == oids(actual) {
        return Ok(());
    }
    Err(PgError::new("0A000", "cached plan must not change result type"))
}
