//! What the sandboxes of one shard share: the pool that they come from, what preempts them, and where they are counted.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::header::HeaderValue;
use luge_core::pool::{Pool, PoolConfig};
use luge_core::preempt;
use luge_core::wasi::WasiCtx;
use luge_shards::Doorbell;

use crate::function::Registry;
use crate::metrics::{SandboxMetrics, ShardSource};
use crate::preemption::{Preempted, PreemptionMode};

/// A shard's sandboxes.
pub struct Sandboxes {
    pool: Pool<WasiCtx>,
    registry: Registry,
    /// Of the functions, in the registry's order.
    content_types: Box<[Option<HeaderValue>]>,
    mode: PreemptionMode,
    sources: Arc<[ShardSource]>,
    shard: usize,
    preempted: Preempted,
}

impl Sandboxes {
    /// Reserves the pool and lets this thread be preempted; it has to be the shard's.
    ///
    /// # Errors
    /// What the system says, with what to change.
    pub fn new(
        config: PoolConfig,
        registry: Registry,
        mode: PreemptionMode,
        sources: Arc<[ShardSource]>,
        shard: usize,
    ) -> io::Result<Rc<Sandboxes>> {
        let preempted = mode.begin().map_err(|error| {
            let advice = "raise the limit on pending signals (ulimit -i), or choose `preemption = \"polls\"`";
            io::Error::new(
                error.kind(),
                format!("cannot preempt by signals: {error}; {advice}"),
            )
        })?;
        Ok(Rc::new(Sandboxes {
            pool: Pool::new(config)?,
            content_types: content_types(&registry),
            registry,
            mode,
            sources,
            shard,
            preempted,
        }))
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool<WasiCtx> {
        &self.pool
    }

    /// The functions. Runs refer to them by number and find them here: to take part in the registry for each run would
    /// have all shards write to one count.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The `Content-Type` that the manifest gives a function's answers. The shard's own copy: cloning one counts.
    #[must_use]
    pub fn content_type(&self, function: usize) -> Option<&HeaderValue> {
        self.content_types[function].as_ref()
    }

    /// Lets what arrives interrupt guests, where they can be.
    #[must_use]
    pub fn doorbell(&self) -> Option<Rc<dyn Doorbell>> {
        self.preempted.doorbell()
    }

    /// How runs are made to give the core back.
    #[must_use]
    pub fn mode(&self) -> PreemptionMode {
        self.mode
    }

    /// Where they are counted.
    #[must_use]
    pub fn metrics(&self) -> &SandboxMetrics {
        &self.sources[self.shard].counters.sandboxes
    }

    /// Tells the counters what only this thread knows.
    pub fn publish(&self) {
        self.metrics().set(&self.pool.stats(), &preempt::stats());
    }
}

/// Copies that share nothing with the registry's.
fn content_types(registry: &Registry) -> Box<[Option<HeaderValue>]> {
    let functions = registry.functions().iter();
    functions
        .map(|function| {
            let given = function.config().content_type.as_ref()?;
            HeaderValue::from_bytes(given.as_bytes()).ok()
        })
        .collect()
}
