//! ORC and Avro over the wire: what EXPLAIN says of stripes, how SHOW DRIFT tells of files that differ. The files are those of
//! `sql/slt/data/columnar`.

use limnos_tests::client;
use limnos_tests::paths::slt_data;
use limnos_tests::server::TestServer;

/// Stripes are left out by a predicate, and by what a join has learnt.
#[tokio::test(flavor = "multi_thread")]
async fn stripes_of_orc_files_are_pruned() {
    let data = slt_data().join("columnar");
    let server = TestServer::start(&[&data]).await.unwrap();
    let client = server.client().await.unwrap();
    let create =
        format!("CREATE EXTERNAL TABLE stripes STORED AS ORC LOCATION '{}'", data.join("orc_stripes").display());
    client::rows(&client, &create).await.unwrap();
    let text = async |sql: &str| {
        let rows = client::rows(&client, sql).await.unwrap();
        rows.into_iter().flatten().flatten().collect::<Vec<_>>().join("\n")
    };
    for (condition, kept) in [("id = 2500", 1), ("id < 1500", 2), ("kind = 'kind 0'", 1), ("id >= 0", 3)] {
        let plan = text(&format!("EXPLAIN ANALYZE SELECT count(filler) FROM stripes WHERE {condition}")).await;
        assert!(plan.contains(&format!("Row groups: {kept} of 3")), "{condition}\n{plan}");
    }
    let join = "SELECT count(filler) FROM stripes JOIN (VALUES (2500), (2600)) v(x) ON stripes.id = v.x";
    let plan = text(&format!("EXPLAIN ANALYZE {join}")).await;
    assert!(plan.contains("stripes_pruned=2"), "{plan}");
    let plan = text("EXPLAIN ANALYZE SELECT count(filler) FROM stripes WHERE id > 5000").await;
    assert!(plan.contains("Files: 0 of 1"), "{plan}");
    server.shutdown().await;
}

/// A file's types against its table's, as for Parquet.
#[tokio::test(flavor = "multi_thread")]
async fn drift_of_orc_and_avro_files_is_told() {
    let data = slt_data().join("columnar");
    let server = TestServer::start(&[&data]).await.unwrap();
    let client = server.client().await.unwrap();
    for (format, file) in [("ORC", "orc/zlib.orc"), ("AVRO", "avro/deflate.avro")] {
        let create = format!(
            "DROP TABLE IF EXISTS t; CREATE EXTERNAL TABLE t (id bigint, name int, gone date, price decimal(12,2))
             STORED AS {format} LOCATION '{}'",
            data.join(file).display()
        );
        client::rows(&client, &create).await.unwrap();
        let drift = client::rows(&client, "SHOW DRIFT FROM t").await.unwrap();
        let told: Vec<String> = drift
            .into_iter()
            .map(|row| {
                row[..5].iter().map(|cell| cell.as_deref().unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join(" ")
            })
            .filter(|row| !row.ends_with("ignored"))
            .collect();
        assert_eq!(
            told,
            ["gone date NULL 1 null", "id bigint int 1 widened", "name int string 1 value error"],
            "{format}"
        );
    }
    server.shutdown().await;
}
