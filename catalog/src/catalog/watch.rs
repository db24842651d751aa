//! [`Watch`]: keeps up with other servers that commit to the same store.
//!
//! PostgreSQL tells of each commit (`NOTIFY` in its transaction), and the newest snapshot is read at once, only what has
//! changed. The version is also asked for every [`POLL_INTERVAL`], since what is told while a connection is lost, or behind a
//! pooler, is never heard. A statement goes on with the snapshot that it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::published::{Published, gone_back};
use crate::store::connection::Connection;
use crate::store::postgres::{Wake, servers};
use crate::store::{Shared, read};
use crate::{Error, Result};

/// How late a commit elsewhere is seen when it wasn't told. A second is what people take for at once, and a query of one row
/// each second is nothing to PostgreSQL.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long closing the catalog waits for the server's row to be taken away: it would expire anyway.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Watches as long as it lives.
pub(super) struct Watch {
    server_id: Arc<AtomicI64>,
    wake: Sender<Wake>,
    /// Ends when the thread does.
    end: Mutex<Receiver<()>>,
}

impl Watch {
    pub(super) fn start(shared: Shared, published: Arc<Published>) -> Result<Self> {
        let Shared { listener, server_id, wake, wakes } = shared;
        let server_id = Arc::new(AtomicI64::new(server_id));
        let (running, end) = channel();
        let watcher = Watcher {
            listener,
            published,
            server_id: Arc::clone(&server_id),
            is_away: false,
            heartbeat_at: Instant::now(),
        };
        std::thread::Builder::new()
            .name("limnos-catalog-watch".to_owned())
            .spawn(move || {
                watcher.run(&wakes);
                drop(running);
            })
            .map_err(|error| Error::Store {
                message: format!("the thread that watches the store could not be started: {error}"),
                source: Some(Box::new(error)),
            })?;
        Ok(Self { server_id, wake, end: Mutex::new(end) })
    }

    /// Which of the servers on the store we are.
    pub(super) fn server_id(&self) -> i64 {
        self.server_id.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
        let _ = self.end.lock().recv_timeout(STOP_TIMEOUT);
    }
}

/// The thread's part.
struct Watcher {
    listener: Box<dyn Connection>,
    published: Arc<Published>,
    server_id: Arc<AtomicI64>,
    /// Whether the store was out of reach when it was last asked: told in the log once.
    is_away: bool,
    heartbeat_at: Instant,
}

impl Watcher {
    fn run(mut self, wakes: &Receiver<Wake>) {
        loop {
            match wakes.recv_timeout(POLL_INTERVAL) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Wake::Changed) | Err(RecvTimeoutError::Timeout) => {}
            }
            // Many commits that were told meanwhile are read at once.
            if wakes.try_iter().any(|wake| matches!(wake, Wake::Stop)) {
                break;
            }
            let kept_up = self.refresh().and_then(|()| self.heartbeat());
            self.log(kept_up);
        }
        if !self.is_away {
            // The row expires where it can't be taken away.
            let _ = servers::deregister(self.listener.as_mut(), self.server_id.load(Ordering::Relaxed));
        }
    }

    /// Reads what others have committed.
    fn refresh(&mut self) -> Result<()> {
        let (version, _) = read::load_version(self.listener.as_mut())?;
        let base = self.published.current();
        if version > base.version {
            let snapshot = read::load_consistently(self.listener.as_mut(), Some(&base))?;
            self.published.publish(snapshot);
        } else if version < base.version {
            // Unless we have committed in between.
            let (version, _) = read::load_version(self.listener.as_mut())?;
            if version < base.version {
                return Err(gone_back(self.listener.name(), version, base.version));
            }
        }
        Ok(())
    }

    fn heartbeat(&mut self) -> Result<()> {
        if self.heartbeat_at.elapsed() < servers::HEARTBEAT {
            return Ok(());
        }
        let oldest_version = self.published.oldest_held();
        let server_id = self.server_id.load(Ordering::Relaxed);
        if !servers::heartbeat(self.listener.as_mut(), server_id, oldest_version)? {
            // Taken for dead.
            let server_id = servers::register(self.listener.as_mut(), Some(oldest_version))?;
            self.server_id.store(server_id, Ordering::Relaxed);
        }
        self.heartbeat_at = Instant::now();
        Ok(())
    }

    fn log(&mut self, kept_up: Result<()>) {
        let store = self.listener.name();
        match kept_up {
            Err(error) if !self.is_away => {
                tracing::warn!(store, %error, "catalog store cannot be read, statements see what was committed before");
                self.is_away = true;
            }
            Ok(()) if self.is_away => {
                tracing::info!(store, "catalog store is read again");
                self.is_away = false;
            }
            _ => {}
        }
    }
}
