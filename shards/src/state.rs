//! Where a task stands, and where its time goes: one enum, and the one function that changes it.
//!
//! ```text
//!            Run                Sliced{Blocked}           alarm
//!   Queued ───────► Running ──────────────────► Blocked ────────► Ready
//!                    ▲ │ ▲ │ Sliced{Blocked}, over already          ▲ │
//!                    │ │ │ └──────────────────────────────────────────┘ │
//!                    │ │ └─────────────── Run ───────────────────────────┘
//!                    │ └─ Sliced{Preempted} ──► Preempted
//!                    └────────── Run ───────────────┘
//!   each of them ───► Ended
//! ```
//!
//! A state is left by [`Life::transition`] alone. It adds the time since the last change to what the account has for that
//! state, so the times of an account sum to the time from submission to end, whatever happened in between. No clock is
//! read here: whoever makes the change says when it was.

use std::time::Duration;

use crate::task::Account;
use crate::time::Instant;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Admitted and never run.
    Queued,
    /// It has the core.
    Running,
    /// Its slice was over before it was done; it waits for the core.
    Preempted,
    /// It waits for something else than the core.
    Blocked {
        /// When it wants to go on.
        until: Instant,
    },
    /// What it has waited for is there; it waits for the core.
    Ready,
    /// Over. Nothing follows.
    Ended,
}

impl State {
    /// Whether a task in this state is in the policy's hands.
    pub(crate) fn waits_for_core(self) -> bool {
        matches!(self, Self::Queued | Self::Preempted | Self::Ready)
    }

    fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued | Self::Preempted | Self::Ready => matches!(next, Self::Running | Self::Ended),
            Self::Running => matches!(
                next,
                Self::Preempted | Self::Blocked { .. } | Self::Ready | Self::Ended
            ),
            Self::Blocked { .. } => matches!(next, Self::Ready | Self::Ended),
            Self::Ended => false,
        }
    }
}

/// A task's way through its states.
#[derive(Debug)]
pub(crate) struct Life {
    state: State,
    /// When it came into this state.
    since: Instant,
    /// Of the slice that is just over: for how long it did not have the core after all.
    kept: Duration,
    account: Account,
}

impl Life {
    /// Of a task that has just been admitted.
    pub(crate) fn new(at: Instant) -> Self {
        Self {
            state: State::Queued,
            since: at,
            kept: Duration::ZERO,
            account: Account::default(),
        }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Where its time went up to the last change.
    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// The slice that runs is over now, and for so long of it others had the core.
    pub(crate) fn was_kept_for(&mut self, kept: Duration) {
        debug_assert_eq!(self.state, State::Running);
        self.kept = kept;
    }

    /// How long it has had the core by `at`, the slice that runs included.
    pub(crate) fn ran_by(&self, at: Instant) -> Duration {
        match self.state {
            State::Running => {
                self.account.ran + at.saturating_duration_since(self.since).saturating_sub(self.kept)
            }
            _ => self.account.ran,
        }
    }

    /// Changes the state at `at`, on its own account and in `total`, and gives the state before.
    ///
    /// # Panics
    /// If the one cannot become the other: that is a defect of the scheduler's.
    pub(crate) fn transition(&mut self, next: State, at: Instant, total: &mut Account) -> State {
        let before = self.state;
        assert!(
            before.may_become(next),
            "a task that is {before:?} cannot become {next:?}"
        );
        let spent = at.saturating_duration_since(self.since);
        let kept = std::mem::take(&mut self.kept).min(spent);
        for account in [&mut self.account, total] {
            account.leave(before, next, spent - kept);
            account.preempted += kept;
        }
        (self.state, self.since) = (next, at);
        before
    }
}

impl Account {
    /// Accounts for `spent` time in a state that is left for another.
    fn leave(&mut self, state: State, next: State, spent: Duration) {
        match state {
            State::Queued => self.queued += spent,
            State::Running => {
                self.ran += spent;
                self.slices += 1;
                self.preemptions += u64::from(next == State::Preempted);
            }
            State::Preempted => self.preempted += spent,
            State::Blocked { .. } => self.blocked += spent,
            State::Ready => self.ready += spent,
            State::Ended => unreachable!("no state follows the last"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A life that stands in `state`.
    fn life(state: State, start: Instant) -> Life {
        Life {
            state,
            ..Life::new(start)
        }
    }

    #[test]
    fn only_the_drawn_ways_exist() {
        let start = Instant::now();
        let blocked = State::Blocked { until: start };
        let all = [
            State::Queued,
            State::Running,
            State::Preempted,
            blocked,
            State::Ready,
            State::Ended,
        ];
        let mut drawn = vec![
            (State::Queued, State::Running),
            (State::Preempted, State::Running),
            (State::Ready, State::Running),
            (State::Running, State::Preempted),
            (State::Running, blocked),
            (State::Running, State::Ready),
            (blocked, State::Ready),
        ];
        drawn.extend(all[..5].iter().map(|&state| (state, State::Ended)));
        for from in all {
            for to in all {
                let tried = std::panic::catch_unwind(|| {
                    life(from, start).transition(to, start + MS, &mut Account::default())
                });
                assert_eq!(tried.is_ok(), drawn.contains(&(from, to)), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn what_another_process_took_of_a_slice_was_not_run() {
        let start = Instant::now();
        let (mut life, mut total) = (Life::new(start), Account::default());
        life.transition(State::Running, start, &mut total);
        life.was_kept_for(2 * MS);
        assert_eq!(life.ran_by(start + 5 * MS), 3 * MS);
        life.transition(State::Preempted, start + 5 * MS, &mut total);
        life.transition(State::Running, start + 6 * MS, &mut total);
        life.transition(State::Ended, start + 7 * MS, &mut total);
        assert_eq!((total.ran, total.preempted), (4 * MS, 3 * MS));
    }

    #[test]
    fn time_goes_to_the_state_that_is_left() {
        let start = Instant::now();
        let (mut life, mut total) = (Life::new(start), Account::default());
        let way = [
            (State::Running, 1),
            (State::Preempted, 3),
            (State::Running, 7),
            (State::Blocked { until: start }, 15),
            (State::Ready, 31),
            (State::Running, 63),
            (State::Ended, 127),
        ];
        for (next, at) in way {
            if at == 7 {
                assert_eq!(life.ran_by(start + 5 * MS), 2 * MS);
            }
            life.transition(next, start + at * MS, &mut total);
            if at == 63 {
                assert_eq!(life.ran_by(start + 64 * MS), 11 * MS);
            }
        }
        let expected = Account {
            queued: MS,
            ran: (2 + 8 + 64) * MS,
            preempted: 4 * MS,
            blocked: 16 * MS,
            ready: 32 * MS,
            slices: 3,
            preemptions: 1,
        };
        assert_eq!((life.account(), total), (expected, expected));
        assert_eq!(expected.waited(), 37 * MS);
    }
}
