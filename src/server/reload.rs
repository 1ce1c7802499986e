//! Reload: on SIGHUP and when a watched file changes. A new configuration is taken whole, or refused whole with every reason
//! while the old one stays in force. No connection is dropped; exchanges that the new one does not allow are cut.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kernel::event::{Body as EventBody, ChangedBy, EntityChange, EntityFacts, Event, LifecycleChange, LifecycleFacts};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::compile::{self, CompileFault};
use super::{Server, certificates};
use crate::config::{self, Colour, Config, Loaded, RoutesFolder, Seen};
use crate::gateway::RefusedConfiguration;
use crate::listener::{CertificateFault, TlsFault};
use crate::telemetry::metrics::Reload;
use crate::telemetry::traces::ExporterFault;

/// Why a configuration was not taken.
#[derive(Debug, Error)]
pub enum ReloadFault {
    #[error("{}", .0.render(Colour::Plain))]
    Mistakes(config::Report),
    #[error("the folder {} is gone, and every route with it: put it back, or leave it there without route files to close them all", .0.display())]
    RoutesGone(PathBuf),
    #[error("{0} can be changed by a restart only")]
    NeedsRestart(&'static str),
    #[error("{0} is beyond what the process may reach since its start: restart, or see [sandbox]")]
    BeyondReach(String),
    #[error("{0}")]
    Certificate(#[from] CertificateFault),
    #[error("{0}")]
    Tls(#[from] TlsFault),
    #[error("{0}")]
    Notify(#[from] super::NotifyFault),
    #[error("{0}")]
    Traces(#[from] ExporterFault),
    #[error("{0}")]
    Compile(#[from] CompileFault),
    #[error("the change could not be recorded, so it was not made: {0}")]
    Audit(#[from] kernel::Failure),
    #[error("a task of the reload broke off: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Reloads in a row that came to nothing although nothing was wrong with the files. They are tried again until one is taken, or refused.
#[derive(Debug, Default)]
pub struct Unrecorded {
    tries: AtomicU32,
    more: Notify,
}

impl Unrecorded {
    fn add(&self) {
        self.tries.fetch_add(1, Ordering::AcqRel);
        self.more.notify_one();
    }

    fn clear(&self) {
        self.tries.store(0, Ordering::Release);
    }

    /// How long to wait before the next try; None where there is nothing to try again.
    fn pause(&self) -> Option<Duration> {
        let tries = self.tries.load(Ordering::Acquire);
        let doubled = || TRY_AGAIN.saturating_mul(1 << (tries - 1).min(10)).min(TRY_AGAIN_MAX);
        (tries > 0).then(doubled)
    }
}

impl ReloadFault {
    /// Whether the same files may be taken in a while.
    const fn passes(&self) -> bool {
        matches!(self, Self::Audit(_) | Self::Task(_))
    }

    /// The reasons, short: the whole report stands in the log of the process.
    fn summary(&self) -> String {
        match self {
            Self::Mistakes(report) => report.summary(),
            other => other.to_string(),
        }
    }
}

impl Server {
    /// Reads the configuration anew and puts it in force, or says why not. Either way it is recorded.
    pub async fn reload(&self) -> Result<(), ReloadFault> {
        let _one_at_a_time = self.reloading.lock().await;
        let known = self.seen.load_full();
        let before = tokio::task::spawn_blocking(move || known.again()).await?;
        let taken = self.try_reload().await;
        match &taken {
            Ok(()) => {
                self.unrecorded.clear();
                self.gateway.metrics.reloaded(Reload::Taken);
                self.gateway.metrics.gauges().configuration_refused.set(0);
                self.gateway.refused.store(None);
                tracing::info!(config = %self.gateway.snapshot.load().hash, "configuration reloaded");
            }
            Err(fault) => {
                // What was refused is not tried again until it changes, but for what could only not be recorded.
                if fault.passes() {
                    self.unrecorded.add();
                } else {
                    self.unrecorded.clear();
                    self.seen.store(Arc::new(before));
                }
                self.gateway.metrics.reloaded(Reload::Refused);
                self.gateway.metrics.gauges().configuration_refused.set(1);
                self.note_refusal(fault.summary());
                tracing::error!(error = %fault, "configuration refused; the old one stays in force");
                let hash = self.gateway.snapshot.load().hash.to_string();
                if let Err(failure) = self.record_change(hash, Some(fault.summary())).await {
                    tracing::error!(error = %failure, "the refusal could not be recorded");
                }
            }
        }
        taken
    }

    async fn try_reload(&self) -> Result<(), ReloadFault> {
        let dir = self.config_dir.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&dir)).await?;
        let Loaded { config, table, hash, seen, routes_folder, .. } = loaded.map_err(ReloadFault::Mistakes)?;
        let had_routes = !self.config.load().routes.is_empty();
        // Nobody closes everything by taking the folder away: it is being replaced, or its volume is not there.
        if had_routes && routes_folder == RoutesFolder::Missing {
            return Err(ReloadFault::RoutesGone(self.config_dir.join(config::ROUTES_DIR)));
        }
        needs_restart(&self.config.load(), &config)?;
        if let Some(confined) = &self.confined {
            let wanted = super::reach(&config, &self.config_dir, &seen, Path::new(""));
            wanted.beyond(confined).map_or(Ok(()), |beyond| Err(ReloadFault::BeyondReach(beyond)))?;
        }
        let previous = self.gateway.snapshot.load_full();
        let origin = compile::Origin { clock: &self.gateway.clock, previous: Some(&previous) };
        let certificates = certificates(&config, &self.gateway.clock)?;
        let snapshot = compile::snapshot(&config, table, Arc::clone(&hash), Arc::clone(&previous.upstreams), origin)?;
        let (receivers, exporter) = (super::receivers(&config)?, super::exporter(&config)?);
        self.record_change(hash.to_string(), None).await?;
        self.watch.set_rules(config.detection.clone());
        self.notifier.aim(receivers);
        self.gateway.tracer.aim(exporter);
        let in_use = self.certificates.load();
        if !in_use.iter().eq(&certificates) {
            let detail = certificates.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let body = EventBody::Lifecycle(Box::new(LifecycleFacts { change: LifecycleChange::CertificateReload, detail: Some(detail) }));
            self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body }).await?;
        }
        for (tls, listener) in self.tls.iter().zip(config.active_listeners()) {
            if let Some(clients) = compile::clients(listener) {
                tls.ask_clients(clients)?;
            }
        }
        self.certificates.store(Arc::new(certificates));
        self.acme.aim(compile::acme_settings(&config));
        self.serve_certificates()?;
        let snapshot = Arc::new(snapshot);
        self.gateway.snapshot.store(Arc::clone(&snapshot));
        self.gateway.sinks.configure(&config.audit.sinks).await;
        if had_routes && config.routes.is_empty() {
            tracing::warn!("the configuration has no route any more: everything is closed");
        }
        self.config.store(Arc::new(config));
        self.seen.store(Arc::new(seen));
        self.tell_predecessor_of_reload();
        let cut = self.gateway.exchanges.judge_again(&snapshot.table, self.gateway.clock.now());
        if cut > 0 {
            tracing::info!(exchanges = cut, "exchanges that the new configuration does not allow were cut");
        }
        Ok(())
    }

    fn note_refusal(&self, why: String) {
        let since = self.gateway.refused.load().as_ref().map_or_else(|| self.gateway.clock.now(), |refused| refused.since);
        self.gateway.refused.store(Some(Arc::new(RefusedConfiguration { since, why })));
    }

    async fn record_change(&self, config: String, failure: Option<String>) -> Result<(), kernel::Failure> {
        let facts = EntityFacts { change: EntityChange::Configuration { config }, by: ChangedBy::Gateway, failure };
        self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body: EventBody::Entity(Box::new(facts)) }).await
    }

    /// Whether the files are not what the last reload, or the start, read or refused.
    async fn changed(&self) -> bool {
        let seen = self.seen.load_full();
        tokio::task::spawn_blocking(move || seen.again() != *seen).await.unwrap_or(true)
    }

    /// Follows the files of the configuration until the gateway stops.
    pub fn watch_files(self: &Arc<Self>) {
        self.gateway.tasks.spawn(Arc::clone(self).follow_files());
    }

    /// Reloads whenever a watched file changes, until the gateway stops. Folders are watched, not files, because editors and
    /// orchestrators put a new file (or a symbolic link to one) in place of the old.
    pub async fn follow_files(self: Arc<Self>) {
        // One pending wake-up is enough: whatever changed meanwhile is read by the reload that follows.
        let (wake, mut woken) = mpsc::channel(1);
        // Where no file can be watched nothing wakes, and nothing ends either: what was not recorded is still tried again.
        let _kept = wake.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _full_means_woken_already = wake.try_send(());
            }
        });
        let told = |error: notify::Error| tracing::error!(error = %error, "files cannot be watched; a reload takes a SIGHUP");
        let mut folders = watcher.map_err(told).ok().map(Folders::new);
        loop {
            let seen = self.seen.load_full();
            if let Some(folders) = &mut folders {
                folders.watch(&seen);
            }
            let due = match self.unrecorded.pause() {
                Some(pause) => self.shutdown.run_until_cancelled(sleep(pause)).await.map(|()| Due::TryAgain),
                None => self.next_change(&mut woken).await.map(|()| Due::Changed),
            };
            let reload = match due {
                Some(Due::TryAgain) => self.unrecorded.pause().is_some(),
                // The gateway's own files may lie beside: only a change of what was read counts.
                Some(Due::Changed) => self.changed().await,
                None => return,
            };
            if reload {
                // Told and recorded by `reload` itself.
                let _outcome = self.reload().await;
            }
        }
    }

    /// Waits until there may be something to take, and it has settled. None where the gateway stops.
    async fn next_change(&self, woken: &mut mpsc::Receiver<()>) -> Option<()> {
        // Looked at once the folders are watched: what changed before that woke nobody.
        if !self.changed().await {
            // A volume that comes back where a file was missing wakes nobody.
            let look = if self.gateway.refused.load().is_some() { LOOK_AGAIN } else { Duration::MAX };
            let waits = async {
                // What comes first: a change, a reload that came to nothing, or the time for a look.
                tokio::select! {
                    _ = woken.recv() => {}
                    () = self.unrecorded.more.notified() => {}
                    () = sleep(look) => {}
                }
            };
            self.shutdown.run_until_cancelled(waits).await?;
        }
        settle(woken, &self.shutdown).await
    }
}

enum Due {
    Changed,
    TryAgain,
}

/// A change comes in several steps: waits until nothing has happened for a moment. A folder in which something is written all
/// the time does not hold it up.
async fn settle(woken: &mut mpsc::Receiver<()>, shutdown: &CancellationToken) -> Option<()> {
    let latest = tokio::time::Instant::now() + SETTLED;
    loop {
        let quiet = (tokio::time::Instant::now() + QUIET).min(latest);
        match shutdown.run_until_cancelled(tokio::time::timeout_at(quiet, woken.recv())).await? {
            Ok(Some(())) if tokio::time::Instant::now() < latest => {}
            Ok(None) => return None,
            Ok(Some(())) | Err(_) => return Some(()),
        }
    }
}

/// The folders that are watched.
struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// Told once.
    unwatched: BTreeSet<PathBuf>,
}

impl Folders {
    const fn new(watcher: RecommendedWatcher) -> Self {
        Self { watcher, watched: BTreeSet::new(), unwatched: BTreeSet::new() }
    }

    /// Watches the folder that a file is named in, and the one that it lies in when a symbolic link leads there. All of them anew each time:
    /// what is watched is a folder and not its name, under which another may stand by now.
    fn watch(&mut self, seen: &Seen) {
        for folder in std::mem::take(&mut self.watched) {
            let _it_may_be_gone = self.watcher.unwatch(&folder);
        }
        let folder_of = |file: &Path| if file.is_dir() { Some(file.to_owned()) } else { file.parent().map(PathBuf::from) };
        let lies = |file: &Path| file.canonicalize().ok().and_then(|file| folder_of(&file));
        let wanted: BTreeSet<_> = seen.files().flat_map(|file| folder_of(file).into_iter().chain(lies(file))).collect();
        for folder in wanted {
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.unwatched.remove(&folder);
                    self.watched.insert(folder);
                }
                Err(error) => {
                    if self.unwatched.insert(folder.clone()) {
                        tracing::warn!(folder = %folder.display(), error = %error, "a folder cannot be watched");
                    }
                }
            }
        }
    }
}

/// What the running gateway is built on. Changing it under open connections and files is not attempted.
fn needs_restart(old: &Config, new: &Config) -> Result<(), ReloadFault> {
    let changed = [
        ("gateway.url", old.gateway.url != new.gateway.url),
        ("gateway.state_dir", old.gateway.state_dir != new.gateway.state_dir),
        (
            "gateway.master_key",
            old.gateway.master_key.keys().iter().map(config::Key::expose).ne(new.gateway.master_key.keys().iter().map(config::Key::expose)),
        ),
        ("[[listener]], or which of them the routes use,", old.active_listeners().ne(new.active_listeners())),
        ("[operations]", old.operations != new.operations),
        ("[redirect]", old.redirect != new.redirect),
        ("tls.profile", old.tls.profile != new.tls.profile),
        ("[store]", old.store != new.store),
        ("sandbox.mode", old.sandbox.mode != new.sandbox.mode),
        ("[limits]", old.limits != new.limits),
        ("[audit]", audit_differs(old, new)),
    ];
    changed.iter().find(|(_, changed)| *changed).map_or(Ok(()), |(name, _)| Err(ReloadFault::NeedsRestart(name)))
}

fn audit_differs(old: &Config, new: &Config) -> bool {
    let (old, new) = (&old.audit, &new.audit);
    let privacy = |audit: &config::Audit| (audit.personal, audit.client_address, audit.retention.clone());
    old.dir != new.dir
        || privacy(old) != privacy(new)
        || old.durability != new.durability
        || old.signing_key.expose() != new.signing_key.expose()
}

/// Until files that could not be taken for another reason than their own are tried again, at first; doubled each time.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(30);

/// While files are refused they are looked at this often, whatever wakes or does not.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Changes within this time are one change.
const QUIET: Duration = Duration::from_millis(200);

/// Where it is never quiet, what changed is looked at after this time: files are taken within a second.
const SETTLED: Duration = Duration::from_millis(600);
