//! The keys of what faces clients beside a listener's address.

use super::keys::Form::{Choice, Duration, Flag, Text, Texts};
use super::keys::Need::{Default, Optional, Required};
use super::keys::{Key, key};

/// `client_certificates` of a listener.
pub const CLIENT_CERTIFICATES: &[Key] = &[
    key("ca", Text, Required("\"certs/clients-ca.pem\""), "PEM file with those who issue clients' certificates."),
    key(
        "crl",
        Texts,
        Default("[]"),
        "PEM files with lists of revoked certificates, read again when they change. With any, each issuer of a chain needs one that is in its time, or the client is refused.",
    ),
    key(
        "demand",
        Choice(&["required", "optional"]),
        Default("\"required\""),
        "required: who shows none gets no connection. optional: one that is shown must be good.",
    ),
];

/// `tls.hsts`
pub const HSTS: &[Key] = &[
    key("max_age", Duration, Default("\"730d\""), "How long browsers ask for a host by https alone; \"0s\" makes them forget."),
    key("include_subdomains", Flag, Default("false"), "Whether that holds for every host below a host too."),
    key("preload", Flag, Default("false"), "Whether hosts may be put on the list that browsers carry; that is hard to undo."),
];

/// `[redirect]`
pub const REDIRECT: &[Key] = &[
    key(
        "bind",
        Text,
        Optional("plain HTTP is not listened for"),
        "Address and port, as \"[::]:80\", where plain HTTP is answered with the way to https, for listed hosts alone.",
    ),
    key(
        "trusted_proxies",
        Texts,
        Default("[]"),
        "Networks whose PROXY headers are believed, and whose connections are not counted by address.",
    ),
    key("proxy_protocol", Flag, Default("false"), "Whether every connection must begin with a PROXY header."),
];

pub const TLS_PROFILES: &[&str] = &["modern", "intermediate", "bsi", "pci"];
