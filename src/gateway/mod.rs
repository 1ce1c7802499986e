//! What a running gateway holds: ports, the configuration snapshot, the context of a request.
