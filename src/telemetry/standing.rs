//! How things stand at the moment somebody asks: exchanges and upstreams, by names of the configuration; and what the process is.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFigures {
    /// As the route writes it.
    pub name: String,
    pub up: bool,
    pub in_flight: usize,
    /// Connections that wait for an exchange.
    pub idle: usize,
    /// Connections that exchanges share.
    pub shared: usize,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UpstreamLabel {
    upstream: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    upstream: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HandshakeLabels {
    listener: String,
    version: &'static str,
    protocol: &'static str,
}

/// The families.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    in_flight: Family<RouteLabel, Gauge>,
    upstream_up: Family<UpstreamLabel, Gauge>,
    upstream_in_flight: Family<UpstreamLabel, Gauge>,
    upstream_connections: Family<KindLabels, Gauge>,
    handshakes: Family<HandshakeLabels, Counter>,
    pub reload_successful: Gauge,
    pub upgrades_failed: Counter,
    pub start_seconds: Gauge,
}

impl Standing {
    pub(super) fn register(&self, registry: &mut Registry) {
        // Until a reload says otherwise: the configuration of the start was good.
        self.reload_successful.set(1);
        registry.register("exchanges_in_flight", "Exchanges with upstreams under way, by route", self.in_flight.clone());
        registry.register("upstream_up", "0 while an upstream is passed over, as far as others are there", self.upstream_up.clone());
        registry.register("upstream_in_flight", "Exchanges under way, by upstream", self.upstream_in_flight.clone());
        registry.register(
            "upstream_connections",
            "Connections to an upstream: idle ones, and those that exchanges share",
            self.upstream_connections.clone(),
        );
        registry.register("tls_handshakes", "TLS handshakes that were completed, by version and protocol", self.handshakes.clone());
        registry.register(
            "configuration_last_reload_successful",
            "0 after a reload that was refused, until one is taken",
            self.reload_successful.clone(),
        );
        registry.register("upgrades_failed", "New processes that did not take this one's place", self.upgrades_failed.clone());
        registry.register_with_unit(
            "start_time",
            "When the process began to serve, in Unix time",
            Unit::Seconds,
            self.start_seconds.clone(),
        );
        registry.register("build", "What runs", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
    }

    pub fn shook_hands(&self, listener: &str, version: &'static str, protocol: &'static str) {
        self.handshakes.get_or_create(&HandshakeLabels { listener: listener.to_owned(), version, protocol }).inc();
    }

    /// States these and no others.
    pub fn set(&self, routes: impl IntoIterator<Item = (String, usize)>, upstreams: &[UpstreamFigures]) {
        self.in_flight.clear();
        self.upstream_up.clear();
        self.upstream_in_flight.clear();
        self.upstream_connections.clear();
        for (route, count) in routes {
            self.in_flight.get_or_create(&RouteLabel { route }).set(whole(count));
        }
        for figures in upstreams {
            let label = UpstreamLabel { upstream: figures.name.clone() };
            // Several routes may reach one upstream in ways of their own: up means that all of them do.
            let up = &self.upstream_up;
            let others = up.get(&label).is_none_or(|known| known.get() == 1);
            up.get_or_create(&label).set(i64::from(figures.up && others));
            self.upstream_in_flight.get_or_create(&label).inc_by(whole(figures.in_flight));
            for (kind, count) in [("idle", figures.idle), ("shared", figures.shared)] {
                self.upstream_connections.get_or_create(&KindLabels { upstream: figures.name.clone(), kind }).inc_by(whole(count));
            }
        }
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
