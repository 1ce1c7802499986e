//! The span of a request, where requests are traced: begun when it is read, told of what came of it.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use kernel::policy::Reason;

use crate::gateway::visit::Visit;
use crate::gateway::{Gateway, Snapshot};
use crate::telemetry::traces::{self, Asking, Facts, context};

pub fn begin(gateway: &Gateway, snapshot: &Snapshot, visit: &Visit, head: &Parts) -> Option<Arc<traces::Request>> {
    let sampler = snapshot.traces.as_ref()?;
    gateway.tracer.begin(sampler, visit.request_id, context::given(&head.headers), visit.received)
}

/// Whose request it is, as far as is known by now.
pub const fn asking(visit: &Visit) -> Asking {
    if visit.person.is_some() { Asking::SignedIn } else { Asking::Stranger }
}

/// The head of the answer is made.
pub fn answered(snapshot: &Snapshot, visit: &Visit, status: StatusCode, reason: Option<Reason>) {
    let Some(trace) = &visit.trace else { return };
    // A host that nobody listed is the client's word.
    let listed = |request: &&Arc<kernel::request::CanonicalRequest>| visit.route.is_some() || request.authority == *snapshot.authority();
    let authority = visit.request.as_ref().filter(listed).map(|request| &request.authority);
    trace.answered(
        asking(visit),
        Facts {
            method: visit.method.clone(),
            version: visit.version,
            host: authority.map(|authority| (authority.host.to_string(), authority.port)),
            route: visit.route.as_ref().map(|route| route.id.to_string()),
            status: Some(status.as_u16()),
            reason: reason.map(Reason::code),
        },
    );
}
