//! Composition root: the only room that names concrete adapters, starts tasks and puts everything together.
//!
//! A gateway starts whole or not at all: every address is taken, the log verified and the store opened before the first
//! connection is accepted.

mod compile;
pub mod control;
mod detection;
mod duties;
mod issued;
mod keeping;
mod listening;
mod operations;
mod parts;
mod reach;
mod redirect;
mod reload;
mod upgrade;
mod upkeep;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::{Request, Response};
use kernel::Failure;
use kernel::event::{Body as EventBody, Event, LifecycleChange, LifecycleFacts};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme::Acme;
use crate::audit;
use crate::audit::sinks::Sinks;
use crate::clock::Clock;
use crate::config::{Config, Loaded, Seen};
use crate::gateway::Gateway;
use crate::gateway::exchanges::Exchanges;
use crate::gateway::pending::Pending;
use crate::gateway::people::People;
use crate::gateway::sessions::Sessions;
use crate::listener::{self, Certificate, CertificateFault, Challenges, Handler, HandlerAbort, Meeting, RequestFacts, ServerTls, TlsFault};
use crate::notify::Notifier;
use crate::pipeline;
use crate::store::StoreFault;
use crate::store::sealing::SealFault;
use crate::store::sqlite::{self, OpenFault};
use crate::system::sandbox::Reach;
use crate::system::sockets::{SocketFault, Sockets};
use crate::telemetry::Metrics;
use crate::telemetry::traces::{ExporterFault, Tracer};
use crate::upstream::assertion::AssertionKeyFault;
use crate::web::body::Body;
use compile::CompileFault;
use detection::Watch;
use duties::Duties;
use issued::obtaining;
use listening::{Listening, bind_listeners, names, share};
pub use parts::NotifyFault;
pub use parts::audit_settings;
use parts::{assertion_key, exporter, key_ring, open_audit, open_store, receivers, upstreams};
pub use reach::reach;
pub use reload::ReloadFault;
pub use upgrade::{Predecessor, Program, UpgradeFault, WORKERS};

/// A gateway that serves.
#[derive(Debug)]
pub struct Server {
    gateway: Arc<Gateway>,
    config_dir: PathBuf,
    /// What is in force, for what a reload must not change.
    config: ArcSwap<Config>,
    tls: Vec<Arc<ServerTls>>,
    /// Those in use that come from files, so that new ones are noticed.
    certificates: ArcSwap<Vec<Certificate>>,
    acme: Arc<Acme>,
    /// What the files held before the last reload, or the start, read them.
    seen: ArcSwap<Seen>,
    watch: Arc<Watch>,
    notifier: Arc<Notifier>,
    /// Step of the store's schema and name of the sealing key, for the records of start and stop.
    stands_on: String,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    /// What came to nothing on each listener.
    refusals: Vec<(Arc<str>, Arc<listener::Refusals>)>,
    /// What a process that takes this one's place must stand on too.
    basis: String,
    /// What this process may reach; None where it is not confined.
    confined: Option<Reach>,
    /// For that process; none once this one stops.
    sockets: Mutex<Vec<(String, OwnedFd)>>,
    duties: tokio::sync::Mutex<Duties>,
    /// The process that has taken this one's place.
    handed_to: OnceLock<u32>,
    predecessor: ArcSwapOption<upgrade::Words>,
    /// With the process before or after this one. A stop does not wait for them.
    talks: TaskTracker,
    shutdown: CancellationToken,
    /// Serialises reloads: a signal and a changed file may come at once.
    reloading: tokio::sync::Mutex<()>,
    unrecorded: reload::Unrecorded,
}

/// Why a gateway did not start.
#[derive(Debug, Error)]
pub enum StartFault {
    #[error("the audit log: {0}")]
    Audit(#[from] audit::StartFault),
    #[error("the store: {0}")]
    Open(#[from] OpenFault),
    #[error("the master key: {0}")]
    Seal(SealFault),
    #[error("the store: {0}")]
    Store(#[from] StoreFault),
    #[error("the key of the gateway's assertions: {0}")]
    AssertionKey(#[from] AssertionKeyFault),
    #[error("{0}")]
    Compile(#[from] CompileFault),
    #[error("{0}")]
    Certificate(#[from] CertificateFault),
    #[error("{0}")]
    Tls(#[from] TlsFault),
    #[error("{0}")]
    Bind(#[from] listener::BindFault),
    #[error("operations: {address} cannot be listened on: {cause}; `bind` of [operations] sets another")]
    Operations { address: SocketAddr, cause: std::io::Error },
    #[error("{0}")]
    Control(#[from] control::ControlFault),
    #[error("{0}")]
    Notify(#[from] NotifyFault),
    #[error("{0}")]
    Traces(#[from] ExporterFault),
    #[error("{0}")]
    Socket(#[from] SocketFault),
    #[error("this process does not take the other one's place: {0}")]
    Upgrade(#[from] UpgradeFault),
    #[error("{0}")]
    Failure(#[from] Failure),
    #[error("a task of the start broke off: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Hands requests of a listener to the pipeline.
#[derive(Clone)]
struct Door(Arc<Gateway>);

impl Handler for Door {
    fn met(&self, listener: &str, meeting: Meeting) {
        self.0.metrics.met(listener, meeting.as_str());
    }

    fn shook_hands(&self, connection: &listener::ConnectionFacts) {
        let protocol = match connection.protocol {
            listener::Protocol::Http1 => "http/1.1",
            listener::Protocol::Http2 => "h2",
        };
        self.0.metrics.standing().shook_hands(&connection.listener, connection.tls.version, protocol);
    }

    async fn handle(&self, facts: RequestFacts, request: Request<listener::Received>) -> Result<Response<Body>, HandlerAbort> {
        Ok(pipeline::handle(&self.0, facts, request).await)
    }
}

/// What a process finds at its start.
#[derive(Debug, Default)]
pub struct Origin {
    /// Given by the service manager, or by the process before this one.
    pub sockets: Sockets,
    pub predecessor: Option<Predecessor>,
    /// What the process may reach; None where it is not confined.
    pub confined: Option<Reach>,
}

/// Starts a gateway on a configuration that was found good.
pub async fn start(loaded: Loaded, config_dir: PathBuf, clock: Clock) -> Result<Arc<Server>, StartFault> {
    start_from(loaded, config_dir, clock, Origin::default()).await
}

/// The same, on what others have left or given.
pub async fn start_from(loaded: Loaded, config_dir: PathBuf, clock: Clock, origin: Origin) -> Result<Arc<Server>, StartFault> {
    let Loaded { config, table, hash, seen, .. } = loaded;
    let Origin { mut sockets, mut predecessor, confined } = origin;
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    // Everything that may refuse comes before anything that is seen from outside.
    let certificates = certificates(&config, &clock)?;
    let challenges = Arc::<Challenges>::default();
    let Listening { bound, tls, redirecting, operations } = bind_listeners(&config, &certificates, &challenges, &mut sockets)?;
    let ring = key_ring(&config)?;
    let basis = format!("schema step {}, sealing key {}", sqlite::SCHEMA_STEPS, ring.current_id());
    if predecessor.is_none() {
        sockets.refuse_rest(&names(&config))?;
    }
    let store = open_store(&config, ring).await?;
    let control = match sockets.take_unix(&control::path(&config.gateway.state_dir)) {
        Some(socket) => control::adopt(socket, &config.gateway.state_dir)?,
        None => control::listen(&config.gateway.state_dir).await?,
    };
    let kept = share(&bound, redirecting.as_ref(), &operations, &control)?;
    let people = Arc::new(People::new(Arc::clone(&store)));
    let assertion_key = assertion_key(store.as_ref()).await?;
    let upstreams = upstreams(&config, &assertion_key, &tasks, &shutdown);
    let snapshot = compile::snapshot(&config, table, hash, upstreams, compile::Origin { clock: &clock, previous: None })?;
    let (receivers, exporter) = (receivers(&config)?, exporter(&config)?);
    let mut stands_on = basis.clone();
    if let Some(predecessor) = &mut predecessor {
        predecessor.wait_for_the_log(&basis).await?;
        stands_on = format!("{basis}, in place of process {}", predecessor.process());
    }
    let audit = open_audit(&config, &people, clock.clone()).await?;
    let (watch, signals) = Watch::new(config.detection.clone());
    audit.observe_with(Arc::clone(&watch) as Arc<dyn audit::Observer>);
    let metrics = Metrics::with(|registry| audit.register(registry));
    let tracer = Tracer::start(metrics.traces().clone(), config.gateway.url.host.to_string());
    tracer.aim(exporter);
    let gateway = Arc::new(Gateway {
        clock: clock.clone(),
        snapshot: ArcSwap::from_pointee(snapshot),
        sessions: Sessions::new(Arc::clone(&store), clock.clone()),
        store,
        people,
        pending: Pending::default(),
        exchanges: Exchanges::default(),
        metrics,
        tracer,
        sinks: Sinks::new(config.audit.dir.clone(), audit.clone(), clock.clone()),
        audit,
        refused: ArcSwapOption::empty(),
        tasks,
    });
    let acme = obtaining(&gateway, Arc::clone(&challenges), &config).await?;
    let (notifier, waiting) = Notifier::new(gateway.metrics.clone());
    notifier.aim(receivers);
    let named = bound.iter().zip(config.active_listeners()).map(|(bound, listener)| ((&*listener.name).into(), bound.local_addr()));
    let addresses = named.chain(redirecting.iter().map(|plain| (listener::REDIRECT.into(), plain.local_addr()))).collect();
    let server = Arc::new(Server {
        gateway: Arc::clone(&gateway),
        config_dir,
        tls,
        certificates: ArcSwap::from_pointee(certificates),
        acme,
        seen: ArcSwap::from_pointee(seen),
        watch: Arc::clone(&watch),
        notifier: Arc::clone(&notifier),
        stands_on,
        config: ArcSwap::from_pointee(config),
        addresses,
        refusals: listening::refusals(&bound, redirecting.as_ref()),
        basis,
        confined,
        sockets: Mutex::new(kept),
        duties: tokio::sync::Mutex::default(),
        handed_to: OnceLock::new(),
        predecessor: ArcSwapOption::empty(),
        talks: TaskTracker::new(),
        shutdown: shutdown.clone(),
        reloading: tokio::sync::Mutex::default(),
        unrecorded: reload::Unrecorded::default(),
    });
    server.serve_certificates()?;
    let started = i64::try_from(gateway.clock.now().as_seconds()).unwrap_or_default();
    gateway.metrics.standing().start_seconds.set(started);
    server.record_lifecycle(LifecycleChange::Start).await?;
    gateway.sinks.configure(&server.config.load().audit.sinks).await;
    if let Some(redirecting) = redirecting {
        let ways = Arc::new(redirect::Directions(Arc::clone(&gateway), Arc::clone(&challenges)));
        gateway.tasks.spawn(redirecting.serve(ways, shutdown.clone(), gateway.tasks.clone()));
    }
    for bound in bound {
        let (listener_tasks, door) = (gateway.tasks.clone(), Door(Arc::clone(&gateway)));
        gateway.tasks.spawn(bound.serve(door, shutdown.clone(), listener_tasks));
    }
    gateway.tasks.spawn(operations::serve(operations, Arc::clone(&gateway), shutdown.clone()));
    gateway.tasks.spawn(control::serve(control, Arc::clone(&server), shutdown.clone()));
    server.begin_duties().await;
    gateway.tasks.spawn(Arc::clone(&server).follow_issued(shutdown.clone()));
    gateway.tasks.spawn(detection::run(Arc::clone(&gateway), watch, signals, Arc::clone(&notifier), shutdown.clone()));
    let host = server.config.load().gateway.url.host.to_string();
    gateway.tasks.spawn(notifier.run(waiting, host, shutdown.clone()));
    if let Some(predecessor) = predecessor {
        predecessor.relieve(&server).await?;
    }
    Ok(server)
}

impl Server {
    /// Name and address of every listener, with the port that the system chose where the configuration says 0.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    #[must_use]
    pub const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Takes no more connections, lets open requests end within the drain time, writes what is to be kept, and ends.
    pub async fn stop(&self) {
        let drain = self.config.load().limits.drain_timeout;
        // Closed everywhere, or connections would still be completed that nobody answers.
        self.sockets().clear();
        self.shutdown.cancel();
        self.gateway.tasks.close();
        if tokio::time::timeout(drain, self.gateway.tasks.wait()).await.is_err() {
            tracing::warn!(drain.limit = ?drain, exchanges = self.gateway.exchanges.count(), "what did not end in time is cut");
            self.gateway.exchanges.cut_all();
            // What hangs even then ends with the process.
            let _ended = tokio::time::timeout(DRAIN_GRACE, self.gateway.tasks.wait()).await;
        }
        self.gateway.tracer.stop(TRACE_GRACE).await;
        if let Err(failure) = self.gateway.sessions.keep_sights().await {
            tracing::error!(error = %failure, "when sessions were last seen could not be kept");
        }
        if let Err(failure) = self.record_lifecycle(LifecycleChange::Stop).await {
            tracing::error!(error = %failure, "the stop could not be recorded");
        }
        let audit = self.gateway.audit.clone();
        if tokio::task::spawn_blocking(move || audit.shutdown()).await.is_err() {
            tracing::error!("the audit log did not close");
        }
        if self.handed_to.get().is_some() {
            // Sinks and control socket are the other process's.
            return;
        }
        // Behind the last checkpoint, so that it is shipped too.
        self.gateway.sinks.stop(SINK_GRACE).await;
        if let Err(error) = std::fs::remove_file(control::path(&self.config.load().gateway.state_dir)) {
            tracing::warn!(error = %error, "the control socket could not be removed");
        }
    }

    /// The one that another process would get. None where this one stops, and gives nothing away any more.
    fn replace_control_socket(&self, socket: OwnedFd) {
        if let Some(known) = self.sockets().iter_mut().find(|(name, _)| name == upgrade::CONTROL_SOCKET) {
            known.1 = socket;
        }
    }

    /// Nothing under the lock panics.
    fn sockets(&self) -> MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first record that a sink still needs. Where a configured sink does not say how far it is, all of them.
    fn acknowledged(&self) -> u64 {
        let none = if self.config.load().audit.sinks.is_empty() { u64::MAX } else { 0 };
        self.gateway.sinks.lowest_acknowledged().unwrap_or(none)
    }

    async fn record_lifecycle(&self, change: LifecycleChange) -> Result<(), Failure> {
        let (version, hash, epoch) = (env!("CARGO_PKG_VERSION"), &self.gateway.snapshot.load().hash, self.gateway.audit.epoch());
        let handed = self.handed_to.get().map(|process| format!(", handed over to process {process}")).unwrap_or_default();
        let detail = Some(format!("version {version}, configuration {hash}, audit epoch {epoch}, {}{handed}", self.stands_on));
        let body = EventBody::Lifecycle(Box::new(LifecycleFacts { change, detail }));
        self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body }).await
    }
}

fn certificates(config: &Config, clock: &Clock) -> Result<Vec<Certificate>, CertificateFault> {
    config.tls.certificates.iter().map(|pair| Certificate::load(&pair.cert, &pair.key, clock.now())).collect()
}

/// For sinks to ship what is left; what is not shipped by then is shipped after the next start.
const SINK_GRACE: Duration = Duration::from_secs(5);

/// For spans that wait to be sent; what is not sent by then is lost.
const TRACE_GRACE: Duration = Duration::from_secs(3);

/// For exchanges that were cut to come to their end, and on record.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
