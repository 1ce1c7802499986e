//! A body that grows by a line each interval, to show that nothing in between holds it back.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::web::body::Body;

struct Ticks {
    pace: Interval,
    count: u32,
    end: u32,
    line: fn(u32) -> String,
}

/// `end` lines, one each `pace`, the first at once.
pub(super) fn body(pace: Duration, end: u32, line: fn(u32) -> String) -> Body {
    let mut pace = interval(pace);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ticks { pace, count: 0, end, line }.map_err(|never| match never {}).boxed_unsync()
}

impl http_body::Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.count == self.end {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_tick(context));
        self.count += 1;
        let line = (self.line)(self.count);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(line)))))
    }
}
