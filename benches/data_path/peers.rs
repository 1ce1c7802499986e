//! The proxies: the gateway, and what people would use instead. Each runs one worker on the first core.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::world::World;

/// A proxy under load.
pub struct Peer {
    pub name: String,
    pub pid: u32,
    pub address: SocketAddr,
    pub is_gateway: bool,
    /// What its people show.
    pub cookie: String,
    process: Option<Child>,
}

impl Peer {
    pub fn gateway(world: &World) -> Self {
        Self {
            name: "portcullis, everything on".into(),
            pid: world.pid(),
            address: world.address(),
            is_gateway: true,
            cookie: world.cookie.clone(),
            process: None,
        }
    }

    /// Starts a peer by name; None when its program is not there.
    pub fn start(name: &str, world: &World) -> Option<Self> {
        let port = free_port();
        let (title, mut command) = match name {
            "nginx" => ("nginx", nginx(world, port)),
            "nginx-log-limit" => ("nginx, log and rate limit", nginx_with(world, port, &log_and_limit(world), LIMIT)),
            "nginx-auth" => ("nginx, auth_request, log, limit", nginx_auth(world, port)),
            "minimal" => ("hyper and rustls alone", crate::minimal::command(world, port)),
            "haproxy" => ("HAProxy", haproxy(world, port, false)),
            "haproxy-jwt" => ("HAProxy, JWT, stick table, log", haproxy(world, port, true)),
            other => panic!("there is no peer named {other}"),
        };
        let log = fs::File::create(world.folder().join(format!("{name}.log"))).unwrap();
        let spawned = pinned(&mut command, 0).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        let process = match spawned {
            Ok(process) => process,
            Err(fault) => {
                println!("  {title} is left out: {fault}");
                return None;
            }
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_for(address, world.folder());
        let cookie = if name == "haproxy-jwt" { format!("jwt={}", json_web_token()) } else { world.cookie.clone() };
        Some(Self { name: title.into(), pid: process.id(), address, is_gateway: false, cookie, process: Some(process) })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            end(process);
        }
    }
}

/// Ends a process that was started here, and waits for it.
pub fn end(process: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        if process.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

/// The command, on one core.
pub fn pinned(command: &mut Command, core: usize) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.arg("-c").arg(core.to_string()).arg(command.get_program()).args(command.get_args());
    pinned.stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            pinned.env(name, value);
        }
    }
    pinned
}

pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Returns when something accepts connections there.
pub fn wait_for(address: SocketAddr, folder: &Path) {
    let patience = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < patience, "nothing listens on {address}: {}", logs(folder));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the programs said, for the message that one of them did not start.
fn logs(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.extension().is_some_and(|kind| kind == "log" || kind == "err"));
    logs.map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn nginx(world: &World, port: u16) -> Command {
    nginx_with(world, port, "", "")
}

fn log_and_limit(world: &World) -> String {
    let log = world.folder().join("access.log");
    format!("limit_req_zone $binary_remote_addr zone=all:10m rate=1000000r/s; access_log {} combined;", log.display())
}

const LIMIT: &str = "limit_req zone=all burst=1000000 nodelay;";

/// Asks another program about each request, as beside oauth2-proxy; what that program costs is not counted.
fn nginx_auth(world: &World, port: u16) -> Command {
    let asking = "location = /auth { internal; proxy_pass http://back/auth; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }";
    let text = nginx_text(world, port, &log_and_limit(world), &format!("{LIMIT} auth_request /auth;"), asking);
    nginx_command(world, "nginx-auth", &text)
}

fn nginx_with(world: &World, port: u16, http: &str, server: &str) -> Command {
    let text = nginx_text(world, port, http, server, "");
    nginx_command(world, &format!("nginx-{port}"), &text)
}

fn nginx_text(world: &World, port: u16, http: &str, location: &str, more: &str) -> String {
    let folder = world.folder().display();
    let (upstream, sink) = (world.upstream(), world.sink());
    let log = if http.contains("access_log") { "" } else { "access_log off;" };
    format!(
        "daemon off; master_process off; pid {folder}/nginx-{port}.pid; error_log {folder}/nginx-{port}.err;
worker_rlimit_nofile 20000; events {{ worker_connections 8192; }}
http {{
  {log} {http} client_max_body_size 0; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/nginx-{port}-body; proxy_temp_path {folder}/nginx-{port}-proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  ssl_protocols TLSv1.3; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key; ssl_session_tickets on; ssl_session_cache off;
  upstream back {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    location / {{ {location} proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
      proxy_request_buffering off; proxy_buffering on; }}
    location /upload {{ {location} proxy_pass http://{sink}; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_request_buffering off; }}
    {more}
  }}
}}\n"
    )
}

fn nginx_command(world: &World, name: &str, text: &str) -> Command {
    let path = world.folder().join(format!("{name}.conf"));
    fs::write(&path, text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(path).arg("-p").arg(world.folder());
    command
}

fn haproxy(world: &World, port: u16, identity: bool) -> Command {
    let folder = world.folder().display();
    let (upstream, sink) = (world.upstream(), world.sink());
    let pem =
        fs::read_to_string(world.folder().join("server.pem")).unwrap() + &fs::read_to_string(world.folder().join("server.key")).unwrap();
    fs::write(world.folder().join("haproxy.pem"), pem).unwrap();
    let checks = if identity {
        format!(
            "  log stdout format raw local0
  option httplog
  stick-table type ip size 100k expire 30s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 100000000 }}
  http-request set-var(txn.jwt) req.cook(jwt)
  http-request deny unless {{ var(txn.jwt),jwt_verify(HS256,{JWT_SECRET}) 1 }}\n"
        )
    } else {
        String::new()
    };
    let text = format!(
        "global
  nbthread 1
  maxconn 9000
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend front
  bind 127.0.0.1:{port} ssl crt {folder}/haproxy.pem alpn h2,http/1.1
{checks}  use_backend sink if {{ path /upload }}
  default_backend back
backend back
  server one {upstream}
backend sink
  server one {sink}\n"
    );
    let path = world.folder().join(format!("haproxy-{port}.cfg"));
    fs::write(&path, text).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-q").arg("-f").arg(path);
    command
}

/// What the people of HAProxy show: a token that it verifies with each request.
fn json_web_token() -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims =
        r#"{"iss":"https://idp.test","sub":"person-0","email":"person-0@example.com","groups":["staff","dev","sre"],"exp":4102444800}"#;
    let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, JWT_SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

const JWT_SECRET: &str = "a-secret-of-thirty-two-characters";
