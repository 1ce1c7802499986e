//! When a certificate is renewed, and when a failure is tried again. Pure: the clock and the draw are arguments.

use std::time::Duration;

use kernel::time::Timestamp;

/// When an authority wants a certificate renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// Drawn once for each certificate, from 0 to 65535: its own, and the same after every restart.
pub type Draw = u16;

/// With a third of its life left, or up to a twentieth of it earlier: not all at once.
pub fn renewal(not_before: Timestamp, not_after: Timestamp, draw: Draw) -> Timestamp {
    let life = not_after.since(not_before);
    not_after.minus(life / 3).minus(part(life / 20, draw))
}

/// At a point of the authority's window, and never in the last tenth of the certificate's life.
pub fn renewal_told(window: Window, not_before: Timestamp, not_after: Timestamp, draw: Draw) -> Timestamp {
    let last = not_after.minus(not_after.since(not_before) / 10);
    // RFC 9773 §4.2: a window that ends before it starts means nothing.
    if window.end <= window.start {
        return renewal(not_before, not_after, draw);
    }
    window.start.plus(part(window.end.since(window.start), draw)).min(last)
}

/// How long to wait after this many failures in a row: two minutes, doubled up to twelve hours, and up to a quarter more.
pub fn back_off(failures: u32, draw: Draw) -> Duration {
    let doubled = BACK_OFF_MIN.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(BACK_OFF_MAX);
    doubled + part(doubled / 4, draw)
}

/// When to ask for the window again: as the authority says, within reason.
pub fn ask_again(told: Duration) -> Duration {
    told.clamp(ASK_MIN, ASK_MAX)
}

fn part(whole: Duration, draw: Draw) -> Duration {
    whole / 65_536 * u32::from(draw)
}

const BACK_OFF_MIN: Duration = Duration::from_secs(120);
const BACK_OFF_MAX: Duration = Duration::from_secs(12 * 3_600);
const ASK_MIN: Duration = Duration::from_secs(60);
const ASK_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Where the authority does not answer, or does not say.
pub const ASK_OTHERWISE: Duration = Duration::from_secs(6 * 3_600);
/// No host is ordered for again sooner, however short a certificate lives.
pub const REST: Duration = Duration::from_secs(60);
