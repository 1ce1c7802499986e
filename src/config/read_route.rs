//! `routes/NAME.toml`: from the spanned tree to a route, its rules and tests.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;
use kernel::identity::assurance::{FactorKind, Requirement};
use kernel::identity::{Email, Group};
use kernel::policy::Reason;
use kernel::policy::rule::{Audience, Methods, Networks, RuleId, User};
use kernel::request::client::ClientAddress;
use kernel::request::host::Authority;
use kernel::request::path::{CanonicalPath, PathFault};
use kernel::route::matcher::{PathPattern, PatternFault};
use kernel::route::{RouteId, SecondSpellings};

use super::keys;
use super::nearest::{did_you_mean, nearest};
use super::read_hours::hours;
use super::read_upstream;
use super::reader::{Fault, Table, Value};
use super::route_file::{AllowRule, Expectation, RouteFile, RouteTest, ShownFactor, TestPerson};
use super::sections::Class;
use super::source::Place;
use super::values;

/// What was read of a route's file. The parts that other files may contradict stand on their own, so that a mistake
/// elsewhere in the file does not hide a contradiction.
pub(super) struct Draft {
    pub name: Option<(RouteId, Place)>,
    pub from: Option<(Authority, Place)>,
    /// Where each rule stands, in their order.
    pub rules: Vec<Place>,
    /// The tests that were read, and where they stand.
    pub tests: Vec<(RouteTest, Place)>,
    /// `None` when something in the file, its tests left aside, is wrong.
    pub route: Option<RouteFile>,
}

pub(super) fn read(file: &Table<'_>, classes: &BTreeMap<Arc<str>, Class>) -> Draft {
    let name = file.need("name", |value| Some((route_name(value)?, value.place())));
    let from = file.need("from", |value| Some((value.parsed(values::https_authority)?, value.place())));
    let to = file.need("to", |value| value.each_filled(|value| value.parsed(values::upstream)));
    let class_value = file.value("class");
    let class = class_value.as_ref().map_or_else(|| Some("internal".into()), |value| class(value, classes));
    let base = class.as_ref().and_then(|name| classes.get(name)).map(|class| class.second_factor);
    let owner = file.value("owner").map(|value| value.owned());
    let data = file.or("data", Vec::new(), |value| value.each(Value::owned));
    let recorded_parameters = file.or("recorded_parameters", Vec::new(), |value| value.each(Value::owned));
    let spellings = [("refuse", SecondSpellings::Refuse), ("allow", SecondSpellings::Allow)];
    let second_spellings = file.or("underscore_headers", SecondSpellings::Refuse, |value| value.choice(&spellings));
    let upstream = read_upstream::route(file, to.as_deref());
    let (rules, places) = rules(file, base);
    let tests = tests(file);
    let whole = || {
        Some(RouteFile {
            name: name.as_ref()?.0.clone(),
            from: from.as_ref()?.0.clone(),
            to: to?,
            class: class?,
            owner: owner.map_or(Some(None), |owner| owner.map(Some))?,
            data,
            rules: rules?,
            tests: tests.iter().map(|(test, _)| test.clone()).collect(),
            recorded_parameters,
            second_spellings,
            upstream: upstream?,
        })
    };
    let route = whole();
    Draft { name, from, rules: places, tests, route }
}

fn route_name(value: &Value<'_>) -> Option<RouteId> {
    value.parsed(|text| {
        let plain = text.len() <= 63 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let simple: String =
            text.to_lowercase().chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '-' }).take(63).collect();
        let mend = format!("did you mean `{simple}`?");
        plain
            .then(|| RouteId::new(text))
            .ok_or_else(|| Fault::new(format!("`{text}` is not a route's name: small letters, digits and hyphens, at most 63"), mend))
    })
}

fn class(value: &Value<'_>, classes: &BTreeMap<Arc<str>, Class>) -> Option<Arc<str>> {
    value.parsed(|text| {
        if let Some((name, _)) = classes.get_key_value(text) {
            return Ok(Arc::clone(name));
        }
        let known: Vec<&str> = classes.keys().map(|name| &**name).collect();
        let mend = match nearest(text, &known) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("{}, or define [class.{text}] in portcullis.toml", did_you_mean(text, &known)),
        };
        Err(Fault::new(format!("no class is named `{text}`"), mend))
    })
}

fn rules(file: &Table<'_>, base: Option<Requirement>) -> (Option<Vec<AllowRule>>, Vec<Place>) {
    let Some(value) = file.value("allow") else { return (Some(Vec::new()), Vec::new()) };
    let Some(values) = value.list() else { return (None, Vec::new()) };
    if values.len() > RULES_MAX {
        value.error(
            format!("a route with {} rules", values.len()),
            format!("a route has at most {RULES_MAX} rules: join those that differ in one point"),
        );
        return (None, Vec::new());
    }
    let mut ids: Vec<RuleId> = Vec::new();
    let mut rules = Vec::new();
    for value in &values {
        rules.push(value.table(keys::ALLOW).and_then(|table| rule(&table, base, &mut ids)));
    }
    (rules.into_iter().collect(), values.iter().map(Value::place).collect())
}

fn rule(table: &Table<'_>, base: Option<Requirement>, ids: &mut Vec<RuleId>) -> Option<AllowRule> {
    let id = table.need("id", |value| {
        let id = RuleId::new(&super::read_main::identifier(value)?);
        if ids.contains(&id) {
            value.error(format!("two rules of this route have the id `{id}`"), "give each rule its own id");
            return None;
        }
        ids.push(id.clone());
        Some(id)
    });
    let audience = audience(table);
    let methods = table.or("methods", Methods::Listed(vec![Method::GET, Method::HEAD]), methods);
    let paths = table.need("paths", |value| value.each_filled(pattern));
    let except = table.or("except", Vec::new(), |value| value.each(pattern));
    let requirement = requirement(table, base);
    let networks = table.or("from", Networks::Any, |value| value.each_filled(values::network).map(Networks::Listed));
    let hours = table.value("hours").map(|value| hours(&value));
    let rate = table.value("rate").map(|value| values::rate(&value));
    Some(AllowRule {
        id: id?,
        audience: audience?,
        methods,
        paths: paths?,
        except,
        requirement: requirement?,
        networks,
        hours: hours.map_or(Some(None), |hours| hours.map(Some))?,
        rate: rate.map_or(Some(None), |rate| rate.map(Some))?,
    })
}

/// `who` or `public = true`: one of them, never neither.
fn audience(table: &Table<'_>) -> Option<Audience> {
    let public = table.value("public");
    let is_public = match &public {
        None => false,
        Some(value) => match value.flag() {
            Some(flag) => flag,
            // What stands beside it is looked at all the same.
            None => return table.value("who").and_then(|value| who(&value)).and(None),
        },
    };
    match (table.value("who"), is_public) {
        (Some(value), false) => who(&value),
        (None, true) => Some(Audience::Public),
        (Some(who), true) => {
            who.error("a public rule lets everybody in, so `who` would mean nothing", "remove `who`, or remove `public = true`");
            None
        }
        // Behind a syntax error it may well stand.
        (None, false) if !table.desk.broken.is_empty() => None,
        (None, false) => {
            table.error(
                "this rule says nobody: `who` is missing",
                "add `who = { groups = [\"…\"] }`, or `public = true` to open it to everybody",
            );
            None
        }
    }
}

fn who(value: &Value<'_>) -> Option<Audience> {
    let table = value.table(keys::WHO)?;
    let groups = table.value("groups").map(|value| value.each_filled(|value| value.text().map(Group::new)));
    let users = table.value("users").map(|value| value.each_filled(user));
    if let Some(anyone) = table.value("anyone_signed_in") {
        if !anyone.flag()? {
            anyone.error("`anyone_signed_in = false` lets nobody in", "remove it, and name `groups` or `users`");
            return None;
        }
        if groups.is_some() || users.is_some() {
            anyone.error(
                "`anyone_signed_in` lets everybody in who signed in, so `groups` and `users` would mean nothing",
                "keep one of them",
            );
            return None;
        }
        return Some(Audience::AnyoneSignedIn);
    }
    if groups.is_none() && users.is_none() {
        if table.is_empty() {
            table.error("`who` names nobody", "write `groups = [\"…\"]`, `users = [\"…\"]` or `anyone_signed_in = true`");
        }
        return None;
    }
    let groups = groups.unwrap_or_else(|| Some(Vec::new()))?;
    let users = users.unwrap_or_else(|| Some(Vec::new()))?;
    Some(Audience::Listed { groups, users })
}

fn user(value: &Value<'_>) -> Option<User> {
    value.parsed(|text| {
        if !text.contains('@') {
            return Ok(User::Sub(text.into()));
        }
        let fault = |_| Fault::new(format!("`{text}` is not an e-mail address with one reading"), "write it plain: name@example.com");
        Email::parse(text).map(User::Email).map_err(fault)
    })
}

fn methods(value: &Value<'_>) -> Option<Methods> {
    let items = value.filled_list()?;
    if items.iter().any(|item| item.text() == Some("*")) {
        if let [_] = items.as_slice() {
            return Some(Methods::All);
        }
        value.error("`*` means all methods, so the others would mean nothing", "write [\"*\"] alone, or remove \"*\"");
        return None;
    }
    value.each(|value| value.parsed(method)).map(Methods::Listed)
}

fn method(text: &str) -> Result<Method, Fault> {
    let upper = text.to_ascii_uppercase();
    let plain = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !plain {
        let mend = if nearest(&upper, &METHODS).is_some() {
            did_you_mean(&upper, &METHODS)
        } else {
            "write it in capital letters: \"GET\"".to_owned()
        };
        return Err(Fault::new(format!("`{text}` is not a method"), mend));
    }
    if matches!(text, "CONNECT" | "TRACE") {
        return Err(Fault::new(format!("{text} is never forwarded"), "remove it"));
    }
    // A method of one's own is possible; one that is nearly a common one is a slip.
    if !METHODS.contains(&text) && nearest(text, &METHODS).is_some() {
        return Err(Fault::new(format!("`{text}` is not a method"), did_you_mean(text, &METHODS)));
    }
    Method::from_str(text).map_err(|_| Fault::new(format!("`{text}` is not a method"), "write a method like \"GET\""))
}

fn pattern(value: &Value<'_>) -> Option<PathPattern> {
    value.parsed(|text| {
        if text == "/.portcullis" || text.starts_with("/.portcullis/") {
            return Err(Fault::new("`/.portcullis/` is the gateway's own: no upstream is reached under it", "remove the pattern"));
        }
        PathPattern::parse(text).map_err(|fault| Fault::new(format!("`{text}` is not a path pattern: {fault}"), pattern_mend(text, fault)))
    })
}

fn pattern_mend(text: &str, fault: PatternFault) -> String {
    match fault {
        PatternFault::NotAbsolute if text == "*" || text == "**" => "did you mean `/**`?".to_owned(),
        PatternFault::NotAbsolute => format!("did you mean `/{text}`?"),
        PatternFault::DoubleStarInSegment => "write `**` between slashes, or `*` within a segment".to_owned(),
        PatternFault::TooManySegments => "write a shorter pattern; `**` stands for any number of segments".to_owned(),
        PatternFault::Query => {
            let path = text.split(['?', '#']).next().unwrap_or(text);
            format!("did you mean `{path}`? Rules do not look at the query")
        }
        PatternFault::EmptySegment | PatternFault::Path(PathFault::EmptySegment) => format!("did you mean `{}`?", single_slashes(text)),
        PatternFault::Path(PathFault::DotSegment) => "write the path without `.` and `..`".to_owned(),
        PatternFault::Path(_) => {
            "write the path as a request would have it; a request with this path is refused before any rule".to_owned()
        }
    }
}

fn single_slashes(text: &str) -> String {
    let mut plain = text.to_owned();
    while plain.contains("//") {
        plain = plain.replace("//", "/");
    }
    plain
}

/// What the rule asks of the factor. Weaker than the class is a mistake, because the class would silently win.
fn requirement(table: &Table<'_>, base: Option<Requirement>) -> Option<Requirement> {
    let value = table.value("factor");
    // With an unknown class the factor is read all the same, for the mistakes in it.
    let class = base.unwrap_or(LOOSEST);
    let Some(value) = value else { return base };
    let ours = super::read_main::factor(&value, class)?;
    let inner = value.table(keys::FACTOR)?;
    if ours.strength < class.strength {
        let at = inner.value("strength").unwrap_or_else(|| value.clone());
        at.error(
            format!("strength `{}` is weaker than the class asks", ours.strength.as_str()),
            format!("write \"{}\", or remove it", class.strength.as_str()),
        );
    }
    if ours.max_age > class.max_age {
        let at = inner.value("max_age").unwrap_or_else(|| value.clone());
        let class_age = values::write_duration(class.max_age);
        at.error(
            format!("max_age `{}` is weaker than the class asks", values::write_duration(ours.max_age)),
            format!("write at most \"{class_age}\", or remove it"),
        );
    }
    Some(class.and(ours))
}

fn tests(file: &Table<'_>) -> Vec<(RouteTest, Place)> {
    let values = file.value("test").and_then(|value| value.list()).unwrap_or_default();
    values.iter().filter_map(|value| Some((test(&value.table(keys::TEST)?)?, value.place()))).collect()
}

fn test(table: &Table<'_>) -> Option<RouteTest> {
    let factor = shown_factor(table);
    let person = table.value("as").map(|value| person(&value, factor?));
    let request = table.need("request", |value| value.parsed(request));
    let client = table.value("from").map(|value| {
        let mend = "write one address: \"10.1.2.3\"";
        value.parsed(|text| text.parse().map(ClientAddress::new).map_err(|_| Fault::new(format!("`{text}` is not an address"), mend)))
    });
    let at = table.value("at").map(|value| value.parsed(read_time));
    let words = [("allow", Expectation::Allow), ("challenge", Expectation::Challenge), ("deny", Expectation::Deny)];
    let expect = table.need("expect", |value| value.choice(&words));
    let reason = table.value("reason").map(|value| reason(&value, expect));
    let (method, path) = request?;
    Some(RouteTest {
        person: person.map_or(Some(None), |person| person.map(Some))?,
        method,
        path,
        client: client.map_or(Some(None), |client| client.map(Some))?,
        at: at.map_or(Some(None), |at| at.map(Some))?,
        expect: expect?,
        reason: reason.map_or(Some(None), |reason| reason.map(Some))?,
    })
}

/// A time as RFC 3339 writes it.
pub(super) fn read_time(text: &str) -> Result<kernel::time::Timestamp, Fault> {
    let form = || Fault::new(format!("`{text}` is not a time"), "write a time as RFC 3339 has it: \"2026-01-31T09:00:00Z\"");
    let time: jiff::Timestamp = text.parse().map_err(|_| form())?;
    u64::try_from(time.as_microsecond()).map(kernel::time::Timestamp::from_micros).map_err(|_| form())
}

fn shown_factor(table: &Table<'_>) -> Option<ShownFactor> {
    let age = table.or("factor_age", std::time::Duration::ZERO, |value| values::duration(value, std::time::Duration::ZERO, ALWAYS));
    let kinds = [("totp", Some(FactorKind::Totp)), ("webauthn", Some(FactorKind::Webauthn)), ("none", None)];
    let kind = table.value("factor").map_or(Some(Some(FactorKind::Totp)), |value| value.choice(&kinds))?;
    Some(kind.map_or(ShownFactor::None, |kind| ShownFactor::Shown { kind, age }))
}

fn person(value: &Value<'_>, factor: ShownFactor) -> Option<TestPerson> {
    let table = value.table(keys::PERSON)?;
    let user = table.value("user").map(|value| value.owned());
    let sub = table.value("sub").map(|value| value.owned());
    let groups = table.or("groups", Vec::new(), |value| value.each(|value| value.text().map(Group::new)));
    let user = user.map_or(Some(None), |user| user.map(Some))?;
    let sub = sub.map_or(Some(None), |sub| sub.map(Some))?;
    Some(TestPerson::new(user.as_deref(), sub.as_deref(), groups, factor))
}

fn request(text: &str) -> Result<(Method, Result<CanonicalPath, PathFault>), Fault> {
    let form = || Fault::new(format!("`{text}` is not a request"), "write a method and a path: \"GET /api/x\"");
    let (word, target) = text.split_once(' ').ok_or_else(form)?;
    if !target.starts_with('/') {
        return Err(form());
    }
    let path = target.split(['?', '#']).next().unwrap_or(target);
    Ok((method(word)?, CanonicalPath::parse(path)))
}

fn reason(value: &Value<'_>, expect: Option<Expectation>) -> Option<Reason> {
    let text = value.text()?;
    let Some(reason) = Reason::parse(text) else {
        let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        let mend = nearest(text, &codes).map_or("write a reason code, like no_rule, outside_hours or factor_too_old".to_owned(), |code| {
            format!("did you mean `{code}`?")
        });
        value.error(format!("`{text}` is not a reason code"), mend);
        return None;
    };
    if expect == Some(Expectation::Allow) {
        value.error("what is allowed has no reason code", "remove `reason`");
        return None;
    }
    Some(reason)
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
/// Every pair of rules is compared when a configuration is checked.
const RULES_MAX: usize = 1_000;
const ALWAYS: std::time::Duration = std::time::Duration::from_secs(366 * 86_400);
const LOOSEST: Requirement = Requirement { strength: kernel::identity::assurance::Strength::Any, max_age: ALWAYS };
