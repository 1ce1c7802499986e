//! A signed token in the making: good until a test changes it.

use serde_json::{Map, Value, json};

use super::op::{Signer, b64};
use super::{CLIENT, NOW};

/// What a case does to a draft.
pub type Forge = fn(&mut Draft);

pub struct Draft {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    pub signer: Signer,
    /// The header or payload as text, where JSON values cannot say it.
    pub header_text: Option<String>,
    pub claims_text: Option<String>,
    /// What becomes of the finished token.
    pub twist: fn(String) -> String,
}

impl Draft {
    /// A good ID token for ana.
    pub fn id_token(issuer: &str, nonce: &str) -> Self {
        Self::new(json!({
            "iss": issuer, "sub": "ana", "aud": CLIENT, "exp": NOW + 300, "iat": NOW, "nonce": nonce, "sid": "s1",
            "auth_time": NOW - 100, "amr": ["pwd"], "acr": "1",
            "email": "ana@corp.test", "email_verified": true, "name": "Ana", "groups": ["sre", "dev"],
        }))
    }

    /// A good logout token for ana's session.
    pub fn logout(issuer: &str) -> Self {
        let mut draft = Self::new(json!({
            "iss": issuer, "sub": "ana", "sid": "s1", "aud": CLIENT, "exp": NOW + 120, "iat": NOW, "jti": "j1",
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        }));
        draft.header("typ", json!("logout+jwt"));
        draft
    }

    fn new(claims: Value) -> Self {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!("RS256"));
        header.insert("kid".to_owned(), json!("rsa"));
        Self { header, claims, signer: Signer::Rs256, header_text: None, claims_text: None, twist: |token| token }
    }

    pub fn header(&mut self, name: &str, value: Value) {
        self.header.insert(name.to_owned(), value);
    }

    pub fn claim(&mut self, name: &str, value: Value) {
        self.claims.insert(name.to_owned(), value);
    }

    pub fn without(&mut self, name: &str) {
        self.claims.remove(name);
    }

    pub fn without_header(&mut self, name: &str) {
        self.header.remove(name);
    }

    /// Writes another member into the payload's text, so that a key can stand twice or a number be no number.
    pub fn append_claims(&mut self, members: &str) {
        let text = Value::Object(self.claims.clone()).to_string();
        self.claims_text = Some(format!("{},{members}}}", text.strip_suffix('}').unwrap()));
    }

    pub fn append_header(&mut self, members: &str) {
        let text = Value::Object(self.header.clone()).to_string();
        self.header_text = Some(format!("{},{members}}}", text.strip_suffix('}').unwrap()));
    }

    pub fn sign(&mut self, algorithm: &str, kid: &str, signer: Signer) {
        self.header("alg", json!(algorithm));
        self.header("kid", json!(kid));
        self.signer = signer;
    }

    pub fn compact(&self) -> String {
        let header = self.header_text.clone().unwrap_or_else(|| Value::Object(self.header.clone()).to_string());
        let claims = self.claims_text.clone().unwrap_or_else(|| Value::Object(self.claims.clone()).to_string());
        let signed = format!("{}.{}", b64(header), b64(claims));
        let mark = b64(self.signer.sign(signed.as_bytes()));
        (self.twist)(format!("{signed}.{mark}"))
    }
}
