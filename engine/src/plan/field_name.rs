//! [`FieldNames`]: finds a field of a struct by name without regard to case, as columns are, and a map's value by its key.
//!
//! A table's own columns are lower case, but fields inside them keep the spelling of the files (`magType`), and PostgreSQL
//! folds what a query writes. The exact spelling wins, then the first field that differs in case only. What isn't found is
//! left to DataFusion's planners and their error. A map's key is compared as a value of the map's own key type.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference};
use datafusion::functions::{self, core::expr_fn::get_field};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, cast, lit};

/// See the module. To be asked before DataFusion's own planners.
#[derive(Debug)]
pub(crate) struct FieldNames;

impl ExprPlanner for FieldNames {
    fn plan_field_access(
        &self,
        mut access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let data_type = access.expr.get_type(schema)?;
        if let Some(key_type) = map_key_type(&data_type) {
            let key = match &access.field_access {
                GetFieldAccess::NamedStructField { name } => lit(name.clone()),
                GetFieldAccess::ListIndex { key } => key.as_ref().clone(),
                GetFieldAccess::ListRange { .. } => return Ok(PlannerResult::Original(access)),
            };
            return Ok(PlannerResult::Planned(map_value(access.expr, key, &key_type)?));
        }
        if let GetFieldAccess::NamedStructField { name: ScalarValue::Utf8(Some(name)) } = &mut access.field_access
            && let Some(found) = find(&data_type, name)
        {
            found.name().clone_into(name);
        }
        Ok(PlannerResult::Original(access))
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut expr = Expr::Column(Column::from((qualifier, field)));
        let mut data_type = field.data_type();
        for name in nested_names {
            match find(data_type, name) {
                Some(found) => {
                    expr = get_field(expr, found.name().as_str());
                    data_type = found.data_type();
                }
                None => {
                    expr = match map_key_type(data_type) {
                        Some(key_type) => map_value(expr, lit(name.as_str()), &key_type)?,
                        None => get_field(expr, name.as_str()),
                    };
                    data_type = &DataType::Null;
                }
            }
        }
        Ok(PlannerResult::Planned(expr))
    }
}

fn map_key_type(data_type: &DataType) -> Option<DataType> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(pair) = entries.data_type() else { return None };
    pair.first().map(|key| key.data_type().clone())
}

fn map_value(map: Expr, key: Expr, key_type: &DataType) -> Result<Expr> {
    let key = match key {
        Expr::Literal(value, metadata) => Expr::Literal(value.cast_to(key_type)?, metadata),
        other => cast(other, key_type.clone()),
    };
    Ok(functions::core::get_field().call(vec![map, key]))
}

fn find<'a>(data_type: &'a DataType, name: &str) -> Option<&'a Field> {
    let DataType::Struct(fields) = data_type else { return None };
    let lower = name.to_lowercase();
    fields
        .iter()
        .find(|field| field.name() == name)
        .or_else(|| fields.iter().find(|field| field.name().to_lowercase() == lower))
        .map(AsRef::as_ref)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::datatypes::Fields;

    use super::*;

    #[test]
    fn the_exact_spelling_wins_over_another_case() {
        let fields: Fields =
            ["magType", "a", "A", "b"].map(|name| Field::new(name, DataType::Int32, true)).to_vec().into();
        let data_type = DataType::Struct(fields);
        for (name, wanted) in [
            ("magtype", Some("magType")),
            ("MAGTYPE", Some("magType")),
            ("A", Some("A")),
            ("a", Some("a")),
            ("x", None),
        ] {
            assert_eq!(find(&data_type, name).map(|field| field.name().as_str()), wanted, "{name}");
        }
        assert!(find(&DataType::Utf8, "a").is_none());
    }
}
