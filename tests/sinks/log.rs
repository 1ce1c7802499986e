//! A log with hostile text in every field, and sinks on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel::event::{
    AccountChange, AccountFacts, Actor, AuthenticationFacts, AuthenticationStep, Body, ChangedBy, Client, DecisionFacts, EntityChange,
    EntityFacts, Event, LifecycleChange, LifecycleFacts, Verdict,
};
use kernel::identity::{Email, Subject};
use kernel::policy::Reason;
use kernel::request::RequestId;
use kernel::route::RouteId;
use portcullis::audit::sinks::{SinkReport, Sinks};
use portcullis::audit::{Durability, Recorder, Settings};
use portcullis::clock::Clock;
use portcullis::config::{
    Authorities, Backlog, Begin, Bom, Carrier, Compression, Endpoint, Message, RecordFilter, RecordFormat, Secret, Sink, SinkServer,
    SinkTls,
};
use serde_json::Value;
use tempfile::TempDir;

use super::certificates::Authority;
use super::{hostile, samples};

/// What an attacker writes, wherever something can be written.
pub const HOSTILE: &[&str] = &[
    "\r\n{\"event\":\"login_ok\"}",
    "\u{2028}\u{2029}\u{85}",
    "\u{1b}[2J\u{1b}]0;pwn\u{7}",
    "\0\0",
    "\"}}\n{\"class_uid\":3002}",
    "] \\ \"] [x y=\"1\"]",
    "%0a%0d<13>1 - - - - - -",
    "\u{202e}txt.exe",
    "a|b=c\\|d\\=e",
    "\n<110>Nov 25 08:00:00 host other: forged",
    "17 <13>1 - - - - - - x",
    "🦀\u{feff}\u{e0041}é",
];

/// A log that is written to, and its sinks.
pub struct Log {
    pub dir: TempDir,
    pub recorder: Recorder,
    pub sinks: Sinks,
    next: AtomicU64,
}

impl Log {
    pub fn new() -> Self {
        Self::in_segments_of(64 * 1024)
    }

    pub fn in_segments_of(bytes: u64) -> Self {
        Self::open(tempfile::tempdir().unwrap(), bytes)
    }

    fn open(dir: TempDir, segment_bytes: u64) -> Self {
        let settings = Settings {
            dir: dir.path().join("audit"),
            head: dir.path().join("head"),
            durability: Durability::Written,
            signing_key: zeroize::Zeroizing::new([7; 32]),
            origin: "portcullis/gate.test".to_owned(),
            queue: 16_384,
            segment_bytes,
        };
        let recorder = Recorder::start(settings, Clock::system()).unwrap();
        let sinks = Sinks::new(dir.path().join("audit"), recorder.clone(), Clock::system());
        Self { dir, recorder, sinks, next: AtomicU64::new(0) }
    }

    /// As after a kill: sinks end at once, and the log is opened again.
    pub async fn restart(self) -> Self {
        drop(self.sinks);
        self.recorder.shutdown();
        drop(self.recorder);
        let next = self.next;
        Self { next, ..Self::open(self.dir, 64 * 1024) }
    }

    pub fn audit(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    /// Writes every record that there is, and of each kind one with every hostile text in each field that holds text.
    pub async fn write_every_kind(&self) {
        let texts = hostile::texts();
        let filled = |mut event: Event, text: &str| {
            hostile::fill(&mut event.body, text);
            event
        };
        let samples = samples::every();
        // The last of a kind is one that says everything it can.
        let kinds: BTreeMap<String, &Event> = samples.iter().map(|event| (kind(event), event)).collect();
        let hostile = kinds.values().flat_map(|event| texts.iter().map(|text| filled((*event).clone(), text)));
        let events: Vec<Event> = samples.iter().cloned().chain(hostile).collect();
        for event in events {
            self.recorder.keep(event).await.unwrap();
        }
    }

    /// Writes records: some kinds of event in turn, every hostile text in every field that somebody else fills.
    pub async fn write(&self, count: u64) {
        for _ in 0..count {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.recorder.keep(event(number)).await.unwrap();
        }
    }

    /// Every record that is signed, as it stands in the log.
    pub fn lines(&self) -> Vec<String> {
        let size = portcullis::audit::follow::head(&self.audit()).unwrap().unwrap().size;
        let segments = portcullis::audit::layout::segments(&self.audit()).unwrap();
        let text: String = segments.iter().map(|paths| std::fs::read_to_string(&paths.records).unwrap()).collect();
        text.lines().take(usize::try_from(size).unwrap()).map(str::to_owned).collect()
    }

    pub fn report(&self) -> SinkReport {
        self.sinks.reports().remove(0)
    }

    /// Waits until everything that was written is signed.
    pub async fn signed(&self) {
        let size = self.recorder.stats().size;
        until("everything is signed", || portcullis::audit::follow::head(&self.audit()).unwrap().is_some_and(|head| head.size >= size))
            .await;
    }

    /// Waits until the only sink has everything.
    pub async fn shipped(&self) {
        self.signed().await;
        let size = self.recorder.stats().size;
        let mut last = None;
        for _ in 0..4_000 {
            let report = self.report();
            if report.next >= size {
                return;
            }
            last = Some(report);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not shipped: {size} records, {last:?}");
    }
}

/// Asks until the answer is yes, a bounded number of times.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

fn kind(event: &Event) -> String {
    format!("{:?}", event.body).split('(').next().unwrap().to_owned()
}

pub fn event(number: u64) -> Event {
    let text = HOSTILE[usize::try_from(number).unwrap() % HOSTILE.len()].to_owned();
    // One of them a megabyte, in every field.
    let text = if number == 1 { text.repeat(130_000) } else { text };
    let client = Client { address: [192, 0, 2, 1].into(), port: 4_711 };
    let subject = Subject { issuer: format!("https://idp.test/{text}"), sub: format!("{number}{text}") };
    let actor = Actor {
        subject: subject.clone(),
        email: Email::parse("ana@example.com").ok(),
        groups: vec![text.clone(), "dev".to_owned()],
        session: None,
    };
    let request_id = RequestId::new([u8::try_from(number % 251).unwrap(); 16]);
    let body = match number % 5 {
        0 | 1 => Body::Decision(Box::new(DecisionFacts {
            request_id,
            verdict: if number.is_multiple_of(2) { Verdict::Deny } else { Verdict::Allow },
            reason: number.is_multiple_of(2).then_some(Reason::NoRule),
            status: None,
            method: text.clone(),
            version: "2",
            authority: text.clone(),
            raw_target: format!("/{text}"),
            target: Some(format!("/{text}")),
            parameters: vec![(text.clone(), text.clone())],
            listener: "https".into(),
            server_name: Some(text.clone()),
            client,
            peer: None,
            client_certificate: None,
            user_agent: Some(text),
            actor: Some(actor),
            factor: None,
            route: Some(RouteId::new("app")),
            class: Some("internal".into()),
            rule: None,
            config: "c0ffee".into(),
        })),
        2 => Body::Authentication(Box::new(AuthenticationFacts {
            request_id: Some(request_id),
            step: AuthenticationStep::SignIn,
            failure: Some(Reason::IdpRefused),
            detail: Some(text.clone()),
            idp: Some(text.clone()),
            actor: Some(actor),
            client: Some(client),
            user_agent: Some(text),
        })),
        3 => Body::Account(Box::new(AccountFacts {
            request_id: Some(request_id),
            change: AccountChange::Lock,
            failure: None,
            subject: Some(subject.clone()),
            email: Some(text),
            by: ChangedBy::Person(subject),
            client: Some(client),
        })),
        _ if number.is_multiple_of(2) => Body::Entity(Box::new(EntityFacts {
            change: EntityChange::Configuration { config: text.clone() },
            by: ChangedBy::Operator { uid: 0 },
            failure: Some(text),
        })),
        _ => Body::Lifecycle(Box::new(LifecycleFacts { change: LifecycleChange::Start, detail: Some(text) })),
    };
    Event { time: Clock::system().now(), body }
}

/// A sink that is quick to notice things.
pub fn sink(name: &str, carrier: Carrier) -> Sink {
    Sink {
        name: name.into(),
        carrier,
        format: RecordFormat::Ocsf,
        filter: RecordFilter::default(),
        begin: Begin::Oldest,
        backlog: Backlog::Unlimited,
        batch_records: 20,
        batch_bytes: 1 << 20,
        flush_interval: Duration::from_millis(20),
        timeout: Duration::from_secs(2),
        fingerprint: [1; 32],
    }
}

pub fn tls(authority: &Authority, name: &str) -> SinkTls {
    SinkTls { server_name: name.into(), authorities: Authorities::Only(vec![authority.der()]), certificate: None }
}

pub fn syslog(port: u16, tls: SinkTls) -> Carrier {
    let server = SinkServer { host: "127.0.0.1".into(), port, tls };
    Carrier::Syslog { server, message: Message { bom: Bom::Omit, bytes_max: 8_192 }, replay_window: Duration::from_millis(500) }
}

pub fn relp(port: u16, tls: SinkTls) -> Carrier {
    let server = SinkServer { host: "127.0.0.1".into(), port, tls };
    Carrier::Relp { server, message: Message { bom: Bom::Omit, bytes_max: 8_192 } }
}

pub fn endpoint(url: &str, tls: SinkTls) -> Endpoint {
    Endpoint {
        url: url.parse().unwrap(),
        tls,
        token: Some(Secret::new("t0ken".to_owned())),
        token_header: None,
        compression: Compression::None,
    }
}

/// What a receiver got, against what the log holds: each record once or more, the first sights in order, duplicates the same.
/// `whole` says whether texts are the log's lines themselves.
pub fn compare(log: &Log, received: &[String], whole: Whole) {
    let lines = log.lines();
    let (records, checkpoints): (Vec<Value>, Vec<Value>) = received
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap_or_else(|fault| panic!("{fault}: {text:?}")))
        .partition(|event| event["metadata"]["sequence"].is_u64());
    let mut seen = BTreeSet::new();
    let mut next = 0;
    for record in &records {
        let sequence = record["metadata"]["sequence"].as_u64().unwrap();
        let line: Value = serde_json::from_str(&lines[usize::try_from(sequence).unwrap()]).unwrap();
        assert_eq!(record["metadata"]["uid"], line["metadata"]["uid"], "one id, however often it is sent");
        let shortened = record["unmapped"]["portcullis"]["shortened"].is_object();
        if whole == Whole::Yes || !shortened {
            assert_eq!(*record, line);
        }
        if seen.insert(sequence) {
            assert_eq!(sequence, next, "first sights come in order");
            next += 1;
        }
    }
    assert_eq!(seen.len(), lines.len(), "every record arrives");
    assert!(!checkpoints.is_empty(), "checkpoints travel with the records");
    for checkpoint in checkpoints {
        let note = checkpoint["unmapped"]["portcullis"]["checkpoint"].as_str().unwrap();
        let key = std::fs::read_to_string(portcullis::audit::layout::public_key(&log.audit())).unwrap();
        let opened = portcullis::audit::note::PublicKey::parse(&key).unwrap().open(note).unwrap();
        assert!(opened.size <= lines.len() as u64);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    Yes,
    /// Large records come in short form.
    OrShort,
}

pub fn read_lines(path: &Path) -> Vec<String> {
    let text = String::from_utf8(std::fs::read(path).unwrap_or_default()).unwrap();
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}
