//! Telling people of findings: a webhook over verified TLS.
//!
//! Best effort and bounded: the record is what counts, and it is written first. One message at a time, a few tries each; a
//! receiver that hangs or is gone delays nothing but the messages behind it, and when [`WAITING_MAX`] of them wait, newer
//! ones are dropped and counted. The receiver's token stands in a header and nowhere else.

mod message;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use kernel::detection::FindingFacts;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;
use crate::telemetry::metrics::Notified;

pub use message::message;
pub use webhook::{Target, TargetFault, Webhook};

/// Where findings are handed in. Cheap to call; never blocks.
#[derive(Debug)]
pub struct Notifier {
    webhook: ArcSwapOption<Webhook>,
    waiting: mpsc::Sender<FindingFacts>,
    metrics: Metrics,
}

/// The findings that wait to be told.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<FindingFacts>);

impl Notifier {
    #[must_use]
    pub fn new(metrics: Metrics) -> (Arc<Self>, Waiting) {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        (Arc::new(Self { webhook: ArcSwapOption::empty(), waiting, metrics }), Waiting(taken))
    }

    /// Names the receiver from now on; none tells nobody.
    pub fn aim(&self, webhook: Option<Webhook>) {
        self.webhook.store(webhook.map(Arc::new));
    }

    /// Hands a finding in, if anybody is to be told.
    pub fn tell(&self, finding: FindingFacts) {
        if self.webhook.load().is_some() && self.waiting.try_send(finding).is_err() {
            self.metrics.notified(Notified::Dropped);
            tracing::error!("a finding is not told: too many wait for the receiver");
        }
    }

    /// Tells one finding after the other, until shutdown. `gateway` is the host that messages name.
    pub async fn run(self: Arc<Self>, mut waiting: Waiting, gateway: String, shutdown: CancellationToken) {
        while let Some(Some(finding)) = shutdown.run_until_cancelled(waiting.0.recv()).await {
            let Some(webhook) = self.webhook.load_full() else { continue };
            let text = message(&finding, &gateway);
            let told = shutdown.run_until_cancelled(deliver(&webhook, &text, PAUSES)).await;
            self.metrics.notified(if told == Some(Delivered::Yes) { Notified::Delivered } else { Notified::Failed });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    Yes,
    No,
}

async fn deliver(webhook: &Webhook, text: &str, pauses: [Duration; 3]) -> Delivered {
    for pause in pauses {
        tokio::time::sleep(pause).await;
        match webhook.post(text).await {
            Ok(()) => return Delivered::Yes,
            Err(fault) => tracing::warn!(error = %fault, "a finding could not be told"),
        }
    }
    tracing::error!("a finding was not told: the receiver took it at no try");
    Delivered::No
}

/// Findings that may wait.
pub const WAITING_MAX: usize = 64;

/// Before each try.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(15)];
