//! The certified OpenID provider of `tests/env`, as a child that ends with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::wire::{Answer, exchange_plain};

/// A running provider, or none.
pub struct Provider {
    child: Option<Child>,
    pub url: String,
    pub port: u16,
}

impl Provider {
    /// No provider: nothing answers at its address. For tests in which nobody signs in by it.
    pub fn absent() -> Self {
        Self { child: None, url: "http://127.0.0.1:9".to_owned(), port: 9 }
    }

    /// Starts one for a gateway at `gateway`; `environment` is described in `tests/env/provider.mjs`.
    pub fn start(gateway: &str, environment: &[(&str, String)]) -> Self {
        let env = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env");
        assert!(env.join("node_modules").exists(), "tests/env/node_modules is missing: `tests/run integration` installs it");
        let mut command = Command::new("node");
        command.arg(env.join("provider.mjs")).env("GATEWAY", gateway).env("PORT", "0").env("NODE_NO_WARNINGS", "1");
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        // The standard error is the provider's grumbling about insecure development; tests look at /control/log.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = loop {
            let line = lines.next().expect("the provider ended before it was ready").unwrap();
            if line.starts_with('{') {
                break serde_json::from_str::<serde_json::Value>(&line).unwrap();
            }
        };
        // A provider whose chatter nobody reads ends.
        std::thread::spawn(move || lines.for_each(drop));
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        Self { child: Some(child), url: said["url"].as_str().unwrap().to_owned(), port }
    }

    /// A POST to one of the provider's controls, such as `down`.
    pub async fn control(&self, action: &str) -> Answer {
        let request = format!("POST /control/{action} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        exchange_plain(self.port, request.as_bytes()).await
    }

    /// What happened at the provider.
    pub async fn log(&self) -> String {
        let request = b"GET /control/log HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        exchange_plain(self.port, request).await.text()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Closing its standard input would do; waiting keeps no zombie behind.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
