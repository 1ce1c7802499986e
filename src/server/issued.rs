//! Certificates that the gateway obtained, put into service beside those from files.

use std::sync::Arc;

use kernel::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Server, StartFault, compile};
use crate::acme::{Acme, Parts};
use crate::config::Config;
use crate::gateway::Gateway;
use crate::listener::{Certificate, Challenges, TlsFault};

/// The room that obtains them, with what it obtained before.
pub(super) async fn obtaining(gateway: &Gateway, challenges: Arc<Challenges>, config: &Config) -> Result<Arc<Acme>, StartFault> {
    let parts = Parts {
        store: Arc::clone(&gateway.store),
        audit: gateway.audit.clone(),
        metrics: gateway.metrics.clone(),
        clock: gateway.clock.clone(),
    };
    Ok(Arc::new(Acme::load(parts, challenges, compile::acme_settings(config)).await?))
}

impl Server {
    /// Puts what comes from files and what was issued into every listener. Of two for one host the file's comes first.
    pub(super) fn serve_certificates(&self) -> Result<(), TlsFault> {
        let all: Vec<Certificate> = self.certificates.load().iter().cloned().chain(self.acme.certificates()).collect();
        let first = all.iter().map(Certificate::not_after).min();
        for tls in &self.tls {
            tls.replace(all.clone())?;
        }
        let lists = self.tls.iter().filter_map(|tls| tls.revocation_lists_expire()).min();
        let seconds = |time: Option<Timestamp>| time.and_then(|time| i64::try_from(time.as_seconds()).ok()).unwrap_or(0);
        let gauges = self.gateway.metrics.gauges();
        gauges.certificate_expiry_seconds.set(seconds(first));
        gauges.revocation_list_expiry_seconds.set(seconds(lists));
        Ok(())
    }

    /// Serves what is issued as soon as it is, until shutdown.
    pub(super) async fn follow_issued(self: Arc<Self>, shutdown: CancellationToken) {
        let mut changes = self.acme.watch();
        while let Some(Ok(())) = shutdown.run_until_cancelled(changes.changed()).await {
            let _not_amid_a_reload = self.reloading.lock().await;
            if let Err(fault) = self.serve_certificates() {
                tracing::error!(error = %fault, "an issued certificate could not be put into service; what was served stays");
            }
        }
    }
}
