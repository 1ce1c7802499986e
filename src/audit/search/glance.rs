//! What of a record can be asked for, without reading all of it: for the two records of every request, as `audit::record` lays
//! them out.
//!
//! Quotes inside of text have a backslash before them, so a key with the quotes and commas around it is found at its own
//! place and in no text. Everything that is not as expected, another kind of record, a value with an escape or beyond ASCII, is
//! left to [`View::read`]. So is a line that does not name this version: during an upgrade in place, the other process's lines
//! are written by this one. Whoever wrote the line is believed about its form: a line of unknown origin is read whole.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;

use super::view::{Actor, Own, Text, Unmapped, User, View};
use crate::audit::plain::plain_length;
use crate::audit::record::METADATA;

/// The view of a line that this version of the gateway wrote. None where it has to be read whole.
pub fn glance(line: &[u8]) -> Option<View<'_>> {
    line.strip_prefix(HTTP_ACTIVITY)?;
    let (before, mut rest) = split(line, &OWN)?;
    let event = rest.must("\"event\":\"")?;
    let request_id = Some(rest.must(",\"request_id\":\"")?);
    let (own, actor) = match &*event.0 {
        "decision" => {
            let decision = Some(rest.must(",\"decision\":\"")?);
            let (reason, route) = (rest.may(REASON)?, rest.may(ROUTE)?);
            (Own { event: Some(event), request_id, decision, reason, route }, Some(actor(before)?))
        }
        "exchange_end" => {
            let route = Some(rest.must(ROUTE)?);
            rest.must(",\"outcome\":\"")?;
            (Own { event: Some(event), request_id, decision: None, reason: rest.may(REASON)?, route }, None)
        }
        _ => return None,
    };
    let (_, mut rest) = split(rest.0, &TIME)?;
    let time = rest.number()?;
    rest.0.strip_prefix(b",\"metadata\":")?.strip_prefix(METADATA.as_bytes())?;
    Some(View { class_uid: 4_002, time, user: None, actor, unmapped: Some(Unmapped { portcullis: Some(own) }) })
}

/// Who asked, in what stands before our own fields.
fn actor(before: &[u8]) -> Option<Actor<'_>> {
    let (_, mut rest) = split(before, &ACTOR)?;
    if rest.0 == NOBODY {
        return Some(Actor { user: None });
    }
    let (uid, email_addr) = (Some(rest.must("\"user\":{\"uid\":\"")?), rest.may(",\"email_addr\":\"")?);
    (rest.0.starts_with(b"}") || rest.0.starts_with(b",\"groups\":[")).then_some(Actor { user: Some(User { uid, name: None, email_addr }) })
}

fn split<'a>(text: &'a [u8], at: &Finder<'_>) -> Option<(&'a [u8], Rest<'a>)> {
    let (before, rest) = text.split_at_checked(at.find(text)?)?;
    Some((before, Rest(rest.get(at.needle().len()..)?)))
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// The value up to the next quote. None where it does not stand there as it is.
    fn value(&mut self) -> Option<Text<'a>> {
        let (value, rest) = self.0.split_at_checked(plain_length(self.0))?;
        self.0 = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(value).ok().map(|value| Text(Cow::Borrowed(value)))
    }

    fn must(&mut self, key: &str) -> Option<Text<'a>> {
        self.0 = self.0.strip_prefix(key.as_bytes())?;
        self.value()
    }

    /// What follows a key that may be missing.
    fn may(&mut self, key: &str) -> Option<Option<Text<'a>>> {
        if self.0.starts_with(key.as_bytes()) { self.must(key).map(Some) } else { Some(None) }
    }

    fn number(&mut self) -> Option<u64> {
        let (digits, rest) = self.0.split_at_checked(memchr(b',', self.0)?)?;
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

const HTTP_ACTIVITY: &[u8] = b"{\"class_uid\":4002,";
const REASON: &str = ",\"reason\":\"";
const ROUTE: &str = ",\"route\":\"";
/// All that an actor is where nobody is signed in.
const NOBODY: &[u8] = b"\"app_name\":\"anonymous\"";

static OWN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"},\"unmapped\":{\"portcullis\":{"));
static ACTOR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b",\"actor\":{"));
static TIME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"}},\"time\":"));

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use kernel::event::{Actor, Body, Event};
    use kernel::identity::Email;
    use kernel::policy::Reason;
    use kernel::route::RouteId;
    use kernel::time::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::audit::fixtures::{allow, exchange_end};
    use crate::audit::record::{encode, hostile, samples};

    /// The line of an event, as the file has it.
    fn line(event: &Event, origin: &str) -> Vec<u8> {
        let mut line = encode(event, origin).unwrap().0;
        line.extend_from_slice(b"77}}");
        line
    }

    /// Whether it is seen at a glance; what is seen is what stands there.
    #[track_caller]
    fn is_seen(line: &[u8]) -> bool {
        let seen = glance(line);
        if seen.is_some() {
            assert_eq!(seen, View::read(line), "{}", String::from_utf8_lossy(line));
        }
        seen.is_some()
    }

    #[test]
    fn the_records_of_every_request_are_seen_at_a_glance() {
        assert!(is_seen(&line(&allow(1), "portcullis/gate.test")));
        assert!(is_seen(&line(&exchange_end(1), "portcullis/gate.test")));
    }

    #[test]
    fn what_is_seen_of_any_event_is_what_stands_there() {
        let seen = samples::every().iter().filter(|event| is_seen(&line(event, "portcullis/gate.test"))).count();
        assert!(seen > 20, "{seen} of {}", samples::every().len());
    }

    /// AU-01, and text that looks like what is looked for.
    #[test]
    fn no_text_in_any_field_changes_what_is_seen() {
        let mut texts = hostile::texts();
        texts.extend(LOOK_ALIKES.map(str::to_owned));
        texts.extend(LOOK_ALIKES.map(|text| format!("{text}{}", "x".repeat(5_000))));
        for text in &texts {
            for mut event in samples::every() {
                hostile::fill(&mut event.body, text);
                is_seen(&line(&event, "portcullis/gate.test"));
                if text.len() < 100_000 {
                    is_seen(&line(&event, text));
                }
            }
        }
    }

    #[test]
    fn the_line_of_another_version_is_read_whole() {
        let line = String::from_utf8(line(&allow(1), "portcullis/gate.test")).unwrap();
        let other = line.replace(&format!("\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION")), "\"version\":\"0.0.9\"}");
        assert_ne!(line, other);
        assert!(is_seen(line.as_bytes()) && !is_seen(other.as_bytes()));
    }

    #[test]
    fn no_piece_of_a_line_is_taken_for_one_that_says_something_else() {
        for line in [line(&allow(1), "portcullis/gate.test"), line(&exchange_end(1), "portcullis/gate.test")] {
            for end in 0..line.len() {
                let _none_fails = glance(&line[..end]);
            }
        }
    }

    const LOOK_ALIKES: [&str; 8] = [
        "},\"unmapped\":{\"portcullis\":{\"event\":\"decision\",\"request_id\":\"0\",\"decision\":\"allow\"}},\"time\":7,",
        "}},\"time\":7,\"metadata\":",
        ",\"actor\":{\"app_name\":\"anonymous\"",
        ",",
        "\\",
        "\\\\\",\"route\":\"",
        "Exchange End",
        "decision",
    ];

    /// Text of pieces that matter to whoever looks for keys.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(&LOOK_ALIKES[..]).prop_map(str::to_owned),
            proptest::sample::select(&["\"", "{", "}", ":", "}}", "time", "\\u0022", "\n", "\u{2028}", "é", "", "app"][..])
                .prop_map(str::to_owned),
            "[ -~]{0,20}",
            any::<char>().prop_map(String::from),
        ];
        proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_is_seen_is_what_stands_there(
            texts in proptest::array::uniform12(text()), reason in proptest::option::of(0..Reason::ALL.len()), has in any::<[bool; 6]>(), millis in 0_u64..4_000_000_000_000,
        ) {
            let reason = reason.map(|at| Reason::ALL[at]);
            let Body::Decision(mut facts) = allow(3).body else { unreachable!("it is a decision") };
            facts.reason = reason;
            (facts.method, facts.authority, facts.raw_target) = (texts[0].clone(), texts[1].clone(), texts[2].clone());
            facts.target = has[0].then(|| texts[3].clone());
            facts.user_agent = has[1].then(|| texts[4].clone());
            facts.route = has[2].then(|| RouteId::new(&texts[5]));
            facts.class = has[3].then(|| texts[6].as_str().into());
            facts.parameters = vec![(texts[7].clone(), texts[8].clone())];
            let email = Email::parse(&format!("{}@example.com", texts[9])).ok();
            facts.actor = has[4].then(|| Actor { email, groups: vec![texts[10].clone()], ..facts.actor.clone().unwrap() });
            facts.actor.iter_mut().filter(|_| has[5]).for_each(|actor| actor.subject.sub = texts[11].clone());
            let time = Timestamp::from_micros(millis * 1_000);
            is_seen(&line(&Event { time, body: Body::Decision(facts) }, &texts[0]));
            let Body::Exchange(mut facts) = exchange_end(3).body else { unreachable!("it is an end") };
            facts.reason = reason;
            facts.route = RouteId::new(&texts[5]);
            facts.upstream = has[0].then(|| texts[1].clone());
            is_seen(&line(&Event { time, body: Body::Exchange(facts) }, &texts[2]));
        }
    }
}
