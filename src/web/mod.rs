//! What every answer of the gateway's own is made of: bodies, problem documents, cookies, security headers, pages.

pub mod body;
