//! A strict reader of request framing that stands between the socket and the HTTP parser.
//!
//! The guard is a state machine over bytes, without I/O and without a clock. It walks over a connection's input and
//! says how much of it may pass on to the parser:
//!
//! ```text
//!            ┌──────────────── body of length 0 ───────────────┐
//!            v                                                 │
//!      ┌──> Head ── empty line, all valid ──┬── content-length ┴─> Length(n) ── n bytes ──┐
//!      │     │                              └── chunked ────────> Chunked ── last CRLF ───┤
//!      │     └── anything else ──> Refused <── bad framing ──────────┘                    │
//!      └──────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A head is kept back until it is complete and valid, so that the parser never sees part of a refused one. Bodies pass
//! as they come, without a copy. What the guard lets through is a subset of the grammar of RFC 9112 for which parsers do
//! not differ about where a message ends; "HTTP Desync Attacks" (Kettle, 2019) shows what grows from such differences.
//!
//! Each decision depends on the bytes read so far and not on how they were cut into pieces.

mod chunked;
mod classes;
mod head;

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;

use self::chunked::Chunked;
pub use self::head::Parts;
use self::head::{Framing, HeadScan};
use super::limits::Limits;

/// Why input is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status that says it to the client.
    pub status: StatusCode,
    /// A short text for logs and metrics; one of a fixed set.
    pub reason: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    const fn bad(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }
}

/// What became of a piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This many bytes from the start of the piece may pass, never none.
    Pass(usize),
    /// A head that came in several pieces is complete: these bytes may pass, and `taken` bytes of the piece are among
    /// them.
    PassHeld {
        /// The whole head.
        head: Bytes,
        /// How much of the piece belongs to it.
        taken: usize,
    },
    /// The whole piece is kept: the head is not complete yet.
    Hold,
    /// Nothing more will pass.
    Refuse(Refusal),
}

/// Where in the input the guard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the first byte of a head (an empty line may have come).
    Between,
    /// Inside a head.
    Head,
    /// Inside a body.
    Body,
}

/// The state machine; one for each connection.
#[derive(Debug)]
pub struct Guard {
    limits: Rc<Limits>,
    state: State,
    held: BytesMut,
    heads: u64,
    refusal: Option<Refusal>,
    position: Position,
    answer_to_head: bool,
    parts: Option<Parts>,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Length(u64),
    Chunked(Chunked),
    Refused,
}

impl Guard {
    /// A guard before the first byte of a connection.
    pub fn new(limits: Rc<Limits>) -> Self {
        Self {
            limits,
            state: State::Head(HeadScan::default()),
            held: BytesMut::new(),
            heads: 0,
            refusal: None,
            position: Position::Between,
            answer_to_head: false,
            parts: None,
        }
    }

    /// Reads `input`, which must not be empty, up to the next decision. Call again with what is left of it.
    pub fn push(&mut self, input: &[u8]) -> Verdict {
        debug_assert!(!input.is_empty(), "an empty piece decides nothing");
        match &mut self.state {
            State::Head(_) if self.held.is_empty() => self.push_head(input),
            State::Head(_) => self.push_held_head(input),
            State::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.begin_head();
                }
                Verdict::Pass(taken)
            }
            State::Chunked(chunked) => {
                let (taken, result) = chunked.scan(input, &self.limits);
                match result {
                    Ok(true) => self.begin_head(),
                    Ok(false) => {}
                    // The good bytes before the fault pass first; the fault comes again, alone, with the next call.
                    Err(_) if taken > 0 => {}
                    Err(refusal) => return self.refuse(refusal),
                }
                Verdict::Pass(taken)
            }
            State::Refused => Verdict::Refuse(self.refusal.unwrap_or(Refusal::bad("refused before"))),
        }
    }

    /// Lets a whole plain head pass again, whose parts are these: another one of the same bytes, alone, in a connection where it has
    /// passed before. What a head means depends on nothing but its bytes and the limits. Not where the guard stands anywhere but before
    /// the first byte of a head; then nothing has happened.
    pub fn pass_again(&mut self, parts: &Parts) -> bool {
        let stands_before_it = matches!(self.state, State::Head(_)) && self.held.is_empty();
        if stands_before_it {
            self.heads += 1;
            self.parts = Some(parts.clone());
        }
        stands_before_it
    }

    /// Refuses from outside, as when time has run out.
    pub fn refuse(&mut self, refusal: Refusal) -> Verdict {
        if let State::Head(scan) = &self.state {
            self.answer_to_head = scan.asks_head();
        }
        self.state = State::Refused;
        self.held = BytesMut::new();
        Verdict::Refuse(*self.refusal.get_or_insert(refusal))
    }

    /// Where the input stands, or stood when it was refused.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The refusal, once there was one.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Where the parts are of the last head that passed, if it was a plain one: see [`Parts`].
    pub fn parts(&self) -> Option<&Parts> {
        self.parts.as_ref()
    }

    /// How many heads have passed.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the refused request was a `HEAD`, whose answer has no body.
    pub fn refused_head_method(&self) -> bool {
        self.answer_to_head
    }

    /// The common case: the head starts in this piece, and mostly ends in it.
    fn push_head(&mut self, input: &[u8]) -> Verdict {
        match self.scan_head(input) {
            Ok(Some(len)) => Verdict::Pass(len),
            Ok(None) => {
                self.held.extend_from_slice(input);
                Verdict::Hold
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// The head started in an earlier piece. What follows it in this piece is not part of it and is given back.
    fn push_held_head(&mut self, input: &[u8]) -> Verdict {
        let mut held = std::mem::take(&mut self.held);
        let before = held.len();
        // No more than the head may have is copied, whatever the size of the piece.
        let room = (self.limits.head_bytes + 1)
            .saturating_sub(before)
            .min(input.len());
        held.extend_from_slice(&input[..room]);
        match self.scan_head(&held) {
            Ok(Some(len)) => {
                let head = held.split_to(len).freeze();
                Verdict::PassHeld {
                    head,
                    taken: len - before,
                }
            }
            Ok(None) => {
                self.held = held;
                Verdict::Hold
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn scan_head(&mut self, head: &[u8]) -> Result<Option<usize>, Refusal> {
        let State::Head(scan) = &mut self.state else {
            return Ok(None);
        };
        let scanned = scan.scan(head, &self.limits);
        let begun = scanned.is_err() || scan.begun(head);
        self.position = if begun { Position::Head } else { Position::Between };
        let Some((len, framing)) = scanned? else {
            return Ok(None);
        };
        self.parts = scan.parts();
        self.heads += 1;
        match framing {
            Framing::Length(0) => self.begin_head(),
            Framing::Length(length) => self.begin_body(State::Length(length)),
            Framing::Chunked => self.begin_body(State::Chunked(Chunked::default())),
        }
        Ok(Some(len))
    }

    fn begin_head(&mut self) {
        self.state = State::Head(HeadScan::default());
        self.position = Position::Between;
    }

    fn begin_body(&mut self, state: State) {
        self.state = state;
        self.position = Position::Body;
    }
}

#[cfg(test)]
mod tests;
