//! Composition root: the only room that names concrete adapters, starts tasks and puts everything together.
//!
//! A gateway starts whole or not at all: every address is taken, the log verified and the store opened before the first
//! connection is accepted.

mod compile;
pub mod control;
mod detection;
mod keeping;
mod operations;
mod reload;
mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use kernel::Failure;
use kernel::event::{Body as EventBody, Event, LifecycleChange, LifecycleFacts};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::audit::pseudonym::{Addresses, Personal, Privacy};
use crate::audit::sinks::Sinks;
use crate::audit::{self, Recorder};
use crate::clock::Clock;
use crate::config::{self, Config, Loaded, TlsProfile};
use crate::gateway::Gateway;
use crate::gateway::exchanges::Exchanges;
use crate::gateway::pending::Pending;
use crate::gateway::people::People;
use crate::gateway::sessions::Sessions;
use crate::listener::{
    self, Bound, Certificate, CertificateFault, Handler, HandlerAbort, Meeting, Profile, RequestFacts, ServerTls, TlsFault,
};
use crate::notify::{self, Notifier, TargetFault, Webhook};
use crate::pipeline;
use crate::store::sealing::{KeyRing, SealFault};
use crate::store::sqlite::{self, OpenFault};
use crate::store::{Store, StoreFault};
use crate::telemetry::Metrics;
use crate::upstream::assertion::{AssertionKey, AssertionKeyFault};
use crate::upstream::{Settings as UpstreamSettings, Upstreams};
use crate::web::body::Body;
use compile::CompileFault;
use detection::Watch;
use keeping::Retention;
pub use reload::ReloadFault;

/// A gateway that serves.
#[derive(Debug)]
pub struct Server {
    gateway: Arc<Gateway>,
    config_dir: PathBuf,
    /// What is in force, for what a reload must not change.
    config: ArcSwap<Config>,
    tls: Vec<Arc<ServerTls>>,
    /// Those in use, so that new ones are noticed.
    certificates: ArcSwap<Vec<Certificate>>,
    watched: ArcSwap<Vec<PathBuf>>,
    watch: Arc<Watch>,
    notifier: Arc<Notifier>,
    /// Step of the store's schema and name of the sealing key, for the records of start and stop.
    stands_on: String,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    shutdown: CancellationToken,
    /// Serialises reloads: a signal and a changed file may come at once.
    reloading: tokio::sync::Mutex<()>,
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
    #[error("operations: {address} cannot be listened on: {cause}")]
    Operations { address: SocketAddr, cause: std::io::Error },
    #[error("{0}")]
    Control(#[from] control::ControlFault),
    #[error("{0}")]
    Notify(#[from] TargetFault),
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

    async fn handle(&self, facts: RequestFacts, request: Request<Incoming>) -> Result<Response<Body>, HandlerAbort> {
        Ok(pipeline::handle(&self.0, facts, request).await)
    }
}

/// Starts a gateway on a configuration that was found good.
pub async fn start(loaded: Loaded, config_dir: PathBuf, clock: Clock) -> Result<Arc<Server>, StartFault> {
    let Loaded { config, table, hash, files_watched, .. } = loaded;
    let (audit_dir, policy) = (config.audit.dir.clone(), keeping::policy(&config.audit.retention));
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    // Everything that may refuse comes before anything that is seen from outside.
    let certificates = certificates(&config, &clock)?;
    let (bound, tls) = bind_listeners(&config, &certificates)?;
    let operations = config.operations.bind;
    let operations = operations::listen(operations).await.map_err(|cause| StartFault::Operations { address: operations, cause })?;
    let ring = key_ring(&config)?;
    let stands_on = format!("schema step {}, sealing key {}", sqlite::SCHEMA_STEPS, ring.current_id());
    let store = open_store(&config, ring).await?;
    let control = control::listen(&config.gateway.state_dir).await?;
    let people = Arc::new(People::new(Arc::clone(&store)));
    let audit = open_audit(&config, &people, clock.clone()).await?;
    let assertion_key = assertion_key(store.as_ref()).await?;
    let upstreams = upstreams(&config, &assertion_key, &tasks, &shutdown);
    let snapshot = compile::snapshot(&config, table, hash, upstreams, compile::Origin { clock: &clock, previous: None })?;
    let receiver = webhook(&config)?;
    let (watch, signals) = Watch::new(config.detection.clone());
    audit.observe_with(Arc::clone(&watch) as Arc<dyn audit::Observer>);
    let gateway = Arc::new(Gateway {
        clock: clock.clone(),
        snapshot: ArcSwap::from_pointee(snapshot),
        sessions: Sessions::new(Arc::clone(&store), clock.clone()),
        store,
        people,
        pending: Pending::default(),
        exchanges: Exchanges::default(),
        metrics: Metrics::with(|registry| audit.register(registry)),
        sinks: Sinks::new(config.audit.dir.clone(), audit.clone(), clock.clone()),
        audit,
        tasks,
    });
    let (notifier, waiting) = Notifier::new(gateway.metrics.clone());
    notifier.aim(receiver);
    let addresses =
        bound.iter().zip(config.active_listeners()).map(|(bound, listener)| ((&*listener.name).into(), bound.local_addr())).collect();
    let server = Arc::new(Server {
        gateway: Arc::clone(&gateway),
        config_dir,
        tls,
        certificates: ArcSwap::from_pointee(certificates),
        watched: ArcSwap::from_pointee(files_watched),
        watch: Arc::clone(&watch),
        notifier: Arc::clone(&notifier),
        stands_on,
        config: ArcSwap::from_pointee(config),
        addresses,
        shutdown: shutdown.clone(),
        reloading: tokio::sync::Mutex::default(),
    });
    server.tell_expiry();
    server.record_lifecycle(LifecycleChange::Start).await?;
    gateway.sinks.configure(&server.config.load().audit.sinks).await;
    let mut refusals = Vec::new();
    for bound in bound {
        refusals.push((bound.name(), bound.refusals()));
        let (listener_tasks, door) = (gateway.tasks.clone(), Door(Arc::clone(&gateway)));
        gateway.tasks.spawn(bound.serve(door, shutdown.clone(), listener_tasks));
    }
    gateway.tasks.spawn(operations::serve(operations, Arc::clone(&gateway), shutdown.clone()));
    gateway.tasks.spawn(control::serve(control, Arc::clone(&gateway), shutdown.clone()));
    gateway.tasks.spawn(keeping::make_indexes(Arc::clone(&gateway), audit_dir.clone(), shutdown.clone()));
    let asked = Arc::clone(&server);
    let retention = Retention { folder: audit_dir, policy, acknowledged: Box::new(move || asked.acknowledged()) };
    gateway.tasks.spawn(keeping::retain(Arc::clone(&gateway), retention, shutdown.clone()));
    gateway.tasks.spawn(upkeep::run(Arc::clone(&gateway), refusals, upkeep::Clocks::read(&gateway.clock), shutdown.clone()));
    gateway.tasks.spawn(detection::run(Arc::clone(&gateway), watch, signals, Arc::clone(&notifier), shutdown.clone()));
    let host = server.config.load().gateway.url.host.to_string();
    gateway.tasks.spawn(notifier.run(waiting, host, shutdown.clone()));
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
        self.shutdown.cancel();
        self.gateway.tasks.close();
        if tokio::time::timeout(drain, self.gateway.tasks.wait()).await.is_err() {
            tracing::warn!(drain.limit = ?drain, exchanges = self.gateway.exchanges.count(), "what did not end in time is cut");
            self.gateway.exchanges.cut_all();
            // What hangs even then ends with the process.
            let _ended = tokio::time::timeout(DRAIN_GRACE, self.gateway.tasks.wait()).await;
        }
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
        // Behind the last checkpoint, so that it is shipped too.
        self.gateway.sinks.stop(SINK_GRACE).await;
        if let Err(error) = std::fs::remove_file(control::path(&self.config.load().gateway.state_dir)) {
            tracing::warn!(error = %error, "the control socket could not be removed");
        }
    }

    /// The first record that a sink still needs. Where a configured sink does not say how far it is, all of them.
    fn acknowledged(&self) -> u64 {
        let none = if self.config.load().audit.sinks.is_empty() { u64::MAX } else { 0 };
        self.gateway.sinks.lowest_acknowledged().unwrap_or(none)
    }

    /// Tells the metrics when the first certificate expires.
    fn tell_expiry(&self) {
        let certificates = self.certificates.load();
        let first = certificates.iter().map(Certificate::not_after).min();
        let seconds = first.and_then(|time| i64::try_from(time.as_seconds()).ok()).unwrap_or(0);
        self.gateway.metrics.gauges().certificate_expiry_seconds.set(seconds);
    }

    async fn record_lifecycle(&self, change: LifecycleChange) -> Result<(), Failure> {
        let (version, hash, epoch) = (env!("CARGO_PKG_VERSION"), &self.gateway.snapshot.load().hash, self.gateway.audit.epoch());
        let detail = Some(format!("version {version}, configuration {hash}, audit epoch {epoch}, {}", self.stands_on));
        let body = EventBody::Lifecycle(Box::new(LifecycleFacts { change, detail }));
        self.gateway.audit.keep(Event { time: self.gateway.clock.now(), body }).await
    }
}

/// Our side of the receiver of findings, where one is configured.
fn webhook(config: &Config) -> Result<Option<Webhook>, TargetFault> {
    let target = config.notify.webhook.as_ref().map(|target| notify::Target {
        url: target.url.to_string(),
        token: target.token.as_ref().map(|token| Zeroizing::new(token.expose().to_owned())),
        roots: target.ca.as_ref().map(|ca| ca.certificates.clone()).unwrap_or_default(),
    });
    target.map(|target| Webhook::new(&target)).transpose()
}

fn bind_listeners(config: &Config, certificates: &[Certificate]) -> Result<(Vec<Bound>, Vec<Arc<ServerTls>>), StartFault> {
    let mut bound = Vec::new();
    let mut all = Vec::new();
    for listener in config.active_listeners() {
        let settings = compile::listener_settings(config, listener);
        let tls = Arc::new(ServerTls::new(profile(config.tls.profile), settings.protocols, certificates.to_vec())?);
        bound.push(listener::bind(settings, Arc::clone(&tls))?);
        all.push(tls);
    }
    Ok((bound, all))
}

fn certificates(config: &Config, clock: &Clock) -> Result<Vec<Certificate>, CertificateFault> {
    config.tls.certificates.iter().map(|pair| Certificate::load(&pair.cert, &pair.key, clock.now())).collect()
}

const fn profile(profile: TlsProfile) -> Profile {
    match profile {
        TlsProfile::Modern => Profile::Modern,
        TlsProfile::Intermediate => Profile::Intermediate,
    }
}

fn key_ring(config: &Config) -> Result<KeyRing, StartFault> {
    let mut keys = config.gateway.master_key.keys().iter().map(|key| Zeroizing::new(*key.expose()));
    let current = keys.next().ok_or(Failure::Bug("a key ring has no key"))?;
    let previous: Vec<_> = keys.collect();
    KeyRing::new(&current, &previous).map_err(StartFault::Seal)
}

async fn open_store(config: &Config, ring: KeyRing) -> Result<Arc<dyn Store>, StartFault> {
    let path = config.store.sqlite.clone();
    let store = tokio::task::spawn_blocking(move || sqlite::open(&path, ring, sqlite::Settings::default())).await??;
    Ok(Arc::new(store))
}

async fn open_audit(config: &Config, people: &Arc<People>, clock: Clock) -> Result<Recorder, StartFault> {
    let settings = audit_settings(config);
    let recorder = tokio::task::spawn_blocking(move || Recorder::start(settings, clock)).await??;
    Ok(recorder.with_privacy(Privacy {
        personal: match config.audit.personal {
            config::Personal::Plain => Personal::Plain,
            config::Personal::Sealed => Personal::Sealed(Arc::<People>::clone(people)),
        },
        addresses: match config.audit.client_address {
            config::ClientAddress::Full => Addresses::Full,
            config::ClientAddress::Network => Addresses::Network,
        },
    }))
}

/// How the log of a configuration is opened: by the gateway, or by a command that puts itself on record while none runs.
#[must_use]
pub fn audit_settings(config: &Config) -> audit::Settings {
    audit::Settings {
        dir: config.audit.dir.clone(),
        head: config.gateway.state_dir.join("audit.head"),
        durability: match config.audit.durability {
            config::Durability::Queued => audit::Durability::Queued,
            config::Durability::Written => audit::Durability::Written,
            config::Durability::Synced => audit::Durability::Synced,
        },
        signing_key: Zeroizing::new(*config.audit.signing_key.expose()),
        origin: format!("portcullis/{}", config.gateway.url.host),
        queue: audit::QUEUE,
        segment_bytes: audit::SEGMENT_BYTES,
    }
}

/// The key that signs assertions is made once and kept sealed: upstreams may remember its public half.
async fn assertion_key(store: &dyn Store) -> Result<AssertionKey, StartFault> {
    let document = store.secret("assertion-key", AssertionKey::generate()?).await?;
    Ok(AssertionKey::from_pkcs8(&document)?)
}

fn upstreams(config: &Config, key: &AssertionKey, tasks: &TaskTracker, closing: &CancellationToken) -> Arc<Upstreams> {
    let settings: UpstreamSettings = compile::upstream_settings(config, key);
    Upstreams::new(settings, tasks.clone(), closing.clone())
}

/// For sinks to ship what is left; what is not shipped by then is shipped after the next start.
const SINK_GRACE: Duration = Duration::from_secs(5);

/// For exchanges that were cut to come to their end, and on record.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
