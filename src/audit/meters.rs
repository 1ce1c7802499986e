//! What the audit log counts and measures of itself, in the form that `/metrics` gives out.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::log::{Appended, Log};
use super::recover::Repair;
use super::reserve::ReserveState;

/// Counters since the start, and gauges.
#[derive(Debug)]
pub struct Meters {
    pub records: Counter,
    pub bytes: Counter,
    pub batches: Counter,
    /// Batches that were synced before they were acknowledged.
    pub batch_syncs: Counter,
    pub sync_seconds: Histogram,
    pub checkpoints: Counter,
    /// Faults of the disk.
    pub faults: Counter,
    /// Records that were refused.
    pub refused: Counter,
    /// Records that are in the log, from its beginning.
    pub size: Gauge,
    segments: Gauge,
    reserve: Gauge,
    epoch: Gauge,
    start: Family<StartLabel, Gauge>,
    /// Records whose tree was compared with a signed head at the start.
    start_verified: Gauge,
    cut: Gauge,
}

/// What the start found.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StartLabel {
    state: &'static str,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
    pub syncs: u64,
    pub checkpoints: u64,
    pub faults: u64,
    pub refused: u64,
    pub size: u64,
    pub queue_depth: u64,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            bytes: Counter::default(),
            batches: Counter::default(),
            batch_syncs: Counter::default(),
            sync_seconds: Histogram::new(SYNC_BUCKETS),
            checkpoints: Counter::default(),
            faults: Counter::default(),
            refused: Counter::default(),
            size: Gauge::default(),
            segments: Gauge::default(),
            reserve: Gauge::default(),
            epoch: Gauge::default(),
            start: Family::default(),
            start_verified: Gauge::default(),
            cut: Gauge::default(),
        }
    }
}

impl Meters {
    /// Puts everything in a registry of metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("audit_records_written", "Records written since the start", self.records.clone());
        registry.register_with_unit("audit_written", "Bytes of records written since the start", Unit::Bytes, self.bytes.clone());
        registry.register("audit_batches", "Batches of records written since the start", self.batches.clone());
        registry.register_with_unit(
            "audit_sync_duration",
            "Time that a sync of the records took",
            Unit::Seconds,
            self.sync_seconds.clone(),
        );
        registry.register("audit_checkpoints", "Heads signed since the start", self.checkpoints.clone());
        registry.register("audit_faults", "Faults of the audit log's disk since the start", self.faults.clone());
        registry.register("audit_refused", "Records that could not be kept since the start", self.refused.clone());
        registry.register("audit_segments", "Segments of the audit log", self.segments.clone());
        registry.register("audit_reserve", "1 while room is kept for the last record of a full disk", self.reserve.clone());
        registry.register("audit_epoch", "How often the audit log was opened", self.epoch.clone());
        registry.register("audit_start", "1 for what the start found: new, whole, repaired", self.start.clone());
        registry.register(
            "audit_start_verified_records",
            "Records that the start read and verified, those of the last segment",
            self.start_verified.clone(),
        );
        registry.register("audit_start_cut", "Bytes that were cut off at the start, which no checkpoint covered", self.cut.clone());
    }

    /// What an opened log is like.
    pub fn opened(&self, log: &Log, repair: Option<&Repair>) {
        let state = match repair {
            Some(_) => "repaired",
            None if log.size() == 0 => "new",
            None => "whole",
        };
        self.start.get_or_create(&StartLabel { state }).set(1);
        self.start_verified.set(whole(log.size().saturating_sub(log.segment.start.size())));
        self.cut.set(whole(repair.map_or(0, |repair| repair.bytes_cut)));
        self.epoch.set(whole(log.epoch()));
        self.look(log);
    }

    /// A batch was acknowledged.
    pub fn appended(&self, records: usize, appended: &Appended, log: &Log) {
        self.records.inc_by(records as u64);
        self.bytes.inc_by(appended.bytes);
        self.batches.inc();
        if let Some(span) = appended.sync {
            self.batch_syncs.inc();
            self.sync_seconds.observe(span.as_secs_f64());
        }
        self.size.set(whole(log.size()));
    }

    /// Sees what changes rarely.
    pub fn look(&self, log: &Log) {
        self.size.set(whole(log.size()));
        self.checkpoints.inc_by(log.signed.saturating_sub(self.checkpoints.get()));
        self.segments.set(whole(log.segments));
        self.reserve.set(i64::from(log.reserve.state() == ReserveState::Kept));
    }

    #[must_use]
    pub fn snapshot(&self, queue_depth: usize) -> StatsSnapshot {
        StatsSnapshot {
            records: self.records.get(),
            bytes: self.bytes.get(),
            batches: self.batches.get(),
            syncs: self.batch_syncs.get(),
            checkpoints: self.checkpoints.get(),
            faults: self.faults.get(),
            refused: self.refused.get(),
            size: u64::try_from(self.size.get()).unwrap_or_default(),
            queue_depth: queue_depth as u64,
        }
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// From a disk with a battery to one that hangs.
const SYNC_BUCKETS: [f64; 12] = [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
