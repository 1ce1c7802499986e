//! One log, two processes: how a gateway that hands over closes the log and goes on recording through its successor.
//!
//! The log has one writer at any time. The old process sends its writer away, and the queue stays: records that come meanwhile
//! wait there, bounded in number and time like any others. Once the successor has the log open, a relay takes from the same
//! queue and sends each line over a socket that only the two processes hold; whoever waits is answered when the successor has
//! kept the line as its weight demands. So a request of the old process passes on the same promise as ever. If the successor
//! does not come up, the old process opens the log again and writes what waited.
//!
//! On the wire, big-endian: a line is `kind` (1: written, 2: synced, 3: an end that nobody waits for, 4: no more follows),
//! a number of eight bytes, a length of four and the line. An answer is the number and 1 for kept, 0 for not.

use std::collections::VecDeque;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use kernel::Failure;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::batch::{self, Batch, Watched};
use super::log::Need;
use super::media::Disk;
use super::note::Signer;
use super::queue::{Gather, Phase};
use super::recorder::{ANSWER_WITHIN, Recorder, Settings, Shared};
use super::recover::{self, Place, StartFault};
use super::writer::Writer;
use crate::clock::Clock;

/// Why the log did not change hands.
#[derive(Debug, Error)]
pub enum RelayFault {
    #[error("records cannot be kept at the moment: the log is not handed over before they can")]
    Unavailable,
    #[error("the log's disk does not answer within {0:?}: the log is not handed over before it does")]
    DiskHangs(Duration),
    #[error("the records' socket: {0}")]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartFault),
}

impl Recorder {
    /// Writes and signs what is there and closes the log; records that come from now on wait. Blocks on the disk, but not
    /// longer than requests do: where it does not answer, the log stays open.
    pub fn pause(&self) -> Result<(), RelayFault> {
        self.pause_within(ANSWER_WITHIN)
    }

    pub(super) fn pause_within(&self, limit: Duration) -> Result<(), RelayFault> {
        if !self.is_available() {
            return Err(RelayFault::Unavailable);
        }
        if !self.shared.queue.pause(limit) {
            return Err(RelayFault::DiskHangs(limit));
        }
        self.join_writer();
        Ok(())
    }

    /// Opens the log again after [`pause`](Self::pause), and writes what waited. Where there was no pause, nothing is done.
    /// Blocks on the disk.
    pub fn open_again_if_paused(&self, settings: &Settings, clock: Clock) -> Result<(), RelayFault> {
        if self.handle().is_some() {
            return Ok(());
        }
        let signer = Signer::new(&settings.signing_key, &settings.origin).map_err(StartFault::Key)?;
        let place = Place { folder: &settings.dir, head: &settings.head, segment_bytes: settings.segment_bytes };
        let (log, repair) = recover::open(Box::new(Disk), place, signer, clock.now())?;
        self.shared.epoch.store(log.epoch(), Ordering::Release);
        let mut writer = Writer::new(log, Arc::clone(&self.shared), clock);
        writer.settle(repair)?;
        let pen = self.writer.pen.clone();
        pen.replace(writer);
        self.begin(move || pen.run())
    }

    /// Sends every record to the successor from now on, after [`pause`](Self::pause).
    pub fn relay_to(&self, successor: UnixStream) -> Result<(), RelayFault> {
        successor.set_write_timeout(Some(STUCK_AFTER))?;
        let answers = successor.try_clone()?;
        let relay = Relay { shared: Arc::clone(&self.shared), waiting: Arc::default(), next: 0 };
        self.begin(move || relay.run(successor, answers))
    }

    /// Whether somebody takes records from the queue, or is about to.
    #[must_use]
    pub fn has_writer(&self) -> bool {
        self.handle().as_ref().is_none_or(|handle| !handle.is_finished())
    }

    fn begin(&self, work: impl FnOnce() + Send + 'static) -> Result<(), RelayFault> {
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(work)?;
        *self.handle() = Some(thread);
        self.shared.queue.resume();
        Ok(())
    }

    fn join_writer(&self) {
        let handle = self.handle().take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the audit log's writer ended by a defect");
        }
    }

    fn handle(&self) -> MutexGuard<'_, Option<thread::JoinHandle<()>>> {
        self.writer.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what a predecessor sends, until it has no more.
    pub async fn take_in(&self, predecessor: tokio::net::UnixStream) -> io::Result<()> {
        let (reader, mut writer) = predecessor.into_split();
        let mut reader = tokio::io::BufReader::new(reader);
        // Full means that the disk is slower than the predecessor: it is read no further until lines are kept.
        let (kept, mut answers) = mpsc::channel::<(u64, Answer)>(IN_FLIGHT_MAX);
        let receive = async {
            // Dropped at the end, so that the answering ends after the last answer.
            let kept = kept;
            loop {
                let kind = reader.read_u8().await?;
                let number = reader.read_u64().await?;
                let length = reader.read_u32().await?;
                if length > LINE_BYTES_MAX {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is longer than any that there is"));
                }
                let mut line = vec![0; usize::try_from(length).unwrap_or_default()];
                reader.read_exact(&mut line).await?;
                let answer = match kind {
                    WRITTEN => self.push_for_another(&line, Need::Written),
                    SYNCED => self.push_for_another(&line, Need::Synced),
                    END => {
                        if self.shared.queue.push_end(&line).is_err() {
                            tracing::error!("the end of an exchange of the process before this one was not recorded");
                        }
                        continue;
                    }
                    LAST => {
                        let _gone = kept.send((number, Answer::Now(true))).await;
                        return Ok(());
                    }
                    _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no record")),
                };
                if kept.send((number, answer)).await.is_err() {
                    return Ok(());
                }
            }
        };
        let answer = async {
            while let Some((number, answer)) = answers.recv().await {
                let kept = match answer {
                    Answer::Now(kept) => kept,
                    Answer::Later(kept) => kept.await.is_ok(),
                };
                writer.write_u64(number).await?;
                writer.write_u8(u8::from(kept)).await?;
            }
            Ok::<_, io::Error>(())
        };
        let (received, answered) = tokio::join!(receive, answer);
        received.and(answered)
    }

    fn push_for_another(&self, line: &[u8], need: Need) -> Answer {
        self.shared.queue.push(line, need).map_or(Answer::Now(false), Answer::Later)
    }
}

enum Answer {
    Now(bool),
    Later(batch::Answer),
}

/// The batches that wait for the successor's answers, which come in the order of the lines.
type Waiting = Arc<Mutex<VecDeque<Sent>>>;

struct Sent {
    batch: Arc<Batch>,
    /// The next line of it to be answered, and the one after its last.
    next: u64,
    end: u64,
    /// Whether all of them so far were kept. Those who wait for a batch are answered alike: one line that was not kept
    /// refuses the others too, whose records stand all the same.
    kept: Result<(), Failure>,
}

/// Takes records from the queue and sends them.
struct Relay {
    shared: Arc<Shared>,
    /// As many as the queue holds and the socket takes.
    waiting: Waiting,
    next: u64,
}

impl Relay {
    fn run(mut self, successor: UnixStream, answers: UnixStream) {
        let (shared, waiting) = (Arc::clone(&self.shared), Arc::clone(&self.waiting));
        let listening = thread::Builder::new().name("audit".to_owned()).spawn(move || listen(&answers, &shared, &waiting));
        if let Err(error) = &listening {
            tracing::error!(error = %error, "no thread for the answers to records");
            self.lose();
        }
        let mut out = BufWriter::new(successor);
        loop {
            self.shared.queue.wait(None, Gather::default());
            let (batch, phase) = self.shared.queue.take(None);
            let last = phase == Phase::Closed && batch.lines.is_empty();
            let lost = batch.ends();
            let sent = self.send(&mut out, batch).and_then(|()| if last { self.say_goodbye(&mut out) } else { Ok(()) });
            if let Err(error) = sent {
                tracing::error!(error = %error, audit.ends = lost, "records cannot be sent to the process that has the log");
                self.lose();
            }
            if last {
                break;
            }
        }
        self.shared.available.store(false, Ordering::Release);
        // Ends with the successor's last answer, or with its end of the socket.
        if listening.is_ok_and(|thread| thread.join().is_err()) {
            tracing::error!("the answers to records ended by a defect");
        }
    }

    fn send(&mut self, out: &mut BufWriter<UnixStream>, batch: Batch) -> io::Result<()> {
        let kind = match batch.need() {
            Need::Written => WRITTEN,
            Need::Synced => SYNCED,
        };
        let batch = Arc::new(batch);
        let (next, end) = (self.next, self.next.wrapping_add(batch.watched() as u64));
        if next != end {
            lock(&self.waiting).push_back(Sent { batch: Arc::clone(&batch), next, end, kept: Ok(()) });
        }
        for (line, watched) in batch.entries() {
            match watched {
                Watched::Yes => {
                    frame(out, kind, self.next, line)?;
                    self.next = self.next.wrapping_add(1);
                }
                Watched::No => frame(out, END, 0, line)?,
            }
        }
        out.flush()
    }

    fn say_goodbye(&mut self, out: &mut BufWriter<UnixStream>) -> io::Result<()> {
        frame(out, LAST, u64::MAX, &[])?;
        out.flush()
    }

    /// Nothing is kept any more.
    fn lose(&self) {
        self.shared.available.store(false, Ordering::Release);
        refuse_all(&self.waiting);
    }
}

fn frame(out: &mut impl Write, kind: u8, number: u64, line: &[u8]) -> io::Result<()> {
    let length = u32::try_from(line.len()).map_err(io::Error::other)?;
    out.write_all(&[kind])?;
    out.write_all(&number.to_be_bytes())?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(line)
}

fn listen(answers: &UnixStream, shared: &Shared, waiting: &Waiting) {
    let mut answers = BufReader::new(answers);
    let mut answer = [0; 9];
    while answers.read_exact(&mut answer).is_ok() {
        let [number @ .., kept] = answer;
        let number = u64::from_be_bytes(number);
        if number == u64::MAX {
            return;
        }
        shared.stalled.store(false, Ordering::Release);
        let mut waiting = lock(waiting);
        let Some(sent) = waiting.front_mut().filter(|sent| sent.next == number) else { break };
        sent.next = sent.next.wrapping_add(1);
        if kept != 1 {
            sent.kept = Err(Failure::Audit);
        }
        if sent.next == sent.end
            && let Some(sent) = waiting.pop_front()
        {
            sent.batch.settle(&sent.kept);
        }
    }
    tracing::error!("the process that has the log is gone: this one records nothing more");
    shared.available.store(false, Ordering::Release);
    refuse_all(waiting);
}

fn refuse_all(waiting: &Waiting) {
    for sent in std::mem::take(&mut *lock(waiting)) {
        sent.batch.settle(&Err(Failure::Audit));
    }
}

/// Nothing under the lock panics.
fn lock<T>(waiting: &Mutex<T>) -> MutexGuard<'_, T> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

const WRITTEN: u8 = 1;
const SYNCED: u8 = 2;
const END: u8 = 3;
const LAST: u8 = 4;

/// Lines of a predecessor that were taken in and not answered.
const IN_FLIGHT_MAX: usize = 4_096;

/// Records are some KiB; a head may have 32 KiB and be written with escapes.
const LINE_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// A successor that reads nothing for longer is gone.
const STUCK_AFTER: Duration = Duration::from_secs(5);
