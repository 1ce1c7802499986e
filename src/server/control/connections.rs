//! What is under way right now: every exchange with an upstream, whose it is and how far it has come.

use std::time::Duration;

use kernel::event::Consulted;
use kernel::request::Upgrade;
use serde::{Deserialize, Serialize};

use super::{Attendant, Outcome, Refused};

/// One exchange under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectionLine {
    pub request_id: String,
    pub route: String,
    /// None where nobody had to sign in.
    pub user: Option<String>,
    pub method: String,
    pub path: String,
    /// `http` or `websocket`
    pub kind: String,
    pub age_s: u64,
    /// From the client, so far.
    pub bytes_in: u64,
    /// To the client, so far.
    pub bytes_out: u64,
    pub client: Option<String>,
}

impl Attendant<'_> {
    /// On record before anything is shown, because it names people.
    pub(super) async fn connections(&self, route: Option<&str>, user: Option<&str>) -> Result<Outcome, Refused> {
        self.record_consulted(Consulted::Sessions).await?;
        let lines = self.gateway.exchanges.under_way().into_iter().map(|seen| {
            let user = seen.person.map(|live| {
                let identity = &live.facts().identity;
                let name = identity.email.as_ref().map_or_else(|| identity.subject.to_string(), ToString::to_string);
                (name, identity.subject.to_string(), identity.subject.sub.clone())
            });
            let line = ConnectionLine {
                request_id: seen.request.id.to_string(),
                route: seen.route.as_str().to_owned(),
                user: user.as_ref().map(|(name, ..)| name.clone()),
                method: seen.request.method.to_string(),
                path: seen.request.path.as_str().to_owned(),
                kind: match seen.request.upgrade {
                    Upgrade::None => "http".to_owned(),
                    Upgrade::WebSocket => "websocket".to_owned(),
                },
                age_s: whole_seconds(seen.age),
                bytes_in: seen.bytes_in,
                bytes_out: seen.bytes_out,
                client: seen.request.client.map(|client| client.ip().to_string()),
            };
            (user, line)
        });
        let asked = |who: &Option<(String, String, String)>| {
            user.is_none_or(|user| who.as_ref().is_some_and(|(name, subject, sub)| [name, subject, sub].iter().any(|known| *known == user)))
        };
        let mut lines: Vec<_> =
            lines.filter(|(who, line)| asked(who) && route.is_none_or(|route| line.route == route)).map(|(_, line)| line).collect();
        // The oldest first: those are what one looks for.
        lines.sort_by_key(|line| std::cmp::Reverse(line.age_s));
        Ok(Outcome::Connections(lines))
    }
}

const fn whole_seconds(age: Duration) -> u64 {
    age.as_secs()
}
