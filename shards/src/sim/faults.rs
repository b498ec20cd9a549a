//! What goes wrong, how often, and how badly.
//!
//! A run for the checkers draws its faults by *swarm testing* (A. Groce and others, ISSTA 2012): each kind is off in about
//! half of the runs, so that no kind hides what another one would bring to light.

use std::time::Duration;

use rand::RngExt;

use super::random::Stream;

/// Rates of faults. Chances are from 0 to 1; lengths are drawn evenly from nothing up to the one that is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// The chance that a request costs up to 20 times more, or less, than its class does.
    pub lies: f64,
    /// How often a core stands still, per second and core: another process has it, or the hypervisor.
    pub stalls: f64,
    /// For how long it does.
    pub stall_max: Duration,
    /// The chance that a timer fires late: that of a parked core, or the end of a slice.
    pub late_timers: f64,
    /// By how much it does.
    pub lateness_max: Duration,
    /// The chance that a doorbell is lost, so that only the backstop ends the slice.
    pub lost_doorbells: f64,
    /// The chance that a parked core is slow to wake: it takes up to [`Faults::lateness_max`].
    pub late_wakes: f64,
    /// The chance that a guest gives its core back at a backstop only, whatever it is told.
    pub slow_guests: f64,
    /// How often the clock jumps forward, per second: all cores stand still at once, and wake up later.
    pub jumps: f64,
    /// How far it does.
    pub jump_max: Duration,
    /// The chance that there is no room in the ring to another shard.
    pub full_rings: f64,
    /// The chance that a client goes away before its deadline.
    pub cancellations: f64,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        lies: 0.0,
        stalls: 0.0,
        stall_max: Duration::ZERO,
        late_timers: 0.0,
        lateness_max: Duration::ZERO,
        lost_doorbells: 0.0,
        late_wakes: 0.0,
        slow_guests: 0.0,
        jumps: 0.0,
        jump_max: Duration::ZERO,
        full_rings: 0.0,
        cancellations: 0.0,
    };

    /// A bad day: some of everything, at rates at which a server is still expected to serve.
    pub const SOME: Self = Self {
        lies: 0.02,
        stalls: 0.5,
        stall_max: Duration::from_millis(5),
        late_timers: 0.02,
        lateness_max: Duration::from_millis(2),
        lost_doorbells: 0.02,
        late_wakes: 0.02,
        slow_guests: 0.01,
        jumps: 0.05,
        jump_max: Duration::from_millis(10),
        full_rings: 0.01,
        cancellations: 0.01,
    };

    /// Each kind off in half of all draws, and else anywhere up to grim.
    pub(super) fn swarm(random: &mut Stream) -> Self {
        let mut rate = |most: f64| {
            if random.random_bool(0.5) {
                random.random_range(0.0..most)
            } else {
                0.0
            }
        };
        Self {
            lies: rate(1.0),
            stalls: rate(20.0),
            stall_max: Duration::from_millis(8),
            late_timers: rate(0.5),
            lateness_max: Duration::from_millis(6),
            lost_doorbells: rate(1.0),
            late_wakes: rate(0.5),
            slow_guests: rate(0.3),
            jumps: rate(5.0),
            jump_max: Duration::from_millis(30),
            full_rings: rate(1.0),
            cancellations: rate(0.3),
        }
    }

    /// Whether a client's cost and time are what its class says: then what is admitted must not be late.
    pub fn are_none(&self) -> bool {
        *self == Self::NONE
    }

    /// The factor on a request's cost.
    pub(super) fn lie(&self, random: &mut Stream) -> f64 {
        if happens(self.lies, random) {
            20_f64.powf(random.random_range(-1.0..1.0))
        } else {
            1.0
        }
    }

    /// How late a timer is.
    pub(super) fn timer(&self, random: &mut Stream) -> Duration {
        self.late(self.late_timers, random)
    }

    /// How much longer a parked core sleeps than it should.
    pub(super) fn wake(&self, random: &mut Stream) -> Duration {
        self.late(self.late_wakes, random)
    }

    fn late(&self, chance: f64, random: &mut Stream) -> Duration {
        if happens(chance, random) {
            part(self.lateness_max, random)
        } else {
            Duration::ZERO
        }
    }
}

/// Draws nothing when the chance is none, so that a run without faults is the same whatever faults there might be.
pub(super) fn happens(chance: f64, random: &mut Stream) -> bool {
    chance > 0.0 && random.random_bool(chance.min(1.0))
}

/// An even part of a length.
pub(super) fn part(most: Duration, random: &mut Stream) -> Duration {
    most.mul_f64(random.random::<f64>())
}
