//! Facts about every page: it renders in both languages, escapes what it is given, and needs nothing that the policy
//! forbids. With `PORTCULLIS_PAGES=DIR` the pages are written there, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use jiff::civil::{Weekday, time};
use jiff::tz::TimeZone;
use kernel::identity::assurance::{Requirement, Strength};
use kernel::policy::decide::StepUp;
use kernel::policy::hours::{Days, Hours};
use kernel::policy::{Challenge, Reason};
use kernel::request::{RequestFault, RequestId};
use kernel::session::SessionId;
use kernel::time::Timestamp;
use kernel::{Failure, Refusal, Rejection};
use zeroize::Zeroizing;

use super::view::*;
use super::*;
use crate::web::assets::PREFIX;
use crate::web::language::Language;
use crate::web::security::FormTargets;

/// What stands in every field that somebody else chose.
struct Inserted {
    text: fn(&str) -> String,
}

const PLAIN: Inserted = Inserted { text: str::to_owned };
const HOSTILE: Inserted = Inserted { text: |text| format!("{text}<script>alert(1)</script>\"'>&amp;\u{202e}<img onerror=x>") };

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const STEP_UP: Requirement = Requirement { strength: Strength::PhishingResistant, max_age: Duration::from_secs(900) };

type Page = (String, Response<Body>);

fn frame(language: Language, insert: &Inserted) -> Frame {
    Frame {
        language,
        signed_in: Some((insert.text)("ana@example.com")),
        portal: Some("https://gate.example.com/".to_owned()),
        form_targets: FormTargets::own().and_address("https://idp.example.com/"),
    }
}

fn all(language: Language, insert: &Inserted) -> Vec<Page> {
    let mut pages = sign_in_pages(language, insert);
    pages.extend(factor_pages(language, insert));
    pages.extend(enrolment_pages(language, insert));
    pages.push(("portal".to_owned(), portal(&frame(language, insert), &portal_view(insert))));
    pages.extend(refusals().iter().map(|refusal| (format!("error-{}", refusal.reason()), error(refusal, &context(language, insert)))));
    pages
}

fn sign_in_pages(language: Language, insert: &Inserted) -> Vec<Page> {
    let text = |plain: &str| (insert.text)(plain);
    let stranger = Frame { signed_in: None, ..frame(language, insert) };
    let provider = |name: &str| Provider { name: text(name), href: text("/.portcullis/sign-in?idp=corp&return=x") };
    let chooser_view =
        Chooser { destination: Some(text("grafana.example.com")), providers: vec![provider("Example Corp"), provider("Partner login")] };
    let signed = |idp| SignedOut { idp, again: text("/.portcullis/sign-in") };
    vec![
        ("chooser".to_owned(), chooser(&stranger, &chooser_view)),
        ("hop".to_owned(), hop(&stranger, &Hop { continue_to: text("/.portcullis/sign-in?return=abc&step=2") })),
        ("sign-out".to_owned(), sign_out(&frame(language, insert))),
        ("signed-out".to_owned(), signed_out(&stranger, &signed(IdpSession::Ended))),
        ("signed-out-kept".to_owned(), signed_out(&stranger, &signed(IdpSession::Kept))),
    ]
}

fn hidden(insert: &Inserted) -> Vec<Hidden> {
    vec![Hidden { name: "return", value: Zeroizing::new((insert.text)("abc")) }]
}

fn factor_pages(language: Language, insert: &Inserted) -> Vec<Page> {
    let faults = [
        None,
        Some(CodeFault::Unreadable),
        Some(CodeFault::Wrong),
        Some(CodeFault::Reused),
        Some(CodeFault::ClockBehind(Duration::from_secs(180))),
        Some(CodeFault::ClockAhead(Duration::from_secs(90))),
        Some(CodeFault::Wait(Duration::from_secs(12))),
    ];
    let page = |(index, fault): (usize, Option<CodeFault>)| {
        let view = SecondFactor {
            destination: Some((insert.text)("grafana.example.com")),
            step_up: (index == 1).then_some((STEP_UP, StepUp::TooOld)),
            fault,
            recovery_codes_left: 3,
            hidden: hidden(insert),
        };
        (format!("second-factor-{index}"), second_factor(&frame(language, insert), &view))
    };
    faults.into_iter().enumerate().map(page).collect()
}

fn enrolment_pages(language: Language, insert: &Inserted) -> Vec<Page> {
    let text = |plain: &str| Zeroizing::new((insert.text)(plain));
    let secret = || EnrolmentSecret {
        base32: text("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"),
        otpauth: text("otpauth://totp/Portcullis:ana%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Portcullis"),
    };
    let codes = (0..10).map(|index| text(&format!("k7mq-9x{index}d-2fhr-8wzt"))).collect();
    let wrong = Some(EnrolmentFault::Code(CodeFault::Wrong));
    let table = [
        ("enrol", Invite::NotNeeded, Some(secret()), None),
        ("enrol-wrong", Invite::Shown(text("invite")), Some(secret()), wrong),
        ("enrol-both", Invite::Asked, Some(secret()), None),
        ("invite", Invite::Asked, None, None),
        ("invite-wrong", Invite::Asked, None, Some(EnrolmentFault::Invite)),
    ];
    let mut pages: Vec<Page> = table
        .into_iter()
        .map(|(name, invite, secret, fault)| {
            let view = Enrolment { invite, secret, fault, hidden: hidden(insert) };
            (name.to_owned(), enrolment(&frame(language, insert), &view))
        })
        .collect();
    let view = RecoveryCodes { codes, continue_to: (insert.text)("/.portcullis/sign-in?return=abc") };
    pages.push(("recovery-codes".to_owned(), recovery_codes(&frame(language, insert), &view)));
    pages
}

fn portal_view(insert: &Inserted) -> Portal {
    let text = |plain: &str| (insert.text)(plain);
    let system = |name: &str, class: &str, step_up| System {
        name: text(name),
        href: text(&format!("https://{name}.prod.example.com/")),
        host: text(&format!("{name}.prod.example.com")),
        class: text(class),
        owner: Some(text("team-observability@example.com")),
        data: vec![text("operational"), text("personal")],
        step_up,
    };
    let line = |seed, place, agent: &str, minutes: u64| SessionLine {
        id: SessionId::new([seed; 16]),
        place,
        user_agent: Some(text(agent)),
        address: Some(text("203.0.113.7")),
        began: NOW.minus(Duration::from_secs(minutes * 240)),
        last_seen: NOW.minus(Duration::from_secs(minutes * 60)),
    };
    Portal {
        now: NOW,
        systems: vec![
            system("grafana", "internal", None),
            system("billing", "restricted", Some(STEP_UP)),
            system("wiki", "internal", None),
        ],
        sessions: vec![
            line(1, SessionPlace::ThisBrowser, "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", 0),
            line(2, SessionPlace::Elsewhere, "Mozilla/5.0 (iPhone) Version/17.0 Safari/604.1", 45),
        ],
        factors: FactorLines { totp: Some(NOW.minus(Duration::from_secs(3_000_000))), recovery_codes_left: 3 },
        notice: Some(Notice::SessionEnded),
    }
}

fn context(language: Language, insert: &Inserted) -> ErrorContext {
    let text = |plain: &str| (insert.text)(plain);
    ErrorContext {
        frame: frame(language, insert),
        request_id: RequestId::new([0xa7; 16]),
        host: Some(text("grafana.prod.example.com")),
        system: Some(RefusedSystem { name: text("grafana"), owner: Some(text("team-observability@example.com")) }),
        next: Some(text("https://gate.example.com/.portcullis/sign-in?return=x")),
        remedy: Remedy {
            hours: Some(Hours {
                days: Days::new([Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday]),
                from: time(6, 0, 0, 0),
                until: time(20, 0, 0, 0),
                zone: TimeZone::UTC,
            }),
            networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        },
    }
}

/// A refusal for every reason there is.
fn refusals() -> Vec<Refusal> {
    let of = |reason: &Reason| -> Refusal {
        match reason {
            Reason::NoSession => Rejection::Challenge(Challenge::SignIn).into(),
            Reason::SecondFactorRequired => Rejection::Challenge(Challenge::SecondFactor).into(),
            Reason::FactorTooWeak => Rejection::Challenge(Challenge::StepUp { requirement: STEP_UP, reason: StepUp::TooWeak }).into(),
            Reason::FactorTooOld => Rejection::Challenge(Challenge::StepUp { requirement: STEP_UP, reason: StepUp::TooOld }).into(),
            Reason::RateLimited | Reason::FactorDelayed => Rejection::Throttled { retry_after: Duration::from_secs(12) }.into(),
            Reason::MalformedRequest => Rejection::Malformed(RequestFault::Method).into(),
            Reason::Misdirected => Rejection::Misdirected.into(),
            Reason::BodyTooLarge => Rejection::TooLarge.into(),
            Reason::MethodNotAllowed | Reason::NoSuchPage => Rejection::NoPage(*reason).into(),
            Reason::AuditUnavailable => Failure::Audit.into(),
            Reason::StoreUnavailable => Failure::Store("detail for the log".to_owned()).into(),
            Reason::IdpUnavailable => Failure::Idp("detail for the log".to_owned()).into(),
            Reason::UpstreamUnreachable => Failure::UpstreamUnreachable("detail for the log".to_owned()).into(),
            Reason::UpstreamTimedOut => Failure::UpstreamTimedOut(Duration::from_secs(30)).into(),
            Reason::UpstreamAnswerInvalid => Failure::UpstreamAnswer("detail for the log".to_owned()).into(),
            Reason::Overloaded => Failure::Overloaded.into(),
            Reason::InternalError => Failure::Bug("detail for the log").into(),
            Reason::NoRule
            | Reason::UnknownHost
            | Reason::OutsideHours
            | Reason::NetworkNotAllowed
            | Reason::LockedOut
            | Reason::CrossSite
            | Reason::SignInNotBegun
            | Reason::IdpRefused
            | Reason::IdpAnswerInvalid
            | Reason::RedirectRejected
            | Reason::FactorCodeWrong
            | Reason::FactorCodeReused
            | Reason::FactorClockSkewed
            | Reason::InviteInvalid
            | Reason::LogoutTokenInvalid => Rejection::Forbidden(*reason).into(),
        }
    };
    Reason::ALL.iter().map(of).collect()
}

async fn html(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn every_page(insert: &Inserted, fact: impl Fn(Language, &str, &str)) {
    for language in Language::ALL {
        for (name, response) in all(language, insert) {
            fact(language, &name, &html(response).await);
        }
    }
}

#[tokio::test]
async fn every_page_has_language_title_landmark_and_one_heading() {
    every_page(&PLAIN, |language, name, html| {
        assert!(html.starts_with("<!doctype html>"), "{name}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{name}");
        assert!(html.contains(" – Portcullis</title>") && !html.contains("<title> –"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert_eq!(html.matches("<main id=\"main\"").count(), 1, "{name}");
        assert!(html.contains("name=\"viewport\""), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_others_chose_is_written_as_text() {
    every_page(&HOSTILE, |_, name, html| {
        for forbidden in ["<script>", "<img", "\"'>", "'>&amp;\u{202e}"] {
            assert!(!html.contains(forbidden), "{name} holds {forbidden}");
        }
        assert_eq!(html.matches('<').count(), html.matches('>').count(), "{name}: an angle bracket came from outside");
    })
    .await;
}

#[tokio::test]
async fn hostile_text_adds_no_element_to_any_page() {
    for language in Language::ALL {
        for ((name, plain), (_, hostile)) in all(language, &PLAIN).into_iter().zip(all(language, &HOSTILE)) {
            let (plain, hostile) = (html(plain).await, html(hostile).await);
            // A longer text gives a larger picture, but never another element.
            assert!(plain.matches('<').count() >= hostile.matches('<').count(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_hidden_direction_mark_cannot_turn_the_text_around_it() {
    every_page(&HOSTILE, |_, name, html| {
        let body = html.split("<body>").nth(1).unwrap();
        for (position, _) in body.match_indices('\u{202e}') {
            let before = &body[..position];
            let in_attribute = before.rfind('<') > before.rfind('>');
            let isolated = before.rfind("<bdi>") > before.rfind("</bdi>");
            assert!(in_attribute || isolated, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_page_needs_what_its_policy_forbids() {
    every_page(&PLAIN, |_, name, html| {
        assert!(!html.contains(" style="), "{name} holds an inline style");
        assert!(!html.contains("<style"), "{name} holds a style element");
        let handlers = html.split(|c: char| c.is_whitespace()).filter(|word| word.starts_with("on") && word.contains('='));
        assert_eq!(handlers.count(), 0, "{name} holds an inline handler");
        assert!(!html.contains("javascript:"), "{name}");
        for tag in html.split("<script").skip(1) {
            assert!(tag.starts_with(&format!(" src=\"{PREFIX}")), "{name} holds an inline script");
        }
        for tag in html.split("<link").skip(1) {
            assert!(tag.contains(&format!("href=\"{PREFIX}")), "{name} loads something else");
        }
    })
    .await;
}

#[tokio::test]
async fn every_page_carries_the_security_headers() {
    for language in Language::ALL {
        for (name, response) in all(language, &PLAIN) {
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{name}");
            assert!(policy.contains("form-action 'self' https://idp.example.com"), "{name}");
            assert!(policy.contains("frame-ancestors 'none'"), "{name}");
            assert_eq!(response.headers()["cache-control"], "no-store", "{name}");
            assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8", "{name}");
            assert_eq!(response.headers()["content-language"], language.tag(), "{name}");
        }
    }
}

#[tokio::test]
async fn every_field_has_a_label() {
    every_page(&PLAIN, |_, name, html| {
        for tag in html.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap()) {
            if tag.contains("type=\"hidden\"") {
                continue;
            }
            let id = tag.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(html.contains(&format!("<label for=\"{id}\">")), "{name}: {id}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_description_and_label_that_is_referred_to_exists_once() {
    every_page(&PLAIN, |_, name, html| {
        for attribute in ["aria-describedby=\"", "aria-labelledby=\""] {
            for list in html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                for id in list.split_whitespace() {
                    assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{name}: {id}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn error_pages_tell_reason_request_and_status_but_no_detail() {
    for language in Language::ALL {
        for refusal in refusals() {
            let response = error(&refusal, &context(language, &PLAIN));
            assert_eq!(response.status(), refusal.status());
            let html = html(response).await;
            assert!(html.contains(refusal.reason().code()), "{refusal:?}");
            assert!(html.contains(&"a7".repeat(16)), "{refusal:?}");
            assert!(html.contains("mailto:team%2Dobservability@example.com?subject=grafana"), "{refusal:?}");
            assert!(!html.contains("detail for the log"), "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_host_is_shown_as_one_where_nobody_is_signed_in() {
    let stranger = ErrorContext { system: None, ..context(Language::English, &PLAIN) };
    let unknown = html(error(&Rejection::UnknownHost.into(), &stranger)).await;
    let unlisted = html(error(&Rejection::Challenge(Challenge::SignIn).into(), &stranger)).await;
    assert_eq!(unknown, unlisted);
}

#[tokio::test]
async fn hours_and_networks_are_told_where_they_are_what_is_missing() {
    for (reason, told, other) in
        [(Reason::OutsideHours, "Mon–Fri, 06:00–20:00", "10.0.0.0/8"), (Reason::NetworkNotAllowed, "10.0.0.0/8", "Mon–Fri")]
    {
        let html = html(error(&Rejection::Forbidden(reason).into(), &context(Language::English, &PLAIN))).await;
        assert!(html.contains(told) && !html.contains(other), "{reason}");
    }
}

#[tokio::test]
async fn a_step_up_says_what_it_asks_and_leads_there() {
    let refusal = Rejection::Challenge(Challenge::StepUp { requirement: STEP_UP, reason: StepUp::TooWeak }).into();
    let html = html(error(&refusal, &context(Language::English, &PLAIN))).await;
    assert!(html.contains("a security key or passkey, shown within the last 15 minutes"));
    assert!(html.contains("href=\"https://gate.example.com/.portcullis/sign-in?return=x\""));
}

#[tokio::test]
async fn a_wait_is_told_in_the_page_and_in_the_field() {
    let response = error(&Rejection::Throttled { retry_after: Duration::from_millis(11_200) }.into(), &context(Language::English, &PLAIN));
    assert_eq!(response.headers()["retry-after"], "12");
    assert!(html(response).await.contains("wait 12 seconds"));
    let view = SecondFactor {
        destination: None,
        step_up: None,
        fault: Some(CodeFault::Wait(Duration::from_secs(7))),
        recovery_codes_left: 0,
        hidden: Vec::new(),
    };
    let response = second_factor(&frame(Language::English, &PLAIN), &view);
    assert_eq!((response.status(), &response.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap()));
}

#[tokio::test]
async fn a_wrong_clock_is_told_with_its_direction() {
    let pages = factor_pages(Language::English, &PLAIN);
    let mut texts = Vec::new();
    for (_, response) in pages {
        texts.push(html(response).await);
    }
    assert!(texts[4].contains("Your phone is 3 minutes behind"));
    assert!(texts[5].contains("Your phone is 90 seconds ahead"));
    assert!(texts[4].contains("role=\"alert\"") && texts[4].contains("aria-describedby=\"fault code-hint\""));
    assert!(texts[4].contains("<title>Error: "));
    assert!(!texts[0].contains("role=\"alert\""));
}

#[tokio::test]
async fn no_recovery_code_is_asked_for_when_none_is_left() {
    let view = SecondFactor { destination: None, step_up: None, fault: None, recovery_codes_left: 0, hidden: Vec::new() };
    let html = html(second_factor(&frame(Language::English, &PLAIN), &view)).await;
    assert_eq!(html.matches("name=\"code\"").count(), 1);
}

#[tokio::test]
async fn the_secret_is_shown_as_picture_text_and_link() {
    let (_, response) = enrolment_pages(Language::English, &PLAIN).remove(0);
    let html = html(response).await;
    assert!(html.contains("JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"));
    assert!(html.contains("href=\"otpauth://totp/Portcullis:ana%40example.com?secret="));
    assert!(html.contains("<svg class=\"qr\" role=\"img\""));
}

#[tokio::test]
async fn the_pages_can_be_written_to_a_folder_to_be_looked_at() {
    let kept = std::env::var_os("PORTCULLIS_PAGES").map(std::path::PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let folder = kept.as_deref().unwrap_or(temporary.path());
    let assets = folder.join(PREFIX.trim_start_matches('/'));
    std::fs::create_dir_all(&assets).unwrap();
    for asset in Asset::ALL {
        let content = html(crate::web::assets::find(asset.href()).unwrap()).await;
        std::fs::write(folder.join(asset.href().trim_start_matches('/')), content).unwrap();
    }
    for language in Language::ALL {
        for (name, response) in all(language, &PLAIN) {
            let content = html(response).await.replace(PREFIX, PREFIX.trim_start_matches('/'));
            std::fs::write(folder.join(format!("{name}-{}.html", language.tag())), content).unwrap();
        }
    }
    assert!(folder.join("portal-de.html").exists());
}
