//! Facts about every page: it renders in both languages, escapes what it is given, and needs nothing that the policy
//! forbids. With `PORTCULLIS_PAGES=DIR` the pages are written there, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod samples;

use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use kernel::Rejection;
use kernel::policy::decide::StepUp;
use kernel::policy::{Challenge, Reason};

use self::samples::{HOSTILE, Inserted, PLAIN, STEP_UP, all, context, enrolment_pages, factor_pages, frame, refusals};
use super::view::*;
use super::*;
use crate::web::assets::PREFIX;
use crate::web::language::Language;

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
