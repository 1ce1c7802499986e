//! The new process: takes sockets, waits for the log, serves, and records for the old one until that has ended.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::line::Line;
use super::{CONTROL, FORM, Hello, OPEN_WITHIN, PREPARE_WITHIN, UpgradeFault, Word};
use crate::server::Server;
use crate::system::passing;
use crate::system::sandbox::Reach;
use crate::system::sockets::Sockets;

/// The process whose place this one takes.
#[derive(Debug)]
pub struct Predecessor {
    socket: UnixStream,
    records: UnixStream,
    hello: Hello,
    line: Option<Line>,
}

impl Predecessor {
    /// Meets it at standard input, which is nothing's input afterwards. Blocks for as long as the other one takes to speak.
    pub fn meet() -> Result<(Sockets, Self), UpgradeFault> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let nothing = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing).map_err(io::Error::from)?;
        let socket = UnixStream::from(input);
        socket.set_read_timeout(Some(OPEN_WITHIN))?;
        let (line, descriptors) = passing::receive(&socket)?;
        socket.set_read_timeout(None)?;
        let hello: Hello = serde_json::from_str(&line).map_err(|_| UpgradeFault::Unexpected)?;
        let (sockets, records) = sort(&hello, descriptors)?;
        Ok((sockets, Self { socket, records, hello, line: None }))
    }

    /// What the other process may reach, and so this one.
    #[must_use]
    pub const fn confined(&self) -> Option<&Reach> {
        self.hello.confined.as_ref()
    }

    #[must_use]
    pub const fn process(&self) -> u32 {
        self.hello.process
    }

    /// Says that all is ready but the log, and waits until it is closed.
    pub(in crate::server) async fn wait_for_the_log(&mut self, basis: &str) -> Result<(), UpgradeFault> {
        if self.hello.form != FORM || self.hello.basis != basis {
            let theirs = format!("{}, words {}", self.hello.basis, self.hello.form);
            return Err(UpgradeFault::Basis { ours: format!("{basis}, words {FORM}"), theirs });
        }
        let mut line = Line::new(self.socket.try_clone()?)?;
        line.say(&Word::Prepared).await?;
        line.hear_only(|word| matches!(word, Word::LogClosed), PREPARE_WITHIN).await?;
        self.line = Some(line);
        Ok(())
    }

    /// Says that this process serves, and works on with the other one until it has ended.
    pub(in crate::server) async fn relieve(self, server: &Arc<Server>) -> Result<(), UpgradeFault> {
        let Self { records, line, hello, .. } = self;
        let mut line = line.ok_or(UpgradeFault::Unexpected)?;
        records.set_nonblocking(true)?;
        let records = tokio::net::UnixStream::from_std(records)?;
        let (tell, changes) = mpsc::channel(CHANGES_MAX);
        let (speak, words) = mpsc::channel(WORDS_MAX);
        server.gateway.sessions.tell(tell);
        server.predecessor.store(Some(Arc::new(speak)));
        line.say(&Word::Serving).await?;
        if let Err(fault) = line.hear_only(|word| matches!(word, Word::Yours), OPEN_WITHIN).await {
            // Whatever became of it: the log and the sockets are here.
            tracing::error!(error = %fault, process.id = hello.process, "the process before this one broke off as this one began to serve");
        }
        let recorder = server.gateway.audit.clone();
        // Among the tasks that a stop waits for: the other one's last records are worth as much as ours.
        server.gateway.tasks.spawn(async move {
            match recorder.take_in(records).await {
                Ok(()) => tracing::info!(process.id = hello.process, "the process before this one has ended"),
                Err(error) => tracing::error!(error = %error, process.id = hello.process, "the process before this one broke off"),
            }
        });
        let hearing = Arc::clone(server);
        server.talks.spawn(line.converse(changes, words, move |word| {
            if let Word::Session(change) = word {
                hearing.gateway.sessions.hear(change);
            }
        }));
        Ok(())
    }
}

impl Server {
    /// Tells the process before this one, while it lasts, that another configuration is in force.
    pub(in crate::server) fn tell_predecessor_of_reload(&self) {
        if let Some(words) = self.predecessor.load_full() {
            // Full means that it is about to read the configuration anyway.
            let _told_or_ended = words.try_send(Word::Reloaded);
        }
    }
}

/// Where words for the predecessor are put.
pub(in crate::server) type Words = mpsc::Sender<Word>;

fn sort(hello: &Hello, mut descriptors: Vec<OwnedFd>) -> Result<(Sockets, UnixStream), UpgradeFault> {
    if descriptors.len() != hello.sockets.len() + 1 {
        return Err(UpgradeFault::Unexpected);
    }
    let records = descriptors.pop().ok_or(UpgradeFault::Unexpected)?;
    let mut sockets = Sockets::default();
    for (name, descriptor) in hello.sockets.iter().zip(descriptors) {
        if name == CONTROL {
            sockets.add_unix(UnixListener::from(descriptor));
        } else {
            sockets.add_tcp(name.clone(), TcpListener::from(descriptor));
        }
    }
    Ok((sockets, UnixStream::from(records)))
}

const CHANGES_MAX: usize = 1_024;
const WORDS_MAX: usize = 4;
