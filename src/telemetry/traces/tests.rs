//! Whose word counts on whether a request is traced, and how many are.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config;

const NOW: Timestamp = Timestamp::from_seconds(7);
/// The traces of these two begin here, and one of a hundred is traced.
const DRAWN: RequestId = RequestId::new([0; 16]);
const NOT_DRAWN: RequestId = RequestId::new([1; 16]);

fn sampler(one_in: u32, per_second: u32) -> Sampler {
    let tls = config::SinkTls { server_name: "localhost".into(), authorities: config::Authorities::System, certificate: None };
    let endpoint = url::Url::parse("http://localhost:4318").unwrap();
    Sampler::new(&TraceReceiver { endpoint, tls, token: None, token_header: None, one_in, per_second })
}

#[track_caller]
fn check(request: RequestId, said: Option<Sampled>, asking: Asking, expected: Sampled) {
    // What a stranger names his trace with does not count.
    let parent = said.map(|sampled| Parent { trace: [0xff; 16], span: [1; 8], sampled });
    assert_eq!(sampler(100, 100).decide(request, parent.as_ref(), asking, NOW), expected);
}

#[test]
fn a_trace_that_begins_here_is_one_of_so_many() {
    for asking in [Asking::SignedIn, Asking::Stranger] {
        check(DRAWN, None, asking, Sampled::Yes);
        check(NOT_DRAWN, None, asking, Sampled::No);
    }
}

#[test]
fn the_flag_of_who_is_signed_in_counts_and_that_of_a_stranger_asks_for_no_more_than_a_draw() {
    check(NOT_DRAWN, Some(Sampled::Yes), Asking::SignedIn, Sampled::Yes);
    check(NOT_DRAWN, Some(Sampled::Yes), Asking::Stranger, Sampled::No);
    check(DRAWN, Some(Sampled::Yes), Asking::Stranger, Sampled::Yes);
}

#[test]
fn what_is_not_sampled_before_is_not_sampled_here() {
    for asking in [Asking::SignedIn, Asking::Stranger] {
        check(DRAWN, Some(Sampled::No), asking, Sampled::No);
    }
}

#[test]
fn a_second_has_room_for_so_many_whoever_asks() {
    let (sampler, parent) = (sampler(1, 2), Parent { trace: [1; 16], span: [1; 8], sampled: Sampled::Yes });
    let at = |second| sampler.decide(DRAWN, Some(&parent), Asking::SignedIn, Timestamp::from_seconds(second));
    assert_eq!([at(7), at(7), at(7), at(8)], [Sampled::Yes, Sampled::Yes, Sampled::No, Sampled::Yes]);
}
