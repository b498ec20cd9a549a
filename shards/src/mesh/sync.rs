//! The atomics of what shards share: the machine's, or loom's when its models are built.
//!
//! Nothing else under `mesh` names atomics, so that the models run the same protocol code that serves.

#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
