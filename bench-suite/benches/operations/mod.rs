//! What is measured, once for both instruments: `counts.rs` counts the instructions of these operations, `wallclock.rs` times them.
//!
//! ```text
//!   setup (not measured) ──► input ──► operation (measured) ──► output, dropped afterwards (not measured)
//! ```
//!
//! Each operation is a function from an input to an output, and beside it stands what makes the input. A short one is done
//! many times in a row ([`TIMES`]), so that its own cost, not that of the call around it, is what is seen. Operations
//! check what comes out: a wrong answer measures nothing.
//!
//! Nothing here depends on time or on the machine. Machine code is made for one set of processor extensions
//! ([`engine::CPU`]), the scheduler's and the connection's clocks stand still, and what the network would do a script does.

pub(crate) mod engine;
pub(crate) mod http;
pub(crate) mod scheduler;

/// How often a short operation is done.
pub(crate) const TIMES: usize = 100;
