//! The server: shards, listeners, connections, and their orderly end.
//!
//! ```text
//!   main thread: deploy -> start shards -> wait until all are up -> greet -> wait for a signal -> drain -> join
//!   each shard:  bind -> accept loop --spawns--> one task per connection -> FunctionService
//!   shard 0:     the same, and the admin address
//! ```
//! A core takes [`ServerLimits::connections`](crate::config::ServerLimits::connections) connections. One more is served
//! too, but only to be told 503 with `Retry-After` and closed: a client that learns of the overload at once can go
//! elsewhere, while one that waits in the backlog of a full core cannot even be taken over by another. Of such
//! connections there are at most [`REFUSALS_MAX`] at a time; any further is closed without a word.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use luge_shards::{
    CoreSelection, CoresError, ListenAddress, Listener, ProbeError, Shard, ShardFailed, Shards, ShardsConfig,
    StartError, Stream,
};
use signal_hook::consts::TERM_SIGNALS;

use crate::admin::AdminService;
use crate::config::Config;
use crate::error::Failure;
use crate::examples;
use crate::function::{DeployError, Registry};
use crate::h1::{self, Admission, Head, Request, Response, Service};
use crate::inflight::InFlight;
use crate::lifecycle::{Lifecycle, StartupError};
use crate::metrics::{Exposition, ShardMetrics, ShardSource};
use crate::net::{ShardRuntime, ShardStream, unless};
use crate::routes::RouteTable;
use crate::service::FunctionService;

/// Connections per core that are told 503 at the same time.
pub const REFUSALS_MAX: usize = 64;
/// Connections of the admin address.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Time after the drain for the answers of runs that it has stopped.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// Pause after a failed accept: the reason (no descriptors left, for one) will not be gone at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server cannot start, or ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Functions cannot be deployed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Deploy(Vec<DeployError>),
    /// The system lacks something.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The cores that the process may use cannot be found out.
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// The executors cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A shard did not come up.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// The signal handlers cannot be installed.
    #[error("cannot handle signals: {0}")]
    Signals(#[source] io::Error),
    /// A shard ended that should not have.
    #[error(transparent)]
    Failed(#[from] ShardFailed),
}

/// The addresses that the server listens on, their ports settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Of the functions.
    pub listen: SocketAddr,
    /// Of the admin service.
    pub admin: SocketAddr,
}

/// What every shard gets.
struct Shared {
    addresses: Addresses,
    config: Config,
    registry: Registry,
    routes: RouteTable,
    lifecycle: Arc<Lifecycle>,
    sources: Arc<[ShardSource]>,
    inflight: Arc<InFlight>,
    exposition: Arc<Exposition>,
}

/// Serves until a signal asks to stop and everything has drained. `announce` is called once all shards are up.
///
/// # Errors
/// Whatever keeps the server from starting, and shards that failed.
pub fn serve(
    config: Config,
    dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static,
    announce: impl FnOnce(Addresses),
) -> Result<(), ServeError> {
    let capabilities = luge_shards::probe()?;
    let registry = Registry::deploy(config.functions.clone()).map_err(ServeError::Deploy)?;
    let cores = match config.cores {
        Some(cores) => cores.get(),
        None => luge_shards::available_cores()?.len(),
    };
    let (functions, admin) = (reserve(config.listen)?, reserve(config.admin)?);
    let addresses = Addresses {
        listen: functions.addr(),
        admin: admin.addr(),
    };
    let signals = Signals::install()?;
    let shared = Arc::new(Shared::new(config, registry, addresses, cores, dropped_log_lines));
    let limits = &shared.config.limits;
    let shards_config = ShardsConfig {
        cores: CoreSelection::Count(cores),
        queue_bound: limits.queue,
        drain_grace: limits.drain,
        ..ShardsConfig::default()
    };
    let per_shard = Arc::clone(&shared);
    let shards = luge_shards::start(shards_config, move |shard| {
        shard_main(shard, Arc::clone(&per_shard))
    })?;
    let up = shared.lifecycle.wait_up();
    if up.is_ok() {
        let functions = shared.registry.functions().len();
        let Addresses { listen, admin } = addresses;
        tracing::info!(%listen, %admin, cores, functions, system = ?capabilities, ?limits, "started");
        announce(addresses);
    } else {
        shards.drain();
    }
    let joined = signals.drain_and_join(shards, &shared.lifecycle);
    up?;
    joined?;
    tracing::info!("stopped");
    Ok(())
}

/// Writes what a person wants to know who has just started the server: where it listens, and what to try.
///
/// # Errors
/// Those of `out`.
pub fn greeting(out: &mut impl Write, addresses: Addresses, examples: bool) -> io::Result<()> {
    let base = format!("http://{}", addresses.listen);
    writeln!(out, "luge listens on {base}")?;
    writeln!(
        out,
        "admin on http://{} (/livez /readyz /metrics /requests)",
        addresses.admin
    )?;
    if examples {
        writeln!(
            out,
            "\nNo manifest was given: these example functions are served. Try:\n"
        )?;
        for line in examples::curl_lines(&base) {
            writeln!(out, "  {line}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "Stop with Ctrl-C.")
}

fn reserve(address: SocketAddr) -> Result<ListenAddress, StartupError> {
    ListenAddress::reserve(address).map_err(|error| listen_error(address, &error))
}

fn listen_error(address: SocketAddr, error: &io::Error) -> StartupError {
    StartupError::Listen {
        address,
        reason: error.to_string(),
    }
}

impl Shared {
    fn new(
        config: Config,
        registry: Registry,
        addresses: Addresses,
        cores: usize,
        dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Shared {
        let mut routes = RouteTable::default();
        let mut names = Vec::new();
        for (index, function) in registry.functions().iter().enumerate() {
            let inserted = routes.insert(&function.config().route, index);
            debug_assert!(inserted.is_ok(), "the configuration was checked");
            names.push(function.config().name.clone());
        }
        let source = |_| ShardSource {
            counters: ShardMetrics::new(names.len()),
            scheduler: OnceLock::new(),
        };
        let sources: Arc<[ShardSource]> = (0..cores).map(source).collect();
        let exposition = Exposition::new(names, Arc::clone(&sources), dropped_log_lines);
        Shared {
            addresses,
            inflight: InFlight::new(cores, config.limits.connections),
            lifecycle: Arc::new(Lifecycle::new(cores)),
            exposition: Arc::new(exposition),
            config,
            registry,
            routes,
            sources,
        }
    }

    /// The bounds of a connection. A body's bound is its function's; here stands the largest of them.
    fn connection_limits(&self) -> h1::Limits {
        let limits = &self.config.limits;
        let bodies = self
            .registry
            .functions()
            .iter()
            .map(|function| function.config().body_bytes);
        h1::Limits {
            head_bytes: limits.head_bytes,
            header_count: limits.header_count,
            target_bytes: limits.target_bytes,
            body_bytes: bodies.max().unwrap_or(0),
            head_timeout: limits.head_timeout,
            body_timeout: limits.body_timeout,
            idle_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
            ..h1::Limits::default()
        }
    }
}

/// The signals that ask to stop: the first drains, the second ends the process in its handler.
struct Signals(signal_hook::iterator::Signals);

impl Signals {
    fn install() -> Result<Signals, ServeError> {
        let asked = Arc::new(AtomicBool::new(false));
        for &signal in TERM_SIGNALS {
            // In this order: the first signal finds the flag down, and then raises it.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .map_err(ServeError::Signals)?;
            signal_hook::flag::register(signal, Arc::clone(&asked)).map_err(ServeError::Signals)?;
        }
        signal_hook::iterator::Signals::new(TERM_SIGNALS)
            .map(Signals)
            .map_err(ServeError::Signals)
    }

    /// Waits for the shards to end, and drains them when a signal comes.
    fn drain_and_join(self, shards: Shards, lifecycle: &Lifecycle) -> Result<(), ServeError> {
        let Signals(mut signals) = self;
        let waiter = signals.handle();
        let drainer = shards.drainer();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for signal in signals.forever() {
                    tracing::info!(signal, "draining");
                    lifecycle.drain();
                    drainer.drain();
                }
            });
            let joined = shards.join();
            waiter.close();
            joined.map_err(ServeError::from)
        })
    }
}

/// What runs on each shard, from bind to drain.
async fn shard_main(shard: Shard, shared: Arc<Shared>) {
    let source = &shared.sources[shard.id().0];
    let _ = source.scheduler.set(shard.stats());
    let lifecycle = &shared.lifecycle;
    let down = Down(lifecycle);
    let Addresses { listen, admin } = shared.addresses;
    let functions = match shard.listen(listen) {
        Ok(listener) => listener,
        Err(error) => return lifecycle.shard_failed(listen_error(listen, &error)),
    };
    if shard.id().0 == 0 {
        let listener = match shard.listen(admin) {
            Ok(listener) => listener,
            Err(error) => return lifecycle.shard_failed(listen_error(admin, &error)),
        };
        let service = Rc::new(AdminService {
            lifecycle: Arc::clone(lifecycle),
            exposition: Arc::clone(&shared.exposition),
            inflight: Arc::clone(&shared.inflight),
            functions: names(&shared.registry),
        });
        let runtime = ShardRuntime {
            shard: shard.clone(),
            drains: false,
        };
        let door = Door::new(
            runtime,
            service,
            Rc::new(h1::Limits::default()),
            ADMIN_CONNECTIONS_MAX,
        );
        shard.spawn_local(door.accept(listener, None));
    }
    let service = Rc::new(FunctionService {
        shard: shard.clone(),
        registry: shared.registry.clone(),
        routes: shared.routes.clone(),
        sources: Arc::clone(&shared.sources),
        inflight: shared.inflight.writer(shard.id().0),
        local: listen,
    });
    let runtime = ShardRuntime {
        shard: shard.clone(),
        drains: true,
    };
    let limits = Rc::new(shared.connection_limits());
    let door = Door::new(runtime, service, limits, shared.config.limits.connections);
    let open = Rc::clone(&door.open);
    lifecycle.shard_up();
    door.accept(functions, Some(Arc::clone(&shared.sources))).await;

    // The accept loop ends when the server drains. Runs that are stopped at the end of that time are answered too.
    let end = shard.now() + shared.config.limits.drain + LAST_ANSWERS;
    let mut timeout: h1::Signal = Box::pin(shard.sleep_until(end));
    if unless(&mut timeout, open.idle()).await.is_none() {
        tracing::warn!(
            shard = shard.id().0,
            connections = open.count(),
            "drain time is over; connections are cut"
        );
    }
    drop(down);
    while shard.id().0 == 0 && lifecycle.shards_left() > 0 && shard.now() < end {
        shard.sleep(Duration::from_millis(5)).await;
    }
}

/// Reports a shard's end, however it comes.
struct Down<'a>(&'a Lifecycle);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.shard_down();
    }
}

fn names(registry: &Registry) -> Vec<String> {
    registry
        .functions()
        .iter()
        .map(|function| function.config().name.clone())
        .collect()
}

/// An accept loop and its open connections.
struct Door<S> {
    runtime: ShardRuntime,
    service: Rc<S>,
    limits: Rc<h1::Limits>,
    connections_max: usize,
    open: Rc<OpenConnections>,
    refusing: Rc<OpenConnections>,
}

impl<S: Service> Door<S> {
    fn new(runtime: ShardRuntime, service: Rc<S>, limits: Rc<h1::Limits>, connections_max: usize) -> Door<S> {
        let (open, refusing) = Default::default();
        Door {
            runtime,
            service,
            limits,
            connections_max,
            open,
            refusing,
        }
    }

    /// Accepts until the server drains. `sources` are counted in, if given.
    async fn accept(self, listener: Listener, sources: Option<Arc<[ShardSource]>>) {
        let shard = self.runtime.shard.clone();
        let mut drain = h1::Runtime::draining(&self.runtime);
        while let Some(accepted) = unless(&mut drain, listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => self.welcome(stream, peer, sources.as_ref()),
                Err(error) => {
                    tracing::warn!(shard = shard.id().0, %error, "accept failed");
                    shard.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&self, stream: Stream, peer: SocketAddr, sources: Option<&Arc<[ShardSource]>>) {
        // Answers are written in one piece; waiting for more of them would only delay the last.
        let _ = stream.set_nodelay(true);
        let shard = &self.runtime.shard;
        let id = shard.id().0;
        let sources = sources.cloned();
        let counters = |sources: &Option<Arc<[ShardSource]>>, count: fn(&ShardMetrics)| {
            if let Some(sources) = sources {
                count(&sources[id].counters);
            }
        };
        counters(&sources, |metrics| metrics.connections_accepted.add(1));
        let (stream, runtime) = (ShardStream(stream), self.runtime.clone());
        let limits = Rc::clone(&self.limits);
        if self.open.count() >= self.connections_max {
            counters(&sources, |metrics| metrics.connections_refused.add(1));
            if self.refusing.count() < REFUSALS_MAX {
                let place = self.refusing.enter();
                shard.spawn_local(async move {
                    h1::serve(stream, runtime, peer, Rc::new(Refuse), limits).await;
                    drop(place);
                });
            }
            return;
        }
        let (place, service) = (self.open.enter(), Rc::clone(&self.service));
        counters(&sources, |metrics| metrics.connections_open.add(1));
        shard.spawn_local(async move {
            let end = h1::serve(stream, runtime, peer, service, limits).await;
            tracing::trace!(%peer, ?end, "connection ended");
            if let Some(sources) = sources {
                sources[id].counters.connections_open.subtract(1);
            }
            drop(place);
        });
    }
}

/// Answers every request with 503 and closes.
struct Refuse;

impl Refuse {
    fn response() -> Response {
        let mut response = Failure::TooManyConnections.response();
        response
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl Service for Refuse {
    type Admitted = ();

    fn admit(&self, _: &Head) -> Result<Admission<()>, Response> {
        Err(Refuse::response())
    }

    async fn call(&self, _: Request, (): ()) -> Response {
        Refuse::response()
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        Response::text(status, format!("{status}: {reason}\n"))
    }
}

/// How many connections are open, and who waits for none to be.
#[derive(Debug, Default)]
struct OpenConnections {
    count: Cell<usize>,
    waiter: RefCell<Option<Waker>>,
}

impl OpenConnections {
    fn count(&self) -> usize {
        self.count.get()
    }

    fn enter(self: &Rc<Self>) -> Place {
        self.count.set(self.count.get() + 1);
        Place(Rc::clone(self))
    }

    /// Resolves when no connection is open. There is one waiter at most.
    async fn idle(&self) {
        std::future::poll_fn(|cx| {
            if self.count.get() == 0 {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A connection's place in the count.
struct Place(Rc<OpenConnections>);

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0
            && let Some(waker) = self.0.waiter.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
