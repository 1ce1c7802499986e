//! rsyslog (TLS with client certificates, RELP over TLS) and syslog-ng, as Debian has them, each with a configuration of its own,
//! on a free port. What they parsed is read back as JSON that they wrote.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use portcullis::config::Carrier;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::certificates::Authority;
use super::log::{Log, Whole, compare, read_lines, relp, sink, syslog, tls, until};

const NAME: &str = "siem.test";

/// A program with its folder. Ended when dropped.
struct Receiver {
    folder: TempDir,
    port: u16,
    program: Program,
    child: Option<Child>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    RsyslogTls,
    RsyslogRelp,
    SyslogNg,
}

impl Receiver {
    async fn start(program: Program, authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority.write(folder.path(), NAME);
        let port = free_port();
        let mut receiver = Self { folder, port, program, child: None };
        let text = receiver.configuration();
        fs::write(receiver.path("conf"), text).unwrap();
        receiver.run().await;
        receiver
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        let rsyslog = format!(
            r#"
global(workDirectory="{folder}" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{folder}/ca.pem"
       defaultNetstreamDriverCertFile="{folder}/server.pem" defaultNetstreamDriverKeyFile="{folder}/server.key")
template(name="out" type="list" option.jsonf="on") {{
  property(outname="text" name="msg" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="program" name="app-name" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="priority" name="pri" format="jsonf")
}}
ruleset(name="keep") {{ action(type="omfile" file="{folder}/out" template="out") }}
"#
        );
        match self.program {
            Program::RsyslogTls => format!(
                r#"{rsyslog}
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["gate.test"])
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="keep")
"#
            ),
            Program::RsyslogRelp => format!(
                r#"{rsyslog}
module(load="imrelp" ruleset="keep")
input(type="imrelp" address="127.0.0.1" port="{port}" maxDataSize="8192" tls="on" tls.caCert="{folder}/ca.pem" tls.myCert="{folder}/server.pem"
      tls.myPrivKey="{folder}/server.key" tls.authMode="name" tls.permittedPeer=["gate.test"])
"#
            ),
            Program::SyslogNg => format!(
                r#"@version: 3.38
options {{ keep-hostname(yes); use-dns(no); stats-freq(0); }};
source s {{ syslog(ip("127.0.0.1") port({port}) transport("tls") tls(key-file("{folder}/server.key") cert-file("{folder}/server.pem")
  ca-file("{folder}/ca.pem") peer-verify(required-trusted))); }};
destination d {{ file("{folder}/out" template("$(format-json text=$MSG host=$HOST program=$PROGRAM id=$MSGID data=$SDATA priority=$PRI)\n")); }};
log {{ source(s); destination(d); }};
"#
            ),
        }
    }

    async fn run(&mut self) {
        let mut command = match self.program {
            Program::RsyslogTls | Program::RsyslogRelp => {
                let mut command = Command::new(rsyslogd());
                command.arg("-n").arg("-f").arg(self.path("conf")).arg("-i").arg(self.path("pid"));
                command
            }
            Program::SyslogNg => syslog_ng(self.folder.path()),
        };
        let log = || File::options().create(true).append(true).open(self.path("log")).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap());
        let child = self.child.as_mut().unwrap();
        let (port, told) = (self.port, self.folder.path().join("log"));
        until("the receiver listens", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the receiver ended with {status}: {}", fs::read_to_string(&told).unwrap());
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    async fn end(&mut self, signal: Signal) {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        until("the receiver ends", || child.try_wait().unwrap().is_some()).await;
    }

    fn carrier(&self, authority: &Authority) -> Carrier {
        let mut tls = tls(authority, NAME);
        tls.certificate = Some(authority.client("gate.test"));
        match self.program {
            Program::RsyslogTls | Program::SyslogNg => syslog(self.port, tls),
            Program::RsyslogRelp => relp(self.port, tls),
        }
    }

    /// What the receiver made of every event.
    fn events(&self) -> Vec<Value> {
        read_lines(&self.path("out"))
            .iter()
            .map(|line| {
                // One that was killed within a write leaves the beginning of a line and goes on behind it; what it tore was not
                // acknowledged and comes again. Inside a message the quotes of this beginning are escaped.
                let whole = line.rfind(r#"{"text":"#).and_then(|start| line.get(start..)).unwrap_or(line);
                serde_json::from_str(whole).unwrap_or_else(|fault| panic!("{fault}: {line}"))
            })
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        self.events().iter().map(|event| event["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the last record was written out: what syslog took is not at once in the file.
    async fn has(&self, log: &Log) {
        let last = format!("sequence=\"{}\"", log.lines().len() - 1);
        let out = self.path("out");
        let written = || {
            let text = fs::read(&out).unwrap_or_default();
            // It stands near the end, and what comes before is megabytes.
            let end = String::from_utf8_lossy(text.get(text.len().saturating_sub(100_000)..).unwrap_or(&text)).replace('\\', "");
            end.contains(&last)
        };
        until("the receiver wrote the last record", written).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn rsyslogd() -> PathBuf {
    let found = ["/usr/sbin/rsyslogd", "/sbin/rsyslogd"].into_iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("rsyslogd is not installed: tests/run installs it")
}

/// rsyslog and syslog-ng cannot both be installed, so that `tests/run` unpacks the second.
fn syslog_ng(folder: &Path) -> Command {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.run/syslog-ng");
    let root = if unpacked.join("usr/sbin/syslog-ng").exists() { unpacked } else { PathBuf::from("/") };
    let program = root.join("usr/sbin/syslog-ng");
    assert!(program.exists(), "syslog-ng is not there: tests/run unpacks it");
    let within =
        |path: &str| fs::read_dir(root.join(path)).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let modules = within("usr/lib/syslog-ng").next().expect("the modules of syslog-ng");
    let libraries: Vec<PathBuf> = within("usr/lib").chain(within("lib")).chain([modules.clone()]).collect();
    let mut command = Command::new(program);
    command
        .env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap())
        .args(["--foreground", "--no-caps", "--stderr"])
        .arg(format!("--module-path={}", modules.display()));
    for (option, file) in [("cfgfile", "conf"), ("persist-file", "persist"), ("pidfile", "pid"), ("control", "control")] {
        command.arg(format!("--{option}={}", folder.join(file).display()));
    }
    command
}

/// A port for a program that binds it itself: below those that the system gives to listeners and connections of other tests,
/// so that nobody takes it meanwhile.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 4_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 7;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 500;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Every record of every kind, whatever stands in it, is one event, parsed as it was meant.
async fn check_parsing(program: Program) {
    let (authority, log) = (Authority::new(), Log::new());
    let receiver = Receiver::start(program, &authority).await;
    log.write(120).await;
    log.write_every_kind().await;
    log.sinks.configure(&[sink("one", receiver.carrier(&authority))]).await;
    log.shipped().await;
    receiver.has(&log).await;
    compare(&log, &receiver.texts(), Whole::OrShort);
    for event in receiver.events() {
        let text: Value = serde_json::from_str(event["text"].as_str().unwrap()).unwrap();
        assert_eq!((&event["host"], &event["program"]), (&Value::from("gate.test"), &Value::from("portcullis")));
        assert_eq!(event["id"], text["unmapped"]["portcullis"]["event"]);
        let data = event["data"].as_str().unwrap();
        assert!(data.starts_with("[portcullis@32473 ") && data.contains(text["metadata"]["uid"].as_str().unwrap()), "{data}");
    }
}

/// The receiver restarts, and dies, while records come.
async fn check_restarts(program: Program) {
    let (authority, log) = (Authority::new(), Log::new());
    let mut receiver = Receiver::start(program, &authority).await;
    log.sinks.configure(&[sink("one", receiver.carrier(&authority))]).await;
    for signal in [Signal::TERM, Signal::KILL, Signal::TERM] {
        let out = receiver.path("out");
        let seen = read_lines(&out).len();
        log.write(40).await;
        until("something arrives", || read_lines(&out).len() > seen).await;
        receiver.end(signal).await;
        log.write(20).await;
        let errors = log.report().errors;
        until("the end is noticed", || log.report().errors > errors).await;
        receiver.run().await;
    }
    log.shipped().await;
    receiver.has(&log).await;
    compare(&log, &receiver.texts(), Whole::OrShort);
}

/// Without a certificate, or with one that somebody else vouches for, nothing is taken, and nothing sent in the clear.
async fn check_strangers(program: Program) {
    let (authority, other, log) = (Authority::new(), Authority::new(), Log::new());
    let receiver = Receiver::start(program, &authority).await;
    log.write(20).await;
    log.signed().await;
    let mut unknown = tls(&authority, NAME);
    unknown.certificate = Some(other.client("gate.test"));
    for (number, tls) in [tls(&authority, NAME), unknown, tls(&authority, "other.test"), tls(&other, NAME)].into_iter().enumerate() {
        let carrier = if program == Program::RsyslogRelp { relp(receiver.port, tls) } else { syslog(receiver.port, tls) };
        log.sinks.configure(&[sink(&format!("sink-{number}"), carrier)]).await;
        until("it is refused", || log.report().errors > 1).await;
        assert_eq!(log.report().next, 0);
    }
    assert!(receiver.texts().is_empty());
    log.sinks.configure(&[sink("right", receiver.carrier(&authority))]).await;
    log.shipped().await;
    receiver.has(&log).await;
    compare(&log, &receiver.texts(), Whole::OrShort);
}

#[tokio::test]
async fn rsyslog_parses_one_event_a_record() {
    check_parsing(Program::RsyslogTls).await;
}

#[tokio::test]
async fn rsyslog_by_relp_parses_one_event_a_record() {
    check_parsing(Program::RsyslogRelp).await;
}

#[tokio::test]
async fn syslog_ng_parses_one_event_a_record() {
    check_parsing(Program::SyslogNg).await;
}

#[tokio::test]
async fn rsyslog_restarts_and_misses_nothing() {
    check_restarts(Program::RsyslogTls).await;
}

#[tokio::test]
async fn rsyslog_by_relp_restarts_and_misses_nothing() {
    check_restarts(Program::RsyslogRelp).await;
}

#[tokio::test]
async fn syslog_ng_restarts_and_misses_nothing() {
    check_restarts(Program::SyslogNg).await;
}

#[tokio::test]
async fn rsyslog_and_a_stranger() {
    check_strangers(Program::RsyslogTls).await;
}

#[tokio::test]
async fn rsyslog_by_relp_and_a_stranger() {
    check_strangers(Program::RsyslogRelp).await;
}

#[tokio::test]
async fn syslog_ng_and_a_stranger() {
    check_strangers(Program::SyslogNg).await;
}
