//! Every page there is, filled with plain or with hostile text.

use std::time::Duration;

use http::Response;
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

use crate::portal::pages::view::*;
use crate::portal::pages::*;
use crate::web::body::Body;
use crate::web::language::Language;
use crate::web::security::FormTargets;

/// What stands in every field that somebody else chose.
pub struct Inserted {
    text: fn(&str) -> String,
}

pub const PLAIN: Inserted = Inserted { text: str::to_owned };
pub const HOSTILE: Inserted = Inserted { text: |text| format!("{text}<script>alert(1)</script>\"'>&amp;\u{202e}<img onerror=x>") };

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const STEP_UP: Requirement = Requirement { strength: Strength::PhishingResistant, max_age: Duration::from_secs(900) };

pub type Page = (String, Response<Body>);

pub fn frame(language: Language, insert: &Inserted) -> Frame {
    Frame {
        language,
        signed_in: Some((insert.text)("ana@example.com")),
        portal: Some("https://gate.example.com/".to_owned()),
        form_targets: FormTargets::own().and_address("https://idp.example.com/"),
    }
}

pub fn all(language: Language, insert: &Inserted) -> Vec<Page> {
    let mut pages = sign_in_pages(language, insert);
    pages.extend(factor_pages(language, insert));
    pages.extend(enrolment_pages(language, insert));
    pages.push(("portal".to_owned(), portal(&frame(language, insert), &portal_view(insert))));
    pages.extend(refusals().iter().map(|refusal| (format!("error-{}", refusal.reason()), error(refusal, &context(language, insert)))));
    pages
}

pub fn sign_in_pages(language: Language, insert: &Inserted) -> Vec<Page> {
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

pub fn hidden(insert: &Inserted) -> Vec<Hidden> {
    vec![Hidden { name: "return", value: Zeroizing::new((insert.text)("abc")) }]
}

pub fn factor_pages(language: Language, insert: &Inserted) -> Vec<Page> {
    let faults = [
        None,
        Some(CodeFault::Unreadable),
        Some(CodeFault::Wrong),
        Some(CodeFault::Reused),
        Some(CodeFault::ClockBehind(Duration::from_secs(180))),
        Some(CodeFault::ClockAhead(Duration::from_secs(90))),
        Some(CodeFault::Wait(Duration::from_secs(12))),
        Some(CodeFault::Stopped),
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

pub fn enrolment_pages(language: Language, insert: &Inserted) -> Vec<Page> {
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

pub fn portal_view(insert: &Inserted) -> Portal {
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

pub fn context(language: Language, insert: &Inserted) -> ErrorContext {
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
pub fn refusals() -> Vec<Refusal> {
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
            Reason::BodyTooSlow => Rejection::TooSlow.into(),
            Reason::LoopDetected => Rejection::Loop.into(),
            Reason::MethodNotAllowed | Reason::NoSuchPage => Rejection::NoPage(*reason).into(),
            Reason::AuditUnavailable => Failure::Audit.into(),
            Reason::StoreUnavailable => Failure::Store("detail for the log".to_owned()).into(),
            Reason::IdpUnavailable => Failure::Idp("detail for the log".to_owned()).into(),
            Reason::UpstreamUnreachable => {
                Failure::UpstreamUnreachable { why: kernel::Unreachable::Connection, detail: "detail for the log".to_owned() }.into()
            }
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
