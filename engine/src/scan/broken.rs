//! Broken files of every format, through the whole engine: each is an answer as long as the whole file's, or an error that names
//! the file. None is a panic, an abort, an endless loop or a shorter table.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use limnos_catalog::Catalog;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::clock::SystemClock;
use crate::engine::{Engine, EngineConfig};
use crate::execute::QueryContext;
use crate::scan::format::{avro, orc};
use crate::scan::store::StoreOptions;
use crate::{Error, ErrorCode, Result, Session};

const ROWS: usize = 300;

/// An engine over a folder.
pub(super) struct Lake {
    engine: Arc<Engine>,
    session: Session,
    pub(super) folder: tempfile::TempDir,
}

impl Lake {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            stores: StoreOptions { roots: vec![folder.path().display().to_string()], ..StoreOptions::default() },
            memory_limit_bytes: 256 << 20,
            spill_dir: folder.path().join("spill"),
            spill_limit_bytes: 1 << 20,
            threads: 1,
            footer_cache_bytes: 1 << 20,
            partition_cache_bytes: 1 << 20,
            listing_cache_bytes: 1 << 20,
            dataset_memory_bytes: 1 << 20,
            dataset_dir: None,
            result_cache_bytes: 0,
            warehouse: None,
            scan_limit_bytes: None,
        };
        let engine = Engine::new(Catalog::open_in_memory().unwrap(), config, Arc::new(SystemClock)).unwrap();
        Self { engine, session: Session::new("ada", "default"), folder }
    }

    /// The answer to a statement, `$L` in which is the folder.
    pub(super) async fn sql(&mut self, sql: &str) -> Result<Vec<RecordBatch>> {
        let sql = sql.replace("$L", self.folder.path().to_str().unwrap());
        let statement = self.engine.parse(&sql, self.session.settings.dialect()).await?.remove(0);
        let prepared = Box::pin(self.engine.prepare(&self.session, Arc::new(statement), &[])).await?;
        let context = QueryContext::detached("test");
        let outcome = Box::pin(self.engine.execute(&mut self.session, &prepared, &[], context)).await?;
        outcome.stream.try_collect().await
    }

    /// How many rows `SELECT *` gives when the table's file is `bytes`.
    async fn read(&mut self, path: &Path, bytes: &[u8]) -> Result<usize> {
        std::fs::write(path, bytes).unwrap();
        let read = tokio::time::timeout(Duration::from_secs(20), self.sql("SELECT * FROM t")).await;
        let batches = read.expect("it ends")?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }
}

fn rows() -> RecordBatch {
    let ids: ArrayRef = Arc::new((0..ROWS as i64).map(|id| Some(id * id)).collect::<Int64Array>());
    let names: ArrayRef =
        Arc::new((0..ROWS).map(|id| (id % 5 != 0).then(|| format!("name {}", id % 17))).collect::<StringArray>());
    let lists = (0..ROWS).map(|id| Some((0..id as i64 % 4).map(Some).collect::<Vec<_>>()));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true), ("list", lists, true)]).unwrap()
}

fn parquet(compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_write_page_header_statistics(true)
        .set_max_row_group_row_count(Some(100))
        .set_data_page_row_count_limit(50)
        .build();
    let batch = rows();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn arrow() -> Vec<u8> {
    let batch = rows();
    let mut bytes = Vec::new();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// Whether `error` is about the file: its code, and its name in what is told.
fn is_told(error: &Error, file: &str) -> bool {
    let told = format!("{} {}", error.message, error.detail.as_deref().unwrap_or_default());
    told.contains(file)
        && matches!(
            error.code,
            ErrorCode::DataCorrupted
                | ErrorCode::FeatureNotSupported
                | ErrorCode::ProgramLimitExceeded
                | ErrorCode::CharacterNotInRepertoire
                | ErrorCode::NumericValueOutOfRange
                | ErrorCode::DatatypeMismatch
                | ErrorCode::InvalidTextRepresentation
        )
}

/// Reads `good` cut at many places and with bytes flipped, as a table of `columns`.
async fn break_file(stored_as: &str, columns: &str, good: &[u8]) {
    let mut lake = Lake::new();
    let path = lake.folder.path().join("t/f.data");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    lake.sql(&format!("CREATE EXTERNAL TABLE t ({columns}) STORED AS {stored_as} LOCATION '$L/t/'")).await.unwrap();
    let whole = lake.read(&path, good).await.unwrap();
    assert_eq!(whole, ROWS, "{stored_as}");
    let cuts = (1..=80).map(|part| good.len() * part / 81).chain(good.len().saturating_sub(20)..good.len());
    for cut in cuts.filter(|cut| *cut > 0) {
        let error =
            lake.read(&path, &good[..cut]).await.expect_err(&format!("{stored_as} cut at {cut} of {}", good.len()));
        assert!(is_told(&error, "f.data"), "{stored_as} cut at {cut}: {error:?}");
    }
    // Spread over the file, and all of its last bytes, where lengths are.
    let step = (good.len() / 150).max(1);
    let places = (0..good.len()).step_by(step).chain(good.len().saturating_sub(60)..good.len());
    for place in places {
        for flip in [0xff_u8, 0x01] {
            let mut bytes = good.to_vec();
            bytes[place] ^= flip;
            match lake.read(&path, &bytes).await {
                Ok(rows) => assert_eq!(rows, ROWS, "{stored_as} flipped at {place}"),
                Err(error) => assert!(is_told(&error, "f.data"), "{stored_as} flipped at {place}: {error:?}"),
            }
        }
    }
    for bytes in [&b"PAR1PAR1"[..], b"ORC", b"Obj\x01", b"ARROW1\0\0", b"\0", &[0xff; 64]] {
        let error = lake.read(&path, bytes).await.unwrap_err();
        assert!(is_told(&error, "f.data"), "{stored_as} {bytes:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_parquet_files() {
    break_file("PARQUET", "id bigint, name string, list array<bigint>", &parquet(Compression::SNAPPY)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_orc_files() {
    use orc_rust::compression::CompressionType;
    let batch = orc::sample(ROWS);
    let columns = "wide bigint, text string, tiny tinyint, moment timestamp with time zone, flag boolean";
    break_file("ORC", columns, &orc::sample_file(&batch, Some(CompressionType::Zlib))).await;
    break_file("ORC", columns, &orc::sample_file(&batch, None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_avro_files() {
    use arrow_avro::compression::CompressionCodec;
    let columns = "id bigint, name string, count int";
    // The sample is written twice.
    let batch = avro::sample(ROWS as i64 / 2);
    break_file("AVRO", columns, &avro::sample_file(&batch, Some(CompressionCodec::Snappy))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_arrow_files() {
    break_file("ARROW", "id bigint, name string, list array<bigint>", &arrow()).await;
}

/// A flipped byte in a page is seen, for pages have a checksum. Written by another program: ours writes none.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes_in_pages_are_errors() {
    const GOOD: &[u8] = include_bytes!("../../../sql/slt/data/columnar/parquet/none.parquet");
    const SQL: &str = "SELECT id, big, name, tags, at FROM t ORDER BY id";
    let mut lake = Lake::new();
    let path = lake.folder.path().join("t/f.data");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, GOOD).unwrap();
    lake.sql("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '$L/t/'").await.unwrap();
    let shown = |batches: Vec<RecordBatch>| pretty_format_batches(&batches).unwrap().to_string();
    let expected = shown(lake.sql(SQL).await.unwrap());
    let footer_bytes = u32::from_le_bytes(*GOOD[..GOOD.len() - 4].last_chunk().unwrap()) as usize;
    let mut errors = 0;
    for place in 4..GOOD.len() - 8 - footer_bytes {
        let mut bytes = GOOD.to_vec();
        bytes[place] ^= 0x04;
        std::fs::write(&path, &bytes).unwrap();
        match lake.sql(SQL).await {
            Ok(batches) => assert_eq!(shown(batches), expected, "flipped at {place}"),
            Err(error) => {
                assert!(is_told(&error, "f.data"), "flipped at {place}: {error:?}");
                errors += 1;
            }
        }
    }
    assert!(errors > 100, "{errors}");
}
