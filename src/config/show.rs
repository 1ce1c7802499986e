//! The configuration in force as text: every key with its value, defaults included, secrets hidden.

use kernel::identity::assurance::Requirement;
use kernel::policy::rule::{Audience, Methods, Networks, User};
use kernel::quota::Rate;
use serde_json::{Map, Value, json};

use super::client_facing::{ClientCertificates, ClientDemand, HstsScope};
use super::detection;
use super::route_file::{AllowRule, Assertion, Health, RouteFile, RouteUpstream, UpstreamProtocol};
use super::sections::*;
use super::values::write_duration;

/// JSON with the names of the files' keys.
#[must_use]
pub fn text(config: &Config) -> String {
    format!("{:#}\n", value(config))
}

/// The same as a value.
#[must_use]
pub fn value(config: &Config) -> Value {
    let classes: Map<String, Value> = config.classes.iter().map(|(name, class)| (name.to_string(), self::class(class))).collect();
    json!({
        "gateway": {
            "url": config.gateway.url.origin(),
            "state_dir": config.gateway.state_dir,
            "master_key": config.gateway.master_key,
        },
        "listener": config.listeners.iter().map(listener).collect::<Vec<_>>(),
        "redirect": {
            "bind": config.redirect.bind,
            "trusted_proxies": config.redirect.trusted_proxies,
            "proxy_protocol": config.redirect.proxy_protocol == ProxyProtocol::Required,
        },
        "operations": { "bind": config.operations.bind },
        "tls": {
            "profile": profile(config.tls.profile),
            "hsts": {
                "max_age": write_duration(config.tls.hsts.max_age),
                "include_subdomains": config.tls.hsts.scope != HstsScope::Host,
                "preload": config.tls.hsts.scope == HstsScope::Preload,
            },
            "certificate": config.tls.certificates.iter().map(|pair| json!({ "cert": pair.cert, "key": pair.key })).collect::<Vec<_>>(),
            "acme": config.tls.acme.as_ref().map(|acme| acme.show(&config.acme_hosts())),
        },
        "idp": config.idps.iter().map(idp).collect::<Vec<_>>(),
        "second_factor": second_factor(&config.second_factor),
        "session": {
            "idle_timeout": write_duration(config.session.idle_timeout),
            "absolute_timeout": write_duration(config.session.absolute_timeout),
        },
        "rate_limit": {
            "per_address": rate(&config.rate_limit.per_address),
            "per_subject": rate(&config.rate_limit.per_subject),
            "sign_in": rate(&config.rate_limit.sign_in),
            "second_factor": rate(&config.rate_limit.second_factor),
        },
        "audit": audit(&config.audit),
        "detection": detection::show_detection(&config.detection),
        "notify": detection::show_notify(&config.notify),
        "traces": super::traces::show(&config.traces),
        "store": { "url": format!("sqlite:{}", config.store.sqlite.display()) },
        "class": classes,
        "sandbox": super::sandbox::show(&config.sandbox),
        "admin": { "groups": config.admin.groups },
        "upstream": {
            "connect_timeout": write_duration(config.upstream.connect_timeout),
            "first_byte_timeout": write_duration(config.upstream.first_byte_timeout),
            "idle_timeout": write_duration(config.upstream.idle_timeout),
            "body_rate_min": format!("{}B", config.upstream.body_rate_min),
            "idle_connections": config.upstream.idle_connections,
            "idle_connection_timeout": write_duration(config.upstream.idle_connection_timeout),
            "slow_start": write_duration(config.upstream.slow_start),
            "ca": config.upstream.ca.as_ref().map(|roots| &roots.path),
        },
        "limits": limits(&config.limits),
        "routes": config.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn listener(listener: &Listener) -> Value {
    let protocol = |protocol: &Protocol| match protocol {
        Protocol::Http1 => "h1",
        Protocol::Http2 => "h2",
    };
    json!({
        "name": listener.name,
        "bind": listener.bind,
        "public_port": listener.public_port,
        "protocols": listener.protocols.iter().map(protocol).collect::<Vec<_>>(),
        "trusted_proxies": listener.trusted_proxies,
        "proxy_protocol": listener.proxy_protocol == ProxyProtocol::Required,
        "tls_profile": listener.tls_profile.map(profile),
        "client_certificates": match &listener.client_certificates {
            ClientCertificates::NotAsked => Value::Null,
            ClientCertificates::Asked(authority) => json!({
                "ca": authority.ca.path,
                "crl": authority.crl.iter().map(|file| &file.path).collect::<Vec<_>>(),
                "demand": match authority.demand { ClientDemand::Required => "required", ClientDemand::Optional => "optional" },
            }),
        },
    })
}

const fn profile(profile: TlsProfile) -> &'static str {
    match profile {
        TlsProfile::Modern => "modern",
        TlsProfile::Intermediate => "intermediate",
        TlsProfile::Bsi => "bsi",
        TlsProfile::Pci => "pci",
    }
}

fn idp(idp: &Idp) -> Value {
    json!({
        "id": idp.id,
        "label": idp.label,
        "issuer": idp.issuer_text,
        "client_id": idp.client_id,
        "client_secret": idp.client_secret,
        "scopes": idp.scopes,
        "groups_claim": idp.groups_claim,
        "ca": idp.ca.as_ref().map(|roots| &roots.path),
        "email_domains": match &idp.email_domains { EmailDomains::Any => None, EmailDomains::Listed(domains) => Some(domains) },
        "trust_unverified_email": idp.trust_unverified_email == EmailTrust::UnverifiedToo,
    })
}

fn second_factor(settings: &SecondFactor) -> Value {
    let (enrolment, window) = match settings.enrolment {
        Enrolment::Invite => ("invite", None),
        Enrolment::FirstLogin { window } => ("first-login", Some(write_duration(window))),
    };
    json!({ "methods": settings.methods, "enrolment": enrolment, "enrolment_window": window, "trust_idp": settings.trust_idp })
}

fn audit(audit: &Audit) -> Value {
    let durability = match audit.durability {
        Durability::Queued => "queued",
        Durability::Written => "written",
        Durability::Synced => "synced",
    };
    json!({
        "dir": audit.dir,
        "durability": durability,
        "signing_key": audit.signing_key,
        "personal": match audit.personal { Personal::Plain => "plain", Personal::Sealed => "sealed" },
        "client_address": match audit.client_address { ClientAddress::Full => "full", ClientAddress::Network => "network" },
        "retention": retention(&audit.retention),
        "sink": audit.sinks.iter().map(super::sink::shown).collect::<Vec<_>>(),
    })
}

fn retention(retention: &Retention) -> Value {
    let classes = retention.classes.iter().map(|(class, span)| ((*class).to_owned(), json!(write_duration(*span))));
    std::iter::once(("default".to_owned(), json!(write_duration(retention.default)))).chain(classes).collect()
}

fn limits(limits: &Limits) -> Value {
    json!({
        "connections": limits.connections,
        "connections_per_address": limits.connections_per_address,
        "handshakes": limits.handshakes,
        "requests": limits.requests,
        "header_bytes": format!("{}B", limits.header_bytes),
        "header_count": limits.header_count,
        "streams": limits.streams,
        "handshake_timeout": write_duration(limits.handshake_timeout),
        "header_timeout": write_duration(limits.header_timeout),
        "keep_alive_timeout": write_duration(limits.keep_alive_timeout),
        "body_timeout": write_duration(limits.body_timeout),
        "stalled_timeout": write_duration(limits.stalled_timeout),
        "drain_timeout": write_duration(limits.drain_timeout),
    })
}

fn class(class: &Class) -> Value {
    json!({ "second_factor": factor(class.second_factor), "idle_timeout": class.idle_timeout.map(write_duration) })
}

fn factor(requirement: Requirement) -> Value {
    json!({ "strength": requirement.strength.as_str(), "max_age": write_duration(requirement.max_age) })
}

fn rate(rate: &Rate) -> Value {
    let unit = match rate.per.as_secs() {
        1 => "s",
        60 => "m",
        _ => "h",
    };
    json!({ "rate": format!("{}/{unit}", rate.count), "burst": rate.burst })
}

fn route(route: &RouteFile) -> Value {
    json!({
        "name": route.name.as_str(),
        "from": route.from.origin(),
        "to": route.to.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "class": &*route.class,
        "owner": route.owner,
        "data": route.data,
        "allow": route.rules.iter().map(rule).collect::<Vec<_>>(),
        "recorded_parameters": route.recorded_parameters,
        "underscore_headers": match route.second_spellings {
            kernel::route::SecondSpellings::Refuse => "refuse",
            kernel::route::SecondSpellings::Allow => "allow",
        },
        "upstream": upstream(&route.upstream),
    })
}

fn upstream(upstream: &RouteUpstream) -> Value {
    let health = |health: &Health| {
        json!({
            "path": health.path,
            "host": health.host,
            "interval": write_duration(health.interval),
            "timeout": write_duration(health.timeout),
            "unhealthy_after": health.unhealthy_after,
            "healthy_after": health.healthy_after,
        })
    };
    json!({
        "protocol": match upstream.protocol {
            UpstreamProtocol::Http1 => "h1",
            UpstreamProtocol::Http2 => "h2",
            UpstreamProtocol::Auto => "auto",
        },
        "assertion": match upstream.assertion {
            Assertion::Request => "request",
            Assertion::Session => "session",
            Assertion::Off => "off",
        },
        "connect_timeout": upstream.connect_timeout.map(write_duration),
        "first_byte_timeout": upstream.first_byte_timeout.map(write_duration),
        "idle_timeout": upstream.idle_timeout.map(write_duration),
        "body_max": upstream.body_max.map(|bytes| format!("{bytes}B")),
        "body_rate_min": upstream.body_rate_min.map(|bytes| format!("{bytes}B")),
        "slow_start": upstream.slow_start.map(write_duration),
        "tls_name": upstream.tls_name,
        "ca": upstream.ca.as_ref().map(|roots| &roots.path),
        "certificate": upstream.certificate.as_ref().map(|pair| json!({ "cert": pair.cert, "key": pair.key })),
        "health": upstream.health.as_ref().map(health),
    })
}

fn rule(rule: &AllowRule) -> Value {
    let who = match &rule.audience {
        Audience::Public => json!("public"),
        Audience::AnyoneSignedIn => json!({ "anyone_signed_in": true }),
        Audience::Listed { groups, users } => json!({ "groups": groups, "users": users.iter().map(user).collect::<Vec<_>>() }),
    };
    let methods = match &rule.methods {
        Methods::All => vec!["*"],
        Methods::Listed(methods) => methods.iter().map(|method| method.as_str()).collect(),
    };
    let networks = match &rule.networks {
        Networks::Any => Value::Null,
        Networks::Listed(networks) => json!(networks),
    };
    let hours = rule
        .hours
        .as_ref()
        .map(|hours| json!({ "from": hours.from.to_string(), "to": hours.until.to_string(), "zone": hours.zone.iana_name() }));
    json!({
        "id": rule.id.as_str(),
        "who": who,
        "methods": methods,
        "paths": rule.paths.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
        "except": rule.except.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
        "factor": factor(rule.requirement),
        "from": networks,
        "hours": hours,
        "rate": rule.rate.as_ref().map(rate),
    })
}

fn user(user: &User) -> &str {
    match user {
        User::Email(email) => email.as_str(),
        User::Sub(sub) => sub,
    }
}
