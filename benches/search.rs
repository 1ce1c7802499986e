//! How long a search takes in a log of many records, and how large the indexes are.
//!
//! `cargo bench --bench search` writes a log of RECORDS records (200,000 unless the environment says otherwise) over thirty days
//! into a temporary folder (or into FOLDER, which is kept and used again), makes the indexes, and asks each question ROUNDS
//! times (5). Medians are printed, and the first time beside them. The same program serves 100 million: that takes 90 GB.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a benchmark")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::event::{Actor, Body, Client, DecisionFacts, Event, ExchangeFacts, ExchangeKind, ExchangeOutcome, Verdict};
use kernel::identity::{Email, Subject};
use kernel::policy::Reason;
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use portcullis::audit::index::{self, path_of};
use portcullis::audit::layout;
use portcullis::audit::search::filter::Filter;
use portcullis::audit::search::{Help, Order, Query, search};
use portcullis::audit::stats::count;
use portcullis::audit::{Durability, QUEUE, Recorder, SEGMENT_BYTES, Settings};
use portcullis::clock::Clock;
use zeroize::Zeroizing;

const START: u64 = 1_790_000_000;
const SPAN: u64 = 30 * 86_400;
const PEOPLE: u64 = 5_000;
const ROUTES: u64 = 40;

fn main() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (records, rounds) = (number("RECORDS", 200_000), number("ROUNDS", 5));
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("FOLDER").map_or_else(|| temporary.path().join("log"), PathBuf::from);
    if !folder.join("checkpoint").exists() {
        let begun = Instant::now();
        generate(&folder, records);
        println!("wrote {records} records in {:.1} s", begun.elapsed().as_secs_f64());
    }
    let begun = Instant::now();
    let mut made = 0;
    while index::tend(&folder).unwrap() {
        made += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    // As a gateway that writes the log does for the segment that is not full yet.
    index::Tender::default().tend(&folder).unwrap();
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let segments = layout::segments(&folder).unwrap();
    let bytes: u64 = segments.iter().map(|segment| size(&segment.records)).sum();
    let indexes: u64 = segments.iter().map(|segment| size(&path_of(segment))).sum();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (share, rate) = (indexes as f64 / bytes as f64 * 100.0, bytes as f64 / 1e6 / seconds);
    println!("made {made} indexes in {seconds:.1} s ({rate:.0} MB of records a second)");
    println!("{} segments, {bytes} bytes, indexes {indexes} bytes ({share:.2} %)", segments.len());
    ask_all(&folder, records, rounds);
}

fn ask_all(folder: &Path, records: u64, rounds: u64) {
    let requests = records / 2;
    let day = |day: u64| Some((START + day * 86_400) * 1_000);
    let word = |word: &str| vec![word.to_owned()];
    let one_day = Filter { from: day(11), until: day(12), ..Filter::default() };
    let questions = [
        ("request id", Filter { request_ids: vec![request_id(requests / 3).to_string()], ..Filter::default() }, 100),
        ("request id that is not there", Filter { request_ids: word("00000000ffffffff00000000ffffffff"), ..Filter::default() }, 100),
        ("person, newest 100", Filter { people: word("person-1234@example.com"), ..Filter::default() }, 100),
        ("person, everything", Filter { people: word("person-1234@example.com"), ..Filter::default() }, usize::MAX),
        ("denials by one route in a day", Filter { routes: word("route-7"), decisions: word("deny"), ..one_day.clone() }, usize::MAX),
        ("person and reason in a day", Filter { people: word("person-77@example.com"), reasons: word("no_rule"), ..one_day }, 100),
        ("newest 100 denials", Filter { decisions: word("deny"), ..Filter::default() }, 100),
    ];
    for (name, filter, limit) in questions {
        let query = Query { filter, order: Order::NewestFirst, limit, help: Help::Index };
        let mut found = 0;
        let times = measure(rounds, || found = search(folder, &query, &mut |_, _| ()).unwrap().0.len());
        say(name, &times, found as u64);
    }
    let mut counted = 0;
    let times = measure(rounds, || counted = count(folder, &Filter::default(), Help::Index, &mut |_, _| ()).unwrap().records);
    say("stats over everything", &times, counted);
}

fn measure(rounds: u64, mut work: impl FnMut()) -> Vec<Duration> {
    (0..rounds.max(1))
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect()
}

fn say(name: &str, times: &[Duration], found: u64) {
    let mut sorted = times.to_vec();
    sorted.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!("{name:<32} median {:>9.2} ms, first {:>9.2} ms, {found} records", millis(sorted[sorted.len() / 2]), millis(times[0]));
}

fn generate(folder: &Path, records: u64) {
    let settings = Settings {
        dir: folder.to_owned(),
        head: folder.join("head"),
        durability: Durability::Queued,
        signing_key: Zeroizing::new([7; 32]),
        origin: "portcullis/gate.test".to_owned(),
        queue: QUEUE,
        segment_bytes: SEGMENT_BYTES,
    };
    fs::create_dir_all(folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let recorder = Recorder::start(settings, Clock::manual(Timestamp::from_seconds(START))).unwrap();
    let requests = records / 2;
    for number in 0..requests {
        let time = Timestamp::from_micros((START * 1_000_000) + number * (SPAN * 1_000_000 / requests.max(1)));
        let event = Event { time, body: Body::Decision(Box::new(decision(number))) };
        // A full queue is waited for, as a client would try again.
        while runtime.block_on(recorder.keep(event.clone())).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        recorder.keep_later(Event { time, body: Body::Exchange(Box::new(end(number))) });
        while recorder.stats().queue_depth > 4 * QUEUE as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    recorder.shutdown();
}

/// Spreads numbers without a pattern (SplitMix64).
fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn request_id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&spread(number).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::new(bytes)
}

fn decision(number: u64) -> DecisionFacts {
    let (person, route, chance) = (spread(number ^ 1) % PEOPLE, spread(number ^ 2) % ROUTES, spread(number ^ 3) % 100);
    let (verdict, reason) = match chance {
        0 | 1 => (Verdict::Deny, Some(Reason::NoRule)),
        2 => (Verdict::Deny, Some(Reason::NetworkNotAllowed)),
        3 | 4 => (Verdict::Challenge, Some(Reason::SecondFactorRequired)),
        _ => (Verdict::Allow, None),
    };
    let target = format!("/d/{:x}/panel/{}", spread(number ^ 4), number % 977);
    DecisionFacts {
        request_id: request_id(number),
        verdict,
        reason,
        status: reason.map(|_| 403),
        method: "GET".to_owned(),
        version: "2",
        authority: format!("route-{route}.prod.example.com"),
        raw_target: target.clone(),
        target: Some(target),
        parameters: Vec::new(),
        listener: "https".into(),
        server_name: Some(format!("route-{route}.prod.example.com")),
        client: Client { address: [10, 0, (person >> 8) as u8, person as u8].into(), port: 40_000 },
        peer: None,
        client_certificate: None,
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned()),
        actor: Some(Actor {
            subject: Subject { issuer: "https://idp.example.com".to_owned(), sub: format!("person-{person}") },
            email: Email::parse(&format!("person-{person}@example.com")).ok(),
            groups: vec!["staff".to_owned(), "dev".to_owned()],
            session: Some(SessionId::new([person as u8; 16])),
        }),
        factor: None,
        route: Some(RouteId::new(&format!("route-{route}"))),
        class: Some("internal".into()),
        rule: None,
        config: "384a16da036b77fae2eb6c5b306a81a9".into(),
    }
}

fn end(number: u64) -> ExchangeFacts {
    ExchangeFacts {
        request_id: request_id(number),
        kind: ExchangeKind::Http,
        route: RouteId::new(&format!("route-{}", spread(number ^ 2) % ROUTES)),
        status: Some(200),
        outcome: ExchangeOutcome::Complete,
        bytes_in: 0,
        bytes_out: spread(number) % 100_000,
        duration: Duration::from_millis(spread(number) % 300),
        upstream: Some("http://10.0.0.5:3000".to_owned()),
        reason: None,
    }
}
