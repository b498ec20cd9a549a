//! The driver: threads, executors and the clock around the pure [`Scheduler`](crate::Scheduler).
//!
//! ```text
//!   start()            main thread: choose CPUs, probe, register membarrier
//!     |
//!     +-- thread luge-shard-0, pinned --- executor (glommio.rs) --- runner (runner.rs) --- main, spawned futures (futures.rs)
//!     +-- thread luge-shard-1, pinned --- ...
//!     |
//!   Shards             drain() from any thread --flag + wake-up--> each shard's drain watcher
//! ```
//!
//! Each shard reports that its executor stands before any `main` begins, so a start either gives all shards or an error
//! and no threads.

mod cycle;
mod futures;
pub(crate) mod glommio;
mod job;
mod neighbours;
mod network;
mod passing;
mod runner;
mod shard;
mod tcp;

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use neighbours::Reach;
use rustix::thread::{MembarrierCommand, membarrier};

use crate::config::{NetworkMode, ShardsConfig};
use crate::cores::{CoresError, available_cores, select};
use crate::mesh::{MAX_SHARDS, Mesh, Port};
use crate::probe::{ProbeError, probe_for};
use crate::ring::Ring;
use crate::stats::ShardStats;
use crate::time::Instant;

pub use job::{Completed, Rejected, Submitted, Ticket, Unsubmitted};
pub use neighbours::Interrupt;
pub use network::Doorbell;
pub use shard::{Draining, Shard, ShardId};
pub use tcp::{Listener, Stream};

/// Why the shards could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The CPUs asked for are not to be had.
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// The machine lacks something.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A network ring cannot be had as it is configured.
    #[error("cannot make a network ring: {source} ({})", match .thread_cpu {
        Some(cpu) => format!("may its kernel thread run on CPU {cpu}? Choose another one, or none"),
        None => "choose the executor's network instead".to_owned(),
    })]
    NetworkRing {
        /// What the system said.
        source: io::Error,
        /// The CPU that was chosen for the rings' submission threads, if one was.
        thread_cpu: Option<u32>,
    },
    /// The operating system gave no thread.
    #[error("cannot start the thread of shard {shard}: {source} (look at `ulimit -u` and the pids limit)")]
    Thread {
        /// The shard.
        shard: ShardId,
        /// What the system said.
        source: io::Error,
    },
    /// A shard's thread could not be pinned or its executor not be made.
    #[error("shard {shard} cannot run on CPU {cpu}: {reason}")]
    Executor {
        /// The shard.
        shard: ShardId,
        /// The CPU that it was to run on.
        cpu: usize,
        /// What failed.
        reason: String,
    },
}

/// A shard ended by a panic in its main future or its executor. The other shards were drained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard} panicked: {message}")]
pub struct ShardFailed {
    /// The shard.
    pub shard: ShardId,
    /// The panic's message.
    pub message: String,
}

/// Starts one shard on each CPU that `config` selects, and runs `main` once on each.
///
/// A shard lives until its `main` returns; futures that it spawned are dropped then. Call this before the process makes
/// other threads where possible: it registers with the kernel for memory barriers, which takes microseconds in a
/// process of one thread and tens of milliseconds later.
///
/// # Errors
/// What the machine or the configuration lacks. No shard runs then.
pub fn start<F, Fut>(config: ShardsConfig, main: F) -> Result<Shards, StartError>
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let cpus = select(&config.cores, &available_cores()?)?;
    probe_for(cpus.len())?;
    if config.network == NetworkMode::Ring {
        // A shard that finds this out has begun already.
        Ring::new(config.ring()).map_err(|source| StartError::NetworkRing {
            source,
            thread_cpu: config.submission_thread.and_then(|thread| thread.cpu),
        })?;
    }
    // The executor does this at its first sleep, when it is slow because threads exist. Where the kernel lacks it the
    // executor has another way.
    let _ = membarrier(MembarrierCommand::RegisterPrivateExpedited);

    let everyone = Arc::new(Everyone {
        controls: cpus.iter().map(|_| Control::default()).collect(),
        stats: cpus
            .iter()
            .map(|_| Arc::new(ShardStats::new(config.classes.len())))
            .collect(),
        reach: cpus.iter().map(|_| Reach::nowhere()).collect(),
    });
    let joins = cpus.len() <= MAX_SHARDS && config.network == NetworkMode::Ring;
    let ports = joins.then(|| Mesh::new(cpus.len(), None, clock()).ports);
    let mut ports = ports.into_iter().flatten();
    let mut threads = Vec::with_capacity(cpus.len());
    let mut gates = Vec::with_capacity(cpus.len());
    // On an early return the gates are dropped, upon which the shards that stand already end by themselves.
    for (index, &cpu) in cpus.iter().enumerate() {
        let (gate, opened) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let birth = Birth {
            id: ShardId(index),
            cpu,
            config: config.clone(),
            everyone: everyone.clone(),
            port: ports.next(),
        };
        let main = main.clone();
        let thread = std::thread::Builder::new()
            .name(format!("luge-shard-{index}"))
            .spawn(move || birth.live(main, &ready, &opened))
            .map_err(|source| StartError::Thread {
                shard: ShardId(index),
                source,
            })?;
        if let Ok(Err(reason)) | Err(reason) =
            is_ready.recv().map_err(|_| String::from("its thread panicked"))
        {
            return Err(StartError::Executor {
                shard: ShardId(index),
                cpu,
                reason,
            });
        }
        threads.push(thread);
        gates.push(gate);
    }
    for gate in gates {
        // A shard that is gone already tells so when joined.
        let _ = gate.send(());
    }
    Ok(Shards {
        threads,
        everyone,
        cpus,
    })
}

/// The running shards, seen from outside.
#[derive(Debug)]
pub struct Shards {
    threads: Vec<JoinHandle<Result<(), String>>>,
    everyone: Arc<Everyone>,
    cpus: Vec<usize>,
}

impl Shards {
    /// Number of shards.
    pub fn count(&self) -> usize {
        self.cpus.len()
    }

    /// The CPU of each shard, in the order of their ids.
    pub fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// The counters of each shard, in the order of their ids.
    pub fn stats(&self) -> &[Arc<ShardStats>] {
        &self.everyone.stats
    }

    /// Asks every shard to drain: submissions are refused from then on, [`Shard::draining`] resolves, and `main` is
    /// expected to return when its connections are done. May be called more than once.
    pub fn drain(&self) {
        self.everyone.drain();
    }

    /// A handle to [`Shards::drain`] for another thread, such as the one that waits for signals.
    pub fn drainer(&self) -> Drainer {
        Drainer {
            everyone: self.everyone.clone(),
        }
    }

    /// Waits until every shard's `main` has returned.
    ///
    /// # Errors
    /// The first shard that panicked.
    pub fn join(self) -> Result<(), ShardFailed> {
        let mut first = Ok(());
        for (index, thread) in self.threads.into_iter().enumerate() {
            let result = thread.join().unwrap_or_else(|panic| Err(panic_message(&*panic)));
            first = first.and(result.map_err(|message| ShardFailed {
                shard: ShardId(index),
                message,
            }));
        }
        first
    }
}

/// Asks all shards to drain, from any thread. Not for use inside a signal handler: it takes a lock.
#[derive(Clone, Debug)]
pub struct Drainer {
    everyone: Arc<Everyone>,
}

impl Drainer {
    /// See [`Shards::drain`].
    pub fn drain(&self) {
        self.everyone.drain();
    }
}

/// What the shards of one process share.
#[derive(Debug)]
struct Everyone {
    controls: Box<[Control]>,
    stats: Box<[Arc<ShardStats>]>,
    reach: Arc<[Reach]>,
}

impl Everyone {
    fn drain(&self) {
        for control in &self.controls {
            control.drain();
        }
    }
}

/// The one way into a shard from another thread: a flag, and the waker of the shard's drain watcher.
///
/// The waker is stored and dropped only by the shard itself; others wake it through a reference. It may be of use only
/// under the lock, because the executor is gone when the shard has taken it back.
#[derive(Debug, Default)]
struct Control {
    draining: AtomicBool,
    watcher: Mutex<Option<Waker>>,
}

impl Control {
    fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        if let Some(watcher) = &*self.watcher() {
            watcher.wake_by_ref();
        }
    }

    fn poll_draining(&self, waker: &Waker) -> Poll<()> {
        // The waker goes in before the flag is read, and the flag is written before the waker is looked at: one of the
        // two sides sees the other.
        *self.watcher() = Some(waker.clone());
        if self.draining.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn forget_watcher(&self) {
        *self.watcher() = None;
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Waker>> {
        // A waker that panicked leaves the option intact.
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that a shard's thread needs to begin.
struct Birth {
    id: ShardId,
    cpu: usize,
    config: ShardsConfig,
    everyone: Arc<Everyone>,
    /// Its end of the mesh. Shards whose network the executor carries stay by themselves.
    port: Option<Port>,
}

impl Birth {
    /// The whole life of a shard's thread.
    fn live<F, Fut>(
        self,
        main: F,
        ready: &mpsc::Sender<Result<(), String>>,
        opened: &mpsc::Receiver<()>,
    ) -> Result<(), String>
    where
        F: Fn(Shard) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let everyone = self.everyone.clone();
        let _others = DrainOnPanic(&everyone);
        if let Err(error) = affinity::set_thread_affinity([self.cpu]) {
            let _ = ready.send(Err(error.to_string()));
            return Ok(());
        }
        let (io_memory, ring_depth) = (self.config.io_memory, self.config.ring_depth);
        let lived = glommio::run(io_memory, ring_depth, async {
            let _ = ready.send(Ok(()));
            // Blocks the new executor for the moments in which its siblings are made.
            if opened.recv().is_err() {
                return Ok(());
            }
            shard::live(self, main).await
        });
        let result = lived.unwrap_or_else(|error| {
            let _ = ready.send(Err(error.to_string()));
            Ok(())
        });
        if result.is_err() {
            everyone.drain();
        }
        result
    }
}

/// Lets a process that lost a core end in order, so that whoever supervises it starts it again.
struct DrainOnPanic<'a>(&'a Everyone);

impl Drop for DrainOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.drain();
        }
    }
}

thread_local! {
    /// The time of this shard's last look at the clock. Nothing while nobody knows how late it will be when a future runs: before the
    /// shard's first cycle and while the executor may sleep.
    static SEEN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The time of its last look for the futures that run now; nothing where [`SEEN`] is.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The driver's clock: monotonic. The only place where the crate reads the time. Whoever looks, looks for all: what is ready because an
/// instant has passed is never told an earlier one by [`recent`].
#[expect(
    clippy::disallowed_methods,
    reason = "the driver is what hands time to everything else"
)]
fn clock() -> Instant {
    let now = Instant::now();
    SEEN.with(|seen| {
        if seen.get().is_some() {
            seen.set(Some(now));
        }
    });
    now
}

/// Looks at the clock for those who run between this look and the next.
fn look_at_clock() -> Instant {
    let now = clock();
    SEEN.set(Some(now));
    BEGAN.set(Some(now));
    now
}

/// From now on each look is one at the clock itself.
fn forget_time() {
    SEEN.set(None);
    BEGAN.set(None);
}

/// The time as last seen: of a burst of requests those that wait for the core cost one look.
fn recent() -> Instant {
    SEEN.get().unwrap_or_else(clock)
}

/// The time before the futures that run now: whatever they were woken by had come by then.
fn turn_began() -> Instant {
    BEGAN.get().unwrap_or_else(recent)
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| String::from("no message"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::CoreSelection;
    use crate::ring::tests::fail_from_now_on;

    #[test]
    fn a_ring_that_fails_in_service_ends_the_process_in_order() {
        let (sender, ended) = mpsc::channel();
        let config = ShardsConfig {
            cores: CoreSelection::Count(1),
            ..ShardsConfig::default()
        };
        let shards = start(config, move |shard| {
            let sender = sender.clone();
            async move {
                fail_from_now_on();
                // Futures and timers go on, and are told.
                shard.draining().await;
                shard.sleep(Duration::from_millis(1)).await;
                let _ = sender.send("in order");
            }
        })
        .expect("a shard");
        let said = ended.recv_timeout(Duration::from_secs(20));
        assert_eq!(said, Ok("in order"));
        assert_eq!(shards.join(), Ok(()));
    }
}
