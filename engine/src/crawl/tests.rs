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
