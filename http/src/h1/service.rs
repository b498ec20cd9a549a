//! The seam between the protocol and what is served: a connection asks its [`Service`] three questions.
//!
//! ```text
//!   head complete and valid ──> admit ──Err(response)──> answered at once, body never read, no 100 (Continue)
//!                                 │
//!                                 Ok(Admission { body_limit, context })
//!                                 │
//!   body read whole, bounded ─────┴──> call(&request, &context) ──> answered
//!
//!   anything not understood, too long or too slow ──> refused(status, reason) ──> answered, connection closed
//! ```

use std::future::Future;

use hyper::StatusCode;

use super::message::{Head, Request, Response};

/// What answers requests. One service is shared by all connections of a shard; nothing here crosses threads.
///
/// A panic in any of these is answered with 500 (through [`refused`](Service::refused) where that still works) and
/// leaves the shard and the other connections alone.
pub trait Service: 'static {
    /// What [`admit`](Service::admit) found out and [`call`](Service::call) needs, such as the matched route.
    type Admitted: 'static;

    /// Decides on the head alone: 404, 405, 413 and 503 end here without reading the body.
    fn admit(&self, head: &Head) -> Result<Admission<Self::Admitted>, Response>;

    /// Whether `bytes` more of an admitted request's body may be kept. A bound of its own holds each body; this is for a
    /// bound on all of them together. If not: 503, and the connection closes.
    fn body_grows(&self, admitted: &mut Self::Admitted, bytes: usize) -> bool {
        let _ = (admitted, bytes);
        true
    }

    /// Answers an admitted request. The future is dropped when the client's connection breaks.
    fn call(&self, request: &Request, admitted: &Self::Admitted) -> impl Future<Output = Response>;

    /// Answers a request that never became one: 400, 408, 413, 414, 417, 431, 501, 503, 505, or 500 after a panic. The
    /// reason is a short text for the log, for the metrics and, if wanted, for the client. The connection closes after it.
    fn refused(&self, status: StatusCode, reason: &'static str) -> Response;
}

/// Leave to read the body and to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission<A> {
    /// Longest body in bytes for this request; [`Limits::body_bytes`](super::Limits::body_bytes) holds beside it.
    pub body_limit: u64,
    /// Handed to [`Service::call`].
    pub context: A,
}
