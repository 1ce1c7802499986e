//! Sockets, TLS and HTTP: bytes in, requests out.
