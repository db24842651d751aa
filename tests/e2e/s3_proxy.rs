//! What a network and a bad proxy do to answers, byte by byte, for each format: the right answer or a clear error within a
//! minute, and never another count.

use std::time::{Duration, Instant};

use limnos_engine::scan::store::BlockCacheOptions;
use limnos_tests::proxy::{FaultProxy, Spoil};
use limnos_tests::s3::S3Server;
use limnos_tests::server::TestServer;
use limnos_tests::{client, lake};
use tempfile::TempDir;
use tokio_postgres::Client;

const ROWS: i64 = 20_000;
const RIGHT: &str = "199990000";
const TABLES: [&str; 3] = ["p", "c", "j"];

struct Lake {
    s3: S3Server,
    proxy: FaultProxy,
    server: TestServer,
    client: Client,
    _data_dir: TempDir,
}

impl Lake {
    /// A table of each format behind a proxy, read with a block cache or without.
    async fn start(with_cache: bool) -> Self {
        let s3 = S3Server::start("lake").await.unwrap();
        let root = s3.root().join("lake");
        lake::write_parquet(&root.join("p/a.parquet"), &[lake::plain_rows(0, ROWS).unwrap()], 5000).unwrap();
        let csv: String = (0..ROWS).map(|id| format!("{id},row {id}\n")).collect();
        let json: String = (0..ROWS).map(|id| format!("{{\"id\":{id},\"name\":\"row {id}\"}}\n")).collect();
        for (folder, file, text) in [("c", "a.csv", csv), ("j", "a.json", json)] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join(file), text).unwrap();
        }
        let proxy = FaultProxy::start(s3.endpoint()).await.unwrap();
        let data_dir = tempfile::tempdir().unwrap();
        let mut options = s3.options();
        options.insert("endpoint".to_owned(), proxy.endpoint().to_owned());
        let block_cache = BlockCacheOptions {
            folder: data_dir.path().join("blocks"),
            disk_bytes: Some(if with_cache { 64 << 20 } else { 0 }),
            memory_bytes: 1 << 20,
        };
        let server = TestServer::start_in(data_dir.path(), &[], move |serve| {
            serve.engine.stores.roots.push("s3://lake/".to_owned());
            serve.engine.stores.s3 = options;
            serve.engine.stores.block_cache = Some(block_cache);
        });
        let server = server.await.unwrap();
        let client = server.client().await.unwrap();
        let sql = "CREATE EXTERNAL TABLE p (id bigint, name string) STORED AS PARQUET LOCATION 's3://lake/p/';
             CREATE EXTERNAL TABLE c (id bigint, name string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
               LOCATION 's3://lake/c/';
             CREATE EXTERNAL TABLE j (id bigint, name string) STORED AS JSON LOCATION 's3://lake/j/'";
        client::rows(&client, sql).await.unwrap();
        Self { s3, proxy, server, client, _data_dir: data_dir }
    }

    /// The sum of all ids, nothing of which is remembered.
    async fn sum(&self, table: &str) -> Result<Option<String>, tokio_postgres::Error> {
        self.client.simple_query("ALTER SYSTEM DROP CACHE ALL").await?;
        let messages = self.client.simple_query(&format!("SELECT sum(id) FROM {table}")).await?;
        Ok(messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spoilt_answers_are_asked_for_again() {
    for with_cache in [false, true] {
        let lake = Lake::start(with_cache).await;
        for table in TABLES {
            for listings in [false, true] {
                for spoil in [
                    Spoil::NoAnswer,
                    Spoil::CutHead,
                    Spoil::CutBody,
                    Spoil::Slow,
                    Spoil::Status(503, "SlowDown"),
                    Spoil::Status(500, "InternalError"),
                    Spoil::Status(429, "TooManyRequests"),
                ] {
                    lake.proxy.spoil(spoil, listings, 2);
                    let sum = lake.sum(table).await;
                    assert!(lake.proxy.heal() > 0, "{table} {spoil:?}: nothing was spoilt");
                    assert_eq!(sum.unwrap().as_deref(), Some(RIGHT), "{table} {spoil:?} {listings} {with_cache}");
                }
            }
        }
        lake.server.shutdown().await;
    }
}

/// What stays broken is an error that names what could not be read.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_stay_spoilt_are_never_taken_for_right() {
    for with_cache in [false, true] {
        let lake = Lake::start(with_cache).await;
        for table in TABLES {
            for (listings, spoil) in [
                (false, Spoil::CutBody),
                (false, Spoil::ShortBody),
                (false, Spoil::CorruptHead),
                (false, Spoil::LengthTooLong),
                (false, Spoil::LengthTooShort),
                (false, Spoil::LoginPage),
                (false, Spoil::Status(503, "SlowDown")),
                (false, Spoil::Redirect),
                (true, Spoil::CutBody),
                (true, Spoil::CorruptHead),
                (true, Spoil::LoginPage),
                (true, Spoil::CutXml),
                (true, Spoil::Status(500, "InternalError")),
                (true, Spoil::Redirect),
            ] {
                let began = Instant::now();
                lake.proxy.spoil(spoil, listings, usize::MAX);
                let sum = lake.sum(table).await;
                assert!(lake.proxy.heal() > 0, "{table} {spoil:?}: nothing was spoilt");
                let what = format!("{table} {spoil:?} {listings} {with_cache}");
                match sum {
                    Ok(sum) => assert_eq!(sum.as_deref(), Some(RIGHT), "{what}"),
                    Err(error) => {
                        let error = error.as_db_error().unwrap_or_else(|| panic!("{what}: {error}"));
                        let code = error.code().code();
                        assert!(["58030", "55000", "XX001"].contains(&code), "{what}: {error:?}");
                        assert!(error.message().contains(&format!("s3://lake/{table}")), "{what}: {error:?}");
                    }
                }
                assert!(began.elapsed() < Duration::from_secs(60), "{what}: {:?}", began.elapsed());
                assert_eq!(lake.sum(table).await.unwrap().as_deref(), Some(RIGHT), "after {what}");
            }
        }
        lake.server.shutdown().await;
    }
}

/// Keys that have expired are told, and not the token that S3 repeats in its answer.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_keep_the_token() {
    let lake = Lake::start(false).await;
    for table in TABLES {
        for listings in [false, true] {
            for (status, code) in [(400, "ExpiredToken"), (403, "AccessDenied"), (403, "SignatureDoesNotMatch")] {
                lake.proxy.spoil(Spoil::Status(status, code), listings, usize::MAX);
                let error = lake.sum(table).await.unwrap_err();
                lake.proxy.heal();
                client::check_error(&error, "42501", &format!("s3://lake/{table}")).unwrap();
                let shown = format!("{error:?}");
                assert!(shown.contains(code) && !shown.contains("CANARY"), "{shown}");
                assert!(!shown.contains(limnos_tests::s3::SECRET_KEY), "{shown}");
            }
        }
    }
    assert!(lake.s3.counts().total() > 0);
    lake.server.shutdown().await;
}

/// What stalls is given up, or asked for again, within a minute: all formats at once, for they wait.
#[tokio::test(flavor = "multi_thread")]
async fn stalls_end() {
    let lakes = futures::future::join_all((0..4).map(|_| Lake::start(false))).await;
    let cases = [
        (Spoil::Stall, false, 1),
        (Spoil::StallHead, false, 1),
        (Spoil::StallHead, true, 1),
        (Spoil::Stall, false, usize::MAX),
    ];
    let began = Instant::now();
    let runs = lakes.iter().zip(cases).map(|(lake, (spoil, listings, count))| async move {
        lake.proxy.spoil(spoil, listings, count);
        let sum = lake.sum("p").await;
        assert!(lake.proxy.heal() > 0);
        match sum {
            Ok(sum) => assert_eq!(sum.as_deref(), Some(RIGHT), "{spoil:?}"),
            Err(error) => {
                assert_eq!(count, usize::MAX, "{spoil:?}: {error:?}");
                client::check_error(&error, "58030", "s3://lake/p").unwrap();
            }
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{spoil:?} {listings}: {:?}", began.elapsed());
    });
    futures::future::join_all(runs).await;
    for lake in lakes {
        lake.server.shutdown().await;
    }
}
