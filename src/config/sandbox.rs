//! `[sandbox]`: what the process may reach of its machine once it has started.

use serde_json::{Value as Json, json};

use super::keys::{Form, Key, Need, key};
use super::reader::{Fault, Value};

pub const SANDBOX: &[Key] = &[
    key(
        "mode",
        Form::Choice(&["on", "off"]),
        Need::Default("\"on\""),
        "on: after the start the process reaches only the files and folders that the configuration names, the resolver's and the system's certificates, and connects only to ports that the configuration names (Landlock; as far as the kernel can). off: whatever its user may.",
    ),
    key(
        "ports",
        Form::Texts,
        Need::Default("[]"),
        "More TCP ports to connect to: of an IdP's endpoints, where they are on another port than its issuer, or of upstreams that a reload is to add.",
    ),
];

/// `[sandbox]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub mode: SandboxMode,
    pub ports: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxMode {
    On,
    Off,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { mode: SandboxMode::On, ports: Vec::new() }
    }
}

pub(super) fn read(value: &Value<'_>) -> Option<Sandbox> {
    let table = value.table(SANDBOX)?;
    let port = |value: &Value<'_>| {
        value.parsed(|text| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(Fault::new(format!("`{text}` is no port"), "write a number from 1 to 65535, such as \"8443\"")),
        })
    };
    Some(Sandbox {
        mode: table.or("mode", SandboxMode::On, |value| value.choice(&[("on", SandboxMode::On), ("off", SandboxMode::Off)])),
        ports: table.or("ports", Vec::new(), |value| value.each(port)),
    })
}

pub(super) fn show(sandbox: &Sandbox) -> Json {
    let mode = match sandbox.mode {
        SandboxMode::On => "on",
        SandboxMode::Off => "off",
    };
    json!({ "mode": mode, "ports": sandbox.ports.iter().map(ToString::to_string).collect::<Vec<_>>() })
}
