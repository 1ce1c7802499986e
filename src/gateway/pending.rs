//! What is under way between two requests of one browser: places to return to, sign-ins at an IdP, hand-overs to a host,
//! enrolments. Kept in memory, bounded in number and bytes, each entry found by a hash and taken once.
//!
//! Losing an entry (a restart, a flood) loses nobody's session: the person lands on the portal or begins the sign-in again.

use std::time::Duration;

use kernel::redirect::ReturnPlace;
use kernel::request::host::Host;
use kernel::session::{SessionId, Token, TokenHash};
use moka::sync::Cache;
use zeroize::Zeroizing;

use crate::idp;

/// What is under way.
#[derive(Debug)]
pub struct Pending {
    places: Cache<TokenHash, Place>,
    sign_ins: Cache<TokenHash, SignIn>,
    finishes: Cache<TokenHash, Finish>,
    enrolments: Cache<SessionId, Enrolment>,
}

/// Where a browser wanted to go, and which browser that was.
#[derive(Clone, Debug)]
pub struct Place {
    pub place: ReturnPlace,
    /// The cookie that the browser holds at the place's host. The hand-over is good for this browser alone.
    pub browser: TokenHash,
}

/// A sign-in that the IdP is to answer.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub idp: String,
    pub pending: idp::Pending,
    /// The cookie of the browser at the gateway's host that began it.
    pub browser: TokenHash,
    /// Names the place to return to.
    pub place: Option<Token>,
    pub started_again: StartedAgain,
}

/// Whether this sign-in repeats one that another tab overtook. It is repeated once, so that nobody is sent in circles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedAgain {
    No,
    Yes,
}

/// A session on its way to a route's host.
#[derive(Clone, Debug)]
pub struct Finish {
    pub session: SessionId,
    pub host: Host,
    pub browser: TokenHash,
    pub place: ReturnPlace,
}

/// A TOTP secret that was shown and not yet confirmed.
#[derive(Clone, Debug)]
pub struct Enrolment {
    pub secret: Zeroizing<Vec<u8>>,
    /// The invitation that the person has shown.
    pub invite: Option<TokenHash>,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            places: Cache::builder().max_capacity(PLACES_BYTES_MAX).weigher(weigh).time_to_live(SIGN_IN_TIME).build(),
            sign_ins: Cache::builder().max_capacity(SIGN_INS_MAX).time_to_live(SIGN_IN_TIME).build(),
            finishes: Cache::builder().max_capacity(FINISHES_MAX).time_to_live(FINISH_TIME).build(),
            enrolments: Cache::builder().max_capacity(ENROLMENTS_MAX).time_to_live(ENROLMENT_TIME).build(),
        }
    }
}

impl Pending {
    pub fn put_place(&self, key: TokenHash, place: Place) {
        self.places.insert(key, place);
    }

    /// A place is read by every step of a sign-in; it ends by time.
    #[must_use]
    pub fn place(&self, key: TokenHash) -> Option<Place> {
        self.places.get(&key)
    }

    pub fn put_sign_in(&self, state: TokenHash, sign_in: SignIn) {
        self.sign_ins.insert(state, sign_in);
    }

    /// The sign-in of a `state`, once.
    #[must_use]
    pub fn take_sign_in(&self, state: TokenHash) -> Option<SignIn> {
        self.sign_ins.remove(&state)
    }

    pub fn put_finish(&self, code: TokenHash, finish: Finish) {
        self.finishes.insert(code, finish);
    }

    /// The hand-over of a code, once.
    #[must_use]
    pub fn take_finish(&self, code: TokenHash) -> Option<Finish> {
        self.finishes.remove(&code)
    }

    pub fn put_enrolment(&self, session: SessionId, enrolment: Enrolment) {
        self.enrolments.insert(session, enrolment);
    }

    #[must_use]
    pub fn enrolment(&self, session: SessionId) -> Option<Enrolment> {
        self.enrolments.get(&session)
    }

    pub fn drop_enrolment(&self, session: SessionId) {
        self.enrolments.invalidate(&session);
    }
}

fn weigh(_: &TokenHash, place: &Place) -> u32 {
    let query = place.place.query.as_ref().map_or(0, |query| query.len());
    u32::try_from(place.place.path.as_str().len() + query + 256).unwrap_or(u32::MAX)
}

/// Time for a whole sign-in, second factor included (attacks OI-01).
const SIGN_IN_TIME: Duration = Duration::from_secs(600);
/// Time for the redirect that carries a session to a host.
const FINISH_TIME: Duration = Duration::from_secs(30);
/// Time to scan a QR code and type a code.
const ENROLMENT_TIME: Duration = Duration::from_secs(900);
/// All places together, in bytes: some hundred thousand of common length.
const PLACES_BYTES_MAX: u64 = 64 * 1024 * 1024;
const SIGN_INS_MAX: u64 = 100_000;
const FINISHES_MAX: u64 = 100_000;
const ENROLMENTS_MAX: u64 = 10_000;
