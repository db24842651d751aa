//! A parsed query -> a logical plan in one snapshot.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::{DataType, Field};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use limnos_catalog::Table;

use super::lake::{LakeCatalog, LakeCatalogList, PlanContext, catalog_database};
use super::options::{StatementOptions, StatementRuntime};
use super::pg_catalog::PG_TYPE_METADATA;
use super::pg_catalog::output_name::{self, OutputNames, output_names};
use super::pg_catalog::rewrite::rewrite_query;
use crate::command::VIEW_DIALECT;
use crate::execute::QueryPool;
use crate::function::FunctionContext;
use crate::input::InputContext;
use crate::limits::TYPE_DEPTH_MAX;
use crate::parse::{Dialect, Statement, parse};
use crate::prune::Partitions;
use crate::scan::hidden::HiddenColumns;
use crate::scan::table::CatalogTable;
use crate::{Error, ErrorCode, Result};

/// A query that was planned and not yet optimised.
pub(crate) struct PlannedQuery {
    pub(crate) plan: LogicalPlan,
    pub(crate) state: SessionState,
    names: OutputNames,
}

impl PlannedQuery {
    /// The names of the answer's columns, given those of the plan.
    pub(crate) fn column_names(&self) -> Vec<String> {
        let columns: Vec<String> = self.plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        output_name::apply(&self.names, &columns)
    }
}

/// Plans `query`. Reads no data file; paths used as tables are looked at for their columns.
pub(crate) async fn plan_query(context: PlanContext, query: &Query) -> Result<PlannedQuery> {
    super::expansion::check(query)?;
    let mut query = query.clone();
    let names = output_names(&query);
    super::document::rewrite(&mut query)?;
    super::hidden::resolve(&mut query, &context)?;
    if super::constant::read(&mut query, &context.input)? {
        context.sees_clock.store(true, Ordering::Relaxed);
    }
    rewrite_query(&mut query);
    let state = session_state(context)?;
    let statement = DataFusionStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
    let plan = state.statement_to_plan(statement).await?;
    super::size::check(&plan)?;
    check_type_depth(&plan)?;
    Ok(PlannedQuery { plan, state, names })
}

/// Refuses values nested too deep. Encoders, `Clone` and `Drop` walk types recursively, on threads with small stacks, too.
fn check_type_depth(plan: &LogicalPlan) -> Result<()> {
    let mut fits = true;
    plan.apply_with_subqueries(|node| {
        fits &= node.schema().fields().iter().all(|field| fits_depth(field.data_type(), TYPE_DEPTH_MAX));
        Ok(if fits { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    if fits {
        return Ok(());
    }
    Err(Error::new(ErrorCode::ProgramLimitExceeded, "a value is nested too deep")
        .with_detail(format!("Arrays and rows may be nested {TYPE_DEPTH_MAX} levels deep.")))
}

/// Whether `data_type` has at most `levels` levels. Looks no deeper than that.
fn fits_depth(data_type: &DataType, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => fits_depth(item.data_type(), below),
        DataType::Struct(fields) => fields.iter().all(|field| fits_depth(field.data_type(), below)),
        _ => true,
    }
}

/// Plans a view's text. Its columns carry the names and, through a cast where the files changed since, the types that it
/// was made with.
pub(crate) async fn plan_view(context: PlanContext, sql: &str, view: &Table) -> Result<LogicalPlan> {
    // A view means what it meant when it was made, whoever reads it.
    let dialect = match view.parameters.get(VIEW_DIALECT).map(String::as_str) {
        Some("athena") => Dialect::Athena,
        _ => Dialect::Postgres,
    };
    let context = PlanContext { dialect, ..context };
    let statement = parse(sql, dialect)?.into_iter().next().map(|parsed| parsed.statement);
    let Some(Statement::Query(query)) = statement else {
        return Err(Error::internal(format!("view \"{}\" holds no query", view.name)));
    };
    let planned = plan_query(context, &query).await?;
    let fields = planned.plan.schema().columns();
    if fields.len() != view.columns.len() {
        return Err(Error::new(
            ErrorCode::InvalidTableDefinition,
            format!("view \"{}\" no longer fits its tables", view.name),
        )
        .with_detail(format!("It was made with {} columns; its query now gives {}.", view.columns.len(), fields.len()))
        .with_hint("Make it again with CREATE OR REPLACE VIEW."));
    }
    let named = fields.into_iter().zip(&view.columns).map(|(field, column)| Expr::Column(field).alias(&column.name));
    Ok(LogicalPlanBuilder::from(planned.plan).project(named)?.build()?)
}

/// The session in which one query is planned and run: its own runtime, its own catalogs, nothing that SQL could set.
pub(crate) fn session_state(context: PlanContext) -> Result<SessionState> {
    let shared = Arc::clone(&context.shared);
    let (run, now) = (Arc::clone(&context.run), context.now);
    let pool = QueryPool::new(Arc::clone(&shared.memory), shared.query_memory_limit(), Arc::clone(&run.stats));
    let runtime = RuntimeEnvBuilder::from_runtime_env(&shared.runtime_env)
        .with_memory_pool(Arc::new(pool))
        .with_object_store_registry(Arc::clone(&run.stores) as _)
        .build_arc()?;
    let mut config = shared.session_config.clone();
    config = config.with_default_catalog_and_schema(&context.session.catalog_name, catalog_database(&context.database));
    let dataset_aggregation = context.scan.dataset_aggregation;
    config = config.with_extension(Arc::new(context.scan)).with_extension(Arc::new(StatementRuntime(runtime)));
    let options = config.options_mut();
    let zone = Some(context.time_zone.clone());
    options.execution.time_zone.clone_from(&zone);
    options.extensions.insert(StatementOptions {
        // Made at each run, so that only constants see the clock.
        input: InputContext { now: None, ..context.input },
        caller: Some(FunctionContext::new(&context.snapshot, &context.session, Some(Arc::clone(&context.rights)))),
        cancel: run.cancel.clone(),
        dataset_aggregation,
    });
    // Athena sorts NULL last always; PostgreSQL takes it for the greatest value.
    options.sql_parser.default_null_ordering = match context.dialect {
        Dialect::Postgres => "nulls_max",
        Dialect::Athena => "nulls_last",
    }
    .to_owned();
    let catalog_name = context.session.catalog_name.clone();
    let list = LakeCatalogList::new(catalog_name, LakeCatalog::new(Arc::new(context)));
    let mut state = shared.template.clone();
    *state.config_mut() = config;
    state.register_catalog_list(Arc::new(list));
    if zone != shared.template.config_options().execution.time_zone {
        zoned(&mut state)?;
    }
    // `now()` is one instant in a whole statement, and the clock's.
    let mut props = ExecutionProps::new();
    props.mark_start_execution(Arc::clone(state.config_options()));
    *state.execution_props_mut() = props.with_query_execution_start_time(now);
    Ok(state)
}

/// Functions whose types depend on the session's time zone, for the one that `state` has.
fn zoned(state: &mut SessionState) -> Result<()> {
    const ZONED: [&str; 6] = [
        "now",
        "to_timestamp",
        "to_timestamp_seconds",
        "to_timestamp_millis",
        "to_timestamp_micros",
        "to_timestamp_nanos",
    ];
    for name in ZONED {
        let Some(function) = state.scalar_functions().get(name).cloned() else { continue };
        if let Some(updated) = function.inner().with_updated_config(state.config().options()) {
            state.register_udf(Arc::new(updated))?;
        }
    }
    Ok(())
}

/// The types of `$1`, `$2`, ...: as the client declared them, else as the query's context says, else text.
pub(crate) fn parameter_types(plan: &LogicalPlan, declared: &[Option<DataType>]) -> Result<Vec<DataType>> {
    let inferred = inferred_parameter_types(plan)?;
    let mut count = declared.len();
    for name in inferred.keys() {
        let number: usize = name.strip_prefix('$').and_then(|number| number.parse().ok()).unwrap_or(0);
        if number == 0 || number > PARAMETERS_MAX {
            return Err(Error::syntax(format!("there is no parameter {name}")));
        }
        count = count.max(number);
    }
    (0..count)
        .map(|index| {
            let declared = declared.get(index).cloned().flatten();
            let name = format!("${}", index + 1);
            match (declared, inferred.get(&name)) {
                (Some(declared), _) => Ok(declared),
                // What stands beside an untyped NULL, or another parameter, is as unknown as that.
                (None, Some(known)) => {
                    Ok(known.clone().filter(|data_type| !data_type.is_null()).unwrap_or(DataType::Utf8))
                }
                (None, None) => Err(Error::new(
                    ErrorCode::IndeterminateDatatype,
                    format!("could not determine data type of parameter {name}"),
                )),
            }
        })
        .collect()
}

/// `planned` with NULLs of the parameters' types in place of the parameters: its columns have the types that the answer's will
/// have.
pub(crate) fn with_typed_parameters(planned: PlannedQuery, types: &[DataType]) -> Result<PlannedQuery> {
    let nulls: Vec<_> = types.iter().map(|data_type| arrow::array::new_null_array(data_type, 1)).collect();
    Ok(PlannedQuery { plan: bind(planned.plan, &nulls)?, ..planned })
}

/// The parameters of `plan`, with the types that their surroundings give them. As in PostgreSQL, the first place that says a
/// type decides: `$1::int` is an integer, wherever else `$1` stands.
fn inferred_parameter_types(plan: &LogicalPlan) -> Result<HashMap<String, Option<DataType>>> {
    let mut types: HashMap<String, Option<DataType>> = HashMap::new();
    let mut add = |id: &str, data_type: Option<&DataType>| {
        let known = types.entry(id.to_owned()).or_default();
        if known.is_none() {
            *known = data_type.cloned();
        }
    };
    plan.apply_with_subqueries(|node| {
        // LIMIT and OFFSET count in bigint.
        if let LogicalPlan::Filter(filter) = node
            && let Expr::Placeholder(Placeholder { id, field: None }) = &filter.predicate
        {
            add(id, Some(&DataType::Boolean));
        }
        if let LogicalPlan::Limit(limit) = node {
            for count in [&limit.skip, &limit.fetch].into_iter().flatten() {
                if let Expr::Placeholder(Placeholder { id, field: None }) = count.as_ref() {
                    add(id, Some(&DataType::Int64));
                }
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(Placeholder { id, field }) => {
                        add(id, field.as_ref().map(|field| field.data_type()));
                    }
                    Expr::Cast(Cast { expr, field }) => {
                        if let Expr::Placeholder(Placeholder { id, field: None }) = expr.as_ref() {
                            add(id, Some(field.data_type()));
                        }
                    }
                    // `$1::oid[]`
                    Expr::ScalarFunction(call) if call.func.name() == "limnos_oids" => {
                        if let [Expr::Placeholder(Placeholder { id, field: None })] = call.args.as_slice() {
                            add(id, Some(&oid_array()));
                        }
                    }
                    // `x = ANY($1)` is planned as this function: the array holds what x is.
                    Expr::ScalarFunction(call) if call.func.name() == "array_has" => {
                        if let [Expr::Placeholder(Placeholder { id, field: None }), needle] = call.args.as_slice()
                            && let Some(item) = input_schemas(node).find_map(|schema| needle.get_type(schema).ok())
                        {
                            add(id, Some(&DataType::new_list(item, true)));
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}

/// The type of `oid[]`, whose elements say that they are OIDs: drivers that ask for the array's type otherwise would ask with
/// a parameter of that type.
fn oid_array() -> DataType {
    let label = HashMap::from([(PG_TYPE_METADATA.to_owned(), "oid".to_owned())]);
    DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true).with_metadata(label)))
}

/// The schemas that the expressions of `node` may refer to.
fn input_schemas(node: &LogicalPlan) -> impl Iterator<Item = &DFSchema> {
    let own = matches!(node, LogicalPlan::TableScan(_)).then(|| node.schema().as_ref());
    node.inputs().into_iter().map(|input| input.schema().as_ref()).chain(own)
}

/// The protocol counts parameters in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

/// Puts values in place of the parameters.
pub(crate) fn bind(plan: LogicalPlan, parameters: &[arrow::array::ArrayRef]) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    let values = parameters
        .iter()
        .map(|array| Ok(ScalarValue::try_from_array(array, 0)?.into()))
        .collect::<datafusion::error::Result<Vec<_>>>()?;
    Ok(plan.replace_params_with_values(&ParamValues::List(values))?)
}

/// A table over the files that `path` names: one file, a folder, or a pattern with `*` and `?`.
pub(crate) async fn file_table(
    context: &PlanContext,
    path: &str,
    hidden: HiddenColumns,
) -> Result<Arc<dyn TableProvider>> {
    let found =
        crate::crawl::path_table(&context.shared.scan.stores, &context.snapshot, path, &context.session.user).await?;
    let scan = Arc::clone(&context.shared.scan);
    let provider = CatalogTable::new(
        Arc::clone(&context.snapshot),
        Arc::new(found.table),
        Partitions::Catalog(Arc::new(found.partitions)),
        scan,
        Arc::clone(&context.run),
    )?;
    Ok(Arc::new(provider.with_hidden(hidden)?.with_files(found.files)))
}
