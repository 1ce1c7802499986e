//! One order, from the request to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use kernel::time::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::fault::{AcmeFault, problem_text};
use super::schedule::Window;
use super::{Challenge, Settings};
use crate::listener::{Challenges, OpenChallenge};
use crate::store::IssuedCertificate;

/// Orders a certificate for one host, with a key of its own. Not checked yet, beyond what TLS towards the authority proves.
pub async fn place(
    account: &Account,
    challenges: &Arc<Challenges>,
    settings: &Settings,
    host: &str,
    predecessor: Option<CertificateDer<'static>>,
) -> Result<IssuedCertificate, AcmeFault> {
    let mut order = begin(account, host, predecessor.as_ref()).await?;
    // Open until the authority has looked.
    let open = prove(&mut order, challenges, settings.challenge).await?;
    let ready = order.poll_ready(&PATIENCE).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        let reason = refusal(&mut order).await;
        ready?;
        return Err(AcmeFault::Refused(reason));
    }
    drop(open);
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec![host.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    order.finalize_csr(parameters.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(IssuedCertificate {
        host: host.to_owned(),
        directory: settings.directory.clone(),
        chain,
        key: Zeroizing::new(key.serialize_pem().into_bytes()),
        // Read off the certificate when it is checked.
        not_after: Timestamp::EPOCH,
    })
}

/// An authority that follows renewals is told what is replaced (RFC 9773 §5). One that does not take it is asked without.
async fn begin(account: &Account, host: &str, predecessor: Option<&CertificateDer<'static>>) -> Result<Order, AcmeFault> {
    let identifiers = [Identifier::Dns(host.to_owned())];
    if let Some(replaced) = predecessor.and_then(|leaf| CertificateIdentifier::try_from(leaf).ok()) {
        match account.new_order(&NewOrder::new(&identifiers).replaces(replaced)).await {
            Ok(order) => return Ok(order),
            Err(instant_acme::Error::Unsupported(_)) => {}
            Err(error) => tracing::debug!(tls.host = host, reason = %error, "the authority does not take that a certificate is replaced"),
        }
    }
    Ok(account.new_order(&NewOrder::new(&identifiers)).await?)
}

async fn prove(order: &mut Order, challenges: &Arc<Challenges>, kind: Challenge) -> Result<Vec<OpenChallenge>, AcmeFault> {
    let mut open = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let (wanted, name) = match kind {
            Challenge::TlsAlpn => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            Challenge::Http => (ChallengeType::Http01, "http-01"),
        };
        let mut challenge = authorization.challenge(wanted).ok_or(AcmeFault::NoChallenge(name))?;
        let key_authorization = challenge.key_authorization();
        let host = challenge.identifier().to_string();
        open.push(match kind {
            Challenge::TlsAlpn => challenges.open_tls(&host, key_authorization.digest().as_ref())?,
            Challenge::Http => challenges.open_http(&host, &challenge.token, key_authorization.as_str())?,
        });
        challenge.set_ready().await?;
    }
    Ok(open)
}

/// What the authority says of the challenge that it did not take.
async fn refusal(order: &mut Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        reasons.extend(state.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(problem_text));
    }
    if reasons.is_empty() { "it gives no reason".to_owned() } else { reasons.join("; ") }
}

/// When the authority wants a certificate renewed, and when it wants to be asked again.
pub async fn renewal_window(account: &Account, leaf: &CertificateDer<'_>) -> Result<(Window, Duration), AcmeFault> {
    let identifier = CertificateIdentifier::try_from(leaf).map_err(|_| AcmeFault::OtherHost)?;
    let (told, again) = account.renewal_info(&identifier).await?;
    let seconds = |time: i64| Timestamp::from_seconds(u64::try_from(time).unwrap_or(0));
    let window =
        Window { start: seconds(told.suggested_window.start.unix_timestamp()), end: seconds(told.suggested_window.end.unix_timestamp()) };
    Ok((window, again))
}

/// Asked again after half a second at first, then less and less often.
const PATIENCE: RetryPolicy = RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(120));
