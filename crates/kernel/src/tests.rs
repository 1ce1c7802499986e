//! Tests of the places to return to, of refusals and their answers, of times, rates and records (RD, section 5 of the
//! contract).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use crate::Unreachable;
use crate::event::{
    AccountChange, AccountFacts, AuthenticationFacts, AuthenticationStep, Body, ChangedBy, EntityChange, EntityFacts, ExchangeFacts,
    ExchangeKind, ExchangeOutcome, LifecycleChange, LifecycleFacts, Weight,
};
use crate::identity::assurance::{Requirement, Strength};
use crate::policy::Reason;
use crate::policy::decide::{Challenge, StepUp};
use crate::quota::{Rate, RateFault};
use crate::redirect::{Fragment, ReturnPlace};
use crate::request::framing::FramingFault;
use crate::request::headers::HeaderFault;
use crate::request::host::Authority;
use crate::request::path::{CanonicalPath, PathFault};
use crate::request::{ReadFault, RequestFault, RequestId};
use crate::route::RouteId;
use crate::time::Timestamp;
use crate::{Failure, Refusal, Rejection};

fn place(path: &str, query: Option<&str>, fragment: Option<&str>) -> ReturnPlace {
    ReturnPlace {
        authority: Authority::parse("app.test:8443").unwrap(),
        path: CanonicalPath::parse(path).unwrap(),
        query: query.map(Into::into),
        fragment: fragment.map(|text| Fragment::parse(text).unwrap()),
    }
}

#[test]
fn a_place_to_return_to_is_rebuilt_from_its_parts() {
    assert_eq!(place("/a/b", Some("c=d"), Some("e")).to_string(), "https://app.test:8443/a/b?c=d#e");
    assert_eq!(place("/a", None, None).on_host(), "/a");
    assert_eq!(place("/a", Some(""), None).on_host(), "/a?");
    assert_eq!(place("/", None, Some("/x?y")).on_host(), "/#/x?y");
}

#[test]
fn a_fragment_is_printable_and_bounded() {
    assert!(Fragment::parse(&"a".repeat(2_048)).is_some());
    for text in ["", " ", "a b", "a\r\nSet-Cookie: x", "a\0", "\u{e9}", &"a".repeat(2_049)] {
        assert!(Fragment::parse(text).is_none(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_place_to_return_to_stays_on_its_host(raw in "/[ -~]{0,20}", query in prop::option::of("[!-~&&[^#]]{0,20}"), fragment in prop::option::of("[!-~]{1,20}")) {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let place = ReturnPlace { path, ..place("/", query.as_deref(), fragment.as_deref()) };
            let location = place.on_host();
            prop_assert!(location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\"), "{}", location);
            prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{}", location);
            prop_assert!(place.to_string().starts_with("https://app.test:8443/"));
        }
    }
}

#[track_caller]
fn check(refusal: impl Into<Refusal>, status: u16, reason: Reason) {
    let refusal = refusal.into();
    assert_eq!((refusal.status().as_u16(), refusal.reason()), (status, reason), "{refusal:?}");
    assert!(!refusal.to_string().is_empty());
}

#[test]
fn every_refusal_of_theirs_has_its_status_and_reason() {
    let step_up =
        Challenge::StepUp { requirement: Requirement { strength: Strength::Any, max_age: Duration::ZERO }, reason: StepUp::TooOld };
    check(Rejection::Malformed(PathFault::DotSegment.into()), 400, Reason::MalformedRequest);
    check(Rejection::Malformed(FramingFault::TargetTooLong.into()), 414, Reason::MalformedRequest);
    check(Rejection::Misdirected, 421, Reason::Misdirected);
    check(Rejection::UnknownHost, 401, Reason::UnknownHost);
    check(Rejection::Challenge(Challenge::SignIn), 401, Reason::NoSession);
    check(Rejection::Challenge(Challenge::SecondFactor), 401, Reason::SecondFactorRequired);
    check(Rejection::Challenge(step_up), 403, Reason::FactorTooOld);
    check(Rejection::Forbidden(Reason::NoRule), 403, Reason::NoRule);
    check(Rejection::Forbidden(Reason::UnknownHost), 404, Reason::UnknownHost);
    check(Rejection::Throttled { retry_after: Duration::from_secs(1) }, 429, Reason::RateLimited);
    check(Rejection::NoPage(Reason::MethodNotAllowed), 405, Reason::MethodNotAllowed);
    check(Rejection::NoPage(Reason::NoSuchPage), 404, Reason::NoSuchPage);
    check(Rejection::BadSubmission(Reason::FactorCodeWrong), 400, Reason::FactorCodeWrong);
    check(Rejection::TooLarge, 413, Reason::BodyTooLarge);
    check(Rejection::TooSlow, 408, Reason::BodyTooSlow);
    check(Rejection::Loop, 508, Reason::LoopDetected);
    check(Rejection::Malformed(RequestFault::Header(HeaderFault::Expectation)), 417, Reason::MalformedRequest);
    assert_eq!(Refusal::from(ReadFault::Misdirected), Refusal::from(Rejection::Misdirected));
    assert_eq!(Refusal::from(ReadFault::Malformed(RequestFault::Query)), Refusal::from(Rejection::Malformed(RequestFault::Query)));
}

#[test]
fn every_failure_of_ours_has_its_status_and_reason() {
    let text = || "x".to_owned();
    check(Failure::Audit, 503, Reason::AuditUnavailable);
    check(Failure::Store(text()), 503, Reason::StoreUnavailable);
    check(Failure::Idp(text()), 503, Reason::IdpUnavailable);
    check(Failure::Overloaded, 503, Reason::Overloaded);
    for why in [Unreachable::Name, Unreachable::AddressRefused, Unreachable::Connection, Unreachable::Tls] {
        check(Failure::UpstreamUnreachable { why, detail: text() }, 502, Reason::UpstreamUnreachable);
    }
    check(Failure::UpstreamUnreachable { why: Unreachable::TimedOut, detail: text() }, 504, Reason::UpstreamTimedOut);
    check(Failure::UpstreamAnswer(text()), 502, Reason::UpstreamAnswerInvalid);
    check(Failure::UpstreamTimedOut(Duration::from_secs(1)), 504, Reason::UpstreamTimedOut);
    check(Failure::Bug("x"), 500, Reason::InternalError);
}

#[test]
fn every_fault_of_framing_has_a_status_of_the_clients() {
    use FramingFault as Fault;
    let plain = [Fault::RequestLine, Fault::TargetForm, Fault::BareLineFeed, Fault::TwoLengths, Fault::ChunkSize, Fault::LengthLookAlike];
    let large = [Fault::HeadTooLarge, Fault::TooManyFields, Fault::NameTooLong, Fault::TrailersTooLarge];
    assert!(plain.iter().all(|fault| fault.status() == StatusCode::BAD_REQUEST));
    assert!(large.iter().all(|fault| fault.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    assert_eq!(Fault::TargetTooLong.status(), StatusCode::URI_TOO_LONG);
    assert_eq!(Fault::Version.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
}

#[test]
fn only_records_of_requests_may_wait_for_the_disk() {
    let lifecycle = Body::Lifecycle(Box::new(LifecycleFacts { change: LifecycleChange::Start, detail: None }));
    let entity = Body::Entity(Box::new(EntityFacts {
        change: EntityChange::RevokeSessions { sessions: Vec::new() },
        by: ChangedBy::Gateway,
        failure: None,
    }));
    let account = Body::Account(Box::new(AccountFacts {
        request_id: None,
        change: AccountChange::Lock,
        failure: None,
        subject: None,
        email: None,
        by: ChangedBy::Operator { uid: 0 },
        client: None,
    }));
    let authentication = Body::Authentication(Box::new(AuthenticationFacts {
        request_id: None,
        step: AuthenticationStep::SignOut,
        failure: None,
        detail: None,
        idp: None,
        actor: None,
        client: None,
        user_agent: None,
    }));
    let exchange = Body::Exchange(Box::new(ExchangeFacts {
        request_id: RequestId::new([0; 16]),
        kind: ExchangeKind::Http,
        route: RouteId::new("app"),
        status: None,
        outcome: ExchangeOutcome::Complete,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        upstream: None,
        reason: None,
    }));
    assert_eq!(exchange.weight(), Weight::Configured);
    for body in [lifecycle, entity, account, authentication] {
        assert_eq!(body.weight(), Weight::Synced, "{body:?}");
    }
}

#[test]
fn rates_are_read_in_three_units() {
    let rate = |text: &str| Rate::parse(text).map(|rate| (rate.count.get(), rate.per.as_secs(), rate.burst.get()));
    assert_eq!(rate("20/s"), Ok((20, 1, 20)));
    assert_eq!(rate("10 / m"), Ok((10, 60, 10)));
    assert_eq!(rate("100/h"), Ok((100, 3_600, 100)));
    assert_eq!(rate("0/s"), Err(RateFault::Zero));
    for text in ["", "20", "/s", "20/", "20/d", "20/S", "-1/s", "1.5/s", "4294967296/s", "20/s/s"] {
        assert_eq!(rate(text), Err(RateFault::Form), "{text}");
    }
    assert_eq!(Rate::parse("20/s").unwrap().interval(), Duration::from_millis(50));
}

#[test]
fn times_saturate_and_count_in_their_units() {
    let time = Timestamp::from_micros(1_234_567);
    assert_eq!((time.as_micros(), time.as_millis(), time.as_seconds()), (1_234_567, 1_234, 1));
    assert_eq!(Timestamp::from_seconds(u64::MAX).plus(Duration::MAX), Timestamp::from_micros(u64::MAX));
    assert_eq!(time.minus(Duration::from_secs(2)), Timestamp::EPOCH);
    assert_eq!(time.plus(Duration::from_micros(3)).since(time), Duration::from_micros(3));
    assert_eq!(time.minus(Duration::from_micros(567)), Timestamp::from_micros(1_234_000));
    assert_eq!(Timestamp::from_micros(u64::MAX).to_string(), format!("{}us", u64::MAX));
}
