//! A person's browser: cookies by host, navigations with the fetch metadata that browsers send, redirects followed one by
//! one, the provider's login form filled in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::wire::{Answer, Wire};
use super::{GATE, Phone, World};

/// A browser with its cookies. A clone is a copy of the profile as it stands.
#[derive(Clone)]
pub struct Browser {
    world: Arc<World>,
    /// By host (and port, for the provider), then by name.
    pub cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Who fills in the provider's form.
    pub login: String,
    /// The address that it comes from, on loopback.
    pub source: Ipv4Addr,
}

/// Where a browser ended up.
#[derive(Clone, Debug)]
pub struct Visit {
    pub url: String,
    pub answer: Answer,
    /// Every address on the way, the last included.
    pub way: Vec<String>,
}

impl Browser {
    pub fn new(world: &Arc<World>, login: &str) -> Self {
        Self { world: Arc::clone(world), cookies: BTreeMap::new(), login: login.to_owned(), source: Ipv4Addr::LOCALHOST }
    }

    /// One navigation, no redirect followed.
    pub async fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, &[("Accept", "text/html,application/xhtml+xml")], &NAVIGATION, "").await
    }

    /// One GET by a script.
    pub async fn fetch(&mut self, url: &str) -> Answer {
        let metadata = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")];
        self.send("GET", url, &[("Accept", "*/*")], &metadata, "").await
    }

    /// Submits a form from a page of the same host, no redirect followed.
    pub async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Answer {
        let body = encode(form);
        let (scheme, authority, _) = split(url);
        let origin = format!("{scheme}://{authority}");
        let length = body.len().to_string();
        let fields = [
            ("Accept", "text/html"),
            ("Origin", origin.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", length.as_str()),
        ];
        let metadata = [NAVIGATION[0], ("Sec-Fetch-Site", "same-origin"), NAVIGATION[2], NAVIGATION[3], NAVIGATION[4]];
        self.send("POST", url, &fields, &metadata, &body).await
    }

    /// One request with any fields; cookies are shown and kept.
    pub async fn send(&mut self, method: &str, url: &str, fields: &[(&str, &str)], more: &[(&str, &str)], body: &str) -> Answer {
        let (scheme, authority, target) = split(url);
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n");
        for (name, value) in fields.iter().chain(more) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let jar = self.cookies.entry(authority.clone()).or_default();
        if !jar.is_empty() {
            let shown: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", shown.join("; ")));
        }
        head.push_str("Connection: close\r\n\r\n");
        head.push_str(body);
        let mut wire = if scheme == "https" {
            self.world.wire_from(self.source, authority.split(':').next().unwrap()).await
        } else {
            Wire::plain(authority.rsplit(':').next().unwrap().parse().unwrap()).await
        };
        let answer = wire.exchange(head.as_bytes()).await;
        self.keep(&authority, &answer);
        answer
    }

    /// Follows redirects from a navigation to `url`, through the page that keeps the fragment and through the provider's form,
    /// to a page where a person must do something.
    pub async fn go(&mut self, url: &str) -> Visit {
        let (address, fragment) = url.split_once('#').map_or((url, None), |(address, fragment)| (address, Some(fragment)));
        let answer = self.get(address).await;
        self.follow(address, answer, fragment).await
    }

    /// Follows what an answer asks for.
    pub async fn follow(&mut self, url: &str, mut answer: Answer, mut fragment: Option<&str>) -> Visit {
        let mut url = url.to_owned();
        let mut way = vec![url.clone()];
        for _ in 0..25 {
            let next = if matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                join(&url, answer.location())
            } else if let Some(target) = hop(&answer) {
                // What the page's script does.
                let kept = fragment.take().map(|kept| format!("&{}", encode(&[("fragment", kept)]))).unwrap_or_default();
                join(&url, &format!("{target}{kept}"))
            } else if url.starts_with("http://127.0.0.1") && answer.text().contains("name=\"login\"") {
                let login = self.login.clone();
                answer = self.post(&url, &[("login", &login)]).await;
                continue;
            } else if url.starts_with("http://127.0.0.1") && answer.text().contains("name=\"sub\"") {
                // Authlib's form.
                let login = self.login.clone();
                answer = self.post(&url, &[("sub", &login)]).await;
                continue;
            } else if url.starts_with("http://127.0.0.1") && url.contains("/login.html?") {
                self.glewlwyd_page(&url).await
            } else {
                return Visit { url, answer, way };
            };
            url = next;
            way.push(url.clone());
            answer = self.get(url.split('#').next().unwrap()).await;
        }
        panic!("redirected in circles: {way:#?}");
    }

    /// What the script of Glewlwyd's page does: password, consent, and on. Gives the address that comes next.
    async fn glewlwyd_page(&mut self, url: &str) -> String {
        let page = url::Url::parse(url).unwrap();
        let callback = page.query_pairs().find(|(name, _)| name == "callback_url").unwrap().1.into_owned();
        let login = self.login.clone();
        let steps = [
            ("POST", "/api/auth/", serde_json::json!({ "username": login, "password": format!("password-of-{login}") })),
            ("PUT", "/api/auth/grant/portcullis", serde_json::json!({ "scope": "openid" })),
        ];
        for (method, path, body) in steps {
            let (address, body) = (page.join(path).unwrap().to_string(), body.to_string());
            let length = body.len().to_string();
            let fields = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
            let answer = self.send(method, &address, &fields, &[], &body).await;
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        }
        format!("{callback}&g_continue")
    }

    /// Signs in with the first factor alone, from `url` to the page that asks for the second.
    pub async fn first_factor(&mut self, url: &str) -> Visit {
        let visit = self.go(url).await;
        assert_eq!(visit.answer.status, 200, "{visit:#?}");
        assert!(visit.url.contains("/.portcullis/enrol") || visit.url.contains("/.portcullis/second-factor"), "{visit:#?}");
        visit
    }

    /// Enrols at the page that a first sign-in ends at (`enrolment = "first-login"`); gives the phone, the recovery codes and
    /// the place that follows them.
    pub async fn enrol(&mut self, page: &Visit) -> (Phone, Vec<String>, Visit) {
        let phone = Phone::scan(&page.answer.text());
        let code = phone.code(self.world.clock.now());
        let fields = hidden(&page.answer.text());
        let mut form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.push(("code", &code));
        let address = format!("https://{GATE}/.portcullis/enrol");
        let codes = self.post(&address, &form).await;
        assert_eq!(codes.status, 200, "{}", codes.text());
        let text = codes.text();
        let listed = recovery_codes(&text);
        assert_eq!(listed.len(), 10, "{text}");
        let onward = attribute(&text, "/.portcullis/onward").expect("the codes' page leads on");
        let after = self.go(&join(&address, &onward)).await;
        (phone, listed, after)
    }

    /// A whole first sign-in at `url`.
    pub async fn sign_up(&mut self, url: &str) -> (Phone, Vec<String>, Visit) {
        let page = self.first_factor(url).await;
        self.enrol(&page).await
    }

    /// Submits a code on the second-factor page that `visit` is at; redirects are not followed.
    pub async fn submit_code(&mut self, visit: &Visit, code: &str) -> Answer {
        let fields = hidden(&visit.answer.text());
        let mut form: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.push(("code", code));
        self.post(&format!("https://{GATE}/.portcullis/second-factor"), &form).await
    }

    /// A whole sign-in of somebody who has a phone. The clock is moved to its next code.
    pub async fn sign_in(&mut self, url: &str, phone: &Phone) -> Visit {
        let page = self.first_factor(url).await;
        self.world.next_code();
        let answer = self.submit_code(&page, &phone.code(self.world.clock.now())).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        self.follow(&format!("https://{GATE}/.portcullis/second-factor"), answer, None).await
    }

    /// The gateway's cookie at a host.
    pub fn cookie(&self, host: &str) -> Option<&str> {
        self.cookies.get(host)?.get(COOKIE).map(String::as_str)
    }

    /// Puts a cookie in by hand.
    pub fn set_cookie(&mut self, host: &str, value: &str) {
        self.cookies.entry(host.to_owned()).or_default().insert(COOKIE.to_owned(), value.to_owned());
    }

    fn keep(&mut self, authority: &str, answer: &Answer) {
        let jar = self.cookies.entry(authority.to_owned()).or_default();
        for set in answer.all("set-cookie") {
            let (pair, attributes) = set.split_once(';').unwrap_or((set, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() || attributes.contains("Max-Age=0") || attributes.contains("expires=Thu, 01 Jan 1970") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// Scheme, authority and target of an address.
fn split(url: &str) -> (String, String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or_else(|| panic!("no address: {url}"));
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    (scheme.to_owned(), authority.to_owned(), target)
}

fn join(base: &str, reference: &str) -> String {
    url::Url::parse(base).unwrap().join(reference).unwrap().to_string()
}

/// Where the page that keeps the fragment goes on to.
fn hop(answer: &Answer) -> Option<String> {
    let text = answer.text();
    text.contains("id=\"continue\"").then(|| attribute(&text, "go=1")).flatten()
}

/// The first link that contains a text.
fn attribute(page: &str, part: &str) -> Option<String> {
    page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).find(|link| link.contains(part)).map(unescape)
}

/// The hidden fields of a page's form.
pub fn hidden(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input type=\"hidden\" ").skip(1);
    let field = |input: &str| {
        let value = |name: &str| input.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
        (value("name"), unescape(&value("value")))
    };
    // A page may offer two forms that carry the same field; a browser submits one of them.
    inputs.map(field).collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// The codes on a page of recovery codes.
pub fn recovery_codes(page: &str) -> Vec<String> {
    page.split("<li><code><bdi>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

fn unescape(text: &str) -> String {
    text.replace("&amp;", "&").replace("&#38;", "&").replace("&#x2f;", "/").replace("&#47;", "/").replace("&#61;", "=")
}

fn encode(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

const COOKIE: &str = "__Host-portcullis";

/// What a browser says of a navigation that a person began.
pub const NAVIGATION: [(&str, &str); 5] = [
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
];
