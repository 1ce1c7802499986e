//! The OpenID providers of `tests/env`, as children that end with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::wire::{Answer, exchange_plain};

/// Which provider stands beside the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Node's certified `oidc-provider`, described in `tests/env/provider.mjs`.
    #[default]
    Certified,
    /// Authlib in Python, described in `tests/env/authlib_provider.py`.
    Authlib,
    /// Glewlwyd in C, described in `tests/env/glewlwyd_provider.py`.
    Glewlwyd,
    /// None: nothing answers at its address. For tests in which nobody signs in by it.
    Absent,
}

/// A running provider, or none.
pub struct Provider {
    child: Option<Child>,
    pub url: String,
    pub port: u16,
}

impl Kind {
    /// What the gateway asks this provider for.
    pub const fn scopes(self) -> &'static str {
        match self {
            Self::Certified | Self::Absent => r#"["openid", "profile", "email", "groups"]"#,
            Self::Authlib => r#"["openid", "profile", "email"]"#,
            Self::Glewlwyd => r#"["openid"]"#,
        }
    }

    fn command(self) -> Option<Command> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let needed = |path: PathBuf| {
            assert!(path.exists(), "{} is missing: `tests/run integration` installs it", path.display());
            path
        };
        let python = |script: &str| {
            let mut command = Command::new(needed(top.join(".run/python/bin/python")));
            command.args(["-W", "ignore"]).arg(top.join("env").join(script));
            command
        };
        match self {
            Self::Absent => None,
            Self::Certified => {
                needed(top.join("env/node_modules"));
                let mut command = Command::new("node");
                command.arg(top.join("env/provider.mjs"));
                Some(command)
            }
            Self::Authlib => Some(python("authlib_provider.py")),
            Self::Glewlwyd => {
                let mut command = python("glewlwyd_provider.py");
                command.env("ROOT", needed(top.join(".run/glewlwyd")));
                Some(command)
            }
        }
    }
}

impl Provider {
    /// Starts one for a gateway at `gateway`; `environment` is described in its file.
    pub fn start(kind: Kind, gateway: &str, environment: &[(&str, String)]) -> Self {
        let Some(mut command) = kind.command() else {
            return Self { child: None, url: "http://127.0.0.1:9".to_owned(), port: 9 };
        };
        command.env("GATEWAY", gateway).env("PORT", "0").env("NODE_NO_WARNINGS", "1").env("PEOPLE", PEOPLE);
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        // The standard error is the provider's grumbling about insecure development; tests look at /control/log.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (child, said) = (0..STARTS_MAX).find_map(|_| ready(&mut command)).expect("the provider starts and says where it is");
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        Self { child: Some(child), url: said["url"].as_str().unwrap().to_owned(), port }
    }

    /// A POST to one of the certified provider's controls, such as `down`.
    pub async fn control(&self, action: &str) -> Answer {
        let request = format!("POST /control/{action} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange_plain(self.port, request.as_bytes()).await
    }

    /// What happened at the certified provider.
    pub async fn log(&self) -> String {
        let request = b"GET /control/log HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        exchange_plain(self.port, request).await.text()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Its standard input closes, and it ends with whatever it started; waiting keeps no zombie behind.
            drop(child.stdin.take());
            let ended = (0..1_000).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                child.try_wait().is_ok_and(|status| status.is_some())
            });
            if !ended {
                end(child);
            }
        }
    }
}

/// Starts a provider and reads where it listens. Node now and then stands still while it starts, before its first line of
/// ours; then there is none, and it is ended.
fn ready(command: &mut Command) -> Option<(Child, serde_json::Value)> {
    let mut child = command.spawn().expect("the provider starts");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    // A provider whose chatter nobody reads ends.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok).filter(|line| line.starts_with('{')) {
            let _nobody_asks_twice = tell.send(line);
        }
    });
    let Ok(line) = told.recv_timeout(READY_WITHIN) else {
        end(&mut child);
        return None;
    };
    Some((child, serde_json::from_str(&line).unwrap()))
}

fn end(child: &mut Child) {
    let _ended_by_itself = child.kill();
    let _reaped = child.wait();
}

/// Two busy cores start a provider in seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
const STARTS_MAX: usize = 3;

/// Who may sign in at the providers that are told. `cai` is in no group, and nobody vouches for the address of `dan`.
const PEOPLE: &str = r#"[
    {"sub": "ana", "name": "Ana", "email": "ana@example.com", "email_verified": true, "groups": ["staff"]},
    {"sub": "ben", "name": "Ben", "email": "ben@example.com", "email_verified": true, "groups": "staff"},
    {"sub": "cai", "name": "Cai", "email": "cai@example.com", "email_verified": true},
    {"sub": "dan", "name": "Dan", "email": "dan@example.com", "email_verified": false, "groups": ["staff"]}
]"#;
