//! A mail server, `tests/env/smtp.py`, as a child that ends with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::Value;

/// A running mail server, with a certificate for `localhost` that nobody vouches for.
pub struct Post {
    child: Child,
    pub port: u16,
    pub certificate: CertificateDer<'static>,
    folder: tempfile::TempDir,
    told: Arc<Mutex<Vec<Value>>>,
}

/// A message as the server took it.
pub struct Mail {
    pub sender: String,
    pub recipients: Vec<String>,
    pub login: Option<String>,
    pub secure: bool,
    pub content: String,
}

impl Post {
    /// `manner` is `tls`, `starttls` or `plain`.
    pub fn start(manner: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-W", "ignore"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/env/smtp.py")).arg(manner);
        command.args(["cert.pem", "key.pem"].map(|name| folder.path().join(name)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let (said, told) = (BufReader::new(child.stdout.take().unwrap()), Arc::new(Mutex::new(Vec::new())));
        let (port, first) = mpsc::channel();
        let kept = Arc::clone(&told);
        std::thread::spawn(move || {
            let mut lines = said.lines().map_while(Result::ok);
            lines.next().map(|line| port.send(line.parse().unwrap()));
            lines.for_each(|line| kept.lock().unwrap().push(serde_json::from_str(&line).unwrap()));
        });
        let port = first.recv_timeout(Duration::from_secs(30)).expect("the mail server starts; tests/run installs python3-aiosmtpd");
        Self { child, port, certificate: made.cert.der().clone(), folder, told }
    }

    /// The file with the server's certificate.
    pub fn certificate_file(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// Everything that the server told of.
    pub fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }

    pub fn mails(&self) -> Vec<Mail> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mails = self.told().into_iter().filter(|told| told["content"].is_string());
        mails
            .map(|told| Mail {
                sender: text(&told["sender"]),
                recipients: told["recipients"].as_array().unwrap().iter().map(text).collect(),
                login: told["login"].as_str().map(str::to_owned),
                secure: told["secure"].as_bool().unwrap(),
                content: String::from_utf8(STANDARD.decode(text(&told["content"])).unwrap()).unwrap(),
            })
            .collect()
    }
}

impl Post {
    /// Waits, within bounds, for so many messages: the server tells of them a moment after it took them.
    pub async fn mails_of(&self, count: usize) -> Vec<Mail> {
        for _ in 0..1_000 {
            let mails = self.mails();
            if mails.len() == count {
                return mails;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} mails did not come: {:?}", self.told());
    }
}

impl Mail {
    /// The value of a header, as it stands.
    pub fn header(&self, name: &str) -> String {
        let (head, _) = self.content.split_once("\r\n\r\n").unwrap();
        let found: Vec<_> = head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect();
        assert_eq!(found.len(), 1, "{name} in {head}");
        found[0].to_owned()
    }

    /// The text, out of its quoted-printable.
    pub fn text(&self) -> String {
        assert_eq!(self.header("Content-Transfer-Encoding"), "quoted-printable");
        let joined = self.content.split_once("\r\n\r\n").unwrap().1.replace("=\r\n", "");
        let (mut bytes, mut rest) = (Vec::new(), joined.as_bytes());
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match (*byte, after) {
                (b'=', [high, low, behind @ ..]) => {
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
                    rest = behind;
                }
                (plain, _) => bytes.push(plain),
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}
