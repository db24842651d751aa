//! [`S3Server`]: S3 over real HTTP on the loopback address, files in a temporary folder, every request counted, and
//! faults to switch on.
//!
//! `s3s-fs` keeps objects as files; what a data lake relies on and it lacks is added in [`Bucket`]: ETags in listings,
//! `If-Match`, and no object where there is only a folder. So a test writes `path/of/key` under [`S3Server::root`] and it
//! is an object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, ETag, ETagCondition, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
    StreamingBlob, UploadPartInput, UploadPartOutput,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The key pair that the server accepts.
pub const ACCESS_KEY: &str = "limnos-test-access";
/// Its secret; a test can look for it in error texts.
pub const SECRET_KEY: &str = "limnos-test-secret-canary";

/// How many requests of each kind were answered, faults included.
#[derive(Debug, Default)]
pub struct Requests {
    list: AtomicUsize,
    get: AtomicUsize,
    head: AtomicUsize,
    put: AtomicUsize,
    delete: AtomicUsize,
    body_bytes: AtomicU64,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCounts {
    pub list: usize,
    pub get: usize,
    pub head: usize,
    pub put: usize,
    pub delete: usize,
    /// Bytes of GET bodies promised to clients.
    pub body_bytes: u64,
    /// The most requests that waited for their answers at the same time: with [`Faults::latency_ms`] those under way.
    pub most_waiting: usize,
}

impl RequestCounts {
    /// All requests together.
    pub fn total(&self) -> usize {
        self.list + self.get + self.head + self.put + self.delete
    }
}

/// One request that waits for its answer.
struct Waiting<'a>(&'a Requests);

impl<'a> Waiting<'a> {
    fn new(requests: &'a Requests) -> Self {
        let waiting = requests.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        requests.most_waiting.fetch_max(waiting, Ordering::SeqCst);
        Self(requests)
    }
}

impl Drop for Waiting<'_> {
    /// The client may leave before its answer.
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What can be made to go wrong. Each counter says for how many requests; `usize::MAX` is for ever.
#[derive(Debug, Default)]
pub struct Faults {
    /// Answer `503 SlowDown`.
    pub slow_down: AtomicUsize,
    /// Send half of a GET's body, then break the connection.
    pub reset_mid_body: AtomicUsize,
    /// Send half of a GET's body without a length, and end it as if that were all.
    pub short_body: AtomicUsize,
    /// Milliseconds before each answer.
    pub latency_ms: AtomicU64,
    /// Answer `403 AccessDenied` to requests for keys and prefixes that begin so.
    pub denied_prefix: Mutex<Option<String>>,
}

impl Faults {
    /// Takes one from a counter, if there is one.
    fn take(counter: &AtomicUsize) -> bool {
        counter
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                0 => None,
                usize::MAX => Some(usize::MAX),
                _ => Some(left - 1),
            })
            .is_ok()
    }
}

/// A running server. Dropping it stops it and removes its files.
#[derive(Debug)]
pub struct S3Server {
    root: TempDir,
    endpoint: String,
    requests: Arc<Requests>,
    /// The switches.
    pub faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

impl S3Server {
    /// Starts a server with the empty bucket `bucket`.
    ///
    /// # Errors
    /// When the folder or the port can't be had.
    pub async fn start(bucket: &str) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join(bucket))?;
        let requests = Arc::new(Requests::default());
        let faults = Arc::new(Faults::default());
        let files = FileSystem::new(root.path()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let store = Bucket {
            files,
            root: root.path().to_owned(),
            requests: Arc::clone(&requests),
            faults: Arc::clone(&faults),
            etags: Mutex::default(),
        };
        let mut builder = S3ServiceBuilder::new(store);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    // A client that goes away, or a fault of ours, ends the connection with an error; that is the point.
                    let _ended = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Ok(Self { root, endpoint, requests, faults, accepting })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The folder that holds one folder per bucket.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// What a server needs to know to reach this store, under the names of `StoreOptions::s3`.
    pub fn options(&self) -> BTreeMap<String, String> {
        [
            ("endpoint", self.endpoint.as_str()),
            ("region", "us-east-1"),
            ("access_key_id", ACCESS_KEY),
            ("secret_access_key", SECRET_KEY),
            ("allow_http", "true"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// The counts so far.
    pub fn counts(&self) -> RequestCounts {
        let read = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        RequestCounts {
            list: read(&self.requests.list),
            get: read(&self.requests.get),
            head: read(&self.requests.head),
            put: read(&self.requests.put),
            delete: read(&self.requests.delete),
            body_bytes: self.requests.body_bytes.load(Ordering::SeqCst),
            most_waiting: read(&self.requests.most_waiting),
        }
    }

    /// Begins counting anew.
    pub fn reset_counts(&self) {
        let requests = &self.requests;
        for counter in
            [&requests.list, &requests.get, &requests.head, &requests.put, &requests.delete, &requests.most_waiting]
        {
            counter.store(0, Ordering::SeqCst);
        }
        self.requests.body_bytes.store(0, Ordering::SeqCst);
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// `s3s-fs`, counted, with faults, and closer to S3.
struct Bucket {
    files: FileSystem,
    root: PathBuf,
    requests: Arc<Requests>,
    faults: Arc<Faults>,
    /// ETags by path, for the size and modification time they were taken at: listings would hash all files each time.
    etags: Mutex<BTreeMap<PathBuf, (u64, std::time::SystemTime, String)>>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Counts, waits, and fails where a fault says so.
    async fn admit(&self, counter: &AtomicUsize, key: &str) -> S3Result<()> {
        counter.fetch_add(1, Ordering::SeqCst);
        let latency = self.faults.latency_ms.load(Ordering::SeqCst);
        if latency > 0 {
            let _waiting = Waiting::new(&self.requests);
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        if Faults::take(&self.faults.slow_down) {
            return Err(s3_error!(SlowDown, "Please reduce your request rate."));
        }
        let denied = self.faults.denied_prefix.lock().expect("no holder of this lock panics").clone();
        if denied.is_some_and(|prefix| key.starts_with(&prefix)) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        Ok(())
    }

    /// The file of an object; none where there is nothing or only a folder.
    fn file(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let path = self.root.join(bucket).join(key);
        if key.ends_with('/') || !path.is_file() {
            return Err(s3_error!(NoSuchKey, "The specified key does not exist."));
        }
        Ok(path)
    }

    /// An ETag that changes with the content, as S3's do, and with the time of writing, which is enough here.
    fn etag(&self, path: &Path) -> S3Result<String> {
        let metadata = std::fs::metadata(path).map_err(|error| s3_error!(error, NoSuchKey))?;
        let modified = metadata.modified().map_err(|error| s3_error!(error, InternalError))?;
        let mut etags = self.etags.lock().expect("no holder of this lock panics");
        if let Some((size, time, etag)) = etags.get(path)
            && (*size, *time) == (metadata.len(), modified)
        {
            return Ok(etag.clone());
        }
        let content = std::fs::read(path).map_err(|error| s3_error!(error, NoSuchKey))?;
        // FNV-1a, twice, to the 32 digits that clients expect of an ETag.
        let hash = |seed: u64| {
            content.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
        };
        let etag = format!("{:016x}{:016x}", hash(0xcbf2_9ce4_8422_2325), hash(content.len() as u64 ^ 0x5555));
        etags.insert(path.to_owned(), (metadata.len(), modified, etag.clone()));
        Ok(etag)
    }

    /// `412 Precondition Failed` unless the object is the one the client means.
    fn check_match(etag: &str, condition: Option<&ETagCondition>) -> S3Result<()> {
        match condition {
            Some(ETagCondition::ETag(wanted)) if wanted.value() != etag => {
                Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl S3 for Bucket {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.admit(&self.requests.get, &request.input.key).await?;
        let path = self.file(&request.input.bucket, &request.input.key)?;
        let written = || std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        let before = written();
        let etag = self.etag(&path)?;
        Self::check_match(&etag, request.input.if_match.as_ref())?;
        let mut response = self.files.get_object(request).await?;
        // The body is of the file that was opened: if that may be another than the one that was checked, it isn't sent.
        // S3 checks and opens at once. The time tells of a file that was replaced twice, by the same in the end.
        if self.etag(&path)? != etag || written() != before {
            return Err(s3_error!(PreconditionFailed));
        }
        response.output.e_tag = Some(ETag::Strong(etag));
        let length = response.output.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        self.requests.body_bytes.fetch_add(length, Ordering::SeqCst);
        let reset = Faults::take(&self.faults.reset_mid_body);
        if (reset || Faults::take(&self.faults.short_body))
            && let Some(mut body) = response.output.body.take()
        {
            let mut content = Vec::new();
            while let Some(chunk) = body.next().await {
                content.extend_from_slice(&chunk.map_err(|error| s3_error!(InternalError, "{error}"))?);
            }
            content.truncate(content.len() / 2);
            let mut chunks = vec![Ok(Bytes::from(content))];
            if reset {
                chunks.push(Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
            } else {
                response.output.content_length = None;
            }
            response.output.body = Some(StreamingBlob::wrap(futures::stream::iter(chunks)));
        }
        Ok(response)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.admit(&self.requests.head, &request.input.key).await?;
        let path = self.file(&request.input.bucket, &request.input.key)?;
        let etag = self.etag(&path)?;
        Self::check_match(&etag, request.input.if_match.as_ref())?;
        let mut response = self.files.head_object(request).await?;
        response.output.e_tag = Some(ETag::Strong(etag));
        Ok(response)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.admit(&self.requests.list, request.input.prefix.as_deref().unwrap_or("")).await?;
        let bucket = request.input.bucket.clone();
        let mut response = self.files.list_objects_v2(request).await?;
        for object in response.output.contents.iter_mut().flatten() {
            if let Some(key) = &object.key {
                object.e_tag = Some(ETag::Strong(self.etag(&self.root.join(&bucket).join(key))?));
            }
        }
        Ok(response)
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.admit(&self.requests.head, "").await?;
        self.files.head_bucket(request).await
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.admit(&self.requests.put, &request.input.key).await?;
        self.files.put_object(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.admit(&self.requests.delete, &request.input.key).await?;
        self.files.delete_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.admit(&self.requests.delete, "").await?;
        self.files.delete_objects(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.admit(&self.requests.put, &request.input.key).await?;
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.admit(&self.requests.put, &request.input.key).await?;
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.admit(&self.requests.put, &request.input.key).await?;
        self.files.complete_multipart_upload(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.admit(&self.requests.delete, &request.input.key).await?;
        self.files.abort_multipart_upload(request).await
    }
}
