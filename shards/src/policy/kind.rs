//! Policies by name: [`PolicyKind`] as configuration has it, [`AnyPolicy`] as a scheduler does.

use std::fmt;
use std::str::FromStr;

use super::{Candidate, Edf, Fifo, LeastSlack, Policy, RoundRobin, Rules, Srsf};
use crate::task::TaskId;

/// Which policy. Written as in [`PolicyKind::name`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Earliest deadline first, safe under overload: [`Edf::new`].
    #[default]
    Edf,
    /// Earliest deadline first and nothing else, to compare with: [`Edf::plain`].
    PlainEdf,
    /// Shortest remaining service first: [`Srsf`].
    Srsf,
    /// First in, first out: [`Fifo`].
    Fifo,
    /// A slice each, in turn: [`RoundRobin`].
    RoundRobin,
    /// Least slack first: [`LeastSlack`].
    LeastSlack,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Edf,
        Self::PlainEdf,
        Self::Srsf,
        Self::Fifo,
        Self::RoundRobin,
        Self::LeastSlack,
    ];

    /// Its name in configuration files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Edf => "edf",
            Self::PlainEdf => "edf-plain",
            Self::Srsf => "srsf",
            Self::Fifo => "fifo",
            Self::RoundRobin => "round-robin",
            Self::LeastSlack => "least-slack",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// No policy has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy `{0}`: use edf, edf-plain, srsf, fifo, round-robin or least-slack")]
pub struct UnknownPolicy(String);

/// The policy that configuration has chosen.
#[derive(Debug)]
pub enum AnyPolicy {
    /// With or without bands.
    Edf(Edf),
    /// See [`Srsf`].
    Srsf(Srsf),
    /// See [`Fifo`].
    Fifo(Fifo),
    /// See [`RoundRobin`].
    RoundRobin(RoundRobin),
    /// See [`LeastSlack`].
    LeastSlack(LeastSlack),
}

impl AnyPolicy {
    /// An empty queue of this kind.
    #[must_use]
    pub fn new(kind: PolicyKind) -> Self {
        match kind {
            PolicyKind::Edf => Self::Edf(Edf::new()),
            PolicyKind::PlainEdf => Self::Edf(Edf::plain()),
            PolicyKind::Srsf => Self::Srsf(Srsf::new()),
            PolicyKind::Fifo => Self::Fifo(Fifo::new()),
            PolicyKind::RoundRobin => Self::RoundRobin(RoundRobin::new()),
            PolicyKind::LeastSlack => Self::LeastSlack(LeastSlack::new()),
        }
    }
}

/// Asks the policy that is there.
macro_rules! ask {
    ($any:expr, $policy:ident => $answer:expr) => {
        match $any {
            AnyPolicy::Edf($policy) => $answer,
            AnyPolicy::Srsf($policy) => $answer,
            AnyPolicy::Fifo($policy) => $answer,
            AnyPolicy::RoundRobin($policy) => $answer,
            AnyPolicy::LeastSlack($policy) => $answer,
        }
    };
}

impl Policy for AnyPolicy {
    fn rules(&self) -> Rules {
        ask!(self, policy => policy.rules())
    }

    fn enqueue(&mut self, candidate: Candidate) {
        ask!(self, policy => policy.enqueue(candidate));
    }

    fn pick(&mut self, may_start: bool) -> Option<TaskId> {
        ask!(self, policy => policy.pick(may_start))
    }

    fn peek(&self, may_start: bool) -> Option<TaskId> {
        ask!(self, policy => policy.peek(may_start))
    }

    fn remove(&mut self, candidate: &Candidate) {
        ask!(self, policy => policy.remove(candidate));
    }

    fn len(&self) -> usize {
        ask!(self, policy => policy.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for kind in PolicyKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "EDF".parse::<PolicyKind>().unwrap_err().to_string();
        for kind in PolicyKind::ALL {
            assert!(error.contains(kind.name()), "{error}");
        }
    }
}
