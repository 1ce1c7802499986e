//! An authenticator app (RFC 6238 with SHA-1, six digits, thirty seconds), written apart from the gateway's own code.

use aws_lc_rs::hmac;
use kernel::time::Timestamp;

/// A phone that scanned a QR code.
#[derive(Clone, Debug)]
pub struct Phone {
    secret: Vec<u8>,
}

impl Phone {
    /// Reads the secret off the enrolment page.
    pub fn scan(page: &str) -> Self {
        let from = page.find("otpauth://").unwrap_or_else(|| panic!("no otpauth link in {page}"));
        let link = &page[from..from + page[from..].find('"').unwrap()];
        let secret = &link[link.find("secret=").unwrap() + "secret=".len()..];
        let secret = &secret[..secret.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(secret.len())];
        Self { secret: base32(secret) }
    }

    /// The code that is shown at a time.
    pub fn code(&self, now: Timestamp) -> String {
        self.code_of_step(now.as_seconds() / 30)
    }

    pub fn code_of_step(&self, step: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let at = usize::from(tag[19] & 0xf);
        let number = u32::from_be_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// A code of six digits that no step within an hour of `now` has.
    pub fn wrong_code(&self, now: Timestamp) -> String {
        let step = now.as_seconds() / 30;
        let near: Vec<_> = (step - 120..step + 120).map(|step| self.code_of_step(step)).collect();
        (0..1_000_000).map(|number| format!("{number:06}")).find(|code| !near.contains(code)).unwrap()
    }
}

fn base32(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'2'..=b'7' => character - b'2' + 26,
            other => panic!("{other} is not base32"),
        };
        bits = (bits << 5) | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes
}
