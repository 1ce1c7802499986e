//! Rate limits with bounded memory: GCRA (governor) over stores that never grow past their bound.
//!
//! Every limit counts in memory of this process. What a flood of keys does to a full store is said in [`store`]: it cannot
//! cheaply free a key that has spent from what it spent.

mod store;
mod ticker;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock as _, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use kernel::Rejection;
use kernel::identity::Subject;
use kernel::policy::permit::Grantee;
use kernel::policy::{Admitted, Permit};
use kernel::quota::Rate;
use kernel::request::client::AddressKey;

use store::{BoundedStore, Fingerprint, Fingerprints};
pub use ticker::{ManualTicks, Ticker};

/// The rates in force, and the bound of the memory they take.
#[derive(Clone, Debug)]
pub struct Settings {
    pub per_address: Rate,
    pub per_subject: Rate,
    /// Steps of signing in, by address.
    pub sign_in: Rate,
    /// Second-factor attempts, by subject.
    pub second_factor: Rate,
    /// Keys that each limit remembers. Default 65,536: about 8 MiB for a full store.
    pub keys: usize,
}

/// All rate limits of the gateway. A reload of the configuration keeps what was spent: see [`Limits::reconfigured`].
#[derive(Debug)]
pub struct Limits {
    settings: Settings,
    ticker: Ticker,
    fingerprints: Fingerprints,
    address: Arc<Limiter>,
    subject: Arc<Limiter>,
    sign_in: Arc<Limiter>,
    second_factor: Arc<Limiter>,
    /// By rate: rules that share a rate share a limiter, not a budget. At most [`RULE_RATES_MAX`].
    rules: RwLock<HashMap<Rate, Arc<Limiter>>>,
}

type Limiter = RateLimiter<Fingerprint, BoundedStore, Ticker, NoOpMiddleware<Nanos>>;

/// Distinct rates of rules held at one time. Only an administrator can name rates, so that more than this many means
/// hundreds of reloads; then all rules start anew.
const RULE_RATES_MAX: usize = 64;

impl Limits {
    #[must_use]
    pub fn new(settings: Settings, ticker: Ticker) -> Self {
        let limiter = |rate: &Rate| Arc::new(limiter(rate, settings.keys, &ticker));
        Self {
            address: limiter(&settings.per_address),
            subject: limiter(&settings.per_subject),
            sign_in: limiter(&settings.sign_in),
            second_factor: limiter(&settings.second_factor),
            rules: RwLock::default(),
            fingerprints: Fingerprints::default(),
            ticker,
            settings,
        }
    }

    /// The limits after a reload. A limit whose rate did not change goes on counting where it was, so that nobody gains
    /// by a reload.
    #[must_use]
    pub fn reconfigured(&self, settings: Settings) -> Self {
        let same_size = settings.keys == self.settings.keys;
        let next = |old: &Rate, new: &Rate, limit: &Arc<Limiter>| {
            if old == new && same_size { Arc::clone(limit) } else { Arc::new(limiter(new, settings.keys, &self.ticker)) }
        };
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        Self {
            address: next(&self.settings.per_address, &settings.per_address, &self.address),
            subject: next(&self.settings.per_subject, &settings.per_subject, &self.subject),
            sign_in: next(&self.settings.sign_in, &settings.sign_in, &self.sign_in),
            second_factor: next(&self.settings.second_factor, &settings.second_factor, &self.second_factor),
            rules: RwLock::new(if same_size { rules.clone() } else { HashMap::new() }),
            fingerprints: self.fingerprints.clone(),
            ticker: self.ticker.clone(),
            settings,
        }
    }

    /// One request from an address.
    pub fn spend_address(&self, key: AddressKey) -> Result<(), Rejection> {
        self.spend(&self.address, key)
    }

    /// One step of signing in from an address.
    pub fn spend_sign_in(&self, key: AddressKey) -> Result<(), Rejection> {
        self.spend(&self.sign_in, key)
    }

    /// One second-factor attempt of a subject, over all endpoints.
    pub fn spend_second_factor(&self, subject: &Subject) -> Result<(), Rejection> {
        self.spend(&self.second_factor, subject)
    }

    /// Pays the quotas of a permit: the subject's, then the rule's. What was paid first is not given back when the second
    /// refuses, so that hammering a limited rule uses up the subject's rate as well.
    ///
    /// A public rule has no subject: it counts by the client's address, and by the peer's where a trusted proxy named no
    /// client that can be read.
    pub fn admit(&self, permit: Permit) -> Result<Admitted, Rejection> {
        if let Grantee::Person(person) = permit.grantee() {
            self.spend(&self.subject, &person.identity.subject)?;
        }
        if let Some(rate) = permit.rate() {
            let limiter = self.rule_limiter(rate);
            let rule = (permit.route().id.as_str(), permit.rule());
            match permit.grantee() {
                Grantee::Person(person) => self.spend(&limiter, (rule, &person.identity.subject))?,
                Grantee::Anyone => {
                    let client = permit.request().client.unwrap_or(permit.request().peer);
                    self.spend(&limiter, (rule, client.key()))?;
                }
            }
        }
        Ok(Admitted::assertion(permit))
    }

    fn spend(&self, limiter: &Limiter, key: impl Hash) -> Result<(), Rejection> {
        let key = self.fingerprints.of(key);
        limiter.check_key(&key).map_err(|until| {
            let wait: Duration = until.earliest_possible().duration_since(self.ticker.now()).into();
            // `Retry-After` counts whole seconds; zero would invite a request that is refused again.
            Rejection::Throttled { retry_after: Duration::from_secs(wait.as_secs() + 1) }
        })
    }

    fn rule_limiter(&self, rate: &Rate) -> Arc<Limiter> {
        if let Some(limiter) = self.rules.read().unwrap_or_else(PoisonError::into_inner).get(rate) {
            return Arc::clone(limiter);
        }
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        if rules.len() >= RULE_RATES_MAX && !rules.contains_key(rate) {
            rules.clear();
        }
        let made = || Arc::new(limiter(rate, self.settings.keys, &self.ticker));
        Arc::clone(rules.entry(rate.clone()).or_insert_with(made))
    }
}

fn limiter(rate: &Rate, keys: usize, ticker: &Ticker) -> Limiter {
    // An interval of zero nanoseconds, which `with_period` refuses, is more than any machine serves.
    let quota = Quota::with_period(rate.interval()).unwrap_or_else(|| Quota::per_second(rate.count)).allow_burst(rate.burst);
    RateLimiter::new(quota, BoundedStore::new(keys), ticker.clone())
}
