//! The old process: starts the new one, hands over, and is left as it was where that fails.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::line::Line;
use super::{CONTROL, FORM, Hello, OPEN_WITHIN, PREPARE_WITHIN, UpgradeFault, Word};
use crate::config;
use crate::gateway::sessions::Change;
use crate::server::{Server, audit_settings};
use crate::system::passing;

/// How this process was started, to start another like it.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// Call it at the start: later another file may stand there, and the system names the one that was removed.
    pub fn of_this_process() -> io::Result<Self> {
        let arguments = std::env::args_os().skip(1).filter(|argument| argument != TAKEOVER).collect();
        Ok(Self { path: std::env::current_exe()?, arguments })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// With the socket to this process as its standard input.
    fn start(&self, socket: UnixStream) -> io::Result<Child> {
        Command::new(&self.path)
            .args(&self.arguments)
            .arg(TAKEOVER)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            // As many as this process, which could ask the system for its share of processors; confined, the new one cannot.
            .env(WORKERS, Handle::current().metrics().num_workers().to_string())
            // They name this process.
            .env_remove("WATCHDOG_PID")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .spawn()
    }
}

impl Server {
    /// Puts a new process in the place of this one and returns its number. This one is to be stopped then: it accepts nothing
    /// any more. `tell` is called with the number before the new one speaks for itself. Where it fails, this one goes on as before, unless the fault is [`UpgradeFault::Lost`].
    pub async fn upgrade(self: &Arc<Self>, program: &Program, tell: impl FnOnce(u32)) -> Result<u32, UpgradeFault> {
        let _no_reload_meanwhile = self.reloading.lock().await;
        let (ours, theirs) = UnixStream::pair()?;
        let (records, their_records) = UnixStream::pair()?;
        let child = program.start(theirs).map_err(UpgradeFault::Spawn)?;
        let process = child.id();
        tracing::info!(process.id = process, "a new process was started to take this one's place");
        let prepared = async {
            self.greet(&ours, their_records)?;
            let mut line = Line::new(ours)?;
            line.hear_only(|word| matches!(word, Word::Prepared), PREPARE_WITHIN).await?;
            Ok(line)
        };
        let mut line = match prepared.await {
            Ok(line) => line,
            Err(fault) => {
                self.gateway.metrics.standing().upgrades_failed.inc();
                end(child).await;
                return Err(fault);
            }
        };
        let (changed, changes) = mpsc::channel(CHANGES_MAX);
        self.gateway.sessions.tell(changed);
        let handed = self.hand_over(&mut line, records).await;
        if let Err(fault) = handed {
            self.gateway.metrics.standing().upgrades_failed.inc();
            // It may hold the log: it must be gone before this process opens it.
            end(child).await;
            self.take_back().await?;
            return Err(fault);
        }
        tell(process);
        // One that is gone already hears nothing.
        let _gone = line.say(&Word::Yours).await;
        let _first = self.handed_to.set(process);
        self.shutdown.cancel();
        self.talk_on(line, changes);
        tracing::info!(process.id = process, "the new process serves; this one ends what it began");
        Ok(process)
    }

    fn greet(&self, socket: &UnixStream, records: UnixStream) -> Result<(), UpgradeFault> {
        let mut names = Vec::new();
        let mut descriptors = Vec::new();
        for (name, socket) in &*self.sockets() {
            names.push(name.clone());
            descriptors.push(socket.try_clone()?);
        }
        descriptors.push(records.into());
        let hello =
            Hello { form: FORM, process: std::process::id(), basis: self.basis.clone(), sockets: names, confined: self.confined.clone() };
        let hello = serde_json::to_string(&hello).map_err(io::Error::other)?;
        Ok(passing::send(socket, &hello, &descriptors)?)
    }

    async fn hand_over(&self, line: &mut Line, records: UnixStream) -> Result<(), UpgradeFault> {
        if !self.end_duties().await {
            return Err(UpgradeFault::Busy);
        }
        self.gateway.sinks.stop(SINK_GRACE).await;
        if let Err(failure) = self.gateway.sessions.keep_sights().await {
            tracing::warn!(error = %failure, "when sessions were last seen could not be kept before the hand-over");
        }
        let audit = self.gateway.audit.clone();
        tokio::task::spawn_blocking(move || audit.pause()).await??;
        line.say(&Word::LogClosed).await?;
        line.hear_only(|word| matches!(word, Word::Serving), OPEN_WITHIN).await?;
        Ok(self.gateway.audit.relay_to(records)?)
    }

    /// Goes on as before.
    async fn take_back(self: &Arc<Self>) -> Result<(), UpgradeFault> {
        let (audit, settings, clock) = (self.gateway.audit.clone(), audit_settings(&self.config.load()), self.gateway.clock.clone());
        tokio::task::spawn_blocking(move || audit.open_again_if_paused(&settings, clock)).await?.map_err(UpgradeFault::Lost)?;
        self.gateway.sinks.configure(&self.config.load().audit.sinks).await;
        self.begin_duties().await;
        Ok(())
    }

    /// What ends in one process ends in the other.
    fn talk_on(self: &Arc<Self>, line: Line, changes: mpsc::Receiver<Change>) {
        let (_nothing_else, words) = mpsc::channel(1);
        let server = Arc::clone(self);
        // Not among the tasks that a stop waits for: it ends with the process.
        self.talks.spawn(line.converse(changes, words, move |word| match word {
            Word::Session(change) => server.gateway.sessions.hear(change),
            Word::Reloaded => server.judge_by_the_successors_rules(),
            Word::Prepared | Word::LogClosed | Word::Serving | Word::Yours => {}
        }));
    }

    /// The new process has another configuration: what it does not allow ends here too, and all of it where it cannot be read.
    fn judge_by_the_successors_rules(&self) {
        let exchanges = &self.gateway.exchanges;
        match config::load(&self.config_dir) {
            Ok(loaded) => {
                exchanges.judge_again(&loaded.table, self.gateway.clock.now());
            }
            Err(_) => exchanges.cut_all(),
        }
    }
}

/// Ends a process that is not to serve, and waits until it has.
async fn end(mut child: Child) {
    if let Err(error) = child.kill() {
        tracing::warn!(error = %error, "the new process cannot be ended");
    }
    let waited = tokio::task::spawn_blocking(move || child.wait()).await;
    if let Ok(Err(error)) = waited {
        tracing::warn!(error = %error, "the new process cannot be waited for");
    }
}

/// The names of the sockets that are handed over, beside those of the listeners.
pub(in crate::server) const CONTROL_SOCKET: &str = CONTROL;

/// The argument by which a process knows that it takes another's place.
const TAKEOVER: &str = "--takeover";

/// How a process is told how many threads its runtime works with.
pub const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// For sinks to ship what is in their hands. What is left the new process ships.
const SINK_GRACE: Duration = Duration::from_millis(500);
/// More ends at once than that, and the other process is told that nothing holds.
const CHANGES_MAX: usize = 1_024;
