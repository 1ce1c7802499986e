//! The life of a session: every event in every state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const RULES: SessionRules = SessionRules { idle_timeout: Duration::from_secs(1_800), absolute_timeout: Duration::from_secs(43_200) };
const EVENTS: [SessionEvent; 3] = [SessionEvent::Seen, SessionEvent::Reauthenticated, SessionEvent::End(EndReason::LogOut)];

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + seconds)
}

fn begun() -> SessionState {
    SessionState::begin(at(0))
}

fn check(state: SessionState, event: SessionEvent, now: Timestamp, expected: SessionState) {
    assert_eq!(advance(state, event, &RULES, now), expected, "{event:?} at {now}");
}

#[test]
fn a_session_begins_live_and_just_seen() {
    assert_eq!(begun(), SessionState { created: at(0), authenticated: at(0), last_seen: at(0), ended: None });
    assert!(begun().is_live());
}

#[test]
fn being_seen_moves_the_last_sight_alone() {
    check(begun(), SessionEvent::Seen, at(60), SessionState { last_seen: at(60), ..begun() });
}

#[test]
fn a_new_sign_in_moves_sign_in_and_sight() {
    check(begun(), SessionEvent::Reauthenticated, at(60), SessionState { last_seen: at(60), authenticated: at(60), ..begun() });
}

#[test]
fn an_end_keeps_its_reason_and_time() {
    check(begun(), SessionEvent::End(EndReason::Lock), at(5), SessionState { ended: Some((EndReason::Lock, at(5))), ..begun() });
}

#[test]
fn a_session_expires_when_idle_for_the_whole_time_and_not_before() {
    check(begun(), SessionEvent::Seen, at(1_799), SessionState { last_seen: at(1_799), ..begun() });
    for event in EVENTS {
        check(begun(), event, at(1_800), SessionState { ended: Some((EndReason::ExpireIdle, at(1_800))), ..begun() });
    }
}

#[test]
fn a_session_expires_absolutely_however_busy_it_is() {
    let busy = SessionState { last_seen: at(43_199), ..begun() };
    check(busy, SessionEvent::Seen, at(43_199), busy);
    for event in EVENTS {
        check(busy, event, at(43_200), SessionState { ended: Some((EndReason::ExpireAbsolute, at(43_200))), ..busy });
    }
}

#[test]
fn where_both_times_are_over_the_absolute_one_is_named() {
    check(begun(), SessionEvent::Seen, at(50_000), SessionState { ended: Some((EndReason::ExpireAbsolute, at(50_000))), ..begun() });
}

#[test]
fn a_clock_set_back_moves_no_time_back() {
    let state = SessionState { last_seen: at(100), authenticated: at(90), ..begun() };
    check(state, SessionEvent::Seen, at(50), state);
    check(state, SessionEvent::Reauthenticated, at(50), state);
}

#[test]
fn a_session_expires_at_the_earlier_of_its_two_ends() {
    assert_eq!(begun().expires(&RULES), at(1_800));
    let busy = SessionState { last_seen: at(43_000), ..begun() };
    assert_eq!(busy.expires(&RULES), at(43_200));
}

fn any_event() -> impl Strategy<Value = SessionEvent> {
    prop_oneof![
        4 => Just(SessionEvent::Seen),
        2 => Just(SessionEvent::Reauthenticated),
        1 => Just(SessionEvent::End(EndReason::Revoke)),
    ]
}

proptest! {
    #[test]
    fn an_ended_session_never_comes_back(events in proptest::collection::vec((any_event(), 0_u64..100_000), 1..30)) {
        let mut state = begun();
        for (event, seconds) in events {
            let next = advance(state, event, &RULES, at(seconds));
            if !state.is_live() {
                prop_assert_eq!(next, state);
            }
            if matches!(event, SessionEvent::End(_)) {
                prop_assert!(!next.is_live());
            }
            prop_assert!(next.last_seen >= state.last_seen && next.authenticated >= state.authenticated);
            prop_assert_eq!(next.created, state.created);
            state = next;
        }
    }

    #[test]
    fn a_session_is_live_exactly_until_it_expires(seen in 0_u64..43_200, later in 0_u64..60_000) {
        let state = SessionState { last_seen: at(seen), ..begun() };
        let now = at(seen.max(later));
        let next = advance(state, SessionEvent::Seen, &RULES, now);
        prop_assert_eq!(next.is_live(), now < state.expires(&RULES));
    }
}
