//! The server: shards, listeners, connections, and their orderly end.
//!
//! ```text
//!   main thread: deploy -> start shards -> wait until all are up -> greet -> wait for a signal -> drain -> join
//!   each shard:  bind -> accept loop --spawns--> one task per connection -> FunctionService
//!   shard 0:     the same, and the admin address
//! ```

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use luge_core::cache::CodeCache;
use luge_core::pool::PoolConfig;
use luge_shards::{
    Capabilities, CoresError, ListenAddress, NetworkMode, ProbeError, Shard, ShardFailed, Shards,
    ShardsConfig, StartError,
};
use signal_hook::consts::TERM_SIGNALS;

use crate::admin::AdminService;
use crate::capacity::{CapacityError, Demand, Room};
use crate::config::{Config, NetworkChoice, SchedulingConfig, ServerLimits};
use crate::door::{Door, OpenConnections};
use crate::engine::{Attachments, Engines, Unbounded};
use crate::examples;
use crate::function::{DeployError, Registry};
use crate::h1;
use crate::inflight::InFlight;
use crate::lifecycle::{Lifecycle, StartupError};
use crate::metrics::{Deployed, Exposition, ShardMetrics, ShardSource};
use crate::net::{ShardRuntime, unless};
use crate::preemption::PreemptionMode;
use crate::profile::{self, ProfileError};
use crate::remote::Host;
use crate::routes::RouteTable;
use crate::sandboxes::Sandboxes;
use crate::scheduling;
use crate::service::{BodyMemory, FunctionService};

/// Connections of the admin address.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Descriptors beside those of the functions' connections: rings, listeners, the admin address, refusals, files.
const DESCRIPTORS_BESIDE: usize = 256;
/// Time after the drain for the answers of runs that it has stopped.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why the server cannot start, or ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Functions cannot be deployed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Deploy(Vec<DeployError>),
    /// Profilers cannot be given names.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Guests could leave their memory.
    #[error(transparent)]
    Unbounded(#[from] Unbounded),
    /// The system lacks something.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The cores that the process may use cannot be found out.
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// Functions and admin service have the same address. `SO_REUSEPORT` would let both bind it, and the kernel would
    /// give each connection to either.
    #[error(
        "functions and admin service cannot both listen on {0}: give one of them another port (--listen, --admin)"
    )]
    SameAddress(SocketAddr),
    /// There is no room for the sandboxes.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
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
    pool: PoolConfig,
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
    mut config: Config,
    dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static,
    announce: impl FnOnce(Addresses),
) -> Result<(), ServeError> {
    let cores = cores(&config)?;
    let capabilities = luge_shards::probe_for(cores)?;
    warn_of_few_descriptors(&capabilities, cores, &config.limits);
    if config.listen == config.admin && config.listen.port() != 0 {
        return Err(ServeError::SameAddress(config.listen));
    }
    let attachments = Attachments {
        code_cache: code_cache(&config),
        observer: profile::asked_for(config.perf_map)?,
    };
    let shards_config = scheduling::shards_config(&config, cores, &capabilities);
    if config.scheduling.network == NetworkChoice::Auto && shards_config.network == NetworkMode::Executor {
        tracing::warn!(
            kernel = %capabilities.kernel,
            "no network ring can be had here (Linux 6.1 or newer has them): sockets are served by readiness, and each core keeps what \
             comes to it; scheduling.network = \"ring\" fails with the reason"
        );
    }
    warn_of_lost_settings(&config.scheduling, &shards_config);
    config.preemption = preemption(&config);
    let engines = Engines::for_server(config.engine, config.preemption, attachments)?;
    let registry = Registry::deploy(&engines, config.functions.clone()).map_err(ServeError::Deploy)?;
    log_deployment(&engines, &registry);
    let pool = Demand::new(cores, &config.limits, &registry).plan(&Room {
        address_space: capabilities.address_space,
        mappings: capabilities.mappings,
    })?;
    let (functions, admin) = (reserve(config.listen)?, reserve(config.admin)?);
    let addresses = Addresses {
        listen: functions.addr(),
        admin: admin.addr(),
    };
    let signals = Signals::install()?;
    let shared = Arc::new(Shared::new(
        config,
        pool,
        registry,
        addresses,
        cores,
        dropped_log_lines,
    ));
    let limits = &shared.config.limits;
    let ShardsConfig {
        network,
        submission_thread,
        zero_copy_from,
        busy_poll,
        ..
    } = shards_config;
    let per_shard = Arc::clone(&shared);
    let shards = luge_shards::start(shards_config, move |shard| {
        shard_main(shard, Arc::clone(&per_shard))
    })?;
    let up = shared.lifecycle.wait_up();
    if up.is_ok() {
        let functions = shared.registry.functions().len();
        let Addresses { listen, admin } = addresses;
        let (tier, bounds, preemption) = (engines.tier(), engines.bounds(), shared.config.preemption);
        let policy = shared.config.scheduling.policy;
        tracing::info!(%listen, %admin, cores, functions, %tier, %bounds, %preemption, %policy, ?network, ?submission_thread, ?zero_copy_from, ?busy_poll, ?pool, system = ?capabilities, ?limits, "started");
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

/// How many shards to start. Looked at before anything is made for each of them.
fn cores(config: &Config) -> Result<usize, CoresError> {
    let available = luge_shards::available_cores()?;
    let asked = config.cores.map_or(available.len(), NonZeroUsize::get);
    if asked > available.len() {
        return Err(CoresError::TooFew { asked, available });
    }
    Ok(asked)
}

/// The code cache, if there is to be one. A server without it is slower to start, and no worse otherwise.
fn code_cache(config: &Config) -> Option<Arc<CodeCache>> {
    let folder = config.code_cache.as_deref()?;
    match CodeCache::open(folder, CodeCache::DEFAULT_BYTES) {
        Ok(cache) => Some(Arc::new(cache)),
        Err(reason) => {
            tracing::warn!(%reason, "functions are compiled each time that the server starts");
            None
        }
    }
}

/// How runs will be made to give their core back. Says so where that is not as it was asked for.
fn preemption(config: &Config) -> PreemptionMode {
    let (mode, reason) = config.preemption.or_polls();
    if let Some(reason) = reason {
        tracing::warn!(%reason, "code polls, because runs cannot be preempted by signals");
    }
    mode
}

/// Says of each function how it will be run, and why not as the server was asked to.
fn log_deployment(engines: &Engines, registry: &Registry) {
    if let Some(reason) = engines.unavailable() {
        tracing::warn!(%reason, "functions are interpreted");
    }
    for function in registry.functions() {
        let name = function.config().name.as_str();
        let tier = function.tier();
        if let Some(reason) = function.declined() {
            let wanted = engines.tier();
            tracing::warn!(function = name, %tier, %wanted, %reason, "the function is interpreted");
        }
        let (module_bytes, code_bytes) = (function.module_bytes(), function.code_bytes());
        let compile_time = function.compile_time();
        tracing::info!(function = name, %tier, module_bytes, code_bytes, ?compile_time, "deployed");
    }
}

/// Says what of the network ring was asked for and cannot be had.
fn warn_of_lost_settings(asked: &SchedulingConfig, given: &ShardsConfig) {
    let asks = asked.sqpoll.is_some() || asked.zero_copy.is_some() || !asked.busy_poll.is_zero();
    if given.network != NetworkMode::Ring {
        if asks {
            tracing::warn!(
                "without a network ring sqpoll, zero_copy and busy_poll of [scheduling] mean nothing"
            );
        }
        return;
    }
    if asked.sqpoll.is_some() && given.submission_thread.is_none() {
        tracing::warn!("the kernel gives rings no submission threads here: scheduling.sqpoll means nothing");
    }
    if asked.zero_copy.is_some() && given.zero_copy_from.is_none() {
        tracing::warn!("the kernel cannot send without a copy: scheduling.zero_copy means nothing");
    }
}

/// Says that connections will wait unanswered in the backlog before their own bound is reached.
fn warn_of_few_descriptors(capabilities: &Capabilities, cores: usize, limits: &ServerLimits) {
    let needed = (cores * limits.connections + DESCRIPTORS_BESIDE) as u64;
    if let Some(limit) = capabilities.descriptors.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "fewer open files are allowed than `connections` on every core need: raise `ulimit -n` (LimitNOFILE) or \
             lower `connections`"
        );
    }
}

/// Takes an address for all shards. Sockets that share a port share it with other processes of the same user too, and the
/// kernel would deal connections out between two servers; so it is asked first whether anybody answers there.
fn reserve(address: SocketAddr) -> Result<ListenAddress, StartupError> {
    if address.port() != 0 && is_served(address) {
        let in_use = io::Error::from(io::ErrorKind::AddrInUse);
        return Err(listen_error(address, &in_use));
    }
    ListenAddress::reserve(address).map_err(|error| listen_error(address, &error))
}

/// Whether something accepts connections at `address`. Binding a socket of its own would not tell: what a server that has
/// just ended leaves behind in TIME_WAIT refuses it too, and a restart must not wait for that.
fn is_served(address: SocketAddr) -> bool {
    const PATIENCE: Duration = Duration::from_millis(200);
    TcpStream::connect_timeout(&address, PATIENCE).is_ok_and(|stream| {
        // With nobody there, a port of the ephemeral range can be given to the asking socket itself.
        stream.local_addr().ok() != stream.peer_addr().ok()
    })
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
        pool: PoolConfig,
        registry: Registry,
        addresses: Addresses,
        cores: usize,
        dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Shared {
        let mut routes = RouteTable::default();
        for (index, function) in registry.functions().iter().enumerate() {
            let inserted = routes.insert(&function.config().route, index);
            debug_assert!(inserted.is_ok(), "the configuration was checked");
        }
        let deployed: Vec<Deployed> = registry.functions().iter().map(Deployed::from).collect();
        let source = |_| ShardSource {
            counters: ShardMetrics::new(deployed.len()),
            scheduler: OnceLock::new(),
        };
        let sources: Arc<[ShardSource]> = (0..cores).map(source).collect();
        let exposition = Exposition::new(deployed, Arc::clone(&sources), dropped_log_lines);
        Shared {
            addresses,
            inflight: InFlight::new(cores, config.limits.connections),
            lifecycle: Arc::new(Lifecycle::new(cores)),
            exposition: Arc::new(exposition),
            config,
            pool,
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
    let _installed = Installed;
    let Addresses { listen, admin } = shared.addresses;
    let sandboxes = match sandboxes(&shard, &shared) {
        Ok(sandboxes) => sandboxes,
        Err(error) => return lifecycle.shard_failed(error),
    };
    if let Some(doorbell) = sandboxes.doorbell() {
        shard.set_doorbell(doorbell);
    }
    let functions = match shard.listen(listen) {
        Ok(listener) => listener,
        Err(error) => return lifecycle.shard_failed(listen_error(listen, &error)),
    };
    if shard.id().0 == 0 {
        let listener = match shard.listen(admin) {
            Ok(listener) => listener,
            Err(error) => return lifecycle.shard_failed(listen_error(admin, &error)),
        };
        shard.spawn_local(admin_door(&shard, &shared).accept(listener));
    }
    let door = function_door(&shard, &shared, sandboxes);
    let open = Rc::clone(&door.open);
    lifecycle.shard_up();
    door.accept(functions).await;

    // The accept loop ends when the server drains. Runs that are stopped at the end of that time are answered too.
    let end = shard.now() + shared.config.limits.drain + LAST_ANSWERS;
    let mut timeout: h1::Signal = Box::pin(shard.sleep_until(end));
    if unless(&mut timeout, open.idle()).await.is_none() {
        let connections = open.count();
        tracing::warn!(
            shard = shard.id().0,
            connections,
            "drain time is over; connections are cut"
        );
    }
    drop(down);
    // Others may have runs here, or work for this shard; and the admin address answers to the last.
    while lifecycle.shards_left() > 0 && shard.now() < end {
        shard.sleep(Duration::from_millis(5)).await;
    }
}

/// Parcels that come to a shard find nobody from the end of its `main` on.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        Host::remove();
    }
}

/// The shard's sandboxes, made on its own thread.
fn sandboxes(shard: &Shard, shared: &Shared) -> Result<Rc<Sandboxes>, StartupError> {
    let shard = shard.id().0;
    let sources = Arc::clone(&shared.sources);
    let (registry, mode) = (shared.registry.clone(), shared.config.preemption);
    Sandboxes::new(shared.pool, registry, mode, sources, shard).map_err(|error| StartupError::Sandboxes {
        shard,
        reason: error.to_string(),
    })
}

fn function_door(shard: &Shard, shared: &Shared, sandboxes: Rc<Sandboxes>) -> Door<FunctionService> {
    let id = shard.id().0;
    Door {
        runtime: ShardRuntime {
            shard: shard.clone(),
            drains: true,
        },
        service: Rc::new(FunctionService {
            shard: shard.clone(),
            registry: shared.registry.clone(),
            routes: shared.routes.clone(),
            sources: Arc::clone(&shared.sources),
            host: Host::install(shard, &sandboxes, &shared.registry),
            sandboxes,
            inflight: shared.inflight.writer(id),
            bodies: BodyMemory::new(shared.config.limits.bodies),
            local: shared.addresses.listen,
        }),
        limits: Rc::new(shared.connection_limits()),
        connections_max: shared.config.limits.connections,
        open: Rc::new(OpenConnections::counted(Arc::clone(&shared.sources), id)),
    }
}

/// The admin address answers until the shard ends, so that a balancer sees the drain.
fn admin_door(shard: &Shard, shared: &Shared) -> Door<AdminService> {
    let functions = shared
        .registry
        .functions()
        .iter()
        .map(|function| (function.config().name.clone(), function.tier()));
    Door {
        runtime: ShardRuntime {
            shard: shard.clone(),
            drains: false,
        },
        service: Rc::new(AdminService {
            lifecycle: Arc::clone(&shared.lifecycle),
            exposition: Arc::clone(&shared.exposition),
            inflight: Arc::clone(&shared.inflight),
            functions: functions.collect(),
        }),
        limits: Rc::new(h1::Limits::default()),
        connections_max: ADMIN_CONNECTIONS_MAX,
        open: Rc::default(),
    }
}

/// Reports a shard's end, however it comes.
struct Down<'a>(&'a Lifecycle);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.shard_down();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::{FunctionConfig, ModuleSource};
    use crate::engine::tests::{SPIN, declining};

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl Write for Text {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_fallback_is_logged_and_counted() {
        let module = ModuleSource::Embedded(wat::parse_str(SPIN).expect("valid").leak());
        let spin = FunctionConfig::new("spin".to_owned(), "/spin".to_owned(), module);
        let config = Config::for_functions(vec![spin]);
        let engines = declining();
        let registry = Registry::deploy(&engines, config.functions.clone()).expect("interpreted");

        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || log_deployment(&engines, &registry));
        let log = String::from_utf8(text.0.lock().expect("no panic").clone()).expect("text");
        let warning = log.lines().find(|line| line.contains("WARN")).expect("a warning");
        for part in [
            "the function is interpreted",
            "function=\"spin\"",
            "tier=interp",
            "wanted=baseline",
            "not today",
        ] {
            assert!(warning.contains(part), "{part} is not in {warning}");
        }

        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses {
            listen: local,
            admin: local,
        };
        let shared = Shared::new(config, PoolConfig::default(), registry, addresses, 1, || 0);
        let metrics = shared.exposition.encode().expect("text");
        for line in [
            "luge_functions{tier=\"interp\"} 1",
            "luge_compile_fallbacks_total 1",
        ] {
            assert!(metrics.contains(line), "{line} is not in {metrics}");
        }
    }
}
