//! An answer on its way: [`Lead`] is the query that makes it, [`Follow`] one that waits for it.
//!
//! ```text
//!          ┌─ finish ──────────> Kept        followers have it, too
//! Lead ────┼─ give_up ─────────> NotKept     too large, or it failed: followers run, each by itself
//!          └─ drop (cancelled) ─> Abandoned   one of the followers leads
//! ```
//! The leader's batches are recorded on a task of their own, ahead of its client as far as an answer may be long that is kept:
//! followers wait for the query, and not for the leader's client.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, StreamExt};
use tokio::sync::{mpsc, watch};

use super::compact::compact;
use super::{ResultCache, ResultKey, StoredResult};
use crate::execute::{AbortOnDrop, BatchStream, CpuRuntime, KeptMemory, QueryStats};
use crate::{Error, ErrorCode};

/// How a flight ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// With an answer.
    Kept(Arc<StoredResult>),
    /// With none that could be shared.
    NotKept,
    /// Its leader is gone.
    Abandoned,
}

/// The query that makes an answer. Dropped before it has said how it ended, it has abandoned it.
#[derive(Debug)]
pub(crate) struct Lead {
    cache: Arc<ResultCache>,
    key: Arc<ResultKey>,
    ended: watch::Sender<Option<Ended>>,
    has_ended: bool,
}

/// One that waits for it.
#[derive(Debug, Clone)]
pub(crate) struct Follow(watch::Receiver<Option<Ended>>);

impl Lead {
    pub(super) fn new(cache: Arc<ResultCache>, key: Arc<ResultKey>) -> (Self, Follow) {
        let (ended, followed) = watch::channel(None);
        (Self { cache, key, ended, has_ended: false }, Follow(followed))
    }

    fn end(&mut self, how: Ended) {
        self.has_ended = true;
        self.cache.land(&self.key);
        self.ended.send_replace(Some(how));
    }

    fn finish(mut self, recording: Recording) {
        let Recording { schema, batches, bytes, memory } = recording;
        let result = Arc::new(StoredResult { schema, batches, bytes: bytes as u64, _memory: memory });
        // Stored before the flight is over: whoever asks in between finds the one or the other.
        self.cache.store(&self.key, &result);
        self.end(Ended::Kept(result));
    }

    fn give_up(mut self) {
        self.end(Ended::NotKept);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Ended::Abandoned);
        }
    }
}

impl Follow {
    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Ended {
        match self.0.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ended::Abandoned),
            Err(_) => Ended::Abandoned,
        }
    }
}

/// The batches so far.
struct Recording {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
    memory: KeptMemory,
}

impl Recording {
    /// One that may begin, if queries leave any memory.
    fn begin(lead: &Lead, schema: SchemaRef) -> Option<Self> {
        let memory = lead.cache.memory.keep(lead.key.bytes())?;
        Some(Self { schema, batches: Vec::new(), bytes: 0, memory })
    }

    /// Adds a batch of `bytes`; `false` when there is no room for it.
    fn add(&mut self, batch: &RecordBatch, bytes: usize, limit_bytes: u64) -> bool {
        self.bytes += bytes;
        if self.bytes as u64 > limit_bytes || !self.memory.grow(bytes) {
            return false;
        }
        self.batches.push(batch.clone());
        true
    }
}

enum Message {
    Batch(crate::Result<RecordBatch>),
    /// All that is left, to be read at the client's own pace.
    Rest(BatchStream),
    /// There is no more. Without it a recording that broke off would look like a short answer.
    End,
}

/// `batches`, of `schema`, which `lead` records on their way; `stats` are its query's.
pub(crate) fn record(
    runtime: &CpuRuntime,
    lead: Lead,
    schema: SchemaRef,
    batches: BatchStream,
    stats: &Arc<QueryStats>,
) -> BatchStream {
    let Some(recording) = Recording::begin(&lead, schema) else {
        lead.give_up();
        return batches;
    };
    // Bounded by what an answer may have that is kept.
    let (sender, receiver) = mpsc::unbounded_channel();
    let task = AbortOnDrop(runtime.spawn(run(lead, recording, batches, Arc::clone(stats), sender)));
    stream::unfold(Some((receiver, task)), |state| async move {
        let (mut receiver, task) = state?;
        match receiver.recv().await {
            Some(Message::Batch(batch)) => Some((stream::once(async move { batch }).boxed(), Some((receiver, task)))),
            Some(Message::Rest(rest)) => Some((rest, None)),
            Some(Message::End) => None,
            None => {
                let broken = Error::internal("the recording of an answer broke off");
                Some((stream::once(async move { Err(broken) }).boxed(), None))
            }
        }
    })
    .flatten()
    .boxed()
}

async fn run(
    lead: Lead,
    mut recording: Recording,
    mut batches: BatchStream,
    stats: Arc<QueryStats>,
    sender: mpsc::UnboundedSender<Message>,
) {
    let limit_bytes = lead.cache.result_limit_bytes();
    loop {
        let batch = match batches.next().await {
            None => {
                // What was left out is told with every answer, and counted where it is read.
                match stats.rejects.load(Ordering::Relaxed) {
                    0 => lead.finish(recording),
                    _ => lead.give_up(),
                }
                let _the_client_may_be_gone = sender.send(Message::End);
                return;
            }
            Some(batch) => batch.and_then(|batch| compact(&batch)),
        };
        match batch {
            Ok((batch, bytes)) => {
                let fits = recording.add(&batch, bytes, limit_bytes);
                if sender.send(Message::Batch(Ok(batch))).is_err() {
                    // The client is gone, and with it the query: the answer is not whole.
                    return;
                }
                if !fits {
                    drop(recording);
                    lead.give_up();
                    let _the_client_may_be_gone = sender.send(Message::Rest(batches));
                    return;
                }
            }
            Err(error) => {
                abandon_or_give_up(lead, &error);
                let _the_client_may_be_gone = sender.send(Message::Batch(Err(error)));
                return;
            }
        }
    }
}

/// What was cancelled says nothing of the query; what failed would fail again.
fn abandon_or_give_up(lead: Lead, error: &Error) {
    match error.code {
        ErrorCode::QueryCanceled | ErrorCode::AdminShutdown => drop(lead),
        _ => lead.give_up(),
    }
}
