//! What the process gives up at its start: core files, being looked into, and all files and ports that it does not need
//! (Landlock, landlock(7)). What was given up does not come back, nor for programs that it starts.
//!
//! As much as the kernel can: what it cannot is told in the log and at `/readyz`, and stops nobody.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use serde::{Deserialize, Serialize};

/// Everything that a process may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Files, and folders with all below them.
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    /// Programs and libraries, to be read and executed: for a process that takes this one's place.
    pub run: Vec<PathBuf>,
    /// TCP ports to connect to.
    pub ports: Vec<u16>,
}

impl Reach {
    /// The first thing here that `other` does not reach.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Option<String> {
        let below = |path: &Path, folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        let path = |wanted: &[PathBuf], given: &[&[PathBuf]]| {
            wanted.iter().find(|path| !given.iter().any(|given| below(path, given))).map(|path| path.display().to_string())
        };
        let port = || self.ports.iter().find(|port| !other.ports.contains(port)).map(|port| format!("port {port}"));
        path(&self.read, &[&other.read, &other.write]).or_else(|| path(&self.write, &[&other.write])).or_else(port)
    }
}

/// No core file holds what was in memory, and no other process of the same user looks into it.
pub fn leave_no_traces() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(error = %error, "core files cannot be forbidden");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(error = %error, "other processes of this user may look into this one's memory");
    }
}

/// Gives up everything else, for this thread and all that it starts: call it before there is another. What a reach names and
/// is not there is not reached later either.
pub fn confine(reach: &Reach) {
    let state = match enforce(reach) {
        Ok(RulesetStatus::FullyEnforced) => "files and ports",
        Ok(RulesetStatus::PartiallyEnforced) => "what this kernel can (an older Landlock: files, without ports)",
        Ok(RulesetStatus::NotEnforced) => "nothing: this kernel has no Landlock",
        Err(error) => {
            tracing::warn!(error = %error, "the process cannot be confined");
            "nothing: the kernel refused"
        }
    };
    note(state);
}

/// The process is confined by what it inherited, or is not to be.
pub fn note(state: &'static str) {
    let _first = STATE.set(state);
    tracing::info!(sandbox = state, "what the process may reach is confined");
}

/// What is confined, in words.
#[must_use]
pub fn state() -> &'static str {
    STATE.get().copied().unwrap_or("nothing: not asked for")
}

static STATE: OnceLock<&'static str> = OnceLock::new();

fn enforce(reach: &Reach) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write: BitFlags<AccessFs> = AccessFs::from_all(KNOWN) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
    let run = read | AccessFs::Execute;
    let ports = reach.ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .add_rules(path_beneath_rules(&reach.read, read))?
        .add_rules(path_beneath_rules(&reach.write, write))?
        .add_rules(path_beneath_rules(&reach.run, run))?
        .add_rules(ports)?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Files to Linux 6.10, ports since 6.7.
const KNOWN: ABI = ABI::V5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_is_compared_by_folder_and_port() {
        let given = Reach { read: vec!["/etc/x".into()], write: vec!["/var/x".into()], run: Vec::new(), ports: vec![443] };
        let wants = |read: &str, write: &str, port| {
            Reach { read: vec![read.into()], write: vec![write.into()], run: Vec::new(), ports: vec![port] }.beyond(&given)
        };
        assert_eq!(wants("/etc/x/a", "/var/x", 443), None);
        assert_eq!(wants("/var/x/a", "/var/x/b", 443), None);
        assert_eq!(wants("/etc/xy", "/var/x", 443), Some("/etc/xy".to_owned()));
        assert_eq!(wants("/etc/x", "/etc/x", 443), Some("/etc/x".to_owned()), "reading is not writing");
        assert_eq!(wants("/etc/x", "/var/x", 80), Some("port 80".to_owned()));
    }
}
