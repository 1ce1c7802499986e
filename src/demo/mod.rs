//! A whole world on loopback: provider, upstreams, certificates and the gateway.
