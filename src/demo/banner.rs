//! What a person reads who has just started the demo.

use std::path::Path;

use crate::demo::Hosts;
use crate::demo::provider::people::PEOPLE;

/// The text, for a terminal of 80 columns; paths may be longer.
#[must_use]
pub fn text(hosts: &Hosts, provider: &str, config: &Path) -> String {
    let (gate, app, echo) = (hosts.gate(), hosts.app(), hosts.echo());
    let config = config.display();
    let mut people = String::new();
    for person in PEOPLE {
        people.push_str(&format!("    {:<5}{:<34}{}\n", person.login, person.role, person.groups.join(", ")));
    }
    format!(
        "
Portcullis demo: for trying out, on this machine only. Nothing is kept.

  Open
    {app}/
        a page that shows what the application receives
    {app}/public/about
        open to everybody, and on record all the same
    {echo}/
        a WebSocket through the gateway
    {gate}/
        the portal: what you may open, your sessions, your factors

  Sign in as (the password is the name; one click will do)
{people}    The second factor is any authenticator app: the first sign-in shows the
    QR code, and the secret as text.

  Will be denied
    {app}/admin as ana
        no rule lets the group staff in there. Sign in as eva, and it opens for
        five minutes after each second factor.

  Trust
    The browser warns about a certificate authority that it does not know.
    Go on past the warning, or import this file, or give it to curl:
        {config}/certs/ca.pem
    curl --cacert {config}/certs/ca.pem {app}/public/about

  Watch every decision as it is made, in another terminal
    portcullis audit tail --follow --config {config}

  The identity provider is {provider}
  Stop with Ctrl-C.

"
    )
}
