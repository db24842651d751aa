//! `FROM read_excel('book.xlsx', sheet => 'orders')`, `FROM read_xml('orders.xml', row => 'order')`: documents as tables.
//!
//! Planning looks tables up by name, and these have to be read for their columns, so a call becomes a name: the schema of paths
//! used as tables, and behind a mark the call itself.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::{MemTable, TableProvider};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, TableAlias, TableFactor, Value, VisitMut, VisitorMut,
};

use super::lake::PlanContext;
use super::pg_catalog::rewrite::{folded, parts};
use crate::crawl::document::{self, DocumentCall, DocumentKind};
use crate::parse::FILE_TABLE_DATABASE;
use crate::{Error, ErrorCode, Result};

/// Begins the names of documents. No path has it.
const MARK: char = '\u{1e}';

/// Makes names of the calls in `query`.
///
/// # Errors
/// Arguments that aren't the function's.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    let mut calls = Calls { error: None };
    let _: ControlFlow<()> = query.visit(&mut calls);
    calls.error.map_or(Ok(()), Err)
}

/// The call that a table's name stands for, if it is one of a document.
pub(super) fn call_of(name: &str) -> Option<DocumentCall> {
    serde_json::from_str(name.strip_prefix(MARK)?).ok()
}

/// Whether a table's name stands for a document.
pub(super) fn is_document(name: &str) -> bool {
    name.starts_with(MARK)
}

/// The document's table, in memory.
pub(super) async fn table(context: &PlanContext, call: &DocumentCall) -> Result<Arc<dyn TableProvider>> {
    let (schema, batches) = document::open(&context.shared.scan.stores, call).await?;
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}

struct Calls {
    error: Option<Error>,
}

impl VisitorMut for Calls {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, args, alias, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(list) = args else { return ControlFlow::Continue(()) };
        let (function, kind) = match parts(name).as_slice() {
            [name] if name == "read_excel" => ("read_excel", DocumentKind::Excel),
            [name] if name == "read_xml" => ("read_xml", DocumentKind::Xml),
            _ => return ControlFlow::Continue(()),
        };
        match call(function, kind, &list.args) {
            Ok(call) => {
                let text = serde_json::to_string(&call).unwrap_or_default();
                let quoted = |text: String| Ident::with_quote('"', text);
                *name = ObjectName::from(vec![quoted(FILE_TABLE_DATABASE.to_owned()), quoted(format!("{MARK}{text}"))]);
                *args = None;
                alias.get_or_insert_with(|| TableAlias {
                    explicit: true,
                    name: Ident::new(function),
                    columns: Vec::new(),
                    at: None,
                });
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

fn call(function: &str, kind: DocumentKind, args: &[FunctionArg]) -> Result<DocumentCall> {
    let wrong = |message: String, hint: &str| Error::new(ErrorCode::InvalidParameterValue, message).with_hint(hint);
    let usage = match kind {
        DocumentKind::Excel => "read_excel('path' [, sheet => 'name'] [, header => false] [, range => 'A1:D10'])",
        DocumentKind::Xml => "read_xml('path' [, row => 'element'])",
    };
    let usage = format!("Write {usage}, with constants.");
    let mut path = None;
    let mut call = DocumentCall { kind, path: String::new(), sheet: None, header: None, range: None, row: None };
    for arg in args {
        let (name, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) if path.is_none() => (None, &value.value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(Expr::Value(value)), .. } => {
                (Some(folded(name)), &value.value)
            }
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(Expr::Value(value)),
                ..
            } => (Some(folded(name)), &value.value),
            _ => return Err(wrong(format!("invalid argument of function {function}: {arg}"), &usage)),
        };
        let text = || match value {
            Value::SingleQuotedString(text) => Ok(Some(text.clone())),
            _ => Err(wrong(format!("invalid argument of function {function}: {arg}"), &usage)),
        };
        match (kind, name.as_deref(), value) {
            (_, None, _) => path = text()?,
            (DocumentKind::Excel, Some("sheet"), _) => call.sheet = text()?,
            (DocumentKind::Excel, Some("range"), _) => call.range = text()?,
            (DocumentKind::Excel, Some("header"), Value::Boolean(value)) => call.header = Some(*value),
            (DocumentKind::Xml, Some("row"), _) => call.row = text()?,
            (_, Some(name), _) => {
                return Err(wrong(format!("function {function} has no parameter \"{name}\" of that type"), &usage));
            }
        }
    }
    call.path = path.ok_or_else(|| wrong(format!("function {function} needs a path"), &usage))?;
    Ok(call)
}
