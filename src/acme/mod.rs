//! Certificates that the gateway obtains and renews itself (ACME: RFC 8555, 8737, 9773), one for each host.
//!
//! What is in service stays there until its successor was issued, checked, recorded and stored. A failure is told, recorded and
//! tried again, later each time. Keys leave this room sealed, or in a certificate that is served, and nowhere else.

mod account;
mod fault;
mod http;
mod order;
mod schedule;
#[cfg(test)]
mod tests;
mod wards;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use instant_acme::Account;
use kernel::event::{Body as EventBody, Event, LifecycleChange, LifecycleFacts};
use rustls_pki_types::CertificateDer;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::audit::Recorder;
use crate::clock::Clock;
use crate::listener::{Certificate, Challenges};
use crate::store::{AcmeAttempt, IssuedCertificate, Store, StoreFault};
use crate::telemetry::Metrics;
use crate::telemetry::acme::{HostState, Ordered};
use fault::AcmeFault;
use wards::{Held, Wards};

/// Which authority is asked, for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address of the authority's directory; https.
    pub directory: String,
    /// `mailto:` addresses.
    pub contact: Vec<String>,
    /// In lower case; each gets a certificate of its own.
    pub hosts: Vec<String>,
    pub challenge: Challenge,
    /// Authorities that may vouch for the directory's own certificate, beside the system's.
    pub roots: Vec<CertificateDer<'static>>,
}

/// How the authority sees that a host is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// In a handshake on port 443.
    TlsAlpn,
    /// By a plain request to port 80.
    Http,
}

/// What an order needs beside the settings.
#[derive(Debug)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub audit: Recorder,
    pub metrics: Metrics,
    pub clock: Clock,
}

/// Obtains certificates and keeps them new.
pub struct Acme {
    parts: Parts,
    settings: ArcSwapOption<Settings>,
    challenges: Arc<Challenges>,
    wards: Mutex<Wards>,
    /// Says that the settings are others.
    aimed: Notify,
    /// Counts changes of what is to be served.
    changed: watch::Sender<u64>,
}

impl Acme {
    /// Reads what was issued before. Nothing is asked of anybody yet.
    pub async fn load(parts: Parts, challenges: Arc<Challenges>, settings: Option<Settings>) -> Result<Self, StoreFault> {
        let kept = parts.store.issued_certificates().await?;
        let mut wards = Wards::default();
        for issued in kept {
            wards.take_in(issued, parts.clock.now());
        }
        let acme = Self {
            parts,
            settings: ArcSwapOption::empty(),
            challenges,
            wards: Mutex::new(wards),
            aimed: Notify::new(),
            changed: watch::Sender::new(0),
        };
        acme.aim(settings);
        for attempt in acme.parts.store.acme_attempts().await? {
            acme.wards().remember(attempt);
        }
        acme.tell();
        Ok(acme)
    }

    /// Puts other settings in force; with none, nothing is obtained and nothing of this room served. What had failed is tried at once.
    pub fn aim(&self, settings: Option<Settings>) {
        let hosts = settings.as_ref().map(|settings| settings.hosts.clone()).unwrap_or_default();
        self.wards().aim(&hosts);
        self.settings.store(settings.map(Arc::new));
        self.tell();
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        self.aimed.notify_one();
    }

    /// What is to be served now.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.wards().certificates()
    }

    /// Changes whenever [`Self::certificates`] may.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Obtains and renews until shutdown.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut turn = tokio::time::interval(LOOK_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = async {
                // Either it is time to look, or there is something new to look at.
                tokio::select! {
                    _ = turn.tick() => {}
                    () = self.aimed.notified() => {}
                }
            };
            if shutdown.run_until_cancelled(next).await.is_none() || shutdown.run_until_cancelled(self.look()).await.is_none() {
                return;
            }
        }
    }

    /// One look at every host: those that are due are ordered, a few at a time.
    async fn look(&self) {
        let Some(settings) = self.settings.load_full() else { return };
        let now = self.parts.clock.now();
        let due = Mutex::new(self.wards().due(&settings.directory, now));
        let asked = self.wards().to_ask(now);
        if lock(&due).is_empty() && asked.is_empty() {
            return;
        }
        let account = match account::open(&settings, self.parts.store.as_ref()).await {
            Ok(account) => account,
            Err(fault) => {
                let unserved = std::mem::take(&mut *lock(&due));
                for host in unserved {
                    self.failed(&host, &fault, &settings).await;
                }
                // That nobody answers is told by the hosts that need something; the others are asked about later.
                self.wards().put_off(&asked, now);
                return;
            }
        };
        for host in asked {
            self.ask_when(&account, &host).await;
        }
        lock(&due).extend(self.wards().due(&settings.directory, now));
        lock(&due).sort_unstable();
        lock(&due).dedup();
        let worker = || async {
            loop {
                let next = lock(&due).pop();
                let Some(host) = next else { return };
                self.attend(&settings, &account, &host).await;
            }
        };
        tokio::join!(worker(), worker(), worker(), worker());
    }

    /// Asks when the authority wants the certificate renewed (RFC 9773), where it says so.
    async fn ask_when(&self, account: &Account, host: &str) {
        let Some(leaf) = self.wards().leaf(host) else { return };
        let told = tokio::time::timeout(ASK_TIME, order::renewal_window(account, &leaf)).await;
        let now = self.parts.clock.now();
        match told {
            Ok(Ok(told)) => {
                tracing::debug!(tls.host = host, "the authority said when to renew");
                self.wards().plan(host, told, now);
            }
            Ok(Err(fault)) => {
                tracing::debug!(tls.host = host, reason = %fault, "the authority does not say when to renew");
                self.wards().put_off(&[host.to_owned()], now);
            }
            Err(_) => self.wards().put_off(&[host.to_owned()], now),
        }
    }

    async fn attend(&self, settings: &Settings, account: &Account, host: &str) {
        let predecessor = self.wards().leaf_of(host, &settings.directory);
        let taken = match tokio::time::timeout(ORDER_TIME, self.obtain(settings, account, host, predecessor)).await {
            Ok(taken) => taken,
            Err(_) => Err(AcmeFault::TimedOut(ORDER_TIME)),
        };
        if let Err(fault) = taken {
            if fault.is_account_unknown() {
                account::forget(settings, self.parts.store.as_ref()).await;
            }
            self.failed(host, &fault, settings).await;
        }
    }

    async fn obtain(
        &self,
        settings: &Settings,
        account: &Account,
        host: &str,
        predecessor: Option<CertificateDer<'static>>,
    ) -> Result<(), AcmeFault> {
        // Authorities issue a few of each: none is asked for that could not be kept.
        self.parts.store.check().await?;
        let issued = order::place(account, &self.challenges, settings, host, predecessor).await?;
        let now = self.parts.clock.now();
        let held = Held::check(&issued, now)?;
        let until = held.certificate.not_after();
        let issued = IssuedCertificate { not_after: until, ..issued };
        let detail = format!("{host} until {until}, by {}", settings.directory);
        self.record(LifecycleChange::CertificateIssue, detail).await.map_err(AcmeFault::Record)?;
        self.parts.store.put_issued_certificate(issued).await?;
        self.keep(AcmeAttempt { host: host.to_owned(), failures: 0, reason: String::new(), next_try: now }).await;
        self.wards().renewed(host, held, now);
        self.parts.metrics.acme().ordered(Ordered::Issued);
        tracing::info!(tls.host = host, tls.not_after = %until, acme.directory = settings.directory, "a certificate was issued");
        self.tell();
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    async fn failed(&self, host: &str, fault: &AcmeFault, settings: &Settings) {
        let now = self.parts.clock.now();
        let reason = fault.to_string();
        let Some(ward) = self.wards().failed(host, reason.clone(), now) else { return };
        self.parts.metrics.acme().ordered(Ordered::Failed);
        let next = ward.next_try;
        self.keep(AcmeAttempt { host: host.to_owned(), failures: ward.failures, reason: reason.clone(), next_try: next }).await;
        if ward.is_pressing(now) {
            tracing::error!(tls.host = host, reason, acme.directory = settings.directory, next_try = %next, "no certificate could be had, and the host has none that lasts");
        } else {
            tracing::warn!(tls.host = host, reason, acme.directory = settings.directory, next_try = %next, "a certificate could not be renewed; the one in service stays");
        }
        let detail = format!("{host}: {reason}; next try at {next}");
        if let Err(failure) = self.record(LifecycleChange::CertificateFailure, detail).await {
            tracing::error!(error = %failure, "that a certificate could not be had could not be recorded");
        }
        self.tell();
    }

    /// For a process that comes after this one.
    async fn keep(&self, attempt: AcmeAttempt) {
        if let Err(fault) = self.parts.store.put_acme_attempt(attempt).await {
            tracing::error!(error = %fault, "how an order went could not be kept: it is tried again at once after a restart");
        }
    }

    async fn record(&self, change: LifecycleChange, detail: String) -> Result<(), kernel::Failure> {
        let body = EventBody::Lifecycle(Box::new(LifecycleFacts { change, detail: Some(detail) }));
        self.parts.audit.keep(Event { time: self.parts.clock.now(), body }).await
    }

    /// Tells the metrics.
    fn tell(&self) {
        let states: Vec<HostState> = self.wards().states();
        self.parts.metrics.acme().state(states);
    }

    fn wards(&self) -> MutexGuard<'_, Wards> {
        lock(&self.wards)
    }
}

/// Nothing under these locks panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acme").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A look costs nothing where nothing is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For one order, from the first request to the certificate.
const ORDER_TIME: Duration = Duration::from_secs(300);
const ASK_TIME: Duration = Duration::from_secs(30);
