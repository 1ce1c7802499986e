//! An oracle written from the documentation, with its cases worked out by hand, and what holds for every configuration.

use super::*;

#[derive(Clone, Debug)]
struct Draft {
    public: bool,
    groups: Option<Vec<usize>>,
    methods: Option<Vec<usize>>,
    paths: Vec<usize>,
    except: Vec<usize>,
    network: Option<usize>,
    open_at_noon: bool,
    strong: bool,
    max_age: u64,
}

const GROUPS: [&str; 3] = ["staff", "admin", "Staff"];
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
/// With the paths of [`PATHS`] that each matches, worked out by hand.
const PATTERNS: [(&str, &[usize]); 6] =
    [("/**", &[0, 1, 2, 3, 4]), ("/a/**", &[1, 2, 3]), ("/a/*", &[2]), ("/a/b/c", &[3]), ("/A", &[4]), ("/none", &[])];
const PATHS: [&str; 5] = ["/", "/a", "/a/b", "/a/b/c", "/A"];
/// With whether 10.1.2.3 lies in it.
const NETWORKS: [(&str, bool); 2] = [("10.0.0.0/8", true), ("192.168.0.0/16", false)];

impl Draft {
    fn rule(&self, index: usize) -> Rule {
        let picked = |list: &[usize]| list.iter().map(|at| PathPattern::parse(PATTERNS[*at].0).unwrap()).collect();
        let audience = match &self.groups {
            _ if self.public => Audience::Public,
            None => Audience::AnyoneSignedIn,
            Some(list) => groups(&list.iter().map(|at| GROUPS[*at]).collect::<Vec<_>>()),
        };
        let strength = if self.strong { Strength::PhishingResistant } else { Strength::Any };
        Rule {
            audience,
            methods: self
                .methods
                .as_ref()
                .map_or(Methods::All, |list| Methods::Listed(list.iter().map(|at| METHODS[*at].parse().unwrap()).collect())),
            paths: picked(&self.paths),
            except: picked(&self.except),
            networks: self.network.map_or(Networks::Any, |at| Networks::Listed(vec![NETWORKS[at].0.parse().unwrap()])),
            hours: (!self.open_at_noon).then(nights),
            requirement: asks(strength, self.max_age),
            ..rule(&index.to_string())
        }
    }

    /// What the documentation says: every criterion holds, or the rule does not allow.
    fn allows(&self, asked: &Asked) -> bool {
        let covers = |list: &[usize]| list.iter().any(|at| PATTERNS[*at].1.contains(&asked.path));
        let person = asked.signed_in
            && self.groups.as_ref().is_none_or(|list| list.iter().any(|at| asked.groups.contains(at)))
            && asked
                .proofs
                .iter()
                .filter(|(strong, _)| *strong || !self.strong)
                .map(|(_, age)| *age)
                .min()
                .is_some_and(|age| age <= self.max_age);
        self.methods.as_ref().is_none_or(|list| list.contains(&asked.method))
            && covers(&self.paths)
            && !covers(&self.except)
            && self.network.is_none_or(|at| NETWORKS[at].1)
            && self.open_at_noon
            && (self.public || person)
    }
}

#[derive(Clone, Debug)]
struct Asked {
    signed_in: bool,
    groups: Vec<usize>,
    method: usize,
    path: usize,
    /// Whether it resists phishing, and its age in minutes.
    proofs: Vec<(bool, u64)>,
}

impl Asked {
    fn request(&self, fields: &HeaderMap) -> CanonicalRequest {
        request_with(&METHODS[self.method].parse().unwrap(), PATHS[self.path], "10.1.2.3", fields)
    }

    fn verdict(&self, rules: Vec<Rule>, fields: &HeaderMap) -> Verdict {
        let identity = identity(&self.groups.iter().map(|at| GROUPS[*at]).collect::<Vec<_>>());
        let kind = |strong: bool| if strong { FactorKind::Webauthn } else { FactorKind::Totp };
        let newest = |strong| self.proofs.iter().filter(|proof| proof.0 == strong).map(|proof| proof.1).min();
        let proofs: Vec<_> =
            [true, false].into_iter().filter_map(|strong| Some((kind(strong), at(NOON).minus(minutes(newest(strong)?))))).collect();
        let assurance = shown(&proofs);
        verdict_of(rules, &self.request(fields), self.signed_in.then_some((&identity, &assurance)))
    }
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let some = |count: usize| prop::collection::vec(0..count, 1..3);
    (
        (prop::bool::weighted(0.15), prop::option::of(some(3)), prop::option::of(some(3))),
        (some(6), prop::collection::vec(0..6_usize, 0..2), prop::option::weighted(0.3, 0..2_usize)),
        (prop::bool::weighted(0.8), any::<bool>(), 1..4_u64),
    )
        .prop_map(|((public, groups, methods), (paths, except, network), (open_at_noon, strong, max_age))| Draft {
            public,
            groups,
            methods,
            paths,
            except,
            network,
            open_at_noon,
            strong,
            max_age,
        })
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let proofs = prop::collection::vec((any::<bool>(), 0..5_u64), 0..3);
    (prop::bool::weighted(0.85), prop::collection::vec(0..3_usize, 0..3), 0..3_usize, 0..5_usize, proofs)
        .prop_map(|(signed_in, groups, method, path, proofs)| Asked { signed_in, groups, method, path, proofs })
}

fn compiled(drafts: &[Draft]) -> Vec<Rule> {
    drafts.iter().enumerate().map(|(index, draft)| draft.rule(index)).collect()
}

fn is_allowed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Allow(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_no_rule_allows_whole_is_not_allowed_and_the_rest_is(drafts in prop::collection::vec(any_draft(), 0..6), asked in any_asked()) {
        let verdict = asked.verdict(compiled(&drafts), &HeaderMap::new());
        prop_assert_eq!(is_allowed(&verdict), drafts.iter().any(|draft| draft.allows(&asked)), "{:?}", verdict);
        match &verdict {
            Verdict::Allow(rule) => prop_assert!(drafts[rule.as_str().parse::<usize>().unwrap()].allows(&asked)),
            other if !asked.signed_in => prop_assert_eq!(other, &Verdict::Challenge(Challenge::SignIn)),
            other if asked.proofs.is_empty() => prop_assert_eq!(other, &Verdict::Challenge(Challenge::SecondFactor)),
            _ => {}
        }
    }

    #[test]
    fn another_rule_never_closes_what_was_open(drafts in prop::collection::vec(any_draft(), 0..4), another in any_draft(), place in any::<prop::sample::Index>(), asked in any_asked()) {
        let before = asked.verdict(compiled(&drafts), &HeaderMap::new());
        let mut more = drafts.clone();
        more.insert(place.index(drafts.len() + 1), another);
        prop_assert!(!is_allowed(&before) || is_allowed(&asked.verdict(compiled(&more), &HeaderMap::new())));
    }

    #[test]
    fn another_except_never_opens_what_was_closed(drafts in prop::collection::vec(any_draft(), 1..4), place in any::<prop::sample::Index>(), carved in 0..6_usize, asked in any_asked()) {
        let before = asked.verdict(compiled(&drafts), &HeaderMap::new());
        let mut less = drafts.clone();
        less[place.index(drafts.len())].except.push(carved);
        prop_assert!(is_allowed(&before) || !is_allowed(&asked.verdict(compiled(&less), &HeaderMap::new())));
    }

    #[test]
    fn an_added_field_never_changes_the_decision(drafts in prop::collection::vec(any_draft(), 0..4), asked in any_asked(), added in prop::collection::vec(any_field(), 1..5)) {
        let before = asked.verdict(compiled(&drafts), &HeaderMap::new());
        let mut fields = HeaderMap::new();
        for (name, value) in added {
            fields.append(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        }
        prop_assert_eq!(before, asked.verdict(compiled(&drafts), &fields));
    }
}

/// A field, with a value that would change much if anybody believed it.
fn any_field() -> impl Strategy<Value = (&'static str, String)> {
    let telling = ["10.1.2.3", "192.168.0.1", "for=192.168.0.1;host=app.test", "app.test", "ana@example.com", "s-1", "https", "webauthn"];
    let value = prop_oneof![
        2 => prop::sample::select(PATHS.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(METHODS.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(GROUPS.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(telling.to_vec()).prop_map(str::to_owned),
        1 => "[!-~]{0,30}",
    ];
    (prop::sample::select(ADDED.to_vec()), value)
}

const ADDED: [&str; 19] = [
    "x-portcullis-groups",
    "x-portcullis-subject",
    "x_portcullis_groups",
    "x-forwarded-for",
    "x-forwarded-uri",
    "x-forwarded-host",
    "x-forwarded-method",
    "forwarded",
    "x-forwarded-path",
    "x-real-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "remote-user",
    "x-http-method-override",
    "user-agent",
    "authorization",
    "cookie",
];
