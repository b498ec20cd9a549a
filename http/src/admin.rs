//! The admin address: health, metrics, requests in flight. Served by shard 0 with the same protocol code.
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process serves at all |
//! | `/readyz` | 200 while every shard is up and nobody asked to drain; else 503 |
//! | `/metrics` | counters, OpenMetrics text |
//! | `/requests` | requests in flight, a JSON object a line, oldest first |
//!
//! It stays up while the server drains, so that a balancer sees the 503 and stops sending.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use luge_shards::Instant;

use crate::engine::Tier;
use crate::error::{Failure, explained};
use crate::h1::{Admission, Body, Head, Request, Response, Service};
use crate::inflight::InFlight;
use crate::lifecycle::{Lifecycle, Readiness};
use crate::metrics::Exposition;

/// Bodies mean nothing here; small ones are read and ignored.
const BODY_BYTES_MAX: u64 = 4096;

/// Serves the admin address.
pub struct AdminService {
    /// Which shards are up, and whether the server drains.
    pub lifecycle: Arc<Lifecycle>,
    /// The counters.
    pub exposition: Arc<Exposition>,
    /// The requests in flight.
    pub inflight: Arc<InFlight>,
    /// Names and tiers of the functions, in the registry's order.
    pub functions: Vec<(String, Tier)>,
}

impl Service for AdminService {
    type Admitted = ();

    fn admit(&self, head: &Head) -> Result<Admission<()>, Response> {
        match head.target.path() {
            "/livez" | "/readyz" | "/metrics" | "/requests" => {}
            _ => return Err(Failure::NotFound.response()),
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(Failure::MethodNotAllowed {
                allowed: vec![Method::GET, Method::HEAD],
            }
            .response());
        }
        Ok(Admission {
            body_limit: BODY_BYTES_MAX,
            context: (),
        })
    }

    async fn call(&self, request: &Request, (): &()) -> Response {
        match request.head.target.path() {
            "/livez" => Response::text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.lifecycle.readiness() {
                Readiness::Ready => Response::text(StatusCode::OK, "ready\n"),
                Readiness::Starting => Response::text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                Readiness::Draining => Response::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            },
            "/metrics" => match self.exposition.encode() {
                Ok(text) => typed(Exposition::CONTENT_TYPE, text),
                Err(_) => Failure::Internal.response(),
            },
            _ => typed("application/x-ndjson", self.requests()),
        }
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        explained(status, reason)
    }
}

impl AdminService {
    fn requests(&self) -> String {
        let now = Instant::now();
        let mut lines = String::new();
        for entry in self.inflight.list() {
            // Names are of a restricted alphabet, numbers and addresses need no escapes either.
            let Some((function, tier)) = self.functions.get(entry.function) else {
                continue;
            };
            let age_us = now.saturating_duration_since(entry.started).as_micros();
            let (request, shard, peer) = (entry.request, entry.shard, entry.peer);
            let _ = writeln!(
                lines,
                r#"{{"request":"{request}","function":"{function}","tier":"{tier}","shard":{shard},"peer":"{peer}","age_us":{age_us}}}"#
            );
        }
        lines
    }
}

fn typed(content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(StatusCode::OK);
    response.content_type = Some(HeaderValue::from_static(content_type));
    response.body = Body::Full(Bytes::from(text));
    response
}
