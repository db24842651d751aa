//! Crawlers, classifiers, histories and what crawls remember, through the catalog's public door.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::crawler::{CrawlerSchedule, CsvHeader, OnDelete, OnSchemaChange, Recrawl};
use crate::{
    Catalog, Change, ClassifierDefinition, CrawlChange, CrawlCounts, CrawlRun, CrawlerDefinition, CreateMode, RunState,
    Schedule, SniffedFile, TableName,
};

fn crawler(targets: &[&str]) -> CrawlerDefinition {
    CrawlerDefinition {
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        database: "d".to_owned(),
        schedule: Some(CrawlerSchedule {
            schedule: Schedule { cron: "0 2 * * *".to_owned(), time_zone: "Europe/Berlin".to_owned() },
            since_ms: 7,
            is_paused: false,
        }),
        exclude: vec!["**.tmp".to_owned()],
        table_prefix: "p_".to_owned(),
        on_schema_change: OnSchemaChange::Update,
        on_delete: OnDelete::Deprecate,
        recrawl: Recrawl::All,
        classifiers: vec!["c".to_owned()],
        comment: Some("x".to_owned()),
        owner: "ada".to_owned(),
    }
}

pub(super) fn create(name: &str, mode: CreateMode) -> Change {
    Change::CreateCrawler { name: name.to_owned(), definition: crawler(&["file:///l/"]), mode }
}

pub(super) fn run(id: &str, crawler: &str, started_at_ms: i64) -> CrawlRun {
    CrawlRun {
        id: id.to_owned(),
        crawler: crawler.to_owned(),
        state: RunState::Running,
        query_id: "q".to_owned(),
        user: "ada".to_owned(),
        due_at_ms: Some(3),
        started_at_ms,
        finished_at_ms: None,
        counts: CrawlCounts { files_listed: 5, ..CrawlCounts::default() },
        message: None,
        changes: vec![CrawlChange { object: "d.t".to_owned(), action: "CREATED".to_owned(), reason: None }],
        changes_cut: 1,
    }
}

#[test]
fn crawlers_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let classifier = ClassifierDefinition::Csv {
        delimiter: Some(";".to_owned()),
        quote: None,
        header: CsvHeader::Unknown,
        columns: vec!["a".to_owned()],
    };
    {
        let catalog = Catalog::open(&path).unwrap();
        let create_classifier =
            Change::CreateClassifier { name: "C".to_owned(), definition: classifier.clone(), mode: CreateMode::Create };
        catalog.commit(vec![create_classifier, create("Nightly", CreateMode::Create)]).unwrap();
        let error = catalog.commit(vec![create("nightly", CreateMode::Create)]).unwrap_err();
        assert_eq!(error.to_string(), "crawler \"nightly\" already exists");
        let before = catalog.snapshot().version;
        assert_eq!(catalog.commit(vec![create("nightly", CreateMode::IfNotExists)]).unwrap().version, before);
        catalog.commit(vec![create("nightly", CreateMode::OrReplace)]).unwrap();
    }
    let catalog = Catalog::open(&path).unwrap();
    let snapshot = catalog.snapshot();
    let kept = snapshot.crawler("NIGHTLY").unwrap();
    assert_eq!((kept.version, &kept.definition), (2, &crawler(&["file:///l/"])));
    assert_eq!(snapshot.classifier("c").unwrap().definition, classifier);
    let error = snapshot.crawler("nigthly").unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.hint()),
        ("crawler \"nigthly\" does not exist", Some("Did you mean \"nightly\"?"))
    );

    let alter = |base_version| Change::AlterCrawler {
        name: "nightly".to_owned(),
        definition: crawler(&["file:///m/"]),
        base_version: Some(base_version),
    };
    let error = catalog.commit(vec![alter(1)]).unwrap_err();
    assert_eq!(error.to_string(), "crawler \"nightly\" was changed by another statement");
    catalog.commit(vec![alter(2)]).unwrap();
    let drop_classifier = || Change::DropClassifier { name: "c".to_owned(), if_exists: false };
    let error = catalog.commit(vec![drop_classifier()]).unwrap_err();
    assert_eq!(error.to_string(), "cannot drop classifier \"c\" because crawler \"nightly\" uses it");
    let drop_crawler = Change::DropCrawler { name: "nightly".to_owned(), if_exists: false };
    catalog.commit(vec![drop_crawler, drop_classifier()]).unwrap();
    assert!(catalog.snapshot().crawlers.is_empty() && catalog.snapshot().classifiers.is_empty());
}

#[test]
fn refuses_what_no_crawler_can_be() {
    let catalog = Catalog::open_in_memory().unwrap();
    let check = |name: &str, definition: CrawlerDefinition, wanted: &str| {
        let change = Change::CreateCrawler { name: name.to_owned(), definition, mode: CreateMode::Create };
        let error = catalog.commit(vec![change]).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    };
    check("a/b", crawler(&["x"]), "crawler name \"a/b\" must not hold");
    check("a", crawler(&[]), "a crawler needs at least one target");
    check("a", crawler(&["x", "x"]), "target \"x\" specified more than once");
    check("a", CrawlerDefinition { database: "pg_catalog".to_owned(), ..crawler(&["x"]) }, "unacceptable schema name");
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    check("a", CrawlerDefinition { targets: many, ..crawler(&[]) }, "a crawler can have at most 1000 targets");
    check("a", CrawlerDefinition { exclude: vec!["x".repeat(9000)], ..crawler(&["x"]) }, "exclusions are too long");
}

#[test]
fn a_renamed_crawler_keeps_its_tables_and_its_history() {
    let catalog = Catalog::open_in_memory().unwrap();
    let mut definition = super::tests::partitioned_table(&["k"]);
    definition.parameters.insert(crate::crawler::CRAWLER_PARAMETER.to_owned(), "a".to_owned());
    catalog
        .commit(vec![
            create("a", CreateMode::Create),
            super::tests::create_table("default.t", definition.clone()),
            super::tests::create_table("default.u", super::tests::partitioned_table(&["k"])),
        ])
        .unwrap();
    catalog.begin_crawl_run(&run("1", "a", 1)).unwrap();
    catalog.commit(vec![Change::RenameCrawler { from: "A".to_owned(), to: "B".to_owned() }]).unwrap();
    let snapshot = catalog.snapshot();
    let owner = |name: &str| {
        let table = snapshot.table(&TableName::new("default", name)).unwrap();
        table.parameters.get(crate::crawler::CRAWLER_PARAMETER).cloned()
    };
    assert_eq!((owner("t"), owner("u")), (Some("b".to_owned()), None));
    assert_eq!(catalog.crawl_runs().unwrap()[0].crawler, "b");
    assert!(snapshot.crawler("a").is_err() && snapshot.crawler("b").is_ok());
    catalog.commit(vec![Change::DropCrawler { name: "b".to_owned(), if_exists: false }]).unwrap();
    assert!(catalog.crawl_runs().unwrap().is_empty());
}

#[test]
fn histories_are_bounded_and_end_once() {
    let catalog = Catalog::open_in_memory().unwrap();
    let version = catalog.snapshot().version;
    for number in 0..120_i64 {
        assert!(catalog.begin_crawl_run(&run(&format!("a{number}"), "a", number)).unwrap());
    }
    assert!(catalog.begin_crawl_run(&run("b", "b", 0)).unwrap());
    assert!(!catalog.begin_crawl_run(&run("b", "b", 9)).unwrap(), "the same run on another server");
    let runs = catalog.crawl_runs().unwrap();
    assert_eq!((runs.len(), runs[0].id.as_str(), runs.last().unwrap().id.as_str()), (101, "a119", "b"));
    assert_eq!(runs[0], run("a119", "a", 119), "what is written reads back");

    let ended = |state| CrawlRun { state, finished_at_ms: Some(200), ..run("b", "b", 0) };
    catalog.commit(vec![Change::EndCrawlRun { run: Box::new(ended(RunState::Succeeded)) }]).unwrap();
    catalog.end_crawl_run(&ended(RunState::Cancelled)).unwrap();
    assert_eq!(catalog.crawl_runs().unwrap().last().unwrap().state, RunState::Succeeded);
    assert_eq!(catalog.end_interrupted_crawl_runs().unwrap(), 100);
    let runs = catalog.crawl_runs().unwrap();
    assert_eq!(runs[0].state, RunState::Failed);
    assert_eq!(runs[0].message.as_deref(), Some("interrupted: the server ended before the crawl did"));
    assert_eq!(catalog.snapshot().version, version + 1, "only the commit makes a version");
}

#[test]
fn what_was_sniffed_is_remembered() {
    let catalog = Catalog::open_in_memory().unwrap();
    let file = |location: &str, version: &str| SniffedFile {
        location: location.to_owned(),
        version: version.to_owned(),
        facts: "{}".to_owned(),
    };
    catalog.remember_sniffed_files(&[file("s3://b/x_/1", "1"), file("s3://b/xy/1", "1")], &[]).unwrap();
    catalog.remember_sniffed_files(&[file("s3://b/x_/1", "2")], &[]).unwrap();
    let found = catalog.sniffed_files("s3://b/x_/").unwrap();
    assert_eq!(found.into_values().collect::<Vec<_>>(), [file("s3://b/x_/1", "2")]);
    catalog.remember_sniffed_files(&[], &["s3://b/x_/1".to_owned()]).unwrap();
    assert!(catalog.sniffed_files("s3://b/x_/").unwrap().is_empty());
    assert_eq!(catalog.sniffed_files("").unwrap().len(), 1);
}
