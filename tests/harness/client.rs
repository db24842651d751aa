//! A PostgreSQL client as the tests use it: text rows of the simple protocol, and errors checked by SQLSTATE.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Rows as text, `None` for NULL.
pub type TextRows = Vec<Vec<Option<String>>>;

/// The settings that reach a test server as its first user.
pub fn config(address: SocketAddr) -> Config {
    let mut config = Config::new();
    config
        .host(address.ip().to_string())
        .port(address.port())
        .user("limnos")
        .dbname("lake")
        .application_name("limnos-tests")
        .ssl_mode(SslMode::Disable);
    config
}

/// Connects and drives the connection on a task of its own.
pub async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // How a connection ends is seen by the client's calls; tests that kill servers end it on purpose.
        let _ended = connection.await;
    });
    Ok(client)
}

/// Runs one statement, or several, over the simple protocol; the rows of all of them.
pub async fn rows(client: &Client, sql: &str) -> anyhow::Result<TextRows> {
    let messages = client.simple_query(sql).await.map_err(describe).with_context(|| sql.to_owned())?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect())
}

/// The one value of a statement's one row.
pub async fn value(client: &Client, sql: &str) -> anyhow::Result<Option<String>> {
    let mut rows = rows(client, sql).await?;
    ensure!(rows.len() == 1 && rows[0].len() == 1, "{sql}: expected one value, got {rows:?}");
    Ok(rows.remove(0).remove(0))
}

/// Runs what must fail, and checks the SQLSTATE and that message, detail or hint name what they should.
pub async fn fails(client: &Client, sql: &str, sqlstate: &str, named: &str) -> anyhow::Result<()> {
    let shown: String = sql.chars().take(300).collect();
    match client.simple_query(sql).await {
        Ok(_) => bail!("{shown}\nshould have failed with {sqlstate}"),
        Err(error) => check_error(&error, sqlstate, named).with_context(|| shown),
    }
}

/// Checks an error's SQLSTATE and that message, detail or hint name what they should. An error must never show what is ours
/// alone: Rust types, the engine's internals, secrets.
pub fn check_error(error: &tokio_postgres::Error, sqlstate: &str, named: &str) -> anyhow::Result<()> {
    let Some(database) = error.as_db_error() else { bail!("not an answer of the server: {error:?}") };
    let text = format!(
        "{}: {}\n{}\n{}",
        database.code().code(),
        database.message(),
        database.detail().unwrap_or(""),
        database.hint().unwrap_or("")
    );
    ensure!(database.code().code() == sqlstate, "expected {sqlstate}, got {text}");
    ensure!(text.contains(named), "expected {named:?} in {text}");
    for internal in ["panicked", "DataFusion error", "Arrow error", "ArrowError", "External error", "object_store::"] {
        ensure!(!text.contains(internal), "internals in an error: {text}");
    }
    ensure!(!text.contains(crate::s3::SECRET_KEY), "a secret in an error: {text}");
    ensure!(!database.message().ends_with('.'), "a primary message ends in a full stop: {text}");
    Ok(())
}

/// An error with all the server said.
pub fn describe(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(database) => anyhow::anyhow!(
            "{}: {} {} {}",
            database.code().code(),
            database.message(),
            database.detail().unwrap_or(""),
            database.hint().unwrap_or("")
        ),
        None => anyhow::anyhow!("{error:?}"),
    }
}
