//! `portcullis routes`: the inventory of protected systems.

use std::io::{self, Write};
use std::path::Path;

use comfy_table::{Table, presets};
use kernel::policy::rule::{Audience, Methods, Rule, User};
use kernel::route::Route;
use serde_json::json;

use super::{Output, exit};
use crate::config::values::write_duration;
use crate::config::{self, Colour};

/// Lists the protected systems: name, address, upstreams, class, owner, data, rules
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Exit code 0, or 78 when there is no configuration.
pub fn run(dir: &Path, args: &Args, colour: Colour, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let loaded = match config::load(dir) {
        Ok(loaded) => loaded,
        Err(report) => return super::check::refuse(&report, colour, err),
    };
    let routes = loaded.table.sorted();
    match args.output {
        Output::Json => {
            let routes: Vec<_> = routes.iter().map(|route| as_json(route)).collect();
            writeln!(out, "{:#}", json!({ "config": &*loaded.hash, "routes": routes }))?;
        }
        Output::Table => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(["name", "from", "to", "class", "owner", "data", "rules"]);
            for route in routes {
                let rules: Vec<String> = route.rules.iter().map(rule_words).collect();
                let owner = route.owner.as_deref().unwrap_or("-").to_owned();
                let cells = [
                    route.id.to_string(),
                    route.from.origin(),
                    upstreams(route),
                    route.class.to_string(),
                    owner,
                    route.data.join(", "),
                    rules.join("\n"),
                ];
                table.add_row(cells);
            }
            writeln!(out, "{table}")?;
        }
    }
    Ok(exit::DONE)
}

fn upstreams(route: &Route) -> String {
    route.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn rule_words(rule: &Rule) -> String {
    let paths: Vec<&str> = rule.paths.iter().map(|path| path.as_str()).collect();
    format!("{}: {} may {} {}", rule.id, audience_words(&rule.audience), methods_words(&rule.methods), paths.join(" "))
}

fn audience_words(audience: &Audience) -> String {
    match audience {
        Audience::Public => "everybody (public)".to_owned(),
        Audience::AnyoneSignedIn => "anyone signed in".to_owned(),
        Audience::Listed { groups, users } => {
            let groups = groups.iter().map(|group| group.as_str().to_owned());
            groups.chain(users.iter().map(user_words)).collect::<Vec<_>>().join(", ")
        }
    }
}

fn user_words(user: &User) -> String {
    match user {
        User::Email(email) => email.to_string(),
        User::Sub(sub) => sub.to_string(),
    }
}

/// Methods as they stand in a table.
pub(super) fn methods_words(methods: &Methods) -> String {
    match methods {
        Methods::All => "*".to_owned(),
        Methods::Listed(methods) => methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(","),
    }
}

fn as_json(route: &Route) -> serde_json::Value {
    let rule = |rule: &Rule| {
        json!({
            "id": rule.id.as_str(),
            "who": audience_words(&rule.audience),
            "public": rule.audience == Audience::Public,
            "methods": methods_words(&rule.methods),
            "paths": rule.paths.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
            "except": rule.except.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
            "strength": rule.requirement.strength.as_str(),
            "max_age": write_duration(rule.requirement.max_age),
        })
    };
    json!({
        "name": route.id.as_str(),
        "from": route.from.origin(),
        "to": route.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "class": &*route.class,
        "owner": route.owner,
        "data": route.data,
        "rules": route.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}
