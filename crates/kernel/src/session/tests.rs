//! Tests of a session's life: its bounds to the microsecond, that an ended one never comes back, and its names
//! (OI-16, OI-17, OI-20).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::advance::{EndReason, SessionEvent, SessionRules, SessionState, advance};
use super::token::{Purpose, Token, TokenHash};
use super::{Pauses, SessionId, pauses};
use crate::request::host::Host;
use crate::time::Timestamp;

const RULES: SessionRules = SessionRules { idle_timeout: Duration::from_secs(100), absolute_timeout: Duration::from_secs(1_000) };

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn just_before(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000 - 1)
}

fn seen(state: SessionState, now: Timestamp) -> SessionState {
    advance(state, SessionEvent::Seen, &RULES, now)
}

#[test]
fn a_session_that_lies_idle_ends_at_that_very_moment() {
    let begun = SessionState::begin(at(0));
    assert!(begun.is_live());
    assert_eq!(seen(begun, just_before(100)), SessionState { last_seen: just_before(100), ..begun });
    assert_eq!(seen(begun, at(100)).ended, Some((EndReason::ExpireIdle, at(100))));
    assert!(!seen(begun, at(100)).is_live());
}

#[test]
fn a_session_ends_in_any_case_at_its_absolute_time() {
    let busy = SessionState { last_seen: at(950), ..SessionState::begin(at(0)) };
    assert!(seen(busy, just_before(1_000)).is_live());
    assert_eq!(seen(busy, at(1_000)).ended, Some((EndReason::ExpireAbsolute, at(1_000))));
}

#[test]
fn signing_in_again_begins_the_absolute_time_anew() {
    let busy = SessionState { last_seen: at(950), ..SessionState::begin(at(0)) };
    let again = advance(busy, SessionEvent::Reauthenticated, &RULES, at(960));
    assert_eq!(again, SessionState { last_seen: at(960), authenticated: at(960), ..busy });
    assert!(seen(again, at(1_050)).is_live());
}

#[test]
fn an_event_that_comes_too_late_does_not_keep_a_session_alive() {
    let begun = SessionState::begin(at(0));
    for event in [SessionEvent::Seen, SessionEvent::Reauthenticated, SessionEvent::End(EndReason::LogOut)] {
        assert_eq!(advance(begun, event, &RULES, at(100)).ended, Some((EndReason::ExpireIdle, at(100))), "{event:?}");
        assert_eq!(advance(begun, event, &RULES, at(1_000)).ended, Some((EndReason::ExpireAbsolute, at(1_000))), "{event:?}");
    }
}

#[test]
fn an_end_has_its_reason_and_time() {
    let ended = advance(SessionState::begin(at(0)), SessionEvent::End(EndReason::Revoke), &RULES, at(5));
    assert_eq!(ended, SessionState { ended: Some((EndReason::Revoke, at(5))), ..SessionState::begin(at(0)) });
}

#[test]
fn a_clock_set_back_moves_no_time_back() {
    let later = SessionState { last_seen: at(50), authenticated: at(40), ..SessionState::begin(at(40)) };
    assert_eq!(seen(later, at(10)), later);
    assert_eq!(advance(later, SessionEvent::Reauthenticated, &RULES, at(10)), later);
}

#[test]
fn a_session_expires_at_the_nearer_of_its_two_ends() {
    let begun = SessionState::begin(at(0));
    assert_eq!(begun.expires(&RULES), at(100));
    assert_eq!(SessionState { last_seen: at(950), ..begun }.expires(&RULES), at(1_000));
}

#[test]
fn an_id_is_read_as_it_is_written_only() {
    let id = SessionId::new([0xab; 16]);
    let text = "ab".repeat(16);
    assert_eq!((id.to_string(), format!("{id:?}"), id.as_bytes()), (text.clone(), text.clone(), &[0xab; 16]));
    assert_eq!(SessionId::parse(&text), Some(id));
    for wrong in [
        text.to_uppercase(),
        text[1..].to_owned(),
        format!("{text}a"),
        format!("+{}", &text[1..]),
        format!(" {}", &text[1..]),
        String::new(),
    ] {
        assert_eq!(SessionId::parse(&wrong), None, "{wrong}");
    }
}

#[test]
fn a_token_is_read_in_one_form_and_never_shown() {
    let token = Token::new([0xff; 32]);
    let text = token.text();
    assert_eq!(text.len(), 43);
    assert!(Token::parse(&text).unwrap() == token);
    assert_eq!(format!("{token:?}"), "***");
    // The last of the 43 characters holds four bits and two that must be zero.
    let loose = format!("{}_", &text[..42]);
    for wrong in [
        format!("{text}="),
        text[..42].to_owned(),
        format!("{text}A"),
        format!(" {}", &text[1..]),
        format!("+{}", &text[1..]),
        loose,
        String::new(),
    ] {
        assert!(Token::parse(&wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_token_for_one_purpose_or_host_finds_nothing_for_another() {
    let token = Token::new([7; 32]);
    let (one, other) = (Host::parse("a.test").unwrap(), Host::parse("b.test").unwrap());
    let hashes: std::collections::BTreeSet<_> =
        [Purpose::Cookie(&one), Purpose::Cookie(&other), Purpose::State, Purpose::Return, Purpose::Finish, Purpose::Invite]
            .into_iter()
            .map(|purpose| token.hash(purpose))
            .collect();
    assert_eq!(hashes.len(), 6);
    assert_ne!(token.hash(Purpose::State), Token::new([8; 32]).hash(Purpose::State));
    let hash = token.hash(Purpose::State);
    assert_eq!(TokenHash::from_bytes(*hash.as_bytes()), hash);
    assert_eq!(format!("{:?}", TokenHash::from_bytes([0xab; 32])), "abababab");
}

#[test]
fn a_pause_of_a_minute_counts_and_a_shorter_one_does_not() {
    let mut pauses = Pauses::default();
    pauses.note(at(0), just_before(60));
    assert_eq!(pauses.resumed_after(Duration::ZERO), None);
    pauses.note(at(0), at(60));
    assert_eq!(pauses.resumed_after(pauses::SHORTEST), Some(at(60)));
}

#[test]
fn a_pause_as_long_as_one_before_takes_its_place() {
    let mut pauses = Pauses::default();
    pauses.note(at(0), at(100));
    pauses.note(at(200), at(300));
    assert_eq!(pauses.resumed_after(Duration::from_secs(100)), Some(at(300)));
}

fn any_event() -> impl Strategy<Value = SessionEvent> {
    prop_oneof![
        4 => Just(SessionEvent::Seen),
        2 => Just(SessionEvent::Reauthenticated),
        1 => prop_oneof![
            Just(EndReason::LogOut),
            Just(EndReason::IdpLogOut),
            Just(EndReason::Revoke),
            Just(EndReason::Replace),
            Just(EndReason::Lock),
        ]
        .prop_map(SessionEvent::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_ended_session_never_comes_back_nor_changes(events in prop::collection::vec((any_event(), 0..2_000_u64), 1..40)) {
        let mut state = SessionState::begin(at(500));
        for (event, now) in events {
            let next = advance(state, event, &RULES, at(now));
            if !state.is_live() {
                prop_assert_eq!(next, state);
            }
            if matches!(event, SessionEvent::End(_)) {
                prop_assert!(!next.is_live());
            }
            prop_assert!(next.last_seen >= state.last_seen && next.authenticated >= state.authenticated && next.created == state.created);
            prop_assert!(!next.is_live() || at(now) < state.expires(&RULES) || at(now) < state.last_seen);
            state = next;
        }
    }

    #[test]
    fn every_pause_that_a_class_asks_about_is_remembered(lengths in prop::collection::vec(60..2_000_u64, 1..30), idle in 60..2_000_u64) {
        let mut pauses = Pauses::default();
        let (mut now, mut last) = (at(0), None);
        for length in lengths {
            let resumed = now.plus(Duration::from_secs(length));
            pauses.note(now, resumed);
            if length >= idle {
                last = Some(resumed);
            }
            now = resumed.plus(Duration::from_secs(1));
        }
        // A full list may name a later moment, which asks for a factor again; never an earlier one, which would not.
        prop_assert!(pauses.resumed_after(Duration::from_secs(idle)) >= last);
    }

    #[test]
    fn no_text_but_a_tokens_own_is_a_token(text in "[A-Za-z0-9_=+/-]{0,50}") {
        if let Some(token) = Token::parse(&text) {
            prop_assert_eq!(token.text(), text);
        }
    }
}
