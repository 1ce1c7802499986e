//! The gateway's own log: events in words, values as dotted fields, on standard error. Never a token, cookie, code or body.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people, with colour on a terminal alone.
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the logger. `PORTCULLIS_LOG` sets the level (`info` when absent), as in `warn` or `portcullis=debug`.
pub fn install(form: Form) {
    let filter = EnvFilter::try_from_env("PORTCULLIS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second installation (tests in one process) changes nothing.
    let _already = match form {
        Form::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Form::Json => builder.json().try_init(),
    };
}
