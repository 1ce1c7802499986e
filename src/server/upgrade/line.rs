//! The words between two processes: JSON lines over a Unix socket.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{UpgradeFault, Word};
use crate::gateway::sessions::Change;

/// One end of the socket.
#[derive(Debug)]
pub(super) struct Line {
    reader: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Line {
    pub fn new(socket: std::os::unix::net::UnixStream) -> Result<Self, UpgradeFault> {
        socket.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(socket)?.into_split();
        Ok(Self { reader: BufReader::new(reader).lines(), writer })
    }

    pub async fn say(&mut self, word: &Word) -> Result<(), UpgradeFault> {
        let mut text = serde_json::to_vec(word).map_err(std::io::Error::other)?;
        text.push(b'\n');
        // Whoever reads nothing would keep this side from hearing as well.
        timeout(HEARD_WITHIN, self.writer.write_all(&text)).await.map_err(|_| UpgradeFault::TimedOut(HEARD_WITHIN))??;
        Ok(())
    }

    /// The next word; none at the end of the other process. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Word>, UpgradeFault> {
        match self.reader.next_line().await? {
            Some(text) => serde_json::from_str(&text).map(Some).map_err(|_| UpgradeFault::Unexpected),
            None => Ok(None),
        }
    }

    /// Waits for one word and no other.
    pub async fn hear_only(&mut self, wanted: impl Fn(&Word) -> bool, within: Duration) -> Result<(), UpgradeFault> {
        match timeout(within, self.next()).await.map_err(|_| UpgradeFault::TimedOut(within))?? {
            Some(word) if wanted(&word) => Ok(()),
            Some(_) => Err(UpgradeFault::Unexpected),
            None => Err(UpgradeFault::Gone),
        }
    }

    /// Passes changes on, and gives what the other one says to `hear`, until the other process ends.
    pub async fn converse(mut self, mut changes: mpsc::Receiver<Change>, mut words: mpsc::Receiver<Word>, mut hear: impl FnMut(Word)) {
        let (mut telling, mut speaking) = (true, true);
        loop {
            // The other one speaks; a session changed here; something else is to be said.
            let said = tokio::select! {
                word = self.next() => match word {
                    Ok(Some(word)) => {
                        hear(word);
                        continue;
                    }
                    Ok(None) => return,
                    Err(fault) => {
                        tracing::error!(error = %fault, "the other process cannot be understood: nothing that is in memory counts");
                        return hear(Word::Session(Change::Everything));
                    }
                },
                change = changes.recv(), if telling => {
                    telling = change.is_some();
                    Word::Session(change.unwrap_or(Change::Everything))
                }
                word = words.recv(), if speaking => match word {
                    Some(word) => word,
                    None => {
                        speaking = false;
                        continue;
                    }
                },
            };
            match self.say(&said).await {
                Ok(()) => {}
                Err(UpgradeFault::TimedOut(_)) => {
                    tracing::error!("the other process does not listen: nothing that is in memory counts");
                    return hear(Word::Session(Change::Everything));
                }
                Err(_) => return,
            }
        }
    }
}

/// For the other process to take a word.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use kernel::session::SessionId;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn where_the_other_process_does_not_listen_nothing_in_memory_counts() {
        let (ours, _unread) = std::os::unix::net::UnixStream::pair().unwrap();
        let (tell, changes) = mpsc::channel(1);
        let (_nothing_else, words) = mpsc::channel(1);
        let mut heard = None;
        let talking = Line::new(ours).unwrap().converse(changes, words, |word| heard = Some(word));
        let telling = async { while tell.send(Change::Ended(vec![SessionId::new([1; 16]); 1_000])).await.is_ok() {} };
        tokio::join!(talking, telling);
        assert!(matches!(heard, Some(Word::Session(Change::Everything))), "{heard:?}");
    }
}
