//! Second factors: the rules after the secret was found.

pub mod lockout;
pub mod recovery;
pub mod totp;
