//! From the typed sections to the kernel's routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::policy::rule::Rule;
use kernel::route::{AuthorityTaken, Route, RouteTable};

use super::route_file::{AllowRule, RouteFile};
use super::sections::{Class, Config};

/// The routes as the kernel judges by them. Fails only for a `Config` that [`load`](super::load) did not make: two routes
/// with one address are found there.
pub fn compile(config: &Config) -> Result<RouteTable, AuthorityTaken> {
    let routes = config.routes.iter().map(|file| route(file, &config.classes));
    RouteTable::new(config.gateway.url.clone(), routes)
}

/// One route as the kernel judges by it.
pub(super) fn route(file: &RouteFile, classes: &BTreeMap<Arc<str>, Class>) -> Route {
    Route {
        id: file.name.clone(),
        from: file.from.clone(),
        upstreams: file.to.clone(),
        class: Arc::clone(&file.class),
        idle_timeout: classes.get(&file.class).and_then(|class| class.idle_timeout),
        rules: file.rules.iter().map(rule).collect(),
        owner: file.owner.clone(),
        data: file.data.clone(),
        second_spellings: file.second_spellings,
        recorded_parameters: file.recorded_parameters.clone(),
    }
}

fn rule(rule: &AllowRule) -> Rule {
    Rule {
        id: rule.id.clone(),
        audience: rule.audience.clone(),
        methods: rule.methods.clone(),
        paths: rule.paths.clone(),
        except: rule.except.clone(),
        networks: rule.networks.clone(),
        hours: rule.hours.clone(),
        requirement: rule.requirement,
        rate: rule.rate.clone(),
    }
}
