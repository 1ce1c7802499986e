//! The hosts that certificates are obtained for: what each has, and when something is due. Pure but for reading certificates.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::time::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::fault::AcmeFault;
use super::schedule::{self, Draw, Window};
use crate::listener::Certificate;
use crate::store::{AcmeAttempt, IssuedCertificate};
use crate::telemetry::acme::HostState;

/// Every host of the settings, and those that hold something from before.
#[derive(Default)]
pub struct Wards {
    /// As many as the configuration names, and what the store keeps.
    all: BTreeMap<String, Ward>,
}

/// One host.
#[derive(Clone, Default)]
pub struct Ward {
    is_wanted: bool,
    held: Option<Held>,
    pub failures: u32,
    reason: Option<String>,
    pub next_try: Timestamp,
}

/// A certificate that was found good.
#[derive(Clone)]
pub struct Held {
    pub certificate: Certificate,
    leaf: CertificateDer<'static>,
    directory: String,
    not_before: Timestamp,
    renew: Timestamp,
    ask: Timestamp,
    draw: Draw,
}

impl Held {
    /// The same checks as for a certificate from a file, and that it is for its host.
    pub fn check(issued: &IssuedCertificate, now: Timestamp) -> Result<Self, AcmeFault> {
        let shown = format!("the certificate that {} issued for {}", issued.directory, issued.host);
        let shown = Path::new(&shown);
        let certificate = Certificate::from_pem(issued.chain.as_bytes(), &issued.key, now, shown, shown)?;
        if !certificate.names().iter().any(|name| **name == *issued.host) {
            return Err(AcmeFault::OtherHost);
        }
        let leaf = CertificateDer::from_pem_slice(issued.chain.as_bytes()).map_err(|_| AcmeFault::OtherHost)?;
        let (not_before, not_after) = (begin(&leaf)?, certificate.not_after());
        let draw = draw(&leaf);
        let renew = schedule::renewal(not_before, not_after, draw);
        Ok(Self { certificate, leaf, directory: issued.directory.clone(), not_before, renew, ask: Timestamp::EPOCH, draw })
    }
}

fn begin(leaf: &[u8]) -> Result<Timestamp, AcmeFault> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| AcmeFault::OtherHost)?;
    Ok(Timestamp::from_seconds(u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0)))
}

/// Random enough to spread renewals, and the same after every restart.
fn draw(leaf: &[u8]) -> Draw {
    match digest(&SHA256, leaf).as_ref() {
        [first, second, ..] => Draw::from_be_bytes([*first, *second]),
        _ => 0,
    }
}

impl Wards {
    /// Takes in what the store kept. What is not good any more is told and left out.
    pub fn take_in(&mut self, issued: IssuedCertificate, now: Timestamp) {
        match Held::check(&issued, now) {
            Ok(held) => self.all.entry(issued.host).or_default().held = Some(held),
            Err(fault) => tracing::warn!(tls.host = issued.host, reason = %fault, "a certificate that was issued before is not used"),
        }
    }

    /// Takes over how it went before this process. A host that is not named has nothing to wait for.
    pub fn remember(&mut self, attempt: AcmeAttempt) {
        if let Some(ward) = self.all.get_mut(&attempt.host).filter(|ward| ward.is_wanted) {
            (ward.failures, ward.reason, ward.next_try) = (attempt.failures, Some(attempt.reason), attempt.next_try);
        }
    }

    /// Names the hosts from now on. What had failed is due at once.
    pub fn aim(&mut self, hosts: &[String]) {
        for host in hosts {
            self.all.entry(host.clone()).or_default();
        }
        for (host, ward) in &mut self.all {
            ward.is_wanted = hosts.contains(host);
            ward.next_try = Timestamp::EPOCH;
        }
        self.all.retain(|_, ward| ward.is_wanted || ward.held.is_some());
    }

    /// Hosts without a certificate of this authority, or with one that is to be renewed, if they may be tried now.
    pub fn due(&self, directory: &str, now: Timestamp) -> Vec<String> {
        let is_due = |held: &Held| held.directory != directory || held.renew <= now;
        let due = self.wanted().filter(|(_, ward)| ward.next_try <= now && ward.held.as_ref().is_none_or(is_due));
        due.map(|(host, _)| host.clone()).collect()
    }

    /// Hosts of which the authority is to be asked when it wants them renewed.
    pub fn to_ask(&self, now: Timestamp) -> Vec<String> {
        let asks = self.wanted().filter(|(_, ward)| ward.held.as_ref().is_some_and(|held| held.ask <= now && held.renew > now));
        asks.map(|(host, _)| host.clone()).collect()
    }

    pub fn leaf(&self, host: &str) -> Option<CertificateDer<'static>> {
        Some(self.all.get(host)?.held.as_ref()?.leaf.clone())
    }

    /// The certificate that another of the same authority would replace.
    pub fn leaf_of(&self, host: &str, directory: &str) -> Option<CertificateDer<'static>> {
        let held = self.all.get(host)?.held.as_ref()?;
        (held.directory == directory).then(|| held.leaf.clone())
    }

    /// The authority said when.
    pub fn plan(&mut self, host: &str, (window, again): (Window, Duration), now: Timestamp) {
        let Some(held) = self.all.get_mut(host).and_then(|ward| ward.held.as_mut()) else { return };
        held.renew = schedule::renewal_told(window, held.not_before, held.certificate.not_after(), held.draw);
        held.ask = now.plus(schedule::ask_again(again));
    }

    /// The authority did not say; it is asked again later.
    pub fn put_off(&mut self, hosts: &[String], now: Timestamp) {
        for host in hosts {
            if let Some(held) = self.all.get_mut(host).and_then(|ward| ward.held.as_mut()) {
                held.ask = now.plus(schedule::ASK_OTHERWISE);
            }
        }
    }

    pub fn renewed(&mut self, host: &str, held: Held, now: Timestamp) {
        let ward = self.all.entry(host.to_owned()).or_default();
        *ward = Ward { is_wanted: ward.is_wanted, held: Some(held), failures: 0, reason: None, next_try: now.plus(schedule::REST) };
    }

    /// Notes a failure; what the host is like now.
    pub fn failed(&mut self, host: &str, reason: String, now: Timestamp) -> Option<Ward> {
        let ward = self.all.get_mut(host)?;
        ward.failures = ward.failures.saturating_add(1);
        // Another for each host and failure, so that hosts that failed together are not tried together.
        let drawn = draw(format!("{host} {}", ward.failures).as_bytes());
        ward.next_try = now.plus(schedule::back_off(ward.failures, drawn));
        ward.reason = Some(reason);
        Some(ward.clone())
    }

    pub fn certificates(&self) -> Vec<Certificate> {
        self.wanted().filter_map(|(_, ward)| Some(ward.held.as_ref()?.certificate.clone())).collect()
    }

    pub fn states(&self) -> Vec<HostState> {
        let state = |(host, ward): (&String, &Ward)| HostState {
            host: host.clone(),
            not_after: ward.held.as_ref().map(|held| held.certificate.not_after()),
            failures: ward.failures,
            failure: ward.reason.clone(),
            next_try: ward.next_try,
        };
        self.wanted().map(state).collect()
    }

    fn wanted(&self) -> impl Iterator<Item = (&String, &Ward)> {
        self.all.iter().filter(|(_, ward)| ward.is_wanted)
    }
}

impl Ward {
    /// Whether somebody must act: nothing is served, or not for much longer.
    pub fn is_pressing(&self, now: Timestamp) -> bool {
        self.held.as_ref().is_none_or(|held| {
            let not_after = held.certificate.not_after();
            not_after <= now || not_after.since(now) < not_after.since(held.not_before) / 6
        })
    }
}
