//! Mail to the person whom a finding concerns: one message over SMTP submission, in English and German.
//!
//! TLS is verified, always, from the first byte (RFC 8314) or by STARTTLS that is demanded: where a server does not offer it,
//! nothing is sent, and no password is. A message is text alone, has no link that somebody could learn to click, and goes to
//! the one address that the provider vouched for.

use std::time::Duration;

use kernel::detection::FindingFacts;
use kernel::identity::Email;
use lettre::address::AddressError;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use zeroize::Zeroizing;

use super::message::words;
use crate::entropy;

/// A server that takes mail, as configured.
#[derive(Clone)]
pub struct MailTarget {
    pub host: String,
    pub port: u16,
    pub security: Security,
    /// Name and password; none where the server takes mail without.
    pub login: Option<(String, Zeroizing<String>)>,
    pub from: Email,
    /// Authorities that may vouch for the server, beside those of the machine.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Where TLS begins. Without it there is no mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// With the connection.
    Tls,
    /// After STARTTLS, which the server must offer.
    StartTls,
}

impl std::fmt::Debug for MailTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailTarget").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Our side of the server.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    gateway: String,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

/// The server cannot be used as it is configured.
#[derive(Debug, Error)]
pub enum MailTargetFault {
    #[error("notify.mail: {0} cannot stand in a message: {1}")]
    Address(String, AddressError),
    #[error("notify.mail: TLS cannot be set up: {0}")]
    Tls(smtp::Error),
}

/// A message was not taken.
#[derive(Debug, Error)]
pub enum MailFault {
    #[error("the person's address cannot stand in a message: {0}")]
    Address(AddressError),
    #[error("the message cannot be made: {0}")]
    Message(lettre::error::Error),
    #[error("the message has no id: {0}")]
    Random(kernel::Failure),
    #[error("the server refused it for good: {0}")]
    Refused(smtp::Error),
    #[error("the server did not take it: {0}")]
    Failed(smtp::Error),
    #[error("the server did not answer within {0:?}")]
    TimedOut(Duration),
}

impl MailFault {
    /// Whether another try could end otherwise.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Failed(_) | Self::TimedOut(_) => true,
            Self::Address(_) | Self::Message(_) | Self::Random(_) | Self::Refused(_) => false,
        }
    }
}

impl Mailer {
    /// `gateway` is the host that messages name.
    pub fn new(target: &MailTarget, gateway: &str) -> Result<Self, MailTargetFault> {
        let address = |email: &Email| {
            let fault = |fault| MailTargetFault::Address(email.as_str().to_owned(), fault);
            email.as_str().parse::<Address>().map_err(fault)
        };
        let mut tls = TlsParameters::builder(target.host.clone());
        for root in &target.roots {
            tls = tls.add_root_certificate(Certificate::from_der(root.to_vec()).map_err(MailTargetFault::Tls)?);
        }
        let tls = tls.build_rustls().map_err(MailTargetFault::Tls)?;
        // The word of the library is for builders that choose no TLS; this one does, in the next line.
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(target.host.as_str())
            .tls(match target.security {
                Security::Tls => Tls::Wrapper(tls),
                Security::StartTls => Tls::Required(tls),
            })
            .port(target.port)
            .hello_name(ClientId::Domain(gateway.to_owned()))
            .timeout(Some(STEP_WITHIN));
        if let Some((name, password)) = &target.login {
            builder = builder.credentials(Credentials::new(name.clone(), password.to_string()));
        }
        Ok(Self {
            transport: builder.build(),
            from: Mailbox::new(Some("Portcullis".to_owned()), address(&target.from)?),
            gateway: gateway.to_owned(),
        })
    }

    /// Mails one finding to whom it concerns.
    pub async fn send(&self, finding: &FindingFacts, to: &Email) -> Result<(), MailFault> {
        let message = self.message(finding, to)?;
        match tokio::time::timeout(SEND_WITHIN, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) if fault.is_permanent() => Err(MailFault::Refused(fault)),
            Ok(Err(fault)) => Err(MailFault::Failed(fault)),
            Err(_) => Err(MailFault::TimedOut(SEND_WITHIN)),
        }
    }

    /// Every value is encoded by the library that makes the header; none is put into one as text.
    fn message(&self, finding: &FindingFacts, to: &Email) -> Result<Message, MailFault> {
        let to: Address = to.as_str().parse().map_err(MailFault::Address)?;
        let id: String = entropy::bytes::<16>().map_err(MailFault::Random)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let (english, german) = words(finding, &self.gateway);
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(format!("Was this you? / Waren Sie das? ({})", self.gateway))
            .message_id(Some(format!("<{id}@{}>", self.gateway)))
            // RFC 3834: nobody's absence is answered to this.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .header(ContentTransferEncoding::QuotedPrintable)
            .body(format!("{english}\r\n\r\n{german}\r\n"))
            .map_err(MailFault::Message)
    }
}

/// For connecting, and for each answer.
const STEP_WITHIN: Duration = Duration::from_secs(10);
/// For one message, whatever the server does in between.
const SEND_WITHIN: Duration = Duration::from_secs(30);
