//! The live sessions: a book in memory over the store, so that a request costs no disk, and so that an ended session is
//! ended for every request, stream and tunnel at once.
//!
//! Invariant: what the book says is live, the store says is live, or an end is on its way through both. Ending is written to
//! the store first and then told to the book; a session that was being loaded meanwhile is looked up again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;
use kernel::Failure;
use kernel::identity::assurance::{Assurance, FactorProof};
use kernel::identity::{Identity, Subject};
use kernel::request::host::Host;
use kernel::session::{EndReason, Pauses, Session, SessionEvent, SessionId, SessionRules, SessionState, TokenHash, advance};
use kernel::time::Timestamp;
use moka::sync::Cache;
pub use other::Change;
use pausing::Pausing;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::{NewSession, SessionFilter, Store, StoreFault};

mod other;
mod pausing;

/// The book. One per gateway.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn Store>,
    clock: Clock,
    /// Cookie to session. Bounded: what falls out is read from the store again.
    by_cookie: Cache<TokenHash, Arc<Live>>,
    by_id: DashMap<SessionId, Arc<Live>>,
    /// Counts ends, so that a look-up that raced one is made again.
    ends: AtomicU64,
    /// The other gateway of a hand-over, which holds a book of its own.
    other: ArcSwapOption<mpsc::Sender<Change>>,
}

/// One live session, shared by all its requests.
#[derive(Debug)]
pub struct Live {
    id: SessionId,
    facts: ArcSwap<Facts>,
    last_seen: AtomicU64,
    /// What the store knows of `last_seen`.
    last_kept: AtomicU64,
    pauses: Pausing,
    ended: CancellationToken,
}

/// What a session says of its person. Replaced whole.
#[derive(Clone, Debug)]
pub struct Facts {
    pub idp: String,
    pub identity: Arc<Identity>,
    pub assurance: Assurance,
    pub lineage: TokenHash,
    created: Timestamp,
    authenticated: Timestamp,
}

/// What a cookie led to.
#[derive(Clone, Debug)]
pub enum Found {
    Nothing,
    Live(Arc<Live>),
    /// The session's time was over; it was ended by this very look-up.
    Expired(Arc<Live>, EndReason),
}

impl Live {
    fn new(session: Session, pauses: Pauses) -> Self {
        let facts = Facts {
            idp: session.idp,
            identity: Arc::new(session.identity),
            assurance: session.assurance,
            lineage: session.lineage,
            created: session.state.created,
            authenticated: session.state.authenticated,
        };
        Self {
            id: session.id,
            facts: ArcSwap::from_pointee(facts),
            last_seen: AtomicU64::new(session.state.last_seen.as_micros()),
            last_kept: AtomicU64::new(session.state.last_seen.as_micros()),
            pauses: Pausing::new(pauses),
            ended: CancellationToken::new(),
        }
    }

    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    #[must_use]
    pub fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }

    /// Cancelled when the session ends: streams and tunnels watch it.
    #[must_use]
    pub const fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// The factors that count where a class has its own idle time.
    #[must_use]
    pub fn assurance_after_pause(&self, idle_timeout: Option<Duration>) -> Assurance {
        let facts = self.facts.load();
        match idle_timeout.and_then(|limit| self.pauses.resumed_after(limit)) {
            Some(resumed) => facts.assurance.shown_since(resumed),
            None => facts.assurance.clone(),
        }
    }

    #[must_use]
    pub fn state(&self) -> SessionState {
        let facts = self.facts.load();
        SessionState {
            created: facts.created,
            authenticated: facts.authenticated,
            last_seen: Timestamp::from_micros(self.last_seen.load(Ordering::Acquire)),
            ended: None,
        }
    }

    /// Notes a request; an end that is due is returned instead.
    fn see(&self, rules: &SessionRules, now: Timestamp) -> Result<(), EndReason> {
        let before = self.state();
        let after = advance(before, SessionEvent::Seen, rules, now);
        match after.ended {
            Some((reason, _)) => Err(reason),
            None => {
                self.pauses.note(before.last_seen, now);
                self.last_seen.fetch_max(after.last_seen.as_micros(), Ordering::AcqRel);
                Ok(())
            }
        }
    }
}

impl Sessions {
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        let by_cookie = Cache::builder().max_capacity(COOKIES_MAX).time_to_idle(FORGET_AFTER).build();
        Self { store, clock, by_cookie, by_id: DashMap::new(), ends: AtomicU64::new(0), other: ArcSwapOption::empty() }
    }

    /// The session that a cookie leads to, noted as seen.
    pub async fn find(&self, cookie: TokenHash, rules: &SessionRules) -> Result<Found, Failure> {
        let live = match self.by_cookie.get(&cookie).filter(|live| !live.ended.is_cancelled()) {
            Some(live) => live,
            None => match self.load(cookie).await? {
                Some(live) => live,
                None => return Ok(Found::Nothing),
            },
        };
        match live.see(rules, self.clock.now()) {
            Ok(()) => Ok(Found::Live(live)),
            Err(reason) => {
                let ended = self.end(SessionFilter::One(live.id), reason).await?;
                // Two requests at once may both find it expired; the one that ended it tells the log.
                Ok(if ended.is_empty() { Found::Nothing } else { Found::Expired(live, reason) })
            }
        }
    }

    async fn load(&self, cookie: TokenHash) -> Result<Option<Arc<Live>>, Failure> {
        for _ in 0..LOADS_MAX {
            let ends = self.ends.load(Ordering::Acquire);
            let Some(session) = self.store.session_by_cookie(cookie).await?.filter(|session| session.state.is_live()) else {
                return Ok(None);
            };
            let live = self.enter(session);
            self.by_cookie.insert(cookie, Arc::clone(&live));
            if self.ends.load(Ordering::Acquire) == ends && !live.ended.is_cancelled() {
                return Ok(Some(live));
            }
            self.by_cookie.invalidate(&cookie);
        }
        Err(Failure::Store("sessions end faster than they can be looked up".into()))
    }

    /// One `Live` per session, however many cookies lead to it.
    fn enter(&self, session: Session) -> Arc<Live> {
        let pauses = Pauses::unknown_until(self.clock.now());
        Arc::clone(&self.by_id.entry(session.id).or_insert_with(|| Arc::new(Live::new(session, pauses))))
    }

    /// Begins a session and its cookie on the gateway's host.
    pub async fn begin(&self, new: NewSession) -> Result<Arc<Live>, Failure> {
        let (session, cookie) = (new.session.clone(), new.cookie);
        self.store.begin_session(new).await?;
        let live = Arc::new(Live::new(session, Pauses::default()));
        self.by_id.insert(live.id, Arc::clone(&live));
        self.by_cookie.insert(cookie, Arc::clone(&live));
        Ok(live)
    }

    /// A live session by its id, as long as it is in memory: a hand-over takes seconds.
    #[must_use]
    pub fn live(&self, id: SessionId) -> Option<Arc<Live>> {
        self.by_id.get(&id).map(|live| Arc::clone(&live)).filter(|live| !live.ended.is_cancelled())
    }

    /// Adds another host's cookie. False when the session has ended meanwhile.
    pub async fn bind(&self, live: &Live, cookie: TokenHash, host: Host) -> Result<bool, Failure> {
        Ok(self.store.bind_cookie(live.id, cookie, host).await?)
    }

    /// Replaces a cookie: the old one leads nowhere afterwards.
    pub async fn rotate(&self, old: TokenHash, new: TokenHash) -> Result<bool, Failure> {
        let replaced = self.store.replace_cookie(old, new).await?;
        self.by_cookie.invalidate(&old);
        self.tell_other(Change::Replaced(old));
        Ok(replaced)
    }

    /// The IdP vouched for the same person again.
    pub async fn reauthenticate(&self, live: &Live, identity: Identity, idp_session: Option<String>) -> Result<bool, Failure> {
        let now = self.clock.now();
        let done = self.store.reauthenticate_session(live.id, identity.clone(), idp_session, now).await?;
        if done {
            let identity = Arc::new(identity);
            live.facts.rcu(|facts| Facts {
                identity: Arc::clone(&identity),
                authenticated: facts.authenticated.max(now),
                ..Facts::clone(facts)
            });
        }
        Ok(done)
    }

    /// A factor was shown. False when the session has ended meanwhile.
    pub async fn prove(&self, live: &Live, proof: FactorProof) -> Result<bool, Failure> {
        let done = self.store.prove_factor(live.id, proof).await?;
        if done {
            live.facts.rcu(|facts| Facts { assurance: facts.assurance.with(proof), ..Facts::clone(facts) });
        }
        Ok(done)
    }

    /// Ends sessions for good and returns which. When this returns, no request finds them, and their streams are told.
    pub async fn end(&self, filter: SessionFilter, reason: EndReason) -> Result<Vec<SessionId>, Failure> {
        let ended = self.store.end_sessions(filter, reason, self.clock.now()).await?;
        self.ends.fetch_add(1, Ordering::AcqRel);
        for id in &ended {
            if let Some((_, live)) = self.by_id.remove(id) {
                live.ended.cancel();
            }
        }
        if !ended.is_empty() {
            self.tell_other(Change::Ended(ended.clone()));
        }
        Ok(ended)
    }

    /// Ends the sessions in memory whose time is over: those that a stream keeps open without a request.
    pub async fn end_expired(&self, rules: &SessionRules) -> Result<Vec<(Arc<Live>, EndReason)>, Failure> {
        let now = self.clock.now();
        let due = |live: &Arc<Live>| {
            let ended = advance(live.state(), SessionEvent::Seen, rules, now).ended;
            ended.map(|(reason, _)| (Arc::clone(live), reason))
        };
        let due: Vec<_> = self.by_id.iter().filter_map(|entry| due(entry.value())).collect();
        let mut ended = Vec::new();
        for (live, reason) in due {
            if !self.end(SessionFilter::One(live.id), reason).await?.is_empty() {
                ended.push((live, reason));
            }
        }
        Ok(ended)
    }

    /// The live sessions of a subject, or all, with the latest sight of each.
    pub async fn list(&self, subject: Option<Subject>) -> Result<Vec<Session>, Failure> {
        let mut sessions = self.store.sessions(subject).await?;
        for session in &mut sessions {
            if let Some(live) = self.by_id.get(&session.id) {
                session.state.last_seen = session.state.last_seen.max(live.state().last_seen);
            }
        }
        Ok(sessions)
    }

    /// Writes when sessions were last seen, and forgets those that nothing refers to any more. Called every few seconds.
    pub async fn keep_sights(&self) -> Result<(), Failure> {
        let mut seen = Vec::new();
        for entry in &self.by_id {
            let live = entry.value();
            let last_seen = live.last_seen.load(Ordering::Acquire);
            if live.last_kept.swap(last_seen, Ordering::AcqRel) != last_seen {
                seen.push((live.id, Timestamp::from_micros(last_seen)));
            }
        }
        if !seen.is_empty() {
            self.store.touch_sessions(seen).await?;
        }
        self.by_cookie.run_pending_tasks();
        // One reference is the book's own: no cookie in the cache, no request, no stream.
        self.by_id.retain(|_, live| Arc::strong_count(live) > 1);
        Ok(())
    }

    /// How many sessions are in memory.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_id.len()
    }
}

impl From<StoreFault> for Failure {
    fn from(fault: StoreFault) -> Self {
        Self::Store(fault.to_string())
    }
}

/// Cookies kept in memory. Some 400 bytes each.
const COOKIES_MAX: u64 = 200_000;
/// A cookie not shown for this long is read from the store again.
const FORGET_AFTER: Duration = Duration::from_secs(900);
/// Look-ups of one cookie before giving up. Each is repeated only when a session ended meanwhile.
const LOADS_MAX: usize = 8;
