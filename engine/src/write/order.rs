//! The order of rows inside files: `sorted_by` of CREATE TABLE AS, kept with the table and held by each INSERT.

use datafusion::common::Column as PlanColumn;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use limnos_catalog::TableDefinition;

use crate::error::nearest;
use crate::{Error, ErrorCode, Result};

/// Where a table says in which order the rows of its files are: `a, b DESC`.
pub(super) const SORTED_BY: &str = "limnos.sorted_by";

/// Rows of `plan`, whose columns are the table's, in the order that the table says. The whole is sorted, on disk if need be,
/// and files that are begun one after the other hold what comes one after the other.
pub(super) fn sorted(plan: LogicalPlan, definition: &TableDefinition) -> Result<LogicalPlan> {
    let Some(text) = definition.parameters.get(SORTED_BY) else { return Ok(plan) };
    let order = parse(text, definition)?;
    let exprs = order.into_iter().map(|(column, ascending)| {
        // NULL last, as Athena and Hive's readers expect.
        Expr::Column(PlanColumn::from_name(column)).sort(ascending, false)
    });
    Ok(LogicalPlanBuilder::from(plan).sort(exprs)?.build()?)
}

/// Checks what a statement says of the order.
///
/// # Errors
/// A column that isn't inside the files.
pub(super) fn check(definition: &TableDefinition) -> Result<()> {
    match definition.parameters.get(SORTED_BY) {
        Some(text) => parse(text, definition).map(|_| ()),
        None => Ok(()),
    }
}

fn parse(text: &str, definition: &TableDefinition) -> Result<Vec<(String, bool)>> {
    let mut order = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, ascending) = match item.rsplit_once(char::is_whitespace) {
            Some((name, word)) if word.eq_ignore_ascii_case("desc") => (name.trim(), false),
            Some((name, word)) if word.eq_ignore_ascii_case("asc") => (name.trim(), true),
            _ => (item, true),
        };
        let name = name.trim_matches('"').to_lowercase();
        if !definition.columns.iter().any(|column| column.name == name) {
            let message = format!("column \"{name}\" to sort by is not a column inside the files");
            let mut error = Error::new(ErrorCode::UndefinedColumn, message);
            if let Some(near) = nearest(&name, definition.columns.iter().map(|column| column.name.as_str())) {
                error = error.with_hint(format!("Did you mean \"{near}\"?"));
            }
            return Err(error);
        }
        order.push((name, ascending));
    }
    Ok(order)
}
