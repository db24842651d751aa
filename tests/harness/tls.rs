//! TLS for tests: an authority with the certificates it signs, and clients that speak it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use limnos_server::tls::{TlsOptions, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// The name in the server's certificate, which tests connect to as.
pub const HOST: &str = "localhost";

/// A certificate and its key.
pub struct Pair {
    /// As it is shown.
    pub certificate: CertificateDer<'static>,
    /// PEM of both.
    pub pem: (String, String),
    key: PrivateKeyDer<'static>,
}

/// An authority, in a folder with the files a server needs.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// A new one, with a server's certificate signed by it.
    pub fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "Limnos tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?;
        let authority = Self {
            folder: tempfile::tempdir()?,
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        };
        std::fs::write(authority.path("ca.pem"), certificate.pem())?;
        authority.renew()?;
        Ok(authority)
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the server's certificate and key by new ones.
    pub fn renew(&self) -> anyhow::Result<Pair> {
        let pair = self.sign(HOST, &[HOST, "127.0.0.1"])?;
        std::fs::write(self.path("server.pem"), &pair.pem.0)?;
        write_private(&self.path("server.key"), &pair.pem.1)?;
        Ok(pair)
    }

    /// Signs a certificate of a common name and other names.
    pub fn sign(&self, name: &str, names: &[&str]) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            certificate: certificate.der().clone(),
            pem: (certificate.pem(), key.serialize_pem()),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// What a server is started with.
    pub fn options(&self) -> TlsOptions {
        TlsOptions {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
            min_version: TlsVersion::Tls12,
        }
    }

    /// A client that trusts this authority, and shows `pair` if it is given one.
    pub fn client(&self, pair: Option<&Pair>) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match pair {
            Some(pair) => builder.with_client_auth_cert(vec![pair.certificate.clone()], pair.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }

    /// The same for `tokio-postgres`.
    pub fn connector(&self, pair: Option<&Pair>) -> anyhow::Result<Connector> {
        Ok(Connector { config: Arc::new(self.client(pair)?), end_point: None })
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// A TLS connection of its own, from the first byte (direct) or after an SSLRequest.
pub async fn connect(
    address: SocketAddr,
    config: ClientConfig,
    direct: bool,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = TcpStream::connect(address).await?;
    if !direct {
        socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
        anyhow::ensure!(socket.read_u8().await? == b'S', "the server has no TLS");
    }
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST)?, socket).await?)
}

/// TLS for `tokio-postgres`.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    /// The hash to bind logins to, instead of that of the server's certificate: what someone in between would have.
    pub end_point: Option<Vec<u8>>,
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _host: &str) -> Result<Self, io::Error> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Connector {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
            let stream = TlsConnector::from(self.config).connect(name, socket).await?;
            Ok(Stream { stream, end_point: self.end_point })
        })
    }
}

/// A connection that `tokio-postgres` made.
pub struct Stream {
    stream: tokio_rustls::client::TlsStream<Socket>,
    end_point: Option<Vec<u8>>,
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        let of_certificate = || {
            let certificate = self.stream.get_ref().1.peer_certificates()?.first()?;
            limnos_server::tls::end_point(certificate).map(|hash| hash.to_vec())
        };
        self.end_point
            .clone()
            .or_else(of_certificate)
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
