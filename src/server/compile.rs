//! From a checked configuration to what the running gateway holds. Everything that can be wrong with a value was found when
//! the configuration was read; what is left are things that only the machine can tell.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use kernel::request::client::TrustedProxies;
use kernel::route::RouteTable;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::acme;
use crate::clock::Clock;
use crate::config::route_file::{Assertion, UpstreamProtocol};
use crate::config::{
    self, AcmeChallenge, ClientDemand, Config, EmailDomains, Enrolment, HstsScope, Protocol, ProxyProtocol, TlsProfile, Traces,
};
use crate::gateway::{EnrolmentPolicy, ListenerTrust, Snapshot};
use crate::idp::{EmailTrust, Idp, IdpSettings, SettingsFault};
use crate::limits::{self, Limits};
use crate::listener::{self, Bounds, ClientAuthority, Deadlines, Demand, Profile, Protocols, ProxyHeader, Revocation};
use crate::telemetry::traces::Sampler;
use crate::upstream::assertion::AssertionKey;
use crate::upstream::{self, Upstreams, WaySettings};

/// A configuration that reads well and still cannot be put in force on this machine.
#[derive(Debug, Error)]
pub enum CompileFault {
    #[error("[[idp]] {id:?}: {fault}")]
    Idp { id: String, fault: SettingsFault },
    #[error("tls.hsts makes no header")]
    Hsts,
}

/// What a snapshot grows from, beside the configuration.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    pub clock: &'a Clock,
    /// The snapshot in force: what was spent of its limits stays spent.
    pub previous: Option<&'a Snapshot>,
}

/// Makes the snapshot of a configuration.
pub fn snapshot(
    config: &Config,
    table: RouteTable,
    hash: Arc<str>,
    upstreams: Arc<Upstreams>,
    origin: Origin<'_>,
) -> Result<Snapshot, CompileFault> {
    let idps = config.idps.iter().map(|idp| make_idp(config, idp, origin.clock)).collect::<Result<_, _>>()?;
    let settings = limit_settings(config);
    let limits = match origin.previous {
        Some(previous) => previous.limits.reconfigured(settings),
        None => Limits::new(settings, limits::Ticker::machine()),
    };
    Ok(Snapshot {
        table,
        hash,
        idps,
        session: config.session,
        enrolment: match config.second_factor.enrolment {
            Enrolment::Invite => EnrolmentPolicy::Invite,
            Enrolment::FirstLogin { window } => EnrolmentPolicy::FirstLogin(window),
        },
        listeners: config.active_listeners().map(trust).collect(),
        limits: Arc::new(limits),
        ways: upstreams.ways(config.routes.iter().map(|route| way(config, route)).collect()),
        upstreams,
        hsts: hsts(config.tls.hsts)?,
        traces: match &config.traces {
            Traces::Off => None,
            Traces::To(receiver) => Some(Arc::new(Sampler::new(receiver))),
        },
        exchanges_max: config.limits.requests,
    })
}

fn hsts(hsts: config::Hsts) -> Result<HeaderValue, CompileFault> {
    let scope = match hsts.scope {
        HstsScope::Host => "",
        HstsScope::Subdomains => "; includeSubDomains",
        HstsScope::Preload => "; includeSubDomains; preload",
    };
    HeaderValue::from_str(&format!("max-age={}{scope}", hsts.max_age.as_secs())).map_err(|_| CompileFault::Hsts)
}

fn trust(listener: &config::Listener) -> ListenerTrust {
    ListenerTrust {
        name: (&*listener.name).into(),
        public_port: listener.public_port,
        trusted: TrustedProxies::new(listener.trusted_proxies.clone()),
    }
}

fn make_idp(config: &Config, idp: &config::Idp, clock: &Clock) -> Result<Arc<Idp>, CompileFault> {
    let origin = config.gateway.url.origin();
    let settings = IdpSettings {
        id: idp.id.to_string(),
        label: idp.label.to_string(),
        issuer: idp.issuer_text.to_string(),
        client_id: idp.client_id.to_string(),
        client_secret: Zeroizing::new(idp.client_secret.expose().to_owned()),
        scopes: idp.scopes.iter().map(ToString::to_string).collect(),
        groups_claim: Some(idp.groups_claim.to_string()),
        ca: idp.ca.as_ref().map(|ca| pem(&ca.certificates)),
        email_domains: match &idp.email_domains {
            EmailDomains::Any => None,
            EmailDomains::Listed(domains) => Some(domains.iter().map(ToString::to_string).collect()),
        },
        email_trust: match idp.trust_unverified_email {
            config::EmailTrust::VerifiedOnly => EmailTrust::VerifiedOnly,
            config::EmailTrust::UnverifiedToo => EmailTrust::AlsoUnverified,
        },
        redirect_uri: format!("{origin}/.portcullis/callback"),
        post_logout_redirect_uri: format!("{origin}/.portcullis/signed-out"),
    };
    let id = settings.id.clone();
    Idp::new(settings, clock.clone()).map(Arc::new).map_err(|fault| CompileFault::Idp { id, fault })
}

fn pem(certificates: &[rustls_pki_types::CertificateDer<'_>]) -> Vec<u8> {
    use base64::Engine;
    let mut text = String::new();
    for certificate in certificates {
        let body = base64::engine::general_purpose::STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for (at, character) in body.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                text.push('\n');
            }
            text.push(character);
        }
        text.push_str("\n-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

fn limit_settings(config: &Config) -> limits::Settings {
    limits::Settings {
        per_address: config.rate_limit.per_address.clone(),
        per_subject: config.rate_limit.per_subject.clone(),
        sign_in: config.rate_limit.sign_in.clone(),
        second_factor: config.rate_limit.second_factor.clone(),
        keys: LIMITER_KEYS,
    }
}

/// What the upstream room is told.
pub fn upstream_settings(config: &Config, assertion_key: &AssertionKey) -> upstream::Settings {
    upstream::Settings { gateway: config.gateway.url.origin(), assertion_key: assertion_key.clone(), own_listeners: own_addresses(config) }
}

/// How the upstreams of one route are reached: what its file says, and what it leaves open from `portcullis.toml`.
fn way(config: &Config, route: &config::RouteFile) -> WaySettings {
    let (rules, own) = (&config.upstream, &route.upstream);
    let roots = own.ca.as_ref().or(rules.ca.as_ref());
    WaySettings {
        route: route.name.clone(),
        upstreams: route.to.clone(),
        protocol: match own.protocol {
            UpstreamProtocol::Http1 => upstream::Protocol::Http1,
            UpstreamProtocol::Http2 => upstream::Protocol::Http2,
            UpstreamProtocol::Auto => upstream::Protocol::Auto,
        },
        assertion: match own.assertion {
            Assertion::Request => upstream::Vouch::EachRequest,
            Assertion::Session => upstream::Vouch::EachSession,
            Assertion::Off => upstream::Vouch::Never,
        },
        tls: upstream::Tls {
            name: own.tls_name.clone(),
            roots: roots.map(|roots| roots.certificates.clone()).unwrap_or_default(),
            certificate: own
                .certificate
                .as_ref()
                .map(|pair| Arc::new(upstream::ClientCertificate { chain: pair.chain.clone(), key: pair.private_key.clone_key() })),
        },
        limits: upstream::Limits {
            connect_timeout: own.connect_timeout.unwrap_or(rules.connect_timeout),
            first_byte_timeout: own.first_byte_timeout.unwrap_or(rules.first_byte_timeout),
            body_idle_timeout: own.idle_timeout.unwrap_or(rules.idle_timeout),
            body_bytes_max: own.body_max,
            body_rate_min: own.body_rate_min.unwrap_or(rules.body_rate_min),
            pool_idle_timeout: rules.idle_connection_timeout,
            pool_idle_max: rules.idle_connections,
            slow_start: own.slow_start.unwrap_or(rules.slow_start),
            ..upstream::Limits::default()
        },
        health: own.health.as_ref().map(|health| upstream::HealthCheck {
            path: health.path.clone(),
            host: health.host.clone(),
            interval: health.interval,
            timeout: health.timeout,
            unhealthy_after: health.unhealthy_after,
            healthy_after: health.healthy_after,
        }),
    }
}

/// What the room that obtains certificates is told.
pub fn acme_settings(config: &Config) -> Option<acme::Settings> {
    let asked = config.tls.acme.as_ref()?;
    Some(acme::Settings {
        directory: asked.directory.to_string(),
        contact: asked.contact.clone(),
        hosts: config.acme_hosts(),
        challenge: match asked.challenge {
            AcmeChallenge::TlsAlpn => acme::Challenge::TlsAlpn,
            AcmeChallenge::Http => acme::Challenge::Http,
        },
        roots: asked.roots.clone(),
    })
}

fn own_addresses(config: &Config) -> Vec<SocketAddr> {
    config.listeners.iter().map(|listener| listener.bind).chain([config.operations.bind]).chain(config.redirect.bind).collect()
}

/// What the listener room is told of one listener.
pub fn listener_settings(config: &Config, listener: &config::Listener) -> listener::Settings {
    let has = |protocol| listener.protocols.contains(&protocol);
    listener::Settings {
        name: (&*listener.name).into(),
        bind: listener.bind,
        protocols: match (has(Protocol::Http1), has(Protocol::Http2)) {
            (true, false) => Protocols::Http1,
            (false, true) => Protocols::Http2,
            (true, true) | (false, false) => Protocols::Http2AndHttp1,
        },
        trusted_proxies: TrustedProxies::new(listener.trusted_proxies.clone()),
        proxy_header: proxy_header(listener.proxy_protocol),
        bounds: bounds(config),
        deadlines: deadlines(config),
    }
}

/// The listener that only redirects.
pub fn redirect_settings(config: &Config, bind: SocketAddr) -> listener::RedirectSettings {
    listener::RedirectSettings {
        bind,
        bounds: bounds(config),
        deadlines: deadlines(config),
        trusted_proxies: TrustedProxies::new(config.redirect.trusted_proxies.clone()),
        proxy_header: proxy_header(config.redirect.proxy_protocol),
    }
}

const fn proxy_header(wanted: ProxyProtocol) -> ProxyHeader {
    match wanted {
        ProxyProtocol::Refused => ProxyHeader::Refuse,
        ProxyProtocol::Required => ProxyHeader::Require,
    }
}

/// How much of everything: for every listener the same, and connections and handshakes for all of them together.
pub fn bounds(config: &Config) -> Bounds {
    let limits = &config.limits;
    Bounds {
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        handshakes: limits.handshakes,
        streams: limits.streams,
        head_bytes: limits.header_bytes,
        head_fields: limits.header_count,
    }
}

pub fn deadlines(config: &Config) -> Deadlines {
    let limits = &config.limits;
    Deadlines {
        handshake: limits.handshake_timeout,
        head: limits.header_timeout,
        idle: limits.keep_alive_timeout,
        body_part: limits.body_timeout,
        write: limits.stalled_timeout,
        drain: limits.drain_timeout,
        ..Deadlines::default()
    }
}

/// The TLS that a listener speaks.
pub fn profile(config: &Config, listener: &config::Listener) -> Profile {
    match listener.tls_profile.unwrap_or(config.tls.profile) {
        TlsProfile::Modern => Profile::Modern,
        TlsProfile::Intermediate => Profile::Intermediate,
        TlsProfile::Bsi => Profile::Bsi,
        TlsProfile::Pci => Profile::Pci,
    }
}

/// Whose certificates a listener asks clients for.
pub fn clients(listener: &config::Listener) -> Option<ClientAuthority> {
    let config::ClientCertificates::Asked(authority) = &listener.client_certificates else { return None };
    let lists: Vec<_> = authority.crl.iter().flat_map(|file| file.lists.iter().cloned()).collect();
    Some(ClientAuthority {
        demand: match authority.demand {
            ClientDemand::Required => Demand::Required,
            ClientDemand::Optional => Demand::Optional,
        },
        roots: authority.ca.certificates.clone(),
        revocation: if lists.is_empty() { Revocation::Unchecked } else { Revocation::Listed(lists) },
    })
}

/// Keys that each limiter remembers: about 8 MiB for a full one.
const LIMITER_KEYS: usize = 65_536;
