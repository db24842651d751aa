//! Several servers on one catalog, and what happens when PostgreSQL goes away. Skipped where it isn't installed.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use limnos_test_postgres::PostgresServer;

use super::crawler_tests;
use super::places::Place;
use super::tests::{
    add, alter, create_table, describe, drop_partitions, drop_table, name, partition, partitioned_table, partitions,
};
use crate::{Catalog, Change, CreateMode, Error, Location, Partition, RunState, SniffedFile, TableDefinition};

/// Waits until something is so, and fails if it never is.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn open_url(url: &str) -> Result<Arc<Catalog>, Error> {
    Catalog::open_at(&Location::parse(url).unwrap())
}

#[test]
fn what_one_commits_the_others_see() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (place.open(), place.open());
    let held =
        one.commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])]).unwrap();
    eventually("seen", || other.snapshot().version == held.version);
    assert_eq!(describe(&other), describe(&one));

    let before = other.snapshot();
    other.commit(vec![drop_partitions("default.t", &[&["1"]]), add("default.t", &[&["2"], &["3"]])]).unwrap();
    eventually("seen", || one.snapshot().version == held.version + 1);
    assert_eq!(partitions(&one, &one.snapshot(), "default.t"), "2 3");
    // What wasn't told is found out.
    place.edit("UPDATE meta SET version = version + 1");
    eventually("found out", || one.snapshot().version == held.version + 2);
    eventually("found out", || other.snapshot().version == held.version + 2);
    // A statement keeps what it began with, on both.
    assert_eq!(partitions(&one, &held, "default.t"), "1");
    assert_eq!(partitions(&other, &before, "default.t"), "1");
    // What hasn't changed isn't read again.
    let changed = other.commit(vec![create_table("default.u", partitioned_table(&[]))]).unwrap();
    let definition = Arc::clone(&one.snapshot().table(&name("default.t")).unwrap().definition);
    eventually("seen", || one.snapshot().version == changed.version);
    assert!(Arc::ptr_eq(&definition, &one.snapshot().table(&name("default.t")).unwrap().definition));
    one.commit(vec![drop_table("default.u", false)]).unwrap();
    eventually("seen", || other.snapshot().find_table(&name("default.u")).is_none());
}

#[test]
fn nothing_is_lost_between_servers() {
    const COMMITS: usize = 40;
    let Some(place) = Place::postgres() else { return };
    let servers = [place.open(), place.open(), place.open()];
    servers[0].commit(vec![create_table("default.log", partitioned_table(&["server", "n"]))]).unwrap();
    let conflicts = std::thread::scope(|scope| {
        let threads: Vec<_> = (servers.iter().enumerate())
            .map(|(server, catalog)| {
                scope.spawn(move || {
                    let mut conflicts = 0;
                    for n in 0..COMMITS {
                        let (server, n) = (server.to_string(), n.to_string());
                        let table = format!("default.t{server}_{n}");
                        catalog
                            .commit(vec![
                                create_table(&table, partitioned_table(&[])),
                                add("default.log", &[&[&server, &n]]),
                            ])
                            .unwrap();
                        // Counts up in the comment; nobody's step may be lost.
                        loop {
                            let snapshot = catalog.snapshot();
                            let log = snapshot.table(&name("default.log")).unwrap();
                            let count: u64 = log.comment.as_deref().map_or(0, |comment| comment.parse().unwrap());
                            let definition =
                                TableDefinition { comment: Some((count + 1).to_string()), ..(*log.definition).clone() };
                            let base_version = Some(log.version);
                            match catalog.commit(vec![Change::AlterTable {
                                name: name("default.log"),
                                definition,
                                base_version,
                            }]) {
                                Ok(_) => break,
                                Err(Error::Conflict { .. }) => conflicts += 1,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                    conflicts
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
    });
    assert!(conflicts > 0, "they have met");
    let wanted_version = 2 + 2 * 3 * COMMITS as i64;
    for catalog in &servers {
        eventually("seen", || catalog.snapshot().version == wanted_version);
        let snapshot = catalog.snapshot();
        assert_eq!(snapshot.tables.len(), 3 * COMMITS + 1);
        let log = snapshot.table(&name("default.log")).unwrap();
        assert_eq!(log.comment.as_deref(), Some((3 * COMMITS).to_string().as_str()));
        assert_eq!(partitions(catalog, &snapshot, "default.log").split(' ').count(), 3 * COMMITS);
        let mut ids: Vec<i64> = snapshot.tables.values().map(|table| table.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3 * COMMITS + 1, "no id twice");
    }
    assert_eq!(describe(&servers[0]), describe(&place.open()));
}

#[test]
fn servers_that_start_at_once_make_one_catalog() {
    let Some(place) = Place::postgres() else { return };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| place.open())).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().snapshot().databases.len(), 1);
        }
    });
}

#[test]
fn dropped_partitions_stay_while_any_server_needs_them() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (place.open(), place.open());
    one.commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"], &["2"]])])
        .unwrap();
    eventually("seen", || other.snapshot().version == 2);
    let held = other.snapshot();
    one.commit(vec![drop_partitions("default.t", &[&["1"]])]).unwrap();
    let touch = |n: usize| one.commit(vec![create_table(&format!("default.u{n}"), partitioned_table(&[]))]).unwrap();
    touch(0);
    assert_eq!(place.partition_rows(), 2, "the other holds it");
    assert_eq!(partitions(&other, &held, "default.t"), "1 2");

    // A server that came to its end.
    let dead = place.open();
    drop(dead);
    drop(held);
    // The other says what it holds with its next sign of life.
    let mut n = 0;
    eventually("purged", || {
        n += 1;
        touch(n);
        std::thread::sleep(Duration::from_millis(200));
        place.partition_rows() == 1
    });

    // One that is taken for dead doesn't hold anything up, and is told when what it needs is gone.
    let held = other.snapshot();
    one.commit(vec![drop_partitions("default.t", &[&["2"]])]).unwrap();
    eventually("purged", || {
        // It says again and again that it lives.
        place.edit("UPDATE servers SET seen_at = seen_at - interval '10 minutes'");
        n += 1;
        touch(n);
        place.partition_rows() == 0
    });
    let error = other.partitions(&held, held.table(&name("default.t")).unwrap()).unwrap_err();
    assert!(error.to_string().ends_with("are no longer kept"), "{error}");
    // It registers again when its row was taken away, and holds what it has then.
    place.edit("DELETE FROM servers");
    one.commit(vec![add("default.t", &[&["3"]])]).unwrap();
    eventually("registered again", || count_servers(&place) == 2);
}

#[test]
fn says_so_when_the_store_has_gone_back() {
    let Some(place) = Place::postgres() else { return };
    let catalog = place.open();
    catalog.commit(vec![create_table("default.t", partitioned_table(&[]))]).unwrap();
    place.edit("UPDATE meta SET version = 1; DELETE FROM tables");
    let error = catalog.commit(vec![create_table("default.u", partitioned_table(&[]))]).unwrap_err();
    let wanted = "it has gone back from version 2 to 1, as after a restore from a backup; start the server again";
    assert!(error.to_string().ends_with(wanted), "{error}");
    drop(catalog);
    assert_eq!(place.open().snapshot().tables.len(), 0);
}

fn count_servers(place: &Place) -> i64 {
    let Location::Postgres(url) = Location::parse(place.location()).unwrap() else { panic!("in PostgreSQL") };
    let mut count = 0;
    let mut connection = crate::store::postgres::connect(&url).unwrap();
    let mut on_row = |row: &[crate::store::connection::Value<'_>]| {
        count = row[0].int()?;
        Ok(())
    };
    connection.query("SELECT count(*) FROM servers", &[], &mut on_row).unwrap();
    count
}

/// What opening says, with the URL left out.
fn refusal(url: &str) -> String {
    let error = open_url(url).unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    text.split_once("\" cannot be opened: ").unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

#[test]
fn refuses_schemas_that_it_cannot_keep() {
    let Some(place) = Place::postgres() else { return };
    let Location::Postgres(url) = Location::parse(place.location()).unwrap() else { panic!("in PostgreSQL") };
    let schema = &url.schema;
    place.edit(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.somebody_elses (a int)"));
    assert_eq!(
        refusal(place.location()),
        format!(
            "schema \"{schema}\" is not a Limnos catalog (it has \"somebody_elses\"); name another schema with ?schema="
        )
    );
    place.edit(&format!("DROP TABLE {schema}.somebody_elses; CREATE TABLE {schema}.store (a int)"));
    assert_eq!(
        refusal(place.location()),
        format!(
            "schema \"{schema}\" is not a Limnos catalog (its table \"store\" is another); name another schema with ?schema="
        )
    );
    // An empty one that an administrator has made is fine.
    place.edit(&format!("DROP TABLE {schema}.store"));
    let catalog = place.open();
    place.edit("UPDATE store SET schema_version = 7000");
    let newer = "it was written by a newer version of Limnos (schema version 7000, this one knows";
    assert!(refusal(place.location()).starts_with(newer));
    // A server that was there before doesn't write into what it doesn't know.
    let error = catalog.commit(vec![create_table("default.t", partitioned_table(&[]))]).unwrap_err();
    assert!(error.to_string().contains(newer), "{error}");
    place.edit("DELETE FROM store");
    assert!(refusal(place.location()).starts_with(&format!("schema \"{schema}\" is not a Limnos catalog")));
    drop(catalog);

    let nowhere = refusal("postgres://limnos:hunter2@127.0.0.1:1/x");
    assert!(
        nowhere.contains("out of reach") && nowhere.contains("refused") && !nowhere.contains("hunter2"),
        "{nowhere}"
    );
    // One who takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let told = refusal(&format!("postgres://limnos@{address}/x?connect_timeout=1"));
    assert_eq!(told, "it is out of reach (no connection within 1 seconds)");
    let base = place.location().split('?').next().unwrap();
    let no_database = format!("{}/nowhere", base.rsplit_once('/').unwrap().0);
    assert_eq!(refusal(&no_database), "database \"nowhere\" does not exist, SQLSTATE 3D000");
}

#[test]
fn says_what_postgresql_cannot_keep() {
    let Some(place) = Place::postgres() else { return };
    let catalog = place.open();
    catalog.commit(vec![create_table("default.t", partitioned_table(&["k"]))]).unwrap();
    let add = |partition: Partition| {
        let partitions = vec![partition];
        catalog.commit(vec![Change::AddPartitions { table: name("default.t"), partitions, if_not_exists: false }])
    };
    let error = add(Partition { location: Some("s3://b/\0/".to_owned()), ..partition(&["1"]) }).unwrap_err();
    assert_eq!(error.to_string(), "text \"s3://b/\\0/\" must not hold the character '\\0'");
    // In a value it may be, as everywhere.
    add(partition(&["a\0b"])).unwrap();
    assert_eq!(partitions(&catalog, &catalog.snapshot(), "default.t"), "a\0b");
    // Long, and not to be compressed.
    let mut noise = 1_u32;
    let mut character = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        char::from(b'!' + (noise % 90) as u8)
    };
    let long: String = (0..8000).map(|_| character()).collect();
    let error = add(partition(&[&long])).unwrap_err();
    assert_eq!(error.to_string(), "a name or the values of a partition are too long for a catalog in PostgreSQL");
    assert_eq!(catalog.snapshot().table(&name("default.t")).unwrap().partition_count, 1);
}

#[test]
fn lives_through_lost_connections() {
    let Some(place) = Place::postgres() else { return };
    let catalog = place.open();
    catalog.commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])]).unwrap();
    let schema = place.location().split_once("schema=").unwrap().1;
    // All of the catalog's sessions, which have its schema in their path.
    let cut = || {
        place.edit(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'limnos' \
             AND pid <> pg_backend_pid() AND query LIKE '%{schema}%' OR pid IN (SELECT pid FROM pg_locks \
             JOIN pg_class ON oid = relation WHERE relnamespace = '{schema}'::regnamespace AND pid <> pg_backend_pid())"
        ));
    };
    cut();
    let snapshot = catalog.commit(vec![add("default.t", &[&["2"]])]).unwrap();
    assert_eq!(partitions(&catalog, &snapshot, "default.t"), "1 2");

    // In a transaction: it has failed, and says so; the next one is fine.
    let Location::Postgres(url) = Location::parse(place.location()).unwrap() else { panic!("in PostgreSQL") };
    let mut connection = crate::store::postgres::connect(&url).unwrap();
    for at_commit in [false, true] {
        connection.begin().unwrap();
        connection.execute("UPDATE meta SET next_id = 1000000", &[]).unwrap();
        cut();
        let error =
            if at_commit { connection.commit() } else { connection.execute("DELETE FROM tables", &[]).map(drop) };
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().ends_with("nothing was changed"), "{error}");
        if !at_commit {
            let error = connection.commit().unwrap_err();
            assert!(error.to_string().ends_with("nothing was changed"), "{error}");
        }
        connection.rollback();
    }
    let snapshot = catalog.commit(vec![create_table("default.u", partitioned_table(&[]))]).unwrap();
    assert_eq!(snapshot.table(&name("default.u")).unwrap().id, 3);
}

#[test]
fn finds_out_what_became_of_a_commit() {
    let Some(place) = Place::postgres() else { return };
    drop(place.open());
    let (base, query) = place.location().split_once('?').unwrap();
    let server = base.split_once('@').unwrap().1.split('/').next().unwrap();
    let swallows = Arc::new(AtomicBool::new(false));
    let proxy = start_proxy(server.to_owned(), Arc::clone(&swallows));
    let catalog = open_url(&format!("{}?{query}&sslmode=disable", base.replace(server, &proxy))).unwrap();
    swallows.store(true, Ordering::SeqCst);
    let snapshot = catalog.commit(vec![create_table("default.t", partitioned_table(&[]))]).unwrap();
    assert!(!swallows.load(Ordering::SeqCst), "the answer to a COMMIT was swallowed");
    assert!(snapshot.find_table(&name("default.t")).is_some());
    assert_eq!(describe(&place.open()), describe(&catalog));
}

/// Passes bytes on between clients and `server`; when told to, swallows the answer to the next `COMMIT` and hangs up.
fn start_proxy(server: String, swallows: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(&server) else { continue };
            let is_committing = Arc::new(AtomicBool::new(false));
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
            let (seen, armed) = (Arc::clone(&is_committing), Arc::clone(&swallows));
            std::thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(count @ 1..) = from_client.read(&mut bytes) {
                    if bytes[..count].windows(8).any(|window| window == b"; COMMIT")
                        && armed.swap(false, Ordering::SeqCst)
                    {
                        seen.store(true, Ordering::SeqCst);
                    }
                    if to_server.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = to_server.shutdown(Shutdown::Both);
            });
            let (mut from_server, mut to_client) = (upstream, client);
            std::thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(count @ 1..) = from_server.read(&mut bytes) {
                    if is_committing.load(Ordering::SeqCst) || to_client.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = to_client.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn outlives_a_postgresql_that_is_restarted() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.url();
    let (catalog, other) = (open_url(&url).unwrap(), open_url(&url).unwrap());
    catalog.commit(vec![create_table("default.t", partitioned_table(&["k"])), add("default.t", &[&["1"]])]).unwrap();
    eventually("seen", || other.snapshot().version == 2);
    server.stop();
    // What is known is known.
    assert_eq!(catalog.snapshot().tables.len(), 1);
    let error = catalog.commit(vec![add("default.t", &[&["2"]])]).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(error.hint(), Some("Run the statement again once PostgreSQL is there."));
    let snapshot = other.snapshot();
    let error = other.partitions(&snapshot, snapshot.table(&name("default.t")).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    server.start_again();
    let snapshot =
        catalog.commit(vec![alter(name("default.t"), partitioned_table(&["k"])), add("default.t", &[&["2"]])]).unwrap();
    assert_eq!(partitions(&catalog, &snapshot, "default.t"), "1 2");
    eventually("seen", || other.snapshot().version == snapshot.version);
    assert_eq!(describe(&other), describe(&catalog));
}

#[test]
fn proves_who_the_server_is() {
    let Some(server) = PostgresServer::start() else { return };
    let authority = server.serve_tls();
    let at = |host: &str, query: &str| {
        format!("postgres://{}@{host}:{}/postgres?{query}", limnos_test_postgres::USER, server.port())
    };
    let known = format!("sslrootcert={}", authority.display());
    for query in ["", "sslmode=prefer", "sslmode=require", &format!("sslmode=verify-full&{known}")] {
        let catalog = open_url(&at("localhost", query)).unwrap_or_else(|error| panic!("{query}: {error}"));
        let wanted = i64::from(!query.contains("disable"));
        assert_eq!(encrypted_sessions(&at("localhost", query)), wanted, "{query}");
        drop(catalog);
    }
    assert_eq!(encrypted_sessions(&at("localhost", "sslmode=disable")), 0);
    // By another name; and signed by nobody that the system knows.
    open_url(&at("127.0.0.1", &format!("sslmode=verify-ca&{known}"))).unwrap();
    let refused = refusal(&at("127.0.0.1", &format!("sslmode=verify-full&{known}")));
    assert!(refused.contains("not valid for name"), "{refused}");
    let refused = refusal(&at("localhost", "sslmode=verify-full"));
    assert!(refused.contains("UnknownIssuer") || refused.contains("no certificates"), "{refused}");
    let refused = refusal(&at("localhost", "sslmode=verify-full&sslrootcert=/no/such/file"));
    assert!(refused.contains("sslrootcert \"/no/such/file\" cannot be read"), "{refused}");
}

fn encrypted_sessions(url: &str) -> i64 {
    let Location::Postgres(url) = Location::parse(url).unwrap() else { panic!("in PostgreSQL") };
    let mut connection = crate::store::postgres::connect(&url).unwrap();
    let mut count = 0;
    let mut on_row = |row: &[crate::store::connection::Value<'_>]| {
        count = row[0].int()?;
        Ok(())
    };
    connection
        .query("SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl", &[], &mut on_row)
        .unwrap();
    count
}

#[test]
fn passwords_are_asked_for_and_never_shown() {
    let Some(server) = PostgresServer::start() else { return };
    server.require_password("it's \"s3cret\"");
    let url = format!("postgres://{}@127.0.0.1:{}/postgres", limnos_test_postgres::USER, server.port());
    let with = |password: &str| {
        format!("postgres://{}:{password}@127.0.0.1:{}/postgres", limnos_test_postgres::USER, server.port())
    };
    let catalog = open_url(&with("it%27s%20%22s3cret%22")).unwrap();
    assert!(!format!("{catalog:?} {}", catalog.name()).contains("s3cret"));
    let wrong = refusal(&with("wr0ng"));
    assert!(wrong.contains("password authentication failed") && !wrong.contains("wr0ng"), "{wrong}");
    let none = refusal(&url);
    assert!(none.contains("password"), "{none}");
    let Location::Postgres(mut url) = Location::parse(&url).unwrap() else { panic!("in PostgreSQL") };
    url.find_password(Some("it's \"s3cret\""), None).unwrap();
    Catalog::open_at(&Location::Postgres(url)).unwrap();
}

#[test]
fn crawls_are_shared_and_nobody_ends_those_of_others() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (place.open(), place.open());
    let made = one.commit(vec![crawler_tests::create("nightly", CreateMode::Create)]).unwrap();
    eventually("seen", || other.snapshot().version == made.version);
    assert_eq!(other.snapshot().crawlers["nightly"].definition, made.crawlers["nightly"].definition);

    let run = crawler_tests::run("r", "nightly", 5);
    assert!(one.begin_crawl_run(&run).unwrap());
    assert!(!other.begin_crawl_run(&run).unwrap(), "due once, whoever is first");
    assert_eq!(other.crawl_runs().unwrap(), std::slice::from_ref(&run));
    // A server that starts meanwhile leaves it alone.
    assert_eq!(place.open().end_interrupted_crawl_runs().unwrap(), 0);

    let seen = SniffedFile { location: "s3://b/x_/1".to_owned(), version: "1".to_owned(), facts: "{}".to_owned() };
    one.remember_sniffed_files(std::slice::from_ref(&seen), &[]).unwrap();
    assert_eq!(other.sniffed_files("s3://b/x_/").unwrap().len(), 1);
    assert_eq!(other.sniffed_files("s3://b/xy/").unwrap().len(), 0);
    other.remember_sniffed_files(&[], &[seen.location]).unwrap();
    assert_eq!(one.sniffed_files("s3://b/").unwrap().len(), 0);

    // Whoever is alone knows that nobody runs it any more.
    drop((one, other));
    let last = place.open();
    eventually("interrupted", || last.end_interrupted_crawl_runs().unwrap() == 1);
    assert_eq!(last.crawl_runs().unwrap()[0].state, RunState::Failed);
}
