//! Start and end of the server, as all its threads see it.
//!
//! ```text
//!   every shard: up, or why not   --> main waits for all of them, then greets or gives up
//!   signal: draining              --> /readyz says 503
//!   every shard: down             --> shard 0, which serves the admin address, leaves last
//! ```

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What `/readyz` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Not all shards are up yet.
    Starting,
    /// All shards are up.
    Ready,
    /// The server was asked to stop.
    Draining,
}

/// Why a shard could not come up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartupError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        reason: String,
    },
    /// Its sandboxes cannot be had.
    #[error("shard {shard} has no sandboxes: {reason}")]
    Sandboxes {
        /// The shard.
        shard: usize,
        /// The system's reason, and what to change.
        reason: String,
    },
    /// It ended before it was up.
    #[error("a shard ended while the server started")]
    Ended,
}

/// Shared by main, the signal thread and all shards. Taken a few times in the life of a process, never by a request.
#[derive(Debug)]
pub struct Lifecycle {
    shards: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    up: usize,
    down: usize,
    failed: Option<StartupError>,
    draining: bool,
}

impl Lifecycle {
    /// Nothing is up yet.
    #[must_use]
    pub fn new(shards: usize) -> Lifecycle {
        Lifecycle {
            shards,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A shard is up.
    pub fn shard_up(&self) {
        self.state().up += 1;
        self.changed.notify_all();
    }

    /// A shard cannot come up.
    pub fn shard_failed(&self, error: StartupError) {
        self.state().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// A shard has finished its requests.
    pub fn shard_down(&self) {
        self.state().down += 1;
        self.changed.notify_all();
    }

    /// Shards that are still at work.
    #[must_use]
    pub fn shards_left(&self) -> usize {
        self.shards - self.state().down
    }

    /// The server was asked to stop.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// What `/readyz` answers.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let state = self.state();
        match () {
            () if state.draining => Readiness::Draining,
            () if state.up == self.shards => Readiness::Ready,
            () => Readiness::Starting,
        }
    }

    /// Waits until every shard is up, has failed, or has ended.
    ///
    /// # Errors
    /// The first failure.
    pub fn wait_up(&self) -> Result<(), StartupError> {
        let mut state = self.state();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.down > 0 && state.up < self.shards {
                return Err(StartupError::Ended);
            }
            if state.up == self.shards {
                return Ok(());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_shards() {
        let lifecycle = Lifecycle::new(2);
        assert_eq!(lifecycle.readiness(), Readiness::Starting);
        lifecycle.shard_up();
        assert_eq!(lifecycle.readiness(), Readiness::Starting);
        lifecycle.shard_up();
        assert_eq!(lifecycle.readiness(), Readiness::Ready);
        lifecycle.drain();
        assert_eq!(lifecycle.readiness(), Readiness::Draining);
        lifecycle.shard_down();
        assert_eq!(lifecycle.shards_left(), 1);
    }

    #[test]
    fn main_learns_of_a_shard_that_cannot_listen() {
        let lifecycle = Lifecycle::new(2);
        lifecycle.shard_up();
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        lifecycle.shard_failed(StartupError::Listen {
            address,
            reason: "denied".to_owned(),
        });
        assert_eq!(
            lifecycle.wait_up().unwrap_err().to_string(),
            "cannot listen on 127.0.0.1:80: denied"
        );
    }
}
