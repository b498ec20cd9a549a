//! Why a request fails, who is to blame, and the one place where a failure becomes a status code.
//!
//! | whose fault | failures | status |
//! |---|---|---|
//! | the client's | no such route, wrong method, bad path, long body, long head | 404, 405, 400, 413, 431 |
//! | the function's | trap, exit code, start that fails, CPU budget, output too long | 500 |
//! | | output that is no CGI response | 502 |
//! | | deadline passed | 504 |
//! | nobody's: load | queue or table full, no time before the deadline, too many connections or bodies, draining | 503 with `Retry-After` |
//! | its owner's, in the moment | CPU share used up | 429 with `Retry-After` |
//! | ours | a panic in the engine | 500 |
//!
//! The CPU budget is a 500 and the deadline a 504 although both are limits on time: a run that exceeds its budget will
//! do so again, while one that missed its deadline may have waited for a busy core, and a proxy may try it elsewhere.

use std::time::Duration;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use luge_core::{Trap, TrapReport};

use crate::cgi::CgiError;
use crate::h1::Response;
use crate::routes::PathError;

/// The header field that tells the reason of a failure, cut to what a field may hold.
pub const ERROR_FIELD: &str = "x-luge-error";

/// [`ERROR_FIELD`] as a field's name.
const ERROR_NAME: HeaderName = HeaderName::from_static(ERROR_FIELD);

/// Seconds after which a rejected client may try again. Queues hold milliseconds to a few seconds of work.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// A failure whose words are always the same. Whoever has too much to do refuses by thousands a second, and writes nothing for that.
struct Fixed {
    reason: &'static str,
    /// The status and the reason.
    line: &'static str,
}

const QUEUE_FULL: Fixed = Fixed {
    reason: "queue full",
    line: "503 Service Unavailable: queue full\n",
};
const INFEASIBLE: Fixed = Fixed {
    reason: "the deadline cannot be met",
    line: "503 Service Unavailable: the deadline cannot be met\n",
};
const OVER_SHARE: Fixed = Fixed {
    reason: "CPU share used up",
    line: "429 Too Many Requests: CPU share used up\n",
};
const TOO_MANY_IN_FLIGHT: Fixed = Fixed {
    reason: "too many requests in flight",
    line: "503 Service Unavailable: too many requests in flight\n",
};

/// Longest reason in [`ERROR_FIELD`], in bytes: function names come from the module and can be long.
const REASON_BYTES_MAX: usize = 256;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The path of the target is ambiguous.
    #[error("{0}")]
    Path(#[from] PathError),
    /// No route matches.
    #[error("no function at this path")]
    NotFound,
    /// The route's function does not take this method.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// What it takes.
        allowed: Vec<Method>,
    },
    /// The head's fields, as variables, are more than an environment may hold.
    #[error("head longer than a function's environment may be")]
    HeadTooLong,
    /// The declared body exceeds the function's limit.
    #[error("body longer than {limit} bytes")]
    BodyTooLong {
        /// The limit.
        limit: u64,
    },
    /// The function ended with a code that is not zero.
    #[error("exit code {0}")]
    Exit(u32),
    /// The function trapped.
    #[error("trap: {0}")]
    Trap(TrapReport),
    /// The sandbox could not be made within its limits.
    #[error("instantiation failed: {0}")]
    Instantiate(String),
    /// The function's output passed its limit.
    #[error("output longer than {limit} bytes")]
    OutputTooLong {
        /// The limit.
        limit: usize,
    },
    /// The function's output is no CGI response.
    #[error("{0}")]
    Cgi(#[from] CgiError),
    /// The run used more CPU time than granted.
    #[error("CPU budget of {0:?} exceeded")]
    CpuBudget(Duration),
    /// The run did not end in time.
    #[error("deadline of {0:?} exceeded")]
    Deadline(Duration),
    /// The core's queue is full.
    #[error("{}", QUEUE_FULL.reason)]
    QueueFull {
        /// When there should be room.
        retry_after: Duration,
    },
    /// The run would miss its deadline.
    #[error("{}", INFEASIBLE.reason)]
    Infeasible {
        /// When it should fit.
        retry_after: Duration,
    },
    /// The function or its tenant has used up its share of the core.
    #[error("{}", OVER_SHARE.reason)]
    OverShare {
        /// When the share allows for a run again.
        retry_after: Duration,
    },
    /// The table of requests in flight is full.
    #[error("{}", TOO_MANY_IN_FLIGHT.reason)]
    TooManyInFlight,
    /// The core has all the connections that it may have.
    #[error("too many connections")]
    TooManyConnections,
    /// The server is shutting down.
    #[error("draining")]
    Draining,
    /// The engine panicked: a defect of ours. The sandbox is gone, the server goes on.
    #[error("internal error")]
    Internal,
}

impl Failure {
    /// The status code that a client gets. The only such table in Luge.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Exit(_)
            | Self::Trap(_)
            | Self::Instantiate(_)
            | Self::OutputTooLong { .. }
            | Self::CpuBudget(_)
            | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Cgi(_) => StatusCode::BAD_GATEWAY,
            Self::Deadline(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::OverShare { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::QueueFull { .. }
            | Self::Infeasible { .. }
            | Self::TooManyInFlight
            | Self::TooManyConnections
            | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind under which metrics count it; `None` for what never reached a function.
    #[must_use]
    pub fn kind(&self) -> Option<FailureKind> {
        Some(match self {
            Self::Path(_)
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::HeadTooLong
            | Self::BodyTooLong { .. }
            | Self::TooManyConnections => return None,
            Self::Exit(_) => FailureKind::Exit,
            Self::Trap(report) => FailureKind::of_trap(&report.trap),
            Self::Instantiate(_) => FailureKind::Instantiate,
            Self::OutputTooLong { .. } => FailureKind::Output,
            Self::Cgi(_) => FailureKind::Cgi,
            Self::CpuBudget(_) => FailureKind::CpuBudget,
            Self::Deadline(_) => FailureKind::Deadline,
            Self::QueueFull { .. }
            | Self::Infeasible { .. }
            | Self::OverShare { .. }
            | Self::TooManyInFlight => FailureKind::QueueFull,
            Self::Draining => FailureKind::Draining,
            Self::Internal => FailureKind::Internal,
        })
    }

    /// Whether the request was refused because there is too much to do. That is no fault to look into, and it comes by thousands: the
    /// metrics count it, and a line in the log for each would take from the core what is short already.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(
            self,
            Self::QueueFull { .. } | Self::Infeasible { .. } | Self::OverShare { .. } | Self::TooManyInFlight
        )
    }

    /// The answer: status, reason in [`ERROR_FIELD`] and as a line of text, and what the status asks for beside it.
    #[must_use]
    pub fn response(&self) -> Response {
        let status = self.status();
        if let Some((fixed, retry_after)) = self.fixed() {
            return fixed.response(status, retry_after);
        }
        let mut response = explained(status, &self.to_string());
        if let Self::MethodNotAllowed { allowed } = self {
            let list = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            if let Ok(value) = HeaderValue::from_str(&list) {
                response.headers_mut().insert(header::ALLOW, value);
            }
        }
        response
    }

    /// The words of a failure for want of room, and when to come back.
    fn fixed(&self) -> Option<(Fixed, Duration)> {
        match self {
            Self::QueueFull { retry_after } => Some((QUEUE_FULL, *retry_after)),
            Self::Infeasible { retry_after } => Some((INFEASIBLE, *retry_after)),
            Self::OverShare { retry_after } => Some((OVER_SHARE, *retry_after)),
            Self::TooManyInFlight => Some((TOO_MANY_IN_FLIGHT, Duration::ZERO)),
            _ => None,
        }
    }
}

impl Fixed {
    fn response(&self, status: StatusCode, retry_after: Duration) -> Response {
        // The field has whole seconds; nobody is to come too early.
        let retry_after = match retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0) {
            0 | 1 => RETRY_AFTER,
            seconds => HeaderValue::from(seconds),
        };
        let mut response = Response::text(status, self.line);
        // Room for what the connection may add.
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::RETRY_AFTER, retry_after);
        headers.insert(ERROR_NAME, HeaderValue::from_static(self.reason));
        response.headers = Some(Box::new(headers));
        response
    }
}

/// An answer that says why it is not what was asked for, in [`ERROR_FIELD`] and as a line of text; a 503 also says when
/// to come back.
#[must_use]
pub fn explained(status: StatusCode, reason: &str) -> Response {
    let reason = field_value(reason);
    let mut response = Response::text(status, format!("{status}: {reason}\n"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if let Ok(value) = HeaderValue::from_str(&reason) {
        response.headers_mut().insert(ERROR_NAME, value);
    }
    response
}

/// The text with everything but visible ASCII and spaces replaced, cut to a bound.
fn field_value(text: &str) -> String {
    let visible = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(REASON_BYTES_MAX).map(visible).collect()
}

/// Failures as metrics name them: few, fixed, known in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum FailureKind {
    /// Exit code that is not zero.
    Exit,
    /// The `unreachable` instruction, which compilers emit for `abort` and panics.
    TrapUnreachable,
    /// Access outside a memory or a table.
    TrapBounds,
    /// Division by zero, overflow, invalid conversion.
    TrapArithmetic,
    /// Indirect call to null or to another type.
    TrapCall,
    /// Call stack exhausted.
    TrapStack,
    /// Any other trap.
    TrapOther,
    /// Could not be instantiated.
    Instantiate,
    /// Output too long.
    Output,
    /// Output no CGI response.
    Cgi,
    /// CPU budget exceeded.
    CpuBudget,
    /// Deadline exceeded.
    Deadline,
    /// Rejected at admission.
    QueueFull,
    /// Stopped or rejected by a shutdown.
    Draining,
    /// The client went away and the run was cancelled.
    Cancelled,
    /// Defect of the server.
    Internal,
}

impl FailureKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [FailureKind; 16] = [
        Self::Exit,
        Self::TrapUnreachable,
        Self::TrapBounds,
        Self::TrapArithmetic,
        Self::TrapCall,
        Self::TrapStack,
        Self::TrapOther,
        Self::Instantiate,
        Self::Output,
        Self::Cgi,
        Self::CpuBudget,
        Self::Deadline,
        Self::QueueFull,
        Self::Draining,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The label's value in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::TrapUnreachable => "trap_unreachable",
            Self::TrapBounds => "trap_bounds",
            Self::TrapArithmetic => "trap_arithmetic",
            Self::TrapCall => "trap_call",
            Self::TrapStack => "trap_stack",
            Self::TrapOther => "trap_other",
            Self::Instantiate => "instantiate",
            Self::Output => "output_too_long",
            Self::Cgi => "bad_cgi",
            Self::CpuBudget => "cpu_budget",
            Self::Deadline => "deadline",
            Self::QueueFull => "queue_full",
            Self::Draining => "draining",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    fn of_trap(trap: &Trap) -> FailureKind {
        match trap {
            Trap::Unreachable => Self::TrapUnreachable,
            Trap::MemoryOutOfBounds | Trap::TableOutOfBounds => Self::TrapBounds,
            Trap::IntegerOverflow | Trap::IntegerDivideByZero | Trap::InvalidConversionToInteger => {
                Self::TrapArithmetic
            }
            Trap::UninitializedElement | Trap::IndirectCallTypeMismatch | Trap::UndefinedElement => {
                Self::TrapCall
            }
            Trap::StackExhausted => Self::TrapStack,
            _ => Self::TrapOther,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;
    use crate::h1::Body;

    fn fields(response: &Response) -> &HeaderMap {
        response.headers.as_deref().expect("it has some")
    }

    #[test]
    fn kinds_stand_at_their_numbers() {
        for (index, kind) in FailureKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn an_answer_tells_its_reason() {
        let response = Failure::Exit(3).response();
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(fields(&response)[ERROR_FIELD], "exit code 3");
        let Body::Full(body) = response.body else {
            panic!("a short text is known as a whole")
        };
        assert_eq!(body, "500 Internal Server Error: exit code 3\n");
    }

    #[test]
    fn rejections_say_when_to_come_back() {
        let retry_in = |milliseconds| {
            let retry_after = Duration::from_millis(milliseconds);
            fields(&Failure::Infeasible { retry_after }.response())[header::RETRY_AFTER].clone()
        };
        for (milliseconds, seconds) in [(0, "1"), (3, "1"), (1_000, "1"), (1_001, "2"), (59_500, "60")] {
            assert_eq!(retry_in(milliseconds), seconds);
        }
        let retry_after = Duration::from_millis(1_500);
        let over = Failure::OverShare { retry_after }.response();
        assert_eq!(
            (over.status.as_u16(), &fields(&over)[header::RETRY_AFTER]),
            (429, &HeaderValue::from(2))
        );
        assert_eq!(
            fields(&Failure::TooManyInFlight.response())[header::RETRY_AFTER],
            "1"
        );
        assert!(!fields(&Failure::NotFound.response()).contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn words_that_are_always_the_same_are_those_of_all_others() {
        let retry_after = Duration::from_secs(7);
        for failure in [
            Failure::QueueFull { retry_after },
            Failure::Infeasible { retry_after },
            Failure::OverShare { retry_after },
            Failure::TooManyInFlight,
        ] {
            assert!(failure.is_for_want_of_room());
            let (fixed, _) = failure.fixed().expect("its words are fixed");
            assert_eq!(fixed.reason, failure.to_string());
            let (actual, expected) = (failure.response(), explained(failure.status(), fixed.reason));
            assert_eq!(
                (actual.status, &actual.content_type),
                (expected.status, &expected.content_type)
            );
            assert_eq!(fields(&actual)[ERROR_FIELD], fields(&expected)[ERROR_FIELD]);
            let seconds = match failure {
                Failure::TooManyInFlight => "1",
                _ => "7",
            };
            assert_eq!(fields(&actual)[header::RETRY_AFTER], seconds, "{failure}");
            assert_eq!(fields(&actual).len(), 2);
            let (Body::Full(actual), Body::Full(expected)) = (actual.body, expected.body) else {
                panic!("short texts are known as a whole");
            };
            assert_eq!(actual, expected);
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let failure = Failure::MethodNotAllowed {
            allowed: vec![Method::GET, Method::HEAD],
        };
        assert_eq!(fields(&failure.response())[header::ALLOW], "GET, HEAD");
    }

    #[test]
    fn reasons_are_made_fit_for_a_header() {
        let failure = Failure::Instantiate(format!("evil\r\nset-cookie: ü{}", "x".repeat(1000)));
        let response = failure.response();
        let value = fields(&response)[ERROR_FIELD].to_str().unwrap().to_owned();
        assert!(
            value.starts_with("instantiation failed: evil??set-cookie: ?xxx"),
            "{value}"
        );
        assert_eq!(value.len(), REASON_BYTES_MAX);
    }
}
