//! Metadata and keys of one IdP: fetched when first needed, kept for a while, fetched by one caller at a time.
//!
//! A failure is remembered for a moment, so that an IdP that is down is asked a little and recovers by itself. Keys are
//! fetched again for a token that the known ones do not verify, but at most once in [`REFETCH_EVERY`], whatever becomes of the
//! fetch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use kernel::time::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::discovery::{Issuer, Metadata};
use super::fault::{ProviderFault, TokenFault};
use super::http::Http;
use super::jws::{Claims, KeySet, Unverified};
use crate::clock::Clock;

/// An IdP as it was last seen.
#[derive(Debug)]
pub struct Provider {
    pub metadata: Arc<Metadata>,
    pub keys: KeySet,
    fetched: Timestamp,
}

/// Where providers come from.
#[derive(Debug)]
pub struct Source {
    issuer: Issuer,
    http: Http,
    clock: Clock,
    current: ArcSwapOption<Provider>,
    /// One permit: who holds it may fetch. Dropping a caller gives it back, and the next one fetches.
    turn: Semaphore,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    failed: Option<(Timestamp, ProviderFault)>,
    refetched: Option<Timestamp>,
}

impl Source {
    pub fn new(issuer: Issuer, http: Http, clock: Clock) -> Self {
        Self { issuer, http, clock, current: ArcSwapOption::empty(), turn: Semaphore::new(1), marks: Mutex::default() }
    }

    /// The provider, seen within `age_max`.
    pub async fn provider(&self, age_max: Duration) -> Result<Arc<Provider>, ProviderFault> {
        if let Some(provider) = self.fresh(age_max) {
            return Ok(provider);
        }
        let _turn = self.take_turn().await?;
        if let Some(provider) = self.fresh(age_max) {
            return Ok(provider);
        }
        if let Some((at, fault)) = self.with_marks(|marks| marks.failed.clone())
            && self.is_within(at, RETRY_EVERY)
        {
            return Err(ProviderFault::Recently(Box::new(fault)));
        }
        let fetched = self.fetch().await;
        let now = self.clock.now();
        self.with_marks(|marks| marks.failed = fetched.as_ref().err().map(|fault| (now, fault.clone())));
        let provider = Arc::new(fetched?);
        self.current.store(Some(Arc::clone(&provider)));
        Ok(provider)
    }

    /// A digest of the keys that were last fetched.
    pub fn keys_seen(&self) -> Option<[u8; 32]> {
        self.current.load_full().map(|provider| provider.keys.digest())
    }

    /// Checks a token's signature; with keys fetched again if those of `provider` do not verify it. A wrong signature counts like
    /// an unknown key, because an IdP that names no keys, or reuses a name, changes them unseen.
    pub async fn verify(&self, provider: &Arc<Provider>, token: &Unverified<'_>) -> Result<Claims, TokenFault> {
        match provider.keys.verify(token) {
            Err(fault @ (TokenFault::UnknownKey | TokenFault::Signature)) => self.newer_than(provider, fault).await?.keys.verify(token),
            judged => judged,
        }
    }

    /// The provider with newer keys than `seen`; `fault` if there are none to be had now.
    async fn newer_than(&self, seen: &Arc<Provider>, fault: TokenFault) -> Result<Arc<Provider>, TokenFault> {
        let _turn = self.take_turn().await.map_err(|_| TokenFault::KeysUnreachable)?;
        // Somebody else may have fetched while this caller waited for its turn.
        if let Some(current) = self.current.load_full().filter(|current| !Arc::ptr_eq(current, seen)) {
            return Ok(current);
        }
        let now = self.clock.now();
        if self.with_marks(|marks| marks.refetched).is_some_and(|at| self.is_within(at, REFETCH_EVERY)) {
            return Err(fault);
        }
        // Marked before the fetch: one that fails, or that nobody waits for to the end, counts as well.
        self.with_marks(|marks| marks.refetched = Some(now));
        let keys = self.fetch_keys(&seen.metadata).await.map_err(|_| TokenFault::KeysUnreachable)?;
        let provider = Arc::new(Provider { metadata: Arc::clone(&seen.metadata), keys, fetched: seen.fetched });
        self.current.store(Some(Arc::clone(&provider)));
        Ok(provider)
    }

    async fn fetch(&self) -> Result<Provider, ProviderFault> {
        let address = self.issuer.discovery().ok_or(ProviderFault::Issuer)?;
        let fetched = self.clock.now();
        let document = self.http.get(&address, None).await.and_then(|reply| reply.object()).map_err(ProviderFault::Discovery)?;
        let metadata = Metadata::read(&document, &self.issuer)?;
        let keys = self.fetch_keys(&metadata).await?;
        Ok(Provider { metadata: Arc::new(metadata), keys, fetched })
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<KeySet, ProviderFault> {
        let set = self.http.get(&metadata.keys, None).await.and_then(|reply| reply.object()).map_err(ProviderFault::Keys)?;
        KeySet::read(&set)
    }

    fn fresh(&self, age_max: Duration) -> Option<Arc<Provider>> {
        self.current.load_full().filter(|provider| self.is_within(provider.fetched, age_max))
    }

    /// Whether `at` lies within `span` before now. A time in the future (the clock was set back) does not.
    fn is_within(&self, at: Timestamp, span: Duration) -> bool {
        let now = self.clock.now();
        at <= now && now.since(at) < span
    }

    async fn take_turn(&self) -> Result<SemaphorePermit<'_>, ProviderFault> {
        // A turn is two calls at most; who waits longer stands behind callers that were dropped and should not wait at all.
        let patience = self.http.limits().deadline.saturating_mul(2);
        match tokio::time::timeout(patience, self.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(ProviderFault::Crowded),
        }
    }

    fn with_marks<T>(&self, read: impl FnOnce(&mut Marks) -> T) -> T {
        read(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long metadata and keys are used before they are fetched again.
pub const KEEP: Duration = Duration::from_secs(3_600);

/// How long a failure to fetch stands before the IdP is asked again.
pub const RETRY_EVERY: Duration = Duration::from_secs(2);

/// Keys are fetched for an unknown key id at most once in this time.
pub const REFETCH_EVERY: Duration = Duration::from_secs(30);
