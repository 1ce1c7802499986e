//! Ships the log to where a security team reads it: syslog, RELP, HTTP, OTLP, a file, standard output; any number at once.
//!
//! Each sink reads the files by itself, on a thread of its own with a lower priority than requests, and keeps its own position
//! on disk ([`position`]). It ships only what a signed checkpoint covers, in order, at least once, and the checkpoints with it, so
//! that the receiver holds an anchor outside of this machine. A receiver that hangs or is gone costs disk and nothing else,
//! unless the configuration says `backlog_max`. Nothing leaves without TLS that the server's certificate was verified for.

mod backoff;
mod courier;
mod event;
mod fault;
pub mod format;
mod http;
mod lines;
pub mod mapping;
mod position;
mod relp;
mod sent;
mod status;
mod syslog;
#[cfg(test)]
mod tests;
mod tls;
mod watch;
mod web;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::config::Sink;

use super::Recorder;
use backoff::Backoff;
pub use fault::SinkFault;
pub(super) use position::Prover;
use status::Status;
pub use status::{SinkReport, SinkState};
use watch::watch;
use worker::{Surroundings, Worker};

/// All sinks of a gateway.
#[derive(Debug)]
pub struct Sinks {
    dir: PathBuf,
    recorder: Recorder,
    clock: Clock,
    running: Mutex<BTreeMap<Box<str>, Running>>,
    /// One reconfiguration at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Running {
    fingerprint: [u8; 32],
    status: Arc<Status>,
    /// Ship what is left and end.
    stop: CancellationToken,
    /// End now.
    abort: CancellationToken,
    /// The thread is over.
    ended: CancellationToken,
}

impl Sinks {
    /// No sinks yet, on the log in `dir`.
    #[must_use]
    pub fn new(dir: PathBuf, recorder: Recorder, clock: Clock) -> Self {
        Self { dir, recorder, clock, running: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// Makes what runs what is configured: a sink that is as it was goes on untouched.
    pub async fn configure(&self, sinks: &[Sink]) {
        let _one_at_a_time = self.changing.lock().await;
        let stays = |name: &str, running: &Running| sinks.iter().any(|sink| *sink.name == *name && sink.fingerprint == running.fingerprint);
        let gone: Vec<Running> = self.running().extract_if(.., |name, running| !stays(name, running)).map(|(_, gone)| gone).collect();
        for gone in gone {
            gone.abort.cancel();
            // A thread that hangs in a call to the disk may outlive this; it writes no position any more.
            let _ended = timeout(ABORT_WITHIN, gone.ended.cancelled()).await;
        }
        for sink in sinks {
            let known = self.running().contains_key(&sink.name);
            if !known {
                let running = self.start(sink);
                self.running().insert(sink.name.clone(), running);
            }
        }
    }

    fn start(&self, sink: &Sink) -> Running {
        let running = Running {
            fingerprint: sink.fingerprint,
            status: Arc::new(Status::new(sink)),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let thread = Thread {
            sink: sink.clone(),
            dir: self.dir.clone(),
            recorder: self.recorder.clone(),
            clock: self.clock.clone(),
            status: Arc::clone(&running.status),
            stop: running.stop.clone(),
            abort: running.abort.clone(),
            _ended: running.ended.clone().drop_guard(),
        };
        if let Err(fault) = thread::Builder::new().name("sink".to_owned()).spawn(move || thread.run()) {
            running.status.fail(self.clock.now(), format!("no thread for the sink: {fault}"));
            tracing::error!(sink = %sink.name, error = %fault, "a sink has no thread");
        }
        running
    }

    /// How the sinks are doing, by name.
    #[must_use]
    pub fn reports(&self) -> Vec<SinkReport> {
        let now = self.clock.now();
        self.running().values().map(|running| running.status.report(now)).collect()
    }

    /// The first record that a sink does not have yet: what comes before it may be dropped from disk. None without sinks.
    #[must_use]
    pub fn lowest_acknowledged(&self) -> Option<u64> {
        self.running().values().map(|running| running.status.next.load(std::sync::atomic::Ordering::Relaxed)).min()
    }

    /// Ships what is left within `grace`, writes the positions down and ends. A receiver that fails is not waited for.
    pub async fn stop(&self, grace: Duration) {
        let _one_at_a_time = self.changing.lock().await;
        let all: Vec<Running> = std::mem::take(&mut *self.running()).into_values().collect();
        all.iter().for_each(|running| running.stop.cancel());
        let end_all = async {
            for running in &all {
                running.ended.cancelled().await;
            }
        };
        if timeout(grace, end_all).await.is_err() {
            for running in &all {
                running.abort.cancel();
                let _ended = timeout(ABORT_WITHIN, running.ended.cancelled()).await;
            }
        }
    }

    /// Nothing under the lock panics, so a poisoned lock holds a whole state.
    fn running(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.running().values().for_each(|running| running.abort.cancel());
    }
}

/// What one thread is given.
struct Thread {
    sink: Sink,
    dir: PathBuf,
    recorder: Recorder,
    clock: Clock,
    status: Arc<Status>,
    stop: CancellationToken,
    abort: CancellationToken,
    _ended: DropGuard,
}

impl Thread {
    fn run(self) {
        // Of this thread alone. Where it is not allowed, the sink competes with requests as an equal.
        let _as_it_was = rustix::process::setpriority_process(None, NICE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(self.live());
                // A look-up of a name or a write to standard output may hang: it is left behind.
                runtime.shutdown_background();
            }
            Err(fault) => {
                self.status.fail(self.clock.now(), format!("no runtime for the sink: {fault}"));
                tracing::error!(sink = %self.sink.name, error = %fault, "a sink has no runtime");
            }
        }
    }

    async fn live(&self) {
        let watching = watch(&self.sink, self.dir.clone(), &self.recorder, &self.status);
        let mut worker = None;
        let shipping = async {
            worker = self.open().await;
            if let Some(worker) = &mut worker {
                worker.run(&self.stop).await;
            }
        };
        // The sink is aborted, or has shipped what there was; watching never ends by itself.
        tokio::select! {
            () = self.abort.cancelled() => {}
            () = shipping => {}
            () = watching => {}
        }
        if let Some(mut worker) = worker {
            worker.close();
        }
    }

    /// A position that cannot be read or a certificate that cannot be used is tried again like a receiver that is gone.
    async fn open(&self) -> Option<Worker> {
        let mut backoff = Backoff::default();
        loop {
            let around = Surroundings {
                dir: self.dir.clone(),
                recorder: self.recorder.clone(),
                clock: self.clock.clone(),
                status: Arc::clone(&self.status),
            };
            match Worker::new(self.sink.clone(), around) {
                Ok(worker) => return Some(worker),
                Err(fault) => {
                    if self.status.fail(self.clock.now(), fault.to_string()) {
                        tracing::error!(sink = %self.sink.name, error = %fault, "a sink cannot begin; records wait on disk");
                    }
                }
            }
            self.stop.run_until_cancelled(tokio::time::sleep(backoff.next())).await?;
        }
    }
}

/// Requests come first.
const NICE: i32 = 10;
/// Look-ups of names, and standard output.
const BLOCKING_THREADS: usize = 2;
const ABORT_WITHIN: Duration = Duration::from_secs(2);
