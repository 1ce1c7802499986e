//! `portcullis user …` and `portcullis session …`: orders to the running gateway, through its control socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand};
use comfy_table::{Table, presets};

use super::serve::colour;
use super::{Output, exit, refuse};
use crate::config;
use crate::server::control::{self, ErasedPage, Order, Outcome, Revoked, SessionLine, UserLine, UserPage};

#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

/// People are named by e-mail address, or by subject as `user list` shows it.
#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Everybody who has signed in.
    List,
    /// One person: groups, factors, sessions.
    Show { user: String },
    /// Make a one-time code with which a person enrols a second factor.
    Invite { email: String },
    /// Remove a person's factors and recovery codes, and end their sessions.
    ResetFactor { user: String },
    /// Keep a person out, and end their sessions.
    Lock { user: String },
    /// Let a person in again.
    Unlock { user: String },
    /// Remove all that is known of a person, end their sessions, and destroy the key of their audit records.
    Erase { user: String },
}

#[derive(Debug, Args)]
pub struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// Live sessions, of everybody or of one person.
    List {
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
    },
    /// End sessions at once, with their streams.
    #[command(group(ArgGroup::new("which").required(true).multiple(false)))]
    Revoke {
        #[arg(long, value_name = "EMAIL", group = "which")]
        user: Option<String>,
        #[arg(long, value_name = "ID", group = "which")]
        session: Option<String>,
        #[arg(long, group = "which")]
        all: bool,
    },
}

pub fn user(config: &Path, args: &UserArgs) -> ExitCode {
    let order = match &args.command {
        UserCommand::List => Order::UserList {},
        UserCommand::Show { user } => Order::UserShow { user: user.clone() },
        UserCommand::Invite { email } => Order::UserInvite { email: email.clone() },
        UserCommand::ResetFactor { user } => Order::UserResetFactor { user: user.clone() },
        UserCommand::Lock { user } => Order::UserLock { user: user.clone() },
        UserCommand::Unlock { user } => Order::UserUnlock { user: user.clone() },
        UserCommand::Erase { user } => Order::UserErase { user: user.clone() },
    };
    give(config, &order, args.output)
}

pub fn session(config: &Path, args: &SessionArgs) -> ExitCode {
    let order = match &args.command {
        SessionCommand::List { user } => Order::SessionList { user: user.clone() },
        SessionCommand::Revoke { user, session, all: _ } => Order::SessionRevoke {
            which: match (user, session) {
                (Some(user), _) => Revoked::User(user.clone()),
                (None, Some(session)) => Revoked::Session(session.clone()),
                (None, None) => Revoked::All,
            },
        },
    };
    give(config, &order, args.output)
}

/// `audit.dir` of the configuration.
pub fn audit_dir(dir: &Path) -> Result<PathBuf, String> {
    folder(dir, "audit", "dir").or_else(|| Some(config::load(dir).ok()?.config.audit.dir)).ok_or_else(|| mistakes(dir))
}

/// `gateway.state_dir` of the configuration.
pub fn state_dir(dir: &Path) -> Result<PathBuf, String> {
    folder(dir, "gateway", "state_dir").ok_or_else(|| mistakes(dir))
}

/// One folder that `portcullis.toml` names. Nothing else in it is looked at: in an incident a mistake elsewhere in a
/// configuration must keep nobody from locking a person out of the gateway that still runs on the one before.
fn folder(dir: &Path, section: &str, key: &str) -> Option<PathBuf> {
    let text = std::fs::read_to_string(dir.join("portcullis.toml")).ok()?;
    let file: toml::Table = text.parse().ok()?;
    Some(dir.join(file.get(section)?.get(key)?.as_str()?))
}

fn mistakes(dir: &Path) -> String {
    config::load(dir).err().map(|report| report.render(colour())).unwrap_or_default()
}

pub(super) fn give(dir: &Path, order: &Order, output: Output) -> ExitCode {
    let Some(state_dir) = folder(dir, "gateway", "state_dir") else {
        eprint!("{}", mistakes(dir));
        return ExitCode::from(exit::BAD_CONFIGURATION);
    };
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(control::give(&state_dir, order)),
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    match outcome {
        Ok(Outcome::Refused { why }) => refuse(&why),
        Err(fault) => match config::load(dir) {
            Ok(_) => refuse(&fault.to_string()),
            // No gateway runs, and none could: that is what has to be mended first.
            Err(report) => {
                eprint!("{}", report.render(colour()));
                ExitCode::from(exit::BAD_CONFIGURATION)
            }
        },
        Ok(outcome) => {
            match output {
                Output::Json => anstream::println!("{}", serde_json::to_string_pretty(&outcome).unwrap_or_default()),
                Output::Table => tell(&outcome),
            }
            ExitCode::SUCCESS
        }
    }
}

fn tell(outcome: &Outcome) {
    match outcome {
        Outcome::Users(users) => anstream::println!("{}", user_table(users)),
        Outcome::User(page) => tell_user(page),
        Outcome::Invite { email, code, expires, enrol_at, note } => {
            anstream::println!("{code}");
            anstream::eprintln!("Give this code to {email}; it is shown once and is good until {expires}.");
            anstream::eprintln!("It is asked for at {enrol_at} after the first sign-in.");
            if let Some(note) = note {
                anstream::eprintln!("Note: {note}.");
            }
        }
        Outcome::Changed { user, sessions_ended } => anstream::println!("{user}: done, {sessions_ended} sessions ended"),
        Outcome::Sessions(sessions) => anstream::println!("{}", session_table(sessions)),
        Outcome::Revoked { sessions } => anstream::println!("{} sessions ended", sessions.len()),
        Outcome::Erased(page) => tell_erased(page),
        Outcome::Recorded {} => anstream::println!("recorded"),
        Outcome::Connections(connections) => super::connections::print(connections),
        Outcome::Sinks(sinks) => super::sinks::print(sinks),
        Outcome::Refused { why } => anstream::eprintln!("{why}"),
    }
}

fn tell_erased(page: &ErasedPage) {
    let nothing = page.subjects + page.invitations + page.keys == 0;
    match &page.pseudonym {
        Some(pseudonym) => anstream::println!("{}: erased; records call the person {pseudonym}", page.user),
        None if nothing => anstream::println!("{}: nothing is known of anybody of this name", page.user),
        None => anstream::println!("{}: erased", page.user),
    }
    let counts = [
        ("sessions ended", page.sessions_ended),
        ("factors", page.factors),
        ("recovery codes", page.recovery_codes),
        ("invitations", page.invitations),
        ("keys destroyed", page.keys),
    ];
    counts.iter().for_each(|(what, count)| anstream::println!("  {what:<16} {count}"));
    page.kept.iter().for_each(|line| anstream::println!("  kept: {line}"));
}

fn tell_user(page: &UserPage) {
    anstream::println!("{}", user_table(std::slice::from_ref(&page.user)));
    anstream::println!("groups: {}", page.groups.join(", "));
    anstream::println!("totp: {}", page.totp.as_ref().map_or_else(|| "none".to_owned(), |enrolled| format!("enrolled {enrolled}")));
    anstream::println!("recovery codes left: {}", page.recovery_codes_left);
    anstream::println!("wrong codes in a row: {}", page.wrong_codes_in_a_row);
    anstream::println!("{}", session_table(&page.sessions));
}

fn user_table(users: &[UserLine]) -> Table {
    let mut table = plain(["E-MAIL", "NAME", "SUBJECT", "STATE", "FIRST SEEN", "LAST SEEN"]);
    for user in users {
        let state = if user.locked { "locked" } else { "active" };
        let (email, name) = (user.email.as_deref().unwrap_or("-"), user.name.as_deref().unwrap_or("-"));
        table.add_row([email, name, &user.subject, state, &user.first_seen, &user.last_seen]);
    }
    table
}

fn session_table(sessions: &[SessionLine]) -> Table {
    let mut table = plain(["SESSION", "USER", "FACTOR", "BEGUN", "LAST SEEN", "ADDRESS"]);
    for session in sessions {
        let id = session.id.to_string();
        let (factor, address) = (session.factor.as_deref().unwrap_or("none yet"), session.address.as_deref().unwrap_or("-"));
        table.add_row([&id, &session.user, factor, &session.begun, &session.last_seen, address]);
    }
    table
}

fn plain<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}
