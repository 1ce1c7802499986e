//! Metrics of the sinks, by name. Names come from the configuration.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What one sink counts, at the moment somebody asks.
#[derive(Clone, Debug, Default)]
pub struct SinkFigures {
    pub name: String,
    pub lag_records: u64,
    pub lag_seconds: u64,
    /// The last record that the receiver has; None before the first.
    pub acknowledged: Option<u64>,
    pub batches: u64,
    pub events: u64,
    pub bytes: u64,
    pub errors: u64,
    pub dropped: u64,
    pub up: bool,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

/// The families.
#[derive(Clone, Debug, Default)]
pub struct SinkMetrics {
    lag_records: Family<SinkLabel, Gauge>,
    lag_seconds: Family<SinkLabel, Gauge>,
    acknowledged: Family<SinkLabel, Gauge>,
    up: Family<SinkLabel, Gauge>,
    batches: Family<SinkLabel, Counter>,
    events: Family<SinkLabel, Counter>,
    bytes: Family<SinkLabel, Counter>,
    errors: Family<SinkLabel, Counter>,
    dropped: Family<SinkLabel, Counter>,
}

impl SinkMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "audit_sink_lag_records",
            "Records that are signed and that the receiver does not have",
            self.lag_records.clone(),
        );
        let lag = self.lag_seconds.clone();
        registry.register_with_unit("audit_sink_lag", "Age of the oldest record that the receiver does not have", Unit::Seconds, lag);
        registry.register("audit_sink_acknowledged", "Sequence of the last record that the receiver has", self.acknowledged.clone());
        registry.register("audit_sink_up", "1 while the receiver takes what it is sent", self.up.clone());
        registry.register("audit_sink_batches", "Batches that were sent", self.batches.clone());
        registry.register("audit_sink_events", "Records and checkpoints that were sent, repetitions included", self.events.clone());
        registry.register_with_unit("audit_sink_sent", "Bytes that were sent", Unit::Bytes, self.bytes.clone());
        registry.register("audit_sink_errors", "Tries that failed", self.errors.clone());
        registry.register("audit_sink_dropped", "Records that were skipped, each on record", self.dropped.clone());
    }

    /// States these sinks and no others.
    pub fn set(&self, all: &[SinkFigures]) {
        for family in [&self.lag_records, &self.lag_seconds, &self.acknowledged, &self.up] {
            family.clear();
        }
        for family in [&self.batches, &self.events, &self.bytes, &self.errors, &self.dropped] {
            family.clear();
        }
        for figures in all {
            let label = SinkLabel { sink: figures.name.clone() };
            let gauge = |family: &Family<SinkLabel, Gauge>, value: u64| {
                family.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            gauge(&self.lag_records, figures.lag_records);
            gauge(&self.lag_seconds, figures.lag_seconds);
            gauge(&self.up, u64::from(figures.up));
            if let Some(sequence) = figures.acknowledged {
                gauge(&self.acknowledged, sequence);
            }
            let count = |family: &Family<SinkLabel, Counter>, value: u64| {
                family.get_or_create(&label).inner().store(value, Ordering::Relaxed);
            };
            count(&self.batches, figures.batches);
            count(&self.events, figures.events);
            count(&self.bytes, figures.bytes);
            count(&self.errors, figures.errors);
            count(&self.dropped, figures.dropped);
        }
    }
}
