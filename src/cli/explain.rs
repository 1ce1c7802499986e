//! `portcullis explain`: the decision about a request that might be made, rule by rule and criterion by criterion.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Table, presets};
use http::Method;
use kernel::identity::Group;
use kernel::identity::assurance::FactorKind;
use kernel::policy::explain::{Explanation, Verdict};
use kernel::policy::{Challenge, Reason};
use kernel::request::check_method;
use kernel::request::client::ClientAddress;
use kernel::request::host::Authority;
use kernel::request::path::CanonicalPath;
use kernel::route::{Route, Target};
use kernel::time::Timestamp;
use serde_json::json;

use super::{Output, exit};
use crate::config::trial::{Question, ask, grounds, verdict_words};
use crate::config::values::parse_duration;
use crate::config::{self, Colour, ShownFactor, TestPerson};

/// Says how a request would be decided, and why
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Method, such as GET
    pub method: String,
    /// Address, such as `https://grafana.example.com/api/x`
    pub url: String,
    /// E-mail address of who asks; nobody is signed in without it or --sub
    #[arg(long = "as", value_name = "EMAIL")]
    pub user: Option<String>,
    /// Groups of who asks, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub groups: Vec<String>,
    /// Subject of who asks, as the IdP names it
    #[arg(long)]
    pub sub: Option<String>,
    /// The second factor that was shown
    #[arg(long, value_enum, default_value_t)]
    pub factor: Factor,
    /// How long ago it was shown
    #[arg(long, default_value = "0s", value_parser = read_duration)]
    pub factor_age: Duration,
    /// The client's address
    #[arg(long)]
    pub from: Option<IpAddr>,
    /// Time of the request, as RFC 3339 has it; now without it
    #[arg(long, value_parser = read_time)]
    pub at: Option<Timestamp>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// A second factor to be taken as shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Factor {
    #[default]
    Totp,
    Webauthn,
    None,
}

fn read_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and a unit, such as 5m".to_owned())
}

fn read_time(text: &str) -> Result<Timestamp, String> {
    config::read_time(text).ok_or_else(|| "write a time like 2026-01-31T09:00:00Z".to_owned())
}

/// What was asked about: a route's request, or one that is answered before any rule.
enum Asked {
    Route(Arc<Route>, Method, CanonicalPath),
    Early(Reason, String),
}

/// Exit code 0 for an allow, 1 otherwise, 2 for wrong usage, 78 when there is no configuration.
pub fn run(dir: &Path, args: &Args, now: Timestamp, colour: Colour, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let loaded = match config::load(dir) {
        Ok(loaded) => loaded,
        Err(report) => return super::check::refuse(&report, colour, err),
    };
    let asked = match read_request(args, &loaded.table) {
        Ok(asked) => asked,
        Err(message) => {
            writeln!(err, "{message}")?;
            return Ok(exit::USAGE);
        }
    };
    let (route, method, path) = match asked {
        Asked::Early(reason, words) => {
            write_early(args, reason, &words, out)?;
            return Ok(exit::NO);
        }
        Asked::Route(route, method, path) => (route, method, path),
    };
    let person = person(args);
    let client = args.from.map(ClientAddress::new);
    let question = Question { person: person.as_ref(), method, path, client, at: args.at.unwrap_or(now) };
    let explanation = ask(&route, &question);
    match args.output {
        Output::Json => writeln!(out, "{:#}", as_json(&route, &question, &explanation))?,
        Output::Table => write_table(&route, &question, &explanation, out)?,
    }
    Ok(if matches!(explanation.verdict, Verdict::Allow(_)) { exit::DONE } else { exit::NO })
}

fn read_request(args: &Args, table: &kernel::route::RouteTable) -> Result<Asked, String> {
    let rest = args.url.strip_prefix("https://").ok_or("an address begins with https://")?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(at).ok_or("this is not an address")?;
    let authority = Authority::parse(authority).map_err(|fault| fault.to_string())?;
    if target.contains('#') {
        return Err("the part from # on never leaves the browser: leave it out".to_owned());
    }
    let path = target.split(['?']).next().filter(|path| !path.is_empty()).unwrap_or("/");
    let method: Method = args.method.parse().map_err(|_| "this is not a method".to_owned())?;
    if let Err(fault) = check_method(&method) {
        return Ok(Asked::Early(Reason::MalformedRequest, fault.to_string()));
    }
    let path = match CanonicalPath::parse(path) {
        Ok(path) => path,
        Err(fault) => return Ok(Asked::Early(Reason::MalformedRequest, fault.to_string())),
    };
    match table.find_authority(&authority) {
        _ if path.is_under("/.portcullis") => {
            Ok(Asked::Early(Reason::NoSuchPage, "pages under /.portcullis/ are the gateway's own: no rule is asked".to_owned()))
        }
        Target::Gateway => Ok(Asked::Early(Reason::NoSuchPage, "this is the gateway's own host: no rule is asked".to_owned())),
        Target::Unknown => Ok(Asked::Early(Reason::UnknownHost, format!("no route has the address {}", authority.origin()))),
        Target::Route(route) => Ok(Asked::Route(route, method, path)),
    }
}

fn person(args: &Args) -> Option<TestPerson> {
    if args.user.is_none() && args.sub.is_none() {
        return None;
    }
    let factor = match args.factor {
        Factor::None => ShownFactor::None,
        Factor::Totp => ShownFactor::Shown { kind: FactorKind::Totp, age: args.factor_age },
        Factor::Webauthn => ShownFactor::Shown { kind: FactorKind::Webauthn, age: args.factor_age },
    };
    let groups = args.groups.iter().map(Group::new).collect();
    Some(TestPerson::new(args.user.as_deref(), args.sub.as_deref(), groups, factor))
}

fn write_early(args: &Args, reason: Reason, words: &str, out: &mut dyn Write) -> io::Result<()> {
    match args.output {
        Output::Json => writeln!(out, "{:#}", json!({ "decision": "deny", "reason": reason, "detail": words, "rules": [] })),
        Output::Table => writeln!(out, "decision: deny ({reason})\n{words}"),
    }
}

fn write_table(route: &Route, question: &Question<'_>, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} {}{} (route {}, class {})", question.method, route.from.origin(), question.path, route.id, route.class)?;
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(["rule", "method", "path", "from", "hours", "who", "factor"]);
    for (rule, (id, outcome)) in route.rules.iter().zip(&explanation.rules) {
        let mut cells = vec![id.to_string()];
        cells.extend(
            grounds(rule, outcome).into_iter().map(|ground| format!("{} {}", if ground.holds { "yes:" } else { "NO:" }, ground.words)),
        );
        table.add_row(cells);
    }
    if !route.rules.is_empty() {
        writeln!(out, "{table}")?;
    }
    writeln!(out, "decision: {}", verdict_words(&explanation.verdict))?;
    let meaning = explanation.verdict.reason().map(Reason::meaning);
    meaning.map_or(Ok(()), |meaning| writeln!(out, "{meaning}"))
}

fn as_json(route: &Route, question: &Question<'_>, explanation: &Explanation) -> serde_json::Value {
    let rules: Vec<_> = route
        .rules
        .iter()
        .zip(&explanation.rules)
        .map(|(rule, (id, outcome))| {
            let criteria: Vec<_> = grounds(rule, outcome)
                .into_iter()
                .map(|ground| json!({ "criterion": ground.criterion, "holds": ground.holds, "words": ground.words }))
                .collect();
            json!({ "rule": id.as_str(), "matches": outcome.allows(), "criteria": criteria })
        })
        .collect();
    let by = match &explanation.verdict {
        Verdict::Allow(rule) => Some(rule.as_str()),
        Verdict::Challenge(Challenge::SignIn | Challenge::SecondFactor | Challenge::StepUp { .. }) | Verdict::Deny(_) => None,
    };
    json!({
        "route": route.id.as_str(),
        "method": question.method.as_str(),
        "path": question.path.as_str(),
        "decision": explanation.verdict.word(),
        "reason": explanation.verdict.reason(),
        "rule": by,
        "rules": rules,
    })
}
