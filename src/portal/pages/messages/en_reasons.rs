//! Why a request was refused, in English.

use kernel::policy::Reason;

use super::ReasonWords;

pub const fn words(reason: Reason) -> ReasonWords {
    let (title, why, mend) = match reason {
        Reason::NoSession => ("Please sign in", "You are not signed in, or your session has ended.", "Sign in to go on."),
        Reason::SecondFactorRequired => (
            "Your second factor is missing",
            "You are signed in, but you have not shown your second factor in this session.",
            "Confirm with your second factor that it’s you.",
        ),
        Reason::FactorTooWeak => (
            "A stronger second factor is needed",
            "You may do this, but it asks for a stronger second factor than the one you have shown.",
            "Confirm with the factor that is named below.",
        ),
        Reason::FactorTooOld => (
            "Please confirm again that it’s you",
            "You may do this, but you showed your second factor too long ago.",
            "Show your second factor once more.",
        ),
        Reason::NoRule => (
            "You have no access to this",
            "You are signed in, but no rule lets you open this address or do this there.",
            "If you need it for your work, ask whoever is responsible for the system to add you. If you came here by a link, check the address.",
        ),
        Reason::UnknownHost => (
            "There is no system here",
            "This gateway knows no system with this address.",
            "Check the address for typing errors, or choose a system from your list.",
        ),
        Reason::OutsideHours => (
            "This is closed at the moment",
            "You may open this, but not at this hour.",
            "Come back during the hours named here, or ask whoever is responsible for the system.",
        ),
        Reason::NetworkNotAllowed => (
            "Not from this network",
            "You may open this, but not from the network you are in.",
            "Connect to the company network or the VPN and try again.",
        ),
        Reason::RateLimited => (
            "That was too fast",
            "More requests came from you or your network than are allowed in this time.",
            "Wait a little, then try again.",
        ),
        Reason::LockedOut => (
            "Your access is locked",
            "An admin has locked your access to this gateway.",
            "Talk to your admin or your security team. Signing in again does not help.",
        ),
        Reason::MalformedRequest => (
            "This request can’t be read",
            "The address or the request is written in a way that could be understood in two ways. Such requests are not passed on.",
            "Check the address, or go back and use a link from the system.",
        ),
        Reason::Misdirected => (
            "Wrong connection",
            "Your browser used a connection that was opened for another system.",
            "Try again; your browser then opens a new connection.",
        ),
        Reason::CrossSite => (
            "This did not come from our page",
            "Another website tried to send this form for you, so nothing was done.",
            "Open the page here yourself and do it again.",
        ),
        Reason::MethodNotAllowed => (
            "That is not possible here",
            "This page exists, but it can’t be asked for in this way.",
            "Open the page from your list of systems.",
        ),
        Reason::NoSuchPage => (
            "This page does not exist",
            "The gateway has no page with this address.",
            "Check the address for typing errors, or start from your list of systems.",
        ),
        Reason::BodyTooLarge => ("That was too much", "More was sent than is taken here.", "Go back and send less."),
        Reason::BodyTooSlow => (
            "That took too long",
            "What you sent came too slowly, so the gateway did not wait for the rest.",
            "Check your network, then send it again.",
        ),
        Reason::LoopDetected => (
            "This request goes in circles",
            "The request has come through this gateway before, so it was stopped.",
            "It is not your fault. Tell an admin and give the request number.",
        ),
        Reason::SignInNotBegun => (
            "This sign-in has expired",
            "It was begun too long ago, in another browser, or it is finished already.",
            "Start again; that takes only a moment. Please don’t use an old tab or bookmark.",
        ),
        Reason::IdpRefused => (
            "The sign-in was refused",
            "Your identity provider did not sign you in, or you cancelled.",
            "Try again. If it refuses once more, ask whoever runs your accounts.",
        ),
        Reason::IdpAnswerInvalid => (
            "The sign-in did not check out",
            "What your identity provider answered did not pass our checks, so you are not signed in.",
            "Try again. If it happens once more, tell an admin and give the request number.",
        ),
        Reason::RedirectRejected => (
            "That is not one of our addresses",
            "The place you wanted to return to does not belong to this gateway.",
            "Open the system directly, or start from your list of systems.",
        ),
        Reason::FactorCodeWrong => {
            ("That code is not right", "The code does not match your second factor.", "Enter the code that your app shows now.")
        }
        Reason::FactorCodeReused => (
            "That code was used already",
            "Each code works once, so that nobody can use it after you.",
            "Wait until your app shows the next code.",
        ),
        Reason::FactorClockSkewed => (
            "Your phone’s clock is wrong",
            "The code would be right at another time.",
            "Switch on “set time automatically” on your phone, then enter the next code.",
        ),
        Reason::FactorDelayed => (
            "Please wait a little",
            "There were too many wrong codes, so the next one is not looked at yet.",
            "Wait, then enter the code that your app shows. You are not locked out.",
        ),
        Reason::InviteInvalid => (
            "This invitation is not valid",
            "The invitation is unknown, was used already, or has expired.",
            "Ask an admin for a new invitation.",
        ),
        Reason::LogoutTokenInvalid => (
            "The sign-out did not check out",
            "The message that should end a session did not pass our checks.",
            "Sign out on the page of your systems.",
        ),
        Reason::AuditUnavailable => (
            "The gateway can’t keep records",
            "Every access is recorded here. At the moment that is not possible, so nothing passes.",
            "It is not your fault, and the system behind it may be fine. Try again in a few minutes; the operators can see it.",
        ),
        Reason::StoreUnavailable => (
            "The gateway has a problem",
            "The gateway can’t reach its memory of sessions and factors at the moment.",
            "It is not your fault. Try again in a few minutes; you don’t have to sign in again.",
        ),
        Reason::IdpUnavailable => (
            "The sign-in service does not answer",
            "The gateway can’t reach the service that signs you in.",
            "It is not your fault. Try again in a few minutes. Who is signed in already can go on working.",
        ),
        Reason::UpstreamUnreachable => (
            "The system is down",
            "You are allowed in, but the gateway gets no connection to the system.",
            "It is not your fault. Try again in a few minutes, or ask whoever is responsible for the system.",
        ),
        Reason::UpstreamTimedOut => (
            "The system does not answer",
            "You are allowed in, but the system did not answer in time.",
            "It may be busy. Try again in a few minutes, or ask whoever is responsible for the system.",
        ),
        Reason::UpstreamAnswerInvalid => (
            "The system gave a broken answer",
            "You are allowed in, but what the system answered can’t be passed on.",
            "Try again. If it happens once more, tell whoever is responsible for the system.",
        ),
        Reason::Overloaded => {
            ("The gateway is busy", "At the moment there are more requests than the gateway can take.", "Wait a minute, then try again.")
        }
        Reason::InternalError => (
            "Something went wrong here",
            "The gateway made a mistake. Your request was not passed on.",
            "Try again. If it happens once more, tell an admin and give the request number.",
        ),
    };
    ReasonWords { title, why, mend }
}
