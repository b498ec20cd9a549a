//! Waiting for connections and for the next start, to the microsecond.
//!
//! One `epoll_pwait2` does both: its timeout is in nanoseconds. The kernel may be late by the thread's timer slack (50 us by
//! default, set to 1 ns here) or by a thousandth of the timeout, whichever is longer; a long wait is therefore cut short by
//! more than that, and what remains is waited for once more. What is left is the time that a sleeping core needs to wake
//! up, tens of microseconds on a virtual machine: a poller that *spins* does not sleep through the last stretch.
//!
//! Connections are registered once, edge-triggered for everything, so that a request costs no `epoll_ctl`.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

/// Most events that one wait returns.
const EVENTS_MAX: usize = 256;

/// A wait longer than this is split.
const LONG: Duration = Duration::from_micros(100);

pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
    spin: Duration,
}

impl Poller {
    /// A poller for this thread, whose timer slack it changes.
    pub(super) fn new(spin: Duration) -> Result<Poller, Errno> {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Poller {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            spin,
        })
    }

    /// Watches a socket until it is closed; events carry `token`.
    pub(super) fn add(&self, socket: impl AsFd, token: u64) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)
    }

    /// Waits for an event, but not longer than to `until`. May return earlier without one.
    pub(super) fn wait(&mut self, until: Instant) -> Result<(), Errno> {
        self.events.clear();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = sleep(left, self.spin);
            let waited = epoll::wait(
                &self.epoll,
                spare_capacity(&mut self.events),
                Some(&timespec(timeout)),
            );
            match waited {
                Ok(0) if left > timeout => std::hint::spin_loop(),
                Ok(_) | Err(Errno::INTR) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Number of events of the last wait.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Token and flags of an event.
    pub(super) fn event(&self, i: usize) -> (u64, EventFlags) {
        let Event { flags, data } = self.events[i];
        (data.u64(), flags)
    }
}

/// How long to sleep when there is `left` to wait, such that the kernel's slack and the time to spin still fit.
fn sleep(left: Duration, spin: Duration) -> Duration {
    let slack = if left > LONG { left / 512 } else { Duration::ZERO };
    left.saturating_sub(slack.max(spin))
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_wait_never_ends_too_early_without_an_event() {
        for spin in [Duration::ZERO, Duration::from_micros(200)] {
            let mut poller = Poller::new(spin).expect("epoll");
            for wait_us in [0, 50, 700, 5000] {
                let until = Instant::now() + Duration::from_micros(wait_us);
                poller.wait(until).expect("a wait");
                assert_eq!(poller.len(), 0);
                assert!(Instant::now() >= until, "{wait_us} us, {spin:?}");
            }
        }
    }

    #[test]
    fn an_event_ends_the_wait_and_carries_its_token() {
        let mut poller = Poller::new(Duration::ZERO).expect("epoll");
        let (near, mut far) = UnixStream::pair().expect("a pair");
        far.write_all(b"x").expect("room");
        poller.add(&near, 7).expect("registered");
        let until = Instant::now() + Duration::from_secs(60);
        poller.wait(until).expect("a wait");
        assert!(Instant::now() < until);
        let (token, flags) = poller.event(0);
        assert_eq!((poller.len(), token), (1, 7));
        assert!(flags.contains(EventFlags::IN | EventFlags::OUT));
    }

    #[test]
    fn sleeps_leave_room_for_slack_and_for_spinning() {
        let us = Duration::from_micros;
        assert_eq!(sleep(us(51_200), Duration::ZERO), us(51_100));
        assert_eq!(sleep(us(80), Duration::ZERO), us(80));
        assert_eq!(sleep(us(80), us(30)), us(50));
        assert_eq!(sleep(us(20), us(30)), Duration::ZERO);
    }
}
