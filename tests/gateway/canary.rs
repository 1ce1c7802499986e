//! AU-02: secrets are planted on every way into the gateway, and then looked for in every file, log line, metric and page.
//!
//! The log is written at the level `trace`, by every crate in the process. What is found anywhere is a leak.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::server::control::{Order, Outcome};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{APP, Browser, GATE, Manner, PUB, Setup, SpanReceiver, UNLISTED, World};

/// What was planted, by where.
#[derive(Default)]
struct Planted(BTreeMap<String, String>);

impl Planted {
    /// A fresh secret for a place.
    fn fresh(&mut self, place: &str) -> String {
        let secret = format!("canary{:02}x{}", self.0.len(), hex(&portcullis::entropy::bytes::<8>().unwrap()));
        self.keep(place, &secret);
        secret
    }

    /// A secret that came to be on the way.
    fn keep(&mut self, place: &str, secret: &str) {
        assert!(secret.len() >= 6, "{place}: {secret}");
        self.0.insert(format!("{place} #{}", self.0.len()), secret.to_owned());
    }

    /// Everything secret in the addresses that a browser went through.
    fn keep_way(&mut self, way: &[String]) {
        for address in way {
            let url = url::Url::parse(address).unwrap();
            for (name, value) in url.query_pairs().filter(|(_, value)| value.len() > 16 && !value.contains(['/', ' '])) {
                self.keep(&format!("query {name} of {}", url.path()), &value);
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the process logs.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The places where a secret stands as it is. One of six digits counts only where it stands alone.
fn found_in(name: &str, content: &[u8], planted: &Planted) -> Vec<String> {
    let alone = |at: usize, length: usize| {
        let beside = [at.checked_sub(1).and_then(|before| content.get(before)), content.get(at + length)];
        beside.iter().flatten().all(|byte| !byte.is_ascii_alphanumeric())
    };
    let holds = |secret: &str| {
        let mut places = content.windows(secret.len()).enumerate().filter(|(_, window)| *window == secret.as_bytes());
        places.any(|(at, _)| secret.len() > 6 || alone(at, secret.len()))
    };
    planted.0.iter().filter(|(_, secret)| holds(secret)).map(|(place, secret)| format!("{name} holds {secret} ({place})")).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if entry.is_file() {
            found.push(entry);
        }
    }
    found
}

/// One thread runs the whole gateway, so that its log can be captured without that of other tests.
#[tokio::test]
async fn forty_secrets_are_in_no_file_no_log_no_metric_and_no_page() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .without_time()
        .with_ansi(false)
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut planted = Planted::default();
    let mut pages: Vec<Vec<u8>> = Vec::new();
    let tokens = tempfile::tempdir().unwrap();
    let receiver = SpanReceiver::start().await;
    let world = World::with(setup(tokens.path(), &receiver, &mut planted)).await;
    key_files(&world, &mut planted);

    let mut browser = people(&world, &mut planted, &mut pages).await;
    requests(&world, &mut browser, &mut planted, &mut pages).await;
    strangers(&world, &mut planted, &mut pages).await;
    let answers = orders(&world, &mut planted).await;
    for (place, bytes) in sent_upstream(&world) {
        planted.keep(&place, &bytes);
    }

    assert!(planted.0.len() >= 40, "{} were planted", planted.0.len());
    let metrics = world.server().gateway().metrics.text();
    world.server().stop().await;
    let spans = receiver.requests();
    assert!(receiver.spans().len() > 20 && spans.iter().all(|(_, fields, _)| fields.contains("Bearer canary")), "{spans:?}");
    let mut leaks = found_in("/metrics", metrics.as_bytes(), &planted);
    leaks.extend(found_in("an answer at the control socket", answers.as_bytes(), &planted));
    spans.iter().for_each(|(_, _, body)| leaks.extend(found_in("a batch of spans", body.as_bytes(), &planted)));
    let log = captured.0.lock().unwrap().clone();
    let told = String::from_utf8_lossy(&log).into_owned();
    assert!(
        ["a sign-in was refused", "a request failed on our side"].iter().all(|line| told.contains(line)),
        "the log was captured: {told}"
    );
    leaks.extend(found_in("the log", &log, &planted));
    let files: Vec<_> = [world.state_dir(), world.audit_dir()].iter().flat_map(|folder| files(folder)).collect();
    assert!(files.iter().any(|file| file.ends_with("portcullis.db")) && files.len() > 3, "{files:?}");
    for file in files {
        leaks.extend(found_in(&file.display().to_string(), &fs::read(&file).unwrap(), &planted));
    }
    // The name of a place to return to stands in the form of whoever is on the way there, and opens nothing.
    planted.0.retain(|place, _| !place.starts_with("query return"));
    for page in &pages {
        leaks.extend(found_in("a page that refuses", page, &planted));
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// The search finds what is there.
#[test]
fn a_secret_that_leaks_is_found() {
    let mut planted = Planted::default();
    let secret = planted.fresh("somewhere");
    planted.keep("a code", "123456");
    assert_eq!(found_in("x", format!("a={secret};").as_bytes(), &planted).len(), 1);
    assert_eq!(found_in("x", b"code=123456&", &planted).len(), 1);
    assert!(found_in("x", b"1790123456000 ab123456", &planted).is_empty());
}

/// A receiver of findings that nobody answers for: what fails is logged. One of spans that takes them all.
fn setup(folder: &Path, receiver: &SpanReceiver, planted: &mut Planted) -> Setup {
    let file = folder.join("hook.token");
    fs::write(&file, planted.fresh("token of the webhook")).unwrap();
    let more = format!(
        "[notify]\nwebhook = {{ url = \"https://127.0.0.1:9/hook\", token = {{ file = \"{}\" }} }}\n[detection]\nscan_person = 2\n\
         [traces]\nendpoint = \"https://localhost:{}\"\nca = \"spans.pem\"\ntoken = {{ file = \"spans.token\" }}\none_in = 1\nper_second = 10000\n",
        file.display(),
        receiver.port
    );
    let files = vec![("spans.pem", receiver.certificate.clone()), ("spans.token", planted.fresh("token of the traces"))];
    Setup { more, files, ..Setup::default() }
}

/// The gateway's own secrets, as they stand in its files, and as the bytes that they mean.
fn key_files(world: &World, planted: &mut Planted) {
    for name in ["master.key", "audit.key", "oidc.secret"] {
        let text = fs::read_to_string(world.config_dir().join(name)).unwrap();
        planted.keep(name, text.trim());
        if let Ok(bytes) = STANDARD.decode(text.trim()) {
            planted.keep(&format!("{name} in hex"), &hex(&bytes));
        }
    }
    let key = fs::read_to_string(world.config_dir().join("gate.key")).unwrap();
    planted.keep("gate.key", key.lines().nth(1).unwrap());
}

/// Sign-in, enrolment, codes right and wrong, recovery; cookies and one-time codes on the way.
async fn people(world: &Arc<World>, planted: &mut Planted, pages: &mut Vec<Vec<u8>>) -> Browser {
    let mut browser = Browser::new(world, "ana");
    let query = planted.fresh("query of the first navigation");
    let fragment = planted.fresh("fragment");
    let page = browser.first_factor(&format!("https://{APP}/start?token={query}#{fragment}")).await;
    planted.keep_way(&page.way);
    planted.keep("cookie before the factor", browser.cookie(GATE).unwrap());
    let secret = page.answer.text().split("secret=").nth(1).unwrap().chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
    planted.keep("TOTP secret", &secret);
    let (phone, codes, after) = browser.enrol(&page).await;
    planted.keep_way(&after.way);
    planted.keep("TOTP code of the enrolment", &phone.code(world.clock.now()));
    codes.iter().for_each(|code| planted.keep("recovery code", code));
    for host in [GATE, APP] {
        planted.keep(&format!("cookie of {host}"), browser.cookie(host).unwrap());
    }
    let mut other = Browser::new(world, "ana");
    let at = other.first_factor(&format!("https://{APP}/again")).await;
    planted.keep_way(&at.way);
    for typed in [planted.fresh("a password in the code's field"), phone.wrong_code(world.clock.now())] {
        planted.keep("what was typed as a code", &typed);
        pages.push(other.submit_code(&at, &typed).await.body);
    }
    let form = [("code", planted.fresh("code")), ("password", planted.fresh("password")), ("return", planted.fresh("return"))];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pages.push(other.post(&format!("https://{GATE}/.portcullis/second-factor"), &form).await.body);
    pages.push(other.post(&format!("https://{GATE}/.portcullis/enrol"), &form).await.body);
    assert_eq!(other.submit_code(&at, &codes[0]).await.status, 303, "a recovery code is taken");
    planted.keep("cookie after a recovery code", other.cookie(GATE).unwrap());
    world.next_code();
    planted.keep("TOTP code", &phone.code(world.clock.now()));
    let signed_in = Browser::new(world, "ana").sign_in(&format!("https://{APP}/third"), &phone).await;
    planted.keep_way(&signed_in.way);
    browser
}

/// What a signed-in client sends in every place that a request has, and what an upstream answers.
async fn requests(world: &Arc<World>, browser: &mut Browser, planted: &mut Planted, pages: &mut Vec<Vec<u8>>) {
    let basic = STANDARD.encode(format!("ana:{}", planted.fresh("password in Basic")));
    planted.keep("Basic", &basic);
    let names =
        ["Bearer", "X-Api-Key", "Cookie of the upstream's", "Referer", "X-Forwarded-For", "body", "Set-Cookie", "body of the upstream"];
    let secrets: Vec<String> = names.iter().map(|name| planted.fresh(name)).collect();
    browser.cookies.entry(APP.to_owned()).or_default().insert("theirs".to_owned(), secrets[2].clone());
    let answer = format!(
        "HTTP/1.1 200 OK\r\nSet-Cookie: theirs={}; Path=/\r\nWWW-Authenticate: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
        secrets[6],
        planted.fresh("header of the upstream"),
        secrets[7].len(),
        secrets[7]
    );
    world.upstream.answer_with(Manner::Bytes(answer.into_bytes()));
    let (bearer, referer) = (format!("Bearer {}", secrets[0]), format!("https://elsewhere.test/?k={}", secrets[3]));
    let basic = format!("Basic {basic}");
    for authorization in [&bearer, &basic] {
        let fields = [
            ("Authorization", authorization.as_str()),
            ("Proxy-Authorization", authorization),
            ("X-Api-Key", &secrets[1]),
            ("Referer", &referer),
            ("X-Portcullis-Assertion", &secrets[4]),
            ("Accept", "text/html"),
        ];
        for target in ["", "admin/x", "fresh/x"] {
            let value = planted.fresh("query");
            let url = format!("https://{APP}/{target}?token={value}&password={value}");
            pages.push(browser.send("GET", &url, &fields, &[], "").await.body);
        }
        let length = secrets[5].len().to_string();
        let mut fields = fields.to_vec();
        fields.push(("Content-Length", &length));
        pages.push(browser.send("POST", &format!("https://{APP}/form"), &fields, &[], &secrets[5]).await.body);
        pages.push(browser.send("POST", &format!("https://{PUB}/open/form"), &fields, &[], &secrets[5]).await.body);
    }
    let (cookie, query) = (browser.cookie(APP).unwrap().to_owned(), planted.fresh("query over HTTP/2"));
    let request = http::Request::get(format!("https://{APP}/h2?token={query}"))
        .header("cookie", format!("__Host-portcullis={cookie}"))
        .header("authorization", &bearer)
        .header("x-api-key", &secrets[1]);
    let mut streams = world.h2(APP).await;
    assert_eq!(streams.send_request(request.body(http_body_util::Full::default()).unwrap()).await.unwrap().status(), 200);
    // The upstream's own answers come back as they are; they are no pages of ours.
    pages.retain(|page| !page.windows(secrets[7].len()).any(|window| window == secrets[7].as_bytes()));
    world.upstream.answer_with(Manner::Bytes(format!("HTTP/1.1 2{} no status\r\n\r\n", planted.fresh("broken status line")).into_bytes()));
    pages.push(browser.get(&format!("https://{APP}/broken?x={}", planted.fresh("query of a failure"))).await.body);
    world.upstream.answer_with(Manner::Plain);
}

/// What nobody in particular sends: bad requests, bad callbacks, bad tokens.
async fn strangers(world: &Arc<World>, planted: &mut Planted, pages: &mut Vec<Vec<u8>>) {
    let (state, code, token) = (planted.fresh("state"), planted.fresh("code"), planted.fresh("logout token"));
    let targets = [
        format!("https://{GATE}/.portcullis/callback?state={state}&code={code}"),
        format!("https://{GATE}/.portcullis/callback?state={state}&state={state}&code={code}"),
        format!("https://{APP}/.portcullis/finish?code={code}"),
        format!("https://{GATE}/.portcullis/second-factor?return={state}"),
        format!("https://{UNLISTED}/?api_key={code}"),
        format!("https://{APP}//double?token={code}"),
        format!("https://{APP}/%2e%2e/?token={code}"),
    ];
    for target in &targets {
        let mut stranger = Browser::new(world, "ben");
        stranger.set_cookie(GATE, &planted.fresh("a made-up cookie"));
        stranger.set_cookie(APP, &planted.fresh("a made-up cookie"));
        for answer in [stranger.get(target).await, stranger.fetch(target).await] {
            pages.push(answer.body);
        }
    }
    let mut stranger = Browser::new(world, "ben");
    pages.push(stranger.post(&format!("https://{GATE}/.portcullis/backchannel-logout"), &[("logout_token", &token)]).await.body);
    for bytes in [
        format!("GET /{} HTTP/1.1\r\nHost: {APP}\r\nHost: {}\r\n\r\n", "x", planted.fresh("a second Host")),
        format!("GET / HTTP/1.1\r\nHost: {APP}\r\nContent-Length: 5\r\nTransfer-Encoding: {}\r\n\r\n", planted.fresh("a transfer coding")),
        format!("GET / HTTP/1.1\r\nHost: {APP}\r\nAuthorization Bearer: {}\r\n\r\n", planted.fresh("a field that is none")),
    ] {
        pages.push(world.wire(APP).await.exchange(bytes.as_bytes()).await.body);
    }
}

/// What an operator is shown; the invitation's code is the answer to one order, and stands nowhere else.
async fn orders(world: &Arc<World>, planted: &mut Planted) -> String {
    let mut shown = String::new();
    for order in [Order::UserList {}, Order::UserShow { user: "ana@example.com".into() }, Order::SessionList { user: None }] {
        shown.push_str(&format!("{:?}\n", world.order(order).await));
    }
    match world.order(Order::UserInvite { email: "eva@example.com".into() }).await {
        Outcome::Invite { code, .. } => planted.keep("invitation", &code),
        other => panic!("{other:?}"),
    }
    let secret = planted.fresh("an order that is none");
    let mut socket = tokio::net::UnixStream::connect(world.state_dir().join("control.sock")).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut socket, format!("{{\"order\":\"{secret}\"}}\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await.unwrap();
    assert!(answer.contains("refused"), "{answer}");
    shown
}

/// The assertions that the upstream got are good for a minute.
fn sent_upstream(world: &World) -> Vec<(String, String)> {
    let text = world.upstream.text();
    let line = |line: &str| {
        line.to_ascii_lowercase().starts_with("x-portcullis-assertion:").then(|| line.split_once(": ").unwrap().1.trim().to_owned())
    };
    let assertions: Vec<_> = text.lines().filter_map(line).map(|token| ("assertion".to_owned(), token)).collect();
    assert!(!assertions.is_empty(), "{text}");
    assertions
}
