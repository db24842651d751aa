//! UNLOAD: the rows of a query -> files in a folder that has none, for others to read.
//!
//! It is a write that the catalog knows, as INSERT is, but of no table: its files are known as half-written until all are
//! there, and are deleted when it fails, is cancelled, or its process dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use limnos_catalog::{Change, CreateMode, FileFormat};
use object_store::{ObjectStoreExt, PutPayload};

use super::definition;
use super::execute::physical_plan;
use super::file::write_error;
use super::open::OpenWrite;
use super::rows::{WrittenPartition, write_rows};
use super::run::ReadyWrite;
use crate::execute::{BatchStream, CpuRuntime, run_plan};
use crate::parse::{CreateTable, CreateTableAs, ObjectName, TableProperty, Unload};
use crate::plan::lake::PlanContext;
use crate::scan::store::Location;
use crate::{CommandTag, Error, ErrorCode, Notice, Result};

/// The list of the files, written last where it is asked for. Tables over the folder don't read names like this.
const MANIFEST: &str = "_manifest.json";

/// Carries out UNLOAD.
///
/// # Errors
/// Whatever keeps the rows from being written; then none of the files stays.
pub(crate) async fn unload(
    cpu: &CpuRuntime,
    context: PlanContext,
    unload: &Unload,
) -> Result<(CommandTag, Vec<Notice>)> {
    let run = Arc::clone(&context.run);
    let (create, with_manifest) = as_table(unload)?;
    let (ready, physical) = Box::pin(cpu.plan(&run.cancel, plan(context, create))).await?;
    let batches = run_plan(cpu, &run, physical, Arc::clone(&ready.task));
    // Who drops this future stops the write, which then takes back what it has written.
    let row_count = cpu.run(write(ready, batches, with_manifest)).await?;
    Ok((CommandTag::Plain(format!("UNLOAD {row_count}")), run.notices()))
}

/// The table that would be made with the same properties.
fn as_table(unload: &Unload) -> Result<(CreateTableAs, bool)> {
    let mut properties = unload.properties.clone();
    let mut with_manifest = false;
    if let Some(index) = properties.iter().position(|(name, _)| name == "manifest") {
        let (_, value) = properties.remove(index);
        with_manifest = match value.values.first().map(|value| value.to_lowercase()).as_deref() {
            Some("true" | "on") => true,
            Some("false" | "off") => false,
            _ => {
                return Err(Error::new(
                    ErrorCode::InvalidParameterValue,
                    "property \"manifest\" must be true or false",
                )
                .at(value.position));
            }
        };
    }
    let mut add = |name: &str, value: &str| {
        let property = TableProperty { values: vec![value.to_owned()], is_list: false, position: 1 };
        properties.push((name.to_owned(), property));
    };
    if let Some((name, property)) =
        unload.properties.iter().find(|(name, _)| matches!(name.as_str(), "external_location" | "location"))
    {
        return Err(Error::syntax(format!("property \"{name}\" is not for UNLOAD, which names its location after TO"))
            .at(property.position));
    }
    add("external_location", &unload.location);
    let value = |wanted: &str| {
        let found = unload.properties.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, property)| property.values.first()).map(|value| value.to_uppercase())
    };
    // As Athena does: text is compressed unless something else is said.
    let is_text = value("format").is_some_and(|format| matches!(format.as_str(), "TEXTFILE" | "CSV" | "TSV" | "JSON"));
    if is_text && value("compression").is_none() && value("write_compression").is_none() {
        add("compression", "gzip");
    }
    let table = CreateTable {
        name: ObjectName { database: None, name: "unload".to_owned() },
        mode: CreateMode::Create,
        columns: Vec::new(),
        partition_keys: Vec::new(),
        comment: None,
        location: None,
        format: FileFormat::Parquet,
        serde: None,
        serde_properties: BTreeMap::new(),
        parameters: BTreeMap::new(),
    };
    let query = Some(unload.query.clone());
    Ok((
        CreateTableAs { table, names: Vec::new(), properties, query, with_data: true, is_constrained: false },
        with_manifest,
    ))
}

async fn plan(context: PlanContext, create: CreateTableAs) -> Result<(ReadyWrite, Arc<dyn ExecutionPlan>)> {
    let planned = definition::plan_create(context.clone(), &create).await?;
    let physical = physical_plan(&planned, &[], &context.run).await?;
    if let Some(limit) = context.run.scan_limit() {
        limit.check(&physical, &context.run).await?;
    }
    let (shared, run) = (Arc::clone(&context.shared), Arc::clone(&context.run));
    let ready = ReadyWrite::new(shared, run, planned, &physical, None, &context.snapshot).await?;
    Ok((ready, physical))
}

async fn write(ready: ReadyWrite, batches: BatchStream, with_manifest: bool) -> Result<u64> {
    let location = Arc::clone(&ready.target.location);
    let mut write = OpenWrite::begin(&ready.shared.catalog, "UNLOAD", vec![location.url.clone()]).await?;
    let written = tokio::select! {
        biased;
        () = ready.run.cancel.cancelled() => Err(crate::execute::canceled()),
        written = write_rows(&ready.target, &mut write, batches, &ready.task) => written,
    };
    let (partitions, row_count) = match written {
        Ok(written) => written,
        Err(error) => {
            write.abort().await;
            return Err(error);
        }
    };
    if with_manifest && let Err(error) = write_manifest(&location, &partitions, row_count).await {
        write.abort().await;
        return Err(error);
    }
    let end = Change::CommitWrite { write: write.id(), target: None, bookmark: None };
    if let Err(error) = write.commit(vec![end]).await {
        if with_manifest {
            // Nobody is to find a list of files that go.
            let _ = location.store.delete(&manifest_path(&location)).await;
        }
        write.abort().await;
        return Err(error.into());
    }
    Ok(row_count)
}

fn manifest_path(location: &Location) -> object_store::path::Path {
    location.path.clone().join(MANIFEST)
}

/// `{"row_count": n, "entries": [{"url": ..., "content_length": n, "record_count": n}]}`, as Redshift's UNLOAD names things.
async fn write_manifest(location: &Location, partitions: &[WrittenPartition], row_count: u64) -> Result<()> {
    let files = partitions.iter().flat_map(|partition| &partition.files);
    let entries: Vec<serde_json::Value> = files
        .map(|file| {
            serde_json::json!({
                "url": location.url_of(&file.meta.location),
                "content_length": file.meta.size,
                "record_count": file.row_count,
            })
        })
        .collect();
    let text = serde_json::json!({ "row_count": row_count, "entries": entries }).to_string();
    let path = manifest_path(location);
    location.store.put(&path, PutPayload::from(text)).await.map_err(|error| write_error(&path, &error))?;
    Ok(())
}
