//! The room's tests, against upstreams in this process that speak raw bytes.
