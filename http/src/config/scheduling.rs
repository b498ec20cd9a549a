//! What an operator decides about the order and the place of requests, as the manifest says it.
//!
//! These are choices, not yet what shards are started with: `auto` depends on the machine, and tenants and functions have
//! names here and numbers there. [`crate::scheduling`] leads from one to the other.

use std::time::Duration;

use hyper::header::HeaderName;
use luge_shards::{PolicyKind, Steering};

/// The choices of `[scheduling]` that hold for all functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulingConfig {
    /// Whose turn it is on a core.
    pub policy: PolicyKind,
    /// Whether functions that took more of a core than others leave these room, once requests are refused for want of it.
    pub fair_admission: bool,
    /// On which core a request is served if nothing speaks against it.
    pub steering: Steering,
    /// Whether a request that would be late there is served on another core where it would not.
    pub spill: bool,
    /// Whether idle cores take requests that wait elsewhere.
    pub steal: bool,
    /// What carries the network.
    pub network: NetworkChoice,
    /// Buffers of 4 KiB per core into which the kernel receives, from 1 to 32,768.
    pub receive_buffers: u16,
    /// For how long a kernel thread of each core watches for what is to be submitted before it sleeps; nothing: there is none.
    pub sqpoll: Option<Duration>,
    /// The CPU of these threads, by the kernel's number; nothing: any.
    pub sqpoll_cpu: Option<u32>,
    /// Sends of at least so many bytes are made without a copy; nothing: none.
    pub zero_copy: Option<usize>,
    /// How long a core that has nothing to do goes on looking before it sleeps: up to
    /// [`ShardsConfig::BUSY_POLL_MAX`](luge_shards::ShardsConfig::BUSY_POLL_MAX). Zero: not at all.
    pub busy_poll: Duration,
}

impl Default for SchedulingConfig {
    fn default() -> Self {
        Self {
            policy: PolicyKind::Edf,
            fair_admission: true,
            steering: Steering::Local,
            spill: true,
            steal: true,
            network: NetworkChoice::Auto,
            receive_buffers: 256,
            sqpoll: None,
            sqpoll_cpu: None,
            zero_copy: None,
            busy_poll: Duration::ZERO,
        }
    }
}

/// What carries the network, as far as it is up to the operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetworkChoice {
    /// The shards' own rings where the kernel has what they need, otherwise the executor.
    #[default]
    Auto,
    /// The shards' own rings; a server that cannot have them does not start.
    Ring,
    /// The executor's sockets.
    Executor,
}

/// Somebody whose functions share what they may use. A function belongs to one of them, by its index in
/// [`Config::tenants`](super::Config::tenants).
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Unique name.
    pub name: String,
    /// Which part of each core all its functions together may use: from 0.001 to 1. Nothing sets no limit.
    pub cpu_share: Option<f64>,
}

impl Tenant {
    /// Name of the first tenant, that of all functions that name none.
    pub const DEFAULT_NAME: &'static str = "default";
}

impl Default for Tenant {
    /// The tenant of functions that name none, without a limit.
    fn default() -> Self {
        Self {
            name: Self::DEFAULT_NAME.to_owned(),
            cpu_share: None,
        }
    }
}

/// What of a request is its affinity key: requests of a function with equal keys are served on the same core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// The value of this header field. A request without it has no key.
    Header(HeaderName),
    /// The value of this parameter of the function's route.
    Parameter(String),
}
