//! `portcullis serve`: runs the gateway until it is told to stop.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit, refuse};
use crate::clock::Clock;
use crate::config::{self, Colour, Loaded, SandboxMode, Severity};
use crate::server::{self, Origin, Predecessor, Program, Server, UpgradeFault};
use crate::system::service::Service;
use crate::system::{activation, sandbox};
use crate::telemetry::logs::{self, Form};

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t)]
    log: LogForm,
    /// Take the place of the gateway at the other end of standard input. Given by that gateway alone.
    #[arg(long, hide = true)]
    takeover: bool,
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
    let service = Arc::new(Service::from_env());
    sandbox::leave_no_traces();
    let (program, mut origin) = match (Program::of_this_process(), origin(args)) {
        (Ok(program), Ok(origin)) => (program, origin),
        (Err(error), _) => return refuse(&format!("this program's own path: {error}")),
        (_, Err(why)) => return refuse(&why),
    };
    let loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if let Err(why) = confine(&loaded, config, &program, &mut origin) {
        return refuse(&why);
    }
    on_runtime(async {
        let Ok(signals) = Signals::receive() else { return refuse(NO_SIGNALS) };
        let server = match server::start_from(loaded, config.to_owned(), Clock::system(), origin).await {
            Ok(server) => server,
            Err(fault) => return refuse(&fault.to_string()),
        };
        for (name, address) in server.addresses() {
            tracing::info!(listener.name = %name, listener.address = %address, "listening");
        }
        service.ready(SERVING);
        if let Some(every) = service.feed_every() {
            server.feed(Arc::clone(&service), every);
        }
        until_stopped(&server, signals, Some(&Manager { service, program })).await
    })
}

/// Sockets of the service manager, or a gateway to take over from. Before there is a second thread.
fn origin(args: &ServeArgs) -> Result<Origin, String> {
    let mut sockets = activation::take().map_err(|fault| fault.to_string())?;
    let mut predecessor = None;
    if args.takeover {
        let (given, met) = Predecessor::meet().map_err(|fault| format!("no gateway to take over from: {fault}"))?;
        (sockets, predecessor) = (given, Some(met));
    }
    Ok(Origin { sockets, predecessor, confined: None })
}

/// Gives up what this configuration does not need. Before there is a second thread, and after everything is there that is to
/// be reached. A process that takes another one's place is confined as that one is: each layer more would count towards the
/// kernel's limit of sixteen.
fn confine(loaded: &Loaded, dir: &Path, program: &Program, origin: &mut Origin) -> Result<(), String> {
    let config = &loaded.config;
    let inherited = origin.predecessor.as_ref().and_then(Predecessor::confined).cloned();
    if config.sandbox.mode == SandboxMode::Off && inherited.is_none() {
        sandbox::note("nothing: [sandbox] is off");
        return Ok(());
    }
    for folder in [Some(config.gateway.state_dir.as_path()), Some(&config.audit.dir), config.store.sqlite.parent()].into_iter().flatten() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))?;
    }
    let wanted = server::reach(config, dir, &loaded.seen, program.path());
    match inherited {
        Some(inherited) => {
            if let Some(beyond) = wanted.beyond(&inherited) {
                return Err(format!("{beyond} is beyond what the process before this one may reach: it takes a restart"));
            }
            sandbox::note("files and ports, as far as the process before this one was confined");
            origin.confined = Some(inherited);
        }
        None => {
            sandbox::confine(&wanted);
            origin.confined = Some(wanted);
        }
    }
    Ok(())
}

/// Who started this process and watches it.
pub struct Manager {
    service: Arc<Service>,
    program: Program,
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
    user: Signal,
}

impl Signals {
    pub fn receive() -> std::io::Result<Self> {
        let all = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined2()];
        let [hangup, terminate, interrupt, user] = all.map(signal);
        Ok(Self { hangup: hangup?, terminate: terminate?, interrupt: interrupt?, user: user? })
    }
}

/// Follows files and signals: SIGHUP reloads, SIGUSR2 puts a new process in the place of this one, SIGTERM and SIGINT stop.
pub async fn until_stopped(server: &Arc<Server>, signals: Signals, manager: Option<&Manager>) -> ExitCode {
    let Signals { mut hangup, mut terminate, mut interrupt, mut user } = signals;
    // A task of its own: here it would stand still, amid a reload and with its lock, while a signal asks for another.
    server.watch_files();
    loop {
        // Whatever comes first; a reload tells and records its outcome itself.
        tokio::select! {
            _ = hangup.recv() => reload(server, manager).await,
            _ = user.recv() => match replace(server, manager).await {
                Replaced::No => {}
                Replaced::Yes => {
                    server.stop().await;
                    return ExitCode::SUCCESS;
                }
                Replaced::Lost(why) => return refuse(&why),
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping: open requests are given time to end");
    if let Some(manager) = manager {
        manager.service.stopping("stopping: open requests are given time to end");
    }
    server.stop().await;
    ExitCode::SUCCESS
}

async fn reload(server: &Arc<Server>, manager: Option<&Manager>) {
    if let Some(manager) = manager {
        manager.service.reloading("reading the configuration");
    }
    let taken = server.reload().await;
    if let Some(manager) = manager {
        manager.service.ready(if taken.is_ok() { SERVING } else { "serving; the last configuration was refused" });
    }
}

enum Replaced {
    Yes,
    No,
    Lost(String),
}

async fn replace(server: &Arc<Server>, manager: Option<&Manager>) -> Replaced {
    let Some(Manager { service, program }) = manager else { return Replaced::No };
    service.reloading("a new process is getting ready");
    match server.upgrade(program, |process| service.handed_to(process)).await {
        Ok(_) => Replaced::Yes,
        Err(fault @ UpgradeFault::Lost(_)) => Replaced::Lost(fault.to_string()),
        Err(fault) => {
            tracing::error!(error = %fault, "no other process took this one's place: it goes on");
            service.ready("serving; an upgrade failed");
            Replaced::No
        }
    }
}

pub fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // The process before this one says how many it had, because the processors may not be counted from within the sandbox.
    if std::env::var_os(server::WORKERS).is_none() {
        builder.worker_threads(std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from).max(WORKERS_MIN));
    }
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => refuse(&format!("no runtime: {error}")),
    }
}

/// A record may be written in the task of a request, so that a disk which hangs holds one worker: another answers meanwhile.
const WORKERS_MIN: usize = 2;

/// Said when the system refuses to deliver signals.
pub const NO_SIGNALS: &str = "signals cannot be received";

/// What the service manager shows.
const SERVING: &str = "serving";
