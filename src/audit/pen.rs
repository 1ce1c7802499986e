//! The pen: the writer of a log, and the right to write.
//!
//! Handing a record to another thread and being woken by it costs several times what writing it does. So whoever waits for a
//! record to be written takes the pen and writes whatever has gathered, for everybody; whoever finds it taken waits. What may
//! take long is left to the thread: syncs, checkpoints, new segments, everything after a fault, and all of it while the disk
//! is slow. Whoever lets go of the pen looks once more, because those who found it taken rely on that.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, TryLockError};

use super::recorder::Shared;
use super::writer::Writer;

/// A writer that can be in one hand at a time. There is none while the log is another process's.
#[derive(Clone, Debug)]
pub struct Pen {
    writer: Arc<Mutex<Option<Writer>>>,
    shared: Arc<Shared>,
}

/// Whether the thread has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Done,
    /// The log is closed, or another writer's.
    Last,
}

/// What became of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helped {
    /// Nothing was left to help with.
    Whole,
    /// The thread sees to the rest.
    ThreadCalled,
}

impl Pen {
    pub(super) fn new(writer: Writer, shared: Arc<Shared>) -> Self {
        Self { writer: Arc::new(Mutex::new(Some(writer))), shared }
    }

    /// Puts another writer in its place.
    pub(super) fn replace(&self, writer: Writer) {
        if let Ok(mut held) = self.writer.lock() {
            *held = Some(writer);
        }
    }

    /// Writes what is there to be written, where nobody is at it. Does not wait for the thread, nor for anything but the write.
    pub fn help(&self) {
        loop {
            match self.writer.try_lock() {
                Ok(mut held) => match held.as_mut().map(Writer::help) {
                    Some(Helped::Whole) => {}
                    Some(Helped::ThreadCalled) | None => return,
                },
                // Whoever has it looks again. After a panic nothing is written any more: the tree may not be what the file is.
                Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return,
            }
            if !self.shared.queue.has_led_lines() {
                return;
            }
        }
    }

    /// The life of the thread: until the queue is closed and empty, or the log is another's.
    pub fn run(&self) {
        while let Some((patience, gather)) = self.with(|writer| writer.rest()) {
            if !self.shared.queue.has_led_lines() {
                self.shared.queue.wait(patience, gather);
            }
            match self.with(Writer::turn) {
                Some(Turn::Done) => {}
                Some(Turn::Last) => {
                    self.put_away();
                    return;
                }
                None => break,
            }
        }
        tracing::error!("the audit log's writer ended by a defect: requests are refused until this gateway is started again");
        self.shared.available.store(false, Ordering::Release);
    }

    /// Closes the files.
    fn put_away(&self) {
        if let Ok(mut held) = self.writer.lock() {
            *held = None;
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> Option<T> {
        self.writer.lock().ok()?.as_mut().map(work)
    }
}
