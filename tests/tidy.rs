//! The rules of `docs/architecture.md` and the style, checked on the source text. Every rule is shown to fail on a bad
//! snippet, so that a rule that sees nothing is not taken for a clean house.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file, read three ways.
struct Source {
    /// Relative to the repository: `src/portal/mod.rs`.
    path: String,
    text: String,
    /// Without comments, what strings hold, and test modules.
    code: String,
    /// Without comments and test modules; strings are kept.
    literal: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Production,
    Test,
}

type Rule = fn(&Source) -> Vec<String>;

/// Rooms and their layers. `cli` stands above `demo`, because `portcullis demo` is a command that starts it.
const LAYERS: &[(u8, &[&str])] = &[
    (1, &["config", "clock", "entropy"]),
    (2, &["telemetry", "web", "system"]),
    (3, &["listener", "store", "idp", "limits", "audit", "upstream", "notify"]),
    (4, &["gateway", "acme"]),
    (5, &["portal", "admin"]),
    (6, &["pipeline"]),
    (7, &["server"]),
    (8, &["demo"]),
    (9, &["cli"]),
    (10, &["main", "lib"]),
];

/// Crates that hold values and do nothing.
const VALUE_CRATES: &[&str] =
    &["base64", "http", "ipnet", "jiff", "percent-encoding", "serde", "sha2", "subtle", "thiserror", "totp-rs", "zeroize"];

/// All that the verifier stands on: what an auditor has to trust beside it.
const VERIFIER_CRATES: &[&str] = &["aws-lc-rs", "base64", "serde", "serde_json", "thiserror"];

/// Every file that vouches: it makes or mints a proof.
const VOUCHERS: &[&str] = &[
    "crates/kernel/src/policy/decide.rs",
    "crates/kernel/src/policy/permit.rs",
    "src/limits/mod.rs",
    "src/audit/recorder.rs",
    "src/upstream/assertion.rs",
    "src/upstream/head.rs",
    "src/upstream/statements.rs",
    "src/demo/provider/tokens.rs",
    "src/demo/provider/endpoints.rs",
    "src/demo/provider/mod.rs",
];

/// Files over 400 lines that are not tests, each with its reason. None.
const LONG: &[&str] = &[];

const LINES_MAX: usize = 400;

fn layer(room: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(layer, _)| *layer)
}

fn room(path: &str) -> Option<&str> {
    path.strip_prefix("src/").and_then(|rest| rest.split(['/', '.']).next())
}

fn imports_go_down(source: &Source) -> Vec<String> {
    let Some(own) = room(&source.path) else { return Vec::new() };
    let Some(own_layer) = layer(own) else { return vec![format!("the room {own} has no layer")] };
    let allowed = |other: &str| other == own || layer(other).is_some_and(|layer| layer < own_layer);
    let mut findings: Vec<_> =
        named_rooms(&source.code).into_iter().filter(|other| !allowed(other)).map(|other| format!("imports {other}")).collect();
    let depth = module_depth(&source.path);
    if depth > 0 && source.code.contains(&"super::".repeat(depth)) {
        findings.push("leaves its room by super: name the other room by crate::".to_owned());
    }
    findings
}

/// Every first segment after `crate::`, groups included.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut start) = (0, true);
            for (index, letter) in group.char_indices() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    _ if start && !letter.is_whitespace() => {
                        start = false;
                        rooms.insert(word(&group[index..]));
                    }
                    _ => {}
                }
            }
        } else {
            rooms.insert(word(rest));
        }
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// How many `super` lead out of the room: 1 for `src/a/mod.rs`, 2 for `src/a/b.rs`.
fn module_depth(path: &str) -> usize {
    let parts: Vec<_> = path.trim_start_matches("src/").split('/').collect();
    if parts.last() == Some(&"mod.rs") { parts.len() - 1 } else { parts.len() }
}

fn sql_stays_in_the_store(source: &Source) -> Vec<String> {
    let signs = ["\"SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE", "\"UPDATE ", "PRAGMA "];
    if source.path.starts_with("src/store/") {
        return Vec::new();
    }
    let mut findings = holds(&source.literal, &signs);
    findings.extend(holds(&source.code, &["rusqlite"]));
    findings
}

fn the_kernel_is_pure(source: &Source) -> Vec<String> {
    if !source.path.starts_with("crates/kernel/") {
        return Vec::new();
    }
    let acts = [
        "tracing",
        "tokio",
        "std::fs",
        "std::io",
        "std::env",
        "std::thread",
        "std::process",
        "std::sync::mpsc",
        "TcpStream",
        "UdpSocket",
        "SystemTime",
        "Instant",
        "async fn",
        "async move",
        "println!",
        "Mutex",
        "static mut",
        "rand::",
    ];
    holds(&source.code, &acts)
}

fn header_names_stand_in_the_one_table(source: &Source) -> Vec<String> {
    if source.path == "crates/kernel/src/request/headers.rs" {
        return Vec::new();
    }
    holds(&source.literal.to_ascii_lowercase(), &["\"x-portcullis", "\"x_portcullis", "\"x-forwarded", "\"forwarded\""])
}

fn nothing_panics(source: &Source) -> Vec<String> {
    holds(&source.code, &[".unwrap()", ".expect(", ".unwrap_err()", "panic!", "todo!", "dbg!", "unimplemented!", "unreachable!"])
}

fn tasks_are_tracked(source: &Source) -> Vec<String> {
    holds(&source.code, &["tokio::spawn(", "task::spawn(", "thread::spawn("])
}

fn time_is_read_by_the_clock(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    if source.path != "src/clock.rs" {
        findings.extend(holds(&source.code, &["SystemTime", "Timestamp::now(", "Zoned::now(", "Utc::now(", "Clock::real"]));
    }
    // The audit writer runs on a thread of its own, without the runtime's time; the auditor's program has no clock of ours.
    let machine = source.code.contains("std::time::Instant") || machine_instant_in_group(&source.code);
    let of_the_machine = ["src/audit/writer.rs", "src/audit/pace.rs", "src/audit/segment.rs", "src/clock.rs", "crates/verify/src/main.rs"];
    if !of_the_machine.contains(&source.path.as_str()) && machine {
        findings.push("std::time::Instant".to_owned());
    }
    findings
}

fn machine_instant_in_group(code: &str) -> bool {
    code.split("std::time::{").skip(1).any(|rest| rest.split('}').next().is_some_and(|group| group.contains("Instant")))
}

fn randomness_is_read_by_entropy(source: &Source) -> Vec<String> {
    // A nonce and the blinding of a signature belong to the cipher that uses them.
    let own = ["src/entropy.rs", "src/store/sealing.rs", "src/upstream/assertion.rs"];
    if own.contains(&source.path.as_str()) {
        return Vec::new();
    }
    holds(&source.code, &["rand::", "SystemRandom", "getrandom", "Uuid::new_v", "RandomState::new"])
}

fn only_vouchers_vouch(source: &Source) -> Vec<String> {
    if VOUCHERS.contains(&source.path.as_str()) {
        return Vec::new();
    }
    holds(&source.code, &["assertion("])
}

fn a_file_is_not_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = lines > LINES_MAX && !LONG.contains(&source.path.as_str());
    long.then(|| format!("{lines} lines")).into_iter().collect()
}

fn a_file_says_what_it_is_for(source: &Source) -> Vec<String> {
    (!source.text.starts_with("//! ")).then(|| "does not open with //!".to_owned()).into_iter().collect()
}

fn nothing_is_left_to_do(source: &Source) -> Vec<String> {
    let marks: Vec<String> = ["TO", "FIX", "XX"].iter().zip(["DO", "ME", "X"]).map(|(head, tail)| format!("{head}{tail}")).collect();
    marks.iter().filter(|mark| source.text.contains(mark.as_str())).cloned().collect()
}

fn no_test_is_ignored(source: &Source) -> Vec<String> {
    holds(&source.text, &[concat!("#[", "ignore")])
}

fn exceptions_have_reasons(source: &Source) -> Vec<String> {
    let attributes = [concat!("#[", "allow("), concat!("#![", "allow("), concat!("#[", "expect("), concat!("#![", "expect(")];
    let without_reason =
        |start: &str| source.text.split(start).skip(1).filter(|rest| !rest.split(")]").next().unwrap().contains("reason")).count();
    attributes.iter().filter(|start| without_reason(start) > 0).map(|start| format!("{start} without a reason")).collect()
}

fn holds(text: &str, signs: &[&str]) -> Vec<String> {
    signs.iter().filter(|sign| text.contains(**sign)).map(|sign| (*sign).to_owned()).collect()
}

/// Rules of production code.
const OF_PRODUCTION: &[(&str, Rule)] = &[
    ("a room imports from lower layers only", imports_go_down),
    ("SQL stays in the store", sql_stays_in_the_store),
    ("the kernel is pure", the_kernel_is_pure),
    ("header names stand in kernel::request::headers", header_names_stand_in_the_one_table),
    ("nothing panics", nothing_panics),
    ("tasks are tracked", tasks_are_tracked),
    ("time is read by the clock", time_is_read_by_the_clock),
    ("randomness is read by entropy", randomness_is_read_by_entropy),
    ("only vouchers vouch", only_vouchers_vouch),
    ("a file has at most 400 lines", a_file_is_not_long),
];

/// Rules of every file.
const OF_ALL: &[(&str, Rule)] = &[
    ("a file says what it is for", a_file_says_what_it_is_for),
    ("nothing is left to do", nothing_is_left_to_do),
    ("no test is ignored", no_test_is_ignored),
    ("exceptions have reasons", exceptions_have_reasons),
];

#[test]
fn the_source_keeps_the_rules() {
    let sources = read_all();
    let test_files = test_files(&sources);
    let mut findings = Vec::new();
    for mut source in sources {
        if test_files.contains(&source.path) || test_files.iter().any(|folder| source.path.starts_with(&format!("{folder}/"))) {
            source.kind = Kind::Test;
        }
        let rules = OF_ALL.iter().chain(if source.kind == Kind::Production { OF_PRODUCTION } else { &[] });
        for (name, rule) in rules {
            findings.extend(rule(&source).into_iter().map(|finding| format!("{}: {name}: {finding}", source.path)));
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn the_walk_finds_the_rooms_and_tells_tests_from_production() {
    let sources = read_all();
    let tests = test_files(&sources);
    let is_test = |path: &str| tests.contains(path) || tests.iter().any(|folder| path.starts_with(&format!("{folder}/")));
    for path in ["src/main.rs", "src/pipeline/mod.rs", "crates/kernel/src/policy/decide.rs", "crates/verify/src/main.rs"] {
        assert!(sources.iter().any(|source| source.path == path) && !is_test(path), "{path}");
    }
    for path in ["src/audit/fixtures.rs", "src/audit/tests/kills.rs", "src/store/contract_suite.rs", "tests/process.rs"] {
        assert!(is_test(path) || path.starts_with("tests/"), "{path}");
    }
}

#[test]
fn the_kernel_depends_on_value_crates_only() {
    let manifest = fs::read_to_string(root().join("crates/kernel/Cargo.toml")).unwrap();
    assert_eq!(strangers(&manifest, VALUE_CRATES), Vec::<String>::new());
    let bad = "[dependencies]\nhttp = \"1\"\ntokio = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";
    assert_eq!(strangers(bad, VALUE_CRATES), ["tokio"]);
}

#[test]
fn the_verifier_depends_on_nothing_of_the_gateway() {
    let manifest = fs::read_to_string(root().join("crates/verify/Cargo.toml")).unwrap();
    assert_eq!(strangers(&manifest, VERIFIER_CRATES), Vec::<String>::new());
    assert_eq!(strangers("[dependencies]\nportcullis-kernel = { path = \"../kernel\" }\n", VERIFIER_CRATES), ["portcullis-kernel"]);
}

fn strangers(manifest: &str, allowed: &[&str]) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().filter(|name| !allowed.contains(&name.as_str())).cloned().collect()
}

#[test]
fn every_rule_can_fail() {
    let long = "//! Long.\n".repeat(LINES_MAX + 1);
    let cases: &[(Rule, &str, &str)] = &[
        (imports_go_down, "src/web/mod.rs", "use crate::pipeline::handle;"),
        (imports_go_down, "src/store/mod.rs", "use crate::audit::Recorder;"),
        (imports_go_down, "src/demo/mod.rs", "use crate::{clock::Clock, cli::run};"),
        (imports_go_down, "src/idp/keys.rs", "use super::super::portal::Page;"),
        (imports_go_down, "src/novel/mod.rs", "struct Unheard;"),
        (sql_stays_in_the_store, "src/portal/mod.rs", "const Q: &str = \"SELECT * FROM sessions\";"),
        (sql_stays_in_the_store, "src/portal/mod.rs", "use rusqlite::Connection;"),
        (the_kernel_is_pure, "crates/kernel/src/time.rs", "fn now() -> SystemTime { SystemTime::now() }"),
        (the_kernel_is_pure, "crates/kernel/src/time.rs", "tracing::info!(\"decided\");"),
        (the_kernel_is_pure, "crates/kernel/src/time.rs", "pub async fn decide() {}"),
        (header_names_stand_in_the_one_table, "src/upstream/head.rs", "map.insert(\"X-Portcullis-Subject\", subject);"),
        (nothing_panics, "src/web/mod.rs", "let host = parse(text).unwrap();"),
        (nothing_panics, "src/web/mod.rs", "let host = parse(text).expect(\"a host\");"),
        (nothing_panics, "src/web/mod.rs", "panic!(\"odd\")"),
        (tasks_are_tracked, "src/web/mod.rs", "tokio::spawn(async {});"),
        (time_is_read_by_the_clock, "src/web/mod.rs", "let now = SystemTime::now();"),
        (time_is_read_by_the_clock, "src/web/mod.rs", "use std::time::{Duration, Instant};"),
        (randomness_is_read_by_entropy, "src/web/mod.rs", "aws_lc_rs::rand::fill(&mut bytes);"),
        (only_vouchers_vouch, "src/pipeline/mod.rs", "let recorded = Recorded::assertion(admitted);"),
        (a_file_is_not_long, "src/web/mod.rs", &long),
        (a_file_says_what_it_is_for, "src/web/mod.rs", "use std::fs;"),
        (nothing_is_left_to_do, "src/web/mod.rs", concat!("// TO", "DO: later")),
        (no_test_is_ignored, "src/web/mod.rs", concat!("#[", "ignore]")),
        (exceptions_have_reasons, "src/web/mod.rs", concat!("#[", "allow(dead_code)]\nfn unused() {}")),
    ];
    for (rule, path, text) in cases {
        assert!(!rule(&source(path, text)).is_empty(), "this is not found: {path}: {text}");
    }
    let covered: BTreeSet<usize> = cases.iter().map(|(rule, ..)| *rule as usize).collect();
    assert_eq!(covered.len(), OF_PRODUCTION.len() + OF_ALL.len(), "a rule has no bad snippet");
}

#[test]
fn comments_strings_and_test_modules_are_not_code() {
    let innocent = "//! Never panic!(…).\n/* .unwrap() */ const A: &str = \"panic!\"; const B: &str = r#\"todo!(\"\"#; const C: char = '\"';\n\
                    #[cfg(test)]\nmod tests {\n fn t() { x.unwrap(); if y { z.unwrap() } }\n}\n";
    assert_eq!(nothing_panics(&source("src/web/mod.rs", innocent)), Vec::<String>::new());
    let after = format!("{innocent}fn real<'a>(x: &'a str) {{ x.parse().unwrap() }}");
    assert_eq!(nothing_panics(&source("src/web/mod.rs", &after)), [".unwrap()"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read_all() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in [
        "src",
        "crates/kernel/src",
        "crates/kernel/tests",
        "crates/verify/src",
        "crates/verify/tests",
        "tests",
        "fuzz/properties",
        "fuzz/targets",
    ] {
        walk(&root().join(folder), &mut sources);
    }
    assert!(sources.len() > 200, "the walk found only {} files", sources.len());
    sources
}

fn walk(folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root()).unwrap().to_str().unwrap();
            sources.push(source(relative, &fs::read_to_string(&path).unwrap()));
        }
    }
}

fn source(path: &str, text: &str) -> Source {
    let (mut code, mut literal) = read_twice(text);
    while let Some((start, end)) = test_item(&code) {
        code.replace_range(start..end, &" ".repeat(end - start));
        literal.replace_range(start..end, &" ".repeat(end - start));
    }
    let production = ["src/", "crates/kernel/src/", "crates/verify/src/"].iter().any(|folder| path.starts_with(folder));
    let kind = if production { Kind::Production } else { Kind::Test };
    Source { path: path.to_owned(), text: text.to_owned(), code, literal, kind }
}

/// The bytes of the first item under `#[cfg(test)]`.
fn test_item(code: &str) -> Option<(usize, usize)> {
    let start = code.find(TEST_ONLY)?;
    let mut depth = 0_usize;
    for (index, letter) in code[start..].char_indices() {
        match letter {
            ';' if depth == 0 => return Some((start, start + index + 1)),
            '{' => depth += 1,
            '}' if depth <= 1 => return Some((start, start + index + 1)),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Some((start, code.len()))
}

/// Paths of the files and folders that are declared as modules under `#[cfg(test)]`.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for source in sources {
        let (folder, name) = source.path.rsplit_once('/').unwrap();
        let stem = name.trim_end_matches(".rs");
        let below = if ["mod", "lib", "main"].contains(&stem) { folder.to_owned() } else { format!("{folder}/{stem}") };
        for rest in source.text.split(TEST_ONLY).skip(1) {
            let head = rest.split([';', '{']).next().unwrap();
            let Some((before, module)) = head.split_once("mod ") else { continue };
            if !rest[head.len()..].starts_with(';') {
                continue;
            }
            match before.split_once("#[path = \"").and_then(|(_, path)| path.split('"').next()) {
                Some(path) => {
                    files.insert(format!("{folder}/{path}"));
                }
                None => {
                    files.insert(format!("{below}/{module}.rs"));
                    files.insert(format!("{below}/{module}"));
                }
            }
        }
    }
    files
}

/// The text with comments blanked, once with and once without what strings hold. Byte offsets stay.
fn read_twice(text: &str) -> (String, String) {
    let (mut code, mut literal) = (text.as_bytes().to_vec(), text.as_bytes().to_vec());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (length, part) = if rest.starts_with(b"//") {
            (rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()), Part::Comment)
        } else if rest.starts_with(b"/*") {
            (find(rest, b"*/").map_or(rest.len(), |end| end + 2), Part::Comment)
        } else if let Some(hashes) = raw_string(rest) {
            let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
            let open = hashes + 2;
            (find(&rest[open..], &close).map_or(rest.len(), |end| open + end + close.len()), Part::Text)
        } else if rest[0] == b'"' {
            (quoted(rest), Part::Text)
        } else if rest.starts_with(b"'\\") || rest.len() > 2 && rest[0] == b'\'' && rest[2] == b'\'' {
            (rest.iter().skip(2).position(|byte| *byte == b'\'').map_or(rest.len(), |end| end + 3), Part::Text)
        } else {
            (1, Part::Code)
        };
        let end = at + length;
        match part {
            Part::Comment => {
                code[at..end].fill(b' ');
                literal[at..end].fill(b' ');
            }
            Part::Text => code[at..end].fill(b' '),
            Part::Code => {}
        }
        at = end;
    }
    (String::from_utf8_lossy(&code).into_owned(), String::from_utf8_lossy(&literal).into_owned())
}

enum Part {
    Code,
    Comment,
    Text,
}

/// The hashes of a raw string that begins here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|byte| **byte == b'#').count();
    (rest.get(hashes + 1) == Some(&b'"')).then_some(hashes)
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

const TEST_ONLY: &str = "#[cfg(test)]";
