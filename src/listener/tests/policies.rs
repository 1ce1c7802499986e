//! What TLS is spoken, by real handshakes, and what of a session outlives its connection (SNI-04, SNI-06, TLS-02, TLS-04, TLS-09).

use std::sync::Mutex;

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::*;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";

fn client(stand: &Stand, provider: CryptoProvider, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(Arc::clone(&stand.roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

async fn shake(stand: &Stand, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(stand.address).await.unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name.to_owned().try_into().unwrap(), stream).await
}

/// What a preset speaks, as docs/operating.md lists it.
struct Spoken {
    profile: Profile,
    versions: Vec<&'static SupportedProtocolVersion>,
    groups: &'static [NamedGroup],
    chacha: bool,
}

const GROUPS: [&dyn SupportedKxGroup; 5] = [
    aws_lc_rs::kx_group::X25519MLKEM768,
    aws_lc_rs::kx_group::SECP256R1MLKEM768,
    aws_lc_rs::kx_group::X25519,
    aws_lc_rs::kx_group::SECP256R1,
    aws_lc_rs::kx_group::SECP384R1,
];

fn presets() -> [Spoken; 4] {
    use NamedGroup::{X25519, X25519MLKEM768, secp256r1, secp256r1MLKEM768, secp384r1};
    let (both, new) = (vec![&TLS12, &TLS13], vec![&TLS13]);
    [
        Spoken { profile: Profile::Modern, versions: new, groups: &[X25519MLKEM768, X25519, secp256r1, secp384r1], chacha: true },
        Spoken {
            profile: Profile::Intermediate,
            versions: both.clone(),
            groups: &[X25519MLKEM768, X25519, secp256r1, secp384r1],
            chacha: true,
        },
        Spoken { profile: Profile::Bsi, versions: both.clone(), groups: &[secp256r1MLKEM768, secp256r1, secp384r1], chacha: false },
        Spoken {
            profile: Profile::Pci,
            versions: both.clone(),
            groups: &[X25519MLKEM768, secp256r1MLKEM768, secp256r1, secp384r1],
            chacha: false,
        },
    ]
}

#[tokio::test]
async fn each_preset_takes_the_groups_it_lists_and_no_others() {
    for preset in presets() {
        let stand = start_with(settings(), preset.profile);
        for group in GROUPS {
            let provider = CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() };
            let shaken = shake(&stand, &Arc::new(client(&stand, provider, &[&TLS13])), "app.test").await;
            let taken =
                shaken.as_ref().ok().and_then(|stream| stream.get_ref().1.negotiated_key_exchange_group()).map(|group| group.name());
            let listed = preset.groups.contains(&group.name());
            assert_eq!(taken, listed.then(|| group.name()), "{:?} {:?}", preset.profile, group.name());
        }
        // Of all of them, the first of the list.
        let provider = CryptoProvider { kx_groups: GROUPS.to_vec(), ..aws_lc_rs::default_provider() };
        let stream = shake(&stand, &Arc::new(client(&stand, provider, &[&TLS13])), "app.test").await.unwrap();
        assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), preset.groups[0], "{:?}", preset.profile);
    }
}

#[tokio::test]
async fn each_preset_takes_the_versions_and_suites_it_lists_and_no_others() {
    for preset in presets() {
        let stand = start_with(settings(), preset.profile);
        for suite in aws_lc_rs::ALL_CIPHER_SUITES {
            let version = if matches!(suite, SupportedCipherSuite::Tls13(_)) { &TLS13 } else { &TLS12 };
            let name = suite.suite().as_str().unwrap();
            // The stand's certificates hold ECDSA keys.
            if name.contains("_RSA_") {
                continue;
            }
            let provider = CryptoProvider { cipher_suites: vec![*suite], ..aws_lc_rs::default_provider() };
            let shaken = shake(&stand, &Arc::new(client(&stand, provider, &[version])), "app.test").await;
            let listed = preset.versions.contains(&version) && (preset.chacha || !name.contains("CHACHA20"));
            assert_eq!(shaken.is_ok(), listed, "{:?} {name}", preset.profile);
        }
    }
}

/// Gives every ticket to whomever is met next, whatever the name: what a client must not do, and an attacker does.
#[derive(Debug, Default)]
struct Indiscriminate {
    tickets: Mutex<Vec<Tls13ClientSessionValue>>,
    sessions: Mutex<Option<Tls12ClientSessionValue>>,
    group: Mutex<Option<NamedGroup>>,
}

impl ClientSessionStore for Indiscriminate {
    fn set_kx_hint(&self, _: rustls_pki_types::ServerName<'static>, group: NamedGroup) {
        *self.group.lock().unwrap() = Some(group);
    }
    fn kx_hint(&self, _: &rustls_pki_types::ServerName<'_>) -> Option<NamedGroup> {
        *self.group.lock().unwrap()
    }
    fn set_tls12_session(&self, _: rustls_pki_types::ServerName<'static>, session: Tls12ClientSessionValue) {
        *self.sessions.lock().unwrap() = Some(session);
    }
    fn tls12_session(&self, _: &rustls_pki_types::ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.lock().unwrap().clone()
    }
    fn remove_tls12_session(&self, _: &rustls_pki_types::ServerName<'static>) {
        *self.sessions.lock().unwrap() = None;
    }
    fn insert_tls13_ticket(&self, _: rustls_pki_types::ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.tickets.lock().unwrap().push(ticket);
    }
    fn take_tls13_ticket(&self, _: &rustls_pki_types::ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets.lock().unwrap().pop()
    }
}

fn resuming(stand: &Stand, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut config = client(stand, aws_lc_rs::default_provider(), &[version]);
    config.resumption = rustls::client::Resumption::store(Arc::new(Indiscriminate::default()));
    Arc::new(config)
}

/// Shakes hands, asks for something so that tickets come, and tells how hands were shaken.
async fn visit(stand: &mut Stand, config: &Arc<ClientConfig>, name: &str) -> HandshakeKind {
    let mut stream = shake(stand, config, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    stream.write_all(REQUEST.replace("app.test", name).as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream).await), ["200"]);
    stand.next().await;
    kind
}

const RESUMED: HandshakeKind = HandshakeKind::Resumed;

#[tokio::test]
async fn a_session_is_resumed_where_it_began_and_nowhere_else() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let certificates = vec![authority.certificate(&["app.test", "both.test", "*.w.test"]), authority.certificate(&["other.test"])];
        let tls = || Arc::new(ServerTls::new(Profile::Intermediate, Protocols::default(), certificates.clone()).unwrap());
        let first_tls = tls();
        let mut first = start_on(settings(), Arc::clone(&first_tls), authority);
        let config = resuming(&first, version);
        assert_ne!(visit(&mut first, &config, "app.test").await, RESUMED);
        assert_eq!(visit(&mut first, &config, "app.test").await, RESUMED);
        // Another name under the same certificate, and under another one.
        assert_ne!(visit(&mut first, &config, "both.test").await, RESUMED);
        assert_ne!(visit(&mut first, &config, "a.w.test").await, RESUMED);
        assert_ne!(visit(&mut first, &config, "b.w.test").await, RESUMED);
        assert_ne!(visit(&mut first, &config, "other.test").await, RESUMED);
        // Another listener with the very same certificates: also what a restart is.
        visit(&mut first, &config, "app.test").await;
        let mut second = start_on(settings(), tls(), Authority::new());
        assert_ne!(visit(&mut second, &config, "app.test").await, RESUMED);
        // The same certificates put in place again change nothing; others do.
        visit(&mut first, &config, "app.test").await;
        first_tls.replace(certificates.clone()).unwrap();
        assert_eq!(visit(&mut first, &config, "app.test").await, RESUMED);
        first_tls.replace(certificates.iter().rev().cloned().collect()).unwrap();
        assert_ne!(visit(&mut first, &config, "app.test").await, RESUMED);
    }
}

#[tokio::test]
async fn early_data_is_not_taken() {
    let mut stand = start();
    // A server that gives leave for early data, of the same name, hands out the ticket.
    let (chain, key) = stand.authority.issue(&["app.test"]);
    let chain = vec![rustls_pki_types::pem::PemObject::from_pem_slice(chain.as_bytes()).unwrap()];
    let key = rustls_pki_types::pem::PemObject::from_pem_slice(key.as_bytes()).unwrap();
    let mut lenient = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    lenient.max_early_data_size = 16_384;
    lenient.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(lenient)).accept(stream).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut config = client(&stand, aws_lc_rs::default_provider(), &[&TLS13]);
    config.resumption = rustls::client::Resumption::store(Arc::new(Indiscriminate::default()));
    config.enable_early_data = true;
    let config = Arc::new(config);
    let connector = TlsConnector::from(Arc::clone(&config));
    let mut lent = connector.connect("app.test".try_into().unwrap(), TcpStream::connect(address).await.unwrap()).await.unwrap();
    read_to_end(&mut lent).await;
    // when it is offered to the listener with a request in front
    let mut connection = rustls::ClientConnection::new(config, "app.test".try_into().unwrap()).unwrap();
    let early = b"GET /early HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let mut offered = connection.early_data().expect("no early data can be offered");
    std::io::Write::write_all(&mut offered, early).unwrap();
    let mut stream = TcpStream::connect(stand.address).await.unwrap();
    let mut incoming = [0; 16_384];
    while connection.is_handshaking() {
        let mut outgoing = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut outgoing).unwrap();
        }
        let sent = stream.write_all(&outgoing).await;
        let came = tokio::time::timeout(PATIENCE, stream.read(&mut incoming)).await.expect("the handshake hangs");
        let (Ok(()), Ok(count @ 1..)) = (sent, came) else { break };
        connection.read_tls(&mut &incoming[..count]).unwrap();
        if connection.process_new_packets().is_err() {
            break;
        }
    }
    // then nothing of it was taken
    assert!(!connection.is_early_data_accepted());
    drop(stream);
    let mut plain = stand.connect().await;
    plain.write_all(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut plain).await), ["200"]);
    assert_eq!(stand.next().await.target, "/a");
}

/// How a hello is cut up on its way.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Into records of one byte.
    Records,
    /// Into segments of one byte.
    Segments,
    /// In the middle of the server's name, into two records.
    InTheName,
}

/// Forwards a client's first record in pieces, and the rest as it is.
async fn through(cut: Cut, address: SocketAddr, mut near: tokio::io::DuplexStream) {
    let mut far = TcpStream::connect(address).await.unwrap();
    far.set_nodelay(true).unwrap();
    let mut head = [0; 5];
    near.read_exact(&mut head).await.unwrap();
    let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    near.read_exact(&mut hello).await.unwrap();
    let record = |part: &[u8]| [&head[..3], &u16::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat();
    match cut {
        Cut::Records => far.write_all(&hello.iter().flat_map(|byte| record(&[*byte])).collect::<Vec<_>>()).await.unwrap(),
        Cut::Segments => {
            for byte in record(&hello) {
                far.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        Cut::InTheName => {
            let at = hello.windows(3).position(|window| window == b"app" || window == b"oth" || window == b"unk").unwrap() + 1;
            far.write_all(&record(&hello[..at])).await.unwrap();
            tokio::task::yield_now().await;
            far.write_all(&record(&hello[at..])).await.unwrap();
        }
    }
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

#[tokio::test]
async fn a_hello_in_pieces_is_the_same_as_whole() {
    for cut in [Cut::Records, Cut::Segments, Cut::InTheName] {
        for (name, known) in [("app.test", true), ("other.test", true), ("unknown.test", false)] {
            let mut stand = start();
            let (near, far) = tokio::io::duplex(65_536);
            tokio::spawn(through(cut, stand.address, far));
            let config = Arc::new(client(&stand, aws_lc_rs::default_provider(), &[&TLS13]));
            let shaken = TlsConnector::from(config).connect(name.try_into().unwrap(), near);
            let shaken = tokio::time::timeout(PATIENCE, shaken).await.expect("the handshake hangs");
            assert_eq!(shaken.is_ok(), known, "{cut:?} {name}");
            let Ok(mut stream) = shaken else { continue };
            stream.write_all(REQUEST.replace("app.test", name).as_bytes()).await.unwrap();
            assert_eq!(stand.next().await.facts.connection.tls.server_name.as_str(), name);
        }
    }
}

#[tokio::test]
async fn an_exact_name_goes_before_a_wildcard() {
    let authority = Authority::new();
    let certificates = vec![authority.certificate(&["*.w.test"]), authority.certificate(&["a.w.test"])];
    for certificates in [certificates.clone(), certificates.into_iter().rev().collect()] {
        let tls = ServerTls::new(Profile::Modern, Protocols::default(), certificates).unwrap();
        let config = |name| tls.config_for(name).unwrap();
        assert!(!Arc::ptr_eq(&config("a.w.test"), &config("b.w.test")));
        assert!(Arc::ptr_eq(&config("c.w.test"), &config("b.w.test")));
        assert!(tls.config_for("a.b.w.test").is_none() && tls.config_for("w.test").is_none());
    }
}
