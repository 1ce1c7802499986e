//! Where the stream of a connection stays while nothing is asked on it.
//!
//! The parser keeps 16 KiB of buffers for as long as it lives. So it is put away once its connection has been idle for a moment,
//! and another is made when the first bytes of the next head come.

use std::sync::{Arc, Mutex, PoisonError};

/// Where a gate leaves its stream when the parser is put away while nothing is asked.
#[derive(Debug)]
pub(super) struct Bed<S>(Arc<Mutex<BedState<S>>>);

#[derive(Debug)]
enum BedState<S> {
    Folded,
    Made,
    Taken(S),
}

impl<S> Bed<S> {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(BedState::Folded)))
    }

    /// The next gate that is dropped leaves its stream here.
    pub fn make(&self) {
        *self.lock() = BedState::Made;
    }

    /// What was left.
    pub fn leave(&self) -> Option<S> {
        match std::mem::replace(&mut *self.lock(), BedState::Folded) {
            BedState::Taken(io) => Some(io),
            BedState::Folded | BedState::Made => None,
        }
    }

    /// Gives the stream back where nobody wants it here.
    pub fn lie_down(&self, io: S) -> Option<S> {
        let mut state = self.lock();
        match *state {
            BedState::Made => {
                *state = BedState::Taken(io);
                None
            }
            BedState::Folded | BedState::Taken(_) => Some(io),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BedState<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Bed<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
