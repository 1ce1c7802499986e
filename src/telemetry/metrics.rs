//! Metrics in OpenMetrics. Labels come from the configuration or from closed lists, never from a client.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;
use kernel::Refusal;
use kernel::detection::DetectionRule;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::acme::AcmeMetrics;
use super::sinks::SinkMetrics;
use super::standing::Standing;
use super::traces::TraceFigures;

/// What is counted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    refusals: Family<ReasonLabel, Counter>,
    routes: Arc<DashMap<Box<str>, Arc<RouteMeters>>>,
    exchanges: Family<ExchangeLabels, Counter>,
    durations: Family<RouteLabel, Histogram, fn() -> Histogram>,
    bytes: Family<DirectionLabels, Counter>,
    reloads: Family<ResultLabel, Counter>,
    findings: Family<RuleLabel, Counter>,
    notifications: Family<NotificationLabels, Counter>,
    connections: Family<ConnectionLabels, Counter>,
    gauges: Gauges,
    sinks: SinkMetrics,
    standing: Standing,
    acme: AcmeMetrics,
    traces: TraceFigures,
}

/// What is read when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    pub sessions: Gauge,
    pub audit_records: Gauge,
    pub audit_queue: Gauge,
    pub audit_available: Gauge,
    pub certificate_expiry_seconds: Gauge,
    pub revocation_list_expiry_seconds: Gauge,
    pub configuration_refused: Gauge,
}

/// What is counted for one route, found once: a label set is costly to look up.
#[derive(Debug)]
struct RouteMeters {
    exchanges: [OnceLock<Counter>; STATUS_CLASSES.len()],
    bytes_in: Counter,
    bytes_out: Counter,
    durations: Histogram,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExchangeLabels {
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DirectionLabels {
    route: String,
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NotificationLabels {
    way: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RuleLabel {
    rule: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ConnectionLabels {
    listener: String,
    result: &'static str,
}

/// How an exchange went, as far as metrics care.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub status: Option<u16>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Taken,
    Refused,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notified {
    Delivered,
    /// Given up after the last try.
    Failed,
    /// There was no room for it.
    Dropped,
}

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Webhook,
    Mail,
}

impl Way {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mail => "mail",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::with(|_| ())
    }
}

impl Metrics {
    /// The gateway's metrics, and those that a room adds of its own.
    #[must_use]
    pub fn with(more: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        let (refusals, exchanges, bytes, reloads) = (Family::default(), Family::default(), Family::default(), Family::default());
        let (findings, notifications, connections) = (Family::default(), Family::default(), Family::default());
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let gauges = Gauges::default();
        registry.register("refusals", "Requests that did not pass, by reason code", Family::clone(&refusals));
        registry.register("exchanges", "Exchanges with upstreams that have ended, by route and class of status", Family::clone(&exchanges));
        registry.register_with_unit(
            "exchange_duration",
            "Time from the request to the end of the answer",
            Unit::Seconds,
            Family::clone(&durations),
        );
        registry.register_with_unit("exchange_body", "Bytes of bodies, by route and direction", Unit::Bytes, Family::clone(&bytes));
        registry.register("configuration_reloads", "Reloads of the configuration, by result", Family::clone(&reloads));
        registry.register("findings", "Findings of detection, by rule", Family::clone(&findings));
        registry.register("notifications", "Findings that were to be told, by way and result", Family::clone(&notifications));
        registry.register("connections", "Connections, by listener and what became of them", Family::clone(&connections));
        registry.register("sessions_in_memory", "Sessions held in memory", gauges.sessions.clone());
        registry.register("audit_records", "Records in the audit log", gauges.audit_records.clone());
        registry.register("audit_queue", "Records waiting to be written", gauges.audit_queue.clone());
        registry.register("audit_available", "1 while records can be kept", gauges.audit_available.clone());
        let expiry = gauges.certificate_expiry_seconds.clone();
        registry.register("certificate_expiry_timestamp_seconds", "When the first certificate expires, in Unix time", expiry);
        let expiry = gauges.revocation_list_expiry_seconds.clone();
        registry.register(
            "revocation_list_expiry_timestamp_seconds",
            "When the first list of revoked clients' certificates is out of its time, in Unix time; 0 without lists",
            expiry,
        );
        let refused = gauges.configuration_refused.clone();
        registry.register(
            "configuration_refused",
            "1 while files on disk (configuration, certificates, revocation lists) are refused",
            refused,
        );
        more(&mut registry);
        let sinks = SinkMetrics::default();
        sinks.register(&mut registry);
        let standing = Standing::default();
        standing.register(&mut registry);
        let acme = AcmeMetrics::default();
        acme.register(&mut registry);
        let traces = TraceFigures::default();
        traces.register(&mut registry);
        Self {
            registry: Arc::new(registry),
            refusals,
            routes: Arc::default(),
            exchanges,
            durations,
            bytes,
            reloads,
            findings,
            notifications,
            connections,
            gauges,
            sinks,
            standing,
            acme,
            traces,
        }
    }

    pub fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&ReasonLabel { reason: refusal.reason().code() }).inc();
    }

    pub fn exchanged(&self, route: &str, exchange: Exchange) {
        let meters = match self.routes.get(route) {
            Some(meters) => Arc::clone(&meters),
            None => Arc::clone(&self.routes.entry(route.into()).or_insert_with(|| Arc::new(self.route_meters(route)))),
        };
        let class = status_class(exchange.status);
        if let (Some(status), Some(meter)) = (STATUS_CLASSES.get(class), meters.exchanges.get(class)) {
            let find = || self.exchanges.get_or_create(&ExchangeLabels { route: route.to_owned(), status }).clone();
            meter.get_or_init(find).inc();
        }
        meters.bytes_in.inc_by(exchange.bytes_in);
        meters.bytes_out.inc_by(exchange.bytes_out);
        meters.durations.observe(exchange.duration.as_secs_f64());
    }

    fn route_meters(&self, route: &str) -> RouteMeters {
        let bytes = |direction| self.bytes.get_or_create(&DirectionLabels { route: route.to_owned(), direction }).clone();
        RouteMeters {
            exchanges: Default::default(),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            durations: self.durations.get_or_create(&RouteLabel { route: route.to_owned() }).clone(),
        }
    }

    pub fn reloaded(&self, reload: Reload) {
        let result = match reload {
            Reload::Taken => "taken",
            Reload::Refused => "refused",
        };
        self.reloads.get_or_create(&ResultLabel { result }).inc();
        self.standing.reload_successful.set(i64::from(reload == Reload::Taken));
    }

    pub fn found(&self, rule: DetectionRule) {
        self.findings.get_or_create(&RuleLabel { rule: rule.name() }).inc();
    }

    pub fn notified(&self, way: Way, notified: Notified) {
        let result = match notified {
            Notified::Delivered => "delivered",
            Notified::Failed => "failed",
            Notified::Dropped => "dropped",
        };
        self.notifications.get_or_create(&NotificationLabels { way: way.word(), result }).inc();
    }

    /// Counts a connection; `result` is one of a closed list.
    pub fn met(&self, listener: &str, result: &'static str) {
        self.connections.get_or_create(&ConnectionLabels { listener: listener.to_owned(), result }).inc();
    }

    #[must_use]
    pub const fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    #[must_use]
    pub const fn sinks(&self) -> &SinkMetrics {
        &self.sinks
    }

    #[must_use]
    pub const fn acme(&self) -> &AcmeMetrics {
        &self.acme
    }

    #[must_use]
    pub const fn traces(&self) -> &TraceFigures {
        &self.traces
    }

    /// The text that `/metrics` answers.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(error = %error, "metrics cannot be written");
                String::new()
            }
        }
    }
}

/// The place of a status in [`STATUS_CLASSES`].
const fn status_class(status: Option<u16>) -> usize {
    match status {
        None => 0,
        Some(100..=199) => 1,
        Some(200..=299) => 2,
        Some(300..=399) => 3,
        Some(400..=499) => 4,
        Some(_) => 5,
    }
}

const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// From a local answer to a slow report.
fn histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// The type that OpenMetrics text has.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
