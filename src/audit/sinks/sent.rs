//! A batch that is on its way, by its end.

use tokio::time::Instant;

use super::courier::Receipt;
use super::position::Position;

#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub end: Position,
    /// When the first and the last batch under this end were sent.
    pub began: Instant,
    pub at: Instant,
    pub receipt: Receipt,
}

impl Sent {
    pub fn now(end: Position, receipt: Receipt) -> Self {
        let now = Instant::now();
        Self { end, began: now, at: now, receipt }
    }
}
