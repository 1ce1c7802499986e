//! What faces clients: HSTS, certificates of clients and of the gateway as files change, plain HTTP, and what is shed when it gets
//! too much.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{APP, GATE, Kind, Manner, PUB, Setup, UNLISTED, World, exchange_plain, route_text};

const HSTS: &str = "strict-transport-security";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_one_hsts_field_and_it_is_the_gateways() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    for said in
        ["", "Strict-Transport-Security: max-age=0\r\n", "strict-transport-security: max-age=1\r\nStrict-Transport-Security: max-age=2\r\n"]
    {
        world.upstream.answer_with(Manner::Bytes(format!("HTTP/1.1 200 OK\r\n{said}Content-Length: 2\r\n\r\nok").into_bytes()));
        let answer = world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap();
        assert_eq!((answer.status, answer.all(HSTS)), (200, vec!["max-age=63072000"]), "{said:?}");
    }
    for (host, target) in [(GATE, "/"), (GATE, "/.portcullis/sign-in"), (APP, "/x"), (UNLISTED, "/"), (PUB, "/a/../b"), (GATE, "/none")] {
        let answer = world.wire(host).await.ask("GET", target, host, "").await.unwrap();
        assert_eq!(answer.all(HSTS), ["max-age=63072000"], "{host} {target} {}", answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hsts_is_what_the_configuration_says_after_a_reload_too() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    let file = world.config_dir().join("portcullis.toml");
    let text = fs::read_to_string(&file).unwrap();
    for (hsts, expected) in [
        ("{ max_age = \"0s\" }", "max-age=0"),
        ("{ max_age = \"1h\", include_subdomains = true }", "max-age=3600; includeSubDomains"),
        ("{ include_subdomains = true, preload = true }", "max-age=63072000; includeSubDomains; preload"),
    ] {
        fs::write(&file, text.replace("profile = \"modern\"", &format!("profile = \"modern\"\nhsts = {hsts}"))).unwrap();
        world.server().reload().await.unwrap();
        let answer = world.wire(GATE).await.ask("GET", "/", GATE, "").await.unwrap();
        assert_eq!(answer.all(HSTS), [expected]);
    }
    fs::write(&file, text.replace("profile = \"modern\"", "profile = \"modern\"\nhsts = { preload = true }")).unwrap();
    assert!(world.server().reload().await.unwrap_err().to_string().contains("include_subdomains"));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_upstreams_have_all_they_may_more_is_shed_and_people_still_sign_in() {
    let world = World::with(Setup { provider: Kind::Absent, more: "requests = 1\n".to_owned(), ..Setup::default() }).await;
    world.upstream.answer_with(Manner::Silence);
    let mut busy = world.wire(PUB).await;
    busy.send(format!("GET /open/x HTTP/1.1\r\nHost: {PUB}\r\n\r\n")).await;
    world.upstream.until(|text| text.contains("/open/x")).await;
    let shed = world.wire(PUB).await.ask("GET", "/open/y", PUB, "").await.unwrap();
    assert_eq!((shed.status, shed.json()["reason"].as_str()), (503, Some("overloaded")));
    assert_eq!(world.upstream.requests(), 1);
    for (host, target, status) in [(GATE, "/.portcullis/jwks.json", 200), (APP, "/.portcullis/session", 401)] {
        assert_eq!(world.wire(host).await.ask("GET", target, host, "").await.unwrap().status, status, "{host}{target}");
    }
    // A place is given back with the exchange.
    drop(busy);
    world.until(|world| (world.server().gateway().exchanges.count() == 0).then_some(())).await;
    world.upstream.answer_with(Manner::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()));
    assert_eq!(world.wire(PUB).await.ask("GET", "/open/z", PUB, "").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_leads_listed_hosts_to_https_and_reaches_nobody() {
    let more = "[redirect]\nbind = \"127.0.0.1:0\"\n".to_owned();
    let world = World::with(Setup { provider: Kind::Absent, more, ..Setup::default() }).await;
    let port = world.server().addresses().iter().find(|(name, _)| &**name == "redirect").unwrap().1.port();
    let get = async |host: &str| exchange_plain(port, format!("GET /a?b HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
    for host in [GATE, APP, PUB] {
        let answer = get(host).await;
        assert_eq!((answer.status, answer.location()), (308, format!("https://{host}/a?b").as_str()));
        assert!(answer.all("set-cookie").is_empty() && answer.all(HSTS).is_empty(), "{answer:?}");
    }
    // A name of the certificate that no route has, and names of nobody.
    for host in [UNLISTED, "evil.test", "127.0.0.1", "localhost"] {
        let answer = get(host).await;
        assert_eq!((answer.status, answer.field("location"), answer.body.len()), (404, None, 0), "{host}");
    }
    let more_routes = route_text("far", world.upstream.address, "").replace("https://far.test", "https://later.test");
    fs::write(world.config_dir().join("routes/far.toml"), more_routes).unwrap();
    assert_eq!(get("later.test").await.status, 404);
    world.server().reload().await.unwrap();
    assert_eq!(get("later.test").await.status, 308);
    assert_eq!((world.upstream.requests(), world.decisions().len()), (0, 0));
}

/// Who issues clients' certificates.
struct Clients {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Clients {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Devices");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str, serial: u64) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn revoked(&self, serials: &[u64]) -> String {
        let revoked_certs = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Shakes hands with a client's certificate and asks; the answer's first bytes, if there is one.
async fn ask_as(
    world: &World,
    who: Option<&(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> Option<(tokio_rustls::client::TlsStream<TcpStream>, String)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match who {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap(),
    };
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(PUB.try_into().unwrap(), stream).await.ok()?;
    stream.write_all(format!("GET /open/x HTTP/1.1\r\nHost: {PUB}\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.ok()?;
    Some((stream, String::from_utf8_lossy(&answer).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_demanded_recorded_and_revoked_by_a_file() {
    let clients = Clients::new();
    let listener = "client_certificates = { ca = \"clients.pem\", crl = [\"clients.crl\"] }\n".to_owned();
    let files = vec![("clients.pem", clients.pem.clone()), ("clients.crl", clients.revoked(&[]))];
    let world = World::with(Setup { provider: Kind::Absent, listener, files, ..Setup::default() }).await;
    let (ana, ben) = (clients.issue("laptop of ana", 0x0a01), clients.issue("laptop of ben", 0x0a02));
    assert!(ask_as(&world, None).await.is_none());
    let (mut open, status) = ask_as(&world, Some(&ana)).await.unwrap();
    assert_eq!(status, "HTTP/1.1 200");
    let list_until = || {
        let text = world.server().gateway().metrics.text();
        let line = text.lines().find(|line| line.starts_with("portcullis_revocation_list_expiry_timestamp_seconds ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(list_until(), date_time_ymd(4000, 1, 1).unix_timestamp());
    let shown = world.decisions().pop().unwrap()["client_certificate"].take();
    assert_eq!((shown["subject"].as_str(), shown["serial"].as_str()), (Some("CN=laptop of ana"), Some("0a01")), "{shown}");
    assert!(shown["issuer"].as_str().unwrap().contains("CN=Devices") && shown["sha256"].as_str().unwrap().len() == 64, "{shown}");
    // What a client sends of such fields itself never passes.
    let field = "Client-Cert: :AAAA:\r\nX-Client-Cert: AAAA\r\nX-SSL-Client-Cert: AAAA\r\n";
    open.write_all(format!("GET /open/y HTTP/1.1\r\nHost: {PUB}\r\n{field}\r\n").as_bytes()).await.unwrap();
    world.upstream.until(|text| text.contains("/open/y")).await;
    assert!(!world.upstream.text().contains("AAAA"), "{}", world.upstream.text());
    // A list that cannot be read is refused, and the one before it stays in force.
    let file = world.config_dir().join("clients.crl");
    for broken in ["", "no list", &clients.revoked(&[0x0a01])[..200], &clients.pem] {
        fs::write(&file, broken).unwrap();
        assert!(world.server().reload().await.is_err(), "{broken:?}");
        assert!(world.server().gateway().refused.load().is_some());
        assert!(ask_as(&world, Some(&ana)).await.is_some());
    }
    fs::write(&file, clients.revoked(&[0x0a01])).unwrap();
    world.server().reload().await.unwrap();
    assert!(world.server().gateway().refused.load().is_none());
    assert!(ask_as(&world, Some(&ana)).await.is_none());
    assert!(ask_as(&world, Some(&ben)).await.is_some());
    // The connection that was open is cut.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), open.read_to_end(&mut rest)).await.expect("it stayed open");
}

/// A pair of a certificate for the usual hosts, and what a client sees of it.
fn pair() -> (String, String, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let names = [GATE, APP, PUB].map(str::to_owned).to_vec();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().clone())
}

/// The certificate that is shown now.
async fn shown(world: &World) -> CertificateDer<'static> {
    #[derive(Debug)]
    struct Anybody;
    impl rustls::client::danger::ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls_pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls_pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(GATE.try_into().unwrap(), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn wait_for(world: &World, certificate: &CertificateDer<'static>) {
    for _ in 0..1_000 {
        if shown(world).await == *certificate {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the new certificate was not taken within ten seconds");
}

fn put(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let fresh = folder.join(format!(".{name}.new"));
    fs::write(&fresh, text).unwrap();
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&fresh, folder.join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_taken_however_their_files_are_replaced() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    let config = world.config_dir();
    let following = tokio::spawn(world.server().follow_files());
    // Both files renamed, one after the other, with the key first and last; in between, the old pair is in force.
    for order in [["gate.pem", "gate.key"], ["gate.key", "gate.pem"]] {
        let (certificate, key, der) = pair();
        let before = shown(&world).await;
        let text = |name: &str| if name == "gate.pem" { &certificate } else { &key };
        put(&config, order[0], text(order[0]));
        world.until(|world| world.server().gateway().refused.load_full()).await;
        assert_eq!(shown(&world).await, before);
        let metrics = world.server().gateway().metrics.text();
        assert!(metrics.contains("portcullis_configuration_refused 1"), "{metrics}");
        put(&config, order[1], text(order[1]));
        wait_for(&world, &der).await;
        assert!(world.server().gateway().refused.load().is_none());
        assert!(world.server().gateway().metrics.text().contains("portcullis_configuration_refused 0"));
    }
    // As orchestrators do: a link to a folder is swapped under links to the files in it.
    let (certificate, key, der) = pair();
    let folder = |name: &str, certificate: &str, key: &str| {
        fs::create_dir(config.join(name)).unwrap();
        put(&config.join(name), "gate.pem", certificate);
        put(&config.join(name), "gate.key", key);
    };
    let swap = |name: &str| {
        std::os::unix::fs::symlink(name, config.join("..fresh")).unwrap();
        fs::rename(config.join("..fresh"), config.join("..data")).unwrap();
    };
    folder("..first", &certificate, &key);
    swap("..first");
    for name in ["gate.pem", "gate.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), config.join(".link")).unwrap();
        fs::rename(config.join(".link"), config.join(name)).unwrap();
    }
    wait_for(&world, &der).await;
    let (certificate, key, der) = pair();
    folder("..second", &certificate, &key);
    swap("..second");
    wait_for(&world, &der).await;
    // A file that lies elsewhere, behind a link, and is replaced there.
    let (certificate, key, der) = pair();
    put(&config.join("..second"), "gate.pem", &certificate);
    put(&config.join("..second"), "gate.key", &key);
    wait_for(&world, &der).await;
    world.server().stop().await;
    following.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_came_before_anybody_watched_its_folder_is_taken() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    let (certificate, key, der) = pair();
    put(&world.config_dir(), "gate.pem", &certificate);
    put(&world.config_dir(), "gate.key", &key);
    let following = tokio::spawn(world.server().follow_files());
    wait_for(&world, &der).await;
    world.server().stop().await;
    following.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_never_quiet_does_not_hold_a_certificate_up() {
    let world = World::with(Setup { provider: Kind::Absent, ..Setup::default() }).await;
    let config = world.config_dir();
    let following = tokio::spawn(world.server().follow_files());
    let noise = config.join("noise");
    let writing = tokio::spawn(async move {
        for number in 0_u64.. {
            fs::write(&noise, number.to_string()).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let (certificate, key, der) = pair();
    put(&config, "gate.pem", &certificate);
    put(&config, "gate.key", &key);
    wait_for(&world, &der).await;
    writing.abort();
    world.server().stop().await;
    following.await.unwrap();
}
