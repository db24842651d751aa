//! [`CpuRuntime`]: the threads that plan and execute, apart from those that serve connections.
//!
//! A decoder or a join that keeps a thread busy delays other queries, but no accept, no cancel and no health check.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::limits::WORKER_STACK_BYTES;
use crate::{Error, Result};

/// See the module. Dropping it stops its threads without waiting.
#[derive(Debug)]
pub struct CpuRuntime {
    runtime: Option<Runtime>,
    planners: Arc<Semaphore>,
}

/// Statements that are parsed and planned at the same time. More only take memory from each other.
const PLANNERS_MAX: usize = 64;

impl CpuRuntime {
    /// A runtime of `threads` workers with stacks deep enough for the nesting that [`crate::limits`] allows.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("limnos-cpu")
            .thread_stack_size(WORKER_STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(crate::ErrorCode::IoError, format!("could not start worker threads: {error}"))
            })?;
        Ok(Self { runtime: Some(runtime), planners: Arc::new(Semaphore::new(PLANNERS_MAX)) })
    }

    /// Starts a task there.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.as_ref().expect("it is there until drop").spawn(task)
    }

    /// Runs `task` there. Dropping the returned future drops the task.
    ///
    /// # Errors
    /// The task's own, [`crate::ErrorCode::Internal`] for its panic.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut handle = AbortOnDrop(self.spawn(catch_panic(task)));
        (&mut handle.0).await.unwrap_or_else(|error| Err(Error::internal(format!("a task stopped: {error}"))))
    }

    /// Parses or plans on a thread of its own: a planner computes for seconds without yielding, and two of them on the
    /// workers would stop every other query. The caller is answered as soon as `cancel` is cancelled or the returned
    /// future is dropped; the thread ends when the planner next looks (see `plan::stop`).
    ///
    /// # Errors
    /// The task's own, [`crate::ErrorCode::Internal`] for its panic, [`crate::ErrorCode::QueryCanceled`].
    pub async fn plan<T: Send + 'static>(
        &self,
        cancel: &CancellationToken,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let stopped = || Error::new(crate::ErrorCode::QueryCanceled, "canceling statement because the server stops");
        let guard = cancel.child_token();
        let inside = guard.clone();
        let _abandoned = guard.drop_guard();
        let handle = self.runtime.as_ref().expect("it is there until drop").handle().clone();
        let planners = Arc::clone(&self.planners);
        let work = async move {
            // Held by the thread, not by the caller: what was given up still computes.
            let permit = planners.acquire_owned().await.map_err(|_| stopped())?;
            let inner = handle.clone();
            let planned = handle.spawn_blocking(move || {
                let _permit = permit;
                inner.block_on(async {
                    tokio::select! {
                        biased;
                        () = inside.cancelled() => Err(super::canceled()),
                        result = catch_panic(task) => result,
                    }
                })
            });
            planned.await.unwrap_or_else(|_| Err(stopped()))
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(super::canceled()),
            result = work => result,
        }
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime inside another one panics, and an engine is dropped inside the server's.
            runtime.shutdown_background();
        }
    }
}

/// Aborts its task when dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `task`, whose panic is an internal error: it ends one query, not the server.
pub(crate) async fn catch_panic<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(panic_error(panic.as_ref())),
    }
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned());
    tracing::error!(panic = %text, "query panicked");
    Error::internal(text)
}
