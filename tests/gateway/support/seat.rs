//! People who are signed in without a sign-in: sessions written straight into the store, for tests of what comes after.

use kernel::identity::assurance::{Assurance, FactorKind, FactorProof};
use kernel::identity::{Email, Group, Identity, Subject};
use kernel::request::host::Host;
use kernel::session::token::Purpose;
use kernel::session::{Session, SessionId, SessionState, Token, TokenHash};
use portcullis::store::NewSession;

use super::World;

impl World {
    /// A person of some groups with a fresh second factor, signed in on `host`: the text of the cookie.
    pub async fn seat(&self, host: &str, groups: &[&str]) -> String {
        let server = self.server();
        let gateway = server.gateway();
        let now = gateway.clock.now();
        let identity = Identity {
            subject: Subject { issuer: self.provider.url.as_str().into(), sub: format!("sub-{}", groups.join("-")) },
            email: Some(Email::parse("alice@example.com").unwrap()),
            name: None,
            groups: groups.iter().map(|name| Group::new(*name)).collect(),
        };
        gateway.store.see_subject(identity.clone(), now).await.unwrap();
        let token = Token::new(portcullis::entropy::bytes::<32>().unwrap());
        let host = Host::parse(host).unwrap();
        let session = Session {
            id: SessionId::new(portcullis::entropy::bytes::<16>().unwrap()),
            idp: "corp".into(),
            identity,
            assurance: Assurance::default().with(FactorProof { kind: FactorKind::Totp, at: now }),
            state: SessionState::begin(now),
            idp_session: None,
            lineage: TokenHash::from_bytes([3; 32]),
            address: None,
            user_agent: None,
        };
        let cookie = token.hash(Purpose::Cookie(&host));
        gateway.sessions.begin(NewSession { session, cookie, host, id_token: None }).await.unwrap();
        token.text()
    }
}
