//! `csv`: TPC-H's 22 queries over its tables as CSV, with headers, values quoted where they must be.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Result, bail};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, SchemaRef};
use limnos_tests::paths;

use super::{Query, Suite, data, tpch};
use crate::engines::{Format, Table};

/// The suite, its data made.
pub(crate) fn suite(options: &tpch::Options) -> Result<Suite> {
    let name = format!("tpch-csv-{}", options.scale);
    let mut tables = Vec::new();
    let folder = data::folder(&options.common.data_folder()?, &name, |folder| {
        tpch::each_table(options.scale, &mut |name, rows| {
            fs::create_dir_all(folder.join(name))?;
            let file = BufWriter::new(File::create(folder.join(name).join("part-0.csv"))?);
            let mut writer = WriterBuilder::new().with_header(true).build(file);
            for batch in rows {
                writer.write(&batch)?;
            }
            Ok(())
        })
    })?;
    tpch::each_table(options.scale, &mut |name, rows| {
        tables.push(table(&folder, name, rows.schema())?);
        Ok(())
    })?;
    Ok(Suite {
        name: "csv".to_owned(),
        title: format!("TPC-H {} from CSV", options.scale),
        folder: folder.display().to_string(),
        tables,
        queries: Query::of_folder(&paths::sql().join("tpch"))?,
        in_memory: false,
        s3: None,
    })
}

fn table(folder: &Path, name: &str, schema: &SchemaRef) -> Result<Table> {
    let columns = schema.fields().iter().map(|field| {
        let kind = match field.data_type() {
            DataType::Int64 => "bigint".to_owned(),
            DataType::Int32 => "int".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "string".to_owned(),
            other => bail!("no column of TPC-H is {other}"),
        };
        Ok((field.name().clone(), kind))
    });
    Ok(Table {
        name: name.to_owned(),
        files: folder.join(name).join("*.csv").display().to_string(),
        format: Format::Csv,
        columns: columns.collect::<Result<_>>()?,
    })
}
