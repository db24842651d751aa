//! `introspection`: what tools ask of `information_schema` and `pg_catalog`, over catalogs of so many tables with 50 columns
//! each; how long each question takes the first time, again, and after a change to one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use limnos_catalog::{
    Catalog, Change, Column, CreateMode, DataType, FileFormat, Location, StorageDescriptor, TableDefinition, TableKind,
    TableName,
};

use crate::in_process::{engine, millis, run};

const COLUMN_COUNT: usize = 50;

/// What is asked, and what it is called.
const QUESTIONS: [(&str, &str); 6] = [
    ("count tables", "SELECT count(*) FROM information_schema.tables"),
    (
        "all columns",
        "SELECT table_schema, table_name, column_name, ordinal_position, data_type FROM information_schema.columns",
    ),
    (
        "one table",
        "SELECT column_name, data_type FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name = 'table_7'",
    ),
    ("all of pg_attribute", "SELECT attrelid, attname, atttypid, attnum FROM pg_attribute"),
    ("pg_class", "SELECT oid, relname, relkind FROM pg_class"),
    (
        "join of three",
        "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND a.attnum > 0",
    ),
];

/// Prints the times over catalogs of `counts` tables.
pub(crate) async fn introspection(counts: &[usize]) -> Result<()> {
    println!(
        "{:>8} {:>22} {:>10} {:>10} {:>14} {:>9}",
        "tables", "question", "first ms", "again ms", "after a change", "rows"
    );
    for &count in counts {
        let folder = tempfile::tempdir()?;
        let lake = folder.path().canonicalize()?.join("lake");
        std::fs::create_dir_all(&lake)?;
        let location = Location::File(folder.path().join("catalog.sqlite"));
        let catalog = Catalog::open_at(&location)?;
        let create = |name: String| Change::CreateTable {
            name: TableName::new("default", &name),
            definition: definition(&lake.display().to_string()),
            mode: CreateMode::OrReplace,
        };
        catalog.commit((0..count).map(|index| create(format!("table_{index}"))).collect())?;
        drop(catalog);
        let (engine, catalog) = engine(folder.path(), &location, &lake)?;
        for (name, sql) in QUESTIONS {
            let first = Box::pin(run(&engine, sql)).await?;
            let again = Box::pin(run(&engine, sql)).await?;
            commit(&catalog, create("table_0".to_owned())).await?;
            let after = Box::pin(run(&engine, sql)).await?;
            println!(
                "{count:>8} {name:>22} {:>10.1} {:>10.1} {:>14.1} {:>9}",
                millis(first.elapsed),
                millis(again.elapsed),
                millis(after.elapsed),
                again.rows
            );
        }
    }
    Ok(())
}

async fn commit(catalog: &Arc<Catalog>, change: Change) -> Result<()> {
    let catalog = Arc::clone(catalog);
    tokio::task::spawn_blocking(move || catalog.commit(vec![change])).await??;
    Ok(())
}

fn definition(lake: &str) -> TableDefinition {
    let types = [DataType::BigInt, DataType::String, DataType::Double, DataType::Timestamp, DataType::Decimal(10, 2)];
    let column = |index: usize| Column::new(format!("column_{index}"), types[index % types.len()].clone());
    TableDefinition {
        kind: TableKind::External(StorageDescriptor {
            location: format!("file://{lake}/"),
            format: FileFormat::Parquet,
            serde: None,
            properties: BTreeMap::new(),
        }),
        columns: (0..COLUMN_COUNT).map(column).collect(),
        partition_keys: Vec::new(),
        parameters: BTreeMap::new(),
        comment: None,
        owner: "bench".to_owned(),
    }
}
