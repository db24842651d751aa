#![allow(clippy::unwrap_used, reason = "tests")]

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

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
