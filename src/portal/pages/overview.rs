//! The portal: what a person may open, where she is signed in, and with what.

use askama::Template;
use http::{Response, StatusCode};
use kernel::session::SessionId;

use crate::portal::pages::base::{Base, respond};
use crate::portal::pages::messages::Messages;
use crate::portal::pages::view::{Frame, Notice, Portal, SessionLine, SessionPlace, System};
use crate::portal::pages::{END_SESSION, EVERYWHERE, OTHERS, RECOVERY_CODES, words};
use crate::web::body::Body;

/// The portal.
#[must_use]
pub fn portal(frame: &Frame, view: &Portal) -> Response<Body> {
    let t = Messages::of(frame.language);
    let page = PortalPage {
        base: Base::new(frame, t.portal_page.title),
        t,
        view,
        notice: view.notice.map(|notice| match notice {
            Notice::SessionEnded => t.session_ended,
            Notice::OtherSessionsEnded => t.others_ended,
        }),
        systems: view.systems.iter().map(|system| ShownSystem::new(t, system)).collect(),
        sessions: view.sessions.iter().map(|line| ShownSession::new(t, view, line)).collect(),
        totp: view.factors.totp.map(|enrolled| (t.ago)(view.now.since(enrolled))),
        codes_left: (t.codes_left)(view.factors.recovery_codes_left),
        end_session: END_SESSION,
        others: OTHERS,
        everywhere: EVERYWHERE,
        recovery_codes: RECOVERY_CODES,
    };
    respond(StatusCode::OK, frame, &page)
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage<'a> {
    base: Base<'a>,
    t: &'static Messages,
    view: &'a Portal,
    notice: Option<&'static str>,
    systems: Vec<ShownSystem<'a>>,
    sessions: Vec<ShownSession<'a>>,
    totp: Option<String>,
    codes_left: String,
    end_session: &'static str,
    others: &'static str,
    everywhere: &'static str,
    recovery_codes: &'static str,
}

struct ShownSystem<'a> {
    view: &'a System,
    data: String,
    asked: Option<String>,
}

struct ShownSession<'a> {
    id: SessionId,
    browser: String,
    here: bool,
    began: String,
    last_seen: String,
    address: Option<&'a str>,
}

impl<'a> ShownSystem<'a> {
    fn new(t: &Messages, view: &'a System) -> Self {
        let asked = view.step_up.map(|requirement| (t.step_up)(words::strength(t, requirement.strength)));
        Self { view, data: view.data.join(", "), asked }
    }
}

impl<'a> ShownSession<'a> {
    fn new(t: &Messages, portal: &Portal, line: &'a SessionLine) -> Self {
        Self {
            id: line.id,
            browser: words::browser(t, line.user_agent.as_deref()),
            here: match line.place {
                SessionPlace::ThisBrowser => true,
                SessionPlace::Elsewhere => false,
            },
            began: (t.ago)(portal.now.since(line.began)),
            last_seen: (t.ago)(portal.now.since(line.last_seen)),
            address: line.address.as_deref(),
        }
    }
}
