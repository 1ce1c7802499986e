//! Broken configurations: every mistake is found in one run, at the right line, with a mend. And good ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use kernel::policy::rule::Audience;
use zeroize::Zeroizing;

use super::*;

pub(super) const ROUTE: &str = r#"name = "app"
from = "https://app.example.com"
to = ["http://10.0.0.5:3000"]

[[allow]]
id = "read"
who = { groups = ["dev"] }
paths = ["/**"]
"#;

pub(super) const MAIN: &str = r#"[gateway]
url = "https://gate.example.com"
state_dir = "state"
master_key = { file = "keys/master.key" }

[[listener]]
name = "https"
bind = "[::]:443"

[tls]
[[tls.certificate]]
cert = "certs/gate.pem"
key = "certs/gate.key"

[[idp]]
id = "corp"
issuer = "https://idp.example.com"
client_id = "portcullis"
client_secret = { file = "keys/oidc.secret" }

[audit]
dir = "audit"
signing_key = { file = "keys/audit.key" }
"#;

/// A folder with the files that the texts name.
pub(super) fn folder(main: &str, routes: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["routes", "keys", "certs"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    key_file::generate(&dir.path().join("keys/master.key"), &Zeroizing::new([7; 32])).unwrap();
    key_file::generate(&dir.path().join("keys/audit.key"), &Zeroizing::new([8; 32])).unwrap();
    fs::write(dir.path().join("keys/oidc.secret"), "s3cr3t-canary\n").unwrap();
    let hosts = ["*.example.com", "*.prod.example.com"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    fs::write(dir.path().join("certs/gate.pem"), made.cert.pem()).unwrap();
    key_text(dir.path(), "certs/gate.key", &made.signing_key.serialize_pem());
    fs::write(dir.path().join("portcullis.toml"), main).unwrap();
    for (name, text) in routes {
        fs::write(dir.path().join("routes").join(name), text).unwrap();
    }
    dir
}

fn key_text(dir: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(dir.join(name), text).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

pub(super) fn refused(dir: &Path) -> Report {
    match load(dir) {
        Ok(_) => panic!("a broken configuration was taken"),
        Err(report) => report,
    }
}

/// Exactly these errors, in this order: line, part of the key, part of message and mend.
fn expect(report: &Report, file: &str, wanted: &[(usize, &str, &str)]) {
    let errors: Vec<_> = report.problems().iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert_eq!(errors.len(), wanted.len(), "{report}");
    for (problem, (line, key, words)) in errors.iter().zip(wanted) {
        assert!(problem.file().ends_with(file), "{report}");
        assert_eq!(problem.line(), *line, "{key}: {report}");
        assert!(problem.key.contains(key), "{key} in {}", problem.key);
        let said = format!("{} | {}", problem.message, problem.mend);
        assert!(said.contains(words), "`{words}` in `{said}`");
        assert!(!problem.mend.is_empty(), "{said}");
    }
}

/// The main text with one change gives exactly this error.
fn check_main(old: &str, new: &str, line: usize, key: &str, words: &str) {
    assert!(MAIN.contains(old), "{old}");
    let dir = folder(&MAIN.replacen(old, new, 1), &[("app.toml", ROUTE)]);
    expect(&refused(dir.path()), "portcullis.toml", &[(line, key, words)]);
}

fn check_route(old: &str, new: &str, line: usize, key: &str, words: &str) {
    assert!(ROUTE.contains(old), "{old}");
    let dir = folder(MAIN, &[("app.toml", &ROUTE.replacen(old, new, 1))]);
    expect(&refused(dir.path()), "app.toml", &[(line, key, words)]);
}

#[test]
fn the_small_configuration_is_taken() {
    let dir = folder(MAIN, &[("app.toml", ROUTE)]);
    let loaded = load(dir.path()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.table.sorted().len(), 1);
    assert_eq!(loaded.hash.len(), 32);
}

#[test]
fn every_mistake_in_the_main_file_is_named() {
    check_main("url =", "ulr =", 2, "gateway.ulr", "did you mean `url`?");
    check_main("url = \"https://gate.example.com\"\n", "", 1, "gateway.url", "add `url = ");
    check_main("state_dir = \"state\"", "state_dir = 5", 3, "gateway.state_dir", "put it in quotes: \"5\"");
    check_main("https://gate.example.com", "http://gate.example.com", 2, "gateway.url", "did you mean `https://gate.example.com`?");
    check_main("https://gate.example.com", "https://gate.example.com/x", 2, "gateway.url", "no path");
    check_main("\"[::]:443\"", "\":443\"", 8, "listener.bind", "did you mean `[::]:443`?");
    check_main("https://gate.example.com", "https://gate.example.com:8443", 2, "gateway.url", "add a [[listener]] for port 8443");
    check_main("bind = \"[::]:443\"", "bind = \"[::]:443\"\nprotocols = [\"h3\"]", 9, "listener.protocols", "remove \"h3\"");
    check_main("bind = \"[::]:443\"", "bind = \"[::]:443\"\nprotocols = []", 9, "listener.protocols", "never means all");
    check_main(
        "bind = \"[::]:443\"",
        "bind = \"[::]:443\"\ntrusted_proxies = [\"10.0.0.1/8\"]",
        9,
        "trusted_proxies",
        "did you mean `10.0.0.0/8`?",
    );
    check_main("bind = \"[::]:443\"", "bind = \"[::]:443\"\nproxy_protocol = true", 9, "proxy_protocol", "add `trusted_proxies");
    check_main("[tls]\n", "[tls]\nprofile = \"modren\"\n", 11, "tls.profile", "did you mean `modern`?");
    check_main("keys/master.key", "keys/none.key", 4, "master_key.file", "portcullis key generate");
    check_main("keys/master.key", "keys", 4, "master_key.file", "is a directory");
    check_main("{ file = \"keys/oidc.secret\" }", "\"hunter2\"", 19, "idp.client_secret", "a secret does not stand in the configuration");
    check_main("{ file = \"keys/oidc.secret\" }", "{ env = \"PORTCULLIS_TEST_UNSET\" }", 19, "client_secret.env", "is not set");
    check_main("{ file = \"keys/oidc.secret\" }", "{ file = \"a\", env = \"b\" }", 19, "client_secret", "not both");
    check_main("https://idp.example.com", "http://idp.example.com", 17, "idp.issuer", "did you mean `https://idp.example.com`?");
    check_main("certs/gate.pem", "certs/gate.key", 12, "certificate.cert", "this is a private key");
    check_main("certs/gate.key", "certs/gate.pem", 13, "certificate.key", "no private key");
    check_main("dir = \"audit\"", "dir = \"audit\"\ndurability = \"sync\"", 23, "audit.durability", "did you mean `synced`?");
    let more = |text: &str| format!("[audit]\n{text}\n[audit]").replace("[audit]\n", "").replace("\n[audit]", "\n\n[audit]");
    check_main("[audit]", &more("[session]\nidle_timeout = \"30\""), 22, "session.idle_timeout", "not a duration");
    check_main("[audit]", &more("[session]\nidle_timeout = \"13h\""), 22, "session.idle_timeout", "absolute_timeout");
    check_main("[audit]", &more("[rate_limit]\nsign_in = \"10/d\""), 22, "rate_limit.sign_in", "\"10/m\"");
    check_main("[audit]", &more("[limits]\nheader_bytes = \"32KB\""), 22, "limits.header_bytes", "\"32KiB\"");
    check_main("[audit]", &more("[store]\nurl = \"postgres://db/x\""), 22, "store.url", "this build has no `postgres` store");
    check_main("[audit]", &more("[second_factor]\ntrust_idp = [\"crop\"]"), 22, "trust_idp", "did you mean `corp`?");
    check_main("[audit]", "[audit.retention]\ndefault = \"6\"\n\n[audit]", 22, "audit.retention.default", "not a duration");
    check_main("[audit]", "[audit.retention]\ndefault = \"1h\"\n\n[audit]", 22, "audit.retention.default", "out of range");
    check_main(
        "[audit]",
        "[audit.retention]\nhttp_activty = \"9d\"\n\n[audit]",
        22,
        "audit.retention.http_activty",
        "did you mean `http_activity`?",
    );
    check_main("[audit]", &more("[admim]\ngroups = []"), 21, "admim", "did you mean `admin`?");
    check_main("[audit]", &more("[admin]\ngroups = \"a\""), 22, "admin.groups", "put it in brackets: [\"a\"]");
    check_main("id = \"corp\"\n", "id = \"corp\"\nid = \"other\"\n", 17, "", "duplicate key");
}

#[test]
fn every_mistake_in_a_route_is_named() {
    check_route("\"app\"", "\"My App\"", 1, "name", "did you mean `my-app`?");
    check_route("https://app.example.com", "tcp://db.example.com:5432", 2, "from", "this build has no tunnels");
    check_route("https://app.example.com", "https://*.example.com", 2, "from", "no wildcards");
    check_route("https://app.example.com", "https://app.example.com:8443", 2, "from", "no listener has the port 8443");
    check_route("https://app.example.com", "https://gate.example.com", 2, "from", "taken already");
    check_route("[\"http://10.0.0.5:3000\"]", "[\"10.0.0.5:3000\"]", 3, "to", "did you mean `http://10.0.0.5:3000`?");
    check_route("[\"http://10.0.0.5:3000\"]", "[]", 3, "to", "never means all");
    check_route("\n[[allow]]", "class = \"internl\"\n[[allow]]", 4, "class", "did you mean `internal`?");
    check_route("groups = [\"dev\"]", "group = [\"dev\"]", 7, "allow.who.group", "did you mean `groups`?");
    check_route("groups = [\"dev\"]", "groups = []", 7, "allow.who.groups", "never means all");
    check_route("groups = [\"dev\"]", "", 7, "allow.who", "names nobody");
    check_route("who = { groups = [\"dev\"] }\n", "", 5, "allow", "`who` is missing");
    check_route("who = {", "public = true\nwho = {", 8, "allow.who", "remove `who`");
    check_route("paths = [\"/**\"]", "paths = [\"app/**\"]", 8, "allow.paths", "did you mean `/app/**`?");
    check_route("paths = [\"/**\"]", "paths = [\"/a**\"]", 8, "allow.paths", "stands alone");
    check_route("paths = [\"/**\"]", "paths = [\"/a//b\"]", 8, "allow.paths", "did you mean `/a/b`?");
    check_route("paths = [\"/**\"]", "", 5, "allow.paths", "add `paths");
    check_route("paths = [\"/**\"]", "paths = [\"/.portcullis/x\"]", 8, "allow.paths", "the gateway's own");
    check_route("paths =", "methods = [\"get\"]\npaths =", 8, "allow.methods", "did you mean `GET`?");
    check_route("paths =", "methods = [\"*\", \"GET\"]\npaths =", 8, "allow.methods", "alone");
    check_route("paths =", "from = []\npaths =", 8, "allow.from", "never means all");
    check_route("paths =", "rate = \"fast\"\npaths =", 8, "allow.rate", "\"20/s\"");
    check_route("paths =", "factor = { max_agee = \"1h\" }\npaths =", 8, "factor.max_agee", "did you mean `max_age`?");
    check_route("paths =", "factor = { max_age = \"24h\" }\npaths =", 8, "factor.max_age", "write at most \"12h\"");
    let hours =
        |zone: &str, days: &str| format!("hours = {{ days = \"{days}\", from = \"06:00\", to = \"20:00\", zone = \"{zone}\" }}\npaths =");
    check_route("paths =", &hours("Berlin", "mon-fri"), 8, "hours.zone", "did you mean `Europe/Berlin`?");
    check_route("paths =", &hours("UTC", "monday"), 8, "hours.days", "did you mean `mon`?");
    check_route(
        "paths = [\"/**\"]\n",
        "paths = [\"/**\"]\n[[allow]]\nid = \"read\"\npublic = true\npaths = [\"/x\"]\n",
        10,
        "allow.id",
        "its own id",
    );
    let test = |text: &str| format!("paths = [\"/**\"]\n[[test]]\nrequest = \"GET /\"\n{text}\n");
    check_route("paths = [\"/**\"]\n", &test("expect = \"allow\""), 9, "test", "decided challenge (no_session)");
    check_route("paths = [\"/**\"]\n", &test("expect = \"deny\"\nreason = \"no_rules\""), 12, "test.reason", "did you mean `no_rule`?");
    check_route("to = [\"http", "to = [http", 3, "", "quotes");
}

#[test]
fn every_mistake_about_upstreams_is_named() {
    let to = "[\"http://10.0.0.5:3000\"]";
    check_route(to, "[\"unix:app.sock\"]", 3, "to", "write the whole path");
    check_route(to, "[\"h2c://10.0.0.5\"]", 3, "to", "`protocol = \"h2\"`");
    let check = |text: &str, line, key, says| {
        check_route("paths = [\"/**\"]\n", &format!("paths = [\"/**\"]\n[upstream]\n{text}\n"), line, key, says);
    };
    check("protocol = \"http2\"", 10, "upstream.protocol", "`h2`");
    check("connect_timeout = \"5\"", 10, "upstream.connect_timeout", "\"500ms\"");
    check("body_max = \"5\"", 10, "upstream.body_max", "\"32KiB\"");
    check("tls_name = \"db.internal\"", 10, "upstream.tls_name", "no upstream of this route is https");
    check("ca = \"certs/gate.pem\"", 10, "upstream.ca", "no upstream of this route is https");
    check("[upstream.health]\ninterval = \"1s\"", 10, "upstream.health.path", "add `path");
    check("[upstream.health]\npath = \"healthz\"", 11, "upstream.health.path", "write a path");
    check("[upstream.health]\npath = \"/\"\nhealthy_after = 0", 12, "upstream.health.healthy_after", "from 1 to 100");
    let https = |text: &str| ROUTE.replace("http://", "https://") + "[upstream]\n" + text;
    for (text, says) in [
        ("tls_name = \"not a name\"", "is not the name of a certificate"),
        ("ca = \"certs/none.pem\"", "certs/none.pem"),
        ("certificate = { cert = \"certs/gate.pem\", key = \"keys/oidc.secret\" }", "holds no private key"),
    ] {
        let dir = folder(MAIN, &[("app.toml", &https(text))]);
        let shown = refused(dir.path()).render(Colour::Plain);
        assert!(shown.contains(says), "{text}: {shown}");
    }
}

#[test]
fn a_route_says_how_its_upstreams_are_reached() {
    let text = ROUTE.replace("[\"http://10.0.0.5:3000\"]", "[\"https://10.0.0.5:3000\", \"unix:/run/app.sock\"]")
        + r#"[upstream]
protocol = "auto"
assertion = "session"
connect_timeout = "2s"
body_max = "10MiB"
body_rate_min = "0B"
tls_name = "db.internal.example.com"
ca = "certs/gate.pem"
certificate = { cert = "certs/gate.pem", key = "certs/gate.key" }
[upstream.health]
path = "/healthz"
"#;
    let dir = folder(MAIN, &[("app.toml", &text)]);
    let config = load(dir.path()).unwrap().config;
    let upstream = &config.routes[0].upstream;
    assert_eq!((upstream.body_max, upstream.body_rate_min), (Some(10_485_760), Some(0)));
    assert_eq!((upstream.protocol, upstream.tls_name.as_deref()), (route_file::UpstreamProtocol::Auto, Some("db.internal.example.com")));
    assert_eq!(upstream.assertion, route_file::Assertion::Session);
    assert!(upstream.ca.is_some() && upstream.certificate.is_some());
    assert_eq!(upstream.health.as_ref().map(|health| (health.unhealthy_after, health.healthy_after)), Some((3, 2)));
    assert_eq!(config.routes[0].to[1].to_string(), "unix:/run/app.sock");
}

#[test]
fn mistakes_in_several_files_are_found_in_one_run() {
    // given mistakes of every kind, in three files, one of them a syntax error
    let main = MAIN.replace("bind =", "bnid =").replace("dir = \"audit\"", "dir = 5");
    let one = ROUTE.replace("groups", "group").replace("/**", "**");
    let two = ROUTE.replace("to = [\"http", "to = [http").replace("groups", "gruops");
    let dir = folder(&main, &[("one.toml", &one), ("two.toml", &two)]);
    let report = refused(dir.path());
    // then each is there
    let has = |file: &str, line: usize, words: &str| {
        let found = report.problems().iter().any(|problem| {
            problem.file().ends_with(file) && problem.line() == line && format!("{} {}", problem.message, problem.mend).contains(words)
        });
        assert!(found, "{file}:{line} {words}\n{report}");
    };
    has("portcullis.toml", 8, "did you mean `bind`?");
    has("portcullis.toml", 22, "in quotes");
    has("one.toml", 7, "did you mean `groups`?");
    has("one.toml", 8, "did you mean `/**`?");
    has("two.toml", 3, "quotes");
    has("two.toml", 7, "did you mean `groups`?");
    has("two.toml", 1, "taken already");
}

#[test]
fn key_files_that_are_no_secret_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    type Break<'a> = &'a dyn Fn(&Path);
    let broken: [(&str, Break<'_>); 8] = [
        ("is empty | holds no key", &|path| fs::write(path, "").unwrap()),
        ("can be read by others", &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap()),
        ("base64 of 32 bytes", &|path| fs::write(path, "c2hvcnQ=").unwrap()),
        ("larger than 1 MiB", &|path| fs::write(path, vec![b'A'; 1_100_000]).unwrap()),
        ("not UTF-8", &|path| fs::write(path, [0xff, 0xfe]).unwrap()),
        ("all zeros", &|path| fs::write(path, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap()),
        ("not a regular file", &|path| {
            fs::remove_file(path).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        }),
        ("does not exist", &|path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/nonexistent/key", path).unwrap();
        }),
    ];
    for (words, break_it) in broken {
        let dir = folder(MAIN, &[("app.toml", ROUTE)]);
        break_it(&dir.path().join("keys/master.key"));
        let report = refused(dir.path());
        assert_eq!(report.count(Severity::Error), 1, "{report}");
        let message = &report.problems()[0].message;
        assert!(words.split(" | ").any(|word| message.contains(word)), "{words}: {message}");
        assert_eq!(report.problems()[0].line(), 4);
    }
}

#[test]
fn secrets_are_never_shown() {
    let dir = folder(MAIN, &[("app.toml", ROUTE)]);
    let loaded = load(dir.path()).unwrap();
    assert_eq!(loaded.config.idps[0].client_secret.expose(), "s3cr3t-canary");
    for text in [format!("{loaded:?}"), show::text(&loaded.config)] {
        assert!(text.contains("***") && !text.contains("s3cr3t-canary") && !text.contains("BwcHBwcH"), "{text}");
    }
}

#[test]
fn no_rule_is_without_audience() {
    let dir = shipped();
    for route in load(dir.path()).unwrap().table.sorted() {
        for rule in &route.rules {
            let Audience::Listed { groups, users } = &rule.audience else { continue };
            assert!(!groups.is_empty() || !users.is_empty(), "{}", rule.id);
        }
    }
}

#[test]
fn rules_worth_a_thought_are_warned_about() {
    let text = format!(
        "{ROUTE}\n[[allow]]\nid = \"less\"\nwho = {{ groups = [\"dev\"] }}\npaths = [\"/a/**\"]\n[[allow]]\nid = \"all\"\nmethods = [\"*\"]\nwho = {{ anyone_signed_in = true }}\npaths = [\"/**\"]\n"
    );
    let dir = folder(MAIN, &[("app.toml", &text)]);
    let warnings = load(dir.path()).unwrap().warnings.to_string();
    assert!(warnings.contains("`less` opens nothing that the rule `read`"), "{warnings}");
    assert!(warnings.contains("`all` opens every path with every method"), "{warnings}");
}

/// The shipped files, with keys.
fn shipped() -> tempfile::TempDir {
    let routes =
        [("grafana.toml", include_str!("../../config/routes/grafana.toml")), ("wiki.toml", include_str!("../../config/routes/wiki.toml"))];
    folder(include_str!("../../config/portcullis.toml"), &routes)
}

#[test]
fn the_reference_states_the_defaults() {
    let (shipped, small) = (shipped(), folder(MAIN, &[]));
    let value = |dir: &Path| show::value(&load(dir).unwrap().config);
    let (reference, defaults) = (value(shipped.path()), value(small.path()));
    for section in ["operations", "second_factor", "session", "rate_limit", "class", "admin", "upstream", "sandbox", "limits", "detection"]
    {
        assert_eq!(reference[section], defaults[section], "{section}");
    }
    assert_eq!(reference["idp"][0]["scopes"], defaults["idp"][0]["scopes"]);
    assert_eq!(reference["listener"], defaults["listener"]);
    for key in ["durability", "personal", "client_address", "retention"] {
        assert_eq!(reference["audit"][key], defaults["audit"][key], "{key}");
    }
}

#[test]
fn the_reference_names_every_key() {
    fn walk(keys: &[keys::Key], text: &str) {
        for key in keys {
            let named = text.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ', '[']);
                line.strip_prefix(key.name).is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
                    || line.contains(&format!("{} = ", key.name))
                    || line.contains(&format!(".{}]", key.name))
            });
            assert!(named, "{}", key.name);
            match key.form {
                keys::Form::Table(keys) | keys::Form::Tables(keys) | keys::Form::Named(keys) => walk(keys, text),
                _ => {}
            }
        }
    }
    walk(keys::MAIN, include_str!("../../config/portcullis.toml"));
}

#[test]
fn the_schema_is_the_generated_one() {
    assert_eq!(include_str!("../../config/schema.json"), schema::text(), "write it with `portcullis config schema`");
}

/// The main text with `[tls.acme]` in the place of the certificate.
fn with_acme(lines: &str) -> String {
    let pair = "[[tls.certificate]]\ncert = \"certs/gate.pem\"\nkey = \"certs/gate.key\"\n";
    assert!(MAIN.contains(pair));
    MAIN.replacen(pair, &format!("[tls.acme]\n{lines}"), 1)
}

const ACME: &str = "directory = \"https://ca.example.com/dir\"\nterms_accepted = true\n";

#[test]
fn certificates_may_come_from_an_authority_alone_or_beside_files() {
    let dir = folder(&with_acme(ACME), &[("app.toml", ROUTE)]);
    let loaded = load(dir.path()).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.config.acme_hosts(), ["gate.example.com", "app.example.com"]);
    // What a file is for is not asked for, unless it is listed.
    let beside = MAIN.replacen("[[idp]]", &format!("[tls.acme]\n{ACME}[[idp]]"), 1);
    let other = ROUTE.replace("app.example.com", "app.other.test");
    let dir = folder(&beside, &[("app.toml", &other)]);
    assert_eq!(load(dir.path()).unwrap().config.acme_hosts(), ["app.other.test"]);
    let listed = beside.replace("terms_accepted = true", "terms_accepted = true\nhosts = [\"gate.example.com\"]");
    let dir = folder(&listed, &[("app.toml", ROUTE)]);
    assert_eq!(load(dir.path()).unwrap().config.acme_hosts(), ["gate.example.com"]);
}

#[test]
fn mistakes_about_an_authority_are_named() {
    let check = |lines: &str, line: usize, key: &str, words: &str| {
        let dir = folder(&with_acme(lines), &[("app.toml", ROUTE)]);
        expect(&refused(dir.path()), "portcullis.toml", &[(line, key, words)]);
    };
    let more = |line: &str| format!("{ACME}{line}\n");
    check("terms_accepted = true\n", 11, "tls.acme.directory", "add `directory = ");
    check("directory = \"https://ca.example.com/dir\"\n", 11, "tls.acme.terms_accepted", "add `terms_accepted = true`");
    check(&ACME.replace("true", "false"), 13, "tls.acme.terms_accepted", "read the terms");
    check(&ACME.replace("https:", "http:"), 12, "tls.acme.directory", "https alone");
    check(&more("hosts = [\"*.example.com\"]"), 14, "tls.acme.hosts", "a wildcard is proven by dns-01 alone");
    check(&more("hosts = [\"other.example.com\"]"), 14, "tls.acme.hosts", "add a route with `from = \"https://other.example.com\"`");
    check(&more("hosts = [\"192.0.2.1\"]"), 14, "tls.acme.hosts", "not a host name");
    check(&more("hosts = [\"https://app.example.com\"]"), 14, "tls.acme.hosts", "not a host name");
    check(&more("hosts = []"), 14, "tls.acme.hosts", "never means all");
    check(&more("contact = [\"nobody\"]"), 14, "tls.acme.contact", "not an e-mail address");
    check(&more("challenge = \"dns-01\""), 14, "tls.acme.challenge", "is not a value");
    check(&more("challenge = \"http-01\""), 11, "tls.acme.challenge", "listen for plain HTTP with [redirect]");
    check(&more("ca = \"keys/oidc.secret\""), 14, "tls.acme.ca", "holds no certificate");
    let on_8443 = with_acme(ACME).replace("[::]:443", "[::]:8443").replace("gate.example.com", "gate.example.com:8443");
    let dir = folder(&on_8443, &[("app.toml", &ROUTE.replace("app.example.com", "app.example.com:8443"))]);
    expect(&refused(dir.path()), "portcullis.toml", &[(11, "tls.acme.challenge", "add a [[listener]] whose `public_port` is 443")]);
    let nothing = with_acme("").replace("[tls.acme]\n", "");
    let dir = folder(&nothing, &[("app.toml", ROUTE)]);
    expect(&refused(dir.path()), "portcullis.toml", &[(10, "tls", "or [tls.acme]")]);
}

#[test]
fn traces_are_off_and_what_is_wrong_with_them_is_named() {
    let with = |lines: &str| folder(&format!("{MAIN}\n[traces]\n{lines}"), &[("app.toml", ROUTE)]);
    assert!(matches!(load(folder(MAIN, &[("app.toml", ROUTE)]).path()).unwrap().config.traces, Traces::Off));
    let dir = with("endpoint = \"http://localhost:4318\"\n");
    let Traces::To(receiver) = load(dir.path()).unwrap().config.traces else { panic!("they are on") };
    assert_eq!((receiver.one_in, receiver.per_second, receiver.endpoint.as_str()), (100, 100, "http://localhost:4318/"));
    let table = MAIN.lines().count() + 2;
    let check = |lines: &str, line: usize, key: &str, words: &str| {
        expect(&refused(with(lines).path()), "portcullis.toml", &[(table + line, key, words)]);
    };
    let more = |line: &str| format!("endpoint = \"https://otel.example.com:4318\"\n{line}\n");
    check("one_in = 5\n", 0, "traces.endpoint", "add `endpoint = ");
    check("endpoint = \"http://otel.example.com:4318\"\n", 1, "traces.endpoint", "by TLS alone");
    check("endpoint = \"https://me:too@otel.example.com\"\n", 1, "traces.endpoint", "a credential is a `token`");
    check(&more("token = \"secret\""), 2, "traces.token", "{ file = ");
    check(&more("token_header = \"x-api-key\""), 2, "traces.token_header", "there is no `token`");
    check(&more("one_in = 0"), 2, "traces.one_in", "1");
    check(&more("ratio = 5"), 2, "traces.ratio", "");
}
