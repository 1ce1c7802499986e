//! The only reader of randomness: the generator of aws-lc-rs, seeded by the operating system.

use kernel::Failure;
use kernel::request::RequestId;
use kernel::session::{SessionId, Token};

/// `N` random bytes. A machine without randomness serves nobody.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut buffer = [0; N];
    aws_lc_rs::rand::fill(&mut buffer).map_err(|_| Failure::Bug("the random generator failed"))?;
    Ok(buffer)
}

pub fn token() -> Result<Token, Failure> {
    bytes().map(Token::new)
}

pub fn request_id() -> Result<RequestId, Failure> {
    bytes().map(RequestId::new)
}

pub fn session_id() -> Result<SessionId, Failure> {
    bytes().map(SessionId::new)
}
