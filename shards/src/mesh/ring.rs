//! The bounded ring from one shard to another: a single producer, a single consumer, wait-free on both sides.
//!
//! ```text
//!   Producer --push--> [ . . letter letter letter . . . ] --pop--> Consumer
//!                          ^ head (consumer)      ^ tail (producer)
//! ```
//!
//! The ring itself is the `rtrb` crate's. When loom's models are built, `ring_model.rs` takes this module's place: the
//! same interface and the same orderings on head and tail, from parts that loom can watch.

pub(super) use rtrb::{Consumer, Producer, PushError};

/// A ring with room for `capacity` items.
pub(super) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    rtrb::RingBuffer::new(capacity)
}
