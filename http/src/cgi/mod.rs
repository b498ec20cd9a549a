//! The Common Gateway Interface, RFC 3875: how a request becomes a guest's environment, and how the guest's output
//! becomes a response.
//!
//! ```text
//!   request head --variables--> environment --> guest --stdout--> header block, empty line, body --parse--> response
//!   request body ------------------ stdin ----^
//! ```
//! A function in raw mode gets the same environment; its stdout is the body as it is.

mod output;
mod variables;

pub use output::{CgiError, Output, parse};
pub use variables::{RequestInfo, is_reserved, variables};
