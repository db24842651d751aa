//! What clients send when they look around, recorded in `sql/clients/`: every statement is answered, with the columns and the
//! types that PostgreSQL 15 answers on the same schema.
//!
//! A file is a client, a block a statement: `-- its name`, `-- columns: name type, name type`, the statement, an empty line.

use limnos_tests::server::TestServer;
use limnos_tests::{client, paths};

/// The schema that the statements ask about; the files need not be there, for none is read.
const SCHEMA: [&str; 4] = [
    "CREATE EXTERNAL TABLE orders (o_orderkey bigint, o_custkey int, o_orderstatus string, o_totalprice decimal(15,2), \
     o_orderdate date, o_orderpriority string, o_clerk varchar(40), o_updated_at timestamp with time zone) \
     STORED AS PARQUET LOCATION '$ROOT/orders/'",
    "CREATE EXTERNAL TABLE lineitem (l_orderkey bigint, l_partkey int, l_linenumber smallint, l_quantity decimal(15,2), \
     l_shipdate date COMMENT 'date shipped', l_comment varchar(200)) COMMENT 'TPC-H-like line items' \
     STORED AS PARQUET LOCATION '$ROOT/lineitem/'",
    "CREATE EXTERNAL TABLE alltypes (id int, c_bool boolean, c_float8 double, c_text string, c_int4_arr array<int>) \
     STORED AS PARQUET LOCATION '$ROOT/alltypes/'",
    "CREATE VIEW v_orders_daily AS SELECT o_orderdate, count(*) AS n, sum(o_totalprice) AS revenue FROM orders GROUP BY o_orderdate",
];

/// The recordings with types; `psql15.sql` has names only, and is read where the catalogs are.
const CLIENTS: [&str; 12] = [
    "dbt", "django", "duckdb", "grafana", "hasura", "metabase", "misc", "npgsql", "odbc", "pgadmin", "prisma", "rails",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_ask_is_answered_as_postgresql_answers_it() -> anyhow::Result<()> {
    let lake = tempfile::tempdir()?;
    let server = TestServer::start(&[lake.path()]).await?;
    let client = client::connect(&client::config(server.pg_address())).await?;
    for statement in SCHEMA {
        let statement = statement.replace("$ROOT", &lake.path().display().to_string());
        client.batch_execute(&statement).await.map_err(client::describe)?;
    }
    let mut failures = Vec::new();
    let mut count = 0;
    for name in CLIENTS {
        let text = std::fs::read_to_string(paths::sql().join(format!("clients/{name}.sql")))?;
        for block in text.split("\n\n").filter(|block| block.contains("-- columns: ")) {
            count += 1;
            let (head, rest) = block.split_once("-- columns: ").unwrap_or_default();
            let (columns, sql) = rest.split_once('\n').unwrap_or_default();
            let label = format!("{name} {}", head.trim());
            let answer = client.prepare(sql).await;
            match answer {
                Ok(statement) => {
                    let described =
                        statement.columns().iter().map(|column| format!("{} {}", column.name(), column.type_().name()));
                    let described: Vec<String> = described.collect();
                    if described.join(", ") != columns {
                        failures.push(format!("{label}: {} instead of {columns}", described.join(", ")));
                    }
                }
                Err(error) => failures.push(format!("{label}: {}", client::describe(error))),
            }
            if let Err(error) = client.simple_query(sql).await {
                failures.push(format!("{label}: {}", client::describe(error)));
            }
        }
    }
    assert!(count > 100, "only {count} statements were found");
    assert!(failures.is_empty(), "{} of {count} fail:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// What a client has learned of OIDs holds after a restart: they come from the catalog's ids.
#[tokio::test(flavor = "multi_thread")]
async fn oids_outlive_a_restart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let lake = folder.path().join("lake");
    std::fs::create_dir_all(&lake)?;
    let question = "SELECT c.oid, c.relname, c.reltype, n.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1";
    let mut answers = Vec::new();
    for run in 0..2 {
        let server = limnos_tests::process::ServerProcess::start(&data, &lake, None)?;
        let client = server.client().await?;
        if run == 0 {
            for statement in SCHEMA {
                let statement = statement.replace("$ROOT", &lake.display().to_string());
                client.batch_execute(&statement).await.map_err(client::describe)?;
            }
            client.batch_execute("DROP TABLE alltypes").await.map_err(client::describe)?;
        }
        answers.push(client::rows(&client, question).await?);
        drop(client);
        server.terminate()?;
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].len() > 200);
    Ok(())
}
