//! Twenty broken configurations, each with several mistakes of one kind: one run finds them all, at the right line, and says
//! what to write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::tests::{MAIN, ROUTE, folder, refused};
use super::{Report, Severity};

/// What must be found: file, line, part of message or mend.
type Found = (&'static str, usize, &'static str);

const M: &str = "portcullis.toml";
const R: &str = "app.toml";

/// `edits` are made one after the other, in the main file or in the route, wherever the text stands; what is added comes last.
struct Case {
    name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    more_main: &'static str,
    more_route: &'static str,
    found: &'static [Found],
}

fn errors(report: &Report) -> Vec<(String, usize, String)> {
    let errors = report.problems().iter().filter(|problem| problem.severity == Severity::Error);
    let file = |problem: &super::Problem| problem.file().file_name().unwrap().to_string_lossy().into_owned();
    errors.map(|problem| (file(problem), problem.line(), format!("{} | {}", problem.message, problem.mend))).collect()
}

/// What was not found as it should, or was found and should not.
fn check(case: &Case) -> Vec<String> {
    let (mut main, mut route) = (MAIN.to_owned(), ROUTE.to_owned());
    for (old, new) in case.edits {
        assert!(main.contains(old) || route.contains(old), "{}: {old}", case.name);
        main = main.replace(old, new);
        route = route.replace(old, new);
    }
    let dir = folder(&(main + case.more_main), &[(R, &(route + case.more_route))]);
    let report = refused(dir.path());
    let (mut left, mut wrong) = (errors(&report), Vec::new());
    for (file, line, words) in case.found {
        let at = left.iter().position(|(known, at, said)| known == file && at == line && said.contains(words));
        match at.map(|at| left.remove(at)) {
            Some((_, _, said)) if !said.ends_with("| ") => {}
            Some((_, _, said)) => wrong.push(format!("{}: no mend: {said}", case.name)),
            None => wrong.push(format!("{}: no {file}:{line} with `{words}`", case.name)),
        }
    }
    wrong.extend(left.iter().map(|more| format!("{}: not expected: {more:?}", case.name)));
    wrong
}

#[test]
fn twenty_broken_configurations_are_refused_with_every_mistake_and_its_mend() {
    assert_eq!(CASES.len(), 20);
    let wrong: Vec<_> = CASES.iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_that_is_named_is_looked_at_whole() {
    use std::fs;
    use std::path::Path;

    // given a configuration that names a file wherever one can be named
    let main = MAIN.replace("client_id", "ca = \"certs/idp-ca.pem\"\nclient_id") + "[upstream]\nca = \"certs/upstream-ca.pem\"\n";
    let named = [
        ("keys/master.key", 4),
        ("certs/gate.pem", 12),
        ("certs/gate.key", 13),
        ("certs/idp-ca.pem", 18),
        ("keys/oidc.secret", 20),
        ("keys/audit.key", 24),
        ("certs/upstream-ca.pem", 26),
    ];
    type Break = fn(&Path);
    let put = |path: &Path| fs::remove_file(path).unwrap();
    let breaks: [(&str, Break); 7] = [
        ("missing", |_| {}),
        ("empty", |path| fs::write(path, "").unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a pipe", |path| {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }),
        ("too large", |path| fs::write(path, vec![b'A'; 1_100_000]).unwrap()),
        ("no text", |path| fs::write(path, [0xff, 0xfe, 0x00]).unwrap()),
        ("a link to nothing", |path| std::os::unix::fs::symlink("/nonexistent/file", path).unwrap()),
    ];
    for (file, line) in named {
        for (name, make) in breaks {
            let dir = folder(&main, &[(R, ROUTE)]);
            for ca in ["certs/idp-ca.pem", "certs/upstream-ca.pem"] {
                fs::copy(dir.path().join("certs/gate.pem"), dir.path().join(ca)).unwrap();
            }
            assert!(super::load(dir.path()).is_ok(), "it is good before it is broken");
            put(&dir.path().join(file));
            make(&dir.path().join(file));
            // Modes are looked at as well; they are not what is broken here.
            if let Ok(metadata) = fs::metadata(dir.path().join(file))
                && metadata.is_file()
            {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(dir.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
            }
            // then it is refused, at the line that names it
            let report = refused(dir.path());
            let found = errors(&report);
            assert!(found.iter().any(|(known, at, _)| known == M && *at == line), "{file} {name}: {report}");
        }
    }
}

const fn edited(name: &'static str, edits: &'static [(&'static str, &'static str)], found: &'static [Found]) -> Case {
    Case { name, edits, more_main: "", more_route: "", found }
}

const CASES: &[Case] = &[
    edited(
        "misspelt keys in both files",
        &[("bind =", "bnid ="), ("client_id", "clientId"), ("paths", "path"), ("groups", "gruops")],
        &[
            (M, 8, "did you mean `bind`?"),
            (M, 18, "did you mean `client_id`?"),
            (R, 8, "did you mean `paths`?"),
            (R, 7, "did you mean `groups`?"),
        ],
    ),
    edited(
        "types",
        &[
            ("\"state\"", "true"),
            ("\"portcullis\"", "42"),
            ("[\"http://10.0.0.5:3000\"]", "\"http://10.0.0.5:3000\""),
            ("[\"/**\"]", "\"/**\""),
        ],
        &[
            (M, 3, "put it in quotes: \"true\""),
            (M, 18, "put it in quotes: \"42\""),
            (R, 3, "put it in brackets: [\"http://10.0.0.5:3000\"]"),
            (R, 8, "put it in brackets: [\"/**\"]"),
        ],
    ),
    edited(
        "one bracket where two are needed",
        &[("[[listener]]", "[listener]"), ("[[tls.certificate]]", "[tls.certificate]"), ("[[idp]]", "[idp]"), ("[[allow]]", "[allow]")],
        &[
            (M, 6, "write [[listener]] with two brackets"),
            (M, 11, "write [[tls.certificate]] with two brackets"),
            (M, 15, "write [[idp]] with two brackets"),
            (R, 5, "write [[allow]] with two brackets"),
        ],
    ),
    edited(
        "text without quotes, and with the quotes of a word processor",
        &[("\"portcullis\"", "portcullis"), ("\"state\"", "\u{201c}state\u{201d}"), ("\"app\"", "app # the name")],
        &[(M, 3, "write straight quotes"), (M, 18, "put it in quotes: \"portcullis\""), (R, 1, "put it in quotes: \"app\"")],
    ),
    edited(
        "habits of YAML",
        &[("id = \"corp\"", "id: corp"), ("id = \"read\"", "id: \"read\"")],
        &[(M, 16, "write `=` between key and value: id = \"corp\""), (R, 6, "write `=` between key and value: id = \"read\"")],
    ),
    Case {
        name: "keys and tables twice",
        edits: &[("url = ", "url = \"https://gate.example.com\"\nurl = ")],
        more_main: "[tls]\nprofile = \"modern\"\n",
        more_route: "paths = [\"/x\"]\n",
        found: &[(M, 3, "duplicate key `url`"), (M, 25, "duplicate key `tls`"), (R, 9, "duplicate key `paths`")],
    },
    Case {
        name: "units",
        edits: &[],
        more_main: "[session]\nidle_timeout = 30\nabsolute_timeout = \"1d12\"\n[rate_limit]\nper_address = \"100\"\nsign_in = { rate = \"10/min\", burst = -1 }\n[limits]\nheader_bytes = \"32KB\"\n",
        more_route: "rate = 5\n",
        found: &[
            (M, 25, "a number and a unit"),
            (M, 26, "`1d12` is not a duration"),
            (M, 28, "a count and a unit"),
            (M, 29, "`10/min` is not a rate"),
            (M, 29, "from 1 to"),
            (M, 31, "\"32KiB\""),
            (R, 9, "a count and a unit"),
        ],
    },
    edited(
        "path patterns",
        &[("[\"/**\"]", "[\"**\", \"/a/../b\", \"/a/%2e%2e/b\", \"/a**\", \"/x?y=1\", \"\", \"/.portcullis/**\", \"/a//b\"]")],
        &[
            (R, 8, "did you mean `/**`?"),
            (R, 8, "`/a/../b` is not a path pattern"),
            (R, 8, "`/a/%2e%2e/b` is not a path pattern"),
            (R, 8, "stands alone"),
            (R, 8, "did you mean `/x`?"),
            (R, 8, "`paths` is empty"),
            (R, 8, "the gateway's own"),
            (R, 8, "did you mean `/a/b`?"),
        ],
    ),
    edited(
        "who and how",
        &[(
            "who = { groups = [\"dev\"] }",
            "who = { groups = [\"\"], user = [\"a@example.com\"] }\nmethods = [\"Get\", \"TRACE\"]\npublic = 1",
        )],
        &[
            (R, 7, "`groups` is empty"),
            (R, 7, "did you mean `users`?"),
            (R, 8, "did you mean `GET`?"),
            (R, 8, "TRACE is never forwarded"),
            (R, 9, "true or false"),
        ],
    ),
    edited(
        "addresses",
        &[
            ("https://gate.example.com", "gate.example.com"),
            ("https://app.example.com", "https://app.example.com/x?y"),
            ("http://10.0.0.5:3000", "10.0.0.5:3000"),
        ],
        &[
            (M, 2, "did you mean `https://gate.example.com`?"),
            (R, 2, "did you mean `https://app.example.com`?"),
            (R, 3, "did you mean `http://10.0.0.5:3000`?"),
        ],
    ),
    edited(
        "secrets and files",
        &[
            ("{ file = \"keys/master.key\" }", "\"abc\""),
            ("keys/oidc.secret", "keys/nothing"),
            ("keys/audit.key", "certs/gate.pem"),
            ("certs/gate.key\"", "certs\""),
        ],
        &[(M, 4, "name where it is"), (M, 13, "is a directory"), (M, 19, "does not exist"), (M, 23, "chmod 600")],
    ),
    Case {
        name: "tests of rules",
        edits: &[],
        more_main: "",
        more_route: "[[test]]\nas = { user = \"a@example.com\", groups = [\"dev\"] }\nrequest = \"GET\"\nexpect = \"allow\"\n[[test]]\nas = { user = \"a@example.com\", groups = [\"dve\"] }\nrequest = \"GET /x\"\nexpect = \"allow\"\n[[test]]\nrequest = \"GET /x\"\nexpect = \"refuse\"\nreason = \"no rule\"\n",
        found: &[
            (R, 11, "write a method and a path"),
            (R, 13, "decided deny (no_rule)"),
            (R, 19, "use one of `allow`, `challenge`, `deny`"),
            (R, 20, "did you mean `no_rule`?"),
        ],
    },
    Case {
        name: "networks, hours, factors",
        edits: &[],
        more_main: "",
        more_route: "from = [\"10.0.0.1/8\", \"300.0.0.0/8\"]\nhours = { days = \"monday\", from = \"6:00\", to = \"25:00\", zone = \"Berlin\" }\nfactor = { strength = \"strong\", max_age = \"0s\" }\n",
        found: &[
            (R, 9, "did you mean `10.0.0.0/8`?"),
            (R, 9, "`300.0.0.0/8` is not a network"),
            (R, 10, "did you mean `mon`?"),
            (R, 10, "\"06:00\""),
            (R, 10, "`25:00` is not a time of day"),
            (R, 10, "did you mean `Europe/Berlin`?"),
            (R, 11, "use one of `any`, `phishing-resistant`"),
            (R, 11, "\"30s\" to \"30d\""),
        ],
    },
    edited(
        "what must be there",
        &[
            ("url = \"https://gate.example.com\"\n", ""),
            ("issuer = \"https://idp.example.com\"\n", ""),
            ("signing_key = { file = \"keys/audit.key\" }\n", ""),
            ("to = [\"http://10.0.0.5:3000\"]\n", ""),
            ("who = { groups = [\"dev\"] }\n", ""),
        ],
        &[
            (M, 1, "add `url = "),
            (M, 14, "add `issuer = "),
            (M, 19, "add `signing_key = "),
            (R, 1, "add `to = "),
            (R, 4, "`who` is missing"),
        ],
    ),
    edited(
        "keys in another table than theirs",
        &[
            ("[gateway]\nurl", "url"),
            ("[audit]\ndir", "[store]\nurl = \"sqlite:x.db\"\ndir"),
            ("\n[[allow]]\n", "paths = [\"/**\"]\n\n[[allow]]\n"),
        ],
        &[
            (M, 1, "`url` stands in [gateway]"),
            (M, 2, "`state_dir` stands in [gateway]"),
            (M, 3, "`master_key` stands in [gateway]"),
            (M, 1, "add a table [gateway]"),
            (M, 1, "add a table [audit]"),
            (M, 22, "unknown key `dir` in `store`"),
            (M, 23, "unknown key `signing_key` in `store`"),
            (R, 4, "`paths` stands in [[allow]]"),
        ],
    ),
    Case {
        name: "classes",
        edits: &[("\n[[allow]]", "class = \"secrets\"\n[[allow]]")],
        more_main: "[class.secret]\nsecond_factor = { strength = \"phishing-resistent\", max_age = \"15 minutes\" }\nidle_timeout = \"13h\"\n",
        more_route: "",
        found: &[
            (M, 25, "did you mean `phishing-resistant`?"),
            (M, 25, "`15 minutes` is not a duration"),
            (M, 26, "write at most \"30m\""),
            (R, 4, "did you mean `secret`?"),
        ],
    },
    Case {
        name: "listeners",
        edits: &[("bind = \"[::]:443\"", "bind = \"0.0.0.0\"\nprotocols = [\"http2\", \"h1\"]\ntrusted_proxies = \"10.0.0.0/8\"")],
        more_main: "[[listener]]\nname = \"https\"\nbind = \"[::]:443\"\npublic_port = 0\n",
        more_route: "",
        found: &[
            (M, 8, "write an address and a port"),
            (M, 9, "use one of `h1`, `h2`"),
            (M, 10, "put it in brackets: [\"10.0.0.0/8\"]"),
            (M, 27, "two listeners are named `https`"),
            (M, 29, "from 1 to 65535"),
        ],
    },
    Case {
        name: "providers",
        edits: &[("https://idp.example.com", "http://idp.example.com?x")],
        more_main: "[[idp]]\nid = \"corp\"\nissuer = \"https://other.example.com\"\nclient_id = \"\"\nclient_secret = { file = \"keys/oidc.secret\", env = \"X\" }\nscopes = [\"profile\", \"open id\"]\n",
        more_route: "",
        found: &[
            (M, 17, "did you mean `https://idp.example.com`?"),
            (M, 24, "two identity providers have the id `corp`"),
            (M, 27, "`client_id` is empty"),
            (M, 28, "not both"),
            (M, 29, "open id"),
        ],
    },
    Case {
        name: "rules beside each other",
        edits: &[],
        more_main: "",
        more_route: "[[allow]]\nid = \"read\"\npublic = true\nwho = { anyone_signed_in = true }\npaths = [\"/x\"]\n[[allow]]\nid = \"a b\"\nwho = { anyone_signed_in = false }\npaths = []\n",
        found: &[(R, 10, "its own id"), (R, 12, "remove `who`"), (R, 15, "a b"), (R, 16, "anyone_signed_in"), (R, 17, "never means all")],
    },
    edited(
        "a file that ends early",
        &[
            (
                "client_id = \"portcullis\"\nclient_secret = { file = \"keys/oidc.secret\" }\n\n[audit]\ndir = \"audit\"\nsigning_key = { file = \"keys/audit.key\" }\n",
                "client_id = \"portc",
            ),
            ("paths = [\"/**\"]\n", "paths = [\"/*"),
        ],
        &[(M, 18, "close the quote"), (R, 8, "close the")],
    ),
];
