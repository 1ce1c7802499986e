//! When certificates are renewed and failures tried again. Orders themselves are tested with a real authority, in `tests/gateway/acme.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use kernel::time::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use super::schedule::{self, Window};
use super::*;

const DAY: u64 = 86_400;
const BEGIN: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn at(seconds: u64) -> Timestamp {
    BEGIN.plus(Duration::from_secs(seconds))
}

#[test]
fn a_certificate_is_renewed_with_a_third_of_its_life_left_or_a_little_earlier() {
    for draw in [0, 1, 30_000, u16::MAX] {
        let renewal = schedule::renewal(at(0), at(90 * DAY), draw);
        assert!(renewal <= at(60 * DAY) && renewal > at(55 * DAY + DAY / 2 - 1), "{draw}");
    }
    assert!(schedule::renewal(at(0), at(90 * DAY), 1) > schedule::renewal(at(0), at(90 * DAY), 60_000));
}

#[test]
fn the_authoritys_window_counts_but_not_beyond_the_last_tenth() {
    let told = |start, end, draw| schedule::renewal_told(Window { start: at(start), end: at(end) }, at(0), at(90 * DAY), draw);
    assert_eq!(told(10 * DAY, 20 * DAY, 0), at(10 * DAY));
    let late = told(10 * DAY, 20 * DAY, u16::MAX);
    assert!(late > at(19 * DAY) && late <= at(20 * DAY));
    assert_eq!(told(200 * DAY, 300 * DAY, 5), at(81 * DAY));
    assert_eq!(told(20 * DAY, 20 * DAY, 7), schedule::renewal(at(0), at(90 * DAY), 7), "an empty window means nothing");
    assert_eq!(told(30 * DAY, 20 * DAY, 7), schedule::renewal(at(0), at(90 * DAY), 7));
}

#[test]
fn failures_are_tried_again_later_each_time_and_within_bounds() {
    let waits: Vec<u64> = (1..20).map(|failures| schedule::back_off(failures, 0).as_secs()).collect();
    assert_eq!(&waits[..4], [120, 240, 480, 960]);
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits[18] == 12 * 3_600);
    // In the first hour fewer than authorities allow.
    assert!(waits[..5].iter().sum::<u64>() > 3_600);
    assert!(schedule::back_off(u32::MAX, u16::MAX) <= Duration::from_secs(15 * 3_600));
    assert_eq!(schedule::ask_again(Duration::ZERO), Duration::from_secs(60));
    assert_eq!(schedule::ask_again(Duration::from_secs(1_000 * DAY)), Duration::from_secs(DAY));
}

/// What an authority would issue for `name`, kept for `host`.
fn issued(host: &str, name: &str, days: std::ops::Range<u64>) -> IssuedCertificate {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let time = |day: u64| ASN1Time::from_timestamp(i64::try_from(at(day * DAY).as_seconds()).unwrap()).unwrap().to_datetime();
    (parameters.not_before, parameters.not_after) = (time(days.start), time(days.end));
    IssuedCertificate {
        host: host.to_owned(),
        directory: "https://ca.test/dir".to_owned(),
        chain: parameters.self_signed(&key).unwrap().pem(),
        key: Zeroizing::new(key.serialize_pem().into_bytes()),
        not_after: at(days.end * DAY),
    }
}

#[test]
fn what_an_authority_issued_is_used_only_for_its_host_in_its_time_and_with_its_key() {
    let good = issued("a.test", "a.test", 0..90);
    assert!(Held::check(&good, at(1)).is_ok());
    assert!(matches!(Held::check(&issued("a.test", "b.test", 0..90), at(1)), Err(AcmeFault::OtherHost)));
    assert!(matches!(Held::check(&good, at(91 * DAY)), Err(AcmeFault::Issued(_))));
    assert!(matches!(Held::check(&issued("a.test", "a.test", 2..90), at(1)), Err(AcmeFault::Issued(_))));
    let other_key = IssuedCertificate { key: issued("a.test", "a.test", 0..90).key, ..good.clone() };
    assert!(matches!(Held::check(&other_key, at(1)), Err(AcmeFault::Issued(_))));
    let no_chain = IssuedCertificate { chain: String::new(), ..good };
    assert!(matches!(Held::check(&no_chain, at(1)), Err(AcmeFault::Issued(_))));
}

#[test]
fn a_host_is_due_without_a_certificate_near_its_end_and_with_another_authority() {
    const CA: &str = "https://ca.test/dir";
    let mut wards = Wards::default();
    wards.take_in(issued("kept.test", "kept.test", 0..90), at(1));
    wards.take_in(issued("gone.test", "gone.test", 0..90), at(1));
    wards.aim(&["kept.test".to_owned(), "new.test".to_owned()]);
    assert_eq!(wards.due(CA, at(2)), ["new.test"]);
    assert_eq!(wards.due("https://other.test/dir", at(2)), ["kept.test", "new.test"]);
    assert_eq!(wards.due(CA, at(61 * DAY)), ["kept.test", "new.test"]);
    assert_eq!(wards.certificates().len(), 1, "a host that is not named any more is not served");
    let ward = wards.failed("new.test", "because".to_owned(), at(2)).unwrap();
    assert!(ward.next_try >= at(122) && ward.is_pressing(at(2)));
    assert_eq!(wards.due(CA, at(3)), Vec::<String>::new());
    wards.failed("kept.test", "because".to_owned(), at(61 * DAY)).unwrap();
    assert_eq!(wards.certificates().len(), 1, "what is in service stays there");
    wards.aim(&["kept.test".to_owned(), "new.test".to_owned()]);
    assert_eq!(wards.due(CA, at(61 * DAY)), ["kept.test", "new.test"], "a reload tries at once");
    wards.renewed("kept.test", Held::check(&issued("kept.test", "kept.test", 61..62), at(61 * DAY)).unwrap(), at(61 * DAY));
    assert_eq!(wards.due(CA, at(61 * DAY)), ["new.test"]);
}

#[test]
fn what_an_authority_says_is_told_in_one_bounded_line() {
    let problem: instant_acme::Problem = serde_json::from_value(serde_json::json!({
        "type": "urn:ietf:params:acme:error:dns", "detail": format!("no\u{1b}[31m\r\nsuch name {}", "x".repeat(5_000))
    }))
    .unwrap();
    let said = AcmeFault::from(instant_acme::Error::Api(problem)).to_string();
    assert!(said.starts_with("no [31m  such name") && said.len() <= 500 && !said.chars().any(char::is_control), "{said}");
}
