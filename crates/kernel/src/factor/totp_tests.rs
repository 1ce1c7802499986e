//! TOTP codes at their boundaries: the vectors of RFC 6238, skew and replay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// The secret of RFC 4226 appendix D and RFC 6238 appendix B.
fn rfc_secret() -> TotpSecret {
    TotpSecret::new(*b"12345678901234567890")
}

fn at_step(number: u64) -> Timestamp {
    Timestamp::from_seconds(number * STEP_SECONDS)
}

fn code_of(secret: &TotpSecret, step: u64) -> TotpCode {
    TotpCode::of(&secret.totp(), Step(step)).unwrap()
}

fn check_rfc(seconds: u64, code: &str) {
    let code = TotpCode::parse(code).unwrap();
    assert_eq!(verify(&rfc_secret(), code, Timestamp::from_seconds(seconds), None), Ok(Step(seconds / 30)), "at {seconds}");
}

#[test]
fn the_vectors_of_rfc_6238_are_accepted() {
    // Appendix B states eight digits; the six that apps show are the last of them.
    for (seconds, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        check_rfc(seconds, code);
    }
}

#[test]
fn the_vectors_of_rfc_4226_are_accepted() {
    let codes = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
    for (step, code) in (0..).zip(codes) {
        check_rfc(step * 30, code);
    }
}

#[test]
fn a_code_is_read_as_six_digits_or_as_two_groups_of_three() {
    assert_eq!(TotpCode::parse("012345"), Ok(TotpCode(12_345)));
    assert_eq!(TotpCode::parse("012 345"), Ok(TotpCode(12_345)));
    assert_eq!(TotpCode::parse("999999"), Ok(TotpCode(999_999)));
}

#[test]
fn every_other_spelling_of_a_code_is_refused() {
    for text in [
        "",
        " ",
        "1",
        "12345",
        "1234567",
        "0123456",
        "00123456",
        " 123456",
        "123456 ",
        "123456\n",
        "123456\r\n",
        "\t123456",
        "12 3456",
        "1234 56",
        "123  456",
        "123-456",
        "123\u{a0}456",
        "123\t456",
        "123\n456",
        "1 2 3 4 5 6",
        "+12345",
        "-12345",
        "+123456",
        "12345.",
        "1e5000",
        "0x1234",
        "12345a",
        "12345\0",
        "１２３４５６",
        "١٢٣٤٥٦",
        "123４56",
        "²³¹456",
        "12345/",
        "12345:",
        "123 45",
        "123 4567",
    ] {
        assert_eq!(TotpCode::parse(text), Err(CodeFault), "{text:?}");
    }
}

#[test]
fn the_window_is_one_step_each_way() {
    let secret = rfc_secret();
    let now = 1_000_000;
    for step in now - 1..=now + 1 {
        assert_eq!(verify(&secret, code_of(&secret, step), at_step(now), None), Ok(Step(step)));
    }
    for step in [now - 2, now + 2] {
        assert!(verify(&secret, code_of(&secret, step), at_step(now), None).is_err(), "{step}");
    }
}

#[test]
fn a_step_lasts_thirty_seconds() {
    assert_eq!(Step::at(Timestamp::from_micros(29_999_999)), Step(0));
    assert_eq!(Step::at(Timestamp::from_seconds(30)), Step(1));
    assert_eq!(Step::at(Timestamp::from_seconds(59)).number(), 1);
    assert_eq!(Step::new(7).number(), 7);
}

#[test]
fn a_step_is_accepted_once_and_no_earlier_one_after_it() {
    let secret = rfc_secret();
    let now = 1_000_000;
    let check = |step, last| verify(&secret, code_of(&secret, step), at_step(now), Some(Step(last)));
    assert_eq!(check(now, now), Err(TotpFault::Replayed));
    assert_eq!(check(now - 1, now), Err(TotpFault::Replayed));
    assert_eq!(check(now + 1, now), Ok(Step(now + 1)));
    assert_eq!(check(now, now - 1), Ok(Step(now)));
    assert_eq!(check(now, now + 5), Err(TotpFault::Replayed));
}

#[test]
fn old_codes_stay_used_when_the_clock_is_set_back() {
    let secret = rfc_secret();
    let (an_hour_ago, last) = (1_000_000, 1_000_120);
    assert_eq!(verify(&secret, code_of(&secret, an_hour_ago), at_step(an_hour_ago), Some(Step(last))), Err(TotpFault::Replayed));
}

#[test]
fn a_used_code_is_told_as_used_and_not_as_a_slow_clock() {
    let secret = rfc_secret();
    let now = 1_000_000;
    assert_eq!(verify(&secret, code_of(&secret, now - 6), at_step(now), Some(Step(now - 6))), Err(TotpFault::Replayed));
}

fn check_skew(step: u64, direction: Direction, minutes: u64) {
    let (secret, now) = (rfc_secret(), 1_000_000);
    match verify(&secret, code_of(&secret, step), at_step(now), Some(Step(now - 100))) {
        Err(TotpFault::ClockSkewed(skew)) => assert_eq!((skew.direction, skew.minutes), (direction, minutes), "step {step}"),
        other => panic!("step {step}: {other:?}"),
    }
}

#[test]
fn a_clock_up_to_ten_minutes_off_is_diagnosed() {
    let now = 1_000_000;
    for (steps, minutes) in [(2, 1), (3, 2), (4, 2), (6, 3), (19, 10), (20, 10)] {
        check_skew(now - steps, Direction::Behind, minutes);
        check_skew(now + steps, Direction::Ahead, minutes);
    }
}

#[test]
fn a_clock_further_off_is_just_wrong() {
    let (secret, now) = (rfc_secret(), 1_000_000);
    for step in [now - 21, now + 21] {
        assert_eq!(verify(&secret, code_of(&secret, step), at_step(now), None), Err(TotpFault::Wrong));
    }
}

#[test]
fn a_diagnosis_gives_away_only_codes_to_come() {
    let (secret, now) = (rfc_secret(), 1_000_000);
    let given_away = |step, last| verify(&secret, code_of(&secret, step), at_step(now), Some(Step(last))).unwrap_err().given_away();
    assert_eq!(given_away(now + 6, 1), Some(Step(now + 6)));
    assert_eq!(given_away(now - 6, 1), None);
    assert_eq!(given_away(now, now), None);
    assert_eq!(given_away(now + 50, 1), None);
}

#[test]
fn a_code_that_was_given_away_is_refused_when_its_time_comes() {
    let (secret, now) = (rfc_secret(), 1_000_000);
    let code = code_of(&secret, now + 6);
    let burnt = verify(&secret, code, at_step(now), None).unwrap_err().given_away();
    assert_eq!(verify(&secret, code, at_step(now + 6), burnt), Err(TotpFault::Replayed));
}

#[test]
fn of_two_steps_with_one_code_the_later_is_taken() {
    // Taking the earlier would leave a used code good for the later. Such a pair comes by chance once in a million steps.
    let secret = rfc_secret();
    let totp = secret.totp();
    let code = |step| TotpCode::of(&totp, Step(step)).unwrap();
    let first = TWIN_STEP;
    assert!(code(first) == code(first + TWIN_DISTANCE), "the steps still share their code");
    let now = first + 1;
    assert_eq!(verify(&secret, code(first), at_step(now), None), Ok(Step(first + TWIN_DISTANCE)));
    assert_eq!(verify(&secret, code(first), at_step(now), Some(Step(first + TWIN_DISTANCE))), Err(TotpFault::Replayed));
}

#[test]
fn a_step_in_the_window_is_taken_before_a_later_one_outside() {
    let secret = rfc_secret();
    let totp = secret.totp();
    let code = |step| TotpCode::of(&totp, Step(step)).unwrap();
    assert!(code(FAR_TWIN_STEP) == code(FAR_TWIN_STEP + FAR_TWIN_DISTANCE), "the steps still share their code");
    assert_eq!(verify(&secret, code(FAR_TWIN_STEP), at_step(FAR_TWIN_STEP), None), Ok(Step(FAR_TWIN_STEP)));
    let later = FAR_TWIN_STEP + FAR_TWIN_DISTANCE;
    assert_eq!(verify(&secret, code(later), at_step(later), None), Ok(Step(later)));
}

/// A step whose code comes again after two steps, and one whose code comes again outside the window, with [`rfc_secret`].
const TWIN_STEP: u64 = 153_567;
const TWIN_DISTANCE: u64 = 2;
const FAR_TWIN_STEP: u64 = 2_386;
const FAR_TWIN_DISTANCE: u64 = 8;

#[test]
fn the_beginning_and_the_end_of_time_are_judged_like_any_other() {
    let secret = rfc_secret();
    assert_eq!(verify(&secret, code_of(&secret, 0), Timestamp::EPOCH, None), Ok(Step(0)));
    let end = Timestamp::from_micros(u64::MAX);
    let last = Step::at(end);
    assert_eq!(verify(&secret, code_of(&secret, last.number()), end, None), Ok(last));
}

#[test]
fn a_secret_is_shown_in_groups_of_four() {
    assert_eq!(rfc_secret().text().as_str(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
}

#[test]
fn the_otpauth_address_names_everything_and_hides_nothing_in_a_separator() {
    let url = rfc_secret().otpauth_url("gate.example.com", "ana+x@example.com");
    assert_eq!(
        url.as_str(),
        "otpauth://totp/gate.example.com:ana%2Bx%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
         &issuer=gate.example.com&algorithm=SHA1&digits=6&period=30"
    );
    let hostile = rfc_secret().otpauth_url("a:b&c", "x?secret=AAAA#/ %\u{e4}_-~");
    assert!(hostile.starts_with("otpauth://totp/ab%26c:x%3Fsecret%3DAAAA%23%2F%20%25%C3%A4_-~?secret=GEZD"), "{}", hostile.as_str());
}

#[test]
fn an_app_that_reads_the_address_shows_the_same_codes() {
    let app = Totp::from_url(rfc_secret().otpauth_url("Gate", "ana@example.com").as_str()).unwrap();
    assert_eq!((app.issuer(), app.account_name()), (Some("Gate"), "ana@example.com"));
    assert_eq!(app.generate(59).to_string(), "287082");
}

#[test]
fn neither_secret_nor_code_is_printed() {
    assert_eq!(format!("{:?} {:?}", rfc_secret(), TotpCode(123_456)), "*** ***");
}

#[test]
fn a_secret_is_twenty_bytes() {
    assert_eq!(TotpSecret::from_slice(b"12345678901234567890").unwrap().as_bytes(), rfc_secret().as_bytes());
    for length in [0, 10, 16, 19, 21, 32] {
        assert!(TotpSecret::from_slice(&vec![0; length]).is_none(), "{length}");
    }
}

proptest! {
    #[test]
    fn nothing_but_digits_is_a_code(text in "\\PC{0,9}") {
        let plain = text.replacen(' ', "", 1);
        let is_code = plain.len() == 6 && plain.bytes().all(|byte| byte.is_ascii_digit());
        prop_assert!(is_code || TotpCode::parse(&text).is_err());
    }

    #[test]
    fn an_accepted_step_is_later_than_the_last_and_in_the_window(
        secret: [u8; 20], now in 100_u64..1 << 40, offset in -25_i64..=25, last in proptest::option::of(-25_i64..=25),
    ) {
        let secret = TotpSecret::new(secret);
        let last = last.map(|offset| Step(now.saturating_add_signed(offset)));
        let code = code_of(&secret, now.saturating_add_signed(offset));
        if let Ok(step) = verify(&secret, code, at_step(now), last) {
            prop_assert!(step.number().abs_diff(now) <= 1);
            prop_assert!(last.is_none_or(|last| step > last));
            prop_assert_eq!(verify(&secret, code, at_step(now), Some(step)), Err(TotpFault::Replayed));
        }
    }
}
