//! [`HiddenTables`]: plans a table that was marked under the name that it has.

use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{ObjectNamePart, TableFactor};

use super::{mark_of, unmarked};

/// See the module.
#[derive(Debug)]
pub(crate) struct HiddenTables;

impl RelationPlanner for HiddenTables {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::Table { name, alias, args: None, .. } if mark_of(&name).is_some() => {
                let source = context.object_name_to_table_reference(name.clone())?;
                let source = context.context_provider().get_table_source(source)?;
                let mut own_name = name;
                if let Some(ObjectNamePart::Identifier(last)) = own_name.0.last_mut() {
                    *last = unmarked(last);
                }
                let own_name = context.object_name_to_table_reference(own_name)?;
                let plan = LogicalPlanBuilder::scan(own_name, source, None)?.build()?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}
