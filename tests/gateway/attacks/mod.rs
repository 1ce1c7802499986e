//! Attacks on a whole gateway, over the real wire: what is sent is bytes over TLS, and what counts is what a recorder behind the
//! gateway received and what the audit log says.
//!
//! Every attack passes when the recorder saw no request that policy does not allow, when each request has exactly one decision
//! on record, and when the next request is answered rightly or the connection is closed.

mod backends;
mod config;
mod desync;
mod detection;
mod headers;
mod paths;
mod streams;

use std::sync::Arc;

use crate::support::{Kind, Setup, World, route_text};

/// A gateway with the routes that the attacks are about.
async fn start() -> Arc<World> {
    start_with("").await
}

/// The same, with other limits.
async fn start_with(rate_limit: &str) -> Arc<World> {
    let route = |name: &str, rules: &str| (name.to_owned(), route_text(name, "@UPSTREAM@", rules));
    let usual = Setup::default();
    let rate_limit = if rate_limit.is_empty() { usual.rate_limit.clone() } else { rate_limit.to_owned() };
    World::with(Setup { rate_limit, routes: vec![route("app", APP_RULES), route("pub", PUB_RULES)], provider: Kind::Absent, ..usual }).await
}

/// The value of the only field of this name.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = fields(head, name);
    assert!(values.len() < 2, "{name} comes more than once in {head}");
    values.first().copied()
}

/// All values under names that some program reads as `name`: case and `_ . -` do not count.
fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let folded = |text: &str| text.trim().to_ascii_lowercase().replace(['_', '.'], "-");
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(known, _)| folded(known) == name)
        .map(|(_, value)| value.trim())
        .collect()
}

/// The rules of the protected route at the start.
const APP_RULES: &str = r#"
[[allow]]
id = "public"
public = true
methods = ["GET", "HEAD", "POST", "OPTIONS"]
paths = ["/public/**"]
[[allow]]
id = "staff"
who = { groups = ["staff"] }
paths = ["/app/**"]
except = ["/app/admin/**", "/app/@secret/**"]
[[allow]]
id = "admin"
who = { groups = ["admin"] }
paths = ["/app/admin/**"]
"#;

const PUB_RULES: &str = r#"
[[allow]]
id = "public"
public = true
methods = ["GET"]
paths = ["/**"]
"#;
