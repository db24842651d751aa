//! [`TestServer`]: a real server in this process, on free ports of the loopback address, with a data folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use limnos_engine::Session;
use limnos_server::query::{CancelSlot, QueryService};
use limnos_server::serve::{RunningServer, ServeOptions, start};
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::client;
use crate::s3::S3Server;
use crate::slt::{Answer, SqlError, Way};

/// A running server; [`TestServer::shutdown`] stops it as SIGTERM does.
pub struct TestServer {
    running: RunningServer,
    /// Removed at the end, unless the test brought its own folder.
    _data_dir: Option<TempDir>,
}

impl TestServer {
    /// Starts a server over `roots`.
    pub async fn start(roots: &[&Path]) -> anyhow::Result<Self> {
        Self::start_with(roots, |_| {}).await
    }

    /// Starts a server over a bucket of `s3`, as well as over `roots`.
    pub async fn start_on_s3(s3: &S3Server, bucket: &str, roots: &[&Path]) -> anyhow::Result<Self> {
        let (options, root) = (s3.options(), format!("s3://{bucket}/"));
        Self::start_with(roots, move |serve| {
            serve.engine.stores.roots.push(root);
            serve.engine.stores.s3 = options;
        })
        .await
    }

    /// Starts a server whose options the test changes.
    pub async fn start_with(roots: &[&Path], change: impl FnOnce(&mut ServeOptions)) -> anyhow::Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let mut server = Self::start_in(data_dir.path(), roots, change).await?;
        server._data_dir = Some(data_dir);
        Ok(server)
    }

    /// Starts a server on a data folder that the test keeps, to start it again there.
    pub async fn start_in(
        data_dir: &Path,
        roots: &[&Path],
        change: impl FnOnce(&mut ServeOptions),
    ) -> anyhow::Result<Self> {
        let roots = roots.iter().map(|root| root.display().to_string()).collect();
        let mut options = ServeOptions::for_tests(data_dir, roots);
        change(&mut options);
        let running = start(options).await.context("start the server")?;
        Ok(Self { running, _data_dir: None })
    }

    /// Where PostgreSQL clients connect.
    pub fn pg_address(&self) -> SocketAddr {
        self.running.pg_address
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.running.http_address
    }

    /// A client logged in as the first user.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client::connect(&client::config(self.pg_address())).await.map_err(client::describe)
    }

    /// The other way in: the one door, without a wire.
    pub fn in_process(&self) -> InProcess {
        InProcess {
            service: Arc::clone(&self.running.service),
            session: Session::new("limnos", "lake"),
            slot: CancelSlot::default(),
        }
    }

    /// Stops it gracefully.
    pub async fn shutdown(self) {
        self.running.shutdown().await;
    }
}

/// A session of the one door.
pub struct InProcess {
    service: Arc<QueryService>,
    session: Session,
    slot: CancelSlot,
}

impl InProcess {
    async fn answer(&mut self, sql: &str) -> limnos_engine::Result<Answer> {
        let mut answer = Answer { types: Vec::new(), rows: Vec::new(), has_rows: false };
        for statement in self.service.parse(&self.session, sql).await? {
            let prepared = self.service.prepare(&self.session, Arc::new(statement), &[]).await?;
            let mut result = self.service.execute(&mut self.session, &prepared, &[], &self.slot).await?;
            if let Some(schema) = result.schema.clone() {
                answer.has_rows = true;
                answer.types = limnos_server::pg::encode::column_types(&schema);
                let mut rows = 0;
                while let Some(batch) = result.next().await {
                    let batch = batch?;
                    rows += batch.num_rows() as u64;
                    answer.rows.extend(limnos_server::pg::encode::text_rows(&batch, &self.session)?);
                }
                result.finish(rows);
            } else {
                while let Some(batch) = result.next().await {
                    batch?;
                }
                result.finish(0);
            }
        }
        Ok(answer)
    }
}

#[async_trait]
impl Way for InProcess {
    async fn ask(&mut self, sql: &str) -> Result<Answer, SqlError> {
        self.answer(sql)
            .await
            .map_err(|error| SqlError { sqlstate: error.code.sqlstate().to_owned(), message: error.message })
    }
}
