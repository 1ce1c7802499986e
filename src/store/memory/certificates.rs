//! Certificates that authorities issued, and accounts there.

use zeroize::Zeroizing;

use super::State;
use crate::store::{AcmeAttempt, IssuedCertificate, StoreFault};

impl State {
    pub(super) fn put_acme_account(&mut self, directory: String, account: Zeroizing<Vec<u8>>) -> Result<(), StoreFault> {
        self.acme_accounts.insert(directory, account);
        Ok(())
    }

    pub(super) fn drop_acme_account(&mut self, directory: &str) -> Result<(), StoreFault> {
        self.acme_accounts.remove(directory);
        Ok(())
    }

    pub(super) fn put_acme_attempt(&mut self, attempt: AcmeAttempt) -> Result<(), StoreFault> {
        self.acme_attempts.remove(&attempt.host);
        if attempt.failures > 0 {
            self.acme_attempts.insert(attempt.host.clone(), attempt);
        }
        Ok(())
    }

    pub(super) fn put_issued_certificate(&mut self, certificate: IssuedCertificate) -> Result<(), StoreFault> {
        self.issued_certificates.insert(certificate.host.clone(), certificate);
        Ok(())
    }
}
