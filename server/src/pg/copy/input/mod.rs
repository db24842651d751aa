//! COPY FROM STDIN: the client's messages -> batches for the engine's write.
//!
//! The connection reads messages and hands their bytes over ([`Feed`]); they are taken apart where the write runs, on the CPU
//! runtime ([`rows`]), so that reading, parsing and writing go on side by side. What is handed over and not yet parsed is
//! bounded in bytes: beyond it the socket isn't read, and the client waits.

mod column;
mod fields;
mod lines;
mod reader;
mod tuples;

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use limnos_engine::input::InputContext;
use limnos_engine::parse::{CopyIn, ParsedStatement};
use limnos_engine::{Error, ErrorCode, Notice, Result};
use parking_lot::Mutex;
use pgwire::messages::copy::CopyInResponse;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::reader::{Reader, Told};
use super::options::{CopyOptions, Direction, Verbosity};
use crate::limits::COPY_AHEAD_BYTES;
use crate::pg::connection::{Connection, Failure};
use crate::pg::error::{Context, PgError};
use crate::pg::frontend;
use crate::pg::wire::{Frame, Wire};

/// Messages that are handed over and not yet parsed: psql's are of 8 KiB, and so are within the bytes.
const MESSAGES_AHEAD: usize = 1024;

/// What the connection hands over.
enum Piece {
    Data(Bytes, OwnedSemaphorePermit),
    /// CopyDone.
    Done,
    /// CopyFail, with its text.
    Failed(String),
}

/// Where the client's bytes go.
struct Feed {
    sender: mpsc::Sender<Piece>,
    budget: Arc<Semaphore>,
}

/// What a message did.
enum Fed {
    More,
    /// The client has said its last word.
    Last,
    /// Nobody takes more: the write has ended, and says why.
    Closed,
}

impl Feed {
    async fn data(&self, bytes: Bytes) -> Fed {
        let count = bytes.len().clamp(1, COPY_AHEAD_BYTES) as u32;
        let Ok(permit) = Arc::clone(&self.budget).acquire_many_owned(count).await else { return Fed::Closed };
        self.send(Piece::Data(bytes, permit), Fed::More).await
    }

    async fn send(&self, piece: Piece, fed: Fed) -> Fed {
        if self.sender.send(piece).await.is_ok() { fed } else { Fed::Closed }
    }
}

impl Connection {
    pub(super) async fn copy_in(&mut self, parsed: &Arc<ParsedStatement>, copy: &CopyIn) -> Result<(), Failure> {
        let options = CopyOptions::read(&copy.options, Direction::In)?;
        let Self { wire, service, session, slot, .. } = self;
        let found = wire.while_connected(Box::pin(slot.guard(service.copy_target(session, parsed)))).await?;
        let target = found?;
        let code = options.layout.format().code();
        let verbosity = options.verbosity;
        let context = InputContext::of(session, Some(service.now_us()));
        let told = Arc::new(Mutex::new(Told::default()));
        let reader = Reader::new(&target, options, &context, Arc::clone(&told))?;
        let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
        let feed = Feed { sender, budget: Arc::new(Semaphore::new(COPY_AHEAD_BYTES)) };
        let rows = rows(receiver, reader, Arc::clone(&told));
        let ended = {
            let mut work = Box::pin(service.copy_in(session, parsed, target.clone(), rows, slot));
            // Begun before the client is asked for rows: from then on its cancel must reach it.
            match futures::poll!(&mut work) {
                Poll::Ready(ended) => ended,
                Poll::Pending => {
                    let columns = target.columns.len();
                    wire.send(&CopyInResponse::new(code as i8, columns as i16, vec![code; columns]));
                    wire.flush().await?;
                    feed_until(wire, &feed, work).await?
                }
            }
        };
        let done = ended.map_err(|error| PgError {
            context: told.lock().context.take().map(|context| Box::new(Context(context))),
            ..PgError::from(error)
        })?;
        let mut told = std::mem::take(&mut *told.lock());
        self.service.keep_copy_rejects(&target, &done.query_id, &told.rejects);
        if told.skipped > 0 && verbosity >= Verbosity::Default {
            let rows = if told.skipped == 1 { "row was" } else { "rows were" };
            let message = format!("{} {rows} skipped due to data type incompatibility", told.skipped);
            told.notices.push(Notice::notice(message));
        }
        told.notices.extend(done.copied.notices.iter().cloned());
        done.finish();
        self.copied(parsed, format!("COPY {}", done.copied.row_count), &told.notices);
        Ok(())
    }
}

/// Feeds what the client sends to `work` until that has ended. When the client goes away it is given up.
async fn feed_until<T>(wire: &mut Wire, feed: &Feed, mut work: impl Future<Output = T> + Unpin) -> Result<T, Failure> {
    loop {
        let fed = tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            fed = next(wire, feed) => fed?,
        };
        match fed {
            Fed::More => {}
            Fed::Last | Fed::Closed => return Ok(wire.while_connected(work).await?),
        }
    }
}

/// Reads one message of the client and hands it over.
async fn next(wire: &mut Wire, feed: &Feed) -> Result<Fed, Failure> {
    let Frame { kind, body } = wire.read_unless_terminated().await?;
    Ok(match kind {
        b'd' => feed.data(body).await,
        b'c' => feed.send(Piece::Done, Fed::Last).await,
        b'f' => {
            let text = frontend::Reader::new(body).string()?;
            feed.send(Piece::Failed(text), Fed::Last).await
        }
        // What a client sends that doesn't know yet that it is asked for rows.
        b'H' | b'S' => Fed::More,
        kind => {
            let message = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
            return Err(PgError::protocol(message).into());
        }
    })
}

/// The client's rows, in batches.
fn rows(
    receiver: mpsc::Receiver<Piece>,
    reader: Reader,
    told: Arc<Mutex<Told>>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let state = (receiver, reader, told, false);
    futures::stream::try_unfold(state, |(mut receiver, mut reader, told, mut is_ended)| async move {
        loop {
            if let Some(batch) = reader.next(is_ended)? {
                return Ok(Some((batch, (receiver, reader, told, is_ended))));
            }
            if is_ended {
                return Ok(None);
            }
            let failed = match receiver.recv().await {
                Some(Piece::Data(bytes, _permit)) => {
                    reader.push(&bytes);
                    continue;
                }
                Some(Piece::Done) => {
                    reader.end();
                    is_ended = true;
                    continue;
                }
                Some(Piece::Failed(text)) => format!("COPY from stdin failed: {text}"),
                // Without CopyDone nothing is whole.
                None => "COPY from stdin failed: the client went away".to_owned(),
            };
            told.lock().context.get_or_insert(reader.stopped_at());
            return Err(Error::new(ErrorCode::QueryCanceled, failed));
        }
    })
    .boxed()
}
