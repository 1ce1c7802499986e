//! A configuration is taken whole or not at all: what is taken is TOML to another reader, has no key that nobody knows, and shows no
//! secret; what is refused is refused at a place in a file, with a mend, in text that drives no terminal; and it is the same each time.
//! Input: `portcullis.toml`, then a line `=====`, then a route's file; without that line a route that is good.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

use portcullis::config::{self, Colour, Loaded, Report, Severity};
use tempfile::TempDir;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (main, route) = text.split_once("\n=====\n").unwrap_or((text, ROUTE));
    let folder = folder();
    match load(folder.path(), main, route) {
        Ok(loaded) => check_taken(folder.path(), &loaded, main, route),
        Err(report) => {
            assert!(report.count(Severity::Error) > 0);
            check_report(&report, main, route);
            let again = load(folder.path(), main, route).map(|loaded| loaded.hash).expect_err("reading twice is reading once");
            assert_eq!(again.render(Colour::Plain), report.render(Colour::Plain));
        }
    }
}

fn load(folder: &Path, main: &str, route: &str) -> Result<Loaded, Report> {
    fs::write(folder.join("portcullis.toml"), main).expect("a file can be written");
    fs::write(folder.join("routes/app.toml"), route).expect("a file can be written");
    config::load(folder)
}

fn check_taken(folder: &Path, loaded: &Loaded, main: &str, route: &str) {
    check_report(&loaded.warnings, main, route);
    for text in [main, route] {
        text.parse::<toml::Table>().expect("what was taken is TOML to others");
    }
    let shown = config::show::text(&loaded.config);
    serde_json::from_str::<serde_json::Value>(&shown).expect("what is shown is JSON");
    let debug = format!("{:?}", loaded.config);
    let is_told = |text: &str| text.contains(CANARY) && !main.contains(CANARY) && !route.contains(CANARY);
    assert!(!is_told(&shown) && !is_told(&debug), "a secret is shown");

    let again = load(folder, main, route).expect("reading twice is reading once");
    assert_eq!((config::show::text(&again.config), &again.hash), (shown.clone(), &loaded.hash));
    // A mark of the byte order may stand at the very beginning alone.
    let [bare_main, bare_route] = [main, route].map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let remarked = load(folder, &format!("# main\r\n{bare_main}\n# end"), &format!("\n{bare_route}\n# route"));
    let remarked = remarked.expect("a remark is no matter");
    assert_eq!(config::show::text(&remarked.config), shown);
    assert_ne!(remarked.hash, loaded.hash);
    load(folder, &format!("{main}\n[unheard_of]\n"), route).expect_err("no key is passed over");
    load(folder, main, &format!("{route}\n[unheard_of]\n")).expect_err("no key is passed over");
}

fn check_report(report: &Report, main: &str, route: &str) {
    for problem in report.problems() {
        let text = if problem.file().ends_with("portcullis.toml") { main } else { route };
        assert!(problem.file().ends_with("portcullis.toml") || problem.file().ends_with("routes/app.toml"), "{problem:?}");
        assert!((1..=text.split('\n').count()).contains(&problem.line()) && problem.column() >= 1, "{problem:?}");
        assert!(!problem.message.trim().is_empty(), "{problem:?}");
        assert!(problem.severity == Severity::Warning || !problem.mend.trim().is_empty(), "{problem:?}");
    }
    for (text, file) in [(main, "portcullis.toml"), (route, "routes/app.toml")] {
        let at = |problem: &config::Problem| problem.severity == Severity::Error && problem.file().ends_with(file);
        assert!(text.parse::<toml::Table>().is_ok() || report.problems().iter().any(at), "{file} is broken, and nothing says so");
    }
    for rendered in [report.render(Colour::Plain), report.summary()] {
        assert!(!rendered.chars().any(|letter| letter.is_control() && letter != '\n'), "{rendered:?}");
        assert!(!rendered.contains(CANARY) || main.contains(CANARY) || route.contains(CANARY), "a secret is told");
    }
}

/// A new folder with the files that the seeds name.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
    for name in ["routes", "keys", "certs"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let (certificate, key) = &*CERTIFICATE;
    let files = [
        ("keys/master.key", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"),
        ("keys/audit.key", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=\n"),
        ("keys/oidc.secret", CANARY),
        ("certs/gate.pem", certificate),
        ("certs/gate.key", key),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
    }
    folder
}

static CERTIFICATE: LazyLock<(String, String)> = LazyLock::new(|| {
    let hosts = ["*.example.com", "*.prod.example.com"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(hosts).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
});

const CANARY: &str = "s3cr3t-canary";

const ROUTE: &str = r#"name = "app"
from = "https://app.example.com"
to = ["http://10.0.0.5:3000"]

[[allow]]
id = "read"
who = { groups = ["dev"] }
paths = ["/**"]
"#;
