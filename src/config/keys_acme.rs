//! The keys of `[tls.acme]`.

use super::keys::Form::{Choice, Flag, Text, Texts};
use super::keys::Need::{Default, Optional, Required};
use super::keys::{Key, key};

pub const ACME: &[Key] = &[
    key(
        "directory",
        Text,
        Required("\"https://acme-v02.api.letsencrypt.org/directory\""),
        "Address of the certificate authority's directory; https.",
    ),
    key("terms_accepted", Flag, Required("true"), "That you accept the authority's terms of service; must be true."),
    key("contact", Texts, Default("[]"), "E-mail addresses that the authority may write to."),
    key(
        "hosts",
        Texts,
        Optional("the gateway's host and those of all routes that no [[tls.certificate]] is for"),
        "Hosts to obtain a certificate for, each its own.",
    ),
    key(
        "challenge",
        Choice(&["tls-alpn-01", "http-01"]),
        Default("\"tls-alpn-01\""),
        "How the authority sees that a host is yours: by a handshake on port 443, or by a plain request to port 80.",
    ),
    key("ca", Text, Optional("the system's roots"), "PEM file with further roots for a private authority's own address."),
];
