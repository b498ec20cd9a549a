//! What answers requests on one shard: route, admission, run, response.
//!
//! ```text
//!   admit (head only)                 call (whole request)
//!   path -> route -> method -> size   in-flight table -> sandbox -> core, or its queue -> outcome -> response
//!    400     404      405      413      503                         503                  200 ... 504
//! ```
//! A client that goes away drops the call, which drops the ticket, which cancels the run.

use std::cell::Cell;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use luge_core::wasi::Environment;
use luge_shards::{
    Ending, Instant, Placement, RejectReason, Shard, ShardId, Submitted, TaskMeta, Ticket, Unsubmitted,
};

use crate::cgi::{self, RequestInfo};
use crate::config::{Affinity, FunctionConfig, Mode};
use crate::error::{Failure, FailureKind, explained};
use crate::function::Registry;
use crate::h1::{Admission, Body, BodyLength, Head, Request, Response, Service};
use crate::inflight::{InFlightWriter, RequestId};
use crate::metrics::{FunctionMetrics, ShardMetrics, ShardSource};
use crate::remote::{Ended, Host, Return};
use crate::routes::{RouteMatch, RouteTable, decode_path};
use crate::sandbox::{Departing, Sandbox};
use crate::sandboxes::Sandboxes;

/// What it costs two shards to have a run elsewhere than on its connection's.
const HANDOFF: Duration = Duration::from_micros(50);

/// How long a request and its answer are on their way, at most, beside the run itself; with a short deadline a twentieth of it.
const WAY: Duration = Duration::from_micros(250);

/// The `Content-Type` of an answer in raw mode, unless the manifest says another.
const DEFAULT_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Serves the functions of a registry on one shard.
pub struct FunctionService {
    /// The shard that everything here happens on.
    pub shard: Shard,
    /// The functions.
    pub registry: Registry,
    /// The shard's own copy of the routes.
    pub routes: RouteTable,
    /// Every shard's counters; this one writes only its own.
    pub sources: Arc<[ShardSource]>,
    /// Where runs take place.
    pub sandboxes: Rc<Sandboxes>,
    /// Runs that take place on other shards.
    pub host: Rc<Host>,
    /// Its part of the table of requests in flight.
    pub inflight: InFlightWriter,
    /// The request bodies that the shard holds.
    pub bodies: Rc<BodyMemory>,
    /// The address that clients reach it at.
    pub local: SocketAddr,
}

/// What admission found out.
pub struct Admitted {
    matched: Rc<RouteMatch>,
    body: HeldBody,
}

/// Bytes of request bodies that a shard holds at this moment, of all its connections.
#[derive(Debug)]
pub struct BodyMemory {
    held: Cell<usize>,
    limit: usize,
}

impl BodyMemory {
    /// Nothing held, and a bound in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Rc<BodyMemory> {
        Rc::new(BodyMemory {
            held: Cell::new(0),
            limit,
        })
    }
}

/// One request's part of it, from the body's first byte to the answer.
struct HeldBody {
    memory: Rc<BodyMemory>,
    bytes: usize,
}

impl HeldBody {
    fn grow(&mut self, bytes: usize) -> bool {
        let held = self.memory.held.get().saturating_add(bytes);
        if held > self.memory.limit {
            return false;
        }
        self.memory.held.set(held);
        self.bytes += bytes;
        true
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.memory.held.set(self.memory.held.get() - self.bytes);
    }
}

impl Service for FunctionService {
    type Admitted = Admitted;

    fn admit(&self, head: &Head) -> Result<Admission<Admitted>, Response> {
        self.metrics().requests.add(1);
        self.route(head).map_err(|failure| {
            let (method, target) = (&head.method, &head.target);
            tracing::debug!(%method, %target, peer = %head.peer, reason = %failure, "request refused");
            self.metrics().refuse(failure.status());
            failure.response()
        })
    }

    fn body_grows(&self, admitted: &mut Admitted, bytes: usize) -> bool {
        admitted.body.grow(bytes)
    }

    fn call(&self, request: &Request, admitted: &Admitted) -> impl Future<Output = Response> {
        self.answer(request, admitted)
    }

    fn refused(&self, status: StatusCode, reason: &'static str) -> Response {
        self.metrics().refuse(status);
        tracing::debug!(status = status.as_u16(), reason, "connection refused a request");
        explained(status, reason)
    }
}

impl FunctionService {
    /// As [`Service::call`]. What is large lies in the call's future, once, or not there at all while it waits.
    async fn answer(&self, request: &Request, admitted: &Admitted) -> Response {
        // Not what it is now: runs of others that were ready before may have passed meanwhile, for which this one has waited.
        let started = self.shard.turn_began();
        let index = admitted.matched.function;
        let Some(ticket) = self.inflight.enter(index, request.head.peer, started) else {
            return self.finish(
                index,
                None,
                request,
                started,
                Err(Failure::TooManyInFlight),
                Duration::ZERO,
            );
        };
        let watch = CancelWatch {
            metrics: self.function_metrics(index),
            armed: true,
        };
        let id = ticket.request();
        let (outcome, account) = self.run(request, &admitted.matched, id, started).await;
        watch.disarm();
        self.finish(index, Some(id), request, started, outcome, account)
    }

    fn metrics(&self) -> &ShardMetrics {
        &self.sources[self.shard.id().0].counters
    }

    fn function_metrics(&self, index: usize) -> &FunctionMetrics {
        &self.metrics().functions[index]
    }

    fn config(&self, index: usize) -> &FunctionConfig {
        self.registry.functions()[index].config()
    }

    fn route(&self, head: &Head) -> Result<Admission<Admitted>, Failure> {
        if self.shard.is_draining() {
            return Err(Failure::Draining);
        }
        let matched = head.found.or_find(|| self.find(head))?;
        let body_limit = self.config(matched.function).body_bytes;
        match head.body {
            BodyLength::Declared(length) if length > body_limit => {
                Err(Failure::BodyTooLong { limit: body_limit })
            }
            _ => Ok(Admission {
                body_limit,
                context: Admitted {
                    matched,
                    body: HeldBody {
                        memory: Rc::clone(&self.bodies),
                        bytes: 0,
                    },
                },
            }),
        }
    }

    /// Which function answers a head, if its method is one that the function takes.
    fn find(&self, head: &Head) -> Result<RouteMatch, Failure> {
        let path = decode_path(head.target.path())?;
        let matched = self.routes.find(&path).ok_or(Failure::NotFound)?;
        if let Some(methods) = &self.config(matched.function).methods
            && !allows(methods, &head.method)
        {
            return Err(Failure::MethodNotAllowed {
                allowed: with_head(methods),
            });
        }
        Ok(matched)
    }

    /// What the request says, for a function that can look.
    ///
    /// # Errors
    /// When that is more than a guest may have.
    fn environment(&self, request: &Request, matched: &RouteMatch) -> Result<Option<Environment>, Failure> {
        let function = &self.registry.functions()[matched.function];
        if !function.reads_environment() {
            return Ok(None);
        }
        let request = RequestInfo {
            head: &request.head,
            body_length: request.body.len(),
            // Again: most functions do not look, and need not have it kept.
            path: &decode_path(request.head.target.path())?,
            script_length: matched.script_length,
            route: &function.config().route,
            parameters: &matched.parameters,
            local: self.local,
            pass_authorization: function.config().pass_authorization,
        };
        let environment = function.surroundings().environment(|variables| {
            cgi::variables(&request, |name, value| variables.add(name, value));
        });
        environment.map(Some).map_err(|_| Failure::HeadTooLong)
    }

    /// Submits a run of the function to this shard or sends it to another.
    fn begin(
        &self,
        request: &Request,
        matched: &RouteMatch,
        id: RequestId,
        started: Instant,
    ) -> Result<Begun<'_>, Failure> {
        let index = matched.function;
        let config = self.config(index);
        let class = u32::try_from(index).unwrap_or(u32::MAX);
        let known = self.shard.estimate(class);
        let meta = TaskMeta {
            deadline: started + config.deadline.saturating_sub(way_of(config.deadline)),
            cpu_budget: config.cpu,
            class,
            movable: self.is_worth_moving(known.map(|known| known.p50)),
            firm: config.firm,
        };
        let key = self.affinity(request, matched);
        let prepare = || {
            let environment = self.environment(request, matched)?;
            let body = request.body.clone();
            Ok(Sandbox::new(&self.sandboxes, index, id, environment, body))
        };
        // As admission reckons: by what most runs do not exceed.
        match self.place(&meta, known.map(|known| known.p90), key) {
            // Last of all, so that what is refused costs little.
            Placement::Here => match self.shard.submit_with(meta, prepare) {
                Ok(Submitted::Over(completed)) => Ok(Begun::Over(completed.into())),
                Ok(Submitted::Waits(ticket)) => Ok(Begun::Here(ticket, meta)),
                Err(Unsubmitted::Rejected(reason)) => Err(refused(reason)),
                Err(Unsubmitted::Unmade(failure)) => Err(failure),
            },
            Placement::There(to) => {
                let run = prepare()?.departing().ok_or(Failure::Internal)?;
                Ok(Begun::There(self.run_there(ShardId(to), run, meta, "run")))
            }
            Placement::Infeasible { retry_after } => Err(Failure::Infeasible { retry_after }),
        }
    }

    /// Runs the function: what it wrote, and how long that took.
    async fn run(
        &self,
        request: &Request,
        matched: &RouteMatch,
        id: RequestId,
        started: Instant,
    ) -> (Result<Bytes, Failure>, Duration) {
        let ended = match self.begin(request, matched, id, started) {
            Ok(Begun::Over(ended)) => Ok(ended),
            Ok(Begun::Here(ticket, meta)) => self.run_here(ticket, meta).await,
            Ok(Begun::There(journey)) => journey.await,
            Err(failure) => Err(failure),
        };
        let config = self.config(matched.function);
        let Ended { ending, outcome, ran } = match ended {
            Ok(ended) => ended,
            Err(failure) => return (Err(failure), Duration::ZERO),
        };
        let outcome = match (ending, outcome) {
            // A run that came to its end in its last slice has earned its answer.
            (_, Some(outcome)) => outcome,
            (Ending::CpuBudgetExceeded, None) => Err(Failure::CpuBudget(config.cpu)),
            (Ending::Drained, None) => Err(Failure::Draining),
            (Ending::DeadlineExceeded, None) => Err(Failure::Deadline(config.deadline)),
            (Ending::Done | Ending::Cancelled | Ending::Panicked | Ending::Released { .. }, None) => {
                Err(Failure::Internal)
            }
        };
        (outcome, ran)
    }

    /// Whether a run that takes so long takes longer than to hand it to another shard; one of which nothing is known may.
    fn is_worth_moving(&self, estimate: Option<Duration>) -> bool {
        let several = self.shard.has_ring() && self.shard.count() > 1;
        several && estimate.is_none_or(|estimate| estimate >= HANDOFF)
    }

    /// What keeps requests like this one together, where the function's route names something.
    fn affinity(&self, request: &Request, matched: &RouteMatch) -> Option<u64> {
        let key = match self.config(matched.function).affinity.as_ref()? {
            Affinity::Header(name) => request.head.headers.map().get(name)?.as_bytes(),
            Affinity::Parameter(name) => {
                let parameters = matched.parameters.iter();
                parameters.into_iter().find(|(own, _)| own == name)?.1.as_bytes()
            }
        };
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Some(hasher.finish())
    }

    /// Where a run should take place.
    fn place(&self, meta: &TaskMeta, estimate: Option<Duration>, affinity: Option<u64>) -> Placement {
        self.shard.place(&luge_shards::Request {
            class: meta.class,
            function: u64::from(meta.class),
            affinity,
            deadline: Some(meta.deadline),
            estimate: estimate.unwrap_or(Duration::ZERO),
            held_back: Duration::ZERO,
            movable: true,
            spills: meta.movable,
            firm: meta.firm,
            lot: 0,
        })
    }

    /// Awaits a run on this shard, or on the one that takes it over while it waits.
    async fn run_here(&self, ticket: Ticket<Sandbox>, meta: TaskMeta) -> Result<Ended, Failure> {
        let journey = {
            let completed = ticket.await;
            let Ending::Released { to } = completed.ending else {
                return Ok(completed.into());
            };
            let run = completed.task.departing().ok_or(Failure::Internal)?;
            // It was promised here already: if the other shard has no room for it after all, it does not have to ask again.
            let meta = TaskMeta { firm: false, ..meta };
            self.run_there(ShardId(to), run, meta, "stolen run")
        };
        journey.await
    }

    /// Has a run take place on another shard; here, where the way there is closed or the other does not take it. On the heap:
    /// most requests stay, and do not carry the room for the journey.
    fn run_there(&self, to: ShardId, run: Departing, meta: TaskMeta, why: &'static str) -> Journey<'_> {
        Box::pin(async move {
            let run = match self.host.depart(to, run, meta, why).await {
                Return::Ended(ended) => return Ok(*ended),
                Return::Rejected(_, Some(run)) | Return::Undelivered(run) => *run,
                Return::Rejected(reason, None) => return Err(refused(reason)),
                Return::Lost => return Err(Failure::Internal),
            };
            let sandbox = Sandbox::arriving(&self.sandboxes, &self.registry, run);
            let meta = TaskMeta {
                movable: false,
                ..meta
            };
            Ok(self.submit(sandbox, meta)?.await.into())
        })
    }

    fn submit(&self, sandbox: Sandbox, meta: TaskMeta) -> Result<Ticket<Sandbox>, Failure> {
        let submitted = self.shard.submit(sandbox, meta);
        submitted.map_err(|rejected| refused(rejected.reason))
    }

    /// Makes a response of what a function wrote.
    fn respond(&self, index: usize, output: Bytes) -> Result<Response, Failure> {
        let content_type = self.sandboxes.content_type(index);
        match self.config(index).mode {
            Mode::Raw => {
                let mut response = Response::new(StatusCode::OK);
                response.content_type = Some(content_type.cloned().unwrap_or(DEFAULT_TYPE));
                response.body = Body::Full(output);
                Ok(response)
            }
            Mode::Cgi => {
                let cgi::Output {
                    status,
                    headers,
                    body,
                } = cgi::parse(&output, content_type)?;
                Ok(Response {
                    status,
                    content_type: None,
                    headers: (!headers.is_empty()).then(|| Box::new(headers)),
                    body: Body::Full(body),
                })
            }
        }
    }

    /// Counts and logs how a request ended, and makes its response.
    fn finish(
        &self,
        index: usize,
        id: Option<RequestId>,
        request: &Request,
        started: Instant,
        outcome: Result<Bytes, Failure>,
        cpu: Duration,
    ) -> Response {
        let function = self.config(index).name.as_str();
        let metrics = self.function_metrics(index);
        let duration = self.shard.now().saturating_duration_since(started);
        let id = id.map(tracing::field::display);
        let Head {
            method, target, peer, ..
        } = &*request.head;
        let response = match outcome.and_then(|output| self.respond(index, output)) {
            Ok(response) => {
                let status = response.status.as_u16();
                tracing::debug!(function, request = id, status, %method, %target, %peer, ?duration, ?cpu, "answered");
                response
            }
            Err(failure) => {
                if let Some(kind) = failure.kind() {
                    metrics.fail(kind);
                }
                let response = failure.response();
                let status = response.status.as_u16();
                let reason = tracing::field::display(&failure);
                if failure.is_for_want_of_room() {
                    tracing::debug!(function, request = id, status, reason, %method, %target, %peer, ?duration, ?cpu, "refused");
                } else {
                    tracing::warn!(function, request = id, status, reason, %method, %target, %peer, ?duration, ?cpu, "failed");
                }
                response
            }
        };
        let bytes_out = match &response.body {
            Body::Full(body) => body.len(),
            Body::Stream(_) => 0,
        };
        metrics.answer(response.status, duration, cpu, request.body.len(), bytes_out);
        response
    }
}

/// The part of a deadline that a run leaves to its answer, and that its request took to be read.
fn way_of(deadline: Duration) -> Duration {
    (deadline / 20).min(WAY)
}

/// A run on another shard.
type Journey<'a> = Pin<Box<dyn Future<Output = Result<Ended, Failure>> + 'a>>;

/// A run that is under way, or was too short for that.
enum Begun<'a> {
    Over(Ended),
    Here(Ticket<Sandbox>, TaskMeta),
    There(Journey<'a>),
}

/// What a shard's refusal is to the client.
fn refused(reason: RejectReason) -> Failure {
    match reason {
        RejectReason::QueueFull { retry_after } => Failure::QueueFull { retry_after },
        RejectReason::DeadlineInfeasible { retry_after } => Failure::Infeasible { retry_after },
        RejectReason::OverShare { retry_after } => Failure::OverShare { retry_after },
        RejectReason::Draining => Failure::Draining,
    }
}

/// A function that answers GET answers HEAD (RFC 9110 section 9.1 asks for both of every server).
fn allows(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
}

fn with_head(methods: &[Method]) -> Vec<Method> {
    let mut allowed = methods.to_vec();
    if allows(methods, &Method::HEAD) && !methods.contains(&Method::HEAD) {
        allowed.push(Method::HEAD);
    }
    allowed
}

/// Counts a call that is dropped before its end.
struct CancelWatch<'a> {
    metrics: &'a FunctionMetrics,
    armed: bool,
}

impl CancelWatch<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for CancelWatch<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.metrics.fail(FailureKind::Cancelled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_brings_head_with_it() {
        let methods = [Method::GET, Method::POST];
        assert!(allows(&methods, &Method::HEAD) && allows(&methods, &Method::POST));
        assert!(!allows(&methods, &Method::PUT));
        assert!(!allows(&[Method::POST], &Method::HEAD));
        assert_eq!(with_head(&methods), [Method::GET, Method::POST, Method::HEAD]);
        assert_eq!(with_head(&[Method::POST]), [Method::POST]);
    }

    /// What a call takes while it waits; it lies within the future of its connection, which is made and moved with it.
    #[test]
    fn a_call_is_small() {
        fn size<F>(_: impl Fn(&'static FunctionService, &'static Request, &'static Admitted) -> F) -> usize {
            size_of::<F>()
        }
        let call = size(<FunctionService as Service>::call);
        assert!(call <= 448, "{call} bytes");
        // Both lie beside it, once.
        let with_request = call + size_of::<(Request, Admitted)>();
        assert!(with_request <= 688, "{with_request} bytes");
        assert!(size_of::<Sandbox>() <= 144, "{} bytes", size_of::<Sandbox>());
    }
}
