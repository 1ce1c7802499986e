//! What the gate and the answering side of one connection tell each other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use kernel::request::framing::{FramingFault, Intent};

use super::facts::BodyFault;

/// What is known of a head before it is parsed, in the order of the heads.
#[derive(Debug)]
pub(super) struct HeadFacts {
    pub raw_target: Option<Box<str>>,
    pub fault: Option<FramingFault>,
    pub body_fault: BodyFault,
    pub intent: Intent,
    pub open: OpenRequest,
}

/// What the gate and the answering side of one connection share.
#[derive(Debug, Default)]
pub(super) struct Junction {
    inner: Mutex<JunctionState>,
    open: Arc<AtomicUsize>,
    used: AtomicBool,
    /// A request began since somebody looked.
    stirred: AtomicBool,
    /// The gate waits for a head of which nothing has come, and has passed on all that was written.
    rests: AtomicBool,
    /// The end of the connection is the end of an answer.
    ends_answer: AtomicBool,
}

#[derive(Debug, Default)]
struct JunctionState {
    /// Heads on their way through the parser. The parser holds few bytes at a time, so that there are few.
    heads: VecDeque<HeadFacts>,
    verdict: Option<Verdict>,
    waker: Option<Waker>,
}

/// Whether a connection leaves HTTP after an upgrade request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    ResumeHttp,
    BecomeTunnel,
}

/// Counts as an open request of its connection until dropped.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<AtomicUsize>);

/// Goes with a WebSocket's handshake, in its extensions. Kept, it counts as an open request, so that a connection whose streams
/// were upgraded is not taken for idle.
#[derive(Clone, Debug)]
pub struct StaysOpen(#[expect(dead_code, reason = "held, not read")] Arc<OpenRequest>);

impl StaysOpen {
    pub(super) fn new(open: OpenRequest) -> Self {
        Self(Arc::new(open))
    }
}

impl Junction {
    /// What was known of the head that was parsed now.
    pub fn next_head(&self) -> Option<HeadFacts> {
        self.lock().heads.pop_front()
    }

    /// Tells the gate what becomes of the connection after an upgrade request was answered.
    pub fn decide(&self, verdict: Verdict) {
        let waker = {
            let mut state = self.lock();
            state.verdict = Some(verdict);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn open_request(&self) -> OpenRequest {
        self.used.store(true, Ordering::Release);
        self.stirred.store(true, Ordering::Release);
        self.open.fetch_add(1, Ordering::AcqRel);
        OpenRequest(Arc::clone(&self.open))
    }

    pub fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Whether there ever was a request.
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Whether the gate waits for a head of which nothing has come, and has passed on all that was written.
    pub fn tell_rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Release);
    }

    /// Whether nothing was asked since the last look, nothing is under way, and neither the parser nor the gate holds a byte.
    pub fn has_rested(&self) -> bool {
        let stirred = self.stirred.swap(false, Ordering::AcqRel);
        !stirred && self.is_idle() && self.rests.load(Ordering::Acquire)
    }

    /// The answer that begins now may have no end but the connection's, as in HTTP/1.0.
    pub fn tell_end(&self) {
        self.ends_answer.store(true, Ordering::Release);
    }

    pub fn ends_answer(&self) -> bool {
        self.ends_answer.load(Ordering::Acquire)
    }

    pub fn push(&self, head: HeadFacts) {
        self.lock().heads.push_back(head);
    }

    pub fn take_verdict(&self, cx: &Context<'_>) -> Option<Verdict> {
        let mut state = self.lock();
        if state.verdict.is_none() {
            state.waker = Some(cx.waker().clone());
        }
        state.verdict.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, JunctionState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
