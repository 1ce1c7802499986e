//! The one thread that holds the connection. Operations queue for it, so that writers never meet in the database.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::fault::Trouble;
use crate::store::sealing::KeyRing;
use crate::store::{Answer, StoreFault};

/// Hands operations to the thread. Dropped, it lets the thread finish what was queued and waits for it.
pub(super) struct Worker {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    ring: Arc<KeyRing>,
    deadline: Duration,
}

/// Whether an operation writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Takes the write lock at its beginning: a lock taken half-way could find another writer's change and have to fail.
    Write,
}

/// What an operation works with: one transaction, and the keys.
pub(super) struct Work<'a> {
    pub(super) sql: &'a Transaction<'a>,
    pub(super) ring: &'a KeyRing,
}

type Job = Box<dyn FnOnce(&mut Open) + Send>;

/// The database, and which file it is.
pub(super) struct Open {
    connection: Connection,
    path: PathBuf,
    identity: (u64, u64),
}

/// Who came first: the caller's deadline, or the commit. A commit that has begun is waited for, because its caller would
/// otherwise be told that nothing happened.
#[derive(Default)]
struct Gate(AtomicU8);

impl Gate {
    const OPEN: u8 = 0;
    const COMMITTING: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn pass(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Worker {
    pub(super) fn start(open: Open, ring: KeyRing, deadline: Duration) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || work_off(open, &jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), ring: Arc::new(ring), deadline })
    }

    /// Runs one operation in one transaction.
    pub(super) fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl FnOnce(&Work<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            let gate = Arc::new(Gate::default());
            let (sender, mut receiver) = oneshot::channel();
            let (ring, gate_of_job) = (Arc::clone(&self.ring), Arc::clone(&gate));
            self.enqueue(Box::new(move |open| {
                // Nobody waits for the answer if the caller has left; what it asked for happens all the same.
                drop(sender.send(transact(open, access, &ring, &gate_of_job, work)));
            }))?;
            let outcome = match timeout(self.deadline, &mut receiver).await {
                Ok(outcome) => outcome,
                Err(_) if gate.pass(Gate::GIVEN_UP) => return Err(StoreFault::TimedOut(self.deadline)),
                Err(_) => timeout(self.deadline, receiver).await.map_err(|_| StoreFault::TimedOut(self.deadline))?,
            };
            // The sender was dropped unused: the thread is gone.
            outcome.map_err(|_| StoreFault::Closed)?.map_err(|trouble| trouble.into_fault(self.deadline))
        })
    }

    /// Brings what the side file holds into the database and empties the side file: what was removed is then in neither. A
    /// reader that holds on to the state before keeps it there until it ends; the next call, or the next start, tries again.
    pub(super) fn fold(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            self.enqueue(Box::new(move |open| {
                let busy = open.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
                drop(sender.send(busy));
            }))?;
            let outcome = timeout(self.deadline, receiver).await.map_err(|_| StoreFault::TimedOut(self.deadline))?;
            match outcome.map_err(|_| StoreFault::Closed)?.map_err(|error| Trouble::Sql(error).into_fault(self.deadline))? {
                0 => Ok(()),
                _ => Err(StoreFault::Refused("another process reads the database".into())),
            }
        })
    }

    fn enqueue(&self, job: Job) -> Result<(), StoreFault> {
        let queue = self.queue.as_ref().ok_or(StoreFault::Closed)?;
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreFault::Refused("too many operations are waiting".into()),
            TrySendError::Disconnected(_) => StoreFault::Closed,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to finish.
            drop(thread.join());
        }
    }
}

impl Open {
    /// Of a connection that was opened just now.
    pub(super) fn new(connection: Connection, path: PathBuf) -> std::io::Result<Self> {
        let identity = identity(&path)?;
        Ok(Self { connection, path, identity })
    }

    /// What is written to a file that was removed is lost with this process, and who put another one in its place means that one.
    fn is_there(&self) -> Result<(), Trouble> {
        let found = identity(&self.path).ok();
        if found == Some(self.identity) { Ok(()) } else { Err(Trouble::Gone(self.path.clone())) }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn work_off(mut open: Open, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job(&mut open);
    }
}

fn transact<T>(
    open: &mut Open,
    access: Access,
    ring: &KeyRing,
    gate: &Gate,
    work: impl FnOnce(&Work<'_>) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    if gate.0.load(Ordering::Acquire) == Gate::GIVEN_UP {
        return Err(Trouble::GivenUp);
    }
    let behavior = match access {
        Access::Read => TransactionBehavior::Deferred,
        Access::Write => TransactionBehavior::Immediate,
    };
    open.is_there()?;
    let transaction = open.connection.transaction_with_behavior(behavior)?;
    let answer = work(&Work { sql: &transaction, ring })?;
    if !gate.pass(Gate::COMMITTING) {
        return Err(Trouble::GivenUp);
    }
    transaction.commit()?;
    Ok(answer)
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// Operations that may wait. Full means that the disk is slower than the traffic: the operation is refused, because a longer
/// queue would only be given up on later.
const QUEUE_MAX: usize = 1_024;
