//! Any file in any pieces gives the rows, or the error, that the whole file gives.

use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use limnos_catalog::{Column, DataType};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use proptest::prelude::*;

use super::super::tests::table;
use super::*;
use crate::scan::format::text_source;
use crate::scan::schema;

/// The rows of a local file of `bytes` in pieces that begin behind `targets`, one after the other.
async fn rows(definition: &TableDefinition, bytes: &[u8], targets: &[u64]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let path = Path::from("f");
    store.put(&path, bytes.to_vec().into()).await.unwrap();
    let object = store.head(&path).await.unwrap();
    let url = ObjectStoreUrl::parse("mem://x").unwrap();
    let runtime = Arc::new(RuntimeEnvBuilder::new().build().unwrap());
    runtime.register_object_store(url.as_ref(), store);
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new().with_batch_size(3), runtime);
    let (file_schema, _) = schema::table_schema(definition);
    let source = text_source(definition, file_schema.into())?;
    let pieces = split_at(&PartitionedFile::from(object), targets.to_vec());
    let config = FileScanConfigBuilder::new(url, source).with_file_group(FileGroup::new(pieces)).build();
    match collect(DataSourceExec::from_data_source(config), ctx.task_ctx()).await {
        Ok(batches) => {
            let mut rows = Vec::new();
            for batch in &batches {
                let mut text = Vec::new();
                arrow::json::LineDelimitedWriter::new(&mut text).write(batch).unwrap();
                rows.extend(String::from_utf8(text).unwrap().lines().map(str::to_owned));
            }
            Ok(rows)
        }
        Err(error) => Err(error.into()),
    }
}

fn definitions() -> Vec<TableDefinition> {
    let text = || vec![Column::new("a", DataType::String), Column::new("b", DataType::String)];
    let one = || vec![Column::new("a", DataType::String)];
    let csv = |properties: &[(&str, &str)]| table(FileFormat::Csv, text(), properties);
    vec![
        csv(&[("field.delim", ",")]),
        csv(&[("field.delim", ","), ("skip.header.line.count", "2")]),
        csv(&[("field.delim", ","), ("quoteChar", "\""), ("limnos.on_error", "null")]),
        csv(&[("field.delim", ","), ("quoteChar", "\""), ("escapeChar", "\\"), ("limnos.on_error", "null")]),
        table(FileFormat::Csv, one(), &[("field.delim", ","), ("quoteChar", "\""), ("limnos.on_error", "null")]),
        table(FileFormat::Json, text(), &[]),
        table(FileFormat::Regex, text(), &[("input.regex", "([^ ]*) ?(.*)"), ("skip.header.line.count", "1")]),
    ]
}

async fn compare(definition: &TableDefinition, bytes: &[u8], targets: &[u64]) {
    let whole = rows(definition, bytes, &[]).await;
    let pieces = rows(definition, bytes, targets).await;
    let describe = |error: Error| format!("{}: {:?}", error.message, error.detail);
    let (whole, pieces) = (whole.map_err(describe), pieces.map_err(describe));
    assert_eq!(whole, pieces, "{:?} at {targets:?}", String::from_utf8_lossy(bytes));
}

#[tokio::test]
async fn a_quoted_newline_breaks_no_row_wherever_a_piece_begins() {
    let definition = &definitions()[3];
    let text = "a,\"x\ny\"\r\nb,\"\"\"\n\"\n\\\",c\n\"d\\\"\n\",e\nf,g\n".repeat(3);
    for target in 1..text.len() as u64 {
        compare(definition, text.as_bytes(), &[target]).await;
    }
    let each: Vec<u64> = (1..text.len() as u64).collect();
    compare(definition, text.as_bytes(), &each).await;
}

/// An error names the line that it is on in the file.
#[tokio::test]
async fn lines_are_counted_from_the_files_start() {
    let numbers = table(FileFormat::Csv, vec![Column::new("n", DataType::Int)], &[("quoteChar", "\"")]);
    let text = format!("{}x\n", "1\n".repeat(99));
    let error = rows(&numbers, text.as_bytes(), &[40, 150, 190]).await.unwrap_err();
    assert!(error.detail.as_ref().unwrap().contains("line 100"), "{error:?}");
    let json = table(FileFormat::Json, vec![Column::new("n", DataType::Int)], &[]);
    let text = format!("{}{{\"n\":\"x\"}}\n", "{\"n\":1}\n".repeat(49));
    let error = rows(&json, text.as_bytes(), &[100, 200]).await.unwrap_err();
    let detail = error.detail.unwrap();
    assert!(detail.contains("line 50") && detail.contains("record 50"), "{detail}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Files of what matters: quotes, escapes, delimiters, line ends, brackets, among a little text.
    #[test]
    fn any_file_in_any_pieces_has_the_same_rows(
        which in 0..7_usize,
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "\"", "\\", ",", "\n", "\r\n", "\r", "a", "bc ", "{\"a\":1}", "{\"a\":\"x\n\",\"b\":2}", "{", "}", "[", "]",
                "\u{feff}", "ä", "\"q\nr\"", "\n\n", "12",
            ]),
            0..60,
        ),
        mut targets in prop::collection::vec(1..200_u64, 1..6),
    ) {
        targets.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(&definitions()[which], parts.concat().as_bytes(), &targets));
    }
}
