//! TLS: how it begins, what logins are bound to, certificates of clients, new certificates while the server runs.

use std::collections::BTreeSet;

use limnos_server::auth::hba::{
    AddressPattern, ClientCertificate, DatabasePattern, IdentRule, Method, RolePattern, Rule, Transport,
};
use limnos_server::auth::{AuthMethod, Rules, Users};
use limnos_server::serve::ServeOptions;
use limnos_server::tls::TlsVersion;
use limnos_tests::client;
use limnos_tests::server::TestServer;
use limnos_tests::tls::{self, Authority, Connector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config};

fn rule(transport: Transport, method: Method) -> Rule {
    Rule {
        transport,
        databases: vec![DatabasePattern::All],
        roles: vec![RolePattern::All],
        addresses: vec![AddressPattern::All],
        method,
        client_certificate: ClientCertificate::Optional,
        map: None,
    }
}

async fn start(authority: &Authority, change: impl FnOnce(&mut ServeOptions)) -> TestServer {
    TestServer::start_with(&[], |options| {
        options.auth = AuthMethod::ScramSha256;
        options.users = Users::from_secrets([("limnos", "secret"), ("ann", "secret")]).unwrap();
        options.tls = Some(authority.options());
        change(options);
    })
    .await
    .unwrap()
}

fn config(server: &TestServer) -> Config {
    let mut config = client::config(server.pg_address());
    config.ssl_mode(SslMode::Require).password("secret");
    config
}

async fn connect(config: &Config, connector: Connector) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(connector).await?;
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    Ok(client)
}

fn refused(result: Result<Client, tokio_postgres::Error>, sqlstate: &str, named: &str) {
    client::check_error(&result.err().unwrap(), sqlstate, named).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_encrypted_and_say_so() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |_| {}).await;
    let client = connect(&config(&server), authority.connector(None).unwrap()).await.unwrap();
    let rows = client::rows(
        &client,
        "SELECT ssl, version, cipher, bits, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    );
    let rows = rows.await.unwrap();
    let row: Vec<&str> = rows[0].iter().map(|value| value.as_deref().unwrap_or("-")).collect();
    assert!(matches!(row[..], ["t", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "256", "-"]), "{row:?}");
    // More than any buffer holds, both ways.
    let count = client::value(
        &client,
        "SELECT count(*), max(length(x)) FROM (SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000))",
    );
    assert!(count.await.is_err(), "two values");
    let messages = client.simple_query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)").await.unwrap();
    assert_eq!(messages.len(), 20_000 + 2);
    let long = "y".repeat(900_000);
    assert_eq!(client::value(&client, &format!("SELECT length('{long}')")).await.unwrap().as_deref(), Some("900000"));
    // Without TLS as well, unless a rule says otherwise.
    let mut plain = client::config(server.pg_address());
    plain.password("secret");
    let client = client::connect(&plain).await.unwrap();
    let row = client::rows(&client, "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await.unwrap();
    assert_eq!(row, [[Some("f".to_owned()), None]]);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_bound_to_the_certificate() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |_| {}).await;
    let mut config = config(&server);
    config.channel_binding(ChannelBinding::Require);
    connect(&config, authority.connector(None).unwrap()).await.unwrap();
    // Someone in between has a certificate of their own, which the client took.
    let mut between = authority.connector(None).unwrap();
    between.end_point = Some(vec![1; 32]);
    refused(connect(&config, between).await, "28000", "channel binding check failed");
    config.password("wrong");
    refused(connect(&config, authority.connector(None).unwrap()).await, "28P01", "limnos");
    config.password("secret").channel_binding(ChannelBinding::Disable);
    connect(&config, authority.connector(None).unwrap()).await.unwrap();
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_lied_to_about_channel_binding_is_refused() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |_| {}).await;
    let mut socket = tls::connect(server.pg_address(), authority.client(None).unwrap(), false).await.unwrap();
    socket.write_all(&startup("limnos")).await.unwrap();
    let mut offer = vec![0; 9];
    socket.read_exact(&mut offer).await.unwrap();
    let length = usize::from(offer[4]) + 1 - 9;
    let mut mechanisms = vec![0; length];
    socket.read_exact(&mut mechanisms).await.unwrap();
    assert_eq!(mechanisms, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    // `y`: "I could bind, but you don't offer it."
    let first = b"y,,n=,r=abc";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend_from_slice(&u32::try_from(first.len()).unwrap().to_be_bytes());
    body.extend_from_slice(first);
    let mut message = vec![b'p'];
    message.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend_from_slice(&body);
    socket.write_all(&message).await.unwrap();
    let mut answer = Vec::new();
    let _closed = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("C28000\0") && answer.contains("negotiation error"), "{answer:?}");
    server.shutdown().await;
}

fn startup(user: &str) -> Vec<u8> {
    let body = [&196_608_i32.to_be_bytes()[..], format!("user\0{user}\0database\0lake\0\0").as_bytes()].concat();
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_may_begin_with_the_first_byte_if_it_names_the_protocol() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |options| options.auth = AuthMethod::Trust).await;
    let mut socket = tls::connect(server.pg_address(), authority.client(None).unwrap(), true).await.unwrap();
    socket.write_all(&startup("ann")).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'R');
    drop(socket);
    // Encrypted already: no second handshake inside.
    let mut socket = tls::connect(server.pg_address(), authority.client(None).unwrap(), true).await.unwrap();
    socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'E');
    drop(socket);
    // Other protocols, and none: no word of ours is sent.
    for protocols in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut config = authority.client(None).unwrap();
        config.alpn_protocols = protocols;
        let Ok(mut socket) = tls::connect(server.pg_address(), config, true).await else { continue };
        let _written = socket.write_all(&startup("ann")).await;
        let mut answer = Vec::new();
        let _closed = socket.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
    // After an SSLRequest a client needs to name none: those before 17 don't.
    let mut config = authority.client(None).unwrap();
    config.alpn_protocols = Vec::new();
    let mut socket = tls::connect(server.pg_address(), config, false).await.unwrap();
    socket.write_all(&startup("ann")).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'R');
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_sent_before_the_handshake_are_an_attack() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |_| {}).await;
    let mut socket = tokio::net::TcpStream::connect(server.pg_address()).await.unwrap();
    socket.write_all(&[&[0, 0, 0, 8, 4, 210, 22, 47][..], &startup("limnos")].concat()).await.unwrap();
    let mut answer = Vec::new();
    let _closed = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with('E') && answer.contains("received unencrypted data"), "{answer:?}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_and_old_connections_can_be_turned_away() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |options| {
        options.rules = Some(Rules::everyone(AuthMethod::ScramSha256).with_tls_required());
        options.tls.as_mut().unwrap().min_version = TlsVersion::Tls13;
    })
    .await;
    let mut plain = client::config(server.pg_address());
    plain.password("secret");
    refused(client::connect(&plain).await, "28000", "user \"limnos\", database \"lake\", no encryption");
    connect(&config(&server), authority.connector(None).unwrap()).await.unwrap();
    let mut old = authority.client(None).unwrap();
    old = {
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(authority.path("ca.pem")).unwrap();
        use rustls::pki_types::pem::PemObject;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&old.alpn_protocols);
        config
    };
    assert!(tls::connect(server.pg_address(), old.clone(), false).await.is_err());
    server.shutdown().await;
    let server = start(&authority, |_| {}).await;
    let socket = tls::connect(server.pg_address(), old, false).await.unwrap();
    assert_eq!(socket.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_clients_are_roles() {
    let authority = Authority::new().unwrap();
    let named = |method, client_certificate, role: &str| Rule {
        client_certificate,
        roles: vec![RolePattern::from(role)],
        ..rule(Transport::Tls, method)
    };
    let server = start(&authority, |options| {
        let mapped = Rule { map: Some("people".to_owned()), ..named(Method::Cert, ClientCertificate::Optional, "bob") };
        let ident =
            IdentRule { map: "people".to_owned(), certificate: "*@example.com".to_owned(), role: "*".to_owned() };
        let rules = vec![
            mapped,
            named(Method::ScramSha256, ClientCertificate::NamesRole, "limnos"),
            named(Method::Cert, ClientCertificate::Optional, "ann"),
        ];
        options.rules = Some(Rules::new(rules, vec![ident]));
    })
    .await;
    let with = |name: &str| authority.connector(Some(&authority.sign(name, &[]).unwrap())).unwrap();
    let as_role = |role: &str| {
        let mut config = config(&server);
        config.user(role);
        config
    };
    let client = connect(&as_role("ann"), with("ann")).await.unwrap();
    let dn = client::value(&client, "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await.unwrap();
    assert!(dn.as_deref().is_some_and(|dn| dn.contains("ann")), "{dn:?}");
    refused(connect(&as_role("ann"), with("bob")).await, "28000", "certificate authentication failed for user \"ann\"");
    let nobody = authority.connector(None).unwrap();
    refused(connect(&as_role("ann"), nobody.clone()).await, "28000", "requires a valid client certificate");
    connect(&as_role("bob"), with("bob@example.com")).await.unwrap();
    refused(connect(&as_role("bob"), with("bob")).await, "28000", "bob");
    // Both the password and the certificate.
    connect(&as_role("limnos"), with("limnos")).await.unwrap();
    refused(connect(&as_role("limnos"), with("ann")).await, "28000", "limnos");
    refused(connect(&as_role("limnos"), nobody).await, "28000", "requires a valid client certificate");
    refused(connect(&as_role("eve"), with("eve")).await, "28000", "no hba entry for host \"127.0.0.1\", user \"eve\"");
    // Another authority's is refused in the handshake.
    let stranger = Authority::new().unwrap().sign("ann", &[]).unwrap();
    assert!(connect(&as_role("ann"), authority.connector(Some(&stranger)).unwrap()).await.is_err());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_without_a_restart() {
    let authority = Authority::new().unwrap();
    let server = start(&authority, |_| {}).await;
    let shown = async || {
        let socket = tls::connect(server.pg_address(), authority.client(None).unwrap(), false).await.unwrap();
        socket.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = connect(&config(&server), authority.connector(None).unwrap()).await.unwrap();
    let mut seen = BTreeSet::from([shown().await]);
    for _ in 0..3 {
        let pair = authority.renew().unwrap();
        let now = shown().await;
        assert_eq!(now, pair.certificate.to_vec());
        assert!(seen.insert(now));
        let mut bound = config(&server);
        bound.channel_binding(ChannelBinding::Require);
        connect(&bound, authority.connector(None).unwrap()).await.unwrap();
    }
    let last = shown().await;
    std::fs::write(authority.path("server.pem"), "not a certificate").unwrap();
    assert_eq!(shown().await, last);
    // Who was connected still is.
    assert_eq!(client::value(&before, "SELECT 1").await.unwrap().as_deref(), Some("1"));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_broken_tls_does_not_start() {
    let authority = Authority::new().unwrap();
    for (break_it, named) in [
        (
            Box::new(|options: &mut ServeOptions| options.tls.as_mut().unwrap().key = "/nosuch/key".into())
                as Box<dyn FnOnce(&mut ServeOptions)>,
            "/nosuch/key",
        ),
        (
            Box::new(|options: &mut ServeOptions| options.tls.as_mut().unwrap().client_ca = Some("/nosuch/ca".into())),
            "/nosuch/ca",
        ),
    ] {
        let started = TestServer::start_with(&[], |options| {
            options.tls = Some(authority.options());
            break_it(options);
        });
        let error = started.await.err().unwrap();
        assert!(format!("{error:#}").contains(named), "{error:#}");
    }
}
