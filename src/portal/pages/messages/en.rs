//! English.

use std::time::Duration;

use super::{Heading, Messages, Units, count, en_reasons};

pub static MESSAGES: Messages = Messages {
    skip: "Skip to the content",
    error_prefix: "Error",
    signed_in_as: "Signed in as",
    sign_out: "Sign out",
    portal: "My systems",

    chooser: Heading { title: "Sign in", lead: "Choose the account you want to sign in with." },
    hop: Heading { title: "Taking you to the sign-in", lead: "This takes a moment." },
    hop_continue: "Continue to the sign-in",

    factor: Heading { title: "Confirm it’s you", lead: "Open your authenticator app and enter the six-digit code for Portcullis." },
    factor_too_old: "You have confirmed it before, but this system asks for a recent confirmation.",
    factor_too_weak: "This system asks for a stronger second factor than the one you have shown.",
    code_label: "Code from your app",
    code_hint: "Six digits; a new code appears every 30 seconds.",
    confirm: "Confirm",
    recovery_summary: "Phone not at hand? Use a recovery code",
    recovery_label: "Recovery code",
    recovery_hint: "One of the codes you stored when you set up your second factor. Each works once.",
    recovery_use: "Use recovery code",
    no_phone: "No phone and no recovery code? An admin can reset your second factor.",
    on_the_way: "You are on your way to",

    enrolment: Heading {
        title: "Set up your second factor",
        lead: "From now on, a code from your phone protects your sign-in. This takes about two minutes.",
    },
    enrolment_app: "Install an authenticator app on your phone, if you have none. Any app for one-time codes will do.",
    enrolment_scan: "Scan this picture with the app.",
    enrolment_enter: "Enter the six-digit code that the app shows.",
    qr_alternative: "QR code for your authenticator app. The same secret is given as text below.",
    on_this_phone: "Reading this on your phone?",
    open_app: "Open in the authenticator app",
    by_hand: "Can’t scan? Enter the secret by hand",
    secret_label: "Secret",
    secret_hint: "Time-based, six digits, 30 seconds. Spaces don’t matter. Don’t show it to anybody.",

    invite: Heading {
        title: "You need an invitation",
        lead: "Before you can set up your second factor, we have to know that it’s really you. That is what the invitation is for.",
    },
    invite_label: "Invitation code",
    invite_how: "Ask an admin of this gateway for an invitation code. It is for you alone, works once and expires soon. \
                 Have it handed over by phone or in person rather than by e-mail.",
    invite_continue: "Continue",
    invite_wrong: "This invitation is not valid (any more). Check the code for typing errors, or ask for a new invitation.",

    codes: Heading {
        title: "Store your recovery codes",
        lead: "With one of these codes you can sign in when your phone is lost or broken.",
    },
    codes_once: "You see these codes only this once.",
    codes_where: "Keep them in a password manager, or print them and lock them away. Each code works once.",
    codes_stored: "I have stored them",
    copy: "Copy",
    copied: "Copied",
    download: "Download",
    print: "Print",

    portal_page: Heading { title: "My systems", lead: "What you may open from here." },
    systems: "Systems",
    systems_none: "There is no system that you may open at the moment. If you expected one, ask the team that runs it.",
    class: "Class",
    owner: "Owner",
    data: "Data",
    sessions: "My sessions",
    sessions_hint: "Don’t recognise one? Sign it out and tell your security team.",
    this_browser: "This browser",
    unknown_browser: "Unknown browser",
    began: "Signed in",
    last_seen: "Last seen",
    from_address: "From",
    end_session: "Sign out",
    end_others: "Sign out all others",
    end_everywhere: "Sign out everywhere",
    factors: "My second factor",
    totp: "Authenticator app",
    totp_enrolled: "Set up",
    recovery_codes: "Recovery codes",
    recovery_few: "Better get new ones before you run out.",
    new_codes: "New recovery codes",
    new_codes_hint: "The old codes stop working.",
    session_ended: "That session is signed out.",
    others_ended: "All your other sessions are signed out.",

    sign_out_page: Heading { title: "Sign out?", lead: "You will be signed out of every system behind this gateway in this browser." },
    signed_out: Heading { title: "You are signed out", lead: "You can close this window now." },
    signed_out_kept: "You may still be signed in with your identity provider. On a shared computer, sign out there too.",
    sign_in_again: "Sign in again",

    what_helps: "What helps",
    details: "Details",
    system: "System",
    address: "Address",
    ask: "Ask",
    admission: "Asked for",
    open_hours: "Open",
    networks: "Reachable from",
    reason: "Reason",
    request_id: "Request",
    request_id_hint: "Please give this number when you ask for help.",
    next_sign_in: "Sign in",
    next_factor: "Confirm it’s you",
    try_again: "Try again",

    node_you: "You",
    node_system: "System",
    node_idp: "Sign-in service",
    picture_system: "The connection from you to Portcullis works; the connection from Portcullis to the system is broken.",
    picture_gateway: "The connection from you to Portcullis works; Portcullis itself has a problem.",
    picture_idp: "The connection from you to Portcullis works; the connection from Portcullis to the sign-in service is broken.",

    days: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    every_day: "every day",
    strength_any: "a second factor",
    strength_phishing_resistant: "a security key or passkey",

    code_unreadable: "That is not a code. Enter the six digits that your app shows, or one of your recovery codes.",
    code_wrong: "That code is not right. Enter the one that your app shows now.",
    code_reused: "That code was used already. Wait until your app shows the next one.",
    clock_behind: |span| clock(span, "behind"),
    clock_ahead: |span| clock(span, "ahead"),
    code_stopped: "There were too many wrong codes in a row. An administrator has to reset your second factor.",
    wait: |span| format!("Too many attempts. Please wait {} and then try again.", UNITS.span(span)),
    ago,
    factor_asked: |factor, age| format!("{factor}, shown within the last {}", UNITS.span(age)),
    step_up: |factor| format!("Asks for {factor} first"),
    codes_left: |left| if left == 0 { "none left".to_owned() } else { format!("{left} left") },
    browser_on: |browser, system| format!("{browser} on {system}"),
    reasons: en_reasons::words,
};

fn clock(span: Duration, direction: &str) -> String {
    format!(
        "Your phone is {} {direction}, so its codes are not right. Switch on “set time automatically” on the phone, then enter the next code.",
        UNITS.span(span)
    )
}

fn ago(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match (minutes, minutes / 60, minutes / 1_440) {
        (0, ..) => "just now".to_owned(),
        (minutes, 0, _) => count(minutes, ["minute ago", "minutes ago"]),
        (_, hours, 0) => count(hours, ["hour ago", "hours ago"]),
        (_, _, days) => count(days, ["day ago", "days ago"]),
    }
}

const UNITS: Units = Units { second: ["second", "seconds"], minute: ["minute", "minutes"], hour: ["hour", "hours"], day: ["day", "days"] };
