//! The parts of a gateway, each made from what the configuration says of it.

use std::sync::Arc;

use kernel::Failure;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{StartFault, compile};
use crate::audit::pseudonym::{Addresses, Personal, Privacy};
use crate::audit::{self, Recorder};
use crate::clock::Clock;
use crate::config::{self, Config, Traces};
use crate::gateway::people::People;
use crate::notify::{self, MailTargetFault, Mailer, Receivers, TargetFault, Webhook};
use crate::store::Store;
use crate::store::sealing::KeyRing;
use crate::store::sqlite;
use crate::telemetry::traces::{Exporter, ExporterFault};
use crate::upstream::assertion::AssertionKey;
use crate::upstream::{Settings as UpstreamSettings, Upstreams};

/// Our side of those who are told of findings, as far as they are configured.
pub(super) fn receivers(config: &Config) -> Result<Receivers, NotifyFault> {
    Ok(Receivers { webhook: webhook(config)?, mailer: mailer(config)? })
}

/// Somebody who is to be told cannot be, as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum NotifyFault {
    #[error(transparent)]
    Webhook(#[from] TargetFault),
    #[error(transparent)]
    Mail(#[from] MailTargetFault),
}

fn mailer(config: &Config) -> Result<Option<Mailer>, MailTargetFault> {
    let target = config.notify.mail.as_ref().map(|target| notify::MailTarget {
        host: target.host.to_string(),
        port: target.port,
        security: match target.security {
            config::MailSecurity::Tls => notify::Security::Tls,
            config::MailSecurity::StartTls => notify::Security::StartTls,
        },
        login: target.login.as_ref().map(|(name, password)| (name.to_string(), Zeroizing::new(password.expose().to_owned()))),
        from: target.from.clone(),
        roots: target.ca.as_ref().map(|ca| ca.certificates.clone()).unwrap_or_default(),
    });
    target.map(|target| Mailer::new(&target, &config.gateway.url.host.to_string())).transpose()
}

fn webhook(config: &Config) -> Result<Option<Webhook>, TargetFault> {
    let target = config.notify.webhook.as_ref().map(|target| notify::Target {
        url: target.url.to_string(),
        token: target.token.as_ref().map(|token| Zeroizing::new(token.expose().to_owned())),
        roots: target.ca.as_ref().map(|ca| ca.certificates.clone()).unwrap_or_default(),
    });
    target.map(|target| Webhook::new(&target)).transpose()
}

/// Where spans are sent, if anywhere.
pub(super) fn exporter(config: &Config) -> Result<Option<Exporter>, ExporterFault> {
    match &config.traces {
        Traces::Off => Ok(None),
        Traces::To(receiver) => Exporter::new(receiver).map(Some),
    }
}

pub(super) fn key_ring(config: &Config) -> Result<KeyRing, StartFault> {
    let mut keys = config.gateway.master_key.keys().iter().map(|key| Zeroizing::new(*key.expose()));
    let current = keys.next().ok_or(Failure::Bug("a key ring has no key"))?;
    let previous: Vec<_> = keys.collect();
    KeyRing::new(&current, &previous).map_err(StartFault::Seal)
}

pub(super) async fn open_store(config: &Config, ring: KeyRing) -> Result<Arc<dyn Store>, StartFault> {
    let path = config.store.sqlite.clone();
    let store = tokio::task::spawn_blocking(move || sqlite::open(&path, ring, sqlite::Settings::default())).await??;
    Ok(Arc::new(store))
}

pub(super) async fn open_audit(config: &Config, people: &Arc<People>, clock: Clock) -> Result<Recorder, StartFault> {
    let settings = audit_settings(config);
    let recorder = tokio::task::spawn_blocking(move || Recorder::start(settings, clock)).await??;
    Ok(recorder.with_privacy(Privacy {
        personal: match config.audit.personal {
            config::Personal::Plain => Personal::Plain,
            config::Personal::Sealed => Personal::Sealed(Arc::<People>::clone(people)),
        },
        addresses: match config.audit.client_address {
            config::ClientAddress::Full => Addresses::Full,
            config::ClientAddress::Network => Addresses::Network,
        },
    }))
}

/// How the log of a configuration is opened: by the gateway, or by a command that puts itself on record while none runs.
#[must_use]
pub fn audit_settings(config: &Config) -> audit::Settings {
    audit::Settings {
        dir: config.audit.dir.clone(),
        head: config.gateway.state_dir.join(audit::HEAD),
        durability: match config.audit.durability {
            config::Durability::Queued => audit::Durability::Queued,
            config::Durability::Written => audit::Durability::Written,
            config::Durability::Synced => audit::Durability::Synced,
        },
        signing_key: Zeroizing::new(*config.audit.signing_key.expose()),
        origin: format!("portcullis/{}", config.gateway.url.host),
        queue: audit::QUEUE,
        segment_bytes: audit::SEGMENT_BYTES,
    }
}

/// The key that signs assertions is made once and kept sealed: upstreams may remember its public half.
pub(super) async fn assertion_key(store: &dyn Store) -> Result<AssertionKey, StartFault> {
    let document = store.secret("assertion-key", AssertionKey::generate()?).await?;
    Ok(AssertionKey::from_pkcs8(&document)?)
}

pub(super) fn upstreams(config: &Config, key: &AssertionKey, tasks: &TaskTracker, closing: &CancellationToken) -> Arc<Upstreams> {
    let settings: UpstreamSettings = compile::upstream_settings(config, key);
    Upstreams::new(settings, tasks.clone(), closing.clone())
}
