//! Certificates that clients show: demanded, revoked, expired, replaced (SNI-06, SNI-07, SNI-09).

use kernel::event::ConnectionFault;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::HandshakeKind;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::*;

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n";

/// Somebody with a certificate.
struct Person {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Person {
    fn of(authority: &Authority, serial: u64, last_year: i32) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("person {serial}"));
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(last_year, 1, 1);
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        Self { chain: vec![certificate.der().clone()], key }
    }

    fn config(&self, stand: &Stand) -> Arc<ClientConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let builder = builder(stand).with_client_auth_cert(self.chain.clone(), key).unwrap();
        finish(builder)
    }
}

fn builder(stand: &Stand) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(Arc::clone(&stand.roots))
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn revoked(authority: &Authority, serials: &[u64], next_update_year: i32) -> CertificateRevocationListDer<'static> {
    let revoked_certs = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(next_update_year, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&authority.issuer).unwrap().der().clone()
}

fn asking(authority: &Authority, demand: Demand, revocation: Revocation) -> ClientAuthority {
    ClientAuthority { demand, roots: vec![authority.certificate.der().clone()], revocation }
}

/// One request with the answer left open; `None` when the listener did not let the client in.
async fn ask(stand: &mut Stand, config: &Arc<ClientConfig>) -> Option<(TlsStream<TcpStream>, Met)> {
    let stream = TcpStream::connect(stand.address).await.unwrap();
    let connecting = TlsConnector::from(Arc::clone(config)).connect("app.test".try_into().unwrap(), stream);
    let mut stream = connecting.await.ok()?;
    // In TLS 1.3 the client has done its part before the listener looked at the certificate.
    stream.write_all(REQUEST.as_bytes()).await.ok()?;
    let mut first = [0; 1];
    let came = tokio::time::timeout(PATIENCE, stream.read(&mut first)).await.expect("neither an answer nor an end");
    if !matches!(came, Ok(1)) {
        return None;
    }
    let met = stand.next().await;
    Some((stream, met))
}

const GOOD: i32 = 4000;
const PAST: i32 = 2021;

#[tokio::test]
async fn who_shows_no_good_certificate_gets_nothing() {
    let mut stand = start();
    let (clients, strangers) = (Authority::new(), Authority::new());
    let list = |serials: &[u64]| Revocation::Listed(vec![revoked(&clients, serials, GOOD)]);
    let nobody = finish(builder(&stand).with_no_client_auth());
    let [ana, ben, eva] = [(&clients, 1, GOOD), (&clients, 2, PAST), (&strangers, 1, GOOD)]
        .map(|(authority, serial, until)| Person::of(authority, serial, until).config(&stand));
    stand.tls.ask_clients(asking(&clients, Demand::Required, list(&[7]))).unwrap();
    let (_, met) = ask(&mut stand, &ana).await.expect("a good certificate was refused");
    let shown = met.facts.connection.tls.client_certificate.clone().unwrap();
    assert_eq!((&*shown.subject, &*shown.serial, shown.sha256.len()), ("CN=person 1", "01", 64));
    for (who, config) in [("nobody", &nobody), ("expired", &ben), ("a stranger", &eva)] {
        assert!(ask(&mut stand, config).await.is_none(), "{who}");
    }
    // Whoever need not show one must show a good one all the same.
    stand.tls.ask_clients(asking(&clients, Demand::Optional, list(&[7]))).unwrap();
    let (_, met) = ask(&mut stand, &nobody).await.unwrap();
    assert!(met.facts.connection.tls.client_certificate.is_none());
    assert!(ask(&mut stand, &ana).await.is_some());
    for config in [&ben, &eva] {
        assert!(ask(&mut stand, config).await.is_none());
    }
}

#[tokio::test]
async fn revocation_fails_closed() {
    let (clients, others) = (Authority::new(), Authority::new());
    for (what, lists) in [
        ("revoked", vec![revoked(&clients, &[1], GOOD)]),
        ("the list is out of its time", vec![revoked(&clients, &[], PAST)]),
        ("no list of this issuer", vec![revoked(&others, &[], GOOD)]),
    ] {
        let mut stand = start();
        let ana = Person::of(&clients, 1, GOOD).config(&stand);
        stand.tls.ask_clients(asking(&clients, Demand::Required, Revocation::Listed(lists))).unwrap();
        assert!(ask(&mut stand, &ana).await.is_none(), "{what}");
        stand.tls.ask_clients(asking(&clients, Demand::Required, Revocation::Unchecked)).unwrap();
        assert!(ask(&mut stand, &ana).await.is_some(), "{what}: control");
    }
    let broken = Revocation::Listed(vec![CertificateRevocationListDer::from(vec![0x30, 0x00])]);
    let stand = start();
    assert!(matches!(stand.tls.ask_clients(asking(&clients, Demand::Required, broken)), Err(TlsFault::Clients(_))));
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_open_connections_and_no_others() {
    let mut stand = start();
    let clients = Authority::new();
    let [ana, ben] = [1, 2].map(|serial| Person::of(&clients, serial, GOOD).config(&stand));
    let with = |serials: &[u64]| asking(&clients, Demand::Required, Revocation::Listed(vec![revoked(&clients, serials, GOOD)]));
    stand.tls.ask_clients(with(&[])).unwrap();
    let (mut first, _) = ask(&mut stand, &ana).await.unwrap();
    let (mut second, _) = ask(&mut stand, &ben).await.unwrap();
    read_until(&mut first, "/a").await;
    read_until(&mut second, "/a").await;
    // An upgraded one is cut too.
    let upgrade = "GET /upgrade HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (mut tunnel, _) = ask(&mut stand, &ana).await.unwrap();
    read_until(&mut tunnel, "/a").await;
    tunnel.write_all(upgrade.as_bytes()).await.unwrap();
    read_until(&mut tunnel, "\r\n\r\n").await;
    tunnel.write_all(b"ping").await.unwrap();
    read_until(&mut tunnel, "ping").await;
    stand.tls.ask_clients(with(&[1])).unwrap();
    for cut in [&mut first, &mut tunnel] {
        let ended = tokio::time::timeout(PATIENCE, cut.read(&mut [0; 1])).await.expect("the connection stayed open");
        assert!(!matches!(ended, Ok(1)));
    }
    second.write_all(REQUEST.as_bytes()).await.unwrap();
    read_until(&mut second, "/a").await;
    assert!(ask(&mut stand, &ana).await.is_none());
}

#[tokio::test]
async fn nothing_of_a_client_is_kept_for_the_next_connection() {
    let mut stand = start_with(settings(), Profile::Intermediate);
    let clients = Authority::new();
    let before = finish(builder(&stand).with_no_client_auth());
    let (open, _) = ask(&mut stand, &before).await.unwrap();
    drop(open);
    stand.tls.ask_clients(asking(&clients, Demand::Required, Revocation::Unchecked)).unwrap();
    // A session that began without a certificate is not resumed where one is asked for.
    assert!(ask(&mut stand, &before).await.is_none());
    let ana = Person::of(&clients, 1, GOOD).config(&stand);
    for _ in 0..3 {
        let (stream, met) = ask(&mut stand, &ana).await.unwrap();
        assert_ne!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
        assert!(met.facts.connection.tls.client_certificate.is_some());
    }
}

#[tokio::test]
async fn what_a_client_did_not_show_is_counted() {
    let authority = Authority::new();
    let certificates = vec![authority.certificate(&["app.test"])];
    let tls = Arc::new(ServerTls::new(Profile::Modern, Protocols::default(), certificates).unwrap());
    tls.ask_clients(asking(&Authority::new(), Demand::Required, Revocation::Unchecked)).unwrap();
    let bound = bind(settings(), Arc::clone(&tls)).unwrap();
    let refusals = bound.refusals();
    let (sender, met) = channel(64);
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (address, release) = (bound.local_addr(), Arc::new(Notify::new()));
    let (resting, rested) = watch::channel(0);
    let recorder = Recorder { met: sender, release: Arc::clone(&release), rested: resting };
    tasks.spawn(bound.serve(recorder, shutdown.clone(), tasks.clone()));
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let mut stand =
        Stand { address, met, release, rested, shutdown, tasks, tls, roots: Arc::new(roots), challenges: Arc::default(), authority };
    let nobody = finish(builder(&stand).with_no_client_auth());
    assert!(ask(&mut stand, &nobody).await.is_none());
    stand.assert_nothing_more().await;
    assert_eq!(refusals.take().iter().map(|refused| refused.fault).collect::<Vec<_>>(), [ConnectionFault::ClientCertificate]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_is_watched_for_as_long_as_its_connection_lives_though_no_other_check_can_come() {
    let authority = Authority::new();
    let person = Person::of(&authority, 1, GOOD);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let list = Revocation::Listed(vec![revoked(&authority, &[], GOOD)]);
    let check = Arc::new(crate::listener::tls::Clients::new(asking(&authority, Demand::Required, list), &provider).unwrap());
    let (last_check, checks) = tokio::sync::watch::channel(Some(check));
    let (cut, closed) = (CancellationToken::new(), CancellationToken::new());
    let watching = crate::listener::cut::watch_chain(person.chain.clone(), checks, cut.clone(), closed.clone());
    drop(last_check);
    let mut watching = std::pin::pin!(watching);
    let hours = tokio::time::timeout(Duration::from_secs(7_200), watching.as_mut()).await;
    assert!(hours.is_err(), "it was given up: {hours:?}");
    closed.cancel();
    assert_eq!(watching.await, crate::listener::cut::Outcome::Closed);
    assert!(!cut.is_cancelled());
}
