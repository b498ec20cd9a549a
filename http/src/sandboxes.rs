//! What the sandboxes of one shard share: the pool that they come from, what preempts them, and where they are counted.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use luge_core::pool::{Pool, PoolConfig};
use luge_core::preempt;
use luge_core::wasi::WasiCtx;
use luge_shards::Doorbell;

use crate::metrics::{SandboxMetrics, ShardSource};
use crate::preemption::{Preempted, PreemptionMode};

/// A shard's sandboxes.
pub struct Sandboxes {
    pool: Pool<WasiCtx>,
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
