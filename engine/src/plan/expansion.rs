//! Bounds what WITH queries expand to, on the text and before it is planned: each naming of a WITH query stands for a copy of
//! its plan, so a line that names the one before it twice doubles the work, and 40 such lines ask for 2^40 copies.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, ObjectNamePart, Query, Visit, Visitor};

use super::pg_catalog::rewrite::folded;
use crate::limits::PLAN_NODES_MAX;
use crate::{Error, ErrorCode, Result};

/// Refuses queries whose WITH queries, put in wherever they are named, would read more than [`PLAN_NODES_MAX`] tables.
///
/// # Errors
/// [`ErrorCode::StatementTooComplex`].
pub(super) fn check(query: &Query) -> Result<()> {
    let mut counter = Counter::default();
    let _: ControlFlow<()> = query.visit(&mut counter);
    if counter.largest <= PLAN_NODES_MAX {
        return Ok(());
    }
    Err(Error::new(ErrorCode::StatementTooComplex, "statement is too complex")
        .with_detail(format!("Its WITH queries expand to more than {PLAN_NODES_MAX} steps."))
        .with_hint("A WITH query is planned again wherever it is named; name it less often."))
}

/// The queries that are open, from the outermost in.
#[derive(Default)]
struct Counter {
    open: Vec<OpenQuery>,
    largest: usize,
}

/// A query whose parts are being visited.
#[derive(Default)]
struct OpenQuery {
    /// The names of its WITH queries, by where those queries are in memory.
    names: HashMap<*const Query, String>,
    /// What those visited so far expand to. One that names itself isn't here yet, and counts as a table.
    expanded: HashMap<String, usize>,
    steps: usize,
}

impl Visitor for Counter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = ctes.map(|cte| (std::ptr::from_ref(cte.query.as_ref()), folded(&cte.alias.name))).collect();
        self.open.push(OpenQuery { names, steps: 1, ..OpenQuery::default() });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let steps = match relation.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => {
                let name = folded(name);
                self.open
                    .iter()
                    .rev()
                    .find_map(|query| query.expanded.get(&name))
                    .map_or(1, |steps| steps.saturating_add(1))
            }
            _ => 1,
        };
        if let Some(query) = self.open.last_mut() {
            query.steps = query.steps.saturating_add(steps);
            self.largest = self.largest.max(query.steps);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(closed) = self.open.pop() else { return ControlFlow::Continue(()) };
        if let Some(outer) = self.open.last_mut() {
            match outer.names.get(&std::ptr::from_ref(query)) {
                Some(name) => {
                    outer.expanded.insert(name.clone(), closed.steps);
                }
                None => outer.steps = outer.steps.saturating_add(closed.steps),
            }
            self.largest = self.largest.max(outer.steps);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::parse::{Dialect, Statement, parse};

    fn fits(sql: &str) -> bool {
        let Statement::Query(query) = parse(sql, Dialect::Postgres).unwrap().remove(0).statement else {
            panic!("{sql}")
        };
        check(&query).is_ok()
    }

    /// Lines that each name the one before it twice.
    fn doubled(lines: usize, line: &str) -> String {
        let queries: Vec<String> =
            (1..lines).map(|n| format!(", c{n} AS ({})", line.replace('#', &(n - 1).to_string()))).collect();
        format!("WITH c0 AS (SELECT 1 AS x){} SELECT count(*) FROM c{}", queries.concat(), lines - 1)
    }

    #[test]
    fn doubling_is_refused_and_chains_are_not() {
        let cross = "SELECT a.x FROM c# a, c# b";
        let union = "SELECT x FROM C# UNION ALL SELECT x FROM \"c#\"";
        let nested = "SELECT x FROM c# WHERE x IN (SELECT x FROM c#)";
        for line in [cross, union, nested] {
            assert!(fits(&doubled(8, line)), "{line}");
            for lines in [20, 40, 200] {
                assert!(!fits(&doubled(lines, line)), "{lines} {line}");
            }
        }
        assert!(fits(&doubled(400, "SELECT x + 1 AS x FROM c#")));
    }

    #[test]
    fn names_are_those_of_their_own_query() {
        let many = doubled(13, "SELECT a.x FROM c# a, c# b");
        // What is doubled inside a bracket isn't meant outside of it; a table of another schema isn't either.
        assert!(fits(&format!("SELECT * FROM ({many}) s, c12, c12 b, c12 c, c12 d, c12 e")));
        assert!(fits(&format!("{many}, s.c12 a1, s.c12 a2, s.c12 a3, s.c12 a4, s.c12 a5")));
        assert!(!fits(&format!("{many}, c12 a1, c12 a2, c12 a3, c12 a4, c12 a5")));
        // An inner name hides the outer one.
        let hidden = "WITH c12 AS (SELECT 1 AS x) SELECT 1 FROM c12 a1, c12 a2, c12 a3, c12 a4, c12 a5";
        assert!(fits(&format!("{many}, ({hidden}) s")));
        assert!(fits(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT * FROM n a, n b"
        ));
    }
}
