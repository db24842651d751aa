//! [`SteadyStore`]: a remote store whose bodies go on where they broke off, and whose listings end.
//!
//! `object_store` asks again after an error, but takes a body that ends cleanly before its end for a whole one, and waits
//! for ever for one that stalls. ETags of its listings and its answers may differ by their quotes. Here the rest is asked for, of exactly the version that was begun; after some times that is
//! an error. Never a part for the whole, never two versions in one.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::scan::store::metered::ReadMeter;

/// How long a body may stand still. Three times that, with the pauses between, is within a minute.
const STALL: Duration = if cfg!(test) { Duration::from_millis(30) } else { Duration::from_secs(12) };

/// How often the rest of a body is asked for without [`PROGRESS_BYTES`] between.
const RESUMES_MAX: u32 = 3;

/// So many bytes further, a store is well again.
const PROGRESS_BYTES: u64 = 8 << 20;

/// The first pause before asking again; each is twice the one before, less a part left to chance so that many readers don't
/// come back together.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 200 });

/// How long a listing may bring no key. A page that fails is asked for again within that time.
const LISTING_STALL: Duration = Duration::from_secs(58);

/// See the module.
#[derive(Debug)]
pub(super) struct SteadyStore {
    inner: Arc<dyn ObjectStore>,
}

impl SteadyStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }
}

impl fmt::Display for SteadyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for SteadyStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.inner.get_opts(location, options.clone()).await?;
        result.meta = quoted(result.meta);
        if options.head {
            return Ok(result);
        }
        let GetResult { meta, range, attributes, .. } = &result;
        let (meta, range, attributes) = (meta.clone(), range.clone(), attributes.clone());
        let body = Body {
            store: Arc::clone(&self.inner),
            location: location.clone(),
            options: GetOptions { if_match: meta.e_tag.clone(), ..options },
            position: range.start,
            end: range.end,
            resumes: 0,
            resumed_at: range.start,
            bytes: result.into_stream(),
        };
        let bytes = stream::unfold(Some(body), |body| async move {
            let mut body = body?;
            match body.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(body))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(GetResult { payload: GetResultPayload::Stream(bytes.boxed()), meta, range, attributes })
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        ending(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        ending(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects = listed.objects.into_iter().map(quoted).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// A body on its way.
struct Body {
    store: Arc<dyn ObjectStore>,
    location: Path,
    options: GetOptions,
    position: u64,
    end: u64,
    resumes: u32,
    /// Where it was gone on with last.
    resumed_at: u64,
    bytes: BoxStream<'static, Result<Bytes>>,
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let broken = match tokio::time::timeout(STALL, self.bytes.next()).await {
                Ok(Some(Ok(bytes))) => {
                    let position = self.position + bytes.len() as u64;
                    if position > self.end {
                        return Err(broken(format!("\"{}\" has bytes beyond {}", self.location, self.end)));
                    }
                    self.position = position;
                    return Ok(Some(bytes));
                }
                // It was asked for again already.
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) if self.position == self.end => return Ok(None),
                Ok(None) => format!("\"{}\" ended at byte {} of {}", self.location, self.position, self.end),
                Err(_) => format!("no byte of \"{}\" arrived for {} s", self.location, STALL.as_secs()),
            };
            self.resume(broken).await?;
        }
    }

    /// Asks for the rest; an error that says what had `happened` where that is of no use.
    async fn resume(&mut self, happened: String) -> Result<()> {
        if self.position - self.resumed_at >= PROGRESS_BYTES {
            self.resumes = 0;
        }
        // Without its ETag the rest could be of another version.
        if self.resumes == RESUMES_MAX || self.options.if_match.is_none() {
            return Err(broken(happened));
        }
        tracing::debug!(happened, "a body is gone on with");
        let pause = PAUSE * 2_u32.pow(self.resumes);
        tokio::time::sleep(pause - pause.mul_f64(chance() / 2.0)).await;
        self.resumes += 1;
        self.resumed_at = self.position;
        let range = self.position..self.end;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..self.options.clone() };
        if let Some(meter) = options.extensions.get::<ReadMeter>() {
            meter.request();
        }
        let result = self.store.get_opts(&self.location, options).await?;
        if quoted(result.meta.clone()).e_tag != self.options.if_match {
            let source = "another version was found when going on with a body".into();
            return Err(object_store::Error::Precondition { path: self.location.to_string(), source });
        }
        if result.range != range {
            return Err(broken(happened));
        }
        self.bytes = result.into_stream();
        Ok(())
    }
}

/// An ETag in the form that it has in headers. Azure lists it without quotes, and would seem to have replaced every file.
fn quoted(mut meta: ObjectMeta) -> ObjectMeta {
    if let Some(e_tag) = &mut meta.e_tag
        && !e_tag.starts_with('"')
        && !e_tag.starts_with("W/")
    {
        *e_tag = format!("\"{e_tag}\"");
    }
    meta
}

fn broken(text: String) -> object_store::Error {
    object_store::Error::Generic { store: "body", source: text.into() }
}

/// Anything from 0 to 1.
fn chance() -> f64 {
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A listing that ends: no key comes twice in one, and some key comes in good time. Whatever cycle a store runs in is
/// found by remembering one key, which is moved on to the newest each time twice as many have passed (Brent).
fn ending(keys: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    struct Keys {
        keys: BoxStream<'static, Result<ObjectMeta>>,
        remembered: Option<Path>,
        passed: u64,
        power: u64,
    }
    let state = Keys { keys, remembered: None, passed: 0, power: 1 };
    stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let failed = |text: &str| object_store::Error::Generic { store: "listing", source: text.into() };
        let meta = match tokio::time::timeout(LISTING_STALL, state.keys.next()).await {
            Err(_) => return Some((Err(failed("no key arrived for 58 s")), None)),
            Ok(None) => return None,
            Ok(Some(Err(error))) => return Some((Err(error), None)),
            Ok(Some(Ok(meta))) => meta,
        };
        if state.remembered.as_ref() == Some(&meta.location) {
            return Some((Err(failed("the store lists the same keys again and again")), None));
        }
        state.passed += 1;
        if state.passed == state.power {
            state.remembered = Some(meta.location.clone());
            state.passed = 0;
            state.power *= 2;
        }
        Some((Ok(quoted(meta)), Some(state)))
    })
    .boxed()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
