//! Commands: one file per noun. Standard output holds the answer and nothing else; everything that is said about it goes to
//! standard error.
//!
//! Exit: 0 done, 1 the answer is no, 2 wrong usage, 78 bad configuration (sysexits.h, EX_CONFIG).

pub mod audit;
pub mod check;
pub mod config;
mod connections;
mod demo;
pub mod exit;
pub mod explain;
pub mod init;
mod key;
mod orders;
pub mod routes;
mod serve;
mod sinks;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::entropy;

/// A gateway in front of production systems: single sign-on, a second factor, an allowlist and a provable audit log.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Folder of the configuration.
    #[arg(long, global = true, value_name = "DIR", default_value = "config", env = "PORTCULLIS_CONFIG")]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work: a whole world on this machine, without network or files of yours.
    Demo(demo::DemoArgs),
    /// Run the gateway.
    Serve(serve::ServeArgs),
    /// Ask six questions and write a configuration.
    Init(init::Args),
    /// Find every mistake in the configuration, and run its tests.
    Check(check::Args),
    /// Say what would become of a request, rule by rule.
    Explain(Box<explain::Args>),
    /// The inventory: every protected system.
    Routes(routes::Args),
    /// The configuration as it is in force, or its schema.
    Config(config::Args),
    /// Prove the audit log, and read it.
    Audit(audit::AuditArgs),
    /// The people that the gateway knows.
    User(orders::UserArgs),
    /// Their sessions.
    Session(orders::SessionArgs),
    /// The exchanges that are under way.
    Connections(connections::ConnectionsArgs),
    /// Key files.
    Key(key::KeyArgs),
    /// Completions for a shell.
    Completions(CompletionsArgs),
    /// The manual page.
    Man,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

/// Runs one command.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let Cli { config: dir, command } = cli;
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&dir, &args),
        Command::Init(init::Args {}) => initialise(&dir),
        Command::Check(check::Args {}) => with_output(|out, err| check::run(&dir, serve::colour(), out, err)),
        Command::Explain(args) => with_output(|out, err| explain::run(&dir, &args, Clock::system().now(), serve::colour(), out, err)),
        Command::Routes(args) => with_output(|out, err| routes::run(&dir, &args, serve::colour(), out, err)),
        Command::Config(args) => with_output(|out, err| config::run(&dir, &args, serve::colour(), out, err)),
        Command::Audit(args) => audit::run(&args, &dir),
        Command::User(args) => orders::user(&dir, &args),
        Command::Session(args) => orders::session(&dir, &args),
        Command::Connections(args) => connections::run(&dir, &args),
        Command::Key(args) => key::run(&args),
        Command::Completions(CompletionsArgs { shell }) => with_output(|out, _| {
            // Into memory first: the generator panics where the reader of a pipe has left.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            out.write_all(&script).map(|()| exit::DONE)
        }),
        Command::Man => with_output(|mut out, _| clap_mangen::Man::new(Cli::command()).render(&mut out).map(|()| exit::DONE)),
    }
}

/// Runs a command that writes to standard output and standard error.
fn with_output(command: impl FnOnce(&mut dyn Write, &mut dyn Write) -> io::Result<u8>) -> ExitCode {
    // Colour was decided for standard error; what goes to a pipe has none.
    let (mut out, mut err) = (anstream::stdout(), anstream::stderr());
    finish(command(&mut out, &mut err))
}

fn initialise(dir: &Path) -> ExitCode {
    let random = || entropy::bytes().map(Zeroizing::new);
    let (Ok(master), Ok(audit)) = (random(), random()) else {
        return refuse("the random generator failed");
    };
    let mut ask = anstream::stderr();
    let answerer = if io::stdin().is_terminal() { init::Answerer::Person } else { init::Answerer::Script };
    let talk = init::Talk { input: &mut io::stdin().lock(), ask: &mut ask, answerer };
    finish(init::run(dir, &init::Randomness { master, audit }, talk, serve::colour()))
}

fn finish(outcome: io::Result<u8>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Whoever reads the answer has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

/// Says why on standard error.
fn refuse(why: &str) -> ExitCode {
    anstream::eprintln!("portcullis: {why}");
    ExitCode::from(exit::NO)
}
