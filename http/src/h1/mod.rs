//! HTTP/1.1 on a shard: one connection, served behind a strict guard, by hyper where there is more to it than a plain request and a plain
//! answer.
//!
//! ```text
//!                             ┌──a plain head, alone──> plain ───────┐
//!   Transport ──bytes──> Guard┴──whole heads, bodies──> hyper ───────┴──> exchange ──> Service
//!      ^                   │ refusal {status, reason}    │                   │        admit, body, call
//!      └───────────────────┼────────── answers ──────────┴───────────────────┘
//!                          └──> a stand-in request, answered in its turn, then the connection closes
//! ```
//!
//! hyper parses and frames (RFC 9112), but takes more than the grammar allows: bare LF, equal duplicate lengths,
//! `transfer-encoding` beside `content-length`. Each of these is a way to make two parsers on the path disagree on where a
//! request ends, so the [`guard`] stands in front, lets nothing ambiguous through, and hyper sees only messages about
//! which there is one opinion. The driver of the connection ([`serve`]) keeps the time for everything.
//!
//! hyper needs no executor of its own here and no timer: one connection is one future, polled by the shard.
//!
//! Methods: any token is handed to the service, because a function's route decides what it takes, and the service
//! answers 405 or 501 (RFC 9110, section 9.1). `CONNECT` is 501 here, since it would turn the connection into a tunnel.

#![forbid(unsafe_code)]

pub mod guard;

mod connection;
mod exchange;
mod lazy;
mod limits;
mod message;
mod outgoing;
mod plain;
mod raw;
mod service;
mod transport;
mod wire;

pub use connection::{ConnectionEnd, serve};
pub use limits::Limits;
pub use message::{Body, BodyError, BodyLength, BodyStream, Found, Head, Request, Response};
pub use raw::{Fields, Target};
pub use service::{Admission, Service};
pub use transport::{Runtime, Signal, Transport};
