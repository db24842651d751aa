//! DELETE and TRUNCATE: partitions, and the files in them, that a table has no more.
//!
//! One commit hides all files, in the exact versions that were listed; the store deletes them when nobody reads them any
//! more. A statement that runs meanwhile has the old rows, and two that take the same away don't both succeed.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use futures::StreamExt;
use limnos_catalog::{Change, Partition, RemovedFile, Snapshot, WriteTarget};

use super::chosen::Chosen;
use super::open::OpenWrite;
use crate::execute::{CpuRuntime, run_plan, stoppable};
use crate::parse::PartitionRows;
use crate::plan::lake::PlanContext;
use crate::prune::Partitions;
use crate::scan::facts::file_version;
use crate::{CommandTag, Error, Notice, Result, Session};

/// Carries out DELETE, and with `keeps_partitions` TRUNCATE.
///
/// In a block DELETE keeps the partitions, too, without files: rows that others write into them until COMMIT are not deleted,
/// and would not be found.
///
/// # Errors
/// Conditions on columns that are no keys; a table that was changed meanwhile (40001).
pub(crate) async fn remove(
    cpu: &CpuRuntime,
    context: PlanContext,
    session: &mut Session,
    rows: &PartitionRows,
    keeps_partitions: bool,
) -> Result<(CommandTag, Vec<Notice>)> {
    let word = if keeps_partitions { "TRUNCATE" } else { "DELETE" };
    let (run, snapshot) = (Arc::clone(&context.run), Arc::clone(&context.snapshot));
    let own = rows.clone();
    let chosen = cpu.plan(&run.cancel, async move { Chosen::find(context, &own, word).await }).await?;
    let row_count = if keeps_partitions || chosen.is_nothing { 0 } else { count_rows(cpu, &chosen).await? };
    let tag = if keeps_partitions { "TRUNCATE TABLE".to_owned() } else { format!("DELETE {row_count}") };
    let tag = CommandTag::Plain(tag);
    if chosen.is_nothing {
        return Ok((tag, run.notices()));
    }
    let files = chosen.files(&snapshot, &chosen.kept).await?;
    let in_block = session.block.is_some();
    let drops_partitions = !keeps_partitions
        && !in_block
        && matches!(chosen.partitions, Partitions::Catalog(_))
        && !chosen.table.partition_keys.is_empty()
        && !chosen.kept.kept.is_empty();
    if files.is_empty() && !drops_partitions {
        return Ok((tag, run.notices()));
    }
    let removed: Vec<RemovedFile> =
        files.iter().map(|file| RemovedFile::from(file_version(&chosen.location.store_url, &file.meta))).collect();
    let table = &chosen.table;
    let mut write = OpenWrite::begin(&chosen.shared.catalog, &table.name.to_string(), Vec::new()).await?;
    let mut changes = Vec::new();
    if drops_partitions {
        let values = chosen.kept.kept.iter().map(|&partition| values(&chosen, partition)).collect();
        changes.push(Change::DropPartitions { table: table.name.clone(), values, if_exists: true });
    }
    let target = WriteTarget {
        name: table.name.clone(),
        id: table.id,
        version: table.version,
        data_version: Some(table.data_version),
        removed,
    };
    changes.push(Change::CommitWrite { write: write.id(), target: Some(target), bookmark: None });
    if in_block {
        session.change(&chosen.shared.catalog, changes, Some(write)).await?;
        return Ok((tag, run.notices()));
    }
    let after = match write.commit(changes).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            write.abort().await;
            return Err(match error {
                limnos_catalog::Error::Conflict { .. } => super::run::changed(&table.name),
                error => error.into(),
            });
        }
    };
    if drops_partitions {
        add_again(&chosen, &after).await?;
    }
    chosen.shared.sweeper.wake();
    Ok((tag, run.notices()))
}

/// How many rows there are: by what is known of the files, else by reading what must be read.
async fn count_rows(cpu: &CpuRuntime, chosen: &Chosen) -> Result<i64> {
    let state = &chosen.state;
    let plan = LogicalPlanBuilder::from(chosen.plan.clone())
        .aggregate(Vec::<datafusion::logical_expr::Expr>::new(), vec![count(lit(1_i64))])?
        .build()?;
    let plan = state.optimize(&plan)?;
    let physical = state.query_planner().create_physical_plan(&plan, state).await?;
    let physical = stoppable(physical, &chosen.run.cancel)?;
    let mut batches = run_plan(cpu, &chosen.run, physical, crate::plan::options::task(state));
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let counts = batch.column(0).as_primitive_opt::<Int64Type>();
        let counts = counts.ok_or_else(|| Error::internal("a count that is no bigint"))?;
        rows += counts.iter().flatten().sum::<i64>();
    }
    Ok(rows)
}

fn values(chosen: &Chosen, partition: usize) -> Vec<Option<String>> {
    let list = &chosen.kept.index.list;
    list.values.iter().map(|values| values[partition].as_deref().map(str::to_owned)).collect()
}

/// Rows that were written into a partition between the listing and the commit are not deleted: then the partition stays.
async fn add_again(chosen: &Chosen, after: &Arc<Snapshot>) -> Result<()> {
    let files = chosen.files(after, &chosen.kept).await?;
    let mut numbers: Vec<usize> = files.iter().filter_map(|file| file.partition).collect();
    numbers.dedup();
    if numbers.is_empty() {
        return Ok(());
    }
    let list = &chosen.kept.index.list;
    let partitions = numbers
        .into_iter()
        .map(|partition| Partition {
            values: values(chosen, partition),
            location: list.locations[partition].as_deref().map(str::to_owned),
            storage: list.storages.get(&partition).map(|storage| (**storage).clone()),
        })
        .collect();
    let change = Change::AddPartitions { table: chosen.table.name.clone(), partitions, if_not_exists: true };
    let catalog = Arc::clone(&chosen.shared.catalog);
    let committed = tokio::task::spawn_blocking(move || catalog.commit(vec![change])).await;
    committed.map_err(|error| Error::internal(format!("commit stopped: {error}")))??;
    Ok(())
}
