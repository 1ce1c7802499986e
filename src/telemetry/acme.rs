//! What is seen from outside of certificates that the gateway obtains itself. Hosts come from the configuration.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kernel::time::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How one host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    pub host: String,
    /// None while there is no certificate.
    pub not_after: Option<Timestamp>,
    /// In a row.
    pub failures: u32,
    /// Of the last failure.
    pub failure: Option<String>,
    pub next_try: Timestamp,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    Issued,
    Failed,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HostLabel {
    host: String,
}

/// The families, and the states behind them.
#[derive(Clone, Debug, Default)]
pub struct AcmeMetrics {
    orders: Family<ResultLabel, Counter>,
    expiry: Family<HostLabel, Gauge>,
    failures: Family<HostLabel, Gauge>,
    states: Arc<ArcSwap<Vec<HostState>>>,
}

impl AcmeMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("acme_orders", "Certificates that were ordered, by result", self.orders.clone());
        registry.register(
            "acme_certificate_expiry_timestamp_seconds",
            "When the certificate of a host expires, in Unix time; 0 while it has none",
            self.expiry.clone(),
        );
        registry.register("acme_failures_in_a_row", "Orders for a host that failed since the last that did not", self.failures.clone());
    }

    pub fn ordered(&self, ordered: Ordered) {
        let result = match ordered {
            Ordered::Issued => "issued",
            Ordered::Failed => "failed",
        };
        self.orders.get_or_create(&ResultLabel { result }).inc();
    }

    /// States these hosts and no others.
    pub fn state(&self, states: Vec<HostState>) {
        self.expiry.clear();
        self.failures.clear();
        for state in &states {
            let label = HostLabel { host: state.host.clone() };
            let seconds = state.not_after.and_then(|time| i64::try_from(time.as_seconds()).ok()).unwrap_or(0);
            self.expiry.get_or_create(&label).set(seconds);
            self.failures.get_or_create(&label).set(i64::from(state.failures));
        }
        self.states.store(Arc::new(states));
    }

    /// Name and state of every host, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<(String, String)> {
        let words = |state: &HostState| match (&state.not_after, &state.failure) {
            (Some(_), None) => "ok".to_owned(),
            (None, None) => "no certificate yet".to_owned(),
            (Some(until), Some(reason)) => format!("not renewed, valid until {until}: {reason}; next try at {}", state.next_try),
            (None, Some(reason)) => format!("no certificate: {reason}; next try at {}", state.next_try),
        };
        self.states.load().iter().map(|state| (format!("certificate {}", state.host), words(state))).collect()
    }
}
