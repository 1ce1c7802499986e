//! The only reader of randomness: the generator of aws-lc-rs, seeded by the operating system.

use std::cell::RefCell;

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

/// Drawn ahead, sixty-four at a time in each thread: asking the generator costs more than it gives. No secret is drawn so.
pub fn request_id() -> Result<RequestId, Failure> {
    thread_local!(static AHEAD: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) });
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.is_empty() {
            let drawn = bytes::<1_024>()?;
            ahead.extend_from_slice(drawn.as_chunks().0);
        }
        ahead.pop().map(RequestId::new).ok_or(Failure::Bug("no request id was drawn"))
    })
}

pub fn session_id() -> Result<SessionId, Failure> {
    bytes().map(SessionId::new)
}
