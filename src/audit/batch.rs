//! Lines that are written together, and the one answer that everybody gets who waits for one of them.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use kernel::Failure;

use super::log::Need;

/// Lines without their sequences, one behind the other in the same memory.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Lines {
    pub fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let line = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            line
        })
    }

    /// Forgets the lines, and keeps their memory within bounds.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.ends.clear();
    }
}

/// Lines that are written together.
#[derive(Debug, Default)]
pub struct Batch {
    pub lines: Lines,
    /// Those that nobody waits for: a fault must not lose them. By their places, in order.
    unwatched: Vec<usize>,
    /// How many of those could not be refused.
    ends: usize,
    /// How many lines somebody waits for until they are written, and no longer.
    led: usize,
    /// What the most demanding of those who wait asks for.
    need: Option<Need>,
    answer: Arc<Shared>,
}

impl Batch {
    /// Adds a line that somebody waits for.
    pub fn push(&mut self, line: &[u8], need: Need) -> Answer {
        self.lines.push(line);
        self.need = self.need.max(Some(need));
        self.led += usize::from(need == Need::Written);
        Answer { shared: Arc::clone(&self.answer), place: None }
    }

    /// Adds a line that nobody waits for.
    pub fn push_unwatched(&mut self, line: &[u8]) {
        self.unwatched.push(self.lines.len());
        self.lines.push(line);
    }

    /// Adds a line that nobody waits for, and that cannot be refused.
    pub fn push_end(&mut self, line: &[u8]) {
        self.ends += 1;
        self.push_unwatched(line);
    }

    /// Whether the next line belongs into another batch, so that nobody at the end of this one waits long.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }

    /// How many lines could have been refused.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.lines.len() - self.ends
    }

    #[must_use]
    pub const fn ends(&self) -> usize {
        self.ends
    }

    /// How many lines somebody waits for until they are written, and no longer.
    #[must_use]
    pub const fn led(&self) -> usize {
        self.led
    }

    #[must_use]
    pub fn need(&self) -> Need {
        self.need.unwrap_or(Need::Written)
    }

    /// The lines, and whether somebody waits for each.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], Watched)> {
        let mut places = self.unwatched.iter().peekable();
        self.lines.iter().enumerate().map(move |(place, line)| {
            let unwatched = places.next_if(|next| **next == place).is_some();
            (line, if unwatched { Watched::No } else { Watched::Yes })
        })
    }

    /// How many lines somebody waits for.
    #[must_use]
    pub const fn watched(&self) -> usize {
        self.lines.len() - self.unwatched.len()
    }

    /// The lines that nobody waits for.
    pub fn unwatched(&self) -> impl Iterator<Item = &[u8]> {
        self.entries().filter(|(_, watched)| *watched == Watched::No).map(|(line, _)| line)
    }

    /// Answers everybody who waits.
    pub fn settle(&self, kept: &Result<(), Failure>) {
        self.answer.settle(if kept.is_ok() { KEPT } else { FAILED });
    }

    /// Begins again, in the same memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.unwatched.clear();
        (self.ends, self.led, self.need) = (0, 0, None);
        // Whoever waited and was not answered learns now that the record was not kept.
        mem::take(&mut self.answer).settle(FAILED);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.answer.settle(FAILED);
    }
}

/// Whether somebody waits for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    Yes,
    No,
}

/// What somebody waits for: whether the batch was kept.
#[derive(Debug)]
pub struct Answer {
    shared: Arc<Shared>,
    /// Which of the wakers is this one's.
    place: Option<usize>,
}

/// One for all lines of a batch: a word, and whom to wake when it is said.
#[derive(Debug, Default)]
struct Shared {
    /// [`PENDING`] first; then one of the other two, for good.
    word: AtomicU8,
    wakers: Mutex<Vec<Waker>>,
}

impl Shared {
    fn settle(&self, word: u8) {
        if self.word.compare_exchange(PENDING, word, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // Whoever looks from here on finds the word, and those who looked before are in the list.
            let wakers = mem::take(&mut *self.lock());
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn answer(&self) -> Option<Result<(), Failure>> {
        match self.word.load(Ordering::Acquire) {
            PENDING => None,
            KEPT => Some(Ok(())),
            _ => Some(Err(Failure::Audit)),
        }
    }

    /// Nothing under the lock panics.
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// The answer, where it was given already.
    #[must_use]
    pub fn now(&self) -> Option<Result<(), Failure>> {
        self.shared.answer()
    }
}

impl Future for Answer {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(answer) = self.shared.answer() {
            return Poll::Ready(answer);
        }
        let mut wakers = self.shared.lock();
        // Between the look and the lock the word may have been said, and the list emptied.
        if let Some(answer) = self.shared.answer() {
            return Poll::Ready(answer);
        }
        let place = wakers.len();
        match self.place.and_then(|place| wakers.get_mut(place)) {
            Some(known) => known.clone_from(context.waker()),
            None => {
                wakers.push(context.waker().clone());
                drop(wakers);
                self.place = Some(place);
            }
        }
        Poll::Pending
    }
}

const PENDING: u8 = 0;
const KEPT: u8 = 1;
const FAILED: u8 = 2;

/// Most lines in one batch: a write of a few MiB.
const LINES_MAX: usize = 4_096;

/// Memory that is kept from one batch to the next.
const KEPT_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use std::pin::pin;

    use super::*;
    use crate::audit::fixtures::runtime;

    #[test]
    fn lines_come_out_as_they_went_in() {
        let mut batch = Batch::default();
        let waits = [batch.push(b"one", Need::Written), batch.push(b"", Need::Synced)];
        batch.push_unwatched(b"three");
        batch.push(b"four", Need::Written);
        batch.push_end(b"five");
        assert_eq!(batch.lines.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"three", b"four", b"five"]);
        assert_eq!(batch.unwatched().collect::<Vec<_>>(), [&b"three"[..], b"five"]);
        assert_eq!((batch.items(), batch.ends(), batch.watched(), batch.need(), waits.len()), (4, 1, 3, Need::Synced, 2));
        batch.clear();
        assert_eq!((batch.items(), batch.ends(), batch.need()), (0, 0, Need::Written));
    }

    #[test]
    fn everybody_is_answered_once_and_alike() {
        for (kept, expected) in [(Ok(()), Ok(())), (Err(Failure::Audit), Err(Failure::Audit))] {
            let runtime = runtime();
            let mut batch = Batch::default();
            let waiting: Vec<_> = (0..100).map(|_| runtime.spawn(batch.push(b"", Need::Written))).collect();
            let late = batch.push(b"", Need::Written);
            batch.settle(&kept);
            drop(batch);
            for answer in waiting.into_iter().map(|task| runtime.block_on(task).unwrap()).chain([runtime.block_on(late)]) {
                assert_eq!(answer, expected);
            }
        }
    }

    #[test]
    fn a_batch_that_goes_without_a_word_was_not_kept() {
        let mut batch = Batch::default();
        let (first, mut second) = (batch.push(b"", Need::Written), pin!(batch.push(b"", Need::Written)));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(batch.answer.lock().len(), 1, "asked twice, woken once");
        batch.clear();
        assert_eq!(runtime().block_on(first), Err(Failure::Audit));
        assert_eq!(runtime().block_on(second), Err(Failure::Audit));
        let third = batch.push(b"", Need::Written);
        drop(batch);
        assert_eq!(runtime().block_on(third), Err(Failure::Audit));
    }
}
