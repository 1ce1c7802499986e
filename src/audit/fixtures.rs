//! What the tests of this room share: events, settings, a disk that fails on command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kernel::event::{
    Actor, AuthenticationFacts, AuthenticationStep, Body, Client, DecisionFacts, Event, ExchangeFacts, ExchangeKind, ExchangeOutcome,
    Verdict,
};
use kernel::identity::{Email, Subject};
use kernel::request::RequestId;
use kernel::route::RouteId;
use kernel::session::SessionId;
use kernel::time::Timestamp;
use zeroize::Zeroizing;

use super::media::{Disk, Media, MediaFile};
use super::verify::{Report, Request, verify};
use super::{Durability, Recorder, Settings};
use crate::clock::Clock;

pub const ORIGIN: &str = "portcullis/gate.test";

pub fn settings(folder: &Path, durability: Durability) -> Settings {
    Settings {
        dir: folder.to_owned(),
        // Copied and restored with the folder, unless a test has another in mind.
        head: folder.join("head"),
        durability,
        signing_key: Zeroizing::new([7; 32]),
        origin: ORIGIN.to_owned(),
        queue: 1_024,
        segment_bytes: 1 << 20,
    }
}

/// A folder in memory, where the machine has such a place: for tests that kill and cut often.
pub fn memory_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_790_000_000))
}

pub fn start(folder: &Path) -> Recorder {
    Recorder::start(settings(folder, Durability::Written), clock()).unwrap()
}

pub fn decision(number: u8) -> DecisionFacts {
    DecisionFacts {
        request_id: RequestId::new([number; 16]),
        verdict: Verdict::Allow,
        reason: None,
        status: None,
        method: "GET".to_owned(),
        version: "2",
        authority: "app.test".to_owned(),
        raw_target: "/a".to_owned(),
        target: Some("/a".to_owned()),
        parameters: Vec::new(),
        listener: "https".into(),
        server_name: Some("app.test".to_owned()),
        client: Client { address: [192, 0, 2, 1].into(), port: 4_711 },
        peer: None,
        client_certificate: None,
        user_agent: Some("curl/8".to_owned()),
        actor: Some(Actor {
            subject: Subject { issuer: "https://idp.test".to_owned(), sub: "ana".to_owned() },
            email: Some(Email::parse("ana@example.com").unwrap()),
            groups: vec!["dev".to_owned()],
            session: Some(SessionId::new([3; 16])),
        }),
        factor: None,
        route: Some(RouteId::new("app")),
        class: Some("internal".into()),
        rule: None,
        config: "c0ffee".into(),
    }
}

pub fn allow(number: u8) -> Event {
    event(Body::Decision(Box::new(decision(number))))
}

pub fn sign_in() -> Event {
    event(Body::Authentication(Box::new(AuthenticationFacts {
        request_id: None,
        step: AuthenticationStep::SignIn,
        failure: None,
        detail: None,
        idp: Some("corp".to_owned()),
        actor: None,
        client: None,
        user_agent: None,
    })))
}

pub fn exchange_end(number: u8) -> Event {
    event(Body::Exchange(Box::new(ExchangeFacts {
        request_id: RequestId::new([number; 16]),
        kind: ExchangeKind::Http,
        route: RouteId::new("app"),
        status: Some(200),
        outcome: ExchangeOutcome::Complete,
        reason: None,
        bytes_in: 1,
        bytes_out: 2,
        duration: Duration::from_millis(3),
        upstream: None,
    })))
}

pub fn event(body: Body) -> Event {
    Event { time: Timestamp::from_seconds(1_790_000_000), body }
}

/// A log of `records` records, in segments of about `segment_bytes`, closed well.
pub fn write_log(folder: &Path, records: u8, segment_bytes: u64) {
    let runtime = runtime();
    let settings = Settings { segment_bytes, ..settings(folder, Durability::Written) };
    let recorder = Recorder::start(settings, clock()).unwrap();
    for number in 0..records {
        runtime.block_on(recorder.keep(allow(number))).unwrap();
    }
    recorder.shutdown();
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub fn check_log(folder: &Path) -> Report {
    verify(&Request { folder: folder.to_owned(), public_key: None, anchors: Vec::new() }, &mut |_| ()).unwrap()
}

/// All records of a log, in order.
pub fn records(folder: &Path) -> Vec<serde_json::Value> {
    let segments = super::layout::segments(folder).unwrap();
    let text: String = segments.iter().map(|paths| std::fs::read_to_string(&paths.records).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A disk that fails while it is told to.
#[derive(Clone, Debug, Default)]
pub struct BadDisk {
    pub ill: Arc<Mutex<Illness>>,
    hanging: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Illness {
    #[default]
    None,
    /// Every write takes one byte of what it is given.
    ShortWrites,
    /// Half of the next write goes through, then there is no space.
    Full,
    SyncFails,
    /// As a system that drops what it could not write: the file is what it was at the last sync, and the next one succeeds.
    SyncForgets,
    /// A sync does not come back.
    Hangs,
    /// A write does not come back.
    WritesHang,
}

struct BadFile {
    file: Box<dyn MediaFile>,
    ill: Arc<Mutex<Illness>>,
    hanging: Arc<AtomicBool>,
    length: u64,
    synced: u64,
}

impl BadDisk {
    pub fn set(&self, ill: Illness) {
        *self.ill.lock().unwrap() = ill;
    }

    /// Whether a write has begun that does not come back.
    pub fn is_hanging(&self) -> bool {
        self.hanging.load(Ordering::Acquire)
    }

    fn fail(&self) -> io::Result<()> {
        fail(&self.ill)
    }
}

fn fail(ill: &Mutex<Illness>) -> io::Result<()> {
    match *ill.lock().unwrap() {
        Illness::None | Illness::ShortWrites | Illness::Hangs | Illness::WritesHang => Ok(()),
        Illness::Full => Err(io::ErrorKind::StorageFull.into()),
        Illness::SyncFails | Illness::SyncForgets => Err(io::Error::other("sync failed")),
    }
}

impl Media for BadDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn MediaFile>> {
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        Ok(Box::new(BadFile {
            file: Disk.open(path)?,
            ill: Arc::clone(&self.ill),
            hanging: Arc::clone(&self.hanging),
            length,
            synced: length,
        }))
    }
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.fail().and_then(|()| Disk.replace(path, content))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Disk.read(path)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Disk.sync_folder(folder)
    }
}

impl MediaFile for BadFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while *self.ill.lock().unwrap() == Illness::WritesHang {
            self.hanging.store(true, Ordering::Release);
            std::thread::yield_now();
        }
        let ill = *self.ill.lock().unwrap();
        let written = match ill {
            Illness::None | Illness::SyncFails | Illness::SyncForgets | Illness::Hangs | Illness::WritesHang => self.file.write(bytes),
            Illness::ShortWrites => self.file.write(&bytes[..1]),
            Illness::Full => {
                self.length += self.file.write(&bytes[..bytes.len() / 2])? as u64;
                Err(io::ErrorKind::StorageFull.into())
            }
        }?;
        self.length += written as u64;
        Ok(written)
    }
    fn sync(&mut self) -> io::Result<()> {
        while *self.ill.lock().unwrap() == Illness::Hangs {
            std::thread::yield_now();
        }
        let mut ill = self.ill.lock().unwrap();
        match *ill {
            Illness::SyncFails => Err(io::Error::other("sync failed")),
            Illness::SyncForgets if self.length > self.synced => {
                *ill = Illness::None;
                self.length = self.synced;
                self.file.truncate(self.synced)?;
                Err(io::Error::other("sync failed"))
            }
            Illness::None | Illness::ShortWrites | Illness::Full | Illness::SyncForgets | Illness::Hangs | Illness::WritesHang => {
                self.synced = self.length;
                self.file.sync()
            }
        }
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        self.file.truncate(length)
    }
    fn allocate(&mut self, start: u64, end: u64) -> io::Result<()> {
        self.file.allocate(start, end)
    }
    fn read_prefix(&self, length: u64) -> io::Result<Vec<u8>> {
        self.file.read_prefix(length)
    }
    fn put_copy(&self, path: &Path, length: u64) -> io::Result<()> {
        fail(&self.ill).and_then(|()| self.file.put_copy(path, length))
    }
    fn length_at(&self, path: &Path) -> Option<u64> {
        self.file.length_at(path)
    }
}
