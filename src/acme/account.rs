//! The gateway's account at an authority: made once, kept sealed, told when the contact changes.

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Settings;
use super::fault::AcmeFault;
use super::http::Http;
use crate::store::Store;

/// As it is sealed in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The account of these settings; one is made where none is kept. The configuration says that the authority's terms are accepted.
pub async fn open(settings: &Settings, store: &dyn Store) -> Result<Account, AcmeFault> {
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let builder = || Ok::<_, AcmeFault>(Account::builder_with_http(Box::new(Http::new(&settings.roots)?)));
    let Some(text) = store.acme_account(settings.directory.clone()).await? else {
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder()?.create(&wanted, settings.directory.clone(), None).await?;
        put(settings, store, credentials).await?;
        tracing::info!(acme.directory = settings.directory, "an account was opened at the certificate authority");
        return Ok(account);
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(|_| AcmeFault::Account)?;
    let account = builder()?.from_credentials(kept.credentials).await?;
    if kept.contact != settings.contact {
        account.update_contacts(&contact).await?;
        let kept: Kept = serde_json::from_slice(&text).map_err(|_| AcmeFault::Account)?;
        put(settings, store, kept.credentials).await?;
    }
    Ok(account)
}

async fn put(settings: &Settings, store: &dyn Store, credentials: AccountCredentials) -> Result<(), AcmeFault> {
    let kept = Kept { contact: settings.contact.clone(), credentials };
    let text = Zeroizing::new(serde_json::to_vec(&kept).map_err(|_| AcmeFault::Account)?);
    Ok(store.put_acme_account(settings.directory.clone(), text).await?)
}

/// Lets the next order open another account: the authority does not know this one.
pub async fn forget(settings: &Settings, store: &dyn Store) {
    match store.drop_acme_account(settings.directory.clone()).await {
        Ok(()) => tracing::warn!(acme.directory = settings.directory, "the authority does not know the account; another will be opened"),
        Err(fault) => tracing::error!(error = %fault, "an account that is not known any more could not be dropped"),
    }
}
