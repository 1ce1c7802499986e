//! Telling people of findings: a webhook, and mail to the person concerned, both over verified TLS.
//!
//! Best effort and bounded: the record is what counts, and it is written first. Each way has its own line, one message at a time
//! and a few tries each; a receiver that hangs or is gone delays nothing but the messages behind it, and when [`WAITING_MAX`] of
//! them wait, newer ones are dropped and counted. Tokens and passwords go to their receiver and nowhere else.

mod mail;
mod message;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use kernel::detection::FindingFacts;
use kernel::identity::Email;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Notified, Way};

pub use mail::{MailFault, MailTarget, MailTargetFault, Mailer, Security};
pub use message::message;
pub use webhook::{Target, TargetFault, Webhook};

/// Where findings are handed in. Cheap to call; never blocks.
#[derive(Debug)]
pub struct Notifier {
    webhook: ArcSwapOption<Webhook>,
    mailer: ArcSwapOption<Mailer>,
    to_webhook: mpsc::Sender<FindingFacts>,
    to_mailer: mpsc::Sender<(FindingFacts, Email)>,
    metrics: Metrics,
}

/// The findings that wait to be told.
#[derive(Debug)]
pub struct Waiting {
    webhook: mpsc::Receiver<FindingFacts>,
    mailer: mpsc::Receiver<(FindingFacts, Email)>,
}

/// Who is told.
#[derive(Debug, Default)]
pub struct Receivers {
    pub webhook: Option<Webhook>,
    pub mailer: Option<Mailer>,
}

impl Notifier {
    #[must_use]
    pub fn new(metrics: Metrics) -> (Arc<Self>, Waiting) {
        let ((to_webhook, webhook), (to_mailer, mailer)) = (mpsc::channel(WAITING_MAX), mpsc::channel(WAITING_MAX));
        let notifier = Self { webhook: ArcSwapOption::empty(), mailer: ArcSwapOption::empty(), to_webhook, to_mailer, metrics };
        (Arc::new(notifier), Waiting { webhook, mailer })
    }

    /// Names the receivers from now on; none tells nobody.
    pub fn aim(&self, receivers: Receivers) {
        self.webhook.store(receivers.webhook.map(Arc::new));
        self.mailer.store(receivers.mailer.map(Arc::new));
    }

    /// Hands a finding in, if anybody is to be told. `concerned` is the address of the person, where it is known.
    pub fn tell(&self, finding: FindingFacts, concerned: Option<Email>) {
        if self.webhook.load().is_some() && self.to_webhook.try_send(finding.clone()).is_err() {
            self.dropped(Way::Webhook);
        }
        if let Some(concerned) = concerned.filter(|_| self.mailer.load().is_some())
            && self.to_mailer.try_send((finding, concerned)).is_err()
        {
            self.dropped(Way::Mail);
        }
    }

    /// Tells one finding after the other, until shutdown. `gateway` is the host that messages name.
    pub async fn run(self: Arc<Self>, waiting: Waiting, gateway: String, shutdown: CancellationToken) {
        let Waiting { mut webhook, mut mailer } = waiting;
        let posting = async {
            while let Some(Some(finding)) = shutdown.run_until_cancelled(webhook.recv()).await {
                let Some(webhook) = self.webhook.load_full() else { continue };
                let text = message(&finding, &gateway);
                self.count(Way::Webhook, shutdown.run_until_cancelled(deliver(&webhook, &text, PAUSES)).await);
            }
        };
        let mailing = async {
            while let Some(Some((finding, concerned))) = shutdown.run_until_cancelled(mailer.recv()).await {
                let Some(mailer) = self.mailer.load_full() else { continue };
                self.count(Way::Mail, shutdown.run_until_cancelled(mail_to(&mailer, &finding, &concerned, PAUSES)).await);
            }
        };
        tokio::join!(posting, mailing);
    }

    fn count(&self, way: Way, delivered: Option<Delivered>) {
        self.metrics.notified(way, if delivered == Some(Delivered::Yes) { Notified::Delivered } else { Notified::Failed });
    }

    fn dropped(&self, way: Way) {
        self.metrics.notified(way, Notified::Dropped);
        tracing::error!(notify.way = way.word(), "a finding is not told: too many wait for the receiver");
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

async fn mail_to(mailer: &Mailer, finding: &FindingFacts, concerned: &Email, pauses: [Duration; 3]) -> Delivered {
    for pause in pauses {
        tokio::time::sleep(pause).await;
        match mailer.send(finding, concerned).await {
            Ok(()) => return Delivered::Yes,
            Err(fault) => {
                tracing::warn!(error = %fault, "a finding could not be mailed");
                if !fault.may_pass() {
                    break;
                }
            }
        }
    }
    tracing::error!(detection = finding.rule.name(), "the person concerned was not told of a finding: no server took the mail");
    Delivered::No
}

/// Findings that may wait.
pub const WAITING_MAX: usize = 64;

/// Before each try.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(15)];
