//! Connections to upstreams and the exchange of one request.
