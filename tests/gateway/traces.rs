//! Traces: what a receiver of spans gets, what an upstream is told, and that neither slows or fails a request.

use std::sync::Arc;

use serde_json::Value;

use crate::support::{APP, GATE, Manner, PUB, Setup, SpanReceiver, UNLISTED, World};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

async fn world(receiver: &SpanReceiver, more: &str) -> Arc<World> {
    let traces = format!("[traces]\nendpoint = \"https://localhost:{}/otlp\"\nca = \"spans.pem\"\n{more}\n", receiver.port);
    World::with(Setup { more: traces, files: vec![("spans.pem", receiver.certificate.clone())], ..Setup::default() }).await
}

fn traceparent(flags: &str) -> String {
    format!("Traceparent: 00-{TRACE}-{PARENT}-{flags}\r\nTracestate: a=b\r\n")
}

/// What the upstream got of the latest request.
fn told(world: &World, name: &str) -> Option<String> {
    let head = world.upstream.received().pop().expect("the upstream was asked");
    let of_it = |line: &str| line.split_once(": ").filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned());
    head.lines().find_map(of_it)
}

fn attribute(span: &Value, name: &str) -> Option<String> {
    let found = span["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == name)?;
    let value = &found["value"];
    Some(value["stringValue"].as_str().or_else(|| value["intValue"].as_str()).unwrap().to_owned())
}

/// The attributes that must stand so; the last ones must not stand at all.
#[track_caller]
fn check(span: &Value, present: &[(&str, &str)], absent: &[&str]) {
    for (name, value) in present {
        assert_eq!(attribute(span, name).as_deref(), Some(*value), "{name} of {span}");
    }
    for name in absent {
        assert_eq!(attribute(span, name), None, "{span}");
    }
}

fn nanos(span: &Value, name: &str) -> u64 {
    span[name].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_exchange_are_two_spans_of_the_clients_trace() {
    let receiver = SpanReceiver::start().await;
    let world = world(&receiver, "one_in = 1000000").await;
    let cookie = world.seat(APP, &["staff"]).await;
    let more = format!("Cookie: __Host-portcullis={cookie}\r\n{}", traceparent("01"));
    let answer = world.wire(APP).await.ask("GET", "/secret-path?token=secret-query", APP, &more).await.unwrap();
    assert_eq!(answer.status, 200);
    let parent = told(&world, "traceparent").unwrap();
    assert!(world.records().iter().any(|record| record.to_string().contains("secret-path")));
    let upstream = world.upstream.address;
    world.server().stop().await;
    let (path, fields, body) = receiver.requests().pop().unwrap();
    assert_eq!(path, "/otlp/v1/traces");
    assert!(fields.contains("application/json") && !body.contains("secret-") && !body.contains("alice"), "{body}");
    let batch: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(attribute(&batch["resourceSpans"][0]["resource"], "service.name").unwrap(), "portcullis");
    let spans = receiver.spans();
    let [call, request] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((request["kind"].as_u64(), call["kind"].as_u64()), (Some(2), Some(3)));
    assert_eq!((request["name"].as_str(), call["name"].as_str()), (Some("GET app"), Some("GET")));
    assert_eq!((&request["traceId"], &call["traceId"]), (&TRACE.into(), &TRACE.into()));
    assert_eq!((&request["parentSpanId"], &call["parentSpanId"]), (&PARENT.into(), &request["spanId"]));
    assert_eq!(parent, format!("00-{TRACE}-{}-01", call["spanId"].as_str().unwrap()), "the upstream's parent is the exchange");
    assert!(request["status"].get("code").is_none() && call["status"].get("code").is_none());
    let inside = [nanos(request, "startTimeUnixNano"), nanos(call, "startTimeUnixNano"), nanos(call, "endTimeUnixNano")];
    assert!(inside.is_sorted() && inside[2] <= nanos(request, "endTimeUnixNano"), "{spans:?}");
    let host = upstream.ip().to_string();
    check(
        request,
        &[
            ("http.request.method", "GET"),
            ("http.response.status_code", "200"),
            ("http.route", "app"),
            ("server.address", APP),
            ("server.port", "443"),
            ("url.scheme", "https"),
            ("network.protocol.version", "1.1"),
        ],
        &["error.type", "portcullis.reason", "url.path", "url.query"],
    );
    let port = upstream.port().to_string();
    check(call, &[("server.address", &host), ("server.port", &port), ("url.scheme", "http")], &["error.type", "url.full"]);
    assert!(world.recorded(&[&attribute(request, "portcullis.request_id").unwrap(), "secret-path"]) > 0, "the record is found by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_forces_no_trace_and_nobody_undoes_a_decision_that_was_made_before() {
    let receiver = SpanReceiver::start().await;
    let world = world(&receiver, "one_in = 1000000").await;
    let given = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
    // What is not traced here is passed on as it came.
    for (flags, cookie) in [("01", String::new()), ("00", world.seat(PUB, &["staff"]).await)] {
        let more = format!("Cookie: __Host-portcullis={cookie}\r\n{}", traceparent(flags));
        assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, &more).await.unwrap().status, 200);
        assert_eq!(told(&world, "traceparent"), Some(given(flags)));
    }
    // A trace that begins here and is not traced says so.
    assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap().status, 200);
    let begun = told(&world, "traceparent").unwrap();
    assert!(begun.starts_with("00-") && begun.ends_with("-00"), "{begun}");
    world.server().stop().await;
    assert!(receiver.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_and_what_fails_has_its_reason_in_its_span() {
    let receiver = SpanReceiver::start().await;
    let world = world(&receiver, "one_in = 1").await;
    assert_eq!(world.wire(APP).await.ask("GET", "/x", APP, "Accept: */*\r\n").await.unwrap().status, 401);
    assert_eq!(world.wire(UNLISTED).await.ask("BREW", "/x", UNLISTED, "Accept: */*\r\n").await.unwrap().status, 401);
    assert_eq!(world.wire(GATE).await.ask("GET", "/.portcullis/jwks.json", GATE, "").await.unwrap().status, 200);
    world.upstream.answer_with(Manner::Bytes(b"this is no HTTP\r\n\r\n".to_vec()));
    assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap().status, 502);
    world.upstream.answer_with(Manner::Bytes(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec()));
    assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap().status, 500);
    world.server().stop().await;
    let spans = receiver.spans();
    let [refused, unlisted, own, broken_call, broken, failed_call, failed] = &spans[..] else { panic!("{spans:#?}") };
    let code = |span: &Value| span["status"]["code"].as_u64();
    check(refused, &[("http.response.status_code", "401"), ("portcullis.reason", "no_session"), ("http.route", "app")], &["error.type"]);
    // What a client makes up makes no name.
    check(unlisted, &[("http.request.method", "_OTHER"), ("portcullis.reason", "unknown_host")], &["server.address", "http.route"]);
    assert_eq!((unlisted["name"].as_str(), own["name"].as_str()), (Some("_OTHER"), Some("GET")));
    check(own, &[("server.address", GATE)], &["http.route", "portcullis.reason"]);
    let invalid = ("error.type", "upstream_answer_invalid");
    check(broken_call, &[invalid], &["http.response.status_code"]);
    check(broken, &[invalid, ("http.response.status_code", "502"), ("portcullis.reason", "upstream_answer_invalid")], &[]);
    check(failed_call, &[("error.type", "500"), ("http.response.status_code", "500")], &[]);
    check(failed, &[("error.type", "500")], &["portcullis.reason"]);
    let codes: Vec<_> = spans.iter().map(code).collect();
    assert_eq!(codes, [None, None, None, Some(2), Some(2), Some(2), Some(2)]);
    assert!(spans.iter().all(|span| span["traceId"].as_str().unwrap().len() == 32));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_or_that_nobody_vouches_for_costs_spans_and_no_request() {
    let receiver = SpanReceiver::start().await;
    let world = world(&receiver, "one_in = 1").await;
    let dropped = |world: &World, count: u64| {
        let text = world.server().gateway().metrics.text();
        text.contains(&format!("portcullis_traces_dropped_total {count}\n"))
    };
    // Refused for good, so that it is not tried again.
    receiver.answer_with(400);
    assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap().status, 200);
    world.until(|world| dropped(world, 2).then_some(())).await;
    receiver.answer_with(200);
    // Without its certificate among the roots, TLS does not come about; at the stop nothing is tried again.
    let heard = receiver.requests().len();
    world.rewrite_main(|main| main.replace("ca = \"spans.pem\"", "ca = \"gate.pem\"")).await;
    assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap().status, 200);
    world.server().stop().await;
    assert!(dropped(&world, 4), "{}", world.server().gateway().metrics.text());
    assert_eq!(receiver.requests().len(), heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn tracing_is_begun_and_ended_by_a_reload() {
    let receiver = SpanReceiver::start().await;
    let world = world(&receiver, "one_in = 1").await;
    let ask = async || {
        assert_eq!(world.wire(PUB).await.ask("GET", "/open/x", PUB, "").await.unwrap().status, 200);
        told(&world, "traceparent").unwrap()
    };
    ask().await;
    world.until(|_| (receiver.spans().len() == 2).then_some(())).await;
    world.rewrite_main(|main| main.split("[traces]").next().unwrap().to_owned()).await;
    assert!(ask().await.ends_with("-01"), "a trace is begun for who stands behind, as ever");
    world.server().stop().await;
    assert_eq!(receiver.spans().len(), 2);
    let metrics = world.server().gateway().metrics.text();
    assert!(
        metrics.contains("portcullis_traces_exported_total 2\n") && metrics.contains("portcullis_traces_dropped_total 0\n"),
        "{metrics}"
    );
}
