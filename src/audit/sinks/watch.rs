//! How far behind a sink is, looked at also while it waits for its receiver.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::sleep;

use crate::config::{Backlog, Sink};

use super::super::Recorder;
use super::super::follow;
use super::status::Status;

/// Looks every so often how far behind the sink is, also while a batch waits for its receiver, and holds grants back where
/// the configuration says so. Never returns.
pub async fn watch(sink: &Sink, dir: PathBuf, recorder: &Recorder, status: &Status) {
    let held = Cell::new(None);
    loop {
        if let Ok(Some(head)) = follow::head(&dir) {
            status.head.store(head.size, Relaxed);
        }
        let backlog = status.head.load(Relaxed).saturating_sub(status.next.load(Relaxed));
        if let Backlog::Block(most) = sink.backlog {
            let blocks = status.blocks.load(Relaxed);
            // It lets go with room to spare, so that it does not flutter.
            if !blocks && backlog > most {
                tracing::error!(sink = %sink.name, sink.backlog = backlog, "a sink is too far behind: grants are refused");
                held.set(Some(recorder.hold_grants()));
                status.blocks.store(true, Relaxed);
            } else if blocks && backlog <= most - most / 10 {
                tracing::warn!(sink = %sink.name, "a sink has caught up: grants are given again");
                held.set(None);
                status.blocks.store(false, Relaxed);
            }
        }
        sleep(sink.flush_interval).await;
    }
}
