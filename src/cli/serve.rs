//! `portcullis serve`: runs the gateway until it is told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit, refuse};
use crate::clock::Clock;
use crate::config::{self, Colour, Loaded, Severity};
use crate::server::{self, Server};
use crate::telemetry::logs::{self, Form};

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t)]
    log: LogForm,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogForm {
    #[default]
    Text,
    Json,
}

pub fn run(config: &Path, args: &ServeArgs) -> ExitCode {
    logs::install(match args.log {
        LogForm::Text => Form::Text,
        LogForm::Json => Form::Json,
    });
    let loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    on_runtime(async {
        let Ok(signals) = Signals::receive() else { return refuse(NO_SIGNALS) };
        let server = match server::start(loaded, config.to_owned(), Clock::system()).await {
            Ok(server) => server,
            Err(fault) => return refuse(&fault.to_string()),
        };
        for (name, address) in server.addresses() {
            tracing::info!(listener.name = %name, listener.address = %address, "listening");
        }
        until_stopped(&server, signals).await
    })
}

/// Reads a configuration, or says every mistake.
pub fn load(dir: &Path) -> Result<Loaded, ExitCode> {
    let colour = colour();
    match config::load(dir) {
        Ok(loaded) => {
            if loaded.warnings.count(Severity::Warning) > 0 {
                eprint!("{}", loaded.warnings.render(colour));
            }
            Ok(loaded)
        }
        Err(report) => {
            eprint!("{}", report.render(colour));
            Err(ExitCode::from(exit::BAD_CONFIGURATION))
        }
    }
}

/// Colour on a terminal alone.
pub fn colour() -> Colour {
    use std::io::IsTerminal;
    let wanted = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { Colour::Ansi } else { Colour::Plain }
}

/// The signals that a gateway follows. They are received from before the start on: one that came while nobody received it
/// would end the process, with nothing recorded.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn receive() -> std::io::Result<Self> {
        let [hangup, terminate, interrupt] = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()].map(signal);
        Ok(Self { hangup: hangup?, terminate: terminate?, interrupt: interrupt? })
    }
}

/// Follows files and signals: SIGHUP reloads, SIGTERM and SIGINT stop.
pub async fn until_stopped(server: &Arc<Server>, signals: Signals) -> ExitCode {
    let Signals { mut hangup, mut terminate, mut interrupt } = signals;
    let files = Arc::clone(server).follow_files();
    tokio::pin!(files);
    let mut following = true;
    loop {
        // Whatever comes first; a reload tells and records its outcome itself.
        tokio::select! {
            _ = hangup.recv() => drop(server.reload().await),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut files, if following => following = false,
        }
    }
    tracing::info!("stopping: open requests are given time to end");
    server.stop().await;
    ExitCode::SUCCESS
}

pub fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => refuse(&format!("no runtime: {error}")),
    }
}

/// Said when the system refuses to deliver signals.
pub const NO_SIGNALS: &str = "signals cannot be received";
