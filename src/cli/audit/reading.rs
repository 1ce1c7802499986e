//! Reading the log is itself on record, before anything is shown: who, by which command, what was asked for, how much there is.
//!
//! A running gateway records it; while none runs, the command opens the log as the gateway would and appends the record. Where
//! neither is possible, nothing is shown. A copy of a log belongs to no gateway: it is read with other programs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kernel::event::{Body, ChangedBy, EntityChange, EntityFacts, Event};
use zeroize::Zeroizing;

use super::super::orders;
use super::filters::Names;
use crate::audit::Recorder;
use crate::audit::pseudonym::{KeyBook, Person, PersonKey};
use crate::clock::Clock;
use crate::config::{self, Config, Personal};
use crate::server::audit_settings;
use crate::server::control::{self, ControlFault, Order, Outcome};
use crate::store::sealing::KeyRing;
use crate::store::sqlite::known_people;

/// A log that may be read once that is on record.
#[derive(Debug)]
pub struct Reading {
    /// Folder of the log.
    pub folder: PathBuf,
    /// What opens the names in it.
    pub keys: KeyBook,
    /// Whether the record of the reading may name people.
    pub names: Names,
    config_dir: PathBuf,
    state_dir: PathBuf,
}

impl Reading {
    /// The log of the configuration in `config_dir`. `dir` may name its folder, and no other.
    pub fn open(config_dir: &Path, dir: Option<&Path>) -> Result<Self, String> {
        let folder = orders::audit_dir(config_dir)?;
        if let Some(dir) = dir.filter(|dir| !is_same(dir, &folder)) {
            return Err(format!(
                "{} is not the log of the configuration in {}, so that reading it cannot be recorded; a copy of a log is verified with \
                 portcullis-verify, and read with jq or any other program for JSON lines",
                dir.display(),
                config_dir.display()
            ));
        }
        let state_dir = orders::state_dir(config_dir)?;
        let (keys, names) = read_keys(config_dir);
        Ok(Self { folder, keys, names, config_dir: config_dir.to_owned(), state_dir })
    }

    /// Puts the reading on record. What was found may be shown when this returned, and not otherwise.
    pub fn record(&self, command: &str, filters: &str, records: u64) -> Result<(), String> {
        let order = Order::AuditRead { command: command.to_owned(), filters: filters.to_owned(), records };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| format!("no runtime: {error}"))?;
        match runtime.block_on(control::give(&self.state_dir, &order)) {
            Ok(Outcome::Recorded {}) => Ok(()),
            Ok(Outcome::Refused { why }) => Err(refused(&why)),
            Ok(_) => Err(refused("the gateway that runs is of another version")),
            Err(ControlFault::NoGateway { .. }) => self.append(&runtime, command, filters, records).map_err(|why| refused(&why)),
            Err(fault @ (ControlFault::Socket { .. } | ControlFault::Answer(_) | ControlFault::TimedOut(_))) => {
                Err(refused(&fault.to_string()))
            }
        }
    }

    /// No gateway runs: the record is appended by this process.
    fn append(&self, runtime: &tokio::runtime::Runtime, command: &str, filters: &str, records: u64) -> Result<(), String> {
        let owner = std::fs::metadata(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            // The gateway could not write to files that another user made.
            return Err(format!("no gateway runs, and the log belongs to the user with id {owner}: run the command as that user"));
        }
        let loaded = config::load(&self.config_dir).map_err(|report| report.render(config::Colour::Plain))?;
        let clock = Clock::system();
        let recorder = Recorder::start(audit_settings(&loaded.config), clock.clone()).map_err(|fault| fault.to_string())?;
        let change = EntityChange::ReadLog { command: command.to_owned(), filters: filters.to_owned(), records };
        let by = ChangedBy::Operator { uid: rustix::process::getuid().as_raw() };
        let body = Body::Entity(Box::new(EntityFacts { change, by, failure: None }));
        let kept = runtime.block_on(recorder.keep(Event { time: clock.now(), body }));
        recorder.shutdown();
        kept.map_err(|failure| failure.to_string())
    }
}

fn refused(why: &str) -> String {
    format!("nothing is shown, because the reading cannot be recorded: {why}")
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// The keys of everybody, where the configuration can be read and there are some. Without them people stay pseudonyms.
fn read_keys(config_dir: &Path) -> (KeyBook, Names) {
    // What cannot be read may ask for sealed names.
    let Ok(loaded) = config::load(config_dir) else { return (KeyBook::default(), Names::Sealed) };
    let names = match loaded.config.audit.personal {
        Personal::Plain => Names::Plain,
        Personal::Sealed => Names::Sealed,
    };
    match open_keys(&loaded.config) {
        Ok(book) => (book, names),
        Err(why) => {
            anstream::eprintln!("people are shown by pseudonym: {why}");
            (KeyBook::default(), names)
        }
    }
}

fn open_keys(config: &Config) -> Result<KeyBook, String> {
    let mut keys = config.gateway.master_key.keys().iter().map(|key| Zeroizing::new(*key.expose()));
    let current = keys.next().ok_or("the master key is empty")?;
    let ring = KeyRing::new(&current, &keys.collect::<Vec<_>>()).map_err(|fault| fault.to_string())?;
    let known = known_people(&config.store.sqlite, &ring).map_err(|fault| fault.to_string())?;
    let people = known.into_iter().filter_map(|person| {
        let key = PersonKey::new(&person.key.pseudonym, &person.key.key).ok()?;
        Some(Person { subject: person.subject, email: person.email, key })
    });
    Ok(KeyBook::new(people))
}
