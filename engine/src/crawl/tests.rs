#![allow(clippy::unwrap_used, reason = "tests")]

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

use limnos_catalog::{DataType, Partition};

use super::*;

/// Crawls files given as (path, text) and shows each table in a line.
async fn check(files: &[(&str, &str)], location: &str, expected: &[&str]) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (path, text) in files {
        store.put(&Path::from(*path), PutPayload::from(text.as_bytes().to_vec())).await.unwrap();
    }
    let url = format!("file:///{location}");
    let crawled = crawl_at(&store, &Path::from(location.trim_end_matches('/')), &url, &CrawlOptions::new("limnos"))
        .await
        .unwrap();
    let mut shown: Vec<String> = crawled
        .tables
        .iter()
        .map(|table| {
            let TableKind::External(storage) = &table.definition.kind else { panic!("a view") };
            let column = |column: &Column| format!("{} {:?}", column.name, column.data_type);
            let columns: Vec<_> = table.definition.columns.iter().map(column).collect();
            let keys: Vec<_> = table.definition.partition_keys.iter().map(column).collect();
            let keys = if keys.is_empty() {
                String::new()
            } else {
                format!(" by {} x{}", keys.join(", "), table.partitions.len())
            };
            format!("{} {:?} {} ({}){keys}", table.name, storage.format, storage.location, columns.join(", "))
        })
        .collect();
    shown.extend(crawled.skipped.iter().map(ToString::to_string));
    assert_eq!(shown, expected, "\n{}\n", shown.join("\n"));
}

#[tokio::test]
async fn a_mixed_tree() {
    let json =
        "{\"Id\":1,\"at\":\"2001/01/01 00:47\",\"p\":{\"x\":[1,2.5]},\"t\":\"a\"}\n{\"Id\":2,\"at\":null,\"t\":5}\n";
    check(
        &[
            ("lake/_SUCCESS", "x"),
            ("lake/.hidden/a.csv", "a,b\n1,2\n"),
            ("lake/letter.txt", "Dear reader,\nhello there\n"),
            ("lake/flights-20k.json", json),
            ("lake/flights 20k.csv", "id,name\n1,a\n"),
            ("lake/orders/part-0.csv", "id,when\n1,2024-01-01\n"),
            ("lake/orders/part-1.csv", "id,when\nx,2024-01-02\n"),
            ("lake/sales/year=2024/month=01/a.csv", "id,day\n1,2024-01-01\n"),
            ("lake/sales/year=2024/month=02/b.csv", "id,day\n2,2024-02-01\n"),
            ("lake/pair/x.csv", "a,b\n1,2\n"),
            ("lake/pair/y.csv", "c,d,e\n1,2,3\n"),
        ],
        "lake/",
        &[
            "flights_20k Csv file:///lake/flights 20k.csv (id BigInt, name String)",
            "flights_20k_2 Json file:///lake/flights-20k.json (id BigInt, at Timestamp, p Struct([StructField { name: \"x\", data_type: Array(Double) }]), t String)",
            "orders Csv file:///lake/orders/ (id String, when Date)",
            "sales Csv file:///lake/sales/ (id BigInt, day Date) by year Int, month Int x2",
            "x Csv file:///lake/pair/x.csv (a BigInt, b BigInt)",
            "y Csv file:///lake/pair/y.csv (c BigInt, d BigInt, e BigInt)",
            "\"file:///lake/letter.txt\" was skipped: it is text without a table in it",
        ],
    )
    .await;
}

#[tokio::test]
async fn one_file_and_one_folder() {
    let files = [("lake/orders/part-0.csv", "id,x\n1,2\n")];
    check(&files, "lake/orders/part-0.csv", &["part_0 Csv file:///lake/orders/part-0.csv (id BigInt, x BigInt)"]).await;
    check(&files, "lake/orders/", &["orders Csv file:///lake/orders/ (id BigInt, x BigInt)"]).await;
    check(&files, "lake/", &["orders Csv file:///lake/orders/ (id BigInt, x BigInt)"]).await;
}

#[tokio::test]
async fn partition_values_and_locations() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for folder in ["dt=2024-01-01", "dt=__HIVE_DEFAULT_PARTITION__"] {
        let path = Path::parse(format!("t/{folder}/f.json")).unwrap();
        store.put(&path, PutPayload::from_static(b"{\"a\":true}\n")).await.unwrap();
    }
    let crawled = crawl_at(&store, &Path::from("t"), "s3://b/t/", &CrawlOptions::new("me")).await.unwrap();
    let table = &crawled.tables[0];
    assert_eq!(table.definition.partition_keys, [Column::new("dt", DataType::Date)]);
    assert_eq!(
        table.partitions,
        [
            Partition { values: vec![None], location: None, storage: None },
            Partition { values: vec![Some("2024-01-01".to_owned())], location: None, storage: None },
        ]
    );
    assert_eq!((table.file_count, table.bytes, table.definition.owner.as_str()), (2, 22, "me"));
}

#[tokio::test]
async fn too_wide_and_too_deep_are_told() {
    let keys: Vec<String> = (0..5000).map(|index| format!("\"k{index}\":{index}")).collect();
    let wide = format!("{{{}}}", keys.join(","));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    check(
        &[("l/wide.json", &wide), ("l/deep.json", &deep)],
        "l/",
        &[
            "\"file:///l/deep.json\" was skipped: JSON is nested deeper than 64 levels (File \"/l/deep.json\", line 1)",
            "\"file:///l/wide.json\" was skipped: files have 4097 columns; at most 4096 can be inferred (File \"/l/wide.json\", line 1)",
        ],
    )
    .await;
}

#[tokio::test]
async fn hostile_parquet_files_are_skipped() {
    check(
        &[("l/a.parquet", "PAR1PAR1"), ("l/b/x.parquet", "PAR1xxxx\u{1}\0\0\x7fPAR1")],
        "l/",
        &[
            "\"file:///l/a.parquet\" was skipped: file \"/l/a.parquet\" is corrupt (It is too short for a Parquet file)",
            "\"file:///l/b/\" was skipped: file \"/l/b/x.parquet\" is corrupt (The length of its footer can't be true)",
        ],
    )
    .await;
}

/// The folder is a table all the same; what is damaged in it is told.
#[tokio::test]
async fn one_damaged_file_does_not_hide_the_others() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    for (path, text) in
        [("l/e/p-1.json", "{\"a\":1}"), ("l/e/p-2.json", deep.as_str()), ("l/e/p-3.json", "{\"a\":2,\"b\":2}")]
    {
        store.put(&Path::from(path), PutPayload::from(text.as_bytes().to_vec())).await.unwrap();
    }
    let crawled = crawl_at(&store, &Path::from("l"), "file:///l/", &CrawlOptions::new("limnos")).await.unwrap();
    assert!(crawled.skipped.is_empty(), "{:?}", crawled.skipped);
    let [table] = crawled.tables.as_slice() else { panic!("{:?}", crawled.tables) };
    assert_eq!((table.name.as_str(), table.file_count), ("e", 3));
    let names: Vec<&str> = table.definition.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(table.remarks, ["JSON is nested deeper than 64 levels (File \"/l/e/p-2.json\", line 1)"]);
}

/// As [`check`] for a crawler, whose target may itself be a table, and whose files are remembered.
async fn check_crawler(files: &[(&str, &str)], expected: &[&str]) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (path, text) in files {
        store.put(&Path::parse(path).unwrap(), PutPayload::from(text.as_bytes().to_vec())).await.unwrap();
    }
    let memory = Arc::new(Remembered::default());
    let options = CrawlOptions {
        memory: memory.clone(),
        joins_at_root: true,
        exclude: Exclude::new(&["**.tmp".to_owned()]).unwrap(),
        ..CrawlOptions::new("limnos")
    };
    let mut first: Option<Vec<String>> = None;
    for run in 0..2 {
        let crawled = crawl_at(&store, &Path::from("l"), "s3://b/l/", &options).await.unwrap();
        let shown: Vec<String> = crawled
            .tables
            .iter()
            .map(|table| {
                let columns: Vec<String> = table
                    .definition
                    .columns
                    .iter()
                    .map(|column| format!("{} {}", column.name, column.data_type))
                    .collect();
                let keys: Vec<String> = table
                    .definition
                    .partition_keys
                    .iter()
                    .map(|key| format!("{} {}", key.name, key.data_type))
                    .collect();
                let partition = |partition: &Partition| {
                    let values: Vec<&str> = partition.values.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect();
                    match partition.location.as_deref() {
                        Some(url) => format!("{}@{}", values.join(","), url.trim_start_matches("s3://b/l/")),
                        None => values.join(","),
                    }
                };
                let partitions: Vec<String> = table.partitions.iter().map(partition).collect();
                format!("{} ({}) ({}) {}", table.name, columns.join(", "), keys.join(", "), partitions.join(" "))
            })
            .map(|line| line.trim_end().to_owned())
            .collect();
        assert_eq!(shown, expected, "\n{}\n", shown.join("\n"));
        assert_eq!(crawled.files_read == 0, run == 1, "{} files read in run {run}", crawled.files_read);
        assert_eq!(first.get_or_insert_with(|| shown.clone()), &shown);
    }
}

#[derive(Default)]
struct Remembered(parking_lot::Mutex<std::collections::HashMap<(String, String), String>>);

impl FileMemory for Remembered {
    fn recall(&self, file: &str, version: &str) -> Option<String> {
        self.0.lock().get(&(file.to_owned(), version.to_owned())).cloned()
    }

    fn remember(&self, file: &str, version: &str, facts: String) {
        self.0.lock().insert((file.to_owned(), version.to_owned()), facts);
    }
}

#[tokio::test]
async fn folders_become_partitions_as_glue_has_them() {
    let (one, two) = ("id,when\n1,2024-01-01\n", "id,when\n2,2024-01-02\n");
    // Folders of digits, and folders side by side.
    check_crawler(
        &[("l/2024/01/a.csv", one), ("l/2024/02/b.csv", two)],
        &["l (id bigint, when date) (partition_0 int, partition_1 int) 2024,01@2024/01/ 2024,02@2024/02/"],
    )
    .await;
    check_crawler(
        &[("l/e/eu/a.csv", one), ("l/e/us/b.csv", two), ("l/f/x.csv", "q,r,s\n1,2,3\n")],
        &["e (id bigint, when date) (partition_0 string) eu@e/eu/ us@e/us/", "f (q bigint, r bigint, s bigint) ()"],
    )
    .await;
    // Two levels, each of them joined; what is excluded is not there.
    check_crawler(
        &[("l/a/x/1.csv", one), ("l/a/y/1.csv", two), ("l/b/x/1.csv", one), ("l/b/y/1.csv", two), ("l/b/z.tmp", "x")],
        &["l (id bigint, when date) (partition_0 string, partition_1 string) a,x@a/x/ a,y@a/y/ b,x@b/x/ b,y@b/y/"],
    )
    .await;
    // Other columns, or the same of other types, are other tables.
    check_crawler(
        &[("l/a/1.csv", one), ("l/b/1.csv", "id,when\nx,y\nz,w\n")],
        &["a (id bigint, when date) ()", "b (id string, when string) ()"],
    )
    .await;
    // Hive's names, some with an unnamed folder below them.
    check_crawler(
        &[("l/t/dt=2024-01-01/00/a.csv", one), ("l/t/dt=2024-01-02/13/a.csv", two)],
        &["t (id bigint, when date) (dt date, partition_1 int) 2024-01-01,00@t/dt=2024-01-01/00/ 2024-01-02,13@t/dt=2024-01-02/13/"],
    )
    .await;
    // Values that Hive would have escaped are found where they are.
    check_crawler(
        &[("l/t/k=a%3Ab/a.csv", one), ("l/t/k=c:d/a.csv", two)],
        &["t (id bigint, when date) (k string) a:b c:d@t/k=c:d/"],
    )
    .await;
    // A target that is one table.
    check_crawler(&[("l/only.csv", one)], &["l (id bigint, when date) ()"]).await;
    check_crawler(&[("l/x.csv", one), ("l/y.csv", two)], &["l (id bigint, when date) ()"]).await;
    check_crawler(
        &[("l/x.csv", one), ("l/y.json", "{\"a\":1}\n")],
        &["x (id bigint, when date) ()", "y (a bigint) ()"],
    )
    .await;
}

#[tokio::test]
async fn types_are_those_of_all_sampled_files() {
    let rows = |rows: &[&str]| rows.join("\n") + "\n";
    for (files, expected) in [
        ([rows(&["id,at", "1,2024-01-01"]), rows(&["id,at", "1.5,2024-01-01 10:00:00"])], "id double, at timestamp"),
        ([rows(&["id,at", "1,2024-01-01"]), rows(&["id,at", "2,soon"])], "id bigint, at string"),
        ([rows(&["id,at", "1,1/2/2000"]), rows(&["id,at", "2,31/12/2000"])], "id bigint, at date"),
        ([rows(&["id,at", "1,1/31/2000"]), rows(&["id,at", "2,31/12/2000"])], "id bigint, at string"),
        ([rows(&["id,at", "1,NA"]), rows(&["id,at", "2,2024-01-01"])], "id bigint, at date"),
        ([rows(&["id,at", "1,a"]), rows(&["id,at,new", "2,b,3"])], "id bigint, at string, new bigint"),
    ] {
        let [left, right] = &files;
        let expected = format!("l ({expected}) ()");
        check_crawler(&[("l/p-1.csv", left), ("l/p-2.csv", right)], &[&expected]).await;
    }
    check_crawler(
        &[
            ("l/p-1.json", "{\"a\":1,\"s\":{\"x\":1},\"m\":[1]}\n"),
            ("l/p-2.json", "{\"a\":\"x\",\"s\":{\"y\":\"2024-01-01\"},\"m\":[1.5],\"n\":true}\n"),
        ],
        &["l (a string, s struct<x:bigint,y:date>, m array<double>, n boolean) ()"],
    )
    .await;
}

/// The kind of a file with this text, its columns' number and the cells of its first line; or what it is instead.
async fn classify(text: &str, classifiers: &[CustomClassifier]) -> String {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    store.put(&Path::from("l/f"), PutPayload::from(text.as_bytes().to_vec())).await.unwrap();
    let options = CrawlOptions { classifiers: classifiers.to_vec(), ..CrawlOptions::new("limnos") };
    let crawled = crawl_at(&store, &Path::from("l"), "file:///l/", &options).await.unwrap();
    let Some(table) = crawled.tables.first() else {
        return crawled.skipped.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    };
    let TableKind::External(storage) = &table.definition.kind else { panic!("a view") };
    crate::scan::format::check(&table.definition).unwrap();
    let kind = table.definition.parameters.get("classification").map_or("-", String::as_str);
    let names: Vec<&str> = table.definition.columns.iter().take(3).map(|column| column.name.as_str()).collect();
    format!("{kind} {:?} {} {}", storage.format, table.definition.columns.len(), names.join(","))
}

#[tokio::test]
async fn logs_are_told_by_their_lines() {
    let common = "192.0.2.1 - - [05/Mar/2024:10:00:01 +0100] \"GET / HTTP/1.1\" 200 5\n";
    let combined = common.replace(" 5\n", " 5 \"-\" \"curl \\\"x\\\"\"\n");
    let nginx = combined.replace("\n", " \"10.0.0.1\"\n");
    let mostly = format!("{}garbage\n", common.repeat(30));
    let hardly = format!("{}garbage\n", common.repeat(10));
    let vpc = "version srcaddr dstaddr bytes action\n2 192.0.2.1 192.0.2.2 5 ACCEPT\n";
    let trail = "{ \"Records\": [{\"eventVersion\":\"1.0\",\"eventSource\":\"s3\",\"eventName\":\"Get\"}]}";
    for (text, expected) in [
        (common, "common_access_log Regex 7 client_ip,client_id,user_id"),
        (&combined, "combined_access_log Regex 9 client_ip,client_id,user_id"),
        (&nginx, "nginx_access_log Regex 10 client_ip,client_id,user_id"),
        (&mostly, "common_access_log Regex 7 client_ip,client_id,user_id"),
        (&hardly, "\"file:///l/f\" was skipped: it is text without a table in it"),
        (&common.replace('\n', "\r\n"), "common_access_log Regex 7 client_ip,client_id,user_id"),
        ("Mar  5 10:00:01 web sshd[1]: hello there\n", "syslog Regex 6 priority,timestamp,host"),
        ("<34>1 2024-03-05T10:00:02Z web su - - - failed\n", "syslog_5424 Regex 9 priority,version,timestamp"),
        ("Mars 5 is a day.\nMay 5 is another.\n", "\"file:///l/f\" was skipped: it is text without a table in it"),
        (vpc, "vpc_flow_log Csv 5 version,srcaddr,dstaddr"),
        ("version srcaddr other bytes\n2 a b 5\n", "- Csv 4 version,srcaddr,other"),
        (
            "#Version: 1.0\n#Fields: date time c-ip cs-uri-stem\n2024-03-05 10:00:00 192.0.2.1 /\n",
            "w3c_extended_log Csv 4 date,time,c_ip",
        ),
        ("#Fields: date time x-edge-location sc-bytes\n", "cloudfront Csv 4 date,time,location"),
        ("#Fields: a a\nx y\n", "\"file:///l/f\" was skipped: it is text without a table in it"),
        (trail, "cloudtrail Json 25 eventversion,useridentity,eventtime"),
        ("{\"Records\":[{\"a\":1}]}", "- Json 1 a"),
        ("id,name\n1,a\n", "- Csv 2 id,name"),
        ("ORC\0\0", "\"file:///l/f\" was skipped: file \"/l/f\" is corrupt (It is too short for an ORC file)"),
        ("Obj\u{1}\0", "\"file:///l/f\" was skipped: file \"/l/f\" is corrupt (Its header is cut off)"),
    ] {
        assert_eq!(classify(text, &[]).await, expected, "{text}");
    }
}

#[tokio::test]
async fn own_classifiers_come_first() {
    let grok = |pattern: &str| CustomClassifier::Grok {
        classification: "jobs".to_owned(),
        pattern: pattern.to_owned(),
        custom_patterns: "JOB j-[0-9]+".to_owned(),
    };
    let csv = |header, columns: &[&str], allow_single_column| CustomClassifier::Csv {
        delimiter: '^',
        quote: Some('\''),
        header,
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        allow_single_column,
    };
    let json = |path: &str| CustomClassifier::Json { path: path.to_owned() };
    let jobs = grok("^%{JOB:Job} %{NUMBER:took:double} %{GREEDYDATA:what}$");
    for (text, classifier, expected) in [
        ("j-1 0.5 a b\nj-2 1 c\n", &jobs, "jobs Regex 3 job,took,what"),
        ("k-1 0.5 a b\n", &jobs, "\"file:///l/f\" was skipped: it is text without a table in it"),
        ("a^b\n1^'x^y'\n", &csv(CsvHeader::Detect, &[], false), "- Csv 2 a,b"),
        ("a^b\nc^d\n", &csv(CsvHeader::Absent, &["p", "q"], false), "- Csv 2 p,q"),
        ("a^b\nc^d\n", &csv(CsvHeader::Present, &[], false), "- Csv 2 a,b"),
        (
            "a^b\nc^d\n",
            &csv(CsvHeader::Absent, &["p", "q", "r"], false),
            "\"file:///l/f\" was skipped: it is text without a table in it",
        ),
        ("x\ny\n", &csv(CsvHeader::Absent, &["line"], true), "- Csv 1 line"),
        ("{\"n\":1,\"deep\":{\"rows\":[{\"a\":1,\"b\":2}]}}", &json("$.deep.rows[*]"), "- Json 2 a,b"),
        ("{\"n\":1,\"deep\":{\"rows\":[1]}}", &json("$.deep.rows[*]"), "- Json 2 n,deep"),
        ("{\"n\":1}\n", &json("$.deep.rows[*]"), "- Json 1 n"),
    ] {
        assert_eq!(classify(text, std::slice::from_ref(classifier)).await, expected, "{text}");
    }
    // The first that claims a file has it.
    let both = [json("$[*]"), json("$.deep.rows[*]")];
    assert_eq!(classify("{\"deep\":{\"rows\":[{\"a\":1}]}}", &both).await, "- Json 1 a");
    for (classifier, expected) in [
        (grok("%{NOPE:x}"), "grok pattern \"NOPE\" does not exist"),
        (grok("%{INT}"), "grok pattern of classifier \"jobs\" names no fields"),
        (json("rows"), "invalid JSON path: \"rows\""),
        (
            CustomClassifier::Csv {
                delimiter: 'ä',
                quote: None,
                header: CsvHeader::Detect,
                columns: Vec::new(),
                allow_single_column: false,
            },
            "invalid delimiter of a classifier: \"ä\"",
        ),
    ] {
        assert_eq!(classifier.check().unwrap_err().message, expected);
    }
}

/// CloudFront's files lie in one folder, each with a name of its own; beside other files each is a table.
#[tokio::test]
async fn logs_of_one_kind_are_one_table() {
    let log = |ip: &str| format!("{ip} - - [05/Mar/2024:10:00:01 +0100] \"GET / HTTP/1.1\" 200 5\n");
    let (first, second) = (log("192.0.2.1"), log("192.0.2.2"));
    check(
        &[("l/one.txt", &first), ("l/two.log", &second)],
        "l/",
        &["l Regex file:///l/ (client_ip String, client_id String, user_id String, request_received_time TimestampTz, client_request String, server_status Int, returned_obj_size BigInt)"],
    )
    .await;
}
