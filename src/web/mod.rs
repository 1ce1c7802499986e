//! What every answer of the gateway's own is made of: bodies, problem documents, cookies, security headers, forms, assets.

pub mod assets;
pub mod body;
pub mod cookie;
pub mod csrf;
pub mod form;
pub mod language;
pub mod problem;
pub mod security;
